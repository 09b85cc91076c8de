/* scan.h: the parts of the scan of one eraseblock. Offsets are bytes from its start. Internal. */
#ifndef JFFS2TX_SCAN_H
#define JFFS2TX_SCAN_H

#include "fs.h"

struct scan {
    struct jx_fs *fs;
    struct jx_block *block;
    const uint8_t *buf; /* the eraseblock */
    uint32_t size;
    uint32_t bad_headers;
};

/* scan_records.c */

/* A record of its own, appended; NULL: no memory. */
struct jx_node *jx_scan_node(struct scan *s, uint32_t ofs, uint32_t totlen, uint16_t type, uint8_t verdict);
int jx_scan_run(struct scan *s, uint32_t ofs, uint32_t len, uint8_t verdict);
int jx_scan_name(struct jx_fs *fs, struct jx_node *n, const uint8_t *name, uint32_t nsize);
/* This inode number is in use: none of our own may be it. */
void jx_scan_number(struct jx_fs *fs, uint32_t ino);
int jx_scan_take(struct scan *s, uint32_t ofs, uint32_t totlen, uint16_t type, uint8_t verdict);
/* A tag of ours tells what its block is for. */
void jx_scan_tag(struct scan *s, uint32_t ofs, uint32_t totlen);

/* scan_full.c */
int jx_scan_full(struct scan *s);
int jx_scan_hidden(struct scan *s, uint32_t from, uint32_t to);

/* scan_summary.c */
uint32_t jx_scan_find_summary(struct scan *s);
int jx_scan_summary_usable(struct scan *s, uint32_t start, uint32_t count);
int jx_scan_summary(struct scan *s, uint32_t start, const struct jx_summary *sum);

#endif
