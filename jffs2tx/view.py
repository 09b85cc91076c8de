"""What of a file is looked at: a part of it, of a dump without the OOB bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from jffs2tx._ffi import check, ffi, lib

FOUND_MAX = 64
STEP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Border:
    """What speaks for a border between two file systems, and against it; see struct jx_found."""

    low: int  # it lies between these two
    high: int
    contradictions: int
    twins: int
    weak: int
    links: int
    successions: int

    def __str__(self) -> str:
        against = [(self.links, "links"), (self.successions, "numbers that follow each other")]
        speaking = [
            (self.contradictions, "contradictions"),
            (self.weak, "contradictions of obsolete nodes"),
            (self.twins, "equal nodes on both sides"),
        ]
        listed = [", ".join(f"{n} {what}" for n, what in side if n) for side in (speaking, against)]
        return f"for it: {listed[0] or 'nothing that ties the two'}; against it: {listed[1] or 'nothing'}"

    @classmethod
    def from_c(cls, one) -> Border:
        return cls(one.border_low, one.border_high, one.contradictions, one.twins, one.weak, one.links, one.successions)


@dataclass(frozen=True, slots=True)
class Found:
    """One file system; see struct jx_found. Offsets are bytes of data in the view."""

    start: int
    end: int
    endian: str
    nodes: int
    cleanmarkers: int
    erase_size: int
    tags: int
    extent: tuple[int, int] | None  # (start, size) of the device, as a tag of ours says
    own: tuple[int, int]  # what a seam leaves to be written; 0: from the start, to the end
    doubt_at: int  # where another file system may start; 0: this is one
    border: Border  # that in front of it, or of the doubt


@dataclass(frozen=True, slots=True)
class View:
    """length bytes of a file from `offset` on. With oob_size those many bytes that are no data follow each page."""

    content: Sequence[int]  # of the whole file: what can be sliced to bytes and given to C
    offset: int
    length: int
    page_size: int = 0
    oob_size: int = 0

    @property
    def stride(self) -> int:
        return self.page_size + self.oob_size or 1

    @property
    def size(self) -> int:
        """Bytes of data."""
        return self.length // self.stride * self.page_size if self.oob_size else self.length

    def place(self, at: int) -> int:
        """Where in the file the byte of data `at` stands."""
        if not self.oob_size:
            return self.offset + at
        return self.offset + at // self.page_size * self.stride + at % self.page_size

    def without_oob(self) -> View:
        """The same bytes, none of them taken for OOB."""
        return View(self.content, self.offset, self.length)

    def data(self, at: int, length: int) -> bytes:
        """Bytes of data, fewer where the view ends."""
        end = min(at + length, self.size)
        if not self.oob_size:
            return bytes(self.content[self.offset + at : self.offset + end]) if end > at else b""
        parts = []
        while at < end:
            step = min(self.page_size - at % self.page_size, end - at)
            place = self.place(at)
            parts.append(bytes(self.content[place : place + step]))
            at += step
        return b"".join(parts)

    @contextmanager
    def raw(self) -> Iterator[tuple]:
        """The arguments with which C functions look at it: data, their bytes, page and OOB bytes."""
        end = self.offset + self.length
        with memoryview(self.content) as whole, whole[self.offset : end] as part, ffi.from_buffer(part) as data:
            yield data, self.size, self.page_size, self.oob_size

    def locate(self) -> list[Found]:
        """The file systems in it, by offset."""
        out = ffi.new("struct jx_found[]", FOUND_MAX)
        with self.raw() as arguments:
            count = check(lib.jx_locate(*arguments, out, FOUND_MAX), doing="looking for file systems")
        return [_found(one) for one in out[0:count]]

    def first_used(self, start: int = 0) -> int:
        """Where the first byte of data from start on is that is not 0xFF; the size where none is."""
        with self.raw() as arguments:
            return lib.jx_first_used(*arguments, start)

    @property
    def used(self) -> int:
        """Bytes of data up to the last one that is not 0xFF."""
        at = self.size
        while at:
            start = max(at - STEP_BYTES, 0)
            rest = self.data(start, at - start).rstrip(b"\xff")
            if rest:
                return start + len(rest)
            at = start
        return 0

    @property
    def is_erased(self) -> bool:
        return self.first_used() == self.size


def _found(one) -> Found:
    return Found(
        one.start,
        one.end,
        "big" if one.big else "little",
        one.nodes,
        one.cleanmarkers,
        one.erase_size_bytes,
        one.tags,
        (one.extent_start, one.extent_bytes) if one.extent_bytes else None,
        (one.own_start, one.own_end),
        one.doubt_at,
        Border.from_c(one),
    )
