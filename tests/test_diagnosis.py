"""An image that holds no JFFS2 says why, in one sentence that tells what to do."""

import lzma
import random
import shutil
import struct
import subprocess
import zlib

import pytest

from jffs2tx.cli import main
from jffs2tx.diagnosis import FORMATS, is_loader_text
from jffs2tx.errors import FormatError
from jffs2tx.image import open_image
from jffs2tx.view import View

from .images import KIB, block, dirent, inode, medium_of

RANDOM = random.Random(3).randbytes(200 * KIB)
TEXT = b"".join(b"%d is a line of some text\n" % number for number in range(9000))
JFFS2 = medium_of(block(dirent(b"a", 2, 1), inode(2, 1, TEXT[:4000]), inode(2, 2, TEXT[:3000])))


def ext2():
    image = bytearray(64 * KIB)
    image[1080:1082] = b"\x53\xef"
    image[1024:1028] = struct.pack("<I", 16)
    return bytes(image)


def mirrored(data):
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)


def swapped(data, size):
    return b"".join(data[at : at + size][::-1] for at in range(0, len(data), size))


CASES = {
    "zeros": (bytes(64 * KIB), "every byte of it is zero"),
    "ubi": (b"UBI#\x01\0\0\0" + RANDOM, "this is UBI: attach it with ubiattach"),
    "ubi behind erased flash": (b"\xff" * 128 * KIB + b"UBI#\x01\0\0\0" + RANDOM, "this is UBI from offset 0x20000 on"),
    "ubifs": (b"\x31\x18\x10\x06" + RANDOM, "this is UBIFS"),
    "squashfs": (b"hsqs" + RANDOM, "this is squashfs: unsquashfs reads it"),
    "big-endian squashfs": (b"sqsh" + RANDOM, "squashfs (big-endian)"),
    "cramfs": (b"\x45\x3d\xcd\x28" + RANDOM, "this is cramfs"),
    "ext2": (ext2(), "this is ext2, ext3 or ext4"),
    "gzip": (b"\x1f\x8b\x08" + RANDOM, "this is gzip data: gunzip it first"),
    "xz": (lzma.compress(TEXT), "this is xz data: unxz it first"),
    "lzma": (lzma.compress(TEXT, format=lzma.FORMAT_ALONE), "this is LZMA data"),
    "zstd": (b"\x28\xb5\x2f\xfd" + RANDOM, "this is zstd data"),
    "uImage": (b"\x27\x05\x19\x56" + RANDOM, "this is a U-Boot image (uImage)"),
    "trx": (b"HDR0" + RANDOM, "this is a TRX image"),
    "fit": (b"\xd0\x0d\xfe\xed" + RANDOM, "flattened image tree (FIT)"),
    "tar": (b"name".ljust(257, b"\0") + b"ustar" + TEXT, "this is a tar archive"),
    "yaffs": (b"\x03\0\0\0\x01\0\0\0\xff\xff" + TEXT, "this is YAFFS2"),
    "something later": (TEXT[: 64 * KIB] + b"hsqs" + RANDOM, "squashfs starts at 0x10000"),
    "encrypted": (RANDOM, "its bytes look random"),
    "text": (TEXT, "is well formed: is this the right part of the flash?"),
    "16-bit words swapped": (swapped(JFFS2, 2), "the bytes of each 16-bit word are swapped"),
    "32-bit words swapped": (swapped(JFFS2, 4), "the bytes of each 32-bit word are swapped"),
    "mirrored bits": (mirrored(JFFS2), "the bits of each byte are in reverse order"),
    "swapped nibbles": (bytes((b << 4 | b >> 4) & 255 for b in JFFS2), "the halves of each byte are swapped"),
    "inverted": (bytes(b ^ 255 for b in JFFS2), "all bits are inverted"),
    "version 1": (b"1984".ljust(64, b"\x01") * 900, "this is JFFS, version 1"),
    "the old magic": (struct.pack("<HHI", 0x1984, 1, 0) * 9000, "JFFS2's old magic number 0x1984"),
    "two chips": (bytes(byte for byte in JFFS2 for _ in range(2)), "alternate byte by byte"),
    "two chips, one after the other": (JFFS2[0::2] + JFFS2[1::2], "two chips one after the other"),
    "no header whole": (struct.pack("<HHI", 0x1985, 0xE002, 68) * 9000, "not one header has a good CRC"),
    "one stray byte": (b"\xff" * 4096 + b"x", "is well formed"),
    "tiny": (b"x", "is well formed"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_says_why(name, tmp_path, capsys):
    content, reason = CASES[name]
    path = tmp_path / "image"
    path.write_bytes(content)
    for command in (["status"], ["ls"], ["dump"], ["cat", "a"]):
        assert main([command[0], str(path), *command[1:]]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"jffs2tx: {path}: is no JFFS2 image: ") and said.count("\n") == 1
        assert reason in said


@pytest.mark.parametrize("transform", ["16-bit words swapped", "mirrored bits"])
def test_a_transformed_dump_is_seen_behind_a_boot_loader_and_erased_flash(transform, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"\xff" * 256 * KIB + CASES[transform][0])
    with pytest.raises(FormatError, match=CASES[transform][1]):
        open_image(path)


@pytest.mark.parametrize("number", range(len(FORMATS)))
def test_every_format_of_the_table(number, tmp_path):
    magic, where, name, remedy = FORMATS[number]
    content = bytearray(TEXT[: 64 * KIB])
    content[where : where + len(magic)] = magic
    path = tmp_path / "image"
    path.write_bytes(content)
    with pytest.raises(FormatError) as error:
        open_image(path)
    assert f"this is {name}: {remedy}" in str(error.value)


@pytest.mark.parametrize("tool", ["mksquashfs", "mkfs.ext4", "mkfs.ubifs", "mkimage", "zstd"])
def test_the_real_thing(tool, tmp_path):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is missing")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(TEXT)
    commands = {
        "mksquashfs": ["mksquashfs", "tree", "image", "-quiet"],
        "mkfs.ext4": ["mkfs.ext4", "-q", "image", "1M"],
        "mkfs.ubifs": ["mkfs.ubifs", "-r", "tree", "-m", "2048", "-e", "126976", "-c", "100", "-o", "image"],
        "mkimage": ["mkimage", "-A", "arm", "-T", "kernel", "-C", "none", "-d", "tree/file", "image"],
        "zstd": ["zstd", "-q", "tree/file", "-o", "image"],
    }
    subprocess.run(commands[tool], cwd=tmp_path, check=True, capture_output=True)
    names = {"mksquashfs": "squashfs", "mkfs.ext4": "ext4", "mkfs.ubifs": "UBIFS", "mkimage": "uImage", "zstd": "zstd"}
    with pytest.raises(FormatError, match=names[tool]):
        open_image(tmp_path / "image")


def test_an_erased_image_is_an_empty_file_system_and_says_so(tmp_path, capsys):
    path = tmp_path / "image"
    path.write_bytes(b"\xff" * (1 << 20))
    assert main(["ls", str(path)]) == 0
    assert "the medium is erased" in capsys.readouterr().err


def test_jffs2_that_is_compressed_as_a_whole(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"\x1f\x8b\x08\0" + zlib.compress(JFFS2)[2:])
    with pytest.raises(FormatError, match="gunzip it first"):
        open_image(path)


@pytest.mark.parametrize("text", [b"A", b"a=", b"A ", b"a=\0\xff"])
def test_a_boot_loaders_environment_is_looked_for_in_linear_time(text):
    """Were each byte a start of its own, this would take an hour."""
    amount = 1 << 20
    view = View(text * (amount // len(text)), 0, amount)
    assert not is_loader_text(view, 0, amount)
