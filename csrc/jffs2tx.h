/* jffs2tx.h: the public interface of the C core.
 *
 * Functions return JX_OK (0) or a count, or one negative enum jx_error. Offsets
 * are absolute bytes from the start of the device, sizes are bytes, times are
 * seconds since 1970. No globals, no printing; one handle serves one thread at a
 * time.
 *
 * The part between the two marker lines is also the cdef of the Python binding:
 * plain declarations only, no preprocessor.
 */
#ifndef JFFS2TX_H
#define JFFS2TX_H

#include <stdint.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CDEF BEGIN */

enum jx_error {
    JX_OK = 0,
    JX_ENOMEM = -1,     /* allocation failed */
    JX_EIO = -2,        /* the medium could not be read, programmed or erased */
    JX_EFLASH = -3,     /* a flash rule was broken (range, order, 0 -> 1): a bug in the caller */
    JX_EGEOMETRY = -4,  /* impossible or unsuitable geometry */
    JX_EFORMAT = -5,    /* not JFFS2, or a node that a stock reader refuses to mount */
    JX_ECORRUPT = -6,   /* data fails its CRC or does not decompress */
    JX_ENOENT = -7,     /* no such inode, name or attribute */
    JX_EEXIST = -8,     /* the name is taken */
    JX_ENOTDIR = -9,
    JX_EISDIR = -10,
    JX_ENOTEMPTY = -11,
    JX_EINVAL = -12,    /* an argument outside what JFFS2 can hold */
    JX_ENOSPC = -13,    /* not enough erased blocks, the kernel's reserve included */
    JX_ETOOBIG = -14,   /* the commit set does not fit one block (or page) */
    JX_EVERIFY = -15,   /* read back something other than was programmed */
    JX_ESTATE = -16,    /* call out of order (commit before prepare, write after commit) */
    JX_ELIMIT = -17,    /* a limit of the engine: nodes, names, inode numbers, versions */
    JX_EUNKNOWN_COMPR = -18, /* compressed by a method that this build cannot read */
    JX_ECUT = -19,      /* simulator: the power is gone */
    JX_ESTRATEGY = -20, /* the strategy does not apply to this medium */
};

enum jx_endian { JX_LITTLE = 0, JX_BIG = 1 };

/* The kinds that jffs2_flash_setup() tells apart (fs/jffs2/fs.c). */
enum jx_kind { JX_NOR = 0, JX_NAND = 1, JX_NOR_ECC = 2 };

struct jx_geometry {
    uint32_t kind;               /* enum jx_kind */
    uint32_t size_bytes;         /* a multiple of erase_size_bytes */
    uint32_t erase_size_bytes;   /* a multiple of 4096, at least 4096 */
    uint32_t write_size_bytes;   /* 1: any byte; NAND: the page */
    uint32_t subpage_size_bytes; /* NAND: smallest program; = write_size_bytes where pages go whole */
    uint32_t oob_avail_bytes;    /* free OOB bytes a page (automatic placement); 0: no OOB kept */
};

struct jx_flash_stats {
    uint64_t bytes_read;
    uint64_t bytes_programmed;
    uint64_t programs;
    uint64_t erases;
    uint64_t bytes_verified;
};

typedef struct jx_flash jx_flash;

const char *jx_strerror(int error);

/* ---- flash devices -------------------------------------------------------- */

/* Memory, all erased. */
int jx_flash_open_memory(const struct jx_geometry *geo, jx_flash **out);
/* An image file, mapped. Shorter than geo->size_bytes: the rest reads as erased, and
 * the file grows, to the end of that eraseblock, only when something is programmed there. OOB
 * lives as long as the handle, and there is no bad-block table. Programming or erasing what was
 * opened read-only is JX_EIO. JX_ENOENT, JX_EIO, JX_EGEOMETRY (longer than size_bytes). */
int jx_flash_open_file(const char *path, const struct jx_geometry *geo, int writable, jx_flash **out);
void jx_flash_close(jx_flash *f);
void jx_flash_geometry(const jx_flash *f, struct jx_geometry *out);
void jx_flash_statistics(const jx_flash *f, struct jx_flash_stats *out);
/* A copy in memory: content, OOB, bad blocks and what was programmed since the last erase. A
 * simulator's content is copied even where its power is gone. */
int jx_flash_clone(jx_flash *from, jx_flash **out);
/* Raw access, for tests and for moving images; bounds-checked. jx_flash_raw_prog takes any number of
 * pages. jx_flash_load bypasses the flash's rules: it sets the content as it is. JX_EINVAL where the
 * device is neither memory nor simulator, JX_ESTATE where a simulator's log is not empty. */
int jx_flash_raw_read(jx_flash *f, uint32_t off, void *buf, uint32_t len);
int jx_flash_raw_prog(jx_flash *f, uint32_t off, const void *buf, uint32_t len);
int jx_flash_raw_erase(jx_flash *f, uint32_t off);
int jx_flash_raw_oob_read(jx_flash *f, uint32_t off, void *buf, uint32_t len);
int jx_flash_raw_oob_prog(jx_flash *f, uint32_t off, const void *buf, uint32_t len);
int jx_flash_raw_is_bad(jx_flash *f, uint32_t off); /* 1 bad, 0 good */
int jx_flash_raw_mark_bad(jx_flash *f, uint32_t off);
int jx_flash_raw_sync(jx_flash *f);
int jx_flash_load(jx_flash *f, uint32_t off, const void *buf, uint32_t len);

/* ---- codec: pure functions over bytes ------------------------------------- */

enum jx_nodetype { /* ACCURATE bit set; include/uapi/linux/jffs2.h */
    JX_NODE_DIRENT = 0xe001,
    JX_NODE_INODE = 0xe002,
    JX_NODE_CLEANMARKER = 0x2003,
    JX_NODE_PADDING = 0x2004,
    JX_NODE_SUMMARY = 0x2006,
    JX_NODE_XATTR = 0xe008,
    JX_NODE_XREF = 0xe009,
};

struct jx_header { /* 12 bytes on the medium */
    uint16_t magic;
    uint16_t nodetype;
    uint32_t totlen;
    uint32_t hdr_crc;
};

struct jx_inode { /* 68 bytes on the medium, then csize bytes of data */
    uint32_t ino, version, mode;
    uint16_t uid, gid;
    uint32_t isize, atime, mtime, ctime;
    uint32_t offset; /* of the data in the file */
    uint32_t csize, dsize;
    uint8_t compr, usercompr;
    uint16_t flags;
    uint32_t data_crc; /* of the csize bytes */
};

struct jx_dirent { /* 40 bytes on the medium, then nsize bytes of name */
    uint32_t pino, version, ino, mctime;
    uint8_t nsize, type;
    uint32_t name_crc;
};

struct jx_xattr { /* 32 bytes on the medium, then name, NUL, value */
    uint32_t xid, version;
    uint8_t xprefix, name_len;
    uint16_t value_len;
    uint32_t data_crc;
};

struct jx_xref { /* 32 bytes with node_crc at 24: 28 bytes in all */
    uint32_t ino, xid, xseqno;
};

struct jx_summary { /* 32 bytes on the medium, then entries, padding, 8-byte marker */
    uint32_t sum_num, cln_mkr, padded, sum_crc;
};

/* One entry of a summary; the fields that its nodetype does not have are 0. */
struct jx_summary_entry {
    uint16_t nodetype;
    uint32_t ino;     /* inode: ino; dirent: pino; xattr: xid */
    uint32_t version;
    uint32_t offset;  /* from the start of the eraseblock */
    uint32_t totlen;
    uint32_t child;   /* dirent: ino that the name stands for */
    uint8_t nsize, type;
    uint32_t name_at; /* dirent: where the name starts, from the summary node's first byte */
};

/* crc32 as JFFS2 counts it: polynomial 0xedb88320, seed as given, no inversion. */
uint32_t jx_crc32(uint32_t seed, const void *data, size_t len);

/* What a header is worth. Decoders below take a pointer to at least the fixed size
 * of their node and check its CRC; names and data are checked by the caller's len. */
enum jx_check { JX_GOOD = 0, JX_BAD_MAGIC, JX_BAD_HEADER_CRC, JX_BAD_NODE_CRC, JX_BAD_NAME_CRC, JX_BAD_DATA_CRC, JX_BAD_LENGTH };

/* The header CRC counts with the ACCURATE bit set (fs/jffs2/scan.c). */
int jx_decode_header(int endian, const uint8_t *p, struct jx_header *out);  /* enum jx_check */
int jx_decode_inode(int endian, const uint8_t *p, struct jx_inode *out);    /* 68 bytes; node CRC */
int jx_decode_dirent(int endian, const uint8_t *p, struct jx_dirent *out);  /* 40 bytes; node CRC */
int jx_decode_xattr(int endian, const uint8_t *p, struct jx_xattr *out);    /* 32 bytes; node CRC */
int jx_decode_xref(int endian, const uint8_t *p, struct jx_xref *out);      /* 28 bytes; node CRC */
/* A whole summary node of len bytes, from its header to the end of the eraseblock: header,
 * node and summary CRC, totlen == len (jffs2_sum_scan_sumnode). enum jx_check. */
int jx_decode_summary(int endian, const uint8_t *p, uint32_t len, struct jx_summary *out);
/* Entry at *pos (start with 32); moves *pos on. 1 an entry, 0 a nodetype that summaries do
 * not know, JX_EFORMAT where it would run over len - 8. */
int jx_decode_summary_entry(int endian, const uint8_t *p, uint32_t len, uint32_t *pos, struct jx_summary_entry *out);

/* Encoders fill header, CRCs and payload, write totlen bytes to out and return totlen (not
 * padded to 4). out holds at least that. */
uint32_t jx_encode_header(int endian, uint8_t *out, uint16_t nodetype, uint32_t totlen); /* 12 bytes */
uint32_t jx_encode_inode(int endian, uint8_t *out, const struct jx_inode *in, const void *data);
uint32_t jx_encode_dirent(int endian, uint8_t *out, const struct jx_dirent *in, const void *name);
uint32_t jx_encode_xattr(int endian, uint8_t *out, const struct jx_xattr *in, const void *name, const void *value);
uint32_t jx_encode_xref(int endian, uint8_t *out, const struct jx_xref *in);
/* Bytes of one summary entry: 18 inode, 24 + nsize dirent, 18 xattr, 6 xref. */
uint32_t jx_summary_entry_size(const struct jx_summary_entry *e);
/* A summary of n entries that fills exactly total bytes (to the end of the eraseblock, marker
 * included); names[i] is the name of entry i where that is a dirent. sum_offset: where
 * the node starts in its eraseblock. Returns total or JX_EINVAL where it does not fit. */
int jx_encode_summary(int endian, uint8_t *out, uint32_t total, uint32_t sum_offset, uint32_t cln_mkr, uint32_t padded,
                      const struct jx_summary_entry *entries, const char *const *names, uint32_t n);

/* ---- compressors ---------------------------------------------------------- */

enum jx_compr {
    JX_COMPR_NONE = 0,
    JX_COMPR_ZERO = 1,
    JX_COMPR_RTIME = 2,
    JX_COMPR_RUBINMIPS = 3,
    JX_COMPR_COPY = 4,
    JX_COMPR_DYNRUBIN = 5,
    JX_COMPR_ZLIB = 6,
    JX_COMPR_LZO = 7,
};

/* Bits for jx_compress: methods that may be used. */
enum jx_compr_mask { JX_USE_NONE = 1, JX_USE_ZERO = 2, JX_USE_RTIME = 4, JX_USE_ZLIB = 64, JX_USE_LZO = 128 };

typedef struct jx_compressor jx_compressor; /* working memory, reused from call to call */
int jx_compressor_new(jx_compressor **out);
void jx_compressor_free(jx_compressor *c);
/* The smallest of the allowed methods for len <= 4096 bytes; JX_COMPR_NONE where none makes it smaller,
 * JX_COMPR_ZERO (csize 0) for nothing but zeros where allowed. out holds at least len bytes.
 * Returns the enum jx_compr used, *csize set; same input, same output. */
int jx_compress(jx_compressor *c, uint32_t mask, const void *data, uint32_t len, void *out, uint32_t *csize);
/* Exactly dsize bytes; JX_ECORRUPT, JX_EUNKNOWN_COMPR. dsize <= 1 MiB. */
int jx_decompress(jx_compressor *c, int compr, const void *data, uint32_t csize, void *out, uint32_t dsize);

/* ---- simulator: record once, rebuild every crash --------------------------- */

/* Memory that keeps the rules and records each program, erase, OOB program and sync with its data,
 * from start (size_bytes, or NULL for all erased). */
int jx_sim_open(const struct jx_geometry *geo, const void *start, jx_flash **out);

enum jx_sim_kind { JX_SIM_PROG = 0, JX_SIM_ERASE = 1, JX_SIM_OOB = 2, JX_SIM_SYNC = 3, JX_SIM_BAD = 4 };
struct jx_sim_op {
    uint32_t kind; /* enum jx_sim_kind */
    uint32_t off;
    uint32_t len;
};
uint32_t jx_sim_op_count(const jx_flash *sim);
int jx_sim_op_get(const jx_flash *sim, uint32_t index, struct jx_sim_op *out);
/* Forget the log; the content now is the new start. */
int jx_sim_restart(jx_flash *sim);
/* Fail from outside: from the n-th program, erase or OOB program from now on every call returns JX_ECUT (n = 0: the
 * next; UINT32_MAX: never, and the power is back). jx_sim_restart brings the power back too. */
int jx_sim_cut_after(jx_flash *sim, uint32_t n);

/* Fault families of a torn operation; see docs. A bit mask. */
enum jx_fault {
    JX_F1_CUT = 1,        /* the operation not at all (tear 0, always there), or whole (tear 0 of the next cut) */
    JX_F2_PREFIX = 2,     /* a program's prefix. OOB, and NOR below 256 bytes: each byte. NOR up to 1024 bytes: each
                           * 4-byte word; longer: each word in the first and last 128 bytes, each 256 bytes between.
                           * NAND and NOR with ECC: each 256 bytes; each quarter of what is not longer */
    JX_F3_BITS = 4,       /* some bits of what F2's tears (and none) leave out are programmed: old & (new | mask), masks
                           * 0x55, 0xaa and two seeds; NOR: also of the next word only (0x55 and one seed) */
    JX_F4_ORDER = 8,      /* each suffix, each hole, each half; by 256 bytes, by quarters below 1024 */
    JX_F5_ERASE = 16,     /* interrupted erase: data untouched, erased, each half, mixed bits (4 masks), each with OOB
                           * kept, erased, mixed; first 12 bytes erased or 0; NOR: first 4..64 bytes 0, 1 to 4
                           * quarters 0 */
};
/* Walks crash states: cut = index of the operation that was under way (op_count: after the last), tear = its
 * number among that cut's tears (0: nothing of it landed). jx_crash_tears: how many tears of the wanted families
 * that cut has (at least 1). jx_crash_build: makes out (a memory or sim flash of the same geometry) that crash's
 * content, OOB and bad blocks too; a simulator's log starts anew there. out may have been written to since; a call
 * costs the eraseblocks that changed, least where cuts ascend. jx_crash_describe: that tear in words, cut off at len
 * bytes, such as "prog 0x20000+64: prefix 12". JX_EINVAL (no such cut or tear, not a simulator), JX_EGEOMETRY. */
int jx_crash_tears(const jx_flash *sim, uint32_t cut, uint32_t faults, uint32_t *count);
int jx_crash_build(const jx_flash *sim, uint32_t cut, uint32_t faults, uint32_t tear, jx_flash *out);
int jx_crash_describe(const jx_flash *sim, uint32_t cut, uint32_t faults, uint32_t tear, char *buf, uint32_t len);
/* 128-bit hash of content, OOB and bad blocks, for dropping duplicates; any device. */
int jx_flash_hash(jx_flash *f, uint8_t out[16]);

/* CDEF END */

#ifdef __cplusplus
}
#endif
#endif
