"""What jffs2tx.open() gives: the tree on a target as it is now, and transactions that change it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from jffs2tx.damage import Damage
from jffs2tx.filesystem import FileSystem, Stat
from jffs2tx.image import Image
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import Recovery, recover


class Target:
    """An open target. Use with `with`, or close(). Paths are str or bytes, from the root, with or without its slash."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self._tree: FileSystem | None = None
        self._writes = 0

    @property
    def tree(self) -> FileSystem:
        """The file system as it is now: scanned again where the flash has been written since."""
        stats = self.image.flash.stats
        writes = stats.programs + stats.erases
        if self._tree is None or writes != self._writes:
            if self._tree is not None:
                self._tree.close()
            self._tree, self._writes = self.image.fs(), writes
        return self._tree

    def list(self, path: str | bytes = "/") -> list[bytes]:
        """The names in a directory, sorted by their bytes. Raises NotFound, NotADirectory."""
        return self.tree.list(path)

    def stat(self, path: str | bytes) -> Stat:
        return self.tree.stat(path)

    def read(self, path: str | bytes, *, as_kernel: bool = False) -> bytes:
        """The content of a regular file. Of a damaged one a kernel shows older data or zeros, without an error: that is
        returned with as_kernel only. Raises Damaged, Corrupt (a kernel fails as well), NotFound, IsADirectory.
        """
        return self.tree.read(path, strict=not as_kernel)

    def readlink(self, path: str | bytes, *, as_kernel: bool = False) -> bytes:
        return self.tree.readlink(path, strict=not as_kernel)

    def xattrs(self, path: str | bytes, *, as_kernel: bool = False) -> dict[bytes, bytes]:
        """Extended attributes by full name; with as_kernel those that a kernel shows, which drops damaged ones."""
        tree = self.tree
        return tree.xattrs_ino(tree.resolve(path), skip_broken=True) if as_kernel else tree.xattrs(path, strict=True)

    def damage(self, path: str | bytes = b"") -> Iterator[Damage]:
        """Each damaged place of path and of all below it, lost names too. Every byte is read."""
        return self.tree.damage(path)

    def walk(self) -> Iterator[tuple[bytes, Stat]]:
        """Every path (the root is b"") with its stat, parents first."""
        return self.tree.walk()

    def transaction(
        self, *, readers: Iterable[str] = (), strategy: str = "auto", mtime: int | None = None
    ) -> Transaction:
        """Changes that land all at once by its commit(). mtime: of what is made; now, if not given.

        readers: names of the table in jffs2tx.readers, those who must see wholly the old or wholly the new tree; of a
        device the running kernel, if not given. Raises Refused where the target was not opened as writable.
        """
        self.image.check_writable()
        made = int(time.time()) if mtime is None else mtime
        return Transaction(self.image.flash, self.tree, made, named(tuple(readers) or (self.image.reader,)), strategy)

    def recover(self) -> Recovery:
        """Finishes or clears what a power cut left. Idempotent. Raises Refused where it was not opened as writable."""
        self.image.check_writable()
        return recover(self.image.flash, endian=self.image.endian)

    def close(self) -> None:
        self.image.close()

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
