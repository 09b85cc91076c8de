"""Runs inputs through a target that is linked to no C core: it uses the one that Python has loaded, as that was built.

    replay.py TARGET.so corpus FILE...
    replay.py TARGET.so fields STEP FILE...   every STEP-th variant of each field

A finding ends the process, as it would in the fuzzer. Imports only what the environment says of jffs2tx.
"""

import ctypes
import sys
from pathlib import Path

from jffs2tx import _native


def main(library: str, mode: str, *arguments: str) -> None:
    ctypes.CDLL(_native.__file__, mode=ctypes.RTLD_GLOBAL)
    target = ctypes.CDLL(library)
    look = target.LLVMFuzzerTestOneInput
    look.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    done = 0
    if mode == "corpus":
        for path in arguments:
            data = Path(path).read_bytes()
            look(data, len(data))
            done += 1
    else:
        step, *paths = arguments
        for path in paths:
            done += _every_field(target, Path(path).read_bytes(), int(step))
    print(done)


def _every_field(target: ctypes.CDLL, medium: bytes, step: int) -> int:
    """The input's image starts behind byte 0 and what the target adds: a byte that says what is done."""
    each = target.fuzz_every_field
    each.argtypes = [ctypes.c_char_p, *[ctypes.c_uint32] * 4, ctypes.c_void_p]
    each.restype = ctypes.c_int64
    look = ctypes.cast(target.LLVMFuzzerTestOneInput, ctypes.c_void_p)
    at = ctypes.c_size_t.in_dll(target, "fuzz_image_at").value
    done = 0
    for action in range(5 if at == 2 else 1):
        data = medium[:1] + bytes([action])[: at - 1] + medium[1:]
        done += each(data, len(data), at, action % step, step, look)
    return done


if __name__ == "__main__":
    main(*sys.argv[1:])
