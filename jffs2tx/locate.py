"""Which part of a file is read: the whole of it where that is one file system, else the file system in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jffs2tx.diagnosis import MAGICS, is_loader_text, known_format, why_nothing
from jffs2tx.errors import FormatError, GeometryError, Refused
from jffs2tx.geometry import usual_erase_size
from jffs2tx.oob import Dump
from jffs2tx.partitions import Partition
from jffs2tx.probe import probe
from jffs2tx.progress import exact_size
from jffs2tx.view import Found, View

#: What a power cut leaves of an eraseblock at either end, or a mark behind an image, is no other file system.
STRAY_BLOCKS = 2
GRID_BYTES = 4096
STRONG_CONTRADICTIONS = 2
WORD_BYTES = 4
NEARLY_BITS = 3  # of the magic number's 16, that may have gone
USUAL_ERASE_SIZE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A file system in the file: offset and length in bytes of the file, OOB included."""

    offset: int
    length: int
    endian: str
    nodes: int

    def __str__(self) -> str:
        return f"{self.offset:#x}, {exact_size(self.length)}, {self.endian}-endian"


@dataclass(frozen=True, slots=True)
class Location:
    """The part that is read, and how sure it is that this is what may be written to."""

    view: View
    parts: tuple[Part, ...]  # all in the file, or behind the offset that was given; none: it is erased
    sureness: str  # of the extent: device.EXTENTS
    to_file_end: bool
    why_not: str | None = None  # the reason why it is not written to; None: it may be
    own: tuple[int, int] = (0, 0)  # bytes of the view that may be written: a seam leaves no more; 0: all
    device_size: int | None = None  # as our newest tag says
    partition: Partition | None = None  # that was chosen

    def closed(self) -> Location:
        """Without the bytes of the file, which are to be closed."""
        return replace(self, view=replace(self.view, content=b""))

    @property
    def room(self) -> int:
        """Bytes of the file that are the device; 0: all to its end, which may grow."""
        return 0 if self.to_file_end else self.view.length

    def check_writable(self, path: str) -> None:
        """Raises Refused where the evidence leaves it open what of the file may be written to."""
        if self.why_not:
            raise Refused(self.why_not, path=path)


def locate(
    path: str, view: View, offset: int | None, length: int | None, guesses: list[str], dump: Dump | None = None
) -> Location:
    """view: from offset on, or the whole file; with length so much of it. dump: where marks of bad blocks are.

    Raises FormatError, GeometryError.
    """
    finds = view.locate() if view.size else []
    parts = [_part(view, found) for found in finds]
    whole = len(view.content)
    if not parts and not view.is_erased:
        raise FormatError(_nothing(path, view), path=path)
    if length is not None or not parts:
        if len(parts) > 1:
            guesses.append(f"{_listed(parts)} in the length that is given are read as one")
        sureness = "guessed" if length is None else "given"
        return Location(view, tuple(parts), sureness, view.offset + view.length == whole)
    start, end = _extent(view, finds, dump)
    if offset is not None and start:
        raise FormatError(f"no JFFS2 starts at {offset:#x}: {_listed(parts)}", path=path)
    used = View(view.content, view.place(start), _raw_length(view, start, end), view.page_size, view.oob_size)
    if not (used.offset == 0 and used.length == whole):
        guesses.append(_said(view, used, parts, offset))
    strays = _strays(view, finds[0], start, end, dump)
    guesses += strays
    if finds[0].doubt_at:
        guesses.append(f"it is read as one file system; {_doubt(view, finds[0])}")
    own = _own(view, finds[0], start, end, guesses)
    extent = finds[0].extent
    return Location(
        used,
        tuple(parts),
        "known" if extent == (start, end - start) else "guessed",
        used.offset + used.length == whole,
        _why_not(view, used, finds, parts, strays),
        own,
        extent[1] if extent else None,
    )


def locate_partition(path: str, whole: View, chosen: Partition, guesses: list[str]) -> Location:
    """The part of the file that a partition table gives; whole: of the file. Raises FormatError, GeometryError."""
    for at in (chosen.offset, chosen.end):
        if whole.oob_size and at % whole.page_size:
            raise GeometryError(f"the partition {chosen} does not consist of whole pages", path=path)
    pages = chosen.size // whole.page_size if whole.oob_size else 0
    length = pages * whole.stride if whole.oob_size else chosen.size
    view = View(whole.content, whole.place(chosen.offset), length, whole.page_size, whole.oob_size)
    location = locate(path, view, view.offset, view.length, guesses)
    return replace(location, partition=chosen, why_not=_why_not_there(view, chosen))


def _why_not_there(view: View, chosen: Partition) -> str | None:
    """A table is checked and never trusted blindly."""
    if chosen.read_only:
        return f"the partition {chosen} is read-only by the table"
    for found in view.locate()[1:] if view.size else []:
        if found.border.contradictions >= STRONG_CONTRADICTIONS and not found.border.links:
            return (
                f"in the partition {chosen} are two file systems, {_border(view, found)}: correct the table, or name "
                "the part to be written by --offset and --length"
            )
    return None


def check_aligned(path: str, chosen: Partition | None, erase_size: int) -> None:
    """Raises GeometryError."""
    if chosen and (chosen.offset % erase_size or chosen.size % erase_size):
        raise GeometryError(
            f"the partition {chosen} does not start and end at an eraseblock of {exact_size(erase_size)}", path=path
        )


def _why_not(view: View, used: View, finds: list[Found], parts: list[Part], strays: list[str]) -> str | None:
    """The reason why the part that is read is not written to without an option. A command is advised only where its
    range ends with what is known to be the file system's.
    """
    first = finds[0]
    sure = f"--offset {used.offset:#x} --length {_sure_length(view, used, first):#x}"
    if len(parts) > 1:
        borders = "; ".join(_border(view, found) for found in finds[1:4])
        return (
            f"{_listed(parts)} are in this file ({borders}): to write to one, say --partitions, or --offset and "
            "--length, as the board's partition table has them"
        )
    if first.doubt_at:
        return (
            f"{_doubt(view, first)}: to write to it, say --partitions, or --offset and --length, as the board's "
            "partition table has them"
        )
    if strays and not first.tags:
        return f"{strays[0]}, and may be something else: to write to the JFFS2, say {sure}"
    if used.offset + used.length == len(view.content) and view.offset == used.offset:
        return None
    if first.extent and first.extent == (used.offset - view.offset, used.size):
        return None
    return f"the JFFS2 at {used.offset:#x} is only a part of this file: to write to it, say {sure}"


def _sure_length(view: View, used: View, first: Found) -> int:
    """Bytes of the file up to the last evidence, and what is erased after it."""
    start = next(at for at in (0, first.start) if view.place(at) == used.offset) if used.offset else 0
    end = start + -(-(first.end - start) // _grid(first)) * _grid(first)
    foreign = view.first_used(min(end, view.size))
    end = max(end, start + (foreign - start) // _grid(first) * _grid(first))
    return min(_raw_length(view, start, min(end, view.size)), used.length)


def _border(view: View, found: Found) -> str:
    low, high = view.place(found.border.low), view.place(found.border.high)
    if not high:
        return f"{found.endian}-endian nodes begin at {view.place(found.start):#x}"
    return f"a border between {low:#x} and {high:#x}, {found.border}"


def _doubt(view: View, found: Found) -> str:
    return f"a second one may start at {view.place(found.doubt_at):#x} ({found.border})"


def _own(view: View, found: Found, start: int, end: int, guesses: list[str]) -> tuple[int, int]:
    """What of [start, end) a seam leaves to be written, in bytes of data from start on; (0, 0): all."""
    if not any(found.own):
        return 0, 0
    grid = found.erase_size or USUAL_ERASE_SIZE_BYTES
    low = max(found.own[0] - start, 0) // grid * grid
    high = -(-(found.own[1] - start) // grid) * grid if found.own[1] else end - start
    guesses.append(
        f"nothing ties what is outside {view.place(start + low):#x} to {view.place(min(start + high, end)):#x} to the "
        "rest: it is read, and not written to"
    )
    return low, min(high, end - start)


def _said(view: View, used: View, parts: list[Part], offset: int | None) -> str:
    if len(parts) > 1:
        which = "that at the offset given" if offset is not None else "the first"
        return f"{_listed(parts)}: {which} is read, {exact_size(used.length)}; --offset chooses another"
    if offset is not None:
        return f"length {exact_size(used.length)} (behind it stands something else)"
    return f"JFFS2 at {used.offset:#x}, {exact_size(used.length)}, in a file of {exact_size(len(view.content))}"


def _strays(view: View, first: Found, start: int, end: int, dump: Dump | None) -> list[str]:
    """What has no node and is taken for the file system's own all the same, at either end of it."""
    taken = "is taken for eraseblocks that a power cut left"
    said = []
    used = view.first_used(start)
    foreign = _first_used(view, first.end + -(first.end - start) % _grid(first), first, dump)
    if first.start - used >= _grid(first):
        said.append(f"what stands at {view.place(used):#x}, before the first node, {taken}")
    if end - foreign >= _grid(first):
        said.append(f"what stands at {view.place(foreign):#x}, behind the last node, {taken}")
    return said


def _listed(parts: list[Part]) -> str:
    if len(parts) == 1:
        return f"one starts at {parts[0].offset:#x}"
    shown = "; ".join(f"at {part}" for part in parts[:8])
    return f"{len(parts)} file systems ({shown}{'; …' if len(parts) > 8 else ''})"


def _part(view: View, found: Found) -> Part:
    grid = _grid(found)
    end = min(found.start + -(-(found.end - found.start) // grid) * grid, view.size)
    return Part(view.place(found.start), _raw_length(view, found.start, end), found.endian, found.nodes)


def _raw_length(view: View, start: int, end: int) -> int:
    """Bytes of the file from one byte of data to another; the OOB of the last page is part of it."""
    if not view.oob_size:
        return end - start
    pages = -(-end // view.page_size) - start // view.page_size
    return min(pages * view.stride, view.offset + view.length - view.place(start))


# ---- where the first one starts and ends -----------------------------------------------------------------------------


def _extent(view: View, finds: list[Found], dump: Dump | None) -> tuple[int, int]:
    """(start, end) of the first file system, in bytes of data: with what of the file can only be its own."""
    first, grid = finds[0], _grid(finds[0])
    start = _start(view, first)
    limit = finds[1].start if len(finds) > 1 else view.size
    end = min(start + -(-(first.end - start) // grid) * grid, limit)
    foreign = _first_used(view, end, first, dump)
    if first.extent and start == first.extent[0]:
        extent_end = start + first.extent[1]
        return start, limit if foreign >= limit == view.size else min(extent_end, view.size)
    if foreign >= limit or (limit == view.size and _is_its_end(view, foreign, start, first)):
        return start, limit
    return start, max(end, start + (foreign - start) // grid * grid)


def _first_used(view: View, at: int, first: Found, dump: Dump | None) -> int:
    """The first byte from `at` on that is not 0xFF; what a block holds that is marked bad is nobody's."""
    used = view.first_used(at)
    if not dump or dump.oob.bad_at is None:
        return used
    block = first.erase_size or dump.apart or usual_erase_size(dump.page_size)
    while used < view.size and _is_marked_bad(view, used // block * block, dump.oob.bad_at):
        used = view.first_used(min((used // block + 1) * block, view.size))
    return used


def _is_marked_bad(view: View, block: int, bad_at: int) -> bool:
    """In its first or second page (nand_block_bad)."""
    marks = [view.place(block + page * view.page_size) + view.page_size + bad_at for page in (0, 1)]
    return any(view.content[mark] != 0xFF for mark in marks if mark < view.offset + view.length)


def _grid(found: Found) -> int:
    """Of which eraseblocks are a multiple."""
    return found.erase_size or GRID_BYTES


def _stray_bytes(found: Found) -> int:
    return STRAY_BLOCKS * (found.erase_size or USUAL_ERASE_SIZE_BYTES)


def _start(view: View, first: Found) -> int:
    """Where its first node shows it, or 0 where what stands before that can be eraseblocks of its own."""
    start, used = first.start, view.first_used()
    if first.extent:
        return start
    if start % (first.erase_size or WORD_BYTES):
        return start
    if used >= start:
        return 0
    if start - used > _stray_bytes(first) or _is_foreign(view, used, start, start, first):
        return start
    if first.erase_size or start % GRID_BYTES == 0:
        return 0
    # Nothing shows eraseblocks: if it does not start at 0, nodes will cross more of its blocks counted from there.
    if view.oob_size:
        return 0
    shifted = View(view.content, view.offset + start, view.length - start)
    return start if probe(shifted, None).uncrossed < probe(view, None).uncrossed else 0


def _is_its_end(view: View, foreign: int, start: int, first: Found) -> bool:
    """Whether what stands behind the last node, up to the file's end, can be of the same file system: whole eraseblocks
    that a cut left, or a node that the file's end cuts off."""
    if view.size - foreign > _stray_bytes(first) or _is_foreign(view, foreign, view.size, start, first):
        return False
    return (view.size - start) % GRID_BYTES == 0 or view.data(foreign, len(MAGICS[0])) in MAGICS


def _is_foreign(view: View, at: int, end: int, start: int, first: Found) -> bool:
    """Whether what stands at these bytes of data is known to be something else. What only reads like a boot loader must
    start where an eraseblock does, and otherwise than a node: plain text in a damaged node reads like that too."""
    if known_format(view, at) is not None:
        return True
    is_border = (start - at) % _grid(first) == 0
    return is_border and not _is_nearly_magic(view.data(at, len(MAGICS[0]))) and is_loader_text(view, at, end)


def _is_nearly_magic(data: bytes) -> bool:
    bits = int.from_bytes(data, "big")
    return any((bits ^ int.from_bytes(magic, "big")).bit_count() <= NEARLY_BITS for magic in MAGICS)


# ---- nothing ---------------------------------------------------------------------------------------------------------


def _nothing(path: str, view: View) -> str:
    reason = why_nothing(view)
    what = f"there is no JFFS2 at {view.offset:#x}" if view.offset else "is no JFFS2 image"
    return f"{what}: {_elsewhere(view) or reason}"


def _elsewhere(view: View) -> str | None:
    """Where in the file there is one, if the part looked at was given."""
    if view.length == len(view.content):
        return None
    whole = View(view.content, 0, len(view.content) // view.stride * view.stride, view.page_size, view.oob_size)
    if whole.size > 0xFFFFFFFF:
        return None
    parts = [_part(whole, found) for found in whole.locate()]
    return _listed(parts) if parts else None


def check_window(path: str, size: int, offset: int, length: int | None) -> int:
    """The length of the window in a file of `size` bytes. Raises GeometryError."""
    if offset >= size and size:
        raise GeometryError(f"the offset {offset:#x} lies behind the end of its {size:#x} bytes", path=path)
    if length is not None and offset + length > size:
        raise GeometryError(f"{length:#x} bytes at {offset:#x} reach beyond its end at {size:#x}", path=path)
    return size - offset if length is None else length
