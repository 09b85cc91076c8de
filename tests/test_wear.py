"""F8: any program or erase may fail, and its block with it; then the power may go as well."""

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.errors import Jffs2txError
from jffs2tx.filesystem import FileSystem
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import recover
from tests.test_transaction import GEOMETRIES, fresh

STRATEGIES = {"nor": ("swap", "flip"), "nand512": ("swap", "seal"), "nand2k": ("swap", "seal", "lift")}
CASES = [(name, strategy) for name, strategies in STRATEGIES.items() for strategy in strategies]


def upgrade(flash, strategy):
    """Two new files and a changed one, below one directory so that each strategy applies."""
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=500, readers=named(("linux-summary",)), strategy=strategy)
        tx.put("a/one", b"changed" * 2000)
        tx.put("a/new", bytes(range(256)) * 40)
        tx.remove("a/two")
        tx.commit()


def digest(flash):
    with FileSystem(flash) as fs:
        return fs.digest()


def simulator(start):
    return Flash.simulator(start.geometry, start.read(0, start.geometry.size))


@pytest.mark.parametrize(("name", "strategy"), CASES)
def test_every_operation_fails_once(name, strategy):
    with fresh(GEOMETRIES[name]) as start, simulator(start) as sim:
        old = digest(start)
        upgrade(sim, strategy)
        new = digest(sim)
        operations = lib.jx_sim_op_count(sim.handle)
    failures = landed = 0
    for n in range(operations):
        with simulator(start := fresh(GEOMETRIES[name])) as sim:
            check(lib.jx_sim_fail_after(sim.handle, n))
            try:
                upgrade(sim, strategy)
                landed += 1
                assert digest(sim) == new, f"{name}:{strategy}:fail{n}"
            except Jffs2txError:
                failures += 1
                assert digest(sim) in (old, new), f"{name}:{strategy}:fail{n}"
            check(lib.jx_sim_fail_after(sim.handle, 0xFFFFFFFF))
            every_cut(sim, old, new, f"{name}:{strategy}:fail{n}")
        start.close()
    print(f"{name} {strategy}: {operations} operations, {landed} landed all the same, {failures} refused")
    assert landed >= operations * 0.8


def every_cut(sim, old, new, token):
    """Each prefix of what was done, as it stands after a power cut."""
    every_cut_since(sim, 0, old, new, token)


def every_cut_since(sim, begin, old, new, token):
    out = ffi.new("jx_flash **")
    check(lib.jx_flash_open_memory(sim.geometry.to_c(), out))
    with Flash(out[0]) as crashed:
        was_new = False
        for cut in range(begin, lib.jx_sim_op_count(sim.handle) + 1):
            check(lib.jx_crash_build(sim.handle, cut, lib.JX_F1_CUT, 0, crashed.handle))
            seen = digest(crashed)
            assert seen == new or (seen == old and not was_new), f"{token}:c{cut}"
            was_new = seen == new


@pytest.mark.parametrize("name", ["nand512", "nand2k"])
def test_a_failing_block_is_marked_bad(name):
    with fresh(GEOMETRIES[name]) as start, simulator(start) as sim:
        check(lib.jx_sim_fail_after(sim.handle, 2))
        upgrade(sim, "swap")
        with FileSystem(sim) as fs:
            assert fs.space.bad == 1
        assert recover(sim).did_nothing


@pytest.mark.parametrize(("name", "strategy"), CASES)
def test_erases_go_round_the_chip(name, strategy):
    """Small upgrades one after another: no block is erased much more often than the others."""
    with fresh(GEOMETRIES[name]) as start, simulator(start) as sim:
        blocks = sim.geometry.blocks
        for number in range(blocks):
            with FileSystem(sim) as fs:
                tx = Transaction(sim, fs, time=500 + number, readers=named(("linux-summary",)), strategy=strategy)
                tx.put("a/new", b"%d" % number)
                tx.commit()
            recover(sim)
        op, erases = ffi.new("struct jx_sim_op *"), [0] * blocks
        for number in range(lib.jx_sim_op_count(sim.handle)):
            check(lib.jx_sim_op_get(sim.handle, number, op))
            if op.kind == lib.JX_SIM_ERASE:
                erases[op.off // sim.geometry.erase_size] += 1
    print(f"{name} {strategy}: erases of each block {erases}")
    assert max(erases) <= 2 * sum(erases) / blocks


@pytest.mark.parametrize("strategy", STRATEGIES["nor"])
def test_a_commit_block_that_cannot_be_erased_stops_no_later_upgrade(strategy):
    """NOR has no table of bad blocks: whatever block fails for good, the next upgrades land."""
    with fresh(GEOMETRIES["nor"]) as start, simulator(start) as sim:
        upgrade(sim, strategy)
        operations = lib.jx_sim_op_count(sim.handle)
    for n in range(operations):
        token = f"nor:{strategy}:fail{n}"
        with fresh(GEOMETRIES["nor"]) as start, simulator(start) as sim:
            check(lib.jx_sim_fail_after(sim.handle, n))
            upgrade(sim, strategy)
            for number in range(3):
                before = digest(sim)
                begin = lib.jx_sim_op_count(sim.handle)
                with FileSystem(sim) as fs:
                    tx = Transaction(sim, fs, time=600, readers=named(("linux-summary",)), strategy=strategy)
                    tx.put("a/again", b"%d" % number * 3000)
                    tx.commit()
                every_cut_since(sim, begin, before, digest(sim), token)
                recover(sim)
                with FileSystem(sim) as fs:
                    assert fs.read("a/again") == b"%d" % number * 3000, token
                    assert fs.status.state == "settled", token
