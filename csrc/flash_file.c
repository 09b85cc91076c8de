/* flash_file.c: an image file as a flash device.
 *
 * Read with pread and written with pwrite: a full disk, a broken one and a file that
 * somebody cuts short are errors and not signals, and none of them is wear of the flash.
 * The file is as long as its highest programmed eraseblock; behind its end the
 * device reads as erased. A dump has the OOB bytes of each page behind it. In an image
 * without, OOB has no place: what is programmed there lives as long as the handle.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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
    struct jx_span layout;    /* where in the file the device's bytes are, and how many of them it has; no bytes */
    uint32_t opened_len;      /* bytes of the device that the file had when it was opened */
    int failed;               /* the host could not write */
    uint8_t *block;           /* an eraseblock as the device has it */
    uint8_t *raw;             /* and as the file has it, OOB included */
    uint64_t start;           /* bytes of the file before the device's first one */
    uint64_t len;             /* bytes of the file that are the device; 0: to its end, which may grow */
    int fd;
    int writable;
};

/* Where in the file the byte at off stands. */
static uint64_t place(const struct file *f, uint32_t off) { return f->start + jx_span_place(&f->layout, off); }

/* What errno says of a call that failed. */
static int host_error(void)
{
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? JX_EHOST_FULL : JX_EHOST;
}

static int read_at(const struct file *f, uint8_t *p, size_t len, uint64_t off)
{
    int err = jx_read_all(f->fd, p, len, off);
    return !err ? JX_OK : errno ? host_error() : JX_ESHORT;
}

static int write_at(struct file *f, const uint8_t *p, size_t len, uint64_t off)
{
    if (!jx_write_all(f->fd, p, len, off))
        return JX_OK;
    f->failed = 1;
    return host_error();
}

static int write_ff(struct file *f, uint64_t off, uint64_t len)
{
    uint8_t ff[4096];
    memset(ff, 0xff, sizeof ff);
    while (len) {
        size_t part = len < sizeof ff ? (size_t)len : sizeof ff;
        int err = write_at(f, ff, part, off);
        if (err)
            return err;
        off += part;
        len -= part;
    }
    return JX_OK;
}

/* The file ends behind so many bytes of the device. */
static int cut_to(struct file *f, uint32_t len)
{
    if (ftruncate(f->fd, (off_t)place(f, len)))
        return host_error();
    f->layout.bytes_len = len;
    return JX_OK;
}

/* To the end of the eraseblock that holds the byte before end. */
static int grow(struct file *f, uint32_t end)
{
    uint32_t have = f->layout.bytes_len;
    if (end <= have)
        return JX_OK;
    if (f->len) /* what stands behind it belongs to others */
        return JX_EIO;
    uint32_t want = ((end - 1) / f->geo.erase_size_bytes + 1) * f->geo.erase_size_bytes;
    uint64_t from = place(f, have), to = place(f, want);
    int err = write_ff(f, from, to - from);
    if (err)
        cut_to(f, have);
    else
        f->layout.bytes_len = want;
    return err;
}

/* How many of len bytes at off the file has. */
static uint32_t present(const struct file *f, uint32_t off, uint32_t len)
{
    uint32_t have = off < f->layout.bytes_len ? f->layout.bytes_len - off : 0;
    return have < len ? have : len;
}

/* len bytes that the file has, in one eraseblock, without the OOB among them. */
static int read_pages(const struct file *f, uint32_t off, uint8_t *buf, uint32_t len)
{
    uint32_t page = f->layout.page_bytes;
    uint64_t from = place(f, off);
    int err = read_at(f, f->raw, (size_t)(place(f, off + len - 1) + 1 - from), from);
    for (uint32_t at = 0, part; at < len && !err; at += part) {
        part = page - (off + at) % page < len - at ? page - (off + at) % page : len - at;
        memcpy(buf + at, f->raw + (place(f, off + at) - from), part);
    }
    return err;
}

static int read_stored(const struct file *f, uint32_t off, uint8_t *buf, uint32_t len)
{
    int err = JX_OK;
    if (!f->layout.oob_bytes)
        return read_at(f, buf, len, place(f, off));
    for (uint32_t part; len && !err; off += part, buf += part, len -= part) {
        part = f->geo.erase_size_bytes - off % f->geo.erase_size_bytes;
        part = part < len ? part : len;
        err = read_pages(f, off, buf, part);
    }
    return err;
}

static int file_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    const struct file *f = ctx;
    uint32_t have = present(f, off, len);
    int err = read_stored(f, off, buf, have);
    if (!err)
        memset((uint8_t *)buf + have, 0xff, len - have);
    return err;
}

static int check_rules(struct file *f, uint32_t off, const uint8_t *buf, uint32_t len)
{
    int err = JX_OK;
    for (uint32_t part; len && !err; off += part, buf += part, len -= part) {
        part = f->geo.erase_size_bytes - off % f->geo.erase_size_bytes;
        part = part < len ? part : len;
        struct jx_stretch seen = jx_rules_wanted(&f->rules, &f->geo, off, part);
        seen.bytes = f->block;
        seen.stored = present(f, seen.off, seen.len);
        err = read_stored(f, seen.off, f->block, seen.stored);
        if (!err)
            err = jx_rules_check(&f->rules, &f->geo, &seen, off, buf, part);
    }
    return err;
}

static int file_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct file *f = ctx;
    if (!f->writable)
        return JX_EIO;
    int err = check_rules(f, off, buf, len);
    if (!err)
        err = grow(f, off + len);
    if (!err) /* what may be programmed holds no bit that is 0 and should be 1 */
        err = write_at(f, buf, len, place(f, off));
    if (!err)
        jx_rules_programmed(&f->rules, &f->geo, off, len);
    return err;
}

/* Once the host has failed, the last eraseblock that was appended leaves the file: what is not stored is erased, and what was
 * begun in vain leaves the file as long as it was. */
static int erase_stored(struct file *f, uint32_t off, uint32_t have)
{
    uint64_t from = place(f, off), to = place(f, off + have);
    if (f->failed && have && off >= f->opened_len && off + have == f->layout.bytes_len)
        return cut_to(f, off);
    return write_ff(f, from, to - from);
}

static int file_erase(void *ctx, uint32_t off)
{
    struct file *f = ctx;
    if (!f->writable)
        return JX_EIO;
    int err = erase_stored(f, off, present(f, off, f->geo.erase_size_bytes));
    if (err)
        return err;
    jx_rules_erased(&f->rules, &f->geo, off / f->geo.erase_size_bytes);
    if (f->beside.oob)
        memset(jx_oob_at(&f->beside, &f->geo, off), 0xff, jx_oob_per_block(&f->geo));
    return JX_OK;
}

static uint32_t file_stored(const void *ctx) { return ((const struct file *)ctx)->layout.bytes_len; }

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
    struct file *f = ctx;
    if (!f->writable || !fsync(f->fd))
        return JX_OK;
    f->failed = 1;
    return host_error();
}

static void file_close(void *ctx)
{
    struct file *f = ctx;
    jx_rules_close(&f->rules);
    free(f->beside.oob);
    free(f->block);
    free(f->raw);
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
    .stored = file_stored,
    .close = file_close,
};

/* ---- dumps: OOB behind each page -------------------------------------------- */

/* len bytes of the OOB of the page at off, `at` bytes in; 0xFF where the file ends before it: erased. */
static int read_oob(const struct file *f, uint32_t off, uint32_t at, uint8_t *buf, uint32_t len)
{
    if (off < f->layout.bytes_len)
        return read_at(f, buf, len, place(f, off) + f->layout.page_bytes + at);
    memset(buf, 0xff, len);
    return JX_OK;
}

/* As nand_block_bad, for chips that mark the first page and for those that mark the second one as well. */
static int dump_is_bad(void *ctx, uint32_t off)
{
    const struct file *f = ctx;
    uint32_t pages = jx_pages_per_block(&f->geo) < 2 ? 1 : 2;
    for (uint32_t page = 0; f->oob.bad_at != JX_NO_BAD_MARK && page < pages; page++) {
        uint8_t mark;
        int err = read_oob(f, off + page * f->geo.write_size_bytes, f->oob.bad_at, &mark, 1);
        if (err || mark != 0xff)
            return err ? err : 1;
    }
    return 0;
}

/* JX_EIO in a bad block. */
static int check_block(struct file *f, uint32_t off)
{
    int bad = dump_is_bad(f, off - off % f->geo.erase_size_bytes);
    return bad > 0 ? JX_EIO : bad;
}

/* The ECC bytes of the steps in which len bytes at off, in one page, were programmed. */
static int write_ecc(struct file *f, uint32_t off, uint32_t len)
{
    uint32_t step = f->oob.ecc_step_bytes, in_page = off % f->geo.write_size_bytes, page = off - in_page;
    uint8_t oob[JX_HAMMING_OOB_MAX];
    int err = read_oob(f, page, 0, oob, f->oob.size_bytes);
    if (!err)
        err = read_stored(f, page, f->block, f->geo.write_size_bytes);
    if (err)
        return err;
    for (uint32_t i = in_page / step; i * step < in_page + len; i++) {
        uint8_t code[JX_HAMMING_BYTES];
        jx_hamming(f->block + i * step, step, code);
        for (uint32_t k = 0; k < JX_HAMMING_BYTES; k++)
            oob[jx_hamming_at(f->oob.size_bytes, i * JX_HAMMING_BYTES + k)] = code[k];
    }
    return write_at(f, oob, f->oob.size_bytes, place(f, page) + f->geo.write_size_bytes);
}

static int dump_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct file *f = ctx;
    int err = check_block(f, off);
    if (!err)
        err = file_prog(ctx, off, buf, len);
    return !err && f->oob.ecc_step_bytes ? write_ecc(f, off, len) : err;
}

static int dump_erase(void *ctx, uint32_t off)
{
    int err = check_block(ctx, off);
    return err ? err : file_erase(ctx, off);
}

static int dump_oob_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    const struct file *f = ctx;
    return read_oob(f, off, f->oob.free_at, buf, len);
}

static int dump_oob_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct file *f = ctx;
    uint32_t avail = f->geo.oob_avail_bytes;
    int err = f->writable ? check_block(f, off) : JX_EIO;
    if (!err)
        err = grow(f, off + f->geo.write_size_bytes);
    if (!err)
        err = read_oob(f, off, f->oob.free_at, f->block, avail);
    if (err)
        return err;
    if (!jx_all_ff(f->block, avail))
        return JX_EFLASH;
    return write_at(f, buf, len, place(f, off) + f->geo.write_size_bytes + f->oob.free_at);
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
    .stored = file_stored,
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
    if (size > f->geo.size_bytes)
        return JX_EGEOMETRY;
    f->layout.bytes_len = f->opened_len = (uint32_t)size;
    return JX_OK;
}

static int open_buffers(struct file *f)
{
    f->block = malloc(f->geo.erase_size_bytes);
    f->raw = malloc((size_t)jx_span_place(&f->layout, f->geo.erase_size_bytes));
    return f->block && f->raw ? JX_OK : JX_ENOMEM;
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
        f->layout = (struct jx_span){ NULL, 0, geo->write_size_bytes, oob->size_bytes };
    }
    f->writable = writable != 0;
    f->fd = -1;
    err = open_image(f, path);
    if (!err)
        err = jx_rules_open(&f->rules, geo);
    if (!err)
        err = open_beside(f);
    if (!err)
        err = open_buffers(f);
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
