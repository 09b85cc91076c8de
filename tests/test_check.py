"""check: for each kind of finding a medium that has it, and sound media that have none."""

import json
import lzma
import os
from collections import Counter
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jffs2tx import format as medium_format
from jffs2tx import ops
from jffs2tx._ffi import ffi, lib
from jffs2tx.cli import main
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import FormatError, Jffs2txError
from jffs2tx.format import NodeType, build
from jffs2tx.image import Image, open_image
from jffs2tx.ops.check import KINDS
from jffs2tx.upgrade import apply_upgrade, wanted_tree

from .crafted import (
    CLEANMARKER,
    ERASE,
    LINUX_SUMMARY,
    NAND,
    NOR,
    block,
    directory,
    dirent,
    entries,
    filesystem,
    inode,
    obsolete,
    tag,
)
from .images import FLAVOURS, needs_mkfs
from .test_readme import README

S_IFLNK, S_IFCHR, S_IFIFO = 0o120777, 0o020644, 0o010644
DIR, LINK, CHAR = 4, 10, 2


def image_of(*blocks, geometry=NOR, spoil=None, bad=None):
    """An open image in memory, the rest erased. spoil: a page that ECC gives up; bad: a block that is marked bad."""
    flash = Flash.memory(geometry, b"".join(blocks))
    if spoil is not None:
        assert lib.jx_flash_spoil(flash.handle, spoil) == 0
    if bad is not None:
        assert lib.jx_flash_raw_mark_bad(flash.handle, bad) == 0
    return Image("crafted", flash, "little", [], ExitStack())


def found(image):
    """Kinds of problems and of notes."""
    with image:
        facts = ops.check(image, progress=None)
    return tuple([finding["kind"] for finding in facts[key]] for key in ("problems", "notes"))


def flipped(node, at=-1):
    damaged = bytearray(node)
    damaged[at] ^= 0x10
    return bytes(damaged)


def xattr(xid, name=b"a", value=b"v", version=0, prefix=1):
    return build(NodeType.XATTR, "little", xid=xid, version=version, xprefix=prefix, name=name, value=value)


def xref(ino, xid, seq=2):
    return build(NodeType.XREF, "little", ino=ino, xid=xid, xseqno=seq)


def lzma_of(data):
    """As OpenWrt's patch writes it: the bare stream."""
    only = {"id": lzma.FILTER_LZMA1, "dict_size": 8192, "lc": 0, "lp": 0, "pb": 0}
    return lzma.compress(data, format=lzma.FORMAT_RAW, filters=[only])


def lzo_of(data):
    made, size, out = ffi.new("jx_compressor **"), ffi.new("uint32_t *"), ffi.new("uint8_t[]", len(data))
    assert lib.jx_compressor_new(made) == 0
    assert lib.jx_compress(made[0], lib.JX_USE_LZO, data, len(data), out, size) == lib.JX_COMPR_LZO
    lib.jx_compressor_free(made[0])
    return ffi.buffer(out, size[0])[:]


def listed(good, *other):
    """An eraseblock whose summary lists, in place of the first node, another one of the same length."""
    fake = bytearray(block(other[0], *good[1:], summary=range(len(good))))
    real = block(*good)
    end = fake.index(build(NodeType.SUMMARY, "little", totlen=44, cln_mkr=0, padded=0, marker_offset=0, entries=[])[:4])
    fake[:end] = real[:end]
    return bytes(fake)


def incompatible(content):
    """A block whose summary lists, in place of its first node, one of a type that stops every reader."""
    at = int.from_bytes(content[-8:-4], "little")
    raw = bytearray(content[at:])
    raw[32:34] = (0xE123).to_bytes(2, "little")
    raw[24:28] = medium_format.crc32(raw[32:]).to_bytes(4, "little")
    return content[:at] + bytes(raw)


FILE = (dirent(1, 1, b"f", 2), inode(2, 1, b"x"))
TEXT = b"text" * 25
LZMA, LZO = lzma_of(TEXT), lzo_of(TEXT)
ROOT = directory(1)
HOLE = {"compr": 1, "dsize": 4096}
NOISE = b"noise is no node" * 4
CONTAINER = build(NodeType.CONTAINER, "little", filling=dirent(1, 2, b"hidden", 9))

#: Blocks (a tuple of nodes is one block), the problems, the notes.
CASES = {
    "sound": ([FILE], [], []),
    "erased": ([], [], []),
    "root with a node": ([(ROOT, *FILE)], [], []),
    "obsolete nodes": ([(*FILE, obsolete(flipped(inode(2, 2, b"x"))), obsolete(dirent(1, 2, b"g", 9)))], [], []),
    "replaced, deleted": (
        [(*FILE, inode(2, 2, b"y"), dirent(1, 2, b"g", 3), inode(3, 1), dirent(1, 3, b"g", 0))],
        [],
        ["unreachable-inode", "stale-name"],
    ),
    "equal copies": ([FILE, FILE], [], []),
    "a hole copied with other metadata": (
        [(FILE[0], inode(2, 1, size=4096, **HOLE)), (inode(2, 1, size=4096, mtime=7, **HOLE),)],
        [],
        [],
    ),
    "a collected older piece behind a newer one": (
        [(FILE[0], inode(2, 3, b"b" * 10, offset=4096), inode(2, 2, b"a" * 4096, size=4106))],
        [],
        [],
    ),
    "zeros are silent": ([(*FILE, bytes(64))], [], []),
    # ---- eraseblocks
    "noise": ([(*FILE, NOISE)], ["noise"], []),
    "unknown": ([(*FILE, build(0x6123, "little"), build(0x2123, "little"))], [], ["unknown-node", "unknown-node"]),
    "INCOMPAT": ([(*FILE, build(0xE123, "little"))], ["no-mount"], []),
    "ROCOMPAT": ([(*FILE, build(0xA123, "little"))], ["read-only"], []),
    "hidden": ([FILE, b"\xff" * 1024 + inode(5, 1).ljust(ERASE - 1024, b"\xff")], ["hidden-node"], []),
    "staged": ([FILE, block(tag(1, 7), inode(9, 1), start=b"")], ["unfinished"], ["unreachable-inode"]),
    # ---- nodes
    "header": ([(*FILE, flipped(inode(3, 1), 9))], ["bad-header"], []),
    "totlen 0": ([(*FILE, build(0x2123, "little", totlen=0))], ["bad-header"], []),
    "totlen 0xfffffff0": ([(*FILE, build(NodeType.INODE & 0xFFFF, "little", **dict.fromkeys(
        ("ino", "version", "mode", "uid", "gid", "isize", "atime", "mtime", "ctime", "offset", "dsize"), 1
    ), compr=0, data=b"", totlen=0xFFFFFFF0))], ["no-mount", "bad-header"], []),
    "node": ([(*FILE, flipped(inode(3, 1), 30))], ["bad-node"], []),
    "dirent node": ([(*FILE, flipped(dirent(1, 5, b"g", 3), 20))], ["bad-node"], []),
    "xattr node": ([(*FILE, flipped(xattr(1), 13))], ["bad-node"], []),
    "xref node": ([(*FILE, flipped(xref(2, 1), 13))], ["bad-node"], []),
    "length": ([(*FILE, inode(3, 1, b"data", totlen=80))], ["bad-length"], []),
    "name": ([(*FILE, flipped(dirent(1, 5, b"g", 3)))], ["bad-name"], []),
    "data": ([(FILE[0], flipped(FILE[1]))], ["bad-data", "no-inode"], []),
    "newest data": ([(*FILE, flipped(inode(2, 2, b"y")))], ["bad-data"], []),
    "older data": ([(FILE[0], flipped(inode(2, 1, b"x")), inode(2, 2, b"y"))], ["stale-bad-data"], []),
    "older data that shows": (
        [(FILE[0], flipped(inode(2, 1, b"xyz")), inode(2, 2, b"y", size=3))],
        ["bad-data", "short-file"],
        [],
    ),
    "data of nobody": ([(*FILE, flipped(inode(9, 1, b"x")))], ["stale-bad-data"], ["unreachable-inode"]),
    "crosses": ([(FILE[0], inode(2, 1, b"x" * 4000), inode(2, 2, b"y" * 200, offset=4000))], ["crosses-page"], []),
    "long": ([(FILE[0], inode(2, 1, b"x" * 8192))], ["crosses-page"], []),
    "a long hole": ([(FILE[0], inode(2, 1, size=1 << 20, compr=1, dsize=1 << 20))], [], []),
    # ---- versions
    "one version, two contents": ([(*FILE, inode(2, 1, b"y"))], ["same-version"], []),
    "one version, two inodes": ([(*FILE, dirent(1, 1, b"f", 3), inode(3, 1))], ["same-version"], ["unreachable-inode"]),
    "an older name behind": (
        [(inode(2, 1), inode(3, 1), dirent(1, 5, b"f", 2), dirent(1, 4, b"f", 3))],
        ["version-order"],
        ["unreachable-inode", "stale-name"],
    ),
    "older data behind": ([(FILE[0], inode(2, 2, b"y"), inode(2, 1, b"x"))], ["version-order"], []),
    "a high version": ([(dirent(1, 1 << 31, b"f", 2), FILE[1])], ["high-number"], []),
    # ---- names
    "lost": ([(dirent(1, 1, b"f", 2),)], ["lost-name"], []),
    "lost, of nobody": ([(inode(7, 1, mode=0o40755), dirent(7, 2, b"f", 9))], [], ["unreachable-inode"]),
    "dot dot": ([(dirent(1, 1, b"..", 2), FILE[1])], ["impossible-name"], []),
    "slash": ([(dirent(1, 1, b"../up", 2), FILE[1])], ["impossible-name"], []),
    "255 bytes": ([(dirent(1, 1, b"n" * 255, 2), FILE[1])], ["impossible-name"], []),
    "nul": (
        [(dirent(1, 1, b"f\0g", 2), FILE[1])],
        ["nul-name"],
        ["unreachable-inode"],
    ),
    "replaced": ([(*FILE, inode(3, 1), dirent(1, 7, b"f", 3))], [], ["unreachable-inode", "stale-name"]),
    "forgotten, once settled by format 1": (
        [(*FILE, obsolete(dirent(1, 2, b"g", 2))), block(dirent(1, 8, b"h", 2), start=tag(3, 1, format=1))],
        [],
        [],
    ),
    "forgotten": (
        [(FILE[1], FILE[0], obsolete(dirent(1, 2, b"g", 2))),
         block(dirent(1, 8, b"h", 2), tag(3, 1, format=1), start=tag(2, 1, format=1))],
        ["forgotten-name", "forgotten-name"],
        [],
    ),
    "forgotten, as a kernel without summary support does": (
        [(FILE[1], FILE[0], obsolete(dirent(1, 2, b"g", 2)))],
        [],
        [],
    ),
    "loop": (
        [(dirent(1, 1, b"d", 2, type=DIR), directory(2), dirent(2, 2, b"e", 3, type=DIR), directory(3),
          dirent(3, 2, b"up", 2, type=DIR))],
        ["directory-loop"],
        [],
    ),
    "the root in itself": ([(ROOT, dirent(1, 2, b"d", 1, type=DIR))], ["directory-loop"], []),
    "two names of a directory": (
        [(dirent(1, 1, b"d", 2, type=DIR), dirent(1, 2, b"e", 2, type=DIR), directory(2))],
        ["hard-linked-directory"],
        [],
    ),
    "type": ([(dirent(1, 1, b"f", 2, type=DIR), FILE[1])], ["wrong-type"], []),
    "below a file": ([(*FILE, dirent(2, 2, b"g", 3), inode(3, 1))], ["stray-name", "kept-orphan"], []),
    "unreached loop": (
        [(*FILE, directory(3), dirent(3, 2, b"a", 4, type=DIR), directory(4), dirent(4, 2, b"b", 3, type=DIR),
          dirent(4, 3, b"f", 5), inode(5, 1), directory(6), dirent(6, 2, b"z", 7, type=DIR), directory(7))],
        ["kept-orphan"] * 3,
        ["unreachable-inode"] * 2,
    ),
    # ---- inodes
    "only names": (
        [(dirent(1, 1, b"d", 2, type=DIR), dirent(2, 1, b"f", 3), inode(3, 1))],
        ["faked-directory"],
        [],
    ),
    "short": ([(FILE[0], inode(2, 1, b"x", size=9))], ["short-file"], []),
    "gap": ([(FILE[0], inode(2, 1, b"x", offset=4096))], ["missing-data"], []),
    "not zlib": ([(FILE[0], inode(2, 1, b"no zlib", compr=6, dsize=9, size=9))], ["undecodable"], []),
    "lzma": ([(FILE[0], inode(2, 1, LZMA, compr=8, dsize=100, size=100))], ["vendor-compression"], []),
    "lzma with properties": (
        [(FILE[0], inode(2, 1, b"\0\0\x20\0\0" + LZMA, compr=0x15, dsize=100, size=100))],
        ["vendor-compression"],
        [],
    ),
    "lzo": ([(FILE[0], inode(2, 1, LZO, compr=7, dsize=100, size=100))], [], ["optional-compression"]),
    "unknown method": ([(FILE[0], inode(2, 1, b"what", compr=0x77, dsize=9, size=9))], ["undecodable"], []),
    "link": ([(dirent(1, 1, b"l", 2, type=LINK), inode(2, 1, b"to", mode=S_IFLNK))], [], []),
    "link with later metadata": (
        [(dirent(1, 1, b"l", 2, type=LINK), inode(2, 1, b"to", mode=S_IFLNK), inode(2, 2, mode=S_IFLNK, size=2))],
        ["bad-symlink"],
        [],
    ),
    "long link": (
        [(dirent(1, 1, b"l", 2, type=LINK), inode(2, 1, b"t" * 255, mode=S_IFLNK))],
        ["bad-symlink"],
        [],
    ),
    "link with a NUL": ([(dirent(1, 1, b"l", 2, type=LINK), inode(2, 1, b"t\0o", mode=S_IFLNK))], ["bad-symlink"], []),
    "compressed link": (
        [(dirent(1, 1, b"l", 2, type=LINK), inode(2, 1, b"to", mode=S_IFLNK, compr=6))],
        ["bad-symlink"],
        [],
    ),
    "device": ([(dirent(1, 1, b"c", 2, type=CHAR), inode(2, 1, b"\3\1", mode=S_IFCHR))], [], []),
    "device of 3 bytes": (
        [(dirent(1, 1, b"c", 2, type=CHAR), inode(2, 1, b"\3\1\0", mode=S_IFCHR))],
        ["bad-device"],
        [],
    ),
    "device without a number": ([(dirent(1, 1, b"c", 2, type=CHAR), inode(2, 1, mode=S_IFCHR))], ["bad-device"], []),
    "no type": ([(dirent(1, 1, b"f", 2, type=0), inode(2, 1, mode=0o644))], ["bad-mode"], []),
    "the root is a file": ([(inode(1, 1, b"x"), *FILE)], ["no-mount", "stray-name", "kept-orphan"], []),
    # ---- extended attributes
    "attribute": ([(*FILE, xattr(1), xref(2, 1))], [], []),
    "bad attribute": ([(*FILE, flipped(xattr(1, value=b"value"), 38), xref(2, 1))], ["bad-attribute"], []),
    "odd prefix": ([(*FILE, xattr(1, prefix=77), xref(2, 1))], ["bad-attribute"], []),
    "no ACL": ([(*FILE, xattr(1, name=b"", prefix=3), xref(2, 1))], ["bad-attribute"], []),
    "dangling": ([(*FILE, xref(2, 1))], ["lost-attribute"], []),
    "deleted attribute": ([(*FILE, xref(2, 1), xref(2, 1, seq=5))], [], []),
    "attribute of nobody": ([(*FILE, xattr(1), xref(9, 1))], [], ["orphan-attribute"] * 2),
    "bad attribute of nobody": (
        [(*FILE, flipped(xattr(1, value=b"value"), 38))],
        ["stale-bad-data"],
        ["orphan-attribute"],
    ),
    # ---- summaries
    "summary": ([block(*FILE, summary=[0, 1])], [], []),
    "full without": (
        [block(*FILE, summary=[0, 1]), (inode(3, 1, b"z" * 4000), *[dirent(1, 9 + i, b"%d" % i, 3) for i in range(10)],
         *[inode(3, 2 + i, b"z" * 3900, size=4000) for i in range(2)], inode(3, 7, b"y" * 3500, size=4000))],
        [],
        ["no-summary"],
    ),
    "summary damaged": ([flipped(block(*FILE, summary=[0, 1]), -20)], ["bad-summary"], []),
    "listed name of NUL": (
        [block(*FILE, dirent(1, 2, b"\0", 2), summary=[0, 1, 2])],
        ["no-mount", "bad-name"],
        [],
    ),
    "listed name with a NUL": ([block(*FILE, dirent(1, 2, b"g\0h", 2), summary=[0, 1, 2])], ["nul-name"], []),
    "listed INCOMPAT": ([incompatible(block(*FILE, summary=[0, 1]))], ["no-mount", "bad-summary"], []),
    "left out": ([block(*FILE, dirent(1, 2, b"g", 2), summary=[0, 1])], ["unlisted-node"], []),
    "another name": ([listed(FILE, dirent(1, 1, b"g", 2))], ["summary-entry"], []),
    "another version": ([listed(FILE, dirent(1, 3, b"f", 2))], ["summary-entry"], []),
    "nothing there": (
        [block(*FILE, inode(5, 1), summary=[0, 1, 2]).replace(inode(5, 1), b"\0" * 68)],
        ["summary-entry"],
        [],
    ),
}  # fmt: skip


def blocks_of(case):
    return [block(*one) if isinstance(one, tuple) else one for one in case[0]]


@pytest.mark.parametrize("name", CASES)
def test_findings(name):
    _, problems, notes = CASES[name]
    seen = found(image_of(*blocks_of(CASES[name])))
    assert (sorted(seen[0]), sorted(seen[1])) == (sorted(problems), sorted(notes))


def test_bad_blocks_and_pages():
    assert found(image_of(block(*FILE), geometry=NAND, bad=5 * ERASE)) == ([], ["bad-block"])
    assert found(image_of(block(*FILE, start=b""), geometry=NAND, spoil=4096)) == (["unreadable-page"], [])


def test_every_kind_has_its_case():
    cases = Counter(kind for _, problems, notes in CASES.values() for kind in (*problems, *notes))
    elsewhere = {"bad-block", "unreadable-page", "unreadable"}  # the last is what no other kind explains
    assert {kind.name for kind in KINDS} == cases.keys() | elsewhere
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_a_finding_says_where_and_what():
    with image_of(*blocks_of(CASES["older data"])) as image:
        facts = ops.check(image, progress=None)
    (finding,) = facts["problems"]
    assert finding == {
        "kind": "stale-bad-data",
        "severity": "warning",
        "offset": 12 + 44,
        "path": "/f",
        "inode": 2,
        "text": "data that nothing shows fail their CRC: bytes 0 to 1 of inode 2, version 1",
        "kernel": "drops the node (check_tn_node), which changes nothing",
        "remedy": finding["remedy"],
    }
    assert {key: facts[key] for key in ("names", "inodes", "transaction")} == {
        "names": 2,
        "inodes": 2,
        "transaction": "none",
    }


def test_paths_of_findings_are_whole_and_escaped():
    nodes = [directory(2), dirent(1, 1, b"d\x1b[2J", 2, type=DIR), dirent(2, 2, b"a b", 3), flipped(inode(3, 1, b"x"))]
    with image_of(block(*nodes)) as image:
        finding = ops.check(image, progress=None)["problems"][0]
    assert finding["path"] == "/d\\033[2J/a\\040b"


def test_documentation_has_every_kind():
    paragraphs = [" ".join(part.split()) for part in (README.parent / "docs/CHECK.md").read_text().split("\n\n")]
    wanted = [
        f"**`{kind.name}`**, {kind.severity}: {kind.title}. The kernel {kind.kernel}. To do: {kind.remedy}."
        for kind in KINDS
    ]
    assert [part for part in paragraphs if part.startswith("**`")] == wanted


# ---- sound media -----------------------------------------------------------------------------------------------------


@needs_mkfs
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_mkfs_makes_is_clean(made, flavour):
    seen = []
    with open_image(made(flavour), **FLAVOURS[flavour][2]) as image:
        facts = ops.check(image, progress=lambda *progress: seen.append(progress))
    assert (facts["problems"], facts["notes"]) == ([], [])
    assert facts["names"] == facts["inodes"] + 1  # one hard link
    assert seen[-1][1] == seen[-1][2] > 0


VERSIONS = [
    {b"d": None, b"d/a": b"one" * 3000, b"d/b": b"same", **{b"d/%d" % n: b"x" * 700 for n in range(60)}},
    {b"d": None, b"d/a": b"two" * 3500, b"d/b": b"same", **{b"d/%d" % n: b"y" * 900 for n in range(30, 90)}},
    {
        b"d": None,
        b"d/e": None,
        b"d/e/a": b"two" * 3500,
        b"d/b": b"other",
        **{b"d/%d" % n: b"y" * 900 for n in range(80)},
    },
]


@pytest.mark.parametrize("summary", [False, True])
@pytest.mark.parametrize(
    ("geometry", "strategy"), [(NOR, "swap"), (NOR, "flip"), (NAND, "swap"), (NAND, "seal"), (NAND, "lift")]
)
def test_what_upgrades_leave_is_clean(geometry, strategy, summary):
    """Three versions, one after the other."""
    with filesystem(geometry, VERSIONS[0], summary=summary) as flash:
        for files in (*VERSIONS[1:], VERSIONS[0]):
            manifest, content = entries(files)
            apply_upgrade(flash, wanted_tree(manifest), content, readers=LINUX_SUMMARY, strategy=strategy)
            image = Image("upgraded", flash, "little", [], ExitStack())
            facts = ops.check(image, progress=None)
            assert facts["problems"] == []
            assert {note["kind"] for note in facts["notes"]} <= {"unreachable-inode", "no-summary", "stale-name"}


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def file_of(tmp_path):
    def write(name):
        path = tmp_path / "image"
        path.write_bytes(b"".join(blocks_of(CASES[name])).ljust(5 * ERASE, b"\xff"))
        return [str(path), "--erase-size", "16k", "--quiet"]

    return write


def test_status_of_the_command(file_of, tmp_path, capsys):
    assert main(["check", *file_of("sound")]) == 0
    assert main(["check", *file_of("unknown")]) == 0  # notes are no problem
    assert main(["check", *file_of("noise")]) == 1
    (tmp_path / "image").write_bytes(b"hsqs" + os.urandom(60_000))
    assert main(["check", str(tmp_path / "image")]) == 3
    (tmp_path / "image").write_bytes(b"")
    assert main(["check", str(tmp_path / "image")]) == 3
    assert main(["check", str(tmp_path / "none")]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_the_table_is_grouped_and_bounded(tmp_path, capsys):
    bad = [flipped(inode(9, version, b"x")) for version in range(1, 30)]
    path = tmp_path / "image"
    path.write_bytes(block(*FILE, *bad) + block() * 4)
    arguments = ["check", str(path), "--erase-size", "16k", "--quiet"]
    assert main(arguments) == 1
    few = capsys.readouterr().out
    assert main([*arguments, "--all"]) == 1
    many = capsys.readouterr().out
    assert few.count("fail their CRC: bytes") == 5 and many.count("fail their CRC: bytes") == 29
    assert few.count("kernel: ") == 1 and "… and 24 more (--all shows them)" in few
    assert "notes               1 unreachable-inode" in few and "no name reaches inode 9" not in few
    assert "no name reaches inode 9" in many
    assert main([*arguments, "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 29


def test_no_escape_reaches_the_terminal(tmp_path, capsys):
    name = b"\x1b[2J\x9b\xe2\x80\xae[red]"
    nodes = [dirent(1, 1, name, 2), flipped(inode(2, 1, b"x")), dirent(1, 2, name + b"/", 2)]
    path = tmp_path / "image"
    path.write_bytes(block(*nodes) + block() * 4)
    main(["check", str(path), "--erase-size", "16k", "--all"])
    out = capsys.readouterr().out
    assert "\\x1b[2J\\x9b\\u202e[red]" in out
    assert all(char == "\n" or char.isprintable() for char in out)


# ---- whatever stands there -------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=4))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_told_or_refused(changes):
    content = bytearray(SAMPLE)
    for at, value in changes:
        content[at] = value
    with image_of(bytes(content)) as image, suppress(FormatError):
        json.dumps(ops.check(image, progress=None))


SAMPLE = block(
    dirent(1, 1, b"d", 2, type=DIR),
    directory(2),
    dirent(2, 2, b"f", 3),
    inode(3, 1, b"content" * 9),
    dirent(1, 2, b"l", 4, type=LINK),
    inode(4, 1, b"d/f", mode=S_IFLNK),
    dirent(1, 3, b"c", 5, type=CHAR),
    inode(5, 1, b"\3\1", mode=S_IFCHR),
    xattr(1),
    xref(3, 1),
    summary=[0, 1, 2, 3, 4, 5, 6, 7],
)
"""A block whose summary does not tell of the attribute."""


def test_every_bit_of_a_field_with_its_crc_mended():
    """Fields of a node that a reader trusts once the CRCs hold."""
    for node in (dirent(1, 1, b"f", 2), inode(2, 1, b"x"), xattr(1), xref(2, 1)):
        parsed = medium_format.parse(node, "little")
        kind = parsed.fields.nodetype
        fields = {
            name: value
            for name, value in parsed.fields.items()
            if not name.startswith("_") and not name.endswith("_crc") and name not in ("magic", "nodetype", "totlen")
        }
        for name, value in fields.items():
            if not isinstance(value, int):
                continue
            bits = 8 if name in ("nsize", "type", "name_len", "xprefix", "compr", "usercompr") else 16
            for changed in {0, (1 << bits) - 1, value + 1, *(value ^ 1 << bit for bit in range(bits))}:
                if not 0 <= changed < 1 << bits:
                    continue
                try:
                    hostile = build(kind, "little", **(fields | {name: changed}))
                except Jffs2txError:
                    continue  # a length that the builder takes from the thing itself
                with image_of(block(*FILE, xattr(1), xref(2, 1), hostile)) as image:
                    json.dumps(ops.check(image, progress=None))


def chain(depth):
    """So many directories, one in the other."""
    nodes = []
    for ino in range(2, depth + 2):
        nodes += [dirent(ino - 1, 2, b"d", ino, type=DIR), directory(ino)]
    return nodes


def in_blocks(nodes):
    """Nodes spread over as many eraseblocks as they take."""
    blocks, content = [], CLEANMARKER
    for node in nodes:
        node += b"\xff" * (-len(node) % 4)
        if len(content) + len(node) > ERASE:
            blocks.append(content.ljust(ERASE, b"\xff"))
            content = CLEANMARKER
        content += node
    return [*blocks, content.ljust(ERASE, b"\xff")]


def bytes_read(nodes):
    """By a check, for each byte of the medium."""
    blocks = in_blocks(nodes)
    size = ERASE * len(blocks)
    with image_of(*blocks, geometry=Geometry("nor", size, ERASE)) as image:
        ops.check(image, progress=None)
        return image.flash.stats.bytes_read / size


HOSTILE = {
    "chain": chain,
    "one file in pieces": lambda n: [
        dirent(1, 1, b"f", 2),
        *(inode(2, v, b"x", offset=v % 4000, size=4096) for v in range(n)),
    ],
    "bad pieces below good ones": lambda n: [
        dirent(1, 1, b"f", 2),
        *(flipped(inode(2, v, b"x" * 3, offset=v % 4000, size=4096)) for v in range(1, n // 2)),
        *(inode(2, n + v, b"x", offset=v % 4000, size=4096) for v in range(n // 2)),
    ],
    "names of one directory": lambda n: [directory(2), *(dirent(1, 1 + v, b"%d" % v, 2, type=DIR) for v in range(n))],
    "one name again and again": lambda n: [inode(2, 1), *(dirent(1, n - v, b"f", 2) for v in range(n))],
    "one attribute of all": lambda n: [
        xattr(1),
        *(node for v in range(2, n // 2) for node in (dirent(1, v, b"%d" % v, v), inode(v, 1), xref(v, 1))),
    ],
    "names into nothing in the deep": lambda n: [
        *chain(n // 2),
        *(dirent(n // 2 + 1, 2 + v, b"%d" % v, 1 << 20) for v in range(n // 2)),
    ],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_cost_is_linear(name):
    """A medium that is four times as large is not read more often."""
    small, large = bytes_read(HOSTILE[name](200)), bytes_read(HOSTILE[name](800))
    assert large <= max(small, 4), (small, large)
