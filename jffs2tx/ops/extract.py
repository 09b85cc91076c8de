"""extract: the tree of a medium as a directory of the host.

Nothing is ever written outside the directory: each step goes down by one name from an open directory, never through
a symbolic link, and what exists is never opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jffs2tx.errors import Exists, Jffs2txError, NotADirectory
from jffs2tx.filesystem import FileSystem
from jffs2tx.image import Image
from jffs2tx.manifest import Entry
from jffs2tx.ops.damage import Damage
from jffs2tx.progress import ProgressCallback
from jffs2tx.tree import entry_of

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SET_ID = stat.S_ISUID | stat.S_ISGID
#: Of one name: not allowed to this user, or not to be had on this host.
_TOLERATED = {
    errno.EPERM,
    errno.EACCES,
    errno.EINVAL,
    errno.ENOENT,
    errno.EEXIST,
    errno.EOPNOTSUPP,
    errno.ENAMETOOLONG,
    errno.EILSEQ,
    errno.EMLINK,
    errno.E2BIG,
    errno.ERANGE,
}
_WORDS = {
    "file": "a file",
    "dir": "a directory",
    "link": "a symbolic link",
    "char": "a character device",
    "block": "a block device",
    "fifo": "a fifo",
    "socket": "a socket",
}
_NODE_BITS = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}


def extract(image: Image, *, output: Path, progress: ProgressCallback | None) -> dict:
    """Writes the whole tree to output, which must not exist or be empty.

    `extracted`: how many names came out. `unreadable`: sentences about what could not be read, or has a name that no
    file can have. `omitted`: sentences about what this user may not set or this host does not take (owners, devices,
    attributes). Raises Exists, NotADirectory, OSError.
    """
    damage = Damage()
    with image.fs() as fs, _new_directory(output) as root:
        writer = _Writer(fs, root, damage, progress)
        writer.write(list(_entries(fs, damage)))
    return {"extracted": writer.count, "unreadable": damage.sentences, "omitted": writer.omissions()}


def _entries(fs: FileSystem, damage: Damage) -> Iterator[tuple[Entry, int]]:
    """With their inode numbers."""
    for path, status in fs.walk(onerror=damage.add):
        try:
            yield entry_of(fs, path, status), status.ino
        except Jffs2txError as error:
            damage.add(path, error)


@contextmanager
def _new_directory(output: Path) -> Iterator[int]:
    """A descriptor on an empty directory, made where it is not there."""
    with suppress(FileExistsError):
        output.mkdir()
    try:
        fd = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        raise NotADirectory("is no directory", path=str(output)) from None
    try:
        if os.listdir(fd):
            raise Exists("is not empty", path=str(output))
        yield fd
    finally:
        os.close(fd)


class _Writer:
    def __init__(self, fs: FileSystem, root: int, damage: Damage, progress: ProgressCallback | None) -> None:
        self.fs = fs
        self.root = root
        self.damage = damage
        self.progress = progress
        self.count = 0
        self._omitted: Counter[str] = Counter()
        self._names: dict[int, bytes] = {}  # by inode number: the path that was made
        self._directories: set[bytes] = set()
        self._done = self._total = 0

    def write(self, entries: list[tuple[Entry, int]]) -> None:
        """Parents first; directories get their metadata when all below them is there."""
        self._total = sum({ino: entry.size for entry, ino in entries if entry.type == "file"}.values())
        for entry, ino in entries:
            if entry.path and entry.parent not in self._directories:
                continue  # its parent could not be made, and that was told
            with self._directory_of(entry.path) as (directory, name):
                if self._tolerant(entry, "was not made", self._make, entry, ino, directory, name):
                    self.count += 1
                    if entry.type != "dir":
                        self._set_metadata(entry, directory, name)
        for entry, _ in reversed(entries):
            if entry.type == "dir" and entry.path in self._directories:
                with self._directory_of(entry.path) as (directory, name):
                    self._set_metadata(entry, directory, name)

    def omissions(self) -> list[str]:
        return [f"{what} ({count} times)" if count > 1 else what for what, count in sorted(self._omitted.items())]

    def _tolerant(self, entry: Entry, failure: str, action: Callable[..., bool], *arguments) -> bool:
        """What the action returns; False, and noted, where the host does not take it from this user."""
        try:
            return action(*arguments)
        except OSError as error:
            if error.errno not in _TOLERATED:
                raise
            what = f"{_WORDS[entry.type]} {failure}: {(error.strerror or 'unknown error').lower()}"
            self._omitted[what] += 1
            return False

    @contextmanager
    def _directory_of(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """A descriptor on the directory that holds path, and the name in it; the root is '.' in itself."""
        *parents, name = path.split(b"/")
        directory = os.dup(self.root)
        try:
            for parent in parents:
                below = os.open(parent, _DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = below
            yield directory, name or b"."
        finally:
            os.close(directory)

    # ---- making ----

    def _make(self, entry: Entry, ino: int, directory: int, name: bytes) -> bool:
        """Whether it is there now."""
        if entry.type == "dir":
            if entry.path:
                os.mkdir(name, 0o700, dir_fd=directory)
            self._directories.add(entry.path)
            return True
        if ino in self._names:
            with self._directory_of(self._names[ino]) as (there, first):
                os.link(first, name, src_dir_fd=there, dst_dir_fd=directory, follow_symlinks=False)
            return True
        if entry.type == "file":
            if not self._make_file(entry, ino, directory, name):
                return False
        elif entry.type == "link":
            os.symlink(entry.link, name, dir_fd=directory)
        else:
            device = os.makedev(*entry.device) if entry.device else 0
            os.mknod(name, _NODE_BITS[entry.type] | 0o600, device, dir_fd=directory)
        self._names[ino] = entry.path
        return True

    def _make_file(self, entry: Entry, ino: int, directory: int, name: bytes) -> bool:
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            with os.fdopen(fd, "wb") as file:
                for chunk in self.fs.chunks_ino(ino):
                    file.write(chunk)
                    self._done += len(chunk)
                    if self.progress:
                        self.progress("extract", self._done, self._total)
        except Jffs2txError as error:
            os.unlink(name, dir_fd=directory)
            self.damage.add(entry.path, error)
            return False
        return True

    # ---- metadata ----

    def _set_metadata(self, entry: Entry, directory: int, name: bytes) -> None:
        """Owner before mode, since chown(2) takes set-id bits away; times last."""
        mode = entry.mode
        if not self._tolerant(entry, "kept your owner", _chown, name, entry, directory) and entry.type == "file":
            mode &= ~_SET_ID  # of whoever extracts, these would be somebody else's rights
        if entry.type != "link":
            os.chmod(name, mode, dir_fd=directory)
        for attribute, value in entry.xattrs.items():
            failure = f"did not get {attribute.split(b'.')[0].decode('ascii')} attributes"
            self._tolerant(entry, failure, _setxattr, directory, name, attribute, value)
        os.utime(name, (entry.time, entry.time), dir_fd=directory, follow_symlinks=False)


def _chown(name: bytes, entry: Entry, directory: int) -> bool:
    os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
    return True


def _setxattr(directory: int, name: bytes, attribute: bytes, value: bytes) -> bool:
    os.setxattr(b"/proc/self/fd/%d/%s" % (directory, name), attribute, value, follow_symlinks=False)
    return True
