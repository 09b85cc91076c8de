"""What follows a cut or a failure: the next transaction, the order of clearing, what commit says."""

from functools import partial

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import Unfinished
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, build
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import old_tree, recover
from tests.crafted import (
    ERASE,
    LINUX_SUMMARY,
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
    operations,
    state,
    tag,
)

NOR_ECC = [Geometry("nor-ecc", 32 * ERASE, ERASE, unit) for unit in (8, 32, 64)]  # units that a node does not fit in

CASES = [(NOR, "swap"), (NOR, "flip"), (NAND, "swap"), (NAND, "seal"), (NAND, "lift")]
OLD = {b"a": b"A" * 10, b"d/x": b"old"}
NEW = {b"a": b"A" * 10, b"d/x": b"new" * 2000}


def upgraded(geometry, strategy):
    flash = filesystem(geometry, {b"a": OLD[b"a"], b"d": None, b"d/x": OLD[b"d/x"]})
    put(flash, NEW[b"d/x"], strategy)
    return flash


def put(flash, data, strategy="auto"):
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, strategy=strategy, readers=LINUX_SUMMARY)
        tx.put("d/x", data)
        tx.commit()


@pytest.mark.parametrize(("geometry", "strategy"), CASES)
def test_the_next_upgrade_lands_after_any_cut(geometry, strategy):
    flash = upgraded(geometry, strategy)
    seen = set()
    for cut in cuts(flash):
        after = crash(flash, cut)
        seen.add(state(after))
        put(after, b"next")
        assert content(after) == OLD | {b"d/x": b"next"}
    assert seen >= {"staged", "committed", "settled"}


def ends_of_commits(flash):
    """Where a kernel goes on behind each commit block's set."""
    unit = max(4, flash.geometry.write_size)
    with FileSystem(flash) as fs:
        blocks = lib.jx_fs_blocks(fs.handle)
        commits = [blocks[i] for i in range(fs.space.blocks) if blocks[i].tag == lib.JX_TAG_COMMIT]
        return [block.offset + -(-block.free_from // unit) * unit for block in commits]


def kernel_writes(flash, at, nodes):
    geometry = flash.geometry
    nodes += bytes(-len(nodes) % geometry.write_size)
    image = bytearray(flash.read(0, geometry.size))
    image[at : at + len(nodes)] = nodes
    return Flash.simulator(geometry, bytes(image))


def kernel_sets_an_attribute(flash, value):
    """As do_jffs2_setxattr: datum and reference behind the set in the commit block, where the kernel goes on."""
    with FileSystem(flash) as fs:
        ino = fs.stat("a").ino
    nodes = build(NodeType.XATTR, "little", xid=1, version=1, xprefix=1, name=b"k", value=value)
    nodes += build(NodeType.XREF, "little", ino=ino, xid=1, xseqno=2)
    return kernel_writes(flash, ends_of_commits(flash)[0], nodes)


def attribute(flash):
    with FileSystem(flash) as fs:
        return fs.xattrs("a")


@pytest.mark.parametrize(("geometry", "strategy"), [case for case in CASES if case[1] != "seal"])
def test_an_attribute_that_a_kernel_put_behind_the_set_is_not_moved(geometry, strategy):
    """Half a copy of a datum would hide the whole one (jffs2_scan_xattr_node), and for good once that is erased."""
    value, faults, tears = (
        bytes(range(256)) * 16,
        lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F5_ERASE,
        ffi.new("uint32_t *"),
    )
    flash = upgraded(geometry, strategy)
    committed = next(cut for cut in cuts(flash) if state(crash(flash, cut)) == "committed")
    with kernel_sets_an_attribute(crash(flash, committed), value) as sim:
        assert state(sim) == "committed" and attribute(sim) == {b"user.k": value}
        recover(sim)
        assert sim.operations and state(sim) == "settled" and recover(sim).did_nothing
        for cut in cuts(sim):
            lib.jx_crash_tears(sim.handle, cut, faults, tears)
            for tear in range(tears[0]):
                with crash(sim, cut, faults, tear) as after:
                    assert attribute(after) == {b"user.k": value}, (cut, tear)
                    recover(after)
                    assert attribute(after) == {b"user.k": value} and state(after) == "settled", (cut, tear)


def cut_in_recover(flash):
    """Every state in which two blocks hold the set of a commit."""
    for cut in cuts(flash):
        after = crash(flash, cut)
        if state(after) == "committed":
            sim = Flash.simulator(flash.geometry, after.read(0, flash.geometry.size))
            recover(sim)
            yield from (twice for twice in map(partial(crash, sim), cuts(sim)) if len(ends_of_commits(twice)) == 2)


@pytest.mark.parametrize(
    ("geometry", "strategy"), [(NAND, "swap"), (NAND, "lift"), (NOR_ECC[1], "swap")], ids=["swap", "lift", "nor-ecc"]
)
def test_what_a_kernel_wrote_behind_either_of_two_sets_stays(geometry, strategy):
    """Cut in recover, a boot that writes, and recover again, which may be cut too."""
    nodes = inode(99, 1, b"kernel") + bytes(2) + dirent(1, 50, b"k", 99) + bytes(3) + dirent(1, 51, b"a", 0)
    wanted = {b"d/x": NEW[b"d/x"], b"k": b"kernel"}
    faults, tears, seen = lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F5_ERASE, ffi.new("uint32_t *"), 0
    for twice in cut_in_recover(upgraded(geometry, strategy)):
        for at in ends_of_commits(twice):
            with kernel_writes(twice, at, nodes) as sim:
                if content(sim) != wanted:  # the set in this block is not committed: a kernel would not go on there
                    continue
                seen += 1
                recover(sim)
                assert content(sim) == wanted and state(sim) == "settled" and recover(sim).did_nothing
                for cut in cuts(sim):
                    lib.jx_crash_tears(sim.handle, cut, faults, tears)
                    for tear in range(tears[0]):
                        with crash(sim, cut, faults, tear) as after:
                            assert content(after) == wanted, (at, cut, tear)
                            recover(after)
                            assert content(after) == wanted and state(after) == "settled", (at, cut, tear)
    assert seen


@pytest.mark.parametrize("strategy", ["swap", "seal"])
@pytest.mark.parametrize("geometry", NOR_ECC, ids=lambda geometry: str(geometry.write_size))
def test_small_programming_units(geometry, strategy):
    flash = upgraded(geometry, strategy)
    found = [content(crash(flash, cut)) for cut in cuts(flash)]
    turn = found.index(NEW)
    assert found == [OLD] * turn + [NEW] * (len(found) - turn)
    for at in range(0, geometry.size, ERASE):
        start = flash.read(at, ERASE)
        assert start.count(b"\xff") == ERASE or start[:2] == b"\x85\x19"


@pytest.mark.parametrize(("geometry", "strategy"), CASES)
def test_a_stale_commit_block_is_erased_before_anything_else(geometry, strategy):
    flash = upgraded(geometry, strategy)
    staged = [cut for cut in cuts(flash) if state(crash(flash, cut)) == "staged"]
    start = crash(flash, staged[-1])
    with FileSystem(start) as fs:
        blocks = lib.jx_fs_blocks(fs.handle)
        roles = {b.offset: b.tag for b in (blocks[i] for i in range(lib.jx_fs_block_count(fs.handle)))}
    assert set(roles.values()) >= {lib.JX_TAG_STAGE, lib.JX_TAG_COMMIT}
    log = type(start).simulator(geometry, start.read(0, geometry.size))
    recover(log)
    assert roles[erased(log)[0]] == lib.JX_TAG_COMMIT
    again = type(start).simulator(geometry, start.read(0, geometry.size))
    put(again, b"next")
    assert roles[erased(again)[0]] == lib.JX_TAG_COMMIT
    assert content(again) == OLD | {b"d/x": b"next"}


def erased(flash):
    return [offset for kind, offset, _ in operations(flash) if kind == lib.JX_SIM_ERASE]


def begin(fs, strategy, *, dry=False):
    options = ffi.new("struct jx_txn_options *", {"strategy": strategy, "compr_mask": 1, "dry_run": dry})
    out = ffi.new("jx_txn **")
    code = lib.jx_txn_begin(fs.handle, options, out)
    return code, ffi.gc(out[0], lib.jx_txn_free)


@pytest.mark.parametrize("wanted", ["staged", "committed"])
def test_a_transaction_begins_only_where_no_other_commit_waits(wanted):
    flash = upgraded(NOR, "flip")
    after = [crash(flash, cut) for cut in cuts(flash) if state(crash(flash, cut)) == wanted][-1]
    with FileSystem(after) as fs:
        with pytest.raises(Unfinished, match="run recover"):
            check(begin(fs, lib.JX_FLIP)[0])
        assert begin(fs, lib.JX_FLIP, dry=True)[0] == lib.JX_OK  # a plan may be proved before recover


def test_what_was_staged_alone_stands_in_nobodys_way():
    flash = upgraded(NOR, "flip")
    after = next(crash(flash, cut) for cut in cuts(flash) if state(crash(flash, cut)) == "staged")
    with FileSystem(after) as fs:
        assert begin(fs, lib.JX_FLIP)[0] == lib.JX_OK


def test_commit_says_done_where_the_new_tree_stands_though_settling_fails():
    flash = filesystem(NAND, {b"a": b"A"})
    with FileSystem(flash) as fs:
        code, txn = begin(fs, lib.JX_SEAL)
        assert code == lib.JX_OK
        assert lib.jx_txn_unlink(txn, 1, b"a", 1, 5) == lib.JX_OK
        assert lib.jx_txn_prepare(txn) == lib.JX_OK
        for at in range(0, NAND.size, ERASE):  # nowhere to move the sealed set to
            if flash.read(at, ERASE).count(b"\xff") == ERASE:
                assert lib.jx_flash_raw_mark_bad(flash.handle, at) == lib.JX_OK
        assert lib.jx_txn_commit(txn) == lib.JX_OK
        assert lib.jx_txn_abort(txn) == lib.JX_ESTATE
    assert content(flash) == {}
    assert state(flash) == "committed"


def staged(ino, txid, sequence):
    return block(inode(ino, 1, b"data"), start=tag(lib.JX_TAG_STAGE, txid, sequence))


def test_what_each_cut_staged_last_is_not_taken_over():
    rest = [block(directory(1)), staged(2, 1, 0), staged(3, 1, 1), staged(4, 2, 0), staged(5, 2, 1)]
    with FileSystem(medium(*rest)) as fs:
        assert fs.status.state == "staged"
        assert fs.orphans() == [2, 4]


def test_nothing_staged_is_offered_where_recover_comes_first():
    commit = block(dirent(1, 9, b"f", 6), inode(6, 1), start=tag(lib.JX_TAG_COMMIT, 2))
    flash = medium(block(directory(1)), staged(2, 1, 0), staged(3, 1, 1), commit)
    with FileSystem(flash) as fs:
        assert fs.status.state == "committed"
        assert old_tree(fs).orphans == ()
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs)
        tx.put("g", b"data", mode=0o644)
        tx.utime("g", 100)
        tx.commit()
    assert content(flash) == {b"f": b"", b"g": b"data"}


def test_a_stale_commit_block_does_not_stand_in_the_way_of_an_upgrade():
    """The kernel has appended a file to a staging block since the cut: that block is needed now."""
    appended = block(inode(2, 1, b"staged"), dirent(1, 5, b"f", 3), inode(3, 1, b"x"), start=tag(lib.JX_TAG_STAGE, 1))
    flash = medium(block(directory(1)), appended, block(start=tag(lib.JX_TAG_COMMIT, 1, 1)))
    assert state(flash) != "staged"
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs)
        tx.put("g", b"data")
        tx.commit()
    assert content(flash) == {b"f": b"x", b"g": b"data"}
