"""What is rebuilt so that a commit set fits: against every other choice, on small random trees."""

import itertools
import random

import pytest

from jffs2tx.errors import StrategyError, TooBig
from jffs2tx.plan.changes import attribute_size, difference, dirent_size
from jffs2tx.plan.fit import _Problem
from jffs2tx.plan.match import match
from jffs2tx.plan.model import Old, OldTree, Wanted, name_of, parent_of
from jffs2tx.plan.rebuild import unshared
from jffs2tx.readers import Strategy

from .planning import BIG, entry, medium, plan, tree

FITTED = (Strategy.FLIP, Strategy.SEAL, Strategy.LIFT)
PRICES = [0, *(1 << bit for bit in range(0, 50, 2))]


def two_trees(rng, files=4):
    """Up to five directories below the root, and what an upgrade changes in them."""
    directories = [b""]
    for number in range(rng.randrange(1, 5)):
        parent = rng.choice(directories)
        directories.append((parent + b"/" if parent else b"") + b"d%d" % number)
    before = tree(*map(entry, directories[1:]))
    after = dict(before)
    for number in range(rng.randrange(1, 9)):
        home = rng.choice(directories)
        path = (home + b"/" if home else b"") + b"n" * rng.randrange(1, 30) + b"%d" % number
        old = entry(path, "file", b"x" * rng.choice((0, 10, 9000)))
        what = rng.choice(("same", "same", "content", "mode", "mode", "gone", "new"))
        if what != "new":
            before[path] = old
        if what in ("content", "new"):
            after[path] = entry(path, "file", b"other")
        elif what == "mode" and files:
            files -= 1
            after[path] = entry(path, "file", b"x" * old.size, mode=0o600)
        elif what != "gone":
            after[path] = old
    for directory in directories:
        if rng.random() < 0.3:
            after[directory] = entry(directory, time=2000)
    return dict(sorted(before.items())), dict(sorted(after.items()))


def changes_of(before, after):
    paths = {path: Old(number, e) for number, (path, e) in enumerate(before.items(), start=1)}
    hashes = {old.ino: old.entry.sha256 for old in paths.values()}
    old = OldTree(paths, hashes.get)
    wanted = {path: Wanted(e) for path, e in after.items()}
    return difference(old, wanted, match(old, wanted))


def every_choice(problem):
    """(bytes of the set, staged bytes) of each set of directories with each set of files."""
    directories = [path for path, directory in problem.directories.items() if path and directory.stays]
    files = [file for directory in problem.directories.values() for file in directory.files]
    for chosen in itertools.product((False, True), repeat=len(directories)):
        rebuilt = set(itertools.compress(directories, chosen))
        if unshared(problem.changes, rebuilt, problem.shares) == rebuilt:
            for again in itertools.product((False, True), repeat=len(files)):
                leaders = {file.leader for file in itertools.compress(files, again)}
                yield problem._size(rebuilt, leaders).bytes, staged(problem, rebuilt, leaders)


def staged(problem, rebuilt, again):
    files = (file for directory in problem.directories.values() for file in directory.files)
    return sum(problem.directories[path].staged for path in rebuilt) + sum(f.staged for f in files if f.leader in again)


@pytest.mark.parametrize("seed", range(60))
def test_no_other_choice_is_smaller_or_stages_less(seed):
    rng = random.Random(seed)
    changes = changes_of(*two_trees(rng))
    problem = _Problem(changes, rng.choice(FITTED), medium(limit=BIG), rng.random() < 0.7)
    choices = list(every_choice(problem))
    for price in PRICES:
        answer = problem.answer(price)
        best = min(cost for size, cost in choices if size <= answer.size.bytes)
        assert staged(problem, answer.rebuilt, answer.again) == best
    assert answer.size.bytes == min(size for size, _ in choices)


def set_bytes(result, before):
    """What the plan puts into the commit set, counted from the plan."""
    flip = result.strategy is Strategy.FLIP
    inos = {path: number for number, path in enumerate(before, start=1)}
    named = {(inos[parent_of(path)], name_of(path)) for path in before if path}
    size = sum(
        dirent_size(link.path, flip and (link.parent, name_of(link.path)) in named).bytes
        for link in result.links
        if isinstance(link.parent, int)
    )
    size += sum(dirent_size(unlink.path, False).bytes for unlink in result.unlinks)
    return size + sum(attribute_size(change).bytes for change in result.attributes)


@pytest.mark.parametrize("seed", range(60))
def test_the_set_fits_or_is_refused_by_its_smallest_size(seed):
    rng = random.Random(seed)
    before, after = two_trees(rng)
    strategy = rng.choice(FITTED)
    reader = rng.choice(("linux-summary", "linux-old")) if strategy is not Strategy.SEAL else "linux-summary"
    problem = _Problem(changes_of(before, after), strategy, medium(limit=BIG), reader != "linux-old")
    least, most = min(every_choice(problem))[0], max(every_choice(problem))[0]
    for limit in {max(0, least - 1), least, (least + most) // 2, most}:
        on = medium("nor" if strategy is Strategy.FLIP else "nand", limit=limit, strategies=(strategy,))
        try:
            result = plan(before, after, strategy=strategy.value, readers=(reader,), on=on)
        except (TooBig, StrategyError) as error:
            assert limit < least and f"at least {least} bytes" in str(error)
        else:
            assert limit >= least and set_bytes(result, before) <= limit
