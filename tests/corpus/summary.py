"""Crafted images: what a summary says of its block, and what stands there."""

from __future__ import annotations

from .nodes import NAND, WRONG, crafted
from .scan import base

ROOT, A, B, C = 1, 2, 3, 4


def nodes_of(n):
    return [*base(n), n.dirent(ROOT, 3, b"b", B), n.inode(B, 1, b"bbbb")]


@crafted("A summary that tells the truth.", big=True)
def summary(n):
    yield n.block(*nodes_of(n), summary=range(5))
    yield n.block(n.dirent(ROOT, 4, b"a", 0), summary=[0])


@crafted("The same on NAND, where blocks have no cleanmarker node.", big=True, chip=NAND)
def summary_nand(n):
    yield n.block(*nodes_of(n), summary=range(5))


@crafted("A wrong CRC in the summary's entries, in its node, in its header: the block is scanned.", big=True)
def summary_bad(n):
    nodes = nodes_of(n)
    yield n.block(*nodes[:3], summary=[0, 1], sum_crc=WRONG)
    yield n.block(nodes[3], summary=[], node_crc=WRONG)
    yield n.block(nodes[4], summary=[], hdr_crc=WRONG)


@crafted("A summary that lists less than there is: the rest is not there.", big=True)
def summary_lists_less(n):
    yield n.block(*nodes_of(n), n.dirent(ROOT, 9, b"a", 0), summary=[0, 1, 2, 4])


@crafted("A summary that lists nothing, and one whose marker points elsewhere.")
def summary_of_nothing(n):
    yield n.block(*base(n), summary=range(3))
    yield n.block(n.dirent(ROOT, 3, b"b", A), summary=[])
    yield n.block(n.dirent(ROOT, 4, b"c", A), summary=[0], marker_offset=0x1000)


@crafted("Nodes that have become obsolete under their summary: names are gone, data are too.")
def summary_of_obsolete(n):
    nodes = [*nodes_of(n), n.dirent(ROOT, 4, b"c", B), n.inode(A, 2, b"newer")]
    raw = n.block(*nodes, summary=range(7))
    for node in (nodes[3], nodes[6]):
        raw = raw.replace(node, n.obsolete(node))
    yield raw


@crafted("Nodes that have gone bad under their summary: name CRC, node CRC, data CRC.")
def summary_of_bad(n):
    nodes = [*nodes_of(n), n.dirent(ROOT, 4, b"c", B), n.dirent(ROOT, 5, b"d", C), n.inode(C, 1, b"data")]
    raw = n.block(*nodes, summary=range(8))
    raw = raw.replace(nodes[5], n.dirent(ROOT, 4, b"c", B, name_crc=WRONG))
    raw = raw.replace(nodes[7], n.inode(C, 1, b"data", node_crc=WRONG))
    yield raw.replace(nodes[4], n.inode(B, 1, b"bbbb", data_crc=WRONG))


@crafted("Entries that point where other nodes stand, or none does.")
def summary_of_other_places(n):
    nodes = [*base(n), n.dirent(ROOT, 3, b"b", B), n.inode(B, 1, b"bbbb"), n.inode(C, 1, b"cccc")]
    data, places, entries = n.cleanmarker, [], []
    for node in nodes:
        places.append(len(data))
        entries.append(n.entry(node, len(data)))
        data += node + b"\xff" * (-len(node) % 4)
    entries[4] |= {"offset": places[5]}  # inode B is said to stand where C does
    del entries[5]
    yield data + n.summary(len(data), entries)


@crafted("An entry of a type that may be skipped: the block is scanned in full.")
def summary_of_unknown_type(n):
    yield _with_unknown_entry(n, 0x2112)


@crafted("An entry of a type that allows nothing: no mount where summaries are read.")
def summary_of_incompatible_type(n):
    yield _with_unknown_entry(n, 0xE114)


def _with_unknown_entry(n, type):
    raw = n.block(*base(n), summary=range(3))
    start = n.u32(raw, len(raw) - 8)
    at = raw.index(n.pack(2, 0xE002), start + 32)
    entries = raw[:at] + n.pack(2, type) + raw[at + 2 :]
    return _resealed(n, entries, start)


def _resealed(n, raw, start):
    from jffs2tx.format import crc32

    head = raw[start : start + 24] + n.pack(4, crc32(raw[start + 32 :]))
    return raw[:start] + head + n.pack(4, crc32(head[:24])) + raw[start + 32 :]


@crafted("A name that begins with NUL in a summary: no mount where summaries are read.")
def summary_with_nul_name(n):
    yield n.block(*base(n), n.dirent(ROOT, 3, b"\0x", A), summary=range(4))


@crafted("A name with a NUL inside, listed by a summary.")
def summary_with_nul_in_name(n):
    yield n.block(*base(n), n.dirent(ROOT, 3, b"b\0c", A), n.dirent(ROOT, 4, b"d", A), summary=range(5))


@crafted("A cleanmarker that the summary does not speak of, and one that only the summary speaks of.")
def summary_and_cleanmarker(n):
    yield n.block(*base(n), summary=range(3), cln_mkr=0)
    yield n.block(n.dirent(ROOT, 3, b"b", A), clean=False, summary=[0], cln_mkr=0)
