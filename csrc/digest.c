/* digest.c: one number for a whole tree, so that two trees compare in one step. */
#include <stdlib.h>
#include <string.h>
#include "fs.h"

#define READ_BYTES 65536u
#define MAX_ATTRIBUTES 256u

/* Two multiply-xor lanes over 8-byte words; not for adversaries. */
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
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        hash_word(h, w);
    }
    if (len) {
        uint64_t w = 0;
        memcpy(&w, p, len);
        hash_word(h, w);
    }
}

struct walk {
    jx_fs *fs;
    const struct jx_known_contents *known; /* or NULL */
    struct hash hash;
    uint8_t *buf;
    uint8_t *seen;       /* by index of the inode record: 1 met */
    uint32_t *first_met; /* ordinal at which an inode was first met: the link group */
    uint32_t met;
    uint32_t *stack;     /* directories: inode, then position in its names */
    uint32_t depth;
};

static struct hash read_content(struct walk *w, const struct jx_stat *st)
{
    struct hash hash = {7, 11};
    for (uint32_t offset = 0; offset < st->size;) {
        int64_t n = jx_fs_read(w->fs, st->ino, offset, w->buf, READ_BYTES);
        if (n <= 0) {
            hash_word(&hash, (uint64_t)n);
            break;
        }
        hash_bytes(&hash, w->buf, (uint32_t)n);
        offset += (uint32_t)n;
    }
    return hash;
}

/* jx_fs_stat has mapped the inode. */
static void add_content(struct walk *w, const struct jx_stat *st)
{
    uint64_t *known = w->known ? w->known->find(w->known->ctx, w->fs, st->size) : NULL;
    struct hash hash;
    if (known && (known[0] || known[1])) {
        hash = (struct hash){known[0], known[1]};
    } else {
        hash = read_content(w, st);
        if (known) {
            known[0] = hash.a;
            known[1] = hash.b;
        }
    }
    hash_word(&w->hash, hash.a);
    hash_word(&w->hash, hash.b);
}

/* Of attributes of one name the newest counts (check_xattr_ref_inode). name: of list[i]. */
static int is_superseded(struct walk *w, const struct jx_attribute *list, int n, int i, const uint8_t *name)
{
    uint8_t other[256];
    for (int k = 0; k < n; k++)
        if (list[k].xprefix == list[i].xprefix && list[k].name_len == list[i].name_len && list[k].xseqno > list[i].xseqno &&
            jx_fs_xattr_read(w->fs, &list[k], other, w->buf) == JX_OK && !memcmp(other, name, list[i].name_len))
            return 1;
    return 0;
}

static void add_xattrs(struct walk *w, uint32_t ino)
{
    struct jx_attribute list[MAX_ATTRIBUTES];
    uint8_t name[256], *value = w->buf;
    struct hash sum = {0, 0}; /* their order means nothing */
    int n = jx_fs_xattrs(w->fs, ino, list, MAX_ATTRIBUTES);
    n = n < (int)MAX_ATTRIBUTES ? n : (int)MAX_ATTRIBUTES;
    for (int i = 0; i < n; i++) {
        struct hash one = {1, 2};
        int err = jx_fs_xattr_read(w->fs, &list[i], name, value);
        if (!err && is_superseded(w, list, n, i, name))
            continue;
        if (!err) /* the other names were read to where the value was */
            err = jx_fs_xattr_read(w->fs, &list[i], name, value);
        hash_word(&one, (uint64_t)list[i].xprefix << 32 | (uint32_t)err);
        if (!err) {
            hash_bytes(&one, name, list[i].name_len);
            hash_bytes(&one, value, list[i].value_len);
        }
        sum.a += one.a;
        sum.b += one.b;
    }
    hash_word(&w->hash, sum.a);
    hash_word(&w->hash, sum.b);
}

/* One name's inode; 1 where it is a directory to go down into. */
static int add_inode(struct walk *w, uint32_t ino)
{
    struct jx_stat st;
    const struct jx_inode_rec *rec = jx_inode_find(w->fs, ino);
    uint32_t at = (uint32_t)(rec - w->fs->inodes);
    int again = w->seen[at], err = jx_fs_stat(w->fs, ino, &st);
    if (!again) {
        w->seen[at] = 1;
        w->first_met[at] = w->met;
    }
    w->met++;
    hash_word(&w->hash, (uint64_t)(uint32_t)err << 32 | w->first_met[at]);
    if (err || again) /* a link's content is that of its first name; a directory met twice is a fault, and shows */
        return 0;
    hash_word(&w->hash, (uint64_t)st.mode << 32 | (uint32_t)st.uid << 16 | st.gid);
    hash_word(&w->hash, (uint64_t)st.mtime << 32 | ((st.mode & S_IFMT) == S_IFDIR ? 0 : st.nlink));
    hash_word(&w->hash, (uint64_t)st.major << 32 | st.minor);
    add_xattrs(w, ino);
    if ((st.mode & S_IFMT) == S_IFLNK) {
        int n = jx_fs_readlink(w->fs, ino, w->buf, JX_MAX_NAME);
        hash_bytes(&w->hash, w->buf, n > 0 ? (uint32_t)n : 0);
    }
    if ((st.mode & S_IFMT) == S_IFREG) {
        hash_word(&w->hash, st.size);
        add_content(w, &st);
    }
    return (st.mode & S_IFMT) == S_IFDIR;
}

static void push(struct walk *w, uint32_t ino)
{
    w->stack[2 * w->depth] = ino;
    w->stack[2 * w->depth + 1] = 0;
    w->depth++;
}

static int walk(struct walk *w)
{
    if (add_inode(w, JX_ROOT_INO))
        push(w, JX_ROOT_INO);
    while (w->depth) {
        uint32_t ino = w->stack[2 * w->depth - 2], *pos = &w->stack[2 * w->depth - 1];
        const struct jx_inode_rec *rec = jx_inode_find(w->fs, ino);
        if (*pos >= rec->name_count) {
            w->depth--;
            hash_word(&w->hash, 0x55);
            continue;
        }
        const struct jx_name *name = &w->fs->names_of[rec->first_name + (*pos)++];
        hash_bytes(&w->hash, w->fs->names + name->name, name->nsize);
        if (add_inode(w, name->ino))
            push(w, name->ino); /* each directory once: the stack holds no more than there are inodes */
    }
    return JX_OK;
}

int jx_fs_digest(jx_fs *fs, uint8_t out[16]) { return jx_digest(fs, NULL, out); }

int jx_digest(jx_fs *fs, const struct jx_known_contents *known, uint8_t out[16])
{
    struct walk w = {.fs = fs, .known = known, .hash = {3, 5}};
    w.buf = malloc(READ_BYTES);
    w.seen = calloc(fs->inode_count, 1);
    w.first_met = calloc(fs->inode_count, sizeof(*w.first_met));
    w.stack = malloc(((size_t)fs->inode_count + 1) * 2 * sizeof(*w.stack));
    int err = w.buf && w.seen && w.first_met && w.stack ? walk(&w) : JX_ENOMEM;
    memcpy(out, &w.hash.a, 8);
    memcpy(out + 8, &w.hash.b, 8);
    free(w.buf);
    free(w.seen);
    free(w.first_met);
    free(w.stack);
    return err;
}
