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


class Flash(StrEnum):
    """Kinds of flash that readers differ on. NOR with ECC is programmed by pages, so it counts as NAND here."""

    NOR = "nor"
    NAND = "nand"


def flash_of(kind: str) -> Flash:
    """Of a Geometry's kind."""
    return Flash.NOR if kind == "nor" else Flash.NAND


#: Where each strategy can be used: the columns of the table.
WAYS = (
    (Strategy.SWAP, Flash.NOR),
    (Strategy.SWAP, Flash.NAND),
    (Strategy.FLIP, Flash.NOR),
    (Strategy.SEAL, Flash.NAND),
    (Strategy.LIFT, Flash.NAND),
)


class View(StrEnum):
    """What a reader sees of a transaction by one strategy."""

    HOLDS = "holds"
    UNLESS_REMOVED = "holds if no name is removed"
    LATE = "late"
    EARLY = "early"
    UNKNOWN = "unknown"


#: What the words of the table say.
VIEW_REASONS = {
    View.HOLDS: "it sees the old tree or the new one",
    View.UNLESS_REMOVED: "it ignores deletions",
    View.LATE: "it sees the old tree until the transaction is settled",
    View.EARLY: "it sees the new tree before the commit",
    View.UNKNOWN: "nobody has tried it",
}


class Lookup(StrEnum):
    """How a reader finds the file behind a path."""

    KERNEL = "as Linux does"
    U_BOOT = "as U-Boot does"


#: Decompressors in every build of the kernel's defaults; lzo is an option there.
USUAL = frozenset({"none", "zero", "rtime", "zlib"})
#: Looks at the whole of a block before it takes it for empty.
WHOLE_BLOCK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Reader:
    """One row. Of an ability that differs between the builds or versions of a row every value is tried."""

    name: str
    description: str
    views: dict[tuple[Strategy, Flash], View] = field(hash=False)
    #: What has been tried, and what has only been read in its source.
    tried: str
    #: Takes the nodes of a valid summary for the whole of its block. False: always scans in full. None: unknown.
    summary: bool | None = False
    #: Lets a staged directory name the live tree's subdirectories (Linux from 4.5).
    shares_directories: bool = True
    #: Mounts a medium that holds xattr nodes. None: unknown.
    xattr: bool | None = None
    #: Reads a summary that lists xattr nodes.
    xattr_in_summary: bool = True
    #: How many erased bytes at a block's start make it empty.
    empty_scan_bytes: tuple[int, ...] = (256, 1024)
    #: Counts a header's CRC over the nodetype as it is, so a header without its ACCURATE bit is bad. None: by version.
    header_crc_as_is: bool | None = False
    #: A dirent with inode number 0 deletes nothing.
    ignores_deletions: bool = False
    lookup: Lookup = Lookup.KERNEL
    #: A page that ECC cannot correct is read as it is, and the CRCs of its nodes decide.
    survives_ecc: bool = True
    #: What it is known to decompress; what the medium already uses may be used as well.
    compressors: frozenset[str] = USUAL
    #: Names longer than this draw a warning.
    name_max_bytes: int = 254
    #: The row that promises more of the same reader, to be named by a user who knows that it is true.
    narrower: str | None = None
    #: Beside the views: what must be given for them, or what is worse than they say. By strategy.
    notes: dict[Strategy, str] = field(default_factory=dict, hash=False)
    #: What is wrong in the reader itself, whoever wrote the medium.
    faults: tuple[str, ...] = ()

    def view(self, strategy: Strategy, flash: Flash) -> View:
        return self.views.get((strategy, flash), View.UNKNOWN)


def _views(swap_nor: View, swap_nand: View, flip: View, seal: View, lift: View) -> dict[tuple[Strategy, Flash], View]:
    return dict(zip(WAYS, (swap_nor, swap_nand, flip, seal, lift), strict=True))


_ALL_BUT_SEAL = _views(View.HOLDS, View.HOLDS, View.HOLDS, View.LATE, View.HOLDS)
_ALL = _views(View.HOLDS, View.HOLDS, View.HOLDS, View.HOLDS, View.HOLDS)
_OLD_U_BOOT = _views(View.HOLDS, View.HOLDS, View.UNLESS_REMOVED, View.LATE, View.EARLY)
_MIXED = {Strategy.SEAL: "while settling by plain nodes it sees a mixture"}
_UBOOT_NAME_MAX_BYTES = 216

_STALE_PAGE = "a page that ECC cannot correct: it goes on with what its buffer held before"
_UBOOT_LINKS = (
    "follows one symbolic link, as the last name of a path, never one to a directory; knows no .. in its target; looks "
    "the target up from whichever dirent of the link's inode has the highest version, reached or not"
)
_ACCURATE = "up to v2020.04 a node that is marked obsolete has a bad header to it, and it scans the node's inside"
_UBOOT_FAULTS = (_ACCURATE, _UBOOT_LINKS, _STALE_PAGE, "a name over 216 bytes overruns its buffer")
_OLD_UBOOT_FAULTS = (
    "a deletion deletes nothing: a removed name stays until its old dirent is marked obsolete or erased",
    "a node that is marked obsolete has a bad header to it, and it scans the node's inside",
    _UBOOT_LINKS,
    _STALE_PAGE,
)
_COMPILED = "its public source, compiled around crash images of the engine"
_MODELLED = "modelled in the judge"

_TABLE = (
    Reader(
        "linux",
        "Linux from 4.5, with or without summary support",
        _ALL_BUT_SEAL,
        "6.1, 6.12 and 7.2, with and without summary support, little- and big-endian; modelled in the judge",
        summary=None,
        narrower="linux-summary",
        notes={Strategy.SEAL: "a kernel without summary support"},
    ),
    Reader(
        "linux-summary",
        "Linux from 4.5 with CONFIG_JFFS2_SUMMARY",
        _ALL,
        "6.1, 6.12 and 7.2; modelled in the judge",
        summary=True,
    ),
    Reader(
        "linux-no-summary",
        "Linux from 4.5 without CONFIG_JFFS2_SUMMARY",
        _ALL_BUT_SEAL,
        "6.1; modelled in the judge",
    ),
    Reader(
        "linux-old",
        "Linux before 4.5, with or without summary support",
        _ALL_BUT_SEAL,
        "6.1 with the directory accounting of before 4.5; the rest only read",
        summary=None,
        shares_directories=False,
        notes={Strategy.SEAL: "a kernel without summary support"},
    ),
    Reader(
        "u-boot",
        "U-Boot from v2015.10",
        _ALL_BUT_SEAL,
        f"v2015.10 to 2026: {_COMPILED}; {_MODELLED}",
        xattr=True,
        empty_scan_bytes=(256,),
        header_crc_as_is=None,
        lookup=Lookup.U_BOOT,
        survives_ecc=False,
        name_max_bytes=_UBOOT_NAME_MAX_BYTES,
        notes=_MIXED,
        faults=_UBOOT_FAULTS,
    ),
    Reader(
        "u-boot-summary",
        "U-Boot from v2015.10 built with CONFIG_JFFS2_SUMMARY, which hardly any board has",
        _ALL,
        f"{_COMPILED}; {_MODELLED}",
        summary=True,
        xattr=True,
        xattr_in_summary=False,
        empty_scan_bytes=(256,),
        header_crc_as_is=None,
        lookup=Lookup.U_BOOT,
        survives_ecc=False,
        name_max_bytes=_UBOOT_NAME_MAX_BYTES,
        notes={Strategy.SEAL: "with its read buffer mended: see its faults"},
        faults=(
            "overruns its read buffer on any image with a summary: nodes that it knows from one do not count when it "
            "sizes the buffer",
            *_UBOOT_FAULTS,
        ),
    ),
    Reader(
        "u-boot-2009",
        "U-Boot from late 2008 to v2015.07",
        _OLD_U_BOOT,
        f"{_COMPILED}; {_MODELLED}",
        xattr=True,
        empty_scan_bytes=(4096,),
        header_crc_as_is=True,
        ignores_deletions=True,
        lookup=Lookup.U_BOOT,
        survives_ecc=False,
        faults=_OLD_UBOOT_FAULTS,
    ),
    Reader(
        "u-boot-2008",
        "U-Boot before late 2008",
        _OLD_U_BOOT,
        f"{_COMPILED}; {_MODELLED}",
        xattr=True,
        empty_scan_bytes=(1024, WHOLE_BLOCK),
        header_crc_as_is=True,
        ignores_deletions=True,
        lookup=Lookup.U_BOOT,
        survives_ecc=False,
        faults=_OLD_UBOOT_FAULTS,
    ),
    Reader(
        "barebox",
        "barebox",
        _ALL_BUT_SEAL,
        f"{_COMPILED}; {_MODELLED}",
        survives_ecc=False,
        notes=_MIXED,
        faults=("a page that ECC cannot correct stops its mount",),
    ),
    Reader("rtems", "RTEMS", _ALL_BUT_SEAL, f"{_COMPILED}; {_MODELLED}", empty_scan_bytes=(1024,), notes=_MIXED),
    Reader(
        "ecos",
        "eCos and RedBoot, NOR only",
        _views(View.HOLDS, View.UNKNOWN, View.HOLDS, View.UNKNOWN, View.UNKNOWN),
        f"{_COMPILED}; {_MODELLED}",
        empty_scan_bytes=(1024,),
    ),
    Reader(
        "openfirmware",
        "Open Firmware of the 2007 laptop",
        _views(View.UNKNOWN, View.HOLDS, View.HOLDS, View.HOLDS, View.EARLY),
        f"{_COMPILED}; in the judge it is a Linux with its abilities",
        summary=True,
        empty_scan_bytes=(WHOLE_BLOCK,),
        compressors=frozenset({"none", "rtime", "zlib"}),
        notes={Strategy.SWAP: "given ECC that catches a torn page"},
        faults=(
            "takes what ECC does not catch of a torn page for good",
            "reads no node of zeros (compression method 1) and no lzo",
        ),
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


def holds(strategy: Strategy | str, readers: Iterable[Reader], flash: Flash | str) -> tuple[bool, str]:
    """Whether this strategy keeps the promise on this flash for all of these readers, and one sentence that says why.
    It may be true under a condition: see removal_forbidden_by.
    """
    strategy, flash = Strategy(strategy), Flash(flash)
    readers = tuple(readers)
    for reader in readers:
        view = reader.view(strategy, flash)
        if view not in (View.HOLDS, View.UNLESS_REMOVED):
            note = f" ({reader.notes[strategy]})" if strategy in reader.notes else ""
            return False, f"{strategy} does not hold for {reader.name}: {VIEW_REASONS[view]}{note}"
    given = [f"{reader.name}: {reader.notes[strategy]}" for reader in readers if strategy in reader.notes]
    given += [f"{reader.name}: if no name is removed" for reader in removal_forbidden_by(strategy, readers, flash)]
    names = ", ".join(reader.name for reader in readers)
    return True, f"{strategy} holds for {names}" + (f" ({'; '.join(given)})" if given else "")


def removal_forbidden_by(strategy: Strategy, readers: Iterable[Reader], flash: Flash) -> list[Reader]:
    """The readers for which this strategy holds only where the commit removes no name."""
    return [reader for reader in readers if reader.view(strategy, flash) is View.UNLESS_REMOVED]


def compressors(readers: Iterable[Reader]) -> frozenset[str]:
    """What all of them are known to decompress."""
    return frozenset.intersection(*(reader.compressors for reader in readers))


def knows_summaries(readers: Iterable[Reader]) -> bool:
    """Whether there are any, and each is known to believe summaries.

    A kernel that does removes names by deletion dirents alone, and needs no name marked obsolete.
    """
    readers = tuple(readers)
    return bool(readers) and all(reader.summary is True for reader in readers)
