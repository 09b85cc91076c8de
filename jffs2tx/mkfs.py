"""A new image of a directory: the same writer as a transaction's staging, on an erased flash."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import InvalidValue, NoSpace
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Manifest
from jffs2tx.newfile import new_file
from jffs2tx.plan import Link, New, Plan, parent_of
from jffs2tx.readers import Strategy
from jffs2tx.staging import COMPRESSION_BITS, Content, Figures, Progress, Run, compression_mask

#: What --compression means: the methods of which the smallest result is taken.
COMPRESSIONS = {
    "none": ("none", "zero"),
    "rtime": ("none", "zero", "rtime"),
    "zlib": ("none", "zero", "zlib"),
    "lzo": ("none", "zero", "lzo"),
    "best": tuple(COMPRESSION_BITS),
}

MEASURE_BLOCKS = 8


def plan_of(manifest: Manifest) -> Plan:
    """Every inode new, the root first, every name in a new directory: nothing is left for a commit set."""
    plan = Plan(Strategy.SWAP, "a new image")
    refs: dict[bytes, New] = {}
    groups: dict[int, New] = {}
    times: dict[bytes, int] = {}
    for entry in manifest:
        ref = groups.get(entry.inode) if entry.inode is not None else None
        if ref is None:
            ref = New(len(plan.inodes))
            plan.inodes.append(entry)
            if entry.inode is not None:
                groups[entry.inode] = ref
        refs[entry.path] = ref
        times[entry.path] = entry.time
        if entry.path:
            parent = parent_of(entry.path)
            plan.links.append(Link(refs[parent], entry.path, ref, entry.type, times[parent]))
    return plan


def make_filesystem(
    flash: Flash,
    manifest: Manifest,
    content: Content,
    *,
    endian: str = "little",
    compression: str = "zlib",
    summary: bool = False,
    progress: Progress = None,
) -> Figures:
    """Writes the tree on an erased flash; blocks that stay free get their cleanmarkers. Raises NoSpace."""
    mask = _mask(compression)
    with (
        FileSystem(flash, endian=endian) as fs,
        Run(fs, plan_of(manifest), dry=False, mask=mask, summary=summary, fresh=True) as run,
    ):
        run.stage(content, progress, "write")
        run.prepare()
        run.commit()
        return run.figures


def write_image(
    path: Path,
    geometry: Geometry,
    manifest: Manifest,
    content: Content,
    *,
    endian: str = "little",
    compression: str = "zlib",
    summary: bool = False,
    progress: Progress = None,
) -> Figures:
    """An image file of the tree, which appears whole or not at all. geometry.size 0: as many blocks as it takes."""
    settings = {"endian": endian, "compression": compression, "summary": summary}
    if not geometry.size:
        geometry = replace(geometry, size=geometry.erase_size * _blocks_for(geometry, manifest, content, **settings))
    with new_file(path, streams=True) as file, Flash.memory(geometry) as flash:
        figures = make_filesystem(flash, manifest, content, progress=progress, **settings)
        for offset in range(0, geometry.size, geometry.erase_size):
            file.write(flash.read(offset, geometry.erase_size))
    return figures


def _blocks_for(
    geometry: Geometry, manifest: Manifest, content: Content, *, endian: str, compression: str, summary: bool
) -> int:
    """How many eraseblocks the tree takes, by a run that writes nothing."""
    some = replace(geometry, size=MEASURE_BLOCKS * geometry.erase_size)
    with (
        Flash.memory(some) as flash,
        FileSystem(flash, endian=endian) as fs,
        Run(fs, plan_of(manifest), dry=True, mask=_mask(compression), summary=summary, fresh=True) as run,
    ):
        run.stage(content, None, "measure")
        with suppress(NoSpace):  # only the count is wanted
            run.prepare()
        return run.figures.blocks_needed


def _mask(compression: str) -> int:
    try:
        return compression_mask(COMPRESSIONS[compression])
    except KeyError:
        known: Iterable[str] = COMPRESSIONS
        raise InvalidValue(f"unknown compression '{compression}': one of {', '.join(known)}") from None
