/* locate.c: which JFFS2 file systems a file holds, and where.
 *
 * Every node with good CRCs is a sighting, of either byte order and at any place: what stands in front of a file system
 * may have any length. Sightings of one byte order that are whole words apart belong together, unless they show a border
 * (borders.c).
 */
#include <stdlib.h>
#include "codec.h"
#include "flash_rules.h"
#include "formats.h"
#include "guard.h"
#include "survey.h"
#include "txn.h"

#define SIDES_MAX 64u             /* of borders, at a time */
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

static int says_something(uint16_t type)
{
    return jx_is_content(type) || type == JX_NODE_SUMMARY || type == JX_NODE_TAG;
}

/* Nodes of one type in a row that say nothing of a file, which no file system has many of, are one sighting: this bounds
 * the memory for a medium full of headers. */
static int joins_last(struct survey *v, const struct sighting *one)
{
    struct sighting *last = v->count ? &v->seen[v->count - 1] : NULL;
    if (!last || last->ino || last->type != one->type || last->class != one->class || jx_pad4(last->end) != one->at)
        return 0;
    if (says_something(one->type))
        return 0;
    last->end = one->end;
    last->more++;
    return 1;
}

static int note(struct survey *v, const struct sighting *one)
{
    if (joins_last(v, one))
        return JX_OK;
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

/* Fills what an inode node or a dirent says; 0 where such a node's CRC is wrong. */
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
    one->identity = jx_crc32(0, p + 4, need - 4); /* the data's or the name's CRC is part of it, the ACCURATE bit is not */
    if (one->type == JX_NODE_DIRENT) {
        if (jx_decode_dirent(endian, p, &dirent) != JX_GOOD)
            return 0;
        if (jx_is_guard(dirent.version, dirent.ino)) { /* it has no place among the numbers of its directory */
            one->type = JX_NODE_PADDING;
            return 1;
        }
        one->ino = dirent.pino;
        one->version = dirent.version;
        one->child = dirent.ino;
        one->name = dirent.name_crc;
        one->kind = dirent.type & 15;
        return 1;
    }
    if (jx_decode_inode(endian, p, &inode) != JX_GOOD)
        return 0;
    one->ino = inode.ino;
    one->version = inode.version;
    one->isize = inode.isize;
    one->offset = inode.offset;
    one->dsize = inode.dsize;
    one->kind = (uint8_t)((inode.mode & S_IFMT) >> 12);
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
    struct sighting one = {.at = ofs, .end = ofs + size, .type = h.nodetype | JX_ACCURATE, .class = (uint8_t)(ofs % 4 * 2)};
    one.obsolete = !(h.nodetype & JX_ACCURATE);
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

/* ---- other formats and the other byte order --------------------------------------------- */

#define OTHER_ORDER_NODES 8u /* in a row, that end a file system */

static int note_hard(struct survey *v, uint32_t at, uint32_t end, uint8_t class_only)
{
    if (v->hard_count == v->hard_capacity) {
        uint32_t capacity = v->hard_capacity ? v->hard_capacity * 2 : 64;
        struct hard *hard = realloc(v->hard, (size_t)capacity * sizeof(*hard));
        if (!hard)
            return JX_ENOMEM;
        v->hard = hard;
        v->hard_capacity = capacity;
    }
    v->hard[v->hard_count++] = (struct hard){at, end, class_only};
    return JX_OK;
}

/* Known formats that start where no node stands, and how far they reach. */
static int find_formats(struct survey *v)
{
    uint8_t buf[JX_FORMAT_HEAD_BYTES];
    uint32_t len = v->span.bytes_len, i = 0, end = 0;
    int err = JX_OK;
    for (uint32_t at = 0; at < len && !err; at += GRID_MIN_BYTES) {
        uint64_t bytes;
        uint32_t head = len - at < sizeof(buf) ? len - at : (uint32_t)sizeof(buf);
        while (i < v->count && v->seen[i].end <= at)
            i++;
        if (at < end || (i < v->count && v->seen[i].at <= at))
            continue;
        for (uint32_t n = 0; n < head && v->span.oob_bytes; n++)
            buf[n] = *jx_span_at(&v->span, at + n);
        if (!jx_format_at(v->span.oob_bytes ? buf : jx_span_at(&v->span, at), head, &bytes))
            continue;
        end = bytes <= len - at ? at + (uint32_t)bytes : at;
        err = note_hard(v, at, end, 3);
        if (len - at <= GRID_MIN_BYTES)
            break;
    }
    return err;
}

/* Nodes inside another format are its content. */
static void drop_inner(struct survey *v)
{
    uint32_t kept = 0, h = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        while (h < v->hard_count && v->hard[h].end <= v->seen[i].at)
            h++;
        if (h == v->hard_count || v->seen[i].at < v->hard[h].at)
            v->seen[kept++] = v->seen[i];
    }
    v->count = kept;
}

/* A row of nodes of one byte order ends a file system of the other. */
static int find_other_orders(struct survey *v)
{
    int err = JX_OK;
    for (uint32_t i = 0, to; i < v->count && !err; i = to) {
        uint8_t big = v->seen[i].class & 1, keyed = 0;
        for (to = i; to < v->count && (v->seen[to].class & 1) == big; to++)
            keyed |= v->seen[to].ino != 0;
        if (keyed && to - i >= OTHER_ORDER_NODES)
            err = note_hard(v, v->seen[i].at, v->seen[i].at, big ? 1 : 2);
    }
    return err;
}

static int by_place(const void *a, const void *b)
{
    const struct hard *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int find_hard_places(struct survey *v)
{
    int err = find_formats(v);
    if (err)
        return err;
    drop_inner(v);
    err = find_other_orders(v);
    if (!err && v->hard_count)
        qsort(v->hard, v->hard_count, sizeof(*v->hard), by_place);
    return err;
}

/* ---- what is said of each ------------------------------------------------------------ */

/* The extent that our newest tag gives, if all nodes stand in it. */
static void tell_extent(const struct survey *v, uint32_t from, uint32_t to, struct jx_found *f)
{
    uint8_t buf[JX_TAG_BYTES];
    struct jx_tag tag;
    uint32_t newest = 0, first = v->seen[from].at;
    for (uint32_t i = from; i < to; i++) {
        const struct sighting *one = &v->seen[i];
        if (one->type != JX_NODE_TAG || one->end - one->at != JX_TAG_BYTES)
            continue;
        const uint8_t *p = jx_peek(&v->span, one->at, JX_TAG_BYTES, buf);
        if (jx_tag_decode(one->class & 1 ? JX_BIG : JX_LITTLE, p, JX_TAG_BYTES, &tag) || !tag.size_bytes || tag.txid < newest)
            continue;
        newest = tag.txid;
        f->extent_start = one->at - tag.offset;
        f->extent_bytes = tag.offset <= one->at ? tag.size_bytes : 0;
    }
    if (first < f->extent_start || f->end - f->extent_start > f->extent_bytes)
        f->extent_start = f->extent_bytes = 0;
}

/* Of one file system, that stands at [from, to). */
static void tell(struct survey *v, uint32_t from, uint32_t to, struct jx_found *f)
{
    uint32_t first = v->seen[from].at, start, border = f->start; /* 0: nothing shows it */
    f->big = v->seen[from].class & 1 ? JX_BIG : JX_LITTLE;
    f->nodes = to - from;
    for (uint32_t i = from; i < to; i++) {
        f->nodes += v->seen[i].more;
        f->cleanmarkers += v->seen[i].type == JX_NODE_CLEANMARKER ? 1 + v->seen[i].more : 0;
        f->tags += v->seen[i].type == JX_NODE_TAG;
        if (v->seen[i].end > f->end)
            f->end = v->seen[i].end;
    }
    f->erase_size_bytes = jx_block_shown(v, from, to, &start);
    f->start = first;
    if (f->erase_size_bytes) { /* to the start of the eraseblock, where the file has it */
        uint32_t before = (first - start) % f->erase_size_bytes;
        f->start = before <= first ? first - before : first - before + f->erase_size_bytes;
    }
    if (border && border < f->start)
        f->start = border;
    tell_extent(v, from, to, f);
    if (f->extent_bytes) {
        f->start = f->extent_start;
        f->doubt_at = f->own_start = f->own_end = 0;
    }
    if (v->found < v->max)
        v->out[v->found++] = *f;
}

static void say(struct jx_found *f, const struct border_evidence *why, int doubt)
{
    f->start = doubt ? 0 : why->start;
    f->doubt_at = doubt ? why->at : 0;
    f->border_low = why->low;
    f->border_high = why->high;
    f->contradictions = why->contradictions;
    f->twins = why->twins;
    f->weak = why->weak;
    f->links = why->links;
    f->successions = why->successions;
}

/* Those in [from, to) of one class: the best border divides them, and each side is looked at in the same way. */
static int tell_all(struct survey *v, uint32_t from, uint32_t to)
{
    struct { uint32_t end; struct border_evidence why; } open[SIDES_MAX]; /* sides that are still to be looked at, the last first */
    struct border_evidence why, before = {.at = 0}; /* before: of the border in front of `from` */
    uint32_t sides = 1, second;
    int err = JX_OK;
    open[0].end = to;
    while (sides && v->found < v->max && !err) {
        uint32_t end = open[sides - 1].end;
        struct jx_found f = {.start = 0};
        err = jx_next_border(v, from, end, &second, &why, &f);
        if (err)
            break;
        if (second < end && sides < SIDES_MAX) {
            open[sides].end = second;
            open[sides++].why = why;
            continue;
        }
        say(&f, why.at && !why.certain ? &why : &before, why.at && !why.certain);
        tell(v, from, end, &f);
        from = end;
        before = open[--sides].why;
    }
    return err;
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

/* What stands in the extent that a tag gives is one file system, whatever its nodes say of each other. */
static void merge_extents(struct survey *v)
{
    for (uint32_t i = 0; i < v->found; i++)
        for (uint32_t k = 0; k < v->found && v->out[i].extent_bytes;) {
            struct jx_found *whole = &v->out[i], *part = &v->out[k];
            uint64_t end = (uint64_t)whole->extent_start + whole->extent_bytes;
            int same_extent = !part->extent_bytes || part->extent_start == whole->extent_start;
            int other = k == i || part->big != whole->big || !same_extent || part->start < whole->extent_start;
            if (other || part->end > end) {
                if (!other && part->start < end) /* a border can lie too early, among what is erased */
                    part->start = (uint32_t)end;
                k++;
                continue;
            }
            whole->nodes += part->nodes;
            whole->cleanmarkers += part->cleanmarkers;
            whole->end = part->end > whole->end ? part->end : whole->end;
            *part = v->out[--v->found];
            i = i == v->found ? k : i;
        }
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

int jx_locate(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, struct jx_found *out, uint32_t max)
{
    struct survey v = {.span = {data, len, page_bytes, oob_bytes}, .out = out, .max = max};
    int err = page_bytes % 4 ? JX_EINVAL : sight_all(&v);
    if (!err)
        err = find_hard_places(&v);
    if (!err && v.count) {
        qsort(v.seen, v.count, sizeof(*v.seen), by_class);
        for (uint32_t from = 0, to; from < v.count && !err; from = to) {
            for (to = from; to < v.count && v.seen[to].class == v.seen[from].class;)
                to++;
            err = tell_all(&v, from, to);
        }
        merge_extents(&v);
        drop_strays(&v);
        qsort(out, v.found, sizeof(*out), by_start);
    }
    free(v.hard);
    free(v.seen);
    return err ? err : (int)v.found;
}

uint32_t jx_first_used_in(const struct jx_span *s, uint32_t from, uint32_t to)
{
    for (uint32_t ofs = from, part; ofs < to; ofs += part) {
        part = s->oob_bytes ? s->page_bytes - ofs % s->page_bytes : 4096;
        if (part > to - ofs)
            part = to - ofs;
        const uint8_t *p = jx_span_at(s, ofs);
        if (jx_all_ff(p, part))
            continue;
        for (uint32_t i = 0;; i++)
            if (p[i] != 0xff)
                return ofs + i;
    }
    return to;
}

uint32_t jx_first_used(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, uint32_t from)
{
    struct jx_span s = {data, len, page_bytes, oob_bytes};
    return jx_first_used_in(&s, from, len);
}
