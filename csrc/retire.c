/* retire.c: NOR: dirents that lost, or that move, lose their ACCURATE bit, so that no kernel without summary support brings
 * them back. A kernel with summary support has a rule of its own: a dirent that is not marked must have no dirty space right
 * after it. Where its name is deleted, a mount joins that space to it (jffs2_scan_dirty_space), the collector then does not
 * know it for what the deletion holds down, since it is longer (jffs2_garbage_collect_deletion_dirent), drops the deletion,
 * and the name is back. So before a dirent is marked, those right before it are: what is needed of them moves to another
 * block. From the first of such a run to the last, no instant shows a mark right after a dirent without one. Deletion
 * dirents bring nothing back: they keep their bit, so that the one of a pair holds down what is not marked yet. */
#include <stdlib.h>
#include "mutants.h"
#include "txn.h"

enum {
    STAYS = 0,
    GOES, /* moves first, if it is needed */
    TWIN, /* the same, and all of its name have been looked at */
    LOST, /* something newer stands for it */
};

static int is_live_name(const struct jx_node *n) { return jx_is_named(n) && n->child && n->verdict == JX_V_GOOD; }

/* What is marked already is so by a kernel's doing or ours; but a summary that still lists it must go. Where a summary lists a
 * dirent and something else stands there (BAD_HEADER), those bits are not the dirent's. */
static int can_go(const struct jx_node *n)
{
    int names = jx_is_named(n) && (n->child || JX_MUTANT(deletion_marked));
    return names && n->verdict != JX_V_BAD_HEADER && (n->verdict != JX_V_OBSOLETE || n->by_summary);
}

static const struct jx_block *block_of(const struct jx_fs *fs, uint32_t node)
{
    return &fs->blocks[fs->nodes[node].offset / fs->flash->geo.erase_size_bytes];
}

int jx_retiring_open(struct jx_retiring *r, struct jx_fs *fs, int marks)
{
    *r = (struct jx_retiring){.fs = fs, .marks = marks && jx_is_bit_writable(&fs->flash->geo)};
    r->fate = calloc((size_t)fs->node_count + 1, sizeof(*r->fate));
    r->pending = malloc(((size_t)fs->dirent_count + 1) * sizeof(*r->pending)); /* each dirent is added once */
    return r->fate && r->pending ? JX_OK : JX_ENOMEM;
}

void jx_retiring_close(struct jx_retiring *r)
{
    free(r->fate);
    free(r->pending);
    r->fate = NULL;
    r->pending = NULL;
}

static void add(struct jx_retiring *r, uint32_t node, uint8_t fate)
{
    if (!r->marks || r->fate[node])
        return;
    r->fate[node] = fate;
    r->pending[r->count++] = node;
}

/* ---- which ones ------------------------------------------------------------------------ */

/* Those of a name, in fs->dirents from first on, whose version is below. */
static void add_older(struct jx_retiring *r, uint32_t first, uint32_t end, uint32_t below)
{
    for (uint32_t i = first; i < end; i++) {
        const struct jx_node *n = &r->fs->nodes[r->fs->dirents[i]];
        if (n->version < below && can_go(n))
            add(r, r->fs->dirents[i], LOST);
    }
}

void jx_retire_name(struct jx_retiring *r, uint32_t pino, const char *name, uint32_t nsize)
{
    uint32_t first, count = jx_dirent_run(r->fs, pino, name, nsize, &first);
    add_older(r, first, first + count, JX_NONE);
}

static int is_covered(const struct jx_fs *fs, const struct jx_block *block)
{
    for (uint32_t i = block->first_node; i < block->first_node + block->node_count; i++)
        if (fs->nodes[i].nodetype == JX_NODE_CONTAINER && fs->nodes[i].verdict == JX_V_GOOD && fs->nodes[i].totlen != JX_COVERED_TAG_BYTES)
            return 1;
    return 0;
}

/* Flags the nodes of commit sets that came into view; a kernel may have marked some since, when it wrote newer ones. */
static void find_committed(const struct jx_fs *fs, uint8_t *committed)
{
    for (uint32_t b = 0; b < fs->block_count; b++) {
        const struct jx_block *block = &fs->blocks[b];
        int marked_too = block->tag == JX_TAG_COMMIT && !JX_MUTANT(marked_set_forgotten) && !is_covered(fs, block);
        for (uint32_t i = block->first_node; i < block->first_node + block->node_count && block->tag == JX_TAG_COMMIT; i++)
            committed[i] = fs->nodes[i].verdict == JX_V_GOOD || (marked_too && fs->nodes[i].verdict == JX_V_OBSOLETE);
    }
}

int jx_retire_superseded(struct jx_retiring *r)
{
    const struct jx_fs *fs = r->fs;
    uint8_t *committed = calloc((size_t)fs->node_count + 1, 1);
    if (!committed)
        return JX_ENOMEM;
    find_committed(fs, committed);
    for (uint32_t i = 0, end; i < fs->dirent_count; i = end) { /* name by name */
        uint32_t newest = 0, spoken_of = 0;
        for (end = i; end < fs->dirent_count && jx_dirent_key_cmp(fs, fs->dirents[i], fs->dirents[end]) == 0; end++) {
            const struct jx_node *n = &fs->nodes[fs->dirents[end]];
            spoken_of |= committed[fs->dirents[end]];
            newest = jx_is_seen(n) ? n->version : newest;
        }
        if (spoken_of && !JX_MUTANT(superseded_kept))
            add_older(r, i, end, newest);
    }
    free(committed);
    return JX_OK;
}

/* What a scan has a reference for, or leaves as free space. */
static int is_linked(const struct jx_fs *fs, const struct jx_node *n)
{
    uint32_t size = fs->flash->geo.erase_size_bytes;
    if (n->verdict == JX_V_ERASED)
        return n->offset % size + n->totlen == size;
    return n->by_summary || n->verdict == JX_V_BAD_DATA ||
           (n->verdict == JX_V_GOOD && (jx_is_content(n->nodetype) || (n->nodetype & JX_COMPAT_MASK) == JX_COMPAT_RWCOMPAT_COPY));
}

int jx_is_merged(const struct jx_fs *fs, uint32_t node)
{
    const struct jx_block *block = block_of(fs, node);
    const struct jx_node *n = &fs->nodes[node], *next = n + 1;
    if (!is_live_name(n) || node + 1 == block->first_node + block->node_count)
        return 0;
    if (next->nodetype == JX_NODE_SUMMARY && block->summary)
        return 0;
    return !is_linked(fs, next);
}

void jx_retire_merged(struct jx_retiring *r, int marked_too)
{
    const struct jx_fs *fs = r->fs;
    for (uint32_t i = 0; i < fs->dirent_count; i++) {
        uint32_t node = fs->dirents[i];
        int merged = jx_is_merged(fs, node) && block_of(fs, node)->tag != JX_TAG_COMMIT;
        if (merged && (marked_too || fs->nodes[node + 1].verdict != JX_V_OBSOLETE))
            add(r, node, GOES);
    }
}

void jx_retire_block(struct jx_retiring *r, const struct jx_block *block)
{
    for (uint32_t i = block->first_node; i < block->first_node + block->node_count; i++)
        if (is_live_name(&r->fs->nodes[i]))
            add(r, i, GOES);
}

void jx_retire_last(struct jx_retiring *r, const struct jx_block *block)
{
    for (uint32_t i = block->first_node + block->node_count; i-- > block->first_node;)
        if (r->fs->nodes[i].verdict != JX_V_ERASED) {
            if (is_live_name(&r->fs->nodes[i]))
                add(r, i, GOES);
            return;
        }
}

/* ---- and those that go with them ---------------------------------------------------------- */

static int has_before(const struct jx_retiring *r, uint32_t node)
{
    return node > block_of(r->fs, node)->first_node && is_live_name(&r->fs->nodes[node - 1]) && !JX_MUTANT(run_left);
}

static int moves(const struct jx_retiring *r, uint32_t node)
{
    const struct jx_node *n = &r->fs->nodes[node];
    return (r->fate[node] == GOES || r->fate[node] == TWIN) && n->needed && n->verdict == JX_V_GOOD;
}

/* All of its name but the copy: a second one would bring the name back (jffs2_do_unlink). */
static void add_others(struct jx_retiring *r, const struct jx_node *n)
{
    uint32_t first, count = jx_dirent_run(r->fs, n->ino, jx_node_name(r->fs, n), n->nsize, &first);
    for (uint32_t i = first; i < first + count; i++) {
        uint32_t other = r->fs->dirents[i];
        int is_twin = r->fs->nodes[other].version == n->version;
        if (r->fs->nodes[other].version <= n->version && can_go(&r->fs->nodes[other]))
            add(r, other, is_twin ? TWIN : LOST);
        if (is_twin && r->fate[other] == GOES)
            r->fate[other] = TWIN;
    }
}

/* The node before a summary has dirty space after it once that loses its marker (marks.c). */
static void add_before_summary(struct jx_retiring *r, const struct jx_block *block)
{
    uint32_t last = block->first_node + block->node_count - 1;
    if (block->summary && r->fs->nodes[last].nodetype == JX_NODE_SUMMARY && has_before(r, last))
        add(r, last - 1, GOES);
}

void jx_retire_runs(struct jx_retiring *r)
{
    while (r->count) {
        uint32_t node = r->pending[--r->count];
        if (has_before(r, node))
            add(r, node - 1, GOES);
        add_before_summary(r, block_of(r->fs, node));
        if (!moves(r, node) || r->fate[node] == TWIN)
            continue;
        r->bytes += jx_pad4(r->fs->nodes[node].totlen);
        add_others(r, &r->fs->nodes[node]);
    }
}

/* ---- on the medium ---------------------------------------------------------------------------- */

/* One copy is enough: its twins, if a cut left any, go without. */
static int move(struct jx_retiring *r, uint32_t node, struct jx_writer *w, uint8_t *buf)
{
    struct jx_node *n = &r->fs->nodes[node];
    uint32_t first, count = jx_dirent_run(r->fs, n->ino, jx_node_name(r->fs, n), n->nsize, &first);
    int err = jx_copy_node(r->fs, n, w, buf);
    for (uint32_t i = first; i < first + count && !err; i++)
        if (r->fs->nodes[r->fs->dirents[i]].version == n->version)
            r->fs->nodes[r->fs->dirents[i]].needed = 0;
    return err;
}

/* A worn word, or one in a held block, keeps its bit: the version still decides, for all who believe versions. */
static int retire(struct jx_retiring *r, uint32_t node, struct jx_writer *w, uint8_t *buf, struct jx_recovery *out)
{
    if (moves(r, node)) {
        int err = move(r, node, w, buf);
        if (err)
            return err;
        out->nodes_moved++;
    }
    r->fate[node] = STAYS;
    int done = jx_obliterate(r->fs, &r->fs->nodes[node]);
    if (done < 0 && !jx_is_wear(done) && done != JX_EHELD)
        return done;
    out->bits_cleared += done > 0;
    return JX_OK;
}

int jx_retire(struct jx_retiring *r, struct jx_writer *w, struct jx_recovery *out)
{
    uint8_t *buf = malloc(r->fs->flash->geo.erase_size_bytes);
    int err = buf ? JX_OK : JX_ENOMEM;
    for (uint32_t i = 0; i < r->fs->dirent_count && !err; i++) {
        uint32_t last = r->fs->dirents[i], first = last;
        if (!r->fate[last])
            continue;
        while (has_before(r, first) && r->fate[first - 1])
            first--;
        for (; first <= last && !err; first++)
            err = retire(r, first, w, buf, out);
    }
    free(buf);
    return err;
}
