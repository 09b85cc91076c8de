"""The engine on big-endian MIPS and PowerPC and on ARM, under QEMU: what it writes, reads, recovers and judges is what
it does here, byte for byte. tests/foreign/jobs.c is the list of jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from jffs2tx._ffi import lib

from . import rubin
from .corpus.expectation import all_expectations
from .crafted import block, directory, dirent, inode
from .foreign import build
from .test_compr import CHUNKS
from .test_compr_read import SDK_BARE, SDK_PROPERTIES, SDK_TEXT

KIB = 1024

#: Medium, byte order and strategy of every image that is written.
WRITTEN = {
    f"{medium}-{order}-{strategy}"
    for medium, strategies in {
        "nor": ("swap", "flip"),
        "nor-ecc": ("swap", "seal"),
        "nand512": ("swap", "seal"),
        "nand2k": ("swap", "seal", "lift"),
    }.items()
    for strategy in strategies
    for order in ("little", "big")
}


@pytest.fixture(scope="module")
def foreign():
    """From the name of a processor to its program; skips, loudly, where there are no compilers, and never in CI."""
    reason = build.missing()
    if reason is None:
        return build.program
    if os.environ.get("CI") == "true":
        pytest.fail(f"the tests on other processors must run in CI: {reason}")
    warnings.warn(f"OTHER PROCESSORS SKIPPED: {reason}", stacklevel=1)
    return pytest.skip(f"OTHER PROCESSORS SKIPPED: {reason}")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Image files to read: the semantic corpus, and one of methods that only others write."""
    folder = tmp_path_factory.mktemp("read")
    for expected in all_expectations():
        (folder / expected.name).write_bytes(expected.image())
    (folder / "compressed").write_bytes(compressed())
    return sorted(folder.iterdir())


def compressed() -> bytes:
    text = CHUNKS["text"]
    methods = {
        lib.JX_COMPR_RUBINMIPS: (rubin.fixed(text), text),
        lib.JX_COMPR_DYNRUBIN: (rubin.dynamic(text), text),
        lib.JX_COMPR_LZMA: (SDK_BARE, SDK_TEXT),
        lib.JX_COMPR_LZMA_PROPS: (SDK_PROPERTIES + SDK_BARE, SDK_TEXT),
    }
    nodes = [directory(1)]
    for ino, (method, (packed, data)) in enumerate(methods.items(), start=2):
        nodes += [
            dirent(1, ino, b"%d" % ino, ino),
            inode(ino, 1, packed, size=len(data), compr=method, dsize=len(data)),
        ]
    return block(*nodes)


def run(*command) -> list[str]:
    argv = [str(part) for part in command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The same program on this host, over the C core as Python has it: a command."""
    return sys.executable, build.HERE / "host.py", build.shared_object(tmp_path_factory.mktemp("here"))


@pytest.fixture(scope="module")
def expected(here, images, tmp_path_factory):
    """What it printed, and the images that it wrote by name."""
    folder = tmp_path_factory.mktemp("expected")
    lines = run(*here, folder, *images)
    return lines, written(folder)


def written(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


def test_the_jobs_do_their_work(expected):
    """Every strategy in both byte orders, no failure among the crash images, and every method of compression read."""
    lines, media = expected
    assert set(media) == WRITTEN
    judged = [line for line in lines if ": judged " in line]
    assert len(judged) == 2 * len(WRITTEN)
    assert all(" failures 0 " in line for line in judged)
    assert sum(" collected " in line and " erased 0 " not in line for line in lines) >= len(WRITTEN)
    assert sum(line.startswith("compressed: scan tree") for line in lines) == 1


@pytest.mark.parametrize("processor", build.PROCESSORS)
def test_it_is_the_same_on(processor, foreign, expected, images, tmp_path):
    jobs = foreign(processor)
    lines, media = expected
    assert run(build.PROCESSORS[processor].qemu, jobs, tmp_path, *images) == lines
    assert written(tmp_path) == media


@pytest.fixture(scope="module")
def large_dump(tmp_path_factory):
    """A sparse dump of 4 GiB of NAND with its OOB, nothing but zeros up to its last page."""
    path, page, oob = tmp_path_factory.mktemp("large") / "dump", 2 * KIB, 64
    pages = ((1 << 32) - 128 * KIB) // page
    with path.open("wb") as file:
        file.seek((pages - 1) * (page + oob))
        file.write(b"\xa5" * page + bytes(oob))
    yield path
    path.unlink()


@pytest.mark.parametrize("processor", build.PROCESSORS)
def test_a_dump_larger_than_its_addresses_is_read_on(processor, foreign, large_dump):
    answer = run(build.PROCESSORS[processor].qemu, foreign(processor), "--large", large_dump)
    assert answer == ["large: read to its end"]


def test_a_large_dump_is_read_here(here, large_dump):
    assert run(*here, "--large", large_dump) == ["large: read to its end"]
