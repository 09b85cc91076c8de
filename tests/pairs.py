"""All ordered pairs of what a manifest can ask for, in one transaction: the second meets the work of the first.

The names are few, so that the two meet: what was just made is what is changed next, and what was removed is made again.
Nothing here knows of flash.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from jffs2tx.transaction import Transaction

from .scenarios import NOW, Scenario, Tree, text

FREE = ("a/file", "a/new", "a/newer", "b/new")
FILES = ("a/new", "a/newer", "a/file", "a/other", "b/other")


def tree(t: Tree, b: str) -> None:
    t.file("untouched", text(40, 1))
    t.file(f"{b}a/file", text(60, 2))
    t.file(f"{b}a/other", text(50, 3), xattrs={b"user.kind": b"other"})
    t.file(f"{b}b/other", text(30, 4))
    for name in ("one", "two", "three"):
        t.file(f"{b}a/{name}", text(30, 5), inode=1)
    t.alike(*(f"{b}a/{name}" for name in ("one", "two", "three")))
    t.link(f"{b}a/link", "file")
    t.dir(f"{b}a/empty")
    t.dir(f"{b}b/empty")
    t.node(f"{b}a/null", "char", (1, 3))


def earlier(tx: Transaction, b: str) -> None:
    """A past, so that there are older versions and deletion dirents."""
    tx.put(f"{b}a/file", text(55, 6))
    tx.put(f"{b}a/new", text(10, 7))


def earlier_again(tx: Transaction, b: str) -> None:
    tx.remove(f"{b}a/new")


# ---- the operations --------------------------------------------------------------------------------------------------


def _first(tx: Transaction, b: str, names: tuple[str, ...], *kinds: str) -> str:
    """The first of these names that stands for one of these types; with none, the first that is free."""
    for name in names:
        node = tx._wanted.get(f"{b}{name}".encode())
        if (node.entry.type in kinds) if node else not kinds:
            return f"{b}{name}"
    raise AssertionError(f"none of {', '.join(names)} is {' or '.join(kinds) or 'free'}")


def create(tx: Transaction, b: str) -> None:
    tx.put(_first(tx, b, FREE), text(25, 20 + len(tx._wanted)))


def replace(tx: Transaction, b: str) -> None:
    tx.put(_first(tx, b, FILES, "file"), text(35, 60 + len(tx._content)))


def delete(tx: Transaction, b: str) -> None:
    tx.remove(_first(tx, b, FILES, "file"))


def rename(tx: Transaction, b: str) -> None:
    """Over what is there, in another directory."""
    tx.rename(_first(tx, b, FILES[:4], "file"), f"{b}b/other")


def chmod(tx: Transaction, b: str) -> None:
    path = _first(tx, b, FILES, "file")
    tx.chmod(path, 0o600 + len(tx._content))
    tx.utime(path, NOW - 1)


def link(tx: Transaction, b: str) -> None:
    tx.link(_first(tx, b, FILES, "file"), _first(tx, b, ("a/hard", "b/hard")))


def unlink(tx: Transaction, b: str) -> None:
    tx.remove(_first(tx, b, ("a/hard", "a/one", "a/two"), "file"))


def type_change(tx: Transaction, b: str) -> None:
    path = _first(tx, b, FILES, "file", "link")
    kind = tx._wanted[path.encode()].entry.type
    tx.remove(path)
    if kind == "file":
        tx.symlink(path, "elsewhere")
    else:
        tx.mkdir(path)


def mkdir(tx: Transaction, b: str) -> None:
    path = _first(tx, b, (*FREE, "a/dir"))
    tx.mkdir(path, mode=0o700)
    tx.put(f"{path}/inside", text(12, 90))


def rmdir(tx: Transaction, b: str) -> None:
    tx.remove(_first(tx, b, ("a/new", "a/file", "a/empty", "b/empty"), "dir"), recursive=True)


def xattr(tx: Transaction, b: str) -> None:
    path = _first(tx, b, ("a/new", "a/other", "a/file"), "file", "dir")
    tx.setxattr(path, b"user.kind", b"%d" % len(tx._wanted))


def device(tx: Transaction, b: str) -> None:
    tx.mknod(_first(tx, b, (*FREE[:3], "a/dev")), "block", (8, len(tx._wanted)))


OPERATIONS: tuple[Callable[[Transaction, str], None], ...] = (
    create, replace, delete, rename, chmod, link, unlink, type_change, mkdir, rmdir, xattr, device,
)  # fmt: skip
#: New metadata of inodes that stay are beyond swap, which moves one name.
NO_SWAP = ("chmod", "xattr")


def _pair(first: Callable, second: Callable) -> Scenario:
    def change(tx: Transaction, b: str) -> None:
        first(tx, b)
        second(tx, b)

    name = f"{first.__name__}+{second.__name__}".replace("_", "-")
    without = ("swap",) if {first.__name__, second.__name__} & set(NO_SWAP) else ()
    return Scenario(name, change, tree, past=(earlier, earlier_again), without=without, small=True)


PAIRS = {pair.name: pair for pair in (_pair(first, second) for first, second in product(OPERATIONS, OPERATIONS))}
