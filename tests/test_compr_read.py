"""Methods that are only read: rubin by an encoder of the tests, LZMA by the LZMA SDK's program and Python's module."""

import lzma
import random
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.errors import Corrupt, UnknownCompression
from jffs2tx.filesystem import FileSystem

from . import rubin
from .crafted import NOR, block, directory, dirent, inode
from .test_compr import CHUNKS
from .test_compr import decompress as unpack

NUMBERS = (lib.JX_COMPR_RUBINMIPS, lib.JX_COMPR_DYNRUBIN)
CODERS = {"fixed": rubin.fixed, "dynamic": rubin.dynamic}
LONG = [name for name in CHUNKS if len(CHUNKS[name]) > 1]

needs_sdk = pytest.mark.skipif(not shutil.which("lzma_alone"), reason="the LZMA SDK's program is missing (lzma-alone)")

#: Made once by `lzma_alone e -lc0 -lp0 -pb0 -d13`, without the 13 bytes of its header.
SDK_TEXT = b"of all the bytes that ever were the bytes that were all the same were best\n" * 20
SDK_BARE = bytes.fromhex(
    "00379aae6b80d087c17e3de01fc87f59d741fc646e36ce513a5bee8ba24b03f43c5f2f071124c71b5984eec6d2d6d1afb0b4"
    "712ab4141722827ea400"
)
SDK_PROPERTIES = bytes.fromhex("0000200000")


@pytest.fixture(scope="module")
def decompress():
    """decompress(number, packed, dsize): the bytes, or the error."""
    out = ffi.new("jx_compressor **")
    check(lib.jx_compressor_new(out))
    yield lambda number, packed, dsize: unpack(out[0], number, packed, dsize)
    lib.jx_compressor_free(out[0])


# ---- rubin ----


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("chunk", LONG)
def test_both_coders_are_told_apart_under_both_numbers(decompress, chunk, coder, number):
    data = CHUNKS[chunk]
    assert decompress(number, CODERS[coder](data), len(data)) == data


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=64, max_size=700), st.sampled_from(NUMBERS), st.sampled_from(list(CODERS)))
def test_rubin_of_anything(decompress, data, number, coder):
    assert decompress(number, CODERS[coder](data), len(data)) == data


@pytest.mark.parametrize("coder", CODERS)
def test_a_rubin_stream_that_is_cut_short(decompress, coder):
    data = CHUNKS["text"]
    packed = CODERS[coder](data)
    for left in (0, 1, 7, 8, 9, len(packed) // 2):
        assert decompress(NUMBERS[0], packed[:left], len(data)) == lib.JX_ECORRUPT


def test_more_than_the_stream_needs_is_read_as_linux_reads_it(decompress):
    data = CHUNKS["text"]
    assert decompress(lib.JX_COMPR_RUBINMIPS, rubin.dynamic(data) + bytes(9), len(data)) == data
    assert decompress(lib.JX_COMPR_DYNRUBIN, rubin.fixed(data) + bytes(9), len(data)) == data


# ---- lzma ----


def raw(data, **properties):
    """A bare stream with an end mark: Python's module makes no other."""
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 8192, **properties}]
    return lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters)


def properties(lc, lp, pb, dictionary=8192):
    return bytes([(pb * 5 + lp) * 9 + lc]) + dictionary.to_bytes(4, "little")


def sdk(tmp_path, data, lc, lp, pb):
    """(properties, stream) by the program from which vendors took their code; without an end mark."""
    (tmp_path / "in").write_bytes(data)
    command = ["lzma_alone", "e", "in", "out", f"-lc{lc}", f"-lp{lp}", f"-pb{pb}", "-d13"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    packed = (tmp_path / "out").read_bytes()
    return packed[:5], packed[13:]


@pytest.mark.parametrize("number", [lib.JX_COMPR_LZMA, lib.JX_COMPR_LZMA_PROPS])
def test_what_the_sdk_once_made(decompress, number):
    assert decompress(number, SDK_BARE, len(SDK_TEXT)) == SDK_TEXT
    assert decompress(number, SDK_PROPERTIES + SDK_BARE, len(SDK_TEXT)) == SDK_TEXT


@needs_sdk
@pytest.mark.parametrize("chunk", CHUNKS)
def test_openwrt_by_the_sdk(decompress, tmp_path, chunk):
    data = CHUNKS[chunk]
    _, stream = sdk(tmp_path, data, 0, 0, 0)
    assert decompress(lib.JX_COMPR_LZMA, stream, len(data)) == data


@needs_sdk
@pytest.mark.parametrize("chunk", ["text", "code", "noise", "one byte"])
@pytest.mark.parametrize("lc_lp_pb", [(3, 0, 2), (0, 0, 0), (0, 2, 0)])
def test_properties_in_front_by_the_sdk(decompress, tmp_path, chunk, lc_lp_pb):
    data = CHUNKS[chunk]
    head, stream = sdk(tmp_path, data, *lc_lp_pb)
    for number in (lib.JX_COMPR_LZMA_PROPS, lib.JX_COMPR_LZMA):
        assert decompress(number, head + stream, len(data)) == data


@pytest.mark.parametrize("number", [lib.JX_COMPR_LZMA, lib.JX_COMPR_LZMA_PROPS])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_streams_with_an_end_mark(decompress, chunk, number):
    data = CHUNKS[chunk]
    for packed in (raw(data, lc=0, lp=0, pb=0), raw(data), properties(1, 1, 1) + raw(data, lc=1, lp=1, pb=1)):
        assert decompress(number, packed, len(data)) == data


def test_a_dictionary_that_claims_gigabytes_costs_none(decompress):
    data = CHUNKS["text"]
    packed = properties(3, 0, 2, 0xFFFFFFFF) + raw(data)
    assert decompress(lib.JX_COMPR_LZMA_PROPS, packed, len(data)) == data


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300), st.integers(1, 5000), st.sampled_from([3, 5, 8, 0x15]))
def test_noise_never_harms(decompress, packed, dsize, number):
    got = decompress(number, packed, dsize)
    assert got == lib.JX_ECORRUPT or len(got) == dsize


def test_damaged_lzma(decompress):
    data = random.Random(1).randbytes(200) + CHUNKS["text"]
    packed = raw(data, lc=0, lp=0, pb=0)
    assert decompress(lib.JX_COMPR_LZMA, packed[: len(packed) // 2], len(data)) == lib.JX_ECORRUPT
    assert decompress(lib.JX_COMPR_LZMA, b"", 5) == lib.JX_ECORRUPT


# ---- in a file ----


def content_of(compr, packed, data, **fields):
    """The file that one node of this method makes, read back."""
    node = inode(2, 1, packed, size=len(data), compr=compr, dsize=len(data), **fields)
    with Flash.memory(NOR, block(directory(1), dirent(1, 2, b"f", 2), node)) as flash, FileSystem(flash) as fs:
        return fs.read("f")


@pytest.mark.parametrize(
    ("compr", "pack"), [(3, rubin.dynamic), (5, rubin.fixed), (8, lambda data: raw(data, lc=0, lp=0, pb=0))]
)
def test_a_file(compr, pack):
    assert content_of(compr, pack(CHUNKS["text"]), CHUNKS["text"]) == CHUNKS["text"]
    with pytest.raises(Corrupt):
        content_of(compr, pack(CHUNKS["text"])[:40], CHUNKS["text"])


def test_usercompr_counts_for_the_newer_methods_only():
    """jffs2_decompress."""
    packed = raw(CHUNKS["text"], lc=0, lp=0, pb=0)
    assert content_of(0, b"plain", b"plain", usercompr=6) == b"plain"
    assert content_of(3, rubin.dynamic(CHUNKS["text"]), CHUNKS["text"], usercompr=6) == CHUNKS["text"]
    with pytest.raises(UnknownCompression):
        content_of(8, packed, CHUNKS["text"], usercompr=6)
