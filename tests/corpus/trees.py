"""A tree as lines of a manifest, as we see it and as the kernel does; what cannot be read is there with `error`.

A kernel's error means the same whatever its number. A name that its readdir lists and its lookup does not find is not
there. Types and modes are those of the inode, also where no manifest could say them (type=0o150000).
"""

from __future__ import annotations

import base64
import hashlib
import json
import stat

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.errors import Corrupt, Jffs2txError, NotFound
from jffs2tx.filesystem import FileSystem, Stat, is_name
from jffs2tx.manifest import escape, escape_path

_LAB_TYPES = {"reg": "file", "lnk": "link", "chr": "char", "blk": "block", "sock": "socket"}


def line(path: bytes, fields: dict) -> str:
    """fields: keyword -> text, in the manifest's order; xattrs: name -> value; error: True where it broke off."""
    words = [escape_path(path).decode()]
    order = ("type", "mode", "uid", "gid", "size", "time", "sha256", "inode", "link", "device")
    words += (f"{key}={fields[key]}" for key in order if key in fields)
    for name, value in sorted(fields.get("xattrs", {}).items()):
        words.append(f"xattr.{escape(name, b'=').decode()}={base64.b64encode(value).decode()}")
    if fields.get("error"):
        words.append("error")
    return " ".join(words)


def _lines(found: dict[bytes, dict]) -> list[str]:
    """Sorted; link groups numbered in the order of their first names."""
    groups: dict = {}
    for path in sorted(found, key=escape_path):
        if "inode" in found[path]:
            found[path]["inode"] = groups.setdefault(found[path]["inode"], len(groups) + 1)
    return [line(path, found[path]) for path in sorted(found, key=escape_path)]


# ---- ours ------------------------------------------------------------------------------------------------------------


def seen_by_us(fs: FileSystem) -> list[str]:
    found: dict[bytes, dict] = {}

    def failed(path: bytes, error: Jffs2txError) -> None:
        if is_name(path.rpartition(b"/")[2]) and not _has_slash(fs, path):
            found[path] = {"error": True}

    for path, status in fs.walk(onerror=failed):
        found[path] = _entry(fs, status)
    return _lines(found)


def _has_slash(fs: FileSystem, path: bytes) -> bool:
    """Whether a name of the directory above holds a slash and so made this path."""
    try:
        fs.resolve(path)
    except NotFound:
        return True
    except Jffs2txError:
        return False
    return False


def _entry(fs: FileSystem, status: Stat) -> dict:
    raw = ffi.new("struct jx_stat *")
    check(lib.jx_fs_stat(fs.handle, status.ino, raw))
    known = stat.S_IFMT(raw.mode) in (0o010000, 0o020000, 0o040000, 0o060000, 0o100000, 0o120000, 0o140000)
    fields = {
        "type": status.type if known else f"0o{stat.S_IFMT(raw.mode):o}",
        "mode": f"{status.mode:04o}",
        "uid": status.uid,
        "gid": status.gid,
        "time": status.mtime,
    }
    if status.type != "dir" and status.nlink > 1:
        fields["inode"] = status.ino
    try:
        if fields["type"] == "file":
            fields["size"] = status.size
            digest = hashlib.sha256()
            for chunk in fs.chunks_ino(status.ino):
                digest.update(chunk)
            fields["sha256"] = digest.hexdigest()
        elif fields["type"] == "link":
            fields["link"] = escape(fs.readlink_ino(status.ino)).decode()
        elif status.device:
            fields["device"] = "{},{}".format(*status.device)
        fields["xattrs"] = _attributes(fs, status.ino)
    except Jffs2txError:
        fields["error"] = True
    return fields


def _attributes(fs: FileSystem, ino: int) -> dict[bytes, bytes]:
    """What fails its CRC is none, as for the kernel; a malformed ACL is an error."""
    try:
        return fs.xattrs_ino(ino)
    except Corrupt as error:
        if "ACL" in str(error):
            raise
        return {name: value for name, (value, _) in fs.xattr_refs(ino, skip_broken=True).items()}


# ---- the kernel's ----------------------------------------------------------------------------------------------------


def seen_by_kernel(lab_lines: list[str]) -> list[str]:
    """From tests.lab.tree.lines()."""
    found = {}
    for entry in map(json.loads, lab_lines):
        if entry.get("error") == "ENOENT":
            continue
        path = b"" if entry["path"] == "." else _raw(entry["path"])
        fields = {"type": _LAB_TYPES.get(entry.get("type"), entry.get("type")), "time": entry.get("mtime")}
        fields |= {key: entry[key] for key in ("mode", "uid", "gid", "size", "sha256") if key in entry}
        if "type" not in entry:
            fields = {}
        if "link" in entry:
            fields["inode"] = entry["link"]
        if "target" in entry:
            fields["link"] = escape(_raw(entry["target"])).decode()
        if "device" in entry:
            fields["device"] = "{},{}".format(*entry["device"])
        fields["xattrs"] = {_raw(k): bytes.fromhex(v) for k, v in entry.get("xattrs", {}).items()}
        fields["error"] = "error" in entry
        found[path] = fields
    return _lines(found)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
