/* scan.c: from flash to nodes, block by block, deciding as jffs2_scan_medium and jffs2_scan_eraseblock do.
 * Beyond the kernel it also notes what a stock reader passes over (hidden nodes), so that no number is used twice. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "scan.h"
#include "txn.h"

uint32_t jx_cleanmarker_size(const struct jx_geometry *geo)
{
    if (geo->kind == JX_NAND)
        return 0;
    if (geo->kind == JX_NOR_ECC)
        return geo->write_size_bytes > 16 ? geo->write_size_bytes : 16;
    return JX_HEADER_BYTES;
}

uint32_t jx_cleanmarker_oob_size(const struct jx_geometry *geo)
{
    if (geo->kind != JX_NAND)
        return 0;
    return geo->oob_avail_bytes < JX_CLEANMARKER_OOB_BYTES ? geo->oob_avail_bytes : JX_CLEANMARKER_OOB_BYTES;
}

static uint32_t erased_from(const uint8_t *p, uint32_t len)
{
    static const uint64_t ones = ~0ull;
    while (len >= 8 && !memcmp(p + len - 8, &ones, 8))
        len -= 8;
    while (len > 0 && p[len - 1] == 0xff)
        len--;
    return len;
}

/* Tags stand outside summaries: they are found by the sweep there. One that its container covers says nothing yet. */
static void note_hidden_tags(struct scan *s)
{
    for (uint32_t i = s->block->first_node; i < s->fs->node_count; i++) {
        const struct jx_node *n = &s->fs->nodes[i];
        int covered = i > s->block->first_node && n[-1].nodetype == JX_NODE_CONTAINER && n[-1].totlen == JX_COVERED_TAG_BYTES;
        if (n->nodetype == JX_NODE_TAG && n->verdict == JX_V_HIDDEN && !covered)
            jx_scan_tag(s, n->offset - s->block->offset, n->totlen);
    }
}

static int scan_content(struct scan *s)
{
    struct jx_fs *fs = s->fs;
    uint32_t empty = fs->reader.empty_scan_bytes < s->size ? fs->reader.empty_scan_bytes : s->size;
    uint32_t start = fs->reader.summary ? jx_scan_find_summary(s) : s->size;
    if (start < s->size) {
        struct jx_summary sum;
        jx_decode_summary(fs->endian, s->buf + start, s->size - start, &sum);
        int usable = jx_scan_summary_usable(s, start, sum.sum_num);
        if (usable) {
            int err = usable < 0 ? usable : jx_scan_summary(s, start, &sum);
            note_hidden_tags(s);
            return err;
        }
    }
    if (jx_is_erased(s->buf, empty)) { /* "Block is empty", whatever stands behind */
        int err = jx_scan_run(s, 0, s->size, JX_V_ERASED);
        if (!err)
            err = jx_scan_hidden(s, empty, s->size);
        note_hidden_tags(s);
        return err;
    }
    return jx_scan_full(s);
}

/* On write-buffered flash what ECC could not correct is taken as it is (jffs2_flash_read); how many pages were so is
 * remembered, since the tree may have lost something there that a later read brings back. */
static int read_block(struct jx_fs *fs, struct jx_block *block, uint8_t *buf)
{
    const struct jx_geometry *geo = &fs->flash->geo;
    int err = jx_flash_read(fs->flash, block->offset, buf, geo->erase_size_bytes);
    if (err != JX_EECC || geo->kind == JX_NOR || fs->reader.ecc_stops)
        return err;
    for (uint32_t at = 0; at < geo->erase_size_bytes; at += geo->write_size_bytes) {
        err = jx_flash_read(fs->flash, block->offset + at, buf + at, geo->write_size_bytes);
        if (err && err != JX_EECC)
            return err;
        block->unreadable_pages += err == JX_EECC;
    }
    return JX_OK;
}

static int read_oob_cleanmarker(struct scan *s)
{
    struct jx_fs *fs = s->fs;
    uint8_t expected[JX_HEADER_BYTES], oob[JX_CLEANMARKER_OOB_BYTES];
    uint32_t len = jx_cleanmarker_oob_size(&fs->flash->geo);
    if (!len)
        return JX_OK;
    int err = jx_flash_oob_read(fs->flash, s->block->offset, oob, len);
    if (err)
        return err;
    jx_encode_header(fs->endian, expected, JX_NODE_CLEANMARKER, JX_CLEANMARKER_OOB_BYTES);
    if (!memcmp(expected, oob, len))
        s->block->cleanmarker = 2;
    return JX_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct jx_node *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* A summary may list its nodes out of order, sweeps come in between: records stand in medium order. */
static void order_records(struct scan *s)
{
    struct jx_node *first = s->fs->nodes + s->block->first_node;
    for (uint32_t i = 1; i < s->block->node_count; i++)
        if (first[i].offset < first[i - 1].offset) {
            qsort(first, s->block->node_count, sizeof(*first), by_offset);
            return;
        }
}

int jx_scan_block(struct jx_fs *fs, struct jx_block *block, uint8_t *buf)
{
    struct scan s = {fs, block, buf, fs->flash->geo.erase_size_bytes, 0};
    int bad = jx_flash_is_bad(fs->flash, block->offset);
    if (bad < 0)
        return bad;
    block->first_node = fs->node_count;
    block->worn = (uint8_t)jx_flash_is_worn(fs->flash, block->offset);
    if (bad) {
        block->state = JX_B_BAD;
        return JX_OK;
    }
    int err = read_block(fs, block, buf);
    if (!err)
        err = read_oob_cleanmarker(&s);
    if (err)
        return err;
    block->free_from = erased_from(buf, s.size);
    if (block->free_from == 0) {
        err = jx_scan_run(&s, 0, s.size, JX_V_ERASED);
        block->state = block->cleanmarker ? JX_B_FREE : JX_B_ERASED;
    } else {
        err = scan_content(&s);
        block->state = JX_B_DIRTY;
        if (block->cleanmarker == 1 && block->free_from <= jx_pad4(jx_cleanmarker_size(&fs->flash->geo)))
            block->state = JX_B_FREE;
    }
    block->node_count = fs->node_count - block->first_node;
    if (block->node_count) /* none where the first node already refuses the mount */
        order_records(&s);
    return err;
}

int jx_scan(struct jx_fs *fs)
{
    const struct jx_geometry *geo = &fs->flash->geo;
    fs->block_count = geo->size_bytes / geo->erase_size_bytes;
    fs->blocks = calloc(fs->block_count, sizeof(*fs->blocks));
    uint8_t *buf = malloc(geo->erase_size_bytes);
    int err = fs->blocks && buf ? JX_OK : JX_ENOMEM;
    for (uint32_t i = 0; i < fs->block_count && !err; i++) {
        fs->blocks[i].offset = i * geo->erase_size_bytes;
        err = jx_scan_block(fs, &fs->blocks[i], buf);
    }
    free(buf);
    return err;
}
