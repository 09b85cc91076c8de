import hashlib
import os

import pytest

from jffs2tx.errors import Jffs2txError, NotADirectory, NotFound, SourceError
from jffs2tx.manifest import Entry
from jffs2tx.source import Source

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
