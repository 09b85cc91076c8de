"""Who reads the medium, and what each of them makes of a transaction: a table, not code.

A reader is whatever mounts or searches the file system at the next boot: a Linux kernel, a boot loader. The promise
(wholly the old or wholly the new tree at every instant) is kept for the readers that the user names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from jffs2tx.errors import InvalidValue


class Strategy(StrEnum):
    SWAP = "swap"
    FLIP = "flip"
    SEAL = "seal"
    LIFT = "lift"


class View(StrEnum):
    """What a reader sees of a transaction by one strategy."""

    HOLDS = "holds"
    LATE = "late"
    EARLY = "early"
    UNKNOWN = "unknown"


_VIEW_REASONS = {
    View.LATE: "it sees the old tree until the transaction is settled",
    View.EARLY: "it sees the new tree before the commit",
    View.UNKNOWN: "nobody has tried it",
}

#: Decompressors in every build of the kernel's defaults; lzo is an option there.
_USUAL = frozenset({"none", "zero", "rtime", "zlib"})


@dataclass(frozen=True, slots=True)
class Reader:
    """One row. An ability of None is unknown: the engine then relies on neither answer."""

    name: str
    description: str
    views: dict[Strategy, View] = field(hash=False)
    #: Takes what stands in a valid summary for the whole of its block. False: always scans in full.
    summary: bool | None = False
    #: Lets a staged directory name the live tree's subdirectories (Linux from 4.5).
    shares_directories: bool = True
    #: Mounts a medium that holds xattr nodes.
    xattr: bool | None = None
    #: Reads a summary that lists xattr nodes.
    xattr_in_summary: bool = True
    #: How much of a block's start it looks at before it takes the block for empty; None: all of it, or unknown.
    empty_scan_bytes: int | None = None
    #: What it is known to decompress. What the medium already uses may be used as well.
    compressors: frozenset[str] = _USUAL
    #: Names longer than this draw a warning.
    name_max_bytes: int = 254
    #: Finds files behind a symbolic link to a directory.
    follows_directory_symlinks: bool = True
    #: Resolves a symbolic link from the newest dirent of its inode, even in a dead or unreached directory.
    links_by_newest_dirent: bool = False
    #: The row that promises more of the same reader, to be named by a user who knows that it is true.
    narrower: str | None = None
    #: Beside the views: what must be given for them, or what is worse than they say. By strategy.
    notes: dict[Strategy, str] = field(default_factory=dict, hash=False)


def _views(swap: View, flip: View, seal: View, lift: View) -> dict[Strategy, View]:
    return dict(zip(Strategy, (swap, flip, seal, lift), strict=True))


_ALL_BUT_SEAL = _views(View.HOLDS, View.HOLDS, View.LATE, View.HOLDS)
_ALL = _views(View.HOLDS, View.HOLDS, View.HOLDS, View.HOLDS)
_MIXED = {Strategy.SEAL: "while settling by plain nodes it sees a mixture"}
_UBOOT_NAME_MAX_BYTES = 216

_TABLE = (
    Reader(
        "linux",
        "Linux from 4.5, with or without summary support",
        _ALL_BUT_SEAL,
        summary=None,
        empty_scan_bytes=1024,
        narrower="linux-summary",
        notes={Strategy.SEAL: "a kernel without summary support"},
    ),
    Reader("linux-summary", "Linux from 4.5 with CONFIG_JFFS2_SUMMARY", _ALL, summary=True, empty_scan_bytes=1024),
    Reader("linux-no-summary", "Linux from 4.5 without CONFIG_JFFS2_SUMMARY", _ALL_BUT_SEAL, empty_scan_bytes=1024),
    Reader(
        "linux-old",
        "Linux before 4.5, with or without summary support",
        _ALL_BUT_SEAL,
        summary=None,
        shares_directories=False,
        empty_scan_bytes=1024,
        notes={Strategy.SEAL: "a kernel without summary support"},
    ),
    Reader(
        "u-boot",
        "U-Boot since late 2008",
        _ALL_BUT_SEAL,
        xattr=True,
        empty_scan_bytes=1024,
        name_max_bytes=_UBOOT_NAME_MAX_BYTES,
        follows_directory_symlinks=False,
        links_by_newest_dirent=True,
        notes=_MIXED,
    ),
    Reader(
        "u-boot-summary",
        "U-Boot with CONFIG_SYS_JFFS2_SUMMARY",
        _ALL,
        summary=True,
        xattr=True,
        xattr_in_summary=False,
        empty_scan_bytes=1024,
        name_max_bytes=_UBOOT_NAME_MAX_BYTES,
        follows_directory_symlinks=False,
        links_by_newest_dirent=True,
    ),
    Reader(
        "u-boot-2008",
        "U-Boot of 2008 and before",
        _views(View.HOLDS, View.HOLDS, View.LATE, View.EARLY),
        xattr=True,
        name_max_bytes=_UBOOT_NAME_MAX_BYTES,
        follows_directory_symlinks=False,
        links_by_newest_dirent=True,
    ),
    Reader("barebox", "barebox", _ALL_BUT_SEAL, empty_scan_bytes=1024, notes=_MIXED),
    Reader("rtems", "RTEMS", _ALL_BUT_SEAL, empty_scan_bytes=1024, notes=_MIXED),
    Reader("ecos", "eCos and RedBoot, NOR only", _views(View.HOLDS, View.HOLDS, View.UNKNOWN, View.UNKNOWN)),
    Reader(
        "openfirmware",
        "Open Firmware of the 2007 laptop",
        _views(View.HOLDS, View.HOLDS, View.HOLDS, View.EARLY),
        summary=True,
        compressors=frozenset({"none", "rtime", "zlib"}),
        notes={Strategy.SWAP: "given ECC that catches a torn page"},
    ),
)


def _with_xattr(reader: Reader) -> Reader:
    """The same kernel, known to have been built with CONFIG_JFFS2_FS_XATTR."""
    return replace(
        reader,
        name=f"{reader.name}+xattr",
        description=f"{reader.description}, with xattrs",
        xattr=True,
        narrower=f"{reader.narrower}+xattr" if reader.narrower else None,
    )


_LINUX_WITH_XATTR = (_with_xattr(reader) for reader in _TABLE if reader.name.startswith("linux"))

READERS: dict[str, Reader] = {reader.name: reader for reader in (*_TABLE, *_LINUX_WITH_XATTR)}
DEFAULT_READERS = ("linux",)


def named(names: Iterable[str]) -> tuple[Reader, ...]:
    """The readers of these names, the default ones where there are none. Raises InvalidValue."""
    wanted = tuple(dict.fromkeys(names)) or DEFAULT_READERS
    for name in wanted:
        if name not in READERS:
            raise InvalidValue(f"unknown reader '{name}'; there are {', '.join(READERS)}")
    return tuple(READERS[name] for name in wanted)


def holds(strategy: Strategy | str, readers: Iterable[Reader]) -> tuple[bool, str]:
    """Whether the promise is kept by this strategy for all of these readers, and one sentence that says why."""
    strategy = Strategy(strategy)
    readers = tuple(readers)
    for reader in readers:
        view = reader.views[strategy]
        if view is not View.HOLDS:
            note = f" ({reader.notes[strategy]})" if strategy in reader.notes else ""
            return False, f"{strategy} does not hold for {reader.name}: {_VIEW_REASONS[view]}{note}"
    given = [f"{reader.name}: {reader.notes[strategy]}" for reader in readers if strategy in reader.notes]
    names = ", ".join(reader.name for reader in readers)
    return True, f"{strategy} holds for {names}" + (f" ({'; '.join(given)})" if given else "")


def compressors(readers: Iterable[Reader]) -> frozenset[str]:
    """What all of them are known to decompress."""
    return frozenset.intersection(*(reader.compressors for reader in readers))
