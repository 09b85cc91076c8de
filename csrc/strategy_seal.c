/* strategy_seal.c: on page-programmed flash containers in page 0 hide the block from a full scan; a summary that lists the
 * set makes it appear to readers with CONFIG_JFFS2_SUMMARY. Its last page, with the marker, is the commit. */
#include <stdlib.h>
#include <string.h>
#include "mutants.h"
#include "txn.h"

static int suits(const struct jx_geometry *geo) { return geo->write_size_bytes > 1 ? JX_OK : JX_ESTRATEGY; }

/* The first page, or as many as hold the tag and two containers. */
static uint32_t cover_bytes(const struct jx_geometry *geo)
{
    return jx_align(JX_TAG_BYTES + 2 * JX_HEADER_BYTES, geo->write_size_bytes);
}

static uint32_t summary_bytes_of(uint32_t entries) { return JX_SUMMARY_BYTES + entries + JX_MARKER_BYTES; }

static uint32_t limit(const struct jx_geometry *geo, uint32_t summary_bytes)
{
    uint32_t room = geo->erase_size_bytes - cover_bytes(geo);
    uint32_t need = jx_align(summary_bytes_of(summary_bytes), geo->write_size_bytes);
    return need > JX_MAX_SUMMARY || need > room ? 0 : room - need;
}

/* The summary has pages of its own: were a node of the set in the last page, a torn program could bring a whole summary
 * and half of that node. */
static uint32_t summary_at(const struct jx_txn *txn)
{
    const struct jx_geometry *geo = &txn->fs->flash->geo;
    uint32_t page = JX_MUTANT(seal_page_shared) ? 4 : geo->write_size_bytes;
    return geo->erase_size_bytes - jx_align(summary_bytes_of(txn->set.summary_bytes), page);
}

/* The first page of the set: as late in the block as it fits. */
static uint32_t set_at(const struct jx_txn *txn)
{
    uint32_t page = JX_MUTANT(seal_page_shared) ? 4 : txn->fs->flash->geo.write_size_bytes;
    return summary_at(txn) - jx_align(txn->set.bytes, page);
}

/* Tag, then headers back to back that each cover the block up to its end: one damaged header opens nothing. */
static void fill_cover(struct jx_txn *txn)
{
    const struct jx_geometry *geo = &txn->fs->flash->geo;
    uint32_t at = JX_TAG_BYTES, end = cover_bytes(geo);
    for (; at + JX_HEADER_BYTES <= end; at += JX_HEADER_BYTES)
        jx_encode_header(txn->fs->endian, txn->image + at, JX_NODE_CONTAINER, geo->erase_size_bytes - at);
    memset(txn->image + at, 0, end - at);
    if (JX_MUTANT(seal_uncovered))
        memset(txn->image + JX_TAG_BYTES, 0, end - JX_TAG_BYTES);
}

static int fill_last_pages(struct jx_txn *txn)
{
    uint32_t size = txn->fs->flash->geo.erase_size_bytes, at = set_at(txn), n = txn->set.count;
    struct jx_summary_entry *entries = malloc(n * sizeof(*entries));
    const char **names = malloc(n * sizeof(*names));
    int err = entries && names ? JX_OK : JX_ENOMEM;
    uint32_t ofs = at, start = summary_at(txn);
    for (uint32_t i = 0; i < n && !err; i++) {
        entries[i] = txn->set.changes[i].entry;
        entries[i].offset = ofs;
        names[i] = txn->set.changes[i].name;
        ofs += jx_pad4(txn->set.changes[i].len);
    }
    jx_set_bytes(&txn->set, txn->image + at);
    if (!err && jx_encode_summary(txn->fs->endian, txn->image + start, size - start, start, 0, 0, entries, names, n - JX_MUTANT(seal_summary_short)) < 0)
        err = JX_ETOOBIG;
    free(entries);
    free(names);
    return err;
}

static int program_pages(struct jx_txn *txn, uint32_t from, uint32_t to)
{
    uint32_t page = txn->fs->flash->geo.write_size_bytes;
    int err = JX_OK;
    for (; from < to && !err; from += page)
        err = jx_program_verified(txn->fs->flash, txn->commit_block + from, txn->image + from, page, txn->check);
    return err;
}

static int prepare(struct jx_txn *txn)
{
    const struct jx_geometry *geo = &txn->fs->flash->geo;
    fill_cover(txn);
    int err = fill_last_pages(txn);
    if (!err)
        err = program_pages(txn, 0, cover_bytes(geo));
    uint32_t from = set_at(txn) / geo->write_size_bytes * geo->write_size_bytes;
    return err ? err : program_pages(txn, from, geo->erase_size_bytes - (JX_MUTANT(seal_marker_early) ? 0 : geo->write_size_bytes));
}

static int commit(struct jx_txn *txn)
{
    const struct jx_geometry *geo = &txn->fs->flash->geo;
    return program_pages(txn, geo->erase_size_bytes - geo->write_size_bytes, geo->erase_size_bytes);
}

/* One bad bit in the summary would hide the set again: it must not stay here. */
static int finish(struct jx_txn *txn, uint32_t *settled_at)
{
    *settled_at = JX_MUTANT(seal_stays) ? txn->fs->flash->geo.erase_size_bytes : JX_NONE;
    return JX_OK;
}

const struct jx_strategy_ops jx_seal = {"seal", 0, suits, limit, prepare, commit, finish};
