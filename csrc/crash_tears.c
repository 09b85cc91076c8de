/* crash_tears.c: the catalogue of tears. Which there are depends on the operation's kind, place and
 * length alone; nothing landed is always number 0, and the whole operation is never among
 * them: that is number 0 of the next cut.
 */
#include <string.h>
#include "crash.h"

struct cursor {
    uint32_t index, seen;
    struct jx_tear *out;
};

static void emit(struct cursor *c, struct jx_tear tear)
{
    if (c->seen++ == c->index)
        *c->out = tear;
}

static void emit_one(struct cursor *c, struct jx_change a)
{
    emit(c, (struct jx_tear){ .change = { a }, .count = 1 });
}

static void emit_two(struct cursor *c, struct jx_change a, struct jx_change b)
{
    emit(c, (struct jx_tear){ .change = { a, b }, .count = 2 });
}

static struct jx_change landed(uint32_t from, uint32_t to)
{
    return (struct jx_change){ .from = from, .to = to, .kind = JX_LANDED };
}

/* Prefix p landed, and b after it. */
static void emit_after(struct cursor *c, uint32_t p, struct jx_change b)
{
    if (p)
        emit_two(c, landed(0, p), b);
    else
        emit_one(c, b);
}

/* ---- programs -------------------------------------------------------------- */

enum { STEP = 256, SHORT_PROG = 256, LONG_PROG = 1024, EDGE = 128, WORD = 4 };

static uint32_t min32(uint32_t a, uint32_t b) { return a < b ? a : b; }

static uint32_t quarter(uint32_t len)
{
    uint32_t q = (len + 3) / 4;
    return len >= 4 * WORD ? (q + WORD - 1) / WORD * WORD : q;
}

static uint32_t word_end(const struct jx_sim_op *op, uint32_t p) { return p + WORD - (op->off + p) % WORD; }

/* The tear point after p; len where there is none. Bytes of short programs and of OOB, else words of
 * NOR (of a long program only those of both ends, and steps between), steps of paged kinds. */
static uint32_t next_point(const struct jx_geometry *g, const struct jx_sim_op *op, uint32_t p)
{
    uint32_t next;
    if (op->kind == JX_SIM_OOB)
        next = p + 1;
    else if (jx_is_paged(g))
        next = p + (op->len > STEP ? STEP : quarter(op->len));
    else if (op->len < SHORT_PROG)
        next = p + 1;
    else if (op->len <= LONG_PROG || p < EDGE || p >= op->len - EDGE)
        next = word_end(op, p);
    else
        next = min32((p / STEP + 1) * STEP, op->len - EDGE);
    return min32(next, op->len);
}

static void prefixes(struct cursor *c, const struct jx_geometry *g, const struct jx_sim_op *op)
{
    for (uint32_t p = next_point(g, op, 0); p < op->len; p = next_point(g, op, p))
        emit_one(c, landed(0, p));
}

/* What a prefix leaves out is programmed in some bits; on NOR also with only the word under way in
 * that state and nothing behind it. */
static void half_bits(struct cursor *c, const struct jx_geometry *g, const struct jx_sim_op *op)
{
    for (uint32_t p = 0; p < op->len; p = next_point(g, op, p)) {
        struct jx_change half = { .from = p, .to = op->len, .kind = JX_HALF };
        for (half.mask = 0; half.mask < JX_MASKS; half.mask++)
            emit_after(c, p, half);
        half.to = word_end(op, p);
        if (jx_is_paged(g) || (op->off + p) % WORD || half.to >= op->len)
            continue;
        for (half.mask = 0; half.mask < JX_MASKS; half.mask += 2)
            emit_after(c, p, half);
    }
}

static void out_of_order(struct cursor *c, const struct jx_sim_op *op)
{
    uint32_t len = op->len, step = len < LONG_PROG ? quarter(len) : (uint32_t)STEP, half = len / 2;
    for (uint32_t b = step; b < len; b += step)
        emit_one(c, landed(b, len));
    for (uint32_t b = step; b + step < len; b += step)
        emit_two(c, landed(0, b), landed(b + step, len));
    if (half == 0)
        return;
    emit_one(c, landed(0, half));
    if (half % step)
        emit_one(c, landed(half, len));
}

/* ---- erases ---------------------------------------------------------------- */

enum { HEADER = 12, ZERO_PREFIX_MAX = 64, ERASE_WAYS = 4 };

/* Ways an erase leaves the data: untouched, all erased, each half, mixed bits. */
static struct jx_tear erase_way(uint32_t way, uint32_t len)
{
    struct jx_change a = { .from = 0, .to = len, .kind = JX_ERASED };
    if (way == 0)
        return (struct jx_tear){ .count = 0 };
    if (way == 2)
        a.to = len / 2;
    if (way == 3)
        a.from = len / 2;
    if (way >= ERASE_WAYS) {
        a.kind = JX_RISEN;
        a.mask = way - ERASE_WAYS;
    }
    return (struct jx_tear){ .change = { a }, .count = 1 };
}

/* Each way of the data with each fate of the OOB, but for untouched and whole. */
static void half_erased(struct cursor *c, const struct jx_geometry *g, uint32_t len)
{
    enum jx_oob_fate last = g->oob_avail_bytes ? JX_OOB_RISEN : JX_OOB_KEPT;
    for (uint32_t way = 0; way < ERASE_WAYS + JX_MASKS; way++) {
        for (enum jx_oob_fate oob = JX_OOB_KEPT; oob <= last; oob++) {
            int untouched = way == 0 && oob == JX_OOB_KEPT;
            int whole = way == 1 && (oob == JX_OOB_ERASED || !g->oob_avail_bytes);
            struct jx_tear tear = erase_way(way, len);
            tear.oob = oob;
            if (!untouched && !whole)
                emit(c, tear);
        }
    }
}

static void zeroed(struct cursor *c, uint32_t to)
{
    emit_one(c, (struct jx_change){ .from = 0, .to = to, .kind = JX_ZEROED });
}

static void torn_erase(struct cursor *c, const struct jx_geometry *g, uint32_t len)
{
    half_erased(c, g, len);
    emit_one(c, (struct jx_change){ .from = 0, .to = HEADER, .kind = JX_ERASED });
    if (jx_is_nand(g)) {
        zeroed(c, HEADER);
        return;
    }
    for (uint32_t to = WORD; to <= ZERO_PREFIX_MAX; to += WORD)
        zeroed(c, to);
    for (uint32_t part = 1; part <= 4; part++)
        zeroed(c, len / 4 * part);
}

/* ---------------------------------------------------------------------------- */

uint32_t jx_tear_pick(const struct jx_geometry *g, const struct jx_sim_op *op, uint32_t faults, uint32_t index,
                      struct jx_tear *out)
{
    struct cursor c = { .index = index, .out = out };
    emit(&c, (struct jx_tear){ .count = 0 });
    if (op->kind == JX_SIM_PROG || op->kind == JX_SIM_OOB) {
        if (faults & JX_F2_PREFIX)
            prefixes(&c, g, op);
        if (faults & JX_F3_BITS)
            half_bits(&c, g, op);
        if (faults & JX_F4_ORDER)
            out_of_order(&c, op);
    }
    if (op->kind == JX_SIM_ERASE && faults & JX_F5_ERASE)
        torn_erase(&c, g, op->len);
    return c.seen;
}
