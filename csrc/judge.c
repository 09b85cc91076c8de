/* judge.c: every crash of a recorded transaction: which tree stands there. */
#include <stdlib.h>
#include <string.h>
#include "judge.h"

#define RECOVER_SCAN_BYTES 256u /* of an empty block: as Linux looks today */

void jx_judge_fail(jx_judge *j, struct jx_failure where, uint32_t kind, uint32_t reader, int error)
{
    where.kind = kind;
    where.reader = reader;
    where.error = error;
    if (j->out->failures < j->max)
        j->failures[j->out->failures] = where;
    j->out->failures++;
}

struct jx_failure jx_judge_at(uint32_t cut, uint32_t tear)
{
    return (struct jx_failure){.cut = cut, .tear = tear, .inner_cut = JX_NONE, .inner_tear = JX_NONE, .third_cut = JX_NONE,
                               .third_tear = JX_NONE, .schedule = JX_NONE};
}

/* ---- what the readers see ---------------------------------------------------- */

static int look_with_all(jx_judge *j, jx_flash *flash, uint64_t *trees)
{
    *trees = 0;
    for (uint32_t r = 0; r < j->reader_count; r++) {
        uint32_t tree = JX_TREE_UNKNOWN;
        int err = jx_view_look(j->view, flash, &j->readers[r], &tree);
        if (err)
            return err;
        *trees |= (uint64_t)tree << (JX_TREE_BITS * r);
    }
    return JX_OK;
}

int jx_judge_record(jx_judge *j, jx_flash *flash, struct jx_keyed **record)
{
    uint64_t key[2], trees;
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

/* ---- one state ---------------------------------------------------------------------- */

uint32_t jx_judge_order(const jx_judge *j, uint32_t tree, uint32_t reader, uint32_t cut)
{
    if (tree == JX_TREE_THIRD)
        return JX_FAIL_THIRD;
    if (tree == JX_TREE_NEW && cut + 1 < j->first_new[reader])
        return JX_FAIL_EARLY;
    return tree == JX_TREE_OLD && cut >= j->first_new[reader] ? JX_FAIL_LOST : 0;
}

static void check_order(jx_judge *j, uint64_t trees, uint32_t cut, uint32_t tear)
{
    for (uint32_t r = 0; r < j->reader_count; r++) {
        uint32_t kind = jx_judge_order(j, jx_tree_of(trees, r), r, cut);
        if (kind)
            jx_judge_fail(j, jx_judge_at(cut, tear), kind, r, 0);
    }
}

static void count_trees(jx_judge *j, uint64_t trees)
{
    uint32_t seen[1u << JX_TREE_BITS] = {0};
    j->out->distinct++;
    for (uint32_t r = 0; r < j->reader_count; r++)
        seen[jx_tree_of(trees, r)]++;
    j->out->seen_old += seen[JX_TREE_OLD];
    j->out->seen_new += seen[JX_TREE_NEW];
    j->out->seen_third += seen[JX_TREE_THIRD];
    j->out->all_old += seen[JX_TREE_OLD] == j->reader_count;
    j->out->all_new += seen[JX_TREE_NEW] == j->reader_count;
    j->out->any_third += seen[JX_TREE_THIRD] > 0;
}

static int wants_recover(jx_judge *j, uint32_t tear, uint64_t record)
{
    uint32_t every = tear ? j->options.recover_tears : j->options.recover_cuts;
    return every && !(record & JX_CUT_AGAIN) && j->turn[tear > 0]++ % every == 0;
}

static int judge_state(jx_judge *j, uint32_t cut, uint32_t tear)
{
    struct jx_keyed *record;
    int err = jx_crash_build(j->sim, cut, j->faults, tear, j->crash);
    j->out->states++;
    if (!err)
        err = jx_judge_record(j, j->crash, &record);
    if (err)
        return err;
    uint64_t trees = record->value & JX_TREES_MASK;
    check_order(j, trees, cut, tear);
    if (!(record->value & JX_COUNTED))
        count_trees(j, trees);
    record->value |= JX_COUNTED;
    return wants_recover(j, tear, record->value) ? jx_judge_recover(j, cut, tear, record) : JX_OK;
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
                jx_judge_fail(j, jx_judge_at(cut, 0), JX_FAIL_LOST, r, 0);
            continue;
        }
        if (cut <= j->options.prepared)
            jx_judge_fail(j, jx_judge_at(cut, 0), JX_FAIL_EARLY, r, 0);
        if (cut > j->options.committed)
            jx_judge_fail(j, jx_judge_at(cut, 0), JX_FAIL_LOST, r, 0);
    }
}

int jx_judge_cuts(jx_judge *j, uint32_t faults, uint32_t from, uint32_t to, struct jx_judgement *out,
                  struct jx_failure *failures, uint32_t max)
{
    uint32_t tears, every = j->options.unstable_cuts ? j->options.unstable_cuts : 1;
    int err = to > j->ops + 1 ? JX_EINVAL : JX_OK;
    memset(out, 0, sizeof(*out));
    j->faults = faults & ~(uint32_t)JX_F6_UNSTABLE;
    j->out = out;
    j->failures = failures;
    j->max = max;
    j->turn[0] = j->turn[1] = j->inner_turn = j->third_turn = 0;
    for (uint32_t r = 0; r < j->reader_count; r++)
        if (j->first_new[r] != JX_NONE && j->first_new[r] > out->commit_cut)
            out->commit_cut = j->first_new[r];
    check_commit(j, from, err ? from : to);
    for (uint32_t cut = from; cut < to && !err; cut++) {
        err = jx_crash_tears(j->sim, cut, j->faults, &tears);
        for (uint32_t tear = faults & JX_F1_CUT ? 0 : 1; tear < tears && !err; tear++)
            err = judge_state(j, cut, tear);
        if (!err && faults & JX_F6_UNSTABLE && cut < j->ops && cut % every == 0)
            err = jx_judge_unstable(j, cut);
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

/* How a boot loader should see the tree on the medium: with its own idea of what is deleted, but with every other
 * ability that Linux has, and with links looked up from where they are named. */
static int know_tree(jx_judge *j, struct jx_onlooker *who, uint32_t cut, uint8_t digest[16])
{
    struct jx_reader reader = who->reader;
    jx_fs *fs = NULL;
    reader.header_crc_as_is = reader.ecc_stops = reader.compr_mask = 0;
    if (reader.links)
        reader.links = JX_LINKS_BY_NAME;
    int err = jx_crash_build(j->sim, cut, JX_F1_CUT, 0, j->crash);
    if (!err)
        err = jx_fs_open(j->crash, &reader, &fs);
    if (!err)
        err = jx_fs_digest(fs, digest);
    jx_fs_close(fs);
    return err;
}

static int know_trees(jx_judge *j, struct jx_onlooker *who)
{
    memcpy(who->trees[0], j->options.old_digest, 16);
    memcpy(who->trees[1], j->options.new_digest, 16);
    if (!who->reader.links && !who->reader.ignores_deletions)
        return JX_OK;
    int err = know_tree(j, who, 0, who->trees[0]);
    return err ? err : know_tree(j, who, j->ops, who->trees[1]);
}

static int open_devices(jx_judge *j)
{
    int err = jx_flash_open_memory(&j->sim->geo, &j->crash);
    uint32_t levels = 1 + (j->options.inner_faults != 0) + (j->options.inner_faults && j->options.third_cuts);
    if (!j->options.recover_cuts && !j->options.recover_tears)
        levels = 0;
    for (uint32_t i = 0; i < levels && !err; i++)
        err = jx_sim_open(&j->sim->geo, NULL, &j->level[i]);
    return err;
}

int jx_judge_open(jx_flash *sim, const struct jx_judge_options *options, const struct jx_reader *readers, uint32_t reader_count,
                  jx_judge **out)
{
    if (!jx_sim_of(sim) || !reader_count || reader_count > JX_JUDGE_READERS)
        return JX_EINVAL;
    for (uint32_t r = 0; r < reader_count; r++)
        if (readers[r].endian < 0)
            return JX_EINVAL;
    jx_judge *j = calloc(1, sizeof(*j));
    if (!j)
        return JX_ENOMEM;
    j->sim = sim;
    j->options = *options;
    j->recoverer = (struct jx_reader){.endian = readers[0].endian, .summary = 1, .empty_scan_bytes = RECOVER_SCAN_BYTES};
    j->reader_count = reader_count;
    j->ops = jx_sim_op_count(sim);
    int err = open_devices(j);
    for (uint32_t r = 0; r < reader_count && !err; r++) {
        j->readers[r].reader = readers[r];
        err = know_trees(j, &j->readers[r]);
    }
    if (!err)
        err = jx_view_open(&sim->geo, (int)options->plain, &j->view);
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
    for (uint32_t i = 0; i < JX_CUTS; i++)
        jx_flash_close(j->level[i]);
    jx_flash_close(j->crash);
    free(j);
}
