"""An operation on a simulated flash, recorded once, so that any power cut in it can be built again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.faults.trees import digest
from jffs2tx.faults.viewers import VIEWERS, Viewer
from jffs2tx.filesystem import FileSystem

SHORT_HASH_DIGITS = 8


@dataclass
class Recording:
    """What was done to a simulator since it began, and the two trees. Use with `with`, or close().

    `prepared`, `committed`: numbers of operations after which the commit may happen, and by which it must have.
    """

    sim: Flash
    endian: str
    viewers: tuple[Viewer, ...] = VIEWERS
    prepared: int = 0
    committed: int = 0
    old_digest: bytes = b""
    new_digest: bytes = b""
    compressions: frozenset[int] = frozenset()  # enum jx_compr of what was on the medium before

    @property
    def operations(self) -> int:
        return self.sim.operations

    def operation(self, index: int):
        """Its struct jx_sim_op."""
        out = ffi.new("struct jx_sim_op *")
        check(lib.jx_sim_op_get(self.sim.handle, index, out), doing="looking up an operation")
        return out

    def tears(self, cut: int, faults: int) -> int:
        """How many ways operation `cut` may be half done, by these families; number 0: not at all."""
        count = ffi.new("uint32_t *")
        check(lib.jx_crash_tears(self.sim.handle, cut, faults, count), doing="counting crash images")
        return count[0]

    def build(self, cut: int, tear: int, out: Flash, faults: int) -> None:
        """Makes `out` (memory or simulator of the same geometry) the medium after that cut."""
        code = lib.jx_crash_build(self.sim.handle, cut, faults, tear, out.handle)
        check(code, doing="building a crash image")

    def at(self, cut: int, tear: int = 0, faults: int = lib.JX_F1_CUT) -> Flash:
        """The same as a new simulator; the caller closes it."""
        out = Flash.simulator(self.sim.geometry)
        self.build(cut, tear, out, faults)
        return out

    def describe(self, cut: int, tear: int, faults: int) -> str:
        buffer = ffi.new("char[]", 200)
        check(lib.jx_crash_describe(self.sim.handle, cut, faults, tear, buffer, len(buffer)))
        return ffi.string(buffer).decode()

    def fingerprint(self) -> str:
        """Some hexadecimal digits that change with the medium before, the one after, and every operation between."""
        hashed = hashlib.sha256()
        with self.at(0) as start:
            hashed.update(start.hash())
        for index in range(self.operations):
            op = self.operation(index)
            hashed.update(f"{op.kind} {op.off} {op.len}\n".encode())
        hashed.update(self.sim.hash())
        return hashed.hexdigest()[:SHORT_HASH_DIGITS]

    def close(self) -> None:
        self.sim.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def record(
    sim: Flash,
    operation: Callable[[Flash], object],
    *,
    endian: str | None = None,
    viewers: tuple[Viewer, ...] = VIEWERS,
) -> Recording:
    """Runs an operation on a simulator whose log is empty. Where it is an upgrade, its commit is known to lie between
    the end of staging and the end of the commit phase; else anywhere. Raises what the operation raises.
    """
    ended: dict[str, int] = {}
    with FileSystem(sim, endian=endian) as fs:
        before, order, used = fs.digest(), fs.endian, frozenset(fs.compressions())
    sim.on_phase = lambda phase: ended.__setitem__(phase, sim.operations)
    operation(sim)
    sim.on_phase = lambda phase: None
    return Recording(
        sim,
        order,
        viewers,
        prepared=ended.get("stage", 0),
        committed=ended.get("commit", sim.operations),
        old_digest=before,
        new_digest=digest(sim, endian=order),
        compressions=used,
    )
