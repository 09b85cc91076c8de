/* ledger.c: which eraseblocks may be erased and programmed. Evidence decides, block by block: a block is the file system's
 * by what stands in it, or because it is erased and stands among such blocks. Everything else is held, and the flash layer
 * refuses to change it (flash.c). */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "formats.h"
#include "mutants.h"
#include "txn.h"

enum kind { NOTHING, OURS, EMPTY, UNKNOWN, FORMAT };

/* A header with the magic number and a good CRC, or a summary that lists the node. */
static int is_evidence(const struct jx_node *n)
{
    return n->nodetype && n->verdict != JX_V_ERASED && n->verdict != JX_V_NOISE && n->verdict != JX_V_BAD_HEADER;
}

static enum kind kind_of(const struct jx_fs *fs, const struct jx_block *block)
{
    if (block->state == JX_B_BAD)
        return NOTHING;
    if (block->state == JX_B_ERASED)
        return EMPTY;
    if (block->format && !JX_MUTANT(format_written))
        return FORMAT;
    if (block->state == JX_B_FREE || block->torn_head)
        return OURS;
    for (uint32_t i = block->first_node; i < block->first_node + block->node_count; i++)
        if (is_evidence(&fs->nodes[i]))
            return OURS;
    return UNKNOWN;
}

/* How far a known format reaches that starts in this block. */
static void mark_format(const struct jx_fs *fs, uint8_t *kinds, uint32_t b)
{
    uint64_t size = fs->flash->geo.erase_size_bytes, blocks = (fs->blocks[b].format_bytes + size - 1) / size;
    for (uint32_t i = b; i < fs->block_count && blocks <= fs->block_count - b && i - b < blocks; i++)
        if (kinds[i] != NOTHING)
            kinds[i] = FORMAT;
}

static uint8_t *kinds_of(const struct jx_fs *fs)
{
    uint8_t *kinds = malloc((size_t)fs->block_count + 1);
    for (uint32_t b = 0; kinds && b < fs->block_count; b++)
        kinds[b] = (uint8_t)kind_of(fs, &fs->blocks[b]);
    for (uint32_t b = 0; kinds && b < fs->block_count; b++)
        if (kinds[b] == FORMAT && fs->blocks[b].format)
            mark_format(fs, kinds, b);
    return kinds;
}

/* ---- the sweep ------------------------------------------------------------------------- */

/* What stands around a block. */
struct around {
    uint8_t first, last; /* the first and the last kind on the flash that are not erased */
    uint8_t left, right; /* the nearest that are not erased; NOTHING: the flash ends */
    int ours_before, ours_after;
};

/* An erased block belongs to what is on both sides of it. Before the first content and after the last it belongs to a flash
 * whose content begins and ends with ours: the kernel may well begin at the last block. */
static int is_room(const struct jx_flash *flash, const struct around *a)
{
    if (flash->extent == JX_EXTENT_KNOWN || JX_MUTANT(any_erased_taken))
        return 1;
    int all_ours = a->first == a->last && (a->first == OURS || a->first == NOTHING);
    return a->left == NOTHING || a->right == NOTHING ? all_ours : a->left == OURS && a->right == OURS;
}

/* What nothing identifies may be what a power cut left of our own block, while a transaction of ours waits. */
static int is_our_wreck(const struct jx_flash *flash, const struct around *a)
{
    int between = a->first == OURS && a->ours_before && a->ours_after;
    if (flash->recovering != JX_RECOVER_PENDING || JX_MUTANT(wreck_forgotten))
        return 0;
    return flash->extent == JX_EXTENT_KNOWN || between;
}

static int may_write(const struct jx_flash *flash, uint8_t kind, const struct around *a)
{
    if (flash->extent == JX_EXTENT_GIVEN || kind == OURS || kind == NOTHING)
        return 1;
    if (kind == EMPTY)
        return is_room(flash, a);
    return kind == UNKNOWN && (is_our_wreck(flash, a) || JX_MUTANT(unknown_written));
}

static void sweep(struct jx_fs *fs, const uint8_t *kinds, uint8_t *held)
{
    struct around a = {.first = NOTHING};
    uint32_t last_ours = 0, next = 0, size = fs->flash->geo.erase_size_bytes;
    for (uint32_t b = 0; b < fs->block_count; b++) {
        if (kinds[b] == EMPTY || kinds[b] == NOTHING)
            continue;
        last_ours = kinds[b] == OURS ? b : last_ours;
        a.first = a.first == NOTHING ? kinds[b] : a.first;
        a.last = kinds[b];
    }
    for (uint32_t b = 0; b < fs->block_count; b++) {
        for (next = next > b ? next : b + 1; next < fs->block_count && (kinds[next] == EMPTY || kinds[next] == NOTHING);)
            next++;
        a.right = next < fs->block_count ? kinds[next] : NOTHING;
        a.ours_after = last_ours > b;
        held[b] = !may_write(fs->flash, kinds[b], &a) || jx_flash_is_beyond_seam(fs->flash, b * size);
        if (kinds[b] == EMPTY || kinds[b] == NOTHING)
            continue;
        a.left = kinds[b];
        a.ours_before |= kinds[b] == OURS;
    }
}

int jx_ledger(struct jx_fs *fs)
{
    uint8_t *kinds = kinds_of(fs), *held = kinds ? malloc((size_t)fs->block_count + 1) : NULL;
    if (!held) {
        free(kinds);
        return JX_ENOMEM;
    }
    if (fs->flash->recovering == JX_RECOVER_ASKED && jx_is_pending(fs))
        fs->flash->recovering = JX_RECOVER_PENDING;
    sweep(fs, kinds, held);
    for (uint32_t b = 0; b < fs->block_count; b++) {
        struct jx_block *block = &fs->blocks[b];
        block->held = held[b];
        if (block->held && block->state != JX_B_USED && block->state != JX_B_BAD)
            block->state = JX_B_HELD;
    }
    jx_flash_hold(fs->flash, held);
    free(kinds);
    return JX_OK;
}

/* ---- what stands at a block's start ------------------------------------------------------ */

/* Programming clears bits one by one and erasing sets them: what a cut leaves of a header has no bit cleared that the header
 * has not. Behind it all must be erased. */
static int is_part_of_header(int endian, const uint8_t *p, uint32_t free_from, uint16_t type, uint32_t totlen, uint32_t page)
{
    uint8_t whole[JX_HEADER_BYTES];
    jx_encode_header(endian, whole, type, totlen);
    if (jx_is_erased(p, JX_HEADER_BYTES))
        return 0;
    for (uint32_t i = 0; i < JX_HEADER_BYTES; i++)
        if (whole[i] & ~p[i])
            return 0;
    return free_from <= jx_align(totlen, page);
}

/* A node whose header CRC failed, of a type that file systems are made of: magic and type are 32 bits of evidence. */
static int has_known_type(int endian, const uint8_t *p)
{
    uint16_t type = get16(endian, p + 2) | JX_ACCURATE;
    return get16(endian, p) == JX_MAGIC && (jx_is_content(type) || type == JX_NODE_CLEANMARKER || type == JX_NODE_TAG ||
                                            type == JX_NODE_SUMMARY || type == JX_NODE_PADDING);
}

void jx_ledger_look(struct jx_fs *fs, struct jx_block *block, const uint8_t *buf)
{
    const struct jx_geometry *geo = &fs->flash->geo;
    uint32_t marker = jx_cleanmarker_size(geo), page = geo->write_size_bytes;
    block->torn_head = has_known_type(fs->endian, buf) ||
                       is_part_of_header(fs->endian, buf, block->free_from, JX_NODE_TAG, JX_TAG_BYTES, page) ||
                       (marker && is_part_of_header(fs->endian, buf, block->free_from, JX_NODE_CLEANMARKER, marker, page));
    block->format = (uint8_t)jx_format_at(buf, geo->erase_size_bytes, &block->format_bytes);
}
