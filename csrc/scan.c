/* scan.c: from flash to nodes, block by block, deciding as jffs2_scan_eraseblock and jffs2_sum_scan_sumnode do.
 * Beyond the kernel it also notes what a stock reader passes over (hidden nodes), so that no number is used twice. */
#define _POSIX_C_SOURCE 200809L /* strnlen */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"
#include "mutants.h"
#include "txn.h"

#define SHORT_RUN_BYTES 64u /* an erased run below this amid noise is noise: keeps the records linear in the medium */

#define BAD_HEADERS_MAX 64u /* of an eraseblock have records of their own, further ones are noise: likewise */
#define SEEMS_CLEAN_BYTES 32u /* EMPTY_SCAN_SIZE / 8 */

struct scan {
    struct jx_fs *fs;
    struct jx_block *block;
    const uint8_t *buf; /* the eraseblock */
    uint32_t size;
    uint32_t bad_headers;
};

uint32_t jx_cleanmarker_size(const struct jx_geometry *geo)
{
    if (geo->kind == JX_NAND)
        return 0;
    if (geo->kind == JX_NOR_ECC)
        return geo->write_size_bytes > 16 ? geo->write_size_bytes : 16;
    return JX_HEADER_BYTES;
}

uint32_t jx_cleanmarker_oob_size(const struct jx_geometry *geo)
{
    if (geo->kind != JX_NAND)
        return 0;
    return geo->oob_avail_bytes < JX_CLEANMARKER_OOB_BYTES ? geo->oob_avail_bytes : JX_CLEANMARKER_OOB_BYTES;
}

static uint32_t erased_from(const uint8_t *p, uint32_t len)
{
    static const uint64_t ones = ~0ull;
    while (len >= 8 && !memcmp(p + len - 8, &ones, 8))
        len -= 8;
    while (len > 0 && p[len - 1] == 0xff)
        len--;
    return len;
}

static struct jx_node *add_node(struct scan *s, uint32_t ofs, uint32_t totlen, uint16_t type, uint8_t verdict)
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
static int add_run(struct scan *s, uint32_t ofs, uint32_t len, uint8_t verdict)
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
    return add_node(s, ofs, len, 0, verdict) ? JX_OK : JX_ENOMEM;
}

static int add_name(struct jx_fs *fs, struct jx_node *n, const uint8_t *name, uint32_t nsize)
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

static void raise_highest(struct jx_fs *fs, uint32_t ino)
{
    if (ino > fs->highest_ino)
        fs->highest_ino = ino;
}

/* ---- the four node types with content ------------------------------------- */

static int take_inode(struct scan *s, uint32_t ofs, uint32_t totlen, uint8_t verdict)
{
    struct jx_inode in;
    struct jx_node *n = add_node(s, ofs, totlen, JX_NODE_INODE, verdict);
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
        raise_highest(s->fs, in.ino);
    return JX_OK;
}

static int take_dirent(struct scan *s, uint32_t ofs, uint32_t totlen, uint8_t verdict)
{
    struct jx_dirent d;
    struct jx_node *n = add_node(s, ofs, totlen, JX_NODE_DIRENT, verdict);
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
    raise_highest(s->fs, d.pino);
    raise_highest(s->fs, d.ino);
    if (nsize < d.nsize && verdict == JX_V_GOOD)
        n->verdict = JX_V_BAD_NAME; /* a NUL in it: the build believes it, read_direntry drops it */
    return add_name(s->fs, n, name, nsize);
}

static int take_xattr(struct scan *s, uint32_t ofs, uint32_t totlen, uint8_t verdict)
{
    struct jx_xattr x;
    struct jx_node *n = add_node(s, ofs, totlen, JX_NODE_XATTR, verdict);
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
    struct jx_node *n = add_node(s, ofs, totlen, JX_NODE_XREF, verdict);
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
    raise_highest(s->fs, x.ino);
    return JX_OK;
}

/* The caller has checked ofs + totlen <= size. */
static int take_node(struct scan *s, uint32_t ofs, uint32_t totlen, uint16_t type, uint8_t verdict)
{
    switch (type) {
    case JX_NODE_INODE: return take_inode(s, ofs, totlen, verdict);
    case JX_NODE_DIRENT: return take_dirent(s, ofs, totlen, verdict);
    case JX_NODE_XATTR: return take_xattr(s, ofs, totlen, verdict);
    case JX_NODE_XREF: return take_xref(s, ofs, totlen, verdict);
    default: return add_node(s, ofs, totlen, type, verdict) ? JX_OK : JX_ENOMEM;
    }
}

static void note_tag(struct scan *s, uint32_t ofs, uint32_t totlen)
{
    struct jx_tag tag;
    if (jx_tag_decode(s->fs->endian, s->buf + ofs, totlen, &tag) != JX_OK)
        return;
    /* the last tag of a block tells: a commit block that was settled says so */
    s->block->tag = tag.role;
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

/* ---- what a stock reader passes over -------------------------------------- */

/* Well-formed nodes in [from, to) that no reader sees. Steps word by word where nothing stands. */
static int sweep(struct scan *s, uint32_t from, uint32_t to)
{
    uint32_t ofs = jx_pad4(from);
    while (ofs + JX_HEADER_BYTES <= to) {
        struct jx_header h;
        if (s->buf[ofs] == 0xff && s->buf[ofs + 1] == 0xff) {
            ofs += 4;
            continue;
        }
        if (jx_decode_header(s->fs->endian, s->buf + ofs, &h) != JX_GOOD || h.totlen < JX_HEADER_BYTES ||
            h.totlen > to - ofs) {
            ofs += 4;
            continue;
        }
        int obsolete = !(h.nodetype & JX_ACCURATE);
        uint16_t type = h.nodetype | JX_ACCURATE;
        int err = take_node(s, ofs, h.totlen, type, obsolete ? JX_V_OBSOLETE : JX_V_HIDDEN);
        if (err)
            return err;
        ofs += jx_is_content(type) ? jx_pad4(h.totlen) : JX_HEADER_BYTES;
    }
    return JX_OK;
}

/* ---- full scan ------------------------------------------------------------ */

static int scan_unknown(struct scan *s, uint32_t ofs, const struct jx_header *h)
{
    uint16_t type = h->nodetype, compat = type & JX_COMPAT_MASK;
    uint32_t *first = compat == JX_COMPAT_INCOMPAT ? &s->fs->incompat_at : &s->fs->rocompat_at;
    if ((compat == JX_COMPAT_INCOMPAT || compat == JX_COMPAT_ROCOMPAT) && *first == JX_NONE)
        *first = s->block->offset + ofs;
    if (compat == JX_COMPAT_INCOMPAT && !s->fs->reader.inspect)
        return JX_EFORMAT;
    if (!add_node(s, ofs, h->totlen, type, JX_V_GOOD))
        return JX_ENOMEM;
    if (type == JX_NODE_TAG)
        note_tag(s, ofs, h->totlen);
    return type == JX_NODE_SUMMARY ? JX_OK : sweep(s, ofs + JX_HEADER_BYTES, ofs + h->totlen);
}

static int scan_cleanmarker(struct scan *s, uint32_t *ofs, const struct jx_header *h)
{
    uint32_t expected = jx_cleanmarker_size(&s->fs->flash->geo);
    int first = s->fs->node_count == s->block->first_node;
    if (!add_node(s, *ofs, h->totlen, JX_NODE_CLEANMARKER, JX_V_GOOD))
        return JX_ENOMEM;
    if (h->totlen == expected && first && *ofs == 0) {
        s->block->cleanmarker = 1;
        *ofs += jx_pad4(expected);
    } else {
        *ofs += JX_HEADER_BYTES;
    }
    return JX_OK;
}

/* One step of the scan at *ofs, which it moves on. */
static int scan_node(struct scan *s, uint32_t *ofs)
{
    struct jx_header h;
    uint32_t at = *ofs;
    int err, check = jx_decode_header(s->fs->endian, s->buf + at, &h);

    if (check == JX_BAD_MAGIC) {
        *ofs += 4;
        return add_run(s, at, 4, JX_V_NOISE);
    }
    if (check == JX_GOOD && h.totlen == 0 && (h.nodetype == JX_NODE_INODE || h.nodetype == JX_NODE_DIRENT)) {
        *ofs += 4; /* linked with no length, then "has already been seen. Skipping" */
        return take_node(s, at, 4, h.nodetype, JX_V_GOOD);
    }
    if (check != JX_GOOD || h.totlen > s->size - at || h.totlen == 0) {
        *ofs += 4;
        if (s->bad_headers++ >= BAD_HEADERS_MAX)
            return add_run(s, at, 4, JX_V_NOISE);
        return add_node(s, at, 4, h.nodetype | JX_ACCURATE, JX_V_BAD_HEADER) ? JX_OK : JX_ENOMEM;
    }
    if (!(h.nodetype & JX_ACCURATE)) {
        *ofs += jx_pad4(h.totlen);
        uint16_t type = h.nodetype | JX_ACCURATE;
        err = take_node(s, at, h.totlen, type, JX_V_OBSOLETE);
        return err || jx_is_content(type) ? err : sweep(s, at + JX_HEADER_BYTES, at + h.totlen);
    }
    if (h.nodetype == JX_NODE_CLEANMARKER)
        return scan_cleanmarker(s, ofs, &h);
    *ofs += jx_pad4(h.totlen);
    if (jx_is_content(h.nodetype))
        return take_node(s, at, h.totlen, h.nodetype, JX_V_GOOD);
    return scan_unknown(s, at, &h);
}

static int full_scan(struct scan *s)
{
    static const uint8_t erased_word[4] = {0xff, 0xff, 0xff, 0xff};
    uint32_t ofs = 0;
    while (ofs < s->size) {
        int err;
        if (ofs + JX_HEADER_BYTES > s->size)
            return add_run(s, ofs, s->size - ofs, jx_is_erased(s->buf + ofs, s->size - ofs) ? JX_V_ERASED : JX_V_NOISE);
        if (!memcmp(s->buf + ofs, erased_word, 4)) {
            uint32_t start = ofs;
            if (ofs >= s->block->free_from)
                ofs = s->size;
            while (ofs < s->size && !memcmp(s->buf + ofs, erased_word, 4))
                ofs += 4;
            err = add_run(s, start, ofs - start, JX_V_ERASED);
            /* "seems clean... assuming all clean": the scan ends where a cleanmarker is followed by nothing but erased
             * bytes up to this place */
            if (!err && s->block->cleanmarker == 1 && ofs < s->size &&
                s->fs->node_count == s->block->first_node + 2 && ofs >= SEEMS_CLEAN_BYTES)
                return sweep(s, ofs, s->size);
        } else {
            err = scan_node(s, &ofs);
        }
        if (err)
            return err;
    }
    return JX_OK;
}

/* ---- by summary ----------------------------------------------------------- */

/* Where a valid summary node starts in the block; s->size where none does. */
static uint32_t find_summary(struct scan *s)
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
static int summary_usable(struct scan *s, uint32_t start, uint32_t count)
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
    int err = take_node(s, e->offset, e->totlen, e->nodetype, good ? JX_V_GOOD : JX_V_BAD_HEADER);
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
        raise_highest(fs, e->ino);
    }
    if (e->nodetype == JX_NODE_DIRENT) {
        raise_highest(fs, e->ino);
        raise_highest(fs, e->child);
        n->ino = e->ino;
        n->version = e->version;
        n->child = e->child;
        n->type = e->type;
        return add_name(fs, n, s->buf + start + e->name_at, (uint32_t)strnlen((const char *)s->buf + start + e->name_at, e->nsize));
    }
    return JX_OK;
}

static int summary_scan(struct scan *s, uint32_t start, const struct jx_summary *sum)
{
    uint32_t pos = JX_SUMMARY_BYTES, len = s->size - start, at = 0;
    int err = JX_OK;
    if (sum->cln_mkr && sum->cln_mkr == jx_cleanmarker_size(&s->fs->flash->geo)) {
        if (!add_node(s, 0, sum->cln_mkr, JX_NODE_CLEANMARKER, JX_V_GOOD))
            return JX_ENOMEM;
        s->block->cleanmarker = 1;
        at = jx_pad4(sum->cln_mkr);
    }
    for (uint32_t i = 0; i < sum->sum_num && !err; i++) {
        struct jx_summary_entry e;
        jx_decode_summary_entry(s->fs->endian, s->buf + start, len, &pos, &e);
        if (e.offset > at)
            err = sweep(s, at, e.offset);
        if (!err)
            err = summary_entry(s, start, &e);
        if (e.offset + jx_pad4(e.totlen) > at) /* entries that do not ascend: no stretch is swept twice */
            at = e.offset + jx_pad4(e.totlen);
    }
    if (!err && start > at)
        err = sweep(s, at, start);
    if (!err && !add_node(s, start, len, JX_NODE_SUMMARY, JX_V_GOOD))
        err = JX_ENOMEM;
    s->block->summary = 1;
    return err;
}

/* Tags stand outside summaries: they are found by the sweep there. */
static void note_hidden_tags(struct scan *s)
{
    for (uint32_t i = s->block->first_node; i < s->fs->node_count; i++) {
        const struct jx_node *n = &s->fs->nodes[i];
        if (n->nodetype == JX_NODE_TAG && n->verdict == JX_V_HIDDEN)
            note_tag(s, n->offset - s->block->offset, n->totlen);
    }
}

static int scan_content(struct scan *s)
{
    struct jx_fs *fs = s->fs;
    uint32_t empty = fs->reader.empty_scan_bytes < s->size ? fs->reader.empty_scan_bytes : s->size;
    uint32_t start = fs->reader.summary ? find_summary(s) : s->size;
    if (start < s->size) {
        struct jx_summary sum;
        jx_decode_summary(fs->endian, s->buf + start, s->size - start, &sum);
        int usable = summary_usable(s, start, sum.sum_num);
        if (usable) {
            int err = usable < 0 ? usable : summary_scan(s, start, &sum);
            note_hidden_tags(s);
            return err;
        }
    }
    if (jx_is_erased(s->buf, empty)) { /* "Block is empty", whatever stands behind */
        int err = add_run(s, 0, s->size, JX_V_ERASED);
        if (!err)
            err = sweep(s, empty, s->size);
        note_hidden_tags(s);
        return err;
    }
    return full_scan(s);
}

/* On write-buffered flash what ECC could not correct is taken as it is (jffs2_flash_read); how many pages were so is
 * remembered, since the tree may have lost something there that a later read brings back. */
static int read_block(struct jx_fs *fs, struct jx_block *block, uint8_t *buf)
{
    const struct jx_geometry *geo = &fs->flash->geo;
    int err = jx_flash_read(fs->flash, block->offset, buf, geo->erase_size_bytes);
    if (err != JX_EECC || geo->kind == JX_NOR)
        return err;
    for (uint32_t at = 0; at < geo->erase_size_bytes; at += geo->write_size_bytes) {
        err = jx_flash_read(fs->flash, block->offset + at, buf + at, geo->write_size_bytes);
        if (err && err != JX_EECC)
            return err;
        block->unreadable_pages += err == JX_EECC;
    }
    return JX_OK;
}

static int read_oob_cleanmarker(struct scan *s)
{
    struct jx_fs *fs = s->fs;
    uint8_t expected[JX_HEADER_BYTES], oob[JX_CLEANMARKER_OOB_BYTES];
    uint32_t len = jx_cleanmarker_oob_size(&fs->flash->geo);
    if (!len)
        return JX_OK;
    int err = jx_flash_oob_read(fs->flash, s->block->offset, oob, len);
    if (err)
        return err;
    jx_encode_header(fs->endian, expected, JX_NODE_CLEANMARKER, JX_CLEANMARKER_OOB_BYTES);
    if (!memcmp(expected, oob, len))
        s->block->cleanmarker = 2;
    return JX_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct jx_node *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* A summary may list its nodes out of order, sweeps come in between: records stand in medium order. */
static void order_records(struct scan *s)
{
    struct jx_node *first = s->fs->nodes + s->block->first_node;
    for (uint32_t i = 1; i < s->block->node_count; i++)
        if (first[i].offset < first[i - 1].offset) {
            qsort(first, s->block->node_count, sizeof(*first), by_offset);
            return;
        }
}

int jx_scan_block(struct jx_fs *fs, struct jx_block *block, uint8_t *buf)
{
    struct scan s = {fs, block, buf, fs->flash->geo.erase_size_bytes, 0};
    int bad = jx_flash_is_bad(fs->flash, block->offset);
    if (bad < 0)
        return bad;
    block->first_node = fs->node_count;
    block->worn = (uint8_t)jx_flash_is_worn(fs->flash, block->offset);
    if (bad) {
        block->state = JX_B_BAD;
        return JX_OK;
    }
    int err = read_block(fs, block, buf);
    if (!err)
        err = read_oob_cleanmarker(&s);
    if (err)
        return err;
    block->free_from = erased_from(buf, s.size);
    if (block->free_from == 0) {
        err = add_run(&s, 0, s.size, JX_V_ERASED);
        block->state = block->cleanmarker ? JX_B_FREE : JX_B_ERASED;
    } else {
        err = scan_content(&s);
        block->state = JX_B_DIRTY;
        if (block->cleanmarker == 1 && block->free_from <= jx_pad4(jx_cleanmarker_size(&fs->flash->geo)))
            block->state = JX_B_FREE;
    }
    block->node_count = fs->node_count - block->first_node;
    if (block->node_count) /* none where the first node already refuses the mount */
        order_records(&s);
    return err;
}

int jx_scan(struct jx_fs *fs)
{
    const struct jx_geometry *geo = &fs->flash->geo;
    fs->block_count = geo->size_bytes / geo->erase_size_bytes;
    fs->blocks = calloc(fs->block_count, sizeof(*fs->blocks));
    uint8_t *buf = malloc(geo->erase_size_bytes);
    int err = fs->blocks && buf ? JX_OK : JX_ENOMEM;
    for (uint32_t i = 0; i < fs->block_count && !err; i++) {
        fs->blocks[i].offset = i * geo->erase_size_bytes;
        err = jx_scan_block(fs, &fs->blocks[i], buf);
    }
    free(buf);
    return err;
}
