"""What of one inode is damaged: bytes of a file, or its metadata, its target, its device number."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import attrgetter
from typing import TYPE_CHECKING

from jffs2tx._ffi import ffi, lib
from jffs2tx.damage.log import LISTED_WHY, BadNode, Log
from jffs2tx.damage.record import Damage

if TYPE_CHECKING:
    from jffs2tx.filesystem import Stat

_NOTHING, _TAIL = -1, -2  # the version of what no node covers: amid the file, at its end
_WHY = {_NOTHING: "no node covers them: zeros show", _TAIL: "no node covers them: the file ends before"}
OLDER_WHY = "its newest node fails its CRC: an older state shows"
FAKED_WHY = "its own node is missing: mode, owner and time are made up"


def content_damage(log: Log, path: bytes, status: Stat) -> Iterator[Damage]:
    """Of an inode that can be read. What does not decompress is not looked for: reading it fails, see undecodable."""
    bad = log.bad_nodes(status.ino)
    newest = log.newest(status.ino)
    if newest is None:
        if path or bad:  # mkfs.jffs2 writes no node for the root
            yield Damage(path, 0, 0, FAKED_WHY)
        return
    meta = log.nodes[newest]
    if status.type == "file":
        pieces = _pieces(log, status, _claimed_size(meta, bad), meta.version, bad)
        for start, end, why in _merged(_lost(pieces, sorted(bad, key=attrgetter("offset")))):
            yield Damage(path, start, end - start, why)
        bad = [node for node in bad if not node.length]
    if any(node.version > meta.version for node in bad):
        yield Damage(path, 0, 0, OLDER_WHY)
    elif any(node.why == LISTED_WHY for node in bad):
        yield Damage(path, 0, 0, LISTED_WHY)


def _claimed_size(meta, bad: list[BadNode]) -> int:
    """What the newest node says whose head can be trusted."""
    size, version = meta.isize, meta.version
    for node in bad:
        if node.isize is not None and node.version > version:
            size, version = node.isize, node.version
    return size


def _pieces(log: Log, status: Stat, size: int, version: int, bad: list[BadNode]) -> Iterator[tuple[int, int, int]]:
    """The whole file, and beyond it as far as a bad node reaches: start, end and the version that shows there."""
    at = 0
    for extent in log.fs.extents_ino(status.ino):
        if extent.offset > at:
            yield at, extent.offset, _NOTHING
        yield extent.offset, extent.end, log.nodes[extent.node].version
        at = extent.end
    if size > at:
        yield at, size, _TAIL
    yield max(at, size), max((node.end for node in bad), default=0), version


def _lost(pieces: Iterator[tuple[int, int, int]], bad: list[BadNode]) -> Iterator[tuple[int, int, str]]:
    """Where a bad node is newer than what shows, or nothing shows. Sweeps: the newest bad node so far is on top."""
    heap: list[tuple[int, int, str]] = []
    following = 0
    for start, end, version in pieces:
        while start < end:
            while following < len(bad) and bad[following].offset <= start:
                node = bad[following]
                heapq.heappush(heap, (-node.version, node.end, node.why))
                following += 1
            while heap and heap[0][1] <= start:
                heapq.heappop(heap)
            stop = min(end, bad[following].offset) if following < len(bad) else end
            if heap and -heap[0][0] > version:
                stop = min(stop, heap[0][1])
                yield start, stop, heap[0][2]
            elif version in _WHY:
                yield start, stop, _WHY[version]
            start = stop


def _merged(places: Iterator[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    before = None
    for start, end, why in places:
        if before and before[1:] == (start, why):
            before = before[0], end, why
            continue
        if before:
            yield before
        before = start, end, why
    if before:
        yield before


def undecodable(log: Log, path: bytes, ino: int) -> Iterator[Damage]:
    """Where the content of a file cannot be read, so that the kernel returns EIO. Each node is decompressed once."""
    reasons: dict[int, str | None] = {}
    for extent in log.fs.extents_ino(ino):
        if extent.node not in reasons:
            code = lib.jx_fs_check_content(log.fs.handle, extent.node)
            reasons[extent.node] = None if code == lib.JX_OK else ffi.string(lib.jx_strerror(code)).decode()
        why = reasons[extent.node]
        if why is not None:
            yield Damage(path, extent.offset, extent.length, f"cannot be read: {why}")
