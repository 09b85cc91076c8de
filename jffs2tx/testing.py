"""A pytest plugin: fixtures that cut the power everywhere in an upgrade of your own. See docs/TESTING.md.

Every pytest in whose environment jffs2tx is installed loads this, so nothing but pytest is imported here; a fixture
imports what it needs when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jffs2tx.faults.simulated import SimulatedFlash


@pytest.fixture
def jffs2_flash() -> Iterator[Callable[..., SimulatedFlash]]:
    """Makes a simulated flash: `jffs2_flash(content, chip="nor", readers=("linux",), endian="little")`.

    content: a directory, a dict of content by path, or the path of an image. chip: nor, nand, nand512, or a
    jffs2tx.device.Geometry. See jffs2tx.faults.simulated.SimulatedFlash.
    """
    from jffs2tx.faults.simulated import SimulatedFlash

    with ExitStack() as made:
        yield lambda *content, **chip: made.enter_context(SimulatedFlash.of(*content, **chip))


@pytest.fixture
def jffs2_image(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes an image file: `jffs2_image(content, chip="nor", endian="little")`; its path."""
    from jffs2tx.faults.simulated import write_tree

    def make(content, chip="nor", endian: str = "little") -> Path:
        return write_tree(tmp_path_factory.mktemp("jffs2") / "image.jffs2", content, chip, endian)

    return make
