"""Why there is no JFFS2 in what was looked at: one clause that says what it is instead, and what to do."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator

from jffs2tx._ffi import ffi, lib
from jffs2tx.progress import exact_size
from jffs2tx.view import View

SAMPLE_BYTES = 1 << 20
GRID_BYTES = 4096  # where formats are looked for behind the start
ENOUGH_NODES = 2
ENCRYPTED_BITS = 7.9  # of entropy in a byte; what is not 0xFF counts
MAGICS = (b"\x85\x19", b"\x19\x85")
OLD_MAGICS = (b"\x84\x19", b"\x19\x84")
JFFS1_MAGICS = (b"1984", b"4891")
OPENWRT_MARK = b"\xde\xad\xc0\xde"

#: (bytes, where they stand from the format's start, what it is, what to do)
FORMATS: tuple[tuple[bytes, int, str, str], ...] = (
    (b"UBI#", 0, "UBI", "attach it with ubiattach or unpack it with a UBI tool: JFFS2 does not live on UBI as it is"),
    (b"\x31\x18\x10\x06", 0, "UBIFS", "mount it as UBIFS on a UBI volume"),
    (b"\x06\x10\x18\x31", 0, "UBIFS (big-endian)", "mount it as UBIFS on a UBI volume"),
    (b"hsqs", 0, "squashfs", "unsquashfs reads it"),
    (b"sqsh", 0, "squashfs (big-endian)", "unsquashfs reads it"),
    (b"qshs", 0, "squashfs (LZMA)", "a vendor's unsquashfs reads it"),
    (b"shsq", 0, "squashfs (LZMA)", "a vendor's unsquashfs reads it"),
    (b"\x45\x3d\xcd\x28", 0, "cramfs", "mount it as cramfs"),
    (b"\x28\xcd\x3d\x45", 0, "cramfs (big-endian)", "cramfsck reads it"),
    (b"-rom1fs-", 0, "romfs", "mount it as romfs"),
    (b"\xe2\xe1\xf5\xe0", 1024, "EROFS", "mount it as EROFS"),
    (b"\x53\xef", 1080, "ext2, ext3 or ext4", "mount it as that"),
    (b"\x27\x05\x19\x56", 0, "a U-Boot image (uImage)", "dumpimage lists its parts"),
    (b"\xd0\x0d\xfe\xed", 0, "a flattened image tree (FIT) or device tree", "dumpimage lists its parts"),
    (b"HDR0", 0, "a TRX image", "its parts are JFFS2 only behind its header, and here is none"),
    (b"\x1f\x8b\x08", 0, "gzip data", "gunzip it first"),
    (b"\xfd7zXZ\x00", 0, "xz data", "unxz it first"),
    (b"\x28\xb5\x2f\xfd", 0, "zstd data", "unzstd it first"),
    (b"BZh", 0, "bzip2 data", "bunzip2 it first"),
    (b"\x04\x22\x4d\x18", 0, "lz4 data", "unlz4 it first"),
    (b"\x5d\x00\x00", 0, "LZMA data", "unlzma it first"),
    (b"PK\x03\x04", 0, "a zip archive", "unzip it first"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", "unpack it first"),
    (b"ustar", 257, "a tar archive", "unpack it first"),
    (b"070701", 0, "a cpio archive", "unpack it first"),
    (b"\x7fELF", 0, "an ELF program", "it is no image of flash"),
    (b"ANDROID!", 0, "an Android boot image", "it holds a kernel and an initramfs"),
    (b"\x3a\xff\x26\xed", 0, "an Android sparse image", "simg2img it first"),
    (b"\x03\x00\x00\x00\x01\x00\x00\x00\xff\xff", 0, "YAFFS2", "a YAFFS tool reads it"),
    (b"\x00\x00\x00\x03\x00\x00\x00\x01\xff\xff", 0, "YAFFS2 (big-endian)", "a YAFFS tool reads it"),
    (b"\x01\x00\x00\x00\x01\x00\x00\x00\xff\xff", 0, "YAFFS2", "a YAFFS tool reads it"),
)

#: Of what has neither name nor number: names with values one behind the other, and what a program prints. Plain text
#: in a node that has lost its header looks the same.
_VARIABLE = re.compile(rb"[A-Za-z_][\w.]*=[ -~]*")
_NAME_IN_TEXT = re.compile(rb"(?<![\w.])[\d.]*+[A-Za-z_][\w.]*+=")  # no byte is looked at from two starts
_PRINTABLE = re.compile(rb"[ -~]*")
_TEXT = re.compile(rb"[ -~]{16,}")
ENOUGH_TEXTS = 4


def _halves_swapped(data: bytes) -> bytes:
    return _swapped("H", data)


def _words_swapped(data: bytes) -> bytes:
    return _swapped("I", data)


def _swapped(kind: str, data: bytes) -> bytes:
    words = array(kind, data[: len(data) // 4 * 4])
    words.byteswap()
    return words.tobytes()


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_NIBBLES = bytes((byte << 4 | byte >> 4) & 0xFF for byte in range(256))
_INVERTED = bytes(byte ^ 0xFF for byte in range(256))

#: What a reader of chips may do to the bytes: how it is called, what undoes it, and how to undo it outside.
TRANSFORMS: tuple[tuple[str, Callable[[bytes], bytes], str], ...] = (
    ("the bytes of each 16-bit word are swapped", _halves_swapped, "swap them back first, as `dd conv=swab` does"),
    ("the bytes of each 32-bit word are swapped", _words_swapped, "swap them back first, as objcopy --reverse-bytes=4"),
    ("the bits of each byte are in reverse order", lambda data: data.translate(_MIRRORED), "mirror them back first"),
    ("the halves of each byte are swapped", lambda data: data.translate(_NIBBLES), "swap them back first"),
    ("all bits are inverted", lambda data: data.translate(_INVERTED), "invert them back first"),
)


def known_format(view: View, at: int) -> str | None:
    """What starts with its magic number at this byte of data."""
    found = _format_at(view, at)
    return found[0] if found else None


def is_loader_text(view: View, at: int, end: int) -> bool:
    """Whether in these bytes of data, without a node of JFFS2, is a boot loader's environment, or a program."""
    data = view.data(at, min(end - at, SAMPLE_BYTES))
    return _has_variables(data) or len(_TEXT.findall(data)) >= ENOUGH_TEXTS


def _has_variables(data: bytes) -> bool:
    """Three in a row, each with a NUL behind it; in front of the first anything may stand, as a CRC does. Linear."""
    ended = data.split(b"\0")[:-1]
    is_one = [_VARIABLE.fullmatch(piece) is not None for piece in ended]
    return any(is_one[at] and is_one[at + 1] and _ends_in_variable(ended[at - 1]) for at in range(1, len(ended) - 1))


def _ends_in_variable(piece: bytes) -> bool:
    text = _PRINTABLE.match(piece[::-1]).group()[::-1]
    return _NAME_IN_TEXT.search(text) is not None


def why_nothing(view: View) -> str:
    """The reason why no node was found in what is not erased."""
    if not view.size:
        return "it is empty"
    looks = (_zeros, _openwrt, _transformed, _interleaved, _first_format, _damaged, _later_format)
    return next(filter(None, (look(view) for look in looks)))


def _format_at(view: View, at: int) -> tuple[str, str] | None:
    head = view.data(at, 2048)
    for magic, where, name, remedy in FORMATS:
        if head[where : where + len(magic)] == magic:
            return name, remedy
    return None


def _zeros(view: View) -> str | None:
    step = SAMPLE_BYTES
    if all(not view.data(at, step).strip(b"\x00") for at in range(0, view.size, step)):
        return "every byte of it is zero, which no erased flash is: was the right thing read?"
    return None


def _openwrt(view: View) -> str | None:
    """The mark after which OpenWrt makes its overlay at the first boot (mount_root, jffs2 ready mark)."""
    used = view.first_used()
    if view.data(used, len(OPENWRT_MARK)) == OPENWRT_MARK and view.first_used(used + len(OPENWRT_MARK)) == view.size:
        return (
            "this is OpenWrt's end-of-file-system mark (deadc0de) in an empty overlay: the first boot makes the file "
            "system there"
        )
    return None


def _interleaved(view: View) -> str | None:
    """Two chips side by side, of which each has every second byte (dual parallel QSPI)."""
    for start in _samples(view):
        data = view.data(start, 2 * SAMPLE_BYTES)
        if min(_nodes(data[0::2]), _nodes(data[1::2])) >= ENOUGH_NODES:
            return (
                "two file systems alternate byte by byte, as in a dump of two chips side by side: separate the even "
                "bytes from the odd ones first"
            )
        half = len(data) // 4 * 2
        merged = bytearray(2 * half)
        merged[0::2], merged[1::2] = view.data(0, half), view.data(view.size // 2, half).ljust(half, b"\xff")
        if _nodes(bytes(merged)) >= ENOUGH_NODES:
            return (
                "this is the content of two chips one after the other that hold every second byte each (dual parallel "
                "QSPI): join the halves byte by byte first"
            )
    return None


def _transformed(view: View) -> str | None:
    for start in _samples(view):
        data = view.data(start, SAMPLE_BYTES)
        for sentence, undo, remedy in TRANSFORMS:
            if _nodes(undo(data)) >= ENOUGH_NODES:
                return f"{sentence}, and behind that JFFS2 shows: {remedy}"
    return None


def _samples(view: View) -> Iterator[int]:
    """Where there is something: the first MiB in use, and one from the middle."""
    first = view.first_used() // GRID_BYTES * GRID_BYTES
    yield first
    if view.size - first > 2 * SAMPLE_BYTES:
        yield first + (view.size - first) // 2 // GRID_BYTES * GRID_BYTES


def _nodes(data: bytes) -> int:
    found = ffi.new("struct jx_found[]", 1)
    with ffi.from_buffer(data) as raw:
        return found[0].nodes if lib.jx_locate(raw, len(data), 0, 0, found, 1) > 0 else 0


def _first_format(view: View) -> str | None:
    used = view.first_used()
    for at in dict.fromkeys((0, used, used // GRID_BYTES * GRID_BYTES)):
        if found := _format_at(view, at):
            where = f" from offset {view.place(at):#x} on" if at else ""
            return f"this is {found[0]}{where}: {found[1]}"
    return None


def _damaged(view: View) -> str | None:
    """JFFS2's magic where nodes would start, and not one of them whole."""
    data = view.data(view.first_used() // GRID_BYTES * GRID_BYTES, SAMPLE_BYTES)
    words = [data[at : at + 2] for at in range(0, len(data) - 1, 4)]
    seen = Counter(word for word in words if word in MAGICS or word in OLD_MAGICS)
    expected = 8 + len(words) // 8192  # of noise, about one word in 16,384 has one of the four
    if data[:4] in JFFS1_MAGICS or sum(data[at : at + 4] in JFFS1_MAGICS for at in range(0, len(data), 4)) > 8:
        return 'this is JFFS, version 1 (magic "1984"), which no Linux of today reads'
    if sum(seen[magic] for magic in OLD_MAGICS) > expected:
        return (
            "its nodes have JFFS2's old magic number 0x1984 (JFFS2_OLD_MAGIC_BITMASK), which no Linux of today reads: "
            "jefferson does"
        )
    if sum(seen[magic] for magic in MAGICS) > expected:
        return (
            "JFFS2's magic number is all over it, but not one header has a good CRC: the dump is damaged, scrambled "
            "or interleaved with something; if OOB follows each page, --page-size and --oob-size say how much"
        )
    return None


def _later_format(view: View) -> str:
    """What starts somewhere in it, or what the bytes as a whole look like."""
    for at in range(GRID_BYTES, min(view.size, 1 << 28), GRID_BYTES):
        head = view.data(at, 4)
        if head in _UNMISTAKABLE and (found := _format_at(view, at)):
            return f"not one node in it is well formed; {found[0]} starts at {view.place(at):#x} ({found[1]})"
    bits = _entropy(view.data(view.first_used(), SAMPLE_BYTES))
    if view.size >= 4 * GRID_BYTES and bits > ENCRYPTED_BITS:
        return f"its bytes look random ({bits:.2f} bits of entropy each): it is encrypted or compressed as a whole"
    return (
        f"not one node in {exact_size(view.size)} is well formed: is this the right part of the flash? In a larger "
        "dump JFFS2 is found wherever it stands"
    )


_UNMISTAKABLE = frozenset(magic for magic, where, *_ in FORMATS if len(magic) == 4 and where == 0)


def _entropy(data: bytes) -> float:
    counts = Counter(data)
    del counts[0xFF]
    total = sum(counts.values())
    return -sum(n / total * math.log2(n / total) for n in counts.values()) if total else 0.0
