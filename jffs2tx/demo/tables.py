"""What the demo prints of its trials."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jffs2tx.demo.trial import MIB, Chip, Instant, Trial
from jffs2tx.progress import format_bytes
from jffs2tx.upgrade import Outcome


def command(console: Console, words: str) -> None:
    console.print(Text(f"  $ jffs2tx {words}", style="dim"), soft_wrap=True)


def commands(console: Console, chip: Chip) -> None:
    image = f"{chip.name.lower()}.jffs2"
    command(console, f"mkfs old -o {image} {chip.mkfs} --size {chip.geometry.size // MIB}MiB")
    command(console, f"apply {image} new.manifest --from new{chip.apply}")


def costs(trials: list[Trial], rewrites: list[tuple[int, int]]) -> Table:
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


def cuts(trials: list[Trial], columns: list[list[Instant]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("power fails in")
    for one in trials:
        table.add_column(f"{one.chip.name}: in operation, of {one.operations}")
        table.add_column("sees")
    phase = ""
    for row in zip(*columns, strict=True):
        shown = "" if row[0].phase == phase else row[0].phase
        phase = row[0].phase
        table.add_row(shown, *(cell for instant in row for cell in (instant.operation, _state(instant))))
    return table


def changes(outcome: Outcome) -> str:
    plan = outcome.plan
    return (
        f"{len(plan.inodes)} inodes new or edited ({format_bytes(plan.content_bytes)}), {len(plan.removed)} paths "
        f"gone, {len(plan.attributes)} with new metadata, {plan.unchanged} as they were"
    )
