"""The program in the guest: prepares the device of each case, runs its steps, writes the results for the host.

One process drives all cases of a job, since a start of Python costs as much here as ten cases. It reads job.json
and data.bin from the job directory, and appends to events.jsonl (one JSON object per event) and blobs.bin (bulk
data, by offset and length). An event precedes each step, so the host knows where a guest died.
"""

import ctypes
import errno
import fcntl
import json
import os
import runpy
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tree

MODULES = "/run/lab/modules"
SCRATCH = "/run/lab"
MNT = "/run/lab/mnt"
MTD = "/dev/mtd0"

_libc = ctypes.CDLL(None, use_errno=True)
_SYS_FINIT_MODULE, _SYS_DELETE_MODULE = 313, 176  # x86_64
_MS_RDONLY = 1

_MEMERASE64 = 0x40104D14
_MEMGETBADBLOCK = 0x40084D0B
_ECCGETSTATS = 0x80104D12
_MEMWRITE = 0xC0304D18
_MEMREAD = 0xC0404D1A
_PLACE, _AUTO, _RAW = 0, 1, 2

_CLEANMARKER = 0x1985, 0x2003, 8


class StepError(Exception):
    """A step could not do what it was asked for; the message is the result's `error`."""


class Stuck(Exception):
    """The guest cannot be brought back to a clean state; the host boots another for the rest."""


def _check(result, what):
    """Turns the -1 of a C call into an OSError."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def insmod(name, parameters=""):
    """Loads one module file of the initramfs."""
    fd = os.open(f"{MODULES}/{name}.ko", os.O_RDONLY)
    try:
        _check(_libc.syscall(_SYS_FINIT_MODULE, fd, parameters.encode(), 0), f"insmod {name}")
    finally:
        os.close(fd)


def rmmod(name):
    """Unloads a module; its users were told to let go just before, so it is tried for a moment."""
    for attempt in range(50):
        try:
            _check(_libc.syscall(_SYS_DELETE_MODULE, name.encode(), os.O_NONBLOCK), f"rmmod {name}")
            return
        except OSError as error:
            if attempt == 49:
                raise Stuck(str(error)) from None
            time.sleep(0.02)


class Kmsg:
    """The kernel's messages as they come."""

    def __init__(self):
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)

    def drain(self):
        """The lines since the last call, without those that programs wrote into the log."""
        found = []
        while True:
            try:
                record = os.read(self._fd, 8192)
            except BlockingIOError:
                return found
            except BrokenPipeError:  # the kernel's buffer ran over: the oldest lines are lost
                found.append("lab: kernel messages lost")
                continue
            head, _, rest = record.decode("utf-8", "backslashreplace").partition(";")
            if int(head.split(",", 1)[0]) >> 3 == 0:
                found.append(rest.split("\n", 1)[0])


class Device:
    """The one simulated flash chip, /dev/mtd0, kept from case to case while its geometry stays."""

    def __init__(self):
        self.spec = None
        self.nand = False

    def prepare(self, spec):
        """An erased device of this kind."""
        reusable = spec == self.spec and not spec.get("fresh")
        if reusable:
            try:
                self._clear()
                return
            except OSError:
                pass  # a block went bad in the case before: only a new chip brings it back
        if self.spec is not None:
            rmmod("nandsim" if self.nand else "mtdram")
            self.spec = None
        insmod(spec["module"], spec["parameters"])
        self.nand = spec["module"] == "nandsim"
        self.size, self.erasesize, self.page = spec["size"], spec["erase"], spec["page"]
        for name, value in (("size", self.size), ("erasesize", self.erasesize), ("writesize", self.page)):
            with open(f"/sys/class/mtd/mtd0/{name}") as file:
                seen = int(file.read())
            if seen != value:
                rmmod(spec["module"])
                raise StepError(f"{spec['module']} made a device with {name} {seen}, not {value}")
        self.spec = spec

    def _clear(self):
        if self.nand:
            self.erase(0, self.size)

    def open(self):
        return os.open(MTD, os.O_RDWR)

    def erase(self, offset, length):
        fd = self.open()
        try:
            fcntl.ioctl(fd, _MEMERASE64, struct.pack("QQ", offset, length))
        finally:
            os.close(fd)

    def load(self, data):
        """Writes the start image to the erased device."""
        fd = self.open()
        try:
            if not self.nand:
                # mtdram stores what it is given, ones over zeros too: no erase is needed in between.
                self._pwrite(fd, data + b"\xff" * (self.size - len(data)), 0)
                return
            page = self.page
            blank = b"\xff" * page
            if len(data) % page:
                data += b"\xff" * (page - len(data) % page)
            start = None
            for at in range(0, len(data) + page, page):
                if at < len(data) and data[at : at + page] != blank:
                    start = at if start is None else start
                elif start is not None:
                    self._pwrite(fd, data[start:at], start)
                    start = None
        finally:
            os.close(fd)

    @staticmethod
    def _pwrite(fd, data, offset):
        view = memoryview(data)
        while view:
            done = os.pwrite(fd, view, offset)
            view, offset = view[done:], offset + done

    def program(self, offset, data):
        fd = self.open()
        try:
            self._pwrite(fd, data, offset)
        finally:
            os.close(fd)

    def write_oob(self, offset, data):
        """Out-of-band bytes of one page, laid into the places that ECC leaves free, as the kernel does."""
        buffer = ctypes.create_string_buffer(data, len(data))
        self._ioctl(_MEMWRITE, struct.pack("QQQQQB7x", offset, 0, len(data), 0, ctypes.addressof(buffer), _AUTO))

    def write_raw(self, offset, data):
        """Clears bits of one page behind ECC's back."""
        buffer = ctypes.create_string_buffer(data, len(data))
        # nandsim accepts whole pages only, the out-of-band area (here: nothing to clear) included.
        size = self.oobsize()
        blank = ctypes.create_string_buffer(b"\xff" * size, size)
        where = ctypes.addressof(buffer), ctypes.addressof(blank)
        self._ioctl(_MEMWRITE, struct.pack("QQQQQB7x", offset, len(data), size, *where, _RAW))

    @staticmethod
    def oobsize():
        with open("/sys/class/mtd/mtd0/oobsize") as file:
            return int(file.read())

    def read(self, offset, length, oob, mode):
        """(data, out-of-band data) of one place through MEMREAD, in one of the three modes."""
        data = ctypes.create_string_buffer(length) if length else None
        extra = ctypes.create_string_buffer(oob) if oob else None
        self._ioctl(
            _MEMREAD,
            struct.pack(
                "QQQQQB7xIII4x",
                offset,
                length,
                oob,
                ctypes.addressof(data) if data else 0,
                ctypes.addressof(extra) if extra else 0,
                mode,
                0,
                0,
                0,
            ),
        )
        return (data.raw if data else b""), (extra.raw if extra else b"")

    def _ioctl(self, request, packed):
        fd = self.open()
        try:
            fcntl.ioctl(fd, request, bytearray(packed))
        finally:
            os.close(fd)

    def is_bad(self, offset):
        fd = self.open()
        try:
            return bool(fcntl.ioctl(fd, _MEMGETBADBLOCK, bytearray(struct.pack("q", offset))))
        finally:
            os.close(fd)

    def contents(self):
        """(all bytes, offsets of pages that ECC could not correct).

        A read of the device gives the data of such pages as if nothing were wrong; only the count of failures tells.
        """
        fd = self.open()
        try:
            parts, wrong = [], []
            for block in range(0, self.size, self.erasesize):
                before = self._failures(fd)
                parts.append(os.pread(fd, self.erasesize, block))
                if self._failures(fd) != before:
                    for at in range(block, block + self.erasesize, self.page):
                        before = self._failures(fd)
                        os.pread(fd, self.page, at)
                        if self._failures(fd) != before:
                            wrong.append(at)
            return b"".join(parts), wrong
        finally:
            os.close(fd)

    def _failures(self, fd):
        """How many reads ECC has given up so far."""
        if not self.nand:
            return 0
        return struct.unpack("4I", fcntl.ioctl(fd, _ECCGETSTATS, bytes(16)))[1]


def cleanmarker(big_endian):
    """The marker that says that a block was erased to its end."""
    return struct.pack(">HHI" if big_endian else "<HHI", *_CLEANMARKER)


class Guest:
    """Runs the cases of one job."""

    def __init__(self, job):
        self.dir = job
        with open(f"{job}/job.json") as file:
            self.job = json.load(file)
        self.data = os.open(f"{job}/data.bin", os.O_RDONLY)
        self.events = os.open(f"{job}/events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.blobs = os.open(f"{job}/blobs.bin", os.O_WRONLY | os.O_CREAT, 0o644)
        self.blob_end = 0
        self.kmsg = Kmsg()
        self.device = Device()
        self.kernel = None
        self.mounted = False
        self.mount_flags = (0, "")
        self.seen_trees = set()

    def event(self, **fields):
        os.write(self.events, (json.dumps(fields) + "\n").encode())

    def bytes_of(self, reference):
        """The job's bulk data behind (offset, length)."""
        offset, length = reference
        parts = []
        while length:
            part = os.pread(self.data, length, offset)
            if not part:
                raise StepError("the job's data file is too short")
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def blob(self, data):
        """Stores bulk data for the host; returns (offset, length)."""
        at = self.blob_end
        Device._pwrite(self.blobs, data, at)
        self.blob_end += len(data)
        return [at, len(data)]

    def run(self):
        self.kmsg.drain()
        self.event(event="up", seconds=float(Path("/proc/uptime").read_text().split()[0]))
        for index, case in self.job["cases"]:
            self.event(event="case", index=index)
            try:
                results = self.case(index, case)
            except Stuck as error:
                self.event(event="retry", index=index, why=str(error))
                return
            try:
                self.clean()
            finally:
                self.event(event="done", index=index, results=results)
        self.event(event="end")

    def case(self, index, case):
        """The results of a case: of its preparation, then of each step."""
        self.case_now = case
        self.big_endian = case["kernel"] == "bigendian"
        results = [self.attempt("prepare", lambda: self.prepare(case))]
        if "error" in results[0]:
            return results
        for number, step in enumerate(case["steps"]):
            self.event(event="step", index=index, step=number)
            results.append(self.attempt(step["do"], lambda step=step: getattr(self, "do_" + step["do"])(step)))
        return results

    def attempt(self, name, action):
        """Runs an action; its result, or its error, with the kernel's messages during it."""
        started = time.monotonic()
        try:
            result = action() or {}
        except Stuck:
            raise
        except StepError as error:
            result = {"error": str(error)}
        except OSError as error:
            result = {"error": f"{errno.errorcode.get(error.errno, error.errno)}: {error}"}
        except Exception:
            result = {"error": "lab: " + traceback.format_exc()}
        result["do"] = name
        result["dmesg"] = self.kmsg.drain()
        result["seconds"] = round(time.monotonic() - started, 4)
        return result

    def clean(self):
        """Leaves nothing of a case behind."""
        if not self.mounted:
            self.kmsg.drain()
            return
        try:
            self.do_umount({})
        except OSError:
            # Something that left its session works on it. This takes the collector's thread too, and only now may.
            os.kill(-1, signal.SIGKILL)
            try:
                self.do_umount({})
            except OSError as error:
                raise Stuck(f"umount after the case: {error}") from None
        self.kmsg.drain()

    # preparation

    def prepare(self, case):
        if case["kernel"] != self.kernel:
            if self.kernel is not None:
                rmmod("jffs2")
                self.kernel = None
            insmod("jffs2" if case["kernel"] == "stock" else f"jffs2-{case['kernel']}")
            self.kernel = case["kernel"]
        self.device.prepare(case["device"])
        if case["image"] or not self.device.nand:
            self.device.load(self.bytes_of(case["image"]) if case["image"] else b"")
        self.do_cleanmarkers({"blocks": case["cleanmarkers"]})
        for offset in case["uncorrectable"]:
            self.spoil(offset)

    def spoil(self, offset, bits=2):
        """Makes one page unreadable: two bits of one ECC step cleared while the ECC bytes stay. One is corrected."""
        data = bytearray(self.device.read(offset, self.device.page, 0, _RAW)[0])
        cleared = 0
        for at in range(256):
            while cleared < bits and data[at]:
                data[at] &= data[at] - 1
                cleared += 1
        if cleared < bits:
            raise StepError(f"page {offset:#x} has no {bits} set bits to clear")
        self.device.write_raw(offset, bytes(data))

    # steps

    def do_mount(self, step):
        if self.mounted:
            raise StepError("already mounted")
        flags = _MS_RDONLY if step.get("ro") else 0
        options = step.get("options") or ""
        _check(_libc.mount(b"mtd0", MNT.encode(), b"jffs2", flags, options.encode()), "mount")
        self.mounted, self.mount_flags = True, step

    def do_umount(self, step):
        self._need_mount()
        for attempt in range(5):
            try:
                _check(_libc.umount2(MNT.encode(), 0), "umount")
                break
            except OSError:
                if attempt == 4:
                    raise
                time.sleep(0.1)
        self.mounted = False

    def do_remount(self, step):
        self.do_umount(step)
        self.do_mount(self.mount_flags)

    def do_tree(self, step):
        self._need_mount()
        found = tree.lines(MNT)
        digest = tree.digest(found)
        if digest in self.seen_trees:
            return {"digest": digest}
        self.seen_trees.add(digest)
        return {"digest": digest, "lines": found}

    def do_run(self, step):
        env = dict(self.job["env"], MNT=MNT, MTD=MTD, HOME="/root", LC_ALL="C.UTF-8")
        # Files, not pipes: a pipe stays open for as long as anything in the background holds it.
        with tempfile.TemporaryFile(dir=SCRATCH) as out, tempfile.TemporaryFile(dir=SCRATCH) as err:
            rc = (self._run_module if "module" in step else self._run_program)(step, env, out, err)
            result = {"rc": rc} if rc is not None else {"error": f"still running after {step['timeout']} s"}
            for name, file in (("stdout", out), ("stderr", err)):
                file.seek(0)
                result[name] = file.read().decode("utf-8", "surrogateescape")
            return result

    def _run_program(self, step, env, out, err):
        process = subprocess.Popen(
            step["argv"],
            cwd=step.get("cwd") or self.job["cwd"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        rc = None
        with suppress(subprocess.TimeoutExpired):
            rc = process.wait(timeout=step["timeout"])
        self._kill_group(process)
        process.wait()
        return rc

    def _run_module(self, step, env, out, err):
        import warm  # what it needs costs a second, and most jobs do without

        process = warm.start(step["module"], step["argv"], self.job, env, out, err)
        process.join(step["timeout"])
        rc = process.exitcode
        self._kill_group(process)
        process.join()
        return rc

    @staticmethod
    def _kill_group(process):
        with suppress(ProcessLookupError):  # what it left in the background too
            os.killpg(process.pid, signal.SIGKILL)

    def do_call(self, step):
        self._need_mount()
        runpy.run_path(step["file"])["perform"](MNT, *step["arguments"])

    def do_gc(self, step):
        """Wakes the kernel's collector: each signal lets it do one pass (check one inode or move one node)."""
        self._need_mount()
        thread = None
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/comm") as file:
                        if file.read().strip() == "jffs2_gcd_mtd0":
                            thread = int(name)
                except OSError:
                    pass
        if thread is None:
            raise StepError("no collector runs: mounted read-only?")
        for _ in range(step["passes"]):
            os.kill(thread, signal.SIGHUP)
            time.sleep(step["pause"])

    def do_sync(self, step):
        os.sync()

    def do_erase(self, step):
        self.device.erase(step["offset"], step["length"] or self.device.size - step["offset"])

    def do_program(self, step):
        self.device.program(step["offset"], self.bytes_of(step["data"]))

    def do_cleanmarkers(self, step):
        blocks = step["blocks"]
        if not blocks:
            return
        if not self.device.nand:
            raise StepError("out-of-band cleanmarkers need NAND")
        for block in blocks:
            self.device.write_oob(block * self.device.erasesize, cleanmarker(self.big_endian))

    def do_spoil(self, step):
        self.spoil(step["offset"], step["bits"])

    def do_read_back(self, step):
        device = self.device
        data, wrong = device.contents()
        result = {"image": self.blob(data), "uncorrectable": wrong}
        if device.nand:
            oobsize = device.oobsize()
            extra, marked, bad = [], [], []
            for number, offset in enumerate(range(0, device.size, device.erasesize)):
                extra.append(device.read(offset, 0, oobsize, _PLACE)[1])
                if device.is_bad(offset):
                    bad.append(number)
                elif device.read(offset, 0, 8, _AUTO)[1] == cleanmarker(self.big_endian):
                    marked.append(number)
            result.update(oob=self.blob(b"".join(extra)), oobsize=oobsize, cleanmarkers=marked, badblocks=bad)
        return result

    def _need_mount(self):
        if not self.mounted:
            raise StepError("nothing is mounted")


if __name__ == "__main__":
    Guest(sys.argv[1]).run()
