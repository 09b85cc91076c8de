"""One method on one medium, recorded operation by operation on a simulator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jffs2tx._ffi import check, lib
from jffs2tx.comparison.methods import USER_DATA, Method, populate
from jffs2tx.comparison.trees import NEW, OLD
from jffs2tx.comparison.vfs import Kernel
from jffs2tx.device import Flash, FlashStats, Geometry
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
class Recording:
    """What a method did. `steps` are (name, number of its first operation); the last operation is not the last cut."""

    medium: Medium
    method: Method
    simulator: Flash
    steps: list[tuple[str, int]]
    before: FlashStats  # of the medium, with OLD on it

    @property
    def count(self) -> int:
        return lib.jx_sim_op_count(self.simulator.handle)

    @property
    def bytes_programmed(self) -> int:
        return self.simulator.stats.bytes_programmed - self.before.bytes_programmed

    @property
    def erases(self) -> int:
        return self.simulator.stats.erases - self.before.erases


@contextmanager
def record(medium: Medium, method: Method) -> Iterator[Recording]:
    """Lands NEW over OLD; the log begins where the upgrade does."""
    with Flash.simulator(medium.geometry) as simulator:
        kernel = Kernel(simulator, summary=medium.summary)
        populate(kernel, method, OLD, medium.user_bytes)
        check(lib.jx_sim_restart(simulator.handle))
        recording = Recording(medium, method, simulator, [], simulator.stats)
        if method.is_ours:
            _transact(recording)
        else:
            if medium.waiting_bytes:
                kernel.write(USER_DATA, bytes(medium.waiting_bytes))
            for step in method.steps(kernel):
                recording.steps.append((step, recording.count))
            kernel.sync()
        yield recording


def _transact(recording: Recording) -> None:
    medium, method = recording.medium, recording.method
    reader = "linux-summary" if medium.summary else "linux"
    with Flash.memory(medium.geometry) as flash:  # the new tree, as the kernel would hold it
        populate(Kernel(flash, summary=medium.summary), method, NEW, medium.user_bytes)
        with FileSystem(flash) as fs:
            apply_upgrade(
                recording.simulator,
                wanted_tree(manifest_of(fs)),
                lambda entry: fs.chunks_ino(fs.resolve(entry.path)),
                readers=named((reader,)),
                strategy=method.name,
            )
