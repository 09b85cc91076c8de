"""NOR: which dirents are marked obsolete, and that no mark ever stands right after a dirent that has none."""

from jffs2tx._ffi import lib
from jffs2tx.device import Flash
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, pad4
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import recover, tidy

from .crafted import (
    ERASE,
    LINUX_SUMMARY,
    NOR,
    block,
    content,
    crash,
    cuts,
    directory,
    dirent,
    inode,
    medium,
    obsolete,
    operations,
    state,
    tag,
)
from .medium import nodes

NAMES = [b"f%02d" % number for number in range(12)]
FILES = [inode(2 + number, 1, b"old") for number in range(len(NAMES))]
DIRENTS = [dirent(1, 2 + number, name, 2 + number) for number, name in enumerate(NAMES)]
GONE, REPLACED = NAMES[3], NAMES[5::3]


def start(**more) -> Flash:
    """Names one right after the other, in one block."""
    data = medium(block(directory(1), *FILES, *DIRENTS, **more))
    return Flash.simulator(NOR, data.read(0, NOR.size))


def land(flash, **more):
    with FileSystem(flash) as fs:
        tx = Transaction(flash, fs, time=200, strategy="flip", **more)
        tx.remove(GONE)
        for name in REPLACED:
            tx.put(name, b"new")
        tx.commit()


NEW = dict.fromkeys(NAMES, b"old") | dict.fromkeys(REPLACED, b"new")
del NEW[GONE]


def forgotten(flash) -> list[int]:
    """Inodes whose names a kernel with summary support would forget once they are deleted: a mark or a tag follows."""
    with FileSystem(flash) as fs:
        records, count = lib.jx_fs_nodes(fs.handle), lib.jx_fs_node_count(fs.handle)
        found = []
        for node, after in ((records[i], records[i + 1]) for i in range(count - 1)):
            is_name = node.nodetype == NodeType.DIRENT and node.verdict == lib.JX_V_GOOD and node.child
            dirt = after.verdict == lib.JX_V_OBSOLETE or after.nodetype in (NodeType.TAG, NodeType.SUMMARY)
            dirt = dirt and not after.by_summary and not lib.jx_fs_blocks(fs.handle)[node.offset // ERASE].summary
            if is_name and dirt and node.offset + pad4(node.totlen) == after.offset:
                found.append(node.child)
        return found


def marked(flash) -> int:
    return sum(node.verdict == lib.JX_V_OBSOLETE for node in nodes(flash))


def test_no_instant_shows_a_mark_right_after_a_dirent():
    with start() as flash:
        land(flash)
        for cut in cuts(flash):
            with crash(flash, cut) as after:
                assert forgotten(after) == [], cut
        assert marked(flash) > len(REPLACED) and content(flash) == NEW


def test_a_swap_is_settled_without_a_tag_after_its_dirent():
    with medium(
        block(directory(1), dirent(1, 2, b"d", 2, type=4), directory(2), dirent(2, 2, b"x", 3), inode(3, 1))
    ) as old:
        flash = Flash.simulator(NOR, old.read(0, NOR.size))
    with flash:
        with FileSystem(flash) as fs:
            tx = Transaction(flash, fs, time=200, strategy="swap")
            tx.put("d/x", b"new")
            tx.commit()
        for cut in cuts(flash):
            with crash(flash, cut) as after:
                assert forgotten(after) == [], cut
        assert (state(flash), content(flash)) == ("settled", {b"d/x": b"new"})


def test_a_summary_that_is_dropped_is_no_mark_for_long():
    """The dirent right before it goes too."""
    listed = range(1 + len(FILES) + len(DIRENTS))
    with start(summary=listed) as flash:
        land(flash)
        assert forgotten(flash) == [] and content(flash) == content(flash, summary=False) == NEW


def test_none_is_marked_where_every_reader_has_summary_support():
    with start() as flash:
        land(flash, readers=LINUX_SUMMARY)
        assert content(flash) == content(flash, summary=False) == NEW
        assert marked(flash) == 0 and forgotten(flash) == [] and state(flash) == "settled"


def test_deletions_keep_their_bit():
    """They bring nothing back, and what stands right before one of them keeps its place."""
    names = [dirent(1, 2, b"a", 3), dirent(1, 3, b"f", 0), dirent(1, 4, b"f", 2)]
    with medium(block(directory(1), inode(2, 1), inode(3, 1), *names)) as flash:
        with FileSystem(flash) as fs:
            tx = Transaction(flash, fs, time=200, strategy="flip")
            tx.put("f", b"new")
            tx.commit()
        assert {(n.name, n.version) for n in nodes(flash) if n.verdict == lib.JX_V_OBSOLETE} == {(b"f", 4)}


def old_version(tag_format: int) -> Flash:
    """As it was settled before names were moved: two of them have a mark right after them."""
    used = block(directory(1), *FILES, *DIRENTS[:3], obsolete(DIRENTS[3]), *DIRENTS[4:6], obsolete(DIRENTS[6]))
    return medium(used, block(dirent(1, 90, b"s", 2), start=tag(lib.JX_TAG_SETTLED, 1, format=tag_format)))


def test_what_an_earlier_version_left_is_mended_once():
    with old_version(1) as old:
        flash = Flash.simulator(NOR, old.read(0, NOR.size))
        tree = content(old)
    with flash:
        assert forgotten(flash) == [4, 7]
        assert not recover(flash).did_nothing
        assert (forgotten(flash), content(flash), state(flash)) == ([], tree, "settled")
        for cut in cuts(flash):
            with crash(flash, cut) as after:
                assert content(after) == tree, cut
                recover(after)
                assert (forgotten(after), content(after)) == ([], tree), cut
        done = len(operations(flash))
        assert recover(flash).did_nothing and len(operations(flash)) == done


def test_what_a_kernel_without_summary_support_marks_is_its_own():
    """It leaves such neighbours with each name that it removes."""
    with old_version(2) as flash:
        before = flash.read(0, NOR.size)
        recover(flash), tidy(flash)
        assert flash.read(0, NOR.size) == before


def test_an_upgrade_mends_too():
    with old_version(1) as flash:
        with FileSystem(flash) as fs:
            tx = Transaction(flash, fs, time=200, strategy="flip")
            tx.put(NAMES[0], b"new")
            tx.commit()
        assert forgotten(flash) == []


def test_a_set_that_a_kernel_has_marked_since_is_not_forgotten():
    """The upgrade removed a name, and the kernel made it again: when that goes, the one before must not come back."""
    with start() as flash:
        with FileSystem(flash) as fs:
            tx = Transaction(flash, fs, time=200, strategy="flip")
            tx.remove(GONE)
            tx.commit()
        for cut in cuts(flash):
            with crash(flash, cut) as after:
                if GONE in content(after) or state(after) != "committed":
                    continue
                image = bytearray(after.read(0, NOR.size))
                deletion = next(n for n in nodes(after) if n.name == GONE and not n.child)
                image[deletion.offset + 3] &= ~0x20
                image[8 * ERASE : 9 * ERASE] = block(inode(50, 1, b"mine"), dirent(1, deletion.version + 1, GONE, 50))
                with Flash.memory(NOR, bytes(image)) as kernels:
                    recover(kernels)
                    assert content(kernels)[GONE] == b"mine"
                    good = [
                        n.version for n in nodes(kernels) if n.name == GONE and n.child and n.verdict == lib.JX_V_GOOD
                    ]
                    assert good == [deletion.version + 1], cut
                return
        raise AssertionError("no commit")
