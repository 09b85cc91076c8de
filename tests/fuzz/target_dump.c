/* target_dump.c: an image file, or a dump with OOB, or a part of one: bytes 0-3 say what it is thought to be, the rest is the
 * file. What is read there agrees; what is written stays inside the part.
 *   byte 0  as in medium.h, but for the OOB cleanmarkers      byte 1  OOB bytes behind each page: 0, 16, 64
 *   byte 2  where the free OOB bytes and the bad mark stand   byte 3  how far into the file the part starts, its length */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "medium.h"
#include "read_all.h"

#define HEAD_BYTES 4u

extern const size_t fuzz_image_at;
const size_t fuzz_image_at = HEAD_BYTES;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A file of its own in memory, with this content; its descriptor. */
static int fill_file(const uint8_t *content, size_t len, char path[64])
{
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("dump", 0);
    if (fd < 0 || ftruncate(fd, 0) || ftruncate(fd, (off_t)len) || pwrite(fd, content, len, 0) != (ssize_t)len)
        abort();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static void must_be_kept(int fd, const uint8_t *content, uint64_t from, uint64_t to)
{
    static uint8_t now[1 << 17];
    uint64_t len = to - from;
    if (from < to && (len > sizeof now || pread(fd, now, len, (off_t)from) != (ssize_t)len || memcmp(now, content + from, len)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint32_t oob_sizes[4] = {0, 16, 64, 16}, pages[4] = {1, 2048, 32, 512};
    char path[64];
    if (len <= HEAD_BYTES || len > 1u << 16)
        return 0;
    uint32_t kind = data[0] & 3, page = pages[kind], oob_bytes = kind & 1 ? oob_sizes[data[1] & 3] : 0;
    size_t size = len - HEAD_BYTES;
    struct jx_oob oob = {oob_bytes, data[2] & 63, data[2] & 64 ? JX_NO_BAD_MARK : data[2] >> 5, data[1] & 4 ? 256 : 0};
    struct jx_geometry geo = {kind == 3 ? JX_NAND : kind, 0, FUZZ_ERASE_BYTES, page, kind == 1 ? 512 : page,
                              oob_bytes ? 8 : 0};
    uint32_t start = (data[3] & 15) * 64u, part = data[3] & 16 ? (uint32_t)(data[3] >> 5) * FUZZ_ERASE_BYTES : 0;
    geo.size_bytes = 4 * FUZZ_ERASE_BYTES;
    int fd = fill_file(data + HEAD_BYTES, size, path), writable = data[3] >> 7;
    struct fuzz_medium m = {.reader = {.endian = -1, .summary = data[0] >> 2 & 1, .empty_scan_bytes = 256}};
    struct jx_recovery recovery;
    if (jx_flash_open_part(path, &geo, oob_bytes ? &oob : NULL, start, part, writable, &m.flash) != JX_OK)
        return 0;
    fuzz_open_and_read(&m, NULL);
    if (writable)
        jx_tidy(m.flash, &m.reader, &recovery);
    jx_flash_close(m.flash);
    must_be_kept(fd, data + HEAD_BYTES, 0, writable ? (start < size ? start : size) : size);
    if (part && (uint64_t)start + part < size)
        must_be_kept(fd, data + HEAD_BYTES, (uint64_t)start + part, size);
    return 0;
}
