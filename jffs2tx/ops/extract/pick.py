"""What of the tree comes out, and what is reported of it: the same for directories and archives."""

from __future__ import annotations

from collections.abc import Iterator

from jffs2tx.damage import Reading, inode_damage, lost_below, undecodable
from jffs2tx.errors import Damaged, Jffs2txError
from jffs2tx.filesystem import FileSystem, Stat
from jffs2tx.manifest import Entry
from jffs2tx.ops.extract.losses import Losses
from jffs2tx.tree import entry_of


class Pick:
    """Goes through the tree and fills a Losses."""

    def __init__(self, fs: FileSystem, losses: Losses, reading: Reading) -> None:
        self.fs = fs
        self.losses = losses
        self.reading = reading
        self._failed: dict[int, Jffs2txError] = {}  # by inode number

    def walk(self) -> Iterator[tuple[bytes, Stat]]:
        """Every path that can be read; lost names are reported at the end."""
        yield from self.fs.walk(onerror=self.losses.add)
        if self.reading is not Reading.AS_KERNEL:
            self.losses.damage += lost_below(self.fs.log, b"")

    def entry(self, path: bytes, status: Stat) -> Entry:
        """As a kernel shows it: without attributes that fail their CRC. Its damage is reported; with Reading.STRICT it
        is raised as Damaged, but for that of a directory. Raises Corrupt.
        """
        if self.reading is not Reading.AS_KERNEL:
            found = list(inode_damage(self.fs.log, path, status))
            self.losses.damage += found
            if found and self.reading is Reading.STRICT and status.type != "dir":
                raise Damaged(found)
        return entry_of(self.fs, path, status, skip_broken=True)

    def check(self, ino: int) -> None:
        """Raises what an earlier path of this inode failed with."""
        if ino in self._failed:
            raise self._failed[ino]

    def failed(self, path: bytes, status: Stat, error: Jffs2txError) -> None:
        """It does not come out; where in a file the reason lies is reported once."""
        self.losses.add(path, error)
        if status.ino not in self._failed:
            self._failed[status.ino] = error
            if status.type == "file":
                self.losses.damage += undecodable(self.fs.log, path, status.ino)
