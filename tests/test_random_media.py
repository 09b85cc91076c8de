"""A sample of tests/evidence.py: random media of every kind. `make evidence` looks at thousands."""

from .evidence import measure, rates


def test_foreign_content_is_never_written_and_neighbours_are_not_merged():
    """Two and more in one dump, of either byte order, of every age, with what a flash has beside them."""
    counts = measure("dumps", 30, "sample")
    said = "\n".join(rates(counts))
    assert counts["foreign blocks written"] == 0, said
    assert counts["several", "written"] == 0, said
    assert counts["several", "right"] >= 0.75 * counts["several", "all"], said
    assert counts["single", "wrong"] == counts["single", "none"] == 0, said


def test_one_file_system_stays_one():
    counts = measure("singles", 30, "sample")
    said = "\n".join(rates(counts))
    assert counts["single", "wrong"] == counts["single", "none"] == counts["single", "merged"] == 0, said
    assert counts["single", "doubt"] <= 1, said
    assert counts["foreign blocks written"] == 0, said
