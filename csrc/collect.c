/* collect.c: garbage collection: needed nodes leave the blocks that hold the fewest of them, unchanged, and those blocks
 * are erased. The tree is the same before, during and after: of two equal copies either will do. But where a kernel removes a
 * name by the ACCURATE bit of its dirent alone (jffs2_do_unlink), a second one would bring the name back: there a dirent that was
 * copied loses its bit at once, and so do those that lost, lest one of them stands before one that is marked (retire.c). */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "mutants.h"
#include "txn.h"
#include "writer.h"

#define KEEP_FREE 2u /* resv_blocks_deletion: even a cut in here leaves the kernel room to delete */

static struct jx_summary_entry entry_of(const struct jx_node *n)
{
    return (struct jx_summary_entry){.nodetype = n->nodetype, .ino = n->nodetype == JX_NODE_XATTR ? n->child : n->ino,
                                     .version = n->version, .totlen = n->totlen,
                                     .child = n->nodetype == JX_NODE_DIRENT ? n->child : 0, .nsize = n->nsize, .type = n->type};
}

/* Header and node CRC were good when it was scanned; each read may differ since. */
static int is_whole(int endian, const uint8_t *p, const struct jx_node *n)
{
    struct jx_inode in;
    struct jx_dirent d;
    struct jx_xattr x;
    struct jx_xref ref;
    struct jx_header h;
    if (jx_decode_header(endian, p, &h) != JX_GOOD || h.totlen != n->totlen || h.nodetype != n->nodetype)
        return 0;
    switch (n->nodetype) {
    case JX_NODE_INODE:
        return jx_decode_inode(endian, p, &in) == JX_GOOD && in.csize == n->csize &&
               jx_crc32(0, p + JX_INODE_BYTES, in.csize) == in.data_crc;
    case JX_NODE_DIRENT:
        return jx_decode_dirent(endian, p, &d) == JX_GOOD && d.nsize == n->nsize &&
               jx_crc32(0, p + JX_DIRENT_BYTES, d.nsize) == d.name_crc;
    case JX_NODE_XATTR: /* of a set; none of ours has one */
        return jx_decode_xattr(endian, p, &x) == JX_GOOD && x.name_len == n->nsize && x.value_len == n->dsize &&
               jx_crc32(0, p + JX_XATTR_BYTES, x.name_len + 1u + x.value_len) == x.data_crc;
    case JX_NODE_XREF: return jx_decode_xref(endian, p, &ref) == JX_GOOD;
    default: return 0;
    }
}

#define READ_TRIES 8u /* of a page that a cut left between two states */

/* As it was when it was scanned, by all its CRCs. JX_EECC, JX_ECORRUPT where it does not read so any more. */
static int read_node(struct jx_fs *fs, const struct jx_node *n, uint8_t *buf)
{
    int err = JX_OK;
    for (uint32_t i = 0; i < READ_TRIES; i++) {
        err = jx_flash_read(fs->flash, n->offset, buf, n->totlen);
        if (err && err != JX_EECC)
            return err;
        if (is_whole(fs->endian, buf, n))
            return JX_OK;
    }
    return err ? err : JX_ECORRUPT;
}

/* A dirent of a block that is being emptied, once its copy was read back if it is needed; the first one goes first (retire.c).
 * A worn word keeps its bit. */
static int leave_none(struct jx_fs *fs, const struct jx_node *n)
{
    int is_name = jx_is_named(n) && n->child && (n->needed || n->verdict == JX_V_GOOD);
    if (!is_name || !jx_is_bit_writable(&fs->flash->geo) || fs->reader.no_marks || JX_MUTANT(twin_name_left))
        return JX_OK;
    int done = jx_obliterate(fs, n);
    return done > 0 || jx_is_wear(done) ? JX_OK : done;
}

int jx_copy_node(struct jx_fs *fs, const struct jx_node *n, struct jx_writer *w, uint8_t *buf)
{
    struct jx_summary_entry entry = entry_of(n);
    int err = w->dry_run ? JX_OK : read_node(fs, n, buf);
    return err ? err : jx_writer_node(w, buf, n->totlen, &entry, 0);
}

int jx_copy_needed(struct jx_fs *fs, const struct jx_block *block, struct jx_writer *w, uint32_t *moved, uint64_t *bytes)
{
    uint8_t *buf = malloc(fs->flash->geo.erase_size_bytes);
    int err = buf ? JX_OK : JX_ENOMEM;
    for (uint32_t i = 0; i < block->node_count && !err; i++) {
        const struct jx_node *n = &fs->nodes[block->first_node + i];
        if (n->nodetype == 0)
            continue;
        if (n->needed) {
            err = jx_copy_node(fs, n, w, buf);
            *moved += !err;
            *bytes += jx_pad4(n->totlen);
        }
        if (!err && !w->dry_run)
            err = leave_none(fs, n);
    }
    free(buf);
    return err;
}

/* ---- victims ------------------------------------------------------------------------- */

static int by_needed_bytes(const void *ctx, uint32_t a, uint32_t b)
{
    const struct jx_block *x = &((const struct jx_fs *)ctx)->blocks[a], *y = &((const struct jx_fs *)ctx)->blocks[b];
    if (x->needed_bytes != y->needed_bytes)
        return x->needed_bytes < y->needed_bytes ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Stands elsewhere as it stands here. Unknown nodes that must be kept cannot be listed in a summary, and what only a summary
 * makes count is nothing without it. For an attribute's datum see jx_holds_datum. */
static int may_move(const struct jx_node *n)
{
    return jx_is_content(n->nodetype) && n->verdict == JX_V_GOOD &&
           (n->nodetype != JX_NODE_XATTR || JX_MUTANT(attribute_moved));
}

/* Blocks in use, the cheapest to empty first. What a commit still hides cannot be moved; where ECC gave up, more may lie
 * than can be seen. Such blocks stay. */
static int find_victims(struct jx_fs *fs, uint32_t **out, uint32_t *count)
{
    *count = 0;
    *out = malloc((size_t)fs->block_count * sizeof(**out));
    if (!*out)
        return JX_ENOMEM;
    for (uint32_t b = 0; b < fs->block_count; b++) {
        const struct jx_block *block = &fs->blocks[b];
        int movable = block->state == JX_B_USED && block->tag != JX_TAG_COMMIT && !block->unreadable_pages && !block->worn &&
                      !block->held;
        for (uint32_t i = 0; i < block->node_count && movable; i++) {
            const struct jx_node *n = &fs->nodes[block->first_node + i];
            movable = !n->needed || may_move(n);
        }
        if (movable)
            (*out)[(*count)++] = b;
    }
    return jx_sort(*out, *count, by_needed_bytes, fs);
}

static uint32_t available(const struct jx_fs *fs)
{
    struct jx_space space;
    jx_fs_space(fs, &space);
    return space.free + space.dirty;
}

/* ---- a run ------------------------------------------------------------------------------ */

struct run {
    struct jx_fs *fs;
    struct jx_pool pool;
    struct jx_writer writer;
    uint32_t *victims, victim_count;
};

static int open_run(struct run *r, struct jx_fs *fs, int dry_run, uint32_t summary)
{
    memset(r, 0, sizeof(*r));
    r->fs = fs;
    int err = find_victims(fs, &r->victims, &r->victim_count);
    if (!err)
        err = jx_pool_open(fs, &r->pool);
    return err ? err : jx_writer_open(&r->writer, fs, &r->pool, NULL, dry_run, (int)summary);
}

static void close_run(struct run *r)
{
    jx_writer_close(&r->writer);
    jx_pool_close(&r->pool);
    free(r->victims);
}

/* All of a victim is on the medium a second time. */
static int copy_victim(struct run *r, uint32_t number, struct jx_collection *out)
{
    const struct jx_block *block = &r->fs->blocks[r->victims[number]];
    int err = jx_copy_needed(r->fs, block, &r->writer, &out->nodes_moved, &out->bytes_moved);
    return err || JX_MUTANT(collect_unflushed) ? err : jx_writer_flush(&r->writer);
}

/* ... so it is erased, and may be written to when all that were free before are used. */
static int free_victim(struct run *r, uint32_t number, struct jx_collection *out)
{
    struct jx_block *block = &r->fs->blocks[r->victims[number]];
    int erased = jx_flash_sync(r->fs->flash);
    if (!erased)
        erased = jx_reclaim(r->fs, block->offset, r->writer.check);
    if (erased <= 0)
        return erased;
    block->state = JX_B_FREE;
    block->cleanmarker = 1;
    block->node_count = 0;
    r->pool.blocks[r->pool.count++] = block->offset;
    out->blocks_erased++;
    return JX_OK;
}

static uint32_t shortfall(uint32_t wanted, uint32_t there) { return wanted > there ? wanted - there : 0; }

/* The fewest victims that are enough, or with which the least is missing. Each costs the blocks that its copies fill and
 * gains one; in between KEEP_FREE blocks stay. */
static int plan_run(struct run *r, uint32_t want, struct jx_collection *out)
{
    uint32_t start = available(r->fs), most_used = 0;
    struct jx_collection done = {0};
    int err = JX_OK;
    *out = (struct jx_collection){.blocks_available = start, .blocks_missing = shortfall(want, start)};
    for (uint32_t i = 0; i < r->victim_count && out->blocks_missing && !err; i++) {
        err = copy_victim(r, i, &done);
        done.blocks_written = r->writer.sequence;
        if (done.blocks_written > i + most_used) /* i victims were erased before */
            most_used = done.blocks_written - i;
        done.blocks_erased = i + 1;
        done.blocks_available = start + done.blocks_erased - done.blocks_written;
        uint32_t room = shortfall((JX_MUTANT(collect_to_the_last) ? 0 : KEEP_FREE) + most_used, start);
        done.blocks_missing = shortfall(want, done.blocks_available);
        if (done.blocks_missing < room)
            done.blocks_missing = room;
        if (done.blocks_missing < out->blocks_missing)
            *out = done;
    }
    return err;
}

int jx_collect_estimate(jx_fs *fs, uint32_t want, uint32_t summary, struct jx_collection *out)
{
    struct run r;
    memset(out, 0, sizeof(*out));
    int err = open_run(&r, fs, 1, summary);
    if (!err)
        err = plan_run(&r, want, out);
    close_run(&r);
    return !err && out->blocks_missing ? JX_ENOSPC : err;
}

/* Empties as many victims as were planned. */
static int carry_out(jx_fs *fs, uint32_t summary, uint32_t victims, struct jx_collection *out)
{
    struct run r;
    int err = open_run(&r, fs, 0, summary);
    for (uint32_t i = 0; i < victims && !err; i++) {
        err = copy_victim(&r, i, out);
        if (!err)
            err = free_victim(&r, i, out);
    }
    out->blocks_written += r.writer.sequence;
    close_run(&r);
    return err;
}

/* One run from a fresh scan; *planned says how it was to end. */
static int collect_once(jx_flash *flash, const struct jx_reader *reader, uint32_t want, uint32_t summary,
                        struct jx_collection *planned, struct jx_collection *out)
{
    jx_fs *fs;
    int err = jx_fs_open(flash, reader, &fs);
    if (err)
        return err;
    err = jx_fs_may_write(fs);
    if (!err && fs->status.state == JX_TXN_COMMITTED)
        err = JX_EUNFINISHED;
    if (!err && flash->live)
        err = JX_EBUSY;
    if (!err)
        err = jx_collect_estimate(fs, want, summary, planned);
    out->blocks_available = available(fs);
    if (!err && planned->blocks_erased)
        err = carry_out(fs, summary, planned->blocks_erased, out);
    jx_fs_close(fs);
    return err;
}

int jx_collect(jx_flash *flash, const struct jx_reader *reader, uint32_t want, uint32_t summary, struct jx_collection *out)
{
    struct jx_collection planned = {0};
    memset(out, 0, sizeof(*out));
    for (uint32_t before = 0;; before = out->blocks_available) { /* again only where blocks wore out in a run */
        int err = collect_once(flash, reader, want, summary, &planned, out);
        if (err) {
            out->blocks_missing = planned.blocks_missing;
            return err;
        }
        if (!planned.blocks_erased)
            return jx_flash_sync(flash);
        if (out->blocks_available <= before)
            return JX_ENOSPC;
    }
}
