"""F10: an allocation of the core fails, at each of them, once and from then on. Needs the test build: make testing."""

import gc

import pytest

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.errors import OutOfMemory
from jffs2tx.faults.trees import digest
from jffs2tx.filesystem import FileSystem
from jffs2tx.upgrade import recover

from .crashes import Case, land, record

pytestmark = [
    pytest.mark.testing,
    pytest.mark.skipif(not hasattr(lib, "jx_testing_fail_alloc"), reason="needs the test build"),
]

NEVER = 0xFFFFFFFFFFFFFFFF
EACH, LATER = 60, 7  # in long runs the first ones are all tried, of those behind them each seventh
ONCE_AND_ON = pytest.mark.parametrize("from_then_on", [False, True], ids=["once", "from then on"])


def run_out(action, check_after, from_then_on: bool, later: int = LATER) -> None:
    """Runs it again and again, each time from another allocation on (or with that one) memory has run out."""
    lib.jx_testing_fail_alloc(NEVER, 0)
    action()  # a simulator's log finds its room, too
    asked = lib.jx_testing_allocs()
    check_after(-1)
    refused = landed = n = 0
    while n < asked:
        gc.collect()
        before = lib.jx_testing_live()
        lib.jx_testing_fail_alloc(n, from_then_on)
        try:
            action()
            landed += 1
        except OutOfMemory:
            refused += 1
        finally:
            asked = max(asked, lib.jx_testing_allocs())
            lib.jx_testing_fail_alloc(NEVER, 0)
        gc.collect()
        assert lib.jx_testing_live() == before, f"allocation {n}: something is not freed"
        check_after(n)
        n += 1 if n < EACH else later
    assert refused > 10


@ONCE_AND_ON
@pytest.mark.parametrize(
    "token", ["nor:flip:one-file", "nor:swap:rename", "nand512:seal:dir-xattr", "nand2k:lift:delete"]
)
def test_in_an_upgrade(token, from_then_on):
    """The old tree stands or the new one, and nothing leaks."""
    case = Case(*token.split(":"))
    with record(case) as recording, Flash.simulator(case.device) as sim:

        def start() -> None:
            check(lib.jx_crash_build(recording.sim.handle, 0, lib.JX_F1_CUT, 0, sim.handle))

        def stands(n: int) -> None:
            seen = digest(sim)
            assert seen in (recording.old_digest, recording.new_digest), f"allocation {n}"
            recover(sim)
            assert digest(sim) == seen, f"allocation {n}, and recover"
            start()

        start()
        run_out(lambda: land(sim, case), stands, from_then_on)


def first_new(recording) -> int:
    """The cut right after the commit: all of settling is left to do."""
    for cut in range(recording.prepared, recording.committed + 1):
        with recording.at(cut) as image:
            if digest(image) == recording.new_digest:
                return cut
    raise AssertionError("no commit")


@ONCE_AND_ON
@pytest.mark.parametrize("token", ["nor:flip:one-file", "nand512:seal:one-file"])
def test_in_recover(token, from_then_on):
    case = Case(*token.split(":"))
    with record(case) as recording, Flash.simulator(case.device) as sim:
        for cut in (recording.prepared, first_new(recording)):

            def start(cut: int = cut) -> None:
                check(lib.jx_crash_build(recording.sim.handle, cut, lib.JX_F1_CUT, 0, sim.handle))

            start()
            tree = digest(sim)

            def stands(n: int, tree: bytes = tree, start=start) -> None:
                assert digest(sim) == tree, f"allocation {n}"
                assert recover(sim).state in ("none", "settled") and digest(sim) == tree
                start()

            run_out(lambda: recover(sim), stands, from_then_on, later=1)


@ONCE_AND_ON
def test_in_reading_a_tree(from_then_on):
    case = Case("nor", "flip", "dir-xattr")
    with record(case) as recording:

        def read() -> None:
            with FileSystem(recording.sim) as fs:
                for _, status in fs.walk():
                    if status.type == "file":
                        fs.read_ino(status.ino)
                fs.digest()

        run_out(read, lambda n: None, from_then_on)


def test_the_core_gives_back_what_it_took():
    """Of what a device or a compressor needs as well, where a part of it cannot be had."""
    geo = ffi.new("struct jx_geometry *", [lib.JX_NAND, 64 * 1024, 16 * 1024, 512, 512, 8])
    for opener in (lib.jx_flash_open_memory, lambda geo, out: lib.jx_sim_open(geo, ffi.NULL, out)):
        out = ffi.new("jx_flash **")
        n, code = 0, lib.JX_ENOMEM
        while code:
            before = lib.jx_testing_live()
            lib.jx_testing_fail_alloc(n, 0)
            code = opener(geo, out)
            lib.jx_testing_fail_alloc(NEVER, 0)
            assert code in (0, lib.JX_ENOMEM) and (not code or lib.jx_testing_live() == before)
            n += 1
        assert n > 3
        lib.jx_flash_close(out[0])
        assert lib.jx_testing_live() == before
