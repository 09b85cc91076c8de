/* borders.c: where in a file one JFFS2 file system ends and the next begins. JFFS2 has neither superblock nor identity: what
 * tells two file systems from one is what their nodes say of each other. A border is where they contradict each other and no
 * link is torn. Where something speaks for a border and something against it, both explanations stay: doubt.
 */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "survey.h"

#define COPY_TWINS 8u          /* equal nodes on both sides that are a copy of the system, if they are more than: */
#define COLLECTED_BLOCKS 2u    /* what an interrupted collection leaves; one block, or two where another waits to be erased */
#define FEWEST_BLOCKS 5u       /* of a file system that the kernel mounts (jffs2_fill_super) */
#define WEAK_DOUBT 4u          /* contradictions of obsolete nodes */
#define FINE_GRID_SHOWN 12u    /* quarters of contradictions that a border needs at an eraseblock of less than 64 KiB */
#define FINE_GRID 32u          /* and where nothing shows the eraseblock */

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

/* ---- the rule ------------------------------------------------------------------------ */

/* One place at which an eraseblock can start, with what speaks for and against a border there. */
struct place {
    uint32_t k, at, gap, unknown; /* gap: erased bytes in front of it; unknown: bytes in front that nothing identifies */
    uint32_t quarters;  /* of contradictions; a twin beyond what a collection leaves counts as one */
    uint32_t links;     /* that the border would tear */
    int hard;           /* a known format, or the other byte order, ends what stands in front */
    int64_t score;      /* of four points for each contradiction */
};

/* What all places of one run share. */
struct rule {
    const struct survey *v;
    const struct sighting *seen;
    const struct balance *balance;
    uint32_t count;
    uint32_t block, base; /* bytes; base: absolute offset of an eraseblock */
    int shown;            /* something shows the eraseblock */
    uint32_t low, high;   /* bytes from the start; the most that the file systems of these nodes can span */
    uint32_t hard;        /* index of the next hard place */
    uint32_t apart;       /* at which most keys stand again; 0: none do */
};

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }
static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

static uint32_t quarters_of(const struct rule *r, const struct balance *b)
{
    uint32_t collected = COLLECTED_BLOCKS * larger(r->block, 32768);
    uint32_t copied = b->twins >= COPY_TWINS && b->twin_bytes > collected ? b->twins : 0;
    return 4 * (b->contradictions + b->doubles) + copied;
}

/* At most an eighth of what stands there has lost something. */
static int is_closed(uint32_t open, uint32_t objects) { return open <= larger(1, objects / 8); }

static int is_border(const struct rule *r, const struct place *p)
{
    const struct balance *b = &r->balance[p->k], *all = &r->balance[r->count];
    int sound = is_closed(b->open_left, b->objects_left) && is_closed(b->open_right, b->objects_right);
    int tied = 2ull * p->quarters < b->successions;
    if (p->hard && 16ull * p->links <= larger(p->quarters, 8))
        return 1;
    if (tied)
        return 0;
    if (p->quarters >= 8 && 16ull * p->links <= p->quarters && sound)
        return 1;
    return p->quarters >= 4 && !p->links && b->open_left + b->open_right == all->open_left;
}

/* The versions of one side's names in the root all lie below a quarter of the other side's: numbering began again. */
static int begins_again(const struct balance *b)
{
    if (b->root_low_left > b->root_high_left || b->root_low_right > b->root_high_right)
        return 0;
    return 4ull * b->root_high_left < b->root_low_right || 4ull * b->root_high_right < b->root_low_left;
}

/* Each side has room for a file system. An eraseblock has r->block bytes or more. */
static int leaves_two(const struct rule *r, uint32_t at)
{
    uint32_t least = FEWEST_BLOCKS * r->block;
    return at - r->low >= least && r->high - at >= least;
}

static int is_doubtful(const struct rule *r, const struct place *p)
{
    const struct balance *b = &r->balance[p->k], *all = &r->balance[r->count];
    int roots = b->root_names && b->root_names < all->root_names;
    uint32_t fewer = smaller(b->valid, all->valid - b->valid);
    if (p->hard)
        return 1;
    if (p->quarters >= 4 && 2ull * p->links < p->quarters && 2ull * p->quarters >= b->successions)
        return 1;
    if (p->links)
        return 0;
    if (b->weak >= WEAK_DOUBT)
        return 1;
    if (roots && b->successions <= 1 && (begins_again(b) || p->unknown >= larger(r->block, 32768)))
        return 1;
    return roots && b->twins >= 4 && 10ull * b->twins >= 9ull * fewer && leaves_two(r, p->at);
}

/* ---- the places ------------------------------------------------------------------------ */

/* Bytes from one offset to another in pages that are not erased. */
static uint32_t not_erased(const struct survey *v, uint32_t from, uint32_t to)
{
    uint32_t bytes = 0;
    for (uint32_t at = jx_align(from, GRID_MIN_BYTES); at < to; at += GRID_MIN_BYTES) {
        uint32_t end = to - at < GRID_MIN_BYTES ? to : at + GRID_MIN_BYTES;
        bytes += jx_first_used_in(&v->span, at, end) < end ? GRID_MIN_BYTES : 0;
    }
    return bytes;
}

static int is_hard(struct rule *r, uint32_t k, int class)
{
    const struct hard *hard = r->v->hard;
    while (r->hard < r->v->hard_count && hard[r->hard].at < r->seen[k - 1].end)
        r->hard++;
    for (uint32_t i = r->hard; i < r->v->hard_count && hard[i].at <= r->seen[k].at; i++)
        if (hard[i].class_only >> class & 1)
            return 1;
    return 0;
}

/* Where the second of two copies has its first eraseblock; 0: this place does not allow it. */
static uint32_t copy_start(const struct rule *r, uint32_t k)
{
    uint32_t start = r->seen[0].at + r->apart, low = r->seen[k - 1].end;
    return r->apart && r->apart % GRID_MIN_BYTES == 0 && start >= low && start <= r->seen[k].at ? start : 0;
}

static struct place place_at(struct rule *r, uint32_t k)
{
    const struct balance *b = &r->balance[k], *all = &r->balance[r->count];
    uint32_t before = r->seen[k - 1].end, at = r->seen[k].at, open = b->open_left + b->open_right;
    struct place p = {.k = k, .at = at, .gap = at > before ? at - before : 0};
    p.unknown = p.gap >= GRID_MIN_BYTES ? not_erased(r->v, before, at) : 0;
    p.gap -= smaller(p.unknown, p.gap);
    p.quarters = quarters_of(r, b);
    p.links = open > all->open_left ? open - all->open_left : 0;
    p.hard = is_hard(r, k, r->seen[k].class & 1);
    p.score = (int64_t)p.quarters - 4ll * b->residue - 8ll * p.links - 2ll * b->successions;
    return p;
}

/* The first node is of the eraseblock that starts here. */
static int starts_with_content(const struct rule *r, uint32_t k)
{
    if (r->seen[k].type == JX_NODE_CLEANMARKER && k + 1 < r->count && r->seen[k + 1].at - r->seen[k].at < r->block)
        k++;
    return r->seen[k].ino != 0;
}

/* Of two places the better one for a border. */
static int is_better(const struct rule *r, const struct place *p, const struct place *than)
{
    uint32_t step = larger(4, r->count / 16);
    if (p->hard != than->hard)
        return p->hard;
    if (p->score != than->score)
        return p->score > than->score;
    uint32_t falls = r->balance[p->k].falls / step, others = r->balance[than->k].falls / step;
    if (falls != others)
        return falls < others;
    int copied = copy_start(r, p->k) != 0, other = copy_start(r, than->k) != 0;
    if (copied != other)
        return copied;
    uint32_t empty = (p->gap + p->unknown) / r->block, less_empty = (than->gap + than->unknown) / r->block;
    if (empty != less_empty)
        return empty > less_empty;
    int full = starts_with_content(r, p->k), less_full = starts_with_content(r, than->k);
    if (full != less_full)
        return full;
    uint32_t round = p->at & (0u - p->at), less = than->at & (0u - than->at);
    return round != less ? round > less : p->gap > than->gap;
}

struct choice {
    struct place border, doubt; /* k 0: none */
};

static void look_at_grid(struct rule *r, uint32_t grid, struct choice *out)
{
    uint32_t keyed = r->balance[r->count].keyed;
    r->hard = 0;
    for (uint32_t k = 1; k < r->count; k++) {
        uint32_t in_grid = (r->seen[k].at - r->base) % grid == 0;
        int known = r->seen[k].at % GRID_MIN_BYTES == 0 && (is_hard(r, k, r->seen[k].class & 1) || copy_start(r, k));
        if ((!in_grid && !known) || !r->balance[k].keyed || r->balance[k].keyed == keyed)
            continue;
        struct place p = place_at(r, k);
        int fine = grid < USUAL_BLOCK_BYTES && p.quarters < (r->shown ? FINE_GRID_SHOWN : FINE_GRID);
        int certain = !fine && is_border(r, &p);
        struct place *best = certain ? &out->border : &out->doubt;
        if ((certain || is_doubtful(r, &p)) && (!best->k || is_better(r, &p, best)))
            *best = p;
    }
}

static struct border_evidence evidence(const struct rule *r, const struct place *p, int certain)
{
    const struct balance *b = &r->balance[p->k];
    uint32_t start = copy_start(r, p->k);
    return (struct border_evidence){.at = p->at, .start = start ? start : p->at, .low = r->seen[p->k - 1].end, .high = p->at, .twins = b->twins, .weak = b->weak,
                                    .contradictions = b->contradictions + b->doubles, .links = p->links,
                                    .successions = b->successions, .certain = certain};
}

/* ---- seams ------------------------------------------------------------------------------- */

/* Nothing ties what stands in front of an empty eraseblock to what stands behind it, and nothing contradicts. */
static int is_seam(const struct rule *r, uint32_t k, uint32_t last_keyed_end, uint32_t next_keyed)
{
    const struct balance *b = &r->balance[k], *all = &r->balance[r->count];
    uint32_t open = b->open_left + b->open_right;
    return (r->seen[k].at - r->base) % larger(r->block, USUAL_BLOCK_BYTES) == 0 && b->keyed && b->keyed < all->keyed &&
           open <= all->open_left && !b->successions && !b->contradictions && !b->twins && next_keyed >= last_keyed_end &&
           next_keyed - last_keyed_end >= r->block;
}

/* The part with most nodes between two seams is what may be written. */
static void find_seams(const struct rule *r, struct jx_found *part)
{
    uint32_t from = 0, last = 0, most = 0;
    part->own_start = 0;
    part->own_end = 0;
    for (uint32_t k = 1; k <= r->count; k++) {
        last = r->seen[k - 1].ino ? r->seen[k - 1].end : last;
        uint32_t next = k;
        while (next < r->count && !r->seen[next].ino && next - k < 2)
            next++;
        if (k < r->count && !is_seam(r, k, last, next < r->count ? r->seen[next].at : 0))
            continue;
        uint32_t nodes = r->balance[k].keyed - r->balance[from].keyed;
        if (nodes > most) {
            most = nodes;
            part->own_start = from ? r->seen[from].at : 0;
            part->own_end = k < r->count ? last : 0;
        }
        from = k;
    }
}

int jx_next_border(const struct survey *v, uint32_t from, uint32_t to, uint32_t *second, struct border_evidence *why,
                   struct jx_found *part)
{
    struct run run = {v->seen + from, to - from};
    struct balance *balance = malloc(((size_t)run.count + 1) * sizeof(*balance));
    struct rule r = {.v = v, .seen = run.seen, .balance = balance, .count = run.count};
    struct choice choice = {.border = {.k = 0}};
    r.low = from && v->seen[from - 1].end <= run.seen[0].at ? v->seen[from - 1].end : 0;
    r.high = to < v->count && v->seen[to].at > v->seen[to - 1].at ? v->seen[to].at : v->span.bytes_len;
    int err = balance ? jx_balance(&run, balance, &r.apart) : JX_ENOMEM;
    r.block = jx_block_shown(v, from, to, &r.base);
    r.shown = r.block != 0;
    if (!r.shown) {
        r.base = run.seen[0].at % GRID_MIN_BYTES ? run.seen[0].at : 0;
        r.block = uncrossed(v, from, to, r.base);
    }
    uint32_t coarse = larger(r.block, USUAL_BLOCK_BYTES), fine = r.shown ? r.block : GRID_MIN_BYTES;
    if (!err)
        look_at_grid(&r, coarse, &choice);
    if (!err && fine < coarse && !choice.border.k && !choice.doubt.k)
        look_at_grid(&r, fine, &choice);
    *why = (struct border_evidence){.at = 0};
    *second = to;
    if (!err && choice.border.k) {
        *second = from + choice.border.k;
        *why = evidence(&r, &choice.border, 1);
    } else if (!err && choice.doubt.k) {
        *why = evidence(&r, &choice.doubt, 0);
    } else if (!err) {
        find_seams(&r, part);
    }
    free(balance);
    return err;
}
