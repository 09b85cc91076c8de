"""A flash in memory with a JFFS2 on it, for tests of other projects: what the fixtures of jffs2tx.testing give."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from jffs2tx._ffi import check, lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import InvalidValue
from jffs2tx.faults.families import FAMILIES, Family, families
from jffs2tx.faults.judge import Judge
from jffs2tx.faults.recording import Recording, record
from jffs2tx.faults.replay import rebuild, sights
from jffs2tx.faults.tokens import Place
from jffs2tx.faults.viewers import viewers_of
from jffs2tx.image import Image, open_image
from jffs2tx.manifest import Entry, Manifest
from jffs2tx.mkfs import make_filesystem, write_image
from jffs2tx.readers import named
from jffs2tx.source import Source
from jffs2tx.target import Target

#: Small flashes by name; any other is a Geometry.
CHIPS = {
    "nor": Geometry("nor", 16 * 16384, 16384),
    "nand": Geometry("nand", 16 * 131072, 131072, 2048, 512, 8),
    "nand512": Geometry("nand", 16 * 16384, 16384, 512, 512, 8),
}
BORN = 1_600_000_000

#: What a tree may be given as: a directory, or content by path (None: a directory); or an image that is there already.
Content = str | os.PathLike[str] | Mapping[str, bytes | str | None]
Operation = Callable[[Target], object]


def geometry_of(chip: str | Geometry) -> Geometry:
    """Raises InvalidValue."""
    if isinstance(chip, Geometry):
        return chip
    if chip not in CHIPS:
        raise InvalidValue(f"unknown chip '{chip}'; there are {', '.join(CHIPS)}, or a Geometry")
    return CHIPS[chip]


# ---- trees -----------------------------------------------------------------------------------------------------------


def _written(content: Mapping[str, bytes | str | None]) -> tuple[Manifest, Callable[[Entry], list[bytes]]]:
    """A tree that stands in a test's text; directories on the way are made."""
    entries = {b"": Entry(b"", "dir", 0o755, 0, 0, BORN)}
    data: dict[bytes, bytes] = {}
    for path, given in content.items():
        raw = path.strip("/").encode()
        parts = raw.split(b"/")
        for depth in range(1, len(parts)):
            above = b"/".join(parts[:depth])
            entries.setdefault(above, Entry(above, "dir", 0o755, 0, 0, BORN))
        if given is None:
            entries[raw] = Entry(raw, "dir", 0o755, 0, 0, BORN)
            continue
        data[raw] = given.encode() if isinstance(given, str) else given
        hashed = hashlib.sha256(data[raw]).hexdigest()
        entries[raw] = Entry(raw, "file", 0o644, 0, 0, BORN, len(data[raw]), hashed)
    return Manifest(entries.values()), lambda entry: [data[entry.path]] if entry.size else []


def write_tree(output: Path, content: Content, chip: str | Geometry, endian: str = "little") -> Path:
    """An image file of a tree, as large as the chip."""
    geometry = geometry_of(chip)
    if isinstance(content, Mapping):
        write_image(output, geometry, *_written(content), endian=endian)
    else:
        with Source(content) as source:
            write_image(output, geometry, source.manifest(), source.open, endian=endian)
    return output


# ---- the flash -------------------------------------------------------------------------------------------------------


class SimulatedFlash:
    """A flash with a file system, which `fs` reads and changes. Use with `with`, or close().

    readers: who must see wholly the old or wholly the new tree.
    """

    def __init__(self, sim: Flash, endian: str, readers: Iterable[str] = ("linux",)) -> None:
        self.sim = sim
        self.endian = endian
        self.readers = tuple(readers)
        self.viewers = viewers_of(named(self.readers))
        self.fs = self._target(sim)
        self._open = ExitStack()

    @classmethod
    def of(
        cls,
        content: Content,
        chip: str | Geometry = "nor",
        *,
        endian: str = "little",
        readers: Iterable[str] = ("linux",),
        **medium,
    ) -> SimulatedFlash:
        """Content: a tree, or the path of an image file (medium: as for jffs2tx.open). Raises what these raise."""
        readers = tuple(readers)
        if not isinstance(content, Mapping) and not os.path.isdir(content):
            with open_image(content, **medium) as image:
                return cls(image.flash.simulate(), image.endian, readers)
        with ExitStack() as undo:
            sim = undo.enter_context(Flash.simulator(geometry_of(chip)))
            if isinstance(content, Mapping):
                make_filesystem(sim, *_written(content), endian=endian)
            else:
                with Source(content) as source:
                    make_filesystem(sim, source.manifest(), source.open, endian=endian)
            check(lib.jx_sim_restart(sim.handle))
            undo.pop_all()
        return cls(sim, endian, readers)

    def _target(self, flash: Flash) -> Target:
        return Target(Image("simulated flash", flash, self.endian, [], ExitStack(), reader=(self.readers[0], None)))

    def _judge(self, operation: Operation) -> Judge:
        """Of the operation on a copy; both are there until this flash is closed."""

        def run(sim: Flash) -> None:
            operation(self._target(sim))

        sim = self._open.enter_context(self.sim.simulate())
        recording = record(sim, run, endian=self.endian, viewers=self.viewers)
        return self._open.enter_context(Judge(recording))

    def crashes(self, operation: Operation, faults: str = "all") -> Iterator[Crash]:
        """Runs an operation on a copy, then gives every different medium that a power cut in it can leave.

        operation: is called with what jffs2tx.open() gives. faults: families joined by commas, or all. A crash is good
        until the next one. This flash stays as it is.
        """
        chosen = families(faults.split(","))
        judge = self._judge(operation)
        image = self._open.enter_context(judge.recording.at(0))
        met: set[bytes] = set()
        for family, place in _places(judge.recording, chosen):
            judge.recording.build(place.cut, place.tear, image, family.bit)
            if (content := image.hash()) not in met:
                met.add(content)
                yield Crash(self, judge, image, family, place)

    def crash(self, operation: Operation, token: str) -> Crash:
        """One of them again, by what str(crash) begins with, such as F2:c17.t3. Raises InvalidValue."""
        name, _, place = token.partition(":")
        try:
            family, where = FAMILIES[name], Place.parse(place)
        except (KeyError, ValueError):
            raise InvalidValue(f"'{token}' is no crash such as F2:c17.t3") from None
        judge = self._judge(operation)
        image = self._open.enter_context(rebuild(judge.recording, family.bit, where))
        return Crash(self, judge, image, family, where)

    def close(self) -> None:
        self._open.close()
        self.fs.close()

    def __enter__(self) -> SimulatedFlash:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _places(recording: Recording, chosen: tuple[Family, ...]) -> Iterator[tuple[Family, Place]]:
    """Every crash of these families, cut by cut."""
    for cut in range(recording.operations + 1):
        for family in chosen:
            first = 0 if family is FAMILIES["F1"] else 1
            for tear in range(first, recording.tears(cut, family.bit)):
                yield family, Place(cut, tear)


@dataclass
class Crash:
    """What a power cut left: in a copy of `flash`, at `place`."""

    flash: SimulatedFlash = field(repr=False)
    judge: Judge = field(repr=False)
    image: Flash = field(repr=False)
    family: Family = field(repr=False)
    place: Place

    @property
    def seen(self) -> str:
        """What the readers see: old, new, either (some the one, some the other), or neither."""
        found = set(self.judge.look(self.image))
        if "neither" in found:
            return "neither"
        return found.pop() if len(found) == 1 else "either"

    @property
    def whole(self) -> bool:
        """Whether each reader sees the old tree or the new one."""
        return self.seen != "neither"

    @property
    def fs(self) -> Target:
        """What is there, to be read, and changed."""
        return self.flash._target(self.image)

    def recover(self) -> Crash:
        """Runs recover on it."""
        self.fs.recover()
        return self

    def story(self) -> str:
        """What happened, and what each reader sees, path by path."""
        seen = sights(self.judge.recording, self.image)
        return "\n".join([str(self), *(line for one in seen for line in one.sentences())])

    def __str__(self) -> str:
        words = self.judge.recording.describe(self.place.cut, self.place.tear, self.family.bit)
        return f"{self.family.name}:{self.place}: {words}"
