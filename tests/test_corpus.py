"""The semantic corpus (fixtures/images): our reader, and in the lab each kernel, shows what is written beside an image.

fixtures/README.md says how the images are made anew.
"""

from __future__ import annotations

import pytest

from .corpus import crafted_images, trees
from .corpus.deliberate import DELIBERATE, FATAL, FATAL_AT_TIMES
from .corpus.expectation import CRASHES, IMAGES, Expectation, all_expectations, parse
from .corpus.judge import kernels, ours
from .lab.fixture import lab  # noqa: F401
from .trees import difference

EXPECTED = all_expectations()
CRAFTED = crafted_images()


def by_name(expectation: Expectation) -> str:
    return expectation.name


@pytest.mark.parametrize("expected", EXPECTED, ids=by_name)
def test_our_reader_shows_what_is_expected(expected):
    image = expected.image()
    for kernel in expected.kernels:
        seen = ours(image, expected.chip, expected.order, kernel)
        assert seen == expected.ours(kernel), difference(expected.ours(kernel), seen)


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_images_are_made_again_byte_for_byte(name):
    expected, crafted = parse(IMAGES / f"{name}.txt"), CRAFTED[name]
    assert crafted.make() == expected.image()
    assert (crafted.about, crafted.chip, crafted.order) == (expected.about, expected.chip, expected.order)


def test_the_corpus_is_whole():
    """Every image has its expectation, every expectation its image, and none is forgotten in the text form."""
    assert {path.stem for path in IMAGES.glob("*.xz")} == {expected.name for expected in EXPECTED} >= set(CRAFTED)
    assert len(EXPECTED) >= 100
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < 3 << 20
    for expected in EXPECTED:
        assert expected.text() == (IMAGES / f"{expected.name}.txt").read_text()
        assert ("made: crafted" in expected.text()) == (expected.name in CRAFTED)


def test_ours_differs_only_where_that_is_meant():
    for expected in EXPECTED:
        assert expected.why == DELIBERATE.get(expected.name, "")
        fatal = {kernel for name, kernel in FATAL if name == expected.name}
        assert {kernel for kernel in expected.kernels if expected.trees[kernel] == CRASHES} == fatal


def test_a_difference_would_show():
    """Each line of each kind of tree counts."""
    expected = parse(IMAGES / "plain.txt")
    image = expected.image()
    seen = ours(image.replace(b"root:x", b"root:y"), expected.chip, expected.order, "stock")
    assert seen != expected.ours("stock")
    assert trees.seen_by_kernel(['{"path": "a", "error": "EIO"}']) == ["./a error"]


@pytest.mark.lab
def test_the_kernels_show_what_is_expected(lab):  # noqa: F811
    asked = [(e, e.image(), kernel) for e in EXPECTED for kernel in e.kernels if e.trees[kernel] != CRASHES]
    wrong = []
    for (expected, _, kernel), seen in zip(asked, kernels(lab, asked), strict=True):
        if seen != expected.trees[kernel] and not (seen == CRASHES and expected.name in FATAL_AT_TIMES):
            wrong.append(f"{expected.name}, {kernel}:\n{difference(expected.trees[kernel], seen)}")
    assert not wrong, "\n".join(wrong)
