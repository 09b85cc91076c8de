/* flash_file.c: an image file as a flash device.
 *
 * Read through a mapping, written with pwrite: a full disk is then an error and not a
 * signal. The file is as long as its highest programmed eraseblock; behind its end the
 * device reads as erased. OOB has no place in an image: what is programmed there lives
 * as long as the handle.
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

struct file {
    struct jx_geometry geo;
    struct jx_rules rules;
    struct jx_content beside; /* OOB only */
    struct jx_span mapped;
    int fd;
    int writable;
};

static int write_all(int fd, const uint8_t *p, uint32_t len, uint32_t off)
{
    while (len) {
        ssize_t done = pwrite(fd, p, len, (off_t)off);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return JX_EIO;
        p += done;
        off += (uint32_t)done;
        len -= (uint32_t)done;
    }
    return JX_OK;
}

static int write_ff(int fd, uint32_t off, uint32_t len)
{
    uint8_t ff[4096];
    memset(ff, 0xff, sizeof ff);
    while (len) {
        uint32_t part = len < sizeof ff ? len : (uint32_t)sizeof ff;
        int err = write_all(fd, ff, part, off);
        if (err)
            return err;
        off += part;
        len -= part;
    }
    return JX_OK;
}

static void unmap(struct file *f)
{
    if (f->mapped.bytes)
        munmap((void *)(uintptr_t)f->mapped.bytes, f->mapped.bytes_len);
    f->mapped = (struct jx_span){ NULL, 0 };
}

static int map(struct file *f, uint32_t len)
{
    unmap(f);
    if (len == 0)
        return JX_OK;
    void *p = mmap(NULL, len, PROT_READ, MAP_SHARED, f->fd, 0);
    if (p == MAP_FAILED)
        return errno == ENOMEM ? JX_ENOMEM : JX_EIO;
    f->mapped = (struct jx_span){ p, len };
    return JX_OK;
}

/* To the end of the eraseblock that holds the byte before end. */
static int grow(struct file *f, uint32_t end)
{
    uint32_t have = f->mapped.bytes_len;
    if (end <= have)
        return JX_OK;
    uint32_t want = ((end - 1) / f->geo.erase_size_bytes + 1) * f->geo.erase_size_bytes;
    int err = write_ff(f->fd, have, want - have);
    return err ? err : map(f, want);
}

static int file_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    const struct file *f = ctx;
    uint32_t have = off < f->mapped.bytes_len ? f->mapped.bytes_len - off : 0;
    if (have > len)
        have = len;
    if (have)
        memcpy(buf, f->mapped.bytes + off, have);
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
        err = write_all(f->fd, buf, len, off);
    if (!err)
        jx_rules_programmed(&f->rules, &f->geo, off, len);
    return err;
}

static int file_erase(void *ctx, uint32_t off)
{
    struct file *f = ctx;
    uint32_t have = off < f->mapped.bytes_len ? f->mapped.bytes_len - off : 0;
    if (!f->writable)
        return JX_EIO;
    int err = write_ff(f->fd, off, have < f->geo.erase_size_bytes ? have : f->geo.erase_size_bytes);
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

static int open_image(struct file *f, const char *path)
{
    struct stat st;
    f->fd = open(path, (f->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (f->fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? JX_ENOENT : JX_EIO;
    if (fstat(f->fd, &st) || !S_ISREG(st.st_mode))
        return JX_EIO;
    if (st.st_size > (off_t)f->geo.size_bytes)
        return JX_EGEOMETRY;
    return map(f, (uint32_t)st.st_size);
}

static int open_oob(struct file *f)
{
    size_t len = (size_t)jx_oob_per_block(&f->geo) * jx_block_count(&f->geo);
    if (len == 0)
        return JX_OK;
    f->beside.oob = malloc(len);
    if (!f->beside.oob)
        return JX_ENOMEM;
    memset(f->beside.oob, 0xff, len);
    return JX_OK;
}

int jx_flash_open_file(const char *path, const struct jx_geometry *geo, int writable, jx_flash **out)
{
    int err = jx_geometry_check(geo);
    if (err)
        return err;
    struct file *f = calloc(1, sizeof *f);
    if (!f)
        return JX_ENOMEM;
    f->geo = *geo;
    f->writable = writable != 0;
    f->fd = -1;
    err = open_image(f, path);
    if (!err)
        err = jx_rules_open(&f->rules, geo);
    if (!err)
        err = open_oob(f);
    if (err) {
        file_close(f);
        return err;
    }
    return jx_flash_new(&file_ops, f, geo, out);
}
