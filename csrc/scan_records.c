/* scan_records.c: the records that the scan leaves of nodes, runs of erased bytes, noise and tags. */
#define _POSIX_C_SOURCE 200809L /* strnlen */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "mutants.h"
#include "scan.h"
#include "txn.h"

#define SHORT_RUN_BYTES 64u /* an erased run below this amid noise is noise: keeps the records linear in the medium */

struct jx_node *jx_scan_node(struct scan *s, uint32_t ofs, uint32_t totlen, uint16_t type, uint8_t verdict)
{
    struct jx_fs *fs = s->fs;
    if (fs->node_count == fs->node_capacity) {
        uint32_t capacity = fs->node_capacity ? fs->node_capacity * 2 : 256;
        struct jx_node *nodes = realloc(fs->nodes, (size_t)capacity * sizeof(*nodes));
        if (!nodes)
            return NULL;
        fs->nodes = nodes;
        fs->node_capacity = capacity;
    }
    struct jx_node *n = &fs->nodes[fs->node_count++];
    memset(n, 0, sizeof(*n));
    n->offset = s->block->offset + ofs;
    n->totlen = totlen;
    n->nodetype = type;
    n->verdict = verdict;
    n->next = JX_NONE;
    return n;
}

/* A run of erased bytes or noise, joined to the run before it where that is of its kind. */
int jx_scan_run(struct scan *s, uint32_t ofs, uint32_t len, uint8_t verdict)
{
    struct jx_fs *fs = s->fs;
    if (fs->node_count > s->block->first_node) {
        struct jx_node *last = &fs->nodes[fs->node_count - 1];
        int touches = last->nodetype == 0 && last->offset + last->totlen == s->block->offset + ofs;
        int swallow = verdict == JX_V_NOISE && last->verdict == JX_V_ERASED && last->totlen < SHORT_RUN_BYTES &&
                      fs->node_count - 1 > s->block->first_node && last[-1].verdict == JX_V_NOISE;
        if (touches && last->verdict == verdict) {
            last->totlen += len;
            return JX_OK;
        }
        if (touches && swallow) {
            last[-1].totlen += last->totlen + len;
            fs->node_count--;
            return JX_OK;
        }
    }
    return jx_scan_node(s, ofs, len, 0, verdict) ? JX_OK : JX_ENOMEM;
}

int jx_scan_name(struct jx_fs *fs, struct jx_node *n, const uint8_t *name, uint32_t nsize)
{
    if (fs->names_len + nsize > fs->names_capacity) {
        if (fs->names_capacity > UINT32_MAX / 2)
            return JX_ELIMIT;
        uint32_t capacity = fs->names_capacity ? fs->names_capacity * 2 : 4096;
        char *names = realloc(fs->names, capacity);
        if (!names)
            return JX_ENOMEM;
        fs->names = names;
        fs->names_capacity = capacity;
    }
    n->name = fs->names_len;
    n->nsize = (uint8_t)nsize;
    if (!nsize)
        return JX_OK;
    memcpy(fs->names + fs->names_len, name, nsize);
    fs->names_len += nsize;
    return JX_OK;
}

void jx_scan_number(struct jx_fs *fs, uint32_t ino)
{
    if (ino > fs->highest_ino)
        fs->highest_ino = ino;
}

/* ---- the four node types with content ------------------------------------- */

static int take_inode(struct scan *s, uint32_t ofs, uint32_t totlen, uint8_t verdict)
{
    struct jx_inode in;
    struct jx_node *n = jx_scan_node(s, ofs, totlen, JX_NODE_INODE, verdict);
    if (!n)
        return JX_ENOMEM;
    if (ofs + JX_INODE_BYTES > s->size || jx_decode_inode(s->fs->endian, s->buf + ofs, &in) != JX_GOOD) {
        n->verdict = JX_V_BAD_NODE;
        return JX_OK;
    }
    n->ino = in.ino;
    n->version = in.version;
    n->file_offset = in.offset;
    n->dsize = in.dsize;
    n->csize = in.csize;
    n->isize = in.isize;
    n->type = in.compr;
    /* jffs2_get_inode_nodes (read_dnode): a wrong length or an offset beyond the size drops the node */
    if (totlen < JX_INODE_BYTES || in.csize > totlen || jx_pad4(totlen) - JX_INODE_BYTES != jx_pad4(in.csize) ||
        in.offset > in.isize) {
        n->verdict = JX_V_BAD_NODE;
        if (verdict != JX_V_GOOD)
            n->ino = 0; /* else the inode itself stays (jffs2_scan_inode_node looks at the node CRC only) */
    }
    if (verdict == JX_V_GOOD || !JX_MUTANT(number_of_hidden_reused))
        jx_scan_number(s->fs, in.ino);
    return JX_OK;
}

static int take_dirent(struct scan *s, uint32_t ofs, uint32_t totlen, uint8_t verdict)
{
    struct jx_dirent d;
    struct jx_node *n = jx_scan_node(s, ofs, totlen, JX_NODE_DIRENT, verdict);
    if (!n)
        return JX_ENOMEM;
    if (ofs + JX_DIRENT_BYTES > s->size || jx_decode_dirent(s->fs->endian, s->buf + ofs, &d) != JX_GOOD) {
        n->verdict = JX_V_BAD_NODE;
        return JX_OK;
    }
    const uint8_t *name = s->buf + ofs + JX_DIRENT_BYTES;
    uint32_t room = s->size - ofs - JX_DIRENT_BYTES;
    uint32_t nsize = (uint32_t)strnlen((const char *)name, d.nsize < room ? d.nsize : room);
    n->ino = d.pino;
    n->version = d.version;
    n->child = d.ino;
    n->type = d.type;
    n->file_offset = d.mctime;
    if (d.nsize > room || nsize == 0 || jx_crc32(0, name, nsize) != d.name_crc) {
        n->verdict = JX_V_BAD_NAME;
        return JX_OK;
    }
    if (totlen < JX_DIRENT_BYTES + d.nsize) { /* the scan believes it all the same; who copies it, copies its name */
        n->totlen = JX_DIRENT_BYTES + d.nsize;
        if (verdict != JX_V_GOOD) {
            n->verdict = JX_V_BAD_NODE;
            return JX_OK;
        }
    }
    jx_scan_number(s->fs, d.pino);
    jx_scan_number(s->fs, d.ino);
    if (nsize < d.nsize && verdict == JX_V_GOOD)
        n->verdict = JX_V_BAD_NAME; /* a NUL in it: the build believes it, read_direntry drops it */
    return jx_scan_name(s->fs, n, name, nsize);
}

static int take_xattr(struct scan *s, uint32_t ofs, uint32_t totlen, uint8_t verdict)
{
    struct jx_xattr x;
    struct jx_node *n = jx_scan_node(s, ofs, totlen, JX_NODE_XATTR, verdict);
    if (!n)
        return JX_ENOMEM;
    if (ofs + JX_XATTR_BYTES > s->size || jx_decode_xattr(s->fs->endian, s->buf + ofs, &x) != JX_GOOD ||
        jx_pad4(JX_XATTR_BYTES + x.name_len + 1u + x.value_len) != totlen) {
        n->verdict = JX_V_BAD_NODE;
        return JX_OK;
    }
    n->child = x.xid;
    n->version = x.version;
    n->type = x.xprefix;
    n->nsize = x.name_len;
    n->dsize = x.value_len;
    n->csize = x.data_crc;
    if (x.xid > s->fs->highest_xid)
        s->fs->highest_xid = x.xid;
    return JX_OK;
}

static int take_xref(struct scan *s, uint32_t ofs, uint32_t totlen, uint8_t verdict)
{
    struct jx_xref x;
    struct jx_node *n = jx_scan_node(s, ofs, totlen, JX_NODE_XREF, verdict);
    if (!n)
        return JX_ENOMEM;
    if (totlen != jx_pad4(JX_XREF_BYTES) || jx_decode_xref(s->fs->endian, s->buf + ofs, &x) != JX_GOOD) {
        n->verdict = JX_V_BAD_NODE;
        return JX_OK;
    }
    n->ino = x.ino;
    n->child = x.xid;
    n->version = x.xseqno;
    if (x.xseqno > s->fs->highest_xseqno)
        s->fs->highest_xseqno = x.xseqno;
    if (x.xid > s->fs->highest_xid)
        s->fs->highest_xid = x.xid;
    jx_scan_number(s->fs, x.ino);
    return JX_OK;
}

/* The caller has checked ofs + totlen <= size. */
int jx_scan_take(struct scan *s, uint32_t ofs, uint32_t totlen, uint16_t type, uint8_t verdict)
{
    switch (type) {
    case JX_NODE_INODE: return take_inode(s, ofs, totlen, verdict);
    case JX_NODE_DIRENT: return take_dirent(s, ofs, totlen, verdict);
    case JX_NODE_XATTR: return take_xattr(s, ofs, totlen, verdict);
    case JX_NODE_XREF: return take_xref(s, ofs, totlen, verdict);
    default: return jx_scan_node(s, ofs, totlen, type, verdict) ? JX_OK : JX_ENOMEM;
    }
}

/* Where the engine writes a tag: first in its block, of a lifted set behind the erased start; that a set is settled is said
 * behind it. What stands elsewhere is a copy or a forgery, and jx_glance would not see it. */
static int is_in_place(uint32_t ofs, const struct jx_tag *tag)
{
    int lifted = tag->role == JX_TAG_COMMIT && tag->strategy == JX_LIFT && ofs == JX_LIFT_BYTES;
    return ofs == 0 || lifted || tag->role == JX_TAG_SETTLED || JX_MUTANT(tag_anywhere);
}

void jx_scan_tag(struct scan *s, uint32_t ofs, uint32_t totlen)
{
    struct jx_tag tag;
    if (jx_tag_decode(s->fs->endian, s->buf + ofs, totlen, &tag) != JX_OK || !is_in_place(ofs, &tag))
        return;
    /* the last tag of a block tells: a commit block that was settled says so */
    s->block->tag = tag.role;
    s->block->tag_format = tag.format;
    s->block->txid = tag.txid;
    s->block->sequence = tag.sequence;
    if (tag.txid > s->fs->status.txid || (tag.txid == s->fs->status.txid && tag.role >= s->fs->status.state)) {
        s->fs->status.txid = tag.txid;
        s->fs->status.state = tag.role; /* a role for now; space.c makes a state of it */
        if (tag.role != JX_TAG_STAGE)
            s->fs->status.strategy = tag.strategy;
        memcpy(s->fs->status.id, tag.id, sizeof(tag.id));
    }
}
