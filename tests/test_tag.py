"""Our tag: it says where it is and how large its file system is, and tags of format 1 are still read."""

import pytest

from jffs2tx._ffi import lib
from jffs2tx.device import Flash
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, walk
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import recover
from tests.crafted import (
    ERASE,
    LINUX_SUMMARY,
    NAND,
    NOR,
    block,
    content,
    crash,
    cuts,
    directory,
    dirent,
    filesystem,
    header,
    inode,
    operations,
    state,
    tag,
)

CASES = [(NOR, "swap"), (NOR, "flip"), (NAND, "swap"), (NAND, "seal"), (NAND, "lift")]
CONTAINER = 0x2078


def tags(flash):
    """(offset, fields) of every tag that can be read."""
    image = flash.read(0, flash.geometry.size)
    return [
        (node.offset, node.fields)
        for node in walk(image, "little", flash.geometry.erase_size)
        if node.kind == NodeType.TAG and not node.wrong
    ]


def upgraded(geometry, strategy):
    flash = filesystem(geometry, {b"a": b"A" * 10, b"d": None, b"d/x": b"old"})
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, strategy=strategy, readers=LINUX_SUMMARY)
        tx.put("d/x", b"new" * 2000)
        tx.commit()
    return flash


@pytest.mark.parametrize(("geometry", "strategy"), CASES)
def test_every_tag_says_where_it_is(geometry, strategy):
    """At every cut, and at every cut in recover: its copies of a commit block and of a set say their own place."""
    flash, roles = upgraded(geometry, strategy), set()
    for cut in cuts(flash):
        after = Flash.simulator(geometry, crash(flash, cut).read(0, geometry.size))
        recover(after)
        for offset, fields in (found for again in cuts(after) for found in tags(crash(after, again))):
            assert (fields.format, fields.size, fields.offset) == (2, geometry.size, offset)
            roles.add(fields.role)
    assert roles == {lib.JX_TAG_STAGE, lib.JX_TAG_COMMIT, lib.JX_TAG_SETTLED}


def test_a_commit_of_the_older_format_is_finished():
    """Its flip headers follow a tag of 44 bytes: what the cut left of them is cleared, and no byte of the set."""
    hidden = block(tag(lib.JX_TAG_COMMIT, 2, strategy=1, format=1), start=b"")[:44]
    left = [bytes(4) + header(CONTAINER, ERASE - 44)[4:], bytes(4) + header(CONTAINER, ERASE - 56)[4:]]
    names = dirent(1, 9, b"f", 6) + b"\xff" * 3 + inode(6, 1, b"x") + b"\xff" * 3
    commit = (hidden + b"".join(left) + names).ljust(ERASE, b"\xff")
    image = block(directory(1)) + commit
    flash = Flash.simulator(NOR, image.ljust(NOR.size, b"\xff"))
    assert state(flash) == "committed"
    recover(flash)
    end = ERASE + 68 + len(names.rstrip(b"\xff"))
    assert operations(flash)[:2] == [(lib.JX_SIM_PROG, ERASE + 56, 2), (lib.JX_SIM_PROG, ERASE, end - ERASE)]
    assert crash(flash, 2).read(ERASE + 44, 24) == bytes(24)
    assert content(flash) == {b"f": b"x"} and state(flash) == "settled"


@pytest.mark.parametrize("fields", [{"format": 1}, {"size": 1 << 20, "offset": 0}], ids=["format 1", "format 2"])
def test_both_formats_are_read(fields):
    image = block(directory(1)) + block(inode(7, 1), start=tag(lib.JX_TAG_STAGE, 5, **fields))
    with Flash.memory(NOR, image) as flash, FileSystem(flash) as fs:
        assert (fs.status.state, fs.status.txid) == ("staged", 5)
