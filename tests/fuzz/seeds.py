"""The images that fuzzing starts from, as small as tests/fuzz/medium.h has them: made node by node, and transactions of
each strategy stopped between any two operations."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator

from jffs2tx.device import Geometry
from jffs2tx.errors import Jffs2txError
from jffs2tx.format import ByteOrder, Compr, NodeType, build, pad4
from jffs2tx.readers import READERS
from jffs2tx.upgrade import apply_upgrade, wanted_tree

from .. import crafted
from ..rubin import FIXED
from ..rubin import compress as rubin

ERASE = 4096
TIME = 100
NOR, NAND, NOR_ECC, NAND_WHOLE = range(4)
SUMMARY, EMPTY_1024, LITTLE, BIG, OOB_ALL = 4, 8, 0x10, 0x20, 0x40
GEOMETRIES = {
    NOR: Geometry("nor", 8 * ERASE, ERASE),
    NAND: Geometry("nand", 8 * ERASE, ERASE, 2048, 512, 8),
    NOR_ECC: Geometry("nor-ecc", 8 * ERASE, ERASE, 32),
    NAND_WHOLE: Geometry("nand", 8 * ERASE, ERASE, 512, 512, 0),
}
STRATEGIES = {NOR: ("swap", "flip"), NAND: ("swap", "seal", "lift"), NOR_ECC: ("swap", "seal"), NAND_WHOLE: ("seal",)}


# ---- node by node ----


def _inode(order: ByteOrder, ino: int, version: int, mode: int, data: bytes = b"", dsize: int | None = None, **more):
    fields = {"uid": 1, "gid": 2, "atime": TIME, "mtime": TIME, "ctime": TIME, "offset": 0, "compr": Compr.NONE} | more
    dsize = len(data) if dsize is None else dsize
    fields.setdefault("isize", fields["offset"] + dsize)
    return build(NodeType.INODE, order, ino=ino, version=version, mode=mode, data=data, dsize=dsize, **fields)


def _dirent(order: ByteOrder, pino: int, version: int, name: bytes, ino: int, kind: int):
    return build(NodeType.DIRENT, order, pino=pino, version=version, name=name, ino=ino, mctime=TIME, type=kind)


def _tree(order: ByteOrder) -> tuple[list[bytes], list[bytes]]:
    """Nodes with one of everything: two eraseblocks' worth."""
    text = b"abcabcabcabd" * 40
    deflated = zlib.compress(text, 9)
    file, directory = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
    first = [
        _inode(order, 1, 1, directory),
        _dirent(order, 1, 2, b"file", 3, 8),
        _dirent(order, 1, 3, b"dir", 2, 4),
        _inode(order, 2, 1, directory),
        _inode(order, 3, 1, file, deflated, len(text), compr=Compr.ZLIB),
        _inode(order, 3, 2, file, b"XY", offset=100, isize=len(text)),
        _inode(order, 3, 3, file, b"a\x05b\x00", 8, offset=4096, compr=Compr.RTIME),
        _inode(order, 3, 4, file, b"", 4096, offset=8192, compr=Compr.ZERO, isize=12288),
        _dirent(order, 2, 2, b"link", 3, 8),
        _dirent(order, 2, 3, b"symlink", 4, 10),
        _inode(order, 4, 1, stat.S_IFLNK | 0o777, b"../file"),
        build(NodeType.XATTR, order, xid=1, version=1, xprefix=1, name=b"note", value=b"value"),
        build(NodeType.XREF, order, ino=3, xid=1, xseqno=2),
    ]
    second = [
        _dirent(order, 2, 4, b"null", 5, 2),
        _inode(order, 5, 1, stat.S_IFCHR | 0o600, (1 << 8 | 3).to_bytes(2, order)),
        _dirent(order, 2, 5, b"wide", 6, 6),
        _inode(order, 6, 1, stat.S_IFBLK | 0o600, (300 << 8 | 5).to_bytes(4, order)),
        _dirent(order, 2, 6, b"fifo", 7, 1),
        _inode(order, 7, 1, stat.S_IFIFO | 0o600),
        _dirent(order, 1, 4, b"gone", 3, 8),
        _dirent(order, 1, 5, b"gone", 0, 8),
        build(NodeType.DIRENT & ~0x2000, order, pino=1, version=6, name=b"old", ino=3, mctime=TIME, type=8),
        _inode(order, 8, 1, file, rubin(text[:64], FIXED, 1043), 64, compr=Compr.DYNRUBIN),
        _dirent(order, 1, 7, b"rubin", 8, 8),
        _inode(order, 9, 1, file, b"orphan"),
        build(0x6099, order),
        build(NodeType.XATTR, order, xid=1, version=2, xprefix=1, name=b"note", value=b"newer"),
        build(NodeType.XREF, order, ino=2, xid=1, xseqno=4),
        build(NodeType.XREF, order, ino=2, xid=1, xseqno=7),
    ]
    return first, second


def _entry(order: ByteOrder, node: bytes, offset: int) -> dict | None:
    """What a summary says of this node; None where it says nothing."""
    word = lambda at: int.from_bytes(node[at : at + 4], order)  # noqa: E731
    kind = int.from_bytes(node[2:4], order)
    numbered = {"nodetype": kind, "version": word(16), "offset": offset, "totlen": len(node)}
    if kind == NodeType.INODE:
        return numbered | {"ino": word(12)}
    if kind == NodeType.XATTR:
        return numbered | {"xid": word(12)}
    if kind == NodeType.XREF:
        return {"nodetype": kind, "offset": offset}
    if kind == NodeType.DIRENT:
        name = node[40 : 40 + node[28]]
        return numbered | {"pino": word(12), "ino": word(20), "type": node[29], "name": name}
    return None


def _block(order: ByteOrder, nodes: list[bytes], start: bytes, summary: bool) -> bytes:
    data, entries = bytearray(start), []
    for node in nodes:
        entries.append(_entry(order, node, len(data)))
        data += node + b"\xff" * (pad4(len(node)) - len(node))
    if summary:
        fields = {"totlen": ERASE - len(data), "cln_mkr": len(start), "padded": 0, "marker_offset": len(data)}
        data += build(NodeType.SUMMARY, order, entries=[entry for entry in entries if entry], **fields)
    return bytes(data) + b"\xff" * (ERASE - len(data))


def bases() -> Iterator[tuple[str, bytes]]:
    """The media of the systematic test: name and input."""
    for order, bit in (("little", LITTLE), ("big", BIG)):
        marker = build(NodeType.CLEANMARKER, order)
        for summary in (False, True):
            for kind, start, oob in ((NOR, marker, 0), (NAND, b"", OOB_ALL)):
                content = b"".join(_block(order, nodes, start, summary) for nodes in _tree(order))
                name = f"{order}-{'nand' if kind else 'nor'}{'-summary' if summary else ''}"
                yield name, bytes([kind | bit | oob | (SUMMARY if summary else 0)]) + content


# ---- transactions ----

OLD = {b"a": None, b"a/kept": b"kept" * 9, b"a/replaced": b"old" * 200, b"a/removed": b"x"}
READER = (READERS["linux-summary"],)
NEW = {b"a": None, b"a/kept": b"kept" * 9, b"a/replaced": b"newer" * 200, b"a/added": b"y" * 50}


def transactions() -> Iterator[tuple[str, bytes]]:
    """What the power cut leaves of an upgrade, at every instant at which the medium differs."""
    for kind, strategies in STRATEGIES.items():
        for strategy in strategies:
            order, bit = ("big", BIG) if strategy in ("flip", "lift") else ("little", LITTLE)
            flash = crafted.filesystem(GEOMETRIES[kind], OLD, endian=order, summary=strategy == "seal")
            try:
                manifest, content = crafted.entries(NEW)
                apply_upgrade(flash, wanted_tree(manifest), content, endian=order, readers=READER, strategy=strategy)
            except Jffs2txError as error:
                yield f"{strategy}-{kind}-refused", str(error).encode()
                continue
            seen = set()
            for cut in crafted.cuts(flash):
                content = crafted.crash(flash, cut).read(0, 8 * ERASE).rstrip(b"\xff")
                if content not in seen:
                    seen.add(content)
                    yield f"{strategy}-{kind}-{cut}", bytes([kind | bit | OOB_ALL | SUMMARY]) + content


if __name__ == "__main__":
    import sys
    from pathlib import Path

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (*bases(), *transactions()):
        (folder / name).write_bytes(data)
