"""A plan and what came of it as flat facts: the same for people and for --json. Sizes are bytes, times seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jffs2tx.device import Geometry
from jffs2tx.filesystem import Space
from jffs2tx.meter import Work
from jffs2tx.outcome import Tree, sentence
from jffs2tx.progress import format_bytes
from jffs2tx.readers import Reader
from jffs2tx.upgrade import Outcome


def plan_facts(outcome: Outcome) -> dict:
    """What an upgrade would do, or did."""
    plan, figures = outcome.plan, outcome.figures
    facts = {
        "changes": not plan.is_empty,
        "strategy": None if plan.is_empty else plan.strategy.value,
        "reason": plan.reason,
        "unchanged": plan.unchanged,
        "new_inodes": len(plan.inodes),
        "new_names": len(plan.links),
        "removed_names": len(plan.unlinks),
        "new_metadata": len(plan.attributes),
        "rebuilt_directories": [path.decode("utf-8", "backslashreplace") for path in plan.rebuilt],
        "warnings": [*plan.warnings, *plan.risks],
    }
    if figures:
        facts |= {
            "staged_bytes": figures.staged_bytes,
            "staged_blocks": figures.staged_blocks,
            "commit_bytes": figures.commit_bytes,
            "commit_limit_bytes": figures.commit_limit,
            "blocks_needed": figures.blocks_needed,
            "blocks_available": figures.blocks_available,
            "blocks_reserve": figures.reserve,
        }
    if outcome.collection:
        facts |= {
            "collect_erased_blocks": outcome.collection.blocks_erased,
            "collect_written_blocks": outcome.collection.blocks_written,
            "collect_moved_bytes": outcome.collection.bytes_moved,
        }
    return facts


def live_warnings(mounted: str, geometry: Geometry, readers: tuple[Reader, ...]) -> list[str]:
    """What who upgrades a mounted file system has to know. mounted: the mount point."""
    warnings = [
        f"mounted read-only at {mounted}: the running system keeps its old tree; reboot, and never remount it "
        "read-write before"
    ]
    if geometry.kind == "nor" and not all(reader.summary for reader in readers):
        warnings.append(
            "recover must run after the reboot and before it is mounted read-write: a kernel without summary support "
            "could bring back old names"
        )
    return warnings


def _work_facts(work: Iterable[Work], geometry: Geometry) -> dict:
    """The sum of some phases."""
    verified = sum(phase.verified for phase in work)
    facts = {
        "programmed_bytes": sum(phase.programmed for phase in work),
        "erased_blocks": sum(phase.erased for phase in work),
        "verified_bytes": verified,
    }
    if geometry.write_size > 1:
        facts["verified_pages"] = verified // geometry.write_size
    return facts | {"seconds": round(sum(phase.seconds for phase in work), 3)}


def _phase_facts(phase: Work, geometry: Geometry) -> dict:
    facts = {"phase": phase.phase} | _work_facts([phase], geometry)
    text = (
        f"{phase.phase}: {format_bytes(phase.programmed)} programmed, {phase.erased} blocks erased, "
        f"{format_bytes(phase.verified)} verified, {phase.seconds:.3f} s"
    )
    return facts | {"text": text}


def _full_rewrite_facts(work: Sequence[Work], geometry: Geometry, space: Space) -> dict:
    """What erasing the partition and writing the new tree's image would take; the time at the pace of this staging."""
    size = space.needed_bytes
    pace = next(
        (phase.seconds / phase.programmed for phase in work if phase.phase == "stage" and phase.programmed), 0.0
    )
    return _work_facts([Work("full rewrite", pace * size, size, space.blocks - space.bad, size)], geometry)


def apply_facts(outcome: Outcome, geometry: Geometry, space: Space, ecc_corrected: int) -> dict:
    """What an upgrade did, with the work that the flash had of it. space: after it; ecc_corrected: bits, during it."""
    facts = plan_facts(outcome) | _work_facts(outcome.work, geometry) | {"ecc_corrected_bits": ecc_corrected}
    facts["unsettled"] = outcome.unsettled
    facts["phases"] = [_phase_facts(phase, geometry) for phase in outcome.work]
    facts["full_rewrite"] = _full_rewrite_facts(outcome.work, geometry, space)
    if outcome.unsettled:
        facts["warnings"] = [*facts["warnings"], sentence(f"not all is finished: {outcome.unsettled}", Tree.NEW)]
    if outcome.recovery:
        facts["dead_blocks_erased"] = outcome.recovery.blocks_erased
    return facts
