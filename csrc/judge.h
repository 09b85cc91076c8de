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

/* A table from 128-bit keys to a word; grows by itself. */
struct jx_keyed {
    uint64_t key[2];
    uint32_t value; /* 0: the slot is empty */
};
struct jx_table {
    struct jx_keyed *slots;
    uint32_t count, capacity; /* a power of two */
};
/* The slot of a key, made with value 0 where there is none: the caller must set it. NULL: no memory. The pointer holds
 * until the next call. */
struct jx_keyed *jx_table_get(struct jx_table *t, const uint64_t key[2]);
void jx_table_close(struct jx_table *t);

#define JX_VIEW_PARSES 6u /* kept for each eraseblock: its states around one cut, for all readers */

struct jx_view;

/* old, new: digests of the two trees. plain: nothing is kept, each look opens the file system anew. */
int jx_view_open(const struct jx_geometry *geo, const uint8_t old_digest[16], const uint8_t new_digest[16], int plain,
                 struct jx_view **out);
void jx_view_close(struct jx_view *v);
/* What this reader sees on a memory or simulator device: *tree is one of enum jx_tree. reader->endian is given. */
int jx_view_look(struct jx_view *v, jx_flash *flash, const struct jx_reader *reader, uint32_t *tree);

#endif
