"""dump: the log node by node, in medium order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from jffs2tx._ffi import lib
from jffs2tx.errors import FormatError
from jffs2tx.image import Image
from jffs2tx.manifest import escape

if TYPE_CHECKING:
    from construct import Container

    from jffs2tx.format import Node

#: The verdicts of the core, and `torn`, a damaged node behind which all is erased: what a power cut leaves.
VERDICTS = ("good", "obsolete", "hidden", "bad-header", "bad-node", "bad-name", "bad-data", "erased", "noise")
TORN = "torn"
BAD = ("bad-header", "bad-node", "bad-name", "bad-data")
DATA_CRCS = {"data_crc", "sum_crc", "tag_crc"}

RUN = "run"
HEADER_BYTES = 12
ERASED_TAIL_BYTES = 4  # at the end of a node that has as many bytes or more
ERASED_BEHIND_BYTES = 16  # a torn header

#: Fields whose names the record has for itself; and those that it says otherwise, or that carry no meaning.
_RENAMED = {"offset": "file_offset", "type": "file_type"}
_LEFT_OUT = {"magic", "nodetype", "totlen", "hdr_crc", "data", "nul", "unused", "filling", "marker_magic"}


def dump(image: Image) -> Iterator[dict]:
    """A record for each node, and for each run of erased bytes or of noise: offset, length, type, verdict, then the
    fields, CRCs and unknown numbers in hexadecimal, names escaped as in a manifest. Times are seconds since 1970.

    Raises FormatError, MediumError.
    """
    with image.fs(inspect=True) as fs:
        nodes = lib.jx_fs_nodes(fs.handle)
        for index in range(lib.jx_fs_node_count(fs.handle)):
            yield _record(image, nodes[index])


def _record(image: Image, found) -> dict:
    from jffs2tx.format import kind_name, parse

    verdict = VERDICTS[found.verdict]
    record = {"offset": found.offset, "length": found.totlen, "type": RUN, "verdict": verdict}
    if not found.nodetype:
        return record
    record["type"] = kind_name(found.nodetype)
    if verdict == "bad-header":
        return record | ({"verdict": TORN} if _is_torn_header(image, found.offset) else {})
    try:
        node = parse(image.flash.read(found.offset, found.totlen, forgiving=True), image.endian)
    except FormatError:  # a summary speaks of a node that is not there
        return record
    if verdict == "good" and DATA_CRCS & set(node.wrong):
        verdict = "bad-data"
    if verdict in BAD and node.raw[-ERASED_TAIL_BYTES:] == b"\xff" * ERASED_TAIL_BYTES:
        verdict = TORN
    record["verdict"] = verdict
    record |= _fields(node)
    if found.by_summary:
        record["by_summary"] = True
    if found.nodetype in (lib.JX_NODE_INODE, lib.JX_NODE_DIRENT, lib.JX_NODE_XATTR, lib.JX_NODE_XREF):
        record["needed"] = bool(found.needed)
    if node.wrong:
        record["wrong"] = list(node.wrong)
    return record


def _is_torn_header(image: Image, offset: int) -> bool:
    erase_size = image.geometry.erase_size
    start = offset + HEADER_BYTES
    length = min(ERASED_BEHIND_BYTES, erase_size - start % erase_size)
    in_block = offset // erase_size == start // erase_size
    return in_block and not image.flash.read(start, length, forgiving=True).strip(b"\xff")


# ---- fields ----------------------------------------------------------------------------------------------------------


def _fields(node: Node) -> dict:
    fields = {}
    for name, value in node.fields.items():
        if name.startswith("_") or name in _LEFT_OUT:
            continue
        if name == "entries":
            fields[name] = [_entry(entry) for entry in value]
        else:
            fields[_RENAMED.get(name, name)] = _value(name, value)
    return fields


def _entry(entry: Container) -> dict:
    """One entry of a summary; its offset is that in the eraseblock."""
    return {name: _value(name, value) for name, value in entry.items() if not name.startswith("_")}


@cache
def _words() -> dict[str, dict[int, str]]:
    """By field: what its numbers are called."""
    from jffs2tx import format as medium

    return {
        "compr": {compr.value: compr.name.lower() for compr in medium.Compr},
        "type": medium.DIRENT_TYPES,
        "xprefix": medium.XATTR_PREFIXES,
        "role": medium.TAG_ROLES,
        "strategy": medium.TAG_STRATEGIES,
        "nodetype": {int(kind): medium.kind_name(kind) for kind in medium.NodeType},
    }


def _value(name: str, value: object) -> object:
    words = _words().get(name)
    if words is not None:
        return words.get(value, value)
    if name == "name":
        return escape(value).decode()
    if isinstance(value, bytes):
        return value.hex()
    if name.endswith("_crc"):
        return f"{value:#010x}"
    return f"{value:07o}" if name == "mode" else value
