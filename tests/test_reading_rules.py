"""Rules of reading that only odd media show. Each names the kernel function that decides."""

import pytest

from jffs2tx._ffi import lib
from jffs2tx.errors import Corrupt, LimitError, NotFound
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, build, crc32
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import tidy
from tests.crafted import block, content, directory, dirent, inode, medium, obsolete, tree

ROOT = directory(1)


def mode(flash, path):
    with FileSystem(flash) as fs:
        return fs.stat(path).mode


def deleted_without_summary_support(*older):
    """One of two names of a file, under a summary, that a kernel without summary support has removed since."""
    gone = dirent(1, 3, b"gone", 3)
    nodes = [ROOT, *older, gone, dirent(1, 4, b"kept", 3), inode(3, 1, b"x")]
    return medium(block(*nodes, summary=range(len(nodes))).replace(gone, obsolete(gone)))


def test_a_name_of_a_summary_whose_node_is_obsolete_is_not_listed():
    """jffs2_get_inode_nodes: the header CRC is that of a node that is not obsolete."""
    flash = deleted_without_summary_support()
    assert content(flash) == {b"kept": b"x"}
    with FileSystem(flash) as fs, pytest.raises(NotFound):
        fs.stat("gone")
    assert content(flash, summary=False) == {b"kept": b"x"}


def test_such_a_name_still_hides_an_older_one():
    """jffs2_sum_process_sum_data hands it to jffs2_add_fd_to_list, which drops the older."""
    flash = deleted_without_summary_support(inode(2, 1, b"old"), dirent(1, 2, b"gone", 2))
    assert content(flash) == {b"kept": b"x"}


def test_such_a_name_can_be_given_again():
    flash = deleted_without_summary_support()
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs)
        tx.put("gone", b"back")
        tx.commit()
    assert content(flash) == content(flash, summary=False) == {b"kept": b"x", b"gone": b"back"}


def test_a_file_of_a_summary_without_a_good_node_is_there_and_unreadable():
    nodes = [ROOT, dirent(1, 2, b"f", 2), inode(2, 1, b"data")]
    whole = block(*nodes, summary=range(3)).replace(nodes[2], nodes[2][:12] + bytes(4) + nodes[2][16:])
    with FileSystem(medium(whole)) as fs:
        assert fs.list() == [b"f"]
        with pytest.raises(Corrupt):
            fs.stat("f")


def test_of_equal_versions_of_a_file_the_one_scanned_last_counts():
    """jffs2_link_node_ref puts it in front; jffs2_add_tn_to_tree keeps what it met first."""
    nodes = (inode(2, 5, mode=0o100600, size=1), inode(2, 5, mode=0o100640, size=1))
    flash = medium(block(ROOT, dirent(1, 2, b"f", 2), inode(2, 1, b"a"), *nodes))
    assert mode(flash, "f") == 0o640
    data = (inode(2, 5, b"first"), inode(2, 5, b"later"))
    assert content(medium(block(ROOT, dirent(1, 2, b"f", 2), *data))) == {b"f": b"later"}


def test_a_directory_keeps_its_time_when_the_block_with_its_newest_deletion_could_go():
    """mctime_ver: a deletion that nothing older needs any more still dates its directory."""
    flash = medium(
        block(ROOT, dirent(1, 2, b"f", 2, mctime=50), inode(2, 1, b"a")), block(dirent(1, 9, b"g", 0, mctime=77))
    )
    with FileSystem(flash) as fs:
        before = fs.digest()
        assert fs.stat("/").mtime == 77
    tidy(flash)
    with FileSystem(flash) as fs:
        assert fs.stat("/").mtime == 77
        assert fs.digest() == before


@pytest.mark.parametrize("ino", [0, 7, 0xFFFFFFFF])
def test_an_inode_that_is_not_there(ino):
    with FileSystem(medium(block(ROOT))) as fs, pytest.raises(NotFound):
        fs.stat_ino(ino)


@pytest.mark.parametrize("version", [0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
def test_no_version_comes_after_the_last(version):
    flash = medium(block(ROOT, dirent(1, version, b"f", 2), inode(2, 1, b"a")))
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs)
        tx.remove("f")
        with pytest.raises(LimitError):
            tx.commit()
    assert content(flash) == {b"f": b"a"}


def test_no_sequence_number_of_a_reference_comes_after_the_last():
    xref = build(NodeType.XREF, "little", ino=1, xid=1, xseqno=0xFFFFFFFE)
    flash = medium(block(ROOT, xref, dirent(1, 2, b"f", 2), inode(2, 1, b"a")))
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs)
        tx.setxattr("f", b"user.a", b"v")
        with pytest.raises(LimitError):
            tx.commit()
        tx.removexattr("f", b"user.a")
        tx.remove("f")
        tx.commit()
    assert content(flash) == {}


def twice_named_attribute():
    """What the kernel leaves of a changed attribute until garbage collection: the old reference, undeleted."""
    data = [
        build(NodeType.XATTR, "little", xid=xid, version=1, xprefix=1, name=b"a", value=value)
        for xid, value in ((1, b"old"), (2, b"new"))
    ]
    refs = [build(NodeType.XREF, "little", ino=2, xid=xid, xseqno=2 * xid) for xid in (1, 2)]
    return medium(block(ROOT, dirent(1, 2, b"f", 2), inode(2, 1, b"x"), *data, *refs))


def attributes(flash):
    with FileSystem(flash) as fs:
        return fs.xattrs("f")


def test_of_two_attributes_of_one_name_the_newer_counts():
    """check_xattr_ref_inode."""
    assert attributes(twice_named_attribute()) == {b"user.a": b"new"}


def test_an_attribute_that_is_taken_away_does_not_bring_back_an_older_one():
    flash = twice_named_attribute()
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs)
        tx.removexattr("f", b"user.a")
        tx.commit()
    assert attributes(flash) == {}


def test_an_older_attribute_of_the_same_name_is_no_part_of_the_digest():
    flash = twice_named_attribute()
    with FileSystem(flash) as fs:
        before = fs.digest()
    only = medium(
        block(
            ROOT,
            dirent(1, 2, b"f", 2),
            inode(2, 1, b"x"),
            build(NodeType.XATTR, "little", xid=2, version=1, xprefix=1, name=b"a", value=b"new"),
            build(NodeType.XREF, "little", ino=2, xid=2, xseqno=4),
        )
    )
    with FileSystem(only) as fs:
        assert fs.digest() == before


# ---- media made to be slow or large ----


def test_a_node_that_claims_more_data_than_it_has():
    """PAD(csize + 68) wraps around to 68."""
    raw = bytearray(inode(2, 1, size=4, dsize=4))
    raw[48:52] = (0xFFFFFFFD).to_bytes(4, "little")
    raw[64:68] = crc32(bytes(raw[:60])).to_bytes(4, "little")
    flash = medium(block(ROOT, dirent(1, 2, b"f", 2), bytes(raw)))
    with FileSystem(flash) as fs:
        nodes = lib.jx_fs_nodes(fs.handle)
        assert [nodes[i].verdict for i in range(lib.jx_fs_node_count(fs.handle)) if nodes[i].ino == 2] == [
            lib.JX_V_BAD_NODE
        ]


def test_a_summary_that_jumps_back_and_forth_is_swept_once():
    hidden = [inode(5, i + 1) for i in range(40)]
    nodes = [ROOT, *hidden, dirent(1, 2, b"f", 2)]
    order = [0, len(nodes) - 1] * 60
    flash = medium(block(*nodes, summary=order))
    with FileSystem(flash) as fs:
        assert lib.jx_fs_node_count(fs.handle) < 300


def test_the_root_is_there_without_a_node():
    assert tree(medium(block(dirent(1, 1, b"f", 2), inode(2, 1, b"a"))))[b""][0] == 1
