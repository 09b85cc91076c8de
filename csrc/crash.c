/* crash.c: makes a device hold what a power cut left.
 *
 * A device that was built keeps a base: the content before the operation under way. The next
 * build moves the base on by the operations between, copies to the device the eraseblocks in
 * which it differs, and tears the operation there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crash.h"

/* ---- the base -------------------------------------------------------------- */

static void apply(struct jx_content *c, const struct jx_geometry *g, const struct jx_sim *s, uint32_t index)
{
    const struct jx_sim_entry *e = &s->entries[index];
    const uint8_t *data = s->data + e->data_at;
    switch (e->op.kind) {
    case JX_SIM_PROG:
        jx_content_prog(c, e->op.off, data, e->op.len);
        break;
    case JX_SIM_OOB:
        jx_content_oob_prog(c, g, e->op.off, data, e->op.len);
        break;
    case JX_SIM_ERASE:
        jx_content_erase(c, g, e->op.off);
        break;
    case JX_SIM_BAD:
        c->bad[e->op.off / g->erase_size_bytes] = 1;
        break;
    default:
        break;
    }
}

static void mark_off_base(struct jx_memory *m, const struct jx_sim_op *op)
{
    if (op->kind == JX_SIM_SYNC)
        return;
    uint32_t size = m->geo.erase_size_bytes, last = (op->off + (op->len ? op->len - 1 : 0)) / size;
    for (uint32_t b = op->off / size; b <= last; b++)
        m->flags[b] |= JX_OFF_BASE;
}

/* The base becomes the start of the log. */
static void rewind_base(struct jx_memory *m, const struct jx_sim *s)
{
    for (uint32_t b = 0; b < jx_block_count(&m->geo); b++) {
        if (jx_content_same_block(&m->base->content, &s->start, &m->geo, b))
            continue;
        jx_content_copy_block(&m->base->content, &s->start, &m->geo, b);
        m->flags[b] |= JX_OFF_BASE;
    }
    m->base->cut = 0;
    m->base->fingerprint = s->entries[0].fingerprint;
}

static int open_base(struct jx_memory *m, const struct jx_sim *s)
{
    struct jx_base *base = calloc(1, sizeof *base);
    if (!base)
        return JX_ENOMEM;
    int err = jx_content_open(&base->content, &m->geo);
    if (err) {
        free(base);
        return err;
    }
    m->base = base;
    for (uint32_t b = 0; b < jx_block_count(&m->geo); b++)
        m->flags[b] |= JX_OFF_BASE;
    rewind_base(m, s);
    return JX_OK;
}

static int move_base(struct jx_memory *m, const struct jx_sim *s, uint32_t cut)
{
    int err = m->base ? JX_OK : open_base(m, s);
    if (err)
        return err;
    struct jx_base *base = m->base;
    if (base->cut > cut || base->fingerprint != s->entries[base->cut].fingerprint)
        rewind_base(m, s);
    for (uint32_t i = base->cut; i < cut; i++) {
        apply(&base->content, &m->geo, s, i);
        mark_off_base(m, &s->entries[i].op);
    }
    base->cut = cut;
    base->fingerprint = s->entries[cut].fingerprint;
    return JX_OK;
}

static void copy_base(struct jx_memory *m)
{
    const struct jx_geometry *g = &m->geo;
    for (uint32_t b = 0; b < jx_block_count(g); b++) {
        if (!(m->flags[b] & JX_OFF_BASE))
            continue;
        jx_content_copy_block(&m->now, &m->base->content, g, b);
        jx_memory_touch_raw(m, b * g->erase_size_bytes, 1);
        m->flags[b] &= (uint8_t)~JX_OFF_BASE;
    }
}

/* ---- the tear -------------------------------------------------------------- */

/* Eight bytes of a mask, the lowest first: two that alternate, and two that are random but the same in
 * every run. */
static uint64_t mask_word(unsigned mask, uint32_t index)
{
    static const uint64_t even[] = { 0x5555555555555555u, 0xaaaaaaaaaaaaaaaau };
    return mask < 2 ? even[mask] : jx_hash_mix((uint64_t)mask << 32 | index);
}

/* off: where p is on the medium, so that the mask is the same wherever a tear starts. */
static void mix_bits(uint8_t *p, uint32_t off, const uint8_t *data, const struct jx_change *a)
{
    uint64_t word = 0;
    for (uint32_t i = a->from; i < a->to; i++) {
        uint32_t at = off + i;
        if (i == a->from || at % 8 == 0)
            word = mask_word(a->mask, at / 8);
        uint8_t mask = (uint8_t)(word >> at % 8 * 8);
        if (a->kind == JX_HALF)
            p[i] &= data[i] | mask;
        else
            p[i] |= mask;
    }
}

static void change_bytes(uint8_t *p, uint32_t off, const uint8_t *data, const struct jx_change *a)
{
    switch (a->kind) {
    case JX_LANDED:
        for (uint32_t i = a->from; i < a->to; i++)
            p[i] &= data[i];
        break;
    case JX_HALF:
    case JX_RISEN:
        mix_bits(p, off, data, a);
        break;
    case JX_ERASED:
        memset(p + a->from, 0xff, a->to - a->from);
        break;
    case JX_ZEROED:
        memset(p + a->from, 0, a->to - a->from);
        break;
    }
}

static void change_oob(struct jx_memory *m, uint32_t off, enum jx_oob_fate fate)
{
    struct jx_change a = { .from = 0, .to = jx_oob_per_block(&m->geo), .kind = JX_ERASED, .mask = JX_OOB_MASK };
    if (fate == JX_OOB_KEPT)
        return;
    if (fate == JX_OOB_RISEN)
        a.kind = JX_RISEN;
    change_bytes(jx_oob_at(&m->now, &m->geo, off), off, NULL, &a);
}

static void apply_tear(struct jx_memory *m, const struct jx_sim_entry *e, const uint8_t *data,
                       const struct jx_tear *tear)
{
    int in_oob = e->op.kind == JX_SIM_OOB;
    uint8_t *p = in_oob ? jx_oob_at(&m->now, &m->geo, e->op.off) : m->now.bytes + e->op.off;
    for (unsigned i = 0; i < tear->count; i++) {
        const struct jx_change *a = &tear->change[i];
        if (a->kind == JX_ZEROED && jx_is_paged(&m->geo) && jx_all_ff(p + a->from, a->to - a->from))
            continue; /* no such erase clears bits: a header that stands there is gone, but out of nothing comes nothing */
        change_bytes(p, e->op.off, data, a);
    }
    if (e->op.kind == JX_SIM_ERASE)
        change_oob(m, e->op.off, tear->oob);
    jx_memory_touch_raw(m, e->op.off, in_oob ? 1 : e->op.len);
}

/* ---- unstable -------------------------------------------------------------- */

#define BETWEEN_MASK 2u /* JX_HALF and JX_RISEN: a seeded one */

/* The readings of len bytes that waver at off; data: what was programmed, NULL: erased. */
static void fill_readings(uint8_t *const readings[JX_READINGS], uint32_t off, const uint8_t *data, uint32_t len)
{
    struct jx_change whole = { .from = 0, .to = len, .kind = data ? JX_LANDED : JX_ERASED };
    struct jx_change part = { .from = 0, .to = len, .kind = data ? JX_HALF : JX_RISEN, .mask = BETWEEN_MASK };
    change_bytes(readings[JX_READ_AFTER], off, data, &whole);
    change_bytes(readings[JX_READ_BETWEEN], off, data, &part);
}

static int waver(struct jx_memory *m, const struct jx_sim_op *op, const uint8_t *data, uint32_t schedule)
{
    const struct jx_geometry *g = &m->geo;
    int err = JX_OK, erase = op->kind == JX_SIM_ERASE;
    if (op->kind == JX_SIM_PROG || erase)
        err = jx_unstable_add(m, 0, op->off, op->len);
    uint32_t oob_len = erase ? jx_oob_per_block(g) : op->kind == JX_SIM_OOB ? op->len : 0;
    if (!err && oob_len)
        err = jx_unstable_add(m, 1, (uint32_t)(jx_oob_at(&m->now, g, op->off) - m->now.oob), oob_len);
    if (err)
        return err;
    m->unstable->schedule = schedule;
    if (m->unstable->len)
        fill_readings(m->unstable->bytes, op->off, erase ? NULL : data, op->len);
    if (oob_len)
        fill_readings(m->unstable->oob, op->off, erase ? NULL : data, oob_len);
    return JX_OK;
}

/* ---- the interface --------------------------------------------------------- */

static int can_waver(const struct jx_sim_op *op)
{
    return op->kind == JX_SIM_PROG || op->kind == JX_SIM_OOB || op->kind == JX_SIM_ERASE;
}

/* After the last operation nothing is under way: one tear, nothing. */
static uint32_t pick(const struct jx_sim *s, uint32_t cut, uint32_t faults, uint32_t index, struct jx_tear *tear)
{
    struct jx_sim_op none = { .kind = JX_SIM_SYNC };
    const struct jx_sim_op *op = cut < s->op_count ? &s->entries[cut].op : &none;
    if (faults == JX_F6_UNSTABLE)
        return can_waver(op) ? 1 + JX_UNSTABLE_SCHEDULES : 1;
    return jx_tear_pick(&s->memory.geo, op, faults, index, tear);
}

int jx_crash_tears(const jx_flash *sim, uint32_t cut, uint32_t faults, uint32_t *count)
{
    const struct jx_sim *s = jx_sim_of(sim);
    struct jx_tear tear;
    if (!s || cut > s->op_count)
        return JX_EINVAL;
    *count = pick(s, cut, faults, 0, &tear);
    return JX_OK;
}

static int same_geometry(const struct jx_geometry *a, const struct jx_geometry *b)
{
    return a->kind == b->kind && a->size_bytes == b->size_bytes && a->erase_size_bytes == b->erase_size_bytes &&
           a->write_size_bytes == b->write_size_bytes && a->subpage_size_bytes == b->subpage_size_bytes &&
           a->oob_avail_bytes == b->oob_avail_bytes;
}

int jx_crash_build(const jx_flash *sim, uint32_t cut, uint32_t faults, uint32_t tear, jx_flash *out)
{
    const struct jx_sim *s = jx_sim_of(sim);
    struct jx_memory *m = jx_memory_of(out);
    struct jx_tear picked;
    if (!s || !m || sim == out || cut > s->op_count || tear >= pick(s, cut, faults, tear, &picked))
        return JX_EINVAL;
    if (!same_geometry(&sim->geo, &out->geo))
        return JX_EGEOMETRY;
    int err = move_base(m, s, cut);
    if (err)
        return err;
    jx_unstable_free(m);
    m->unstable_reads = 0;
    out->worn_count = 0;
    copy_base(m);
    const struct jx_sim_entry *e = &s->entries[cut];
    if (tear && faults == JX_F6_UNSTABLE)
        err = waver(m, &e->op, s->data + e->data_at, tear - 1);
    else if (tear)
        apply_tear(m, e, s->data + e->data_at, &picked);
    return !err && jx_sim_of(out) ? jx_sim_restart(out) : err;
}

/* ---- in words -------------------------------------------------------------- */

struct text {
    char *buf;
    size_t room;
};

static void say(struct text *t, int printed)
{
    size_t n = printed < 0 ? 0 : (size_t)printed;
    if (n >= t->room)
        n = t->room - 1;
    t->buf += n;
    t->room -= n;
}

static void say_change(struct text *t, const struct jx_change *a, uint32_t len, const char *join)
{
    static const char *const masks[JX_MASKS] = { "mask 0x55", "mask 0xaa", "seed 1", "seed 2" };
    static const char *const words[] = { "landed", "half-programmed", "erased", "half-erased", "zeroed" };
    if (a->kind == JX_LANDED && a->from == 0)
        say(t, snprintf(t->buf, t->room, "%sprefix %u", join, a->to));
    else if (a->kind == JX_LANDED && a->to == len)
        say(t, snprintf(t->buf, t->room, "%ssuffix from %u", join, a->from));
    else
        say(t, snprintf(t->buf, t->room, "%s%u..%u %s", join, a->from, a->to, words[a->kind]));
    if (a->kind == JX_HALF || a->kind == JX_RISEN)
        say(t, snprintf(t->buf, t->room, " (%s)", masks[a->mask]));
}

static void say_schedule(struct text *t, uint32_t schedule)
{
    static const char *const readings[JX_READINGS] = { "before", "after", "between" };
    for (uint32_t i = 0; i < JX_UNSTABLE_READS; i++, schedule /= JX_READINGS)
        say(t, snprintf(t->buf, t->room, "%s%s", i ? ", " : "read as ", readings[schedule % JX_READINGS]));
}

int jx_crash_describe(const jx_flash *sim, uint32_t cut, uint32_t faults, uint32_t tear, char *buf, uint32_t len)
{
    static const char *const names[] = { "prog", "erase", "oob", "sync", "bad" };
    const struct jx_sim *s = jx_sim_of(sim);
    struct text t = { buf, len };
    struct jx_tear picked;
    if (!s || cut > s->op_count || len == 0 || tear >= pick(s, cut, faults, tear, &picked))
        return JX_EINVAL;
    if (cut == s->op_count) {
        say(&t, snprintf(t.buf, t.room, "after the last operation"));
        return JX_OK;
    }
    const struct jx_sim_op *op = &s->entries[cut].op;
    say(&t, snprintf(t.buf, t.room, "%s 0x%x+%u: ", names[op->kind], op->off, op->len));
    if (tear == 0)
        say(&t, snprintf(t.buf, t.room, "nothing"));
    if (tear && faults == JX_F6_UNSTABLE) {
        say_schedule(&t, tear - 1);
        return JX_OK;
    }
    for (unsigned i = 0; i < picked.count; i++)
        say_change(&t, &picked.change[i], op->len, i ? ", " : "");
    if (tear && op->kind == JX_SIM_ERASE && sim->geo.oob_avail_bytes) {
        static const char *const fates[] = { "OOB kept", "OOB erased", "OOB half-erased" };
        say(&t, snprintf(t.buf, t.room, "%s%s", picked.count ? ", " : "", fates[picked.oob]));
    }
    return JX_OK;
}
