/* survey.h: what jx_locate sees in a file, and where in it one file system ends and the next begins: locate.c (sightings and
 * parts), borders.c (the rule), balance.c (what speaks for and against each place), closure.c (what a place leaves open). */
#ifndef JX_SURVEY_H
#define JX_SURVEY_H

#include "flash_rules.h"
#include "fs.h"

#define GRID_MIN_BYTES 4096u /* of which eraseblocks are a multiple */
#define USUAL_BLOCK_BYTES 65536u

/* A node with good CRCs. */
struct sighting {
    uint32_t at, end;      /* bytes of data from the file's start */
    uint32_t ino, version; /* of the key; ino 0: none, the node says nothing about whose it is */
    uint32_t identity;     /* differs where nodes differ */
    uint32_t child;        /* dirent: the inode that it names; 0: none */
    uint32_t name;         /* dirent: hash of the name */
    uint32_t isize, offset, dsize; /* inode node */
    uint16_t type;         /* ACCURATE set */
    uint8_t class;         /* place within a word, and byte order */
    uint32_t more;         /* of its type, without a key, that follow it without a gap and are not listed */
    uint8_t obsolete;
    uint8_t kind;          /* file type as in a mode, shifted by 12: of the inode, or of what the dirent names; 0: unknown */
};

/* An inode number that is spoken of, a name, a piece of a file: numbered by who looks at a run of sightings. */
struct numbers {
    uint32_t *own, *child, *name, *piece, *stream; /* for each sighting, JX_NONE: it has none. stream: (type, inode) */
    uint32_t inodes, names, pieces, streams;       /* how many there are */
    uint8_t *dead;                                 /* of each inode: a directory that no live name names */
    uint8_t *live;                                 /* of each sighting: a dirent that is the newest of its name */
};

/* A place between two sightings, as an index into the run: what stands at it and behind it is the right side. */
struct balance {
    uint32_t contradictions; /* keys and roles that differ on the two sides */
    uint32_t doubles;        /* inodes that have names and nodes of their own on both sides */
    uint32_t twins, twin_bytes; /* equal nodes on both sides */
    uint32_t weak;           /* contradictions of obsolete nodes: their numbers are used again */
    uint32_t successions;    /* numbers that follow each other over this place */
    uint32_t residue;        /* contradictions that stay on one side */
    uint32_t open_left, objects_left, open_right, objects_right;
    uint32_t falls;          /* versions that fall within the sides */
    uint32_t keyed, valid;   /* sightings with a key in front of this place; those of them that count */
    uint32_t root_names;     /* names in the root in front of this place */
    uint32_t root_low_left, root_high_left, root_low_right, root_high_right; /* versions of the root's names; low > high: none */
};

struct run {
    const struct sighting *seen;
    uint32_t count;
};

/* balance.c: out has count + 1 places. *apart: the distance in bytes at which most keys stand again, which is that of two
 * copies; 0: none do. JX_ENOMEM. */
int jx_balance(const struct run *run, struct balance *out, uint32_t *apart);
/* closure.c: fills open_* and objects_* of count + 1 places. JX_ENOMEM. */
int jx_closure(const struct run *run, const struct numbers *numbers, struct balance *out);

/* A place where something else starts for certain: a known format, or nodes of the other byte order. */
struct hard {
    uint32_t at, end; /* end: as far as the format says that it reaches; at: it does not say */
    uint8_t class_only; /* 1: ends file systems of little endian only, 2: of big endian only, 3: of both */
};

struct border_evidence {
    uint32_t at;        /* where the right side's first node stands; 0: no border */
    uint32_t low, high; /* the eraseblock at which the right side starts lies between these */
    uint32_t start;     /* where it is, if the distance of two copies shows it; else at */
    uint32_t contradictions, twins, weak, links, successions;
    int certain;        /* else doubt */
};

struct survey {
    struct jx_span span;
    struct sighting *seen;
    uint32_t count, capacity;
    struct hard *hard;
    uint32_t hard_count, hard_capacity;
    struct jx_found *out;
    uint32_t found, max;
};

/* n bytes at ofs as if no OOB stood between: in place, or in buf. */
const uint8_t *jx_peek(const struct jx_span *s, uint32_t ofs, uint32_t n, uint8_t *buf);
/* The eraseblock that summaries or cleanmarkers in [from, to) show, and the start of one in *start; 0: they do not. */
uint32_t jx_block_shown(const struct survey *v, uint32_t from, uint32_t to, uint32_t *start);
/* The first byte in [from, to) that is not 0xFF; to: none. */
uint32_t jx_first_used_in(const struct jx_span *s, uint32_t from, uint32_t to);
/* The best border in [from, to) of one class, or the place of the best doubt; *seams: what of it one log cannot be shown to
 * reach over. Returns the index of the right side's first sighting, to where there is no certain border; or JX_ENOMEM. */
int jx_next_border(const struct survey *v, uint32_t from, uint32_t to, uint32_t *second, struct border_evidence *why,
                   struct jx_found *part);

#endif
