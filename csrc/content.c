/* content.c: the content of a file, decompressed (read.c, jffs2_read_inode_range). */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"

/* The method as jffs2_decompress takes it. Above zlib a usercompr that is not 0 makes it another, unknown one. */
static int compr_of(struct jx_fs *fs, const struct jx_node *n)
{
    uint8_t usercompr;
    if (n->type <= JX_COMPR_ZLIB)
        return n->type;
    int err = jx_flash_read_forgiving(fs->flash, n->offset + offsetof(struct jx_media_inode, usercompr), &usercompr, 1);
    return err ? err : n->type | usercompr << 8;
}

int jx_node_content(struct jx_fs *fs, uint32_t node, uint8_t **out)
{
    const struct jx_node *n = &fs->nodes[node];
    uint32_t dsize = jx_node_span(n);
    if (n->csize > fs->flash->geo.erase_size_bytes || dsize > 1u << 20)
        return JX_ECORRUPT;
    uint8_t *buf = malloc((size_t)n->csize + dsize + 1);
    if (!buf)
        return JX_ENOMEM;
    int err = jx_flash_read_forgiving(fs->flash, n->offset + JX_INODE_BYTES, buf + dsize, n->csize);
    int compr = compr_of(fs, n);
    if (!err)
        err = compr < 0 ? compr : jx_decompress(fs->compressor, compr, buf + dsize, n->csize, buf, dsize);
    if (err)
        free(buf);
    else
        *out = buf;
    return err;
}

int jx_fs_check_content(jx_fs *fs, uint32_t node)
{
    if (node >= fs->node_count || fs->nodes[node].nodetype != JX_NODE_INODE)
        return JX_EINVAL;
    const struct jx_node *n = &fs->nodes[node];
    if (n->type == JX_COMPR_ZERO)
        return JX_OK;
    if (n->type == JX_COMPR_NONE)
        return n->csize < jx_node_span(n) ? JX_ECORRUPT : JX_OK;
    uint8_t *content = NULL;
    int err = jx_node_content(fs, node, &content);
    free(content);
    return err;
}

/* A part of a file, [offset, offset + len), and where it goes to. */
struct window { uint32_t offset, len; uint8_t *buf; };

/* One frag's share of the window, from the node's content, or without it (NULL) from the medium. */
static int copy_frag(struct jx_fs *fs, const struct jx_frag *frag, const uint8_t *content, const struct window *w)
{
    const struct jx_node *n = &fs->nodes[frag->node];
    uint32_t from = frag->offset > w->offset ? frag->offset : w->offset, skip = from - n->file_offset;
    uint32_t room = w->len - (from - w->offset), len = frag->len - (from - frag->offset);
    uint8_t *to = w->buf + (from - w->offset);
    if (len > room)
        len = room;
    if (content) {
        memcpy(to, content + skip, len);
        return JX_OK;
    }
    if (n->csize < skip || n->csize - skip < len)
        return JX_ECORRUPT;
    return jx_flash_read_forgiving(fs->flash, n->offset + JX_INODE_BYTES + skip, to, len);
}

/* Whether this handle's reader decompresses a method. */
static int knows_method(const struct jx_fs *fs, uint32_t compr)
{
    return !fs->reader.compr_mask || (compr < 32 && fs->reader.compr_mask >> compr & 1);
}

/* Zeros of which nothing is stored; to a reader that does not know the method they are no zeros. */
static int is_hole(const struct jx_fs *fs, uint32_t node)
{
    return fs->nodes[node].type == JX_COMPR_ZERO && knows_method(fs, JX_COMPR_ZERO);
}

/* The n frags of one node. */
static int read_frags(struct jx_fs *fs, const uint32_t *frags, uint32_t n, const struct window *w)
{
    uint32_t node = fs->map.frags[*frags].node;
    uint8_t *content = NULL;
    int err = knows_method(fs, fs->nodes[node].type) ? JX_OK : JX_EUNKNOWN_COMPR;
    if (err || fs->nodes[node].type == JX_COMPR_ZERO)
        return err;
    if (fs->nodes[node].type != JX_COMPR_NONE)
        err = jx_node_content(fs, node, &content);
    for (uint32_t i = 0; i < n && !err; i++)
        err = copy_frag(fs, &fs->map.frags[frags[i]], content, w);
    free(content);
    return err;
}

static int by_node(const void *ctx, uint32_t a, uint32_t b)
{
    const struct jx_frag *frags = ctx;
    return frags[a].node < frags[b].node ? -1 : frags[a].node > frags[b].node;
}

/* Node by node, however often one shows through others: each is decompressed once. The error is that of the place that comes
 * first in the file. */
static int read_window(struct jx_fs *fs, uint32_t first, uint32_t end, const struct window *w)
{
    uint32_t n = end - first, failed = JX_NONE;
    uint32_t *order = malloc(((size_t)n + 1) * sizeof(*order));
    if (!order)
        return JX_ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        order[i] = first + i;
    int err = jx_sort(order, n, by_node, fs->map.frags);
    for (uint32_t i = 0, next; i < n && err != JX_ENOMEM; i = next) {
        for (next = i + 1; next < n && by_node(fs->map.frags, order[i], order[next]) == 0;)
            next++;
        int one = read_frags(fs, order + i, next - i, w);
        if (one && order[i] < failed) {
            failed = order[i];
            err = one;
        }
    }
    free(order);
    return err;
}

/* The first frag that ends behind offset. */
static uint32_t find_frag(const struct jx_map *m, uint32_t offset)
{
    uint32_t lo = 0, hi = m->count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->frags[mid].offset + m->frags[mid].len <= offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int64_t jx_fs_read(jx_fs *fs, uint32_t ino, uint32_t offset, void *buf, uint32_t len)
{
    struct jx_stat st;
    int err = jx_fs_stat(fs, ino, &st);
    if (err)
        return err;
    if ((st.mode & S_IFMT) != S_IFREG)
        return (st.mode & S_IFMT) == S_IFDIR ? JX_EISDIR : JX_EINVAL;
    if (offset >= st.size)
        return 0;
    if (len > st.size - offset)
        len = st.size - offset;
    uint32_t first = find_frag(&fs->map, offset), end = first;
    while (end < fs->map.count && fs->map.frags[end].offset < offset + len)
        end++;
    memset(buf, 0, len); /* where nothing was ever written, and holes */
    err = read_window(fs, first, end, &(struct window){offset, len, buf});
    return err ? err : (int64_t)len;
}

int jx_fs_data(jx_fs *fs, uint32_t ino, uint32_t offset, uint32_t *at, uint32_t *len)
{
    struct jx_stat st;
    int err = jx_fs_stat(fs, ino, &st);
    if (err)
        return err;
    if ((st.mode & S_IFMT) != S_IFREG)
        return (st.mode & S_IFMT) == S_IFDIR ? JX_EISDIR : JX_EINVAL;
    if (!fs->map.count)
        return 0;
    const struct jx_frag *frag = fs->map.frags + find_frag(&fs->map, offset), *end = fs->map.frags + fs->map.count;
    while (frag < end && is_hole(fs, frag->node))
        frag++;
    if (frag == end)
        return 0;
    *at = frag->offset > offset ? frag->offset : offset;
    uint32_t to = frag->offset;
    for (; frag < end && frag->offset == to && !is_hole(fs, frag->node); frag++)
        to += frag->len;
    *len = to - *at;
    return 1;
}

int64_t jx_fs_extents(jx_fs *fs, uint32_t ino, struct jx_extent *out, uint32_t max)
{
    struct jx_stat st;
    int err = jx_fs_stat(fs, ino, &st);
    if (err)
        return err;
    for (uint32_t i = 0; i < fs->map.count && i < max; i++) {
        const struct jx_frag *f = &fs->map.frags[i];
        out[i] = (struct jx_extent){f->offset, f->len, f->node};
    }
    return fs->map.count;
}
