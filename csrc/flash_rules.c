/* flash_rules.c: what a chip made of bytes refuses. */
#include <stdlib.h>
#include <string.h>
#include "flash_rules.h"

static uint32_t units_per_block(const struct jx_geometry *g) { return g->erase_size_bytes / jx_program_unit(g); }

static int bit_get(const uint8_t *bits, uint32_t i) { return bits[i / 8] >> (i % 8) & 1; }
static void bit_set(uint8_t *bits, uint32_t i) { bits[i / 8] |= (uint8_t)(1u << (i % 8)); }
static void bit_clear(uint8_t *bits, uint32_t i) { bits[i / 8] &= (uint8_t)~(1u << (i % 8)); }

int jx_all_ff(const uint8_t *p, uint32_t len)
{
    return len == 0 || (p[0] == 0xff && memcmp(p, p + 1, len - 1) == 0);
}

static size_t bitmap_bytes(const struct jx_geometry *g)
{
    return g->size_bytes / jx_program_unit(g) / 8 + 1;
}

int jx_rules_open(struct jx_rules *r, const struct jx_geometry *g)
{
    memset(r, 0, sizeof *r);
    if (!jx_is_paged(g))
        return JX_OK;
    r->page_floor = malloc(jx_block_count(g) * sizeof *r->page_floor);
    r->programmed = calloc(bitmap_bytes(g), 1);
    if (!r->page_floor || !r->programmed) {
        jx_rules_close(r);
        return JX_ENOMEM;
    }
    for (uint32_t b = 0; b < jx_block_count(g); b++)
        r->page_floor[b] = JX_FLOOR_UNKNOWN;
    return JX_OK;
}

void jx_rules_close(struct jx_rules *r)
{
    free(r->page_floor);
    free(r->programmed);
    memset(r, 0, sizeof *r);
}

void jx_rules_copy(struct jx_rules *to, const struct jx_rules *from, const struct jx_geometry *g)
{
    if (!jx_is_paged(g))
        return;
    memcpy(to->page_floor, from->page_floor, jx_block_count(g) * sizeof *to->page_floor);
    memcpy(to->programmed, from->programmed, bitmap_bytes(g));
}

void jx_rules_programmed(struct jx_rules *r, const struct jx_geometry *g, uint32_t off, uint32_t len)
{
    if (!jx_is_paged(g))
        return;
    uint32_t unit = jx_program_unit(g);
    for (uint32_t i = off / unit; i < off / unit + len / unit; i++)
        bit_set(r->programmed, i);
    uint32_t page = off % g->erase_size_bytes / g->write_size_bytes;
    uint32_t *floor = &r->page_floor[off / g->erase_size_bytes];
    if (g->kind == JX_NAND && page > *floor)
        *floor = page;
}

void jx_rules_erased(struct jx_rules *r, const struct jx_geometry *g, uint32_t block)
{
    if (!jx_is_paged(g))
        return;
    uint32_t count = units_per_block(g);
    for (uint32_t i = block * count; i < (block + 1) * count; i++)
        bit_clear(r->programmed, i);
    r->page_floor[block] = 0;
}

void jx_rules_forget(struct jx_rules *r, const struct jx_geometry *g, uint32_t block)
{
    if (jx_is_paged(g))
        r->page_floor[block] = JX_FLOOR_UNKNOWN;
}

/* Which units of an eraseblock hold something; seen: all of it. */
static void learn(struct jx_rules *r, const struct jx_geometry *g, const struct jx_stretch *seen)
{
    uint32_t unit = jx_program_unit(g);
    jx_rules_erased(r, g, seen->off / g->erase_size_bytes);
    for (uint32_t at = 0; at < seen->stored; at += unit) {
        uint32_t have = seen->stored - at < unit ? seen->stored - at : unit;
        if (!jx_all_ff(seen->bytes + at, have))
            jx_rules_programmed(r, g, seen->off + at, unit);
    }
}

static int check_bits(const struct jx_stretch *seen, const uint8_t *buf)
{
    uint8_t raised = 0;
    for (uint32_t i = 0; i < seen->stored; i++)
        raised |= (uint8_t)(buf[i] & ~seen->bytes[i]);
    return raised ? JX_EFLASH : JX_OK;
}

struct jx_stretch jx_rules_wanted(const struct jx_rules *r, const struct jx_geometry *g, uint32_t off, uint32_t len)
{
    uint32_t block = off / g->erase_size_bytes;
    if (!jx_is_paged(g))
        return (struct jx_stretch){ off, len, NULL, 0 };
    if (r->page_floor[block] == JX_FLOOR_UNKNOWN)
        return (struct jx_stretch){ block * g->erase_size_bytes, g->erase_size_bytes, NULL, 0 };
    return (struct jx_stretch){ off, 0, NULL, 0 };
}

int jx_rules_check(struct jx_rules *r, const struct jx_geometry *g, const struct jx_stretch *seen, uint32_t off,
                   const uint8_t *buf, uint32_t len)
{
    if (!jx_is_paged(g))
        return check_bits(seen, buf);
    uint32_t block = off / g->erase_size_bytes, unit = jx_program_unit(g);
    if (r->page_floor[block] == JX_FLOOR_UNKNOWN)
        learn(r, g, seen);
    if (off % g->erase_size_bytes / g->write_size_bytes < r->page_floor[block])
        return JX_EFLASH;
    for (uint32_t i = off / unit; i < off / unit + len / unit; i++)
        if (bit_get(r->programmed, i))
            return JX_EFLASH;
    return JX_OK;
}
