"""Commands in child processes, in which one call that changes the image file goes wrong (faults.c, preloaded)."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import signal
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from jffs2tx.cli import main


@dataclass(frozen=True)
class Fault:
    """What happens at one call of a command that changes the image file: see faults.c."""

    name: str
    error: int = 0
    signal: int = 0
    half: bool = False
    on: bool = False


DEAD = Fault("EIO from then on", errno.EIO, on=True)
FAULTS = (
    Fault("SIGINT", signal=signal.SIGINT),
    Fault("SIGTERM", signal=signal.SIGTERM),
    Fault("SIGHUP", signal=signal.SIGHUP),
    Fault("EIO", errno.EIO),
    Fault("EIO, half written", errno.EIO, half=True),
    DEAD,
    Fault("ENOSPC", errno.ENOSPC),
    Fault("ENOSPC, half written", errno.ENOSPC, half=True),
    Fault("ENOSPC from then on", errno.ENOSPC, on=True),
)


def _arm(at: int, fault: Fault | None) -> None:
    values = (fault.error, fault.signal, fault.half, fault.on) if fault else (0, 0, 0, 0)
    ctypes.CDLL(None).outcomes_arm(ctypes.c_long(at), *map(int, values))


def count_calls(function: Callable[[], int]) -> int:
    """How many calls change a file while it runs, which must end with 0."""
    _arm(-1, None)
    with redirect_stderr(io.StringIO()):  # warnings
        assert function() == 0
    return ctypes.CDLL(None).outcomes_calls()


def run(arguments: list[str], said: Path, fault: Fault | None = None, at: int = -1) -> int:
    """A command in a child, with stderr in a file; its exit status."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            with said.open("wb") as file:
                os.dup2(file.fileno(), 2)
            _arm(at, fault)
            status = main(arguments)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
