/* flash_unstable.c: what a cut left half done and each read finds otherwise: as it was before, as it should be, or between,
 * which kinds with ECC report. */
#include <stdlib.h>
#include <string.h>
#include "flash_memory.h"

static uint32_t digit(uint32_t schedule, uint32_t place)
{
    for (; place; place--)
        schedule /= JX_READINGS;
    return schedule % JX_READINGS;
}

/* What both ranges share: 0 bytes where nothing. */
static uint32_t shared(uint32_t a, uint32_t a_len, uint32_t b, uint32_t b_len, uint32_t *from)
{
    uint32_t to = a + a_len < b + b_len ? a + a_len : b + b_len;
    *from = a > b ? a : b;
    return *from < to ? to - *from : 0;
}

static int keep(uint8_t *readings[JX_READINGS], const uint8_t *content, uint32_t len)
{
    for (uint32_t r = 0; r < JX_READINGS; r++) {
        readings[r] = malloc(len);
        if (!readings[r])
            return JX_ENOMEM;
        memcpy(readings[r], content, len);
    }
    return JX_OK;
}

int jx_unstable_add(struct jx_memory *m, int oob, uint32_t at, uint32_t len)
{
    struct jx_unstable *u = m->unstable;
    if (!u)
        u = m->unstable = calloc(1, sizeof *u);
    if (!u)
        return JX_ENOMEM;
    if (oob) {
        u->oob_at = at;
        u->oob_len = len;
        return keep(u->oob, m->now.oob + at, len);
    }
    u->off = at;
    u->len = len;
    return keep(u->bytes, m->now.bytes + at, len);
}

int jx_unstable_read(struct jx_memory *m, int oob, uint32_t off, uint8_t *buf, uint32_t len)
{
    struct jx_unstable *u = m->unstable;
    uint32_t at = oob ? u->oob_at : u->off, from;
    uint32_t n = shared(off, len, at, oob ? u->oob_len : u->len, &from);
    if (!n)
        return JX_OK;
    uint32_t reading = digit(u->schedule, m->unstable_reads++ % JX_UNSTABLE_READS);
    memcpy(buf + (from - off), (oob ? u->oob : u->bytes)[reading] + (from - at), n);
    if (reading != JX_READ_BETWEEN || oob || !jx_is_paged(&m->geo))
        return JX_OK;
    m->ecc_failed++;
    return JX_EECC;
}

void jx_unstable_prog(struct jx_memory *m, int oob, uint32_t off, const uint8_t *buf, uint32_t len)
{
    struct jx_unstable *u = m->unstable;
    uint32_t at = oob ? u->oob_at : u->off, from;
    uint32_t n = shared(off, len, at, oob ? u->oob_len : u->len, &from);
    for (uint32_t r = 0; n && r < JX_READINGS; r++)
        for (uint32_t i = 0; i < n; i++)
            (oob ? u->oob : u->bytes)[r][from - at + i] &= buf[from - off + i];
}

static uint32_t block_of(const struct jx_memory *m)
{
    const struct jx_unstable *u = m->unstable;
    if (u->len)
        return u->off / m->geo.erase_size_bytes;
    return u->oob_at / m->geo.oob_avail_bytes / jx_pages_per_block(&m->geo);
}

void jx_unstable_show(struct jx_memory *m, uint32_t reading)
{
    struct jx_unstable *u = m->unstable;
    if (u->len)
        memcpy(m->now.bytes + u->off, u->bytes[reading], u->len);
    if (u->oob_len)
        memcpy(m->now.oob + u->oob_at, u->oob[reading], u->oob_len);
    u->schedule = reading * (1 + JX_READINGS + JX_READINGS * JX_READINGS);
    m->unstable_reads = 0;
    jx_memory_touch(m, block_of(m) * m->geo.erase_size_bytes, 1);
}

void jx_unstable_free(struct jx_memory *m)
{
    struct jx_unstable *u = m->unstable;
    m->unstable = NULL;
    if (!u)
        return;
    for (uint32_t reading = 0; reading < JX_READINGS; reading++) {
        free(u->bytes[reading]);
        free(u->oob[reading]);
    }
    free(u);
}

void jx_unstable_drop(struct jx_memory *m, uint32_t block)
{
    if (m->unstable && block_of(m) == block)
        jx_unstable_free(m);
}

/* ---- the interface --------------------------------------------------------- */

int jx_flash_unstable_schedule(jx_flash *f, uint32_t schedule)
{
    struct jx_memory *m = jx_memory_of(f);
    if (!m || schedule >= JX_UNSTABLE_SCHEDULES)
        return JX_EINVAL;
    if (!m->unstable)
        return JX_ENOENT;
    m->unstable->schedule = schedule;
    m->unstable_reads = 0;
    return JX_OK;
}

uint32_t jx_flash_unstable_reads(const jx_flash *f)
{
    const struct jx_memory *m = jx_memory_of(f);
    return m ? m->unstable_reads : 0;
}

void jx_flash_unstable_rewind(jx_flash *f)
{
    struct jx_memory *m = jx_memory_of(f);
    if (m)
        m->unstable_reads = 0;
}

int jx_flash_unstable_settle(jx_flash *f, uint32_t reading)
{
    struct jx_memory *m = jx_memory_of(f);
    if (!m || reading >= JX_READINGS)
        return JX_EINVAL;
    if (!m->unstable)
        return JX_ENOENT;
    uint32_t block = block_of(m) * m->geo.erase_size_bytes;
    jx_unstable_show(m, reading);
    jx_memory_touch_raw(m, block, 1); /* drops it */
    return JX_OK;
}
