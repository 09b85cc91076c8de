/* writer.c: staging blocks. A block is built in memory and programmed node by node (NOR) or page by page (NAND), each
 * program read back. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "guard.h"
#include "mutants.h"
#include "txn.h"
#include "writer.h"

int jx_program_verified(jx_flash *flash, uint32_t off, const uint8_t *data, uint32_t len, uint8_t *check)
{
    uint32_t page = flash->geo.write_size_bytes;
    int err = JX_OK;
    for (uint32_t at = 0, step = len; at < len && !err; at += step) {
        if (page > 1) /* a program stays in one page */
            step = page - (off + at) % page < len - at ? page - (off + at) % page : len - at;
        err = jx_flash_prog(flash, off + at, data + at, step);
    }
    if (!err)
        err = jx_flash_read(flash, off, check, len);
    if (err)
        return err;
    flash->stats.bytes_verified += len;
    return memcmp(data, check, len) && !JX_MUTANT(program_unverified) ? JX_EVERIFY : JX_OK;
}

int jx_erase_verified(struct jx_fs *fs, uint32_t block, uint8_t *buf)
{
    uint32_t size = fs->flash->geo.erase_size_bytes;
    int err = jx_flash_erase(fs->flash, block);
    if (!err)
        err = jx_flash_read(fs->flash, block, buf, size);
    if (err)
        return err;
    return jx_is_erased(buf, size) || JX_MUTANT(erase_unverified) ? JX_OK : JX_EVERIFY;
}

int jx_erase_and_mark(struct jx_fs *fs, uint32_t block, uint8_t *buf)
{
    const struct jx_geometry *geo = &fs->flash->geo;
    uint32_t inline_bytes = jx_cleanmarker_size(geo), oob_bytes = jx_cleanmarker_oob_size(geo);
    uint8_t marker[JX_HEADER_BYTES];
    int err = jx_erase_verified(fs, block, buf);
    if (err || !jx_flash_holds(fs->flash, block)) /* after the end of an image file a mark would only make it grow */
        return err;
    if (oob_bytes) {
        jx_encode_header(fs->endian, marker, JX_NODE_CLEANMARKER, JX_CLEANMARKER_OOB_BYTES);
        return jx_flash_oob_prog(fs->flash, block, marker, oob_bytes);
    }
    if (!inline_bytes)
        return JX_OK;
    uint32_t len = jx_align(inline_bytes, geo->write_size_bytes);
    memset(buf, 0xff, len);
    jx_encode_header(fs->endian, buf, JX_NODE_CLEANMARKER, inline_bytes);
    return jx_program_verified(fs->flash, block, buf, geo->write_size_bytes > 1 ? len : JX_HEADER_BYTES, buf + len);
}

/* A device without a table of bad blocks keeps the block: it is tried again another time. */
static int retire(struct jx_fs *fs, uint32_t block)
{
    int err = fs->flash->ops->mark_bad ? jx_flash_mark_bad(fs->flash, block) : JX_OK;
    if (jx_is_wear(err) && jx_flash_is_bad(fs->flash, block) == 1)
        return JX_OK; /* one of several marks could not be written */
    return err == JX_EFLASH ? JX_OK : err;
}

/* Of a block that nothing stands on: where it cannot be marked it is left alone. */
static int drop(struct jx_fs *fs, uint32_t block)
{
    int err = retire(fs, block);
    return jx_is_wear(err) ? JX_OK : err;
}

int jx_reclaim(struct jx_fs *fs, uint32_t block, uint8_t *buf)
{
    int err = JX_MUTANT(reclaim_armed) ? JX_OK : jx_disarm(fs, block);
    if (!err)
        err = jx_erase_and_mark(fs, block, buf);
    if (!err)
        return 1;
    if (!jx_is_wear(err))
        return err;
    int chip_failed = err == JX_EIO; /* what reads otherwise than it should may be erased the next time */
    err = retire(fs, block);
    if (!err && chip_failed && jx_flash_is_bad(fs->flash, block) == 0)
        jx_flash_note_worn(fs->flash, block);
    return err;
}

/* ---- the pool ----------------------------------------------------------------- */

/* Behind the block that the last transaction took last, so that erases go round the chip; 0 where there was none. */
static uint32_t next_block(const struct jx_fs *fs)
{
    const struct jx_block *last = NULL;
    for (uint32_t b = 0; b < fs->block_count; b++) {
        const struct jx_block *block = &fs->blocks[b];
        if (block->tag && block->txid == fs->status.txid && (!last || block->sequence >= last->sequence))
            last = block;
    }
    return last ? (uint32_t)(last - fs->blocks) + 1 : 0;
}

int jx_pool_open(struct jx_fs *fs, struct jx_pool *pool)
{
    uint32_t first = JX_MUTANT(round_forgotten) ? 0 : next_block(fs);
    memset(pool, 0, sizeof(*pool));
    pool->blocks = malloc((size_t)fs->block_count * sizeof(*pool->blocks));
    if (!pool->blocks)
        return JX_ENOMEM;
    for (int dirty = 0; dirty <= (!fs->flash->live || JX_MUTANT(live_takes_dirty)); dirty++)
        for (uint32_t i = 0; i < fs->block_count; i++) {
            const struct jx_block *block = &fs->blocks[(first + i) % fs->block_count];
            if (dirty ? block->state == JX_B_DIRTY : block->state == JX_B_ERASED || block->state == JX_B_FREE)
                pool->blocks[pool->count++] = block->offset;
        }
    return JX_OK;
}

void jx_pool_close(struct jx_pool *pool)
{
    free(pool->blocks);
    pool->blocks = NULL;
}

static uint32_t first_behind(const struct jx_pool *pool, uint32_t from, uint32_t offset)
{
    while (from < pool->count && pool->blocks[from] <= offset)
        from++;
    return from;
}

static void take_next(struct jx_pool *pool, uint32_t i)
{
    uint32_t block = pool->blocks[i];
    memmove(pool->blocks + pool->next + 1, pool->blocks + pool->next, (i - pool->next) * sizeof(block));
    pool->blocks[pool->next] = block;
}

void jx_pool_go_behind(struct jx_pool *pool, uint32_t offset)
{
    uint32_t i = first_behind(pool, pool->next, offset);
    if (i < pool->count)
        take_next(pool, i);
}

void jx_pool_leave_one_behind(struct jx_pool *pool)
{
    uint32_t next = pool->next + 1;
    if (next < pool->count && first_behind(pool, next, pool->blocks[pool->next]) == pool->count)
        take_next(pool, next);
}

/* A free block's inline cleanmarker goes first: a cut in the erase must not leave a half-erased block that says it is free. */
static int spoil_cleanmarker(struct jx_fs *fs, uint32_t block)
{
    static const uint8_t zero[4];
    const struct jx_block *b = &fs->blocks[block / fs->flash->geo.erase_size_bytes];
    if (b->cleanmarker != 1 || JX_MUTANT(cleanmarker_kept) || !jx_is_bit_writable(&fs->flash->geo))
        return JX_OK;
    return jx_flash_prog(fs->flash, block, zero, sizeof(zero));
}

static int erase_for_use(struct jx_fs *fs, uint32_t block, uint8_t *buf)
{
    if (JX_MUTANT(cleanmarker_trusted) && fs->blocks[block / fs->flash->geo.erase_size_bytes].state == JX_B_FREE)
        return JX_OK;
    int err = jx_disarm(fs, block);
    if (!err)
        err = spoil_cleanmarker(fs, block);
    return err ? err : jx_erase_verified(fs, block, buf);
}

int jx_pool_take(struct jx_fs *fs, struct jx_pool *pool, int dry_run, uint32_t *block)
{
    if (dry_run) {
        *block = 0;
        pool->next++;
        return JX_OK;
    }
    uint8_t *buf = malloc(fs->flash->geo.erase_size_bytes);
    int err = buf ? JX_OK : JX_ENOMEM, worn = 1;
    while (!err && worn) {
        if (pool->next == pool->count) {
            err = JX_ENOSPC;
            break;
        }
        *block = pool->blocks[pool->next++];
        err = erase_for_use(fs, *block, buf);
        worn = jx_is_wear(err);
        if (worn)
            err = drop(fs, *block);
    }
    free(buf);
    return err;
}

/* ---- the writer ------------------------------------------------------------------ */

int jx_writer_open(struct jx_writer *w, struct jx_fs *fs, struct jx_pool *pool, const struct jx_tag *tag, int dry_run, int summary)
{
    memset(w, 0, sizeof(*w));
    w->fs = fs;
    w->pool = pool;
    w->tag = tag;
    w->dry_run = dry_run;
    w->summary = summary;
    w->block = JX_NONE;
    w->buf = malloc(fs->flash->geo.erase_size_bytes);
    w->check = malloc(fs->flash->geo.erase_size_bytes);
    return w->buf && w->check ? JX_OK : JX_ENOMEM;
}

void jx_writer_close(struct jx_writer *w)
{
    free(w->buf);
    free(w->check);
    free(w->entries);
    w->buf = w->check = NULL;
    w->entries = NULL;
}

static uint32_t block_size(const struct jx_writer *w) { return w->fs->flash->geo.erase_size_bytes; }
static uint32_t write_size(const struct jx_writer *w) { return w->fs->flash->geo.write_size_bytes; }

/* [from, to) of the block to the medium, page by page where the flash has pages; erased stretches cost nothing. */
static int program(struct jx_writer *w, uint32_t from, uint32_t to)
{
    uint32_t page = write_size(w) > 1 ? write_size(w) : to - from;
    int err = JX_OK;
    for (; from < to && !err; from += page) {
        if (write_size(w) > 1 && jx_is_erased(w->buf + from, page))
            continue;
        w->bytes += page;
        if (!w->dry_run)
            err = jx_program_verified(w->fs->flash, w->block + from, w->buf + from, page, w->check);
    }
    return err;
}

/* The block under way fails: what it was to hold goes to another one, which takes its place. Only then is it marked bad: what
 * it holds already may be the only copy (garbage collection erased the first). */
static int move_on(struct jx_writer *w, uint32_t to)
{
    uint32_t failed = w->block, from = JX_MUTANT(failed_block_left) ? w->flushed : 0;
    int err, worn;
    do {
        err = jx_pool_take(w->fs, w->pool, w->dry_run, &w->block);
        if (!err)
            err = program(w, from, to);
        worn = jx_is_wear(err);
        if (worn)
            err = drop(w->fs, w->block);
    } while (worn && !err);
    if (!err)
        err = jx_flash_sync(w->fs->flash);
    return err ? err : drop(w->fs, failed);
}

/* Whole pages only; the rest of the last one waits. */
static int program_full(struct jx_writer *w)
{
    uint32_t to = w->fill / write_size(w) * write_size(w);
    int err = to > w->flushed ? program(w, w->flushed, to) : JX_OK;
    if (jx_is_wear(err))
        err = move_on(w, to);
    if (!err && to > w->flushed)
        w->flushed = to;
    return err;
}

uint32_t jx_fill_pages(const struct jx_fs *fs, uint8_t *buf, uint32_t fill)
{
    uint32_t end = jx_align(fill, fs->flash->geo.write_size_bytes), rest = end - fill;
    memset(buf + fill, rest >= JX_HEADER_BYTES ? 0xff : 0, rest);
    if (rest >= JX_HEADER_BYTES)
        jx_encode_header(fs->endian, buf + fill, JX_NODE_PADDING, rest);
    return end;
}

static void append(struct jx_writer *w, const uint8_t *node, uint32_t len)
{
    memcpy(w->buf + w->fill, node, len);
    memset(w->buf + w->fill + len, 0xff, jx_pad4(len) - len);
    w->fill += jx_pad4(len);
}

static int add_entry(struct jx_writer *w, const struct jx_summary_entry *entry)
{
    if (w->entry_count == w->entry_capacity) {
        uint32_t capacity = w->entry_capacity ? w->entry_capacity * 2 : 64;
        struct jx_summary_entry *entries = realloc(w->entries, capacity * sizeof(*entries));
        if (!entries)
            return JX_ENOMEM;
        w->entries = entries;
        w->entry_capacity = capacity;
    }
    w->entries[w->entry_count] = *entry;
    w->entries[w->entry_count++].offset = w->fill;
    w->entry_bytes += jx_summary_entry_size(entry);
    return JX_OK;
}

/* After a dirent, unless it ends the block. */
static int add_guard(struct jx_writer *w)
{
    uint8_t node[JX_GUARD_BYTES];
    struct jx_summary_entry entry;
    int may_end = w->entry_count && w->fill < block_size(w);
    uint32_t len = may_end ? jx_encode_guard(w->fs->endian, node, &w->entries[w->entry_count - 1], &entry) : 0;
    int err = len ? add_entry(w, &entry) : JX_OK;
    if (len && !err)
        append(w, node, len);
    return err;
}

int jx_writer_flush(struct jx_writer *w)
{
    if (w->block == JX_NONE)
        return JX_OK;
    int err = add_guard(w);
    if (err)
        return err;
    uint32_t end = jx_fill_pages(w->fs, w->buf, w->fill);
    w->padded += end - w->fill >= JX_HEADER_BYTES ? end - w->fill : 0;
    w->fill = end;
    return program_full(w);
}

static uint32_t summary_size(const struct jx_writer *w, uint32_t more)
{
    return w->summary ? jx_pad4(JX_SUMMARY_BYTES + w->entry_bytes + more + JX_MARKER_BYTES) : 0;
}

/* From the fill to the end of the block (jffs2_sum_write_sumnode). Too long for the kernel: none. */
static int write_summary(struct jx_writer *w)
{
    uint32_t total = block_size(w) - w->fill;
    if (!w->summary || !w->entry_count || total < summary_size(w, 0) || total > JX_MAX_SUMMARY)
        return JX_OK;
    const char **names = malloc(w->entry_count * sizeof(*names));
    if (!names)
        return JX_ENOMEM;
    for (uint32_t i = 0; i < w->entry_count; i++)
        names[i] = (const char *)w->buf + w->entries[i].offset + JX_DIRENT_BYTES;
    uint32_t cleanmarker = w->tag ? 0 : jx_cleanmarker_size(&w->fs->flash->geo);
    int err = jx_encode_summary(w->fs->endian, w->buf + w->fill, total, w->fill, cleanmarker, w->padded, w->entries, names,
                                w->entry_count - JX_MUTANT(summary_short));
    free(names);
    if (err < 0)
        return err;
    w->fill = block_size(w);
    return JX_OK;
}

static int finish_block(struct jx_writer *w)
{
    int err = write_summary(w);
    if (!err)
        err = jx_writer_flush(w);
    w->block = JX_NONE;
    return err;
}

int jx_writer_end_block(struct jx_writer *w)
{
    int err = jx_writer_flush(w);
    w->block = JX_NONE;
    return err;
}

/* What a block begins with: our tag, or in a new image the cleanmarker that mkfs would give it. */
static void start_mark(struct jx_writer *w)
{
    uint8_t bytes[JX_TAG_BYTES];
    uint32_t cleanmarker = jx_cleanmarker_size(&w->fs->flash->geo);
    if (w->tag) {
        struct jx_tag tag = *w->tag;
        tag.sequence = w->sequence;
        jx_tag_encode(w->fs->endian, bytes, &tag, w->fs->flash->geo.size_bytes, w->block);
        append(w, bytes, sizeof(bytes));
    } else if (cleanmarker) {
        jx_encode_header(w->fs->endian, bytes, JX_NODE_CLEANMARKER, cleanmarker);
        append(w, bytes, JX_HEADER_BYTES);
        w->fill = jx_align(cleanmarker, write_size(w));
    }
}

static int start_block(struct jx_writer *w)
{
    int err = jx_pool_take(w->fs, w->pool, w->dry_run, &w->block);
    if (err) {
        w->block = JX_NONE;
        return err;
    }
    memset(w->buf, 0xff, block_size(w));
    w->fill = w->flushed = w->entry_count = w->entry_bytes = w->padded = 0;
    start_mark(w);
    w->sequence++;
    return JX_OK;
}

int jx_writer_node(struct jx_writer *w, const uint8_t *node, uint32_t len, const struct jx_summary_entry *entry, uint32_t keep_free)
{
    int guarded = jx_needs_guard(entry);
    uint32_t entry_bytes = jx_summary_entry_size(entry) + (guarded ? JX_GUARD_ENTRY_BYTES : 0);
    uint32_t total = jx_pad4(len) + keep_free + (guarded ? JX_GUARD_BYTES : 0);
    int err = JX_OK;
    if (w->block != JX_NONE && w->fill + total + summary_size(w, entry_bytes + keep_free) > block_size(w))
        err = finish_block(w);
    if (!err && w->block == JX_NONE)
        err = start_block(w);
    if (err)
        return err;
    if (w->fill + total > block_size(w))
        return JX_ETOOBIG;
    err = add_entry(w, entry);
    append(w, node, len);
    return err ? err : program_full(w);
}
