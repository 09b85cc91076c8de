/* target_recover.c: what writes to a medium that somebody else has made. Byte 1 says what is done; then the image.
 * After recover, tidy and collect the tree is as it was; of what no path reaches anything may come and go. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"
#include "medium.h"
#include "read_all.h"

#define SPARE_BLOCKS 3u

extern const size_t fuzz_image_at;
const size_t fuzz_image_at = 2;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { RECOVER, TIDY, DROP, COLLECT, TRANSACTION };

static int is_content(const struct jx_node *n) { return n->verdict == JX_V_GOOD && jx_is_content(n->nodetype); }

static int have_one_version(const struct jx_node *a, const struct jx_node *b)
{
    int is_xattr = a->nodetype == JX_NODE_XATTR || a->nodetype == JX_NODE_XREF;
    return a->nodetype == b->nodetype && a->ino == b->ino && a->version == b->version && (!is_xattr || a->child == b->child);
}

static int is_same(jx_fs *fs, const struct jx_node *a, const struct jx_node *b)
{
    static uint8_t x[FUZZ_ERASE_BYTES], y[FUZZ_ERASE_BYTES];
    return a->totlen == b->totlen && jx_flash_read(fs->flash, a->offset, x, a->totlen) == JX_OK &&
           jx_flash_read(fs->flash, b->offset, y, b->totlen) == JX_OK && !memcmp(x, y, a->totlen);
}

/* Two nodes that differ have one version: where they stand decides which of them counts, and they are moved. */
static int has_tie(jx_fs *fs)
{
    for (uint32_t i = 0; i < fs->node_count; i++)
        for (uint32_t j = 0; j < i && is_content(&fs->nodes[i]); j++)
            if (is_content(&fs->nodes[j]) && have_one_version(&fs->nodes[i], &fs->nodes[j]) &&
                !is_same(fs, &fs->nodes[i], &fs->nodes[j]))
                return 1;
    return 0;
}

/* A summary may say what is not so: its entry counts up to the node's first move. */
static int is_lied_of(jx_fs *fs, const struct jx_node *n)
{
    uint8_t head[24]; /* then ino and version, or pino, version and ino */
    if (!n->by_summary || (n->nodetype != JX_NODE_INODE && n->nodetype != JX_NODE_DIRENT))
        return 0;
    if (n->totlen < sizeof head || jx_flash_read(fs->flash, n->offset, head, sizeof head) != JX_OK)
        return 1;
    return get32(fs->endian, head + 12) != n->ino || get32(fs->endian, head + 16) != n->version ||
           (n->nodetype == JX_NODE_DIRENT && get32(fs->endian, head + 20) != n->child);
}

/* A summary may leave out what stands in its eraseblock: who minds summaries sees another tree than who does not. */
static int is_left_out(const struct jx_fs *fs, const struct jx_node *n)
{
    int has_summary = 0;
    for (uint32_t i = 0; i < fs->node_count; i++)
        has_summary |= fs->nodes[i].by_summary && fs->nodes[i].offset / FUZZ_ERASE_BYTES == n->offset / FUZZ_ERASE_BYTES;
    return has_summary && n->verdict == JX_V_HIDDEN && jx_is_content(n->nodetype);
}

/* A name that only a summary speaks of counts as a link until its block goes, and one whose inode has no good node is there
 * as long as any dirent below it. */
static int is_sound(jx_fs *fs, int minds_summaries)
{
    struct jx_stat st;
    int sound = 1;
    for (uint32_t i = 0; i < fs->node_count; i++)
        sound &= (!jx_is_named(&fs->nodes[i]) || !jx_is_ghost(&fs->nodes[i])) && !is_lied_of(fs, &fs->nodes[i]);
    for (uint32_t i = 0; i < fs->node_count && sound && !minds_summaries; i++)
        sound = !is_left_out(fs, &fs->nodes[i]);
    for (uint32_t i = 0; i < fs->name_count && sound; i++)
        if (jx_inode_find(fs, fs->names_of[i].pino)->alive)
            sound = jx_fs_stat(fs, fs->names_of[i].ino, &st) == JX_OK && fs->map.meta != JX_NONE;
    return sound && !has_tie(fs);
}

/* 1 where there is a tree. *sound: it must stay; NULL: nobody asks. */
static int digest(const struct fuzz_medium *m, uint8_t out[16], int *sound)
{
    jx_fs *fs;
    struct jx_reader reader = m->reader;
    reader.summary = 1; /* a sealed commit is only seen so */
    if (jx_fs_open(m->flash, &reader, &fs) != JX_OK)
        return 0;
    int is_tree = jx_fs_digest(fs, out) == JX_OK;
    if (sound)
        *sound = is_tree && is_sound(fs, m->reader.summary);
    jx_fs_close(fs);
    return is_tree;
}

static int write_something(jx_fs *fs, uint32_t strategy, uint32_t pino, int big)
{
    static uint8_t content[3000];
    struct jx_txn_options options = {.strategy = strategy, .summary = 1, .compr_mask = JX_USE_NONE | JX_USE_ZERO};
    struct jx_attr file = {0100644, 1, 2, 7};
    jx_txn *txn;
    uint32_t ino = 0;
    int err = jx_txn_begin(fs, &options, &txn);
    if (err)
        return err;
    err = jx_txn_create(txn, &file, big ? sizeof content : 3, &ino);
    if (!err)
        err = jx_txn_setxattr(txn, 0, 1, "n", 1, "v", 1);
    if (!err)
        err = jx_txn_write(txn, big ? (const void *)content : "abc", big ? sizeof content : 3);
    if (!err)
        err = jx_txn_close(txn);
    if (!err)
        err = jx_txn_link(txn, pino, "new", 3, ino, 8, 7);
    if (!err)
        jx_txn_unlink(txn, pino, "file", 4, 7);
    if (!err)
        err = jx_txn_prepare(txn);
    if (!err)
        err = jx_txn_commit(txn);
    else
        jx_txn_abort(txn);
    jx_txn_free(txn);
    return err;
}

static void transact(const struct fuzz_medium *m, uint32_t what)
{
    jx_fs *fs;
    if (jx_fs_open(m->flash, &m->reader, &fs) != JX_OK)
        return;
    write_something(fs, what & 3, what & 4 ? 2 : JX_ROOT_INO, (int)(what & 8));
    jx_fs_close(fs);
}

/* 1 where something was done that must leave the tree alone. */
static int act(const struct fuzz_medium *m, uint8_t what)
{
    struct jx_recovery recovery;
    struct jx_collection collection;
    switch (what & 7) {
    case TIDY: return jx_tidy(m->flash, &m->reader, &recovery) == JX_OK;
    case DROP: jx_drop_commits(m->flash, &m->reader, &recovery); return 0;
    case COLLECT: return jx_collect(m->flash, &m->reader, 2 + (what >> 3 & 3), what >> 5 & 1, &collection) == JX_OK;
    case TRANSACTION: transact(m, what >> 3); return 0;
    default: return jx_recover(m->flash, &m->reader, &recovery) == JX_OK;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t input[1 + 8 * FUZZ_ERASE_BYTES];
    struct fuzz_medium m;
    uint8_t before[16], after[16];
    if (len < 3 || len - 1 > sizeof input)
        return 0;
    input[0] = data[0];
    memcpy(input + 1, data + 2, len - 2);
    if (!fuzz_medium_open(input, len - 1, SPARE_BLOCKS, &m))
        return 0;
    m.reader.endian = m.reader.endian < 0 ? JX_LITTLE : m.reader.endian; /* evidence changes when nodes go */
    int whole = 0;
    digest(&m, before, &whole);
    if (act(&m, data[1]) && whole && (!digest(&m, after, NULL) || memcmp(before, after, 16)))
        abort();
    fuzz_open_and_read(&m, NULL);
    return 0;
}
