"""The comparison before the judge: a kernel writes the logs that jffs2tx.comparison writes, and sees what it sees."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from jffs2tx._ffi import lib
from jffs2tx.comparison.methods import METHODS, populate
from jffs2tx.comparison.record import BY_NAME, MEDIA, Medium, record, run
from jffs2tx.comparison.strips import Judge
from jffs2tx.comparison.trees import OLD, Seen, verdict
from jffs2tx.comparison.vfs import Kernel
from jffs2tx.device import Flash
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, walk

from . import syscalls
from .lab.fixture import lab  # noqa: F401
from .lab.lab import Case, Nand, Nor, Result, call, mount, read_back, tree, umount

pytestmark = pytest.mark.lab

#: Between them they make every call; each on each medium.
WRITTEN = ("cp", "versions, ln -sf")
#: Media whose instants are mounted.
CUT = ("NOR", "NAND")
#: What no clock can agree about.
TIMES = {"atime", "mtime", "ctime", "mctime", "hdr_crc", "node_crc", "sum_crc"}
CALLS = [name for name in vars(syscalls.Calls) if not name.startswith("_")]

#: On NOR a cut after the head of a node leaves it without what follows.
TORN = (
    r"jffs2: .*\w+(\(\))?: (Magic bitmask 0x1985 not found|.*CRC failed|Summary node crc error|Node at 0x\w+)",
    r"jffs2: .*wrong data CRC in data node",
    r"jffs2: Further such events for this erase block will not be printed",
    r"jffs2: Empty flash at 0x\w+ ends at 0x\w+",
)


def device_of(medium: Medium) -> Nor | Nand:
    geometry = medium.geometry
    if geometry.kind == "nor":
        return Nor(geometry.size, geometry.erase_size)
    return Nand(geometry.write_size, geometry.size)


def kernel_of(medium: Medium) -> str:
    return "stock" if medium.summary else "nosummary"


# ---- the same calls, the same nodes ----------------------------------------------------------------------------------


class Noted(Kernel):
    """Writes down the calls for a kernel in the lab."""

    def __init__(self, flash: Flash, *, summary: bool) -> None:
        super().__init__(flash, summary=summary)
        self.calls: list[list] = []
        self._inside = 0
        for name in CALLS:
            setattr(self, name, self._noting(name, getattr(self, name)))

    def _noting(self, name, function):
        def noting(*arguments):
            words = [base64.b64encode(a).decode() if isinstance(a, bytes) else a for a in arguments]
            if not self._inside:  # rmdir unlinks
                self.calls.append([name, *words])
            self._inside += 1
            function(*arguments)
            self._inside -= 1

        return noting


def log_of(image: bytes, medium: Medium) -> list[list[tuple]]:
    """The nodes of each eraseblock in use, in that order: down a ring, from anywhere (jffs2_rotate_lists)."""
    size = medium.geometry.erase_size
    blocks: dict[int, list[tuple]] = {}
    for node in walk(image, "little", size):
        facts = {key: str(value) for key, value in node.fields.items() if key not in TIMES and key[0] != "_"}
        facts.pop("data_crc", None)
        if node.kind == NodeType.SUMMARY:
            facts.pop("entries")
        blocks.setdefault(node.offset // size, []).append((node.offset % size, node.obsolete, sorted(facts.items())))
    count = medium.geometry.blocks
    used = {number for number, nodes in blocks.items() if len(nodes) > 1}
    begin = next(number for number in used if (number + 1) % count not in used)
    ring = ((begin - step) % count for step in range(count))
    return [blocks[number] for number in ring if number in used]


def written(folder: Path) -> Iterator[tuple[str, bytes, Case]]:
    """Our log, and the case in which a kernel writes its own, for each medium and method."""
    for medium in MEDIA:
        for name in WRITTEN:
            with Flash.memory(medium.geometry) as flash:
                kernel = Noted(flash, summary=medium.summary)
                start = flash.read(0, medium.geometry.size)
                populate(kernel, METHODS[name], OLD, medium.user_bytes)
                run(kernel, medium, METHODS[name])
                image = flash.read(0, medium.geometry.size)
            key = f"{medium.name}: {name}"
            script = folder / f"{key}.json"
            script.write_text(json.dumps(kernel.calls))
            steps = [mount(options="compr=none"), call(syscalls.__file__, str(script)), umount(), read_back()]
            begin, markers = (None, "all") if medium.geometry.kind == "nand" else (start, ())
            yield key, image, Case(key, device_of(medium), begin, markers, kernel_of(medium), steps)


@pytest.mark.parametrize("method", WRITTEN)
@pytest.mark.parametrize("medium", BY_NAME)
def test_the_kernel_writes_the_same_nodes_at_the_same_places(judged, medium, method):
    image, result = judged.written[f"{medium}: {method}"]
    assert result.ok and not result.unexpected, result.why()
    ours, theirs = log_of(image, BY_NAME[medium]), log_of(result.named("read_back")[0].image, BY_NAME[medium])
    assert len(ours) == len(theirs) >= 2
    for mine, its in zip(ours, theirs, strict=True):
        assert not [pair for pair in zip(mine, its, strict=False) if pair[0] != pair[1]][:1]
        assert len(mine) == len(its) > 20


# ---- instants --------------------------------------------------------------------------------------------------------


def instants(medium: Medium) -> Iterator[tuple[str, Seen, Case]]:
    """Of each method a cut for each bad state that it leaves, the last one; where there is none, for old and new."""
    for name in medium.methods:
        method = METHODS[name]
        with record(medium, method) as upgrade, Flash.memory(medium.geometry) as flash:
            judge = Judge(medium, method)
            last: dict[Seen, int] = {}
            for cut in range(upgrade.log.operations + 1):
                upgrade.log.build(cut, 0, flash, 0)
                (seen,) = judge.look(flash)
                last[seen] = cut
            for seen in last.keys() & {Seen.MIXED, Seen.UNBOOTABLE} or last.keys():
                upgrade.log.build(last[seen], 0, flash, 0)
                token = f"{medium.name}, {name}: cut {last[seen]} of {upgrade.log.operations}"
                image, steps = flash.read(0, medium.geometry.size), [mount(ro=True), tree(), umount()]
                markers = cleanmarkers(flash) if medium.geometry.kind == "nand" else ()
                case = Case(token, device_of(medium), image, markers, kernel_of(medium), steps, expected=TORN)
                yield method.top, seen, case


def cleanmarkers(flash: Flash) -> tuple[int, ...]:
    with FileSystem(flash) as fs:
        blocks = lib.jx_fs_blocks(fs.handle)
        return tuple(i for i in range(lib.jx_fs_block_count(fs.handle)) if blocks[i].cleanmarker == 2)


def seen_by_kernel(lines: list[str], top: str) -> Seen:
    entries = {entry["path"]: entry for entry in map(json.loads, lines)}
    if entries.get(top, {}).get("type") == "lnk":
        top = entries[top]["target"]
    if entries.get(top, {}).get("type") != "dir":
        return Seen.UNBOOTABLE
    facts = {}
    for path, entry in entries.items():
        inside = path.removeprefix(f"{top}/")
        if inside != path and entry["type"] != "dir":
            bad = "error" in entry
            facts[inside] = None if bad else entry.get("target") or (int(entry["mode"], 8), entry["sha256"])
    return verdict(facts)


def test_the_kernel_sees_what_the_strips_say(judged):
    for top, seen, result in judged.instants:
        assert result.ok and not result.unexpected, result.why()
        assert seen_by_kernel(result.tree().lines, top) is seen, result.id
    assert {seen for _, seen, _ in judged.instants} == set(Seen)
    assert len(judged.instants) >= 30


# ---- one boot for all ------------------------------------------------------------------------------------------------


class Judged(NamedTuple):
    written: dict[str, tuple[bytes, Result]]
    instants: list[tuple[str, Seen, Result]]


@pytest.fixture(scope="module")
def judged(lab, tmp_path_factory) -> Judged:  # noqa: F811
    logs = list(written(tmp_path_factory.mktemp("calls")))
    cuts = [one for medium in CUT for one in instants(BY_NAME[medium])]
    results = iter(lab.run([case for *_, case in (*logs, *cuts)]))
    return Judged(
        {key: (image, next(results)) for key, image, _ in logs},
        [(top, seen, next(results)) for top, seen, _ in cuts],
    )
