"""Ordinary images, each upgraded once by the command line with the options that such an image has always needed.

    python -m tests.ordinary N [--first SEED] [--keep DIRECTORY]

builds N images by seed: mkfs.jffs2, with and without sumtool, and a kernel-like writer; NOR and NAND; as long as their
device, or short of it. It prints how many upgrades landed, how many were refused, and each sentence of a refusal. An
upgrade that ends well must show the tree that was asked for, by the true geometry; exit status 1 if one does not.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from jffs2tx.comparison.vfs import Kernel
from jffs2tx.device import Flash, Geometry
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Manifest
from jffs2tx.source import Source
from jffs2tx.tree import manifest_of

from . import rootfs
from .commands import captured

KIB = 1024
MAKERS = ("mkfs.jffs2", "mkfs.jffs2 and sumtool", "kernel", "kernel with summaries")
SHAPES = ("whole device", "short, whole eraseblocks", "short")
_SUMMARY = ("--reader", "linux-summary")
#: Flash -> geometry, and the options that its images have always needed.
FLASHES = {
    "NOR, 8 KiB": (Geometry("nor", 2048 * KIB, 8 * KIB), ()),
    "NOR, 64 KiB": (Geometry("nor", 4096 * KIB, 64 * KIB), ()),
    "NOR, 128 KiB": (Geometry("nor", 4096 * KIB, 128 * KIB), ()),
    "NAND, 512": (Geometry("nand", 4096 * KIB, 16 * KIB, 512, 256, 8), ("--page-size", "512", *_SUMMARY)),
    "NAND, 2,048": (Geometry("nand", 8192 * KIB, 128 * KIB, 2048, 512, 38), ("--page-size", "2048")),
}


@dataclass(frozen=True)
class Outcome:
    """What became of one image. result: landed, refused, or WRONG TREE."""

    seed: int
    maker: str
    flash: str
    shape: str
    upgrade: str
    result: str
    sentence: str = ""


# ---- images ----


def _mkfs(old: Path, folder: Path, geometry: Geometry, sums: bool) -> bytes:
    nand = geometry.kind == "nand"
    erase = ["-e", str(geometry.erase_size), *(["-n"] if nand else [])]
    page = ["-s", str(geometry.write_size)] if nand else []
    made, summed = folder / "made", folder / "summed"
    _run("mkfs.jffs2", "-l", "-r", old, "-o", made, *erase, *page)
    if sums:
        _run("sumtool", "-l", "-i", made, "-o", summed, *erase)
    return (summed if sums else made).read_bytes()


def _run(*command) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def _kernel(old: Path, rng: random.Random, geometry: Geometry, summary: bool) -> bytes:
    """Written file by file; some are written twice, some removed."""
    with Flash.memory(geometry) as flash:
        kernel = Kernel(flash, summary=summary)
        for path in sorted(old.rglob("*")):
            _copy(kernel, path, path.relative_to(old).as_posix(), rng)
        kernel.sync()
        return flash.read(0, geometry.size)


def _copy(kernel: Kernel, path: Path, name: str, rng: random.Random) -> None:
    if path.is_symlink():
        kernel.symlink(str(path.readlink()), name)
        return
    if path.is_dir():
        kernel.mkdir(name)
        return
    kernel.create(name)
    if rng.random() < 0.2:
        kernel.write(name, rng.randbytes(500))
        kernel.truncate(name)
    kernel.write(name, path.read_bytes())
    if rng.random() < 0.1:
        kernel.create(name + "~")
        kernel.unlink(name + "~")


def _shaped(image: bytes, geometry: Geometry, shape: str) -> bytes:
    """As long as the device, or without its erased end; what mkfs.jffs2 made may end anywhere."""
    if shape == "whole device":
        return image.ljust(geometry.size, b"\xff")
    used = len(image.rstrip(b"\xff"))
    unit = geometry.erase_size if shape == "short, whole eraseblocks" else 4
    return image.ljust(-(-used // unit) * unit, b"\xff")[: -(-used // unit) * unit]


# ---- upgrades ----


def _wanted(new: Path, image: bytes, geometry: Geometry) -> Manifest:
    """The new tree; what is the same as on the medium keeps its metadata, as from a builder that keeps times."""
    with Flash.memory(geometry, image) as flash, FileSystem(flash) as fs:
        before = {entry.path: entry for entry in manifest_of(fs)}
    with Source(new) as source:
        return Manifest(_kept(entry, before.get(entry.path)) for entry in source.manifest())


def _kept(entry, before):
    kinds = ("type", "size", "sha256", "link", "device")
    same = before is not None and all(getattr(entry, kind) == getattr(before, kind) for kind in kinds)
    return replace(before, inode=entry.inode) if same else entry


def try_one(seed: int, folder: Path) -> Outcome:
    rng = random.Random(f"ordinary {seed}")
    maker, shape, kind = rng.choice(MAKERS), rng.choice(SHAPES), rng.choice(rootfs.KINDS)
    flash = rng.choice(sorted(FLASHES))
    geometry, options = FLASHES[flash]
    old, new, target, text = (folder / name for name in ("old", "new", "image", "manifest"))
    old.mkdir()
    rootfs.make(old, rng, rng.choice((20, 60, 100)))
    rootfs.upgrade(old, new, rng, kind)
    made = (
        _kernel(old, rng, geometry, maker.endswith("summaries"))
        if maker.startswith("kernel")
        else _mkfs(old, folder, geometry, maker.endswith("sumtool"))
    )
    image = _shaped(made, geometry, shape)
    target.write_bytes(image)
    wanted = _wanted(new, image, geometry)
    text.write_bytes(wanted.to_text())
    if shape != "whole device":
        options += ("--device-size", str(geometry.size))
    status, _, said = captured(["apply", str(target), str(text), "--from", str(new), "--quiet", *options])
    known = (seed, maker, flash, shape, kind)
    if status:
        return Outcome(*known, "refused", said.replace(str(folder), "").strip())
    with Flash.memory(geometry, target.read_bytes()) as upgraded, FileSystem(upgraded) as fs:
        return Outcome(*known, "landed" if manifest_of(fs) == wanted else "WRONG TREE", said.strip())


# ---- the table ----


def _cell(outcomes: list[Outcome]) -> str:
    results = Counter(outcome.result for outcome in outcomes)
    return " ".join([f"{results['landed']}/{len(outcomes)}", *(["WRONG"] if results["WRONG TREE"] else [])])


def table(outcomes: list[Outcome]) -> str:
    """Landed of all, by maker and flash; then each kind of refusal once, with its seeds."""
    lines = [f"| landed | {' | '.join(FLASHES)} |", "| --- |" + " --- |" * len(FLASHES)]
    for maker in MAKERS:
        cells = [[o for o in outcomes if (o.maker, o.flash) == (maker, flash)] for flash in FLASHES]
        lines.append(f"| {maker} | {' | '.join(map(_cell, cells))} |")
    lines.append("")
    for shape in SHAPES:
        lines.append(f"{shape}: {_cell([o for o in outcomes if o.shape == shape])}")
    refusals: dict[str, list[int]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.result != "landed":
            refusals[re.sub(r"0x[0-9a-f]+|\d[\d,]*|\./\S+", "…", outcome.sentence)].append(outcome.seed)
    for sentence, seeds in sorted(refusals.items(), key=lambda item: (-len(item[1]), item[0])):
        lines.append(f"\n{len(seeds)} not landed, seeds {', '.join(map(str, seeds[:8]))}: {sentence}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ordinary", description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="leave images and trees here")
    options = parser.parse_args()
    outcomes = []
    for seed in range(options.first, options.first + options.count):
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.keep / str(seed) if options.keep else Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            outcomes.append(try_one(seed, folder))
    print(table(outcomes))
    return any(outcome.result == "WRONG TREE" for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
