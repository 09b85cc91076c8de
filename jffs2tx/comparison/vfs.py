"""A file system as a Linux kernel writes it: each call leaves the nodes that its system call leaves, in that order.

Sources: fs/jffs2/dir.c, file.c, fs.c (jffs2_do_setattr), write.c (jffs2_do_create, jffs2_write_inode_range,
jffs2_do_unlink), nodelist.c (jffs2_add_fd_to_list). Data are not compressed (mount option compr=none).
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field

from jffs2tx.comparison.log import ORDER, Log
from jffs2tx.device import Flash
from jffs2tx.errors import NotEmpty, NotFound
from jffs2tx.format import NodeType, build

PAGE_BYTES = 4096
MIN_DATA_BYTES = 128  # JFFS2_MIN_DATA_LEN
INODE_BYTES, DIRENT_BYTES = 68, 40
INODE_ENTRY_BYTES, DIRENT_ENTRY_BYTES = 18, 24  # in a summary; a dirent's name on top
DELETED = 0
BEGIN_SECONDS = 1_700_000_000


@dataclass(slots=True)
class Inode:
    """What the kernel keeps of an inode in memory. Offsets are those of its nodes."""

    ino: int
    mode: int  # with the type's bits
    size: int = 0
    time: int = BEGIN_SECONDS
    version: int = 0
    names: int = 0  # how many dirents name it
    target: bytes = b""
    metadata: int | None = None
    data: list[int] = field(default_factory=list)
    children: dict[bytes, tuple[int, int]] = field(default_factory=dict)  # name -> inode number, dirent


class Kernel:
    """A mounted file system on a flash that starts erased. Paths are relative to its root, without a leading slash."""

    def __init__(self, flash: Flash, *, summary: bool) -> None:
        self.log = Log(flash, summary=summary)
        self._inodes = {1: Inode(1, stat.S_IFDIR | 0o755)}

    # ---- looking ----

    def lookup(self, path: str) -> Inode:
        """Raises NotFound."""
        inode = self._inodes[1]
        for name in filter(None, path.encode().split(b"/")):
            if name not in inode.children:
                raise NotFound("no such file", path=path)
            inode = self._inodes[inode.children[name][0]]
        return inode

    def exists(self, path: str) -> bool:
        try:
            return bool(self.lookup(path))
        except NotFound:
            return False

    def list(self, path: str) -> list[str]:
        return sorted(name.decode() for name in self.lookup(path).children)

    # ---- system calls ----

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        self._make(path, stat.S_IFDIR | mode)

    def create(self, path: str, mode: int = 0o644) -> None:
        """open(O_CREAT | O_EXCL)"""
        self._make(path, stat.S_IFREG | mode)

    def symlink(self, target: str, path: str) -> None:
        self._make(path, stat.S_IFLNK | 0o777, target.encode())

    def write(self, path: str, data: bytes) -> None:
        """Appends: as many nodes as pages and the ends of eraseblocks make of it."""
        inode = self.lookup(path)
        done = 0
        while done < len(data):
            room = self.log.reserve(INODE_BYTES + MIN_DATA_BYTES, INODE_ENTRY_BYTES) - INODE_BYTES
            length = min(len(data) - done, PAGE_BYTES - inode.size % PAGE_BYTES, room)
            offset, inode.size = inode.size, inode.size + length
            inode.data.append(self._write_inode(inode, data[done : done + length], offset))
            self._replace_metadata(inode, None)
            done += length

    def truncate(self, path: str) -> None:
        """open(O_TRUNC): a node that says so, then the data nodes are obsolete."""
        inode = self.lookup(path)
        inode.size = 0
        node = self._write_metadata(inode)
        self._forget_data(inode)
        self._replace_metadata(inode, node)

    def chmod(self, path: str, mode: int) -> None:
        inode = self.lookup(path)
        inode.mode = stat.S_IFMT(inode.mode) | mode
        self._replace_metadata(inode, self._write_metadata(inode))

    def utime(self, path: str, seconds: int) -> None:
        inode = self.lookup(path)
        inode.time = seconds
        self._replace_metadata(inode, self._write_metadata(inode))

    def link(self, existing: str, path: str) -> None:
        inode = self.lookup(existing)
        self._add_name(path, inode)

    def unlink(self, path: str) -> None:
        inode = self.lookup(path)
        self._remove_name(path)
        self._drop(inode)

    def rmdir(self, path: str) -> None:
        """Raises NotEmpty."""
        if self.lookup(path).children:
            raise NotEmpty("the directory is not empty", path=path)
        self.unlink(path)

    def rename(self, old: str, new: str) -> None:
        """Two nodes: the new name, which replaces what it named before; then the old one goes."""
        inode = self.lookup(old)
        victim = self.lookup(new) if self.exists(new) else None
        self._add_name(new, inode)
        self._remove_name(old)
        inode.names -= 1
        if victim:
            self._drop(victim)

    def sync(self) -> None:
        self.log.sync()

    # ---- inodes ----

    def _make(self, path: str, mode: int, target: bytes = b"") -> None:
        """The inode first, then its name."""
        inode = Inode(max(self._inodes) + 1, mode, size=len(target), target=target)
        self._inodes[inode.ino] = inode
        inode.metadata = self._write_metadata(inode)
        self._add_name(path, inode)

    def _write_metadata(self, inode: Inode) -> int:
        self.log.reserve(INODE_BYTES + len(inode.target), INODE_ENTRY_BYTES)
        return self._write_inode(inode, inode.target, 0)

    def _write_inode(self, inode: Inode, data: bytes, offset: int) -> int:
        inode.version += 1
        node = build(
            NodeType.INODE,
            ORDER,
            ino=inode.ino,
            version=inode.version,
            mode=inode.mode,
            uid=0,
            gid=0,
            isize=inode.size,
            atime=inode.time,
            mtime=inode.time,
            ctime=inode.time,
            offset=offset,
            dsize=len(data),
            compr=0,
            data=data,
        )
        entry = {"nodetype": int(NodeType.INODE), "ino": inode.ino, "version": inode.version, "totlen": len(node)}
        return self.log.append(node, INODE_BYTES, entry, INODE_ENTRY_BYTES)

    def _replace_metadata(self, inode: Inode, node: int | None) -> None:
        before, inode.metadata = inode.metadata, node
        if before is not None:
            self.log.obsolete(before)

    def _forget_data(self, inode: Inode) -> None:
        for node in inode.data:
            self.log.obsolete(node)
        inode.data = []

    def _drop(self, inode: Inode) -> None:
        """One name fewer; without any its nodes are obsolete (jffs2_do_clear_inode)."""
        inode.names -= 1
        if not inode.names:
            self._replace_metadata(inode, None)
            self._forget_data(inode)

    # ---- names ----

    def _add_name(self, path: str, inode: Inode) -> None:
        parent, name = self._split(path)
        before = parent.children.get(name)
        node = self._write_dirent(parent, name, inode.ino, stat.S_IFMT(inode.mode) >> 12)
        parent.children[name] = (inode.ino, node)
        inode.names += 1
        if before:
            self.log.obsolete(before[1])

    def _remove_name(self, path: str) -> None:
        """By a dirent that deletes it; where nodes can be marked on the medium, by the mark alone."""
        parent, name = self._split(path)
        _, node = parent.children.pop(name)
        if self.log.marks_obsolete:
            self.log.obsolete(node)
        else:
            self._write_dirent(parent, name, DELETED, 0)

    def _split(self, path: str) -> tuple[Inode, bytes]:
        parent, _, name = path.rpartition("/")
        return self.lookup(parent), name.encode()

    def _write_dirent(self, parent: Inode, name: bytes, ino: int, kind: int) -> int:
        parent.version += 1
        fields = {"pino": parent.ino, "version": parent.version, "ino": ino, "type": kind, "name": name}
        node = build(NodeType.DIRENT, ORDER, mctime=BEGIN_SECONDS, **fields)
        entry_bytes = DIRENT_ENTRY_BYTES + len(name)
        self.log.reserve(len(node), entry_bytes)
        entry = {"nodetype": int(NodeType.DIRENT), "totlen": len(node), **fields}
        return self.log.append(node, DIRENT_BYTES, entry, entry_bytes)
