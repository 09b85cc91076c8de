"""File systems that the kernel has written at random: our tree is the kernel's, after an unmount and after a cut.

A seed says all: chip, kernel, compressor, actions and cut. By default a sample; `make kernel-histories` runs 300 of
them, JFFS2TX_HISTORIES=40-60 those seeds, JFFS2TX_HISTORIES=47 one.

Two kinds of cut: what stands on the chip while the file system is still mounted and not synchronised, which is all that
a guest that is killed leaves; and of what the last actions wrote only the first part, torn in the middle of a page or
word.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass

import pytest

from jffs2tx.device import Geometry
from jffs2tx.filesystem import FileSystem

from . import histories, trees
from .corpus.trees import seen_by_kernel, seen_by_us
from .lab.fixture import lab  # noqa: F401
from .lab.lab import KIB, Case, Nand, Nor, Result, call, gc, mount, read_back, remount, umount
from .lab.lab import tree as see
from .media import State, simulated

pytestmark = pytest.mark.lab

SAMPLE = "0-8"  # one of each kind
AT_ONCE = 60  # histories of one lab run

CHIPS = {
    "nor": (Nor(768 * KIB, 16 * KIB), Geometry("nor", 768 * KIB, 16 * KIB)),
    "nand": (Nand(512, 768 * KIB), Geometry("nand", 768 * KIB, 16 * KIB, 512, 256, 8)),
    "nand2k": (Nand(2 * KIB, 2048 * KIB), Geometry("nand", 2048 * KIB, 128 * KIB, 2048, 512, 38)),
}
KINDS = (
    ("nor", "stock"),
    ("nand", "stock"),
    ("nor", "nosummary"),
    ("nor", "bigendian"),
    ("nand2k", "stock"),
    ("nand", "bigendian"),
    ("nor", "rtime"),
    ("nand", "nosummary"),
    ("nand", "rubin"),
)
COMPRESSORS = ("", "compr=zlib", "compr=lzo", "compr=none")


@dataclass
class Past:
    """One history, by its seed."""

    seed: int

    @property
    def kind(self) -> tuple[str, str]:
        return KINDS[self.seed % len(KINDS)]

    @property
    def endian(self) -> str:
        return "big" if self.kind[1] == "bigendian" else "little"

    @property
    def options(self) -> str:
        if self.kind[1] in ("rtime", "rubin"):  # that one before all others
            return ""
        return COMPRESSORS[self.seed // len(KINDS) % len(COMPRESSORS)]

    @property
    def name(self) -> str:
        return " ".join(filter(None, (f"{self.seed}:", *self.kind, self.options)))

    def case(self) -> Case:
        chip, kernel = self.kind
        first, then, last = ([f"{self.seed}.{part}", actions] for part, actions in ((1, 40), (2, 25), (3, 12)))
        steps = [mount(options=self.options), call(histories.__file__, *first)]
        steps += [[remount(), gc(15, 0.001)], [gc(30, 0.001)], []][self.seed % 3]
        steps += [call(histories.__file__, *then), read_back(), call(histories.__file__, *last), read_back()]
        steps += [umount(), mount(ro=True), see(), umount(), read_back()]
        return Case(self.name, CHIPS[chip][0], None, "all" if "nand" in chip else (), kernel, steps)

    def cut(self, before: bytes, after: bytes) -> bytes:
        """What a power cut between two states leaves."""
        chosen = random.Random(f"{self.seed}.cut")
        if self.seed % 2:
            return after
        page = CHIPS[self.kind[0]][1].write_size
        return torn(before, after, 4 if page == 1 else page, chosen)


def torn(before: bytes, after: bytes, step: int, chosen: random.Random) -> bytes:
    """The first of the pages (or words) that differ, by their places; the last of them in part."""
    places = [at for at in range(0, len(after), step) if before[at : at + step] != after[at : at + step]]
    if not places:
        return after
    cut = chosen.randrange(len(places))
    raw = bytearray(before)
    for at in places[:cut]:
        raw[at : at + step] = after[at : at + step]
    end = places[cut] + chosen.randrange(step)
    raw[places[cut] : end] = after[places[cut] : end]
    return bytes(raw)


def seen(past: Past, image: bytes) -> list[str]:
    geometry = CHIPS[past.kind[0]][1]
    with (
        simulated(geometry, State(image), past.endian) as flash,
        FileSystem(flash, endian=past.endian, summary=past.kind[1] != "nosummary") as fs,
    ):
        return seen_by_us(fs)


def compare(past: Past, when: str, result: Result, image: bytes) -> str:
    """The difference, or nothing."""
    if not result.ok:
        return f"{past.name}, {when}: {result.why()}"
    theirs, ours = seen_by_kernel(result.tree().lines), seen(past, image)
    assert len(theirs) > 3, past.name
    if theirs == ours:
        return ""
    return f"{past.name}, {when}: - kernel, + ours\n{trees.difference(theirs, ours)}"


def seeds() -> list[int]:
    first, _, last = os.environ.get("JFFS2TX_HISTORIES", SAMPLE).partition("-")
    return list(range(int(first), int(last or first) + 1))


def test_our_tree_is_the_kernels(lab):  # noqa: F811
    different, counts = [], Counter()
    wanted = seeds()
    for start in range(0, len(wanted), AT_ONCE):
        pasts = [Past(seed) for seed in wanted[start : start + AT_ONCE]]
        results = lab.run([past.case() for past in pasts])
        cut = []
        for past, result in zip(pasts, results, strict=True):
            counts[past.kind] += 1
            if not result.ok:
                different.append(f"{past.name}: {result.why()}")
                continue
            before, after, last = (step.image for step in result.named("read_back"))
            different.append(compare(past, "after an unmount", result, last))
            cut.append((past, past.cut(before, after)))
        steps = [mount(ro=True), see()]
        cases = [Case(past.name, CHIPS[past.kind[0]][0], image, (), past.kind[1], steps) for past, image in cut]
        for (past, image), result in zip(cut, lab.run(cases), strict=True):
            different.append(compare(past, "after a cut", result, image))
        print(
            f"seeds {pasts[0].seed} to {pasts[-1].seed}: {len([d for d in different if d])} differ so far", flush=True
        )
    different = [text for text in different if text]
    print(f"{sum(counts.values())} histories, {dict(counts)}, each also after a cut: {len(different)} differ")
    assert not different, "\n\n".join(different)
