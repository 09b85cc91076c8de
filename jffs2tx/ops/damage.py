"""What cannot be read is passed over, so that the rest comes out, and told at the end."""

from __future__ import annotations

from jffs2tx.errors import Corrupt, Jffs2txError, printable


class Damage:
    """Collects what could not be read."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def add(self, path: bytes, error: Jffs2txError) -> None:
        """path: inside the file system, as walk() gives it. Fits as walk()'s onerror."""
        reason = str(error).removeprefix(f"{error.path}: ")
        self.sentences.append(f"{printable(b'/' + path)}: {reason}")

    def finish(self) -> None:
        """Raises Corrupt where there was anything."""
        if self.sentences:
            others = len(self.sentences) - 1
            raise Corrupt(self.sentences[0] + (f" (and {others} more could not be read)" if others else ""))
