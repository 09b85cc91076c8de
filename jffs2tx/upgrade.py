"""An upgrade of a whole tree: compared, planned, proved dry, staged, committed, settled; and recovery from a cut."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.collect import Collection, collect, estimate
from jffs2tx.device import Flash
from jffs2tx.errors import Busy, HostError, MediumError, NoSpace, OutOfMemory, Refused
from jffs2tx.filesystem import STATES, STRATEGIES, FileSystem, make_reader
from jffs2tx.manifest import Manifest
from jffs2tx.meter import Meter, Work
from jffs2tx.oldtree import old_tree
from jffs2tx.outcome import Tree
from jffs2tx.plan import Medium, Plan, Wanted, make_plan
from jffs2tx.readers import Reader, compressors, knows_summaries, named
from jffs2tx.staging import Content, Figures, Progress, Run, compression_mask, no_room

#: Once the new tree is there these are no failure of the upgrade.
_LEFT_TO_RECOVER = (MediumError, HostError, Refused, OutOfMemory)

_COMPRESSION_BY_NUMBER = {0: "none", 1: "zero", 2: "rtime", 6: "zlib", 7: "lzo"}


@dataclass(frozen=True, slots=True)
class Recovery:
    """What recover found and did."""

    state_before: str
    state: str
    blocks_erased: int
    nodes_moved: int
    bits_cleared: int

    @property
    def did_nothing(self) -> bool:
        return not (self.blocks_erased or self.nodes_moved or self.bits_cleared)


def recover(
    flash: Flash, *, endian: str | None = None, path: str | None = None, readers: tuple[Reader, ...] = ()
) -> Recovery:
    """Finishes a committed transaction or clears a staged one. Idempotent; may be cut at any point and run again.

    Fit for every boot: where nothing waits, it reads little more than the start of each eraseblock. path: for messages.
    readers: who will mount it; none: not known.
    """
    return _recovery(lib.jx_recover, flash, endian, readers, "recovering", path)


def tidy(flash: Flash, *, endian: str | None = None, readers: tuple[Reader, ...] = ()) -> Recovery:
    """recover() by a full scan in any case, which also erases every block in which nothing is needed."""
    return _recovery(lib.jx_tidy, flash, endian, readers, "tidying")


def drop_commits(flash: Flash, *, endian: str | None = None, readers: tuple[Reader, ...] = ()) -> Recovery:
    """Erases what a cut left of a commit that does not stand; what was staged for it stays, to be taken over."""
    return _recovery(lib.jx_drop_commits, flash, endian, readers, "clearing a cut commit")


def _recovery(
    function, flash: Flash, endian: str | None, readers: tuple[Reader, ...], doing: str, path: str | None = None
) -> Recovery:
    out = ffi.new("struct jx_recovery *")
    reader = make_reader(endian, True, 256, abilities={"no_marks": knows_summaries(readers)})
    check(function(flash.handle, reader, out), doing=doing, path=path)
    return Recovery(STATES[out.state_before], STATES[out.state], out.blocks_erased, out.nodes_moved, out.bits_cleared)


# ---- the two trees and the medium ------------------------------------------------------------------------------------


def wanted_tree(manifest: Manifest) -> dict[bytes, Wanted]:
    return {entry.path: Wanted(entry) for entry in manifest}


def medium_of(fs: FileSystem) -> Medium:
    geometry = fs.flash.geometry
    geo = geometry.to_c()

    def limit(strategy: str, summary_bytes: int) -> int:
        return lib.jx_strategy_limit(STRATEGIES.index(strategy), geo, summary_bytes)

    def suits(strategy: str) -> bool:
        return lib.jx_strategy_suits(STRATEGIES.index(strategy), geo) == lib.JX_OK

    return Medium(geometry.kind, geometry.erase_size, suits, limit, fs.has_xattrs)


# ---- plan and apply --------------------------------------------------------------------------------------------------


def _compression(fs: FileSystem, readers: tuple[Reader, ...]) -> int:
    """What the medium already uses, and what every reader is known to have."""
    used = {_COMPRESSION_BY_NUMBER[c] for c in fs.compressions() if c in _COMPRESSION_BY_NUMBER}
    allowed = used | set(compressors(readers)) | {"none"}
    if "lzo" not in used:
        allowed.discard("lzo")  # three times the time for the same size as zlib
    return compression_mask(allowed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan with its figures; `figures` are None where nothing changes."""

    plan: Plan
    figures: Figures | None
    collection: Collection | None = None  # what makes the room that is missing
    recovery: Recovery | None = None
    unsettled: str | None = None  # why settling after the commit is left to a later `recover`
    work: tuple[Work, ...] = ()  # of apply, phase by phase


def _prove(fs: FileSystem, plan: Plan, content: Content, readers: tuple[Reader, ...], progress: Progress) -> Figures:
    """The whole upgrade without a write: content is checked, sizes are exact. Raises what would stop it."""
    with Run(fs, plan, dry=True, **_settings(fs, readers)) as run:
        run.stage(content, progress, "check")
        with suppress(NoSpace):  # garbage collection may help
            run.prepare()
        return run.figures


def _wants_summary(fs: FileSystem, readers: tuple[Reader, ...]) -> bool:
    """Summaries where the medium has them already and every reader of them copes with what they list."""
    return fs.has_summaries and all(reader.summary is not True or reader.xattr_in_summary for reader in readers)


def _settings(fs: FileSystem, readers: tuple[Reader, ...]) -> dict:
    return {
        "mask": _compression(fs, readers),
        "summary": _wants_summary(fs, readers),
        "no_marks": knows_summaries(readers),
    }


def plan_upgrade(
    fs: FileSystem,
    wanted: dict[bytes, Wanted],
    content: Content,
    *,
    readers: tuple[Reader, ...] | None = None,
    strategy: str = "auto",
    progress: Progress = None,
) -> Outcome:
    """What apply_upgrade would do, proved without a write. Raises what would stop it."""
    readers = readers or named(("linux",))
    fs.check_writable()
    live = fs.flash.live
    if live and fs.status.state == "committed":
        raise Busy("an upgrade stands already and waits for the reboot, then for recover")
    plan = make_plan(old_tree(fs), wanted, medium_of(fs), readers, strategy)
    if plan.is_empty:
        return Outcome(plan, None)
    figures = _prove(fs, plan, content, readers, progress)
    if figures.fits:
        return Outcome(plan, figures)
    if live:
        raise no_room(figures, figures.blocks_wanted - figures.blocks_available, live)
    summary = _wants_summary(fs, readers)
    if plan.adopted:  # garbage collection would take the blocks of what was staged: begin anew
        plan = make_plan(old_tree(fs, resume=False), wanted, medium_of(fs), readers, strategy)
        with FileSystem(fs.flash, endian=fs.endian) as fresh:  # in which nothing is adopted
            figures = _prove(fresh, plan, content, readers, progress)
            enough, collection = estimate(fresh, figures.blocks_wanted, summary=summary)
    else:
        enough, collection = estimate(fs, figures.blocks_wanted, summary=summary)
    if not enough:
        raise no_room(figures, collection.blocks_missing)
    return Outcome(plan, figures, collection if not figures.fits else None)


def apply_upgrade(
    flash: Flash,
    wanted: dict[bytes, Wanted],
    content: Content,
    *,
    readers: tuple[Reader, ...] | None = None,
    strategy: str = "auto",
    endian: str | None = None,
    tag: bytes = bytes(16),
    progress: Progress = None,
    settle: bool = True,
    confirm: Callable[[Plan], None] = lambda plan: None,
) -> Outcome:
    """Lands the wanted tree as one transaction.

    The whole is proved dry first; then what an earlier cut left is finished, room is made where it is missing, and the
    tree is staged, committed and settled.
    An error before the commit leaves the old tree; at any time `flash.tree` says which is there. `tag` (16 bytes) is
    what the blocks say of this transaction.
    confirm: raises what stops this plan, before the first write. A live flash gets neither finishing nor room, and
    settles only what the running kernel does not read.
    """
    readers = readers or named(("linux",))
    meter = Meter(flash)
    with meter.phase("plan"), FileSystem(flash, endian=endian) as fs:
        outcome = plan_upgrade(fs, wanted, content, readers=readers, strategy=strategy, progress=progress)
        state = fs.status.state
        summary = _wants_summary(fs, readers)
    if outcome.plan.is_empty:
        return replace(outcome, work=tuple(meter.work))
    confirm(outcome.plan)
    flash.tree = Tree.OLD
    if state != "none":
        with meter.phase("recover"):
            if state == "committed":  # moves nodes as they are: the tree, and so the plan, stays what it was
                recover(flash, endian=endian, readers=readers)
            else:  # a commit that was cut may wait even where the kernel has written behind what was staged
                drop_commits(flash, endian=endian, readers=readers)
    if outcome.collection:
        with meter.phase("collect"):
            done = collect(flash, outcome.figures.blocks_wanted, endian=endian, summary=summary, readers=readers)
        outcome = replace(outcome, collection=done)
    with FileSystem(flash, endian=endian) as fs:
        figures, unsettled = _land(fs, outcome.plan, content, readers, tag, progress, meter)
    outcome = replace(outcome, figures=figures, unsettled=unsettled)
    if settle and not flash.live and not unsettled:
        with meter.phase("settle"):
            outcome = _settle(flash, outcome, endian, readers)
    if not outcome.unsettled:
        flash.tree = Tree.FINISHED
    return replace(outcome, work=tuple(meter.work))


def _land(
    fs: FileSystem,
    plan: Plan,
    content: Content,
    readers: tuple[Reader, ...],
    tag: bytes,
    progress: Progress,
    meter: Meter,
) -> tuple[Figures, str | None]:
    """The figures, and why nothing may be settled although the new tree is there."""
    with Run(fs, plan, dry=False, tag=tag, **_settings(fs, readers)) as run:
        with meter.phase("stage"):
            try:
                run.stage(content, progress, "stage")
                run.prepare()
            except BaseException:
                run.abort()
                raise
        fs.flash.check_users()  # no abort: if the kernel writes now, the blocks may be its own by now
        with meter.phase("commit"):
            return run.figures, _commit(run)


def _commit(run: Run) -> str | None:
    """Why nothing may be settled although the new tree is there."""
    flash = run.fs.flash
    try:
        run.commit()
        flash.tree = run.tree
    except BaseException as error:  # an interruption too, which comes when the core returns
        flash.tree = run.tree
        if run.tree is Tree.OLD:
            run.abort()
        if run.tree is not Tree.NEW or not isinstance(error, _LEFT_TO_RECOVER):
            raise
        return str(error)
    return None


def _settle(flash: Flash, landed: Outcome, endian: str | None, readers: tuple[Reader, ...]) -> Outcome:
    try:
        return replace(landed, recovery=tidy(flash, endian=endian, readers=readers))
    except _LEFT_TO_RECOVER as error:
        return replace(landed, unsettled=str(error))
