"""What stands on a medium, node by node, and transactions call by call: for tests of rules that no tree shows."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.filesystem import FileSystem

GOOD = lib.JX_V_GOOD
DT_REG = 8


@dataclass(frozen=True)
class Node:
    """As struct jx_node has it; `role` and `txid` are of the tag of its block."""

    offset: int
    type: int
    verdict: int
    ino: int
    version: int
    child: int
    name: bytes
    role: int
    txid: int


def nodes(flash: Flash, **reader) -> list[Node]:
    with FileSystem(flash, **reader) as fs:
        raw, names, blocks = lib.jx_fs_nodes(fs.handle), lib.jx_fs_names(fs.handle), lib.jx_fs_blocks(fs.handle)
        found = []
        for i in range(lib.jx_fs_node_count(fs.handle)):
            n = raw[i]
            block = blocks[n.offset // flash.geometry.erase_size]
            name = ffi.buffer(names + n.name, n.nsize)[:] if n.nodetype == lib.JX_NODE_DIRENT else b""
            found.append(Node(n.offset, n.nodetype, n.verdict, n.ino, n.version, n.child, name, block.tag, block.txid))
        return found


def blocks(flash: Flash) -> list[tuple[int, int]]:
    """(state, role) of each eraseblock."""
    with FileSystem(flash) as fs:
        raw = lib.jx_fs_blocks(fs.handle)
        return [(raw[i].state, raw[i].tag) for i in range(lib.jx_fs_block_count(fs.handle))]


class Calls:
    """A transaction of the C core, call by call: each method is jx_txn_NAME and raises where that fails."""

    def __init__(self, txn) -> None:
        self.txn = txn

    def __getattr__(self, name: str):
        def call(*args):
            return check(getattr(lib, f"jx_txn_{name}")(self.txn, *args))

        return call

    def create(self, data: bytes, mode: int = 0o100644) -> int:
        """A whole new file; its inode number."""
        ino = ffi.new("uint32_t *")
        check(lib.jx_txn_create(self.txn, attributes(mode), len(data), ino))
        self.write(data, len(data))
        self.close()
        return ino[0]

    def name(self, pino: int, name: bytes, ino: int, kind: int = DT_REG, time: int = 5) -> None:
        self.link(pino, name, len(name), ino, kind, time)

    def drop(self, pino: int, name: bytes, time: int = 5) -> None:
        self.unlink(pino, name, len(name), time)


def attributes(mode: int, uid: int = 0, gid: int = 0, mtime: int = 5):
    return ffi.new("struct jx_attr *", {"mode": mode, "uid": uid, "gid": gid, "mtime": mtime})


@contextmanager
def transaction(fs: FileSystem, strategy: int, **options):
    given = {"strategy": strategy, "compr_mask": lib.JX_USE_NONE} | options
    out = ffi.new("jx_txn **")
    check(lib.jx_txn_begin(fs.handle, ffi.new("struct jx_txn_options *", given), out))
    try:
        yield Calls(out[0])
    finally:
        lib.jx_txn_free(out[0])
