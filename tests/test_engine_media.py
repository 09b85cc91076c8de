"""The engine on odd media, and where room is short: garbage collection, staging of several blocks and new images, with
allocations, the power or blocks failing."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import Jffs2txError, LimitError, PowerCut, TooBig
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, build, crc32
from jffs2tx.mkfs import make_filesystem
from jffs2tx.upgrade import tidy

from .crafted import (
    CLEANMARKER,
    ERASE,
    KIB,
    NAND,
    NOR,
    block,
    content,
    directory,
    dirent,
    entries,
    filesystem,
    inode,
    medium,
    obsolete,
    state,
    tag,
)
from .medium import attributes, blocks, transaction
from .test_engine_errors import (
    NEVER,
    NOR_ECC,
    SMALL_NAND,
    SMALL_NOR,
    XATTR,
    XREF,
    allocation_fails,
    clean_up,
    fails,
    give_up,
    header,
    land,
)

PAIRS = [SMALL_NOR, SMALL_NAND]


def sweep(make, function, look, *, allocations=True):
    """Runs it on a device from make() with each operation failing for good, with the power gone from each on, and (test
    build) with each allocation failing; look(flash, failed) judges what is left."""
    with make() as flash:
        assert not fails(function, flash)
        count = lib.jx_sim_op_count(flash.handle)
    for number in range(count):
        for break_it in (lib.jx_sim_fail_after, lib.jx_sim_cut_after):
            with make() as flash:
                check(break_it(flash.handle, number))
                failed = fails(function, flash)
                check(break_it(flash.handle, NEVER))
                look(flash, failed)
    number, reached = 0, allocations and hasattr(lib, "jx_testing_fail_alloc")
    while reached:
        with make() as flash:
            failed, reached = allocation_fails(number, 0, partial(function, flash))
            look(flash, failed)
        number += 1


# ---- garbage collection ----------------------------------------------------------------------------------------------


def crowded(geometry, free=4):
    """Every block in use holds a little that is needed, and more that is not; all of it is of each type."""
    clean = CLEANMARKER if geometry.kind == "nor" else b""
    first = block(directory(1), start=clean)
    rest = []
    for number in range(geometry.blocks - 1 - free):
        ino = 10 + number
        ref = build(NodeType.XREF, "little", ino=ino, xid=1, xseqno=2 * number + 2)
        nodes = [dirent(1, ino, b"f%d" % number, ino), inode(ino, 1, b"%d" % number * 900), ref]
        nodes += [XATTR] if number == 0 else []
        rest.append(block(*nodes, inode(900 + number, 1, b"dead" * 500), start=clean))
    return Flash.simulator(geometry, b"".join([first, *rest]).ljust(geometry.size, b"\xff"))


def collect(flash, want=8, summary=0):
    reader, out = ffi.new("struct jx_reader *", [-1, 1, 256]), ffi.new("struct jx_collection *")
    check(lib.jx_collect(flash.handle, reader, want, summary, out))
    return out


@pytest.mark.parametrize("geometry", PAIRS, ids=["nor", "nand"])
def test_garbage_collection_loses_nothing_whatever_fails(geometry):
    with crowded(geometry) as flash:
        before = content(flash)
        assert collect(flash).blocks_erased > 2

    def look(flash, failed):
        assert content(flash) == before

    sweep(partial(crowded, geometry), collect, look)


@pytest.mark.testing
def test_an_estimate_finds_no_memory():
    number, reached = 0, True
    with crowded(SMALL_NOR) as flash, FileSystem(flash) as fs:
        out = ffi.new("struct jx_collection *")

        def estimate():
            check(lib.jx_collect_estimate(fs.handle, 8, 1, out))

        while reached:
            _, reached = allocation_fails(number, 0, estimate)
            number += 1
    assert number > 4


def test_what_stays_where_it_is():
    """Blocks that hold an unknown node to be kept, a sealed name whose node is bad, or a page that cannot be read."""
    odd = block(header(0x6077, 64) + bytes(52), dirent(1, 2, b"f", 2), inode(2, 1, b"x"))
    gone = dirent(1, 3, b"gone", 2)
    listed = block(gone, dirent(1, 4, b"g", 2), summary=range(2)).replace(gone, obsolete(gone))
    with medium(block(directory(1)), odd, listed, *[block(inode(9, 1))] * 27, geometry=NOR) as flash:
        before = content(flash)
        fails(collect, flash, 29)
        assert content(flash) == before and flash.read(ERASE, ERASE) == odd
    with crowded(SMALL_NAND) as flash:
        before = content(flash)
        check(lib.jx_flash_spoil(flash.handle, 2 * ERASE))
        collect(flash, 6)
        assert content(flash) == before


# ---- a commit block, by hand -----------------------------------------------------------------------------------------

SET = [dirent(1, 9, b"f", 6), inode(6, 1, b"content"), XATTR, build(NodeType.XREF, "little", ino=6, xid=1, xseqno=2)]


@contextmanager
def after_recovery(*commit_set, spoiled=False):
    """What recover makes of a commit block of NAND with this set; of an older one that was cut nothing stays."""
    older = block(inode(900, 1), start=tag(lib.JX_TAG_COMMIT, 1))
    used = [block(directory(1), start=b""), older, block(*commit_set, start=tag(lib.JX_TAG_COMMIT, 2))]
    with medium(*used, geometry=NAND) as flash:
        assert state(flash) == "committed"
        if spoiled:
            check(lib.jx_flash_spoil(flash.handle, 2 * ERASE))
        tidy(flash)
        assert state(flash) == "settled" and content(flash) == {b"f": b"content"}
        assert flash.read(ERASE, ERASE).count(b"\xff") == ERASE
        yield flash


@pytest.mark.parametrize("spoiled", [False, True], ids=["readable", "spoiled"])
def test_every_type_of_node_but_a_datum_moves_out_of_a_commit_block(spoiled):
    """By its CRCs where ECC gave up meanwhile."""
    *names, _, reference = SET
    with after_recovery(*names, reference, spoiled=spoiled) as flash:
        assert flash.read(2 * ERASE, ERASE).count(b"\xff") == ERASE


@pytest.mark.parametrize("spoiled", [False, True], ids=["readable", "spoiled"])
def test_a_commit_block_that_holds_a_datum_stays(spoiled):
    """Half a copy of a datum would hide the whole one: behind all that stands there the block says it is settled."""
    with after_recovery(*SET, spoiled=spoiled) as flash:
        with FileSystem(flash) as fs:
            assert fs.xattrs("f") == {b"user.a": b"old"}
        at = 2 * ERASE + NAND.write_size
        settled = tag(lib.JX_TAG_SETTLED, 2, size=NAND.size, offset=at)
        assert flash.read(at, len(settled)) == settled


def test_a_datum_moves_where_its_block_has_no_room_for_the_tag():
    filler = inode(900, 1, bytes(ERASE - NAND.write_size))
    with after_recovery(*SET, filler) as flash:
        with FileSystem(flash) as fs:
            assert fs.xattrs("f") == {b"user.a": b"old"}
        assert flash.read(2 * ERASE, ERASE).count(b"\xff") == ERASE


def test_what_a_cut_left_staged_goes_though_it_cannot_be_read():
    """Nobody needs it; a block of somebody else's that cannot be read stays."""
    staged = block(inode(2, 1, b"x"), start=tag(lib.JX_TAG_STAGE, 1))
    for second, goes in ((staged, True), (block(inode(900, 1), start=b""), False)):
        with medium(block(directory(1), start=b""), second, geometry=NAND) as flash:
            check(lib.jx_flash_spoil(flash.handle, ERASE + 2 * KIB))
            tidy(flash)
            assert (flash.read(ERASE, 12) == b"\xff" * 12) is goes


def test_a_superseded_name_that_only_a_summary_speaks_of():
    """What stands in its place is something else, whose bits are its own."""
    lost = dirent(1, 2, b"f", 2)
    odd = bytearray(lost)
    odd[8] ^= 1  # the header's CRC is wrong, the node's right
    odd[32:36] = crc32(bytes(odd[:32])).to_bytes(4, "little")
    nodes = [directory(1), lost, dirent(1, 3, b"f", 2), inode(2, 1, b"x")]
    whole = block(*nodes, summary=range(4)).replace(lost, bytes(odd))
    with medium(whole) as flash:
        with FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
            tx.name(1, b"f", tx.create(b"new"))
            tx.prepare()
            tx.commit()
        assert content(flash) == {b"f": b"new"} and bytes(odd) in flash.read(0, ERASE)


def summarized(geometry=SMALL_NOR):
    nodes = [directory(1), dirent(1, 2, b"d", 2, type=4), directory(2), dirent(1, 3, b"f", 3), inode(3, 1, b"first")]
    nodes += [dirent(1, 4, b"a", 4), inode(4, 1, b"attributed"), dirent(2, 2, b"x", 5), inode(5, 1, b"x")]
    extra = block(XATTR, XREF)
    used = block(*nodes, summary=range(len(nodes))) + extra
    return Flash.simulator(geometry, used.ljust(geometry.size, b"\xff"))


def test_superseded_names_under_a_summary_whatever_fails():
    seen = set()

    def look(flash, failed):
        seen.add(tuple(sorted(content(flash).items())))

    sweep(summarized, partial(land, strategy=lib.JX_FLIP), look)
    assert len(seen) == 2


def test_a_hidden_set_may_hold_our_own_nodes():
    """Containers in a container, and a tag."""
    inside = header(0x2078, ERASE - 12 - 56) + tag(lib.JX_TAG_STAGE, 1) + dirent(1, 9, b"f", 2)
    stale = block(header(0x2078, ERASE - 44) + inside, start=tag(lib.JX_TAG_COMMIT, 3))
    with medium(block(directory(1)), stale) as flash:
        tidy(flash)
        assert state(flash) == "none" and content(flash) == {}
        assert flash.read(ERASE, ERASE)[12:].count(b"\xff") == ERASE - 12


@pytest.mark.parametrize("geometry", [SMALL_NOR, SMALL_NAND])
def test_big_endian(geometry):
    with filesystem(geometry, {b"f": b"first", b"g": b"g", b"h": b"h"}, endian="big") as flash:
        strategy = lib.JX_FLIP if geometry is SMALL_NOR else lib.JX_SEAL
        with FileSystem(flash) as fs, transaction(fs, strategy) as tx:
            tx.name(1, b"f", tx.create(b"second"))
            tx.drop(1, b"g")
            tx.prepare()
            tx.commit()
        assert content(flash) == content(flash, summary=False) == {b"f": b"second", b"h": b"h"}


def test_a_live_device_on_which_all_is_settled():
    """But for an older commit block that a cut left."""
    settled = block(dirent(1, 9, b"f", 6), inode(6, 1), start=tag(lib.JX_TAG_SETTLED, 2))
    used = block(dirent(1, 8, b"g", 7), inode(7, 1), start=tag(lib.JX_TAG_COMMIT, 1))
    stale = block(inode(900, 1), start=tag(lib.JX_TAG_COMMIT, 1))
    for older, waits in ((block(), False), (used, False), (stale, True)):
        with medium(block(directory(1)), settled, older) as flash:
            flash.live = True
            assert fails(tidy, flash) is waits


def test_a_live_nand():
    """Nothing is cleared there, so nothing has to wait."""
    with filesystem(SMALL_NAND, {b"f": b"first"}) as flash:
        flash.live = True
        land_long(flash, lib.JX_SEAL)
        assert state(flash) == "settled" and content(flash) == {b"f": b"first", b"long": LONG}


def test_a_commit_set_of_one_node():
    """A reference or metadata make a commit block; the value of an attribute alone makes none."""
    ref = build(NodeType.XREF, "little", ino=1, xid=1, xseqno=2)
    for node, expected in ((ref, "committed"), (directory(1, 9), "committed"), (XATTR, "staged")):
        with medium(block(directory(1)), block(node, start=tag(lib.JX_TAG_COMMIT, 2))) as flash:
            assert state(flash) == expected


def test_nothing_is_written_where_an_unknown_node_forbids_it():
    """JFFS2_FEATURE_ROCOMPAT: the kernel mounts such a medium read-only."""
    reader = ffi.new("struct jx_reader *", [-1, 1, 256])
    with medium(block(directory(1), header(0xA077, 64) + bytes(52)), block(inode(900, 1))) as flash:
        before = flash.read(0, flash.geometry.size)
        for function in (lib.jx_tidy, lib.jx_drop_commits):
            assert function(flash.handle, reader, ffi.new("struct jx_recovery *")) < 0
        assert fails(collect, flash, 99) and fails(land, flash, lib.JX_FLIP)
        assert flash.read(0, flash.geometry.size) == before


# ---- odd trees -------------------------------------------------------------------------------------------------------


def test_what_nothing_leads_to_is_needed_by_nothing():
    """Marks of deleted attributes on inodes that are not there, or not reached; a name of nothing; a bad file."""
    bad = bytearray(inode(8, 1, b"data"))
    bad[-1] ^= 1
    odd = [
        build(NodeType.XREF, "little", ino=99, xid=1, xseqno=3),
        build(NodeType.XREF, "little", ino=7, xid=1, xseqno=5),
        inode(7, 1),
        obsolete(inode(60, 1)),
    ]
    with medium(
        block(directory(1), dirent(1, 5, b"nothing", 77), dirent(1, 6, b"bad", 8), dirent(1, 7, b"gone", 60)),
        block(bytes(bad)),
        block(*odd),
    ) as flash:
        with FileSystem(flash) as fs:
            assert fs.list() == [b"bad"]
        tidy(flash)
        assert blocks(flash)[2][0] in (lib.JX_B_FREE, lib.JX_B_ERASED)


def test_two_blocks_of_one_sequence():
    """As a damaged tag, or a kernel's copy, would leave them."""
    staged = [
        block(inode(ino, 1, b"x"), start=tag(lib.JX_TAG_STAGE, txid, number))
        for ino, txid, number in ((2, 1, 0), (3, 1, 0), (4, 2, 1), (5, 2, 1), (6, 2, 0))
    ]
    with medium(block(directory(1)), *staged) as flash, FileSystem(flash) as fs:
        assert fs.orphans() == [6]


def test_the_last_version_of_a_file():
    flash = medium(block(directory(1), dirent(1, 2, b"f", 2), inode(2, 0x7FFFFFFF, b"x")))
    with flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx, pytest.raises(LimitError):
        tx.setattr(2, attributes(0o100600))


# ---- several blocks --------------------------------------------------------------------------------------------------

LONG = bytes(range(256)) * 90


def land_long(flash, strategy):
    with FileSystem(flash) as fs, transaction(fs, strategy, summary=1) as tx:
        tx.name(1, b"long", tx.create(LONG))
        tx.prepare()
        tx.commit()


@pytest.mark.parametrize(("geometry", "strategy"), [(SMALL_NOR, lib.JX_FLIP), (SMALL_NAND, lib.JX_SEAL)])
def test_staging_of_several_blocks_whatever_fails(geometry, strategy):
    with filesystem(geometry, {b"f": b"first"}) as flash:
        image = flash.read(0, geometry.size)

    def look(flash, failed):
        seen = content(flash)
        assert seen == {b"f": b"first", b"long": LONG} or (failed and seen == {b"f": b"first"})

    sweep(partial(Flash.simulator, geometry, image), partial(land_long, strategy=strategy), look)


@pytest.mark.parametrize(("geometry", "strategy"), [(SMALL_NOR, lib.JX_FLIP), (SMALL_NAND, lib.JX_SEAL)])
def test_a_block_wears_out_and_there_is_no_other(geometry, strategy):
    """Just as many erased blocks as it takes."""
    blocks_ = 4 + (strategy == lib.JX_SEAL)
    tight = replace(geometry, size=blocks_ * ERASE)
    clean = CLEANMARKER if geometry.kind == "nor" else b""
    image = block(directory(1), dirent(1, 2, b"f", 2), inode(2, 1, b"first"), start=clean).ljust(tight.size, b"\xff")
    failures = []

    def look(flash, failed):
        failures.append(failed)
        seen = content(flash)
        assert seen == {b"f": b"first", b"long": LONG} or (failed and seen == {b"f": b"first"})

    sweep(partial(Flash.simulator, tight, image), partial(land_long, strategy=strategy), look, allocations=False)
    assert any(failures)


@pytest.mark.testing
@pytest.mark.parametrize(("geometry", "strategy"), [(SMALL_NOR, lib.JX_FLIP), (SMALL_NAND, lib.JX_LIFT)])
def test_a_commit_block_wears_out_and_then_there_is_no_memory(geometry, strategy):
    """Neutralising it fails: nothing else is tried."""
    with filesystem(geometry, {b"f": b"first"}) as flash:
        image = flash.read(0, geometry.size)
        land_long(flash, strategy)
        count = lib.jx_sim_op_count(flash.handle)
    for number in range(count - 12, count):
        for allocation in range(0, 120, 3):
            with Flash.simulator(geometry, image) as flash:
                check(lib.jx_sim_fail_after(flash.handle, number))
                failed, _ = allocation_fails(allocation, 0, partial(land_long, flash, strategy))
                seen = content(flash)
                assert seen == {b"f": b"first", b"long": LONG} or (failed and seen == {b"f": b"first"})


@pytest.mark.parametrize(("geometry", "strategy"), [(SMALL_NOR, lib.JX_FLIP), (SMALL_NAND, lib.JX_SEAL)])
def test_two_blocks_wear_out_one_after_the_other(geometry, strategy):
    """The second reads back something other than was programmed."""
    with filesystem(geometry, {b"f": b"first"}) as flash:
        image = flash.read(0, geometry.size)
    for number in range(3, 9):
        for later in range(number + 1, number + 6):
            with Flash.simulator(geometry, image) as flash:
                check(lib.jx_sim_fail_after(flash.handle, number))
                check(lib.jx_sim_lie_after(flash.handle, later))
                land_long(flash, strategy)
                assert content(flash) == {b"f": b"first", b"long": LONG}
            tight = replace(geometry, size=4 * ERASE)
            with Flash.simulator(tight, image[: tight.size]) as flash:
                check(lib.jx_sim_fail_after(flash.handle, number))
                check(lib.jx_sim_lie_after(flash.handle, later))
                assert fails(land_long, flash, strategy) and content(flash) == {b"f": b"first"}


def test_an_abort_after_the_power_went():
    flash = filesystem(SMALL_NOR, {b"f": b"first"})
    with flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
        tx.name(1, b"long", tx.create(LONG))
        check(lib.jx_sim_cut_after(flash.handle, 0))
        with pytest.raises(PowerCut):
            tx.abort()


def test_more_references_than_a_block_holds():
    flash = filesystem(SMALL_NOR, {b"f": b"first"})
    with flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
        for _ in range(500):
            tx.setxattr(0, 1, b"a", 1, b"v", 1)
        with pytest.raises(TooBig):
            tx.create(b"")


def test_a_name_of_several_programs():
    """NOR with ECC: what swap commits is more than one of its units, each read back."""
    name = b"n" * 150
    image = block(directory(1), dirent(1, 2, name, 2, type=4), directory(2), start=b"")

    def swap(flash):
        with FileSystem(flash) as fs, transaction(fs, lib.JX_SWAP) as tx:
            tx.drop(1, name)
            tx.prepare()
            tx.commit()

    def look(flash, failed):
        with FileSystem(flash) as fs:
            assert fs.list() == [] or (failed and fs.list() == [name])

    sweep(partial(Flash.simulator, NOR_ECC, image.ljust(NOR_ECC.size, b"\xff")), swap, look)


@pytest.mark.parametrize("summary", [False, True])
@pytest.mark.parametrize("geometry", PAIRS, ids=["nor", "nand"])
def test_a_new_image_whatever_fails(geometry, summary):
    manifest, source = entries({b"%d" % number: LONG for number in range(3)})

    def make(flash):
        make_filesystem(flash, manifest, source, summary=summary)

    def look(flash, failed):
        assert failed or len(content(flash)) == 3

    sweep(partial(Flash.simulator, replace(geometry, size=8 * ERASE)), make, look)


def test_a_new_image_proved_dry():
    with (
        Flash.simulator(SMALL_NOR) as flash,
        FileSystem(flash) as fs,
        transaction(fs, lib.JX_FLIP, fresh=1, dry_run=1) as tx,
    ):
        tx.create(b"x")
        tx.prepare()
        tx.commit()
        assert lib.jx_sim_op_count(flash.handle) == 0


def test_no_cleanmarker_where_there_is_no_oob():
    geometry = Geometry("nand", 16 * ERASE, ERASE, 2 * KIB, 2 * KIB, 0)
    with filesystem(geometry, {b"d/x": b"x", b"d": None, b"f": b"first", b"g": b"g"}) as flash:
        with FileSystem(flash) as fs, transaction(fs, lib.JX_SEAL) as tx:
            tx.drop(1, b"g")
            tx.prepare()
            tx.abort()
        assert all(state_ != lib.JX_B_FREE for state_, _ in blocks(flash))
        assert content(flash)[b"g"] == b"g"


@pytest.mark.testing
def test_tidying_finds_no_memory():
    number, reached = 0, True
    while reached:
        with Flash.simulator(SMALL_NOR, block(directory(1)) + block(inode(900, 1)) + b"\xff" * (14 * ERASE)) as flash:
            _, reached = allocation_fails(number, 0, partial(clean_up, flash))
            assert content(flash) == {}
        number += 1
    assert number > 10


def test_an_abort_on_a_worn_device_goes_on():
    """Blocks that cannot be erased are passed over; the tree is the old one."""
    with filesystem(SMALL_NOR, {b"f": b"first"}) as start:
        image = start.read(0, SMALL_NOR.size)
    with pytest.raises(Jffs2txError), Flash.simulator(SMALL_NOR, image) as flash:
        check(lib.jx_sim_cut_after(flash.handle, 9))
        give_up(flash, lib.JX_FLIP)
