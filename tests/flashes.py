"""Flash devices of the C core, as the tests of flash and crash states handle them."""

from jffs2tx._ffi import ffi, lib

KIB = 1024


def geometry(kind, size, erase, write=1, subpage=None, oob=0):
    return ffi.new("struct jx_geometry *", [kind, size, erase, write, write if subpage is None else subpage, oob])


def nor(blocks=4, erase=16 * KIB):
    return geometry(lib.JX_NOR, blocks * erase, erase)


def nand(blocks=4, erase=16 * KIB, page=2 * KIB, subpage=512, oob=8):
    return geometry(lib.JX_NAND, blocks * erase, erase, page, subpage, oob)


def nor_ecc(blocks=4, erase=16 * KIB, write=64):
    return geometry(lib.JX_NOR_ECC, blocks * erase, erase, write)


KINDS = {"nor": nor, "nand": nand, "nor_ecc": nor_ecc}


class Flash:
    """One device. Calls return the core's code; read and hash return bytes."""

    def __init__(self, handle):
        self.handle = ffi.gc(handle, lib.jx_flash_close)
        self.geo = ffi.new("struct jx_geometry *")
        lib.jx_flash_geometry(self.handle, self.geo)

    def close(self):
        ffi.release(self.handle)

    def read(self, off=0, size=None):
        buf = bytearray(self.geo.size_bytes - off if size is None else size)
        assert lib.jx_flash_raw_read(self.handle, off, ffi.from_buffer(buf, require_writable=True), len(buf)) == 0
        return bytes(buf)

    def prog(self, off, data):
        return lib.jx_flash_raw_prog(self.handle, off, data, len(data))

    def erase(self, off):
        return lib.jx_flash_raw_erase(self.handle, off)

    def load(self, off, data):
        return lib.jx_flash_load(self.handle, off, data, len(data))

    def oob(self, page=0):
        buf = bytearray(self.geo.oob_avail_bytes)
        off = page * self.geo.write_size_bytes
        assert lib.jx_flash_raw_oob_read(self.handle, off, ffi.from_buffer(buf, require_writable=True), len(buf)) == 0
        return bytes(buf)

    def oob_prog(self, off, data):
        return lib.jx_flash_raw_oob_prog(self.handle, off, data, len(data))

    def content(self):
        """Bytes and OOB of the whole device."""
        pages = self.geo.size_bytes // self.geo.write_size_bytes if self.geo.oob_avail_bytes else 0
        return self.read(), b"".join(self.oob(page) for page in range(pages))

    def hash(self):
        out = ffi.new("uint8_t[16]")
        assert lib.jx_flash_hash(self.handle, out) == 0
        return bytes(out)

    def statistics(self):
        out = ffi.new("struct jx_flash_stats *")
        lib.jx_flash_statistics(self.handle, out)
        return out

    def clone(self):
        return opened(lib.jx_flash_clone, self.handle)


def opened(function, *args):
    out = ffi.new("jx_flash **")
    code = function(*args, out)
    assert code == 0, code
    return Flash(out[0])


def refused(function, *args):
    """The error of an open that must fail."""
    out = ffi.new("jx_flash **")
    code = function(*args, out)
    assert code < 0
    assert out[0] == ffi.NULL
    return code


def memory(geo):
    return opened(lib.jx_flash_open_memory, geo)


def simulator(geo, start=ffi.NULL):
    return opened(lib.jx_sim_open, geo, start)


def image(path, geo, writable=True, oob=ffi.NULL):
    return opened(lib.jx_flash_open_file, str(path).encode(), geo, oob, writable)
