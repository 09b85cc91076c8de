"""Opening a target: an MTD device, which the kernel describes, or an image file: what kind of flash that is of, by what
is given and by what the image itself shows."""

from __future__ import annotations

import fcntl
import functools
import mmap
import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass

from jffs2tx import mtd
from jffs2tx._ffi import ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import Busy, FormatError, GeometryError, IsADirectory, Refused
from jffs2tx.evidence import running_kernel
from jffs2tx.filesystem import FileSystem
from jffs2tx.mounts import MTD_BLOCK_MAJOR
from jffs2tx.progress import format_bytes
from jffs2tx.readers import DEFAULT_READERS

SIZE_MAX_BYTES = 0xFFFFFFFF  # offsets are 32 bits in the core, as they are on the medium
ERASE_SIZE_MIN_BYTES = 4096
PAGE_SIZES_BYTES = range(256, 65537)
OOB_AVAIL_BYTES = 8  # what a cleanmarker takes; every NAND has as much
USUAL_ERASE_SIZE_BYTES = 64 * 1024
LARGE_PAGE_BYTES = 2048
CERTAIN = 2  # jx_probe.evidence

#: So many cleanmarkers, none between multiples of the size they show: a smaller eraseblock is out of the question.
ENOUGH_CLEANMARKERS = 8


@dataclass(frozen=True, slots=True)
class Probe:
    """What the bytes of an image show; see struct jx_probe."""

    little: int
    big: int
    cleanmarkers: int
    erase_size: int
    evidence: int
    summaries: int
    uncrossed: int
    end: int
    erased: bool  # nothing but 0xFF

    @property
    def endian(self) -> str:
        return "big" if self.big > self.little else "little"


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
        assumed_subpage: int | None = None,
        mounted: str | None = None,
        reader: tuple[str, str | None] = (DEFAULT_READERS[0], None),
    ) -> None:
        self.path = path
        self.flash = flash
        self.endian = endian
        #: Sentences about what neither the caller nor the medium said.
        self.guesses = guesses
        #: The subpage in bytes where it was assumed: an image file does not tell.
        self.assumed_subpage = assumed_subpage
        #: Where the running kernel has this very file system mounted, read-only; the flash is live then.
        self.mounted = mounted
        #: Who is taken to read it where the user names nobody, and the evidence.
        self.reader, self.reader_evidence = reader
        self._open = lock
        self._open.callback(flash.close)

    @property
    def geometry(self) -> Geometry:
        return self.flash.geometry

    def fs(self, *, summary: bool = True, empty_scan: int = 256) -> FileSystem:
        """The file system as it is now, from a fresh scan; closed with the image at the latest.

        Raises FormatError, MediumError.
        """
        fs = FileSystem(self.flash, endian=self.endian, summary=summary, empty_scan=empty_scan, path=self.path)
        self._open.callback(fs.close)
        return fs

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
    device_size: int | None = None,
    endian: str | None = None,
    subpage_size: int | None = None,
) -> Image:
    """A target as a flash; sizes in bytes.

    An MTD device is what the kernel says. An image file is a page-programmed NAND with page_size, else bit-writable
    NOR; what is not given is found by evidence, or guessed and said in `guesses`. Raises GeometryError where what is
    given contradicts the target, FormatError where it is no JFFS2, Refused where it is neither file nor MTD device,
    Busy where it is mounted read-write or another process writes to it. Mounted read-only, it is live (Flash.live).
    """
    path = os.fspath(target)
    mode = os.stat(path).st_mode
    if stat.S_ISCHR(mode):
        given = {"eraseblock": erase_size, "page": page_size, "device": device_size, "subpage": subpage_size}
        return _open_device(path, writable, given, endian)
    with ExitStack() as undo:
        file = undo.enter_context(_open_file(path, writable))
        size = os.fstat(file.fileno()).st_size
        probe = _probe(file, size, path)
        guesses: list[str] = []
        geometry = _geometry(path, size, probe, guesses, erase_size, page_size, device_size, subpage_size)
        order = _endian(path, probe, guesses, endian)
        flash = Flash.file(path, geometry, writable)
        assumed = geometry.subpage_size if page_size and subpage_size is None else None
        return Image(path, flash, order, guesses, undo.pop_all(), assumed_subpage=assumed)


def _open_device(path: str, writable: bool, given: dict[str, int | None], endian: str | None) -> Image:
    """Raises Refused, Busy, GeometryError, FormatError, MediumError, OSError."""
    mounted = mtd.mounted_at(path)
    guesses: list[str] = []
    with ExitStack() as undo:
        undo.enter_context(_locked(path, writable))
        flash = undo.enter_context(Flash.mtd(path, writable))
        flash.live = mounted is not None
        flash.check_users = functools.partial(_check_mount, path, mounted)
        mtd.check_given(path, flash.geometry, given)
        order = mtd.find_endian(path, flash, endian, guesses)
        return Image(path, flash, order, guesses, undo.pop_all(), mounted=mounted, reader=running_kernel())


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


# ---- evidence --------------------------------------------------------------------------------------------------------


def _probe(file, size: int, path: str) -> Probe:
    """Raises FormatError, GeometryError."""
    if size > SIZE_MAX_BYTES:
        raise GeometryError(f"is {format_bytes(size)}, more than the 4 GiB that JFFS2 can address", path=path)
    found = ffi.new("struct jx_probe *")
    erased = True
    if size:
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content, ffi.from_buffer(content) as data:
            lib.jx_probe_image(data, size, found)
            erased = not (found.little or found.big) and _is_erased(content)
    probe = Probe(
        found.little,
        found.big,
        found.cleanmarkers,
        found.erase_size_bytes,
        found.evidence,
        found.summaries,
        found.uncrossed_bytes,
        found.end,
        erased,
    )
    if not (probe.little or probe.big or probe.erased):
        raise FormatError("is no JFFS2 image: not one node in it is well formed", path=path)
    return probe


def _is_erased(content: mmap.mmap, step: int = 1 << 20) -> bool:
    return all(not content[at : at + step].strip(b"\xff") for at in range(0, len(content), step))


def _endian(path: str, probe: Probe, guesses: list[str], endian: str | None) -> str:
    if probe.erased:
        if endian is None:
            guesses.append("byte order little (the medium is erased)")
        return endian or "little"
    if endian is not None and not getattr(probe, endian):
        raise FormatError(f"is a {probe.endian}-endian image, not a {endian}-endian one", path=path)
    return endian or probe.endian


# ---- geometry --------------------------------------------------------------------------------------------------------


def _geometry(
    path: str,
    size: int,
    probe: Probe,
    guesses: list[str],
    erase_size: int | None,
    page_size: int | None,
    device_size: int | None,
    subpage_size: int | None,
) -> Geometry:
    """Raises GeometryError."""
    if not size and device_size is None:
        raise GeometryError("is empty; --device-size says how large the erased device is", path=path)
    if page_size is not None and not (_is_power_of_two(page_size) and page_size in PAGE_SIZES_BYTES):
        raise GeometryError(f"a page of {page_size} bytes is impossible: it is a power of two from 256", path=path)
    if erase_size is None:
        erase_size = _find_erase_size(size, probe, guesses, page_size)
    else:
        _check_erase_size(path, probe, erase_size, page_size)
    device_size = _device_size(path, size, erase_size, device_size, guesses)
    if page_size is None:
        if not probe.erased and not probe.cleanmarkers:
            guesses.append("bit-writable NOR (though it has no cleanmarkers; --page-size says that it is a NAND)")
        return Geometry("nor", device_size, erase_size)
    return Geometry(
        "nand", device_size, erase_size, page_size, subpage_size or assume_subpage(page_size), OOB_AVAIL_BYTES
    )


def assume_subpage(page_size: int) -> int:
    """What SLC chips of this page usually take."""
    return page_size // 4 if page_size >= LARGE_PAGE_BYTES else page_size


def _is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def _find_erase_size(size: int, probe: Probe, guesses: list[str], page_size: int | None) -> int:
    if probe.evidence == CERTAIN:
        return probe.erase_size
    usual = USUAL_ERASE_SIZE_BYTES if page_size is None else 64 * page_size if page_size >= 2048 else 32 * page_size
    # Nodes that end at a boundary show it; a boundary that none has reached says nothing.
    if probe.evidence and probe.end > probe.erase_size:
        guesses.append(f"erase size {_shown(probe.erase_size)} (no node crosses a multiple of it)")
        return probe.erase_size
    usual = max(usual, probe.uncrossed)
    possible = usual
    while possible > max(probe.uncrossed, ERASE_SIZE_MIN_BYTES) and size % possible:
        possible //= 2
    guess = usual if size % possible else possible
    guesses.append(f"erase size {_shown(guess)} (nothing on the medium shows it)")
    return guess


def _check_erase_size(path: str, probe: Probe, erase_size: int, page_size: int | None) -> None:
    """Whether the medium allows what was given."""
    if not _is_power_of_two(erase_size) or erase_size < ERASE_SIZE_MIN_BYTES:
        raise GeometryError(
            f"an eraseblock of {erase_size} bytes is impossible: it is a power of two from {ERASE_SIZE_MIN_BYTES}",
            path=path,
        )
    if page_size is not None and page_size > erase_size:
        raise GeometryError(f"a page of {page_size} bytes is larger than the eraseblock of {erase_size}", path=path)
    certain = probe.evidence == CERTAIN
    if erase_size < probe.uncrossed:
        reason = "nodes cross its boundaries"
    elif certain and probe.summaries and erase_size != probe.erase_size:
        reason = "summaries show another"
    elif certain and erase_size < probe.erase_size and probe.cleanmarkers >= ENOUGH_CLEANMARKERS:
        reason = f"all {probe.cleanmarkers} cleanmarkers stand at multiples of {_shown(probe.erase_size)}"
    elif certain and erase_size > probe.erase_size:
        reason = "cleanmarkers stand within such blocks"
    else:
        return
    likely = f"; {_shown(probe.erase_size)} is likely right" if probe.erase_size else ""
    raise GeometryError(f"wrong erase size {_shown(erase_size)}: {reason}{likely}", path=path)


def _device_size(path: str, size: int, erase_size: int, device_size: int | None, guesses: list[str]) -> int:
    if device_size is None:
        rounded = -(-size // erase_size) * erase_size
        if rounded > SIZE_MAX_BYTES:
            raise GeometryError(f"is {format_bytes(size)}, too much for JFFS2 to address", path=path)
        if rounded != size:
            guesses.append(f"device size {_shown(rounded)} (the image, to the end of its last eraseblock)")
        return rounded
    if device_size < size:
        shown = f"{_shown(device_size)} is smaller than the image of {_shown(size)}"
        raise GeometryError(f"the device size {shown}", path=path)
    if device_size % erase_size or device_size > SIZE_MAX_BYTES:
        shown = f"{_shown(device_size)} is not a number of eraseblocks of {_shown(erase_size)} below 4 GiB"
        raise GeometryError(f"the device size {shown}", path=path)
    return device_size


def _shown(size: int) -> str:
    """Exact: with a unit only where the number is whole."""
    for shift, unit in ((20, "MiB"), (10, "KiB")):
        if size and not size & ((1 << shift) - 1):
            return f"{size >> shift} {unit}"
    return f"{size} bytes"
