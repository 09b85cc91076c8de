/* flash_sim.c: a memory device that writes down what is done to it. */
#include <stdlib.h>
#include <string.h>
#include "flash_memory.h"

/* ---- the log --------------------------------------------------------------- */

/* Room for one more operation with len bytes of data, so that recording cannot fail. */
static int reserve(struct jx_sim *s, uint32_t len)
{
    if (s->op_count + 2 > s->op_room) {
        uint32_t room = s->op_room ? s->op_room * 2 : 64;
        if (room < s->op_room)
            return JX_ENOMEM;
        struct jx_sim_entry *entries = realloc(s->entries, room * sizeof *entries);
        if (!entries)
            return JX_ENOMEM;
        s->entries = entries;
        s->op_room = room;
    }
    if (len > s->data_room - s->data_len) {
        size_t room = (s->data_len + len) * 2;
        uint8_t *data = realloc(s->data, room);
        if (!data)
            return JX_ENOMEM;
        s->data = data;
        s->data_room = room;
    }
    return JX_OK;
}

static void record(struct jx_sim *s, uint32_t kind, uint32_t off, uint32_t len, const uint8_t *data)
{
    struct jx_sim_entry *e = &s->entries[s->op_count++];
    uint64_t hash[2] = { 0, 0 };
    e->op = (struct jx_sim_op){ .kind = kind, .off = off, .len = len };
    e->data_at = s->data_len;
    if (data) {
        memcpy(s->data + s->data_len, data, len);
        s->data_len += len;
        jx_hash_bytes(data, len, 0, hash);
    }
    e[1].fingerprint = jx_hash_mix(e->fingerprint + jx_hash_mix(kind + ((uint64_t)off << 32 | len)) + hash[0]);
}

/* ---- the device ------------------------------------------------------------ */

/* Before each operation that changes the medium. */
static int spend_power(struct jx_sim *s)
{
    if (s->cut_left == 0)
        s->dead = 1;
    else if (s->cut_left != JX_NO_CUT)
        s->cut_left--;
    return s->dead ? JX_ECUT : JX_OK;
}

/* Whether the operation at off fails for good: its block has worn out. */
static int wears_out(struct jx_sim *s, uint32_t off)
{
    uint32_t block = off / s->memory.geo.erase_size_bytes;
    if (s->fail_left == 0)
        s->broken = block;
    if (s->fail_left != JX_NO_CUT)
        s->fail_left--;
    return s->broken == block;
}

/* Whether the operation says that it went well, and did not. */
static int lies(struct jx_sim *s)
{
    int now = s->lie_left == 0;
    if (s->lie_left != JX_NO_CUT)
        s->lie_left--;
    return now;
}

/* Before each read. */
static int count_read(struct jx_sim *s)
{
    int fails = s->read_left == 0;
    if (s->dead)
        return JX_ECUT;
    s->reads++;
    if (s->read_left != JX_NO_CUT && !(fails && s->reads_stay_failed))
        s->read_left--; /* from 0 to JX_NO_CUT: it failed once */
    return fails ? JX_EIO : JX_OK;
}

static int sim_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    int err = count_read(ctx);
    return err ? err : jx_memory_read(ctx, off, buf, len);
}

static int program_recorded(struct jx_sim *s, uint32_t off, const void *buf, uint32_t len)
{
    int err = reserve(s, len);
    if (!err)
        err = jx_memory_prog(s, off, buf, len);
    if (!err)
        record(s, JX_SIM_PROG, off, len, buf);
    return err;
}

/* A program that fails, or lies, leaves its first half, in units that can be programmed. */
static int sim_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct jx_sim *s = ctx;
    int err = s->dead ? JX_ECUT : spend_power(s);
    if (err)
        return err;
    int lie = lies(s), worn = wears_out(s, off);
    if (!worn && !lie)
        return program_recorded(s, off, buf, len);
    uint32_t unit = s->memory.geo.subpage_size_bytes, half = len / 2 / unit * unit;
    err = half ? program_recorded(s, off, buf, half) : JX_OK;
    return err || !worn ? err : JX_EIO;
}

static int sim_erase(void *ctx, uint32_t off)
{
    struct jx_sim *s = ctx;
    int err = s->dead ? JX_ECUT : spend_power(s);
    if (!err && wears_out(s, off))
        err = JX_EIO;
    if (!err && lies(s))
        return JX_OK;
    if (!err)
        err = reserve(s, 0);
    if (!err)
        err = jx_memory_erase(ctx, off);
    if (!err)
        record(s, JX_SIM_ERASE, off, s->memory.geo.erase_size_bytes, NULL);
    return err;
}

static int sim_is_bad(void *ctx, uint32_t off)
{
    const struct jx_sim *s = ctx;
    return s->dead ? JX_ECUT : jx_memory_is_bad(ctx, off);
}

static int sim_mark_bad(void *ctx, uint32_t off)
{
    struct jx_sim *s = ctx;
    int err = s->dead ? JX_ECUT : reserve(s, 0);
    if (!err)
        err = jx_memory_mark_bad(ctx, off);
    if (!err)
        record(s, JX_SIM_BAD, off, 0, NULL);
    return err;
}

static int sim_oob_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
    int err = count_read(ctx);
    return err ? err : jx_memory_oob_read(ctx, off, buf, len);
}

static int sim_oob_prog(void *ctx, uint32_t off, const void *buf, uint32_t len)
{
    struct jx_sim *s = ctx;
    int err = s->dead ? JX_ECUT : spend_power(s);
    if (!err)
        err = reserve(s, len);
    if (!err)
        err = jx_memory_oob_prog(ctx, off, buf, len);
    if (!err)
        record(s, JX_SIM_OOB, off, len, buf);
    return err;
}

static int sim_sync(void *ctx)
{
    struct jx_sim *s = ctx;
    int err = s->dead ? JX_ECUT : reserve(s, 0);
    if (!err)
        record(s, JX_SIM_SYNC, 0, 0, NULL);
    return err;
}

static void sim_close(void *ctx)
{
    struct jx_sim *s = ctx;
    jx_memory_shut(&s->memory);
    jx_content_close(&s->start);
    free(s->entries);
    free(s->data);
    free(s);
}

static const struct jx_flash_ops sim_ops = {
    .read = sim_read,
    .prog = sim_prog,
    .erase = sim_erase,
    .is_bad = sim_is_bad,
    .mark_bad = sim_mark_bad,
    .oob_read = sim_oob_read,
    .oob_prog = sim_oob_prog,
    .sync = sim_sync,
    .ecc = jx_memory_ecc,
    .close = sim_close,
};

struct jx_sim *jx_sim_of(const jx_flash *f) { return f->ops == &sim_ops ? f->ctx : NULL; }

int jx_sim_restart(jx_flash *sim)
{
    struct jx_sim *s = jx_sim_of(sim);
    if (!s)
        return JX_EINVAL;
    struct jx_memory *m = &s->memory;
    for (uint32_t b = 0; b < jx_block_count(&m->geo); b++) {
        if (m->flags[b] & JX_OFF_START)
            jx_content_copy_block(&s->start, &m->now, &m->geo, b);
        m->flags[b] &= (uint8_t)~JX_OFF_START;
    }
    uint64_t hash[2];
    jx_memory_hash(m, hash);
    s->op_count = 0;
    s->data_len = 0;
    s->entries[0].fingerprint = hash[0];
    s->cut_left = s->fail_left = s->lie_left = s->broken = s->read_left = JX_NO_CUT;
    s->reads = 0;
    s->dead = 0;
    return JX_OK;
}

int jx_sim_fail_after(jx_flash *sim, uint32_t n)
{
    struct jx_sim *s = jx_sim_of(sim);
    if (!s)
        return JX_EINVAL;
    s->fail_left = n;
    return JX_OK;
}

int jx_sim_lie_after(jx_flash *sim, uint32_t n)
{
    struct jx_sim *s = jx_sim_of(sim);
    if (!s)
        return JX_EINVAL;
    s->lie_left = n;
    return JX_OK;
}

int jx_sim_fail_read_after(jx_flash *sim, uint32_t n, int from_then_on)
{
    struct jx_sim *s = jx_sim_of(sim);
    if (!s)
        return JX_EINVAL;
    s->read_left = n;
    s->reads_stay_failed = from_then_on;
    return JX_OK;
}

uint32_t jx_sim_reads(const jx_flash *sim)
{
    const struct jx_sim *s = jx_sim_of(sim);
    return s ? s->reads : 0;
}

int jx_sim_open(const struct jx_geometry *geo, const void *start, jx_flash **out)
{
    int err = jx_geometry_check(geo);
    if (err)
        return err;
    struct jx_sim *s = calloc(1, sizeof *s);
    if (!s)
        return JX_ENOMEM;
    err = jx_memory_open(&s->memory, geo);
    if (err) {
        free(s);
        return err;
    }
    err = jx_content_open(&s->start, geo);
    if (!err)
        err = reserve(s, 0);
    if (err) {
        sim_close(s);
        return err;
    }
    if (start)
        memcpy(s->memory.now.bytes, start, geo->size_bytes);
    err = jx_flash_new(&sim_ops, s, geo, out);
    return err ? err : jx_sim_restart(*out);
}

int jx_sim_clone(jx_flash *from, jx_flash **out)
{
    jx_flash *sim;
    int err = jx_sim_open(&from->geo, NULL, &sim);
    if (err)
        return err;
    err = jx_memory_fill(sim->ctx, from);
    if (!err)
        err = jx_sim_restart(sim);
    if (err)
        jx_flash_close(sim);
    else
        *out = sim;
    return err;
}

uint32_t jx_sim_op_count(const jx_flash *sim)
{
    const struct jx_sim *s = jx_sim_of(sim);
    return s ? s->op_count : 0;
}

int jx_sim_op_get(const jx_flash *sim, uint32_t index, struct jx_sim_op *out)
{
    const struct jx_sim *s = jx_sim_of(sim);
    if (!s || index >= s->op_count)
        return JX_EINVAL;
    *out = s->entries[index].op;
    return JX_OK;
}

int jx_sim_cut_after(jx_flash *sim, uint32_t n)
{
    struct jx_sim *s = jx_sim_of(sim);
    if (!s)
        return JX_EINVAL;
    s->cut_left = n;
    s->dead = 0;
    return JX_OK;
}
