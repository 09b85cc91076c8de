"""What the commands do, on images of mkfs.jffs2 and on crafted and damaged ones."""

import os
import shutil

import pytest

from jffs2tx import format as medium
from jffs2tx import ops, upgrade
from jffs2tx._ffi import lib
from jffs2tx.device import Flash
from jffs2tx.errors import Corrupt, FormatError, GeometryError, InvalidValue, IsADirectory, NotFound
from jffs2tx.image import open_image
from jffs2tx.manifest import Manifest
from jffs2tx.source import Source
from jffs2tx.tree import manifest_of

from .images import (
    IS_ROOT,
    KIB,
    TIME,
    block,
    dirent,
    inode,
    make_image,
    make_tree,
    medium_of,
    needs_mkfs,
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


def kinds(image):
    return [problem["kind"] for problem in ops.check(image, progress=None)["problems"]]


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


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((3 * KIB, None, None), "an eraseblock of 3072 bytes is impossible"),
        ((64 * KIB, 1000, None), "a page of 1000 bytes is impossible"),
        ((4 * KIB, 8192, None), "a page of 8192 bytes is larger than the eraseblock of 4096"),
        ((64 * KIB, None, 65 * KIB), "65 KiB is not a number of eraseblocks of 64 KiB"),
        ((64 * KIB, None, 0), "0 bytes is not a number of eraseblocks of 64 KiB"),
    ],
)
def test_no_image_of_an_impossible_flash(tmp_path, sizes, message):
    output = tmp_path / "image"
    options = dict(zip(("erase_size", "page_size", "size"), sizes, strict=True))
    with Source(tmp_path) as files, pytest.raises(GeometryError, match=message):
        ops.mkfs(source=files, output=output, endian="little", compression="zlib", progress=None, **options)
    assert not output.exists()


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


def test_what_a_kernel_refuses_is_refused_with_its_name_but_can_be_looked_at(crafted):
    image = crafted(medium.build(0xE0FF, "little"), blocks=[b"noise".ljust(64 * KIB)], writable=True)
    for operation in (
        lambda: ops.status(image),
        lambda: ops.recover(image, progress=None),
    ):
        with pytest.raises(FormatError) as error:
            operation()
        assert error.value.path == image.path
    assert "no-mount" in kinds(image)
    assert {"good", "noise"} <= {record["verdict"] for record in dump(image)}
