"""Which file systems of this machine are mounted from an MTD device."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
MTD_BLOCK_MAJOR = 31  # of a jffs2 too, however its source was written: mtd0, mtd:NAME, /dev/mtdblock0, /dev/root


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount point. `writable` is the file system's own state: a read-only bind of it may hide that."""

    point: str
    type: str
    writable: bool


def mounts_of(index: int, table: str | None = None) -> list[Mount]:
    """All mounts of /dev/mtd<index> that this process can see, in mountinfo's order (proc(5))."""
    found = []
    for line in (MOUNTINFO.read_text(errors="surrogateescape") if table is None else table).splitlines():
        fields, _, rest = line.partition(" - ")
        _, _, device, _, point, *_ = fields.split(" ")
        kind, _, options = rest.split(" ", 2)
        if device == f"{MTD_BLOCK_MAJOR}:{index}":
            found.append(Mount(_unescaped(point), kind, "rw" in options.split(",")))
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
