"""`python -m tests.cut --all`: every crash state of every canonical transaction, counted and judged. With `--deep` the
power fails a second time in every way, and some times a third.

`python -m tests.cut --bench`: crash images a second on a device of 256 KiB.

`python -m tests.cut TOKEN [-o IMAGE]`: one of them again, such as `nand2k:seal:rename-dir:c17.t3`; saves the image and
says which paths differ from the old and from the new tree.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jffs2tx._ffi import lib
from jffs2tx.device import Geometry
from jffs2tx.faults.replay import rebuild, sights

from .crashes import (
    FAULTS,
    Case,
    Verdict,
    cases,
    deep_cases,
    judge,
    judge_another,
    pair_cases,
    parse_token,
    reader_cases,
    record,
    start_flash,
)

ANOTHER_EVERY = 5  # of the cuts after which another transaction is landed, and cut


# ---- all of them -----------------------------------------------------------------------------------------------------


#: How each transaction is judged: see Judge. All tears of F1 to F5; recover on whole cuts and on some torn ones, with
#: the power cut again inside it.
QUICK = {"recover_cuts": 1, "recover_tears": 20, "inner": lib.JX_F1_CUT, "unstable_cuts": 4}
#: Recover after every first cut, and a second one between any two of its operations; in all ways of F1 to F5 after
#: whole cuts and some torn ones; a third cut after some of these; F6 everywhere.
DEEP = {"recover_cuts": 1, "recover_tears": 1, "inner": FAULTS, "inner_tears": 40, "third_cuts": 500}
#: The largest ones, of thousands of operations.
LARGE = {"recover_cuts": 40, "recover_tears": 20_000, "inner": lib.JX_F1_CUT, "unstable_cuts": 200}
HUGE = {"recover_cuts": 1000, "unstable_cuts": 4000}
#: For a boot loader, on all tears of F1 to F5. F6 is left out: pages that ECC cannot correct are beyond most of them.
READER = {"recover_cuts": 1, "recover_tears": 20, "inner": lib.JX_F1_CUT}
#: One of hundreds.
SMALL = {"recover_cuts": 1, "recover_tears": 100, "inner": lib.JX_F1_CUT, "unstable_cuts": 1}


def way(case: Case, deep: bool) -> dict[str, int]:
    if case.what.scale > 1:
        return HUGE if case.what.scale > 10 else LARGE
    if case.reader:
        return READER
    if case.what.small:
        return SMALL
    return DEEP if deep else QUICK | ({"recover_cuts": 4} if case.what.tight else {})


@dataclass
class Result:
    verdict: Verdict
    another: int  # states of another transaction after a cut
    failures: list[str]


def run_case(case: Case, deep: bool) -> Result:
    recording = record(case)
    faults = FAULTS if case.reader else FAULTS | lib.JX_F6_UNSTABLE
    verdict = judge(recording, faults=faults, **way(case, deep))
    alone = case.what.scale > 1 or case.what.small or case.reader
    states, failures = (0, []) if alone else judge_another(recording, every=1 if deep else ANOTHER_EVERY)
    recording.close()
    return Result(verdict, states, verdict.failures + failures)


def run_all(wanted: list[Case], jobs: int, deep: bool = False) -> int:
    """Prints a line for each case and the sum; the number of failures."""
    begin = time.perf_counter()
    results = []
    wanted = sorted(wanted, key=lambda case: case.what.scale * (8 if case.geometry == "nor" else 1), reverse=True)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for result in pool.imap_unordered(partial(run_case, deep=deep), wanted):
            results.append(result)
            case = result.verdict.case
            if result.failures or not (case.what.small or case.reader):  # of hundreds only the sum
                print(result.verdict, flush=True)
            for failure in result.failures:
                print(f"  {failure}")
    print(summary(results, time.perf_counter() - begin))
    print(reader_table(results))
    return failure_count(results)


def failure_count(results: list[Result]) -> int:
    return sum(r.verdict.failure_count + len(r.failures) - len(r.verdict.failures) for r in results)


def summary(results: list[Result], seconds: float) -> str:
    def total(name: str) -> int:
        return sum(getattr(result.verdict, name) for result in results)

    images = total("distinct") + total("inner_distinct")
    return (
        f"\n{len(results)} transactions, {total('states'):,} crash states of a first cut, {total('inner'):,} of a "
        f"second one and {total('third_cuts'):,} of a third, inside recover\n"
        f"distinct crash images: {images:,}; {images / seconds:,.0f} a second\n"
        f"after the first cut seen by their readers: {total('old'):,} old, {total('new'):,} new; third states: "
        f"{total('third')}\n"
        f"recover run on {total('recovered'):,} images; mounts and recoveries with unstable readings: "
        f"{total('unstable'):,}, of which {total('wavering'):,} mounts wavered\n"
        f"another transaction after a cut: {sum(result.another for result in results):,} states\n"
        f"failures: {failure_count(results)}; {seconds:.0f} s"
    )


def reader_table(results: list[Result]) -> str:
    """Images that each boot loader looked at, together with a Linux, where the table of readers says that it holds."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for verdict in (result.verdict for result in results if result.verdict.case.reader):
        row = rows[verdict.case.reader]
        row.update(transactions=1, first=verdict.distinct, recovered=verdict.recovered)
        row.update(second=verdict.inner, third=verdict.third, failures=verdict.failure_count)
    return "\n".join(
        f"{name:16} {row['transactions']:3} transactions, {row['first']:7,} distinct images of a first cut, "
        f"{row['recovered']:6,} recovered, {row['second']:6,} second cuts; {row['third']} third states, "
        f"{row['failures']} failures"
        for name, row in sorted(rows.items())
    )


def bench(jobs: int) -> None:
    """Images a second, judged for four readers: every fault of one transaction on 256 KiB, in as many processes."""
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        done = pool.map(_bench_one, range(jobs))
    rate = sum(images / seconds for images, seconds in done)
    print(f"{sum(images for images, _ in done):,} crash images of 256 KiB, {rate:,.0f} a second in {jobs} processes")


def _bench_one(_: int) -> tuple[int, float]:
    case = Case("nor", "flip", "many-directories")
    small = Geometry("nor", 256 * 1024, 16 * 1024)
    with record(case, start_flash(case, small)) as recording:
        verdicts = [judge(recording) for _ in range(5)]
    return sum(verdict.distinct for verdict in verdicts), sum(verdict.seconds for verdict in verdicts)


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
    parser.add_argument("--deep", action="store_true", help="with --all: second cuts in every way, some third ones")
    parser.add_argument("--bench", action="store_true", help="crash images a second")
    parser.add_argument("-j", "--jobs", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, help="where to save the image")
    options = parser.parse_args()
    if options.bench:
        bench(options.jobs)
        return 0
    if options.all:
        wanted = cases() + pair_cases() + reader_cases() + (deep_cases() if options.deep else [])
        wanted = [case for case in wanted if (options.token or "") in str(case)]
        return 1 if run_all(wanted, options.jobs, options.deep) else 0
    if not options.token:
        parser.error("a token, or --all")
    try:
        show_token(options.token, options.output)
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
