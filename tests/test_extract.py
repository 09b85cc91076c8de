"""extract: everything comes out, and nothing gets out: to directories and archives, as root and without, from sound and
from hostile media.
"""

import io
import itertools
import json
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jffs2tx import ops
from jffs2tx.cli import main
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import Exists, Jffs2txError, NotADirectory
from jffs2tx.image import Image, open_image
from jffs2tx.manifest import Manifest
from jffs2tx.ops.extract import directory as extraction

from .crafted import ERASE, TIME, block, directory, dirent, inode
from .images import FLAVOURS, IS_ROOT, needs_mkfs, needs_root
from .images import TIME as TREE_TIME
from .test_check import SAMPLE, chain, flipped, in_blocks, xattr, xref

DIR, LINK, CHAR, BLOCK, FIFO, SOCKET = 4, 10, 2, 6, 1, 12
S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK = 0o120777, 0o020644, 0o060640, 0o010600, 0o140755
NOBODY = 65534


def image_of(*nodes, blocks=None):
    blocks = blocks or in_blocks(nodes)
    flash = Flash.memory(Geometry("nor", max(len(blocks), 4) * ERASE, ERASE), b"".join(blocks))
    return Image("crafted", flash, "little", [], ExitStack())


def extract(image, output, progress=None, max_bytes=None):
    return ops.extract(image, output=output, max_bytes=max_bytes, progress=progress)


def archived(image, max_bytes=None):
    """The archive, and what is told of it."""
    stream = io.BytesIO()
    facts = ops.archive(image, output=stream, max_bytes=max_bytes, progress=None)
    return stream.getvalue(), facts


def members(content):
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {member.name: member for member in tar}


def texts(facts, key="unreadable"):
    return [fact["text"] for fact in facts[key]]


def as_user(work, user=NOBODY):
    """What work() returns, as JSON, done in a child of ours by a user without rights; here where we are one."""
    if not IS_ROOT:
        return json.loads(json.dumps(work()))
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        answer = {"failure": "did not come to an end"}
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            answer = work()
        except BaseException as error:
            answer = {"failure": repr(error)}
        finally:
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        result = json.load(answer)
    os.waitpid(child, 0)
    return result


@pytest.fixture
def open_path():
    """A directory in which anybody may write. Not pytest's: that is closed anew whenever another run starts."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)
        subprocess.run(["chmod", "-R", "u+rwx", name], check=True)


# ---- whole trees -----------------------------------------------------------------------------------------------------


@needs_mkfs
@needs_root
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_source_comes_out_again(made, tree, tmp_path, flavour):
    seen = []
    with open_image(made(flavour), **FLAVOURS[flavour][2]) as image:
        facts = extract(image, tmp_path / "out", lambda *progress: seen.append(progress))
        content, told = archived(image)
    assert (facts["unreadable"], facts["omitted"], facts["summary"]) == ([], [], [])
    manifest = Manifest.from_directory(tree)
    assert Manifest.from_directory(tmp_path / "out").to_text() == manifest.to_text()
    assert facts["extracted"] == len(manifest)
    assert seen[-1][1] == seen[-1][2]
    # The archive, unpacked by GNU tar, is the same but for the socket.
    (tmp_path / "untarred").mkdir()
    subprocess.run(["tar", "-xp", "-C", tmp_path / "untarred"], input=content, check=True, capture_output=True)
    entries = [entry for entry in manifest if entry.type != "socket"]
    assert Manifest.from_directory(tmp_path / "untarred").entries == tuple(entries)
    assert (told["unreadable"], told["summary"]) == ([], ["a socket was left out: no archive can hold one"])
    assert told["extracted"] == len(entries)


@needs_mkfs
def test_archives_are_the_same_whenever_and_from_wherever(made):
    contents = set()
    for flavour in ("little", "big", "little", "summary"):
        with open_image(made(flavour), **FLAVOURS[flavour][2]) as image:
            contents.add(archived(image)[0])
    assert len(contents) == 1


@needs_mkfs
@needs_root
def test_without_root_what_can_be_done_is_done(made, open_path):
    out = open_path / "out"
    with open_image(made("little")) as image:
        facts = as_user(lambda: extract(image, out))
        kept = members(bytes.fromhex(as_user(lambda: archived(image)[0].hex())))
    assert facts["unreadable"] == []
    for sentence in (
        "a block device was not made: operation not permitted",
        "a character device was not made: operation not permitted",
        "a directory kept your owner: operation not permitted (6 times)",
    ):
        assert sentence in facts["summary"]
    assert len(facts["omitted"]) > len(facts["summary"])
    assert ("/null", facts["summary"][1]) in {(fact["path"], fact["reason"]) for fact in facts["omitted"]}
    assert not (out / "null").exists()
    assert stat.S_ISFIFO(os.lstat(out / "fifo").st_mode) and stat.S_ISSOCK(os.lstat(out / "socket").st_mode)
    assert stat.S_IMODE(os.stat(out / "bin/text").st_mode) == 0o755  # not set-id for nobody
    assert (out / "etc/passwd").samefile(out / "etc/deep/link")
    assert os.stat(out / "etc/passwd").st_mtime == os.stat(out / "etc").st_mtime == TREE_TIME
    assert (kept["./null"].type, kept["./bin/text"].mode) == (tarfile.CHRTYPE, 0o4755)
    assert (kept["./etc/deep/link"].uid, kept["./etc/deep/link"].gid) == (1000, 65535)


# ---- metadata --------------------------------------------------------------------------------------------------------


@needs_root
def test_owner_mode_time_and_numbers(tmp_path):
    nodes = [
        directory(1, mtime=5),
        dirent(1, 2, b"f", 2, mctime=0),
        inode(2, 1, b"x", mode=0o106755, uid=7, gid=8, mtime=4_000_000_000),
        dirent(1, 3, b"c", 3, type=CHAR, mctime=0),
        inode(3, 1, b"\3\1", mode=S_IFCHR, uid=9),
        dirent(1, 4, b"b", 4, type=BLOCK, mctime=0),
        inode(4, 1, (0x12345678).to_bytes(4, "little"), mode=S_IFBLK),
        dirent(1, 5, b"d", 5, type=DIR, mctime=0),
        inode(5, 1, mode=0o042555, gid=3, mtime=77),
        dirent(5, 2, b"in", 6, mctime=0),
        inode(6, 1, b"y", mode=0o100000),
        dirent(1, 6, b"l", 7, type=LINK, mctime=0),
        inode(7, 1, b"/etc", mode=S_IFLNK, uid=11, mtime=88),
        dirent(1, 7, b"p", 8, type=FIFO, mctime=0),
        inode(8, 1, mode=S_IFIFO, uid=12, mtime=99),
    ]
    with image_of(*nodes) as image:
        facts = extract(image, tmp_path / "out")
    assert (facts["unreadable"], facts["omitted"]) == ([], [])
    seen = {path.name: path.lstat() for path in (tmp_path / "out").rglob("*")}
    modes = {name: oct(st.st_mode) for name, st in seen.items()}
    assert modes == {
        "f": "0o106755",
        "c": "0o20644",
        "b": "0o60640",
        "d": "0o42555",
        "in": "0o100000",
        "l": "0o120777",
        "p": "0o10600",
    }
    owners = {name: (st.st_uid, st.st_gid) for name, st in seen.items()}
    assert (owners["f"], owners["c"], owners["d"], owners["l"], owners["p"]) == (
        (7, 8),
        (9, 0),
        (0, 3),
        (11, 0),
        (12, 0),
    )
    times = {name: st.st_mtime for name, st in seen.items()}
    assert times == {"f": 4_000_000_000, "c": TIME, "b": TIME, "d": 77, "in": TIME, "l": 88, "p": 99}
    assert (seen["c"].st_rdev, seen["b"].st_rdev) == (os.makedev(1, 3), os.makedev(0x456, 0x12378))
    assert (tmp_path / "out").stat().st_mtime == 5


ATTRIBUTES = [
    dirent(1, 1, b"l", 2, type=LINK),
    inode(2, 1, b"/nowhere", mode=S_IFLNK),
    dirent(1, 2, b"f", 3),
    inode(3, 1, b"x", mode=0o100444),
    xattr(1, b"on.link", b"1", prefix=5),
    xref(2, 1),
    xattr(2, b"on=file", b"\xff\0\n", prefix=5),
    xref(3, 2),
    xattr(3, b"plain", "ä".encode(), prefix=1),
    xref(3, 3),
]


@needs_root
def test_attributes(tmp_path):
    with image_of(*ATTRIBUTES) as image:
        facts = extract(image, tmp_path / "out")
    if facts["omitted"]:
        pytest.skip(f"the host's file system holds no such attributes: {facts['summary']}")
    assert os.getxattr(tmp_path / "out/l", "trusted.on.link", follow_symlinks=False) == b"1"
    assert os.getxattr(tmp_path / "out/f", "trusted.on=file") == b"\xff\0\n"
    assert os.getxattr(tmp_path / "out/f", "user.plain") == "ä".encode()


def test_attributes_in_an_archive():
    with image_of(*ATTRIBUTES) as image:
        found = members(archived(image)[0])
    assert found["./l"].pax_headers["SCHILY.xattr.trusted.on.link"] == "1"
    headers = {key: value.encode("utf-8", "surrogateescape") for key, value in found["./f"].pax_headers.items()}
    assert headers["SCHILY.xattr.trusted.on%3Dfile"] == b"\xff\0\n"
    assert headers["SCHILY.xattr.user.plain"] == "ä".encode()


@needs_root
def test_attributes_without_root_are_set_or_listed(open_path):
    with image_of(*ATTRIBUTES) as image:
        facts = as_user(lambda: extract(image, open_path / "out"))
    told = {(fact["path"], fact["reason"].split(":")[0]) for fact in facts["omitted"]}
    assert ("/f", "a file did not get trusted attributes") in told
    assert ("/l", "a symbolic link did not get trusted attributes") in told
    assert oct(os.stat(open_path / "out/f").st_mode) == "0o100444"


@needs_root
def test_without_root_a_closed_directory_is_filled_first(open_path):
    nodes = [
        dirent(1, 1, b"a", 2, type=DIR),
        inode(2, 1, mode=0o040000),
        dirent(2, 2, b"f", 3),
        inode(3, 1, b"x"),
        dirent(2, 3, b"deep", 4, type=DIR),
        inode(4, 1, mode=0o040500),
        dirent(4, 2, b"g", 5),
        inode(5, 1, b"y"),
        dirent(1, 2, b"z", 3),
    ]
    with image_of(*nodes) as image:
        facts = as_user(lambda: extract(image, open_path / "out"))
    assert (facts["extracted"], facts["unreadable"]) == (6, [])
    out = open_path / "out"
    assert [oct(os.stat(out / name).st_mode & 0o7777) for name in ("a", "a/deep")] == ["0o0", "0o500"]
    assert (out / "a/f").samefile(out / "z") and (out / "a/deep/g").read_bytes() == b"y"


# ---- holes and limits ------------------------------------------------------------------------------------------------

HUGE = 0xFFFFFFFF


def test_holes_stay_holes(tmp_path):
    nodes = [
        dirent(1, 1, b"f", 2),
        inode(2, 1, size=64 << 20, compr=1, dsize=64 << 20),
        inode(2, 2, b"middle", offset=32 << 20, size=64 << 20),
    ]
    with image_of(*nodes) as image:
        facts = extract(image, tmp_path / "out")
    assert facts["unreadable"] == []
    status = (tmp_path / "out/f").stat()
    assert status.st_size == 64 << 20 and status.st_blocks * 512 <= 1 << 20
    with (tmp_path / "out/f").open("rb") as file:
        file.seek(32 << 20)
        assert file.read(6) == b"middle"


def test_a_huge_hole_is_refused_and_the_rest_comes(tmp_path):
    nodes = [
        dirent(1, 1, b"a", 2),
        inode(2, 1, size=HUGE, compr=1, dsize=HUGE),
        dirent(1, 2, b"b", 3),
        inode(3, 1, b"small"),
        dirent(1, 3, b"c", 2),
    ]
    with image_of(*nodes) as image:
        facts = extract(image, tmp_path / "out")
        content, told = archived(image)
        everything = extract(image, tmp_path / "all", max_bytes=5 << 30)
    refused = [f"/{name}: is 4.0 GiB, and --max-bytes leaves 1.0 GiB; it is left out" for name in "ac"]
    assert texts(facts) == texts(told) == refused
    assert os.listdir(tmp_path / "out") == ["b"] and sorted(members(content)) == [".", "./b"]
    assert len(content) < 1 << 20
    assert everything["unreadable"] == [] and (tmp_path / "all/a").stat().st_size == HUGE


def test_the_limit_counts_all_files_once_and_attributes(tmp_path):
    nodes = [xattr(1, b"a", b"v" * 600)]
    for ino in range(2, 8):
        nodes += [dirent(1, 2 * ino, b"%d" % ino, ino), inode(ino, 1, b"x" * 500)]
    nodes += [dirent(1, 50, b"link", 2), xref(3, 1)]
    with image_of(*nodes) as image:
        facts = extract(image, tmp_path / "out", max_bytes=1600)
        _, told = archived(image, max_bytes=1600)
    assert sorted(os.listdir(tmp_path / "out")) == ["2", "3", "link"]
    assert texts(facts) == texts(told)
    assert [text.partition(":")[0] for text in texts(facts)] == ["/4", "/5", "/6", "/7"]


def test_one_bad_file_and_the_rest_comes(tmp_path, capsys):
    nodes = [
        dirent(1, 1, b"bad", 2),
        inode(2, 1, b"a" * 4096, size=5000),
        inode(2, 2, b"no zlib", offset=4096, size=5000, dsize=904, compr=6),
        dirent(1, 2, b"good", 3),
        inode(3, 1, b"good"),
        dirent(1, 3, b"same", 2),
        dirent(1, 4, b"worse\x1b[2J", 4),
        flipped(inode(4, 1, b"x")),
    ]
    with image_of(*nodes) as image:
        facts = extract(image, tmp_path / "out")
        content, told = archived(image)
    assert os.listdir(tmp_path / "out") == ["good"]
    assert [text.partition(": ")[0] for text in texts(facts)] == ["/bad", "/same", "/worse\\x1b[2J"]
    assert texts(told) == texts(facts) and sorted(members(content)) == [".", "./good"]
    path = tmp_path / "image"
    path.write_bytes(block(*nodes) + block() * 3)
    arguments = ["extract", str(path), "--erase-size", "16k", "-q"]
    assert main([*arguments, "-o", str(tmp_path / "again")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 3 and "\x1b" not in said
    assert main([*arguments, "--tar", str(tmp_path / "x.tar"), "--json"]) == 1
    assert [fact["path"] for fact in json.loads(capsys.readouterr().out)["unreadable"]][:2] == ["/bad", "/same"]
    assert (tmp_path / "x.tar").read_bytes() == content and not (tmp_path / "x.tar.part").exists()


# ---- where to --------------------------------------------------------------------------------------------------------


def test_into_an_empty_directory_only(tmp_path):
    with image_of(dirent(1, 1, b"f", 2), inode(2, 1, b"x")) as image:
        (tmp_path / "out").mkdir()
        (tmp_path / "link").symlink_to("out")
        extract(image, tmp_path / "link")
        assert (tmp_path / "out/f").read_bytes() == b"x"
        with pytest.raises(Exists, match="is not empty"):
            extract(image, tmp_path / "out")
        with pytest.raises(NotADirectory, match="is no directory"):
            extract(image, tmp_path / "out/f")
        with pytest.raises(FileNotFoundError):
            extract(image, tmp_path / "none/out")


def test_deep_trees(tmp_path, monkeypatch):
    with image_of(*chain(120)) as image:
        assert extract(image, tmp_path / "out")["extracted"] == 121
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr(extraction, "DEPTH_MAX", 30)
    with image_of(*chain(40)) as image:
        facts = extract(image, tmp_path / "out")
        content, told = archived(image)
    assert facts["extracted"] == 31 and "lies in more than 30 directories" in texts(facts)[0]
    assert len(facts["unreadable"]) == 1
    assert told["extracted"] == 41 == len(members(content))


def test_paths_too_long_for_any_program():
    nodes = []
    for ino in range(2, 30):
        nodes += [dirent(ino - 1, 2, b"d" * 200, ino, type=DIR), directory(ino)]
    with image_of(*nodes) as image:
        _, told = archived(image)
    assert told["extracted"] == 1 + 4095 // 201
    assert len(texts(told)) == 1 and "is a path of more than 4095 bytes" in texts(told)[0]


# ---- escapes ---------------------------------------------------------------------------------------------------------

FILE, VICTIM = inode(9, 1, b"escaped"), b"../../victim"
D = [dirent(1, 1, b"d", 2, type=DIR), directory(2)]
TO_VICTIM = inode(3, 1, VICTIM, mode=S_IFLNK)

HOSTILE = {
    "dot dot": [dirent(1, 1, b"..", 2, type=DIR), directory(2), dirent(2, 2, b"f", 9), FILE],
    "dot": [dirent(1, 1, b".", 2, type=DIR), directory(2), dirent(2, 2, b"f", 9), FILE],
    "climbing": [dirent(1, 1, b"../victim/f", 9), dirent(1, 2, b"d/../../victim/f", 9), FILE, *D],
    "absolute": [dirent(1, 1, b"/tmp/jffs2tx-escaped", 9), dirent(1, 2, b"//", 9), FILE],
    "slashes": [dirent(1, 1, b"/", 9), dirent(1, 2, b"a/", 9), dirent(1, 3, b"a//b", 9), FILE],
    "dot dot below": [*D, dirent(2, 2, b"..", 3, type=DIR), directory(3), dirent(3, 2, b"f", 9), FILE],
    "NUL": [dirent(1, 1, b"..\0x", 9), dirent(1, 2, b"d\0/../../victim/f", 9), FILE, *D],
    "below a link": [dirent(1, 1, b"l", 3, type=DIR), TO_VICTIM, dirent(3, 2, b"f", 9), FILE],
    "a link that says it is a directory": [
        dirent(1, 1, b"victim", 3, type=DIR),
        TO_VICTIM,
        dirent(1, 2, b"f", 9),
        FILE,
    ],
    "link, then directory of its name": [
        dirent(1, 1, b"x", 3, type=LINK),
        TO_VICTIM,
        dirent(1, 2, b"x", 2, type=DIR),
        directory(2),
        dirent(2, 2, b"f", 9),
        FILE,
    ],
    "directory, then link of its name": [
        dirent(1, 2, b"x", 2, type=DIR),
        directory(2),
        dirent(2, 2, b"f", 9),
        FILE,
        dirent(1, 3, b"x", 3, type=LINK),
        TO_VICTIM,
    ],
    "link and directory of one version": [
        dirent(1, 1, b"x", 3, type=LINK),
        TO_VICTIM,
        dirent(1, 1, b"x", 2, type=DIR),
        directory(2),
        dirent(2, 2, b"f", 9),
        FILE,
    ],
    "link and NUL name": [
        dirent(1, 1, b"x", 3, type=LINK),
        TO_VICTIM,
        dirent(1, 2, b"x\0y", 2, type=DIR),
        directory(2),
        dirent(2, 2, b"f", 9),
        FILE,
    ],
    "an inode that is link and directory": [
        dirent(1, 1, b"x", 3, type=LINK),
        TO_VICTIM,
        directory(3, 2),
        dirent(3, 3, b"f", 9),
        FILE,
    ],
    "hard links to a link": [dirent(1, n, b"%d" % n, 3, type=LINK) for n in range(1, 5)] + [TO_VICTIM],
    "metadata through a link": [
        dirent(1, 1, b"x", 3, type=CHAR),
        inode(3, 1, VICTIM, mode=S_IFLNK, uid=1, mtime=1),
        xattr(1),
        xref(3, 1),
    ],
    "loop": [*D, dirent(2, 2, b"up", 1, type=DIR), dirent(2, 3, b"me", 2, type=DIR), dirent(2, 4, b"f", 9), FILE],
    "two names of a directory": [*D, dirent(1, 2, b"e", 2, type=DIR), dirent(2, 2, b"f", 9), FILE],
    "huge": [dirent(1, 1, b"f", 2), inode(2, 1, size=HUGE, compr=1, dsize=HUGE), inode(2, 2, b"x", offset=HUGE - 9)],
    "huge plain": [dirent(1, 1, b"f", 2), inode(2, 1, b"x", dsize=HUGE, size=HUGE)],
    "empty link": [dirent(1, 1, b"l", 3, type=LINK), inode(3, 1, b"", mode=S_IFLNK)],
    "escapes": [dirent(1, 1, b"\x1b]0;owned\x07\x1b[2J", 9), dirent(1, 2, "\u202efdp.exe".encode(), 9), FILE],
    "long names": [dirent(1, 1, b"n" * 255, 9), dirent(1, 2, b"n" * 254, 9), FILE],
    "no UTF-8": [dirent(1, 1, b"\xff\xfe", 9), dirent(1, 2, b"-rf", 9), dirent(1, 3, b"*\n", 9), FILE],
    "odd attributes": [dirent(1, 1, b"f", 9), FILE, xattr(1, b"n\0ul"), xref(9, 1), xattr(2, b"", b"x"), xref(9, 2)],
    "the root is a link": [inode(1, 1, VICTIM, mode=S_IFLNK), dirent(1, 2, b"f", 9), FILE],
    "the root is a file": [inode(1, 1, b"x"), dirent(1, 2, b"f", 9), FILE],
    "the root is a device": [inode(1, 1, b"\3\1", mode=S_IFCHR), dirent(1, 2, b"f", 9), FILE],
    "no type": [dirent(1, 1, b"a", 2), inode(2, 1, b"x", mode=0o644), dirent(1, 2, b"f", 9), FILE],
    "sample": [],
}


def hostile_image(name):
    return image_of(*HOSTILE[name]) if HOSTILE[name] else image_of(blocks=[SAMPLE])


@pytest.fixture
def sandbox(open_path):
    """A place for `here/out`, with things round it that must stay as they are."""
    (open_path / "here").mkdir()
    (open_path / "victim").mkdir()
    (open_path / "victim/f").write_bytes(b"untouched")
    (open_path / "here/victim").symlink_to("../victim")
    (open_path / "victim/up").symlink_to("..")
    for path in (open_path / "victim", open_path / "here"):
        path.chmod(0o777)
    (open_path / "victim/f").chmod(0o666)
    for path in (open_path / "victim/f", open_path / "victim"):
        os.utime(path, (1, 1))
    yield open_path
    subprocess.run(["rm", "-rf", open_path / "here/out"], check=True)


def outside(sandbox):
    """All but here/out, its time and what is below it: what it is, how it is, what it holds."""
    seen = {}
    for folder, folders, files in os.walk(sandbox):
        if Path(folder) == sandbox / "here":
            folders[:] = [name for name in folders if name != "out"]
        for name in (*folders, *files, "."):
            path = Path(folder) / name
            status = path.lstat()
            what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            time = None if path == sandbox / "here" else status.st_mtime_ns
            seen[str(path)] = (status.st_mode, status.st_uid, status.st_gid, time, what)
    return seen


@pytest.mark.parametrize("who", ["we", "nobody"])
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_escapes(sandbox, name, who):
    if who == "nobody" and not IS_ROOT:
        pytest.skip("we are an ordinary user already")
    before = outside(sandbox)
    with hostile_image(name) as image:
        work = lambda: extract(image, sandbox / "here/out")  # noqa: E731
        facts = as_user(work) if who == "nobody" else work()
    assert "failure" not in facts, facts
    assert outside(sandbox) == before
    assert not os.path.lexists("/tmp/jffs2tx-escaped")


@pytest.mark.parametrize("name", HOSTILE)
def test_archives_stay_below_their_root(tmp_path, name):
    with hostile_image(name) as image:
        content, told = archived(image)
    found = members(content)
    assert len(found) == told["extracted"]
    links = {member.name for member in found.values() if member.issym()}
    for member in found.values():
        assert member.name == "." or member.name.startswith("./")
        assert not {"", "..", "."} & set(member.name.split("/")[1:])
        parts = member.name.split("/")
        assert not links & {"/".join(parts[:end]) for end in range(1, len(parts))}, "below a link"
        if member.islnk():
            assert member.linkname in found
    assert len(content) < 2 << 20


def test_a_tree_with_links_in_it_is_refused(sandbox):
    (sandbox / "here/out").mkdir()
    (sandbox / "here/out/d").symlink_to("../../victim")
    before = outside(sandbox)
    with image_of(*D, dirent(2, 2, b"f", 9), FILE) as image, pytest.raises(Exists):
        extract(image, sandbox / "here/out")
    assert outside(sandbox) == before


#: Which call a stranger waits for, what he then puts a symbolic link in the place of, and where it leads.
SWAPS = {
    "directory": ("mkdir", "d", "victim"),
    "file, before": ("mkdir", "d/f", "victim/f"),
    "file, written": ("ftruncate", "d/f", "victim/f"),
    "device": ("mknod", "c", "victim/c"),
    "directory of a hard link": ("pwrite", "d", "victim"),
}


@pytest.mark.parametrize("name", SWAPS)
@needs_root
def test_a_link_that_is_put_in_the_way_meanwhile(sandbox, monkeypatch, name):
    called, place, victim = SWAPS[name]
    place, real = sandbox / "here/out" / place, getattr(os, called)
    os.mknod(sandbox / "victim/c", S_IFCHR, os.makedev(1, 3))
    device = [dirent(1, 3, b"c", 4, type=CHAR), inode(4, 1, b"\3\1", mode=S_IFCHR | 0o777, uid=5)]
    nodes = [*D, dirent(2, 2, b"f", 9), FILE, *device, dirent(1, 4, b"z", 9)]
    swapped = []

    def swapping(*arguments, **options):
        result = real(*arguments, **options)
        if not swapped and place.parent.exists() and (name == "file, before" or place.exists()):
            swapped.append(place)
            if place.is_dir():
                shutil.rmtree(place)
            place.unlink(missing_ok=True)
            place.symlink_to(sandbox / victim)
        return result

    before = outside(sandbox)
    monkeypatch.setattr(extraction.os, called, swapping)
    with image_of(*nodes) as image:
        extract(image, sandbox / "here/out")
    monkeypatch.undo()
    assert swapped and place.is_symlink()
    assert outside(sandbox) == before


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_bytes_come_out_inside_or_not_at_all(tmp_path_factory, changes):
    content = bytearray(SAMPLE)
    for at, value in changes:
        content[at] = value
    folder = tmp_path_factory.mktemp("any")
    try:
        with image_of(blocks=[bytes(content)]) as image:
            json.dumps(extract(image, folder / "out", max_bytes=1 << 20))
            archived(image, max_bytes=1 << 20)
    except Jffs2txError:
        pass
    assert set(os.listdir(folder)) <= {"out"}


def test_descriptors_are_given_back(tmp_path):
    counter = itertools.count()
    with image_of(*chain(30), dirent(31, 9, b"f", 99), inode(99, 1, b"x")) as image:
        extract(image, tmp_path / "first")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            extract(image, tmp_path / f"{next(counter)}")
        assert len(os.listdir("/proc/self/fd")) == before
