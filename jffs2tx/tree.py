"""The tree on a medium as a manifest, to be compared with a source's."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from jffs2tx.errors import Jffs2txError, about
from jffs2tx.filesystem import FileSystem, Stat
from jffs2tx.manifest import Entry, Manifest
from jffs2tx.progress import ProgressCallback


def entry_of(fs: FileSystem, path: bytes, status: Stat, *, skip_broken: bool = False) -> Entry:
    """What the medium has under a path, but for the hash. `inode` is the inode number of what has several names.
    skip_broken: attributes that cannot be read are left out.

    Raises Corrupt.
    """
    return Entry(
        path=path,
        type=status.type,
        mode=status.mode,
        uid=status.uid,
        gid=status.gid,
        time=status.mtime,
        size=status.size if status.type == "file" else 0,
        link=fs.readlink_ino(status.ino) if status.type == "link" else None,
        device=status.device,
        inode=status.ino if status.type != "dir" and status.nlink > 1 else None,
        xattrs=fs.xattrs_ino(status.ino, skip_broken=skip_broken),
    )


def manifest_of(fs: FileSystem, progress: ProgressCallback | None = None) -> Manifest:
    """The whole tree, every file read and hashed once.

    Raises Corrupt, with the path, where the medium cannot be read; ManifestError where no manifest can say it.
    """
    found = list(fs.walk())
    total = sum({status.ino: status.size for _, status in found if status.type == "file"}.values())
    hashes: dict[int, str] = {}
    done = 0
    entries = []
    for path, status in found:
        try:
            entry = entry_of(fs, path, status)
            if entry.type == "file":
                if status.ino not in hashes:
                    hashes[status.ino] = sha256_of(fs, status.ino)
                    done += status.size
                    if progress:
                        progress("hash", done, total)
                entry = replace(entry, sha256=hashes[status.ino])
        except Jffs2txError as error:
            raise about(error, b"/" + path) from None
        entries.append(entry)
    return Manifest(entries)


def sha256_of(fs: FileSystem, ino: int) -> str:
    """Of a regular file's content. Raises Corrupt."""
    digest = hashlib.sha256()
    for chunk in fs.chunks_ino(ino):
        digest.update(chunk)
    return digest.hexdigest()
