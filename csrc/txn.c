/* txn.c: a transaction from begin to commit: new inodes are staged, what must appear at once is gathered in the set. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "txn.h"

#define NODE_BYTES (JX_INODE_BYTES + 65536u + 512u) /* the longest node that is built: an xattr of 64 KiB */

static const struct jx_strategy_ops *const strategies[] = {&jx_swap, &jx_flip, &jx_seal, &jx_lift};

int jx_strategy_suits(uint32_t strategy, const struct jx_geometry *geo)
{
    return strategy > JX_LIFT ? JX_EINVAL : strategies[strategy]->suits(geo);
}

uint32_t jx_strategy_limit(uint32_t strategy, const struct jx_geometry *geo, uint32_t summary_bytes)
{
    return jx_strategy_suits(strategy, geo) == JX_OK ? strategies[strategy]->limit(geo, summary_bytes) : 0;
}

/* ---- begin and end ------------------------------------------------------------------ */

static int admit(const struct jx_fs *fs, const struct jx_txn_options *options)
{
    if (options->strategy > JX_LIFT)
        return JX_EINVAL;
    if (fs->highest_ino >= JX_NUMBER_LIMIT || fs->highest_xid >= JX_NUMBER_LIMIT ||
        fs->highest_xseqno >= JX_NUMBER_LIMIT || fs->status.txid >= JX_NUMBER_LIMIT)
        return JX_ELIMIT;
    if (options->fresh)
        return fs->visible_nodes ? JX_ESTATE : JX_OK;
    /* Recover first: what a committed one protects is still in its commit block, and a commit that was cut may have left
     * bits that read otherwise the next time, under a version number that would be given again. */
    if (!options->dry_run && (fs->status.state == JX_TXN_COMMITTED || jx_has_stale_commit(fs)))
        return JX_ESTATE;
    return strategies[options->strategy]->suits(&fs->flash->geo);
}

/* Of a live device: blocks that wait for the reboot, and then count as free. */
static uint32_t dead_blocks(const struct jx_fs *fs)
{
    struct jx_space space;
    jx_fs_space(fs, &space);
    return fs->flash->live ? space.dirty : 0;
}

int jx_txn_begin(jx_fs *fs, const struct jx_txn_options *options, jx_txn **out)
{
    int refused = admit(fs, options);
    if (refused)
        return refused;
    struct jx_txn *txn = calloc(1, sizeof(*txn));
    if (!txn)
        return JX_ENOMEM;
    uint32_t size = fs->flash->geo.erase_size_bytes;
    txn->fs = fs;
    txn->options = *options;
    txn->strategy = strategies[options->strategy];
    txn->tag = (struct jx_tag){.role = JX_TAG_STAGE, .strategy = (uint8_t)options->strategy, .txid = fs->status.txid + 1};
    memcpy(txn->tag.id, options->id, sizeof(txn->tag.id));
    txn->first_ino = txn->next_ino = options->fresh ? JX_ROOT_INO : fs->highest_ino + 1;
    txn->next_xid = fs->highest_xid + 1;
    txn->next_xseqno = (fs->highest_xseqno | 1u) + 1;
    txn->commit_block = JX_NONE;
    txn->chunk = malloc(JX_CHUNK_BYTES);
    txn->node = malloc(NODE_BYTES);
    txn->image = malloc(size);
    txn->check = malloc(size);
    int err = txn->chunk && txn->node && txn->image && txn->check ? jx_pool_open(fs, &txn->pool) : JX_ENOMEM;
    if (!err)
        err = jx_writer_open(&txn->writer, fs, &txn->pool, options->fresh ? NULL : &txn->tag, (int)options->dry_run, (int)options->summary);
    txn->stats.blocks_available = txn->pool.count;
    txn->stats.blocks_dead = dead_blocks(fs);
    txn->stats.reserve = options->reserve ? jx_reserve_blocks(&fs->flash->geo) : 0;
    if (err)
        jx_txn_free(txn);
    else
        *out = txn;
    return err;
}

void jx_txn_free(jx_txn *txn)
{
    if (!txn)
        return;
    jx_writer_close(&txn->writer);
    jx_pool_close(&txn->pool);
    jx_set_free(&txn->set);
    for (uint32_t i = 0; i < txn->xattr_count; i++)
        free(txn->xattrs[i].bytes);
    free(txn->xattrs);
    free(txn->pending);
    free(txn->versions);
    free(txn->chunk);
    free(txn->node);
    free(txn->image);
    free(txn->check);
    free(txn);
}

int jx_txn_abort(jx_txn *txn)
{
    int err = JX_OK;
    if (txn->phase == JX_PHASE_COMMITTED)
        return JX_ESTATE;
    txn->phase = JX_PHASE_BROKEN;
    if (txn->options.dry_run)
        return JX_OK;
    /* the commit block was taken last and goes first: its set must not outlive what it names */
    while (txn->pool.next > 0) {
        uint32_t block = txn->pool.blocks[--txn->pool.next];
        int e = block == txn->commit_block ? jx_disarm_set(txn) : JX_OK;
        if (!e)
            e = jx_reclaim(txn->fs, block, txn->check);
        if (e < 0 && block == txn->commit_block)
            return e; /* it may yet be read as committed: what it names stays */
        err = err || e > 0 ? err : e;
    }
    return err;
}

static int must_stage(const struct jx_txn *txn) { return txn->phase == JX_PHASE_STAGE ? JX_OK : JX_ESTATE; }

/* ---- numbers -------------------------------------------------------------------------- */

static int is_new(const struct jx_txn *txn, uint32_t ino) { return ino >= txn->first_ino && ino < txn->next_ino; }

static int new_ino(struct jx_txn *txn, uint32_t *ino)
{
    uint32_t at = txn->next_ino - txn->first_ino;
    if (txn->next_ino >= JX_NUMBER_LIMIT)
        return JX_ELIMIT;
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
    if (is_new(txn, ino)) {
        *version = ++txn->versions[ino - txn->first_ino];
        return JX_OK;
    }
    struct jx_inode_rec *rec = jx_inode_find(txn->fs, ino);
    if (!rec || !rec->alive)
        return JX_ENOENT;
    if (rec->highest_version >= JX_NUMBER_LIMIT - 1)
        return JX_ELIMIT;
    *version = ++rec->highest_version;
    return JX_OK;
}

/* ---- nodes ---------------------------------------------------------------------------- */

static int stage(struct jx_txn *txn, uint32_t len, const struct jx_summary_entry *entry, uint32_t keep_free)
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
        struct jx_xref ref = {.ino = ino, .xid = txn->pending[i], .xseqno = txn->next_xseqno};
        struct jx_summary_entry entry = {.nodetype = JX_NODE_XREF, .totlen = JX_XREF_BYTES};
        txn->next_xseqno += 2;
        err = stage(txn, jx_encode_xref(txn->fs->endian, txn->node, &ref), &entry, 0);
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
    uint32_t refs = txn->pending_count * (JX_XREF_BYTES + 6u);
    err = stage(txn, len, &entry, refs);
    txn->stats.data_bytes += jx_pad4(len);
    return err ? err : stage_pending(txn, in->ino);
}

/* ---- new inodes --------------------------------------------------------------------------- */

int jx_txn_create(jx_txn *txn, const struct jx_attr *attr, uint32_t size, uint32_t *ino)
{
    int err = must_stage(txn);
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
    int err = must_stage(txn);
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
    int err = must_stage(txn);
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
    int err = must_stage(txn);
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
    return is_new(txn, pino) ? stage(txn, len, &entry, 0) : jx_set_add(&txn->set, txn->node, len, &entry);
}

static int is_visible(struct jx_txn *txn, uint32_t pino, const void *name, uint32_t nsize)
{
    uint32_t ino;
    return jx_fs_lookup(txn->fs, pino, name, nsize, &ino) == JX_OK;
}

int jx_txn_link(jx_txn *txn, uint32_t pino, const void *name, uint32_t nsize, uint32_t ino, uint8_t type, uint32_t mtime)
{
    int err = must_stage(txn);
    if (err)
        return err;
    if (!valid_name(name, nsize) || !ino)
        return JX_EINVAL;
    if (txn->strategy->replaces_in_pairs && !is_new(txn, pino) && is_visible(txn, pino, name, nsize))
        err = put_dirent(txn, pino, name, nsize, 0, 0, mtime);
    return err ? err : put_dirent(txn, pino, name, nsize, ino, type, mtime);
}

int jx_txn_unlink(jx_txn *txn, uint32_t pino, const void *name, uint32_t nsize, uint32_t mtime)
{
    int err = must_stage(txn);
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
    if (type != S_IFLNK && type != S_IFBLK && type != S_IFCHR)
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
    int err = must_stage(txn);
    if (!err)
        err = jx_fs_stat(txn->fs, ino, &st);
    if (!err && (st.mode & S_IFMT) != (attr->mode & S_IFMT))
        err = JX_EINVAL;
    if (!err)
        err = payload_of(txn, &st, payload, &len);
    if (err)
        return err;
    struct jx_inode in = inode_fields(ino, 0, attr, (attr->mode & S_IFMT) == S_IFDIR ? 0 : st.size);
    in.csize = in.dsize = len;
    err = next_version(txn, ino, &in.version);
    if (err)
        return err;
    uint32_t total = jx_encode_inode(txn->fs->endian, txn->node, &in, payload);
    struct jx_summary_entry entry = inode_entry(ino, in.version, total);
    return jx_set_add(&txn->set, txn->node, total, &entry);
}

/* ---- extended attributes ------------------------------------------------------------------------ */

static struct jx_new_xattr *find_datum(struct jx_txn *txn, uint8_t xprefix, const void *name, uint32_t name_len,
                                       const void *value, uint32_t value_len)
{
    for (uint32_t i = 0; i < txn->xattr_count; i++) {
        struct jx_new_xattr *x = &txn->xattrs[i];
        if (x->xprefix == xprefix && x->name_len == name_len && x->value_len == value_len &&
            !memcmp(x->bytes, name, name_len) && !memcmp(x->bytes + name_len, value, value_len))
            return x;
    }
    return NULL;
}

static int stage_datum(struct jx_txn *txn, const struct jx_new_xattr *x)
{
    struct jx_xattr raw = {.xid = x->xid, .version = 1, .xprefix = x->xprefix, .name_len = x->name_len, .value_len = x->value_len};
    uint32_t len = jx_encode_xattr(txn->fs->endian, txn->node, &raw, x->bytes, x->bytes + x->name_len);
    struct jx_summary_entry entry = {.nodetype = JX_NODE_XATTR, .ino = x->xid, .version = 1, .totlen = len};
    return stage(txn, len, &entry, 0);
}

/* Equal attributes share one datum, as in the kernel. */
static int datum_for(struct jx_txn *txn, uint8_t xprefix, const void *name, uint32_t name_len, const void *value,
                     uint32_t value_len, uint32_t *xid)
{
    struct jx_new_xattr *x = find_datum(txn, xprefix, name, name_len, value, value_len);
    if (x) {
        *xid = x->xid;
        return JX_OK;
    }
    struct jx_new_xattr *xattrs = realloc(txn->xattrs, (txn->xattr_count + 1) * sizeof(*xattrs));
    if (!xattrs)
        return JX_ENOMEM;
    txn->xattrs = xattrs;
    x = &xattrs[txn->xattr_count];
    *x = (struct jx_new_xattr){.xid = txn->next_xid, .xprefix = xprefix, .name_len = (uint8_t)name_len,
                               .value_len = (uint16_t)value_len, .bytes = malloc(name_len + value_len + 1)};
    if (!x->bytes)
        return JX_ENOMEM;
    memcpy(x->bytes, name, name_len);
    memcpy(x->bytes + name_len, value, value_len);
    txn->xattr_count++;
    *xid = txn->next_xid++;
    return stage_datum(txn, x);
}

static int add_reference(struct jx_txn *txn, uint32_t ino, uint32_t xid, uint32_t flag)
{
    struct jx_xref ref = {.ino = ino, .xid = xid, .xseqno = txn->next_xseqno | flag};
    struct jx_summary_entry entry = {.nodetype = JX_NODE_XREF, .totlen = JX_XREF_BYTES};
    txn->next_xseqno += 2;
    uint32_t len = jx_encode_xref(txn->fs->endian, txn->node, &ref);
    return jx_set_add(&txn->set, txn->node, len, &entry);
}

int jx_txn_setxattr(jx_txn *txn, uint32_t ino, uint8_t xprefix, const void *name, uint32_t name_len, const void *value, uint32_t value_len)
{
    uint32_t xid;
    int err = must_stage(txn);
    if (err)
        return err;
    if (name_len > 255 || value_len > 65535 || (ino && is_new(txn, ino) && (!txn->file.open || txn->file.written)))
        return JX_EINVAL;
    if (jx_pad4(JX_XATTR_BYTES + name_len + 1 + value_len) + JX_TAG_BYTES > txn->fs->flash->geo.erase_size_bytes)
        return JX_EINVAL;
    err = datum_for(txn, xprefix, name, name_len, value, value_len, &xid);
    if (err)
        return err;
    if (ino && !is_new(txn, ino))
        return add_reference(txn, ino, xid, 0);
    uint32_t *pending = realloc(txn->pending, (txn->pending_count + 1) * sizeof(*pending));
    if (!pending)
        return JX_ENOMEM;
    txn->pending = pending;
    txn->pending[txn->pending_count++] = xid;
    return JX_OK;
}

int jx_txn_removexattr(jx_txn *txn, uint32_t ino, uint32_t xid)
{
    int err = must_stage(txn);
    return err ? err : add_reference(txn, ino, xid, 1);
}

/* ---- prepare and commit --------------------------------------------------------------------------- */

static void count(struct jx_txn *txn)
{
    struct jx_txn_stats *s = &txn->stats;
    s->staged_bytes = txn->writer.bytes;
    s->staged_blocks = txn->writer.sequence;
    s->commit_bytes = txn->set.bytes;
    s->commit_nodes = txn->set.count;
    s->commit_limit = txn->strategy->limit(&txn->fs->flash->geo, txn->set.summary_bytes);
    s->blocks_needed = s->staged_blocks + (txn->set.count ? 1 : 0) + (txn->strategy == &jx_seal ? 1 : 0);
}

static int take_commit_block(struct jx_txn *txn)
{
    struct jx_tag tag = txn->tag;
    int err = jx_pool_take(txn->fs, &txn->pool, 0, &txn->commit_block);
    if (err)
        return err;
    memset(txn->image, 0xff, txn->fs->flash->geo.erase_size_bytes);
    tag.role = JX_TAG_COMMIT;
    tag.sequence = txn->writer.sequence;
    jx_tag_encode(txn->fs->endian, txn->image, &tag);
    return JX_OK;
}

/* The set must never be seen: NOR clears its nodes first; a block that cannot be erased is marked bad. */
static int neutralise(struct jx_txn *txn)
{
    int err = jx_disarm_set(txn);
    if (!err || jx_is_wear(err))
        err = jx_reclaim(txn->fs, txn->commit_block, txn->check);
    return err < 0 ? err : JX_OK;
}

/* The set hidden in a fresh block; where that block wears out, in another one. */
static int place_set(struct jx_txn *txn)
{
    int err;
    do {
        err = take_commit_block(txn);
        if (err)
            return err;
        err = txn->strategy->prepare(txn);
        if (jx_is_wear(err) && neutralise(txn) != JX_OK)
            return JX_EIO;
    } while (jx_is_wear(err));
    return err ? err : jx_flash_sync(txn->fs->flash);
}

int jx_txn_prepare(jx_txn *txn)
{
    int err = must_stage(txn);
    if (err || txn->file.open || txn->pending_count)
        return JX_ESTATE;
    err = jx_writer_end_block(&txn->writer);
    count(txn);
    if (err)
        return err;
    if (txn->stats.commit_bytes > txn->stats.commit_limit || (txn->strategy == &jx_swap && txn->set.count > 1))
        return JX_ETOOBIG;
    if (txn->stats.blocks_needed > txn->stats.blocks_available ||
        txn->stats.blocks_needed + txn->stats.reserve > txn->stats.blocks_available + txn->stats.blocks_dead)
        return JX_ENOSPC;
    txn->phase = JX_PHASE_PREPARED;
    if (txn->options.dry_run || !txn->set.count)
        return JX_OK;
    err = jx_flash_sync(txn->fs->flash);
    return err ? err : place_set(txn);
}

/* The blocks of a new image that stay free say so. */
static int mark_rest(struct jx_txn *txn)
{
    int err = JX_OK;
    while (txn->pool.next < txn->pool.count && !err)
        err = jx_erase_and_mark(txn->fs, txn->pool.blocks[txn->pool.next++], txn->check);
    return err ? err : jx_flash_sync(txn->fs->flash);
}

int jx_txn_commit(jx_txn *txn)
{
    int stands = 0;
    if (txn->phase != JX_PHASE_PREPARED)
        return JX_ESTATE;
    if (txn->options.dry_run || !txn->set.count) {
        txn->phase = JX_PHASE_COMMITTED;
        return txn->options.fresh && !txn->options.dry_run ? mark_rest(txn) : JX_OK;
    }
    int err;
    do { /* whatever the chip says, the medium tells: a fresh scan decides which tree stands */
        err = txn->strategy->commit(txn);
        if (err == JX_ECUT)
            return err;
        err = jx_flash_sync(txn->fs->flash);
        if (!err)
            err = jx_settle_committed(txn, &stands);
        if (stands || err != JX_EVERIFY)
            break;
        err = neutralise(txn);
        if (!err)
            err = place_set(txn);
    } while (!err);
    if (!stands)
        return err;
    txn->phase = JX_PHASE_COMMITTED;
    jx_flash_sync(txn->fs->flash);
    return err == JX_ECUT ? err : JX_OK; /* what could not be settled recover will meet again */
}

void jx_txn_statistics(const jx_txn *txn, struct jx_txn_stats *out) { *out = txn->stats; }
