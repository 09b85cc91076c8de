"""The canonical transactions: a tree, what happened to it before, and the change that must land at once.

Every path lies below `b`: "" for the root, "sys/" where all changes shall lie below one directory (as swap wants it).
Nothing here knows of flash.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from jffs2tx.manifest import Entry, Manifest
from jffs2tx.transaction import Transaction

BORN, PAST, NOW = 1_600_000_000, 1_650_000_000, 1_700_000_000


def text(words: int, seed: int) -> bytes:
    """Content that compresses, the same in every run."""
    rnd = random.Random(seed)
    return b" ".join(rnd.choice((b"atomic", b"commit", b"node", b"eraseblock", b"%d" % seed)) for _ in range(words))


def noise(size: int, seed: int) -> bytes:
    """Content that does not."""
    return random.Random(seed).randbytes(size)


class Tree:
    """A tree to begin with; each directory is made when first needed."""

    def __init__(self) -> None:
        self.entries = {b"": Entry(b"", "dir", 0o755, 0, 0, BORN)}
        self.content: dict[str, bytes] = {}

    def _add(self, path: str, kind: str, mode: int, **more) -> None:
        raw = path.strip("/").encode()
        parent = raw.rpartition(b"/")[0]
        if parent not in self.entries:
            self.dir(parent.decode())
        owner = len(self.entries) % 3
        time = BORN + len(self.entries)
        self.entries[raw] = Entry(raw, kind, mode, owner, owner * 2, time, **more)

    def dir(self, path: str, **more) -> None:
        self._add(path, "dir", 0o755, **more)

    def file(self, path: str, data: bytes, mode: int = 0o644, **more) -> None:
        digest = hashlib.sha256(data).hexdigest()
        self.content[digest] = data
        self._add(path, "file", mode, size=len(data), sha256=digest, **more)

    def link(self, path: str, target: str) -> None:
        self._add(path, "link", 0o777, link=target.encode())

    def node(self, path: str, kind: str, device: tuple[int, int] | None = None) -> None:
        self._add(path, kind, 0o660, device=device)

    def alike(self, *paths: str) -> None:
        """The names of one inode agree in all but the path."""
        for raw in (path.encode() for path in paths):
            entry = self.entries[raw]
            self.entries[raw] = Entry(raw, "file", 0o644, 1, 1, BORN, entry.size, entry.sha256, inode=entry.inode)

    def manifest(self) -> Manifest:
        return Manifest(self.entries.values())

    def read(self, entry: Entry) -> list[bytes]:
        return [self.content[entry.sha256]] if entry.size else []


Change = Callable[[Transaction, str], None]


def base(t: Tree, b: str) -> None:
    """A little of everything; what no change may touch is there too."""
    t.file("untouched/data", noise(5000, 1))
    t.link("untouched/link", "data")
    t.file(f"{b}etc/motd", text(200, 1))
    t.file(f"{b}etc/passwd", text(60, 2), 0o600)
    t.file(f"{b}etc/rc.d/boot", text(30, 3), 0o755)
    t.file(f"{b}etc/rc.d/net", text(40, 4), 0o755)
    t.file(f"{b}bin/sh", noise(9000, 5), 0o755)
    t.file(f"{b}bin/ls", text(1500, 6), 0o755)
    t.link(f"{b}bin/dir", "ls")
    t.file(f"{b}empty", b"")
    t.dir(f"{b}var/empty")
    t.node(f"{b}dev/null", "char", (1, 3))
    t.node(f"{b}dev/pipe", "fifo")


def churn(tx: Transaction, b: str) -> None:
    """An earlier upgrade, so that older versions, deletion dirents and dirty blocks are there."""
    tx.put(f"{b}etc/motd", text(250, 11))
    tx.put(f"{b}etc/new-in-the-past", text(20, 12))
    tx.remove(f"{b}etc/rc.d/net")
    tx.put(f"{b}etc/rc.d/late", text(20, 13))


def churn_again(tx: Transaction, b: str) -> None:
    tx.put(f"{b}etc/rc.d/net", text(45, 14))
    tx.rename(f"{b}etc/new-in-the-past", f"{b}etc/hosts")
    tx.remove(f"{b}etc/rc.d/late")
    tx.put(f"{b}var/log", text(70, 15))


# ---- the changes -----------------------------------------------------------------------------------------------------


def one_file(tx: Transaction, b: str) -> None:
    tx.put(f"{b}etc/motd", text(300, 21))


def many_directories(tx: Transaction, b: str) -> None:
    for i in range(6):
        tx.put(f"{b}d{i}/file", text(100, 30 + i))
        tx.put(f"{b}d{i}/more", text(50, 40 + i))
        tx.remove(f"{b}d{i}/gone")


def many_directories_tree(t: Tree, b: str) -> None:
    base(t, b)
    for i in range(6):
        t.file(f"{b}d{i}/file", text(90, 130 + i))
        t.file(f"{b}d{i}/gone", text(20, 140 + i))
        t.file(f"{b}d{i}/stays", text(20, 150 + i))


def delete(tx: Transaction, b: str) -> None:
    tx.remove(f"{b}etc/rc.d", recursive=True)
    tx.remove(f"{b}bin/dir")
    tx.remove(f"{b}empty")
    tx.remove(f"{b}var/empty")


def rename(tx: Transaction, b: str) -> None:
    tx.rename(f"{b}bin/ls", f"{b}bin/list")
    tx.rename(f"{b}etc/rc.d/boot", f"{b}etc/boot")
    tx.rename(f"{b}etc/motd", f"{b}etc/passwd")


def rename_dir(tx: Transaction, b: str) -> None:
    tx.rename(f"{b}etc", f"{b}etc.old")
    tx.mkdir(f"{b}etc")
    tx.put(f"{b}etc/motd", text(10, 22))
    tx.rename(f"{b}etc.old/rc.d", f"{b}etc/rc.d")


def directory_over_directory(tx: Transaction, b: str) -> None:
    tx.rename(f"{b}etc/rc.d", f"{b}var/empty")


def type_change(tx: Transaction, b: str) -> None:
    tx.remove(f"{b}etc/motd")
    tx.mkdir(f"{b}etc/motd", mode=0o700)
    tx.put(f"{b}etc/motd/inside", text(30, 23))
    tx.remove(f"{b}etc/rc.d", recursive=True)
    tx.symlink(f"{b}etc/rc.d", "motd")
    tx.remove(f"{b}bin/dir")
    tx.put(f"{b}bin/dir", text(30, 24), mode=0o755)
    tx.remove(f"{b}dev/pipe")
    tx.symlink(f"{b}dev/pipe", "null")


def root_names(tx: Transaction, b: str) -> None:
    tx.put(f"{b}release", b"2\n")
    tx.remove(f"{b}empty")
    tx.symlink(f"{b}current", "bin")
    tx.rename(f"{b}var", f"{b}variable")


def hard_links_tree(t: Tree, b: str) -> None:
    base(t, b)
    t.file(f"{b}pair/a", text(80, 50), inode=1)
    t.file(f"{b}pair/b", text(80, 50), inode=1)
    t.alike(f"{b}pair/a", f"{b}pair/b")


def hard_links(tx: Transaction, b: str) -> None:
    tx.link(f"{b}bin/ls", f"{b}bin/vdir")
    tx.link(f"{b}bin/ls", f"{b}etc/ls")
    tx.put(f"{b}pair/a", text(85, 51))
    tx.link(f"{b}pair/b", f"{b}pair/c")
    tx.remove(f"{b}pair/b")


def metadata(tx: Transaction, b: str) -> None:
    tx.chmod(f"{b}bin/ls", 0o4755)
    tx.chown(f"{b}etc/passwd", 1000, 1001)
    tx.utime(f"{b}empty", NOW)
    tx.chmod(f"{b}etc/rc.d", 0o711)
    tx.utime(f"{b}etc", NOW + 1)
    tx.chown(f"{b}bin/dir", 5, 6)
    tx.chmod(f"{b}dev/null", 0o666)


def metadata_of_directories(tx: Transaction, b: str) -> None:
    tx.chmod(f"{b}etc/rc.d", 0o711)
    tx.utime(f"{b}etc", NOW + 1)


def xattr_tree(t: Tree, b: str) -> None:
    base(t, b)
    t.file(f"{b}etc/colour", text(20, 60), xattrs={b"user.colour": b"blue", b"user.size": b"9"})
    t.file(f"{b}etc/plain", text(20, 61))
    t.file(f"{b}etc/other", text(20, 62), xattrs={b"user.colour": b"blue"})
    t.dir(f"{b}lab", xattrs={b"trusted.kind": b"lab"})


def xattr(tx: Transaction, b: str) -> None:
    tx.setxattr(f"{b}etc/colour", b"user.colour", b"red")
    tx.removexattr(f"{b}etc/colour", b"user.size")
    tx.setxattr(f"{b}etc/plain", b"user.colour", b"blue")
    tx.removexattr(f"{b}etc/other", b"user.colour")
    tx.put(f"{b}etc/fresh", text(25, 63))
    tx.setxattr(f"{b}etc/fresh", b"user.long", noise(700, 64))


def xattr_of_directories(tx: Transaction, b: str) -> None:
    tx.setxattr(f"{b}lab", b"trusted.kind", b"library")
    tx.put(f"{b}lab/fresh", text(25, 65))
    tx.setxattr(f"{b}lab/fresh", b"user.colour", b"red")


def first_xattr(tx: Transaction, b: str) -> None:
    tx.setxattr(f"{b}etc/motd", b"user.colour", b"red")
    tx.put(f"{b}etc/fresh", text(25, 66))
    tx.setxattr(f"{b}etc/fresh", b"user.colour", b"red")


def device_nodes(tx: Transaction, b: str) -> None:
    tx.mknod(f"{b}dev/console", "char", (5, 1), mode=0o600)
    tx.mknod(f"{b}dev/sda", "block", (8, 0), mode=0o660, gid=6)
    tx.mknod(f"{b}dev/big", "block", (259, 70000), mode=0o660)
    tx.mknod(f"{b}dev/log", "socket")
    tx.remove(f"{b}dev/null")
    tx.mknod(f"{b}dev/null", "char", (1, 5), mode=0o666)
    tx.remove(f"{b}dev/pipe")


def deep(b: str, depth: int) -> str:
    return b + "/".join(f"level{i}" for i in range(depth))


def deep_tree(t: Tree, b: str) -> None:
    base(t, b)
    for depth in range(1, 13):
        t.file(f"{deep(b, depth)}/file", text(15, 70 + depth))


def deep_change(tx: Transaction, b: str) -> None:
    tx.put(f"{deep(b, 12)}/file", text(16, 90))
    tx.put(f"{deep(b, 6)}/new", text(16, 91))
    tx.remove(f"{deep(b, 3)}/file")


NAME_DIRECTORIES = 12


def name_of(i: int) -> str:
    return f"names{i % NAME_DIRECTORIES}/n{i:04}"


def names_tree(t: Tree, b: str, names: int = 3000) -> None:
    base(t, b)
    for i in range(names):
        t.file(f"{b}{name_of(i)}", b"")


def names_change(tx: Transaction, b: str, names: int = 3000) -> None:
    """All names in one transaction: every directory is rebuilt."""
    for i in range(names):
        tx.rename(f"{b}{name_of(i)}", f"{b}{name_of(i)}x")


def recreated_past(tx: Transaction, b: str) -> None:
    tx.remove(f"{b}etc/motd")
    tx.remove(f"{b}etc/rc.d", recursive=True)


def recreated_again(tx: Transaction, b: str) -> None:
    tx.put(f"{b}etc/motd", text(100, 92))
    tx.mkdir(f"{b}etc/rc.d")
    tx.put(f"{b}etc/rc.d/boot", text(40, 93))


def recreated(tx: Transaction, b: str) -> None:
    tx.put(f"{b}etc/motd", text(101, 94))
    tx.put(f"{b}etc/rc.d/boot", text(42, 95))
    tx.put(f"{b}etc/rc.d/net", text(42, 96))


def newest_name(tx: Transaction, b: str) -> None:
    """The name that its directory changed last, so that its version is the directory's highest."""
    tx.put(f"{b}etc/rc.d/last", text(20, tx.time))


def drop_newest_name(tx: Transaction, b: str) -> None:
    tx.remove(f"{b}etc/rc.d/last")


def bulky_tree(t: Tree, b: str) -> None:
    base(t, b)
    t.file(f"{b}bulk", noise(150_000, 200))


def bulky(tx: Transaction, b: str) -> None:
    """Content of whole eraseblocks dies each time."""
    tx.put(f"{b}bulk", noise(150_000, tx.time))
    tx.put(f"{b}etc/motd", text(100, tx.time + 1))


def large_file(tx: Transaction, b: str) -> None:
    """Many nodes, an eraseblock filled and a new one begun; content that compresses, that does not, and holes."""
    tx.put(f"{b}bin/sh", noise(40_000, 97) + bytes(9000) + text(3000, 98), mode=0o700)
    tx.put(f"{b}bin/ls", bytes(10_000))


def empty(tx: Transaction, b: str) -> None:
    """Nothing at all."""


@dataclass(frozen=True)
class Scenario:
    name: str
    change: Change
    tree: Callable[[Tree, str], None] = base
    past: tuple[Change, ...] = (churn, churn_again)
    readers: tuple[str, ...] = ()  # instead of the default ones
    without: tuple[str, ...] = ()  # strategies that cannot do it
    scale: int = 1  # how much larger than the others it is: devices grow, checks thin out
    small: bool = False  # on a device of 256 KiB
    tight: bool = False  # on the smallest device that takes it, its past not settled: dirty blocks must be used again


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("one-file", one_file, past=()),
        Scenario("replace", one_file),
        Scenario("many-directories", many_directories, many_directories_tree),
        Scenario("delete", delete),
        Scenario("rename", rename),
        Scenario("rename-dir", rename_dir),
        Scenario("dir-over-dir", directory_over_directory),
        Scenario("type-change", type_change),
        Scenario("root-names", root_names),
        Scenario("hard-links", hard_links, hard_links_tree),
        Scenario("metadata", metadata, without=("swap",)),
        Scenario("dir-metadata", metadata_of_directories),
        Scenario("xattr", xattr, xattr_tree, without=("swap",)),
        Scenario("dir-xattr", xattr_of_directories, xattr_tree),
        Scenario("first-xattr", first_xattr, readers=("linux+xattr",), without=("swap", "seal")),
        Scenario("devices", device_nodes),
        Scenario("deep", deep_change, deep_tree),
        Scenario("names-3000", names_change, names_tree, past=(), scale=10),
        Scenario("recreated", recreated, past=(churn, recreated_past, recreated_again)),
        Scenario("large-file", large_file),
        Scenario("newest-name", newest_name, past=(churn, newest_name)),
        Scenario("newest-gone", drop_newest_name, past=(churn, newest_name, newest_name)),
        Scenario("tight", bulky, bulky_tree, past=(bulky,), tight=True),
        Scenario("empty", empty),
    )
}

MORE_NAMES = 7500
#: For `make cut-deep` alone.
DEEP_SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "names-7500",
            partial(names_change, names=MORE_NAMES),
            partial(names_tree, names=MORE_NAMES),
            past=(),
            scale=25,
        ),
    )
}
