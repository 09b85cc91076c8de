"""Directory entries that are lost: their dirent fails a CRC, or leads to nothing."""

from __future__ import annotations

from collections.abc import Iterator

from jffs2tx._ffi import lib
from jffs2tx.damage.log import DIRENT_BYTES, Log
from jffs2tx.damage.record import Damage
from jffs2tx.errors import Jffs2txError


def lost_names(log: Log) -> Iterator[Damage]:
    """Of the whole tree. What is superseded is no loss, nor is what an interrupted write left."""
    names = _Names(log)
    for directory, path in names.paths.items():
        yield from names.without_inode(directory, path)
    for index in log.bad_dirents:
        if not log.is_interrupted(index):
            yield from names.of_bad_dirent(index)


class _Names:
    def __init__(self, log: Log) -> None:
        self.log = log
        #: By inode number: the path of each directory that is reached.
        self.paths: dict[int, bytes] = {}
        self.reached: set[int] = set()
        self._directories: dict[int, _Directory] = {}
        for path, status in log.fs.walk(onerror=self._pass_over):
            self.reached.add(status.ino)
            if status.type == "dir":
                self.paths.setdefault(status.ino, path)

    def _pass_over(self, path: bytes, error: Jffs2txError) -> None:
        """Whoever walks the tree for its content reports it."""

    def directory(self, ino: int) -> _Directory:
        if ino not in self._directories:
            self._directories[ino] = _Directory(self.log, ino)
        return self._directories[ino]

    # ---- names that lead to nothing ----

    def without_inode(self, directory: int, path: bytes) -> Iterator[Damage]:
        for name, index in self.directory(directory).winners.items():
            child = self.log.nodes[index].child
            if child and child not in self.reached and not self._exists(child):
                why = f"nothing of inode {child} is there: the kernel drops the name (jffs2_build_inode_pass1)"
                yield Damage(_join(path, name), 0, 0, why)

    def _exists(self, ino: int) -> bool:
        """Whether the kernel has an inode cache for it; one that cannot be read is reported by who reads it."""
        try:
            self.log.fs.stat_ino(ino)
        except FileNotFoundError:
            return False
        except Jffs2txError:
            pass
        return True

    # ---- dirents that fail a CRC ----

    def of_bad_dirent(self, index: int) -> Iterator[Damage]:
        """What it says counts as far as a CRC vouches for it: of a bad name the rest, of a bad node the name."""
        node, head = self.log.nodes[index], self.log.dirent_head(index)
        if node.by_summary:
            yield from self._listed(node, self.log.name(index))
            return
        if head.pino not in self.paths:
            return
        directory = self.directory(head.pino)
        if (head.version, head.ino) in directory.copies:
            return
        name = self.log.read(node.offset + DIRENT_BYTES, head.nsize)
        if node.verdict == lib.JX_V_BAD_NAME:
            yield from self._bad_name(head, name, directory)
        elif name and _crc(name) == head.name_crc:
            yield from self._bad_node(head, name, directory)

    def _listed(self, node, name: bytes) -> Iterator[Damage]:
        """One that its summary knows: the kernel believes the summary until it reads the directory."""
        if node.ino not in self.paths:
            return
        directory = self.directory(node.ino)
        shown = directory.winners.get(name)
        if (node.version, node.child) in directory.copies:
            return
        if node.child if shown is None else node.version > self.log.nodes[shown].version:
            why = "its directory entry, which a summary lists, is damaged: it is lost, or an older state of it shows"
            yield Damage(_join(self.paths[node.ino], name), 0, 0, why)

    def _bad_name(self, head, name: bytes, directory: _Directory) -> Iterator[Damage]:
        """Another dirent of the same name shows which name it was: they have length and CRC of it in common."""
        same = directory.by_crc.get((head.nsize, head.name_crc))
        if same is not None:
            yield from self._newer_than(head, same, directory)
        elif head.ino:
            fault = "holds a NUL" if b"\0" in name else "fails its CRC"
            why = f"a name of {head.nsize} bytes in it {fault} and is lost; it is that of inode {head.ino}"
            yield Damage(self.paths[head.pino], 0, 0, why)

    def _bad_node(self, head, name: bytes, directory: _Directory) -> Iterator[Damage]:
        if name in directory.winners:
            yield from self._newer_than(head, name, directory)
        elif head.ino:
            yield Damage(_join(self.paths[head.pino], name), 0, 0, "its directory entry fails its CRC and is lost")

    def _newer_than(self, head, name: bytes, directory: _Directory) -> Iterator[Damage]:
        """A bad dirent of a name that another dirent decides: damage where the bad one is newer and says otherwise."""
        shown = self.log.nodes[directory.winners[name]]
        if head.version > shown.version and head.ino != shown.child:
            why = "its newest directory entry fails its CRC: an older state of the name shows"
            yield Damage(_join(self.paths[head.pino], name), 0, 0, why)


class _Directory:
    """The dirents of one directory that readers see."""

    def __init__(self, log: Log, ino: int) -> None:
        #: The dirent that counts for each name: the highest version, of equal ones the last (jffs2_add_fd_to_list).
        self.winners: dict[bytes, int] = {}
        #: Version and inode number of each: our collector copies dirents as they are.
        self.copies: set[tuple[int, int]] = set()
        for index in log.dirents.get(ino, ()):
            node, name = log.nodes[index], log.name(index)
            self.copies.add((node.version, node.child))
            if node.version >= log.nodes[self.winners.setdefault(name, index)].version:
                self.winners[name] = index
        self.by_crc = {(len(name), _crc(name)): name for name in self.winners}


def _crc(name: bytes) -> int:
    return lib.jx_crc32(0, name, len(name))


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
