"""Which inode of the medium each wanted path keeps, if any."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from jffs2tx.errors import Refused
from jffs2tx.manifest import Entry, escape_path
from jffs2tx.plan.model import Old, OldTree, Wanted, name_of, parent_of


@dataclass(slots=True)
class Matches:
    """By path: the inode on the medium that serves it, or None for one to be made."""

    ino: dict[bytes, int | None]
    groups: dict[bytes, bytes]  # path -> first path of its link group
    names: dict[bytes, list[bytes]]  # first path of a link group -> all its paths


def metadata(entry: Entry) -> tuple:
    return (entry.mode, entry.uid, entry.gid, entry.time, entry.xattrs)


def _groups(wanted: dict[bytes, Wanted]) -> dict[bytes, bytes]:
    first: dict[int, bytes] = {}
    result = {}
    for path, node in wanted.items():
        group = node.entry.inode
        result[path] = path if group is None else first.setdefault(group, path)
    return result


def match(old: OldTree, wanted: dict[bytes, Wanted]) -> Matches:
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
    _renew_links(old, wanted, chosen, names)
    return Matches({path: chosen[leader] for path, leader in groups.items()}, groups, names)


def _kept(wanted: dict[bytes, Wanted], paths: list[bytes]) -> int | None:
    return next((wanted[path].keep for path in paths if wanted[path].keep is not None), None)


def _same_inode(old: OldTree, wanted: dict[bytes, Wanted], paths: list[bytes], claimed: set[int | None]) -> int | None:
    """The inode on the medium that one of these names has already, if it can stay."""
    for path in paths:
        node = wanted[path]
        before = old.paths.get(path)
        if before is None or before.broken or before.entry.type != node.entry.type or before.ino in claimed:
            continue
        if node.entry.type == "dir" or _is_same(old, before, node.entry):
            return before.ino
    return None


def _is_same(old: OldTree, before: Old, entry: Entry) -> bool:
    """Files of equal content may stay and take new metadata; the others are made again for any difference."""
    if entry.type == "file":
        return before.entry.size == entry.size and old.sha256(before.ino) == entry.sha256
    same = before.entry.link == entry.link and before.entry.device == entry.device
    return same and metadata(before.entry) == metadata(entry)


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
        left[(orphan.entry.size, metadata(orphan.entry)[:-1])].append(orphan.ino)
    for leader, ino in chosen.items():
        entry = wanted[leader].entry
        if ino is not None or entry.type != "file" or entry.xattrs:
            continue
        candidates = left.get((entry.size, metadata(entry)[:-1]), [])
        for candidate in candidates:
            if old.sha256(candidate) == entry.sha256:
                candidates.remove(candidate)
                chosen[leader] = candidate
                break


def _renew_links(
    old: OldTree, wanted: dict[bytes, Wanted], chosen: dict[bytes, int | None], names: dict[bytes, list[bytes]]
) -> None:
    """A symbolic link keeps its inode only if it keeps exactly its names; a directory may move with its links.

    U-Boot resolves a link from the dirent of its inode with the highest version, wherever that is located, even in a
    dead or unreached directory (jffs2_1pass_resolve_inode). So no inode of a link gets a dirent after its first ones.
    """
    places: dict[int, set[tuple[int | None, bytes]]] = defaultdict(set)
    for path, before in old.paths.items():
        if before.entry.type == "link":
            places[before.ino].add((old.paths[parent_of(path)].ino, name_of(path)))
    for leader, paths in names.items():
        ino = chosen[leader]
        if ino is None or wanted[leader].entry.type != "link":
            continue
        if places[ino] != {(chosen[parent_of(path)], name_of(path)) for path in paths}:
            chosen[leader] = None
