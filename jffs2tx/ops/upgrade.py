"""plan, apply, recover, mkfs: what writes, or shows what would be written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from jffs2tx import compression, upgrade
from jffs2tx.errors import Refused
from jffs2tx.facts import apply_facts, live_warnings, plan_facts
from jffs2tx.geometry import new_geometry
from jffs2tx.image import Image
from jffs2tx.manifest import Manifest
from jffs2tx.mkfs import write_image
from jffs2tx.plan import Plan
from jffs2tx.progress import ProgressCallback
from jffs2tx.readers import Reader, Strategy, named
from jffs2tx.source import Source

TAG_BYTES = 16


def plan(image: Image, *, manifest: Manifest, source: Source, strategy: str, readers: tuple[str, ...]) -> dict:
    """What apply would do, proved without a write. readers: names; none: Image.reader. Raises what would stop it."""
    chosen = chosen_readers(image, readers)
    with image.fs() as fs:
        outcome = upgrade.plan_upgrade(
            fs, upgrade.wanted_tree(manifest), source.open, readers=chosen, strategy=strategy
        )
        replaced = (*outcome.plan.removed, *(entry.path for entry in outcome.plan.inodes))
        warnings = compression.warnings(fs, chosen, replaced)
    facts = plan_facts(outcome)
    facts["warnings"] = [
        f"{text}; apply wants --yes" if text in outcome.plan.risks else text for text in facts["warnings"]
    ]
    return told(facts, image, chosen, warnings)


def apply(
    image: Image,
    *,
    manifest: Manifest,
    source: Source,
    strategy: str,
    readers: tuple[str, ...],
    progress: ProgressCallback | None,
    yes: bool = False,
) -> dict:
    """Lands the manifest's tree as one transaction. An error before the commit leaves the old tree.

    yes: also where the plan looks like a mistake (jffs2tx.plan.risks); else Refused.
    """
    chosen = chosen_readers(image, readers)
    image.fs().close()  # what cannot be read at all is refused with the target's name
    corrected = image.flash.stats.ecc_corrected
    outcome = upgrade.apply_upgrade(
        image.flash,
        upgrade.wanted_tree(manifest),
        source.open,
        readers=chosen,
        strategy=strategy,
        endian=image.endian,
        tag=tag_of(manifest),
        progress=progress,
        confirm=_accept if yes else _check_risks,
    )
    with image.fs() as fs:
        facts = apply_facts(outcome, image.geometry, fs.space, image.flash.stats.ecc_corrected - corrected)
        warnings = compression.warnings(fs, chosen)
    return told(facts, image, chosen, warnings)


def recover(image: Image, *, progress: ProgressCallback | None) -> dict:
    """Finishes or clears what a cut left. Idempotent; quick where nothing waits."""
    done = upgrade.recover(image.flash, endian=image.endian, path=image.path, readers=chosen_readers(image, ()))
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
    geometry = new_geometry(str(output), erase_size, page_size, size)
    manifest = source.manifest(progress)
    write_image(output, geometry, manifest, source.open, endian=endian, compression=compression, progress=progress)


def _accept(plan: Plan) -> None:
    """The user has said yes."""


def _check_risks(plan: Plan) -> None:
    """Raises Refused."""
    if plan.risks:
        raise Refused(f"{'; '.join(plan.risks)}; nothing was written: --yes does it all the same")


def tag_of(manifest: Manifest) -> bytes:
    """What the blocks of its transaction say of a manifest."""
    return hashlib.sha256(manifest.to_text()).digest()[:TAG_BYTES]


def chosen_readers(image: Image, names: tuple[str, ...]) -> tuple[Reader, ...]:
    """Those named, or those of the target. Raises InvalidValue."""
    return named(names or (image.reader,))


def told(facts: dict, image: Image, readers: tuple[Reader, ...], warnings: Iterable[str] = ()) -> dict:
    """The facts with the readers they hold for, and what to beware of: warnings, and what the target tells.

    Lift programs subpages, and no image tells whether its chip takes them, nor a dump how its driver makes ECC; a
    mounted target has its rules.
    """
    evidence = image.reader_evidence if [reader.name for reader in readers] == [image.reader] else None
    facts["readers"] = [reader.name for reader in readers]
    facts["reader_evidence"] = evidence
    facts["warnings"] = [*facts["warnings"], *warnings]
    if facts["strategy"] == Strategy.LIFT and image.assumed_subpage:
        sentence = f"the chip is assumed to take programs of {image.assumed_subpage} bytes, a part of its page"
        facts["warnings"].append(sentence)
    if facts["changes"] and image.mounted is not None:
        facts["warnings"] += live_warnings(image.mounted, image.geometry, readers)
    if facts["changes"] and image.oob and not image.oob.ecc_step:
        sentence = "the dump's ECC is unknown, what is written has none: nandwrite --oob makes it, --noecc does not"
        facts["warnings"].append(sentence)
    return facts
