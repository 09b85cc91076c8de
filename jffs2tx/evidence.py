"""What the running kernel says about itself as a reader: the next one is taken to be of its kind."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path

from jffs2tx.readers import DEFAULT_READERS

SHARES_DIRECTORIES_FROM = (4, 5)  # build.c, dir_hardlinks


def running_kernel(root: Path = Path("/"), release: str | None = None) -> tuple[str, str | None]:
    """The name of the reader that this machine's kernel is (jffs2tx.readers), and the sentence that says why.

    Without its build configuration: the default reader, None. release: as uname(2) has it.
    """
    release = release or os.uname().release
    for path, config in _configurations(root, release):
        if "JFFS2_FS" not in config:
            continue
        old = _version(release) < SHARES_DIRECTORIES_FROM
        summary = "CONFIG_JFFS2_SUMMARY" if "JFFS2_SUMMARY" in config else "no CONFIG_JFFS2_SUMMARY"
        name = "linux-old" if old else "linux-summary" if "JFFS2_SUMMARY" in config else "linux-no-summary"
        name += "+xattr" if "JFFS2_FS_XATTR" in config else ""
        return name, f"the running Linux {release} was built with {summary} ({path})"
    return DEFAULT_READERS[0], None


def _configurations(root: Path, release: str) -> Iterator[tuple[str, frozenset[str]]]:
    """What is switched on, without CONFIG_, and the path that says so."""
    for path, opener in ((f"/boot/config-{release}", open), ("/proc/config.gz", gzip.open)):
        try:
            with opener(root / path.lstrip("/"), "rt", errors="replace") as file:
                yield path, frozenset(re.findall(r"^CONFIG_(\w+)=[ym]$", file.read(), re.MULTILINE))
        except (OSError, EOFError):
            continue


def _version(release: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)
