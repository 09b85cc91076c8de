import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jffs2tx import acl
from jffs2tx.xattr import xattr_from_medium, xattr_to_medium

# u::rw- u:1000:rwx g::r-- m::rwx o::---
ENTRIES = [(0x01, 6, None), (0x02, 7, 1000), (0x04, 4, None), (0x10, 7, None), (0x20, 0, None)]
VFS = bytes.fromhex(
    "02000000"
    "01000600ffffffff" "02000700e8030000" "04000400ffffffff" "10000700ffffffff" "20000000ffffffff"
)  # fmt: skip
LITTLE = bytes.fromhex("010000000100060002000700e8030000040004001000070020000000")
BIG = bytes.fromhex("000000010001000600020007000003e8000400040010000700200000")


def vfs(*entries):
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", t, p, acl.NO_ID if i is None else i) for t, p, i in entries
    )


def test_both_byte_orders():
    assert vfs(*ENTRIES) == VFS
    assert acl.to_medium(VFS, "little") == LITTLE
    assert acl.to_medium(VFS, "big") == BIG
    assert acl.from_medium(LITTLE, "little") == VFS
    assert acl.from_medium(BIG, "big") == VFS


perms = st.integers(0, 7)
ids = st.integers(0, 0xFFFFFFFE)


@st.composite
def acls(draw):
    users = draw(st.lists(st.tuples(st.just(0x02), perms, ids), max_size=5))
    groups = draw(st.lists(st.tuples(st.just(0x08), perms, ids), max_size=5))
    mask = [(0x10, draw(perms), None)] if users or groups or draw(st.booleans()) else []
    return vfs((1, draw(perms), None), *users, (4, draw(perms), None), *groups, *mask, (0x20, draw(perms), None))


@given(acls(), st.sampled_from(["little", "big"]))
def test_round_trip(value, endian):
    assert acl.from_medium(acl.to_medium(value, endian), endian) == value


@given(st.binary(max_size=64), st.sampled_from(["little", "big"]))
def test_anything_on_the_medium_is_read_or_refused(data, endian):
    try:
        value = acl.from_medium(struct.pack({"little": "<I", "big": ">I"}[endian], 1) + data, endian)
    except ValueError:
        return
    assert value is None or len(value) % 8 == 4


def test_an_acl_without_entries_is_none():
    assert acl.from_medium(LITTLE[:4], "little") is None
    assert xattr_from_medium(3, b"", LITTLE[:4], "little") is None


@pytest.mark.parametrize(
    "data", [b"", LITTLE[:3], BIG, LITTLE[:-1], LITTLE[:-4], LITTLE + b"\x20\0\0\0", LITTLE[:4] + b"\x40\0\0\0"]
)
def test_malformed_on_the_medium(data):
    with pytest.raises(ValueError, match="the ACL"):
        acl.from_medium(data, "little")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        VFS[:3],
        b"\x01" + VFS[1:],
        VFS[:-1],
        VFS[:-8],  # no other
        vfs(ENTRIES[0], ENTRIES[1], ENTRIES[2], ENTRIES[4]),  # a name without a mask
        vfs(*ENTRIES[1:], ENTRIES[0]),
        vfs((1, 8, None), (4, 0, None), (0x20, 0, None)),
        vfs((1, 7, None), (2, 7, None), (4, 0, None), (0x10, 0, None), (0x20, 0, None)),
        vfs((1, 7, None), (4, 0, None), (0x40, 0, None)),
        VFS[:4],
    ],
)
def test_malformed_from_the_vfs(value):
    with pytest.raises(ValueError, match="the ACL"):
        acl.to_medium(value, "little")


@pytest.mark.parametrize(
    ("name", "code", "short"),
    [(b"user.a", 1, b"a"), (b"security.selinux", 2, b"selinux"), (b"trusted.x.y", 5, b"x.y")],
)
def test_prefixes(name, code, short):
    assert xattr_to_medium(name, b"value", "big") == (code, short, b"value")
    assert xattr_from_medium(code, short, b"value", "big") == (name, b"value")


def test_acls_are_whole_names():
    assert xattr_to_medium(b"system.posix_acl_access", VFS, "big") == (3, b"", BIG)
    assert xattr_to_medium(b"system.posix_acl_default", VFS, "little") == (4, b"", LITTLE)
    assert xattr_from_medium(4, b"", BIG, "big") == (b"system.posix_acl_default", VFS)


@pytest.mark.parametrize("name", [b"user.", b"system.posix_acl", b"system.posix_acl_access.x", b"other.a", b""])
def test_names_that_jffs2_cannot_hold(name):
    with pytest.raises(ValueError, match="cannot hold the attribute"):
        xattr_to_medium(name, b"", "little")


def test_an_unknown_prefix_shows_nothing():
    assert xattr_from_medium(9, b"a", b"b", "little") is None
