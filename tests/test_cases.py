"""Cases in which a guess did harm: what is read, what is refused, and that what is advised touches nothing else."""

import re

import pytest

from jffs2tx.cli import main
from jffs2tx.image import open_image

from . import cases
from .cases import BLOCK, MANY
from .images import KIB, needs_mkfs

pytestmark = needs_mkfs


@pytest.fixture
def new(tmp_path):
    source = tmp_path / "new"
    (source / "etc").mkdir(parents=True)
    (source / "etc/conf").write_bytes(b"other\n" * 9000)
    assert main(["manifest", str(source), "-o", str(tmp_path / "manifest"), "-q"]) == 0
    return source


@pytest.fixture
def apply(tmp_path, new):
    return lambda path, *options: main(
        ["apply", str(path), str(tmp_path / "manifest"), "--from", str(new), "-q", "--yes", *options]
    )


def test_calibration_data_behind_an_overlay_stays(tmp_path, apply, capsys):
    data = cases.router(tmp_path)
    path = tmp_path / "router.bin"
    path.write_bytes(data)
    assert apply(path, "--erase-size", "64KiB") == 1
    advised = re.search(r"say (--offset \S+ --length \S+)", capsys.readouterr().err)[1].split()
    assert advised == ["--offset", "0x80000", "--length", "0x140000"]
    assert path.read_bytes() == data
    assert main(["recover", str(path), "--erase-size", "64KiB", *advised]) == 0
    assert path.read_bytes() == data
    assert apply(path, "--erase-size", "64KiB", *advised) == 0
    after = path.read_bytes()
    assert after != data
    assert after[: 8 * BLOCK] == data[: 8 * BLOCK] and after[-BLOCK:] == data[-BLOCK:]


def test_an_overlay_with_calibration_data_behind_it_is_not_written_without_its_length(tmp_path, apply, capsys):
    data = cases.router(tmp_path)[8 * BLOCK :]
    path = tmp_path / "overlay.bin"
    path.write_bytes(data)
    assert apply(path, "--erase-size", "64KiB") == 1
    assert "--offset 0x0 --length 0x140000" in capsys.readouterr().err
    assert path.read_bytes() == data


@pytest.mark.parametrize("case", [cases.neighbours, cases.side_by_side])
def test_neighbours_are_two_and_none_is_written_to(tmp_path, apply, case, capsys):
    data = case(tmp_path)
    path = tmp_path / "two.bin"
    path.write_bytes(data)
    with open_image(path) as image:
        second = len(data) - 6 * BLOCK
        assert [part.offset for part in image.location.parts] == [0, second]
        with image.fs() as fs:
            assert fs.list("/") == [b"app", b"app.ver"]
    with open_image(path, offset=second) as image, image.fs() as fs:
        assert len(fs.list("/etc")) == len(MANY)
    assert apply(path) == 1
    assert "contradictions" in capsys.readouterr().err
    assert path.read_bytes() == data


def test_what_is_no_whole_eraseblock_is_left_out(tmp_path):
    """As the kernel rounds down."""
    path = tmp_path / "unaligned.bin"
    path.write_bytes(cases.mkfs(tmp_path, MANY, "-e", "64KiB", size=16 * BLOCK + 6440))
    with open_image(path) as image:
        assert image.geometry.size == 16 * BLOCK
        assert "the last 6440 bytes are left out: they are no whole eraseblock, and erased" in image.guesses


def test_an_image_short_of_its_block_is_read_whole(tmp_path):
    path = tmp_path / "short.bin"
    path.write_bytes(cases.mkfs(tmp_path, MANY, "-e", "64KiB"))
    assert path.stat().st_size < BLOCK
    with open_image(path) as image, image.fs() as fs:
        assert image.geometry.size == BLOCK
        assert len(fs.list("/etc")) == len(MANY)


@pytest.mark.parametrize("size", [16 * BLOCK, 40 * KIB])
def test_openwrts_mark_in_an_empty_overlay_is_named(tmp_path, size, capsys):
    path = tmp_path / "overlay.bin"
    path.write_bytes(b"\xde\xad\xc0\xde".ljust(size, b"\xff"))
    assert main(["status", str(path)]) == 1
    assert "OpenWrt's end-of-file-system mark" in capsys.readouterr().err


def test_a_guess_of_the_flash_is_read_by_and_not_written_by(tmp_path, apply, capsys):
    """Nothing shows the eraseblock, nor whether it is NOR or NAND."""
    data = cases.mkfs(tmp_path, MANY, "-e", "128KiB", "-n", size=8 * 128 * KIB)
    path = tmp_path / "nand.bin"
    path.write_bytes(data)
    with open_image(path) as image, image.fs() as fs:
        assert len(fs.list("/etc")) == len(MANY)
    assert apply(path) == 1
    assert "nothing on the medium shows its eraseblock (64 KiB is a guess)" in capsys.readouterr().err
    assert apply(path, "--erase-size", "128KiB") == 1
    assert "say --nor, or a NAND's --page-size" in capsys.readouterr().err
    assert path.read_bytes() == data
    assert apply(path, "--erase-size", "128KiB", "--page-size", "2048") == 0
    path.write_bytes(data)
    assert apply(path, "--erase-size", "128KiB", "--nor") == 0


@pytest.mark.parametrize("options", [["-e", "64KiB"], ["-e", "16KiB"]])
def test_an_image_with_evidence_needs_no_option(tmp_path, apply, options):
    """Two cleanmarkers show the eraseblock, and that it is NOR."""
    path = tmp_path / "image"
    path.write_bytes(cases.mkfs(tmp_path, cases.FEW, *options, size=16 * BLOCK))
    assert apply(path) == 0


def test_nor_has_no_pages(tmp_path, capsys):
    path = tmp_path / "image"
    path.write_bytes(cases.mkfs(tmp_path, MANY, "-e", "64KiB", size=16 * BLOCK))
    assert main(["status", str(path), "--nor", "--page-size", "2048"]) == 1
    assert "NOR has neither pages nor OOB" in capsys.readouterr().err


def test_fewer_than_five_eraseblocks_are_no_file_system_for_linux(tmp_path, new, capsys):
    path = tmp_path / "four.bin"
    path.write_bytes(cases.mkfs(tmp_path, {"a": b"1\n"}, "-e", "64KiB", size=4 * BLOCK))
    assert main(["check", str(path), "-q"]) == 1
    assert "no-mount" in capsys.readouterr().out
    assert main(["check", str(path), "-q", "--device-size", "320KiB"]) == 0
    assert main(["mkfs", str(new), "-o", str(tmp_path / "out"), "--erase-size", "64KiB", "--size", "256KiB"]) == 1
    assert "less than 5 eraseblocks" in capsys.readouterr().err
