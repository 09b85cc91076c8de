"""`make demo`: one upgrade of a real tree, what it wrote, and what a power cut leaves at 24 instants of it.

No root, no kernel: the flash is an image file, and for the power cuts a simulator that records each operation. Exit
status 1 if any cut leaves anything but wholly the old or wholly the new tree.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.demo_tree import make_new, make_old
from jffs2tx.device import Flash, FlashStats, Geometry
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Manifest
from jffs2tx.mkfs import make_filesystem, write_image
from jffs2tx.progress import ProgressCallback, format_bytes, reporter
from jffs2tx.readers import named
from jffs2tx.source import Source
from jffs2tx.upgrade import Outcome, apply_upgrade, recover, wanted_tree

MIB = 1 << 20
KIB = 1 << 10
#: Instants in each phase: while the upgrade stages, while it hides the commit set, at the commit, while it settles.
STAGING, HIDING, COMMIT, SETTLING = 8, 5, 6, 5
TEARS = lib.JX_F2_PREFIX | lib.JX_F3_BITS | lib.JX_F4_ORDER | lib.JX_F5_ERASE


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


# ---- crash states ----------------------------------------------------------------------------------------------------


class Crashes:
    """Every state that a power cut can leave of one recorded upgrade."""

    def __init__(self, simulator: Flash) -> None:
        self.simulator = simulator
        self.count = lib.jx_sim_op_count(simulator.handle)
        self._flash = Flash.memory(simulator.geometry)

    def operation(self, index: int):
        out = ffi.new("struct jx_sim_op *")
        check(lib.jx_sim_op_get(self.simulator.handle, index, out))
        return out

    def tears(self, cut: int) -> int:
        """How many ways the operation under way may be half done; way 0: not at all."""
        count = ffi.new("uint32_t *")
        check(lib.jx_crash_tears(self.simulator.handle, cut, TEARS, count))
        return count[0]

    def words(self, cut: int, tear: int) -> str:
        text = ffi.new("char[]", 120)
        check(lib.jx_crash_describe(self.simulator.handle, cut, TEARS, tear, text, 120))
        return ffi.string(text).decode()

    def flash(self, cut: int, tear: int = 0) -> Flash:
        """The medium after a cut in operation `cut`; good until the next call."""
        check(
            lib.jx_crash_build(self.simulator.handle, cut, TEARS, tear, self._flash.handle), doing="cutting the power"
        )
        return self._flash

    def close(self) -> None:
        self._flash.close()


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
    crashes: Crashes

    def view(self, flash: Flash) -> str:
        """What the chip's readers see, all of them: old, new, or something else."""
        seen = set()
        for summary in self.chip.summaries:
            with FileSystem(flash, summary=summary) as fs:
                seen.add(self.trees.get(fs.digest(), "NEITHER"))
        return seen.pop() if len(seen) == 1 else "MIXED"

    def commit_operation(self) -> int:
        """The operation that makes the new tree appear, found by halving."""
        low, high = 0, self.crashes.count
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.view(self.crashes.flash(middle)) == "new" else (middle + 1, high)
        return low - 1

    def hiding_begins(self, commit: int) -> int:
        """The first operation on the block in which the commit happens."""
        size = self.chip.geometry.erase_size
        block = self.crashes.operation(commit).off // size
        return next(i for i in range(commit + 1) if self.crashes.operation(i).off // size == block)

    def instants(self) -> Iterator[Instant]:
        commit = self.commit_operation()
        hiding = self.hiding_begins(commit)
        for phase, first, last, wanted in (
            ("staging", 0, hiding - 1, STAGING),
            ("hidden set", hiding, commit - 1, HIDING),
            ("settling", commit + 1, self.crashes.count, SETTLING),
        ):
            if phase == "settling":
                yield from self._at_commit(commit)
            for number in range(wanted):
                cut = first + (last - first) * number // (wanted - 1)
                tears = self.crashes.tears(cut)
                yield self._cut(phase, cut, number * 7 % tears)

    def _at_commit(self, commit: int) -> Iterator[Instant]:
        """The commit torn in different ways, the first one not begun."""
        tears = self.crashes.tears(commit)
        for number in range(COMMIT):
            yield self._cut("commit", commit, number * (tears - 1) // (COMMIT - 1))

    def _cut(self, phase: str, cut: int, tear: int) -> Instant:
        flash = self.crashes.flash(cut, tear)
        seen = self.view(flash)
        recover(flash)
        return Instant(phase, cut, tear, self._operation(cut, tear), seen, self.view(flash))

    def _operation(self, cut: int, tear: int) -> str:
        if cut == self.crashes.count:
            return "after the last one"
        words = self.crashes.words(cut, tear)  # such as "prog 0x20000+64: prefix 12, 12..64 half-programmed (seed 1)"
        how = re.sub(r"(, )?[0-9.]+ half-programmed .*", r"\1bits torn", words.partition(": ")[2])
        return f"{cut} {words.split()[0]}, {how.replace('nothing', 'not begun')}"


# ---- one chip --------------------------------------------------------------------------------------------------------


@contextmanager
def trial(chip: Chip, work: Path, old: Source, new: Source) -> Iterator[Trial]:
    """The upgrade on an image file, and again on a simulator that records it. Both end with the same bytes."""
    image = work / f"{chip.name.lower()}.jffs2"
    write_image(image, chip.geometry, old.manifest(), old.open)
    before = image.read_bytes()
    wanted = wanted_tree(new.manifest())
    settings = {"readers": named(chip.readers), "endian": "little"}
    trees = {}
    with Flash.file(image, chip.geometry, writable=True) as flash:
        with FileSystem(flash) as fs:
            trees[fs.digest()] = "old"
        with reporter() as report:
            outcome = apply_upgrade(flash, wanted, new.open, progress=_staging_only(report), **settings)
        with FileSystem(flash) as fs:
            trees[fs.digest()] = "new"
    with Flash.simulator(chip.geometry, before) as simulator:
        apply_upgrade(simulator, wanted, new.open, **settings)
        if simulator.read(0, chip.geometry.size) != image.read_bytes():
            raise AssertionError("the same upgrade wrote other bytes the second time")
        crashes = Crashes(simulator)
        yield Trial(chip, outcome, trees, simulator.stats, crashes)
        crashes.close()


def _staging_only(report: ProgressCallback) -> ProgressCallback:
    return lambda phase, done, total: report(phase, done, total) if phase == "stage" else None


def rewrite(chip: Chip, manifest: Manifest, source: Source) -> tuple[int, int]:
    """Bytes and eraseblocks of a whole new image of the tree."""
    with Flash.memory(chip.geometry) as flash:
        figures = make_filesystem(flash, manifest, source.open)
        return figures.staged_blocks * chip.geometry.erase_size, figures.staged_blocks


# ---- what is shown ---------------------------------------------------------------------------------------------------


def _command(console: Console, words: str) -> None:
    console.print(Text(f"  $ jffs2tx {words}", style="dim"), soft_wrap=True)


def _commands(console: Console, chip: Chip) -> None:
    image = f"{chip.name.lower()}.jffs2"
    _command(console, f"mkfs old -o {image} {chip.mkfs} --size {chip.geometry.size // MIB}MiB")
    _command(console, f"apply {image} new.manifest --from new{chip.apply}")


def _costs(trials: list[Trial], rewrites: list[tuple[int, int]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for heading in ("what is written", "commit by", "bytes", "eraseblocks"):
        table.add_column(heading, justify="right" if heading in ("bytes", "eraseblocks") else "left", style="")
    for one, (size, blocks) in zip(trials, rewrites, strict=True):
        stats = one.stats
        table.add_row(f"{one.chip.name}, full rewrite", "nothing", format_bytes(size), str(blocks))
        table.add_row(
            f"{one.chip.name}, this upgrade",
            one.outcome.plan.strategy.value,
            f"[bold]{format_bytes(stats.bytes_programmed)}[/] ({100 * stats.bytes_programmed / size:.1f} %)",
            f"[bold]{stats.erases}[/]",
        )
    return table


def _state(instant: Instant) -> str:
    colour = {"old": "cyan", "new": "green"}.get(instant.seen, "bold red") if instant.is_whole else "bold red"
    after = "" if instant.recovered == instant.seen else f", then {instant.recovered}"
    return f"[{colour}]{instant.seen}{after}[/]"


def _cuts(trials: list[Trial], columns: list[list[Instant]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("power fails in")
    for one in trials:
        table.add_column(f"{one.chip.name}: in operation, of {one.crashes.count}")
        table.add_column("sees")
    phase = ""
    for row in zip(*columns, strict=True):
        shown = "" if row[0].phase == phase else row[0].phase
        phase = row[0].phase
        table.add_row(shown, *(cell for instant in row for cell in (instant.operation, _state(instant))))
    return table


def _changes(outcome: Outcome) -> str:
    plan = outcome.plan
    return (
        f"{len(plan.inodes)} inodes new or edited ({format_bytes(plan.content_bytes)}), {len(plan.removed)} paths "
        f"gone, {len(plan.attributes)} with new metadata, {plan.unchanged} as they were"
    )


def main() -> int:
    """Runs the demo; 1 if a cut left a third state."""
    begun = time.monotonic()
    width = None if sys.stdout.isatty() else 110
    console = Console(width=width, highlight=False)
    with tempfile.TemporaryDirectory(prefix="jffs2tx-demo-") as name:
        status = _run(console, Path(name))
    console.print(f"[dim]{time.monotonic() - begun:.0f} seconds[/]")
    return status


def _run(console: Console, work: Path) -> int:
    make_old(work / "old")
    make_new(work / "old", work / "new")
    with Source(work / "old") as old, Source(work / "new") as new:
        before, after = old.manifest(), new.manifest()
        files = [entry for entry in before if entry.type == "file"]
        total = format_bytes(sum(entry.size for entry in files))
        console.print(f"\n[bold]A tree of {len(files):,} files, {total}, and its next version[/]")
        _command(console, "manifest new -o new.manifest")
        trials, rewrites, columns = [], [], []
        for chip in CHIPS:
            words = (
                f"{chip.name}, {chip.geometry.size // MIB} MiB, eraseblocks of {chip.geometry.erase_size // KIB} KiB"
            )
            console.print(f"\n[bold]{words}[/]")
            _commands(console, chip)
            with trial(chip, work, old, new) as one:
                if not trials:
                    console.print(f"  {_changes(one.outcome)}")
                rewrites.append(rewrite(chip, after, new))
                columns.append(list(one.instants()))
                trials.append(one)
        console.print()
        console.print(_costs(trials, rewrites))
        console.print()
        console.print(_cuts(trials, columns))
    return _verdict(console, [instant for column in columns for instant in column])


def _verdict(console: Console, instants: list[Instant]) -> int:
    bad = [instant for instant in instants if not instant.is_whole]
    old = sum(instant.seen == "old" for instant in instants)
    console.print()
    if bad:
        console.print(f"[bold red]{len(bad)} of {len(instants)} power cuts left neither the old nor the new tree.[/]")
        return 1
    console.print(
        f"[bold green]{len(instants)} power cuts: {old} left the old tree, {len(instants) - old} the new one, "
        "none a third; recover kept each.[/]"
    )
    console.print("[dim]Judged by a digest of the whole tree as jffs2tx reads it; `make test` asks Linux.[/]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
