"""Which strategy lands the changes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from jffs2tx.errors import StrategyError, TooBig
from jffs2tx.manifest import escape_path
from jffs2tx.plan.changes import Changes, written_again
from jffs2tx.plan.fit import fit
from jffs2tx.plan.model import Medium
from jffs2tx.plan.rebuild import rebuild_bytes, swap_set
from jffs2tx.readers import READERS, Reader, Strategy, flash_of, holds, removal_forbidden_by

#: A swap writes names anew that do not change: no more of them than a quarter of an eraseblock, or 2 % of the content.
SWAP_SHARE_OF_BLOCK = 4
SWAP_SHARE_OF_CONTENT = 50


@dataclass(frozen=True, slots=True)
class Choice:
    strategy: Strategy
    rebuilt: set[bytes]
    reason: str
    changes: Changes


def _try(strategy: Strategy, changes: Changes, medium: Medium, readers: tuple[Reader, ...]) -> Choice:
    """How this strategy would do it. Raises StrategyError, TooBig with the reason why it cannot."""
    if not medium.suits(strategy.value):
        raise StrategyError(f"{strategy.value} does not suit this {medium.kind} flash")
    kept, why = holds(strategy, readers, flash_of(medium.kind))
    if not kept:
        raise StrategyError(f"{strategy.value} does not keep the promise: {why}")
    shares = all(reader.shares_directories for reader in readers)
    if strategy is Strategy.SEAL and any(
        change.set_xattrs or change.remove_xids for change in changes.attributes.values()
    ):
        for reader in readers:
            if not reader.xattr_in_summary:
                raise StrategyError(f"seal would list attributes in a summary, where {reader.name} gives up")
    if strategy is Strategy.SWAP:
        return _swap(changes, shares)
    fitting, rebuilt = fit(changes, strategy, medium, shares)
    _check_removals(strategy, fitting, rebuilt, medium, readers)
    reason = f"the commit set fits one {'page' if strategy is Strategy.LIFT else 'block'}"
    return Choice(strategy, rebuilt, reason + _again(changes, fitting), fitting)


def _check_removals(
    strategy: Strategy, changes: Changes, rebuilt: set[bytes], medium: Medium, readers: tuple[Reader, ...]
) -> None:
    """Raises StrategyError where the commit set deletes a name and a reader ignores deletions."""
    gone = [path for directory, paths in changes.unlinks.items() if directory not in rebuilt for path in paths]
    ignoring = removal_forbidden_by(strategy, readers, flash_of(medium.kind))
    if gone and ignoring:
        raise StrategyError(
            f"{strategy.value} does not keep the promise: {ignoring[0].name} ignores deletions, so it holds only where "
            f"no name is removed, and {escape_path(min(gone)).decode()} is"
        )


def _swap(changes: Changes, shares: bool) -> Choice:
    files = {path for path, change in changes.attributes.items() if change.entry.type != "dir"}
    fitting = written_again(changes, files)
    rebuilt = swap_set(fitting, shares)
    top = escape_path(min(rebuilt, key=len)).decode()
    reason = f"all changes lie below {top}: one dirent moves it" + _again(changes, fitting)
    return Choice(Strategy.SWAP, rebuilt, reason, fitting)


def _files_again(changes: Changes, fitting: Changes) -> list[bytes]:
    return [path for path, ino in changes.match.ino.items() if ino is not None and fitting.match.ino[path] is None]


def _again(changes: Changes, fitting: Changes) -> str:
    count = len(_files_again(changes, fitting))
    return f" if {count} files whose metadata only differ are written again" if count else ""


def _is_sane_swap(changes: Changes, choice: Choice, medium: Medium) -> bool:
    if _files_again(changes, choice.changes):
        return False
    content = sum(n.entry.size for p, n in changes.wanted.items() if changes.match.ino[p] is None)
    allowed = max(medium.erase_size // SWAP_SHARE_OF_BLOCK, content // SWAP_SHARE_OF_CONTENT)
    return rebuild_bytes(changes, choice.rebuilt) <= allowed


def choose(changes: Changes, medium: Medium, readers: tuple[Reader, ...], strategy: str) -> Choice:
    """Raises StrategyError where no strategy lands it, and for a strategy that was asked for, TooBig too."""
    candidates = tuple(Strategy) if strategy == "auto" else (Strategy(strategy),)
    reasons: list[StrategyError | TooBig] = []
    fallback = None
    for candidate in candidates:
        try:
            choice = _try(candidate, changes, medium, readers)
        except (StrategyError, TooBig) as error:
            reasons.append(error)
            continue
        if strategy != "auto" or candidate is not Strategy.SWAP or _is_sane_swap(changes, choice, medium):
            return choice
        fallback = choice
    if fallback:
        return fallback
    remedy = _remedy(candidates, changes, medium, readers)
    if len(reasons) == 1 and not remedy:
        raise reasons[0]
    names = ", ".join(reader.name for reader in readers)
    raise StrategyError(f"no strategy holds here for {names}{remedy} ({'; '.join(map(str, reasons))})")


def _remedy(candidates: tuple[Strategy, ...], changes: Changes, medium: Medium, readers: tuple[Reader, ...]) -> str:
    """What lands it after all: naming readers by what is known of them. Empty where nothing does."""
    narrower = tuple(READERS[reader.narrower] if reader.narrower else reader for reader in readers)
    if narrower == readers:
        return ""
    for candidate in candidates:
        with suppress(StrategyError, TooBig):
            _try(candidate, changes, medium, narrower)
            options = " ".join(f"--reader {reader.name}" for reader in narrower)
            found = ", ".join(reader.description for reader in narrower if reader not in readers)
            return f": {options} lands it by {candidate.value}, and then it holds only for {found}"
    return ""
