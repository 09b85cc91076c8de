/* xattrs.c: the extended attributes of an inode (xattr.c). */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"

/* Of equal versions the later one replaces (jffs2_setup_xattr_datum). */
uint32_t jx_xattr_place(const struct jx_fs *fs, uint32_t xid)
{
    uint32_t lo = 0, hi = fs->xdatum_count;
    while (lo < hi) { /* first entry above xid */
        uint32_t mid = lo + (hi - lo) / 2;
        if (fs->nodes[fs->xdata[mid]].child <= xid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && fs->nodes[fs->xdata[lo - 1]].child == xid ? lo - 1 : JX_NONE;
}

uint32_t jx_xattr_datum(const struct jx_fs *fs, uint32_t xid)
{
    uint32_t place = jx_xattr_place(fs, xid);
    return place == JX_NONE ? JX_NONE : fs->xdata[place];
}

int jx_fs_xattrs(jx_fs *fs, uint32_t ino, struct jx_attribute *out, uint32_t max)
{
    uint32_t lo = 0, hi = fs->xref_count;
    int count = 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (fs->nodes[fs->xrefs[mid]].ino < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < fs->xref_count && fs->nodes[fs->xrefs[lo]].ino == ino; lo++) {
        const struct jx_node *x = &fs->nodes[fs->xrefs[lo]];
        uint32_t at = jx_xattr_datum(fs, x->child);
        if (at == JX_NONE)
            continue;
        const struct jx_node *d = &fs->nodes[at];
        if ((uint32_t)count < max)
            out[count] = (struct jx_attribute){.xid = x->child, .xseqno = x->version, .node = at, .xprefix = d->type,
                                               .name_len = d->nsize, .value_len = (uint16_t)d->dsize};
        count++;
    }
    return count;
}

int jx_fs_xattr_read(jx_fs *fs, const struct jx_attribute *a, void *name, void *value)
{
    if (a->node >= fs->node_count || fs->nodes[a->node].nodetype != JX_NODE_XATTR)
        return JX_EINVAL;
    const struct jx_node *n = &fs->nodes[a->node];
    uint32_t len = (uint32_t)n->nsize + 1u + n->dsize;
    uint8_t *buf = malloc(len);
    if (!buf)
        return JX_ENOMEM;
    int err = jx_flash_read_forgiving(fs->flash, n->offset + JX_XATTR_BYTES, buf, len);
    if (!err && jx_crc32(0, buf, len) != n->csize) /* an xattr's record keeps its data CRC there */
        err = JX_ECORRUPT;
    if (!err) {
        memcpy(name, buf, n->nsize);
        memcpy(value, buf + n->nsize + 1, n->dsize);
    }
    free(buf);
    return err;
}
