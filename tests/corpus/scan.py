"""Crafted images: what the scan of an eraseblock passes over, and what it does not."""

from __future__ import annotations

from jffs2tx.format import NodeType

from .nodes import NAND, WRONG, crafted, noise

ROOT, A, B, C = 1, 2, 3, 4
ERASED = b"\xff"
#: Unknown types, by what a reader does with them.
COPY, DELETE, RO, INCOMPAT = 0x6111, 0x2112, 0xA113, 0xE114


def base(n):
    return [n.dir(ROOT), n.dirent(ROOT, 2, b"a", A), n.inode(A, 1, b"a")]


def file_b(n):
    return n.dirent(ROOT, 3, b"b", B) + n.inode(B, 1, b"bbbb")


@crafted("Inode nodes that claim no length, too small a length, and one beyond the block.", big=True)
def lengths_of_inodes(n):
    lengths = (0, 5, 64, 0x4000)
    nodes = [n.with_header(n.inode(B + i, 1, b"data"), totlen=totlen) for i, totlen in enumerate(lengths)]
    names = [n.dirent(ROOT, 3 + i, b"l%d" % length, B + i) for i, length in enumerate(lengths)]
    yield [*base(n), *names]
    yield nodes


@crafted("Nodes of no content that claim no length: the scan goes on behind their header.")
def lengths_of_zero(n):
    heads = [n.with_header(n.node(type), totlen=0) for type in (NodeType.PADDING, DELETE, COPY)]
    yield [*base(n), *heads, n.obsolete(heads[1]), file_b(n)]


@crafted("A length of 0xfffffff0 where the kernel's sum of offset and length does not wrap around.", big=True)
def length_of_fffffff0(n):
    yield [n.with_header(n.inode(B, 1, b"data"), totlen=0xFFFFFFF0), *base(n), file_b(n)]


@crafted("A length of 0xfffffff0 where it does: Linux 6.1 scans backwards from there.")
def length_that_wraps(n):
    yield base(n)
    yield [n.with_header(n.node(DELETE), totlen=0xFFFFFFF0), file_b(n)]


@crafted("Obsolete nodes: names, data, and what stands in an obsolete node's body.", big=True)
def obsolete(n):
    yield [*base(n), n.obsolete(n.dirent(ROOT, 9, b"a", 0)), n.obsolete(n.inode(A, 2, b"new"))]
    yield [n.obsolete(n.dirent(ROOT, 8, b"gone", B)), n.inode(B, 1, b"gone"), n.obsolete(n.node(DELETE, file_b(n)))]


@crafted("Torn nodes: the front half, the back half, a header alone, at the end of a block.")
def torn(n):
    node = n.inode(A, 2, b"torn data, torn data")
    half = len(node) // 2
    yield [*base(n), node[:half]]
    yield [ERASED * half + node[half:], node[:12], file_b(n)]
    yield n.block(clean=True)[:-48] + n.with_header(node, totlen=200)[:48]


@crafted("Noise between nodes; nodes at every word; a node at no word's start.")
def noise_between(n):
    bad = noise(5, 400).replace(b"\x85", b"x").replace(b"\x19", b"y")
    yield [*base(n)[:2], bad, base(n)[2], b"odd.", b"\0\0\0\0", file_b(n)]
    raw = n.block(b"no" + n.dirent(ROOT, 5, b"unaligned", A), clean=False)
    yield raw


@crafted("Runs of zeros, as after jffs2_mark_node_obsolete or an interrupted erase; nodes right behind them.")
def zeros(n):
    yield [*base(n), bytes(400), file_b(n)]
    yield n.block(bytes(8000), n.dirent(ROOT, 4, b"c", C), bytes(16), n.inode(C, 1, b"c"), clean=False)


@crafted("Nodes of JFFS (magic 0x1984) and of the other byte order are passed over.", big=True)
def other_magics(n):
    from .nodes import Nodes

    other = Nodes("big" if n.order == "little" else "little", n.chip)
    yield [*base(n), n.with_header(n.inode(A, 2, b"new"), magic=0x1984), other.dirent(ROOT, 9, b"a", 0), file_b(n)]
    yield n.block(other.dirent(ROOT, 10, b"other", A), n.dirent(ROOT, 11, b"behind", A), clean=False)


@crafted("Unknown nodes that may be deleted or copied: skipped whole, nodes inside them too.", big=True)
def unknown_compatible(n):
    yield [*base(n), n.node(DELETE, file_b(n)), n.node(COPY, n.dirent(ROOT, 9, b"a", 0)), n.dirent(ROOT, 4, b"c", A)]


@crafted("An unknown node that allows reading: mounted read-only only.")
def unknown_read_only(n):
    yield [*base(n), n.node(RO, file_b(n)), n.dirent(ROOT, 4, b"c", A)]


@crafted("An unknown node that allows nothing: no mount.")
def unknown_incompatible(n):
    yield [*base(n), n.node(INCOMPAT, b"what?")]


@crafted("The same, obsolete: skipped.")
def unknown_incompatible_obsolete(n):
    yield [*base(n), n.obsolete(n.node(INCOMPAT, file_b(n))), n.dirent(ROOT, 4, b"c", A)]


@crafted("Padding nodes, with nodes inside and behind.")
def padding(n):
    yield [
        *base(n),
        n.node(NodeType.PADDING, bytes(50)),
        n.node(NodeType.PADDING, file_b(n)),
        n.dirent(ROOT, 4, b"c", A),
    ]


@crafted("Blocks without a cleanmarker, and free ones without.", big=True)
def no_cleanmarkers(n):
    yield n.block(*base(n), clean=False)
    yield ERASED * n.chip.erase
    yield n.block(file_b(n), clean=False)


@crafted("Cleanmarkers of a NAND's length, in the middle of a block, twice, and with a wrong CRC.")
def odd_cleanmarkers(n):
    long = n.node(NodeType.CLEANMARKER, bytes(4))
    yield n.block(long, *base(n), clean=False)
    yield [n.cleanmarker, file_b(n), n.cleanmarker, n.dirent(ROOT, 4, b"c", A)]
    yield n.block(n.with_header(n.cleanmarker, crc=WRONG), n.dirent(ROOT, 5, b"d", A), clean=False)


@crafted("A block of which an interrupted erase has erased the front: what is left counts.")
def half_erased(n):
    yield base(n)
    whole = n.block(*[n.inode(C, 1, noise(i, 1000)) for i in range(7)], file_b(n), clean=True)
    yield ERASED * 128 + whole[128:]


@crafted("Names behind 252 erased bytes count, behind 256 the block looks empty.")
def behind_256(n):
    yield base(n)
    yield n.block(ERASED * 252, n.dirent(ROOT, 3, b"seen", A), clean=False)
    yield n.block(ERASED * 256, n.dirent(ROOT, 4, b"unseen", A), clean=False)
    yield n.block(ERASED * 1024, n.dirent(ROOT, 5, b"unseen by all", A), clean=False)


@crafted("Behind a cleanmarker 16 erased bytes are not yet an empty block, 20 are.", big=True)
def behind_cleanmarker(n):
    yield base(n)
    yield [ERASED * 16, n.dirent(ROOT, 3, b"seen", A)]
    yield [ERASED * 20, n.dirent(ROOT, 4, b"unseen", A)]
    yield [ERASED * 2000, n.dirent(ROOT, 5, b"unseen too", A)]


@crafted("Erased bytes between nodes.")
def gaps(n):
    yield [*base(n), ERASED * 600, n.dirent(ROOT, 3, b"b", A), ERASED * 4, n.dirent(ROOT, 4, b"c", A)]


@crafted("Nodes up to the last byte of a block, and less than a header's room at its end.")
def full_blocks(n):
    free = n.chip.erase - 12
    yield [*base(n)]
    yield [n.dirent(ROOT, 3, b"b", B), n.inode(B, 1, noise(1, free - 44 - 68))]
    yield [n.dirent(ROOT, 4, b"c", C), n.inode(C, 1, noise(2, free - 44 - 68 - 8)), n.dirent(ROOT, 5, b"x", C)[:8]]


@crafted("Nothing but free blocks: an empty file system.")
def free_blocks(n):
    for _ in range(n.chip.size // n.chip.erase):
        yield []


@crafted("Noise that no kernel takes for a file system.")
def not_jffs2(n):
    yield noise(9, n.chip.erase).replace(b"\x85\x19", b"xx")
    yield noise(10, n.chip.erase).replace(b"\x85\x19", b"xx")


@crafted("NAND: nodes in pages, the rest of each page as the write buffer leaves it.", big=True, chip=NAND)
def nand_pages(n):
    def page(node):
        gap = -(len(node) + (-len(node) % 4)) % 512
        return [node, n.node(NodeType.PADDING, bytes(gap - 12)) if gap >= 12 else bytes(gap)]

    yield [part for node in (*base(n), n.inode(A, 2, noise(3, 700), mode=0o100600)) for part in page(node)]
    yield [ERASED * 512, *page(file_b(n))]
    yield [*page(n.dirent(ROOT, 4, b"c", A)), *page(n.inode(A, 3, b"BAD", size=700, data_crc=WRONG))]


@crafted("NAND: a NUL in a name whose bytes are read with its header.", chip=NAND)
def nand_nul_in_name(n):
    yield [*base(n), n.dirent(ROOT, 3, b"b\0c", A), n.dirent(ROOT, 4, b"d", A)]
