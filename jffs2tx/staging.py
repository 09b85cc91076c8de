"""One pass of a plan through the C core: what is staged, and what joins the commit set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.errors import NoSpace, TooBig
from jffs2tx.filesystem import STRATEGIES, FileSystem
from jffs2tx.manifest import Entry, escape_path
from jffs2tx.outcome import Tree
from jffs2tx.plan import TYPE_BITS, Link, New, Plan, SetAttr, Unlink, name_of
from jffs2tx.xattr import xattr_to_medium

_TREES = {lib.JX_OUTCOME_OLD: Tree.OLD, lib.JX_OUTCOME_NEW: Tree.NEW, lib.JX_OUTCOME_UNKNOWN: Tree.UNKNOWN}

#: progress(phase, done, total), both in bytes; None: nobody wants to know.
Progress = Callable[[str, int, int], None] | None
#: Content of a file of the plan, in chunks. Raises SourceError where it is not what the entry says.
Content = Callable[[Entry], Iterable[bytes]]

#: Bits of enum jx_compr_mask.
COMPRESSION_BITS = {
    "none": lib.JX_USE_NONE,
    "zero": lib.JX_USE_ZERO,
    "rtime": lib.JX_USE_RTIME,
    "zlib": lib.JX_USE_ZLIB,
    "lzo": lib.JX_USE_LZO,
}


def compression_mask(names: Iterable[str]) -> int:
    return sum(COMPRESSION_BITS[name] for name in set(names))


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
    blocks_dead: int
    reserve: int

    @property
    def blocks_wanted(self) -> int:
        """Erased blocks that must be there before the first write; of a live device dead ones serve as reserve."""
        return self.blocks_needed + max(0, self.reserve - self.blocks_dead)

    @property
    def fits(self) -> bool:
        return self.blocks_wanted <= self.blocks_available


def no_room(figures: Figures, missing: int, live: bool = False) -> NoSpace:
    """missing: erased blocks that there must be more, garbage collection (which a live device forbids) included."""
    why = "no other may be erased while it is mounted" if live else "garbage collection cannot win enough"
    return NoSpace(
        f"no room: the upgrade needs {figures.blocks_needed} erased blocks and the kernel's reserve is "
        f"{figures.reserve}, {figures.blocks_wanted} in all; {figures.blocks_available} are there, and {why}: "
        f"{missing} {'is' if missing == 1 else 'are'} missing"
    )


class Run:
    """One transaction of the C core, dry or real. Use with `with`."""

    def __init__(
        self,
        fs: FileSystem,
        plan: Plan,
        *,
        dry: bool,
        mask: int,
        summary: bool,
        no_marks: bool = False,
        tag: bytes = bytes(16),
        fresh: bool = False,
    ) -> None:
        self.fs = fs
        self.plan = plan
        self.inos: list[int] = []
        options = ffi.new("struct jx_txn_options *")
        options.strategy = STRATEGIES.index(plan.strategy.value)
        options.dry_run = dry
        options.summary = summary
        options.compr_mask = mask
        options.reserve = not fresh
        options.no_marks = no_marks
        options.fresh = fresh
        options.id = tag
        out = ffi.new("jx_txn **")
        for ino in plan.adopted:
            fs.adopt(ino)
        check(lib.jx_txn_begin(fs.handle, options, out), doing="beginning the transaction")
        self._txn = out[0]
        self._ino = ffi.new("uint32_t *")

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        if code == lib.JX_ENOSPC and figures.fits:
            raise NoSpace(
                f"eraseblocks failed while the upgrade was staged: no good one is left for the commit beside the "
                f"kernel's reserve of {figures.reserve}"
            )
        if code == lib.JX_ENOSPC:
            missing = figures.blocks_wanted - figures.blocks_available
            raise no_room(figures, missing, self.fs.flash.live)
        if code == lib.JX_ETOOBIG:
            raise TooBig(
                f"the commit set of {figures.commit_bytes} bytes does not fit one block "
                f"({figures.commit_limit} by {self.plan.strategy.value})"
            )
        check(code, doing="preparing the commit")

    def commit(self) -> None:
        """Raises also where the new tree is there: `tree` tells."""
        check(lib.jx_txn_commit(self._txn), doing="committing")

    @property
    def tree(self) -> Tree:
        """Which tree the medium shows."""
        return _TREES[lib.jx_txn_outcome(self._txn)]

    def abort(self) -> None:
        lib.jx_txn_abort(self._txn)

    @property
    def figures(self) -> Figures:
        stats = ffi.new("struct jx_txn_stats *")
        lib.jx_txn_statistics(self._txn, stats)
        return Figures(*(getattr(stats, name) for name in Figures.__slots__))
