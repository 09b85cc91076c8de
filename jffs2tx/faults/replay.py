"""One crash image again, and in words what its readers see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from jffs2tx._ffi import lib
from jffs2tx.device import Flash
from jffs2tx.errors import InternalError, InvalidValue, Jffs2txError
from jffs2tx.faults.recording import Recording, Viewer
from jffs2tx.faults.tokens import Place
from jffs2tx.faults.trees import Facts, differences, facts_on
from jffs2tx.upgrade import recover


def rebuild(recording: Recording, faults: int, place: Place) -> Flash:
    """The medium after that cut, and after those inside recover, as a simulator; the caller closes it.

    faults: by whose count all its tears are numbered. Raises InvalidValue: there is no such cut.
    """
    if place.cut > recording.operations or place.tear >= recording.tears(place.cut, faults):
        raise InvalidValue(f"there is no crash image {place}: {recording.operations} operations were recorded")
    image = recording.at(place.cut, place.tear, faults)
    if place.inner is None:
        return image
    with image:
        recover(image, endian=recording.endian)
        return rebuild(Recording(image, recording.endian), faults, place.inner)


@dataclass(frozen=True, slots=True)
class Sight:
    """What one reader sees: `tree` is old, new or neither; then how it differs from both, and why it cannot be read."""

    viewer: Viewer
    tree: str
    beside_old: tuple[str, ...] = ()
    beside_new: tuple[str, ...] = ()
    error: str | None = None

    def sentences(self) -> Iterator[str]:
        """For people, the nearer tree first."""
        if self.error is not None:
            yield f"{self.viewer} cannot mount it: {self.error}"
        elif self.tree != "neither":
            yield f"{self.viewer} sees the {self.tree} tree"
        else:
            yield f"{self.viewer} sees NEITHER TREE"
            beside = sorted((("old", self.beside_old), ("new", self.beside_new)), key=lambda one: len(one[1]))
            for name, lines in beside:
                paths = "1 path differs" if len(lines) == 1 else f"{len(lines)} paths differ"
                yield f"  beside the {name} tree {paths}:"
                yield from (f"    {line}" for line in lines)


def sights(recording: Recording, image: Flash) -> list[Sight]:
    """What each reader of the recording sees on a crash image; what is unstable reads the same to each."""

    @cache
    def trees(ideal: tuple[tuple[str, int], ...]) -> dict[str, Facts]:
        return _trees(recording, dict(ideal))

    return [_sight(viewer, trees(tuple(viewer.ideal().items())), recording, image) for viewer in recording.viewers]


def _trees(recording: Recording, abilities: Mapping[str, int]) -> dict[str, Facts]:
    """The two trees as a reader of these abilities sees them."""
    with recording.at(0) as start, recording.at(recording.operations) as end:
        pair = (("old", start), ("new", end))
        return {name: facts_on(flash, endian=recording.endian, abilities=abilities) for name, flash in pair}


def _sight(viewer: Viewer, trees: dict[str, Facts], recording: Recording, image: Flash) -> Sight:
    lib.jx_flash_unstable_rewind(image.handle)
    try:
        seen = facts_on(image, endian=recording.endian, abilities=viewer.abilities(recording.compressions))
    except InternalError:
        raise
    except Jffs2txError as error:
        return Sight(viewer, "neither", error=str(error))
    beside = {name: tuple(differences(seen, tree)) for name, tree in trees.items()}
    tree = next((name for name, lines in beside.items() if not lines), "neither")
    return Sight(viewer, tree, beside["old"], beside["new"])
