"""readers: the table of readers as facts."""

from __future__ import annotations

from jffs2tx.readers import READERS, WAYS, WHOLE_BLOCK, Reader


def readers() -> dict:
    """A row for each reader: what it sees by each strategy on each flash, what was tried, its abilities and faults.
    The rows for kernels known to have xattrs are left out: they differ in nothing else.
    """
    return {"readers": [_row(reader) for reader in READERS.values() if not reader.name.endswith("+xattr")]}


def _row(reader: Reader) -> dict:
    return {
        "reader": reader.name,
        "description": reader.description,
        "views": [
            {"strategy": strategy.value, "flash": flash.value, "view": reader.view(strategy, flash).value}
            for strategy, flash in WAYS
        ],
        "tried": reader.tried,
        "abilities": _abilities(reader),
        "notes": {strategy.value: note for strategy, note in reader.notes.items()},
        "faults": list(reader.faults),
    }


def _abilities(reader: Reader) -> dict[str, str]:
    """In words."""
    sizes = ("the whole block" if size == WHOLE_BLOCK else f"{size:,} bytes" for size in reader.empty_scan_bytes)
    return {
        "summary": _word(reader.summary),
        "xattr": _word(reader.xattr),
        "empty_after": " or ".join(sizes),
        "header_without_ACCURATE": {True: "bad", False: "good", None: "by version"}[reader.header_crc_as_is],
        "deletions": "ignored" if reader.ignores_deletions else "obeyed",
        "paths": reader.lookup.value,
        "page_beyond_ECC": "survives" if reader.survives_ecc else "does not survive",
        "decompresses": ", ".join(sorted(reader.compressors)),
        "shares_directories": _word(reader.shares_directories),
        "longest_name": f"{reader.name_max_bytes} bytes",
    }


def _word(ability: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[ability]
