"""Builds what the kernel lab boots, in a cache directory, from Debian packages.

The cache holds Debian's kernel (uncompressed, so that the guest need not unpack it), an initramfs of busybox and
the modules' closure, and further builds of jffs2.ko from the distribution's own source: `nosummary` (a
kernel without CONFIG_JFFS2_SUMMARY), `bigendian` (JFFS2_BIG_ENDIAN), `rubin` (CONFIG_JFFS2_RUBIN, its compressor before
all others) and `rtime` (that one before all others). Nothing is installed on the host.

Every step writes to a scratch name and is then renamed, and one lock covers the whole build: a killed or a
second build never leaves something half made behind.
"""

import fcntl
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent

#: What `apt-get install` must have put on the host; the kernel itself and its headers are fetched, not installed.
APT_PACKAGES = [
    "qemu-system-x86",
    "mtd-utils",
    "busybox-static",
    "cpio",
    "kmod",
    "linux-source-6.1",
    "gcc-12",
    "make",
    "binutils",
    "libc6-dev",
    "libelf1",
]

SOURCE_TAR = Path("/usr/src/linux-source-6.1.tar.xz")

#: In the order in which the guest may load them one by one; each with everything that it depends on.
BOOT_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "mtd", "mtdblock"]
CASE_MODULES = ["nandsim", "mtdram", "jffs2"]

KERNELS = ("stock", "nosummary", "bigendian", "rubin", "rtime")

_PATH = os.environ.get("PATH", "") + os.pathsep + os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])


class BuildError(RuntimeError):
    """The lab could not be built; the message says which step and why."""


def tool(name):
    """The path of a host program (administrators' directories included, whoever calls), or None."""
    return shutil.which(name, path=_PATH)


def cache_dir():
    """Where everything is built: $JFFS2TX_LAB, else .lab in the repository."""
    return Path(os.environ.get("JFFS2TX_LAB") or REPO / ".lab")


def missing():
    """Why the lab cannot be built on this host, as one sentence, or None."""
    if os.uname().machine != "x86_64":
        return "The kernel lab boots Debian's amd64 kernel with host programs inside, so it needs an x86_64 host."
    cache = cache_dir()
    wanted = {
        "qemu-system-x86_64": "qemu-system-x86",
        "busybox": "busybox-static",
        "bash": "bash",
        "mkfs.jffs2": "mtd-utils",
        "sumtool": "mtd-utils",
        "flash_erase": "mtd-utils",
    }
    if not (cache / "stamp").exists():
        wanted.update(
            {
                "cpio": "cpio",
                "depmod": "kmod",
                "dpkg": "dpkg",
                "apt-get": "apt",
                "apt-cache": "apt",
                "gcc-12": "gcc-12",
                "make": "make",
                "strip": "binutils",
            }
        )
    absent = sorted(name for name in wanted if not tool(name))
    if absent:
        packages = sorted({wanted[name] for name in absent})
        return f"The kernel lab needs {', '.join(absent)} (Debian packages: {' '.join(packages)})."
    if not (cache / "stamp").exists() and not SOURCE_TAR.exists():
        return f"The kernel lab needs {SOURCE_TAR} (Debian package: linux-source-6.1)."
    return None


def _run(*argv, cwd=None, env=None):
    """Runs a host program; what it printed becomes the error's text if it fails."""
    argv = [str(arg) for arg in argv]
    argv[0] = tool(argv[0]) or argv[0]
    done = subprocess.run(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise BuildError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


@contextmanager
def _scratch(cache):
    """A directory in the cache (same file system, so that rename is atomic), gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="tmp-", dir=cache))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _lock(cache):
    """One build at a time per cache directory."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _depends(package):
    """The packages that `package` depends on, first alternatives only; empty if apt knows nothing of it."""
    try:
        text = _run("apt-cache", "depends", "--important", package)
    except BuildError:
        return []
    return re.findall(r"^ *\|?Depends: ([^<\s]+)", text, re.M)


def _kernel_package():
    """The linux-image package behind linux-image-amd64, with apt's lists fetched if there are none."""
    for attempt in range(2):
        for name in _depends("linux-image-amd64"):
            if name.startswith("linux-image-"):
                return name
        if attempt == 0:
            _run("apt-get", "update")
    raise BuildError("apt knows no linux-image-amd64: is a Debian source configured?")


def _fetch(packages, into, cache):
    """Downloads the packages and unpacks them into one directory, without installing anything."""
    with _scratch(cache) as tmp:
        try:
            _run("apt-get", "download", *packages, cwd=tmp)
        except BuildError:
            # Lists that are older than the archive name versions that are gone.
            _run("apt-get", "update")
            _run("apt-get", "download", *packages, cwd=tmp)
        for deb in sorted(tmp.glob("*.deb")):
            _run("dpkg", "-x", deb, into)


def _step(cache, name, make):
    """Makes the cache's directory `name` with make(path), unless it is there already."""
    final = cache / name
    if final.exists():
        return final
    with _scratch(cache) as tmp:
        part = tmp / "part"
        part.mkdir()
        make(part)
        part.rename(final)
    return final


def _vmlinux(vmlinuz):
    """The ELF kernel inside a bzImage.

    Unpacking it once here saves every boot the seconds that the emulated processor would take for it.
    """
    data = vmlinuz.read_bytes()
    at = data.find(b"\xfd7zXZ\x00")
    while at >= 0:
        try:
            plain = lzma.LZMADecompressor().decompress(data[at:])
        except lzma.LZMAError:
            plain = b""
        if plain.startswith(b"\x7fELF"):
            return plain
        at = data.find(b"\xfd7zXZ\x00", at + 1)
    return None


def _make_kernel(path, package, cache):
    """kernel/: root (the unpacked package, with modules.dep), release, image (what QEMU boots)."""
    root = path / "root"
    _fetch([package], root, cache)
    release = next((root / "lib/modules").iterdir()).name
    _run("depmod", "-b", root, release)
    (path / "release").write_text(release)
    vmlinuz = root / f"boot/vmlinuz-{release}"
    plain = _vmlinux(vmlinuz)
    (path / "image").write_bytes(plain if plain else vmlinuz.read_bytes())


def _make_headers(path, release, cache):
    """headers/: the kernel's build tree, with the absolute paths of an installation turned into our own."""
    first = f"linux-headers-{release}"
    others = [name for name in _depends(first) if name.startswith(("linux-headers-", "linux-kbuild-"))]
    _fetch([first, *others], path, cache)
    final = cache / "headers"
    for name in (f"usr/src/{first}/Makefile", f"usr/src/{first}/.kernelvariables"):
        file = path / name
        if file.exists():
            file.write_text(file.read_text().replace("/usr/src/", f"{final}/usr/src/"))


def _make_source(path):
    """source/: fs/jffs2 alone, out of the distribution's source."""
    with tarfile.open(SOURCE_TAR) as tar:
        for member in tar:
            head, _, rest = member.name.partition("/fs/jffs2/")
            if rest and "/" not in rest and "/" not in head and member.isfile():
                (path / rest).write_bytes(tar.extractfile(member).read())
            elif (path / "Makefile").exists() and "/fs/jffs2" not in member.name:
                break  # the tar is in order: nothing of it can follow, and most of a minute would
    if not (path / "super.c").exists():
        raise BuildError(f"{SOURCE_TAR} holds no fs/jffs2/super.c")


#: For each variant: (file name pattern, text that must be there, its replacement).
VARIANTS = {
    # Any other name is a configuration symbol that nobody sets: the code is compiled as without the option.
    "nosummary": [("*", "CONFIG_JFFS2_SUMMARY", "CONFIG_JFFS2_LAB_HAS_NO_SUMMARY")],
    "bigendian": [("nodelist.h", "#define JFFS2_NATIVE_ENDIAN", "#define JFFS2_BIG_ENDIAN")],
    # Debian has switched zlib on, so its symbol switches rubin on too.
    "rubin": [
        ("*", "CONFIG_JFFS2_RUBIN", "CONFIG_JFFS2_ZLIB"),
        ("compr.h", "#define JFFS2_DYNRUBIN_DISABLED", "#define JFFS2_LAB_HAS_DYNRUBIN"),
        ("compr.h", "#define JFFS2_DYNRUBIN_PRIORITY  20", "#define JFFS2_DYNRUBIN_PRIORITY  90"),
    ],
    "rtime": [("compr.h", "#define JFFS2_RTIME_PRIORITY     50", "#define JFFS2_RTIME_PRIORITY     90")],
}


def _variant_name(name):
    """The variant's directory, named after what is changed, so that another change is another build."""
    return f"variant-{name}-{hashlib.sha256(repr(VARIANTS[name]).encode()).hexdigest()[:12]}"


def _make_variant(path, name, cache, release):
    """variant-NAME-HASH/: jffs2.ko of that variant."""
    with _scratch(cache) as tmp:
        work = tmp / "jffs2"
        shutil.copytree(cache / "source", work)
        for pattern, old, new in VARIANTS[name]:
            hits = 0
            for file in work.glob(pattern):
                text = file.read_text(encoding="latin-1")
                hits += text.count(old)
                file.write_text(text.replace(old, new), encoding="latin-1")
            if not hits:
                raise BuildError(f"variant {name}: the source holds no {old!r}")
        headers = cache / f"headers/usr/src/linux-headers-{release}"
        env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "ARCH")}
        _run("make", "-j2", "-C", headers, f"M={work}", "CC=gcc-12", "modules", env=env)
        _run("strip", "--strip-debug", work / "jffs2.ko")
        shutil.copy(work / "jffs2.ko", path / "jffs2.ko")


def _closure(modules_dir, names):
    """The files of the named modules with what they need, in an order in which they can be loaded."""
    needs, path_of = {}, {}
    for line in (modules_dir / "modules.dep").read_text().splitlines():
        file, _, deps = line.partition(":")
        needs[file] = deps.split()
        path_of[re.sub(r"\.ko(\.\w+)?$", "", file.rsplit("/", 1)[-1]).replace("-", "_")] = file
    order = []

    def visit(file):
        for dep in needs[file]:
            visit(dep)
        if file not in order:
            order.append(file)

    for name in names:
        if name in path_of:
            visit(path_of[name])
        else:
            raise BuildError(f"the kernel has no module {name}")
    return [modules_dir / file for file in order]


def _plain_module(file):
    """A module's bytes; newer kernels ship them compressed, and busybox's insmod does not unpack."""
    data = file.read_bytes()
    return lzma.decompress(data) if file.suffix == ".xz" else data


def _make_initramfs(path, cache, release):
    """initramfs/: image, the archive that QEMU gives to the kernel."""
    modules = cache / f"kernel/root/lib/modules/{release}"
    boot = _closure(modules, BOOT_MODULES)
    case = [file for file in _closure(modules, CASE_MODULES) if file not in boot]
    with _scratch(cache) as tmp:
        for name in ("bin", "dev", "proc", "sys", "low", "up", "root", "modules"):
            (tmp / name).mkdir()
        shutil.copy(tool("busybox"), tmp / "bin/busybox")
        (tmp / "bin/sh").symlink_to("busybox")
        for file in boot + case:
            (tmp / "modules" / (file.name.split(".ko")[0] + ".ko")).write_bytes(_plain_module(file))
        for name in VARIANTS:
            shutil.copy(cache / _variant_name(name) / "jffs2.ko", tmp / f"modules/jffs2-{name}.ko")
        names = [file.name.split(".ko")[0] for file in boot]
        (tmp / "modules/boot.list").write_text("".join(f"{name}\n" for name in names))
        # jffs2 and the two simulators are loaded by the guest program, per case; the rest only once.
        names = [n for n in (file.name.split(".ko")[0] for file in case) if n not in CASE_MODULES]
        (tmp / "modules/case.list").write_text("".join(f"{name}\n" for name in names))
        shutil.copy(HERE / "init.sh", tmp / "init")
        (tmp / "init").chmod(0o755)
        listing = "".join(f"{p.relative_to(tmp)}\n" for p in sorted(tmp.rglob("*")))
        with open(path / "image", "wb") as out:
            done = subprocess.run(
                [tool("cpio"), "--quiet", "-o", "-H", "newc", "--owner=0:0"],
                cwd=tmp,
                input=listing.encode(),
                stdout=out,
                stderr=subprocess.PIPE,
            )
        if done.returncode:
            raise BuildError(f"cpio: {done.stderr.decode()}")


def _initramfs_name():
    """The initramfs's directory, named after what goes into it from this repository."""
    text = (HERE / "init.sh").read_bytes() + repr((BOOT_MODULES, CASE_MODULES, VARIANTS)).encode()
    return "initramfs-" + hashlib.sha256(text).hexdigest()[:12]


def build():
    """Makes whatever is missing in the cache; returns (kernel image, initramfs image)."""
    cache = cache_dir().resolve()
    with _lock(cache):
        for stale in cache.glob("tmp-*"):
            shutil.rmtree(stale, ignore_errors=True)
        if not (cache / "kernel").exists():
            reason = missing()
            if reason:
                raise BuildError(reason)
        _step(cache, "kernel", lambda path: _make_kernel(path, _kernel_package(), cache))
        release = (cache / "kernel/release").read_text()
        initramfs = cache / _initramfs_name()
        if not initramfs.exists():
            _step(cache, "headers", lambda path: _make_headers(path, release, cache))
            _step(cache, "source", _make_source)
            for name in VARIANTS:
                _step(cache, _variant_name(name), lambda path, name=name: _make_variant(path, name, cache, release))
            _step(cache, initramfs.name, lambda path: _make_initramfs(path, cache, release))
        (cache / "stamp").touch()
        return cache / "kernel/image", initramfs / "image"
