"""The planner: from the tree on the medium and the tree that is wanted to what must be written, and how it commits.

Pure: it looks at two trees and a few numbers and decides; nothing here reads or writes a medium. docs/DESIGN.md tells
why a change is *staged* (nothing reaches it before the commit) or joins the *commit set* (it must appear at once).
"""

from __future__ import annotations

import stat as stat_bits
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from jffs2tx.errors import Refused, StrategyError, TooBig
from jffs2tx.manifest import Entry, escape_path
from jffs2tx.readers import Reader, Strategy, holds

ROOT = b""
ROOT_INO = 1

TYPE_BITS = {
    "file": stat_bits.S_IFREG,
    "dir": stat_bits.S_IFDIR,
    "link": stat_bits.S_IFLNK,
    "char": stat_bits.S_IFCHR,
    "block": stat_bits.S_IFBLK,
    "fifo": stat_bits.S_IFIFO,
    "socket": stat_bits.S_IFSOCK,
}

DIRENT_BYTES = 40
INODE_BYTES = 68
XREF_BYTES = 28
DIRENT_SUMMARY_BYTES = 24
INODE_SUMMARY_BYTES = 18
XREF_SUMMARY_BYTES = 6

#: A swap writes names anew that do not change: no more of them than a quarter of an eraseblock, or 2 % of the content.
SWAP_SHARE_OF_BLOCK = 4
SWAP_SHARE_OF_CONTENT = 50


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

    @property
    def is_empty(self) -> bool:
        return not (self.links or self.unlinks or self.attributes)

    @property
    def content_bytes(self) -> int:
        return sum(entry.size for entry in self.inodes)


# ---- which inode each wanted path gets -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Matches:
    """By path: the inode on the medium that serves it, or None for one to be made."""

    ino: dict[bytes, int | None]
    groups: dict[bytes, bytes]  # path -> first path of its link group


def _metadata(entry: Entry) -> tuple:
    return (entry.mode, entry.uid, entry.gid, entry.time, entry.xattrs)


def _groups(wanted: dict[bytes, Wanted]) -> dict[bytes, bytes]:
    first: dict[int, bytes] = {}
    result = {}
    for path, node in wanted.items():
        group = node.entry.inode
        result[path] = path if group is None else first.setdefault(group, path)
    return result


def _match(old: OldTree, wanted: dict[bytes, Wanted]) -> _Matches:
    groups = _groups(wanted)
    names: dict[bytes, list[bytes]] = defaultdict(list)
    for path, leader in groups.items():
        names[leader].append(path)
    chosen: dict[bytes, int | None] = {leader: _kept(wanted, paths) for leader, paths in names.items()}
    there = {before.ino for before in old.paths.values()}
    for leader, ino in chosen.items():
        if ino is not None and ino not in there:
            raise Refused("is not there any more: the medium has changed meanwhile", path=escape_path(leader))
    claimed = {ino for ino in chosen.values() if ino is not None}
    for leader, paths in names.items():
        if chosen[leader] is None:
            chosen[leader] = _same_inode(old, wanted, paths, claimed)
            claimed.add(chosen[leader])
    _match_moved(old, wanted, chosen, claimed)
    _match_orphans(old, wanted, chosen)
    return _Matches({path: chosen[leader] for path, leader in groups.items()}, groups)


def _kept(wanted: dict[bytes, Wanted], paths: list[bytes]) -> int | None:
    return next((wanted[path].keep for path in paths if wanted[path].keep is not None), None)


def _same_inode(old: OldTree, wanted: dict[bytes, Wanted], paths: list[bytes], claimed: set[int | None]) -> int | None:
    """The inode on the medium that one of these names has already, if it can stay."""
    for path in paths:
        node = wanted[path]
        before = old.paths.get(path)
        if before is None or before.entry.type != node.entry.type or before.ino in claimed:
            continue
        if node.entry.type == "dir" or _is_same(old, before, node.entry):
            return before.ino
    return None


def _is_same(old: OldTree, before: Old, entry: Entry) -> bool:
    """Files of equal content may stay and take new metadata; the others are made anew for any difference."""
    if entry.type == "file":
        return before.entry.size == entry.size and old.sha256(before.ino) == entry.sha256
    same = before.entry.link == entry.link and before.entry.device == entry.device
    return same and _metadata(before.entry) == _metadata(entry)


def _match_moved(
    old: OldTree, wanted: dict[bytes, Wanted], chosen: dict[bytes, int | None], claimed: set[int | None]
) -> None:
    """A new name for content that the medium has, and that no other name keeps: the inode moves, its data stay."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for before in old.paths.values():
        if before.entry.type == "file" and before.ino not in claimed and before.entry.size:
            by_size[before.entry.size].append(before.ino)
    for leader, ino in chosen.items():
        entry = wanted[leader].entry
        if ino is not None or entry.type != "file" or wanted[leader].entry.sha256 is None:
            continue
        for candidate in by_size.get(entry.size, ()):
            if candidate not in claimed and old.sha256(candidate) == entry.sha256:
                chosen[leader] = candidate
                claimed.add(candidate)
                break


def _match_orphans(old: OldTree, wanted: dict[bytes, Wanted], chosen: dict[bytes, int | None]) -> None:
    """What an earlier run staged before a cut, and that is just what is wanted, need not be staged again."""
    left: dict[tuple, list[int]] = defaultdict(list)
    for orphan in old.orphans:
        left[(orphan.entry.size, _metadata(orphan.entry)[:-1])].append(orphan.ino)
    for leader, ino in chosen.items():
        entry = wanted[leader].entry
        if ino is not None or entry.type != "file" or entry.xattrs:
            continue
        candidates = left.get((entry.size, _metadata(entry)[:-1]), [])
        for candidate in candidates:
            if old.sha256(candidate) == entry.sha256:
                candidates.remove(candidate)
                chosen[leader] = candidate
                break


# ---- the changes of each directory that exists -----------------------------------------------------------------------


@dataclass(slots=True)
class _Changes:
    """What differs, before a strategy is chosen. A directory that stays is known by its inode: it may have moved."""

    old: OldTree
    wanted: dict[bytes, Wanted]
    match: _Matches
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


def _difference(old: OldTree, wanted: dict[bytes, Wanted], match: _Matches) -> _Changes:
    below: dict[bytes, list[bytes]] = defaultdict(list)
    for path in wanted:
        if path:
            below[parent_of(path)].append(path)
    changes = _Changes(old, wanted, match, old.names_by_directory(), {}, {}, _attributes(old, wanted, match), below)
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
    return changes


def _attributes(old: OldTree, wanted: dict[bytes, Wanted], match: _Matches) -> dict[bytes, SetAttr]:
    by_ino = {before.ino: before for before in old.paths.values()}
    result = {}
    for path, node in wanted.items():
        ino = match.ino[path]
        before = by_ino.get(ino)
        if before is None or match.groups[path] != path:  # an inode to be made, or an orphan: just as it is wanted
            continue
        if _metadata(before.entry) == _metadata(node.entry):
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


def _dirent_size(path: bytes, pair: bool) -> _Size:
    nsize = len(name_of(path))
    times = 2 if pair else 1
    return _Size(times * _pad4(DIRENT_BYTES + nsize), times * (DIRENT_SUMMARY_BYTES + nsize))


def _attribute_size(change: SetAttr) -> _Size:
    refs = len(change.set_xattrs) + len(change.remove_xids)
    payload = len(change.entry.link or b"")
    return _Size(_pad4(INODE_BYTES + payload) + refs * XREF_BYTES, INODE_SUMMARY_BYTES + refs * XREF_SUMMARY_BYTES)


def _directory_size(changes: _Changes, directory: bytes, strategy: Strategy) -> _Size:
    """What the changes of one directory that stays cost in the commit set."""
    total = _Size()
    for path in changes.links.get(directory, ()):
        total += _dirent_size(path, strategy is Strategy.FLIP and changes.named_before(path) is not None)
    for path in changes.unlinks.get(directory, ()):
        total += _dirent_size(path, False)
    if directory in changes.attributes:
        total += _attribute_size(changes.attributes[directory])
    return total


def _set_size(changes: _Changes, strategy: Strategy, rebuilt: set[bytes]) -> _Size:
    total = _Size()
    for directory in changes.touched() - rebuilt:
        total += _directory_size(changes, directory, strategy)
    for change in changes.attributes.values():
        if change.entry.type != "dir":
            total += _attribute_size(change)
    for directory in rebuilt:
        parent = parent_of(directory)
        if parent not in rebuilt and changes.match.ino[parent] is not None:
            total += _dirent_size(directory, strategy is Strategy.FLIP)
    return total


# ---- which directories are written anew ------------------------------------------------------------------------------


def _ancestors(path: bytes) -> Iterator[bytes]:
    while path:
        path = parent_of(path)
        yield path


def _common_directory(paths: Iterable[bytes]) -> bytes | None:
    """The deepest directory that holds all of these, or is the only one."""
    common: list[bytes] | None = None
    for path in paths:
        chain = [*reversed(list(_ancestors(path))), path]
        common = chain if common is None else [a for a, b in zip(common, chain, strict=False) if a == b]
    return common[-1] if common else None


def _unshared(changes: _Changes, rebuilt: set[bytes], shares: bool) -> set[bytes]:
    """For readers that share no directory also those that a new, a rebuilt or a dying directory would name as well."""
    if shares:
        return rebuilt
    paths = changes.old.paths
    home = {old.ino: paths[parent_of(path)].ino for path, old in paths.items() if path and old.entry.type == "dir"}
    stay = {path: changes.match.ino[path] for path, node in changes.wanted.items() if node.entry.type == "dir"}
    stay = {path: ino for path, ino in stay.items() if ino is not None and path not in rebuilt}
    while True:
        inos = set(stay.values())
        torn = [p for p, ino in stay.items() if p and (parent_of(p) not in stay or home[ino] not in inos)]
        if not torn:
            return rebuilt
        rebuilt = rebuilt.union(torn)
        for path in torn:
            del stay[path]


def _swap_set(changes: _Changes, shares: bool) -> set[bytes] | None:
    """The directories to rebuild so that one dirent commits all; None where that cannot be."""
    touched = changes.touched()
    if any(change.entry.type != "dir" for change in changes.attributes.values()) or not touched:
        return None
    top = _common_directory(touched)
    if not top:
        return None
    rebuilt = {top}
    for directory in touched:
        rebuilt |= {path for path in (directory, *_ancestors(directory)) if path == top or path.startswith(top + b"/")}
    return _unshared(changes, rebuilt, shares)


def _rebuild_bytes(changes: _Changes, rebuilt: set[bytes]) -> int:
    """Names and links written again although they do not change."""
    total = 0
    for directory in rebuilt:
        for path in changes.below.get(directory, ()):
            if changes.match.ino[path] is not None and path not in rebuilt:
                total += _dirent_size(path, False).bytes
            if changes.wanted[path].entry.type == "link":
                total += INODE_BYTES + len(changes.wanted[path].entry.link or b"")
    return total


@dataclass(slots=True)
class _Move:
    """Rebuilding one directory with every changed one below it: what the commit set loses by it, what staging pays."""

    top: bytes
    gain: int = 0
    directories: set[bytes] = field(default_factory=set)


def _moves(changes: _Changes, strategy: Strategy, rebuilt: set[bytes]) -> list[_Move]:
    moves: dict[bytes, _Move] = {}
    for directory in changes.touched() - rebuilt:
        cost = _directory_size(changes, directory, strategy).bytes
        chain: list[bytes] = []
        for top in (directory, *_ancestors(directory)):
            if not top or changes.match.ino[top] is None:
                break  # the root cannot move; a new directory is no part of the commit set
            chain.append(top)
            move = moves.setdefault(top, _Move(top, -_dirent_size(top, strategy is Strategy.FLIP).bytes))
            move.gain += cost
            move.directories.update(chain)
    return [move for move in moves.values() if move.gain > 0]


def _fit(changes: _Changes, strategy: Strategy, medium: Medium, shares: bool) -> set[bytes]:
    """The directories to rebuild so that the commit set fits its block: the cheapest that suffice. Raises TooBig."""
    rebuilt = _unshared(changes, set(), shares)
    before = None
    while True:
        size = _set_size(changes, strategy, rebuilt)
        limit = medium.limit(strategy.value, size.summary)
        if size.bytes <= limit:
            return rebuilt
        moves = _moves(changes, strategy, rebuilt)
        if not moves or (before is not None and size.bytes >= before):
            raise TooBig(
                f"the commit set needs {size.bytes} bytes, and one block of this medium takes {max(limit, 0)} by "
                f"{strategy.value}: change fewer names, or files whose metadata only differ, right below the root"
            )
        before = size.bytes
        enough = [move for move in moves if move.gain >= size.bytes - limit]
        if enough:
            best = min(enough, key=lambda move: (_rebuild_bytes(changes, move.directories), move.top))
        else:
            best = max(moves, key=lambda move: (move.gain, move.top))
        rebuilt = _unshared(changes, rebuilt | best.directories, shares)


#: Shares of the commit block that the metadata of files that stay may take, tried in turn.
METADATA_SHARES = (0.7, 0.5, 0.25, 0.0)


def _renewed(changes: _Changes, allowed: int) -> _Changes:
    """So many of the files that only take new metadata are made anew, directories with the smallest first, that the
    others' metadata take no more than `allowed` bytes of the commit set."""
    by_directory: dict[bytes, list[bytes]] = defaultdict(list)
    left = 0
    for path, change in changes.attributes.items():
        if change.entry.type == "dir":
            continue
        left += _attribute_size(change).bytes
        if parent_of(path):
            by_directory[parent_of(path)].append(path)
    sizes = {d: sum(changes.wanted[p].entry.size for p in paths) / len(paths) for d, paths in by_directory.items()}
    anew: set[bytes] = set()
    for directory in sorted(by_directory, key=lambda d: (sizes[d], d)):
        if left <= allowed:
            break
        anew.update(by_directory[directory])
        left -= sum(_attribute_size(changes.attributes[path]).bytes for path in by_directory[directory])
    groups = changes.match.groups
    inos = {path: None if groups[path] in anew else ino for path, ino in changes.match.ino.items()}
    return _difference(changes.old, changes.wanted, _Matches(inos, groups))


def _fit_anyhow(changes: _Changes, strategy: Strategy, medium: Medium, shares: bool) -> tuple[_Changes, set[bytes]]:
    """As _fit; where new metadata of files that stay fill the block, some of these files are written anew."""
    try:
        return changes, _fit(changes, strategy, medium, shares)
    except TooBig as error:
        too_big = error
    for share in METADATA_SHARES:
        fewer = _renewed(changes, int(medium.limit(strategy.value, 0) * share))
        with suppress(TooBig):
            return fewer, _fit(fewer, strategy, medium, shares)
    raise too_big


# ---- choosing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Choice:
    strategy: Strategy
    rebuilt: set[bytes]
    reason: str
    changes: _Changes


def _try(strategy: Strategy, changes: _Changes, medium: Medium, readers: tuple[Reader, ...]) -> _Choice:
    """How this strategy would do it. Raises StrategyError, TooBig with the reason why it cannot."""
    kept, why = holds(strategy, readers)
    if not kept:
        raise StrategyError(f"{strategy.value} does not keep the promise: {why}")
    if not medium.suits(strategy.value):
        raise StrategyError(f"{strategy.value} does not suit this {medium.kind} flash")
    shares = all(reader.shares_directories for reader in readers)
    if strategy is Strategy.SEAL and any(
        change.set_xattrs or change.remove_xids for change in changes.attributes.values()
    ):
        for reader in readers:
            if not reader.xattr_in_summary:
                raise StrategyError(f"seal would list attributes in a summary, where {reader.name} gives up")
    if strategy is not Strategy.SWAP:
        fitting, rebuilt = _fit_anyhow(changes, strategy, medium, shares)
        reason = f"the commit set fits one {'page' if strategy is Strategy.LIFT else 'block'}"
        anew = sum(1 for path, ino in changes.match.ino.items() if ino is not None and fitting.match.ino[path] is None)
        if anew:
            reason += f" if {anew} files whose metadata only differ are written anew"
        return _Choice(strategy, rebuilt, reason, fitting)
    swap = _swap_set(changes, shares)
    if swap is None:
        raise StrategyError(
            "swap needs every change below one directory that is not the root, and no file that stays "
            "but takes new metadata"
        )
    top = min(swap, key=len)
    reason = f"all changes lie below {escape_path(top).decode()}: one dirent moves it"
    return _Choice(strategy, swap, reason, changes)


def _is_sane_swap(changes: _Changes, choice: _Choice, medium: Medium) -> bool:
    content = sum(n.entry.size for p, n in changes.wanted.items() if changes.match.ino[p] is None)
    allowed = max(medium.erase_size // SWAP_SHARE_OF_BLOCK, content // SWAP_SHARE_OF_CONTENT)
    return _rebuild_bytes(changes, choice.rebuilt) <= allowed


def _choose(changes: _Changes, medium: Medium, readers: tuple[Reader, ...], strategy: str) -> _Choice:
    if strategy != "auto":
        return _try(Strategy(strategy), changes, medium, readers)
    reasons = []
    fallback = None
    for candidate in (Strategy.SWAP, Strategy.FLIP, Strategy.SEAL, Strategy.LIFT):
        try:
            choice = _try(candidate, changes, medium, readers)
        except (StrategyError, TooBig) as error:
            reasons.append(str(error))
            continue
        if candidate is not Strategy.SWAP or _is_sane_swap(changes, choice, medium):
            return choice
        fallback = choice
    if fallback:
        return fallback
    raise StrategyError("no strategy holds here: " + "; ".join(reasons))


# ---- putting it together ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Builder:
    changes: _Changes
    choice: _Choice
    plan: Plan
    refs: dict[bytes, Ref] = field(default_factory=dict)

    def build(self) -> Plan:
        for path in self.changes.wanted:
            self.refs[path] = self._ref(path)
        for path in self.changes.wanted:
            if path and self._must_link(path):
                self._link(path)
        self._unlinks()
        self._attributes()
        plan = self.plan
        plan.rebuilt = tuple(sorted(self.choice.rebuilt))
        orphans = {orphan.ino for orphan in self.changes.old.orphans}
        plan.adopted = tuple(sorted(orphans.intersection(ref for ref in self.refs.values() if isinstance(ref, int))))
        plan.unchanged = sum(isinstance(ref, int) and ref not in orphans for ref in self.refs.values())
        plan.removed = tuple(sorted(path for path in self.changes.old.paths if path not in self.changes.wanted))
        return plan

    def _is_anew(self, path: bytes) -> bool:
        """An inode on the medium could serve, but its name moves with a rebuilt directory."""
        if path in self.choice.rebuilt:
            return True
        single = self.changes.wanted[path].entry.inode is None
        link = self.changes.wanted[path].entry.type == "link"
        return link and single and parent_of(path) in self.choice.rebuilt and path != ROOT

    def _ref(self, path: bytes) -> Ref:
        leader = self.changes.match.groups[path]
        if leader != path:
            return self.refs[leader]
        ino = self.changes.match.ino[path]
        if ino is not None and not self._is_anew(path):
            return ino
        self.plan.inodes.append(self.changes.wanted[path].entry)
        return New(len(self.plan.inodes) - 1)

    def _must_link(self, path: bytes) -> bool:
        if isinstance(self.refs[parent_of(path)], New):
            return True
        return self.changes.named_before(path) != self.refs[path]

    def _link(self, path: bytes) -> None:
        parent = parent_of(path)
        entry = self.changes.wanted[path].entry
        mtime = self.changes.wanted[parent].entry.time
        self.plan.links.append(Link(self.refs[parent], path, self.refs[path], entry.type, mtime))

    def _unlinks(self) -> None:
        for directory, paths in sorted(self.changes.unlinks.items()):
            ref = self.refs[directory]
            if paths and isinstance(ref, int):
                mtime = self.changes.wanted[directory].entry.time
                self.plan.unlinks += (Unlink(ref, path, mtime) for path in paths)

    def _attributes(self) -> None:
        """Last of all: a directory's own node must be newer than its names' times."""
        for path, change in sorted(self.changes.attributes.items()):
            if self.refs[path] == change.ino:
                self.plan.attributes.append(change)


def _check_xattrs(wanted: dict[bytes, Wanted], medium: Medium, readers: tuple[Reader, ...]) -> None:
    """A kernel without xattr support refuses a medium that holds one: the first needs readers all known to cope."""
    if medium.has_xattrs or not any(node.entry.xattrs for node in wanted.values()):
        return
    if not all(reader.xattr for reader in readers):
        path = next(path for path, node in wanted.items() if node.entry.xattrs)
        raise Refused(
            "has an extended attribute and the medium holds none: a kernel without CONFIG_JFFS2_FS_XATTR would not "
            "mount it any more (name readers that have it, such as --reader linux+xattr)",
            path=escape_path(path),
        )


def _warnings(wanted: dict[bytes, Wanted], readers: tuple[Reader, ...]) -> tuple[str, ...]:
    found = []
    for reader in readers:
        long = [path for path in wanted if len(name_of(path)) > reader.name_max_bytes]
        if long:
            shown = escape_path(long[0]).decode()
            found.append(f"{reader.name} reads no names over {reader.name_max_bytes} bytes: {shown}")
    return tuple(found)


def make_plan(
    old: OldTree, wanted: dict[bytes, Wanted], medium: Medium, readers: tuple[Reader, ...], strategy: str = "auto"
) -> Plan:
    """What turns `old` into `wanted` (both by path, parents before children) as one transaction.

    Raises StrategyError where no strategy keeps the promise, TooBig, Refused.
    """
    _check_xattrs(wanted, medium, readers)
    changes = _difference(old, wanted, _match(old, wanted))
    if not changes.touched() and not changes.attributes:
        return Plan(Strategy.SWAP, "nothing changes", unchanged=len(wanted))
    choice = _choose(changes, medium, readers, strategy)
    plan = Plan(choice.strategy, choice.reason, warnings=_warnings(wanted, readers))
    return _Builder(choice.changes, choice, plan).build()
