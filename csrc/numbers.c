/* numbers.c: which inode numbers a transaction may give. */
#include <stdlib.h>
#include "mutants.h"
#include "txn.h"

#define SPARE_NUMBERS (1u << 20) /* as many must be left above the highest one, or a gap is looked for */

static int by_value(const void *ctx, uint32_t a, uint32_t b)
{
    (void)ctx;
    return a < b ? -1 : a > b;
}

/* Every number that a node on the medium carries, hidden and obsolete ones too, ascending; how many, or an error. */
static int64_t numbers_in_use(const struct jx_fs *fs, uint32_t *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < fs->node_count; i++) {
        const struct jx_node *n = &fs->nodes[i];
        if (n->nodetype == JX_NODE_INODE || n->nodetype == JX_NODE_DIRENT || n->nodetype == JX_NODE_XREF)
            out[count++] = n->ino;
        if (n->nodetype == JX_NODE_DIRENT)
            out[count++] = n->child;
    }
    int err = jx_sort(out, count, by_value, NULL);
    return err ? err : (int64_t)count;
}

/* The longest run of numbers between two that are in use. */
static void widest_gap(const uint32_t *used, uint32_t count, uint32_t *first, uint32_t *end)
{
    uint32_t below = JX_ROOT_INO;
    *first = *end = JX_NUMBER_LIMIT;
    for (uint32_t i = 0; i <= count && below < JX_NUMBER_LIMIT; i++) {
        uint32_t next = i < count && used[i] < JX_NUMBER_LIMIT ? used[i] : JX_NUMBER_LIMIT;
        if (next > below && next - below - 1 > *end - *first) {
            *first = below + 1;
            *end = next;
        }
        below = next > below ? next : below;
    }
}

int jx_free_numbers(const struct jx_fs *fs, uint32_t *first, uint32_t *end)
{
    *first = fs->highest_ino + 1;
    *end = JX_NUMBER_LIMIT;
    if (fs->highest_ino < JX_NUMBER_LIMIT - SPARE_NUMBERS || JX_MUTANT(gap_unseen))
        return JX_OK;
    uint32_t *used = malloc((2 * (size_t)fs->node_count + 1) * sizeof(*used));
    int64_t count = used ? numbers_in_use(fs, used) : JX_ENOMEM;
    if (count >= 0)
        widest_gap(used, (uint32_t)count, first, end);
    free(used);
    return count < 0 ? (int)count : JX_OK;
}
