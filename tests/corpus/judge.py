"""What our reader and the lab's kernels make of an image."""

from __future__ import annotations

from collections.abc import Iterable

from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import FormatError
from jffs2tx.filesystem import FileSystem

from ..lab.lab import Case, Lab, Nand, Nor, Result, mount, tree
from .expectation import CRASHES, REFUSED, Expectation
from .nodes import Chip
from .trees import seen_by_kernel, seen_by_us


def geometry(chip: Chip) -> Geometry:
    """OOB: what nandsim's software ECC leaves free (pages of 512 bytes)."""
    if chip.kind == "nor":
        return Geometry("nor", chip.size, chip.erase)
    return Geometry("nand", chip.size, chip.erase, chip.page, chip.page // (2 if chip.page == 512 else 4), 8)


def device(chip: Chip) -> Nor | Nand:
    return Nor(chip.size, chip.erase) if chip.kind == "nor" else Nand(chip.page, chip.size)


def ours(image: bytes, chip: Chip, order: str, kernel: str) -> list[str]:
    """By the rules of that kernel; `refused` where opening fails."""
    with Flash.memory(geometry(chip), image) as flash:
        try:
            fs = FileSystem(flash, endian=order, summary=kernel != "nosummary")
        except FormatError:
            return REFUSED
        with fs:
            return seen_by_us(fs)


def kernels(lab: Lab, wanted: Iterable[tuple[Expectation, bytes, str]]) -> list[list[str]]:
    """The tree of each image by that kernel, mounted read-only. A kernel that has crashed must do so again."""
    wanted = list(wanted)
    cases = [
        Case(f"{e.name}:{kernel}", device(e.chip), image, kernel=kernel, steps=[mount(ro=True), tree()])
        for e, image, kernel in wanted
    ]
    return [_outcome(result) for result in lab.run(cases)]


def _outcome(result: Result) -> list[str]:
    if result.error:
        return CRASHES
    assert result.prepare.error is None, result.why()
    if result.steps[0].error:
        return REFUSED
    assert result.steps[1].error is None, result.why()
    return seen_by_kernel(result.steps[1].lines)
