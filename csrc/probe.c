/* probe.c: what an image is, by what its bytes show. */
#include <string.h>
#include "codec.h"
#include "flash_rules.h"
#include "fs.h"
#include "oob.h"

/* n bytes at ofs as if no OOB stood between: where they stand, or in buf where they go on in the next page. */
static const uint8_t *peek(const struct jx_span *s, uint32_t ofs, uint32_t n, uint8_t *buf)
{
    if (!s->oob_bytes || ofs % s->page_bytes + n <= s->page_bytes)
        return jx_span_at(s, ofs);
    for (uint32_t at = 0, part; at < n; at += part) {
        part = s->page_bytes - (ofs + at) % s->page_bytes;
        if (part > n - at)
            part = n - at;
        memcpy(buf + at, jx_span_at(s, ofs + at), part);
    }
    return buf;
}

/* ---- the eraseblock and the byte order ----------------------------------------- */

struct probe {
    struct jx_probe *out;
    struct jx_span image;
    uint32_t cleanmarkers_at; /* all their places, or'ed: the lowest bit is the largest power of two between them */
    uint32_t by_summary;      /* eraseblock that the summaries speak of; JX_NONE: they differ */
    uint32_t crossed;         /* powers of two that some node crosses: bit i for 1 << i */
};

/* A summary says where it starts in its eraseblock, and reaches to the end of it. */
static void probe_summary(struct probe *p, int endian, uint32_t ofs, uint32_t totlen)
{
    uint8_t buf[JX_MARKER_BYTES];
    if (totlen < JX_SUMMARY_BYTES + JX_MARKER_BYTES)
        return;
    const uint8_t *marker = peek(&p->image, ofs + totlen - JX_MARKER_BYTES, JX_MARKER_BYTES, buf);
    if (get32(endian, marker + 4) != JX_SUMMARY_MAGIC)
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

/* The first word from ofs on in which not all is erased; where OOB stands between, ofs itself. */
static uint32_t skip_erased(const struct jx_span *s, uint32_t ofs)
{
    static const uint64_t ones = ~0ull;
    while (!s->oob_bytes && s->bytes_len - ofs >= sizeof(ones) && !memcmp(jx_span_at(s, ofs), &ones, sizeof(ones)))
        ofs += sizeof(ones);
    return ofs;
}

static uint32_t count_order(struct probe *p, int endian)
{
    uint32_t n = 0, len = p->image.bytes_len;
    for (uint32_t ofs = skip_erased(&p->image, 0); len >= JX_HEADER_BYTES && ofs <= len - JX_HEADER_BYTES;) {
        struct jx_header h;
        uint8_t buf[JX_HEADER_BYTES];
        const uint8_t *bytes = peek(&p->image, ofs, JX_HEADER_BYTES, buf);
        if (get16(endian, bytes) != JX_MAGIC || jx_decode_header(endian, bytes, &h) != JX_GOOD ||
            h.totlen < JX_HEADER_BYTES || h.totlen > len - ofs) {
            ofs = skip_erased(&p->image, ofs + 4);
            continue;
        }
        probe_node(p, endian, ofs, &h);
        n++;
        if (jx_pad4(h.totlen) > len - ofs)
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

int jx_probe_image(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, struct jx_probe *out)
{
    struct probe p = {.out = out, .image = {data, len, page_bytes, oob_bytes}};
    memset(out, 0, sizeof(*out));
    out->little = count_order(&p, JX_LITTLE);
    out->big = count_order(&p, JX_BIG);
    if (out->little || out->big)
        probe_erase_size(&p);
    return JX_OK;
}

/* ---- whether OOB follows each page ----------------------------------------------- */

#define ENOUGH_NODES 64u  /* that go on behind a page's end: no need to look further */
#define ENOUGH_PAGES 256u /* whose ECC was looked at */
#define NODE_MAX_BYTES 8192u
#define OOB_MIN_BYTES 16u

/* Whether all CRCs of an inode node or a dirent hold. */
static int is_whole(int endian, const uint8_t *node, const struct jx_header *h)
{
    struct jx_inode inode;
    struct jx_dirent dirent;
    if ((h->nodetype | JX_ACCURATE) == JX_NODE_INODE)
        return h->totlen >= JX_INODE_BYTES && jx_decode_inode(endian, node, &inode) == JX_GOOD &&
               inode.csize <= h->totlen - JX_INODE_BYTES &&
               jx_crc32(0, node + JX_INODE_BYTES, inode.csize) == inode.data_crc;
    return h->totlen >= JX_DIRENT_BYTES && jx_decode_dirent(endian, node, &dirent) == JX_GOOD &&
           dirent.nsize <= h->totlen - JX_DIRENT_BYTES &&
           jx_crc32(0, node + JX_DIRENT_BYTES, dirent.nsize) == dirent.name_crc;
}

/* Counts over the pages that hold nodes. */
struct use {
    uint32_t pages;
    uint32_t marked; /* of them: the byte that would mark a bad block is not 0xFF */
};

static void probe_crossing(const struct jx_span *s, int endian, uint32_t ofs, const struct jx_header *h,
                           struct jx_oob_probe *out)
{
    uint8_t buf[NODE_MAX_BYTES];
    uint16_t type = h->nodetype | JX_ACCURATE;
    if (type != JX_NODE_INODE && type != JX_NODE_DIRENT)
        return;
    if (h->totlen > sizeof buf || h->totlen > s->bytes_len - ofs)
        return;
    if (is_whole(endian, peek(s, ofs, h->totlen, buf), h))
        out->across++;
    else
        out->torn++;
}

static void probe_page(const struct jx_span *s, uint32_t page, struct jx_oob_probe *out, struct use *use)
{
    uint32_t end = page + s->page_bytes, found = 0;
    if (jx_all_ff(jx_span_at(s, page), s->page_bytes))
        return;
    for (uint32_t ofs = page; end - ofs >= JX_HEADER_BYTES;) {
        const uint8_t *bytes = jx_span_at(s, ofs);
        struct jx_header h;
        int endian = jx_decode_header(JX_LITTLE, bytes, &h) == JX_GOOD ? JX_LITTLE : JX_BIG;
        if (jx_decode_header(endian, bytes, &h) != JX_GOOD || h.totlen < JX_HEADER_BYTES) {
            ofs += 4;
            continue;
        }
        found = 1;
        if (h.totlen > end - ofs) {
            probe_crossing(s, endian, ofs, &h, out);
            break;
        }
        ofs += jx_pad4(h.totlen);
    }
    use->pages += found;
    use->marked += found && jx_span_at(s, page)[s->page_bytes + out->oob.bad_at] != 0xff;
}

/* The first one found says where in the OOB, and in which byte order, all others stand. */
static void probe_cleanmarker(const struct jx_span *s, uint32_t page, struct jx_oob_probe *out, uint32_t *places)
{
    const uint8_t *oob = jx_span_at(s, page) + s->page_bytes;
    uint8_t marker[2][JX_HEADER_BYTES];
    for (int endian = JX_LITTLE; endian <= JX_BIG; endian++)
        jx_encode_header(endian, marker[endian], JX_NODE_CLEANMARKER, JX_CLEANMARKER_OOB_BYTES);
    for (uint32_t at = 0; at + JX_CLEANMARKER_OOB_BYTES <= s->oob_bytes; at++)
        for (uint32_t big = 0; big < 2; big++) {
            if (memcmp(oob + at, marker[big], JX_CLEANMARKER_OOB_BYTES) != 0)
                continue;
            if (!out->cleanmarkers) {
                out->oob.free_at = at;
                out->big = big;
            }
            if (at == out->oob.free_at && big == out->big) {
                out->cleanmarkers++;
                *places |= page;
            }
            return;
        }
}

static int has_hamming(const struct jx_span *s, uint32_t page, uint32_t step)
{
    const uint8_t *data = jx_span_at(s, page), *oob = data + s->page_bytes;
    for (uint32_t at = 0, index = 0; at < s->page_bytes; at += step) {
        uint8_t code[JX_HAMMING_BYTES];
        jx_hamming(data + at, step, code);
        for (uint32_t i = 0; i < JX_HAMMING_BYTES; i++)
            if (oob[jx_hamming_at(s->oob_bytes, index++)] != code[i])
                return 0;
    }
    return 1;
}

/* All but a few pages: a bit may have flipped, and a bad block holds anything. */
static uint32_t probe_ecc(const struct jx_span *s)
{
    for (uint32_t step = 256; step <= 512; step += 256) {
        uint32_t pages = 0, good = 0;
        if (!jx_hamming_fits(s->page_bytes, s->oob_bytes, step))
            continue;
        for (uint32_t page = 0; page < s->bytes_len && pages < ENOUGH_PAGES; page += s->page_bytes)
            if (!jx_all_ff(jx_span_at(s, page), s->page_bytes)) {
                pages++;
                good += (uint32_t)has_hamming(s, page, step);
            }
        if (good && good * 16 > pages * 15)
            return step;
    }
    return 0;
}

/* Where Linux looks for a mark (nand_decode_bbm_options), and where its layouts have the free bytes. */
static struct jx_oob usual_oob(uint32_t page_bytes, uint32_t oob_bytes)
{
    int small = page_bytes <= 512;
    return (struct jx_oob){oob_bytes, small ? 8 : 2, small ? 5 : 0, 0};
}

int jx_probe_oob(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, struct jx_oob_probe *out)
{
    struct jx_span s = {data, len, page_bytes, oob_bytes};
    struct use use = {0, 0};
    uint32_t places = 0;
    if (!page_bytes || page_bytes % 4 || oob_bytes < OOB_MIN_BYTES || len % page_bytes)
        return JX_EINVAL;
    memset(out, 0, sizeof(*out));
    out->oob = usual_oob(page_bytes, oob_bytes);
    for (uint32_t page = 0; page < len && out->across + out->torn < ENOUGH_NODES; page += page_bytes)
        probe_page(&s, page, out, &use);
    if (use.marked > use.pages / 2)
        out->oob.bad_at = JX_NO_BAD_MARK;
    if (out->torn > out->across) /* no dump */
        return JX_OK;
    for (uint32_t page = 0; page < len; page += page_bytes)
        if (page % 4096 == 0) /* the smallest eraseblock */
            probe_cleanmarker(&s, page, out, &places);
    if (out->oob.bad_at - out->oob.free_at < JX_CLEANMARKER_OOB_BYTES) /* 0 to 7 behind it */
        out->oob.bad_at = JX_NO_BAD_MARK;
    out->apart_bytes = places & (0u - places);
    out->oob.ecc_step_bytes = probe_ecc(&s);
    return JX_OK;
}
