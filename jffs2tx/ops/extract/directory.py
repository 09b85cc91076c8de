"""The tree as a directory. Nothing is ever written outside of it: each step goes down by one name from an open
directory, never through a symbolic link, and what exists is never opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jffs2tx.damage import Reading
from jffs2tx.errors import Corrupt, Exists, Jffs2txError, LimitError, NotADirectory
from jffs2tx.filesystem import Stat
from jffs2tx.image import Image
from jffs2tx.manifest import Entry
from jffs2tx.ops.extract.branch import Branch
from jffs2tx.ops.extract.losses import Budget, Losses, check_root
from jffs2tx.ops.extract.pace import Pace
from jffs2tx.ops.extract.pick import Pick
from jffs2tx.progress import ProgressCallback
from jffs2tx.tree import entry_of

DEPTH_MAX = 400  # directories, one descriptor each
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
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
    errno.EFBIG,
    errno.ENOTDIR,
    errno.ELOOP,
}
_NODE_BITS = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}


def extract(
    image: Image,
    *,
    output: Path,
    max_bytes: int | None = None,
    reading: Reading = Reading.REPORT,
    progress: ProgressCallback | None,
) -> dict:
    """Writes the whole tree to output, which must not exist or be empty. max_bytes: of content, holes included; what
    would go beyond is left out (losses.Budget has the default). reading: what comes out of damaged files.

    `extracted`: how many names came out; Losses.facts has the rest. Raises Exists, NotADirectory, OSError.
    """
    losses = Losses()
    with image.fs() as fs, _new_directory(output) as root, Branch(root) as branch:
        pick = Pick(fs, losses, reading)
        writer = _Writer(pick, branch, Budget(image, max_bytes), Pace(fs, "extract", progress))
        writer.write()
    return losses.facts(writer.count)


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
    def __init__(self, pick: Pick, branch: Branch, budget: Budget, pace: Pace) -> None:
        self.pick = pick
        self.fs = pick.fs
        self.branch = branch
        self.losses = pick.losses
        self.budget = budget
        self.pace = pace
        self.count = 0
        self._made: dict[int, bytes] = {}  # by inode number: the first path
        self._directories: dict[bytes, int] = {}  # inode numbers by path, parents first
        self._entered: set[int] = set()  # their inode numbers

    def write(self) -> None:
        """Parents first; directories get their metadata when all below them is there, the deepest first."""
        for path, status in self.pick.walk():
            if path and path.rpartition(b"/")[0] not in self._directories:
                continue  # its parent could not be made, and that was told
            try:
                self.count += self._tolerant(path, status.type, "was not made", self._make, path, status)
            except Jffs2txError as error:
                self.pick.failed(path, status, error)
        for path, ino in reversed(self._directories.items()):
            try:
                self._tolerant(path, "dir", "did not get its metadata", self._finish_directory, path, ino)
            except Jffs2txError as error:
                self.losses.add(path, error)

    def _finish_directory(self, path: bytes, ino: int) -> None:
        entry = entry_of(self.fs, path, self.fs.stat_ino(ino), skip_broken=True)
        self._set_metadata(entry, self.branch.open(path))

    def _tolerant(self, path: bytes, kind: str, failure: str, action: Callable[..., None], *arguments) -> bool:
        """Whether the action went well; where the host does not take it from this user, it is noted."""
        try:
            action(*arguments)
        except OSError as error:
            if isinstance(error, Jffs2txError) or error.errno not in _TOLERATED:
                raise
            self.losses.omit(path, kind, failure, (error.strerror or "unknown error").lower())
            return False
        return True

    # ---- making ----

    def _make(self, path: bytes, status: Stat) -> None:
        """Raises what the medium says (Jffs2txError) or the host (OSError)."""
        ino = status.ino
        self.pick.check(ino)
        check_root(path, status)
        if status.type == "dir":
            self._make_directory(path, status)
        elif ino in self._made:
            self._make_link(path, self._made[ino])
        else:
            entry = self.pick.entry(path, status)
            self.budget.take(entry.size + sum(map(len, entry.xattrs.values())))
            makers = {"file": self._make_file, "link": self._make_symlink}
            makers.get(status.type, self._make_special)(entry, ino, self.branch.open(entry.parent))
            self._made[ino] = path

    def _make_directory(self, path: bytes, status: Stat) -> None:
        parent, _, name = path.rpartition(b"/")
        if status.ino in self._entered:
            raise Corrupt("is a further name of a directory, which a file system cannot have")
        if path.count(b"/") >= DEPTH_MAX:
            raise LimitError(f"lies in more than {DEPTH_MAX} directories")
        if path:
            os.mkdir(name, 0o700, dir_fd=self.branch.open(parent))
        self.pick.entry(path, status)
        self._directories[path] = status.ino
        self._entered.add(status.ino)

    def _make_link(self, path: bytes, first: bytes) -> None:
        there, _, old = first.rpartition(b"/")
        here, _, new = path.rpartition(b"/")
        directory = self.branch.open(here)
        with Branch(self.branch.root) as other:
            os.link(old, new, src_dir_fd=other.open(there), dst_dir_fd=directory, follow_symlinks=False)

    def _make_file(self, entry: Entry, ino: int, directory: int) -> None:
        """Holes stay holes. A file that cannot be read whole is taken away again."""
        fd = os.open(entry.name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            for offset, data in self.fs.data_ino(ino):
                _write_at(fd, data, offset)
                self.pace.at(offset)
            os.ftruncate(fd, entry.size)
            self.pace.finished(entry.size)
            self._set_metadata(entry, fd)
        except BaseException:
            os.unlink(entry.name, dir_fd=directory)
            raise
        finally:
            os.close(fd)

    def _make_symlink(self, entry: Entry, _ino: int, directory: int) -> None:
        os.symlink(entry.link, entry.name, dir_fd=directory)
        name = {"dir_fd": directory, "follow_symlinks": False}
        self._set_owner(entry, lambda: os.chown(entry.name, entry.uid, entry.gid, **name))
        place = b"/proc/self/fd/%d/%s" % (directory, entry.name)
        self._set_attributes(entry, place, follow_symlinks=False)
        os.utime(entry.name, (entry.time, entry.time), **name)

    def _make_special(self, entry: Entry, _ino: int, directory: int) -> None:
        """Its metadata are set through a descriptor that opens only its place: opening it would wake a driver."""
        device = os.makedev(*entry.device) if entry.device else 0
        bits = _NODE_BITS[entry.type]
        os.mknod(entry.name, bits | 0o600, device, dir_fd=directory)
        fd = os.open(entry.name, _PLACE, dir_fd=directory)
        try:
            if stat.S_IFMT(os.fstat(fd).st_mode) == bits:
                self._set_metadata(entry, f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)

    # ---- metadata ----

    def _set_metadata(self, entry: Entry, place: int | str) -> None:
        """Owner before mode, since chown(2) takes set-id bits away; attributes before a mode that may forbid them;
        times last. place: a descriptor, or what leads to one.
        """
        owned = self._set_owner(entry, lambda: os.chown(place, entry.uid, entry.gid))
        self._set_attributes(entry, place)
        # Of whoever extracts, set-id bits would be somebody else's rights.
        mode = entry.mode if owned or entry.type == "dir" else entry.mode & ~_SET_ID
        self._tolerant(entry.path, entry.type, "did not get its mode", os.chmod, place, mode)
        self._tolerant(entry.path, entry.type, "did not get its time", os.utime, place, (entry.time, entry.time))

    def _set_owner(self, entry: Entry, chown: Callable[[], None]) -> bool:
        return self._tolerant(entry.path, entry.type, "kept your owner", chown)

    def _set_attributes(self, entry: Entry, place: int | str | bytes, **how: bool) -> None:
        for name, value in entry.xattrs.items():
            failure = f"did not get {name.split(b'.')[0].decode('ascii')} attributes"
            self._tolerant(entry.path, entry.type, failure, _setxattr, place, name, value, how)


def _setxattr(place: int | str | bytes, name: bytes, value: bytes, how: dict) -> None:
    if b"\0" in name:
        raise OSError(errno.EINVAL, "a NUL is in the name")
    os.setxattr(place, name, value, **how)


def _write_at(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
