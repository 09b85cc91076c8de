"""Media made to hurt a reader: what fuzzing found, and that reading costs no more than the medium holds."""

import stat

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Geometry
from jffs2tx.errors import FormatError
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import Compr, NodeType, build
from jffs2tx.manifest import Manifest
from jffs2tx.upgrade import recover

from .crafted import ERASE, NAND, NOR, block, directory, dirent, inode, medium, tag

ROOT = directory(1)
HUGE = 0xFFFFFFF0


def digest(flash):
    out = ffi.new("uint8_t[16]")
    with FileSystem(flash) as fs:
        check(lib.jx_fs_digest(fs.handle, out))
    return bytes(out)


def hole(ino, version, length, offset=0, size=None):
    return inode(ino, version, b"", offset=offset, size=size or offset + length, dsize=length, compr=Compr.ZERO)


def summary_of(entries, start, erase=ERASE):
    fields = {"totlen": erase - start, "cln_mkr": 12, "padded": 0, "marker_offset": start}
    return build(NodeType.SUMMARY, "little", entries=entries, **fields)


def with_summary(entries, *nodes):
    start = ERASE // 2
    return block(*nodes)[:start] + summary_of(entries, start)


# ---- found by fuzzing (undefined behaviour, seen by a sanitizer) ----


def test_a_summary_that_names_nothing_first():
    """The kernel: "zero at start of name. Aborting mount" (jffs2_sum_process_sum_data)."""
    entry = {"nodetype": NodeType.DIRENT, "totlen": 40, "offset": 12, "pino": 1, "version": 1, "ino": 2, "type": 8}
    entry["name"] = b""
    with pytest.raises(FormatError), FileSystem(medium(with_summary([entry]), block(ROOT))):
        pass


def test_a_first_node_that_refuses_the_mount():
    with pytest.raises(FormatError), FileSystem(medium(block(build(0xE0F0, "little"), start=b""))):
        pass


@pytest.mark.parametrize("strategy", [0, 1, 2, 3], ids=["swap", "flip", "seal", "lift"])
@pytest.mark.parametrize("geometry", [NOR, NAND, Geometry("nor-ecc", 8 * ERASE, ERASE, 32)], ids=lambda one: one.kind)
def test_a_tag_that_claims_another_strategy(geometry, strategy):
    """Nodes stand where flip and lift have headers; with pages of 32 bytes what lift writes first has no length."""
    commit = block(tag(2, 1, strategy=strategy), dirent(1, 2, b"name", 2), inode(2, 1, b"content"), start=b"")
    flash = medium(commit, block(ROOT), geometry=geometry)
    assert recover(flash).state == "settled"
    with FileSystem(flash) as fs:
        assert fs.read("name") == b"content"


@pytest.mark.parametrize("strategy", [0, 1, 2, 3], ids=["swap", "flip", "seal", "lift"])
def test_what_a_summary_leaves_out_stays_hidden(strategy):
    """A commit block that is written once more keeps its summary, whatever its tag claims."""
    nodes = [tag(2, 1, strategy=strategy), dirent(1, 2, b"name", 2), inode(2, 1, b"content"), inode(2, 2, b"hidden")]
    at = len(nodes[0])
    entries = [{"nodetype": NodeType.DIRENT, "totlen": 44, "offset": at, "pino": 1, "version": 2, "ino": 2, "type": 8}]
    entries[0]["name"] = b"name"
    entries += [{"nodetype": NodeType.INODE, "ino": 2, "version": 1, "offset": at + 44, "totlen": 75}]
    start = ERASE // 2
    commit = block(*nodes, start=b"")[:start] + summary_of(entries, start)
    flash = medium(commit, block(ROOT, start=b""), geometry=NAND)
    for _ in range(2):
        with FileSystem(flash) as fs:
            assert fs.read("name") == b"content"
        recover(flash)


# ---- holes ----


def test_a_hole_is_as_good_as_the_zeros_it_stands_for():
    name = dirent(1, 1, b"f", 2)
    zeros = medium(block(ROOT, name, inode(2, 1, bytes(4096)), inode(2, 2, b"x", offset=4096)))
    holes = medium(block(ROOT, name, hole(2, 1, 4096), inode(2, 2, b"x", offset=4096)))
    other = medium(block(ROOT, name, hole(2, 1, 4096), inode(2, 2, b"y", offset=4096)))
    assert digest(zeros) == digest(holes) != digest(other)


def test_a_file_of_4_gib_costs_what_it_holds():
    """A thousand of them: read byte by byte they would be four terabytes."""
    files = [(dirent(1, ino, b"%d" % ino, ino), hole(ino, 1, HUGE)) for ino in range(2, 1002)]
    blocks = [block(*(node for file in files[at : at + 100] for node in file)) for at in range(0, 1000, 100)]
    flash = medium(block(ROOT), *blocks)
    with FileSystem(flash) as fs:
        assert len(fs.list("/")) == 1000
        assert fs.stat("/2").size == HUGE
    assert digest(flash)


@pytest.mark.parametrize("offset, found", [(0, (10, 5)), (12, (12, 3)), (15, None), (HUGE, None)])
def test_data_between_holes(offset, found):
    nodes = hole(2, 1, HUGE), inode(2, 2, b"hello", offset=10, size=HUGE)
    at, length = ffi.new("uint32_t *"), ffi.new("uint32_t *")
    with FileSystem(medium(block(ROOT, dirent(1, 1, b"f", 2), *nodes))) as fs:
        there = check(lib.jx_fs_data(fs.handle, 2, offset, at, length))
        assert ((at[0], length[0]) if there else None) == found
        assert lib.jx_fs_data(fs.handle, 1, 0, at, length) == lib.JX_EISDIR


def test_a_file_of_which_there_is_nothing():
    with FileSystem(medium(block(ROOT, dirent(1, 1, b"f", 2), inode(2, 1)))) as fs:
        at, length = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        assert lib.jx_fs_data(fs.handle, 2, 0, at, length) == 0


# ---- overlaps ----


def test_a_node_that_shows_through_many_others():
    packed = b"".join(b"a\xff" for _ in range(16))
    nodes = [inode(2, 1, packed, dsize=4096, size=4096, compr=Compr.RTIME, mode=stat.S_IFREG | 0o644)]
    nodes += [inode(2, 2 + i, b"b", offset=2 * i, size=4096) for i in range(100)]
    with FileSystem(medium(block(ROOT, dirent(1, 1, b"f", 2), *nodes))) as fs:
        assert fs.read("/f") == b"ba" * 100 + b"a" * (4096 - 200)


def test_the_error_of_what_comes_first_in_the_file():
    """Whatever the order on the medium."""
    unknown = inode(2, 1, b"1", offset=4096, compr=99)
    broken = inode(2, 2, b"1", offset=0, size=4097, dsize=4096, compr=Compr.ZLIB)
    codes = set()
    for nodes in ((unknown, broken), (broken, unknown)):
        with FileSystem(medium(block(ROOT, dirent(1, 1, b"f", 2), *nodes))) as fs:
            codes.add(lib.jx_fs_read(fs.handle, 2, 0, ffi.new("char[8192]"), 8192))
    assert codes == {lib.JX_ECORRUPT}


# ---- summaries, headers, numbers ----


def test_a_summary_of_more_than_the_block_holds_is_not_believed():
    node = inode(2, 1, bytes(2000))
    entry = {"nodetype": NodeType.INODE, "ino": 2, "version": 1, "offset": 12, "totlen": len(node)}
    name = dirent(1, 1, b"f", 2)
    for count, by_summary in ((1, True), (3, True), (4, False)):
        flash = medium(with_summary([entry] * count, node), block(ROOT, name))
        out = ffi.new("jx_fs **")
        check(
            lib.jx_fs_open(
                flash.handle, ffi.new("struct jx_reader *", {"endian": 0, "summary": 1, "empty_scan_bytes": 256}), out
            )
        )
        assert bool(lib.jx_fs_nodes(out[0])[1].by_summary) == by_summary
        lib.jx_fs_close(out[0])


def test_bad_headers_have_so_many_records_and_no_more():
    flash = medium(block(start=b"\x85\x19\x01\xe0" * (ERASE // 4 - 3)), block(ROOT))
    with FileSystem(flash) as fs:
        assert lib.jx_fs_node_count(fs.handle) < 64 + 50
        assert fs.list("/") == []


# ---- manifests ----


def test_a_line_of_spaces_is_blank():
    text = b"#jffs2tx manifest 1\n  \n. type=dir mode=0755 uid=0 gid=0 time=1\n"
    assert len(Manifest.parse(text)) == 1
