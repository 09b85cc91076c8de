/* mutate.c: libFuzzer's mutator for images: it knows nodes and their fields, and mends the CRCs afterwards. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"
#include "nodes.h"
#include "txn.h"

#define NODES_MAX 512u
#define BLOCK_BYTES 4096u

/* libFuzzer's. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
/* Where the image starts in an input of this target. */
extern const size_t fuzz_image_at;

struct mutation {
    uint8_t *image;
    uint32_t len;
    uint32_t random;
    struct fuzz_node nodes[NODES_MAX];
    uint32_t count;
};

static uint32_t below(struct mutation *m, uint32_t limit)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 17;
    m->random ^= m->random << 5;
    return limit ? (uint32_t)(((uint64_t)m->random * limit) >> 32) : 0;
}

static uint32_t any_number(struct mutation *m, uint32_t old)
{
    static const uint32_t notable[] = {0, 1, 2, 3, 4, 11, 12, 40, 68, 254, 255, 256, 4095, 4096, 4097, 0x7fffffff,
                                       0x80000000, 0xfffffff0, 0xfffffffe, 0xffffffff, 0x41ed, 0x81a4, 0xa1ff, 0x21a4};
    switch (below(m, 6)) {
    case 0: return notable[below(m, sizeof notable / sizeof *notable)];
    case 1: return old + 1;
    case 2: return old - 1;
    case 3: return old ^ 1u << below(m, 32);
    case 4: return below(m, 16);
    default: return old + below(m, 256) - 128;
    }
}

/* Fields that a tree hangs on are hit as often as all others together. */
static void change_field(struct mutation *m)
{
    const struct fuzz_node *node = &m->nodes[below(m, m->count)];
    uint32_t fields;
    const struct fuzz_field *all = fuzz_fields_of(node->nodetype, &fields), *field = &all[below(m, fields)];
    if (fields > 6 && below(m, 2))
        field = &all[4 + below(m, fields - 4)];
    if (node->at + field->at + field->bytes > m->len)
        return;
    uint8_t *p = m->image + node->at + field->at;
    uint32_t value = fuzz_get(p, field->bytes, node->big);
    if (below(m, 4) == 0) { /* what another node of its type has there */
        const struct fuzz_node *other = &m->nodes[below(m, m->count)];
        if (other->nodetype == node->nodetype && other->at + field->at + field->bytes <= m->len)
            value = fuzz_get(m->image + other->at + field->at, field->bytes, other->big);
    } else {
        value = any_number(m, value);
    }
    fuzz_put(p, field->bytes, node->big, value);
}

static void copy_node(struct mutation *m)
{
    const struct fuzz_node *from = &m->nodes[below(m, m->count)], *to = &m->nodes[below(m, m->count)];
    uint32_t at = below(m, 2) ? to->at : jx_pad4(to->at + to->len);
    if (at + from->len <= m->len)
        memmove(m->image + at, m->image + from->at, from->len);
}

static void drop_node(struct mutation *m)
{
    const struct fuzz_node *node = &m->nodes[below(m, m->count)];
    memset(m->image + node->at, below(m, 2) ? 0xff : 0, below(m, 2) ? node->len : JX_HEADER_BYTES);
}

static void set_obsolete(struct mutation *m)
{
    const struct fuzz_node *node = &m->nodes[below(m, m->count)];
    m->image[node->at + (node->big ? 2 : 3)] ^= JX_ACCURATE >> 8;
}

/* A node made from nothing but a header and its type's length, over what stands there. */
static void new_node(struct mutation *m)
{
    static const uint16_t types[] = {JX_NODE_INODE, JX_NODE_DIRENT, JX_NODE_XATTR, JX_NODE_XREF, JX_NODE_TAG,
                                     JX_NODE_CONTAINER, JX_NODE_PADDING, JX_NODE_CLEANMARKER, 0x6099, 0x2099};
    static const uint8_t lengths[] = {68, 41, 36, 28, 44, 12, 12, 12, 12, 12};
    uint32_t i = below(m, sizeof lengths), at = below(m, m->len) & ~3u, len = lengths[i];
    int big = m->count && m->nodes[0].big;
    if (m->count && below(m, 2)) {
        const struct fuzz_node *after = &m->nodes[below(m, m->count)];
        at = jx_pad4(after->at + after->len);
    }
    if (at + len > m->len)
        return;
    if (i >= 5)
        len += below(m, BLOCK_BYTES - at % BLOCK_BYTES - len + 1);
    jx_encode_header(big ? JX_BIG : JX_LITTLE, m->image + at, types[i], len);
}

/* An entry as the node says, or with one number that is not so. */
static void entry_of(struct mutation *m, const struct fuzz_node *node, struct jx_summary_entry *e, const char **name)
{
    const uint8_t *p = m->image + node->at;
    int big = node->big;
    *e = (struct jx_summary_entry){.nodetype = node->nodetype, .offset = node->at % BLOCK_BYTES, .totlen = node->len};
    e->ino = fuzz_get(p + 12, 4, big);
    e->version = fuzz_get(p + 16, 4, big);
    *name = (const char *)p + JX_DIRENT_BYTES;
    if (node->nodetype == JX_NODE_DIRENT) {
        e->child = fuzz_get(p + 20, 4, big);
        e->nsize = p[28];
        e->type = p[29];
        if (node->at + JX_DIRENT_BYTES + e->nsize > m->len)
            e->nsize = 0;
    }
    uint32_t *numbers[] = {&e->ino, &e->version, &e->totlen, &e->child};
    if (below(m, 4) == 0) {
        uint32_t *number = numbers[below(m, 4)];
        *number = any_number(m, *number);
    }
}

/* A summary of the nodes of a block that there are before some place in it. */
static void make_summary(struct mutation *m)
{
    struct jx_summary_entry entries[64];
    const char *names[64];
    uint8_t made[BLOCK_BYTES];
    uint32_t n = 0, bytes = JX_SUMMARY_BYTES + JX_MARKER_BYTES, end = 0;
    uint32_t block = m->nodes[below(m, m->count)].at / BLOCK_BYTES * BLOCK_BYTES;
    if (block + BLOCK_BYTES > m->len)
        return;
    for (uint32_t i = 0; i < m->count && n < 64; i++) {
        const struct fuzz_node *node = &m->nodes[i];
        if (node->at / BLOCK_BYTES * BLOCK_BYTES != block || !jx_is_content(node->nodetype) || below(m, 8) == 0)
            continue;
        if (node->at + JX_INODE_BYTES > m->len || node->at % BLOCK_BYTES < end)
            continue;
        entry_of(m, node, &entries[n], &names[n]);
        if (bytes + jx_summary_entry_size(&entries[n]) > BLOCK_BYTES - node->at % BLOCK_BYTES - jx_pad4(node->len))
            break;
        bytes += jx_summary_entry_size(&entries[n++]);
        end = node->at % BLOCK_BYTES + jx_pad4(node->len);
    }
    if (end > BLOCK_BYTES - bytes)
        return;
    uint32_t start = (below(m, 2) ? end : BLOCK_BYTES - bytes) & ~3u, total = BLOCK_BYTES - start;
    int big = m->nodes[0].big;
    if (jx_encode_summary(big ? JX_BIG : JX_LITTLE, made, total, start, below(m, 2) ? 12 : 0, 0, entries, names, n) > 0)
        memcpy(m->image + block + start, made, total);
}

/* One of the numbers behind a summary's head. */
static void change_entry(struct mutation *m)
{
    for (uint32_t tries = 0, i = below(m, m->count); tries < m->count; tries++, i = (i + 1) % m->count) {
        const struct fuzz_node *node = &m->nodes[i];
        if (node->nodetype != JX_NODE_SUMMARY || node->len <= JX_SUMMARY_BYTES + JX_MARKER_BYTES)
            continue;
        uint32_t room = node->len - JX_SUMMARY_BYTES, at = node->at + JX_SUMMARY_BYTES;
        uint32_t used = fuzz_get(m->image + node->at + 12, 4, node->big) % 64 * 24;
        at += below(m, 8) ? below(m, used && used < room ? used : room) : room - 8;
        if (at + 4 <= m->len)
            fuzz_put(m->image + at, 4, node->big, any_number(m, fuzz_get(m->image + at, 4, node->big)));
        return;
    }
}

static void move_block(struct mutation *m)
{
    uint32_t blocks = m->len / BLOCK_BYTES, from = below(m, blocks), to = below(m, blocks);
    if (blocks)
        memmove(m->image + to * BLOCK_BYTES, m->image + from * BLOCK_BYTES, BLOCK_BYTES);
}

static void mutate_once(struct mutation *m)
{
    static void (*const ways[])(struct mutation *) = {change_field, change_field, change_field, change_field, copy_node,
                                                      copy_node, drop_node, set_obsolete, make_summary, change_entry,
                                                      change_entry, move_block};
    m->count = fuzz_nodes_find(m->image, m->len, m->nodes, NODES_MAX);
    if (!m->count || below(m, 12) == 0)
        new_node(m);
    else
        ways[below(m, sizeof ways / sizeof *ways)](m);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static struct mutation m;
    m.random = seed * 2654435761u | 1u;
    if (size <= fuzz_image_at + JX_HEADER_BYTES || below(&m, 8) == 0) {
        size = LLVMFuzzerMutate(data, size, max_size);
        if (size <= fuzz_image_at + JX_HEADER_BYTES || below(&m, 2))
            return size;
    } else if (fuzz_image_at && below(&m, 16) == 0) {
        data[below(&m, (uint32_t)fuzz_image_at)] ^= (uint8_t)(1u << below(&m, 8));
    }
    m.image = data + fuzz_image_at;
    m.len = (uint32_t)(size - fuzz_image_at);
    for (uint32_t times = 1 + below(&m, 3); times; times--)
        mutate_once(&m);
    if (below(&m, 16))
        fuzz_mend_all(m.image, m.len);
    return size;
}
