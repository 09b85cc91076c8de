"""Crafted images: symbolic links, devices, fifos, sockets."""

from __future__ import annotations

import stat

from .nodes import DT_LINK, WRONG, crafted

ROOT = 1
BLOCK, CHAR, FIFO, SOCKET = (kind | 0o640 for kind in (stat.S_IFBLK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK))
DT = {BLOCK: 6, CHAR: 2, FIFO: 1, SOCKET: 12}


def named(n, *files, type=DT_LINK):
    yield [n.dir(ROOT)]
    for i, nodes in enumerate(files):
        yield [n.dirent(ROOT, 2 + i, bytes([ord("a") + i]), 2 + i, type=type), *nodes]


@crafted("Symbolic links: relative, absolute, of 254 bytes, in no character set, dangling.", big=True)
def links(n):
    targets = (b"b/c", b"/etc", b"x" * 254, b"\xff\n\x1b", b"../../..")
    yield from named(n, *([n.link(2 + i, target)] for i, target in enumerate(targets)))


@crafted("A link written again with the same and with another target: the newest counts.")
def link_rewritten(n):
    yield from named(
        n,
        [n.link(2, b"target"), n.link(2, b"target", 2, uid=7)],
        [n.link(3, b"target", 2), n.link(3, b"TARGET", 1)],
        [n.link(4, b"good"), n.link(4, b"worse", 2, data_crc=WRONG)],
        [n.link(5, b"short"), n.link(5, b"much longer", 2)],
    )


@crafted("Links of more than one piece, of none, with newer metadata without data: the kernel gives them up.")
def link_in_pieces(n):
    yield from named(
        n,
        [n.link(2, b"long target"), n.link(2, b"short", 2)],
        [n.link(3, b"one"), n.link(3, b"two", 2, offset=3)],
        [n.link(4, b"target"), n.link(4, b"", 2, size=6)],
        [n.link(5, b"")],
        [n.link(6, b"target", offset=4)],
        [n.link(7, b"target", 3), n.link(7, b"", 2, size=6)],
    )


@crafted("Link targets: too long, with a NUL, with isize 0 (an old bug), with another isize.")
def link_targets(n):
    yield from named(
        n,
        [n.link(2, b"x" * 255)],
        [n.link(3, b"before\0after")],
        [n.link(4, b"target", size=0)],
        [n.link(5, b"target", size=3)],
        [n.link(6, b"target", data_crc=WRONG)],
    )


@crafted("Devices with numbers of 16 and of 32 bits, at their ends.", big=True)
def devices(n):
    yield from named(
        n,
        [n.inode(2, 1, n.pack(2, 0x0103), mode=CHAR)],
        [n.inode(3, 1, n.pack(2, 0xFFFF), mode=BLOCK)],
        [n.inode(4, 1, n.pack(4, 0x12345678), mode=BLOCK)],
        [n.inode(5, 1, n.pack(4, 0xFFFFFFFF), mode=CHAR)],
        [n.inode(6, 1, n.pack(4, 0), mode=CHAR)],
        type=DT[CHAR],
    )


@crafted("Devices with numbers of 0, 1, 3 and 8 bytes, and with newer metadata without data.")
def devices_of_odd_sizes(n):
    yield from named(
        n,
        [n.inode(2, 1, mode=CHAR)],
        [n.inode(3, 1, b"\1", mode=CHAR)],
        [n.inode(4, 1, b"\1\2\3", mode=CHAR)],
        [n.inode(5, 1, b"\1\2\3\4\5\6\7\10", mode=BLOCK)],
        [n.inode(6, 1, n.pack(2, 0x0103), mode=CHAR), n.inode(6, 2, mode=CHAR, size=2)],
        [n.inode(7, 1, n.pack(2, 0x0103), mode=CHAR), n.inode(7, 2, n.pack(2, 0x0104), mode=CHAR)],
        type=DT[CHAR],
    )


@crafted("A device whose number is a hole or compressed, and one that stands at an offset.")
def devices_compressed(n):
    yield from named(
        n,
        [n.inode(2, 1, dsize=2, compr=1, mode=CHAR)],
        [n.inode(3, 1, b"\3\0\1\0", dsize=2, compr=2, mode=CHAR)],
        [n.inode(4, 1, n.pack(2, 0x0103), offset=2, mode=CHAR)],
        type=DT[CHAR],
    )


@crafted("Fifos and sockets, with and without data.", big=True)
def fifos_and_sockets(n):
    yield from named(
        n,
        [n.inode(2, 1, mode=FIFO)],
        [n.inode(3, 1, b"data", mode=FIFO)],
        [n.inode(4, 1, mode=SOCKET)],
        [n.inode(5, 1, b"data", mode=SOCKET), n.inode(5, 2, mode=SOCKET, size=4)],
        type=DT[FIFO],
    )


@crafted("A directory with data.")
def directory_with_data(n):
    yield from named(n, [n.dir(2, data=b"data"), n.dirent(2, 2, b"f", 9), n.inode(9, 1, b"f")], type=4)
