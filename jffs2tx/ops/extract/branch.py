"""Directories below one, opened name by name."""

from __future__ import annotations

import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Branch:
    """A directory and all above it, held open, so that its neighbours cost one step: in a walk each directory is opened
    once. No step goes through a symbolic link.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self._names: list[bytes] = []
        self._fds: list[int] = []

    def open(self, path: bytes) -> int:
        """A descriptor on the directory at this path below the root (b"": the root), good until the next call.

        Raises OSError.
        """
        names = path.split(b"/") if path else []
        shared = 0
        while shared < min(len(names), len(self._names)) and names[shared] == self._names[shared]:
            shared += 1
        self._leave(shared)
        for name in names[shared:]:
            self._fds.append(os.open(name, _DIRECTORY, dir_fd=self._fds[-1] if self._fds else self.root))
            self._names.append(name)
        return self._fds[-1] if self._fds else self.root

    def _leave(self, depth: int) -> None:
        while len(self._fds) > depth:
            os.close(self._fds.pop())
            self._names.pop()

    def __enter__(self) -> Branch:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave(0)
