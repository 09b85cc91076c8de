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
    JX_ELIMIT = -17,    /* names of more than 2 GiB in all */
    JX_EUNKNOWN_COMPR = -18, /* compressed by a method that this build cannot read */
    JX_ECUT = -19,      /* simulator: the power is gone */
    JX_ESTRATEGY = -20, /* the strategy does not apply to this medium */
    JX_EECC = -21,      /* read, but some of it is beyond what ECC can correct */
    JX_EBUSY = -22,     /* mounted, and what this call would change is in use */
    JX_EUNFINISHED = -23, /* the commit of an earlier transaction waits: recover first */
    JX_EHOST = -24,     /* image file: the host could not read, write or sync it. Says nothing of the flash: no wear */
    JX_EHOST_FULL = -25, /* image file: the host has no room for it (ENOSPC, EDQUOT, EFBIG). No wear */
    JX_ELIMIT_INO = -27,     /* no inode number below 2^31 is left */
    JX_ELIMIT_VERSION = -28, /* the versions of an inode have reached 2^31 */
    JX_ELIMIT_XATTR = -29,   /* the numbers of attributes or of their references have */
    JX_ELIMIT_TXID = -30,    /* the numbers of transactions have */
    JX_ESHORT = -26,    /* image file: it became shorter while it was open. No wear */
    JX_EHELD = -31,     /* the eraseblock is not known to be the file system's: it is neither erased nor programmed */
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
    uint64_t ecc_corrected; /* bits that ECC put right in what was read */
    uint64_t ecc_failed;    /* places that it could not */
};

typedef struct jx_flash jx_flash;

const char *jx_strerror(int error);

/* ---- flash devices -------------------------------------------------------- */

/* Memory, all erased. */
int jx_flash_open_memory(const struct jx_geometry *geo, jx_flash **out);
/* Where things stand in the OOB bytes that a dump of a NAND has behind each page; offsets are from the first of them. */
struct jx_oob {
    uint32_t size_bytes;     /* behind each page, at most as many as a page has */
    uint32_t free_at;        /* first of the geometry's oob_avail_bytes */
    uint32_t bad_at;         /* not 0xFF in an eraseblock's first or second page: it is bad. JX_NO_BAD_MARK: none is */
    uint32_t ecc_step_bytes; /* 256, 512: pages that are programmed get software Hamming ECC (where Linux has it, for
                              * OOB of 16, 64 and 128 bytes). 0: their ECC bytes stay 0xFF */
};
enum { JX_NO_BAD_MARK = 0x7fffffff };

/* An image file. Shorter than geo->size_bytes: the rest reads as erased, and
 * the file grows, to the end of that eraseblock, only when something is programmed there. Where the host has no room for
 * that the file keeps its size; once the host has failed to write, erasing the last eraseblock that was appended takes it from
 * the file again. What the host cannot do is JX_EHOST, JX_EHOST_FULL or JX_ESHORT.
 * Without oob (NULL) what is programmed in the OOB lives as long as the handle, and no block is bad. With it the file is
 * a dump: its OOB is read and written in place, data in it are neither checked nor corrected by ECC, and programming
 * or erasing a bad block is JX_EIO. Programming or erasing what was opened read-only is JX_EIO.
 * JX_ENOENT, JX_EIO, JX_EGEOMETRY (longer than size_bytes, ends within a page, impossible oob). */
int jx_flash_open_file(const char *path, const struct jx_geometry *geo, const struct jx_oob *oob, int writable,
                       jx_flash **out);
/* The same of a part of the file, `start` bytes in: len bytes, OOB included, and what stands outside is never touched
 * (programming behind it is JX_EIO); 0: all to the file's end, which may grow. */
int jx_flash_open_part(const char *path, const struct jx_geometry *geo, const struct jx_oob *oob, uint64_t start,
                       uint64_t len, int writable, jx_flash **out);
/* /dev/mtdN of Linux; all of the geometry comes from the kernel. It does not keep others away from the device: the
 * caller does, and looks for mounts. JX_ENOENT, JX_EIO (may not be opened, or an ioctl fails), JX_EINVAL (no MTD
 * character device, or not Linux), JX_EGEOMETRY (DataFlash, UBI volumes, MLC NAND, over 4 GiB). */
int jx_flash_open_mtd(const char *path, int writable, jx_flash **out);
void jx_flash_close(jx_flash *f);
/* live: a running kernel has the device mounted read-only and goes on reading what was there. From then on only blocks
 * that hold nothing (erased, or a cleanmarker and no more) are taken, and no other block changes: jx_collect,
 * jx_drop_commits, jx_recover and jx_tidy return JX_EBUSY where they would have to, and what a commit leaves to do waits for
 * jx_recover after the reboot. */
void jx_flash_set_live(jx_flash *f, int live);
/* How sure it is that the whole flash is one file system's. What is erased at its start, or beside something else, counts as
 * room only where the extent is known. What nothing identifies is held unless the user gave the extent. */
enum jx_sureness {
    JX_EXTENT_GUESSED = 0, /* a file, and what was found in it */
    JX_EXTENT_KNOWN,       /* a partition of the kernel's, or what a transaction's tag says */
    JX_EXTENT_GIVEN,       /* by the user: nothing in it is held */
};
/* [start, end): what may be written, if nothing else forbids it: the part of the flash on this side of each seam. */
void jx_flash_set_extent(jx_flash *f, int extent, uint32_t start, uint32_t end);
int jx_flash_is_live(const jx_flash *f);
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
/* Memory and simulator of a paged kind, for tests: from now on ECC gives up on the page at off, until its eraseblock
 * is erased. JX_EINVAL (another device), JX_EFLASH (no page starts there). */
int jx_flash_spoil(jx_flash *f, uint32_t off);

/* What jx_crash_build left unstable (F6): each read that touches it, of data or OOB, finds it in one of these states. */
enum jx_reading {
    JX_READ_BEFORE = 0,  /* as before the operation that was cut */
    JX_READ_AFTER = 1,   /* as after it */
    JX_READ_BETWEEN = 2, /* some bits of each; kinds with ECC read data so with JX_EECC */
    JX_READINGS = 3,
};
enum { JX_UNSTABLE_READS = 3, JX_UNSTABLE_SCHEDULES = 27 };
/* What these reads find, from now on: digits to the base JX_READINGS, the first read the lowest; after JX_UNSTABLE_READS
 * they come again. JX_EINVAL; JX_ENOENT: nothing is unstable, since its eraseblock was erased. */
int jx_flash_unstable_schedule(jx_flash *f, uint32_t schedule);
uint32_t jx_flash_unstable_reads(const jx_flash *f); /* reads that touched it since then */
void jx_flash_unstable_rewind(jx_flash *f);          /* the next one is the first again */
/* From now on it is this, for good. JX_EINVAL, JX_ENOENT. */
int jx_flash_unstable_settle(jx_flash *f, uint32_t reading);

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

struct jx_xattr { /* 32 bytes on the medium, then name, NUL, value; totlen is a multiple of 4 */
    uint32_t xid, version;
    uint8_t xprefix, name_len;
    uint16_t value_len;
    uint32_t data_crc;
};

struct jx_xref { /* 28 bytes on the medium */
    uint32_t ino, xid, xseqno; /* xseqno bit 0 set: the reference is deleted */
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
    uint32_t totlen;  /* xref: always 28 */
    uint32_t child;   /* dirent: ino that the name stands for */
    uint8_t nsize, type;
    uint32_t name_at; /* dirent: where the name starts, from the summary node's first byte */
};

/* crc32 as JFFS2 counts it: polynomial 0xedb88320, seed as given, no inversion. */
uint32_t jx_crc32(uint32_t seed, const void *data, size_t len);

/* What a node is worth. Decoders below take a pointer to at least the fixed size of their node, fill *out whatever
 * they find, and check the node's CRC; names and data are checked by the caller's len. Header and node CRC count
 * with the ACCURATE bit set, as they were written: whether a node is obsolete, its header's nodetype says. */
enum jx_check { JX_GOOD = 0, JX_BAD_MAGIC, JX_BAD_HEADER_CRC, JX_BAD_NODE_CRC, JX_BAD_NAME_CRC, JX_BAD_DATA_CRC, JX_BAD_LENGTH };

int jx_decode_header(int endian, const uint8_t *p, struct jx_header *out);  /* enum jx_check */
int jx_decode_inode(int endian, const uint8_t *p, struct jx_inode *out);    /* 68 bytes; node CRC */
int jx_decode_dirent(int endian, const uint8_t *p, struct jx_dirent *out);  /* 40 bytes; node CRC */
int jx_decode_xattr(int endian, const uint8_t *p, struct jx_xattr *out);    /* 32 bytes; node CRC, totlen */
int jx_decode_xref(int endian, const uint8_t *p, struct jx_xref *out);      /* 28 bytes; node CRC, totlen */
/* A whole summary node of len bytes, from its header to the end of the eraseblock: header,
 * node and summary CRC, totlen == len (jffs2_sum_scan_sumnode; the node CRC counts the bytes as they are).
 * enum jx_check; JX_BAD_DATA_CRC: the summary CRC. */
int jx_decode_summary(int endian, const uint8_t *p, uint32_t len, struct jx_summary *out);
/* Entry at *pos (start with 32); moves *pos on. 1 an entry, 0 a nodetype that summaries do
 * not know, JX_EFORMAT where it would run over len - 8. */
int jx_decode_summary_entry(int endian, const uint8_t *p, uint32_t len, uint32_t *pos, struct jx_summary_entry *out);

/* Encoders fill header, CRCs and payload, write totlen bytes to out and return totlen (not padded to 4, but for xattr
 * nodes, which are filled up with 0xFF). out holds at least that. CRC fields of *in are not read. */
uint32_t jx_encode_header(int endian, uint8_t *out, uint16_t nodetype, uint32_t totlen); /* writes 12 bytes */
uint32_t jx_encode_inode(int endian, uint8_t *out, const struct jx_inode *in, const void *data);
uint32_t jx_encode_dirent(int endian, uint8_t *out, const struct jx_dirent *in, const void *name);
uint32_t jx_encode_xattr(int endian, uint8_t *out, const struct jx_xattr *in, const void *name, const void *value);
uint32_t jx_encode_xref(int endian, uint8_t *out, const struct jx_xref *in);
/* Bytes of one summary entry: 18 inode, 24 + nsize dirent, 18 xattr, 6 xref. */
uint32_t jx_summary_entry_size(const struct jx_summary_entry *e);
/* A summary of n entries that fills exactly total bytes (to the end of the eraseblock, marker
 * included); names[i] is the name of entry i where that is a dirent. sum_offset: where
 * the node starts in its eraseblock. Returns total, or JX_EINVAL where it does not fit, or where the entries do not
 * ascend, overlap, or reach beyond sum_offset (a reader links the nodes in this order). */
int jx_encode_summary(int endian, uint8_t *out, uint32_t total, uint32_t sum_offset, uint32_t cln_mkr, uint32_t padded,
                      const struct jx_summary_entry *entries, const char *const *names, uint32_t n);

/* What a device node's data are (jffs2_encode_dev). Encode returns 2 or 4, the bytes used of out, or JX_EINVAL where
 * JFFS2 cannot hold the number: major below 2^12, minor below 2^20. Decode: JX_ECORRUPT where len is neither. */
int jx_encode_dev(int endian, uint32_t major, uint32_t minor, uint8_t out[4]);
int jx_decode_dev(int endian, const uint8_t *data, uint32_t len, uint32_t *major, uint32_t *minor);

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
    JX_COMPR_LZMA = 8,         /* vendors only: OpenWrt */
    JX_COMPR_LZMA_PROPS = 0x15, /* vendors only: its properties in front */
};

/* Bits for jx_compress: methods that may be used. */
enum jx_compr_mask { JX_USE_NONE = 1, JX_USE_ZERO = 2, JX_USE_RTIME = 4, JX_USE_ZLIB = 64, JX_USE_LZO = 128 };

typedef struct jx_compressor jx_compressor; /* working memory, reused from call to call */
int jx_compressor_new(jx_compressor **out);
void jx_compressor_free(jx_compressor *c);
/* The smallest of the allowed methods for len <= 4096 bytes (more: JX_EINVAL); JX_COMPR_NONE where none makes it
 * smaller, JX_COMPR_ZERO (csize 0) for nothing but zeros where allowed. out holds at least len bytes.
 * Returns the enum jx_compr used, *csize set; same input, same output. */
int jx_compress(jx_compressor *c, uint32_t mask, const void *data, uint32_t len, void *out, uint32_t *csize);
/* Exactly dsize bytes; JX_ECORRUPT, JX_EUNKNOWN_COMPR. dsize <= 1 MiB. compr: as in the node, or
 * compr | usercompr << 8, which the kernel knows for no method above zlib (jffs2_decompress). */
int jx_decompress(jx_compressor *c, int compr, const void *data, uint32_t csize, void *out, uint32_t dsize);

/* ---- simulator: record once, rebuild every crash --------------------------- */

/* Memory that keeps the rules and records each program, erase, OOB program and sync with its data,
 * from start (size_bytes, or NULL for all erased). */
int jx_sim_open(const struct jx_geometry *geo, const void *start, jx_flash **out);
/* The same from what any device holds, OOB and bad blocks too. */
int jx_sim_clone(jx_flash *from, jx_flash **out);

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

/* The n-th program or erase from now (0: the next) fails with JX_EIO, a program with its first half on the medium; from
 * then on every program and erase of that eraseblock fails (F8). UINT32_MAX: none. */
int jx_sim_fail_after(jx_flash *sim, uint32_t n);

/* The n-th program or erase from now (0: the next) says JX_OK, and is not what it says: of a program the first half is on the
 * medium, an erase did nothing. UINT32_MAX: none. */
int jx_sim_lie_after(jx_flash *sim, uint32_t n);

/* Read number n from now (0: the next; OOB too) fails with JX_EIO (F10); from_then_on: so do all after it. UINT32_MAX:
 * none. jx_sim_reads: reads since jx_sim_restart. */
int jx_sim_fail_read_after(jx_flash *sim, uint32_t n, int from_then_on);
uint32_t jx_sim_reads(const jx_flash *sim);

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
    JX_F6_UNSTABLE = 32,  /* what is under way reads otherwise each time: a program its bytes, an erase its eraseblock with
                           * the OOB. Not mixed with others when tears are numbered: tear 1 + a schedule (see
                           * jx_flash_unstable_schedule) */
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

/* ---- the file system on a flash: scan and index ----------------------------- */

typedef struct jx_fs jx_fs;

/* What the stock reader that we stand in for can do. */
struct jx_reader {
    int32_t endian;            /* enum jx_endian, or -1: found by evidence */
    uint32_t summary;          /* 1: believes a valid summary (CONFIG_JFFS2_SUMMARY) */
    uint32_t empty_scan_bytes; /* a block is empty where so many bytes are 0xFF: 256, or 1024 in old kernels */
    uint32_t inspect;          /* 1: goes on where a stock reader refuses the mount, to look at the nodes */
    /* Where boot loaders differ from Linux; all 0: as Linux. */
    uint32_t header_crc_as_is;  /* 1: counts a header's CRC over the nodetype as it is, so a header without its ACCURATE
                                 * bit is bad and the scan steps into the node (U-Boot up to v2020.04, hdr_crc) */
    uint32_t ignores_deletions; /* 1: a dirent with inode number 0 deletes nothing (U-Boot before v2015.10) */
    uint32_t links;             /* enum jx_links */
    uint32_t ecc_stops;         /* 1: a page that ECC cannot correct fails the mount */
    uint32_t compr_mask;        /* bit n: decompresses enum jx_compr n; 0: every method */
    uint32_t no_marks;          /* 1: each kernel that will mount it is known to have CONFIG_JFFS2_SUMMARY, and removes names by
                                 * deletion dirents alone (jffs2_can_mark_obsolete): no dirent loses its ACCURATE bit */
};

/* What jx_fs_digest takes a symbolic link for. */
enum jx_links {
    JX_LINKS_AS_TEXT = 0,  /* its target's text */
    JX_LINKS_BY_NAME = 1,  /* also the file there, looked up from the directory in which the link has this name */
    JX_LINKS_BY_INODE = 2, /* the same from the directory of the dirent that has the highest version of all that name
                            * the link's inode, whether anything reaches that directory or not (U-Boot,
                            * jffs2_1pass_resolve_inode) */
};

/* Reads the whole medium as jffs2_scan_medium and jffs2_build_filesystem do. JX_EFORMAT: a node that makes the
 * kernel refuse the mount, or no node at all on a medium that is not erased. The flash must outlive the handle. */
int jx_fs_open(jx_flash *flash, const struct jx_reader *reader, jx_fs **out);
void jx_fs_close(jx_fs *fs);
int jx_fs_endian(const jx_fs *fs);
/* Where the first node of an unknown type stands whose class makes a stock reader refuse the mount (INCOMPAT), or to mount
 * read-write (ROCOMPAT; whatever would write here returns JX_EFORMAT); 0xffffffff: none. */
uint32_t jx_fs_incompat_at(const jx_fs *fs);
uint32_t jx_fs_rocompat_at(const jx_fs *fs);

enum jx_verdict {
    JX_V_GOOD = 0,      /* counts */
    JX_V_OBSOLETE,      /* its ACCURATE bit is cleared */
    JX_V_HIDDEN,        /* well formed, but a stock reader does not see it (container, summary, "empty" block) */
    JX_V_BAD_HEADER,    /* magic without a good header CRC, or a length beyond the block */
    JX_V_BAD_NODE,      /* node CRC */
    JX_V_BAD_NAME,      /* name CRC */
    JX_V_BAD_DATA,      /* data CRC (only after something asked for the data) */
    JX_V_ERASED,        /* a run of 0xFF */
    JX_V_NOISE,         /* a run of anything else */
};

/* One node, or one run of erased bytes or noise, in medium order. */
struct jx_node {
    uint32_t offset;      /* absolute */
    uint32_t totlen;      /* as in the header; runs: their length */
    uint16_t nodetype;    /* with ACCURATE set; 0 for runs */
    uint8_t verdict;      /* enum jx_verdict */
    uint8_t by_summary;   /* known from a summary entry */
    uint32_t ino;         /* inode: ino; dirent: pino; xref: ino */
    uint32_t version;     /* xref: xseqno */
    uint32_t child;       /* dirent: ino named, 0 deletes; xattr and xref: xid */
    uint32_t file_offset; /* inode: where the data stand in the file; dirent: mctime */
    uint32_t dsize;       /* inode: bytes of the file; xattr: value length */
    uint32_t csize;       /* inode: bytes on the medium */
    uint32_t isize;       /* inode */
    uint32_t name;        /* dirent: where its name starts in jx_fs_names() */
    uint8_t nsize;        /* dirent, xattr: name length */
    uint8_t type;         /* dirent: d_type; inode: compr; xattr: prefix */
    uint8_t needed;       /* the tree, or what protects it, stands on this node */
    uint8_t data_checked; /* inode: 0 not yet, 1 good, 2 bad */
    uint32_t next;        /* next node of the same inode (index), or 0xffffffff */
};

uint32_t jx_fs_node_count(const jx_fs *fs);
const struct jx_node *jx_fs_nodes(const jx_fs *fs);
const char *jx_fs_names(const jx_fs *fs);

/* What jffs2_scan_eraseblock makes of a block, and what we make of it. */
enum jx_block_state { JX_B_ERASED = 0, JX_B_FREE, JX_B_USED, JX_B_DIRTY, JX_B_BAD, JX_B_HELD };
struct jx_block {
    uint32_t offset;
    uint8_t state;       /* ERASED: 0xFF without cleanmarker; FREE: 0xFF behind one; USED: some node is needed; DIRTY: none is */
    uint8_t cleanmarker; /* 1 inline, 2 in the OOB */
    uint8_t summary;     /* a valid summary stands at its end */
    uint8_t tag;         /* role of our tag in it, or 0 */
    uint32_t needed_bytes;
    uint32_t unreadable_pages; /* that ECC gave up; their nodes are what is read all the same, and counts if its CRCs hold */
    uint32_t free_from;  /* offset in the block from which all is 0xFF */
    uint32_t first_node, node_count; /* in jx_fs_nodes */
    uint32_t txid, sequence; /* of the tag */
    uint8_t worn;            /* cannot be erased, this device handle has found, nor marked bad: never DIRTY, never unfinished */
    uint8_t staged_last;     /* no staging block of its transaction has a higher sequence: a cut may have met it */
    uint8_t held;            /* not known to be the file system's: state HELD, or USED where nodes in it are needed */
    uint8_t torn_head;       /* starts with what a cut leaves of a node */
    uint8_t format;          /* starts with the superblock of another format, which reaches over format_bytes, 0: unsaid */
    uint64_t format_bytes;
    uint8_t tag_format;      /* of the tag, where there is one */
};
uint32_t jx_fs_block_count(const jx_fs *fs);
const struct jx_block *jx_fs_blocks(const jx_fs *fs);

struct jx_space {
    uint32_t blocks, bad, free, dirty; /* free: erased, with or without cleanmarker; dirty: nothing in them is needed */
    uint32_t held;                     /* not known to be the file system's: neither erased nor programmed */
    uint32_t reserve;                  /* blocks that must stay (jffs2_calc_trigger_levels: resv_blocks_write + 1) */
    uint64_t needed_bytes;
};
void jx_fs_space(const jx_fs *fs, struct jx_space *out);

struct jx_stat {
    uint32_t ino, mode, nlink;
    uint16_t uid, gid;
    uint32_t size, atime, mtime, ctime;
    uint32_t node_mtime;   /* what the inode's newest node says: a newer dirent may date a directory */
    uint32_t major, minor; /* device nodes */
};

/* A name of the tree: the winning dirent of (pino, name). */
struct jx_name {
    uint32_t pino, ino;
    uint32_t name; /* in jx_fs_names() */
    uint32_t node; /* in jx_fs_nodes() */
    uint8_t nsize, type;
};

/* Names of a directory, sorted by bytes: *out points into the index. Count, or JX_ENOENT, JX_ENOTDIR. */
int jx_fs_list(jx_fs *fs, uint32_t pino, const struct jx_name **out);
int jx_fs_lookup(jx_fs *fs, uint32_t pino, const void *name, uint32_t nsize, uint32_t *ino);
/* As jffs2_do_read_inode: JX_ENOENT no such inode, JX_ECORRUPT no good node (the kernel says EIO). */
int jx_fs_stat(jx_fs *fs, uint32_t ino, struct jx_stat *out);
/* Bytes read (0 at the end), JX_ECORRUPT, JX_EUNKNOWN_COMPR, JX_EISDIR. */
int64_t jx_fs_read(jx_fs *fs, uint32_t ino, uint32_t offset, void *buf, uint32_t len);
/* Where a regular file goes on with content that is no hole, from offset on: 1 and that stretch, 0 up to its end nothing but
 * holes. A file may be 4 GiB long and be one hole: who copies content goes by this. Errors as jx_fs_read. */
int jx_fs_data(jx_fs *fs, uint32_t ino, uint32_t offset, uint32_t *at, uint32_t *len);
/* Which node shows where in a file: ascending, not overlapping, within its size. What no extent covers reads as zeros, and so
 * does an extent whose node has compr JX_COMPR_ZERO. */
struct jx_extent { uint32_t offset, len, node; };
/* Of any inode: fills at most max; returns how many there are, or errors as jx_fs_stat. */
int64_t jx_fs_extents(jx_fs *fs, uint32_t ino, struct jx_extent *out, uint32_t max);
/* Whether the data CRC of an inode node holds, whatever its verdict: JX_OK, JX_ECORRUPT, JX_EINVAL no inode node. */
int jx_fs_check_data(jx_fs *fs, uint32_t node);
/* Whether the data of an inode node decompress to what it stands for; the CRC is not looked at: JX_OK, JX_ECORRUPT,
 * JX_EUNKNOWN_COMPR, JX_EINVAL no inode node. */
int jx_fs_check_content(jx_fs *fs, uint32_t node);
/* Link target's bytes, at most 254. */
int jx_fs_readlink(jx_fs *fs, uint32_t ino, void *buf, uint32_t len);
/* The inode that this handle's reader finds behind the link ino of directory pino (enum jx_links; JX_LINKS_AS_TEXT is taken
 * for JX_LINKS_BY_NAME), by U-Boot's rules: one link is followed, never one to a directory, and neither "." nor ".." is
 * known. JX_ENOENT: nothing; errors as jx_fs_readlink. */
int jx_fs_follow(jx_fs *fs, uint32_t pino, uint32_t ino, uint32_t *found);

struct jx_attribute { /* an extended attribute of an inode; name and value by jx_fs_xattr_read */
    uint32_t xid, xseqno, node;
    uint8_t xprefix, name_len;
    uint16_t value_len;
};
/* Fills at most max; returns how many there are. */
int jx_fs_xattrs(jx_fs *fs, uint32_t ino, struct jx_attribute *out, uint32_t max);
/* name_len bytes of name and value_len of value; JX_ECORRUPT. */
int jx_fs_xattr_read(jx_fs *fs, const struct jx_attribute *a, void *name, void *value);

/* 128-bit digest of the whole tree: names, types, content, mode, uid, gid, mtime, device, target, link groups, xattrs.
 * What cannot be read takes part as an error of its own. */
int jx_fs_digest(jx_fs *fs, uint8_t out[16]);

/* ---- transaction ---------------------------------------------------------- */

enum jx_strategy { JX_SWAP = 0, JX_FLIP = 1, JX_SEAL = 2, JX_LIFT = 3 };

/* Whether a medium of this geometry takes the strategy: JX_OK or JX_ESTRATEGY; JX_EINVAL: no such strategy. */
int jx_strategy_suits(uint32_t strategy, const struct jx_geometry *geo);
/* Bytes of commit set (nodes padded to 4) that one commit block holds beside summary_bytes of entries. */
uint32_t jx_strategy_limit(uint32_t strategy, const struct jx_geometry *geo, uint32_t summary_bytes);

typedef struct jx_txn jx_txn;

struct jx_txn_options {
    uint32_t strategy;   /* enum jx_strategy */
    uint32_t dry_run;    /* count blocks and bytes, program nothing, ignore what is there */
    uint32_t summary;    /* end full blocks with a summary */
    uint32_t compr_mask; /* enum jx_compr_mask */
    uint32_t reserve;    /* keep the kernel's reserve of erased blocks */
    uint32_t fresh;      /* an erased medium gets its first tree: the first inode made is the root, blocks start with
                          * a cleanmarker, nothing is committed; the strategy counts for nothing */
    uint32_t no_marks;   /* as in struct jx_reader */
    uint8_t id[16];      /* what the tags of its blocks say */
};

struct jx_attr { uint32_t mode; uint16_t uid, gid; uint32_t mtime; };

struct jx_txn_stats {
    uint64_t staged_bytes;      /* nodes, padding and summaries of the staging blocks */
    uint64_t data_bytes;        /* of these, inode nodes */
    uint32_t staged_blocks;
    uint32_t commit_bytes;      /* the commit set */
    uint32_t commit_nodes;
    uint32_t commit_limit;      /* what one commit block (or page) of this strategy holds */
    uint32_t blocks_needed;     /* staging, commit block and what settling writes */
    uint32_t blocks_available;  /* free and dirty before it; of a live device the free ones */
    uint32_t blocks_dead;       /* of a live device: the dirty ones, which only count towards the reserve */
    uint32_t reserve;
};

/* The handle of fs must stay open and must not have changed on the medium since it was opened. */
int jx_txn_begin(jx_fs *fs, const struct jx_txn_options *options, jx_txn **out);
/* Without a commit: erases what was staged (and gives it cleanmarkers back). */
int jx_txn_abort(jx_txn *txn);
void jx_txn_free(jx_txn *txn);

/* New inodes. A regular file of `size` bytes takes its content by jx_txn_write in order and jx_txn_close; the others
 * (directory, symlink, device, fifo, socket) are whole at once: payload is the target or the device number as encoded. */
int jx_txn_create(jx_txn *txn, const struct jx_attr *attr, uint32_t size, uint32_t *ino);
int jx_txn_write(jx_txn *txn, const void *data, uint32_t len);
int jx_txn_close(jx_txn *txn);
int jx_txn_special(jx_txn *txn, const struct jx_attr *attr, const void *payload, uint32_t len, uint32_t *ino);
/* A name in a new directory is staged; in one that exists it joins the commit set. mtime: the directory's. */
int jx_txn_link(jx_txn *txn, uint32_t pino, const void *name, uint32_t nsize, uint32_t ino, uint8_t type, uint32_t mtime);
int jx_txn_unlink(jx_txn *txn, uint32_t pino, const void *name, uint32_t nsize, uint32_t mtime);
/* Metadata of an inode that exists, by the commit set. */
int jx_txn_setattr(jx_txn *txn, uint32_t ino, const struct jx_attr *attr);
/* Attributes: of new inodes before jx_txn_close / right after jx_txn_special, staged; of others by the commit set. */
int jx_txn_setxattr(jx_txn *txn, uint32_t ino, uint8_t xprefix, const void *name, uint32_t name_len, const void *value, uint32_t value_len);
int jx_txn_removexattr(jx_txn *txn, uint32_t ino, uint32_t xid);

/* The commit set in place, hidden, and read back: only the commit is missing. JX_ETOOBIG, JX_ENOSPC, JX_ESTRATEGY. */
int jx_txn_prepare(jx_txn *txn);
/* The one flash operation, then the settling that safety needs, of which errors are left to jx_recover. An error says nothing
 * of the tree: jx_txn_outcome does. A sync that fails after the operation is an error, and nothing is settled then. */
int jx_txn_commit(jx_txn *txn);
/* Which tree the medium shows, by a fresh scan after the operation, whatever the chip or the host answered. */
enum jx_outcome { JX_OUTCOME_OLD = 0, JX_OUTCOME_NEW = 1, JX_OUTCOME_UNKNOWN = 2 /* the scan failed, or the power is gone */ };
int jx_txn_outcome(const jx_txn *txn);
void jx_txn_statistics(const jx_txn *txn, struct jx_txn_stats *out);

/* ---- settle and recover ---------------------------------------------------- */

enum jx_tag_role { JX_TAG_STAGE = 1, JX_TAG_COMMIT = 2, JX_TAG_SETTLED = 3 };
enum jx_txn_state { JX_TXN_NONE = 0, JX_TXN_STAGED, JX_TXN_COMMITTED, JX_TXN_SETTLED };
struct jx_status {
    uint32_t state;    /* enum jx_txn_state of the last transaction that left a trace */
    uint32_t txid;
    uint32_t strategy; /* of its commit block, where there is one; else 0xffffffff */
    uint8_t id[16];
};
void jx_fs_status(const jx_fs *fs, struct jx_status *out);

struct jx_recovery {
    uint32_t state_before; /* enum jx_txn_state */
    uint32_t state;        /* the same, afterwards */
    uint32_t blocks_erased;
    uint32_t nodes_moved;  /* copies of a commit set that now stand in a block of their own */
    uint32_t bits_cleared; /* superseded dirents that are now marked obsolete (NOR) */
};
/* Finishes a committed transaction, clears a staged one; from the medium alone, idempotent, may be cut anywhere. For
 * every boot: where the start of each eraseblock shows that no transaction waits, nothing else is read (but for settled
 * commit blocks, whole). What is dead without a transaction's doing is the kernel's to collect: where no transaction waits
 * nothing is written. */
int jx_recover(jx_flash *flash, const struct jx_reader *reader, struct jx_recovery *out);
/* The same by a full scan in any case; and every block in which nothing is needed is erased, whoever left it so. */
int jx_tidy(jx_flash *flash, const struct jx_reader *reader, struct jx_recovery *out);

/* Only the commit blocks of a transaction that does not stand are erased, and its staging blocks that ECC gave up; what else
 * was staged for it stays, to be adopted by the next. JX_EUNFINISHED: it stands. */
int jx_drop_commits(jx_flash *flash, const struct jx_reader *reader, struct jx_recovery *out);

/* ---- what a cut left of staging ------------------------------------------------ */

/* Inodes with nodes in staging blocks only, that nothing reaches: fills at most max, returns how many there are. The
 * block that each transaction staged last is left out: a page that was cut may read well now and badly later. */
int jx_fs_orphans(const jx_fs *fs, uint32_t *inos, uint32_t max);
/* From now on this orphan counts as needed in this handle, so that a transaction begun after it may name it.
 * JX_ENOENT: no such orphan; JX_ECORRUPT: not whole. */
int jx_fs_adopt(jx_fs *fs, uint32_t ino);

/* ---- garbage collection ----------------------------------------------------- */

struct jx_collection {
    uint32_t blocks_available; /* free and dirty ones once it is done */
    uint32_t blocks_erased;    /* their needed nodes moved, then they were erased */
    uint32_t blocks_written;
    uint32_t blocks_missing;   /* free ones that there must be more, for it to be enough */
    uint32_t nodes_moved;
    uint64_t bytes_moved;
};
/* Garbage collection until `want` blocks are free or dirty: the blocks with the fewest needed bytes are emptied into
 * new ones, nodes unchanged, each copy read back before its block is erased. Two blocks stay free at any instant. JX_ENOSPC:
 * it cannot be had; out says how far it would get and what is missing, and nothing was written (but where blocks wore out
 * in it). JX_EUNFINISHED. */
int jx_collect(jx_flash *flash, const struct jx_reader *reader, uint32_t want, uint32_t summary,
               struct jx_collection *out);
/* The same without a write. */
int jx_collect_estimate(jx_fs *fs, uint32_t want, uint32_t summary, struct jx_collection *out);

/* ---- judge: every crash of a recorded transaction, as stock readers see it --------- */

enum jx_tree { JX_TREE_OLD = 1, JX_TREE_NEW = 2, JX_TREE_THIRD = 3, JX_TREE_UNKNOWN = 4 };

enum jx_failure_kind {
    JX_FAIL_THIRD = 1,   /* neither tree, or no mount */
    JX_FAIL_EARLY,       /* the new tree before the commit, or the commit before jx_txn_prepare returned */
    JX_FAIL_LOST,        /* the old tree after the commit */
    JX_FAIL_RECOVER,     /* jx_recover returned an error */
    JX_FAIL_CHANGED,     /* jx_recover, or a cut inside it, changed the tree */
    JX_FAIL_AGAIN,       /* a second jx_recover still found something to program or erase */
    JX_FAIL_UNSETTLED,   /* after jx_recover the status is neither none nor settled */
};

struct jx_failure {
    uint32_t kind;       /* enum jx_failure_kind */
    uint32_t cut, tear;  /* as for jx_crash_build */
    uint32_t inner_cut, inner_tear; /* the second cut, inside jx_recover; 0xffffffff: none */
    uint32_t third_cut, third_tear; /* the third, inside the jx_recover after that */
    uint32_t schedule;   /* F6: what the reads found, as for jx_flash_unstable_schedule; 0xffffffff: all was stable */
    uint32_t reader;     /* index */
    int32_t error;       /* JX_FAIL_RECOVER: what it returned */
};

struct jx_judge_options {
    uint8_t old_digest[16], new_digest[16]; /* of jx_fs_digest, as Linux reads; those of a reader that follows links or
                                             * ignores deletions are taken from the first and the last state */
    uint32_t prepared;       /* operations logged when jx_txn_prepare returned */
    uint32_t committed;      /* and when jx_txn_commit did */
    uint32_t recover_cuts;   /* jx_recover is run on each n-th state of whole operations; 0: on none */
    uint32_t recover_tears;  /* and on each n-th state with a torn one; 0: on none */
    uint32_t inner_faults;   /* enum jx_fault: with a second cut inside jx_recover; 0: without (F7) */
    uint32_t inner_tears;    /* of the states with a torn operation each n-th; in the others the second cut is only between
                              * two operations (F1); 0: all */
    uint32_t third_cuts;     /* inside the jx_recover after each n-th second cut a third one; 0: none */
    uint32_t unstable_cuts;  /* F6: at each n-th cut; 0: at all */
    uint32_t plain;          /* each look opens the file system anew: slow, a check on the judge itself */
};

struct jx_judgement {
    uint64_t states;     /* crash states built; with F6 one for each operation, however it reads */
    uint64_t distinct;   /* of them, those unlike any before */
    uint64_t all_old, all_new, any_third; /* distinct states, by what the readers see together: of the rest some see old
                                           * and some new, or (F6) it depends on the reading */
    uint64_t seen_old, seen_new, seen_third; /* distinct states, once for each reader */
    uint64_t recovered;  /* distinct states on which jx_recover was run */
    uint64_t inner;      /* states of a second cut */
    uint64_t third;      /* and of a third */
    uint64_t inner_distinct; /* of both, those unlike any before */
    uint64_t unstable;   /* F6: mounts and recoveries, each by another schedule of readings */
    uint64_t wavering;   /* of the mounts, those that saw neither tree because the place read otherwise within them: a node
                          * that was being moved. No failure: the next mount sees the tree */
    uint64_t failures;   /* all, also beyond those that were noted */
    uint32_t commit_cut; /* the first cut at which every reader sees the new tree */
};

typedef struct jx_judge jx_judge;

/* For sim's log, which must not change meanwhile; readers with endian given, at most 20. Some judges may share one sim, each
 * in a thread of its own. JX_EINVAL, JX_ENOMEM. */
int jx_judge_open(jx_flash *sim, const struct jx_judge_options *options, const struct jx_reader *readers, uint32_t reader_count,
                  jx_judge **out);
/* Builds every crash state of the wanted families (enum jx_fault; tear 0 belongs to JX_F1_CUT alone here) whose cut lies in
 * [from, to), drops those that were there before (jx_flash_hash), and asks each reader for its tree. to: at most
 * operations + 1. Between the operation that shows the new tree and those before it nothing but old, after it nothing but
 * new is right; that operation must lie in [prepared, committed). After jx_recover, wherever it was cut, the tree is the
 * one that was seen before. Where the operation under way is unstable (F6) each mount shows one of the two, and after
 * jx_recover all do the same one, whatever is read. Failures: the first max of them. JX_OK, whatever was found; JX_EINVAL,
 * JX_ENOMEM. */
int jx_judge_cuts(jx_judge *j, uint32_t faults, uint32_t from, uint32_t to, struct jx_judgement *out,
                  struct jx_failure *failures, uint32_t max);
/* What a reader (by its index) sees on a memory or simulator device of the same geometry: *tree is one of enum jx_tree. */
int jx_judge_look(jx_judge *j, jx_flash *flash, uint32_t reader, uint32_t *tree);
void jx_judge_close(jx_judge *j);

/* Evidence of what an image is. Eraseblocks are powers of two. */
struct jx_probe {
    uint32_t little, big;       /* well-formed headers of either order */
    uint32_t cleanmarkers;      /* inline ones */
    uint32_t erase_size_bytes;  /* 0: nothing shows it */
    uint32_t evidence;          /* 2 cleanmarkers or summaries say so; 1 node boundaries allow it; 0 none */
    uint32_t summaries;
    uint32_t uncrossed_bytes;   /* smallest power of two >= 4096 of which no node crosses a multiple */
    uint32_t end;               /* where the last node ends */
};
/* len bytes of image; oob_bytes that do not count as such follow each page_bytes (0: none do). */
int jx_probe_image(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, struct jx_probe *out);

/* One file system that a file holds. Offsets are bytes of data: of a dump, without the OOB. */
struct jx_found {
    uint32_t start;       /* of its first eraseblock, or as near as the nodes show it: of its first node */
    uint32_t end;         /* behind its last node */
    uint32_t big;         /* enum jx_endian */
    uint32_t nodes;
    uint32_t cleanmarkers; /* inline ones */
    uint32_t erase_size_bytes; /* as cleanmarkers or summaries say; 0: they do not */
    uint32_t tags;        /* of our transactions */
    uint32_t extent_start, extent_bytes; /* of the device, as the newest tag says, if all nodes are in it; 0 bytes: not known */
    uint32_t own_start, own_end; /* what a seam leaves to be written; 0: from the start, to the end */
    uint32_t doubt_at;    /* the first node of what may be another file system; 0: this is one */
    /* Of that place, or of the border in front of this file system: between which two offsets it lies; nodes and roles that
     * contradict each other over it, equal nodes, contradictions of obsolete nodes, links that it would tear, numbers that
     * follow each other over it. */
    uint32_t border_low, border_high, contradictions, twins, weak, links, successions;
};
/* The file systems in len bytes, by their nodes, at any offset (with OOB, at whole words); at most max of them, which is
 * not 0, by offset. Time and memory are linear in len for each of them. Count, or JX_ENOMEM, JX_EINVAL. */
int jx_locate(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, struct jx_found *out, uint32_t max);
/* The first byte from `from` on that is not 0xFF; len: none. */
uint32_t jx_first_used(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, uint32_t from);

/* Evidence that oob_bytes follow each page_bytes of a file. Inode nodes and dirents that reach beyond a page tell, some
 * 64 of them. Where more are torn than whole the rest is not looked for. */
struct jx_oob_probe {
    uint32_t across;       /* whole if they go on in the next page, the OOB left out */
    uint32_t torn;         /* not */
    uint32_t cleanmarkers; /* in the OOB, all in one place of it and in one byte order */
    uint32_t apart_bytes;  /* of data: the largest power of two of which all their pages start at a multiple */
    uint32_t big;          /* their byte order, enum jx_endian */
    struct jx_oob oob;     /* free_at: where the cleanmarkers stand, else where Linux has the free bytes; bad_at: none
                            * where that byte is in use in most pages that hold nodes; ecc_step_bytes: what the pages show */
};
/* len: whole pages, without their OOB. JX_EINVAL: impossible sizes. */
int jx_probe_oob(const void *data, uint32_t len, uint32_t page_bytes, uint32_t oob_bytes, struct jx_oob_probe *out);

/* CDEF END */

#ifdef __cplusplus
}
#endif
#endif
