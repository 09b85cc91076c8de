"""A deletion stays as long as something may lie on the medium that a later read brings back (csrc/space.c)."""

from jffs2tx._ffi import lib

from .crafted import CLEANMARKER, ERASE, block, directory, dirent, inode, medium
from .medium import blocks

CLEAN = CLEANMARKER.ljust(ERASE, b"\xff")
ERASED = b"\xff" * ERASE
#: The directory has its times from a later dirent.
ROOT = block(directory(1), inode(2, 1), dirent(1, 4, b"stays", 2))
DELETION = block(dirent(1, 3, b"gone", 0))


def state_of_deletion(*more: bytes) -> int:
    with medium(ROOT, DELETION, *more) as flash:
        return blocks(flash)[1][0]


def test_what_is_held_down_is_nowhere():
    assert state_of_deletion(*[CLEAN] * 30) == lib.JX_B_DIRTY


def test_an_erase_may_not_have_come_to_its_end():
    assert state_of_deletion(CLEAN, ERASED, *[CLEAN] * 28) == lib.JX_B_USED


def test_the_erased_rest_of_a_new_image_holds_nothing():
    assert state_of_deletion(*[ERASED] * 30) == lib.JX_B_DIRTY
