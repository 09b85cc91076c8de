"""Media as Linux leaves them: a log of nodes that a collector moves along, encoded in C so that thousands are quick.

Versions, numbers and the order of nodes are the kernel's; content is short, and times are all alike.
"""

import random
from dataclasses import dataclass, field

from jffs2tx._ffi import ffi, lib

from .crafted import obsolete
from .images import DT, MODE, TIME, cleanmarker

KIB = 1024
PAGE = 4096
_ENDIAN = {"little": lib.JX_LITTLE, "big": lib.JX_BIG}
_OUT = ffi.new("uint8_t[]", 2 * PAGE)


def inode(ino, version, data=b"", *, order, offset=0, isize=0, mode=MODE["file"]):
    fields = {"ino": ino, "version": version, "mode": mode, "isize": isize, "offset": offset}
    fields |= {"atime": TIME, "mtime": TIME, "ctime": TIME, "csize": len(data), "dsize": len(data)}
    length = lib.jx_encode_inode(_ENDIAN[order], _OUT, ffi.new("struct jx_inode *", fields), data)
    return ffi.buffer(_OUT, length)[:]


def dirent(name, ino, version, *, pino, order, kind):
    fields = {"pino": pino, "version": version, "ino": ino, "mctime": TIME, "nsize": len(name), "type": DT[kind]}
    length = lib.jx_encode_dirent(_ENDIAN[order], _OUT, ffi.new("struct jx_dirent *", fields), name)
    return ffi.buffer(_OUT, length)[:]


@dataclass
class File:
    name: bytes
    ino: int
    pino: int = 1
    versions: int = 0
    data: dict = field(default_factory=dict)  # page -> bytes


class Log:
    """A file system of `count` eraseblocks. nor: has cleanmarkers, and marks obsolete nodes."""

    def __init__(self, seed, count, *, erase=64 * 1024, order="little", nor=True, text=False):
        self.random = random.Random(seed)
        self.erase, self.order, self.nor, self.count = erase, order, nor, count
        self.start = cleanmarker(order) if nor else b""
        self.blocks = [bytearray() for _ in range(count)]
        self.free = list(range(count))
        self.live = {}  # key -> (block, offset, node); keys of what the tree needs
        self.files = {}
        self.directories = {1: 0}  # number -> highest version
        self.next_ino = 2
        self.now = self.free.pop(0)
        self.blocks[self.now] += self.start
        self.seen_free = set()

    # ---- the log ----

    def room(self):
        return self.erase * (len(self.free) - 3) + self.erase - len(self.blocks[self.now])

    def write(self, key, node):
        node += b"\xff" * (-len(node) % 4)
        if len(self.blocks[self.now]) + len(node) > self.erase:
            self.now = self.free.pop(0)
            self.blocks[self.now] = bytearray(self.start)
        if key in self.live and self.nor:
            self.mark(self.live[key])
        self.live[key] = (self.now, len(self.blocks[self.now]), bytes(node))
        self.blocks[self.now] += node

    def mark(self, place):
        """The ACCURATE bit of an obsolete node."""
        block, at, _ = place
        head = bytes(self.blocks[block][at : at + 12])
        bit = obsolete(head) if self.order == "little" else head[:2] + bytes([head[2] & ~0x20]) + head[3:]
        self.blocks[block][at : at + 12] = bit

    def forget(self, key):
        place = self.live.pop(key, None)
        if place and self.nor:
            self.mark(place)

    def collect(self, cut=False):
        """The block with least that lives moves to the log's end and is erased. cut: the power goes before that."""
        used = dict.fromkeys(set(range(self.count)) - set(self.free) - {self.now}, 0)
        for block, _, node in self.live.values():
            if block in used:
                used[block] += len(node)
        if not used or len(self.free) < 2:
            return
        victim = min(used, key=lambda block: (used[block], block))
        for key, (block, _, node) in sorted(self.live.items(), key=lambda item: item[1][:2]):
            if block == victim:
                if cut:  # the copy is there, and the node itself not yet marked
                    del self.live[key]
                self.write(key, node)
        if cut:
            return
        self.blocks[victim] = bytearray(self.start)
        self.seen_free.add(victim)
        self.free.append(victim)

    # ---- what happens to the tree ----

    def name(self, pino, name, ino, kind="file"):
        self.directories[pino] += 1
        node = dirent(name, ino, self.directories[pino], pino=pino, order=self.order, kind=kind)
        if ino == 0 and self.nor:
            self.forget(("name", pino, name))
            return
        self.write(("name", pino, name), node)

    def put(self, name, data, pino=1):
        file = self.files.get((pino, name))
        if file is None:
            file = self.files[pino, name] = File(name, self.next_ino, pino)
            self.next_ino += 1
            self.name_later = file.ino
            self.page(file, 0, b"", 0)
            self.name(pino, name, file.ino)
        self.content(file, data)

    def content(self, file, data):
        for at in range(0, len(data), PAGE):
            self.page(file, at, data[at : at + PAGE], len(data))
        for at in [at for at in file.data if at >= len(data) and at]:
            self.forget(("page", file.ino, at))
            del file.data[at]

    def page(self, file, at, data, size):
        file.versions += 1
        file.data[at] = data
        node = inode(file.ino, file.versions, data, offset=at, isize=size, order=self.order)
        self.write(("page", file.ino, at), node)

    def remove(self, pino, name):
        file = self.files.pop((pino, name))
        self.name(pino, name, 0)
        for at in file.data:
            self.forget(("page", file.ino, at))

    def mkdir(self, name):
        ino = self.next_ino
        self.next_ino += 1
        self.directories[ino] = 1
        self.write(("dir", ino), inode(ino, 1, mode=0o40755, order=self.order))
        self.name(1, name, ino, "dir")
        return ino

    def age(self, steps, largest=9000):
        for _ in range(steps):
            while self.room() < 2 * largest + self.erase and self.random.random() < 0.9:
                before = self.room()
                self.collect()
                if self.room() <= before:
                    break
            if self.room() < 2 * largest and self.files:
                self.remove(*self.random.choice(sorted(self.files)))
                continue
            self.step(largest)

    def step(self, largest):
        dice, known = self.random.random(), sorted(self.files)
        data = self.random.randbytes(self.random.randrange(1, largest))
        if not known or dice < 0.35:
            pino = self.random.choice(sorted(self.directories))
            self.put(
                b"%s%d" % (self.random.choice([b"log", b"conf", b"app.", b"f"]), self.random.randrange(500)), data, pino
            )
        elif dice < 0.75:
            file = self.files[self.random.choice(known)]
            self.content(file, data)
        elif dice < 0.85 and len(self.directories) < 8:
            self.mkdir(b"dir%d" % len(self.directories))
        else:
            self.remove(*self.random.choice(known))

    def image(self):
        used = set(range(self.count)) - set(self.free)
        return b"".join(
            bytes(self.blocks[b]).ljust(self.erase, b"\xff")
            if b in used or b in self.seen_free
            else (self.start if self.nor else b"").ljust(self.erase, b"\xff")
            for b in range(self.count)
        )


def fresh(seed, count, **options):
    """As mkfs.jffs2 makes it: directories and files once, in one go; erased flash behind it has no cleanmarkers."""
    log = Log(seed, count, **options)
    for _ in range(log.random.randrange(1, 4)):
        log.mkdir(b"dir%d" % len(log.directories))
    for number in range(log.random.randrange(3, 40)):
        if log.room() < 20_000:
            break
        pino = log.random.choice(sorted(log.directories))
        log.put(b"file%d" % number, log.random.randbytes(log.random.randrange(10, 9000)), pino)
    return log
