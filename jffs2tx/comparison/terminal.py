"""The comparison in a terminal: a strip for each method, in colour or in letters."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from jffs2tx.comparison.methods import METHODS
from jffs2tx.comparison.strips import WORST_FIRST, Instant, Strip
from jffs2tx.comparison.trees import Seen

LETTERS = {Seen.OLD: "o", Seen.NEW: "n", Seen.MIXED: "M", Seen.UNBOOTABLE: "!"}
COLOURS = {Seen.OLD: "blue", Seen.NEW: "green", Seen.MIXED: "yellow", Seen.UNBOOTABLE: "red"}
MEANINGS = {
    Seen.OLD: "the old system",
    Seen.NEW: "the new one",
    Seen.MIXED: "files of both",
    Seen.UNBOOTABLE: "nothing starts",
}
NAME_WIDTH, FIGURES_WIDTH = 18, 28


def show(console: Console, strips: Iterable[Strip]) -> None:
    """Media one below the other, a line for each method, a column for each instant as far as the width allows."""
    console.print(_legend(console), soft_wrap=True)
    medium = None
    for strip in strips:
        if strip.medium != medium:
            medium = strip.medium
            console.print(Text(medium, style="bold"))
        line = Text(f"  {strip.method:{NAME_WIDTH}}", style="bold" if METHODS[strip.method].is_ours else "")
        line.append_text(_cells(console, columns(strip.instants, console.width - NAME_WIDTH - FIGURES_WIDTH - 3)))
        line.append(f" {figures(strip)}", style="not bold")
        console.print(line, soft_wrap=True)


def columns(instants: tuple[Instant, ...], width: int) -> list[Seen]:
    """The worst of the instants that share a column; where there is room for more, each takes several."""
    shown = []
    for column in range(width):
        first = column * len(instants) // width
        last = max((column + 1) * len(instants) // width, first + 1)
        inside = {instant.shown for instant in instants[first:last]}
        shown.append(next(seen for seen in WORST_FIRST if seen in inside))
    return shown


def figures(strip: Strip) -> str:
    """How many instants are bad."""
    bad = [f"{strip.count(seen)} {seen}" for seen in (Seen.MIXED, Seen.UNBOOTABLE) if strip.count(seen)]
    return ", ".join(bad) if bad else "always whole"


def _cells(console: Console, shown: Iterable[Seen]) -> Text:
    if console.color_system is None:
        return Text("".join(LETTERS[seen] for seen in shown))
    return Text.assemble(*(("▆", COLOURS[seen]) for seen in shown))


def _legend(console: Console) -> Text:
    parts = (Text.assemble(_cells(console, [seen]), f" {seen}: {MEANINGS[seen]}") for seen in Seen)
    return Text("  ") + Text("   ").join(parts)
