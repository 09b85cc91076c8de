"""Summaries: whether each is there, and says what stands in its eraseblock."""

from __future__ import annotations

from collections.abc import Iterator

from jffs2tx._ffi import ffi, lib
from jffs2tx.filesystem import ENDIANS
from jffs2tx.format import MARKER_BYTES, SUMMARY_MAGIC, kind_name, pad4
from jffs2tx.ops.check import kinds
from jffs2tx.ops.check.blocks import CONTENT
from jffs2tx.ops.check.finding import Finding
from jffs2tx.ops.check.survey import Survey

_SUMMARY_BYTES = 32
_FRAME_BYTES = 40  # JFFS2_SUMMARY_FRAME_SIZE
_ENTRY_BYTES = {lib.JX_NODE_INODE: 18, lib.JX_NODE_DIRENT: 24, lib.JX_NODE_XATTR: 18, lib.JX_NODE_XREF: 6}
#: What jffs2_write_inode_range asks for at least: an inode node with JFFS2_MIN_DATA_LEN of data, and its entry.
_SMALLEST_WRITE_BYTES = 68 + 128 + 18
_COMPATIBILITY = 0xC000  # these bits of a nodetype; all set: INCOMPAT
_THERE = (lib.JX_V_GOOD, lib.JX_V_OBSOLETE)


def missing(survey: Survey) -> Iterator[Finding]:
    """Blocks so full that the kernel would have ended them with a summary (jffs2_do_reserve_space)."""
    if not survey.fs.has_summaries:
        return
    for block in survey.blocks():
        if block.summary or block.tag or block.state not in (lib.JX_B_USED, lib.JX_B_DIRTY):
            continue
        entries = sum(_entry_size(node) for node in _nodes_of(survey, block))
        free = survey.erase_size - block.free_from
        if free < pad4(_SMALLEST_WRITE_BYTES) + pad4(entries + _FRAME_BYTES):
            yield Finding(kinds.NO_SUMMARY, f"full ({free} bytes free) but without a summary", block.offset)


def _nodes_of(survey: Survey, block) -> Iterator:
    return (survey.nodes[index] for index in range(block.first_node, block.first_node + block.node_count))


def _entry_size(node) -> int:
    counts = node.nodetype in CONTENT and node.verdict == lib.JX_V_GOOD
    return _ENTRY_BYTES[node.nodetype] + (node.nsize if node.nodetype == lib.JX_NODE_DIRENT else 0) if counts else 0


def broken(survey: Survey) -> Iterator[Finding]:
    """Blocks with the marker of a summary, but no summary that a reader can use."""
    for block in survey.blocks():
        if block.summary or block.state == lib.JX_B_BAD or not block.node_count:
            continue
        marker = survey.read(block.offset + survey.erase_size - MARKER_BYTES, MARKER_BYTES)
        if int.from_bytes(marker[4:], survey.fs.endian) == SUMMARY_MAGIC:
            at = int.from_bytes(marker[:4], survey.fs.endian)
            text = f"the summary that should be at {at:#x} of this eraseblock fails a CRC or cannot be used"
            yield Finding(kinds.BAD_SUMMARY, text, block.offset)
            if at < survey.erase_size - _FRAME_BYTES:
                yield from _incompatible(survey, at, block)


def _incompatible(survey: Survey, at: int, block) -> Iterator[Finding]:
    """A whole summary with an entry of a type that allows no reader to go on without it."""
    raw, summary = _read(survey, at, block)
    if summary is None:
        return
    order, position, entry = ENDIANS[survey.fs.endian], ffi.new("uint32_t *", _SUMMARY_BYTES), _new_entry()
    for _ in range(summary.sum_num):
        start = position[0]
        code = lib.jx_decode_summary_entry(order, raw, len(raw), position, entry)
        if code == 1:
            continue
        kind = int.from_bytes(raw[start : start + 2], survey.fs.endian)
        if code == 0 and kind & _COMPATIBILITY == _COMPATIBILITY:
            yield Finding(kinds.NO_MOUNT, f"the summary lists a node of type {kind:#06x}", block.offset + at)
        return


def entries(survey: Survey) -> Iterator[Finding]:
    """Entries for which there is no node, or another; and good nodes that are not listed."""
    for block in survey.blocks():
        if not block.summary:
            continue
        nodes = {node.offset - block.offset: node for node in _nodes_of(survey, block)}
        for entry, name in _entries(survey, max(nodes), block):
            if entry.nodetype == lib.JX_NODE_DIRENT and name[:1] in (b"", b"\0"):
                text = "the summary lists a name that is empty or begins with a NUL"
                yield Finding(kinds.NO_MOUNT, text, block.offset + entry.offset)
            fault = _fault(survey, entry, name, nodes.get(entry.offset))
            if fault:
                text = f"the summary lists a node ({kind_name(entry.nodetype)}) here: {fault}"
                yield Finding(kinds.SUMMARY_ENTRY, text, block.offset + entry.offset)
        for node in nodes.values():
            if node.verdict == lib.JX_V_HIDDEN and node.nodetype in CONTENT:
                text = f"the summary leaves out a node ({kind_name(node.nodetype)}) of inode {node.ino}"
                yield Finding(kinds.UNLISTED_NODE, text, node.offset, survey.path(node.ino), node.ino)


def _entries(survey: Survey, start: int, block) -> Iterator[tuple[object, bytes]]:
    """Each struct jx_summary_entry, and the name in it, of the summary that starts there in its block."""
    raw, summary = _read(survey, start, block)
    position = ffi.new("uint32_t *", _SUMMARY_BYTES)
    for _ in range(summary.sum_num if summary else 0):
        entry = _new_entry()
        if lib.jx_decode_summary_entry(ENDIANS[survey.fs.endian], raw, len(raw), position, entry) != 1:
            return
        yield entry, raw[entry.name_at : entry.name_at + entry.nsize] if entry.name_at else b""


def _read(survey: Survey, start: int, block) -> tuple[bytes, object | None]:
    """The bytes from there to the block's end, and the struct jx_summary that they are, if they are one."""
    raw = survey.read(block.offset + start, survey.erase_size - start)
    summary = ffi.new("struct jx_summary *")
    good = lib.jx_decode_summary(ENDIANS[survey.fs.endian], raw, len(raw), summary) == lib.JX_GOOD
    return raw, summary if good else None


def _new_entry():
    return ffi.new("struct jx_summary_entry *")


def _fault(survey: Survey, entry, name: bytes, node) -> str | None:
    """What is wrong with an entry, given the record of the node that stands where it says."""
    if node is None or node.nodetype != entry.nodetype or not survey.header_stands(node):
        return "there is none of this type and length"
    if node.verdict not in _THERE:
        return None  # it is there, and told as damaged
    if entry.nodetype == lib.JX_NODE_INODE:
        said, real = (entry.ino, entry.version), (node.ino, node.version)
    elif entry.nodetype == lib.JX_NODE_DIRENT:
        real_name = ffi.buffer(lib.jx_fs_names(survey.fs.handle) + node.name, node.nsize)[:]
        said = (entry.ino, entry.version, entry.child, entry.type, name.partition(b"\0")[0])
        real = (node.ino, node.version, node.child, node.type, real_name)
    elif entry.nodetype == lib.JX_NODE_XATTR:
        said, real = (entry.ino, entry.version), (node.child, node.version)
    else:
        return None
    return None if said == real else f"it says {said}, the node {real}"
