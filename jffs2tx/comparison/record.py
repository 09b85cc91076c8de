"""One method on one medium, recorded operation by operation on a simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jffs2tx._ffi import check, lib
from jffs2tx.comparison.log import ORDER
from jffs2tx.comparison.methods import USER_DATA, Method, populate
from jffs2tx.comparison.trees import NEW, OLD
from jffs2tx.comparison.vfs import Kernel
from jffs2tx.device import Flash, FlashStats, Geometry
from jffs2tx.faults.recording import Recording
from jffs2tx.filesystem import FileSystem
from jffs2tx.readers import named
from jffs2tx.tree import manifest_of
from jffs2tx.upgrade import apply_upgrade, wanted_tree

KIB = 1024


@dataclass(frozen=True, slots=True)
class Medium:
    """A flash, and the kernel that writes and reads it."""

    name: str
    geometry: Geometry
    summary: bool  # CONFIG_JFFS2_SUMMARY
    methods: tuple[str, ...]
    user_bytes: int  # beside the system: they decide where in an eraseblock the upgrade begins
    waiting_bytes: int = 0  # more of them, in the write buffer when it does: where in a page


_FILE_TOOLS = ("tar", "cp", "rsync", "versions, cp", "versions, ln -sf", "versions, mv -T")
_NOR = Geometry("nor", 16 * 64 * KIB, 64 * KIB)
_NAND = Geometry("nand", 12 * 128 * KIB, 128 * KIB, 2 * KIB, 512, 38)
MEDIA = (
    Medium("NOR", _NOR, False, (*_FILE_TOOLS, "swap", "flip"), 76_000),
    Medium("NOR with summaries", _NOR, True, (*_FILE_TOOLS, "swap", "flip"), 76_000),
    Medium("NAND", _NAND, True, (*_FILE_TOOLS, "swap", "seal", "lift"), 76_000, waiting_bytes=1240),
)
BY_NAME = {medium.name: medium for medium in MEDIA}
#: Those of the picture; with summaries NOR looks much the same.
SHOWN = ("NOR", "NAND")


@dataclass
class Upgrade:
    """One method on one medium. `steps` are (name, number of its first operation), of a transaction none."""

    medium: Medium
    method: Method
    log: Recording
    steps: list[tuple[str, int]]
    before: FlashStats  # of the simulator, with OLD on it

    @property
    def bytes_programmed(self) -> int:
        return self.log.sim.stats.bytes_programmed - self.before.bytes_programmed

    @property
    def erases(self) -> int:
        return self.log.sim.stats.erases - self.before.erases


@contextmanager
def record(medium: Medium, method: Method) -> Iterator[Upgrade]:
    """Lands NEW over OLD; the log begins where the upgrade does."""
    with Recording(Flash.simulator(medium.geometry), ORDER) as log:
        kernel = Kernel(log.sim, summary=medium.summary)
        populate(kernel, method, OLD, medium.user_bytes)
        check(lib.jx_sim_restart(log.sim.handle))
        upgrade = Upgrade(medium, method, log, [], log.sim.stats)
        if method.steps is None:
            _transact(upgrade)
        else:
            run(kernel, medium, method, lambda step: upgrade.steps.append((step, log.operations)))
        yield upgrade


def run(kernel: Kernel, medium: Medium, method: Method, begins: Callable[[str], None] = lambda step: None) -> None:
    """The system calls of a method. begins: told the name of each step."""
    if medium.waiting_bytes:
        kernel.write(USER_DATA, bytes(medium.waiting_bytes))
    for step in method.steps(kernel):
        begins(step)
    kernel.sync()


def _transact(upgrade: Upgrade) -> None:
    medium, method = upgrade.medium, upgrade.method
    reader = "linux-summary" if medium.summary else "linux"
    with Flash.memory(medium.geometry) as flash:  # the new tree, as the kernel would hold it
        populate(Kernel(flash, summary=medium.summary), method, NEW, medium.user_bytes)
        with FileSystem(flash) as fs:
            apply_upgrade(
                upgrade.log.sim,
                wanted_tree(manifest_of(fs)),
                lambda entry: fs.chunks_ino(fs.resolve(entry.path)),
                readers=named((reader,)),
                strategy=method.name,
            )
