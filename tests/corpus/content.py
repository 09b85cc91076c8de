"""Crafted images: what data nodes make of a file."""

from __future__ import annotations

import stat
import zlib

from .nodes import FILE, WRONG, crafted, noise, prose

ROOT, PAGE = 1, 4096
NONE, ZERO, RTIME, COPY, ZLIB, LZO = 0, 1, 2, 4, 6, 7


def named(n, *files):
    """Blocks for files: each a list of the inode nodes of inodes 2, 3, …, called a, b, …"""
    yield [n.dir(ROOT)]
    for i, nodes in enumerate(files):
        yield [n.dirent(ROOT, 2 + i, bytes([ord("a") + i]), 2 + i), *nodes]


def rtime(data):
    """The kernel's scheme, without runs: each byte, then 0."""
    return b"".join(bytes([byte, 0]) for byte in data)


def lzo_literals(data):
    """An LZO1X stream of literals only (4 to 238 bytes), and its end mark."""
    assert 4 <= len(data) <= 238
    return bytes([len(data) + 17]) + data + b"\x11\0\0"


@crafted("Written in one go, overwritten in the middle, appended to.", big=True)
def overwritten(n):
    base = n.inode(2, 1, prose(1, PAGE))
    middle = n.inode(2, 2, b"MIDDLE", offset=1000, size=PAGE)
    yield from named(n, [base, middle, n.inode(2, 3, prose(2, 500), offset=PAGE)])


@crafted("Older nodes behind newer ones on the medium.")
def overwritten_backwards(n):
    yield from named(n, [n.inode(2, 3, prose(2, 500), offset=PAGE), n.inode(2, 2, b"MIDDLE", offset=1000, size=PAGE)])
    yield [n.inode(2, 1, prose(1, PAGE))]


@crafted("Many nodes over and under each other: the newest good one shows at each byte.")
def overlapping(n):
    spans = [(0, 3000), (1000, 2000), (500, 600), (2900, 1500), (4000, 96), (0, 100), (50, 4000), (700, 10)]
    nodes = [n.inode(2, i + 1, noise(i + 1, size), offset=at, size=4500) for i, (at, size) in enumerate(spans)]
    yield from named(n, nodes[::2])
    yield nodes[1::2]


@crafted("Cut short, then grown again: what was cut off does not come back.", big=True)
def truncated_and_regrown(n):
    yield from named(
        n,
        [n.inode(2, 1, prose(1, PAGE)), n.inode(2, 2, size=100), n.inode(2, 3, b"end", offset=3000)],
        [n.inode(3, 1, prose(1, 3000)), n.inode(3, 2, size=10)],
        [n.inode(4, 1, b"abcdef"), n.inode(4, 2, size=0)],
    )


@crafted("The same as the kernel writes it: a hole node where the file grew.")
def truncated_and_regrown_by_holes(n):
    hole = n.inode(2, 3, offset=100, size=5000, dsize=4900, compr=ZERO)
    yield from named(n, [n.inode(2, 1, prose(1, PAGE)), n.inode(2, 2, size=100), hole])


@crafted("Gaps that no node covers, hole nodes, and hole nodes with their sizes swapped (an old bug).", big=True)
def sparse(n):
    swapped = n.with_fields(n.inode(4, 2, size=3000, offset=1000), 60, _48=2000, _52=0)
    swapped = swapped[:56] + bytes([ZERO]) + swapped[57:]
    swapped = n.with_header(n.with_fields(swapped, 60), totlen=68 + 2000) + b"\xff" * 2000
    swapped = n.with_fields(swapped, 60)
    yield from named(
        n,
        [n.inode(2, 1, b"start"), n.inode(2, 2, b"far", offset=10 * PAGE)],
        [n.inode(3, 1, b"start"), n.inode(3, 2, offset=5, size=70000, dsize=69995, compr=ZERO)],
        [n.inode(4, 1, b"x" * 1000), swapped],
    )


@crafted("Newer nodes with a wrong data CRC, node CRC or header CRC, each beside good older ones.", big=True)
def bad_newer_data(n):
    yield from named(
        n,
        [n.inode(2, 1, b"old data"), n.inode(2, 2, b"new data", data_crc=WRONG)],
        [n.inode(3, 1, b"old data"), n.inode(3, 2, b"new data", node_crc=WRONG)],
        [n.inode(4, 1, b"old data"), n.with_header(n.inode(4, 2, b"new data"), crc=WRONG)],
        [n.inode(5, 1, b"old data"), n.inode(5, 2, b"NEW", offset=2, size=20, data_crc=WRONG, mode=FILE | 0o111)],
    )


@crafted("Nothing but bad nodes: wrong data CRC, wrong node CRC.")
def only_bad_data(n):
    yield from named(
        n,
        [n.inode(2, 1, b"data", data_crc=WRONG)],
        [n.inode(3, 1, b"data", node_crc=WRONG)],
        [n.inode(4, 1, b"front"), n.inode(4, 2, b"back", offset=5, data_crc=WRONG)],
    )


@crafted("A good node older than a bad one, that one older than another good one.")
def bad_between(n):
    bad = n.inode(2, 2, noise(2, 3000), offset=500, data_crc=WRONG)
    yield from named(n, [n.inode(2, 1, noise(1, PAGE)), bad, n.inode(2, 3, noise(3, 1000), offset=2000, size=PAGE)])


@crafted("Newest metadata without data: mode, owner, times and size of it; data of the older nodes.", big=True)
def metadata_newer(n):
    more = {"mode": FILE | stat.S_ISUID, "uid": 65535, "gid": 65534, "time": 0xFFFFFFFF}
    yield from named(n, [n.inode(2, 1, b"data"), n.inode(2, 5, size=4, **more), n.inode(2, 3, size=2)])


@crafted("Every kind of mode bits, owners and times at their ends.")
def modes(n):
    modes = [0o100000, 0o107777, 0o106755, 0o101644, 0o100002]
    yield from named(n, *([n.inode(2 + i, 1, b"x", mode=mode)] for i, mode in enumerate(modes)))
    yield [n.dir(1, 9, mode=0o43777, uid=65535, gid=65535, time=0)]


@crafted("Modes whose type bits mean nothing, and a mode of more than 16 bits.")
def modes_of_no_type(n):
    modes = [0o000644, 0o150644, 0o170000, 0x10000 | 0o100640]
    yield from named(n, *([n.inode(2 + i, 1, b"x", mode=mode)] for i, mode in enumerate(modes)))


@crafted("A size that no data reach: the file ends where its last piece does.")
def size_beyond_data(n):
    yield from named(
        n,
        [n.inode(2, 1, b"four", size=0xFFFFFFFF)],
        [n.inode(3, 1, b"four", size=0x80000000)],
        [n.inode(4, 1, size=5000)],
        [n.inode(5, 1, b"four"), n.inode(5, 2, size=5)],
        [n.inode(6, 1, b"fourfour", size=4)],
    )


@crafted("An offset beyond the size: the node is dropped, its inode stays.")
def offset_beyond_size(n):
    yield from named(
        n,
        [n.inode(2, 1, b"good"), n.inode(2, 2, b"bad", offset=100, size=50)],
        [n.inode(3, 1, b"bad", offset=100, size=50)],
        [n.inode(4, 1, b"good"), n.inode(4, 2, b"", offset=4, size=4)],
    )


@crafted("Holes of up to 4 GiB that the size cuts, with an offset, and beyond the end of all offsets.")
def holes_of_4_gib(n):
    whole = n.inode(2, 1, size=3000, dsize=0xFFFFFFFF, compr=ZERO)
    late = n.inode(3, 2, offset=1000, size=3000, dsize=0xFFFFFC17, compr=ZERO)
    yield from named(n, [whole], [n.inode(3, 1, b"x" * 500), late])


@crafted("An offset plus a length that wraps around.")
def hole_that_wraps(n):
    yield from named(n, [n.inode(2, 1, b"y" * 100), n.inode(2, 2, offset=50, size=3000, dsize=0xFFFFFFF0, compr=ZERO)])


@crafted("csize that is not what the node holds: too much, too little, wrapping around.")
def csize_lies(n):
    nodes = [
        n.with_fields(n.inode(2 + i, 2, b"data"), 60, _48=csize) for i, csize in enumerate((5000, 0, 0xFFFFFFFD, 3))
    ]
    nodes = [[n.inode(2 + i, 1, b"older"), node] for i, node in enumerate(nodes)]
    yield from named(n, *nodes, [n.with_fields(n.inode(6, 1, b"data"), 60, _48=9)])


@crafted("dsize 0 with data, and compressed data of a dsize that no memory has.")
def dsize_lies(n):
    packed = zlib.compress(prose(1, 1000))
    yield from named(
        n,
        [n.inode(2, 1, b"older"), n.inode(2, 2, b"data", dsize=0, size=5, mode=FILE | 0o111)],
        [n.inode(3, 1, packed, dsize=0x40000000, size=1000, compr=ZLIB)],
    )


@crafted("Pieces larger than a page, and across a page's end.")
def larger_than_a_page(n):
    packed = zlib.compress(prose(3, 16000))
    yield from named(
        n,
        [n.inode(2, 1, noise(1, 9000))],
        [n.inode(3, 1, prose(2, 3000)), n.inode(3, 2, noise(2, 4000), offset=2000)],
        [n.inode(4, 1, packed, dsize=16000, compr=ZLIB), n.inode(4, 2, b"inside", offset=5000, size=16000)],
    )


@crafted("Two data nodes of one version: for one place, and side by side.")
def equal_versions_of_data(n):
    yield from named(
        n,
        [n.inode(2, 5, b"first"), n.inode(2, 5, b"later")],
        [n.inode(3, 5, b"good"), n.inode(3, 5, b"baad", data_crc=WRONG)],
        [n.inode(4, 5, b"baad", data_crc=WRONG), n.inode(4, 5, b"good")],
    )


@crafted("Each compressor: none, zero, rtime, zlib and lzo, whole and in part.", big=True)
def compressors(n):
    text = prose(7, 3000)
    yield from named(
        n,
        [n.inode(2, 1, text)],
        [n.inode(3, 1, dsize=3000, compr=ZERO)],
        [n.inode(4, 1, rtime(text[:1000]), dsize=1000, compr=RTIME), n.inode(4, 2, b"X", offset=500, size=1000)],
        [n.inode(5, 1, zlib.compress(text, 9), dsize=3000, compr=ZLIB), n.inode(5, 2, b"X", offset=500, size=3000)],
        [n.inode(6, 1, lzo_literals(text[:200]), dsize=200, compr=LZO), n.inode(6, 2, b"X", offset=50, size=200)],
    )


@crafted("usercompr is not looked at up to zlib; above it, it makes an unknown method.")
def usercompr(n):
    text = prose(8, 100)
    yield from named(
        n,
        [n.inode(2, 1, zlib.compress(text), dsize=100, compr=ZLIB, usercompr=9)],
        [n.inode(3, 1, lzo_literals(text), dsize=100, compr=LZO, usercompr=9)],
        [n.inode(4, 1, text, usercompr=9)],
    )


@crafted("Methods that nobody knows: the file is there and cannot be read.")
def compressors_unknown(n):
    yield from named(
        n,
        [n.inode(2, 1, b"data", compr=0x42)],
        [n.inode(3, 1, b"data", compr=COPY)],
        [n.inode(4, 1, b"data", compr=0x42), n.inode(4, 2, b"data")],
        [n.inode(5, 1, b"data", compr=0x42), n.inode(5, 2, size=0)],
    )


@crafted("lzo data with a good CRC that do not decompress.")
def lzo_badly(n):
    yield from named(n, [n.inode(2, 1, b"\x15" + b"x" * 40, dsize=400, compr=LZO)])


@crafted("rtime data with a good CRC that do not decompress: in Linux 6.1 reading them never ends.")
def rtime_badly(n):
    yield from named(n, [n.inode(2, 1, rtime(b"abc")[:-1] + b"\xff", dsize=100, compr=RTIME)])


@crafted("Empty files: a node without data, a size of 0 over data, and one byte.", big=True)
def smallest_files(n):
    yield from named(n, [n.inode(2, 1)], [n.inode(3, 1, b"data", size=0)], [n.inode(4, 1, b"1")])
