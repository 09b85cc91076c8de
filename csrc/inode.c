/* inode.c: reading one inode through overlapping, replaced, truncated and hole nodes (fs/jffs2/readinode.c, read.c). */
#define _POSIX_C_SOURCE 200809L /* strnlen */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"

#define DT_DIR 4
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

static uint32_t span(const struct jx_node *n)
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
        uint32_t end = top->file_offset + span(top);
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
        if (fs->nodes[order[i]].version || !span(&fs->nodes[order[i]]))
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
static void truncate_to(struct jx_fs *fs, uint32_t isize)
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
        if (span(&fs->nodes[i]))
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

/* ---- metadata --------------------------------------------------------------- */

static int read_head(struct jx_fs *fs, uint32_t node, struct jx_inode *in)
{
    uint8_t head[JX_INODE_BYTES];
    int err = jx_flash_read_forgiving(fs->flash, fs->nodes[node].offset, head, sizeof(head));
    if (err)
        return err;
    return jx_decode_inode(fs->endian, head, in) == JX_GOOD ? JX_OK : JX_ECORRUPT;
}

/* The next dirent that reading directory ino finds, from *i in fs->dirents on, which it moves: winners, deletions too,
 * but for those of a missing child (the others are obsolete by then). */
static const struct jx_node *next_dirent(const struct jx_fs *fs, uint32_t ino, uint32_t *i)
{
    while (*i < fs->dirent_count && fs->nodes[fs->dirents[*i]].ino == ino) {
        const struct jx_node *winner = NULL;
        uint32_t first = fs->dirents[*i];
        for (; *i < fs->dirent_count && jx_dirent_key_cmp(fs, first, fs->dirents[*i]) == 0; ++*i)
            if (jx_is_seen(&fs->nodes[fs->dirents[*i]]))
                winner = &fs->nodes[fs->dirents[*i]];
        if (!winner || jx_is_ghost(winner))
            continue;
        const struct jx_inode_rec *child = winner->child ? jx_inode_find(fs, winner->child) : NULL;
        if (!winner->child || (child && child->exists))
            return winner;
    }
    return NULL;
}

static int has_dirents(const struct jx_fs *fs, uint32_t ino)
{
    uint32_t i;
    jx_dirent_run(fs, ino, "", 0, &i);
    return next_dirent(fs, ino, &i) != NULL;
}

uint32_t jx_time_dirent(const struct jx_fs *fs, uint32_t ino, uint32_t version)
{
    const struct jx_node *n;
    uint32_t i, found = JX_NONE;
    jx_dirent_run(fs, ino, "", 0, &i);
    while ((n = next_dirent(fs, ino, &i)) != NULL)
        if (n->version > version && n->file_offset) {
            version = n->version;
            found = (uint32_t)(n - fs->nodes);
        }
    return found;
}

static void dirent_time(const struct jx_fs *fs, uint32_t ino, uint32_t version, struct jx_stat *out)
{
    uint32_t node = jx_time_dirent(fs, ino, version);
    if (node != JX_NONE)
        out->mtime = out->ctime = fs->nodes[node].file_offset;
}

static uint32_t child_directories(const struct jx_fs *fs, const struct jx_inode_rec *rec)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < rec->name_count; i++)
        n += fs->names_of[rec->first_name + i].type == DT_DIR;
    return n;
}

/* "Argh. Special inode": these have one data node, from the start on, and nothing newer without data. */
static int special_whole(const struct jx_fs *fs)
{
    return fs->map.count == 1 && fs->map.frags[0].node == fs->map.meta && !fs->map.frags[0].offset;
}

static int node_content(struct jx_fs *fs, uint32_t node, uint8_t **out);

/* By what the data stand for, compressed or not (jffs2_iget). */
static int device_number(struct jx_fs *fs, const struct jx_inode *in, struct jx_stat *out)
{
    uint8_t *data;
    if (in->dsize != 2 && in->dsize != 4)
        return JX_ECORRUPT;
    int err = node_content(fs, fs->map.meta, &data);
    if (err)
        return err;
    err = jx_decode_dev(fs->endian, data, in->dsize, &out->major, &out->minor);
    free(data);
    return err;
}

/* Maps the inode; its newest metadata, all 0 but the mode where none are left of a directory ("fake some modes for it"). */
static int load(struct jx_fs *fs, uint32_t ino, struct jx_inode *in)
{
    int err = jx_map_inode(fs, ino);
    if (err)
        return err;
    if (fs->map.meta != JX_NONE)
        return read_head(fs, fs->map.meta, in);
    memset(in, 0, sizeof(*in));
    in->mode = S_IFDIR | 0755;
    return ino == JX_ROOT_INO || has_dirents(fs, ino) ? JX_OK : JX_ECORRUPT;
}

int jx_fs_stat(jx_fs *fs, uint32_t ino, struct jx_stat *out)
{
    struct jx_inode in;
    struct jx_inode_rec *rec = jx_inode_find(fs, ino);
    int err = load(fs, ino, &in);
    if (err)
        return err;
    memset(out, 0, sizeof(*out));
    out->ino = ino;
    out->nlink = rec->nlink;
    out->mode = in.mode;
    out->uid = in.uid;
    out->gid = in.gid;
    out->atime = in.atime;
    out->mtime = in.mtime;
    out->ctime = in.ctime;
    out->size = in.isize;
    switch (in.mode & S_IFMT) {
    case S_IFDIR:
        if (fs->map.meta != JX_NONE)
            dirent_time(fs, ino, in.version, out);
        out->nlink = 2 + child_directories(fs, rec);
        return JX_OK;
    case S_IFREG:
        truncate_to(fs, in.isize);
        out->size = fs->map.size;
        return JX_OK;
    case S_IFLNK:
        if (!out->size)
            out->size = in.dsize;
        return special_whole(fs) && in.csize <= JX_MAX_NAME ? JX_OK : JX_ECORRUPT;
    case S_IFBLK:
    case S_IFCHR:
        return special_whole(fs) ? device_number(fs, &in, out) : JX_ECORRUPT;
    default:
        return JX_OK;
    }
}

/* ---- content ----------------------------------------------------------------- */

/* The method as jffs2_decompress takes it. Above zlib a usercompr that is not 0 makes it another, unknown one. */
static int compr_of(struct jx_fs *fs, const struct jx_node *n)
{
    uint8_t usercompr;
    if (n->type <= JX_COMPR_ZLIB)
        return n->type;
    int err = jx_flash_read_forgiving(fs->flash, n->offset + offsetof(struct jx_media_inode, usercompr), &usercompr, 1);
    return err ? err : n->type | usercompr << 8;
}

/* The decompressed content of a node, at most 1 MiB, in *out (allocated). */
static int node_content(struct jx_fs *fs, uint32_t node, uint8_t **out)
{
    const struct jx_node *n = &fs->nodes[node];
    uint32_t dsize = span(n);
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
        return n->csize < span(n) ? JX_ECORRUPT : JX_OK;
    uint8_t *content = NULL;
    int err = node_content(fs, node, &content);
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

/* The n frags of one node. */
static int read_frags(struct jx_fs *fs, const uint32_t *frags, uint32_t n, const struct window *w)
{
    uint32_t node = fs->map.frags[*frags].node;
    uint8_t *content = NULL;
    int err = JX_OK;
    if (fs->nodes[node].type == JX_COMPR_ZERO)
        return JX_OK;
    if (fs->nodes[node].type != JX_COMPR_NONE)
        err = node_content(fs, node, &content);
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
    while (frag < end && fs->nodes[frag->node].type == JX_COMPR_ZERO)
        frag++;
    if (frag == end)
        return 0;
    *at = frag->offset > offset ? frag->offset : offset;
    uint32_t to = frag->offset;
    for (; frag < end && frag->offset == to && fs->nodes[frag->node].type != JX_COMPR_ZERO; frag++)
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

int jx_fs_readlink(jx_fs *fs, uint32_t ino, void *buf, uint32_t len)
{
    struct jx_stat st;
    int err = jx_fs_stat(fs, ino, &st);
    if (err)
        return err;
    if ((st.mode & S_IFMT) != S_IFLNK)
        return JX_EINVAL;
    const struct jx_node *n = &fs->nodes[fs->map.meta];
    uint32_t take = n->csize < len ? n->csize : len;
    err = jx_flash_read_forgiving(fs->flash, n->offset + JX_INODE_BYTES, buf, take);
    return err ? err : (int)strnlen(buf, take);
}

int jx_fs_list(jx_fs *fs, uint32_t pino, const struct jx_name **out)
{
    struct jx_inode in;
    struct jx_inode_rec *rec = jx_inode_find(fs, pino);
    int err = load(fs, pino, &in);
    if (err)
        return err;
    if ((in.mode & S_IFMT) != S_IFDIR)
        return JX_ENOTDIR;
    *out = fs->names_of + rec->first_name;
    return (int)rec->name_count;
}

int jx_fs_lookup(jx_fs *fs, uint32_t pino, const void *name, uint32_t nsize, uint32_t *ino)
{
    const struct jx_name *names;
    int n = jx_fs_list(fs, pino, &names), lo = 0;
    if (n < 0)
        return n;
    for (int hi = n; lo < hi;) {
        int mid = lo + (hi - lo) / 2;
        uint32_t shorter = names[mid].nsize < nsize ? names[mid].nsize : nsize;
        int c = memcmp(fs->names + names[mid].name, name, shorter);
        if (!c && names[mid].nsize == nsize) {
            *ino = names[mid].ino;
            return JX_OK;
        }
        if (c < 0 || (!c && names[mid].nsize < nsize))
            lo = mid + 1;
        else
            hi = mid;
    }
    return JX_ENOENT;
}

/* ---- extended attributes ------------------------------------------------------ */

/* Of equal versions the later one replaces (jffs2_setup_xattr_datum). */
uint32_t jx_xattr_place(const struct jx_fs *fs, uint32_t xid)
{
    uint32_t lo = 0, hi = fs->xdatum_count;
    while (lo < hi) { /* first entry above xid */
        uint32_t mid = lo + (hi - lo) / 2;
        if (fs->nodes[fs->xdata[mid]].child <= xid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && fs->nodes[fs->xdata[lo - 1]].child == xid ? lo - 1 : JX_NONE;
}

uint32_t jx_xattr_datum(const struct jx_fs *fs, uint32_t xid)
{
    uint32_t place = jx_xattr_place(fs, xid);
    return place == JX_NONE ? JX_NONE : fs->xdata[place];
}

int jx_fs_xattrs(jx_fs *fs, uint32_t ino, struct jx_attribute *out, uint32_t max)
{
    uint32_t lo = 0, hi = fs->xref_count;
    int count = 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (fs->nodes[fs->xrefs[mid]].ino < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < fs->xref_count && fs->nodes[fs->xrefs[lo]].ino == ino; lo++) {
        const struct jx_node *x = &fs->nodes[fs->xrefs[lo]];
        uint32_t at = jx_xattr_datum(fs, x->child);
        if (at == JX_NONE)
            continue;
        const struct jx_node *d = &fs->nodes[at];
        if ((uint32_t)count < max)
            out[count] = (struct jx_attribute){.xid = x->child, .xseqno = x->version, .node = at, .xprefix = d->type,
                                               .name_len = d->nsize, .value_len = (uint16_t)d->dsize};
        count++;
    }
    return count;
}

int jx_fs_xattr_read(jx_fs *fs, const struct jx_attribute *a, void *name, void *value)
{
    if (a->node >= fs->node_count || fs->nodes[a->node].nodetype != JX_NODE_XATTR)
        return JX_EINVAL;
    const struct jx_node *n = &fs->nodes[a->node];
    uint32_t len = (uint32_t)n->nsize + 1u + n->dsize;
    uint8_t *buf = malloc(len);
    if (!buf)
        return JX_ENOMEM;
    int err = jx_flash_read_forgiving(fs->flash, n->offset + JX_XATTR_BYTES, buf, len);
    if (!err && jx_crc32(0, buf, len) != n->csize) /* an xattr's record keeps its data CRC there */
        err = JX_ECORRUPT;
    if (!err) {
        memcpy(name, buf, n->nsize);
        memcpy(value, buf + n->nsize + 1, n->dsize);
    }
    free(buf);
    return err;
}
