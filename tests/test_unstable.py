"""F6: what was under way at a cut reads otherwise each time; and F10: reads that fail, at every one of them."""

from contextlib import suppress
from itertools import product

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.errors import Jffs2txError, MediumError, NoSpace
from jffs2tx.faults.trees import digest
from jffs2tx.upgrade import recover

from . import flashes
from .crashes import Case, judge, land, record, start_flash

BEFORE, AFTER, BETWEEN = lib.JX_READ_BEFORE, lib.JX_READ_AFTER, lib.JX_READ_BETWEEN
F6 = lib.JX_F1_CUT | lib.JX_F6_UNSTABLE
CASES = [
    Case("nor", "swap", "replace"),
    Case("nor", "flip", "replace"),
    Case("nand512", "swap", "replace"),
    Case("nand512", "seal", "replace"),
    Case("nand2k", "lift", "rename"),
]


def the_case(token: str) -> Case:
    return Case(*token.split(":"))


# ---- the simulator ---------------------------------------------------------------------------------------------------


def set_schedule(flash, *readings: int) -> None:
    digits = sum(reading * lib.JX_READINGS**place for place, reading in enumerate(readings))
    assert lib.jx_flash_unstable_schedule(flash.handle, digits) == 0


def read(flash: flashes.Flash, off: int, size: int) -> tuple[bytes, int]:
    buffer = ffi.new("uint8_t[]", size)
    code = lib.jx_flash_raw_read(flash.handle, off, buffer, size)
    return bytes(ffi.buffer(buffer)), code


def cut_in_program(kind: str, off: int, data: bytes) -> flashes.Flash:
    """The program was under way."""
    geo = flashes.KINDS[kind]()
    sim, out = flashes.simulator(geo), flashes.memory(geo)
    assert sim.prog(off, data) == 0
    assert lib.jx_crash_build(sim.handle, 0, lib.JX_F6_UNSTABLE, 1, out.handle) == 0
    return out


@pytest.mark.parametrize("kind", list(flashes.KINDS))
def test_every_schedule_of_readings(kind):
    page = max(flashes.KINDS[kind]().write_size_bytes, 64)
    data = bytes(range(64)) * (page // 64)
    flash = cut_in_program(kind, 0, data)
    between = {BEFORE: b"\xff" * page, AFTER: data}
    for readings in product((BEFORE, AFTER, BETWEEN), repeat=lib.JX_UNSTABLE_READS):
        set_schedule(flash, *readings)
        for reading in readings * 2:  # they come again
            seen, code = read(flash, 0, page)
            assert code == (lib.JX_EECC if reading == BETWEEN and kind != "nor" else 0)
            assert between.setdefault(reading, seen) == seen
        assert lib.jx_flash_unstable_reads(flash.handle) == 2 * len(readings)
    assert all(was & new == new for was, new in zip(between[BETWEEN], data, strict=True))
    assert len(set(between.values())) == 3


def test_what_is_read_beside_it_is_stable():
    flash = cut_in_program("nor", 100, b"word")
    set_schedule(flash, AFTER, BEFORE, AFTER)
    assert read(flash, 0, 100) == (b"\xff" * 100, 0) and lib.jx_flash_unstable_reads(flash.handle) == 0
    assert read(flash, 98, 4) == (b"\xff\xffwo", 0)
    assert read(flash, 98, 4) == (b"\xff" * 4, 0)
    assert read(flash, 102, 4) == (b"rd\xff\xff", 0)


def test_a_program_reaches_all_readings_and_an_erase_ends_them():
    flash = cut_in_program("nor", 0, b"\x0f\xf0")
    assert flash.prog(0, b"\x7f\xf0") == 0
    set_schedule(flash, BEFORE, AFTER, AFTER)
    assert read(flash, 0, 2)[0] == b"\x7f\xf0" and read(flash, 0, 2)[0] == b"\x0f\xf0"
    assert flash.erase(0) == 0 and lib.jx_flash_unstable_reads(flash.handle) == 2
    assert lib.jx_flash_unstable_schedule(flash.handle, 0) == lib.JX_ENOENT
    assert read(flash, 0, 2)[0] == b"\xff\xff"


def test_one_reading_for_good():
    flash = cut_in_program("nand", 0, b"\x55" * 2048)
    assert lib.jx_flash_unstable_settle(flash.handle, 3) == lib.JX_EINVAL
    assert lib.jx_flash_unstable_settle(flash.handle, AFTER) == 0
    assert read(flash, 0, 4) == (b"\x55" * 4, 0)
    assert lib.jx_flash_unstable_settle(flash.handle, AFTER) == lib.JX_ENOENT


# ---- the engine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_recover_ends_what_reads_otherwise_each_time(case):
    """Every cut, every schedule: mounts see one tree of the two, and after recover always the same one."""
    with record(case) as recording:
        verdict = judge(recording, faults=F6)
    assert not verdict.failure_count, "\n".join(verdict.failures)
    assert verdict.unstable > 200 and verdict.wavering == 0


@pytest.mark.parametrize("token", ["nand512:swap:tight", "nor:flip:tight"])
def test_garbage_collection_that_was_cut(token):
    """A copy that reads badly later is no reason to have erased what it was copied from."""
    with record(the_case(token)) as recording:
        verdict = judge(recording, faults=F6, unstable_cuts=6)
    assert not verdict.failure_count, "\n".join(verdict.failures)
    assert verdict.unstable > 200


@pytest.mark.parametrize("token", ["nand512:seal:rename", "nand2k:lift:replace", "nand512:swap:replace"])
def test_a_commit_that_was_cut_is_made_to_last_at_once(token):
    """Cut again anywhere in recover, with the commit page as if it had never been programmed: still no mixture."""
    case = the_case(token)
    op, size = ffi.new("struct jx_sim_op *"), case.device.size
    with record(case) as recording:
        trees = {recording.old_digest, recording.new_digest}
        commit_cut = judge(recording, faults=lib.JX_F1_CUT).commit_cut
        check(lib.jx_sim_op_get(recording.sim.handle, commit_cut - 1, op))
        page = slice(op.off, op.off + op.len)
        with recording.at(commit_cut - 1) as before, recording.at(commit_cut) as after:
            unwritten, written = before.read(0, size)[page], after.read(0, size)[page]
            recover(after)
            seen = []
            for cut in range(after.operations + 1):
                with Flash.memory(case.device) as state:
                    check(lib.jx_crash_build(after.handle, cut, lib.JX_F1_CUT, 0, state.handle))
                    content = bytearray(state.read(0, size))
                if content[page] == written:
                    content[page] = unwritten
                with Flash.memory(case.device, bytes(content)) as state:
                    seen.append(digest(state))
    assert set(seen) == trees and seen[-1] == recording.new_digest


# ---- F10: reads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_then_on", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("token", ["nor:flip:one-file", "nand512:seal:one-file"])
def test_a_read_fails(token, from_then_on):
    """An error that says so, or it lands all the same; the old tree stands or the new one, also after recover."""
    case = the_case(token)
    with record(case) as recording, start_flash(case) as sim:
        trees = (recording.old_digest, recording.new_digest)
        land(sim, case)
        reads, n, ends = lib.jx_sim_reads(sim.handle), 0, set()
        while n < reads:
            recording.build(0, 0, sim, lib.JX_F1_CUT)
            check(lib.jx_sim_fail_read_after(sim.handle, n, from_then_on))
            try:
                land(sim, case)
                ends.add("landed")
            except (MediumError, NoSpace) as error:  # no block can be read back: none is left
                ends.add("refused")
                assert "missing" not in str(error), "there was room"
            check(lib.jx_sim_fail_read_after(sim.handle, 0xFFFFFFFF, 0))
            seen = digest(sim)
            assert seen in trees, f"read {n}"
            with suppress(Jffs2txError):
                recover(sim)
            assert digest(sim) == seen, f"read {n}, and recover"
            n += 5 if from_then_on else 3
    assert "refused" in ends and reads > 100
