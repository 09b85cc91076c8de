/* strategy_lift.c: a block whose first 1,024 bytes are erased counts as empty, whatever follows (scan.c EMPTY_SCAN_SIZE);
 * a padding node in its first subpage lifts the set into view. NAND with subpages only. */
#include <string.h>
#include "mutants.h"
#include "txn.h"

#define LIFTED (JX_MUTANT(lift_low) ? 512u : JX_LIFT_BYTES)

static int suits(const struct jx_geometry *geo)
{
    int subpages = jx_is_nand(geo) && geo->subpage_size_bytes < geo->write_size_bytes;
    return subpages && geo->subpage_size_bytes <= JX_LIFT_BYTES && geo->write_size_bytes > JX_LIFT_BYTES ? JX_OK : JX_ESTRATEGY;
}

static uint32_t limit(const struct jx_geometry *geo, uint32_t summary_bytes)
{
    (void)summary_bytes;
    return suits(geo) == JX_OK ? geo->write_size_bytes - JX_LIFT_BYTES - JX_TAG_BYTES : 0;
}

static int prepare(struct jx_txn *txn)
{
    uint32_t page = txn->fs->flash->geo.write_size_bytes;
    memmove(txn->image + LIFTED, txn->image, JX_TAG_BYTES);
    memset(txn->image, 0xff, LIFTED);
    jx_tag_move(txn->fs->endian, txn->image + LIFTED, txn->commit_block + LIFTED);
    jx_set_bytes(&txn->set, txn->image + LIFTED + JX_TAG_BYTES);
    jx_fill_pages(txn->fs, txn->image, LIFTED + JX_TAG_BYTES + txn->set.bytes);
    return jx_program_verified(txn->fs->flash, txn->commit_block + LIFTED, txn->image + LIFTED, page - LIFTED,
                               txn->check);
}

static int commit(struct jx_txn *txn)
{
    jx_encode_header(txn->fs->endian, txn->image, JX_NODE_PADDING, LIFTED);
    return jx_program_verified(txn->fs->flash, txn->commit_block, txn->image, txn->fs->flash->geo.subpage_size_bytes, txn->check);
}

static int finish(struct jx_txn *txn, uint32_t *settled_at)
{
    *settled_at = txn->fs->flash->geo.write_size_bytes;
    return JX_OK;
}

const struct jx_strategy_ops jx_lift = {"lift", 0, suits, limit, prepare, commit, finish};
