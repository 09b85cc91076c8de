"""The comparison as tables in Markdown: methods by media, and step by step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from jffs2tx.comparison.methods import METHODS
from jffs2tx.comparison.record import BY_NAME
from jffs2tx.comparison.strips import Strip
from jffs2tx.comparison.trees import Seen
from jffs2tx.progress import format_bytes

BEGIN, END = "<!-- tables: python -m jffs2tx.comparison --table docs/COMPARISON.md -->", "<!-- end of tables -->"
BAD = (Seen.MIXED, Seen.UNBOOTABLE)


def write_tables(document: Path, strips: Iterable[Strip]) -> None:
    """Puts the tables into the document, in place of those between the two marks."""
    before, _, rest = document.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    document.write_text("\n".join((before + BEGIN, "", *tables(list(strips)), "", END + after)))


def tables(strips: list[Strip]) -> Iterator[str]:
    yield from _row("method", "flash", "operations", "written", *(f"{seen}" for seen in Seen))
    yield from _rule(2, 6)
    for strip in strips:
        operations = f"{len(strip.instants) - 1}"
        states = (f"{strip.states(seen):,}" if strip.states(seen) else "–" for seen in Seen)
        yield from _row(strip.method, strip.medium, operations, format_bytes(strip.bytes_programmed), *states)
    yield ""
    yield from _row("method", "power fails in or after", *BY_NAME)
    yield from _rule(2 + len(BY_NAME), 0)
    for method in METHODS:
        mine = {strip.medium: dict(strip.seen_in_steps()) for strip in strips if strip.method == method}
        steps = dict.fromkeys(step for seen in mine.values() for step in seen)
        for number, step in enumerate(steps):
            cells = (_words(mine.get(medium, {}).get(step)) for medium in BY_NAME)
            yield from _row("" if number else method, step, *cells)


def _words(seen: frozenset[Seen] | None) -> str:
    if seen is None:
        return "–"
    return ", ".join(f"**{one}**" if one in BAD else f"{one}" for one in Seen if one in seen)


def _row(*cells: str) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"


def _rule(words: int, numbers: int) -> Iterator[str]:
    yield f"|{' --- |' * words}{' ---: |' * numbers}"
