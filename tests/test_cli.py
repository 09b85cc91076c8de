import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from jffs2tx import __version__
from jffs2tx.cli import cli, main
from jffs2tx.errors import Corrupt, NoSpace
from jffs2tx.manifest import Entry, Manifest


class Fake:
    """Stands for jffs2tx.image and jffs2tx.ops: records how it is called and answers what it is told."""

    guesses = ("erase size 64 KiB",)

    def __init__(self):
        self.opened = None
        self.called = None
        self.answer = {"strategy": "swap", "written_bytes": 2048}

    @contextmanager
    def open_image(self, target, **options):
        self.opened = (target, options)
        yield self

    def operation(self, name):
        def call(*image, **options):
            assert image == ((self,) if name != "mkfs" else ())
            self.called = (name, options)
            if isinstance(self.answer, BaseException):
                raise self.answer
            return self.answer

        return call


@pytest.fixture
def fake(monkeypatch):
    import jffs2tx

    fake = Fake()
    image, ops = ModuleType("jffs2tx.image"), ModuleType("jffs2tx.ops")
    image.open_image = fake.open_image
    for name in ("plan", "apply", "recover", "status", "dump", "ls", "cat", "extract", "check", "mkfs", "archive"):
        setattr(ops, name, fake.operation(name))
    for name, module in (("image", image), ("ops", ops)):
        monkeypatch.setitem(sys.modules, f"jffs2tx.{name}", module)
        monkeypatch.setattr(jffs2tx, name, module, raising=False)
    return fake


@pytest.fixture
def upgrade(tmp_path):
    """The arguments of an upgrade: manifest and source."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"hello")
    manifest = tmp_path / "manifest"
    manifest.write_bytes(Manifest.from_directory(source).to_text())
    return [str(manifest), "--from", str(source)]


def sentence(capsys) -> str:
    """What stands on stderr: one line that starts with our name."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"jffs2tx: [^\n]+\n", captured.err), captured.err
    return captured.err[9:-1]


# ---- manifest --------------------------------------------------------------------------------------------------------


def test_manifest_goes_to_stdout_or_a_file(upgrade, tmp_path, capsysbinary):
    source = upgrade[-1]
    expected = Manifest.from_directory(source).to_text()
    assert main(["manifest", source, "--quiet"]) == 0
    assert capsysbinary.readouterr() == (expected, b"")
    assert main(["manifest", source, "-o", str(tmp_path / "out")]) == 0
    out, err = capsysbinary.readouterr()
    assert (out, err) == (b"", b"hash: 5 bytes of 5 bytes (100 %)\n")
    assert (tmp_path / "out").read_bytes() == expected
    assert main(["manifest", source, "-o", "-", "--quiet"]) == 0
    assert capsysbinary.readouterr() == (expected, b"")


def test_manifest_of_nothing(tmp_path, capsys):
    assert main(["manifest", str(tmp_path / "none")]) == 1
    assert sentence(capsys) == f"{tmp_path}/none: no such directory"


def test_manifest_to_nowhere(tmp_path, capsys):
    assert main(["manifest", "-q", str(tmp_path), "-o", str(tmp_path / "none" / "file")]) == 1
    assert sentence(capsys) == f"{tmp_path}/none/file: no such file or directory"


# ---- how the operations are called -----------------------------------------------------------------------------------

NO_MEDIUM = dict.fromkeys(("erase_size", "page_size", "oob_size", "device_size", "endian", "offset", "length"))


def test_plan(fake, upgrade, capsys):
    assert main(["plan", "image", *upgrade]) == 0
    name, options = fake.called
    assert name == "plan"
    assert options["manifest"] == Manifest.parse(Path(upgrade[0]).read_bytes())
    assert options["strategy"] == "auto"
    assert options["readers"] == ()
    assert fake.opened == ("image", {"writable": False, **NO_MEDIUM})
    out, err = capsys.readouterr()
    assert out == "strategy       swap\nwritten        2.0 KiB\n"
    assert err == "jffs2tx: guessed: erase size 64 KiB\n"


def test_apply_with_every_option(fake, upgrade, capsys):
    medium = ["--erase-size", "128KiB", "--page-size", "2048", "--oob-size", "64", "--device-size", "0x4000000"]
    medium += ["--endian", "big", "--offset", "1MiB", "--length", "64MiB"]
    choice = ["--strategy", "seal", "--reader", "linux-summary", "--reader", "u-boot-summary"]
    assert main(["apply", "image", *upgrade, *medium, *choice, "--json", "--quiet"]) == 0
    name, options = fake.called
    assert name == "apply"
    assert options["strategy"] == "seal"
    assert options["readers"] == ("linux-summary", "u-boot-summary")
    assert options["progress"] is None
    sizes = {"erase_size": 131072, "page_size": 2048, "oob_size": 64, "device_size": 64 << 20, "endian": "big"}
    sizes |= {"offset": 1 << 20, "length": 64 << 20}
    assert fake.opened == ("image", {"writable": True, **sizes})
    assert json.loads(capsys.readouterr().out) == fake.answer


def test_recover_writes_and_the_rest_does_not(fake, capsys):
    for command, writable in (("recover", True), ("status", False), ("check", False)):
        fake.answer = {"state": "settled", "problems": [], "notes": []}
        assert main([command, "image", "--json"]) == 0
        assert fake.called[0] == command
        assert fake.opened[1]["writable"] is writable
        assert json.loads(capsys.readouterr().out) == fake.answer


def test_dump(fake, capsys):
    fake.answer = [{"offset": 12, "length": 44, "type": "dirent", "verdict": "good", "ino": 2, "name": "etc"}]
    assert main(["dump", "image", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == fake.answer
    assert main(["dump", "image"]) == 0
    assert capsys.readouterr().out.split() == ["0x0000000c", "44", "dirent", "good", "ino=2", "name=etc"]


def test_ls(fake, capsys):
    fake.answer = [
        Entry(b"etc/a\nb", "file", 0o4755, 0, 1, 0, size=7),
        Entry(b"etc/l", "link", 0o777, 0, 0, 1_700_000_000, link=b"a\xff"),
        Entry(b"etc/null", "char", 0o666, 0, 0, 0, device=(1, 3)),
    ]
    assert main(["ls", "image", "/etc/./"]) == 0
    assert fake.called == ("ls", {"path": b"etc", "recursive": False})
    assert capsys.readouterr().out == "/etc/a\\nb\n/etc/l\n/etc/null\n"
    assert main(["ls", "image", "-lR"]) == 0
    assert fake.called == ("ls", {"path": b"", "recursive": True})
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["-rwsr-xr-x", "0", "1", "7", "1970-01-01", "00:00:00", "/etc/a\\nb"],
        ["lrwxrwxrwx", "0", "0", "0", "2023-11-14", "22:13:20", "/etc/l", "->", "a\\xff"],
        ["crw-rw-rw-", "0", "0", "1,3", "1970-01-01", "00:00:00", "/etc/null"],
    ]
    assert main(["ls", "image", "--json"]) == 0
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["path"], first["mode"]) == ("./etc/a\\012b", "4755")
    assert (second["link"], third["device"]) == ("a\\377", [1, 3])


def test_cat_writes_bytes(fake, capsysbinary):
    fake.answer = [b"a\0", b"\xff"]
    assert main(["cat", "image", "/etc/passwd"]) == 0
    assert fake.called == ("cat", {"path": b"etc/passwd", "reading": "report"})
    assert capsysbinary.readouterr().out == b"a\0\xff"


def test_extract_and_mkfs(fake, tmp_path):
    fake.answer = {"unreadable": [], "damaged": [], "omitted": [{"path": "/f"}], "summary": ["a fifo was not made"]}
    assert main(["extract", "image", "-o", "out", "-q"]) == 0
    assert fake.called[1]["output"].name == "out"
    lost = {"path": "/a", "text": "/a: data fails its CRC"}
    fake.answer = {"unreadable": [lost], "damaged": [], "omitted": [], "summary": []}
    assert main(["extract", "image", "--tar", "out.tar", "--max-bytes", "2M", "-q"]) == 1
    assert (fake.called[0], fake.called[1]["output"].name, fake.called[1]["max_bytes"]) == (
        "archive",
        "out.tar",
        2 << 20,
    )
    assert main(["extract", "image"]) == main(["extract", "image", "-o", "out", "--tar", "-"]) == 2
    assert main(["extract", "image", "--tar", "-", "--json"]) == 2
    assert main(["mkfs", str(tmp_path), "-o", "image", "--erase-size", "64k", "--compression", "best", "-q"]) == 0
    options = fake.called[1]
    del options["source"], options["output"]
    assert options == {
        "erase_size": 65536,
        "page_size": None,
        "size": None,
        "endian": "little",
        "compression": "best",
        "progress": None,
    }


# ---- failure ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "status", "message"),
    [
        (NoSpace("needs 9 eraseblocks, there are 3"), 1, "needs 9 eraseblocks, there are 3"),
        (Corrupt("data fails its CRC", path=b"/etc/\xffa\n"), 3, r"/etc/\xffa\n: data fails its CRC"),
        (OSError(5, "Input/output error", "image"), 1, "image: input/output error"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("odd"), 1, "internal error, ZeroDivisionError: odd (JFFS2TX_TRACEBACK=1 shows where)"),
    ],
)
def test_a_failure_is_one_sentence_and_a_status(fake, capsys, monkeypatch, failure, status, message):
    monkeypatch.setattr(Fake, "guesses", ())
    fake.answer = failure
    assert main(["status", "image"]) == status
    assert sentence(capsys).strip() == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["status"], "Missing argument 'TARGET'"),
        (["plan", "image", "manifest"], "Missing option '--from'"),
        (["status", "image", "--erase-size", "64kB"], "'64kB' is not a size such as"),
        (["status", "image", "--erase-size", "0"], "must not be 0"),
        (["status", "image", "--erase-size", "0x10k"], "is not a size"),
        (["status", "image", "--endian", "middle"], "'middle' is not one of 'little', 'big'"),
        (["apply", "image", "m", "--from", "s", "--reader", "grub"], "'grub' is not one of 'linux'"),
        (["apply", "image", "m", "--from", "s", "--strategy", "luck"], "'luck' is not one of 'auto', 'swap'"),
        (["mkfs", "s", "-o", "image"], "Missing option '--erase-size'"),
    ],
)
def test_wrong_usage(capsys, arguments, message):
    assert main(arguments) == 2
    assert message in sentence(capsys)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("131072", 131072),
        ("0x20000", 131072),
        ("128KiB", 131072),
        ("128k", 131072),
        ("64 MiB", 64 << 20),
        ("1G", 1 << 30),
    ],
)
def test_sizes(fake, text, size):
    assert main(["status", "image", "--erase-size", text]) == 0
    assert fake.opened[1]["erase_size"] == size


def test_a_bad_manifest_stops_before_the_target_is_opened(fake, upgrade, capsys):
    with open(upgrade[0], "ab") as file:
        file.write(b"./z type=door\n")
    assert main(["apply", "image", *upgrade]) == 1
    assert sentence(capsys) == "manifest line 4: ./z: unknown type 'door'"
    assert main(["apply", "image", upgrade[0] + "-none", *upgrade[1:]]) == 1
    assert sentence(capsys) == f"{upgrade[0]}-none: no such file or directory"
    assert fake.opened is None


@pytest.mark.parametrize("command", [None, *cli.commands])
def test_help(capsys, command):
    assert main([*([command] if command else []), "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: jffs2tx")
    assert err == ""


def test_the_commands_of_the_contract():
    assert list(cli.commands) == [
        "manifest", "plan", "apply", "torture", "recover", "status", "readers", "dump", "ls", "cat", "extract", "check",
        "mkfs",
    ]  # fmt: skip


def test_as_a_process(tmp_path):
    command = [sys.executable, "-m", "jffs2tx.cli"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    assert (version.returncode, version.stdout) == (0, f"jffs2tx, version {__version__}\n")
    failed = subprocess.run([*command, "manifest", tmp_path / "none"], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr == f"jffs2tx: {tmp_path}/none: no such directory\n"


def test_a_reader_of_our_output_may_leave_early(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "jffs2tx.cli", "manifest", str(tmp_path)]
    process = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (process.returncode, process.stderr) == (141, b"jffs2tx: standard output: broken pipe\n")


@pytest.mark.parametrize(
    ("shell", "status", "message"),
    [
        ('"$@" >&-', 1, "standard output: bad file descriptor"),
        ('"$@" >/dev/full', 1, "no space left on device"),
        ('"$@" 2>&- >&- <&-', 1, None),
    ],
)
def test_an_output_that_is_closed_or_full(tmp_path, shell, status, message):
    command = ["bash", "-c", shell, "-", sys.executable, "-m", "jffs2tx.cli", "manifest", "-q", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (status, f"jffs2tx: {message}\n" if message else "")


def test_a_long_path_is_shortened(capsys):
    assert main(["manifest", "/" + "x" * 5_000_000]) == 1
    said = sentence(capsys)
    assert len(said) < 1100 and said.startswith("/xxx") and said.endswith("xxx: cannot be read: file name too long")


# ---- what an upgrade that lands says ---------------------------------------------------------------------------------


def test_quiet_hides_no_warning(fake, upgrade, capsys, monkeypatch):
    monkeypatch.setattr(Fake, "guesses", ())
    fake.answer = {"strategy": "lift", "warnings": ["the chip is assumed to take programs of 512 bytes"]}
    assert main(["apply", "image", *upgrade, "-q"]) == 0
    assert sentence(capsys) == "warning: the chip is assumed to take programs of 512 bytes"


def test_what_could_not_be_settled_is_said_and_has_a_status(fake, upgrade, capsys, monkeypatch):
    monkeypatch.setattr(Fake, "guesses", ())
    fake.answer = {"warnings": ["could not be settled: …; the new tree is in place"], "unsettled": "…"}
    assert main(["apply", "image", *upgrade, "-q"]) == 4
    assert "the new tree is in place" in sentence(capsys)
