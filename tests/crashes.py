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

from jffs2tx import upgrade
from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import NoSpace
from jffs2tx.filesystem import ENDIANS, FileSystem
from jffs2tx.manifest import Entry
from jffs2tx.mkfs import make_filesystem
from jffs2tx.readers import named
from jffs2tx.staging import Run
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import old_tree

from .scenarios import NOW, PAST, SCENARIOS, Scenario, Tree

KIB = 1024
FAULTS = lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F3_BITS | lib.JX_F4_ORDER

GEOMETRIES = {
    "nor": Geometry("nor", 16 * 64 * KIB, 64 * KIB),
    "nand512": Geometry("nand", 48 * 16 * KIB, 16 * KIB, 512, 512, 8),
    "nand2k": Geometry("nand", 16 * 128 * KIB, 128 * KIB, 2048, 512, 38),
}
GEOMETRIES["norbe"] = GEOMETRIES["nor"]  # big endian
GEOMETRIES["nand2kbe"] = GEOMETRIES["nand2k"]
STRATEGIES = {
    "nor": ("swap", "flip"),
    "nand512": ("swap", "seal"),
    "nand2k": ("swap", "seal", "lift"),
    "norbe": ("flip",),
    "nand2kbe": ("seal", "lift"),
}
IN_BIG_ENDIAN = ("type-change", "xattr", "devices", "metadata")

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
        if self.what.tight:
            return smallest_device(self)
        return geo if self.what.scale == 1 else replace(geo, size=geo.size * 2)

    @property
    def endian(self) -> str:
        return "big" if self.geometry.endswith("be") else "little"

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
        if strategy not in scenario.without and (name in IN_BIG_ENDIAN or not geometry.endswith("be"))
    ]


def parse_token(token: str) -> tuple[Case, int, int]:
    """Raises ValueError."""
    match = re.fullmatch(r"(\w+):(\w+):([\w-]+):c(\d+)\.t(\d+)", token)
    case = Case(*match.groups()[:3]) if match else None
    if case not in cases():
        raise ValueError(f"{token!r} is no token such as nand2k:seal:rename-dir:c17.t3")
    return case, int(match[4]), int(match[5])


# ---- recording -------------------------------------------------------------------------------------------------------


@dataclass
class Recording:
    """A transaction on a simulator, with the number of operations at which its parts ended."""

    case: Case
    sim: Flash
    start: Flash  # as it was before
    prepared: int = 0
    committed: int = 0
    old_digest: bytes = b""
    new_digest: bytes = b""

    @property
    def operations(self) -> int:
        return lib.jx_sim_op_count(self.sim.handle)

    def tears(self, cut: int, faults: int = FAULTS) -> int:
        count = ffi.new("uint32_t *")
        check(lib.jx_crash_tears(self.sim.handle, cut, faults, count))
        return count[0]

    def build(self, cut: int, tear: int, out: Flash, faults: int = FAULTS) -> None:
        check(lib.jx_crash_build(self.sim.handle, cut, faults, tear, out.handle))

    def describe(self, cut: int, tear: int, faults: int = FAULTS) -> str:
        buffer = ffi.new("char[]", 200)
        check(lib.jx_crash_describe(self.sim.handle, cut, faults, tear, buffer, len(buffer)))
        return ffi.string(buffer).decode()

    def close(self) -> None:
        self.sim.close()
        self.start.close()


def facts(paths: dict[bytes, Entry], sha256) -> dict[bytes, Entry]:
    """Entries that compare equal exactly where the trees do: files hashed, link groups named by their first path."""
    first: dict[int, bytes] = {}
    names: dict[int, int] = {}
    for entry in paths.values():
        if entry.inode is not None:
            names[entry.inode] = names.get(entry.inode, 0) + 1
    result = {}
    for path, entry in sorted(paths.items()):
        group = entry.inode if names.get(entry.inode, 0) > 1 else None
        group = None if group is None else first.setdefault(group, path)
        result[path] = replace(entry, inode=group, sha256=sha256(path, entry) if entry.type == "file" else None)
    return result


def facts_on(flash: Flash, **reader) -> dict[bytes, Entry]:
    """The tree on a medium."""
    with FileSystem(flash, **reader) as fs:
        tree = old_tree(fs)
        entries = {path: old.entry for path, old in tree.paths.items()}
        return facts(entries, lambda path, _: tree.sha256(tree.paths[path].ino))


def transact(flash: Flash, change, case: Case, strategy: str, when: int) -> None:
    """Lands a change and checks that the tree is the one that was asked for."""
    names = ("linux-summary",) if strategy == "seal" else case.what.readers or ("linux",)
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=when, readers=named(names), strategy=strategy)
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


def clone(flash: Flash) -> Flash:
    out = ffi.new("jx_flash **")
    check(lib.jx_flash_clone(flash.handle, out))
    return Flash(out[0])


def digest(flash: Flash) -> bytes:
    with FileSystem(flash) as fs:
        return fs.digest()


def record(case: Case, start: Flash | None = None, change=None) -> Recording:
    """Lands the case's change (or another one) on its old tree (or on what is there), and settles it."""
    sim = start or start_flash(case)
    recording = Recording(case, sim, clone(sim))

    class Marked(Run):
        def commit(self) -> None:
            recording.prepared = recording.operations
            super().commit()
            recording.committed = recording.operations

    recording.old_digest = digest(sim)
    with mock.patch.object(upgrade, "Run", Marked):
        transact(sim, change or case.what.change, case, case.strategy, NOW)
    recording.new_digest = digest(sim)
    return recording


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
    commit_cut: int
    failure_count: int
    failures: list[str]

    def __str__(self) -> str:
        return (
            f"{self.case!s:32} {self.operations:5} operations {self.states:7} states {self.distinct:7} distinct  "
            f"seen: {self.old:7} old {self.new:6} new {self.third:4} third  {self.recovered:6} recovered "
            f"{self.inner:6} inner {self.failure_count:4} failures {self.seconds:7.2f} s"
        )


def judge(
    recording: Recording,
    *,
    faults: int = FAULTS,
    recover_cuts: int = 0,
    recover_tears: int = 0,
    inner: int = 0,
    plain: bool = False,
) -> Verdict:
    """See struct jx_judge_options."""
    case = recording.case
    options = ffi.new("struct jx_judge_options *")
    options.old_digest, options.new_digest = recording.old_digest, recording.new_digest
    options.prepared, options.committed = recording.prepared, recording.committed
    options.recover_cuts, options.recover_tears, options.inner_faults = recover_cuts, recover_tears, inner
    options.plain = plain
    readers = ffi.new("struct jx_reader[]", [(ENDIANS[case.endian], *reader) for reader in case.promised])
    out = ffi.new("struct jx_judgement *")
    failures = ffi.new("struct jx_failure[]", 50)
    begin = time.perf_counter()
    judge = ffi.new("jx_judge **")
    check(lib.jx_judge_open(recording.sim.handle, options, readers, len(readers), judge), doing=f"judging {case}")
    code = lib.jx_judge_cuts(judge[0], faults, 0, recording.operations + 1, out, failures, len(failures))
    lib.jx_judge_close(judge[0])
    check(code, doing=f"judging {case}")
    seconds = time.perf_counter() - begin
    told = [_tell(recording, failures[i], faults) for i in range(min(out.failures, len(failures)))]
    counts = (out.states, out.distinct, out.seen_old, out.seen_new, out.seen_third, out.recovered, out.inner)
    return Verdict(case, recording.operations, seconds, *counts, out.commit_cut, out.failures, told)


def _tell(recording: Recording, failure, faults: int) -> str:
    summary, empty = recording.case.promised[failure.reader]
    where = f"{recording.case}:c{failure.cut}.t{failure.tear}"
    if failure.inner_cut != 0xFFFFFFFF:
        where += f", and inside recover c{failure.inner_cut}.t{failure.inner_tear}"
    error = f" ({ffi.string(lib.jx_strerror(failure.error)).decode()})" if failure.error else ""
    return (
        f"{where}: {FAILURES[failure.kind]}{error}, reader {'with' if summary else 'without'} summary, {empty}; "
        f"{recording.describe(failure.cut, failure.tear, faults)}; prepared at {recording.prepared}, "
        f"committed at {recording.committed}, {recording.operations} operations"
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
        recording.build(cut, 0, sim)
        with sim:
            second = record(case, sim, another)
            verdict = judge(second, faults=lib.JX_F1_CUT, recover_cuts=1)
            second.start.close()
        states += verdict.states
        failures += [f"after c{cut}.t0: {failure}" for failure in verdict.failures]
    return states, failures
