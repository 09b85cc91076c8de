"""Pages that ECC gives up on: forgiven in reading as the kernel does it, and nothing that may lie there is lost."""

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.collect import collect
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import MediumError, NoSpace
from jffs2tx.filesystem import FileSystem
from jffs2tx.upgrade import recover, tidy

from .images import block, dirent, inode
from .test_transaction import GEOMETRIES, fresh
from .test_wear import digest, simulator, upgrade

KIB = 1024
NAND = Geometry("nand", 8 * 16 * KIB, 16 * KIB, 512, 256, 8)
PAGE, ERASE = NAND.write_size, NAND.erase_size


def nand(*blocks, kind=NAND):
    """A device that starts with blocks of these nodes."""
    content = b"".join(block(*nodes, size=kind.erase_size, clean=False) for nodes in blocks)
    return Flash.memory(kind, content)


def spoil(flash, offset):
    check(lib.jx_flash_spoil(flash.handle, offset))


def states(flash):
    with FileSystem(flash) as fs:
        blocks = lib.jx_fs_blocks(fs.handle)
        return [blocks[number].state for number in range(lib.jx_fs_block_count(fs.handle))]


TREE = (dirent(b"a", 2, 1), inode(2, 1, b"content" * 100), inode(1, 1, mode=0o040755))
ORPHAN = (inode(900, 1, b"nobody's" * 100),)


def test_a_spoiled_page_reads_with_an_error_until_it_is_erased():
    with nand(TREE) as flash:
        spoil(flash, PAGE)
        assert flash.read(0, PAGE)
        for offset, length in ((PAGE, 1), (0, ERASE), (PAGE - 1, 2), (2 * PAGE - 1, 4)):
            with pytest.raises(MediumError, match="ECC cannot correct"):
                flash.read(offset, length)
        assert flash.read(0, ERASE, forgiving=True) == block(*TREE, size=ERASE, clean=False)
        assert flash.stats.ecc_failed == 5
        check(lib.jx_flash_raw_erase(flash.handle, 0))
        assert flash.read(0, ERASE) == b"\xff" * ERASE


def test_only_pages_can_be_spoiled():
    with nand(TREE) as flash:
        for offset in (1, PAGE + 4, NAND.size):
            assert lib.jx_flash_spoil(flash.handle, offset) == lib.JX_EFLASH
    with Flash.memory(Geometry("nor", 4 * ERASE, ERASE)) as flash:
        assert lib.jx_flash_spoil(flash.handle, 0) == lib.JX_EINVAL


@pytest.mark.parametrize("kind", [NAND, Geometry("nor-ecc", 8 * 16 * KIB, 16 * KIB, 64)])
def test_nodes_count_by_their_crcs(kind):
    """jffs2_flash_read returns the data as they are; the scan and the reading of files go on."""
    with nand(TREE, kind=kind) as flash:
        before = digest(flash)
        for offset in range(0, 2 * kind.write_size, kind.write_size):
            spoil(flash, offset)
        assert digest(flash) == before
        with FileSystem(flash) as fs:
            assert lib.jx_fs_blocks(fs.handle)[0].unreadable_pages == 2


def test_tidying_erases_no_block_with_an_unreadable_page():
    """Something may lie there that a later read brings back."""
    with nand(TREE, ORPHAN, ORPHAN) as flash:
        assert states(flash)[:3] == [lib.JX_B_USED, lib.JX_B_DIRTY, lib.JX_B_DIRTY]
        spoil(flash, ERASE + PAGE)
        assert states(flash)[:3] == [lib.JX_B_USED, lib.JX_B_USED, lib.JX_B_DIRTY]
        assert tidy(flash).blocks_erased == 1
        assert states(flash)[1:3] == [lib.JX_B_USED, lib.JX_B_FREE]
        assert flash.read(ERASE, ERASE, forgiving=True) == block(*ORPHAN, size=ERASE, clean=False)


def test_a_deletion_stays_while_a_page_may_be_read_again():
    with nand(TREE, (dirent(b"gone", 0, 2),), (dirent(b"later", 3, 3), inode(3, 1)), ORPHAN) as flash:
        assert states(flash)[1] == lib.JX_B_DIRTY
        spoil(flash, 3 * ERASE)
        assert states(flash)[1] == lib.JX_B_USED


def test_garbage_collection_leaves_it_alone():
    """Two blocks hardly used: both are emptied; with an unreadable page one of them stays."""
    second = (dirent(b"b", 3, 2), inode(3, 1, b"other" * 100))
    for spoiled in (False, True):
        with nand(TREE, second, ORPHAN) as flash:
            before = digest(flash)
            if spoiled:
                spoil(flash, ERASE)
                with pytest.raises(NoSpace):
                    collect(flash, 7, summary=False)
                assert flash.read(ERASE, ERASE, forgiving=True) == block(*second, size=ERASE, clean=False)
            else:
                collect(flash, 7, summary=False)
                assert flash.read(ERASE, ERASE) == b"\xff" * ERASE
            assert digest(flash) == before


# ---- what a cut leaves on a real NAND --------------------------------------------------------------------------------

CASES = [("nand512", "swap"), ("nand512", "seal"), ("nand2k", "swap"), ("nand2k", "seal"), ("nand2k", "lift")]


def spoil_operation(sim, cut, crashed):
    """The pages that the operation under way was about cannot be read any more."""
    geometry, operation = crashed.geometry, ffi.new("struct jx_sim_op *")
    if lib.jx_sim_op_get(sim.handle, cut, operation) != lib.JX_OK:
        return
    length = {lib.JX_SIM_PROG: operation.len, lib.JX_SIM_ERASE: geometry.erase_size}.get(operation.kind, 0)
    start = operation.off // geometry.write_size * geometry.write_size
    for offset in range(start, operation.off + length, geometry.write_size):
        spoil(crashed, offset)


@pytest.mark.parametrize(("name", "strategy"), CASES)
def test_a_cut_leaves_what_cannot_be_read(name, strategy):
    """Cut anywhere, with the page or the block under way beyond ECC: old or new, and recover keeps it so, twice."""
    faults = lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F5_ERASE
    with fresh(GEOMETRIES[name]) as start, simulator(start) as sim, Flash.memory(start.geometry) as crashed:
        old = digest(start)
        upgrade(sim, strategy)
        new, seen_all = digest(sim), set()
        count = ffi.new("uint32_t *")
        for cut in range(lib.jx_sim_op_count(sim.handle)):
            check(lib.jx_crash_tears(sim.handle, cut, faults, count))
            for tear in range(count[0]):
                token = f"{name}:{strategy}:c{cut}.t{tear}"
                check(lib.jx_crash_build(sim.handle, cut, faults, tear, crashed.handle))
                spoil_operation(sim, cut, crashed)
                seen = digest(crashed)
                assert seen in (old, new), token
                seen_all.add(seen)
                recover(crashed)
                assert digest(crashed) == seen, token
                assert recover(crashed).did_nothing, token
        assert seen_all == {old, new}


@pytest.mark.parametrize(("name", "strategy"), [("nand512", "swap"), ("nand2k", "lift")])
def test_cuts_in_staging_cost_no_room(name, strategy):
    """Upgrades without a recover in between, on a board that the kernel never mounts read-write."""
    with fresh(GEOMETRIES[name]) as start, simulator(start) as sim, Flash.memory(start.geometry) as crashed:
        upgrade(sim, strategy)
        op = ffi.new("struct jx_sim_op *")
        programs = []
        for number in range(lib.jx_sim_op_count(sim.handle)):
            check(lib.jx_sim_op_get(sim.handle, number, op))
            if op.kind == lib.JX_SIM_PROG:
                programs.append(number)
        upgrade(start, strategy)
        with FileSystem(start) as fs:
            room = fs.space.free + fs.space.dirty
        for cut in programs[:-2]:
            check(lib.jx_crash_build(sim.handle, cut + 1, lib.JX_F1_CUT, 0, crashed.handle))
            spoil_operation(sim, cut, crashed)
            upgrade(crashed, strategy)
            tidy(crashed)
            with FileSystem(crashed) as fs:
                assert fs.space.free + fs.space.dirty >= room, cut
