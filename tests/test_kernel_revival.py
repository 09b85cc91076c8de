"""Nothing old comes back after an upgrade, or after one that was cut and recovered, whatever the kernel then does with
the same names, while its collector takes away every block that was there (tests/revival.py).
"""

from __future__ import annotations

import pytest

from jffs2tx.device import Flash, Geometry
from jffs2tx.filesystem import FileSystem
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import recover

from . import revival
from .crafted import CLEANMARKER, ERASE, block, content, crash, cuts, directory, dirent, inode, state
from .lab.fixture import lab  # noqa: F401
from .lab.lab import Case, Nor, call, mount, read_back, sh, umount

pytestmark = pytest.mark.lab

NOR = Geometry("nor", 24 * ERASE, ERASE)
#: Blocks below the tree, so that what the kernel writes has a lower place than what it deletes.
BELOW = 4
NOR_CHIP = Nor(NOR.size, ERASE)
#: The collector chooses by the clock. Five of six times the block with the newest names is the first, and that brings
#: back what can come.
TURNS = 6
CLEAN = CLEANMARKER.ljust(ERASE, b"\xff")


def old_tree() -> dict[str, str]:
    return {f"d/f{number:02}": f"old {number}\n" for number in range(20)} | {"big": "x" * 3 * 4096, "tiny": "t"}


def old_image(geometry: Geometry = NOR) -> bytes:
    """Twenty names, one dirent right after the other, in a block that is nearly full.

    Before it are erased blocks, and the one with the most room, where the kernel goes on.
    """
    names = list(old_tree())[:20]
    nodes = [directory(1), dirent(1, 2, b"d", 2, type=4), directory(2), dirent(1, 3, b"big", 3)]
    nodes += [inode(3, 1 + part, b"x" * 4096, offset=4096 * part) for part in range(3)]
    nodes += [dirent(2, 2 + number, path[2:].encode(), 4 + number) for number, path in enumerate(names)]
    nodes += [inode(4 + number, 1, old_tree()[path].encode()) for number, path in enumerate(names)]
    image = block(dirent(1, 4, b"tiny", 40), inode(40, 1, b"t")) + CLEAN * BELOW + block(*nodes)
    return image + CLEAN * (geometry.blocks - len(image) // ERASE)


def collected(seed: int, removed: list[str], tree: dict[str, str], actions: int = 0):
    return call(revival.__file__, ERASE, tree, removed, seed, actions)


def test_a_deleted_name_stays_deleted_after_an_upgrade_that_replaced_its_neighbour(lab):  # noqa: F811
    """A kernel with summary support joins a marked dirent to the one before it, and does not know that one any more."""
    tree = old_tree()
    with Flash.simulator(NOR, old_image()) as flash:
        with FileSystem(flash) as fs:
            tx = Transaction(flash, fs, time=200, strategy="flip")
            for path in list(tree)[1:20:2]:
                tree[path] = "new\n"
                tx.put(path, b"new\n")
            tx.commit()
        image = flash.read(0, NOR.size)
    steps = [mount(), collected(0, list(tree)[:20:2], tree), umount()]
    for result in lab.run([Case(f"neighbour {turn}", NOR_CHIP, image, (), "stock", steps) for turn in range(TURNS)]):
        assert result.ok, result.why()


REMOVED = [f"d/f{number:02}" for number in range(8)]


def cut_after_the_commit() -> bytes:
    """An upgrade that removes names, by flip; nothing of it is settled."""
    with Flash.simulator(NOR, old_image()) as flash:
        with FileSystem(flash) as fs:
            tx = Transaction(flash, fs, time=200, strategy="flip")
            for path in REMOVED:
                tx.remove(path)
            tx.commit()
        for cut in cuts(flash):
            with crash(flash, cut) as after:
                if REMOVED[0].encode() not in content(after):
                    assert state(after) == "committed"
                    return after.read(0, NOR.size)
    raise AssertionError("no commit")


def test_a_name_that_a_kernel_made_before_recover_goes_for_good(lab):  # noqa: F811
    """A kernel without summary support marks the set's own dirent when it makes the name; what the upgrade removed must
    not wait behind that one."""
    make = sh(f"cd $MNT; for name in {' '.join(REMOVED)}; do echo mine > $name; done")
    steps = [mount(), make, umount(), read_back()]
    (made,) = lab.run([Case("made", NOR_CHIP, cut_after_the_commit(), (), "nosummary", steps)])
    assert made.ok, made.why()
    with Flash.memory(NOR, made.named("read_back")[0].image) as flash:
        recover(flash)
        assert state(flash) in ("settled", "none") and content(flash)[REMOVED[0].encode()] == b"mine\n"
        image = flash.read(0, NOR.size)
    steps = [mount(), collected(0, REMOVED, old_tree() | dict.fromkeys(REMOVED, "mine\n")), umount()]
    (result,) = lab.run([Case("gone", NOR_CHIP, image, (), "nosummary", steps)])
    assert result.ok, result.why()
