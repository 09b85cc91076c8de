"""What differs in each directory that exists, and what that takes of a commit set."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from jffs2tx.plan.match import Matches, metadata
from jffs2tx.plan.model import Old, OldTree, SetAttr, Wanted, name_of, parent_of
from jffs2tx.readers import Strategy

DIRENT_BYTES = 40
INODE_BYTES = 68
XREF_BYTES = 28
DIRENT_SUMMARY_BYTES = 24
INODE_SUMMARY_BYTES = 18
XREF_SUMMARY_BYTES = 6


@dataclass(slots=True)
class Changes:
    """What differs, before a strategy is chosen. A directory that stays is known by its inode: it may have moved."""

    old: OldTree
    wanted: dict[bytes, Wanted]
    match: Matches
    before: dict[int, dict[bytes, int]]  # names of each directory on the medium
    links: dict[bytes, list[bytes]]  # directory that stays -> paths that it must name anew
    unlinks: dict[bytes, list[bytes]]
    attributes: dict[bytes, SetAttr]  # by (first) path
    below: dict[bytes, list[bytes]]  # wanted children of each directory

    def touched(self) -> set[bytes]:
        """Directories that stay and that differ in names or metadata."""
        dirs = {path for path in self.attributes if self.wanted[path].entry.type == "dir"}
        return (
            dirs | {d for d, paths in self.links.items() if paths} | {d for d, paths in self.unlinks.items() if paths}
        )

    def named_before(self, path: bytes) -> int | None:
        """What this name of a directory that stays stands for on the medium."""
        directory = self.match.ino[parent_of(path)]
        return None if directory is None else self.before[directory].get(name_of(path))


def written_again(changes: Changes, files: set[bytes]) -> Changes:
    """The same, but these files (by first path) get new inodes instead of new metadata."""
    if not files:
        return changes
    groups = changes.match.groups
    inos = {path: None if groups[path] in files else ino for path, ino in changes.match.ino.items()}
    return difference(changes.old, changes.wanted, replace(changes.match, ino=inos))


def difference(old: OldTree, wanted: dict[bytes, Wanted], match: Matches) -> Changes:
    below: dict[bytes, list[bytes]] = defaultdict(list)
    for path in wanted:
        if path:
            below[parent_of(path)].append(path)
    by_ino = {before.ino: before for before in old.paths.values()}
    attributes = _attributes(by_ino, wanted, match)
    changes = Changes(old, wanted, match, old.names_by_directory(), {}, {}, attributes, below)
    for directory, node in wanted.items():
        ino = match.ino[directory]
        if node.entry.type != "dir" or ino is None:
            continue
        children = below.get(directory, [])
        changes.links[directory] = [
            p for p in children if match.ino[p] is None or changes.named_before(p) != match.ino[p]
        ]
        gone = changes.before[ino].keys() - {name_of(path) for path in children}
        prefix = directory + b"/" if directory else b""
        changes.unlinks[directory] = sorted(prefix + name for name in gone)
        # A time that stands in dirents alone would go with the deletion (jffs2_garbage_collect_deletion_dirent).
        if gone and directory not in attributes and by_ino[ino].node_time not in (None, node.entry.time):
            attributes[directory] = SetAttr(ino, node.entry, {}, ())
    return changes


def _attributes(by_ino: dict[int, Old], wanted: dict[bytes, Wanted], match: Matches) -> dict[bytes, SetAttr]:
    result = {}
    for path, node in wanted.items():
        ino = match.ino[path]
        before = by_ino.get(ino)
        if before is None or match.groups[path] != path:  # an inode to be made, or an orphan: just as it is wanted
            continue
        if metadata(before.entry) == metadata(node.entry):
            continue
        changed = [name for name in before.xids if before.entry.xattrs[name] != node.entry.xattrs.get(name)]
        gone = [xid for name in changed for xid in before.xids[name]]
        new = {name: value for name, value in node.entry.xattrs.items() if before.entry.xattrs.get(name) != value}
        result[path] = SetAttr(ino, node.entry, new, tuple(gone))
    return result


# ---- the size of a commit set ----------------------------------------------------------------------------------------


def _pad4(size: int) -> int:
    return (size + 3) & ~3


@dataclass(frozen=True, slots=True)
class Size:
    """Of a part of the commit set, in bytes: its nodes, each padded to 4, and its entries in a summary."""

    bytes: int = 0
    summary: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.bytes + other.bytes, self.summary + other.summary)

    def __sub__(self, other: Size) -> Size:
        return Size(self.bytes - other.bytes, self.summary - other.summary)


def dirent_size(path: bytes, pair: bool) -> Size:
    nsize = len(name_of(path))
    times = 2 if pair else 1
    return Size(times * _pad4(DIRENT_BYTES + nsize), times * (DIRENT_SUMMARY_BYTES + nsize))


def attribute_size(change: SetAttr) -> Size:
    refs = len(change.set_xattrs) + len(change.remove_xids)
    payload = len(change.entry.link or b"")
    return Size(_pad4(INODE_BYTES + payload) + refs * XREF_BYTES, INODE_SUMMARY_BYTES + refs * XREF_SUMMARY_BYTES)


def directory_size(changes: Changes, directory: bytes, strategy: Strategy) -> Size:
    """What the changes of one directory that stays cost in the commit set."""
    total = Size()
    for path in changes.links.get(directory, ()):
        total += dirent_size(path, strategy is Strategy.FLIP and changes.named_before(path) is not None)
    for path in changes.unlinks.get(directory, ()):
        total += dirent_size(path, False)
    if directory in changes.attributes:
        total += attribute_size(changes.attributes[directory])
    return total
