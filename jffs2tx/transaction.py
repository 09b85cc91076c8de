"""The API by which a program changes a tree step by step and lands all of it at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from jffs2tx.device import Flash
from jffs2tx.errors import Exists, IsADirectory, NotADirectory, NotEmpty, NotFound, Refused
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Entry, Manifest, escape_path
from jffs2tx.plan import Wanted, parent_of
from jffs2tx.readers import Reader, named
from jffs2tx.upgrade import Outcome, apply_upgrade, old_tree


@dataclass(slots=True)
class Transaction:
    """Changes to a tree, gathered in memory; commit() lands them all at once, leaving without it none.

    Paths are relative to the root, str or bytes. The times of what is made are `time`.
    """

    flash: Flash
    fs: FileSystem
    time: int = 0
    readers: tuple[Reader, ...] = field(default_factory=lambda: named(("linux",)))
    strategy: str = "auto"
    _wanted: dict[bytes, Wanted] = field(default_factory=dict)
    _content: dict[str, bytes] = field(default_factory=dict)
    _groups: int = 1 << 30
    outcome: Outcome | None = None

    def __post_init__(self) -> None:
        for path, before in old_tree(self.fs).paths.items():
            self._wanted[path] = Wanted(before.entry, keep=before.ino)

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing has happened without commit(): changes are gathered in memory."""

    # ---- paths ----

    @staticmethod
    def _path(path: str | bytes) -> bytes:
        raw = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
        return b"/".join(part for part in raw.split(b"/") if part not in (b"", b"."))

    def _get(self, path: bytes) -> Wanted:
        try:
            return self._wanted[path]
        except KeyError:
            raise NotFound("no such file", path=escape_path(path)) from None

    def _room_for(self, path: bytes) -> None:
        if path in self._wanted:
            raise Exists("the name is taken", path=escape_path(path))
        self._directory(path)

    def _directory(self, path: bytes) -> None:
        if self._get(parent_of(path)).entry.type != "dir":
            raise NotADirectory("is no directory", path=escape_path(parent_of(path)))

    def _below(self, path: bytes) -> list[bytes]:
        return [other for other in self._wanted if other.startswith(path + b"/")]

    def _new(self, path: bytes, kind: str, mode: int, uid: int, gid: int, **more) -> None:
        entry = Entry(path=path, type=kind, mode=mode, uid=uid, gid=gid, time=self.time, **more)
        self._wanted[path] = Wanted(entry)

    # ---- changes ----

    def put(
        self, path: str | bytes, data: bytes, *, mode: int | None = None, uid: int | None = None, gid: int | None = None
    ) -> None:
        """A regular file with this content. In place of one: its metadata stay where not given; else 0644, 0, 0."""
        where = self._path(path)
        self._directory(where)
        before = self._wanted.get(where)
        if before and before.entry.type != "file":
            raise Exists("is there and no regular file", path=escape_path(where))
        base = before.entry if before else Entry(path=where, type="file", mode=0o644, uid=0, gid=0, time=self.time)
        digest = hashlib.sha256(data).hexdigest()
        self._content[digest] = data
        given = {k: v for k, v in (("mode", mode), ("uid", uid), ("gid", gid)) if v is not None}
        entry = replace(base, size=len(data), sha256=digest, time=self.time, **given)
        for name in self._names_of(where) if before else (where,):
            self._wanted[name] = Wanted(replace(entry, path=name))

    def mkdir(self, path: str | bytes, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        where = self._path(path)
        self._room_for(where)
        self._new(where, "dir", mode, uid, gid)

    def symlink(self, path: str | bytes, target: str | bytes, *, uid: int = 0, gid: int = 0) -> None:
        where = self._path(path)
        self._room_for(where)
        raw = target.encode("utf-8", "surrogateescape") if isinstance(target, str) else target
        self._new(where, "link", 0o777, uid, gid, link=raw)

    def mknod(
        self,
        path: str | bytes,
        kind: str,
        device: tuple[int, int] | None = None,
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        """kind: char, block, fifo or socket."""
        where = self._path(path)
        self._room_for(where)
        self._new(where, kind, mode, uid, gid, device=device)

    def link(self, existing: str | bytes, path: str | bytes) -> None:
        """One more name for what `existing` names (no directory)."""
        source, where = self._path(existing), self._path(path)
        self._room_for(where)
        node = self._get(source)
        if node.entry.type == "dir":
            raise IsADirectory("is a directory", path=escape_path(source))
        if node.entry.inode is None:
            self._groups += 1
            node = replace(node, entry=replace(node.entry, inode=self._groups))
            self._wanted[source] = node
        self._wanted[where] = replace(node, entry=replace(node.entry, path=where))

    def remove(self, path: str | bytes, *, recursive: bool = False) -> None:
        where = self._path(path)
        node = self._get(where)
        if not where:
            raise Refused("the root stays", path=escape_path(where))
        below = self._below(where) if node.entry.type == "dir" else []
        if below and not recursive:
            raise NotEmpty("the directory is not empty", path=escape_path(where))
        for gone in (where, *below):
            del self._wanted[gone]

    def rename(self, path: str | bytes, to: str | bytes) -> None:
        """Moves a name with all below it; what `to` names goes, as in rename(2): a directory only for a directory and
        where it is empty, and of two names of one file both stay.
        """
        source, target = self._path(path), self._path(to)
        node = self._get(source)
        if not source or target.startswith(source + b"/"):
            raise Refused("cannot move below itself", path=escape_path(source))
        self._directory(target)
        if source == target:
            return
        if target in self._wanted:
            if target in self._names_of(source):
                return
            self._check_same_kind(node, self._wanted[target])
            self.remove(target)
        for old in (source, *(self._below(source) if node.entry.type == "dir" else ())):
            moved = self._wanted.pop(old)
            new = target + old[len(source) :]
            self._wanted[new] = replace(moved, entry=replace(moved.entry, path=new))

    def _check_same_kind(self, moved: Wanted, gone: Wanted) -> None:
        """That a directory takes the place of a directory only, and nothing else takes it."""
        if gone.entry.type == "dir" and moved.entry.type != "dir":
            raise IsADirectory("is a directory", path=escape_path(gone.entry.path))
        if gone.entry.type != "dir" and moved.entry.type == "dir":
            raise NotADirectory("is no directory", path=escape_path(gone.entry.path))

    def chmod(self, path: str | bytes, mode: int) -> None:
        self._change(path, mode=mode)

    def chown(self, path: str | bytes, uid: int, gid: int) -> None:
        self._change(path, uid=uid, gid=gid)

    def utime(self, path: str | bytes, time: int) -> None:
        self._change(path, time=time)

    def setxattr(self, path: str | bytes, name: bytes, value: bytes) -> None:
        self._change(path, xattrs={**self._get(self._path(path)).entry.xattrs, name: value})

    def removexattr(self, path: str | bytes, name: bytes) -> None:
        xattrs = self._get(self._path(path)).entry.xattrs
        if name not in xattrs:
            raise NotFound("no such attribute", path=self._path(path))
        self._change(path, xattrs={key: value for key, value in xattrs.items() if key != name})

    def _names_of(self, path: bytes) -> list[bytes]:
        group = self._get(path).entry.inode
        if group is None:
            return [path]
        return [other for other, node in self._wanted.items() if node.entry.inode == group]

    def _change(self, path: str | bytes, **changes) -> None:
        for name in self._names_of(self._path(path)):
            node = self._wanted[name]
            entry = replace(node.entry, **changes)
            self._wanted[name] = replace(node, entry=entry, keep=node.keep if entry.type in ("file", "dir") else None)

    # ---- the end ----

    def commit(self) -> Outcome:
        """Lands everything at once. Raises before the commit: the old tree stays."""
        manifest = Manifest(_with_hashes(self))
        keeps = {path: node.keep for path, node in self._wanted.items()}
        wanted = {entry.path: Wanted(entry, keeps[entry.path]) for entry in manifest}
        self.outcome = apply_upgrade(
            self.flash,
            wanted,
            self._chunks,
            readers=self.readers,
            strategy=self.strategy,
            endian=self.fs.endian,
        )
        return self.outcome

    def _chunks(self, entry: Entry) -> Iterable[bytes]:
        """What was put; of a file that stays but must be written again, what the medium has."""
        keep = self._wanted[entry.path].keep
        if keep is not None:
            return self.fs.chunks_ino(keep)
        return [self._content[entry.sha256]] if entry.size else []


def _with_hashes(tx: Transaction) -> Iterator[Entry]:
    """Entries fit for a Manifest: files that stay are not hashed for it."""
    for node in tx._wanted.values():
        entry = node.entry
        if entry.type == "file" and entry.sha256 is None:
            entry = replace(entry, sha256="0" * 64)
        yield entry
