/* locate.c: which JFFS2 file systems a file holds, and where.
 *
 * Every node with good CRCs is a sighting, of either byte order and at any place: what stands in front of a file system
 * may have any length. Sightings of one byte order that are whole words apart belong together, unless they contradict
 * each other: an inode's versions number its nodes, so two different nodes of one (type, inode, version) are of two file
 * systems where that is the rule and not the odd one out, and so is a second, complete copy of all that came before.
 */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "flash_rules.h"
#include "fs.h"

#define NODE_MAX_BYTES (4u << 20) /* a longer one is not stepped over: no eraseblock is larger */
#define CLASSES 8u                /* 2 byte orders, 4 places in a word */
#define GRID_MIN_BYTES 4096u
#define USUAL_BLOCK_BYTES 65536u
#define COPY_MIN_BYTES (256u << 10) /* of a file system of which a copy follows: less is what a cut collection leaves */
#define COPY_MIN_NODES 8u
#define COPY_TRIALS 16u
#define COPY_PART 4u /* of the first one's nodes, that a copy which was written to since still has in their places */
#define PROBES_MAX 64u /* of the table of keys: where numbers were chosen to collide, some sightings say nothing */

struct sighting {
    uint32_t at, end;
    uint32_t ino, version; /* of the key; ino 0: none, the node says nothing about whose it is */
    uint32_t identity;     /* differs where nodes differ */
    uint16_t type;
    uint8_t class;
};

struct survey {
    struct jx_span span;
    struct sighting *seen;
    uint32_t count, capacity;
    uint32_t *slots; /* hash by key: indices into seen, JX_NONE empty */
    uint32_t mask;
    struct jx_found *out;
    uint32_t found, max;
};

/* n bytes at ofs as if no OOB stood between. */
static const uint8_t *peek(const struct jx_span *s, uint32_t ofs, uint32_t n, uint8_t *buf)
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
    const uint8_t *p = peek(&v->span, one->at, need, buf);
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
    const uint8_t *p = peek(&v->span, ofs, JX_HEADER_BYTES, buf);
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

/* ---- where one ends and the next begins ---------------------------------------------- */

/* JX_NONE: too many others stand where it belongs. */
static uint32_t slot_of(const struct survey *v, const struct sighting *one)
{
    uint32_t h = one->ino * 0x9e3779b1u ^ one->version * 0x85ebca77u ^ one->type;
    h = (h ^ h >> 15) * 0x846ca68bu;
    uint32_t i = (h ^ h >> 16) & v->mask;
    for (uint32_t probes = 0; probes < PROBES_MAX; probes++, i = (i + 1) & v->mask) {
        if (v->slots[i] == JX_NONE)
            return i;
        const struct sighting *other = &v->seen[v->slots[i]];
        if (other->ino == one->ino && other->version == one->version && other->type == one->type)
            return i;
    }
    return JX_NONE;
}

/* The smallest power of two of which, counted from base, no node crosses a multiple. */
static uint32_t uncrossed(const struct survey *v, uint32_t from, uint32_t to, uint32_t base)
{
    uint32_t crossed = 0, grid = GRID_MIN_BYTES;
    for (uint32_t i = from; i < to; i++)
        for (uint32_t bit = 12; bit < 31; bit++)
            if ((v->seen[i].at - base) >> bit != (v->seen[i].end - 1 - base) >> bit)
                crossed |= 1u << bit;
    while (grid < 1u << 30 && crossed & grid)
        grid *= 2;
    return grid;
}

/* The last sighting in (low, high] that can be the first of an eraseblock; 0: none. */
static uint32_t border(const struct survey *v, uint32_t from, uint32_t low, uint32_t high)
{
    uint32_t base = v->seen[from].at, grid = uncrossed(v, from, high, base);
    for (uint32_t i = high; i > low; i--)
        if ((v->seen[i].at - base) % grid == 0)
            return i;
    for (uint32_t i = high; i > low; i--)
        if (v->seen[i].type == JX_NODE_CLEANMARKER)
            return i;
    return 0;
}

/* Whether from second on all of [from, second) stands once more, as far behind it. */
static int is_copy(const struct survey *v, uint32_t from, uint32_t second, uint32_t to)
{
    uint32_t count = second - from, apart = v->seen[second].at - v->seen[from].at;
    if (count < COPY_MIN_NODES || count > to - second || apart < COPY_MIN_BYTES || apart % GRID_MIN_BYTES)
        return 0;
    for (uint32_t i = from; i < second; i++) {
        const struct sighting *a = &v->seen[i], *b = &v->seen[i + count];
        if (b->at - a->at != apart || b->end - a->end != apart || a->type != b->type || a->identity != b->identity)
            return 0;
    }
    return 1;
}

/* Twins: two equal nodes; those one and the same distance apart. */
struct twins {
    uint32_t apart;
    uint32_t count;
    uint32_t first, end; /* of those behind: from where to where, absolute */
};

/* The one distance at which most of them stand in a row. */
static void note_twin(const struct survey *v, uint32_t older, uint32_t newer, struct twins *row, struct twins *best)
{
    uint32_t apart = v->seen[newer].at - v->seen[older].at;
    if (apart < COPY_MIN_BYTES || apart % GRID_MIN_BYTES)
        return;
    if (apart != row->apart)
        *row = (struct twins){.apart = apart};
    row->count++;
    if (row->count > (apart == best->apart ? 1 : COPY_PART) * best->count) /* of several copies the next one */
        *best = *row;
}

/* All of that distance. v->slots hold the first of each key. */
static void count_twins(const struct survey *v, uint32_t from, uint32_t to, struct twins *t)
{
    t->count = 0;
    for (uint32_t i = from; i < to; i++) {
        const struct sighting *one = &v->seen[i];
        uint32_t slot = one->ino ? slot_of(v, one) : JX_NONE;
        if (slot == JX_NONE || v->slots[slot] == JX_NONE)
            continue;
        const struct sighting *older = &v->seen[v->slots[slot]];
        if (one->at - older->at != t->apart || one->identity != older->identity)
            continue;
        if (!t->count++)
            t->first = one->at;
        t->end = one->end;
    }
}

/* Where a copy starts that was written to since, or of which the first was; to: there is none. A collection that a cut
 * stopped leaves twins too, but of no more than an eraseblock. */
static uint32_t changed_copy(const struct survey *v, uint32_t from, uint32_t to, struct twins *t)
{
    if (t->count < COPY_MIN_NODES)
        return to;
    count_twins(v, from, to, t);
    uint32_t length = t->end - t->first, start = v->seen[from].at + t->apart, second = from;
    if (length <= COPY_MIN_BYTES || length > t->apart)
        return to;
    while (second < to && v->seen[second].at < start)
        second++;
    uint32_t grid = uncrossed(v, from, second, v->seen[from].at);
    return t->count >= (second - from) / COPY_PART && length > 2 * grid ? second : to;
}

/* Where, in [from, to) of one class, the next file system starts; to: nowhere. */
static uint32_t next_start(struct survey *v, uint32_t from, uint32_t to)
{
    uint32_t low = from, high = JX_NONE, conflicts = 0, left = 0, right = 0, first = JX_NONE, trials = 0;
    struct twins row = {0}, twins = {0};
    memset(v->slots, 0xff, ((size_t)v->mask + 1) * sizeof(*v->slots));
    for (uint32_t i = from; i < to; i++) {
        const struct sighting *one = &v->seen[i];
        if (!one->ino)
            continue;
        uint32_t slot = slot_of(v, one);
        if (slot == JX_NONE)
            continue;
        uint32_t older = v->slots[slot];
        if (first == JX_NONE)
            first = i;
        if (older == first && v->seen[older].identity == one->identity && trials++ < COPY_TRIALS &&
            is_copy(v, from, i - (first - from), to))
            return i - (first - from);
        if (older == JX_NONE)
            v->slots[slot] = i;
        else if (v->seen[older].identity == one->identity)
            note_twin(v, older, i, &row, &twins);
        int conflict = older != JX_NONE && v->seen[older].identity != one->identity;
        if (conflict && high == JX_NONE)
            high = i;
        *(high == JX_NONE ? &left : &right) += 1;
        if (conflict && older < high) {
            conflicts++;
            if (older > low)
                low = older;
        }
    }
    uint32_t fewer = left < right ? left : right;
    if (!(conflicts >= 2 && conflicts >= fewer / 2) && !(conflicts >= 8 && conflicts >= fewer / 8))
        return changed_copy(v, from, to, &twins);
    uint32_t at = border(v, from, low, high);
    return at ? at : to;
}

/* ---- what is told of each ------------------------------------------------------------ */

/* A summary reaches to the end of its eraseblock and says where in it it starts; 0: it does not. */
static uint32_t block_by_summary(const struct survey *v, const struct sighting *one, int endian, uint32_t *start)
{
    uint8_t buf[JX_MARKER_BYTES];
    if (one->end - one->at < JX_SUMMARY_BYTES + JX_MARKER_BYTES)
        return 0;
    const uint8_t *marker = peek(&v->span, one->end - JX_MARKER_BYTES, JX_MARKER_BYTES, buf);
    uint32_t in_block = get32(endian, marker);
    if (get32(endian, marker + 4) != JX_SUMMARY_MAGIC || in_block > one->at)
        return 0;
    *start = one->at - in_block;
    uint32_t size = one->end - *start;
    return size & (size - 1) ? 0 : size;
}

static void tell(struct survey *v, uint32_t from, uint32_t to)
{
    int endian = v->seen[from].class & 1 ? JX_BIG : JX_LITTLE;
    struct jx_found f = {.big = (uint32_t)endian, .nodes = to - from, .end = v->seen[to - 1].end};
    uint32_t first = v->seen[from].at, marker = 0, apart = 0, start = 0;
    for (uint32_t i = from; i < to; i++) {
        const struct sighting *one = &v->seen[i];
        if (one->type == JX_NODE_CLEANMARKER) {
            marker = f.cleanmarkers++ ? marker : one->at;
            apart |= one->at - marker;
        }
        if (one->type == JX_NODE_SUMMARY && !f.erase_size_bytes)
            f.erase_size_bytes = block_by_summary(v, one, endian, &start);
        if (one->end > f.end)
            f.end = one->end;
    }
    apart &= 0u - apart;
    if (!f.erase_size_bytes && apart >= GRID_MIN_BYTES && apart >= uncrossed(v, from, to, marker)) {
        f.erase_size_bytes = apart;
        start = marker;
    }
    f.start = first;
    if (f.erase_size_bytes) { /* to the start of the eraseblock, where the file has it */
        uint32_t before = (first - start) % f.erase_size_bytes;
        f.start = before <= first ? first - before : first - before + f.erase_size_bytes;
    }
    if (v->found < v->max)
        v->out[v->found++] = f;
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

static int open_slots(struct survey *v)
{
    uint32_t keys = 0;
    for (uint32_t i = 0; i < v->count; i++)
        keys += v->seen[i].ino != 0;
    v->mask = 63;
    while (v->mask < 2 * keys)
        v->mask = v->mask * 2 + 1;
    v->slots = malloc(((size_t)v->mask + 1) * sizeof(*v->slots));
    return v->slots ? JX_OK : JX_ENOMEM;
}

int jx_locate(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, struct jx_found *out, uint32_t max)
{
    struct survey v = {.span = {data, len, page_bytes, oob_bytes}, .out = out, .max = max};
    int err = page_bytes % 4 ? JX_EINVAL : sight_all(&v);
    if (!err)
        err = open_slots(&v);
    if (!err && v.count) {
        qsort(v.seen, v.count, sizeof(*v.seen), by_class);
        for (uint32_t from = 0, to; from < v.count; from = to) {
            for (to = from; to < v.count && v.seen[to].class == v.seen[from].class;)
                to++;
            uint32_t end = v.found < max ? next_start(&v, from, to) : to;
            tell(&v, from, end);
            to = end;
        }
        drop_strays(&v);
        qsort(out, v.found, sizeof(*out), by_start);
    }
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
