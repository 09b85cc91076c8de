"""`python host.py jobs.so ARGUMENT...`: the job list on the engine as Python loads it here."""

import ctypes
import sys

from jffs2tx import _native


def main(library: str, *arguments: str) -> int:
    ctypes.CDLL(_native.__file__, ctypes.RTLD_GLOBAL)  # the C core, for the library that follows
    argv = ("jobs", *arguments)
    given = (ctypes.c_char_p * (len(argv) + 1))(*(arg.encode() for arg in argv), None)
    return ctypes.CDLL(library).main(len(argv), given)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
