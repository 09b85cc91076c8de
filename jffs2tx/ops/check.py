"""check: everything is read; what a kernel would stumble over is a problem."""

from __future__ import annotations

from collections.abc import Iterator

from jffs2tx._ffi import ffi, lib
from jffs2tx.errors import Jffs2txError
from jffs2tx.filesystem import ROOT_INO, FileSystem
from jffs2tx.image import Image
from jffs2tx.manifest import escape
from jffs2tx.ops.damage import Damage
from jffs2tx.ops.dump import VERDICTS
from jffs2tx.progress import ProgressCallback
from jffs2tx.tree import entry_of

_NODE_SENTENCES = {
    lib.JX_V_BAD_HEADER: "a header fails its CRC or reaches beyond its eraseblock",
    lib.JX_V_BAD_NODE: "a node fails its CRC or has a length that does not suit it",
    lib.JX_V_BAD_NAME: "a name fails its CRC",
}
UNFINISHED = {
    "staged": "a transaction was staged and never committed: recover clears it",
    "committed": "a transaction was committed and is not settled: recover finishes it",
}


def check(image: Image, *, progress: ProgressCallback | None) -> dict:
    """Reads every node and every file.

    `problems`: each with kind, text, and offset or path or inode number: bad nodes, what cannot be read, names
    without an inode, a transaction that was not finished. `unreachable_inodes` are no problem: a kernel leaves
    deleted ones on flash whose bits it cannot clear, and drops them at the next mount.

    Raises FormatError, MediumError.
    """
    with image.fs() as fs:
        nodes = lib.jx_fs_nodes(fs.handle)
        count = lib.jx_fs_node_count(fs.handle)
        reached, names, unreadable = _read_tree(fs, progress)
        problems = [
            *_bad_pages(fs),
            *_bad_nodes(fs, nodes, count),
            *_lost_names(fs, nodes, count, reached),
            *unreadable,
        ]
        state = fs.status.state
        if state in UNFINISHED:
            problems.append({"kind": "unfinished", "text": UNFINISHED[state]})
        present = {n.ino for n in _good(nodes, count) if n.nodetype == lib.JX_NODE_INODE}
    return {
        "nodes": count,
        "names": names,
        "inodes": len(reached),
        "unreachable_inodes": len(present - reached),
        "transaction": state,
        "problems": problems,
    }


def _bad_pages(fs: FileSystem) -> Iterator[dict]:
    blocks = lib.jx_fs_blocks(fs.handle)
    for number in range(lib.jx_fs_block_count(fs.handle)):
        block = blocks[number]
        if block.unreadable_pages:
            text = f"{block.offset:#010x}: pages of this eraseblock that ECC cannot correct: {block.unreadable_pages}"
            yield {"kind": "unreadable-page", "offset": block.offset, "text": text}


def _good(nodes, count: int) -> Iterator:
    return (nodes[index] for index in range(count) if nodes[index].verdict == lib.JX_V_GOOD)


def _bad_nodes(fs: FileSystem, nodes, count: int) -> Iterator[dict]:
    for index in range(count):
        node = nodes[index]
        verdict, sentence = node.verdict, _NODE_SENTENCES.get(node.verdict)
        good_inode = node.nodetype == lib.JX_NODE_INODE and verdict == lib.JX_V_GOOD
        if good_inode and lib.jx_fs_check_data(fs.handle, index) != lib.JX_OK:
            verdict, sentence = lib.JX_V_BAD_DATA, "the data of a node fail their CRC"
        if sentence:
            text = f"{node.offset:#010x}: {sentence}"
            yield {"kind": VERDICTS[verdict], "offset": node.offset, "text": text}


def _lost_names(fs: FileSystem, nodes, count: int, reached: set[int]) -> Iterator[dict]:
    """Names in the tree that stand for an inode of which no node is there; the kernel drops them."""
    known = {ROOT_INO}
    winners: dict[tuple[int, bytes], object] = {}
    arena = lib.jx_fs_names(fs.handle)
    for node in _good(nodes, count):
        if node.nodetype in (lib.JX_NODE_INODE, lib.JX_NODE_DIRENT):
            known.add(node.ino)
        if node.nodetype == lib.JX_NODE_DIRENT and node.nsize:
            key = node.ino, ffi.buffer(arena + node.name, node.nsize)[:]
            if key not in winners or node.version >= winners[key].version:
                winners[key] = node
    for (directory, name), node in sorted(winners.items(), key=lambda item: item[0]):
        if directory in reached and node.child and node.child not in known:
            shown = escape(name).decode()
            text = (
                f"the name '{shown}' in directory inode {directory} stands for inode {node.child}, which is not there"
            )
            yield {"kind": "lost-name", "inode": directory, "name": shown, "text": text}


def _read_tree(fs: FileSystem, progress: ProgressCallback | None) -> tuple[set[int], int, list[dict]]:
    """Inodes reached, names, and problems."""
    damage = Damage()
    found = list(fs.walk(onerror=damage.add))
    total = sum({status.ino: status.size for _, status in found if status.type == "file"}.values())
    done = 0
    reached: set[int] = set()
    for path, status in found:
        if status.ino in reached:
            continue
        reached.add(status.ino)
        try:
            entry_of(fs, path, status)
            if status.type == "file":
                for chunk in fs.chunks_ino(status.ino):
                    done += len(chunk)
                    if progress:
                        progress("read", done, total)
        except Jffs2txError as error:
            damage.add(path, error)
    return reached, len(found), [{"kind": "unreadable", "text": sentence} for sentence in damage.sentences]
