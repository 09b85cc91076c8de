"""jffs2tx torture: an upgrade of the user's own, cut everywhere; and an upgrade that is not atomic is caught."""

import json
import os
import shutil

import pytest

from jffs2tx import ops, upgrade
from jffs2tx._ffi import ffi, lib
from jffs2tx.cli import main
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import InvalidValue
from jffs2tx.faults import ALL_FAMILIES, FAMILIES, VIEWERS, Place, Token, families, record, viewers_of
from jffs2tx.faults.torture import plan_work, torture
from jffs2tx.faults.trees import digest, facts_on
from jffs2tx.filesystem import FileSystem
from jffs2tx.image import open_image
from jffs2tx.manifest import Manifest
from jffs2tx.mkfs import make_filesystem
from jffs2tx.progress import reporter
from jffs2tx.readers import named
from jffs2tx.source import Source
from jffs2tx.transaction import Transaction

from .scenarios import PAST, Tree, text

FLASHES = {
    "nor": ((), ("--erase-size", "64KiB", "--size", "1MiB")),
    "nand": (("--page-size", "2048"), ("--erase-size", "128KiB", "--size", "2MiB", "--page-size", "2048")),
}
READER = ("--reader", "linux-summary")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two versions of a tree, the new one's manifest, and an image of the old one on each flash."""
    monkeypatch.chdir(tmp_path)
    for version in ("old", "new"):
        (tmp_path / version / "etc").mkdir(parents=True)
        (tmp_path / version / "etc/release").write_text(f"release {version}\n" * 40)
        (tmp_path / version / "etc/same").write_text("as it was\n")
    (tmp_path / "new/etc/more").symlink_to("same")
    for path in (*tmp_path.rglob("*"), tmp_path / "old", tmp_path / "new"):
        os.utime(path, (PAST, PAST), follow_symlinks=False)
    for name, (_, size) in FLASHES.items():
        assert main(["mkfs", "old", "-o", f"{name}.jffs2", "--quiet", *size]) == 0
    assert main(["manifest", "new", "-o", "new.manifest", "--quiet"]) == 0
    return tmp_path


def run(name, *more):
    return main(["torture", f"{name}.jffs2", "new.manifest", "--from", "new", *FLASHES[name][0], *READER, *more])


def facts_of(capsys):
    return json.loads(capsys.readouterr().out)


# ---- an upgrade that keeps the promise -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLASHES)
def test_every_image_is_old_or_new_and_the_target_stays(name, here, capsys):
    before = (here / f"{name}.jffs2").read_bytes()
    assert run(name, "--json", "--depth", "2", "--faults", "F1,F5") == 0
    facts = facts_of(capsys)
    assert (here / f"{name}.jffs2").read_bytes() == before
    assert [row["fault"] for row in facts["faults"]] == ["F1", "F5"]
    total = facts["total"]
    assert total["images"] == facts["images"] == facts["possible_images"] and not facts["sampled"]
    assert total["old"] and total["new"] and total["old"] + total["new"] + total["split"] == total["distinct"]
    assert total["second_cuts"] > total["recovered"] > 10 and total["third"] == total["failures"] == 0
    assert facts["failures"] == []


@pytest.mark.parametrize("name", FLASHES)
def test_what_reads_otherwise_each_time(name, here, capsys):
    """F6: one medium for each operation; at the commit it depends on the reading, and recover ends that."""
    assert run(name, "--json", "--faults", "F1,F6") == 0
    facts = facts_of(capsys)
    whole, wavering = facts["faults"]
    assert wavering["fault"] == "F6" and wavering["images"] == wavering["distinct"] == facts["operations"]
    assert wavering["split"] >= 1 and wavering["old"] + wavering["new"] + wavering["split"] == wavering["images"]
    assert wavering["readings"] > 6 * wavering["images"] and whole["readings"] == facts["total"]["failures"] == 0


def test_a_token_of_a_medium_that_reads_otherwise_each_time(here, capsys):
    """Old by one schedule of readings, new by another."""
    assert run("nor", "--json", "--faults", "F1") == 0
    facts = facts_of(capsys)
    place = f"{facts['inputs']}:F6:c{facts['commit_operation']}"
    for tear, readings, tree in ((1, "before, before, before", "old"), (14, "after, after, after", "new")):
        assert run("nor", "--quiet", "--replay", f"{place}.t{tear}", "-o", f"seen-{tree}") == 0
        said = capsys.readouterr().out
        assert f": read as {readings}" in said and f"sees the {tree} tree" in said
    assert run("nor", "--quiet", "--replay", f"{place}.t28", "-o", "more") == 1
    assert "there is no crash image" in capsys.readouterr().err


def test_a_third_cut(here, capsys):
    assert run("nand", "--json", "--depth", "3", "--faults", "F1,F5") == 0
    total = facts_of(capsys)["total"]
    assert total["second_cuts"] > total["third_cuts"] > 5 and total["third"] == total["failures"] == 0


def test_a_table_for_people(here, capsys):
    assert run("nor", "--faults", "f2,F1") == 0
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()[:3]] == ["fault", "F1", "F2"]
    assert "each is wholly the old tree or wholly the new one" in said.out
    assert "torture: 0 of" in said.err and "images (100 %)" in said.err
    assert "commit by swap, for linux-summary" in said.out
    assert run("nor", "--quiet", "--faults", "F1") == 0
    assert capsys.readouterr().err == ""


def test_a_sample_only_where_asked_for(here, capsys):
    assert run("nand", "--json", "--limit", "60") == 0
    facts = facts_of(capsys)
    assert facts["sampled"] and 30 < facts["images"] <= 60 < facts["possible_images"]
    assert run("nand", "--limit", "60", "--quiet") == 0
    assert f"a sample of {facts['possible_images']:,}" in capsys.readouterr().out


def test_progress_says_how_long_it_takes(monkeypatch, capsys):
    """From the pace since the first result, soon and then at each tenth."""
    clock = iter((0, 100, 110, 120, 130))
    monkeypatch.setattr("jffs2tx.progress.time.monotonic", lambda: next(clock))
    report = next(iter(reporter().gen))
    for done in (0, 10, 30, 250, 1_050):
        report("torture", done, 10_010)
    assert capsys.readouterr().err.splitlines() == [
        "torture: 0 of 10,010 images (0 %)",
        "torture: 250 of 10,010 images (2 %), about 14 min left",
        "torture: 1,050 of 10,010 images (10 %), about 4 min left",
    ]


def test_an_upgrade_to_what_is_there(here, capsys):
    assert main(["manifest", "old", "-o", "new.manifest", "--quiet"]) == 0
    assert main(["torture", "nor.jffs2", "new.manifest", "--from", "old", "--quiet"]) == 0
    assert "the target is that tree already" in (said := capsys.readouterr().out) and "1 crash images" in said


def test_threads_change_no_count(here, capsys):
    def without_time(jobs):
        assert run("nor", "--json", "--jobs", jobs) == 0
        return {key: value for key, value in facts_of(capsys).items() if key not in ("seconds", "jobs")}

    assert without_time("1") == without_time("3")


def test_a_token_of_a_good_upgrade(here, capsys):
    assert run("nor", "--json", "--faults", "F1") == 0
    inputs = facts_of(capsys)["inputs"]
    for cut, tree in ((0, "old"), (9999, None), (1, "old")):
        status = run("nor", "--replay", f"{inputs}:F1:c{cut}.t0", "-o", f"cut{cut}")
        said = capsys.readouterr()
        assert status == (0 if tree else 1)
        assert f"sees the {tree} tree" in said.out if tree else "there is no crash image c9999.t0" in said.err
    assert (here / "cut0").read_bytes() == (here / "nor.jffs2").read_bytes() != (here / "cut1").read_bytes()
    assert run("nor", "--replay", f"{inputs}:F1:c0.t0", "-o", "cut0") == 1
    assert "cut0: is there already" in capsys.readouterr().err
    (here / "new/etc/release").write_text("another\n")
    assert main(["manifest", "new", "-o", "new.manifest", "--quiet"]) == 0
    assert run("nor", "--replay", f"{inputs}:F1:c0.t0") == 1
    assert f"the token belongs to other inputs: it begins with {inputs}" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--faults", "F1,F77"), ("--faults", ""), ("--replay", "0:F1:c1.t1")])
def test_wrong_words(wrong, here, capsys):
    assert run("nor", "--quiet", *wrong) == 1
    assert "unknown fault" in (said := capsys.readouterr().err) or "no token such as" in said
    assert run("nor", "-o", "x") == 2


def test_a_refused_upgrade_is_refused(here, capsys):
    (here / "new/etc/release").write_text("not what the manifest says\n")
    assert run("nor", "--quiet") == 1
    assert "etc/release" in capsys.readouterr().err


def test_a_dump_with_oob_is_kept_as_one(here, capsys):
    """The cut image of a dump is a dump: 64 bytes of OOB behind each page, those of other blocks as they were."""
    pages = (here / "nand.jffs2").read_bytes()
    oob = b"\xff\xff\x85\x19\x03\x20\x08\x00\x00\x00" + b"\xff" * 54  # a cleanmarker
    block = 64 * 2048
    dump = b"".join(
        pages[at : at + 2048] + (oob if at % block == 0 else b"\xff" * 64) for at in range(0, len(pages), 2048)
    )
    (here / "nand.jffs2").write_bytes(dump)
    assert run("nand", "--json", "--faults", "F1", "--oob-size", "64", "--quiet") == 0
    facts = facts_of(capsys)
    token = f"{facts['inputs']}:F1:c{facts['operations']}.t0"
    assert run("nand", "--oob-size", "64", "--replay", token, "-o", "after", "--quiet") == 0
    assert "sees the new tree" in capsys.readouterr().out
    kept = (here / "after").read_bytes()
    assert len(kept) == len(dump) and kept != dump
    assert main(["cat", "after", "etc/release", "--page-size", "2048", "--oob-size", "64"]) == 0
    assert "release new" in capsys.readouterr().out
    shutil.copy(here / "nand.jffs2", here / "applied")
    line = ["apply", "applied", "new.manifest", "--from", "new", "--page-size", "2048", "--oob-size", "64", *READER]
    assert main([*line, "--quiet"]) == 0
    assert (here / "applied").read_bytes() == kept


# ---- one that does not ----------------------------------------------------------------------------------------------


def file_by_file(flash, wanted, content, **options):
    """What people do today: each change lands, but not all of them at once."""
    some = {path: one for path, one in wanted.items() if path != b"etc/more"}
    apply_upgrade(flash, some, content, **options)
    return apply_upgrade(flash, wanted, content, **options)


apply_upgrade = upgrade.apply_upgrade


@pytest.mark.parametrize("name", FLASHES)
def test_an_upgrade_in_two_steps_is_caught(name, here, capsys, monkeypatch):
    monkeypatch.setattr(upgrade, "apply_upgrade", file_by_file)
    assert run(name, "--json", "--faults", "F1") == 1
    facts = facts_of(capsys)
    assert facts["total"]["third"] > 3 and facts["failure_count"] >= facts["total"]["third"]
    third = next(failure for failure in facts["failures"] if "neither tree" in failure["text"])
    assert run(name, "--quiet", "--faults", "F1") == 1
    said = capsys.readouterr().out
    assert third["token"] in said and "FAILURES" in said

    assert run(name, "--quiet", "--replay", third["token"], "-o", "kept") == 0
    said = capsys.readouterr().out
    assert "sees NEITHER TREE" in said and "beside the new tree 1 path differs:\n    /etc/more is missing" in said
    assert "/etc/release has " in said and "sha256" in said
    assert main(["cat", "kept", "etc/release", *FLASHES[name][0]]) == 0
    assert "release new" in capsys.readouterr().out
    assert main(["ls", "kept", "etc", *FLASHES[name][0]]) == 0
    assert "more" not in capsys.readouterr().out

    monkeypatch.setattr(upgrade, "apply_upgrade", apply_upgrade)
    assert run(name, "--quiet", "--replay", third["token"], "-o", "kept2") == 1
    assert "other inputs" in capsys.readouterr().err


# ---- the parts -------------------------------------------------------------------------------------------------------


def sim_of(geometry):
    tree = Tree()
    tree.file("etc/motd", text(200, 1))
    tree.dir("lib", xattrs={b"user.kind": b"old"})
    sim = Flash.simulator(geometry)
    make_filesystem(sim, tree.manifest(), tree.read)
    lib.jx_sim_restart(sim.handle)
    return sim


def test_a_copy_is_a_copy():
    """OOB and bad blocks come along; what is done to the copy is not done to the flash."""
    with Flash.memory(Geometry("nand", 16 * 16384, 16384, 512, 512, 8)) as flash:
        lib.jx_flash_raw_mark_bad(flash.handle, 3 * 16384)
        lib.jx_flash_raw_oob_prog(flash.handle, 512, b"12345678", 8)
        lib.jx_flash_raw_prog(flash.handle, 0, b"x" * 512, 512)
        with flash.simulate() as copy:
            assert copy.is_bad(3 * 16384) and copy.read(0, 512) == b"x" * 512 and copy.operations == 0
            oob = ffi.new("uint8_t[8]")
            lib.jx_flash_raw_oob_read(copy.handle, 512, oob, 8)
            assert bytes(oob) == b"12345678"
            lib.jx_flash_raw_erase(copy.handle, 0)
            assert copy.operations == 1 and flash.read(0, 1) == b"x"


def test_a_recording_knows_both_trees():
    geometry = Geometry("nor", 16 * 65536, 65536)
    sim = sim_of(geometry)
    before = facts_on(sim)
    image = digest(sim)

    def touch(flash):
        with FileSystem(flash) as fs, Transaction(flash, fs, time=PAST) as tx:
            tx.put("etc/motd", text(100, 2))
            tx.commit()

    with record(sim, touch) as recording:
        assert 0 < recording.prepared < recording.committed <= recording.operations
        assert recording.old_digest == image != recording.new_digest == digest(recording.sim)
        with recording.at(0) as start:
            assert facts_on(start) == before
        work = plan_work(recording, families(["all"], ALL_FAMILIES))
        assert set(work.possible) == set(ALL_FAMILIES) and work.images == sum(work.possible.values())
        report = torture(recording, work, jobs=2)
        assert report.total.states == work.images and not report.failures
        assert recording.prepared < report.commit_cut <= recording.committed


def test_tokens():
    token = Token("3f9a1c2e", FAMILIES["F2"], Place(17, 3, Place(5, 0)))
    assert str(token) == "3f9a1c2e:F2:c17.t3:c5.t0" and Token.parse(str(token)) == token
    for wrong in (
        "3f9a1c2e:F2",
        "3f9a1c2e:F2:c1",
        "3f9:F2:c1.t1",
        "3f9a1c2e:G2:c1.t1",
        "3f9a1c2e:F2:c1.t1:c2.t2:c3.t3:c4.t4",
    ):
        with pytest.raises(InvalidValue):
            Token.parse(wrong)


def test_who_looks():
    assert viewers_of(named(("linux",))) == VIEWERS
    assert all(viewer.summary for viewer in viewers_of(named(("linux-summary",))))
    assert len(viewers_of(named(("linux-summary", "u-boot")))) == 2 + 2


def test_through_the_api(here):
    """The same without the command line."""
    manifest = Manifest.parse((here / "new.manifest").read_bytes())
    with Source("new") as source, open_image("nor.jffs2") as image:
        facts = ops.torture(
            image, manifest=manifest, source=source, strategy="swap", readers=("linux",), faults="F1,F2", depth=1,
            limit=None, jobs=1, progress=None,
        )  # fmt: skip
    assert facts["strategy"] == "swap" and facts["failure_count"] == 0 and len(facts["judged_as"]) == 4
