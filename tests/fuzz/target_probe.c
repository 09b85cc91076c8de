/* target_probe.c: bytes 0-2 page size, OOB size and a cut of the length, then a file: what it is, and whether it has OOB. */
#include <stdlib.h>
#include <string.h>
#include "jffs2tx.h"

extern const size_t fuzz_image_at;
const size_t fuzz_image_at = 3;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint32_t pages[4] = {512, 256, 1024, 2048}, oobs[4] = {16, 64, 128, 24};
    struct jx_probe image;
    struct jx_oob_probe dump;
    if (len < 3 || len > 1u << 15)
        return 0;
    uint32_t page = pages[data[0] & 3], oob = oobs[data[1] & 3], n = (uint32_t)len - 3;
    uint8_t *bytes = malloc(n ? n : 1);
    if (!bytes)
        return 0;
    memcpy(bytes, data + 3, n);
    jx_probe_image(bytes, n, 0, 0, &image);
    uint32_t whole = n / (page + oob);
    jx_probe_image(bytes, whole * page, page, oob, &image);
    jx_probe_oob(bytes, whole * page, page, oob, &dump);
    free(bytes);
    return 0;
}
