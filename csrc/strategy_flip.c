/* strategy_flip.c: on bit-writable flash two nested containers hide the set; clearing the magic of the inner one is the
 * commit (scan.c, JFFS2_DIRTY_BITMASK: the scan steps on by 4 bytes, into what the header covered). The magic is bytes 0
 * and 1 in either byte order. With any bit of it gone it is no magic to any reader, and nothing of the set is hidden. The
 * nodetype stays until then: without its ACCURATE bit the header is still good to Linux, and already bad to U-Boot up to
 * v2020.04 (hdr_crc), so a torn program of both would show two trees. */
#include <string.h>
#include "mutants.h"
#include "txn.h"

#define OUTER JX_FLIP_HEADERS(JX_TAG_FORMAT)
#define INNER (OUTER + JX_HEADER_BYTES)
#define SET_AT (INNER + JX_HEADER_BYTES)

static int suits(const struct jx_geometry *geo) { return jx_is_bit_writable(geo) ? JX_OK : JX_ESTRATEGY; }

static uint32_t limit(const struct jx_geometry *geo, uint32_t summary_bytes)
{
    (void)summary_bytes;
    return geo->erase_size_bytes - SET_AT;
}

static int prepare(struct jx_txn *txn)
{
    uint32_t size = txn->fs->flash->geo.erase_size_bytes;
    jx_encode_header(txn->fs->endian, txn->image + OUTER, JX_NODE_CONTAINER, size - OUTER);
    jx_encode_header(txn->fs->endian, txn->image + INNER, JX_NODE_CONTAINER, size - INNER);
    jx_cover_settled(txn, JX_TAG_BYTES);
    jx_set_bytes(&txn->set, txn->image + SET_AT);
    if (JX_MUTANT(flip_one_container) || JX_MUTANT(flip_uncovered))
        memset(txn->image + OUTER, 0, JX_HEADER_BYTES);
    if (JX_MUTANT(flip_uncovered))
        memset(txn->image + INNER, 0, JX_HEADER_BYTES);
    if (JX_MUTANT(flip_set_first))
        jx_program_verified(txn->fs->flash, txn->commit_block + SET_AT, txn->image + SET_AT, txn->set.bytes, txn->check);
    int err = jx_program_verified(txn->fs->flash, txn->commit_block, txn->image, SET_AT, txn->check);
    if (err)
        return err;
    return jx_program_verified(txn->fs->flash, txn->commit_block + SET_AT, txn->image + SET_AT, txn->set.bytes, txn->check);
}

static int clear(struct jx_txn *txn, uint32_t at, uint32_t len)
{
    static const uint8_t zero[JX_HEADER_BYTES];
    return jx_program_verified(txn->fs->flash, txn->commit_block + at, zero, len, txn->check);
}

static int commit(struct jx_txn *txn)
{
    int err = clear(txn, OUTER, JX_MAGIC_BYTES);
    return err ? err : clear(txn, INNER, JX_MUTANT(flip_whole_word) ? 4 : JX_MAGIC_BYTES);
}

/* What is left of the headers would only make the scan complain. */
static int finish(struct jx_txn *txn, uint32_t *settled_at)
{
    int err = clear(txn, OUTER + JX_MAGIC_BYTES, JX_HEADER_BYTES - JX_MAGIC_BYTES);
    if (!err)
        err = clear(txn, INNER + JX_MAGIC_BYTES, JX_HEADER_BYTES - JX_MAGIC_BYTES);
    *settled_at = JX_TAG_BYTES;
    return err;
}

const struct jx_strategy_ops jx_flip = {"flip", 1, suits, limit, prepare, commit, finish};
