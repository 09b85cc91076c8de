/* flash_memory.c: a flash device in memory that keeps the rules of its kind. */
#include <stdlib.h>
#include <string.h>
#include "flash_memory.h"

/* ---- content: bytes, OOB, bad marks ---------------------------------------- */

static size_t oob_bytes(const struct jx_geometry *g) { return (size_t)jx_oob_per_block(g) * jx_block_count(g); }

int jx_content_open(struct jx_content *c, const struct jx_geometry *g)
{
    size_t oob_len = oob_bytes(g);
    c->bytes = malloc(g->size_bytes);
    c->bad = calloc(jx_block_count(g), 1);
    c->oob = oob_len ? malloc(oob_len) : NULL;
    if (!c->bytes || !c->bad || (oob_len && !c->oob)) {
        jx_content_close(c);
        return JX_ENOMEM;
    }
    memset(c->bytes, 0xff, g->size_bytes);
    if (oob_len)
        memset(c->oob, 0xff, oob_len);
    return JX_OK;
}

void jx_content_close(struct jx_content *c)
{
    free(c->bytes);
    free(c->oob);
    free(c->bad);
    memset(c, 0, sizeof *c);
}

void jx_content_copy_block(struct jx_content *to, const struct jx_content *from, const struct jx_geometry *g,
                           uint32_t block)
{
    size_t at = (size_t)block * g->erase_size_bytes, oob_len = jx_oob_per_block(g);
    memcpy(to->bytes + at, from->bytes + at, g->erase_size_bytes);
    if (oob_len)
        memcpy(to->oob + block * oob_len, from->oob + block * oob_len, oob_len);
    to->bad[block] = from->bad[block];
}

int jx_content_same_block(const struct jx_content *a, const struct jx_content *b, const struct jx_geometry *g,
                          uint32_t block)
{
    size_t at = (size_t)block * g->erase_size_bytes, oob_len = jx_oob_per_block(g);
    return a->bad[block] == b->bad[block] && memcmp(a->bytes + at, b->bytes + at, g->erase_size_bytes) == 0 &&
           (!oob_len || memcmp(a->oob + block * oob_len, b->oob + block * oob_len, oob_len) == 0);
}

static void clear_bits(uint8_t *to, const uint8_t *buf, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        to[i] &= buf[i];
}

void jx_content_prog(struct jx_content *c, uint32_t off, const uint8_t *buf, uint32_t len)
{
    clear_bits(c->bytes + off, buf, len);
}

void jx_content_oob_prog(struct jx_content *c, const struct jx_geometry *g, uint32_t off, const uint8_t *buf,
                         uint32_t len)
{
    clear_bits(jx_oob_at(c, g, off), buf, len);
}

void jx_content_erase(struct jx_content *c, const struct jx_geometry *g, uint32_t off)
{
    memset(c->bytes + off, 0xff, g->erase_size_bytes);
    if (c->oob)
        memset(jx_oob_at(c, g, off), 0xff, jx_oob_per_block(g));
}

/* ---- memory: content that keeps the rules ---------------------------------- */

int jx_memory_open(struct jx_memory *m, const struct jx_geometry *g)
{
    memset(m, 0, sizeof *m);
    m->geo = *g;
    m->flags = malloc(jx_block_count(g));
    m->block_hash = malloc(jx_block_count(g) * sizeof *m->block_hash);
    int err = m->flags && m->block_hash ? JX_OK : JX_ENOMEM;
    if (!err)
        err = jx_content_open(&m->now, g);
    if (!err)
        err = jx_rules_open(&m->rules, g);
    if (err)
        jx_memory_shut(m);
    else
        memset(m->flags, JX_OFF_BASE | JX_OFF_START, jx_block_count(g));
    return err;
}

void jx_memory_shut(struct jx_memory *m)
{
    jx_content_close(&m->now);
    jx_rules_close(&m->rules);
    free(m->flags);
    free(m->spoiled);
    jx_unstable_free(m);
    free(m->block_hash);
    if (m->base)
        jx_content_close(&m->base->content);
    free(m->base);
}

void jx_memory_touch(struct jx_memory *m, uint32_t off, uint32_t len)
{
    uint32_t last = (off + len - 1) / m->geo.erase_size_bytes;
    for (uint32_t b = off / m->geo.erase_size_bytes; b <= last; b++)
        m->flags[b] = JX_OFF_BASE | JX_OFF_START;
}

static void unspoil(struct jx_memory *m, uint32_t block)
{
    uint32_t pages = jx_pages_per_block(&m->geo);
    if (m->spoiled)
        memset(m->spoiled + (size_t)block * pages, 0, pages);
}

void jx_memory_touch_raw(struct jx_memory *m, uint32_t off, uint32_t len)
{
    uint32_t last = (off + len - 1) / m->geo.erase_size_bytes;
    jx_memory_touch(m, off, len);
    for (uint32_t b = off / m->geo.erase_size_bytes; b <= last; b++) {
        jx_rules_forget(&m->rules, &m->geo, b);
        unspoil(m, b);
        jx_unstable_drop(m, b);
    }
}

static int any_bad(const struct jx_memory *m, uint32_t off, uint32_t len)
{
    uint32_t first = off / m->geo.erase_size_bytes, last = (off + len - 1) / m->geo.erase_size_bytes;
    return memchr(m->now.bad + first, 1, last - first + 1) != NULL;
}

int jx_memory_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    struct jx_memory *m = ctx;
    if (!len)
        return JX_OK;
    memcpy(buf, m->now.bytes + off, len);
    if (m->unstable && jx_unstable_read(m, 0, off, buf, len) != JX_OK)
        return JX_EECC;
    if (!m->spoiled)
        return JX_OK;
    uint32_t first = off / m->geo.write_size_bytes, last = (off + len - 1) / m->geo.write_size_bytes, failed = 0;
    for (uint32_t page = first; page <= last; page++)
        failed += m->spoiled[page];
    m->ecc_failed += failed;
    return failed ? JX_EECC : JX_OK;
}

void jx_memory_ecc(const void *ctx, struct jx_ecc *out)
{
    *out = (struct jx_ecc){ 0, ((const struct jx_memory *)ctx)->ecc_failed };
}

int jx_memory_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct jx_memory *m = ctx;
    struct jx_stretch seen = jx_rules_wanted(&m->rules, &m->geo, off, len);
    seen.bytes = m->now.bytes + seen.off;
    seen.stored = seen.len;
    int err = jx_rules_check(&m->rules, &m->geo, &seen, off, buf, len);
    if (err)
        return err;
    if (any_bad(m, off, len))
        return JX_EIO;
    jx_content_prog(&m->now, off, buf, len);
    if (m->unstable)
        jx_unstable_prog(m, 0, off, buf, len);
    jx_rules_programmed(&m->rules, &m->geo, off, len);
    jx_memory_touch(m, off, len);
    return JX_OK;
}

int jx_memory_erase(void *ctx, uint32_t off)
{
    struct jx_memory *m = ctx;
    if (any_bad(m, off, 1))
        return JX_EIO;
    jx_content_erase(&m->now, &m->geo, off);
    jx_rules_erased(&m->rules, &m->geo, off / m->geo.erase_size_bytes);
    unspoil(m, off / m->geo.erase_size_bytes);
    jx_unstable_drop(m, off / m->geo.erase_size_bytes);
    jx_memory_touch(m, off, 1);
    return JX_OK;
}

int jx_memory_is_bad(void *ctx, uint32_t off)
{
    const struct jx_memory *m = ctx;
    return m->now.bad[off / m->geo.erase_size_bytes];
}

int jx_memory_mark_bad(void *ctx, uint32_t off)
{
    struct jx_memory *m = ctx;
    if (!jx_is_nand(&m->geo))
        return JX_EFLASH;
    m->now.bad[off / m->geo.erase_size_bytes] = 1;
    jx_memory_touch(m, off, 1);
    return JX_OK;
}

int jx_memory_oob_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    struct jx_memory *m = ctx;
    if (!len)
        return JX_OK;
    memcpy(buf, jx_oob_at(&m->now, &m->geo, off), len);
    return m->unstable ? jx_unstable_read(m, 1, off / m->geo.write_size_bytes * m->geo.oob_avail_bytes, buf, len) : JX_OK;
}

/* A page's OOB takes one program between erases, whatever became of the page's data. */
int jx_memory_oob_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct jx_memory *m = ctx;
    if (!jx_all_ff(jx_oob_at(&m->now, &m->geo, off), m->geo.oob_avail_bytes))
        return JX_EFLASH;
    if (any_bad(m, off, 1))
        return JX_EIO;
    jx_content_oob_prog(&m->now, &m->geo, off, buf, len);
    if (m->unstable)
        jx_unstable_prog(m, 1, off / m->geo.write_size_bytes * m->geo.oob_avail_bytes, buf, len);
    jx_memory_touch(m, off, 1);
    return JX_OK;
}

static void memory_close(void *ctx)
{
    jx_memory_shut(ctx);
    free(ctx);
}

static const struct jx_flash_ops memory_ops = {
    .read = jx_memory_read,
    .prog = jx_memory_prog,
    .erase = jx_memory_erase,
    .is_bad = jx_memory_is_bad,
    .mark_bad = jx_memory_mark_bad,
    .oob_read = jx_memory_oob_read,
    .oob_prog = jx_memory_oob_prog,
    .ecc = jx_memory_ecc,
    .close = memory_close,
};

int jx_flash_open_memory(const struct jx_geometry *geo, jx_flash **out)
{
    int err = jx_geometry_check(geo);
    if (err)
        return err;
    struct jx_memory *m = malloc(sizeof *m);
    if (!m)
        return JX_ENOMEM;
    err = jx_memory_open(m, geo);
    if (err) {
        free(m);
        return err;
    }
    return jx_flash_new(&memory_ops, m, geo, out);
}

struct jx_memory *jx_memory_of(const jx_flash *f)
{
    struct jx_sim *sim = jx_sim_of(f);
    if (sim)
        return &sim->memory;
    return f->ops == &memory_ops ? f->ctx : NULL;
}

int jx_flash_load(jx_flash *f, uint32_t off, const void *buf, uint32_t len)
{
    struct jx_memory *m = jx_memory_of(f);
    struct jx_sim *sim = jx_sim_of(f);
    if (!m)
        return JX_EINVAL;
    if (off > f->geo.size_bytes || len > f->geo.size_bytes - off)
        return JX_EFLASH;
    if (sim && sim->op_count)
        return JX_ESTATE;
    if (len == 0)
        return JX_OK;
    memcpy(m->now.bytes + off, buf, len);
    jx_memory_touch_raw(m, off, len);
    return sim ? jx_sim_restart(f) : JX_OK;
}

int jx_flash_spoil(jx_flash *f, uint32_t off)
{
    struct jx_memory *m = jx_memory_of(f);
    if (!m || !jx_is_paged(&f->geo))
        return JX_EINVAL;
    if (off >= f->geo.size_bytes || off % f->geo.write_size_bytes)
        return JX_EFLASH;
    if (!m->spoiled)
        m->spoiled = calloc(f->geo.size_bytes / f->geo.write_size_bytes, 1);
    if (!m->spoiled)
        return JX_ENOMEM;
    m->spoiled[off / f->geo.write_size_bytes] = 1;
    m->flags[off / f->geo.erase_size_bytes] |= JX_OFF_BASE;
    return JX_OK;
}

/* ---- clone ----------------------------------------------------------------- */

static int fill_by_reading(jx_flash *from, struct jx_memory *to)
{
    const struct jx_geometry *g = &to->geo;
    int err = jx_flash_read_forgiving(from, 0, to->now.bytes, g->size_bytes);
    for (uint32_t off = 0; !err && to->now.oob && off < g->size_bytes; off += g->write_size_bytes)
        err = jx_flash_oob_read(from, off, jx_oob_at(&to->now, g, off), g->oob_avail_bytes);
    for (uint32_t b = 0; !err && b < jx_block_count(g); b++) {
        int bad = jx_flash_is_bad(from, b * g->erase_size_bytes);
        to->now.bad[b] = bad > 0;
        err = bad < 0 ? bad : JX_OK;
    }
    return err;
}

int jx_memory_fill(struct jx_memory *to, jx_flash *from)
{
    struct jx_memory *m = jx_memory_of(from);
    jx_memory_touch(to, 0, to->geo.size_bytes);
    if (!m)
        return fill_by_reading(from, to);
    for (uint32_t b = 0; b < jx_block_count(&m->geo); b++)
        jx_content_copy_block(&to->now, &m->now, &m->geo, b);
    jx_rules_copy(&to->rules, &m->rules, &m->geo);
    return JX_OK;
}

int jx_flash_clone(jx_flash *from, jx_flash **out)
{
    jx_flash *copy;
    int err = jx_flash_open_memory(&from->geo, &copy);
    if (err)
        return err;
    err = jx_memory_fill(copy->ctx, from);
    if (err) {
        jx_flash_close(copy);
        return err;
    }
    *out = copy;
    return JX_OK;
}
