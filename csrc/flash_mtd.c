/* flash_mtd.c: /dev/mtdN of Linux. What it is, the kernel says: MEMGETINFO and sysfs, told apart as jffs2_flash_setup does.
 *
 * A plain read of the device gives a page that ECC could not correct as if nothing were wrong; only the counter of
 * failures tells (ECCGETSTATS). Free OOB bytes are written in automatic placement (MEMWRITE). They are read where they
 * stand (MEMREADOOB64) and picked by the layout (ECCGETLAYOUT), since MEMREAD is younger than most boards' kernels.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include <stdlib.h>
#include <string.h>
#include "flash_memory.h"
#include "posix.h"

#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <mtd/mtd-user.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MTD_CHAR_MAJOR 90u

struct mtd {
    struct jx_geometry geo;
    struct jx_ecc ecc;
    struct nand_ecclayout_user layout; /* NAND */
    uint8_t *oob;                      /* NAND: oob_size_bytes of one page */
    uint32_t oob_size_bytes;
    int fd;
};

/* ---- what the kernel says ---------------------------------------------------- */

/* A number of /sys/class/mtd/mtdN; fallback where this kernel does not show it. */
static uint64_t sysfs_number(int fd, const char *name, uint64_t fallback)
{
    char path[96], text[32] = "";
    struct stat st;
    uint64_t value;
    if (fstat(fd, &st))
        return fallback;
    unsigned even = minor(st.st_rdev) & ~1u; /* the odd one is the read-only node of the same device */
    snprintf(path, sizeof path, "/sys/dev/char/%u:%u/%s", MTD_CHAR_MAJOR, even, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return fallback;
    ssize_t len = read(file, text, sizeof text - 1);
    close(file);
    return len > 0 && sscanf(text, "%" SCNu64, &value) == 1 ? value : fallback;
}

/* JX_EGEOMETRY: DataFlash, UBI volumes, MLC (no kernel mounts it), RAM of which no bit can be cleared alone. */
static int kind_of(const struct mtd_info_user *info, uint32_t *kind)
{
    int bit_writable = (info->flags & MTD_BIT_WRITEABLE) || !(info->flags & MTD_WRITEABLE);
    switch (info->type) {
    case MTD_NANDFLASH: *kind = JX_NAND; return info->oobsize ? JX_OK : JX_EGEOMETRY;
    case MTD_NORFLASH: *kind = info->flags & MTD_BIT_WRITEABLE ? JX_NOR : JX_NOR_ECC; return JX_OK;
    case MTD_RAM:
    case MTD_ROM: *kind = JX_NOR; return bit_writable ? JX_OK : JX_EGEOMETRY;
    default: return JX_EGEOMETRY;
    }
}

/* The layout shows eight free regions at most; a cleanmarker fits even where each is one byte. */
static int open_oob(struct mtd *m, const struct mtd_info_user *info)
{
    if (ioctl(m->fd, ECCGETLAYOUT, &m->layout))
        return JX_EIO;
    uint32_t shown = 0;
    for (uint32_t i = 0; i < MTD_MAX_OOBFREE_ENTRIES; i++) {
        const struct nand_oobfree *r = &m->layout.oobfree[i];
        if (r->offset > info->oobsize || r->length > info->oobsize - r->offset)
            return JX_EGEOMETRY;
        shown += r->length;
    }
    uint64_t avail = sysfs_number(m->fd, "oobavail", shown);
    m->geo.oob_avail_bytes = avail < shown ? (uint32_t)avail : shown;
    m->oob_size_bytes = info->oobsize;
    m->oob = malloc(info->oobsize);
    if (!m->oob)
        return JX_ENOMEM;
    return m->geo.oob_avail_bytes ? JX_OK : JX_EGEOMETRY; /* "inconsistent device description" */
}

/* As jffs2_do_fill_super: what is no whole eraseblock at the end does not count. */
static int describe(struct mtd *m)
{
    struct mtd_info_user info;
    struct jx_geometry *g = &m->geo;
    if (ioctl(m->fd, MEMGETINFO, &info))
        return JX_EIO;
    int err = kind_of(&info, &g->kind);
    if (err)
        return err;
    uint64_t size = sysfs_number(m->fd, "size", info.size); /* MEMGETINFO has 32 bits for it */
    if (!info.erasesize || size > UINT32_MAX)
        return JX_EGEOMETRY;
    g->erase_size_bytes = info.erasesize;
    g->size_bytes = (uint32_t)size / info.erasesize * info.erasesize;
    g->write_size_bytes = g->subpage_size_bytes = g->kind == JX_NOR ? 1 : info.writesize;
    if (g->kind == JX_NAND) {
        g->subpage_size_bytes = (uint32_t)sysfs_number(m->fd, "subpagesize", info.writesize);
        err = open_oob(m, &info);
    }
    return err ? err : jx_geometry_check(g);
}

/* ---- data --------------------------------------------------------------------- */

static int read_ecc(struct mtd *m, struct mtd_ecc_stats *now)
{
    return ioctl(m->fd, ECCGETSTATS, now) ? JX_EIO : JX_OK;
}

/* What ECC had to do since *before was read. Another reader of the device (a mounted file system) counts as well: a
 * failure may be reported that was not ours, never the other way round. */
static int judge_ecc(struct mtd *m, const struct mtd_ecc_stats *before)
{
    struct mtd_ecc_stats now;
    int err = read_ecc(m, &now);
    if (err)
        return err;
    m->ecc.corrected += now.corrected - before->corrected;
    m->ecc.failed += now.failed - before->failed;
    return now.failed != before->failed ? JX_EECC : JX_OK;
}

static int mtd_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    struct mtd *m = ctx;
    struct mtd_ecc_stats before;
    int err = read_ecc(m, &before);
    if (!err)
        err = jx_read_all(m->fd, buf, len, off);
    return err ? err : judge_ecc(m, &before);
}

static int mtd_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    const struct mtd *m = ctx;
    return jx_write_all(m->fd, buf, len, off);
}

static int mtd_erase(void *ctx, uint32_t off)
{
    const struct mtd *m = ctx;
    struct erase_info_user64 block = { .start = off, .length = m->geo.erase_size_bytes };
    return ioctl(m->fd, MEMERASE64, &block) ? JX_EIO : JX_OK;
}

/* ---- bad blocks ----------------------------------------------------------------- */

static int mtd_is_bad(void *ctx, uint32_t off)
{
    const struct mtd *m = ctx;
    __kernel_loff_t at = off;
    int bad = ioctl(m->fd, MEMGETBADBLOCK, &at);
    if (bad < 0)
        return errno == EOPNOTSUPP ? 0 : JX_EIO;
    return bad > 0;
}

static int mtd_mark_bad(void *ctx, uint32_t off)
{
    const struct mtd *m = ctx;
    __kernel_loff_t at = off;
    return ioctl(m->fd, MEMSETBADBLOCK, &at) ? JX_EIO : JX_OK;
}

/* ---- OOB -------------------------------------------------------------------------- */

static void pick_free(const struct mtd *m, uint8_t *out, uint32_t len)
{
    for (uint32_t i = 0; i < MTD_MAX_OOBFREE_ENTRIES && len; i++) {
        const struct nand_oobfree *r = &m->layout.oobfree[i];
        uint32_t part = r->length < len ? r->length : len;
        memcpy(out, m->oob + r->offset, part);
        out += part;
        len -= part;
    }
}

static int mtd_oob_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    struct mtd *m = ctx;
    struct mtd_ecc_stats before;
    struct mtd_oob_buf64 req = { .start = off, .length = m->oob_size_bytes, .usr_ptr = (uintptr_t)m->oob };
    int err = read_ecc(m, &before);
    if (err)
        return err;
    if (ioctl(m->fd, MEMREADOOB64, &req))
        return JX_EIO;
    pick_free(m, buf, len);
    return judge_ecc(m, &before);
}

static int mtd_oob_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    const struct mtd *m = ctx;
    struct mtd_write_req req = { .start = off, .ooblen = len, .usr_oob = (uintptr_t)buf, .mode = MTD_OPS_AUTO_OOB };
    return ioctl(m->fd, MEMWRITE, &req) ? JX_EIO : JX_OK;
}

static void mtd_ecc(const void *ctx, struct jx_ecc *out) { *out = ((const struct mtd *)ctx)->ecc; }

/* ---- open and close ----------------------------------------------------------------- */

static void mtd_close(void *ctx)
{
    struct mtd *m = ctx;
    if (m->fd >= 0)
        close(m->fd);
    free(m->oob);
    free(m);
}

/* No sync: a write returns when the chip is done. */
static const struct jx_flash_ops nor_ops = {
    .read = mtd_read,
    .prog = mtd_prog,
    .erase = mtd_erase,
    .ecc = mtd_ecc,
    .close = mtd_close,
};

static const struct jx_flash_ops nand_ops = {
    .read = mtd_read,
    .prog = mtd_prog,
    .erase = mtd_erase,
    .is_bad = mtd_is_bad,
    .mark_bad = mtd_mark_bad,
    .oob_read = mtd_oob_read,
    .oob_prog = mtd_oob_prog,
    .ecc = mtd_ecc,
    .close = mtd_close,
};

static int open_device(struct mtd *m, const char *path, int writable)
{
    struct stat st;
    m->fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (m->fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? JX_ENOENT : JX_EIO;
    if (fstat(m->fd, &st) || !S_ISCHR(st.st_mode) || major(st.st_rdev) != MTD_CHAR_MAJOR)
        return JX_EINVAL;
    return describe(m);
}

int jx_flash_open_mtd(const char *path, int writable, jx_flash **out)
{
    struct mtd *m = calloc(1, sizeof *m);
    if (!m)
        return JX_ENOMEM;
    int err = open_device(m, path, writable);
    if (err) {
        mtd_close(m);
        return err;
    }
    return jx_flash_new(jx_is_nand(&m->geo) ? &nand_ops : &nor_ops, m, &m->geo, out);
}

#else

int jx_flash_open_mtd(const char *path, int writable, jx_flash **out)
{
    (void)path;
    (void)writable;
    *out = NULL;
    return JX_EINVAL;
}

#endif
