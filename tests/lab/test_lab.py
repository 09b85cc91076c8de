"""The kernel lab itself: does it show what is on a medium, and does it notice what it must?"""

import json
import os
import shutil
import stat
import struct
import subprocess
import zlib
from contextlib import suppress

import pytest

from . import build, tree
from .lab import (
    KIB,
    MIB,
    PYTHON,
    Case,
    LabError,
    Nand,
    Nor,
    gc,
    mount,
    parse_device,
    program,
    read_back,
    remount,
    run,
    sh,
    spoil,
    umount,
)
from .lab import tree as see

pytestmark = pytest.mark.lab

NOR = Nor(512 * KIB, 16 * KIB)
NAND = Nand(2 * KIB, MIB)
SMALL_NAND = Nand(512, 512 * KIB)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A small tree with one of everything that this user may create."""
    root = tmp_path_factory.mktemp("source")
    (root / "dir/deeper").mkdir(parents=True)
    (root / "empty").write_bytes(b"")
    (root / "text").write_bytes(b"all work and no play\n" * 700)
    (root / "dir/noise").write_bytes(bytes((i * i * 7919 >> 5) & 0xFF for i in range(9000)))
    (root / "dir/deeper/script").write_text("#!/bin/sh\n")
    (root / "dir/deeper/script").chmod(0o4755)
    (root / "link").symlink_to("dir/deeper/script")
    (root / "naïve").write_text("a name beyond ASCII")
    os.mkfifo(root / "dir/fifo", 0o640)
    if os.geteuid() == 0:
        os.mknod(root / "dir/console", stat.S_IFCHR | 0o600, os.makedev(5, 1))
        os.mknod(root / "dir/disk", stat.S_IFBLK | 0o660, os.makedev(8, 17))
        os.chown(root / "text", 1000, 1001)
    with suppress(OSError):  # the host's file system has none; the rest of the tree is tested all the same
        os.setxattr(root / "text", "user.colour", b"blue\x00green")
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, (1_000_000_000 + number, 1_000_000_000 + number), follow_symlinks=False)
    return root


def mkfs(source, erase, *words, summary=False, tmp=None):
    """An image of mkfs.jffs2, through sumtool if asked."""
    argv = [build.tool("mkfs.jffs2"), "-r", str(source), "-e", f"{erase // KIB}KiB", "--with-xattr", *words]
    image = subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout
    if not summary:
        return image
    (tmp / "plain").write_bytes(image)
    argv = [build.tool("sumtool"), "-i", str(tmp / "plain"), "-o", str(tmp / "summed"), "-e", f"{erase // KIB}KiB"]
    subprocess.run(argv + [word for word in words if word in ("-n", "-l", "-b")], check=True)
    return (tmp / "summed").read_bytes()


def comparable(lines):
    """Lines without what mkfs.jffs2 does not keep.

    It writes no inode for the root, and the version of a directory's last dirent is above that of the directory's
    inode: the kernel then takes the dirent's time for the directory's.
    """
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        if entry["type"] == "dir":
            del entry["mtime"]
    return entries[1:]


def crc(data):
    return zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF


def dirent(pino, version, ino, name, kind):
    head = struct.pack("<HHI", 0x1985, 0xE001, 40 + len(name))
    head += struct.pack("<IIIIIBBH", crc(head), pino, version, ino, 0, len(name), kind, 0)
    data = head + struct.pack("<II", crc(head), crc(name)) + name
    return data + b"\xff" * (-len(data) % 4)


def empty_file(ino):
    head = struct.pack("<HHI", 0x1985, 0xE002, 68)
    head += struct.pack("<I", crc(head))
    head += struct.pack("<IIIHHIIIIIIIBBH", ino, 1, 0o100644, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    return head + struct.pack("<II", 0, crc(head))


def summarized_block(size):
    """A NOR block with the files `listed` and `unlisted`, whose valid summary knows the first one only."""
    marker = struct.pack("<HHI", 0x1985, 0x2003, 12)
    marker += struct.pack("<I", crc(marker))
    parts, entries = [marker], []
    at = len(marker)
    for ino, name in ((2, b"listed"), (3, b"unlisted")):
        entry, inode = dirent(1, ino, ino, name, 8), empty_file(ino)
        if ino == 2:
            head = struct.pack("<HIIIIIBB", 0xE001, 40 + len(name), at, 1, ino, ino, len(name), 8)
            entries.append(head + name)
            entries.append(struct.pack("<HIIII", 0xE002, ino, 1, at + len(entry), 68))
        parts += [entry, inode]
        at += len(entry) + len(inode)
    body = b"".join(entries)
    tail_size = 32 + len(body) + 8
    tail_size += -tail_size % 4
    offset = size - tail_size
    body += b"\xff" * (tail_size - 32 - len(body) - 8) + struct.pack("<II", offset, 0x02851885)
    head = struct.pack("<HHI", 0x1985, 0x2006, tail_size)
    head += struct.pack("<IIII", crc(head), len(entries), len(marker), 0)
    summary = head + struct.pack("<I", crc(body)) + struct.pack("<I", crc(head)) + body
    data = b"".join(parts)
    return data + b"\xff" * (size - len(data) - len(summary)) + summary


def names(result, number=0):
    return [json.loads(line)["path"] for line in result.tree(number).lines]


def test_mkfs_images_mount_as_their_source(lab, source, tmp_path):
    """NOR and NAND, with and without summary, both byte orders: the kernel sees the source directory."""
    cases = []
    for kernel, order in (("stock", "-l"), ("nosummary", "-l"), ("bigendian", "-b")):
        for summary in (False, True):
            for device, erase, words in (
                (NOR, 16 * KIB, []),
                (NAND, 128 * KIB, ["-n"]),
                (SMALL_NAND, 16 * KIB, ["-n"]),
            ):
                image = mkfs(source, erase, order, *words, summary=summary, tmp=tmp_path)
                markers = () if device is NOR else "free"
                cases.append(Case(f"{kernel}-{summary}-{device}", device, image, markers, kernel))
    wanted = comparable(tree.lines(source))
    for result in lab.run(cases):
        assert result.ok and not result.unexpected, result.why()
        assert comparable(result.tree().lines) == wanted, result.id


def test_wrong_byte_order_is_refused(lab, source):
    result = lab.run([Case("be", NOR, mkfs(source, 16 * KIB, "-b"), steps=[mount()])])[0]
    assert not result.ok
    assert any("Magic bitmask is backwards" in line for line in result.unexpected)


def test_writes_last_and_read_back_mounts_again(lab, source):
    """What the kernel wrote is there after a remount, after a read back, and on a second chip."""
    devices = [NOR, NAND, SMALL_NAND]
    change = "echo new > $MNT/new && rm $MNT/text && ln $MNT/dir/noise $MNT/noise && mv $MNT/dir/deeper $MNT/up"
    steps = [mount(), sh(change), remount(), see(), gc(30), remount(), see(), umount(), read_back()]
    # mkfs does not fill its last page, so the kernel goes on with the next one and finds the gap later.
    gap = (r"jffs2: Empty flash at 0x\w+ ends at 0x\w+",)
    cases = []
    for device in devices:
        image = mkfs(source, device.spec()["erase"], "-l", *([] if device is NOR else ["-n"]))
        cases.append(Case(f"write-{device}", device, image, () if device is NOR else "free", steps=steps, expected=gap))
    written = lab.run(cases)
    cases = []
    for first, device in zip(written, devices, strict=True):
        assert first.ok and not first.unexpected, first.why()
        assert {"new", "noise", "up/script"} <= set(names(first)) and "text" not in names(first)
        assert first.tree(0).digest == first.tree(1).digest
        by_path = {json.loads(line)["path"]: json.loads(line) for line in first.tree().lines}
        assert by_path["noise"]["link"] == by_path["dir/noise"]["link"] == "dir/noise"
        back = first.named("read_back")[0]
        assert len(back.image) == device.size and not back.uncorrectable
        if device is not NOR:
            assert back.cleanmarkers and not back.badblocks
        cases.append(Case(f"again-{device}", device, back.image, back.cleanmarkers or (), expected=gap))
    for first, second in zip(written, lab.run(cases), strict=True):
        assert second.ok and not second.unexpected, second.why()
        assert second.tree().lines == first.tree(1).lines


def test_nosummary_ignores_summaries(lab):
    """A file that the block's valid summary does not list is there only for a kernel that scans the block."""
    image = summarized_block(16 * KIB)
    stock, plain = lab.run([Case(kernel, NOR, image, kernel=kernel) for kernel in ("stock", "nosummary")])
    assert stock.ok and plain.ok, stock.why() + plain.why()
    assert names(stock) == [".", "listed"]
    assert names(plain) == [".", "listed", "unlisted"]


def test_damage_is_reported(lab, source):
    """A flipped bit in a node gives an unexpected line; a lost page does too, and names its offset."""
    image = bytearray(mkfs(source, 16 * KIB, "-l"))
    image[image.index("naïve".encode())] ^= 1
    lose = [spoil(2048), mount(), see(), umount(), read_back()]
    flipped, lost = lab.run(
        [
            Case("flipped", NOR, bytes(image)),
            Case("lost", NAND, mkfs(source, 128 * KIB, "-l", "-n"), "free", steps=lose),
        ]
    )
    assert any("Name CRC failed" in line for line in flipped.unexpected)
    assert lost.ok and lost.unexpected, lost.why()
    assert lost.named("read_back")[0].uncorrectable == [2048]


def test_programs_of_the_host_run_on_the_device(lab):
    steps = [
        run([PYTHON, "-c", "import os; print(os.pread(os.open('/dev/mtd0', os.O_RDONLY), 4, 0x1000))"]),
        program(0x1000, b"abcd"),
        run([PYTHON, "-c", "import os; print(os.pread(os.open('/dev/mtd0', os.O_RDONLY), 4, 0x1000))"]),
        run(["flash_erase", "/dev/mtd0", "0", "0"]),
        sh("exit 3"),
        read_back(),
    ]
    result = lab.run([Case("programs", NOR, steps=steps)])[0]
    assert [step.stdout for step in result.steps[:3:2]] == ["b'\\xff\\xff\\xff\\xff'\n", "b'abcd'\n"]
    assert [step.ok for step in result.steps] == [True, True, True, True, False, True]
    assert result.steps[4].rc == 3
    assert result.steps[5].image == b"\xff" * NOR.size


def test_nand_faults(lab):
    """Bad blocks and odd sizes: the chip is as it was asked for, and a fresh one after a case that wore it."""
    device = Nand(2 * KIB, 6 * 128 * KIB, badblocks=(2, 4))
    first, second = lab.run(
        [
            Case("bad", device, steps=[mount(), sh("echo x > $MNT/x"), umount(), read_back()]),
            Case("good", Nand(2 * KIB, 6 * 128 * KIB), steps=[read_back()]),
        ]
    )
    assert first.ok and first.named("read_back")[0].badblocks == [2, 4]
    assert second.ok and second.named("read_back")[0].badblocks == []


def test_a_dying_guest_is_blamed_on_its_case(lab, source):
    """A panic and a hang: the case they happened in says so, those before and after are judged all the same."""
    image = mkfs(source, 16 * KIB, "-l")
    bad = {
        "panic": [mount(), sh("echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger")],
        "hang": [mount(), sh("kill -STOP $PPID; sleep 100", timeout=60)],
    }
    order = ["first", "panic", "between", "hang", "last"]
    cases = [Case(name, NOR, image, **({"steps": bad[name]} if name in bad else {})) for name in order]
    results = lab.run(cases, timeout=20)
    assert [result.id for result in results] == order
    for result in results:
        if result.id in bad:
            assert not result.ok and "in step 1 (run)" in result.error, result.error
        else:
            assert result.ok, result.why()
    assert "panic" in results[1].error and "sysrq" in results[1].console
    assert "hang" in results[3].error


def test_devices_as_text():
    assert parse_device("nor:64KiB:4MiB") == Nor(4 * MIB, 64 * KIB)
    assert parse_device("nand2k:8MiB") == Nand(2 * KIB, 8 * MIB)
    assert parse_device("nand512:4MiB") == Nand(512, 4 * MIB)
    for wrong in ("nor:4MiB", "nand2k:8MB", "tape:1"):
        with pytest.raises(LabError):
            parse_device(wrong)


def test_missing_names_what_is_absent(monkeypatch):
    monkeypatch.setattr(build, "tool", lambda name: None if name == "sumtool" else shutil.which(name) or name)
    assert "sumtool" in build.missing() and "mtd-utils" in build.missing()
