/* flash_file.c: an image file as a flash device.
 *
 * Read through a mapping, written with pwrite: a full disk is then an error and not a
 * signal. The file is as long as its highest programmed eraseblock; behind its end the
 * device reads as erased. A dump has the OOB bytes of each page behind it. In an image
 * without, OOB has no place: what is programmed there lives as long as the handle.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "flash_memory.h"
#include "oob.h"
#include "posix.h"

struct file {
    struct jx_geometry geo;
    struct jx_rules rules;
    struct jx_oob oob;        /* size_bytes 0: no dump */
    struct jx_content beside; /* OOB only; not of a dump */
    struct jx_span mapped;
    uint64_t start;           /* bytes of the file before the device's first one */
    uint64_t len;             /* bytes of the file that are the device; 0: to its end, which may grow */
    int fd;
    int writable;
};

/* Where in the file the byte at off stands. */
static uint64_t place(const struct file *f, uint32_t off) { return f->start + jx_span_place(&f->mapped, off); }

static int write_ff(int fd, uint64_t off, uint64_t len)
{
    uint8_t ff[4096];
    memset(ff, 0xff, sizeof ff);
    while (len) {
        size_t part = len < sizeof ff ? (size_t)len : sizeof ff;
        int err = jx_write_all(fd, ff, part, off);
        if (err)
            return err;
        off += part;
        len -= part;
    }
    return JX_OK;
}

/* Bytes before the device in its first mapped page. */
static size_t lead(const struct file *f) { return (size_t)(f->start % (uint64_t)sysconf(_SC_PAGESIZE)); }

/* Bytes to map for len bytes of data. */
static uint64_t mapping(const struct file *f, uint32_t len) { return lead(f) + jx_span_place(&f->mapped, len); }

static void unmap(struct file *f)
{
    if (f->mapped.bytes)
        munmap((void *)((uintptr_t)f->mapped.bytes - lead(f)), (size_t)mapping(f, f->mapped.bytes_len));
    f->mapped.bytes = NULL;
    f->mapped.bytes_len = 0;
}

/* len bytes of data, and the OOB among them: together they may be more than a 32-bit process can map. */
static int map(struct file *f, uint32_t len)
{
    unmap(f);
    if (len == 0)
        return JX_OK;
    if (mapping(f, len) > SIZE_MAX)
        return JX_ENOMEM;
    uint8_t *p = mmap(NULL, (size_t)mapping(f, len), PROT_READ, MAP_SHARED, f->fd, (off_t)(f->start - lead(f)));
    if (p == MAP_FAILED)
        return errno == ENOMEM ? JX_ENOMEM : JX_EIO;
    f->mapped.bytes = p + lead(f);
    f->mapped.bytes_len = len;
    return JX_OK;
}

/* To the end of the eraseblock that holds the byte before end. */
static int grow(struct file *f, uint32_t end)
{
    uint32_t have = f->mapped.bytes_len;
    if (end <= have)
        return JX_OK;
    if (f->len) /* what stands behind it belongs to others */
        return JX_EIO;
    uint32_t want = ((end - 1) / f->geo.erase_size_bytes + 1) * f->geo.erase_size_bytes;
    uint64_t from = place(f, have), to = place(f, want);
    int err = write_ff(f->fd, from, to - from);
    return err ? err : map(f, want);
}

/* How many of len bytes at off the file has. */
static uint32_t present(const struct file *f, uint32_t off, uint32_t len)
{
    uint32_t have = off < f->mapped.bytes_len ? f->mapped.bytes_len - off : 0;
    return have < len ? have : len;
}

static int file_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    const struct file *f = ctx;
    const struct jx_span *s = &f->mapped;
    uint32_t have = present(f, off, len);
    for (uint32_t at = 0, part; at < have; at += part) {
        part = have - at;
        if (s->oob_bytes && part > s->page_bytes - (off + at) % s->page_bytes)
            part = s->page_bytes - (off + at) % s->page_bytes;
        memcpy((uint8_t *)buf + at, jx_span_at(s, off + at), part);
    }
    if (len > have)
        memset((uint8_t *)buf + have, 0xff, len - have);
    return JX_OK;
}

static int file_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct file *f = ctx;
    if (!f->writable)
        return JX_EIO;
    int err = jx_rules_check(&f->rules, &f->geo, f->mapped, off, buf, len);
    if (!err)
        err = grow(f, off + len);
    if (!err) /* what may be programmed holds no bit that is 0 and should be 1 */
        err = jx_write_all(f->fd, buf, len, place(f, off));
    if (!err)
        jx_rules_programmed(&f->rules, &f->geo, off, len);
    return err;
}

static int file_erase(void *ctx, uint32_t off)
{
    struct file *f = ctx;
    if (!f->writable)
        return JX_EIO;
    uint32_t have = present(f, off, f->geo.erase_size_bytes);
    uint64_t from = place(f, off), to = place(f, off + have);
    int err = write_ff(f->fd, from, to - from);
    if (err)
        return err;
    jx_rules_erased(&f->rules, &f->geo, off / f->geo.erase_size_bytes);
    if (f->beside.oob)
        memset(jx_oob_at(&f->beside, &f->geo, off), 0xff, jx_oob_per_block(&f->geo));
    return JX_OK;
}

static int file_oob_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    const struct file *f = ctx;
    if (len)
        memcpy(buf, jx_oob_at(&f->beside, &f->geo, off), len);
    return JX_OK;
}

static int file_oob_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct file *f = ctx;
    if (!f->writable)
        return JX_EIO;
    if (!jx_all_ff(jx_oob_at(&f->beside, &f->geo, off), f->geo.oob_avail_bytes))
        return JX_EFLASH;
    jx_content_oob_prog(&f->beside, &f->geo, off, buf, len);
    return JX_OK;
}

static int file_sync(void *ctx)
{
    const struct file *f = ctx;
    return f->writable && fsync(f->fd) ? JX_EIO : JX_OK;
}

static void file_close(void *ctx)
{
    struct file *f = ctx;
    unmap(f);
    jx_rules_close(&f->rules);
    free(f->beside.oob);
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

static const struct jx_flash_ops file_ops = {
    .read = file_read,
    .prog = file_prog,
    .erase = file_erase,
    .oob_read = file_oob_read,
    .oob_prog = file_oob_prog,
    .sync = file_sync,
    .close = file_close,
};

/* ---- dumps: OOB behind each page -------------------------------------------- */

/* The OOB of the page at off, or NULL where the file ends before it: erased. */
static const uint8_t *dump_oob(const struct file *f, uint32_t off)
{
    return off < f->mapped.bytes_len ? jx_span_at(&f->mapped, off) + f->mapped.page_bytes : NULL;
}

/* As nand_block_bad, for chips that mark the first page and for those that mark the second one as well. */
static int dump_is_bad(void *ctx, uint32_t off)
{
    const struct file *f = ctx;
    uint32_t pages = jx_pages_per_block(&f->geo) < 2 ? 1 : 2;
    for (uint32_t page = 0; f->oob.bad_at != JX_NO_BAD_MARK && page < pages; page++) {
        const uint8_t *oob = dump_oob(f, off + page * f->geo.write_size_bytes);
        if (oob && oob[f->oob.bad_at] != 0xff)
            return 1;
    }
    return 0;
}

static int in_bad_block(struct file *f, uint32_t off)
{
    return dump_is_bad(f, off - off % f->geo.erase_size_bytes);
}

/* The ECC bytes of the steps in which len bytes at off, in one page, were programmed. */
static int write_ecc(struct file *f, uint32_t off, uint32_t len)
{
    uint32_t step = f->oob.ecc_step_bytes, in_page = off % f->geo.write_size_bytes, page = off - in_page;
    uint8_t oob[JX_HAMMING_OOB_MAX];
    memcpy(oob, dump_oob(f, page), f->oob.size_bytes);
    for (uint32_t i = in_page / step; i * step < in_page + len; i++) {
        uint8_t code[JX_HAMMING_BYTES];
        jx_hamming(jx_span_at(&f->mapped, page + i * step), step, code);
        for (uint32_t k = 0; k < JX_HAMMING_BYTES; k++)
            oob[jx_hamming_at(f->oob.size_bytes, i * JX_HAMMING_BYTES + k)] = code[k];
    }
    return jx_write_all(f->fd, oob, f->oob.size_bytes, place(f, page) + f->geo.write_size_bytes);
}

static int dump_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct file *f = ctx;
    if (in_bad_block(f, off))
        return JX_EIO;
    int err = file_prog(ctx, off, buf, len);
    return !err && f->oob.ecc_step_bytes ? write_ecc(f, off, len) : err;
}

static int dump_erase(void *ctx, uint32_t off) { return in_bad_block(ctx, off) ? JX_EIO : file_erase(ctx, off); }

static int dump_oob_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    const struct file *f = ctx;
    const uint8_t *oob = dump_oob(f, off);
    if (oob)
        memcpy(buf, oob + f->oob.free_at, len);
    else
        memset(buf, 0xff, len);
    return JX_OK;
}

static int dump_oob_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct file *f = ctx;
    if (!f->writable || in_bad_block(f, off))
        return JX_EIO;
    int err = grow(f, off + f->geo.write_size_bytes);
    if (err)
        return err;
    if (!jx_all_ff(dump_oob(f, off) + f->oob.free_at, f->geo.oob_avail_bytes))
        return JX_EFLASH;
    return jx_write_all(f->fd, buf, len, place(f, off) + f->geo.write_size_bytes + f->oob.free_at);
}

/* None to mark blocks bad: what fails to be written is the file, not a block. */
static const struct jx_flash_ops dump_ops = {
    .read = file_read,
    .prog = dump_prog,
    .erase = dump_erase,
    .is_bad = dump_is_bad,
    .oob_read = dump_oob_read,
    .oob_prog = dump_oob_prog,
    .sync = file_sync,
    .close = file_close,
};

static int check_oob(const struct jx_oob *oob, const struct jx_geometry *g)
{
    if (!jx_is_nand(g) || !oob->size_bytes || oob->size_bytes > g->write_size_bytes)
        return JX_EGEOMETRY;
    if (oob->free_at > oob->size_bytes || g->oob_avail_bytes > oob->size_bytes - oob->free_at)
        return JX_EGEOMETRY;
    if (oob->bad_at != JX_NO_BAD_MARK && oob->bad_at >= oob->size_bytes)
        return JX_EGEOMETRY;
    if (oob->ecc_step_bytes && !jx_hamming_fits(g->write_size_bytes, oob->size_bytes, oob->ecc_step_bytes))
        return JX_EGEOMETRY;
    return JX_OK;
}

/* ---- opening ------------------------------------------------------------------ */

static int open_image(struct file *f, const char *path)
{
    struct stat st;
    f->fd = open(path, (f->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (f->fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? JX_ENOENT : JX_EIO;
    if (fstat(f->fd, &st) || !S_ISREG(st.st_mode))
        return JX_EIO;
    uint64_t size = (uint64_t)st.st_size, page = f->geo.write_size_bytes;
    if (f->start > size || f->len > size - f->start)
        return JX_EGEOMETRY;
    size = f->len ? f->len : size - f->start;
    if (f->oob.size_bytes) {
        if (size % (page + f->oob.size_bytes))
            return JX_EGEOMETRY;
        size = size / (page + f->oob.size_bytes) * page;
    }
    return size > f->geo.size_bytes ? JX_EGEOMETRY : map(f, (uint32_t)size);
}

static int open_beside(struct file *f)
{
    size_t len = (size_t)jx_oob_per_block(&f->geo) * jx_block_count(&f->geo);
    if (len == 0 || f->oob.size_bytes)
        return JX_OK;
    f->beside.oob = malloc(len);
    if (!f->beside.oob)
        return JX_ENOMEM;
    memset(f->beside.oob, 0xff, len);
    return JX_OK;
}

int jx_flash_open_part(const char *path, const struct jx_geometry *geo, const struct jx_oob *oob, uint64_t start,
                       uint64_t len, int writable, jx_flash **out)
{
    int err = jx_geometry_check(geo);
    if (!err && oob)
        err = check_oob(oob, geo);
    if (err)
        return err;
    struct file *f = calloc(1, sizeof *f);
    if (!f)
        return JX_ENOMEM;
    f->geo = *geo;
    f->start = start;
    f->len = len;
    if (oob) {
        f->oob = *oob;
        f->mapped = (struct jx_span){ NULL, 0, geo->write_size_bytes, oob->size_bytes };
    }
    f->writable = writable != 0;
    f->fd = -1;
    err = open_image(f, path);
    if (!err)
        err = jx_rules_open(&f->rules, geo);
    if (!err)
        err = open_beside(f);
    if (err) {
        file_close(f);
        return err;
    }
    return jx_flash_new(oob ? &dump_ops : &file_ops, f, geo, out);
}

int jx_flash_open_file(const char *path, const struct jx_geometry *geo, const struct jx_oob *oob, int writable,
                       jx_flash **out)
{
    return jx_flash_open_part(path, geo, oob, 0, 0, writable, out);
}
