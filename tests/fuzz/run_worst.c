/* run_worst.c: what finding, reading, recovering and collecting the worst media costs, for each byte of the medium, at three sizes; in
 * operations instead of time: basic blocks of the C core that were executed, and a sixteenth of the bytes that were copied,
 * compared, filled, put through a CRC or unpacked. heap: the most that was allocated at once, for each byte of the medium.
 *
 *     run_worst [SCALE]   prints a table; status 1 where a byte costs more than GROWTH_MAX times as much in the whole as in
 *                         the quarter, or HEAP_MAX bytes of heap
 *
 * The core is compiled with -fsanitize-coverage=trace-pc, the linker wraps what is counted. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fs.h"
#include "worst.h"

#define GROWTH_MAX 1.6 /* n log n, and what a small medium wastes of its last eraseblock */
#define HEAP_MAX 12.0
#define WINDOW_BYTES 65536u

static uint64_t operations;
static size_t heap, heap_peak;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) { operations++; }

/* ---- what the linker wraps -------------------------------------------------- */

static void *counted(void *p)
{
    heap += p ? malloc_usable_size(p) : 0;
    heap_peak = heap > heap_peak ? heap : heap_peak;
    return p;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memset(void *p, int c, size_t n);
int __real_memcmp(const void *a, const void *b, size_t n);
uint32_t __real_jx_crc32(uint32_t seed, const void *data, size_t len);
int __real_jx_decompress(jx_compressor *c, int compr, const void *data, uint32_t csize, void *out, uint32_t dsize);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memset(void *p, int c, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);
uint32_t __wrap_jx_crc32(uint32_t seed, const void *data, size_t len);
int __wrap_jx_decompress(jx_compressor *c, int compr, const void *data, uint32_t csize, void *out, uint32_t dsize);

void *__wrap_malloc(size_t n) { return counted(__real_malloc(n)); }
void *__wrap_calloc(size_t n, size_t size)
{
    operations += n * size / 16;
    return counted(__real_calloc(n, size));
}
void *__wrap_realloc(void *p, size_t n)
{
    size_t before = p ? malloc_usable_size(p) : 0;
    operations += before / 16;
    void *q = __real_realloc(p, n);
    heap -= q ? before : 0;
    return counted(q);
}
void __wrap_free(void *p)
{
    heap -= p ? malloc_usable_size(p) : 0;
    __real_free(p);
}
void *__wrap_memcpy(void *to, const void *from, size_t n)
{
    operations += n / 16;
    return __real_memcpy(to, from, n);
}
void *__wrap_memset(void *p, int c, size_t n)
{
    operations += n / 16;
    return __real_memset(p, c, n);
}
int __wrap_memcmp(const void *a, const void *b, size_t n)
{
    operations += n / 16;
    return __real_memcmp(a, b, n);
}
uint32_t __wrap_jx_crc32(uint32_t seed, const void *data, size_t len)
{
    operations += len / 16;
    return __real_jx_crc32(seed, data, len);
}
int __wrap_jx_decompress(jx_compressor *c, int compr, const void *data, uint32_t csize, void *out, uint32_t dsize)
{
    operations += dsize / 16;
    return __real_jx_decompress(c, compr, data, csize, out, dsize);
}

/* ---- what is done ------------------------------------------------------------ */

static void read_content(jx_fs *fs, uint32_t ino)
{
    static uint8_t window[WINDOW_BYTES];
    uint32_t offset = 0, at, len;
    int64_t n = 1;
    while (n > 0 && jx_fs_data(fs, ino, offset, &at, &len) > 0)
        for (offset = at; offset - at < len && n > 0; offset += n > 0 ? (uint32_t)n : 0)
            n = jx_fs_read(fs, ino, offset, window, len - (offset - at) < WINDOW_BYTES ? len - (offset - at) : WINDOW_BYTES);
}

static void read_everything(jx_fs *fs)
{
    uint8_t digest[16];
    struct jx_stat st;
    struct jx_collection collection;
    const struct jx_name *names;
    uint32_t found, size;
    jx_fs_digest(fs, digest);
    for (uint32_t i = 0; i < fs->inode_count; i++) {
        uint32_t ino = fs->inodes[i].ino;
        if (jx_fs_stat(fs, ino, &st) == JX_OK && (st.mode & S_IFMT) == S_IFREG)
            read_content(fs, ino);
        jx_fs_xattrs(fs, ino, NULL, 0);
        int n = jx_fs_list(fs, ino, &names);
        for (int k = 0; k < n; k++)
            jx_fs_lookup(fs, ino, fs->names + names[k].name, names[k].nsize, &found);
    }
    size = fs->block_count;
    jx_fs_orphans(fs, &found, 1);
    jx_collect_estimate(fs, size, 1, &collection);
}

static void look_for_it(const uint8_t *image, uint32_t len)
{
    struct jx_probe probe;
    struct jx_found found[64]; /* as view.py asks for */
    jx_probe_image(image, len, 0, 0, &probe);
    jx_locate(image, len, 0, 0, found, 64);
}

static void do_all(jx_flash *flash)
{
    struct jx_reader reader = {.endian = -1, .summary = 1, .empty_scan_bytes = 256};
    struct jx_recovery recovery;
    struct jx_collection collection;
    jx_fs *fs;
    if (jx_fs_open(flash, &reader, &fs) == JX_OK) {
        read_everything(fs);
        jx_fs_close(fs);
    }
    jx_recover(flash, &reader, &recovery);
    jx_collect(flash, &reader, flash->geo.size_bytes / flash->geo.erase_size_bytes / 2, 1, &collection);
}

struct cost { uint64_t bytes, operations, heap; };

static struct cost measure(const struct worst_family *family, uint32_t n)
{
    struct worst w = {.room = 1u << 20, .erase_bytes = family->erase_bytes};
    w.bytes = malloc(w.room);
    memset(w.bytes, 0xff, w.room);
    family->make(&w, n);
    uint32_t size = (w.len / w.erase_bytes + 1 + 4) * w.erase_bytes; /* some blocks are free */
    struct jx_geometry geo = {JX_NOR, size, w.erase_bytes, 1, 1, 0};
    jx_flash *flash;
    if (jx_flash_open_memory(&geo, &flash) != JX_OK || jx_flash_load(flash, 0, w.bytes, w.len) != JX_OK)
        abort();
    size_t before = heap;
    operations = 0;
    heap_peak = heap;
    look_for_it(w.bytes, w.len);
    do_all(flash);
    struct cost cost = {size, operations, heap_peak - before};
    jx_flash_close(flash);
    free(w.bytes);
    return cost;
}

int main(int argc, char **argv)
{
    uint32_t scale = argc > 1 ? (uint32_t)atoi(argv[1]) : 1;
    int failed = 0;
    printf("%-13s %11s %10s %8s %8s %8s\n", "", "bytes", "quarter", "half", "whole", "heap");
    for (uint32_t i = 0; i < worst_family_count; i++) {
        const struct worst_family *f = &worst_families[i];
        struct cost c[3];
        for (int k = 0; k < 3; k++)
            c[k] = measure(f, f->n * scale << k);
        double each[3], heap_each = (double)c[2].heap / c[2].bytes;
        for (int k = 0; k < 3; k++)
            each[k] = (double)c[k].operations / c[k].bytes;
        int bad = each[2] > each[0] * GROWTH_MAX || heap_each > HEAP_MAX;
        printf("%-13s %11llu %10.2f %8.2f %8.2f %8.2f  %s%s\n", f->name, (unsigned long long)c[2].bytes, each[0], each[1], each[2],
               heap_each, f->what, bad ? ": TOO MUCH" : "");
        failed |= bad;
    }
    return failed;
}
