/* testing.c: allocations that fail on demand (F10), and that are counted. Empty in a shipped build. */
#include "testing.h"

#ifdef JX_TESTING
#include <stddef.h>
#include <libdeflate.h>

static _Thread_local struct {
    uint64_t asked, fail_at;
    int64_t live;
    int counting, from_then_on;
} state;

void jx_testing_fail_alloc(uint64_t n, int from_then_on)
{
    state.asked = 0;
    state.fail_at = n;
    state.from_then_on = from_then_on;
    state.counting = n != UINT64_MAX;
}

uint64_t jx_testing_allocs(void) { return state.asked; }
int64_t jx_testing_live(void) { return state.live; }

static int fails(void)
{
    uint64_t n = state.asked++;
    return state.counting && (n == state.fail_at || (n > state.fail_at && state.from_then_on));
}

static void *counted(void *p)
{
    state.live += p != NULL;
    return p;
}

/* ---- as ld's --wrap names them -------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
struct libdeflate_compressor *__real_libdeflate_alloc_compressor(int level);
void __real_libdeflate_free_compressor(struct libdeflate_compressor *c);
struct libdeflate_decompressor *__real_libdeflate_alloc_decompressor(void);
void __real_libdeflate_free_decompressor(struct libdeflate_decompressor *d);

void *__wrap_malloc(size_t size) { return fails() ? NULL : counted(__real_malloc(size)); }

void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : counted(__real_calloc(n, size)); }

void *__wrap_realloc(void *p, size_t size)
{
    if (fails())
        return NULL;
    return p ? __real_realloc(p, size) : counted(__real_realloc(p, size));
}

void __wrap_free(void *p)
{
    state.live -= p != NULL;
    __real_free(p);
}

struct libdeflate_compressor *__wrap_libdeflate_alloc_compressor(int level)
{
    return fails() ? NULL : counted(__real_libdeflate_alloc_compressor(level));
}

void __wrap_libdeflate_free_compressor(struct libdeflate_compressor *c)
{
    state.live -= c != NULL;
    __real_libdeflate_free_compressor(c);
}

struct libdeflate_decompressor *__wrap_libdeflate_alloc_decompressor(void)
{
    return fails() ? NULL : counted(__real_libdeflate_alloc_decompressor());
}

void __wrap_libdeflate_free_decompressor(struct libdeflate_decompressor *d)
{
    state.live -= d != NULL;
    __real_libdeflate_free_decompressor(d);
}
#endif
