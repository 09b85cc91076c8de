/* scan_full.c: an eraseblock step by step (jffs2_scan_eraseblock), and what a stock reader passes over in it. */
#include <string.h>
#include "codec.h"
#include "scan.h"
#include "txn.h"

#define BAD_HEADERS_MAX 64u /* of an eraseblock have records of their own, further ones are noise: keeps them linear too */
#define SEEMS_CLEAN_BYTES 32u /* EMPTY_SCAN_SIZE / 8 */

/* Well-formed nodes in [from, to) that no reader sees. Steps word by word where nothing stands. */
int jx_scan_hidden(struct scan *s, uint32_t from, uint32_t to)
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
        int err = jx_scan_take(s, ofs, h.totlen, type, obsolete ? JX_V_OBSOLETE : JX_V_HIDDEN);
        if (err)
            return err;
        ofs += jx_is_content(type) ? jx_pad4(h.totlen) : JX_HEADER_BYTES;
    }
    return JX_OK;
}

static int scan_unknown(struct scan *s, uint32_t ofs, const struct jx_header *h)
{
    uint16_t type = h->nodetype, compat = type & JX_COMPAT_MASK;
    uint32_t *first = compat == JX_COMPAT_INCOMPAT ? &s->fs->incompat_at : &s->fs->rocompat_at;
    if ((compat == JX_COMPAT_INCOMPAT || compat == JX_COMPAT_ROCOMPAT) && *first == JX_NONE)
        *first = s->block->offset + ofs;
    if (compat == JX_COMPAT_INCOMPAT && !s->fs->reader.inspect)
        return JX_EFORMAT;
    if (!jx_scan_node(s, ofs, h->totlen, type, JX_V_GOOD))
        return JX_ENOMEM;
    if (type == JX_NODE_TAG)
        jx_scan_tag(s, ofs, h->totlen);
    return type == JX_NODE_SUMMARY ? JX_OK : jx_scan_hidden(s, ofs + JX_HEADER_BYTES, ofs + h->totlen);
}

static int scan_cleanmarker(struct scan *s, uint32_t *ofs, const struct jx_header *h)
{
    uint32_t expected = jx_cleanmarker_size(&s->fs->flash->geo);
    int first = s->fs->node_count == s->block->first_node;
    if (!jx_scan_node(s, *ofs, h->totlen, JX_NODE_CLEANMARKER, JX_V_GOOD))
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
static int scan_one(struct scan *s, uint32_t *ofs)
{
    struct jx_header h;
    uint32_t at = *ofs;
    int err, check = jx_decode_header(s->fs->endian, s->buf + at, &h);

    if (check == JX_GOOD && s->fs->reader.header_crc_as_is && !(h.nodetype & JX_ACCURATE))
        check = JX_BAD_HEADER_CRC;
    if (check == JX_BAD_MAGIC) {
        *ofs += 4;
        return jx_scan_run(s, at, 4, JX_V_NOISE);
    }
    if (check == JX_GOOD && h.totlen == 0 && (h.nodetype == JX_NODE_INODE || h.nodetype == JX_NODE_DIRENT)) {
        *ofs += 4; /* linked with no length, then "has already been seen. Skipping" */
        return jx_scan_take(s, at, 4, h.nodetype, JX_V_GOOD);
    }
    if (check != JX_GOOD || h.totlen > s->size - at || h.totlen == 0) {
        *ofs += 4;
        if (s->bad_headers++ >= BAD_HEADERS_MAX)
            return jx_scan_run(s, at, 4, JX_V_NOISE);
        return jx_scan_node(s, at, 4, h.nodetype | JX_ACCURATE, JX_V_BAD_HEADER) ? JX_OK : JX_ENOMEM;
    }
    if (!(h.nodetype & JX_ACCURATE)) {
        *ofs += jx_pad4(h.totlen);
        uint16_t type = h.nodetype | JX_ACCURATE;
        err = jx_scan_take(s, at, h.totlen, type, JX_V_OBSOLETE);
        return err || jx_is_content(type) ? err : jx_scan_hidden(s, at + JX_HEADER_BYTES, at + h.totlen);
    }
    if (h.nodetype == JX_NODE_CLEANMARKER)
        return scan_cleanmarker(s, ofs, &h);
    *ofs += jx_pad4(h.totlen);
    if (jx_is_content(h.nodetype))
        return jx_scan_take(s, at, h.totlen, h.nodetype, JX_V_GOOD);
    return scan_unknown(s, at, &h);
}

int jx_scan_full(struct scan *s)
{
    static const uint8_t erased_word[4] = {0xff, 0xff, 0xff, 0xff};
    uint32_t ofs = 0;
    while (ofs < s->size) {
        int err;
        if (ofs + JX_HEADER_BYTES > s->size)
            return jx_scan_run(s, ofs, s->size - ofs, jx_is_erased(s->buf + ofs, s->size - ofs) ? JX_V_ERASED : JX_V_NOISE);
        if (!memcmp(s->buf + ofs, erased_word, 4)) {
            uint32_t start = ofs;
            if (ofs >= s->block->free_from)
                ofs = s->size;
            while (ofs < s->size && !memcmp(s->buf + ofs, erased_word, 4))
                ofs += 4;
            err = jx_scan_run(s, start, ofs - start, JX_V_ERASED);
            /* "seems clean... assuming all clean": the scan ends where a cleanmarker is followed by nothing but erased
             * bytes up to this place */
            if (!err && s->block->cleanmarker == 1 && ofs < s->size &&
                s->fs->node_count == s->block->first_node + 2 && ofs >= SEEMS_CLEAN_BYTES)
                return jx_scan_hidden(s, ofs, s->size);
        } else {
            err = scan_one(s, &ofs);
        }
        if (err)
            return err;
    }
    return JX_OK;
}
