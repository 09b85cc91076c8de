/* txn_xattr.c: extended attributes: data are staged, references stand with their inode or in the commit set. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "txn.h"

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
    return jx_stage_node(txn, len, &entry, 0);
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
    if (txn->next_xid >= JX_NUMBER_LIMIT)
        return JX_ELIMIT_XATTR;
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
    if (txn->next_xseqno >= JX_NUMBER_LIMIT)
        return JX_ELIMIT_XATTR;
    struct jx_xref ref = {.ino = ino, .xid = xid, .xseqno = txn->next_xseqno | flag};
    struct jx_summary_entry entry = {.nodetype = JX_NODE_XREF, .totlen = JX_XREF_BYTES};
    txn->next_xseqno += 2;
    uint32_t len = jx_encode_xref(txn->fs->endian, txn->node, &ref);
    return jx_set_add(&txn->set, txn->node, len, &entry);
}

int jx_txn_setxattr(jx_txn *txn, uint32_t ino, uint8_t xprefix, const void *name, uint32_t name_len, const void *value, uint32_t value_len)
{
    uint32_t xid;
    int err = jx_must_stage(txn);
    if (err)
        return err;
    if (name_len > 255 || value_len > 65535 || (ino && jx_is_new_ino(txn, ino) && (!txn->file.open || txn->file.written)))
        return JX_EINVAL;
    if (jx_pad4(JX_XATTR_BYTES + name_len + 1 + value_len) + JX_TAG_BYTES > txn->fs->flash->geo.erase_size_bytes)
        return JX_EINVAL;
    err = datum_for(txn, xprefix, name, name_len, value, value_len, &xid);
    if (err)
        return err;
    if (ino && !jx_is_new_ino(txn, ino))
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
    int err = jx_must_stage(txn);
    return err ? err : add_reference(txn, ino, xid, 1);
}
