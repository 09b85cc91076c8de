"""A random history of a mounted file system: every kind of file, name, attribute and way to write.

Runs in the kernel lab's guest: standard library only. What came of it, the lab's tree() tells.
"""

import errno
import os
import random
import stat
import struct

#: No room, or the action does not suit what is there: nothing happens.
_NOTHING = {
    errno.ENOSPC,
    errno.EBUSY,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EINVAL,
    errno.ENODATA,
    errno.EPERM,
    errno.EOPNOTSUPP,
    errno.EFBIG,
    errno.ENOENT,
    errno.ELOOP,
    errno.EMLINK,
    errno.ENOMEM,
}
_WORDS = [b"flash ", b"erase ", b"block ", b"page ", b"node ", b"dirent ", b"log\n", b"commit ", b"settle\n"]
_ATTRIBUTES = ("user.a", "user.b", "trusted.c", "security.d", "system.posix_acl_access")


class History:
    def __init__(self, root, seed):
        self.random = random.Random(seed)
        self.root = os.fsencode(root)
        self.count = 0

    def live(self, actions):
        """So many random actions."""
        names, weights = zip(*_MIX, strict=True)
        for _ in range(actions):
            try:
                getattr(self, self.random.choices(names, weights)[0])()
            except OSError as error:
                if error.errno not in _NOTHING:
                    raise

    # ---- what is there ----

    def _below(self, wanted=lambda mode: True):
        """The paths of a kind, sorted; the root is not among them."""
        found = []
        for above, directories, files in os.walk(self.root):
            paths = (os.path.join(above, name) for name in directories + files)
            found += [path for path in paths if wanted(os.lstat(path).st_mode)]
        return sorted(found)

    def _any(self, wanted=lambda mode: True):
        found = self._below(wanted)
        if not found:
            raise OSError(errno.ENOENT, "none of that kind")
        return self.random.choice(found)

    def _file(self):
        return self._any(stat.S_ISREG)

    def _new(self):
        """A name that is free."""
        while True:
            self.count += 1
            directory = self.random.choice([self.root, *self._below(stat.S_ISDIR)])
            odd = self.random.choice([b"", b"", b"", b" \xff\n", b"-" * self.random.randrange(200)])
            path = os.path.join(directory, b"%c%d" % (self.random.choice(b"abcdefgh"), self.count) + odd)
            if not os.path.lexists(path):
                return path

    def _content(self, most=16000):
        size = int(most * self.random.random() ** 2)
        kind = self.random.random()
        if kind < 0.4:
            return self.random.randbytes(size)
        if kind < 0.9:
            return b"".join(self.random.choices(_WORDS, k=size // 5 + 1))[:size]
        return bytes(size)

    # ---- actions ----

    def create(self):
        with open(self._new(), "wb") as file:
            for _ in range(self.random.randrange(1, 4)):
                file.write(self._content(6000))
                file.flush()

    def overwrite(self):
        with open(self._file(), "r+b") as file:
            file.seek(self.random.randrange(os.fstat(file.fileno()).st_size + 1))
            file.write(self._content(3000))

    def append(self):
        with open(self._file(), "ab") as file:
            file.write(self._content(5000))

    def sparse(self):
        with open(self._file(), "r+b") as file:
            file.seek(self.random.randrange(60000))
            file.write(self._content(300))

    def many_small(self):
        with open(self._file(), "r+b", buffering=0) as file:
            for _ in range(self.random.randrange(2, 12)):
                file.seek(self.random.randrange(9000))
                file.write(self._content(200))

    def truncate(self):
        path = self._file()
        os.truncate(path, int(os.path.getsize(path) * self.random.random() * 1.3))

    def truncate_and_regrow(self):
        path = self._file()
        size = os.path.getsize(path)
        os.truncate(path, size // 3)
        os.truncate(path, size)

    def replace(self):
        path = self._file()
        with open(path + b"~", "wb") as file:
            file.write(self._content())
        os.rename(path + b"~", path)

    def rename(self):
        os.rename(self._any(), self._new())

    def rename_over(self):
        os.rename(self._any(), self._any())

    def unlink(self):
        os.unlink(self._any(lambda mode: not stat.S_ISDIR(mode)))

    def recreate(self):
        path = self._file()
        os.unlink(path)
        with open(path, "wb") as file:
            file.write(self._content(2000))

    def link(self):
        os.link(self._any(lambda mode: not stat.S_ISDIR(mode)), self._new(), follow_symlinks=False)

    def symlink(self):
        os.symlink(self.random.choice([b"x" * self.random.randrange(1, 255), b"/a/b", b"\xff\x01"]), self._new())

    def mkdir(self):
        os.mkdir(self._new(), self.random.choice([0o755, 0o700, 0o3777]))

    def rmdir(self):
        os.rmdir(self._any(stat.S_ISDIR))

    def special(self):
        path, kind = self._new(), self.random.randrange(4)
        if kind == 0:
            os.mkfifo(path)
        elif kind == 1:
            os.mknod(path, stat.S_IFSOCK | 0o600)
        else:
            device = os.makedev(self.random.choice([1, 8, 4095]), self.random.choice([3, 255, 256, 1048575]))
            os.mknod(path, (stat.S_IFCHR, stat.S_IFBLK)[kind - 2] | 0o640, device)

    def chmod(self):
        os.chmod(self._any(lambda mode: not stat.S_ISLNK(mode)), self.random.randrange(0o10000))

    def chown(self):
        ids = [0, 1, 1000, 65534]
        os.chown(self._any(), self.random.choice(ids), self.random.choice(ids), follow_symlinks=False)

    def touch(self):
        time = self.random.choice([0, 1, 2**31 - 1, 1_700_000_000])
        os.utime(self._any(), (time, time), follow_symlinks=False)

    def set_attribute(self):
        name = self.random.choice(_ATTRIBUTES)
        path = self.random.choice([self.root, self._any(lambda mode: stat.S_ISREG(mode) or stat.S_ISDIR(mode))])
        os.setxattr(path, name, self._acl() if name.startswith("system") else self._content(400))

    def remove_attribute(self):
        path = self._any(lambda mode: stat.S_ISREG(mode) or stat.S_ISDIR(mode))
        found = sorted(os.listxattr(path))
        if found:
            os.removexattr(path, self.random.choice(found))

    def _acl(self):
        entries = [(1, 6, -1), (2, 7, self.random.randrange(2000)), (4, 5, -1), (16, 7, -1), (32, 4, -1)]
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)

    def sync(self):
        os.sync()


_MIX = (
    ("create", 20),
    ("overwrite", 8),
    ("append", 6),
    ("sparse", 4),
    ("many_small", 5),
    ("truncate", 5),
    ("truncate_and_regrow", 4),
    ("replace", 6),
    ("rename", 6),
    ("rename_over", 4),
    ("unlink", 7),
    ("recreate", 3),
    ("link", 4),
    ("symlink", 3),
    ("mkdir", 5),
    ("rmdir", 2),
    ("special", 3),
    ("chmod", 3),
    ("chown", 2),
    ("touch", 2),
    ("set_attribute", 6),
    ("remove_attribute", 2),
    ("sync", 2),
)


def perform(root, seed, actions):
    History(root, seed).live(actions)
