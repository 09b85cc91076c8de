/* judge.h: which tree stock readers see on a medium, fast enough for a million crash states. Internal.
 *
 * Two media that differ in bytes no reader counts are one medium to it. A view therefore keeps what each reader found in
 * each eraseblock, by the block's hash, and the verdict on a whole medium, by what was found in all of its blocks:
 * most torn programs cost the scan of one eraseblock.
 */
#ifndef JFFS2TX_JUDGE_H
#define JFFS2TX_JUDGE_H

#include "flash_memory.h"
#include "fs.h"

/* A table from 128-bit keys to 64 bits; grows by itself. */
struct jx_keyed {
    uint64_t key[2];
    uint64_t value; /* 0: the slot is empty */
};
struct jx_table {
    struct jx_keyed *slots;
    uint32_t count, capacity; /* a power of two */
};
/* The slot of a key, made with value 0 where there is none: the caller must set it. NULL: no memory. The pointer holds
 * until the next call. */
struct jx_keyed *jx_table_get(struct jx_table *t, const uint64_t key[2]);
void jx_table_close(struct jx_table *t);

#define JX_VIEW_PARSES 12u /* kept for each eraseblock: its states around one cut, for all readers */

struct jx_view;

/* A reader, and the digests of the old and of the new tree as it should see them. */
struct jx_onlooker {
    struct jx_reader reader; /* endian is given */
    uint8_t trees[2][16];
};

/* plain: nothing is kept, each look opens the file system again. */
int jx_view_open(const struct jx_geometry *geo, int plain, struct jx_view **out);
void jx_view_close(struct jx_view *v);
/* What this reader sees on a memory or simulator device: *tree is one of enum jx_tree. */
int jx_view_look(struct jx_view *v, jx_flash *flash, const struct jx_onlooker *who, uint32_t *tree);
/* The same by jx_fs_open, nothing kept: for a medium that reads otherwise each time. */
int jx_view_look_plainly(struct jx_view *v, jx_flash *flash, const struct jx_onlooker *who, uint32_t *tree);

/* ---- one judge ------------------------------------------------------------------ */

#define JX_JUDGE_READERS 20u
#define JX_TREE_BITS 3u           /* of a state's record, for each reader */
#define JX_RECOVERED (1ull << 63)   /* jx_recover was run on this state */
#define JX_CUT_AGAIN (1ull << 62)   /* and cut, wherever that was asked for */
#define JX_COUNTED (1ull << 61)
#define JX_TREES_MASK (JX_COUNTED - 1)
#define JX_CUTS 3u                /* one inside another */

struct jx_judge {
    jx_flash *sim;
    struct jx_judge_options options;
    struct jx_onlooker readers[JX_JUDGE_READERS];
    struct jx_reader recoverer; /* as whom recover looks: Linux, whoever the readers are */
    uint32_t reader_count, ops;
    uint32_t first_new[JX_JUDGE_READERS]; /* cut from which on this reader sees the new tree */
    jx_flash *crash;          /* the state judged */
    jx_flash *level[JX_CUTS]; /* simulators: the state after so many cuts, and recover's log on it; NULL where not asked for */
    struct jx_view *view;

    /* of the cuts that are judged */
    uint32_t faults, max;
    struct jx_judgement *out;
    struct jx_failure *failures;
    uint32_t turn[2];         /* states that recover might be run on: of whole operations, of torn ones */
    uint32_t inner_turn, third_turn;
    struct jx_table seen;     /* by content: the trees that the readers see, JX_RECOVERED, JX_CUT_AGAIN, JX_COUNTED */
};

static inline uint32_t jx_tree_of(uint64_t trees, uint32_t reader) { return trees >> (JX_TREE_BITS * reader) & 7u; }

void jx_judge_fail(jx_judge *j, struct jx_failure where, uint32_t kind, uint32_t reader, int error);
struct jx_failure jx_judge_at(uint32_t cut, uint32_t tear);
/* What is wrong with seeing this tree at this cut: enum jx_failure_kind, or 0. */
uint32_t jx_judge_order(const jx_judge *j, uint32_t tree, uint32_t reader, uint32_t cut);
/* The record of the state on flash; looked at only where it is new. */
int jx_judge_record(jx_judge *j, jx_flash *flash, struct jx_keyed **record);

/* judge_recover.c: recover on that state, cut again and again; what it is from now on is noted in its record. */
int jx_judge_recover(jx_judge *j, uint32_t cut, uint32_t tear, struct jx_keyed *record);
/* jx_recover once; what it returns is a failure. JX_ENOMEM. */
int jx_judge_run_recover(jx_judge *j, jx_flash *flash, struct jx_failure where);
/* Once more: nothing is left to do, and the status is settled or none. JX_ENOMEM. */
int jx_judge_idle(jx_judge *j, jx_flash *flash, struct jx_failure where);

/* judge_unstable.c: F6 at this cut. */
int jx_judge_unstable(jx_judge *j, uint32_t cut);

#endif
