"""Fuzzes: builds the targets with sanitizers, runs every field of every node, then each target for a time.

    python -m tests.fuzz [--seconds 60] [--jobs 2] [--target NAME]... [--folder build/fuzz] [--no-fields] [--merge]
    python -m tests.fuzz --worst 16      only the table of what the worst media cost, 16 times as large as in the tests

What is found stays in the folder, as TARGET-crash-…, and the status is 1. --merge makes fixtures/fuzz anew from what is
there and what has been found, by coverage.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from . import build, manifest, seeds

FIXTURES = build.HERE.parent.parent / "fixtures" / "fuzz"
#: Bytes of an input: two eraseblocks, where inputs are media.
MAX_LEN = {"read": 8193, "recover": 8194, "dump": 9000, "probe": 3000}
#: Bytes of corpus that are kept in fixtures.
BUDGET = {"read": 350_000, "recover": 300_000, "dump": 150_000, "probe": 60_000, "compress": 30_000}
ENVIRONMENT = os.environ | {"ASAN_OPTIONS": "malloc_context_size=2:quarantine_size_mb=16:detect_leaks=1"}


@dataclass(frozen=True)
class Outcome:
    target: str
    runs: int
    seconds: float
    ok: bool
    said: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--target", action="append", choices=[*build.TARGETS, "manifest"])
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--no-fields", action="store_true")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--worst", type=int)
    options = parser.parse_args()
    folder = options.folder.resolve()
    if options.worst:
        return subprocess.run([build.worst(folder / "worst"), str(options.worst)], check=False).returncode
    targets = options.target or [*build.TARGETS, "manifest"]
    if not shutil.which("clang"):
        sys.exit("Fuzzing takes clang and its runtime: install them (Debian: clang libclang-rt-14-dev).")
    print("Compiling the targets", flush=True)
    build.fuzzers(folder, options.jobs)
    write_seeds(folder)
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = [] if options.no_fields else [pool.submit(fields, folder, name) for name in ("read", "recover")]
        jobs += [pool.submit(fuzz, folder, target, options.seconds) for target in targets]
        outcomes = [job.result() for job in jobs]
    show(outcomes)
    if options.merge:
        for target in set(targets) & set(build.TARGETS):
            merge(folder, target)
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def write_seeds(folder: Path) -> None:
    """Media for read and probe; for recover each with every action, for dump as files with and without OOB."""
    for target in (*build.TARGETS, "bases"):
        (folder / "seeds" / target).mkdir(parents=True, exist_ok=True)
    for name, data in seeds.bases():
        (folder / "seeds" / "bases" / name).write_bytes(data)
    for name, data in (*seeds.bases(), *seeds.transactions()):
        for target in ("read", "probe"):
            (folder / "seeds" / target / name).write_bytes(data)
        (folder / "seeds" / "dump" / name).write_bytes(data[:1] + b"\0\0\0" + data[1:])
        (folder / "seeds" / "dump" / f"{name}-oob").write_bytes(data[:1] + b"\1\x48\x80" + _with_oob(data))
        for action in range(5):
            (folder / "seeds" / "recover" / f"{name}-{action}").write_bytes(data[:1] + bytes([action]) + data[1:])


def _with_oob(data: bytes) -> bytes:
    page = 2048 if data[0] & 3 == seeds.NAND else 512
    return b"".join(data[at : at + page].ljust(page, b"\xff") + b"\xff" * 16 for at in range(1, len(data), page))


def fields(folder: Path, target: str) -> Outcome:
    done = _run([folder / f"fields-{target}", *sorted((folder / "seeds" / "bases").iterdir())])
    found = re.search(r"^(\d+) variants", done.stdout)
    return Outcome(f"fields-{target}", int(found[1]) if found else 0, 0, done.returncode == 0, done.stderr)


def fuzz(folder: Path, target: str, seconds: int) -> Outcome:
    """One target from its corpus, its seeds and what is in fixtures."""
    if target == "manifest":
        return Outcome(target, *manifest.in_a_process(folder, seconds))
    grown = folder / "corpus" / target
    grown.mkdir(parents=True, exist_ok=True)
    given = [path for path in (folder / "seeds" / target, FIXTURES / target) if path.is_dir()]
    done = _run(
        [folder / target, f"-max_total_time={seconds}", f"-max_len={MAX_LEN.get(target, 300)}", "-timeout=20",
         "-entropic=0", "-use_cmp=0", "-reduce_inputs=0", "-print_final_stats=1", "-verbosity=1",
         f"-artifact_prefix={folder}/{target}-", grown, *given]
    )  # fmt: skip
    runs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    return Outcome(target, int(runs[1]) if runs else 0, seconds, done.returncode == 0, done.stderr)


def merge(folder: Path, target: str) -> None:
    """The smallest inputs that reach what all of them reach, as far as the budget goes."""
    everything, best = folder / "merge" / target, folder / "best" / target
    for path in (everything, best):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    for source in (folder / "corpus" / target, FIXTURES / target):
        for path in source.iterdir() if source.is_dir() else ():
            data = path.read_bytes()
            if target in ("read", "recover"):  # the rest of an eraseblock is erased
                data = data[:2] + data[2:].rstrip(b"\xff")
            (everything / hashlib.sha1(data).hexdigest()).write_bytes(data)
    _run([folder / target, "-merge=1", "-timeout=60", best, everything])
    shutil.rmtree(FIXTURES / target, ignore_errors=True)
    (FIXTURES / target).mkdir(parents=True)
    left = BUDGET.get(target, 20_000)
    for path in sorted(best.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        left -= path.stat().st_size
        if left < 0:
            break
        shutil.copy(path, FIXTURES / target / hashlib.sha1(path.read_bytes()).hexdigest()[:12])


def show(outcomes: list[Outcome]) -> None:
    table = Table("target", "runs", "runs a second", "found")
    for outcome in outcomes:
        rate = f"{outcome.runs / outcome.seconds:,.0f}" if outcome.seconds else ""
        table.add_row(outcome.target, f"{outcome.runs:,}", rate, "nothing" if outcome.ok else "SOMETHING")
    table.add_row("all", f"{sum(outcome.runs for outcome in outcomes):,}", "", "")
    Console().print(table)
    for outcome in outcomes:
        if not outcome.ok:
            print(f"---- {outcome.target}\n{outcome.said[-6000:]}", file=sys.stderr)


def _run(command: list[object]) -> subprocess.CompletedProcess[str]:
    words = ["nice", "-n", "19", *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, errors="replace", env=ENVIRONMENT, check=False)


if __name__ == "__main__":
    sys.exit(main())
