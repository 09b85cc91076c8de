"""check and extract over the corpus (fixtures/images): sound where the kernel wrote it, told where it stumbles."""

import io
import tarfile
from contextlib import ExitStack

import pytest

from jffs2tx import ops
from jffs2tx.device import Flash
from jffs2tx.errors import FormatError
from jffs2tx.image import Image

from .corpus.expectation import CRASHES, REFUSED, all_expectations
from .corpus.judge import geometry

EXPECTED = {expected.name: expected for expected in all_expectations()}
#: By mkfs.jffs2, sumtool and the lab's kernels, but where the power failed.
SOUND = [name for name in EXPECTED if name.startswith(("mkfs", "kernel-")) and not name.endswith("-cut")]


def image_of(name):
    expected = EXPECTED[name]
    flash = Flash.memory(geometry(expected.chip), expected.image())
    return Image(name, flash, expected.order, [], ExitStack())


def stumbles(expected):
    """Whether some kernel does not show it whole."""
    trees = expected.trees.values()
    return any(tree in (REFUSED, CRASHES) or any(line.endswith(" error") for line in tree) for tree in trees)


@pytest.mark.parametrize("name", SOUND)
def test_what_mkfs_and_the_kernel_wrote_is_clean(name):
    with image_of(name) as image:
        assert ops.check(image, progress=None)["problems"] == []


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if stumbles(expected)])
def test_where_the_kernel_stumbles_there_is_a_problem(name):
    with image_of(name) as image:
        try:
            assert ops.check(image, progress=None)["problems"]
        except FormatError:
            assert REFUSED in EXPECTED[name].trees.values()


@pytest.mark.parametrize("name", EXPECTED)
def test_all_of_it_comes_out_or_is_told(name, tmp_path):
    with image_of(name) as image:
        stream = io.BytesIO()
        try:
            facts = ops.extract(image, output=tmp_path / "out", progress=None)
            told = ops.archive(image, output=stream, progress=None)
        except FormatError:
            assert REFUSED in EXPECTED[name].trees.values()
            return
        with image.fs() as fs:
            damaged = []
            names = list(fs.walk(onerror=lambda path, error: damaged.append(path)))
    out = facts["extracted"]
    assert out == sum(1 for _ in (tmp_path / "out").rglob("*")) + (out > 0)  # the root
    assert out + len({fact["path"] for fact in (*facts["unreadable"], *facts["omitted"])}) >= len(names)
    assert len(facts["unreadable"]) >= len(damaged)
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as tar:
        assert len(tar.getnames()) == told["extracted"]
