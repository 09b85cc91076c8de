"""The reading commands from their arguments to their output, through click."""

import json
import os

import pytest
from click.testing import CliRunner

from jffs2tx.cli import cli, main
from jffs2tx.manifest import Manifest

from .images import KIB, MODE, block, dirent, inode, medium_of, needs_mkfs


@pytest.fixture
def run():
    """Runs one command that must succeed; what stands on stdout."""

    def invoke(*arguments, status=0):
        result = CliRunner().invoke(cli, [*map(str, arguments)])
        assert result.exit_code == status, (result.output, result.exception)
        return result.stdout_bytes

    return invoke


@pytest.fixture
def damaged(tmp_path):
    """An image with one good and one bad file."""
    bad = bytearray(inode(2, 1, b"bad"))
    bad[-1] ^= 1
    path = tmp_path / "damaged"
    path.write_bytes(medium_of(block(dirent(b"bad", 2, 1), bytes(bad), dirent(b"good", 3, 2), inode(3, 1, b"good"))))
    return path


@needs_mkfs
def test_status(run, made):
    facts = json.loads(run("status", made("big"), "--json"))
    assert facts["geometry"]["kind"] == "nor"
    assert facts["geometry"]["erase_size_bytes"] == 64 * KIB
    assert facts["endian"] == "big"
    assert facts["transaction"] == {"state": "none", "txid": None, "strategy": None}
    assert facts["guesses"][0].startswith("device size")
    text = run("status", made("big")).decode()
    assert "erase size: 64.0 KiB" in text
    assert "state: none" in text


@needs_mkfs
def test_dump(run, made):
    records = [json.loads(line) for line in run("dump", made("little"), "--json").splitlines()]
    lines = run("dump", made("little")).decode().splitlines()
    assert len(records) == len(lines) > 50
    assert lines[0].split() == ["0x00000000", "12", "cleanmarker", "good"]
    assert not any("_crc=" in line for line in lines)
    assert any(line.endswith("name=passwd needed=yes") for line in lines)


def test_dump_shows_a_crc_that_is_wrong(run, damaged):
    line = next(line for line in run("dump", damaged).decode().splitlines() if "bad-data" in line)
    assert "data_crc=0x" in line
    assert "node_crc" not in line
    assert line.endswith("wrong=data_crc")


@needs_mkfs
def test_ls_and_cat(run, made, tree):
    image = made("summary")
    assert run("ls", image, "/etc").decode().split() == ["/etc/deep", "/etc/passwd"]
    assert b"/bin/relative -> ../etc/passwd" in run("ls", image, "-lR")
    facts = [json.loads(line) for line in run("ls", image, "bin", "--json").splitlines()]
    assert [entry["path"] for entry in facts] == ["./bin/noise", "./bin/relative", "./bin/text"]
    assert facts[1]["link"] == "../etc/passwd"
    assert run("cat", image, "bin/noise") == (tree / "bin/noise").read_bytes()


@needs_mkfs
def test_extract(run, made, tree, tmp_path):
    run("extract", made("little"), "-o", tmp_path / "out", "-q")
    assert (tmp_path / "out/bin/text").read_bytes() == (tree / "bin/text").read_bytes()
    if os.geteuid() == 0:
        assert Manifest.from_directory(tmp_path / "out") == Manifest.from_directory(tree)


@needs_mkfs
def test_check_of_what_is_clean(run, made):
    facts = json.loads(run("check", made("nand"), "--page-size", 512, "--json", "-q"))
    assert facts["problems"] == []


def test_check_and_extract_of_what_is_damaged(run, damaged, tmp_path):
    facts = json.loads(run("check", damaged, "--json", "-q", status=1))
    assert [problem["kind"] for problem in facts["problems"]] == ["bad-data", "no-inode"]
    assert "/bad" in run("check", damaged, status=1).decode()
    run("extract", damaged, "-o", tmp_path / "out", status=1)
    assert (tmp_path / "out/good").read_bytes() == b"good"


def test_ls_and_cat_of_what_is_damaged(damaged, capsys):
    assert main(["ls", str(damaged), "--erase-size", "64KiB"]) == 1
    out, err = capsys.readouterr()
    assert out == "/good\n"
    assert err.startswith("jffs2tx: /bad: ")
    assert main(["cat", str(damaged), "bad"]) == 1
    assert "bad" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "options", "status", "sentence"),
    [
        (b"no file system " * 1000, [], 1, "is no JFFS2 image"),
        (b"", [], 1, "is empty"),
        (medium_of(), ["--erase-size", "128k"], 1, "wrong erase size 128 KiB"),
        (medium_of(), ["--endian", "big"], 1, "is a little-endian image"),
        (medium_of(), ["--device-size", "64k"], 1, "is smaller than the image"),
    ],
)
@pytest.mark.parametrize("command", ["status", "recover", "check"])
def test_a_target_that_is_refused_stays_as_it_was(tmp_path, capsys, command, content, options, status, sentence):
    path = tmp_path / "image"
    path.write_bytes(content)
    unreadable = command == "check" and (not options or "--endian" in options)  # its own status for "no file system"
    assert main([command, str(path), *options]) == (3 if unreadable else status)
    err = capsys.readouterr().err
    assert err.startswith(f"jffs2tx: {path}: ")
    assert sentence in err
    assert path.read_bytes() == content


def test_a_missing_target(tmp_path, capsys):
    assert main(["status", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"jffs2tx: {tmp_path}/none: no such file or directory\n"


def test_recover_of_what_needs_none(run, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(medium_of(block(dirent(b"f", 2, 1), inode(2, 1, b"x"))))
    before = path.read_bytes()
    facts = json.loads(run("recover", path, "--json"))
    assert facts == {"state_before": "none", "state": "none", "blocks_erased": 0, "nodes_moved": 0, "bits_cleared": 0}
    assert path.read_bytes() == before


def test_no_terminal_escape_of_a_name_gets_out(tmp_path, capsys):
    """Neither of the medium's names nor of the host's; names that are no UTF-8 show as escapes."""
    name = b"\x1b]0;title\x07\xff\xc3\xa9\n"
    link = inode(3, 1, b"\x1b[2J", mode=MODE["link"])
    nodes = [dirent(name, 2, 1), inode(2, 1, b"x"), dirent(b"link", 3, 2, kind="link"), link]
    path = tmp_path / "a\x1b[31mb"
    path.write_bytes(medium_of(block(*nodes)))
    for words in (["ls", "-l"], ["ls", "--json"], ["dump"], ["dump", "--json"], ["check"], ["status"]):
        assert main([words[0], str(path), *words[1:]]) in (0, 1)
    main(["cat", str(path), "/no\x1b[1m"])
    main(["ls", str(path) + "\x1b[1m"])
    out, err = capsys.readouterr()
    assert not {"\x1b", "\x07"} & {*out, *err}
    assert "\\x1b]0;title\\x07\\xffé\\n" in out
