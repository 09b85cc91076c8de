"""Filesystem-level transactions for JFFS2."""

__version__ = "0.1.0"
