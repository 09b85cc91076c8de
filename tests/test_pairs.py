"""Every ordered pair of operations in one transaction, cut everywhere: each on one flash here, on all in make cut."""

import pytest

from jffs2tx._ffi import lib

from .crashes import FAULTS, judge, pair_cases, record
from .pairs import OPERATIONS, PAIRS


def of(first):
    """The pairs with this first operation, each on another flash and by another strategy."""
    mine = [case for case in pair_cases() if case.scenario.startswith(f"{first}+")]
    names = dict.fromkeys(case.scenario for case in mine)
    for number, name in enumerate(names):
        able = [case for case in mine if case.scenario == name]
        yield able[(number + len(first)) % len(able)]


def test_all_of_them_are_there():
    assert len(OPERATIONS) == 12 and len(PAIRS) == 144
    taken = [case for operation in names() for case in of(operation)]
    assert {case.scenario for case in taken} == set(PAIRS)
    assert {case.strategy for case in taken} == {"swap", "flip", "seal", "lift"}


def names():
    return sorted({pair.partition("+")[0] for pair in PAIRS})


@pytest.mark.parametrize("first", names())
def test_pairs(first):
    for case in of(first):
        with record(case) as recording:
            verdict = judge(
                recording, faults=FAULTS | lib.JX_F5_ERASE, recover_cuts=1, recover_tears=200, inner=lib.JX_F1_CUT
            )
        assert not verdict.failure_count, "\n".join(verdict.failures)
        assert verdict.third == 0 and verdict.old
        if recording.old_digest != recording.new_digest:
            assert verdict.new and verdict.states > 50, str(case)
