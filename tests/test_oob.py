"""Dumps of a NAND with OOB: what is found in them, what is written to them, and that the kernel takes them back."""

import json
import random

import pytest

from jffs2tx._ffi import ffi, lib
from jffs2tx.cli import main
from jffs2tx.device import Geometry
from jffs2tx.errors import GeometryError, MediumError
from jffs2tx.image import open_image

from .crafted import filesystem
from .flashes import image as opened
from .flashes import nand, refused
from .images import KIB
from .lab.lab import MIB, mount, read_back, sh, tree, umount
from .test_mtd import DEVICES, case, commands, done, lines_of, needs_lab, outcomes, versions  # noqa: F401

MARKER = bytes.fromhex("8519032008000000")
TAG = bytes.fromhex("85197420")  # the start of a block that a transaction took
#: page: OOB, eraseblock, where the cleanmarker stands, where the bad-block mark, where the ECC bytes, number of blocks
CHIPS = {
    512: (16, 16 * KIB, 8, 5, [0, 1, 2, 3, 6, 7], 64),
    2048: (64, 128 * KIB, 2, 0, [*range(40, 64)], 16),
    4096: (128, 256 * KIB, 2, 0, [*range(80, 128)], 16),
}


def chosen(wanted):
    """Of 256 bytes as one number: a mask of the bits of which wanted(byte, bit in it)."""
    return sum(1 << (8 * byte + bit) for byte in range(256) for bit in range(8) if wanted(byte, bit))


#: Whose parities the three bytes hold, from the lowest bit: bytes by each bit of their number, then bits by theirs.
ROWS = [chosen(lambda byte, _, k=k, half=half: byte >> k & 1 == half) for k in range(8) for half in (0, 1)]
COLUMNS = [chosen(lambda _, bit, k=k, half=half: bit >> k & 1 == half) for k in range(3) for half in (0, 1)]


def hamming(data):
    """The ECC that Linux keeps for 256 bytes of data."""
    number = int.from_bytes(data, "little")
    row = sum((number & mask).bit_count() % 2 << place for place, mask in enumerate(ROWS))
    column = sum((number & mask).bit_count() % 2 << place for place, mask in enumerate(COLUMNS))
    return bytes([~(row >> 8) & 0xFF, ~row & 0xFF, ~(column << 2) & 0xFF])


def oob_of(page, ecc=True):
    """What Linux has behind a page that was programmed."""
    size, _, _, _, places, _ = CHIPS[len(page)]
    oob = bytearray(b"\xff" * size)
    codes = b"".join(hamming(page[at : at + 256]) for at in range(0, len(page), 256))
    for place, code in zip(places, codes, strict=True):
        oob[place] = code if ecc else 0xFF
    return bytes(oob)


def dumped(flat, page, *, bad=(), ecc=True, marker_at=None):
    """A flat image as a dump; blocks that are erased get cleanmarkers, bad ones (as in the image) their mark."""
    _, erase, free_at, bad_at, _, _ = CHIPS[page]
    at = free_at if marker_at is None else marker_at
    out = bytearray()
    for offset in range(0, len(flat), page):
        data = flat[offset : offset + page]
        oob = bytearray(oob_of(data, ecc))
        block = offset - offset % erase
        if offset == block and block // erase in bad:
            oob[bad_at] = 0
        elif offset == block and not flat[block : block + erase].strip(b"\xff"):
            oob[at : at + 8] = MARKER
        out += data + oob
    return bytes(out)


def pages_of(content, page):
    """[(data, OOB)] of a dump."""
    stride = page + CHIPS[page][0]
    return [(content[at : at + page], content[at + page : at + stride]) for at in range(0, len(content), stride)]


def erased(content):
    return not content.strip(b"\xff")


@pytest.fixture(scope="module")
def flats(versions, tmp_path_factory):  # noqa: F811
    """Flat images of the old version by page, to the device's end."""
    folder = tmp_path_factory.mktemp("flat")
    images = {}
    for page, (_, erase, *_, blocks) in CHIPS.items():
        path = folder / f"{page}"
        words = ["mkfs", str(versions / "old"), "-o", str(path), "--erase-size", str(erase), "--page-size", str(page)]
        assert main([*words, "-q"]) == 0
        images[page] = path.read_bytes().ljust(erase * blocks, b"\xff")
    return images


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "dump"
        path.write_bytes(content)
        return path

    return write


def shown(capsys, *words):
    """What a command printed as JSON; it must have worked."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def upgrade(capsys, path, versions, *more):  # noqa: F811
    source = [versions / "new.manifest", "--from", versions / "new", "--reader", "linux-summary", "-q"]
    return shown(capsys, "apply", path, *source, *more)


# ---- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", CHIPS)
def test_a_dump_shows_what_it_is(flats, written, capsys, page):
    oob, erase, free_at, bad_at, _, blocks = CHIPS[page]
    facts = shown(capsys, "status", written(dumped(flats[page], page)))
    assert facts["guesses"] == [f"{oob} bytes of OOB behind each page of {page} bytes (nodes go on behind it)"]
    assert (facts["geometry"]["kind"], facts["geometry"]["page_size_bytes"]) == ("nand", page)
    assert facts["geometry"]["erase_size_bytes"] == erase
    assert facts["geometry"]["size_bytes"] == erase * blocks
    assert facts["dump"] == {
        "oob_size_bytes": oob,
        "cleanmarker_at": free_at,
        "bad_mark_at": bad_at,
        "ecc": "software Hamming, 256 bytes",
    }


@pytest.mark.parametrize("page", CHIPS)
def test_what_is_given_is_no_guess(flats, written, capsys, page):
    oob, erase, *_ = CHIPS[page]
    path = written(dumped(flats[page], page))
    given = ["--oob-size", oob, "--page-size", page, "--erase-size", erase]
    assert shown(capsys, "status", path, *given)["guesses"] == []
    assert shown(capsys, "status", path, "--oob-size", oob, "--erase-size", erase)["guesses"] == []


@pytest.mark.parametrize(("page", "oob"), [(1024, 32), (2048, 60), (2048, 112), (4096, 218), (8192, 448)])
def test_other_layouts_are_found_where_the_file_is_whole_pages(written, page, oob):
    content = b"".join(b"%d lines of noise %d\n" % (n, n * n * 7919 % 10007) for n in range(20_000))
    with filesystem(Geometry("nand", 64 * 32 * page, 32 * page, page, page, 8), {b"f": content}) as flash:
        flat = flash.read(0, flash.geometry.size)
        path = written(b"".join(flat[at : at + page] + b"\xff" * oob for at in range(0, len(flat), page)))
    with open_image(path) as image:
        assert (image.geometry.write_size, image.oob.size) == (page, oob)
        assert image.fs().read("f") == content


@pytest.mark.parametrize("page", CHIPS)
def test_flat_images_are_no_dumps(flats, written, page):
    with open_image(written(flats[page]), page_size=page, erase_size=CHIPS[page][1]) as image:
        assert image.oob is None and image.guesses == []


@pytest.mark.parametrize("order", ["little", "big"])
def test_cleanmarkers_alone_show_an_erased_dump(written, order):
    content = dumped(b"\xff" * MIB, 512)
    if order == "big":
        content = content.replace(MARKER, bytes.fromhex("1985200300000008"))
    with open_image(written(content)) as image:
        assert image.guesses == ["16 bytes of OOB behind each page of 512 bytes (cleanmarkers stand in it)"]
        assert (image.endian, image.geometry.erase_size) == (order, 16 * KIB)
        assert image.fs().space.free == 64


def test_a_cleanmarker_shows_where_the_free_bytes_are(flats, written, versions, capsys):  # noqa: F811
    """A layout with ECC in the first 14 bytes, as that of the first laptop's chip: no byte is left for bad marks."""
    pages = pages_of(dumped(flats[2048], 2048, ecc=False, marker_at=14), 2048)
    content = b"".join(data + (oob if erased(data) else bytes(14) + oob[14:]) for data, oob in pages)
    path = written(content)
    facts = shown(capsys, "status", path)
    assert facts["dump"] == {"oob_size_bytes": 64, "cleanmarker_at": 14, "bad_mark_at": None, "ecc": "unknown"}
    assert facts["space"]["bad"] == 0
    warnings = upgrade(capsys, path, versions)["warnings"]
    assert any("nandwrite --oob" in warning for warning in warnings)
    for (_, before), (data, oob) in zip(pages_of(content, 2048), pages_of(path.read_bytes(), 2048), strict=True):
        assert oob in (before, b"\xff" * 64, b"\xff" * 14 + MARKER + b"\xff" * 42)
        assert not oob.endswith(MARKER) or erased(data)


@pytest.mark.parametrize("page", CHIPS)
def test_bad_blocks_are_those_that_are_marked(flats, written, versions, capsys, page):  # noqa: F811
    oob, erase, _, bad_at, _, blocks = CHIPS[page]
    flat = flats[page]
    bad = {0, 2, blocks - 1}
    for number in sorted(bad - {blocks - 1}):
        flat = flat[: number * erase] + b"\xff" * erase + flat[number * erase :]
    content = bytearray(dumped(flat[: blocks * erase], page, bad=bad - {0}))
    content[page + oob + page + bad_at] = 0xF0  # in the second page only
    path = written(content)
    given = ["--erase-size", erase]
    assert shown(capsys, "status", path, *given)["space"]["bad"] == 3
    assert upgrade(capsys, path, versions, *given)["changes"]
    assert main(["check", str(path), *map(str, given), "-q"]) == 0
    block = (page + oob) * (erase // page)
    after = path.read_bytes()
    for number in bad:
        assert after[number * block : (number + 1) * block] == content[number * block : (number + 1) * block]


@pytest.mark.parametrize("fill", ["zeros", "random"])
@pytest.mark.parametrize("page", CHIPS)
def test_what_a_bad_block_holds_does_not_end_the_device(flats, written, versions, capsys, page, fill):  # noqa: F811
    """It follows the last node, and erased blocks with cleanmarkers follow it: no option is needed."""
    _, erase, _, _, _, blocks = CHIPS[page]
    flat = flats[page]
    first_free = -(-len(flat.rstrip(b"\xff")) // erase)
    data = bytes(erase) if fill == "zeros" else random.Random(5).randbytes(erase)
    flat = flat[: first_free * erase] + data + flat[(first_free + 1) * erase :]
    path = written(dumped(flat, page, bad=[first_free]))
    found = shown(capsys, "status", path)
    assert found["space"]["bad"] == 1
    assert (found["found"]["offset"], found["found"]["length_bytes"]) == (0, path.stat().st_size)
    assert found["geometry"]["size_bytes"] == blocks * erase
    assert upgrade(capsys, path, versions)["changes"]


def test_quarters_of_larger_pages_are_no_pages_of_512(written):
    """Eraseblocks of 128 KiB, in which a page of 2,048 bytes is laid out as 4 x (512 + 16)."""
    files = {b"file%d" % number: random.Random(number).randbytes(9000) for number in range(90)}
    with filesystem(Geometry("nand", 16 * 128 * KIB, 128 * KIB, 2048, 512, 8), files) as flash:
        flat = flash.read(0, flash.geometry.size)
    out = b"".join(flat[at : at + 512] + oob_of(flat[at : at + 512]) for at in range(0, len(flat), 512))
    out = bytearray(out)
    for block in range(8, 16):  # cleanmarkers show the eraseblock
        at = block * 128 * KIB // 512 * 528 + 512 + 8
        out[at : at + 8] = MARKER
    path = written(bytes(out))
    with open_image(path) as image:
        assert any("laid out as 4 x (512 + 16)" in guess for guess in image.guesses)
    with pytest.raises(GeometryError, match=r"too large for pages of 512 bytes"):
        open_image(path, writable=True)


# ---- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ecc", [True, False])
@pytest.mark.parametrize("page", CHIPS)
def test_an_upgrade_keeps_the_dump_one(flats, written, versions, tmp_path, capsys, page, ecc):  # noqa: F811
    """Every page that is programmed has the ECC that the others have; every block that is erased its cleanmarker."""
    _, erase, free_at, _, _, _ = CHIPS[page]
    before = dumped(flats[page], page, ecc=ecc)
    path = written(before)
    facts = upgrade(capsys, path, versions, "--erase-size", erase)
    assert facts["changes"] and any("ECC" in warning for warning in facts["warnings"]) != ecc
    assert main(["extract", str(path), "-o", str(tmp_path / "out"), "--erase-size", str(erase), "-q"]) == 0
    assert lines_of(tmp_path, "out") == lines_of(versions, "new")
    pages = pages_of(path.read_bytes(), page)
    assert len(path.read_bytes()) == len(before)
    per_block = erase // page
    for number, (data, oob) in enumerate(pages):
        marked = oob[free_at : free_at + 8] == MARKER
        plain = oob[:free_at] + b"\xff" * 8 + oob[free_at + 8 :]
        assert plain == oob_of(data, ecc), number
        assert marked or oob == plain
        block = pages[number - number % per_block :][:per_block]
        if marked:
            assert number % per_block == 0 and all(erased(data) for data, _ in block)
        elif number % per_block == 0:
            assert any(not erased(data) for data, _ in block)
    assert path.read_bytes() != before
    assert upgrade(capsys, path, versions, "--erase-size", erase)["changes"] is False


def test_a_short_dump_grows_by_whole_blocks(flats, written, versions, capsys):  # noqa: F811
    size = len(flats[512].rstrip(b"\xff"))
    content = dumped(flats[512], 512)[: -(-size // 512) * 528]
    path = written(content)
    upgrade(capsys, path, versions, "--erase-size", "16KiB", "--device-size", "1MiB", "--oob-size", 16)
    after = path.read_bytes()
    assert len(content) < len(after) <= 64 * 32 * 528 and len(after) % (32 * 528) == 0
    assert all(oob[:8] == oob_of(data)[:8] for data, oob in pages_of(after, 512))


def layout(size=64, free_at=2, bad_at=0, step=0):
    return ffi.new("struct jx_oob *", [size, free_at, bad_at, step])


def test_the_device_keeps_what_is_programmed(tmp_path):
    path = tmp_path / "dump"
    path.write_bytes(b"")
    geo = nand(blocks=2)
    flash = opened(path, geo, oob=layout(step=256))
    data = random.Random(1).randbytes(1024)
    assert flash.oob(3) == b"\xff" * 8 and flash.prog(2048 + 512, data[:512]) == 0
    assert flash.prog(2048 + 1024, data[512:]) == 0
    assert flash.oob_prog(0, MARKER) == 0
    assert flash.oob_prog(0, MARKER) == lib.JX_EFLASH
    page = b"\xff" * 512 + data + b"\xff" * 512
    assert path.read_bytes()[:4224] == b"\xff" * 2050 + MARKER + b"\xff" * 54 + page + oob_of(page)
    assert len(path.read_bytes()) == 8 * 2112, "the whole eraseblock"
    assert flash.read(2000, 2200) == b"\xff" * 560 + data + b"\xff" * 616
    flash.close()
    flash = opened(path, geo, oob=layout(step=256))
    assert flash.oob(0) == MARKER
    assert flash.prog(2048, b"\x00" * 2048) == lib.JX_EFLASH, "what is in the file is programmed"
    assert flash.erase(0) == 0
    assert erased(path.read_bytes()) and flash.oob(0) == b"\xff" * 8
    flash.close()


def test_a_bad_block_is_left_alone(tmp_path):
    path = tmp_path / "dump"
    content = b"\xff" * 8 * 2112 + (b"\xff" * 2048 + b"\x00" + b"\xff" * 63) + b"\xff" * 7 * 2112
    path.write_bytes(content)
    flash = opened(path, nand(blocks=2), oob=layout())
    block = 16 * KIB
    assert [lib.jx_flash_raw_is_bad(flash.handle, at) for at in (0, block)] == [0, 1]
    assert flash.prog(block + 2048, b"\x00" * 2048) == flash.erase(block) == lib.JX_EIO
    assert flash.oob_prog(block + 2048, MARKER) == lib.JX_EIO
    flash.close()
    assert path.read_bytes() == content
    flash = opened(path, nand(blocks=2), oob=layout(bad_at=lib.JX_NO_BAD_MARK))
    assert lib.jx_flash_raw_is_bad(flash.handle, block) == 0 and flash.erase(block) == 0
    flash.close()
    assert erased(path.read_bytes())


@pytest.mark.parametrize(
    "oob",
    [layout(size=0), layout(size=4096), layout(free_at=60), layout(bad_at=64), layout(step=128), layout(70, step=256)],
)
def test_impossible_layouts(tmp_path, oob):
    path = tmp_path / "dump"
    path.write_bytes(b"")
    assert refused(lib.jx_flash_open_file, str(path).encode(), nand(), oob, False) == lib.JX_EGEOMETRY


def test_a_dump_opened_for_reading_is_not_written(flats, written):
    content = dumped(flats[512], 512)
    path = written(content)
    with open_image(path) as image, pytest.raises(MediumError):
        from jffs2tx._ffi import check

        check(lib.jx_flash_raw_oob_prog(image.flash.handle, 0, MARKER, 8))
    assert path.read_bytes() == content


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", CHIPS)
@pytest.mark.parametrize("given", [True, False])
def test_a_dump_that_ends_within_a_page(flats, written, page, given):
    oob = CHIPS[page][0]
    content = dumped(flats[page], page)[:-100]
    path = written(content)
    with pytest.raises(GeometryError) as error:
        open_image(path, oob_size=oob if given else None)
    assert str(error.value) == (
        f"{path}: ends within a page: {len(content)} bytes are no multiple of {page} + {oob}, a page and its OOB; it is"
        " cut short, or the sizes are wrong"
    )


@pytest.mark.parametrize(
    ("page", "options", "likely"),
    [
        (2048, {"oob_size": 128}, "; 64 bytes of OOB behind each page of 2048 bytes are likely right"),
        (2048, {"oob_size": 16}, "; 64 bytes of OOB behind each page of 2048 bytes are likely right"),
        (
            2048,
            {"oob_size": 60, "page_size": 2048},
            "; 64 bytes of OOB behind each page of 2048 bytes are likely right",
        ),
        (512, {"oob_size": 64}, "; 16 bytes of OOB behind each page of 512 bytes are likely right"),
        (512, {"oob_size": 32, "page_size": 512}, "; 16 bytes of OOB behind each page of 512 bytes are likely right"),
        ("flat", {"oob_size": 64}, ""),
        ("flat", {"oob_size": 16}, ""),
    ],
)
def test_a_wrong_oob_size(flats, written, page, options, likely):
    path = written(flats[2048] if page == "flat" else dumped(flats[page], page))
    with pytest.raises(GeometryError, match="wrong OOB size: ") as error:
        open_image(path, **options)
    assert str(error.value).endswith(f"or nodes would go on behind it{likely}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"page_size": 512}, "wrong page size 512 bytes: there are 64 bytes of OOB behind each page of 2048 bytes"),
        ({"oob_size": 100}, "no usual page has 100 bytes of OOB; --page-size says which it is"),
        ({"oob_size": 8, "page_size": 2048}, "8 bytes of OOB are impossible"),
        ({"oob_size": 4096, "page_size": 2048}, "4096 bytes of OOB are impossible"),
        ({"oob_size": 64, "page_size": 1000}, "a page of 1000 bytes is impossible"),
        ({"erase_size": 64 * KIB}, "wrong erase size 64 KiB: nodes cross its boundaries; 128 KiB is likely right"),
        ({"erase_size": 256 * KIB}, "wrong erase size 256 KiB: cleanmarkers stand within such blocks"),
    ],
)
def test_what_a_dump_contradicts(flats, written, options, message):
    with pytest.raises(GeometryError, match=message):
        open_image(written(dumped(flats[2048], 2048)), **options)


# ---- the kernel's dumps ----------------------------------------------------------------------------------------------

DUMP = "/run/lab/dump"


def dump_commands(versions, *more):  # noqa: F811
    """Reads the dump, upgrades it, looks at it again."""
    out = "/run/lab/extracted"
    words = ["apply", DUMP, str(versions / "new.manifest"), "--from", str(versions / "new")]
    return commands(
        ["status", DUMP, "--json", *more],
        ["check", DUMP, "--json", *more],
        ["extract", DUMP, "-o", out, "-q", *more],
        ["lines", out],
        [*words, "--reader", "linux-summary", "--json", "-q", *more],
        ["check", DUMP, "--json", *more],
    )


@needs_lab
def test_the_kernels_dumps_there_and_back(lab, versions):  # noqa: F811
    """nanddump of what the kernel wrote is read and upgraded; nandwrite brings it back, and the kernel mounts the new
    tree. The driver makes the ECC, or with --noecc ours stands.
    """
    ways = {"": ("", ""), "-noecc": ("", "--noecc"), "-whole": ("--bb=dumpbad", "--noskipbad")}
    wanted = {"nand2k": ["", "-noecc"], "nand512": ["-noecc"], "nand2k-bad": [""], "nand512-bad": ["", "-whole"]}
    cases = []
    for name, way in [(name, way) for name, each in wanted.items() for way in each]:
        (device, bad), (read, write) = DEVICES[name], ways[way]
        given = ["--oob-size", str(CHIPS[device.page][0])] if way else []
        steps = [
            mount(),
            sh("cp -p $MNT/bin/text $MNT/kernel; echo more >> $MNT/etc/motd; rm $MNT/gone; sync"),
            tree(),
            umount(),
            sh(f"nanddump --quiet --oob {read} --file={DUMP} $MTD"),
            dump_commands(versions, *given),
            sh("flash_erase --quiet $MTD 0 0"),
            sh(f"nandwrite --quiet --oob {write} $MTD {DUMP}"),
            sh(f"nanddump --quiet --oob {read} --file={DUMP}.again $MTD && cmp {DUMP} {DUMP}.again"),
            sh("rm -r /run/lab/dump* /run/lab/extracted"),
            read_back(),
            mount(ro=True),
            tree(),
            umount(),
            mount(),
            sh("echo more > $MNT/more; sync"),
            umount(),
        ]
        cases.append(case(name + way, versions, device, *steps, bad=bad))
    for result in lab.run(cases):
        assert result.ok, result.why()
        assert not result.unexpected, result.why()
        page, bad = result.case.device.page, result.case.device.badblocks
        oob, erase, free_at, bad_at, _, _ = CHIPS[page]
        status, check, extract, lines, apply, again = outcomes(result, 2)
        facts = done(status)
        assert facts["dump"] == {
            "oob_size_bytes": oob,
            "cleanmarker_at": free_at,
            "bad_mark_at": bad_at,
            "ecc": "software Hamming, 256 bytes",
        }
        assert facts["geometry"]["erase_size_bytes"] == erase
        assert facts["space"]["bad"] == (len(bad) if result.id.endswith("-whole") else 0)
        assert done(check)["problems"] == done(again)["problems"] == []
        assert extract[0] == 0 and lines[1].splitlines() == result.tree(0).lines != lines_of(versions, "old")
        assert done(apply)["changes"]
        assert result.tree(1).lines == lines_of(versions, "new"), result.id
        back = result.named("read_back")[0]
        assert back.uncorrectable == [] and back.badblocks == list(bad)
        free = {number for number in range(len(back.image) // erase) if erased(back.image[number * erase :][:erase])}
        marked = set(back.cleanmarkers)
        assert free - set(bad) <= marked
        # The kernel's blocks keep the marker that they had when it took them; ours never have one.
        assert not any(back.image[number * erase :].startswith(TAG) for number in marked - free)
