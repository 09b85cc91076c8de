"""Crafted images: histories of names, and names that nobody should write."""

from __future__ import annotations

from .nodes import DT_DIR, TIME, WRONG, crafted

ROOT, A, B, C, D, E = 1, 2, 3, 4, 5, 6


@crafted("Directories, files and a hard link, nothing odd.", big=True)
def plain(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"etc", A, type=DT_DIR), n.dir(A), n.dirent(A, 2, b"passwd", B)]
    yield [n.inode(B, 1, b"root:x:0:0\n"), n.dirent(ROOT, 3, b"link", B), n.dirent(ROOT, 4, b"empty", C), n.inode(C, 1)]


@crafted("b was renamed over a: the new a, then the deletion of b.", big=True)
def replaced_by_rename(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"a", A), n.inode(A, 1, b"old"), n.dirent(ROOT, 3, b"b", B)]
    yield [n.inode(B, 1, b"new"), n.dirent(ROOT, 4, b"a", B), n.dirent(ROOT, 5, b"b", 0)]


@crafted("The same rename with its nodes in the other order on the medium, as garbage collection may leave them.")
def replaced_by_rename_backwards(n):
    yield [n.dirent(ROOT, 5, b"b", 0), n.dirent(ROOT, 4, b"a", B), n.inode(B, 1, b"new")]
    yield [n.dirent(ROOT, 3, b"b", B), n.inode(A, 1, b"old"), n.dirent(ROOT, 2, b"a", A), n.dir(ROOT)]


def _two_directories(n):
    return [
        n.dir(ROOT),
        n.dirent(ROOT, 2, b"one", A, type=DT_DIR),
        n.dirent(ROOT, 3, b"two", B, type=DT_DIR),
        n.dir(A),
        n.dir(B),
    ]


@crafted("A file moved from one directory to another: new name, then deletion.", big=True)
def moved_across(n):
    yield [*_two_directories(n), n.dirent(A, 2, b"f", C), n.inode(C, 1, b"moved")]
    yield [n.dirent(B, 2, b"g", C), n.dirent(A, 3, b"f", 0)]


@crafted("The same move, the deletion first on the medium.")
def moved_across_backwards(n):
    yield [n.dirent(A, 3, b"f", 0), n.dirent(B, 2, b"g", C)]
    yield [n.inode(C, 1, b"moved"), n.dirent(A, 2, b"f", C), *_two_directories(n)]


@crafted("The power failed in the middle of such a move: both names are there.")
def moved_across_halfway(n):
    yield [*_two_directories(n), n.dirent(A, 2, b"f", C), n.inode(C, 1, b"moved"), n.dirent(B, 2, b"g", C)]


@crafted("A directory that two living directories name (a move of a directory, halfway).")
def directory_with_two_parents(n):
    yield [*_two_directories(n), n.dirent(A, 2, b"d", C, type=DT_DIR), n.dir(C), n.dirent(C, 2, b"f", D)]
    yield [n.inode(D, 1, b"inside"), n.dirent(B, 2, b"d", C, type=DT_DIR)]


@crafted("A file deleted: its deletion stands behind its inode.", big=True)
def deleted(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"a", A), n.inode(A, 1, b"gone"), n.dirent(ROOT, 3, b"b", B)]
    yield [n.inode(B, 1, b"kept"), n.dirent(ROOT, 4, b"a", 0)]


@crafted("A file deleted: its deletion stands before its name and its inode.")
def deleted_before(n):
    yield [n.dirent(ROOT, 4, b"a", 0), n.dir(ROOT)]
    yield [n.dirent(ROOT, 2, b"a", A), n.inode(A, 1, b"gone"), n.dirent(ROOT, 3, b"b", B), n.inode(B, 1, b"kept")]


@crafted("Deleted and made again under a new inode, the old nodes last on the medium.")
def deleted_and_made_again(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 4, b"a", B), n.inode(B, 1, b"second life")]
    yield [n.dirent(ROOT, 3, b"a", 0), n.dirent(ROOT, 2, b"a", A), n.inode(A, 7, b"first life")]


@crafted("Three names of one inode in two directories, one of them removed again.", big=True)
def hard_links(n):
    yield [*_two_directories(n), n.dirent(A, 2, b"x", C), n.inode(C, 1, b"shared"), n.dirent(B, 2, b"y", C)]
    yield [n.dirent(ROOT, 4, b"z", C), n.dirent(ROOT, 5, b"gone", C), n.dirent(ROOT, 6, b"gone", 0)]


@crafted("Two dirents of one version: the one that is scanned later counts.")
def equal_versions_of_a_name(n):
    yield [n.dir(ROOT), n.inode(A, 1, b"first"), n.inode(B, 1, b"later"), n.dirent(ROOT, 5, b"f", A)]
    yield [n.dirent(ROOT, 5, b"f", B), n.dirent(ROOT, 6, b"g", B), n.dirent(ROOT, 6, b"g", 0)]


@crafted("Versions 0, 2^31 and up to the last one are plain unsigned numbers.")
def high_versions(n):
    yield [n.dir(ROOT, 0xFFFFFFFF), n.dirent(ROOT, 0x7FFFFFFF, b"a", A), n.dirent(ROOT, 0x80000000, b"a", B)]
    yield [n.dirent(ROOT, 0xFFFFFFFE, b"b", A), n.dirent(ROOT, 0, b"b", 0), n.dirent(ROOT, 0xFFFFFFFF, b"c", C)]
    yield [n.inode(A, 0, b"zero"), n.inode(B, 0xFFFFFFFF, b"last"), n.inode(B, 1, b"wrapped")]
    yield [n.inode(C, 0x80000000, b"NEW"), n.inode(C, 0x7FFFFFFF, b"old, and longer")]


@crafted("Inode numbers up to the last one.")
def high_inode_numbers(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"half", 0x80000000), n.inode(0x80000000, 1, b"half")]
    yield [n.dirent(ROOT, 3, b"last", 0xFFFFFFFF), n.inode(0xFFFFFFFF, 1, b"last")]


@crafted("Names whose inode has no node at all.")
def inode_missing(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"a", A), n.dirent(ROOT, 3, b"b", B), n.inode(B, 1, b"b")]


@crafted("A newer name whose inode is missing hides the older one, which had one.")
def inode_missing_newer(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"a", A), n.inode(A, 1, b"a"), n.dirent(ROOT, 3, b"a", B)]


@crafted("A directory without an inode node is made up from its names.", big=True)
def directory_inode_missing(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"d", A, type=DT_DIR), n.dirent(A, 1, b"f", B), n.inode(B, 1, b"b")]


@crafted("So is one whose only dirent is a deletion.")
def directory_inode_missing_emptied(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"d", A, type=DT_DIR), n.dirent(A, 1, b"f", 0)]


@crafted("No inode node for the root.")
def root_missing(n):
    yield [n.dirent(ROOT, 1, b"f", A), n.inode(A, 1, b"a")]


@crafted("The root is a regular file.")
def root_is_a_file(n):
    yield [n.inode(ROOT, 2, b"no directory"), n.dirent(ROOT, 1, b"f", A), n.inode(A, 1, b"a")]


@crafted("Types in dirents that are not those of their inodes: the inode decides.")
def types_disagree(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"file", A, type=DT_DIR), n.inode(A, 1, b"a file")]
    yield [n.dirent(ROOT, 3, b"dir", B, type=8), n.dir(B), n.dirent(B, 2, b"f", C, type=0), n.inode(C, 1, b"c")]


@crafted("A directory that holds itself, and one that holds its parent.")
def directory_loops(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"a", A, type=DT_DIR), n.dir(A), n.dirent(A, 2, b"self", A, type=DT_DIR)]
    yield [n.dirent(A, 3, b"b", B, type=DT_DIR), n.dir(B), n.dirent(B, 2, b"up", A, type=DT_DIR)]
    yield [n.dirent(B, 3, b"root", ROOT, type=DT_DIR), n.dirent(B, 4, b"f", C), n.inode(C, 1, b"c")]


@crafted("Two directories that hold each other and that nothing reaches; one of them also names a living file.")
def unreached_loop(n):
    yield [n.dir(ROOT), n.dir(A), n.dir(B), n.dirent(A, 2, b"b", B, type=DT_DIR), n.dirent(B, 2, b"a", A, type=DT_DIR)]
    yield [n.dirent(ROOT, 2, b"f", C), n.dirent(B, 3, b"f", C), n.inode(C, 1, b"c")]


@crafted("An unreached directory with children of its own, one that it shares, and a directory below.", big=True)
def unreached_directory(n):
    yield [n.dir(ROOT), n.dir(A), n.dirent(A, 2, b"own", B), n.inode(B, 1, b"b"), n.dirent(A, 3, b"shared", C)]
    yield [n.inode(C, 1, b"c"), n.dirent(ROOT, 2, b"kept", C), n.dirent(A, 4, b"d", D, type=DT_DIR), n.dir(D)]
    yield [n.dirent(D, 2, b"deep", E), n.inode(E, 1, b"e"), n.dirent(D, 3, b"shared too", C)]


@crafted("The directory's time is that of its newest dirent that has one, if that is newer than its inode.")
def times_of_directories(n):
    yield [n.dir(ROOT, 5, time=500), n.dirent(ROOT, 4, b"a", A, mctime=900, type=DT_DIR), n.dir(A, 1, time=100)]
    yield [n.dirent(A, 2, b"f", C, mctime=200), n.dirent(A, 3, b"g", C, mctime=0), n.inode(C, 1, b"c")]
    yield [n.dirent(ROOT, 6, b"b", B, mctime=700, type=DT_DIR), n.dir(B, time=50), n.dirent(B, 9, b"x", 0, mctime=77)]


# ---- names that nobody should write ----


@crafted("A NUL in a name, name CRC up to it; one with the CRC of it all; one that begins with it.")
def nul_in_names(n):
    from jffs2tx.format import crc32

    whole = b"c\0d"
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"a\0b", A), n.inode(A, 1, b"a"), n.dirent(ROOT, 6, b"good", D)]
    yield [n.dirent(ROOT, 3, whole, B, name_crc=crc32(whole)), n.inode(B, 1, b"b"), n.inode(D, 1, b"good")]


@crafted("A name of no bytes.")
def empty_name(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"", A), n.inode(A, 1, b"a"), n.dirent(ROOT, 3, b"good", B), n.inode(B, 1)]


@crafted("A name that begins with NUL.")
def nul_name(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"\0x", A), n.inode(A, 1, b"a"), n.dirent(ROOT, 3, b"good", B), n.inode(B, 1)]


@crafted("A slash in a name.")
def slash_in_name(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"../up", A), n.inode(A, 1, b"a"), n.dirent(ROOT, 3, b"good", B)]
    yield [n.inode(B, 1, b"b")]


@crafted("The names . and .. in a directory.")
def dot_names(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b".", A), n.inode(A, 1, b"a"), n.dirent(ROOT, 3, b"..", B)]
    yield [n.inode(B, 1, b"b"), n.dirent(ROOT, 4, b"...", C), n.inode(C, 1, b"c")]


@crafted("Names of 254 bytes, which is the most, and of 255.")
def longest_names(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"x" * 254, A), n.inode(A, 1, b"a"), n.dirent(ROOT, 3, b"y" * 255, B)]
    yield [n.inode(B, 1, b"b")]


@crafted("Names in no character set, with line breaks, escapes and backslashes.", big=True)
def names_of_any_bytes(n):
    yield [
        n.dir(ROOT),
        n.dirent(ROOT, 2, b"\xff\xfe\n\x1b[31m", A),
        n.inode(A, 1, b"a"),
        n.dirent(ROOT, 3, b"\\#= ", B),
    ]
    yield [n.inode(B, 1, b"b"), n.dirent(ROOT, 4, "größe".encode(), C), n.inode(C, 1, b"c")]


# ---- bad newer names beside good older ones ----


@crafted("Newer dirents whose name CRC, node CRC or header CRC is wrong, each beside a good older one.", big=True)
def bad_newer_names(n):
    yield [n.dir(ROOT), n.inode(A, 1, b"old"), n.inode(B, 1, b"new")]
    yield [n.dirent(ROOT, 2 + i, name, A) for i, name in enumerate((b"name", b"node", b"head"))]
    head = n.dirent(ROOT, 8, b"head", B)
    yield [n.dirent(ROOT, 6, b"name", B, name_crc=WRONG), n.dirent(ROOT, 7, b"node", B, node_crc=WRONG)]
    yield [n.with_header(head, crc=WRONG)]


@crafted("A newer deletion whose name CRC is wrong deletes nothing.")
def bad_newer_deletion(n):
    yield [n.dir(ROOT), n.dirent(ROOT, 2, b"a", A), n.inode(A, 1, b"a"), n.dirent(ROOT, 3, b"a", 0, name_crc=WRONG)]


@crafted("Dirents longer and shorter than their names: of no consequence to the kernel's full scan.")
def lengths_of_dirents(n):
    longer = n.with_header(n.dirent(ROOT, 2, b"longer", A) + bytes(18), totlen=64)
    shorter = n.with_header(n.dirent(ROOT, 3, b"shorter name", A), totlen=44)
    bare = n.with_header(n.dirent(ROOT, 4, b"bare", A), totlen=40)
    none = n.with_header(n.dirent(ROOT, 5, b"none", A), totlen=0)
    tiny = n.with_header(n.dirent(ROOT, 6, b"tiny", A), totlen=13)
    yield [n.dir(ROOT, 9), n.inode(A, 1, b"a"), longer, shorter, bare, none, tiny, n.dirent(ROOT, 7, b"last", A)]


@crafted("A name moved to a directory that is itself deleted.")
def moved_into_the_dead(n):
    yield [*_two_directories(n), n.dirent(A, 2, b"f", C), n.inode(C, 1, b"c"), n.dirent(B, 2, b"f", C)]
    yield [
        n.dirent(A, 3, b"f", 0),
        n.dirent(ROOT, 4, b"two", 0, type=DT_DIR),
        n.dirent(ROOT, 5, b"x", D, mctime=TIME + 5),
    ]
    yield [n.inode(D, 1, b"d")]
