"""Usual root file systems on NAND: upgrades land by default if one page holds the commit set."""

import random
import subprocess

import pytest

from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import StrategyError
from jffs2tx.filesystem import FileSystem
from jffs2tx.readers import named
from jffs2tx.source import Source
from jffs2tx.tree import manifest_of
from jffs2tx.upgrade import apply_upgrade, wanted_tree

from . import rootfs
from .images import needs_mkfs

KIB = 1024
FILES = 100
NAND2K = Geometry("nand", 8192 * KIB, 128 * KIB, 2048, 512, 38)
NAND512 = Geometry("nand", 4096 * KIB, 16 * KIB, 512, 256, 8)

pytestmark = needs_mkfs


@pytest.fixture
def trees(request, tmp_path):
    """Two versions, and an image of the first by mkfs.jffs2 for each geometry."""
    rng = random.Random(request.node.name)
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    rootfs.make(old, rng, FILES)

    def image(geometry):
        options = ["-e", str(geometry.erase_size), "-s", str(geometry.write_size), "-n", "-l"]
        target = tmp_path / "image"
        subprocess.run(["mkfs.jffs2", "-r", old, "-o", target, *options], check=True, capture_output=True)
        return Flash.memory(geometry, target.read_bytes())

    def upgrade(kind):
        rootfs.upgrade(old, new, rng, kind)
        return new

    return image, upgrade


@pytest.mark.parametrize("kind", rootfs.KINDS)
def test_pages_of_2048_take_it_by_lift(kind, trees):
    image, upgrade = trees
    with image(NAND2K) as flash, Source(upgrade(kind)) as source:
        manifest = source.manifest()
        outcome = apply_upgrade(flash, wanted_tree(manifest), source.open)
        assert outcome.plan.strategy == "lift" and outcome.figures.commit_bytes <= outcome.figures.commit_limit
        with FileSystem(flash) as fs:
            assert manifest_of(fs) == manifest


@pytest.mark.parametrize("kind", rootfs.KINDS)
def test_pages_of_512_take_it_by_seal_and_the_refusal_says_so(kind, trees):
    image, upgrade = trees
    with image(NAND512) as flash, Source(upgrade(kind)) as source:
        manifest = source.manifest()
        before = flash.read(0, flash.geometry.size)
        with pytest.raises(StrategyError, match="--reader linux-summary lands it by seal"):
            apply_upgrade(flash, wanted_tree(manifest), source.open)
        assert flash.read(0, flash.geometry.size) == before
        outcome = apply_upgrade(flash, wanted_tree(manifest), source.open, readers=named(("linux-summary",)))
        assert outcome.plan.strategy == "seal"
        with FileSystem(flash) as fs:
            assert manifest_of(fs) == manifest
