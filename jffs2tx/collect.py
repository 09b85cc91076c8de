"""Garbage collection before an upgrade: as little as is needed, and nothing where it cannot be enough."""

from __future__ import annotations

from dataclasses import dataclass

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.filesystem import FileSystem, make_reader
from jffs2tx.readers import Reader, knows_summaries


@dataclass(frozen=True, slots=True)
class Collection:
    """What garbage collection does, or did. `blocks_missing` more must be free for it to be enough. Sizes are bytes."""

    blocks_available: int
    blocks_erased: int
    blocks_written: int
    blocks_missing: int
    nodes_moved: int
    bytes_moved: int

    @classmethod
    def from_c(cls, out) -> Collection:
        return cls(*(getattr(out, name) for name in cls.__slots__))


def estimate(fs: FileSystem, want: int, *, summary: bool = False) -> tuple[bool, Collection]:
    """Whether `want` eraseblocks can be had, and what that takes (or how far it would get). Writes nothing."""
    out = ffi.new("struct jx_collection *")
    code = lib.jx_collect_estimate(fs.handle, want, summary, out)
    if code != lib.JX_ENOSPC:
        check(code, doing="planning garbage collection")
    return code == lib.JX_OK, Collection.from_c(out)


def collect(
    flash: Flash, want: int, *, endian: str | None = None, summary: bool = False, readers: tuple[Reader, ...] = ()
) -> Collection:
    """Garbage collection until `want` eraseblocks are free. The tree stays as it is, at every instant.

    readers: who will mount it; none: not known.

    Raises NoSpace, before the first write, where it cannot be had; MediumError.
    """
    out = ffi.new("struct jx_collection *")
    code = lib.jx_collect(
        flash.handle,
        make_reader(endian, True, 256, abilities={"no_marks": knows_summaries(readers)}),
        want,
        summary,
        out,
    )
    check(code, doing="collecting garbage")
    return Collection.from_c(out)
