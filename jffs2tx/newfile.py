"""Files that commands write: they appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from jffs2tx.errors import Refused


@contextmanager
def new_file(path: Path, *, streams: bool = False) -> Iterator[BinaryIO]:
    """A file that takes its place when it is whole, with the mode of the one it replaces; a link stays, and what it
    points to is replaced. Until then it stands beside, under a name that nobody else has.

    streams: what is there and is no regular file (a pipe, a tape) is written to as it is; else Refused. Raises OSError.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        if not streams or path.is_dir():
            raise Refused("is there already and is no regular file", path=str(path))
        with path.open("wb") as file:
            yield file
        return
    part = path.with_name(f".jffs2tx-{secrets.token_hex(8)}.part")
    try:
        whole = part.open("xb")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with whole as file:
            yield file
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
