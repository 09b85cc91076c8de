/* digest.c: one number for a whole tree, so that two trees compare in one step. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"

#define READ_BYTES 65536u /* a multiple of PAGE_BYTES; holds the longest value of an attribute */
#define PAGE_BYTES 4096u

/* Two multiply-xor lanes over 8-byte words, little-endian on every host; not for adversaries. */
struct hash { uint64_t a, b; };

static void hash_word(struct hash *h, uint64_t w)
{
    h->a = (h->a ^ w) * 0x9e3779b97f4a7c15ull;
    h->a ^= h->a >> 29;
    h->b = (h->b + w) * 0xc2b2ae3d27d4eb4full;
    h->b ^= h->b >> 31;
}

static void hash_bytes(struct hash *h, const void *data, uint32_t len)
{
    const uint8_t *p = data;
    hash_word(h, len);
    for (; len >= 8; p += 8, len -= 8)
        hash_word(h, get_le64(p));
    if (len) {
        uint8_t tail[8] = {0};
        memcpy(tail, p, len);
        hash_word(h, get_le64(tail));
    }
}

/* A datum of an attribute, read once however many references there are. */
struct datum {
    struct hash name, value;
    int32_t err;
    uint8_t known;
};

/* An attribute of the inode under way. */
struct attribute { const struct datum *datum; uint32_t xseqno; uint8_t xprefix; };

struct walk {
    jx_fs *fs;
    const struct jx_known_contents *known; /* or NULL */
    struct hash hash;
    uint8_t *buf;
    struct datum *data;  /* by position in fs->xdata */
    uint8_t *seen;       /* by index of the inode record: 1 met */
    int8_t *errs;        /* what jx_fs_stat said of it then */
    uint32_t *first_met; /* ordinal at which an inode was first met: the link group */
    uint32_t met;
    uint32_t *stack;     /* directories: inode, then position in its names */
    uint32_t depth;
};

/* ---- content -------------------------------------------------------------------- */

/* Pages of nothing but zeros leave no trace, so that a hole is as good as the zeros that it stands for. */
static void hash_pages(struct hash *hash, const uint8_t *buf, uint32_t offset, uint32_t len)
{
    static const uint8_t zeros[PAGE_BYTES];
    for (uint32_t at = 0, n; at < len; at += n) {
        n = len - at < PAGE_BYTES ? len - at : PAGE_BYTES;
        if (memcmp(buf + at, zeros, n) == 0)
            continue;
        hash_word(hash, offset + at);
        hash_bytes(hash, buf + at, n);
    }
}

/* Stretch by stretch of what is no hole, in whole pages: costs what the medium holds, not what the file seems to. JX_ENOMEM;
 * other errors take part. */
static int read_content(struct walk *w, const struct jx_stat *st, struct hash *hash)
{
    uint32_t offset = 0, at, len;
    int64_t n = 1;
    while (offset < st->size && n > 0 && jx_fs_data(w->fs, st->ino, offset, &at, &len) > 0) {
        uint32_t end = at + len;
        for (offset = at / PAGE_BYTES * PAGE_BYTES; offset < end && n > 0; offset += n > 0 ? (uint32_t)n : 0) {
            uint64_t want = (end - offset + (uint64_t)PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
            n = jx_fs_read(w->fs, st->ino, offset, w->buf, want < READ_BYTES ? (uint32_t)want : READ_BYTES);
            if (n > 0)
                hash_pages(hash, w->buf, offset, (uint32_t)n);
            else
                hash_word(hash, (uint64_t)n);
        }
    }
    return n == JX_ENOMEM ? JX_ENOMEM : JX_OK;
}

/* jx_fs_stat has mapped the inode. */
static int add_content(struct walk *w, const struct jx_stat *st)
{
    uint64_t *known = w->known ? w->known->find(w->known->ctx, w->fs, st->size) : NULL;
    struct hash hash = {7, 11};
    int err = JX_OK;
    if (known && (known[0] || known[1])) {
        hash = (struct hash){known[0], known[1]};
    } else {
        err = read_content(w, st, &hash);
        if (known && !err) {
            known[0] = hash.a;
            known[1] = hash.b;
        }
    }
    hash_word(&w->hash, hash.a);
    hash_word(&w->hash, hash.b);
    return err;
}

/* ---- attributes ----------------------------------------------------------------- */

static const struct datum *datum_of(struct walk *w, const struct jx_attribute *a)
{
    struct datum *d = &w->data[jx_xattr_place(w->fs, a->xid)];
    uint8_t name[256];
    if (d->known)
        return d;
    d->known = 1;
    d->err = jx_fs_xattr_read(w->fs, a, name, w->buf);
    if (!d->err) {
        d->name = d->value = (struct hash){1, 2};
        hash_bytes(&d->name, name, a->name_len);
        hash_bytes(&d->value, w->buf, a->value_len);
    }
    return d;
}

static int by_name(const void *ctx, uint32_t x, uint32_t y)
{
    const struct attribute *a = (const struct attribute *)ctx + x, *b = (const struct attribute *)ctx + y;
    if (a->datum->err != b->datum->err)
        return a->datum->err < b->datum->err ? -1 : 1;
    if (a->xprefix != b->xprefix)
        return a->xprefix < b->xprefix ? -1 : 1;
    if (a->datum->name.a != b->datum->name.a)
        return a->datum->name.a < b->datum->name.a ? -1 : 1;
    return a->datum->name.b < b->datum->name.b ? -1 : a->datum->name.b > b->datum->name.b;
}

/* Adds one, and nothing for its order. */
static void sum_attribute(struct hash *sum, const struct attribute *a)
{
    struct hash one = {1, 2};
    hash_word(&one, (uint64_t)a->xprefix << 32 | (uint32_t)a->datum->err);
    hash_word(&one, a->datum->name.a ^ a->datum->value.a);
    hash_word(&one, a->datum->name.b ^ a->datum->value.b);
    sum->a += one.a;
    sum->b += one.b;
}

/* Of attributes of one name the newest counts (check_xattr_ref_inode); of those that cannot be read each does. order: by
 * name. */
static void sum_newest(struct hash *sum, const struct attribute *all, const uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0, end; i < n; i = end) {
        uint32_t newest = 0;
        for (end = i; end < n && by_name(all, order[i], order[end]) == 0; end++)
            if (all[order[end]].xseqno > newest)
                newest = all[order[end]].xseqno;
        for (uint32_t k = i; k < end; k++)
            if (all[order[k]].xseqno == newest || all[order[k]].datum->err)
                sum_attribute(sum, &all[order[k]]);
    }
}

static int add_xattrs(struct walk *w, uint32_t ino)
{
    struct hash sum = {0, 0};
    uint32_t n = (uint32_t)jx_fs_xattrs(w->fs, ino, NULL, 0);
    struct jx_attribute *list = malloc(n * sizeof(*list) + 1);
    struct attribute *all = malloc(n * sizeof(*all) + 1);
    uint32_t *order = malloc(n * sizeof(*order) + 1);
    int err = list && all && order ? JX_OK : JX_ENOMEM;
    if (!err)
        jx_fs_xattrs(w->fs, ino, list, n);
    for (uint32_t i = 0; i < n && !err; i++) {
        all[i] = (struct attribute){datum_of(w, &list[i]), list[i].xseqno, list[i].xprefix};
        order[i] = i;
    }
    if (!err)
        err = jx_sort(order, n, by_name, all);
    if (!err)
        sum_newest(&sum, all, order, n);
    free(list);
    free(all);
    free(order);
    hash_word(&w->hash, sum.a);
    hash_word(&w->hash, sum.b);
    return err;
}

/* One name's inode; 1 where it is a directory to go down into, or JX_ENOMEM. */
static int add_inode(struct walk *w, uint32_t ino)
{
    struct jx_stat st;
    const struct jx_inode_rec *rec = jx_inode_find(w->fs, ino);
    uint32_t at = (uint32_t)(rec - w->fs->inodes);
    int again = w->seen[at];
    if (!again) {
        w->seen[at] = 1;
        w->errs[at] = (int8_t)jx_fs_stat(w->fs, ino, &st);
        w->first_met[at] = w->met;
    }
    w->met++;
    hash_word(&w->hash, (uint64_t)(uint32_t)w->errs[at] << 32 | w->first_met[at]);
    if (w->errs[at] || again) /* a link's content is that of its first name; a directory met twice is a fault, and shows */
        return w->errs[at] == JX_ENOMEM ? JX_ENOMEM : 0;
    hash_word(&w->hash, (uint64_t)st.mode << 32 | (uint32_t)st.uid << 16 | st.gid);
    hash_word(&w->hash, (uint64_t)st.mtime << 32 | ((st.mode & S_IFMT) == S_IFDIR ? 0 : st.nlink));
    hash_word(&w->hash, (uint64_t)st.major << 32 | st.minor);
    if (add_xattrs(w, ino) != JX_OK)
        return JX_ENOMEM;
    if ((st.mode & S_IFMT) == S_IFLNK) {
        int n = jx_fs_readlink(w->fs, ino, w->buf, JX_MAX_NAME);
        hash_bytes(&w->hash, w->buf, n > 0 ? (uint32_t)n : 0);
    }
    if ((st.mode & S_IFMT) == S_IFREG) {
        hash_word(&w->hash, st.size);
        if (add_content(w, &st) != JX_OK)
            return JX_ENOMEM;
    }
    return (st.mode & S_IFMT) == S_IFDIR;
}

/* What the reader finds behind a link; nothing where the name is none. JX_ENOMEM. */
static int add_followed(struct walk *w, const struct jx_name *name)
{
    struct jx_stat st = {.mode = 0};
    uint32_t found;
    int err = jx_fs_stat(w->fs, name->ino, &st);
    if (err || (st.mode & S_IFMT) != S_IFLNK)
        return err == JX_ENOMEM ? err : JX_OK;
    err = jx_fs_follow(w->fs, name->pino, name->ino, &found);
    if (!err)
        err = jx_fs_stat(w->fs, found, &st);
    hash_word(&w->hash, (uint64_t)(uint32_t)err << 32 | (err ? 0 : st.mode));
    if (err || (st.mode & S_IFMT) != S_IFREG)
        return err == JX_ENOMEM ? err : JX_OK;
    hash_word(&w->hash, st.size);
    return add_content(w, &st);
}

static void push(struct walk *w, uint32_t ino)
{
    w->stack[2 * w->depth] = ino;
    w->stack[2 * w->depth + 1] = 0;
    w->depth++;
}

static int walk(struct walk *w)
{
    int down = add_inode(w, JX_ROOT_INO);
    if (down > 0)
        push(w, JX_ROOT_INO);
    while (w->depth && down >= 0) {
        uint32_t ino = w->stack[2 * w->depth - 2], *pos = &w->stack[2 * w->depth - 1];
        const struct jx_inode_rec *rec = jx_inode_find(w->fs, ino);
        if (*pos >= rec->name_count) {
            w->depth--;
            hash_word(&w->hash, 0x55);
            continue;
        }
        const struct jx_name *name = &w->fs->names_of[rec->first_name + (*pos)++];
        hash_bytes(&w->hash, w->fs->names + name->name, name->nsize);
        down = add_inode(w, name->ino);
        if (down == 0 && w->fs->reader.links)
            down = add_followed(w, name);
        if (down > 0)
            push(w, name->ino); /* each directory once: the stack holds no more than there are inodes */
    }
    return down < 0 ? down : JX_OK;
}

int jx_fs_digest(jx_fs *fs, uint8_t out[16]) { return jx_digest(fs, NULL, out); }

int jx_digest(jx_fs *fs, const struct jx_known_contents *known, uint8_t out[16])
{
    struct walk w = {.fs = fs, .known = known, .hash = {3, 5}};
    w.buf = malloc(READ_BYTES);
    w.data = calloc((size_t)fs->xdatum_count + 1, sizeof(*w.data));
    w.seen = calloc(fs->inode_count, 1);
    w.errs = calloc(fs->inode_count, 1);
    w.first_met = calloc(fs->inode_count, sizeof(*w.first_met));
    w.stack = malloc(((size_t)fs->inode_count + 1) * 2 * sizeof(*w.stack));
    int err = w.buf && w.data && w.seen && w.errs && w.first_met && w.stack ? walk(&w) : JX_ENOMEM;
    put_le64(out, w.hash.a);
    put_le64(out + 8, w.hash.b);
    free(w.buf);
    free(w.data);
    free(w.seen);
    free(w.errs);
    free(w.first_met);
    free(w.stack);
    return err;
}
