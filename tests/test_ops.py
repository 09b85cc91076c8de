"""What the commands do, on images of mkfs.jffs2 and on crafted and damaged ones."""

import json
import os
import shutil
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jffs2tx import format as medium
from jffs2tx import ops, upgrade
from jffs2tx._ffi import lib
from jffs2tx.device import Flash
from jffs2tx.errors import Corrupt, Exists, FormatError, InvalidValue, IsADirectory, NotADirectory, NotFound
from jffs2tx.image import open_image
from jffs2tx.manifest import Manifest
from jffs2tx.source import Source
from jffs2tx.tree import manifest_of

from .images import (
    IS_ROOT,
    KIB,
    MODE,
    TIME,
    block,
    dirent,
    inode,
    make_image,
    make_tree,
    medium_of,
    needs_mkfs,
    needs_root,
)


@pytest.fixture
def crafted(tmp_path):
    """Writes nodes, or whole blocks, to a file and opens it."""
    opened = []

    def craft(*nodes, blocks=(), writable=False):
        path = tmp_path / "crafted"
        path.write_bytes(medium_of(block(*nodes), *blocks))
        opened.append(open_image(path, writable=writable, erase_size=64 * KIB))
        return opened[-1]

    yield craft
    for image in opened:
        image.close()


def flipped(node, at=-1):
    damaged = bytearray(node)
    damaged[at] ^= 0x10
    return bytes(damaged)


def torn(node, at):
    return node[:at] + b"\xff" * (len(node) - at)


# ---- status ----------------------------------------------------------------------------------------------------------


@needs_mkfs
def test_status(made):
    with open_image(made("nand-summary"), page_size=2048, device_size=1 << 20) as image:
        facts = ops.status(image)
    assert facts["geometry"] == {
        "kind": "nand",
        "size_bytes": 1 << 20,
        "erase_size_bytes": 128 * KIB,
        "page_size_bytes": 2048,
        "subpage_size_bytes": 512,
        "oob_avail_bytes": 8,
    }
    assert (facts["mounted"], facts["ecc"]) == (None, {"corrected_bits": 0, "unreadable_pages": 0})
    assert (facts["endian"], facts["summaries"], facts["guesses"]) == ("little", True, [])
    assert facts["transaction"] == {"state": "none", "txid": None, "strategy": None}
    space = facts["space"]
    assert (space["blocks"], space["bad"], space["dirty"]) == (8, 0, 0)
    assert space["free"] >= 3
    assert space["reserve"] == 3 + -(-((1 << 20) // 50 + 800) // (128 * KIB))
    assert 300_000 < space["needed_bytes"] < 400_000


# ---- ls, cat ---------------------------------------------------------------------------------------------------------


@needs_mkfs
def test_ls(image):
    def paths(path, recursive=False):
        return [entry.path for entry in ops.ls(image, path=path, recursive=recursive)]

    assert paths(b"etc") == [b"etc/deep", b"etc/passwd"]
    assert paths(b"etc", True) == [
        b"etc/deep",
        b"etc/deep/er",
        b"etc/deep/er/zeros",
        b"etc/deep/link",
        b"etc/passwd",
    ]
    assert paths(b"empty") == []
    assert paths(b"bin/text") == [b"bin/text"]
    assert paths(b"absolute") == [b"absolute/er", b"absolute/link"]
    assert b"odd \xff\n#name" in paths(b"")
    with pytest.raises(NotFound):
        paths(b"none")
    entries = {entry.path: entry for entry in ops.ls(image, path=b"", recursive=True)}
    assert entries[b"bin/relative"].link == b"../etc/passwd"
    assert entries[b"etc/passwd"].inode == entries[b"etc/deep/link"].inode is not None
    assert entries[b"bin/text"].inode is None
    if IS_ROOT:
        assert entries[b"null"].device == (1, 3)


def test_ls_shows_what_it_can(crafted):
    image = crafted(dirent(b"bad", 2, 1), flipped(inode(2, 1, b"x")), dirent(b"good", 3, 2), inode(3, 1))
    entries = ops.ls(image, path=b"", recursive=False)
    assert next(entries).path == b"good"
    with pytest.raises(Corrupt, match=r"^/bad: "):
        next(entries)


@needs_mkfs
def test_cat(image, tree):
    assert b"".join(ops.cat(image, path=b"bin/text")) == (tree / "bin/text").read_bytes()
    assert b"".join(ops.cat(image, path=b"bin/relative")) == (tree / "etc/passwd").read_bytes()
    assert b"".join(ops.cat(image, path=b"nothing")) == b""
    with pytest.raises(IsADirectory, match=r"^/etc: is a directory"):
        next(ops.cat(image, path=b"etc"))
    with pytest.raises(InvalidValue, match=r"^/fifo: is no regular file"):
        next(ops.cat(image, path=b"fifo"))


def test_cat_names_the_file_that_cannot_be_read(crafted):
    image = crafted(dirent(b"f", 2, 1), inode(2, 1, b"no zlib", compr=6, dsize=9, isize=9))
    with pytest.raises(Corrupt, match=r"^/f: "):
        list(ops.cat(image, path=b"f"))


# ---- dump ------------------------------------------------------------------------------------------------------------


def dump(image):
    return list(ops.dump(image))


@needs_mkfs
def test_dump_covers_the_medium(image):
    records = dump(image)
    assert {record["verdict"] for record in records} <= {"good", "erased", "hidden", "noise"}
    assert [record["offset"] for record in records] == sorted(record["offset"] for record in records)
    end = 0
    for record in records:
        assert record["offset"] >= end
        end = record["offset"] + record["length"]
    names = [record["name"] for record in records if record["type"] == "dirent"]
    assert "passwd" in names
    assert "odd\\040\\377\\012\\043name" in names
    links = [record for record in records if record.get("mode", "").startswith("012")]
    assert len(links) == 2


@needs_mkfs
def test_dump_of_summaries(made):
    with open_image(made("summary")) as image:
        records = dump(image)
    summaries = [record for record in records if record["type"] == "summary"]
    assert summaries
    for record in summaries:
        assert record["sum_num"] == len(record["entries"]) > 0
        assert {entry["nodetype"] for entry in record["entries"]} <= {"inode", "dirent"}
    assert any(record.get("by_summary") for record in records)


def test_the_fields_of_a_node(crafted):
    records = dump(crafted(dirent(b"a b", 2, 7, pino=1), inode(2, 3, b"data", uid=5, mode=0o104755)))
    assert records[0] == {"offset": 0, "length": 12, "type": "cleanmarker", "verdict": "good"}
    name, file = records[1:3]
    for record in (name, file):
        assert all(len(record.pop(key)) == 10 for key in list(record) if key.endswith("_crc"))
    assert name == {
        "offset": 12,
        "length": 43,
        "type": "dirent",
        "verdict": "good",
        "pino": 1,
        "version": 7,
        "ino": 2,
        "mctime": TIME,
        "nsize": 3,
        "file_type": "file",
        "name": "a\\040b",
        "needed": True,
    }
    assert (file["mode"], file["uid"], file["csize"], file["file_offset"], file["compr"]) == (
        "0104755",
        5,
        4,
        0,
        "none",
    )
    assert records[3]["verdict"] == "erased"


OBSOLETE = medium.NodeType.INODE & ~medium.ACCURATE


@pytest.mark.parametrize(
    ("node", "verdict", "wrong"),
    [
        (inode(2, 1, b"data"), "good", None),
        (inode(2, 1, b"data", kind=OBSOLETE), "obsolete", None),
        (flipped(inode(2, 1, b"data")), "bad-data", ["data_crc"]),
        (flipped(inode(2, 1, b"data"), 30), "bad-node", ["node_crc"]),
        (flipped(dirent(b"name", 2, 1)), "bad-name", ["name_crc"]),
        (flipped(inode(2, 1, b"data"), 9), "bad-header", None),
        (torn(inode(2, 1, b"data" * 10), 80), "torn", ["data_crc"]),
        (torn(inode(2, 1, b"data" * 10), 40), "torn", None),
        (torn(dirent(b"long name", 2, 1), 42), "torn", ["name_crc"]),
        (torn(inode(2, 1), 10), "torn", None),
        (b"\x12\x34" * 40, "noise", None),
    ],
)
def test_verdicts(crafted, node, verdict, wrong):
    record = dump(crafted(node))[1]
    assert (record["offset"], record["verdict"]) == (12, verdict)
    if wrong:
        assert record["wrong"] == wrong


def test_what_a_container_hides(crafted):
    inner = dirent(b"f", 2, 1)
    container = medium.build(medium.NodeType.CONTAINER, "little", filling=inner)
    tag = medium.build(medium.NodeType.TAG, "little", role=2, strategy=1, txid=9, sequence=0, id=bytes(range(16)))
    _, mark, outer, hidden, *_ = dump(crafted(tag, container))
    assert (mark["type"], mark["verdict"]) == ("tag", "good")
    assert (mark["role"], mark["strategy"], mark["txid"], mark["id"]) == ("commit", "flip", 9, bytes(range(16)).hex())
    assert (outer["type"], outer["verdict"]) == ("container", "good")
    assert (hidden["type"], hidden["verdict"], hidden["needed"]) == ("dirent", "hidden", False)


# ---- check -----------------------------------------------------------------------------------------------------------


def kinds(image):
    return [problem["kind"] for problem in ops.check(image, progress=None)["problems"]]


@needs_mkfs
def test_check_finds_nothing_wrong_with_mkfs(image):
    seen = []
    facts = ops.check(image, progress=lambda *progress: seen.append(progress))
    assert facts["problems"] == []
    assert facts["unreachable_inodes"] == 0
    assert facts["names"] == facts["inodes"] + 1  # one hard link
    assert seen[-1][1] == seen[-1][2]


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ([dirent(b"f", 2, 1), inode(2, 1, b"x")], []),
        ([dirent(b"f", 2, 1), flipped(inode(2, 1, b"x"))], ["bad-data", "unreadable"]),
        ([dirent(b"f", 2, 1), inode(2, 2, b"y"), flipped(inode(2, 1, b"x"))], ["bad-data"]),
        ([flipped(inode(2, 1), 30)], ["bad-node"]),
        ([flipped(dirent(b"f", 2, 1))], ["bad-name"]),
        ([flipped(inode(2, 1), 5)], ["bad-header"]),
        ([dirent(b"f", 2, 1)], ["lost-name"]),
        ([dirent(b"f", 2, 1), dirent(b"f", 0, 2)], []),
        ([dirent(b"f", 9, 1), dirent(b"f", 2, 2), inode(2, 1)], []),
        ([dirent(b"f", 9, 1, pino=7), inode(7, 1, mode=MODE["dir"])], []),
        ([dirent(b"..", 2, 1), inode(2, 1)], ["unreadable"]),
        ([dirent(b"f", 2, 1), inode(2, 1, b"no zlib", compr=6, dsize=9, isize=9)], ["unreadable"]),
    ],
)
def test_problems(crafted, nodes, found):
    assert kinds(crafted(*nodes)) == found


def test_where_and_what(crafted):
    facts = ops.check(crafted(dirent(b"f o", 5, 1), flipped(inode(2, 1), 30), inode(3, 1)), progress=None)
    assert facts["unreachable_inodes"] == 1
    bad, lost = facts["problems"]
    assert bad["offset"] == 12 + 44
    assert bad["text"].startswith("0x00000038: a node fails its CRC")
    assert lost["text"] == "the name 'f\\040o' in directory inode 1 stands for inode 5, which is not there"


SAMPLE = medium_of(
    block(
        dirent(b"d", 2, 1, kind="dir"),
        inode(2, 1, mode=MODE["dir"]),
        dirent(b"f", 3, 2, pino=2),
        inode(3, 1, b"content" * 9),
        dirent(b"l", 4, 2, kind="link"),
        inode(4, 1, b"d/f", mode=MODE["link"]),
        medium.build(medium.NodeType.XATTR, "little", xid=1, version=0, xprefix=1, name=b"a", value=b"value"),
        medium.build(medium.NodeType.XREF, "little", ino=3, xid=1, xseqno=2),
        size=4 * KIB,
    ),
    count=1,
)


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=4))
@settings(max_examples=60, deadline=None)
def test_whatever_stands_there_is_told_or_refused(tmp_path_factory, changes):
    content = bytearray(SAMPLE)
    for at, value in changes:
        content[at] = value
    path = tmp_path_factory.mktemp("any") / "image"
    path.write_bytes(content)
    try:
        with open_image(path) as image:
            for record in ops.dump(image):
                json.dumps(record)
            json.dumps(ops.check(image, progress=None))
            extract(image, path.with_name("out"))
            list(ops.ls(image, path=b"", recursive=True))
    except (FormatError, Corrupt):
        pass


# ---- plan, apply, recover, mkfs --------------------------------------------------------------------------------------


@pytest.fixture
def upgrades(tmp_path):
    """An image with room to spare, and the source of its next version."""
    if not shutil.which("mkfs.jffs2"):
        pytest.skip("mkfs.jffs2 is missing (mtd-utils)")
    source = make_tree(tmp_path / "next")
    image = make_image(source, tmp_path / "image", "little", "-p", "4MiB")
    (source / "etc/passwd").write_bytes(b"changed")
    (source / "empty/new").write_bytes(b"new" * 5000)
    os.unlink(source / "nothing")
    return image, source


def land(name, image, source, **more):
    return getattr(ops, name)(
        image,
        manifest=source.manifest(),
        source=source,
        strategy="auto",
        readers=(),
        **more,
    )


def test_plan_writes_nothing_and_apply_lands_it(upgrades):
    path, directory = upgrades
    before = path.read_bytes()
    with Source(directory) as source:
        with open_image(path, device_size=4 << 20) as image:
            planned = land("plan", image, source)
        assert path.read_bytes() == before
        with open_image(path, writable=True, device_size=4 << 20) as image:
            facts = land("apply", image, source, progress=None)
            assert manifest_of(image.fs()) == source.manifest()
            assert ops.status(image)["transaction"]["state"] == "settled"
            assert kinds(image) == []
            assert ops.recover(image, progress=None)["blocks_erased"] == 0
    assert facts["strategy"] == planned["strategy"]
    phases = facts["phases"]
    assert [phase["phase"] for phase in phases] == ["plan", "stage", "commit", "settle"]
    for key in ("programmed_bytes", "erased_blocks", "verified_bytes"):
        assert facts[key] == sum(phase[key] for phase in phases)
    assert not phases[0]["programmed_bytes"] and all(phase["programmed_bytes"] for phase in phases[1:3])
    with open_image(path, device_size=4 << 20) as after, after.fs() as fs:
        assert facts["full_rewrite"]["programmed_bytes"] == fs.space.needed_bytes > facts["programmed_bytes"]
        assert facts["full_rewrite"]["erased_blocks"] == fs.space.blocks > facts["erased_blocks"]


def test_an_assumed_subpage_is_said_where_lift_needs_it(tmp_path):
    path = tmp_path / "image"
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"a")
    with Source(source) as files:
        options = {"source": files, "output": path, "erase_size": 128 * KIB, "page_size": 2048, "size": 2 << 20}
        ops.mkfs(**options, endian="big", compression="zlib", progress=None)
        with open_image(path, page_size=2048, erase_size=128 * KIB) as image:
            assert manifest_of(image.fs()) == files.manifest()
    (source / "b").write_bytes(b"b")
    with Source(source) as files, open_image(path, page_size=2048, erase_size=128 * KIB) as image:
        facts = ops.plan(image, manifest=files.manifest(), source=files, strategy="lift", readers=())
        assert facts["warnings"] == ["the chip is assumed to take programs of 512 bytes, a part of its page"]
        facts = ops.plan(image, manifest=files.manifest(), source=files, strategy="auto", readers=("linux-summary",))
        assert facts["strategy"] == "seal"
        assert facts["warnings"] == []


def test_status_check_and_recover_after_a_cut(upgrades, tmp_path):
    """The power fails while it is staged, and after the commit."""
    path, directory = upgrades
    states = set()
    with open_image(path, device_size=4 << 20) as image:
        geometry, content = image.geometry, path.read_bytes()
    new = Manifest.from_directory(directory)
    with Source(directory) as source, Flash.simulator(geometry, content) as flash:
        upgrade.apply_upgrade(flash, upgrade.wanted_tree(new), source.open, tag=b"0123456789abcdef")
        count = lib.jx_sim_op_count(flash.handle)
        whole = Flash.memory(geometry)
        for cut in range(count + 1):
            lib.jx_crash_build(flash.handle, cut, lib.JX_F1_CUT, 0, whole.handle)
            crashed = tmp_path / "crashed"
            crashed.write_bytes(whole.read(0, geometry.size))
            with open_image(crashed, writable=True) as image:
                state = ops.status(image)["transaction"]["state"]
                states.add(state)
                assert kinds(image) == (["unfinished"] if state in ("staged", "committed") else [])
                tree = manifest_of(image.fs())
                facts = ops.recover(image, progress=None)
                assert facts["state_before"] == state
                assert facts["state"] in ("none", "settled")
                assert kinds(image) == []
                assert manifest_of(image.fs()) == tree
                assert not any(ops.recover(image, progress=None)[key] for key in ("blocks_erased", "nodes_moved"))
        whole.close()
    assert {"staged", "committed", "settled"} <= states


def test_what_is_no_file_system_is_refused_by_all_with_its_name(crafted):
    image = crafted(medium.build(0xE0FF, "little"), blocks=[b"noise".ljust(64 * KIB)], writable=True)
    for operation in (
        lambda: ops.status(image),
        lambda: dump(image),
        lambda: ops.check(image, progress=None),
        lambda: ops.recover(image, progress=None),
    ):
        with pytest.raises(FormatError) as error:
            operation()
        assert error.value.path == image.path


# ---- extract ---------------------------------------------------------------------------------------------------------


def extract(image, output, progress=None):
    return ops.extract(image, output=output, progress=progress)


@needs_mkfs
@needs_root
def test_extract_gives_the_source_again(image, tree, tmp_path):
    seen = []
    facts = extract(image, tmp_path / "out", lambda *progress: seen.append(progress))
    assert (facts["unreadable"], facts["omitted"]) == ([], [])
    manifest = Manifest.from_directory(tree)
    assert Manifest.from_directory(tmp_path / "out").to_text() == manifest.to_text()
    assert facts["extracted"] == len(manifest)
    assert seen[-1][1] == seen[-1][2]


def attribute(xid, ino, name, value):
    return (
        medium.build(medium.NodeType.XATTR, "little", xid=xid, version=0, xprefix=5, name=name, value=value),
        medium.build(medium.NodeType.XREF, "little", ino=ino, xid=xid, xseqno=2),
    )


@needs_root
def test_extract_attributes(crafted, tmp_path):
    image = crafted(
        dirent(b"l", 2, 1, kind="link"),
        inode(2, 1, b"/nowhere", mode=MODE["link"]),
        dirent(b"f", 3, 2),
        inode(3, 1, b"x"),
        *attribute(1, 2, b"on.link", b"1"),
        *attribute(2, 3, b"on.file", b"2"),
    )
    facts = extract(image, tmp_path / "out")
    if facts["omitted"]:
        pytest.skip(f"the host's file system holds no such attributes: {facts['omitted']}")
    assert os.getxattr(tmp_path / "out/l", "trusted.on.link", follow_symlinks=False) == b"1"
    assert os.getxattr(tmp_path / "out/f", "trusted.on.file") == b"2"


def test_extract_into_an_empty_directory_only(crafted, tmp_path):
    image = crafted(dirent(b"f", 2, 1), inode(2, 1, b"x", uid=os.getuid(), gid=os.getgid()))
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


def test_nothing_leaves_the_directory(crafted, tmp_path):
    """Names that climb, and names below a link that leads away."""
    image = crafted(
        dirent(b"..", 2, 1, kind="dir"),
        dirent(b"../up", 3, 2),
        dirent(b"/abs", 3, 3),
        dirent(b"d", 2, 4, kind="dir"),
        inode(2, 1, mode=MODE["dir"]),
        dirent(b"..", 3, 5, pino=2),
        dirent(b"l", 4, 6, kind="dir"),
        inode(4, 1, b"..", mode=MODE["link"]),
        dirent(b"below", 3, 2, pino=4),
        inode(3, 1, b"x", uid=os.getuid(), gid=os.getgid()),
    )
    (tmp_path / "here").mkdir()
    facts = extract(image, tmp_path / "here/out")
    assert sorted(os.listdir(tmp_path)) == ["crafted", "here"]
    assert os.listdir(tmp_path / "here") == ["out"]
    assert sorted(os.listdir(tmp_path / "here/out")) == ["d", "l"]
    assert os.readlink(tmp_path / "here/out/l") == ".."
    refused = ("/..", "/../up", "//abs", "/d/..")
    assert set(facts["unreadable"]) == {f"{path}: is no name that a file can have" for path in refused}


def test_what_cannot_be_read_is_left_out_whole(crafted, tmp_path):
    whole = inode(2, 1, b"a" * 4096, isize=5000)
    image = crafted(
        dirent(b"f", 2, 1),
        whole,
        inode(2, 2, b"no zlib", offset=4096, isize=5000, dsize=904, compr=6),
        dirent(b"g", 3, 2),
        inode(3, 1, b"good"),
    )
    facts = extract(image, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["g"]
    assert [sentence[:4] for sentence in facts["unreadable"]] == ["/f: "]


def test_a_deep_tree(crafted, tmp_path):
    depth = 120
    nodes = []
    for level in range(depth):
        nodes += [
            dirent(b"d" * 10, level + 2, 1, pino=level + 1, kind="dir"),
            inode(level + 2, 2, mode=MODE["dir"], uid=os.getuid(), gid=os.getgid()),
        ]
    assert extract(crafted(*nodes), tmp_path / "out")["extracted"] == depth + 1
    shutil.rmtree(tmp_path / "out")


def as_nobody(work):
    """What work() returns, as JSON, done by a user without rights in a child of ours."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        answer = {"failure": "did not come to an end"}
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
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


@needs_mkfs
@needs_root
def test_extract_without_root(made, tmp_path):
    open_dir = tmp_path
    while open_dir != open_dir.parent and not os.stat(open_dir).st_mode & stat.S_IXOTH:
        open_dir.chmod(0o711)
        open_dir = open_dir.parent
    os.chmod(tmp_path, 0o777)
    with open_image(made("little")) as image:
        facts = as_nobody(lambda: extract(image, tmp_path / "out"))
    assert facts["unreadable"] == []
    for sentence in (
        "a block device was not made: operation not permitted",
        "a character device was not made: operation not permitted",
        "a directory kept your owner: operation not permitted (6 times)",
    ):
        assert sentence in facts["omitted"]
    out = tmp_path / "out"
    assert not (out / "null").exists()
    assert stat.S_ISFIFO(os.lstat(out / "fifo").st_mode)
    assert stat.S_IMODE(os.stat(out / "bin/text").st_mode) == 0o755  # not set-id for nobody
    assert (out / "etc/passwd").samefile(out / "etc/deep/link")
    assert os.stat(out / "etc/passwd").st_mtime == TIME
