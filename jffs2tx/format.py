"""The on-media format of JFFS2, described a second time: in construct, with crcmod for the CRCs.

It shares nothing with the C core. Read it as the specification; `dump` shows nodes through it, and the tests let it
judge the C codec. Byte orders are called "little" and "big" as in Python itself; times are seconds since 1970; offsets
and lengths are bytes.

A node is a header (magic, nodetype, totlen, hdr_crc), the fields of its type, and what follows up to totlen. Nodes
start at multiples of 4 and never leave their eraseblock. Sources: Linux's include/uapi/linux/jffs2.h, fs/jffs2.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, NamedTuple

import construct as c
import crcmod

from jffs2tx.errors import FormatError, InvalidValue, printable

ByteOrder = Literal["little", "big"]

MAGIC = 0x1985
SUMMARY_MAGIC = 0x02851885
ACCURATE = 0x2000  # of a nodetype; cleared: the node is obsolete
HEADER_BYTES = 12
MARKER_BYTES = 8


class NodeType(IntEnum):
    """ACCURATE included. The two highest bits say what a reader does that does not know the type."""

    DIRENT = 0xE001
    INODE = 0xE002
    CLEANMARKER = 0x2003
    PADDING = 0x2004
    SUMMARY = 0x2006
    XATTR = 0xE008
    XREF = 0xE009
    TAG = 0x2074  # ours: which transaction a block belongs to; every stock reader skips it
    CONTAINER = 0x2078  # ours: hides a commit set until the commit


class Compr(IntEnum):
    NONE = 0
    ZERO = 1
    RTIME = 2
    RUBINMIPS = 3
    COPY = 4
    DYNRUBIN = 5
    ZLIB = 6
    LZO = 7
    LZMA = 8
    LZMA_PROPS = 0x15


COMPATIBILITY = {0xC000: "incompat", 0x8000: "rocompat", 0x4000: "rwcompat-copy", 0x0000: "rwcompat-delete"}
XATTR_PREFIXES = {
    1: "user.",
    2: "security.",
    3: "system.posix_acl_access",
    4: "system.posix_acl_default",
    5: "trusted.",
}
TAG_FORMAT = 2
TAG_BYTES = {1: 44, 2: 52}  # totlen, by format
TAG_ROLES = {1: "stage", 2: "commit", 3: "settled"}
TAG_STRATEGIES = {0: "swap", 1: "flip", 2: "seal", 3: "lift"}
DIRENT_TYPES = {0: "unknown", 1: "fifo", 2: "char", 4: "dir", 6: "block", 8: "file", 10: "symlink", 12: "socket"}

_crc = crcmod.mkCrcFun(0x104C11DB7, initCrc=0, rev=True, xorOut=0)


def crc32(data: bytes, seed: int = 0) -> int:
    """CRC-32 with the register neither preset to ones nor inverted at the end (Linux's crc32_le)."""
    return _crc(data, seed)


def pad4(count: int) -> int:
    """Up to the next multiple of 4."""
    return (count + 3) & ~3


# ---- layouts --------------------------------------------------------------------------------------------------------


def _header(u16: c.Construct, u32: c.Construct) -> tuple[c.Construct, ...]:
    return (
        "magic" / c.Default(u16, MAGIC),
        "nodetype" / u16,
        "totlen" / c.Default(u32, 0),
        "hdr_crc" / c.Default(u32, 0),
    )


def _filling() -> c.Construct:
    return "filling" / c.Default(c.GreedyBytes, b"")


def _length(number: c.Construct, of: str) -> c.Construct:
    """A length or count that building takes from the thing itself."""
    return c.Rebuild(number, c.len_(c.this[of]))


def _inode(u16: c.Construct, u32: c.Construct) -> c.Struct:
    return c.Struct(
        *_header(u16, u32),
        "ino" / u32,
        "version" / u32,
        "mode" / u32,
        "uid" / u16,
        "gid" / u16,
        "isize" / u32,
        "atime" / u32,
        "mtime" / u32,
        "ctime" / u32,
        "offset" / u32,  # of the data in the file
        "csize" / _length(u32, "data"),
        "dsize" / u32,  # bytes of the file that the data stand for
        "compr" / c.Int8ub,
        "usercompr" / c.Default(c.Int8ub, 0),
        "flags" / c.Default(u16, 0),
        "data_crc" / c.Default(u32, 0),
        "node_crc" / c.Default(u32, 0),
        "data" / c.Bytes(c.this.csize),
        _filling(),
    )


def _dirent(u16: c.Construct, u32: c.Construct) -> c.Struct:
    return c.Struct(
        *_header(u16, u32),
        "pino" / u32,
        "version" / u32,
        "ino" / u32,  # 0: the name is deleted
        "mctime" / u32,
        "nsize" / _length(c.Int8ub, "name"),
        "type" / c.Int8ub,
        "unused" / c.Default(c.Bytes(2), bytes(2)),
        "node_crc" / c.Default(u32, 0),
        "name_crc" / c.Default(u32, 0),
        "name" / c.Bytes(c.this.nsize),
        _filling(),
    )


def _xattr(u16: c.Construct, u32: c.Construct) -> c.Struct:
    return c.Struct(
        *_header(u16, u32),
        "xid" / u32,
        "version" / u32,
        "xprefix" / c.Int8ub,
        "name_len" / _length(c.Int8ub, "name"),
        "value_len" / _length(u16, "value"),
        "data_crc" / c.Default(u32, 0),
        "node_crc" / c.Default(u32, 0),
        "name" / c.Bytes(c.this.name_len),
        "nul" / c.Default(c.Bytes(1), bytes(1)),
        "value" / c.Bytes(c.this.value_len),
        # The one node whose totlen is itself a multiple of 4.
        "filling" / c.Default(c.GreedyBytes, lambda this: b"\xff" * (-(33 + len(this.name) + len(this.value)) % 4)),
    )


def _xref(u16: c.Construct, u32: c.Construct) -> c.Struct:
    return c.Struct(
        *_header(u16, u32),
        "ino" / u32,
        "xid" / u32,
        "xseqno" / u32,  # odd: the reference is deleted
        "node_crc" / c.Default(u32, 0),
        _filling(),
    )


def _entry(u16: c.Construct, u32: c.Construct) -> c.Construct:
    """One entry of a summary; offset: of the node in the eraseblock."""
    inode = ("ino" / u32, "version" / u32, "offset" / u32, "totlen" / u32)
    dirent = (
        "totlen" / u32,
        "offset" / u32,
        "pino" / u32,
        "version" / u32,
        "ino" / u32,
        "nsize" / _length(c.Int8ub, "name"),
        "type" / c.Int8ub,
        "name" / c.Bytes(c.this.nsize),
    )
    xattr = ("xid" / u32, "version" / u32, "offset" / u32, "totlen" / u32)
    xref = ("offset" / u32,)
    kinds = {NodeType.INODE: inode, NodeType.DIRENT: dirent, NodeType.XATTR: xattr, NodeType.XREF: xref}
    return c.Select(*(c.Struct("nodetype" / c.Const(int(kind), u16), *rest) for kind, rest in kinds.items()))


def _summary_filling(this: c.Container) -> int:
    return this.totlen - MARKER_BYTES - this._entries_end


def _summary(u16: c.Construct, u32: c.Construct) -> c.Struct:
    """Reaches to the end of its eraseblock; whoever builds one says totlen."""
    return c.Struct(
        *_header(u16, u32),
        "sum_num" / _length(u32, "entries"),
        "cln_mkr" / u32,  # length of the eraseblock's cleanmarker node; 0: none
        "padded" / u32,  # bytes of padding nodes in the eraseblock
        "sum_crc" / c.Default(u32, 0),
        "node_crc" / c.Default(u32, 0),
        "entries" / c.Array(c.this.sum_num, _entry(u16, u32)),
        "_entries_end" / c.Tell,
        "filling" / c.Default(c.Bytes(_summary_filling), lambda this: b"\xff" * _summary_filling(this)),
        "marker_offset" / u32,  # of this node in the eraseblock
        "marker_magic" / c.Default(u32, SUMMARY_MAGIC),
    )


def _tag(u16: c.Construct, u32: c.Construct) -> c.Struct:
    return c.Struct(
        *_header(u16, u32),
        "format" / c.Default(c.Int8ub, TAG_FORMAT),
        "role" / c.Int8ub,
        "strategy" / c.Int8ub,
        "unused" / c.Default(c.Bytes(1), bytes(1)),
        "txid" / u32,
        "sequence" / u32,  # of the block in its transaction
        "id" / c.Bytes(16),
        "size" / c.If(c.this.format != 1, c.Default(u32, 0)),  # of the file system, in bytes
        "offset" / c.If(c.this.format != 1, c.Default(u32, 0)),  # of this node in the file system
        "tag_crc" / c.Default(u32, 0),
        _filling(),
    )


def _bare(u16: c.Construct, u32: c.Construct) -> c.Struct:
    """Cleanmarker, padding, container and every unknown type."""
    return c.Struct(*_header(u16, u32), _filling())


_BUILDERS: dict[int, Callable[[c.Construct, c.Construct], c.Struct]] = {
    NodeType.INODE: _inode,
    NodeType.DIRENT: _dirent,
    NodeType.XATTR: _xattr,
    NodeType.XREF: _xref,
    NodeType.SUMMARY: _summary,
    NodeType.TAG: _tag,
}
_NUMBERS = {"little": (c.Int16ul, c.Int32ul), "big": (c.Int16ub, c.Int32ub)}
_BARE = {order: _bare(*numbers) for order, numbers in _NUMBERS.items()}
_LAYOUTS = {
    order: {kind: builder(*numbers) for kind, builder in _BUILDERS.items()} for order, numbers in _NUMBERS.items()
}


def layout(nodetype: int, order: ByteOrder) -> c.Struct:
    """The layout of a node whose type, with ACCURATE set, is nodetype."""
    return _LAYOUTS[order].get(nodetype, _BARE[order])


# ---- checks ---------------------------------------------------------------------------------------------------------


class _Crc(NamedTuple):
    """A CRC field and the bytes it covers, given the node's bytes (ACCURATE set) and its fields."""

    name: str
    covers: Callable[[bytes, c.Container], bytes]


_HEADER_CRC = _Crc("hdr_crc", lambda raw, node: raw[:8])
_CRCS: dict[int, tuple[_Crc, ...]] = {
    NodeType.INODE: (
        _Crc("data_crc", lambda raw, node: node.data),
        _Crc("node_crc", lambda raw, node: raw[:60]),
    ),
    NodeType.DIRENT: (
        _Crc("name_crc", lambda raw, node: node.name.split(b"\0")[0]),
        _Crc("node_crc", lambda raw, node: raw[:32]),
    ),
    NodeType.XATTR: (
        _Crc("data_crc", lambda raw, node: node.name + node.nul + node.value),
        _Crc("node_crc", lambda raw, node: raw[:28]),
    ),
    NodeType.XREF: (_Crc("node_crc", lambda raw, node: raw[:24]),),
    NodeType.SUMMARY: (
        _Crc("sum_crc", lambda raw, node: raw[32:]),
        _Crc("node_crc", lambda raw, node: raw[:24]),
    ),
    NodeType.TAG: (_Crc("tag_crc", lambda raw, node: raw[12 : TAG_BYTES.get(node.format, len(raw)) - 4]),),
}
# What totlen has to be for the fields; readers ignore a node of another length.
_LENGTHS: dict[int, Callable[[c.Container], bool]] = {
    NodeType.INODE: lambda node: pad4(node.totlen) == pad4(68 + node.csize),
    NodeType.DIRENT: lambda node: pad4(node.totlen) == pad4(40 + node.nsize),
    NodeType.XATTR: lambda node: node.totlen == pad4(33 + node.name_len + node.value_len),
    NodeType.XREF: lambda node: node.totlen == 28,
    NodeType.TAG: lambda node: node.totlen == TAG_BYTES.get(node.format),
}


def _as_written(raw: bytes, order: ByteOrder) -> bytes:
    """The bytes with ACCURATE set: CRCs are those of the node before it was made obsolete."""
    nodetype = int.from_bytes(raw[2:4], order) | ACCURATE
    return raw[:2] + nodetype.to_bytes(2, order) + raw[4:]


def _crcs(kind: int, raw: bytes, order: ByteOrder, node: c.Container) -> dict[str, int]:
    """Name and right value of each CRC field. Where one covers another, it comes later."""
    written = _as_written(raw, order)
    return {crc.name: crc32(crc.covers(written, node)) for crc in (_HEADER_CRC, *_CRCS.get(kind, ()))}


# ---- nodes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A node as it stands on the medium."""

    offset: int  #: of its first byte in the bytes it was parsed from
    order: ByteOrder
    raw: bytes = field(repr=False)  #: totlen bytes
    fields: c.Container = field(repr=False)
    #: names of fields that are wrong: CRCs, "totlen" where it does not suit the lengths inside
    wrong: tuple[str, ...]

    @property
    def kind(self) -> int:
        """The nodetype with ACCURATE set; a NodeType where it is known."""
        return _member(NodeType, self.fields.nodetype | ACCURATE)

    @property
    def obsolete(self) -> bool:
        return not self.fields.nodetype & ACCURATE


def _member(names: type[IntEnum], value: int) -> int:
    """The member that has this value, or the value itself."""
    try:
        return names(value)
    except ValueError:
        return value


def parse(data: bytes, order: ByteOrder, offset: int = 0) -> Node:
    """The node at offset, whatever its CRCs say. A known type whose fields overrun totlen is parsed as a bare header.

    FormatError: no magic there, or totlen below 12 or beyond the data.
    """
    head = bytes(data[offset : offset + HEADER_BYTES])
    if len(head) < HEADER_BYTES or int.from_bytes(head[:2], order) != MAGIC:
        raise FormatError(f"no {order}-endian JFFS2 node at offset {offset:#x}")
    totlen = int.from_bytes(head[4:8], order)
    if not HEADER_BYTES <= totlen <= len(data) - offset:
        raise FormatError(f"the node at offset {offset:#x} claims to be {totlen} bytes long")
    raw = bytes(data[offset : offset + totlen])
    kind = int.from_bytes(head[2:4], order) | ACCURATE
    try:
        node = layout(kind, order).parse(raw)
    except c.ConstructError:
        node = _BARE[order].parse(raw)
        return Node(offset, order, raw, node, ("totlen",))
    wrong = [name for name, crc in _crcs(kind, raw, order, node).items() if node[name] != crc]
    if kind in _LENGTHS and not _LENGTHS[kind](node):
        wrong.append("totlen")
    return Node(offset, order, raw, node, tuple(wrong))


def build(nodetype: int, order: ByteOrder, **fields: Any) -> bytes:
    """A node's bytes, totlen of them. Fields that have only one right value (totlen, lengths, CRCs) may be left out;
    a summary needs totlen, and its entries are dicts. `nodetype` without ACCURATE gives an obsolete node.

    InvalidValue: a field that is missing or does not fit.
    """
    kind = nodetype | ACCURATE
    form = layout(kind, order)
    values = {"filling": None} | fields | {"nodetype": int(nodetype)}
    try:
        values.setdefault("totlen", len(form.build(values)))
        raw = form.build(values)
        for crc in (_HEADER_CRC, *_CRCS.get(kind, ())):
            if crc.name not in fields:
                values[crc.name] = crc32(crc.covers(_as_written(raw, order), form.parse(raw)))
                raw = form.build(values)
    except (c.ConstructError, KeyError) as error:
        raise InvalidValue(f"no node of type {int(nodetype):#06x} can be made of this: {error}") from error
    return raw


def walk(data: bytes, order: ByteOrder, erase_size_bytes: int) -> Iterator[Node]:
    """Every node that a full scan meets, eraseblock by eraseblock, obsolete and damaged ones too: those with a good
    header CRC that end in their eraseblock. Offsets are from the start of data.
    """
    magic = MAGIC.to_bytes(2, order)
    for start in range(0, len(data), erase_size_bytes):
        block = data[start : start + erase_size_bytes]
        at = block.find(magic)
        while at >= 0:
            step = 1
            if at % 4 == 0:
                node = _node_in_block(block, order, at)
                step = 4 if node is None else pad4(len(node.raw))
                if node is not None:
                    yield Node(start + at, order, node.raw, node.fields, node.wrong)
            at = block.find(magic, at + step)


def _node_in_block(block: bytes, order: ByteOrder, at: int) -> Node | None:
    try:
        node = parse(block, order, at)
    except FormatError:
        return None
    return None if "hdr_crc" in node.wrong else node


# ---- for people -----------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    name: str
    value: str
    note: str  #: what the value means; "" where it speaks for itself


def rows(node: Node) -> list[Row]:
    """A node field by field, in medium order. A wrong CRC or length says so in its note."""
    result = []
    for name, value in node.fields.items():
        if name.startswith("_") or value in (None, b""):
            continue
        if name == "entries":
            result += [Row(f"entry {i}", _entry_text(entry), "") for i, entry in enumerate(value)]
            continue
        note = _note(name, value, node)
        if name in node.wrong:
            note = "wrong" if name == "totlen" else f"wrong: {_right_crc(node, name):#010x}"
        result.append(Row(name, _value_text(name, value), note))
    return result


def kind_name(nodetype: int) -> str:
    """A short name of a nodetype, whether obsolete or not."""
    kind = _member(NodeType, nodetype | ACCURATE)
    return kind.name.lower() if isinstance(kind, NodeType) else f"unknown {COMPATIBILITY[kind & 0xC000]}"


def _right_crc(node: Node, name: str) -> int:
    return _crcs(node.kind, node.raw, node.order, node.fields)[name]


def _value_text(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        return printable(value) if name == "name" else f"{len(value)} bytes {value[:16].hex()}"
    if name.endswith(("crc", "magic")):
        return f"{value:#010x}" if name != "magic" else f"{value:#06x}"
    if name in ("nodetype", "flags"):
        return f"{value:#06x}"
    return f"{value:#o}" if name == "mode" else str(value)


def _note(name: str, value: Any, node: Node) -> str:
    if name == "nodetype":
        return kind_name(value) + (", obsolete" if node.obsolete else "")
    if name == "compr":
        compr = _member(Compr, value)
        return compr.name.lower() if isinstance(compr, Compr) else "unknown"
    if name == "mode":
        return stat.filemode(value)
    if name == "type":
        return DIRENT_TYPES.get(value, "unknown")
    if name == "role":
        return TAG_ROLES.get(value, "unknown")
    if name == "strategy":
        return TAG_STRATEGIES.get(value, "unknown")
    if name == "xprefix":
        return XATTR_PREFIXES.get(value, "unknown")
    if name == "ino" and node.kind == NodeType.DIRENT and not value:
        return "deletes the name"
    if name == "xseqno" and value & 1:
        return "deletes the reference"
    return ""


def _entry_text(entry: c.Container) -> str:
    fields = (f"{name} {_value_text(name, value)}" for name, value in entry.items() if name not in ("_io", "nodetype"))
    return " ".join((kind_name(entry.nodetype), *fields))
