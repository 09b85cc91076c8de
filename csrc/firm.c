/* firm.c: a commit that was cut may read well now and badly later, and whoever moves its set node by node would then leave
 * half of it. So before anything is built on it, it is made to last: as one operation, like the commit itself. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "mutants.h"
#include "txn.h"

/* A block as one read gave it, and what that read shows. */
struct reading {
    struct jx_fs *fs;
    struct jx_block block;
    uint8_t *buf, *check;
};

#define READ_TRIES 8u

/* All of the set is there; of what ECC gave up the CRCs tell. */
static int is_whole(const struct reading *r)
{
    for (uint32_t i = 0; i < r->fs->node_count; i++)
        if (r->fs->nodes[i].by_summary && r->fs->nodes[i].verdict != JX_V_GOOD)
            return 0;
    return r->block.tag == JX_TAG_COMMIT && jx_shows_content(r->fs, &r->block);
}

/* Whether the commit stands in what is read of the block. One that came and went may come again. */
static int read_commit(struct reading *r, uint32_t offset)
{
    for (uint32_t i = 0; i < READ_TRIES; i++) {
        r->fs->node_count = r->fs->names_len = 0;
        r->block = (struct jx_block){.offset = offset};
        int err = jx_scan_block(r->fs, &r->block, r->buf);
        if (err)
            return err;
        if (is_whole(r))
            return 1;
    }
    return 0;
}

static uint32_t end_of_set(const struct reading *r)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < r->fs->node_count; i++)
        if (jx_is_content(r->fs->nodes[i].nodetype))
            end = r->fs->nodes[i].offset + r->fs->nodes[i].totlen - r->block.offset;
    return end;
}

static uint32_t flip_headers(const struct reading *r) { return JX_FLIP_HEADERS(r->block.tag_format); }

/* A tag may say anything: where flip has its headers there are none if a node stands there. */
static int is_flipped(const struct reading *r, uint32_t strategy)
{
    for (uint32_t i = 0; i < r->fs->node_count && strategy == JX_FLIP; i++) {
        const struct jx_node *n = &r->fs->nodes[i];
        uint32_t at = n->offset - r->block.offset;
        if (n->verdict == JX_V_GOOD && at < flip_headers(r) + 2 * JX_HEADER_BYTES && at + n->totlen > flip_headers(r))
            return 0;
    }
    return strategy == JX_FLIP;
}

/* ... and before what lift has shown nothing stands but the header that showed it. */
static int is_lifted(const struct reading *r, uint32_t strategy)
{
    return strategy == JX_LIFT && jx_lift.suits(&r->fs->flash->geo) == JX_OK &&
           jx_is_erased(r->buf + JX_HEADER_BYTES, JX_LIFT_BYTES - JX_HEADER_BYTES);
}

/* Bits that were half programmed, once more. Of flip's headers first the magic goes alone, as in its commit: only then do
 * all readers agree while the rest is under way. A fresh scan will tell. In a block that has worn out they stay as they
 * are. */
static int program_again(struct reading *r, uint32_t strategy)
{
    static const uint8_t no_magic[JX_MAGIC_BYTES];
    int err = JX_OK;
    if (is_flipped(r, strategy)) {
        uint32_t inner = flip_headers(r) + JX_HEADER_BYTES;
        if (!JX_MUTANT(flip_again_at_once))
            err = jx_flash_prog(r->fs->flash, r->block.offset + inner, no_magic, sizeof(no_magic));
        memset(r->buf + flip_headers(r), 0, 2 * JX_HEADER_BYTES);
    }
    if (!err)
        err = jx_flash_prog(r->fs->flash, r->block.offset, r->buf, end_of_set(r));
    return jx_is_wear(err) ? JX_OK : err;
}

/* ... and what a summary shows goes with it. */
static int is_sealed(const struct reading *r, uint32_t strategy)
{
    int sealed = strategy == JX_SEAL;
    for (uint32_t i = 0; i < r->fs->node_count; i++)
        sealed |= r->fs->nodes[i].by_summary;
    return sealed;
}

/* The pages of the block in the order of prepare and commit, those that are erased left out. */
static int program_pages(struct reading *r, uint32_t strategy, uint32_t to)
{
    const struct jx_geometry *geo = &r->fs->flash->geo;
    uint32_t page = geo->write_size_bytes, end = is_sealed(r, strategy) ? geo->erase_size_bytes : end_of_set(r), at = 0;
    int err = JX_OK;
    jx_tag_move(r->fs->endian, r->buf, to);
    if (is_lifted(r, strategy)) {
        jx_tag_move(r->fs->endian, r->buf + JX_LIFT_BYTES, to + JX_LIFT_BYTES);
        jx_encode_header(r->fs->endian, r->buf, JX_NODE_PADDING, JX_LIFT_BYTES);
        memset(r->buf + JX_HEADER_BYTES, 0xff, JX_LIFT_BYTES - JX_HEADER_BYTES);
        at = page;
        err = jx_program_verified(r->fs->flash, to + JX_LIFT_BYTES, r->buf + JX_LIFT_BYTES, page - JX_LIFT_BYTES, r->check);
        if (!err)
            err = jx_program_verified(r->fs->flash, to, r->buf, geo->subpage_size_bytes, r->check);
    }
    for (; at < end && !err; at += page)
        if (!jx_is_erased(r->buf + at, page))
            err = jx_program_verified(r->fs->flash, to + at, r->buf + at, page, r->check);
    return err;
}

/* The block once more, in a fresh one; where that wears out, in another. */
static int commit_again(struct jx_fs *fs, struct reading *r, uint32_t strategy, uint32_t *to)
{
    struct jx_pool pool;
    int err = jx_pool_open(fs, &pool);
    while (!err) {
        err = jx_pool_take(fs, &pool, 0, to);
        if (err)
            break;
        err = program_pages(r, strategy, *to);
        if (!err || !jx_is_wear(err))
            break;
        err = jx_reclaim(fs, *to, r->check);
        err = err < 0 ? err : JX_OK;
    }
    jx_pool_close(&pool);
    return err;
}

int jx_firm_commit(struct jx_fs *fs, const struct jx_block *block, uint32_t *firm)
{
    struct reading r = {.buf = malloc(fs->flash->geo.erase_size_bytes), .check = malloc(fs->flash->geo.erase_size_bytes)};
    struct jx_reader reader = fs->reader;
    reader.endian = fs->endian;
    int stands = r.buf && r.check ? jx_fs_new(fs->flash, &reader, &r.fs) : JX_ENOMEM, err = JX_OK;
    *firm = block->offset;
    if (!stands)
        stands = read_commit(&r, block->offset);
    if (stands > 0 && !jx_is_bit_writable(&fs->flash->geo) && jx_holds_datum(fs, block))
        err = JX_OK; /* a kernel has believed it and gone on behind it; and no datum is copied */
    else if (stands > 0)
        err = jx_is_bit_writable(&fs->flash->geo) ? program_again(&r, fs->status.strategy)
                                                  : commit_again(fs, &r, fs->status.strategy, firm);
    jx_fs_close(r.fs);
    free(r.buf);
    free(r.check);
    return err ? err : stands;
}
