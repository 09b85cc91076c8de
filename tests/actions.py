"""Changes to a directory tree, done by plain system calls: what a test makes a kernel do with a mounted file system.

Runs in the kernel lab's guest and on the host: standard library only, and little of it, since imports are what costs
there. Bytes stand in JSON as latin-1 text. tests/trees.py does the same changes to its model of a tree.
"""

import errno
import json
import os
import stat
from time import sleep

_BITS = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}
_PAGE = 4096


def raw(text):
    return text.encode("latin-1")


#: What Linux says of a full small chip, of one that jffs2tx never touched as well: its collector is a step behind.
FULL = (errno.ENOSPC, errno.ENOMEM)
_TRIES = 200
_PAUSE_SECONDS = 0.05


def _patiently(remove, path):
    """A removal that the collector must make room for: it is given the chance, not for ever."""
    for tries in range(_TRIES):
        try:
            return remove(path)
        except OSError as error:
            if error.errno not in FULL or tries == _TRIES - 1:
                raise
            os.sync()
            sleep(_PAUSE_SECONDS)  # the collector's thread is nicer than this one
    return None


class Actions:
    """Each method is one kind of action, with the arguments that follow its name in the list."""

    def __init__(self, root):
        self.root = os.fsencode(root)

    def at(self, path):
        return os.path.join(self.root, raw(path)) if path else self.root

    def make(self, path, node):
        """A new inode in place of whatever the name stood for; a directory that is there stays."""
        where, kind = self.at(path), node["type"]
        if kind == "dir":
            if not os.path.isdir(where):
                os.mkdir(where)
        else:
            if os.path.lexists(where):
                os.unlink(where)
            self._create(where, kind, node)
        os.chown(where, node["uid"], node["gid"], follow_symlinks=False)
        if kind != "link":
            os.chmod(where, node["mode"])
        for name, value in node["xattrs"].items():
            os.setxattr(where, raw(name), raw(value), follow_symlinks=False)
        os.utime(where, (node["time"], node["time"]), follow_symlinks=False)

    def _create(self, where, kind, node):
        if kind == "file":
            self._fill(where, raw(node["data"]))
        elif kind == "link":
            os.symlink(raw(node["link"]), where)
        else:
            major, minor = node["device"] or (0, 0)
            os.mknod(where, _BITS[kind] | 0o600, os.makedev(major, minor))

    @staticmethod
    def _fill(where, data):
        """Pages of nothing but zeros are left out: holes."""
        with open(where, "wb") as file:
            for start in range(0, len(data), _PAGE):
                page = data[start : start + _PAGE]
                if page.strip(b"\0"):
                    file.seek(start)
                    file.write(page)
            file.truncate(len(data))

    def write(self, path, offset, data):
        with open(self.at(path), "r+b") as file:
            file.seek(offset)
            file.write(raw(data))

    def truncate(self, path, size):
        os.truncate(self.at(path), size)

    def link(self, existing, path):
        os.link(self.at(existing), self.at(path), follow_symlinks=False)

    def rename(self, path, to):
        os.rename(self.at(path), self.at(to))

    def remove(self, path):
        where = self.at(path)
        if os.path.isdir(where) and not os.path.islink(where):
            self._empty(where)
        else:
            os.unlink(where)

    @staticmethod
    def _empty(where):
        """shutil.rmtree, whose import would cost the guest more than all that it does."""
        for above, directories, files in os.walk(where, topdown=False):
            for name in files:
                _patiently(os.unlink, os.path.join(above, name))
            for name in directories:
                inner = os.path.join(above, name)
                _patiently(os.unlink if os.path.islink(inner) else os.rmdir, inner)
        _patiently(os.rmdir, where)

    def chmod(self, path, mode):
        os.chmod(self.at(path), mode)

    def stamp(self, times):
        """Sets modification times: [[path, seconds], ...]."""
        for path, time in times:
            os.utime(self.at(path), (time, time), follow_symlinks=False)

    def churn(self, rounds, bytes_each):
        """Fills the medium with noise and empties it, each round: the collector must work through every block."""
        noise = os.urandom(bytes_each)
        where = self.at("churn")
        for _ in range(rounds):
            os.mkdir(where)
            self._until_full(where, noise)
            self._empty(where)
            os.sync()

    @staticmethod
    def _until_full(where, noise):
        for number in range(100000):
            try:
                with open(os.path.join(where, b"%d" % number), "wb") as file:
                    file.write(noise)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                if error.errno not in FULL:
                    raise
                return


def perform(root, file):
    """The actions in a JSON file, on the tree below root."""
    with open(file) as script:
        act(root, json.load(script))


def act(root, actions):
    do = Actions(root)
    for name, *arguments in actions:
        getattr(do, name)(*arguments)
