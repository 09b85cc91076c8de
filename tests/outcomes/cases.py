"""The commands that are tried, each on an image of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jffs2tx.cli import main
from jffs2tx.image import open_image
from tests.outcomes.faults import DEAD, FAULTS, Fault, count_calls, run

KIB = 1024
TIME = 1_700_000_000


@dataclass(frozen=True)
class Scenario:
    """An upgrade. wide: the device is larger than the image, which grows. recovers: what is tried is not the upgrade
    but recover, after one that landed and of which nothing was settled.
    """

    name: str
    strategy: str
    erase_size: int
    page_size: int | None = None
    wide: bool = False
    recovers: bool = False

    @property
    def medium(self) -> dict:
        device = {"device_size": 24 * self.erase_size} if self.wide else {}
        return {"erase_size": self.erase_size, "page_size": self.page_size} | device

    @property
    def options(self) -> list[str]:
        named = ((f"--{name.replace('_', '-')}", value) for name, value in self.medium.items())
        return [str(word) for pair in named if pair[1] for word in pair]


SCENARIOS = (
    Scenario("NOR, flip", "flip", 16 * KIB),
    Scenario("NOR, flip, the image grows", "flip", 16 * KIB, wide=True),
    Scenario("NOR, swap", "swap", 16 * KIB),
    Scenario("NAND, seal", "seal", 16 * KIB, 512),
    Scenario("NAND, lift", "lift", 128 * KIB, 2048),
    Scenario("recover, NOR, flip", "flip", 16 * KIB, recovers=True),
    Scenario("recover, NAND, seal", "seal", 16 * KIB, 512, recovers=True),
)


@dataclass(frozen=True)
class Prepared:
    """A scenario on disk: the image with the tree that it shows, and what the command is called with."""

    scenario: Scenario
    image: Path
    arguments: list[str]
    old: bytes
    new: bytes
    calls: int

    def command(self, image: Path) -> list[str]:
        return ["recover" if self.scenario.recovers else "apply", str(image), *self.arguments]

    def cases(self, step: int) -> Iterator[tuple[Fault, int]]:
        """Each fault at each call, or at every step-th and, as a commit is one call, at the last ones too."""
        for fault in FAULTS:
            for call in range(self.calls):
                if call % step == 0 or call >= self.calls - 4 * (step > 1):
                    yield fault, call


def digest(image: Path, scenario: Scenario) -> bytes:
    with open_image(image, **scenario.medium) as opened:
        return opened.fs().digest()


def _make_trees(folder: Path) -> tuple[Path, Path]:
    """Below one directory, so that every strategy applies."""
    old, new = folder / "old", folder / "new"
    for tree, release in ((old, b"1"), (new, b"2")):
        (tree / "d").mkdir(parents=True)
        (tree / "d" / "changed").write_bytes(release * 9000)
        (tree / "d" / "stays").write_bytes(b"s" * 5000)
        (tree / "d" / f"only-in-{release.decode()}").write_bytes(release)
    for tree in (old, new):
        for path in (*tree.rglob("*"), tree):
            os.utime(path, (TIME, TIME))
    return old, new


def _copy(image: Path, name: str) -> Path:
    copy = image.with_name(name)
    copy.write_bytes(image.read_bytes())
    return copy


def prepare(scenario: Scenario, folder: Path) -> Prepared:
    old, new = _make_trees(folder)
    image, manifest = folder / "image", folder / "manifest"
    size = [] if scenario.wide else ["--size", str(14 * scenario.erase_size)]
    page = ["--page-size", str(scenario.page_size)] if scenario.page_size else []
    built = ["-o", str(image), "--erase-size", str(scenario.erase_size), *page, *size, "-q"]
    assert main(["mkfs", str(old), *built]) == 0
    assert main(["manifest", str(new), "-o", str(manifest), "-q"]) == 0
    arguments = [str(manifest), "--from", str(new), "-q", "--strategy", scenario.strategy, *scenario.options]
    arguments += ["--reader", "linux-summary"]
    landed = _copy(image, "landed")
    calls = count_calls(lambda: main(["apply", str(landed), *arguments]))
    trees = digest(image, scenario), digest(landed, scenario)
    assert trees[0] != trees[1]
    prepared = Prepared(scenario, image, arguments, *trees, calls)
    return _unsettled(prepared) if scenario.recovers else prepared


def _unsettled(upgrade: Prepared) -> Prepared:
    """The disk dies at the first call after which the new tree is there."""
    scenario, said = upgrade.scenario, upgrade.image.with_name("said")
    for call in range(upgrade.calls):
        image = _copy(upgrade.image, "unsettled")
        if run(["apply", str(image), *upgrade.arguments], said, DEAD, call) == 4:
            break
    arguments = ["-q", *scenario.options]
    healed = _copy(image, "healed")
    calls = count_calls(lambda: main(["recover", str(healed), *arguments]))
    assert digest(image, scenario) == upgrade.new
    return Prepared(scenario, image, arguments, upgrade.old, upgrade.new, calls)
