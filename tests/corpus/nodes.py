"""Nodes and eraseblocks in either byte order, and the register of crafted images."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass

from jffs2tx.format import ACCURATE, HEADER_BYTES, NodeType, build, crc32, pad4

KIB = 1024
TIME = 1_000_000_000
FILE, DIR, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
DT_DIR, DT_FILE, DT_LINK = 4, 8, 10

#: What a bad CRC is made of.
WRONG = 0x12345678


@dataclass(frozen=True)
class Chip:
    """The medium of an image: enough for the lab's simulators and for our own."""

    kind: str = "nor"
    erase: int = 16 * KIB
    size: int = 128 * KIB
    page: int = 1


NOR, NAND = Chip(), Chip("nand", 16 * KIB, 128 * KIB, 512)


@dataclass(frozen=True)
class Image:
    """A crafted image: `make` gives its bytes; the erased end of the medium may be left out."""

    name: str
    about: str
    chip: Chip
    order: str
    make: Callable[[], bytes]


CRAFTED: dict[str, Image] = {}


def crafted(about: str, *, big: bool = False, chip: Chip = NOR):
    """Registers a function that gives the blocks of an image, each a list of nodes; big: its big-endian twin too."""

    def register(function):
        name = function.__name__.replace("_", "-")
        for order in ("little", "big") if big else ("little",):
            nodes = Nodes(order, chip)
            image = Image(
                name + ("-big" if order == "big" else ""),
                about,
                chip,
                order,
                lambda nodes=nodes: nodes.medium(function),
            )
            assert image.name not in CRAFTED
            CRAFTED[image.name] = image
        return function

    return register


class Nodes:
    """Builds nodes of one byte order. Each method returns a node's bytes."""

    def __init__(self, order: str, chip: Chip) -> None:
        self.order = order
        self.chip = chip
        self.cleanmarker = self.node(NodeType.CLEANMARKER)

    # ---- nodes ----

    def inode(self, ino, version, data=b"", *, mode=FILE, size=None, offset=0, time=TIME, type=NodeType.INODE, **more):
        """data: as on the medium. size: the file's after it; where the data end, if not given."""
        dsize = more.pop("dsize", len(data))
        fields = {"uid": 0, "gid": 0, "atime": time, "mtime": time, "ctime": time, "compr": 0} | more
        fields |= {"isize": offset + dsize if size is None else size, "offset": offset, "dsize": dsize}
        return build(type, self.order, ino=ino, version=version, mode=mode, data=data, **fields)

    def dir(self, ino, version=1, **more):
        return self.inode(ino, version, **({"mode": DIR} | more))

    def link(self, ino, target, version=1, **more):
        return self.inode(ino, version, target, **({"mode": LINK} | more))

    def dirent(self, pino, version, name, ino, *, type=DT_FILE, mctime=TIME, node=NodeType.DIRENT, **more):
        fields = {"pino": pino, "version": version, "name": name, "ino": ino, "type": type, "mctime": mctime}
        return build(node, self.order, **(fields | more))

    def xattr(self, xid, prefix, name, value, version=1, **more):
        fields = {"xid": xid, "version": version, "xprefix": prefix, "name": name, "value": value}
        return build(NodeType.XATTR, self.order, **(fields | more))

    def xref(self, ino, xid, seqno, **more):
        return build(NodeType.XREF, self.order, ino=ino, xid=xid, xseqno=seqno, **more)

    def node(self, type, payload=b""):
        """Any other node: a header, and something behind it."""
        return build(type, self.order, filling=payload)

    # ---- what befalls them ----

    def obsolete(self, node):
        """As jffs2_mark_node_obsolete leaves it on NOR."""
        return self.with_header(node, type=self.u16(node, 2) & ~ACCURATE, crc=self.u32(node, 8))

    def with_header(self, node, *, magic=0x1985, type=None, totlen=None, crc=None):
        """Other header fields, the CRC mended unless it is given."""
        head = self.pack(2, magic) + self.pack(2, self.u16(node, 2) if type is None else type)
        head += self.pack(4, self.u32(node, 4) if totlen is None else totlen)
        return head + self.pack(4, crc32(head) if crc is None else crc) + node[HEADER_BYTES:]

    def with_fields(self, node, covered, **at):
        """Words of a node replaced, the node CRC behind `covered` bytes (and one more CRC word for inodes and dirents)
        mended: with_fields(inode, 60, _48=2) sets the word at 48."""
        raw = bytearray(node)
        for place, value in at.items():
            raw[int(place[1:]) : int(place[1:]) + 4] = self.pack(4, value)
        where = covered + 4 if covered == 60 else covered
        raw[where : where + 4] = self.pack(4, crc32(bytes(raw[:covered])))
        return bytes(raw)

    # ---- blocks ----

    def medium(self, function):
        return b"".join(b if isinstance(b, bytes) else self.block(*b) for b in function(self))

    def block(self, *nodes, clean=None, summary=None, **more):
        """An eraseblock: a cleanmarker (NOR), the nodes, the rest erased. summary: indices of the nodes it lists."""
        clean = self.chip.kind == "nor" if clean is None else clean
        data, places = bytearray(self.cleanmarker if clean else b""), []
        for node in nodes:
            places.append(len(data))
            data += node + b"\xff" * (pad4(len(node)) - len(node))
        if summary is not None:
            data += self.summary(len(data), [self.entry(nodes[i], places[i]) for i in summary], clean, **more)
        assert len(data) <= self.chip.erase
        return bytes(data) + b"\xff" * (self.chip.erase - len(data))

    def summary(self, start, entries, clean=True, **more):
        marker = len(self.cleanmarker) if clean else 0
        fields = {"totlen": self.chip.erase - start, "cln_mkr": marker, "padded": 0, "marker_offset": start}
        return build(NodeType.SUMMARY, self.order, entries=entries, **(fields | more))

    def entry(self, node, offset):
        """What a summary says of a node."""
        kind, word = self.u16(node, 2) | ACCURATE, lambda at: self.u32(node, at)
        fields = {"nodetype": kind, "offset": offset, "totlen": len(node)}
        if kind == NodeType.INODE:
            return fields | {"ino": word(12), "version": word(16)}
        if kind == NodeType.DIRENT:
            name = node[40 : 40 + node[28]]
            return fields | {"pino": word(12), "version": word(16), "ino": word(20), "type": node[29], "name": name}
        if kind == NodeType.XATTR:
            return fields | {"xid": word(12), "version": word(16)}
        assert kind == NodeType.XREF
        return {"nodetype": kind, "offset": offset}

    # ---- numbers ----

    def pack(self, size, value):
        return (value & (1 << 8 * size) - 1).to_bytes(size, self.order)

    def u16(self, raw, at):
        return int.from_bytes(raw[at : at + 2], self.order)

    def u32(self, raw, at):
        return int.from_bytes(raw[at : at + 4], self.order)


def noise(seed: int, size: int) -> bytes:
    """Bytes that no compressor makes smaller; the same on every Python (xorshift)."""
    state, out = seed * 2654435761 % 2**32 or 1, bytearray()
    while len(out) < size:
        for shift in (13, -17, 5):
            state ^= (state << shift if shift > 0 else state >> -shift) & 0xFFFFFFFF
        out += state.to_bytes(4, "little")
    return bytes(out[:size])


def prose(seed: int, size: int) -> bytes:
    words = (b"flash ", b"erase ", b"block ", b"page ", b"node ", b"dirent ", b"log\n", b"commit ")
    text = b"".join(words[x & 7] for x in noise(seed, size))
    return text[:size]
