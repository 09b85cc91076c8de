"""What did not come out: what the medium could not give, and what the host did not take."""

from __future__ import annotations

from collections import Counter

from jffs2tx.damage import Damage, reason_of
from jffs2tx.errors import Corrupt, Jffs2txError, LimitError, printable
from jffs2tx.filesystem import Stat
from jffs2tx.image import Image
from jffs2tx.manifest import escape
from jffs2tx.progress import format_bytes

MAX_BYTES = 1 << 30
MAX_TIMES_DEVICE = 8  # a device seldom holds more, compressed

_WORDS = {
    "file": "a file",
    "dir": "a directory",
    "link": "a symbolic link",
    "char": "a character device",
    "block": "a block device",
    "fifo": "a fifo",
    "socket": "a socket",
}


class Losses:
    """`damage`: each damaged place. Beside it what did not come out: the medium cannot give it, or this user may not
    make it, or this host does not take it.
    """

    def __init__(self) -> None:
        self.damage: list[Damage] = []
        self._unreadable: list[tuple[bytes, str]] = []
        self._omitted: list[tuple[bytes, str]] = []

    def add(self, path: bytes, error: Jffs2txError) -> None:
        """Something that cannot be read, or is refused. Fits as walk()'s onerror."""
        self._unreadable.append((path, reason_of(error)))

    def omit(self, path: bytes, kind: str, failure: str, reason: str) -> None:
        """Something that this user may not make or set, or this host does not take."""
        self._omitted.append((path, f"{_WORDS[kind]} {failure}: {reason}"))

    def facts(self, extracted: int) -> dict:
        """`unreadable`, `omitted`: each path with its reason; `damaged`: Damage.facts; `summary`: of what was omitted
        one line for each kind.
        """
        counts = Counter(what for _, what in self._omitted)
        return {
            "extracted": extracted,
            "unreadable": [_fact(*one) for one in self._unreadable],
            "damaged": [one.facts() for one in self.damage],
            "omitted": [_fact(*one) for one in self._omitted],
            "summary": [f"{what} ({count} times)" if count > 1 else what for what, count in sorted(counts.items())],
        }


def _fact(path: bytes, reason: str) -> dict:
    shown = f"/{printable(path)}"
    return {"path": "/" + escape(path).decode(), "reason": reason, "text": f"{shown}: {reason}"}


def check_root(path: bytes, status: Stat) -> None:
    """Raises Corrupt where this is the root and no directory: nothing can be made of that."""
    if not path and status.type != "dir":
        raise Corrupt("is the root, and no directory")


class Budget:
    """How much may still come out, in bytes, holes included: what is small on the medium may be huge when it is out."""

    def __init__(self, image: Image, max_bytes: int | None) -> None:
        self._left = max_bytes or max(MAX_BYTES, MAX_TIMES_DEVICE * image.geometry.size)

    def take(self, size: int) -> None:
        """Raises LimitError, and nothing is taken."""
        if size > self._left:
            left = format_bytes(self._left)
            raise LimitError(f"is {format_bytes(size)}, and --max-bytes leaves {left}; it is left out")
        self._left -= size
