"""`make demo`: one upgrade of a real tree, what it wrote, what a power cut leaves at 24 instants of it; and the usual
ways to upgrade beside it.

No root, no kernel: the flash is an image file, and for the power cuts a simulator that records each operation. Exit
status 1 if any cut leaves anything but wholly the old or wholly the new tree.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from jffs2tx.comparison.methods import METHODS
from jffs2tx.comparison.record import SHOWN
from jffs2tx.comparison.strips import strips
from jffs2tx.comparison.terminal import show
from jffs2tx.demo.tables import changes, command, commands, costs, cuts
from jffs2tx.demo.tree import make_new, make_old
from jffs2tx.demo.trial import CHIPS, KIB, MIB, Instant, rewrite, trial
from jffs2tx.progress import format_bytes
from jffs2tx.source import Source

JOBS = 2  # processes


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
        command(console, "manifest new -o new.manifest")
        trials, rewrites, columns = [], [], []
        for chip in CHIPS:
            words = (
                f"{chip.name}, {chip.geometry.size // MIB} MiB, eraseblocks of {chip.geometry.erase_size // KIB} KiB"
            )
            console.print(f"\n[bold]{words}[/]")
            commands(console, chip)
            with trial(chip, work, old, new) as one:
                if not trials:
                    console.print(f"  {changes(one.outcome)}")
                rewrites.append(rewrite(chip, after, new))
                columns.append(list(one.instants()))
                trials.append(one)
        console.print()
        console.print(costs(trials, rewrites))
        console.print()
        console.print(cuts(trials, columns))
    whole = _verdict(console, [instant for column in columns for instant in column])
    return 0 if _compare(console) and whole else 1


def _verdict(console: Console, instants: list[Instant]) -> bool:
    bad = [instant for instant in instants if not instant.is_whole]
    old = sum(instant.seen == "old" for instant in instants)
    console.print()
    if bad:
        console.print(f"[bold red]{len(bad)} of {len(instants)} power cuts left neither the old nor the new tree.[/]")
        return False
    console.print(
        f"[bold green]{len(instants)} power cuts: {old} left the old tree, {len(instants) - old} the new one, "
        "none a third; recover kept each.[/]"
    )
    console.print("[dim]Judged by a digest of the whole tree as jffs2tx reads it; `make test` asks Linux.[/]")
    return True


def _compare(console: Console) -> bool:
    """The usual ways to upgrade beside the four strategies; whether the latter are always whole."""
    console.print("\n[bold]A small system by other ways: what starts after a power cut at each flash operation[/]")
    found = strips(SHOWN, jobs=JOBS)
    show(console, found)
    console.print("[dim]More: docs/COMPARISON.md[/]")
    return all(strip.is_whole for strip in found if METHODS[strip.method].is_ours)


if __name__ == "__main__":
    sys.exit(main())
