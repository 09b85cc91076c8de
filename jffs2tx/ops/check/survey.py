"""What all checks look at: the nodes, who wins which name, and the tree, each found once.

All of it is linear in the medium: inodes know the directory that names them, and a path is only put together where a
finding needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.errors import Jffs2txError
from jffs2tx.filesystem import PATH_MAX_BYTES, ROOT_INO, FileSystem
from jffs2tx.format import ACCURATE, HEADER_BYTES
from jffs2tx.image import Image
from jffs2tx.progress import ProgressCallback

S_IFMT, S_IFDIR = 0o170000, 0o040000
DT_SHIFT = 12  # d_type is the file type of a mode
INODE_HEAD_BYTES = 68
ELLIPSIS = "…".encode()
PATHS_KEPT = 256
NOWHERE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Inode:
    """What reading an inode says: its whole mode and size, or why it cannot be read."""

    mode: int = 0
    size: int = 0
    error: Jffs2txError | None = None

    @property
    def is_directory(self) -> bool:
        return self.error is None and self.mode & S_IFMT == S_IFDIR


@dataclass(frozen=True, slots=True)
class SecondName:
    """A further name of a directory. `loops`: the directory holds that name, at whatever depth."""

    directory: int
    name: bytes
    ino: int
    loops: bool


class Survey:
    def __init__(self, image: Image, fs: FileSystem, progress: ProgressCallback | None = None) -> None:
        self.flash = image.flash
        self.erase_size = image.geometry.erase_size
        self.fs = fs
        #: The file ends before its last eraseblock does: the flash may be larger.
        self.is_short = image.location is not None and image.location.view.size < image.geometry.size
        self.progress = progress
        self.nodes = lib.jx_fs_nodes(fs.handle)
        self.node_count = lib.jx_fs_node_count(fs.handle)
        #: By inode number: the directory that names it first, and the name; the root's is None.
        self.places: dict[int, tuple[int, bytes] | None] = {ROOT_INO: None}
        self.second_names: list[SecondName] = []
        self.name_count = 1  # the root
        self._inodes: dict[int, Inode] = {}
        #: path(), which many findings in one directory ask for again and again.
        self.path = lru_cache(PATHS_KEPT)(self._path)
        self._walk()

    # ---- the tree ----

    def _walk(self) -> None:
        branch: set[int] = set()
        pending = [(ROOT_INO, False)]
        while pending:
            ino, leaving = pending.pop()
            if leaving:
                branch.discard(ino)
                continue
            if not self.inode(ino).is_directory:
                continue
            branch.add(ino)
            pending.append((ino, True))
            below = []
            for name in self.fs.names(ino):
                self.name_count += 1
                if name.ino not in self.places:
                    self.places[name.ino] = ino, name.name
                    below.append((name.ino, False))
                elif self.inode(name.ino).is_directory:
                    self.second_names.append(SecondName(ino, name.name, name.ino, name.ino in branch))
            pending += reversed(below)

    def inode(self, ino: int) -> Inode:
        if ino not in self._inodes:
            st = ffi.new("struct jx_stat *")
            code = lib.jx_fs_stat(self.fs.handle, ino, st)
            try:
                check(code)
                self._inodes[ino] = Inode(st.mode, st.size)
            except Jffs2txError as error:
                self._inodes[ino] = Inode(error=error)
        return self._inodes[ino]

    def reached(self) -> Iterator[tuple[int, Inode]]:
        """Inode numbers of the tree, ascending, and what reading each says."""
        return ((ino, self.inode(ino)) for ino in sorted(self.places))

    def _path(self, ino: int) -> bytes | None:
        """Of an inode of the tree (None: it is not in it); the front is left out of what is longer than any path."""
        if ino not in self.places:
            return None
        parts: list[bytes] = []
        length = 0
        while (place := self.places[ino]) is not None:
            ino, name = place
            length += len(name) + 1
            if length > PATH_MAX_BYTES:
                parts.append(ELLIPSIS)
                break
            parts.append(name)
        return b"/".join(reversed(parts))

    def path_below(self, directory: int, name: bytes) -> bytes | None:
        above = self.path(directory)
        return above if above is None else above + b"/" + name if above else name

    # ---- nodes ----

    def indices(self, *types: int, verdict: int = lib.JX_V_GOOD) -> Iterator[int]:
        """Of the nodes of these types with this verdict, in medium order."""
        nodes = self.nodes
        return (i for i in range(self.node_count) if nodes[i].verdict == verdict and nodes[i].nodetype in types)

    @cached_property
    def versions(self) -> dict[int, list[int]]:
        """By inode number: its good inode nodes, in medium order."""
        found: dict[int, list[int]] = {}
        for index in self.indices(lib.JX_NODE_INODE):
            found.setdefault(self.nodes[index].ino, []).append(index)
        return found

    @cached_property
    def dirents(self) -> dict[tuple[int, bytes], list[int]]:
        """By directory and name: the good dirents, in medium order."""
        found: dict[tuple[int, bytes], list[int]] = {}
        for index in self.indices(lib.JX_NODE_DIRENT):
            if self.nodes[index].nsize:
                found.setdefault((self.nodes[index].ino, self.name(index)), []).append(index)
        return found

    @cached_property
    def winners(self) -> dict[tuple[int, bytes], int]:
        """The dirent that counts: of the highest version that which stands last (jffs2_add_fd_to_list)."""
        version = lambda index: (self.nodes[index].version, index)  # noqa: E731
        return {key: max(found, key=version) for key, found in self.dirents.items()}

    @cached_property
    def known(self) -> set[int]:
        """Inode numbers that the kernel has an inode cache for: those with a good node or dirent."""
        return {ROOT_INO, *self.versions, *(directory for directory, _ in self.dirents)}

    def name(self, index: int) -> bytes:
        node = self.nodes[index]
        return ffi.buffer(lib.jx_fs_names(self.fs.handle) + node.name, node.nsize)[:]

    def data_are_good(self, index: int) -> bool:
        """Whether an inode node's data CRC holds."""
        return lib.jx_fs_check_data(self.fs.handle, index) == lib.JX_OK

    def newest(self, ino: int) -> int | None:
        """The node that gives the metadata: of those with good data that of the highest version."""
        good = [index for index in self.versions.get(ino, ()) if self.data_are_good(index)]
        return max(good, key=lambda index: (self.nodes[index].version, index), default=None)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes as the medium gives them, whatever ECC says. Raises MediumError."""
        return self.flash.read(offset, length, forgiving=True)

    def header(self, offset: int):
        """The struct jx_header that stands there, or None."""
        if offset % self.erase_size + HEADER_BYTES > self.erase_size:
            return None
        header = ffi.new("struct jx_header *")
        raw = self.read(offset, HEADER_BYTES)
        return header if lib.jx_decode_header(lib.jx_fs_endian(self.fs.handle), raw, header) == lib.JX_GOOD else None

    def header_stands(self, node) -> bool:
        """Whether a node's header is where the record says, with the same type and length."""
        header = self.header(node.offset)
        return header is not None and (header.nodetype | ACCURATE, header.totlen) == (node.nodetype, node.totlen)

    def head(self, index: int):
        """An inode node's fixed part, decoded: struct jx_inode."""
        raw = self.read(self.nodes[index].offset, INODE_HEAD_BYTES)
        inode = ffi.new("struct jx_inode *")
        lib.jx_decode_inode(lib.jx_fs_endian(self.fs.handle), raw, inode)
        return inode

    # ---- eraseblocks ----

    @property
    def marks_names(self) -> bool:
        """Whether single bits can be cleared here, as those are that mark a node obsolete."""
        return self.flash.geometry.kind == "nor"

    def blocks(self) -> Iterator:
        """Each struct jx_block."""
        blocks = lib.jx_fs_blocks(self.fs.handle)
        return (blocks[number] for number in range(lib.jx_fs_block_count(self.fs.handle)))
