"""What the commands do: an open image in, plain facts out. Nothing here prints."""

from jffs2tx.ops.check import check
from jffs2tx.ops.dump import dump
from jffs2tx.ops.extract import archive, extract
from jffs2tx.ops.look import cat, ls, status
from jffs2tx.ops.readers import readers
from jffs2tx.ops.torture import replay, torture
from jffs2tx.ops.upgrade import apply, mkfs, plan, recover

__all__ = [
    "apply",
    "archive",
    "cat",
    "check",
    "dump",
    "extract",
    "ls",
    "mkfs",
    "plan",
    "readers",
    "recover",
    "replay",
    "status",
    "torture",
]
