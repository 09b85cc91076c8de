/* codec.c: nodes to bytes and back. Pure functions: no I/O, no allocation. */
#include <string.h>

#include <libdeflate.h>

#include "codec.h"

uint32_t jx_crc32(uint32_t seed, const void *data, size_t len)
{
    return len ? ~libdeflate_crc32(~seed, data, len) : seed;
}

/* CRC of a node's first len bytes (at least 4) with ACCURATE set: an obsolete node keeps the CRCs that it was
 * written with (jffs2_scan_eraseblock, jffs2_mark_node_obsolete). */
static uint32_t crc_as_written(int endian, const uint8_t *p, size_t len)
{
    uint8_t start[4];

    memcpy(start, p, sizeof start);
    put16(endian, start + 2, (uint16_t)(get16(endian, p + 2) | JX_ACCURATE));
    return jx_crc32(jx_crc32(0, start, sizeof start), p + sizeof start, len - sizeof start);
}

/* Copies len bytes, of which there may be none at NULL. Returns where they end. */
static uint8_t *put_bytes(uint8_t *to, const void *from, size_t len)
{
    if (len)
        memcpy(to, from, len);
    return to + len;
}

/* ---- header ---------------------------------------------------------------- */

int jx_decode_header(int endian, const uint8_t *p, struct jx_header *out)
{
    const struct jx_media_header *m = (const void *)p;

    out->magic = get16(endian, m->magic);
    out->nodetype = get16(endian, m->nodetype);
    out->totlen = get32(endian, m->totlen);
    out->hdr_crc = get32(endian, m->hdr_crc);
    if (out->magic != JX_MAGIC)
        return JX_BAD_MAGIC;
    return crc_as_written(endian, p, offsetof(struct jx_media_header, hdr_crc)) == out->hdr_crc ? JX_GOOD
                                                                                              : JX_BAD_HEADER_CRC;
}

uint32_t jx_encode_header(int endian, uint8_t *out, uint16_t nodetype, uint32_t totlen)
{
    struct jx_media_header *m = (void *)out;

    put16(endian, m->magic, JX_MAGIC);
    put16(endian, m->nodetype, nodetype);
    put32(endian, m->totlen, totlen);
    put32(endian, m->hdr_crc, crc_as_written(endian, out, offsetof(struct jx_media_header, hdr_crc)));
    return totlen;
}

/* ---- inode ----------------------------------------------------------------- */

int jx_decode_inode(int endian, const uint8_t *p, struct jx_inode *out)
{
    const struct jx_media_inode *m = (const void *)p;

    out->ino = get32(endian, m->ino);
    out->version = get32(endian, m->version);
    out->mode = get32(endian, m->mode);
    out->uid = get16(endian, m->uid);
    out->gid = get16(endian, m->gid);
    out->isize = get32(endian, m->isize);
    out->atime = get32(endian, m->atime);
    out->mtime = get32(endian, m->mtime);
    out->ctime = get32(endian, m->ctime);
    out->offset = get32(endian, m->offset);
    out->csize = get32(endian, m->csize);
    out->dsize = get32(endian, m->dsize);
    out->compr = m->compr[0];
    out->usercompr = m->usercompr[0];
    out->flags = get16(endian, m->flags);
    out->data_crc = get32(endian, m->data_crc);
    return crc_as_written(endian, p, offsetof(struct jx_media_inode, data_crc)) == get32(endian, m->node_crc)
        ? JX_GOOD : JX_BAD_NODE_CRC;
}

uint32_t jx_encode_inode(int endian, uint8_t *out, const struct jx_inode *in, const void *data)
{
    struct jx_media_inode *m = (void *)out;
    uint32_t totlen = jx_encode_header(endian, out, JX_NODE_INODE, (uint32_t)sizeof *m + in->csize);

    put32(endian, m->ino, in->ino);
    put32(endian, m->version, in->version);
    put32(endian, m->mode, in->mode);
    put16(endian, m->uid, in->uid);
    put16(endian, m->gid, in->gid);
    put32(endian, m->isize, in->isize);
    put32(endian, m->atime, in->atime);
    put32(endian, m->mtime, in->mtime);
    put32(endian, m->ctime, in->ctime);
    put32(endian, m->offset, in->offset);
    put32(endian, m->csize, in->csize);
    put32(endian, m->dsize, in->dsize);
    m->compr[0] = in->compr;
    m->usercompr[0] = in->usercompr;
    put16(endian, m->flags, in->flags);
    put32(endian, m->data_crc, jx_crc32(0, data, in->csize));
    put32(endian, m->node_crc, jx_crc32(0, out, offsetof(struct jx_media_inode, data_crc)));
    put_bytes(out + sizeof *m, data, in->csize);
    return totlen;
}

/* Linux's kdev_t.h: 16 bits hold numbers below 256 (old_encode_dev), 32 bits hold 12 and 20 (new_encode_dev). */
int jx_encode_dev(int endian, uint32_t major, uint32_t minor, uint8_t out[4])
{
    if (major < 1u << 8 && minor < 1u << 8) {
        put16(endian, out, (uint16_t)(major << 8 | minor));
        return 2;
    }
    if (major < 1u << 12 && minor < 1u << 20) {
        put32(endian, out, (minor & 0xffu) | major << 8 | (minor & ~0xffu) << 12);
        return 4;
    }
    return JX_EINVAL;
}

int jx_decode_dev(int endian, const uint8_t *data, uint32_t len, uint32_t *major, uint32_t *minor)
{
    uint32_t number;

    if (len == 2) {
        number = get16(endian, data);
        *major = number >> 8;
        *minor = number & 0xffu;
    } else if (len == 4) {
        number = get32(endian, data);
        *major = number >> 8 & 0xfffu;
        *minor = (number & 0xffu) | (number >> 12 & 0xfff00u);
    } else {
        return JX_ECORRUPT;
    }
    return JX_OK;
}

/* ---- dirent ---------------------------------------------------------------- */

int jx_decode_dirent(int endian, const uint8_t *p, struct jx_dirent *out)
{
    const struct jx_media_dirent *m = (const void *)p;

    out->pino = get32(endian, m->pino);
    out->version = get32(endian, m->version);
    out->ino = get32(endian, m->ino);
    out->mctime = get32(endian, m->mctime);
    out->nsize = m->nsize[0];
    out->type = m->type[0];
    out->name_crc = get32(endian, m->name_crc);
    return crc_as_written(endian, p, offsetof(struct jx_media_dirent, node_crc)) == get32(endian, m->node_crc)
        ? JX_GOOD : JX_BAD_NODE_CRC;
}

uint32_t jx_encode_dirent(int endian, uint8_t *out, const struct jx_dirent *in, const void *name)
{
    struct jx_media_dirent *m = (void *)out;
    uint32_t totlen = jx_encode_header(endian, out, JX_NODE_DIRENT, (uint32_t)sizeof *m + in->nsize);

    put32(endian, m->pino, in->pino);
    put32(endian, m->version, in->version);
    put32(endian, m->ino, in->ino);
    put32(endian, m->mctime, in->mctime);
    m->nsize[0] = in->nsize;
    m->type[0] = in->type;
    memset(m->unused, 0, sizeof m->unused);
    put32(endian, m->node_crc, jx_crc32(0, out, offsetof(struct jx_media_dirent, node_crc)));
    put32(endian, m->name_crc, jx_crc32(0, name, in->nsize));
    put_bytes(out + sizeof *m, name, in->nsize);
    return totlen;
}

/* ---- xattr and xref -------------------------------------------------------- */

static uint32_t xattr_totlen(const struct jx_xattr *x)
{
    return JX_PAD((uint32_t)sizeof(struct jx_media_xattr) + x->name_len + 1 + x->value_len);
}

int jx_decode_xattr(int endian, const uint8_t *p, struct jx_xattr *out)
{
    const struct jx_media_xattr *m = (const void *)p;

    out->xid = get32(endian, m->xid);
    out->version = get32(endian, m->version);
    out->xprefix = m->xprefix[0];
    out->name_len = m->name_len[0];
    out->value_len = get16(endian, m->value_len);
    out->data_crc = get32(endian, m->data_crc);
    if (crc_as_written(endian, p, offsetof(struct jx_media_xattr, node_crc)) != get32(endian, m->node_crc))
        return JX_BAD_NODE_CRC;
    return xattr_totlen(out) == get32(endian, m->header.totlen) ? JX_GOOD : JX_BAD_LENGTH;
}

uint32_t jx_encode_xattr(int endian, uint8_t *out, const struct jx_xattr *in, const void *name, const void *value)
{
    struct jx_media_xattr *m = (void *)out;
    uint32_t totlen = jx_encode_header(endian, out, JX_NODE_XATTR, xattr_totlen(in));
    uint8_t *data = out + sizeof *m;
    uint8_t *end = put_bytes(data, name, in->name_len);

    *end++ = 0;
    end = put_bytes(end, value, in->value_len);
    memset(end, 0xff, (size_t)(out + totlen - end));

    put32(endian, m->xid, in->xid);
    put32(endian, m->version, in->version);
    m->xprefix[0] = in->xprefix;
    m->name_len[0] = in->name_len;
    put16(endian, m->value_len, in->value_len);
    put32(endian, m->data_crc, jx_crc32(0, data, (size_t)(end - data)));
    put32(endian, m->node_crc, jx_crc32(0, out, offsetof(struct jx_media_xattr, node_crc)));
    return totlen;
}

int jx_decode_xref(int endian, const uint8_t *p, struct jx_xref *out)
{
    const struct jx_media_xref *m = (const void *)p;

    out->ino = get32(endian, m->ino);
    out->xid = get32(endian, m->xid);
    out->xseqno = get32(endian, m->xseqno);
    if (crc_as_written(endian, p, offsetof(struct jx_media_xref, node_crc)) != get32(endian, m->node_crc))
        return JX_BAD_NODE_CRC;
    return get32(endian, m->header.totlen) == sizeof *m ? JX_GOOD : JX_BAD_LENGTH;
}

uint32_t jx_encode_xref(int endian, uint8_t *out, const struct jx_xref *in)
{
    struct jx_media_xref *m = (void *)out;
    uint32_t totlen = jx_encode_header(endian, out, JX_NODE_XREF, (uint32_t)sizeof *m);

    put32(endian, m->ino, in->ino);
    put32(endian, m->xid, in->xid);
    put32(endian, m->xseqno, in->xseqno);
    put32(endian, m->node_crc, jx_crc32(0, out, offsetof(struct jx_media_xref, node_crc)));
    return totlen;
}

/* ---- summary --------------------------------------------------------------- */

/* jffs2_sum_scan_sumnode: here the CRCs count the bytes as they are, ACCURATE too. */
int jx_decode_summary(int endian, const uint8_t *p, uint32_t len, struct jx_summary *out)
{
    const struct jx_media_summary *m = (const void *)p;
    struct jx_header header;
    int check;

    memset(out, 0, sizeof *out);
    if (len < sizeof *m + sizeof(struct jx_media_marker))
        return JX_BAD_LENGTH;
    out->sum_num = get32(endian, m->sum_num);
    out->cln_mkr = get32(endian, m->cln_mkr);
    out->padded = get32(endian, m->padded);
    out->sum_crc = get32(endian, m->sum_crc);
    check = jx_decode_header(endian, p, &header);
    if (check != JX_GOOD)
        return check;
    if (header.nodetype != JX_NODE_SUMMARY)
        return JX_BAD_HEADER_CRC;
    if (header.totlen != len)
        return JX_BAD_LENGTH;
    if (jx_crc32(0, p, offsetof(struct jx_media_summary, sum_crc)) != get32(endian, m->node_crc))
        return JX_BAD_NODE_CRC;
    return jx_crc32(0, p + sizeof *m, len - sizeof *m) == out->sum_crc ? JX_GOOD : JX_BAD_DATA_CRC;
}

static uint32_t entry_fixed_size(uint16_t nodetype)
{
    switch (nodetype) {
    case JX_NODE_INODE:
    case JX_NODE_XATTR:
        return sizeof(struct jx_media_sum_inode);
    case JX_NODE_DIRENT:
        return sizeof(struct jx_media_sum_dirent);
    case JX_NODE_XREF:
        return sizeof(struct jx_media_sum_xref);
    default:
        return 0;
    }
}

uint32_t jx_summary_entry_size(const struct jx_summary_entry *e)
{
    return entry_fixed_size(e->nodetype) + (e->nodetype == JX_NODE_DIRENT ? e->nsize : 0u);
}

static void get_entry(int endian, const uint8_t *p, struct jx_summary_entry *e)
{
    const struct jx_media_sum_inode *i = (const void *)p;
    const struct jx_media_sum_dirent *d = (const void *)p;
    const struct jx_media_sum_xref *r = (const void *)p;

    if (e->nodetype == JX_NODE_XREF) {
        e->offset = get32(endian, r->offset);
        e->totlen = sizeof(struct jx_media_xref);
    } else if (e->nodetype == JX_NODE_DIRENT) {
        e->totlen = get32(endian, d->totlen);
        e->offset = get32(endian, d->offset);
        e->ino = get32(endian, d->pino);
        e->version = get32(endian, d->version);
        e->child = get32(endian, d->ino);
        e->nsize = d->nsize[0];
        e->type = d->type[0];
    } else {
        e->ino = get32(endian, i->ino);
        e->version = get32(endian, i->version);
        e->offset = get32(endian, i->offset);
        e->totlen = get32(endian, i->totlen);
    }
}

int jx_decode_summary_entry(int endian, const uint8_t *p, uint32_t len, uint32_t *pos, struct jx_summary_entry *out)
{
    uint32_t at = *pos, end, fixed;

    memset(out, 0, sizeof *out);
    if (len < sizeof(struct jx_media_summary) + sizeof(struct jx_media_marker))
        return JX_EFORMAT;
    end = len - (uint32_t)sizeof(struct jx_media_marker);
    if (at > end || end - at < sizeof out->nodetype)
        return JX_EFORMAT;
    out->nodetype = get16(endian, p + at);
    fixed = entry_fixed_size(out->nodetype);
    if (!fixed)
        return 0;
    if (end - at < fixed)
        return JX_EFORMAT;
    get_entry(endian, p + at, out);
    if (end - at < jx_summary_entry_size(out))
        return JX_EFORMAT;
    if (out->nodetype == JX_NODE_DIRENT)
        out->name_at = at + fixed;
    *pos = at + jx_summary_entry_size(out);
    return 1;
}

static uint8_t *put_entry(int endian, uint8_t *p, const struct jx_summary_entry *e, const char *name)
{
    struct jx_media_sum_inode *i = (void *)p;
    struct jx_media_sum_dirent *d = (void *)p;
    struct jx_media_sum_xref *r = (void *)p;

    put16(endian, p, e->nodetype);
    if (e->nodetype == JX_NODE_XREF) {
        put32(endian, r->offset, e->offset);
        return p + sizeof *r;
    }
    if (e->nodetype == JX_NODE_DIRENT) {
        put32(endian, d->totlen, e->totlen);
        put32(endian, d->offset, e->offset);
        put32(endian, d->pino, e->ino);
        put32(endian, d->version, e->version);
        put32(endian, d->ino, e->child);
        d->nsize[0] = e->nsize;
        d->type[0] = e->type;
        return put_bytes(p + sizeof *d, name, e->nsize);
    }
    put32(endian, i->ino, e->ino);
    put32(endian, i->version, e->version);
    put32(endian, i->offset, e->offset);
    put32(endian, i->totlen, e->totlen);
    return p + sizeof *i;
}

/* Do the entries have types that summaries know, ascend without overlap up to limit, and fit room bytes? Readers
 * link the nodes in this order (sum_link_node_ref) and cannot take them otherwise. */
static int entries_ok(const struct jx_summary_entry *entries, uint32_t n, uint32_t limit, uint32_t room)
{
    uint64_t bytes = 0, from = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct jx_summary_entry *e = &entries[i];
        uint32_t totlen = e->nodetype == JX_NODE_XREF ? (uint32_t)sizeof(struct jx_media_xref) : e->totlen;

        if (!entry_fixed_size(e->nodetype) || e->offset < from)
            return 0;
        from = ((uint64_t)e->offset + totlen + 3) & ~(uint64_t)3;
        bytes += jx_summary_entry_size(e);
        if (from > limit || bytes > room)
            return 0;
    }
    return 1;
}

int jx_encode_summary(int endian, uint8_t *out, uint32_t total, uint32_t sum_offset, uint32_t cln_mkr, uint32_t padded,
                      const struct jx_summary_entry *entries, const char *const *names, uint32_t n)
{
    struct jx_media_summary *m = (void *)out;
    const uint32_t frame = sizeof(struct jx_media_summary) + sizeof(struct jx_media_marker);
    struct jx_media_marker *marker;
    uint8_t *p = out + sizeof *m;

    if (total < frame || total > INT32_MAX || (sum_offset & 3) || !entries_ok(entries, n, sum_offset, total - frame))
        return JX_EINVAL;
    for (uint32_t i = 0; i < n; i++)
        p = put_entry(endian, p, &entries[i], entries[i].nodetype == JX_NODE_DIRENT ? names[i] : NULL);
    marker = (void *)(out + total - sizeof *marker);
    memset(p, 0xff, (size_t)((uint8_t *)marker - p));
    put32(endian, marker->offset, sum_offset);
    put32(endian, marker->magic, JX_SUMMARY_MAGIC);

    jx_encode_header(endian, out, JX_NODE_SUMMARY, total);
    put32(endian, m->sum_num, n);
    put32(endian, m->cln_mkr, cln_mkr);
    put32(endian, m->padded, padded);
    put32(endian, m->sum_crc, jx_crc32(0, out + sizeof *m, total - sizeof *m));
    put32(endian, m->node_crc, jx_crc32(0, out, offsetof(struct jx_media_summary, sum_crc)));
    return (int)total;
}
