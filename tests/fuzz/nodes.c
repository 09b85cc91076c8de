/* nodes.c: what a node's fields are and how its CRCs are put right. */
#include <string.h>
#include "codec.h"
#include "fs.h"
#include "nodes.h"
#include "txn.h"

#define HEADER(type) {type, 0, 2, "magic"}, {type, 2, 2, "nodetype"}, {type, 4, 4, "totlen"}, {type, 8, 4, "hdr_crc"}
#define FIELD(type, of, field) {type, offsetof(struct of, field), sizeof(((struct of *)0)->field), #field}

/* In groups by type; the one for types not known, 0, is last. */
const struct fuzz_field fuzz_fields[] = {
    HEADER(JX_NODE_INODE),
    FIELD(JX_NODE_INODE, jx_media_inode, ino), FIELD(JX_NODE_INODE, jx_media_inode, version),
    FIELD(JX_NODE_INODE, jx_media_inode, mode), FIELD(JX_NODE_INODE, jx_media_inode, uid),
    FIELD(JX_NODE_INODE, jx_media_inode, gid), FIELD(JX_NODE_INODE, jx_media_inode, isize),
    FIELD(JX_NODE_INODE, jx_media_inode, atime), FIELD(JX_NODE_INODE, jx_media_inode, mtime),
    FIELD(JX_NODE_INODE, jx_media_inode, ctime), FIELD(JX_NODE_INODE, jx_media_inode, offset),
    FIELD(JX_NODE_INODE, jx_media_inode, csize), FIELD(JX_NODE_INODE, jx_media_inode, dsize),
    FIELD(JX_NODE_INODE, jx_media_inode, compr), FIELD(JX_NODE_INODE, jx_media_inode, usercompr),
    FIELD(JX_NODE_INODE, jx_media_inode, flags), FIELD(JX_NODE_INODE, jx_media_inode, data_crc),
    FIELD(JX_NODE_INODE, jx_media_inode, node_crc),
    HEADER(JX_NODE_DIRENT),
    FIELD(JX_NODE_DIRENT, jx_media_dirent, pino), FIELD(JX_NODE_DIRENT, jx_media_dirent, version),
    FIELD(JX_NODE_DIRENT, jx_media_dirent, ino), FIELD(JX_NODE_DIRENT, jx_media_dirent, mctime),
    FIELD(JX_NODE_DIRENT, jx_media_dirent, nsize), FIELD(JX_NODE_DIRENT, jx_media_dirent, type),
    FIELD(JX_NODE_DIRENT, jx_media_dirent, unused), FIELD(JX_NODE_DIRENT, jx_media_dirent, node_crc),
    FIELD(JX_NODE_DIRENT, jx_media_dirent, name_crc), {JX_NODE_DIRENT, JX_DIRENT_BYTES, 1, "name"},
    HEADER(JX_NODE_XATTR),
    FIELD(JX_NODE_XATTR, jx_media_xattr, xid), FIELD(JX_NODE_XATTR, jx_media_xattr, version),
    FIELD(JX_NODE_XATTR, jx_media_xattr, xprefix), FIELD(JX_NODE_XATTR, jx_media_xattr, name_len),
    FIELD(JX_NODE_XATTR, jx_media_xattr, value_len), FIELD(JX_NODE_XATTR, jx_media_xattr, data_crc),
    FIELD(JX_NODE_XATTR, jx_media_xattr, node_crc),
    HEADER(JX_NODE_XREF),
    FIELD(JX_NODE_XREF, jx_media_xref, ino), FIELD(JX_NODE_XREF, jx_media_xref, xid),
    FIELD(JX_NODE_XREF, jx_media_xref, xseqno), FIELD(JX_NODE_XREF, jx_media_xref, node_crc),
    HEADER(JX_NODE_SUMMARY),
    FIELD(JX_NODE_SUMMARY, jx_media_summary, sum_num), FIELD(JX_NODE_SUMMARY, jx_media_summary, cln_mkr),
    FIELD(JX_NODE_SUMMARY, jx_media_summary, padded), FIELD(JX_NODE_SUMMARY, jx_media_summary, sum_crc),
    FIELD(JX_NODE_SUMMARY, jx_media_summary, node_crc),
    HEADER(JX_NODE_TAG),
    {JX_NODE_TAG, 12, 1, "format"}, {JX_NODE_TAG, 13, 1, "role"}, {JX_NODE_TAG, 14, 1, "strategy"},
    {JX_NODE_TAG, 16, 4, "txid"}, {JX_NODE_TAG, 20, 4, "sequence"}, {JX_NODE_TAG, 24, 4, "id"},
    {JX_NODE_TAG, 40, 4, "size"}, {JX_NODE_TAG, 44, 4, "offset"}, {JX_NODE_TAG, 48, 4, "tag_crc"},
    HEADER(0),
};
const uint32_t fuzz_field_count = sizeof fuzz_fields / sizeof *fuzz_fields;

const struct fuzz_field *fuzz_fields_of(uint16_t nodetype, uint32_t *count)
{
    uint32_t i = 0, n = 0;
    while (i < fuzz_field_count && fuzz_fields[i].nodetype != nodetype)
        i++;
    if (i == fuzz_field_count)
        i -= 4;
    while (i + n < fuzz_field_count && fuzz_fields[i + n].nodetype == fuzz_fields[i].nodetype)
        n++;
    *count = n;
    return fuzz_fields + i;
}

uint32_t fuzz_get(const uint8_t *p, uint32_t bytes, int big)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < bytes; i++)
        value |= (uint32_t)p[i] << 8 * (big ? bytes - 1 - i : i);
    return value;
}

void fuzz_put(uint8_t *p, uint32_t bytes, int big, uint32_t value)
{
    for (uint32_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * (big ? bytes - 1 - i : i));
}

static int is_transparent(uint16_t type) { return !jx_is_content(type) && type != JX_NODE_SUMMARY; }

uint32_t fuzz_nodes_find(const uint8_t *image, uint32_t len, struct fuzz_node *out, uint32_t max)
{
    uint32_t n = 0, step;
    for (uint32_t at = 0; at + JX_HEADER_BYTES <= len && n < max; at += step) {
        uint32_t room = 4096 - at % 4096 < len - at ? 4096 - at % 4096 : len - at;
        int big = image[at] == JX_MAGIC >> 8 && image[at + 1] == (JX_MAGIC & 0xff);
        int little = image[at + 1] == JX_MAGIC >> 8 && image[at] == (JX_MAGIC & 0xff);
        step = 4;
        if ((!big && !little) || room < JX_HEADER_BYTES)
            continue;
        uint16_t type = (uint16_t)fuzz_get(image + at + 2, 2, big) | JX_ACCURATE;
        uint32_t totlen = fuzz_get(image + at + 4, 4, big), node_len = totlen < room ? totlen : room;
        out[n++] = (struct fuzz_node){at, node_len > JX_HEADER_BYTES ? node_len : JX_HEADER_BYTES, type, (uint8_t)big};
        step = is_transparent(type) || totlen > room ? JX_HEADER_BYTES : jx_pad4(out[n - 1].len);
    }
    return n;
}

static uint32_t fixed_bytes(uint16_t type)
{
    switch (type) {
    case JX_NODE_INODE: return JX_INODE_BYTES;
    case JX_NODE_DIRENT: return JX_DIRENT_BYTES;
    case JX_NODE_XATTR: return JX_XATTR_BYTES;
    case JX_NODE_XREF: return JX_XREF_BYTES;
    case JX_NODE_SUMMARY: return JX_SUMMARY_BYTES;
    case JX_NODE_TAG: return JX_TAG_BYTES;
    default: return JX_HEADER_BYTES;
    }
}

/* CRC of as many of the want bytes at from as there are. */
static uint32_t crc_within(const uint8_t *image, uint32_t len, uint32_t from, uint32_t want)
{
    return jx_crc32(0, image + from, want < len - from ? want : len - from);
}

static uint32_t name_bytes(const uint8_t *name, uint32_t nsize, uint32_t room)
{
    uint32_t n = 0;
    while (n < nsize && n < room && name[n])
        n++;
    return n;
}

void fuzz_node_mend(uint8_t *image, uint32_t len, const struct fuzz_node *node)
{
    uint8_t *p = image + node->at, *type = p + (node->big ? 2 : 3), accurate = *type & (JX_ACCURATE >> 8);
    uint32_t fixed = fixed_bytes(node->nodetype), end = node->at + fixed;
    int big = node->big;
    if (end > len)
        return;
    *type |= JX_ACCURATE >> 8;
    fuzz_put(p + 8, 4, big, jx_crc32(0, p, 8));
    switch (node->nodetype) {
    case JX_NODE_INODE:
        fuzz_put(p + 60, 4, big, crc_within(image, len, end, fuzz_get(p + 48, 4, big)));
        fuzz_put(p + 64, 4, big, jx_crc32(0, p, 60));
        break;
    case JX_NODE_DIRENT:
        fuzz_put(p + 36, 4, big, jx_crc32(0, p + 40, name_bytes(p + 40, p[28], len - end)));
        fuzz_put(p + 32, 4, big, jx_crc32(0, p, 32));
        break;
    case JX_NODE_XATTR:
        fuzz_put(p + 24, 4, big, crc_within(image, len, end, p[21] + 1u + fuzz_get(p + 22, 2, big)));
        fuzz_put(p + 28, 4, big, jx_crc32(0, p, 28));
        break;
    case JX_NODE_XREF: fuzz_put(p + 24, 4, big, jx_crc32(0, p, 24)); break;
    case JX_NODE_SUMMARY:
        if (node->len >= fixed)
            fuzz_put(p + 24, 4, big, crc_within(image, len, end, node->len - fixed));
        fuzz_put(p + 28, 4, big, jx_crc32(0, p, 24));
        break;
    case JX_NODE_TAG: fuzz_put(p + 48, 4, big, jx_crc32(0, p + 12, 36)); break;
    default: break;
    }
    if (!accurate)
        *type &= (uint8_t)~(JX_ACCURATE >> 8);
}

void fuzz_mend_all(uint8_t *image, uint32_t len)
{
    static struct fuzz_node nodes[4096];
    uint32_t n = fuzz_nodes_find(image, len, nodes, sizeof nodes / sizeof *nodes);
    for (uint32_t i = n; i-- > 0;) /* a summary's data hold no node, but a node's may hold one: the inner one first */
        fuzz_node_mend(image, len, &nodes[i]);
}
