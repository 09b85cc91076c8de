"""Damaged nodes of which the medium does not show what they held: it may have been superseded, or be lost."""

from __future__ import annotations

from collections.abc import Iterator

from jffs2tx._ffi import lib
from jffs2tx.damage.log import DIRENT_BYTES, XREF_BYTES, Log
from jffs2tx.damage.record import Damage

_HEADERLESS = (lib.JX_V_NOISE, lib.JX_V_BAD_HEADER)
_WHY = "what they held is lost, unless it was superseded"


def remains(log: Log) -> Iterator[Damage]:
    """In eraseblocks that hold what is nowhere else, and without what an interrupted write left."""
    for offset, length in _headerless(log):
        yield Damage(None, 0, 0, f"{length} bytes at {offset:#x}, between nodes, are not a node: {_WHY}")
    for index in _nameless(log):
        if log.is_live(log.nodes[index].offset) and not log.is_interrupted(index):
            yield Damage(None, 0, 0, f"the node at {log.nodes[index].offset:#x} fails its CRC: {_WHY}")


def _headerless(log: Log) -> Iterator[tuple[int, int]]:
    """Runs long enough for the shortest node, up to the next node: start and bytes."""
    start = None
    for index in range(log.count):
        node = log.nodes[index]
        if node.verdict in _HEADERLESS and not node.by_summary:
            start = node.offset if start is None or _block(log, start) != _block(log, node.offset) else start
            continue
        if start is not None and node.nodetype and _is_lost(log, start, node.offset):
            yield start, node.offset - start
        start = None


def _is_lost(log: Log, start: int, end: int) -> bool:
    """On NAND a page that was torn is passed over: the next node starts with the next page."""
    if _block(log, start) != _block(log, end) or end - start < XREF_BYTES:
        return False
    page = log.fs.flash.geometry.write_size
    torn_page = page > 1 and end % page == 0
    return log.is_live(start) and not (log.is_pending(start) or torn_page or log.is_last(end))


def _block(log: Log, offset: int) -> int:
    return offset // log.erase_size


def _nameless(log: Log) -> Iterator[int]:
    """Nodes whose damage reaches the number of the inode that they are about."""
    for owners in (log.bad_inode_nodes, log.bad_references):
        for ino, indices in owners.items():
            if not log.knows(ino):
                yield from indices
    for index in log.bad_dirents:
        node = log.nodes[index]
        if node.verdict == lib.JX_V_BAD_NODE and not node.by_summary:
            head = log.dirent_head(index)
            name = log.read(node.offset + DIRENT_BYTES, head.nsize)
            if not log.knows(head.pino) or lib.jx_crc32(0, name, len(name)) != head.name_crc:
                yield index
