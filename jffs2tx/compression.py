"""Methods by which file content is compressed, and which readers are not known to undo them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jffs2tx._ffi import lib
from jffs2tx.errors import Jffs2txError
from jffs2tx.filesystem import Extent, FileSystem
from jffs2tx.manifest import escape
from jffs2tx.readers import Reader

#: By number in the node (enum jx_compr). Readers in the table name their methods so.
METHODS = {
    lib.JX_COMPR_NONE: "none",
    lib.JX_COMPR_ZERO: "zero",
    lib.JX_COMPR_RTIME: "rtime",
    lib.JX_COMPR_RUBINMIPS: "rubinmips",
    lib.JX_COMPR_DYNRUBIN: "dynrubin",
    lib.JX_COMPR_ZLIB: "zlib",
    lib.JX_COMPR_LZO: "lzo",
    lib.JX_COMPR_LZMA: "lzma",
    lib.JX_COMPR_LZMA_PROPS: "lzma",
}
#: Of no stock kernel: patches of vendors have them.
VENDORS = frozenset({lib.JX_COMPR_LZMA, lib.JX_COMPR_LZMA_PROPS})
#: Of these nothing has to be undone.
_EVERYWHERE = frozenset({lib.JX_COMPR_NONE, lib.JX_COMPR_ZERO})


@dataclass(slots=True)
class Use:
    """How many files show content by one method; the first of them, and a node of it (an index)."""

    number: int
    path: bytes
    node: int
    files: int = 0

    @property
    def text(self) -> str:
        return f"{METHODS[self.number]} ({self.number:#04x})"

    def not_read_by(self, readers: Iterable[Reader]) -> list[str]:
        """The names of the readers that are not known to have the method."""
        name = METHODS[self.number]
        return [reader.name for reader in readers if reader.compressors is not None and name not in reader.compressors]


class Uses:
    """The methods of the files that are taken."""

    def __init__(self, fs: FileSystem) -> None:
        self._nodes = lib.jx_fs_nodes(fs.handle)
        self._found: dict[int, Use] = {}

    def take(self, path: bytes, extents: Iterable[Extent]) -> None:
        """Of one file what it shows."""
        shown = {self._nodes[extent.node].type: extent.node for extent in extents}
        for number in shown.keys() & METHODS.keys() - _EVERYWHERE:
            self._found.setdefault(number, Use(number, path, shown[number])).files += 1

    def __iter__(self) -> Iterator[Use]:
        """By number."""
        return (self._found[number] for number in sorted(self._found))


def warnings(fs: FileSystem, readers: Iterable[Reader], replaced: Iterable[bytes] = ()) -> list[str]:
    """For each method that some of the readers are not known to have: a sentence. replaced: paths that do not count."""
    gone, uses = frozenset(replaced), Uses(fs)
    for path, status in fs.walk(onerror=_pass_over):
        if status.type == "file" and path not in gone:
            uses.take(path, fs.extents_ino(status.ino))
    sentences = []
    for use in uses:
        names = use.not_read_by(readers)
        if names:
            shown, others = "/" + escape(use.path).decode(), use.files - 1
            more = f" and {others} other files are" if others else " is"
            sentences.append(f"{', '.join(names)}: not known to read {use.text}, by which {shown}{more} compressed")
    return sentences


def _pass_over(path: bytes, error: Jffs2txError) -> None:
    """Whoever needs it reports it."""
