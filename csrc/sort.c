/* sort.c: a stable merge sort of indices; the order's context goes along, no global is needed. */
#include <stdlib.h>
#include <string.h>
#include "fs.h"

int jx_sort(uint32_t *a, uint32_t n, jx_less cmp, const void *ctx)
{
    uint32_t *from = a, *to = malloc((size_t)(n ? n : 1) * sizeof(*a));
    uint32_t *spare = to;
    if (!spare)
        return JX_ENOMEM;
    for (uint32_t width = 1; width && width < n; width *= 2) {
        for (uint64_t lo = 0; lo < n; lo += 2ull * width) {
            uint32_t mid = lo + width < n ? (uint32_t)lo + width : n;
            uint32_t hi = lo + 2ull * width < n ? (uint32_t)(lo + 2ull * width) : n;
            uint32_t i = (uint32_t)lo, j = mid, k = (uint32_t)lo;
            while (i < mid && j < hi)
                to[k++] = cmp(ctx, from[j], from[i]) < 0 ? from[j++] : from[i++];
            while (i < mid)
                to[k++] = from[i++];
            while (j < hi)
                to[k++] = from[j++];
        }
        uint32_t *t = from;
        from = to;
        to = t;
    }
    if (from != a)
        memcpy(a, from, (size_t)n * sizeof(*a));
    free(spare);
    return JX_OK;
}
