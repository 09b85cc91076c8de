"""`python -m tests.cut --all`: every crash state of every canonical transaction, counted and judged.

`python -m tests.cut TOKEN [-o IMAGE]`: one of them again, such as `nand2k:seal:rename-dir:c17.t3`; saves the image and
says which paths differ from the old and from the new tree.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from jffs2tx._ffi import lib
from jffs2tx.faults.replay import rebuild, sights

from .crashes import FAULTS, Case, Verdict, cases, judge, judge_another, pair_cases, parse_token, record

ANOTHER_EVERY = 5  # of the cuts after which another transaction is landed, and cut


# ---- all of them -----------------------------------------------------------------------------------------------------


@dataclass
class Result:
    verdict: Verdict
    another: int  # states of another transaction after a cut
    failures: list[str]


def run_case(case: Case) -> Result:
    """All tears; recover on all whole cuts and some torn ones, cut again inside; another transaction after a cut."""
    recording = record(case)
    if case.what.scale > 1:
        verdict = judge(recording, recover_cuts=40, recover_tears=20_000, inner=lib.JX_F1_CUT)
        states, failures = 0, []
    elif case.what.small:
        verdict = judge(recording, recover_cuts=1, recover_tears=100, inner=lib.JX_F1_CUT)
        states, failures = 0, []
    else:
        verdict = judge(recording, recover_cuts=4 if case.what.tight else 1, recover_tears=20, inner=lib.JX_F1_CUT)
        states, failures = judge_another(recording, every=ANOTHER_EVERY)
    recording.close()
    return Result(verdict, states, verdict.failures + failures)


def run_all(wanted: list[Case], jobs: int) -> int:
    """Prints a line for each case and the sum; the number of failures."""
    begin = time.perf_counter()
    results = []
    wanted = sorted(wanted, key=lambda case: case.what.scale * (8 if case.geometry == "nor" else 1), reverse=True)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for result in pool.imap(run_case, wanted):
            results.append(result)
            if result.failures or not result.verdict.case.what.small:  # of hundreds only the sum
                print(result.verdict, flush=True)
            for failure in result.failures:
                print(f"  {failure}")

    def total(name: str) -> int:
        return sum(getattr(result.verdict, name) for result in results)

    failures = sum(result.verdict.failure_count for result in results) + sum(
        len(result.failures) - len(result.verdict.failures) for result in results
    )
    print(
        f"\n{len(results)} transactions, {total('states'):,} crash states, {total('distinct'):,} distinct images; "
        f"seen by their readers: {total('old'):,} old, {total('new'):,} new, third states: {total('third')}\n"
        f"recover run on {total('recovered'):,} images, cut a second time at {total('inner'):,} points; "
        f"another transaction after a cut: {sum(result.another for result in results):,} states\n"
        f"failures: {failures}; {time.perf_counter() - begin:.0f} s"
    )
    return failures


# ---- one of them -----------------------------------------------------------------------------------------------------


def show_token(token: str, output: Path | None) -> None:
    case, place = parse_token(token)
    with record(case) as recording, rebuild(recording, FAULTS, place) as image:
        print(f"{token}: {recording.describe(place.cut, place.tear, FAULTS)}")
        print(
            f"  {recording.operations} operations, prepared at {recording.prepared}, committed at {recording.committed}"
        )
        for sight in sights(recording, image):
            print(*sight.sentences(), sep="\n")
        output = output or Path(token.replace(":", "-") + ".img")
        output.write_bytes(image.read(0, case.device.size))
        print(f"  saved as {output}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cut", description=__doc__)
    parser.add_argument("token", nargs="?", help="crash state to rebuild, or with --all a part of the names to run")
    parser.add_argument("--all", action="store_true", help="judge every crash state of every transaction")
    parser.add_argument("-j", "--jobs", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, help="where to save the image")
    options = parser.parse_args()
    if options.all:
        return (
            1
            if run_all([case for case in (*cases(), *pair_cases()) if (options.token or "") in str(case)], options.jobs)
            else 0
        )
    if not options.token:
        parser.error("a token, or --all")
    try:
        show_token(options.token, options.output)
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
