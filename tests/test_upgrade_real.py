"""A real upgrade: two versions of a set of Debian packages, on images that mkfs.jffs2 and sumtool made.

The tree is the manifest's, for our reader and for the kernel; and little more is programmed than what the changed
files and names need, counted here anew from the two trees.
"""

import subprocess
import zlib
from collections import defaultdict
from dataclasses import dataclass

import pytest

from jffs2tx.device import Flash, FlashStats, Geometry
from jffs2tx.errors import StrategyError
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Manifest
from jffs2tx.plan import Wanted
from jffs2tx.readers import named
from jffs2tx.source import Source
from jffs2tx.tree import manifest_of
from jffs2tx.upgrade import Outcome, apply_upgrade, wanted_tree

from .images import needs_mkfs
from .lab import tree as lab_tree
from .lab.lab import Case, Nand, Nor
from .packages import two_trees

KIB = 1024
MIB = 1024 * KIB
SIZE = 32 * MIB
PAGE = 2 * KIB
CHUNK_BYTES = 4096
INODE_BYTES, DIRENT_BYTES = 68, 40
ALLOWED = 1.05

pytestmark = needs_mkfs


@dataclass(frozen=True)
class Flavour:
    geometry: Geometry
    device: object
    reader: str
    mkfs: tuple
    sumtool: tuple | None


_NOR = (Geometry("nor", SIZE, 64 * KIB), Nor(SIZE, 64 * KIB), "linux", ("-e", "64KiB"))
_NAND_GEOMETRY = Geometry("nand", SIZE, 128 * KIB, PAGE, 512, 32)
_NAND = (_NAND_GEOMETRY, Nand(PAGE, SIZE), "linux-summary", ("-e", "128KiB", "-n", "-s", str(PAGE)))
FLAVOURS = {
    "nor": Flavour(*_NOR, None),
    "nor-summary": Flavour(*_NOR, ("-e", "64KiB")),
    "nand": Flavour(*_NAND, None),
    "nand-summary": Flavour(*_NAND, ("-e", "128KiB", "-n")),
}


@dataclass(frozen=True)
class Upgraded:
    outcome: Outcome
    stats: FlashStats
    image: bytes
    before: Manifest  # what the medium showed; mkfs.jffs2 gives a directory the time of its last child
    after: Manifest


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """The two trees and what they are."""
    return two_trees(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def upgraded(versions, tmp_path_factory):
    """An upgraded image by flavour, each made once."""
    folder = tmp_path_factory.mktemp("upgraded")
    old, new, _ = versions
    done = {}

    def upgrade(name):
        if name not in done:
            done[name] = _upgrade(FLAVOURS[name], _mkfs(FLAVOURS[name], old, folder), new)
        return done[name]

    return upgrade


def _mkfs(flavour, source, folder):
    image = folder / "image"
    subprocess.run(["mkfs.jffs2", "-l", "-r", source, "-o", image, *flavour.mkfs], check=True, capture_output=True)
    if flavour.sumtool:
        summed = folder / "summed"
        subprocess.run(["sumtool", "-l", "-i", image, "-o", summed, *flavour.sumtool], check=True, capture_output=True)
        return summed.read_bytes()
    return image.read_bytes()


def _upgrade(flavour, image, new):
    with Flash.memory(flavour.geometry, image) as flash, Source(new) as source:
        wanted = wanted_tree(source.manifest())
        with FileSystem(flash) as fs:
            before = manifest_of(fs)
        outcome = apply_upgrade(flash, wanted, source.open, readers=named((flavour.reader,)))
        stats = flash.stats
        with FileSystem(flash) as fs:
            return Upgraded(outcome, stats, flash.read(0, SIZE), before, manifest_of(fs))


# ---- what an upgrade needs at the least ------------------------------------------------------------------------------


def _pad4(size):
    return size + -size % 4


def _data_bytes(content):
    """The nodes of a file's content: 4096 bytes each, by zlib where that makes them smaller."""
    chunks = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)] or [b""]
    smallest = (min(len(zlib.compress(chunk, 9)), len(chunk)) if chunk.strip(b"\0") else 0 for chunk in chunks)
    return sum(_pad4(INODE_BYTES + size) for size in smallest)


def _inode_bytes(entry, root):
    if entry.type == "file":
        return _data_bytes((root / entry.path.decode()).read_bytes())
    return _pad4(INODE_BYTES + len(entry.link or b""))


def _metadata(entry):
    return entry.mode, entry.uid, entry.gid, entry.time


def _what(entry):
    """What makes an inode another one; only files and directories take new metadata."""
    stays = entry.type in ("file", "dir")
    return entry.type, entry.size, entry.sha256, entry.link, entry.device, None if stays else _metadata(entry)


def _partners(manifest):
    """By path: the names of its inode."""
    groups = defaultdict(set)
    for entry in manifest:
        groups[entry.inode or entry.path].add(entry.path)
    return {path: names for names in groups.values() for path in names}


def _needed(old, new, root):
    """Bytes of new inodes, of the names that change, and of new metadata."""
    before, after = ({entry.path: entry for entry in manifest} for manifest in (old, new))
    known = {_what(entry) for entry in old if entry.type == "file"}
    linked_before, linked_after = _partners(old), _partners(new)
    inodes = names = metadata = 0
    for path, entry in after.items():
        same = path in before and _what(before[path]) == _what(entry)
        if not same or linked_before[path] != linked_after[path]:
            names += _pad4(DIRENT_BYTES + len(entry.name))
            inodes += 0 if entry.type == "file" and _what(entry) in known else _inode_bytes(entry, root)
        elif _metadata(before[path]) != _metadata(entry):
            metadata += INODE_BYTES
    names += sum(_pad4(DIRENT_BYTES + len(before[path].name)) for path in before.keys() - after.keys())
    return inodes, names, metadata


# ---- tests -----------------------------------------------------------------------------------------------------------


def test_the_packages_are_some_thousand_files(versions):
    old, _, what = versions
    files = [entry for entry in Manifest.from_directory(old) if entry.type == "file"]
    size = sum(entry.size for entry in files)
    print(f"\n{what}: {len(files)} files, {size / MIB:.1f} MiB")
    assert len(files) >= 2000
    assert size >= (30_000_000 if "->" in what else 10_000_000)


@pytest.mark.parametrize("name", FLAVOURS)
def test_the_tree_is_the_manifest_and_little_more_than_it_needs_is_programmed(name, upgraded, versions):
    one = upgraded(name)
    assert one.after == Manifest.from_directory(versions[1])
    figures = one.outcome.figures
    inodes, names, metadata = _needed(one.before, one.after, versions[1])
    need = inodes + figures.commit_bytes
    ratio = one.stats.bytes_programmed / need
    print(
        f"\n{name}: {one.outcome.plan.strategy}, {one.stats.bytes_programmed} bytes programmed, {ratio:.4f} of "
        f"{need} needed ({inodes} nodes of new inodes, {figures.commit_bytes} commit set: at the least {names} names "
        f"and {metadata} metadata); {one.stats.erases} erases, {figures.staged_blocks} blocks staged"
    )
    pairs = one.outcome.plan.strategy == "flip"  # a replaced name takes a deletion dirent too
    assert figures.commit_bytes <= (1 + pairs) * names + metadata, "the commit set holds more than the changes"
    assert ratio <= ALLOWED


@pytest.mark.lab
def test_the_kernel_sees_the_manifest(lab, upgraded, versions):
    wanted = lab_tree.lines(versions[1])
    cases = []
    for name, flavour in FLAVOURS.items():
        kernels = ("stock",) if flavour.reader == "linux-summary" else ("stock", "nosummary")
        marked = "free" if flavour.geometry.kind == "nand" else ()
        image = upgraded(name).image
        cases += [Case(f"{name}-{kernel}", flavour.device, image, marked, kernel=kernel) for kernel in kernels]
    for result in lab.run(cases):
        assert result.ok, result.why()
        assert not result.unexpected, result.why()
        assert result.tree().lines == wanted, result.id


@pytest.mark.parametrize("name", FLAVOURS)
def test_an_image_without_a_node_for_the_root_takes_a_swap_that_leaves_the_root_alone(name, tmp_path):
    """mkfs.jffs2 writes none; what the kernel then shows for the root is what the tree says (mode 0755, time 0)."""
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/release").write_text("1")
    image = _mkfs(FLAVOURS[name], tree, tmp_path)
    with Flash.memory(FLAVOURS[name].geometry, image) as flash:
        with FileSystem(flash) as fs:
            shown = manifest_of(fs)
        (tree / "etc/release").write_text("2")
        with Source(tree) as source:
            real = source.manifest()
            wanted = wanted_tree(real)
            with pytest.raises(StrategyError, match=r"mode=0755 uid=0 gid=0 time=0, as on every image by mkfs\.jffs2"):
                apply_upgrade(flash, wanted, source.open, strategy="swap")
            as_shown = wanted | {b"": Wanted(next(iter(shown)))}
            assert apply_upgrade(flash, as_shown, source.open, strategy="swap").plan.strategy == "swap"
            apply_upgrade(flash, wanted, source.open, readers=named((FLAVOURS[name].reader,)))
            (tree / "etc/release").write_text("3")
            apply_upgrade(flash, wanted_tree(source.manifest()), source.open, strategy="swap")
        with FileSystem(flash) as fs:
            assert fs.read("/etc/release") == b"3" and fs.stat("/").mtime == next(iter(real)).time
