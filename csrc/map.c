/* map.c: which node shows at each place of a file, through overlapping, replaced, truncated and hole nodes
 * (jffs2_get_inode_nodes, jffs2_build_inode_fragtree). */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"

#define READ_STEP_BYTES 4096u

static int data_crc(struct jx_fs *fs, uint32_t offset, uint32_t len, uint32_t *crc)
{
    *crc = 0;
    while (len) {
        uint32_t step = len < READ_STEP_BYTES ? len : READ_STEP_BYTES;
        int err = jx_flash_read_forgiving(fs->flash, offset, fs->chunk, step);
        if (err)
            return err;
        *crc = jx_crc32(*crc, fs->chunk, step);
        offset += step;
        len -= step;
    }
    return JX_OK;
}

/* JX_GOOD, one of the other enum jx_check, or an error. */
static int check_data(struct jx_fs *fs, const struct jx_node *n)
{
    uint8_t head[JX_INODE_BYTES];
    struct jx_inode in;
    uint32_t crc = 0;
    int err = jx_flash_read_forgiving(fs->flash, n->offset, head, sizeof(head));
    if (err)
        return err;
    int check = jx_decode_inode(fs->endian, head, &in);
    if (check != JX_GOOD || !n->csize)
        return check;
    err = data_crc(fs, n->offset + JX_INODE_BYTES, n->csize, &crc);
    return err ? err : crc == in.data_crc ? JX_GOOD : JX_BAD_DATA_CRC;
}

int jx_node_data_good(struct jx_fs *fs, uint32_t node)
{
    struct jx_node *n = &fs->nodes[node];
    if (!n->data_checked) {
        int check = check_data(fs, n);
        if (check < 0)
            return check; /* nobody knows: an older node must not take its place */
        n->data_checked = check == JX_GOOD ? 1 : 2;
    }
    return n->data_checked == 1;
}

int jx_fs_check_data(jx_fs *fs, uint32_t node)
{
    if (node >= fs->node_count || fs->nodes[node].nodetype != JX_NODE_INODE)
        return JX_EINVAL;
    int good = jx_node_data_good(fs, node);
    return good < 0 ? good : good ? JX_OK : JX_ECORRUPT;
}

uint32_t jx_node_span(const struct jx_node *n)
{
    uint32_t len = n->type == JX_COMPR_ZERO && !n->dsize ? n->csize : n->dsize;
    return len > 0xffffffffu - n->file_offset ? 0xffffffffu - n->file_offset : len;
}

/* ---- which node shows where -------------------------------------------------- */

static int by_file_offset(const void *ctx, uint32_t a, uint32_t b)
{
    const struct jx_node *nodes = ctx;
    return nodes[a].file_offset < nodes[b].file_offset ? -1 : nodes[a].file_offset > nodes[b].file_offset;
}

static int newer(const struct jx_fs *fs, uint32_t a, uint32_t b)
{
    if (fs->nodes[a].version != fs->nodes[b].version)
        return fs->nodes[a].version > fs->nodes[b].version;
    int rank = jx_in_commit_block(fs, a) - jx_in_commit_block(fs, b);
    return rank ? rank > 0 : fs->nodes[a].offset > fs->nodes[b].offset; /* the node scanned last is read first */
}

/* A heap of nodes, the newest on top. */
static void heap_push(const struct jx_fs *fs, uint32_t *heap, uint32_t *n, uint32_t node)
{
    uint32_t i = (*n)++;
    while (i && newer(fs, node, heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = node;
}

static void heap_pop(const struct jx_fs *fs, uint32_t *heap, uint32_t *n)
{
    uint32_t last = heap[--*n], i = 0;
    for (uint32_t child; (child = 2 * i + 1) < *n; i = child) {
        if (child + 1 < *n && newer(fs, heap[child + 1], heap[child]))
            child++;
        if (!newer(fs, heap[child], last))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
}

static int add_frag(struct jx_map *m, uint32_t offset, uint32_t len, uint32_t node)
{
    if (m->count && m->frags[m->count - 1].node == node &&
        m->frags[m->count - 1].offset + m->frags[m->count - 1].len == offset) {
        m->frags[m->count - 1].len += len;
        return JX_OK;
    }
    if (m->count == m->capacity) {
        uint32_t capacity = m->capacity ? m->capacity * 2 : 64;
        struct jx_frag *frags = realloc(m->frags, (size_t)capacity * sizeof(*frags));
        if (!frags)
            return JX_ENOMEM;
        m->frags = frags;
        m->capacity = capacity;
    }
    m->frags[m->count++] = (struct jx_frag){offset, len, node};
    return JX_OK;
}

/* Sweeps over the file from 0 on, the newest good node on top at each place. order: the data nodes by file offset. */
static int show(struct jx_fs *fs, const uint32_t *order, uint32_t n, uint32_t *heap)
{
    uint32_t heaped = 0, next = 0, pos = 0;
    int err = JX_OK;
    while (!err && (next < n || heaped)) {
        if (!heaped && fs->nodes[order[next]].file_offset > pos)
            pos = fs->nodes[order[next]].file_offset;
        while (next < n && fs->nodes[order[next]].file_offset <= pos)
            heap_push(fs, heap, &heaped, order[next++]);
        const struct jx_node *top = &fs->nodes[heap[0]];
        uint32_t end = top->file_offset + jx_node_span(top);
        int good = end <= pos ? 0 : jx_node_data_good(fs, heap[0]);
        if (good < 0)
            return good;
        if (!good) {
            heap_pop(fs, heap, &heaped);
            continue;
        }
        if (next < n && fs->nodes[order[next]].file_offset < end)
            end = fs->nodes[order[next]].file_offset;
        err = add_frag(&fs->map, pos, end - pos, heap[0]);
        pos = end;
    }
    return err;
}

/* The newest node whose data are good gives the metadata (rii.latest_ref), but one of version 0 only if it has no data
 * (jffs2_build_inode_fragtree: high_ver starts there). */
static int find_meta(struct jx_fs *fs, uint32_t *order, uint32_t n)
{
    struct jx_map *m = &fs->map;
    uint32_t heaped = 0;
    m->meta = JX_NONE;
    for (uint32_t i = 0; i < n; i++) /* in place: slot i has been read when the heap reaches it */
        if (fs->nodes[order[i]].version || !jx_node_span(&fs->nodes[order[i]]))
            heap_push(fs, order, &heaped, order[i]);
    while (heaped && m->meta == JX_NONE) {
        int good = jx_node_data_good(fs, order[0]);
        if (good < 0)
            return good;
        if (good)
            m->meta = order[0];
        else
            heap_pop(fs, order, &heaped);
    }
    return JX_OK;
}

/* jffs2_truncate_fragtree: content ends at isize, or where its last piece ends. */
void jx_map_truncate(struct jx_fs *fs, uint32_t isize)
{
    struct jx_map *m = &fs->map;
    while (m->count && m->frags[m->count - 1].offset >= isize)
        m->count--;
    if (!m->count) {
        m->size = 0;
        return;
    }
    struct jx_frag *last = &m->frags[m->count - 1];
    if (last->len > isize - last->offset)
        last->len = isize - last->offset;
    m->size = last->offset + last->len;
}

int jx_map_inode(struct jx_fs *fs, uint32_t ino)
{
    struct jx_map *m = &fs->map;
    struct jx_inode_rec *rec = jx_inode_find(fs, ino);
    uint32_t n = 0, all = 0;
    if (!rec || !rec->exists)
        return JX_ENOENT;
    if (m->filled && m->ino == ino)
        return JX_OK;
    m->filled = 0;
    m->count = m->size = 0;
    m->meta = JX_NONE;
    for (uint32_t i = rec->first_node; i != JX_NONE; i = fs->nodes[i].next)
        all++;
    uint32_t *order = malloc(((size_t)all * 2 + 1) * sizeof(*order)), *heap = order + all;
    if (!order)
        return JX_ENOMEM;
    for (uint32_t i = rec->first_node; i != JX_NONE; i = fs->nodes[i].next)
        order[n++] = i;
    int err = find_meta(fs, order, n);
    n = 0;
    for (uint32_t i = rec->first_node; i != JX_NONE; i = fs->nodes[i].next)
        if (jx_node_span(&fs->nodes[i]))
            order[n++] = i;
    if (!err)
        err = jx_sort(order, n, by_file_offset, fs->nodes);
    if (!err)
        err = show(fs, order, n, heap);
    free(order);
    m->ino = ino;
    m->filled = !err;
    return err;
}
