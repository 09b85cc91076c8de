"""Builds jffs2tx._native from csrc/ with cffi (API mode, out of line, abi3).

The declarations are the part of csrc/jffs2tx.h between its two marker comments: there is no copy that could drift.
JFFS2TX_SANITIZE=1 adds AddressSanitizer and UndefinedBehaviorSanitizer. JFFS2TX_TESTING=1 makes the test build: it
has the declarations of csrc/testing.h too, and never ships. JFFS2TX_COVERAGE=1: gcov counts, in build/coverage-objects.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from cffi import FFI
from setuptools.command.build_ext import build_ext
from setuptools.errors import SetupError

ROOT = Path(__file__).resolve().parent
LIBRARIES = {"libdeflate": "libdeflate-dev", "lzo2": "liblzo2-dev", "liblzma": "liblzma-dev"}
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wshadow"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"]
COVERAGE = ["--coverage", "-O0", "-DJX_COVERAGE"]

WRAPPED = ["malloc", "calloc", "realloc", "free"]
WRAPPED += [f"libdeflate_{verb}_{what}" for verb in ("alloc", "free") for what in ("compressor", "decompressor")]
TESTING = os.environ.get("JFFS2TX_TESTING") == "1"
HEADERS = ["jffs2tx.h", "testing.h"] if TESTING else ["jffs2tx.h"]


def declarations() -> str:
    """The cdef: what stands between CDEF BEGIN and CDEF END in the public header."""
    headers = [(ROOT / "csrc" / name).read_text() for name in HEADERS]
    return "".join(header.split("/* CDEF BEGIN */")[1].split("/* CDEF END */")[0] for header in headers)


def pkg_config(option: str) -> list[str]:
    """What pkg-config says of the compression libraries, or one sentence that names what to install."""
    if not shutil.which("pkg-config"):
        raise SetupError("jffs2tx needs pkg-config to build its C core: install it (Debian: pkg-config).")
    missing = [name for name in LIBRARIES if subprocess.run(["pkg-config", "--exists", name], check=False).returncode]
    if missing:
        packages = " ".join(LIBRARIES[name] for name in missing)
        raise SetupError(f"jffs2tx needs the C libraries {' and '.join(missing)}: install them (Debian: {packages}).")
    answer = subprocess.run(["pkg-config", option, *LIBRARIES], check=True, capture_output=True, text=True)
    return shlex.split(answer.stdout)


def generate(target: Path) -> None:
    """Writes the binding's C source."""
    ffi = FFI()
    ffi.cdef(declarations())
    ffi.set_source("jffs2tx._native", "\n".join(f'#include "{name}"' for name in HEADERS))
    ffi.emit_c_code(str(target))


class BuildExt(build_ext):
    """build_ext that knows what jffs2tx._native is made of; builds anew each time, since setuptools ignores flags."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = True
        csrc = sorted((ROOT / "csrc").glob("*.[ch]"))
        for ext in self.extensions:
            ext.sources = [str(path.relative_to(ROOT)) for path in csrc if path.suffix == ".c"]
            ext.depends = ["setup_cffi.py", *(str(path.relative_to(ROOT)) for path in csrc if path.suffix == ".h")]

    def build_extensions(self) -> None:
        flags = ["-O2", *WARNINGS, *pkg_config("--cflags")]
        link = pkg_config("--libs")
        if os.environ.get("JFFS2TX_SANITIZE") == "1":
            flags += SANITIZE
            link += SANITIZE
        if os.environ.get("JFFS2TX_COVERAGE") == "1":
            self.build_temp = "build/coverage-objects"
            flags += COVERAGE
            link += COVERAGE
        if TESTING:
            flags.append("-DJX_TESTING")
            link.append("-Wl," + ",".join(f"--wrap={name}" for name in WRAPPED))
        generated = Path(self.build_temp) / "_native.c"
        generated.parent.mkdir(parents=True, exist_ok=True)
        generate(generated)
        for ext in self.extensions:
            ext.include_dirs = ["csrc"]
            ext.extra_compile_args = flags
            ext.extra_link_args = link
            ext.sources = [*ext.sources, str(generated)]
        super().build_extensions()
