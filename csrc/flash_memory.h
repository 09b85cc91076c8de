/* flash_memory.h: the memory device from inside, for what is built on it: the simulator,
 * the crash states and the hash.
 */
#ifndef JFFS2TX_FLASH_MEMORY_H
#define JFFS2TX_FLASH_MEMORY_H

#include "flash.h"
#include "flash_rules.h"

/* All that a medium holds. */
struct jx_content {
    uint8_t *bytes; /* size_bytes */
    uint8_t *oob;   /* oob_avail_bytes a page, page by page; NULL where none is kept */
    uint8_t *bad;   /* 1 byte per eraseblock: marked bad */
};

/* Per eraseblock. */
enum jx_block_flag {
    JX_HASHED = 1,    /* block_hash is that of the content */
    JX_OFF_BASE = 2,  /* may differ from base */
    JX_OFF_START = 4, /* may differ from the simulator's start */
};

/* Where the last jx_crash_build left a device: base is the content before operation `cut`
 * of the log with that fingerprint. */
struct jx_base {
    struct jx_content content;
    uint64_t fingerprint;
    uint32_t cut;
};

/* flash_unstable.c: bytes that each read finds as they were, as they should be, or between (F6). */
struct jx_unstable {
    uint32_t off, len;          /* in the data; len 0: none of them */
    uint32_t oob_at, oob_len;   /* in the OOB of all pages, one after the other; oob_len 0: none of them */
    uint8_t *bytes[JX_READINGS];
    uint8_t *oob[JX_READINGS];
    uint32_t schedule;
};

struct jx_memory {
    struct jx_geometry geo;
    struct jx_content now;
    struct jx_unstable *unstable; /* NULL: all is stable */
    uint32_t unstable_reads;      /* that touched it */
    struct jx_rules rules;
    uint8_t *flags;             /* enum jx_block_flag, 1 byte per eraseblock */
    uint8_t *spoiled;           /* 1 byte a page: ECC gives it up; NULL until jx_flash_spoil */
    uint64_t ecc_failed;
    uint64_t (*block_hash)[2];
    struct jx_base *base;       /* NULL until jx_crash_build */
};

/* All erased. JX_ENOMEM. */
int jx_content_open(struct jx_content *c, const struct jx_geometry *g);
void jx_content_close(struct jx_content *c);
void jx_content_copy_block(struct jx_content *to, const struct jx_content *from, const struct jx_geometry *g,
                           uint32_t block);
int jx_content_same_block(const struct jx_content *a, const struct jx_content *b, const struct jx_geometry *g,
                          uint32_t block);
/* What a program, an OOB program, an erase and a bad mark do, no questions asked. */
void jx_content_prog(struct jx_content *c, uint32_t off, const uint8_t *buf, uint32_t len);
void jx_content_oob_prog(struct jx_content *c, const struct jx_geometry *g, uint32_t off, const uint8_t *buf,
                         uint32_t len);
void jx_content_erase(struct jx_content *c, const struct jx_geometry *g, uint32_t off);

static inline uint32_t jx_oob_per_block(const struct jx_geometry *g)
{
    return g->oob_avail_bytes * jx_pages_per_block(g);
}
static inline uint8_t *jx_oob_at(const struct jx_content *c, const struct jx_geometry *g, uint32_t off)
{
    return c->oob + (size_t)(off / g->write_size_bytes) * g->oob_avail_bytes;
}

/* The functions of struct jx_flash_ops; ctx is a struct jx_memory. */
int jx_memory_open(struct jx_memory *m, const struct jx_geometry *g);
void jx_memory_shut(struct jx_memory *m);
int jx_memory_read(void *ctx, uint32_t off, void *buf, uint32_t len);
int jx_memory_prog(void *ctx, uint32_t off, const void *buf, uint32_t len);
int jx_memory_erase(void *ctx, uint32_t off);
int jx_memory_is_bad(void *ctx, uint32_t off);
int jx_memory_mark_bad(void *ctx, uint32_t off);
int jx_memory_oob_read(void *ctx, uint32_t off, void *buf, uint32_t len);
void jx_memory_ecc(const void *ctx, struct jx_ecc *out);
int jx_memory_oob_prog(void *ctx, uint32_t off, const void *buf, uint32_t len);

/* The content of these eraseblocks changed: hash and copies are out of date. */
void jx_memory_touch(struct jx_memory *m, uint32_t off, uint32_t len);
/* The same, and what was programmed is to be found from the content. */
void jx_memory_touch_raw(struct jx_memory *m, uint32_t off, uint32_t len);

/* All erased as it is, it gets the content, OOB and bad blocks of a device of its geometry. */
int jx_memory_fill(struct jx_memory *to, jx_flash *from);

/* The memory behind a memory or simulator device, or NULL. */
struct jx_memory *jx_memory_of(const jx_flash *f);

/* len bytes of data, or of OOB where oob (then at is an index into the OOB of all pages), waver from now on. All three
 * readings are what the content is; the caller changes them. JX_ENOMEM. */
int jx_unstable_add(struct jx_memory *m, int oob, uint32_t at, uint32_t len);
/* What the next read finds of [off, off + len) is laid over buf, which holds the content: JX_OK, or JX_EECC where data are
 * between on a kind that has ECC (the kernel reads OOB as it is). */
int jx_unstable_read(struct jx_memory *m, int oob, uint32_t off, uint8_t *buf, uint32_t len);
/* A program of [off, off + len) reaches it however it reads. */
void jx_unstable_prog(struct jx_memory *m, int oob, uint32_t off, const uint8_t *buf, uint32_t len);
/* The content becomes this reading, and so does each read until another schedule is set; it stays unstable. */
void jx_unstable_show(struct jx_memory *m, uint32_t reading);
/* Stable again, as the content is, where any of it lies in this eraseblock. */
void jx_unstable_drop(struct jx_memory *m, uint32_t block);
void jx_unstable_free(struct jx_memory *m);

/* A simulator's log, for crash.c. */
struct jx_sim_entry {
    struct jx_sim_op op;
    size_t data_at;
    uint64_t fingerprint; /* of the start and all operations before this one */
};

struct jx_sim {
    struct jx_memory memory; /* first: the ctx of a simulator is that of a memory too */
    struct jx_content start;
    struct jx_sim_entry *entries; /* op_count of them, then one that holds the fingerprint of the whole */
    uint32_t op_count, op_room;
    uint8_t *data;
    size_t data_len, data_room;
    uint32_t cut_left; /* operations until the power goes; JX_NO_CUT: never */
    uint32_t fail_left; /* programs and erases until one fails; JX_NO_CUT: never */
    uint32_t lie_left;  /* ... until one only says that it went well */
    uint32_t broken;   /* the eraseblock that fails since then; JX_NO_CUT: none */
    uint32_t reads, read_left; /* until one fails; JX_NO_CUT: never */
    int reads_stay_failed;
    int dead;
};

#define JX_NO_CUT UINT32_MAX

/* The simulator behind a device, or NULL. */
struct jx_sim *jx_sim_of(const jx_flash *f);

/* flash_hash.c: 128 bits over len bytes. */
void jx_hash_bytes(const uint8_t *p, size_t len, uint64_t seed, uint64_t out[2]);
uint64_t jx_hash_mix(uint64_t x);
void jx_memory_hash(struct jx_memory *m, uint64_t out[2]);

/* flash.c: a handle for a device whose geometry was checked; closes ctx where that fails. */
int jx_flash_new(const struct jx_flash_ops *ops, void *ctx, const struct jx_geometry *g, jx_flash **out);

#endif
