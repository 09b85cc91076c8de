"""Which strategy lands the changes."""

from __future__ import annotations

from dataclasses import dataclass

from jffs2tx.errors import StrategyError, TooBig
from jffs2tx.manifest import escape_path
from jffs2tx.plan.changes import Changes
from jffs2tx.plan.model import Medium
from jffs2tx.plan.rebuild import fit_anyhow, rebuild_bytes, swap_set
from jffs2tx.readers import Reader, Strategy, flash_of, holds, removal_forbidden_by

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
    if strategy is not Strategy.SWAP:
        fitting, rebuilt = fit_anyhow(changes, strategy, medium, shares)
        reason = f"the commit set fits one {'page' if strategy is Strategy.LIFT else 'block'}"
        anew = sum(1 for path, ino in changes.match.ino.items() if ino is not None and fitting.match.ino[path] is None)
        if anew:
            reason += f" if {anew} files whose metadata only differ are written anew"
        _check_removals(strategy, fitting, rebuilt, medium, readers)
        return Choice(strategy, rebuilt, reason, fitting)
    swap = swap_set(changes, shares)
    top = min(swap, key=len)
    reason = f"all changes lie below {escape_path(top).decode()}: one dirent moves it"
    return Choice(strategy, swap, reason, changes)


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


def _is_sane_swap(changes: Changes, choice: Choice, medium: Medium) -> bool:
    content = sum(n.entry.size for p, n in changes.wanted.items() if changes.match.ino[p] is None)
    allowed = max(medium.erase_size // SWAP_SHARE_OF_BLOCK, content // SWAP_SHARE_OF_CONTENT)
    return rebuild_bytes(changes, choice.rebuilt) <= allowed


def choose(changes: Changes, medium: Medium, readers: tuple[Reader, ...], strategy: str) -> Choice:
    if strategy != "auto":
        return _try(Strategy(strategy), changes, medium, readers)
    reasons = []
    fallback = None
    for candidate in (Strategy.SWAP, Strategy.FLIP, Strategy.SEAL, Strategy.LIFT):
        try:
            choice = _try(candidate, changes, medium, readers)
        except (StrategyError, TooBig) as error:
            reasons.append(str(error))
            continue
        if candidate is not Strategy.SWAP or _is_sane_swap(changes, choice, medium):
            return choice
        fallback = choice
    if fallback:
        return fallback
    raise StrategyError("no strategy holds here: " + "; ".join(reasons))
