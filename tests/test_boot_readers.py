"""Boot loaders in the judge: they see what the table of readers says, and where it says no, that is seen too."""

from contextlib import contextmanager

import pytest

from jffs2tx._ffi import ffi, lib
from jffs2tx.device import Flash
from jffs2tx.faults import VIEWERS, Judge, Viewer, viewers_of
from jffs2tx.faults.replay import sights
from jffs2tx.filesystem import FileSystem
from jffs2tx.mkfs import make_filesystem
from jffs2tx.plan import build
from jffs2tx.readers import READERS, WHOLE_BLOCK, named
from jffs2tx.upgrade import recover

from .crashes import FAULTS, GEOMETRIES, Case, judge, reader_cases, record
from .scenarios import Tree

#: The removal of a name, planned for Linux; the fields of a case are geometry, strategy, scenario.
REMOVAL = Case("nor", "flip", "boot-removed")


@contextmanager
def jffs2_like(files, links):
    """A file system on NOR with these files and symbolic links."""
    tree = Tree()
    for path, data in files.items():
        tree.file(path, data)
    for path, target in links.items():
        tree.link(path, target)
    with Flash.simulator(GEOMETRIES["nor"]) as flash:
        make_filesystem(flash, tree.manifest(), tree.read)
        with FileSystem(flash) as fs:
            yield fs


def seen_by(case, *readers, faults=lib.JX_F1_CUT, **how):
    """What these readers see of a transaction that was planned for Linux."""
    with record(case) as recording:
        recording.viewers = viewers_of(named(readers))
        return judge(recording, faults=faults, **how)


@pytest.mark.parametrize("case", [case for case in reader_cases() if case.scenario.startswith("boot-next")], ids=str)
def test_what_the_table_promises_is_kept(case):
    """Each cut between two operations, and each in the commit; `make cut` tries all tears and scenarios."""
    with record(case) as recording:
        whole = judge(recording, faults=lib.JX_F1_CUT, recover_cuts=1, inner=lib.JX_F1_CUT)
        with Judge(recording, recover_tears=1, inner=lib.JX_F1_CUT) as one:
            torn = one.cuts(FAULTS, recording.prepared, recording.committed)
    assert not whole.failure_count, "\n".join(whole.failures)
    assert not torn.failure_count, torn.failures[0]
    assert whole.old and whole.new and torn.recovered


def test_a_reader_that_ignores_deletions_sees_a_mixture_where_a_name_is_removed():
    for reader in ("u-boot-2009", "u-boot-2008"):
        verdict = seen_by(REMOVAL, reader)
        assert verdict.third and any("neither tree" in failure for failure in verdict.failures)
    assert not seen_by(REMOVAL, "u-boot", "barebox").failure_count
    assert not seen_by(Case("nor", "flip", "boot-next"), "u-boot-2009", "u-boot-2008").failure_count


def test_a_reader_that_looks_at_more_of_an_empty_block_sees_a_lifted_set_early():
    case = Case("nand2k", "lift", "boot-same-name")
    for reader in ("u-boot-2009", "openfirmware"):
        assert any("new before the commit" in failure for failure in seen_by(case, reader).failures)
    assert not seen_by(case, "u-boot", "rtems").failure_count


def commit_of(recording):
    """The index of the operation that shows the new tree."""
    with Judge(recording) as one:
        one.cuts(lib.JX_F1_CUT, 0, 1)
        return one.commit_cut - 1


def test_a_torn_commit_of_a_flip_is_one_tree_to_all_readers():
    """Only the magic is cleared. Were the nodetype too, what landed of it alone would be a commit to U-Boot and none to
    Linux, and recover, which is a Linux, would change what U-Boot sees.
    """
    with record(Case("nor", "flip", "boot-next@u-boot")) as recording:
        assert {viewer.header_crc_as_is for viewer in recording.viewers} == {True, False}
        commit = commit_of(recording)
        with Judge(recording, recover_tears=1) as one:
            tally = one.cuts(FAULTS, commit, commit + 1)
    assert not tally.failure_count and not tally.split and tally.recovered > 3


@pytest.mark.parametrize("geometry", ["nor", "norbe"])
def test_a_magic_that_lost_any_bit_is_a_commit_to_every_reader(geometry):
    """Little- and big-endian: all 64 states that a torn program of the two bytes can leave."""
    with record(Case(geometry, "flip", "boot-next")) as recording:
        recording.viewers = viewers_of(named([name for name in READERS if name != "openfirmware"]))
        commit = commit_of(recording)
        place = recording.operation(commit).off
        with Judge(recording) as one, recording.at(commit) as image:
            magic = image.read(place, 2)
            assert magic == (b"\x85\x19" if geometry == "nor" else b"\x19\x85")
            left = {bytes((magic[0] & first, magic[1] & second)) for first in range(256) for second in range(256)}
            assert len(left) == 64
            for state in left:
                assert lib.jx_flash_load(image.handle, place, state, len(state)) == lib.JX_OK
                assert set(one.look(image)) == {"old" if state == magic else "new"}, state


def test_recover_clears_the_magic_of_a_flip_alone_before_the_rest():
    """What was cut may be unstable, so that a tear in this program is a tear in the commit once more."""
    with record(Case("nor", "flip", "boot-next")) as recording:
        commit = commit_of(recording)
        with recording.at(commit + 1) as cut:
            recover(cut, endian="little")
            first = ffi.new("struct jx_sim_op *")
            lib.jx_sim_op_get(cut.handle, 0, first)
            wanted = recording.operation(commit)
    assert (first.kind, first.off, first.len) == (lib.JX_SIM_PROG, wanted.off, wanted.len) and first.len == 2


def test_a_link_whose_inode_has_a_second_dirent_leads_u_boot_elsewhere(monkeypatch):
    """U-Boot looks its target up from the newest dirent: from the directory that is staged, before the commit."""
    case = Case("nor", "swap", "boot-same-name")
    assert not seen_by(case, "u-boot").failure_count
    monkeypatch.setattr(build._Builder, "_is_anew", lambda self, path: path in self.choice.rebuilt)
    assert not seen_by(case, "linux", "barebox").failure_count
    with record(case) as recording:
        recording.viewers = viewers_of(named(["u-boot"]))
        verdict = judge(recording, faults=lib.JX_F1_CUT)
        assert verdict.third and any("neither tree" in failure for failure in verdict.failures)
        with recording.at(recording.prepared) as staged:
            (sight, *_) = sights(recording, staged)
    assert sight.tree == "neither" and sight.beside_old
    assert all(" has link " in line and "(leads to the file " in line for line in sight.beside_old)


def test_a_page_beyond_ecc_stops_barebox_and_not_linux():
    with record(Case("nand2k", "swap", "boot-same-name")) as recording:
        recording.viewers = (VIEWERS[0], *viewers_of(named(["barebox"])))
        with Judge(recording, plain=True) as one, recording.at(recording.operations) as image:
            page = next(recording.operation(i).off for i in range(9) if recording.operation(i).kind == lib.JX_SIM_PROG)
            assert one.look(image) == ["new"] * len(recording.viewers)
            assert lib.jx_flash_spoil(image.handle, page) == lib.JX_OK
            assert one.look(image)[1:] == ["neither"] * (len(recording.viewers) - 1)


def test_recover_brings_back_a_reader_that_a_torn_page_stopped():
    """But where it is the first page of a block: nothing shows then that the block is ours."""
    with record(Case("nand2k", "swap", "boot-links@barebox")) as recording, Judge(recording, plain=True) as one:
        size, page = recording.sim.geometry.erase_size, recording.sim.geometry.write_size
        tried = {True: 0, False: 0}
        for cut in range(recording.committed):
            op = recording.operation(cut)
            if op.kind != lib.JX_SIM_PROG:
                continue
            with recording.at(cut) as image:
                assert lib.jx_flash_spoil(image.handle, op.off // page * page) == lib.JX_OK
                assert "neither" in one.look(image)
                recover(image, endian="little")
                is_first = op.off % size == 0
                assert ("neither" in one.look(image)) == is_first
                tried[is_first] += 1
        assert tried[True] >= 2 and tried[False] >= 2


def test_zeros_are_not_stored_as_a_method_that_a_reader_lacks():
    """Open Firmware reads no node of zeros."""
    case = Case("nor", "flip", "large-file")
    assert any("neither tree" in failure for failure in seen_by(case, "openfirmware").failures)
    with record(Case("nor", "flip", "large-file@openfirmware")) as recording:
        assert not judge(recording, faults=lib.JX_F1_CUT).failure_count


def test_a_reader_is_as_many_viewers_as_it_has_builds():
    assert viewers_of(named(["linux"])) == VIEWERS
    assert [viewer.header_crc_as_is for viewer in viewers_of(named(["u-boot"]))] == [True, False]
    assert [viewer.empty_scan for viewer in viewers_of(named(["u-boot-2008"]))] == [1024, WHOLE_BLOCK]
    assert len(viewers_of(named(["linux", "linux-summary"]))) == len(VIEWERS)
    words = str(viewers_of(named(["u-boot-2009"]))[0])
    assert words == (
        "a reader without summary support that looks at 4096 bytes of an empty block, ignores deletions, finds a "
        "header without its ACCURATE bit bad, follows links as U-Boot does, stops where ECC cannot correct"
    )
    assert Viewer(True, 256).abilities(frozenset({7}))["compr_mask"] == 0b1100_0111


def test_all_readers_of_the_table_fit_one_judge():
    case = Case("nor", "swap", "boot-same-name")
    assert not seen_by(case, *(name for name in READERS if name != "openfirmware")).failure_count


def test_a_link_is_followed_by_plain_names_alone():
    """No "..", no ".", no empty name, no link on the way, and one link as the last name."""
    targets = {
        "boot/beside": "vmlinuz", "below": "boot/vmlinuz", "rooted": "//boot/vmlinuz", "boot/dots": "../boot/vmlinuz",
        "dot": "./boot/vmlinuz", "slash": "boot/vmlinuz/", "twice": "boot//vmlinuz", "again": "below",
        "dir": "boot", "through": "dir/vmlinuz", "gone": "boot/nothing",
    }  # fmt: skip
    with jffs2_like({"boot/vmlinuz": b"kernel"}, targets) as fs:
        ino = fs.resolve("/boot/vmlinuz")
        homes = {path: fs.resolve("/boot" if "/" in path else "/") for path in targets}
        found = {path: fs.follow_ino(homes[path], fs.resolve(f"/{path}")) for path in targets}
        assert {path for path, there in found.items() if there == ino} == {"boot/beside", "below", "rooted"}
        assert found["again"] == fs.resolve("/below") and found["dir"] == homes["boot/beside"]
        assert {found[path] for path in ("boot/dots", "dot", "slash", "twice", "through", "gone")} == {None}
