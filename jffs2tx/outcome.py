"""What a command that writes leaves: which tree is there, and the exit status that says so."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from threading import current_thread, main_thread

from jffs2tx.errors import Jffs2txError

DONE = 0
FAILED = 1
UNREADABLE = 3
UNFINISHED = 4
_SIGNALLED = 128  # plus the signal's number, as shells have it

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Tree(Enum):
    """Which tree the target shows. The value ends the sentence of whatever went wrong after the first write."""

    OLD = "the old tree is in place"
    NEW = "the new tree is in place: run recover to finish"
    FINISHED = "the new tree is in place"
    UNKNOWN = "the old tree or the new one is in place, which of them could not be read: run recover, then look"
    SAME = "the tree is what it was: run recover again"


class Interrupted(KeyboardInterrupt):
    """A signal asks the program to end. Raised where it can be, so that what is under way is cleared away."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__("interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}")


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise Interrupted; once, so that clearing away is not interrupted itself. Those that
    are ignored already stay so.
    """
    if current_thread() is not main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def interrupt(number: int, _frame: object) -> None:
        for one in caught:
            signal.signal(one, signal.SIG_IGN)
        raise Interrupted(number)

    try:
        for number in caught:
            signal.signal(number, interrupt)
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number])


def sentence(message: str, tree: Tree | None) -> str:
    return message if tree is None else f"{message}; {tree.value}"


def status_of(error: BaseException, tree: Tree | None) -> int:
    """The exit status of a command that ended with this error and left this tree."""
    if tree in (Tree.NEW, Tree.FINISHED):
        return UNFINISHED
    if tree is Tree.UNKNOWN:
        return UNREADABLE
    if isinstance(error, KeyboardInterrupt):
        return _SIGNALLED + getattr(error, "number", signal.SIGINT)
    return error.exit_status if isinstance(error, Jffs2txError) else FAILED
