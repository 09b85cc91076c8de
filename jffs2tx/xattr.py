"""Extended attributes between their full names, as the VFS shows them, and JFFS2's prefix codes."""

from __future__ import annotations

from jffs2tx import acl
from jffs2tx.errors import InvalidValue, printable

#: JFFS2_XPREFIX_*. A prefix that ends in a dot is followed by the name on the medium; the others are the whole name.
PREFIXES = {
    1: b"user.",
    2: b"security.",
    3: b"system.posix_acl_access",
    4: b"system.posix_acl_default",
    5: b"trusted.",
}


def xattr_to_medium(full_name: bytes, value: bytes, endian: str) -> tuple[int, bytes, bytes]:
    """Prefix code, name and data as they stand on the medium. Raises InvalidValue for what JFFS2 cannot hold."""
    for code, prefix in PREFIXES.items():
        if full_name == prefix and not prefix.endswith(b"."):
            try:
                return code, b"", acl.to_medium(value, endian)
            except ValueError as error:
                raise InvalidValue(f"attribute '{printable(full_name)}': {error}") from None
        if prefix.endswith(b".") and full_name.startswith(prefix) and full_name != prefix:
            return code, full_name[len(prefix) :], value
    raise InvalidValue(f"JFFS2 cannot hold the attribute '{printable(full_name)}'")


def xattr_from_medium(xprefix: int, name: bytes, data: bytes, endian: str) -> tuple[bytes, bytes] | None:
    """Full name and value as the VFS shows them; None where it shows nothing (an unknown prefix, an empty ACL).

    Raises ValueError for a malformed ACL.
    """
    prefix = PREFIXES.get(xprefix)
    if prefix is None:
        return None
    if prefix.endswith(b"."):
        return prefix + name, data
    value = acl.from_medium(data, endian)
    return None if value is None else (prefix, value)
