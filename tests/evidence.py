"""python -m tests.evidence [N] [SEED]: random media of every kind, and how often each is read right, left in doubt,
merged, misplaced, and written to. What is written to is really written to: foreign bytes must stay as they are."""

import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import jffs2tx
from jffs2tx.errors import Jffs2txError, Refused
from jffs2tx.image import open_image

from .kernel_like import KIB, Log, fresh

BLOCK = 64 * KIB


@dataclass
class Medium:
    """data, the ranges in it that are file systems, and those that are something else."""

    data: bytes = b""
    parts: list = field(default_factory=list)
    foreign: list = field(default_factory=list)

    def add(self, data, kind):
        at = len(self.data)
        self.data += data
        if kind == "jffs2":
            self.parts.append((at, at + len(data)))
        elif kind == "foreign":
            self.foreign.append((at, at + len(data)))


def upgraded(data, rnd, directory):
    """The same after transactions of our own, by one who knows the extent."""
    path = Path(directory) / "part"
    path.write_bytes(data)
    options = {"offset": 0, "length": len(data), "erase_size": BLOCK}
    with jffs2tx.open(path, writable=True, **options) as target:
        for _ in range(rnd.randrange(1, 3)):
            with target.transaction(mtime=1) as tx:
                for name in rnd.sample([b"app", b"conf", b"etc", b"log"], 2):
                    tx.put(name, rnd.randbytes(rnd.randrange(100, 9000)))
                tx.commit()
    return path.read_bytes()


def one_file_system(rnd, directory, *, order="little", most=14, cut=False):
    """Fresh, aged or upgraded, with and without cleanmarkers. cut: in a collection, where it is old."""
    kind = rnd.choice(["fresh", "aged", "aged", "old", "upgraded"])
    options = {"order": order, "nor": rnd.random() < 0.7, "erase": BLOCK}
    count = rnd.randrange(6, most)
    if kind == "fresh":
        return fresh(rnd.random(), count, **options).image()
    log = fresh(rnd.random(), count, **options) if rnd.random() < 0.5 else Log(rnd.random(), count, **options)
    log.age(rnd.randrange(30, 400) if kind == "old" else rnd.randrange(5, 120))
    if cut:
        log.collect(cut=True)
    if kind == "upgraded" and not cut:
        try:
            return upgraded(log.image(), rnd, directory)
        except Jffs2txError:  # too full
            pass
    return log.image()


def blob(rnd):
    """Something else, in whole eraseblocks."""
    kind = rnd.choice(["squashfs", "calibration", "random", "text", "uImage"])
    if kind == "squashfs":
        size = rnd.randrange(1000, 6 * BLOCK)
        body = b"hsqs" + rnd.randbytes(36) + size.to_bytes(8, "little") + rnd.randbytes(size - 48)
    elif kind == "calibration":
        body = b"\x14\xcc\x20" + rnd.randbytes(9) + b"\xff" * 4000 + b"\x02\x02" + rnd.randbytes(1086)
    elif kind == "uImage":
        size = rnd.randrange(1000, 4 * BLOCK)
        body = b"\x27\x05\x19\x56" + rnd.randbytes(8) + size.to_bytes(4, "big") + rnd.randbytes(48 + size)
    elif kind == "text":
        body = b"\0".join(b"name%d=value %d" % (n, rnd.randrange(999)) for n in range(rnd.randrange(20, 3000)))
    else:
        body = rnd.randbytes(rnd.randrange(500, 5 * BLOCK))
    return body + b"\xff" * (-len(body) % BLOCK)


def dump(seed, directory):
    """One to four file systems with what a flash has beside them."""
    rnd, medium = random.Random(seed), Medium()
    count = rnd.choice([1, 1, 2, 2, 2, 3, 4])
    if rnd.random() < 0.4:
        medium.add(blob(rnd), "foreign")
    order = rnd.choice(["little", "little", "big"])
    for number in range(count):
        if number:
            gap = rnd.random()
            if gap < 0.35:
                medium.add(blob(rnd), "foreign")
            elif gap < 0.6:
                medium.add(b"\xff" * BLOCK * rnd.randrange(1, 5), "erased")
            order = rnd.choice([order, order, order, "little", "big"])
        medium.add(one_file_system(rnd, directory, order=order), "jffs2")
    if rnd.random() < 0.3:
        medium.add(blob(rnd), "foreign")
    return medium


def single(seed, directory):
    """One file system that must stay one: of every age, nearly full, with a torn block, or cut in an upgrade."""
    rnd, medium = random.Random(seed), Medium()
    harm, order = rnd.random(), rnd.choice(["little", "big"])
    data = bytearray(one_file_system(rnd, directory, order=order, most=20, cut=harm < 0.15))
    if 0.15 <= harm < 0.3:  # a block that an erase was cut in
        at = rnd.randrange(len(data) // BLOCK) * BLOCK
        half = BLOCK // 2
        data[at : at + half] = bytes(byte | rnd.getrandbits(8) for byte in data[at : at + half])
    elif 0.3 <= harm < 0.4:  # the power went while a node was written
        at = rnd.randrange(len(data) - 100)
        data[at : at + 40] = b"\xff" * 40
    medium.add(bytes(data), "jffs2")
    return medium


# ---- what is made of it ----------------------------------------------------------------------------------------------


def verdict(medium, path):
    """right, doubt, merged, wrong or none; and whether it would be written to."""
    try:
        with open_image(path) as image:
            starts = [part.offset for part in image.location.parts]
            why_not = image.location.why_not
    except Jffs2txError:
        return "none", False
    fits = len(starts) == len(medium.parts) and all(
        low <= start < high for start, (low, high) in zip(starts, medium.parts, strict=True)
    )
    if why_not and "a second one may start" in why_not:
        return "doubt", False
    if fits:
        return "right", not why_not
    return "merged" if len(starts) < len(medium.parts) else "wrong", not why_not


def foreign_written(medium, path, rnd):
    """Eraseblocks of foreign content that recover and an upgrade change, without any option for the extent."""
    try:
        with jffs2tx.open(path, writable=True, erase_size=BLOCK) as target:
            target.recover()
            with target.transaction(mtime=1) as tx:
                tx.put(b"new", rnd.randbytes(60_000))
                tx.commit()
    except (Refused, Jffs2txError):
        pass
    after = path.read_bytes()
    changed = 0
    for low, high in medium.foreign:
        changed += sum(after[at : at + BLOCK] != medium.data[at : at + BLOCK] for at in range(low, high, BLOCK))
    return changed


def measure(kind, count, seed):
    counts = Counter()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "medium"
        for number in range(count):
            medium = (dump if kind == "dumps" else single)(f"{seed}:{kind}:{number}", directory)
            path.write_bytes(medium.data)
            answer, written = verdict(medium, path)
            several = "several" if len(medium.parts) > 1 else "beside something" if medium.foreign else "single"
            counts[several, "all"] += 1
            counts[several, answer] += 1
            counts[several, "written"] += written
            if written or number % 10 == 0:
                counts["foreign blocks written"] += foreign_written(medium, path, random.Random(number))
    return counts


def rates(counts):
    """Lines for people."""
    for several in ("several", "beside something", "single"):
        total = counts[several, "all"]
        if total:
            figures = ", ".join(
                f"{counts[several, what]} {what}" for what in ("right", "doubt", "merged", "wrong", "none", "written")
            )
            yield f"{several}: {total} media: {figures}"
    yield f"foreign blocks written: {counts['foreign blocks written']}"


def main(count=400, seed=1):
    for kind in ("dumps", "singles"):
        print(kind, flush=True)
        for line in rates(measure(kind, count, seed)):
            print("  " + line, flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
