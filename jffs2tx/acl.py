"""POSIX ACLs, as the VFS shows them in system.posix_acl_* and as JFFS2 keeps them.

The VFS form (posix_acl_xattr.h) is little-endian everywhere: version 2, then tag, permissions and id for each entry.
The medium's (fs/jffs2/acl.c) is in the image's byte order: version 1, and only named users and groups carry an id.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

VFS_VERSION = 2
MEDIUM_VERSION = 1
NO_ID = 0xFFFFFFFF
PERM_MAX = 7

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NAMED = (USER, GROUP)
_LETTERS = {USER_OBJ: "u", USER: "U", GROUP_OBJ: "g", GROUP: "G", MASK: "m", OTHER: "o"}
#: posix_acl_valid: this order; a mask where a user or a group is named.
_VALID = re.compile("u(g|U*gG*m)o")

_VFS_ENTRY = struct.Struct("<HHI")
_ORDERS = {"little": "<", "big": ">"}
_LONG_BYTES = 8
_SHORT_BYTES = 4
_SHORT_COUNT = 4  # jffs2_acl_count: of five entries and more, so many are short


class AclEntry(NamedTuple):
    tag: int
    perm: int
    id: int = NO_ID


def from_medium(data: bytes, endian: str) -> bytes | None:
    """The VFS form; None for an ACL without entries, which the kernel takes for none (jffs2_acl_from_medium).

    Raises ValueError where the kernel refuses it.
    """
    order = _ORDERS[endian]
    if len(data) < 4 or struct.unpack_from(order + "I", data)[0] != MEDIUM_VERSION:
        raise ValueError("the ACL is not of version 1")
    entries = []
    at = 4
    while at < len(data):
        tag = struct.unpack_from(order + "H", data, at)[0] if at + _SHORT_BYTES <= len(data) else None
        size = _LONG_BYTES if tag in _NAMED else _SHORT_BYTES
        if tag not in _LETTERS or at + size > len(data):
            raise ValueError("the ACL holds a malformed entry")
        fields = struct.unpack_from(order + ("HHI" if tag in _NAMED else "HH"), data, at)
        entries.append(AclEntry(*fields))
        at += size
    if len(data) != _medium_bytes(len(entries)):
        raise ValueError("the ACL has the wrong length for its entries")
    if not entries:
        return None
    return struct.pack("<I", VFS_VERSION) + b"".join(_VFS_ENTRY.pack(*entry) for entry in entries)


def to_medium(value: bytes, endian: str) -> bytes:
    """The medium's form (jffs2_acl_to_medium). Raises ValueError for what setxattr(2) would refuse."""
    entries = _parse_vfs(value)
    if not _VALID.fullmatch("".join(_LETTERS[entry.tag] for entry in entries)):
        raise ValueError("the ACL's entries are incomplete or out of order")
    order = _ORDERS[endian]
    packed = (
        struct.pack(order + "HHI", *entry) if entry.tag in _NAMED else struct.pack(order + "HH", *entry[:2])
        for entry in entries
    )
    return struct.pack(order + "I", MEDIUM_VERSION) + b"".join(packed)


def _parse_vfs(value: bytes) -> list[AclEntry]:
    if len(value) < 4 or struct.unpack_from("<I", value)[0] != VFS_VERSION:
        raise ValueError("the ACL is not of version 2")
    if len(value) % _VFS_ENTRY.size != 4:
        raise ValueError("the ACL is cut short")
    entries = [AclEntry(*fields) for fields in _VFS_ENTRY.iter_unpack(value[4:])]
    for entry in entries:
        if entry.tag not in _LETTERS or entry.perm > PERM_MAX:
            raise ValueError("the ACL holds a malformed entry")
        if entry.tag in _NAMED and entry.id == NO_ID:
            raise ValueError("the ACL names no user or group where it should")
    return entries


def _medium_bytes(count: int) -> int:
    """jffs2_acl_size: how long an ACL of so many entries must be."""
    short = min(count, _SHORT_COUNT)
    return 4 + short * _SHORT_BYTES + (count - short) * _LONG_BYTES
