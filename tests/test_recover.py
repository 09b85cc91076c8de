"""Recover at every boot: it reads little and writes nothing where nothing waits, and lets nothing pass that does."""

import pytest

from jffs2tx._ffi import ffi, lib
from jffs2tx.device import Geometry
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, build
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import recover, tidy

from .crafted import (
    CLEANMARKER,
    ERASE,
    KIB,
    LINUX_SUMMARY,
    NAND,
    NOR,
    block,
    content,
    crash,
    cuts,
    dirent,
    filesystem,
    inode,
    medium,
    obsolete,
    state,
    tag,
)
from .test_unfinished import CASES, upgraded
from .trees import noise

MIB = 1024 * KIB
MEDIA = {
    "nor": Geometry("nor", 64 * MIB, 64 * KIB),
    "nor-ecc": Geometry("nor-ecc", 64 * MIB, 64 * KIB, 64),
    "nand2k": Geometry("nand", 64 * MIB, 128 * KIB, 2048, 512, 38),
    "nand512": Geometry("nand", 64 * MIB, 16 * KIB, 512, 512, 8),
}
STRATEGIES = {
    "nor": ("swap", "flip"),
    "nor-ecc": ("swap", "seal"),
    "nand2k": ("swap", "seal", "lift"),
    "nand512": ("seal",),
}


def large(geometry):
    """A quarter of the medium in files."""
    files = {b"d": None} | {b"d/%d" % number: noise(number, MIB) for number in range(16)}
    return filesystem(geometry, files)


def put(flash, path, data, strategy="auto"):
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, strategy=strategy, readers=LINUX_SUMMARY)
        tx.put(path, data)
        tx.commit()


def figures(flash, function=recover, **options):
    """What it says, the bytes that it read, and how often it wrote."""
    before = flash.stats
    done = function(flash, **options)
    after = flash.stats
    writes = after.programs + after.erases - before.programs - before.erases
    return done, after.bytes_read - before.bytes_read, writes


@pytest.mark.parametrize("endian", ["little", None])
@pytest.mark.parametrize(("name", "strategy"), [(name, s) for name in MEDIA for s in STRATEGIES[name]])
def test_where_nothing_waits_little_is_read(name, strategy, endian):
    geometry = MEDIA[name]
    with large(geometry) as flash:
        for wanted in ("none", "settled"):
            done, read, writes = figures(flash, endian=endian)
            print(f"{name} {strategy} {wanted}: {read:,} of {geometry.size:,} bytes")
            assert (done.state_before, done.state, done.did_nothing, writes) == (wanted, wanted, True, 0)
            assert read <= geometry.size * (0.07 if geometry.write_size == 512 else 0.04)
            if wanted == "none":
                put(flash, "d/new", noise(99, 300_000), strategy)


@pytest.mark.parametrize(("geometry", "strategy"), CASES)
def test_whatever_a_cut_leaves_is_finished(geometry, strategy):
    """Torn programs and interrupted erases too: the tree stays, and what a full scan finds afterwards is settled."""
    faults = lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F3_BITS | lib.JX_F5_ERASE
    flash = upgraded(geometry, strategy)
    found, quick = set(), 0
    for cut in cuts(flash):
        for tear in range(0, tears(flash, cut, faults), 15):
            with crash(flash, cut, faults, tear) as after:
                before, was = content(after), state(after)
                done, read, _ = figures(after)
                found.add(was)
                quick += read < geometry.size // 2
                assert done.state in ("none", "settled") and state(after) == done.state, (cut, tear)
                assert content(after) == before, (cut, tear)
                assert was in ("none", "settled") or not done.did_nothing, (cut, tear)
    assert found >= {"staged", "committed", "settled"} and quick


def tears(flash, cut, faults):
    count = ffi.new("uint32_t *")
    assert lib.jx_crash_tears(flash.handle, cut, faults, count) == 0
    return count[0]


TREE = block(dirent(1, 1, b"a", 2), inode(2, 1, b"content"))
ORPHAN = inode(9, 1, b"orphan" * 20)
STARTS = {
    "noise": b"\x12\x34" * 50,
    "a header cleared": b"\0\0\0\0" + ORPHAN[4:],
    "half a header": ORPHAN[:6],
    "a header without its CRC": ORPHAN[:8] + b"\0\0\0\0" + ORPHAN[12:],
    "a torn tag": tag(1, 7)[:30],
    "a tag marked obsolete": obsolete(tag(1, 7)) + ORPHAN,
    "a staging tag": tag(1, 7) + ORPHAN,
    "a commit tag": tag(2, 7) + ORPHAN,
    "an older commit beside a settled one": tag(2, 6) + ORPHAN,
    "a container": build(NodeType.CONTAINER, "little", totlen=ERASE),
    "the end of what was erased": b"\xff" * (ERASE - 8) + b"\x12" * 8,
    "a commit by lift": b"\xff" * 1024 + tag(2, 7, strategy=lib.JX_LIFT) + ORPHAN,
    "noise where lift has its tag": b"\xff" * 1024 + b"\x12" * 100,
}


PENDING = ("a staging tag", "a commit tag", "an older commit beside a settled one", "a commit by lift")


@pytest.mark.parametrize(
    ("start", "geometry"),
    [
        pytest.param(start, geometry, id=f"{geometry.kind}-{start}")
        for start in STARTS
        for geometry in (NOR, NAND)
        if geometry is NAND or "lift" not in start
    ],
)
def test_a_block_that_starts_otherwise_is_read_whole(geometry, start):
    """And erased where a transaction waits, since nothing in it is needed. What seems committed is written once more
    before, where bits are not programmed one by one, and that block is erased too. With nothing of ours pending nothing
    is written at all."""
    clean = CLEANMARKER if geometry is NOR else b""
    tree = TREE if geometry is NOR else block(dirent(1, 1, b"a", 2), inode(2, 1, b"content"), start=b"")
    settled = block(tag(3, 6), dirent(1, 2, b"b", 2), start=b"") if "older" in start else block(start=clean)
    odd = STARTS[start].ljust(ERASE, b"\xff")
    with medium(tree, settled, odd, geometry=geometry) as flash:
        done, read, writes = figures(flash)
        erased = 2 if geometry is NAND and start.startswith(("a commit tag", "an older commit")) else 1
        erased = erased if start in PENDING else 0
        assert (done.blocks_erased, read > geometry.size) == (erased, True) and bool(writes) == bool(erased)
        assert content(flash)[b"a"] == b"content"
        done, read, writes = figures(flash)
        assert done.did_nothing and not writes
        assert read < geometry.size // 2 or not erased  # what stays is looked at each time
    with medium(tree, settled, geometry=geometry) as flash:
        assert figures(flash)[1] < geometry.size // 2


def test_what_the_kernel_will_collect_is_left_to_it():
    """Unless it is asked for: an upgrade ends so."""
    with medium(TREE, block(ORPHAN)) as flash:
        done, _, writes = figures(flash)
        assert done.did_nothing and not writes
        assert figures(flash, tidy)[0].blocks_erased == 1


@pytest.mark.parametrize("at", ["behind a cleanmarker", "behind a node"])
def test_a_tag_out_of_place_is_none(at):
    """recover and the next upgrade agree on what waits: a commit tag away from its block's start stops neither."""
    stray = tag(lib.JX_TAG_COMMIT, 7)
    second = [stray, dirent(1, 9, b"g", 5)] if at == "behind a cleanmarker" else [dirent(1, 9, b"g", 5), stray]
    with medium(block(dirent(1, 2, b"f", 5), inode(5, 1)), block(*second)) as flash:
        assert state(flash) == "none"
        assert recover(flash).state == tidy(flash).state == "none"
        put(flash, "/h", b"new")
        assert content(flash)[b"h"] == b"new"
