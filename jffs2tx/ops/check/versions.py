"""Versions: every node of an inode, and every dirent of a name, has one of its own, and the log is written in order."""

from __future__ import annotations

from collections.abc import Iterator

from jffs2tx._ffi import lib
from jffs2tx.errors import printable
from jffs2tx.ops.check import kinds
from jffs2tx.ops.check.finding import Finding
from jffs2tx.ops.check.survey import INODE_HEAD_BYTES, Survey

NUMBER_LIMIT = 1 << 31  # csrc/fs.h, JX_NUMBER_LIMIT
_VERSION_AT = 12  # what stands before says only how long the node is


def same_version(survey: Survey) -> Iterator[Finding]:
    """Two nodes of one version that differ. Copies are alike: the kernel's collector keeps the version."""
    for ino, indices in survey.versions.items():
        for index, first in _repeated(survey, indices):
            if not _same_inode_node(survey, first, index):
                text = f"inode {ino} has two nodes of version {survey.nodes[index].version} that differ"
                text += f"; the other is at {survey.nodes[first].offset:#010x}"
                yield Finding(kinds.SAME_VERSION, text, survey.nodes[index].offset, survey.path(ino), ino)
    for (directory, name), indices in survey.dirents.items():
        for index, first in _repeated(survey, indices):
            one, other = survey.nodes[first], survey.nodes[index]
            if (one.child, one.type) != (other.child, other.type):
                text = f"the name '{printable(name)}' has two dirents of version {other.version}, one for inode "
                text += f"{other.child}, one for inode {one.child} at {one.offset:#010x}"
                path = survey.path_below(directory, name)
                yield Finding(kinds.SAME_VERSION, text, other.offset, path, other.child)


def _repeated(survey: Survey, indices: list[int]) -> Iterator[tuple[int, int]]:
    """Nodes whose version an earlier one of these has, with the first that has it."""
    if len(indices) < 2:
        return
    firsts: dict[int, int] = {}
    for index in indices:
        first = firsts.setdefault(survey.nodes[index].version, index)
        if first != index:
            yield index, first


def _same_inode_node(survey: Survey, one: int, other: int) -> bool:
    """Of a hole the kernel's collector may change the metadata and keep the version (jffs2_garbage_collect_hole)."""
    a, b = survey.nodes[one], survey.nodes[other]
    if a.type == b.type == lib.JX_COMPR_ZERO and (a.file_offset, a.dsize) == (b.file_offset, b.dsize):
        return True
    if (a.csize, a.dsize, a.file_offset) != (b.csize, b.dsize, b.file_offset):
        return False
    heads = [survey.read(node.offset, INODE_HEAD_BYTES)[_VERSION_AT:] for node in (a, b)]  # with the CRC of the data
    return heads[0] == heads[1]


def version_order(survey: Survey) -> Iterator[Finding]:
    """A writer, the collector too, never copies what is obsolete: within a block the replaced comes first."""
    for (directory, name), indices in survey.dirents.items():
        names = [index for index in indices if survey.nodes[index].version]  # no guards (csrc/guard.h)
        for index in _behind_newer(survey, names, lambda node: ()):
            node = survey.nodes[index]
            text = f"version {node.version} of the name '{printable(name)}' stands behind a newer one"
            path = survey.path_below(directory, name)
            yield Finding(kinds.VERSION_ORDER, text, node.offset, path, node.child)
    for ino, indices in survey.versions.items():
        for index in _behind_newer(survey, indices, lambda node: (node.file_offset, node.dsize)):
            node = survey.nodes[index]
            text = (
                f"version {node.version} of bytes {node.file_offset} to {node.file_offset + node.dsize} of inode {ino}"
            )
            yield Finding(kinds.VERSION_ORDER, f"{text} stands behind a newer one", node.offset, survey.path(ino), ino)


def _behind_newer(survey: Survey, indices: list[int], place) -> Iterator[int]:
    """Nodes that follow one of a higher version, in their eraseblock, of the same place."""
    if len(indices) < 2:
        return
    highest: dict[tuple, int] = {}
    for index in indices:
        node = survey.nodes[index]
        key = (node.offset // survey.erase_size, *place(node))
        if highest.setdefault(key, node.version) > node.version:
            yield index
        else:
            highest[key] = node.version


def high_numbers(survey: Survey) -> Iterator[Finding]:
    for index in survey.indices(lib.JX_NODE_INODE, lib.JX_NODE_DIRENT):
        node = survey.nodes[index]
        highest = max(node.ino, node.version, node.child)
        if highest >= NUMBER_LIMIT:
            text = f"a number of {highest}: inode numbers and versions near 2^32 run out"
            yield Finding(kinds.HIGH_NUMBER, text, node.offset, survey.path(node.ino), node.ino)
