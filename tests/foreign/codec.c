/* codec.c: the compressors over chunks of every kind. */
#include <string.h>
#include "jobs.h"

static uint64_t pack_one(jx_compressor *c, uint32_t mask, const uint8_t *data, uint32_t len, uint64_t hash)
{
    static uint8_t packed[4096], unpacked[4096];
    uint32_t csize;
    int method = must("compress", jx_compress(c, mask, data, len, packed, &csize));
    must("decompress", jx_decompress(c, method, packed, csize, unpacked, len));
    if (memcmp(data, unpacked, len))
        must("compare", JX_ECORRUPT);
    return fold(fold(hash, &(uint8_t){(uint8_t)method}, 1), packed, csize);
}

void pack_and_unpack(void)
{
    static const uint32_t masks[] = {JX_USE_RTIME, JX_USE_ZLIB, JX_USE_LZO, JX_USE_ZERO | JX_USE_RTIME | JX_USE_ZLIB | JX_USE_LZO};
    uint8_t data[4096];
    jx_compressor *c;
    must("jx_compressor_new", jx_compressor_new(&c));
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
        uint64_t hash = FOLD_START;
        for (uint32_t kind = 0; kind < KINDS; kind++)
            for (uint32_t seed = 0; seed < 40; seed++) {
                uint32_t len = seed % 4 ? sizeof data : seed * 97 + 1;
                fill(data, len, kind, seed);
                hash = pack_one(c, masks[m], data, len, hash);
            }
        say("codec", "mask %u %016llx", masks[m], (unsigned long long)hash);
    }
    jx_compressor_free(c);
}
