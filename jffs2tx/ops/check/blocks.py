"""Eraseblocks: bad ones, what ECC gave up, what is no node, and transactions that wait."""

from __future__ import annotations

from collections.abc import Iterator

from jffs2tx._ffi import lib
from jffs2tx.format import COMPATIBILITY, NodeType
from jffs2tx.geometry import MOUNT_MIN_BLOCKS
from jffs2tx.ops.check import kinds
from jffs2tx.ops.check.finding import Finding
from jffs2tx.ops.check.survey import NOWHERE, Survey

CONTENT = (lib.JX_NODE_INODE, lib.JX_NODE_DIRENT, lib.JX_NODE_XATTR, lib.JX_NODE_XREF)
_CLASS, _COPY = 0xC000, 0x4000  # of a nodetype: what a reader does that does not know it
_KNOWN = frozenset(map(int, NodeType))

UNFINISHED = {
    "staged": "a transaction was staged and never committed",
    "committed": "a transaction was committed and is not settled",
}


def bad_blocks(survey: Survey) -> Iterator[Finding]:
    for block in survey.blocks():
        if block.state == lib.JX_B_BAD:
            yield Finding(kinds.BAD_BLOCK, "the eraseblock is marked bad", block.offset)


def too_few(survey: Survey) -> Iterator[Finding]:
    """ "Too few erase blocks" (jffs2_do_fill_super). A file that is shorter than its flash says nothing of it."""
    blocks = survey.fs.flash.geometry.blocks
    if blocks < MOUNT_MIN_BLOCKS and not survey.is_short:
        text = f"the flash has {blocks} eraseblocks, and Linux mounts no fewer than {MOUNT_MIN_BLOCKS}"
        yield Finding(kinds.NO_MOUNT, f"{text}; if it is larger than this file, --device-size says so")


def unreadable_pages(survey: Survey) -> Iterator[Finding]:
    for block in survey.blocks():
        if block.unreadable_pages:
            text = f"pages of this eraseblock that ECC cannot correct: {block.unreadable_pages}"
            yield Finding(kinds.UNREADABLE_PAGE, text, block.offset)


def noise(survey: Survey) -> Iterator[Finding]:
    """Runs of it that are not wholly 0: those the kernel passes over in silence, and writers leave some. What follows a
    bad header is the rest of its node; what is left of a container header stands in a block of ours, whose transaction
    is told as unfinished.
    """
    ours = {block.offset for block in survey.blocks() if block.tag}
    for index in survey.indices(0, verdict=lib.JX_V_NOISE):
        run = survey.nodes[index]
        if run.offset - run.offset % survey.erase_size in ours or _follows_bad_header(survey, index):
            continue
        content = survey.read(run.offset, run.totlen)
        if content.strip(b"\0"):
            yield Finding(kinds.NOISE, f"{run.totlen} bytes that are no node: {content[:8].hex(' ')} …", run.offset)


def _follows_bad_header(survey: Survey, index: int) -> bool:
    before, run = survey.nodes[max(index - 1, 0)], survey.nodes[index]
    return before.verdict == lib.JX_V_BAD_HEADER and before.offset + before.totlen == run.offset


def unknown_nodes(survey: Survey) -> Iterator[Finding]:
    for index in range(survey.node_count):
        node = survey.nodes[index]
        passed_over = node.nodetype & _CLASS in (0, _COPY)
        if node.nodetype and node.nodetype not in _KNOWN and node.verdict == lib.JX_V_GOOD and passed_over:
            text = f"node of unknown type {node.nodetype:#06x} ({COMPATIBILITY[node.nodetype & 0xC000]})"
            yield Finding(kinds.UNKNOWN_NODE, text, node.offset)


def forbidding_nodes(survey: Survey) -> Iterator[Finding]:
    """The first one of each of the other two classes."""
    incompat, rocompat = lib.jx_fs_incompat_at(survey.fs.handle), lib.jx_fs_rocompat_at(survey.fs.handle)
    if incompat != NOWHERE:
        yield Finding(kinds.NO_MOUNT, "a node of an unknown type of class INCOMPAT", incompat)
    if rocompat != NOWHERE:
        yield Finding(kinds.READ_ONLY, "a node of an unknown type of class ROCOMPAT", rocompat)


def hidden_nodes(survey: Survey) -> Iterator[Finding]:
    """Blocks that count as empty though nodes stand in them. One of ours is told as unfinished."""
    for block in survey.blocks():
        if block.summary or block.tag or not block.node_count:
            continue
        first = survey.nodes[block.first_node]
        if first.verdict != lib.JX_V_ERASED or first.totlen != survey.erase_size:
            continue
        hidden = sum(
            survey.nodes[index].verdict == lib.JX_V_HIDDEN and survey.nodes[index].nodetype in CONTENT
            for index in range(block.first_node, block.first_node + block.node_count)
        )
        if hidden:
            yield Finding(kinds.HIDDEN_NODE, f"nodes behind the erased start of this block: {hidden}", block.offset)


def unfinished(survey: Survey) -> Iterator[Finding]:
    state = survey.fs.status.state
    if state in UNFINISHED:
        yield Finding(kinds.UNFINISHED, UNFINISHED[state])
