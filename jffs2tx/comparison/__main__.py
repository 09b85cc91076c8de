"""python -m jffs2tx.comparison: shows the comparison; --svg and --table write what docs/ holds of it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from jffs2tx.comparison.record import BY_NAME, SHOWN
from jffs2tx.comparison.strips import strips
from jffs2tx.comparison.svg import draw
from jffs2tx.comparison.table import write_tables
from jffs2tx.comparison.terminal import show


@click.command()
@click.option("--svg", type=click.Path(path_type=Path), help="Write the picture there.")
@click.option("--table", type=click.Path(path_type=Path), help="Write the table there: every state, some minutes.")
@click.option("--jobs", "-j", default=2, show_default=True, help="Processes.")
def main(svg: Path | None, table: Path | None, jobs: int) -> None:
    """Power cuts in the usual ways to upgrade, and in this program's."""
    console = Console()
    if table:
        write_tables(table, strips(BY_NAME, tears=None, jobs=jobs))
    if svg:
        svg.write_text(draw(strips(SHOWN, jobs=jobs)))
    if not svg and not table:
        show(console, strips(BY_NAME, jobs=jobs))


if __name__ == "__main__":
    main()
