/* txn_stage.c: new inodes and names are staged; what must appear at once joins the commit set. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "mutants.h"
#include "txn.h"

/* ---- numbers -------------------------------------------------------------------------- */

static int new_ino(struct jx_txn *txn, uint32_t *ino)
{
    uint32_t at = txn->next_ino - txn->first_ino;
    if (txn->next_ino >= txn->end_ino)
        return JX_ELIMIT_INO;
    if (at == txn->versions_capacity) {
        uint32_t capacity = at ? at * 2 : 256;
        uint32_t *versions = realloc(txn->versions, capacity * sizeof(*versions));
        if (!versions)
            return JX_ENOMEM;
        txn->versions = versions;
        txn->versions_capacity = capacity;
    }
    txn->versions[at] = 0;
    *ino = txn->next_ino++;
    return JX_OK;
}

/* The next version of an inode: of new ones from 1, else above all that is on the medium, never a leap. */
static int next_version(struct jx_txn *txn, uint32_t ino, uint32_t *version)
{
    if (jx_is_new_ino(txn, ino)) {
        *version = ++txn->versions[ino - txn->first_ino];
        return JX_OK;
    }
    struct jx_inode_rec *rec = jx_inode_find(txn->fs, ino);
    if (!rec || !rec->alive)
        return JX_ENOENT;
    if (rec->highest_version >= JX_NUMBER_LIMIT - 1)
        return JX_ELIMIT_VERSION;
    rec->highest_version += JX_MUTANT(version_reused) ? 0 : JX_MUTANT(version_leaps) ? 1000 : 1;
    *version = rec->highest_version;
    return JX_OK;
}

/* ---- nodes ---------------------------------------------------------------------------- */

int jx_stage_node(struct jx_txn *txn, uint32_t len, const struct jx_summary_entry *entry, uint32_t keep_free)
{
    return jx_writer_node(&txn->writer, txn->node, len, entry, keep_free);
}

static struct jx_inode inode_fields(uint32_t ino, uint32_t version, const struct jx_attr *attr, uint32_t isize)
{
    return (struct jx_inode){.ino = ino, .version = version, .mode = attr->mode, .uid = attr->uid, .gid = attr->gid,
                             .isize = isize, .atime = attr->mtime, .mtime = attr->mtime, .ctime = attr->mtime};
}

static struct jx_summary_entry inode_entry(uint32_t ino, uint32_t version, uint32_t len)
{
    return (struct jx_summary_entry){.nodetype = JX_NODE_INODE, .ino = ino, .version = version, .totlen = len};
}

/* References that wait for the first node of their inode: both must stand in one block, or the kernel could use the
 * number of an inode again whose reference is still there. */
static int stage_pending(struct jx_txn *txn, uint32_t ino)
{
    int err = JX_OK;
    for (uint32_t i = 0; i < txn->pending_count && !err; i++) {
        if (txn->next_xseqno >= JX_NUMBER_LIMIT)
            return JX_ELIMIT_XATTR;
        struct jx_xref ref = {.ino = ino, .xid = txn->pending[i], .xseqno = txn->next_xseqno};
        struct jx_summary_entry entry = {.nodetype = JX_NODE_XREF, .totlen = JX_XREF_BYTES};
        txn->next_xseqno += 2;
        err = jx_stage_node(txn, jx_encode_xref(txn->fs->endian, txn->node, &ref), &entry, 0);
    }
    txn->pending_count = 0;
    return err;
}

/* An inode node of a new inode, with the references that wait for it. */
static int stage_inode(struct jx_txn *txn, struct jx_inode *in, const void *data)
{
    int err = next_version(txn, in->ino, &in->version);
    if (err)
        return err;
    uint32_t len = jx_encode_inode(txn->fs->endian, txn->node, in, data);
    struct jx_summary_entry entry = inode_entry(in->ino, in->version, len);
    uint32_t refs = JX_MUTANT(reference_apart) ? 0 : txn->pending_count * (JX_XREF_BYTES + 6u);
    err = jx_stage_node(txn, len, &entry, refs);
    txn->stats.data_bytes += jx_pad4(len);
    return err ? err : stage_pending(txn, in->ino);
}

/* ---- new inodes --------------------------------------------------------------------------- */

int jx_txn_create(jx_txn *txn, const struct jx_attr *attr, uint32_t size, uint32_t *ino)
{
    int err = jx_must_stage(txn);
    if (err || txn->file.open)
        return JX_ESTATE;
    if ((attr->mode & S_IFMT) != S_IFREG || size >= JX_NUMBER_LIMIT)
        return JX_EINVAL;
    err = new_ino(txn, ino);
    if (err)
        return err;
    txn->file.ino = *ino;
    txn->file.attr = *attr;
    txn->file.size = size;
    txn->file.written = txn->file.fill = 0;
    txn->file.open = 1;
    return JX_OK;
}

static int stage_chunk(struct jx_txn *txn)
{
    uint8_t *packed = txn->node + JX_INODE_BYTES; /* encode moves it onto itself */
    struct jx_inode in = inode_fields(txn->file.ino, 0, &txn->file.attr, txn->file.size);
    in.offset = txn->file.written;
    in.dsize = txn->file.fill;
    int compr = jx_compress(txn->fs->compressor, txn->options.compr_mask, txn->chunk, txn->file.fill, packed, &in.csize);
    if (compr < 0)
        return compr;
    in.compr = (uint8_t)compr;
    txn->file.written += txn->file.fill;
    txn->file.fill = 0;
    return stage_inode(txn, &in, packed);
}

int jx_txn_write(jx_txn *txn, const void *data, uint32_t len)
{
    const uint8_t *p = data;
    int err = jx_must_stage(txn);
    if (err || !txn->file.open)
        return JX_ESTATE;
    if (len > txn->file.size - txn->file.written - txn->file.fill)
        return JX_EINVAL;
    while (len && !err) {
        uint32_t room = JX_CHUNK_BYTES - txn->file.fill, step = len < room ? len : room;
        memcpy(txn->chunk + txn->file.fill, p, step);
        txn->file.fill += step;
        p += step;
        len -= step;
        if (txn->file.fill == JX_CHUNK_BYTES)
            err = stage_chunk(txn);
    }
    return err;
}

int jx_txn_close(jx_txn *txn)
{
    int err = jx_must_stage(txn);
    if (err || !txn->file.open)
        return JX_ESTATE;
    txn->file.open = 0;
    if (txn->file.written + txn->file.fill != txn->file.size)
        return JX_EINVAL;
    if (txn->file.fill)
        return stage_chunk(txn);
    if (txn->file.size)
        return JX_OK;
    struct jx_inode in = inode_fields(txn->file.ino, 0, &txn->file.attr, 0);
    return stage_inode(txn, &in, NULL);
}

int jx_txn_special(jx_txn *txn, const struct jx_attr *attr, const void *payload, uint32_t len, uint32_t *ino)
{
    int err = jx_must_stage(txn);
    if (err || txn->file.open)
        return JX_ESTATE;
    if ((attr->mode & S_IFMT) == S_IFREG || len > JX_MAX_NAME)
        return JX_EINVAL;
    err = new_ino(txn, ino);
    if (err)
        return err;
    struct jx_inode in = inode_fields(*ino, 0, attr, (attr->mode & S_IFMT) == S_IFLNK ? len : 0);
    in.csize = in.dsize = len;
    return stage_inode(txn, &in, payload);
}

/* ---- names -------------------------------------------------------------------------------- */

static int valid_name(const uint8_t *name, uint32_t nsize)
{
    return nsize > 0 && nsize <= JX_MAX_NAME && !memchr(name, '/', nsize) && !memchr(name, 0, nsize);
}

static int put_dirent(struct jx_txn *txn, uint32_t pino, const void *name, uint32_t nsize, uint32_t ino, uint8_t type, uint32_t mtime)
{
    struct jx_dirent d = {.pino = pino, .ino = ino, .mctime = mtime, .nsize = (uint8_t)nsize, .type = type};
    int err = next_version(txn, pino, &d.version);
    if (err)
        return err;
    uint32_t len = jx_encode_dirent(txn->fs->endian, txn->node, &d, name);
    struct jx_summary_entry entry = {.nodetype = JX_NODE_DIRENT, .ino = pino, .version = d.version, .totlen = len,
                                     .child = ino, .nsize = (uint8_t)nsize, .type = type};
    return jx_is_new_ino(txn, pino) ? jx_stage_node(txn, len, &entry, 0) : jx_set_add(&txn->set, txn->node, len, &entry);
}

static int is_visible(struct jx_txn *txn, uint32_t pino, const void *name, uint32_t nsize)
{
    uint32_t ino;
    return jx_fs_lookup(txn->fs, pino, name, nsize, &ino) == JX_OK;
}

int jx_txn_link(jx_txn *txn, uint32_t pino, const void *name, uint32_t nsize, uint32_t ino, uint8_t type, uint32_t mtime)
{
    int err = jx_must_stage(txn);
    if (err)
        return err;
    if (!valid_name(name, nsize) || !ino)
        return JX_EINVAL;
    if (txn->strategy->replaces_in_pairs && !JX_MUTANT(pair_missing) && !jx_is_new_ino(txn, pino) && is_visible(txn, pino, name, nsize))
        err = put_dirent(txn, pino, name, nsize, 0, 0, mtime);
    return err ? err : put_dirent(txn, pino, name, nsize, ino, type, mtime);
}

int jx_txn_unlink(jx_txn *txn, uint32_t pino, const void *name, uint32_t nsize, uint32_t mtime)
{
    int err = jx_must_stage(txn);
    if (err)
        return err;
    if (!valid_name(name, nsize))
        return JX_EINVAL;
    return put_dirent(txn, pino, name, nsize, 0, 0, mtime);
}

/* ---- metadata of what exists ------------------------------------------------------------------ */

/* A symlink or device repeats its data, same length, or the kernel says EIO; the others carry none. */
static int payload_of(struct jx_txn *txn, const struct jx_stat *st, uint8_t *out, uint32_t *len)
{
    uint32_t type = st->mode & S_IFMT;
    *len = 0;
    if ((type != S_IFLNK && type != S_IFBLK && type != S_IFCHR) || JX_MUTANT(target_left_out))
        return JX_OK;
    const struct jx_node *n = &txn->fs->nodes[txn->fs->map.meta];
    if (n->csize > JX_MAX_NAME)
        return JX_ECORRUPT;
    *len = n->csize;
    return jx_flash_read_forgiving(txn->fs->flash, n->offset + JX_INODE_BYTES, out, *len);
}

int jx_txn_setattr(jx_txn *txn, uint32_t ino, const struct jx_attr *attr)
{
    uint8_t payload[JX_MAX_NAME + 1];
    struct jx_stat st;
    uint32_t len;
    int err = jx_must_stage(txn);
    if (!err)
        err = jx_fs_stat(txn->fs, ino, &st);
    if (!err && (st.mode & S_IFMT) != (attr->mode & S_IFMT))
        err = JX_EINVAL;
    if (!err)
        err = payload_of(txn, &st, payload, &len);
    if (err)
        return err;
    struct jx_inode in = inode_fields(ino, 0, attr, (attr->mode & S_IFMT) == S_IFDIR || JX_MUTANT(size_zero) ? 0 : st.size);
    in.csize = in.dsize = len;
    err = next_version(txn, ino, &in.version);
    if (err)
        return err;
    uint32_t total = jx_encode_inode(txn->fs->endian, txn->node, &in, payload);
    struct jx_summary_entry entry = inode_entry(ino, in.version, total);
    return jx_set_add(&txn->set, txn->node, total, &entry);
}
