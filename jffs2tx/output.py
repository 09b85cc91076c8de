"""What the command line prints on stdout: JSON for programs, aligned text for people."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import click

from jffs2tx.errors import printable
from jffs2tx.manifest import Entry, escape_path
from jffs2tx.progress import format_bytes

SHOWN_LOSSES = 20

_FORMATS = {
    "file": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "link": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
}


def result(facts: Mapping[str, object], as_json: bool) -> None:
    """One JSON object, or a line for each fact; numbers whose key ends in _bytes are shown as sizes, and of facts in a
    list that which is their `text`.
    """
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    width = max(map(len, facts), default=0)
    for key, value in facts.items():
        for number, text in enumerate(_texts(key, value)):
            label = _label(key) if number == 0 else ""
            click.echo(f"{label:{width}}  {text}".rstrip())


def damage(lines: Sequence[str]) -> None:
    """Damaged places, on stderr: the first ones."""
    for text in lines[:SHOWN_LOSSES]:
        click.echo(f"jffs2tx: {text}", err=True)
    if len(lines) > SHOWN_LOSSES:
        click.echo(f"jffs2tx: and {len(lines) - SHOWN_LOSSES} more (--json lists them)", err=True)


def losses(facts: Mapping[str, list]) -> None:
    """What extract could not bring out as it was written, on stderr; of what was omitted a line for each kind. Where in
    a file the reason lies why it is unreadable only --json says.
    """
    unreadable = {fact["path"] for fact in facts["unreadable"]}
    damaged = [fact for fact in facts["damaged"] if fact["path"] not in unreadable]
    damage([fact["text"] for fact in (*facts["unreadable"], *damaged)])
    for sentence in facts["summary"]:
        click.echo(f"jffs2tx: {sentence}", err=True)


def json_lines(records: Iterable[Mapping[str, object]]) -> None:
    for record in records:
        click.echo(json.dumps(record))


def node_lines(nodes: Iterable[Mapping[str, object]]) -> None:
    """A line for each node: where, how long, what, what it is worth, then its fields but for CRCs that are right."""
    for node in nodes:
        wrong = node.get("wrong", ())
        fields = {key: value for key, value in node.items() if not key.endswith("_crc") or key in wrong}
        if "entries" in fields:
            fields["entries"] = len(fields["entries"])
        place = f"{fields.pop('offset'):#010x} {fields.pop('length'):7}"
        kind = f"{fields.pop('type'):12} {fields.pop('verdict'):14}"
        click.echo(f"{place} {kind} {' '.join(f'{key}={_word(value)}' for key, value in fields.items())}".rstrip())


def entry_lines(entries: Iterable[Entry], long: bool) -> None:
    """What ls prints: paths, with mode, owners, size or device, time and target where long."""
    for entry in entries:
        path = "/" + printable(entry.path)
        if not long:
            click.echo(path)
            continue
        mode = stat.filemode(_FORMATS[entry.type] | entry.mode)
        size = "{},{}".format(*entry.device) if entry.device else str(entry.size)
        time = datetime.fromtimestamp(entry.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
        target = f" -> {printable(entry.link)}" if entry.link is not None else ""
        click.echo(f"{mode} {entry.uid:5} {entry.gid:5} {size:>10} {time} {path}{target}")


def entry_facts(entry: Entry) -> dict[str, object]:
    """An entry for JSON; path and target are escaped as in a manifest, so that no byte is lost."""
    facts: dict[str, object] = {
        "path": escape_path(entry.path).decode(),
        "type": entry.type,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "time": entry.time,
    }
    if entry.link is not None:
        facts["link"] = escape_path(entry.link).decode().removeprefix("./")
    if entry.device is not None:
        facts["device"] = list(entry.device)
    if entry.inode is not None:
        facts["inode"] = entry.inode
    if entry.xattrs:
        facts["xattrs"] = {printable(name): value.hex() for name, value in sorted(entry.xattrs.items())}
    return facts


def _label(key: str) -> str:
    return key.removesuffix("_bytes").replace("_", " ")


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _texts(key: str, value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{_label(name)}: {' '.join(_texts(name, part))}" for name, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [str(part["text"] if isinstance(part, Mapping) else part) for part in value] or ["none"]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if value is None:
        return ["none"]
    if key.endswith("_bytes") and isinstance(value, int):
        return [format_bytes(value)]
    return [str(value)]
