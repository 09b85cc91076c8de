"""What the planner is given, two trees and what the medium takes, and what it gives: a plan."""

from __future__ import annotations

import stat as stat_bits
from collections.abc import Callable
from dataclasses import dataclass, field

from jffs2tx.manifest import Entry
from jffs2tx.readers import Strategy

ROOT = b""

TYPE_BITS = {
    "file": stat_bits.S_IFREG,
    "dir": stat_bits.S_IFDIR,
    "link": stat_bits.S_IFLNK,
    "char": stat_bits.S_IFCHR,
    "block": stat_bits.S_IFBLK,
    "fifo": stat_bits.S_IFIFO,
    "socket": stat_bits.S_IFSOCK,
}


def parent_of(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def name_of(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


# ---- what the planner is given ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Old:
    """A path of the tree on the medium. `entry` has no sha256: content is compared through OldTree.same_content."""

    ino: int
    entry: Entry
    xids: dict[bytes, tuple[int, ...]] = field(default_factory=dict)  # of its attributes, superseded ones too
    broken: bool = False  # cannot be read: of its entry only the path counts, and it serves no wanted path
    node_time: int | None = None  # of a directory: what its own node says; None: the same as its entry


@dataclass(frozen=True, slots=True)
class OldTree:
    """The tree on the medium. `sha256(ino)` hashes a file's content when it is asked for.

    orphans: files that a cut left staged; nothing names them (their entries have no path).
    """

    paths: dict[bytes, Old]
    sha256: Callable[[int], str]
    orphans: tuple[Old, ...] = ()

    def names_by_directory(self) -> dict[int, dict[bytes, int]]:
        """The names of each directory, by its inode: name -> inode."""
        names: dict[int, dict[bytes, int]] = {old.ino: {} for old in self.paths.values() if old.entry.type == "dir"}
        for path, old in self.paths.items():
            if path:
                names[self.paths[parent_of(path)].ino][name_of(path)] = old.ino
        return names


@dataclass(frozen=True, slots=True)
class Wanted:
    """A path of the tree that is wanted. `keep` names an inode whose content it has for certain."""

    entry: Entry
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Medium:
    """What of the flash the planner must know. `limit(strategy, summary_bytes)` is what a commit block holds."""

    kind: str
    erase_size: int
    suits: Callable[[str], bool]
    limit: Callable[[str, int], int]
    has_xattrs: bool = False


# ---- what it gives ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class New:
    """An inode to be made; names refer to it by its index in Plan.inodes."""

    index: int


Ref = int | New  # an inode that exists, by number, or a new one


@dataclass(frozen=True, slots=True)
class Link:
    parent: Ref
    path: bytes
    target: Ref
    type: str
    mtime: int  # the directory's


@dataclass(frozen=True, slots=True)
class Unlink:
    parent: int
    path: bytes
    mtime: int


@dataclass(frozen=True, slots=True)
class SetAttr:
    """New metadata of an inode that exists; xattrs to set, and xids to take away."""

    ino: int
    entry: Entry
    set_xattrs: dict[bytes, bytes]
    remove_xids: tuple[int, ...]


@dataclass(slots=True)
class Plan:
    """What an upgrade does, in the order in which it does it."""

    strategy: Strategy
    reason: str
    inodes: list[Entry] = field(default_factory=list)  # to be staged; their content comes from the source
    links: list[Link] = field(default_factory=list)
    unlinks: list[Unlink] = field(default_factory=list)
    attributes: list[SetAttr] = field(default_factory=list)
    adopted: tuple[int, ...] = ()  # inodes that an earlier, cut run staged
    rebuilt: tuple[bytes, ...] = ()  # directories written anew so that one dirent moves them
    unchanged: int = 0
    removed: tuple[bytes, ...] = ()
    warnings: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()  # why it wants a yes: see jffs2tx.plan.risks

    @property
    def is_empty(self) -> bool:
        return not (self.links or self.unlinks or self.attributes)

    @property
    def content_bytes(self) -> int:
        return sum(entry.size for entry in self.inodes)
