/* crash.c: the power cut in the recorded upgrade. */
#include <string.h>
#include "jobs.h"

#define FAULTS (JX_F1_CUT | JX_F2_PREFIX | JX_F3_BITS | JX_F4_ORDER | JX_F5_ERASE)

static jx_flash *memory_of(const struct job *job)
{
    jx_flash *flash;
    must("jx_flash_open_memory", jx_flash_open_memory(&job->geo, &flash));
    return flash;
}

static uint64_t hash_tear(const struct job *job, uint32_t cut, uint32_t tear, jx_flash *crash, uint64_t hash)
{
    char words[128];
    uint8_t of_crash[16];
    must("jx_crash_build", jx_crash_build(job->flash, cut, FAULTS, tear, crash));
    must("jx_crash_describe", jx_crash_describe(job->flash, cut, FAULTS, tear, words, sizeof words));
    must("jx_flash_hash", jx_flash_hash(crash, of_crash));
    return fold(fold(hash, of_crash, sizeof of_crash), words, strlen(words));
}

void hash_crashes(const struct job *job)
{
    uint64_t hash = FOLD_START;
    uint32_t images = 0, tears;
    jx_flash *crash = memory_of(job);
    for (uint32_t cut = 0; cut <= jx_sim_op_count(job->flash); cut++) {
        must("jx_crash_tears", jx_crash_tears(job->flash, cut, FAULTS, &tears));
        for (uint32_t tear = 0; tear < tears; tear++, images++)
            hash = hash_tear(job, cut, tear, crash, hash);
    }
    jx_flash_close(crash);
    say(job->name, "%u crash images %016llx", images, (unsigned long long)hash);
}

static void judge_cuts(const struct job *job, jx_judge *judge, uint32_t faults, uint32_t from)
{
    struct jx_judgement o;
    struct jx_failure failures[8];
    must("jx_judge_cuts", jx_judge_cuts(judge, faults, from, jx_sim_op_count(job->flash) + 1, &o, failures, 8));
    say(job->name, "judged states %llu distinct %llu old %llu new %llu third %llu recovered %llu inner %llu distinct %llu unstable %llu "
        "wavering %llu failures %llu commit at %u", (unsigned long long)o.states, (unsigned long long)o.distinct,
        (unsigned long long)o.seen_old, (unsigned long long)o.seen_new, (unsigned long long)o.seen_third, (unsigned long long)o.recovered,
        (unsigned long long)o.inner, (unsigned long long)o.inner_distinct, (unsigned long long)o.unstable,
        (unsigned long long)o.wavering, (unsigned long long)o.failures, o.commit_cut);
}

/* Readers as the strategy promises them; recover on some states, cut again in some of these. Under emulation this is most of the
 * time: whole operations everywhere, torn and wavering ones (F6) in the commit and what follows. */
void judge_crashes(const struct job *job)
{
    struct jx_judge_options options = {.prepared = job->prepared, .committed = job->committed, .recover_cuts = 3, .recover_tears = 16,
                                       .inner_faults = JX_F1_CUT, .inner_tears = 40, .unstable_cuts = 4};
    struct jx_reader readers[2] = {job->reader, job->reader};
    jx_judge *judge;
    readers[1].empty_scan_bytes = 1024;
    memcpy(options.old_digest, job->old_digest, sizeof options.old_digest);
    memcpy(options.new_digest, job->new_digest, sizeof options.new_digest);
    must("jx_judge_open", jx_judge_open(job->flash, &options, readers, 2, &judge));
    judge_cuts(job, judge, JX_F1_CUT, 0);
    judge_cuts(job, judge, FAULTS | JX_F6_UNSTABLE, job->prepared);
    jx_judge_close(judge);
}

/* What recover makes of each cut between two operations, byte by byte. */
void recover_crashes(const struct job *job)
{
    uint64_t hash = FOLD_START;
    uint8_t after[16];
    jx_flash *crash = memory_of(job);
    for (uint32_t cut = 0; cut <= jx_sim_op_count(job->flash); cut++) {
        struct jx_recovery done;
        must("jx_crash_build", jx_crash_build(job->flash, cut, JX_F1_CUT, 0, crash));
        must("jx_recover", jx_recover(crash, &job->reader, &done));
        must("jx_flash_hash", jx_flash_hash(crash, after));
        uint8_t counts[] = {(uint8_t)done.state_before, (uint8_t)done.state, (uint8_t)done.blocks_erased, (uint8_t)done.nodes_moved,
                            (uint8_t)done.bits_cleared};
        hash = fold(fold(hash, after, sizeof after), counts, sizeof counts);
    }
    jx_flash_close(crash);
    say(job->name, "recovered to %016llx", (unsigned long long)hash);
}
