"""Opening a target: an MTD device, which the kernel describes, or an image file: which part of it holds the file system
and what kind of flash that is of, by what is given and by what the file itself shows."""

from __future__ import annotations

import errno
import fcntl
import functools
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace

from jffs2tx import mtd
from jffs2tx.device import Flash, Geometry, Oob
from jffs2tx.errors import Busy, GeometryError, HostError, InvalidValue, IsADirectory, Refused
from jffs2tx.evidence import running_kernel
from jffs2tx.filesystem import FileSystem
from jffs2tx.geometry import Given, check_layout, check_page_size, check_shown, find_geometry
from jffs2tx.locate import Location, check_aligned, check_window, locate, locate_partition
from jffs2tx.mounts import MTD_BLOCK_MAJOR
from jffs2tx.oob import SIZE_MAX_BYTES, Dump, find_dump
from jffs2tx.partitions import choose, read_partitions
from jffs2tx.probe import Probe, find_endian, probe
from jffs2tx.progress import format_bytes
from jffs2tx.readers import DEFAULT_READERS
from jffs2tx.view import View

COPY_BYTES = 16 << 20


class Image:
    """A target that is open. Use with `with`, or close()."""

    def __init__(
        self,
        path: str,
        flash: Flash,
        endian: str,
        guesses: list[str],
        lock: ExitStack,
        *,
        writable: bool = True,
        assumed_subpage: int | None = None,
        oob: Oob | None = None,
        seen: Probe | None = None,
        location: Location | None = None,
        mounted: str | None = None,
        reader: tuple[str, str | None] = (DEFAULT_READERS[0], None),
    ) -> None:
        self.path = path
        self.flash = flash
        self.endian = endian
        #: Sentences about what neither the caller nor the medium said.
        self.guesses = guesses
        self.writable = writable
        #: The subpage in bytes where it was assumed: an image file does not tell.
        self.assumed_subpage = assumed_subpage
        #: What follows each page in the file, which is a dump then.
        self.oob = oob
        #: What the bytes of a file show, and where in the file they stand; None of a device.
        self.seen = seen
        self.location = location
        #: Where the running kernel has this very file system mounted, read-only; the flash is live then.
        self.mounted = mounted
        #: Who is taken to read it where the user names nobody, and the evidence.
        self.reader, self.reader_evidence = reader
        self._open = lock
        self._open.callback(flash.close)

    @property
    def geometry(self) -> Geometry:
        return self.flash.geometry

    def fs(self, *, summary: bool = True, empty_scan: int = 256, inspect: bool = False) -> FileSystem:
        """The file system as it is now, from a fresh scan; closed with the image at the latest. inspect: also where a
        kernel refuses the mount.

        Raises FormatError, MediumError.
        """
        fs = FileSystem(
            self.flash,
            endian=self.endian,
            summary=summary,
            empty_scan=empty_scan,
            inspect=inspect,
            path=self.path,
        )
        self._open.callback(fs.close)
        return fs

    def check_writable(self) -> None:
        """Raises Refused where it was opened to be only read."""
        if not self.writable:
            raise Refused("was opened to be read only; for changes: jffs2tx.open(…, writable=True)", path=self.path)

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_image(
    target: str | os.PathLike[str],
    *,
    writable: bool = False,
    erase_size: int | None = None,
    page_size: int | None = None,
    oob_size: int | None = None,
    device_size: int | None = None,
    endian: str | None = None,
    subpage_size: int | None = None,
    offset: int | None = None,
    length: int | None = None,
    partitions: str | None = None,
    partition: str | None = None,
    nor: bool = False,
) -> Image:
    """A target as a flash; sizes in bytes.

    An MTD device is what the kernel says. An image file is a page-programmed NAND with page_size, bit-writable NOR with
    nor; with oob_size it is a dump of a NAND that has so many bytes of OOB behind each page. offset and length are of
    the part of the file that holds the file system, OOB included. partitions is the board's table, or the name of a
    file with it (jffs2tx.partitions), and partition one of its names: an offset and a length as well. What is not given
    is found by evidence, or guessed and said in `guesses`; what is to be written needs evidence or an option. Raises
    GeometryError where what is given contradicts the target, or does not say enough to write to it; FormatError where
    it is no JFFS2; Refused where it is neither file nor MTD device, or is to be written and the evidence does not show
    which part of it; Busy where it is mounted read-write or another process writes to it. Mounted read-only, it is
    live (Flash.live).
    """
    path = os.fspath(target)
    mode = os.stat(path).st_mode
    given = Given(erase_size, page_size, device_size, subpage_size, nor)
    if stat.S_ISCHR(mode):
        if oob_size is not None:
            raise GeometryError("is a device; the size of the OOB is said of a dump in a file", path=path)
        if offset is not None or length is not None or partitions is not None:
            raise GeometryError("is a device; an offset, a length and partitions are said of a file", path=path)
        return _open_device(path, writable, given, endian)
    if (partitions is not None and (offset, length) != (None, None)) or (partition and partitions is None):
        raise InvalidValue("--partition goes with --partitions, which say the offset and the length", path=path)
    check_page_size(path, page_size)
    if nor and (page_size is not None or oob_size is not None):
        raise GeometryError("NOR has neither pages nor OOB", path=path)
    guesses: list[str] = []
    with ExitStack() as undo:
        file = undo.enter_context(_open_file(path, writable))
        location, dump, seen = _look(
            path, file, given.page, oob_size, Wanted(offset, length, partitions, partition), guesses
        )
        if writable:
            location.check_writable(path)
        said = given
        if dump:
            given = Given(erase_size, dump.page_size, device_size, subpage_size)
        view = location.view
        if given.device is None and location.to_file_end and (location.device_size or 0) > view.size:
            given = replace(given, device=location.device_size)
        geometry = find_geometry(path, view.size, seen, given, guesses)
        if dump and seen.is_certain:
            check_layout(path, dump.page_size, said, geometry.erase_size, guesses, writable)
        check_aligned(path, location.partition, geometry.erase_size)
        if writable:
            check_shown(path, seen, given, geometry.erase_size)
        order = find_endian(path, seen, guesses, endian)
        room = location.room
        if geometry.size < view.size:  # the kernel leaves out what is no whole eraseblock
            room = view.place(geometry.size) - view.offset
        if location.room and writable and geometry.size > view.size:
            raise GeometryError(
                f"{view.length:#x} bytes at {view.offset:#x} are not the whole eraseblocks of a device of "
                f"{geometry.size:#x} bytes, and what stands behind them is not to be written to",
                path=path,
            )
        oob = dump.oob if dump else None
        flash = Flash.file(path, geometry, writable, oob=oob, start=view.offset, length=room)
        low, high = location.own
        flash.set_extent(location.sureness, low, high or geometry.size)
        assumed = geometry.subpage_size if given.page and subpage_size is None else None
        return Image(
            path,
            flash,
            order,
            guesses,
            undo.pop_all(),
            writable=writable,
            assumed_subpage=assumed,
            oob=oob,
            seen=seen,
            location=location,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """The part of the file that the caller names."""

    offset: int | None
    length: int | None
    partitions: str | None
    partition: str | None


def _look(
    path: str,
    file,
    page_size: int | None,
    oob_size: int | None,
    wanted: Wanted,
    guesses: list[str],
) -> tuple[Location, Dump | None, Probe]:
    """Raises FormatError, GeometryError, Refused."""
    size = os.fstat(file.fileno()).st_size
    offset, length = wanted.offset, wanted.length
    window = check_window(path, size, offset or 0, length)
    _check_size(path, window * 4 // 5)  # more even if a fifth of it is OOB
    # All of the file where it is not too large: if there is nothing in the window, the message says where there is.
    start, copied = (0, size) if size <= SIZE_MAX_BYTES else (offset or 0, window)
    with _copied(path, file, size, start, copied) if size else nullcontext(b"") as content:
        view = View(content, offset or 0, window)
        dump = find_dump(path, view, page_size, oob_size, guesses)
        if dump:
            view = View(content, view.offset, window, dump.page_size, dump.oob.size)
        if wanted.partitions is not None:
            chosen = choose(read_partitions(wanted.partitions, view.size, path), wanted.partition, path)
            location = locate_partition(path, view, chosen, guesses)
        else:
            _check_size(path, view.size)
            location = locate(path, view, offset, length, guesses, dump)
        return location.closed(), dump, probe(location.view, dump)


@contextmanager
def _copied(path: str, file, size: int, offset: int, length: int) -> Iterator[mmap.mmap]:
    """The bytes of a file in memory of our own, of which only those of the window are filled, and of a hole none: a map
    of the file would end the program with SIGBUS if somebody cut the file short. Raises HostError.
    """
    fd, at, end = file.fileno(), offset, offset + length
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    with mmap.mmap(-1, size, flags=private) as content:
        try:
            with memoryview(content) as room:
                while (at := _next_data(fd, at, end)) < end:
                    with room[at : min(end, at + COPY_BYTES)] as part:
                        at += os.preadv(fd, [part], at) or end
            size_now = os.fstat(fd).st_size
        except OSError as error:
            raise HostError(
                f"the host cannot read it at {at:#x}: {(error.strerror or '').lower()}", path=path
            ) from None
        if size_now < end:
            raise HostError("became shorter while it was read: let nobody else write to it", path=path)
        yield content


def _next_data(fd: int, at: int, end: int) -> int:
    """Where from `at` on the file holds something other than a hole; at most `end`."""
    try:
        return min(end, os.lseek(fd, at, os.SEEK_DATA)) if at < end else end
    except OSError as error:
        if error.errno == errno.ENXIO:
            return end
        raise


def _check_size(path: str, size: int) -> None:
    """Raises GeometryError."""
    if size > SIZE_MAX_BYTES:
        raise GeometryError(
            f"is {format_bytes(size)}, more than the 4 GiB that JFFS2 can address: --offset and --length say which "
            "part of it",
            path=path,
        )


def _open_device(path: str, writable: bool, given: Given, endian: str | None) -> Image:
    """Raises Refused, Busy, GeometryError, FormatError, MediumError, OSError."""
    mounted = mtd.mounted_at(path)
    guesses: list[str] = []
    with ExitStack() as undo:
        undo.enter_context(_locked(path, writable))
        flash = undo.enter_context(Flash.mtd(path, writable))
        flash.live = mounted is not None
        flash.check_users = functools.partial(_check_mount, path, mounted)
        sizes = {"eraseblock": given.erase, "page": given.page, "device": given.device, "subpage": given.subpage}
        mtd.check_given(path, flash.geometry, sizes)
        order = mtd.find_endian(path, flash, endian, guesses)
        return Image(
            path,
            flash,
            order,
            guesses,
            undo.pop_all(),
            writable=writable,
            mounted=mounted,
            reader=running_kernel(),
        )


def _check_mount(path: str, mounted: str | None) -> None:
    """Raises Busy where it is mounted otherwise than when it was opened."""
    now = mtd.mounted_at(path)
    if now is not None and mounted is None:
        raise Busy(f"was mounted at {now} meanwhile; nothing is committed", path=path)


def _open_file(path: str, writable: bool):
    """Open, and locked where it is to be written. Raises Refused, Busy, OSError."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectory("is a directory, not an image", path=path)
    if stat.S_ISBLK(mode):
        device = os.stat(path).st_rdev
        instead = f"; use /dev/mtd{os.minor(device)}" if os.major(device) == MTD_BLOCK_MAJOR else ""
        raise Refused(f"is a block device, which hides the flash{instead}", path=path)
    if not stat.S_ISREG(mode):
        raise Refused("is no regular file", path=path)
    return _locked(path, writable)


def _locked(path: str, writable: bool):
    """One writer at a time. Raises Busy, OSError."""
    file = open(path, "r+b" if writable else "rb", buffering=0)  # noqa: SIM115 (the caller's stack closes it)
    if writable:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise Busy("another jffs2tx is writing to it", path=path) from None
    return file
