/* writer.h: takes erased blocks one after the other and fills them with nodes. Internal. */
#ifndef JFFS2TX_WRITER_H
#define JFFS2TX_WRITER_H

#include "fs.h"

struct jx_tag;

/* The blocks that may be taken, in the order in which they are taken. */
struct jx_pool {
    uint32_t *blocks; /* absolute offsets */
    uint32_t count, next;
};

struct jx_writer {
    struct jx_fs *fs;
    struct jx_pool *pool;
    const struct jx_tag *tag; /* first node of each block; NULL: a cleanmarker is */
    int dry_run, summary;
    uint32_t sequence;      /* blocks taken so far */
    uint32_t block;         /* absolute offset, or JX_NONE */
    uint32_t fill;          /* bytes of the block that are spoken for */
    uint32_t flushed;       /* bytes of the block that are on the medium */
    uint8_t *buf;           /* the block's content as it will be, erase_size_bytes */
    uint8_t *check;         /* what is read back */
    struct jx_summary_entry *entries;
    uint32_t entry_count, entry_capacity, entry_bytes;
    uint32_t padded;
    uint64_t bytes;         /* programmed, padding and summaries included */
};

/* Free blocks, then, unless the device is live, dirty ones, each in ascending order round the chip from where the last
 * transaction ended. */
int jx_pool_open(struct jx_fs *fs, struct jx_pool *pool);
void jx_pool_close(struct jx_pool *pool);
/* The next block is one behind `offset`, if there is any: of two copies that readers find in a half-erased block and in
 * that one, the later counts (jffs2_add_fd_to_list). */
void jx_pool_go_behind(struct jx_pool *pool, uint32_t offset);
/* The next block is not the last one on the chip that is left, if there are two. */
void jx_pool_leave_one_behind(struct jx_pool *pool);
/* The next block of the pool, erased and read back as 0xFF; those that fail are marked bad and passed over. JX_ENOSPC. */
int jx_pool_take(struct jx_fs *fs, struct jx_pool *pool, int dry_run, uint32_t *block);

int jx_writer_open(struct jx_writer *w, struct jx_fs *fs, struct jx_pool *pool, const struct jx_tag *tag, int dry_run, int summary);
void jx_writer_close(struct jx_writer *w);
/* A node of len bytes (len <= block minus tag). keep_free: bytes that must follow in the same block. */
int jx_writer_node(struct jx_writer *w, const uint8_t *node, uint32_t len, const struct jx_summary_entry *entry, uint32_t keep_free);
/* Everything on the medium, the last page padded; the block may be written on. */
int jx_writer_flush(struct jx_writer *w);
/* Flush, and take a new block for what follows. */
int jx_writer_end_block(struct jx_writer *w);

/* Pads buf from fill to the end of the page: a padding node, or zeros where none fits (fs/jffs2/wbuf.c,
 * __jffs2_flush_wbuf). The page's end; fill itself where any byte can be programmed. */
uint32_t jx_fill_pages(const struct jx_fs *fs, uint8_t *buf, uint32_t fill);
/* A node as it was scanned, unchanged, into the writer. buf: an eraseblock's size. JX_ECORRUPT, JX_EECC: it reads otherwise now. */
int jx_copy_node(struct jx_fs *fs, const struct jx_node *n, struct jx_writer *w, uint8_t *buf);
/* The needed nodes of a block, unchanged, into the writer; moved and bytes are added to. Nothing is flushed. */
int jx_copy_needed(struct jx_fs *fs, const struct jx_block *block, struct jx_writer *w, uint32_t *moved, uint64_t *bytes);
/* Program and read back. JX_EVERIFY, JX_EIO. check: len bytes of working memory. */
int jx_program_verified(jx_flash *flash, uint32_t off, const uint8_t *data, uint32_t len, uint8_t *check);
/* Erase, read back, and the cleanmarker that the kernel would give it (jffs2_mark_erased_block). */
int jx_erase_verified(struct jx_fs *fs, uint32_t block, uint8_t *buf);
int jx_erase_and_mark(struct jx_fs *fs, uint32_t block, uint8_t *buf);
/* The same for a block that nobody needs: where it cannot be erased it is marked bad, if the device keeps a table.
 * 1 erased, 0 given up, or an error that is not the block's. */
int jx_reclaim(struct jx_fs *fs, uint32_t block, uint8_t *buf);
/* Whether an error is a block's that wears out, rather than the caller's or the power's. */
static inline int jx_is_wear(int err) { return err == JX_EIO || err == JX_EVERIFY || err == JX_EECC; }

#endif
