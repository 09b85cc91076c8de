/* jobs.h: the same work on every machine, and one line for each result: jobs.c says how. */
#ifndef JFFS2TX_FOREIGN_JOBS_H
#define JFFS2TX_FOREIGN_JOBS_H

#include "jffs2tx.h"

#define KIB 1024u
#define TIME 1700000000u

/* Ends the program, naming the step, if the core returned an error. */
int must(const char *step, int result);
/* One result: printed as "NAME: TITLE ..." by the printf format that follows. */
void say(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A running FNV-1a hash of 64 bits. */
#define FOLD_START 0xcbf29ce484222325u
uint64_t fold(uint64_t hash, const void *bytes, size_t len);
/* Bytes that depend on kind and seed alone: zeros, text, noise, a mixture. */
enum { KINDS = 4 };
void fill(uint8_t *out, uint32_t len, uint32_t kind, uint32_t seed);

/* What is done to one medium. */
struct job {
    const char *name;   /* medium-order-strategy */
    struct jx_geometry geo;
    struct jx_reader reader;
    uint32_t strategy;  /* enum jx_strategy */
    jx_flash *flash;    /* a simulator once the first tree is on it */
    uint32_t prepared, committed; /* operations logged then */
    uint8_t old_digest[16], new_digest[16];
};

/* write.c */
void write_first_tree(struct job *job);
/* One transaction, recorded by the simulator. */
void write_upgrade(struct job *job);
/* More transactions, then garbage collection. */
void write_until_full(struct job *job);

/* crash.c */
void hash_crashes(const struct job *job);
void judge_crashes(const struct job *job);
void recover_crashes(const struct job *job);

/* read.c */
void read_image(const char *path);
/* The name, tree, transaction and space of what is on the flash. Its digest is left in digest. */
void report(const char *name, const char *when, jx_flash *flash, const struct jx_reader *reader, uint8_t digest[16]);
void save(const char *directory, const char *name, jx_flash *flash);

/* codec.c */
void pack_and_unpack(void);

#endif
