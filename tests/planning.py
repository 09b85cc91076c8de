"""Trees and media for tests of the planner alone."""

import hashlib

from jffs2tx.manifest import Entry
from jffs2tx.plan import Medium, Old, OldTree, Wanted, make_plan
from jffs2tx.readers import named

BIG = 1 << 20


def medium(kind="nor", limit=BIG, strategies=("swap", "flip"), has_xattrs=False):
    return Medium(
        kind,
        65536,
        lambda strategy: strategy in strategies,
        lambda strategy, summary: 300 if strategy == "swap" else limit,
        has_xattrs,
    )


def entry(path, kind="dir", content=None, **more):
    data = content if content is not None else b""
    digest = hashlib.sha256(data).hexdigest() if kind == "file" else None
    base = {"mode": 0o755, "uid": 0, "gid": 0, "time": 1000, "size": len(data), "sha256": digest}
    return Entry(path=path, type=kind, **(base | more))


def tree(*entries):
    return {e.path: e for e in (entry(b""), *entries)}


def plan(before, after, *, strategy="auto", readers=("linux",), on=None):
    contents = {}
    groups = {}
    paths = {}
    for number, (path, e) in enumerate(before.items(), start=1):
        ino = groups.setdefault(e.inode, number) if e.inode is not None else number
        paths[path] = Old(ino, e, dict.fromkeys(e.xattrs, (7,)))
        contents[ino] = e.sha256
    old = OldTree(paths, lambda ino: contents[ino])
    wanted = {path: Wanted(e) for path, e in after.items()}
    return make_plan(old, wanted, on or medium(), named(readers), strategy)
