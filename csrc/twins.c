/* twins.c: a node that stands twice. A cut while a node was moved leaves its copy, or the block that it was moved from, between
 * two states: it reads well now and badly later. Which of the two that is nobody can tell, so both are needed; where one
 * stands in a commit block that one is, since it is moved as a whole (firm.c). */
#include <stdlib.h>
#include "fs.h"
#include "mutants.h"
#include "txn.h"

static int order(uint32_t a, uint32_t b) { return a < b ? -1 : a > b; }

static int by_what_it_is(const void *ctx, uint32_t a, uint32_t b)
{
    const struct jx_node *x = &((const struct jx_node *)ctx)[a], *y = &((const struct jx_node *)ctx)[b];
    int c = order(x->nodetype, y->nodetype);
    if (!c)
        c = order(x->ino, y->ino);
    if (!c)
        c = order(x->version, y->version);
    return c ? c : order(x->child, y->child);
}

/* The good nodes of content among count from first on, sorted by what they are; NULL: no memory. To be freed. */
static uint32_t *sort_good(const struct jx_fs *fs, uint32_t first, uint32_t count, uint32_t *n)
{
    uint32_t *good = malloc(((size_t)count + 1) * sizeof(*good));
    *n = 0;
    for (uint32_t i = first; good && i < first + count; i++)
        if (fs->nodes[i].verdict == JX_V_GOOD && jx_is_content(fs->nodes[i].nodetype))
            good[(*n)++] = i;
    if (good && jx_sort(good, *n, by_what_it_is, fs->nodes)) {
        free(good);
        return NULL;
    }
    return good;
}

/* A twin whose data do not read well is half a copy, or half erased: nobody sees it while there is another. */
static int reads_well(struct jx_fs *fs, uint32_t node)
{
    int unread = fs->nodes[node].nodetype != JX_NODE_INODE || JX_MUTANT(half_copy_needed);
    return unread ? 1 : jx_node_data_good(fs, node);
}

static int need_all(struct jx_fs *fs, const uint32_t *twins, uint32_t n)
{
    int needed = 0, committed = 0;
    for (uint32_t i = 0; i < n; i++) {
        needed |= fs->nodes[twins[i]].needed;
        committed |= jx_in_commit_block(fs, twins[i]);
    }
    for (uint32_t i = 0; i < n && needed && !committed; i++) {
        int good = reads_well(fs, twins[i]);
        if (good < 0)
            return good;
        fs->nodes[twins[i]].needed |= (uint8_t)good;
    }
    return JX_OK;
}

int jx_need_twins(struct jx_fs *fs)
{
    uint32_t n, *good = sort_good(fs, 0, fs->node_count, &n);
    int err = good ? JX_OK : JX_ENOMEM;
    for (uint32_t i = 0, end; i < n && !err; i = end) {
        for (end = i + 1; end < n && by_what_it_is(fs->nodes, good[i], good[end]) == 0;)
            end++;
        if (end > i + 1)
            err = need_all(fs, good + i, end - i);
    }
    free(good);
    return err;
}

/* ---- one block of two ---------------------------------------------------------------- */

/* Whether one of n nodes, sorted by what they are, is the twin of node. */
static int has_twin(const struct jx_fs *fs, const uint32_t *sorted, uint32_t n, uint32_t node)
{
    uint32_t low = 0;
    while (low < n) {
        uint32_t middle = low + (n - low) / 2;
        int c = by_what_it_is(fs->nodes, sorted[middle], node);
        if (!c)
            return 1;
        if (c < 0)
            low = middle + 1;
        else
            n = middle;
    }
    return 0;
}

int jx_stands_in(const struct jx_fs *fs, const struct jx_block *block, const struct jx_block *other)
{
    uint32_t n, *good = sort_good(fs, other->first_node, other->node_count, &n);
    int all = good ? 1 : JX_ENOMEM;
    for (uint32_t i = block->first_node; i < block->first_node + block->node_count && all > 0; i++)
        if (fs->nodes[i].needed)
            all = has_twin(fs, good, n, i);
    free(good);
    return all;
}
