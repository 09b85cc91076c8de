"""The tree on a medium as the planner wants it: nothing in it that cannot be read stops an upgrade that replaces it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from jffs2tx.errors import Corrupt, HostError, Jffs2txError, MediumError, OutOfMemory, UnknownCompression
from jffs2tx.filesystem import ROOT_INO, FileSystem, Name, is_name
from jffs2tx.manifest import Entry
from jffs2tx.plan import Old, OldTree
from jffs2tx.tree import entry_of, sha256_of

_DT_DIR = 4
_UNREADABLE = ""  # no content has this hash


def old_tree(fs: FileSystem, resume: bool = True) -> OldTree:
    """Files are hashed when asked for, each once.

    resume: what an earlier, cut run staged is offered too. Raises MediumError, Corrupt where the root cannot be read.
    """
    hashes: dict[int, str] = {}

    def sha256(ino: int) -> str:
        if ino not in hashes:
            try:
                hashes[ino] = sha256_of(fs, ino)
            except (MediumError, UnknownCompression):
                hashes[ino] = _UNREADABLE
        return hashes[ino]

    resume = resume and fs.status.state == "staged"  # recover comes first where one is committed, and clears them
    return OldTree(_paths(fs), sha256, tuple(_orphans(fs)) if resume else ())


def _paths(fs: FileSystem) -> dict[bytes, Old]:
    """Parents before children, names sorted; a directory is entered once."""
    found: dict[bytes, Old] = {}
    entered: set[int] = set()
    pending = [(b"", Name(b"", ROOT_INO, _DT_DIR))]
    while pending:
        path, name = pending.pop()
        try:
            found[path], names = _look(fs, path, name.ino)
        except Jffs2txError as error:
            if not path or _may_be_whole(error):
                raise
            found[path], names = _broken(path, name), []
        if name.ino not in entered:
            entered.add(name.ino)
            start = path + b"/" if path else b""
            pending += ((start + below.name, below) for below in reversed(names))
    return found


def _look(fs: FileSystem, path: bytes, ino: int) -> tuple[Old, list[Name]]:
    """What a path stands for, and the names in it. An attribute that cannot be read is none, as for the kernel.

    Raises Corrupt; also where a directory holds a name that no file can have.
    """
    status = fs.stat_ino(ino)
    names = fs.names(ino) if status.type == "dir" else []
    if not all(is_name(name.name) for name in names):
        raise Corrupt("holds a name that no file can have", path=b"/" + path)
    xids = {name: found for name, (_, found) in fs.xattr_refs(ino, skip_broken=True).items()}
    return Old(ino, entry_of(fs, path, status, skip_broken=True), xids, node_time=status.node_mtime), names


def _may_be_whole(error: Jffs2txError) -> bool:
    """It failed for a reason that says nothing of what stands there: no memory, or a read that may go well later."""
    return isinstance(error, OutOfMemory | MediumError | HostError) and not isinstance(error, Corrupt)


def _broken(path: bytes, name: Name) -> Old:
    kind = "dir" if name.type == _DT_DIR else "file"
    return Old(name.ino, Entry(path=path, type=kind, mode=0, uid=0, gid=0, time=0), broken=True)


def _orphans(fs: FileSystem) -> Iterator[Old]:
    for ino in fs.orphans():
        with suppress(Corrupt):  # not whole: of no use
            status = fs.stat_ino(ino)
            if status.type == "file":
                yield Old(ino, entry_of(fs, b"", status))
