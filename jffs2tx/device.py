"""Flash devices: a geometry and a handle on the C core's device."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.outcome import Tree

KINDS = {"nor": lib.JX_NOR, "nand": lib.JX_NAND, "nor-ecc": lib.JX_NOR_ECC}
_KIND_NAMES = {number: name for name, number in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a flash is made of, all in bytes. `write_size` is 1 where any byte can be programmed, else the page."""

    kind: str
    size: int
    erase_size: int
    write_size: int = 1
    subpage_size: int = 0  # 0: as write_size
    oob_avail: int = 0  # free OOB bytes a page that the device keeps

    @property
    def blocks(self) -> int:
        return self.size // self.erase_size

    def to_c(self):
        return ffi.new(
            "struct jx_geometry *",
            {
                "kind": KINDS[self.kind],
                "size_bytes": self.size,
                "erase_size_bytes": self.erase_size,
                "write_size_bytes": self.write_size,
                "subpage_size_bytes": self.subpage_size or self.write_size,
                "oob_avail_bytes": self.oob_avail,
            },
        )

    @classmethod
    def from_c(cls, geo) -> Geometry:
        return cls(
            _KIND_NAMES[geo.kind],
            geo.size_bytes,
            geo.erase_size_bytes,
            geo.write_size_bytes,
            geo.subpage_size_bytes,
            geo.oob_avail_bytes,
        )


@dataclass(frozen=True, slots=True)
class Oob:
    """Where things stand in the OOB bytes behind each page of a dump, in bytes from the first of them."""

    size: int
    free_at: int  # the geometry's oob_avail bytes: where cleanmarkers go
    bad_at: int | None  # not 0xFF in the first or second page of an eraseblock: it is bad. None: no block is
    ecc_step: int = 0  # bytes that one software Hamming ECC of Linux covers; 0: of what is programmed none is kept

    def to_c(self):
        bad_at = lib.JX_NO_BAD_MARK if self.bad_at is None else self.bad_at
        return ffi.new("struct jx_oob *", [self.size, self.free_at, bad_at, self.ecc_step])

    @classmethod
    def from_c(cls, oob) -> Oob:
        bad_at = None if oob.bad_at == lib.JX_NO_BAD_MARK else oob.bad_at
        return cls(oob.size_bytes, oob.free_at, bad_at, oob.ecc_step_bytes)


@dataclass(frozen=True, slots=True)
class FlashStats:
    """What a device has done since it was opened. Sizes are bytes."""

    bytes_read: int
    bytes_programmed: int
    programs: int
    erases: int
    bytes_verified: int
    ecc_corrected: int  # bits
    ecc_failed: int  # places beyond correction


class Flash:
    """A handle on one device of the C core. Use with `with`, or close(). Not for two threads at a time."""

    def __init__(self, handle) -> None:
        self._handle = handle
        #: Raises Busy where somebody has begun to use the device in a way that forbids the commit.
        self.check_users: Callable[[], None] = lambda: None
        #: Told the name of each phase of an upgrade on this flash when it ends.
        self.on_phase: Callable[[str], None] = lambda phase: None
        #: Which tree is there since an upgrade began to write: a member of jffs2tx.outcome.Tree; None: none has.
        self.tree: Tree | None = None

    @classmethod
    def memory(cls, geometry: Geometry, content: bytes = b"") -> Flash:
        """Memory that keeps the flash's rules; content at its start, the rest erased. Raises GeometryError."""
        out = ffi.new("jx_flash **")
        check(lib.jx_flash_open_memory(geometry.to_c(), out), doing="making a flash in memory")
        flash = cls(out[0])
        if content:
            check(lib.jx_flash_load(flash.handle, 0, content, len(content)), doing="loading an image")
        return flash

    @classmethod
    def file(
        cls,
        path: str | os.PathLike[str],
        geometry: Geometry,
        writable: bool = False,
        *,
        oob: Oob | None = None,
        start: int = 0,
        length: int = 0,
    ) -> Flash:
        """An image file; with oob a dump that has it behind each page; with length only so many bytes from
        start on, OOB included. Raises NotFound, MediumError, GeometryError.
        """
        out = ffi.new("jx_flash **")
        layout = oob.to_c() if oob else ffi.NULL
        code = lib.jx_flash_open_part(os.fsencode(path), geometry.to_c(), layout, start, length, writable, out)
        check(code, doing="opening the image", path=os.fsdecode(path))
        return cls(out[0])

    @classmethod
    def mtd(cls, path: str | os.PathLike[str], writable: bool = False) -> Flash:
        """/dev/mtdN of Linux, with the geometry that the kernel says. Raises NotFound, MediumError, GeometryError."""
        out = ffi.new("jx_flash **")
        code = lib.jx_flash_open_mtd(os.fsencode(path), writable, out)
        check(code, doing="opening the device", path=os.fsdecode(path))
        return cls(out[0])

    @classmethod
    def simulator(cls, geometry: Geometry, content: bytes = b"") -> Flash:
        """Memory that records every operation, for rebuilding crash images."""
        out = ffi.new("jx_flash **")
        start = content + b"\xff" * (geometry.size - len(content))
        check(lib.jx_sim_open(geometry.to_c(), start, out), doing="making a simulator")
        return cls(out[0])

    def simulate(self) -> Flash:
        """A simulator that begins with what this device holds, OOB and bad blocks too. Raises MediumError."""
        out = ffi.new("jx_flash **")
        check(lib.jx_sim_clone(self.handle, out), doing="copying the medium")
        return Flash(out[0])

    @property
    def operations(self) -> int:
        """Of a simulator: how many programs, erases and syncs it has recorded."""
        return lib.jx_sim_op_count(self.handle)

    @property
    def handle(self):
        if self._handle is None:
            raise ValueError("the flash is closed")
        return self._handle

    @property
    def geometry(self) -> Geometry:
        geo = ffi.new("struct jx_geometry *")
        lib.jx_flash_geometry(self.handle, geo)
        return Geometry.from_c(geo)

    @property
    def live(self) -> bool:
        """A running kernel has it mounted read-only: only blocks that hold nothing are written (jx_flash_set_live)."""
        return bool(lib.jx_flash_is_live(self.handle))

    @live.setter
    def live(self, live: bool) -> None:
        lib.jx_flash_set_live(self.handle, live)

    @property
    def stats(self) -> FlashStats:
        stats = ffi.new("struct jx_flash_stats *")
        lib.jx_flash_statistics(self.handle, stats)
        return FlashStats(*(getattr(stats, field.name) for field in fields(FlashStats)))

    def read(self, offset: int, length: int, *, forgiving: bool = False) -> bytes:
        """Raw bytes; forgiving: what ECC could not correct as the chip gave it.

        Raises MediumError, or InternalError for a range outside the device.
        """
        buffer = ffi.new("uint8_t[]", length)
        code = lib.jx_flash_raw_read(self.handle, offset, buffer, length)
        if not (forgiving and code == lib.JX_EECC):
            check(code, doing=f"reading 0x{offset:x}")
        return ffi.buffer(buffer)[:]

    def hash(self) -> bytes:
        """128 bits over content, OOB and bad blocks. Raises MediumError."""
        out = ffi.new("uint8_t[16]")
        check(lib.jx_flash_hash(self.handle, out), doing="hashing the medium")
        return bytes(out)

    def is_bad(self, offset: int) -> bool:
        """Whether the eraseblock that starts there is marked bad. Raises MediumError."""
        return bool(check(lib.jx_flash_raw_is_bad(self.handle, offset), doing=f"looking up 0x{offset:x}"))

    def close(self) -> None:
        if self._handle is not None:
            lib.jx_flash_close(self._handle)
            self._handle = None

    def __enter__(self) -> Flash:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
