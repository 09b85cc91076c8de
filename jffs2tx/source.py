"""A directory as the source of an upgrade: what is in it, and the content of its files, checked as it is read.

Every open goes component by component below the directory and follows no symbolic link, so that nothing outside of it
is ever read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike

from jffs2tx.errors import NotADirectory, NotFound, SourceError
from jffs2tx.manifest import Entry, Manifest, escape_path, xattr_is_supported
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
        inodes = {_inode(status): status for _, status in found if stat.S_ISREG(status.st_mode)}
        total = sum(status.st_size for status in inodes.values())
        done = 0
        hashes: dict[tuple[int, int], str] = {}
        entries = []
        for path, status in found:
            entry = self._entry(path, status)
            if entry.type == "file":
                inode = _inode(status)
                if inode not in hashes:
                    hashes[inode] = self._hash(entry)
                    done += entry.size
                    if progress:
                        progress("hash", done, total)
                entry = replace(entry, sha256=hashes[inode])
            entries.append(entry)
        return Manifest(_grouped(entries, found))

    # ---- one file ----

    def _open_fd(self, entry: Entry) -> int:
        directory = self._fd
        *parents, name = entry.path.split(b"/")
        try:
            for parent in parents:
                below = os.open(parent, _DIRECTORY, dir_fd=directory)
                if directory != self._fd:
                    os.close(directory)
                directory = below
            return os.open(name, _FILE, dir_fd=directory)
        except OSError as error:
            raise _refusal(entry, _reason(error)) from None
        finally:
            if directory != self._fd:
                os.close(directory)

    def _chunks(self, entry: Entry, chunk_bytes: int) -> Iterator[bytes]:
        fd = self._open_fd(entry)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise _refusal(entry, "is no regular file")
        with os.fdopen(fd, "rb", buffering=0) as file:
            if status.st_size != entry.size:
                raise _refusal(entry, f"has {status.st_size} bytes, not {entry.size}")
            try:
                while chunk := _read_full(file, chunk_bytes):
                    yield chunk
            except OSError as error:
                raise _refusal(entry, _reason(error)) from None

    def _hash(self, entry: Entry) -> str:
        digest = hashlib.sha256()
        done = 0
        for chunk in self._chunks(entry, CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
        if done != entry.size:
            raise _refusal(entry, "changed while it was read")
        return digest.hexdigest()

    # ---- the tree ----

    def _walk(self) -> Iterator[tuple[bytes, os.stat_result]]:
        """Every path below the root and the root itself, in no particular order."""
        yield b"", os.fstat(self._fd)
        pending = [b""]
        while pending:
            directory = pending.pop()
            try:
                with os.scandir(os.path.join(self._root, directory)) as children:
                    found = [(child.name, child.stat(follow_symlinks=False)) for child in children]
            except OSError as error:
                raise SourceError(_reason(error), path=escape_path(directory)) from None
            for name, status in found:
                path = directory + b"/" + name if directory else name
                yield path, status
                if stat.S_ISDIR(status.st_mode):
                    pending.append(path)

    def _entry(self, path: bytes, status: os.stat_result) -> Entry:
        """All but hash and hard-link group."""
        full = os.path.join(self._root, path)
        kind = _TYPES[stat.S_IFMT(status.st_mode)]
        device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in ("char", "block") else None
        try:
            link = os.readlink(full) if kind == "link" else None
            xattrs = _xattrs(full)
        except OSError as error:
            raise SourceError(_reason(error), path=escape_path(path)) from None
        return Entry(
            path=path,
            type=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            time=status.st_mtime_ns // 1_000_000_000,
            size=status.st_size if kind == "file" else 0,
            link=link,
            device=device,
            xattrs=xattrs,
        )


def _read_full(file, wanted: int) -> bytes:
    """wanted bytes, fewer only at the end of the file."""
    chunk = file.read(wanted)
    while chunk and len(chunk) < wanted and (more := file.read(wanted - len(chunk))):
        chunk += more
    return chunk


def _xattrs(path: bytes | int) -> dict[bytes, bytes]:
    try:
        names = filter(xattr_is_supported, map(os.fsencode, os.listxattr(path, follow_symlinks=False)))
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _grouped(entries: list[Entry], found: list[tuple[bytes, os.stat_result]]) -> Iterator[Entry]:
    """Entries with hard-link groups set; Manifest drops groups of one name and numbers the rest."""
    numbers: dict[tuple[int, int], int] = {}
    for entry, (_, status) in zip(entries, found, strict=True):
        if entry.type == "dir" or status.st_nlink == 1:
            yield entry
        else:
            yield replace(entry, inode=numbers.setdefault(_inode(status), len(numbers)))


def _refusal(entry: Entry, message: str) -> SourceError:
    return SourceError(f"source file {message}", path=escape_path(entry.path))


def _reason(error: OSError) -> str:
    reasons = {
        errno.ENOENT: "is missing",
        errno.ELOOP: "is a symbolic link",
        errno.ENOTDIR: "is missing (something above it is no directory)",
    }
    return reasons.get(error.errno, f"cannot be read: {(error.strerror or 'unknown error').lower()}")
