/* medium.c: one memory flash of each kind and size, filled anew for every input. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"
#include "medium.h"

static const struct jx_geometry kinds[4] = {
    {JX_NOR, 0, FUZZ_ERASE_BYTES, 1, 1, 0},
    {JX_NAND, 0, FUZZ_ERASE_BYTES, 2048, 512, 8},
    {JX_NOR_ECC, 0, FUZZ_ERASE_BYTES, 32, 32, 0},
    {JX_NAND, 0, FUZZ_ERASE_BYTES, 512, 512, 0},
};
static jx_flash *kept[4][FUZZ_BLOCKS_MAX + 1];

static jx_flash *flash_of(uint32_t kind, uint32_t blocks)
{
    struct jx_geometry geo = kinds[kind];
    geo.size_bytes = blocks * FUZZ_ERASE_BYTES;
    if (!kept[kind][blocks] && jx_flash_open_memory(&geo, &kept[kind][blocks]) != JX_OK)
        abort();
    return kept[kind][blocks];
}

static int has_oob_marker(uint32_t rule, uint32_t block)
{
    return rule == 1 || (rule == 2 && block % 2 == 0) || (rule == 3 && block % 2 == 1);
}

static void fill(jx_flash *flash, const uint8_t *content, uint32_t len, uint32_t markers, int endian)
{
    uint8_t marker[JX_HEADER_BYTES];
    uint32_t blocks = flash->geo.size_bytes / FUZZ_ERASE_BYTES;
    jx_encode_header(endian, marker, JX_NODE_CLEANMARKER, JX_CLEANMARKER_OOB_BYTES);
    jx_flash_hold(flash, NULL); /* what the input before held */
    for (uint32_t b = 0; b < blocks; b++) {
        if (jx_flash_raw_erase(flash, b * FUZZ_ERASE_BYTES) != JX_OK)
            abort();
        if (flash->geo.oob_avail_bytes && has_oob_marker(markers, b) &&
            jx_flash_raw_oob_prog(flash, b * FUZZ_ERASE_BYTES, marker, JX_CLEANMARKER_OOB_BYTES) != JX_OK)
            abort();
    }
    if (jx_flash_load(flash, 0, content, len) != JX_OK)
        abort();
}

int fuzz_medium_open(const uint8_t *data, size_t len, uint32_t spare, struct fuzz_medium *out)
{
    size_t blocks = len > 1 ? (len - 1 + FUZZ_ERASE_BYTES - 1) / FUZZ_ERASE_BYTES + spare : 0;
    if (!blocks || blocks > FUZZ_BLOCKS_MAX)
        return 0;
    uint8_t options = data[0];
    uint32_t order = options >> 4 & 3;
    out->flash = flash_of(options & 3, (uint32_t)blocks);
    out->reader = (struct jx_reader){.endian = order == 1 ? JX_LITTLE : order == 2 ? JX_BIG : -1,
                                     .summary = options >> 2 & 1, .empty_scan_bytes = options & 8 ? 1024 : 256,
                                     .inspect = order == 3};
    fill(out->flash, data + 1, (uint32_t)len - 1, options >> 6, order == 2 ? JX_BIG : JX_LITTLE);
    return 1;
}
