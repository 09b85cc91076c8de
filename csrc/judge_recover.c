/* judge_recover.c: what jx_recover makes of a crash state, and of a cut inside it, and of one inside that (F7). */
#include "judge.h"

static uint64_t work_done(const jx_flash *flash)
{
    struct jx_flash_stats s;
    jx_flash_statistics(flash, &s);
    return s.programs + s.erases;
}

static int check_trees(jx_judge *j, jx_flash *flash, uint64_t expected, struct jx_failure where,
                       struct jx_keyed **record)
{
    int err = jx_judge_record(j, flash, record);
    for (uint32_t r = 0; !err && r < j->reader_count; r++)
        if (jx_tree_of((*record)->value, r) != jx_tree_of(expected, r))
            jx_judge_fail(j, where, JX_FAIL_CHANGED, r, 0);
    return err;
}

int jx_judge_run_recover(jx_judge *j, jx_flash *flash, struct jx_failure where)
{
    struct jx_recovery recovery;
    int err = jx_recover(flash, &j->recoverer, &recovery);
    if (err && err != JX_ENOMEM)
        jx_judge_fail(j, where, JX_FAIL_RECOVER, 0, err);
    return err == JX_ENOMEM ? err : JX_OK;
}

static int check_settled(jx_judge *j, jx_flash *flash, struct jx_failure where)
{
    jx_fs *fs;
    struct jx_status status;
    int err = jx_fs_open(flash, &j->recoverer, &fs);
    if (err == JX_ENOMEM)
        return err;
    if (err) {
        jx_judge_fail(j, where, JX_FAIL_RECOVER, 0, err);
        return JX_OK;
    }
    jx_fs_status(fs, &status);
    jx_fs_close(fs);
    if (status.state != JX_TXN_NONE && status.state != JX_TXN_SETTLED)
        jx_judge_fail(j, where, JX_FAIL_UNSETTLED, 0, 0);
    return JX_OK;
}

int jx_judge_idle(jx_judge *j, jx_flash *flash, struct jx_failure where)
{
    uint64_t before = work_done(flash);
    int err = jx_judge_run_recover(j, flash, where);
    if (err)
        return err;
    if (work_done(flash) != before)
        jx_judge_fail(j, where, JX_FAIL_AGAIN, 0, 0);
    return check_settled(j, flash, where);
}

static int judge_inside(jx_judge *j, uint32_t outer, uint32_t faults, uint64_t trees, struct jx_failure where);

/* Recover on level's flash, whose record this is; with another cut of these faults in it; and again, with nothing left
 * to do. */
static int recover_all(jx_judge *j, uint32_t level, uint32_t faults, struct jx_keyed *record, struct jx_failure where)
{
    jx_flash *flash = j->level[level];
    uint64_t trees = record->value & JX_TREES_MASK;
    j->out->recovered += !(record->value & JX_RECOVERED);
    record->value |= JX_RECOVERED;
    int err = jx_judge_run_recover(j, flash, where);
    if (!err)
        err = check_trees(j, flash, trees, where, &record);
    if (!err && faults)
        err = judge_inside(j, level, faults, trees, where);
    return err ? err : jx_judge_idle(j, flash, where);
}

/* A cut inside the recover that was logged on level `outer`, and recover after it. */
static int judge_inner(jx_judge *j, uint32_t outer, uint32_t faults, uint32_t cut, uint32_t tear, uint64_t trees,
                       struct jx_failure where)
{
    struct jx_keyed *record;
    uint32_t level = outer + 1, every = j->options.third_cuts;
    int err = jx_crash_build(j->level[outer], cut, faults, tear, j->level[level]);
    *(outer ? &where.third_cut : &where.inner_cut) = cut;
    *(outer ? &where.third_tear : &where.inner_tear) = tear;
    *(outer ? &j->out->third : &j->out->inner) += 1;
    if (!err)
        err = check_trees(j, j->level[level], trees, where, &record);
    if (err)
        return err;
    j->out->inner_distinct += !(record->value & JX_COUNTED);
    record->value |= JX_COUNTED;
    if (record->value & JX_RECOVERED)
        return JX_OK;
    int third = outer == 0 && every && j->third_turn++ % every == 0;
    return recover_all(j, level, third ? j->options.inner_faults : 0, record, where);
}

static int judge_inside(jx_judge *j, uint32_t outer, uint32_t faults, uint64_t trees, struct jx_failure where)
{
    uint32_t ops = jx_sim_op_count(j->level[outer]), tears;
    int err = JX_OK;
    for (uint32_t cut = 0; cut <= ops && !err; cut++) {
        err = jx_crash_tears(j->level[outer], cut, faults, &tears);
        for (uint32_t tear = 0; tear < tears && !err; tear++)
            err = judge_inner(j, outer, faults, cut, tear, trees, where);
    }
    return err;
}

int jx_judge_recover(jx_judge *j, uint32_t cut, uint32_t tear, struct jx_keyed *record)
{
    uint32_t every = j->options.inner_tears, faults = j->options.inner_faults;
    if (tear && every && j->inner_turn++ % every != 0)
        faults &= JX_F1_CUT;
    record->value |= JX_CUT_AGAIN;
    int err = jx_crash_build(j->sim, cut, j->faults, tear, j->level[0]);
    return err ? err : recover_all(j, 0, faults, record, jx_judge_at(cut, tear));
}
