"""status, ls, cat: what is on the medium."""

from __future__ import annotations

from collections.abc import Iterator

from jffs2tx._ffi import lib
from jffs2tx.damage import Damage, Reading, content_damage, inode_damage, lost_below, reason_of, undecodable
from jffs2tx.device import Oob
from jffs2tx.errors import Corrupt, Damaged, InvalidValue, IsADirectory, Jffs2txError, about
from jffs2tx.filesystem import FileSystem, Stat
from jffs2tx.image import Image
from jffs2tx.manifest import Entry
from jffs2tx.tree import entry_of


def status(image: Image) -> dict:
    """Geometry, byte order, space and the last transaction. Raises FormatError, MediumError."""
    geometry = image.geometry
    dump = {"dump": _dump_facts(image.oob)} if image.oob else {}
    with image.fs() as fs:
        space, last = fs.space, fs.status
        return {
            "geometry": {
                "kind": geometry.kind,
                "size_bytes": geometry.size,
                "erase_size_bytes": geometry.erase_size,
                "page_size_bytes": geometry.write_size,
                "subpage_size_bytes": geometry.subpage_size,
                "oob_avail_bytes": geometry.oob_avail,
            },
            **dump,
            **_found_facts(image),
            "mounted": image.mounted,
            "endian": fs.endian,
            "summaries": fs.has_summaries,
            "space": {
                "blocks": space.blocks,
                "bad": space.bad,
                "free": space.free,
                "dirty": space.dirty,
                "held": space.held,
                "reserve": space.reserve,
                "needed_bytes": space.needed_bytes,
            },
            "transaction": {
                "state": last.state,
                "txid": None if last.state == "none" else last.txid,
                "strategy": last.strategy,
            },
            "ecc": ecc_facts(fs),
            "guesses": list(image.guesses),
        }


def _found_facts(image: Image) -> dict:
    """What the file shows, and where in it this file system stands; nothing of a device, which the kernel describes."""
    seen, location = image.seen, image.location
    if seen is None or location is None:
        return {}
    part = location.view
    found = {
        "offset": part.offset,
        "length_bytes": part.length,
        "little_endian_nodes": seen.little,
        "big_endian_nodes": seen.big,
        "cleanmarkers": seen.cleanmarkers,
        "erase_size_because": seen.erase_size_reason,
    }
    others = [
        {
            "offset": one.offset,
            "length_bytes": one.length,
            "endian": one.endian,
            "nodes": one.nodes,
            "text": f"at {one}, {one.nodes} nodes",
        }
        for one in location.parts
    ]
    return {"found": found, "file_systems": others}


def _dump_facts(oob: Oob) -> dict:
    """Where things stand in the OOB of a dump, in bytes from its start."""
    return {
        "oob_size_bytes": oob.size,
        "cleanmarker_at": oob.free_at,
        "bad_mark_at": oob.bad_at,
        "ecc": f"software Hamming, {oob.ecc_step} bytes" if oob.ecc_step else "unknown",
    }


def ecc_facts(fs: FileSystem) -> dict:
    """What ECC had to do in reading so far; `unreadable_pages` it gave up."""
    stats, blocks = fs.flash.stats, lib.jx_fs_blocks(fs.handle)
    unreadable = sum(blocks[number].unreadable_pages for number in range(lib.jx_fs_block_count(fs.handle)))
    return {"corrected_bits": stats.ecc_corrected, "unreadable_pages": unreadable}


def ls(image: Image, *, path: bytes, recursive: bool) -> Iterator[Entry]:
    """The entries of a directory, or with recursive all below it; another path itself. `inode` is the inode number of
    what has several names. The content of files is read for its CRCs.

    Raises NotFound, NotADirectory; at the end Damaged, where something is damaged or could not be read.
    """
    damage: list[Damage] = []

    def pass_over(found: bytes, error: Jffs2txError) -> None:
        damage.append(Damage(found, 0, 0, reason_of(error)))

    with image.fs() as fs:
        ino = fs.resolve(path, follow=True)
        is_directory = fs.stat_ino(ino).type == "dir"
        for found, status in fs.walk(path, pass_over, ino, deep=recursive):
            if is_directory and found == path:
                continue
            try:
                entry = entry_of(fs, found, status, skip_broken=True)
            except Jffs2txError as error:
                pass_over(found, error)
                continue
            yield entry
            damage += inode_damage(fs.log, found, status)
        if is_directory:
            damage += lost_below(fs.log, path, recursive)
    if damage:
        raise Damaged(damage)


def cat(image: Image, *, path: bytes, reading: Reading = Reading.REPORT) -> Iterator[bytes]:
    """The content of a regular file as a kernel shows it; links are followed.

    Raises NotFound, IsADirectory, InvalidValue. Raises Damaged where a kernel fails to read it, and where it is
    damaged: after the content, with Reading.STRICT before it, with Reading.AS_KERNEL not at all.
    """
    with image.fs() as fs:
        try:
            status = _regular_file(fs, path)
            damage = list(_file_damage(fs, path, status, reading))
            if reading is not Reading.STRICT or not damage:
                yield from fs.chunks_ino(status.ino)
        except Corrupt as error:
            damage = [Damage(path, 0, 0, reason_of(error))]
        except Jffs2txError as error:
            raise about(error, b"/" + path) from None
    if damage:
        raise Damaged(damage)


def _regular_file(fs: FileSystem, path: bytes) -> Stat:
    """Raises NotFound, IsADirectory, InvalidValue."""
    status = fs.stat_ino(fs.resolve(path, follow=True))
    if status.type == "dir":
        raise IsADirectory("is a directory")
    if status.type != "file":
        raise InvalidValue("is no regular file")
    return status


def _file_damage(fs: FileSystem, path: bytes, status: Stat, reading: Reading) -> Iterator[Damage]:
    if reading is not Reading.AS_KERNEL:
        yield from content_damage(fs.log, path, status)
    if reading is Reading.STRICT:
        yield from undecodable(fs.log, path, status.ino)
