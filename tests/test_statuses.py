"""README's table of exit statuses, one by one."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import jffs2tx
from jffs2tx import upgrade
from jffs2tx.cli import main
from jffs2tx.errors import HostError, MediumError
from jffs2tx.outcome import Tree
from jffs2tx.staging import Run

README = Path(__file__).resolve().parent.parent / "README.md"
SIGNALS = {129: signal.SIGHUP, 130: signal.SIGINT, 143: signal.SIGTERM}


@pytest.fixture
def arguments(tmp_path):
    """Target, manifest and source of a small upgrade."""
    for number in (1, 2):
        (tmp_path / f"tree{number}").mkdir()
        (tmp_path / f"tree{number}" / "file").write_bytes(b"%d" % number)
    image, manifest, new = (str(tmp_path / name) for name in ("image", "manifest", "tree2"))
    assert main(["mkfs", str(tmp_path / "tree1"), "-o", image, "--erase-size", "16k", "--size", "256k", "-q"]) == 0
    assert main(["manifest", new, "-o", manifest, "-q"]) == 0
    return [image, manifest, "--from", new, "-q"]


def content(image):
    with jffs2tx.open(image) as fs:
        return fs.read("/file")


def said(capsys):
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_0_done(arguments):
    assert main(["apply", *arguments]) == 0
    assert content(arguments[0]) == b"2"


def test_1_refused(arguments):
    assert main(["apply", *arguments, "--strategy", "lift"]) == 1
    assert content(arguments[0]) == b"1"


def test_2_wrong_usage(arguments):
    assert main(["apply", *arguments, "--strategy", "none"]) == 2


def test_3_nothing_can_be_read(tmp_path):
    (tmp_path / "noise").write_bytes(os.urandom(1 << 18))
    assert main(["check", str(tmp_path / "noise")]) == 3


def test_3_the_tree_after_a_commit_could_not_be_read(arguments, monkeypatch, capsys):
    def fail(run):
        raise MediumError("the medium could not be read")

    monkeypatch.setattr(Run, "commit", fail)
    monkeypatch.setattr(Run, "tree", Tree.UNKNOWN)
    assert main(["apply", *arguments]) == 3
    assert said(capsys).endswith(Tree.UNKNOWN.value)


@pytest.mark.parametrize("error", [HostError("the disk is full"), KeyboardInterrupt()])
def test_4_the_new_tree_is_there_but_not_all_is_finished(arguments, monkeypatch, capsys, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(upgrade, "tidy", fail)
    assert main(["apply", *arguments]) == 4
    assert Tree.NEW.value in said(capsys)
    assert content(arguments[0]) == b"2"
    monkeypatch.undo()
    assert main(["recover", arguments[0], "-q"]) == 0


def test_4_the_report_cannot_be_printed(arguments):
    command = [sys.executable, "-m", "jffs2tx", "apply", *arguments[:-1]]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4 and done.stderr.splitlines()[-1].endswith("; the new tree is in place")
    assert content(arguments[0]) == b"2"


@pytest.mark.parametrize("status", SIGNALS)
def test_signals(arguments, status, tmp_path):
    """While a source is read that never ends."""
    with open(arguments[1], "r+b") as manifest, open(tmp_path / "tree2" / "file", "wb") as file:
        text = manifest.read().replace(b"size=1", b"size=2147483647")
        manifest.seek(0)
        manifest.write(text)
        file.truncate(2147483647)
    process = subprocess.Popen(
        [sys.executable, "-m", "jffs2tx", "apply", *arguments[:-1]], stderr=subprocess.PIPE, text=True
    )
    time.sleep(1.5)
    process.send_signal(SIGNALS[status])
    assert process.communicate()[1].splitlines()[-1] in (
        "jffs2tx: interrupted",
        f"jffs2tx: ended by {SIGNALS[status].name}",
    )
    assert process.returncode == status
    assert content(arguments[0]) == b"1"


def test_141_the_reader_has_gone(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "jffs2tx", "ls", arguments[0]]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "jffs2tx: standard output: broken pipe\n")


def test_the_table_has_these_and_no_others():
    table = README.read_text().split("### Exit status")[1].split("\n\n")[1]
    shown = re.findall(r"\d+", " ".join(row.split("|")[1] for row in table.splitlines()))
    tested = set(map(str, SIGNALS)) | {match for name in globals() for match in re.findall(r"^test_(\d+)_", name)}
    assert set(shown) == tested and len(shown) == len(tested)
