"""Rebuilding directories: what a swap rebuilds, what goes with it, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jffs2tx.errors import StrategyError
from jffs2tx.manifest import Entry, escape_path
from jffs2tx.plan.changes import INODE_BYTES, Changes, dirent_size
from jffs2tx.plan.model import ROOT, parent_of


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


def unshared(changes: Changes, rebuilt: set[bytes], shares: bool) -> set[bytes]:
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
    """The directories to rebuild so that one dirent commits all. Raises StrategyError where that cannot be.

    changes: no file that stays takes new metadata.
    """
    why = _why_no_swap(changes)
    if why:
        raise StrategyError(f"swap makes all changes by one dirent below the root, but {why}")
    touched = changes.touched()
    top = _common_directory(touched)
    rebuilt = {top}
    for directory in touched:
        rebuilt |= {path for path in (directory, *_ancestors(directory)) if path == top or path.startswith(top + b"/")}
    return unshared(changes, rebuilt, shares)


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
