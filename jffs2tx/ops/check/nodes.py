"""Nodes for themselves: every CRC, every length."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from jffs2tx._ffi import ffi, lib
from jffs2tx.filesystem import Extent
from jffs2tx.ops.check import kinds
from jffs2tx.ops.check.finding import Finding
from jffs2tx.ops.check.survey import Survey

PAGE_BYTES = 4096
_WRAPS = 1 << 32
#: Fixed part, and the node CRC's place in it: the CRC covers what stands before it, but for another CRC (4 bytes) in
#: front of it or behind it.
_NODE_CRCS = {
    lib.JX_NODE_INODE: (68, 60, 64),
    lib.JX_NODE_DIRENT: (40, 32, 32),
    lib.JX_NODE_XATTR: (32, 28, 28),
    lib.JX_NODE_XREF: (28, 24, 24),
}
#: Of the pieces that show in a node's place so many are looked at; where there are more, it is taken to be seen.
_PIECES_MAX = 64


def bad_headers(survey: Survey) -> Iterator[Finding]:
    for index in range(survey.node_count):
        node = survey.nodes[index]
        if node.verdict == lib.JX_V_BAD_HEADER and not node.by_summary:  # those are told by their summary
            yield Finding(kinds.BAD_HEADER, "a header fails its CRC or reaches beyond its eraseblock", node.offset)


def lengths_that_wrap(survey: Survey) -> Iterator[Finding]:
    """Linux 6.1 adds a length to its place in 32 bits: beyond them it lands in front, and scans there again."""
    for index in range(survey.node_count):
        node = survey.nodes[index]
        if node.verdict != lib.JX_V_BAD_HEADER or node.by_summary:
            continue
        header = survey.header(node.offset)
        if header is not None and node.offset + header.totlen >= _WRAPS:
            text = f"a length of {header.totlen:#x}, which leads round to {(node.offset + header.totlen) % _WRAPS:#x}"
            yield Finding(kinds.NO_MOUNT, text, node.offset)


def bad_nodes(survey: Survey) -> Iterator[Finding]:
    """By their CRC or by their length. A summary may speak of nodes that are not there at all: it tells of those."""
    for index in range(survey.node_count):
        node = survey.nodes[index]
        if node.verdict != lib.JX_V_BAD_NODE or not survey.header_stands(node):
            continue
        if _node_crc_holds(survey, node):
            yield Finding(kinds.BAD_LENGTH, "the length of a node does not suit what it holds", node.offset)
        else:
            yield Finding(kinds.BAD_NODE, "a node fails its CRC", node.offset)


def _node_crc_holds(survey: Survey, node) -> bool:
    size, covered, at = _NODE_CRCS[node.nodetype]
    if node.offset % survey.erase_size + size > survey.erase_size:
        return False
    raw = survey.read(node.offset, size)
    return lib.jx_crc32(0, raw, covered) == int.from_bytes(raw[at : at + 4], survey.fs.endian)


def bad_names(survey: Survey) -> Iterator[Finding]:
    for index in survey.indices(lib.JX_NODE_DIRENT, verdict=lib.JX_V_BAD_NAME):
        node = survey.nodes[index]
        if node.nsize:
            continue  # a NUL in it: names.nul_names tells
        text = f"a name in directory inode {node.ino} fails its CRC; it stands for inode {node.child}"
        yield Finding(kinds.BAD_NAME, text, node.offset, survey.path(node.ino), node.child)


# ---- data ------------------------------------------------------------------------------------------------------------


def bad_data(survey: Survey) -> Iterator[Finding]:
    """Data CRCs of inode nodes: all are looked at, also those that nothing shows."""
    total = sum(survey.nodes[index].csize for index in survey.indices(lib.JX_NODE_INODE))
    done = 0
    for ino, indices in survey.versions.items():
        bad = []
        for index in indices:
            if not survey.data_are_good(index):
                bad.append(index)
            done += survey.nodes[index].csize
        if survey.progress:
            survey.progress("check", done, total)
        if bad:
            yield from _bad_data_of(survey, ino, bad)


def _bad_data_of(survey: Survey, ino: int, bad: list[int]) -> Iterator[Finding]:
    path = survey.path(ino)
    newest = survey.newest(ino)
    readable = path is not None and survey.inode(ino).error is None
    extents = survey.fs.extents_ino(ino) if readable else []
    for index in bad:
        node = survey.nodes[index]
        place = f"bytes {node.file_offset} to {node.file_offset + node.dsize} of inode {ino}, version {node.version}"
        outdone = newest is not None and survey.nodes[newest].version > node.version
        if path is None or (outdone and _is_covered(survey, node, extents, survey.nodes[newest].isize)):
            yield Finding(
                kinds.STALE_BAD_DATA, f"data that nothing shows fail their CRC: {place}", node.offset, path, ino
            )
        else:
            yield Finding(kinds.BAD_DATA, f"data fail their CRC: {place}", node.offset, path, ino)


def _is_covered(survey: Survey, node, extents: list[Extent], size: int) -> bool:
    """Whether newer nodes show wherever this one would."""
    at, end = node.file_offset, min(node.file_offset + node.dsize, size)
    first = max(bisect_right(extents, at, key=lambda extent: extent.offset) - 1, 0)
    for extent in extents[first : first + _PIECES_MAX]:
        if at >= end:
            break
        if extent.end <= at:
            continue
        if extent.offset > at or survey.nodes[extent.node].version < node.version:
            return False
        at = extent.end
    return at >= end


def crosses_page(survey: Survey) -> Iterator[Finding]:
    """jffs2_write_inode_range writes no more than a page at a time; holes may be of any length."""
    for index in survey.indices(lib.JX_NODE_INODE):
        node = survey.nodes[index]
        if node.type != lib.JX_COMPR_ZERO and node.file_offset % PAGE_BYTES + node.dsize > PAGE_BYTES:
            text = (
                f"{node.dsize} bytes of data at {node.file_offset} of inode {node.ino} are more than one page of a file"
            )
            yield Finding(kinds.CROSSES_PAGE, text, node.offset, survey.path(node.ino), node.ino)


def stale_attributes(survey: Survey) -> Iterator[Finding]:
    """Extended attributes that fail their CRC and that no file has; the others are told with their file."""
    for index in survey.indices(lib.JX_NODE_XATTR):
        node = survey.nodes[index]
        if not node.needed and not attribute_is_good(survey, index):
            text = f"an extended attribute that nothing shows fails its CRC: xid {node.child}"
            yield Finding(kinds.STALE_BAD_DATA, text, node.offset)


def attribute_is_good(survey: Survey, index: int) -> bool:
    return read_attribute(survey, index) is not None


def read_attribute(survey: Survey, index: int) -> tuple[bytes, bytes] | None:
    """Name, without its prefix, and value of an xattr node; None where its data fail their CRC."""
    node = survey.nodes[index]
    wanted = {"node": index, "xid": node.child, "name_len": node.nsize, "value_len": node.dsize}
    attribute = ffi.new("struct jx_attribute *", wanted)
    name, value = ffi.new("uint8_t[256]"), ffi.new("uint8_t[]", max(node.dsize, 1))
    if lib.jx_fs_xattr_read(survey.fs.handle, attribute, name, value) != lib.JX_OK:
        return None
    return ffi.buffer(name, node.nsize)[:], ffi.buffer(value, node.dsize)[:]
