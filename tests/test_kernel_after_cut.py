"""F11: the power fails, and before anybody recovers, the kernel mounts read-write, deletes the orphans, removes,
replaces and writes files, and collects garbage. Then `recover` runs, or the same upgrade again, and the kernel goes on.

`make kernel-after-cut` does it with a few hundred images; else some of them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from jffs2tx._ffi import check, lib
from jffs2tx.device import Flash
from jffs2tx.errors import Jffs2txError, NoSpace, StrategyError
from jffs2tx.faults.trees import facts_on
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Entry, Manifest
from jffs2tx.readers import named
from jffs2tx.upgrade import apply_upgrade, recover, wanted_tree

from . import actions, trees
from .crash_images import Sample, samples_of, tree_lines
from .crashes import Case as Transaction
from .crashes import cases
from .lab.fixture import lab  # noqa: F401
from .lab.lab import Case, Result, call, gc, mount, read_back, remount, umount
from .lab.lab import tree as see
from .media import State, simulated, state_of
from .test_kernel_cuts import HALF_CLEARED, TORN, device_of

pytestmark = pytest.mark.lab

#: How many images; of the transactions every so many gives one.
WHOLE = bool(os.environ.get("JFFS2TX_AFTER_CUT"))
EVERY = 11
#: Each so many images the kernel works until its collector has been through every block.
CHURN_EVERY = 4
#: A kernel without summary support takes each so many of those that are promised to it.
NO_SUMMARY_EVERY = 2

#: A kernel that goes on in a nearly full block has no room for its summary there: no harm.
EXPECTED = (*TORN, *HALF_CLEARED, r"jffs2: warning: \(\d+\) jffs2_sum_write_data: Not enough space for summary")

_TYPES = {"reg": "file", "lnk": "link", "chr": "char", "blk": "block", "sock": "socket"}
TWICE = "+recover.c"  # in the token of an image that a second cut has made
OURS = "kernel "  # how the names that the kernel makes start
TIME = trees.LATER


# ---- trees as lines --------------------------------------------------------------------------------------------------


def entries_of(lines) -> dict[bytes, Entry]:
    """What tests.crash_images.tree_lines was made of."""
    found, groups = {}, {}
    for line in map(json.loads, lines):
        path = b"" if line["path"] == "." else raw(line["path"])
        found[path] = Entry(
            path=path,
            type=_TYPES.get(line["type"], line["type"]),
            mode=int(line["mode"], 8),
            uid=line["uid"],
            gid=line["gid"],
            time=line["mtime"],
            size=line.get("size", 0),
            sha256=line.get("sha256"),
            link=raw(line["target"]) if "target" in line else None,
            device=tuple(line["device"]) if "device" in line else None,
            inode=groups.setdefault(line["link"], len(groups) + 1) if "link" in line else None,
            xattrs={name.encode(): bytes.fromhex(value) for name, value in line.get("xattrs", {}).items()},
        )
    return found


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def by_path(lines) -> dict[str, dict]:
    return {line["path"]: line for line in map(json.loads, lines)}


def to_lines(entries: dict[str, dict]) -> list[str]:
    ordered = sorted(entries, key=lambda path: b"" if path == "." else raw(path))
    return [json.dumps(entries[path], sort_keys=True, ensure_ascii=True) for path in ordered]


class Work:
    """What the kernel is made to do with a tree given as lines: the actions, and the lines afterwards."""

    def __init__(self, lines) -> None:
        self.entries = by_path(lines)
        self.actions: list[list] = []
        self.touched = {"."}
        self.content: dict[str, bytes] = {}

    def make(self, path: str, data: bytes) -> None:
        node = trees.file(data, time=TIME)
        self.content[hashlib.sha256(data).hexdigest()] = data
        self.actions.append(["make", path_for_guest(path), trees.node_json(node)])
        self.entries[path] = by_path(trees.lines({raw(path): node}))[path]
        self.touched |= {path, parent_of(path)}

    def remove(self, path: str) -> None:
        self.actions.append(["remove", path_for_guest(path)])
        del self.entries[path]
        self.touched.add(parent_of(path))

    def rename(self, path: str, to: str) -> None:
        self.actions.append(["rename", path_for_guest(path), path_for_guest(to)])
        self.entries[to] = self.entries.pop(path) | {"path": to}
        self.touched |= {to, parent_of(path), parent_of(to)}

    def finish(self, churn: bool) -> None:
        if churn:
            self.actions.append(["churn", 1, 30000])
        there = sorted(path for path in self.touched if path in self.entries)
        self.actions.append(["stamp", [[path_for_guest(path), TIME] for path in there]])
        for path in there:
            self.entries[path] = self.entries[path] | {"mtime": TIME}

    @property
    def lines(self) -> list[str]:
        return to_lines(self.entries)


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "."


def path_for_guest(path: str) -> str:
    return "" if path == "." else trees.latin(raw(path))


def victims(lines, other) -> list[str]:
    """Single-named files, first those that the upgrade changes: what it superseded might come back."""
    there = {
        path: line for path, line in by_path(lines).items() if line["type"] in ("reg", "lnk") and "link" not in line
    }
    unlike = set(lines) ^ set(other)
    return sorted(there, key=lambda path: (json.dumps(there[path], sort_keys=True) not in unlike, path))


def worked(sample: Sample, churn: bool) -> Work:
    lines, other = (sample.old, sample.new) if sample.seen == "old" else (sample.new, sample.old)
    work = Work(lines)
    chosen = victims(lines, other)
    work.remove(chosen[0])
    if len(chosen) > 1:
        work.make(chosen[1], b"the kernel's own " * 40)
    work.make(f"{OURS}1", trees.noise(1, 6000))
    work.make(f"{OURS}2", trees.prose(2, 3000))
    work.rename(f"{OURS}1", f"{OURS}3")
    work.make(f"{OURS}2", trees.prose(3, 100))
    work.make(f"{OURS}4", trees.prose(4, 100))
    work.remove(f"{OURS}4")
    work.finish(churn)
    return work


# ---- images ----------------------------------------------------------------------------------------------------------


@dataclass
class Story:
    """One image, the kernel that works on it, and what comes after."""

    sample: Sample
    kernel: str
    transaction: Transaction
    work: Work
    churns: bool
    again: bool  # the upgrade once more, not recover
    state: str = ""  # of the transaction, after the cut
    wanted: list[str] | None = None  # lines, after that
    later: list[str] | None = None  # and when the kernel has gone on

    @property
    def name(self) -> str:
        return f"{self.sample.token} ({self.sample.what}) {self.kernel}, {'again' if self.again else 'recover'}"


def may_be_first(sample: Sample, state: str) -> bool:
    """Without summary support on NOR a boot must not write between the commit and its marks: docs/DESIGN.md."""
    return not sample.needs_summary and not (sample.geometry.kind == "nor" and state == "committed")


def state_after_cut(sample: Sample) -> str:
    with simulated(sample.geometry, State(sample.image, sample.cleanmarkers)) as flash, FileSystem(flash) as fs:
        return fs.status.state


def cut_in_recover(sample: Sample) -> Sample | None:
    """The same with a second cut, in recover, that leaves two blocks with the set of the commit; None: no cut does."""
    with simulated(sample.geometry, State(sample.image, sample.cleanmarkers)) as flash:
        recover(flash)
        for cut in range(lib.jx_sim_op_count(flash.handle), 0, -1):
            with Flash.memory(sample.geometry) as after:
                check(lib.jx_crash_build(flash.handle, cut, lib.JX_F1_CUT, 0, after.handle))
                if commit_blocks(after) == 2:
                    state, token = state_of(after), f"{sample.token}{TWICE}{cut}"
                    return replace(sample, token=token, image=state.image, cleanmarkers=state.markers)
    return None


def commit_blocks(flash: Flash) -> int:
    with FileSystem(flash) as fs:
        blocks = lib.jx_fs_blocks(fs.handle)
        return sum(blocks[i].tag == lib.JX_TAG_COMMIT for i in range(lib.jx_fs_block_count(fs.handle)))


def stories() -> list[Story]:
    found: list[Story] = []
    able = [case for case in cases() if case.endian == "little" and case.scenario != "empty" and case.what.scale == 1]
    for turn, case in enumerate(able if WHOLE else able[::EVERY]):
        three = list(samples_of(case, 3))
        picked = three[turn % 3 :] if WHOLE else three[turn % 3 : turn % 3 + 1]
        for sample in picked:
            number = len(found)
            state = state_after_cut(sample)
            if state == "committed":
                sample = cut_in_recover(sample) or sample
            kernel = "nosummary" if number % NO_SUMMARY_EVERY and may_be_first(sample, state) else "stock"
            churns = number % CHURN_EVERY == 0
            again = number // 2 % 2 == 0 and not case.what.tight
            found.append(Story(sample, kernel, case, worked(sample, churns), churns, again, state))
    return found


# ---- the three acts --------------------------------------------------------------------------------------------------


def script_of(work: Work, folder) -> dict:
    script = folder / f"{len(list(folder.iterdir()))}.json"
    script.write_text(json.dumps(work.actions))
    return call(actions.__file__, str(script))


def working(story: Story, folder) -> Case:
    """The kernel finds the medium as the cut left it."""
    sample = story.sample
    steps = [mount(), see(), script_of(story.work, folder), gc(25, 0.003), remount(), see(), umount(), read_back()]
    markers = list(sample.cleanmarkers)
    return Case(story.name, device_of(sample), sample.image, markers, story.kernel, steps, expected=EXPECTED)


def seen(flash) -> list[str]:
    return list(tree_lines(facts_on(flash)))


def finish(story: Story, image: bytes, markers) -> State:
    """Recover, or the upgrade again; story.wanted is what the tree must be then."""
    sample = story.sample
    with simulated(sample.geometry, State(image, tuple(markers or ()))) as flash:
        assert seen(flash) == story.work.lines, trees.difference(story.work.lines, seen(flash))
        story.wanted = story.work.lines
        if story.again:
            apply_again(story, flash)
        else:
            recover(flash)
        with FileSystem(flash) as fs:
            assert fs.status.state in ("none", "settled")
        assert seen(flash) == story.wanted, trees.difference(story.wanted, seen(flash))
        assert recover(flash).did_nothing
        return state_of(flash)


def apply_again(story: Story, flash) -> None:
    """The manifest of the upgrade, with what the kernel made beside it."""
    names = ("linux-summary+xattr",) if story.kernel == "stock" else ("linux+xattr",)
    kept = {path: line for path, line in story.work.entries.items() if path.startswith(OURS)}
    wanted = to_lines(by_path(story.sample.new) | kept)
    manifest = Manifest(entries_of(wanted).values())
    data = story.sample.content | story.work.content
    content = lambda entry: [data[entry.sha256]] if entry.size else []  # noqa: E731
    try:
        apply_upgrade(flash, wanted_tree(manifest), content, readers=named(names))
        story.wanted = wanted
    except (NoSpace, StrategyError):
        story.again = False
        recover(flash)


def going_on(story: Story, state: State, folder) -> Case:
    """The kernel sees it, and works on."""
    work = Work(story.wanted)
    work.remove(f"{OURS}2")
    work.rename(f"{OURS}3", f"{OURS}2")
    work.make(f"{OURS}5", trees.prose(5, 5000))
    work.finish(churn=False)
    story.later = work.lines
    steps = [mount(ro=True), see(), umount(), mount(), see(), script_of(work, folder), gc(10, 0.003)]
    steps += [remount(), see(), umount()]
    device, markers = device_of(story.sample), list(state.markers)
    return Case(story.name, device, state.image, markers, story.kernel, steps, expected=EXPECTED)


def faults_of(story: Story, result: Result, wanted: list[list[str]]) -> str:
    """What the kernel saw that it must not, or nothing."""
    if not result.ok or result.unexpected:
        return result.why()
    for number, (look, lines) in enumerate(zip(result.named("tree"), wanted, strict=True)):
        if look.lines != list(lines):
            return f"{result.id}, look {number}:\n{trees.difference(list(lines), look.lines)}"
    return ""


def test_a_kernel_at_work_between_cut_and_recovery(lab, tmp_path):  # noqa: F811
    told = stories()
    faults = []
    finished: list[tuple[Story, Case]] = []
    for story, result in zip(told, lab.run([working(story, tmp_path) for story in told]), strict=True):
        sample = story.sample
        before = sample.old if sample.seen == "old" else sample.new
        fault = faults_of(story, result, [before, story.work.lines])
        if not fault:
            back = result.named("read_back")[0]
            try:
                state = finish(story, back.image, back.cleanmarkers)
                finished.append((story, going_on(story, state, tmp_path)))
            except (AssertionError, Jffs2txError) as error:
                fault = f"{story.name}: {type(error).__name__}: {error}"
        faults += [fault] if fault else []
    results = lab.run([case for _, case in finished])
    for (story, _), result in zip(finished, results, strict=True):
        fault = faults_of(story, result, [story.wanted, story.wanted, story.later])
        faults += [fault] if fault else []
    print(summary(told, len(faults)))
    assert not faults, f"{len(faults)} of {len(told)}:\n" + "\n\n".join(faults[:10])
    assert {story.sample.seen for story in told} == {"old", "new"} and {story.again for story in told} == {True, False}
    assert any(TWICE in story.sample.token for story in told)
    assert {story.kernel for story in told} == {"stock", "nosummary"} and len(told) >= (200 if WHOLE else 10)


def summary(told: list[Story], faults: int) -> str:
    def count(key) -> str:
        return ", ".join(f"{number} {name}" for name, number in sorted(Counter(map(key, told)).items()))

    return (
        f"{len(told)} crash images ({count(lambda story: story.sample.seen)} tree; "
        f"{count(lambda story: story.transaction.geometry)}; {count(lambda story: story.transaction.strategy)}; "
        f"{count(lambda story: story.kernel)} kernel; {sum(not s.sample.token.endswith('.t0') for s in told)} torn; "
        f"{sum(TWICE in story.sample.token for story in told)} cut again in recover; "
        f"{sum(story.churns for story in told)} filled up and emptied); "
        f"then {sum(s.again for s in told)} upgraded again, {sum(not s.again for s in told)} recovered: {faults} faults"
    )
