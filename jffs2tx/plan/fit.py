"""What is rebuilt and what is written again, so that the commit set fits its block.

Two things move bytes out of the commit set, which one block or page limits, into staging blocks, of which there are
many. A directory that stays can be rebuilt: then none of its changes is in the set, at most its own name is. And a file
of which only metadata change can be written again as a new inode.

To choose them is an optimisation problem on the tree of directories, solved with a price (a Lagrange multiplier): a
byte of the set costs so many staged bytes. For a given price the cheapest choice is found bottom-up, since a directory
depends on the rest only by whether its parent is rebuilt. The higher the price, the smaller the set; a bisection finds
the lowest price at which it fits. So what fits at all is found, and for the size of the set that results no choice
stages less. The room that is then left in the block takes back the largest files that fit. Files with names in several
directories are written again only if nothing else fits, and then all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jffs2tx.errors import TooBig
from jffs2tx.plan.changes import (
    INODE_BYTES,
    Changes,
    Size,
    attribute_size,
    directory_size,
    dirent_size,
    written_again,
)
from jffs2tx.plan.model import ROOT, Medium, parent_of
from jffs2tx.plan.rebuild import rebuild_bytes, unshared
from jffs2tx.readers import Strategy

#: A price is in 1/1024 of a staged byte for each byte of the commit set. At the highest one only the set counts.
PRICE_UNIT = 1 << 10
HIGHEST_PRICE = 1 << 50
#: The bisection ends where the price is known to 1/64 of it.
PRICE_SHIFT = 6
FORBIDDEN = 1 << 200
CHUNK_BYTES = 4096
NOTHING = Size()


@dataclass(frozen=True, slots=True)
class _File:
    """A file that stays and takes new metadata; all its names are in one directory."""

    leader: bytes  # its first path
    kept: Size  # its metadata in the commit set
    names: Size  # its dirents there, if it is written again and its directory is not
    staged: int  # bytes that writing it again costs at most

    def is_again(self, price: int, in_rebuilt: bool) -> bool:
        return self.cost(price, in_rebuilt) < price * self.kept.bytes

    def cost(self, price: int, in_rebuilt: bool) -> int:
        return self.staged * PRICE_UNIT + (0 if in_rebuilt else price * self.names.bytes)


@dataclass(slots=True)
class _Directory:
    stays: bool  # False: it is new, and all in it is staged
    kept: Size = NOTHING  # its changes in the commit set
    name: Size = NOTHING  # its dirent there, if it is rebuilt and its parent is not
    staged: int = 0  # bytes that rebuilding it costs
    files: list[_File] = field(default_factory=list)

    def cost(self, price: int, rebuilt: bool) -> int:
        """Of the directory and its files, without what is below it."""
        own = self.staged * PRICE_UNIT if rebuilt else price * self.kept.bytes
        return own + sum(min(price * file.kept.bytes, file.cost(price, rebuilt)) for file in self.files)


@dataclass(frozen=True, slots=True)
class _Answer:
    rebuilt: set[bytes]
    again: set[bytes]  # files that are written again, by first path
    size: Size  # of the commit set


class _Problem:
    def __init__(self, changes: Changes, strategy: Strategy, medium: Medium, shares: bool) -> None:
        self.changes = changes
        self.strategy = strategy
        self.medium = medium
        self.shares = shares
        self.forced = unshared(changes, set(), shares)
        self.spread: set[bytes] = set()  # files with names in several directories, which no directory decides
        paths = [path for path, node in changes.wanted.items() if node.entry.type == "dir"]
        self.directories = {path: self._directory(path) for path in paths}
        for path, change in changes.attributes.items():
            if change.entry.type != "dir":
                self._add_file(path)

    def _directory(self, path: bytes) -> _Directory:
        if self.changes.match.ino[path] is None:
            return _Directory(stays=False)
        return _Directory(
            stays=True,
            kept=directory_size(self.changes, path, self.strategy),
            name=NOTHING if path == ROOT else self._name_size(path),
            staged=INODE_BYTES + rebuild_bytes(self.changes, {path}),
        )

    def _name_size(self, path: bytes) -> Size:
        """What it adds to the set to give this name another inode."""
        if path in self.changes.links.get(parent_of(path), ()):
            return NOTHING  # it gets one in any case
        return dirent_size(path, self.strategy is Strategy.FLIP)

    def _add_file(self, leader: bytes) -> None:
        change = self.changes.attributes[leader]
        names = self.changes.match.names[leader]
        homes = {parent_of(name) for name in names}
        if len(homes) > 1:
            self.spread.add(leader)
            return
        staged = change.entry.size + INODE_BYTES * max(1, -(-change.entry.size // CHUNK_BYTES))
        again = sum(map(self._name_size, names), NOTHING)
        self.directories[homes.pop()].files.append(_File(leader, attribute_size(change), again, staged))

    def fits(self, size: Size) -> bool:
        return size.bytes <= self.limit(size)

    def limit(self, size: Size) -> int:
        return max(0, self.medium.limit(self.strategy.value, size.summary))

    def is_inside(self, path: bytes, rebuilt: set[bytes]) -> bool:
        """Names in this directory are staged."""
        return path in rebuilt or not self.directories[path].stays

    # ---- one price ----

    def answer(self, price: int) -> _Answer:
        decide = self._decide(price)
        rebuilt: set[bytes] = set()
        for path, directory in self.directories.items():  # parents first
            inside = path != ROOT and self.is_inside(parent_of(path), rebuilt)
            if directory.stays and decide[path][inside]:
                rebuilt.add(path)
        rebuilt = unshared(self.changes, rebuilt, self.shares)
        again = {
            file.leader
            for path, directory in self.directories.items()
            for file in directory.files
            if file.is_again(price, self.is_inside(path, rebuilt))
        }
        return _Answer(rebuilt, again, self._size(rebuilt, again))

    def _decide(self, price: int) -> dict[bytes, tuple[bool, bool]]:
        """By directory: whether it is rebuilt if its parent is kept, and if its parent is rebuilt."""
        decide = {}
        below = dict.fromkeys(self.directories, (0, 0))  # cost of what is below, if it is kept and if it is rebuilt
        for path, directory in reversed(self.directories.items()):
            kept = below[path][False] + directory.cost(price, False)
            rebuilt = below[path][True] + directory.cost(price, True)
            if not directory.stays or path in self.forced:
                kept = FORBIDDEN
            shared = kept if self.shares else FORBIDDEN  # a rebuilt parent names it too
            named = FORBIDDEN if path == ROOT else rebuilt + price * directory.name.bytes
            decide[path] = (named < kept, rebuilt < shared)
            if path != ROOT:
                first, second = below[parent_of(path)]
                below[parent_of(path)] = (first + min(kept, named), second + min(shared, rebuilt))
        return decide

    def _size(self, rebuilt: set[bytes], again: set[bytes]) -> Size:
        total = sum((attribute_size(self.changes.attributes[path]) for path in self.spread), NOTHING)
        for path, directory in self.directories.items():
            inside = self.is_inside(path, rebuilt)
            if not inside:
                total += directory.kept
            if path in rebuilt and not self.is_inside(parent_of(path), rebuilt):
                total += directory.name
            for file in directory.files:
                if file.leader not in again:
                    total += file.kept
                elif not inside:
                    total += file.names
        return total

    # ---- the price ----

    def solve(self) -> _Answer:
        """Raises TooBig where not even the smallest set fits."""
        answer = self.answer(0)
        if self.fits(answer.size):
            return answer
        low, high, best = 0, HIGHEST_PRICE, self.answer(HIGHEST_PRICE)
        if not self.fits(best.size):
            raise TooBig(
                f"the commit set needs at least {best.size.bytes} bytes, and {self.limit(best.size)} fit by "
                f"{self.strategy.value}: change fewer names in the root directory"
            )
        while high - low > max(1, high >> PRICE_SHIFT):
            price = (low + high) // 2
            answer = self.answer(price)
            if self.fits(answer.size):
                high, best = price, answer
            else:
                low = price
        return self._give_back(best)

    def _give_back(self, best: _Answer) -> _Answer:
        """Files that need not be written again after all: the largest first, as long as their metadata fit."""
        again, size = set(best.again), best.size
        files = [(path, file) for path, directory in self.directories.items() for file in directory.files]
        for path, file in sorted(files, key=lambda at: (-at[1].staged, at[1].leader)):
            names = NOTHING if self.is_inside(path, best.rebuilt) else file.names
            more = size - names + file.kept
            if file.leader in again and self.fits(more):
                again.remove(file.leader)
                size = more
        return _Answer(best.rebuilt, again, size)


def fit(changes: Changes, strategy: Strategy, medium: Medium, shares: bool) -> tuple[Changes, set[bytes]]:
    """The changes, in which the files that are written again have new inodes, and the directories to rebuild.

    Raises TooBig.
    """
    problem = _Problem(changes, strategy, medium, shares)
    try:
        answer = problem.solve()
    except TooBig:
        if not problem.spread:
            raise
        return fit(written_again(changes, problem.spread), strategy, medium, shares)
    return written_again(changes, answer.again), answer.rebuilt
