"""Two versions of a set of real Debian packages, unpacked: the oldest and the newest that apt lists of each."""

import fcntl
import filecmp
import os
import shutil
import stat
import subprocess
from pathlib import Path

from jffs2tx.demo.tree import make_new, make_old

from .lab import build

PACKAGES = ("linux-libc-dev", "libpython3.11-stdlib", "perl-modules-5.36", "tzdata")


def two_trees(folder: Path) -> tuple[Path, Path, str]:
    """The trees, and what they are made of: the packages, or what the demo makes where apt has not two versions."""
    old, new = folder / "old", folder / "new"
    pairs = [_pair(name) for name in PACKAGES]
    if not all(pairs) or all(first == last for first, last in pairs):
        make_old(old)
        make_new(old, new)
        return old, new, "the demo's trees (apt lists no two versions of a package)"
    for archives, root in zip(zip(*pairs, strict=True), (old, new), strict=True):
        root.mkdir()
        for archive in archives:
            subprocess.run(["dpkg", "-x", archive, root], check=True, capture_output=True)
    _keep_times(old, new)
    return old, new, ", ".join(f"{first.stem} -> {last.stem.split('_')[1]}" for first, last in pairs)


def _keep_times(old: Path, new: Path) -> None:
    """What is the same in both versions keeps its time, as a builder of images with reproducible times has it.

    Debian gives every file of a package the date of the package, so that each of them would get new metadata.
    """
    for parent, _, names in os.walk(new, topdown=False):
        for name in (*names, "."):
            path = Path(parent, name)
            before = old / path.relative_to(new)
            if os.path.lexists(before) and _is_same(before, path):
                time = before.lstat().st_mtime_ns
                os.utime(path, ns=(time, time), follow_symlinks=False)


def _is_same(one: Path, other: Path) -> bool:
    mode = one.lstat().st_mode
    if mode != other.lstat().st_mode:
        return False
    if stat.S_ISLNK(mode):
        return one.readlink() == other.readlink()
    return stat.S_ISDIR(mode) or filecmp.cmp(one, other, shallow=False)


# ---- archives, kept from run to run ----------------------------------------------------------------------------------


def _pair(package: str) -> tuple[Path, Path] | None:
    """The archives of the oldest and the newest version, which may be one; None where there is none."""
    if not shutil.which("apt-get"):
        return None
    cache = build.cache_dir() / "packages"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = cache / package
        if not folder.exists():
            part = cache / f"{package}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for number, version in enumerate(_versions(package)):
                _download(package, version, part / str(number))
            part.rename(folder)
    archives = [path for number in sorted(folder.iterdir()) for path in number.glob("*.deb")]
    return (archives[0], archives[-1]) if archives else None


def _versions(package: str) -> list[str]:
    """Those that apt lists, oldest first."""
    listing = subprocess.run(["apt-cache", "madison", package], capture_output=True, text=True, check=False).stdout
    versions = [line.split("|")[1].strip() for line in reversed(listing.splitlines()) if line.count("|") >= 2]
    return list(dict.fromkeys(version for version in versions if version))


def _download(package: str, version: str, folder: Path) -> None:
    """An old version may be gone from the archive although it is listed: then there is nothing in the folder."""
    folder.mkdir()
    argv = ["apt-get", "download", "-q", f"{package}={version}"]
    subprocess.run(argv, cwd=folder, capture_output=True, check=False, timeout=300)
