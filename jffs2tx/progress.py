"""Progress on stderr: a bar on a terminal, a line at each tenth otherwise, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

#: progress(phase, done, total), both in bytes, or in what COUNTED says of the phase.
ProgressCallback = Callable[[str, int, int], None]
COUNTED = {"torture": "images"}
FIRST_ESTIMATE_SECONDS = 5
FIRST_ESTIMATE_PART = 50  # one part in so many must be done for it


@contextmanager
def reporter(quiet: bool = False, stream: TextIO | None = None) -> Iterator[ProgressCallback | None]:
    """Gives the callback to hand to what takes long; None when quiet."""
    stream = stream or sys.stderr
    if quiet:
        yield None
    elif stream.isatty():
        with _bars(stream) as callback:
            yield callback
    else:
        yield _lines(stream)


@contextmanager
def _bars(stream: TextIO) -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:10}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream)) as bars:
        tasks: dict[str, int] = {}

        def report(phase: str, done: int, total: int) -> None:
            amount = _amount(phase, done, total)
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total, amount=amount)
            bars.update(tasks[phase], completed=done, total=total, amount=amount)

        yield report


def _lines(stream: TextIO) -> ProgressCallback:
    """What is counted takes long: its lines say how long, the first of them soon."""
    tenths: dict[str, int] = {}
    begun: dict[str, tuple[float, int]] = {}
    estimated: set[str] = set()

    def report(phase: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        now = time.monotonic()
        began, at_first = begun.setdefault(phase, (now, done))
        if done and not at_first:  # the pace is that from the first result on
            began, at_first = begun[phase] = (now, done)
        seconds = now - began
        tells = done - at_first >= total // FIRST_ESTIMATE_PART and at_first < done < total
        soon = phase in COUNTED and phase not in estimated and tells and seconds > FIRST_ESTIMATE_SECONDS
        if tenth <= tenths.get(phase, -1 if phase in COUNTED else 0) and not soon:
            return
        tenths[phase] = tenth
        left = ""
        if phase in COUNTED and tells:
            estimated.add(phase)
            left = f", about {format_seconds(seconds / (done - at_first) * (total - done))} left"
        print(
            f"{phase}: {_amount(phase, done, total)} ({100 * done // total if total else 100} %){left}",
            file=stream,
            flush=True,
        )

    return report


def _amount(phase: str, done: int, total: int) -> str:
    if phase in COUNTED:
        return f"{done:,} of {total:,} {COUNTED[phase]}"
    return f"{format_bytes(done)} of {format_bytes(total)}"


def format_seconds(seconds: float) -> str:
    """A span of time for people: '40 s', '12 min', '3.5 h'."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def format_bytes(count: int) -> str:
    """A number of bytes for people: '1.5 MiB', exact below one KiB."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def exact_size(size: int) -> str:
    """With a unit only where the number is whole."""
    for shift, unit in ((20, "MiB"), (10, "KiB")):
        if size and not size & ((1 << shift) - 1):
            return f"{size >> shift} {unit}"
    return f"{size} bytes"
