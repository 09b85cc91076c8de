"""Garbage collection: room is made, the tree stays the same, and a cut anywhere in it loses nothing."""

import random
from dataclasses import replace
from functools import cache

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.collect import collect, estimate
from jffs2tx.device import Flash
from jffs2tx.errors import NoSpace
from jffs2tx.filesystem import FileSystem
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import recover
from tests.test_transaction import GEOMETRIES, fresh, tree_of

READERS = named(("linux-summary+xattr",))


def worn(name, rounds=12, seed=1):
    """A medium with a history: many small transactions, so that every block is partly dead."""
    rng = random.Random(seed)
    flash = fresh(GEOMETRIES[name])
    for number in range(rounds):
        with FileSystem(flash) as fs:
            tx = Transaction(flash, fs, time=1000 + number, readers=READERS)
            for _ in range(4):
                tx.put(f"f{rng.randrange(8)}", rng.randbytes(rng.randrange(1, 9000)))
            if number % 3 == 2:
                tx.remove(f"f{rng.randrange(8)}") if b"f0" in tx._wanted and rng.random() < 0.5 else None
            tx.setxattr("a", b"user.n", b"%d" % number)
            try:
                tx.commit()
            except NoSpace:
                break
    return flash


def available(flash):
    with FileSystem(flash) as fs:
        return fs.space.free + fs.space.dirty


@pytest.mark.parametrize("name", GEOMETRIES)
def test_blocks_are_won_and_the_tree_stays(name):
    with worn(name) as flash:
        before, there = tree_of(flash), available(flash)
        with FileSystem(flash) as fs:
            enough, planned = estimate(fs, there + 1)
        assert enough
        done = collect(flash, there + 1)
        assert done.blocks_available >= there + 1 and available(flash) >= there + 1
        assert (done.nodes_moved, done.bytes_moved) == (planned.nodes_moved, planned.bytes_moved)
        assert tree_of(flash) == before
        assert recover(flash).did_nothing and collect(flash, there).blocks_erased == 0


@pytest.mark.parametrize("name", GEOMETRIES)
def test_what_cannot_be_had_is_refused_before_a_write(name):
    with worn(name) as flash:
        content = flash.read(0, flash.geometry.size)
        with FileSystem(flash) as fs:
            enough, best = estimate(fs, 10_000)
            assert not enough and best.blocks_available >= fs.space.free
        with pytest.raises(NoSpace):
            collect(flash, 10_000)
        assert flash.read(0, flash.geometry.size) == content


@cache
def half_dead_blocks(name):
    """The used blocks of a chip on which two of five files are dead: none of them is cheap to empty."""
    geometry = GEOMETRIES[name]
    rng, step = random.Random(7), geometry.erase_size
    with fresh(geometry) as flash:
        for number in range(2):
            with FileSystem(flash) as fs:
                tx = Transaction(flash, fs, time=1000 + number, readers=READERS)
                for file in range(30):
                    if not number:
                        tx.put(f"f{file}", rng.randbytes(step // 4))
                    elif file % 5 in (1, 3):
                        tx.remove(f"f{file}")
                tx.commit()
            recover(flash)
        blocks = [flash.read(at, step) for at in range(0, geometry.size, step)]
    return b"".join(block for block in blocks if not is_free(block))


def tight(name, erased):
    """A chip of such blocks, and this many erased ones."""
    content, geometry = half_dead_blocks(name), GEOMETRIES[name]
    return Flash.memory(replace(geometry, size=len(content) + erased * geometry.erase_size), content)


def is_free(block):
    return not block[16:].strip(b"\xff")


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("erased", [1, 2, 3, 4])
def test_it_does_what_was_planned_and_the_shortfall_is_exact(name, erased):
    """With few erased blocks, where copies must go into blocks that were emptied just before."""
    with tight(name, erased) as flash:
        tree, content = tree_of(flash), flash.read(0, flash.geometry.size)
        assert available(flash) == erased
    done = set()
    for want in range(erased + 1, erased + 9):
        with tight(name, erased) as flash:
            with FileSystem(flash) as fs:
                enough, planned = estimate(fs, want)
            done.add(enough)
            if enough:
                assert collect(flash, want) == planned and available(flash) >= want and tree_of(flash) == tree
                continue
            with pytest.raises(NoSpace):
                collect(flash, want)
            assert flash.read(0, flash.geometry.size) == content
        for more, is_enough in ((planned.blocks_missing - 1, False), (planned.blocks_missing, True)):
            with tight(name, erased + more) as flash, FileSystem(flash) as fs:
                assert estimate(fs, want)[0] is is_enough
    assert done == ({True, False} if erased > 2 else {False})


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_cut_anywhere_loses_nothing(name):
    """Every cut of a collection, each torn operation in its F1 to F5 states: the tree is the same."""
    with worn(name) as start, Flash.simulator(start.geometry, start.read(0, start.geometry.size)) as sim:
        want = available(start) + 1
        with FileSystem(start) as fs:
            tree = fs.digest()
        collect(sim, want)
        scratch = ffi.new("jx_flash **")
        check(lib.jx_flash_open_memory(start.geometry.to_c(), scratch))
        crashed = Flash(scratch[0])
        count = ffi.new("uint32_t *")
        states = 0
        every = lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F4_ORDER | lib.JX_F5_ERASE
        seen = set()
        for cut in range(lib.jx_sim_op_count(sim.handle) + 1):
            check(lib.jx_crash_tears(sim.handle, cut, every, count))
            for tear in range(count[0]):
                check(lib.jx_crash_build(sim.handle, cut, every, tear, crashed.handle))
                digest = ffi.new("uint8_t[16]")
                check(lib.jx_flash_hash(crashed.handle, digest))
                if bytes(digest) in seen:
                    continue
                seen.add(bytes(digest))
                for summary in (True, False):
                    with FileSystem(crashed, summary=summary) as fs:
                        assert fs.digest() == tree, f"{name}:collect:c{cut}.t{tear}"
                states += 1
        assert states > 20
        crashed.close()


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_cut_while_content_moves_loses_nothing(name):
    """Files' data in the victims; F1 and F5."""
    faults, count = lib.JX_F1_CUT | lib.JX_F5_ERASE, ffi.new("uint32_t *")
    with tight(name, 4) as start, Flash.simulator(start.geometry, start.read(0, start.geometry.size)) as sim:
        with FileSystem(start) as fs:
            tree = fs.digest()
            want = max(blocks for blocks in range(5, 13) if estimate(fs, blocks)[0])
        done = collect(sim, want)
        assert done.bytes_moved > start.geometry.erase_size and done.blocks_erased > 1
        with Flash.memory(start.geometry) as crashed:
            for cut in range(lib.jx_sim_op_count(sim.handle) + 1):
                check(lib.jx_crash_tears(sim.handle, cut, faults, count))
                for tear in range(count[0]):
                    check(lib.jx_crash_build(sim.handle, cut, faults, tear, crashed.handle))
                    with FileSystem(crashed) as fs:
                        assert fs.digest() == tree, f"{name}:collect:c{cut}.t{tear}"
