"""An inode that cannot be read stops no upgrade that replaces or removes it."""

import pytest

from jffs2tx._ffi import lib
from jffs2tx.device import Flash
from jffs2tx.errors import Corrupt, NotFound
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, build
from jffs2tx.manifest import Entry
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import apply_upgrade, old_tree, plan_upgrade, recover, wanted_tree

from .crafted import ERASE, LINUX_SUMMARY, NAND, NOR, block, content, directory, dirent, entries, filesystem, inode
from .crafted import tree as tree_of

LINK = Entry(path=b"dir/link", type="link", mode=0o777, uid=0, gid=0, time=100, link=b"file")
DEVICE = Entry(path=b"dir/device", type="char", mode=0o600, uid=0, gid=0, time=100, device=(4, 5))
FILES = {
    b"dir": None,
    b"dir/device": DEVICE,
    b"dir/empty": None,
    b"dir/file": b"some content" * 900,
    b"dir/link": LINK,
    b"other": b"stays as it is",
}
BREAKABLE = [b"dir/device", b"dir/empty", b"dir/file", b"dir/link"]
GEOMETRIES = {"nor": NOR, "nand": NAND}


def broken(geometry, path, part="data"):
    """The tree with a wrong byte in every node of one inode: in its data, or in its fixed fields."""
    flash = filesystem(geometry, FILES)
    raw = bytearray(flash.read(0, geometry.size))
    with FileSystem(flash) as fs:
        ino = fs.resolve(path)
        nodes = lib.jx_fs_nodes(fs.handle)
        for node in (nodes[i] for i in range(lib.jx_fs_node_count(fs.handle))):
            if node.nodetype == lib.JX_NODE_INODE and node.ino == ino:
                raw[node.offset + (68 if part == "data" and node.csize else 30)] ^= 0x5A
    flash.close()
    return Flash.memory(geometry, bytes(raw))


def apply(flash, files):
    manifest, source = entries(files)
    wanted = wanted_tree(manifest)
    with FileSystem(flash) as fs:
        plan_upgrade(fs, wanted, source, readers=LINUX_SUMMARY)
    return apply_upgrade(flash, wanted, source, readers=LINUX_SUMMARY)


def same_tree(flash, files):
    """Whether the medium has these files, byte for byte."""
    with filesystem(flash.geometry, files) as wanted, FileSystem(wanted) as one, FileSystem(flash) as other:
        return one.digest() == other.digest()


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("path", BREAKABLE)
@pytest.mark.parametrize("part", ["data", "fields"])
def test_it_is_replaced(geometry, path, part):
    with broken(GEOMETRIES[geometry], path, part) as flash:
        with FileSystem(flash) as fs, pytest.raises((Corrupt, NotFound)):  # none left: the kernel drops the name
            fs.stat(path) if path != b"dir/file" else fs.read(path)
        assert apply(flash, FILES).plan.inodes
        assert same_tree(flash, FILES)
        assert recover(flash).state == "settled"


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("path", BREAKABLE)
def test_it_is_removed(geometry, path):
    files = {name: what for name, what in FILES.items() if name != path}
    with broken(GEOMETRIES[geometry], path) as flash:
        apply(flash, files)
        assert same_tree(flash, files)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("path", BREAKABLE)
def test_it_takes_another_type(geometry, path):
    files = FILES | {path: b"a plain file in its place"}
    with broken(GEOMETRIES[geometry], path) as flash:
        apply(flash, files)
        assert same_tree(flash, files)


def test_it_goes_with_its_directory():
    with broken(NOR, b"dir/link") as flash:
        apply(flash, {b"other": FILES[b"other"]})
        assert content(flash) == {b"other": FILES[b"other"]}


def test_an_upgrade_elsewhere_by_the_api_leaves_it_alone():
    with broken(NOR, b"dir/link") as flash:
        with FileSystem(flash) as fs:
            tx = Transaction(flash, fs, time=100)
            tx.put("new", b"data")
            tx.commit()
        with FileSystem(flash) as fs:
            assert fs.read("new") == b"data"
            assert b"link" in fs.list("/dir")
            with pytest.raises(Corrupt):
                fs.stat("/dir/link")
            tx = Transaction(flash, fs, time=100)
            tx.remove("dir/link")
            tx.commit()
        assert sorted(content(flash)) == [b"dir/file", b"new", b"other"]


def test_unknown_compression_counts_as_unreadable():
    strange = inode(2, 1, b"what is this", compr=0x77)
    with Flash.memory(NOR, block(directory(1), dirent(1, 2, b"f", 2), strange)) as flash:
        apply(flash, {b"f": b"what is this"})
        assert content(flash) == {b"f": b"what is this"}


def test_a_directory_with_an_impossible_name_is_written_anew():
    """Kernels fail to list such a directory (verify_dirent_name)."""
    nodes = [directory(1), dirent(1, 2, b"d", 2, type=4), directory(2), dirent(2, 2, b"good", 3), inode(3, 1, b"x")]
    with Flash.memory(NOR, block(*nodes, dirent(2, 3, b"../evil", 4), inode(4, 1, b"y"))) as flash:
        apply(flash, {b"d": None, b"d/good": b"x"})
        assert same_tree(flash, {b"d": None, b"d/good": b"x"})


def test_an_attribute_that_cannot_be_read_is_none():
    """As for the kernel (check_xattr_ref_inode)."""
    attribute = bytearray(build(NodeType.XATTR, "little", xid=1, version=1, xprefix=1, name=b"a", value=b"v"))
    attribute[34] ^= 1
    nodes = [directory(1), dirent(1, 2, b"f", 2), inode(2, 1, b"x")]
    nodes += [bytes(attribute), build(NodeType.XREF, "little", ino=2, xid=1, xseqno=2)]
    with Flash.memory(NOR, block(*nodes)) as flash, FileSystem(flash) as fs:
        with pytest.raises(Corrupt):
            fs.xattrs("f")
        old = old_tree(fs).paths[b"f"]
        assert (old.entry.xattrs, old.broken) == ({}, False)
        apply(flash, {b"f": b"y"})
        assert content(flash) == {b"f": b"y"}


def test_many_broken_files_at_once():
    names = [b"f%03d" % number for number in range(200)]
    nodes = [directory(1), *(dirent(1, 2 + i, name, 2 + i) for i, name in enumerate(names))]
    bad = [inode(2 + i, 1, b"data" * 3)[:-1] + b"?" for i in range(len(names))]
    assert sum(map(len, nodes)) < ERASE
    with Flash.memory(NOR, block(*nodes) + block(*bad[:100]) + block(*bad[100:])) as flash:
        files = dict.fromkeys(names[::2], b"mended")
        apply(flash, files)
        assert {path: data for path, (_, data) in tree_of(flash).items() if path} == files


def test_the_root_without_any_node_is_no_broken_inode():
    with Flash.memory(NOR, block(dirent(1, 1, b"f", 2), inode(2, 1, b"a"))) as flash, FileSystem(flash) as fs:
        assert not old_tree(fs).paths[b""].broken
