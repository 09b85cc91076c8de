"""Damage of one inode, of a part of the tree, or of all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jffs2tx.damage.content import content_damage, undecodable
from jffs2tx.damage.log import Log
from jffs2tx.damage.names import lost_names
from jffs2tx.damage.record import Damage
from jffs2tx.damage.remains import remains
from jffs2tx.errors import Jffs2txError

if TYPE_CHECKING:
    from jffs2tx.filesystem import FileSystem, Stat


def inode_damage(log: Log, path: bytes, status: Stat) -> Iterator[Damage]:
    """Of an inode that can be read: its content, its metadata, its extended attributes."""
    yield from content_damage(log, path, status)
    for _, shown in log.fs.attributes_ino(status.ino):
        if isinstance(shown, Jffs2txError):
            yield Damage(path, 0, 0, str(shown))
    for xid in log.missing_attributes(status.ino):
        yield Damage(path, 0, 0, f"its extended attribute {xid} is missing")


def tree_damage(fs: FileSystem, log: Log, path: bytes) -> Iterator[Damage]:
    """Of all from path on, inodes first, then lost names; what cannot be read too. Every byte is read."""
    unreadable: list[Damage] = []

    def add(found: bytes, error: Jffs2txError) -> None:
        unreadable.append(Damage(found, 0, 0, reason_of(error)))

    for found, status in fs.walk(path, add):
        yield from unreadable
        unreadable.clear()
        yield from inode_damage(log, found, status)
        if status.type == "file":
            yield from undecodable(log, found, status.ino)
    yield from unreadable
    yield from lost_below(log, path)


def lost_below(log: Log, path: bytes, deep: bool = True) -> Iterator[Damage]:
    """Lost names of a directory, with deep of those below it too; what has no place goes with the root."""
    for one in (*lost_names(log), *remains(log)):
        if one.path is None or not path:
            near = not path and (deep or one.path is None or b"/" not in one.path)
        else:
            rest = one.path.removeprefix(path)
            near = rest != one.path and rest[:1] in (b"", b"/") and (deep or rest.count(b"/") <= 1)
        if near:
            yield one


def reason_of(error: Jffs2txError) -> str:
    """An error without the path in front."""
    return str(error).removeprefix(f"{error.path}: ")
