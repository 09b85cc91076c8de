"""Progress on stderr: a bar on a terminal, a line at each tenth otherwise, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

#: progress(phase, done, total), both in bytes.
ProgressCallback = Callable[[str, int, int], None]


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
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description:10}"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn()
    with Progress(*columns, console=Console(file=stream)) as bars:
        tasks: dict[str, int] = {}

        def report(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total)
            bars.update(tasks[phase], completed=done, total=total)

        yield report


def _lines(stream: TextIO) -> ProgressCallback:
    tenths: dict[str, int] = {}

    def report(phase: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        if tenth > tenths.get(phase, 0):
            tenths[phase] = tenth
            print(f"{phase}: {format_bytes(done)} of {format_bytes(total)} ({10 * tenth} %)", file=stream, flush=True)

    return report


def format_bytes(count: int) -> str:
    """A number of bytes for people: '1.5 MiB', exact below one KiB."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
