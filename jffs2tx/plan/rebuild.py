"""Which directories are written anew, so that the rest of the changes fits a commit set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from jffs2tx.errors import StrategyError, TooBig
from jffs2tx.manifest import Entry, escape_path
from jffs2tx.plan.changes import INODE_BYTES, Changes, attribute_size, difference, directory_size, dirent_size, set_size
from jffs2tx.plan.model import ROOT, Medium, parent_of
from jffs2tx.readers import Strategy


def _ancestors(path: bytes) -> Iterator[bytes]:
    while path:
        path = parent_of(path)
        yield path


def _shown(path: bytes) -> str:
    return escape_path(path).decode()


def _common_directory(paths: Iterable[bytes]) -> bytes:
    """The deepest directory that holds all of these, or is the only one."""
    chains = [[*reversed(list(_ancestors(path))), path] for path in paths]
    return [level[0] for level in zip(*chains, strict=False) if len(set(level)) == 1][-1]


def _unshared(changes: Changes, rebuilt: set[bytes], shares: bool) -> set[bytes]:
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


def _why_no_swap(changes: Changes) -> str | None:
    """What a single dirent below the root cannot do, in a sentence; None where it can."""
    metadata = next((path for path, change in changes.attributes.items() if change.entry.type != "dir"), None)
    if metadata is not None:
        return f"the metadata of {_shown(metadata)} change and its content stays"
    if ROOT in changes.attributes:
        return "the metadata of the root directory change" + _of_absent_root(changes.old.paths[ROOT].entry)
    names = [*changes.links.get(ROOT, ()), *changes.unlinks.get(ROOT, ())]
    if names:
        return f"the name {_shown(min(names))} in the root directory changes"
    homes = sorted({path.split(b"/")[0] for path in changes.touched()})
    return f"changes are below {_shown(homes[0])} and below {_shown(homes[1])}" if len(homes) > 1 else None


def _of_absent_root(root: Entry) -> str:
    """mkfs.jffs2 writes no inode node for the root, and readers show defaults (jffs2_do_read_inode_internal)."""
    if (root.mode, root.uid, root.gid, root.time) != (0o755, 0, 0, 0):
        return ""
    return (
        ": it has mode=0755 uid=0 gid=0 time=0, as on every image by mkfs.jffs2, which writes no node for the root "
        "(give it these values in the manifest, or let another strategy land this upgrade and write the node)"
    )


def swap_set(changes: Changes, shares: bool) -> set[bytes]:
    """The directories to rebuild so that one dirent commits all. Raises StrategyError where that cannot be."""
    why = _why_no_swap(changes)
    if why:
        raise StrategyError(f"swap makes all changes by one dirent below the root, but {why}")
    touched = changes.touched()
    top = _common_directory(touched)
    rebuilt = {top}
    for directory in touched:
        rebuilt |= {path for path in (directory, *_ancestors(directory)) if path == top or path.startswith(top + b"/")}
    return _unshared(changes, rebuilt, shares)


def rebuild_bytes(changes: Changes, rebuilt: set[bytes]) -> int:
    """Names and links written again although they do not change."""
    total = 0
    for directory in rebuilt:
        for path in changes.below.get(directory, ()):
            if changes.match.ino[path] is not None and path not in rebuilt:
                total += dirent_size(path, False).bytes
            if changes.wanted[path].entry.type == "link":
                total += INODE_BYTES + len(changes.wanted[path].entry.link or b"")
    return total


@dataclass(slots=True)
class _Move:
    """Rebuilding one directory with every changed one below it: what the commit set loses by it, what staging pays."""

    top: bytes
    gain: int = 0
    directories: set[bytes] = field(default_factory=set)


def _moves(changes: Changes, strategy: Strategy, rebuilt: set[bytes]) -> list[_Move]:
    moves: dict[bytes, _Move] = {}
    for directory in changes.touched() - rebuilt:
        cost = directory_size(changes, directory, strategy).bytes
        chain: list[bytes] = []
        for top in (directory, *_ancestors(directory)):
            if not top or changes.match.ino[top] is None:
                break  # the root cannot move; a new directory is no part of the commit set
            chain.append(top)
            move = moves.setdefault(top, _Move(top, -dirent_size(top, strategy is Strategy.FLIP).bytes))
            move.gain += cost
            move.directories.update(chain)
    return [move for move in moves.values() if move.gain > 0]


def _fit(changes: Changes, strategy: Strategy, medium: Medium, shares: bool) -> set[bytes]:
    """The directories to rebuild so that the commit set fits its block: the cheapest that suffice. Raises TooBig."""
    rebuilt = _unshared(changes, set(), shares)
    before = None
    while True:
        size = set_size(changes, strategy, rebuilt)
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
            best = min(enough, key=lambda move: (rebuild_bytes(changes, move.directories), move.top))
        else:
            best = max(moves, key=lambda move: (move.gain, move.top))
        rebuilt = _unshared(changes, rebuilt | best.directories, shares)


#: Shares of the commit block that the metadata of files that stay may take, tried in turn.
METADATA_SHARES = (0.7, 0.5, 0.25, 0.0)


def _renewed(changes: Changes, allowed: int) -> Changes:
    """So many of the files that only take new metadata are made anew, directories with the smallest first, that the
    others' metadata take no more than `allowed` bytes of the commit set."""
    by_directory: dict[bytes, list[bytes]] = defaultdict(list)
    left = 0
    for path, change in changes.attributes.items():
        if change.entry.type == "dir":
            continue
        left += attribute_size(change).bytes
        if parent_of(path):
            by_directory[parent_of(path)].append(path)
    sizes = {d: sum(changes.wanted[p].entry.size for p in paths) / len(paths) for d, paths in by_directory.items()}
    anew: set[bytes] = set()
    for directory in sorted(by_directory, key=lambda d: (sizes[d], d)):
        if left <= allowed:
            break
        anew.update(by_directory[directory])
        left -= sum(attribute_size(changes.attributes[path]).bytes for path in by_directory[directory])
    groups = changes.match.groups
    inos = {path: None if groups[path] in anew else ino for path, ino in changes.match.ino.items()}
    return difference(changes.old, changes.wanted, replace(changes.match, ino=inos))


def fit_anyhow(changes: Changes, strategy: Strategy, medium: Medium, shares: bool) -> tuple[Changes, set[bytes]]:
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
