/* inode.c: what an inode is: its metadata, its names if it is a directory, its target if a link
 * (jffs2_do_read_inode_internal, jffs2_iget, dir.c). */
#define _POSIX_C_SOURCE 200809L /* strnlen */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"

#define DT_DIR 4

static int read_head(struct jx_fs *fs, uint32_t node, struct jx_inode *in)
{
    uint8_t head[JX_INODE_BYTES];
    int err = jx_flash_read_forgiving(fs->flash, fs->nodes[node].offset, head, sizeof(head));
    if (err)
        return err;
    return jx_decode_inode(fs->endian, head, in) == JX_GOOD ? JX_OK : JX_ECORRUPT;
}

/* The next dirent that reading directory ino finds, from *i in fs->dirents on, which it moves: winners, deletions too,
 * but for those of a missing child (the others are obsolete by then). */
static const struct jx_node *next_dirent(const struct jx_fs *fs, uint32_t ino, uint32_t *i)
{
    while (*i < fs->dirent_count && fs->nodes[fs->dirents[*i]].ino == ino) {
        const struct jx_node *winner = NULL;
        uint32_t first = fs->dirents[*i];
        for (; *i < fs->dirent_count && jx_dirent_key_cmp(fs, first, fs->dirents[*i]) == 0; ++*i)
            if (jx_is_seen(&fs->nodes[fs->dirents[*i]]))
                winner = &fs->nodes[fs->dirents[*i]];
        if (!winner || jx_is_ghost(winner))
            continue;
        const struct jx_inode_rec *child = winner->child ? jx_inode_find(fs, winner->child) : NULL;
        if (!winner->child || (child && child->exists))
            return winner;
    }
    return NULL;
}

static int has_dirents(const struct jx_fs *fs, uint32_t ino)
{
    uint32_t i;
    jx_dirent_run(fs, ino, "", 0, &i);
    return next_dirent(fs, ino, &i) != NULL;
}

uint32_t jx_time_dirent(const struct jx_fs *fs, uint32_t ino, uint32_t version)
{
    const struct jx_node *n;
    uint32_t i, found = JX_NONE;
    jx_dirent_run(fs, ino, "", 0, &i);
    while ((n = next_dirent(fs, ino, &i)) != NULL)
        if (n->version > version && n->file_offset) {
            version = n->version;
            found = (uint32_t)(n - fs->nodes);
        }
    return found;
}

static void dirent_time(const struct jx_fs *fs, uint32_t ino, uint32_t version, struct jx_stat *out)
{
    uint32_t node = jx_time_dirent(fs, ino, version);
    if (node != JX_NONE)
        out->mtime = out->ctime = fs->nodes[node].file_offset;
}

static uint32_t child_directories(const struct jx_fs *fs, const struct jx_inode_rec *rec)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < rec->name_count; i++)
        n += fs->names_of[rec->first_name + i].type == DT_DIR;
    return n;
}

/* "Argh. Special inode": these have one data node, from the start on, and nothing newer without data. */
static int special_whole(const struct jx_fs *fs)
{
    return fs->map.count == 1 && fs->map.frags[0].node == fs->map.meta && !fs->map.frags[0].offset;
}

/* By what the data stand for, compressed or not (jffs2_iget). */
static int device_number(struct jx_fs *fs, const struct jx_inode *in, struct jx_stat *out)
{
    uint8_t *data;
    if (in->dsize != 2 && in->dsize != 4)
        return JX_ECORRUPT;
    int err = jx_node_content(fs, fs->map.meta, &data);
    if (err)
        return err;
    err = jx_decode_dev(fs->endian, data, in->dsize, &out->major, &out->minor);
    free(data);
    return err;
}

/* Maps the inode; its newest metadata, all 0 but the mode where none are left of a directory ("fake some modes for it"). */
static int load(struct jx_fs *fs, uint32_t ino, struct jx_inode *in)
{
    int err = jx_map_inode(fs, ino);
    if (err)
        return err;
    if (fs->map.meta != JX_NONE)
        return read_head(fs, fs->map.meta, in);
    memset(in, 0, sizeof(*in));
    in->mode = S_IFDIR | 0755;
    return ino == JX_ROOT_INO || has_dirents(fs, ino) ? JX_OK : JX_ECORRUPT;
}

int jx_fs_stat(jx_fs *fs, uint32_t ino, struct jx_stat *out)
{
    struct jx_inode in;
    struct jx_inode_rec *rec = jx_inode_find(fs, ino);
    int err = load(fs, ino, &in);
    if (err)
        return err;
    memset(out, 0, sizeof(*out));
    out->ino = ino;
    out->nlink = rec->nlink;
    out->mode = in.mode;
    out->uid = in.uid;
    out->gid = in.gid;
    out->atime = in.atime;
    out->mtime = out->node_mtime = in.mtime;
    out->ctime = in.ctime;
    out->size = in.isize;
    switch (in.mode & S_IFMT) {
    case S_IFDIR:
        if (fs->map.meta != JX_NONE)
            dirent_time(fs, ino, in.version, out);
        out->nlink = 2 + child_directories(fs, rec);
        return JX_OK;
    case S_IFREG:
        jx_map_truncate(fs, in.isize);
        out->size = fs->map.size;
        return JX_OK;
    case S_IFLNK:
        if (!out->size)
            out->size = in.dsize;
        return special_whole(fs) && in.csize <= JX_MAX_NAME ? JX_OK : JX_ECORRUPT;
    case S_IFBLK:
    case S_IFCHR:
        return special_whole(fs) ? device_number(fs, &in, out) : JX_ECORRUPT;
    default:
        return JX_OK;
    }
}

int jx_fs_readlink(jx_fs *fs, uint32_t ino, void *buf, uint32_t len)
{
    struct jx_stat st;
    int err = jx_fs_stat(fs, ino, &st);
    if (err)
        return err;
    if ((st.mode & S_IFMT) != S_IFLNK)
        return JX_EINVAL;
    const struct jx_node *n = &fs->nodes[fs->map.meta];
    uint32_t take = n->csize < len ? n->csize : len;
    err = jx_flash_read_forgiving(fs->flash, n->offset + JX_INODE_BYTES, buf, take);
    return err ? err : (int)strnlen(buf, take);
}

int jx_fs_list(jx_fs *fs, uint32_t pino, const struct jx_name **out)
{
    struct jx_inode in;
    struct jx_inode_rec *rec = jx_inode_find(fs, pino);
    int err = load(fs, pino, &in);
    if (err)
        return err;
    if ((in.mode & S_IFMT) != S_IFDIR)
        return JX_ENOTDIR;
    *out = fs->names_of + rec->first_name;
    return (int)rec->name_count;
}

int jx_fs_lookup(jx_fs *fs, uint32_t pino, const void *name, uint32_t nsize, uint32_t *ino)
{
    const struct jx_name *names;
    int n = jx_fs_list(fs, pino, &names), lo = 0;
    if (n < 0)
        return n;
    for (int hi = n; lo < hi;) {
        int mid = lo + (hi - lo) / 2;
        uint32_t shorter = names[mid].nsize < nsize ? names[mid].nsize : nsize;
        int c = memcmp(fs->names + names[mid].name, name, shorter);
        if (!c && names[mid].nsize == nsize) {
            *ino = names[mid].ino;
            return JX_OK;
        }
        if (c < 0 || (!c && names[mid].nsize < nsize))
            lo = mid + 1;
        else
            hi = mid;
    }
    return JX_ENOENT;
}
