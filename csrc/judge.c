/* judge.c: every crash of a recorded transaction: which tree stands there, and what jx_recover makes of it. */
#include <stdlib.h>
#include <string.h>
#include "judge.h"

#define MAX_READERS 8u
#define TREE_BITS 3u          /* of a state's record, for each reader */
#define TREE_KINDS (1u << TREE_BITS)
#define RECOVERED (1u << 31)  /* jx_recover was run on this state */
#define COUNTED (1u << 30)
#define TREES_MASK (COUNTED - 1)

struct jx_judge {
    jx_flash *sim;
    struct jx_judge_options options;
    struct jx_reader readers[MAX_READERS];
    uint32_t reader_count, ops;
    uint32_t first_new[MAX_READERS]; /* cut from which on this reader sees the new tree */
    jx_flash *crash;      /* the state judged */
    jx_flash *recovering; /* a simulator: the state, and recover's log on it; NULL where recover is not run */
    jx_flash *inner;      /* a second cut; NULL likewise */
    struct jx_view *view;

    /* of the cuts that are judged */
    uint32_t faults, max;
    struct jx_judgement *out;
    struct jx_failure *failures;
    uint32_t turn[2];     /* states that recover might be run on: of whole operations, of torn ones */
    struct jx_table seen; /* by content: the trees that the readers see, and RECOVERED */
};

static uint32_t tree_of(uint32_t trees, uint32_t reader) { return trees >> (TREE_BITS * reader) & 7u; }

static void fail(jx_judge *j, struct jx_failure what)
{
    if (j->out->failures < j->max)
        j->failures[j->out->failures] = what;
    j->out->failures++;
}

static struct jx_failure at(uint32_t cut, uint32_t tear)
{
    return (struct jx_failure){.cut = cut, .tear = tear, .inner_cut = JX_NONE, .inner_tear = JX_NONE};
}

static struct jx_failure of_kind(struct jx_failure where, uint32_t kind, uint32_t reader, int error)
{
    where.kind = kind;
    where.reader = reader;
    where.error = error;
    return where;
}

/* ---- what the readers see ---------------------------------------------------- */

static int look_with_all(jx_judge *j, jx_flash *flash, uint32_t *trees)
{
    *trees = 0;
    for (uint32_t r = 0; r < j->reader_count; r++) {
        uint32_t tree = JX_TREE_UNKNOWN;
        int err = jx_view_look(j->view, flash, &j->readers[r], &tree);
        if (err)
            return err;
        *trees |= tree << (TREE_BITS * r);
    }
    return JX_OK;
}

/* The record of this state; looked at only where it is new. */
static int look_up(jx_judge *j, jx_flash *flash, struct jx_keyed **record)
{
    uint64_t key[2];
    uint32_t trees;
    jx_memory_hash(jx_memory_of(flash), key);
    *record = jx_table_get(&j->seen, key);
    if (!*record)
        return JX_ENOMEM;
    if ((*record)->value)
        return JX_OK;
    int err = look_with_all(j, flash, &trees);
    (*record)->value = trees;
    return err;
}

/* ---- recover -------------------------------------------------------------------- */

static uint64_t work_done(const jx_flash *flash)
{
    struct jx_flash_stats s;
    jx_flash_statistics(flash, &s);
    return s.programs + s.erases;
}

static int check_trees(jx_judge *j, jx_flash *flash, uint32_t expected, struct jx_failure where)
{
    struct jx_keyed *record;
    int err = look_up(j, flash, &record);
    for (uint32_t r = 0; !err && r < j->reader_count; r++)
        if (tree_of(record->value, r) != tree_of(expected, r))
            fail(j, of_kind(where, JX_FAIL_CHANGED, r, 0));
    return err;
}

static int check_settled(jx_judge *j, jx_flash *flash, struct jx_failure where)
{
    jx_fs *fs;
    struct jx_status status;
    struct jx_reader reader = j->readers[0];
    reader.summary = 1;
    int err = jx_fs_open(flash, &reader, &fs);
    if (err == JX_ENOMEM)
        return err;
    if (err) {
        fail(j, of_kind(where, JX_FAIL_RECOVER, 0, err));
        return JX_OK;
    }
    jx_fs_status(fs, &status);
    jx_fs_close(fs);
    if (status.state != JX_TXN_NONE && status.state != JX_TXN_SETTLED)
        fail(j, of_kind(where, JX_FAIL_UNSETTLED, 0, 0));
    return JX_OK;
}

/* Recover, twice, on a device that holds a state which shows `trees`. */
static int check_recover(jx_judge *j, jx_flash *flash, uint32_t trees, struct jx_failure where)
{
    struct jx_recovery recovery;
    int err = jx_recover(flash, &j->readers[0], &recovery);
    if (err == JX_ENOMEM)
        return err;
    if (err)
        fail(j, of_kind(where, JX_FAIL_RECOVER, 0, err));
    return check_trees(j, flash, trees, where);
}

static int check_idle(jx_judge *j, jx_flash *flash, struct jx_failure where)
{
    struct jx_recovery recovery;
    uint64_t before = work_done(flash);
    int err = jx_recover(flash, &j->readers[0], &recovery);
    if (err == JX_ENOMEM)
        return err;
    if (err)
        fail(j, of_kind(where, JX_FAIL_RECOVER, 0, err));
    else if (work_done(flash) != before)
        fail(j, of_kind(where, JX_FAIL_AGAIN, 0, 0));
    return check_settled(j, flash, where);
}

/* A cut inside recover, and recover after it. */
static int judge_inner(jx_judge *j, uint32_t cut, uint32_t tear, uint32_t trees, struct jx_failure where)
{
    struct jx_keyed *record;
    int err = jx_crash_build(j->recovering, cut, j->options.inner_faults, tear, j->inner);
    where.inner_cut = cut;
    where.inner_tear = tear;
    j->out->inner++;
    if (!err)
        err = check_trees(j, j->inner, trees, where);
    if (!err)
        err = look_up(j, j->inner, &record);
    if (err || record->value & RECOVERED)
        return err;
    record->value |= RECOVERED;
    j->out->recovered++;
    err = check_recover(j, j->inner, trees, where);
    return err ? err : check_idle(j, j->inner, where);
}

static int judge_inner_all(jx_judge *j, uint32_t trees, struct jx_failure where)
{
    uint32_t ops = jx_sim_op_count(j->recovering), tears;
    int err = JX_OK;
    for (uint32_t cut = 0; cut <= ops && !err; cut++) {
        err = jx_crash_tears(j->recovering, cut, j->options.inner_faults, &tears);
        for (uint32_t tear = 0; tear < tears && !err; tear++)
            err = judge_inner(j, cut, tear, trees, where);
    }
    return err;
}

static int judge_recover(jx_judge *j, uint32_t cut, uint32_t tear, uint32_t trees)
{
    struct jx_failure where = at(cut, tear);
    int err = jx_crash_build(j->sim, cut, j->faults, tear, j->recovering);
    j->out->recovered++;
    if (!err)
        err = check_recover(j, j->recovering, trees, where);
    if (!err && j->options.inner_faults)
        err = judge_inner_all(j, trees, where);
    return err ? err : check_idle(j, j->recovering, where);
}

/* ---- one state ---------------------------------------------------------------------- */

static void check_order(jx_judge *j, uint32_t trees, uint32_t cut, uint32_t tear)
{
    for (uint32_t r = 0; r < j->reader_count; r++) {
        uint32_t tree = tree_of(trees, r), kind = 0;
        if (tree == JX_TREE_THIRD)
            kind = JX_FAIL_THIRD;
        else if (tree == JX_TREE_NEW && cut + 1 < j->first_new[r])
            kind = JX_FAIL_EARLY;
        else if (tree == JX_TREE_OLD && cut >= j->first_new[r])
            kind = JX_FAIL_LOST;
        if (kind)
            fail(j, of_kind(at(cut, tear), kind, r, 0));
    }
}

static void count_trees(jx_judge *j, uint32_t trees)
{
    uint32_t seen[TREE_KINDS] = {0};
    j->out->distinct++;
    for (uint32_t r = 0; r < j->reader_count; r++)
        seen[tree_of(trees, r)]++;
    j->out->seen_old += seen[JX_TREE_OLD];
    j->out->seen_new += seen[JX_TREE_NEW];
    j->out->seen_third += seen[JX_TREE_THIRD];
    j->out->all_old += seen[JX_TREE_OLD] == j->reader_count;
    j->out->all_new += seen[JX_TREE_NEW] == j->reader_count;
    j->out->any_third += seen[JX_TREE_THIRD] > 0;
}

static int wants_recover(jx_judge *j, uint32_t tear, uint32_t record)
{
    uint32_t every = tear ? j->options.recover_tears : j->options.recover_cuts;
    return every && !(record & RECOVERED) && j->turn[tear > 0]++ % every == 0;
}

static int judge_state(jx_judge *j, uint32_t cut, uint32_t tear)
{
    struct jx_keyed *record;
    int err = jx_crash_build(j->sim, cut, j->faults, tear, j->crash);
    j->out->states++;
    if (!err)
        err = look_up(j, j->crash, &record);
    if (err)
        return err;
    uint32_t trees = record->value & TREES_MASK;
    check_order(j, trees, cut, tear);
    if (!(record->value & COUNTED))
        count_trees(j, trees);
    record->value |= COUNTED;
    if (!wants_recover(j, tear, record->value))
        return JX_OK;
    record->value |= RECOVERED;
    return judge_recover(j, cut, tear, trees);
}

/* ---- all of them ------------------------------------------------------------------------ */

/* Where each reader sees the new tree from, by halving: a tree that comes and goes shows when its cuts are judged. */
static int find_commit(jx_judge *j, uint32_t reader)
{
    uint32_t low = 0, high = j->ops + 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, tree = JX_TREE_OLD;
        int err = middle <= j->ops ? jx_crash_build(j->sim, middle, JX_F1_CUT, 0, j->crash) : JX_OK;
        if (!err && middle <= j->ops)
            err = jx_view_look(j->view, j->crash, &j->readers[reader], &tree);
        if (err)
            return err;
        if (tree == JX_TREE_NEW)
            high = middle;
        else
            low = middle + 1;
    }
    j->first_new[reader] = low <= j->ops ? low : JX_NONE;
    return JX_OK;
}

/* Whether the operation that shows the new tree lies where it may; told with the cut after it. */
static void check_commit(jx_judge *j, uint32_t from, uint32_t to)
{
    int changes = memcmp(j->options.old_digest, j->options.new_digest, 16) != 0;
    for (uint32_t r = 0; r < j->reader_count; r++) {
        uint32_t cut = j->first_new[r] == JX_NONE ? j->ops : j->first_new[r];
        if (cut < from || cut >= to)
            continue;
        if (j->first_new[r] == JX_NONE) {
            if (changes)
                fail(j, of_kind(at(cut, 0), JX_FAIL_LOST, r, 0));
            continue;
        }
        if (cut <= j->options.prepared)
            fail(j, of_kind(at(cut, 0), JX_FAIL_EARLY, r, 0));
        if (cut > j->options.committed)
            fail(j, of_kind(at(cut, 0), JX_FAIL_LOST, r, 0));
    }
}

int jx_judge_cuts(jx_judge *j, uint32_t faults, uint32_t from, uint32_t to, struct jx_judgement *out,
                  struct jx_failure *failures, uint32_t max)
{
    uint32_t tears;
    int err = to > j->ops + 1 ? JX_EINVAL : JX_OK;
    memset(out, 0, sizeof(*out));
    j->faults = faults;
    j->out = out;
    j->failures = failures;
    j->max = max;
    j->turn[0] = j->turn[1] = 0;
    for (uint32_t r = 0; r < j->reader_count; r++)
        if (j->first_new[r] != JX_NONE && j->first_new[r] > out->commit_cut)
            out->commit_cut = j->first_new[r];
    check_commit(j, from, err ? from : to);
    for (uint32_t cut = from; cut < to && !err; cut++) {
        err = jx_crash_tears(j->sim, cut, faults, &tears);
        for (uint32_t tear = faults & JX_F1_CUT ? 0 : 1; tear < tears && !err; tear++)
            err = judge_state(j, cut, tear);
    }
    jx_table_close(&j->seen);
    return err;
}

int jx_judge_look(jx_judge *j, jx_flash *flash, uint32_t reader, uint32_t *tree)
{
    const struct jx_geometry *ours = &j->sim->geo, *g = &flash->geo;
    if (!jx_memory_of(flash) || reader >= j->reader_count || g->size_bytes != ours->size_bytes ||
        g->erase_size_bytes != ours->erase_size_bytes)
        return JX_EINVAL;
    return jx_view_look(j->view, flash, &j->readers[reader], tree);
}

static int open_devices(jx_judge *j)
{
    int err = jx_flash_open_memory(&j->sim->geo, &j->crash);
    if (!err && (j->options.recover_cuts || j->options.recover_tears))
        err = jx_sim_open(&j->sim->geo, NULL, &j->recovering);
    if (!err && j->recovering && j->options.inner_faults)
        err = jx_flash_open_memory(&j->sim->geo, &j->inner);
    return err;
}

int jx_judge_open(jx_flash *sim, const struct jx_judge_options *options, const struct jx_reader *readers, uint32_t reader_count,
                  jx_judge **out)
{
    if (!jx_sim_of(sim) || !reader_count || reader_count > MAX_READERS)
        return JX_EINVAL;
    for (uint32_t r = 0; r < reader_count; r++)
        if (readers[r].endian < 0)
            return JX_EINVAL;
    jx_judge *j = calloc(1, sizeof(*j));
    if (!j)
        return JX_ENOMEM;
    j->sim = sim;
    j->options = *options;
    memcpy(j->readers, readers, reader_count * sizeof(*readers));
    j->reader_count = reader_count;
    j->ops = jx_sim_op_count(sim);
    int err = open_devices(j);
    if (!err)
        err = jx_view_open(&sim->geo, options->old_digest, options->new_digest, (int)options->plain, &j->view);
    for (uint32_t r = 0; r < reader_count && !err; r++)
        err = find_commit(j, r);
    if (err)
        jx_judge_close(j);
    else
        *out = j;
    return err;
}

void jx_judge_close(jx_judge *j)
{
    if (!j)
        return;
    jx_view_close(j->view);
    jx_table_close(&j->seen);
    jx_flash_close(j->inner);
    jx_flash_close(j->recovering);
    jx_flash_close(j->crash);
    free(j);
}
