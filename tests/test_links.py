"""No inode of a symbolic link gets a dirent after its first ones: U-Boot resolves a link from the newest dirent of its
inode, wherever that is located. Both APIs, random changes; every dirent on the medium counts, hidden and dead ones too.
"""

import random
import re
from collections import Counter, defaultdict
from dataclasses import replace
from unittest import mock

import pytest

from jffs2tx import upgrade
from jffs2tx.device import Flash, Geometry
from jffs2tx.errors import Refused
from jffs2tx.filesystem import FileSystem
from jffs2tx.format import parse
from jffs2tx.manifest import Manifest
from jffs2tx.readers import named
from jffs2tx.transaction import Transaction
from jffs2tx.upgrade import apply_upgrade, old_tree, wanted_tree

from .crafted import filesystem, link_entry

KIB = 1024
GEOMETRIES = {
    "nor": Geometry("nor", 24 * 64 * KIB, 64 * KIB),
    "nand2k": Geometry("nand", 20 * 128 * KIB, 128 * KIB, 2048, 512, 38),
}
READERS = named(("linux-summary",))
LINK_TYPE = 10  # DT_LNK
DIRENT = re.compile(rb"\x85\x19\x01[\xc0\xe0]", re.DOTALL)
TREE = {b"a": None, b"a/b": None, b"a/b/f": b"x", b"c": None, b"d": None, b"a/l": link_entry(b"a/l", b"b")}
ROUNDS = 6


def link_dirents(flash):
    """Inode of a link -> {(directory, version, name)} of every whole dirent on the medium, whether or not it counts."""
    found = defaultdict(set)
    content = flash.read(0, flash.geometry.size)
    for hit in DIRENT.finditer(content):
        if hit.start() % 4 == 0:
            node = parse(content, "little", hit.start())
            if not node.wrong and node.fields.type == LINK_TYPE and node.fields.ino:
                found[node.fields.ino].add((node.fields.pino, node.fields.version, bytes(node.fields.name)))
    return found


def fresh(geometry):
    with filesystem(geometry, TREE) as made:
        return Flash.memory(geometry, made.read(0, geometry.size))


def any_path(rng, tx, types=("file", "link", "dir")):
    return rng.choice(sorted(path for path, node in tx._wanted.items() if path and node.entry.type in types))


def new_path(rng, tx):
    homes = sorted(path for path, node in tx._wanted.items() if node.entry.type == "dir")
    return rng.choice(homes) + b"/n%d" % rng.randrange(1000)


def change(rng, tx):
    what = rng.choice(("symlink", "symlink", "rename", "rename", "rename", "link", "put", "remove", "mkdir", "chown"))
    path = new_path(rng, tx)
    if what == "symlink":
        tx.symlink(path, rng.choice((b"t", b"../x", b"/abs")))
    elif what == "put":
        tx.put(path, rng.randbytes(rng.choice((0, 5, 6000))))
    elif what == "mkdir":
        tx.mkdir(path)
    elif what == "rename":
        tx.rename(any_path(rng, tx), path)
    elif what == "link":
        old = any_path(rng, tx, ("file", "link"))
        tx.link(old, path)
    elif what == "chown":
        tx.chown(any_path(rng, tx), rng.randrange(9), 0)
    else:
        tx.remove(any_path(rng, tx), recursive=True)


def by_transaction(flash, tx):
    return tx.commit().plan


def by_manifest(flash, tx):
    """The tree that the transaction was asked for, as a manifest alone."""
    tree = old_tree(tx.fs)
    kept = {path: node.keep for path, node in tx._wanted.items() if node.keep is not None}
    entries = []
    for path, node in tx._wanted.items():
        has_content = node.entry.type == "file" and path in kept
        entries.append(replace(node.entry, sha256=tree.sha256(kept[path])) if has_content else node.entry)
    return apply_upgrade(flash, wanted_tree(Manifest(entries)), tx._chunks, readers=READERS).plan


def link_groups(flash):
    """Inode of a link -> its names."""
    with FileSystem(flash) as fs:
        found = defaultdict(list)
        for path, old in old_tree(fs).paths.items():
            if old.entry.type == "link":
                found[old.ino].append(path)
        return found


def check_round(before, flash):
    groups = link_groups(flash)
    for ino, dirents in link_dirents(flash).items():
        homes = {path.rpartition(b"/")[0] for path in groups.get(ino, ())}
        if len(homes) > 1:
            continue  # hard-linked over several directories: the plan warns
        assert ino not in before or dirents <= before[ino], "an older link got a dirent"
        if ino in groups and ino not in before:
            assert Counter(name for _, _, name in dirents) == Counter(
                path.rpartition(b"/")[2] for path in groups[ino]
            ), "one dirent for each name"


@pytest.mark.parametrize("land", [by_transaction, by_manifest])
@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("seed", range(12))
def test_a_link_gets_no_second_dirent(name, land, seed):
    rng = random.Random(seed)
    links = 0
    with fresh(GEOMETRIES[name]) as flash:
        for number in range(ROUNDS):
            before = link_dirents(flash)
            with (
                FileSystem(flash) as fs,
                mock.patch.object(upgrade, "_settle", lambda flash, landed, endian, readers: landed),  # dead ones stay
            ):
                tx = Transaction(flash, fs, time=1000 + number, readers=READERS)
                for _ in range(rng.randrange(1, 7)):
                    try:
                        change(rng, tx)
                    except (Refused, OSError):
                        continue
                land(flash, tx)
            check_round(before, flash)
            links += len(link_dirents(flash))
    assert links
