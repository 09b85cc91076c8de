"""Damage is never silent: what a kernel shows without an error and was not written is reported, and nothing else is."""

import io
import json
import random
import tarfile
from contextlib import ExitStack

import pytest

import jffs2tx
from jffs2tx import ops
from jffs2tx._ffi import lib
from jffs2tx.cli import main
from jffs2tx.damage import Reading
from jffs2tx.device import Flash
from jffs2tx.errors import Corrupt, Damaged, FormatError
from jffs2tx.filesystem import FileSystem
from jffs2tx.image import Image

from .corpus.expectation import all_expectations
from .corpus.judge import geometry
from .corpus.trees import seen_by_us
from .crafted import ERASE, NOR, block, directory, dirent, filesystem, inode
from .crashes import FAULTS, cases, record
from .test_check import LZMA, flipped, xattr, xref
from .test_check import TEXT as COMPRESSED

PAGE = 4096
TEXT = b"".join(b"%06d\n" % number for number in range(4000))
FILES = {b"data": TEXT, b"note": b"hello\n"}
LINK, CHAR, DIR = 10, 2, 4
HEAD = {lib.JX_NODE_INODE: 68, lib.JX_NODE_DIRENT: 40, lib.JX_NODE_XATTR: 32, lib.JX_NODE_XREF: 28}


# ---- a bit, a node, the end of the image -----------------------------------------------------------------------------


def nodes_of(fs):
    nodes = lib.jx_fs_nodes(fs.handle)
    return [nodes[i] for i in range(lib.jx_fs_node_count(fs.handle))]


def written():
    """An image of FILES, and the fourth node of /data: where it is, and how long."""
    with filesystem(NOR, FILES) as flash, FileSystem(flash) as fs:
        ino = fs.resolve("data")
        node = [n for n in nodes_of(fs) if n.nodetype == lib.JX_NODE_INODE and n.ino == ino][3]
        return bytearray(flash.read(0, NOR.size)), node.offset, node.totlen


def bit_flipped():
    image, offset, _ = written()
    image[offset + 70] ^= 1
    return image, [(3 * PAGE, PAGE)], TEXT[: 3 * PAGE] + bytes(PAGE) + TEXT[4 * PAGE :]


def node_zeroed():
    image, offset, length = written()
    image[offset : offset + length] = bytes(length)
    return image, [(3 * PAGE, PAGE)], TEXT[: 3 * PAGE] + bytes(PAGE) + TEXT[4 * PAGE :]


def end_missing():
    """The front is erased of what comes after: our writer names files last, so the names stay."""
    image, offset, _ = written()
    with filesystem(NOR, FILES) as flash, FileSystem(flash) as fs:
        ino = fs.resolve("data")
        gone = [n for n in nodes_of(fs) if n.nodetype == lib.JX_NODE_INODE and n.ino == ino and n.offset >= offset]
        for node in gone:
            image[node.offset : node.offset + node.totlen] = b"\xff" * node.totlen
    return image, [(3 * PAGE, len(TEXT) - 3 * PAGE)], TEXT[: 3 * PAGE]


CASES = {"flipped": bit_flipped, "zeroed": node_zeroed, "cut off": end_missing}


@pytest.fixture(params=CASES)
def damaged(request, tmp_path):
    """A file, the damaged ranges of /data, and what a kernel shows of it."""
    image, ranges, shown = CASES[request.param]()
    path = tmp_path / "image"
    path.write_bytes(image)
    return str(path), ranges, shown


GIVEN = ["--erase-size", str(ERASE)]


def ranges_of(facts):
    assert {fact["path"] for fact in facts if fact["length"]} == {"/data"}
    return [(fact["offset"], fact["length"]) for fact in facts if fact["length"]]


@pytest.mark.parametrize("mode", ["report", "strict", "as-kernel"])
def test_extract(damaged, tmp_path, capsys, mode):
    image, ranges, shown = damaged
    arguments = [] if mode == "report" else ["--" + mode]
    status = main(["extract", image, *GIVEN, "-q", "--json", "-o", str(tmp_path / "out"), *arguments])
    facts = json.loads(capsys.readouterr().out)
    assert status == (0 if mode == "as-kernel" else 1)
    assert (tmp_path / "out/note").read_bytes() == FILES[b"note"]
    if mode == "as-kernel":
        assert facts["damaged"] == []
    else:
        assert ranges_of(facts["damaged"]) == ranges
    if mode == "strict":
        assert not (tmp_path / "out/data").exists()
        assert [fact["path"] for fact in facts["unreadable"]] == ["/data"]
    else:
        assert (tmp_path / "out/data").read_bytes() == shown
        assert facts["unreadable"] == []


@pytest.mark.parametrize("mode", ["report", "strict", "as-kernel"])
def test_archive(damaged, tmp_path, capsys, mode):
    image, _, shown = damaged
    arguments = [] if mode == "report" else ["--" + mode]
    status = main(["extract", image, *GIVEN, "-q", "--tar", str(tmp_path / "out.tar"), *arguments])
    assert status == (0 if mode == "as-kernel" else 1)
    assert ("/data: bytes 12288 to " in capsys.readouterr().err) == (mode != "as-kernel")
    with tarfile.open(tmp_path / "out.tar") as tar:
        names = {member.name: member for member in tar}
        assert ("./data" in names) == (mode != "strict")
        if mode != "strict":
            assert tar.extractfile(names["./data"]).read() == shown


@pytest.mark.parametrize("mode", ["report", "strict", "as-kernel"])
def test_cat(damaged, capfdbinary, mode):
    image, _, shown = damaged
    arguments = [] if mode == "report" else ["--" + mode]
    assert main(["cat", image, "/data", *GIVEN, *arguments]) == (0 if mode == "as-kernel" else 1)
    out, err = capfdbinary.readouterr()
    assert out == (b"" if mode == "strict" else shown)
    assert (b"jffs2tx: /data: bytes 12288 to " in err) == (mode != "as-kernel")
    assert main(["cat", image, "/note", *GIVEN, *arguments]) == 0


def test_strict_and_as_kernel_exclude_each_other(damaged, capsys):
    assert main(["cat", damaged[0], "/data", "--strict", "--as-kernel"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_the_library(damaged):
    image, ranges, shown = damaged
    with jffs2tx.open(image, erase_size=ERASE) as fs:
        with pytest.raises(Damaged, match=r"^/data: bytes 12288 to ") as caught:
            fs.read("/data")
        assert [(one.offset, one.length) for one in caught.value.damage] == ranges
        assert caught.value.path == "/data"
        assert fs.read("/data", as_kernel=True) == shown
        assert fs.read("/note") == FILES[b"note"]
        assert [(one.path, one.offset, one.length) for one in fs.damage() if one.length] == [(b"data", *ranges[0])]
        assert list(fs.damage("/note")) == []


def test_ls_goes_on(damaged, capsys):
    image, ranges, _ = damaged
    assert main(["ls", "-R", image, *GIVEN]) == 1
    out, err = capsys.readouterr()
    assert out == "/data\n/note\n"
    assert "jffs2tx: /data: bytes 12288 to " in err
    assert main(["ls", image, *GIVEN, "--json"]) == 1
    *_, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert ranges_of(last["damaged"]) == ranges


def test_ls_of_an_inode_that_cannot_be_read(tmp_path, capsys):
    nodes = [dirent(1, 1, b"d", 2, type=DIR), directory(2), dirent(2, 1, b"bad", 3), flipped(inode(3, 1, b"x"))]
    path = tmp_path / "image"
    path.write_bytes(block(*nodes, dirent(2, 2, b"good", 4), inode(4, 1, b"y")) + block() * 5)
    assert main(["ls", "-R", str(path), *GIVEN]) == 1
    out, err = capsys.readouterr()
    assert out == "/d\n/d/good\n"
    assert "jffs2tx: /d/bad: " in err


# ---- one by one ------------------------------------------------------------------------------------------------------

FILE = [dirent(1, 1, b"f", 2), inode(2, 1, b"old data")]
AFTER = inode(2, 9, size=8)  # newer metadata: what comes before it was finished
OTHER = [dirent(1, 9, b"other", 9), inode(9, 1)]
SYMLINK, DEVICE = {"mode": 0o120777}, {"mode": 0o020644}


def damage(*nodes):
    with Flash.memory(NOR, block(*nodes)) as flash, FileSystem(flash) as fs:
        return [(one.path, one.offset, one.length) for one in fs.damage()]


def zeroed(node):
    return bytes(len(node))


def torn(node, length):
    return node[:length] + b"\xff" * (len(node) - length)


DAMAGED = {
    "newer data": ([*FILE, flipped(inode(2, 2, b"NEW", offset=2, size=8)), AFTER], [(b"f", 2, 3)]),
    "newest data": ([*FILE, flipped(inode(2, 2, b"new data and more"))], [(b"f", 0, 17)]),
    "newer node": ([*FILE, flipped(inode(2, 2, b"NEW", offset=2, size=8), 20), AFTER], [(b"f", 2, 3)]),
    "older data amid newer": (
        [
            dirent(1, 1, b"f", 2),
            inode(2, 1, b"a" * 12),
            flipped(inode(2, 2, b"b" * 12)),
            inode(2, 3, b"c" * 4, offset=4, size=12),
        ],
        [(b"f", 0, 4), (b"f", 8, 4)],
    ),
    "newest metadata": ([*FILE, flipped(inode(2, 2, size=8, mode=0o100600), 30), *OTHER], [(b"f", 0, 0)]),
    "a gap": ([dirent(1, 1, b"f", 2), inode(2, 1, b"b", offset=9)], [(b"f", 0, 9)]),
    "a size beyond the data": ([dirent(1, 1, b"f", 2), inode(2, 1, b"b", size=99)], [(b"f", 1, 98)]),
    "a size beyond every limit": (
        [dirent(1, 1, b"f", 2), inode(2, 1, b"b", size=0xFFFFFFFF)],
        [(b"f", 1, 0xFFFFFFFE)],
    ),
    "no zlib": ([dirent(1, 1, b"f", 2), inode(2, 1, b"no zlib", compr=6, dsize=50, size=50)], [(b"f", 0, 50)]),
    "symbolic link": (
        [dirent(1, 1, b"l", 2, type=LINK), inode(2, 1, b"old", **SYMLINK), flipped(inode(2, 2, b"new", **SYMLINK))],
        [(b"l", 0, 0)],
    ),
    "symbolic link without a target": (
        [dirent(1, 1, b"l", 2, type=LINK), flipped(inode(2, 1, b"old", **SYMLINK))],
        [(b"l", 0, 0)],
    ),
    "device": (
        [dirent(1, 1, b"c", 2, type=CHAR), inode(2, 1, b"\3\1", **DEVICE), flipped(inode(2, 2, b"\4\1", **DEVICE))],
        [(b"c", 0, 0)],
    ),
    "device without a number": (
        [dirent(1, 1, b"c", 2, type=CHAR), flipped(inode(2, 1, b"\3\1", **DEVICE)), dirent(1, 2, b"d", 0)],
        [(b"c", 0, 0)],
    ),
    "directory without a node": (
        [dirent(1, 1, b"d", 2, type=DIR), dirent(2, 1, b"f", 3), inode(3, 1)],
        [(b"d", 0, 0)],
    ),
    "attribute's value": ([*FILE, flipped(xattr(1), 34), xref(2, 1)], [(b"f", 0, 0)]),
    "attribute": ([*FILE, xref(2, 1)], [(b"f", 0, 0)]),
    "attribute's reference": ([*FILE, xattr(1), flipped(xref(2, 1), 20), AFTER], [(b"f", 0, 0)]),
    "name": ([*FILE, flipped(dirent(1, 2, b"name", 3)), inode(3, 1)], [(b"", 0, 0)]),
    "name of a node that fails its CRC": (
        [*FILE, flipped(dirent(1, 2, b"name", 3), 20), inode(3, 1)],
        [(b"name", 0, 0)],
    ),
    "newer name": ([*FILE, flipped(dirent(1, 2, b"f", 3)), inode(3, 1)], [(b"f", 0, 0)]),
    "deletion": ([*FILE, flipped(dirent(1, 2, b"f", 0), 25), AFTER], [(b"f", 0, 0)]),
    "name without an inode": ([*FILE, dirent(1, 2, b"g", 3)], [(b"g", 0, 0)]),
    "name that is gone": ([*FILE, zeroed(dirent(1, 2, b"name", 3)), inode(3, 1)], [(None, 0, 0)]),
    "name with a bad header": ([*FILE, flipped(dirent(1, 2, b"name", 3), 5), inode(3, 1)], [(None, 0, 0)]),
}

SOUND = {
    "whole": FILE,
    "stale data": [dirent(1, 1, b"f", 2), flipped(inode(2, 1, b"old data")), inode(2, 2, b"new data")],
    "data cut off": [*FILE, flipped(inode(2, 2, b"and more", offset=8)), inode(2, 3, size=8)],
    "a hole": [dirent(1, 1, b"f", 2), inode(2, 1, size=9, compr=1, dsize=9), inode(2, 2, b"b", offset=9)],
    "interrupted write": [*FILE, torn(inode(2, 2, b"new data and more"), 72)],
    "interrupted write, and the log goes on": [*FILE, torn(inode(2, 2, b"new data and more"), 72), AFTER],
    "interrupted name": [*FILE, inode(3, 1), torn(dirent(1, 2, b"name", 3), 41)],
    "interrupted header": [*FILE, inode(2, 2, b"new data")[:8], AFTER],
    "superseded name": [dirent(1, 2, b"name", 2), flipped(dirent(1, 1, b"name", 3)), inode(2, 1)],
    "superseded node of a name": [dirent(1, 2, b"name", 2), flipped(dirent(1, 1, b"name", 3), 20), inode(2, 1)],
    "deleted": [*FILE, dirent(1, 2, b"g", 3), inode(3, 1), dirent(1, 3, b"g", 0)],
    "deleted directory": [*FILE, flipped(dirent(7, 1, b"name", 3)), inode(3, 1), dirent(1, 3, b"g", 0)],
    "copy of a name": [*FILE, flipped(dirent(1, 1, b"f", 2))],
    "attribute taken away": [*FILE, xref(2, 1, 2), xref(2, 1, 5)],
    "zeros at the end": [*FILE, bytes(64)],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_found(name):
    nodes, expected = DAMAGED[name]
    assert damage(*nodes) == expected


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_is_not_reported(name):
    assert damage(*SOUND[name]) == []


def test_lost_names_go_with_their_directory():
    nodes = [dirent(1, 1, b"d", 2, type=DIR), directory(2), dirent(2, 1, b"gone", 9), dirent(1, 2, b"lost", 8)]
    with Flash.memory(NOR, block(*nodes)) as flash, FileSystem(flash) as fs:
        assert [one.path for one in fs.damage("/d")] == [b"d/gone"]
        assert [one.path for one in fs.damage()] == [b"lost", b"d/gone"]
        with Image("crafted", flash, "little", [], ExitStack()) as image, pytest.raises(Damaged) as caught:
            list(ops.ls(image, path=b"", recursive=False))
        assert [one.path for one in caught.value.damage] == [b"lost"]


def test_a_damaged_attribute_is_left_out_and_the_file_comes():
    with Flash.memory(NOR, block(*FILE, flipped(xattr(1), 34), xref(2, 1))) as flash:
        stream = io.BytesIO()
        facts = ops.archive(
            Image("crafted", flash, "little", [], ExitStack()), output=stream, reading=Reading.REPORT, progress=None
        )
        assert facts["unreadable"] == [] and [fact["path"] for fact in facts["damaged"]] == ["/f"]
        with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as tar:
            assert tar.extractfile("./f").read() == b"old data"


def test_links_devices_and_attributes_of_the_library(tmp_path):
    nodes = [*DAMAGED["symbolic link"][0], dirent(1, 2, b"f", 5), inode(5, 1), flipped(xattr(1), 34), xref(5, 1)]
    path = tmp_path / "image"
    path.write_bytes(block(*nodes) + block() * 5)
    with jffs2tx.open(str(path), erase_size=ERASE) as fs:
        with pytest.raises(Damaged):
            fs.readlink("/l")
        assert fs.readlink("/l", as_kernel=True) == b"old"
        with pytest.raises(Corrupt):
            fs.xattrs("/f")
        assert fs.xattrs("/f", as_kernel=True) == {}


# ---- of every node ---------------------------------------------------------------------------------------------------


def changes(node):
    """Ways to damage a node: what to change, and what to."""
    at, head = node.offset, HEAD[node.nodetype]
    yield "zeroed", slice(at, at + node.totlen), bytes(node.totlen)
    for place in {5, 14, 20, 28 if head > 28 else 20, head if node.totlen > head else 14, node.totlen - 1}:
        yield f"bit at {place}", slice(at + place, at + place + 1), None


def is_last(image, geo, node):
    """Only erased flash comes after its page in its eraseblock: nothing tells it from an interrupted write."""
    end = node.offset + node.totlen
    end += -end % max(geo.write_size, 4)
    return not image[end : end + -end % geo.erase_size].strip(b"\xff")


def is_alone(nodes, geo, node):
    """Without it nothing in its eraseblock is needed: nothing tells that from a block that was being erased."""
    return not any(
        n.needed and n.offset != node.offset and n.offset // geo.erase_size == node.offset // geo.erase_size
        for n in nodes
    )


def is_listed_reference(fs, node):
    """An xref that its summary lists: the entry says neither inode nor attribute."""
    return node.nodetype == lib.JX_NODE_XREF and fs.has_summaries


SAMPLE = ("mkfs", "mkfs-summary", "mkfs-nand", "kernel-nor", "kernel-nand-big", "kernel-nosummary")


@pytest.mark.parametrize("name", SAMPLE)
def test_no_damaged_node_is_silent(name):
    """Where the tree that shows is not the one that was written, there is a report."""
    expected = next(one for one in all_expectations() if one.name == name)
    geo = geometry(expected.chip)
    image = expected.image().ljust(geo.size, b"\xff")
    with Flash.memory(geo, image) as flash, FileSystem(flash, endian=expected.order) as fs:
        tree, nodes = seen_by_us(fs), nodes_of(fs)
        chosen = [n for n in nodes if n.nodetype in HEAD and n.verdict == lib.JX_V_GOOD and n.needed]
        found = 0
        for node in random.Random(name).sample(chosen, min(20, len(chosen))):
            for how, place, value in changes(node):
                changed = bytearray(image)
                changed[place] = value or bytes([changed[place.start] ^ 0x10])
                silent = _is_silent(geo, changed, expected.order, tree)
                found += silent is False
                excused = is_last(image, geo, node) or is_alone(nodes, geo, node) or is_listed_reference(fs, node)
                assert not silent or excused, f"{how} of the node at {node.offset:#x}"
        assert found > 20


def _is_silent(geo, image, order, tree):
    """None: the tree is the same, or nothing can be read."""
    with Flash.memory(geo, bytes(image)) as flash:
        try:
            fs = FileSystem(flash, endian=order)
        except FormatError:
            return None
        with fs:
            return None if seen_by_us(fs) == tree else not any(True for _ in fs.damage())


WHOLE = [one.name for one in all_expectations() if one.name.startswith(("mkfs", "kernel"))]


@pytest.mark.parametrize("name", WHOLE)
def test_what_mkfs_and_kernels_write_is_sound(name):
    """Aged by the kernel's collector too, and cut in the middle of its work."""
    expected = next(one for one in all_expectations() if one.name == name)
    flash = Flash.memory(geometry(expected.chip), expected.image())
    with flash, FileSystem(flash, endian=expected.order) as fs:
        assert [one.text for one in fs.damage()] == []


@pytest.mark.parametrize("case", [c for c in cases() if c.scenario in ("tight", "rename-dir")], ids=str)
def test_a_power_cut_is_no_damage(case):
    recording = record(case)
    rnd = random.Random(str(case))
    with Flash.memory(case.device) as flash:
        for _ in range(30):
            cut = rnd.randrange(recording.operations + 1)
            tear = rnd.randrange(recording.tears(cut, FAULTS))
            recording.build(cut, tear, flash, FAULTS)
            with FileSystem(flash, endian=case.endian) as fs:
                told = [one.text for one in fs.damage()]
            assert not told, f"{recording.describe(cut, tear, FAULTS)} (c{cut}.t{tear}): {told}"
    recording.close()


# ---- what a reader cannot decompress ---------------------------------------------------------------------------------


def lzma_medium():
    """Two files that OpenWrt's kernel wrote, and one that every kernel reads."""
    nodes = [dirent(1, 1, b"a", 2), inode(2, 1, LZMA, compr=8, dsize=100, size=100), *OTHER]
    return block(*nodes, dirent(1, 2, b"b", 3), inode(3, 1, LZMA, compr=8, dsize=100, size=100)) + block() * 9


@pytest.fixture
def planned(tmp_path, capsys):
    """The warnings of plan for a reader, on a tree of these files."""
    (tmp_path / "image").write_bytes(lzma_medium())
    (tmp_path / "new").mkdir()

    def plan(files, reader):
        for name, content in files.items():
            (tmp_path / "new" / name).write_bytes(content)
        new, manifest, image = (str(tmp_path / name) for name in ("new", "manifest", "image"))
        assert main(["manifest", new, "-o", manifest, "-q"]) == 0
        assert main(["plan", image, manifest, "--from", new, "--json", "--reader", reader, *GIVEN]) == 0
        return json.loads(capsys.readouterr().out)["warnings"]

    return plan


def test_plan_warns_of_what_its_reader_cannot_decompress(planned):
    whole = {"a": COMPRESSED, "b": COMPRESSED, "new": b"new"}
    both = "linux: not known to read lzma (0x08), by which /a and 1 other files are compressed"
    assert planned(whole, "linux") == [both]
    assert planned(whole | {"a": b"changed"}, "linux") == [both.replace("/a and 1 other files are", "/b is")]
    assert planned(dict.fromkeys("ab", b"changed"), "linux") == []


def test_check_names_the_readers(tmp_path, capsys):
    (tmp_path / "image").write_bytes(lzma_medium())
    assert main(["check", str(tmp_path / "image"), "-q", "--json", *GIVEN]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["problems"]
    assert (finding["kind"], finding["path"]) == ("vendor-compression", "/a")
    assert finding["text"].startswith("files compressed by lzma (0x08): 2; not known to read them: linux, ")
