"""Builds the job list (jobs.c) and the C core for other processors, statically, in build/foreign.

The compression libraries are compiled from Debian's source packages, fetched with a private list of sources: neither
the host's configuration nor its packages change. What was built is kept, by a hash of all that goes into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
CSRC = REPO / "csrc"
CACHE = REPO / "build" / "foreign"

#: What must be installed; .ci/packages is given the same names by the Makefile.
PACKAGES = {
    "mips-linux-gnu-gcc": "gcc-mips-linux-gnu",
    "powerpc-linux-gnu-gcc": "gcc-powerpc-linux-gnu",
    "arm-linux-gnueabi-gcc": "gcc-arm-linux-gnueabi",
    "qemu-mips-static": "qemu-user-static",
    "dpkg-source": "dpkg-dev",
    "apt-get": "apt",
}
SOURCES = ("libdeflate", "lzo2", "xz-utils")

#: -Wcast-align=strict: a cast that raises the alignment of a pointer is a fault on MIPS and old ARM.
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wshadow", "-Wcast-align=strict", "-Werror")

#: The part of liblzma that the core calls needs no more of its configuration than this.
LZMA_OPTIONS = (
    *("-DHAVE_STDBOOL_H", "-DHAVE_STDINT_H", "-DHAVE_INTTYPES_H", "-DHAVE_DECODERS", "-DHAVE_DECODER_LZMA1"),
    *("-DHAVE_CHECK_CRC32", "-DSIZEOF_SIZE_T=4"),
)
LZMA_FILES = ("common/common.c", "common/alone_decoder.c", "lz/lz_decoder.c", "lzma/lzma_decoder.c")
LZMA_FOLDERS = ("api", "common", "check", "delta", "lz", "lzma", "rangecoder", "simple")


class BuildError(RuntimeError):
    """Something could not be built; the message says which command, and what it printed."""


@dataclass(frozen=True)
class Processor:
    triplet: str
    qemu: str
    big: bool  # byte order


PROCESSORS = {
    "mips": Processor("mips-linux-gnu", "qemu-mips-static", big=True),
    "powerpc": Processor("powerpc-linux-gnu", "qemu-ppc-static", big=True),
    "arm": Processor("arm-linux-gnueabi", "qemu-arm-static", big=False),
}


def missing() -> str | None:
    """Why nothing can be built on this host, as one sentence, or None."""
    absent = [name for name in PACKAGES if not shutil.which(name)]
    if not absent:
        return None
    packages = sorted({PACKAGES[name] for name in absent})
    return f"Tests on other processors need {', '.join(absent)} (Debian packages: {' '.join(packages)})."


def program(name: str) -> Path:
    """The static program for one of PROCESSORS."""
    processor = PROCESSORS[name]
    sources = _sources()
    libraries = _step(f"libraries-{name}", [], lambda path: _make_libraries(path, processor, sources))
    parts = [*sorted(CSRC.glob("*.[ch]")), *sorted(HERE.glob("*.[ch]"))]
    return _step(f"jobs-{name}", parts, lambda path: _make_program(path, processor, sources, libraries)) / "jobs"


def shared_object(folder: Path) -> Path:
    """The job list for this host; its C core is found when it is loaded."""
    out = folder / "jobs.so"
    _run("gcc", *WARNINGS, "-O2", "-shared", "-fPIC", f"-I{CSRC}", *sorted(HERE.glob("*.c")), "-o", out)
    return out


def _run(*command: object, cwd: Path | None = None) -> str:
    argv = [str(part) for part in command]
    done = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(argv)[:300]}: exit {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


@contextmanager
def _lock():
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _step(name: str, inputs: list[Path], make) -> Path:
    """The cache's directory for this name, these inputs and this file, made with make(path) unless it is there. It
    appears whole or not at all, and replaces what it was before."""
    digest = hashlib.sha256()
    for path in [Path(__file__), *inputs]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    final = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    with _lock():
        if not final.exists():
            scratch = Path(tempfile.mkdtemp(prefix="tmp-", dir=CACHE))
            try:
                make(scratch)
                for old in CACHE.glob(f"{name}-*"):
                    shutil.rmtree(old)
                scratch.rename(final)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return final


# ---- the libraries -----------------------------------------------------------------


def _sources() -> dict[str, Path]:
    """Where each of SOURCES is unpacked."""
    folder = _step("sources", [], _fetch_sources)
    return {name: next(path for path in folder.glob(f"{name}-*") if path.is_dir()) for name in SOURCES}


def _fetch_sources(path: Path) -> None:
    """By the archives that apt already knows, asked for sources."""
    form = "deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)"
    known = _run("apt-get", "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian")
    if not known.strip():
        raise BuildError("apt has no lists of Debian's packages: run apt-get update.")
    (path / "sources.list").write_text("".join(f"{line}\n" for line in sorted(set(known.splitlines()))))
    for folder in ("lists", "cache/archives"):
        (path / "apt" / folder / "partial").mkdir(parents=True)
    options = ["-qq", "-o", f"Dir::Etc::sourcelist={path}/sources.list", "-o", "Dir::Etc::sourceparts=/dev/null"]
    options += ["-o", f"Dir::State::lists={path}/apt/lists", "-o", f"Dir::Cache={path}/apt/cache"]
    options += ["-o", "APT::Sandbox::User="]  # else root's downloads are made by a user who may not write here
    _run("apt-get", *options, "update")
    _run("apt-get", *options, "source", *SOURCES, cwd=path)
    shutil.rmtree(path / "apt")


def _includes(sources: dict[str, Path]) -> list[str]:
    lzma = sources["xz-utils"] / "src" / "liblzma"
    return [f"-I{sources['libdeflate']}", f"-I{sources['lzo2']}/include", f"-I{lzma}/api"]


def _make_libraries(path: Path, processor: Processor, sources: dict[str, Path]) -> None:
    gcc, lzma = f"{processor.triplet}-gcc", sources["xz-utils"] / "src" / "liblzma"
    own = [f"-I{lzma / folder}" for folder in LZMA_FOLDERS] + [f"-I{lzma.parent}/common"]
    order = ["-DWORDS_BIGENDIAN"] if processor.big else []
    _run(gcc, "-O2", *LZMA_OPTIONS, *order, *own, "-c", *(lzma / file for file in LZMA_FILES), cwd=path)
    files = [*(sources["libdeflate"] / "lib").glob("*.c"), sources["libdeflate"] / "lib" / "arm" / "cpu_features.c"]
    files += (sources["lzo2"] / "src").glob("*.c")
    _run(gcc, "-O2", *_includes(sources), "-c", *files, cwd=path)
    _run(f"{processor.triplet}-ar", "rcs", "libraries.a", *sorted(path.glob("*.o")), cwd=path)


def _make_program(path: Path, processor: Processor, sources: dict[str, Path], libraries: Path) -> None:
    files = [*sorted(HERE.glob("*.c")), *sorted(CSRC.glob("*.c"))]
    options = [*WARNINGS, "-O2", "-static", f"-I{CSRC}", *_includes(sources)]
    _run(f"{processor.triplet}-gcc", *options, *files, libraries / "libraries.a", "-o", path / "jobs")


if __name__ == "__main__":
    for name in PROCESSORS:
        print(program(name).relative_to(REPO))
