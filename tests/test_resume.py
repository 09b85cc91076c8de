"""After a cut in staging the next run takes over what is on the medium and still wanted, and nothing else."""

import random

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import Jffs2txError
from jffs2tx.filesystem import FileSystem
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import recover
from tests.test_transaction import fresh

KIB = 1024
GEOMETRIES = {
    "nor": Geometry("nor", 64 * 64 * KIB, 64 * KIB),
    "nand2k": Geometry("nand", 40 * 128 * KIB, 128 * KIB, 2048, 512, 38),
}
FILES = {f"a/new{i}": random.Random(i).randbytes(20_000) for i in range(60)}


def upgrade(flash, files, mode=0o644):
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=700, readers=named(("linux-summary",)))
        for path, data in files.items():
            tx.put(path, data, mode=mode)
        return tx.commit()


def cut_run(name, share, files=FILES):
    """A simulator whose power went when this share of the operations was done; and all the bytes a whole run takes."""
    with fresh(GEOMETRIES[name]) as start:
        content = start.read(0, start.geometry.size)
    with Flash.simulator(GEOMETRIES[name], content) as whole:
        outcome = upgrade(whole, files)
        operations = lib.jx_sim_op_count(whole.handle)
    flash = Flash.simulator(GEOMETRIES[name], content)
    check(lib.jx_sim_cut_after(flash.handle, int(operations * share)))
    with pytest.raises(Jffs2txError):
        upgrade(flash, files)
    check(lib.jx_sim_restart(flash.handle))
    return flash, outcome.figures.staged_bytes


def contents(flash):
    with FileSystem(flash) as fs:
        return {f"a/{name.decode()}": fs.read(f"a/{name.decode()}") for name in fs.list("a") if name.startswith(b"new")}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_run_cut_at_nine_tenths_stages_one_tenth_more(name):
    flash, whole = cut_run(name, 0.9)
    with flash:
        again = upgrade(flash, FILES)
        assert contents(flash) == FILES
        assert again.figures.staged_bytes < 0.2 * whole
        assert recover(flash).did_nothing


@pytest.mark.parametrize("name", GEOMETRIES)
def test_what_is_not_wanted_any_more_is_not_taken(name):
    flash, whole = cut_run(name, 0.9)
    with flash:
        other = {path: data[::-1] for path, data in FILES.items()}
        assert upgrade(flash, other).figures.staged_bytes > 0.9 * whole
        assert contents(flash) == other


@pytest.mark.parametrize("name", GEOMETRIES)
def test_other_metadata_are_other_inodes(name):
    flash, whole = cut_run(name, 0.9)
    with flash:
        assert upgrade(flash, FILES, mode=0o600).figures.staged_bytes > 0.9 * whole
        with FileSystem(flash) as fs:
            assert {fs.stat(path).mode for path in FILES} == {0o600}


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.97])
def test_cut_again_and_again_it_lands(name, share):
    flash, _ = cut_run(name, share)
    with flash:
        check(lib.jx_sim_cut_after(flash.handle, 7))
        with pytest.raises(Jffs2txError):
            upgrade(flash, FILES)
        check(lib.jx_sim_restart(flash.handle))
        upgrade(flash, FILES)
        assert contents(flash) == FILES and recover(flash).did_nothing


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_cut_of_the_resumed_run_shows_old_or_new(name):
    few = dict(list(FILES.items())[:12])
    flash, _ = cut_run(name, 0.5, few)
    with flash:
        with FileSystem(flash) as fs:
            old = fs.digest()
        upgrade(flash, few)
        with FileSystem(flash) as fs:
            new = fs.digest()
        out = ffi.new("jx_flash **")
        check(lib.jx_flash_open_memory(flash.geometry.to_c(), out))
        seen = []
        with Flash(out[0]) as crashed:
            for cut in range(lib.jx_sim_op_count(flash.handle) + 1):
                check(lib.jx_crash_build(flash.handle, cut, lib.JX_F1_CUT, 0, crashed.handle))
                with FileSystem(crashed) as fs:
                    seen.append(fs.digest())
    turn = seen.index(new)
    assert set(seen[:turn]) == {old} and set(seen[turn:]) == {new}
