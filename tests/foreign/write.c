/* write.c: a first tree, an upgrade and garbage collection. */
#include <string.h>
#include "jobs.h"

enum { DT_DIR = 4, DT_REG = 8, DT_LNK = 10, DT_CHR = 2 };
enum { FILES = 8, LONGEST = 9000 };
#define ROOT 1u

static const struct jx_attr file_attr = {0100644, 1000, 65534, TIME}, directory_attr = {0040755, 0, 0, TIME};

static void link_name(jx_txn *txn, uint32_t directory, const char *name, uint32_t ino, uint8_t type)
{
    must("jx_txn_link", jx_txn_link(txn, directory, name, (uint32_t)strlen(name), ino, type, TIME));
}

static uint32_t make_file(jx_txn *txn, uint32_t len, uint32_t kind, uint32_t seed)
{
    static uint8_t content[LONGEST];
    uint32_t ino;
    fill(content, len, kind, seed);
    must("jx_txn_create", jx_txn_create(txn, &file_attr, len, &ino));
    must("jx_txn_write", jx_txn_write(txn, content, len));
    must("jx_txn_close", jx_txn_close(txn));
    return ino;
}

static uint32_t make_special(jx_txn *txn, uint32_t mode, const void *payload, uint32_t len)
{
    const struct jx_attr attr = {mode, 0, 0, TIME};
    uint32_t ino;
    must("jx_txn_special", jx_txn_special(txn, &attr, payload, len, &ino));
    return ino;
}

/* Names on both sides of 0x80: a signed comparison would order them otherwise. */
static const char *const names[FILES] = {"A", "a", "~", "\x7f", "\x80z", "\xc3\xa9t\xc3\xa9", "\xff", "zz"};

static void fill_first_tree(jx_txn *txn, int endian)
{
    uint8_t number[4];
    make_special(txn, directory_attr.mode, NULL, 0); /* the first inode of a fresh tree is the root */
    must("jx_txn_setxattr", jx_txn_setxattr(txn, 0, 1, "colour", 6, "\xff\x01 blue", 7)); /* of the next inode */
    uint32_t directory = make_special(txn, directory_attr.mode, NULL, 0);
    link_name(txn, ROOT, "etc", directory, DT_DIR);
    for (uint32_t i = 0; i < FILES; i++) {
        uint32_t ino = make_file(txn, i * 700 + 1, i % KINDS, i);
        link_name(txn, i % 2 ? ROOT : directory, names[i], ino, DT_REG);
        if (i == 3)
            link_name(txn, directory, "again", ino, DT_REG);
    }
    link_name(txn, ROOT, "link", make_special(txn, 0120777, "etc/~", 5), DT_LNK);
    uint32_t len = (uint32_t)must("jx_encode_dev", jx_encode_dev(endian, 300, 70000, number));
    link_name(txn, ROOT, "device", make_special(txn, 0020600, number, len), DT_CHR);
}

static jx_txn *begin(const struct job *job, jx_fs *fs, int fresh)
{
    struct jx_txn_options options = {.strategy = job->strategy, .fresh = (uint32_t)fresh, .summary = job->reader.summary,
                                     .compr_mask = JX_USE_NONE | JX_USE_ZERO | JX_USE_RTIME | JX_USE_ZLIB | JX_USE_LZO};
    jx_txn *txn;
    memcpy(options.id, "id of this job..", sizeof options.id);
    must("jx_txn_begin", jx_txn_begin(fs, &options, &txn));
    return txn;
}

static jx_fs *open_fs(const struct job *job)
{
    jx_fs *fs;
    must("jx_fs_open", jx_fs_open(job->flash, &job->reader, &fs));
    return fs;
}

static void finish(struct job *job, jx_txn *txn, jx_fs *fs)
{
    struct jx_txn_stats stats;
    must("jx_txn_prepare", jx_txn_prepare(txn));
    job->prepared = jx_sim_op_count(job->flash);
    must("jx_txn_commit", jx_txn_commit(txn));
    job->committed = jx_sim_op_count(job->flash);
    jx_txn_statistics(txn, &stats);
    say(job->name, "wrote staged %llu blocks %u commit %u of %u nodes %u", (unsigned long long)stats.staged_bytes, stats.staged_blocks,
        stats.commit_bytes, stats.commit_limit, stats.commit_nodes);
    jx_txn_free(txn);
    jx_fs_close(fs);
}

void write_first_tree(struct job *job)
{
    must("jx_sim_open", jx_sim_open(&job->geo, NULL, &job->flash));
    jx_fs *fs = open_fs(job);
    jx_txn *txn = begin(job, fs, 1);
    fill_first_tree(txn, job->reader.endian);
    finish(job, txn, fs);
    must("jx_sim_restart", jx_sim_restart(job->flash));
}

static uint32_t find(jx_fs *fs, const char *name)
{
    uint32_t ino;
    must("jx_fs_lookup", jx_fs_lookup(fs, ROOT, name, (uint32_t)strlen(name), &ino));
    return ino;
}

/* The directory once more, with another content: its name is the one change. */
static void swap_directory(jx_txn *txn, uint32_t round)
{
    uint32_t directory = make_special(txn, directory_attr.mode, NULL, 0);
    for (uint32_t i = 0; i < 3; i++)
        link_name(txn, directory, names[(i + round) % FILES], make_file(txn, LONGEST / 3 * (i + 1), i + 1, 100 + round + i), DT_REG);
    link_name(txn, ROOT, "etc", directory, DT_DIR);
}

/* Names that go, come and are replaced; lift holds no more. */
static void change_names(jx_txn *txn, uint32_t round)
{
    link_name(txn, ROOT, names[1], make_file(txn, LONGEST, 3, 200 + round), DT_REG);
    must("jx_txn_unlink", jx_txn_unlink(txn, ROOT, names[3 + round % 3 * 2], (uint32_t)strlen(names[3 + round % 3 * 2]), TIME + 1));
}

static void change_metadata(jx_fs *fs, jx_txn *txn, uint32_t round)
{
    const struct jx_attr attr = {0020600, 65535, 1, TIME + round};
    must("jx_txn_setattr", jx_txn_setattr(txn, find(fs, "device"), &attr));
    must("jx_txn_setxattr", jx_txn_setxattr(txn, find(fs, "etc"), 1, "size", 4, "\x80large", 6));
    link_name(txn, ROOT, "\x81new", make_file(txn, 1, 1, round), DT_REG);
}

static void upgrade(struct job *job, uint32_t round)
{
    jx_fs *fs = open_fs(job);
    jx_txn *txn = begin(job, fs, 0);
    if (job->strategy == JX_SWAP)
        swap_directory(txn, round);
    else
        change_names(txn, round);
    if (job->strategy == JX_FLIP || job->strategy == JX_SEAL)
        change_metadata(fs, txn, round);
    finish(job, txn, fs);
}

void write_upgrade(struct job *job) { upgrade(job, 0); }

void write_until_full(struct job *job)
{
    struct jx_collection done;
    uint8_t digest[16];
    int err;
    for (uint32_t round = 1; round < 3; round++)
        upgrade(job, round);
    report(job->name, "worn", job->flash, &job->reader, digest);
    uint32_t want = job->geo.size_bytes / job->geo.erase_size_bytes;
    while ((err = jx_collect(job->flash, &job->reader, want, job->reader.summary, &done)) == JX_ENOSPC)
        want--;
    must("jx_collect", err);
    say(job->name, "collected %u available %u erased %u written %u moved %u %llu", want, done.blocks_available, done.blocks_erased,
        done.blocks_written, done.nodes_moved, (unsigned long long)done.bytes_moved);
    report(job->name, "collected", job->flash, &job->reader, digest);
}
