"""`make bench`: jffs2tx beside its peers on one real tree, as ratios of whole processes that run in turn.

A ratio below 1 means that jffs2tx takes less. Both start cold: of ours, Python's start is a part.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .packages import two_trees

JFFS2TX = [sys.executable, "-m", "jffs2tx"]
GEOMETRIES = {
    "NOR 64 KiB": (["--erase-size", "64KiB"], ["-e", "64KiB"]),
    "NAND 2048/128 KiB": (["--erase-size", "128KiB", "--page-size", "2048"], ["-e", "128KiB", "-n", "-s", "2048"]),
}
DEVICE = ["--device-size", "128MiB"]


@dataclass(frozen=True)
class Cost:
    """Of one process: CPU and elapsed seconds, peak memory in bytes."""

    cpu: float
    elapsed: float
    memory: int


@dataclass(frozen=True)
class Duel:
    """One job by us and by a peer; `clean` is removed before each run."""

    job: str
    peer: str
    ours: list[str]
    theirs: list[str]
    clean: Path


def run(argv: list[str], clean: Path) -> Cost:
    """Raises subprocess.CalledProcessError."""
    shutil.rmtree(clean, ignore_errors=True) if clean.is_dir() else clean.unlink(missing_ok=True)
    begin = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return Cost(used.ru_utime + used.ru_stime, elapsed, used.ru_maxrss * 1024)


def fight(duel: Duel, rounds: int) -> list[tuple[Cost, Cost]]:
    """In turn, after one round that does not count."""
    pairs = [(run(duel.ours, duel.clean), run(duel.theirs, duel.clean)) for _ in range(rounds + 1)]
    return pairs[1:]


def row(duel: Duel, pairs: list[tuple[Cost, Cost]]) -> list[str]:
    def ratio(name: str) -> str:
        return f"{statistics.median(getattr(a, name) / getattr(b, name) for a, b in pairs):.2f}"

    def median(name: str, whose: int) -> float:
        return statistics.median(getattr(pair[whose], name) for pair in pairs)

    seconds = " : ".join(f"{median('cpu', whose):.2f} s" for whose in (0, 1))
    memory = " : ".join(f"{median('memory', whose) / (1 << 20):.0f} MiB" for whose in (0, 1))
    return [duel.job, duel.peer, ratio("cpu"), ratio("elapsed"), ratio("memory"), seconds, memory]


# ---- what is measured ------------------------------------------------------------------------------------------------


def duels(tree: Path, scratch: Path) -> list[Duel]:
    """Making an image, dumping it, and unpacking it where the peer for that is installed."""
    found = []
    for name, (ours, theirs) in GEOMETRIES.items():
        made, image = scratch / "made.jffs2", scratch / f"{name.split()[0]}.jffs2"
        mkfs = ["mkfs.jffs2", "-l", "-q", "-r", str(tree), *theirs]
        subprocess.run([*mkfs, "-o", str(image)], check=True, capture_output=True)
        make = [*JFFS2TX, "mkfs", str(tree), "-o", str(made), *ours, "--quiet"]
        found.append(Duel(f"mkfs, {name}", "mkfs.jffs2", make, [*mkfs, "-o", str(made)], made))
        nothing = scratch / "nothing"
        dump = [*JFFS2TX, "dump", str(image), *ours]
        found.append(Duel(f"dump, {name}", "jffs2dump -c", dump, ["jffs2dump", "-c", str(image)], nothing))
        if jefferson := shutil.which("jefferson", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"):
            out = scratch / "out"
            extract = [*JFFS2TX, "extract", str(image), "-o", str(out), "--quiet", *ours]
            found.append(Duel(f"extract, {name}", "jefferson", extract, [jefferson, "-d", str(out), str(image)], out))
    return found


def sizes(old: Path, new: Path, scratch: Path) -> list[list[str]]:
    """Bytes that images hold and that an upgrade programs, beside those of a full rewrite."""
    rows = []
    manifest = scratch / "new.manifest"
    subprocess.run([*JFFS2TX, "manifest", str(new), "-o", str(manifest), "--quiet"], check=True)
    for name, (ours, theirs) in GEOMETRIES.items():
        peer, made = scratch / "peer.jffs2", scratch / "made.jffs2"
        subprocess.run(["mkfs.jffs2", "-l", "-r", str(old), *theirs, "-o", str(peer)], check=True, capture_output=True)
        made.unlink(missing_ok=True)
        subprocess.run([*JFFS2TX, "mkfs", str(old), "-o", str(made), *ours, "--quiet"], check=True)
        rows.append(_size_row(f"image, {name}", "mkfs.jffs2", made.stat().st_size, peer.stat().st_size))
        apply = ["apply", str(peer), str(manifest), "--from", str(new), *ours, *DEVICE, "--reader", "linux-summary"]
        done = subprocess.run([*JFFS2TX, *apply, "--json", "--quiet"], check=True, capture_output=True)
        facts = json.loads(done.stdout)
        whole = facts["full_rewrite"]["programmed_bytes"]
        rows.append(_size_row(f"apply, {name}", "full rewrite", facts["programmed_bytes"], whole))
    return rows


def _size_row(job: str, peer: str, ours: int, theirs: int) -> list[str]:
    return [job, peer, f"{ours / theirs:.3f}", f"{ours:,} : {theirs:,}"]


def table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < 2 else "right")
    for one in rows:
        made.add_row(*one)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("-n", "--rounds", type=int, default=3)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 130)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        old, new, what = two_trees(scratch)
        console.print(f"{what}; medians of {options.rounds} rounds; ours : theirs")
        fights = [row(duel, fight(duel, options.rounds)) for duel in duels(old, scratch)]
        columns = ["job", "peer", "CPU", "elapsed", "memory", "CPU seconds", "peak memory"]
        console.print(table("Whole processes, as ratios", columns, fights))
        console.print(table("Bytes", ["job", "peer", "ratio", "bytes"], sizes(old, new, scratch)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
