/* index.c: from nodes to inodes and names: who wins, who is reached (jffs2_add_fd_to_list, jffs2_build_filesystem,
 * jffs2_build_xattr_subsystem). */
#include <stdlib.h>
#include <string.h>
#include "fs.h"
#include "mutants.h"

#define XREF_DELETE_MARKER 1u

/* ---- the table of inodes -------------------------------------------------- */

#define PROBES_MAX 64u /* a new inode that needs more makes the table be laid out anew */
#define SEEDS_MAX 16u  /* ways to lay it out: numbers chosen to collide in all of them cannot be found in 32 bits */

/* Every bit of ino counts in the low bits of the result. */
static uint32_t hash_ino(const struct jx_fs *fs, uint32_t ino)
{
    ino = (ino ^ fs->hash_seed * 0x9e3779b9u);
    ino = (ino ^ ino >> 16) * 0x7feb352du;
    ino = (ino ^ ino >> 15) * 0x846ca68bu;
    return (ino ^ ino >> 16) & fs->hash_mask;
}

static uint32_t hash_slot(const struct jx_fs *fs, uint32_t ino)
{
    uint32_t i = hash_ino(fs, ino);
    while (fs->inode_hash[i] != JX_NONE && fs->inodes[fs->inode_hash[i]].ino != ino)
        i = (i + 1) & fs->hash_mask;
    return i;
}

struct jx_inode_rec *jx_inode_find(const struct jx_fs *fs, uint32_t ino)
{
    uint32_t at = fs->inode_hash ? fs->inode_hash[hash_slot(fs, ino)] : JX_NONE;
    return at == JX_NONE ? NULL : &fs->inodes[at];
}

static void fill_hash(struct jx_fs *fs)
{
    memset(fs->inode_hash, 0xff, ((size_t)fs->hash_mask + 1) * sizeof(*fs->inode_hash));
    for (uint32_t i = 0; i < fs->inode_count; i++)
        fs->inode_hash[hash_slot(fs, fs->inodes[i].ino)] = i;
}

static int grow(struct jx_fs *fs)
{
    uint32_t capacity = fs->inode_capacity ? fs->inode_capacity * 2 : 64;
    struct jx_inode_rec *inodes = realloc(fs->inodes, (size_t)capacity * sizeof(*inodes));
    if (!inodes)
        return JX_ENOMEM;
    fs->inodes = inodes;
    uint32_t *hash = malloc((size_t)capacity * 2 * sizeof(*hash));
    if (!hash)
        return JX_ENOMEM;
    free(fs->inode_hash);
    fs->inode_hash = hash;
    fs->inode_capacity = capacity;
    fs->hash_mask = capacity * 2 - 1;
    fill_hash(fs);
    return JX_OK;
}

struct jx_inode_rec *jx_inode_get(struct jx_fs *fs, uint32_t ino)
{
    struct jx_inode_rec *rec = jx_inode_find(fs, ino);
    if (rec)
        return rec;
    if (fs->inode_count == fs->inode_capacity && grow(fs) != JX_OK)
        return NULL;
    rec = &fs->inodes[fs->inode_count];
    memset(rec, 0, sizeof(*rec));
    rec->ino = ino;
    rec->first_node = JX_NONE;
    uint32_t slot = hash_slot(fs, ino);
    fs->inode_hash[slot] = fs->inode_count++;
    if (((slot - hash_ino(fs, ino)) & fs->hash_mask) > PROBES_MAX && fs->hash_seed < SEEDS_MAX) {
        fs->hash_seed++;
        fill_hash(fs);
    }
    return rec;
}

static int note_node(struct jx_fs *fs, uint32_t i)
{
    struct jx_node *n = &fs->nodes[i];
    int inode = n->nodetype == JX_NODE_INODE && n->verdict != JX_V_BAD_NODE && n->verdict != JX_V_BAD_HEADER;
    /* makes an inode cache, though reading the inode drops the node: by its CRC or by its lengths */
    int listed = n->nodetype == JX_NODE_INODE && (n->by_summary || (n->verdict == JX_V_BAD_NODE && n->ino));
    if (!inode && !listed && !jx_is_named(n))
        return JX_OK;
    struct jx_inode_rec *rec = jx_inode_get(fs, n->ino);
    if (!rec)
        return JX_ENOMEM;
    if (n->version > rec->highest_version && (n->verdict == JX_V_GOOD || !JX_MUTANT(version_of_hidden_reused)))
        rec->highest_version = n->version;
    if (!jx_is_seen(n) && !listed)
        return JX_OK;
    rec->exists = 1;
    if (inode && jx_is_seen(n)) {
        n->next = rec->first_node;
        rec->first_node = i;
    }
    return JX_OK;
}

static int note_nodes(struct jx_fs *fs)
{
    int err = jx_inode_get(fs, JX_ROOT_INO) ? JX_OK : JX_ENOMEM;
    for (uint32_t i = 0; i < fs->node_count && !err; i++) {
        fs->dirent_count += jx_is_named(&fs->nodes[i]);
        fs->visible_nodes += fs->nodes[i].verdict == JX_V_GOOD && fs->nodes[i].nodetype != 0;
        err = note_node(fs, i);
    }
    if (!err)
        jx_inode_find(fs, JX_ROOT_INO)->exists = 1;
    return err;
}

/* ---- names ---------------------------------------------------------------- */

static int name_cmp(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
    int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return c ? c : (a_len < b_len ? -1 : a_len > b_len);
}

int jx_dirent_key_cmp(const struct jx_fs *fs, uint32_t a, uint32_t b)
{
    const struct jx_node *x = &fs->nodes[a], *y = &fs->nodes[b];
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return name_cmp(jx_node_name(fs, x), x->nsize, jx_node_name(fs, y), y->nsize);
}

static int version_order(const struct jx_fs *fs, uint32_t a, uint32_t b)
{
    if (fs->nodes[a].version == fs->nodes[b].version)
        return 0;
    return fs->nodes[a].version < fs->nodes[b].version ? -1 : 1;
}

static int dirent_order(const void *ctx, uint32_t a, uint32_t b)
{
    const struct jx_fs *fs = ctx;
    int c = jx_dirent_key_cmp(fs, a, b);
    return c ? c : version_order(fs, a, b);
}

static int sort_dirents(struct jx_fs *fs)
{
    uint32_t k = 0;
    fs->dirents = malloc(((size_t)fs->dirent_count + 1) * sizeof(*fs->dirents));
    if (!fs->dirents)
        return JX_ENOMEM;
    for (uint32_t i = 0; i < fs->node_count; i++)
        if (jx_is_named(&fs->nodes[i]))
            fs->dirents[k++] = i;
    return jx_sort(fs->dirents, fs->dirent_count, dirent_order, fs);
}

/* First index in fs->dirents whose key is not below (pino, name). */
static uint32_t lower_bound(const struct jx_fs *fs, uint32_t pino, const char *name, uint32_t nsize)
{
    uint32_t lo = 0, hi = fs->dirent_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct jx_node *n = &fs->nodes[fs->dirents[mid]];
        int c = n->ino != pino ? (n->ino < pino ? -1 : 1) : name_cmp(jx_node_name(fs, n), n->nsize, name, nsize);
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint32_t jx_dirent_run(const struct jx_fs *fs, uint32_t pino, const char *name, uint32_t nsize, uint32_t *first)
{
    uint32_t at = *first = lower_bound(fs, pino, name, nsize);
    while (at < fs->dirent_count) {
        const struct jx_node *n = &fs->nodes[fs->dirents[at]];
        if (n->ino != pino || n->nsize != nsize || memcmp(jx_node_name(fs, n), name, nsize))
            break;
        at++;
    }
    return at - *first;
}

/* The last of the highest version wins: of equal ones, that which the scan meets later (jffs2_add_fd_to_list). */
uint32_t jx_winner(const struct jx_fs *fs, uint32_t first, uint32_t end)
{
    while (end-- > first) {
        const struct jx_node *n = &fs->nodes[fs->dirents[end]];
        if (jx_is_seen(n) && (n->child || !fs->reader.ignores_deletions))
            return fs->dirents[end];
    }
    return JX_NONE;
}

/* Notes the names of one directory, those that can be listed or the ghosts. */
static void take_names(struct jx_fs *fs, uint32_t i, uint32_t last, int ghosts)
{
    while (i < last) {
        uint32_t end = i;
        while (end < last && jx_dirent_key_cmp(fs, fs->dirents[i], fs->dirents[end]) == 0)
            end++;
        uint32_t winner = jx_winner(fs, i, end);
        i = end;
        if (winner == JX_NONE || !fs->nodes[winner].child || jx_is_ghost(&fs->nodes[winner]) != ghosts)
            continue;
        const struct jx_node *n = &fs->nodes[winner];
        struct jx_inode_rec *child = jx_inode_find(fs, n->child);
        if (!child || !child->exists)
            continue; /* pass 1: "child doesn't exist" */
        struct jx_inode_rec *dir = jx_inode_find(fs, n->ino);
        if (!dir->name_count && !dir->ghost_count)
            dir->first_name = fs->name_count;
        *(ghosts ? &dir->ghost_count : &dir->name_count) += 1;
        fs->names_of[fs->name_count++] =
            (struct jx_name){.pino = n->ino, .ino = n->child, .name = n->name, .node = winner, .nsize = n->nsize, .type = n->type};
    }
}

static int pick_winners(struct jx_fs *fs)
{
    fs->names_of = calloc((size_t)fs->dirent_count + 1, sizeof(*fs->names_of));
    if (!fs->names_of)
        return JX_ENOMEM;
    for (uint32_t i = 0, end; i < fs->dirent_count; i = end) {
        for (end = i; end < fs->dirent_count && fs->nodes[fs->dirents[end]].ino == fs->nodes[fs->dirents[i]].ino;)
            end++;
        take_names(fs, i, end, 0);
        take_names(fs, i, end, 1);
    }
    return JX_OK;
}

/* ---- who is reached ------------------------------------------------------- */

/* jffs2_build_filesystem, passes 1, 2 and 2a: links are counted, unlinked inodes taken away with their children's links. */
static int count_links(struct jx_fs *fs)
{
    uint32_t *dead = malloc(((size_t)fs->inode_count + 1) * sizeof(*dead)), n = 0;
    if (!dead)
        return JX_ENOMEM;
    jx_inode_find(fs, JX_ROOT_INO)->nlink = 1;
    for (uint32_t i = 0; i < fs->name_count; i++)
        jx_inode_find(fs, fs->names_of[i].ino)->nlink++;
    for (uint32_t i = 0; i < fs->inode_count; i++) {
        fs->inodes[i].alive = fs->inodes[i].nlink > 0;
        if (!fs->inodes[i].alive)
            dead[n++] = i;
    }
    while (n) {
        const struct jx_inode_rec *dir = &fs->inodes[dead[--n]];
        for (uint32_t i = 0; i < dir->name_count + dir->ghost_count; i++) {
            struct jx_inode_rec *child = jx_inode_find(fs, fs->names_of[dir->first_name + i].ino);
            if (--child->nlink == 0) {
                child->alive = 0;
                dead[n++] = (uint32_t)(child - fs->inodes);
            }
        }
    }
    free(dead);
    return JX_OK;
}

/* ---- extended attributes --------------------------------------------------- */

static int xref_order(const void *ctx, uint32_t a, uint32_t b)
{
    const struct jx_node *x = &((const struct jx_fs *)ctx)->nodes[a], *y = &((const struct jx_fs *)ctx)->nodes[b];
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    if (x->child != y->child)
        return x->child < y->child ? -1 : 1;
    return version_order(ctx, a, b);
}

static int xdatum_order(const void *ctx, uint32_t a, uint32_t b)
{
    const struct jx_node *x = &((const struct jx_fs *)ctx)->nodes[a], *y = &((const struct jx_fs *)ctx)->nodes[b];
    if (x->child != y->child)
        return x->child < y->child ? -1 : 1;
    return version_order(ctx, a, b);
}

/* The good nodes of one type, in order; count in *n. */
static int collect(struct jx_fs *fs, uint16_t type, jx_less order, uint32_t **out, uint32_t *n)
{
    uint32_t k = 0;
    *n = 0;
    for (uint32_t i = 0; i < fs->node_count; i++)
        *n += fs->nodes[i].nodetype == type && fs->nodes[i].verdict == JX_V_GOOD;
    *out = malloc(((size_t)*n + 1) * sizeof(**out));
    if (!*out)
        return JX_ENOMEM;
    for (uint32_t i = 0; i < fs->node_count; i++)
        if (fs->nodes[i].nodetype == type && fs->nodes[i].verdict == JX_V_GOOD)
            (*out)[k++] = i;
    return jx_sort(*out, *n, order, fs);
}

/* The newest reference of each (ino, xid) counts, unless it deletes (its low bit) or its inode is gone. */
static int pick_xrefs(struct jx_fs *fs)
{
    uint32_t n;
    int err = collect(fs, JX_NODE_XATTR, xdatum_order, &fs->xdata, &fs->xdatum_count);
    if (!err)
        err = collect(fs, JX_NODE_XREF, xref_order, &fs->xrefs, &n);
    for (uint32_t i = 0; !err && i < n; i++) {
        const struct jx_node *x = &fs->nodes[fs->xrefs[i]];
        const struct jx_node *next = i + 1 < n ? &fs->nodes[fs->xrefs[i + 1]] : NULL;
        struct jx_inode_rec *rec = jx_inode_find(fs, x->ino);
        if (rec)
            rec->has_xrefs = 1;
        if (next && next->ino == x->ino && next->child == x->child)
            continue;
        if (!(x->version & XREF_DELETE_MARKER) && rec && rec->alive)
            fs->xrefs[fs->xref_count++] = fs->xrefs[i];
    }
    return err;
}

int jx_index(struct jx_fs *fs)
{
    int err = note_nodes(fs);
    if (!err)
        err = sort_dirents(fs);
    if (!err)
        err = pick_winners(fs);
    if (!err)
        err = count_links(fs);
    if (!err)
        err = pick_xrefs(fs);
    return err;
}
