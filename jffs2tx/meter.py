"""What each phase of an upgrade takes: time, and the flash's work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jffs2tx.device import Flash


@dataclass(frozen=True, slots=True)
class Work:
    """One phase. Sizes are bytes."""

    phase: str
    seconds: float
    programmed: int
    erased: int  # eraseblocks
    verified: int  # read back and compared


class Meter:
    """Notes the work of phases; one that never ran is not there."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        self.work: list[Work] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        before, begin = self._flash.stats, time.monotonic()
        try:
            yield
        finally:
            after, end = self._flash.stats, time.monotonic()
            self._flash.on_phase(name)
            self.work.append(
                Work(
                    name,
                    end - begin,
                    after.bytes_programmed - before.bytes_programmed,
                    after.erases - before.erases,
                    after.bytes_verified - before.bytes_verified,
                )
            )
