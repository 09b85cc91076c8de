"""The C core's judge: which tree each reader sees on every crash image of a recording, and what recover makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.faults.recording import Recording
from jffs2tx.faults.tokens import Place
from jffs2tx.faults.viewers import Viewer
from jffs2tx.filesystem import ENDIANS

NOTED_MAX = 50  # failures that are told one by one
_NONE = 0xFFFFFFFF
_TREES = {lib.JX_TREE_OLD: "old", lib.JX_TREE_NEW: "new"}

FAILURES = {
    lib.JX_FAIL_THIRD: "neither tree",
    lib.JX_FAIL_EARLY: "new before the commit",
    lib.JX_FAIL_LOST: "old after the commit",
    lib.JX_FAIL_RECOVER: "recover failed",
    lib.JX_FAIL_CHANGED: "recover changed the tree",
    lib.JX_FAIL_AGAIN: "a second recover had work to do",
    lib.JX_FAIL_UNSETTLED: "not settled after recover",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A crash image on which the promise is broken, for one reader."""

    place: Place
    kind: str  # of FAILURES
    viewer: Viewer
    error: str | None  # what recover returned
    schedule: int | None = None  # F6: how what was under way was read

    def __str__(self) -> str:
        unstable = "" if self.schedule is None else f", unstable by schedule {self.schedule}"
        return f"{self.kind}{f' ({self.error})' if self.error else ''}{unstable}, {self.viewer}"


@dataclass(slots=True)
class Tally:
    """Crash images, counted.

    `old`, `new`: all readers see that tree; `split`: some the one and some the other; `third`: some reader sees
    neither. They add up to `distinct`. `seen_*` count once for each reader.
    """

    states: int = 0
    distinct: int = 0
    old: int = 0
    new: int = 0
    third: int = 0
    seen_old: int = 0
    seen_new: int = 0
    seen_third: int = 0
    recovered: int = 0
    inner: int = 0  # images of a second cut
    third_cuts: int = 0  # and of a third
    inner_distinct: int = 0  # of both, those unlike any before
    unstable: int = 0  # mounts and recoveries, each by other readings of what was under way
    wavering: int = 0  # of the mounts, those that saw neither tree because a reading changed within them
    failure_count: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def split(self) -> int:
        return self.distinct - self.old - self.new - self.third

    def __add__(self, other: Tally) -> Tally:
        """Failures as they come; what is beyond NOTED_MAX is only counted."""
        total = Tally(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Tally)))
        del total.failures[NOTED_MAX:]
        return total


class Judge:
    """One judge of a recording; some may work on it at a time, each in its own thread. Use with `with`, or close().

    recover_cuts, recover_tears: recover is run on each n-th image of whole, of torn operations; 0: on none. inner:
    families (a bit mask) of a second cut inside it; inner_tears: for each n-th of the torn ones only, the
    others are cut between two operations. third_cuts: a third cut after each n-th second one. unstable_cuts: F6 for
    each n-th operation. plain: the slow way, a check on the judge itself.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        recover_cuts: int = 0,
        recover_tears: int = 0,
        inner: int = 0,
        inner_tears: int = 0,
        third_cuts: int = 0,
        unstable_cuts: int = 0,
        plain: bool = False,
    ) -> None:
        self.recording = recording
        options = ffi.new("struct jx_judge_options *")
        options.old_digest, options.new_digest = recording.old_digest, recording.new_digest
        options.prepared, options.committed = recording.prepared, recording.committed
        options.recover_cuts, options.recover_tears, options.inner_faults = recover_cuts, recover_tears, inner
        options.inner_tears, options.third_cuts, options.unstable_cuts = inner_tears, third_cuts, unstable_cuts
        options.plain = plain
        order = ENDIANS[recording.endian]
        readers = ffi.new(
            "struct jx_reader[]",
            [{"endian": order} | viewer.abilities(recording.compressions) for viewer in recording.viewers],
        )
        out = ffi.new("jx_judge **")
        code = lib.jx_judge_open(recording.sim.handle, options, readers, len(readers), out)
        check(code, doing="judging crash images")
        self._handle = out[0]
        self.commit_cut = 0  # the first cut at which every reader sees the new tree; 0: none, or before any

    def cuts(self, faults: int, first: int, end: int) -> Tally:
        """Every crash image of these families with its cut in [first, end)."""
        out = ffi.new("struct jx_judgement *")
        failures = ffi.new("struct jx_failure[]", NOTED_MAX)
        code = lib.jx_judge_cuts(self._handle, faults, first, end, out, failures, len(failures))
        check(code, doing="judging crash images")
        self.commit_cut = 0 if out.commit_cut == _NONE else out.commit_cut
        return Tally(
            out.states,
            out.distinct,
            out.all_old,
            out.all_new,
            out.any_third,
            out.seen_old,
            out.seen_new,
            out.seen_third,
            out.recovered,
            out.inner,
            out.third,
            out.inner_distinct,
            out.unstable,
            out.wavering,
            out.failures,
            [self._failure(failures[i]) for i in range(min(out.failures, NOTED_MAX))],
        )

    def all(self, faults: int) -> Tally:
        return self.cuts(faults, 0, self.recording.operations + 1)

    def look(self, flash: Flash) -> list[str]:
        """What each reader sees on a medium in memory: old, new or neither."""
        tree = ffi.new("uint32_t *")
        seen = []
        for index in range(len(self.recording.viewers)):
            check(lib.jx_judge_look(self._handle, flash.handle, index, tree), doing="looking at a crash image")
            seen.append(_TREES.get(tree[0], "neither"))
        return seen

    def _failure(self, one) -> Failure:
        third = None if one.third_cut == _NONE else Place(one.third_cut, one.third_tear)
        inner = None if one.inner_cut == _NONE else Place(one.inner_cut, one.inner_tear, third)
        error = ffi.string(lib.jx_strerror(one.error)).decode() if one.error else None
        viewer = self.recording.viewers[one.reader]
        schedule = None if one.schedule == _NONE else one.schedule
        return Failure(Place(one.cut, one.tear, inner), FAILURES[one.kind], viewer, error, schedule)

    def close(self) -> None:
        if self._handle is not None:
            lib.jx_judge_close(self._handle)
            self._handle = None

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
