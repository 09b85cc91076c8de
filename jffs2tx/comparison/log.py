"""The log that Linux's JFFS2 writes: nodes one behind the other, eraseblock after eraseblock, no garbage collection.

Sources: fs/jffs2/nodemgmt.c (jffs2_do_reserve_space, jffs2_mark_node_obsolete), wbuf.c (jffs2_flash_writev,
__jffs2_flush_wbuf), summary.c (jffs2_sum_write_sumnode).
"""

from __future__ import annotations

from typing import Any

from jffs2tx._ffi import check, lib
from jffs2tx.device import Flash
from jffs2tx.errors import NoSpace
from jffs2tx.format import ACCURATE, HEADER_BYTES, MARKER_BYTES, NodeType, build, pad4

ORDER = "little"
SUMMARY_HEAD_BYTES = 32
SUMMARY_FRAME_BYTES = SUMMARY_HEAD_BYTES + MARKER_BYTES
CLEANMARKER = build(NodeType.CLEANMARKER, ORDER)


def cleanmarker_oob() -> bytes:
    """The 8 bytes in the OOB of a NAND block's first page (jffs2_write_nand_cleanmarker)."""
    return CLEANMARKER[:4] + (8).to_bytes(4, ORDER)


class Direct:
    """NOR: what is written is there. Each part of a node is a program of its own (mtd_writev of a chip without one)."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash

    def write(self, offset: int, parts: list[bytes]) -> None:
        for part in parts:
            if part:
                check(lib.jx_flash_raw_prog(self._flash.handle, offset, part, len(part)), doing="writing a node")
                offset += len(part)

    def flush(self) -> int | None:
        """Nothing waits."""


class Buffered:
    """NAND: whole pages through a write buffer. What stands in it is lost when the power goes."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        self._page = flash.geometry.write_size
        self._at = 0  # of the buffer's page
        self._waiting = bytearray()

    def write(self, offset: int, parts: list[bytes]) -> None:
        """Goes on where the last write ended, or at the start of another eraseblock."""
        if not self._waiting:
            self._at = offset
        self._waiting += b"\xff" * (offset - self._at - len(self._waiting)) + b"".join(parts)
        while len(self._waiting) >= self._page:
            self._program(bytes(self._waiting[: self._page]))
            del self._waiting[: self._page]

    def flush(self) -> int | None:
        """Fills the page up and writes it: sync, umount, the timer, the end of a block. Returns where it ends."""
        if not self._waiting:
            return None
        self._waiting += b"\xff" * (-len(self._waiting) % 4)
        rest = self._page - len(self._waiting)
        padding = build(NodeType.PADDING, ORDER, totlen=rest) if rest > HEADER_BYTES else b""
        self._waiting += padding + bytes(rest - len(padding))
        self._program(bytes(self._waiting))
        self._waiting.clear()
        return self._at

    def _program(self, page: bytes) -> None:
        check(lib.jx_flash_raw_prog(self._flash.handle, self._at, page, len(page)), doing="writing a page")
        self._at += len(page)


class Log:
    """One write head on a flash that starts erased. summary: as a kernel with CONFIG_JFFS2_SUMMARY."""

    def __init__(self, flash: Flash, *, summary: bool) -> None:
        geometry = flash.geometry
        self.flash = flash
        self.summary = summary
        #: Whether old nodes lose their ACCURATE bit on the medium (jffs2_can_mark_obsolete).
        self.marks_obsolete = geometry.kind == "nor" and not summary
        self._inline_marker = geometry.kind == "nor"
        self._block_bytes = geometry.erase_size
        #: The scan puts each erased block in front of those before (jffs2_scan_medium): the last one is taken first.
        self._free_blocks = [block * geometry.erase_size for block in reversed(range(geometry.blocks))]
        self._medium = Direct(flash) if geometry.kind == "nor" else Buffered(flash)
        self._at: int | None = None  # where the next node goes; None: the last block is full
        self._end = 0  # of its block
        self._entries: list[dict[str, Any]] = []
        self._entries_bytes = 0
        for block in self._free_blocks:
            self._write_cleanmarker(block)

    def _write_cleanmarker(self, block: int) -> None:
        handle = self.flash.handle
        if self._inline_marker:
            check(lib.jx_flash_raw_prog(handle, block, CLEANMARKER, len(CLEANMARKER)), doing="marking a block")
        else:
            check(lib.jx_flash_raw_oob_prog(handle, block, cleanmarker_oob(), 8), doing="marking a block")

    # ---- writing ----

    def reserve(self, least: int, entry_bytes: int) -> int:
        """Room for a node of at least `least` bytes whose summary entry takes entry_bytes. Returns how long it may be.

        Raises NoSpace.
        """
        tail = pad4(self._entries_bytes + entry_bytes + SUMMARY_FRAME_BYTES) if self.summary else 0
        if self._at is not None and pad4(least) + tail > self._free():
            self._close_block()
        if self._at is None:
            self._open_block()
            tail = pad4(entry_bytes + SUMMARY_FRAME_BYTES) if self.summary else 0
        return self._free() - tail

    def append(self, node: bytes, head_bytes: int, entry: dict[str, Any], entry_bytes: int) -> int:
        """Writes a node for which there is room: its head, then what follows. Returns its offset."""
        at = self._at
        self._entries.append({"offset": at % self._block_bytes, **entry})
        self._entries_bytes += entry_bytes
        self._medium.write(at, [node[:head_bytes], node[head_bytes:]])
        self._at = at + pad4(len(node))
        if not self._free():
            self._medium.flush()
            self._at = None
        return at

    def obsolete(self, offset: int) -> None:
        """What a node that lost is worth on the medium: its header is written again, without the ACCURATE bit."""
        if self.marks_obsolete:
            header = bytearray(self.flash.read(offset, HEADER_BYTES))
            nodetype = int.from_bytes(header[2:4], ORDER) & ~ACCURATE
            header[2:4] = nodetype.to_bytes(2, ORDER)
            self._medium.write(offset, [bytes(header)])

    def sync(self) -> None:
        """What waits is written, at the cost of the rest of its page."""
        end = self._medium.flush()
        if end is not None:
            self._at = end if end < self._end else None

    # ---- eraseblocks ----

    def _free(self) -> int:
        return self._end - self._at

    def _open_block(self) -> None:
        if not self._free_blocks:
            raise NoSpace("no erased block is left for the log")
        block = self._free_blocks.pop(0)
        self._entries, self._entries_bytes = [], 0
        self._at, self._end = block, block + self._block_bytes
        if self._inline_marker:
            self.obsolete(block)  # the cleanmarker: the block holds something else as well
            self._at += len(CLEANMARKER)

    def _close_block(self) -> None:
        if self.summary:
            start = self._at % self._block_bytes
            marker = len(CLEANMARKER) if self._inline_marker else 0
            fields = {"cln_mkr": marker, "padded": 0, "entries": self._entries, "marker_offset": start}
            node = build(NodeType.SUMMARY, ORDER, totlen=self._free(), **fields)
            self._medium.write(self._at, [node[:SUMMARY_HEAD_BYTES], node[SUMMARY_HEAD_BYTES:]])
        self._medium.flush()
        self._at = None
