"""python -m tests.outcomes [--step N]: upgrades that are interrupted, and image files that the host cannot write.

Prints a table for docs/OUTCOMES.md: for each command and each fault, at each call that changes the image file, the exit
statuses and the tree that the medium shows then. Ends with 1 where message, status and medium do not agree.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from jffs2tx.outcome import Tree
from tests.outcomes.cases import SCENARIOS, Prepared, digest, prepare
from tests.outcomes.faults import Fault, run

LIBRARY = "outcomes-faults.so"
OLD, NEW, THIRD = "old", "new", "third"
SAID = {OLD: Tree.OLD.value, NEW: "the new tree is in place"}
SIGNALLED = (129, 130, 143)


def build(folder: Path) -> Path:
    library = folder / LIBRARY
    source = Path(__file__).parent / "faults.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def tree_of(prepared: Prepared, image: Path) -> str:
    return {prepared.old: OLD, prepared.new: NEW}.get(digest(image, prepared.scenario), THIRD)


def try_case(prepared: Prepared, fault: Fault, at: int, folder: Path) -> tuple[int, str, str | None]:
    """Exit status, tree on the medium, and what is wrong, if anything is."""
    image, said = folder / "tried", folder / "said"
    image.write_bytes(prepared.image.read_bytes())
    status = run(prepared.command(image), said, fault, at)
    text, tree = said.read_text(), tree_of(prepared, image)
    wrong = (of_recover if prepared.scenario.recovers else of_apply)(status, text, tree)
    stays = fault.error and tree == OLD and not fault.on  # and the disk works again
    if not wrong and stays and image.stat().st_size != prepared.image.stat().st_size:
        wrong = f"the file has {image.stat().st_size} bytes now"
    if not wrong:
        healed = run(["recover", str(image), "-q", *prepared.scenario.options], said)
        if healed or tree_of(prepared, image) != tree:
            wrong = f"recover: {healed}, {said.read_text()}"
    return status, tree, wrong


def of_apply(status: int, text: str, tree: str) -> str | None:
    """Where status, message and medium disagree."""
    if tree == THIRD or (status in (0, 4)) != (tree == NEW):
        return f"status {status} with the {tree} tree: {text}"
    if status and [line.count(SAID[tree]) for line in text.splitlines() if "in place" in line] != [1]:
        return f"status {status}, {tree} tree, and it says: {text}"
    return None if status in (0, 1, 4, *SIGNALLED) else f"status {status}: {text}"


def of_recover(status: int, text: str, tree: str) -> str | None:
    if tree != NEW or status not in (0, 1, *SIGNALLED):
        return f"status {status} with the {tree} tree: {text}"
    return f"status {status}: {text}" if status and not text.endswith(f"; {Tree.SAME.value}\n") else None


def table(prepared: Prepared, step: int, folder: Path) -> list[str]:
    """Prints the rows of the table; what is wrong."""
    counts: dict[str, Counter] = {}
    failures = []
    for fault, at in prepared.cases(step):
        status, tree, wrong = try_case(prepared, fault, at, folder)
        counts.setdefault(fault.name, Counter())[status, tree] += 1
        if wrong:
            failures.append(f"{prepared.scenario.name}, {fault.name} at call {at} of {prepared.calls}: {wrong}")
    for name, count in counts.items():
        ends = ", ".join(f"{number} × {status} ({tree})" for (status, tree), number in sorted(count.items()))
        print(f"| {prepared.scenario.name} | {name} | {sum(count.values())} | {ends} |", flush=True)
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.outcomes")
    parser.add_argument("--step", type=int, default=1, help="only every so many-th call")
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if LIBRARY not in os.environ.get("LD_PRELOAD", ""):
            preloaded = f"{build(folder)} {os.environ.get('LD_PRELOAD', '')}".strip()
            words = [sys.executable, "-m", "tests.outcomes", *sys.argv[1:]]
            return subprocess.run(words, env=os.environ | {"LD_PRELOAD": preloaded}, check=False).returncode
        print("| command | fault | cases | exit status (tree on the medium) |\n| --- | --- | --- | --- |")
        failures = []
        for scenario in (one for one in SCENARIOS if options.only in one.name):
            place = folder / scenario.name.replace(" ", "-")
            place.mkdir()
            failures += table(prepare(scenario, place), options.step, folder)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
