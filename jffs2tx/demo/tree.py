"""The demo's two trees: files that every Debian machine has, and a second version with a bit of everything changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

#: Where real files come from, in this order, until there are enough of them.
PLACES = ("etc", "usr/lib/python3.11", "usr/share/zoneinfo", "usr/share/perl", "usr/lib/python3", "usr/share/doc")
FILES = 3000
TOTAL_BYTES = 20 << 20
LARGEST_BYTES = 64 << 10
TIME_SECONDS = 1_700_000_000  # of what the demo makes itself

#: One file in so many is edited, removed, ... in the second version; which, its path's hash decides.
EDITED, REMOVED, RENAMED, CHANGED_MODE = 24, 120, 120, 80


def make_old(root: Path) -> None:
    """The first version: copies of the machine's own files, filled up with generated ones where it has too few."""
    root.mkdir()
    _write(root / "etc/release", b"1.0\n")
    _write(root / "usr/bin/tool", b"#!/bin/sh\ncat /etc/release\n", 0o755)
    for name in ("ls", "cat", "mv"):
        os.link(root / "usr/bin/tool", root / f"usr/bin/{name}")
    _symlink(root / "usr/bin/sh", "tool")
    _symlink(root / "usr/share/release", "../../etc/release")
    count, size = 0, 0
    for path in _real_files():
        if count == FILES or size > TOTAL_BYTES:
            break
        count += 1
        size += _copy(path, root / path.relative_to("/"))
    for number in range(count, FILES):
        text = f"file {number} of the demo\n".encode() * (number % 700 + 1)
        _write(root / f"usr/share/generated/{number // 100:02}/{number:04}.txt", text)
    _even_times(root)


def make_new(old: Path, new: Path) -> None:
    """The second version: edits, additions, removals, renames, modes, symbolic and hard links, a changed type."""
    shutil.copytree(old, new, symlinks=True, copy_function=_share)
    for path in sorted(_files(new / "usr/lib"), key=os.fsencode) + sorted(_files(new / "usr/share"), key=os.fsencode):
        _change(path, path.relative_to(new))
    _write(new / "etc/release", b"2.0\n")
    (new / "usr/bin").rename(new / "usr/commands")
    _symlink(new / "usr/bin", "commands")
    _write(new / "usr/commands/mv", b"#!/bin/sh\necho mv has a file of its own now\n", 0o755)
    os.mkfifo(new / "usr/share/queue")
    for number in range(40):
        _write(new / f"usr/share/added/{number:02}/README", f"new in 2.0: {number}\n".encode() * 300)
    _even_times(new)


# ---- the first tree --------------------------------------------------------------------------------------------------


def _real_files() -> Iterator[Path]:
    for place in PLACES:
        yield from sorted(_files(Path("/", place)), key=os.fsencode)


def _files(directory: Path) -> Iterator[Path]:
    """Regular files below a directory, but for Python's caches and what cannot be read by all."""
    for parent, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name not in ("__pycache__", "ssl", "test")]
        for name in names:
            path = Path(parent, name)
            status = path.lstat()
            plain = stat.S_ISREG(status.st_mode) and status.st_mode & 0o4 and status.st_size <= LARGEST_BYTES
            if plain and os.fsencode(path) != b"/etc/release":
                yield path


def _copy(source: Path, target: Path) -> int:
    data = source.read_bytes()
    _write(target, data, source.stat().st_mode & 0o755)
    return len(data)


# ---- the second one --------------------------------------------------------------------------------------------------


def _change(path: Path, name: Path) -> None:
    """What becomes of one file, by its name alone."""
    dice = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")
    if dice % REMOVED == 1:
        path.unlink()
    elif dice % RENAMED == 2:
        path.rename(path.with_name(path.name[:200] + ".moved"))
    elif dice % CHANGED_MODE == 3:
        _write(path, path.read_bytes(), 0o600)
    elif dice % EDITED == 4:
        data = path.read_bytes()
        _write(path, data[: len(data) // 2] + b"edited in 2.0\n" + data[len(data) // 2 :], path.stat().st_mode & 0o777)


def _share(source: str, target: str) -> None:
    """For copytree: a file that may stay as it is costs no copy; _write gives a changed one an inode of its own."""
    os.link(source, target, follow_symlinks=False)


# ---- small things ----------------------------------------------------------------------------------------------------


def _write(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def _symlink(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _even_times(root: Path) -> None:
    for parent, directories, names in os.walk(root):
        for name in (*directories, *names, "."):
            os.utime(Path(parent, name), (TIME_SECONDS, TIME_SECONDS), follow_symlinks=False)
