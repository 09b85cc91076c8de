/* fs.c: opening and closing the index, and what it shows of itself. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"
#include "txn.h"

#define ENOUGH_HEADERS 64u /* of one byte order more than of the other: no need to look further */

/* ---- evidence --------------------------------------------------------------- */

struct probe {
    struct jx_probe *out;
    const uint8_t *data;
    uint32_t len;
    uint32_t cleanmarkers_at; /* all their places, or'ed: the lowest bit is the largest power of two between them */
    uint32_t by_summary;      /* eraseblock that the summaries speak of; JX_NONE: they differ */
    uint32_t crossed;         /* powers of two that some node crosses: bit i for 1 << i */
};

/* A summary says where it starts in its eraseblock, and reaches to the end of it. */
static void probe_summary(struct probe *p, int endian, uint32_t ofs, uint32_t totlen)
{
    const uint8_t *marker = p->data + ofs + totlen - JX_MARKER_BYTES;
    if (totlen < JX_SUMMARY_BYTES + JX_MARKER_BYTES || get32(endian, marker + 4) != JX_SUMMARY_MAGIC)
        return;
    uint32_t start = get32(endian, marker), size = start + totlen;
    if (start > ofs || size % 4096 || (ofs - start) % size)
        return;
    p->out->summaries++;
    p->by_summary = !p->by_summary || p->by_summary == size ? size : JX_NONE;
}

static void probe_node(struct probe *p, int endian, uint32_t ofs, const struct jx_header *h)
{
    uint32_t end = ofs + h->totlen;
    if ((h->nodetype | JX_ACCURATE) == JX_NODE_CLEANMARKER) {
        p->out->cleanmarkers++;
        p->cleanmarkers_at |= ofs;
    }
    if (h->nodetype == JX_NODE_SUMMARY)
        probe_summary(p, endian, ofs, h->totlen);
    for (uint32_t bit = 12; bit < 31; bit++)
        if (ofs >> bit != (end - 1) >> bit)
            p->crossed |= 1u << bit;
    if (end > p->out->end)
        p->out->end = end;
}

static uint32_t count_order(struct probe *p, int endian)
{
    uint32_t n = 0;
    for (uint32_t ofs = 0; p->len >= JX_HEADER_BYTES && ofs <= p->len - JX_HEADER_BYTES;) {
        struct jx_header h;
        if (jx_decode_header(endian, p->data + ofs, &h) != JX_GOOD || h.totlen < JX_HEADER_BYTES || h.totlen > p->len - ofs) {
            ofs += 4;
            continue;
        }
        probe_node(p, endian, ofs, &h);
        n++;
        if (jx_pad4(h.totlen) > p->len - ofs)
            break;
        ofs += jx_pad4(h.totlen);
    }
    return n;
}

/* Summaries know it; the first two cleanmarkers stand one eraseblock apart; else only nodes that end at a boundary tell. */
static void probe_erase_size(struct probe *p)
{
    struct jx_probe *out = p->out;
    uint32_t apart = p->cleanmarkers_at & (0u - p->cleanmarkers_at);
    for (uint32_t bit = 12; bit < 31 && !out->uncrossed_bytes; bit++)
        if (!(p->crossed >> bit & 1))
            out->uncrossed_bytes = 1u << bit;
    if (out->summaries && p->by_summary != JX_NONE && p->by_summary >= out->uncrossed_bytes) {
        out->erase_size_bytes = p->by_summary;
        out->evidence = 2;
    } else if (apart && apart >= out->uncrossed_bytes) {
        out->erase_size_bytes = apart;
        out->evidence = 2;
    } else if (p->crossed) {
        out->erase_size_bytes = out->uncrossed_bytes;
        out->evidence = out->erase_size_bytes ? 1 : 0;
    }
}

int jx_probe_image(const void *data, uint32_t len, struct jx_probe *out)
{
    struct probe p = {.out = out, .data = data, .len = len};
    memset(out, 0, sizeof(*out));
    out->little = count_order(&p, JX_LITTLE);
    out->big = count_order(&p, JX_BIG);
    if (out->little || out->big)
        probe_erase_size(&p);
    return JX_OK;
}

/* ---- open and close ------------------------------------------------------------ */

/* The order of which there are more well-formed headers; little where there are none. */
static int find_endian(struct jx_fs *fs)
{
    const struct jx_geometry *geo = &fs->flash->geo;
    uint32_t found[2] = {0, 0};
    uint8_t *buf = malloc(geo->erase_size_bytes);
    int err = buf ? JX_OK : JX_ENOMEM;
    for (uint32_t b = 0; !err && b < geo->size_bytes / geo->erase_size_bytes; b++) {
        if (jx_flash_is_bad(fs->flash, b * geo->erase_size_bytes) > 0)
            continue;
        err = jx_flash_read_forgiving(fs->flash, b * geo->erase_size_bytes, buf, geo->erase_size_bytes);
        struct jx_probe p;
        if (!err)
            jx_probe_image(buf, geo->erase_size_bytes, &p);
        if (!err) {
            found[JX_LITTLE] += p.little;
            found[JX_BIG] += p.big;
        }
        uint32_t lead = found[0] > found[1] ? found[0] - found[1] : found[1] - found[0];
        if (lead >= ENOUGH_HEADERS)
            break;
    }
    free(buf);
    fs->endian = found[JX_BIG] > found[JX_LITTLE] ? JX_BIG : JX_LITTLE;
    return err;
}

/* "Cowardly refusing to erase blocks on filesystem with no valid JFFS2 nodes" */
static int is_foreign(const struct jx_fs *fs)
{
    if (fs->visible_nodes)
        return 0;
    for (uint32_t b = 0; b < fs->block_count; b++)
        if (fs->blocks[b].state == JX_B_DIRTY && !fs->blocks[b].tag)
            return 1;
    return 0;
}

int jx_fs_new(jx_flash *flash, const struct jx_reader *reader, jx_fs **out)
{
    struct jx_fs *fs = calloc(1, sizeof(*fs));
    if (!fs)
        return JX_ENOMEM;
    fs->flash = flash;
    fs->reader = *reader;
    fs->endian = reader->endian;
    fs->map.ino = JX_NONE;
    fs->highest_ino = JX_ROOT_INO;
    fs->status.strategy = JX_NONE;
    fs->chunk = malloc(2 * JX_CHUNK_BYTES);
    int err = fs->chunk ? jx_compressor_new(&fs->compressor) : JX_ENOMEM;
    if (err)
        jx_fs_close(fs);
    else
        *out = fs;
    return err;
}

int jx_fs_build(jx_fs *fs)
{
    int err = jx_index(fs);
    return !err && is_foreign(fs) ? JX_EFORMAT : err;
}

int jx_fs_open(jx_flash *flash, const struct jx_reader *reader, jx_fs **out)
{
    struct jx_fs *fs;
    int err = jx_fs_new(flash, reader, &fs);
    if (err)
        return err;
    if (reader->endian < 0)
        err = find_endian(fs);
    if (!err)
        err = jx_scan(fs);
    if (!err)
        err = jx_fs_build(fs);
    if (!err)
        err = jx_space_account(fs);
    if (err)
        jx_fs_close(fs);
    else
        *out = fs;
    return err;
}

void jx_fs_forget(jx_fs *fs)
{
    free(fs->inodes);
    free(fs->inode_hash);
    free(fs->dirents);
    free(fs->names_of);
    free(fs->xrefs);
    free(fs->xdata);
    fs->inodes = NULL;
    fs->inode_hash = fs->dirents = fs->xrefs = fs->xdata = NULL;
    fs->names_of = NULL;
    fs->inode_count = fs->inode_capacity = fs->dirent_count = fs->name_count = fs->xref_count = fs->xdatum_count = 0;
    fs->visible_nodes = 0;
    fs->map.ino = JX_NONE;
}

void jx_fs_close(jx_fs *fs)
{
    if (!fs)
        return;
    jx_fs_forget(fs);
    free(fs->nodes);
    free(fs->names);
    free(fs->blocks);
    free(fs->map.frags);
    free(fs->chunk);
    jx_compressor_free(fs->compressor);
    free(fs);
}

int jx_fs_endian(const jx_fs *fs) { return fs->endian; }
uint32_t jx_fs_node_count(const jx_fs *fs) { return fs->node_count; }
const struct jx_node *jx_fs_nodes(const jx_fs *fs) { return fs->nodes; }
const char *jx_fs_names(const jx_fs *fs) { return fs->names; }
uint32_t jx_fs_block_count(const jx_fs *fs) { return fs->block_count; }
const struct jx_block *jx_fs_blocks(const jx_fs *fs) { return fs->blocks; }
void jx_fs_status(const jx_fs *fs, struct jx_status *out) { *out = fs->status; }
