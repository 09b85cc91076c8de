/* borders.c: where in a file one JFFS2 file system ends and the next begins.
 *
 * An inode's versions number its nodes, so a key (type, inode, version) that stands twice speaks for a border between the
 * two. Two different nodes of one key are of two file systems where that is the rule and not the odd one out. Two equal
 * ones are what a collection leaves that a cut stopped, but of one eraseblock; where more stand again, and as far behind,
 * a copy of the file system does.
 */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "flash_rules.h"
#include "survey.h"
#include "txn.h"

#define PROBES_MAX 64u /* of the table of keys: where numbers were chosen to collide, some sightings say nothing */
#define DEVICE_MIN_BLOCKS 5u        /* jffs2_do_fill_super mounts nothing smaller */
#define COPY_MIN_BYTES (256u << 10) /* apart, where nothing shows eraseblocks */
#define COPY_MIN_NODES 8u
#define COPY_PART 4u /* of the first one's nodes, that a copy which was written to since still has in their places */
#define COPY_TRIALS 8u

/* ---- eraseblocks --------------------------------------------------------------------- */

/* A summary reaches to the end of its eraseblock and says where in it it starts; 0: it does not. */
static uint32_t block_by_summary(const struct survey *v, const struct sighting *one, int endian, uint32_t *start)
{
    uint8_t buf[JX_MARKER_BYTES];
    if (one->end - one->at < JX_SUMMARY_BYTES + JX_MARKER_BYTES)
        return 0;
    const uint8_t *marker = jx_peek(&v->span, one->end - JX_MARKER_BYTES, JX_MARKER_BYTES, buf);
    uint32_t in_block = get32(endian, marker);
    if (get32(endian, marker + 4) != JX_SUMMARY_MAGIC || in_block > one->at)
        return 0;
    *start = one->at - in_block;
    uint32_t size = one->end - *start;
    return size & (size - 1) ? 0 : size;
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

uint32_t jx_block_shown(const struct survey *v, uint32_t from, uint32_t to, uint32_t *start)
{
    int endian = v->seen[from].class & 1 ? JX_BIG : JX_LITTLE;
    uint32_t marker = JX_NONE, apart = 0;
    for (uint32_t i = from; i < to; i++) {
        const struct sighting *one = &v->seen[i];
        if (one->type == JX_NODE_CLEANMARKER) {
            marker = marker == JX_NONE ? one->at : marker;
            apart |= one->at - marker;
        }
        uint32_t size = one->type == JX_NODE_SUMMARY ? block_by_summary(v, one, endian, start) : 0;
        if (size)
            return size;
    }
    apart &= 0u - apart;
    *start = marker;
    return apart >= GRID_MIN_BYTES && apart >= uncrossed(v, from, to, marker) ? apart : 0;
}

/* ---- keys that stand twice ----------------------------------------------------------- */

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

static void pair_up(struct survey *v, uint32_t from, uint32_t to)
{
    memset(v->slots, 0xff, ((size_t)v->mask + 1) * sizeof(*v->slots));
    for (uint32_t i = from; i < to; i++) {
        struct sighting *one = &v->seen[i];
        uint32_t slot = one->ino ? slot_of(v, one) : JX_NONE;
        one->older = slot == JX_NONE ? JX_NONE : v->slots[slot];
        if (slot != JX_NONE && one->older == JX_NONE)
            v->slots[slot] = i;
    }
}

static int is_twin(const struct survey *v, uint32_t i)
{
    return v->seen[i].older != JX_NONE && v->seen[v->seen[i].older].identity == v->seen[i].identity;
}

static int contradicts(const struct survey *v, uint32_t i)
{
    return v->seen[i].older != JX_NONE && v->seen[v->seen[i].older].identity != v->seen[i].identity;
}

/* Of so many nodes with a key on that side of a border that has fewer. */
static int is_the_rule(uint32_t conflicts, uint32_t fewer)
{
    return (conflicts >= 2 && conflicts >= fewer / 2) || (conflicts >= 8 && conflicts >= fewer / 8);
}

/* ---- a copy ------------------------------------------------------------------------------ */

static uint32_t apart_of(const struct survey *v, uint32_t twin) { return v->seen[twin].at - v->seen[v->seen[twin].older].at; }

static int by_distance(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Distances at which twins stand: those of one run differ by less than an eraseblock, as nodes move up where one before
 * them grew. */
struct run {
    uint32_t apart; /* the roundest: that of the eraseblocks, if any node kept its place in one */
    uint32_t count;
    uint32_t next;
    uint32_t block; /* bytes */
};

static struct run run_at(const uint32_t *aparts, uint32_t count, uint32_t i, uint32_t block)
{
    struct run run = {.apart = aparts[i], .block = block};
    for (run.next = i; run.next < count && aparts[run.next] - aparts[i] < block; run.next++) {
        uint32_t apart = aparts[run.next];
        if ((apart & -apart) > (run.apart & -run.apart))
            run.apart = apart;
    }
    run.count = run.next - i;
    return run;
}

/* Whether i stands about as far behind its twin. */
static int is_of_run(const struct survey *v, uint32_t i, uint32_t apart, uint32_t block)
{
    if (!is_twin(v, i))
        return 0;
    uint32_t own = apart_of(v, i);
    return (own > apart ? own - apart : apart - own) < block;
}

/* Of the offsets from low to high the multiple of the largest power of two. */
static uint32_t roundest(uint32_t low, uint32_t high)
{
    uint32_t round = high;
    for (uint32_t bit = 0; bit < 32 && (high >> bit << bit) >= low; bit++)
        round = high >> bit << bit;
    return round;
}

/* The offset of the first eraseblock of a copy that stands so far behind [from, ...). What is erased in front of the first
 * node may be its own: of the places that leaves the roundest one, behind the last node that stands again. */
static uint32_t border_of(const struct survey *v, uint32_t from, uint32_t to, uint32_t apart, uint32_t block)
{
    uint32_t low = v->seen[from].at, high = low + apart, front = 0, again = JX_NONE;
    for (uint32_t i = from; i < to; i++) {
        if (!is_of_run(v, i, apart, block) || v->seen[v->seen[i].older].end > high)
            continue;
        const struct sighting *one = &v->seen[i], *older = &v->seen[one->older];
        front = older->end > front ? older->end : front;
        again = one->at < again ? one->at : again;
    }
    low = (low - v->erased < apart ? v->erased : low - apart) + apart;
    if (apart % GRID_MIN_BYTES) /* all of them moved: no distance tells */
        return roundest(front, again);
    return roundest(front > low ? front : low, high);
}

/* What speaks for a border at index second: pairs over it. */
struct evidence {
    uint32_t second;
    uint32_t left, right;      /* nodes with a key on either side */
    uint32_t conflicts, twins; /* twins: about as far behind */
    uint32_t first, end;       /* of those in front: from where to where, absolute */
    int tagged;                /* a transaction's block stands in front */
};

static struct evidence weigh(const struct survey *v, uint32_t from, uint32_t to, const struct run *run, uint32_t block,
                             uint32_t border)
{
    struct evidence e = {.second = to, .first = JX_NONE};
    for (uint32_t i = from; i < to; i++) {
        const struct sighting *one = &v->seen[i];
        if (e.second == to && one->at >= border)
            e.second = i;
        e.tagged |= e.second == to && one->type == JX_NODE_TAG;
        if (!one->ino)
            continue;
        *(e.second == to ? &e.left : &e.right) += 1;
        if (one->older == JX_NONE || e.second == to || one->older >= e.second)
            continue;
        if (contradicts(v, i)) {
            e.conflicts++;
            continue;
        }
        if (!is_of_run(v, i, run->apart, block))
            continue;
        const struct sighting *older = &v->seen[one->older];
        e.twins++;
        e.first = older->at < e.first ? older->at : e.first;
        e.end = older->end > e.end ? older->end : e.end;
    }
    return e;
}

/* Whether every key in front of the border stands again within as much behind it. */
static int stands_again(struct survey *v, uint32_t from, uint32_t to, uint32_t second, uint64_t behind)
{
    for (uint32_t i = from; i < second; i++)
        v->seen[i].again = 0;
    for (uint32_t i = second; i < to && v->seen[i].at < behind; i++)
        if (v->seen[i].older != JX_NONE && v->seen[i].older < second)
            v->seen[v->seen[i].older].again = 1;
    for (uint32_t i = from; i < second; i++)
        if (v->seen[i].ino && v->seen[i].older == JX_NONE && !v->seen[i].again)
            return 0;
    return 1;
}

/* A sighting, and the offset of its file system's first eraseblock where a copy tells it, else 0. */
struct place {
    uint32_t second, border;
};

/* Whether a copy starts at that distance, of which either may have been written to since; where is filled if one can. */
static int is_copy_at(struct survey *v, uint32_t from, uint32_t to, const struct run *run, struct place *where)
{
    uint32_t second = from, start, at = border_of(v, from, to, run->apart, run->block);
    while (second < to && v->seen[second].at < at)
        second++;
    uint32_t shown = jx_block_shown(v, from, second, &start);
    uint32_t block = shown ? shown : uncrossed(v, from, second, v->seen[from].at);
    uint32_t least = shown || DEVICE_MIN_BLOCKS * block > COPY_MIN_BYTES ? DEVICE_MIN_BLOCKS * block : COPY_MIN_BYTES;
    if (second == to || run->apart < least)
        return 0;
    struct evidence e = weigh(v, from, to, run, block, at);
    if (e.twins < COPY_MIN_NODES)
        return 0;
    *where = (struct place){second, run->apart % GRID_MIN_BYTES ? 0 : at};
    uint32_t length = e.end - e.first, large = shown || 2 * block > COPY_MIN_BYTES ? 2 * block : COPY_MIN_BYTES;
    int copied = length > large && e.twins >= e.left / COPY_PART;
    /* A commit block and its copy may be all there is; an ordinary block and its copy are soon followed by others. */
    int all_copied = !e.tagged && length <= run->apart / COPY_PART &&
                     ((e.conflicts && e.twins >= e.left / 2) || stands_again(v, from, to, second, 0ull + at + run->apart));
    return copied || all_copied || is_the_rule(e.conflicts, e.left < e.right ? e.left : e.right);
}

/* Whether a copy starts in [from, to), and where; if not, where the nearest one can. */
static int is_copied(struct survey *v, uint32_t from, uint32_t to, struct place *where)
{
    uint32_t count = 0, most = 0, trials = 0, start, block = jx_block_shown(v, from, to, &start);
    block = block ? block : USUAL_BLOCK_BYTES;
    for (uint32_t i = from; i < to; i++)
        if (is_twin(v, i) && apart_of(v, i) >= DEVICE_MIN_BLOCKS * GRID_MIN_BYTES)
            v->aparts[count++] = apart_of(v, i);
    qsort(v->aparts, count, sizeof(*v->aparts), by_distance);
    for (uint32_t i = 0; i < count;) {
        struct run run = run_at(v->aparts, count, i, block);
        i = run.next;
        most = run.count > most ? run.count : most;
    }
    for (uint32_t i = 0; i < count && trials < COPY_TRIALS;) { /* of several copies the next one */
        struct run run = run_at(v->aparts, count, i, block);
        i = run.next;
        if (run.count < COPY_MIN_NODES || run.count < most / COPY_PART)
            continue;
        trials++;
        struct place place = {to, 0};
        int is_copy = is_copy_at(v, from, to, &run, &place);
        if (is_copy || where->second == to)
            *where = place;
        if (is_copy)
            return 1;
    }
    return 0;
}

/* ---- another one --------------------------------------------------------------------- */

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

/* Whether another starts by what it contradicts, and where: where a copy can if that is among the possible places. */
static int is_contradicted(const struct survey *v, uint32_t from, uint32_t to, struct place *where)
{
    uint32_t low = from, high = JX_NONE, conflicts = 0, left = 0, right = 0;
    for (uint32_t i = from; i < to; i++) {
        if (!v->seen[i].ino)
            continue;
        int conflict = contradicts(v, i);
        if (conflict && high == JX_NONE)
            high = i;
        *(high == JX_NONE ? &left : &right) += 1;
        if (conflict && v->seen[i].older < high) {
            conflicts++;
            if (v->seen[i].older > low)
                low = v->seen[i].older;
        }
    }
    if (!is_the_rule(conflicts, left < right ? left : right))
        return 0;
    if (where->second <= low || where->second > high)
        *where = (struct place){border(v, from, low, high), 0};
    return where->second != 0;
}

uint32_t jx_next_start(struct survey *v, uint32_t from, uint32_t to, uint32_t *border)
{
    struct place where = {to, 0};
    pair_up(v, from, to);
    if (!is_copied(v, from, to, &where) && !is_contradicted(v, from, to, &where))
        return to;
    *border = where.border;
    return where.second;
}
