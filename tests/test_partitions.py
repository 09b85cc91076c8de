"""--partitions: the board's table in each form, and what is refused."""

import pytest

from jffs2tx.cli import main
from jffs2tx.errors import GeometryError, InvalidValue, Refused
from jffs2tx.image import open_image
from jffs2tx.partitions import Partition, choose, read_partitions

from . import cases
from .cases import BLOCK
from .images import needs_mkfs

MIB = 1 << 20
PROC_MTD = """dev:    size   erasesize  name
mtd0: 00080000 00010000 "boot"
mtd1: 00140000 00010000 "rootfs_data"
mtd2: 00010000 00010000 "art"
"""
TABLE = [
    Partition(0, 0x80000, "boot"),
    Partition(0x80000, 0x140000, "rootfs_data"),
    Partition(0x1C0000, 0x10000, "art"),
]


@pytest.mark.parametrize(
    "text",
    [
        PROC_MTD,
        "mtdparts=spi0.0:512k(boot),1280k(rootfs_data),64k@0x1c0000(art)",
        "512k(boot),1280k(rootfs_data),-(art);other:1m(x)",
        "0 0x80000 boot\n0x80000 1280k rootfs_data\n# what follows is of the radio\n0x1c0000 64KiB art\n",
    ],
)
def test_each_form_says_the_same(text, tmp_path):
    assert read_partitions(text, 0x1D0000, "x") == TABLE
    (tmp_path / "table").write_text(text)
    assert read_partitions(str(tmp_path / "table"), 0x1D0000, "x") == TABLE


def test_read_only_is_kept():
    table = read_partitions("mtdparts=x:64k(a)ro,64k(b)", MIB, "x")
    assert [one.read_only for one in table] == [True, False]
    assert read_partitions("0 64k a ro\n64k 64k b", MIB, "x") == table


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("0 128k a\n64k 64k b", Refused, "overlap"),
        ("0 2m a", Refused, "is not inside"),
        ("0 0 a", Refused, "is not inside"),
        ("", InvalidValue, "names no partition"),
        ("a few words more than that", InvalidValue, "is not a partition"),
        ("0 x a", InvalidValue, "not a number of bytes"),
        ("mtdparts=x:64q(a)", InvalidValue, "is not a partition"),
    ],
)
def test_a_wrong_table_is_refused(text, error, sentence):
    with pytest.raises(error, match=sentence):
        read_partitions(text, MIB, "x")


def test_the_name_chooses():
    assert choose(TABLE, "art", "x") == TABLE[2]
    assert choose(TABLE[:1], None, "x") == TABLE[0]
    with pytest.raises(Refused, match=r"which of 3 partitions: boot \(0x0 to 0x80000\)"):
        choose(TABLE, None, "x")
    with pytest.raises(Refused, match="no partition is called root"):
        choose(TABLE, "root", "x")


@pytest.fixture
def router(tmp_path):
    path = tmp_path / "router.bin"
    path.write_bytes(cases.router(tmp_path))
    return path


@needs_mkfs
def test_a_partition_is_read_and_written(router, tmp_path):
    before = router.read_bytes()
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"new")
    assert main(["manifest", str(source), "-o", str(tmp_path / "manifest"), "-q"]) == 0
    options = ["--partitions", PROC_MTD, "--partition", "rootfs_data", "--erase-size", "64KiB"]
    command = ["apply", str(router), str(tmp_path / "manifest"), "--from", str(source), "-q", "--yes", *options]
    assert main(command) == 0
    with open_image(router, partitions=PROC_MTD, partition="rootfs_data") as image, image.fs() as fs:
        assert fs.list("/") == [b"file"]
    after = router.read_bytes()
    assert after[:0x80000] == before[:0x80000] and after[0x1C0000:] == before[0x1C0000:]


@needs_mkfs
def test_what_the_table_forbids_or_gets_wrong_is_not_written(router, tmp_path):
    with pytest.raises(Refused, match="read-only by the table"):
        open_image(router, writable=True, partitions="0x80000 1280k root ro")
    with pytest.raises(GeometryError, match="does not start and end at an eraseblock"):
        open_image(router, erase_size=BLOCK, partitions="0x80000 0x13f000 root")
    with pytest.raises(InvalidValue, match="goes with --partitions"):
        open_image(router, partition="root")
    both = tmp_path / "both.bin"
    both.write_bytes(cases.side_by_side(tmp_path))
    table = "0 1408k root"
    with pytest.raises(Refused, match=r"two file systems, a border between .* contradictions"):
        open_image(both, writable=True, partitions=table)
