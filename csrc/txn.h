/* txn.h: the marks that a transaction leaves on the medium, and its inner state. Internal. */
#ifndef JFFS2TX_TXN_H
#define JFFS2TX_TXN_H

#include "fs.h"
#include "writer.h"

/* Nodes of our own, of class RWCOMPAT_DELETE: every stock reader skips them whole (scan.c, default:). */
#define JX_NODE_TAG 0x2074u       /* says which transaction a block belongs to, and in which role */
#define JX_NODE_CONTAINER 0x2078u /* covers a commit set until the commit */

/* Tag, 52 bytes: header 12; format 2, role, strategy, 0; txid; sequence of the block in its transaction; id 16; size of the
 * file system; offset of the tag in it; crc32 of the 36 bytes before it. Format 1, still read, has neither size nor offset:
 * 44 bytes. */
#define JX_TAG_BYTES 52u
#define JX_TAG_FORMAT 2u
#define JX_TAG_1_BYTES 44u
#define JX_TAG_BYTES_OF(format) ((format) == 1 ? JX_TAG_1_BYTES : JX_TAG_BYTES)
/* Where single bits can be programmed, the SETTLED tag stands before the set, in a container of its own that settling clears:
 * after the set it would be dirty space right after a dirent (retire.c). */
#define JX_COVERED_TAG_BYTES (JX_HEADER_BYTES + JX_TAG_BYTES)
/* Flip: its two headers follow the tags directly, of which format 1 has one; clearing the magic of the second is the commit. */
#define JX_FLIP_HEADERS(format) ((format) == 1 ? JX_TAG_1_BYTES : JX_TAG_BYTES + JX_COVERED_TAG_BYTES)
/* Lift: the tag stands behind so many bytes, the most that a kernel looks at before it takes a block for empty. */
#define JX_LIFT_BYTES 1024u
#define JX_MAGIC_BYTES 2u

struct jx_tag {
    uint8_t role, strategy;
    uint8_t format;      /* of a decoded tag; what is encoded has JX_TAG_FORMAT */
    uint32_t txid, sequence;
    uint8_t id[16];
    uint32_t size_bytes; /* of the file system, as its writer knew it; format 1: 0 */
    uint32_t offset;     /* bytes, of the tag from the start of the file system; format 1: JX_NONE */
};
/* As it is to be programmed at `offset` of a file system of size_bytes; the tag's own two fields are not looked at. */
void jx_tag_encode(int endian, uint8_t out[JX_TAG_BYTES], const struct jx_tag *tag, uint32_t size_bytes, uint32_t offset);
/* p holds totlen bytes. JX_OK, or JX_ECORRUPT where they are not a tag of a known format. */
int jx_tag_decode(int endian, const uint8_t *p, uint32_t totlen, struct jx_tag *out);
/* A tag at p will be programmed at another offset. A tag of format 1, and anything else, stays as it is. p holds an
 * eraseblock, or at least JX_TAG_BYTES. */
void jx_tag_move(int endian, uint8_t *p, uint32_t offset);

/* One change that must appear at the commit, as an encoded node and its summary entry. */
struct jx_change {
    uint8_t *bytes;
    uint32_t len; /* not padded */
    struct jx_summary_entry entry;
    const char *name; /* dirents: inside bytes */
};

struct jx_set {
    struct jx_change *changes;
    uint32_t count, capacity;
    uint32_t bytes;         /* padded to 4 each */
    uint32_t summary_bytes; /* of the entries */
};

/* One way to make a commit set appear at once. A fifth would be one more of these. */
struct jx_strategy_ops {
    const char *name;
    int replaces_in_pairs; /* a replaced name takes a deletion dirent and the new one */
    /* Whether this medium takes it: JX_OK or JX_ESTRATEGY. */
    int (*suits)(const struct jx_geometry *geo);
    /* Bytes of commit set (nodes padded to 4) that the commit block holds, given the bytes of its summary entries. */
    uint32_t (*limit)(const struct jx_geometry *geo, uint32_t summary_bytes);
    /* Writes the set, hidden, into the erased block at txn->commit_block. */
    int (*prepare)(struct jx_txn *txn);
    /* The one operation. */
    int (*commit)(struct jx_txn *txn);
    /* Tidies the commit block once the commit stands; sets *settled_at to where a SETTLED tag may follow in the
     * block, or stands covered, or to JX_NONE where the set has to move to another block. */
    int (*finish)(struct jx_txn *txn, uint32_t *settled_at);
};
extern const struct jx_strategy_ops jx_swap, jx_flip, jx_seal, jx_lift;

enum jx_txn_phase { JX_PHASE_STAGE, JX_PHASE_PREPARED, JX_PHASE_COMMITTED, JX_PHASE_BROKEN };

/* An attribute value that this transaction has written: equal ones share one datum. */
struct jx_new_xattr {
    uint32_t xid;
    uint8_t xprefix, name_len;
    uint16_t value_len;
    uint8_t *bytes; /* name, value */
};

struct jx_txn {
    struct jx_fs *fs;
    struct jx_txn_options options;
    const struct jx_strategy_ops *strategy;
    enum jx_txn_phase phase;
    enum jx_outcome outcome;
    struct jx_writer writer;
    struct jx_set set;
    struct jx_txn_stats stats;
    struct jx_tag tag;
    uint32_t first_ino, next_ino, end_ino, next_xid, next_xseqno;
    uint32_t *versions; /* highest used version of inode first_ino + i */
    uint32_t versions_capacity;
    struct jx_new_xattr *xattrs;
    uint32_t xattr_count;
    uint32_t *pending;    /* xids whose references wait for the next new inode */
    uint32_t pending_count;
    /* the regular file under way */
    struct {
        uint32_t ino, size, written, fill;
        struct jx_attr attr;
        int open;
    } file;
    uint8_t *chunk;       /* JX_CHUNK_BYTES of the file under way */
    uint8_t *node;        /* a node being built */
    uint32_t commit_block; /* absolute offset of the block that holds the set */
    uint8_t *image;        /* what the commit block will hold, erase_size_bytes */
    uint8_t *check;        /* what is read back */
    uint32_t settle_blocks; /* that settling writes */
    struct jx_pool pool;
};

/* numbers.c: numbers from *first up to *end, that one not, which no node on the medium carries: those above the highest, or
 * where a stray node has a number so high that few are left there, the widest gap below. JX_ENOMEM. */
int jx_free_numbers(const struct jx_fs *fs, uint32_t *first, uint32_t *end);

static inline int jx_must_stage(const struct jx_txn *txn) { return txn->phase == JX_PHASE_STAGE ? JX_OK : JX_ESTATE; }
static inline int jx_is_new_ino(const struct jx_txn *txn, uint32_t ino) { return ino >= txn->first_ino && ino < txn->next_ino; }

/* txn_stage.c: txn->node, len bytes, to the block under way; keep_free bytes must follow in the same block */
int jx_stage_node(struct jx_txn *txn, uint32_t len, const struct jx_summary_entry *entry, uint32_t keep_free);

/* txn_set.c: encoding the commit set */
int jx_set_add(struct jx_set *set, const uint8_t *node, uint32_t len, const struct jx_summary_entry *entry);
/* Ends the set in a guard if its last node is a dirent that names something (guard.h). JX_ENOMEM. */
int jx_set_guard(int endian, struct jx_set *set);
void jx_set_free(struct jx_set *set);
/* The set as bytes, each node padded with 0xff to a multiple of 4; out holds set->bytes. */
void jx_set_bytes(const struct jx_set *set, uint8_t *out);

/* glance.c */
/* Whether it is clear, from how the blocks start, that no transaction waits: 1 and *state (JX_TXN_NONE, JX_TXN_SETTLED),
 * 0 where only a full scan can tell, or an error. Commit blocks are read whole. Writes nothing. */
int jx_glance(jx_flash *flash, const struct jx_reader *reader, uint32_t *state);

/* space.c: some node of the tree counts in this block. */
int jx_shows_content(const struct jx_fs *fs, const struct jx_block *block);

/* firm.c: the commit in this block stands, whatever is read of it later: on flash that takes bits one by one it is programmed
 * once more, else the block is, as it is, in a fresh one. 1 done, and *firm is where it stands; 0 this time it was not read as
 * committed; or an error. */
int jx_firm_commit(struct jx_fs *fs, const struct jx_block *block, uint32_t *firm);

/* settle.c */
/* Something of ours waits to be finished or cleared: a transaction, or a block of one in which nothing is needed. */
int jx_is_pending(const struct jx_fs *fs);
/* marks.c */
/* NOR: the nodes that a container hides in this block lose their ACCURATE bit, the last one first, so that an interrupted
 * erase cannot bring them out. */
int jx_disarm(struct jx_fs *fs, uint32_t block);
/* The same for the set that this transaction prepared and gives up. */
int jx_disarm_set(struct jx_txn *txn);
/* A node with a set ACCURATE bit loses it; the summary that lists it goes first. 1 done, 0 it was cleared; an error: jx_is_wear,
 * and the bit may stay. */
int jx_obliterate(struct jx_fs *fs, const struct jx_node *n);

/* retire.c: NOR: which dirents lose their ACCURATE bit. First those are named that must, then come those that go with them,
 * then it is done: jx_retiring_open, jx_retire_..., jx_retire_runs, jx_retire. */
struct jx_retiring {
    struct jx_fs *fs;
    int marks;         /* 0: none may go: all readers have summary support, or this flash takes no single bits */
    uint8_t *fate;     /* by node */
    uint32_t *pending; /* nodes that jx_retire_runs has not looked at */
    uint32_t count;
    uint32_t bytes;    /* of the nodes that move, padded */
};
int jx_retiring_open(struct jx_retiring *r, struct jx_fs *fs, int marks);
void jx_retiring_close(struct jx_retiring *r);
/* Every dirent of this name. */
void jx_retire_name(struct jx_retiring *r, uint32_t pino, const char *name, uint32_t nsize);
/* Every dirent that lost, of every name that a commit set in view speaks of. JX_ENOMEM. */
int jx_retire_superseded(struct jx_retiring *r);
/* Every one that has dirty space right after it. marked_too: also where that is a marked node. */
void jx_retire_merged(struct jx_retiring *r, int marked_too);
/* Every one in a block that is about to be erased. */
void jx_retire_block(struct jx_retiring *r, const struct jx_block *block);
/* The last node of a block, if it is a dirent: something is to be written there that is dirty space. */
void jx_retire_last(struct jx_retiring *r, const struct jx_block *block);
/* Whether a mount could join what follows this node to it, which must be a dirent then. */
int jx_is_merged(const struct jx_fs *fs, uint32_t node);
void jx_retire_runs(struct jx_retiring *r);
/* Those that are needed move to w; nodes_moved and bits_cleared are added to. */
int jx_retire(struct jx_retiring *r, struct jx_writer *w, struct jx_recovery *out);

/* settle.c */
/* The SETTLED tag of txn->commit_block in its container, into txn->image. */
void jx_cover_settled(struct jx_txn *txn, uint32_t at);
/* A settled block of a version whose tags have format 1, which left marks right after dirents (retire.c), where no tag says
 * that a later one has settled since; NULL: none, or this flash has no such marks. */
const struct jx_block *jx_unmended(const struct jx_fs *fs);
/* A commit block in which nothing is needed: its commit was cut, or never came. */
int jx_has_stale_commit(const struct jx_fs *fs);
/* The datum of an attribute in use stands in this block: a kernel has gone on there. It is never copied: half a copy, whose
 * header is whole, hides the datum itself, since the kernel takes the later of equal versions before it has seen their content
 * (jffs2_scan_xattr_node), and so does half of what is erased after it was copied to a block before. */
int jx_holds_datum(const struct jx_fs *fs, const struct jx_block *block);
/* After the commit: JX_OK once nothing depends on the trick. *stands: the new tree is there. settle 0: only look. */
int jx_settle_committed(struct jx_txn *txn, int settle, int *stands);

#endif
