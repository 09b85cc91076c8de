"""The system calls of jffs2tx.comparison, done on a mounted file system: for the kernel lab's guest.

Standard library only: it runs in the guest's own process. The kernel's timer is kept from writing a page early, so that
the write buffer is emptied only when the calls ask for it.
"""

import base64
import json
import os

_TIMER = "/proc/sys/vm/dirty_writeback_centisecs"
_LONG = "60000"


class Calls:
    """Each method is a call of jffs2tx.comparison.vfs.Kernel."""

    def __init__(self, root):
        self.root = root

    def _at(self, path):
        return os.path.join(self.root, path)

    def _open(self, path, flags, mode=0o644):
        os.close(os.open(self._at(path), flags, mode))

    def mkdir(self, path, mode=0o755):
        os.mkdir(self._at(path), mode)

    def create(self, path, mode=0o644):
        self._open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)

    def symlink(self, target, path):
        os.symlink(target, self._at(path))

    def write(self, path, data):
        fd = os.open(self._at(path), os.O_WRONLY | os.O_APPEND)
        data = base64.b64decode(data)
        assert os.write(fd, data) == len(data)
        os.close(fd)

    def truncate(self, path):
        self._open(path, os.O_WRONLY | os.O_TRUNC)

    def chmod(self, path, mode):
        os.chmod(self._at(path), mode)

    def utime(self, path, seconds):
        os.utime(self._at(path), (seconds, seconds))

    def link(self, existing, path):
        os.link(self._at(existing), self._at(path), follow_symlinks=False)

    def unlink(self, path):
        os.unlink(self._at(path))

    def rmdir(self, path):
        os.rmdir(self._at(path))

    def rename(self, old, new):
        os.rename(self._at(old), self._at(new))

    def sync(self):
        os.sync()


def perform(root, script):
    """The calls in a JSON file: a list of [name, arguments...], data in base 64."""
    with open(script) as file:
        calls = json.load(file)
    with open(_TIMER) as file:
        before = file.read()
    doer, umask = Calls(root), os.umask(0)
    try:
        with open(_TIMER, "w") as file:
            file.write(_LONG)
        for name, *arguments in calls:
            getattr(doer, name)(*arguments)
    finally:
        os.umask(umask)
        with open(_TIMER, "w") as file:
            file.write(before)
