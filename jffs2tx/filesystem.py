"""A JFFS2 file system as the kernel would show it: list, stat, read, walk; and what the log behind it holds."""

from __future__ import annotations

import stat as stat_bits
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.damage import Damage, Log, inode_damage, tree_damage
from jffs2tx.device import Flash
from jffs2tx.errors import Corrupt, Damaged, FormatError, Jffs2txError, NotADirectory, NotFound
from jffs2tx.xattr import xattr_from_medium

ROOT_INO = 1
LINK_DEPTH = 8
PATH_MAX_BYTES = 4095  # as Linux has it; what lies deeper no program reaches by its path
CHUNK_BYTES = 256 * 1024

_NONE = 0xFFFFFFFF  # no offset
_NO_MORE: Mapping[str, int] = MappingProxyType({})

ENDIANS = {"little": lib.JX_LITTLE, "big": lib.JX_BIG}

_TYPES = {
    stat_bits.S_IFREG: "file",
    stat_bits.S_IFDIR: "dir",
    stat_bits.S_IFLNK: "link",
    stat_bits.S_IFCHR: "char",
    stat_bits.S_IFBLK: "block",
    stat_bits.S_IFIFO: "fifo",
    stat_bits.S_IFSOCK: "socket",
}

STATES = ("none", "staged", "committed", "settled")
STRATEGIES = ("swap", "flip", "seal", "lift")


@dataclass(frozen=True, slots=True)
class Stat:
    """An inode as stat(2) shows it. `type` is the manifest's word; mode holds the permission bits only."""

    ino: int
    type: str
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    mtime: int
    device: tuple[int, int] | None
    node_mtime: int  # what its own node says: a newer dirent may date a directory


@dataclass(frozen=True, slots=True)
class Name:
    """One name in a directory."""

    name: bytes
    ino: int
    type: int  # DT_*


@dataclass(frozen=True, slots=True)
class Extent:
    """A piece of a file and the node (an index) that shows there; bytes. What no extent covers reads as zeros."""

    offset: int
    length: int
    node: int
    is_hole: bool  # zeros, of which nothing is stored

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Space:
    """Eraseblocks by what stands in them. `reserve` must stay free for the kernel."""

    blocks: int
    bad: int
    free: int
    dirty: int
    held: int  # what nothing shows to be the file system's: neither erased nor programmed
    reserve: int
    needed_bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """The last transaction that left a trace."""

    state: str
    txid: int
    strategy: str | None
    id: bytes


class FileSystem:
    """The index of one scan. It does not follow later changes of the medium: open again after a commit."""

    def __init__(
        self,
        flash: Flash,
        *,
        endian: str | None = None,
        summary: bool = True,
        empty_scan: int = 256,
        inspect: bool = False,
        path: str | None = None,
        abilities: Mapping[str, int] | None = None,
    ) -> None:
        """Scans. endian None: found by evidence; summary: whether valid summaries are believed; inspect: also where a
        kernel refuses the mount; path: for messages; abilities: further fields of struct jx_reader.

        Raises FormatError, MediumError.
        """
        self.flash = flash
        self.path = path
        self._adopted: set[int] = set()
        self._handle, code = _open(flash, make_reader(endian, summary, empty_scan, inspect, abilities or {}))
        if code == lib.JX_EFORMAT and not inspect:
            self._refuse(make_reader(endian, summary, empty_scan, True))
        check(code, doing="reading the file system", path=path)

    def _refuse(self, reader) -> None:
        """Raises FormatError that names the node because of which a kernel does not mount this, if it is one."""
        self._handle, _ = _open(self.flash, reader)
        at = lib.jx_fs_incompat_at(self._handle) if self._handle else _NONE
        self.close()
        if at != _NONE:
            raise FormatError(
                f"a node of an unknown type at {at:#x} forbids the mount to kernels that do not know it (INCOMPAT); "
                "dump shows it",
                path=self.path,
            )

    def check_writable(self) -> None:
        """Raises FormatError where a node allows only reading to who does not know it."""
        at = lib.jx_fs_rocompat_at(self.handle)
        if at != _NONE:
            raise FormatError(
                f"a node of an unknown type at {at:#x} allows kernels that do not know it to mount read-only at most "
                "(ROCOMPAT), so nothing is written here",
                path=self.path,
            )

    @property
    def handle(self):
        if self._handle is None:
            raise ValueError("the file system is closed")
        return self._handle

    def close(self) -> None:
        if self._handle is not None:
            lib.jx_fs_close(self._handle)
            self._handle = None

    def __enter__(self) -> FileSystem:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- inodes ----

    def stat_ino(self, ino: int) -> Stat:
        """Raises NotFound, Corrupt."""
        st = ffi.new("struct jx_stat *")
        check(lib.jx_fs_stat(self.handle, ino, st), doing=f"reading inode {ino}")
        kind = _TYPES.get(stat_bits.S_IFMT(st.mode), "file")
        device = (st.major, st.minor) if kind in ("char", "block") else None
        mode = stat_bits.S_IMODE(st.mode)
        return Stat(ino, kind, mode, st.nlink, st.uid, st.gid, st.size, st.mtime, device, st.node_mtime)

    def names(self, ino: int) -> list[Name]:
        """The names of a directory, sorted by their bytes."""
        out = ffi.new("struct jx_name const **")
        count = check(lib.jx_fs_list(self.handle, ino, out), doing=f"listing directory inode {ino}")
        arena = lib.jx_fs_names(self.handle)
        return [
            Name(ffi.buffer(arena + out[0][i].name, out[0][i].nsize)[:], out[0][i].ino, out[0][i].type)
            for i in range(count)
        ]

    def read_ino(self, ino: int, offset: int = 0, length: int = 1 << 31) -> bytes:
        """Content of a regular file. Raises Corrupt, IsADirectory."""
        st = ffi.new("struct jx_stat *")
        check(lib.jx_fs_stat(self.handle, ino, st), doing=f"reading inode {ino}")
        length = max(0, min(length, st.size - offset))
        buffer = ffi.new("uint8_t[]", max(length, 1))
        got = check(lib.jx_fs_read(self.handle, ino, offset, buffer, length), doing=f"reading inode {ino}")
        return ffi.buffer(buffer, got)[:]

    def extents_ino(self, ino: int) -> list[Extent]:
        """Which nodes show where, ascending, within the file's size. Raises NotFound, Corrupt."""
        count = check(lib.jx_fs_extents(self.handle, ino, ffi.NULL, 0), doing=f"reading inode {ino}")
        found = ffi.new("struct jx_extent[]", count)
        check(lib.jx_fs_extents(self.handle, ino, found, count))
        nodes = lib.jx_fs_nodes(self.handle)
        return [Extent(e.offset, e.len, e.node, nodes[e.node].type == lib.JX_COMPR_ZERO) for e in found]

    def data_ino(self, ino: int) -> Iterator[tuple[int, bytes]]:
        """Content of a regular file with its offsets, piece by piece, holes left out. Raises Corrupt, IsADirectory."""
        offset, at, length = 0, ffi.new("uint32_t *"), ffi.new("uint32_t *")
        while check(lib.jx_fs_data(self.handle, ino, offset, at, length), doing=f"reading inode {ino}"):
            piece = self.read_ino(ino, at[0], min(length[0], CHUNK_BYTES))
            yield at[0], piece
            offset = at[0] + len(piece)

    def chunks_ino(self, ino: int, chunk: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Content of a regular file, piece by piece."""
        offset = 0
        while piece := self.read_ino(ino, offset, chunk):
            yield piece
            offset += len(piece)

    def readlink_ino(self, ino: int) -> bytes:
        buffer = ffi.new("uint8_t[255]")
        length = check(lib.jx_fs_readlink(self.handle, ino, buffer, 254), doing=f"reading link inode {ino}")
        return ffi.buffer(buffer, length)[:]

    def follow_ino(self, directory: int, ino: int) -> int | None:
        """The inode that a boot loader finds behind the link `ino` of this directory; None: nothing."""
        out = ffi.new("uint32_t *")
        code = lib.jx_fs_follow(self.handle, directory, ino, out)
        if code == lib.JX_ENOENT:
            return None
        check(code, doing=f"following link inode {ino}")
        return out[0]

    def xattrs_ino(self, ino: int, *, skip_broken: bool = False) -> dict[bytes, bytes]:
        """Extended attributes by full name; ACLs as the VFS shows them."""
        return {name: value for name, (value, _) in self.xattr_refs(ino, skip_broken=skip_broken).items()}

    def xattr_refs(self, ino: int, *, skip_broken: bool = False) -> dict[bytes, tuple[bytes, tuple[int, ...]]]:
        """Extended attributes by full name: value, and the xids of all references that bear the name.

        The newest of them counts (check_xattr_ref_inode); whoever takes the attribute away must delete each.
        skip_broken: what fails its CRC is none, as for the kernel; else it raises Corrupt.
        """
        result: dict[bytes, tuple[bytes, tuple[int, ...]]] = {}
        for xid, shown in self.attributes_ino(ino):
            if isinstance(shown, Corrupt) and skip_broken:
                continue
            if isinstance(shown, Jffs2txError):
                raise shown
            if shown is not None:
                _, older = result.get(shown[0], (b"", ()))
                result[shown[0]] = (shown[1], (*older, xid))
        return result

    def attributes_ino(self, ino: int) -> Iterator[tuple[int, tuple[bytes, bytes] | Jffs2txError | None]]:
        """Each reference to an extended attribute, the oldest first: its xid, and full name and value, or why it cannot
        be shown, or None where the VFS shows none of its prefix.
        """
        count = check(lib.jx_fs_xattrs(self.handle, ino, ffi.NULL, 0), doing=f"reading attributes of inode {ino}")
        found = ffi.new("struct jx_attribute[]", count)
        lib.jx_fs_xattrs(self.handle, ino, found, count)
        for one in sorted(found, key=lambda a: a.xseqno):
            try:
                yield one.xid, self._attribute(ino, one)
            except Jffs2txError as error:
                yield one.xid, error

    def _attribute(self, ino: int, one) -> tuple[bytes, bytes] | None:
        """Of one struct jx_attribute. Raises Corrupt."""
        name = ffi.new("uint8_t[]", 256)
        value = ffi.new("uint8_t[]", max(one.value_len, 1))
        code = lib.jx_fs_xattr_read(self.handle, ffi.addressof(one), name, value)
        check(code, doing=f"attribute of inode {ino}")
        raw = ffi.buffer(name, one.name_len)[:], ffi.buffer(value, one.value_len)[:]
        try:
            return xattr_from_medium(one.xprefix, *raw, self.endian)
        except ValueError as error:
            raise Corrupt(f"attribute of inode {ino}: {error}") from None

    # ---- what a cut left staged ----

    def orphans(self) -> list[int]:
        """Inodes in staging blocks that nothing reaches, whole or not."""
        count = check(lib.jx_fs_orphans(self.handle, ffi.NULL, 0))
        found = ffi.new("uint32_t[]", max(count, 1))
        lib.jx_fs_orphans(self.handle, found, count)
        return list(found[0:count])

    def adopt(self, ino: int) -> None:
        """From now on this orphan counts as needed: a transaction on this handle may name it. Again: no effect."""
        if ino not in self._adopted:
            check(lib.jx_fs_adopt(self.handle, ino), doing=f"taking over staged inode {ino}")
            self._adopted.add(ino)

    # ---- paths ----

    def resolve(self, path: str | bytes, follow: bool = False) -> int:
        """The inode number of an absolute or relative path inside the file system.

        Links on the way are followed, the last one only with follow. Raises NotFound, NotADirectory.
        """
        raw = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
        pending = [part for part in reversed(raw.split(b"/")) if part not in (b"", b".")]
        trail = [ROOT_INO]
        links = 0
        while pending:
            part = pending.pop()
            if part == b"..":
                trail = trail[:-1] or [ROOT_INO]
                continue
            ino = self._lookup(trail[-1], part, raw)
            last = not pending
            if self.stat_ino(ino).type == "link" and (follow or not last):
                links += 1
                if links > LINK_DEPTH:
                    raise NotFound("too many symbolic links", path=raw)
                target = self.readlink_ino(ino)
                if target.startswith(b"/"):
                    trail = [ROOT_INO]
                pending += [p for p in reversed(target.split(b"/")) if p not in (b"", b".")]
                continue
            trail.append(ino)
        return trail[-1]

    def _lookup(self, directory: int, name: bytes, path: bytes) -> int:
        ino = ffi.new("uint32_t *")
        code = lib.jx_fs_lookup(self.handle, directory, name, len(name), ino)
        if code == lib.JX_ENOTDIR:
            raise NotADirectory("is no directory", path=path)
        if code == lib.JX_ENOENT:
            raise NotFound("no such file", path=path)
        check(code, path=path)
        return ino[0]

    def stat(self, path: str | bytes) -> Stat:
        return self.stat_ino(self.resolve(path))

    def list(self, path: str | bytes = b"/") -> list[bytes]:
        return [name.name for name in self.names(self.resolve(path, follow=True))]

    def read(self, path: str | bytes, *, strict: bool = False) -> bytes:
        """The content of a regular file as a kernel shows it: where it is damaged older data or zeros, and no error.

        Raises Damaged (with strict, where it is damaged), Corrupt (a kernel fails as well), NotFound, IsADirectory.
        """
        return self.read_ino(self._resolve(path, strict, follow=True))

    def readlink(self, path: str | bytes, *, strict: bool = False) -> bytes:
        """The target of a symbolic link. strict and errors as for read."""
        return self.readlink_ino(self._resolve(path, strict))

    def xattrs(self, path: str | bytes, *, strict: bool = False) -> dict[bytes, bytes]:
        """Extended attributes by full name. Raises Corrupt where one cannot be read; strict as for read."""
        return self.xattrs_ino(self._resolve(path, strict))

    def _resolve(self, path: str | bytes, strict: bool, follow: bool = False) -> int:
        """Raises Damaged with strict."""
        ino = self.resolve(path, follow)
        found = list(inode_damage(self.log, _inside(path), self.stat_ino(ino))) if strict else []
        if found:
            raise Damaged(found)
        return ino

    # ---- damage ----

    @cached_property
    def log(self) -> Log:
        return Log(self)

    def damage(self, path: str | bytes = b"") -> Iterator[Damage]:
        """Where what a kernel shows of path and of all below it is not what was written: docs/READING.md says what the
        medium can show of that. Every byte is read.
        """
        return tree_damage(self, self.log, _inside(path))

    def walk(
        self,
        top: bytes = b"",
        onerror: Callable[[bytes, Jffs2txError], None] | None = None,
        ino: int | None = None,
        deep: bool = True,
    ) -> Iterator[tuple[bytes, Stat]]:
        """Every path from top on (the root is b"") with its stat, parents first, names sorted; with deep false only
        one directory's. ino: what top stands for, where that is known. A directory is entered once.

        With onerror what cannot be read is handed to it and left out; without, it is raised.
        """
        entered = set()
        pending = [(None, top, self.resolve(top) if ino is None else ino)]
        while pending:
            directory, name, ino = pending.pop()
            path = directory + b"/" + name if directory else name
            try:
                self._check_name(name, path, is_top=directory is None)
                status = self.stat_ino(ino)
                enter = status.type == "dir" and ino not in entered and (deep or not entered)
                below = self.names(ino) if enter else []
            except Jffs2txError as error:
                if onerror is None:
                    raise
                onerror(path, error)
                continue
            entered.add(ino)
            yield path, status
            pending += ((path, name.name, name.ino) for name in reversed(below))

    @staticmethod
    def _check_name(name: bytes, path: bytes, is_top: bool) -> None:
        """Raises Corrupt."""
        if not is_top and not is_name(name):
            raise Corrupt("is no name that a file can have", path=path)
        if len(path) > PATH_MAX_BYTES:
            raise Corrupt(f"is a path of more than {PATH_MAX_BYTES} bytes", path=path)

    # ---- the medium ----

    @property
    def endian(self) -> str:
        return "big" if lib.jx_fs_endian(self.handle) == lib.JX_BIG else "little"

    @property
    def space(self) -> Space:
        space = ffi.new("struct jx_space *")
        lib.jx_fs_space(self.handle, space)
        return Space(space.blocks, space.bad, space.free, space.dirty, space.held, space.reserve, space.needed_bytes)

    @property
    def status(self) -> Status:
        status = ffi.new("struct jx_status *")
        lib.jx_fs_status(self.handle, status)
        strategy = STRATEGIES[status.strategy] if status.strategy < len(STRATEGIES) else None
        return Status(STATES[status.state], status.txid, strategy, bytes(status.id))

    @property
    def has_summaries(self) -> bool:
        blocks = lib.jx_fs_blocks(self.handle)
        return any(blocks[i].summary for i in range(lib.jx_fs_block_count(self.handle)))

    @property
    def has_xattrs(self) -> bool:
        return any(node.nodetype in (lib.JX_NODE_XATTR, lib.JX_NODE_XREF) for node in self._visible())

    def compressions(self) -> set[int]:
        """The enum jx_compr of every inode node that carries data."""
        return {node.type for node in self._visible() if node.nodetype == lib.JX_NODE_INODE and node.dsize}

    def _visible(self) -> Iterator:
        nodes = lib.jx_fs_nodes(self.handle)
        count = lib.jx_fs_node_count(self.handle)
        return (nodes[i] for i in range(count) if nodes[i].verdict == lib.JX_V_GOOD)

    def digest(self) -> bytes:
        """128 bits over the whole tree: names, types, content, metadata, link groups, attributes."""
        out = ffi.new("uint8_t[16]")
        check(lib.jx_fs_digest(self.handle, out), doing="digest of the tree")
        return bytes(out)


def is_name(name: bytes) -> bool:
    """Whether a file can have this name: the kernel shows no other (verify_dirent_name), and paths stay unambiguous."""
    return name not in (b".", b"..") and b"/" not in name


def _inside(path: str | bytes) -> bytes:
    """A path as walk gives it."""
    raw = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
    return b"/".join(part for part in raw.split(b"/") if part not in (b"", b"."))


def _open(flash: Flash, reader) -> tuple[object | None, int]:
    """The handle, or None and the error."""
    out = ffi.new("jx_fs **")
    code = lib.jx_fs_open(flash.handle, reader, out)
    return (out[0], code) if code == lib.JX_OK else (None, code)


def make_reader(
    endian: str | None, summary: bool, empty_scan: int, inspect: bool = False, abilities: Mapping[str, int] = _NO_MORE
):
    return ffi.new(
        "struct jx_reader *",
        {
            "endian": -1 if endian is None else ENDIANS[endian],
            "summary": summary,
            "empty_scan_bytes": empty_scan,
            "inspect": inspect,
        }
        | abilities,
    )
