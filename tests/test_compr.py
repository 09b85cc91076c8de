"""Compressors: round trips, judges that are not ours (zlib, mkfs.jffs2, rtime written a second time), damage."""

import random
import shutil
import subprocess
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jffs2tx import format as fmt
from jffs2tx._ffi import ffi, lib

METHODS = {"rtime": lib.JX_USE_RTIME, "zlib": lib.JX_USE_ZLIB, "lzo": lib.JX_USE_LZO}
ALL = lib.JX_USE_ZERO | sum(METHODS.values())


@pytest.fixture(scope="module")
def compressor():
    out = ffi.new("jx_compressor **")
    assert lib.jx_compressor_new(out) == lib.JX_OK
    yield out[0]
    lib.jx_compressor_free(out[0])


def compress(compressor, mask, data):
    """The method and the bytes; out holds just len(data), as the header promises is enough."""
    out, csize = ffi.new("uint8_t[]", max(len(data), 1)), ffi.new("uint32_t *")
    method = lib.jx_compress(compressor, mask, ffi.new("uint8_t[]", list(data)), len(data), out, csize)
    return method, bytes(ffi.buffer(out, csize[0]))


def decompress(compressor, method, packed, dsize):
    """The bytes, or the error. Memory behind the output stays untouched."""
    out = ffi.new("uint8_t[]", list(b"\xa5" * (dsize + 64)))
    code = lib.jx_decompress(compressor, method, ffi.new("uint8_t[]", list(packed)), len(packed), out, dsize)
    assert bytes(ffi.buffer(out))[dsize:] == b"\xa5" * 64
    return bytes(ffi.buffer(out, dsize)) if code == lib.JX_OK else code


def rtime_reference(packed):
    """Decompresses rtime, from the format: a byte, then a run from behind that byte's last occurrence."""
    out, behind = bytearray(), dict.fromkeys(range(256), 0)
    for byte, run in zip(packed[::2], packed[1::2], strict=True):
        source = behind[byte]
        out.append(byte)
        behind[byte] = len(out)
        for i in range(run):
            out.append(out[source + i])
    return bytes(out)


def chunks():
    """What compresses well, badly, and in between."""
    rng = random.Random(7)
    text = b"".join(b"%d lines of text, more or less\n" % n for n in range(200))
    code = bytes(rng.choice(b"\x00\x00\x00\x01\x02\x48\x8b\xe8\xff") for _ in range(4096))
    return {
        "text": text[:4096],
        "odd length": text[:1237],
        "code": code,
        "noise": rng.randbytes(4096),
        "zeros": bytes(4096),
        "zeros but the last": bytes(4095) + b"\1",
        "one byte": b"x",
        "one zero": b"\0",
        "runs": b"".join(bytes([n]) * 300 for n in range(13)),
        "period": bytes(range(128, 256)) * 32,
    }


CHUNKS = chunks()
data_like = st.one_of(
    st.binary(max_size=600),
    st.lists(st.sampled_from([b"abc", b"\0" * 30, b"hello world", b"\xff"]), max_size=150).map(b"".join),
)


# ---- round trips ----


@settings(deadline=None)
@given(data_like, st.sampled_from([*METHODS.values(), ALL, 0]))
def test_round_trip(compressor, data, mask):
    data = data[:4096]
    method, packed = compress(compressor, mask, data)
    assert method == lib.JX_COMPR_NONE or len(packed) < len(data)
    assert decompress(compressor, method, packed, len(data)) == data


@pytest.mark.parametrize("mask", [*METHODS.values(), ALL])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_round_trip_of_whole_chunks(compressor, chunk, mask):
    data = CHUNKS[chunk]
    method, packed = compress(compressor, mask, data)
    assert decompress(compressor, method, packed, len(data)) == data
    if chunk in ("text", "zeros", "runs", "period"):
        assert method != lib.JX_COMPR_NONE and len(packed) < len(data)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_the_smallest_wins(compressor, chunk):
    data = CHUNKS[chunk]
    sizes = [len(compress(compressor, mask, data)[1]) for mask in METHODS.values()]
    assert len(compress(compressor, sum(METHODS.values()), data)[1]) == min(sizes)


def test_only_allowed_methods_are_used(compressor):
    for name, mask in METHODS.items():
        method, _ = compress(compressor, mask, CHUNKS["text"])
        assert method == getattr(lib, f"JX_COMPR_{name.upper()}")
    for mask in (0, lib.JX_USE_NONE, lib.JX_USE_ZERO):
        assert compress(compressor, mask, CHUNKS["text"]) == (lib.JX_COMPR_NONE, CHUNKS["text"])


def test_zeros_become_a_hole_only_where_allowed(compressor):
    assert compress(compressor, ALL, bytes(4096)) == (lib.JX_COMPR_ZERO, b"")
    assert compress(compressor, ALL, b"\0") == (lib.JX_COMPR_ZERO, b"")
    assert compress(compressor, lib.JX_USE_ZLIB, bytes(4096))[0] == lib.JX_COMPR_ZLIB
    for at in (0, 1, 2048, 4095):
        almost = bytes(at) + b"\1" + bytes(4095 - at)
        assert compress(compressor, ALL, almost)[0] != lib.JX_COMPR_ZERO


def test_nothing_and_too_much(compressor):
    assert compress(compressor, ALL, b"") == (lib.JX_COMPR_NONE, b"")
    assert compress(compressor, ALL, b"a" * 4097)[0] == lib.JX_EINVAL
    assert decompress(compressor, lib.JX_COMPR_RTIME, b"", 0) == b""


def test_same_input_same_output_whatever_came_before(compressor):
    fresh = ffi.new("jx_compressor **")
    for data in CHUNKS.values():
        for mask in METHODS.values():
            assert lib.jx_compressor_new(fresh) == lib.JX_OK
            assert compress(fresh[0], mask, data) == compress(compressor, mask, data)
            lib.jx_compressor_free(fresh[0])


# ---- what others make of it, and we of theirs ----


@settings(deadline=None)
@given(data_like)
@example(b"a" * 4096)
def test_zlib_reads_ours(compressor, data):
    method, packed = compress(compressor, lib.JX_USE_ZLIB, data[:4096])
    if method == lib.JX_COMPR_ZLIB:
        assert zlib.decompress(packed) == data[:4096]


@settings(deadline=None)
@given(data_like)
@example(b"a" * 4096)
@example(b"aaab" * 100)
def test_the_reference_reads_our_rtime(compressor, data):
    method, packed = compress(compressor, lib.JX_USE_RTIME, data[:4096])
    if method == lib.JX_COMPR_RTIME:
        assert rtime_reference(packed) == data[:4096]


def test_rtime_on_the_medium(compressor):
    """By hand: 'a' has a run from its own place, 'b' none, the second 'a' one from behind the first."""
    assert compress(compressor, lib.JX_USE_RTIME, b"aaaaaaaab") == (lib.JX_COMPR_RTIME, b"a\x07b\x00")
    assert compress(compressor, lib.JX_USE_RTIME, b"xyzabcdxyzabcd") == (lib.JX_COMPR_NONE, b"xyzabcdxyzabcd")
    assert decompress(compressor, lib.JX_COMPR_RTIME, b"x\x00y\x00z\x00x\x02", 6) == b"xyzxyz"


def kernel_stream(data, flush):
    """zlib as the kernel's compressor calls it: pieces that are flushed, then the end."""
    deflate = zlib.compressobj(3)
    packed = b"".join(deflate.compress(data[i : i + 300]) + deflate.flush(flush) for i in range(0, len(data), 300))
    return packed + deflate.flush(zlib.Z_FINISH)


@pytest.mark.parametrize("flush", [zlib.Z_PARTIAL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_NO_FLUSH])
def test_reads_streams_made_of_flushed_pieces(compressor, flush):
    data = CHUNKS["text"]
    assert decompress(compressor, lib.JX_COMPR_ZLIB, kernel_stream(data, flush), len(data)) == data


@pytest.mark.parametrize("wbits", range(9, 16))
def test_reads_every_window(compressor, wbits):
    deflate = zlib.compressobj(9, zlib.DEFLATED, wbits)
    packed = deflate.compress(CHUNKS["code"]) + deflate.flush()
    assert decompress(compressor, lib.JX_COMPR_ZLIB, packed, 4096) == CHUNKS["code"]


def test_the_adler_checksum_does_not_matter(compressor):
    data = CHUNKS["text"]
    packed = zlib.compress(data)
    for end in (packed[:-4], packed[:-1], packed[:-4] + b"\0\0\0\0", packed + b"junk"):
        assert decompress(compressor, lib.JX_COMPR_ZLIB, end, len(data)) == data


def test_mkfs_jffs2s_data_nodes(compressor, tmp_path):
    if not shutil.which("mkfs.jffs2"):
        pytest.skip("mtd-utils are not installed")
    tree = tmp_path / "tree"
    tree.mkdir()
    content = CHUNKS["text"] * 5 + CHUNKS["code"] * 3 + CHUNKS["noise"] + CHUNKS["runs"]
    (tree / "file").write_bytes(content)
    for name in ("zlib", "rtime", "lzo"):
        only = [arg for other in METHODS if other != name for arg in ("-x", other)]
        image = tmp_path / name
        subprocess.run(
            ["mkfs.jffs2", "-l", "-r", tree, "-o", image, *only, "-X", name], check=True, capture_output=True
        )
        nodes = [n.fields for n in fmt.walk(image.read_bytes(), "little", 65536) if n.kind == fmt.NodeType.INODE]
        data = {n.offset: decompress(compressor, n.compr, n.data, n.dsize) for n in nodes if n.dsize}
        assert b"".join(data[at] for at in sorted(data)) == content
        assert {n.compr for n in nodes} == {lib.JX_COMPR_NONE, getattr(lib, f"JX_COMPR_{name.upper()}")}


# ---- damage ----


@pytest.mark.parametrize("name", METHODS)
def test_exactly_dsize_bytes_or_corrupt(compressor, name):
    data = CHUNKS["text"]
    method, packed = compress(compressor, METHODS[name], data)
    for dsize in (len(data) + 1, len(data) * 2, 1 << 20):
        assert decompress(compressor, method, packed, dsize) == lib.JX_ECORRUPT
    assert decompress(compressor, method, packed, (1 << 20) + 1) == lib.JX_ECORRUPT
    for cut in range(len(packed) - 5):
        assert decompress(compressor, method, packed[:cut], len(data)) == lib.JX_ECORRUPT


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(list(range(8))), st.integers(0, 5000))
def test_hostile_bytes(compressor, packed, method, dsize):
    got = decompress(compressor, method, packed, dsize)
    assert got in (lib.JX_ECORRUPT, lib.JX_EUNKNOWN_COMPR) or len(got) == dsize


@pytest.mark.parametrize("name", METHODS)
def test_damaged_streams_never_leave_their_memory(compressor, name):
    data = CHUNKS["text"]
    method, packed = compress(compressor, METHODS[name], data)
    rng = random.Random(3)
    for _ in range(500):
        damaged = bytearray(packed)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        got = decompress(compressor, method, bytes(damaged), len(data))
        assert got == lib.JX_ECORRUPT or len(got) == len(data)


@pytest.mark.parametrize(
    "header", [b"\x78\x9d", b"\x78\xbb", b"\x79\x9b", b"\x88\x1c", b"\x00\x00"], ids=lambda header: header.hex()
)
def test_headers_that_the_kernel_does_not_take(compressor, header):
    """Wrong check, preset dictionary, another method, a window beyond 32 KiB."""
    packed = header + zlib.compress(CHUNKS["text"])[2:]
    assert decompress(compressor, lib.JX_COMPR_ZLIB, packed, 4096) == lib.JX_ECORRUPT


def test_methods_that_this_build_cannot_read(compressor):
    for method in (lib.JX_COMPR_COPY, 9, 255):
        assert decompress(compressor, method, b"abc", 3) == lib.JX_EUNKNOWN_COMPR


def test_usercompr_counts_as_in_the_kernel(compressor):
    data = CHUNKS["text"]
    method, packed = compress(compressor, lib.JX_USE_ZLIB, data)
    assert decompress(compressor, method | 6 << 8, packed, len(data)) == data
    method, packed = compress(compressor, lib.JX_USE_LZO, data)
    assert decompress(compressor, method | 7 << 8, packed, len(data)) == lib.JX_EUNKNOWN_COMPR


def test_stored_data_has_one_size(compressor):
    assert decompress(compressor, lib.JX_COMPR_NONE, b"abc", 3) == b"abc"
    assert decompress(compressor, lib.JX_COMPR_NONE, b"abc", 4) == lib.JX_ECORRUPT
    assert decompress(compressor, lib.JX_COMPR_NONE, b"abc", 2) == lib.JX_ECORRUPT
    assert decompress(compressor, lib.JX_COMPR_ZERO, b"", 5) == bytes(5)
