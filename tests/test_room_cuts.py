"""An upgrade that must collect garbage first, one that takes over what a cut left staged, and a recover: each cut and
torn everywhere (F1 to F5), and each with every operation failing once and then cut (F8)."""

from __future__ import annotations

from contextlib import suppress

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.errors import Jffs2txError, MediumError, NoSpace
from jffs2tx.faults.trees import digest
from jffs2tx.filesystem import FileSystem
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import recover

from .crashes import FAULTS, STRATEGIES, Case, judge, record
from .test_collect import tight
from .test_wear import every_cut, simulator

CASES = [Case(name, strategy, "one-file") for name in ("nor", "nand512", "nand2k") for strategy in STRATEGIES[name]]
NEVER = 0xFFFFFFFF


def change(tx: Transaction, base: str) -> None:
    tx.put(f"{base}new", bytes(range(256)) * 200)
    tx.put(f"{base}newer", b"text" * 9000)


def land(flash: Flash, case: Case) -> None:
    readers = named(("linux-summary",) if case.strategy == "seal" else ("linux",))
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=700, readers=readers, strategy=case.strategy)
        change(tx, case.base)
        tx.commit()


def crowded(case: Case) -> Flash:
    """Few erased blocks, and many that are partly dead."""
    with tight(case.geometry, 5) as flash:
        if case.base:
            with FileSystem(flash) as fs:
                tx = Transaction(flash, fs, time=600, readers=named(("linux-summary",)))
                tx.mkdir(case.base.rstrip("/"))
                tx.commit()
        return simulator(flash)


def half_staged(case: Case) -> Flash:
    """The same upgrade was cut when half of what it stages was there."""
    with crowded(case) as whole:
        recording = record(case, whole, change)
        writes = [kind for kind in kinds(whole)[: recording.prepared] if kind != lib.JX_SIM_SYNC]
    flash = crowded(case)
    check(lib.jx_sim_cut_after(flash.handle, len(writes) * 5 // 6))
    with pytest.raises(Jffs2txError):
        land(flash, case)
    check(lib.jx_sim_restart(flash.handle))
    return flash


def kinds(sim: Flash) -> list[int]:
    op = ffi.new("struct jx_sim_op *")
    found = []
    for number in range(lib.jx_sim_op_count(sim.handle)):
        check(lib.jx_sim_op_get(sim.handle, number, op))
        found.append(op.kind)
    return found


STARTS = {"collects": crowded, "resumes": half_staged}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_state_is_old_or_new(case, start):
    recording = record(case, STARTS[start](case), change)
    if start == "collects":
        assert kinds(recording.sim)[: recording.prepared].count(lib.JX_SIM_ERASE) > 3  # more than those that are taken
    verdict = judge(recording, faults=FAULTS | lib.JX_F5_ERASE, recover_cuts=1, recover_tears=100, inner=lib.JX_F1_CUT)
    recording.close()
    print(verdict)
    assert verdict.old and verdict.new and verdict.states > 300
    assert not verdict.failure_count, "\n".join(verdict.failures)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_operation_fails_once(case, start):
    """The tree is the old or the new one then, whatever the cut after it."""
    with STARTS[start](case) as begin:
        with simulator(begin) as sim:
            old = digest(sim)
            land(sim, case)
            new, operations = digest(sim), lib.jx_sim_op_count(sim.handle)
        landed, tried = 0, range(0, operations, 3 if case.geometry == "nor" else 1)
        for n in tried:
            token = f"{case}:{start}:fail{n}"
            with simulator(begin) as sim:
                check(lib.jx_sim_fail_after(sim.handle, n))
                with suppress(Jffs2txError):
                    land(sim, case)
                check(lib.jx_sim_fail_after(sim.handle, NEVER))
                seen = digest(sim)
                assert seen in (old, new), token
                landed += seen == new
                every_cut(sim, old, new, token)
    print(f"{case} {start}: {len(tried)} of {operations} operations failed, {landed} landed all the same")
    assert landed and operations > 10


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_operation_of_recover_fails_once(case):
    """After a row of cuts; the tree stays, and a second recover finishes what the first one could not."""
    with record(case, crowded(case), change) as recording:
        failed = 0
        for cut in range(0, recording.operations + 1, 5 if case.geometry == "nor" else 2):
            with Flash.simulator(recording.sim.geometry) as crashed:
                recording.build(cut, 0, crashed, lib.JX_F1_CUT)
                tree = digest(crashed)
                for n in range(operations_of_recover(crashed)):
                    with simulator(crashed) as again:
                        check(lib.jx_sim_fail_after(again.handle, n))
                        with suppress(MediumError):
                            recover(again)
                        check(lib.jx_sim_fail_after(again.handle, NEVER))
                        every_cut(again, tree, tree, f"{case}:c{cut}:recover:fail{n}")
                        # NOR has no table of bad blocks: one that can be neither cleared nor erased stays what it was
                        assert recover(again).state in ("none", "settled") or case.geometry == "nor"
                        assert digest(again) == tree
                        failed += 1
    assert failed > 10


def operations_of_recover(crashed: Flash) -> int:
    with simulator(crashed) as sim:
        recover(sim)
        return lib.jx_sim_op_count(sim.handle)


@pytest.mark.parametrize("case", [case for case in CASES if case.geometry != "nor"], ids=str)
def test_wear_takes_nothing_of_the_reserve(case):
    """Room was made for just this upgrade: where a block fails on the way, it is refused, and the next run lands."""
    with crowded(case) as start:
        recording = record(case, crowded(case), change)
        fallible = [
            kind for kind in kinds(recording.sim)[: recording.prepared] if kind in (lib.JX_SIM_PROG, lib.JX_SIM_ERASE)
        ]
        recording.close()
        refused = 0
        for n in range(len(fallible) + 1):
            with simulator(start) as sim:
                check(lib.jx_sim_fail_after(sim.handle, n))
                old = digest(sim)
                with suppress(NoSpace):
                    land(sim, case)
                if digest(sim) == old:
                    refused += 1
                    land(sim, case)
                with FileSystem(sim) as fs:
                    assert fs.space.free + fs.space.dirty >= fs.space.reserve, n
        print(f"{case}: refused after {refused} of {len(fallible) + 1} failures")
