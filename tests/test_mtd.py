"""MTD devices: the package itself runs in the kernel lab's guest, on flash chips that the kernel simulates."""

import json
import os
import random

import pytest

from jffs2tx.cli import main
from jffs2tx.mounts import Mount, mounts_of

from .lab import tree as trees
from .lab.fixture import lab  # noqa: F401
from .lab.lab import KIB, MIB, PYTHON, Case, Nand, Nor, mount, read_back, run, spoil, tree, umount

DEVICE = "/dev/mtd0"
NOR = Nor(2 * MIB, 64 * KIB)
NAND = Nand(2 * KIB, 4 * MIB)
SMALL_NAND = Nand(512, MIB)

needs_lab = pytest.mark.lab


# ---- what is put on the devices --------------------------------------------------------------------------------------


def write(root, files):
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, (1_000_000_000 + number, 1_000_000_000 + number))
    os.utime(root, (1_100_000_000, 1_100_000_000))


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Two directories and their manifests: old, new."""
    folder = tmp_path_factory.mktemp("versions")
    noise = random.Random(3)
    files = {f"lib/{number}": noise.randbytes(9_000) for number in range(24)}
    files |= {"etc/motd": b"old\n", "bin/text": b"all work and no play\n" * 2_000, "gone": b"gone"}
    write(folder / "old", files)
    del files["gone"]
    files |= {
        "etc/motd": b"new\n",
        "lib/3": noise.randbytes(20_000),
        "lib/deep/er": b"deep",
        "came": noise.randbytes(50_000),
    }
    write(folder / "new", files)
    for version in ("old", "new"):
        assert main(["manifest", str(folder / version), "-o", str(folder / f"{version}.manifest"), "-q"]) == 0
    return folder


def image_of(versions, device, bad=()):
    """An image of the old version for the device; bad blocks stay erased."""
    spec = device.spec()
    erase, target = spec["erase"], versions / f"{spec['page']}.image"
    if not target.exists():
        page = ["--page-size", str(spec["page"])] if spec["page"] > 1 else []
        words = ["mkfs", str(versions / "old"), "-o", str(target), "--erase-size", str(erase), *page, "-q"]
        assert main(words) == 0
    data = target.read_bytes()
    for block in sorted(bad):
        data = data[: block * erase] + b"\xff" * erase + data[block * erase :]
    return data


def free_blocks(image, device, bad=()):
    spec = device.spec()
    erase = spec["erase"]
    blocks = (number for number in range(spec["size"] // erase) if number not in bad)
    return [number for number in blocks if not image[number * erase : (number + 1) * erase].strip(b"\xff")]


def case(name, versions, device, *steps, bad=(), **more):
    image = image_of(versions, device, bad)
    markers = () if device is NOR else free_blocks(image, device, bad)
    return Case(name, device, image, markers, steps=[*steps], **more)


# ---- what is done with them ------------------------------------------------------------------------------------------


def commands(*lines, timeout=120):
    return run([PYTHON, "-m", "tests.commands", json.dumps(lines)], timeout=timeout)


def outcomes(result, number=0):
    """[status, stdout, stderr] of each command of the number-th run."""
    step = result.named("run")[number]
    assert step.ok, result.why()
    return json.loads(step.stdout)


def apply(versions, version="new", *more):
    target = [str(versions / f"{version}.manifest"), "--from", str(versions / version)]
    return ["apply", DEVICE, *target, "--reader", "linux-summary", "--json", *more]


def lines_of(versions, version):
    return trees.lines(versions / version)


def done(outcome):
    """The JSON that a command printed."""
    status, output, error = outcome
    assert status == 0, (status, output, error)
    return json.loads(output)


DEVICES = {
    "nor": (NOR, ()),
    "nand2k": (NAND, ()),
    "nand512": (SMALL_NAND, ()),
    "nand2k-bad": (Nand(2 * KIB, 4 * MIB, badblocks=(1, 5, 31)), (1, 5, 31)),
    "nand512-bad": (Nand(512, MIB, badblocks=(0, 20)), (0, 20)),
    "nand2k-flips": (Nand(2 * KIB, 4 * MIB, bitflips=1), ()),
}
KINDS = {"nor": ("nor", 1, 1, 0), "nand2k": ("nand", 2048, 512, 38), "nand512": ("nand", 512, 256, 8)}


@needs_lab
def test_upgrades_on_devices(lab, versions):  # noqa: F811
    """Every command works on a device as on an image, and the kernel mounts the new tree."""
    look = [["status", DEVICE, "--json"], ["check", DEVICE, "--json"], ["recover", DEVICE, "--json"]]
    steps = [
        commands(*look, apply(versions), *look, ["ls", DEVICE, "/lib", "--json"], ["dump", DEVICE, "--json"]),
        read_back(),
        mount(),
        tree(),
        umount(),
        commands(apply(versions, "old"), ["check", DEVICE, "--json"]),
        mount(),
        tree(),
        umount(),
    ]
    cases = [case(name, versions, device, *steps, bad=bad) for name, (device, bad) in DEVICES.items()]
    for result in lab.run(cases):
        bad = DEVICES[result.id][1]
        assert result.ok, result.why()
        before, *_ = found = outcomes(result)
        facts = done(before)
        geometry = facts["geometry"]
        kind = KINDS[result.id.partition("-")[0]]
        names = ("kind", "page_size_bytes", "subpage_size_bytes", "oob_avail_bytes")
        assert tuple(geometry[name] for name in names) == kind
        spec = result.case.device.spec()
        assert (geometry["size_bytes"], geometry["erase_size_bytes"]) == (spec["size"], spec["erase"])
        assert facts["space"]["bad"] == len(bad) and facts["guesses"] == [] and not facts["mounted"]
        assert done(found[1])["problems"] == done(found[5])["problems"] == []
        for number in (2, 6):
            assert not any(done(found[number])[key] for key in ("blocks_erased", "nodes_moved", "bits_cleared"))
        assert done(found[3])["changes"] and done(found[4])["transaction"]["state"] == "settled"
        assert {json.loads(line)["path"] for line in found[7][1].splitlines()} >= {"./lib/3", "./lib/deep"}
        assert found[8][0] == 0 and len(found[8][1].splitlines()) > 50
        assert bool(done(found[4])["ecc"]["corrected_bits"]) == (result.id == "nand2k-flips")
        assert result.tree(0).lines == lines_of(versions, "new"), result.id
        assert done(outcomes(result, 1)[0])["changes"] and done(outcomes(result, 1)[1])["problems"] == []
        assert result.tree(1).lines == lines_of(versions, "old"), result.id
        assert not result.unexpected, result.why()
        if result.case.device is not NOR:
            assert result.named("read_back")[0].badblocks == list(bad)
