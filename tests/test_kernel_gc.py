"""File systems that the kernel has aged: an upgrade that needs garbage collection lands, or is refused with what is
missing; nothing old comes back, whatever the kernel does with the medium afterwards.

By default a sample; JFFS2TX_GC_SEEDS says how many histories of each medium and use are tried (`make kernel-gc`).
"""

from __future__ import annotations

import copy
import os
import random
import re
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest

from jffs2tx import upgrade as engine
from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import NoSpace
from jffs2tx.filesystem import FileSystem
from jffs2tx.readers import Reader, named
from jffs2tx.upgrade import Outcome, apply_upgrade, wanted_tree

from . import actions, aging, media, trees
from .lab.fixture import lab  # noqa: F401
from .lab.lab import KIB, Case, Nand, Nor, Result, call, gc, mount, read_back, remount, umount
from .lab.lab import tree as see
from .media import Medium, State
from .test_kernel_cuts import TORN

pytestmark = pytest.mark.lab

SEEDS = int(os.environ.get("JFFS2TX_GC_SEEDS", "1"))
PERCENTS = (50, 70, 85, 92)

NOR = replace(media.NOR, device=Nor(3072 * KIB, 64 * KIB), geometry=Geometry("nor", 3072 * KIB, 64 * KIB))
NAND = replace(media.NAND, device=Nand(2 * KIB, 4096 * KIB), geometry=replace(media.NAND.geometry, size=4096 * KIB))
SMALL_NAND = replace(
    media.SMALL_NAND, device=Nand(512, 1536 * KIB), geometry=replace(media.SMALL_NAND.geometry, size=1536 * KIB)
)
KINDS = ("nor", "nand")


def medium_for(kind: str, turn: int) -> Medium:
    if kind == "nor":
        return NOR
    return SMALL_NAND if turn % 2 else NAND


#: A kernel that goes on in a block which it found nearly full has no room for its summary there: no harm.
_AT_WORK = (r"jffs2: warning: \(\d+\) jffs2_sum_write_data: Not enough space for summary, padsize = -\d+",)


@dataclass
class Aged:
    """A medium with a history, and the tree on it."""

    name: str
    medium: Medium
    percent: int
    kernel: str
    state: State
    lines: list[str]


@dataclass
class Upgraded:
    """What came of its upgrade."""

    aged: Aged
    old: trees.Tree
    goal: trees.Tree
    before: State
    outcome: Outcome | None  # None: refused
    refusal: str
    state: State
    cut: State | None  # the medium in the middle of garbage collection, where there was any


def readers_of(medium: Medium) -> tuple[Reader, ...]:
    return named(("linux-summary+xattr",) if medium.is_nand else ("linux+xattr",))


# ---- histories -------------------------------------------------------------------------------------------------------


def age(lab, kind: str) -> list[Aged]:  # noqa: F811
    """Half of them by a kernel without summary support."""
    cases, places = [], []
    for (turn, percent), seed in product(enumerate(PERCENTS), range(SEEDS)):
        medium = medium_for(kind, turn + seed)
        kernel = ("stock", "nosummary")[(turn + seed // 2) % 2]
        size, name = medium.geometry.size, f"{medium.name}-{percent}-{seed}"
        history = call(aging.__file__, name, percent, size // 48, size)
        steps = [mount(), history, remount(), gc(20, 0.002), see(), umount(), read_back()]
        markers = "all" if medium.is_nand else ()
        cases.append(Case(name, medium.device, None, markers, kernel, steps, expected=_AT_WORK))
        places.append((medium, percent))
    found = []
    for (medium, percent), result in zip(places, lab.run(cases), strict=True):
        assert result.ok and not result.unexpected, result.why()
        back = result.named("read_back")[0]
        state = State(back.image, tuple(back.cleanmarkers or ()))
        found.append(Aged(result.id, medium, percent, result.case.kernel, state, result.tree().lines))
    return found


# ---- upgrades --------------------------------------------------------------------------------------------------------


def goal_of(old: trees.Tree, chosen: random.Random, content_bytes: int, largest: int) -> trees.Tree:
    """A new version: names removed, moved and linked, metadata changed, and this much new content, half of it in files
    that are there already."""
    tree = copy.deepcopy(old)
    files = [path for path in sorted(tree) if tree[path].type == "file"]
    chosen.shuffle(files)
    number = max(1, len(files) // 12)
    removed, moved, changed, linked, *kept = (files[i * number : (i + 1) * number] for i in range(len(files) // number))
    replaced = [path for part in kept for path in part]
    directories = [path for path in sorted(tree) if tree[path].type == "dir"]
    for path in removed:
        trees.remove(tree, path)
    for path in moved:
        trees.rename(tree, path, path + b".moved")
    for path in changed[:10]:
        tree[path].mode ^= 0o111
    for path in linked[:3]:
        trees.put(tree, path + b".link", tree[path], tree[path].time)
    trees.put(tree, b"new directory", trees.directory())
    count = 0
    while content_bytes > 0:
        count += 1
        size = min(content_bytes, chosen.randrange(largest // 4, largest))
        content_bytes -= size
        data = trees.noise(chosen.randrange(2**30), size) if count % 4 else trees.prose(count, 2 * size)
        if count % 2 and replaced:
            path = replaced.pop()
        else:
            path = chosen.choice([b"new directory", *directories]) + b"/new %d" % count
        trees.put(tree, path.lstrip(b"/"), trees.file(data))
    return tree


def content_for(medium: Medium, fs: FileSystem, chosen: random.Random) -> int:
    """Bytes of new content that take some of the room, all of it, or a little more. On NAND a commit set moves."""
    space = fs.space
    kept = space.reserve + (4 if medium.is_nand else 2)
    room = medium.geometry.size - space.needed_bytes - kept * medium.geometry.erase_size
    return max(int(room * chosen.uniform(0.5, 1.0)), 4000)


class _Observer:
    """Notes the operations of the simulator that garbage collection did."""

    def __init__(self, monkeypatch) -> None:
        self.collect = engine.collect
        self.operations = None
        monkeypatch.setattr(engine, "collect", self)

    def __call__(self, flash: Flash, *arguments, **more):
        before = lib.jx_sim_op_count(flash.handle)
        done = self.collect(flash, *arguments, **more)
        self.operations = (before, lib.jx_sim_op_count(flash.handle))
        return done


def cut_of(medium: Medium, flash: Flash, operations: tuple[int, int], chosen: random.Random) -> State:
    """One instant of garbage collection: anywhere, or right before an erase, when the fewest blocks are free."""
    op, erases = ffi.new("struct jx_sim_op *"), []
    for number in range(*operations):
        check(lib.jx_sim_op_get(flash.handle, number, op))
        if op.kind == lib.JX_SIM_ERASE:
            erases.append(number)
    with Flash.memory(medium.geometry) as other:
        cut = chosen.choice((chosen.randrange(*operations), chosen.choice(erases)))
        check(lib.jx_crash_build(flash.handle, cut, lib.JX_F1_CUT, 0, other.handle))
        return media.state_of(other)


def _apply(medium: Medium, flash: Flash, goal: trees.Tree) -> Outcome:
    wanted = wanted_tree(trees.manifest(goal))
    return apply_upgrade(flash, wanted, media.content_of(goal), readers=readers_of(medium), tag=b"kernel gc tests.")


def upgrade(aged: Aged, monkeypatch) -> Upgraded:
    medium, chosen = aged.medium, random.Random(aged.name)
    with media.simulator(medium, aged.state) as flash:
        before = media.state_of(flash)
        with FileSystem(flash) as fs:
            old = trees.seen_by_us(fs)
            content_bytes = content_for(medium, fs, chosen)
        assert trees.lines(old) == aged.lines, aged.name + trees.difference(aged.lines, trees.lines(old))
        goal = goal_of(old, chosen, content_bytes, medium.geometry.size // 48)
        outcome, refusal, cut = None, "", None
        with monkeypatch.context() as patch:
            observer = _Observer(patch)
            try:
                outcome = _apply(medium, flash, goal)
            except NoSpace as error:
                refusal = str(error)
        state = media.state_of(flash)
        if observer.operations:
            cut = cut_of(medium, flash, observer.operations, chosen)
    return Upgraded(aged, old, goal, before, outcome, refusal, state, cut)


# ---- refusals --------------------------------------------------------------------------------------------------------


def reserve(medium: Medium) -> int:
    """Of erased blocks, one more than the kernel's resv_blocks_write (jffs2_calc_trigger_levels)."""
    geometry = medium.geometry
    return 3 + -(-(geometry.size // 50 + 100 * geometry.blocks) // geometry.erase_size)


def larger(medium: Medium, blocks: int) -> Medium:
    return replace(
        medium, geometry=replace(medium.geometry, size=medium.geometry.size + blocks * medium.geometry.erase_size)
    )


def lands_on(medium: Medium, done: Upgraded) -> bool:
    with media.simulator(medium, done.before) as flash:
        try:
            _apply(medium, flash, done.goal)
        except NoSpace:
            return False
        with FileSystem(flash) as fs:
            assert trees.lines(trees.seen_by_us(fs)) == trees.lines(done.goal)
        return True


def check_refusal(done: Upgraded) -> None:
    """Nothing was written, and the shortfall is exact: so many erased blocks more and it lands, one fewer and it does
    not. (A larger device has a larger reserve: it is short of that too.)"""
    medium = done.aged.medium
    assert done.state == done.before, f"{done.aged.name}: refused, but something was written: {done.refusal}"
    missing = int(re.search(r"(\d+) (?:is|are) missing", done.refusal)[1])
    blocks = missing
    while blocks < missing + reserve(larger(medium, blocks)) - reserve(medium):
        blocks += 1
    assert missing > 0 and lands_on(larger(medium, blocks), done), f"{done.aged.name}: {done.refusal}"
    assert not lands_on(larger(medium, blocks - 1), done), f"{done.aged.name}, one block fewer: {done.refusal}"


# ---- the kernel goes on ----------------------------------------------------------------------------------------------


@dataclass
class Question:
    """A medium for the kernel, and the trees that it must show."""

    case: Case
    medium: Medium
    shown: list[list[str]]


def going_on(name: str, aged: Aged, state: State, tree: trees.Tree, scripts: Path, expected: tuple = ()) -> Question:
    """Looked at; a part of the names deleted, filled until there is no room and emptied again, so that the kernel's
    collector goes through every block; looked at again."""
    script = trees.Script(copy.deepcopy(tree))
    for path in [path for path in sorted(tree) if tree[path].type == "file"][::5]:
        script.remove(path)
    script.churn(1, 20000)
    script.stamp()
    file = scripts / f"{name}.json"
    file.write_text(script.json())
    steps = [mount(ro=True), see(), umount(), mount(), see(), call(actions.__file__, str(file))]
    steps += [gc(40, 0.002), remount(), see(), umount(), read_back()]
    case = Case(
        name, aged.medium.device, state.image, list(state.markers), aged.kernel, steps, expected=(*_AT_WORK, *expected)
    )
    return Question(case, aged.medium, [trees.lines(tree), trees.lines(tree), trees.lines(script.tree)])


def check_kernel(question: Question, result: Result) -> None:
    assert result.ok and not result.unexpected, result.why()
    looks = zip(question.shown, result.named("tree"), strict=True)
    for number, (lines, seen) in enumerate(looks):
        assert seen.lines == lines, f"{result.id}, look {number}:\n{trees.difference(lines, seen.lines)}"
    back = result.named("read_back")[0]
    state = State(back.image, tuple(back.cleanmarkers or ()))
    ours = trees.lines(media.seen_by_us(question.medium, state, question.case.kernel != "nosummary"))
    assert ours == lines, f"{result.id}, our reader:\n{trees.difference(lines, ours)}"


@pytest.mark.parametrize("kind", KINDS)
def test_aged_file_systems(lab, kind, tmp_path, monkeypatch):  # noqa: F811
    all_done = [upgrade(aged, monkeypatch) for aged in age(lab, kind)]
    asked = []
    for done in all_done:
        name = done.aged.name
        if done.outcome is None:
            check_refusal(done)
        else:
            asked.append(going_on(name, done.aged, done.state, done.goal, tmp_path))
        if done.cut:
            asked.append(going_on(f"{name}-cut", done.aged, done.cut, done.old, tmp_path, TORN))
    for question, result in zip(asked, lab.run([question.case for question in asked]), strict=True):
        check_kernel(question, result)
    report(all_done, len(asked))
    assert sum(bool(done.cut) for done in all_done) >= len(all_done) // 4


def report(all_done: list[Upgraded], mounted: int) -> None:
    for percent in PERCENTS:
        here = [done for done in all_done if done.aged.percent == percent]
        landed = [done.outcome for done in here if done.outcome]
        collections = [outcome.collection for outcome in landed if outcome.collection]
        moved, erased = sum(c.bytes_moved for c in collections), sum(c.blocks_erased for c in collections)
        print(
            f"{percent} % in use: {len(landed)} landed, {len(here) - len(landed)} refused; {len(collections)} "
            f"after garbage collection that erased {erased} blocks and moved {moved} bytes"
        )
    print(f"{len(all_done)} histories; {mounted} media went back to the kernel, 0 differences")
