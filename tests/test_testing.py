"""The pytest plugin: docs/TESTING.md's example runs as it stands, and finds what is broken."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jffs2tx.device import Geometry
from jffs2tx.errors import InvalidValue, NotFound

DOCUMENT = Path(__file__).resolve().parent.parent / "docs/TESTING.md"


def run_pytest(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_example_of_the_documentation(tmp_path):
    (example,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    (tmp_path / "test_example.py").write_text(example)
    done = run_pytest(tmp_path)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
    broken = example.replace("        tx.commit()\n", "        tx.commit()\n    fs.transaction().commit()\n", 1)
    broken = broken.replace(
        '        tx.symlink("/etc/current", "release")\n        tx.commit()\n    fs.transaction().commit()\n',
        '        tx.commit()\n    with fs.transaction() as tx:\n'
        '        tx.symlink("/etc/current", "release")\n        tx.commit()\n',
    )  # fmt: skip
    (tmp_path / "test_example.py").write_text(broken)
    done = run_pytest(tmp_path, "-x", "-k", "mixture")
    assert done.returncode == 1 and "/etc/current is missing" in done.stdout, done.stdout


def test_it_costs_nothing_where_it_is_not_used(tmp_path):
    """The entry point loads neither the C core nor what the command line needs."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n\ndef test_it():\n"
        "    loaded = {name for name in sys.modules if name.startswith('jffs2tx')}\n"
        "    assert loaded == {'jffs2tx', 'jffs2tx.testing'}\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout


def change(fs):
    with fs.transaction(mtime=1) as tx:
        tx.put("/a", b"new")
        tx.remove("/d/b")
        tx.commit()


@pytest.mark.parametrize(("chip", "readers"), [("nor", ["linux"]), ("nand512", ["linux-summary"])])
def test_every_crash(jffs2_flash, chip, readers):
    flash = jffs2_flash({"a": "old", "d/b": b"there", "empty": None}, chip, readers=readers)
    seen = {}
    for crash in flash.crashes(change, "F1,F2,F5"):
        seen.setdefault(crash.seen, crash.place)
        assert crash.whole, crash.story()
        assert (crash.fs.read("/a") == b"new") == (b"b" not in crash.fs.list("/d"))
    assert {"old", "new"} <= set(seen) <= {"old", "new", "either"}
    assert flash.fs.read("/a") == b"old"
    again = flash.crash(change, f"F1:c{seen['new'].cut + 1}.t0")
    assert again.seen == "new" and "sees the new tree" in again.story()
    with pytest.raises(NotFound):
        again.fs.read("/d/b")


def test_two_steps_are_seen(jffs2_flash):
    def two(fs):
        with fs.transaction() as tx:
            tx.put("/a", b"new")
            tx.commit()
        with fs.transaction() as tx:
            tx.put("/b", b"new")
            tx.commit()

    flash = jffs2_flash({"a": "old", "b": "old"})
    bad = next(crash for crash in flash.crashes(two, "F1") if not crash.whole)
    name = str(bad).split(": ")[0]
    again = flash.crash(two, name)
    assert again.seen == "neither" and "NEITHER TREE" in again.story() and "/b has " in again.story()
    for wrong in ("F1", "F9:c1.t1", "F1:c1", "F1:c99999.t0"):
        with pytest.raises(InvalidValue):
            flash.crash(two, wrong)


def test_from_a_directory_and_from_an_image(jffs2_flash, jffs2_image, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("content")
    chip = Geometry("nor", 8 * 65536, 65536)
    one = jffs2_flash(tmp_path / "tree", chip)
    other = jffs2_flash(jffs2_image(tmp_path / "tree", chip, endian="big"))
    assert one.fs.read("file") == other.fs.read("file") == b"content"
    assert one.sim.geometry.size == other.sim.geometry.size == chip.size and other.endian == "big"
    with pytest.raises(InvalidValue, match="unknown chip"):
        jffs2_flash({}, "punched cards")
