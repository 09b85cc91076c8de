"""Runs several command lines of jffs2tx in one process, since each start of Python costs the lab's guest seconds.

    python -m tests.commands '[["status", "/dev/mtd0"], ["lines", "/some/directory"]]'

prints a JSON list of [status, stdout, stderr], one for each. Beside the commands of jffs2tx it knows `lines DIRECTORY`,
the tree as tests/lab/tree.py shows it, and `while-writing TARGET COMMAND...`, a command during another's writing.
"""

import contextlib
import io
import json
import sys

# What commands import only when they run: the guest imports this module once, for all of them.
from jffs2tx import ops, output_torture, progress, report, source  # noqa: F401
from jffs2tx.cli import main
from jffs2tx.image import open_image

from .lab import tree


def perform(words):
    if words[0] == "lines":
        print(*tree.lines(words[1]), sep="\n")
        return 0
    if words[0] == "while-writing":
        with open_image(words[1], writable=True):
            return main(words[2:])
    return main(words)


def captured(words):
    with contextlib.redirect_stderr(io.StringIO()) as error, caught() as output:
        status = perform(words)
    return [status, output.buffer.getvalue().decode("utf-8", "replace"), error.getvalue()]


@contextlib.contextmanager
def caught():
    """A stdout of text and of bytes, as the program wants it."""
    output = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with contextlib.redirect_stdout(output):
        yield output


if __name__ == "__main__":
    json.dump([captured(words) for words in json.loads(sys.argv[1])], sys.stdout)
