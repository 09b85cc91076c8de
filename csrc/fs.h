/* fs.h: the index that scan fills and everything above reads. Internal. */
#ifndef JFFS2TX_FS_H
#define JFFS2TX_FS_H

#include <stddef.h>
#include "flash.h"
#include "jffs2tx.h"
#include "media.h"

#define JX_NONE 0xffffffffu
#define JX_ROOT_INO 1u
/* Inode numbers, xattr ids and versions stay below this (docs: engine limits). */
#define JX_NUMBER_LIMIT 0x80000000u
#define JX_HEADER_BYTES 12u
#define JX_INODE_BYTES 68u
#define JX_DIRENT_BYTES 40u
#define JX_XATTR_BYTES 32u
#define JX_XREF_BYTES 28u
#define JX_SUMMARY_BYTES 32u
#define JX_MARKER_BYTES 8u
#define JX_CLEANMARKER_OOB_BYTES 8u
#define JX_CHUNK_BYTES JX_MAX_DATA_BYTES
#define JX_MAX_NAME JX_MAX_NAME_BYTES
#define JX_MAX_SUMMARY 65536u /* summary.h MAX_SUMMARY_SIZE */

/* File types in a mode, as the medium has them whatever the host's headers say. */
#define S_IFMT 0170000u
#define S_IFDIR 0040000u
#define S_IFREG 0100000u
#define S_IFLNK 0120000u
#define S_IFBLK 0060000u
#define S_IFCHR 0020000u

static inline uint32_t jx_align(uint32_t n, uint32_t to) { return (n + to - 1) / to * to; }
static inline uint32_t jx_pad4(uint32_t n) { return (n + 3u) & ~3u; }

/* One inode number that any node speaks of. */
struct jx_inode_rec {
    uint32_t ino;
    uint32_t first_node;             /* good inode nodes, chained by jx_node.next */
    uint32_t first_name, name_count; /* in fs->names_of: its winning names, if a directory */
    uint32_t ghost_count;            /* behind them: winners that are no good; linked, never listed */
    uint32_t highest_version;        /* of all that is on the medium, hidden nodes too */
    uint32_t nlink;                  /* pino_nlink of the kernel */
    uint8_t exists;                  /* a visible node or dirent makes the kernel keep an inode cache */
    uint8_t alive;                   /* survives jffs2_build_filesystem */
    uint8_t has_xrefs;               /* a good xattr reference names it, living or not */
};

/* A piece of a file: [offset, offset + len) shows node. */
struct jx_frag { uint32_t offset, len, node; };

struct jx_map {
    uint32_t ino;
    uint32_t meta;     /* node with the newest metadata; JX_NONE: there is none */
    uint32_t size;     /* bytes of content after truncation */
    struct jx_frag *frags;
    uint32_t count, capacity;
    uint8_t filled;    /* 0: of no inode */
};

struct jx_fs {
    jx_flash *flash;
    struct jx_reader reader;
    int endian;

    struct jx_node *nodes;
    uint32_t node_count, node_capacity;
    char *names;
    uint32_t names_len, names_capacity;
    struct jx_block *blocks;
    uint32_t block_count;

    struct jx_inode_rec *inodes;
    uint32_t inode_count, inode_capacity;
    uint32_t *inode_hash; /* open addressing, JX_NONE empty */
    uint32_t hash_mask, hash_seed;

    uint32_t *dirents;    /* every well-formed dirent, by (pino, name, version, place) */
    uint32_t dirent_count;
    struct jx_name *names_of; /* the winners that name something, by (pino, name) */
    uint32_t name_count;
    uint32_t *xrefs;      /* winning, living xattr references, by (ino, name) */
    uint32_t xref_count;
    uint32_t *xdata;      /* good xattr data, by (xid, version) */
    uint32_t xdatum_count;

    uint32_t highest_ino, highest_xid, highest_xseqno;
    uint64_t visible_nodes; /* good nodes that a mount would find */
    uint32_t incompat_at, rocompat_at; /* first unknown node of that class, or JX_NONE */

    struct jx_map map;    /* of the inode read last */
    uint8_t *chunk;       /* two chunks of working memory */
    jx_compressor *compressor;
    struct jx_status status;
};

/* fs.c: jx_fs_open in parts, for who has the nodes already */
int jx_fs_new(jx_flash *flash, const struct jx_reader *reader, jx_fs **out); /* endian as in reader */
int jx_fs_build(jx_fs *fs);   /* from nodes to the tree, as a stock reader builds it */
void jx_fs_forget(jx_fs *fs); /* what jx_fs_build made */
static inline int jx_fs_may_write(const struct jx_fs *fs) { return fs->rocompat_at == JX_NONE ? JX_OK : JX_EFORMAT; }

/* scan.c */
int jx_scan(struct jx_fs *fs);
/* Appends the nodes of one block; block->offset is set, the rest 0. buf: erase_size_bytes, holds the block afterwards. */
int jx_scan_block(struct jx_fs *fs, struct jx_block *block, uint8_t *buf);
uint32_t jx_cleanmarker_size(const struct jx_geometry *geo); /* inline bytes; 0 on NAND */
uint32_t jx_cleanmarker_oob_size(const struct jx_geometry *geo);

/* index.c */
int jx_index(struct jx_fs *fs);
struct jx_inode_rec *jx_inode_find(const struct jx_fs *fs, uint32_t ino);
struct jx_inode_rec *jx_inode_get(struct jx_fs *fs, uint32_t ino); /* makes it; NULL: no memory */
/* Order of dirents: pino, then name bytes. */
int jx_dirent_key_cmp(const struct jx_fs *fs, uint32_t a, uint32_t b);
/* Of the dirents of one name, fs->dirents[first] up to end, the node that wins for this reader; JX_NONE: none. */
uint32_t jx_winner(const struct jx_fs *fs, uint32_t first, uint32_t end);
/* The run of fs->dirents that has the key of node; count. */
uint32_t jx_dirent_run(const struct jx_fs *fs, uint32_t pino, const char *name, uint32_t nsize, uint32_t *first);
static inline const char *jx_node_name(const struct jx_fs *fs, const struct jx_node *n) { return fs->names + n->name; }
/* The types that make up the tree, and that summaries list. */
static inline int jx_is_content(uint16_t type)
{
    return type == JX_NODE_INODE || type == JX_NODE_DIRENT || type == JX_NODE_XATTR || type == JX_NODE_XREF;
}
/* A dirent whose content stands; it may be obsolete or hidden. */
static inline int jx_is_named(const struct jx_node *n) { return n->nodetype == JX_NODE_DIRENT && n->nsize > 0; }
/* What jffs2_scan_medium hands to the build: good nodes, what a summary says of others, and names with a NUL inside. */
static inline int jx_is_seen(const struct jx_node *n)
{
    return n->verdict == JX_V_GOOD || (jx_is_named(n) && (n->by_summary || n->verdict == JX_V_BAD_NAME));
}

/* Of copies with equal versions those in an unfinished commit block count: the others are what a cut left of moving it. */
static inline int jx_in_commit_block(const struct jx_fs *fs, uint32_t node)
{
    const struct jx_block *block = &fs->blocks[fs->nodes[node].offset / fs->flash->geo.erase_size_bytes];
    return block->tag == JX_TAG_COMMIT && !block->worn;
}

/* A dirent that is seen and not good: the build believes it, reading the directory drops it again, and older ones of its
 * name are gone by then (jffs2_get_inode_nodes). */
static inline int jx_is_ghost(const struct jx_node *n) { return jx_is_seen(n) && n->verdict != JX_V_GOOD; }

typedef int (*jx_less)(const void *ctx, uint32_t a, uint32_t b); /* <0, 0, >0 */
int jx_sort(uint32_t *a, uint32_t n, jx_less cmp, const void *ctx); /* stable merge sort */

/* map.c */
int jx_map_inode(struct jx_fs *fs, uint32_t ino); /* fills fs->map */
void jx_map_truncate(struct jx_fs *fs, uint32_t size);
uint32_t jx_node_span(const struct jx_node *n); /* bytes of the file that an inode node shows; 0: metadata only */
int jx_node_data_good(struct jx_fs *fs, uint32_t node); /* 1, 0, or an error: it could not be read */

/* inode.c */
/* The dirent from which directory ino has its times, its inode node having this version; JX_NONE: from that node itself
 * (jffs2_do_read_inode_internal, mctime_ver). */
uint32_t jx_time_dirent(const struct jx_fs *fs, uint32_t ino, uint32_t version);

/* content.c: the decompressed content of a node, at most 1 MiB, in *out (allocated). */
int jx_node_content(struct jx_fs *fs, uint32_t node, uint8_t **out);

/* xattrs.c */
/* The newest good datum of an xid: where in fs->xdata, and the node itself; JX_NONE: there is none. */
uint32_t jx_xattr_place(const struct jx_fs *fs, uint32_t xid);
uint32_t jx_xattr_datum(const struct jx_fs *fs, uint32_t xid);

/* digest.c: jx_fs_digest by one who may know the contents of files. */
struct jx_known_contents {
    void *ctx;
    /* For the inode that is mapped, a file of size bytes: where the two words of its content's hash are kept, both 0 until
     * they are known, when they are filled in there. NULL: nowhere. The pointer holds until the next call. */
    uint64_t *(*find)(void *ctx, jx_fs *fs, uint32_t size);
};
int jx_digest(jx_fs *fs, const struct jx_known_contents *known, uint8_t out[16]);

/* twins.c: of nodes that are the same, all that read well are needed if one is. JX_ENOMEM, or what reading returns. */
int jx_need_twins(struct jx_fs *fs);
/* Whether all that is needed of a block stands, good, in the other one too: 1, 0, or JX_ENOMEM. */
int jx_stands_in(const struct jx_fs *fs, const struct jx_block *block, const struct jx_block *other);

/* space.c */
int jx_space_account(struct jx_fs *fs);
uint32_t jx_reserve_blocks(const struct jx_geometry *geo);

#endif
