"""MTD devices: the package itself runs in the kernel lab's guest, on flash chips that the kernel simulates."""

import json
import os
import random
from statistics import median

import pytest

from jffs2tx.cli import main
from jffs2tx.device import Flash
from jffs2tx.errors import InvalidValue, NotFound
from jffs2tx.mounts import Mount, mounts_of, parse

from .crafted import tag
from .images import block, inode
from .lab import tree as trees
from .lab.lab import KIB, MIB, Case, Nand, Nor, mount, read_back, run_module, sh, spoil, tree, umount

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
    for number in sorted(bad):
        data = data[: number * erase] + b"\xff" * erase + data[number * erase :]
    return data


def is_erased(image, number, erase):
    return not image[number * erase : (number + 1) * erase].strip(b"\xff")


def free_blocks(image, device, bad=()):
    spec = device.spec()
    erase = spec["erase"]
    blocks = (number for number in range(spec["size"] // erase) if number not in bad)
    return [number for number in blocks if is_erased(image, number, erase)]


def case(name, versions, device, *steps, bad=(), **more):
    image = image_of(versions, device, bad)
    markers = () if device is NOR else free_blocks(image, device, bad)
    return Case(name, device, image, markers, steps=[*steps], **more)


# ---- what is done with them ------------------------------------------------------------------------------------------


def commands(*lines, timeout=120):
    return run_module("tests.commands", json.dumps(lines), timeout=timeout)


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
def test_upgrades_on_devices(lab, versions):
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
        assert result.tree(0).lines == lines_of(versions, "new"), result.id
        assert done(outcomes(result, 1)[0])["changes"] and done(outcomes(result, 1)[1])["problems"] == []
        assert result.tree(1).lines == lines_of(versions, "old"), result.id
        assert result.id == "nand2k-flips" or not result.unexpected, result.why()
        if result.case.device is not NOR:
            assert result.named("read_back")[0].badblocks == list(bad)


@needs_lab
def test_torture_leaves_a_device_alone(lab, versions):
    """A copy of it is tried, bad blocks and all."""
    torture = ["torture", *apply(versions)[1:], "--faults", "F1,F5", "--limit", "40", "--quiet"]
    dump = ["dump", DEVICE, "--json"]
    steps = [commands(dump, torture, dump), mount(), tree(), umount()]
    cases = [case(name, versions, DEVICES[name][0], *steps, bad=DEVICES[name][1]) for name in ("nor", "nand512-bad")]
    for result in lab.run(cases):
        assert result.ok, result.why()
        before, tried, after = outcomes(result)
        facts = done(tried)
        assert facts["images"] >= 20 and facts["total"]["old"] and facts["total"]["third"] == 0
        assert before == after and len(before[1].splitlines()) > 50
        assert result.tree(0).lines == lines_of(versions, "old"), result.id


# ---- many upgrades ---------------------------------------------------------------------------------------------------

ROUNDS = 20
#: Blocks that may be partly filled at one look and not at another: of staging, of the commit set and of its copy, and
#: the one in which the kernel goes on. A leak of one block an upgrade would be many more.
PARTLY_FILLED = 4
#: What comes and goes: the system's own log, and deletions that older names on the medium still need.
GROWTH_BYTES = 64 * KIB


@needs_lab
def test_twenty_upgrades_in_a_row(lab, versions):
    """Forth and back, the kernel writing files of its own in between: they stay, and space does not leak."""
    words = [DEVICE, versions / "old", versions / "new", ROUNDS]
    steps = [run_module("tests.series", *words, timeout=900), mount(), tree(), umount()]
    cases = [case(name, versions, DEVICES[name][0], *steps) for name in ("nor", "nand512")]
    for result in lab.run(cases):
        assert result.ok, result.why()
        rounds = json.loads(result.named("run")[0].stdout)
        print(result.id, [(one["after"]["there"], one["later"]["there"], one["later"]["needed"]) for one in rounds])
        assert [one["error"] for one in rounds] == [""] * ROUNDS
        wrong = [f"round {number}: {line}" for number, one in enumerate(rounds) for line in one["wrong"]]
        assert not wrong, "\n".join(wrong)
        assert all(one["after"]["state"] == "settled" and one["kept"] >= 5 for one in rounds)
        back = [one["later"] for one in rounds[1::2]]  # after the kernel has collected garbage
        assert max(one["there"] for one in back) - min(one["there"] for one in back) <= PARTLY_FILLED
        # What is needed comes and goes, by 50 KiB, with what the kernel has collected; a leak would only grow. Between
        # the halves lie five upgrades there and back, and each leaves 70 KiB of the tree before behind.
        half = len(back) // 2
        earlier, later = (median(one["needed"] for one in part) for part in (back[:half], back[half:]))
        assert later - earlier <= GROWTH_BYTES


# ---- who else uses the device ----------------------------------------------------------------------------------------


@needs_lab
def test_mounted_devices(lab, versions):
    """Mounted read-write: refused, with the mount point. Read-only: may be looked at. One writer at a time."""
    names = 'mtd0 /dev/mtdblock0 "mtd:$(cat /sys/class/mtd/mtd0/name)"'
    each = 'mkdir -p /run/m; for name in {}; do mount -t jffs2 "$name" /run/m || exit; {}; umount /run/m; done'
    steps = [
        mount(),
        commands(["status", DEVICE], ["ls", DEVICE], apply(versions), ["recover", DEVICE]),
        umount(),
        mount(ro=True),
        commands(["status", DEVICE, "--json"], ["ls", DEVICE], ["recover", DEVICE]),
        umount(),
        sh(each.format(names, "grep ' /run/m ' /proc/self/mountinfo")),
        commands(
            ["while-writing", DEVICE, "recover", DEVICE],
            ["while-writing", DEVICE, "ls", DEVICE],
            ["ls", DEVICE + "ro"],
            ["recover", DEVICE + "ro"],
            ["ls", "/dev/mtdblock0"],
            ["ls", DEVICE, "--page-size", "4KiB"],
            ["ls", DEVICE, "--endian", "big"],
        ),
    ]
    for result in lab.run([case(name, versions, DEVICES[name][0], *steps) for name in ("nor", "nand512")]):
        assert result.ok, result.why()
        for status, _, error in outcomes(result, 0):
            assert status == 1
            assert error.startswith(f"jffs2tx: {DEVICE}: is mounted read-write at /run/lab/mnt: ")
        look, ls, recover = outcomes(result, 1)
        assert done(look)["mounted"] == "/run/lab/mnt" and ls[0] == 0 and ls[1] and recover[0] == 0
        table = result.named("run")[2].stdout
        assert parse(table, 0) == [Mount("/run/m", "jffs2", True)] * 3
        busy, reader, twin, denied, hidden, wrong, order = outcomes(result, 3)
        assert busy[0] == 1 and "another jffs2tx is writing to it" in busy[2]
        assert reader == twin == ls
        assert denied[0] == 1 and "permission denied" in denied[2].lower()
        assert hidden[0] == 1 and "use /dev/mtd0" in hidden[2]
        assert wrong[0] == 1 and "the kernel says" in wrong[2]
        assert order[0] == 1 and "holds a little-endian file system, not a big-endian one" in order[2]


def test_what_is_no_mtd_device(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", "/dev/null"):
        with pytest.raises(InvalidValue):
            Flash.mtd(path)
    with pytest.raises(NotFound):
        Flash.mtd(tmp_path / "none")


def test_mount_table():
    table = """\
23 28 0:21 / /proc rw,nosuid shared:5 - proc proc rw
28 1 31:4 / / rw,relatime shared:1 - jffs2 /dev/root rw
31 28 31:12 / /srv/with\\040space\\134 ro,relatime - jffs2 mtd:user data ro,compr=none
32 28 31:4 /boot /boot ro,relatime master:1 - jffs2 /dev/root rw
33 28 8:12 / /disk rw - ext4 /dev/sda12 rw
"""
    assert parse(table, 4) == [Mount("/", "jffs2", True), Mount("/boot", "jffs2", True)]
    assert parse(table, 12) == [Mount("/srv/with space\\", "jffs2", False)]
    assert parse(table, 1) == []


def test_mounts_of_other_namespaces(tmp_path):
    """Each namespace once, this process's first; what may not be looked into is passed over."""
    line = "28 1 31:4 / /{} rw - jffs2 mtd4 {}\n"
    for process, namespace, table in (
        ("self", 1, line.format("here", "ro")),
        ("17", 1, line.format("here", "ro")),
        ("18", 2, line.format("there", "rw")),
        ("19", 3, None),
        ("other", 4, line.format("nowhere", "rw")),
    ):
        (tmp_path / process / "ns").mkdir(parents=True)
        (tmp_path / process / "ns" / "mnt").symlink_to(f"mnt:[{namespace}]")
        if table:
            (tmp_path / process / "mountinfo").write_text(table)
    assert mounts_of(4, tmp_path) == [Mount("/here", "jffs2", False), Mount("/there", "jffs2", True)]


# ---- NAND as it is ---------------------------------------------------------------------------------------------------


@needs_lab
def test_cleanmarkers_are_the_kernels(lab, versions):
    """The OOB bytes of blocks that we erased are those of blocks that the kernel erased."""
    cases = []
    for name in ("nand2k", "nand512"):
        device = DEVICES[name][0]
        cases.append(
            Case(f"{name}-kernel", device, steps=[mount(), sh("echo x > $MNT/x; sync"), umount(), read_back()])
        )
        image = image_of(versions, device)
        cases.append(Case(f"{name}-ours", device, image, steps=[commands(apply(versions)), read_back()]))
    results = iter(lab.run(cases))
    for kernel, ours in zip(results, results, strict=True):
        assert kernel.ok and ours.ok, kernel.why() + ours.why()
        done(outcomes(ours)[0])
        erase = kernel.case.device.spec()["erase"]
        marked = []
        for back in (kernel.named("read_back")[0], ours.named("read_back")[0]):
            erased = [number for number in back.cleanmarkers if is_erased(back.image, number, erase)]
            marked.append({back.oob[number] for number in erased})
        assert len(marked[0]) == 1 and marked[0] == marked[1]


WORN = {"expected": (r"\[nandsim\] warning: simulating",)}
#: What is read there is noise, and may look like anything.
DEAD = {
    "expected": (
        *WORN["expected"],
        r"uncorrectable ECC",
        r"jffs2: .*(mtd->read|Magic bitmask|Empty flash|Further such events|CRC failed)",
    )
}


@needs_lab
def test_worn_blocks(lab, versions):
    """An erase fails, a program fails: both blocks are marked bad, the upgrade lands all the same."""
    cases = []
    for page, erase, size in ((2048, 128 * KIB, 4 * MIB), (512, 16 * KIB, MIB)):
        plain = Nand(page, size)
        first, second, *_ = free_blocks(image_of(versions, plain), plain)
        device = Nand(page, size, weakblocks=(f"{first}:0",), weakpages=(f"{second * (erase // page) + 1}:0",))
        steps = [commands(apply(versions), ["status", DEVICE, "--json"]), read_back(), mount(), tree(), umount()]
        cases.append(Case(f"{page}", device, image_of(versions, plain), steps=steps, **WORN))
    for result in lab.run(cases):
        assert result.ok, result.why()
        landed, status = outcomes(result)
        assert done(landed)["changes"] and done(status)["space"]["bad"] == 2
        assert len(result.named("read_back")[0].badblocks) == 2
        assert result.tree().lines == lines_of(versions, "new")


@needs_lab
def test_pages_that_cannot_be_read_any_more(lab, versions):
    """Two pages take a program and never give it back: reading back finds it, the upgrade lands elsewhere, whole."""
    cases = []
    for page, erase, size in ((2048, 128 * KIB, 4 * MIB), (512, 16 * KIB, MIB)):
        plain = Nand(page, size)
        first, second, *_ = free_blocks(image_of(versions, plain), plain)
        places = [first * (erase // page) + 1, second * (erase // page)]
        device = Nand(page, size, gravepages=(f"{places[0]}:0", f"{places[1]}:0"))
        steps = [commands(apply(versions), ["recover", DEVICE]), mount(), tree(), umount()]
        cases.append(Case(f"{page}", device, image_of(versions, plain), steps=steps, **DEAD))
    for result in lab.run(cases):
        assert result.ok, result.why()
        landed, recovered = outcomes(result)
        assert done(landed)["changes"] and recovered[0] == 0
        assert any("simulating read error" in line for line in result.dmesg)
        assert result.tree().lines == lines_of(versions, "new") and not result.unexpected, result.why()


def with_orphan(image, device):
    """The image, then a block that holds nothing but a node that no name leads to, and one that was staged, so that
    recover reads them all; and where the first of them stands."""
    erase = device.spec()["erase"]
    at = -(-len(image) // erase) * erase
    orphan = inode(900, 1, b"orphan" * 100)
    blocks = block(orphan, size=erase, clean=False) + block(tag(1, 7), orphan, size=erase, clean=False)
    return image.ljust(at, b"\xff") + blocks, at


@needs_lab
def test_unreadable_pages(lab, versions):
    """Where ECC gives up we see what the kernel sees, and no block with such a page is erased, whatever it holds."""
    out = "/run/lab/extracted"
    cases, orphans = [], {}
    for device in (NAND, SMALL_NAND):
        image, orphan = with_orphan(image_of(versions, device), device)
        spec = device.spec()
        used = orphan // spec["page"]
        for page in (1, used // 3, used // 2, used - spec["erase"] // spec["page"], used):
            name = f"{spec['page']}-{page}"
            orphans[name] = orphan
            steps = [
                spoil(page * spec["page"]),
                commands(
                    ["check", DEVICE, "--json"],
                    ["extract", DEVICE, "-o", out, "-q"],
                    ["lines", out],
                    ["recover", DEVICE, "--json"],
                    ["status", DEVICE, "--json"],
                ),
                sh(f"rm -r {out}"),
                read_back(),
                mount(ro=True),
                tree(),
                umount(),
                commands(apply(versions), ["status", DEVICE, "--json"]),
                mount(ro=True),
                tree(),
                umount(),
                read_back(),
            ]
            cases.append(Case(name, device, image, (), steps=steps))
    for result in lab.run(cases):
        assert result.ok, result.why()
        spec, orphan = result.case.device.spec(), orphans[result.id]
        spoiled = int(result.id.partition("-")[2]) * spec["page"]
        check, extract, lines, recover, status = outcomes(result)
        assert "unreadable-page" in check[1] and check[0] == 1
        assert done(status)["ecc"]["unreadable_pages"] == 1
        seen, ours = result.tree(0).lines, lines[1].splitlines()
        assert ours == [line for line in seen if '"error"' not in line], result.id
        # What was in the page may be lost without the tree showing it: extract says so, and why.
        assert extract[0] in ((0, 1) if ours == seen else (1,))
        assert bool(extract[0]) == bool(extract[1].strip() or extract[2].strip()), extract
        kept = spoiled - spoiled % spec["erase"]
        first, second = result.named("read_back")
        assert first.uncorrectable == second.uncorrectable == [spoiled]
        start = result.case.image
        for back in (first, second):
            for at in range(kept, kept + spec["erase"], spec["page"]):
                assert at == spoiled or back.image[at : at + spec["page"]] == start[at : at + spec["page"]].ljust(
                    spec["page"], b"\xff"
                )
        erased = not first.image[orphan : orphan + spec["erase"]].strip(b"\xff")
        assert erased == (kept != orphan) and done(recover)["blocks_erased"] >= erased
        assert done(outcomes(result, 2)[0])["changes"] and done(outcomes(result, 2)[1])["ecc"]["unreadable_pages"] == 1
        assert result.tree(1).lines == lines_of(versions, "new"), result.id


@needs_lab
def test_corrected_bits_are_counted(lab, versions):
    look = commands(["status", DEVICE, "--json"], ["check", DEVICE, "--json"], apply(versions))
    result = lab.run([case("one bit", versions, NAND, spoil(4096, bits=1), look, read_back())])[0]
    assert result.ok, result.why()
    status, check, landed = outcomes(result)
    assert done(status)["ecc"]["corrected_bits"] >= 1 and done(status)["ecc"]["unreadable_pages"] == 0
    assert done(check)["problems"] == [] and done(landed)["ecc_corrected_bits"] >= 1
    assert result.named("read_back")[0].uncorrectable == []
