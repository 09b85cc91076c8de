"""A random history on a mounted file system, and filling it to the brim: what makes a medium old.

Runs in the kernel lab's guest: standard library only. The content is the kernel's to know; what came of it, the lab's
tree() tells.
"""

import errno
import os
import random
from contextlib import contextmanager, suppress

#: What Linux says of a full small chip; its collector is a step behind.
FULL = (errno.ENOSPC, errno.ENOMEM)
_WORDS = [b"flash ", b"erase ", b"block ", b"page ", b"node ", b"dirent ", b"log\n", b"commit ", b"settle\n"]


class History:
    """What lies below root, and the actions that change it; those for which there is no room do nothing."""

    def __init__(self, root, seed, largest):
        self.random = random.Random(seed)
        self.root = root
        self.largest = largest
        self.directories = [root]
        self.names = []  # of files and symbolic links
        self.count = 0

    # ---- one action each ----

    def create(self):
        self._write(self._new_name(), "wb", self._content())

    def overwrite(self):
        path = self._any_file()
        size = path and os.path.getsize(path)
        if size:
            self._write(path, "r+b", self._content()[: 1 + size // 2], self.random.randrange(size))

    def append(self):
        path = self._any_file()
        if path and os.path.getsize(path) < 4 * self.largest:
            self._write(path, "ab", self._content()[:6000])

    def replace(self):
        """As editors do: a new file under the name of an old one."""
        path = self._any_file()
        if path:
            self._write(path + ".new", "wb", self._content())
            with self._room():
                os.rename(path + ".new", path)

    def truncate(self):
        path = self._any_file()
        if path:
            with self._room():
                os.truncate(path, self.random.randrange(os.path.getsize(path) * 5 // 4 + 1))

    def rename(self):
        if self.names:
            path, to = self.random.choice(self.names), self._new_name()
            with self._room():
                os.rename(path, to)
                self.names.remove(path)

    def remove(self):
        if self.names:
            path = self.random.choice(self.names)
            with self._room():
                os.unlink(path)
                self.names.remove(path)

    def link(self):
        path = self._any_file()
        if path:
            with self._room():
                os.link(path, self._new_name())

    def symlink(self):
        with self._room():
            os.symlink("x" * self.random.randrange(1, 60), self._new_name())

    def mkdir(self):
        if len(self.directories) < 12:
            path = self._new_name()
            self.names.remove(path)
            with self._room():
                os.mkdir(path)
                self.directories.append(path)

    def rmdir(self):
        path = self.random.choice(self.directories)
        if path != self.root:
            with suppress(OSError):  # as a rule it is not empty
                os.rmdir(path)
                self.directories.remove(path)

    # ---- all of them ----

    #: How often each is done, of 100.
    _MIX = (
        ("create", 22),
        ("overwrite", 14),
        ("append", 12),
        ("replace", 12),
        ("truncate", 8),
        ("rename", 8),
        ("remove", 12),
        ("link", 3),
        ("symlink", 3),
        ("mkdir", 3),
        ("rmdir", 3),
    )

    def live(self, percent, bytes_written):
        """Fills to this use (in percent, as df counts it), stays about there for so many bytes, ends there."""
        actions, weights = zip(*self._MIX, strict=True)
        self.written = 0
        while self.written < bytes_written:
            use = used_percent(self.root)
            if use > percent:
                self.remove()
            elif use < percent - 10:
                self.create()
            else:
                getattr(self, self.random.choices(actions, weights)[0])()
        for _ in range(10000):
            use = used_percent(self.root)
            if percent - 1 <= use <= percent:
                return
            if use > percent:
                self.remove()
            else:
                self.largest = 3000  # in small steps
                self.create()
        raise RuntimeError(f"{used_percent(self.root):.1f} % in use, not {percent}")

    def _content(self):
        size = int(self.largest * self.random.random() ** 2)
        self.written += size
        kind = self.random.random()
        if kind < 0.6:
            return self.random.randbytes(size)
        if kind < 0.95:
            return b"".join(self.random.choices(_WORDS, k=size // 5))
        return bytes(size)

    def _new_name(self):
        self.count += 1
        name = f"{self.random.choice('abcdefgh')}{self.count}" + "-long" * (self.count % 7)
        path = os.path.join(self.random.choice(self.directories), name)
        self.names.append(path)
        return path

    def _any_file(self):
        files = [path for path in self.names if os.path.isfile(path)]
        return self.random.choice(files) if files else None

    def _write(self, path, mode, data, offset=None):
        with self._room(), open(path, mode) as file:
            if offset is not None:
                file.seek(offset)
            file.write(data)

    @contextmanager
    def _room(self):
        """No room is no failure, but may leave a name without its content, or none."""
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            found = [os.path.join(above, name) for above, _, files in os.walk(self.root) for name in files]
            self.names = sorted(found)
            self.written += 4096  # so that it ends


def used_percent(root):
    """As df says it: what the kernel keeps back counts as used."""
    space = os.statvfs(root)
    return 100 * (1 - space.f_bavail / space.f_blocks)


def perform(root, seed, percent, largest, bytes_written):
    History(root, seed, largest).live(percent, bytes_written)
    os.sync()
