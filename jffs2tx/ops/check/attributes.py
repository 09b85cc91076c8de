"""Extended attributes: references, and what they refer to."""

from __future__ import annotations

from collections.abc import Iterator

from jffs2tx._ffi import lib
from jffs2tx.errors import printable
from jffs2tx.ops.check import kinds
from jffs2tx.ops.check.finding import Finding
from jffs2tx.ops.check.nodes import read_attribute
from jffs2tx.ops.check.survey import Survey
from jffs2tx.xattr import PREFIXES, xattr_from_medium

_DELETED = 1  # bit of xseqno


def attributes(survey: Survey) -> Iterator[Finding]:
    """Each datum is looked at once, by the first inode of the tree that has it."""
    data = _newest_data(survey)
    used: set[int] = set()
    for (ino, xid), index in sorted(_newest_references(survey).items()):
        node = survey.nodes[index]
        if node.version & _DELETED:
            continue
        if ino not in survey.places:
            text = f"inode {ino}, which is not in the tree, has the extended attribute {xid}"
            yield Finding(kinds.ORPHAN_ATTRIBUTE, text, node.offset, None, ino)
        elif xid not in data:
            text = f"its extended attribute {xid} is not there"
            yield Finding(kinds.LOST_ATTRIBUTE, text, node.offset, survey.path(ino), ino)
        elif xid not in used:
            used.add(xid)
            fault = _fault(survey, data[xid])
            if fault:
                offset = survey.nodes[data[xid]].offset
                yield Finding(kinds.BAD_ATTRIBUTE, fault, offset, survey.path(ino), ino)
    for xid, index in sorted(data.items()):
        if xid not in used:
            text = f"no inode of the tree has the extended attribute {xid}"
            yield Finding(kinds.ORPHAN_ATTRIBUTE, text, survey.nodes[index].offset)


def _newest_references(survey: Survey) -> dict[tuple[int, int], int]:
    """By inode number and xid: of the references that of the highest sequence number."""
    found: dict[tuple[int, int], int] = {}
    for index in survey.indices(lib.JX_NODE_XREF):
        node = survey.nodes[index]
        best = found.setdefault((node.ino, node.child), index)
        if node.version > survey.nodes[best].version:
            found[node.ino, node.child] = index
    return found


def _newest_data(survey: Survey) -> dict[int, int]:
    """By xid: the datum of the highest version, of equal ones the last (jffs2_scan_xattr_node)."""
    found: dict[int, int] = {}
    for index in survey.indices(lib.JX_NODE_XATTR):
        node = survey.nodes[index]
        if node.version >= survey.nodes[found.setdefault(node.child, index)].version:
            found[node.child] = index
    return found


def _fault(survey: Survey, index: int) -> str | None:
    """What keeps an attribute from being shown."""
    node = survey.nodes[index]
    content = read_attribute(survey, index)
    if content is None:
        return f"its extended attribute {node.child} fails its CRC"
    if node.type not in PREFIXES:
        return f"its extended attribute '{printable(content[0])}' has an unknown prefix, {node.type}"
    try:
        xattr_from_medium(node.type, *content, survey.fs.endian)
    except ValueError as error:
        return f"its attribute {PREFIXES[node.type].decode()}: {error}"
    return None
