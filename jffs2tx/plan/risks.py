"""What an upgrade would do that is more often a mistake than meant: such plans want a yes."""

from __future__ import annotations

from jffs2tx.plan.model import Old, OldTree, Wanted

#: More than one path in so many is removed, and at least so many paths: in a small tree one file is a fifth.
REMOVED_PART = 5
REMOVED_PATHS_MIN = 20

_DEVICES = ("char", "block")


def risks(old: OldTree, wanted: dict[bytes, Wanted], kept: set[int | None]) -> tuple[str, ...]:
    """Sentences. kept: inodes of the medium that stay, under whatever name."""
    unprivileged = _new_owner(old, wanted), _lost_devices(old, wanted)
    found = []
    if any(unprivileged):
        what = ", ".join(filter(None, unprivileged))
        found.append(f"{what}: the source looks as if it was unpacked or extracted without root")
    removed = sum(path not in wanted and before.ino not in kept for path, before in old.paths.items())
    if removed >= REMOVED_PATHS_MIN and removed * REMOVED_PART > len(old.paths):
        found.append(f"{removed:,} of {len(old.paths):,} paths are removed")
    return tuple(found)


def _new_owner(old: OldTree, wanted: dict[bytes, Wanted]) -> str | None:
    """The whole tree belongs to one ordinary user, to whom most of it did not belong before."""
    owners = {node.entry.uid for node in wanted.values()}
    if len(owners) != 1 or 0 in owners:
        return None
    [uid] = owners
    stay = [before for path, before in old.paths.items() if path in wanted and not before.broken]
    changed = sum(before.entry.uid != uid for before in stay)
    if 2 * changed <= len(stay):
        return None
    return f"{'all ' if changed == len(stay) else ''}{changed:,} {_paths(changed)} uid {uid}"


def _paths(count: int) -> str:
    return "path becomes" if count == 1 else "paths become"


def _lost_devices(old: OldTree, wanted: dict[bytes, Wanted]) -> str | None:
    """Every device node goes."""
    nodes = [path for path, before in old.paths.items() if _is_device(before)]
    if not nodes or any(path in wanted and wanted[path].entry.type in _DEVICES for path in nodes):
        return None
    return f"{len(nodes):,} device {'node goes' if len(nodes) == 1 else 'nodes go'}"


def _is_device(before: Old) -> bool:
    return not before.broken and before.entry.type in _DEVICES
