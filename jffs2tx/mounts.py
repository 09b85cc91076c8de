"""Which file systems of this machine are mounted from an MTD device."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
MTD_BLOCK_MAJOR = 31  # of a jffs2 too, however its source was written: mtd0, mtd:NAME, /dev/mtdblock0, /dev/root


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount point. `writable` is the file system's own state: a read-only bind of it may hide that."""

    point: str
    type: str
    writable: bool


def mounts_of(index: int, proc: Path = PROC) -> list[Mount]:
    """All mounts of /dev/mtd<index>, those of other mount namespaces too where this process may look into them."""
    return [mount for table in _tables(proc) for mount in parse(table, index)]


def _tables(proc: Path) -> Iterator[str]:
    """The mountinfo of each mount namespace, this process's first (proc(5))."""
    seen = set()
    for process in ("self", *filter(str.isdigit, os.listdir(proc))):
        try:
            namespace = os.readlink(proc / process / "ns" / "mnt")
            if namespace not in seen:
                yield (proc / process / "mountinfo").read_text(errors="surrogateescape")
            seen.add(namespace)
        except OSError:
            if process == "self":
                raise  # of another it says that it has ended, or is not ours to look at


def parse(table: str, index: int) -> list[Mount]:
    """The mounts of /dev/mtd<index> in a mountinfo, in its order."""
    found = []
    for line in table.splitlines():
        fields, _, rest = line.partition(" - ")
        _, _, device, _, point, *_ = fields.split(" ")
        kind, _, options = rest.split(" ", 2)
        if device == f"{MTD_BLOCK_MAJOR}:{index}":
            found.append(Mount(_unescaped(point), kind, "rw" in options.split(",")))
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
