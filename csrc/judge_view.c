/* judge_view.c: which tree a stock reader sees, with what it found in each eraseblock, and each file's content, kept. */
#include <stdlib.h>
#include <string.h>
#include "judge_parse.h"

/* A reader's last look: whose parse, and which, stood for each eraseblock. */
struct sight {
    struct jx_reader reader;
    struct place { struct jx_parse *parse; uint32_t filled; } *places;
};
#define MAX_SIGHTS JX_JUDGE_READERS

struct jx_view {
    struct jx_geometry geo;
    int plain;
    uint32_t clock;
    struct jx_parse *parses;   /* JX_VIEW_PARSES for each eraseblock */
    struct sight sights[MAX_SIGHTS];
    uint32_t sight_count;
    struct jx_parse **current; /* of the medium looked at */
    uint8_t *buf;
    jx_fs *scan, *tree;     /* working memory: one block's nodes; all of them and the tree */
    uint64_t *hashes;       /* of the tree's nodes */
    struct jx_table verdicts;
    struct jx_table files;  /* by the nodes that a file's content shows: where its hash stands in contents, plus 1 */
    uint64_t (*contents)[2];
    uint32_t content_count, content_room;
};

/* ---- one eraseblock -------------------------------------------------------- */

/* What this reader finds in the block: from memory where its hash is known, else by a scan, in place of the oldest. */
static int parse_block(struct jx_view *v, jx_flash *flash, const struct jx_reader *reader, uint32_t b)
{
    struct jx_memory *m = jx_memory_of(flash);
    struct jx_parse *p = v->parses + (size_t)b * JX_VIEW_PARSES, *oldest = p;
    uint32_t mode = jx_parse_mode(&v->geo, m->now.bytes + (size_t)b * v->geo.erase_size_bytes, reader);
    for (uint32_t i = 0; i < JX_VIEW_PARSES; i++, p++) {
        if (p->used && p->mode == mode && p->hash[0] == m->block_hash[b][0] && p->hash[1] == m->block_hash[b][1]) {
            p->used = v->clock;
            v->current[b] = p;
            return JX_OK;
        }
        if (p->used < oldest->used)
            oldest = p;
    }
    oldest->used = oldest->filled = v->clock;
    oldest->mode = mode;
    oldest->hash[0] = m->block_hash[b][0];
    oldest->hash[1] = m->block_hash[b][1];
    v->current[b] = oldest;
    int err = jx_parse_block(oldest, v->scan, v->buf, flash, reader, b);
    if (err)
        oldest->used = 0;
    return err;
}

static struct sight *sight_of(struct jx_view *v, const struct jx_reader *reader)
{
    for (uint32_t i = 0; i < v->sight_count; i++)
        if (!memcmp(&v->sights[i].reader, reader, sizeof(*reader)))
            return &v->sights[i];
    struct sight *s = &v->sights[v->sight_count];
    if (v->sight_count == MAX_SIGHTS || !(s->places = calloc(v->tree->block_count, sizeof(*s->places))))
        return NULL;
    s->reader = *reader;
    v->sight_count++;
    return s;
}

/* Most blocks are as they were when this reader looked last. */
static int see_block(struct jx_view *v, jx_flash *flash, struct sight *s, uint32_t b)
{
    const uint64_t *hash = jx_memory_of(flash)->block_hash[b];
    struct place *at = &s->places[b];
    struct jx_parse *p = at->parse;
    if (p && p->filled == at->filled && p->used && p->hash[0] == hash[0] && p->hash[1] == hash[1]) {
        p->used = v->clock;
        v->current[b] = p;
        return JX_OK;
    }
    int err = parse_block(v, flash, &s->reader, b);
    if (!err)
        *at = (struct place){v->current[b], v->current[b]->filled};
    return err;
}

/* ---- the whole medium ------------------------------------------------------ */

static int make_room(struct jx_view *v, jx_fs *fs, uint32_t nodes, uint32_t names)
{
    if (nodes > fs->node_capacity) {
        struct jx_node *p = realloc(fs->nodes, (size_t)nodes * sizeof(*p));
        if (!p)
            return JX_ENOMEM;
        fs->nodes = p;
        fs->node_capacity = nodes;
        uint64_t *hashes = realloc(v->hashes, (size_t)nodes * sizeof(*hashes));
        if (!hashes)
            return JX_ENOMEM;
        v->hashes = hashes;
    }
    if (names > fs->names_capacity) {
        char *p = realloc(fs->names, names);
        if (!p)
            return JX_ENOMEM;
        fs->names = p;
        fs->names_capacity = names;
    }
    return JX_OK;
}

/* The blocks' nodes one after the other, as jx_scan leaves them. */
static int gather(struct jx_view *v, jx_fs *fs)
{
    uint32_t nodes = 0, names = 0;
    for (uint32_t b = 0; b < fs->block_count; b++) {
        nodes += v->current[b]->block.node_count;
        names += v->current[b]->names_len;
    }
    if (make_room(v, fs, nodes, names) != JX_OK)
        return JX_ENOMEM;
    fs->node_count = fs->names_len = 0;
    for (uint32_t b = 0; b < fs->block_count; b++) {
        const struct jx_parse *p = v->current[b];
        fs->blocks[b] = p->block;
        fs->blocks[b].first_node = fs->node_count;
        for (uint32_t i = 0; i < p->block.node_count; i++) {
            v->hashes[fs->node_count] = p->hashes[i];
            fs->nodes[fs->node_count] = p->nodes[i];
            fs->nodes[fs->node_count++].name += fs->names_len;
        }
        if (p->names_len)
            memcpy(fs->names + fs->names_len, p->names, p->names_len);
        fs->names_len += p->names_len;
    }
    return JX_OK;
}

/* Where the hash of a file's content is kept, zeros if it is not known yet; see struct jx_known_contents. */
static uint64_t *content_of(void *ctx, jx_fs *fs, uint32_t size)
{
    struct jx_view *v = ctx;
    uint64_t key[2] = {size, fs->reader.compr_mask};
    for (uint32_t i = 0; i < fs->map.count; i++) {
        const struct jx_frag *f = &fs->map.frags[i];
        jx_mix(key, (uint64_t)f->offset << 32 | f->len);
        jx_mix(key, f->node == JX_NONE ? 0 : v->hashes[f->node]);
    }
    if (v->content_count == v->content_room) {
        uint32_t room = v->content_room ? v->content_room * 2 : 1024;
        void *contents = realloc(v->contents, (size_t)room * sizeof(*v->contents));
        if (!contents)
            return NULL;
        v->contents = contents;
        v->content_room = room;
    }
    struct jx_keyed *file = jx_table_get(&v->files, key);
    if (file && !file->value) {
        v->contents[v->content_count][0] = v->contents[v->content_count][1] = 0;
        file->value = ++v->content_count;
    }
    return file ? v->contents[file->value - 1] : NULL;
}

/* A medium that the reader cannot mount shows neither tree. */
static int judge(struct jx_view *v, jx_fs *fs, const struct jx_onlooker *who, int err, int plain, uint32_t *tree)
{
    struct jx_known_contents known = {.ctx = v, .find = content_of};
    uint8_t digest[16];
    if (!err)
        err = jx_digest(fs, plain ? NULL : &known, digest);
    if (err == JX_ENOMEM)
        return err;
    *tree = JX_TREE_THIRD;
    if (!err && !memcmp(digest, who->trees[0], sizeof(digest)))
        *tree = JX_TREE_OLD;
    else if (!err && !memcmp(digest, who->trees[1], sizeof(digest)))
        *tree = JX_TREE_NEW;
    return JX_OK;
}

static int build_and_judge(struct jx_view *v, jx_flash *flash, const struct jx_onlooker *who, uint32_t *tree)
{
    jx_fs *fs = v->tree;
    int err = gather(v, fs);
    if (err)
        return err;
    fs->flash = flash;
    fs->reader = who->reader;
    fs->endian = who->reader.endian;
    err = judge(v, fs, who, jx_fs_build(fs), 0, tree);
    jx_fs_forget(fs);
    return err;
}

int jx_view_look_plainly(struct jx_view *v, jx_flash *flash, const struct jx_onlooker *who, uint32_t *tree)
{
    jx_fs *fs = NULL;
    int err = jx_fs_open(flash, &who->reader, &fs);
    err = judge(v, fs, who, err, 1, tree);
    jx_fs_close(fs);
    return err;
}

/* What a verdict depends on beside the eraseblocks: how the reader puts a tree together, and which trees it should see. */
static void start_key(uint64_t key[2], const struct jx_onlooker *who)
{
    jx_hash_bytes((const uint8_t *)who->trees, sizeof(who->trees), 5, key);
    jx_mix(key, (uint64_t)who->reader.compr_mask << 32 | who->reader.links << 1 | who->reader.ignores_deletions);
}

int jx_view_look(struct jx_view *v, jx_flash *flash, const struct jx_onlooker *who, uint32_t *tree)
{
    uint64_t key[2], whole[2];
    int refused = 0;
    if (v->plain)
        return jx_view_look_plainly(v, flash, who, tree);
    jx_memory_hash(jx_memory_of(flash), whole);
    struct sight *sight = sight_of(v, &who->reader);
    if (!sight)
        return JX_ENOMEM;
    v->clock++;
    start_key(key, who);
    for (uint32_t b = 0; b < v->tree->block_count; b++) {
        int err = see_block(v, flash, sight, b);
        if (err)
            return err;
        jx_mix(key, v->current[b]->found[0]);
        jx_mix(key, v->current[b]->found[1]);
        refused |= v->current[b]->err;
    }
    if (refused) {
        *tree = JX_TREE_THIRD;
        return JX_OK;
    }
    struct jx_keyed *known = jx_table_get(&v->verdicts, key);
    if (!known)
        return JX_ENOMEM;
    if (!known->value) {
        int err = build_and_judge(v, flash, who, tree);
        known->value = err ? JX_TREE_UNKNOWN : *tree;
        return err;
    }
    *tree = (uint32_t)known->value;
    return JX_OK;
}

/* ---- open and close -------------------------------------------------------- */

int jx_view_open(const struct jx_geometry *geo, int plain, struct jx_view **out)
{
    struct jx_reader none = {.endian = JX_LITTLE};
    uint32_t blocks = geo->size_bytes / geo->erase_size_bytes;
    struct jx_view *v = calloc(1, sizeof(*v));
    if (!v)
        return JX_ENOMEM;
    v->geo = *geo;
    v->plain = plain;
    v->parses = calloc((size_t)blocks * JX_VIEW_PARSES, sizeof(*v->parses));
    v->current = calloc(blocks, sizeof(*v->current));
    v->buf = malloc(geo->erase_size_bytes);
    int err = v->parses && v->current && v->buf ? jx_fs_new(NULL, &none, &v->scan) : JX_ENOMEM;
    if (!err)
        err = jx_fs_new(NULL, &none, &v->tree);
    if (!err) {
        v->tree->block_count = blocks;
        v->tree->blocks = calloc(blocks, sizeof(*v->tree->blocks));
        err = v->tree->blocks ? JX_OK : JX_ENOMEM;
    }
    if (err)
        jx_view_close(v);
    else
        *out = v;
    return err;
}

void jx_view_close(struct jx_view *v)
{
    if (!v)
        return;
    uint32_t blocks = v->geo.size_bytes / v->geo.erase_size_bytes;
    for (uint32_t i = 0; v->parses && i < blocks * JX_VIEW_PARSES; i++)
        jx_parse_free(&v->parses[i]);
    free(v->parses);
    free(v->current);
    free(v->buf);
    jx_fs_close(v->scan);
    jx_fs_close(v->tree);
    jx_table_close(&v->verdicts);
    jx_table_close(&v->files);
    for (uint32_t i = 0; i < v->sight_count; i++)
        free(v->sights[i].places);
    free(v->hashes);
    free(v->contents);
    free(v);
}
