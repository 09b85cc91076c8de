/* survey.h: what jx_locate sees in a file, and where in it one file system ends and the next begins (borders.c). */
#ifndef JX_SURVEY_H
#define JX_SURVEY_H

#include "fs.h"

#define GRID_MIN_BYTES 4096u /* of which eraseblocks are a multiple */
#define USUAL_BLOCK_BYTES 65536u

/* A node with good CRCs. */
struct sighting {
    uint32_t at, end;      /* bytes of data from the file's start */
    uint32_t ino, version; /* of the key; ino 0: none, the node says nothing about whose it is */
    uint32_t identity;     /* differs where nodes differ */
    uint32_t older;        /* index of the first with this key; JX_NONE: this one, or it has no key (borders.c) */
    uint16_t type;
    uint8_t class;
    uint8_t again; /* borders.c */
};

struct survey {
    struct jx_span span;
    struct sighting *seen;
    uint32_t count, capacity;
    uint32_t *slots; /* hash by key: indices into seen, JX_NONE empty */
    uint32_t mask;
    uint32_t *aparts; /* room for count distances */
    struct jx_found *out;
    uint32_t found, max;
    uint32_t looks;  /* for a border */
    uint32_t erased; /* offset from which all up to the first node of the one looked at can be its own */
};

/* n bytes at ofs as if no OOB stood between: in place, or in buf. */
const uint8_t *jx_peek(const struct jx_span *s, uint32_t ofs, uint32_t n, uint8_t *buf);
/* The eraseblock that summaries or cleanmarkers in [from, to) show, and the start of one in *start; 0: they do not. */
uint32_t jx_block_shown(const struct survey *v, uint32_t from, uint32_t to, uint32_t *start);
/* Where, in [from, to) of one class, the next file system starts; to: nowhere. *border: the offset of its first eraseblock
 * where a copy tells it, else 0. */
uint32_t jx_next_start(struct survey *v, uint32_t from, uint32_t to, uint32_t *border);

#endif
