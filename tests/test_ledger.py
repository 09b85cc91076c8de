"""The ledger: what evidence shows to be the file system's is written; everything else stays as it is, whoever asks."""

import pytest

from jffs2tx._ffi import check, lib
from jffs2tx.errors import Held, NoSpace
from jffs2tx.filesystem import FileSystem
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import recover, tidy

from .crafted import ERASE, NOR, block, dirent, inode, medium, tag

TREE = block(dirent(1, 1, b"a", 2), inode(2, 1, b"content"))
LATER = block(dirent(1, 2, b"b", 3), inode(3, 1, b"more"))
DEAD = block(inode(9, 1, b"orphan" * 20))
UNKNOWN = (b"\x14\xcc\x20\x01" * 300).ljust(ERASE, b"\xff")
ERASED = b"\xff" * ERASE
SQUASHFS = (b"hsqs".ljust(40, b"\x01") + (ERASE + 100).to_bytes(8, "little")).ljust(ERASE, b"\x02")


def held(flash):
    with FileSystem(flash) as fs:
        blocks = lib.jx_fs_blocks(fs.handle)
        return [number for number in range(lib.jx_fs_block_count(fs.handle)) if blocks[number].held]


def refuses(flash, number):
    """Erasing, programming and marking."""
    off = number * ERASE
    for code in (
        lib.jx_flash_raw_erase(flash.handle, off),
        lib.jx_flash_raw_prog(flash.handle, off + 4096, b"\0" * 4, 4),
    ):
        with pytest.raises(Held, match="not known to belong to the file system"):
            check(code, doing="writing")


def rest(flash, *blocks):
    """How many there are after these."""
    return list(range(len(blocks), flash.geometry.blocks))


def test_what_nothing_identifies_is_held():
    with medium(TREE, UNKNOWN, LATER) as flash:
        assert held(flash) == [1]
        refuses(flash, 1)
        assert tidy(flash).did_nothing
        assert flash.read(ERASE, ERASE) == UNKNOWN


def test_erased_flash_beside_something_else_is_held():
    """To its end: who knows whose it is."""
    with medium(TREE, ERASED, LATER, UNKNOWN) as flash:
        assert held(flash) == rest(flash, TREE, ERASED, LATER)
        refuses(flash, 5)
    with medium(UNKNOWN, TREE) as flash:
        assert held(flash) == [0, *rest(flash, UNKNOWN, TREE)]
    with medium(ERASED, ERASED, TREE) as flash:  # the kernel may begin anywhere
        assert held(flash) == []


def test_where_the_extent_is_known_erased_flash_is_room_and_the_unknown_is_held():
    with medium(ERASED, TREE, UNKNOWN) as flash:
        flash.set_extent("known")
        assert held(flash) == [2]
        flash.set_extent("given")
        assert held(flash) == []
        check(lib.jx_flash_raw_erase(flash.handle, 2 * ERASE), doing="erasing")


def test_a_known_format_is_held_as_far_as_it_says():
    """Nodes inside it are its content."""
    with medium(TREE, SQUASHFS, DEAD, LATER) as flash:
        assert held(flash) == [1, 2]
        assert tidy(flash).did_nothing


def test_beyond_a_seam_is_held():
    with medium(TREE, LATER, DEAD) as flash:
        flash.set_extent("guessed", 0, ERASE)
        assert held(flash) == list(range(1, flash.geometry.blocks))
        with FileSystem(flash) as fs:
            assert fs.list("/") == [b"a", b"b"]
            with pytest.raises(NoSpace):
                put(flash, fs)


def put(flash, fs):
    tx = Transaction(flash, fs)
    tx.put(b"new", b"x" * 5000)
    tx.commit()


@pytest.mark.parametrize("start", ["magic and type", "half a tag", "half a cleanmarker"])
def test_a_torn_node_is_its_own(start):
    torn = {
        "magic and type": inode(9, 1, b"")[:4] + b"\x55" * 60,
        "half a tag": tag(1, 7)[:6],
        "half a cleanmarker": block()[:5],
    }[start].ljust(ERASE, b"\xff")
    with medium(TREE, torn) as flash:
        assert held(flash) == []


def test_a_wreck_between_our_blocks_is_erased_while_a_transaction_waits():
    staged = tag(1, 7) + inode(9, 1, b"staged")
    with medium(TREE, UNKNOWN, staged.ljust(ERASE, b"\xff"), UNKNOWN) as flash:
        done = recover(flash)
        assert (done.state_before, done.blocks_erased) == ("staged", 2)
        assert flash.read(ERASE + 12, ERASE - 12) == ERASED[12:]
        assert flash.read(3 * ERASE, ERASE) == UNKNOWN  # nothing of ours is after it


def test_an_upgrade_goes_round_what_is_held():
    with medium(TREE, UNKNOWN, LATER) as flash:
        for number in range(40):
            with FileSystem(flash) as fs:
                tx = Transaction(flash, fs)
                tx.put(b"f%d" % number, bytes([number]) * 9000)
                tx.commit()
            tidy(flash)
        assert flash.read(ERASE, ERASE) == UNKNOWN


def test_recover_with_nothing_of_ours_pending_writes_nothing():
    with medium(TREE, UNKNOWN, DEAD, LATER) as flash:
        before = flash.hash()
        assert recover(flash).did_nothing
        assert flash.hash() == before


def test_status_counts_what_is_held():
    with medium(TREE, UNKNOWN, LATER) as flash, FileSystem(flash) as fs:
        assert fs.space.held == 1
        assert fs.space.bad == 0
    assert NOR.erase_size == ERASE
