"""The API: what is asked for is what the tree becomes, all at once, whatever the medium has been through before."""

import hashlib
import random
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import (
    Exists,
    IsADirectory,
    NoSpace,
    NotADirectory,
    NotEmpty,
    NotFound,
    Refused,
    SourceError,
    StrategyError,
)
from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Entry, Manifest
from jffs2tx.mkfs import make_filesystem
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import old_tree, recover

KIB = 1024
GEOMETRIES = {
    "nor": Geometry("nor", 24 * 64 * KIB, 64 * KIB),
    "nand512": Geometry("nand", 48 * 16 * KIB, 16 * KIB, 512, 512, 8),
    "nand2k": Geometry("nand", 20 * 128 * KIB, 128 * KIB, 2048, 512, 38),
}
READERS = ("linux-summary+xattr",)


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def content_of(number, size):
    return hashlib.sha256(b"%d" % number).digest() * (size // 32 + 1)


def fresh(geometry, endian="little"):
    """A small tree of every type on an erased flash."""
    files = {b"a/one": b"1" * 10_000, b"a/two": b"", b"top": b"top"}
    names = [
        Entry(b"", "dir", 0o755, 0, 0, 100),
        *(Entry(path, "dir", 0o755, 1, 2, 100) for path in (b"a", b"a/b", b"c")),
        *(
            Entry(path, "file", 0o644, 0, 0, 100, len(data), hashlib.sha256(data).hexdigest())
            for path, data in files.items()
        ),
        Entry(b"a/l", "link", 0o777, 0, 0, 100, link=b"one"),
        Entry(b"c/dev", "char", 0o600, 0, 0, 100, device=(4, 65)),
        Entry(b"c/fifo", "fifo", 0o600, 0, 0, 100),
    ]
    flash = Flash.memory(geometry)
    by_hash = {hashlib.sha256(data).hexdigest(): data for data in files.values()}
    make_filesystem(flash, Manifest(names), lambda entry: [by_hash[entry.sha256]], endian=endian)
    return flash


def tree_of(flash):
    """Path -> entry with the content's hash; link groups as sets of names."""
    with FileSystem(flash) as fs:
        tree = old_tree(fs)
        groups = {}
        for path, old in tree.paths.items():
            groups.setdefault(old.ino, []).append(path)
        result = {}
        for path, old in tree.paths.items():
            digest = tree.sha256(old.ino) if old.entry.type == "file" else None
            names = tuple(sorted(groups[old.ino])) if len(groups[old.ino]) > 1 else None
            result[path] = (old.entry, digest, names)
        return {
            path: (
                e.type, e.mode, e.uid, e.gid, e.time, e.size, e.link, e.device,
                tuple(sorted(e.xattrs.items())), digest, names,
            )
            for path, (e, digest, names) in result.items()
        }  # fmt: skip


@pytest.fixture(params=GEOMETRIES)
def flash(request):
    with fresh(GEOMETRIES[request.param]) as made:
        yield made


def transaction(flash, **options):
    return Transaction(flash, FileSystem(flash), readers=named(READERS), **options)


def test_leaving_without_commit_changes_nothing(flash):
    before = tree_of(flash)
    content = flash.read(0, flash.geometry.size)
    tx = transaction(flash)
    tx.put("a/one", b"new")
    tx.remove("c", recursive=True)
    del tx
    assert tree_of(flash) == before and flash.read(0, flash.geometry.size) == content


def test_everything_at_once(flash):
    tx = transaction(flash, time=500)
    tx.put("a/one", b"changed")
    tx.put("new", b"n" * 5000, mode=0o755, uid=3, gid=4)
    tx.mkdir("a/dir", mode=0o700)
    tx.put("a/dir/file", b"deep")
    tx.symlink("a/dir/link", "../one")
    tx.mknod("disk", "block", (8, 3000), mode=0o660)
    tx.mknod("a/sock", "socket")
    tx.link("new", "a/hard")
    tx.remove("a/two")
    tx.remove("c", recursive=True)
    tx.rename("a/b", "b2")
    tx.chmod("top", 0o600)
    tx.chown("top", 7, 8)
    tx.setxattr("top", b"user.k", b"v")
    tx.commit()
    with FileSystem(flash) as fs:
        assert fs.list("/") == [b"a", b"b2", b"disk", b"new", b"top"]
        assert fs.list("a") == [b"dir", b"hard", b"l", b"one", b"sock"]
        assert (
            fs.read("a/one") == b"changed" and fs.read("a/dir/link") == b"changed" and fs.read("a/hard") == b"n" * 5000
        )
        assert fs.stat("new").nlink == 2 and fs.stat("new").ino == fs.stat("a/hard").ino
        assert fs.stat("disk").device == (8, 3000)
        top = fs.stat("top")
        assert (top.mode, top.uid, top.gid) == (0o600, 7, 8) and fs.xattrs("top") == {b"user.k": b"v"}
        assert fs.status.state == "settled"


def test_errors_name_the_path(flash):
    tx = transaction(flash)
    for error, call in (
        (NotFound, lambda: tx.remove("nothing")),
        (NotFound, lambda: tx.put("no/where", b"")),
        (NotADirectory, lambda: tx.put("top/below", b"")),
        (Exists, lambda: tx.mkdir("a")),
        (Exists, lambda: tx.put("a", b"")),
        (NotEmpty, lambda: tx.remove("a")),
        (IsADirectory, lambda: tx.link("a", "again")),
        (Refused, lambda: tx.rename("a", "a/b/under")),
        (IsADirectory, lambda: tx.rename("top", "a/b")),
        (NotADirectory, lambda: tx.rename("c", "top")),
        (NotEmpty, lambda: tx.rename("a/b", "c")),
        (Refused, lambda: tx.remove("/")),
    ):
        with pytest.raises(error, match=r"\./?"):
            call()


def test_no_room_says_how_much_is_missing(flash):
    before = flash.read(0, flash.geometry.size)
    tx = transaction(flash)
    tx.put("big", bytes(range(256)) * 40 * KIB)
    tx._content = {digest: __import__("random").Random(1).randbytes(len(data)) for digest, data in tx._content.items()}
    with pytest.raises(NoSpace, match=r"needs \d+ erased blocks .* reserve is \d+, .* \d+ are missing"):
        tx.commit()
    assert flash.read(0, flash.geometry.size) == before


def test_blocks_that_an_upgrade_leaves_dead_are_erased(flash):
    for number in range(2):
        tx = transaction(flash)
        tx.put("a/large", noise(number, 3 * flash.geometry.erase_size))
        tx.commit()
    with FileSystem(flash) as fs:
        assert fs.space.dirty == 0


def test_a_source_that_fails_while_it_is_staged_leaves_nothing_behind(flash):
    before, runs = tree_of(flash), []
    tx = transaction(flash)
    tx.put("a/new", noise(1, 12_000))
    tx.put("a/newer", noise(2, 12_000))
    whole = tx._chunks

    def chunks(entry):
        runs.append(entry.path)
        if len(runs) == 4:  # two files are read to prove the plan, then both again
            raise SourceError("has changed meanwhile", path=entry.path)
        return whole(entry)

    with mock.patch.object(Transaction, "_chunks", lambda _, entry: chunks(entry)), pytest.raises(SourceError):
        tx.commit()
    assert tree_of(flash) == before
    with FileSystem(flash) as fs:
        assert fs.status.state == "none" and fs.space.dirty == 0


def test_a_strategy_that_does_not_suit_is_refused(flash):
    kind = flash.geometry.kind
    tx = transaction(flash, strategy="lift" if kind == "nor" else "flip")
    tx.put("top", b"x")
    with pytest.raises(StrategyError):
        tx.commit()


def test_a_directory_moves_with_all_below_it(flash):
    tx = transaction(flash)
    tx.rename("a", "c/moved")
    tx.put("c/moved/one", b"and changed")
    tx.remove("c/moved/l")
    tx.commit()
    with FileSystem(flash) as fs:
        assert fs.list("/") == [b"c", b"top"] and fs.list("c/moved") == [b"b", b"one", b"two"]
        assert fs.read("c/moved/one") == b"and changed"


def test_a_name_moves_over_another(flash):
    """As in rename(2), which does nothing where both are names of one file."""
    tx = transaction(flash)
    tx.rename("top", "a/one")
    tx.link("a/two", "again")
    tx.rename("again", "a/two")
    tx.mkdir("empty")
    tx.rename("c", "empty")
    tx.commit()
    with FileSystem(flash) as fs:
        assert fs.list("/") == [b"a", b"again", b"empty"] and fs.list("empty") == [b"dev", b"fifo"]
        assert fs.read("a/one") == b"top" and fs.stat("again").ino == fs.stat("a/two").ino


def test_directories_change_places(flash):
    tx = transaction(flash)
    tx.rename("a", "swap")
    tx.rename("c", "a")
    tx.rename("swap", "a/inside")
    tx.commit()
    with FileSystem(flash) as fs:
        assert fs.list("a") == [b"dev", b"fifo", b"inside"] and b"one" in fs.list("a/inside")


def test_a_view_that_is_out_of_date_is_refused(flash):
    late = transaction(flash)
    early = transaction(flash)
    early.remove("top")
    early.commit()
    late.put("a/new", b"x")
    with pytest.raises(Refused, match="changed meanwhile"):
        late.commit()


# ---- any changes, several transactions in a row ----------------------------------------------------------------------

NAMES = ["a", "b", "c", "top", "a/one", "a/b", "a/l", "c/dev", "c/x", "a/b/y", "n" * 200]
OPERATIONS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES), st.integers(0, 3), st.sampled_from([0, 1, 4096, 9000])),
    st.tuples(st.just("mkdir"), st.sampled_from(NAMES)),
    st.tuples(st.just("symlink"), st.sampled_from(NAMES), st.sampled_from(["t", "x" * 254])),
    st.tuples(st.just("mknod"), st.sampled_from(NAMES)),
    st.tuples(st.just("link"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("chmod"), st.sampled_from(NAMES), st.sampled_from([0o600, 0o755])),
    st.tuples(st.just("setxattr"), st.sampled_from(NAMES), st.sampled_from([b"1", b"v" * 300])),
    st.tuples(st.just("utime"), st.sampled_from(["", *NAMES]), st.sampled_from([0, 77, 1 << 31])),
)


def perform(tx, operation):
    what, path, *rest = operation
    if what == "put":
        tx.put(path, content_of(*rest))
    elif what == "mknod":
        tx.mknod(path, "block", (3, 4))
    elif what == "remove":
        tx.remove(path, recursive=True)
    elif what == "setxattr":
        tx.setxattr(path, b"user.t", rest[0])
    else:
        getattr(tx, what)(path, *rest)


def expected(tx):
    groups = {}
    for path, node in tx._wanted.items():
        groups.setdefault(node.entry.inode, []).append(path)
    hashes = old_tree(tx.fs)
    result = {}
    for path, node in tx._wanted.items():
        e = node.entry
        digest = None
        if e.type == "file":
            digest = e.sha256 if node.keep is None else hashes.sha256(node.keep)
        names = tuple(sorted(groups[e.inode])) if e.inode is not None and len(groups[e.inode]) > 1 else None
        xattrs = tuple(sorted(e.xattrs.items()))
        result[path] = (e.type, e.mode, e.uid, e.gid, e.time, e.size, e.link, e.device, xattrs, digest, names)
    return result


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("name", GEOMETRIES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rounds=st.lists(st.lists(OPERATIONS, max_size=8), min_size=1, max_size=4))
def test_any_changes_in_any_order(name, endian, rounds):
    with fresh(GEOMETRIES[name], endian) as flash:
        for number, operations in enumerate(rounds):
            with FileSystem(flash) as fs:
                tx = Transaction(flash, fs, time=1000 + number, readers=named(READERS))
                for operation in operations:
                    try:
                        perform(tx, operation)
                    except (Refused, OSError):
                        continue
                want = expected(tx)
                tx.commit()
            assert tree_of(flash) == want
            assert recover(flash).did_nothing
