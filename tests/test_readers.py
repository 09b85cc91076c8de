import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from jffs2tx.cli import cli
from jffs2tx.errors import InvalidValue
from jffs2tx.readers import READERS, WAYS, WHOLE_BLOCK, Flash, Lookup, Strategy, View, compressors, holds, named

TABLE = Path(__file__).resolve().parent.parent / "docs" / "READERS.md"
NO_REMOVAL = "holds if no name is removed"


@pytest.mark.parametrize(
    ("reader", "swap_nor", "swap_nand", "flip", "seal", "lift"),
    [
        ("linux", "holds", "holds", "holds", "late", "holds"),
        ("linux-summary", "holds", "holds", "holds", "holds", "holds"),
        ("linux-no-summary", "holds", "holds", "holds", "late", "holds"),
        ("linux-old", "holds", "holds", "holds", "late", "holds"),
        ("u-boot", "holds", "holds", "holds", "late", "holds"),
        ("u-boot-summary", "holds", "holds", "holds", "holds", "holds"),
        ("u-boot-2009", "holds", "holds", NO_REMOVAL, "late", "early"),
        ("u-boot-2008", "holds", "holds", NO_REMOVAL, "late", "early"),
        ("barebox", "holds", "holds", "holds", "late", "holds"),
        ("rtems", "holds", "holds", "holds", "late", "holds"),
        ("ecos", "holds", "unknown", "holds", "unknown", "unknown"),
        ("openfirmware", "unknown", "holds", "holds", "holds", "early"),
    ],
)
def test_the_table(reader, swap_nor, swap_nand, flip, seal, lift):
    row = READERS[reader]
    assert [row.view(*way) for way in WAYS] == [swap_nor, swap_nand, flip, seal, lift]
    for strategy, flash in WAYS:
        kept = row.view(strategy, flash) in (View.HOLDS, View.UNLESS_REMOVED)
        assert holds(strategy, [row], flash)[0] == kept


def test_a_strategy_holds_for_nobody_on_a_flash_that_it_does_not_suit():
    assert not holds("flip", named(["linux"]), "nand")[0]


@pytest.mark.parametrize("reader", READERS.values(), ids=lambda reader: reader.name)
def test_rows_do_not_contradict_themselves(reader):
    if reader.view(Strategy.SEAL, Flash.NAND) is View.HOLDS:
        assert reader.summary is True
    if reader.view(Strategy.LIFT, Flash.NAND) is View.HOLDS:
        assert max(reader.empty_scan_bytes) <= 1024
    if reader.view(Strategy.LIFT, Flash.NAND) is View.EARLY:
        assert max(reader.empty_scan_bytes) > 1024
    assert reader.ignores_deletions == (reader.view(Strategy.FLIP, Flash.NOR) is View.UNLESS_REMOVED)
    assert (reader.lookup is Lookup.U_BOOT) == reader.name.startswith("u-boot")
    assert reader.shares_directories == (not reader.name.startswith("linux-old"))
    assert {"none", "zlib"} <= compressors([reader])
    assert "lzo" not in compressors([reader])
    assert all(0 < size <= WHOLE_BLOCK for size in reader.empty_scan_bytes)


def test_one_reader_for_whom_it_does_not_hold_is_named_with_the_reason():
    ok, reason = holds("seal", named(["linux-summary", "u-boot"]), "nand")
    assert not ok
    assert reason.startswith("seal does not hold for u-boot: it sees the old tree until the transaction is settled")
    ok, reason = holds("lift", named(["linux", "u-boot-2008"]), "nand")
    assert (ok, reason) == (False, "lift does not hold for u-boot-2008: it sees the new tree before the commit")


def test_what_must_be_given_is_said():
    assert holds("swap", named(["linux", "openfirmware"]), "nand") == (
        True, "swap holds for linux, openfirmware (openfirmware: given ECC that catches a torn page)",
    )  # fmt: skip
    assert holds("flip", named(["u-boot", "u-boot-2009"]), "nor") == (
        True, "flip holds for u-boot, u-boot-2009 (u-boot-2009: if no name is removed)",
    )  # fmt: skip


def test_names():
    assert [reader.name for reader in named([])] == ["linux"]
    assert [reader.name for reader in named(["ecos", "linux", "ecos"])] == ["ecos", "linux"]
    with pytest.raises(InvalidValue, match="unknown reader 'grub'; there are linux, "):
        named(["grub"])


def test_compressors_are_those_that_all_have():
    assert compressors(named(["linux"])) == {"none", "zero", "rtime", "zlib"}
    assert compressors(named(["linux", "openfirmware"])) == {"none", "rtime", "zlib"}


# ---- the command and the document ------------------------------------------------------------------------------------


def printed(*options):
    done = CliRunner().invoke(cli, ["readers", *options])
    assert done.exit_code == 0
    return done.stdout


def facts():
    return json.loads(printed("--json"))["readers"]


def documented(heading):
    """The rows of the first table below a heading of docs/READERS.md, as lists of cells."""
    text = TABLE.read_text().split(f"## {heading}\n")[1]
    lines = re.search(r"(?:^\|.*\n)+", text, re.M)[0].splitlines()
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def test_the_command_prints_every_reader_strategy_and_flash():
    rows = facts()
    assert [row["reader"] for row in rows] == [name for name in READERS if not name.endswith("+xattr")]
    for row in rows:
        assert [(view["strategy"], view["flash"]) for view in row["views"]] == [(s, f) for s, f in WAYS]
        assert row["description"] and row["tried"] and isinstance(row["faults"], list)
    text = printed()
    for row in rows:
        assert row["reader"] in text and all(fault.split()[0] in text for fault in row["faults"])


def test_the_document_has_the_tables_that_the_command_prints():
    rows = facts()
    head, *views = documented("What holds")
    assert head == ["reader", *(f"{strategy}, {flash.upper()}" for strategy, flash in WAYS)]
    assert views == [[row["reader"], *(view["view"] for view in row["views"])] for row in rows]
    head, *tried = documented("What was tried")
    assert head == ["reader", "what it is", "tried"]
    assert tried == [[row["reader"], row["description"], row["tried"]] for row in rows]
    head, *abilities = documented("Abilities")
    assert head == ["reader", *(name.replace("_", " ") for name in rows[0]["abilities"])]
    assert abilities == [[row["reader"], *row["abilities"].values()] for row in rows]
    head, *faults = documented("What is wrong in the readers themselves")
    assert faults == [[row["reader"], fault] for row in rows for fault in row["faults"]]
    head, *notes = documented("Notes")
    assert notes == [[row["reader"], strategy, note] for row in rows for strategy, note in row["notes"].items()]
