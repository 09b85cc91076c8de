"""No dirent comes last in what we write: padding, or the free end of a block, comes after a guard (csrc/guard.h)."""

from itertools import pairwise

import pytest

from jffs2tx._ffi import lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, pad4
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction

from .crafted import ERASE, NAND, NOR, block, content, crash, cuts, directory, dirent, filesystem, inode, state
from .medium import GOOD, nodes

NAND512 = Geometry("nand", 64 * ERASE, ERASE, 512, 256, 8)
WAYS = [
    (NOR, "flip"),
    (NOR, "swap"),
    (NAND, "lift"),
    (NAND, "seal"),
    (NAND, "swap"),
    (NAND512, "seal"),
    (NAND512, "swap"),
]
OLD = {b"d": None} | dict.fromkeys([b"d/f%02d" % number for number in range(20)], b"old")
#: What a scan adds to an obsolete node before it.
LOOSE = (lib.JX_V_ERASED, lib.JX_V_NOISE)


def last_names(flash, tagged=False):
    """Names of dirents that padding, noise or erased bytes follow; tagged: in blocks of transactions."""
    found = []
    for node, after in pairwise(nodes(flash)):
        is_name = node.type == NodeType.DIRENT and node.verdict == GOOD and node.child
        follows = after.offset == node.offset + pad4(40 + len(node.name)) and after.offset % ERASE
        if is_name and follows and (after.verdict in LOOSE or after.type == NodeType.PADDING):
            found += [node.name] if node.role or not tagged else []
    return found


def land(flash, strategy):
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=200, strategy=strategy, readers=named(("linux-summary",)))
        tx.put("d/f03", b"new")
        if strategy != "swap":
            tx.mkdir("n")
            for number in range(300):  # dirents of more than one block
                tx.put(f"n/{number}", b"")
            tx.remove("d/f04")
            tx.put("d/f19", b"new")
        tx.commit()


@pytest.mark.parametrize(("geometry", "strategy"), WAYS)
def test_no_dirent_of_ours_comes_last(geometry, strategy):
    with filesystem(geometry, OLD) as flash:
        assert last_names(flash) == []  # of a new image either
        land(flash, strategy)
        assert last_names(flash, tagged=True) == []
        assert state(flash) == "settled" and content(flash)[b"d/f03"] == b"new"


def partial(*more):
    """A kernel's block that has room left, and free ones."""
    names = [dirent(1, 2 + number, b"f%d" % number, 2 + number) for number in range(4)]
    return block(directory(1), *[inode(2 + number, 1, b"old") for number in range(4)], *names, *more)


def put(flash, name):
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=200, strategy="flip")
        tx.put(name, b"new")
        tx.commit()


def test_where_a_kernel_was_to_go_on_a_guard_comes_first():
    """After a mount it goes on in the block with most room, and that may be ours from now on."""
    full = block(directory(1), inode(9, 1, b"x" * (ERASE - 300)), dirent(1, 9, b"last", 9))
    with Flash.simulator(NOR, (full + partial()).ljust(NOR.size, b"\xff")) as flash:
        assert last_names(flash) == [b"last", b"f3"]
        put(flash, "f0")
        assert last_names(flash) == [b"last"]  # a kernel ended that block, and does not go on there
        for cut in cuts(flash):
            with crash(flash, cut) as after:
                assert content(after)[b"f0"] in (b"old", b"new")
                assert len(content(after)) == 5


def test_where_something_else_comes_last_no_guard_is_written():
    with Flash.simulator(NOR, partial(inode(2, 2, b"old")).ljust(NOR.size, b"\xff")) as flash:
        before = flash.read(0, ERASE)
        put(flash, "f9")
        assert flash.read(0, ERASE) == before
