"""Small media on which an extent or a geometry that was only guessed did harm: bytes by name."""

import os
import random
import struct
import subprocess

from .images import KIB, cleanmarker

BLOCK = 64 * KIB
FEW = {"app": random.Random(1).randbytes(500_000), "app.ver": b"1\n"}
MANY = {f"etc/conf.{number:02}": random.Random(number).randbytes(200) for number in range(20)}


def mkfs(directory, files, *options, size=None):
    """What mkfs.jffs2 makes of these files, erased from there to size."""
    root = directory / f"tree{len(os.listdir(directory))}"
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    image = root.with_suffix(".jffs2")
    subprocess.run(["mkfs.jffs2", "-l", "-r", root, "-o", image, *options], check=True, capture_output=True)
    return image.read_bytes().ljust(size or 0, b"\xff")


def marked(data):
    """With a cleanmarker in each erased block, as the kernel leaves it."""
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    return b"".join(cleanmarker().ljust(BLOCK, b"\xff") if not block.strip(b"\xff") else block for block in blocks)


def squashfs(size, seed=2):
    head = b"hsqs" + bytes(36) + struct.pack("<Q", size)
    body = head + random.Random(seed).randbytes(size - len(head))
    return body + b"\xff" * (-len(body) % BLOCK)


def calibration(seed=3):
    """A MAC address at the start of a block, data of a radio in the middle, and nothing else."""
    block = bytearray(b"\xff" * BLOCK)
    block[:12] = bytes.fromhex("14cc2001020314cc20010204")
    block[0x1000:0x1440] = random.Random(seed).randbytes(0x440)
    return bytes(block)


def router(directory):
    """A boot loader, an overlay, and calibration data at the end."""
    overlay = mkfs(directory, MANY, "-e", "64KiB", size=20 * BLOCK)
    return random.Random(4).randbytes(8 * BLOCK) + overlay + calibration()


def neighbours(directory):
    few = mkfs(directory, FEW, "-e", "64KiB", size=16 * BLOCK)
    return marked(few) + squashfs(600_000) + marked(mkfs(directory, MANY, "-e", "64KiB", size=6 * BLOCK))


def side_by_side(directory):
    few = mkfs(directory, FEW, "-e", "64KiB", size=16 * BLOCK)
    return few + mkfs(directory, MANY, "-e", "64KiB", size=6 * BLOCK)
