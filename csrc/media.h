/* media.h: what JFFS2 puts on the medium, byte by byte (include/uapi/linux/jffs2.h, fs/jffs2/summary.h).
 *
 * Fields are byte arrays, so every struct has alignment 1 and no padding and may be laid over any bytes; they are
 * read and written through get16 ... put32 of codec.h in the byte order of the image. A node starts at a multiple
 * of 4 and the next one at JX_PAD(totlen). CRCs are jx_crc32 with seed 0.
 */
#ifndef JFFS2TX_MEDIA_H
#define JFFS2TX_MEDIA_H

#include <stddef.h>
#include <stdint.h>

/* First field of every node. */
#define JX_MAGIC 0x1985u
#define JX_MAGIC_OLD 0x1984u   /* JFFS version 1: no stock reader takes it */
#define JX_MAGIC_DIRTY 0x0000u /* dirty space: a scan steps on by 4 bytes */
#define JX_MAGIC_EMPTY 0xffffu /* erased */

/* Parts of a nodetype. */
#define JX_ACCURATE 0x2000u             /* cleared: the node is obsolete */
#define JX_COMPAT_MASK 0xc000u          /* what a reader does that does not know the type: */
#define JX_COMPAT_INCOMPAT 0xc000u      /*   refuse the mount */
#define JX_COMPAT_ROCOMPAT 0x8000u      /*   mount read-only */
#define JX_COMPAT_RWCOMPAT_COPY 0x4000u /*   keep it through garbage collection */
#define JX_COMPAT_RWCOMPAT_DELETE 0x0000u /* skip it, drop it at garbage collection */

#define JX_SUMMARY_MAGIC 0x02851885u
#define JX_MAX_NAME_BYTES 254u  /* of a dirent */
#define JX_MAX_DATA_BYTES 4096u /* of a file in one node; a node never crosses a multiple of it */

struct jx_media_header { /* the start of every node; all of a cleanmarker or padding node but its filling */
    uint8_t magic[2];    /* JX_MAGIC */
    uint8_t nodetype[2]; /* enum jx_nodetype, or another */
    uint8_t totlen[4];   /* bytes of the whole node, this header included */
    uint8_t hdr_crc[4];  /* of the 8 bytes before, ACCURATE counted as set */
};

struct jx_media_inode { /* metadata of an inode, and a piece of its data */
    struct jx_media_header header;
    uint8_t ino[4];      /* inode number; the root is 1 */
    uint8_t version[4];  /* the higher one wins; one sequence with the dirents of the same directory */
    uint8_t mode[4];     /* type and permissions (st_mode) */
    uint8_t uid[2];      /* owner */
    uint8_t gid[2];      /* group */
    uint8_t isize[4];    /* the file's size in bytes after this node */
    uint8_t atime[4];    /* last access, seconds since 1970 */
    uint8_t mtime[4];    /* last modification, seconds since 1970 */
    uint8_t ctime[4];    /* last change, seconds since 1970 */
    uint8_t offset[4];   /* of the data in the file, bytes */
    uint8_t csize[4];    /* bytes of data that follow, as compressed */
    uint8_t dsize[4];    /* bytes of the file that they stand for */
    uint8_t compr[1];    /* enum jx_compr */
    uint8_t usercompr[1]; /* compression asked for; 0 */
    uint8_t flags[2];    /* JFFS2_INO_FLAG_*; 0 */
    uint8_t data_crc[4]; /* of the csize bytes */
    uint8_t node_crc[4]; /* of the 60 bytes up to data_crc */
    /* csize bytes: file data; link target; device number (2 or 4 bytes, jx_encode_dev) */
};

struct jx_media_dirent { /* a name in a directory */
    struct jx_media_header header;
    uint8_t pino[4];     /* the directory's inode number */
    uint8_t version[4];  /* the higher one wins for a (pino, name) */
    uint8_t ino[4];      /* what the name stands for; 0: the name is deleted */
    uint8_t mctime[4];   /* mtime and ctime that the directory gets, seconds since 1970 */
    uint8_t nsize[1];    /* bytes of the name, 1 to 254 */
    uint8_t type[1];     /* DT_* of dirent.h: the file type bits of mode >> 12 */
    uint8_t unused[2];   /* 0 */
    uint8_t node_crc[4]; /* of the 32 bytes up to here */
    uint8_t name_crc[4]; /* of the name up to its first NUL */
    /* nsize bytes: the name, no NUL */
};

struct jx_media_xattr { /* the name and value of an extended attribute; totlen is a multiple of 4 */
    struct jx_media_header header;
    uint8_t xid[4];       /* the attribute's number */
    uint8_t version[4];   /* the higher one wins for an xid */
    uint8_t xprefix[1];   /* namespace: JFFS2_XPREFIX_* */
    uint8_t name_len[1];  /* bytes of the name, NUL not counted */
    uint8_t value_len[2]; /* bytes of the value */
    uint8_t data_crc[4];  /* of name, NUL and value */
    uint8_t node_crc[4];  /* of the 28 bytes up to here */
    /* name_len bytes, NUL, value_len bytes, filling up to a multiple of 4 */
};

struct jx_media_xref { /* an inode has an attribute */
    struct jx_media_header header;
    uint8_t ino[4];      /* the inode */
    uint8_t xid[4];      /* its attribute */
    uint8_t xseqno[4];   /* the higher one wins for an (ino, xid); bit 0 set: the reference is deleted */
    uint8_t node_crc[4]; /* of the 24 bytes up to here */
};

struct jx_media_summary { /* what stands in an eraseblock; the node reaches to the eraseblock's end */
    struct jx_media_header header;
    uint8_t sum_num[4];  /* entries */
    uint8_t cln_mkr[4];  /* bytes of the cleanmarker node, 0: none */
    uint8_t padded[4];   /* bytes of padding nodes in the eraseblock */
    uint8_t sum_crc[4];  /* of all that follows, marker included */
    uint8_t node_crc[4]; /* of the 24 bytes up to sum_crc */
    /* sum_num entries, filling 0xFF, struct jx_media_marker */
};

struct jx_media_sum_inode { /* entry for an inode node; an xattr node's is alike, with the xid in ino */
    uint8_t nodetype[2]; /* JX_NODE_INODE, JX_NODE_XATTR */
    uint8_t ino[4];      /* inode number; xid */
    uint8_t version[4];  /* as in the node */
    uint8_t offset[4];   /* of the node in the eraseblock, bytes */
    uint8_t totlen[4];   /* as in the node */
};

struct jx_media_sum_dirent {
    uint8_t nodetype[2]; /* JX_NODE_DIRENT */
    uint8_t totlen[4];   /* as in the node */
    uint8_t offset[4];   /* of the node in the eraseblock, bytes */
    uint8_t pino[4];     /* as in the node */
    uint8_t version[4];  /* as in the node */
    uint8_t ino[4];      /* as in the node; 0: deleted */
    uint8_t nsize[1];    /* bytes of the name */
    uint8_t type[1];     /* as in the node */
    /* nsize bytes: the name */
};

struct jx_media_sum_xref {
    uint8_t nodetype[2]; /* JX_NODE_XREF */
    uint8_t offset[4];   /* of the node in the eraseblock, bytes */
};

struct jx_media_marker { /* the last 8 bytes of an eraseblock that has a summary */
    uint8_t offset[4];   /* of the summary node in the eraseblock, bytes */
    uint8_t magic[4];    /* JX_SUMMARY_MAGIC */
};

#define JX_PIN_SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#define JX_PIN(type, field, at) _Static_assert(offsetof(struct type, field) == (at), #type "." #field)

JX_PIN_SIZE(jx_media_header, 12);
JX_PIN(jx_media_header, nodetype, 2);
JX_PIN(jx_media_header, totlen, 4);
JX_PIN(jx_media_header, hdr_crc, 8);

JX_PIN_SIZE(jx_media_inode, 68);
JX_PIN(jx_media_inode, ino, 12);
JX_PIN(jx_media_inode, version, 16);
JX_PIN(jx_media_inode, mode, 20);
JX_PIN(jx_media_inode, uid, 24);
JX_PIN(jx_media_inode, gid, 26);
JX_PIN(jx_media_inode, isize, 28);
JX_PIN(jx_media_inode, atime, 32);
JX_PIN(jx_media_inode, mtime, 36);
JX_PIN(jx_media_inode, ctime, 40);
JX_PIN(jx_media_inode, offset, 44);
JX_PIN(jx_media_inode, csize, 48);
JX_PIN(jx_media_inode, dsize, 52);
JX_PIN(jx_media_inode, compr, 56);
JX_PIN(jx_media_inode, usercompr, 57);
JX_PIN(jx_media_inode, flags, 58);
JX_PIN(jx_media_inode, data_crc, 60);
JX_PIN(jx_media_inode, node_crc, 64);

JX_PIN_SIZE(jx_media_dirent, 40);
JX_PIN(jx_media_dirent, pino, 12);
JX_PIN(jx_media_dirent, version, 16);
JX_PIN(jx_media_dirent, ino, 20);
JX_PIN(jx_media_dirent, mctime, 24);
JX_PIN(jx_media_dirent, nsize, 28);
JX_PIN(jx_media_dirent, type, 29);
JX_PIN(jx_media_dirent, unused, 30);
JX_PIN(jx_media_dirent, node_crc, 32);
JX_PIN(jx_media_dirent, name_crc, 36);

JX_PIN_SIZE(jx_media_xattr, 32);
JX_PIN(jx_media_xattr, xid, 12);
JX_PIN(jx_media_xattr, version, 16);
JX_PIN(jx_media_xattr, xprefix, 20);
JX_PIN(jx_media_xattr, name_len, 21);
JX_PIN(jx_media_xattr, value_len, 22);
JX_PIN(jx_media_xattr, data_crc, 24);
JX_PIN(jx_media_xattr, node_crc, 28);

JX_PIN_SIZE(jx_media_xref, 28);
JX_PIN(jx_media_xref, ino, 12);
JX_PIN(jx_media_xref, xid, 16);
JX_PIN(jx_media_xref, xseqno, 20);
JX_PIN(jx_media_xref, node_crc, 24);

JX_PIN_SIZE(jx_media_summary, 32);
JX_PIN(jx_media_summary, sum_num, 12);
JX_PIN(jx_media_summary, cln_mkr, 16);
JX_PIN(jx_media_summary, padded, 20);
JX_PIN(jx_media_summary, sum_crc, 24);
JX_PIN(jx_media_summary, node_crc, 28);

JX_PIN_SIZE(jx_media_sum_inode, 18);
JX_PIN(jx_media_sum_inode, ino, 2);
JX_PIN(jx_media_sum_inode, version, 6);
JX_PIN(jx_media_sum_inode, offset, 10);
JX_PIN(jx_media_sum_inode, totlen, 14);

JX_PIN_SIZE(jx_media_sum_dirent, 24);
JX_PIN(jx_media_sum_dirent, totlen, 2);
JX_PIN(jx_media_sum_dirent, offset, 6);
JX_PIN(jx_media_sum_dirent, pino, 10);
JX_PIN(jx_media_sum_dirent, version, 14);
JX_PIN(jx_media_sum_dirent, ino, 18);
JX_PIN(jx_media_sum_dirent, nsize, 22);
JX_PIN(jx_media_sum_dirent, type, 23);

JX_PIN_SIZE(jx_media_sum_xref, 6);
JX_PIN(jx_media_sum_xref, offset, 2);

JX_PIN_SIZE(jx_media_marker, 8);
JX_PIN(jx_media_marker, magic, 4);

#undef JX_PIN
#undef JX_PIN_SIZE

#endif
