"""A crash image as a file, in the form that its target has."""

from __future__ import annotations

import shutil
from pathlib import Path

from jffs2tx._ffi import check, ffi, lib
from jffs2tx.device import Flash
from jffs2tx.errors import Exists
from jffs2tx.image import Image
from jffs2tx.newfile import new_file


def keep_image(target: Image, crash: Flash, output: Path) -> Path:
    """Writes the medium to a new file: a dump with OOB where the target is one, else its pages alone (as nanddump
    without --oob would). Raises Exists, OSError.
    """
    if output.exists():
        raise Exists("is there already; -o says where else to keep the image", path=str(output))
    if target.oob:
        try:
            _keep_dump(target, crash, output)
        except BaseException:
            output.unlink(missing_ok=True)
            raise
        return output
    geometry = crash.geometry
    with new_file(output) as file:
        for offset in range(0, geometry.size, geometry.erase_size):
            file.write(crash.read(offset, geometry.erase_size, forgiving=True))
    return output


def _keep_dump(target: Image, crash: Flash, output: Path) -> None:
    """A copy of the target in which the eraseblocks that differ are written again."""
    shutil.copyfile(target.path, output)
    size, part = crash.geometry.erase_size, target.location
    place = {"start": part.view.offset, "length": part.room} if part else {}
    with Flash.file(output, crash.geometry, writable=True, oob=target.oob, **place) as copy:
        for offset in range(0, crash.geometry.size, size):
            if not crash.is_bad(offset) and _block(crash, offset) != _block(copy, offset):
                _write_block(crash, copy, offset)


def _block(flash: Flash, offset: int) -> tuple[bytes, bytes]:
    """An eraseblock's data and free OOB bytes."""
    geometry = flash.geometry
    oob = b"".join(_oob(flash, at) for at in range(offset, offset + geometry.erase_size, geometry.write_size))
    return flash.read(offset, geometry.erase_size, forgiving=True), oob


def _oob(flash: Flash, page: int) -> bytes:
    buffer = ffi.new("uint8_t[]", max(1, flash.geometry.oob_avail))
    check(lib.jx_flash_raw_oob_read(flash.handle, page, buffer, flash.geometry.oob_avail), doing="reading OOB")
    return ffi.buffer(buffer, flash.geometry.oob_avail)[:]


def _write_block(crash: Flash, copy: Flash, offset: int) -> None:
    geometry = crash.geometry
    check(lib.jx_flash_raw_erase(copy.handle, offset), doing=f"keeping the eraseblock at 0x{offset:x}")
    for page in range(offset, offset + geometry.erase_size, geometry.write_size):
        data, oob = crash.read(page, geometry.write_size, forgiving=True), _oob(crash, page)
        if data.strip(b"\xff"):
            check(lib.jx_flash_raw_prog(copy.handle, page, data, len(data)), doing=f"keeping the page at 0x{page:x}")
        if oob.strip(b"\xff"):
            check(lib.jx_flash_raw_oob_prog(copy.handle, page, oob, len(oob)), doing=f"keeping the OOB at 0x{page:x}")
