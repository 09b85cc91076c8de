"""Records canonical transactions on a simulator, cuts the power at every instant, and lets stock readers look.

A crash state has a token: geometry, strategy, scenario, cut and tear as for jx_crash_build, for instance
`nand2k:seal:rename-dir:c17.t3`.
"""

from __future__ import annotations

import re
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache
from unittest import mock

from jffs2tx import faults as faults_lab
from jffs2tx import upgrade
from jffs2tx._ffi import check, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import NoSpace
from jffs2tx.faults import VIEWERS, Failure, Judge, Place, Recording, Viewer, viewers_of
from jffs2tx.faults.trees import facts, facts_on
from jffs2tx.filesystem import FileSystem
from jffs2tx.mkfs import make_filesystem
from jffs2tx.readers import READERS, Reader, View, flash_of, named
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import old_tree

from .boot_scenarios import BOOT_SCENARIOS, REMOVING
from .pairs import PAIRS
from .scenarios import DEEP_SCENARIOS, NOW, PAST, SCENARIOS, Scenario, Tree

KIB = 1024
FAULTS = lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F3_BITS | lib.JX_F4_ORDER | lib.JX_F5_ERASE

GEOMETRIES = {
    "nor": Geometry("nor", 16 * 64 * KIB, 64 * KIB),
    "nand512": Geometry("nand", 48 * 16 * KIB, 16 * KIB, 512, 512, 8),
    "nand2k": Geometry("nand", 16 * 128 * KIB, 128 * KIB, 2048, 512, 38),
}
GEOMETRIES["norbe"] = GEOMETRIES["nor"]  # big endian
GEOMETRIES["nand2kbe"] = GEOMETRIES["nand2k"]
SMALL = {
    "nor": Geometry("nor", 16 * 16 * KIB, 16 * KIB),
    "nand512": Geometry("nand", 16 * 16 * KIB, 16 * KIB, 512, 512, 8),
    "nand2k": Geometry("nand", 16 * 32 * KIB, 32 * KIB, 2048, 512, 38),
}
STRATEGIES = {
    "nor": ("swap", "flip"),
    "nand512": ("swap", "seal"),
    "nand2k": ("swap", "seal", "lift"),
    "norbe": ("flip",),
    "nand2kbe": ("seal", "lift"),
}
IN_BIG_ENDIAN = ("type-change", "xattr", "devices", "metadata")


@dataclass(frozen=True)
class Case:
    """One scenario on one flash by one strategy; of a scenario such as boot-next@u-boot for that reader alone."""

    geometry: str
    strategy: str
    scenario: str

    def __str__(self) -> str:
        return f"{self.geometry}:{self.strategy}:{self.scenario}"

    @property
    def what(self) -> Scenario:
        name = self.scenario.partition("@")[0]
        return SCENARIOS.get(name) or PAIRS.get(name) or BOOT_SCENARIOS.get(name) or DEEP_SCENARIOS[name]

    @property
    def reader(self) -> str | None:
        return self.scenario.partition("@")[2] or None

    @property
    def readers(self) -> tuple[Reader, ...]:
        """For whom it is planned."""
        names = ("linux-summary",) if self.strategy == "seal" else self.what.readers or ("linux",)
        return named((self.reader,) if self.reader else names)

    @property
    def base(self) -> str:
        """Where all changes lie: swap needs one directory that is not the root."""
        return "sys/" if self.strategy == "swap" else ""

    @property
    def device(self) -> Geometry:
        geo = GEOMETRIES[self.geometry]
        if self.what.tight:
            return smallest_device(self)
        if self.what.small:
            return SMALL[self.geometry]
        return geo if self.what.scale == 1 else replace(geo, size=geo.size * max(2, self.what.scale // 5))

    @property
    def endian(self) -> str:
        return "big" if self.geometry.endswith("be") else "little"

    @property
    def promised(self) -> tuple[Viewer, ...]:
        """The readers for whom the strategy keeps the promise: a boot loader, and the kernel that it starts."""
        if self.reader:
            return tuple(dict.fromkeys((*viewers_of(self.readers), *self._kernels)))
        return self._kernels

    @property
    def _kernels(self) -> tuple[Viewer, ...]:
        return tuple(viewer for viewer in VIEWERS if self.strategy != "seal" or viewer.summary)


def cases() -> list[Case]:
    return [
        Case(geometry, strategy, name)
        for name, scenario in SCENARIOS.items()
        for geometry, strategies in STRATEGIES.items()
        for strategy in strategies
        if strategy not in scenario.without and (name in IN_BIG_ENDIAN or not geometry.endswith("be"))
    ]


def pair_cases() -> list[Case]:
    """All pairs of operations, on small devices."""
    return [
        Case(geometry, strategy, name)
        for name, pair in PAIRS.items()
        for geometry in SMALL
        for strategy in STRATEGIES[geometry]
        if strategy not in pair.without
    ]


def reader_cases() -> list[Case]:
    """For every row of the table but Linux's what it says holds."""
    return [
        Case(geometry, strategy, f"{name}@{reader.name}")
        for reader in READERS.values()
        if not reader.name.startswith("linux")
        for geometry in ("nor", "nand512", "nand2k")
        for strategy in STRATEGIES[geometry]
        for name in BOOT_SCENARIOS
        if _is_promised(reader.view(strategy, flash_of(GEOMETRIES[geometry].kind)), name)
    ]


def _is_promised(view: View, scenario: str) -> bool:
    return view is View.HOLDS or (view is View.UNLESS_REMOVED and scenario not in REMOVING)


def deep_cases() -> list[Case]:
    """Of thousands of names each."""
    return [Case("nor", strategy, name) for name in DEEP_SCENARIOS for strategy in STRATEGIES["nor"]]


def parse_token(token: str) -> tuple[Case, Place]:
    """Raises ValueError."""
    match = re.fullmatch(r"(\w+):(\w+):([\w+@-]+):(.+)", token)
    case = Case(*match.groups()[:3]) if match else None
    if case not in (*cases(), *pair_cases(), *reader_cases(), *deep_cases()):
        raise ValueError(f"{token!r} is no token such as nand2k:seal:rename-dir:c17.t3")
    return case, Place.parse(match[4])


# ---- recording -------------------------------------------------------------------------------------------------------


@dataclass
class CaseRecording(Recording):
    """The recording of a case. Tears are numbered by FAULTS."""

    case: Case | None = None


def _begin(flash: Flash, fs: FileSystem, case: Case, strategy: str, when: int) -> Transaction:
    readers = named(("linux-summary",)) if strategy == "seal" != case.strategy else case.readers
    return Transaction(flash, fs, time=when, readers=readers, strategy=strategy)


def land(flash: Flash, case: Case) -> None:
    """The case's change, and no more."""
    with FileSystem(flash) as fs:
        tx = _begin(flash, fs, case, case.strategy, NOW)
        case.what.change(tx, case.base)
        tx.commit()


def transact(flash: Flash, change, case: Case, strategy: str, when: int) -> None:
    """Lands a change and checks that the tree is the one that was asked for."""
    with FileSystem(flash) as fs:
        tx = _begin(flash, fs, case, strategy, when)
        change(tx, case.base)
        tree = old_tree(fs)
        wanted = facts(
            {path: node.entry for path, node in tx._wanted.items()},
            lambda path, entry: entry.sha256 or tree.sha256(tx._wanted[path].keep),
        )
        tx.commit()
    assert facts_on(flash) == wanted, f"{case}: not the tree that was asked for"


def start_flash(case: Case, device: Geometry | None = None) -> Flash:
    """A simulator that holds the old tree, its past included."""
    tree = Tree()
    case.what.tree(tree, case.base)
    device = device or case.device
    flash = Flash.simulator(device)
    summary = case.strategy != "lift" and bool(case.what.past)
    make_filesystem(flash, tree.manifest(), tree.read, endian=case.endian, summary=summary)
    past = "flip" if device.kind == "nor" else "seal"
    for number, change in enumerate(case.what.past):
        with mock.patch.object(upgrade, "recover") if case.what.tight else nullcontext():
            transact(flash, change, case, past, PAST + number)
    check(lib.jx_sim_restart(flash.handle))
    return flash


@cache
def smallest_device(case: Case) -> Geometry:
    """The smallest device on which the case's transaction finds room."""
    geo = GEOMETRIES[case.geometry]
    for blocks in range(4, geo.blocks):
        smaller = replace(geo, size=blocks * geo.erase_size)
        with suppress(NoSpace), start_flash(case, smaller) as flash:
            transact(flash, case.what.change, case, case.strategy, NOW)
            return smaller
    return geo


def record(case: Case, start: Flash | None = None, change=None) -> CaseRecording:
    """Lands the case's change (or another one) on its old tree (or on what is there), and settles it."""

    def land(flash: Flash) -> None:
        transact(flash, change or case.what.change, case, case.strategy, NOW)

    recording = faults_lab.record(start or start_flash(case), land, viewers=case.promised)
    return CaseRecording(**vars(recording), case=case)


# ---- judging ---------------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """What jx_judge found. `old`, `new`, `third` count distinct states once for each reader."""

    case: Case
    operations: int
    seconds: float
    states: int
    distinct: int
    old: int
    new: int
    third: int
    recovered: int
    inner: int
    third_cuts: int
    inner_distinct: int
    unstable: int
    wavering: int
    commit_cut: int
    failure_count: int
    failures: list[str]

    def __str__(self) -> str:
        return (
            f"{self.case!s:32} {self.operations:5} operations {self.states:7} states {self.distinct:7} distinct  "
            f"seen: {self.old:7} old {self.new:6} new {self.third:4} third  {self.recovered:6} recovered "
            f"{self.inner:7} second cuts {self.third_cuts:5} third {self.inner_distinct:6} distinct  "
            f"{self.unstable:6} unstable {self.wavering:3} wavering "
            f"{self.failure_count:4} failures {self.seconds:7.2f} s"
        )


def judge(recording: CaseRecording, *, faults: int = FAULTS, **how) -> Verdict:
    """how: see Judge."""
    begin = time.perf_counter()
    with Judge(recording, **how) as one:
        tally = one.all(faults)
    seconds = time.perf_counter() - begin
    told = [_tell(recording, failure, faults) for failure in tally.failures]
    counts = (tally.states, tally.distinct, tally.seen_old, tally.seen_new, tally.seen_third)
    done = (tally.recovered, tally.inner, tally.third_cuts, tally.inner_distinct, tally.unstable, tally.wavering)
    done += (one.commit_cut, tally.failure_count)
    return Verdict(recording.case, recording.operations, seconds, *counts, *done, told)


def _tell(recording: CaseRecording, failure: Failure, faults: int) -> str:
    place = failure.place
    return (
        f"{recording.case}:{place}: {failure}; {recording.describe(place.cut, place.tear, faults)}; prepared at "
        f"{recording.prepared}, committed at {recording.committed}, {recording.operations} operations"
    )


# ---- one state and then another transaction --------------------------------------------------------------------------


def another(tx: Transaction, b: str) -> None:
    """A change that can follow the old tree and the new one of every scenario."""
    tx.put(f"{b}second", b"another transaction\n" * 20)
    tx.mkdir(f"{b}second.d")
    tx.symlink(f"{b}second.d/link", "../second")


def judge_another(recording: Recording, *, every: int = 1) -> tuple[int, list[str]]:
    """On each `every`-th state of whole operations another transaction is recorded and cut, no recover before it."""
    failures: list[str] = []
    states = 0
    case = recording.case
    for cut in range(0, recording.operations + 1, every):
        sim = Flash.simulator(case.device)
        recording.build(cut, 0, sim, lib.JX_F1_CUT)
        with sim:
            second = record(case, sim, another)
            verdict = judge(second, faults=lib.JX_F1_CUT, recover_cuts=1)
        states += verdict.states
        failures += [f"after c{cut}.t0: {failure}" for failure in verdict.failures]
    return states, failures
