"""`make mutants`: with each mistake that is seeded in the engine the tests named for it must fail, and pass without it.

Mistakes of the C core are built in by the test build alone (csrc/mutants.h); those of the Python layer are patches
(mutants_python.py). Each is tried in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from jffs2tx._ffi import ffi, lib

from .mutants_python import PATCHES
from .mutants_table import CAUGHT_BY

ROOT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 120  # a mistake may also make something run for ever
PYTEST = ["-q", "-x", "--import-mode=append", "-p", "no:cacheprovider", "-p", "no:randomly", f"--rootdir={ROOT}"]


@dataclass(frozen=True)
class Mutant:
    name: str
    sentence: str
    number: int | None = None  # of those in C

    def turn_on(self) -> None:
        if self.number is None:
            PATCHES[self.name].turn_on()
        else:
            lib.jx_mutant_select(self.number)


def mutants() -> list[Mutant]:
    """All of them. Raises AttributeError where this is no test build."""
    text = lambda pointer: ffi.string(pointer).decode()  # noqa: E731
    numbers = range(lib.jx_mutant_count())
    in_c = [Mutant(text(lib.jx_mutant_name(i)), text(lib.jx_mutant_sentence(i)), i) for i in numbers]
    return in_c + [Mutant(name, patch.sentence) for name, patch in PATCHES.items()]


class _Failures:
    """A pytest plugin: what failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and report.when == "call":
            self.failed.append(report.nodeid)


def run_tests(tests: tuple[str, ...], options: list[str] | None = None) -> tuple[int, list[str]]:
    """pytest's exit status, and the tests that failed."""
    found = _Failures()
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        try:
            status = pytest.main([*(options or PYTEST), *tests], plugins=[found])
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    return int(status), found.failed


def _child(connection, mutant: Mutant | None, tests: tuple[str, ...], options: list[str] | None) -> None:
    signal.alarm(LIMIT_SECONDS)
    os.chdir(ROOT)
    if mutant:
        mutant.turn_on()
    connection.send(run_tests(tests, options))


def apart(
    mutant: Mutant | None, tests: tuple[str, ...], options: list[str] | None = None
) -> tuple[int | None, list[str]]:
    """The same in a forked process; status None: it died or took too long."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, mutant, tests, options))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return None, []
    finally:
        process.join()


def verdict(mutant: Mutant) -> str | None:
    """Which test caught it; None: it lives."""
    status, failed = apart(mutant, CAUGHT_BY[mutant.name])
    return failed[0] if status == pytest.ExitCode.TESTS_FAILED and failed else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("-j", "--jobs", type=int, default=2)
    options = parser.parse_args()
    if not hasattr(lib, "jx_mutant_count"):
        parser.error("this is no test build; make mutants has one")
    wanted = [mutant for mutant in mutants() if not options.names or mutant.name in options.names]
    unknown = {mutant.name for mutant in mutants()} ^ CAUGHT_BY.keys()
    if unknown:
        parser.error(f"csrc/mutants.h and tests/mutants_table.py do not agree: {', '.join(sorted(unknown))}")
    begin = time.perf_counter()
    tests = tuple(dict.fromkeys(test for mutant in wanted for test in CAUGHT_BY[mutant.name]))
    status, failed = run_tests(tests)  # also loads what the forked processes need
    if status:
        print(f"without a mistake the tests must pass, and do not ({status}): {' '.join(failed)}")
        return 1
    print(f"control: {len(tests)} tests pass without a mistake, {time.perf_counter() - begin:.0f} s", flush=True)
    alive = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutant, caught in zip(wanted, pool.map(verdict, wanted), strict=True):
            print(
                f"mutant {mutant.name}: {f'caught by {caught}' if caught else 'LIVES'} ({mutant.sentence})", flush=True
            )
            alive += not caught
    seconds = time.perf_counter() - begin
    print(f"{len(wanted)} mistakes, {len(wanted) - alive} caught, {alive} alive, {seconds:.0f} s")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
