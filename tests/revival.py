"""What brings old names back, if anything does: names go, the file system is mounted anew, and the collector takes away
block after block, until each that was there at the start has been erased, with a mount and a look after every few.

Runs in the kernel lab's guest: standard library only.
"""

import ctypes
import os
import random
import signal
import time

_libc = ctypes.CDLL(None, use_errno=True)
_MTD, _FLAT = "/dev/mtd0", b"mtd0"
_PASSES = 20  # of the collector between two mounts, and one for each inode, which it checks first
_MOUNTS = 120  # at most: the collector chooses by the clock, and chooses a clean block seldom
_NAMES = 30
_CLEANMARKER_BYTES = 12
#: Files that belong to no tree.
FILL, FORGOTTEN = "fill", "forgotten"
_DIRENT, _PADDING = bytes.fromhex("851901e0"), bytes.fromhex("85190420")


class CameBack(AssertionError):
    """The tree is not the one that was written."""


class Mounted:
    """A file system and the tree that should be on it: path -> content."""

    def __init__(self, root, erase_size, page_size, tree):
        self.root, self.erase_size, self.page_size, self.tree = root, erase_size, page_size, dict(tree)

    def remount(self):
        os.sync()
        for _ in range(50):
            if _libc.umount2(self.root.encode(), 0) == 0:
                break
            time.sleep(0.02)
        if _libc.mount(_FLAT, self.root.encode(), b"jffs2", 0, b""):
            raise OSError(ctypes.get_errno(), "mount")

    def look(self, when):
        found = {}
        for above, _, files in os.walk(self.root):
            for name in files:
                path = os.path.join(above, name)
                if name in (FILL, FORGOTTEN):
                    continue
                with open(path) as file:
                    found[os.path.relpath(path, self.root)] = file.read()
        if found != self.tree and not self._is_padded(found):
            raise CameBack(f"{when}: found {_beyond(found, self.tree)} in place of {_beyond(self.tree, found)}")

    def _is_padded(self, found):
        """Whether each name that came back has a dirent right before the padding of a page, as a kernel leaves some on
        NAND; ours have a guard between (csrc/guard.h). What came back then belongs to the tree, and is noted.
        """
        back = [path for path, text in found.items() if self.tree.get(path) != text]
        if self.page_size == 1 or self.tree.keys() - found.keys() or not all(map(self._ends_a_page, back)):
            return False
        self.tree = found
        with open(os.path.join(self.root, FORGOTTEN), "a") as file:
            file.write("".join(f"{path}\n" for path in back))
        return True

    def _ends_a_page(self, path):
        """Any dirent that gives the file its name: where it stood last is not known."""
        name, ino = os.path.basename(path).encode(), os.stat(os.path.join(self.root, path)).st_ino
        medium = b"".join(self._content())
        at = medium.find(_DIRENT)
        while at >= 0:
            end = at + (40 + len(name) + 3) // 4 * 4
            is_it = medium[at + 40 : at + 40 + medium[at + 28]] == name
            is_it = is_it and int.from_bytes(medium[at + 20 : at + 24], "little") == ino
            rest = medium[end : end + -end % self.page_size]
            if at % 4 == 0 and is_it and rest and (rest.startswith(_PADDING) or not rest.strip(b"\0")):
                return True
            at = medium.find(_DIRENT, at + 1)
        return False

    # ---- the collector ----

    def collect_all(self):
        """Mounts anew and collects until every block that is in use now has been erased."""
        start = self._content()
        self._fill()
        left = {number for number, block in enumerate(start) if len(block.rstrip(b"\xff")) > _CLEANMARKER_BYTES}
        for turn in range(_MOUNTS):
            self.remount()
            self.look(f"mount {turn} of the collection, {len(left)} blocks left")
            if not left:
                return
            self._collect()
            self._fill()
            now = self._content()
            left = {number for number in left if not _was_erased(start[number], now[number])}
        raise RuntimeError(f"the collector never came to {len(left)} blocks")

    def _fill(self):
        """Makes the kernel go on to another block, since it never collects the one that it writes to.

        What it writes last is data: it pads the pages of NAND, and forgets a dirent right before that.
        """
        path = os.path.join(self.root, FILL)
        with open(path, "r+b" if os.path.exists(path) else "wb") as file:
            file.write(random.randbytes(self.erase_size))
            os.fsync(file.fileno())

    def bury(self):
        """Makes the block with the newest names the dirtiest: the collector takes it before those with older ones."""
        paths = [os.path.join(self.root, f"junk{number}") for number in range(3)]
        for path in paths:
            with open(path, "wb") as file:
                file.write(random.randbytes(self.erase_size // 5))
        os.sync()
        for path in paths:
            os.unlink(path)

    def _collect(self):
        thread = next(int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _name_of(pid) == "jffs2_gcd_mtd0")
        for _ in range(_PASSES + len(self.tree)):
            try:
                os.kill(thread, signal.SIGHUP)
            except ProcessLookupError:  # it found no room and ended
                return
            time.sleep(0.001)

    def _content(self):
        with open(_MTD, "rb") as file:
            return list(iter(lambda: file.read(self.erase_size), b""))

    # ---- what programs do ----

    def put(self, path, text):
        with open(os.path.join(self.root, path), "w") as file:
            file.write(text)
        self.tree[path] = text

    def remove(self, path):
        os.unlink(os.path.join(self.root, path))
        del self.tree[path]

    def rename(self, path, to):
        os.rename(os.path.join(self.root, path), os.path.join(self.root, to))
        self.tree[to] = self.tree.pop(path)

    def work(self, chosen, actions):
        """Names from a small stock, so that the same ones come and go."""
        directories = sorted({os.path.dirname(path) for path in self.tree})
        for number in range(actions):
            there = sorted(self.tree)
            what = chosen.choice(("create", "replace", "over", "rename", "remove", "remove", "again"))
            path, free = chosen.choice(there), f"{chosen.choice(directories)}/f{chosen.randrange(_NAMES):02}"
            text = f"{number} by the kernel {chosen.random()}\n"
            if what == "create":
                self.put(free, text)
            elif what == "replace":
                self.put(path, text)
            elif what == "over":
                self.put("spare", text)
                self.rename("spare", path)
            elif what == "rename" and free != path:
                self.rename(path, free)
            elif what == "again":
                self.remove(path)
                self.put(path, text)
            elif len(there) > 4:
                self.remove(path)


def _beyond(some, others):
    return {path: text[:20] for path, text in some.items() if others.get(path) != text}


def _name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def _was_erased(before, now):
    """Some bit is 1 that was 0."""
    return bool(int.from_bytes(now, "little") & ~int.from_bytes(before, "little"))


def perform(root, erase_size, page_size, tree, removed, seed, actions):
    """Looks, removes names, works, and has all of it collected."""
    fs = Mounted(root, erase_size, page_size, tree)
    fs.look("at first")
    for path in removed:
        fs.remove(path)
    fs.work(random.Random(seed), actions)
    fs.bury()
    fs.collect_all()
