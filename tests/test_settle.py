"""What settling leaves on the medium."""

import pytest

from jffs2tx._ffi import lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType
from jffs2tx.manifest import Entry, Manifest
from jffs2tx.mkfs import make_filesystem
from jffs2tx.transaction import Transaction
from tests.crafted import LINUX_SUMMARY, NAND, NOR, block, directory, dirent, inode

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


@pytest.mark.parametrize(("geometry", "strategy"), [(NOR, "flip"), (NAND, "seal")])
def test_a_directory_keeps_its_time_when_the_kernel_drops_the_deletion(geometry, strategy):
    """Its node says 100 and a dirent of the kernel 200: with that name gone nothing but the deletion would say so."""
    nodes = [directory(1, 1, mtime=100), dirent(1, 2, b"keep", 2, mctime=100), inode(2, 1, b"keep")]
    nodes += [dirent(1, 3, b"x", 3, mctime=200), inode(3, 1, b"x")]
    with Flash.memory(geometry, block(*nodes)) as flash:
        with FileSystem(flash) as fs:
            assert fs.stat("/").mtime == 200
            tx = Transaction(flash, fs, time=300, readers=LINUX_SUMMARY, strategy=strategy)
            tx.remove("x")
            tx.commit()
        image = bytearray(flash.read(0, geometry.size))
        with FileSystem(flash) as fs:
            assert fs.stat("/").mtime == 200
            nodes = lib.jx_fs_nodes(fs.handle)
            for node in (nodes[i] for i in range(lib.jx_fs_node_count(fs.handle))):
                if node.nodetype == NodeType.DIRENT and node.child in (0, 3):  # x, and its deletion
                    image[node.offset : node.offset + node.totlen] = bytes(node.totlen)
        with Flash.memory(geometry, bytes(image)) as later, FileSystem(later) as fs:
            assert (fs.list("/"), fs.stat("/").mtime) == ([b"keep"], 200)


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
