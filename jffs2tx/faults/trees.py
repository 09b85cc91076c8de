"""Trees that compare: the whole of what a reader finds on a medium, and how two of them differ, path by path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

from jffs2tx.device import Flash
from jffs2tx.errors import printable
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Entry
from jffs2tx.plan import OldTree, parent_of
from jffs2tx.upgrade import old_tree

#: A tree by paths, as facts() gives it.
Facts = dict[bytes, Entry]


def facts(paths: Facts, sha256: Callable[[bytes, Entry], str]) -> Facts:
    """Entries that compare equal exactly where the trees do: files hashed, link groups named by their first path."""
    first: dict[int, bytes] = {}
    names: dict[int, int] = {}
    for entry in paths.values():
        if entry.inode is not None:
            names[entry.inode] = names.get(entry.inode, 0) + 1
    result = {}
    for path, entry in sorted(paths.items()):
        group = entry.inode if names.get(entry.inode, 0) > 1 else None
        group = None if group is None else first.setdefault(group, path)
        result[path] = replace(entry, inode=group, sha256=sha256(path, entry) if entry.type == "file" else None)
    return result


def facts_on(flash: Flash, **reader) -> Facts:
    """The tree on a medium; `reader`: who looks, as for FileSystem. A reader that follows links gets what they lead to
    as a part of their target. Raises FormatError, Corrupt.
    """
    with FileSystem(flash, **reader) as fs:
        tree = old_tree(fs)
        entries = {path: old.entry for path, old in tree.paths.items()}
        if (reader.get("abilities") or {}).get("links"):
            entries |= {path: _followed(fs, tree, path) for path, entry in entries.items() if entry.type == "link"}
        return facts(entries, lambda path, _: tree.sha256(tree.paths[path].ino))


def _followed(fs: FileSystem, tree: OldTree, path: bytes) -> Entry:
    old = tree.paths[path]
    found = fs.follow_ino(tree.paths[parent_of(path)].ino, old.ino)
    kind = "nothing" if found is None else fs.stat_ino(found).type
    there = f"the file {tree.sha256(found)[:12]}" if kind == "file" else kind
    return replace(old.entry, link=old.entry.link + f" (leads to {there})".encode())


def digest(flash: Flash, **reader) -> bytes:
    """128 bits over the same."""
    with FileSystem(flash, **reader) as fs:
        return fs.digest()


def differences(seen: Facts, wanted: Facts) -> list[str]:
    """A sentence for each path in which `seen` is not `wanted`, sorted by path."""
    return [
        f"{_shown(path)} {_difference(seen.get(path), wanted.get(path))}"
        for path in sorted(seen.keys() | wanted.keys())
        if seen.get(path) != wanted.get(path)
    ]


def _difference(seen: Entry | None, wanted: Entry | None) -> str:
    if seen is None:
        return "is missing"
    if wanted is None:
        return f"should not be there ({seen.type})"
    if seen.type != wanted.type:
        return f"is a {seen.type}, not a {wanted.type}"
    return "has " + ", ".join(
        f"{field.name} {_value(field.name, theirs)} instead of {_value(field.name, ours)}"
        for field in fields(Entry)
        if (theirs := getattr(seen, field.name)) != (ours := getattr(wanted, field.name))
    )


def _value(name: str, value: object) -> str:
    if name == "mode":
        return f"{value:04o}"
    if name == "sha256":
        return str(value)[:12]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{printable(key)}={printable(part)}" for key, part in sorted(value.items())) + "}"
    return printable(value) if isinstance(value, bytes) else "none" if value is None else str(value)


def _shown(path: bytes) -> str:
    return "/" + printable(path)
