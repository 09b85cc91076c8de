"""What the command readers prints for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 140  # where stdout is no terminal


def tables(rows: Iterable[Mapping[str, Any]]) -> None:
    """Who sees what, then what was tried, and what is to be known of each reader."""
    rows = list(rows)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.print(_views(rows))
    console.print()
    for row in rows:
        console.print(f"[bold]{row['reader']}[/]: {row['description']}")
        console.print(f"  tried: {row['tried']}")
        for strategy, note in row["notes"].items():
            console.print(f"  {strategy}: {note}")
        for fault in row["faults"]:
            console.print(f"  its fault: {fault}")


def _views(rows: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("reader", no_wrap=True)
    for view in rows[0]["views"]:
        table.add_column(f"{view['strategy']}, {view['flash'].upper()}")
    for row in rows:
        table.add_row(row["reader"], *(view["view"] for view in row["views"]))
    return table
