"""A file system that is mounted read-only is upgraded under the running system, which keeps its old view."""

import json
import random

import pytest

from jffs2tx import upgrade as engine
from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.errors import Busy, NoSpace
from jffs2tx.faults.trees import digest
from jffs2tx.filesystem import FileSystem
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction

from .crashes import STRATEGIES, Case, judge, record, start_flash
from .images import block, inode
from .lab.lab import cleanmarkers, mount, program, read_back, sh, tree, umount
from .scenarios import NOW
from .test_mtd import DEVICE, DEVICES, NAND, NOR, SMALL_NAND, apply, case, commands, done, lines_of
from .test_mtd import versions as versions  # a fixture

SCENARIOS = ("replace", "delete", "rename-dir", "type-change", "hard-links", "newest-gone", "many-directories")
CASES = [
    Case(geometry, strategy, name)
    for geometry in ("nor", "nand512", "nand2k")
    for strategy in STRATEGIES[geometry]
    for name in SCENARIOS
]


def dead_block(size):
    """Nothing but a node that no name leads to."""
    return block(inode(900, 1, b"orphan" * 100), size=size, clean=False)


def with_dead_blocks(case, spare=0):
    """The old tree on a simulator, and blocks in which nothing is needed; `spare` blocks, or most, stay empty."""
    sim = start_flash(case)
    size = sim.geometry.erase_size
    empty = sorted(empty_blocks(sim))
    for number in empty[spare:] if spare else empty[-2:]:
        check(lib.jx_flash_load(sim.handle, number * size, dead_block(size), size))
    check(lib.jx_sim_restart(sim.handle))
    return sim


def blocks_in(flash, *states):
    with FileSystem(flash) as fs:
        blocks = lib.jx_fs_blocks(fs.handle)
        return {n for n in range(lib.jx_fs_block_count(fs.handle)) if blocks[n].state in states}


def empty_blocks(flash):
    return blocks_in(flash, lib.JX_B_FREE, lib.JX_B_ERASED)


def written_blocks(flash):
    """Those that any recorded operation has touched."""
    op = ffi.new("struct jx_sim_op *")
    touched = set()
    for number in range(lib.jx_sim_op_count(flash.handle)):
        check(lib.jx_sim_op_get(flash.handle, number, op))
        if op.kind != lib.JX_SIM_SYNC:
            touched.add(op.off // flash.geometry.erase_size)
    return touched


@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_empty_blocks_are_touched(case):
    """Every state on the way is the old tree or the new one, and after the reboot recover finishes what had to wait."""
    sim = with_dead_blocks(case)
    empty, dead = empty_blocks(sim), blocks_in(sim, lib.JX_B_DIRTY)
    sim.live = True
    recording = record(case, sim)
    assert written_blocks(sim) <= empty
    assert len(dead) >= 2
    verdict = judge(recording, recover_cuts=1, recover_tears=50)
    assert not verdict.failure_count, "\n".join(verdict.failures)
    assert verdict.old and verdict.new and verdict.third == 0
    if sim.geometry.kind == "nor":
        with pytest.raises(Busy):
            engine.recover(sim)
    else:
        assert engine.recover(sim).did_nothing
    sim.live = False
    assert digest(sim) == recording.new_digest
    assert engine.recover(sim).state_before == ("committed" if sim.geometry.kind == "nor" else "settled")
    assert digest(sim) == recording.new_digest
    recording.close()


def put(flash, path, data, strategy):
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=NOW, readers=named(("linux-summary",)), strategy=strategy)
        tx.put(path, data)
        return tx.commit()


@pytest.mark.parametrize(("name", "strategy"), [("nor", "flip"), ("nand2k", "seal")])
def test_dead_blocks_are_no_room(name, strategy):
    """They serve as the kernel's reserve and for nothing else; the refusal comes before the first write."""
    sim = with_dead_blocks(Case(name, strategy, "replace"), spare=2)
    size = sim.geometry.erase_size
    sim.live = True
    before = digest(sim)
    large = random.Random(1).randbytes(2 * size)
    with pytest.raises(NoSpace, match=r"no other may be erased while it is mounted: \d are missing"):
        put(sim, "untouched/data", large, strategy)
    assert lib.jx_sim_op_count(sim.handle) == 0
    if name == "nor":
        put(sim, "untouched/data", b"small", strategy)
        assert digest(sim) != before
    sim.live = False
    engine.recover(sim)
    put(sim, "untouched/data", large, strategy)
    sim.close()


def test_what_a_cut_left_waits():
    """A commit block of a cut transaction may be among what the running kernel reads: nothing is erased for it."""
    recording = record(Case("nand2k", "seal", "replace"))
    sim = Flash.simulator(recording.sim.geometry)
    recording.build(recording.prepared, 0, sim, lib.JX_F1_CUT)
    with FileSystem(sim) as fs:
        assert fs.status.state == "staged"
    check(lib.jx_sim_restart(sim.handle))
    sim.live = True
    with pytest.raises(Busy):
        put(sim, "one", b"1", "auto")
    with pytest.raises(Busy):
        engine.recover(sim)
    assert lib.jx_sim_op_count(sim.handle) == 0
    sim.live = False
    put(sim, "one", b"1", "auto")
    recording.close()
    sim.close()


def test_somebody_mounts_it_meanwhile():
    """Before the commit it is looked again: no commit, and nothing erased that might be the kernel's by now."""

    def mounted():
        raise Busy("is mounted read-write")

    with start_flash(Case("nor", "flip", "replace")) as sim:
        before, erases = digest(sim), sim.stats.erases
        sim.check_users = mounted
        with pytest.raises(Busy, match="read-write"):
            put(sim, "one", b"1", "flip")
        assert digest(sim) == before and sim.stats.erases == erases + 2  # one block of nodes, one of the commit
        with FileSystem(sim) as fs:
            assert fs.status.state == "staged"


# ---- under a real kernel ---------------------------------------------------------------------------------------------


def answers(result):
    """[status, stdout, stderr] of each command of each run of commands."""
    return [json.loads(step.stdout) for step in result.named("run") if step.stdout.startswith("[[")]


MIXED = "echo 3 > /proc/sys/vm/drop_caches; cat $MNT/etc/motd $MNT/lib/3 $MNT/gone | sha256sum"


@pytest.mark.lab
@pytest.mark.parametrize("aged", [False, True], ids=["as-built", "aged"])
def test_the_running_system_keeps_its_view(lab, versions, aged):
    """Its files are first read when the new tree stands already; after the reboot that is what the kernel sees."""
    look = sh("echo 3 > /proc/sys/vm/drop_caches")
    past = [
        mount(),
        sh("mkdir $MNT/d; echo x > $MNT/d/x; mv $MNT/gone $MNT/g; mv $MNT/g $MNT/gone; rm -r $MNT/d"),
        umount(),
    ]
    again = ["recover", DEVICE, "--json"], apply(versions, "old")
    steps = [
        *(past if aged else ()),
        mount(ro=True),
        tree() if aged else sh(MIXED),
        commands(apply(versions), *again),
        look,
        tree(),
        sh(MIXED),
        umount(),
        mount(ro=True),
        tree(),
        umount(),
        commands(["recover", DEVICE, "--json"], ["recover", DEVICE, "--json"], ["check", DEVICE, "--json"]),
        mount(),
        tree(),
        sh("for i in 1 2 3; do echo $i > $MNT/fresh; sync; done; rm $MNT/fresh"),
        umount(),
        read_back(),
    ]
    for result in lab.run([case(name, versions, DEVICES[name][0], *steps) for name in ("nor", "nand2k", "nand512")]):
        assert result.ok and not result.unexpected, result.why()
        (landed, busy, second), (first, twice, checked) = answers(result)
        facts = done(landed)
        assert facts["changes"] and any("never remount it read-write" in text for text in facts["warnings"])
        nor = result.case.device is NOR
        assert busy[0] == (1 if nor else 0), busy
        assert second[0] == (1 if nor else 0), second
        before, *after = result.named("tree") if aged else [None, *result.named("tree")]
        wanted = lines_of(versions, "new" if nor else "old")
        assert after[0].lines == (before.lines if aged else lines_of(versions, "old"))
        assert after[1].lines == after[2].lines == wanted, result.id
        assert done(first)["state"] in ("none", "settled") and not done(twice)["blocks_erased"]
        assert done(checked)["problems"] == []


@pytest.mark.lab
def test_little_free_space(lab, versions):
    """Dead blocks are there, empty ones are not: refused while mounted, done after umount."""
    cases = []
    for name, device in (("nor", NOR), ("nand2k", NAND), ("nand512", SMALL_NAND)):
        start = case(name, versions, device)
        erase = device.spec()["erase"]
        used = -(-len(start.image) // erase)
        blocks = range(used, device.spec()["size"] // erase - 1)
        steps = [
            *(program(number * erase, dead_block(erase)) for number in blocks),
            *(() if device is NOR else (cleanmarkers([blocks[-1] + 1]),)),
            mount(ro=True),
            commands(apply(versions)),
            tree(),
            umount(),
            read_back(),
            commands(apply(versions)),
            mount(),
            tree(),
            umount(),
        ]
        cases.append(case(name, versions, device, *steps))
        cases[-1].cleanmarkers = ()
    for result in lab.run(cases):
        assert result.ok, result.why()
        status, _, error = answers(result)[0][0]
        assert status == 1 and "no other may be erased while it is mounted" in error, error
        assert result.tree(0).lines == lines_of(versions, "old")
        start = result.case.image
        assert result.named("read_back")[0].image[: len(start)] == start
        assert done(answers(result)[1][0])["changes"]
        assert result.tree(1).lines == lines_of(versions, "new")
