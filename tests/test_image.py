"""What open_image finds out, guesses and refuses."""

import os
import socket

import pytest

import jffs2tx
from jffs2tx.errors import FormatError, GeometryError, HostError, IsADirectory, Refused
from jffs2tx.image import _copied, open_image

from .images import FLAVOURS, KIB, block, dirent, inode, make_image, medium_of, needs_mkfs, needs_root

ERASE_SIZES = {"nand": 16 * KIB, "nand-summary": 128 * KIB}


@pytest.fixture
def written(tmp_path):
    """A file with this content; its path."""

    def write(content):
        path = tmp_path / "image"
        path.write_bytes(content)
        return path

    return write


# ---- what is found ---------------------------------------------------------------------------------------------------


@needs_mkfs
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_mkfs_writes_shows_its_erase_size_and_byte_order(made, flavour):
    with open_image(made(flavour), **FLAVOURS[flavour][2]) as image:
        assert image.geometry.erase_size == ERASE_SIZES.get(flavour, 64 * KIB)
        assert image.endian == ("big" if "big" in flavour else "little")
        assert image.geometry.size % image.geometry.erase_size == 0
        guessed = [guess for guess in image.guesses if guess.startswith("erase size")]
        assert guessed == (["erase size 16 KiB (no node crosses a multiple of it)"] if flavour == "nand" else [])


@needs_mkfs
@pytest.mark.parametrize("erase", [8, 32, 256])
def test_other_erase_sizes(tree, tmp_path, erase):
    path = make_image(tree, tmp_path / "image", "little", "-e", f"{erase}KiB")
    with open_image(path) as image:
        assert image.geometry.erase_size == erase * KIB


def test_an_image_that_ends_within_a_block_is_rounded_up_and_that_is_said(written):
    path = written(medium_of(block(dirent(b"a", 2, 1), inode(2, 1)), count=3)[: -50 * KIB])
    with open_image(path) as image:
        assert image.geometry.size == 3 * 64 * KIB
        assert image.guesses == ["device size 192 KiB (the image, to the end of its last eraseblock)"]


def test_a_whole_image_needs_no_guess(written):
    with open_image(written(medium_of(block(dirent(b"a", 2, 1), inode(2, 1))))) as image:
        assert image.guesses == []
        assert image.geometry.kind == "nor"
        assert image.assumed_subpage is None


def test_the_device_may_be_larger(written):
    path = written(medium_of(count=3))
    with open_image(path, device_size=4 << 20) as image:
        assert image.geometry.size == 4 << 20
        assert image.fs().space.free == 64
    assert path.stat().st_size == 3 * 64 * KIB


def test_a_summary_alone_tells_the_erase_size(written):
    from jffs2tx import format as medium

    size = 32 * KIB
    node = inode(2, 1, b"x" * 60)
    at = len(node)
    entry = {"nodetype": medium.NodeType.INODE, "ino": 2, "version": 1, "offset": 0, "totlen": at}
    summary = medium.build(
        medium.NodeType.SUMMARY, "little", totlen=size - at, cln_mkr=0, padded=0, entries=[entry], marker_offset=at
    )
    with open_image(written(b"\xff" * 3 * size + node + summary)) as image:
        assert image.geometry.erase_size == size
        assert not any("erase size" in guess for guess in image.guesses)


def test_a_cleanmarker_that_a_node_crosses_is_none(written):
    # Block 0 holds a stray cleanmarker behind its nodes; those cross 4096.
    from .images import cleanmarker

    odd = block(inode(2, 1, bytes(4090)), inode(2, 2, bytes(4090)), cleanmarker())
    with open_image(written(odd + block() * 3)) as image:
        assert image.geometry.erase_size >= 64 * KIB or any("erase size" in guess for guess in image.guesses)


# ---- what is guessed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "erase"), [(None, 64), (512, 16), (2048, 128), (4096, 256)])
def test_an_erased_medium_is_all_guesses(written, page, erase):
    with open_image(written(b"\xff" * (1 << 20)), page_size=page) as image:
        assert image.geometry.erase_size == erase * KIB
        assert image.guesses == [
            f"erase size {erase} KiB (nothing on the medium shows it)",
            "byte order little (the medium is erased)",
        ]
        assert image.fs().list() == []


def test_the_file_size_bounds_the_guess(written):
    with open_image(written(block(inode(2, 1), size=16 * KIB) + b"\xff" * 32 * KIB)) as image:
        assert image.geometry.erase_size == 16 * KIB


@pytest.mark.parametrize(
    ("page", "given", "subpage"), [(512, None, 512), (2048, None, 512), (4096, None, 1024), (2048, 2048, 2048)]
)
def test_subpages_are_assumed_quietly(written, page, given, subpage):
    with open_image(written(b"\xff" * (1 << 20)), page_size=page, subpage_size=given) as image:
        assert image.geometry.subpage_size == subpage
        assert image.assumed_subpage == (subpage if given is None else None)
        assert not any("subpage" in guess for guess in image.guesses)


def test_a_nor_without_cleanmarkers_is_doubted(written):
    with open_image(written(block(inode(2, 1), clean=False)), erase_size=64 * KIB) as image:
        assert image.guesses == ["bit-writable NOR (though it has no cleanmarkers; --page-size says that it is a NAND)"]


def test_cleanmarkers_at_no_multiples_are_nothing_to_write_by(written):
    """Eraseblocks of 96 KiB, and a node across each multiple of 32 KiB: found by guess, and read by it."""
    nodes = [inode(number, 1, bytes([number]) * 4000) for number in range(2, 242)]
    path = written(medium_of(*[block(*nodes[at : at + 24], size=96 * KIB) for at in range(0, 240, 24)]))
    with open_image(path) as image:
        assert any(guess.startswith("erase size") for guess in image.guesses)
    with pytest.raises(GeometryError, match=r"not all of 10 cleanmarkers stand at multiples .* say --erase-size"):
        open_image(path, writable=True)


def test_what_is_given_is_no_guess(written):
    path = written(block(inode(2, 1), clean=False) * 2)
    with open_image(path, erase_size=64 * KIB, page_size=2048, device_size=1 << 20, endian="little") as image:
        assert image.guesses == []


# ---- what is refused -------------------------------------------------------------------------------------------------


@needs_mkfs
@pytest.mark.parametrize(
    ("flavour", "given", "reason"),
    [
        ("little", 32, "nodes cross its boundaries; 64 KiB is likely right"),
        ("little", 128, "cleanmarkers stand within such blocks; 64 KiB is likely right"),
        ("big", 128, "cleanmarkers stand within such blocks; 64 KiB is likely right"),
        ("summary", 128, "summaries show another; 64 KiB is likely right"),
        ("nand", 8, "nodes cross its boundaries; 16 KiB is likely right"),
        ("nand-summary", 256, "summaries show another; 128 KiB is likely right"),
    ],
)
def test_a_wrong_erase_size(made, flavour, given, reason):
    path = made(flavour)
    with pytest.raises(GeometryError) as error:
        open_image(path, erase_size=given * KIB)
    assert str(error.value) == f"{path}: wrong erase size {given} KiB: {reason}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"erase_size": 100_000}, "an eraseblock of 100000 bytes is impossible"),
        ({"erase_size": 2048}, "an eraseblock of 2048 bytes is impossible"),
        ({"page_size": 1000}, "a page of 1000 bytes is impossible"),
        ({"page_size": 1 << 17}, "a page of 131072 bytes is impossible"),
        ({"page_size": 8192, "erase_size": 4096}, "a page of 8192 bytes is larger than the eraseblock"),
        ({"device_size": 128 * KIB}, "the device size 128 KiB is smaller than the image of 192 KiB"),
        ({"device_size": 200_000}, "the device size 200000 bytes is not a number of eraseblocks of 64 KiB"),
        ({"device_size": 1 << 32}, "is not a number of eraseblocks of 64 KiB below 4 GiB"),
        ({"page_size": 2048, "subpage_size": 48}, "geometry"),
    ],
)
def test_impossible_geometry(written, options, message):
    size = options.get("erase_size")
    content = b"\xff" * (192 * KIB) if size else medium_of(count=3)
    path = written(content)
    with pytest.raises(GeometryError, match=message):
        open_image(path, **options)


@pytest.mark.parametrize(
    "content", [b"\x00" * 4096, b"no file system" * 5000, b"\x85\x19" * 4096, b"\xff" * 4096 + b"x"]
)
def test_no_jffs2(written, content):
    path = written(content)
    with pytest.raises(FormatError, match="is no JFFS2 image") as error:
        open_image(path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_node_that_kernels_refuse_names_the_file(written):
    from jffs2tx import format as medium

    path = written(medium_of(block(medium.build(0xE0FF, "little"))))
    with open_image(path) as image, pytest.raises(FormatError) as error:
        image.fs()
    assert error.value.path == str(path)


def test_the_wrong_byte_order(written):
    path = written(medium_of(block(inode(2, 1))))
    with pytest.raises(FormatError, match="is a little-endian image, not a big-endian one"):
        open_image(path, endian="big")


def test_an_empty_file(written):
    path = written(b"")
    with pytest.raises(GeometryError, match="is empty"):
        open_image(path)
    with open_image(path, device_size=1 << 20) as image:
        assert image.fs().space.free == 16


def test_what_is_no_file(tmp_path):
    with pytest.raises(IsADirectory, match="is a directory, not an image"):
        open_image(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Refused, match="is no regular file"):
        open_image(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
        with pytest.raises(Refused, match="is no regular file"):
            open_image(tmp_path / "socket")
    with pytest.raises(FileNotFoundError):
        open_image(tmp_path / "none")


@pytest.mark.parametrize("writable", [False, True])
def test_other_devices_are_refused(writable):
    with pytest.raises(Refused, match="/dev/null: is neither an image file nor an MTD device"):
        open_image("/dev/null", writable=writable)


def test_one_writer_at_a_time(written):
    path = written(medium_of())
    with open_image(path, writable=True):
        with pytest.raises(Refused, match="another jffs2tx is writing to it"):
            open_image(path, writable=True)
        open_image(path).close()
    open_image(path, writable=True).close()


def test_what_was_opened_to_be_read_takes_no_changes(written):
    path = written(medium_of())
    with jffs2tx.open(path) as fs:
        with pytest.raises(Refused, match="writable=True"):
            fs.transaction()
        with pytest.raises(Refused, match="writable=True"):
            fs.recover()


def test_nothing_is_written_by_opening(written):
    content = medium_of(count=3)[:-100]
    path = written(content)
    with open_image(path, writable=True, device_size=1 << 20) as image:
        image.fs()
    assert path.read_bytes() == content


def test_file_systems_close_with_the_image(written):
    with open_image(written(medium_of())) as image:
        first, second = image.fs(), image.fs()
        first.close()
    with pytest.raises(ValueError, match="closed"):
        second.list()
    image.close()


@needs_root
def test_a_symbolic_link_to_an_image(written, tmp_path):
    (tmp_path / "link").symlink_to(written(medium_of()))
    open_image(tmp_path / "link").close()


WHOLE = medium_of(block(dirent(b"a", 2, 1), inode(2, 1)), count=8)


@pytest.mark.parametrize("length", [0, 100, 70_000])
def test_a_file_that_is_cut_short_while_it_is_open(tmp_path, length):
    """One sentence, no SIGBUS: nothing of the file is mapped."""
    path = tmp_path / "image"
    path.write_bytes(WHOLE)
    with open_image(path, writable=True) as image:
        os.truncate(path, length)
        with pytest.raises(HostError, match="became shorter while it was in use"):
            image.fs()


def test_a_file_that_is_cut_short_while_it_is_looked_at(tmp_path, monkeypatch):
    path = tmp_path / "image"
    path.write_bytes(WHOLE)
    preadv = os.preadv

    def cut_first(fd, buffers, offset):
        os.truncate(path, 100)
        return preadv(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", cut_first)
    with pytest.raises(HostError, match="became shorter while it was read"), open_image(path):
        pass


def test_holes_of_a_file_are_zeros(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(WHOLE)
    with path.open("r+b") as file:
        file.truncate(len(WHOLE) + (32 << 20))
        file.seek(0, os.SEEK_END)
        file.write(WHOLE[: 64 * KIB])
    with open(path, "rb", buffering=0) as file, _copied(str(path), file, path.stat().st_size, 0, 100) as content:
        assert content[:100] == path.read_bytes()[:100]
    size = path.stat().st_size
    with open(path, "rb", buffering=0) as file, _copied(str(path), file, size, 0, size) as content:
        assert content[:] == path.read_bytes()
