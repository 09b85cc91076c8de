"""Upgrades in a row on a mounted system's device: in the lab's guest, since each start of Python costs seconds there.

    python -m tests.series DEVICE OLD NEW ROUNDS

takes the device from the tree in directory NEW to that in OLD and back, by manifest and by the API in turn; between two
upgrades the kernel has it mounted read-write and works in /kernel. Prints a JSON list, one object for each round.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jffs2tx
from jffs2tx.manifest import Manifest
from jffs2tx.source import Source

from .commands import captured
from .lab import tree

MOUNTED = Path("/run/lab/series")
KERNEL = "kernel"
READER = "linux-summary"
GC_PASSES = 60


def sh(*words) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def by_path(lines) -> dict[str, str]:
    return {json.loads(line)["path"]: line for line in lines}


def below_kernel(lines) -> dict[str, str]:
    return {path: line for path, line in by_path(lines).items() if path.split("/")[0] == KERNEL}


# ---- the kernel at work ----------------------------------------------------------------------------------------------


def work(number: int) -> None:
    """Writes, appends, overwrites, renames and deletes files of the system's own; the root keeps its time."""
    times = os.stat(MOUNTED)
    home = MOUNTED / KERNEL
    home.mkdir(exist_ok=True)
    with open(home / "log", "ab") as log:
        log.write(b"round %d\n" % number * 40)
    (home / "state").touch()
    with open(home / "state", "r+b") as state:
        state.seek(number * 700 % 5000)
        state.write(os.urandom(3000))
    (home / f"made {number}").write_bytes(os.urandom(9000))
    os.chmod(home / f"made {number}", 0o600 + number)
    if number > 0:
        os.replace(home / f"made {number - 1}", home / "kept")  # from the second time on over the one before
    (home / "short").unlink(missing_ok=True)
    os.symlink(f"made {number}", home / "short")
    os.utime(home / "log", (1_300_000_000 + number,) * 2)
    os.utime(MOUNTED, ns=(times.st_atime_ns, times.st_mtime_ns))


def collect() -> None:
    """Each signal is one pass of the collector."""
    names = (path for path in Path("/proc").glob("[0-9]*/comm") if path.read_text().startswith("jffs2_gcd"))
    thread = int(next(names).parent.name)
    for _ in range(GC_PASSES):
        os.kill(thread, signal.SIGHUP)
        time.sleep(0.005)


# ---- one upgrade -----------------------------------------------------------------------------------------------------


def by_manifest(device: str, wanted: Path, kept: Manifest) -> str:
    """The command line, with a manifest of the tree and of what the system has of its own."""
    theirs = [entry for entry in kept if entry.path.split(b"/")[0] == KERNEL.encode()]
    file = Path("/run/lab/series.manifest")
    file.write_bytes(Manifest([*Manifest.from_directory(wanted), *theirs]).to_text())
    words = ["apply", device, str(file), "--from", str(wanted), "--reader", READER, "-q"]
    status, _, error = captured(words)
    return error if status else ""


def by_api(device: str, wanted: Path) -> str:
    """A transaction that names what changes, and leaves the rest alone."""
    with Source(wanted) as source, jffs2tx.open(device, writable=True) as fs, fs.transaction(readers=[READER]) as tx:
        entries = {entry.path: entry for entry in source.manifest()}
        there = {path: status for path, status in fs.tree.walk() if path.split(b"/")[0] != KERNEL.encode()}
        for path in sorted(there.keys() - entries.keys(), reverse=True):
            tx.remove(path)
        for path, entry in sorted(entries.items()):
            if entry.type == "dir" and path not in there:
                tx.mkdir(path, mode=entry.mode)
            elif entry.type == "file" and (path not in there or there[path].mtime != entry.time):
                tx.put(path, b"".join(source.open(entry)), mode=entry.mode)
        for path, entry in entries.items():
            tx.utime(path, entry.time)
        tx.commit()
    return ""


def space(device: str) -> dict:
    with jffs2tx.open(device) as fs:
        found, state = fs.tree.space, fs.tree.status.state
    return {"there": found.free + found.dirty, "needed": found.needed_bytes, "bad": found.bad, "state": state}


def main() -> None:
    device, old, new, rounds = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    MOUNTED.mkdir(exist_ok=True)
    wanted_lines = {tree_of: by_path(tree.lines(tree_of)) for tree_of in (old, new)}
    report = []
    kept: dict[str, str] = {}
    manifest = Manifest.from_directory(new)  # of the live tree; nothing is of the system's own yet
    for number in range(rounds):
        wanted = new if number % 2 == 0 else old
        error = by_api(device, wanted) if number % 4 > 1 else by_manifest(device, wanted, manifest)
        after = space(device)
        sh("mount", "-t", "jffs2", "mtd0", MOUNTED)
        seen = by_path(tree.lines(MOUNTED))
        expected = wanted_lines[wanted] | kept
        wrong = sorted(set(expected.values()) ^ set(seen.values()))
        work(number)
        collect()
        sh("umount", MOUNTED)
        sh("mount", "-t", "jffs2", "mtd0", MOUNTED)
        kept = below_kernel(tree.lines(MOUNTED))
        manifest = Manifest.from_directory(MOUNTED)
        collect()
        sh("umount", MOUNTED)
        report.append({"error": error, "wrong": wrong, "kept": len(kept), "after": after, "later": space(device)})
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
