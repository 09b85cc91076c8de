/* collect.c: garbage collection: needed nodes leave the blocks that hold the fewest of them, unchanged, and those blocks
 * are erased. The tree is the same before, during and after: of two equal copies either will do. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "txn.h"
#include "writer.h"

#define KEEP_FREE 2u /* resv_blocks_deletion: even a cut in here leaves the kernel room to delete */

static struct jx_summary_entry entry_of(const struct jx_node *n)
{
    return (struct jx_summary_entry){.nodetype = n->nodetype, .ino = n->nodetype == JX_NODE_XATTR ? n->child : n->ino,
                                     .version = n->version, .totlen = n->totlen,
                                     .child = n->nodetype == JX_NODE_DIRENT ? n->child : 0, .nsize = n->nsize, .type = n->type};
}

/* Header and node CRC were good when it was scanned; ECC gave up since, or there already, and each read may differ. */
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
    case JX_NODE_XATTR:
        return jx_decode_xattr(endian, p, &x) == JX_GOOD && x.name_len == n->nsize && x.value_len == n->dsize &&
               jx_crc32(0, p + JX_XATTR_BYTES, x.name_len + 1u + x.value_len) == x.data_crc;
    case JX_NODE_XREF: return jx_decode_xref(endian, p, &ref) == JX_GOOD;
    default: return 0;
    }
}

/* As it stands on the medium. Where ECC gave up, its CRCs decide; JX_EECC where they do not hold. */
static int read_node(struct jx_fs *fs, const struct jx_node *n, uint8_t *buf)
{
    int err = jx_flash_read(fs->flash, n->offset, buf, n->totlen);
    return err == JX_EECC && is_whole(fs->endian, buf, n) ? JX_OK : err;
}

int jx_copy_needed(struct jx_fs *fs, const struct jx_block *block, struct jx_writer *w, uint32_t *moved, uint64_t *bytes)
{
    uint8_t *buf = malloc(fs->flash->geo.erase_size_bytes);
    int err = buf ? JX_OK : JX_ENOMEM;
    for (uint32_t i = 0; i < block->node_count && !err; i++) {
        const struct jx_node *n = &fs->nodes[block->first_node + i];
        if (!n->needed || n->nodetype == 0)
            continue;
        struct jx_summary_entry entry = entry_of(n);
        err = w->dry_run ? JX_OK : read_node(fs, n, buf);
        if (!err)
            err = jx_writer_node(w, buf, n->totlen, &entry, 0);
        *moved += !err;
        *bytes += jx_pad4(n->totlen);
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

/* Blocks in use, the cheapest to empty first. Unknown nodes that must be kept cannot be listed in a summary, what only a
 * summary makes count cannot stand elsewhere, nor can what a commit still hides be moved; where ECC gave up, more may lie
 * than can be seen. Such blocks stay. */
static int find_victims(struct jx_fs *fs, uint32_t **out, uint32_t *count)
{
    *count = 0;
    *out = malloc((size_t)fs->block_count * sizeof(**out));
    if (!*out)
        return JX_ENOMEM;
    for (uint32_t b = 0; b < fs->block_count; b++) {
        const struct jx_block *block = &fs->blocks[b];
        int movable = block->state == JX_B_USED && block->tag != JX_TAG_COMMIT && !block->unreadable_pages;
        for (uint32_t i = 0; i < block->node_count && movable; i++) {
            const struct jx_node *n = &fs->nodes[block->first_node + i];
            movable = !n->needed || (jx_is_content(n->nodetype) && n->verdict == JX_V_GOOD);
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

/* ---- one round ------------------------------------------------------------------------- */

struct round {
    struct jx_fs *fs;
    struct jx_pool pool;
    struct jx_writer writer;
    uint32_t *victims, victim_count;
    uint32_t taken; /* victims whose nodes are copied */
};

static int open_round(struct round *r, struct jx_fs *fs, int dry_run, int summary)
{
    memset(r, 0, sizeof(*r));
    r->fs = fs;
    int err = find_victims(fs, &r->victims, &r->victim_count);
    if (!err)
        err = jx_pool_open(fs, &r->pool);
    return err ? err : jx_writer_open(&r->writer, fs, &r->pool, NULL, dry_run, summary);
}

static void close_round(struct round *r)
{
    jx_writer_close(&r->writer);
    jx_pool_close(&r->pool);
    free(r->victims);
}

/* Copies victims until `want` blocks would be there, or (limit) new blocks are used up. */
static int copy_victims(struct round *r, uint32_t want, uint32_t limit, struct jx_collection *out)
{
    uint32_t start = available(r->fs), size = r->fs->flash->geo.erase_size_bytes;
    int err = JX_OK;
    while (!err && start + r->taken < want + r->writer.sequence && r->taken < r->victim_count) {
        const struct jx_block *block = &r->fs->blocks[r->victims[r->taken]];
        if (r->writer.sequence >= limit && (r->writer.block == JX_NONE || r->writer.fill + block->needed_bytes > size))
            break;
        err = jx_copy_needed(r->fs, block, &r->writer, &out->nodes_moved, &out->bytes_moved);
        r->taken += !err;
    }
    out->blocks_written += r->writer.sequence;
    out->blocks_available = start + r->taken - r->writer.sequence;
    return err ? err : jx_writer_flush(&r->writer);
}

int jx_collect_estimate(jx_fs *fs, uint32_t want, uint32_t summary, struct jx_collection *out)
{
    struct round r;
    memset(out, 0, sizeof(*out));
    int err = open_round(&r, fs, 1, (int)summary);
    if (!err)
        err = copy_victims(&r, want, JX_NONE, out);
    out->blocks_erased = r.taken;
    close_round(&r);
    if (err)
        return err;
    return out->blocks_available < want || available(fs) <= KEEP_FREE ? JX_ENOSPC : JX_OK;
}

static int erase_victims(struct round *r, struct jx_collection *out)
{
    int err = jx_flash_sync(r->fs->flash);
    for (uint32_t i = 0; i < r->taken && err >= 0; i++) {
        err = jx_reclaim(r->fs, r->fs->blocks[r->victims[i]].offset, r->writer.check);
        out->blocks_erased += err > 0;
    }
    return err < 0 ? err : JX_OK;
}

/* JX_OK and *done once there is enough; JX_ENOSPC where a round gains nothing. */
static int collect_round(jx_flash *flash, const struct jx_reader *reader, uint32_t want, uint32_t summary,
                         struct jx_collection *out, int *done)
{
    jx_fs *fs;
    struct round r;
    int err = jx_fs_open(flash, reader, &fs);
    if (err)
        return err;
    out->blocks_available = available(fs);
    *done = out->blocks_available >= want;
    if (!*done) {
        uint32_t before = out->blocks_available, limit = before > KEEP_FREE ? before - KEEP_FREE : 0;
        err = open_round(&r, fs, 0, (int)summary);
        if (!err)
            err = copy_victims(&r, want, limit, out);
        if (!err)
            err = erase_victims(&r, out);
        close_round(&r);
        if (!err && out->blocks_available <= before)
            err = JX_ENOSPC;
    }
    jx_fs_close(fs);
    return err;
}

int jx_collect(jx_flash *flash, const struct jx_reader *reader, uint32_t want, uint32_t summary, struct jx_collection *out)
{
    jx_fs *fs;
    int done = 0;
    int err = jx_fs_open(flash, reader, &fs);
    if (err)
        return err;
    if (fs->status.state == JX_TXN_COMMITTED)
        err = JX_ESTATE; /* recover first */
    if (!err && flash->live)
        err = JX_EBUSY;
    if (!err)
        err = jx_collect_estimate(fs, want, summary, out);
    jx_fs_close(fs);
    if (err)
        return err;
    memset(out, 0, sizeof(*out));
    while (!err && !done)
        err = collect_round(flash, reader, want, summary, out, &done);
    return err ? err : jx_flash_sync(flash);
}
