"""Which kernel messages mean nothing, so that every other one about JFFS2 or MTD is a finding."""

import re

#: Messages of a healthy run, each a pattern for the whole line.
EXPECTED = [
    # jffs2.ko says what it was built with when it is loaded.
    r"jffs2: version 2\.2\.( \(NAND\))?( \(SUMMARY\))? .*2001-2006 Red Hat, Inc\.",
    # Every mount with xattr support ends its scan with this count, zeros on a medium without attributes.
    r"jffs2: notice: \(\d+\) jffs2_build_xattr_subsystem: complete building xattr subsystem, .*",
    # The variants of jffs2.ko are built outside the kernel's tree and are not signed.
    r"jffs2: loading out-of-tree module taints kernel\.",
    r"jffs2: module verification failed: signature and/or required key missing - tainting kernel",
    # nandsim introduces its chip; the lines of its geometry carry no name.
    r"nand: device found, Manufacturer ID: 0x[0-9a-f]+, Chip ID: 0x[0-9a-f]+",
    r"nand: .+",
    r"Creating \d+ MTD partitions on .*",
    r'0x[0-9a-f]+-0x[0-9a-f]+ : "NAND simulator partition \d+"',
    r"Deleting MTD partitions on .*",
    r"Deleting .* MTD partition",
    # It asks the chip for more bytes of its identity than the chip was told to have.
    r"\[nandsim\] warning: read_byte: unexpected data output cycle, state is STATE_READY return 0x0",
    r"\[nandsim\] warning: CONFIG_MTD_PARTITIONED_MASTER must be enabled to expose debugfs stuff",
]

#: What is about the file system or the flash, or says that the kernel itself is in trouble.
_RELEVANT = re.compile(
    r"jffs2|\bmtd|mtdram|nand|\becc|BUG|WARNING|Oops|Kernel panic|Call Trace|general protection|blocked for more than"
    r"|soft lockup|rcu.*stall|Out of memory|page allocation failure|slab error|KASAN|UBSAN|refcount",
    re.I,
)

_EXPECTED = re.compile("|".join(f"(?:{pattern})" for pattern in EXPECTED))


def unexpected(messages, also=()):
    """The messages that say something about JFFS2, MTD or the kernel's health and are not of a healthy run.

    `also` are patterns of further lines that the caller expects.
    """
    more = [re.compile(pattern) for pattern in also]
    return [
        line
        for line in messages
        if _RELEVANT.search(line) and not _EXPECTED.fullmatch(line) and not any(m.search(line) for m in more)
    ]
