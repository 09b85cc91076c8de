/* space.c: which nodes are needed, what that makes of each block, and how many blocks must stay free. */
#include <stdlib.h>
#include <string.h>
#include "fs.h"
#include "guard.h"
#include "mutants.h"
#include "txn.h"

/* jffs2_calc_trigger_levels: resv_blocks_write, and one more so that the kernel's collector is not called at once. */
uint32_t jx_reserve_blocks(const struct jx_geometry *geo)
{
    uint64_t blocks = geo->size_bytes / geo->erase_size_bytes;
    uint64_t size = geo->size_bytes / 50 + blocks * 100 + geo->erase_size_bytes - 1;
    if (JX_MUTANT(reserve_small))
        return 2;
    return (uint32_t)(2 + size / geo->erase_size_bytes + 1);
}

/* Of equal copies of the winner the one in an unfinished commit block: the others are what a cut left of moving it. */
static uint32_t committed_copy(const struct jx_fs *fs, uint32_t first, uint32_t winner)
{
    const struct jx_node *n = &fs->nodes[fs->dirents[winner]];
    for (uint32_t i = winner + 1; i-- > first && fs->nodes[fs->dirents[i]].version == n->version;)
        if (jx_in_commit_block(fs, fs->dirents[i]) && fs->nodes[fs->dirents[i]].verdict == JX_V_GOOD)
            return i;
    return winner;
}

/* Guards are older than all others, and nothing holds them down. */
static uint32_t after_guards(const struct jx_fs *fs, uint32_t first, uint32_t winner)
{
    while (first < winner && jx_is_guard(fs->nodes[fs->dirents[first]].version, fs->nodes[fs->dirents[first]].child))
        first++;
    return first;
}

/* Something may lie on the medium that a later read brings back: where ECC gave up; in an erased block without the
 * cleanmarker that the other free ones have, since a cut may have stopped its erase. Where most have none, as in a new image,
 * that says nothing. */
static int may_bring_back(const struct jx_fs *fs)
{
    uint32_t marked = 0, unmarked = 0, unreadable = 0;
    for (uint32_t b = 0; b < fs->block_count; b++) {
        marked += fs->blocks[b].state == JX_B_FREE;
        unmarked += fs->blocks[b].state == JX_B_ERASED;
        unreadable += fs->blocks[b].unreadable_pages;
    }
    return unreadable || (unmarked && unmarked <= marked && !JX_MUTANT(unmarked_trusted));
}

/* Every dirent run: the winner is needed while it names something that is reached, and also, as long as its directory lives,
 * while any older dirent of its name is on the medium, obsolete or hidden (else that one could come back). */
static void need_dirents(struct jx_fs *fs)
{
    int more = may_bring_back(fs);
    for (uint32_t i = 0; i < fs->dirent_count;) {
        uint32_t end = i, winner = JX_NONE;
        for (; end < fs->dirent_count && jx_dirent_key_cmp(fs, fs->dirents[i], fs->dirents[end]) == 0; end++)
            if (jx_is_seen(&fs->nodes[fs->dirents[end]]))
                winner = end;
        uint32_t first = i;
        i = end;
        if (winner == JX_NONE)
            continue;
        winner = committed_copy(fs, first, winner);
        first = after_guards(fs, first, winner);
        if (JX_MUTANT(deletion_dropped) && fs->nodes[fs->dirents[first]].verdict != JX_V_GOOD)
            first = winner;
        struct jx_node *n = &fs->nodes[fs->dirents[winner]];
        const struct jx_inode_rec *dir = jx_inode_find(fs, n->ino);
        if (!dir->alive)
            continue;
        const struct jx_inode_rec *child = n->child ? jx_inode_find(fs, n->child) : NULL;
        int holds_down = winner > first || (more && !n->child && !jx_is_guard(n->version, n->child));
        n->needed = (child && child->exists && !jx_is_ghost(n)) || holds_down;
    }
}

static int need_inodes(struct jx_fs *fs)
{
    for (uint32_t i = 0; i < fs->inode_count; i++) {
        const struct jx_inode_rec *rec = &fs->inodes[i];
        if (!rec->alive || rec->first_node == JX_NONE)
            continue;
        int err = jx_map_inode(fs, rec->ino);
        if (err && err != JX_ENOENT)
            return err;
        if (fs->map.meta != JX_NONE) {
            uint32_t time = jx_time_dirent(fs, rec->ino, fs->nodes[fs->map.meta].version);
            fs->nodes[fs->map.meta].needed = 1;
            if (time != JX_NONE && !JX_MUTANT(time_dropped))
                fs->nodes[time].needed = 1;
        }
        for (uint32_t k = 0; k < fs->map.count; k++)
            fs->nodes[fs->map.frags[k].node].needed = 1;
    }
    return JX_OK;
}

/* A reference in use and its datum; a delete-marker while an older reference of that pair is there. */
static void need_xattrs(struct jx_fs *fs)
{
    for (uint32_t i = 0; i < fs->xref_count; i++) {
        uint32_t datum = jx_xattr_datum(fs, fs->nodes[fs->xrefs[i]].child);
        fs->nodes[fs->xrefs[i]].needed = 1;
        if (datum != JX_NONE)
            fs->nodes[datum].needed = 1;
    }
    for (uint32_t i = 0; i < fs->node_count; i++) {
        struct jx_node *n = &fs->nodes[i];
        if (n->nodetype != JX_NODE_XREF || n->verdict != JX_V_GOOD || !(n->version & 1))
            continue;
        const struct jx_inode_rec *rec = jx_inode_find(fs, n->ino);
        n->needed = rec && rec->alive && !JX_MUTANT(marker_dropped);
    }
}

/* Unknown nodes that the kernel's collector would copy. */
static int is_foreign_copy(const struct jx_node *n)
{
    return n->verdict == JX_V_GOOD && (n->nodetype & 0xc000u) == 0x4000u && !JX_MUTANT(foreign_dropped);
}

static void account_blocks(struct jx_fs *fs)
{
    for (uint32_t b = 0; b < fs->block_count; b++) {
        struct jx_block *block = &fs->blocks[b];
        for (uint32_t i = 0; i < block->node_count; i++) {
            struct jx_node *n = &fs->nodes[block->first_node + i];
            if (is_foreign_copy(n))
                n->needed = 1;
            if (n->needed)
                block->needed_bytes += jx_pad4(n->totlen);
        }
        if (block->needed_bytes)
            block->state = JX_B_USED;
    }
}

int jx_shows_content(const struct jx_fs *fs, const struct jx_block *block)
{
    for (uint32_t i = 0; i < block->node_count; i++) {
        const struct jx_node *n = &fs->nodes[block->first_node + i];
        if (n->verdict == JX_V_GOOD && (n->nodetype == JX_NODE_DIRENT || n->nodetype == JX_NODE_INODE || n->nodetype == JX_NODE_XREF))
            return 1;
    }
    return 0;
}

/* From the role of the newest tag to the state of its transaction. A commit block without a SETTLED tag of its own is
 * unfinished, whatever other blocks say; without one, a transaction whose nodes are needed was committed. */
static void find_state(struct jx_fs *fs)
{
    struct jx_status *st = &fs->status;
    uint32_t role = st->state;
    st->state = role == JX_TAG_SETTLED ? JX_TXN_SETTLED : role ? JX_TXN_STAGED : JX_TXN_NONE;
    for (uint32_t b = 0; role && b < fs->block_count; b++) {
        const struct jx_block *block = &fs->blocks[b];
        if (!block->tag || block->txid != st->txid)
            continue;
        if (block->tag == JX_TAG_COMMIT && !block->worn && jx_shows_content(fs, block)) {
            st->state = JX_TXN_COMMITTED;
            return;
        }
        if (block->needed_bytes)
            st->state = JX_TXN_SETTLED;
    }
}

static int by_transaction(const void *ctx, uint32_t a, uint32_t b)
{
    const struct jx_block *x = &((const struct jx_fs *)ctx)->blocks[a], *y = &((const struct jx_fs *)ctx)->blocks[b];
    if (x->txid != y->txid)
        return x->txid < y->txid ? -1 : 1;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static int find_last_staged(struct jx_fs *fs)
{
    uint32_t *staged = malloc(((size_t)fs->block_count + 1) * sizeof(*staged)), n = 0;
    if (!staged)
        return JX_ENOMEM;
    for (uint32_t b = 0; b < fs->block_count; b++)
        if (fs->blocks[b].tag == JX_TAG_STAGE)
            staged[n++] = b;
    int err = jx_sort(staged, n, by_transaction, fs);
    const struct jx_block *last = NULL; /* of the transaction under way; all of its sequence are */
    for (uint32_t i = n; i-- > 0 && !err;) {
        struct jx_block *block = &fs->blocks[staged[i]];
        if (!last || last->txid != block->txid)
            last = block;
        block->staged_last = block->sequence == last->sequence;
    }
    free(staged);
    return err;
}

/* Where ECC gave up, something may lie that a later read brings back: such a block counts as used, so that nobody takes
 * or erases it. The kernel drops it when it collects. Not so what an uncommitted transaction staged: nobody needs that.
 * A worn block is used too: erasing it was tried. */
static void keep_lost_blocks(struct jx_fs *fs)
{
    for (uint32_t b = 0; b < fs->block_count; b++) {
        struct jx_block *block = &fs->blocks[b];
        int staged = block->tag && block->txid == fs->status.txid && fs->status.state == JX_TXN_STAGED;
        if (block->state == JX_B_DIRTY && (block->worn || (block->unreadable_pages && !staged)))
            block->state = JX_B_USED;
    }
}

int jx_space_account(struct jx_fs *fs)
{
    need_dirents(fs);
    need_xattrs(fs);
    int err = need_inodes(fs);
    if (!err)
        err = jx_need_twins(fs);
    if (err)
        return err;
    account_blocks(fs);
    find_state(fs);
    keep_lost_blocks(fs);
    return find_last_staged(fs);
}

void jx_fs_space(const jx_fs *fs, struct jx_space *out)
{
    memset(out, 0, sizeof(*out));
    out->blocks = fs->block_count;
    out->reserve = jx_reserve_blocks(&fs->flash->geo);
    for (uint32_t b = 0; b < fs->block_count; b++) {
        const struct jx_block *block = &fs->blocks[b];
        out->bad += block->state == JX_B_BAD;
        out->free += block->state == JX_B_ERASED || block->state == JX_B_FREE;
        out->dirty += block->state == JX_B_DIRTY;
        out->held += block->held;
        out->needed_bytes += block->needed_bytes;
    }
}
