"""plan, apply, recover, mkfs: what writes, or shows what would be written."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from jffs2tx import upgrade
from jffs2tx.device import Geometry
from jffs2tx.facts import apply_facts, plan_facts
from jffs2tx.image import OOB_AVAIL_BYTES, Image, assume_subpage
from jffs2tx.manifest import Manifest
from jffs2tx.mkfs import write_image
from jffs2tx.progress import ProgressCallback
from jffs2tx.readers import Reader, Strategy
from jffs2tx.source import Source

TAG_BYTES = 16


def plan(image: Image, *, manifest: Manifest, source: Source, strategy: str, readers: tuple[Reader, ...]) -> dict:
    """What apply would do, proved without a write. Raises what would stop it."""
    with image.fs() as fs:
        outcome = upgrade.plan_upgrade(
            fs, upgrade.wanted_tree(manifest), source.open, readers=readers, strategy=strategy
        )
    return _with_assumption(plan_facts(outcome, image.geometry), image)


def apply(
    image: Image,
    *,
    manifest: Manifest,
    source: Source,
    strategy: str,
    readers: tuple[Reader, ...],
    progress: ProgressCallback | None,
) -> dict:
    """Lands the manifest's tree as one transaction. An error before the commit leaves the old tree."""
    image.fs().close()  # what cannot be read at all is refused with the target's name
    before, start = image.flash.stats, time.monotonic()
    outcome = upgrade.apply_upgrade(
        image.flash,
        upgrade.wanted_tree(manifest),
        source.open,
        readers=readers,
        strategy=strategy,
        endian=image.endian,
        tag=hashlib.sha256(manifest.to_text()).digest()[:TAG_BYTES],
        progress=progress,
    )
    seconds = time.monotonic() - start
    facts = apply_facts(outcome, image.geometry, before, image.flash.stats, seconds)
    return _with_assumption(facts, image)


def recover(image: Image, *, progress: ProgressCallback | None) -> dict:
    """Finishes or clears what a cut left. Idempotent; quick where nothing waits."""
    done = upgrade.recover(image.flash, endian=image.endian, path=image.path)
    return {
        "state_before": done.state_before,
        "state": done.state,
        "blocks_erased": done.blocks_erased,
        "nodes_moved": done.nodes_moved,
        "bits_cleared": done.bits_cleared,
    }


def mkfs(
    *,
    source: Source,
    output: Path,
    erase_size: int,
    page_size: int | None,
    size: int | None,
    endian: str,
    compression: str,
    progress: ProgressCallback | None,
) -> None:
    """Writes an image of the source. Raises GeometryError, NoSpace, SourceError, ManifestError."""
    if page_size is None:
        geometry = Geometry("nor", size or 0, erase_size)
    else:
        geometry = Geometry("nand", size or 0, erase_size, page_size, assume_subpage(page_size), OOB_AVAIL_BYTES)
    manifest = source.manifest(progress)
    write_image(output, geometry, manifest, source.open, endian=endian, compression=compression, progress=progress)


def _with_assumption(facts: dict, image: Image) -> dict:
    """Lift programs subpages, and an image does not tell whether its chip takes them."""
    if facts["strategy"] == Strategy.LIFT and image.assumed_subpage:
        sentence = f"the chip is assumed to take programs of {image.assumed_subpage} bytes, a part of its page"
        facts["warnings"].append(sentence)
    return facts
