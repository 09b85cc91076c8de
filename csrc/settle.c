/* settle.c: leaving the medium as the kernel itself would have, after a commit or after a cut. */
#include <stdlib.h>
#include <string.h>
#include "guard.h"
#include "mutants.h"
#include "txn.h"

#define MAX_ROUNDS 16u /* each may free a deletion dirent that the one before still needed */

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

/* ---- what goes and what moves (retire.c) -------------------------------------------------- */

const struct jx_block *jx_unmended(const struct jx_fs *fs)
{
    const struct jx_block *found = NULL;
    uint32_t mended = 0; /* the last transaction that this version has settled; what is under way is not yet */
    for (uint32_t b = 0; b < fs->block_count && jx_is_bit_writable(&fs->flash->geo); b++) {
        const struct jx_block *block = &fs->blocks[b];
        int closed = block->tag == JX_TAG_SETTLED, open = fs->status.state == JX_TXN_COMMITTED && block->txid == fs->status.txid;
        if (block->tag_format == 1 && (closed || block->tag == JX_TAG_COMMIT) && !block->worn && (!found || block->txid >= found->txid))
            found = block;
        if (block->tag_format != 1 && closed && !open && block->txid > mended)
            mended = block->txid;
    }
    return found && found->txid >= mended ? found : NULL;
}

struct move {
    struct jx_retiring r;
    struct jx_pool pool;
    struct jx_writer w;
    struct jx_tag tag;
};

/* set: the block of a commit set that moves, to a block that says SETTLED. NULL: none does, and what is written looks as
 * garbage collection leaves it. */
static int open_move(struct move *m, struct jx_fs *fs, const struct jx_block *set)
{
    memset(m, 0, sizeof(*m));
    int err = jx_retiring_open(&m->r, fs, !fs->reader.no_marks || jx_unmended(fs));
    if (!err)
        err = jx_pool_open(fs, &m->pool);
    if (err)
        return err;
    if (set) {
        m->tag = (struct jx_tag){.role = JX_TAG_SETTLED, .strategy = (uint8_t)fs->status.strategy, .txid = set->txid};
        memcpy(m->tag.id, fs->status.id, sizeof(m->tag.id));
        jx_pool_go_behind(&m->pool, set->offset);
    }
    err = jx_writer_open(&m->w, fs, &m->pool, set ? &m->tag : NULL, 0, 0);
    m->w.sequence = set ? set->sequence + 1 : 0; /* the transaction's last block: the next one goes on behind it */
    return err;
}

static void close_move(struct move *m)
{
    jx_writer_close(&m->w);
    jx_pool_close(&m->pool);
    jx_retiring_close(&m->r);
}

static int flush_move(struct move *m)
{
    int err = jx_writer_flush(&m->w);
    return err ? err : jx_flash_sync(m->r.fs->flash);
}

/* What commit sets superseded, and what has dirty space right after it: all of it once an older version was here, else what
 * no kernel leaves so in its daily work. */
static int choose_retired(struct jx_retiring *r)
{
    int mends = jx_unmended(r->fs) != NULL, err = JX_OK;
    if (!r->fs->reader.no_marks)
        err = jx_retire_superseded(r);
    if (!r->fs->reader.no_marks || mends)
        jx_retire_merged(r, mends);
    return err;
}

/* The needed nodes of a commit block, unchanged, to a block that says SETTLED; then the commit block is erased. */
static int move_set(struct move *m, const struct jx_block *set, struct jx_recovery *out)
{
    uint64_t bytes = 0;
    int err = jx_copy_needed(m->r.fs, set, &m->w, &out->nodes_moved, &bytes);
    if (!err && !JX_MUTANT(moved_unflushed))
        err = flush_move(m);
    if (!err)
        err = jx_reclaim(m->r.fs, set->offset, m->w.check);
    if (err >= 0 && JX_MUTANT(moved_unflushed))
        err = flush_move(m);
    out->blocks_erased += err >= 0;
    return err < 0 ? err : JX_OK;
}

/* Once nothing that the set superseded can come back, it stands where nothing depends on the trick. */
static int settle(struct jx_fs *fs, const struct jx_block *set, struct jx_recovery *out)
{
    struct move m;
    uint32_t at = jx_holds_datum(fs, set) ? place_for_tag(fs, set) : JX_NONE;
    int err = open_move(&m, fs, at == JX_NONE ? set : NULL);
    if (!err)
        err = jx_guard_end(fs);
    if (!err)
        err = choose_retired(&m.r);
    if (!err) {
        if (at == JX_NONE)
            jx_retire_block(&m.r, set);
        else
            jx_retire_last(&m.r, set);
        jx_retire_runs(&m.r);
        err = jx_retire(&m.r, &m.w, out);
    }
    if (!err)
        err = at == JX_NONE ? move_set(&m, set, out) : flush_move(&m);
    if (!err && at != JX_NONE)
        err = settle_in_place(fs, set, at);
    close_move(&m);
    return err;
}

/* The same while commit sets stay where they are. */
static int retire(struct jx_fs *fs, struct jx_recovery *out)
{
    struct move m;
    int err = open_move(&m, fs, NULL);
    if (!err)
        err = jx_guard_end(fs);
    if (!err)
        err = choose_retired(&m.r);
    if (!err) {
        jx_retire_runs(&m.r);
        err = jx_retire(&m.r, &m.w, out);
    }
    if (!err)
        err = flush_move(&m);
    close_move(&m);
    return err;
}

/* Of a commit set that a kernel has marked all over, since it wrote newer names, nothing is in view: what those names were
 * before it goes all the same. How many nodes moved or were marked, or an error. */
static int retire_stale(struct jx_fs *fs, struct jx_recovery *out)
{
    uint32_t before = out->nodes_moved + out->bits_cleared;
    int err = jx_has_stale_commit(fs) ? retire(fs, out) : JX_OK;
    return err ? err : (int)(out->nodes_moved + out->bits_cleared - before);
}

/* ---- after the commit ------------------------------------------------------------------ */

void jx_cover_settled(struct jx_txn *txn, uint32_t at)
{
    struct jx_tag tag = txn->tag;
    tag.role = JX_TAG_SETTLED;
    jx_encode_header(txn->fs->endian, txn->image + at, JX_NODE_CONTAINER, JX_COVERED_TAG_BYTES);
    jx_tag_encode(txn->fs->endian, txn->image + at + JX_HEADER_BYTES, &tag, txn->fs->flash->geo.size_bytes,
                  txn->commit_block + at + JX_HEADER_BYTES);
}

/* Where it finds no room, recover will move the set and say it there. */
static int say_settled(struct jx_txn *txn, uint32_t at)
{
    static const uint8_t zero[JX_HEADER_BYTES];
    if (jx_is_bit_writable(&txn->fs->flash->geo))
        return jx_program_verified(txn->fs->flash, txn->commit_block + at, zero, sizeof(zero), txn->check);
    return write_settled_tag(txn->fs, txn->tag, txn->commit_block, at, txn->image, txn->check);
}

/* What the commit superseded is what the running kernel of a live device reads. */
static int must_wait(const struct jx_fs *fs)
{
    return fs->flash->live && jx_is_bit_writable(&fs->flash->geo) && !JX_MUTANT(live_settles);
}

static int settle_on(struct jx_txn *txn, jx_fs *fresh)
{
    struct jx_recovery done = {0};
    uint32_t settled_at = JX_NONE;
    int err = txn->strategy->finish(txn, &settled_at);
    if (err || must_wait(fresh))
        return err;
    if (settled_at == JX_NONE)
        return settle(fresh, commit_block_of(fresh, JX_NONE), &done);
    if (JX_MUTANT(settled_early))
        say_settled(txn, settled_at);
    err = retire(fresh, &done);
    return err ? err : say_settled(txn, settled_at);
}

int jx_settle_committed(struct jx_txn *txn, int settle, int *stands)
{
    jx_fs *fresh;
    struct jx_reader reader = {.endian = txn->fs->endian, .summary = 1, .empty_scan_bytes = txn->fs->reader.empty_scan_bytes,
                               .no_marks = txn->options.no_marks};
    int err = jx_fs_open(txn->fs->flash, &reader, &fresh);
    if (err)
        return err;
    *stands = fresh->status.state == JX_TXN_COMMITTED && fresh->status.txid == txn->tag.txid;
    err = !*stands ? JX_EVERIFY : settle ? settle_on(txn, fresh) : JX_OK;
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
    if (err)
        return err < 0 ? err : JX_OK;
    const struct jx_block *other = commit_block_of(fs, *firm); /* while the firm one holds the set */
    return settle(fs, other ? other : block, out);
}

/* Nothing of ours waits; what the kernel has left dead it erases itself. */
static int is_finished(const struct jx_fs *fs)
{
    int closed = fs->status.state == JX_TXN_NONE || fs->status.state == JX_TXN_SETTLED;
    return closed && !jx_has_stale_commit(fs);
}

/* What versions before this one left: no room for it is no reason to fail, since nothing waits. */
static int mend(struct jx_fs *fs, struct jx_recovery *out)
{
    int err = settle(fs, jx_unmended(fs), out);
    return err == JX_ENOSPC ? JX_OK : err;
}

/* One step, as above: 1 where the next one may find more. What moved stands in a block that was dirty or free. */
static int clear_dead(struct jx_fs *fs, struct jx_recovery *out)
{
    int done = retire_stale(fs, out);
    if (done)
        return done;
    done = erase_dirty(fs, 0);
    out->blocks_erased += done > 0 ? (uint32_t)done : 0;
    return done;
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
    int err = JX_OK, work = 1, mended = 0;
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
        const struct jx_block *unmended = mended ? NULL : jx_unmended(fs);
        unmended = unmended && unmended->tag == JX_TAG_SETTLED ? unmended : NULL;
        err = jx_fs_may_write(fs);
        if (err || (flash->recovering == JX_RECOVER_ASKED && !unmended && !JX_MUTANT(dead_erased))) {
            work = 0; /* recover, and nothing of ours waits */
        } else if (flash->live) {
            work = 0;
            err = is_finished(fs) ? JX_OK : JX_EBUSY;
        } else if (fs->status.state == JX_TXN_COMMITTED) {
            err = finish_committed(fs, &firm, out);
        } else if (unmended) {
            mended = 1;
            err = mend(fs, out);
        } else {
            work = clear_dead(fs, out);
            err = work < 0 ? work : JX_OK;
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

static int drop_commits(struct jx_fs *fs, struct jx_recovery *out)
{
    if (jx_fs_may_write(fs) != JX_OK)
        return JX_EFORMAT;
    if (fs->status.state == JX_TXN_COMMITTED)
        return JX_EUNFINISHED;
    if (fs->flash->live)
        return jx_has_stale_commit(fs) ? JX_EBUSY : JX_OK;
    int done = retire_stale(fs, out);
    if (done)
        return done;
    done = erase_dirty(fs, 1);
    out->blocks_erased = done > 0 ? (uint32_t)done : 0;
    return done < 0 ? done : 0;
}

int jx_drop_commits(jx_flash *flash, const struct jx_reader *reader, struct jx_recovery *out)
{
    struct jx_reader all = *reader;
    int more;
    memset(out, 0, sizeof(*out));
    all.summary = 1;
    do {
        jx_fs *fs;
        int err = jx_fs_open(flash, &all, &fs);
        if (err)
            return err;
        out->state_before = out->state = fs->status.state;
        more = drop_commits(fs, out);
        jx_fs_close(fs);
    } while (more > 0);
    return more < 0 ? more : jx_flash_sync(flash);
}
