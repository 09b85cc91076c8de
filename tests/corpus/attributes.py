"""Crafted images: extended attributes and ACLs."""

from __future__ import annotations

from .nodes import WRONG, crafted

ROOT = 1
USER, SECURITY, ACL, DEFAULT_ACL, TRUSTED = range(1, 6)


def files(n, count=3):
    yield n.dir(ROOT)
    for i in range(count):
        yield n.dirent(ROOT, 2 + i, bytes([ord("a") + i]), 2 + i)
        yield n.inode(2 + i, 1, b"x")


def acl(n, *entries):
    """(tag, perm) or (tag, perm, id)."""
    words = b"".join(
        n.pack(2, tag) + n.pack(2, perm) + b"".join(n.pack(4, i) for i in ids) for tag, perm, *ids in entries
    )
    return n.pack(4, 1) + words


@crafted("Attributes of each kind, one shared by two files, one empty, on the root too.", big=True)
def attributes(n):
    yield list(files(n))
    yield [
        n.xattr(1, USER, b"colour", b"red"),
        n.xattr(2, SECURITY, b"label", b"\1\2"),
        n.xattr(3, TRUSTED, b"t", b""),
    ]
    yield [n.xref(2, 1, 2), n.xref(3, 1, 4), n.xref(2, 2, 6), n.xref(2, 3, 8), n.xref(ROOT, 1, 10)]


@crafted("ACLs: short, with names and a mask, a default one.", big=True)
def acls(n):
    short = acl(n, (1, 6), (4, 4), (32, 4))
    named = acl(n, (1, 6), (2, 7, 1000), (4, 4), (8, 5, 4_000_000_000), (16, 7), (32, 4))
    yield [*files(n), n.dirent(ROOT, 9, b"d", 9, type=4), n.dir(9)]
    yield [n.xattr(1, ACL, b"", short), n.xattr(2, ACL, b"", named), n.xattr(3, DEFAULT_ACL, b"", named)]
    yield [n.xref(2, 1, 2), n.xref(3, 2, 4), n.xref(9, 3, 6)]


@crafted("ACLs that are none: another version, cut short, without entries, with an unknown tag.")
def acls_malformed(n):
    yield list(files(n, 4))
    yield [n.xattr(1, ACL, b"", n.pack(4, 2)), n.xattr(2, ACL, b"", acl(n, (1, 6))[:-1]), n.xattr(3, ACL, b"", acl(n))]
    yield [n.xattr(4, ACL, b"", acl(n, (64, 6)))]
    yield [n.xref(2 + i, 1 + i, 2 + 2 * i) for i in range(4)]


@crafted("References to an attribute that is missing, to an inode that is, and to a deleted one.")
def references_dangling(n):
    yield [*files(n, 2), n.dirent(ROOT, 9, b"b", 0)]
    yield [n.xattr(1, USER, b"a", b"1"), n.xref(2, 1, 2), n.xref(2, 7, 4), n.xref(77, 1, 6), n.xref(3, 1, 8)]


@crafted("References deleted, deleted before they stand on the medium, and made again.")
def references_deleted(n):
    yield list(files(n))
    yield [n.xattr(1, USER, b"a", b"1"), n.xref(3, 1, 5), n.xref(2, 1, 2), n.xref(2, 1, 7), n.xref(3, 1, 4)]
    yield [n.xref(4, 1, 8), n.xref(4, 1, 11), n.xref(4, 1, 12)]


@crafted("An attribute in two versions, of one version twice, and two of one name: the newer counts.")
def attributes_in_versions(n):
    yield list(files(n))
    yield [n.xattr(1, USER, b"a", b"new", 2), n.xattr(1, USER, b"a", b"old", 1)]
    yield [n.xattr(2, USER, b"a", b"first", 1), n.xattr(2, USER, b"a", b"later", 1)]
    yield [n.xattr(3, USER, b"a", b"old"), n.xattr(4, USER, b"a", b"new"), n.xref(4, 4, 8), n.xref(4, 3, 6)]
    yield [n.xref(2, 1, 2), n.xref(3, 2, 4)]


@crafted("Attributes with a wrong node CRC, data CRC or length, alone and beside an older one of that name.")
def attributes_bad(n):
    yield list(files(n, 4))
    yield [n.xattr(1, USER, b"a", b"1", node_crc=WRONG), n.xattr(2, USER, b"a", b"2", data_crc=WRONG)]
    yield [n.xattr(3, USER, b"a", b"3"), n.xattr(4, USER, b"a", b"newer", data_crc=WRONG)]
    yield [n.xattr(5, USER, b"a", b"old", 1), n.xattr(5, USER, b"a", b"new", 2, data_crc=WRONG)]
    yield [n.xref(2, 1, 2), n.xref(3, 2, 4), n.xref(4, 3, 6), n.xref(4, 4, 8), n.xref(5, 5, 10), n.xref(2, 3, 3)]


@crafted("Attributes with a prefix that nobody knows, and a reference with a wrong CRC.")
def attributes_unknown(n):
    yield [*files(n), n.xattr(1, 9, b"a", b"1"), n.xattr(2, USER, b"b", b"2")]
    yield [n.xref(2, 1, 2), n.xref(3, 2, 4, node_crc=WRONG), n.xref(4, 2, 6)]


@crafted("Attributes in a block with a summary, one of them gone bad there.")
def attributes_summary(n):
    nodes = [*files(n, 2), n.xattr(1, USER, b"a", b"1"), n.xref(2, 1, 2), n.xattr(2, USER, b"b", b"2"), n.xref(3, 2, 4)]
    yield n.block(*nodes, summary=range(len(nodes))).replace(nodes[-1], n.xref(3, 2, 4, node_crc=WRONG))
