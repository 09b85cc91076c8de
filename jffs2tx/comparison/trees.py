"""The two versions of a small system that every method lands, and what counts as one of them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from jffs2tx.errors import NotADirectory, NotFound
from jffs2tx.filesystem import FileSystem
from jffs2tx.tree import sha256_of

KIB = 1024


@dataclass(frozen=True, slots=True)
class Thing:
    """One path below the system's directory: a file, or a link where it has a target."""

    data: bytes = b""
    mode: int = 0o644
    target: str | None = None


def _binary(seed: int, size: int) -> bytes:
    """Bytes that no compressor makes smaller, as a program's mostly are."""
    return random.Random(seed).randbytes(size)


OLD: dict[str, Thing] = {
    "bin/init": Thing(_binary(1, 9 * KIB), 0o755),
    "bin/sh": Thing(_binary(2, 6 * KIB), 0o755),
    "etc/hosts": Thing(b"127.0.0.1 localhost\n"),
    "etc/inittab": Thing(b"::respawn:/bin/sh\n"),
    "etc/release": Thing(b"1.0\n"),
    "lib/libc.so": Thing(_binary(3, 11 * KIB), 0o755),
    "lib/libm.so": Thing(_binary(4, 5 * KIB), 0o755),
    "lib/libssl.so": Thing(target="libssl.so.1"),
    "lib/libssl.so.1": Thing(_binary(5, 7 * KIB), 0o755),
}
NEW: dict[str, Thing] = OLD | {
    "bin/init": Thing(_binary(11, 10 * KIB), 0o755),
    "etc/inittab": Thing(b"::respawn:/bin/sh\n::respawn:/bin/update\n"),
    "etc/release": Thing(b"2.0\n"),
    "lib/libc.so": Thing(_binary(13, 12 * KIB), 0o755),
    "lib/libssl.so": Thing(target="libssl.so.3"),
    "lib/libssl.so.3": Thing(_binary(15, 8 * KIB), 0o755),
}
del NEW["lib/libssl.so.1"]

#: Without each of these, whole, nothing starts.
NEEDED = ("bin/init", "lib/libc.so")
#: What rsync calls a file until it is whole starts with this. One more file of such a name makes no mixture.
TEMPORARY = "."


class Seen(StrEnum):
    """What would start after a power cut."""

    OLD = "old"
    NEW = "new"
    MIXED = "mixed"  # files of both, or half a file
    UNBOOTABLE = "unbootable"  # no tree, or no whole init or libc in it


#: A path of a tree as far as it counts: a link's target, or a file's mode and hash; None: it cannot be read.
Facts = dict[str, str | tuple[int, str] | None]


def facts_of(tree: dict[str, Thing]) -> Facts:
    return {
        path: (thing.mode, sha256(thing.data).hexdigest()) if thing.target is None else thing.target
        for path, thing in tree.items()
    }


_OLD, _NEW = facts_of(OLD), facts_of(NEW)


def verdict(facts: Facts) -> Seen:
    """What a tree is that is there."""
    facts = {path: fact for path, fact in facts.items() if not path.rpartition("/")[2].startswith(TEMPORARY)}
    if facts == _OLD:
        return Seen.OLD
    if facts == _NEW:
        return Seen.NEW
    whole = all(facts.get(path) in (_OLD[path], _NEW[path]) for path in NEEDED)
    return Seen.MIXED if whole else Seen.UNBOOTABLE


def look(fs: FileSystem, top: bytes) -> Seen:
    """What starts of the tree at top, which may be a link to it. Raises Corrupt where top cannot be read."""
    try:
        ino = fs.resolve(top, follow=True)
    except (NotFound, NotADirectory):
        return Seen.UNBOOTABLE
    if fs.stat_ino(ino).type != "dir":
        return Seen.UNBOOTABLE
    facts: Facts = {}
    for path, status in fs.walk(b"", onerror=lambda path, _: facts.update({path.decode(): None}), ino=ino):
        if status.type == "file":
            facts[path.decode()] = (status.mode, sha256_of(fs, status.ino))
        elif status.type == "link":
            facts[path.decode()] = fs.readlink_ino(status.ino).decode()
    return verdict(facts)
