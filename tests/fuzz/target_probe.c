/* target_probe.c: byte 0 the page size, byte 1 the OOB, byte 2 how many file systems are asked for; then a file: what it is,
 * where file systems stand in it, and whether it has OOB. */
#include <stdlib.h>
#include <string.h>
#include "jffs2tx.h"

extern const size_t fuzz_image_at;
const size_t fuzz_image_at = 3;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void locate(const uint8_t *bytes, uint32_t len, uint32_t page, uint32_t oob, struct jx_found *found, uint32_t max)
{
    int n = jx_locate(bytes, len, page, oob, found, max);
    if (n < 0 || n > (int)max)
        abort();
    for (int i = 0; i < n; i++)
        if (found[i].start > found[i].end || found[i].end > len || (i && found[i].start < found[i - 1].start))
            abort();
    uint32_t first = jx_first_used(bytes, len, page, oob, 0);
    if (first > len || (n && first > found[0].end))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint32_t pages[4] = {512, 256, 1024, 2048}, oobs[4] = {16, 64, 128, 24};
    struct jx_probe image;
    struct jx_found found[16];
    struct jx_oob_probe dump;
    if (len < 3 || len > 1u << 15)
        return 0;
    uint32_t page = pages[data[0] & 3], oob = oobs[data[1] & 3], n = (uint32_t)len - 3;
    uint8_t *bytes = malloc(n ? n : 1);
    if (!bytes)
        return 0;
    memcpy(bytes, data + 3, n);
    jx_probe_image(bytes, n, 0, 0, &image);
    locate(bytes, n, 0, 0, found, 1 + data[2] % 16);
    uint32_t whole = n / (page + oob);
    locate(bytes, whole * page, page, oob, found, 1 + data[2] % 16);
    jx_probe_image(bytes, whole * page, page, oob, &image);
    jx_probe_oob(bytes, whole * page, page, oob, &dump);
    free(bytes);
    return 0;
}
