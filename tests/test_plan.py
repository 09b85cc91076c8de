"""The planner alone: two trees in, a plan out; no medium."""

import pytest

from jffs2tx.errors import Refused, StrategyError, TooBig
from jffs2tx.plan import New, Old, OldTree, Wanted, make_plan
from jffs2tx.readers import named

from .planning import BIG, entry, medium, plan, tree


def test_nothing_changes():
    same = tree(entry(b"a"), entry(b"a/f", "file", b"x"))
    assert plan(same, same).is_empty


def test_a_changed_file_below_one_directory_swaps_it():
    before = tree(
        entry(b"usr"), entry(b"usr/bin"), entry(b"usr/bin/f", "file", b"x"), entry(b"usr/bin/g", "file", b"y")
    )
    after = before | tree(entry(b"usr/bin/f", "file", b"new"))
    result = plan(before, after)
    assert result.strategy == "swap" and result.rebuilt == (b"usr/bin",)
    assert [e.path for e in result.inodes] == [b"usr/bin", b"usr/bin/f"]
    outside = [link.path for link in result.links if not isinstance(link.parent, New)]
    assert outside == [b"usr/bin"] and not result.unlinks and not result.attributes


def test_swap_rebuilds_the_way_to_a_deeper_change_and_shares_the_rest():
    before = tree(
        *map(entry, (b"d", b"d/a", b"d/a/deep", b"d/b", b"d/b/c")),
        entry(b"d/a/deep/f", "file", b"x"),
        entry(b"d/g", "file", b"1"),
    )
    after = before | tree(entry(b"d/a/deep/f", "file", b"y"), entry(b"d/g", "file", b"2"))
    shared = plan(before, after, strategy="swap")
    assert shared.rebuilt == (b"d", b"d/a", b"d/a/deep")
    alone = plan(before, after, strategy="swap", readers=("linux-old",))
    assert alone.rebuilt == (b"d", b"d/a", b"d/a/deep", b"d/b", b"d/b/c")


def test_changes_of_the_root_cannot_swap():
    before = tree(entry(b"f", "file", b"x"))
    after = tree(entry(b"f", "file", b"y"))
    assert plan(before, after).strategy == "flip"
    with pytest.raises(StrategyError, match=r"the name \./f in the root directory changes"):
        plan(before, after, strategy="swap")


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ({b"c/f": b"2", b"d/f": b"2"}, r"changes are below \./c and below \./d"),
        ({b"c/f": b"2", b"x": b""}, r"the name \./x in the root"),
        ({b"c/f": b"2", b"d/f": None}, r"changes are below \./c and below \./d"),
        ({b"": None, b"c/f": b"2"}, "the metadata of the root directory change$"),
    ],
    ids=["two directories", "a new name", "a file's metadata", "the root's metadata"],
)
def test_a_swap_that_cannot_be_says_which_change_stops_it(after, why):
    before = tree(entry(b"c"), entry(b"d"), entry(b"c/f", "file", b"1"), entry(b"d/f", "file", b"1"))
    changed = {path: entry(path, "file", data) for path, data in after.items() if data is not None}
    changed |= {path: entry(path, before[path].type, b"1", mode=0o700) for path, data in after.items() if data is None}
    with pytest.raises(StrategyError, match=why):
        plan(before, before | changed, strategy="swap")


def test_a_swap_stopped_by_a_root_without_a_node_says_what_it_shows():
    before = tree(entry(b"", time=0), entry(b"d"), entry(b"d/f", "file", b"1"))
    after = before | tree(entry(b"d/f", "file", b"2"))
    with pytest.raises(StrategyError, match=r"time=0, as on every image by mkfs\.jffs2"):
        plan(before, after, strategy="swap")
    assert plan(before, after | {b"": before[b""]}, strategy="swap").rebuilt == (b"d",)


def test_new_metadata_of_a_file_costs_no_data():
    before = tree(entry(b"f", "file", b"x"))
    result = plan(before, tree(entry(b"f", "file", b"x", mode=0o600)))
    assert not result.inodes and not result.links and [c.entry.mode for c in result.attributes] == [0o600]


def test_a_moved_file_keeps_its_inode():
    before = tree(entry(b"a"), entry(b"a/f", "file", b"content"))
    after = tree(entry(b"a"), entry(b"g", "file", b"content"))
    result = plan(before, after)
    assert not result.inodes
    assert [(link.path, link.target) for link in result.links] == [(b"g", 3)]
    assert [u.path for u in result.unlinks] == [b"a/f"]


def test_a_file_of_the_same_size_is_another_file():
    before = tree(entry(b"a"), entry(b"a/f", "file", b"content"))
    result = plan(before, tree(entry(b"a"), entry(b"g", "file", b"CONTENT")))
    assert [e.path for e in result.inodes] == [b"g"]


def test_a_link_group_stays_one_inode_and_parts_when_metadata_differ():
    before = tree(entry(b"a", "file", b"x", inode=1), entry(b"b", "file", b"x", inode=1))
    assert plan(before, before).is_empty
    apart = tree(entry(b"a", "file", b"x"), entry(b"b", "file", b"x", mode=0o600))
    result = plan(before, apart)
    assert [e.path for e in result.inodes] == [b"b"] and [link.path for link in result.links] == [b"b"]


def test_joined_names_take_one_inode():
    before = tree(entry(b"a", "file", b"x"), entry(b"b", "file", b"x"))
    result = plan(before, tree(entry(b"a", "file", b"x", inode=1), entry(b"b", "file", b"x", inode=1)))
    assert not result.inodes and [(link.path, link.target) for link in result.links] == [(b"b", 2)]


def test_a_type_change_replaces_the_name():
    before = tree(entry(b"a"), entry(b"a/f", "file", b"x"))
    result = plan(before, tree(entry(b"a", "file", b"now a file")))
    assert [e.path for e in result.inodes] == [b"a"] and [link.path for link in result.links] == [b"a"]
    assert not result.unlinks  # what was below is no longer reached


def test_too_many_changes_rebuild_the_cheapest_directories_that_suffice():
    names = [b"usr/d%02d" % i for i in range(40)]
    before = tree(
        entry(b"usr"),
        entry(b"etc"),
        entry(b"etc/x", "file", b"1"),
        *map(entry, names),
        *(entry(n + b"/f", "file", b"x") for n in names),
    )
    after = before | tree(entry(b"etc/x", "file", b"2"), *(entry(n + b"/f", "file", b"y") for n in names))
    result = plan(before, after, on=medium(limit=500))
    assert result.strategy == "flip" and set(result.rebuilt) == {b"usr", *names}


def test_a_replaced_name_counts_twice_in_a_flip():
    """In a sealed set it is one dirent."""
    names = [b"d/f%d" % i for i in range(10)]
    before = tree(entry(b"d"), *(entry(name, "file", b"x") for name in names))
    after = before | tree(*(entry(name, "file", b"y") for name in names))
    for kind, strategy, rebuilt in (("nor", "flip", (b"d",)), ("nand", "seal", ())):
        on = medium(kind, limit=600, strategies=(strategy,))
        assert plan(before, after, strategy=strategy, on=on, readers=("linux-summary",)).rebuilt == rebuilt


def test_a_reader_that_ignores_deletions_takes_a_flip_only_where_no_name_is_removed():
    before = tree(entry(b"boot"), entry(b"boot/new", "file", b"1"), entry(b"boot/old", "file", b"0"), entry(b"etc"))
    replaced = before | tree(entry(b"boot/new", "file", b"2"), entry(b"etc/conf", "file", b"3"))
    removed = {path: e for path, e in replaced.items() if path != b"boot/old"}
    for readers in (("u-boot-2009",), ("u-boot", "u-boot-2008")):
        assert plan(before, replaced, strategy="flip", readers=readers).strategy == "flip"
        sentence = f"{readers[-1]} ignores deletions, so it holds only where no name is removed, and ./boot/old is"
        for strategy in ("flip", "auto"):
            with pytest.raises(StrategyError, match=sentence):
                plan(before, removed, strategy=strategy, readers=readers)
    assert plan(before, removed, strategy="flip", readers=("u-boot", "barebox")).unlinks
    below = {path: e for path, e in removed.items() if path != b"etc/conf"}
    assert plan(before, below, readers=("u-boot-2009",)).strategy == "swap"


def test_names_of_the_root_that_fit_no_block_are_refused():
    before = tree(*(entry(b"f%03d" % i, "file", b"x") for i in range(100)))
    after = tree(*(entry(b"f%03d" % i, "file", b"y") for i in range(100)))
    with pytest.raises(TooBig, match="commit set"):
        plan(before, after, strategy="flip", on=medium(limit=1000))


def test_the_first_attribute_needs_a_reader_that_copes():
    before = tree(entry(b"f", "file", b"x"))
    after = tree(entry(b"f", "file", b"x", xattrs={b"user.a": b"1"}))
    with pytest.raises(Refused, match=r"linux\+xattr"):
        plan(before, after)
    assert plan(before, after, readers=("linux+xattr",)).attributes[0].set_xattrs == {b"user.a": b"1"}
    assert plan(before, after, on=medium(has_xattrs=True)).attributes


def test_every_reader_must_be_known_to_cope_with_the_first_attribute():
    before = tree(entry(b"f", "file", b"x"))
    after = tree(entry(b"f", "file", b"x", xattrs={b"user.a": b"1"}))
    with pytest.raises(Refused, match="attribute"):
        plan(before, after, readers=("u-boot", "linux"))


def test_no_attribute_is_sealed_for_a_reader_that_gives_up_on_it():
    before = tree(entry(b"f", "file", b"x"))
    after = tree(entry(b"f", "file", b"x", xattrs={b"user.a": b"1"}))
    nand = medium("nand", strategies=("swap", "seal"), has_xattrs=True)
    assert plan(before, after, on=nand, readers=("linux-summary",)).strategy == "seal"
    with pytest.raises(StrategyError, match="u-boot-summary"):
        plan(before, after, on=nand, readers=("u-boot-summary",))
    assert plan(before, tree(entry(b"f", "file", b"y")), on=nand, readers=("u-boot-summary",)).strategy == "seal"


def moved(before, after, readers):
    """A plan in which d moves from one place to another with all below it."""
    paths = {path: Old(number, e) for number, (path, e) in enumerate(before.items(), start=1)}
    keep = {old.entry.path.rpartition(b"d")[2]: old.ino for path, old in paths.items() if b"d" in path}
    wanted = {
        path: Wanted(e, keep.get(path.rpartition(b"d")[2]) if b"d" in path else None) for path, e in after.items()
    }
    return make_plan(OldTree(paths, lambda ino: ""), wanted, medium(), named(readers), "flip")


@pytest.mark.parametrize(
    ("origin", "goal"),
    [((), (b"new",)), ((b"dying",), ()), ((b"a",), (b"new",))],
    ids=["into a new directory", "out of one that goes", "from one that stays"],
)
def test_old_readers_share_no_directory_that_moves(origin, goal):
    """Before 4.5 a dead directory takes the parent of every child, be it staged or on its way out."""

    def at(parents):
        top = b"".join(part + b"/" for part in parents) + b"d"
        return tree(*map(entry, parents), entry(top), entry(top + b"/sub"), entry(top + b"/sub/f", "file", b"x"))

    stays = {b"a": entry(b"a")} if b"a" in origin else {}
    shared = moved(at(origin), at(goal) | stays, ("linux",))
    apart = moved(at(origin), at(goal) | stays, ("linux-old",))
    top = b"".join(part + b"/" for part in goal) + b"d"
    assert not shared.rebuilt
    assert set(apart.rebuilt) == {top, top + b"/sub"}
    assert [link.target for link in apart.links if link.type == "file"] == [len(at(origin))]  # the file itself stays


def test_old_readers_see_a_directory_move_between_two_that_stay():
    before = tree(entry(b"a"), entry(b"b"), entry(b"a/d"), entry(b"a/d/f", "file", b"x"))
    after = tree(entry(b"a"), entry(b"b"), entry(b"b/d"), entry(b"b/d/f", "file", b"x"))
    assert not moved(before, after, ("linux-old",)).rebuilt


def test_changed_and_removed_attributes():
    before = tree(entry(b"f", "file", b"x", xattrs={b"user.a": b"1", b"user.b": b"2"}))
    after = tree(entry(b"f", "file", b"x", xattrs={b"user.a": b"3"}))
    change = plan(before, after, on=medium(has_xattrs=True)).attributes[0]
    assert change.set_xattrs == {b"user.a": b"3"} and change.remove_xids == (7, 7)


def test_seal_needs_readers_that_know_summaries():
    before, after = tree(entry(b"f", "file", b"x")), tree(entry(b"f", "file", b"y"))
    nand = medium("nand", strategies=("swap", "seal", "lift"))
    assert plan(before, after, on=nand).strategy == "lift"
    assert plan(before, after, on=nand, readers=("linux-summary",)).strategy == "seal"
    with pytest.raises(StrategyError, match="promise"):
        plan(before, after, on=nand, strategy="seal")


@pytest.mark.parametrize(
    ("readers", "options"),
    [
        (("linux",), "--reader linux-summary lands it by seal, .* only for Linux from 4.5 with CONFIG_JFFS2_SUMMARY "),
        (("linux+xattr",), r"--reader linux-summary\+xattr lands it"),
        (("openfirmware", "linux"), "--reader openfirmware --reader linux-summary lands it"),
    ],
)
def test_where_only_seal_fits_the_refusal_names_the_option(readers, options):
    before, after = tree(entry(b"f", "file", b"x")), tree(entry(b"f", "file", b"y"))
    nand = medium("nand", strategies=("swap", "seal"))
    for strategy in ("auto", "seal"):
        with pytest.raises(StrategyError, match=options):
            plan(before, after, on=nand, readers=readers, strategy=strategy)
    for hopeless in (("u-boot", "linux"), ("linux-old",), ("linux-no-summary",)):
        with pytest.raises(StrategyError) as refusal:
            plan(before, after, on=nand, readers=hopeless)
        assert "--reader" not in str(refusal.value)


def test_a_file_with_names_in_several_directories_is_written_again_only_where_nothing_else_makes_room():
    names = [(b"c/f%02d" % i, b"d/f%02d" % i) for i in range(20)]

    def at(time):
        pairs = [entry(path, "file", b"x", inode=i, time=time) for i, pair in enumerate(names) for path in pair]
        return tree(entry(b"c"), entry(b"d"), *pairs)

    for limit, written in ((20 * 68, 0), (20 * 68 - 1, 20)):
        result = plan(at(1), at(2), strategy="lift", on=medium("nand", limit=limit, strategies=("lift",)))
        assert len(result.attributes) == 20 - written
        assert len([e for e in result.inodes if e.type == "file"]) == written


def test_a_rebuilt_directory_shares_no_symlink():
    before = tree(entry(b"d"), entry(b"d/l", "link", link=b"t"), entry(b"d/f", "file", b"x"))
    result = plan(before, before | tree(entry(b"d/f", "file", b"y")), strategy="swap")
    assert sorted(e.path for e in result.inodes) == [b"d", b"d/f", b"d/l"]


def hard_linked(*paths, target=b"t"):
    return [entry(path, "link", link=target, inode=1) for path in paths]


def test_a_renamed_symlink_gets_a_new_inode():
    """Also with an inode that the caller wants to keep; one with new metadata too."""
    before = tree(entry(b"a"), entry(b"b"), entry(b"a/l", "link", link=b"t"))
    after = tree(entry(b"a"), entry(b"b"), entry(b"b/l", "link", link=b"t"))
    paths = {path: Old(number, e) for number, (path, e) in enumerate(before.items(), start=1)}
    wanted = {path: Wanted(e, 4 if e.type == "link" else None) for path, e in after.items()}
    kept = make_plan(OldTree(paths, lambda ino: ""), wanted, medium(), named(("linux",)))
    for result in (plan(before, after, strategy="flip"), kept):
        assert [e.path for e in result.inodes] == [b"b/l"] and [u.path for u in result.unlinks] == [b"a/l"]
        assert all(isinstance(link.target, New) for link in result.links)


def test_symlinks_move_with_their_directory():
    at = lambda top: tree(entry(top), entry(top + b"/d"), entry(top + b"/d/l", "link", link=b"t"))  # noqa: E731
    result = moved(at(b"a") | tree(entry(b"b")), at(b"b") | tree(entry(b"a")), ("u-boot",))
    assert not result.inodes and [link.path for link in result.links] == [b"b/d"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([entry(b"a", "link", link=b"t")], hard_linked(b"a", b"b")),
        (hard_linked(b"a", b"b"), hard_linked(b"a", b"b", b"c")),
        (hard_linked(b"a", b"b"), hard_linked(b"a", b"c")),
        (hard_linked(b"a", b"b"), [entry(b"a", "link", link=b"t")]),
        (hard_linked(b"a", b"b"), [entry(b"a", "link", link=b"t"), entry(b"b", "link", link=b"t")]),
    ],
    ids=["joined", "one more", "renamed", "one fewer", "parted"],
)
def test_a_symlink_whose_names_change_is_made_again_with_all_of_them(before, after):
    result = plan(tree(*before), tree(*after), readers=("u-boot",))
    assert sorted(link.path for link in result.links) == sorted(e.path for e in after)
    assert all(isinstance(link.target, New) for link in result.links)
    assert len(result.inodes) == len({link.target for link in result.links})
    assert not result.warnings


def test_a_hard_linked_symlink_stays_and_a_rebuilt_directory_makes_it_again():
    before = tree(entry(b"d"), entry(b"d/f", "file", b"x"), *hard_linked(b"d/k", b"d/l"))
    assert plan(before, before).is_empty
    result = plan(before, before | tree(entry(b"d/f", "file", b"y")), strategy="swap")
    assert [e.path for e in result.inodes] == [b"d", b"d/f", b"d/k"]
    made = {link.path: link.target for link in result.links}
    assert made[b"d/k"] == made[b"d/l"] == New(2)


def test_a_symlink_with_names_in_several_directories_draws_a_warning_for_u_boot():
    group = hard_linked(b"c/l", b"d/l")
    before = tree(entry(b"c"), entry(b"d"), entry(b"d/f", "file", b"x"), *group)
    after = before | tree(entry(b"d/f", "file", b"y"))
    for reader, count in (("u-boot", 1), ("u-boot-summary", 1), ("linux", 0)):
        found = plan(before, after, strategy="swap", readers=(reader,)).warnings
        assert len(found) == count and all("./d/l" in warning and reader in warning for warning in found)
    absolute = tree(entry(b"c"), entry(b"d"), *hard_linked(b"c/l", b"d/l", target=b"/t"))
    assert not plan(before, absolute, readers=("u-boot",)).warnings


def test_metadata_comes_after_names():
    before = tree(entry(b"d"), entry(b"d/f", "file", b"x"))
    after = tree(entry(b"d", time=2000), entry(b"d/f", "file", b"y"))
    result = plan(before, after, strategy="flip")
    assert [link.mtime for link in result.links] == [2000] and result.attributes[0].entry.time == 2000


def test_more_new_metadata_than_fit_are_written_with_their_files():
    names = [b"usr/f%03d" % i for i in range(100)]
    before = tree(entry(b"usr"), *(entry(n, "file", b"x" * (i % 7)) for i, n in enumerate(names)))
    after = tree(entry(b"usr"), *(entry(n, "file", b"x" * (i % 7), time=2000) for i, n in enumerate(names)))
    result = plan(before, after, strategy="flip", on=medium(limit=2000))
    assert result.rebuilt == (b"usr",) and "72 files whose metadata only differ are written again" in result.reason
    assert len(result.inodes) == 73 and len(result.attributes) == 28  # 28 * 68 bytes and a dirent of usr fit in 2,000
    assert all(change.entry.size >= 5 for change in result.attributes)  # the largest stay
    few = plan(before, after, strategy="flip", on=medium(limit=BIG))
    assert not few.inodes and len(few.attributes) == 100


def test_only_the_smaller_files_are_written_anew():
    small, large = [b"s/f%02d" % i for i in range(30)], [b"l/f%02d" % i for i in range(10)]
    dirs = tree(entry(b"s"), entry(b"l"))
    before = dirs | tree(*(entry(n, "file", b"1") for n in small), *(entry(n, "file", b"2" * 9000) for n in large))
    after = {
        path: e if e.type == "dir" else entry(path, "file", b"1" if path in small else b"2" * 9000, mode=0o600)
        for path, e in before.items()
    }
    result = plan(before, after, strategy="flip", on=medium(limit=1500))
    stay = {change.entry.path for change in result.attributes}
    assert {e.path for e in result.inodes} == {b"s", *small} - stay and stay >= set(large) and len(stay) == 20


def test_a_swap_writes_files_again_that_take_new_metadata_where_nothing_else_lands_them():
    before = tree(entry(b"d"), entry(b"d/f", "file", b"1"), entry(b"d/g", "file", b"2"))
    after = before | tree(entry(b"d/f", "file", b"1", mode=0o600))
    assert plan(before, after).strategy == "flip"
    swap = plan(before, after, on=medium("nand", strategies=("swap", "seal")))
    assert swap.strategy == "swap" and [e.path for e in swap.inodes] == [b"d", b"d/f"] and not swap.attributes


def test_the_smallest_set_is_named_where_it_does_not_fit():
    names = [b"d%02d" % i for i in range(30)]
    before = tree(*map(entry, names), *(entry(n + b"/f%d" % i, "file", b"x") for n in names for i in range(9)))
    after = {path: e if e.type == "dir" else entry(path, "file", b"y") for path, e in before.items()}
    with pytest.raises(TooBig, match=r"at least 1320 bytes, and 972 fit by lift"):  # 30 dirents of the root
        plan(before, after, strategy="lift", on=medium("nand", limit=972, strategies=("lift",)))
    fits = plan(before, after, strategy="lift", on=medium("nand", limit=1320, strategies=("lift",)))
    assert set(fits.rebuilt) == set(names)
