/* strategy_swap.c: the commit is one dirent, alone in its page but for a guard. */
#include <string.h>
#include "guard.h"
#include "txn.h"

static int suits(const struct jx_geometry *geo)
{
    (void)geo;
    return JX_OK;
}

/* Where the dirent stands: after the two tags, or in the page after the first one. */
static uint32_t dirent_at(const struct jx_geometry *geo)
{
    return jx_is_bit_writable(geo) ? JX_TAG_BYTES + JX_COVERED_TAG_BYTES : jx_align(JX_TAG_BYTES, geo->write_size_bytes);
}

static uint32_t limit(const struct jx_geometry *geo, uint32_t summary_bytes)
{
    (void)geo;
    (void)summary_bytes;
    return jx_pad4(JX_DIRENT_BYTES + JX_MAX_NAME) + JX_GUARD_BYTES;
}

static int prepare(struct jx_txn *txn)
{
    const struct jx_geometry *geo = &txn->fs->flash->geo;
    if (txn->set.changes[0].entry.nodetype != JX_NODE_DIRENT)
        return JX_ETOOBIG;
    if (jx_is_bit_writable(geo))
        jx_cover_settled(txn, JX_TAG_BYTES);
    else
        jx_fill_pages(txn->fs, txn->image, JX_TAG_BYTES);
    return jx_program_verified(txn->fs->flash, txn->commit_block, txn->image, dirent_at(geo), txn->check);
}

static uint32_t dirent_end(struct jx_txn *txn)
{
    return dirent_at(&txn->fs->flash->geo) + jx_align(txn->set.bytes, txn->fs->flash->geo.write_size_bytes);
}

static int commit(struct jx_txn *txn)
{
    uint32_t at = dirent_at(&txn->fs->flash->geo);
    jx_set_bytes(&txn->set, txn->image + at);
    jx_fill_pages(txn->fs, txn->image, at + txn->set.bytes);
    return jx_program_verified(txn->fs->flash, txn->commit_block + at, txn->image + at, dirent_end(txn) - at, txn->check);
}

static int finish(struct jx_txn *txn, uint32_t *settled_at)
{
    *settled_at = jx_is_bit_writable(&txn->fs->flash->geo) ? JX_TAG_BYTES : dirent_end(txn);
    return JX_OK;
}

const struct jx_strategy_ops jx_swap = {"swap", 0, suits, limit, prepare, commit, finish};
