import hashlib
import os
import shutil
from contextlib import contextmanager

import pytest

from jffs2tx.errors import Jffs2txError, NotADirectory, NotFound, SourceError
from jffs2tx.manifest import Entry
from jffs2tx.source import Source

from .images import needs_root

CONTENT = bytes(range(256)) * 40


def file_entry(path: bytes, content: bytes = CONTENT) -> Entry:
    sha256 = hashlib.sha256(content).hexdigest()
    return Entry(path, "file", 0o644, 0, 0, 0, size=len(content), sha256=sha256)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(CONTENT)
    return root


def test_content_comes_in_whole_chunks(tree):
    with Source(tree) as source:
        chunks = list(source.open(file_entry(b"a/b/file"), chunk_bytes=4096))
    assert [len(chunk) for chunk in chunks] == [4096, 4096, 2048]
    assert b"".join(chunks) == CONTENT


def test_an_empty_file_has_no_chunk(tree):
    (tree / "empty").write_bytes(b"")
    with Source(tree) as source:
        assert list(source.open(file_entry(b"empty", b""))) == []


def refuse(tree, entry, message):
    before = len(os.listdir("/proc/self/fd"))
    with Source(tree) as source, pytest.raises(SourceError, match=message) as caught:
        list(source.open(entry))
    assert caught.value.path == "./" + entry.path.decode()
    assert caught.value.exit_status == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_missing_file_is_refused(tree):
    refuse(tree, file_entry(b"a/b/none"), "is missing")
    refuse(tree, file_entry(b"a/none/file"), "is missing")
    refuse(tree, file_entry(b"a/b/file/file"), "is missing")


def test_another_size_is_refused(tree):
    refuse(tree, file_entry(b"a/b/file", CONTENT[:-1]), "has 10240 bytes, not 10239")
    refuse(tree, file_entry(b"a/b/file", CONTENT + b"x"), "has 10240 bytes, not 10241")


def test_another_content_is_refused(tree):
    refuse(tree, file_entry(b"a/b/file", CONTENT[::-1]), "sha256 differs")


def test_a_file_that_grows_or_shrinks_meanwhile_is_refused(tree):
    path = tree / "a" / "b" / "file"
    for change in (lambda: path.write_bytes(CONTENT + b"x"), lambda: os.truncate(path, 5000)):
        path.write_bytes(CONTENT)
        with Source(tree) as source:
            chunks = source.open(file_entry(b"a/b/file"), chunk_bytes=4096)
            next(chunks)
            change()
            with pytest.raises(SourceError, match="is not of the 10240 bytes"):
                list(chunks)


@pytest.mark.parametrize("path", [b"dir", b"pipe", b"link"])
def test_what_is_no_regular_file_is_refused(tree, path):
    (tree / "dir").mkdir()
    os.mkfifo(tree / "pipe")
    (tree / "link").symlink_to("a/b/file")
    refuse(tree, file_entry(path), "no regular file|symbolic link")


def test_no_symbolic_link_leads_outside(tree, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(CONTENT)
    (tree / "way").symlink_to(tmp_path / "outside")
    refuse(tree, file_entry(b"way/file"), "no directory")


def test_a_source_must_be_a_directory(tree):
    with pytest.raises(NotFound) as caught:
        Source(tree / "none")
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(NotADirectory):
        Source(tree / "a" / "b" / "file")
    assert issubclass(NotFound, Jffs2txError)


# ---- what is swapped meanwhile ---------------------------------------------------------------------------------------

SECRET = b"secret"
CALLS = ("open", "stat", "lstat", "fstat", "scandir", "listdir", "readlink", "listxattr", "getxattr", "read")


class Swapper:
    """At the n-th call of os that looks at files, the entry `name` of the source gives way to a symbolic link that goes
    outside.
    """

    def __init__(self, root, outside, name, n):
        self.root, self.outside, self.name, self.n, self.calls = root, outside, name, n, 0

    def wrap(self, function):
        def call(*arguments, **options):
            if self.calls == self.n:
                os.rename(self.root / self.name, self.root.parent / "aside")
                os.symlink(self.outside / self.name, self.root / self.name)
            self.calls += 1
            return function(*arguments, **options)

        return call


@contextmanager
def watched(swapper):
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, swapper.wrap(getattr(os, name)))
        yield


def make_swap_tree(folder):
    """A source, and beside it what must not be read: of the same names and sizes, with other content and attributes."""
    shutil.rmtree(folder, ignore_errors=True)
    for root, content in ((folder / "root", b"inside"), (folder / "outside", SECRET)):
        for path in ("c", f"d/{content.decode()}"):
            (root / path).mkdir(parents=True)
        for path in ("f", "c/g"):
            (root / path).write_bytes(content)
        for path in ("f", "d", f"d/{content.decode()}"):  # no file in d: one that is missing would end it too soon
            os.setxattr(root / path, "user.a", content)
        os.symlink(content, root / "d" / "l")
    return folder / "root", folder / "outside"


@pytest.mark.parametrize("name", ["c", "d", "f"])
def test_nothing_outside_is_read_whatever_is_swapped(tmp_path, name):
    """At every call: names, content, link targets, attributes."""
    n, swapped, whole = 0, 0, 0
    while True:
        root, outside = make_swap_tree(tmp_path / "trees")
        hidden = hashlib.sha256(SECRET).hexdigest()
        with Source(root) as source:
            swapper = Swapper(root, outside, name, n)
            try:
                with watched(swapper):
                    manifest = source.manifest()
            except SourceError:
                manifest = ()
            whole += bool(manifest)
            for entry in manifest:
                assert SECRET not in entry.path and SECRET not in entry.xattrs.values(), (n, entry)
                assert entry.sha256 != hidden and entry.link != SECRET, (n, entry)
        if swapper.calls <= n:
            break
        swapped += 1
        n += 1
    assert swapped > 20 and whole > 0


def test_no_content_from_outside_whatever_is_swapped(tmp_path):
    for name, path in (("c", b"c/g"), ("f", b"f")):
        for n in range(8):
            root, outside = make_swap_tree(tmp_path / "trees")
            with Source(root) as source, watched(Swapper(root, outside, name, n)), pytest.raises(SourceError):
                list(source.open(file_entry(path, SECRET)))


@needs_root
def test_attributes_of_a_link_are_its_own(tree):
    (tree / "l").symlink_to("a")
    os.setxattr(tree / "l", "trusted.t", b"link", follow_symlinks=False)
    os.setxattr(tree / "a", "trusted.t", b"directory")
    with Source(tree) as source:
        found = {entry.path: entry.xattrs for entry in source.manifest()}
    assert found[b"l"] == {b"trusted.t": b"link"} and found[b"a"] == {b"trusted.t": b"directory"}
