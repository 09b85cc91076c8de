"""Images that mkfs.jffs2 (with sumtool) and the lab's kernels make. They hold times of their making, so they are kept
as they are; this makes others of the same kind.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import histories
from ..lab import build
from ..lab.lab import Case, Lab, call, gc, mount, read_back, remount, umount
from .judge import device
from .nodes import KIB, NAND, NOR, Chip, noise, prose

SMALL_NOR, SMALL_NAND = Chip("nor", 16 * KIB, 512 * KIB), Chip("nand", 16 * KIB, 512 * KIB, 512)
TIME = 1_000_000_000


@dataclass(frozen=True)
class Made:
    name: str
    about: str
    made: str
    chip: Chip
    order: str
    image: bytes


# ---- mkfs.jffs2 ------------------------------------------------------------------------------------------------------

#: name -> (what is shown by it, order, chip, options of mkfs.jffs2, whether sumtool runs)
MKFS = {
    "mkfs": ("The defaults: zlib and rtime.", "little", NOR, [], False),
    "mkfs-big": ("The same, big-endian.", "big", NOR, [], False),
    "mkfs-summary": ("With summaries by sumtool.", "little", NOR, [], True),
    "mkfs-summary-big": ("With summaries, big-endian.", "big", NOR, [], True),
    "mkfs-nand": ("For NAND: no cleanmarkers.", "little", NAND, ["-n"], False),
    "mkfs-nand-summary": ("For NAND, with summaries.", "little", NAND, ["-n"], True),
    "mkfs-lzo": ("Compressed by lzo alone.", "little", NOR, ["-X", "lzo", "-x", "zlib", "-x", "rtime"], False),
    "mkfs-rtime": ("Compressed by rtime alone.", "little", NOR, ["-x", "zlib", "-x", "lzo"], False),
    "mkfs-none": ("Not compressed.", "little", NOR, ["-m", "none"], False),
    "mkfs-squashed": ("All owned by root.", "little", NOR, ["-U"], False),
    "mkfs-padded": ("Padded to the chip's end, without cleanmarkers.", "little", NOR, ["-p", "-n"], False),
}


def source_tree(root: Path) -> None:
    """One of everything that mkfs.jffs2 takes; needs root."""
    (root / "etc/deep/er").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "etc/text").write_bytes(prose(1, 9000))
    (root / "etc/deep/noise").write_bytes(noise(1, 20000))
    (root / "etc/deep/er/zeros").write_bytes(bytes(10000))
    (root / "nothing").write_bytes(b"")
    (root / "text.link").symlink_to("etc/text")
    os.link(root / "etc/text", root / "hard")
    os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    os.mknod(root / "disk", 0o060660, os.makedev(8, 1))
    os.mkfifo(root / "fifo")
    (Path(os.fsencode(root).decode()) / os.fsdecode(b"\xff name")).write_bytes(b"odd")
    os.setxattr(root / "etc/text", "user.colour", b"red")
    os.chown(root / "etc/deep/noise", 1000, 65535)
    os.chmod(root / "nothing", 0o4755)
    for above, directories, files in os.walk(root):
        for name in (*directories, *files):
            os.utime(os.path.join(above, name), (TIME, TIME), follow_symlinks=False)


def mkfs() -> Iterator[Made]:
    for name, (about, order, chip, options, summed) in MKFS.items():
        with tempfile.TemporaryDirectory() as scratch:
            source, plain, result = (Path(scratch) / part for part in ("source", "plain", "summed"))
            source.mkdir()
            source_tree(source)
            words = ["-b" if order == "big" else "-l", "-e", f"{chip.erase // KIB}KiB"]
            words += ["-n"] if chip.kind == "nand" else []
            padding = [f"--pad={chip.size:#x}"] if "-p" in options else []
            more = [word for word in options if word != "-p" and (word != "-n" or "-n" not in words)]
            argv = ["mkfs.jffs2", *words, *more, *padding, "--with-xattr", "-r", str(source), "-o", str(plain)]
            subprocess.run([build.tool(argv[0]), *argv[1:]], check=True, capture_output=True)
            shown = " ".join(argv[:-4])
            if summed:
                subprocess.run(
                    [build.tool("sumtool"), *words, "-i", plain, "-o", result], check=True, capture_output=True
                )
                shown += "; sumtool " + " ".join(words)
            yield Made(name, about, shown, chip, order, (result if summed else plain).read_bytes())


# ---- kernels ---------------------------------------------------------------------------------------------------------

#: name -> (what is shown by it, kernel, chip, mount options, seed, whether it is cut: read while mounted)
HISTORIES = {
    "kernel-nor": ("A history by Linux 6.1 on NOR.", "stock", SMALL_NOR, "", 1, False),
    "kernel-nor-cut": ("The same on NOR, its power cut.", "stock", SMALL_NOR, "compr=zlib", 2, True),
    "kernel-nosummary": ("By a kernel without summary support.", "nosummary", SMALL_NOR, "", 3, False),
    "kernel-nosummary-cut": ("The same, its power cut.", "nosummary", SMALL_NOR, "compr=none", 4, True),
    "kernel-big": ("By a big-endian kernel.", "bigendian", SMALL_NOR, "", 5, False),
    "kernel-nand": ("On NAND.", "stock", SMALL_NAND, "compr=lzo", 6, False),
    "kernel-nand-cut": ("On NAND, its power cut.", "stock", SMALL_NAND, "", 7, True),
    "kernel-nand-big": ("On NAND, big-endian.", "bigendian", SMALL_NAND, "compr=zlib", 8, False),
}


def kernel(lab: Lab) -> Iterator[Made]:
    cases = []
    for name, (_, variant, chip, options, seed, cut) in HISTORIES.items():
        steps = [mount(options=options), call(histories.__file__, f"{seed}.1", 40), remount(), gc(20, 0.001)]
        steps += [call(histories.__file__, f"{seed}.2", 30), *([read_back()] if cut else [umount(), read_back()])]
        cases.append(Case(name, device(chip), None, "all" if chip.kind == "nand" else (), variant, steps))
    for result in lab.run(cases):
        assert result.ok, result.why()
        about, variant, chip, options, seed, cut = HISTORIES[result.id]
        made = f"tests/histories.py, seed {seed}, in the kernel lab ({variant}{', ' + options if options else ''})"
        order = "big" if variant == "bigendian" else "little"
        yield Made(result.id, about, made, chip, order, result.named("read_back")[-1].image)
