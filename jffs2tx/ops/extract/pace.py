"""How far it has come: bytes of all files, each counted once."""

from __future__ import annotations

from jffs2tx.errors import Jffs2txError
from jffs2tx.filesystem import FileSystem
from jffs2tx.progress import ProgressCallback


class Pace:
    def __init__(self, fs: FileSystem, phase: str, progress: ProgressCallback | None) -> None:
        self._phase = phase
        self._progress = progress
        self._done = 0
        self._total = _size_of_all(fs) if progress else 0

    def at(self, offset: int) -> None:
        """So far in the file that is under way."""
        if self._progress:
            self._progress(self._phase, self._done + offset, self._total)

    def finished(self, size: int) -> None:
        self._done += size
        self.at(0)


def _size_of_all(fs: FileSystem) -> int:
    def pass_over(path: bytes, error: Jffs2txError) -> None:
        pass

    return sum({status.ino: status.size for _, status in fs.walk(onerror=pass_over) if status.type == "file"}.values())
