"""A directory as the source of an upgrade: what is in it, and the content of its files, checked as it is read.

Whatever is looked at below the directory is opened first, component by component from the directory's own descriptor
and through no symbolic link, and everything about it comes from that descriptor. So nothing outside is ever read,
neither content nor names, link targets or attributes, whatever is moved or replaced meanwhile.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike

from jffs2tx.errors import NotADirectory, NotFound, SourceError
from jffs2tx.manifest import Entry, Manifest, escape_path, xattr_is_supported
from jffs2tx.plan.model import name_of, parent_of
from jffs2tx.progress import ProgressCallback

CHUNK_BYTES = 256 * 1024

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC  # opens no device, and a symbolic link itself
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Source:
    """A directory of files. Use with `with`, or close()."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Raises NotFound, NotADirectory, SourceError."""
        self._root = os.fsencode(path)
        try:
            self._fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound("no such directory", path=self._root) from None
        except NotADirectoryError:
            raise NotADirectory("is no directory", path=self._root) from None
        except OSError as error:
            raise SourceError(_reason(error), path=self._root) from None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, entry: Entry, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The content of a regular file in chunks of chunk_bytes, the last one shorter.

        Raises SourceError where the file is missing, is no regular file, or differs from the entry in size or sha256.
        The hash is known only when the iterator ends: use nothing of it before that.
        """
        digest = hashlib.sha256()
        done = 0
        for chunk in self._chunks(entry, chunk_bytes):
            done += len(chunk)
            if done > entry.size:
                break
            digest.update(chunk)
            yield chunk
        if done != entry.size:
            raise _refusal(entry, f"is not of the {entry.size} bytes that the manifest says")
        if digest.hexdigest() != entry.sha256:
            raise _refusal(entry, "its content is not what the manifest says (sha256 differs)")

    def manifest(self, progress: ProgressCallback | None = None) -> Manifest:
        """The directory as it is: owners, modes, times, links, devices, attributes that JFFS2 has, hashes.

        Raises SourceError where something cannot be read or changes meanwhile, ManifestError where JFFS2 cannot hold
        it.
        """
        found = list(self._walk())
        inodes = {_inode(status): entry.size for entry, status in found if entry.type == "file"}
        total, done = sum(inodes.values()), 0
        hashes: dict[tuple[int, int], str] = {}
        for entry, status in found:
            inode = _inode(status)
            if entry.type == "file" and inode not in hashes:
                hashes[inode] = self._hash(entry, inode)
                done += entry.size
                if progress:
                    progress("hash", done, total)
        return Manifest(_grouped(found, hashes))

    # ---- one file ----

    @contextmanager
    def _directory(self, path: bytes) -> Iterator[int]:
        """A descriptor of a directory below the root, or of the root. Raises OSError."""
        fd = self._fd
        try:
            for name in path.split(b"/") if path else ():
                above, fd = fd, os.open(name, _DIRECTORY, dir_fd=fd)
                if above != self._fd:
                    os.close(above)
            yield fd
        finally:
            if fd != self._fd:
                os.close(fd)

    def _open_fd(self, entry: Entry) -> int:
        try:
            with self._directory(parent_of(entry.path)) as directory:
                return os.open(name_of(entry.path), _FILE, dir_fd=directory)
        except OSError as error:
            raise _refusal(entry, _reason(error)) from None

    def _chunks(self, entry: Entry, chunk_bytes: int, inode: tuple[int, int] | None = None) -> Iterator[bytes]:
        """inode: which one it must be."""
        fd = self._open_fd(entry)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise _refusal(entry, "is no regular file")
        with os.fdopen(fd, "rb", buffering=0) as file:
            if inode not in (None, _inode(status)):
                raise _refusal(entry, "changed while it was read")
            if status.st_size != entry.size:
                raise _refusal(entry, f"has {status.st_size} bytes, not {entry.size}")
            try:
                while chunk := _read_full(file, chunk_bytes):
                    yield chunk
            except OSError as error:
                raise _refusal(entry, _reason(error)) from None

    def _hash(self, entry: Entry, inode: tuple[int, int]) -> str:
        digest = hashlib.sha256()
        done = 0
        for chunk in self._chunks(entry, CHUNK_BYTES, inode):
            digest.update(chunk)
            done += len(chunk)
        if done != entry.size:
            raise _refusal(entry, "changed while it was read")
        return digest.hexdigest()

    # ---- the tree ----

    def _walk(self) -> Iterator[tuple[Entry, os.stat_result]]:
        """The root and every path below it, in no particular order, all but hashes and hard-link groups."""
        yield _entry(b"", self._fd)
        pending = [b""]
        while pending:
            directory = pending.pop()
            for found in self._children(directory):
                yield found
                if found[0].type == "dir":
                    pending.append(found[0].path)

    def _children(self, directory: bytes) -> list[tuple[Entry, os.stat_result]]:
        path = directory
        try:
            with self._directory(directory) as fd:
                found = []
                for name in map(os.fsencode, os.listdir(fd)):
                    path = directory + b"/" + name if directory else name
                    child = os.open(name, _LOOK, dir_fd=fd)
                    try:
                        found.append(_entry(path, child))
                    finally:
                        os.close(child)
                return found
        except OSError as error:
            raise SourceError(_reason(error), path=escape_path(path)) from None


def _entry(path: bytes, fd: int) -> tuple[Entry, os.stat_result]:
    """What a descriptor stands for, by whatever way it was opened. Raises OSError."""
    status = os.fstat(fd)
    kind = _TYPES[stat.S_IFMT(status.st_mode)]
    device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in ("char", "block") else None
    entry = Entry(
        path=path,
        type=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        time=status.st_mtime_ns // 1_000_000_000,
        size=status.st_size if kind == "file" else 0,
        link=os.readlink(b"", dir_fd=fd) if kind == "link" else None,
        device=device,
        xattrs=_xattrs(fd),
    )
    return entry, status


def _read_full(file, wanted: int) -> bytes:
    """wanted bytes, fewer only at the end of the file."""
    chunk = file.read(wanted)
    while chunk and len(chunk) < wanted and (more := file.read(wanted - len(chunk))):
        chunk += more
    return chunk


def _xattrs(fd: int) -> dict[bytes, bytes]:
    """By way of /proc, since a descriptor that opened no device and followed no link takes no fgetxattr(2)."""
    path = f"/proc/self/fd/{fd}"
    try:
        names = filter(xattr_is_supported, map(os.fsencode, os.listxattr(path)))
        return {name: os.getxattr(path, name) for name in names}
    except FileNotFoundError:
        raise OSError(errno.ENOSYS, "only /proc shows its attributes, and it is not mounted") from None
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _grouped(found: list[tuple[Entry, os.stat_result]], hashes: dict[tuple[int, int], str]) -> Iterator[Entry]:
    """Entries with hashes and hard-link groups; Manifest drops groups of one name and numbers the rest."""
    numbers: dict[tuple[int, int], int] = {}
    for entry, status in found:
        inode = _inode(status)
        if entry.type == "file":
            entry = replace(entry, sha256=hashes[inode])
        if entry.type != "dir" and status.st_nlink > 1:
            entry = replace(entry, inode=numbers.setdefault(inode, len(numbers)))
        yield entry


def _refusal(entry: Entry, message: str) -> SourceError:
    return SourceError(f"source file {message}", path=escape_path(entry.path))


def _reason(error: OSError) -> str:
    reasons = {
        errno.ENOENT: "is missing",
        errno.ELOOP: "is a symbolic link",
        errno.ENOTDIR: "is missing (something above it is no directory)",
    }
    return reasons.get(error.errno, f"cannot be read: {(error.strerror or 'unknown error').lower()}")
