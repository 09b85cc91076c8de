"""The findings of check for people: a table for each kind, with what the kernel makes of it and what to do."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from jffs2tx.errors import printable
from jffs2tx.manifest import unescape
from jffs2tx.ops.check import KINDS, Kind

SHOWN = 5  # of each kind, without --all
WIDTH = 120  # where no terminal says another

_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def findings(facts: Mapping[str, Sequence[dict]], everything: bool) -> None:
    """Prints problems by kind, the first SHOWN of each, and how many notes there are; or all there is."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False, emoji=False)
    for key in ("problems", "notes"):
        console.print(Text(f"{key:18}  {_counts(facts[key])}"))
    for kind, group in _by_kind((*facts["problems"], *facts["notes"])):
        if kind.severity == "note" and not everything:
            continue
        shown = group if everything else group[:SHOWN]
        console.print()
        console.print(Text(f"{kind.severity}: {kind.title} [{kind.name}]", style=_STYLES[kind.severity]))
        console.print(Padding(_table(shown), (0, 0, 0, 2)))
        if len(shown) < len(group):
            console.print(Text(f"  … and {len(group) - len(shown)} more (--all shows them)"))
        console.print(Padding(_advice(kind), (0, 0, 0, 2)))


def _by_kind(all_of_them: Sequence[dict]) -> list[tuple[Kind, list[dict]]]:
    """They come sorted by kind."""
    kinds = {kind.name: kind for kind in KINDS}
    return [(kinds[name], list(group)) for name, group in groupby(all_of_them, key=lambda finding: finding["kind"])]


def _counts(group: Sequence[dict]) -> str:
    counts = {}
    for finding in group:
        counts[finding["kind"]] = counts.get(finding["kind"], 0) + 1
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _table(group: Sequence[dict]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("offset", no_wrap=True)
    table.add_column("path", overflow="fold")
    table.add_column("what", overflow="fold")
    for finding in group:
        offset = "" if finding["offset"] is None else f"{finding['offset']:#010x}"
        path = "" if finding["path"] is None else printable(unescape(finding["path"].encode()))
        table.add_row(Text(offset), Text(path), Text(finding["text"]))
    return table


def _advice(kind: Kind) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text("kernel:"), Text(kind.kernel))
    table.add_row(Text("do:"), Text(kind.remedy))
    return table
