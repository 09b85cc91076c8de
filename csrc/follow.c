/* follow.c: what a boot loader finds behind a symbolic link (U-Boot, jffs2_1pass_resolve_inode). */
#include <string.h>
#include "fs.h"

/* The directory of the newest dirent of this inode; of equal versions the last on the medium. JX_NONE: no dirent. */
static uint32_t newest_parent(const struct jx_fs *fs, uint32_t ino)
{
    uint32_t pino = JX_NONE, version = 0;
    for (uint32_t i = 0; i < fs->node_count; i++) {
        const struct jx_node *n = &fs->nodes[i];
        if (!jx_is_named(n) || !jx_is_seen(n) || n->child != ino || (pino != JX_NONE && n->version < version))
            continue;
        pino = n->ino;
        version = n->version;
    }
    return pino;
}

/* What this name of any directory, reached or not, stands for; 0: nothing. */
static uint32_t child_of(const struct jx_fs *fs, uint32_t pino, const char *name, uint32_t nsize)
{
    uint32_t first, n = jx_dirent_run(fs, pino, name, nsize, &first), winner = jx_winner(fs, first, first + n);
    return winner == JX_NONE ? 0 : fs->nodes[winner].child;
}

/* A path of plain names; every slash but the leading ones ends a name. */
static uint32_t walk_path(const struct jx_fs *fs, uint32_t ino, const char *path, uint32_t len)
{
    uint32_t at = 0;
    while (at < len && path[at] == '/')
        at++;
    while (at <= len && ino) {
        const char *slash = at < len ? memchr(path + at, '/', len - at) : NULL;
        uint32_t end = slash ? (uint32_t)(slash - path) : len;
        ino = child_of(fs, ino, path + at, end - at);
        at = end + 1;
    }
    return ino;
}

int jx_fs_follow(jx_fs *fs, uint32_t pino, uint32_t ino, uint32_t *found)
{
    char target[JX_MAX_NAME];
    int len = jx_fs_readlink(fs, ino, target, sizeof(target));
    if (len < 0)
        return len;
    if (fs->reader.links == JX_LINKS_BY_INODE)
        pino = newest_parent(fs, ino);
    *found = walk_path(fs, len && target[0] == '/' ? JX_ROOT_INO : pino, target, (uint32_t)len);
    return *found ? JX_OK : JX_ENOENT;
}
