"""Cuts the power at every instant of a canonical transaction and lets stock readers look at what is left.

`python -m tests.cut TOKEN [-o IMAGE]` rebuilds one crash image and says which paths differ, for a token such as
`nand2k:seal:rename-dir:c17.t3`: geometry, strategy, scenario, cut and tear (jx_crash_build).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from unittest import mock

from jffs2tx import upgrade
from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import Jffs2txError
from jffs2tx.filesystem import FileSystem
from jffs2tx.mkfs import make_filesystem
from jffs2tx.readers import named
from jffs2tx.staging import Run
from jffs2tx.transaction import Transaction

from .scenarios import NOW, PAST, SCENARIOS, Scenario, Tree

KIB = 1024
FAULTS = lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F3_BITS | lib.JX_F4_ORDER

GEOMETRIES = {
    "nor": Geometry("nor", 16 * 64 * KIB, 64 * KIB),
    "nand512": Geometry("nand", 48 * 16 * KIB, 16 * KIB, 512, 512, 8),
    "nand2k": Geometry("nand", 16 * 128 * KIB, 128 * KIB, 2048, 512, 38),
}
STRATEGIES = {"nor": ("swap", "flip"), "nand512": ("swap", "seal"), "nand2k": ("swap", "seal", "lift")}

#: What a stock reader can be: (summary support, bytes of a block that it looks at before it takes it for empty).
READERS = ((1, 256), (0, 256), (1, 1024), (0, 1024))

FAILURES = {
    lib.JX_FAIL_THIRD: "neither tree",
    lib.JX_FAIL_EARLY: "new before the commit",
    lib.JX_FAIL_LOST: "old after the commit",
    lib.JX_FAIL_RECOVER: "recover failed",
    lib.JX_FAIL_CHANGED: "recover changed the tree",
    lib.JX_FAIL_AGAIN: "a second recover had work to do",
    lib.JX_FAIL_UNSETTLED: "not settled after recover",
}


@dataclass(frozen=True)
class Case:
    """One scenario on one flash by one strategy."""

    geometry: str
    strategy: str
    scenario: str

    def __str__(self) -> str:
        return f"{self.geometry}:{self.strategy}:{self.scenario}"

    @property
    def what(self) -> Scenario:
        return SCENARIOS[self.scenario]

    @property
    def base(self) -> str:
        """Where all changes lie: swap needs one directory that is not the root."""
        return "sys/" if self.strategy == "swap" else ""

    @property
    def device(self) -> Geometry:
        geo = GEOMETRIES[self.geometry]
        if self.what.scale == 1:
            return geo
        return Geometry(geo.kind, geo.size * 2, geo.erase_size, geo.write_size, geo.subpage_size, geo.oob_avail)

    @property
    def promised(self) -> tuple[tuple[int, int], ...]:
        """The readers for whom the strategy keeps the promise."""
        return tuple(reader for reader in READERS if self.strategy != "seal" or reader[0])


def cases() -> list[Case]:
    return [
        Case(geometry, strategy, name)
        for name, scenario in SCENARIOS.items()
        for geometry, strategies in STRATEGIES.items()
        for strategy in strategies
        if strategy not in scenario.without
    ]


# ---- recording --------------------------------------------------------------------------------------------------------


@dataclass
class Recording:
    """A transaction on a simulator, with the number of operations at which its parts ended."""

    case: Case
    sim: Flash
    start: Flash
    prepared: int = 0
    committed: int = 0
    old_digest: bytes = b""
    new_digest: bytes = b""

    @property
    def operations(self) -> int:
        return lib.jx_sim_op_count(self.sim.handle)

    def close(self) -> None:
        self.sim.close()
        self.start.close()


def _transact(flash: Flash, change, case: Case, strategy: str, when: int) -> None:
    names = ("linux-summary",) if strategy == "seal" else case.what.readers or ("linux",)
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=when, readers=named(names), strategy=strategy)
        change(tx, case.base)
        tx.commit()


def _past_strategy(case: Case) -> str:
    return {"nor": "flip", "nand512": "seal", "nand2k": "seal"}[case.geometry]


def start_flash(case: Case) -> Flash:
    """A simulator that holds the old tree, its past included."""
    tree = Tree()
    case.what.tree(tree, case.base)
    flash = Flash.simulator(case.device)
    summary = case.strategy != "lift" and bool(case.what.past)
    make_filesystem(flash, tree.manifest(), tree.read, summary=summary)
    for number, change in enumerate(case.what.past):
        _transact(flash, change, case, _past_strategy(case), PAST + number)
    check(lib.jx_sim_restart(flash.handle))
    return flash


def clone(flash: Flash) -> Flash:
    out = ffi.new("jx_flash **")
    check(lib.jx_flash_clone(flash.handle, out))
    return Flash(out[0])


def digest(flash: Flash) -> bytes:
    with FileSystem(flash) as fs:
        return fs.digest()


def record(case: Case) -> Recording:
    """Lands the change, and settles it."""
    sim = start_flash(case)
    recording = Recording(case, sim, clone(sim))

    class Marked(Run):
        def commit(self) -> None:
            recording.prepared = recording.operations
            super().commit()
            recording.committed = recording.operations

    recording.old_digest = digest(sim)
    with mock.patch.object(upgrade, "Run", Marked):
        _transact(sim, case.what.change, case, case.strategy, NOW)
    recording.new_digest = digest(sim)
    return recording


# ---- judging ----------------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    case: Case
    seconds: float
    states: int
    distinct: int
    old: int
    new: int
    third: int
    recovered: int
    inner: int
    failures: list[str]
    failure_count: int
    commit_cut: int
    operations: int

    def __str__(self) -> str:
        return (
            f"{str(self.case):34} {self.operations:6} operations {self.states:8} states {self.distinct:8} distinct "
            f"{self.old:8} old {self.new:7} new {self.third:4} third {self.recovered:6} recovered {self.inner:6} inner "
            f"{self.failure_count:4} failures {self.seconds:7.2f} s"
        )


def _readers(case: Case, endian: int):
    readers = [(endian, summary, empty) for summary, empty in case.promised]
    return ffi.new("struct jx_reader[]", readers), len(readers)


def judge(
    recording: Recording, *, faults: int = FAULTS, recover: int = 0, every: int = 1, inner: int = 0, plain: bool = False
) -> Verdict:
    """recover: families of states on which recover is run, on each `every`-th; inner: families of cuts inside that."""
    case = recording.case
    options = ffi.new("struct jx_judge_options *")
    options.old_digest = recording.old_digest
    options.new_digest = recording.new_digest
    options.faults = faults
    options.prepared, options.committed = recording.prepared, recording.committed
    options.recover_faults, options.recover_every, options.inner_faults = recover, every, inner
    options.plain = plain
    readers, count = _readers(case, lib.JX_LITTLE)
    out = ffi.new("struct jx_judgement *")
    failures = ffi.new("struct jx_failure[]", 50)
    begin = time.perf_counter()
    check(lib.jx_judge(recording.sim.handle, options, readers, count, out, failures, len(failures)), doing="judging")
    seconds = time.perf_counter() - begin
    told = [_tell(recording, failures[i], faults, inner) for i in range(min(out.failures, len(failures)))]
    return Verdict(
        case, seconds, out.states, out.distinct, out.seen_old, out.seen_new, out.seen_third, out.recovered, out.inner,
        told, out.failures, out.commit_cut, recording.operations,
    )  # fmt: skip


def describe(recording: Recording, cut: int, tear: int, faults: int = FAULTS) -> str:
    buffer = ffi.new("char[]", 200)
    check(lib.jx_crash_describe(recording.sim.handle, cut, faults, tear, buffer, len(buffer)))
    return ffi.string(buffer).decode()


def _tell(recording: Recording, failure, faults: int, inner: int) -> str:
    summary, empty = recording.case.promised[failure.reader]
    where = f"{recording.case}:c{failure.cut}.t{failure.tear}"
    if failure.inner_cut != 0xFFFFFFFF:
        where += f"/c{failure.inner_cut}.t{failure.inner_tear}"
    error = f" ({ffi.string(lib.jx_strerror(failure.error)).decode()})" if failure.error else ""
    what = describe(recording, failure.cut, failure.tear, faults)
    return (
        f"{where} {FAILURES[failure.kind]}{error}, reader {'with' if summary else 'without'} summary, {empty}: {what}; "
        f"prepared at {recording.prepared}, committed at {recording.committed}, {recording.operations} operations"
    )
