"""Mistakes in the planner and the transaction, as patches: nothing of them is in the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jffs2tx import staging, upgrade
from jffs2tx.plan import build, changes, choose, fit, match, rebuild


@dataclass(frozen=True)
class Patch:
    sentence: str
    place: object  # a module or a class
    attribute: str
    mistake: Callable  # what is there -> what shall be

    def turn_on(self) -> None:
        setattr(self.place, self.attribute, self.mistake(getattr(self.place, self.attribute)))


def _links_stay(is_anew):
    return lambda self, path: path in self.choice.rebuilt


def _all_share(unshared):
    return lambda changes, rebuilt, shares: unshared(changes, rebuilt, True)


def _no_pairs(dirent_size):
    return lambda path, pair: dirent_size(path, False)


def _content_by_size(match_moved):
    def wrong(old, wanted, chosen, claimed):
        hashes = type(old)(old.paths, _AnyHash(), old.orphans)
        match_moved(hashes, wanted, chosen, claimed)

    return wrong


class _Any(str):
    __hash__ = str.__hash__

    def __eq__(self, other) -> bool:
        return True


class _AnyHash:
    def __call__(self, ino: int) -> str:
        return _Any()


def _orphans_by_size(match_orphans):
    return lambda old, wanted, chosen: match_orphans(type(old)(old.paths, _AnyHash(), old.orphans), wanted, chosen)


def _stale_metadata(attributes):
    def wrong(old, wanted, match):
        found = attributes(old, wanted, match)
        return {path: change for path, change in found.items() if change.entry.type != "dir"}

    return wrong


def _nothing(*_args, **_kwargs):
    return None


PATCHES = {
    "link_shared": Patch(
        "a symlink is named by the old directory and by the rebuilt one", build._Builder, "_is_anew", _links_stay
    ),
    "renamed_link_kept": Patch(
        "a symlink with another name keeps its inode, which then has two dirents",
        match,
        "_renew_links",
        lambda _: _nothing,
    ),
    "directory_shared": Patch(
        "directories are shared although a reader is older than Linux 4.5", rebuild, "unshared", _all_share
    ),
    "pair_uncounted": Patch("a pair counts as one dirent in the commit set", changes, "dirent_size", _no_pairs),
    "rebuilt_name_uncounted": Patch(
        "a rebuilt directory's own name is not counted in the commit set",
        fit._Problem,
        "_name_size",
        lambda _: lambda self, path: fit.NOTHING,
    ),
    "moved_by_size": Patch("a moved file is known again by its size alone", match, "_match_moved", _content_by_size),
    "orphan_by_size": Patch(
        "what a cut left staged is taken over by its size alone", match, "_match_orphans", _orphans_by_size
    ),
    "directory_metadata_left": Patch(
        "new metadata of directories that stay are forgotten", changes, "_attributes", _stale_metadata
    ),
    "reader_unasked": Patch(
        "a strategy is taken that does not hold for a reader", choose, "holds", lambda _: lambda *_: (True, "")
    ),
    "removal_unasked": Patch(
        "a name is removed although a reader ignores deletions", choose, "_check_removals", lambda _: _nothing
    ),
    "first_attribute_unasked": Patch(
        "the first attribute of a medium is written whoever reads it", build, "_check_xattrs", lambda _: _nothing
    ),
    "not_aborted": Patch("what was staged stays when staging fails", staging.Run, "abort", lambda _: _nothing),
    "settle_left": Patch(
        "nothing is tidied after the commit", upgrade, "_settle", lambda _: lambda flash, landed, endian: landed
    ),
    "cut_commit_left": Patch(
        "the commit block that a cut left is not dropped first", upgrade, "drop_commits", lambda _: _nothing
    ),
}
