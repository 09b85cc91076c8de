"""Each line of "bad input": one clear sentence, exit status 1, and the target byte for byte as it was."""

import os
import random
import subprocess
from pathlib import Path

import pytest

from jffs2tx.cli import main
from jffs2tx.manifest import Manifest

ERASE = "64KiB"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A source directory that is also the start of every image."""
    root = tmp_path_factory.mktemp("source")
    (root / "etc").mkdir()
    (root / "etc/conf").write_bytes(b"one\n" * 500)
    (root / "top").write_bytes(b"top\n")
    for path in (root / "etc/conf", root / "top", root / "etc", root):
        os.utime(path, (1000, 1000))
    return root


@pytest.fixture
def image(tree, tmp_path):
    path = tmp_path / "x.img"
    assert main(["mkfs", str(tree), "-o", str(path), "--erase-size", ERASE, "--size", "1MiB", "--quiet"]) == 0
    return path


@pytest.fixture
def refused(image, tree, tmp_path, capsys):
    """Runs `apply` on the image, demands a refusal, and returns its sentence."""

    def run(manifest, *options, source=tree, target=image, status=1):
        text = tmp_path / "manifest"
        text.write_bytes(manifest if isinstance(manifest, bytes) else manifest.to_text())
        before = Path(target).read_bytes() if Path(target).exists() else None
        capsys.readouterr()
        code = main(["apply", str(target), str(text), "--from", str(source), "--quiet", *options])
        said = [line for line in capsys.readouterr().err.splitlines() if "guessed:" not in line]
        assert code == status and len(said) == 1 and said[0].startswith("jffs2tx: "), said
        assert (Path(target).read_bytes() if Path(target).exists() else None) == before
        return said[0]

    return run


def lines(tree):
    return Manifest.from_directory(tree).to_text().decode().splitlines()


def edited(tree, path, old, new):
    """The tree's manifest with one word of one line changed."""
    changed = [line.replace(old, new) if line.startswith(path + " ") else line for line in lines(tree)]
    assert changed != lines(tree)
    return ("\n".join(changed) + "\n").encode()


def extended(tree, *more):
    header, *rest = lines(tree)
    return ("\n".join([header, *sorted([*rest, *more])]) + "\n").encode()


def other_source(tree, tmp_path):
    """A copy of the tree with one changed file, and its manifest."""
    copy = tmp_path / "new"
    subprocess.run(["cp", "-a", tree, copy], check=True)
    (copy / "etc/conf").write_bytes(b"two\n" * 700)
    return copy, Manifest.from_directory(copy)


def test_no_room_says_what_is_needed_and_there(refused, image, tree, tmp_path):
    """And what to say where it is only the file that is short."""
    copy, _ = other_source(tree, tmp_path)
    (copy / "big").write_bytes(random.Random(1).randbytes(900_000))
    said = refused(Manifest.from_directory(copy), source=copy)
    assert "no room" in said and "needs 17 erased blocks" in said and "reserve is" in said and "are missing" in said
    assert said.endswith("; if the flash is larger than this file, say --device-size")
    size = str(Path(image).stat().st_size)
    assert refused(Manifest.from_directory(copy), "--device-size", size, source=copy).endswith("are missing")


@pytest.mark.parametrize("damage", ["size", "hash", "missing", "symlink"])
def test_a_source_that_does_not_hold_what_the_manifest_says(refused, tree, tmp_path, damage):
    copy, manifest = other_source(tree, tmp_path)
    file = copy / "etc/conf"
    if damage == "size":
        file.write_bytes(b"short")
    elif damage == "hash":
        file.write_bytes(b"TWO\n" * 700)
    else:
        file.unlink()
        if damage == "symlink":
            file.symlink_to("/etc/passwd")
    assert "./etc/conf" in refused(manifest, source=copy)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("./" + "n" * 255 + " type=dir mode=0755 uid=0 gid=0 time=1", "254"),
        ("./l type=link mode=0777 uid=0 gid=0 time=1 link=" + "t" * 255, "254"),
        ("./a\\057b type=dir mode=0755 uid=0 gid=0 time=1", "slash"),
        ("./top type=dir mode=0755 uid=0 gid=0 time=1", "twice"),
        ("./top/below type=dir mode=0755 uid=0 gid=0 time=1", "no directory"),
        ("./no/where type=dir mode=0755 uid=0 gid=0 time=1", "parent"),
        ("./x type=door mode=0755 uid=0 gid=0 time=1", "unknown type 'door'"),
        ("./x type=dir mode=0755 uid=0 gid=0 time=1 colour=red", "unknown keyword 'colour'"),
        ("./x type=dir mode=0755 uid=65536 gid=0 time=1", "65535"),
        ("./x type=dir mode=0755 uid=0 gid=70000 time=1", "65535"),
        ("./x type=char mode=0600 uid=0 gid=0 time=1 device=4096,0", "4095"),
        ("./x type=block mode=0600 uid=0 gid=0 time=1 device=0,1048576", "1048575"),
    ],
)
def test_a_manifest_line_that_jffs2_cannot_hold(refused, tree, line, part):
    said = refused(extended(tree, line))
    assert "line " in said and part in said


def test_the_line_is_named(refused, tree):
    assert "manifest line 2" in refused(edited(tree, ".", "uid=0", "uid=-1"))


def test_a_commit_set_that_fits_no_block(refused, tree, tmp_path):
    copy, _ = other_source(tree, tmp_path)
    for number in range(700):
        (copy / f"{number:0200}").write_bytes(b"")
    said = refused(Manifest.from_directory(copy), "--strategy", "flip", source=copy)
    assert "commit set" in said and "root" in said


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(200_000), os.urandom(70_000), b"hsqs" + bytes(65532)])
def test_an_image_that_is_no_jffs2(refused, tree, tmp_path, content):
    target = tmp_path / "other.img"
    target.write_bytes(content)
    said = refused(Manifest.from_directory(tree), target=target)
    assert "other.img" in said


def test_no_image_at_all(refused, tree, tmp_path):
    assert "nothing.img" in refused(Manifest.from_directory(tree), target=tmp_path / "nothing.img")


@pytest.mark.parametrize("size", ["128KiB", "32KiB", "100KiB", "1"])
def test_a_wrong_erase_size(refused, tree, tmp_path, size):
    _, manifest = other_source(tree, tmp_path)
    assert "erase" in refused(manifest, "--erase-size", size)


def test_a_wrong_byte_order(refused, tree, tmp_path):
    _, manifest = other_source(tree, tmp_path)
    refused(manifest, "--endian", "big")


def test_a_strategy_that_cannot_hold(refused, tree, tmp_path):
    copy, manifest = other_source(tree, tmp_path)
    assert "seal" in refused(manifest, "--strategy", "seal", source=copy)


def test_wrong_usage_is_status_2(image, capsys):
    for arguments in (["apply", str(image)], ["frobnicate"], ["status", str(image), "--erase-size", "much"]):
        assert main(arguments) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
