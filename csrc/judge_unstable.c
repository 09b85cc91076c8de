/* judge_unstable.c: the operation under way at the cut reads otherwise each time (F6): every schedule of three readings.
 *
 * A schedule is followed as far as it is asked: where a mount reads the place once, three schedules are all there are. */
#include "judge.h"

/* The next one, of which the first `reads` digits differ from this; JX_UNSTABLE_SCHEDULES: there is none. */
static uint32_t next_schedule(uint32_t schedule, uint32_t reads)
{
    uint32_t place = 1, asked = reads < JX_UNSTABLE_READS ? reads : JX_UNSTABLE_READS;
    for (uint32_t i = 0; i < asked; i++, place *= JX_READINGS) {
        if (schedule / place % JX_READINGS + 1 < JX_READINGS)
            return schedule + place;
        schedule -= (JX_READINGS - 1) * place;
    }
    return JX_UNSTABLE_SCHEDULES;
}

static int is_constant(uint32_t schedule) { return schedule % (1 + JX_READINGS + JX_READINGS * JX_READINGS) == 0; }

/* The state before the cut operation, which wavers. */
static int start(jx_judge *j, uint32_t cut, uint32_t schedule, jx_flash *out)
{
    uint32_t tears;
    int err = jx_crash_tears(j->sim, cut, JX_F6_UNSTABLE, &tears);
    j->out->unstable++;
    if (err)
        return err;
    return jx_crash_build(j->sim, cut, JX_F6_UNSTABLE, tears > 1 ? 1 + schedule : 0, out); /* a sync: all is stable */
}

/* ---- a mount ------------------------------------------------------------------- */

/* *seen: a bit for each enum jx_tree. */
static int look_once(jx_judge *j, uint32_t cut, uint32_t reader, uint32_t schedule, uint32_t *seen)
{
    struct jx_failure where = jx_judge_at(cut, 0);
    uint32_t tree;
    where.schedule = schedule;
    int err = start(j, cut, schedule, j->crash);
    if (!err)
        err = jx_view_look_plainly(j->view, j->crash, &j->readers[reader], &tree);
    if (err)
        return err;
    uint32_t kind = jx_judge_order(j, tree, reader, cut);
    if (kind == JX_FAIL_THIRD && !is_constant(schedule))
        j->out->wavering++;
    else {
        *seen |= 1u << tree;
        if (kind)
            jx_judge_fail(j, where, kind, reader, 0);
    }
    return JX_OK;
}

static int judge_mounts(jx_judge *j, uint32_t cut)
{
    uint32_t seen = 0;
    int err = JX_OK;
    for (uint32_t r = 0; r < j->reader_count; r++)
        for (uint32_t s = 0; s < JX_UNSTABLE_SCHEDULES && !err;) {
            err = look_once(j, cut, r, s, &seen);
            s = next_schedule(s, jx_flash_unstable_reads(j->crash));
        }
    j->out->states++;
    j->out->distinct++;
    j->out->all_old += seen == 1u << JX_TREE_OLD;
    j->out->all_new += seen == 1u << JX_TREE_NEW;
    j->out->any_third += seen >> JX_TREE_THIRD & 1;
    return err;
}

/* ---- recover ------------------------------------------------------------------- */

/* After recover all readings show the same tree: the one of *trees where that is known. */
static int check_shown(jx_judge *j, jx_flash *flash, uint64_t *trees, struct jx_failure where)
{
    struct jx_keyed *record;
    int err = jx_judge_record(j, flash, &record);
    for (uint32_t r = 0; !err && r < j->reader_count; r++) {
        uint32_t tree = jx_tree_of(record->value, r), kind = jx_judge_order(j, tree, r, where.cut);
        if (!kind && *trees && tree != jx_tree_of(*trees, r))
            kind = JX_FAIL_CHANGED;
        if (kind)
            jx_judge_fail(j, where, kind, r, 0);
    }
    if (!err && !*trees)
        *trees = record->value & JX_TREES_MASK;
    return err;
}

static int check_readings(jx_judge *j, jx_flash *flash, uint64_t *trees, struct jx_failure where)
{
    struct jx_memory *m = jx_memory_of(flash);
    int err = JX_OK;
    if (!m->unstable)
        return check_shown(j, flash, trees, where);
    for (uint32_t reading = 0; reading < JX_READINGS && !err; reading++) {
        jx_unstable_show(m, reading);
        err = check_shown(j, flash, trees, where);
    }
    return err;
}

/* Recover, and every reader; recover once more, and every reader again. */
static int recover_once(jx_judge *j, uint32_t cut, uint32_t schedule, uint32_t *reads)
{
    struct jx_failure where = jx_judge_at(cut, 0);
    jx_flash *flash = j->level[0];
    uint64_t trees = 0;
    where.schedule = schedule;
    int err = start(j, cut, schedule, flash);
    if (!err)
        err = jx_judge_run_recover(j, flash, where);
    *reads = jx_flash_unstable_reads(flash);
    if (!err)
        err = check_readings(j, flash, &trees, where);
    if (!err) /* what is unstable still may show it work to do */
        err = jx_memory_of(flash)->unstable ? jx_judge_run_recover(j, flash, where) : jx_judge_idle(j, flash, where);
    return err ? err : check_readings(j, flash, &trees, where);
}

static int judge_recoveries(jx_judge *j, uint32_t cut)
{
    uint32_t reads;
    int err = JX_OK;
    for (uint32_t s = 0; s < JX_UNSTABLE_SCHEDULES && !err; s = next_schedule(s, reads))
        err = recover_once(j, cut, s, &reads);
    return err;
}

int jx_judge_unstable(jx_judge *j, uint32_t cut)
{
    int err = j->level[0] ? JX_OK : jx_sim_open(&j->sim->geo, NULL, &j->level[0]);
    if (!err)
        err = judge_mounts(j, cut);
    return err ? err : judge_recoveries(j, cut);
}
