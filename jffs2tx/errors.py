"""Every error that jffs2tx raises on purpose, below one root.

Where Python has a built-in exception for the same thing the class is that one too, so that both
`except FileNotFoundError` and `except Jffs2txError` work. `exit_status` is what the command line returns (README has
the table); jffs2tx.outcome says what a failed upgrade leaves. `codes` names the members of the C core's enum jx_error
that the class stands for.
"""

from collections.abc import Iterable
from typing import ClassVar


class Jffs2txError(Exception):
    """The root. `path` is what the error is about (inside the file system or on the host), where there is one."""

    exit_status: ClassVar[int] = 1
    codes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str, *, path: str | bytes | None = None) -> None:
        self.path = printable(path) if isinstance(path, bytes) else path
        super().__init__(f"{self.path}: {message}" if self.path is not None else message)


def printable(path: bytes) -> str:
    """A path as text for one line of a terminal; bytes that are no UTF-8 and what is not printable show as escapes."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def about(error: Jffs2txError, path: str | bytes) -> Jffs2txError:
    """The error with the path that it is about, where it has none yet."""
    return error if error.path is not None else type(error)(str(error), path=path)


class Refused(Jffs2txError):
    """The engine will not do it, and nothing was written."""


class Busy(Refused):
    """Somebody else uses the medium: it is mounted, or another process writes to it."""

    codes = ("JX_EBUSY",)


class NoSpace(Refused):
    """Not enough erased blocks, the kernel's reserve included."""

    codes = ("JX_ENOSPC",)


class Unfinished(Refused):
    """The commit of an earlier upgrade has to be finished or cleared first, by recover."""

    codes = ("JX_EUNFINISHED",)


class TooBig(Refused):
    """The commit set fits no block."""

    codes = ("JX_ETOOBIG",)


class StrategyError(Refused):
    """The strategy does not apply to this medium or to these readers."""

    codes = ("JX_ESTRATEGY",)


class LimitError(Refused):
    """A limit of the engine or of JFFS2: nodes, names, inode numbers, versions."""

    codes = ("JX_ELIMIT", "JX_ELIMIT_INO", "JX_ELIMIT_VERSION", "JX_ELIMIT_XATTR", "JX_ELIMIT_TXID")


class SourceError(Refused):
    """The source does not hold what the manifest promises."""


class InvalidValue(Refused, ValueError):
    """A value that JFFS2 cannot hold."""

    codes = ("JX_EINVAL",)


class ManifestError(Refused, ValueError):
    """A tree that cannot be taken. `line` is the manifest line's number, from 1; None where it came from no text."""

    def __init__(self, message: str, *, line: int | None = None, path: str | bytes | None = None) -> None:
        super().__init__(message, path=path)
        self.line = line

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.line is None else f"manifest line {self.line}: {text}"


class FormatError(Refused):
    """The target is no JFFS2, or holds a node because of which a stock reader refuses to mount."""

    codes = ("JX_EFORMAT",)


class GeometryError(Refused, ValueError):
    """An impossible or unsuitable geometry, such as a wrong erase size."""

    codes = ("JX_EGEOMETRY",)


class NotFound(Jffs2txError, FileNotFoundError):
    codes = ("JX_ENOENT",)


class Exists(Jffs2txError, FileExistsError):
    codes = ("JX_EEXIST",)


class NotADirectory(Jffs2txError, NotADirectoryError):
    codes = ("JX_ENOTDIR",)


class IsADirectory(Jffs2txError, IsADirectoryError):
    codes = ("JX_EISDIR",)


class NotEmpty(Jffs2txError, OSError):
    codes = ("JX_ENOTEMPTY",)


class UnknownCompression(Jffs2txError):
    """Data compressed by a method that this build cannot read."""

    codes = ("JX_EUNKNOWN_COMPR",)


class MediumError(Jffs2txError, OSError):
    """The medium could not be read, programmed or erased."""

    exit_status = 3
    codes = ("JX_EIO", "JX_EECC")


class HostError(Jffs2txError, OSError):
    """The host cannot read or write the image file: its disk is full or at fault, or somebody cut the file short. This
    says nothing of the flash.
    """

    codes = ("JX_EHOST", "JX_EHOST_FULL", "JX_ESHORT")


class VerifyError(MediumError):
    """The medium reads back something other than was programmed."""

    codes = ("JX_EVERIFY",)


class Corrupt(MediumError):
    """Data on the medium fails its CRC or does not decompress."""

    codes = ("JX_ECORRUPT",)


class Damaged(Corrupt):
    """What a kernel shows is not what was written; the rest can be read. `damage`: each damaged place
    (jffs2tx.damage.Damage).
    """

    exit_status = 1
    codes = ()

    def __init__(self, damage: Iterable) -> None:
        self.damage = tuple(damage)
        others = len(self.damage) - 1
        super().__init__(self.damage[0].text + (f" (and {others} more)" if others else ""))
        self.path = printable(b"/" + (self.damage[0].path or b""))


class PowerCut(Jffs2txError):
    """The simulator's power is gone."""

    codes = ("JX_ECUT",)


class InternalError(Jffs2txError, RuntimeError):
    """A bug in jffs2tx, or a call out of order."""

    codes = ("JX_EFLASH", "JX_ESTATE")


class OutOfMemory(Jffs2txError, MemoryError):
    codes = ("JX_ENOMEM",)


def by_code_name() -> dict[str, type[Jffs2txError]]:
    """The class for each member of enum jx_error."""
    classes = [cls for cls in globals().values() if isinstance(cls, type) and issubclass(cls, Jffs2txError)]
    return {name: cls for cls in classes for name in cls.codes}
