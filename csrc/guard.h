/* guard.h: a deletion dirent of version 0 after the last dirent of a block or of a padded page. Internal. */
#ifndef JFFS2TX_GUARD_H
#define JFFS2TX_GUARD_H

#include "fs.h"

#define JX_GUARD_BYTES 44u       /* padded to 4 */
#define JX_GUARD_ENTRY_BYTES 25u /* in a summary */

static inline int jx_is_guard(uint32_t version, uint32_t child) { return !version && !child; }
/* Nothing but a guard may follow this node in its page or block. */
int jx_needs_guard(const struct jx_summary_entry *last);
/* The guard after `last`, whose directory it names. out: JX_GUARD_BYTES. Returns totlen, and *entry lacks the offset; 0: `last`
 * needs none. */
uint32_t jx_encode_guard(int endian, uint8_t *out, const struct jx_summary_entry *last, struct jx_summary_entry *entry);
/* NOR: after the dirent that ends what a kernel has written so far. Our own blocks may have more room, and then a mount no
 * longer goes on with that one. A word that has worn out stays as it is. */
int jx_guard_end(struct jx_fs *fs);

#endif
