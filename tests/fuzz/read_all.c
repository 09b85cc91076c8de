/* read_all.c: list, stat, read, links, attributes, data CRCs, digest, space, orphans, what collection would do. */
#include <stdlib.h>
#include <string.h>
#include "fs.h"
#include "medium.h"
#include "read_all.h"

#define MUST(condition) do { if (!(condition)) abort(); } while (0)
#define WINDOW_BYTES 8192u
#define ATTRIBUTES 32u

static uint8_t window[WINDOW_BYTES], again[WINDOW_BYTES], value[65536];

static void check_records(const jx_fs *fs)
{
    uint32_t size = fs->flash->geo.size_bytes, erase = fs->flash->geo.erase_size_bytes, next = 0;
    for (uint32_t b = 0; b < jx_fs_block_count(fs); b++) {
        const struct jx_block *block = jx_fs_blocks(fs) + b;
        MUST(block->first_node == next && block->offset == b * erase && block->free_from <= erase);
        next += block->node_count;
        for (uint32_t i = 0; i < block->node_count; i++) {
            const struct jx_node *n = jx_fs_nodes(fs) + block->first_node + i;
            MUST(n->offset >= block->offset && n->offset < size && n->totlen <= block->offset + erase - n->offset);
            MUST(!i || n->offset >= n[-1].offset);
        }
    }
    MUST(next == jx_fs_node_count(fs));
}

/* What is read in one piece and in two is the same. */
static void read_window(jx_fs *fs, uint32_t ino, uint32_t offset)
{
    int64_t n = jx_fs_read(fs, ino, offset, window, WINDOW_BYTES);
    MUST(n <= (int64_t)WINDOW_BYTES);
    if (n <= 1)
        return;
    uint32_t half = (uint32_t)n / 2;
    MUST(jx_fs_read(fs, ino, offset, again, half) == half);
    MUST(jx_fs_read(fs, ino, offset + half, again + half, (uint32_t)n - half) == n - half);
    MUST(!memcmp(window, again, (size_t)n));
}

/* Extents ascend within the file, and every stretch of data lies in them. */
static void check_extents(jx_fs *fs, uint32_t ino, uint32_t size)
{
    static struct jx_extent extents[64];
    uint32_t from = 0, at, len;
    int64_t n = jx_fs_extents(fs, ino, extents, 64);
    MUST(n >= 0);
    for (int64_t i = 0; i < n && i < 64; i++) {
        MUST(extents[i].len && extents[i].offset >= from && extents[i].len <= size - extents[i].offset);
        from = extents[i].offset + extents[i].len;
    }
    for (uint32_t offset = 0; jx_fs_data(fs, ino, offset, &at, &len) > 0; offset = at + len)
        MUST(len && at >= offset && at < size && len <= size - at);
}

static void read_file(jx_fs *fs, uint32_t ino, uint32_t size)
{
    static const uint32_t places[] = {0, 4095, 12288, 0x7ffffffe, 0xfffffff0};
    for (uint32_t i = 0; i < sizeof places / sizeof *places && places[i] <= size; i++)
        read_window(fs, ino, places[i]);
    if (size > WINDOW_BYTES)
        read_window(fs, ino, size - WINDOW_BYTES + 1);
    check_extents(fs, ino, size);
}

static void read_attributes(jx_fs *fs, uint32_t ino)
{
    struct jx_attribute list[ATTRIBUTES];
    uint8_t name[256];
    int n = jx_fs_xattrs(fs, ino, list, ATTRIBUTES);
    for (int i = 0; i < n && i < (int)ATTRIBUTES; i++)
        jx_fs_xattr_read(fs, &list[i], name, value);
}

static void read_directory(jx_fs *fs, uint32_t ino)
{
    const struct jx_name *names;
    int n = jx_fs_list(fs, ino, &names);
    for (int i = 0; i < n; i++) {
        uint32_t found = 0;
        MUST(names[i].pino == ino && names[i].nsize && names[i].node < jx_fs_node_count(fs));
        MUST(jx_fs_lookup(fs, ino, jx_fs_names(fs) + names[i].name, names[i].nsize, &found) == JX_OK && found == names[i].ino);
    }
    uint32_t none;
    jx_fs_lookup(fs, ino, "no such name", 12, &none);
}

static void read_inode(jx_fs *fs, uint32_t ino)
{
    struct jx_stat st;
    read_attributes(fs, ino);
    if (jx_fs_stat(fs, ino, &st) != JX_OK)
        return;
    MUST(st.ino == ino);
    MUST(jx_fs_readlink(fs, ino, window, 255) <= 254);
    read_directory(fs, ino);
    if ((st.mode & S_IFMT) == S_IFREG)
        read_file(fs, ino, st.size);
}

static void read_the_rest(jx_fs *fs)
{
    struct jx_space space;
    struct jx_status status;
    struct jx_collection collection;
    uint32_t orphans[8];
    for (uint32_t i = 0; i < jx_fs_node_count(fs); i++) {
        jx_fs_check_data(fs, i);
        jx_fs_check_content(fs, i);
    }
    MUST(jx_fs_check_data(fs, jx_fs_node_count(fs)) == JX_EINVAL);
    jx_fs_space(fs, &space);
    MUST(space.bad + space.free + space.dirty <= space.blocks);
    jx_fs_status(fs, &status);
    for (uint32_t want = 1; want <= space.blocks; want += 2)
        jx_collect_estimate(fs, want, want & 2, &collection);
    int n = jx_fs_orphans(fs, orphans, 8);
    for (int i = 0; i < n && i < 8; i++)
        jx_fs_adopt(fs, orphans[i]);
}

void fuzz_read_all(jx_fs *fs, uint8_t digest[16])
{
    uint8_t first[16], second[16];
    check_records(fs);
    MUST(jx_fs_digest(fs, first) == JX_OK);
    for (uint32_t i = 0; i < fs->inode_count; i++)
        read_inode(fs, fs->inodes[i].ino);
    MUST(jx_fs_digest(fs, second) == JX_OK && !memcmp(first, second, 16));
    read_the_rest(fs);
    if (digest)
        memcpy(digest, first, 16);
}

int fuzz_open_and_read(const struct fuzz_medium *m, uint8_t digest[16])
{
    jx_fs *fs;
    int err = jx_fs_open(m->flash, &m->reader, &fs);
    if (err)
        return err;
    fuzz_read_all(fs, digest);
    jx_fs_close(fs);
    return JX_OK;
}
