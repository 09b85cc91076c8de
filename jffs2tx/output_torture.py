"""What torture and its --replay print for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

_COLUMNS = ("images", "distinct", "old", "new", "split", "third", "failures")


def table(facts: Mapping[str, Any]) -> None:
    """A row for each fault, then what failed, then two sentences."""
    total = {"fault": "", "description": "all"} | facts["total"]
    columns = [name for name in _COLUMNS if name != "split" or total["split"]]
    click.echo(f"{'fault':40}" + "".join(f"{name:>11}" for name in columns))
    for row in (*facts["faults"], total):
        label = f"{row['fault']:3} {row['description']}"
        click.echo(f"{label:40}" + "".join(f"{row[name]:11,}" for name in columns))
    for failure in facts["failures"]:
        click.echo(f"{failure['token']}  {failure['text']}")
    noted, count = len(facts["failures"]), facts["failure_count"]
    if count > noted:
        click.echo(f"and {count - noted:,} failures more")
    for warning in facts["warnings"]:
        click.echo(f"warning: {warning}")
    if facts["changes"]:
        click.echo(f"commit by {facts['strategy']}, for {', '.join(facts['readers'])}")
    else:
        click.echo("the target is that tree already: nothing was written")
    again = f", and cut again at {total['second_cuts']:,} points" if total["second_cuts"] else ""
    again += f", a third time at {total['third_cuts']:,}" if total["third_cuts"] else ""
    click.echo(f"recover was run on {total['recovered']:,} images{again}")
    sample = f", a sample of {facts['possible_images']:,}" if facts["sampled"] else ""
    verdict = f"{count:,} FAILURES" if count else "each is wholly the old tree or wholly the new one"
    click.echo(f"{facts['images']:,} crash images{sample}: {verdict}")


def replay(facts: Mapping[str, Any]) -> None:
    """What the readers see on one crash image."""
    click.echo(f"power failed in  {facts['power_failed_in']}")
    click.echo(f"staged until     operation {facts['staged_until']}, committed by {facts['committed_by']}")
    click.echo(f"kept as          {facts['kept']}")
    for sight in facts["seen"]:
        for sentence in sight["sentences"]:
            click.echo(sentence)
