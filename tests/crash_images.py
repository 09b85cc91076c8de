"""Crash images for another judge: the kernel lab mounts them and says which tree it sees.

`sample_images(n)` spreads n of them evenly over all scenarios, flashes and strategies; within one transaction a third
stand before the commit operation, a third tear it, and a third come after it.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from jffs2tx._ffi import lib
from jffs2tx.device import Flash, Geometry
from jffs2tx.faults.trees import digest, facts_on
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Entry

from .crashes import FAULTS, Case, CaseRecording, cases, judge, record

_LAB_TYPES = {
    "file": "reg",
    "dir": "dir",
    "link": "lnk",
    "char": "chr",
    "block": "blk",
    "fifo": "fifo",
    "socket": "sock",
}


@dataclass(frozen=True)
class Sample:
    """One crash image. `expected` is what the promise demands of every promised reader: old, new or either; `seen` is
    what this project's own reader sees, so a kernel must see it too. Lines are those of tests/lab/tree.py."""

    token: str
    what: str  # the tear, in words
    geometry: Geometry
    endian: str
    image: bytes
    cleanmarkers: tuple[int, ...]  # numbers of the eraseblocks with a cleanmarker in their OOB
    needs_summary: bool  # promised only to kernels with CONFIG_JFFS2_SUMMARY
    expected: str
    seen: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    content: dict[str, bytes]  # of all files of both trees, by SHA-256


def tree_lines(paths: dict[bytes, Entry]) -> tuple[str, ...]:
    """A tree as the lines of tests/lab/tree.py; `paths` as facts() gives them."""
    lines = []
    for path, entry in sorted(paths.items()):
        line = {
            "path": path.decode("utf-8", "surrogateescape") or ".",
            "type": _LAB_TYPES.get(entry.type, entry.type),
            "mode": f"{entry.mode:04o}",
            "uid": entry.uid,
            "gid": entry.gid,
            "mtime": entry.time,
        }
        if entry.type == "file":
            line |= {"size": entry.size, "sha256": entry.sha256}
        if entry.link is not None:
            line["target"] = entry.link.decode("utf-8", "surrogateescape")
        if entry.device is not None:
            line["device"] = list(entry.device)
        if entry.xattrs:
            line["xattrs"] = {name.decode(): value.hex() for name, value in entry.xattrs.items()}
        if entry.inode is not None:
            line["link"] = entry.inode.decode("utf-8", "surrogateescape")
        lines.append(json.dumps(line, sort_keys=True, ensure_ascii=True))
    return tuple(lines)


def _cleanmarkers(flash: Flash) -> tuple[int, ...]:
    with FileSystem(flash) as fs:
        blocks = lib.jx_fs_blocks(fs.handle)
        return tuple(i for i in range(lib.jx_fs_block_count(fs.handle)) if blocks[i].cleanmarker == 2)


def _content(*flashes: Flash) -> dict[str, bytes]:
    found = {}
    for flash in flashes:
        with FileSystem(flash) as fs:
            for ino in {status.ino for _, status in fs.walk() if status.type == "file"}:
                data = fs.read_ino(ino)
                found[hashlib.sha256(data).hexdigest()] = data
    return found


def _picked(recording: CaseRecording, count: int, commit_cut: int) -> list[tuple[int, int]]:
    """Cuts and tears, `count` of them at most, no two alike."""
    rnd = random.Random(str(recording.case))
    stages = [range(commit_cut - 1), [commit_cut - 1], range(commit_cut, recording.operations + 1)]
    picked: dict[tuple[int, int], None] = {}
    for i in range(20 * count):
        cut = rnd.choice(stages[i % 3]) if len(stages[i % 3]) else 0
        picked[cut, rnd.randrange(recording.tears(cut, FAULTS))] = None
        if len(picked) == count:
            break
    return sorted(picked)


def _whole(recording: CaseRecording, count: int, commit_cut: int) -> list[tuple[int, int]]:
    """Every cut between two operations, and `count` tears of the one that decides."""
    tears = recording.tears(commit_cut - 1, FAULTS)
    torn = {(commit_cut - 1, tears * (i + 1) // (count + 1)) for i in range(count)}
    return sorted({(cut, 0) for cut in range(recording.operations + 1)} | torn)


def samples_of(case: Case, count: int, pick=_picked) -> Iterator[Sample]:
    """pick: (recording, count, commit_cut) -> cuts and tears."""
    recording = record(case)
    commit_cut = judge(recording, faults=lib.JX_F1_CUT).commit_cut or 1
    with recording.at(0) as start:
        old, new = (tree_lines(facts_on(flash)) for flash in (start, recording.sim))
        content = _content(start, recording.sim)
    with Flash.memory(case.device) as flash:
        for cut, tear in pick(recording, count, commit_cut):
            recording.build(cut, tear, flash, FAULTS)
            seen = "old" if digest(flash) == recording.old_digest else "new"
            expected = "either" if cut == commit_cut - 1 and tear else "old" if cut < commit_cut else "new"
            yield Sample(
                token=f"{case}:c{cut}.t{tear}",
                what=recording.describe(cut, tear, FAULTS),
                geometry=case.device,
                endian=case.endian,
                image=flash.read(0, case.device.size),
                cleanmarkers=_cleanmarkers(flash),
                needs_summary=case.strategy == "seal",
                expected=seen if old == new else expected,
                seen=seen,
                old=old,
                new=new,
                content=content,
            )
    recording.close()


def sample_images(n: int) -> Iterator[Sample]:
    """At least n samples where there are so many; a transaction that changes nothing has one image only."""
    wanted = [case for case in cases() if case.scenario != "empty"]
    each = -(-n // len(wanted))
    for case in wanted:
        yield from samples_of(case, each)


def whole_cuts(torn: int) -> Iterator[list[Sample]]:
    """For each transaction but the hugest the image of every cut between two operations, and `torn` of its commit."""
    for case in cases():
        if case.scenario != "empty" and case.what.scale == 1:
            yield list(samples_of(case, torn, _whole))
