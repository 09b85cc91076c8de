/* adopt.c: an inode that a cut left staged and unreached is taken into a new transaction as it is. */
#include "fs.h"
#include "mutants.h"

/* All its nodes stand in blocks of ours, and no attribute would come to life with it. */
static int is_staged_orphan(const struct jx_fs *fs, const struct jx_inode_rec *rec)
{
    if (!rec->exists || rec->alive || rec->first_node == JX_NONE || rec->name_count || rec->ghost_count)
        return 0;
    for (uint32_t i = rec->first_node; i != JX_NONE; i = fs->nodes[i].next) {
        const struct jx_block *block = &fs->blocks[fs->nodes[i].offset / fs->flash->geo.erase_size_bytes];
        if (block->tag != JX_TAG_STAGE || (block->staged_last && !JX_MUTANT(last_adopted)) || block->unreadable_pages)
            return 0;
    }
    return !rec->has_xrefs || JX_MUTANT(attributed_adopted);
}

int jx_fs_orphans(const jx_fs *fs, uint32_t *inos, uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < fs->inode_count; i++) {
        if (!is_staged_orphan(fs, &fs->inodes[i]))
            continue;
        if (count < max)
            inos[count] = fs->inodes[i].ino;
        count++;
    }
    return (int)count;
}

static void need(struct jx_fs *fs, uint32_t node)
{
    struct jx_node *n = &fs->nodes[node];
    struct jx_block *block = &fs->blocks[n->offset / fs->flash->geo.erase_size_bytes];
    if (n->needed)
        return;
    n->needed = 1;
    block->needed_bytes += jx_pad4(n->totlen);
    block->state = JX_B_USED;
}

int jx_fs_adopt(jx_fs *fs, uint32_t ino)
{
    struct jx_inode_rec *rec = jx_inode_find(fs, ino);
    if (!rec || !is_staged_orphan(fs, rec))
        return JX_ENOENT;
    int err = jx_map_inode(fs, ino);
    if (err)
        return err;
    if (fs->map.meta == JX_NONE)
        return JX_ECORRUPT;
    rec->alive = 1;
    need(fs, fs->map.meta);
    for (uint32_t i = 0; i < fs->map.count; i++)
        need(fs, fs->map.frags[i].node);
    return JX_OK;
}
