"""Upgrades that are more often a mistake than meant are warned of, and want --yes; ordinary small ones do not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jffs2tx.cli import main
from jffs2tx.manifest import Entry
from jffs2tx.plan.model import Old, OldTree, Wanted
from jffs2tx.plan.risks import risks

USER = 1001


def entry(path, kind="file", uid=0):
    return Entry(path=path, type=kind, mode=0o644, uid=uid, gid=uid, time=0, device=(1, 3) if kind == "char" else None)


def tree(files, devices=0, uid=0):
    entries = [entry(b"", "dir", uid), *(entry(b"f%d" % n, uid=uid) for n in range(files))]
    return [*entries, *(entry(b"n%d" % n, "char", uid) for n in range(devices))]


def found(old, new, moved=False):
    paths = {one.path: Old(number, one) for number, one in enumerate(old, start=1)}
    kept = {before.ino for before in paths.values()} if moved else set()
    return risks(OldTree(paths, lambda ino: ""), {one.path: Wanted(one) for one in new}, kept)


WITHOUT_ROOT = ": the source looks as if it was unpacked or extracted without root"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (tree(28), tree(28, uid=USER), ("all 29 paths become uid 1001" + WITHOUT_ROOT,)),
        (
            tree(24, 4),
            tree(24, uid=USER),
            ("all 25 paths become uid 1001, 4 device nodes go" + WITHOUT_ROOT,),
        ),
        (tree(5, uid=USER), tree(6, uid=USER), ()),  # it was the user's before
        (tree(28, uid=USER), tree(28), ()),  # to root
        (tree(0), tree(0, uid=USER), ("all 1 path becomes uid 1001" + WITHOUT_ROOT,)),
        (tree(20, 1), tree(20), ("1 device node goes" + WITHOUT_ROOT,)),
        (tree(20, 2), tree(20, 1), ()),
        (tree(99), tree(80), ()),  # 19 of 100
        (tree(99), tree(79), ()),  # 20 of 100 are no more than a fifth
        (tree(99), tree(78), ("21 of 100 paths are removed",)),
        (tree(40), tree(22), ()),  # 18 of 41, of a small tree
        (tree(9), tree(1), ()),
        (tree(1999), tree(100), ("1,899 of 2,000 paths are removed",)),
    ],
)
def test_what_wants_a_yes(old, new, expected):
    assert found(old, new) == expected


def test_what_moves_is_not_removed():
    assert found(tree(99), tree(9), moved=True) == ()


@pytest.fixture
def upgrade(tmp_path):
    """Target, manifest and source: most of 60 files go."""
    trees = [tmp_path / "old", tmp_path / "new"]
    for number, root in enumerate(trees):
        root.mkdir()
        for name in range(60 if number == 0 else 30):
            (root / f"{name}").write_bytes(b"x")
    image, manifest = tmp_path / "image", tmp_path / "manifest"
    assert main(["mkfs", str(trees[0]), "-o", str(image), "--erase-size", "64k", "--size", "2M", "-q"]) == 0
    assert main(["manifest", str(trees[1]), "-o", str(manifest), "-q"]) == 0
    return [str(image), str(manifest), "--from", str(trees[1])]


def test_plan_warns_and_apply_wants_a_yes(upgrade, capsys):
    before = Path(upgrade[0]).read_bytes()
    assert main(["plan", *upgrade]) == 0
    assert "jffs2tx: warning: 30 of 61 paths are removed; apply wants --yes\n" in capsys.readouterr().err
    assert main(["apply", *upgrade, "-q"]) == 1
    said = capsys.readouterr().err
    assert said == "jffs2tx: 30 of 61 paths are removed; nothing was written: --yes does it all the same\n"
    assert Path(upgrade[0]).read_bytes() == before
    assert main(["apply", *upgrade, "-q", "--yes"]) == 0
    assert main(["plan", *upgrade]) == 0
    assert "--yes" not in capsys.readouterr().err


def test_a_manifest_that_no_device_of_this_size_holds_is_refused_at_once(upgrade, tmp_path, capsys):
    lines = b"".join(b"./%07d type=dir mode=0755 uid=0 gid=0 time=0\n" % n for n in range(1_000_000))
    manifest = tmp_path / "long"
    manifest.write_bytes(b"#jffs2tx manifest 1\n. type=dir mode=0755 uid=0 gid=0 time=0\n" + lines)
    os.truncate(upgrade[0], 1 << 20)
    command = [sys.executable, "-m", "jffs2tx", "apply", upgrade[0], str(manifest), "--from", upgrade[3]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr == (
        "jffs2tx: the manifest has 1,000,001 paths, and a device of 2.0 MiB holds at most 47,662 names\n"
    )
