"""Rules of what a transaction writes that no tree shows at once: which numbers, in which block, in which order."""

from contextlib import suppress

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import InternalError, Jffs2txError, NoSpace, VerifyError
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, build
from jffs2tx.upgrade import recover, tidy

from .crafted import (
    CLEANMARKER,
    ERASE,
    KIB,
    NAND,
    NOR,
    block,
    content,
    crash,
    cuts,
    directory,
    dirent,
    filesystem,
    inode,
    medium,
    obsolete,
    operations,
    state,
    tag,
)
from .medium import attributes, blocks, nodes, transaction

ROOT = directory(1)
ACCURATE = 0x2000
ALL_FAULTS = lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F3_BITS | lib.JX_F4_ORDER | lib.JX_F5_ERASE


def simulator(flash):
    return Flash.simulator(flash.geometry, flash.read(0, flash.geometry.size))


def tears(flash, cut, faults):
    count = ffi.new("uint32_t *")
    check(lib.jx_crash_tears(flash.handle, cut, faults, count))
    return range(count[0])


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_versions_follow_the_highest_on_the_medium_without_a_leap():
    """Of names that are long obsolete too: a higher one that damage exposes must not win, nor a stale set later."""
    old = [dirent(1, 3, b"f", 2), inode(2, 1, b"old"), obsolete(dirent(1, 9, b"gone", 2)), obsolete(inode(2, 4))]
    with medium(block(ROOT, *old)) as flash:
        with FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
            tx.name(1, b"f", tx.create(b"new"))
            tx.setattr(2, attributes(0o100600))
            tx.prepare()
            tx.commit()
        mine = [n for n in nodes(flash) if n.txid == 1 and n.type in (lib.JX_NODE_DIRENT, lib.JX_NODE_INODE)]
    names = [(n.version, n.child > 0) for n in mine if n.type == lib.JX_NODE_DIRENT]
    assert names == [(10, False), (11, True)]
    assert [n.version for n in mine if n.ino == 2 and n.type == lib.JX_NODE_INODE] == [5]


@pytest.mark.parametrize("hidden", [obsolete(inode(50, 1)), obsolete(dirent(1, 4, b"gone", 50))], ids=["inode", "name"])
def test_inode_numbers_follow_the_highest_on_the_medium(hidden):
    """What is obsolete may come back through damage, and would be part of a file that had its number."""
    flash = medium(block(ROOT, dirent(1, 3, b"f", 2), inode(2, 1, b"old"), hidden))
    with flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
        assert tx.create(b"new") == 51


# ---- metadata of what stays ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "data"), [(0o120777, b"target"), (0o20600, b"\x03\x01"), (0o60600, b"\x03\x01")])
def test_a_link_or_device_that_stays_repeats_its_data(mode, data):
    """jffs2_do_read_inode_internal: "Argh. Special inode": without its data it cannot be read."""
    node = inode(2, 1, data, mode=mode, size=len(data) if mode == 0o120777 else 0)
    with medium(block(ROOT, dirent(1, 2, b"f", 2), node)) as flash:
        with FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
            tx.setattr(2, attributes(mode, 7, 8))
            tx.prepare()
            tx.commit()
        with FileSystem(flash) as fs:
            found = fs.stat_ino(2)
            assert (found.uid, found.gid) == (7, 8)
            assert fs.readlink("f") == data if mode == 0o120777 else found.device == (1, 3)


def test_a_file_that_stays_keeps_its_size():
    with medium(block(ROOT, dirent(1, 2, b"f", 2), inode(2, 1, b"data"))) as flash:
        with FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
            tx.setattr(2, attributes(0o100600))
            tx.prepare()
            tx.commit()
        assert content(flash) == {b"f": b"data"}


# ---- attributes ------------------------------------------------------------------------------------------------------


def test_a_reference_stands_with_its_inode():
    """Else the kernel could give the number of a lost inode again, while the reference waits for it."""
    with medium(block(ROOT)) as flash:
        with FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
            for number in range(1200):
                tx.setxattr(0, 1, b"a", 1, b"v", 1)
                tx.create(bytes(number % 61))  # so that blocks end anywhere
            tx.prepare()
        erase = flash.geometry.erase_size
        staged = [n for n in nodes(flash) if n.role == lib.JX_TAG_STAGE]
    homes = {(n.offset // erase, n.ino) for n in staged if n.type == lib.JX_NODE_INODE}
    refs = [(n.offset // erase, n.ino) for n in staged if n.type == lib.JX_NODE_XREF]
    assert len(refs) == 1200 and len({block for block, _ in refs}) > 8
    assert set(refs) <= homes


def test_an_attribute_does_not_come_to_life_with_what_is_taken_over():
    xref = build(NodeType.XREF, "little", ino=2, xid=1, xseqno=2)
    staged = [inode(2, 1, b"data"), inode(3, 1, b"data")]
    first = block(*staged, start=tag(lib.JX_TAG_STAGE, 1, 0))
    last = block(inode(4, 1), start=tag(lib.JX_TAG_STAGE, 1, 1))
    value = build(NodeType.XATTR, "little", xid=1, version=1, xprefix=1, name=b"a", value=b"old")
    with medium(block(ROOT, value, xref), first, last) as flash, FileSystem(flash) as fs:
        assert fs.orphans() == [3]


# ---- what is needed --------------------------------------------------------------------------------------------------


def test_a_deletion_stays_while_an_older_name_is_there_though_obsolete():
    """One cleared bit that reads as set again would bring that name back."""
    rest = [inode(2, 1, b"x"), dirent(1, 3, b"g", 2), directory(1, 9)]
    for older, stays in (([obsolete(dirent(1, 2, b"f", 2))], True), ([], False)):
        with medium(block(*older, *rest), block(dirent(1, 4, b"f", 0))) as flash:
            tidy(flash)
            assert any(n.name == b"f" and n.child == 0 for n in nodes(flash)) is stays


def test_unknown_nodes_that_must_be_kept_are_kept():
    """JFFS2_FEATURE_RWCOMPAT_COPY: the kernel's collector copies them."""
    for nodetype, stays in ((0x6077, True), (0x2077, False)):
        odd = bytearray(build(NodeType.PADDING, "little", totlen=64))
        odd[2:4] = nodetype.to_bytes(2, "little")
        header = ffi.new("uint8_t[12]")
        lib.jx_encode_header(lib.JX_LITTLE, header, nodetype, 64)
        with medium(block(ROOT), block(bytes(header) + bytes(52))) as flash:
            tidy(flash)
            assert (flash.read(ERASE + 12, 12) == bytes(header)) is stays


@pytest.mark.parametrize(
    ("erase", "blocks_", "reserve"), [(16 * KIB, 64, 5), (64 * KIB, 64, 5), (128 * KIB, 128, 6), (256 * KIB, 16, 4)]
)
def test_the_reserve_is_the_kernels(erase, blocks_, reserve):
    """jffs2_calc_trigger_levels: resv_blocks_write, and one."""
    with (
        Flash.memory(Geometry("nor", erase * blocks_, erase), block(ROOT, erase=erase)) as flash,
        FileSystem(flash) as fs,
    ):
        assert fs.space.reserve == 2 + (erase * blocks_ // 50 + 100 * blocks_ + erase - 1) // erase + 1 == reserve


def test_nothing_is_written_where_the_reserve_would_be_touched():
    with medium(block(ROOT), *[block(inode(i, 1), dirent(1, i, b"%d" % i, i)) for i in range(2, 29)]) as flash:
        before = flash.read(0, flash.geometry.size)
        with FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP, reserve=1) as tx:
            tx.drop(1, b"2")
            with pytest.raises(NoSpace):
                tx.prepare()
        assert flash.read(0, flash.geometry.size) == before


# ---- the order of things ---------------------------------------------------------------------------------------------

FILES = {b"f": b"first", b"g": b"g" * 3000, b"d": None, b"d/x": b"x"}


def prepared(strategy, geometry=NOR):
    """A transaction that replaces one name and removes another, its set in place and hidden."""
    flash = filesystem(geometry, FILES)
    with FileSystem(flash) as fs, transaction(fs, strategy) as tx:
        if strategy == lib.JX_SWAP:
            tx.drop(1, b"g")
        else:
            tx.name(1, b"f", tx.create(b"second"))
            tx.drop(1, b"g")
        tx.prepare()
        yield flash, tx
    flash.close()


def test_a_cleanmarker_goes_before_the_block_is_erased():
    """A cut in the erase must leave no block that claims to be free."""
    with (
        medium(block(ROOT, dirent(1, 2, b"f", 2), inode(2, 1)), block(), block(), block()) as start,
        simulator(start) as sim,
    ):
        with FileSystem(sim) as fs, transaction(fs, lib.JX_FLIP) as tx:
            tx.drop(1, b"f")
            tx.prepare()
        log = operations(sim)
    erased = [i for i, (kind, _, _) in enumerate(log) if kind == lib.JX_SIM_ERASE]
    assert erased and all(log[i - 1] == (lib.JX_SIM_PROG, log[i][1], 4) for i in erased)


@pytest.mark.parametrize("strategy", [lib.JX_FLIP, lib.JX_SWAP])
def test_an_abort_erases_the_set_before_what_it_names(strategy):
    for flash, tx in prepared(strategy):
        (commit,) = {n.offset // ERASE for n in nodes(flash) if n.role == lib.JX_TAG_COMMIT and n.type == 0x2074}
        done = len(operations(flash))
        tx.abort()
        erased = [offset // ERASE for kind, offset, _ in operations(flash)[done:] if kind == lib.JX_SIM_ERASE]
        assert erased[0] == commit and content(flash)[b"f"] == b"first"
        with pytest.raises(InternalError):
            tx.commit()


@pytest.mark.testing
def test_an_abort_that_cannot_erase_the_set_leaves_what_it_names():
    for flash, tx in prepared(lib.JX_FLIP):
        done = len(operations(flash))
        lib.jx_testing_fail_alloc(0, 0)
        with pytest.raises(MemoryError):
            tx.abort()
        lib.jx_testing_fail_alloc(2**64 - 1, 0)
        assert not [1 for kind, _, _ in operations(flash)[done:] if kind == lib.JX_SIM_ERASE]


def test_an_interrupted_erase_of_a_dead_set_does_not_bring_it_out():
    """It may start with the containers and leave the rest."""
    for flash, _ in prepared(lib.JX_FLIP):
        with simulator(flash) as sim:
            recover(sim)
            for cut in cuts(sim):
                for tear in tears(sim, cut, ALL_FAULTS):
                    with crash(sim, cut, ALL_FAULTS, tear) as after:
                        assert content(after) == OLD
                if cut < len(operations(sim)) and operations(sim)[cut][0] == lib.JX_SIM_ERASE:
                    with crash(sim, cut) as after:
                        programmed_first(after, operations(sim)[cut][1])


def programmed_first(flash, erased):
    """An erase that has programmed this much of the block when the power fails."""
    image = bytearray(flash.read(0, flash.geometry.size))
    for end in range(4, 200, 4):
        image[erased : erased + end] = bytes(end)
        with Flash.memory(NOR, bytes(image)) as after:
            assert content(after, summary=False) == OLD, end


def test_no_single_bit_brings_out_a_hidden_set():
    """One damaged container opens nothing."""
    for flash, _ in prepared(lib.JX_FLIP):
        commit = next(n.offset for n in nodes(flash) if n.role == lib.JX_TAG_COMMIT)
        image = bytearray(flash.read(0, flash.geometry.size))
        for byte in range(commit + 44, commit + 140):
            for bit in range(8):
                image[byte] ^= 1 << bit
                with Flash.memory(NOR, bytes(image)) as damaged:
                    assert content(damaged, summary=False)[b"f"] == b"first", (byte - commit, bit)
                image[byte] ^= 1 << bit


def kernel_unlinks(flash, name):
    """As jffs2_do_unlink on bit-writable flash without summary support: the dirent in use is marked obsolete."""
    image = bytearray(flash.read(0, flash.geometry.size))
    alive = [n for n in nodes(flash, summary=False) if n.name == name and n.verdict == lib.JX_V_GOOD]
    current = max(alive, key=lambda n: n.version)
    image[current.offset + 3] &= ~(ACCURATE >> 8)
    return Flash.memory(flash.geometry, bytes(image))


OFTEN = [dirent(1, 2, b"f", 2), dirent(1, 3, b"f", 3), dirent(1, 4, b"f", 2), dirent(1, 5, b"f", 3)]


def replaced_often():
    """A name that has stood for this and that, by a flip replaced once more; each operation of it logged. What stands
    between its dirents lets each be marked alone.
    """
    apart = [node for name in OFTEN for node in (name, inode(2, 1, b"two"))]
    start = medium(block(ROOT, inode(3, 1, b"three"), *apart))
    sim = simulator(start)
    with FileSystem(sim) as fs, transaction(fs, lib.JX_FLIP) as tx:
        tx.name(1, b"f", tx.create(b"new"))
        tx.prepare()
        tx.commit()
    return sim


def test_a_kernel_that_removes_a_replaced_name_brings_back_none():
    """Between the commit and its settling, and after it."""
    with replaced_often() as sim:
        seen = set()
        for cut in cuts(sim):
            with crash(sim, cut) as after:
                if content(after) != {b"f": b"new"}:
                    continue
                seen.add(state(after))
                with kernel_unlinks(after, b"f") as gone:
                    assert content(gone, summary=False) == {}, cut
        assert seen == {"committed", "settled"}


def test_settled_says_only_what_is():
    """From the moment on when the tag stands, no superseded name counts for a kernel without summary support."""
    with replaced_often() as sim:
        states = []
        for cut in cuts(sim):
            with crash(sim, cut) as after:
                states.append(state(after))
                alive = [n for n in nodes(after) if n.name == b"f" and n.child and n.verdict == lib.JX_V_GOOD]
                if states[-1] == "settled":
                    assert len(alive) == 1, cut
        assert states[-1] == "settled"


@pytest.mark.parametrize("strategy", [lib.JX_SEAL, lib.JX_LIFT, lib.JX_SWAP])
def test_a_commit_that_has_returned_depends_on_no_summary(strategy):
    """One bad bit in the summary would hide the set again, with nobody there to notice."""
    for flash, tx in prepared(strategy, NAND):
        tx.commit()
        for summary in (True, False):
            assert b"g" not in content(flash, summary=summary)


# ---- when the chip fails or lies -------------------------------------------------------------------------------------


def run(flash, strategy):
    """What prepared() does, and its commit."""
    with FileSystem(flash) as fs, transaction(fs, strategy) as tx:
        tx.name(1, b"f", tx.create(SECOND))
        tx.drop(1, b"g")
        tx.prepare()
        tx.commit()


SECOND = b"second" * 1000
STRATEGIES = [(NOR, lib.JX_FLIP), (NAND, lib.JX_SEAL), (NAND, lib.JX_LIFT)]
OLD = {path: data for path, data in FILES.items() if data is not None}
NEW = {b"f": SECOND, b"d/x": b"x"}


@pytest.mark.parametrize(("geometry", "strategy"), STRATEGIES)
def test_an_error_means_the_old_tree(geometry, strategy):
    """Whichever operation fails; and a block that failed holds no set that could come out: NAND has it marked bad."""
    with filesystem(geometry, FILES) as flash:
        run(flash, strategy)
        count = len(operations(flash))
    for n in range(count):
        with filesystem(geometry, FILES) as flash:
            check(lib.jx_sim_fail_after(flash.handle, n))
            try:
                run(flash, strategy)
                expected = NEW
            except Jffs2txError:
                expected = OLD
            assert content(flash) == expected, n
            if geometry is NAND and expected is NEW:
                roles = [role for _, role in blocks(flash)]
                assert roles.count(lib.JX_TAG_COMMIT) == (state(flash) == "committed"), n


@pytest.mark.parametrize(("geometry", "strategy"), STRATEGIES)
def test_what_a_chip_says_is_checked(geometry, strategy):
    """A program that lands by half, an erase that does nothing, and JX_OK for both."""
    dead = block(inode(900, 1, b"dead" * 100), start=CLEANMARKER if geometry is NOR else b"")

    def start():
        """No erased block but one, so that dirty ones are erased and written to."""
        flash = filesystem(geometry, FILES)
        used = len([1 for state_, _ in blocks(flash) if state_ == lib.JX_B_USED])
        for number in range(used, geometry.blocks):
            check(lib.jx_flash_load(flash.handle, number * ERASE, dead, ERASE))
        check(lib.jx_sim_restart(flash.handle))
        return flash

    with start() as flash:
        run(flash, strategy)
        count = len(operations(flash))
    for n in range(count):
        with start() as flash:
            check(lib.jx_sim_lie_after(flash.handle, n))
            try:
                run(flash, strategy)
                expected = NEW
            except Jffs2txError:
                expected = OLD
            assert content(flash) == expected, n
            assert expected is NEW, n


def test_an_erase_that_did_nothing_is_noticed():
    """It takes a cleanmarker for what it is not; where the set stays, so does all that it names."""
    for lie in range(6):
        for flash, tx in prepared(lib.JX_FLIP):
            check(lib.jx_sim_lie_after(flash.handle, lie))
            with suppress(VerifyError):
                tx.abort()
            for at in range(ERASE, NOR.size, ERASE):
                data = flash.read(at, ERASE)
                assert data[:12] != CLEANMARKER or data[12:].count(0xFF) == ERASE - 12, (lie, at)
            assert content(flash) == OLD
