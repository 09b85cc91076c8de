/* fs.c: opening and closing the index, and what it shows of itself. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"
#include "txn.h"

#define ENOUGH_HEADERS 64u /* of one byte order more than of the other: no need to look further */

/* ---- open and close ------------------------------------------------------------ */

/* The order of which there are more well-formed headers; little where there are none. */
static int find_endian(struct jx_fs *fs)
{
    const struct jx_geometry *geo = &fs->flash->geo;
    uint32_t found[2] = {0, 0};
    uint8_t *buf = malloc(geo->erase_size_bytes);
    int err = buf ? JX_OK : JX_ENOMEM;
    for (uint32_t b = 0; !err && b < geo->size_bytes / geo->erase_size_bytes; b++) {
        if (jx_flash_is_bad(fs->flash, b * geo->erase_size_bytes) > 0)
            continue;
        err = jx_flash_read_forgiving(fs->flash, b * geo->erase_size_bytes, buf, geo->erase_size_bytes);
        struct jx_probe p;
        if (!err)
            jx_probe_image(buf, geo->erase_size_bytes, 0, 0, &p);
        if (!err) {
            found[JX_LITTLE] += p.little;
            found[JX_BIG] += p.big;
        }
        uint32_t lead = found[0] > found[1] ? found[0] - found[1] : found[1] - found[0];
        if (lead >= ENOUGH_HEADERS)
            break;
    }
    free(buf);
    fs->endian = found[JX_BIG] > found[JX_LITTLE] ? JX_BIG : JX_LITTLE;
    return err;
}

/* "Cowardly refusing to erase blocks on filesystem with no valid JFFS2 nodes" */
static int is_foreign(const struct jx_fs *fs)
{
    if (fs->visible_nodes)
        return 0;
    for (uint32_t b = 0; b < fs->block_count; b++)
        if (fs->blocks[b].state == JX_B_DIRTY && !fs->blocks[b].tag)
            return 1;
    return 0;
}

int jx_fs_new(jx_flash *flash, const struct jx_reader *reader, jx_fs **out)
{
    struct jx_fs *fs = calloc(1, sizeof(*fs));
    if (!fs)
        return JX_ENOMEM;
    fs->flash = flash;
    fs->reader = *reader;
    fs->endian = reader->endian;
    fs->incompat_at = fs->rocompat_at = JX_NONE;
    fs->highest_ino = JX_ROOT_INO;
    fs->status.strategy = JX_NONE;
    fs->chunk = malloc(2 * JX_CHUNK_BYTES);
    int err = fs->chunk ? jx_compressor_new(&fs->compressor) : JX_ENOMEM;
    if (err)
        jx_fs_close(fs);
    else
        *out = fs;
    return err;
}

int jx_fs_build(jx_fs *fs)
{
    int err = jx_index(fs);
    return !err && !fs->reader.inspect && is_foreign(fs) ? JX_EFORMAT : err;
}

int jx_fs_open(jx_flash *flash, const struct jx_reader *reader, jx_fs **out)
{
    struct jx_fs *fs;
    int err = jx_fs_new(flash, reader, &fs);
    if (err)
        return err;
    if (reader->endian < 0)
        err = find_endian(fs);
    if (!err)
        err = jx_scan(fs);
    if (!err)
        err = jx_fs_build(fs);
    if (!err)
        err = jx_space_account(fs);
    if (!err)
        err = jx_ledger(fs);
    if (err)
        jx_fs_close(fs);
    else
        *out = fs;
    return err;
}

void jx_fs_forget(jx_fs *fs)
{
    free(fs->inodes);
    free(fs->inode_hash);
    free(fs->dirents);
    free(fs->names_of);
    free(fs->xrefs);
    free(fs->xdata);
    fs->inodes = NULL;
    fs->inode_hash = fs->dirents = fs->xrefs = fs->xdata = NULL;
    fs->names_of = NULL;
    fs->inode_count = fs->inode_capacity = fs->dirent_count = fs->name_count = fs->xref_count = fs->xdatum_count = 0;
    fs->visible_nodes = 0;
    fs->map.filled = 0;
}

void jx_fs_close(jx_fs *fs)
{
    if (!fs)
        return;
    jx_fs_forget(fs);
    free(fs->nodes);
    free(fs->names);
    free(fs->blocks);
    free(fs->map.frags);
    free(fs->chunk);
    jx_compressor_free(fs->compressor);
    free(fs);
}

int jx_fs_endian(const jx_fs *fs) { return fs->endian; }
uint32_t jx_fs_incompat_at(const jx_fs *fs) { return fs->incompat_at; }
uint32_t jx_fs_rocompat_at(const jx_fs *fs) { return fs->rocompat_at; }
uint32_t jx_fs_node_count(const jx_fs *fs) { return fs->node_count; }
const struct jx_node *jx_fs_nodes(const jx_fs *fs) { return fs->nodes; }
const char *jx_fs_names(const jx_fs *fs) { return fs->names; }
uint32_t jx_fs_block_count(const jx_fs *fs) { return fs->block_count; }
const struct jx_block *jx_fs_blocks(const jx_fs *fs) { return fs->blocks; }
void jx_fs_status(const jx_fs *fs, struct jx_status *out) { *out = fs->status; }
