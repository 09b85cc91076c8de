"""Nodes of unknown types, by compatibility class as the kernel takes them; and what hostile media cost in memory."""

import struct
import zlib

import pytest

from jffs2tx._ffi import ffi, lib
from jffs2tx.device import Flash
from jffs2tx.errors import Corrupt, FormatError
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import build
from jffs2tx.upgrade import apply_upgrade, recover, tidy, wanted_tree

from .crafted import NOR, block, content, directory, dirent, entries, inode, medium

CLASSES = {"incompat": 0xE0F0, "rocompat": 0xA0F0, "rwcompat-copy": 0x60F0, "rwcompat-delete": 0x20F0}
FILE = (directory(1), dirent(1, 2, b"f", 2), inode(2, 1, b"content"))


def with_unknown(nodetype):
    return medium(block(*FILE, build(nodetype, "little", data=b"what it holds" * 3)))


def verdicts(flash, **options):
    with FileSystem(flash, **options) as fs:
        nodes = lib.jx_fs_nodes(fs.handle)
        found = [nodes[i] for i in range(lib.jx_fs_node_count(fs.handle))]
        return {node.nodetype: node.verdict for node in found if node.nodetype}


def upgrade(flash):
    manifest, source = entries({b"f": b"another"})
    return apply_upgrade(flash, wanted_tree(manifest), source)


@pytest.mark.parametrize("name", ["rwcompat-copy", "rwcompat-delete"])
def test_rwcompat_is_passed_over_and_written_beside(name):
    with with_unknown(CLASSES[name]) as flash:
        assert content(flash) == {b"f": b"content"}
        upgrade(flash)
        assert content(flash) == {b"f": b"another"}


def test_rocompat_is_read_but_never_written_to():
    """The kernel mounts it read-only (JFFS2_SB_FLAG_RO), and refuses with EROFS otherwise."""
    with with_unknown(CLASSES["rocompat"]) as flash:
        before = flash.read(0, NOR.size)
        assert content(flash) == {b"f": b"content"}
        with pytest.raises(FormatError, match=r"at 0x[0-9a-f]+ allows .* read-only"):
            upgrade(flash)
        with pytest.raises(FormatError):
            tidy(flash)
        assert recover(flash).did_nothing
        assert flash.read(0, NOR.size) == before


def test_incompat_refuses_the_mount_and_shows_only_its_nodes():
    with with_unknown(CLASSES["incompat"]) as flash:
        with pytest.raises(FormatError, match=r"unknown type at 0x[0-9a-f]+ forbids the mount"):
            FileSystem(flash)
        assert verdicts(flash, inspect=True)[CLASSES["incompat"]] == lib.JX_V_GOOD


@pytest.mark.parametrize("name", CLASSES)
def test_an_obsolete_one_is_of_no_class(name):
    with with_unknown(CLASSES[name] & ~0x2000) as flash:
        assert content(flash) == {b"f": b"content"}


# ---- device numbers ----


@pytest.mark.parametrize(
    ("data", "fields", "device"),
    [
        (b"\x11\x08", {}, (8, 17)),
        (b"\x11\x08\0\0", {}, (8, 17)),
        (b"\x34\x12\x10\x00", {}, (0x12, 0x34 | 0x100)),
        (zlib.compress(b"\x11\x08"), {"compr": 6, "dsize": 2}, (8, 17)),
        (b"", {"compr": 1, "dsize": 4}, (0, 0)),
    ],
)
def test_device_numbers_of_16_and_32_bits(data, fields, device):
    """Whatever way they are compressed (jffs2_iget)."""
    node = inode(2, 1, data, mode=0o20600, size=len(data), **fields)
    with medium(block(directory(1), dirent(1, 2, b"d", 2, type=2), node)) as flash, FileSystem(flash) as fs:
        assert fs.stat("d").device == device


@pytest.mark.parametrize("data", [b"", b"\x11", b"\x11\x08\0", b"\x11\x08\0\0\0"])
def test_device_numbers_of_other_sizes_are_none(data):
    node = inode(2, 1, data, mode=0o20600)
    with medium(block(directory(1), dirent(1, 2, b"d", 2, type=2), node)) as flash:
        fs = FileSystem(flash)
        with fs, pytest.raises(Corrupt):
            fs.stat("d")


# ---- memory ----

HEADER = struct.pack("<HHII", 0x1985, 0xE001, 40, 0)
HOSTILE = {
    "magics": b"\x85\x19" * 2,
    "magics apart": b"\x85\x19\x01\xe0" + b"\0" * 4,
    "bad headers": HEADER,
    "bad headers and erased words": HEADER + b"\xff" * 4,
    "cleanmarkers": build(0x2003, "little"),
    "padding": build(0x2004, "little", data=b""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_medium_takes_more_than_a_few_times_its_size(name):
    """Records of nodes and runs are what the index is made of."""
    piece = HOSTILE[name]
    raw = (piece * (NOR.size // len(piece) + 1))[: NOR.size]
    with Flash.memory(NOR, raw) as flash, FileSystem(flash, inspect=True) as fs:
        records = lib.jx_fs_node_count(fs.handle)
        assert 0 < records * ffi.sizeof("struct jx_node") <= 5 * NOR.size
        if name != "cleanmarkers" and name != "padding":
            assert records <= NOR.blocks * 200
