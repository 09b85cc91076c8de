"""Reading: what mkfs.jffs2 wrote, and logs as a kernel leaves them, node by node."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jffs2tx import format as medium
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import Corrupt, NotADirectory, NotFound
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Manifest
from jffs2tx.tree import manifest_of

from .images import (
    FLAVOURS,
    IS_ROOT,
    KIB,
    MODE,
    block,
    dirent,
    inode,
    make_image,
    medium_of,
    needs_mkfs,
    needs_root,
)

ORDERS = ["little", "big"]


def opened(*blocks, count=8, **options):
    content = medium_of(*blocks, count=count)
    return FileSystem(Flash.memory(Geometry("nor", len(content), 64 * KIB), content), **options)


def of_nodes(*nodes, **options):
    return opened(block(*nodes), **options)


# ---- images of mkfs.jffs2 --------------------------------------------------------------------------------------------


@needs_mkfs
def test_the_manifest_of_an_image_is_that_of_its_source(image, tree):
    seen = []
    manifest = manifest_of(image.fs(), lambda *facts: seen.append(facts))
    assert manifest.to_text() == Manifest.from_directory(tree).to_text()
    assert seen[-1][1] == seen[-1][2] > 0


@needs_mkfs
def test_every_reader_sees_the_same_tree(made):
    digests = set()
    for flavour, (_, _, options) in FLAVOURS.items():
        from jffs2tx.image import open_image

        with open_image(made(flavour), **options) as image:
            digests |= {image.fs().digest(), image.fs(summary=False).digest(), image.fs(empty_scan=1024).digest()}
    assert len(digests) == 1


@needs_mkfs
def test_summaries_are_seen(made):
    from jffs2tx.image import open_image

    for flavour in ("little", "summary"):
        with open_image(made(flavour)) as image:
            assert image.fs().has_summaries is (flavour == "summary")


@needs_mkfs
@needs_root
@pytest.mark.parametrize("flavour", ["little", "big-summary"])
def test_attributes(tmp_path, flavour):
    from jffs2tx.image import open_image

    from .test_acl import VFS

    source = tmp_path / "source"
    (source / "dir").mkdir(parents=True)
    (source / "file").write_bytes(b"")
    try:
        os.setxattr(source / "file", "user.empty", b"")
        os.setxattr(source / "file", "security.bytes", bytes(range(256)))
        os.setxattr(source / "file", "trusted.a", b"b")
        os.setxattr(source / "file", "system.posix_acl_access", VFS)
        os.setxattr(source / "dir", "system.posix_acl_default", VFS)
    except OSError as error:
        pytest.skip(f"the host's file system holds no such attributes: {error}")
    source.chmod(0o755)
    os.utime(source, (0, 0))
    path = make_image(source, tmp_path / "image", flavour, "--with-xattr")
    with open_image(path) as image:
        assert manifest_of(image.fs()).to_text() == Manifest.from_directory(source).to_text()


@needs_mkfs
def test_paths(image):
    fs = image.fs()
    assert fs.read("etc/passwd").startswith(b"root:")
    assert fs.read("/bin/relative") == fs.read("absolute/link") == fs.read("/absolute/../deep/./link")
    assert fs.readlink("bin/relative") == b"../etc/passwd"
    assert fs.stat("bin/relative").type == "link"
    assert fs.stat("etc/passwd").nlink == 2
    assert fs.list("/etc/deep") == [b"er", b"link"]
    with pytest.raises(NotFound):
        fs.read("/etc/none")
    with pytest.raises(NotADirectory):
        fs.read("/etc/passwd/x")
    if IS_ROOT:
        assert fs.stat("disk").device == (8, 17)
        assert fs.stat("bin/text").mode == 0o4755


@needs_mkfs
def test_reading_a_piece(image, tree):
    fs = image.fs()
    ino = fs.resolve("bin/text")
    whole = (tree / "bin/text").read_bytes()
    for offset, length in ((0, 1), (4095, 2), (4096, 4096), (10_000, 50_000), (len(whole) - 1, 5), (len(whole), 5)):
        assert fs.read_ino(ino, offset, length) == whole[offset : offset + length]
    assert b"".join(fs.chunks_ino(ino, 1000)) == whole


# ---- one file in many nodes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_a_later_node_lies_over_an_earlier_one(order):
    fs = opened(
        block(
            dirent(b"f", 2, 1, order=order),
            inode(2, 1, b"a" * 100, order=order),
            inode(2, 3, b"c" * 10, offset=45, isize=100, order=order),
            inode(2, 2, b"b" * 50, offset=20, isize=100, order=order),
            order=order,
        ),
        block(order=order),
        count=2,
    )
    assert fs.endian == order
    assert fs.read("f") == b"a" * 20 + b"b" * 25 + b"c" * 10 + b"b" * 15 + b"a" * 30


def test_holes_and_growth():
    fs = of_nodes(
        dirent(b"f", 2, 1),
        inode(2, 1, b"start"),
        inode(2, 2, b"", offset=5, isize=10_000, dsize=9_995, compr=1),
        inode(2, 3, b"end", offset=10_000),
    )
    assert fs.read("f") == b"start" + bytes(9_995) + b"end"


def test_truncated_and_grown_again_shows_zeros():
    fs = of_nodes(
        dirent(b"f", 2, 1),
        inode(2, 1, b"secret" * 100),
        inode(2, 2, isize=6),
        inode(2, 3, b"", offset=6, isize=600, dsize=594, compr=1),
    )
    assert fs.read("f") == b"secret" + bytes(594)


def test_truncated_to_nothing():
    assert of_nodes(dirent(b"f", 2, 1), inode(2, 1, b"x" * 100), inode(2, 2, isize=0)).read("f") == b""


def test_metadata_of_the_newest_node():
    fs = of_nodes(dirent(b"f", 2, 1), inode(2, 2, b"new", uid=7, mode=0o100600), inode(2, 1, b"older"))
    assert (fs.stat("f").uid, fs.stat("f").mode, fs.read("f")) == (7, 0o600, b"new")


def test_a_node_whose_data_are_bad_does_not_count():
    bad = bytearray(inode(2, 2, b"new data"))
    bad[-1] ^= 1
    fs = of_nodes(dirent(b"f", 2, 1), inode(2, 1, b"old data"), bytes(bad))
    assert fs.read("f") == b"old data"


def test_an_inode_with_no_good_node_is_an_error():
    bad = bytearray(inode(2, 1, b"data"))
    bad[-1] ^= 1
    fs = of_nodes(dirent(b"f", 2, 1), dirent(b"g", 3, 2), inode(3, 1, b"fine"), bytes(bad))
    with pytest.raises(Corrupt):
        fs.stat("f")
    with pytest.raises(Corrupt):
        list(fs.walk())
    errors = []
    assert [path for path, _ in fs.walk(onerror=lambda path, _: errors.append(path))] == [b"", b"g"]
    assert errors == [b"f"]


def test_content_that_does_not_decompress():
    fs = of_nodes(dirent(b"f", 2, 1), inode(2, 1, b"no zlib stream", compr=6, dsize=100, isize=100))
    with pytest.raises(Corrupt):
        fs.read("f")
    with pytest.raises(Corrupt, match=r"^/f: "):
        manifest_of(fs)


pieces = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 120), st.integers(0, 400)), min_size=1, max_size=12)


@given(pieces, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_any_log_reads_as_the_writes_it_records(pieces, random):
    """Writes, each with the size that the file then has; on the medium in any order."""
    content = bytearray()
    nodes = [dirent(b"f", 2, 1)]
    for version, (offset, length, cut) in enumerate(pieces, start=1):
        data = bytes([version]) * length
        size = max(offset + length, min(cut, len(content)))
        if offset > len(content):  # the kernel fills what it skips with a hole node
            nodes.append(
                inode(2, 2 * version - 1, offset=len(content), isize=offset, dsize=offset - len(content), compr=1)
            )
            content += bytes(offset - len(content))
        nodes.append(inode(2, 2 * version, data, offset=offset, isize=size))
        content[offset : offset + length] = data
        del content[size:]
    random.shuffle(nodes)
    fs = of_nodes(*nodes, count=1)
    assert fs.read("f") == bytes(content)


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_the_higher_version_of_a_name_wins(reverse):
    nodes = [dirent(b"f", 2, 5), dirent(b"f", 3, 6), inode(2, 1, b"two"), inode(3, 1, b"three")]
    assert of_nodes(*reversed(nodes) if reverse else nodes).read("f") == b"three"


def test_a_deleted_name_and_its_return():
    nodes = [dirent(b"f", 2, 5), dirent(b"f", 0, 6), inode(2, 1, b"two")]
    assert of_nodes(*nodes).list() == []
    assert of_nodes(*nodes, dirent(b"f", 2, 7)).read("f") == b"two"


def test_an_obsolete_dirent_does_not_count():
    old = medium.NodeType.DIRENT & ~medium.ACCURATE
    fs = of_nodes(dirent(b"f", 2, 1), dirent(b"f", 3, 2, nodetype=old), inode(2, 1, b"two"), inode(3, 1, b"three"))
    assert fs.read("f") == b"two"


def test_a_renamed_directory_keeps_what_is_below():
    fs = of_nodes(
        dirent(b"old", 2, 1, kind="dir"),
        inode(2, 1, mode=MODE["dir"]),
        dirent(b"f", 3, 2, pino=2),
        inode(3, 1, b"here"),
        dirent(b"new", 2, 2, kind="dir"),
        dirent(b"old", 0, 3, kind="dir"),
    )
    assert [path for path, _ in fs.walk()] == [b"", b"new", b"new/f"]


def test_a_name_without_an_inode_is_not_shown():
    assert of_nodes(dirent(b"f", 9, 1)).list() == []


@pytest.mark.parametrize("name", [b"..", b".", b"a/b", b"/etc/passwd"])
def test_a_name_that_no_file_can_have(name):
    fs = of_nodes(dirent(name, 2, 1), dirent(b"good", 3, 2), inode(2, 1, b"evil"), inode(3, 1))
    with pytest.raises(Corrupt, match="is no name that a file can have"):
        list(fs.walk())
    errors = []
    assert [path for path, _ in fs.walk(onerror=lambda path, _: errors.append(path))] == [b"", b"good"]
    assert errors == [name]


def test_a_directory_in_itself_ends_the_walk():
    fs = of_nodes(dirent(b"d", 2, 1, kind="dir"), inode(2, 1, mode=MODE["dir"]), dirent(b"d", 2, 2, pino=2, kind="dir"))
    assert [path for path, _ in fs.walk()] == [b"", b"d", b"d/d"]


def test_links_in_a_circle():
    fs = of_nodes(dirent(b"l", 2, 1, kind="link"), inode(2, 1, b"l", mode=MODE["link"]))
    with pytest.raises(NotFound, match="too many symbolic links"):
        fs.read("l")


def test_the_walk_can_start_anywhere(tmp_path):
    fs = of_nodes(
        dirent(b"d", 2, 1, kind="dir"), inode(2, 1, mode=MODE["dir"]), dirent(b"f", 3, 2, pino=2), inode(3, 1, b"x")
    )
    assert [path for path, _ in fs.walk(b"d")] == [b"d", b"d/f"]
    assert [path for path, _ in fs.walk(b"d/f")] == [b"d/f"]


# ---- attributes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_acls_are_shown_as_the_vfs_shows_them(order):
    from jffs2tx.acl import to_medium

    from .test_acl import VFS

    fields = {"xid": 1, "version": 0, "xprefix": 3, "name": b"", "value": to_medium(VFS, order)}
    fs = opened(
        block(
            dirent(b"f", 2, 1, order=order),
            inode(2, 1, order=order),
            medium.build(medium.NodeType.XATTR, order, **fields),
            medium.build(medium.NodeType.XREF, order, ino=2, xid=1, xseqno=2),
            order=order,
        ),
        block(order=order),
        count=2,
    )
    assert fs.xattrs("f") == {b"system.posix_acl_access": VFS}


def attribute(xid, value, xprefix=1, name=b"a"):
    return medium.build(medium.NodeType.XATTR, "little", xid=xid, version=0, xprefix=xprefix, name=name, value=value)


def reference(xid, xseqno, ino=2):
    return medium.build(medium.NodeType.XREF, "little", ino=ino, xid=xid, xseqno=xseqno)


def test_references_that_delete():
    nodes = [dirent(b"f", 2, 1), inode(2, 1), attribute(1, b"one"), attribute(2, b"two"), reference(1, 2)]
    assert of_nodes(*nodes).xattrs("f") == {b"user.a": b"one"}
    assert of_nodes(*nodes, reference(1, 5)).xattrs("f") == {}
    assert of_nodes(*nodes, reference(1, 5), reference(2, 6)).xattrs("f") == {b"user.a": b"two"}


def test_a_malformed_acl():
    fs = of_nodes(dirent(b"f", 2, 1), inode(2, 1), attribute(1, b"\1\0\0\0x", 3, b""), reference(1, 2))
    with pytest.raises(Corrupt, match="attribute of inode 2: the ACL"):
        fs.xattrs("f")
