"""Crash states: that each is one a power cut can leave, that none of the promised ones is missing, and that building
one from whatever the device held gives the same bytes as building it anew."""

import hashlib
import random

import pytest

from jffs2tx._ffi import ffi, lib
from tests.flashes import KIB, KINDS, geometry, memory, nand, nor, nor_ecc, simulator

BLOCK = 16 * KIB
F1, F2, F3, F4, F5 = lib.JX_F1_CUT, lib.JX_F2_PREFIX, lib.JX_F3_BITS, lib.JX_F4_ORDER, lib.JX_F5_ERASE
ALL = F1 | F2 | F3 | F4 | F5


def tears(sim, cut, faults=ALL):
    count = ffi.new("uint32_t *")
    assert lib.jx_crash_tears(sim.handle, cut, faults, count) == 0
    assert count[0] >= 1
    return count[0]


def build(sim, cut, faults, tear, out):
    assert lib.jx_crash_build(sim.handle, cut, faults, tear, out.handle) == 0


def describe(sim, cut, faults, tear, size=120):
    buf = ffi.new("char[]", size)
    assert lib.jx_crash_describe(sim.handle, cut, faults, tear, buf, size) == 0
    return ffi.string(buf).decode()


def states(sim, cut, faults, out):
    """(words, bytes, OOB) of each tear but the first."""
    for tear in range(1, tears(sim, cut, faults)):
        build(sim, cut, faults, tear, out)
        yield describe(sim, cut, faults, tear), *out.content()


def torn_parts(sim, cut, faults, off, size):
    """What the tears of a cut leave in a range, in order; nothing beside it changes."""
    out = memory(sim.geo)
    build(sim, cut, faults, 0, out)
    before = out.content()
    parts = []
    for _, data, oob in states(sim, cut, faults, out):
        assert data[:off] == before[0][:off]
        assert data[off + size :] == before[0][off + size :]
        assert oob == before[1]
        parts.append(data[off : off + size])
    return parts


class Model:
    """A second account of what operations do, in Python."""

    def __init__(self, geo):
        self.geo = geo
        self.data = bytearray(b"\xff" * geo.size_bytes)
        pages = geo.size_bytes // geo.write_size_bytes if geo.oob_avail_bytes else 0
        self.oob = bytearray(b"\xff" * (pages * geo.oob_avail_bytes))

    def prog(self, off, data):
        for i, byte in enumerate(data):
            self.data[off + i] &= byte

    def oob_prog(self, off, data):
        at = off // self.geo.write_size_bytes * self.geo.oob_avail_bytes
        for i, byte in enumerate(data):
            self.oob[at + i] &= byte

    def erase(self, off):
        size = self.geo.erase_size_bytes
        self.data[off : off + size] = b"\xff" * size
        if self.oob:
            at = off // self.geo.write_size_bytes * self.geo.oob_avail_bytes
            count = size // self.geo.write_size_bytes * self.geo.oob_avail_bytes
            self.oob[at : at + count] = b"\xff" * count

    def content(self):
        return bytes(self.data), bytes(self.oob)


def busy(kind, seed=1):
    """A simulator with a log of every kind of operation, and the content before each operation."""
    geo = KINDS[kind]()
    rng = random.Random(seed)
    sim, model = simulator(geo), Model(geo)
    before = []

    def run(name, off, *data):
        before.append(model.content())
        assert getattr(sim, name)(off, *data) == 0
        getattr(model, name)(off, *data)

    page = geo.write_size_bytes
    sizes = [68, 12, 1, 300, 1100, 4096] if kind == "nor" else [page] * 6
    for block in (1, 0, 2):
        run("erase", block * BLOCK)
        if kind == "nand":
            run("oob_prog", block * BLOCK, b"\x85\x19\x03\x20\x08\x00\x00\x00")
        off = block * BLOCK
        for size in sizes:
            run("prog", off, rng.randbytes(size))
            off += (size + 3) // 4 * 4
        if kind == "nor":
            run("prog", block * BLOCK + 2, b"\x00\x00")
    run("erase", BLOCK)
    before.append(model.content())
    return sim, before


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_tear_of_a_cut_is_what_came_before(kind):
    sim, before = busy(kind)
    assert lib.jx_sim_op_count(sim.handle) == len(before) - 1
    out = memory(sim.geo)
    for cut, want in enumerate(before):
        build(sim, cut, F1, 0, out)
        assert tears(sim, cut, F1) == 1
        assert out.content() == want
        assert out.hash() == out.clone().hash()
    assert tears(sim, len(before) - 1, ALL) == 1
    assert out.content() == sim.content()


@pytest.mark.parametrize("kind", KINDS)
def test_every_tear_lies_between_old_and_new(kind):
    sim, before = busy(kind)
    out = memory(sim.geo)
    op = ffi.new("struct jx_sim_op *")
    for cut in range(len(before) - 1):
        lib.jx_sim_op_get(sim.handle, cut, op)
        old, new = (int.from_bytes(b"".join(content), "big") for content in before[cut : cut + 2])
        for words, data, oob in states(sim, cut, ALL & ~F5, out):
            got = int.from_bytes(data + oob, "big")
            assert got | old == old, words
            assert got & new == new, words
        assert (tears(sim, cut, F5) > 1) == (op.kind == lib.JX_SIM_ERASE)
        assert (tears(sim, cut, F3) > 1) == (op.kind != lib.JX_SIM_ERASE)
        assert (tears(sim, cut, F2 | F4) > 1) == (op.kind != lib.JX_SIM_ERASE and op.len > 1)


def one_prog(geo, off, size, old=None):
    sim = simulator(geo, old or ffi.NULL)
    data = bytes((i * 7 + 3) & 0x7F for i in range(size))
    assert sim.prog(off, data) == 0
    return sim, data


def prefixes_of(data, points):
    return [data[:p] + b"\xff" * (len(data) - p) for p in points]


@pytest.mark.parametrize(
    ("geo", "off", "size", "points"),
    [
        (nor(), 0, 64, range(1, 64)),
        (nor(), 3, 255, range(1, 255)),
        (nor(), 0, 256, range(4, 256, 4)),
        (nor(), 6, 258, range(2, 258, 4)),
        (nor(), 4, 1024, range(4, 1024, 4)),
        (nor(), 0, 1500, [*range(4, 128, 4), 128, *range(256, 1372, 256), *range(1372, 1500, 4)]),
        (nor(), 0, 1, []),
        (nand(), 2048, 2048, range(256, 2048, 256)),
        (nand(), 512, 512, [256]),
        (nand(subpage=256), 256, 256, [64, 128, 192]),
        (nor_ecc(), 64, 64, [16, 32, 48]),
        (nor_ecc(write=1024), 0, 1024, [256, 512, 768]),
    ],
)
def test_prefixes(geo, off, size, points):
    sim, data = one_prog(geo, off, size)
    assert torn_parts(sim, 0, F1 | F2, off, size) == prefixes_of(data, points)
    assert describe(sim, 0, F2, 0) == f"prog 0x{off:x}+{size}: nothing"
    assert [describe(sim, 0, F2, t).split(": ")[1] for t in range(1, tears(sim, 0, F2))] == [
        f"prefix {p}" for p in points
    ]


def test_half_programmed_bits_of_nand():
    sim, data = one_prog(nand(), 0, 512)
    parts = torn_parts(sim, 0, F3, 0, 512)
    assert len(parts) == 8
    for mask, part in zip((0x55, 0xAA), parts, strict=False):
        assert part == bytes(byte | mask for byte in data)
    for mask, part in zip((0x55, 0xAA), parts[4:], strict=False):
        assert part == data[:256] + bytes(byte | mask for byte in data[256:])
    for whole, half in zip(parts[2:4], parts[6:], strict=True):
        assert half == data[:256] + whole[256:], "a seeded mask belongs to the place"
        assert whole not in (data, b"\xff" * 512)
    assert len(set(parts)) == 8


def test_half_programmed_word_of_nor():
    sim, data = one_prog(nor(), 4, 12)
    parts = torn_parts(sim, 0, F3, 4, 12)
    assert len(parts) == 12 * 4 + 2 * 2
    for p in (0, 4):
        assert data[:p] + bytes(b | 0x55 for b in data[p : p + 4]) + b"\xff" * (8 - p) in parts
    for p in range(12):
        assert data[:p] + bytes(b | 0xAA for b in data[p:]) in parts


def test_seeded_masks_have_about_half_of_the_bits():
    sim = simulator(nor())
    sim.prog(0, b"\x00" * 1024)
    for part in torn_parts(sim, 0, F3, 0, 1024)[2:4]:
        ones = int.from_bytes(part, "big").bit_count()
        assert 3800 < ones < 4400
        assert len(set(part)) > 200


def test_parts_out_of_order():
    sim, data = one_prog(nand(), 0, 2048)
    ff = b"\xff" * 2048
    parts = torn_parts(sim, 0, F4, 0, 2048)
    for b in range(256, 2048, 256):
        assert ff[:b] + data[b:] in parts
    for b in range(256, 1792, 256):
        assert data[:b] + ff[:256] + data[b + 256 :] in parts
    assert data[:1024] + ff[1024:] in parts
    assert len(parts) == 7 + 6 + 1
    sim, data = one_prog(nor(), 0, 68)
    parts = torn_parts(sim, 0, F4, 0, 68)
    for b in (20, 40, 60, 34):
        assert ff[:b] + data[b:68] in parts
    assert data[:20] + ff[:20] + data[40:] in parts
    assert data[:34] + ff[:34] in parts


def test_nothing_but_bits_that_were_old_or_new_on_nor_that_held_something():
    old = bytes(range(256)) * (4 * BLOCK // 256)
    sim = simulator(nor(), old)
    assert sim.prog(0x55, b"\x55\x06\x01\x50") == 0
    for part in torn_parts(sim, 0, ALL, 0x55, 4):
        for got, was, new in zip(part, old[0x55:0x59], b"\x55\x06\x01\x50", strict=True):
            assert got & ~was == 0
            assert got & new == new & was


def erased(kind, **more):
    geo = KINDS[kind](**more)
    sim = simulator(geo, random.Random(5).randbytes(geo.size_bytes))
    for off in range(0, geo.size_bytes, BLOCK) if geo.oob_avail_bytes else ():
        assert sim.oob_prog(off, b"\x85\x19\x03\x20\x08\x00\x00\x00") == 0
    assert lib.jx_sim_restart(sim.handle) == 0
    before = sim.content()
    assert sim.erase(BLOCK) == 0
    return before, list(states(sim, 0, F5, memory(geo)))


def test_interrupted_erase_of_nor():
    (old, _), found = erased("nor")
    block, ff = old[BLOCK : 2 * BLOCK], b"\xff" * BLOCK
    parts = []
    for words, data, _ in found:
        assert data[:BLOCK] == old[:BLOCK], words
        assert data[2 * BLOCK :] == old[2 * BLOCK :], words
        parts.append(data[BLOCK : 2 * BLOCK])
    half = BLOCK // 2
    want = [ff[:half] + block[half:], block[:half] + ff[half:], ff[:12] + block[12:]]
    want += [bytes(byte | mask for byte in block) for mask in (0x55, 0xAA)]
    want += [b"\x00" * n + block[n:] for n in [*range(4, 68, 4), *range(BLOCK // 4, BLOCK + 1, BLOCK // 4)]]
    assert all(part in parts for part in want)
    assert len(parts) == len(set(parts)) == len(want) + 2
    seeded = [part for part in parts if part not in want]
    assert all(was & got == was for part in seeded for was, got in zip(block, part, strict=True))
    assert block not in parts
    assert ff not in parts


def test_interrupted_erase_of_nand_tears_the_oob_too():
    (old, old_oob), found = erased("nand")
    block, ff, pages = old[BLOCK : 2 * BLOCK], b"\xff" * BLOCK, BLOCK // 2048
    start, end = pages * 8, 2 * pages * 8
    seen = {}
    for words, data, oob in found:
        assert data[:BLOCK] + data[2 * BLOCK :] == old[:BLOCK] + old[2 * BLOCK :], words
        assert oob[:start] + oob[end:] == old_oob[:start] + old_oob[end:], words
        seen[data[BLOCK : 2 * BLOCK], oob[start:end]] = words
    kept, gone = old_oob[start:end], b"\xff" * (end - start)
    assert (ff, kept) in seen
    assert (block, gone) in seen
    assert (ff, gone) not in seen
    assert (block, kept) not in seen
    half = BLOCK // 2
    for data in (ff[:half] + block[half:], block[:half] + ff[half:], bytes(byte | 0x55 for byte in block)):
        assert (data, kept) in seen
        assert (data, gone) in seen
    assert (ff[:12] + block[12:], kept) in seen
    assert (b"\x00" * 12 + block[12:], kept) in seen
    torn = {oob for _, oob in seen} - {kept, gone}
    assert len(torn) == 1
    assert all(was & got == was for oob in torn for was, got in zip(kept, oob, strict=True))
    assert len(seen) == len(found) == 8 * 3 - 2 + 2


def test_interrupted_erase_of_nand_without_oob():
    _, found = erased("nand", oob=0)
    assert len({data for _, data, _ in found}) == len(found) == 8 - 2 + 2
    assert all("OOB" not in words for words, _, _ in found)


def test_torn_oob_program():
    sim = simulator(nand())
    marker = b"\x85\x19\x03\x20\x08\x00\x00\x00"
    assert sim.oob_prog(BLOCK, marker) == 0
    page = BLOCK // 2048
    out = memory(sim.geo)
    found = [oob[page * 8 : page * 8 + 8] for _, _, oob in states(sim, 0, F2, out)]
    assert found == prefixes_of(marker, range(1, 8))
    for words, data, oob in states(sim, 0, ALL, out):
        assert data == b"\xff" * len(data), words
        assert oob[: page * 8] + oob[page * 8 + 8 :] == b"\xff" * (len(oob) - 8), words


def test_bad_mark_and_sync_are_operations_that_do_not_tear():
    sim = simulator(nand())
    assert lib.jx_flash_raw_mark_bad(sim.handle, BLOCK) == 0
    assert lib.jx_flash_raw_sync(sim.handle) == 0
    assert lib.jx_sim_op_count(sim.handle) == 2
    assert [tears(sim, cut) for cut in range(3)] == [1, 1, 1]
    assert [describe(sim, cut, ALL, 0) for cut in range(2)] == ["bad 0x4000+0: nothing", "sync 0x0+0: nothing"]
    out = memory(sim.geo)
    hashes, bad = [], []
    for cut in (0, 1, 2, 0):
        build(sim, cut, ALL, 0, out)
        hashes.append(out.hash())
        bad.append([lib.jx_flash_raw_is_bad(out.handle, block * BLOCK) for block in range(4)])
    assert bad == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert hashes[0] == hashes[3] != hashes[1] == hashes[2]


@pytest.mark.parametrize("kind", KINDS)
def test_building_from_anything_is_building_anew(kind):
    """Ascending, descending, after writes to the device, after another log: always the same content and hash."""
    sim, before = busy(kind)
    other, _ = busy(kind, seed=2)
    rng = random.Random(3)
    every = [(cut, tear) for cut in range(len(before)) for tear in range(tears(sim, cut))]
    out = memory(sim.geo)
    for _ in range(150):
        cut, tear = rng.choice(every)
        disturb = rng.randrange(4)
        if disturb == 0:
            out.erase(rng.randrange(4) * BLOCK)
            out.load(rng.randrange(4 * BLOCK - 3000), rng.randbytes(3000))
        elif disturb == 1:
            build(other, rng.randrange(len(before)), ALL, 0, out)
        build(sim, cut, ALL, tear, out)
        fresh = memory(sim.geo)
        build(sim, cut, ALL, tear, fresh)
        assert out.content() == fresh.content()
        assert out.hash() == fresh.hash() == out.clone().hash()


@pytest.mark.parametrize("kind", KINDS)
def test_hash_tells_states_apart_exactly(kind):
    sim, before = busy(kind)
    out = memory(sim.geo)
    by_hash = {}
    for cut in range(0, len(before), 2):
        for tear in range(tears(sim, cut)):
            build(sim, cut, ALL, tear, out)
            digest = hashlib.sha256(b"".join(out.content())).digest()
            assert by_hash.setdefault(out.hash(), digest) == digest
    assert len(set(by_hash.values())) == len(by_hash) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_each_tear_has_words_of_its_own(kind):
    sim, before = busy(kind)
    for cut in range(len(before)):
        words = [describe(sim, cut, ALL & ~F4, tear) for tear in range(tears(sim, cut, ALL & ~F4))]
        assert len(set(words)) == len(words)
    assert describe(sim, len(before) - 1, ALL, 0) == "after the last operation"


def test_words():
    sim, _ = one_prog(nor(), 0x20 + BLOCK, 16)
    words = [describe(sim, 0, ALL, tear) for tear in range(tears(sim, 0))]
    for want in [
        "prog 0x4020+16: nothing",
        "prog 0x4020+16: prefix 12",
        "prog 0x4020+16: 0..16 half-programmed (seed 1)",
        "prog 0x4020+16: prefix 4, 4..8 half-programmed (mask 0x55)",
        "prog 0x4020+16: prefix 4, 4..8 half-programmed (seed 1)",
        "prog 0x4020+16: suffix from 12",
        "prog 0x4020+16: prefix 4, suffix from 8",
    ]:
        assert want in words
    _, found = erased("nand")
    assert found[0][0] == "erase 0x4000+16384: OOB erased"
    assert "erase 0x4000+16384: 0..8192 erased, OOB half-erased" in [words for words, _, _ in found]


def test_words_in_little_room():
    sim, _ = one_prog(nor(), 0, 16)
    for size in range(1, 40):
        got = describe(sim, 0, ALL, 20, size)
        assert got == describe(sim, 0, ALL, 20)[: size - 1]
    buf = ffi.new("char[8]")
    assert lib.jx_crash_describe(sim.handle, 0, ALL, 0, buf, 0) == lib.JX_EINVAL


def test_a_crash_in_a_simulator_starts_a_log_anew():
    """The second cut: recovery runs on a crash state and is cut itself."""
    sim, before = busy("nand")
    second, out = simulator(sim.geo), memory(sim.geo)
    for cut in range(len(before)):
        for tear in (0, tears(sim, cut) - 1):
            build(sim, cut, ALL, tear, second)
            assert lib.jx_sim_op_count(second.handle) == 0
            start = second.content()
            assert second.erase(3 * BLOCK) == 0
            assert second.prog(3 * BLOCK, bytes(2048)) == 0
            build(second, 0, ALL, 0, out)
            assert out.content() == start
            build(second, 2, ALL, 0, out)
            assert out.content() == second.content()
    assert lib.jx_sim_cut_after(second.handle, 0) == 0
    assert second.erase(0) == lib.JX_ECUT
    build(sim, 0, ALL, 0, second)
    assert second.erase(0) == 0


def test_rules_follow_from_a_crash_state():
    sim = simulator(nand())
    page = b"\x00" * 2048
    assert sim.prog(0, page) == 0
    assert sim.prog(2048, page) == 0
    out = memory(sim.geo)
    build(sim, 1, F2, 0, out)
    assert out.prog(0, page) == lib.JX_EFLASH
    assert out.prog(2048, page) == 0
    build(sim, 1, F2, 1, out)
    assert out.prog(2048, page[:512]) == lib.JX_EFLASH
    assert out.prog(2048 + 512, page[:512]) == 0
    build(sim, 0, F2, 0, out)
    assert out.prog(0, page) == 0


def test_what_cannot_be_built():
    sim, before = busy("nor")
    out, last = memory(sim.geo), len(before) - 1
    handle = out.handle
    count = ffi.new("uint32_t *")
    build_ = lib.jx_crash_build
    assert build_(sim.handle, last + 1, ALL, 0, handle) == lib.JX_EINVAL
    assert build_(sim.handle, last, ALL, 1, handle) == lib.JX_EINVAL
    assert build_(sim.handle, 0, F1, 1, handle) == lib.JX_EINVAL
    assert build_(sim.handle, 0, ALL, tears(sim, 0), handle) == lib.JX_EINVAL
    assert build_(sim.handle, 0, ALL, 0, sim.handle) == lib.JX_EINVAL
    assert build_(handle, 0, ALL, 0, sim.handle) == lib.JX_EINVAL
    assert lib.jx_crash_tears(sim.handle, last + 1, ALL, count) == lib.JX_EINVAL
    assert lib.jx_crash_tears(handle, 0, ALL, count) == lib.JX_EINVAL
    other = memory(geometry(lib.JX_NOR, 8 * BLOCK, BLOCK))
    assert build_(sim.handle, 0, ALL, 0, other.handle) == lib.JX_EGEOMETRY
