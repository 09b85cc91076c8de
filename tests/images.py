"""Images that mkfs.jffs2 and sumtool make, and crafted ones, for tests."""

import os
import random
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from jffs2tx import format as medium
from jffs2tx.format import NodeType

KIB = 1024
TIME = 1_600_000_000
IS_ROOT = os.geteuid() == 0

needs_mkfs = pytest.mark.skipif(not shutil.which("mkfs.jffs2"), reason="mkfs.jffs2 is missing (mtd-utils)")
needs_root = pytest.mark.skipif(not IS_ROOT, reason="devices and owners need root")

#: What make_image knows: options of mkfs.jffs2, of sumtool (None: not run), and what open_image is told.
FLAVOURS = {
    "little": (["-l", "-e", "64KiB"], None, {}),
    "big": (["-b", "-e", "64KiB"], None, {}),
    "summary": (["-l", "-e", "64KiB"], ["-l", "-e", "64KiB"], {}),
    "big-summary": (["-b", "-e", "64KiB"], ["-b", "-e", "64KiB"], {}),
    "nand": (["-l", "-e", "16KiB", "-n"], None, {"page_size": 512}),
    "nand-summary": (["-l", "-e", "128KiB", "-n"], ["-l", "-n", "-e", "128KiB"], {"page_size": 2048}),
}


def make_tree(root: Path) -> Path:
    """A directory with one of everything. mkfs.jffs2 gives each directory the time of its last child and writes none
    for the root, which a reader then makes up: so all times are TIME, and the root's is 0.
    """
    for directory in ("etc/deep/er", "empty", "bin"):
        (root / directory).mkdir(parents=True)
    (root / "etc/passwd").write_bytes(b"root:x:0:0::/root:/bin/sh\n")
    (root / "etc/deep/er/zeros").write_bytes(bytes(70_000))
    (root / "bin/noise").write_bytes(random.Random(1).randbytes(300_000))
    (root / "bin/text").write_bytes(b"".join(b"line %d\n" % i for i in range(12_000)))
    (root / "nothing").write_bytes(b"")
    (root / b"odd \xff\n#name".decode("utf-8", "surrogateescape")).write_bytes(b"odd")
    os.link(root / "etc/passwd", root / "etc/deep/link")
    os.symlink("../etc/passwd", root / "bin/relative")
    os.symlink("/etc/deep", root / "absolute")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "socket"))
    if IS_ROOT:
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(root / "disk", stat.S_IFBLK | 0o660, os.makedev(8, 17))  # mkfs.jffs2 cuts what is over 255
        os.chown(root / "etc/passwd", 1000, 65535)
        os.chown(root / "bin/relative", 7, 8, follow_symlinks=False)
        os.chmod(root / "bin/text", 0o4755)
    os.chmod(root / "empty", 0o1777)
    os.chmod(root, 0o755)
    for directory, names, files in os.walk(root, topdown=False):
        for name in (*names, *files, "."):
            os.utime(os.path.join(directory, name), (TIME, TIME), follow_symlinks=False)
    os.utime(root, (0, 0))
    return root


def make_image(source: Path, target: Path, flavour: str = "little", *options: str) -> Path:
    mkfs, sumtool, _ = FLAVOURS[flavour]
    command = ["mkfs.jffs2", "-r", source, "-o", target, *mkfs, *options]
    subprocess.run(command, check=True, capture_output=True)
    if sumtool is not None:
        plain = target.rename(target.with_suffix(".plain"))
        subprocess.run(["sumtool", "-i", plain, "-o", target, *sumtool], check=True, capture_output=True)
    return target


# ---- crafted images --------------------------------------------------------------------------------------------------

DT = {"dir": 4, "file": 8, "link": 10}
MODE = {"dir": stat.S_IFDIR | 0o755, "file": stat.S_IFREG | 0o644, "link": stat.S_IFLNK | 0o777}


def inode(ino, version, data=b"", *, order="little", offset=0, isize=None, mode=MODE["file"], kind=None, **fields):
    """An inode node with plain data. isize: where the data end, if not given."""
    values = {
        "ino": ino,
        "version": version,
        "mode": mode,
        "uid": 0,
        "gid": 0,
        "isize": offset + len(data) if isize is None else isize,
        "atime": TIME,
        "mtime": TIME,
        "ctime": TIME,
        "offset": offset,
        "dsize": len(data),
        "compr": 0,
        "data": data,
    }
    return medium.build(kind or NodeType.INODE, order, **(values | fields))


def dirent(name, ino, version, *, pino=1, order="little", kind="file", **fields):
    values = {"pino": pino, "version": version, "ino": ino, "mctime": TIME, "type": DT[kind], "name": name}
    return medium.build(fields.pop("nodetype", NodeType.DIRENT), order, **(values | fields))


def cleanmarker(order="little"):
    return medium.build(NodeType.CLEANMARKER, order)


def block(*nodes, size=64 * KIB, order="little", clean=True):
    """One eraseblock: a cleanmarker, the nodes, and erased from there on."""
    content = b"".join(
        node + b"\xff" * (-len(node) % 4) for node in ((cleanmarker(order),) if clean else ()) + tuple(nodes)
    )
    assert len(content) <= size
    return content + b"\xff" * (size - len(content))


def medium_of(*blocks, count=8):
    """The blocks, and so many more that are free."""
    return b"".join(blocks) + block() * (count - len(blocks))
