"""What differs in each directory that exists, and what that takes of a commit set."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

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
class _Size:
    bytes: int = 0
    summary: int = 0

    def __add__(self, other: _Size) -> _Size:
        return _Size(self.bytes + other.bytes, self.summary + other.summary)


def dirent_size(path: bytes, pair: bool) -> _Size:
    nsize = len(name_of(path))
    times = 2 if pair else 1
    return _Size(times * _pad4(DIRENT_BYTES + nsize), times * (DIRENT_SUMMARY_BYTES + nsize))


def attribute_size(change: SetAttr) -> _Size:
    refs = len(change.set_xattrs) + len(change.remove_xids)
    payload = len(change.entry.link or b"")
    return _Size(_pad4(INODE_BYTES + payload) + refs * XREF_BYTES, INODE_SUMMARY_BYTES + refs * XREF_SUMMARY_BYTES)


def directory_size(changes: Changes, directory: bytes, strategy: Strategy) -> _Size:
    """What the changes of one directory that stays cost in the commit set."""
    total = _Size()
    for path in changes.links.get(directory, ()):
        total += dirent_size(path, strategy is Strategy.FLIP and changes.named_before(path) is not None)
    for path in changes.unlinks.get(directory, ()):
        total += dirent_size(path, False)
    if directory in changes.attributes:
        total += attribute_size(changes.attributes[directory])
    return total


def set_size(changes: Changes, strategy: Strategy, rebuilt: set[bytes]) -> _Size:
    total = _Size()
    for directory in changes.touched() - rebuilt:
        total += directory_size(changes, directory, strategy)
    for change in changes.attributes.values():
        if change.entry.type != "dir":
            total += attribute_size(change)
    for directory in rebuilt:
        parent = parent_of(directory)
        if parent not in rebuilt and changes.match.ino[parent] is not None:
            total += dirent_size(directory, strategy is Strategy.FLIP)
    return total
