"""The manifest: a whole tree as text, in the manner of mtree(5).

The first line is `#jffs2tx manifest 1`; then one line for each path, sorted as `LC_ALL=C sort` sorts them, the root
`.` included. Keywords come in this order when written, in any order when read:

    ./path type=file mode=0644 uid=0 gid=0 size=5 time=1700000000 sha256=… nlink=2 inode=1 xattr.user.a=YQ==

type: file dir link char block fifo socket. size and sha256 belong to files, `link` (the target) to symbolic links,
`device=major,minor` to devices. Lines with the same `inode` are names of one inode and agree in all but the path;
`nlink` is the number of them. In paths, targets and attribute names, bytes that are no printable ASCII, the space, `#`
and the backslash are written `\\ooo` (octal), in attribute names `=` too. Attribute values are base64 of what the VFS
shows (POSIX ACLs too). Blank lines and further lines that start with `#` are ignored.

This module reads and writes text only; jffs2tx.source looks at directories.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from os import PathLike

from jffs2tx.errors import ManifestError, NoSpace
from jffs2tx.progress import ProgressCallback, format_bytes

HEADER = b"#jffs2tx manifest 1"

NAME_MAX_BYTES = 254  # JFFS2_MAX_NAME_LEN; the same limit holds for a link's target (jffs2_symlink)
ID_MAX = 0xFFFF  # uid and gid are 16 bits on the medium
TIME_MAX_SECONDS = 0xFFFFFFFF  # 32 bits, unsigned
SIZE_MAX_BYTES = 0x7FFFFFFF
DIRENT_MIN_BYTES = 44  # a header and a padded name of one byte
MODE_MAX = 0o7777
MAJOR_MAX = 0xFFF  # new_encode_dev: 12 bits of major, 20 bits of minor
MINOR_MAX = 0xFFFFF
XATTR_NAME_MAX_BYTES = 255  # XATTR_NAME_MAX, prefix included
XATTR_VALUE_MAX_BYTES = 0xFFFF  # value_len is 16 bits on the medium

XATTR_PREFIXES = (b"user.", b"security.", b"trusted.")
XATTR_WHOLE_NAMES = (b"system.posix_acl_access", b"system.posix_acl_default")

#: What each type has beside type, mode, uid, gid and time.
TYPE_KEYWORDS: dict[str, tuple[str, ...]] = {
    "file": ("size", "sha256"),
    "dir": (),
    "link": ("link",),
    "char": ("device",),
    "block": ("device",),
    "fifo": (),
    "socket": (),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of the tree. `path` has no leading slash or dot; the root's is empty."""

    path: bytes
    type: str
    mode: int
    uid: int
    gid: int
    time: int
    size: int = 0
    sha256: str | None = None
    link: bytes | None = None
    device: tuple[int, int] | None = None
    inode: int | None = None  # the hard-link group, None for a single name
    xattrs: dict[bytes, bytes] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> bytes:
        return self.path.rpartition(b"/")[2]

    @property
    def parent(self) -> bytes:
        """The path of the directory that holds it; the root's parent is the root."""
        return self.path.rpartition(b"/")[0]


class Manifest:
    """A checked tree: `entries` in the manifest's order, parents before children, the root first."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Sorts the entries, renumbers hard-link groups from 1 in order of first appearance, and checks them all.

        Raises ManifestError with the path at fault.
        """
        self.entries = tuple(_renumbered(sorted(entries, key=lambda entry: escape_path(entry.path))))
        check = _TreeCheck()
        for entry in self.entries:
            try:
                _check_entry(entry)
                check.add(entry)
            except ValueError as error:
                raise ManifestError(str(error), path=escape_path(entry.path)) from None
        check.finish()

    @classmethod
    def parse(cls, text: bytes | str, room: int | None = None) -> Manifest:
        """Reads a manifest. Raises ManifestError with the number of the line at fault.

        room: bytes of the device; NoSpace, before a line is parsed, for more paths than it has room for names.
        """
        data = text.encode() if isinstance(text, str) else text
        if room is not None:
            _check_room(data, room)
        entries: list[Entry] = []
        check = _TreeCheck()
        for number, line in _lines(data):
            token = line.split(b" ", 1)[0]
            try:
                entry, nlink = _parse_line(line)
                _check_entry(entry)
                if entries and escape_path(entry.path) < escape_path(entries[-1].path):
                    raise ValueError("not in sorted order (sort as LC_ALL=C sort does)")
                check.add(entry, nlink, number)
            except ValueError as error:
                raise ManifestError(str(error), line=number, path=token) from None
            entries.append(entry)
        check.finish()
        manifest = cls.__new__(cls)
        manifest.entries = tuple(entries)
        return manifest

    @classmethod
    def from_directory(cls, path: str | PathLike[str], progress: ProgressCallback | None = None) -> Manifest:
        """The manifest of a directory as it is; follows no symbolic link. See jffs2tx.source.Source.manifest."""
        from jffs2tx.source import Source

        with Source(path) as source:
            return source.manifest(progress)

    def to_text(self) -> bytes:
        """The text form; parse() of it gives an equal manifest, and its to_text() the same bytes."""
        names = Counter(entry.inode for entry in self.entries)
        return b"".join(line + b"\n" for line in (HEADER, *(_format(e, names[e.inode]) for e in self.entries)))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.entries == other.entries

    __hash__ = None


def escape(data: bytes, also: bytes = b"") -> bytes:
    """vis(3)-style octal escapes for all but printable ASCII, and for space, `#`, backslash and the bytes of `also`."""
    plain = bytes(set(range(0x21, 0x7F)) - set(b"\\#" + also))
    return re.sub(b"[^%s]" % re.escape(plain), lambda match: b"\\%03o" % match[0][0], data)


def escape_path(path: bytes) -> bytes:
    """A path as the manifest shows it: `.` for the root, else `./` and the escaped path. Also the sort key."""
    return b"./" + escape(path) if path else b"."


def unescape(text: bytes) -> bytes:
    """Undoes escape(). Raises ValueError for a backslash that starts no \\ooo."""

    def byte(match: re.Match[bytes]) -> bytes:
        if not match[1]:
            raise ValueError("a backslash must start an octal escape of three digits, such as \\040")
        return bytes([int(match[1], 8)])

    return re.sub(rb"\\([0-3][0-7]{2})?", byte, text)


# ---- writing ---------------------------------------------------------------------------------------------------------


def _format(entry: Entry, nlink: int) -> bytes:
    words = [
        escape_path(entry.path),
        f"type={entry.type} mode={entry.mode:04o} uid={entry.uid} gid={entry.gid}".encode(),
    ]
    if entry.type == "file":
        words.append(b"size=%d" % entry.size)
    words.append(b"time=%d" % entry.time)
    if entry.sha256 is not None:
        words.append(f"sha256={entry.sha256}".encode())
    if entry.inode is not None:
        words.append(b"nlink=%d inode=%d" % (nlink, entry.inode))
    if entry.link is not None:
        words.append(b"link=" + escape(entry.link))
    if entry.device is not None:
        words.append(b"device=%d,%d" % entry.device)
    words += (b"xattr.%s=%s" % (escape(name, b"="), _base64(entry.xattrs[name])) for name in sorted(entry.xattrs))
    return b" ".join(words)


def _base64(value: bytes) -> bytes:
    return base64.b64encode(value)


def _renumbered(entries: list[Entry]) -> Iterator[Entry]:
    names = Counter(entry.inode for entry in entries)
    numbers: dict[int, int] = {}
    for entry in entries:
        if entry.inode is None:
            yield entry
        elif names[entry.inode] == 1:
            yield replace(entry, inode=None)
        else:
            yield replace(entry, inode=numbers.setdefault(entry.inode, len(numbers) + 1))


# ---- reading ---------------------------------------------------------------------------------------------------------


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbered lines without header, comments and blank lines."""
    lines = data.split(b"\n")
    if lines[0] != HEADER:
        raise ManifestError(f"the first line must be '{HEADER.decode()}'", line=1)
    if lines.pop():
        raise ManifestError("the last line has no end: the manifest was cut short", line=len(lines) + 1)
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith(b"#"):
            yield number, line


def _check_room(data: bytes, room: int) -> None:
    """Each path takes a dirent, whose name has at least a byte. Raises NoSpace."""
    count, most = len(re.findall(rb"(?m)^[^#\s]", data)), room // DIRENT_MIN_BYTES
    if count > most:
        raise NoSpace(
            f"the manifest has {count:,} paths, and a device of {format_bytes(room)} holds at most {most:,} names"
        )


def _parse_line(line: bytes) -> tuple[Entry, int | None]:
    """The line's entry and its nlink. Raises ValueError."""
    bad = re.search(rb"[^\x20-\x7e]", line)
    if bad:
        raise ValueError(f"byte 0x{bad[0][0]:02x} must be written \\{bad[0][0]:03o}")
    path, *words = line.split()
    values, xattrs = _parse_words(words)
    kind = values.get("type")
    if kind is None:
        raise ValueError("type is missing")
    if kind not in TYPE_KEYWORDS:
        raise ValueError(f"unknown type '{kind}'")
    wanted = ("mode", "uid", "gid", "time", *TYPE_KEYWORDS[kind])
    missing = [keyword for keyword in wanted if keyword not in values]
    if missing:
        raise ValueError(f"{missing[0]} is missing for a {kind}")
    surplus = [keyword for keyword in values if keyword not in (*wanted, "type", "nlink", "inode")]
    if surplus:
        raise ValueError(f"{surplus[0]} does not belong to a {kind}")
    if ("nlink" in values) != ("inode" in values):
        raise ValueError("nlink and inode go together")
    entry = Entry(path=_parse_path(path), xattrs=xattrs, **{k: v for k, v in values.items() if k != "nlink"})
    return entry, values.get("nlink")


def _parse_words(words: list[bytes]) -> tuple[dict, dict[bytes, bytes]]:
    values: dict = {}
    xattrs: dict[bytes, bytes] = {}
    for word in words:
        key, equals, value = word.partition(b"=")
        keyword = key.decode()
        if not equals:
            raise ValueError(f"'{keyword}' is not of the form keyword=value")
        if keyword.startswith("xattr."):
            target, key, parsed = xattrs, unescape(key.removeprefix(b"xattr.")), _parse_base64(value)
        elif keyword in _PARSERS:
            target, key, parsed = values, keyword, _PARSERS[keyword](value, keyword)
        else:
            raise ValueError(f"unknown keyword '{keyword}'")
        if key in target:
            raise ValueError(f"{keyword} is given twice")
        target[key] = parsed
    return values, xattrs


def _parse_path(token: bytes) -> bytes:
    if token == b".":
        return b""
    if not token.startswith(b"./"):
        raise ValueError("a path starts with ./")
    components = token[2:].split(b"/")
    if any(b"/" in unescape(component) for component in components):
        raise ValueError("a name holds a slash")
    return unescape(token[2:])


def _parse_number(value: bytes, keyword: str) -> int:
    if not re.fullmatch(rb"-?(0|[1-9][0-9]{0,18})", value):
        raise ValueError(f"{keyword}={value.decode()} is not a decimal number")
    return int(value)


def _parse_time(value: bytes, keyword: str) -> int:
    seconds, _, fraction = value.partition(b".")
    if fraction.strip(b"0"):
        raise ValueError(f"{keyword}={value.decode()} has a fraction, which JFFS2 cannot hold")
    return _parse_number(seconds, keyword)


def _parse_mode(value: bytes, keyword: str) -> int:
    if not re.fullmatch(rb"[0-7]{1,8}", value):
        raise ValueError(f"{keyword}={value.decode()} is not an octal number")
    return int(value, 8)


def _parse_device(value: bytes, keyword: str) -> tuple[int, int]:
    numbers = value.split(b",")
    if len(numbers) != 2:
        raise ValueError(f"{keyword}={value.decode()} is not of the form major,minor")
    major, minor = (_parse_number(number, keyword) for number in numbers)
    return major, minor


def _parse_base64(value: bytes) -> bytes:
    try:
        data = base64.b64decode(value, validate=True)
    except binascii.Error:
        data = None
    if data is None or _base64(data) != value:
        raise ValueError("an attribute's value is not base64")
    return data


_PARSERS: dict[str, Callable[[bytes, str], object]] = {
    "type": lambda value, _: value.decode(),
    "mode": _parse_mode,
    "uid": _parse_number,
    "gid": _parse_number,
    "size": _parse_number,
    "time": _parse_time,
    "sha256": lambda value, _: value.decode(),
    "nlink": _parse_number,
    "inode": _parse_number,
    "link": lambda value, _: unescape(value),
    "device": _parse_device,
}


# ---- rules -----------------------------------------------------------------------------------------------------------


def _check_entry(entry: Entry) -> None:
    """What JFFS2 can hold of one entry. Raises ValueError."""
    if entry.type not in TYPE_KEYWORDS:
        raise ValueError(f"unknown type '{entry.type}'")
    for component in entry.path.split(b"/") if entry.path else ():
        _check_name(component)
    _check_range("mode", entry.mode, MODE_MAX, "04o")
    _check_range("uid", entry.uid, ID_MAX)
    _check_range("gid", entry.gid, ID_MAX)
    _check_range("time", entry.time, TIME_MAX_SECONDS)
    if entry.type == "file":
        _check_range("size", entry.size, SIZE_MAX_BYTES)
        if not re.fullmatch(r"[0-9a-f]{64}", entry.sha256 or ""):
            raise ValueError("sha256 is not 64 lower-case hexadecimal digits")
    if entry.type == "link":
        _check_target(entry.link or b"")
    if entry.type in ("char", "block"):
        if entry.device is None:
            raise ValueError("a device needs its numbers")
        _check_range("device major", entry.device[0], MAJOR_MAX)
        _check_range("device minor", entry.device[1], MINOR_MAX)
    if entry.inode is not None and entry.type == "dir":
        raise ValueError("a directory cannot have hard links")
    for name, value in entry.xattrs.items():
        _check_xattr(name, value)


def _check_name(name: bytes) -> None:
    if name in (b"", b".", b".."):
        raise ValueError(f"'{name.decode()}' is no name" if name else "a name is empty")
    if b"\0" in name:
        raise ValueError("a name holds a zero byte")
    if len(name) > NAME_MAX_BYTES:
        raise ValueError(f"a name of {len(name)} bytes is over JFFS2's {NAME_MAX_BYTES}")


def _check_target(target: bytes) -> None:
    if not target:
        raise ValueError("a link's target is empty")
    if b"\0" in target:
        raise ValueError("a link's target holds a zero byte")
    if len(target) > NAME_MAX_BYTES:
        raise ValueError(f"a link target of {len(target)} bytes is over JFFS2's {NAME_MAX_BYTES}")


def _check_range(what: str, value: int, highest: int, shown: str = "d") -> None:
    if not 0 <= value <= highest:
        raise ValueError(f"{what} {value:{shown}} is outside 0 to {highest:{shown}}, which is what JFFS2 can hold")


def xattr_is_supported(name: bytes) -> bool:
    """Whether JFFS2 has a prefix code for the attribute."""
    return name in XATTR_WHOLE_NAMES or any(name.startswith(prefix) and name != prefix for prefix in XATTR_PREFIXES)


def _check_xattr(name: bytes, value: bytes) -> None:
    shown = escape(name).decode()
    if not xattr_is_supported(name) or b"\0" in name:
        raise ValueError(f"JFFS2 cannot hold the attribute '{shown}'")
    if len(name) > XATTR_NAME_MAX_BYTES:
        raise ValueError(f"an attribute name of {len(name)} bytes is over {XATTR_NAME_MAX_BYTES}")
    if len(value) > XATTR_VALUE_MAX_BYTES:
        raise ValueError(f"attribute '{shown}' of {len(value)} bytes is over JFFS2's {XATTR_VALUE_MAX_BYTES}")


@dataclass(slots=True)
class _Group:
    first: Entry
    nlink: int | None  # as the text says
    line: int | None
    names: int = 1


class _TreeCheck:
    """What entries must be to each other. They are added in order, parents first."""

    def __init__(self) -> None:
        self._types: dict[bytes, str] = {}
        self._groups: dict[int, _Group] = {}

    def add(self, entry: Entry, nlink: int | None = None, line: int | None = None) -> None:
        """Raises ValueError."""
        if entry.path in self._types:
            raise ValueError("the path is there twice")
        if not entry.path:
            if entry.type != "dir":
                raise ValueError("the root must be a directory")
        elif not self._types:
            raise ValueError("the root '.' must be the first path")
        elif entry.parent not in self._types:
            raise ValueError("its parent directory is missing")
        elif self._types[entry.parent] != "dir":
            raise ValueError("its parent is no directory")
        self._types[entry.path] = entry.type
        if entry.inode is not None:
            self._add_link(entry, nlink, line)

    def _add_link(self, entry: Entry, nlink: int | None, line: int | None) -> None:
        group = self._groups.get(entry.inode)
        if group is None:
            self._groups[entry.inode] = _Group(entry, nlink, line)
            return
        group.names += 1
        if replace(entry, path=group.first.path) != group.first or nlink != group.nlink:
            other = escape_path(group.first.path).decode()
            raise ValueError(f"differs from {other}, which is the same inode")

    def finish(self) -> None:
        """Raises ManifestError."""
        if not self._types:
            raise ManifestError("the manifest holds no path, not even the root '.'")
        for group in self._groups.values():
            if group.nlink is not None and (group.nlink != group.names or group.names < 2):
                message = f"nlink is {group.nlink}, but the manifest has {group.names} of the inode's names"
                raise ManifestError(message, line=group.line, path=escape_path(group.first.path))
