import pytest

from jffs2tx.errors import InvalidValue
from jffs2tx.readers import READERS, Strategy, View, compressors, holds, named


@pytest.mark.parametrize(
    ("reader", "swap", "flip", "seal", "lift"),
    [
        ("linux", "holds", "holds", "late", "holds"),
        ("linux-summary", "holds", "holds", "holds", "holds"),
        ("linux-no-summary", "holds", "holds", "late", "holds"),
        ("linux-old", "holds", "holds", "late", "holds"),
        ("u-boot", "holds", "holds", "late", "holds"),
        ("barebox", "holds", "holds", "late", "holds"),
        ("rtems", "holds", "holds", "late", "holds"),
        ("u-boot-summary", "holds", "holds", "holds", "holds"),
        ("u-boot-2008", "holds", "holds", "late", "early"),
        ("ecos", "holds", "holds", "unknown", "unknown"),
        ("openfirmware", "holds", "holds", "holds", "early"),
    ],
)
def test_the_table(reader, swap, flip, seal, lift):
    assert list(READERS[reader].views.values()) == [swap, flip, seal, lift]
    assert list(READERS[reader].views) == list(Strategy)
    for strategy, view in READERS[reader].views.items():
        assert holds(strategy, [READERS[reader]])[0] == (view == View.HOLDS)


@pytest.mark.parametrize("reader", READERS.values(), ids=lambda reader: reader.name)
def test_rows_do_not_contradict_themselves(reader):
    if reader.views[Strategy.SEAL] is View.HOLDS:
        assert reader.summary is True
    if reader.views[Strategy.LIFT] is View.HOLDS:
        assert reader.empty_scan_bytes is not None
        assert reader.empty_scan_bytes <= 1024
    assert reader.shares_directories == (not reader.name.startswith("linux-old"))
    assert {"none", "zlib"} <= reader.compressors
    assert "lzo" not in reader.compressors


def test_one_reader_for_whom_it_does_not_hold_is_named_with_the_reason():
    ok, reason = holds("seal", named(["linux-summary", "u-boot"]))
    assert not ok
    assert reason.startswith("seal does not hold for u-boot: it sees the old tree until the transaction is settled")
    ok, reason = holds("lift", named(["linux", "u-boot-2008"]))
    assert (ok, reason) == (False, "lift does not hold for u-boot-2008: it sees the new tree before the commit")


def test_what_must_be_given_is_said():
    assert holds("swap", named(["linux", "openfirmware"])) == (
        True, "swap holds for linux, openfirmware (openfirmware: given ECC that catches a torn page)",
    )  # fmt: skip


def test_names():
    assert [reader.name for reader in named([])] == ["linux"]
    assert [reader.name for reader in named(["ecos", "linux", "ecos"])] == ["ecos", "linux"]
    with pytest.raises(InvalidValue, match="unknown reader 'grub'; there are linux, "):
        named(["grub"])


def test_compressors_are_those_that_all_have():
    assert compressors(named(["linux"])) == {"none", "zero", "rtime", "zlib"}
    assert compressors(named(["linux", "openfirmware"])) == {"none", "rtime", "zlib"}
