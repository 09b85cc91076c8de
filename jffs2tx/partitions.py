"""A board's partition table, as people have it: what /proc/mtd prints, an mtdparts= string, or lines. Sizes are bytes,
offsets are from the start of the chip."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from jffs2tx.errors import InvalidValue, Refused

TABLE_MAX_BYTES = 1 << 20

_PROC_MTD = re.compile(r'mtd\d+:\s+([0-9a-fA-F]+)\s+([0-9a-fA-F]+)\s+"(.*)"')
_MTDPART = re.compile(r"\s*(-|[0-9a-fA-Fx]+[kmg]?)(?:@([0-9a-fA-Fx]+[kmg]?))?(?:\(([^)]*)\))?((?:ro|lk|slc)*)\s*", re.I)
_LINE = re.compile(r"(\S+)\s+(\S+)\s+(\S+)(?:\s+(ro))?")
_UNITS = {"k": 10, "m": 20, "g": 30}


@dataclass(frozen=True, slots=True)
class Partition:
    offset: int
    size: int
    name: str
    read_only: bool = False

    @property
    def end(self) -> int:
        return self.offset + self.size

    def __str__(self) -> str:
        return f"{self.name} ({self.offset:#x} to {self.end:#x})"


def read_partitions(given: str, size: int, path: str) -> list[Partition]:
    """given: a file's name, or the table itself; size: of the chip's data. Raises InvalidValue, Refused, OSError."""
    table = _parse(_text(given), size)
    if not table:
        raise InvalidValue("the partition table names no partition", path=path)
    ordered = sorted(table, key=lambda one: (one.offset, one.end))
    for one, after in pairwise(ordered):
        if one.end > after.offset:
            raise Refused(f"the partitions {one} and {after} overlap", path=path)
    for one in table:
        if one.end > size or not one.size:
            raise Refused(f"the partition {one} is not inside the {size:#x} bytes of this file", path=path)
    return table


def choose(table: list[Partition], name: str | None, path: str) -> Partition:
    """The one of that name; without a name the only one. Raises Refused."""
    names = ", ".join(str(one) for one in table[:16])
    found = [one for one in table if name is None or one.name == name]
    if len(found) == 1:
        return found[0]
    if name is None:
        raise Refused(f"--partition says which of {len(table)} partitions: {names}", path=path)
    number = "no partition" if not found else "more than one partition"
    raise Refused(f"{number} is called {name}: {names}", path=path)


def _text(given: str) -> str:
    if "\n" in given or not os.path.isfile(given):
        return given
    with Path(given).open("rb") as file:
        return file.read(TABLE_MAX_BYTES).decode("utf-8", "replace")


def _parse(text: str, size: int) -> list[Partition]:
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("dev:")]
    if lines and all(_PROC_MTD.fullmatch(line) for line in lines):
        return _from_proc_mtd(lines)
    if len(lines) == 1 and ("(" in lines[0] or lines[0].startswith("mtdparts=")):
        return _from_mtdparts(lines[0], size)
    return [_from_line(line) for line in lines]


def _from_proc_mtd(lines: list[str]) -> list[Partition]:
    """One after the other, in the order of the chip."""
    table, at = [], 0
    for line in lines:
        length, _, name = _PROC_MTD.fullmatch(line).groups()
        table.append(Partition(at, int(length, 16), name))
        at += int(length, 16)
    return table


def _from_mtdparts(line: str, size: int) -> list[Partition]:
    """Of the first chip that it names (drivers/mtd/parsers/cmdlinepart.c)."""
    chip = line.removeprefix("mtdparts=").split(";")[0]
    table, at = [], 0
    for number, piece in enumerate(re.sub(r"^[^,(]*:", "", chip).split(",")):
        found = _MTDPART.fullmatch(piece)
        if not found:
            raise InvalidValue(f"'{piece}' is not a partition as mtdparts= has it")
        length, offset, name, flags = found.groups()
        at = at if offset is None else _number(offset)
        amount = max(size - at, 0) if length == "-" else _number(length)
        table.append(Partition(at, amount, name or f"Partition_{number:03}", "ro" in flags.lower()))
        at += amount
    return table


def _from_line(line: str) -> Partition:
    found = _LINE.fullmatch(line)
    if not found:
        raise InvalidValue(f"'{line}' is not a partition: its line has offset, size, name, and ro if it is not written")
    offset, length, name, read_only = found.groups()
    return Partition(_number(offset), _number(length), name, read_only is not None)


def _number(text: str) -> int:
    match = re.fullmatch(r"(0x[0-9a-f]{1,12}|[0-9]{1,15})([kmg]?)(?:i?b)?", text.lower())
    if not match:
        raise InvalidValue(f"'{text}' is not a number of bytes such as 0x20000 or 128k")
    digits = match[1]
    return int(digits, 16 if digits.startswith("0x") else 10) << _UNITS.get(match[2], 0)
