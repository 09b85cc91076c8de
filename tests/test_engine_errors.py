"""The engine's calls with what they cannot take, out of order, and with anything failing under them: allocations, the
power, blocks. Each ends in an error that says so, with the old tree or the new one on the medium; no memory is lost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import (
    Busy,
    Corrupt,
    InternalError,
    InvalidValue,
    Jffs2txError,
    LimitError,
    NoSpace,
    NotFound,
    PowerCut,
    StrategyError,
    TooBig,
    Unfinished,
)
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, build

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
    header,
    inode,
    medium,
    obsolete,
    tag,
)
from .medium import attributes, transaction

NEVER = 0xFFFFFFFF
NO_ALLOCATION = 2**64 - 1
SMALL_NOR = replace(NOR, size=16 * ERASE)
SMALL_NAND = replace(NAND, size=16 * ERASE)
NOR_ECC = Geometry("nor-ecc", 16 * ERASE, ERASE, 64)
CASES = [
    (SMALL_NOR, lib.JX_FLIP),
    (SMALL_NOR, lib.JX_SWAP),
    (SMALL_NAND, lib.JX_SEAL),
    (SMALL_NAND, lib.JX_LIFT),
    (NOR_ECC, lib.JX_SEAL),
]
XATTR = build(NodeType.XATTR, "little", xid=1, version=1, xprefix=1, name=b"a", value=b"old")
XREF = build(NodeType.XREF, "little", ino=4, xid=1, xseqno=2)
TREE = [
    directory(1),
    dirent(1, 2, b"d", 2, type=4),
    directory(2),
    dirent(1, 3, b"f", 3),
    inode(3, 1, b"first"),
    dirent(1, 4, b"a", 4),
    inode(4, 1, b"attributed"),
    XATTR,
    XREF,
    dirent(2, 2, b"x", 5),
    inode(5, 1, b"x"),
]
OLD = {b"f": b"first", b"a": b"attributed", b"d/x": b"x"}
NEW = {b"f": b"second" * 1000, b"a": b"attributed", b"new/g": b"g"}
MOVED = {path: data for path, data in OLD.items() if path != b"d/x"}


def start(geometry):
    """The old tree, blocks in which nothing is needed, and a few that are erased."""
    clean = CLEANMARKER if geometry.kind == "nor" else b""
    dead = [block(inode(900, 1, b"dead" * 100), start=clean)] * 3
    used = b"".join([block(*TREE, start=clean), *dead])
    return Flash.simulator(geometry, used.ljust(geometry.size, b"\xff"))


def change(tx, strategy):
    """A bit of everything; by swap the one name that it can move."""
    if strategy == lib.JX_SWAP:
        ino = tx.create(b"unreached")
        tx.drop(1, b"d")
        return ino
    out = ffi.new("uint32_t *")
    tx.name(1, b"f", tx.create(NEW[b"f"]))
    tx.setxattr(0, 1, b"k", 1, b"v" * 40, 40)
    tx.setxattr(0, 1, b"l", 1, b"v", 1)
    tx.special(attributes(0o40755), b"", 0, out)
    new = out[0]
    tx.name(1, b"new", new, 4)
    tx.name(new, b"g", tx.create(b"g"))
    tx.special(attributes(0o120777), b"target", 6, out)
    tx.name(new, b"link", out[0], 10)
    tx.drop(1, b"d")
    tx.setxattr(4, 1, b"k", 1, b"v" * 40, 40)
    tx.removexattr(4, 1)
    tx.setattr(4, attributes(0o100600, 1, 2))
    return new


def land(flash, strategy):
    with FileSystem(flash) as fs, transaction(fs, strategy, summary=1) as tx:
        change(tx, strategy)
        tx.prepare()
        tx.commit()


def give_up(flash, strategy):
    with FileSystem(flash) as fs, transaction(fs, strategy) as tx:
        change(tx, strategy)
        tx.prepare()
        tx.abort()


def clean_up(flash):
    reader = ffi.new("struct jx_reader *", [-1, 1, 256])
    check(lib.jx_tidy(flash.handle, reader, ffi.new("struct jx_recovery *")))


def wanted(strategy):
    return MOVED if strategy == lib.JX_SWAP else NEW


def fails(function, *arguments):
    """Whether it did."""
    try:
        function(*arguments)
    except Jffs2txError:
        return True
    return False


# ---- allocations -----------------------------------------------------------------------------------------------------


def allocation_fails(number, stay, function):
    """Runs it with that allocation failing, stay: and all after it. Whether it failed, and whether it came so far."""
    lib.jx_testing_fail_alloc(number, stay)
    try:
        return fails(function), lib.jx_testing_allocs() > number
    finally:
        lib.jx_testing_fail_alloc(NO_ALLOCATION, 0)


@pytest.mark.testing
@pytest.mark.parametrize("stay", [0, 1], ids=["once", "from-then-on"])
@pytest.mark.parametrize(("geometry", "strategy"), CASES)
def test_every_allocation_of_an_upgrade_fails(geometry, strategy, stay):
    number, reached, before = 0, True, lib.jx_testing_live()
    while reached:
        with start(geometry) as flash:
            failed, reached = allocation_fails(number, stay, partial(land, flash, strategy))
            assert content(flash) in ((OLD, wanted(strategy)) if failed else (wanted(strategy),)), number
        assert lib.jx_testing_live() == before, f"allocation {number}: memory is lost"
        number += 1
    assert number > 60


@pytest.mark.testing
@pytest.mark.parametrize("function", [give_up, land])
def test_every_allocation_of_clearing_fails(function):
    """Of an abort or a commit, and of the tidying that follows."""
    number, reached, before = 0, True, lib.jx_testing_live()
    while reached:
        with start(SMALL_NOR) as flash:
            _, reached = allocation_fails(number, 0, partial(function, flash, lib.JX_FLIP))
            seen = content(flash)
            for inner in range(0, 100, 9):
                allocation_fails(inner, 0, partial(clean_up, flash))
                assert content(flash) == seen, (number, inner)
        assert lib.jx_testing_live() == before, f"allocation {number}: memory is lost"
        number += 7


# ---- the power -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [land, give_up])
@pytest.mark.parametrize(("geometry", "strategy"), CASES)
def test_the_power_goes_at_every_operation(geometry, strategy, function):
    """Whatever the call was, it ends and says so; then recover is cut everywhere."""
    with start(geometry) as flash:
        function(flash, strategy)
        count = lib.jx_sim_op_count(flash.handle)
    cut = 0
    for n in range(count):
        with start(geometry) as flash:
            check(lib.jx_sim_cut_after(flash.handle, n))
            cut += fails(function, flash, strategy)
            check(lib.jx_sim_cut_after(flash.handle, NEVER))
            seen = content(flash)
            assert seen in (OLD, wanted(strategy)), n
            for inner in range(0, 60, 7):
                check(lib.jx_sim_cut_after(flash.handle, inner))
                finished = not fails(clean_up, flash)
                check(lib.jx_sim_cut_after(flash.handle, NEVER))
                assert content(flash) == seen, (n, inner)
                if finished:
                    break
    assert cut > count // 2


@pytest.mark.parametrize("function", [land, give_up])
@pytest.mark.parametrize(("geometry", "strategy"), CASES)
def test_a_block_wears_out_at_every_operation(geometry, strategy, function):
    with start(geometry) as flash:
        function(flash, strategy)
        count = lib.jx_sim_op_count(flash.handle)
    for n in range(count):
        with start(geometry) as flash:
            check(lib.jx_sim_fail_after(flash.handle, n))
            failed = fails(function, flash, strategy)
            seen = content(flash)
            assert seen == (OLD if failed or function is give_up else wanted(strategy)), n
            fails(clean_up, flash)
            assert content(flash) == seen, n


# ---- out of order ----------------------------------------------------------------------------------------------------


def test_calls_out_of_order():
    ino = ffi.new("uint32_t *")
    with start(SMALL_NOR) as flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
        made = change(tx, lib.JX_FLIP)
        attr = attributes(0o100644)

        def refused(*names):
            calls = {
                "commit": (),
                "prepare": (),
                "write": (b"x", 1),
                "close": (),
                "special": (attributes(0o120777), b"t", 1, ino),
                "link": (made, b"z", 1, 3, 8, 5),
                "unlink": (1, b"f", 1, 5),
                "setattr": (3, attr),
                "setxattr": (3, 1, b"a", 1, b"v", 1),
                "removexattr": (4, 1),
            }
            for name in names:
                with pytest.raises(InternalError):
                    getattr(tx, name)(*calls[name])

        refused("commit", "write", "close")
        check(lib.jx_txn_create(tx.txn, attr, 4, ino))
        refused("commit", "prepare", "special")
        assert lib.jx_txn_create(tx.txn, attr, 4, ino) == lib.JX_ESTATE
        with pytest.raises(InvalidValue):
            tx.write(b"12345", 5)
        tx.write(b"12", 2)
        with pytest.raises(InvalidValue):
            tx.close()
        tx.setxattr(0, 1, b"a", 1, b"v", 1)
        refused("prepare")  # an attribute waits for its inode
        tx.create(b"")
        tx.prepare()
        refused("prepare", "write", "close", "special", "link", "unlink", "setattr", "setxattr", "removexattr")
        assert lib.jx_txn_create(tx.txn, attr, 4, ino) == lib.JX_ESTATE
        tx.commit()
        refused("commit", "prepare")
        assert lib.jx_txn_abort(tx.txn) == lib.JX_ESTATE
    lib.jx_txn_free(ffi.NULL)


# ---- what cannot be --------------------------------------------------------------------------------------------------


def test_arguments_that_jffs2_cannot_hold():
    ino = ffi.new("uint32_t *")
    with start(SMALL_NOR) as flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
        made = change(tx, lib.JX_FLIP)
        create, special = lib.jx_txn_create, lib.jx_txn_special
        assert create(tx.txn, attributes(0o40755), 1, ino) == lib.JX_EINVAL
        assert create(tx.txn, attributes(0o100644), 1 << 31, ino) == lib.JX_EINVAL
        assert special(tx.txn, attributes(0o100644), b"", 0, ino) == lib.JX_EINVAL
        assert special(tx.txn, attributes(0o120777), b"x" * 255, 255, ino) == lib.JX_EINVAL
        for name in (b"", b"n" * 255, b"a/b", b"a\0b"):
            for call in (lambda name: tx.name(1, name, 3), lambda name: tx.drop(1, name)):
                with pytest.raises(InvalidValue):
                    call(name)
        with pytest.raises(InvalidValue):
            tx.name(1, b"nothing", 0)
        with pytest.raises(NotFound):
            tx.name(77, b"n", 3)
        with pytest.raises(NotFound):
            tx.setattr(77, attributes(0o100644))
        with pytest.raises(InvalidValue):
            tx.setattr(3, attributes(0o40755))
        for arguments in (
            (3, 1, b"n" * 256, 256, b"v", 1),
            (3, 1, b"n", 1, bytes(65536), 65536),
            (3, 1, b"n", 1, bytes(ERASE), ERASE),
            (made, 1, b"n", 1, b"v", 1),  # new, and written already
        ):
            with pytest.raises(InvalidValue):
                tx.setxattr(*arguments)
        tx.setxattr(3, 1, b"k", 1, b"v" * 40, 40)  # the same datum again
        tx.setxattr(3, 2, b"k", 1, b"v" * 40, 40)
        tx.setxattr(3, 1, b"l", 1, b"v" * 40, 40)
        tx.setxattr(3, 1, b"k", 1, b"w" * 40, 40)
        tx.setxattr(3, 1, b"k", 1, b"w" * 39, 39)
        check(create(tx.txn, attributes(0o100644), 5000, ino))
        tx.setxattr(ino[0], 1, b"k", 1, b"v" * 40, 40)
        tx.write(bytes(5000), 5000)
        with pytest.raises(InvalidValue):
            tx.setxattr(ino[0], 1, b"late", 4, b"v", 1)
        tx.close()
        tx.prepare()
        tx.commit()
        assert lib.jx_txn_create(tx.txn, attributes(0o100644), 1, ino) == lib.JX_ESTATE


def test_a_directory_that_is_not_reached_takes_no_name():
    lost = [dirent(9, 2, b"x", 5), directory(9)]
    flash = medium(block(directory(1), *lost))
    with flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx, pytest.raises(NotFound):
        tx.name(9, b"n", 5)


def test_strategies_and_media():
    geometry = ffi.new("struct jx_geometry *")
    for geo, suits in (
        (NOR, (True, True, False, False)),
        (NAND, (True, False, True, True)),
        (replace(NAND, subpage_size=2048), (True, False, True, False)),
        (replace(NAND, write_size=512, subpage_size=256), (True, False, True, False)),
        (NOR_ECC, (True, False, True, False)),
        (Geometry("nand", 8 * 128 * KIB, 128 * KIB, 8192, 2048, 8), (True, False, True, False)),
    ):
        geometry[0] = geo.to_c()[0]
        for strategy, expected in enumerate(suits):
            assert (lib.jx_strategy_suits(strategy, geometry) == lib.JX_OK) is expected
            assert (lib.jx_strategy_limit(strategy, geometry, 100) > 0) is expected
    assert lib.jx_strategy_suits(4, geometry) == lib.JX_EINVAL
    assert lib.jx_strategy_limit(4, geometry, 0) == 0
    for summary_bytes in (70_000, 130_000):  # over what a kernel reads; over the block
        assert lib.jx_strategy_limit(lib.JX_SEAL, geometry, summary_bytes) == 0
    with start(SMALL_NOR) as flash, FileSystem(flash) as fs:
        with pytest.raises(InvalidValue), transaction(fs, 4):
            pass
        with pytest.raises(StrategyError), transaction(fs, lib.JX_LIFT):
            pass
        with pytest.raises(InternalError), transaction(fs, lib.JX_FLIP, fresh=1):
            pass  # the medium holds a tree


def test_no_transaction_number_is_left():
    flash = medium(block(directory(1)), block(start=tag(lib.JX_TAG_STAGE, 0x80000000)))
    with flash, FileSystem(flash) as fs, pytest.raises(LimitError, match="numbers of transactions"), transaction(fs, 1):
        pass


@pytest.mark.parametrize(
    "node",
    [
        build(NodeType.XATTR, "little", xid=0x7FFFFFFF, version=1, xprefix=1, name=b"a", value=b"v"),
        build(NodeType.XREF, "little", ino=1, xid=1, xseqno=0xFFFFFFFF),
    ],
    ids=["datum", "reference"],
)
def test_no_attribute_number_is_left(node):
    """Which is no reason to refuse an upgrade that sets none."""
    flash = medium(block(directory(1), node))
    with flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
        tx.name(1, b"n", tx.create(b"x"))
        with pytest.raises(LimitError, match="numbers of attributes"):
            tx.setxattr(1, 1, b"b", 1, b"w", 1)


@pytest.mark.parametrize("stray", [0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_stray_inode_number_leaves_others(stray):
    """An orphan, and a hidden one, of a number near the end: new inodes get numbers that nothing carries."""
    hidden = header(0x2078, 12 + 68) + inode(stray, 1)
    flash = medium(block(directory(1), dirent(1, 2, b"f", 5), inode(5, 1), inode(stray, 1)), block(hidden))
    with flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
        assert [tx.create(b"") for _ in range(3)] == [6, 7, 8]


@pytest.mark.parametrize(("geometry", "strategy"), CASES)
def test_a_set_that_is_too_big(geometry, strategy):
    """For its block; and where a node of it does not suit."""
    with start(geometry) as flash, FileSystem(flash) as fs, transaction(fs, strategy) as tx:
        for number in range(70):
            tx.drop(1, b"%d" % number + b"n" * 240)
        with pytest.raises(TooBig):
            tx.prepare()
    for more in (True, False) if strategy == lib.JX_SWAP else ():
        with start(geometry) as flash, FileSystem(flash) as fs, transaction(fs, strategy) as tx:
            tx.drop(1, b"f") if more else None
            tx.setattr(3, attributes(0o100600))
            with pytest.raises(TooBig):
                tx.prepare()


@pytest.mark.parametrize("number", [900, 16 * 50])
def test_staging_finds_no_block(number):
    with start(SMALL_NOR) as flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
        with pytest.raises(NoSpace):
            for seed in range(number):
                tx.create(bytes([seed % 251]) * 3000)
        with pytest.raises(NoSpace):
            tx.create(b"x" * 4000)
            tx.prepare()
        tx.abort()
        assert content(flash) == OLD


def test_dry_runs_write_nothing():
    with start(SMALL_NOR) as flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP, dry_run=1, summary=1) as tx:
        change(tx, lib.JX_FLIP)
        tx.prepare()
        tx.commit()
        assert lib.jx_txn_abort(tx.txn) == lib.JX_ESTATE and lib.jx_sim_op_count(flash.handle) == 0
    with start(SMALL_NOR) as flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP, dry_run=1) as tx:
        change(tx, lib.JX_FLIP)
        tx.abort()
        assert lib.jx_sim_op_count(flash.handle) == 0


def test_nothing_to_commit():
    with start(SMALL_NOR) as flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx:
        tx.prepare()
        tx.commit()
        assert lib.jx_sim_op_count(flash.handle) == 0


def test_a_link_whose_target_is_too_long_keeps_its_metadata():
    node = inode(2, 1, b"t" * 300, mode=0o120777)
    flash = medium(block(directory(1), dirent(1, 2, b"l", 2, type=10), node))
    with flash, FileSystem(flash) as fs, transaction(fs, lib.JX_FLIP) as tx, pytest.raises(Corrupt):
        tx.setattr(2, attributes(0o120777))


# ---- tags and summaries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        tag(0, 7),
        tag(4, 7),
        tag(lib.JX_TAG_STAGE, 7, strategy=4),
        tag(lib.JX_TAG_STAGE, 7)[:48] + bytes(4),
        tag(lib.JX_TAG_STAGE, 7, format=3),
        tag(lib.JX_TAG_STAGE, 7, format=1)[:12] + b"\2" + tag(lib.JX_TAG_STAGE, 7, format=1)[13:],
        header(0x2074, 48) + bytes(36),
    ],
    ids=["role 0", "role 4", "strategy", "crc", "format", "length of another format", "length"],
)
def test_a_tag_that_is_none(wrong):
    with medium(block(directory(1)), block(start=wrong)) as flash, FileSystem(flash) as fs:
        assert fs.status.state == "none"


def test_a_live_device_is_not_recovered():
    """What would have to be erased waits; where nothing waits nothing is said."""
    commit = block(dirent(1, 9, b"f", 6), inode(6, 1), start=tag(lib.JX_TAG_COMMIT, 2))
    stale = block(obsolete(dirent(1, 9, b"f", 6)), start=tag(lib.JX_TAG_COMMIT, 2))
    reader, out = ffi.new("struct jx_reader *", [-1, 1, 256]), ffi.new("struct jx_recovery *")
    collected = ffi.new("struct jx_collection *")
    for second, tidied, dropped in (
        (commit, Busy, Unfinished),
        (stale, Busy, Busy),
        (block(start=tag(lib.JX_TAG_STAGE, 2)), Busy, None),
        (block(), None, None),
    ):
        with medium(block(directory(1)), second) as flash:
            flash.live = True
            for function, expected in ((lib.jx_tidy, tidied), (lib.jx_drop_commits, dropped)):
                if expected:
                    with pytest.raises(expected):
                        check(function(flash.handle, reader, out))
                else:
                    check(function(flash.handle, reader, out))
            assert lib.jx_collect(flash.handle, reader, 1, 0, collected) in (lib.JX_EBUSY, lib.JX_EUNFINISHED)


def test_a_dead_device_says_so():
    reader = ffi.new("struct jx_reader *", [-1, 1, 256])
    with start(SMALL_NOR) as flash:
        check(lib.jx_sim_cut_after(flash.handle, 0))
        assert lib.jx_flash_raw_erase(flash.handle, 0) == lib.JX_ECUT
        for function, out in (
            (lib.jx_tidy, "struct jx_recovery *"),
            (lib.jx_recover, "struct jx_recovery *"),
            (lib.jx_drop_commits, "struct jx_recovery *"),
        ):
            with pytest.raises(PowerCut):
                check(function(flash.handle, reader, ffi.new(out)))
        assert lib.jx_collect(flash.handle, reader, 1, 0, ffi.new("struct jx_collection *")) == lib.JX_ECUT


def test_a_summary_that_cannot_be():
    """A place beyond the node; more bytes than an int holds; a place where no node starts."""
    out, entry, at = ffi.new("uint8_t[64]"), ffi.new("struct jx_summary_entry *"), ffi.new("uint32_t *")
    for at[0] in (60, 55):
        assert lib.jx_decode_summary_entry(lib.JX_LITTLE, out, 64, at, entry) == lib.JX_EFORMAT
    for total, where in ((1 << 31, 64), (64, 65), (39, 64)):
        assert lib.jx_encode_summary(0, out, total, where, 0, 0, entry, ffi.NULL, 0) == lib.JX_EINVAL
