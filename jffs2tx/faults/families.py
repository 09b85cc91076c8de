"""The families of faults that a power cut is built from: see docs/TESTING.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jffs2tx._ffi import lib
from jffs2tx.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of fault. `bit` is its enum jx_fault, by whose count a crash image's tears are numbered."""

    name: str
    bit: int
    description: str


FAMILIES = {
    family.name: family
    for family in (
        Family("F1", lib.JX_F1_CUT, "cut between two operations"),
        Family("F2", lib.JX_F2_PREFIX, "torn program: a prefix landed"),
        Family("F3", lib.JX_F3_BITS, "torn program: some bits landed"),
        Family("F4", lib.JX_F4_ORDER, "torn program: parts landed out of order"),
        Family("F5", lib.JX_F5_ERASE, "torn erase"),
    )
}

#: No medium by itself: each mount of it may see another.
UNSTABLE = Family("F6", lib.JX_F6_UNSTABLE, "what is under way reads otherwise each time")
ALL_FAMILIES = FAMILIES | {UNSTABLE.name: UNSTABLE}

#: Half-done programs and erases, as bits.
TORN = FAMILIES["F2"].bit | FAMILIES["F3"].bit | FAMILIES["F4"].bit | FAMILIES["F5"].bit


def families(names: Iterable[str], known: Mapping[str, Family] = FAMILIES) -> tuple[Family, ...]:
    """The known families of these names, in their own order; `all` stands for every one. Raises InvalidValue."""
    wanted = {name.strip().upper() for name in names}
    unknown = sorted(wanted - known.keys() - {"ALL"})
    if unknown or not wanted:
        raise InvalidValue(f"unknown fault '{', '.join(unknown).lower()}'; there are all, {', '.join(known)}")
    return tuple(family for family in known.values() if "ALL" in wanted or family.name in wanted)
