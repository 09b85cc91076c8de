"""What is expected of an image, as text beside it: how it was made, its chip, and the tree each reader shows.

    # A file was renamed over another.
    # made: crafted
    # chip: nor size=131072 erase=16384 page=1 order=little
    [stock nosummary]
    . type=dir mode=0755 uid=0 gid=0 time=1000000000
    ./a type=file ... error
    [jffs2tx stock] why ours is another on purpose
    ...

Readers: stock (Debian's kernel), nosummary (the same without CONFIG_JFFS2_SUMMARY), bigendian. In place of a tree
stands `refused` where the kernel does not mount, `crashes` where it does not survive. The lines are those of
tests/corpus/trees.py. A [jffs2tx …] section is our reader in the place of those kernels; without one, ours is theirs.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass, field
from pathlib import Path

from .nodes import Chip

IMAGES = Path(__file__).resolve().parents[2] / "fixtures" / "images"
REFUSED, CRASHES = ["refused"], ["crashes"]
KERNELS = {"little": ("stock", "nosummary"), "big": ("bigendian",)}
OURS = "jffs2tx"


@dataclass
class Expectation:
    name: str
    about: str
    made: str
    chip: Chip
    order: str
    trees: dict[str, list[str]] = field(default_factory=dict)  # by reader
    own: dict[str, list[str]] = field(default_factory=dict)  # ours in the place of that kernel, where it is another
    why: str = ""  # and why

    @property
    def kernels(self) -> tuple[str, ...]:
        return KERNELS[self.order]

    def ours(self, kernel: str) -> list[str]:
        return self.own.get(kernel, self.trees[kernel])

    def image(self) -> bytes:
        return lzma.decompress((IMAGES / f"{self.name}.xz").read_bytes())

    # ---- text ----

    def text(self) -> str:
        chip = self.chip
        out = [f"# {self.about}", f"# made: {self.made}"]
        out.append(f"# chip: {chip.kind} size={chip.size} erase={chip.erase} page={chip.page} order={self.order}")
        for tree, kernels in _grouped(self.trees, self.kernels):
            out += [f"[{kernels}]", *tree]
        for tree, kernels in _grouped(self.own, self.kernels):
            out += [f"[{OURS} {kernels}] {self.why}", *tree]
        return "\n".join(out) + "\n"

    def save(self, image: bytes | None = None) -> None:
        IMAGES.mkdir(parents=True, exist_ok=True)
        (IMAGES / f"{self.name}.txt").write_text(self.text())
        if image is not None:
            packed = lzma.compress(image, preset=9 | lzma.PRESET_EXTREME)
            (IMAGES / f"{self.name}.xz").write_bytes(packed)


def _grouped(trees: dict[str, list[str]], kernels: tuple[str, ...]) -> list[tuple[list[str], str]]:
    """Each tree once, and the kernels that have it."""
    groups: dict[tuple, list[str]] = {}
    for kernel in kernels:
        if kernel in trees:
            groups.setdefault(tuple(trees[kernel]), []).append(kernel)
    return [(list(tree), " ".join(names)) for tree, names in groups.items()]


def parse(path: Path) -> Expectation:
    lines = path.read_text().splitlines()
    head = [text.removeprefix("# ") for text in lines[:3]]
    kind, *words = head[2].removeprefix("chip: ").split()
    values = dict(word.split("=") for word in words)
    chip = Chip(kind, int(values["erase"]), int(values["size"]), int(values["page"]))
    found = Expectation(path.stem, head[0], head[1].removeprefix("made: "), chip, values["order"])
    for text in lines[3:]:
        if text.startswith("["):
            names, _, why = text[1:].partition("]")
            first, *others = names.split()
            tree: list[str] = []
            into, kernels = (found.own, others) if first == OURS else (found.trees, (first, *others))
            into.update((kernel, tree) for kernel in kernels)
            found.why = why.strip() or found.why
        else:
            tree.append(text)
    return found


def all_expectations() -> list[Expectation]:
    return [parse(path) for path in sorted(IMAGES.glob("*.txt"))]
