"""The tree as a tar archive, which keeps owners and devices without root.

pax format: attributes are SCHILY.xattr records as GNU tar and libarchive have them, further names of an inode are hard
links. The same medium gives the same bytes.
"""

from __future__ import annotations

import copy
import io
import tarfile
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from jffs2tx._ffi import check, lib
from jffs2tx.damage import Reading
from jffs2tx.errors import Corrupt, Jffs2txError
from jffs2tx.filesystem import CHUNK_BYTES, FileSystem, Stat
from jffs2tx.image import Image
from jffs2tx.manifest import Entry
from jffs2tx.newfile import new_file
from jffs2tx.ops.extract.losses import Budget, Losses, check_root
from jffs2tx.ops.extract.pace import Pace
from jffs2tx.ops.extract.pick import Pick
from jffs2tx.progress import ProgressCallback

_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}
_XATTR = "SCHILY.xattr."


def archive(
    image: Image,
    *,
    output: Path | BinaryIO,
    max_bytes: int | None = None,
    reading: Reading = Reading.REPORT,
    progress: ProgressCallback | None,
) -> dict:
    """Writes the whole tree to output: a stream, or a file that appears whole or not at all. Paths in it start with
    `./`. max_bytes and reading as for extract; holes are written as zeros. A file that cannot be read whole is
    left out.

    Returns what extract returns; sockets are `omitted`. Raises OSError; MediumError where a medium that could be read
    fails in the middle of a file.
    """
    losses = Losses()
    stream = new_file(output, streams=True) if isinstance(output, Path) else nullcontext(output)
    form = {"format": tarfile.PAX_FORMAT, "encoding": "utf-8", "errors": "surrogateescape"}
    with image.fs() as fs, stream as file, tarfile.open(fileobj=file, mode="w|", **form) as tar:
        tar.copybufsize = CHUNK_BYTES
        pick = Pick(fs, losses, reading)
        writer = _Writer(pick, tar, Budget(image, max_bytes), Pace(fs, "archive", progress))
        writer.write()
    return losses.facts(writer.count)


class _Writer:
    def __init__(self, pick: Pick, tar: tarfile.TarFile, budget: Budget, pace: Pace) -> None:
        self.pick = pick
        self.fs = pick.fs
        self.tar = tar
        self.budget = budget
        self.pace = pace
        self.count = 0
        self._directories: set[int] = set()  # inode numbers
        self._first: dict[int, tarfile.TarInfo] = {}  # by inode number, of what has several names

    def write(self) -> None:
        for path, status in self.pick.walk():
            if status.type == "socket":
                self.pick.losses.omit(path, status.type, "was left out", "no archive can hold one")
                continue
            try:
                member, content = self._prepare(path, status)
            except Jffs2txError as error:
                self.pick.failed(path, status, error)
                continue
            self.tar.addfile(member, content)  # what fails now cannot be taken back
            self.pace.finished(member.size)
            self.count += 1

    def _prepare(self, path: bytes, status: Stat) -> tuple[tarfile.TarInfo, BinaryIO | None]:
        """A member and its content, which can be read. Raises Jffs2txError."""
        ino = status.ino
        self.pick.check(ino)
        check_root(path, status)
        if ino in self._directories:
            raise Corrupt("is a further name of a directory, which an archive cannot have")
        if ino in self._first:
            return _link_to(self._first[ino], path), None
        entry = self.pick.entry(path, status)
        self.budget.take(entry.size + sum(map(len, entry.xattrs.values())))
        member, content = _member(entry), None
        if entry.type == "file":
            _check_readable(self.fs, ino)
            content = _Content(self.fs, ino, self.pace)
        if entry.type == "dir":
            self._directories.add(ino)
        elif entry.inode is not None:
            self._first[ino] = member
        return member, content


def _check_readable(fs: FileSystem, ino: int) -> None:
    """Whether it is a regular file, and each node that shows decompresses. Raises Corrupt, InvalidValue."""
    fs.read_ino(ino, 0, 1)
    for extent in fs.extents_ino(ino):
        check(lib.jx_fs_check_content(fs.handle, extent.node), doing=f"reading inode {ino}")


def _text(data: bytes) -> str:
    """As tarfile wants it: it writes the same bytes again."""
    return data.decode("utf-8", "surrogateescape")


def _name(path: bytes) -> str:
    return _text(b"./" + path) if path else "."


def _link_to(first: tarfile.TarInfo, path: bytes) -> tarfile.TarInfo:
    """A further name, with the metadata of the first: some readers set them again."""
    link = copy.copy(first)
    link.type, link.name, link.linkname, link.size, link.pax_headers = tarfile.LNKTYPE, _name(path), first.name, 0, {}
    return link


def _member(entry: Entry) -> tarfile.TarInfo:
    member = tarfile.TarInfo(_name(entry.path))
    member.type = _TYPES[entry.type]
    member.mode, member.uid, member.gid, member.mtime = entry.mode, entry.uid, entry.gid, entry.time
    member.size = entry.size
    if entry.link is not None:
        member.linkname = _text(entry.link)
    if entry.device is not None:
        member.devmajor, member.devminor = entry.device
    member.pax_headers = {_XATTR + _keyword(name): _text(value) for name, value in sorted(entry.xattrs.items())}
    return member


def _keyword(name: bytes) -> str:
    """An attribute's name as GNU tar writes it: an equals sign would end it."""
    return _text(name.replace(b"%", b"%25").replace(b"=", b"%3D"))


class _Content(io.RawIOBase):
    """A file's content, to be read from its start to its end."""

    def __init__(self, fs: FileSystem, ino: int, pace: Pace) -> None:
        self._fs = fs
        self._ino = ino
        self._pace = pace
        self._offset = 0

    def read(self, size: int = -1) -> bytes:
        data = self._fs.read_ino(self._ino, self._offset, CHUNK_BYTES if size < 0 else size)
        self._offset += len(data)
        self._pace.at(self._offset)
        return data
