"""Crash images before the judge: after a power cut Linux sees the old tree or the new one, whole, and goes on well."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator

import pytest

from . import actions, trees
from .crash_images import Sample, sample_images, whole_cuts
from .lab.fixture import lab  # noqa: F401
from .lab.lab import Case, Nand, Nor, Result, call, mount, remount, umount
from .lab.lab import tree as see

pytestmark = pytest.mark.lab

SAMPLES = 300
#: `make kernel-deep`: of each transaction so many tears of the commit beside all whole cuts, so many in one boot.
DEEP_TORN, DEEP_BATCH, DEEP_IMAGES = 4, 8, 5000
#: Every so many samples go to a kernel without summary support too, where the promise is made to it.
NO_SUMMARY_EVERY = 3
#: A look at more paths than this takes seconds: one such image of three, and only one look.
MANY_PATHS = 500
MANY_EVERY = 3

#: What a scan says of a torn node, header or page; on NAND also between two whole pages, where a node spans them.
TORN = (
    r"jffs2: .*\w+(\(\))?: (Magic bitmask 0x1985 not found|.*CRC failed|Summary node crc error|Node at 0x\w+)",
    r"jffs2: .*wrong data CRC in data node",
    r"jffs2: Further such events for this erase block will not be printed",
    r"jffs2: Empty flash at 0x\w+ ends at 0x\w+",
)
#: What it says on NOR between two whole operations: headers are cleared in steps, cleanmarkers before their blocks.
HALF_CLEARED = (r"jffs2: \w+\(\): Magic bitmask 0x1985 not found at 0x\w+: 0x\w+ instead",)


def expected_of(sample: Sample) -> tuple[str, ...]:
    whole = sample.token.endswith(".t0")
    return HALF_CLEARED if whole and sample.geometry.kind == "nor" else TORN


def is_many(sample: Sample) -> bool:
    return len(sample.old) > MANY_PATHS


def device_of(sample: Sample) -> Nor | Nand:
    geometry = sample.geometry
    if geometry.kind == "nor":
        return Nor(geometry.size, geometry.erase_size)
    return Nand(geometry.write_size, geometry.size)


@pytest.fixture(scope="module")
def writing(tmp_path_factory) -> dict:
    """A step that writes, renames, replaces and deletes names of its own in the root."""
    tree = {b"": trees.directory()}
    script = trees.Script(tree)
    script.make(b"kernel 1", trees.file(trees.noise(1, 6000)))
    script.make(b"kernel 2", trees.file(trees.prose(2, 3000)))
    script.rename(b"kernel 1", b"kernel 3")
    script.make(b"kernel 2", trees.file(trees.prose(3, 100)))
    script.make(b"kernel 4", trees.file(trees.prose(4, 100)))
    script.remove(b"kernel 4")
    # Where a dirent can be made obsolete no deletion is written (jffs2_do_unlink): after a remount none dates the root.
    script.stamp()
    path = tmp_path_factory.mktemp("scripts") / "script.json"
    path.write_text(json.dumps(script.actions))
    return call(actions.__file__, str(path))


def without_ours(lines: list[str]) -> list[str]:
    """The paths that the kernel was not made to touch."""
    return [line for line in lines if not json.loads(line)["path"].startswith((".", "kernel "))]


def cases_of(number: int, sample: Sample, writing: dict) -> Iterator[Case]:
    kernels = ["bigendian"] if sample.endian == "big" else ["stock"]
    if sample.endian == "little" and not sample.needs_summary and number % NO_SUMMARY_EVERY == 0:
        kernels.append("nosummary")
    steps = [mount(ro=True), see(), umount()]
    if not is_many(sample):
        steps += [mount(), see(), writing, see(), remount(), see(), umount()]
    for kernel in kernels:
        name = f"{sample.token} ({sample.what}) {kernel}"
        markers, expected = list(sample.cleanmarkers), expected_of(sample)
        yield Case(name, device_of(sample), sample.image, markers, kernel, steps, expected=expected)


def faults_of(sample: Sample, result: Result) -> str:
    """What the kernel saw that it must not, or nothing."""
    if not result.ok:
        return result.why()
    if sample.expected not in ("either", sample.seen):
        return f"{result.id}: our own reader sees the {sample.seen} tree, not the {sample.expected} one"
    looks = result.named("tree")
    wanted = list(sample.old if sample.seen == "old" else sample.new)
    for look in looks[:2]:
        if look.lines != wanted:
            return f"{result.id}: not the {sample.seen} tree\n{trees.difference(wanted, look.lines)}\n{result.why()}"
    if len(looks) > 2:
        if without_ours(looks[2].lines) != without_ours(wanted):
            return f"{result.id}: other files change\n{trees.difference(wanted, looks[2].lines)}"
        if looks[3].lines != looks[2].lines:
            return f"{result.id}: changed by a remount\n{trees.difference(looks[2].lines, looks[3].lines)}"
    return result.why() if result.unexpected else ""


def put_before(lab, samples: Iterable[tuple[int, Sample]], writing) -> tuple[int, int, list[str], set[str]]:  # noqa: F811
    """Images, kernels, faults, and the trees seen."""
    asked = [(sample, case) for number, sample in samples for case in cases_of(number, sample, writing)]
    results = lab.run([case for _, case in asked])
    faults = [faults_of(sample, result) for (sample, _), result in zip(asked, results, strict=True)]
    found = [fault for fault in faults if fault]
    images = len({sample.token for sample, _ in asked})
    return images, len(asked), found, {sample.seen for sample, _ in asked}


def test_crash_images(lab, writing):  # noqa: F811
    samples = enumerate(sample_images(SAMPLES))
    chosen = ((number, sample) for number, sample in samples if not is_many(sample) or number % MANY_EVERY == 0)
    images, kernels, found, trees_seen = put_before(lab, chosen, writing)
    print(f"{images} crash images, mounted by {kernels} kernels, {len(found)} faults")
    assert not found, f"{len(found)} of {kernels}:\n" + "\n\n".join(found[:10])
    assert images >= SAMPLES and trees_seen == {"old", "new"}


@pytest.mark.skipif("JFFS2TX_KERNEL_DEEP" not in os.environ, reason="`make kernel-deep` runs it")
def test_every_cut_between_two_operations(lab, writing):  # noqa: F811
    """As many transactions a boot as keep the images within some hundred MiB."""
    images = kernels = 0
    found: list[str] = []
    transactions = whole_cuts(DEEP_TORN)
    while batch := list(itertools.islice(transactions, DEEP_BATCH)):
        done, mounted, faults, _ = put_before(lab, enumerate(itertools.chain(*batch)), writing)
        images, kernels, found = images + done, kernels + mounted, found + faults
        so_far = f"{images} crash images, mounted by {kernels} kernels, {len(found)} faults"
        print(so_far, *faults, sep="\n", flush=True)
    assert not found, f"{len(found)} of {kernels}:\n" + "\n\n".join(found[:10])
    assert images >= DEEP_IMAGES
