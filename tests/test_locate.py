"""A file system is found wherever it stands in a file; writing to a part of a file must be said."""

import os
import random
import shutil
import subprocess
from dataclasses import replace

import pytest

import jffs2tx
from jffs2tx.cli import main
from jffs2tx.errors import FormatError, GeometryError, Refused
from jffs2tx.image import open_image

from .corpus.expectation import all_expectations
from .crafted import KIB, NAND, NOR, filesystem
from .images import block, dirent, inode, make_image, make_tree, medium_of, needs_mkfs

EXPECTED = all_expectations()
NOISE = random.Random(5).randbytes(1 << 20)
SQUASHFS = b"hsqs" + NOISE[: 200 * KIB - 4]
ONE = {b"a": b"content of a" * 500, b"dir": None, b"dir/one": b"1" * 5000}
MANY = {b"file%d" % number: NOISE[number * 100 : number * 100 + 16_000] for number in range(40)}
TWO = {b"a": b"another a" * 700, b"dir": None, b"dir/two": b"2" * 6000, b"z": b"z"}


def built(files, geometry=NOR, **options):
    with filesystem(geometry, files, **options) as flash:
        return flash.read(0, flash.geometry.size)


@pytest.fixture(scope="module")
def nor():
    return {"one": built(ONE), "two": built(TWO), "big": built(TWO, endian="big")}


@pytest.fixture
def written(tmp_path):
    def write(*parts):
        path = tmp_path / "image"
        path.write_bytes(b"".join(parts))
        return path

    return write


def content(image):
    with image.fs() as fs:
        return {path: fs.read_ino(status.ino) for path, status in fs.walk() if status.type == "file"}


def files(what):
    return {path: data for path, data in what.items() if data is not None}


def found(path, **options):
    with open_image(path, **options) as image:
        part = image.location.view
        return part.offset, part.length, content(image)


# ---- one, somewhere --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [1, 13, 64, 4096, 100_000, 256 * KIB, 1 << 20])
@pytest.mark.parametrize("which", ["one", "big"])
def test_behind_anything(nor, written, before, which):
    path = written(NOISE[:before], nor[which])
    assert found(path) == (before, len(nor[which]), files(ONE if which == "one" else TWO))


@pytest.mark.parametrize("behind", [200, 70 * KIB, 1 << 20])
def test_before_anything(nor, written, behind):
    path = written(nor["one"], NOISE[:behind])
    assert found(path) == (0, len(nor["one"]), files(ONE))


def test_between_two_images_of_something_else(nor, written):
    path = written(SQUASHFS, b"\xff" * (56 * KIB), nor["one"], SQUASHFS)
    assert found(path) == (256 * KIB, len(nor["one"]), files(ONE))
    with open_image(path) as image:
        assert image.guesses == ["JFFS2 at 0x40000, 512 KiB, in a file of 968 KiB"]


@pytest.mark.parametrize("fill", [b"\xff", b"\0"])
@pytest.mark.parametrize("amount", [100, 16 * KIB, 200 * KIB])
def test_padding_behind(nor, written, fill, amount):
    path = written(nor["one"], fill * amount)
    offset, length, seen = found(path)
    assert (offset, seen) == (0, files(ONE))
    assert length >= len(nor["one"])


def test_erased_flash_in_front_belongs_to_it(nor, written):
    path = written(b"\xff" * 256 * KIB, nor["one"])
    assert found(path) == (0, 256 * KIB + len(nor["one"]), files(ONE))
    path = written(b"\xff" * 100, nor["one"])
    assert found(path) == (100, len(nor["one"]), files(ONE))


def test_what_a_cut_may_have_left_at_either_end_is_read_and_not_written(nor, written):
    """An eraseblock half erased is dirt to a reader; to a writer it may be somebody else's."""
    path = written(NOISE[: 16 * KIB], nor["one"], NOISE[: 16 * KIB])
    assert found(path) == (0, 32 * KIB + len(nor["one"]), files(ONE))
    with pytest.raises(Refused, match="may be something else: to write to the JFFS2, say --offset 0x"):
        open_image(path, writable=True)
    with open_image(path) as image:
        assert image.guesses == [
            "what stands at 0x0, before the first node, is taken for eraseblocks that a power cut left",
            "what stands at 0x84000, behind the last node, is taken for eraseblocks that a power cut left",
        ]


ENVIRONMENT = b"\x12\x34\x56\x78bootdelay=3\0baudrate=115200\0bootcmd=run flash\0\0"
LOADER = NOISE[: 8 * KIB] + b"".join(b"Loading from flash at %x\n\0" % at for at in range(9)) + NOISE[: 4 * KIB]


@pytest.mark.parametrize("what", [ENVIRONMENT, LOADER], ids=["environment", "loader"])
def test_one_block_of_a_boot_loader_is_not_its_own(nor, written, what):
    one = what.ljust(16 * KIB, b"\xff")
    path = written(one, nor["one"])
    assert found(path) == (16 * KIB, len(nor["one"]), files(ONE))
    with pytest.raises(Refused, match="--offset 0x4000 --length 0x80000"):
        open_image(path, writable=True)
    last = nor["one"][: -16 * KIB]
    path = written(last, one)
    assert found(path) == (0, len(last), files(ONE))
    with pytest.raises(Refused, match="--offset 0x0 --length 0x7c000"):
        open_image(path, writable=True)


PLAIN = b"".join(b"option%d=a value in plain text\n\0" % at for at in range(2000))


@pytest.mark.parametrize("harm", [(0, b"\xff" * 700), (0, b"\0" * 8), (0, bytes(8) + b"\xff" * 100), (2, b"\0")])
@pytest.mark.parametrize("which", ["first", "last"])
@pytest.mark.parametrize("page", [{}, {"page_size": 2048}], ids=["nor", "nand"])
def test_plain_text_in_a_damaged_block_is_its_own(written, harm, which, page):
    """What lost its first header, in erasing or in programming, is no boot loader."""
    at, what = harm
    nodes = [inode(900, version, PLAIN[:3000]) for version in range(1, 5)]
    harmed = bytearray(block(*nodes, size=16 * KIB, clean=not page))
    for node in (0, 12):  # with the cleanmarker
        harmed[node + at : node + at + len(what)] = what
    one = built(MANY, replace(NAND if page else NOR, size=1 << 20))
    path = written(*([bytes(harmed), one] if which == "first" else [one, bytes(harmed)]))
    with open_image(path, writable=True, erase_size=16 * KIB, **page) as image:
        assert (image.location.view.offset, image.location.view.length) == (0, len(one) + 16 * KIB)
        assert content(image) == MANY


@pytest.mark.parametrize("cut", [1500, 2500])
def test_plain_text_that_the_files_end_cuts_off_is_its_own(written, cut):
    one = built(MANY, replace(NAND, size=1 << 20))
    path = written(one, inode(900, 1, PLAIN[:3000])[:cut])
    with open_image(path, writable=True, erase_size=16 * KIB, page_size=2048) as image:
        assert image.location.view.length == len(one) + cut


def test_an_image_that_was_cut_short_is_still_whole(nor, written):
    path = written(block(dirent(b"a", 2, 1), inode(2, 1, b"x" * 4000), size=16 * KIB)[:2000])
    with open_image(path, writable=True, erase_size=16 * KIB) as image:
        assert image.location.view.offset == 0


def test_nand_without_any_cleanmarker(written):
    nand = built(TWO, NAND)
    assert found(written(NOISE, nand), page_size=2048) == (1 << 20, len(nand), files(TWO))
    noisy = {b"noise": NOISE[: 100 * KIB]}  # nodes that would cross eraseblocks counted from the file's start
    assert found(written(NOISE[:3000], built(noisy, NAND)), page_size=2048)[::2] == (3000, noisy)
    assert found(written(NOISE[:60], built(noisy, NAND)), page_size=2048)[2] == noisy
    assert found(written(b"\xff" * 32 * KIB, nand), page_size=2048)[::2] == (0, files(TWO))


def test_a_damaged_first_node_moves_nothing(written):
    """Its block starts where it starts: the rest of it is not taken for another, shifted file system."""
    nand = bytearray(built(TWO, NAND))
    nand[8:40] = bytes(32)
    offset, length, _ = found(written(bytes(nand)), page_size=2048)
    assert (offset, length) == (0, len(nand))


# ---- several -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("one", "two"), ("one", "big"), ("big", "one"), ("two", "one")])
@pytest.mark.parametrize("between", [0, 100 * KIB])
def test_two_of_them(nor, written, first, second, between):
    gap = SQUASHFS[:between]
    path = written(nor[first], gap, nor[second])
    at = len(nor[first]) + between
    contents = {"one": files(ONE), "two": files(TWO), "big": files(TWO)}
    assert found(path) == (0, len(nor[first]), contents[first])
    assert found(path, offset=at) == (at, len(nor[second]), contents[second])
    with open_image(path) as image:
        assert [part.offset for part in image.location.parts] == [0, at]
        (guess,) = (guess for guess in image.guesses if "file systems" in guess)
        assert f"at {at:#x}" in guess and "the first is read" in guess and "--offset" in guess


def test_three_of_them_and_a_foreign_one(nor, written):
    path = written(nor["one"], nor["two"], SQUASHFS, nor["big"])
    with open_image(path) as image:
        size = len(nor["one"])
        starts = [0, size, 2 * size + len(SQUASHFS)]
        assert [part.offset for part in image.location.parts] == starts
        assert [part.endian for part in image.location.parts] == ["little", "little", "big"]


def test_two_copies_of_one(nor, written):
    """As a board has it that keeps two systems, of so little content that it may as well be a block that was moved."""
    path = written(nor["one"], nor["one"])
    assert found(path)[2] == files(ONE)
    with pytest.raises(Refused, match=r"a second one may start at 0x80000 .* equal nodes on both sides"):
        open_image(path, writable=True)


@pytest.fixture(scope="module", params=[NOR, NAND], ids=["nor", "nand"])
def system(request):
    """Of 40 files, 16 KB each, and the options it is opened with."""
    page = {"page_size": 2048, "erase_size": NAND.erase_size} if request.param is NAND else {}
    return built(MANY, replace(request.param, size=2 << 20)), page


@pytest.mark.parametrize("changed", [0, 1], ids=["the first changed", "the second changed"])
@pytest.mark.parametrize("behind", [b"", b"\xff" * 256 * KIB])
def test_two_copies_of_which_one_was_changed(system, written, tmp_path, changed, behind):
    """A board that keeps two systems, after the upgrade of one."""
    one, page = system
    path = written(one, behind, one)
    starts = [0, len(one) + len(behind)]
    where = {"offset": starts[changed], "length": len(one)}
    with jffs2tx.open(path, writable=True, **where, **page) as fs, fs.transaction() as tx:
        for number in range(0, 40, 5):
            tx.put(b"file%d" % number, NOISE[number : number + 20_000])
        tx.put(b"new", b"new")
        tx.commit()
    with open_image(path, **page) as image:
        assert [part.offset for part in image.location.parts] == starts
    new = {b"file%d" % number: NOISE[number : number + 20_000] for number in range(0, 40, 5)}
    for which, start in enumerate(starts):
        expected = MANY | new | {b"new": b"new"} if which == changed else MANY
        assert found(path, offset=start, **page)[2] == expected
    with pytest.raises(Refused, match="--offset"):
        open_image(path, writable=True, **page)


@needs_mkfs
@pytest.mark.parametrize("pair", [("little", "big"), ("little", "summary"), ("nand", "nand"), ("summary", "summary")])
def test_two_by_mkfs(tmp_path, made, pair):
    """Another tree behind it; each padded to 1 MiB."""
    (tmp_path / "other").mkdir()
    for number in range(60):
        (tmp_path / f"other/file{number}").write_bytes(NOISE[number : number * 50])
    other = make_image(tmp_path / "other", tmp_path / "other.jffs2", pair[1]).read_bytes()
    first = made(pair[0]).read_bytes()
    first += b"\xff" * (-len(first) % (1 << 20))
    (tmp_path / "both").write_bytes(first + other)
    with open_image(tmp_path / "both") as image:
        assert [part.offset for part in image.location.parts] == [0, len(first)]
        assert b"bin/noise" in content(image)
    with open_image(tmp_path / "both", offset=len(first)) as image:
        assert set(content(image)) == {b"file%d" % number for number in range(60)}


def test_equal_versions_in_one_file_system_are_no_second_one(written):
    """A tie is settled as the kernel settles it."""
    nodes = [dirent(b"a", 2, 1), inode(2, 1, b"old"), dirent(b"a", 3, 1), inode(3, 1, b"new"), inode(2, 1, b"NEW")]
    image = medium_of(block(*nodes[:2]), block(*nodes[2:]))
    with open_image(written(image), length=len(image)) as opened:
        assert content(opened) == {b"a": b"new"}


def test_stray_nodes_of_the_other_byte_order_are_passed_over(nor, written):
    stray = b"".join(inode(9, 1, b"stray", order="big") + b"\xff" * 3 for _ in range(2))
    image = bytearray(nor["one"])
    image[len(image) - 16 * KIB + 64 : len(image) - 16 * KIB + 64 + len(stray)] = stray
    with open_image(written(bytes(image))) as opened:
        assert (opened.endian, len(opened.location.parts)) == ("little", 1)


# ---- copies that differ ----------------------------------------------------------------------------------------------

SLOT = 2 << 20
FLAVOURS_OF_TWO = {
    "nor": (["-e", "64KiB"], {}),
    "nand": (["-e", "128KiB", "-n"], {"page_size": 2048, "erase_size": 128 * KIB}),
}


def one_build(tmp_path, files, *options):
    """By mkfs.jffs2, the times alike."""
    source = tmp_path / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    for name, data in files.items():
        (source / name.decode()).write_bytes(data)
        os.utime(source / name.decode(), (100, 100))
    os.utime(source, (100, 100))
    command = ["mkfs.jffs2", "-l", "-r", source, "-o", tmp_path / "built", f"--pad={SLOT:#x}", *options]
    subprocess.run(command, check=True, capture_output=True)
    return (tmp_path / "built").read_bytes()


def starts(path, **options):
    with open_image(path, **options) as image:
        return [part.offset for part in image.location.parts]


@needs_mkfs
@pytest.mark.parametrize("flavour", FLAVOURS_OF_TWO)
@pytest.mark.parametrize("size", [16_000, 9_000, 90_000])
@pytest.mark.parametrize("changed", [0, 20, 39])
def test_two_builds_that_differ_in_one_file(tmp_path, written, flavour, size, changed):
    """Where nothing else is changed they are divided where the second starts, never within it."""
    options, page = FLAVOURS_OF_TWO[flavour]
    other = MANY | {b"file%d" % changed: NOISE[5000 : 5000 + size]}
    path = written(one_build(tmp_path, MANY, *options), one_build(tmp_path, other, *options))
    assert starts(path, **page) == [0, SLOT]
    assert found(path, **page) == (0, SLOT, MANY)
    assert found(path, offset=SLOT, **page) == (SLOT, SLOT, other)


@needs_mkfs
@pytest.mark.parametrize("flavour", FLAVOURS_OF_TWO)
@pytest.mark.parametrize("last", [False, True], ids=["", "and another system"])
def test_two_copies_both_upgraded_otherwise(tmp_path, written, flavour, last):
    options, page = FLAVOURS_OF_TWO[flavour]
    one = one_build(tmp_path, MANY, *options)
    third = one_build(tmp_path, {b"data%d" % at: NOISE[at : at + 9000] for at in range(60)}, *options) if last else b""
    path = written(one, one, third)
    expected = []
    for which in range(2):
        where = {"offset": which * SLOT, "length": SLOT}
        new = {b"file%d" % at: NOISE[at + which : at + 20_000] for at in range(which, 40, 9)}
        with jffs2tx.open(path, writable=True, **where, **page) as fs, fs.transaction() as tx:
            for name, data in new.items():
                tx.put(name, data)
            tx.commit()
        expected.append(MANY | new)
    assert starts(path, **page) == [0, SLOT, 2 * SLOT][: 2 + last]
    for which, tree in enumerate(expected):
        assert found(path, offset=which * SLOT, **page) == (which * SLOT, SLOT, tree)


@needs_mkfs
@pytest.mark.parametrize("flavour", FLAVOURS_OF_TWO)
@pytest.mark.parametrize("slot", [640 * KIB, 1 << 20, 4 << 20])
@pytest.mark.parametrize("differ", [False, True], ids=["equal", "one file differs"])
def test_two_copies_of_little_content(tmp_path, written, flavour, slot, differ):
    """Ten files of 3 KB: less than one eraseblock. Equal ones are what a collection leaves that was cut, as well."""
    options, page = FLAVOURS_OF_TWO[flavour]
    files = {b"file%d" % at: NOISE[at * 50 : at * 50 + 3000] for at in range(10)}
    other = files | ({b"file7": NOISE[7000:10_000]} if differ else {})
    pad = f"--pad={slot:#x}"
    path = written(one_build(tmp_path, files, *options, pad), one_build(tmp_path, other, *options, pad))
    if not differ:
        with pytest.raises(Refused, match=f"a second one may start at {slot:#x}"):
            open_image(path, writable=True, **page)
        return
    assert starts(path, **page) == [0, slot]
    assert found(path, **page) == (0, slot, files)
    assert found(path, offset=slot, **page) == (slot, slot, other)


@pytest.mark.parametrize("moved", [[1, 2], [3, 4, 5, 6], list(range(1, 9))], ids=len)
def test_three_copies_with_moved_blocks_in_the_middle_one(system, written, moved):
    """As wear levelling and bad blocks leave it."""
    one, page = system
    erase = NOR.erase_size
    blocks = [one[at : at + erase] for at in range(0, len(one), erase)]
    for number, at in enumerate(moved):
        blocks[at], blocks[-1 - number] = blocks[-1 - number], blocks[at]
    path = written(one, b"".join(blocks), one)
    assert starts(path, **page) == [0, len(one), 2 * len(one)]


@pytest.mark.parametrize("slot", [0x180000, 0x280000])
@pytest.mark.parametrize("geometry", [NOR, NAND], ids=["nor", "nand"])
def test_three_copies_of_no_round_size(written, geometry, slot):
    """What is erased in front of the third is the second one's."""
    page = {"page_size": 2048} if geometry is NAND else {}
    one = built(MANY, replace(geometry, size=slot))
    assert starts(written(one, one, one), **page) == [0, slot, 2 * slot]


@needs_mkfs
@pytest.mark.parametrize("seed", range(8))
def test_two_of_little_content_that_contradict_each_other(tmp_path, written, seed):
    """Both upgraded with other files: if they are told apart, it is where the second starts."""
    random_bytes = random.Random(seed)
    options, page = FLAVOURS_OF_TWO["nand" if seed % 2 else "nor"]
    slot = 0x180000
    files = {b"file%d" % at: random_bytes.randbytes(random_bytes.randrange(4000, 9000)) for at in range(9 + 3 * seed)}
    one = one_build(tmp_path, files, *options, f"--pad={slot:#x}")
    path = written(one, one)
    for start in (0, slot):
        with jffs2tx.open(path, writable=True, offset=start, length=slot, **page) as fs, fs.transaction() as tx:
            for name in random_bytes.sample(sorted(files), 4 + seed):
                tx.put(name, random_bytes.randbytes(random_bytes.randrange(100, 9000)))
            tx.commit()
    assert starts(path, **page) in ([0], [0, slot])


def test_a_copy_whose_first_blocks_are_erased(system, written):
    """Without cleanmarkers the border is where the copy has it, to so many blocks as are missing in the first one."""
    one, page = system
    if not page:
        pytest.skip("on NOR a cleanmarker shows each block")
    erase = NOR.erase_size
    late = b"\xff" * 2 * erase + one[2 * erase :]
    assert 0 <= starts(written(late, one), **page)[1] - len(one) <= 2 * erase
    assert starts(written(one, late), **page)[1] == len(one)


@pytest.mark.parametrize("moved_to", [1, 2, 7])
@pytest.mark.parametrize("geometry", [NOR, NAND], ids=["nor", "nand"])
def test_a_large_block_that_a_cut_left_twice_is_no_second_system(written, geometry, moved_to):
    geometry = replace(geometry, size=4 << 20, erase_size=256 * KIB)
    page = {"page_size": 2048} if geometry.kind == "nand" else {}
    one = built(MANY, geometry)
    where = moved_to * 256 * KIB if moved_to < 3 else len(one) - 256 * KIB
    twice = one[:where] + one[: 256 * KIB] + (one[where:] if moved_to < 3 else b"")
    twice += b"\xff" * (len(one) - len(twice))
    assert starts(written(twice[: len(one)]), erase_size=256 * KIB, **page) == [0]


def test_of_several_one_is_written_to_only_with_its_length(nor, written, tmp_path, capsys):
    """Where the one ends is known by what was found, and a wrong end would be the other's loss."""
    path = written(nor["one"], nor["two"])
    original = path.read_bytes()
    size = len(nor["one"])
    for options in ([], ["--offset", "0"], ["--offset", hex(size)]):
        expected = 0 if options == ["--offset", hex(size)] else 1
        path.write_bytes(original)
        assert apply(path, tmp_path, *options) == expected
        assert (path.read_bytes() == original) == (expected == 1)
    assert apply(path, tmp_path, "--offset", "0", "--length", hex(size)) == 0


# ---- an offset that is given -----------------------------------------------------------------------------------------


def test_offset_and_length(nor, written):
    path = written(NOISE[: 64 * KIB], nor["one"], NOISE[: 64 * KIB])
    size = len(nor["one"])
    assert found(path, offset=64 * KIB) == (64 * KIB, size, files(ONE))
    assert found(path, offset=64 * KIB, length=size) == (64 * KIB, size, files(ONE))
    assert found(path, offset=64 * KIB, length=size // 2)[1] == size // 2


@pytest.mark.parametrize("offset", [32 * KIB, 0x100])
def test_a_wrong_offset_names_the_right_one(nor, written, offset):
    path = written(SQUASHFS[: 256 * KIB - 56 * KIB], nor["one"])
    with pytest.raises(FormatError, match="one starts at 0x32000"):
        open_image(path, offset=offset)
    with pytest.raises(FormatError, match="there is no JFFS2 at 0x1000: one starts at 0x32000"):
        open_image(path, offset=0x1000, length=0x10000)


def test_an_offset_outside(nor, written):
    path = written(nor["one"])
    with pytest.raises(GeometryError, match="behind the end"):
        open_image(path, offset=len(nor["one"]))
    with pytest.raises(GeometryError, match="beyond its end"):
        open_image(path, offset=16 * KIB, length=len(nor["one"]))
    with pytest.raises(GeometryError, match=r"is a device|neither an image"):
        open_image("/dev/null", offset=0)


# ---- writing ---------------------------------------------------------------------------------------------------------


def apply(path, tmp_path, *options):
    source = tmp_path / "source"
    if not source.exists():
        source.mkdir()
        (source / "new").write_bytes(b"new content" * 100)
        main(["manifest", str(source), "-o", str(tmp_path / "manifest"), "--quiet"])
    return main(["apply", str(path), str(tmp_path / "manifest"), "--from", str(source), "--quiet", *options])


def test_a_part_is_written_to_only_where_that_is_said(nor, written, tmp_path, capsys):
    before, behind = NOISE[: 100 * KIB], SQUASHFS
    path = written(before, nor["one"], behind)
    original = path.read_bytes()
    with pytest.raises(Refused, match=r"--offset 0x19000 --length 0x80000"):
        open_image(path, writable=True)
    assert apply(path, tmp_path) == 1
    assert path.read_bytes() == original
    assert "is only a part of this file" in capsys.readouterr().err
    assert apply(path, tmp_path, "--offset", "0x19000") == 1  # where it ends is found by evidence alone
    assert apply(path, tmp_path, "--offset", "0x19000", "--length", "0x80000") == 0
    after = path.read_bytes()
    assert after[: len(before)] == before
    assert after[-len(behind) :] == behind
    assert len(after) == len(original) and after != original
    assert found(path)[2] == {b"new": b"new content" * 100}


def test_the_second_of_two_is_upgraded_alone(nor, written, tmp_path):
    path = written(nor["one"], nor["two"], nor["big"])
    size = len(nor["one"])
    for offset in (size, 2 * size, 0):
        assert apply(path, tmp_path, "--offset", hex(offset), "--length", hex(size)) == 0
        assert found(path, offset=offset, length=size)[2] == {b"new": b"new content" * 100}
    with open_image(written(nor["one"], nor["two"])) as image:
        assert content(image) == files(ONE)


def test_a_whole_file_needs_no_offset(nor, written, tmp_path):
    assert apply(written(nor["one"]), tmp_path) == 0
    assert apply(written(nor["one"]), tmp_path, "--offset", "0") == 0


def test_a_part_of_no_whole_eraseblocks_is_not_written_to(nor, written):
    path = written(nor["one"], SQUASHFS)
    with pytest.raises(GeometryError, match="not the whole eraseblocks"):
        open_image(path, writable=True, offset=0, length=len(nor["one"]) - 1000)
    with pytest.raises(GeometryError, match="not the whole eraseblocks"):
        open_image(path, writable=True, offset=0, length=len(nor["one"]), device_size=len(nor["one"]) * 2)


def test_the_last_part_may_grow_with_its_file(nor, written, tmp_path):
    path = written(SQUASHFS[: 64 * KIB], nor["one"][: 64 * KIB])
    assert apply(path, tmp_path, "--offset", "64KiB", "--device-size", "1MiB") == 0
    assert found(path, offset=64 * KIB, device_size=1 << 20)[2] == {b"new": b"new content" * 100}


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_status_tells_what_was_found_and_why(nor, written, capsys):
    path = written(NOISE[: 100 * KIB], nor["one"])
    assert main(["status", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "offset: 102400" in out
    assert "cleanmarkers stand at multiples of it" in out
    assert "guessed: JFFS2 at 0x19000, 512 KiB" in err


@pytest.mark.parametrize("command", [["ls", "-R"], ["cat", "a"], ["dump"], ["check"], ["status"], ["ls", "--json"]])
def test_every_reading_command_reads_the_one_found(nor, written, capsysbinary, command):
    path = written(NOISE[: 100 * KIB], nor["one"], nor["big"])
    name, *rest = command
    assert main([name, str(path), *rest]) == 0
    assert b"2 file systems (at 0x19000" in capsysbinary.readouterr().err


def test_a_tree_of_everything_behind_a_boot_loader(tmp_path):
    tree = make_tree(tmp_path / "tree")
    plain = make_image(tree, tmp_path / "plain").read_bytes()
    (tmp_path / "dump").write_bytes(NOISE[: 300 * KIB] + plain)
    (tmp_path / "alone").write_bytes(plain)
    with open_image(tmp_path / "dump") as one, open_image(tmp_path / "alone") as other:
        assert one.fs().digest() == other.fs().digest()


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda expected: expected.name)
def test_each_image_of_the_corpus_is_one_whole_file_system(expected, written):
    """However odd its nodes are; alone, and behind a boot loader with noise behind it."""
    if expected.name == "not-jffs2":
        pytest.skip("holds no node")
    image = expected.image()
    page = {"page_size": expected.chip.page} if expected.chip.page > 1 else {}
    with open_image(written(image), **page) as opened:
        part = opened.location.view
        assert (part.offset, part.length, len(opened.location.parts)) == (0, len(image), 1)
        assert opened.endian == expected.order
    noise = NOISE[: 256 * KIB]
    with open_image(written(noise, image, noise), **page) as opened:
        assert opened.endian == expected.order
        assert len(noise) <= opened.location.view.offset < len(noise) + len(image)
        assert len(opened.location.parts) == 1
