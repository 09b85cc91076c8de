"""What a command writes appears whole or not at all, and takes nothing else with it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from jffs2tx.cli import main
from jffs2tx.errors import Refused
from jffs2tx.newfile import new_file


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
