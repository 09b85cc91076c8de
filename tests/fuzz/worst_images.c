/* worst_images.c: the media. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"
#include "txn.h"
#include "worst.h"

#define FILE_MODE 0100644u
#define DIR_MODE 0040755u
#define BIG_BYTES (1u << 20) /* the most that one node may stand for */

static uint8_t *append(struct worst *w, uint32_t len)
{
    uint32_t left = w->erase_bytes - w->len % w->erase_bytes, padded = jx_pad4(len);
    if (padded > left)
        w->len += left;
    while (w->len + padded + w->erase_bytes > w->room) {
        w->bytes = realloc(w->bytes, w->room * 2);
        if (!w->bytes)
            abort();
        memset(w->bytes + w->room, 0xff, w->room);
        w->room *= 2;
    }
    uint8_t *p = w->bytes + w->len;
    w->len += padded;
    return p;
}

static void next_block(struct worst *w) { w->len = jx_align(w->len, w->erase_bytes); }

static void add_dirent(struct worst *w, uint32_t pino, const char *name, uint32_t nsize, uint32_t ino, uint8_t type)
{
    struct jx_dirent d = {.pino = pino, .version = ++w->version, .ino = ino, .mctime = 1, .nsize = (uint8_t)nsize, .type = type};
    jx_encode_dirent(JX_LITTLE, append(w, JX_DIRENT_BYTES + nsize), &d, name);
}

/* A name that is a number. */
static void add_numbered(struct worst *w, uint32_t pino, uint32_t number, uint32_t ino, uint8_t type)
{
    char name[8];
    for (int i = 7; i >= 0; i--, number /= 10)
        name[i] = (char)('0' + number % 10);
    add_dirent(w, pino, name, 8, ino, type);
}

static uint8_t *add_inode(struct worst *w, struct jx_inode in, const void *data)
{
    in.version = ++w->version;
    uint8_t *p = append(w, JX_INODE_BYTES + in.csize);
    jx_encode_inode(JX_LITTLE, p, &in, data);
    return p;
}

static void add_directory(struct worst *w, uint32_t ino) { add_inode(w, (struct jx_inode){.ino = ino, .mode = DIR_MODE}, NULL); }

static void add_byte(struct worst *w, uint32_t ino, uint32_t offset, uint32_t isize)
{
    add_inode(w, (struct jx_inode){.ino = ino, .mode = FILE_MODE, .isize = isize, .offset = offset, .csize = 1, .dsize = 1}, "x");
}

/* A node of so many equal bytes, by rtime. */
static void add_packed(struct worst *w, uint32_t ino, uint32_t offset, uint32_t dsize)
{
    static uint8_t packed[2 * (BIG_BYTES / 256 + 1)];
    uint32_t csize = 0;
    for (uint32_t left = dsize; left;) {
        uint32_t run = left - 1 < 255 ? left - 1 : 255;
        packed[csize++] = 'y';
        packed[csize++] = (uint8_t)run;
        left -= run + 1;
    }
    add_inode(w, (struct jx_inode){.ino = ino, .mode = FILE_MODE, .isize = offset + dsize, .offset = offset, .csize = csize,
                                   .dsize = dsize, .compr = JX_COMPR_RTIME}, packed);
}

static void tiny_nodes(struct worst *w, uint32_t n)
{
    while (n--)
        jx_encode_header(JX_LITTLE, append(w, JX_HEADER_BYTES), 0x2099, JX_HEADER_BYTES);
}

static void bad_headers(struct worst *w, uint32_t n)
{
    while (n--)
        memcpy(append(w, 4), "\x85\x19\x01\xe0", 4);
}

static void nested_containers(struct worst *w, uint32_t n)
{
    while (n--) {
        uint8_t *p = append(w, JX_HEADER_BYTES);
        uint32_t at = (uint32_t)(p - w->bytes) % w->erase_bytes;
        jx_encode_header(JX_LITTLE, p, JX_NODE_CONTAINER, w->erase_bytes - at);
    }
}

static void one_name(struct worst *w, uint32_t n)
{
    add_byte(w, 2, 0, 1);
    while (n--)
        add_dirent(w, JX_ROOT_INO, "name", 4, 2, 8);
}

static void big_directory(struct worst *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        add_byte(w, 2 + i, 0, 1);
        add_numbered(w, JX_ROOT_INO, i, 2 + i, 8);
    }
}

/* Numbers that the table of inodes puts side by side, whatever its size, in its first layout. */
static void colliding_numbers(struct worst *w, uint32_t n)
{
    for (uint32_t ino = 2, i = 0; i < n; ino++) {
        uint32_t hash = (ino ^ ino >> 16) * 0x7feb352du;
        hash = (hash ^ hash >> 15) * 0x846ca68bu;
        if (((hash ^ hash >> 16) & 0xffff) < 64) {
            add_byte(w, ino, 0, 1);
            add_numbered(w, JX_ROOT_INO, i++, ino, 8);
        }
    }
}

/* Inode numbers and versions that jx_locate's table puts into one place. */
static void colliding_keys(struct worst *w, uint32_t n)
{
    const uint32_t inverse = 0xe8b2f51u; /* of 0x9e3779b1 */
    for (uint32_t i = 0; i < n; i++) {
        struct jx_inode in = {.ino = (0x1234567u ^ (i + 1) * 0x85ebca77u) * inverse, .version = i + 1, .mode = FILE_MODE};
        jx_encode_inode(JX_LITTLE, append(w, JX_INODE_BYTES), &in, NULL);
    }
}

/* The same nodes in each eraseblock: twins at every distance, and borders everywhere. */
static void many_copies(struct worst *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, next_block(w))
        for (uint32_t ino = 2; ino < 22; ino++)
            add_byte(w, ino, 0, 1);
}

static void deep_chain(struct worst *w, uint32_t n)
{
    for (uint32_t i = 1; i <= n; i++) {
        add_directory(w, i + 1);
        add_dirent(w, i, "d", 1, i + 1, 4);
    }
}

/* Each node shorter than the one before: all of them show. */
static void overlapping_nodes(struct worst *w, uint32_t n)
{
    add_dirent(w, JX_ROOT_INO, "f", 1, 2, 8);
    for (uint32_t i = 0; i < n; i++)
        add_packed(w, 2, 0, n - i);
}

static void showing_through(struct worst *w, uint32_t n)
{
    add_dirent(w, JX_ROOT_INO, "f", 1, 2, 8);
    add_packed(w, 2, 0, BIG_BYTES);
    for (uint32_t i = 0; i < n; i++)
        add_byte(w, 2, 2 * i, BIG_BYTES);
}

static void holes(struct worst *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        add_inode(w, (struct jx_inode){.ino = 2 + i, .mode = FILE_MODE, .isize = 0xfffffff0, .dsize = 0xfffffff0, .compr = JX_COMPR_ZERO},
                  NULL);
        add_numbered(w, JX_ROOT_INO, i, 2 + i, 8);
    }
}

/* Names in turn for two files that are long to put together. */
static void hard_links(struct worst *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        add_numbered(w, JX_ROOT_INO, i, 2 + i % 2, 8);
        add_byte(w, 2 + i % 2, i, i + 1);
    }
}

/* Nothing good is left of the inode that all names stand for, nor of the directory that holds them. */
static void unreadable_links(struct worst *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        add_numbered(w, JX_ROOT_INO, i, 2 + i % 2, 8);
        struct jx_inode in = {.ino = i % 3 ? 2 + i % 2 : JX_ROOT_INO, .mode = DIR_MODE, .isize = 1, .csize = 1, .dsize = 1};
        add_inode(w, in, "x")[JX_INODE_BYTES] = 'y';
    }
}

static void add_xattr(struct worst *w, uint32_t xid, uint32_t value_len)
{
    static const uint8_t value[65535];
    struct jx_xattr x = {.xid = xid, .version = 1, .xprefix = 1, .name_len = 1, .value_len = (uint16_t)value_len};
    jx_encode_xattr(JX_LITTLE, append(w, JX_XATTR_BYTES + 2 + value_len), &x, "n", value);
}

static void add_xref(struct worst *w, uint32_t ino, uint32_t xid, uint32_t xseqno)
{
    struct jx_xref r = {.ino = ino, .xid = xid, .xseqno = 2 * xseqno};
    jx_encode_xref(JX_LITTLE, append(w, JX_XREF_BYTES), &r);
}

static void many_attributes(struct worst *w, uint32_t n)
{
    add_directory(w, JX_ROOT_INO);
    for (uint32_t i = 1; i <= n; i++) {
        add_xattr(w, i, 4);
        add_xref(w, JX_ROOT_INO, i, i);
    }
}

/* All of n inodes have one long attribute. */
static void shared_attribute(struct worst *w, uint32_t n)
{
    add_xattr(w, 1, 60000);
    for (uint32_t i = 0; i < n; i++) {
        add_byte(w, 2 + i, 0, 1);
        add_numbered(w, JX_ROOT_INO, i, 2 + i, 8);
        add_xref(w, 2 + i, 1, i);
    }
}

/* n eraseblocks whose summaries list one long node as often as they can. */
static void greedy_summaries(struct worst *w, uint32_t n)
{
    static struct jx_summary_entry entries[4096];
    static uint8_t data[65536];
    for (uint32_t b = 0; b < n; b++) {
        uint32_t start = w->erase_bytes / 2, total = w->erase_bytes - start, listed = (total - 40) / 18;
        next_block(w);
        uint32_t block = w->len;
        append(w, w->erase_bytes);
        struct jx_inode in = {.ino = 2 + b, .version = 1, .mode = FILE_MODE, .isize = start - 100, .csize = start - 100, .dsize = start - 100};
        jx_encode_inode(JX_LITTLE, w->bytes + block, &in, data);
        for (uint32_t i = 0; i < listed; i++)
            entries[i] = (struct jx_summary_entry){.nodetype = JX_NODE_INODE, .ino = 2 + b, .version = 1, .totlen = start - 32};
        uint8_t *p = w->bytes + block + start; /* the encoder refuses such entries: they are put in by hand */
        jx_encode_summary(JX_LITTLE, p, total, start, 0, 0, entries, NULL, 0);
        for (uint32_t i = 0; i < listed; i++) {
            struct jx_media_sum_inode *e = (void *)(p + JX_SUMMARY_BYTES + 18 * i);
            put16(JX_LITTLE, e->nodetype, JX_NODE_INODE);
            put32(JX_LITTLE, e->ino, 2 + b);
            put32(JX_LITTLE, e->version, i);
            put32(JX_LITTLE, e->offset, 0);
            put32(JX_LITTLE, e->totlen, start - 32);
        }
        struct jx_media_summary *m = (void *)p;
        put32(JX_LITTLE, m->sum_num, listed);
        put32(JX_LITTLE, m->sum_crc, jx_crc32(0, p + JX_SUMMARY_BYTES, total - JX_SUMMARY_BYTES));
        put32(JX_LITTLE, m->node_crc, jx_crc32(0, p, offsetof(struct jx_media_summary, sum_crc)));
    }
}

static void add_tag(struct worst *w, uint8_t role, uint32_t txid, uint32_t sequence)
{
    struct jx_tag tag = {.role = role, .txid = txid, .sequence = sequence};
    jx_tag_encode(JX_LITTLE, append(w, JX_TAG_BYTES), &tag, 0, 0);
}

static void many_transactions(struct worst *w, uint32_t n)
{
    add_byte(w, 2, 0, 1);
    for (uint32_t i = 0; i < n; i++) {
        next_block(w);
        add_tag(w, JX_TAG_STAGE, 1 + i, i);
        add_byte(w, 3 + i, 0, 1);
    }
}

/* An unfinished commit of one name, over and over, with as many names before it. */
static void heavy_commit(struct worst *w, uint32_t n)
{
    one_name(w, n);
    next_block(w);
    add_tag(w, JX_TAG_COMMIT, 1, 0);
    for (uint32_t i = 0; i < n && w->len % w->erase_bytes < w->erase_bytes - 200; i++)
        add_dirent(w, JX_ROOT_INO, "name", 4, 2, 8);
}

/* Blocks of which little is needed. */
static void much_garbage(struct worst *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        next_block(w);
        add_byte(w, 2 + i, 0, 1);
        add_numbered(w, JX_ROOT_INO, i, 2 + i, 8);
        for (uint32_t k = 0; k < 20; k++)
            add_byte(w, 2 + i, 0, 1);
    }
}

#define KIB 1024u
const struct worst_family worst_families[] = {
    {"tiny-nodes", "unknown nodes that are a header and no more", 8000, 16 * KIB, tiny_nodes},
    {"bad-headers", "a magic number at each multiple of 4", 20000, 16 * KIB, bad_headers},
    {"containers", "nodes in nodes in nodes", 8000, 16 * KIB, nested_containers},
    {"one-name", "dirents of one name", 4000, 16 * KIB, one_name},
    {"directory", "names of one directory", 2000, 16 * KIB, big_directory},
    {"collisions", "inode numbers that collide in the table of inodes", 2000, 16 * KIB, colliding_numbers},
    {"keys", "numbers that collide where file systems are looked for", 2000, 16 * KIB, colliding_keys},
    {"copies", "eraseblocks that all hold the same nodes", 400, 4 * KIB, many_copies},
    {"chain", "directories one in the other", 2000, 16 * KIB, deep_chain},
    {"overlaps", "nodes of one file, each showing a byte", 1000, 16 * KIB, overlapping_nodes},
    {"show-through", "a packed node of 1 MiB that shows through behind each byte", 2000, 16 * KIB, showing_through},
    {"holes", "files of 4 GiB that hold nothing", 2000, 16 * KIB, holes},
    {"hard-links", "names in turn of two files of many nodes", 2000, 16 * KIB, hard_links},
    {"unreadable", "names in turn of inodes whose nodes are all bad", 2000, 16 * KIB, unreadable_links},
    {"attributes", "attributes of one name of one inode", 2000, 16 * KIB, many_attributes},
    {"shared", "inodes with one attribute of 60,000 bytes", 4000, 64 * KIB, shared_attribute},
    {"summaries", "summaries that list one long node over and over", 20, 128 * KIB, greedy_summaries},
    {"transactions", "eraseblocks, each staged by a transaction of its own", 500, 4 * KIB, many_transactions},
    {"commit", "a commit of one name over and over, not finished", 4000, 64 * KIB, heavy_commit},
    {"garbage", "eraseblocks that are almost dead", 300, 4 * KIB, much_garbage},
};
const uint32_t worst_family_count = sizeof worst_families / sizeof *worst_families;
