"""Makes the corpus anew, from the repository's root:

python -m tests.corpus ours [NAME ...]    what our reader makes of crafted images, beside what is expected
python -m tests.corpus write [NAME ...]   crafted images into fixtures/images, with the trees that the kernels show
python -m tests.corpus differ             writes the sections of our reader anew, by what it makes of the images
python -m tests.corpus make               new images by mkfs.jffs2 (as root) and by the lab's kernels, likewise
"""

from __future__ import annotations

import argparse
import difflib

from ..lab.lab import Lab
from . import crafted_images, made
from .deliberate import DELIBERATE, FATAL
from .expectation import CRASHES, IMAGES, Expectation, all_expectations, parse
from .judge import kernels, ours

CRAFTED = crafted_images()


def _chosen(wanted: list[str]) -> list[str]:
    return [name for name in CRAFTED if not wanted or name in wanted]


def _ours(wanted: list[str]) -> None:
    for name in _chosen(wanted):
        image = CRAFTED[name]
        known = parse(IMAGES / f"{name}.txt") if (IMAGES / f"{name}.txt").exists() else None
        data = image.make()
        for kernel in known.kernels if known else ("stock",):
            tree = ours(data, image.chip, image.order, kernel)
            if known is None:
                print(f"== {name}", *tree, sep="\n")
            elif tree != known.ours(kernel):
                print(
                    f"== {name}:{kernel}", *difflib.unified_diff(known.ours(kernel), tree, lineterm="", n=0), sep="\n"
                )


def _write(wanted: list[str]) -> None:
    found = []
    for name in _chosen(wanted):
        image = CRAFTED[name]
        found.append((Expectation(name, image.about, "crafted", image.chip, image.order), image.make()))
    _save(found, Lab())
    _ours(wanted)


def _make() -> None:
    lab = Lab()
    images = [*made.mkfs(), *made.kernel(lab)]
    _save([(Expectation(m.name, m.about, m.made, m.chip, m.order), m.image) for m in images], lab)


def _save(found: list[tuple[Expectation, bytes]], lab: Lab) -> None:
    asked = [(e, data, kernel) for e, data in found for kernel in e.kernels if (e.name, kernel) not in FATAL]
    seen = kernels(lab, asked)
    for (expectation, _, kernel), tree in zip(asked, seen, strict=True):
        expectation.trees[kernel] = tree
    for expectation, data in found:
        for kernel in expectation.kernels:
            expectation.trees.setdefault(kernel, CRASHES)
        _note_ours(expectation, data)
        expectation.save(data)


def _note_ours(expectation: Expectation, image: bytes) -> None:
    """Only where it is meant to be another."""
    expectation.why, expectation.own = DELIBERATE.get(expectation.name, ""), {}
    for kernel in expectation.kernels if expectation.why else ():
        tree = ours(image, expectation.chip, expectation.order, kernel)
        if tree != expectation.trees[kernel]:
            expectation.own[kernel] = tree


def _differ() -> None:
    for expectation in all_expectations():
        _note_ours(expectation, expectation.image())
        expectation.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("ours", "write", "make", "differ"))
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    if arguments.command in ("ours", "write"):
        {"ours": _ours, "write": _write}[arguments.command](arguments.names)
    else:
        {"make": _make, "differ": _differ}[arguments.command]()


if __name__ == "__main__":
    main()
