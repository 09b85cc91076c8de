"""Where our reader is another than the kernel on purpose, and where the kernel does not survive the image."""

_BREAKS_OFF = "a name that the VFS refuses ends the kernel's listing with an error; we show the others"

#: Image -> why ours differs.
DELIBERATE: dict[str, str] = {
    "directory-with-two-parents": "a directory is entered once",
    "directory-loops": "a directory is entered once, and is no error where it stands below itself",
    "root-is-a-file": "what the root is can be seen, though not mounted",
    "empty-name": _BREAKS_OFF,
    "slash-in-name": _BREAKS_OFF,
    "nul-name": _BREAKS_OFF,
    "summary-with-nul-name": _BREAKS_OFF,
    "longest-names": "the kernel lists a name of 255 bytes and cannot look it up; its file can be read all the same",
    "hole-that-wraps": "the kernel's sum of offset and length wraps around; we end the hole at the size",
    "length-that-wraps": "the length is refused as any other beyond the block",
    "rtime-badly": "an error, as for every other compressor",
}

#: (image, kernel) that hang or crash Linux 6.1: never mounted in the lab.
FATAL = {(image, kernel) for image in ("length-that-wraps", "rtime-badly") for kernel in ("stock", "nosummary")}

#: Mounted in the lab; Linux 6.1 shows the tree or panics, by what its memory holds from the mounts before.
FATAL_AT_TIMES = {"moved-into-the-dead"}
