"""Every crash image of a recording, on several threads, counted by family of faults.

The C core lets go of the interpreter while it judges, and its judges share the recording: a thread costs one more copy
of the medium or two (five where recover is run, seven where it is cut again), no more.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import SimpleQueue

from jffs2tx._ffi import lib
from jffs2tx.faults.families import FAMILIES, UNSTABLE, Family
from jffs2tx.faults.judge import NOTED_MAX, Judge, Tally
from jffs2tx.faults.recording import Recording
from jffs2tx.faults.tokens import Place, Token

THIRD_EVERY = 3  # of the second cuts
CHUNK_IMAGES = 2000  # judged in one call: some seconds at the most
RECOVERED_BYTES = CHUNK_IMAGES << 18  # of devices on which recover is run in one call
RECOVERED_MIN = 10
#: progress(phase, done, total), in images.
Progress = Callable[[str, int, int], None] | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """The images of one family with their cuts in [first, end)."""

    family: Family
    first: int
    end: int
    images: int


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be judged. `possible`: all crash images of each family; of them those of `chunks` are taken."""

    chunks: tuple[Chunk, ...]
    possible: dict[str, int]

    @property
    def images(self) -> int:
        return sum(chunk.images for chunk in self.chunks)


@dataclass(slots=True)
class Report:
    """What came of it, by the families' names. `failures`: tokens and what is wrong there, the first NOTED_MAX."""

    work: Work
    tallies: dict[str, Tally]
    failures: list[tuple[Token, str]] = field(default_factory=list)
    commit_cut: int = 0

    @property
    def total(self) -> Tally:
        return sum(self.tallies.values(), Tally())


def jobs_of(wanted: int | None) -> int:
    return wanted or len(os.sched_getaffinity(0))


# ---- what is to be done ----------------------------------------------------------------------------------------------


def plan_work(recording: Recording, chosen: tuple[Family, ...], limit: int | None = None, depth: int = 1) -> Work:
    """All images of these families, or `limit` of them at most: whole cuts picked evenly, each with all its tears."""
    counts = {family: _images_by_cut(recording, family) for family in chosen}
    picked = {family: [True] * len(by_cut) for family, by_cut in counts.items()}
    if limit is not None:
        picked = _sample(counts, limit)
    chunks = []
    for family in chosen:
        most = CHUNK_IMAGES
        if depth > 1 or family in (FAMILIES["F1"], UNSTABLE):
            most = min(most, max(RECOVERED_MIN, RECOVERED_BYTES // recording.sim.geometry.size))
        chunks += _chunks(family, counts[family], picked[family], most)
    return Work(tuple(chunks), {family.name: sum(by_cut) for family, by_cut in counts.items()})


def _images_by_cut(recording: Recording, family: Family) -> list[int]:
    cuts = range(recording.operations + 1)
    if family is FAMILIES["F1"]:
        return [1 for _ in cuts]
    if family is UNSTABLE:  # however often it is read
        return [int(cut < recording.operations) for cut in cuts]
    return [recording.tears(cut, family.bit) - 1 for cut in cuts]


def _sample(counts: dict[Family, list[int]], limit: int) -> dict[Family, list[bool]]:
    """Each family gets an equal share; what one does not need, the others may have."""
    picked = {}
    left = limit
    ascending = sorted(counts, key=lambda family: sum(counts[family]))
    for number, family in enumerate(ascending):
        share = left // (len(ascending) - number)
        by_cut = counts[family]
        order = [cut for cut, images in enumerate(by_cut) if images]
        random.Random(family.name).shuffle(order)
        taken = [not images for images in by_cut]
        for cut in order:
            if by_cut[cut] <= share:
                taken[cut] = True
                share -= by_cut[cut]
                left -= by_cut[cut]
        picked[family] = taken
    return picked


def _chunks(family: Family, by_cut: list[int], picked: list[bool], most: int) -> Iterator[Chunk]:
    first = images = 0
    for cut, taken in enumerate([*picked, False]):
        if images and (not taken or images >= most):
            yield Chunk(family, first, cut, images)
            images = 0
        if taken:
            first = first if images else cut
            images += by_cut[cut]


# ---- doing it --------------------------------------------------------------------------------------------------------


def torture(
    recording: Recording,
    work: Work,
    *,
    depth: int = 1,
    jobs: int | None = None,
    progress: Progress = None,
) -> Report:
    """Judges the images.

    depth 1: recover is run on each image of F1 and, by every schedule of readings, of F6. depth 2: on every image, and
    the power is cut again at every operation of it. depth 3: and again at every operation of the recover after each
    THIRD_EVERY-th of these cuts.
    """
    order = list(work.chunks)
    random.Random(0).shuffle(order)  # so that the pace so far tells when it will be done
    report = Report(work, {family: Tally() for family in work.possible})
    found: list[tuple[Chunk, Tally]] = []
    again = {"recover_tears": 1, "inner": lib.JX_F1_CUT} if depth > 1 else {}
    if depth > 2:
        again["third_cuts"] = THIRD_EVERY
    threads = min(jobs_of(jobs), max(1, len(order)))
    with ExitStack() as stack:
        judges: SimpleQueue[Judge] = SimpleQueue()
        for _ in range(threads):
            judges.put(stack.enter_context(Judge(recording, recover_cuts=1, **again)))
        pool = stack.enter_context(ThreadPoolExecutor(threads))  # ends first: a judge at work must not be closed
        done = 0
        for chunk, (tally, commit_cut) in _results(pool, judges, order):
            found.append((chunk, tally))
            report.commit_cut = commit_cut
            done += chunk.images
            if progress:
                progress("torture", done, work.images)
    _sum_up(report, found, recording)
    return report


def _results(
    pool: ThreadPoolExecutor, judges: SimpleQueue[Judge], order: list[Chunk]
) -> Iterator[tuple[Chunk, tuple[Tally, int]]]:
    def run(chunk: Chunk) -> tuple[Tally, int]:
        judge = judges.get()
        try:
            return judge.cuts(chunk.family.bit, chunk.first, chunk.end), judge.commit_cut
        finally:
            judges.put(judge)

    waiting: dict[Future, Chunk] = {pool.submit(run, chunk): chunk for chunk in order}
    try:
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()
    finally:
        for future in waiting:
            future.cancel()


def _sum_up(report: Report, found: list[tuple[Chunk, Tally]], recording: Recording) -> None:
    """Counts and failures in the order of families and cuts, whichever thread was quicker."""
    names = list(report.tallies)
    inputs = recording.fingerprint()
    for chunk, tally in sorted(found, key=lambda one: (names.index(one[0].family.name), one[0].first)):
        report.tallies[chunk.family.name] += tally
        for failure in tally.failures[: NOTED_MAX - len(report.failures)]:
            place = failure.place if failure.schedule is None else Place(failure.place.cut, failure.schedule + 1)
            words = recording.describe(place.cut, place.tear, chunk.family.bit)
            token = Token(inputs, chunk.family, place)
            report.failures.append((token, f"{failure}; {words}"))
