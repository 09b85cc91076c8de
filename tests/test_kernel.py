"""Upgrades before the judge: what Linux makes of a medium before, right after and long after the commit."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

import pytest

from jffs2tx.readers import Reader, named

from . import actions, media, trees
from .lab.fixture import lab  # noqa: F401
from .lab.lab import Case, Result, call, gc, mount, read_back, remount, umount
from .lab.lab import tree as see
from .media import MEDIA, Medium, State

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="start images hold devices and owners: root makes them"),
]

INSTANTS = ("prepared", "brink", "committed", "done", "settled", "recovered")


def origins(medium: Medium) -> tuple[str, ...]:
    """Who wrote the start image: mkfs.jffs2, without and with sumtool, or one of the kernels."""
    return ("mkfs", "sumtool", *medium.kernels)


def readers_for(strategy: str) -> tuple[Reader, ...]:
    return named(("linux-summary+xattr",) if strategy == "seal" else ("linux+xattr",))


@dataclass
class Start:
    """A medium before its upgrade, and the tree on it."""

    medium: Medium
    origin: str
    state: State
    tree: trees.Tree


@dataclass
class Question:
    """A case for the lab, with the trees that its tree() steps must show."""

    case: Case
    trees: list[trees.Tree]
    medium: Medium


# ---- cases -----------------------------------------------------------------------------------------------------------


class Scripts:
    """Files for the guest, one for each script of actions."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self.count = 0

    def step(self, script: list) -> dict:
        self.count += 1
        path = self.directory / f"script{self.count}.json"
        path.write_text(json.dumps(script))
        return call(actions.__file__, str(path))


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> Scripts:
    return Scripts(tmp_path_factory.mktemp("scripts"))


def looking(name: str, medium: Medium, state: State, kernel: str, tree: trees.Tree, scripts: Scripts) -> Question:
    """Mounted read-only, then read-write: the same tree."""
    steps = [mount(ro=True), see(), umount(), mount(), see(), umount()]
    return Question(Case(name, medium.device, state.image, list(state.markers), kernel, steps), [tree, tree], medium)


#: A kernel that goes on in a block which it found nearly full has no room for its summary there: no harm.
_AT_WORK = (r"jffs2: warning: \(\d+\) jffs2_sum_write_data: Not enough space for summary, padsize = -\d+",)


def working(name: str, medium: Medium, state: State, kernel: str, tree: trees.Tree, scripts: Scripts) -> Question:
    """Looked at, then worked on until the collector has been through every block: nothing old comes back."""
    one, two = trees.worked_on(tree)
    steps = [mount(ro=True), see(), umount(), mount(), see()]
    steps += [scripts.step(one.actions), see(), remount(), see()]
    steps += [scripts.step(two.actions), see(), gc(60, 0.003), remount(), see(), umount(), read_back()]
    case = Case(name, medium.device, state.image, list(state.markers), kernel, steps, expected=_AT_WORK)
    return Question(case, [tree, tree, one.tree, one.tree, two.tree, two.tree], medium)


def judge(question: Question, result: Result) -> None:
    assert result.ok, result.why()
    shown = result.named("tree")
    assert len(shown) == len(question.trees)
    for number, (wanted, seen) in enumerate(zip(question.trees, shown, strict=True)):
        lines = trees.lines(wanted)
        assert seen.lines == lines, (
            f"{result.id}, look {number}:\n{trees.difference(lines, seen.lines)}\n{result.why()}"
        )
    assert not result.unexpected, result.why()
    for back in result.named("read_back"):
        state = State(back.image, tuple(back.cleanmarkers or ()))
        ours = trees.lines(media.seen_by_us(question.medium, state, question.case.kernel != "nosummary"))
        assert ours == shown[-1].lines, f"{result.id}, our reader:\n{trees.difference(shown[-1].lines, ours)}"


# ---- start images ----------------------------------------------------------------------------------------------------


def _made_by_kernel(medium: Medium, kernel: str, tree: trees.Tree, scripts: Scripts) -> Question:
    first, second = trees.lived(tree)
    steps = [mount(), scripts.step(first.actions), see(), remount(), gc(10), scripts.step(second.actions), see()]
    steps += [gc(10), remount(), see(), umount(), read_back()]
    name = f"start-{medium.name}-{kernel}"
    return Question(
        Case(name, medium.device, None, "all" if medium.is_nand else (), kernel, steps),
        [first.tree, tree, tree],
        medium,
    )


def _made_by_mkfs(medium: Medium, origin: str, scratch) -> Start:
    tree = trees.without_far_devices(trees.base())
    if origin == "sumtool":
        tree = trees.with_xattrs(tree)
    image = media.mkfs(tree, medium, scratch, summary=origin == "sumtool")
    state = State(image, tuple(media.erased_blocks(image, medium.geometry)) if medium.is_nand else ())
    return Start(medium, origin, state, trees.with_times_of(tree, trees.lines(media.seen_by_us(medium, state))))


@pytest.fixture(scope="module")
def starts(lab, scripts, tmp_path_factory) -> dict[tuple[str, str], Start]:  # noqa: F811
    found = {}
    for medium in MEDIA:
        for origin in ("mkfs", "sumtool"):
            found[medium.name, origin] = _made_by_mkfs(medium, origin, tmp_path_factory.mktemp("mkfs"))
    tree = trees.with_xattrs(trees.base())
    questions = [_made_by_kernel(medium, kernel, tree, scripts) for medium in MEDIA for kernel in medium.kernels]
    for question, result in zip(questions, lab.run([q.case for q in questions]), strict=True):
        judge(question, result)
        back = result.named("read_back")[0]
        medium, origin = question.medium, question.case.kernel
        found[medium.name, origin] = Start(medium, origin, State(back.image, tuple(back.cleanmarkers or ())), tree)
    return found


# ---- one upgrade -----------------------------------------------------------------------------------------------------


def wanted_by(strategy: str, tree: trees.Tree) -> trees.Tree:
    return trees.upgraded_below(tree) if strategy == "swap" else trees.upgraded_everywhere(tree)


#: What a scan says of a commit block by flip whose headers are not cleared to their ends yet.
_HALF_CLEARED = (r"jffs2_scan_eraseblock\(\): Magic bitmask 0x1985 not found at 0x\w+: 0x\w+ instead",)


#: mkfs.jffs2 does not fill its last page; a kernel goes on behind it, and later scans find the gap.
_GAP = (r"jffs2: Empty flash at 0x\w+ ends at 0x\w+",)


def _questions(start: Start, strategy: str, names: set[str], scripts: Scripts) -> list[Question]:
    """The questions of these names about one upgrade of this medium."""
    asked = [ask for ask in ASKED if ask.name in names and ask.is_about(start, strategy)]
    if not asked:
        return []
    new = wanted_by(strategy, start.tree)
    done = media.upgrade(start.medium, start.state, new, strategy, readers_for(strategy))
    found = []
    for ask in asked:
        state: State = getattr(done, ask.instant)
        tree = start.tree if ask.instant in ("prepared", "brink") else new
        form = working if ask.works else looking
        question = form(ask.name, start.medium, state, ask.kernel, tree, scripts)
        if strategy == "flip" and ask.instant in ("brink", "committed"):
            question.case.expected += _HALF_CLEARED
        elif start.origin in ("mkfs", "sumtool") and start.medium.is_nand:
            question.case.expected += _GAP
        found.append(question)
    return found


@dataclass(frozen=True)
class Ask:
    """One upgrade stopped at one instant, and the kernel that looks at it; `works`: and then goes on with it."""

    medium: Medium
    origin: str
    strategy: str
    instant: str
    kernel: str
    works: bool

    @property
    def name(self) -> str:
        return f"{self.medium.name}-{self.origin}-{self.strategy}-{self.instant}-{self.kernel}"

    def is_about(self, start: Start, strategy: str) -> bool:
        return (self.medium, self.origin, self.strategy) == (start.medium, start.origin, strategy)


def is_promised(strategy: str, instant: str, kernel: str) -> bool:
    """A kernel without summary support sees what seal wrote only once it is settled."""
    return (strategy, instant, kernel) != ("seal", "committed", "nosummary")


def may_work(medium: Medium, origin: str, instant: str, kernel: str) -> bool:
    """Without summary support, superseded names on NOR need their marks before the kernel deletes or collects: those
    of the commit set are marked right after the commit, those that the stock kernel itself left never are."""
    if instant in ("brink", "done"):
        return False
    return medium is not media.NOR or kernel == "stock" or (origin != "stock" and instant != "committed")


def _asked() -> list[Ask]:
    """Every combination is looked at; of the origins, each in its turn is worked on."""
    found, turn = [], 0
    for medium in MEDIA:
        for strategy in medium.strategies:
            for instant in INSTANTS:
                for kernel in medium.kernels:
                    if not is_promised(strategy, instant, kernel):
                        continue
                    turn += 1
                    able = [origin for origin in origins(medium) if may_work(medium, origin, instant, kernel)]
                    for origin in origins(medium):
                        works = bool(able) and origin == able[turn % len(able)]
                        found.append(Ask(medium, origin, strategy, instant, kernel, works))
    return found


ASKED = _asked()
STARTS = [(medium.name, origin, kernel) for medium in MEDIA for origin in origins(medium) for kernel in medium.kernels]


@pytest.fixture(scope="module")
def judged(request, lab, starts, scripts) -> dict[str, tuple[Question, Result]]:  # noqa: F811
    """The questions of all tests that were selected, asked in one run of the lab."""
    here = (item for item in request.session.items if item.module is request.module)
    names = {item.callspec.params["name"] for item in here if "judged" in item.fixturenames}
    questions = []
    for (name, origin), start in starts.items():
        for kernel in start.medium.kernels:
            if f"{name}-{origin}-start-{kernel}" in names:
                case = f"{name}-{origin}-start-{kernel}"
                questions.append(looking(case, start.medium, start.state, kernel, start.tree, scripts))
        for strategy in start.medium.strategies:
            questions += _questions(start, strategy, names, scripts)
    results = lab.run([question.case for question in questions])
    return {question.case.id: (question, result) for question, result in zip(questions, results, strict=True)}


@pytest.mark.parametrize("name", [f"{medium}-{origin}-start-{kernel}" for medium, origin, kernel in STARTS])
def test_start(judged, name):
    """The trees that an upgrade starts from are what the model, the kernel and our own reader say."""
    judge(*judged[name])


@pytest.mark.parametrize("name", [ask.name for ask in ASKED])
def test_upgrade(judged, name):
    judge(*judged[name])


# ---- many upgrades ---------------------------------------------------------------------------------------------------


@dataclass
class Line:
    """A medium that goes from upgrade to upgrade."""

    start: Start
    strategy: str
    kernel: str
    state: State
    tree: trees.Tree

    def goal(self, turn: int) -> trees.Tree:
        goal = self.start.tree if turn % 2 else wanted_by(self.strategy, self.start.tree)
        return trees.grafted(self.tree, goal, b"usr") if self.strategy == "swap" else goal


def test_back_and_forth(lab, starts, scripts):  # noqa: F811
    """New, old and new again, with a kernel at work after each: what one upgrade left never harms the next."""
    lines = []
    for medium in MEDIA:
        for number, strategy in enumerate(medium.strategies):
            kernel = medium.kernels[number % len(medium.kernels)]
            start = starts[medium.name, kernel]
            lines.append(Line(start, strategy, kernel, start.state, start.tree))
    for turn in range(3):
        questions = []
        for line in lines:
            goal, medium = line.goal(turn), line.start.medium
            done = media.upgrade(medium, line.state, goal, line.strategy, readers_for(line.strategy))
            state = done.done if turn % 2 else done.settled
            name = f"turn{turn}-{medium.name}-{line.strategy}-{line.kernel}"
            questions.append(working(name, medium, state, line.kernel, goal, scripts))
        for line, question, result in zip(lines, questions, lab.run([q.case for q in questions]), strict=True):
            judge(question, result)
            back = result.named("read_back")[0]
            line.state, line.tree = State(back.image, tuple(back.cleanmarkers or ())), question.trees[-1]
