"""Files that commands write: they appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from jffs2tx.errors import Jffs2txError, Refused

_UNFINISHED_MODE = 0o600
#: Names of our own descriptors: what they are open on is written to, and never replaced.
_OWN_DESCRIPTOR = re.compile(r"/dev/(?:fd/(\d+)|stdout|stderr)|/proc/self/fd/(\d+)")
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


@contextmanager
def new_file(path: Path, *, streams: bool = False) -> Iterator[BinaryIO]:
    """A file that takes its place when it is whole, with owner and mode of the one it replaces; a link stays, and what
    it points to is replaced. Until then it is beside it, under a name that nobody else has, for its owner only.

    streams: what is there and is no regular file (a pipe, a terminal, /dev/stdout) is written to as it is; else it is
    Refused. Raises OSError, with the path.
    """
    with _naming(path):
        if _is_stream(path):
            if not streams or path.is_dir():
                raise Refused("is there already and is no regular file", path=str(path))
            with _open_stream(path) as file:
                yield file
            return
        place = Path(os.path.realpath(path))
        part = place.with_name(f".jffs2tx-{secrets.token_hex(8)}.part")
        try:
            with _open_part(part) as file:
                yield file
                file.flush()
                _take_over(file.fileno(), place)
            part.replace(place)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _is_stream(path: Path) -> bool:
    return bool(_OWN_DESCRIPTOR.fullmatch(str(path))) or (path.exists() and not path.is_file())


def _open_stream(path: Path) -> BinaryIO:
    """An own descriptor as it is: what is before its position, in a file too, stays."""
    own = _OWN_DESCRIPTOR.fullmatch(str(path))
    if not own:
        return path.open("wb")
    return os.fdopen(os.dup(_STANDARD.get(str(path)) or int(own[1] or own[2])), "wb")


def _open_part(part: Path) -> BinaryIO:
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _UNFINISHED_MODE)
    return os.fdopen(fd, "wb")


def _take_over(fd: int, place: Path) -> None:
    """Owner and mode of what is replaced; of a new file the mode that the umask leaves. Where the owner cannot be kept
    the group is, and where neither can, what they had does not go to others.
    """
    try:
        old = place.stat()
    except FileNotFoundError:
        os.fchmod(fd, 0o666 & ~_umask())
        return
    mode = stat.S_IMODE(old.st_mode)
    now = os.fstat(fd)
    if (old.st_uid, old.st_gid) != (now.st_uid, now.st_gid):
        with suppress(PermissionError):
            os.fchown(fd, -1, old.st_gid)
        with suppress(PermissionError):
            os.fchown(fd, old.st_uid, old.st_gid)
        now = os.fstat(fd)
        if now.st_gid != old.st_gid:
            mode &= ~0o2070
        if now.st_uid != old.st_uid:
            mode &= ~0o4000
    os.fchmod(fd, mode)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An OSError that names no file is about this one."""
    try:
        yield
    except OSError as error:
        if isinstance(error, Jffs2txError) or error.errno is None or _names_another(error, path):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def _names_another(error: OSError, path: Path) -> bool:
    """The unfinished file is this one too."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else None
    return name is not None and name != str(path) and not name.endswith(".part")
