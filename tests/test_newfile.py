"""What a command writes appears whole or not at all, and takes nothing else with it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from jffs2tx.cli import main
from jffs2tx.errors import Refused
from jffs2tx.newfile import new_file

from .images import needs_root


def write(path, data, **options):
    with new_file(path, **options) as file:
        file.write(data)


def test_a_link_stays_and_the_mode_too(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to("target")
    write(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new" and target.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), new_file(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["f"]


def test_it_is_whole_before_it_takes_its_place(tmp_path, monkeypatch):
    seen, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda part, path: seen.append(part.read_bytes()) or replace(part, path))
    write(tmp_path / "f", b"new")
    assert seen == [b"new"]


def test_a_file_beside_it_is_not_ours(tmp_path):
    (tmp_path / "f.part").write_bytes(b"mine")
    write(tmp_path / "f", b"new")
    assert (tmp_path / "f.part").read_bytes() == b"mine" and (tmp_path / "f").read_bytes() == b"new"


def test_the_longest_name(tmp_path):
    write(tmp_path / ("n" * 255), b"x")
    assert os.listdir(tmp_path) == ["n" * 255]


def test_a_pipe_is_written_to_as_a_stream_or_refused(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(Refused, match="no regular file"):
        write(pipe, b"x")
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write(pipe, b"streamed", streams=True)
    reader.join()
    assert read == [b"streamed"] and pipe.is_fifo()


def test_a_directory_is_refused(tmp_path):
    for streams in (False, True):
        with pytest.raises(Refused, match="no regular file"):
            write(tmp_path, b"x", streams=streams)


@pytest.mark.parametrize("erase_size", ["128MiB", "4GiB"])
def test_no_image_of_eraseblocks_that_no_flash_has(tmp_path, erase_size, capsys):
    image = tmp_path / "image"
    (tmp_path / "tree").mkdir()
    assert main(["mkfs", str(tmp_path / "tree"), "-o", str(image), "--erase-size", erase_size, "-q"]) == 1
    assert "larger than that of any flash" in capsys.readouterr().err and not image.exists()


# ---- owners and modes ------------------------------------------------------------------------------------------------

NOBODY = 65534


@contextmanager
def nobody():
    """As an ordinary user, for the file system at least."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def seen(path):
    status = path.stat()
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def watch(path, data=b"new"):
    """How the unfinished file is seen at its first byte, and just before it takes its place; how the new one is."""
    replace, states = Path.replace, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", lambda part, place: states.append(seen(part)) or replace(part, place))
        with new_file(path) as file:
            states.append(seen(next(path.parent.glob("*.part"))))
            file.write(data)
    return [*states, seen(path)]


@needs_root
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o4755, 0o400, 0o666])
def test_owner_and_mode_stay(tmp_path, mode):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    os.chown(path, 1234, 1235)
    path.chmod(mode)
    assert watch(path) == [(0o600, 0, 0), (mode, 1234, 1235), (mode, 1234, 1235)]


def test_a_new_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        assert [mode for mode, *_ in watch(tmp_path / "f")] == [0o600, 0o640, 0o640]
    finally:
        os.umask(before)


@needs_root
def test_who_may_not_keep_the_owner_widens_nothing():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = Path(folder) / "f"
        path.write_bytes(b"old")
        os.chown(path, 1234, 1235)
        path.chmod(0o6775)
        with nobody():
            states = watch(path)
    assert states == [(0o600, NOBODY, NOBODY), (0o705, NOBODY, NOBODY), (0o705, NOBODY, NOBODY)]


# ---- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", ">(cat)", "fifo", "link"])
def test_outputs_that_are_streams(tmp_path, output):
    """What the shell wrote before stays; a pipe, a file and a FIFO get the same bytes."""
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    command = f"{sys.executable} -m jffs2tx.cli manifest -q {source}"
    plain = subprocess.run(["bash", "-c", command], capture_output=True, check=True, cwd=tmp_path).stdout
    reader = "cat fifo & " if output in ("fifo", "link") else ""
    script = f"echo before; {reader}{command} -o {output}; status=$?; wait; sleep 0.1; exit $status"
    for redirect in ("| cat; exit ${PIPESTATUS[0]}", "> file; status=$?; cat file; exit $status"):
        done = subprocess.run(["bash", "-c", f"({script}) {redirect}"], capture_output=True, check=False, cwd=tmp_path)
        assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"before\n" + plain), redirect
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_no_unfinished_file(tmp_path, number):
    source, image = tmp_path / "source", tmp_path / "image"
    source.mkdir()
    for name in range(40):
        (source / str(name)).write_bytes(os.urandom(1 << 20))
    image.write_bytes(b"old")
    command = [sys.executable, "-m", "jffs2tx.cli", "mkfs", "-q", source, "-o", image, "--erase-size", "64k"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(".*.part")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(number)
    said = process.communicate()[1]
    assert process.returncode == 128 + number and len(said.splitlines()) == 1
    assert image.read_bytes() == b"old" and sorted(os.listdir(tmp_path)) == ["image", "source"]
