"""Trees as tests think of them: a model in memory, its changes, its manifest, and what a kernel should show of it."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from jffs2tx.filesystem import FileSystem
from jffs2tx.manifest import Entry, Manifest

from .lab.tree import text as path_text

OLD_TIME, NEW_TIME, LATER = 1_500_000_000, 1_600_000_000, 1_650_000_000

_LAB_TYPES = {
    "file": "reg",
    "dir": "dir",
    "link": "lnk",
    "char": "chr",
    "block": "blk",
    "fifo": "fifo",
    "socket": "sock",
}


@dataclass
class Node:
    """An inode. Two paths that hold the same object are hard links."""

    type: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    time: int = OLD_TIME
    data: bytes = b""
    link: bytes | None = None
    device: tuple[int, int] | None = None
    xattrs: dict[bytes, bytes] = field(default_factory=dict)


Tree = dict[bytes, Node]


def noise(seed: int, size: int) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


def prose(seed: int, size: int) -> bytes:
    """Text that does."""
    chosen = random.Random(seed)
    words = [b"flash", b"erase", b"block", b"page", b"node", b"dirent", b"log", b"commit", b"settle"]
    out = bytearray()
    while len(out) < size:
        out += chosen.choice(words) + (b" " if chosen.random() < 0.9 else b"\n")
    return bytes(out[:size])


def sparse(seed: int) -> bytes:
    """Data, two pages of hole, data, and a hole at the end."""
    return noise(seed, 5000) + bytes(3192 + 8192) + noise(seed + 1, 100) + bytes(20000)


LONG = b"n" * 215 + "-\xe4\xf6\xfc-long-name".encode()


def directory(mode: int = 0o755, **more) -> Node:
    return Node("dir", mode, **more)


def file(data: bytes = b"", mode: int = 0o644, **more) -> Node:
    return Node("file", mode, data=data, **more)


def link(target: bytes, **more) -> Node:
    return Node("link", 0o777, link=target, **more)


def base() -> Tree:
    """A small root file system with one of everything; all content is deterministic."""
    tree: Tree = {b"": directory()}
    for path in (b"bin", b"dev", b"etc", b"etc/conf.d", b"var", b"var/old", b"var/old/cache", b"srv"):
        tree[path] = directory()
    tree[b"var/tmp"] = directory(0o1777)
    tree[b"kernel.img"] = file(noise(1, 21000), 0o600)
    tree[b"README"] = file(prose(2, 900))
    tree[b"start"] = link(b"bin/busybox")
    tree[b"bin/busybox"] = tree[b"bin/ls"] = tree[b"bin/cp"] = file(prose(3, 9000), 0o4755)
    tree[b"bin/sh"] = link(b"busybox")
    tree[b"etc/passwd"] = file(b"root:x:0:0::/:/bin/sh\n", 0o600)
    tree[b"etc/hosts"] = file(b"127.0.0.1 localhost\n")
    tree[b"etc/empty"] = file(b"", 0o444, uid=65535, gid=65534)
    tree[b"etc/conf.d/first"] = file(prose(4, 4096))
    tree[b"etc/conf.d/second"] = file(prose(5, 4097))
    tree[b"dev/console"] = Node("char", 0o600, device=(5, 1))
    tree[b"dev/sda1"] = Node("block", 0o660, gid=6, device=(8, 17))
    tree[b"dev/far"] = Node("char", 0o622, device=(200, 70000))
    tree[b"dev/pipe"] = Node("fifo", 0o640)
    tree[b"dev/log"] = Node("socket", 0o666)
    tree[b"var/holes"] = file(sparse(6), uid=1000, gid=1001)
    tree[b"var/old/one"] = file(prose(7, 300))
    tree[b"var/old/cache/two"] = file(noise(8, 300))
    _add_usr(tree)
    return tree


def _add_usr(tree: Tree) -> None:
    deep = b"usr/share/doc/a/b/c/d"
    for path in (b"usr", b"usr/bin", b"usr/lib", b"usr/lib/plugins", b"usr/share", b"usr/share/man", b"usr/to-file"):
        tree[path] = directory()
    for length in range(deep.count(b"/") + 1):
        tree.setdefault(b"/".join(deep.split(b"/")[: length + 1]), directory())
    tree[deep + b"/leaf"] = file(prose(20, 700))
    tree[deep + b"/kept"] = file(prose(21, 701))
    tree[b"usr/lib/libc.so"] = file(noise(22, 30000), 0o755)
    tree[b"usr/lib/libm.so"] = file(prose(23, 13000), 0o755)
    tree[b"usr/lib/libc.so.6"] = link(b"libc.so")
    tree[b"usr/lib/libm.so.6"] = link(b"libm.so")
    tree[b"usr/lib/plugins/" + LONG] = file(prose(24, 50))
    tree[b"usr/lib/plugins/kept"] = file(noise(25, 12288))
    tree[b"usr/bin/x"] = tree[b"usr/bin/y"] = file(prose(26, 5000), 0o755)
    tree[b"usr/bin/tool"] = file(prose(27, 3000), 0o755)
    tree[b"usr/bin/grown"] = file(prose(28, 8192))
    tree[b"usr/share/man/page"] = file(prose(29, 2000))
    tree[b"usr/share/null"] = Node("char", 0o666, device=(1, 3))
    tree[b"usr/share/queue"] = Node("fifo", 0o600, uid=7)
    tree[b"usr/to-file/inner"] = file(b"gone soon")
    tree[b"usr/to-dir"] = file(b"a directory soon")


def without_far_devices(tree: Tree) -> Tree:
    """mkfs.jffs2 knows device numbers of 8 bits each only, and cuts the others."""
    tree = copy.deepcopy(tree)
    tree[b"dev/far"].device = (200, 70)
    return tree


def with_xattrs(tree: Tree) -> Tree:
    """The same tree with attributes, two of them equal."""
    tree = copy.deepcopy(tree)
    tree[b"etc/passwd"].xattrs = {b"user.colour": b"blue\0green", b"trusted.level": b"7"}
    tree[b"etc/hosts"].xattrs = {b"user.colour": b"blue\0green"}
    tree[b"usr/lib/libc.so"].xattrs = {b"security.label": b"lib", b"user.long": noise(40, 600)}
    tree[b"usr/share/doc"].xattrs = {b"user.kind": b"docs"}
    tree[b"usr/lib/plugins"].xattrs = {b"trusted.empty": b""}
    return tree


# ---- changes of the model --------------------------------------------------------------------------------------------


def parent_of(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def below(tree: Tree, path: bytes) -> list[bytes]:
    return [other for other in tree if other.startswith(path + b"/")]


def remove(tree: Tree, path: bytes, time: int = NEW_TIME) -> None:
    for gone in (path, *below(tree, path)):
        del tree[gone]
    tree[parent_of(path)].time = time


def put(tree: Tree, path: bytes, node: Node, time: int = NEW_TIME) -> None:
    tree[path] = node
    node.time = time
    tree[parent_of(path)].time = time


def rename(tree: Tree, path: bytes, to: bytes, time: int = NEW_TIME) -> None:
    for old in (path, *below(tree, path)):
        tree[to + old[len(path) :]] = tree.pop(old)
    tree[parent_of(path)].time = tree[parent_of(to)].time = time


def grafted(tree: Tree, other: Tree, top: bytes) -> Tree:
    """The tree with all at and below `top` from another one."""

    def is_inside(path: bytes) -> bool:
        return path == top or path.startswith(top + b"/")

    outside = {path: node for path, node in tree.items() if not is_inside(path)}
    return copy.deepcopy(outside | {path: node for path, node in other.items() if is_inside(path)})


def upgraded_below(old: Tree) -> Tree:
    """A later version that differs below usr only, and where no file that stays takes new metadata (see swap)."""
    new = copy.deepcopy(old)
    deep = b"usr/share/doc/a/b/c/d"
    put(new, deep + b"/leaf", file(prose(50, 1500)))
    put(new, b"usr/lib/libc.so", file(noise(51, 34000), 0o755))
    put(new, b"usr/lib/libnew.so", file(prose(52, 10000), 0o700, uid=3, xattrs={b"user.new": b"1", b"trusted.t": b"x"}))
    remove(new, b"usr/lib/libm.so")
    remove(new, b"usr/lib/libm.so.6")
    put(new, b"usr/lib/libc.so.6", link(b"libnew.so"))
    put(new, b"usr/lib/libnew.so.1", link(b"libnew.so"))
    put(new, b"usr/lib/plugins/" + LONG[::-1].replace(b"\xa4", b"q").replace(b"\xc3", b"w"), file(b"reversed"))
    put(new, b"usr/bin/y", file(prose(26, 5000), 0o700, uid=5))  # two inodes where there was one
    put(new, b"usr/bin/tool", link(b"x"))
    put(new, b"usr/bin/grown", file(prose(28, 8192) + prose(53, 5000)))
    put(new, b"usr/bin/holes", file(sparse(54)))
    put(new, b"usr/bin/one", file(prose(55, 77)))
    new[b"usr/bin/two"] = new[b"usr/bin/three"] = new[b"usr/bin/one"]
    new[b"usr/lib/kernel.img"] = new[b"kernel.img"]  # one more name of a file elsewhere
    rename(new, b"usr/share/man", b"usr/share/manual")
    put(new, b"usr/share/null", Node("block", 0o666, device=(259, 1_000_000)))
    put(new, b"usr/share/sock", Node("socket", 0o600, gid=9))
    remove(new, b"usr/to-file")
    put(new, b"usr/to-file", file(b"was a directory"))
    remove(new, b"usr/to-dir")
    put(new, b"usr/to-dir", directory(0o750))
    put(new, b"usr/to-dir/inner", file(noise(56, 100)))
    put(new, b"usr/empty", directory(0o2755, gid=50))
    new[b"usr/share"].mode = 0o711
    return new


def upgraded_everywhere(old: Tree) -> Tree:
    """A later version with changes in the root, of metadata only and of attributes, beside those below usr."""
    new = upgraded_below(old)
    put(new, b"kernel.img", file(noise(60, 23000), 0o600))
    remove(new, b"README")
    put(new, b"NEWS", file(prose(61, 1200)))
    put(new, b"opt", directory(0o755))
    put(new, b"opt/app", directory(0o755))
    put(new, b"opt/app/run", file(noise(62, 5000), 0o755))
    put(new, b"etc/passwd", file(b"root:x:0:0::/:/bin/ash\n", 0o600))
    remove(new, b"var/old")
    put(new, b"dev/console", Node("char", 0o622, device=(5, 2)))
    new[b"bin/busybox"].mode = 0o755  # all its names
    new[b"bin/busybox"].time = NEW_TIME
    new[b"var/holes"].uid = 0
    new[b"etc/hosts"].xattrs = {b"user.colour": b"red", b"user.more": noise(63, 300)}
    new[b"etc/conf.d/second"].xattrs = {b"user.first": b"of this file"}
    new[b"etc"].mode = 0o700
    new[b"srv"].time = NEW_TIME
    new[b""].mode = 0o751
    return new


# ---- actions: what a kernel is made to do, and its effect on the model -----------------------------------------------


def latin(data: bytes) -> str:
    return data.decode("latin-1")


def node_json(node: Node) -> dict:
    return {
        "type": node.type,
        "mode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
        "time": node.time,
        "data": latin(node.data),
        "link": None if node.link is None else latin(node.link),
        "device": node.device,
        "xattrs": {latin(name): latin(value) for name, value in node.xattrs.items()},
    }


class Script:
    """Actions on a tree, written down for the guest and done to the model at once. Ends with stamp()."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.actions: list[list] = []
        self._touched: set[bytes] = set()

    def _do(self, name: str, *arguments: object, touched: Iterable[bytes]) -> None:
        self.actions.append([name, *(latin(a) if isinstance(a, bytes) else a for a in arguments)])
        self._touched |= set(touched)

    def make(self, path: bytes, node: Node) -> None:
        self._do("make", path, node_json(node), touched=(path, parent_of(path)))
        self.tree[path] = node

    def link(self, existing: bytes, path: bytes) -> None:
        self._do("link", existing, path, touched=(parent_of(path),))
        self.tree[path] = self.tree[existing]

    def write(self, path: bytes, offset: int, data: bytes) -> None:
        self._do("write", path, offset, data, touched=(path,))
        node = self.tree[path]
        node.data = node.data.ljust(offset, b"\0")[:offset] + data + node.data[offset + len(data) :]

    def truncate(self, path: bytes, size: int) -> None:
        self._do("truncate", path, size, touched=(path,))
        self.tree[path].data = self.tree[path].data[:size].ljust(size, b"\0")

    def rename(self, path: bytes, to: bytes) -> None:
        """Onto a name that is free, or a file's (of another inode: else it does nothing)."""
        self._do("rename", path, to, touched=(parent_of(path), parent_of(to)))
        self._touched |= {to + old[len(path) :] for old in self._touched if (old + b"/").startswith(path + b"/")}
        rename(self.tree, path, to)

    def remove(self, path: bytes) -> None:
        self._do("remove", path, touched=(parent_of(path),))
        remove(self.tree, path)

    def chmod(self, path: bytes, mode: int) -> None:
        self._do("chmod", path, mode, touched=())
        self.tree[path].mode = mode

    def churn(self, rounds: int = 2, bytes_each: int = 30000) -> None:
        self._do("churn", rounds, bytes_each, touched=(b"",))

    def stamp(self, time: int = LATER) -> None:
        """One time for all that was touched and is still there; later names of what was there before keep theirs."""
        paths = sorted(path for path in self._touched if path in self.tree)
        for path in paths:
            self.tree[path].time = time
        self.actions.append(["stamp", [[latin(path), time] for path in paths]])
        self._touched.clear()

    def stamp_as(self, tree: Tree) -> None:
        """Every path's time as in this tree of the same paths."""
        self.actions.append(["stamp", [[latin(path), tree[path].time] for path in sorted(tree)]])
        for path, node in tree.items():
            self.tree[path].time = node.time
        self._touched.clear()

    def json(self) -> str:
        return json.dumps(self.actions)


def building(tree: Tree) -> list[list]:
    """The actions that make a tree in an empty directory."""
    actions, first, times = [], {}, []
    for path in sorted(tree):
        node = tree[path]
        if id(node) in first:
            actions.append(["link", latin(first[id(node)]), latin(path)])
        else:
            actions.append(["make", latin(path), node_json(node)])
            first[id(node)] = path
        times.append([latin(path), node.time])
    return [*actions, ["stamp", times]]


def lived(final: Tree) -> list[Script]:
    """Two scripts (mount anew between them) that make this tree, with a past: renamed, truncated and regrown, deleted
    and made again, overwritten in part."""
    past = copy.deepcopy(final)
    rename(past, b"usr", b"usr.new")
    past[b"etc/passwd"].data = prose(80, 6000)
    past[b"bin/busybox"].data = noise(81, 15000)
    past[b"usr.new/bin/grown"].data = prose(82, 3000)
    past[b"usr.new/lib/libm.so"].data = noise(83, 9000)
    past[b"scratch"] = directory()
    past[b"scratch/moved"] = past.pop(b"var/old/one")
    past[b"scratch/gone"] = file(noise(84, 9000))
    past[b"README"].mode = 0o600
    first = Script(past)
    first.actions = building(past)
    second = Script(copy.deepcopy(past))
    second.rename(b"usr.new", b"usr")
    second.remove(b"etc/passwd")
    second.make(b"etc/passwd", copy.deepcopy(final[b"etc/passwd"]))
    _rewrite(second, b"bin/busybox", final[b"bin/busybox"].data, 3000)
    _rewrite(second, b"usr/bin/grown", final[b"usr/bin/grown"].data, 4096)
    _rewrite(second, b"usr/lib/libm.so", final[b"usr/lib/libm.so"].data, 5001)
    second.rename(b"scratch/moved", b"var/old/one")
    second.remove(b"scratch")
    second.make(b"scratch", file(prose(85, 40)))
    second.remove(b"scratch")
    second.chmod(b"README", final[b"README"].mode)
    second.stamp_as(final)
    return [first, second]


def _rewrite(script: Script, path: bytes, data: bytes, step: int) -> None:
    """Cut short, regrown with a hole, then overwritten by overlapping pieces."""
    script.truncate(path, 100)
    script.truncate(path, len(data))
    for start in range(0, len(data), step):
        script.write(path, start, data[start : start + step + 50])


def worked_on(tree: Tree) -> list[Script]:
    """Two scripts of a busy system on an old or an upgraded tree; what an upgrade touched is touched again."""
    tree = copy.deepcopy(tree)
    one = Script(tree)
    gone = (b"usr/lib/libc.so", b"usr/lib/libnew.so.1", b"usr/bin/three", b"usr/share/sock", b"NEWS", b"opt/app")
    for path in (*gone, b"usr/share/man", b"usr/share/manual"):
        if path in tree:
            one.remove(path)
    for path, to in (
        (b"usr/lib/libnew.so", b"usr/lib/renamed.so"),
        (b"usr/bin", b"usr/sbin"),
        (b"etc/conf.d/first", b"etc/conf.d/second"),
    ):
        if path in tree:
            one.rename(path, to)
    one.write(b"usr/sbin/grown", 5000, noise(70, 1500))
    one.truncate(b"usr/sbin/grown", 6000)
    one.make(b"usr/lib/libm.so", file(prose(71, 4500)))
    one.make(b"kernel.img", file(noise(72, 5000)))
    one.link(b"bin/busybox", b"usr/busybox")
    one.chmod(b"etc/hosts", 0o600)
    one.make(b"home", directory())
    one.make(b"home/" + LONG, file(noise(73, 300)))
    one.stamp()
    two = Script(copy.deepcopy(tree))
    for path in (b"usr/lib/libm.so", b"kernel.img", b"usr/to-dir", b"usr/share/doc/a/b/c/d/leaf", b"home"):
        two.remove(path)
    two.rename(b"usr/sbin", b"usr/bin")
    two.rename(b"usr/bin/grown", b"usr/bin/y")
    two.make(b"home", file(prose(74, 10)))
    two.make(b"README", file(prose(75, 100)))
    two.churn()
    two.remove(b"home")
    two.stamp(LATER + 1)
    return [one, two]


# ---- what others make of a tree --------------------------------------------------------------------------------------


def lines(tree: Tree) -> list[str]:
    """As tests.lab.tree.lines: one JSON object for each path."""
    first: dict[int, bytes] = {}
    names: dict[int, int] = {}
    for node in tree.values():
        names[id(node)] = names.get(id(node), 0) + 1
    result = []
    for path in sorted(tree):
        node = tree[path]
        entry = {
            "path": path_text(path) or ".",
            "type": _LAB_TYPES[node.type],
            "mode": f"{node.mode:04o}",
            "uid": node.uid,
            "gid": node.gid,
            "mtime": node.time,
        }
        if node.type == "file":
            entry["size"], entry["sha256"] = len(node.data), hashlib.sha256(node.data).hexdigest()
        elif node.type == "link":
            entry["target"] = path_text(node.link or b"")
        elif node.device:
            entry["device"] = list(node.device)
        if node.xattrs:
            entry["xattrs"] = {path_text(name): value.hex() for name, value in node.xattrs.items()}
        if names[id(node)] > 1:
            entry["link"] = path_text(first.setdefault(id(node), path))
        result.append(json.dumps(entry, sort_keys=True, ensure_ascii=True))
    return result


def difference(wanted: list[str], seen: list[str]) -> str:
    """The lines that differ, for an assertion's message."""
    return "\n".join(
        [f"- {x}" for x in wanted if x not in set(seen)] + [f"+ {x}" for x in seen if x not in set(wanted)]
    )


def with_times_of(tree: Tree, shown: list[str]) -> Tree:
    """The tree with the directories' times as they were shown: a directory's time comes from what was written last."""
    tree = copy.deepcopy(tree)
    times = {entry["path"]: entry["mtime"] for entry in map(json.loads, shown) if entry["type"] == "dir"}
    for path, node in tree.items():
        if node.type == "dir":
            node.time = times[path_text(path) or "."]
    return tree


def manifest(tree: Tree) -> Manifest:
    groups: dict[int, int] = {}
    entries = []
    for path in sorted(tree):
        node = tree[path]
        entries.append(
            Entry(
                path=path,
                type=node.type,
                mode=node.mode,
                uid=node.uid,
                gid=node.gid,
                time=node.time,
                size=len(node.data),
                sha256=hashlib.sha256(node.data).hexdigest() if node.type == "file" else None,
                link=node.link,
                device=node.device,
                inode=None if node.type == "dir" else groups.setdefault(id(node), len(groups)),
                xattrs=dict(node.xattrs),
            )
        )
    return Manifest(entries)


def seen_by_us(fs: FileSystem) -> Tree:
    """The tree as our own reader sees it."""
    tree: Tree = {}
    inodes: dict[int, Node] = {}
    for path, status in fs.walk():
        node = inodes.get(status.ino)
        if node is None or status.type == "dir":
            node = Node(status.type, status.mode, status.uid, status.gid, status.mtime, device=status.device)
            node.data = fs.read_ino(status.ino) if status.type == "file" else b""
            node.link = fs.readlink_ino(status.ino) if status.type == "link" else None
            node.xattrs = fs.xattrs_ino(status.ino)
            inodes[status.ino] = node
        tree[path] = node
    return tree
