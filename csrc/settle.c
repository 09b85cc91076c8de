/* settle.c: leaving the medium as the kernel itself would have, after a commit or after a cut. */
#include <stdlib.h>
#include <string.h>
#include "mutants.h"
#include "txn.h"

#define MAX_ROUNDS 16u /* each may free a deletion dirent that the one before still needed */

/* ---- NOR: marks on the medium ----------------------------------------------------- */

/* Clears the ACCURATE bit of the node at off; 1 where it was set. */
static int clear_accurate(struct jx_fs *fs, uint32_t off)
{
    uint8_t word[4], check[4];
    uint32_t at = fs->endian == JX_LITTLE ? 3 : 2; /* the nodetype's high byte */
    int err = jx_flash_read(fs->flash, off, word, sizeof(word));
    if (err || !(word[at] & (JX_ACCURATE >> 8)))
        return err;
    word[at] &= (uint8_t)~(JX_ACCURATE >> 8);
    err = jx_program_verified(fs->flash, off, word, sizeof(word), check);
    return err ? err : 1;
}

static int is_inner(const struct jx_node *n)
{
    return n->verdict == JX_V_HIDDEN && n->nodetype != JX_NODE_CONTAINER && n->nodetype != JX_NODE_TAG;
}

int jx_disarm(struct jx_fs *fs, uint32_t offset)
{
    const struct jx_block *block = &fs->blocks[offset / fs->flash->geo.erase_size_bytes];
    if (!jx_is_bit_writable(&fs->flash->geo))
        return JX_OK;
    for (uint32_t i = block->node_count; i-- > 0;) {
        const struct jx_node *n = &fs->nodes[block->first_node + i];
        int err = is_inner(n) ? clear_accurate(fs, n->offset) : JX_OK;
        if (err < 0)
            return err;
    }
    return JX_OK;
}

int jx_disarm_set(struct jx_txn *txn)
{
    jx_fs *fresh;
    struct jx_reader reader = {.endian = txn->fs->endian, .summary = 1, .empty_scan_bytes = txn->fs->reader.empty_scan_bytes};
    if (!jx_is_bit_writable(&txn->fs->flash->geo))
        return JX_OK;
    int err = jx_fs_open(txn->fs->flash, &reader, &fresh);
    if (err)
        return err;
    err = jx_disarm(fresh, txn->commit_block);
    jx_fs_close(fresh);
    return err;
}

/* A valid summary lists a dirent whatever its ACCURATE bit says, and a collector that meets the cleared bit takes the dirent
 * for gone and drops the deletion that still holds it down (gc.c, jffs2_garbage_collect_deletion_dirent). So a block whose
 * bits are cleared first loses the marker of its summary (scan.c then scans it in full). */
static int drop_summary(struct jx_fs *fs, uint32_t off)
{
    static const uint8_t zero[4];
    uint8_t check[4];
    struct jx_block *block = &fs->blocks[off / fs->flash->geo.erase_size_bytes];
    if (!block->summary || JX_MUTANT(summary_marker_kept))
        return JX_OK;
    uint32_t magic = block->offset + fs->flash->geo.erase_size_bytes - sizeof(zero);
    int err = jx_program_verified(fs->flash, magic, zero, sizeof(zero), check);
    block->summary = err != JX_OK;
    return err;
}

int jx_obliterate(struct jx_fs *fs, const struct jx_node *n)
{
    int done = drop_summary(fs, n->offset);
    return done ? done : clear_accurate(fs, n->offset);
}

/* first: where in fs->dirents the winner's name starts; versions ascend there. */
static int clear_older(struct jx_fs *fs, uint32_t first, const struct jx_node *winner, uint32_t *cleared)
{
    if (JX_MUTANT(newest_cleared_first) && fs->nodes[fs->dirents[first]].version < winner->version)
        clear_older(fs, first + 1, winner, cleared);
    for (uint32_t i = first; fs->nodes[fs->dirents[i]].version < winner->version; i++) {
        const struct jx_node *old = &fs->nodes[fs->dirents[i]];
        if (old->verdict == JX_V_BAD_HEADER)
            continue; /* a summary lists it, but what stands there is something else */
        int done = jx_obliterate(fs, old);
        if (done < 0 && !jx_is_wear(done) && done != JX_EHELD)
            return done; /* a worn word, or one in a held block, keeps its bit: the version still decides, for all who believe versions */
        *cleared += done > 0;
    }
    return JX_OK;
}

static int is_committed(const struct jx_fs *fs, const struct jx_node *n, uint32_t txid)
{
    const struct jx_block *block = &fs->blocks[n->offset / fs->flash->geo.erase_size_bytes];
    return n->verdict == JX_V_GOOD && block->tag == JX_TAG_COMMIT && block->txid == txid;
}

int jx_clear_superseded(struct jx_fs *fs, uint32_t txid, uint32_t *cleared)
{
    int err = JX_OK;
    if (!jx_is_bit_writable(&fs->flash->geo) || JX_MUTANT(superseded_kept))
        return JX_OK;
    for (uint32_t i = 0, end; i < fs->dirent_count && !err; i = end) { /* name by name */
        const struct jx_node *winner = NULL;
        for (end = i; end < fs->dirent_count && jx_dirent_key_cmp(fs, fs->dirents[i], fs->dirents[end]) == 0; end++)
            if (is_committed(fs, &fs->nodes[fs->dirents[end]], txid))
                winner = &fs->nodes[fs->dirents[end]];
        if (winner)
            err = clear_older(fs, i, winner, cleared);
    }
    return err;
}

/* ---- moving a commit set ------------------------------------------------------------- */

int jx_relocate(struct jx_fs *fs, const struct jx_block *block, uint32_t *moved)
{
    struct jx_pool pool;
    struct jx_writer w;
    uint64_t bytes = 0;
    struct jx_tag tag = {.role = JX_TAG_SETTLED, .strategy = (uint8_t)fs->status.strategy, .txid = block->txid};
    memcpy(tag.id, fs->status.id, sizeof(tag.id));
    int err = jx_pool_open(fs, &pool);
    if (err)
        return err;
    jx_pool_go_behind(&pool, block->offset);
    err = jx_writer_open(&w, fs, &pool, &tag, 0, 0);
    w.sequence = block->sequence + 1; /* the transaction's last block: the next one goes on behind it */
    if (!err)
        err = jx_copy_needed(fs, block, &w, moved, &bytes);
    if (!err && !JX_MUTANT(moved_unflushed))
        err = jx_writer_flush(&w);
    if (!err)
        err = jx_flash_sync(fs->flash);
    if (!err)
        err = jx_reclaim(fs, block->offset, w.check);
    if (err >= 0 && JX_MUTANT(moved_unflushed))
        err = jx_writer_flush(&w);
    jx_writer_close(&w);
    jx_pool_close(&pool);
    return err < 0 ? err : JX_OK;
}

/* The first one that shows its set and does not start at `but`. */
static const struct jx_block *commit_block_of(const struct jx_fs *fs, uint32_t but)
{
    for (uint32_t b = 0; b < fs->block_count; b++) {
        const struct jx_block *block = &fs->blocks[b];
        if (block->tag == JX_TAG_COMMIT && !block->worn && block->txid == fs->status.txid && block->offset != but &&
            jx_shows_content(fs, block))
            return block;
    }
    return NULL;
}

/* ---- where it stays ----------------------------------------------------------------------- */

int jx_holds_datum(const struct jx_fs *fs, const struct jx_block *block)
{
    for (uint32_t i = 0; i < block->node_count; i++) {
        const struct jx_node *n = &fs->nodes[block->first_node + i];
        if (n->nodetype == JX_NODE_XATTR && n->needed && n->verdict == JX_V_GOOD)
            return !JX_MUTANT(attribute_moved);
    }
    return 0;
}

/* Where there is no room for the tag: JX_OK, and nothing is written. image, check: an eraseblock's size each. */
static int write_settled_tag(struct jx_fs *fs, struct jx_tag tag, uint32_t block, uint32_t at, uint8_t *image, uint8_t *check)
{
    uint32_t size = fs->flash->geo.erase_size_bytes, len = jx_align(JX_TAG_BYTES, fs->flash->geo.write_size_bytes);
    if (at > size - len)
        return JX_OK;
    tag.role = JX_TAG_SETTLED;
    jx_tag_encode(fs->endian, image, &tag, fs->flash->geo.size_bytes, block + at);
    jx_fill_pages(fs, image, JX_TAG_BYTES);
    return jx_program_verified(fs->flash, block + at, image, len, check);
}

/* The block of a commit that lasts says that it is settled, behind what the kernel has written there since. */
static int settle_in_place(struct jx_fs *fs, const struct jx_block *block, uint32_t at)
{
    struct jx_tag tag = {.strategy = (uint8_t)fs->status.strategy, .txid = block->txid, .sequence = block->sequence};
    uint8_t *buf = malloc(2 * (size_t)fs->flash->geo.erase_size_bytes);
    if (!buf)
        return JX_ENOMEM;
    memcpy(tag.id, fs->status.id, sizeof(tag.id));
    int err = write_settled_tag(fs, tag, block->offset, at, buf, buf + fs->flash->geo.erase_size_bytes);
    free(buf);
    return err;
}

/* Where a tag can go behind all that stands in the block, or JX_NONE. */
static uint32_t place_for_tag(const struct jx_fs *fs, const struct jx_block *block)
{
    const struct jx_geometry *geo = &fs->flash->geo;
    uint32_t at = jx_align(jx_pad4(block->free_from), geo->write_size_bytes);
    return at + jx_align(JX_TAG_BYTES, geo->write_size_bytes) <= geo->erase_size_bytes ? at : JX_NONE;
}

/* ---- after the commit ------------------------------------------------------------------ */

/* Where it finds no room, recover will move the set and say it there. */
static int say_settled(struct jx_txn *txn, uint32_t at)
{
    return write_settled_tag(txn->fs, txn->tag, txn->commit_block, at, txn->image, txn->check);
}

/* What the commit superseded is what the running kernel of a live device reads. */
static int must_wait(const struct jx_fs *fs)
{
    return fs->flash->live && jx_is_bit_writable(&fs->flash->geo) && !JX_MUTANT(live_settles);
}

static int settle_on(struct jx_txn *txn, jx_fs *fresh)
{
    uint32_t settled_at = JX_NONE, count = 0;
    int err = txn->strategy->finish(txn, &settled_at);
    if (!err && must_wait(fresh))
        return JX_OK;
    if (JX_MUTANT(settled_early) && settled_at != JX_NONE)
        say_settled(txn, settled_at);
    if (!err)
        err = jx_clear_superseded(fresh, txn->tag.txid, &count);
    if (err)
        return err;
    if (settled_at == JX_NONE)
        return jx_relocate(fresh, commit_block_of(fresh, JX_NONE), &count);
    return say_settled(txn, settled_at);
}

int jx_settle_committed(struct jx_txn *txn, int *stands)
{
    jx_fs *fresh;
    struct jx_reader reader = {.endian = txn->fs->endian, .summary = 1, .empty_scan_bytes = txn->fs->reader.empty_scan_bytes};
    int err = jx_fs_open(txn->fs->flash, &reader, &fresh);
    if (err)
        return err;
    *stands = fresh->status.state == JX_TXN_COMMITTED && fresh->status.txid == txn->tag.txid;
    err = *stands ? settle_on(txn, fresh) : JX_EVERIFY;
    jx_fs_close(fresh);
    return err;
}

/* ---- recover ----------------------------------------------------------------------------- */

/* Erases every block in which nothing is needed; how many, or an error. Commit blocks go first: the bits of one that was
 * cut may read as committed the next time, and what its set names must still be there then. commits_only: and staged blocks
 * that ECC gave up, which the next transaction could no longer tell from those of a committed one (keep_lost_blocks). */
static int erase_dirty(struct jx_fs *fs, int commits_only)
{
    int erased = 0, err = JX_OK;
    uint8_t *buf = malloc(fs->flash->geo.erase_size_bytes);
    if (!buf)
        return JX_ENOMEM;
    for (int others = 0; others < 2; others++)
        for (uint32_t b = 0; b < fs->block_count && err >= 0; b++) {
            const struct jx_block *block = &fs->blocks[b];
            if (block->state != JX_B_DIRTY || (block->tag != JX_TAG_COMMIT) != (JX_MUTANT(commits_last) ? !others : others) || (others && commits_only && !block->unreadable_pages))
                continue;
            err = jx_reclaim(fs, block->offset, buf);
            erased += err > 0;
        }
    free(buf);
    return err < 0 ? err : erased;
}

/* Commit blocks of which all stands in the firm one; how many, or an error. Behind the set of another a kernel may have gone
 * on, if a cut left both. */
static int erase_others(struct jx_fs *fs, uint32_t firm)
{
    const struct jx_block *kept = &fs->blocks[firm / fs->flash->geo.erase_size_bytes];
    int erased = 0, err = JX_OK;
    uint8_t *buf = malloc(fs->flash->geo.erase_size_bytes);
    if (!buf)
        return JX_ENOMEM;
    for (uint32_t b = 0; b < fs->block_count && err >= 0; b++) {
        const struct jx_block *block = &fs->blocks[b];
        if (block->tag != JX_TAG_COMMIT || block == kept)
            continue;
        int twin = JX_MUTANT(other_commit_erased) ? 1 : jx_stands_in(fs, block, kept);
        err = twin > 0 ? jx_reclaim(fs, block->offset, buf) : twin;
        erased += err > 0;
    }
    free(buf);
    return err < 0 ? err : erased;
}

/* One step; the next one sees the medium anew. */
static int finish_committed(struct jx_fs *fs, uint32_t *firm, struct jx_recovery *out)
{
    const struct jx_block *block = commit_block_of(fs, JX_NONE);
    if (*firm == JX_NONE) {
        uint32_t at;
        int done = jx_firm_commit(fs, block, &at);
        *firm = done > 0 ? at : JX_NONE;
        return done < 0 ? done : JX_OK;
    }
    int err = erase_others(fs, *firm);
    out->blocks_erased += err > 0 ? (uint32_t)err : 0;
    if (!err)
        err = jx_clear_superseded(fs, fs->status.txid, &out->bits_cleared);
    else if (err > 0)
        return JX_OK;
    if (err)
        return err;
    const struct jx_block *other = commit_block_of(fs, *firm); /* while the firm one holds the set */
    block = other ? other : block;
    uint32_t at = jx_holds_datum(fs, block) ? place_for_tag(fs, block) : JX_NONE;
    if (at != JX_NONE)
        return settle_in_place(fs, block, at);
    err = jx_relocate(fs, block, &out->nodes_moved);
    out->blocks_erased += !err;
    return err;
}

/* Nothing of ours waits; what the kernel has left dead it erases itself. */
static int is_finished(const struct jx_fs *fs)
{
    int closed = fs->status.state == JX_TXN_NONE || fs->status.state == JX_TXN_SETTLED;
    return closed && !jx_has_stale_commit(fs);
}

int jx_is_pending(const struct jx_fs *fs)
{
    if (fs->status.state == JX_TXN_STAGED || fs->status.state == JX_TXN_COMMITTED)
        return 1;
    for (uint32_t b = 0; b < fs->block_count; b++)
        if (fs->blocks[b].tag && fs->blocks[b].state == JX_B_DIRTY)
            return 1;
    return 0;
}

int jx_tidy(jx_flash *flash, const struct jx_reader *reader, struct jx_recovery *out)
{
    struct jx_reader all = *reader;
    uint32_t firm = JX_NONE; /* where a commit stands that lasts */
    int err = JX_OK, work = 1;
    memset(out, 0, sizeof(*out));
    all.summary = 1; /* a sealed block is only seen this way, and must never be taken for a stale one */
    for (uint32_t round = 0; work && !err && round < (JX_MUTANT(one_round) ? 1 : MAX_ROUNDS); round++) {
        jx_fs *fs;
        err = jx_fs_open(flash, &all, &fs);
        if (err)
            return err;
        if (round == 0)
            out->state_before = fs->status.state;
        out->state = fs->status.state;
        err = jx_fs_may_write(fs);
        if (err || (flash->recovering == JX_RECOVER_ASKED && !JX_MUTANT(dead_erased))) {
            work = 0; /* recover, and nothing of ours waits */
        } else if (flash->live) {
            work = 0;
            err = is_finished(fs) ? JX_OK : JX_EBUSY;
        } else if (fs->status.state == JX_TXN_COMMITTED) {
            err = finish_committed(fs, &firm, out);
        } else {
            work = erase_dirty(fs, 0);
            err = work < 0 ? work : JX_OK;
            out->blocks_erased += work > 0 ? (uint32_t)work : 0;
        }
        jx_fs_close(fs);
    }
    if (!err && work && out->state == JX_TXN_COMMITTED)
        err = JX_EECC; /* it reads otherwise each time */
    return err ? err : jx_flash_sync(flash);
}

int jx_recover(jx_flash *flash, const struct jx_reader *reader, struct jx_recovery *out)
{
    memset(out, 0, sizeof(*out));
    int clear = jx_glance(flash, reader, &out->state);
    out->state_before = out->state;
    if (clear)
        return clear < 0 ? clear : JX_OK;
    flash->recovering = JX_RECOVER_ASKED;
    int err = jx_tidy(flash, reader, out);
    flash->recovering = JX_RECOVER_NO;
    return err;
}

int jx_has_stale_commit(const struct jx_fs *fs)
{
    for (uint32_t b = 0; b < fs->block_count; b++)
        if (fs->blocks[b].tag == JX_TAG_COMMIT && fs->blocks[b].state == JX_B_DIRTY)
            return 1;
    return 0;
}

int jx_drop_commits(jx_flash *flash, const struct jx_reader *reader, struct jx_recovery *out)
{
    jx_fs *fs;
    struct jx_reader all = *reader;
    memset(out, 0, sizeof(*out));
    all.summary = 1;
    int err = jx_fs_open(flash, &all, &fs);
    if (err)
        return err;
    out->state_before = out->state = fs->status.state;
    int erased;
    if (jx_fs_may_write(fs) != JX_OK)
        erased = JX_EFORMAT;
    else if (fs->status.state == JX_TXN_COMMITTED)
        erased = JX_EUNFINISHED;
    else if (flash->live)
        erased = jx_has_stale_commit(fs) ? JX_EBUSY : JX_OK;
    else
        erased = erase_dirty(fs, 1);
    out->blocks_erased = erased > 0 ? (uint32_t)erased : 0;
    jx_fs_close(fs);
    return erased < 0 ? erased : jx_flash_sync(flash);
}
