/* scan_summary.c: an eraseblock by the summary at its end (jffs2_sum_scan_sumnode). */
#define _POSIX_C_SOURCE 200809L /* strnlen */
#include <string.h>
#include "codec.h"
#include "scan.h"

/* Where a valid summary node starts in the block; s->size where none does. */
uint32_t jx_scan_find_summary(struct scan *s)
{
    struct jx_summary sum;
    uint32_t start, len;
    const uint8_t *marker = s->buf + s->size - JX_MARKER_BYTES;
    if (get32(s->fs->endian, marker + 4) != JX_SUMMARY_MAGIC)
        return s->size;
    start = get32(s->fs->endian, marker);
    if (start > s->size - JX_SUMMARY_BYTES - JX_MARKER_BYTES)
        return s->size;
    len = s->size - start;
    if (jx_decode_summary(s->fs->endian, s->buf + start, len, &sum) != JX_GOOD)
        return s->size;
    return start;
}

/* 1: every entry is known and inside the block; 0: not, the block is scanned in full. JX_EFORMAT: an entry of an
 * incompatible type, or a name that begins with NUL, and the kernel mounts nothing (jffs2_sum_process_sum_data). Nodes that
 * together are longer than the block (the kernel would lose count of its free space) are not believed either: each is
 * checked in full one day, and that must not cost more than the block has bytes. */
int jx_scan_summary_usable(struct scan *s, uint32_t start, uint32_t count)
{
    uint32_t pos = JX_SUMMARY_BYTES, len = s->size - start, listed = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct jx_summary_entry e;
        int known = jx_decode_summary_entry(s->fs->endian, s->buf + start, len, &pos, &e);
        int refused = known == 1 ? e.nodetype == JX_NODE_DIRENT && (!e.nsize || !s->buf[start + e.name_at])
                                 : known == 0 && (e.nodetype & JX_COMPAT_MASK) == JX_COMPAT_INCOMPAT;
        if (refused && !s->fs->reader.inspect)
            return JX_EFORMAT;
        if (known != 1)
            return 0;
        if (e.offset > start || e.totlen > start - e.offset || e.totlen < JX_HEADER_BYTES || e.offset % 4)
            return 0;
        listed += e.totlen; /* no more than twice start */
        if (listed > start)
            return 0;
    }
    return 1;
}

static int summary_entry(struct scan *s, uint32_t start, const struct jx_summary_entry *e)
{
    struct jx_fs *fs = s->fs;
    uint32_t first = fs->node_count;
    struct jx_header h;
    int good = jx_decode_header(fs->endian, s->buf + e->offset, &h) == JX_GOOD && (h.nodetype | JX_ACCURATE) == e->nodetype &&
               h.totlen == e->totlen;
    int err = jx_scan_take(s, e->offset, e->totlen, e->nodetype, good ? JX_V_GOOD : JX_V_BAD_HEADER);
    if (err)
        return err;
    struct jx_node *n = &fs->nodes[first];
    n->by_summary = 1;
    if (e->nodetype == JX_NODE_INODE && n->verdict == JX_V_GOOD)
        n->ino = e->ino; /* whose node it is, only the entry says (read_dnode looks no more) */
    if (e->nodetype == JX_NODE_DIRENT && n->totlen > e->totlen)
        n->verdict = JX_V_BAD_NODE; /* read_direntry: "illegal nsize" */
    if (n->verdict == JX_V_GOOD && (h.nodetype & JX_ACCURATE))
        return JX_OK;
    /* The kernel believes the summary about a node that it will only later find to be bad (or cleared). */
    if (n->verdict == JX_V_GOOD)
        n->verdict = JX_V_OBSOLETE;
    if (e->nodetype == JX_NODE_INODE) {
        n->ino = e->ino;
        n->version = e->version;
        jx_scan_number(fs, e->ino);
    }
    if (e->nodetype == JX_NODE_DIRENT) {
        jx_scan_number(fs, e->ino);
        jx_scan_number(fs, e->child);
        n->ino = e->ino;
        n->version = e->version;
        n->child = e->child;
        n->type = e->type;
        return jx_scan_name(fs, n, s->buf + start + e->name_at, (uint32_t)strnlen((const char *)s->buf + start + e->name_at, e->nsize));
    }
    return JX_OK;
}

int jx_scan_summary(struct scan *s, uint32_t start, const struct jx_summary *sum)
{
    uint32_t pos = JX_SUMMARY_BYTES, len = s->size - start, at = 0;
    int err = JX_OK;
    if (sum->cln_mkr && sum->cln_mkr == jx_cleanmarker_size(&s->fs->flash->geo)) {
        if (!jx_scan_node(s, 0, sum->cln_mkr, JX_NODE_CLEANMARKER, JX_V_GOOD))
            return JX_ENOMEM;
        s->block->cleanmarker = 1;
        at = jx_pad4(sum->cln_mkr);
    }
    for (uint32_t i = 0; i < sum->sum_num && !err; i++) {
        struct jx_summary_entry e;
        jx_decode_summary_entry(s->fs->endian, s->buf + start, len, &pos, &e);
        if (e.offset > at)
            err = jx_scan_hidden(s, at, e.offset);
        if (!err)
            err = summary_entry(s, start, &e);
        if (e.offset + jx_pad4(e.totlen) > at) /* entries that do not ascend: no stretch is swept twice */
            at = e.offset + jx_pad4(e.totlen);
    }
    if (!err && start > at)
        err = jx_scan_hidden(s, at, start);
    if (!err && !jx_scan_node(s, start, len, JX_NODE_SUMMARY, JX_V_GOOD))
        err = JX_ENOMEM;
    s->block->summary = 1;
    return err;
}
