"""Compiles the targets: with clang and sanitizers for fuzzing, or as bare shared objects for replay.py."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
#: Targets, with the mutator that knows nodes or libFuzzer's own.
IMAGES = ("read", "recover", "dump", "codec", "probe")
BYTES = ("decompress", "lzma", "compress")
TARGETS = IMAGES + BYTES
HARNESS = ("medium.c", "nodes.c", "read_all.c", "fields.c")
LIBRARIES = ("-ldeflate", "-llzo2", "-llzma")
COMMON = ("-std=c11", "-g", "-Wall", "-Wextra", "-Wshadow", f"-I{CSRC}", f"-I{HERE}")
SANITIZED = (
    *("-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    # Comparisons are not traced: the mutator knows the numbers that matter, and runs are twice as fast.
    *("-fsanitize=fuzzer-no-link", "-fno-sanitize-coverage=trace-cmp"),
)


#: What run_worst.c counts.
WRAPPED = ("malloc", "calloc", "realloc", "free", "memcpy", "memset", "memcmp", "jx_crc32", "jx_decompress")


def _run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)


def shared_object(target: str, folder: Path) -> Path:
    """A shared object of one target whose C core is found when it is loaded."""
    out = folder / f"{target}.so"
    sources = [HERE / name for name in (f"target_{target}.c", *HARNESS)]
    _run(os.environ.get("CC", "gcc"), *COMMON, "-O1", "-shared", "-fPIC", *sources, "-o", out)
    return out


def _object(source: Path, folder: Path) -> Path:
    out = folder / f"{source.stem}.o"
    newest = max(path.stat().st_mtime for path in (source, *CSRC.glob("*.h"), *HERE.glob("*.h")))
    if not out.exists() or out.stat().st_mtime < newest:
        _run("clang", *COMMON, *SANITIZED, "-c", source, "-o", out)
    return out


def fuzzers(folder: Path, jobs: int = 2) -> None:
    """One program for each target, and for the two that take media one more that tries every field."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = [*sorted(CSRC.glob("*.c")), *(HERE / name for name in (*HARNESS, "mutate.c", "run_fields.c"))]
    sources += [HERE / f"target_{target}.c" for target in TARGETS]
    with ThreadPoolExecutor(jobs) as pool:
        objects = {path.name: path for path in pool.map(lambda source: _object(source, folder), sources)}
    targets = {target: objects.pop(f"target_{target}.o") for target in TARGETS}
    mutate, run_fields = objects.pop("mutate.o"), objects.pop("run_fields.o")
    link = ("clang", "-fsanitize=address,undefined,fuzzer")
    for target, main in targets.items():
        mutator = [mutate] if target in IMAGES else []
        _run(*link, main, *mutator, *objects.values(), *LIBRARIES, "-o", folder / target)
    for target in ("read", "recover"):
        _run("clang", "-fsanitize=address,undefined,fuzzer-no-link", targets[target], run_fields, *objects.values(),
             *LIBRARIES, "-o", folder / f"fields-{target}")  # fmt: skip


def worst(folder: Path) -> Path:
    """The program that counts what the worst media cost: plain, by the ordinary compiler."""
    folder.mkdir(parents=True, exist_ok=True)
    compiler, out = os.environ.get("CC", "gcc"), folder / "run_worst"
    objects = [folder / f"{source.stem}.o" for source in sorted(CSRC.glob("*.c"))]
    plain = (*COMMON, "-O1", "-fno-builtin")
    for source, made in zip(sorted(CSRC.glob("*.c")), objects, strict=True):
        _run(compiler, *plain, "-fsanitize-coverage=trace-pc", "-c", source, "-o", made)
    wraps = [f"-Wl,--wrap={name}" for name in WRAPPED]
    sources = [HERE / name for name in ("run_worst.c", "worst_images.c")]
    _run(compiler, *plain, *sources, *objects, *wraps, *LIBRARIES, "-o", out)
    return out
