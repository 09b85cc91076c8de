"""Dumps of a NAND in which the OOB of each page follows it (nanddump --oob): the size of page and OOB, by what is given
and by what the file shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Oob
from jffs2tx.errors import GeometryError
from jffs2tx.view import View

SIZE_MAX_BYTES = 0xFFFFFFFF  # offsets are 32 bits in the core, as they are on the medium
#: (page, OOB) of chips on which JFFS2 is found.
USUAL = ((512, 16), (2048, 64), (2048, 128), (4096, 128), (4096, 224), (4096, 256))
#: Pages of other chips; taken for possible, with any OOB, only where the file is a number of them.
RARE_PAGES_BYTES = (512, 1024, 2048, 4096, 8192, 16384)
OOB_MIN_BYTES = 16
ENOUGH_NODES = 4  # that go on in the next page, no more that do not
ENOUGH_CLEANMARKERS = 2  # in the same place of two OOBs


@dataclass(frozen=True, slots=True)
class Dump:
    """The pages of a file, and what their OOB shows; see struct jx_oob_probe."""

    page_size: int
    oob: Oob
    across: int
    torn: int
    cleanmarkers: int
    apart: int
    endian: str  # of the cleanmarkers

    @property
    def is_certain(self) -> bool:
        """Whether the file itself proves it."""
        enough = self.across >= ENOUGH_NODES or self.cleanmarkers >= ENOUGH_CLEANMARKERS
        return enough and self.across >= self.torn

    @property
    def is_refuted(self) -> bool:
        return not self.across and self.torn >= ENOUGH_NODES

    @property
    def stride(self) -> int:
        return self.page_size + self.oob.size

    def __str__(self) -> str:
        return f"{self.oob.size} bytes of OOB behind each page of {self.page_size} bytes"


def find_dump(path: str, view: View, page_size: int | None, oob_size: int | None, guesses: list[str]) -> Dump | None:
    """None: no OOB is in the file. Sizes in bytes, as the caller says them. Raises GeometryError."""
    shown = [dump for pair in _layouts(view) if (dump := _probe(view, *pair)).is_certain]
    found = max(shown, key=lambda dump: (dump.across, dump.cleanmarkers), default=None)
    if oob_size is not None:
        dump = _given(path, view, page_size, oob_size, found, guesses)
    elif found is None:
        return None
    elif page_size not in (None, found.page_size):
        raise GeometryError(f"wrong page size {page_size} bytes: there are {found}", path=path)
    else:
        dump = found
        guesses.append(f"{dump} ({_reason(dump)})")
    if view.length % dump.stride:
        raise GeometryError(
            f"ends within a page: {view.length} bytes are no multiple of {dump.page_size} + {dump.oob.size}, a page"
            " and its OOB; it is cut short, or the sizes are wrong",
            path=path,
        )
    return dump


def _layouts(view: View) -> Iterator[tuple[int, int]]:
    """(page, OOB) sizes that are worth a look."""
    yield from USUAL
    for page in RARE_PAGES_BYTES:
        for oob in range(OOB_MIN_BYTES, page // 4 + 1, 2):
            if view.length and view.length % (page + oob) == 0 and (page, oob) not in USUAL:
                yield page, oob


def _probe(view: View, page_size: int, oob_size: int) -> Dump:
    """Of as much as is whole pages that JFFS2 can address."""
    seen = ffi.new("struct jx_oob_probe *")
    pages = min(view.length // (page_size + oob_size), SIZE_MAX_BYTES // page_size)
    with view.raw() as (data, *_):
        check(lib.jx_probe_oob(data, pages * page_size, page_size, oob_size, seen), doing="looking for OOB")
    endian = "big" if seen.big else "little"
    oob = Oob.from_c(seen.oob)
    return Dump(page_size, oob, seen.across, seen.torn, seen.cleanmarkers, seen.apart_bytes, endian)


def _given(path: str, view: View, page_size: int | None, oob_size: int, found: Dump | None, guesses: list[str]) -> Dump:
    if page_size is None and found and found.oob.size == oob_size:
        page_size = found.page_size
    if page_size is None:
        page_size = next((page for page, oob in USUAL if oob == oob_size), None)
        if page_size is None:
            raise GeometryError(f"no usual page has {oob_size} bytes of OOB; --page-size says which it is", path=path)
        guesses.append(f"page of {page_size} bytes (usual with {oob_size} bytes of OOB)")
    if not OOB_MIN_BYTES <= oob_size <= page_size:
        raise GeometryError(f"{oob_size} bytes of OOB are impossible: {OOB_MIN_BYTES} to a page's size", path=path)
    dump = _probe(view, page_size, oob_size)
    if dump.is_refuted or (found and found.stride != dump.stride):
        likely = f"; {found} are likely right" if found else ""
        raise GeometryError(f"wrong OOB size: no {dump}, or nodes would go on behind it{likely}", path=path)
    return dump


def _reason(dump: Dump) -> str:
    return "nodes go on behind it" if dump.across >= ENOUGH_NODES else "cleanmarkers stand in it"
