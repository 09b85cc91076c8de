"""What a whole directory tree is, as text: one line for each path, and a digest of them all.

The kernel lab's guest runs this on a mounted file system, tests run it on a plain directory; so it uses the
standard library only and knows nothing of the package under test.
"""

import errno
import hashlib
import json
import os
import stat

_TYPES = {
    stat.S_IFREG: "reg",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "lnk",
    stat.S_IFCHR: "chr",
    stat.S_IFBLK: "blk",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "sock",
}

#: Labels that the host's policy, not the file system under test, decides on.
_SKIPPED_XATTRS = {"security.selinux"}

_NO_XATTRS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.ENODATA}


def text(name):
    """A path's bytes as text that JSON can hold, whatever bytes they are."""
    return name.decode("utf-8", "surrogateescape")


def _errno(error):
    return errno.errorcode.get(error.errno, str(error.errno))


def _content(path):
    """SHA-256 of a regular file, all of it read, so that a read error shows."""
    total = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        while True:
            part = os.read(fd, 1 << 20)
            if not part:
                return total.hexdigest()
            total.update(part)
    finally:
        os.close(fd)


def _xattrs(path):
    """The extended attributes, values in hexadecimal."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return {}
        raise
    values = {name: _value(path, name) for name in names if name not in _SKIPPED_XATTRS}
    return {name: value for name, value in values.items() if value is not None}


def _value(path, name):
    """In hexadecimal; None for what is listed and then not there (an ACL without entries)."""
    try:
        return os.getxattr(path, name, follow_symlinks=False).hex()
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise


def _walk(root, relative, found):
    """Adds (relative path, stat or None, entry) for a path and all below it; errors become part of the entry."""
    path = os.path.join(root, relative) if relative else root
    entry = {"path": text(relative) or "."}
    info = None
    try:
        info = os.lstat(path)
        kind = stat.S_IFMT(info.st_mode)
        entry.update(
            type=_TYPES.get(kind, oct(kind)),
            mode=f"{stat.S_IMODE(info.st_mode):04o}",
            uid=info.st_uid,
            gid=info.st_gid,
            mtime=info.st_mtime_ns // 1_000_000_000,
        )
        if kind == stat.S_IFREG:
            entry["size"] = info.st_size
            entry["sha256"] = _content(path)
        elif kind == stat.S_IFLNK:
            entry["target"] = text(os.readlink(path))
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            entry["device"] = [os.major(info.st_rdev), os.minor(info.st_rdev)]
        attributes = _xattrs(path)
        if attributes:
            entry["xattrs"] = attributes
    except OSError as error:
        entry["error"] = _errno(error)
    found.append((relative, info, entry))
    if info is not None and stat.S_ISDIR(info.st_mode):
        try:
            names = os.listdir(path)
        except OSError as error:
            entry["error"] = _errno(error)
            return
        for name in names:
            _walk(root, os.path.join(relative, name) if relative else name, found)


def lines(root):
    """One JSON object per path of the whole tree, the root first, then sorted by the bytes of the path.

    `link` names the smallest path of the file's hard-link group and is there whenever the link count is over 1,
    so a link count that no second path explains shows too. What cannot be read says so in `error`.
    """
    found = []
    _walk(os.fsencode(root), b"", found)
    found.sort(key=lambda item: item[0])
    first = {}
    result = []
    for relative, info, entry in found:
        if info is not None and not stat.S_ISDIR(info.st_mode) and info.st_nlink > 1:
            entry["link"] = text(first.setdefault((info.st_dev, info.st_ino), relative))
        result.append(json.dumps(entry, sort_keys=True, ensure_ascii=True))
    return result


def digest(all_lines):
    """SHA-256 over the lines of a tree: equal exactly if the trees are."""
    return hashlib.sha256("".join(f"{line}\n" for line in all_lines).encode("ascii")).hexdigest()
