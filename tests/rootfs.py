"""Root file systems as small boards have them, and upgrades of them: a few hundred files in the usual directories."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

OLD_TIME, NEW_TIME = 1_600_000_000, 1_700_000_000

#: Directory -> how many files of a tree of 100, and their typical size in bytes.
_PLACES = {
    "bin": (6, 9000),
    "boot": (1, 60_000),
    "etc": (8, 300),
    "etc/init.d": (5, 900),
    "etc/network": (2, 300),
    "etc/network/if-up.d": (2, 400),
    "etc/ssl/certs": (6, 1300),
    "lib": (5, 20_000),
    "lib/firmware": (2, 12_000),
    "lib/modules/6.1.0/kernel/drivers/net": (4, 6000),
    "lib/modules/6.1.0/kernel/fs": (3, 6000),
    "root": (1, 200),
    "sbin": (5, 8000),
    "usr/bin": (14, 7000),
    "usr/lib": (10, 15_000),
    "usr/lib/opkg/info": (10, 200),
    "usr/sbin": (4, 8000),
    "usr/share/misc": (4, 1000),
    "usr/share/zoneinfo/Europe": (4, 700),
    "var/lib/opkg": (2, 2000),
    "www/cgi-bin": (2, 3000),
}
_EMPTY = ("dev", "home", "mnt", "opt", "proc", "run", "sys", "tmp", "var/log", "var/run")
_LINKS = {"bin/sh": "busybox", "etc/mtab": "/proc/mounts", "linuxrc": "bin/busybox", "usr/lib/libz.so.1": "libz.so.1.2"}

KINDS = ("fix", "release", "spread", "times", "metadata")


def _content(rng: random.Random, size: int) -> bytes:
    """Half of it compresses."""
    return rng.randbytes(size // 2) + b"jffs2 " * (size // 12)


def make(root: Path, rng: random.Random, files: int = 300) -> None:
    """A tree of about that many files; all times are OLD_TIME."""
    for place in _EMPTY:
        (root / place).mkdir(parents=True, exist_ok=True)
    for place, (share, size) in _PLACES.items():
        (root / place).mkdir(parents=True, exist_ok=True)
        for number in range(max(1, share * files // 100)):
            (root / place / f"{place.rpartition('/')[2]}-file{number}").write_bytes(
                _content(rng, rng.randrange(size // 4, size * 2))
            )
    (root / "bin/busybox").write_bytes(_content(rng, 120_000))
    for place, target in _LINKS.items():
        (root / place).symlink_to(target)
    _touch(root, OLD_TIME, sorted(root.rglob("*")))


def _touch(root: Path, time: int, paths) -> None:
    for path in sorted((root, *paths), key=lambda p: -len(p.parts)):
        os.utime(path, (time, time), follow_symlinks=False)


def upgrade(old: Path, new: Path, rng: random.Random, kind: str) -> None:
    """new: what an upgrade makes of old.

    fix: two files of one directory; release: a tenth of the files and a name where they are, all over the tree; spread:
    one file in each directory and a name in most; times: as release, and everything has a new time, as without
    reproducible builds; metadata: the mode of a tenth of the files.
    """
    shutil.copytree(old, new, symlinks=True)
    files = sorted(path for path in new.rglob("*") if path.is_file() and not path.is_symlink())
    if kind == "fix":
        place = rng.choice(files).parent
        changed = [path for path in files if path.parent == place][:2]
    elif kind == "spread":
        changed = [next(path for path in files if path.parent == place) for place in sorted({p.parent for p in files})]
    else:
        changed = rng.sample(files, len(files) // 10)
    for path in changed:
        if kind == "metadata":
            path.chmod(0o600)
        else:
            path.write_bytes(_content(rng, path.stat().st_size))
            os.utime(path, (NEW_TIME, NEW_TIME))
    _names(new, changed if kind != "metadata" else [], rng if kind != "fix" else None)
    if kind == "times":
        _touch(new, NEW_TIME, new.rglob("*"))


def _names(new: Path, changed: list[Path], rng: random.Random | None) -> None:
    """Names come and go where files changed; a directory has the time of its last change of names, as on any Unix."""
    homes = {path.parent for path in changed} if rng else set()
    for place in sorted(homes):
        before = place.stat().st_mtime
        (place / f"added{rng.randrange(100)}").write_bytes(_content(rng, 2000))
        os.utime(place, (NEW_TIME, NEW_TIME) if rng.random() < 0.9 else (before, before))
