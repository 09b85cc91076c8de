"""`make coverage`: which branches of the engine the tests take, as gcov counts them, and whether docs/COVERAGE.md gives
a reason for each that none takes.

A branch is known by its file, its function and the text of its line, never by a number that drifts.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OBJECTS = ROOT / "build" / "coverage-objects" / "csrc"
DOCUMENT = ROOT / "docs" / "COVERAGE.md"
#: What must be accounted for: commit, settling, staging, space, codec.
FILES = ("txn", "txn_stage", "txn_set", "txn_xattr", "strategy_swap", "strategy_flip", "strategy_seal", "strategy_lift")
FILES += ("settle", "retire", "marks", "guard", "tag", "writer", "space", "collect", "codec")


@dataclass(frozen=True, order=True)
class Place:
    file: str
    function: str
    text: str  # of the line, stripped

    def __str__(self) -> str:
        return f"`{self.file}` | `{self.function}` | `{self.text.replace('|', chr(92) + '|')}`"


@dataclass
class Count:
    """Branches of one file."""

    branches: int = 0
    taken: int = 0
    untaken: Counter[Place] = None

    def __post_init__(self) -> None:
        self.untaken = Counter()


def gcov(name: str) -> Iterator[dict]:
    """The lines of one source that hold code."""
    command = ["gcov", "--branch-probabilities", "--json-format", "--stdout", f"{name}.gcda"]
    said = subprocess.run(command, cwd=OBJECTS, capture_output=True, check=True).stdout
    for file in json.loads(said)["files"]:
        if file["file"] == f"csrc/{name}.c":
            yield from file["lines"]


def count(name: str) -> Count:
    source = (ROOT / "csrc" / f"{name}.c").read_text().splitlines()
    result = Count()
    for line in gcov(name):
        for branch in line["branches"]:
            result.branches += 1
            result.taken += branch["count"] > 0
            if not branch["count"]:
                text = source[line["line_number"] - 1].strip()
                result.untaken[Place(f"{name}.c", line.get("function_name", ""), text)] += 1
    return result


ROW = re.compile(r"^\| `([\w.]+)` \| `(\w+)` \| `(.+)` \| (\d+) \| (.+) \|$")


def documented(text: str) -> dict[Place, int]:
    """The rows of docs/COVERAGE.md: how many branches of that line no test takes. Raises ValueError for one without a
    reason."""
    found = {}
    for row in text.splitlines():
        match = ROW.match(row)
        if match:
            file, function, line, number, reason = match.groups()
            if not reason.strip():
                raise ValueError(f"no reason is given: {row}")
            found[Place(file, function, line.replace("\\|", "|"))] = int(number)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.branches", description=__doc__)
    parser.add_argument("--rows", action="store_true", help="print the rows that the document lacks, without reasons")
    options = parser.parse_args()
    counts = {name: count(name) for name in FILES}
    known = documented(DOCUMENT.read_text()) if DOCUMENT.exists() else {}
    untaken = sum((found.untaken for found in counts.values()), Counter())
    for name, found in counts.items():
        if found.branches:
            percent = 100 * found.taken / found.branches
            print(f"{name + '.c':18} {found.taken:4} of {found.branches:4} branches {percent:6.1f} %")
    branches, taken = (sum(getattr(found, what) for found in counts.values()) for what in ("branches", "taken"))
    print(f"{'all':18} {taken:4} of {branches:4} branches {100 * taken / branches:6.1f} %")
    missing = {place: number for place, number in untaken.items() if number > known.get(place, 0)}
    stale = [place for place in known if place not in untaken]
    for place, number in sorted(missing.items()):
        print(
            f"| {place} | {number} |  |"
            if options.rows
            else f"no test takes, and no reason is given: {place}: {number}"
        )
    for place in sorted(stale):
        print(f"docs/COVERAGE.md gives a reason for a branch that is taken or gone: {place}")
    left = sum(untaken.values())
    print(f"{left} branches are not taken, {len(missing)} lines without a reason, {len(stale)} stale rows")
    return 1 if missing or stale else 0


if __name__ == "__main__":
    sys.exit(main())
