"""Who looks at a crash image: the rows of the table of readers, one viewer for each build or version that differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from jffs2tx._ffi import lib
from jffs2tx.readers import USUAL, WHOLE_BLOCK, Lookup, Reader

_COMPRESSION_BITS = {"none": 0, "zero": 1, "rtime": 2, "zlib": 6, "lzo": 7}


@dataclass(frozen=True, slots=True)
class Viewer:
    """What a stock reader can do, each ability known: struct jx_reader. Without further words it is a Linux."""

    summary: bool
    empty_scan: int
    header_crc_as_is: bool = False
    ignores_deletions: bool = False
    follows_links: bool = False  # as U-Boot does
    ecc_stops: bool = False
    compressors: frozenset[str] = USUAL  # beside what the medium used before

    def abilities(self, used: frozenset[int] = frozenset()) -> dict[str, int]:
        """The fields of struct jx_reader but for the byte order. used: enum jx_compr of what the medium used before."""
        bits = {_COMPRESSION_BITS[name] for name in self.compressors} | used
        return {
            "summary": self.summary,
            "empty_scan_bytes": self.empty_scan,
            "header_crc_as_is": self.header_crc_as_is,
            "ignores_deletions": self.ignores_deletions,
            "links": lib.JX_LINKS_BY_INODE if self.follows_links else lib.JX_LINKS_AS_TEXT,
            "ecc_stops": self.ecc_stops,
            "compr_mask": sum(1 << bit for bit in bits),
        }

    def ideal(self) -> dict[str, int]:
        """Of a reader that sees the tree as it is, but for its own idea of what is deleted and of what links are."""
        links = lib.JX_LINKS_BY_NAME if self.follows_links else lib.JX_LINKS_AS_TEXT
        return Viewer(True, 256, ignores_deletions=self.ignores_deletions).abilities() | {
            "links": links,
            "compr_mask": 0,
        }

    def __str__(self) -> str:
        with_ = "with" if self.summary else "without"
        much = "all" if self.empty_scan == WHOLE_BLOCK else f"{self.empty_scan} bytes"
        words = [f"a reader {with_} summary support that looks at {much} of an empty block", *self._oddities()]
        return ", ".join(words)

    def _oddities(self) -> Iterator[str]:
        if self.ignores_deletions:
            yield "ignores deletions"
        if self.header_crc_as_is:
            yield "finds a header without its ACCURATE bit bad"
        if self.follows_links:
            yield "follows links as U-Boot does"
        if self.ecc_stops:
            yield "stops where ECC cannot correct"
        if self.compressors != USUAL:
            yield f"reads {', '.join(sorted(self.compressors))}"


VIEWERS = tuple(Viewer(summary, empty) for empty in (256, 1024) for summary in (True, False))


def viewers_of(readers: Iterable[Reader]) -> tuple[Viewer, ...]:
    """All that these readers may be, each once."""
    return tuple(dict.fromkeys(viewer for reader in readers for viewer in _of(reader)))


def _of(reader: Reader) -> Iterator[Viewer]:
    base = Viewer(
        summary=False,
        empty_scan=0,
        ignores_deletions=reader.ignores_deletions,
        follows_links=reader.lookup is Lookup.U_BOOT,
        ecc_stops=not reader.survives_ecc,
        compressors=reader.compressors,
    )
    for empty in reader.empty_scan_bytes:
        for summary in _either(reader.summary):
            for as_is in _either(reader.header_crc_as_is):
                yield replace(base, summary=summary, empty_scan=empty, header_crc_as_is=as_is)


def _either(ability: bool | None) -> tuple[bool, ...]:
    return (True, False) if ability is None else (ability,)
