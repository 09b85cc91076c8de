/* judge_parse.h: what one reader found in one eraseblock, kept. Internal. */
#ifndef JFFS2TX_JUDGE_PARSE_H
#define JFFS2TX_JUDGE_PARSE_H

#include "judge.h"


struct jx_parse {
    uint64_t hash[2];  /* of the eraseblock */
    uint64_t found[2]; /* of all that counts in it */
    uint32_t mode;     /* how far the reader's abilities matter here */
    uint32_t used;     /* when; 0: never */
    uint32_t filled;   /* when it was found */
    int err;
    struct jx_block block;
    struct jx_node *nodes;
    uint64_t *hashes; /* of each node's bytes, where its data can show in a file */
    char *names;
    uint32_t names_len;
};

static inline void jx_mix(uint64_t h[2], uint64_t word)
{
    h[0] = jx_hash_mix(h[0] + word);
    h[1] = jx_hash_mix(h[1] ^ (word + h[0]));
}

/* The abilities of a reader that can change what it finds in this block: part of the key of what is kept. */
uint32_t jx_parse_mode(const struct jx_geometry *geo, const uint8_t *block, const struct jx_reader *reader);
/* Scans block b into p, which may hold another; mode is set. scan, buf: working memory, buf of erase_size_bytes.
 * JX_ENOMEM; that the reader refuses the block is in p->err. */
int jx_parse_block(struct jx_parse *p, jx_fs *scan, uint8_t *buf, jx_flash *flash, const struct jx_reader *reader, uint32_t b);
void jx_parse_free(struct jx_parse *p);

#endif
