"""A plan and what came of it as flat facts: the same for people and for --json. Sizes are bytes, times seconds."""

from __future__ import annotations

from jffs2tx.device import FlashStats, Geometry
from jffs2tx.upgrade import Outcome


def plan_facts(outcome: Outcome, geometry: Geometry) -> dict:
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
        "warnings": list(plan.warnings),
        "full_rewrite_bytes": geometry.size,
        "full_rewrite_blocks": geometry.blocks,
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


def apply_facts(outcome: Outcome, geometry: Geometry, before: FlashStats, after: FlashStats, seconds: float) -> dict:
    """What an upgrade did, with the work that the flash had of it."""
    facts = plan_facts(outcome, geometry) | {
        "programmed_bytes": after.bytes_programmed - before.bytes_programmed,
        "erased_blocks": after.erases - before.erases,
        "verified_bytes": after.bytes_verified - before.bytes_verified,
        "ecc_corrected_bits": after.ecc_corrected - before.ecc_corrected,
        "seconds": round(seconds, 3),
    }
    if outcome.unsettled:
        facts["warnings"] = [*facts["warnings"], f"the new tree stands, but run recover again: {outcome.unsettled}"]
    if outcome.recovery:
        facts["dead_blocks_erased"] = outcome.recovery.blocks_erased
    return facts
