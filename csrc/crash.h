/* crash.h: how a torn operation may leave the medium (crash_tears.c), for crash.c. */
#ifndef JFFS2TX_CRASH_H
#define JFFS2TX_CRASH_H

#include "flash_memory.h"

enum jx_change_kind {
    JX_LANDED, /* program: as it should be */
    JX_HALF,   /* program: old & (new | mask) */
    JX_ERASED, /* erase: 0xff */
    JX_RISEN,  /* erase: old | mask */
    JX_ZEROED, /* erase: a NOR chip programs to 0 first */
};

/* Bytes from..to of the operation. */
struct jx_change {
    uint32_t from, to;
    enum jx_change_kind kind;
    unsigned mask; /* JX_HALF, JX_RISEN: which mask, below JX_MASKS */
};

enum jx_oob_fate { JX_OOB_KEPT, JX_OOB_ERASED, JX_OOB_RISEN };
#define JX_OOB_MASK 2u /* the mask of JX_OOB_RISEN */

struct jx_tear {
    struct jx_change change[2];
    unsigned count;
    enum jx_oob_fate oob; /* erase only */
};

#define JX_MASKS 4u

/* Number of tears of that operation; *out becomes tear number `index` where there is one.
 * Number 0 is nothing at all. */
uint32_t jx_tear_pick(const struct jx_geometry *g, const struct jx_sim_op *op, uint32_t faults, uint32_t index,
                      struct jx_tear *out);

#endif
