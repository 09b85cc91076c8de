/* guard.c: what comes after the last dirent of a block, or of a page that is padded. A mount joins padding and the rest of
 * a block that it does not go on with (scan.c: file_dirty) to the node before, if something newer has made that obsolete
 * (nodelist.c: jffs2_scan_dirty_space). The collector then no longer knows it for the dirent that a deletion holds down,
 * since it is longer (gc.c: jffs2_garbage_collect_deletion_dirent), drops the deletion, and the name is back. A guard has a
 * reference of its own, so what follows is joined to the guard. It loses to every other dirent of its name. */
#include <string.h>
#include "guard.h"
#include "mutants.h"
#include "writer.h"

static const char NAME[] = {'0'};

int jx_needs_guard(const struct jx_summary_entry *last)
{
    return last->nodetype == JX_NODE_DIRENT && last->child && !JX_MUTANT(guard_left_out);
}

uint32_t jx_encode_guard(int endian, uint8_t *out, const struct jx_summary_entry *last, struct jx_summary_entry *entry)
{
    struct jx_dirent d = {.pino = last->ino, .nsize = sizeof(NAME)};
    if (!jx_needs_guard(last))
        return 0;
    uint32_t len = jx_encode_dirent(endian, out, &d, NAME);
    *entry = (struct jx_summary_entry){.nodetype = JX_NODE_DIRENT, .ino = d.pino, .totlen = len, .nsize = sizeof(NAME)};
    return len;
}

/* ---- where a kernel was to go on ----------------------------------------------------------- */

/* The erased run that ends the block, or NULL. */
static const struct jx_node *free_end(const struct jx_fs *fs, const struct jx_block *block)
{
    uint32_t size = fs->flash->geo.erase_size_bytes;
    const struct jx_node *last = block->node_count ? &fs->nodes[block->first_node + block->node_count - 1] : NULL;
    int ends = last && last->verdict == JX_V_ERASED && last->offset + last->totlen == block->offset + size;
    return ends ? last : NULL;
}

/* The free end of the first block with most room, which is nextblock of jffs2_scan_medium; NULL: none. */
static const struct jx_node *end_to_go_on(const struct jx_fs *fs)
{
    const struct jx_node *found = NULL;
    uint32_t most = JX_GUARD_BYTES - 1;
    for (uint32_t b = 0; b < fs->block_count; b++) {
        const struct jx_block *block = &fs->blocks[b];
        const struct jx_node *end = block->state == JX_B_USED ? free_end(fs, block) : NULL;
        if (end && block->node_count > 1 && !block->tag && !block->worn && end->totlen > most) {
            most = end->totlen;
            found = end;
        }
    }
    return found;
}

int jx_guard_end(struct jx_fs *fs)
{
    uint8_t node[JX_GUARD_BYTES], check[JX_GUARD_BYTES];
    const struct jx_node *end = jx_is_bit_writable(&fs->flash->geo) ? end_to_go_on(fs) : NULL;
    if (!end || end[-1].verdict != JX_V_GOOD)
        return JX_OK;
    struct jx_summary_entry last = {.nodetype = end[-1].nodetype, .ino = end[-1].ino, .child = end[-1].child}, entry;
    memset(node, 0xff, sizeof(node));
    if (!jx_encode_guard(fs->endian, node, &last, &entry))
        return JX_OK;
    int err = jx_program_verified(fs->flash, end->offset, node, sizeof(node), check);
    return jx_is_wear(err) || err == JX_EHELD ? JX_OK : err;
}
