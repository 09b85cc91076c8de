/* flash.h: what the engine asks of a flash device. Knows nothing of JFFS2.
 *
 * A device is one const table of functions, a geometry and a context. All
 * offsets are absolute, in bytes from the start of the device. Functions return
 * JX_OK or one negative enum jx_error; a partial transfer is an error.
 */
#ifndef JFFS2TX_FLASH_H
#define JFFS2TX_FLASH_H

#include <stdint.h>
#include "jffs2tx.h"

struct jx_ecc {
    uint64_t corrected; /* bits */
    uint64_t failed;    /* places beyond correction */
};

struct jx_flash_ops {
    /* Read len bytes at off; off + len <= size_bytes. JX_EECC where ECC could not
     * correct some of them: buf then holds what the chip gave. JX_EIO: nothing. */
    int (*read)(void *ctx, uint32_t off, void *buf, uint32_t len);

    /* Program len bytes at off. NOR: any byte range, bits go 1 -> 0 only.
     * NAND: off and len are multiples of subpage_size_bytes, a range stays in one
     * page, pages ascend within an eraseblock, each subpage once between erases.
     * JX_EFLASH where the caller breaks these rules, JX_EIO where the chip fails. */
    int (*prog)(void *ctx, uint32_t off, const void *buf, uint32_t len);

    /* Erase the eraseblock that starts at off (a multiple of erase_size_bytes),
     * its OOB too: every bit becomes 1. */
    int (*erase)(void *ctx, uint32_t off);

    /* Bad-block table: 1 bad, 0 good, or an error. NULL where a kind has none. */
    int (*is_bad)(void *ctx, uint32_t off);
    int (*mark_bad)(void *ctx, uint32_t off);

    /* The free OOB bytes (automatic placement) of the page at off;
     * len <= oob_avail_bytes. NULL where oob_avail_bytes is 0. oob_read: JX_EECC as read. */
    int (*oob_read)(void *ctx, uint32_t off, void *buf, uint32_t len);
    int (*oob_prog)(void *ctx, uint32_t off, const void *buf, uint32_t len);

    /* Everything programmed so far is on the medium when this returns. */
    int (*sync)(void *ctx);

    /* How many bytes of the device, from its start, the medium holds; the rest reads as erased. NULL: all. */
    uint32_t (*stored)(const void *ctx);

    /* What ECC had to do since the device was opened; NULL where it has none. */
    void (*ecc)(const void *ctx, struct jx_ecc *out);

    void (*close)(void *ctx);
};

#define JX_WORN_MAX 16u

struct jx_flash {
    const struct jx_flash_ops *ops;
    void *ctx;
    struct jx_geometry geo;
    struct jx_flash_stats stats; /* counted by the wrappers below */
    int live;                    /* jx_flash_set_live */
    uint32_t worn[JX_WORN_MAX], worn_count; /* jx_flash_note_worn: the last ones */
};

/* Bounds-checked calls: JX_EFLASH for a range outside the device, then the
 * device's own answer. Statistics are kept here, once for all devices. */
int jx_flash_read(struct jx_flash *f, uint32_t off, void *buf, uint32_t len);
/* As jffs2_flash_read does it: on write-buffered flash what ECC could not correct is taken as the chip gave it, since the
 * CRCs of the nodes tell what is worth something. Not for reading back what was programmed. */
int jx_flash_read_forgiving(struct jx_flash *f, uint32_t off, void *buf, uint32_t len);
int jx_flash_prog(struct jx_flash *f, uint32_t off, const void *buf, uint32_t len);
int jx_flash_erase(struct jx_flash *f, uint32_t off);
int jx_flash_is_bad(struct jx_flash *f, uint32_t off);
int jx_flash_mark_bad(struct jx_flash *f, uint32_t off);
int jx_flash_oob_read(struct jx_flash *f, uint32_t off, void *buf, uint32_t len);
int jx_flash_oob_prog(struct jx_flash *f, uint32_t off, const void *buf, uint32_t len);
int jx_flash_sync(struct jx_flash *f);
/* Whether the medium holds the byte at off, rather than ending before it (an image file that is short of its device). */
int jx_flash_holds(const struct jx_flash *f, uint32_t off);

/* A block that the chip can neither erase nor mark bad (NOR has no table of bad blocks): known for as long as the device is
 * open, so that what stands there stops nobody a second time. */
void jx_flash_note_worn(struct jx_flash *f, uint32_t off);
int jx_flash_is_worn(const struct jx_flash *f, uint32_t off);

int jx_is_erased(const uint8_t *p, uint32_t len); /* all 0xFF */

/* Geometry that no device can have: JX_EGEOMETRY. */
int jx_geometry_check(const struct jx_geometry *g);

static inline int jx_is_nand(const struct jx_geometry *g) { return g->kind == JX_NAND; }
/* Bits of a programmed word may be cleared later (MTD_BIT_WRITEABLE). */
static inline int jx_is_bit_writable(const struct jx_geometry *g) { return g->kind == JX_NOR; }

#endif
