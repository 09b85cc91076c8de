"""One chip's upgrade: on an image file, once more on a simulator that records it, and with the power cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jffs2tx.device import Flash, FlashStats, Geometry
from jffs2tx.faults.families import TORN
from jffs2tx.faults.recording import Recording
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Manifest
from jffs2tx.mkfs import make_filesystem, write_image
from jffs2tx.progress import ProgressCallback, reporter
from jffs2tx.readers import named
from jffs2tx.source import Source
from jffs2tx.upgrade import Outcome, apply_upgrade, recover, wanted_tree

ENDIAN = "little"
MIB = 1 << 20
KIB = 1 << 10
#: Instants in each phase: while the upgrade stages, while it hides the commit set, at the commit, while it settles.
STAGING, HIDING, COMMIT, SETTLING = 8, 5, 6, 5


@dataclass(frozen=True)
class Chip:
    """A flash of the demo, and who reads it."""

    name: str
    geometry: Geometry
    readers: tuple[str, ...]
    mkfs: str  # the command line's words
    apply: str

    @property
    def summaries(self) -> tuple[bool, ...]:
        """With and without summary support, where the readers may be either."""
        return tuple({True, bool(named(self.readers)[0].summary)})


CHIPS = (
    Chip("NOR", Geometry("nor", 32 * MIB, 64 * KIB), ("linux",), "--erase-size 64KiB", ""),
    Chip(
        "NAND",
        Geometry("nand", 32 * MIB, 128 * KIB, 2 * KIB),
        ("linux-summary",),
        "--erase-size 128KiB --page-size 2048",
        " --page-size 2048 --reader linux-summary",
    ),
)


# ---- power cuts ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instant:
    """A power cut while operation `cut` was under way, and what was there before and after recovery."""

    phase: str
    cut: int
    tear: int
    operation: str
    seen: str
    recovered: str

    @property
    def is_whole(self) -> bool:
        return self.seen in ("old", "new") and self.recovered == self.seen


@dataclass
class Trial:
    """One chip's upgrade: what it cost, and the states that power cuts leave."""

    chip: Chip
    outcome: Outcome
    trees: dict[bytes, str]  # digest -> old or new
    stats: FlashStats
    log: Recording
    operations: int  # that it recorded
    scratch: Flash  # memory, in which crash states are built

    def view(self, flash: Flash) -> str:
        """What the chip's readers see, all of them: old, new, or something else."""
        seen = set()
        for summary in self.chip.summaries:
            with FileSystem(flash, endian=ENDIAN, summary=summary) as fs:
                seen.add(self.trees.get(fs.digest(), "NEITHER"))
        return seen.pop() if len(seen) == 1 else "MIXED"

    def commit_operation(self) -> int:
        """The operation that makes the new tree appear, found by halving."""
        low, high = 0, self.operations
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.view(self._crash(middle, 0)) == "new" else (middle + 1, high)
        return low - 1

    def hiding_begins(self, commit: int) -> int:
        """The first operation on the block in which the commit happens."""
        size = self.chip.geometry.erase_size
        block = self.log.operation(commit).off // size
        return next(i for i in range(commit + 1) if self.log.operation(i).off // size == block)

    def instants(self) -> Iterator[Instant]:
        commit = self.commit_operation()
        hiding = self.hiding_begins(commit)
        for phase, first, last, wanted in (
            ("staging", 0, hiding - 1, STAGING),
            ("hidden set", hiding, commit - 1, HIDING),
            ("settling", commit + 1, self.operations, SETTLING),
        ):
            if phase == "settling":
                yield from self._at_commit(commit)
            for number in range(wanted):
                cut = first + (last - first) * number // (wanted - 1)
                tears = self.log.tears(cut, TORN)
                yield self._cut(phase, cut, number * 7 % tears)

    def _at_commit(self, commit: int) -> Iterator[Instant]:
        """The commit torn in different ways, the first one not begun."""
        tears = self.log.tears(commit, TORN)
        for number in range(COMMIT):
            yield self._cut("commit", commit, number * (tears - 1) // (COMMIT - 1))

    def _cut(self, phase: str, cut: int, tear: int) -> Instant:
        flash = self._crash(cut, tear)
        seen = self.view(flash)
        recover(flash)
        return Instant(phase, cut, tear, self._operation(cut, tear), seen, self.view(flash))

    def _crash(self, cut: int, tear: int) -> Flash:
        """The medium after that cut, good until the next call."""
        self.log.build(cut, tear, self.scratch, TORN)
        return self.scratch

    def _operation(self, cut: int, tear: int) -> str:
        if cut == self.operations:
            return "after the last one"
        # Such as "prog 0x20000+64: prefix 12, 12..64 half-programmed (seed 1)".
        words = self.log.describe(cut, tear, TORN)
        how = re.sub(r"(, )?[0-9.]+ half-programmed .*", r"\1bits torn", words.partition(": ")[2])
        return f"{cut} {words.split()[0]}, {how.replace('nothing', 'not begun')}"


@contextmanager
def trial(chip: Chip, work: Path, old: Source, new: Source) -> Iterator[Trial]:
    """The upgrade on an image file, and again on a simulator that records it. Both end with the same bytes."""
    image = work / f"{chip.name.lower()}.jffs2"
    write_image(image, chip.geometry, old.manifest(), old.open)
    before = image.read_bytes()
    wanted = wanted_tree(new.manifest())
    settings = {"readers": named(chip.readers), "endian": ENDIAN}
    trees = {}
    with Flash.file(image, chip.geometry, writable=True) as flash:
        with FileSystem(flash) as fs:
            trees[fs.digest()] = "old"
        with reporter() as report:
            outcome = apply_upgrade(flash, wanted, new.open, progress=_staging_only(report), **settings)
        with FileSystem(flash) as fs:
            trees[fs.digest()] = "new"
    with Recording(Flash.simulator(chip.geometry, before), ENDIAN) as log, Flash.memory(chip.geometry) as scratch:
        apply_upgrade(log.sim, wanted, new.open, **settings)
        if log.sim.read(0, chip.geometry.size) != image.read_bytes():
            raise AssertionError("the same upgrade wrote other bytes the second time")
        yield Trial(chip, outcome, trees, log.sim.stats, log, log.operations, scratch)


def _staging_only(report: ProgressCallback) -> ProgressCallback:
    return lambda phase, done, total: report(phase, done, total) if phase == "stage" else None


def rewrite(chip: Chip, manifest: Manifest, source: Source) -> tuple[int, int]:
    """Bytes and eraseblocks of a whole new image of the tree."""
    with Flash.memory(chip.geometry) as flash:
        figures = make_filesystem(flash, manifest, source.open)
        return figures.staged_blocks * chip.geometry.erase_size, figures.staged_blocks
