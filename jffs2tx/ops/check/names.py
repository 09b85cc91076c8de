"""Names: what they stand for, and what no name reaches."""

from __future__ import annotations

from collections.abc import Iterator

from jffs2tx._ffi import lib
from jffs2tx.errors import printable
from jffs2tx.filesystem import is_name
from jffs2tx.format import DIRENT_TYPES, NodeType, pad4
from jffs2tx.manifest import NAME_MAX_BYTES
from jffs2tx.ops.check import kinds
from jffs2tx.ops.check.finding import Finding
from jffs2tx.ops.check.survey import DT_SHIFT, S_IFMT, Survey


def lost_names(survey: Survey) -> Iterator[Finding]:
    for directory, name, node in _winners_in_tree(survey):
        if node.child not in survey.known:
            text = f"the name '{printable(name)}' stands for inode {node.child}, of which nothing is there"
            path = survey.path_below(directory, name)
            yield Finding(kinds.LOST_NAME, text, node.offset, path, node.child)


def impossible_names(survey: Survey) -> Iterator[Finding]:
    for directory, name, node in _winners_in_tree(survey):
        if not is_name(name) or len(name) > NAME_MAX_BYTES:
            text = f"'{printable(name)}' is no name that a file can have"
            path = survey.path_below(directory, name)
            yield Finding(kinds.IMPOSSIBLE_NAME, text, node.offset, path, node.child)


def nul_names(survey: Survey) -> Iterator[Finding]:
    """The record has the name up to the NUL, and is no good; one that fails its CRC has none."""
    for index in survey.indices(lib.JX_NODE_DIRENT, verdict=lib.JX_V_BAD_NAME):
        node = survey.nodes[index]
        if node.nsize:
            name = survey.name(index)
            text = f"a name with a NUL in it, cut off to '{printable(name)}'"
            yield Finding(kinds.NUL_NAME, text, node.offset, survey.path_below(node.ino, name), node.child)


def second_names(survey: Survey) -> Iterator[Finding]:
    """Directories with more names than one: loops, and hard links."""
    for second in survey.second_names:
        node = survey.nodes[survey.winners[second.directory, second.name]]
        path = survey.path_below(second.directory, second.name)
        first = printable(b"/" + (survey.path(second.ino) or b""))
        if second.loops:
            text = f"stands for the directory {first}, which holds it"
            yield Finding(kinds.DIRECTORY_LOOP, text, node.offset, path, second.ino)
        else:
            text = f"is a second name of the directory {first}"
            yield Finding(kinds.HARD_LINKED_DIRECTORY, text, node.offset, path, second.ino)


def wrong_types(survey: Survey) -> Iterator[Finding]:
    for directory, name, node in _winners_in_tree(survey):
        if node.child not in survey.places:
            continue
        inode = survey.inode(node.child)
        if inode.error is None and (inode.mode & S_IFMT) >> DT_SHIFT != node.type:
            said = DIRENT_TYPES.get(node.type, f"type {node.type}")
            real = DIRENT_TYPES.get((inode.mode & S_IFMT) >> DT_SHIFT, "unknown")
            text = f"the name says {said}, the inode is of type {real}"
            yield Finding(kinds.WRONG_TYPE, text, node.offset, survey.path_below(directory, name), node.child)


def stray_names(survey: Survey) -> Iterator[Finding]:
    for (directory, name), index in survey.winners.items():
        node = survey.nodes[index]
        if directory not in survey.places or not node.child or node.child not in survey.known:
            continue
        inode = survey.inode(directory)
        if inode.error is None and not inode.is_directory:
            text = f"inode {directory}, which is no directory, holds the name '{printable(name)}'"
            yield Finding(kinds.STRAY_NAME, text, node.offset, survey.path(directory), directory)


def _winners_in_tree(survey: Survey) -> Iterator[tuple[int, bytes, object]]:
    """Directory, name and dirent of each name of the tree, whether its inode is there or not."""
    for (directory, name), index in survey.winners.items():
        if survey.nodes[index].child and directory in survey.places and survey.inode(directory).is_directory:
            yield directory, name, survey.nodes[index]


# ---- what no name reaches --------------------------------------------------------------------------------------------


def stale_names(survey: Survey) -> Iterator[Finding]:
    """Where bits can be cleared, a kernel without summary support removes a name by its newest dirent alone."""
    for (directory, name), indices in survey.dirents.items():
        path = survey.path_below(directory, name) if survey.marks_names else None
        newest = survey.nodes[survey.winners[directory, name]].version
        for node in (survey.nodes[index] for index in indices) if path is not None else ():
            if node.child and node.version < newest:
                text = (
                    f"inode {node.child} had the name '{printable(name)}' by version {node.version}; {newest} is newer"
                )
                yield Finding(kinds.STALE_NAME, text, node.offset, path, node.child)


def forgotten_names(survey: Survey) -> Iterator[Finding]:
    """A kernel without summary support leaves such neighbours everywhere, and they do it no harm."""
    if not survey.marks_names or not (survey.fs.has_summaries or _is_unmended(survey)):
        return
    for (directory, name), indices in survey.dirents.items():
        path = survey.path_below(directory, name)
        for index in indices if path is not None else ():
            node, after = survey.nodes[index], survey.nodes[min(index + 1, survey.node_count - 1)]
            ours = after.nodetype == NodeType.TAG and after.verdict == lib.JX_V_GOOD
            marked = ours or (after.verdict == lib.JX_V_OBSOLETE and not after.by_summary)
            if (
                node.child
                and marked
                and node.offset + pad4(node.totlen) == after.offset
                and _same_block(survey, node, after)
            ):
                text = f"what follows '{printable(name)}' at {after.offset:#x} is marked obsolete"
                yield Finding(kinds.FORGOTTEN_NAME, text, node.offset, path, node.child)


def _same_block(survey: Survey, node, other) -> bool:
    return node.offset // survey.erase_size == other.offset // survey.erase_size


def _is_unmended(survey: Survey) -> bool:
    """Whether a version of jffs2tx whose tags have format 1 settled here, and no later one since (jx_unmended)."""
    roles = (lib.JX_TAG_SETTLED, lib.JX_TAG_COMMIT)
    blocks = [block for block in survey.blocks() if block.tag in roles]
    older = max((block.txid for block in blocks if block.tag_format == 1), default=0)
    return older > 0 and older >= max((block.txid for block in blocks if block.tag_format > 1), default=0)


def unreachable(survey: Survey) -> Iterator[Finding]:
    """Inodes that no path reaches; of these the kernel keeps what some other unreached inode has a name for."""
    kept = _kept_alive(survey)
    for ino in sorted(survey.known - survey.places.keys()):
        indices = survey.versions.get(ino)
        offset = survey.nodes[indices[-1]].offset if indices else None
        if ino in kept:
            text = f"no path reaches inode {ino}, but a name holds it"
            yield Finding(kinds.KEPT_ORPHAN, text, offset, None, ino)
        elif indices:
            yield Finding(kinds.UNREACHABLE_INODE, f"no name reaches inode {ino}", offset, None, ino)


def _kept_alive(survey: Survey) -> set[int]:
    """What is left when inodes without a link are taken away with their links, again and again
    (jffs2_build_filesystem, passes 2 and 2a).
    """
    links = dict.fromkeys(survey.known - survey.places.keys(), 0)
    below: dict[int, list[int]] = {}
    for (holder, _), index in survey.winners.items():
        child = survey.nodes[index].child
        if child in links:
            links[child] += 1
            below.setdefault(holder, []).append(child)
    pending = [ino for ino, count in links.items() if not count]
    while pending:
        ino = pending.pop()
        del links[ino]
        for child in below.get(ino, ()):
            links[child] -= 1
            if not links[child]:
                pending.append(child)
    return set(links)
