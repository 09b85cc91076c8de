/* marks.c: NOR: a node loses its ACCURATE bit, and counts for nothing from then on (scan.c, jffs2_scan_eraseblock). */
#include "mutants.h"
#include "txn.h"

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
