"""Asks the real kernel: boots Debian's Linux in an emulator and runs many cases per boot.

    lab = Lab()
    case = Case("one", Nor(256 * KIB, 16 * KIB), image=data, steps=[mount(), tree(), umount()])
    result = lab.run([case])[0]
    assert result.ok and not result.unexpected
    result.tree().digest

A case is a simulated flash chip, the image it starts with, and steps. The chip is always /dev/mtd0 and the mount
point always the same; programs in the guest find both in $MTD and $MNT, and see the host's files under a layer
that takes their writes.
"""

import json
import math
import os
import re
import shlex
import site
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import build, dmesg

KIB = 1024
MIB = 1024 * KIB

#: The interpreter of the caller, for run() steps: a shim of the same name would cost the guest seconds.
PYTHON = sys.executable

_GUEST = Path(__file__).resolve().with_name("guest.py")

#: Bulk data of one boot at most, and the time an emulated kernel may take to come up on a busy host.
_BOOT_BYTES = 512 * MIB
_BOOT_SECONDS = 180


class LabError(RuntimeError):
    """The lab itself failed (the guest does not boot), or was asked for something that it cannot do."""


# devices


@dataclass(frozen=True)
class Nor:
    """Plain NOR, by mtdram: bytes are written as given, so bits can be set again without an erase."""

    size: int = MIB
    erase: int = 64 * KIB

    def spec(self):
        if self.size % self.erase or self.erase % KIB:
            raise LabError(f"{self}: not a whole number of erase blocks of whole KiB")
        return {
            "module": "mtdram",
            "parameters": f"total_size={self.size // KIB} erase_size={self.erase // KIB}",
            "size": self.size,
            "erase": self.erase,
            "page": 1,
        }


@dataclass(frozen=True)
class Nand:
    """SLC NAND with ECC in software, by nandsim. Block and page lists are nandsim's: (3,) or ("3:2",)."""

    page: int = 2 * KIB
    size: int = MIB
    erase: int = 0
    badblocks: tuple = ()
    weakblocks: tuple = ()
    weakpages: tuple = ()
    gravepages: tuple = ()
    bitflips: int = 0
    bch: int = 0

    def spec(self):
        erase = self.erase or (16 * KIB if self.page == 512 else 128 * KIB)
        if self.page == 512 and erase == 16 * KIB:
            words = ["first_id_byte=0x98", "second_id_byte=0x75"]
        elif self.page in (2 * KIB, 4 * KIB) and erase in (64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB):
            # The fourth byte: page size, 16 bytes of OOB per 512, block size.
            fourth = int(math.log2(self.page // KIB)) | 4 | int(math.log2(erase // (64 * KIB))) << 4
            words = ["first_id_byte=0x20", "second_id_byte=0xa2", "third_id_byte=0x00", f"fourth_id_byte={fourth:#x}"]
        else:
            raise LabError(f"{self}: no such chip is known")
        blocks, rest = divmod(self.size, erase)
        if rest or not blocks:
            raise LabError(f"{self}: not a whole number of erase blocks")
        exponent = max((blocks - 1).bit_length(), 1)
        words.append(f"overridesize={exponent}")
        if blocks != 1 << exponent:
            words.append(f"parts={blocks}")
        fresh = False
        for name in ("badblocks", "weakblocks", "weakpages", "gravepages"):
            if getattr(self, name):
                words.append(f"{name}={','.join(map(str, getattr(self, name)))}")
                fresh = True
        for name in ("bitflips", "bch"):
            if getattr(self, name):
                words.append(f"{name}={getattr(self, name)}")
        return {
            "module": "nandsim",
            "parameters": " ".join(words),
            "size": self.size,
            "erase": erase,
            "page": self.page,
            "fresh": fresh,
        }


def parse_device(text):
    """A device from `nor:ERASE:SIZE`, `nand2k:SIZE` or `nand512:SIZE`, sizes like 64KiB, 4MiB or 65536."""

    def size(word):
        match = re.fullmatch(r"(\d+)(KiB|MiB|)", word)
        if not match:
            raise LabError(f"{word!r} is not a size such as 64KiB")
        return int(match[1]) * {"KiB": KIB, "MiB": MIB, "": 1}[match[2]]

    kind, *words = text.split(":")
    if kind == "nor" and len(words) == 2:
        return Nor(size(words[1]), size(words[0]))
    if kind in ("nand512", "nand2k", "nand4k") and len(words) == 1:
        return Nand({"nand512": 512, "nand2k": 2 * KIB, "nand4k": 4 * KIB}[kind], size(words[0]))
    raise LabError(f"{text!r} is not a device such as nor:64KiB:4MiB, nand2k:8MiB or nand512:4MiB")


# steps


def mount(ro=False, options=""):
    """Mounts the device; without further words the file system's own options are the defaults."""
    return {"do": "mount", "ro": ro, "options": options}


def umount():
    return {"do": "umount"}


def remount():
    """Unmounts and mounts again as before: a new scan of the medium."""
    return {"do": "remount"}


def tree():
    """The whole mounted tree: `lines` and `digest`, see tree.py."""
    return {"do": "tree"}


def sh(script, timeout=60):
    """A bash script with $MNT and $MTD: `rc`, `stdout`, `stderr`. An rc other than 0 makes the step not ok."""
    return {"do": "run", "argv": ["bash", "-c", script], "timeout": timeout}


def run(argv, cwd=None, timeout=60):
    """A host program, started in the repository's root; results as of sh()."""
    return {"do": "run", "argv": [str(word) for word in argv], "cwd": cwd and str(cwd), "timeout": timeout}


def run_module(module, *argv, timeout=60):
    """`python -m MODULE ARGV...` in the repository's root, by the caller's interpreter; results as of sh().

    The guest imports a module once, and a process of its own then runs it: starts of Python cost seconds there.
    """
    return {"do": "run", "module": module, "argv": [str(word) for word in argv], "timeout": timeout}


def call(file, *arguments):
    """Calls perform(mount point, *arguments) of a Python file of the standard library only, in the guest's own process.

    For what run() of an interpreter does too, without the second that its start takes.
    """
    return {"do": "call", "file": str(file), "arguments": list(arguments)}


def gc(passes=20, pause=0.01):
    """Lets the kernel's garbage collector work, one node (or one inode to check) per pass."""
    return {"do": "gc", "passes": passes, "pause": pause}


def sync():
    return {"do": "sync"}


def read_back():
    """The medium: `image`, `uncorrectable` page offsets, `badblocks`; NAND also `oob` and `cleanmarkers`."""
    return {"do": "read_back"}


def flash_erase(offset=0, length=0):
    """Erases blocks; length 0 means all from the offset to the end."""
    return {"do": "erase", "offset": offset, "length": length}


def program(offset, data):
    """Writes to the raw device as a program would, at the chip's granularity."""
    return {"do": "program", "offset": offset, "data": bytes(data)}


def cleanmarkers(blocks):
    """Writes the out-of-band cleanmarker of these (NAND) blocks."""
    return {"do": "cleanmarkers", "blocks": list(blocks)}


def spoil(offset, bits=2):
    """Clears the first set bits of the NAND page at this offset behind ECC's back: two make it uncorrectable, one does
    not. They must be among its first 256 bytes."""
    return {"do": "spoil", "offset": offset, "bits": bits}


# cases and results


@dataclass
class Case:
    """One chip, what is on it, and what to do with it.

    `image` may be shorter than the chip, the rest stays erased. `cleanmarkers` (NAND): block numbers, "all", or
    "free" for the blocks that the image leaves erased. `uncorrectable`: offsets of pages that ECC shall give up.
    `expected`: patterns of kernel messages that this case is right to provoke.
    """

    id: str
    device: object
    image: object = None
    cleanmarkers: object = ()
    kernel: str = "stock"
    steps: list = field(default_factory=lambda: [mount(), tree(), umount()])
    uncorrectable: tuple = ()
    expected: tuple = ()

    def image_bytes(self):
        if self.image is None:
            return b""
        return Path(self.image).read_bytes() if isinstance(self.image, (str, os.PathLike)) else bytes(self.image)

    def marked_blocks(self, image, spec):
        if self.cleanmarkers not in ("all", "free"):
            return list(self.cleanmarkers)
        erase, blocks = spec["erase"], range(spec["size"] // spec["erase"])
        if self.cleanmarkers == "all":
            return list(blocks)
        return [b for b in blocks if not image[b * erase : (b + 1) * erase].strip(b"\xff")]


@dataclass
class StepResult:
    """What one step gave. `dmesg` are the kernel's lines during it, `unexpected` those of them that matter."""

    do: str
    error: str = None
    seconds: float = 0.0
    dmesg: list = field(default_factory=list)
    rc: int = None
    stdout: str = ""
    stderr: str = ""
    digest: str = None
    lines: list = None
    image: bytes = None
    uncorrectable: list = None
    oob: list = None
    cleanmarkers: list = None
    badblocks: list = None
    expected: tuple = ()

    @property
    def ok(self):
        return self.error is None and not self.rc

    @property
    def unexpected(self):
        return dmesg.unexpected(self.dmesg, self.expected)


@dataclass
class Result:
    """What a case gave: `prepare` and one StepResult per step that was begun.

    `error` says that the guest died or hung in this case (and `console` how); steps' own failures are theirs.
    """

    case: Case
    prepare: StepResult = None
    steps: list = field(default_factory=list)
    error: str = None
    console: str = ""

    @property
    def id(self):
        return self.case.id

    @property
    def ok(self):
        done = self.prepare is not None and self.prepare.ok and len(self.steps) == len(self.case.steps)
        return self.error is None and done and all(step.ok for step in self.steps)

    @property
    def dmesg(self):
        return [line for step in self._all() for line in step.dmesg]

    @property
    def unexpected(self):
        return dmesg.unexpected(self.dmesg, self.case.expected)

    def _all(self):
        return ([self.prepare] if self.prepare else []) + self.steps

    def named(self, do):
        """The results of all steps of one kind, in order ("tree", "mount", "run", "read_back", ...)."""
        return [step for step in self.steps if step.do == do]

    def tree(self, number=0):
        return self.named("tree")[number]

    def why(self):
        """Everything that went wrong, as text for an assertion."""
        words = [f"case {self.id}"]
        if self.error:
            words += [self.error, self.console[-4000:]]
        for step in self._all():
            if not step.ok:
                words.append(f"{step.do}: {step.error or ''} rc={step.rc} {step.stdout}{step.stderr}")
        return "\n".join(words + self.unexpected)


# the machine


class _Boot:
    """One guest, from its start to its end, with the cases that it was given."""

    def __init__(self, images, cases, patience, memory, stop):
        self.cases = cases
        self.stop = stop
        self.patience = patience
        self.results = {}
        self.failed_at = None  # (index, step number or None) where the guest died
        self.reason = None
        self.up = False
        self.ended = False
        self._trees = {}
        with tempfile.TemporaryDirectory(prefix="jffs2tx-lab-") as name:
            self.dir = Path(name)
            self._write_job()
            self._drive(images, memory)

    def _write_job(self):
        places = {}
        with open(self.dir / "data.bin", "wb") as data:

            def place(blob):
                if blob not in places:
                    places[blob] = [data.tell(), len(blob)]
                    data.write(blob)
                return places[blob]

            cases = []
            for index, case, image, spec in self.cases:
                steps = [dict(s, data=place(s["data"])) if s["do"] == "program" else s for s in case.steps]
                cases.append(
                    [
                        index,
                        {
                            "device": spec,
                            "kernel": case.kernel,
                            "image": place(image.rstrip(b"\xff")) if image else None,
                            "cleanmarkers": case.marked_blocks(image, spec),
                            "uncorrectable": list(case.uncorrectable),
                            "steps": steps,
                        },
                    ]
                )
        env = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
        job = {"cases": cases, "env": env, "cwd": str(build.REPO), "site": site.getsitepackages()}
        (self.dir / "job.json").write_text(json.dumps(job))
        # -S: nothing of site-packages is needed, and importing it here takes most of a second.
        python = os.path.realpath(sys.executable)
        words = ["exec", python, "-I", "-S", "-B", str(_GUEST), "/run/lab/job"]
        path = shlex.quote(env.get("PATH", os.defpath))
        (self.dir / "start").write_text(f"export PATH={path}\n{shlex.join(words)}\n")

    def _drive(self, images, memory):
        kernel, initramfs = images
        share = "local,security_model=none,multidevs=remap"
        argv = [build.tool("qemu-system-x86_64"), "-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", str(memory)]
        argv += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        argv += ["-kernel", str(kernel), "-initrd", str(initramfs)]
        argv += ["-append", "console=ttyS0 quiet loglevel=1 mitigations=off nokaslr panic=-1 oops=panic log_buf_len=4M"]
        argv += ["-serial", f"file:{self.dir}/console"]
        argv += ["-virtfs", f"{share},path=/,mount_tag=host,readonly=on"]
        argv += ["-virtfs", f"{share},path={self.dir},mount_tag=job"]
        with open(self.dir / "qemu.log", "wb") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._watch(process)
        finally:
            process.kill()
            process.wait()
        self._collect()

    def _watch(self, process):
        """Waits for the guest's end, or for a silence that is too long for the step it is at."""
        events = self.dir / "events.jsonl"
        size, since = -1, time.monotonic()
        while process.poll() is None and not self.stop.is_set():
            time.sleep(0.05)
            now = events.stat().st_size if events.exists() else 0
            if now != size:
                size, since = now, time.monotonic()
            # Before the first event the guest boots; then the longest step that a case asks for sets the pace.
            if time.monotonic() - since > (self.patience if size else max(_BOOT_SECONDS, self.patience)):
                self.reason = f"hang: nothing happened for {self.patience} s"
                return

    def _collect(self):
        console = self.dir / "console"
        self.console = console.read_text(errors="backslashreplace") if console.exists() else ""
        self.console += (self.dir / "qemu.log").read_text(errors="backslashreplace")
        blobs = self.dir / "blobs.bin"
        self._blobs = open(blobs, "rb") if blobs.exists() else None  # noqa: SIM115 - closed with the job
        by_index = {index: case for index, case, _, _ in self.cases}
        at = None
        events = self.dir / "events.jsonl"
        for line in events.read_text().splitlines() if events.exists() else []:
            try:
                event = json.loads(line)
            except ValueError:
                break  # the guest died while it wrote this one
            kind = event["event"]
            if kind == "up":
                self.up = True
            elif kind == "case":
                at = (event["index"], None)
            elif kind == "step":
                at = (event["index"], event["step"])
            elif kind == "retry":  # what a case before left behind could not be undone
                at, self.reason = None, f"stuck: {event['why']}"
            elif kind == "done":
                at = None
                case = by_index[event["index"]]
                prepare, *steps = [self._step(fields, case) for fields in event["results"]]
                self.results[event["index"]] = Result(case, prepare, steps)
            elif kind == "end":
                self.ended = True
        if self._blobs:
            self._blobs.close()
        self.failed_at = at
        if self.reason is None and not self.ended:
            panic = re.search(r"Kernel panic[^\n]*", self.console)
            self.reason = panic[0].strip() if panic else "the guest ended"

    def _step(self, fields, case):
        fields = dict(fields)
        if "image" in fields:
            fields["image"] = self._blob(fields["image"])
        if "oob" in fields:
            data, size = self._blob(fields["oob"]), fields.pop("oobsize")
            fields["oob"] = [data[at : at + size] for at in range(0, len(data), size)]
        if fields.get("digest"):  # the guest sends each different tree once
            fields["lines"] = self._trees.setdefault(fields["digest"], fields.get("lines"))
        return StepResult(**fields, expected=tuple(case.expected))

    def _blob(self, place):
        self._blobs.seek(place[0])
        return self._blobs.read(place[1])


class Lab:
    """Boots guests for lists of cases. `jobs` guests at once; `memory` MiB each."""

    def __init__(self, jobs=2, memory=1024):
        self.images = build.build()
        self.jobs = jobs
        self.memory = memory

    def run(self, cases, timeout=None):
        """The results in the order of the cases.

        A guest in which nothing happens for `timeout` seconds hangs: the case it was at gets the error, and
        another guest goes on with the rest. Without a number it is 120, or more where a step may take longer.
        """
        if timeout is None:
            timeout = max([120, *(step.get("timeout", 0) + 30 for case in cases for step in case.steps)])
        prepared = []
        for index, case in enumerate(cases):
            if case.kernel not in build.KERNELS:
                raise LabError(f"case {case.id}: no kernel {case.kernel!r}")
            spec, image = case.device.spec(), case.image_bytes()
            if len(image) > spec["size"]:
                raise LabError(f"case {case.id}: the image is larger than its device")
            prepared.append((index, case, image, spec))
        # Cases of one chip and kernel stand together: changing either costs more than a small case.
        prepared.sort(key=lambda item: (item[1].kernel, item[3]["parameters"], item[0]))
        results = {}
        chunks = self._split(prepared)
        failures = []
        stop = threading.Event()

        def work():
            while not stop.is_set():
                try:
                    chunk = chunks.pop(0)
                except IndexError:
                    return
                try:
                    self._run_chunk(chunk, timeout, results, stop)
                except Exception as error:  # the caller's to see, in the caller's thread
                    failures.append(error)
                    stop.set()

        threads = [threading.Thread(target=work) for _ in range(min(self.jobs, len(chunks)))]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:  # an interrupted caller leaves no guest behind
            stop.set()
            for thread in threads:
                thread.join()
        if failures:
            raise failures[0]
        return [results[index] for index in range(len(cases))]

    def _split(self, prepared):
        """Parts for one boot each: as many as guests, unless a part is too small to be worth a boot."""
        parts = min(self.jobs, max(1, len(prepared) // 20))
        share = math.ceil(len(prepared) / parts) if prepared else 0
        chunks, weight = [], 0
        for item in prepared:
            if not chunks or len(chunks[-1]) >= share or weight + len(item[2]) > _BOOT_BYTES:
                chunks.append([])
                weight = 0
            chunks[-1].append(item)
            weight += len(item[2])
        return chunks

    def _run_chunk(self, chunk, timeout, results, stop):
        boots_without_news = 0
        while chunk:
            boot = _Boot(self.images, chunk, timeout, self.memory, stop)
            if stop.is_set():
                return
            results.update(boot.results)
            news = len(boot.results)
            if boot.failed_at:
                index, step = boot.failed_at
                case = next(item[1] for item in chunk if item[0] == index)
                where = "while it was prepared" if step is None else f"in step {step} ({case.steps[step]['do']})"
                results[index] = Result(case, error=f"{boot.reason}, {where}", console=boot.console)
                news += 1
            chunk = [item for item in chunk if item[0] not in results]
            boots_without_news = 0 if news else boots_without_news + 1
            if boots_without_news == 2:
                raise LabError(f"the guest does not come up: {boot.reason}\n{boot.console[-4000:]}")
