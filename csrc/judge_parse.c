/* judge_parse.c: what one reader finds in one eraseblock, and a hash of all in it that counts. */
#include <stdlib.h>
#include <string.h>
#include "judge_parse.h"

static void mix_bytes(uint64_t h[2], const uint8_t *p, uint32_t len)
{
    uint64_t bytes[2];
    jx_hash_bytes(p, len, 7, bytes);
    jx_mix(h, bytes[0]);
    jx_mix(h, bytes[1]);
}

/* The abilities of a reader that can change what it finds here: whether it believes the summary, whether it takes the
 * block for empty, what a cleared ACCURATE bit is to it, and whether ECC stops it (jx_scan_block asks for nothing else). */
uint32_t jx_parse_mode(const struct jx_geometry *geo, const uint8_t *block, const struct jx_reader *reader)
{
    static const uint8_t magic[2][4] = {{0x85, 0x18, 0x85, 0x02}, {0x02, 0x85, 0x18, 0x85}};
    uint32_t size = geo->erase_size_bytes, empty = reader->empty_scan_bytes < size ? reader->empty_scan_bytes : size;
    int marked = !memcmp(block + size - 4, magic[reader->endian == JX_BIG], 4);
    return (uint32_t)(marked && reader->summary) | (uint32_t)jx_is_erased(block, empty) << 1 | (uint32_t)reader->endian << 2 |
           reader->header_crc_as_is << 3 | reader->ecc_stops << 4;
}

static void hash_data(struct jx_parse *p, struct jx_fs *scan, const uint8_t *buf)
{
    for (uint32_t i = 0; i < scan->node_count; i++) {
        const struct jx_node *n = &scan->nodes[i];
        uint64_t hash[2] = {0, 0};
        if (n->nodetype == JX_NODE_INODE && n->verdict == JX_V_GOOD && jx_node_data_good(scan, i) > 0)
            jx_hash_bytes(buf + (n->offset - p->block.offset), n->totlen, 9, hash);
        p->hashes[i] = hash[0];
    }
}

/* Of a node whose data fail their CRC nobody reads these. */
static uint32_t bytes_that_count(const struct jx_node *n)
{
    return n->nodetype == JX_NODE_INODE && n->data_checked == 2 ? JX_INODE_BYTES : n->totlen;
}

/* All that jx_fs_build and jx_fs_digest will ask of this block: its records, and the bytes of nodes that count. A run of
 * such nodes is hashed as a whole. */
static void find(struct jx_parse *p, const struct jx_fs *scan, const uint8_t *buf)
{
    uint32_t from = 0, to = 0;
    int counts = 0;
    p->found[0] = p->found[1] = p->mode;
    jx_mix(p->found, (uint64_t)p->block.state << 8 | p->block.tag);
    for (uint32_t i = 0; i < scan->node_count; i++) {
        const struct jx_node *n = &scan->nodes[i];
        uint32_t at = n->offset - p->block.offset;
        counts |= n->verdict == JX_V_GOOD && n->nodetype;
        if (!jx_is_seen(n) || !jx_is_content(n->nodetype))
            continue;
        jx_mix(p->found, (uint64_t)n->offset << 32 | n->totlen);
        jx_mix(p->found, (uint64_t)n->nodetype << 16 | (uint64_t)n->verdict << 8 | n->by_summary);
        if (n->by_summary) { /* its record may come from the summary alone */
            jx_mix(p->found, (uint64_t)n->ino << 32 | n->child);
            jx_mix(p->found, (uint64_t)n->version << 32 | n->type);
            mix_bytes(p->found, (const uint8_t *)scan->names + n->name, n->nodetype == JX_NODE_DIRENT ? n->nsize : 0);
        }
        if (n->verdict != JX_V_GOOD)
            continue;
        if (at != to) {
            mix_bytes(p->found, buf + from, to - from);
            from = at;
        }
        uint32_t len = bytes_that_count(n), padded = jx_pad4(len);
        jx_mix(p->found, len);
        to = at + padded < scan->flash->geo.erase_size_bytes ? at + padded : at + len;
    }
    mix_bytes(p->found, buf + from, to - from);
    jx_mix(p->found, (uint64_t)counts);
}

static int keep(struct jx_parse *p, const struct jx_fs *scan)
{
    size_t bytes = (size_t)scan->node_count * sizeof(*p->nodes);
    struct jx_node *nodes = realloc(p->nodes, bytes + 1);
    uint64_t *hashes = realloc(p->hashes, (size_t)scan->node_count * sizeof(*hashes) + 1);
    char *names = realloc(p->names, scan->names_len + 1);
    p->nodes = nodes ? nodes : p->nodes;
    p->hashes = hashes ? hashes : p->hashes;
    p->names = names ? names : p->names;
    if (!nodes || !hashes || !names)
        return JX_ENOMEM;
    if (bytes)
        memcpy(nodes, scan->nodes, bytes);
    if (scan->names_len)
        memcpy(names, scan->names, scan->names_len);
    p->names_len = scan->names_len;
    return JX_OK;
}

int jx_parse_block(struct jx_parse *p, jx_fs *scan, uint8_t *buf, jx_flash *flash, const struct jx_reader *reader, uint32_t b)
{
    scan->flash = flash;
    scan->reader = *reader;
    scan->endian = reader->endian;
    scan->node_count = scan->names_len = 0;
    p->block = (struct jx_block){.offset = b * flash->geo.erase_size_bytes};
    p->err = jx_scan_block(scan, &p->block, buf);
    if (p->err == JX_ENOMEM)
        return p->err;
    int err = keep(p, scan);
    if (err)
        return err;
    hash_data(p, scan, buf);
    find(p, scan, buf);
    jx_mix(p->found, (uint64_t)(uint32_t)p->err);
    for (uint32_t i = 0; i < scan->node_count; i++)
        p->nodes[i].data_checked = scan->nodes[i].data_checked;
    return JX_OK;
}

void jx_parse_free(struct jx_parse *p)
{
    free(p->nodes);
    free(p->hashes);
    free(p->names);
}
