"""torture, replay: an upgrade is tried on a copy of the target in memory, and the power is cut in it everywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jffs2tx import upgrade
from jffs2tx.device import Flash
from jffs2tx.errors import InvalidValue
from jffs2tx.faults import ALL_FAMILIES, Family, Recording, Tally, Token, families, record, viewers_of
from jffs2tx.faults.keep import keep_image
from jffs2tx.faults.replay import Sight, rebuild, sights
from jffs2tx.faults.torture import Work, jobs_of, plan_work
from jffs2tx.faults.torture import torture as judge_all
from jffs2tx.image import Image
from jffs2tx.manifest import Manifest
from jffs2tx.ops.upgrade import chosen_readers, tag_of, told
from jffs2tx.progress import ProgressCallback
from jffs2tx.readers import Reader
from jffs2tx.source import Source


@dataclass(frozen=True, slots=True)
class Trial:
    """An upgrade of a copy of the target, recorded."""

    image: Image
    readers: tuple[Reader, ...]
    outcome: upgrade.Outcome
    recording: Recording

    def facts(self) -> dict:
        plan = self.outcome.plan
        facts = {
            "target": self.image.path,
            "inputs": self.recording.fingerprint(),
            "changes": not plan.is_empty,
            "strategy": None if plan.is_empty else plan.strategy.value,
            "warnings": list(plan.warnings),
        }
        return told(facts, self.image, self.readers) | {
            "judged_as": [str(viewer) for viewer in self.recording.viewers],
            "operations": self.recording.operations,
        }


@contextmanager
def _trial(
    image: Image,
    manifest: Manifest,
    source: Source,
    strategy: str,
    names: tuple[str, ...],
    progress: ProgressCallback | None,
) -> Iterator[Trial]:
    """The target is only read. Raises what apply would."""
    readers = chosen_readers(image, names)
    image.fs().close()  # what cannot be read at all is refused with the target's name
    outcomes = []

    def land(flash: Flash) -> None:
        outcome = upgrade.apply_upgrade(
            flash,
            upgrade.wanted_tree(manifest),
            source.open,
            readers=readers,
            strategy=strategy,
            endian=image.endian,
            tag=tag_of(manifest),
            progress=progress,
        )
        outcomes.append(outcome)

    with image.flash.simulate() as sim:
        sim.live = image.flash.live
        recording = record(sim, land, endian=image.endian, viewers=viewers_of(readers))
        yield Trial(image, readers, outcomes[0], recording)


# ---- torture ---------------------------------------------------------------------------------------------------------


def torture(
    image: Image,
    *,
    manifest: Manifest,
    source: Source,
    strategy: str,
    readers: tuple[str, ...],
    faults: str,
    depth: int,
    limit: int | None,
    jobs: int | None,
    progress: ProgressCallback | None,
) -> dict:
    """Judges the crash images of an upgrade; `failure_count` is 0 where the promise holds.

    faults: names joined by commas, or all. limit: how many images at most; None: every one. jobs: threads; None: one a
    processor. Raises InvalidValue, and what apply would.
    """
    chosen = families(faults.split(","), ALL_FAMILIES)
    with _trial(image, manifest, source, strategy, readers, progress) as trial:
        work = plan_work(trial.recording, chosen, limit, depth)
        if progress:
            progress("torture", 0, work.images)
        begin = time.monotonic()
        report = judge_all(trial.recording, work, depth=depth, jobs=jobs, progress=progress)
        seconds = time.monotonic() - begin
        possible = sum(work.possible.values())
        return trial.facts() | {
            "commit_operation": report.commit_cut - 1 if report.commit_cut else None,
            "depth": depth,
            "jobs": jobs_of(jobs),
            "possible_images": possible,
            "images": work.images,
            "sampled": work.images < possible,
            "faults": [_row(ALL_FAMILIES[name], tally, work) for name, tally in report.tallies.items()],
            "total": _counts(report.total),
            "failure_count": report.total.failure_count,
            "failures": [{"token": str(token), "text": words} for token, words in report.failures],
            "seconds": round(seconds, 3),
        }


def _row(family: Family, tally: Tally, work: Work) -> dict:
    return {
        "fault": family.name,
        "description": family.description,
        "possible_images": work.possible[family.name],
    } | _counts(tally)


def _counts(tally: Tally) -> dict:
    return {
        "images": tally.states,
        "distinct": tally.distinct,
        "old": tally.old,
        "new": tally.new,
        "split": tally.split,
        "third": tally.third,
        "readings": tally.unstable,
        "recovered": tally.recovered,
        "second_cuts": tally.inner,
        "third_cuts": tally.third_cuts,
        "failures": tally.failure_count,
    }


# ---- replay ----------------------------------------------------------------------------------------------------------


def replay(
    image: Image,
    *,
    manifest: Manifest,
    source: Source,
    strategy: str,
    readers: tuple[str, ...],
    token: str,
    output: Path | None,
    progress: ProgressCallback | None,
) -> dict:
    """Builds the crash image of a token again, keeps it, and says what its readers see.

    Raises InvalidValue where the token belongs to another upgrade, Exists where the output is there, and what apply
    would.
    """
    parsed = Token.parse(token)
    with _trial(image, manifest, source, strategy, readers, progress) as trial:
        facts = trial.facts()
        if parsed.inputs != facts["inputs"]:
            raise InvalidValue(
                f"the token belongs to other inputs: it begins with {parsed.inputs}; target, manifest, options and "
                f"version as they are here give {facts['inputs']}"
            )
        with rebuild(trial.recording, parsed.family.bit, parsed.place) as crash:
            seen = sights(trial.recording, crash)
            kept = keep_image(image, crash, output or Path(f"{str(parsed).replace(':', '-')}.jffs2"))
        return facts | _replayed(parsed, trial.recording) | {"kept": str(kept), "seen": [_seen(one) for one in seen]}


def _replayed(token: Token, recording: Recording) -> dict:
    place = token.place
    cut = f"operation {place.cut} of {recording.operations}, "
    cut += recording.describe(place.cut, place.tear, token.family.bit)
    if place.inner:
        cut += f"; then in recover, before its operation {place.inner.cut}"
    return {
        "token": str(token),
        "fault": token.family.name,
        "power_failed_in": cut,
        "staged_until": recording.prepared,
        "committed_by": recording.committed,
    }


def _seen(sight: Sight) -> dict:
    return {
        "reader": str(sight.viewer),
        "tree": sight.tree,
        "error": sight.error,
        "beside_old": list(sight.beside_old),
        "beside_new": list(sight.beside_new),
        "sentences": list(sight.sentences()),
    }
