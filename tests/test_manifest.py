import hashlib
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jffs2tx.errors import Jffs2txError, ManifestError
from jffs2tx.manifest import HEADER, MAJOR_MAX, MINOR_MAX, Entry, Manifest, escape, escape_path, unescape

FIXTURES = Path(__file__).parent.parent / "fixtures" / "manifests"
BAD = sorted(FIXTURES.glob("should-fail-*.txt"))
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


def entry(path: bytes, kind: str = "dir", **fields) -> Entry:
    values = {"mode": 0o755, "uid": 0, "gid": 0, "time": 0} | fields
    if kind == "file":
        values.setdefault("sha256", EMPTY_SHA256)
    return Entry(path, kind, **values)


# ---- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem.removeprefix("should-fail-"))
def test_bad_manifest_is_refused_with_its_line(path):
    data = path.read_bytes()
    expected = next(line for line in data.split(b"\n") if line.startswith(b"# expect: "))[10:].decode()
    with pytest.raises(ManifestError) as caught:
        Manifest.parse(data)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 1


def test_the_bad_manifests_are_all_there():
    assert len(BAD) >= 60


def test_every_type_round_trips_byte_for_byte():
    data = (FIXTURES / "every-type.txt").read_bytes()
    manifest = Manifest.parse(data)
    comment = data.split(b"\n")[1]
    assert manifest.to_text() == data.replace(comment + b"\n", b"")
    by_path = {e.path: e for e in manifest}
    assert {e.type for e in manifest} == {"file", "dir", "link", "char", "block", "fifo", "socket"}
    assert by_path[b"link"].link == b"../to a\\b/\xc3\xa4"
    assert by_path[b"dir/root"].device == (4095, 1048575)
    assert by_path[b"a-b"].xattrs == {b"security.capability": b"\1\0\0\2", b"user.empty": b"", b"user.k=v": b"a"}
    assert by_path[b"hard"].inode == by_path[b"dir/hard"].inode == 1
    assert b"with space\nand\xffbytes" in by_path


def test_keywords_may_stand_in_any_order_and_a_whole_second_may_show_a_zero_fraction():
    line = b". time=7.000000000 gid=2 uid=1 mode=755 type=dir"
    assert Manifest.parse(HEADER + b"\n\n# comment\n" + line + b"\n").entries == (entry(b"", uid=1, gid=2, time=7),)


def test_text_and_bytes_are_the_same():
    text = Manifest([entry(b""), entry(b"a")]).to_text()
    assert Manifest.parse(text.decode()) == Manifest.parse(text)


# ---- entries ---------------------------------------------------------------------------------------------------------


def test_entries_are_sorted_and_link_groups_renumbered():
    names = [(b"z", 9), (b"b", 9), (b"a", 700), (b"c", 700), (b"single", 3)]
    manifest = Manifest([entry(path, "file", inode=inode) for path, inode in names] + [entry(b"")])
    assert [(e.path, e.inode) for e in manifest] == [
        (b"", None), (b"a", 1), (b"b", 2), (b"c", 1), (b"single", None), (b"z", 2),
    ]  # fmt: skip


def test_the_order_is_that_of_sort_in_the_c_locale():
    names = [b"a", b"a/b", b"a-b", b"a b", b"a!", b"\xff", b"~"]
    kinds = ["dir", "file", "file", "file", "file", "file", "file"]
    manifest = Manifest([entry(b""), *map(entry, names, kinds)])
    lines = manifest.to_text().splitlines()
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry(b"a", "file", sha256=None), "sha256"),
        (entry(b"a", "char"), "numbers"),
        (entry(b"a", "link"), "target is empty"),
        (entry(b"a", "door"), "unknown type"),
        (entry(b"a/b"), "parent directory is missing"),
        (entry(b"a", xattrs={b"user.a": b"x" * 65536}), "65535"),
    ],
)
def test_an_entry_that_jffs2_cannot_hold_is_refused(bad, message):
    with pytest.raises(ManifestError, match=message) as caught:
        Manifest([entry(b""), bad])
    assert caught.value.path == escape_path(bad.path).decode()
    assert caught.value.line is None


names = st.binary(min_size=1, max_size=30).filter(lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b".."))
no_zero = st.binary(min_size=1, max_size=40).filter(lambda n: b"\0" not in n)
xattrs = st.dictionaries(
    st.builds(bytes.__add__, st.sampled_from([b"user.", b"trusted.", b"security."]), no_zero), st.binary(max_size=20)
)


@st.composite
def leaves(draw, path: bytes) -> Entry:
    kind = draw(st.sampled_from(["file", "dir", "link", "char", "block", "fifo", "socket"]))
    fields = {
        "mode": draw(st.integers(0, 0o7777)),
        "uid": draw(st.integers(0, 65535)),
        "gid": draw(st.integers(0, 65535)),
        "time": draw(st.integers(0, 2**32 - 1)),
        "xattrs": draw(xattrs),
    }
    if kind == "file":
        fields |= {"size": draw(st.integers(0, 2**31 - 1)), "sha256": draw(st.binary(min_size=32, max_size=32)).hex()}
    if kind == "link":
        fields["link"] = draw(no_zero)
    if kind in ("char", "block"):
        fields["device"] = (draw(st.integers(0, MAJOR_MAX)), draw(st.integers(0, MINOR_MAX)))
    return Entry(path, kind, **fields)


@st.composite
def trees(draw) -> list[Entry]:
    entries = {b"": entry(b"")}
    for name in draw(st.lists(names, max_size=8)):
        directories = sorted(path for path, e in entries.items() if e.type == "dir")
        parent = draw(st.sampled_from(directories))
        path = parent + b"/" + name if parent else name
        if path not in entries:
            entries[path] = draw(leaves(path))
    return list(entries.values())


@given(trees())
@settings(max_examples=200, deadline=None)
def test_every_tree_round_trips(entries):
    manifest = Manifest(entries)
    text = manifest.to_text()
    parsed = Manifest.parse(text)
    assert parsed == manifest
    assert parsed.to_text() == text
    assert sorted(e.path for e in parsed) == sorted(e.path for e in entries)
    assert all(byte == 0x0A or 0x20 <= byte <= 0x7E for byte in text)


@given(st.binary(max_size=60), st.sampled_from([b"", b"="]))
def test_escapes_round_trip(data, also):
    assert unescape(escape(data, also)) == data


@given(st.binary(max_size=300), st.integers(0, 2**16))
@settings(max_examples=300, deadline=None)
def test_damaged_text_raises_nothing_else(junk, at):
    text = (FIXTURES / "every-type.txt").read_bytes()
    at %= len(text)
    for data in (text[:at] + junk + text[at + len(junk) :], HEADER + b"\n" + junk, junk):
        try:
            manifest = Manifest.parse(data)
        except Jffs2txError:
            continue
        assert Manifest.parse(manifest.to_text()) == manifest


# ---- directories -----------------------------------------------------------------------------------------------------


def test_a_directory_is_taken_as_it_is(tmp_path, monkeypatch):
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_bytes(b"hello")
    (root / "sub" / "file").chmod(0o4750)
    os.utime(root / "sub" / "file", ns=(0, 1_700_000_000_999_999_999))
    os.link(root / "sub" / "file", root / "hard")
    os.link(root / "sub" / "file", tmp_path / "outside")
    (root / "link").symlink_to("/nowhere")
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    by_path = {e.path: e for e in Manifest.from_directory(root)}
    file = by_path[b"sub/file"]
    assert (file.mode, file.size, file.time, file.inode) == (0o4750, 5, 1_700_000_000, 1)
    assert file.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert (file.uid, file.gid) == (os.getuid(), os.getgid())
    assert by_path[b"hard"].inode == 1
    assert by_path[b"link"].link == b"/nowhere"
    assert [by_path[p].type for p in (b"", b"sub", b"pipe", b"socket")] == ["dir", "dir", "fifo", "socket"]


def test_a_name_linked_only_outside_the_tree_is_no_group(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"")
    os.link(tmp_path / "tree" / "a", tmp_path / "outside")
    assert [e.inode for e in Manifest.from_directory(tmp_path / "tree")] == [None, None]


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes device nodes and gives files away")
def test_devices_and_owners(tmp_path):
    os.mknod(tmp_path / "null", 0o020666, os.makedev(1, 3))
    os.mknod(tmp_path / "disk", 0o060660, os.makedev(259, 70000))
    os.chown(tmp_path / "disk", 65535, 12)
    by_path = {e.path: e for e in Manifest.from_directory(tmp_path)}
    assert by_path[b"null"].device == (1, 3)
    assert (by_path[b"disk"].type, by_path[b"disk"].device) == ("block", (259, 70000))
    assert (by_path[b"disk"].uid, by_path[b"disk"].gid) == (65535, 12)
    os.chown(tmp_path / "disk", 65536, 12)
    with pytest.raises(ManifestError, match="disk: uid 65536"):
        Manifest.from_directory(tmp_path)


def test_attributes_come_along_but_for_those_that_jffs2_has_not(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "listxattr", lambda *_, **__: ["user.b", "btrfs.compression", "user.a", "system.other"])
    monkeypatch.setattr(os, "getxattr", lambda _, name, **__: os.fsencode(name)[-1:])
    (only,) = Manifest.from_directory(tmp_path)
    assert only.xattrs == {b"user.a": b"a", b"user.b": b"b"}


def test_progress_counts_bytes_once_for_each_inode(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 1000)
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").write_bytes(b"x" * 500)
    seen = []
    Manifest.from_directory(tmp_path, lambda *args: seen.append(args))
    assert seen[-1] == ("hash", 1500, 1500)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
