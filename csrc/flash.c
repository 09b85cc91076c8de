/* flash.c: checks and counts once for all devices. */
#include <stdlib.h>
#include <string.h>
#include "flash.h"
#include "flash_memory.h"

int jx_geometry_check(const struct jx_geometry *g)
{
    if (g->kind > JX_NOR_ECC)
        return JX_EGEOMETRY;
    if (g->erase_size_bytes < 4096 || g->erase_size_bytes % 4096)
        return JX_EGEOMETRY;
    if (g->size_bytes == 0 || g->size_bytes % g->erase_size_bytes)
        return JX_EGEOMETRY;
    if (g->kind != JX_NAND && g->oob_avail_bytes)
        return JX_EGEOMETRY;
    if (g->kind == JX_NOR)
        return g->write_size_bytes == 1 && g->subpage_size_bytes <= 1 ? JX_OK : JX_EGEOMETRY;
    if (g->write_size_bytes < 4 || g->write_size_bytes % 4 || g->erase_size_bytes % g->write_size_bytes)
        return JX_EGEOMETRY;
    if (g->kind == JX_NOR_ECC)
        return g->subpage_size_bytes == 0 || g->subpage_size_bytes == g->write_size_bytes ? JX_OK : JX_EGEOMETRY;
    if (g->subpage_size_bytes == 0 || g->subpage_size_bytes % 4 || g->write_size_bytes % g->subpage_size_bytes)
        return JX_EGEOMETRY;
    return g->oob_avail_bytes <= g->write_size_bytes ? JX_OK : JX_EGEOMETRY;
}

int jx_flash_new(const struct jx_flash_ops *ops, void *ctx, const struct jx_geometry *g, jx_flash **out)
{
    jx_flash *f = calloc(1, sizeof *f);
    if (!f) {
        ops->close(ctx);
        return JX_ENOMEM;
    }
    f->ops = ops;
    f->ctx = ctx;
    f->geo = *g;
    *out = f;
    return JX_OK;
}

void jx_flash_close(jx_flash *f)
{
    if (!f)
        return;
    f->ops->close(f->ctx);
    free(f);
}

void jx_flash_note_worn(struct jx_flash *f, uint32_t off)
{
    if (!jx_flash_is_worn(f, off))
        f->worn[f->worn_count++ % JX_WORN_MAX] = off;
}

int jx_flash_is_worn(const struct jx_flash *f, uint32_t off)
{
    for (uint32_t i = 0; i < f->worn_count && i < JX_WORN_MAX; i++)
        if (f->worn[i] == off)
            return 1;
    return 0;
}

void jx_flash_set_live(jx_flash *f, int live) { f->live = live != 0; }

int jx_flash_is_live(const jx_flash *f) { return f->live; }

void jx_flash_geometry(const jx_flash *f, struct jx_geometry *out) { *out = f->geo; }

void jx_flash_statistics(const jx_flash *f, struct jx_flash_stats *out)
{
    struct jx_ecc ecc = { 0, 0 };
    if (f->ops->ecc)
        f->ops->ecc(f->ctx, &ecc);
    *out = f->stats;
    out->ecc_corrected = ecc.corrected;
    out->ecc_failed = ecc.failed;
}

static int in_range(const struct jx_geometry *g, uint32_t off, uint32_t len)
{
    return off <= g->size_bytes && len <= g->size_bytes - off;
}

static int is_block(const struct jx_geometry *g, uint32_t off)
{
    return off < g->size_bytes && off % g->erase_size_bytes == 0;
}

/* Whole subpages, all in one page. */
static int in_page(const struct jx_geometry *g, uint32_t off, uint32_t len)
{
    uint32_t unit = jx_program_unit(g);
    return off % unit == 0 && len % unit == 0 && len <= g->write_size_bytes - off % g->write_size_bytes;
}

static int in_oob(const struct jx_geometry *g, uint32_t off, uint32_t len)
{
    return g->oob_avail_bytes && off < g->size_bytes && off % g->write_size_bytes == 0 && len <= g->oob_avail_bytes;
}

int jx_flash_read(struct jx_flash *f, uint32_t off, void *buf, uint32_t len)
{
    if (!in_range(&f->geo, off, len))
        return JX_EFLASH;
    int err = f->ops->read(f->ctx, off, buf, len);
    if (!err || err == JX_EECC)
        f->stats.bytes_read += len;
    return err;
}

int jx_flash_read_forgiving(struct jx_flash *f, uint32_t off, void *buf, uint32_t len)
{
    int err = jx_flash_read(f, off, buf, len);
    return err == JX_EECC && jx_is_paged(&f->geo) ? JX_OK : err;
}

static void count_program(struct jx_flash *f, uint32_t len)
{
    f->stats.programs++;
    f->stats.bytes_programmed += len;
}

int jx_flash_prog(struct jx_flash *f, uint32_t off, const void *buf, uint32_t len)
{
    if (!in_range(&f->geo, off, len))
        return JX_EFLASH;
    if (jx_is_paged(&f->geo) && !in_page(&f->geo, off, len))
        return JX_EFLASH;
    if (len == 0)
        return JX_OK;
    int err = f->ops->prog(f->ctx, off, buf, len);
    if (!err)
        count_program(f, len);
    return err;
}

int jx_flash_erase(struct jx_flash *f, uint32_t off)
{
    if (!is_block(&f->geo, off))
        return JX_EFLASH;
    int err = f->ops->erase(f->ctx, off);
    if (!err)
        f->stats.erases++;
    return err;
}

int jx_flash_is_bad(struct jx_flash *f, uint32_t off)
{
    if (!is_block(&f->geo, off))
        return JX_EFLASH;
    return f->ops->is_bad ? f->ops->is_bad(f->ctx, off) : 0;
}

int jx_flash_mark_bad(struct jx_flash *f, uint32_t off)
{
    if (!is_block(&f->geo, off) || !f->ops->mark_bad)
        return JX_EFLASH;
    return f->ops->mark_bad(f->ctx, off);
}

int jx_flash_oob_read(struct jx_flash *f, uint32_t off, void *buf, uint32_t len)
{
    if (!f->ops->oob_read || !in_oob(&f->geo, off, len))
        return JX_EFLASH;
    int err = f->ops->oob_read(f->ctx, off, buf, len);
    if (!err)
        f->stats.bytes_read += len;
    return err;
}

int jx_flash_oob_prog(struct jx_flash *f, uint32_t off, const void *buf, uint32_t len)
{
    if (!f->ops->oob_prog || !in_oob(&f->geo, off, len))
        return JX_EFLASH;
    if (len == 0)
        return JX_OK;
    int err = f->ops->oob_prog(f->ctx, off, buf, len);
    if (!err)
        count_program(f, len);
    return err;
}

int jx_flash_sync(struct jx_flash *f) { return f->ops->sync ? f->ops->sync(f->ctx) : JX_OK; }

int jx_flash_holds(const struct jx_flash *f, uint32_t off) { return !f->ops->stored || off < f->ops->stored(f->ctx); }

int jx_flash_raw_read(jx_flash *f, uint32_t off, void *buf, uint32_t len) { return jx_flash_read(f, off, buf, len); }

/* Page by page where the device takes no more at once. */
int jx_flash_raw_prog(jx_flash *f, uint32_t off, const void *buf, uint32_t len)
{
    const uint8_t *p = buf;
    if (!jx_is_paged(&f->geo))
        return jx_flash_prog(f, off, buf, len);
    if (!in_range(&f->geo, off, len))
        return JX_EFLASH;
    while (len) {
        uint32_t room = f->geo.write_size_bytes - off % f->geo.write_size_bytes, part = len < room ? len : room;
        int err = jx_flash_prog(f, off, p, part);
        if (err)
            return err;
        off += part;
        p += part;
        len -= part;
    }
    return JX_OK;
}

int jx_flash_raw_erase(jx_flash *f, uint32_t off) { return jx_flash_erase(f, off); }

int jx_flash_raw_oob_read(jx_flash *f, uint32_t off, void *buf, uint32_t len)
{
    return jx_flash_oob_read(f, off, buf, len);
}

int jx_flash_raw_oob_prog(jx_flash *f, uint32_t off, const void *buf, uint32_t len)
{
    return jx_flash_oob_prog(f, off, buf, len);
}

int jx_flash_raw_is_bad(jx_flash *f, uint32_t off) { return jx_flash_is_bad(f, off); }
int jx_flash_raw_mark_bad(jx_flash *f, uint32_t off) { return jx_flash_mark_bad(f, off); }
int jx_flash_raw_sync(jx_flash *f) { return jx_flash_sync(f); }

int jx_is_erased(const uint8_t *p, uint32_t len)
{
    for (; len && ((uintptr_t)p & 7); p++, len--)
        if (*p != 0xff)
            return 0;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        if (word != ~0ull)
            return 0;
    }
    for (; len; p++, len--)
        if (*p != 0xff)
            return 0;
    return 1;
}
