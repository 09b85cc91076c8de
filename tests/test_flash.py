"""Flash devices: what each kind lets happen, and what it refuses."""

import os
import random
import resource
from contextlib import contextmanager

import pytest

from jffs2tx._ffi import ffi, lib
from tests.flashes import KIB, KINDS, geometry, image, memory, nand, nor, nor_ecc, refused, simulator

BLOCK = 16 * KIB


@pytest.fixture(params=["memory", "simulator", "file"])
def device(request, tmp_path):
    """Opens a device of some geometry, all erased."""

    def open_one(geo):
        if request.param == "file":
            path = tmp_path / "image"
            path.touch()
            return image(path, geo)
        return memory(geo) if request.param == "memory" else simulator(geo)

    return open_one


@pytest.mark.parametrize("kind", KINDS)
def test_new_device_is_erased_and_erases_again(device, kind):
    flash = device(KINDS[kind]())
    assert flash.read() == b"\xff" * 4 * BLOCK
    assert flash.prog(BLOCK, b"\x12" * 2 * KIB) == 0
    assert flash.prog(2 * BLOCK, b"\x34" * 2 * KIB) == 0
    assert flash.read(BLOCK - 1, 3) == b"\xff\x12\x12"
    assert flash.erase(BLOCK) == 0
    assert flash.read(0, 2 * BLOCK) == b"\xff" * 2 * BLOCK
    assert flash.read(2 * BLOCK, 1) == b"\x34"
    assert flash.prog(BLOCK, b"\x56" * 2 * KIB) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_ranges_outside_the_device(device, kind):
    flash = device(KINDS[kind]())
    size = flash.geo.size_bytes
    buf = ffi.new("uint8_t[8192]")
    for off, length in [(size, 1), (size - 2048, 4096), (0xFFFFFFFF, 2), (2048, 0xFFFFF800), (size + 2048, 0)]:
        assert lib.jx_flash_raw_read(flash.handle, off, buf, length) == lib.JX_EFLASH
        assert lib.jx_flash_raw_prog(flash.handle, off, buf, length) == lib.JX_EFLASH
    for off in [size, 1, BLOCK - 1, 0xFFFFFFFF]:
        assert flash.erase(off) == lib.JX_EFLASH
    assert lib.jx_flash_raw_read(flash.handle, size, buf, 0) == 0
    assert flash.read() == b"\xff" * size


def test_nor_clears_bits_only(device):
    flash = device(nor())
    assert flash.prog(BLOCK - 1, b"\xf0\x0f") == 0
    assert flash.prog(BLOCK - 1, b"\x70\x0e") == 0
    assert flash.prog(BLOCK - 1, b"\x70\x0f") == lib.JX_EFLASH
    assert flash.prog(BLOCK - 2, b"\x00\x80") == lib.JX_EFLASH
    assert flash.read(BLOCK - 2, 4) == b"\xff\x70\x0e\xff"


@pytest.mark.parametrize(
    ("off", "length"), [(1, 512), (0, 511), (256, 512), (512, 100), (2048 - 256, 512), (4096, 2048 + 256)]
)
def test_nand_takes_whole_subpages(device, off, length):
    flash = device(nand())
    assert flash.prog(off, b"\x00" * length) == lib.JX_EFLASH


def test_nand_programs_each_subpage_once(device):
    flash = device(nand())
    data = b"\xaa" * 512
    assert flash.prog(512, data) == 0
    assert flash.prog(512, data) == lib.JX_EFLASH
    assert flash.prog(0, data * 2) == lib.JX_EFLASH
    assert flash.prog(0, data) == 0
    assert flash.prog(1024, b"\xff" * 512) == 0
    assert flash.prog(1024, data) == lib.JX_EFLASH, "programmed with ones is programmed"
    assert flash.prog(1536, data) == 0


def test_nand_pages_ascend_within_an_eraseblock(device):
    flash = device(nand())
    page = b"\x55" * 2048
    assert flash.prog(BLOCK + 3 * 2048, page) == 0
    assert flash.prog(BLOCK + 2 * 2048, page) == lib.JX_EFLASH
    assert flash.prog(BLOCK, page) == lib.JX_EFLASH
    assert flash.prog(0, page) == 0, "each eraseblock has its own order"
    assert flash.prog(BLOCK + 5 * 2048, page) == 0
    assert flash.prog(BLOCK + 4 * 2048, page) == lib.JX_EFLASH
    assert flash.erase(BLOCK) == 0
    assert flash.prog(BLOCK, page) == 0


def test_nor_with_ecc_programs_pages_once_in_any_order(device):
    flash = device(nor_ecc())
    page = b"\x55" * 64
    assert flash.prog(128, page) == 0
    assert flash.prog(0, page) == 0
    assert flash.prog(128, page) == lib.JX_EFLASH
    assert flash.prog(64, page[:32]) == lib.JX_EFLASH
    assert flash.prog(64, page) == 0


@pytest.mark.parametrize("kind", ["nand", "nor_ecc"])
def test_what_was_programmed_is_found_from_loaded_content(kind):
    geo = KINDS[kind]()
    flash = memory(geo)
    assert flash.load(BLOCK + 2048, b"\x00" * 2048) == 0
    data = b"\x11" * geo.write_size_bytes
    assert flash.prog(BLOCK + 2048, data) == lib.JX_EFLASH
    assert flash.prog(BLOCK, data) == (lib.JX_EFLASH if kind == "nand" else 0)
    assert flash.prog(BLOCK + 4096, data) == 0


def test_load_sets_any_content():
    flash = memory(nor())
    assert flash.prog(0, b"\x00" * 8) == 0
    assert flash.load(2, b"\xff\x81") == 0
    assert flash.read(0, 5) == b"\x00\x00\xff\x81\x00"
    assert flash.load(4 * BLOCK - 1, b"ab") == lib.JX_EFLASH


def test_oob_goes_with_the_page_but_not_with_its_data(device):
    flash = device(nand())
    marker = b"\x85\x19\x03\x20\x08\x00\x00\x00"
    assert flash.oob(8) == b"\xff" * 8
    assert flash.oob_prog(BLOCK, marker) == 0
    assert flash.oob(8) == marker
    assert flash.prog(BLOCK, b"\x01" * 2048) == 0, "the data of that page is still to come"
    assert flash.oob_prog(BLOCK, b"\x00" * 8) == lib.JX_EFLASH, "once between erases"
    assert flash.oob_prog(BLOCK + 2048, b"\x12\x34") == 0
    assert flash.oob(9) == b"\x12\x34" + b"\xff" * 6
    assert flash.oob(7) == b"\xff" * 8
    assert flash.erase(BLOCK) == 0
    assert flash.oob(8) == flash.oob(9) == b"\xff" * 8
    assert flash.oob_prog(BLOCK, marker) == 0


def test_oob_bounds(device):
    flash = device(nand())
    assert flash.oob_prog(1, b"\x00") == lib.JX_EFLASH
    assert flash.oob_prog(0, b"\x00" * 9) == lib.JX_EFLASH
    assert flash.oob_prog(4 * BLOCK, b"\x00") == lib.JX_EFLASH
    bare = device(nor())
    assert bare.oob_prog(0, b"") == lib.JX_EFLASH
    assert bare.oob_prog(0, b"\x00") == lib.JX_EFLASH


def test_bad_blocks_are_marked_and_left_alone():
    for flash in (memory(nand()), simulator(nand())):
        before = flash.hash()
        assert flash.prog(BLOCK, b"\x12" * 512) == 0
        assert lib.jx_flash_raw_mark_bad(flash.handle, BLOCK) == 0
        assert [lib.jx_flash_raw_is_bad(flash.handle, block * BLOCK) for block in range(4)] == [0, 1, 0, 0]
        assert flash.erase(BLOCK) == flash.prog(BLOCK + 512, b"\x00" * 512) == lib.JX_EIO
        assert flash.oob_prog(BLOCK, b"\x00") == lib.JX_EIO
        assert flash.read(BLOCK, 1) == b"\x12"
        assert flash.erase(0) == 0
        copy = flash.clone()
        assert lib.jx_flash_raw_is_bad(copy.handle, BLOCK) == 1
        assert copy.hash() == flash.hash() != before
        assert lib.jx_flash_raw_mark_bad(flash.handle, 1) == lib.JX_EFLASH
        assert lib.jx_flash_raw_is_bad(flash.handle, 4 * BLOCK) == lib.JX_EFLASH


def test_no_bad_blocks_without_a_table(tmp_path):
    (tmp_path / "image").touch()
    for flash in (memory(nor()), image(tmp_path / "image", nand())):
        assert lib.jx_flash_raw_is_bad(flash.handle, BLOCK) == 0
        assert lib.jx_flash_raw_mark_bad(flash.handle, BLOCK) == lib.JX_EFLASH
        assert lib.jx_flash_raw_sync(flash.handle) == 0


def test_statistics_count_what_was_done(device):
    flash = device(nor())
    flash.read(5, 100)
    flash.prog(0, b"\x01\x02\x03")
    flash.prog(0, b"\xff")
    flash.prog(9, b"")
    flash.erase(0)
    flash.erase(1)
    got = flash.statistics()
    assert (got.bytes_read, got.programs, got.bytes_programmed, got.erases) == (100, 1, 3, 1)


GOOD = [
    nor(),
    nor(1, 4096),
    nand(),
    nand(oob=0),
    nor_ecc(),
    geometry(lib.JX_NOR, 8192, 4096, 1, 0),
    geometry(lib.JX_NOR_ECC, 8192, 4096, 64, 0),
    geometry(lib.JX_NAND, 1 << 20, 16 * KIB, 512, 512, 8),
]
BAD = {
    "kind": geometry(3, 8192, 4096),
    "no size": geometry(lib.JX_NOR, 0, 4096),
    "part of an eraseblock": geometry(lib.JX_NOR, 6144, 4096),
    "small eraseblock": geometry(lib.JX_NOR, 8192, 2048),
    "odd eraseblock": geometry(lib.JX_NOR, 10240, 5120),
    "no eraseblock": geometry(lib.JX_NOR, 8192, 0),
    "NOR with pages": geometry(lib.JX_NOR, 8192, 4096, 512),
    "NOR with nothing to write": geometry(lib.JX_NOR, 8192, 4096, 0),
    "NOR with OOB": geometry(lib.JX_NOR, 8192, 4096, 1, 1, 8),
    "NAND without pages": geometry(lib.JX_NAND, 8192, 4096, 0),
    "NAND of bytes": geometry(lib.JX_NAND, 8192, 4096, 1),
    "page that does not divide": geometry(lib.JX_NAND, 32768, 16384, 3072),
    "page larger than the eraseblock": geometry(lib.JX_NAND, 32768, 16384, 32768),
    "no subpage": geometry(lib.JX_NAND, 32768, 16384, 2048, 0),
    "subpage that does not divide": geometry(lib.JX_NAND, 32768, 16384, 2048, 768),
    "subpage larger than the page": geometry(lib.JX_NAND, 32768, 16384, 2048, 4096),
    "more OOB than page": geometry(lib.JX_NAND, 32768, 16384, 512, 512, 1024),
    "NOR with ECC and OOB": geometry(lib.JX_NOR_ECC, 8192, 4096, 64, 64, 8),
    "NOR with ECC and subpages": geometry(lib.JX_NOR_ECC, 8192, 4096, 64, 32),
}


@pytest.mark.parametrize("geo", GOOD, ids=range(len(GOOD)))
def test_possible_geometry(geo):
    assert memory(geo).read(0, 1) == b"\xff"


@pytest.mark.parametrize("name", BAD)
def test_impossible_geometry(name, tmp_path):
    (tmp_path / "image").touch()
    path = str(tmp_path / "image").encode()
    assert refused(lib.jx_flash_open_memory, BAD[name]) == lib.JX_EGEOMETRY
    assert refused(lib.jx_sim_open, BAD[name], ffi.NULL) == lib.JX_EGEOMETRY
    assert refused(lib.jx_flash_open_file, path, BAD[name], ffi.NULL, True) == lib.JX_EGEOMETRY


# ---- image files -------------------------------------------------------------


def test_file_grows_only_where_something_is_programmed(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"\x01" * 5000)
    flash = image(path, nor())
    assert flash.read() == b"\x01" * 5000 + b"\xff" * (4 * BLOCK - 5000)
    assert flash.prog(100, b"\x00") == 0
    assert flash.erase(3 * BLOCK) == 0
    assert path.stat().st_size == 5000
    assert flash.prog(2 * BLOCK + 7, b"\x42") == 0
    assert path.stat().st_size == 3 * BLOCK
    assert flash.prog(4999, b"\x00\x33") == 0
    assert flash.erase(2 * BLOCK) == 0
    flash.close()
    want = bytearray(b"\x01" * 5000 + b"\xff" * (3 * BLOCK - 5000))
    want[100], want[4999], want[5000] = 0, 0, 0x33
    assert path.read_bytes() == want


@contextmanager
def file_size_limit(size):
    """What the host refuses then is the same as on a full disk, but for the number of the error (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("geometry", [nor(), nand()], ids=["nor", "nand"])
def test_a_file_that_cannot_grow_keeps_its_size(tmp_path, geometry):
    path = tmp_path / "image"
    path.write_bytes(b"\x01" * BLOCK)
    flash, page = image(path, geometry), b"\x42" * 2048
    with file_size_limit(3 * BLOCK - 100):
        assert flash.prog(2 * BLOCK, page) == lib.JX_EHOST_FULL
        assert path.stat().st_size == BLOCK
        assert flash.prog(BLOCK, page) == 0
        assert path.stat().st_size == 2 * BLOCK
        assert flash.erase(BLOCK) == 0  # what was begun in vain
    assert path.read_bytes() == b"\x01" * BLOCK


def test_erase_of_the_last_part_of_a_short_file(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"\x01" * (BLOCK + 5000))
    flash = image(path, nor())
    assert flash.erase(BLOCK) == 0
    assert path.read_bytes() == b"\x01" * BLOCK + b"\xff" * 5000


def test_file_rules_follow_from_its_content(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"\xff" * 2048 + b"\x00" * 100)
    flash = image(path, nand())
    page = b"\x77" * 2048
    assert flash.prog(0, page) == lib.JX_EFLASH
    assert flash.prog(2048, page) == lib.JX_EFLASH
    assert flash.prog(2048 + 512, page[:512]) == 0
    assert flash.prog(4096, page) == 0
    flash.close()
    assert path.stat().st_size == BLOCK
    again = image(path, nand())
    assert again.prog(4096, page) == lib.JX_EFLASH
    assert again.read(2048, 512) == b"\x00" * 100 + b"\xff" * 412


def test_erased_bytes_at_the_end_of_a_short_file_are_not_programmed(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"\xff" * 100)
    assert image(path, nand()).prog(0, b"\x00" * 2048) == 0


def test_read_only_file(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"\x55" * 100)
    flash = image(path, nand(), writable=False)
    assert flash.read(99, 2) == b"\x55\xff"
    assert flash.prog(2048, b"\x00" * 2048) == lib.JX_EIO
    assert flash.erase(0) == lib.JX_EIO
    assert flash.oob_prog(0, b"\x00") == lib.JX_EIO
    flash.close()
    assert path.read_bytes() == b"\x55" * 100


def test_files_that_cannot_be_opened(tmp_path):
    def error(path, writable=True):
        return refused(lib.jx_flash_open_file, os.fsencode(path), nor(), ffi.NULL, writable)

    (tmp_path / "long").write_bytes(b"\xff" * (4 * BLOCK + 1))
    assert error(tmp_path / "long") == lib.JX_EGEOMETRY
    assert error(tmp_path / "nowhere") == lib.JX_ENOENT
    assert error(tmp_path / "long" / "below") == lib.JX_ENOENT
    assert error(tmp_path) == lib.JX_EIO
    assert error(tmp_path, writable=False) == lib.JX_EIO


def test_full_size_file_and_empty_file(tmp_path):
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.write_bytes(b"\x11" * 4 * BLOCK)
    empty.touch()
    assert image(full, nor()).read() == b"\x11" * 4 * BLOCK
    assert image(empty, nor(), writable=False).read() == b"\xff" * 4 * BLOCK
    assert image(full, nor()).load(0, b"\x00") == lib.JX_EINVAL


# ---- clone and hash ------------------------------------------------------------


def test_clone_keeps_content_oob_and_rules_and_goes_its_own_way(device):
    flash = device(nand())
    flash.prog(2048, b"\xff" * 2048)
    flash.prog(BLOCK, b"\x01" * 512)
    flash.oob_prog(BLOCK, b"\x85\x19")
    copy = flash.clone()
    assert copy.content() == flash.content()
    assert copy.hash() == flash.hash()
    assert copy.prog(BLOCK, b"\x00" * 512) == lib.JX_EFLASH
    assert copy.oob_prog(BLOCK, b"\x00") == lib.JX_EFLASH
    assert copy.prog(BLOCK + 512, b"\x02" * 512) == 0
    assert copy.hash() != flash.hash()
    assert flash.read(BLOCK + 512, 1) == b"\xff"
    assert copy.load(0, b"\x00") == 0


def test_clone_of_memory_knows_what_was_programmed_with_ones():
    flash = memory(nand())
    assert flash.prog(2048, b"\xff" * 2048) == 0
    assert flash.clone().prog(0, b"\x00" * 2048) == lib.JX_EFLASH


def test_hash_is_of_content_wherever_it_is(tmp_path):
    rng = random.Random(1)
    data = rng.randbytes(4 * BLOCK)
    path = tmp_path / "image"
    path.write_bytes(data)
    loaded = memory(nor())
    loaded.load(0, data)
    assert image(path, nor()).hash() == loaded.hash() == simulator(nor(), data).hash()
    with_oob = memory(nand())
    before = with_oob.hash()
    empty = tmp_path / "empty"
    empty.touch()
    file_with_oob = image(empty, nand())
    assert file_with_oob.hash() == before
    for flash in (with_oob, file_with_oob):
        assert flash.oob_prog(2048, b"\xfe") == 0
    assert with_oob.hash() == file_with_oob.hash() != before


def test_hash_tells_every_single_bit_place_and_eraseblock():
    rng = random.Random(2)
    flash = memory(nor(2, 4096))
    start = rng.randbytes(4096) * 2
    flash.load(0, start)
    seen = {flash.hash()}
    changes = 0
    for off in [*range(160), *range(4090, 4110), 8191]:
        for bit in (0, 3, 7):
            flash.load(off, bytes([start[off] ^ 1 << bit]))
            seen.add(flash.hash())
            flash.load(off, start[off : off + 1])
            changes += 1
    assert len(seen) == changes + 1
    assert flash.hash() in seen
    first, second = rng.randbytes(4096), rng.randbytes(4096)
    flash.load(0, first + second)
    one = flash.hash()
    flash.load(0, second + first)
    assert flash.hash() != one


def test_bits_of_the_hash_are_even():
    """A change of one bit of content flips about half of the hash."""
    flash = memory(nor(1, 4096))
    base = int.from_bytes(flash.hash(), "little")
    flips = []
    for off in range(0, 4096, 16):
        flash.load(off, b"\xfe")
        flips.append((int.from_bytes(flash.hash(), "little") ^ base).bit_count())
        flash.load(off, b"\xff")
    assert min(flips) > 30
    assert max(flips) < 98
    assert 60 < sum(flips) / len(flips) < 68


def test_the_same_hash_on_every_machine():
    flash = memory(nand())
    assert flash.prog(2048, bytes(range(256)) * 8) == 0
    assert flash.oob_prog(0, b"\x85\x19\x03\x20\x08\x00\x00\x00") == 0
    assert flash.hash().hex() == "b01ea1e073c058ede3a1dced250c192a"


# ---- simulator ----------------------------------------------------------------


def operations(sim):
    op = ffi.new("struct jx_sim_op *")
    out = []
    for i in range(lib.jx_sim_op_count(sim.handle)):
        assert lib.jx_sim_op_get(sim.handle, i, op) == 0
        out.append((op.kind, op.off, op.len))
    assert lib.jx_sim_op_get(sim.handle, len(out), op) == lib.JX_EINVAL
    return out


def test_simulator_logs_what_succeeded():
    sim = simulator(nand())
    sim.prog(2048, b"\x00" * 4096)
    sim.prog(0, b"\x00" * 512)
    sim.oob_prog(BLOCK, b"\x85\x19")
    sim.erase(0)
    assert operations(sim) == [
        (lib.JX_SIM_PROG, 2048, 2048),
        (lib.JX_SIM_PROG, 4096, 2048),
        (lib.JX_SIM_OOB, BLOCK, 2),
        (lib.JX_SIM_ERASE, 0, BLOCK),
    ]
    assert lib.jx_sim_restart(sim.handle) == 0
    assert operations(sim) == []
    assert sim.oob(8)[:2] == b"\x85\x19"


def test_simulator_log_of_many_operations():
    sim = simulator(nor())
    for off in range(1000):
        assert sim.prog(off * 8, off.to_bytes(2, "big")) == 0
    assert operations(sim) == [(lib.JX_SIM_PROG, off * 8, 2) for off in range(1000)]


def test_cut_takes_the_power_until_it_comes_back():
    sim = simulator(nand())
    data = b"\x00" * 2048
    assert lib.jx_sim_cut_after(sim.handle, 2) == 0
    assert sim.prog(0, data) == 0
    assert sim.oob_prog(0, b"\x00") == 0
    sim.read(0, 8)
    assert sim.erase(0) == lib.JX_ECUT
    buf = ffi.new("uint8_t[8]")
    assert lib.jx_flash_raw_read(sim.handle, 0, buf, 8) == lib.JX_ECUT
    assert lib.jx_flash_raw_oob_read(sim.handle, 0, buf, 8) == lib.JX_ECUT
    assert lib.jx_flash_raw_sync(sim.handle) == lib.jx_flash_raw_is_bad(sim.handle, 0) == lib.JX_ECUT
    assert sim.prog(2048, data) == sim.oob_prog(2048, b"\x00") == sim.erase(BLOCK) == lib.JX_ECUT
    assert sim.clone().read(0, 2050) == data + b"\xff\xff"
    assert len(operations(sim)) == 2
    assert lib.jx_sim_cut_after(sim.handle, 0xFFFFFFFF) == 0
    assert sim.prog(2048, data) == 0
    assert lib.jx_sim_cut_after(sim.handle, 0) == 0
    assert sim.erase(0) == lib.JX_ECUT
    assert lib.jx_sim_restart(sim.handle) == 0
    assert sim.erase(0) == 0


def test_simulator_start_and_load():
    data = bytes(range(256)) * (4 * BLOCK // 256)
    sim = simulator(nor(), data)
    assert sim.read() == data
    assert sim.load(0, b"\xff") == 0
    assert operations(sim) == []
    assert sim.prog(0, b"\x80") == 0
    assert sim.load(0, b"\xff") == lib.JX_ESTATE


@pytest.mark.parametrize("function", ["jx_sim_restart", "jx_sim_cut_after", "jx_sim_op_count"])
def test_simulator_calls_on_another_device(function):
    flash = memory(nor())
    args = [0] if function == "jx_sim_cut_after" else []
    want = 0 if function == "jx_sim_op_count" else lib.JX_EINVAL
    assert getattr(lib, function)(flash.handle, *args) == want


@pytest.mark.parametrize("kind", [nor, nand])
def test_a_lie_is_told_once(kind):
    sim = simulator(kind())
    page = max(sim.geo.write_size_bytes, 8)
    assert lib.jx_sim_lie_after(sim.handle, 1) == 0
    assert sim.prog(0, b"\x00" * page) == 0 and sim.prog(page, b"\x00" * page) == 0
    assert sim.read(0, 2 * page) == b"\x00" * (page + page // 2) + b"\xff" * (page // 2)
    assert lib.jx_sim_lie_after(sim.handle, 0) == 0
    assert sim.erase(0) == 0 and sim.read(0, 1) == b"\x00"
    assert sim.erase(0) == 0 and sim.read(0, 1) == b"\xff"
    assert lib.jx_sim_lie_after(memory(kind()).handle, 0) == lib.JX_EINVAL
