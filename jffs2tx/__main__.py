"""python -m jffs2tx: the command line."""

from jffs2tx.cli import main

main()
