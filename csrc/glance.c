/* glance.c: whether a transaction waits to be finished or cleared, told by how each eraseblock starts. A block of ours starts
 * with its tag (one by lift behind 1,024 bytes that are erased or padding), so where all blocks start as a kernel starts
 * them, nothing of ours is there. Whatever starts in a way not known here is left to the full scan. */
#include <stdlib.h>
#include "codec.h"
#include "mutants.h"
#include "txn.h"

struct glance {
    jx_fs *fs;          /* never indexed: takes the nodes of blocks that had to be read whole */
    uint8_t *buf;       /* an eraseblock */
    int order_known;
    uint32_t head;      /* bytes looked at where a block starts */
    uint32_t last, settled; /* highest txid of any tag, and of a SETTLED one; 0: none */
    uint32_t mended, unmended; /* of a SETTLED tag of this version, of an earlier one (jx_unmended) */
};

/* Up to where a block by lift shows what it is: the bytes before its tag; 0 where lift does not suit the medium. */
static uint32_t lifted_bytes(const struct jx_geometry *geo) { return jx_lift.suits(geo) == JX_OK ? JX_LIFT_BYTES : 0; }

/* An interrupted erase leaves the first or the last of what was there. */
static int is_erased_at_end(struct glance *g, uint32_t block)
{
    const struct jx_geometry *geo = &g->fs->flash->geo;
    uint32_t len = jx_align(JX_MARKER_BYTES, geo->write_size_bytes);
    return jx_flash_read(g->fs->flash, block + geo->erase_size_bytes - len, g->buf, len) == JX_OK && jx_is_erased(g->buf, len);
}

/* The header of what stands at p, in the medium's byte order, which the first one seen decides where nobody said it. */
static int read_header(struct glance *g, const uint8_t *p, struct jx_header *h)
{
    int good = jx_decode_header(g->fs->endian, p, h) == JX_GOOD;
    if (!good && !g->order_known) {
        g->fs->endian = !g->fs->endian;
        good = jx_decode_header(g->fs->endian, p, h) == JX_GOOD;
    }
    g->order_known |= good;
    return good;
}

/* A commit block is settled only where it says so itself, by a second tag: the format of that one; 0: not settled. */
static uint8_t settled_by(struct glance *g, uint32_t off)
{
    struct jx_block block = {.offset = off};
    int settled = jx_scan_block(g->fs, &block, g->buf) == JX_OK && !block.unreadable_pages && block.tag == JX_TAG_SETTLED;
    return settled ? block.tag_format : 0;
}

static int look_at_tag(struct glance *g, uint32_t block, const uint8_t *p, uint32_t totlen)
{
    struct jx_tag tag;
    if (jx_tag_decode(g->fs->endian, p, totlen, &tag) != JX_OK)
        return 0;
    if (tag.txid > g->last)
        g->last = tag.txid;
    uint8_t settled = tag.role == JX_TAG_SETTLED || JX_MUTANT(tag_trusted) ? tag.format : 0;
    if (tag.role == JX_TAG_COMMIT && !settled)
        settled = settled_by(g, block);
    if (settled && tag.txid > g->settled)
        g->settled = tag.txid;
    uint32_t *newest = settled > 1 ? &g->mended : &g->unmended;
    if (settled && tag.txid > *newest)
        *newest = tag.txid;
    return settled || tag.role == JX_TAG_STAGE;
}

/* 1 where it is clear what this block is and that nothing waits in it. */
static int look_at_block(struct glance *g, uint32_t block)
{
    struct jx_header h;
    uint32_t lifted = lifted_bytes(&g->fs->flash->geo);
    if (jx_flash_read(g->fs->flash, block, g->buf, g->head) != JX_OK) /* what ECC gives up: the full scan knows what to do */
        return 0;
    if (jx_is_erased(g->buf, g->head))
        return JX_MUTANT(end_unseen) || is_erased_at_end(g, block);
    int is_lift = lifted && jx_is_erased(g->buf, lifted);
    if (!is_lift) {
        if (!read_header(g, g->buf, &h))
            return 0;
        is_lift = lifted && h.nodetype == JX_NODE_PADDING && h.totlen == lifted;
    }
    if (is_lift && !read_header(g, g->buf + lifted, &h))
        return 0;
    if (h.nodetype == JX_NODE_TAG)
        return look_at_tag(g, block, g->buf + (is_lift ? lifted : 0), h.totlen);
    uint16_t type = h.nodetype | JX_ACCURATE;
    return !is_lift && (jx_is_content(type) || type == JX_NODE_CLEANMARKER);
}

int jx_glance(jx_flash *flash, const struct jx_reader *reader, uint32_t *state)
{
    const struct jx_geometry *geo = &flash->geo;
    struct glance g = {.order_known = reader->endian >= 0};
    int err = jx_fs_new(flash, reader, &g.fs), clear = 1;
    if (err)
        return err;
    if (!g.order_known)
        g.fs->endian = JX_LITTLE;
    g.head = jx_align(lifted_bytes(geo) + JX_TAG_BYTES, geo->write_size_bytes);
    g.buf = malloc(geo->erase_size_bytes);
    if (!g.buf)
        err = JX_ENOMEM;
    for (uint32_t at = 0; at < geo->size_bytes && clear && !err; at += geo->erase_size_bytes)
        clear = jx_flash_is_bad(flash, at) > 0 || look_at_block(&g, at);
    free(g.buf);
    jx_fs_close(g.fs);
    *state = g.last ? JX_TXN_SETTLED : JX_TXN_NONE;
    int mend = jx_is_bit_writable(geo) && g.unmended && g.unmended >= g.mended;
    return err ? err : clear && g.last == g.settled && !mend;
}
