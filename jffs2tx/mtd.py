"""MTD devices: who else uses one, and what its content says."""

from __future__ import annotations

import os
import sys

from jffs2tx._ffi import ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.diagnosis import why_nothing
from jffs2tx.errors import Busy, FormatError, GeometryError, Refused
from jffs2tx.mounts import mounts_of
from jffs2tx.view import View

MTD_CHAR_MAJOR = 90
ENOUGH_NODES = 64  # of one byte order more than of the other
SAMPLE_BYTES = 4 << 20  # that are looked at where there is no node
HEAD_BYTES = 256  # of a block: EMPTY_SCAN_SIZE


def index_of(path: str) -> int:
    """N of /dev/mtdN, whatever its node is called. Raises Refused where it is another kind of device."""
    device = os.stat(path).st_rdev
    if os.major(device) != MTD_CHAR_MAJOR:
        raise Refused("is neither an image file nor an MTD device", path=path)
    return os.minor(device) // 2  # the odd one is its read-only twin


def mounted_at(path: str) -> str | None:
    """Where the device is mounted read-only, if it is mounted. Raises Busy where it is mounted read-write."""
    mounts = mounts_of(index_of(path))
    for mount in mounts:
        if mount.writable:
            raise Busy(f"is mounted read-write at {mount.point}: what is on it changes meanwhile", path=path)
    return mounts[0].point if mounts else None


def check_given(path: str, geometry: Geometry, given: dict[str, int | None]) -> None:
    """Raises GeometryError where the caller says something else than the kernel."""
    known = {
        "eraseblock": geometry.erase_size,
        "page": geometry.write_size,
        "device": geometry.size,
        "subpage": geometry.subpage_size,
    }
    for name, size in given.items():
        if size is not None and size != known[name]:
            raise GeometryError(f"a {name} of {size} bytes: the kernel says that it has {known[name]}", path=path)


def find_endian(path: str, flash: Flash, wanted: str | None, guesses: list[str]) -> str:
    """The byte order of the nodes; of an erased device the wanted one, or this machine's. Raises FormatError."""
    little, big, erased = _count_nodes(flash)
    if not (little or big):
        if not erased:
            sample = flash.read(0, min(flash.geometry.size, SAMPLE_BYTES), forgiving=True)
            raise FormatError(f"holds no JFFS2: {why_nothing(View(sample, 0, len(sample)))}", path=path)
        if wanted is None:
            guesses.append(f"byte order {sys.byteorder}, this machine's (the device is erased)")
        return wanted or sys.byteorder
    found = "big" if big > little else "little"
    if wanted is not None and not (big if wanted == "big" else little):
        raise FormatError(f"holds a {found}-endian file system, not a {wanted}-endian one", path=path)
    return wanted or found


def _count_nodes(flash: Flash) -> tuple[int, int, bool]:
    """(little-endian nodes, big-endian nodes, whether there is nothing but 0xFF), until it is clear enough.

    A block that starts erased counts for empty, as it does for the kernel.
    """
    geometry = flash.geometry
    little, big, empty, used = 0, 0, [], False
    found = ffi.new("struct jx_probe *")
    for offset in range(0, geometry.size, geometry.erase_size):
        if flash.is_bad(offset):
            continue
        if _is_erased(flash, offset, max(geometry.write_size, HEAD_BYTES)):
            empty.append(offset)
            continue
        used = True
        block = flash.read(offset, geometry.erase_size, forgiving=True)
        lib.jx_probe_image(block, len(block), 0, 0, found)
        little, big = little + found.little, big + found.big
        if abs(little - big) >= ENOUGH_NODES:
            break
    return little, big, not used and all(_is_erased(flash, offset, geometry.erase_size) for offset in empty)


def _is_erased(flash: Flash, offset: int, size: int) -> bool:
    return not flash.read(offset, size, forgiving=True).strip(b"\xff")
