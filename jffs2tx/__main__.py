"""python -m jffs2tx: the command line."""

import sys

from jffs2tx.cli import main

sys.exit(main())
