/* txn.c: a transaction from begin to commit. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "guard.h"
#include "mutants.h"
#include "txn.h"

#define LONGEST_DIRENT (JX_DIRENT_BYTES + JX_MAX_NAME + 2u) /* padded */
#define NODE_BYTES (JX_INODE_BYTES + 65536u + 512u) /* the longest node that is built: an xattr of 64 KiB */

static const struct jx_strategy_ops *const strategies[] = {&jx_swap, &jx_flip, &jx_seal, &jx_lift};

int jx_strategy_suits(uint32_t strategy, const struct jx_geometry *geo)
{
    return strategy > JX_LIFT ? JX_EINVAL : strategies[strategy]->suits(geo);
}

uint32_t jx_strategy_limit(uint32_t strategy, const struct jx_geometry *geo, uint32_t summary_bytes)
{
    uint32_t guarded = summary_bytes + JX_GUARD_ENTRY_BYTES;
    uint32_t room = jx_strategy_suits(strategy, geo) == JX_OK ? strategies[strategy]->limit(geo, guarded) : 0;
    return room > JX_GUARD_BYTES ? room - JX_GUARD_BYTES : 0;
}

/* ---- begin and end ------------------------------------------------------------------ */

static int admit(const struct jx_fs *fs, const struct jx_txn_options *options)
{
    if (options->strategy > JX_LIFT)
        return JX_EINVAL;
    if (fs->status.txid >= JX_NUMBER_LIMIT)
        return JX_ELIMIT_TXID;
    if (jx_fs_may_write(fs) != JX_OK)
        return JX_EFORMAT;
    if (options->fresh)
        return fs->visible_nodes ? JX_ESTATE : JX_OK;
    /* Recover first: what a committed one protects is still in its commit block, and a commit that was cut may have left
     * bits that read otherwise the next time, under a version number that would be given again. */
    if (!options->dry_run && (fs->status.state == JX_TXN_COMMITTED || (jx_has_stale_commit(fs) && !JX_MUTANT(stale_commit_ignored))))
        return JX_EUNFINISHED;
    return strategies[options->strategy]->suits(&fs->flash->geo);
}

/* JX_NUMBER_LIMIT where none is left. */
static uint32_t next_number(uint32_t highest) { return highest < JX_NUMBER_LIMIT ? highest + 1 : JX_NUMBER_LIMIT; }

static int take_numbers(struct jx_txn *txn)
{
    int err = jx_free_numbers(txn->fs, &txn->first_ino, &txn->end_ino);
    if (txn->options.fresh)
        txn->first_ino = JX_ROOT_INO;
    txn->next_ino = txn->first_ino;
    return err;
}

/* Of a live device: blocks that wait for the reboot, and then count as free. */
static uint32_t dead_blocks(const struct jx_fs *fs)
{
    struct jx_space space;
    jx_fs_space(fs, &space);
    return fs->flash->live ? space.dirty : 0;
}

int jx_txn_begin(jx_fs *fs, const struct jx_txn_options *options, jx_txn **out)
{
    int refused = admit(fs, options);
    if (refused)
        return refused;
    struct jx_txn *txn = calloc(1, sizeof(*txn));
    if (!txn)
        return JX_ENOMEM;
    uint32_t size = fs->flash->geo.erase_size_bytes;
    txn->fs = fs;
    txn->options = *options;
    txn->strategy = strategies[options->strategy];
    txn->tag = (struct jx_tag){.role = JX_TAG_STAGE, .strategy = (uint8_t)options->strategy, .txid = fs->status.txid + 1};
    memcpy(txn->tag.id, options->id, sizeof(txn->tag.id));
    txn->next_xid = next_number(fs->highest_xid);
    txn->next_xseqno = next_number(fs->highest_xseqno | 1u);
    txn->commit_block = JX_NONE;
    txn->chunk = malloc(JX_CHUNK_BYTES);
    txn->node = malloc(NODE_BYTES);
    txn->image = malloc(size);
    txn->check = malloc(size);
    int err = txn->chunk && txn->node && txn->image && txn->check ? take_numbers(txn) : JX_ENOMEM;
    if (!err)
        err = jx_pool_open(fs, &txn->pool);
    if (!err)
        err = jx_writer_open(&txn->writer, fs, &txn->pool, options->fresh ? NULL : &txn->tag, (int)options->dry_run, (int)options->summary);
    txn->stats.blocks_available = txn->pool.count;
    txn->stats.blocks_dead = dead_blocks(fs);
    txn->stats.reserve = options->reserve ? jx_reserve_blocks(&fs->flash->geo) : 0;
    if (err)
        jx_txn_free(txn);
    else
        *out = txn;
    return err;
}

void jx_txn_free(jx_txn *txn)
{
    if (!txn)
        return;
    jx_writer_close(&txn->writer);
    jx_pool_close(&txn->pool);
    jx_set_free(&txn->set);
    for (uint32_t i = 0; i < txn->xattr_count; i++)
        free(txn->xattrs[i].bytes);
    free(txn->xattrs);
    free(txn->pending);
    free(txn->versions);
    free(txn->chunk);
    free(txn->node);
    free(txn->image);
    free(txn->check);
    free(txn);
}

int jx_txn_abort(jx_txn *txn)
{
    int err = JX_OK;
    uint32_t taken = txn->pool.next;
    if (txn->phase == JX_PHASE_COMMITTED)
        return JX_ESTATE;
    txn->phase = JX_PHASE_BROKEN;
    if (txn->options.dry_run)
        return JX_OK;
    /* the commit block was taken last and goes first: its set must not outlive what it names */
    while (txn->pool.next > 0) {
        uint32_t at = --txn->pool.next, block = txn->pool.blocks[JX_MUTANT(abort_ascending) ? taken - 1 - at : at];
        int e = block == txn->commit_block ? jx_disarm_set(txn) : JX_OK;
        if (!e)
            e = jx_reclaim(txn->fs, block, txn->check);
        if (e < 0 && block == txn->commit_block && !JX_MUTANT(abort_goes_on))
            return e; /* it may yet be read as committed: what it names stays */
        err = err || e > 0 ? err : e;
    }
    return err;
}

/* ---- prepare and commit --------------------------------------------------------------------------- */

/* Blocks that hold so many bytes of nodes, none of them longer than a dirent where more than one is needed. */
static uint32_t blocks_for(const struct jx_txn *txn, uint32_t bytes)
{
    uint32_t room = txn->fs->flash->geo.erase_size_bytes - JX_TAG_BYTES;
    return bytes <= room ? bytes > 0 : jx_align(bytes, room - LONGEST_DIRENT) / (room - LONGEST_DIRENT);
}

/* What settle.c will write: the set once more where it cannot stay; on NOR the dirents that have to move (retire.c). */
static int count_settling(struct jx_txn *txn)
{
    struct jx_retiring r;
    int bits = jx_is_bit_writable(&txn->fs->flash->geo);
    txn->settle_blocks = txn->set.count && txn->strategy == &jx_seal;
    if (!txn->set.count || !bits || txn->fs->flash->live)
        return JX_OK;
    int mends = jx_unmended(txn->fs) != NULL;
    int err = jx_retiring_open(&r, txn->fs, !txn->options.no_marks || mends);
    for (uint32_t i = 0; i < txn->set.count && !err && !txn->options.no_marks; i++) {
        const struct jx_change *c = &txn->set.changes[i];
        if (c->entry.nodetype == JX_NODE_DIRENT)
            jx_retire_name(&r, c->entry.ino, c->name, c->entry.nsize);
    }
    if (!err) {
        if (!txn->options.no_marks || mends)
            jx_retire_merged(&r, mends);
        jx_retire_runs(&r);
        txn->settle_blocks = blocks_for(txn, r.bytes);
    }
    jx_retiring_close(&r);
    return err;
}

/* Free blocks that must stay. Garbage collection puts dirents next to each other, so more may have to move than the dry run
 * counted: for that the one block goes that is kept beyond the kernel's own reserve. */
static uint32_t kept_free(const struct jx_txn *txn)
{
    uint32_t reserve = txn->stats.reserve;
    int lends = reserve && txn->settle_blocks && !txn->options.dry_run && jx_is_bit_writable(&txn->fs->flash->geo);
    return reserve - (uint32_t)lends;
}

static void count(struct jx_txn *txn)
{
    struct jx_txn_stats *s = &txn->stats;
    s->staged_bytes = txn->writer.bytes;
    s->staged_blocks = txn->writer.sequence;
    s->commit_bytes = txn->set.bytes;
    s->commit_nodes = txn->set.count;
    s->commit_limit = jx_strategy_limit(txn->options.strategy, &txn->fs->flash->geo, txn->set.summary_bytes);
    s->blocks_needed = s->staged_blocks + (txn->set.count ? 1 : 0) + txn->settle_blocks;
}

static int take_commit_block(struct jx_txn *txn)
{
    struct jx_tag tag = txn->tag;
    jx_pool_leave_one_behind(&txn->pool);
    int err = jx_pool_take(txn->fs, &txn->pool, 0, &txn->commit_block);
    if (err)
        return err;
    memset(txn->image, 0xff, txn->fs->flash->geo.erase_size_bytes);
    tag.role = JX_TAG_COMMIT;
    tag.sequence = txn->writer.sequence;
    jx_tag_encode(txn->fs->endian, txn->image, &tag, txn->fs->flash->geo.size_bytes, txn->commit_block);
    return JX_OK;
}

/* The set must never be seen: NOR clears its nodes first; a block that cannot be erased is marked bad. */
static int neutralise(struct jx_txn *txn)
{
    if (JX_MUTANT(set_left))
        return JX_OK;
    int err = jx_disarm_set(txn);
    if (!err || jx_is_wear(err))
        err = jx_reclaim(txn->fs, txn->commit_block, txn->check);
    return err < 0 ? err : JX_OK;
}

/* What stays behind the commit block: blocks that wore out on the way must not have eaten the kernel's reserve. */
static int leaves_room(const struct jx_txn *txn)
{
    uint32_t left = txn->pool.count - txn->pool.next + txn->stats.blocks_dead;
    return left >= kept_free(txn) + txn->settle_blocks;
}

/* The set hidden in a fresh block; where that block wears out, in another one. */
static int place_set(struct jx_txn *txn)
{
    int err;
    do {
        err = take_commit_block(txn);
        if (!err && !leaves_room(txn))
            err = JX_ENOSPC;
        if (err)
            return err;
        err = txn->strategy->prepare(txn);
        if (jx_is_wear(err) && neutralise(txn) != JX_OK)
            return JX_EIO;
    } while (jx_is_wear(err));
    return err ? err : jx_flash_sync(txn->fs->flash);
}

int jx_txn_prepare(jx_txn *txn)
{
    int err = jx_must_stage(txn);
    if (err || txn->file.open || txn->pending_count)
        return JX_ESTATE;
    err = JX_MUTANT(commit_before_stage_ends) ? JX_OK : jx_writer_end_block(&txn->writer);
    if (!err)
        err = count_settling(txn);
    count(txn);
    if (err)
        return err;
    if (txn->stats.commit_bytes > txn->stats.commit_limit || (txn->strategy == &jx_swap && txn->set.count > 1))
        return JX_ETOOBIG;
    if (JX_MUTANT(room_unchecked))
        txn->stats.reserve = 0;
    if (txn->stats.blocks_needed > txn->stats.blocks_available ||
        txn->stats.blocks_needed + kept_free(txn) > txn->stats.blocks_available + txn->stats.blocks_dead)
        return JX_ENOSPC;
    txn->phase = JX_PHASE_PREPARED;
    if (txn->options.dry_run || !txn->set.count)
        return JX_OK;
    err = jx_set_guard(txn->fs->endian, &txn->set);
    if (!err)
        err = jx_flash_sync(txn->fs->flash);
    return err ? err : place_set(txn);
}

/* The blocks of a new image that stay free say so. */
static int mark_rest(struct jx_txn *txn)
{
    int err = JX_OK;
    while (txn->pool.next < txn->pool.count && !err)
        err = jx_erase_and_mark(txn->fs, txn->pool.blocks[txn->pool.next++], txn->check);
    return err ? err : jx_flash_sync(txn->fs->flash);
}

/* The operation, as often as the block under it wears out. What the chip says of it is not believed: a fresh scan tells
 * which tree stands. */
static int commit_set(struct jx_txn *txn)
{
    for (;;) {
        int stands = 0, reported = txn->strategy->commit(txn);
        if (reported == JX_ECUT || (reported && JX_MUTANT(chip_believed)))
            return reported;
        if (JX_MUTANT(commit_before_stage_ends))
            jx_writer_end_block(&txn->writer);
        int synced = jx_flash_sync(txn->fs->flash);
        int err = jx_settle_committed(txn, !synced, &stands); /* what may not last must not be settled */
        if (stands) {
            txn->outcome = JX_OUTCOME_NEW;
            return synced ? synced : err == JX_ECUT ? err : JX_OK; /* what could not be settled recover will meet again */
        }
        if (err != JX_EVERIFY)
            return err;
        txn->outcome = JX_OUTCOME_OLD;
        err = neutralise(txn);
        if (!err && (synced || (reported && !jx_is_wear(reported))))
            err = synced ? synced : reported;
        if (!err)
            err = place_set(txn);
        if (err)
            return err;
        txn->outcome = JX_OUTCOME_UNKNOWN;
    }
}

int jx_txn_commit(jx_txn *txn)
{
    if (txn->phase != JX_PHASE_PREPARED)
        return JX_ESTATE;
    if (txn->options.dry_run || !txn->set.count) {
        txn->phase = JX_PHASE_COMMITTED;
        return txn->options.fresh && !txn->options.dry_run ? mark_rest(txn) : JX_OK;
    }
    txn->outcome = JX_OUTCOME_UNKNOWN;
    int err = commit_set(txn);
    if (txn->outcome != JX_OUTCOME_NEW)
        return err;
    txn->phase = JX_PHASE_COMMITTED;
    int synced = jx_flash_sync(txn->fs->flash);
    return err ? err : synced;
}

int jx_txn_outcome(const jx_txn *txn) { return (int)txn->outcome; }

void jx_txn_statistics(const jx_txn *txn, struct jx_txn_stats *out) { *out = txn->stats; }
