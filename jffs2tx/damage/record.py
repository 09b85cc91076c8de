"""One damaged place, and what a reader does about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jffs2tx.errors import printable
from jffs2tx.manifest import escape


class Reading(StrEnum):
    """What comes out where the medium is damaged. What the kernel cannot read at all (EIO) never does."""

    REPORT = "report"  # what the kernel shows, and the damage is reported
    STRICT = "strict"  # nothing of a damaged file, and the damage is reported
    AS_KERNEL = "as-kernel"  # what the kernel shows; what the kernel does not report is not reported


@dataclass(frozen=True, slots=True)
class Damage:
    """`path`: inside the file system, no slash at its start (b"": the root; None: unknown). `offset`, `length`: bytes
    of a file's content; length 0: it is not about content.
    """

    path: bytes | None
    offset: int
    length: int
    why: str

    @property
    def text(self) -> str:
        place = "somewhere" if self.path is None else printable(b"/" + self.path)
        span = f"bytes {self.offset} to {self.offset + self.length}: " if self.length else ""
        return f"{place}: {span}{self.why}"

    def facts(self) -> dict:
        """For JSON: the path is escaped as in a manifest."""
        return {
            "path": None if self.path is None else "/" + escape(self.path).decode(),
            "offset": self.offset,
            "length": self.length,
            "why": self.why,
            "text": self.text,
        }
