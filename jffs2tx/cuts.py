"""The states that power cuts leave of what a simulator has recorded."""

from __future__ import annotations

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash

TEARS = lib.JX_F2_PREFIX | lib.JX_F3_BITS | lib.JX_F4_ORDER | lib.JX_F5_ERASE


class Cuts:
    """Every state; cut `count` is after the last operation. Use with `with`, or close(). faults: see enum jx_fault."""

    def __init__(self, simulator: Flash, faults: int = TEARS) -> None:
        self.simulator = simulator
        self.count = lib.jx_sim_op_count(simulator.handle)
        self._faults = faults
        self._flash = Flash.memory(simulator.geometry)

    def operation(self, index: int):
        """Its struct jx_sim_op."""
        out = ffi.new("struct jx_sim_op *")
        check(lib.jx_sim_op_get(self.simulator.handle, index, out))
        return out

    def tears(self, cut: int) -> int:
        """How many ways the operation under way may be half done; way 0: not at all."""
        count = ffi.new("uint32_t *")
        check(lib.jx_crash_tears(self.simulator.handle, cut, self._faults, count))
        return count[0]

    def words(self, cut: int, tear: int) -> str:
        text = ffi.new("char[]", 120)
        check(lib.jx_crash_describe(self.simulator.handle, cut, self._faults, tear, text, 120))
        return ffi.string(text).decode()

    def flash(self, cut: int, tear: int = 0) -> Flash:
        """The medium after a cut in operation `cut`; good until the next call."""
        code = lib.jx_crash_build(self.simulator.handle, cut, self._faults, tear, self._flash.handle)
        check(code, doing="cutting the power")
        return self._flash

    def close(self) -> None:
        self._flash.close()

    def __enter__(self) -> Cuts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
