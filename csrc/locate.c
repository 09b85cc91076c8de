/* locate.c: which JFFS2 file systems a file holds, and where.
 *
 * Every node with good CRCs is a sighting, of either byte order and at any place: what stands in front of a file system
 * may have any length. Sightings of one byte order that are whole words apart belong together, unless they show a border
 * (borders.c).
 */
#include <stdlib.h>
#include "codec.h"
#include "flash_rules.h"
#include "survey.h"

#define LOOKS 4u                  /* for the next border, for each file system that may be told */
#define NODE_MAX_BYTES (4u << 20) /* a longer one is not stepped over: no eraseblock is larger */

const uint8_t *jx_peek(const struct jx_span *s, uint32_t ofs, uint32_t n, uint8_t *buf)
{
    if (!s->oob_bytes || ofs % s->page_bytes + n <= s->page_bytes)
        return jx_span_at(s, ofs);
    for (uint32_t i = 0; i < n; i++)
        buf[i] = *jx_span_at(s, ofs + i);
    return buf;
}

/* ---- sightings ------------------------------------------------------------------- */

static int note(struct survey *v, const struct sighting *one)
{
    if (v->count == v->capacity) {
        uint32_t capacity = v->capacity ? v->capacity + v->capacity / 2 : 1024;
        struct sighting *seen = realloc(v->seen, (size_t)capacity * sizeof(*seen));
        if (!seen)
            return JX_ENOMEM;
        v->seen = seen;
        v->capacity = capacity;
    }
    v->seen[v->count++] = *one;
    return JX_OK;
}

/* Fills the key of an inode node or a dirent that counts; 0 where such a node's CRC is wrong. */
static int read_key(const struct survey *v, int endian, uint32_t totlen, struct sighting *one)
{
    uint8_t buf[JX_INODE_BYTES];
    uint32_t need = one->type == JX_NODE_INODE ? JX_INODE_BYTES : JX_DIRENT_BYTES;
    struct jx_inode inode;
    struct jx_dirent dirent;
    if (one->type != JX_NODE_INODE && one->type != JX_NODE_DIRENT)
        return 1;
    if (totlen < need || v->span.bytes_len - one->at < need)
        return 0;
    const uint8_t *p = jx_peek(&v->span, one->at, need, buf);
    int good = one->type == JX_NODE_INODE ? jx_decode_inode(endian, p, &inode) == JX_GOOD
                                          : jx_decode_dirent(endian, p, &dirent) == JX_GOOD;
    if (!good)
        return 0;
    one->ino = one->type == JX_NODE_INODE ? inode.ino : dirent.pino;
    one->version = one->type == JX_NODE_INODE ? inode.version : dirent.version;
    one->identity = jx_crc32(0, p, need); /* the data's or the name's CRC is part of it */
    return 1;
}

/* How far to go on behind a sighting at ofs; 0 where there is none. */
static uint32_t sight(struct survey *v, uint32_t ofs, int *err)
{
    uint8_t buf[JX_HEADER_BYTES];
    const uint8_t *p = jx_peek(&v->span, ofs, JX_HEADER_BYTES, buf);
    int endian = p[0] == (JX_MAGIC & 0xff) && p[1] == JX_MAGIC >> 8 ? JX_LITTLE : JX_BIG;
    struct jx_header h;
    if (jx_decode_header(endian, p, &h) != JX_GOOD || h.totlen < JX_HEADER_BYTES || h.totlen > v->span.bytes_len - ofs)
        return 0;
    uint32_t size = h.totlen <= NODE_MAX_BYTES ? h.totlen : JX_HEADER_BYTES;
    struct sighting one = {.at = ofs, .end = ofs + size, .type = h.nodetype, .class = (uint8_t)(ofs % 4 * 2)};
    one.class |= endian == JX_BIG;
    if (!read_key(v, endian, h.totlen, &one))
        return 0;
    *err = note(v, &one);
    return jx_pad4(size) < v->span.bytes_len - ofs ? jx_pad4(size) : size;
}

static int sight_all(struct survey *v)
{
    uint32_t len = v->span.bytes_len, step = v->span.oob_bytes ? 4 : 1;
    int err = JX_OK;
    for (uint32_t ofs = 0, on; !err && len >= JX_HEADER_BYTES && ofs <= len - JX_HEADER_BYTES; ofs += on) {
        const uint8_t *p = jx_span_at(&v->span, ofs); /* pages are whole words: these two bytes stand together */
        uint32_t magic = p[0] + p[1] == (JX_MAGIC & 0xff) + (JX_MAGIC >> 8) && (p[0] == 0x85 || p[0] == 0x19);
        on = magic ? sight(v, ofs, &err) : 0;
        if (!on)
            on = step;
    }
    return err;
}

/* ---- what is told of each ------------------------------------------------------------ */

/* border: of its first eraseblock, as a copy tells it; 0: nothing does. */
static void tell(struct survey *v, uint32_t from, uint32_t to, uint32_t border)
{
    int endian = v->seen[from].class & 1 ? JX_BIG : JX_LITTLE;
    struct jx_found f = {.big = (uint32_t)endian, .nodes = to - from};
    uint32_t first = v->seen[from].at, start;
    for (uint32_t i = from; i < to; i++) {
        f.cleanmarkers += v->seen[i].type == JX_NODE_CLEANMARKER;
        if (v->seen[i].end > f.end)
            f.end = v->seen[i].end;
    }
    f.erase_size_bytes = jx_block_shown(v, from, to, &start);
    f.start = first;
    if (f.erase_size_bytes) { /* to the start of the eraseblock, where the file has it */
        uint32_t before = (first - start) % f.erase_size_bytes;
        f.start = before <= first ? first - before : first - before + f.erase_size_bytes;
    }
    if (border && border < f.start)
        f.start = border;
    if (v->found < v->max)
        v->out[v->found++] = f;
}

/* Those in [from, to) of one class. A border says that there is one more, not that there is none before it: so before
 * the first is told it is looked at alone. */
static void tell_all(struct survey *v, uint32_t from, uint32_t to)
{
    uint32_t border = 0, first = from;
    while (from < to && v->found < v->max) {
        uint32_t end = to, second = from, next_border = 0, nearer;
        v->erased = border ? border : v->seen[from].at;
        while (from == first && v->erased && *jx_span_at(&v->span, v->erased - 1) == 0xff)
            v->erased--;
        while (second < end && v->looks++ < LOOKS * v->max) {
            second = jx_next_start(v, from, end, &nearer);
            if (second < end) {
                end = second;
                next_border = nearer;
                second = from;
            }
        }
        tell(v, from, end, border);
        from = end;
        border = next_border;
    }
}

/* Whether f is but stray nodes in eraseblocks of another: what an earlier file system left there, or what a file holds. */
static int is_stray(const struct jx_found *f, const struct jx_found *other)
{
    uint32_t size = other->end - other->start, block = other->erase_size_bytes ? other->erase_size_bytes : USUAL_BLOCK_BYTES;
    if (f->big == other->big && f->start % 4 == other->start % 4) /* told apart by what they contradict */
        return 0;
    if (f->start < other->start || f->start - other->start >= jx_align(size, block))
        return 0;
    return f->nodes * 4ull <= other->nodes || (f->nodes <= other->nodes && !f->cleanmarkers);
}

static int is_any_stray(const struct survey *v, const struct jx_found *f)
{
    for (uint32_t i = 0; i < v->found; i++)
        if (is_stray(f, &v->out[i]))
            return 1;
    return 0;
}

/* Two of equal size never go both: the first is gone when the second is looked at. */
static void drop_strays(struct survey *v)
{
    for (uint32_t i = 0; i < v->found;)
        if (is_any_stray(v, &v->out[i]))
            v->out[i] = v->out[--v->found];
        else
            i++;
}

static int by_start(const void *a, const void *b)
{
    const struct jx_found *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

static int by_class(const void *a, const void *b)
{
    const struct sighting *x = a, *y = b;
    if (x->class != y->class)
        return x->class < y->class ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int make_room(struct survey *v)
{
    uint32_t keys = 0;
    for (uint32_t i = 0; i < v->count; i++)
        keys += v->seen[i].ino != 0;
    v->mask = 63;
    while (v->mask < 2 * keys)
        v->mask = v->mask * 2 + 1;
    v->slots = malloc(((size_t)v->mask + 1) * sizeof(*v->slots));
    v->aparts = malloc(((size_t)keys + 1) * sizeof(*v->aparts));
    return v->slots && v->aparts ? JX_OK : JX_ENOMEM;
}

int jx_locate(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, struct jx_found *out, uint32_t max)
{
    struct survey v = {.span = {data, len, page_bytes, oob_bytes}, .out = out, .max = max};
    int err = page_bytes % 4 ? JX_EINVAL : sight_all(&v);
    if (!err)
        err = make_room(&v);
    if (!err && v.count) {
        qsort(v.seen, v.count, sizeof(*v.seen), by_class);
        for (uint32_t from = 0, to; from < v.count; from = to) {
            for (to = from; to < v.count && v.seen[to].class == v.seen[from].class;)
                to++;
            tell_all(&v, from, to);
        }
        drop_strays(&v);
        qsort(out, v.found, sizeof(*out), by_start);
    }
    free(v.aparts);
    free(v.slots);
    free(v.seen);
    return err ? err : (int)v.found;
}

uint32_t jx_first_used(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, uint32_t from)
{
    struct jx_span s = {data, len, page_bytes, oob_bytes};
    for (uint32_t ofs = from, part; ofs < len; ofs += part) {
        part = oob_bytes ? page_bytes - ofs % page_bytes : 4096;
        if (part > len - ofs)
            part = len - ofs;
        const uint8_t *p = jx_span_at(&s, ofs);
        if (jx_all_ff(p, part))
            continue;
        for (uint32_t i = 0;; i++)
            if (p[i] != 0xff)
                return ofs + i;
    }
    return len;
}
