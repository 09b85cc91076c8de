"""The comparison of docs/COMPARISON.md: the kernel's logs are well-formed, every method leaves what the document says,
and the picture there is the one that the code draws.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console

from jffs2tx._ffi import check, lib
from jffs2tx.comparison.methods import METHODS, OURS, TODAY
from jffs2tx.comparison.record import BY_NAME, MEDIA, SHOWN, record
from jffs2tx.comparison.strips import Instant, Judge, Strip, strip_of
from jffs2tx.comparison.svg import draw
from jffs2tx.comparison.table import BEGIN, END, tables
from jffs2tx.comparison.terminal import columns, show
from jffs2tx.comparison.trees import NEW, Seen, facts_of, verdict
from jffs2tx.comparison.vfs import Kernel
from jffs2tx.device import Flash
from jffs2tx.faults.recording import Recording
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import NodeType, walk

DOCS = Path(__file__).resolve().parent.parent / "docs"
WHOLE = {Seen.OLD, Seen.NEW}


@pytest.fixture(scope="module")
def strips() -> dict[tuple[str, str], Strip]:
    """All of them; of media that are in no picture only the cuts between two operations."""
    found = {}
    for medium in MEDIA:
        for method in medium.methods:
            more = {} if medium.name in SHOWN else {"tears": 0}
            found[medium.name, method] = strip_of(medium.name, method, **more)
    return found


# ---- what each method leaves -----------------------------------------------------------------------------------------


def test_every_method_ends_with_the_new_system(strips):
    for strip in strips.values():
        assert strip.instants[-1].seen == {Seen.NEW}, strip


def test_a_transaction_is_always_whole(strips):
    found = [strip for strip in strips.values() if METHODS[strip.method].is_ours]
    assert {strip.method for strip in found} == {method.name for method in OURS}
    for strip in found:
        assert strip.is_whole
        shown = [instant.shown for instant in strip.instants]
        assert shown == sorted(shown, key=[Seen.OLD, Seen.NEW].index) and set(shown) == WHOLE


@pytest.mark.parametrize("medium", BY_NAME)
def test_over_the_live_tree_is_mixed_from_the_first_file_to_the_last(strips, medium):
    for method in ("tar", "cp", "rsync"):
        shown = [instant.shown for instant in strips[medium, method].instants]
        bad = [i for i, seen in enumerate(shown) if seen not in WHOLE]
        assert bad == list(range(bad[0], bad[-1] + 1)), "whole in between"
        assert len(bad) > len(shown) / 2
        assert set(shown[: bad[0]]) <= {Seen.OLD} and set(shown[bad[-1] + 1 :]) == {Seen.NEW}
        assert Seen.MIXED in shown


@pytest.mark.parametrize("medium", BY_NAME)
@pytest.mark.parametrize("method", ["tar", "cp"])
def test_a_file_that_is_written_in_place_is_gone_or_short_for_a_while(strips, medium, method):
    steps = dict(strips[medium, method].seen_in_steps())
    assert Seen.UNBOOTABLE in steps["bin/init"] and Seen.UNBOOTABLE in steps["lib/libc.so"]


@pytest.mark.parametrize("medium", ["NOR", "NOR with summaries"])
def test_renaming_files_leaves_a_mixture_and_no_more(strips, medium):
    assert strips[medium, "rsync"].count(Seen.UNBOOTABLE) == 0


@pytest.mark.parametrize("medium", ["NOR", "NOR with summaries"])
def test_a_link_by_force_leaves_no_current_in_that_step_alone(strips, medium):
    steps = dict(strips[medium, "versions, ln -sf"].seen_in_steps())
    assert Seen.UNBOOTABLE in steps.pop("ln -sf current")
    assert all(seen <= WHOLE for seen in steps.values())


@pytest.mark.parametrize("medium", BY_NAME)
def test_copying_through_hard_links_breaks_what_runs(strips, medium):
    steps = dict(strips[medium, "versions, cp"].seen_in_steps())
    assert {Seen.MIXED, Seen.UNBOOTABLE} <= steps["apply to the clone"]


@pytest.mark.parametrize("medium", BY_NAME)
def test_links_that_are_renamed_after_a_sync_hold(strips, medium):
    assert strips[medium, "versions, mv -T"].is_whole


def test_on_nand_the_window_of_a_link_by_force_is_open_in_1_of_16_pages():
    """It takes a page that ends behind the node that unlinks and before the end of the one that names the new link."""
    geometry = BY_NAME["NAND"].geometry
    page = geometry.write_size
    open_windows = 0
    for waiting in range(0, page, 64):
        with Recording(Flash.simulator(geometry), "little") as log, Flash.memory(geometry) as flash:
            kernel = Kernel(log.sim, summary=True)
            kernel.mkdir("versions")
            kernel.symlink("versions/1", "current")
            kernel.create("log")
            kernel.sync()
            kernel.write("log", bytes(waiting + 1))
            check(lib.jx_sim_restart(log.sim.handle))
            kernel.unlink("current")
            kernel.symlink("versions/2", "current")
            kernel.sync()
            gone = False
            for cut in range(log.operations + 1):
                log.build(cut, 0, flash, 0)
                with FileSystem(flash, endian="little") as fs:
                    gone |= b"current" not in fs.list()
            open_windows += gone
    assert open_windows * 64 == page / 16


# ---- the kernel's log ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("medium", BY_NAME)
def test_every_node_of_a_log_is_good(medium):
    with record(BY_NAME[medium], METHODS["versions, ln -sf"]) as upgrade:
        geometry = upgrade.medium.geometry
        nodes = list(walk(upgrade.log.sim.read(0, geometry.size), "little", geometry.erase_size))
        kinds = {node.kind for node in nodes}
        assert {NodeType.INODE, NodeType.DIRENT} <= kinds
        assert not [node for node in nodes if node.wrong]
        assert (NodeType.SUMMARY in kinds) == upgrade.medium.summary
        assert any(node.obsolete for node in nodes) == (medium == "NOR")
        deletions = [node for node in nodes if node.kind == NodeType.DIRENT and not node.fields.ino]
        assert bool(deletions) == upgrade.medium.summary
        with FileSystem(upgrade.log.sim) as fs:
            assert fs.has_summaries == upgrade.medium.summary


def test_the_judge_tells_the_four_states_apart():
    new = facts_of(NEW)
    assert verdict(new) is Seen.NEW
    assert verdict({**new, "bin/.init.Zr4c1x": (0o600, "")}) is Seen.NEW
    assert verdict({**new, "etc/release": None}) is Seen.MIXED
    assert verdict({**new, "etc/more": "target"}) is Seen.MIXED
    assert verdict({path: fact for path, fact in new.items() if path != "bin/init"}) is Seen.UNBOOTABLE
    with Flash.memory(MEDIA[0].geometry, b"\x85\x19junk") as flash:  # no node at all
        assert Judge(MEDIA[0], TODAY[0]).look(flash) == {Seen.UNBOOTABLE}


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_the_picture_in_the_documents_is_what_the_code_draws(strips):
    drawn = draw(strip for (medium, _), strip in strips.items() if medium in SHOWN)
    remedy = "run: python -m jffs2tx.comparison --svg docs/comparison.svg"
    assert (DOCS / "comparison.svg").read_text() == drawn, remedy


def test_the_tables_in_the_documents_are_those_of_the_code(strips):
    """What a few states of each operation show, the table of all states must have; nothing else differs."""
    rows = (DOCS / "COMPARISON.md").read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    quick = list(tables(list(strips.values())))
    remedy = "run: python -m jffs2tx.comparison --table docs/COMPARISON.md"
    assert [row.split("|")[1:3] for row in rows] == [row.split("|")[1:3] for row in quick], remedy
    steps = quick.index("") + 3
    for row, few in zip(rows[steps:], quick[steps:], strict=True):
        for all_seen, some_seen in zip(row.split("|")[3:], few.split("|")[3:], strict=True):
            assert set(re.findall(r"\w+", some_seen)) <= set(re.findall(r"\w+", all_seen)), f"{row}: {remedy}"
        if row.split("|")[2].strip() in ("stage", "hide the commit set", "commit", "settle"):
            assert "**" not in row


def test_without_colours_there_are_letters(strips, capsys):
    show(Console(width=100, color_system=None), [strips["NOR", "versions, ln -sf"]])
    printed = capsys.readouterr().out
    assert re.search(r"versions, ln -sf +o+!+n+ 6 unbootable", printed)
    assert max(map(len, printed.splitlines())) <= 100


def test_a_column_shows_the_worst_of_its_instants():
    seen = [Seen.OLD] * 50 + [Seen.UNBOOTABLE] + [Seen.NEW] * 49
    instants = tuple(Instant(frozenset({one}), {one: 1}) for one in seen)
    assert columns(instants, 10) == [Seen.OLD] * 5 + [Seen.UNBOOTABLE] + [Seen.NEW] * 4
    assert columns(instants[:2], 4) == [Seen.OLD] * 4
