"""Small file systems for tests: built by our own writer, or node by node."""

import hashlib

from jffs2tx._ffi import ffi, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, build, pad4
from jffs2tx.manifest import Entry, Manifest
from jffs2tx.mkfs import make_filesystem
from jffs2tx.readers import READERS

KIB = 1024
ERASE = 16 * KIB
NOR = Geometry("nor", 32 * ERASE, ERASE)
NAND = Geometry("nand", 32 * ERASE, ERASE, 2048, 512, 8)
LINUX_SUMMARY = (READERS["linux-summary"],)
TIME = 100


# ---- by our own writer ----


def entries(files):
    """A manifest and its content: path -> bytes for a file, None for a directory, Entry as it is."""
    found, content = [Entry(path=b"", type="dir", mode=0o755, uid=0, gid=0, time=TIME)], {}
    for path, what in files.items():
        if isinstance(what, Entry):
            found.append(what)
        elif what is None:
            found.append(Entry(path=path, type="dir", mode=0o755, uid=0, gid=0, time=TIME))
        else:
            found.append(file_entry(path, what))
            content[found[-1].sha256] = what
    return Manifest(found), lambda entry: [content[entry.sha256]] if entry.size else []


def file_entry(path, data, **more):
    given = {"mode": 0o644, "uid": 0, "gid": 0, "time": TIME} | more
    return Entry(path=path, type="file", size=len(data), sha256=hashlib.sha256(data).hexdigest(), **given)


def link_entry(path, target):
    return Entry(path=path, type="link", mode=0o777, uid=0, gid=0, time=TIME, link=target)


def filesystem(geometry, files, **options):
    """A simulator with this tree; its log is empty."""
    flash = Flash.simulator(geometry)
    make_filesystem(flash, *entries(files), **options)
    lib.jx_sim_restart(flash.handle)
    return flash


def tree(flash, **options):
    """path -> (ino, content or None) of all that can be listed."""
    with FileSystem(flash, **options) as fs:
        return {path: (st.ino, fs.read_ino(st.ino) if st.type == "file" else None) for path, st in fs.walk()}


def content(flash, **options):
    return {path: data for path, (_, data) in tree(flash, **options).items() if data is not None}


def state(flash):
    with FileSystem(flash) as fs:
        return fs.status.state


def crash(flash, cut, faults=lib.JX_F1_CUT, tear=0):
    out = Flash.memory(flash.geometry)
    assert lib.jx_crash_build(flash.handle, cut, faults, tear, out.handle) == 0
    return out


def cuts(flash):
    return range(lib.jx_sim_op_count(flash.handle) + 1)


def operations(flash):
    """(kind, offset, length) of all that the simulator recorded."""
    op = ffi.new("struct jx_sim_op *")
    found = []
    for i in range(lib.jx_sim_op_count(flash.handle)):
        assert lib.jx_sim_op_get(flash.handle, i, op) == 0
        found.append((op.kind, op.off, op.len))
    return found


# ---- node by node ----

CLEANMARKER = build(NodeType.CLEANMARKER, "little")


def inode(ino, version, data=b"", *, mode=0o100644, size=None, offset=0, mtime=TIME, **more):
    size = offset + len(data) if size is None else size
    fields = {"uid": 0, "gid": 0, "atime": mtime, "mtime": mtime, "ctime": mtime, "compr": 0} | more
    fields.setdefault("dsize", len(data))
    return build(
        NodeType.INODE, "little", ino=ino, version=version, mode=mode, isize=size, offset=offset, data=data, **fields
    )


def directory(ino, version=1, **more):
    return inode(ino, version, mode=0o40755, **more)


def dirent(pino, version, name, ino, *, type=8, mctime=TIME):
    fields = {"pino": pino, "version": version, "name": name, "ino": ino, "type": type, "mctime": mctime}
    return build(NodeType.DIRENT, "little", **fields)


def obsolete(node):
    """As jffs2_mark_node_obsolete leaves it."""
    return node[:3] + bytes([node[3] & ~0x20]) + node[4:]


def tag(role, txid, sequence=0, strategy=0, **more):
    """Our own mark at the start of a block (csrc/txn.h); more: format, size, offset."""
    fields = {"role": role, "strategy": strategy, "txid": txid, "sequence": sequence, "id": bytes(16)}
    return build(NodeType.TAG, "little", **fields, **more)


def header(nodetype, totlen):
    out = ffi.new("uint8_t[12]")
    lib.jx_encode_header(lib.JX_LITTLE, out, nodetype, totlen)
    return bytes(out)


def block(*nodes, summary=None, erase=ERASE, start=CLEANMARKER):
    """An eraseblock: a cleanmarker, the nodes, and a summary of those of `summary` (indices into nodes)."""
    data, places = bytearray(start), []
    for node in nodes:
        places.append(len(data))
        data += node + b"\xff" * (pad4(len(node)) - len(node))
    if summary is not None:
        listed = [_entry(nodes[i], places[i]) for i in summary]
        fields = {"totlen": erase - len(data), "cln_mkr": len(CLEANMARKER), "padded": 0, "marker_offset": len(data)}
        data += build(NodeType.SUMMARY, "little", entries=listed, **fields)
    return bytes(data) + b"\xff" * (erase - len(data))


def _entry(node, offset):
    word = lambda at: int.from_bytes(node[at : at + 4], "little")  # noqa: E731
    if node[2] == NodeType.INODE & 0xFF:
        fields = {"nodetype": NodeType.INODE, "ino": word(12), "version": word(16), "offset": offset}
        return fields | {"totlen": len(node)}
    fields = {"nodetype": NodeType.DIRENT, "pino": word(12), "version": word(16), "ino": word(20), "offset": offset}
    return fields | {"totlen": len(node), "type": node[29], "name": node[40 : 40 + node[28]]}


def medium(*blocks, geometry=NOR):
    return Flash.memory(geometry, b"".join(blocks))
