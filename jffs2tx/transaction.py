"""Carrying out a plan: staging, commit and settling through the C core; and the API by which a program changes a tree."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.errors import Exists, IsADirectory, NoSpace, NotADirectory, NotEmpty, NotFound, Refused, TooBig
from jffs2tx.filesystem import STATES, STRATEGIES, FileSystem, make_reader
from jffs2tx.manifest import Entry, Manifest, escape_path
from jffs2tx.plan import (
    TYPE_BITS,
    Link,
    Medium,
    New,
    Old,
    OldTree,
    Plan,
    SetAttr,
    Unlink,
    Wanted,
    make_plan,
    name_of,
    parent_of,
)
from jffs2tx.readers import Reader, compressors, named
from jffs2tx.xattr import xattr_to_medium

Progress = Callable[[str, int, int], None] | None
#: Content of a file of the plan, in chunks. Raises SourceError where it is not what the entry says.
Content = Callable[[Entry], Iterable[bytes]]

_COMPRESSION_BITS = {"none": 1, "zero": 2, "rtime": 4, "zlib": 64, "lzo": 128}
_COMPRESSION_BY_NUMBER = {0: "none", 1: "zero", 2: "rtime", 6: "zlib", 7: "lzo"}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a transaction takes of the medium. Sizes are bytes."""

    staged_bytes: int
    data_bytes: int
    staged_blocks: int
    commit_bytes: int
    commit_nodes: int
    commit_limit: int
    blocks_needed: int
    blocks_available: int
    reserve: int

    @property
    def missing_blocks(self) -> int:
        return max(0, self.blocks_needed + self.reserve - self.blocks_available)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What recover found and did."""

    state_before: str
    blocks_erased: int
    nodes_moved: int
    bits_cleared: int

    @property
    def did_nothing(self) -> bool:
        return not (self.blocks_erased or self.nodes_moved or self.bits_cleared)


def recover(flash: Flash, *, endian: str | None = None) -> Recovery:
    """Finishes a committed transaction or clears a staged one. Idempotent; may be cut at any point and run again."""
    out = ffi.new("struct jx_recovery *")
    check(lib.jx_recover(flash.handle, make_reader(endian, True, 256), out), doing="recovering")
    return Recovery(STATES[out.state_before], out.blocks_erased, out.nodes_moved, out.bits_cleared)


# ---- the trees --------------------------------------------------------------------------------------------------------


def old_tree(fs: FileSystem) -> OldTree:
    """The tree on the medium as the planner wants it; files are hashed when asked for, each once."""
    hashes: dict[int, str] = {}
    links: dict[int, int] = {}

    def sha256(ino: int) -> str:
        if ino not in hashes:
            digest = hashlib.sha256()
            for chunk in fs.chunks_ino(ino):
                digest.update(chunk)
            hashes[ino] = digest.hexdigest()
        return hashes[ino]

    paths = {}
    for path, status in fs.walk():
        refs = fs.xattr_refs(status.ino)
        group = None
        if status.type != "dir" and status.nlink > 1:
            group = links.setdefault(status.ino, len(links) + 1)
        entry = Entry(
            path=path,
            type=status.type,
            mode=status.mode,
            uid=status.uid,
            gid=status.gid,
            time=status.mtime,
            size=status.size if status.type == "file" else 0,
            link=fs.readlink_ino(status.ino) if status.type == "link" else None,
            device=status.device,
            inode=group,
            xattrs={name: value for name, (value, _) in refs.items()},
        )
        paths[path] = Old(status.ino, entry, {name: xid for name, (_, xid) in refs.items()})
    return OldTree(paths, sha256)


def wanted_tree(manifest: Manifest) -> dict[bytes, Wanted]:
    return {entry.path: Wanted(entry) for entry in manifest}


def medium_of(fs: FileSystem) -> Medium:
    geometry = fs.flash.geometry
    geo = geometry.to_c()

    def limit(strategy: str, summary_bytes: int) -> int:
        return lib.jx_strategy_limit(STRATEGIES.index(strategy), geo, summary_bytes)

    def suits(strategy: str) -> bool:
        return lib.jx_strategy_suits(STRATEGIES.index(strategy), geo) == lib.JX_OK

    return Medium(geometry.kind, geometry.erase_size, suits, limit, fs.has_xattrs)


# ---- one run of a plan ------------------------------------------------------------------------------------------------


def _compression_mask(fs: FileSystem, readers: tuple[Reader, ...]) -> int:
    """What the medium already uses, and what every reader is known to have."""
    used = {_COMPRESSION_BY_NUMBER[c] for c in fs.compressions() if c in _COMPRESSION_BY_NUMBER}
    allowed = used | set(compressors(readers)) | {"none", "zero"}
    if "lzo" not in used:
        allowed.discard("lzo")  # three times the time for the same size as zlib
    return sum(_COMPRESSION_BITS[name] for name in allowed)


class _Run:
    """One pass of a plan through the C core, dry or real."""

    def __init__(self, fs: FileSystem, plan: Plan, *, dry: bool, mask: int, summary: bool, tag: bytes) -> None:
        self.fs = fs
        self.plan = plan
        self.inos: list[int] = []
        options = ffi.new("struct jx_txn_options *")
        options.strategy = STRATEGIES.index(plan.strategy.value)
        options.dry_run = dry
        options.summary = summary
        options.compr_mask = mask
        options.reserve = 1
        options.id = tag
        out = ffi.new("jx_txn **")
        check(lib.jx_txn_begin(fs.handle, options, out), doing="beginning the transaction")
        self._txn = out[0]
        self._ino = ffi.new("uint32_t *")

    def close(self) -> None:
        if self._txn is not None:
            lib.jx_txn_free(self._txn)
            self._txn = None

    # ---- staging ----

    def stage(self, content: Content, progress: Progress, phase: str) -> None:
        """Every new inode, then every name: those of new directories are staged, the others join the commit set."""
        total = self.plan.content_bytes
        done = 0
        for entry in self.plan.inodes:
            self._inode(entry, content)
            done += entry.size
            if progress:
                progress(phase, done, total)
        for link in self.plan.links:
            self._link(link)
        for unlink in self.plan.unlinks:
            self._unlink(unlink)
        for change in self.plan.attributes:
            self._attributes(change)

    def _attr(self, entry: Entry):
        return ffi.new(
            "struct jx_attr *",
            {"mode": TYPE_BITS[entry.type] | entry.mode, "uid": entry.uid, "gid": entry.gid, "mtime": entry.time},
        )

    def _check(self, code: int, path: bytes) -> int:
        return check(code, doing="staging", path=escape_path(path))

    def _xattrs(self, ino: int, path: bytes, xattrs: dict[bytes, bytes]) -> None:
        for full, value in sorted(xattrs.items()):
            prefix, name, data = xattr_to_medium(full, value, self.fs.endian)
            code = lib.jx_txn_setxattr(self._txn, ino, prefix, name, len(name), data, len(data))
            self._check(code, path)

    def _inode(self, entry: Entry, content: Content) -> None:
        self._xattrs(0, entry.path, entry.xattrs)
        if entry.type == "file":
            self._file(entry, content)
        else:
            payload = self._payload(entry)
            code = lib.jx_txn_special(self._txn, self._attr(entry), payload, len(payload), self._ino)
            self._check(code, entry.path)
        self.inos.append(self._ino[0])

    def _file(self, entry: Entry, content: Content) -> None:
        self._check(lib.jx_txn_create(self._txn, self._attr(entry), entry.size, self._ino), entry.path)
        for chunk in content(entry):
            self._check(lib.jx_txn_write(self._txn, chunk, len(chunk)), entry.path)
        self._check(lib.jx_txn_close(self._txn), entry.path)

    def _payload(self, entry: Entry) -> bytes:
        if entry.link is not None:
            return entry.link
        if entry.device is None:
            return b""
        out = ffi.new("uint8_t[4]")
        endian = lib.JX_BIG if self.fs.endian == "big" else lib.JX_LITTLE
        length = self._check(lib.jx_encode_dev(endian, *entry.device, out), entry.path)
        return ffi.buffer(out, length)[:]

    def _ref(self, ref: int | New) -> int:
        return self.inos[ref.index] if isinstance(ref, New) else ref

    def _link(self, link: Link) -> None:
        name = name_of(link.path)
        kind = TYPE_BITS[link.type] >> 12
        parent, target = self._ref(link.parent), self._ref(link.target)
        code = lib.jx_txn_link(self._txn, parent, name, len(name), target, kind, link.mtime)
        self._check(code, link.path)

    def _unlink(self, unlink: Unlink) -> None:
        name = name_of(unlink.path)
        self._check(lib.jx_txn_unlink(self._txn, unlink.parent, name, len(name), unlink.mtime), unlink.path)

    def _attributes(self, change: SetAttr) -> None:
        path = change.entry.path
        for xid in change.remove_xids:
            self._check(lib.jx_txn_removexattr(self._txn, change.ino, xid), path)
        self._xattrs(change.ino, path, change.set_xattrs)
        self._check(lib.jx_txn_setattr(self._txn, change.ino, self._attr(change.entry)), path)

    # ---- the end ----

    def prepare(self) -> None:
        """Raises NoSpace and TooBig with the figures."""
        code = lib.jx_txn_prepare(self._txn)
        figures = self.figures
        if code == lib.JX_ENOSPC:
            raise NoSpace(
                f"no room: the upgrade needs {figures.blocks_needed} erased blocks and the kernel's reserve is "
                f"{figures.reserve}, {figures.blocks_needed + figures.reserve} in all, but only "
                f"{figures.blocks_available} are there: {figures.missing_blocks} are missing"
            )
        if code == lib.JX_ETOOBIG:
            raise TooBig(
                f"the commit set of {figures.commit_bytes} bytes does not fit one block "
                f"({figures.commit_limit} by {self.plan.strategy.value})"
            )
        check(code, doing="preparing the commit")

    def commit(self) -> None:
        check(lib.jx_txn_commit(self._txn), doing="committing")

    def abort(self) -> None:
        lib.jx_txn_abort(self._txn)

    @property
    def figures(self) -> Figures:
        stats = ffi.new("struct jx_txn_stats *")
        lib.jx_txn_statistics(self._txn, stats)
        return Figures(*(getattr(stats, name) for name in Figures.__slots__))


@contextmanager
def _running(*args, **kwargs) -> Iterator[_Run]:
    run = _Run(*args, **kwargs)
    try:
        yield run
    finally:
        run.close()


# ---- plan and apply ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan with its figures; `figures` are None where nothing changes."""

    plan: Plan
    figures: Figures | None
    recovery: Recovery | None = None


def _prove(fs: FileSystem, plan: Plan, content: Content, readers: tuple[Reader, ...], progress: Progress) -> Figures:
    """The whole upgrade without a write: content is checked, sizes are exact. Raises what would stop it."""
    settings = {"mask": _compression_mask(fs, readers), "summary": _wants_summary(fs, readers), "tag": bytes(16)}
    with _running(fs, plan, dry=True, **settings) as run:
        run.stage(content, progress, "check")
        run.prepare()
        return run.figures


def _wants_summary(fs: FileSystem, readers: tuple[Reader, ...]) -> bool:
    """Summaries where the medium has them already and every reader of them copes with what they list."""
    return fs.has_summaries and all(reader.summary is not True or reader.xattr_in_summary for reader in readers)


def plan_upgrade(
    fs: FileSystem,
    wanted: dict[bytes, Wanted],
    content: Content,
    *,
    readers: tuple[Reader, ...] | None = None,
    strategy: str = "auto",
    progress: Progress = None,
) -> Outcome:
    """What apply_upgrade would do, proved without a write. Raises what would stop it."""
    readers = readers or named(("linux",))
    plan = make_plan(old_tree(fs), wanted, medium_of(fs), readers, strategy)
    if plan.is_empty:
        return Outcome(plan, None)
    return Outcome(plan, _prove(fs, plan, content, readers, progress))


def apply_upgrade(
    flash: Flash,
    wanted: dict[bytes, Wanted],
    content: Content,
    *,
    readers: tuple[Reader, ...] | None = None,
    strategy: str = "auto",
    endian: str | None = None,
    tag: bytes = bytes(16),
    progress: Progress = None,
    settle: bool = True,
) -> Outcome:
    """Lands the wanted tree as one transaction.

    First what an earlier cut left is cleared; then the whole is proved dry; then it is staged, committed and settled.
    An error before the commit leaves the old tree. `tag` (16 bytes) is what the blocks say of this transaction.
    """
    readers = readers or named(("linux",))
    with FileSystem(flash, endian=endian) as fs:
        outcome = plan_upgrade(fs, wanted, content, readers=readers, strategy=strategy, progress=progress)
        if outcome.plan.is_empty:
            return outcome
        unfinished = fs.status.state == "committed"
    if unfinished:
        recover(flash, endian=endian)
    with FileSystem(flash, endian=endian) as fs:
        if unfinished:
            plan = make_plan(old_tree(fs), wanted, medium_of(fs), readers, strategy)
        else:
            plan = outcome.plan
        figures = _land(fs, plan, content, readers, tag, progress)
    done = recover(flash, endian=endian) if settle else None
    return Outcome(plan, figures, done)


def _land(
    fs: FileSystem, plan: Plan, content: Content, readers: tuple[Reader, ...], tag: bytes, progress: Progress
) -> Figures:
    settings = {"mask": _compression_mask(fs, readers), "summary": _wants_summary(fs, readers), "tag": tag}
    with _running(fs, plan, dry=False, **settings) as run:
        try:
            run.stage(content, progress, "stage")
            run.prepare()
        except BaseException:
            run.abort()
            raise
        run.commit()
        return run.figures


# ---- the API: change a tree step by step ------------------------------------------------------------------------------


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
        """A regular file with this content: a new one (0644, 0, 0), or in place of one, whose metadata stay where not given."""
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
        """Moves a name, with all below it; what `to` names goes (an empty directory, or no directory), as in rename(2)."""
        source, target = self._path(path), self._path(to)
        node = self._get(source)
        if not source or target.startswith(source + b"/"):
            raise Refused("cannot move below itself", path=escape_path(source))
        self._directory(target)
        if source == target:
            return
        if target in self._wanted:
            self.remove(target)
        for old in (source, *(self._below(source) if node.entry.type == "dir" else ())):
            moved = self._wanted.pop(old)
            new = target + old[len(source) :]
            self._wanted[new] = replace(moved, entry=replace(moved.entry, path=new))

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
            lambda entry: [self._content[entry.sha256]] if entry.size else [],
            readers=self.readers,
            strategy=self.strategy,
            endian=self.fs.endian,
        )
        return self.outcome


def _with_hashes(tx: Transaction) -> Iterator[Entry]:
    """Entries fit for a Manifest: files that stay are not hashed for it."""
    for node in tx._wanted.values():
        entry = node.entry
        if entry.type == "file" and entry.sha256 is None:
            entry = replace(entry, sha256="0" * 64)
        yield entry
