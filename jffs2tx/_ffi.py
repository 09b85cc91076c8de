"""The one door to the C core: `ffi`, `lib`, and `check`, which turns its error codes into exceptions."""

from jffs2tx._native import ffi, lib
from jffs2tx.errors import InternalError, Jffs2txError, by_code_name

__all__ = ["check", "ffi", "lib"]

_CLASSES = {getattr(lib, name): cls for name, cls in by_code_name().items()}


def check(code: int, *, doing: str | None = None, path: str | bytes | None = None) -> int:
    """`code` itself where it is JX_OK or a count; else raises the exception that stands for it.

    doing: what was tried, for the message ("staging"). path: what it was tried on.
    """
    if code >= 0:
        return code
    reason = ffi.string(lib.jx_strerror(code)).decode()
    raise error_class(code)(f"{doing}: {reason}" if doing else reason, path=path)


def error_class(code: int) -> type[Jffs2txError]:
    """The exception class for a negative enum jx_error."""
    return _CLASSES.get(code, InternalError)
