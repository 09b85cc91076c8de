"""Media of the kernel lab's chips as the engine sees them: start images, and upgrades stopped at chosen instants."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from jffs2tx import upgrade as engine
from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Entry
from jffs2tx.plan import Plan
from jffs2tx.readers import Reader
from jffs2tx.staging import Run
from jffs2tx.upgrade import recover, tidy, wanted_tree

from . import actions, trees
from .lab import build
from .lab.lab import KIB, Nand, Nor

OOB_MARKER_BYTES = 8


@dataclass(frozen=True)
class Medium:
    """A chip of the lab and its geometry; `strategies` are those that it takes."""

    name: str
    device: Nor | Nand
    geometry: Geometry
    strategies: tuple[str, ...]
    endian: str = "little"

    @property
    def kernels(self) -> tuple[str, ...]:
        """Those of the lab that read it."""
        return ("stock", "nosummary") if self.endian == "little" else ("bigendian",)

    @property
    def is_nand(self) -> bool:
        return self.geometry.kind == "nand"


def _nor(blocks: int) -> Medium:
    erase = 64 * KIB
    return Medium("nor", Nor(blocks * erase, erase), Geometry("nor", blocks * erase, erase), ("swap", "flip"))


def _nand(name: str, page: int, erase: int, blocks: int, oob: int, strategies: tuple[str, ...]) -> Medium:
    size = blocks * erase
    return Medium(
        name, Nand(page, size), Geometry("nand", size, erase, page, page // (4 if page > 512 else 2), oob), strategies
    )


# OOB: what nandsim's software ECC (3 bytes for every 256) and the bad-block mark leave free.
NOR = _nor(14)
NAND = _nand("nand2k", 2 * KIB, 128 * KIB, 18, 38, ("swap", "seal", "lift"))
SMALL_NAND = _nand("nand512", 512, 16 * KIB, 40, 8, ("swap", "seal"))
BIG_NOR = replace(NOR, name="nor-big", endian="big")
BIG_NAND = replace(NAND, name="nand2k-big", endian="big")
MEDIA = (NOR, NAND, SMALL_NAND, BIG_NOR, BIG_NAND)


# ---- start images ----------------------------------------------------------------------------------------------------


def erased_blocks(image: bytes, geometry: Geometry) -> list[int]:
    size = geometry.erase_size
    return [b for b in range(geometry.blocks) if not image[b * size : (b + 1) * size].strip(b"\xff")]


def mkfs(tree: trees.Tree, medium: Medium, scratch: Path, *, summary: bool = False) -> bytes:
    """An image by mkfs.jffs2, and sumtool if asked; needs root, for devices and owners."""
    source, plain, summed = scratch / "source", scratch / "plain", scratch / "summed"
    source.mkdir()
    actions.act(source, trees.building(tree))
    order = "-b" if medium.endian == "big" else "-l"
    words = ["-e", f"{medium.geometry.erase_size // KIB}KiB", order, *(["-n"] if medium.is_nand else [])]
    argv = [build.tool("mkfs.jffs2"), "-r", source, "-o", plain, "--with-xattr", *words]
    subprocess.run(argv, check=True)
    if not summary:
        return plain.read_bytes()
    subprocess.run([build.tool("sumtool"), "-i", plain, "-o", summed, *words], check=True)
    return summed.read_bytes()


@dataclass(frozen=True)
class State:
    """What stands on a medium: bytes, and the blocks with a cleanmarker in their OOB."""

    image: bytes
    markers: tuple[int, ...] = ()


def simulator(medium: Medium, state: State) -> Flash:
    """A recording flash in this state."""
    return simulated(medium.geometry, state, medium.endian)


def simulated(geometry: Geometry, state: State, endian: str = "little") -> Flash:
    flash = Flash.simulator(geometry, state.image)
    marker = _marker(endian)
    for block in state.markers:
        offset = block * geometry.erase_size
        check(lib.jx_flash_raw_oob_prog(flash.handle, offset, marker, len(marker)))
    check(lib.jx_sim_restart(flash.handle))
    return flash


def _marker(endian: str) -> bytes:
    out = ffi.new("uint8_t[12]")
    lib.jx_encode_header(
        lib.JX_BIG if endian == "big" else lib.JX_LITTLE, out, lib.JX_NODE_CLEANMARKER, OOB_MARKER_BYTES
    )
    return ffi.buffer(out, OOB_MARKER_BYTES)[:]


def state_of(flash: Flash, endian: str = "little") -> State:
    geometry = flash.geometry
    image = flash.read(0, geometry.size)
    if not geometry.oob_avail:
        return State(image)
    found, marker, oob = [], _marker(endian), ffi.new("uint8_t[]", OOB_MARKER_BYTES)
    for block in range(geometry.blocks):
        check(lib.jx_flash_raw_oob_read(flash.handle, block * geometry.erase_size, oob, OOB_MARKER_BYTES))
        if ffi.buffer(oob)[:] == marker:
            found.append(block)
    return State(image, tuple(found))


# ---- upgrades --------------------------------------------------------------------------------------------------------


def content_of(tree: trees.Tree):
    def content(entry: Entry) -> list[bytes]:
        data = tree[entry.path].data
        return [data] if data else []

    return content


@dataclass(frozen=True)
class Upgrade:
    """One upgrade, recorded: the medium at its instants."""

    plan: Plan
    prepared: State  # everything is in place but the commit
    brink: State  # the last instant of the old tree: one operation of the commit is missing (flip takes two)
    committed: State  # the commit's last operation is done, nothing after it
    done: State  # commit() has returned
    settled: State  # all is tidy after that
    recovered: State  # the power failed right after the commit's last operation, then recover ran


class _ObservedRun(Run):
    """Notes after which operation of the simulator everything was in place but the commit."""

    prepared = 0

    def prepare(self) -> None:
        super().prepare()
        if not self.plan.is_empty:
            type(self).prepared = lib.jx_sim_op_count(self.fs.flash.handle)


def upgrade(medium: Medium, start: State, tree: trees.Tree, strategy: str, readers: tuple[Reader, ...]) -> Upgrade:
    wanted = wanted_tree(trees.manifest(tree))
    with simulator(medium, start) as flash, mock.patch.object(engine, "Run", _ObservedRun):
        before = _tree_digest(flash)
        plan = engine.apply_upgrade(
            flash, wanted, content_of(tree), readers=readers, strategy=strategy, settle=False, tag=b"kernel tests 16."
        ).plan
        prepared = _ObservedRun.prepared
        done = lib.jx_sim_op_count(flash.handle)
        tidy(flash)
        settled = state_of(flash, medium.endian)
        with Flash.memory(medium.geometry) as other:
            cut = next(cut for cut in range(prepared, done + 1) if _digest(flash, cut, other) != before)
            states = []
            for instant in (prepared, cut - 1, cut, done):
                _rebuild(flash, instant, other)
                states.append(state_of(other, medium.endian))
            _rebuild(flash, cut, other)
            recover(other)
            recovered = state_of(other, medium.endian)
        return Upgrade(plan, *states, settled, recovered)


def _rebuild(sim: Flash, cut: int, into: Flash) -> None:
    check(lib.jx_crash_build(sim.handle, cut, lib.JX_F1_CUT, 0, into.handle))


def _digest(sim: Flash, cut: int, into: Flash) -> bytes:
    _rebuild(sim, cut, into)
    return _tree_digest(into)


def _tree_digest(flash: Flash) -> bytes:
    with FileSystem(flash) as fs:
        return fs.digest()


def seen_by_us(medium: Medium, state: State, summary: bool = True) -> trees.Tree:
    with simulator(medium, state) as flash, FileSystem(flash, summary=summary) as fs:
        return trees.seen_by_us(fs)
