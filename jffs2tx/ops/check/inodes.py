"""Inodes of the tree: whether each can be read, and is as long as it says."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from jffs2tx._ffi import ffi, lib
from jffs2tx.compression import VENDORS, Uses
from jffs2tx.filesystem import ROOT_INO
from jffs2tx.manifest import NAME_MAX_BYTES
from jffs2tx.ops.check import kinds
from jffs2tx.ops.check.finding import Finding
from jffs2tx.ops.check.survey import S_IFMT, Survey
from jffs2tx.readers import READERS

_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)
_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, *_DEVICES, stat.S_IFIFO, stat.S_IFSOCK)
_INODE_BYTES = 68


def inodes(survey: Survey) -> Iterator[Finding]:
    """All that is wrong with inodes as a whole, each looked at once."""
    uses = Uses(survey.fs)
    for ino, inode in survey.reached():
        newest = survey.newest(ino)
        if newest is None:
            yield from _without_node(survey, ino)
            continue
        head = survey.head(newest)
        kind = stat.S_IFMT(head.mode)
        if kind == stat.S_IFLNK:
            yield from _symlink(survey, ino, newest, head)
        elif kind in _DEVICES:
            yield from _device(survey, ino, newest, head)
        elif inode.error is not None:
            yield _finding(survey, kinds.UNREADABLE, str(inode.error), ino, newest)
        elif kind == stat.S_IFREG:
            yield from _file(survey, ino, newest, uses)
        elif kind not in _TYPES:
            yield _finding(survey, kinds.BAD_MODE, f"its mode is {head.mode:#o}", ino, newest)
    yield from _compression(survey, uses)


def _compression(survey: Survey, uses: Uses) -> Iterator[Finding]:
    """One finding for each method that not every reader has, at the first file with it."""
    readers = [reader for reader in READERS.values() if not reader.name.endswith("+xattr")]
    for use in uses:
        names = use.not_read_by(readers)
        if names:
            kind = kinds.VENDOR_COMPRESSION if use.number in VENDORS else kinds.OPTIONAL_COMPRESSION
            text = f"files compressed by {use.text}: {use.files}; not known to read them: {', '.join(names)}"
            node = survey.nodes[use.node]
            yield Finding(kind, text, node.offset, use.path, node.ino)


def root_type(survey: Survey) -> Iterator[Finding]:
    root = survey.inode(ROOT_INO)
    if root.error is None and not root.is_directory:
        yield _finding(survey, kinds.NO_MOUNT, f"the root is no directory: its mode is {root.mode:#o}", ROOT_INO)


def _finding(survey: Survey, kind: kinds.Kind, text: str, ino: int, node: int | None = None) -> Finding:
    return Finding(kind, text, None if node is None else survey.nodes[node].offset, survey.path(ino), ino)


def _without_node(survey: Survey, ino: int) -> Iterator[Finding]:
    """The root may have none: mkfs.jffs2 writes none."""
    if survey.places[ino] is None:
        return
    if survey.inode(ino).mode & S_IFMT == stat.S_IFDIR:
        yield _finding(survey, kinds.FAKED_DIRECTORY, f"of directory inode {ino} only names are there", ino)
    else:
        yield _finding(survey, kinds.NO_INODE, f"of inode {ino} there is no good node", ino)


# ---- special ones ----------------------------------------------------------------------------------------------------


def _symlink(survey: Survey, ino: int, newest: int, head) -> Iterator[Finding]:
    if head.csize > NAME_MAX_BYTES:
        fault = f"its target is {head.csize} bytes long, more than {NAME_MAX_BYTES}"
    elif survey.inode(ino).error is not None:
        fault = "its newest node is not the only one that shows data"
    elif head.compr != lib.JX_COMPR_NONE:
        fault = "its target is compressed, which no reader undoes"
    elif head.dsize != head.csize or head.isize not in (0, head.csize):
        fault = f"its target is {head.csize} bytes long, its size says {head.isize}, its data {head.dsize}"
    elif b"\0" in survey.read(survey.nodes[newest].offset + _INODE_BYTES, head.csize):
        fault = "a NUL is in its target"
    else:
        return
    yield _finding(survey, kinds.BAD_SYMLINK, fault, ino, newest)


def _device(survey: Survey, ino: int, newest: int, head) -> Iterator[Finding]:
    if survey.inode(ino).error is None:
        return
    if head.dsize not in (2, 4):
        fault = f"its number is {head.dsize} bytes long"
    else:
        fault = "its number does not decompress, or its newest node is not the only one that shows data"
    yield _finding(survey, kinds.BAD_DEVICE, fault, ino, newest)


# ---- files -----------------------------------------------------------------------------------------------------------


def _file(survey: Survey, ino: int, newest: int, uses: Uses) -> Iterator[Finding]:
    claimed, size = survey.nodes[newest].isize, survey.inode(ino).size
    end = 0
    looked_at: set[int] = set()
    extents = survey.fs.extents_ino(ino)
    uses.take(survey.path(ino), extents)
    for extent in extents:
        if extent.offset > end:
            text = f"no node covers bytes {end} to {extent.offset}"
            yield _finding(survey, kinds.MISSING_DATA, text, ino, extent.node)
        end = extent.end
        if extent.is_hole or extent.node in looked_at:
            continue
        looked_at.add(extent.node)
        code = lib.jx_fs_check_content(survey.fs.handle, extent.node)
        if code != lib.JX_OK:
            reason = ffi.string(lib.jx_strerror(code)).decode()
            text = f"bytes {extent.offset} to {extent.end}: {reason}"
            yield _finding(survey, kinds.UNDECODABLE, text, ino, extent.node)
    if size < claimed:
        text = f"there are {size} of its {claimed} bytes"
        yield _finding(survey, kinds.SHORT_FILE, text, ino, newest)
