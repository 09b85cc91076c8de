"""Every cut and tear of the canonical transactions leaves the old tree or the new one; and the judge itself is judged.

`make cut` does the same with nothing left out, and prints the counts.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jffs2tx._ffi import lib
from jffs2tx.errors import InvalidValue
from jffs2tx.faults import VIEWERS
from jffs2tx.faults.replay import rebuild, sights
from jffs2tx.faults.trees import digest

from .crash_images import samples_of
from .crashes import FAULTS, STRATEGIES, Case, cases, judge, judge_another, parse_token, record, start_flash, transact
from .scenarios import NOW, SCENARIOS

#: Those with thousands of programs.
HUGE = [case for case in cases() if case.geometry == "nor" and case.what.scale > 1]


def the_case(token: str) -> Case:
    return Case(*token.split(":"))


@pytest.mark.parametrize("case", [case for case in cases() if case not in HUGE], ids=str)
def test_every_state_is_old_or_new(case):
    """F1 to F4; recover on all whole cuts and on some tears, and a second cut inside it."""
    recording = record(case)
    small = case.what.scale == 1 and not case.what.tight
    verdict = judge(
        recording, recover_cuts=1 if small else 20, recover_tears=50 if small else 2000, inner=lib.JX_F1_CUT
    )
    recording.close()
    assert not verdict.failure_count, "\n".join(verdict.failures)
    assert verdict.third == 0
    if case.scenario == "empty":
        assert verdict.states == 1
    else:
        assert verdict.old and verdict.new and verdict.states > 50


@pytest.mark.parametrize("case", HUGE, ids=str)
def test_whole_cuts_of_thousands_of_programs(case):
    """Tears of these are for `make cut`: there are most of a million."""
    recording = record(case)
    verdict = judge(recording, faults=lib.JX_F1_CUT, recover_cuts=200)
    recording.close()
    assert verdict.states > 3000
    assert not verdict.failure_count, "\n".join(verdict.failures)


@pytest.mark.parametrize(
    "case, every",
    [
        ("nor:swap:type-change", 4),
        ("nor:flip:type-change", 4),
        ("nand512:seal:type-change", 4),
        ("nand2k:lift:type-change", 4),
        ("nand2k:seal:tight", 2),
    ],
)
def test_another_transaction_after_a_cut(case, every):
    """Without a recover before it, whatever the cut left; it is cut too."""
    recording = record(the_case(case))
    states, failures = judge_another(recording, every=every)
    recording.close()
    assert states > 50
    assert not failures, "\n".join(failures)


# ---- the judge -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["nor:flip:delete", "nand512:seal:rename", "nand2k:lift:dir-xattr", "nand2kbe:seal:xattr"]
)
def test_what_is_kept_changes_no_verdict(token):
    """The same with each look from scratch, through jx_fs_open."""
    recording = record(the_case(token))
    quick, plain = judge(recording), judge(recording, plain=True)
    recording.close()
    for verdict in (quick, plain):
        verdict.seconds = 0.0
    assert quick == plain


@pytest.mark.parametrize("geometry", ["nor", "nand2k"])
def test_two_commits_in_one_recording_are_noticed(geometry):
    """Between the two stands a tree that is neither the first nor the last."""
    case = Case(geometry, STRATEGIES[geometry][1], "replace")
    sim = start_flash(case)
    recording = record(case, sim)
    transact(sim, lambda tx, b: tx.put(f"{b}etc/passwd", b"root"), case, case.strategy, NOW)
    recording.committed = recording.operations
    recording.new_digest = digest(sim)
    verdict = judge(recording, faults=lib.JX_F1_CUT)
    recording.close()
    assert verdict.third > 0 and "neither tree" in verdict.failures[0]


def test_a_late_and_an_early_commit_are_noticed():
    recording = record(the_case("nor:flip:replace"))
    right = judge(recording, faults=lib.JX_F1_CUT)
    assert not right.failure_count and recording.prepared < right.commit_cut <= recording.committed
    recording.committed = right.commit_cut - 1
    assert "old after the commit" in judge(recording, faults=lib.JX_F1_CUT).failures[0]
    recording.prepared = recording.committed = right.commit_cut
    assert "new before the commit" in judge(recording, faults=lib.JX_F1_CUT).failures[0]
    recording.close()


def test_a_tree_that_goes_back_is_noticed():
    """Old, new, and old again: each after the first is a lost commit."""
    case = the_case("nand2k:seal:replace")
    sim = start_flash(case)
    recording = record(case, sim, lambda tx, b: tx.utime(f"{b}etc/motd", 7))
    recording.old_digest = recording.new_digest
    transact(sim, lambda tx, b: tx.utime(f"{b}etc/motd", 8), case, case.strategy, NOW)
    recording.new_digest = digest(sim)
    transact(sim, lambda tx, b: tx.utime(f"{b}etc/motd", 7), case, case.strategy, NOW)
    recording.committed = recording.operations
    verdict = judge(recording, faults=lib.JX_F1_CUT)
    recording.close()
    assert any("old after the commit" in failure for failure in verdict.failures)


def test_what_no_reader_was_promised_is_seen():
    """A sealed set is not there for a reader without summary support: that one sees the new tree late, as said."""
    recording = record(the_case("nand2k:seal:replace"))
    promised = judge(recording, faults=lib.JX_F1_CUT)
    recording.viewers = VIEWERS
    verdict = judge(recording, faults=lib.JX_F1_CUT)
    recording.close()
    assert not promised.failure_count and verdict.commit_cut > promised.commit_cut


def test_there_are_enough_of_them():
    names = {case.scenario for case in cases()}
    assert names == set(SCENARIOS) and len(names) >= 12
    assert {(case.geometry, case.strategy) for case in cases()} == {
        (g, s) for g, all_s in STRATEGIES.items() for s in all_s
    }


def test_a_token_is_rebuilt(tmp_path):
    image = tmp_path / "image"
    argv = [sys.executable, "-m", "tests.cut", "nand2k:seal:rename-dir:c5.t3", "-o", str(image)]
    root = Path(__file__).parent.parent
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(root)]))
    env = os.environ | {"PYTHONPATH": path}  # the sanitized run keeps the working directory off the path
    said = subprocess.run(argv, capture_output=True, text=True, check=True, env=env).stdout
    assert "the old tree" in said and image.stat().st_size == 16 * 128 * 1024
    for wrong in ("nand2k:seal:c5", "nand2k:flip:rename-dir:c5.t3"):
        with pytest.raises(ValueError, match="no token"):
            parse_token(wrong)


def test_a_token_of_three_cuts_is_rebuilt():
    case, place = parse_token("nand2k:seal:rename:c9.t2:c1.t3:c0.t0")
    assert (place.cut, place.inner.cut, place.inner.tear, place.inner.inner.inner) == (9, 1, 3, None)
    with record(case) as recording:
        with rebuild(recording, FAULTS, place) as third, rebuild(recording, FAULTS, place) as again:
            assert third.read(0, case.device.size) == again.read(0, case.device.size)
            assert {sight.tree for sight in sights(recording, third)} <= {"old", "new"}
        second = replace(place, inner=replace(place.inner, inner=None))
        untorn = replace(second, inner=replace(second.inner, tear=0))
        with rebuild(recording, FAULTS, second) as torn, rebuild(recording, FAULTS, untorn) as untorn:
            assert torn.read(0, case.device.size) != untorn.read(0, case.device.size)
        for gone in (replace(place, cut=999), replace(place, inner=replace(place.inner, cut=999))):
            with pytest.raises(InvalidValue, match="no crash image c"):
                rebuild(recording, FAULTS, gone)
    with pytest.raises(ValueError, match="no place"):
        parse_token("nand2k:seal:rename:c9.t2:c1.t3:c0.t0:c0.t0")


def test_samples_for_the_kernel():
    samples = list(samples_of(the_case("nand2k:seal:hard-links"), 9))
    assert len({sample.token for sample in samples}) == 9
    assert {sample.expected for sample in samples} == {"old", "new", "either"}
    for sample in samples:
        assert sample.expected in ("either", sample.seen)
        assert sample.needs_summary and len(sample.image) == sample.geometry.size and sample.cleanmarkers
        assert sample.old != sample.new
    line = next(line for line in samples[0].new if json.loads(line)["path"] == "pair/c")
    assert json.loads(line)["link"] == "pair/a" and json.loads(line)["type"] == "reg"
