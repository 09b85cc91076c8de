"""The plan itself, from the changes and the strategy chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

from jffs2tx.errors import Refused
from jffs2tx.manifest import escape_path
from jffs2tx.plan.changes import Changes, difference
from jffs2tx.plan.choose import Choice, choose
from jffs2tx.plan.match import match
from jffs2tx.plan.model import Link, Medium, New, OldTree, Plan, Ref, Unlink, Wanted, name_of, parent_of
from jffs2tx.plan.risks import risks
from jffs2tx.readers import Lookup, Reader, Strategy


@dataclass(slots=True)
class _Builder:
    changes: Changes
    choice: Choice
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
        if self.changes.wanted[path].entry.type == "link":
            return all(parent_of(name) in self.choice.rebuilt for name in self.changes.match.names[path])
        return path in self.choice.rebuilt

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
        torn = _torn_link(wanted) if reader.lookup is Lookup.U_BOOT else None
        if torn:
            found.append(
                f"{reader.name} may resolve {escape_path(torn).decode()} from another directory: this symbolic link is "
                "hard-linked into several (make it one link for each name)"
            )
    return tuple(found)


def _torn_link(wanted: dict[bytes, Wanted]) -> bytes | None:
    """The first symbolic link with a relative target and names in several directories."""
    homes: dict[int, bytes] = {}
    for path, node in wanted.items():
        entry = node.entry
        if entry.type != "link" or entry.inode is None or entry.link.startswith(b"/"):
            continue
        if homes.setdefault(entry.inode, parent_of(path)) != parent_of(path):
            return path
    return None


def make_plan(
    old: OldTree, wanted: dict[bytes, Wanted], medium: Medium, readers: tuple[Reader, ...], strategy: str = "auto"
) -> Plan:
    """What turns `old` into `wanted` (both by path, parents before children) as one transaction.

    Raises StrategyError where no strategy keeps the promise, TooBig, Refused.
    """
    _check_xattrs(wanted, medium, readers)
    matches = match(old, wanted)
    changes = difference(old, wanted, matches)
    if not changes.touched() and not changes.attributes:
        return Plan(Strategy.SWAP, "nothing changes", unchanged=len(wanted))
    choice = choose(changes, medium, readers, strategy)
    plan = Plan(choice.strategy, choice.reason, warnings=_warnings(wanted, readers))
    plan.risks = risks(old, wanted, set(matches.ino.values()))
    return _Builder(choice.changes, choice, plan).build()
