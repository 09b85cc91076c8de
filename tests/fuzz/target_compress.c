/* target_compress.c: byte 0 the methods, then at most 4096 bytes: what is packed comes back. */
#include <stdlib.h>
#include <string.h>
#include "jffs2tx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static jx_compressor *compressor;
    static uint8_t packed[4096], back[4096];
    uint32_t csize;
    if (len < 1 || len > 4097 || (!compressor && jx_compressor_new(&compressor) != JX_OK))
        return 0;
    uint32_t n = (uint32_t)len - 1;
    int compr = jx_compress(compressor, data[0], data + 1, n, packed, &csize);
    if (compr < 0 || csize > n || jx_decompress(compressor, compr, packed, csize, back, n) != JX_OK || memcmp(back, data + 1, n))
        abort();
    return 0;
}
