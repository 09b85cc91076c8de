"""What a reader finds after a power cut at each operation of a method: a strip of states, first to last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from jffs2tx.comparison.log import ORDER
from jffs2tx.comparison.methods import METHODS, Method
from jffs2tx.comparison.record import BY_NAME, Medium, Upgrade, record
from jffs2tx.comparison.trees import Seen, look
from jffs2tx.device import Flash
from jffs2tx.errors import Jffs2txError
from jffs2tx.faults.families import TORN
from jffs2tx.filesystem import FileSystem

#: What an instant is called where its cuts leave more than one thing.
WORST_FIRST = (Seen.UNBOOTABLE, Seen.MIXED, Seen.OLD, Seen.NEW)
#: Of each operation so many half-done states, evenly out of all that there are.
SOME_TEARS = 4


@dataclass(frozen=True, slots=True)
class Instant:
    """A power cut before or in one operation."""

    whole: frozenset[Seen]  # what is there before it: one thing, or different ones for different readers
    found: dict[Seen, int]  # all that the cut may leave, and in how many states

    @property
    def seen(self) -> frozenset[Seen]:
        return frozenset(self.found)

    @property
    def shown(self) -> Seen:
        """The worst; of a commit, whose cut leaves the old tree or the new one, the old."""
        return next(seen for seen in WORST_FIRST if seen in self.seen)


@dataclass(frozen=True, slots=True)
class Strip:
    """A method on a medium, instant by instant; the last one is after the last operation."""

    medium: str
    method: str
    instants: tuple[Instant, ...]
    steps: tuple[tuple[str, int], ...]  # name, number of its first operation
    bytes_programmed: int
    erases: int

    @property
    def is_whole(self) -> bool:
        """Old or new at every instant."""
        return all(instant.seen <= {Seen.OLD, Seen.NEW} for instant in self.instants)

    def states(self, seen: Seen) -> int:
        return sum(instant.found.get(seen, 0) for instant in self.instants)

    def count(self, seen: Seen) -> int:
        """Instants at which it may be found, and nothing worse."""
        return sum(instant.shown is seen for instant in self.instants)

    def seen_in_steps(self) -> Iterator[tuple[str, frozenset[Seen]]]:
        """Each step with all that a cut in it or right after it leaves."""
        ends = [begin for _, begin in self.steps[1:]] + [len(self.instants) - 1]
        for (name, begin), end in zip(self.steps, ends, strict=True):
            inside = (instant.seen for instant in self.instants[begin:end])
            yield name, self.instants[end].whole.union(*inside)


class Judge:
    """Looks at crash states as the medium's kernel does; what it has seen once it knows again by its digest."""

    def __init__(self, medium: Medium, method: Method) -> None:
        #: A transaction keeps its promise with and without summary support, but for those that need it.
        self._summaries = {medium.summary, True} if method.is_ours else {medium.summary}
        self._top = method.top.encode()
        self._known: dict[bytes, Seen] = {}

    def look(self, flash: Flash) -> frozenset[Seen]:
        return frozenset(self._look(flash, summary) for summary in self._summaries)

    def _look(self, flash: Flash, summary: bool) -> Seen:
        try:
            with FileSystem(flash, endian=ORDER, summary=summary) as fs:
                digest = fs.digest()
                if digest not in self._known:
                    self._known[digest] = look(fs, self._top)
                return self._known[digest]
        except Jffs2txError:  # no mount
            return Seen.UNBOOTABLE


def strip_of(medium: str, method: str, tears: int | None = SOME_TEARS) -> Strip:
    """tears: how many half-done states of each operation; None: all."""
    with record(BY_NAME[medium], METHODS[method]) as upgrade, Flash.memory(upgrade.medium.geometry) as flash:
        judge = Judge(upgrade.medium, upgrade.method)
        instants = tuple(_instant(upgrade, judge, cut, tears, flash) for cut in range(upgrade.log.operations + 1))
        steps = upgrade.steps or _phases(upgrade, instants)
        return Strip(medium, method, instants, tuple(steps), upgrade.bytes_programmed, upgrade.erases)


def strips(
    media: Iterable[str], *, tears: int | None = SOME_TEARS, jobs: int = 1, done: Callable[[], None] = lambda: None
) -> list[Strip]:
    """Every method of these media. done: called after each."""
    wanted = [(medium, method) for medium in media for method in BY_NAME[medium].methods]
    result = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for strip in pool.map(strip_of, *zip(*wanted, strict=True), [tears] * len(wanted)):
            result.append(strip)
            done()
    return result


def _instant(upgrade: Upgrade, judge: Judge, cut: int, wanted: int | None, flash: Flash) -> Instant:
    """flash: memory to build crash states in."""
    there = upgrade.log.tears(cut, TORN)
    count = there if wanted is None else min(there, wanted + 1)

    def look(tear: int) -> frozenset[Seen]:
        upgrade.log.build(cut, tear, flash, TORN)
        return judge.look(flash)

    whole = look(0)
    found = Counter(whole)
    for number in range(1, count):
        found.update(look(number * (there - 1) // (count - 1)))
    return Instant(whole, dict(found))


def _phases(upgrade: Upgrade, instants: tuple[Instant, ...]) -> list[tuple[str, int]]:
    """The steps of a transaction, by what its operations do: the commit is the last one before which it is old."""
    commit = max(cut for cut, instant in enumerate(instants) if Seen.OLD in instant.seen)
    size = upgrade.medium.geometry.erase_size
    block = upgrade.log.operation(commit).off // size
    hidden = next(cut for cut in range(commit + 1) if upgrade.log.operation(cut).off // size == block)
    phases = [("stage", 0), ("hide the commit set", hidden), ("commit", commit), ("settle", commit + 1)]
    return [phase for phase, following in zip(phases, [*phases[1:], ("", -1)], strict=True) if phase[1] != following[1]]
