"""What settling leaves on the medium."""

from jffs2tx._ffi import lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Entry, Manifest
from jffs2tx.mkfs import make_filesystem
from jffs2tx.transaction import Transaction

KIB = 1024
ACCURATE = 0x2000


NAMES = [b"file%03d" % number for number in range(600)]


def summarized() -> Flash:
    """NOR that holds names enough for full blocks of them, which end in summaries."""
    flash = Flash.memory(Geometry("nor", 24 * 16 * KIB, 16 * KIB))
    files = [Entry(name, "file", 0o644, 0, 0, 1, sha256="0" * 64) for name in NAMES]
    make_filesystem(flash, Manifest([Entry(b"", "dir", 0o755, 0, 0, 1), *files]), lambda _: [], summary=True)
    return flash


def unbelieved(fs: FileSystem) -> list[int]:
    """Offsets of nodes that a valid summary lists although their ACCURATE bit is cleared."""
    nodes = lib.jx_fs_nodes(fs.handle)
    found = []
    for number in range(lib.jx_fs_node_count(fs.handle)):
        node = nodes[number]
        if node.by_summary and not int.from_bytes(fs.flash.read(node.offset + 2, 2), "little") & ACCURATE:
            found.append(node.offset)
    return found


def test_superseded_names_lose_their_summary_too():
    """A kernel with summary support would believe in them again once its collector has dropped the deletion."""
    with summarized() as flash:
        with FileSystem(flash) as fs:
            blocks = lib.jx_fs_blocks(fs.handle)
            summaries = [blocks[i].summary for i in range(fs.space.blocks)]
            tx = Transaction(flash, fs, time=2, strategy="flip")
            for number in range(0, 20, 2):
                tx.put(NAMES[number], b"new")
                tx.remove(NAMES[number + 1])
            tx.commit()
        with FileSystem(flash) as fs:
            assert unbelieved(fs) == []
            assert fs.list() == [*NAMES[0:20:2], *NAMES[20:]]
            blocks = lib.jx_fs_blocks(fs.handle)
            assert any(summary and not blocks[i].summary for i, summary in enumerate(summaries))
