"""The C codec, judged by jffs2tx/format.py in both directions, and both of them by mkfs.jffs2's images."""

import contextlib
import os
import random
import re
import shutil
import subprocess
import zlib
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jffs2tx import format as fmt
from jffs2tx._ffi import ffi, lib
from jffs2tx.errors import FormatError, InvalidValue
from jffs2tx.format import NodeType

ORDERS = {"little": lib.JX_LITTLE, "big": lib.JX_BIG}
orders = st.sampled_from(list(ORDERS))
u8, u16, u32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
names = st.binary(min_size=1, max_size=254).filter(lambda name: b"\0" not in name)


def numbers(**given_ones):
    return st.fixed_dictionaries(given_ones)


NODES = {
    NodeType.INODE: numbers(
        **dict.fromkeys(["ino", "version", "mode", "isize", "atime", "mtime", "ctime", "offset", "dsize"], u32),
        **dict.fromkeys(["uid", "gid", "flags"], u16),
        **dict.fromkeys(["compr", "usercompr"], u8),
        data=st.binary(max_size=300),
    ),
    NodeType.DIRENT: numbers(**dict.fromkeys(["pino", "version", "ino", "mctime"], u32), type=u8, name=names),
    NodeType.XATTR: numbers(
        xid=u32, version=u32, xprefix=u8, name=st.binary(max_size=255), value=st.binary(max_size=90)
    ),
    NodeType.XREF: numbers(ino=u32, xid=u32, xseqno=u32),
}
C_NODES = {  # type and decoder; the encoder has the same arguments but for the payload
    NodeType.INODE: ("struct jx_inode", lib.jx_decode_inode),
    NodeType.DIRENT: ("struct jx_dirent", lib.jx_decode_dirent),
    NodeType.XATTR: ("struct jx_xattr", lib.jx_decode_xattr),
    NodeType.XREF: ("struct jx_xref", lib.jx_decode_xref),
}
SAMPLES = {
    NodeType.INODE: {"ino": 7, "version": 3, "mode": 0o100644, "uid": 10, "gid": 20, "isize": 9}
    | {"atime": 1, "mtime": 2, "ctime": 3, "offset": 4, "dsize": 5}
    | {"compr": 0, "usercompr": 0, "flags": 0, "data": b"hello"},
    NodeType.DIRENT: {"pino": 1, "version": 9, "ino": 7, "mctime": 5, "type": 8, "name": b"name"},
    NodeType.XATTR: {"xid": 2, "version": 1, "xprefix": 1, "name": b"color", "value": b"blue"},
    NodeType.XREF: {"ino": 7, "xid": 2, "xseqno": 4},
}


def node_values(kind):
    return st.tuples(st.just(kind), NODES[kind])


any_node = st.sampled_from(list(NODES)).flatmap(node_values)


def c_encode(kind, order, values):
    """What the C encoder makes of it; what lies behind stays untouched."""
    payload = {name: values[name] for name in ("data", "name", "value") if name in values}
    lengths = {"data": "csize", "name": "nsize" if kind == NodeType.DIRENT else "name_len", "value": "value_len"}
    numeric = {name: value for name, value in values.items() if name not in payload}
    numeric |= {lengths[name]: len(value) for name, value in payload.items()}
    out = exactly(b"\xa5" * 700)
    struct = ffi.new(C_NODES[kind][0] + " *", numeric)
    encode = getattr(lib, f"jx_encode_{kind.name.lower()}")
    totlen = encode(ORDERS[order], out, struct, *(ffi.from_buffer(value) for value in payload.values()))
    assert set(ffi.buffer(out)[totlen:]) == {0xA5}
    return bytes(ffi.buffer(out, totlen))


def c_fields(struct):
    return {name: getattr(struct, name) for name, _ in ffi.typeof(struct).item.fields}


def c_decode(kind, order, raw):
    """The check that the C decoder answers with, and the fields."""
    struct = ffi.new(C_NODES[kind][0] + " *")
    check = C_NODES[kind][1](ORDERS[order], exactly(raw), struct)
    return check, c_fields(struct)


def c_header(order, raw):
    struct = ffi.new("struct jx_header *")
    check = lib.jx_decode_header(ORDERS[order], exactly(raw[:12]), struct)
    return check, c_fields(struct)


def exactly(raw):
    """Memory of just this size, so that a sanitizer sees each byte read too many."""
    return ffi.new("uint8_t[]", list(raw))


# ---- CRC ----


@settings(deadline=None)
@given(st.binary(max_size=200), u32)
def test_crc_is_zlibs_without_the_inversions(data, seed):
    right = zlib.crc32(data, seed ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    assert lib.jx_crc32(seed, ffi.from_buffer(data), len(data)) == right
    assert fmt.crc32(data, seed) == right


def test_crc_of_nothing_is_the_seed():
    assert lib.jx_crc32(0x12345678, ffi.NULL, 0) == 0x12345678


# ---- nodes, both ways ----


@settings(deadline=None)
@given(any_node, orders)
def test_both_write_the_same_bytes(node, order):
    kind, values = node
    assert c_encode(kind, order, values) == fmt.build(kind, order, **values)


@settings(deadline=None)
@given(any_node, orders)
def test_the_core_reads_what_the_description_writes(node, order):
    kind, values = node
    raw = fmt.build(kind, order, **values)
    check, fields = c_decode(kind, order, raw)
    assert check == lib.JX_GOOD
    right = fmt.parse(raw, order).fields
    assert fields == {name: right[name] for name in fields}


@settings(deadline=None)
@given(any_node, orders)
def test_the_description_reads_what_the_core_writes(node, order):
    kind, values = node
    parsed = fmt.parse(c_encode(kind, order, values), order)
    assert parsed.wrong == ()
    assert parsed.kind == kind
    assert {name: parsed.fields[name] for name in values} == values


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", SAMPLES)
def test_obsolete_nodes_keep_their_crcs(kind, order):
    raw = fmt.build(kind & ~fmt.ACCURATE, order, **SAMPLES[kind])
    check, header = c_header(order, raw)
    assert (check, header["nodetype"]) == (lib.JX_GOOD, kind & ~fmt.ACCURATE)
    assert c_decode(kind, order, raw)[0] == lib.JX_GOOD
    parsed = fmt.parse(raw, order)
    assert parsed.obsolete and parsed.kind == kind and parsed.wrong == ()


@settings(deadline=None)
@given(st.integers(0, 0xFFFF), u32, orders)
@example(NodeType.CLEANMARKER, 12, "little")
@example(NodeType.PADDING, 12, "big")
def test_headers(nodetype, totlen, order):
    out = ffi.new("uint8_t[12]")
    assert lib.jx_encode_header(ORDERS[order], out, nodetype, totlen) == totlen
    raw = bytes(ffi.buffer(out))
    check, fields = c_header(order, raw)
    assert check == lib.JX_GOOD
    assert (fields["magic"], fields["nodetype"], fields["totlen"]) == (fmt.MAGIC, nodetype, totlen)
    other = "big" if order == "little" else "little"
    assert c_header(other, raw)[0] == lib.JX_BAD_MAGIC
    if totlen == 12 and nodetype | fmt.ACCURATE not in SAMPLES:
        assert raw == fmt.build(nodetype, order)


# ---- every flipped bit is noticed ----


def c_verdict(kind, order, raw):
    """As a scan judges: header, node, then name or data."""
    check, header = c_header(order, raw)
    if check != lib.JX_GOOD:
        return check
    if not header["nodetype"] & fmt.ACCURATE:
        return "obsolete"
    check, fields = c_decode(kind, order, raw)
    if check != lib.JX_GOOD or kind == NodeType.XREF:
        return check
    if kind == NodeType.DIRENT:
        payload, crc, bad = raw[40 : 40 + fields["nsize"]], fields["name_crc"], lib.JX_BAD_NAME_CRC
    elif kind == NodeType.INODE:
        payload, crc, bad = raw[68 : 68 + fields["csize"]], fields["data_crc"], lib.JX_BAD_DATA_CRC
    else:
        payload = raw[32 : 32 + fields["name_len"] + 1 + fields["value_len"]]
        crc, bad = fields["data_crc"], lib.JX_BAD_DATA_CRC
    return lib.JX_GOOD if lib.jx_crc32(0, payload, len(payload)) == crc else bad


def right_verdict(kind, order, raw, bit):
    byte = bit // 8
    accurate_byte = 3 if order == "little" else 2
    if (byte, bit % 8) == (accurate_byte, 5):
        return "obsolete"
    if byte < 12:
        return lib.JX_BAD_MAGIC if byte < 2 else lib.JX_BAD_HEADER_CRC
    if kind == NodeType.INODE:
        return lib.JX_BAD_NODE_CRC if byte < 60 or 64 <= byte < 68 else lib.JX_BAD_DATA_CRC
    if kind == NodeType.DIRENT:
        return lib.JX_BAD_NODE_CRC if byte < 36 else lib.JX_BAD_NAME_CRC
    if kind == NodeType.XREF or byte < 32:
        return lib.JX_BAD_NODE_CRC
    # No CRC covers the filling behind an attribute's value.
    return lib.JX_BAD_DATA_CRC if byte < 32 + len("color") + 1 + len("blue") else lib.JX_GOOD


def flipped(raw, bit):
    return raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :]


def description_verdict(order, raw):
    """The same judgement by format.py alone."""
    try:
        node = fmt.parse(raw, order)
    except FormatError:
        return "no node"
    return "obsolete" if node.obsolete and "hdr_crc" not in node.wrong else node.wrong


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", SAMPLES)
def test_every_flipped_bit_is_noticed(kind, order):
    raw = fmt.build(kind, order, **SAMPLES[kind])
    assert c_verdict(kind, order, raw) == lib.JX_GOOD
    for bit in range(8 * len(raw)):
        damaged = flipped(raw, bit)
        right = right_verdict(kind, order, raw, bit)
        assert c_verdict(kind, order, damaged) == right, f"bit {bit}"
        assert (description_verdict(order, damaged) == ()) == (right == lib.JX_GOOD), f"bit {bit}"


@pytest.mark.parametrize("order", ORDERS)
def test_lengths_that_readers_refuse(order):
    raw = fmt.build(NodeType.XREF, order, totlen=32, filling=b"\xff" * 4, **SAMPLES[NodeType.XREF])
    assert c_decode(NodeType.XREF, order, raw)[0] == lib.JX_BAD_LENGTH
    assert fmt.parse(raw, order).wrong == ("totlen",)
    raw = fmt.build(NodeType.XATTR, order, totlen=48, filling=b"\xff" * 6, **SAMPLES[NodeType.XATTR])
    assert c_decode(NodeType.XATTR, order, raw)[0] == lib.JX_BAD_LENGTH
    assert fmt.parse(raw, order).wrong == ("totlen",)


# ---- device numbers ----


@pytest.mark.parametrize(
    ("major", "minor", "little", "big"),
    [
        (5, 1, "0105", "0501"),
        (255, 255, "ffff", "ffff"),
        (256, 0, "00000100", "00010000"),
        (8, 256, "00081000", "00100800"),
        (4095, (1 << 20) - 1, "ffffffff", "ffffffff"),
        (259, 70000, "70031111", "11110370"),
    ],
)
def test_device_numbers_on_the_medium(major, minor, little, big):
    for order, right in (("little", little), ("big", big)):
        out = ffi.new("uint8_t[4]")
        length = lib.jx_encode_dev(ORDERS[order], major, minor, out)
        assert bytes(ffi.buffer(out, length)).hex() == right


@settings(deadline=None)
@given(st.integers(0, 4095), st.integers(0, (1 << 20) - 1), orders)
def test_device_numbers_return(major, minor, order):
    out = ffi.new("uint8_t[4]")
    length = lib.jx_encode_dev(ORDERS[order], major, minor, out)
    assert length == (2 if major < 256 and minor < 256 else 4)
    got = ffi.new("uint32_t[2]")
    assert lib.jx_decode_dev(ORDERS[order], out, length, got, got + 1) == lib.JX_OK
    assert list(got) == [major, minor]


@pytest.mark.parametrize(("major", "minor"), [(4096, 0), (0, 1 << 20), (2**32 - 1, 0), (0, 2**32 - 1), (4096, 1)])
def test_device_numbers_that_do_not_fit_are_never_cut(major, minor):
    assert lib.jx_encode_dev(lib.JX_LITTLE, major, minor, ffi.new("uint8_t[4]")) == lib.JX_EINVAL


@pytest.mark.parametrize("length", [0, 1, 3, 5, 2**32 - 1])
def test_device_data_of_a_strange_size(length):
    got = ffi.new("uint32_t[2]")
    assert lib.jx_decode_dev(lib.JX_LITTLE, ffi.new("uint8_t[8]"), length, got, got + 1) == lib.JX_ECORRUPT


# ---- summaries ----


def entry_values(offset, totlen):
    """One entry of any kind for a node that stands there."""
    place = {"offset": st.just(offset), "totlen": st.just(totlen)}
    dirent = numbers(
        nodetype=st.just(NodeType.DIRENT), pino=u32, version=u32, ino=u32, type=u8, name=st.binary(max_size=40), **place
    )
    return st.one_of(
        numbers(nodetype=st.just(NodeType.INODE), ino=u32, version=u32, **place),
        dirent,
        numbers(nodetype=st.just(NodeType.XATTR), xid=u32, version=u32, **place),
        numbers(nodetype=st.just(NodeType.XREF), offset=st.just(offset)),
    )


@st.composite
def summaries(draw):
    """Entries one behind the other; the summary that lists them; its offset and length in a block of 64 KiB."""
    entries, at = [], 12
    for totlen in draw(st.lists(st.integers(28, 4200), max_size=8)):
        entries.append(draw(entry_values(at, totlen)))
        at = fmt.pad4(at + totlen)
    need = 40 + sum(entry_size(entry) for entry in entries)
    offset = 65536 - fmt.pad4(need + draw(st.integers(0, 600)))
    return entries, offset, 65536 - offset


def entry_size(entry):
    return {NodeType.DIRENT: 24, NodeType.INODE: 18, NodeType.XATTR: 18, NodeType.XREF: 6}[entry["nodetype"]] + len(
        entry.get("name", b"")
    )


def c_entry(entry):
    """An entry as struct jx_summary_entry has it."""
    result = {name: entry.get(name, 0) for name in ("nodetype", "version", "offset", "type")}
    result["totlen"] = entry.get("totlen", 28)
    result["ino"] = entry.get("pino", entry.get("xid", entry.get("ino", 0)))
    result["child"] = entry["ino"] if "pino" in entry else 0
    result["nsize"] = len(entry.get("name", b""))
    return result


def c_encode_summary(order, entries, offset, total, cln_mkr=12, padded=0):
    texts = [ffi.new("char[]", entry["name"]) if "name" in entry else ffi.NULL for entry in entries]
    out = ffi.new("uint8_t[]", max(total, 1))
    array = ffi.new("struct jx_summary_entry[]", [c_entry(entry) for entry in entries])
    code = lib.jx_encode_summary(
        ORDERS[order], out, total, offset, cln_mkr, padded, array, ffi.new("char *[]", texts), len(entries)
    )
    return bytes(ffi.buffer(out, code)) if code >= 0 else code


def c_decode_summary(order, raw):
    """check, fields, entries: each with its name where it has one."""
    memory = exactly(raw)
    struct = ffi.new("struct jx_summary *")
    check = lib.jx_decode_summary(ORDERS[order], memory, len(raw), struct)
    entries, pos, entry = [], ffi.new("uint32_t *", 32), ffi.new("struct jx_summary_entry *")
    for _ in range(min(struct.sum_num, len(raw))):
        code = lib.jx_decode_summary_entry(ORDERS[order], memory, len(raw), pos, entry)
        if code != 1:
            return check, c_fields(struct), code
        assert lib.jx_summary_entry_size(entry) <= pos[0] - 32
        assert pos[0] <= len(raw) - 8
        fields = c_fields(entry)
        name_at = fields.pop("name_at")
        entries.append((fields, raw[name_at : name_at + entry.nsize] if entry.nodetype == NodeType.DIRENT else None))
    return check, c_fields(struct), entries


@settings(deadline=None)
@given(summaries(), orders, u32, u32)
def test_summaries_both_ways(summary, order, cln_mkr, padded):
    entries, offset, total = summary
    raw = c_encode_summary(order, entries, offset, total, cln_mkr, padded)
    assert raw == fmt.build(
        NodeType.SUMMARY,
        order,
        totlen=total,
        cln_mkr=cln_mkr,
        padded=padded,
        entries=entries,
        marker_offset=offset,
    )
    check, fields, decoded = c_decode_summary(order, raw)
    assert check == lib.JX_GOOD
    assert (fields["sum_num"], fields["cln_mkr"], fields["padded"]) == (len(entries), cln_mkr, padded)
    assert decoded == [(c_entry(entry), entry.get("name")) for entry in entries]
    parsed = fmt.parse(raw, order)
    assert parsed.wrong == () and parsed.fields.marker_magic == fmt.SUMMARY_MAGIC


LISTED = [
    {"nodetype": NodeType.INODE, "ino": 5, "version": 1, "offset": 12, "totlen": 100},
    {
        "nodetype": NodeType.DIRENT,
        "pino": 1,
        "version": 2,
        "ino": 5,
        "type": 8,
        "name": b"n",
        "offset": 112,
        "totlen": 41,
    },
    {"nodetype": NodeType.XATTR, "xid": 1, "version": 1, "offset": 156, "totlen": 40},
    {"nodetype": NodeType.XREF, "offset": 196},
]


@pytest.mark.parametrize("order", ORDERS)
def test_every_flipped_bit_of_a_summary_is_noticed(order):
    raw = c_encode_summary(order, LISTED, 300, 128)
    struct = ffi.new("struct jx_summary *")
    for bit in range(8 * len(raw)):
        byte, damaged = bit // 8, flipped(raw, bit)
        right = lib.JX_BAD_MAGIC if byte < 2 else lib.JX_BAD_HEADER_CRC if byte < 12 else lib.JX_BAD_NODE_CRC
        right = lib.JX_BAD_DATA_CRC if 24 <= byte < 28 or byte >= 32 else right
        assert lib.jx_decode_summary(ORDERS[order], exactly(damaged), len(raw), struct) == right, f"bit {bit}"
        assert description_verdict(order, damaged) != ()


def test_summaries_of_another_length():
    raw = c_encode_summary("little", LISTED, 300, 128)
    struct = ffi.new("struct jx_summary *")
    for length in (0, 12, 39, 124):
        assert lib.jx_decode_summary(lib.JX_LITTLE, exactly(raw[:length]), length, struct) == lib.JX_BAD_LENGTH


@pytest.mark.parametrize(
    ("entries", "offset", "total"),
    [
        pytest.param(LISTED, 300, 40 + 18 + 25 + 18 + 6 - 1, id="one byte too small"),
        pytest.param([], 300, 39, id="no room for the frame"),
        pytest.param(LISTED, 220, 128, id="over a listed node"),
        pytest.param(LISTED, 301, 128, id="not aligned"),
        pytest.param(LISTED[::-1], 300, 128, id="descending"),
        pytest.param([LISTED[0], LISTED[0] | {"offset": 108}], 300, 128, id="overlapping"),
        pytest.param([LISTED[0] | {"totlen": 0xFFFFFFFF}], 300, 128, id="wraps around"),
        pytest.param([LISTED[0] | {"nodetype": NodeType.PADDING}], 300, 128, id="a type that summaries do not know"),
        pytest.param([LISTED[0] | {"nodetype": 0xC002}], 300, 128, id="an obsolete node"),
    ],
)
def test_summaries_that_no_reader_could_take(entries, offset, total):
    assert c_encode_summary("little", entries, offset, total) == lib.JX_EINVAL


def test_the_smallest_summary_that_fits():
    total = 40 + 18 + 25 + 18 + 6
    assert len(c_encode_summary("little", LISTED, 300, total)) == total


@settings(deadline=None)
@given(st.binary(max_size=200), orders, u32)
@example(b"\0" * 32 + b"\x01\xe0" + b"\0" * 20 + b"\xff" + b"\0" * 30, "little", 32)
@example(b"\0" * 32 + b"\x09\xe0" + b"\0" * 11, "little", 32)
def test_entries_in_hostile_bytes_stay_inside(raw, order, start):
    memory, entry = exactly(raw), ffi.new("struct jx_summary_entry *")
    for begin in (32, start, start % 256):
        pos = ffi.new("uint32_t *", begin)
        while (code := lib.jx_decode_summary_entry(ORDERS[order], memory, len(raw), pos, entry)) == 1:
            assert pos[0] <= len(raw) - 8
            assert entry.nodetype != NodeType.DIRENT or entry.name_at + entry.nsize == pos[0]
        assert code in (0, lib.JX_EFORMAT)


def test_an_entry_of_an_unknown_type_stops_the_walk():
    raw = b"\0" * 32 + b"\x04\x20" + b"\0" * 40
    pos, entry = ffi.new("uint32_t *", 32), ffi.new("struct jx_summary_entry *")
    assert lib.jx_decode_summary_entry(lib.JX_LITTLE, exactly(raw), len(raw), pos, entry) == 0
    assert (pos[0], entry.nodetype) == (32, NodeType.PADDING)


# ---- the description by itself ----


@settings(deadline=None)
@given(st.binary(max_size=120), orders, st.sampled_from([*NodeType, 0x2777]))
def test_the_description_takes_any_bytes(body, order, kind):
    raw = fmt.build(0x2777, order, filling=body)
    raw = raw[:2] + int(kind).to_bytes(2, order) + raw[4:]
    node = fmt.parse(raw, order)
    assert node.raw == raw
    assert [row.name for row in fmt.rows(node)][:4] == ["magic", "nodetype", "totlen", "hdr_crc"]


def test_the_description_refuses_what_is_no_node():
    good = fmt.build(NodeType.CLEANMARKER, "little")
    for data in (b"", good[:11], good[::-1], good[:4] + b"\x0b\0\0\0" + good[8:], good[:4] + b"\x0d\0\0\0" + good[8:]):
        with pytest.raises(FormatError):
            fmt.parse(data, "little")
    with pytest.raises(InvalidValue):
        fmt.build(NodeType.XREF, "little", ino=2**32, xid=1, xseqno=0)
    with pytest.raises(InvalidValue):
        fmt.build(NodeType.INODE, "little", ino=1)


def test_rows_say_what_is_wrong():
    raw = flipped(fmt.build(NodeType.DIRENT, "big", **SAMPLES[NodeType.DIRENT]), 8 * 40)
    notes = {row.name: row.note for row in fmt.rows(fmt.parse(raw, "big")) if row.note}
    assert notes == {"nodetype": "dirent", "type": "file", "name_crc": f"wrong: {fmt.crc32(raw[40:44]):#010x}"}


# ---- peers ----

ERASE_BYTES = 65536
OPTION = {"little": "-l", "big": "-b"}


def set_attributes(tree):
    """Attributes that the host's file system takes."""
    count = 0
    for path, name in (("data", "user.color"), ("dir", "trusted.x"), ("dir/a", "security.s")):
        with contextlib.suppress(OSError):
            os.setxattr(tree / path, name, b"some value"[: len(name)])
            count += 1
    return count


@pytest.fixture(scope="module", params=list(ORDERS))
def peer(request, tmp_path_factory):
    """Byte order, image by mkfs.jffs2, the same image through sumtool, attributes in it."""
    if not shutil.which("mkfs.jffs2"):
        pytest.skip("mtd-utils are not installed")
    work = tmp_path_factory.mktemp(request.param)
    tree = work / "tree"
    (tree / "dir").mkdir(parents=True)
    (tree / "data").write_bytes(random.Random(1).randbytes(150_000))
    (tree / "dir" / "a").write_bytes(b"some text " * 900)
    (tree / "link").symlink_to("dir/a")
    attributes = set_attributes(tree)
    (work / "table").write_text("/dev d 755 0 0 - - - - -\n/dev/console c 600 0 0 5 1 - - -\n")
    common = [OPTION[request.param], "-e", f"{ERASE_BYTES}"]
    image, summed = work / "image", work / "summed"
    make = ["mkfs.jffs2", *common, "--with-xattr", "-r", tree, "-D", work / "table", "-o", image]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(["sumtool", *common, "-p", "-i", image, "-o", summed], check=True, capture_output=True)
    return request.param, image, summed, attributes


def test_peers_nodes_decode_alike_and_encode_to_the_same_bytes(peer):
    order, image, summed, attributes = peer
    seen = Counter()
    for data in (image.read_bytes(), summed.read_bytes()):
        for node in fmt.walk(data, order, ERASE_BYTES):
            assert node.wrong == ()
            assert c_header(order, node.raw)[0] == lib.JX_GOOD
            seen[node.kind] += 1
            if node.kind not in C_NODES:
                continue
            assert c_verdict(node.kind, order, node.raw) == lib.JX_GOOD
            _check, fields = c_decode(node.kind, order, node.raw)
            assert fields == {name: node.fields[name] for name in fields}
            values = {name: node.fields[name] for name in SAMPLES[node.kind]}
            assert c_encode_large(node.kind, order, values) == node.raw
    assert seen[NodeType.INODE] > 80 and seen[NodeType.DIRENT] == 12 and seen[NodeType.SUMMARY] == 2
    assert seen[NodeType.CLEANMARKER] >= 5
    if attributes:
        assert seen[NodeType.XATTR] >= 2 * attributes and seen[NodeType.XREF] >= 2 * attributes


def c_encode_large(kind, order, values):
    """c_encode for nodes with a whole page of data."""
    if kind != NodeType.INODE:
        return c_encode(kind, order, values)
    values = dict(values)
    data = values.pop("data")
    out = ffi.new("uint8_t[]", 68 + len(data))
    struct = ffi.new("struct jx_inode *", values | {"csize": len(data)})
    return bytes(ffi.buffer(out, lib.jx_encode_inode(ORDERS[order], out, struct, data)))


def test_peers_summaries_are_ours_byte_for_byte(peer):
    order, _, summed, _ = peer
    nodes = list(fmt.walk(summed.read_bytes(), order, ERASE_BYTES))
    summaries_seen = [node for node in nodes if node.kind == NodeType.SUMMARY]
    assert summaries_seen
    for node in summaries_seen:
        entries = [{k: v for k, v in entry.items() if k != "_io"} for entry in node.fields.entries]
        offset = node.offset % ERASE_BYTES
        assert offset == node.fields.marker_offset
        assert c_encode_summary(order, entries, offset, len(node.raw), node.fields.cln_mkr) == node.raw
        check, _, decoded = c_decode_summary(order, node.raw)
        assert check == lib.JX_GOOD
        start = node.offset - offset
        here = [n for n in nodes if start <= n.offset < node.offset and n.kind in C_NODES]
        assert [fields["offset"] for fields, _ in decoded] == [n.offset - start for n in here]
        assert [fields["totlen"] for fields, _ in decoded] == [len(n.raw) for n in here]


def test_peers_device_number(peer):
    order, image, _, _ = peer
    devices = [
        node.fields.data
        for node in fmt.walk(image.read_bytes(), order, ERASE_BYTES)
        if node.kind == NodeType.INODE and node.fields.mode >> 12 == 2
    ]
    got = ffi.new("uint32_t[2]")
    assert len(devices) == 1
    assert lib.jx_decode_dev(ORDERS[order], devices[0], len(devices[0]), got, got + 1) == lib.JX_OK
    assert list(got) == [5, 1]


def test_jffs2dump_counts_the_same_nodes(peer):
    order, image, _, _ = peer
    dump = subprocess.run(
        ["jffs2dump", OPTION[order], "-c", image], check=True, capture_output=True, text=True, errors="replace"
    )
    theirs = Counter(kind.lower() for kind in re.findall(r"^\s*(Inode|Dirent|Xattr|Xref)\s+node at", dump.stdout, re.M))
    ours = Counter(fmt.kind_name(node.kind) for node in fmt.walk(image.read_bytes(), order, ERASE_BYTES))
    assert theirs == {kind: ours[kind] for kind in theirs}
    assert theirs["inode"] and theirs["dirent"]
