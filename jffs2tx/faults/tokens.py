"""Tokens: a crash image in a few characters, such as 3f9a1c2e:F2:c17.t3; with a second cut 3f9a1c2e:F1:c17.t0:c5.t0."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jffs2tx.errors import InvalidValue
from jffs2tx.faults.families import ALL_FAMILIES, Family

_PLACE = r"c(\d{1,9})\.t(\d{1,9})"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the power fails: in operation `cut`, left half done in way `tear`; `inner`: again, inside recover,
    three cuts at most."""

    cut: int
    tear: int
    inner: Place | None = None

    def __str__(self) -> str:
        return f"c{self.cut}.t{self.tear}" + (f":{self.inner}" if self.inner else "")

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ValueError."""
        if not re.fullmatch(f"{_PLACE}(:{_PLACE}){{0,2}}", text):
            raise ValueError(f"{text!r} is no place such as c17.t3")
        place = None
        for cut, tear in reversed(re.findall(_PLACE, text)):
            place = cls(int(cut), int(tear), place)
        return place


@dataclass(frozen=True, slots=True)
class Token:
    """`inputs`: Recording.fingerprint() of what it belongs to; `family`: by whose count the tear is numbered."""

    inputs: str
    family: Family
    place: Place

    def __str__(self) -> str:
        return f"{self.inputs}:{self.family.name}:{self.place}"

    @classmethod
    def parse(cls, text: str) -> Token:
        """Raises InvalidValue."""
        match = re.fullmatch(r"([0-9a-f]{8}):(\w+):(.+)", text.strip())
        try:
            return cls(match[1], ALL_FAMILIES[match[2]], Place.parse(match[3]))
        except (TypeError, KeyError, ValueError):
            raise InvalidValue(f"'{text}' is no token such as 3f9a1c2e:F2:c17.t3") from None
