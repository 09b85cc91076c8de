"""The geometry of the flash that an image file is of: what is given, checked against what the image shows."""

from __future__ import annotations

from dataclasses import dataclass

from jffs2tx.device import Geometry
from jffs2tx.errors import GeometryError
from jffs2tx.oob import SIZE_MAX_BYTES
from jffs2tx.probe import ALLOWED, ENOUGH_CLEANMARKERS, Probe
from jffs2tx.progress import exact_size, format_bytes

ERASE_SIZE_MIN_BYTES = 4096
ERASE_SIZE_MAX_BYTES = 64 * 1024 * 1024  # of a new image; no chip has larger ones
PAGE_SIZES_BYTES = range(256, 65537)
OOB_AVAIL_BYTES = 8  # what a cleanmarker takes; every NAND has as much
USUAL_ERASE_SIZE_BYTES = 64 * 1024
MOUNT_MIN_BLOCKS = 5  # jffs2_do_fill_super
LARGE_PAGE_BYTES = 2048
DATAFLASH_PAGE_BYTES = 264
SMALL_PAGE_BYTES = 512
SMALL_PAGE_BLOCK_MAX_BYTES = 32 * 1024  # of chips with pages of 512 bytes


@dataclass(frozen=True, slots=True)
class Given:
    """Sizes as the caller says them, in bytes; None: not said."""

    erase: int | None = None
    page: int | None = None
    device: int | None = None
    subpage: int | None = None
    nor: bool = False


def find_geometry(path: str, size: int, seen: Probe, given: Given, guesses: list[str]) -> Geometry:
    """size: of the image, in bytes of data. Raises GeometryError."""
    if not size and given.device is None:
        raise GeometryError("is empty; --device-size says how large the erased device is", path=path)
    erase_size, page_size = given.erase, given.page
    if erase_size is None:
        erase_size = _find_erase_size(size, seen, guesses, page_size)
    else:
        _check_erase_size(path, seen, erase_size, page_size)
    device_size = _device_size(path, size, seen.used, erase_size, given.device, guesses)
    if page_size is None:
        if not seen.erased and not seen.cleanmarkers and not given.nor:
            guesses.append("bit-writable NOR (though it has no cleanmarkers; --page-size says that it is a NAND)")
        return Geometry("nor", device_size, erase_size)
    subpage_size = given.subpage or assume_subpage(page_size)
    return Geometry("nand", device_size, erase_size, page_size, subpage_size, OOB_AVAIL_BYTES)


def check_shown(path: str, seen: Probe, given: Given, erase_size: int) -> None:
    """Raises GeometryError where the medium shows neither the eraseblock nor the kind of flash, and nobody said it: a
    guess is nothing to write by.
    """
    if given.erase is None and not seen.is_certain and seen.cleanmarkers >= ENOUGH_CLEANMARKERS:
        raise GeometryError(
            f"not all of {seen.cleanmarkers} cleanmarkers stand at multiples of {exact_size(erase_size)}, the "
            "eraseblock that its nodes allow: to write to it, say --erase-size",
            path=path,
        )
    if given.erase is None and not seen.shows_erase_size:
        guess = exact_size(erase_size)
        raise GeometryError(
            f"nothing on the medium shows its eraseblock ({guess} is a guess): to write to it, say --erase-size",
            path=path,
        )
    if given.page is None and not given.nor and not seen.cleanmarkers:
        raise GeometryError(
            "nothing on the medium shows whether it is NOR or NAND: to write to it, say --nor, or a NAND's --page-size",
            path=path,
        )


def check_layout(path: str, page_size: int, given: Given, erase_size: int, guesses: list[str], writable: bool) -> None:
    """Whether pages of a dump that seem to have 512 bytes are quarters of larger ones, each with its share of the OOB.
    Raises GeometryError where such a dump is to be written.
    """
    if page_size != SMALL_PAGE_BYTES or given.page is not None or erase_size <= SMALL_PAGE_BLOCK_MAX_BYTES:
        return
    what = (
        f"eraseblocks of {exact_size(erase_size)} are too large for pages of 512 bytes: each page of 2,048 is laid out "
        "as 4 x (512 + 16)"
    )
    if writable:
        raise GeometryError(f"{what}, which is read and not written; --page-size 512 says otherwise", path=path)
    guesses.append(what)


def new_geometry(path: str, erase_size: int, page_size: int | None, size: int | None) -> Geometry:
    """Of an image that is to be made at this path; size None: 0, yet to be found. Raises GeometryError."""
    check_page_size(path, page_size)
    _check_sizes(path, erase_size, page_size)
    if erase_size > ERASE_SIZE_MAX_BYTES:
        shown = f"{exact_size(erase_size)} is larger than that of any flash, {exact_size(ERASE_SIZE_MAX_BYTES)}"
        raise GeometryError(f"an eraseblock of {shown}", path=path)
    if size is not None:
        _check_device_size(path, size, erase_size)
        if size < MOUNT_MIN_BLOCKS * erase_size:
            shown = f"{exact_size(size)} is less than {MOUNT_MIN_BLOCKS} eraseblocks of {exact_size(erase_size)}"
            raise GeometryError(f"the size {shown}, and Linux mounts nothing smaller", path=path)
    if page_size is None:
        return Geometry("nor", size or 0, erase_size)
    return Geometry("nand", size or 0, erase_size, page_size, assume_subpage(page_size), OOB_AVAIL_BYTES)


def usual_erase_size(page_size: int) -> int:
    """Of a NAND with such pages."""
    return page_size * (64 if page_size >= LARGE_PAGE_BYTES else 32)


def assume_subpage(page_size: int) -> int:
    """What SLC chips of this page usually take."""
    return page_size // 4 if page_size >= LARGE_PAGE_BYTES else page_size


def check_page_size(path: str, page_size: int | None) -> None:
    """Raises GeometryError."""
    if page_size is not None and not (_is_power_of_two(page_size) and page_size in PAGE_SIZES_BYTES):
        raise GeometryError(f"a page of {page_size} bytes is impossible: it is a power of two from 256", path=path)


def _is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def _find_erase_size(size: int, seen: Probe, guesses: list[str], page_size: int | None) -> int:
    if seen.is_certain:
        return seen.erase_size
    usual = USUAL_ERASE_SIZE_BYTES if page_size is None else usual_erase_size(page_size)
    # Nodes that end at a boundary show it; a boundary that none has reached says nothing.
    if seen.evidence == ALLOWED and seen.end > seen.erase_size:
        guesses.append(f"erase size {exact_size(seen.erase_size)} ({seen.erase_size_reason})")
        return seen.erase_size
    usual = max(usual, seen.uncrossed)
    possible = usual
    while possible > max(seen.uncrossed, ERASE_SIZE_MIN_BYTES) and size % possible:
        possible //= 2
    guess = usual if size % possible else possible
    guesses.append(f"erase size {exact_size(guess)} (nothing on the medium shows it)")
    return guess


def _check_sizes(path: str, erase_size: int, page_size: int | None) -> None:
    """Whether any flash is so."""
    if erase_size % DATAFLASH_PAGE_BYTES == 0:
        raise GeometryError(
            f"eraseblocks of {erase_size} bytes, as a DataFlash with pages of 264, 528 or 1056 bytes has them, are not "
            f"supported: only powers of two from {ERASE_SIZE_MIN_BYTES}",
            path=path,
        )
    if not _is_power_of_two(erase_size) or erase_size < ERASE_SIZE_MIN_BYTES:
        raise GeometryError(
            f"an eraseblock of {erase_size} bytes is impossible: it is a power of two from {ERASE_SIZE_MIN_BYTES}",
            path=path,
        )
    if page_size is not None and page_size > erase_size:
        raise GeometryError(f"a page of {page_size} bytes is larger than the eraseblock of {erase_size}", path=path)


def _check_erase_size(path: str, seen: Probe, erase_size: int, page_size: int | None) -> None:
    """Whether the medium allows what was given."""
    _check_sizes(path, erase_size, page_size)
    if erase_size < seen.uncrossed:
        reason = "nodes cross its boundaries"
    elif seen.is_certain and seen.summaries and erase_size != seen.erase_size:
        reason = "summaries show another"
    elif seen.is_certain and erase_size < seen.erase_size and seen.cleanmarkers >= ENOUGH_CLEANMARKERS:
        reason = f"all {seen.cleanmarkers} cleanmarkers stand at multiples of {exact_size(seen.erase_size)}"
    elif seen.is_certain and erase_size > seen.erase_size:
        reason = "cleanmarkers stand within such blocks"
    else:
        return
    likely = f"; {exact_size(seen.erase_size)} is likely right" if seen.erase_size else ""
    raise GeometryError(f"wrong erase size {exact_size(erase_size)}: {reason}{likely}", path=path)


def _device_size(path: str, size: int, used: int, erase_size: int, device_size: int | None, guesses: list[str]) -> int:
    """used: bytes up to the last one that is not erased."""
    if device_size is None:
        down = size // erase_size * erase_size
        if down >= used and down:  # as the kernel does it
            if down != size:
                guesses.append(f"the last {size - down} bytes are left out: they are no whole eraseblock, and erased")
            return down
        rounded = -(-size // erase_size) * erase_size
        if rounded > SIZE_MAX_BYTES:
            raise GeometryError(f"is {format_bytes(size)}, too much for JFFS2 to address", path=path)
        if rounded != size:
            guesses.append(f"device size {exact_size(rounded)} (the image, to the end of its last eraseblock)")
        return rounded
    if device_size < size:
        shown = f"{exact_size(device_size)} is smaller than the image of {exact_size(size)}"
        raise GeometryError(f"the device size {shown}", path=path)
    _check_device_size(path, device_size, erase_size)
    return device_size


def _check_device_size(path: str, device_size: int, erase_size: int) -> None:
    if not device_size or device_size % erase_size or device_size > SIZE_MAX_BYTES:
        shown = f"{exact_size(device_size)} is not a number of eraseblocks of {exact_size(erase_size)} below 4 GiB"
        raise GeometryError(f"the device size {shown}", path=path)
