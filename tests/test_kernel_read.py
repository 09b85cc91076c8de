"""Reading before the judge: old compressors by a kernel that has them, unknown nodes by their class."""

import hashlib
import json
import random

import pytest

from jffs2tx.device import Flash
from jffs2tx.errors import FormatError
from jffs2tx.filesystem import FileSystem

from . import rubin
from .crafted import NOR, block, directory, dirent, inode
from .lab.lab import Case, Nor, mount, read_back, sh, sync, umount
from .lab.lab import tree as see
from .test_compat import CLASSES, with_unknown
from .test_compr import CHUNKS

pytestmark = pytest.mark.lab

DEVICE = Nor(NOR.size, NOR.erase_size)
#: What the scan says of our crafted blocks, and of types that it does not know.
NOTICES = (r"jffs2: .*",)
#: Whether the kernel mounts a medium with such a node, read-only and read-write.
MOUNTS = {
    "incompat": (False, False),
    "rocompat": (True, False),
    "rwcompat-copy": (True, True),
    "rwcompat-delete": (True, True),
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# ---- the cases -------------------------------------------------------------------------------------------------------


def written_by_rubin(folder):
    """Files that the kernel writes, one of them in two goes."""
    (folder / "text").write_text("".join(f"{number} is a line\n" for number in range(4000)))
    (folder / "even").write_bytes(bytes(random.Random(1).choices(range(16), k=50_000)))
    (folder / "noise").write_bytes(random.Random(2).randbytes(9000))
    script = f"cp {folder}/* $MNT/ && dd if=/dev/zero of=$MNT/text bs=100 seek=300 count=7 conv=notrunc"
    steps = [mount(), sh(script), sync(), see(), umount(), read_back()]
    return Case("written", DEVICE, b"\xff" * NOR.size, kernel="rubin", steps=steps, expected=NOTICES)


def crafted_rubin():
    """3 with its table in the data, 5 with the fixed one, by the tests' encoder."""
    blocks, held = [], [directory(1)]
    ino = 1
    for name, data in sorted(CHUNKS.items()):
        for compr, pack in ((3, rubin.dynamic), (5, rubin.fixed)):
            ino += 1
            node = inode(ino, 1, pack(data), size=len(data), compr=compr, dsize=len(data))
            both = [dirent(1, ino, f"{name}.{compr}".encode(), ino), node]
            if sum(len(one) + 4 for one in (*held, *both)) > NOR.erase_size - 64:
                blocks.append(block(*held))
                held = []
            held += both
    blocks.append(block(*held))
    image = b"".join(blocks) + block() * (NOR.blocks - len(blocks))
    return Case("crafted", DEVICE, image, kernel="rubin", expected=NOTICES)


def unknown(name, ro):
    with with_unknown(CLASSES[name]) as flash:
        image = flash.read(0, NOR.erase_size) + block() * (NOR.blocks - 1)
    return Case(f"{name}-{'ro' if ro else 'rw'}", DEVICE, image, steps=[mount(ro=ro), see()], expected=NOTICES)


@pytest.fixture(scope="module")
def seen(lab, tmp_path_factory):
    """(the case, what the kernel made of it), by its name: all in one boot."""
    cases = [written_by_rubin(tmp_path_factory.mktemp("rubin")), crafted_rubin()]
    cases += [unknown(name, ro) for name in CLASSES for ro in (True, False)]
    return {case.id: (case, result) for case, result in zip(cases, lab.run(cases), strict=True)}


def by_kernel(result):
    """path -> hash of each file's content."""
    found = map(json.loads, result.tree().lines)
    return {one["path"]: one["sha256"] for one in found if "sha256" in one}


def by_us(image):
    with Flash.memory(NOR, image) as flash, FileSystem(flash) as fs:
        files = [(path, status.ino) for path, status in fs.walk() if status.type == "file"]
        return {path.decode(): sha256(fs.read_ino(ino)) for path, ino in files}


# ---- the judgement ---------------------------------------------------------------------------------------------------


def test_what_a_kernel_writes_by_rubin_is_read(seen):
    """It calls 3 what has its table in the data."""
    _, result = seen["written"]
    assert result.ok, result.why()
    image = result.named("read_back")[0].image
    with Flash.memory(NOR, image) as flash, FileSystem(flash) as fs:
        assert 3 in fs.compressions()
    assert by_us(image) == by_kernel(result)
    assert len(by_us(image)) == 3


def test_what_the_tests_encoder_makes_is_read_as_the_kernel_reads_it(seen):
    case, result = seen["crafted"]
    assert result.ok, result.why()
    wanted = {f"{name}.{compr}": sha256(data) for name, data in CHUNKS.items() for compr in (3, 5)}
    assert by_kernel(result) == wanted
    assert by_us(case.image) == wanted


@pytest.mark.parametrize("name", CLASSES)
def test_unknown_nodes_by_their_class(seen, name):
    assert (seen[f"{name}-ro"][1].ok, seen[f"{name}-rw"][1].ok) == MOUNTS[name]
    image = seen[f"{name}-ro"][0].image
    if name == "incompat":
        with pytest.raises(FormatError):
            by_us(image)
    else:
        assert by_us(image) == by_kernel(seen[f"{name}-ro"][1]) == {"f": sha256(b"content")}
