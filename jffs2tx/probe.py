"""What kind of flash an image is of, by what its bytes show: byte order and eraseblock, with the evidence."""

from __future__ import annotations

from dataclasses import dataclass

from jffs2tx._ffi import ffi, lib
from jffs2tx.errors import FormatError
from jffs2tx.oob import Dump
from jffs2tx.view import View

CERTAIN = 2  # jx_probe.evidence
ALLOWED = 1

#: So many cleanmarkers, none between multiples of the size they show: a smaller eraseblock is out of the question.
ENOUGH_CLEANMARKERS = 8
#: Full of nodes that end at their ends: none of them reaches over by chance.
ENOUGH_BLOCKS = 4


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
    used: int  # bytes up to the last one that is not 0xFF

    @property
    def erased(self) -> bool:
        """Nothing but 0xFF."""
        return not (self.used or self.little or self.big)

    @property
    def endian(self) -> str:
        return "big" if self.big > self.little else "little"

    @property
    def is_certain(self) -> bool:
        return self.evidence == CERTAIN

    @property
    def shows_erase_size(self) -> bool:
        """So well that one may write by it: many blocks were filled, and no node crosses a multiple of it."""
        return self.is_certain or (self.evidence == ALLOWED and self.end >= ENOUGH_BLOCKS * self.erase_size)

    @property
    def erase_size_reason(self) -> str:
        """What shows the eraseblock; "it" is its size."""
        if self.is_certain and self.summaries:
            return f"{self.summaries} summaries end at multiples of it"
        if self.is_certain:
            return f"{self.cleanmarkers} cleanmarkers stand at multiples of it"
        if self.evidence == ALLOWED:
            return "no node crosses a multiple of it"
        return "nothing on the medium shows it"


def probe(view: View, dump: Dump | None) -> Probe:
    found = ffi.new("struct jx_probe *")
    with view.raw() as arguments:
        lib.jx_probe_image(*arguments, found)
    if dump and dump.cleanmarkers:
        _count_markers(found, dump)
    return Probe(
        found.little,
        found.big,
        found.cleanmarkers,
        found.erase_size_bytes,
        found.evidence,
        found.summaries,
        found.uncrossed_bytes,
        found.end,
        view.used,
    )


def _count_markers(found, dump: Dump) -> None:
    """Cleanmarkers in the OOB say as much as those in the data of other flash."""
    if not (found.little or found.big):
        setattr(found, dump.endian, dump.cleanmarkers)
    if found.evidence == CERTAIN or dump.cleanmarkers < ENOUGH_CLEANMARKERS or dump.apart < found.uncrossed_bytes:
        return
    found.cleanmarkers, found.erase_size_bytes, found.evidence = dump.cleanmarkers, dump.apart, CERTAIN


def find_endian(path: str, seen: Probe, guesses: list[str], endian: str | None) -> str:
    """The byte order given, or that of most nodes. Raises FormatError where not one node has the order given."""
    if seen.erased:
        if endian is None:
            guesses.append("byte order little (the medium is erased)")
        return endian or "little"
    if endian is not None and not getattr(seen, endian):
        raise FormatError(f"is a {seen.endian}-endian image, not a {endian}-endian one", path=path)
    return endian or seen.endian
