"""What a finding is: a kind, which says what it means, and where it was found."""

from __future__ import annotations

from dataclasses import dataclass

from jffs2tx.manifest import escape

#: By weight. Notes are what a sound medium may show: they make nobody's exit status.
SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be found. `kernel` is Linux 6.1, fs/jffs2, with the function that the sentence rests on."""

    name: str
    severity: str
    title: str
    kernel: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """`offset`: absolute, in bytes; `path`: inside the file system, no slash at its start. None: it has none."""

    kind: Kind
    text: str
    offset: int | None = None
    path: bytes | None = None
    inode: int | None = None

    def facts(self) -> dict:
        """For JSON: the path is escaped as in a manifest."""
        return {
            "kind": self.kind.name,
            "severity": self.kind.severity,
            "offset": self.offset,
            "path": None if self.path is None else "/" + escape(self.path).decode(),
            "inode": self.inode,
            "text": self.text,
            "kernel": self.kind.kernel,
            "remedy": self.kind.remedy,
        }
