"""The nodes of a log by the inode they are about, the bad ones too, and which of these an interrupted write left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from jffs2tx._ffi import ffi, lib

if TYPE_CHECKING:
    from jffs2tx.filesystem import FileSystem

INODE_BYTES = 68
DIRENT_BYTES = 40
XREF_BYTES = 28
_ERASED = b"\xff"
_TAIL_BYTES = 4  # so many erased bytes at a node's end show that its write was interrupted
_BAD_DATA = 2  # struct jx_node, data_checked
_GOOD_DATA = 1
_PENDING = ("staged", "committed")
_ROOT_INO = 1
_DELETED = 1  # bit of xseqno

_BAD = (lib.JX_V_BAD_NODE, lib.JX_V_BAD_NAME)

DATA_WHY = "the data fails its CRC: older data or zeros show"
NODE_WHY = "a node fails its CRC: older data or zeros show"
LISTED_WHY = "a node that its summary lists is damaged: older data or zeros may show"


@dataclass(frozen=True, slots=True)
class BadNode:
    """An inode node that readers drop, with its fields as they read. `length`: bytes of the file that it would show.
    `isize`: None where the field cannot be trusted."""

    version: int
    offset: int
    length: int
    isize: int | None
    why: str

    @property
    def end(self) -> int:
        return self.offset + self.length


class Log:
    """One pass over the nodes. The medium must not change while it is in use."""

    def __init__(self, fs: FileSystem) -> None:
        self.fs = fs
        self.nodes = lib.jx_fs_nodes(fs.handle)
        self.count = lib.jx_fs_node_count(fs.handle)
        self.erase_size = fs.flash.geometry.erase_size
        #: By inode number: indices of its good inode nodes, in medium order.
        self.inode_nodes: dict[int, list[int]] = defaultdict(list)
        #: By directory: its dirents that readers see, in medium order.
        self.dirents: dict[int, list[int]] = defaultdict(list)
        self.bad_dirents: list[int] = []
        self.bad_references: dict[int, list[int]] = defaultdict(list)  # xref nodes, by the number that reads there
        self.named: set[int] = set()  # inode numbers that any dirent stands for, superseded and obsolete ones too
        self.bad_inode_nodes: dict[int, list[int]] = defaultdict(list)
        self._references: dict[int, dict[int, int]] = defaultdict(dict)  # by inode number and xid: the newest
        self._attributes: set[int] = set()  # xids
        self._live: dict[int, bool] = {}  # by number of an eraseblock, as is the next
        self._ends: dict[int, int] = {}
        for index in range(self.count):
            self._take(index)

    def _take(self, index: int) -> None:
        node = self.nodes[index]
        good = node.verdict == lib.JX_V_GOOD
        if node.nodetype == lib.JX_NODE_INODE:
            if good:
                self.inode_nodes[node.ino].append(index)
            elif _is_damaged(node):
                self.bad_inode_nodes[node.ino if node.by_summary else self.inode_head(index).ino].append(index)
        elif node.nodetype == lib.JX_NODE_DIRENT:
            if node.nsize:
                self.named.add(node.child)
            if good:
                self.dirents[node.ino].append(index)
            elif _is_damaged(node):
                self.bad_dirents.append(index)
        elif good and node.nodetype == lib.JX_NODE_XATTR:
            self._attributes.add(node.child)
        elif good and node.nodetype == lib.JX_NODE_XREF:
            newest = self._references[node.ino].setdefault(node.child, index)
            if node.version > self.nodes[newest].version:
                self._references[node.ino][node.child] = index
        elif node.nodetype == lib.JX_NODE_XREF and _is_damaged(node) and not node.by_summary:
            self.bad_references[self.reference_head(index).ino].append(index)

    def knows(self, ino: int) -> bool:
        """Whether a good node is about an inode number, or has been."""
        return ino in self.inode_nodes or ino in self.dirents or ino in self.named

    # ---- what a node holds ----

    def read(self, offset: int, length: int) -> bytes:
        """Bytes as the medium gives them, whatever ECC says; fewer at the end of the eraseblock."""
        length = min(length, self.erase_size - offset % self.erase_size)
        return self.fs.flash.read(offset, length, forgiving=True)

    def inode_head(self, index: int):
        """struct jx_inode as it reads, its CRC right or wrong."""
        return self._decoded("struct jx_inode *", lib.jx_decode_inode, index, INODE_BYTES)

    def dirent_head(self, index: int):
        """struct jx_dirent as it reads, its CRC right or wrong."""
        return self._decoded("struct jx_dirent *", lib.jx_decode_dirent, index, DIRENT_BYTES)

    def reference_head(self, index: int):
        """struct jx_xref as it reads, its CRC right or wrong."""
        return self._decoded("struct jx_xref *", lib.jx_decode_xref, index, XREF_BYTES)

    def _decoded(self, kind: str, decode, index: int, size: int):
        raw, out = self.read(self.nodes[index].offset, size).ljust(size, _ERASED), ffi.new(kind)
        decode(lib.jx_fs_endian(self.fs.handle), raw, out)
        return out

    def name(self, index: int) -> bytes:
        node = self.nodes[index]
        return ffi.buffer(lib.jx_fs_names(self.fs.handle) + node.name, node.nsize)[:]

    # ---- bad nodes ----

    def newest(self, ino: int) -> int | None:
        """The node that gives the metadata. The inode must have been read: that checks the data of what may show."""
        good = (index for index in self.inode_nodes.get(ino, ()) if self.nodes[index].data_checked == _GOOD_DATA)
        return max(good, key=lambda index: (self.nodes[index].version, index), default=None)

    def bad_nodes(self, ino: int) -> list[BadNode]:
        """Of an inode that has been read: what readers drop of it, without what an interrupted write left."""
        good = self.inode_nodes.get(ino, ())
        copied = {self.nodes[index].version for index in good}  # our collector copies nodes as they are
        heads = [self._bad_head(index) for index in self.bad_inode_nodes.get(ino, ()) if self._is_lost(index)]
        return [
            *(self._bad_data(index) for index in good if self._is_lost(index, _BAD_DATA)),
            *(head for head in heads if head.version not in copied),
        ]

    def _is_lost(self, index: int, checked: int = 0) -> bool:
        return self.nodes[index].data_checked == checked and not self.is_interrupted(index)

    def _bad_data(self, index: int) -> BadNode:
        node = self.nodes[index]
        return BadNode(node.version, node.file_offset, node.dsize, node.isize, DATA_WHY)

    def _bad_head(self, index: int) -> BadNode:
        node, head = self.nodes[index], self.inode_head(index)
        if node.by_summary and (node.ino, node.version) != (head.ino, head.version):
            return BadNode(node.version, 0, 0, None, LISTED_WHY)
        return BadNode(head.version, head.offset, min(head.dsize, 0xFFFFFFFF - head.offset), None, NODE_WHY)

    # ---- interrupted writes ----

    def is_interrupted(self, index: int) -> bool:
        """Whether a bad node is what an interrupted write or erase leaves: its end was never programmed; or it is the
        last of its eraseblock, and nothing in it can be trusted; or it belongs to a transaction that is still pending;
        or its summary lists it and all of its eraseblock has been copied. Nothing is lost with it.
        """
        node = self.nodes[index]
        if self.is_pending(node.offset):
            return True
        if node.by_summary:  # which was written after it
            return not self.is_live(node.offset)
        tail = self.read(node.offset, node.totlen)[-_TAIL_BYTES:]
        if tail == _ERASED * len(tail):
            return True
        garbled = node.verdict == lib.JX_V_BAD_NODE or tail.endswith(_ERASED)
        return garbled and self.is_last(node.offset + node.totlen)

    def is_pending(self, offset: int) -> bool:
        """Whether the eraseblock belongs to a transaction that recover has yet to finish or to clear."""
        block, status = lib.jx_fs_blocks(self.fs.handle)[offset // self.erase_size], self.fs.status
        return status.state in _PENDING and block.tag != 0 and block.txid == status.txid

    def is_live(self, offset: int) -> bool:
        """Whether its eraseblock holds a node that is needed and has no copy: it is not being erased, then."""
        number = offset // self.erase_size
        if number not in self._live:
            block = lib.jx_fs_blocks(self.fs.handle)[number]
            here = (self.nodes[i] for i in range(block.first_node, block.first_node + block.node_count))
            self._live[number] = any(self._matters(node) and _key(node) not in self._copied for node in here)
        return self._live[number]

    def _matters(self, node) -> bool:
        """Whether the tree stands on it, or would, if the one name of its inode were not lost."""
        nameless = node.nodetype == lib.JX_NODE_INODE and node.ino != _ROOT_INO and node.ino not in self.named
        return node.verdict == lib.JX_V_GOOD and (node.needed or nameless)

    @cached_property
    def _copied(self) -> set[tuple]:
        """What good nodes are more than once."""
        once: set[tuple] = set()
        again: set[tuple] = set()
        for index in range(self.count):
            node = self.nodes[index]
            if node.verdict == lib.JX_V_GOOD and node.nodetype:
                (again if _key(node) in once else once).add(_key(node))
        return again

    def is_last(self, end: int) -> bool:
        """Whether what ends there was programmed last in its eraseblock: only erased flash follows its page."""
        page = self.fs.flash.geometry.write_size
        end += -end % max(page, _TAIL_BYTES)
        return self._programmed_end((end - 1) // self.erase_size) <= end

    def _programmed_end(self, number: int) -> int:
        """Where the last byte of an eraseblock that is not erased ends."""
        if number not in self._ends:
            start = number * self.erase_size
            self._ends[number] = start + len(self.read(start, self.erase_size).rstrip(_ERASED))
        return self._ends[number]

    # ---- extended attributes ----

    def missing_attributes(self, ino: int) -> Iterator[int]:
        """The xids that an inode refers to and that are not there."""
        for xid, index in self._references.get(ino, {}).items():
            if xid not in self._attributes and not self.nodes[index].version & _DELETED:
                yield xid
        for index in self.bad_references.get(ino, ()):
            newest = self._references.get(ino, {}).get(self.reference_head(index).xid)
            if newest is None and not self.is_interrupted(index):
                yield self.reference_head(index).xid


def _is_damaged(node) -> bool:
    """Whether it is known what it is, by its header or by a summary, and readers drop it."""
    return node.verdict in _BAD or (node.by_summary and node.verdict == lib.JX_V_BAD_HEADER)


def _key(node) -> tuple:
    return node.nodetype, node.ino, node.version, node.child
