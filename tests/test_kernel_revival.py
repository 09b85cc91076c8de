"""Nothing old comes back after an upgrade, or after one that was cut and recovered, whatever the kernel then does with
the same names, while its collector takes away every block that was there (tests/revival.py).
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass

import pytest

from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import NoSpace, StrategyError
from jffs2tx.filesystem import FileSystem
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import recover

from . import revival
from .crafted import CLEANMARKER, ERASE, block, content, crash, cuts, directory, dirent, filesystem, inode, state
from .lab.fixture import lab  # noqa: F401
from .lab.lab import Case, Nand, Nor, Result, call, mount, read_back, sh, umount
from .media import State, simulated, state_of

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
    return call(revival.__file__, ERASE, 1, tree, removed, seed, actions)


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


def test_a_deleted_name_stays_deleted_where_its_dirent_was_the_last_that_we_wrote(lab):  # noqa: F811
    """A mount joins the free end of a block to that dirent, unless it goes on there (csrc/guard.c).

    The deletion is in a block that the collector takes first.
    """
    start = [directory(1), dirent(1, 2, b"big", 2), inode(2, 1, b"x" * 4096), inode(60, 1, b"y" * 4000)]
    start += [inode(60, 2, b"y" * 4000), inode(60, 3, b"y" * 3800)]
    with Flash.simulator(NOR, block(*start) + CLEAN * (NOR.blocks - 1)) as flash:
        with FileSystem(flash) as fs:
            tx = Transaction(flash, fs, time=200, strategy="flip")
            tx.mkdir("n")
            tx.put("n/0", random.Random(0).randbytes(10000))
            tx.put("n/gone", b"new")
            tx.commit()
        with FileSystem(flash) as fs:
            above = fs.resolve("n")
        image = block(*start, dirent(above, 99, b"gone", 0)) + flash.read(ERASE, NOR.size - ERASE)
    with Flash.memory(NOR, image) as flash:
        assert content(flash).keys() == {b"big", b"n/0"}
    collect = "pid=$(pidof jffs2_gcd_mtd0); for i in 1 2 3 4 5 6 7 8; do kill -HUP $pid; usleep 3000; done; sync"
    steps = [mount(), sh(collect), umount(), mount(), sh("ls $MNT/n; test ! -e $MNT/n/gone"), umount()]
    for result in lab.run([Case(f"last {turn}", NOR_CHIP, image, (), "stock", steps) for turn in range(TURNS)]):
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


# ---- at random -------------------------------------------------------------------------------------------------------

ROUNDS = int(os.environ.get("JFFS2TX_REVIVAL", "3"))  # of each kernel and kind of flash
LINES = 30  # media that go from round to round, at most
ACTIONS = 25
OUTSIDE = (revival.FILL, revival.FORGOTTEN)
KINDS = ("upgrade", "rollback", "cut")
NAND = Geometry("nand", 40 * ERASE, ERASE, 512, 256, 8)


@dataclass
class Way:
    """A kernel on a kind of flash, and an upgrade that suits both."""

    kernel: str
    geometry: Geometry
    chip: Nor | Nand
    strategy: str
    #: Taken in turn.
    readers: tuple[str, ...]


WAYS = (
    Way("stock", NOR, NOR_CHIP, "flip", ("linux", "linux-summary")),
    Way("nosummary", NOR, NOR_CHIP, "flip", ("linux", "linux-no-summary")),
    Way("stock", NAND, Nand(512, NAND.size), "seal", ("linux-summary",)),
    Way("nosummary", NAND, Nand(512, NAND.size), "swap", ("linux", "linux-no-summary")),
)


@dataclass
class Line:
    """One medium: what stands on it now, the tree that must be seen, and the one before the last upgrade."""

    way: Way
    number: int
    state: State
    tree: dict[str, str]
    before: dict[str, str]
    turn: int = 0
    forgotten: int = 0  # names that came back since their dirents end a page: the kernel's own doing, NAND only

    @property
    def name(self) -> str:
        return f"{self.way.kernel} {self.way.geometry.kind} {self.number}.{self.turn}"

    def upgrade(self) -> str:
        """Lands a new tree, or the one before, or is cut and recovered; what it did."""
        chosen = random.Random(self.name)
        kind = KINDS[(self.number + self.turn) % len(KINDS)]
        goal = rolled_back(self.tree, self.before) if kind == "rollback" else changed(self.tree, chosen)
        readers = named((self.way.readers[self.number % len(self.way.readers)],))
        with simulated(self.way.geometry, self.state) as flash:
            try:
                land(flash, self.tree, goal, self.way.strategy, readers)
            except (NoSpace, StrategyError):  # swap gives no metadata to a file that stays
                return "refused"
            flash, kind = (cut_somewhere(flash, chosen, readers), kind) if kind == "cut" else (flash, kind)
            self.state, seen = state_of(flash), tree_of(flash)
        assert seen == goal or (kind == "cut" and seen == self.tree), self.name
        self.tree, self.before = seen, self.tree
        return kind

    def case(self) -> Case:
        work = call(revival.__file__, ERASE, self.way.geometry.write_size, self.tree, [], self.name, ACTIONS)
        steps = [mount(), work, umount(), read_back()]
        return Case(self.name, self.way.chip, self.state.image, self.state.markers, self.way.kernel, steps)

    def go_on(self, result: Result) -> None:
        back = result.named("read_back")[0]
        self.state = State(back.image, tuple(back.cleanmarkers or ()))
        with simulated(self.way.geometry, self.state) as flash:
            self.tree = tree_of(flash, summary=self.way.kernel == "stock")
            noted = content(flash, summary=self.way.kernel == "stock").get(revival.FORGOTTEN.encode(), b"")
            self.forgotten = noted.count(b"\n")
        self.turn += 1


def first_line(way: Way, number: int) -> Line:
    tree = {f"{above}/f{name:02}": f"old {above}{name}\n" for above in "de" for name in range(14)}
    files = {b"d": None, b"e": None} | {path.encode(): text.encode() for path, text in tree.items()}
    with filesystem(way.geometry, files) as flash:
        return Line(way, number, state_of(flash), tree, tree)


def tree_of(flash: Flash, summary: bool = True) -> dict[str, str]:
    files = content(flash, summary=summary)
    return {path.decode(): text.decode() for path, text in files.items() if path.decode() not in OUTSIDE}


def rolled_back(tree: dict[str, str], before: dict[str, str]) -> dict[str, str]:
    """In one directory, so that swap can do it too."""
    return {path: text for path, text in tree.items() if path[:2] != "d/"} | {
        path: text for path, text in before.items() if path[:2] == "d/"
    }


def changed(tree: dict[str, str], chosen: random.Random) -> dict[str, str]:
    """The same."""
    tree = dict(tree)
    for number in range(8):
        path = f"d/f{chosen.randrange(30):02}"
        if path in tree and number % 2:
            del tree[path]
        else:
            tree[path] = f"by upgrade {chosen.random()}\n"
    return tree


def land(flash: Flash, old: dict[str, str], goal: dict[str, str], strategy: str, readers) -> None:
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=300, strategy=strategy, readers=readers)
        for path in sorted(old.keys() | goal.keys()):
            if path not in goal:
                tx.remove(path)
            elif old.get(path) != goal[path]:
                tx.put(path, goal[path].encode())
        tx.commit()


def cut_somewhere(flash: Flash, chosen: random.Random, readers) -> Flash:
    """The power failed, more often than not around the commit, and recover ran."""
    last = len(cuts(flash)) - 1
    after = crash(flash, chosen.randrange(max(0, last - 12), last) if chosen.random() < 0.7 else chosen.randrange(last))
    recover(after, readers=readers)
    return after


def test_nothing_comes_back_at_random(lab):  # noqa: F811
    lines = [first_line(way, number) for way in WAYS for number in range(min(ROUNDS, LINES))]
    wrong, counts = [], Counter()
    for turn in range(-(-ROUNDS // LINES)):
        for line in lines:
            counts[line.way.kernel, line.way.geometry.kind, line.upgrade()] += 1
        going = []
        for line, result in zip(lines, lab.run([line.case() for line in lines]), strict=True):
            if result.ok:
                line.go_on(result)
                going.append(line)
            else:
                wrong.append(result.why())
        lines = going
        forgotten = sum(line.forgotten for line in lines)
        print(f"turn {turn}: {dict(counts)}, {len(wrong)} went wrong, {forgotten} by padding", flush=True)
    assert not wrong, "\n\n".join(wrong)
