"""F9: one bit of the medium flips. Nothing crashes, and nothing is shown that was never written: a name, a part of a
content or an attribute is lost, or an older one of it comes back, which is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from jffs2tx._ffi import check, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import FormatError
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Entry
from jffs2tx.mkfs import make_filesystem
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction
from jffs2tx.tree import entry_of

from .scenarios import Tree
from .trees import noise

CHUNK = 4096  # bytes of a file that one node holds at most
EVERY = 61  # bits; each node begins with another one
GEOMETRIES = {
    "nor": (Geometry("nor", 24 * 8192, 8192), "flip"),
    "nand": (Geometry("nand", 24 * 8192, 8192, 512, 512, 8), "seal"),
    "nand-summaries": (Geometry("nand", 24 * 8192, 8192, 512, 512, 8), "seal"),
}


@dataclass
class View:
    """What a reader shows: the entries, and the contents in chunks."""

    entries: dict[bytes, Entry]
    chunks: dict[bytes, list[bytes]]


def start(name: str) -> Flash:
    tree = Tree()
    tree.file("a", b"first\n")
    tree.file("big", noise(1, 3 * CHUNK))  # a block for each node
    tree.link("l", "a")
    tree.node("tty", "char", (4, 65))
    tree.dir("d")
    tree.file("d/f", b"text" * 10, xattrs={b"user.colour": b"blue"})
    flash = Flash.memory(GEOMETRIES[name][0])
    make_filesystem(flash, tree.manifest(), tree.read, summary=name.endswith("summaries"))
    return flash


def upgrade(flash: Flash, strategy: str) -> None:
    readers = named(("linux-summary+xattr",))
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=1_700_000_000, readers=readers, strategy=strategy)
        tx.put("a", b"second\n")
        tx.rename("d/f", "d/g")
        tx.remove("l")
        tx.setxattr("d", b"user.shape", b"round")
        tx.chmod("big", 0o600)
        tx.commit()


def view(flash: Flash) -> View:
    """Raises FormatError: no mount."""
    seen = View({}, {})
    with FileSystem(flash, endian="little") as fs:
        for path, status in fs.walk(onerror=lambda path, error: None):
            seen.entries[path] = entry_of(fs, path, status, skip_broken=True)
            if status.type == "file":
                data = b"".join(fs.chunks_ino(status.ino))
                seen.chunks[path] = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    return seen


def nodes_of(flash: Flash) -> list[tuple[int, int]]:
    with FileSystem(flash) as fs:
        nodes = lib.jx_fs_nodes(fs.handle)
        every = (nodes[number] for number in range(lib.jx_fs_node_count(fs.handle)))
        return [(node.offset, node.totlen) for node in every if node.nodetype]


@pytest.mark.parametrize("name", GEOMETRIES)
def test_one_bit_of_a_node_flips(name):
    geometry, strategy = GEOMETRIES[name]
    with start(name) as flash:
        old = view(flash)
        upgrade(flash, strategy)
        new = view(flash)
        content, nodes = flash.read(0, geometry.size), nodes_of(flash)
        with FileSystem(flash) as fs:
            assert fs.has_summaries == name.endswith("summaries")
    seen: Counter[str] = Counter()
    with Flash.memory(geometry, content) as flash:
        for number, (offset, length) in enumerate(nodes):
            whole = content[offset : offset + length]
            for bit in range(number % EVERY, length * 8, EVERY):
                flipped = bytearray(whole)
                flipped[bit // 8] ^= 1 << bit % 8
                check(lib.jx_flash_load(flash.handle, offset, bytes(flipped), length))
                seen[outcome(flash, old, new, f"{name}: bit {bit} of the node at 0x{offset:x}")] += 1
            check(lib.jx_flash_load(flash.handle, offset, whole, length))
    print(f"{name}: {sum(seen.values())} bits of {len(nodes)} nodes: {dict(seen)}")
    assert seen["the same"] and seen["something is lost"] and seen["an older one came back"]


def outcome(flash: Flash, old: View, new: View, where: str) -> str:
    try:
        now = view(flash)
    except FormatError:
        return "no mount"
    if now == new:
        return "the same"
    for path, entry in now.entries.items():
        sources = [one for one in (old, new) if path in one.entries]
        assert sources, f"{where}: {path!r} was never there"
        assert any(is_less_of(entry, one.entries[path]) for one in sources), f"{where}: {entry}"
        for number, chunk in enumerate(now.chunks.get(path, [])):
            known = [one.chunks[path][number] for one in sources if number < len(one.chunks.get(path, []))]
            assert chunk in known or not chunk.strip(b"\0"), f"{where}: {path!r}, chunk {number}"
    came_back = any(
        entry != new.entries.get(path) and entry == old.entries.get(path) for path, entry in now.entries.items()
    )
    return "an older one came back" if came_back else "something is lost"


def is_less_of(entry: Entry, whole: Entry) -> bool:
    """The same, but for attributes that are missing, and the end of a file (jffs2_do_read_inode_internal cuts it off
    behind the last data); a directory without its inode node is made up by the reader, and one without the dirent that
    dates it has an older time.
    """
    if entry.type != whole.type or not entry.xattrs.items() <= whole.xattrs.items():
        return False
    if entry.type == "dir":
        return True
    shown = (entry.mode, entry.uid, entry.gid, entry.time, entry.link, entry.device)
    there = (whole.mode, whole.uid, whole.gid, whole.time, whole.link, whole.device)
    return shown == there and entry.size <= whole.size
