"""extract: the tree of a medium as a directory of the host, or as a tar archive."""

from jffs2tx.ops.extract.archive import archive
from jffs2tx.ops.extract.directory import extract

__all__ = ["archive", "extract"]
