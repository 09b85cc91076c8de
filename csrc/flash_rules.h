/* flash_rules.h: what a chip made of bytes (memory, image file, simulator) refuses.
 *
 * NOR: bits go 1 -> 0. Paged kinds (NAND, NOR with ECC): each subpage once between
 * erases, and on NAND pages ascend within an eraseblock. What was programmed is kept
 * per eraseblock, and found from the content (not all 0xff: programmed) where the
 * content came from elsewhere.
 */
#ifndef JFFS2TX_FLASH_RULES_H
#define JFFS2TX_FLASH_RULES_H

#include "flash.h"

struct jx_rules {
    uint32_t *page_floor; /* per eraseblock: lowest page that may be programmed, or JX_FLOOR_UNKNOWN */
    uint8_t *programmed;  /* a bit per subpage; not valid where the floor is unknown */
};

#define JX_FLOOR_UNKNOWN UINT32_MAX

/* The first `bytes_len` bytes of a device; what lies behind them reads as erased. oob_bytes that are no part of these
 * follow each page_bytes; 0: none do. */
struct jx_span {
    const uint8_t *bytes;
    uint32_t bytes_len;
    uint32_t page_bytes, oob_bytes;
};

/* How far from the start the byte at off of the device stands; it goes on so up to the page's end. */
static inline uint64_t jx_span_place(const struct jx_span *s, uint32_t off)
{
    return s->oob_bytes ? off + (uint64_t)(off / s->page_bytes) * s->oob_bytes : off;
}
static inline const uint8_t *jx_span_at(const struct jx_span *s, uint32_t off)
{
    return s->bytes + jx_span_place(s, off);
}

static inline int jx_is_paged(const struct jx_geometry *g) { return g->kind != JX_NOR; }
static inline uint32_t jx_program_unit(const struct jx_geometry *g)
{
    return g->kind == JX_NAND ? g->subpage_size_bytes : g->write_size_bytes;
}
static inline uint32_t jx_block_count(const struct jx_geometry *g) { return g->size_bytes / g->erase_size_bytes; }
static inline uint32_t jx_pages_per_block(const struct jx_geometry *g)
{
    return g->erase_size_bytes / g->write_size_bytes;
}

/* All eraseblocks unknown. JX_ENOMEM. */
int jx_rules_open(struct jx_rules *r, const struct jx_geometry *g);
void jx_rules_close(struct jx_rules *r);
void jx_rules_copy(struct jx_rules *to, const struct jx_rules *from, const struct jx_geometry *g);

/* A stretch of a device's content: len bytes from off on, of which the first `stored` are at bytes; the rest is erased. */
struct jx_stretch {
    uint32_t off, len;
    const uint8_t *bytes;
    uint32_t stored;
};
/* What jx_rules_check must see before len bytes are programmed at off: off and len of it; len 0: nothing. */
struct jx_stretch jx_rules_wanted(const struct jx_rules *r, const struct jx_geometry *g, uint32_t off, uint32_t len);
/* JX_EFLASH where programming buf at off breaks a rule; the range fits the wrappers' checks. seen: what is wanted. */
int jx_rules_check(struct jx_rules *r, const struct jx_geometry *g, const struct jx_stretch *seen, uint32_t off,
                   const uint8_t *buf, uint32_t len);
void jx_rules_programmed(struct jx_rules *r, const struct jx_geometry *g, uint32_t off, uint32_t len);
void jx_rules_erased(struct jx_rules *r, const struct jx_geometry *g, uint32_t block);
/* The eraseblock's content was set from outside. */
void jx_rules_forget(struct jx_rules *r, const struct jx_geometry *g, uint32_t block);

int jx_all_ff(const uint8_t *p, uint32_t len);

#endif
