"""The ways to bring a system from one version to the next: by file tools through the kernel, or by one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jffs2tx.comparison.trees import NEW, OLD, Thing
from jffs2tx.comparison.vfs import Kernel

LIVE = "system"
#: Beside the system, as on any device; it stays. Its size decides where in a page or block an upgrade begins.
USER_DATA = "data/log"
NEW_TIME = 1_710_000_000

#: The system calls of a method; it says the name of each step before it does it.
Steps = Iterator[str]


@dataclass(frozen=True, slots=True)
class Method:
    """One way. `top`: the directory that starts, or a link to it. Without steps a transaction by a strategy."""

    name: str
    what: str  # some 30 characters for people
    top: str
    steps: Callable[[Kernel], Steps] | None = None

    @property
    def is_ours(self) -> bool:
        return self.steps is None


def populate(kernel: Kernel, method: Method, tree: dict[str, Thing], user_bytes: int) -> None:
    """What is on the medium before: user data, and the old system where the method has it."""
    kernel.mkdir("data")
    kernel.create(USER_DATA)
    kernel.write(USER_DATA, b"log\n" * (user_bytes // 4))
    if method.top == LIVE:
        _write_tree(kernel, LIVE, tree)
    else:
        kernel.mkdir("versions")
        _write_tree(kernel, "versions/1", tree)
        _clone(kernel, "versions/1", "versions/0")
        kernel.symlink("versions/0", "previous")
        kernel.symlink("versions/1", "current")
    kernel.sync()


def _write_tree(kernel: Kernel, top: str, tree: dict[str, Thing]) -> None:
    kernel.mkdir(top)
    for path, thing in sorted(tree.items()):
        directory = f"{top}/{path.rpartition('/')[0]}"
        if not kernel.exists(directory):
            kernel.mkdir(directory)
        _create(kernel, f"{top}/{path}", thing)


def _create(kernel: Kernel, path: str, thing: Thing) -> None:
    """Made again as tar does: closed to others until it is whole."""
    if thing.target is not None:
        kernel.symlink(thing.target, path)
        return
    kernel.create(path, 0o600)
    kernel.write(path, thing.data)
    kernel.chmod(path, thing.mode)
    kernel.utime(path, NEW_TIME)


# ---- over the live tree ----------------------------------------------------------------------------------------------


def _unpack(kernel: Kernel) -> Steps:
    """tar: each file of the archive in the place of what was there, unlinked before."""
    for path, thing in sorted(NEW.items()):
        yield path
        if kernel.exists(f"{LIVE}/{path}"):
            kernel.unlink(f"{LIVE}/{path}")
        _create(kernel, f"{LIVE}/{path}", thing)
    for path in sorted(OLD.keys() - NEW.keys()):
        yield f"rm {path}"
        kernel.unlink(f"{LIVE}/{path}")


def _copy_over(kernel: Kernel, top: str = LIVE) -> Steps:
    """cp -a: the file that is there is emptied and written."""
    for path, thing in sorted(NEW.items()):
        yield path
        where = f"{top}/{path}"
        if thing.target is not None or not kernel.exists(where):
            if kernel.exists(where):
                kernel.unlink(where)
            _create(kernel, where, thing)
            continue
        kernel.truncate(where)
        kernel.write(where, thing.data)
        kernel.utime(where, NEW_TIME)
    for path in sorted(OLD.keys() - NEW.keys()):
        yield f"rm {path}"
        kernel.unlink(f"{top}/{path}")


def _synchronise(kernel: Kernel, top: str = LIVE) -> Steps:
    """rsync -a --delete: what has changed under a temporary name, whole, then renamed over the old file."""
    for directory in sorted({path.rpartition("/")[0] for path in OLD.keys() | NEW.keys()}):
        inside = [path for path in OLD.keys() | NEW.keys() if path.rpartition("/")[0] == directory]
        for path in sorted(path for path in inside if path not in NEW):
            yield f"rm {path}"
            kernel.unlink(f"{top}/{path}")
        for path in sorted(path for path in inside if path in NEW and NEW[path] != OLD.get(path)):
            yield path
            temporary = f"{top}/{directory}/.{path.rpartition('/')[2]}.Zr4c1x"
            _create(kernel, temporary, NEW[path])
            kernel.rename(temporary, f"{top}/{path}")


# ---- versioned trees -------------------------------------------------------------------------------------------------


def _clone(kernel: Kernel, old: str, new: str) -> None:
    """cp -al: directories again, a hard link for everything else."""
    kernel.mkdir(new)
    for directory in kernel.list(old):
        kernel.mkdir(f"{new}/{directory}")
        for name in kernel.list(f"{old}/{directory}"):
            kernel.link(f"{old}/{directory}/{name}", f"{new}/{directory}/{name}")


def _remove(kernel: Kernel, top: str) -> None:
    for directory in kernel.list(top):
        for name in kernel.list(f"{top}/{directory}"):
            kernel.unlink(f"{top}/{directory}/{name}")
        kernel.rmdir(f"{top}/{directory}")
    kernel.rmdir(top)


def _link_by_force(kernel: Kernel, target: str, path: str) -> None:
    """ln -sfn of BusyBox: the old link is unlinked, then the new one made."""
    kernel.unlink(path)
    kernel.symlink(target, path)


def _link_by_rename(kernel: Kernel, target: str, path: str) -> None:
    """sync, ln -s, mv -T: what the link leads to is on the medium first, and the name is never free."""
    kernel.sync()
    kernel.symlink(target, f"{path}.next")
    kernel.rename(f"{path}.next", path)


def _versions(
    apply: Callable[[Kernel, str], Steps], link: Callable[[Kernel, str, str], None], words: str
) -> Callable[[Kernel], Steps]:
    def steps(kernel: Kernel) -> Steps:
        yield "clone with hard links"
        _clone(kernel, "versions/1", "versions/2")
        yield "apply to the clone"
        for _ in apply(kernel, "versions/2"):
            pass
        yield f"{words} previous"
        link(kernel, "versions/1", "previous")
        yield f"{words} current"
        link(kernel, "versions/2", "current")
        yield "rm -r the oldest tree"
        _remove(kernel, "versions/0")

    return steps


TODAY = (
    Method("tar", "unlinks, then writes each file", LIVE, _unpack),
    Method("cp", "empties, then writes each file", LIVE, _copy_over),
    Method("rsync", "writes aside, then renames each", LIVE, _synchronise),
    Method(
        "versions, cp",
        "trees of hard links, cp, ln -sf",
        "current",
        _versions(_copy_over, _link_by_force, "ln -sf"),
    ),
    Method(
        "versions, ln -sf",
        "trees of hard links, rsync, ln -sf",
        "current",
        _versions(_synchronise, _link_by_force, "ln -sf"),
    ),
    Method(
        "versions, mv -T",
        "the same, but sync and mv -T",
        "current",
        _versions(_synchronise, _link_by_rename, "mv -T"),
    ),
)
OURS = tuple(
    Method(name, what, LIVE)
    for name, what in (
        ("swap", "one dirent names a new directory"),
        ("flip", "one word uncovers the changes"),
        ("seal", "one page lists the changes"),
        ("lift", "one page start uncovers them"),
    )
)
METHODS = {method.name: method for method in (*TODAY, *OURS)}
