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
def half_dead_blocks(name, attributes=False):
    """The used blocks of a chip on which two of five files are dead: none of them is cheap to empty.

    attributes: some blocks hold, as well, an attribute that no single page does.
    """
    geometry = GEOMETRIES[name]
    rng, step = random.Random(7), geometry.erase_size
    with fresh(geometry) as flash:
        for number in range(2):
            with FileSystem(flash) as fs:
                tx = Transaction(flash, fs, time=1000 + number, readers=READERS)
                for file in range(30):
                    if not number:
                        tx.put(f"f{file}", rng.randbytes(step // 4))
                        if attributes and file % 10 == 0:
                            tx.setxattr(f"f{file}", b"user.long", rng.randbytes(3000))
                    elif file % 5 in (1, 3):
                        tx.remove(f"f{file}")
                tx.commit()
            recover(flash)
        blocks = [flash.read(at, step) for at in range(0, geometry.size, step)]
    return b"".join(block for block in blocks if not is_free(block))


def tight(name, erased, attributes=False):
    """A chip of such blocks, and this many erased ones."""
    content, geometry = half_dead_blocks(name, attributes), GEOMETRIES[name]
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


def crash_images(sim, faults):
    """(token, medium) of each distinct medium that a cut of what was recorded leaves."""
    count, digest, seen = ffi.new("uint32_t *"), ffi.new("uint8_t[16]"), set()
    with Flash.memory(sim.geometry) as crashed:
        for cut in range(lib.jx_sim_op_count(sim.handle) + 1):
            check(lib.jx_crash_tears(sim.handle, cut, faults, count))
            for tear in range(count[0]):
                check(lib.jx_crash_build(sim.handle, cut, faults, tear, crashed.handle))
                check(lib.jx_flash_hash(crashed.handle, digest))
                if bytes(digest) not in seen:
                    seen.add(bytes(digest))
                    yield f"collect:c{cut}.t{tear}", crashed


def assert_nothing_is_lost(start, want, faults):
    """The tree is the same whatever cut, for readers with and without summaries; how many media were seen."""
    states = 0
    with Flash.simulator(start.geometry, start.read(0, start.geometry.size)) as sim:
        with FileSystem(start) as fs:
            tree = fs.digest()
        collect(sim, want)
        for token, crashed in crash_images(sim, faults):
            states += 1
            for summary in (True, False):
                with FileSystem(crashed, summary=summary) as fs:
                    assert fs.digest() == tree, token
    return states


def most_blocks(flash):
    """That garbage collection can have available."""
    with FileSystem(flash) as fs:
        return max(blocks for blocks in range(5, 13) if estimate(fs, blocks)[0])


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_cut_anywhere_loses_nothing(name):
    """Every cut of a collection, each torn operation in its F1, F2, F4 and F5 states."""
    faults = lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F4_ORDER | lib.JX_F5_ERASE
    with worn(name) as start:
        assert assert_nothing_is_lost(start, available(start) + 1, faults) > 20


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_cut_while_content_moves_loses_nothing(name):
    """Files' data in the victims; F1 and F5."""
    with tight(name, 4) as start, tight(name, 4) as end:
        want = most_blocks(start)
        done = collect(end, want)
        assert done.bytes_moved > start.geometry.erase_size and done.blocks_erased > 1
        assert assert_nothing_is_lost(start, want, lib.JX_F1_CUT | lib.JX_F5_ERASE) > 20


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_cut_loses_no_attribute(name):
    """Half a copy of a datum would hide the whole one (jffs2_scan_xattr_node), so that none is moved."""
    with tight(name, 4, attributes=True) as start, tight(name, 4, attributes=True) as end:
        want = most_blocks(start)
        done = collect(end, want)
        assert done.nodes_moved and done.blocks_erased
        assert assert_nothing_is_lost(start, want, lib.JX_F1_CUT | lib.JX_F2_PREFIX | lib.JX_F5_ERASE) > 20


def names_there_twice(flash):
    """Dirents of something that are there twice, both in force by their ACCURATE bits."""
    with FileSystem(flash, summary=False) as fs:
        nodes, names = lib.jx_fs_nodes(fs.handle), ffi.cast("char *", lib.jx_fs_names(fs.handle))
        good = [nodes[i] for i in range(lib.jx_fs_node_count(fs.handle)) if nodes[i].nodetype == 0xE001]
        seen = [
            (n.ino, n.version, ffi.buffer(names + n.name, n.nsize)[:])
            for n in good
            if n.verdict not in (lib.JX_V_OBSOLETE, lib.JX_V_BAD_HEADER) and n.child
        ]
    return len(seen) - len(set(seen))


def assert_one_name_twice_at_most(start):
    """Whatever cut there is in a collection that moves names."""
    twice = []
    with Flash.simulator(start.geometry, start.read(0, start.geometry.size)) as sim:
        assert names_there_twice(sim) == 0
        collect(sim, available(sim) + 1)
        for _, crashed in crash_images(sim, lib.JX_F1_CUT):
            twice.append(names_there_twice(crashed))
    assert max(twice) == 1 and sum(twice) > 1 and twice[-1] == 0


def test_a_cut_leaves_one_name_twice_at_most():
    """Where a kernel removes a name by clearing its dirent's bit (jffs2_do_unlink), a second one would bring it back. A
    cut in the kernel's own collector leaves one as well.
    """
    rng = random.Random(3)
    with fresh(GEOMETRIES["nor"]) as start:
        for number in range(14):  # names that stay, among what dies
            with FileSystem(start) as fs:
                tx = Transaction(start, fs, time=1000 + number, strategy="flip")
                tx.mkdir(f"dir{number}")
                tx.mkdir(f"more{number}")
                for _ in range(4):
                    tx.put(f"f{rng.randrange(8)}", rng.randbytes(rng.randrange(1, 9000)))
                tx.commit()
        assert_one_name_twice_at_most(start)
