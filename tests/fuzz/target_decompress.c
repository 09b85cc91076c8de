/* target_decompress.c: byte 0 the method, bytes 1-2 how many bytes are to come out (little-endian; at most 511), then the packed bytes.
 * The buffers are exactly as long as they are said to be. LZMA has a target of its own: each call sets up a decoder, which
 * takes longer than all the rest. */
#include <stdlib.h>
#include <string.h>
#include "jffs2tx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#ifndef FUZZ_METHODS
#define FUZZ_METHODS JX_COMPR_NONE, JX_COMPR_RTIME, JX_COMPR_RUBINMIPS, JX_COMPR_DYNRUBIN, JX_COMPR_ZLIB, JX_COMPR_LZO, 0x107, 99
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const int methods[] = {FUZZ_METHODS};
    static jx_compressor *compressor;
    if (len < 3 || (!compressor && jx_compressor_new(&compressor) != JX_OK))
        return 0;
    uint32_t csize = (uint32_t)len - 3, dsize = (data[1] | data[2] << 8) & 0x1ff;
    uint8_t *in = malloc(csize ? csize : 1), *out = malloc(dsize ? dsize : 1);
    if (in && out) {
        memcpy(in, data + 3, csize);
        jx_decompress(compressor, methods[data[0] % (sizeof methods / sizeof *methods)], in, csize, out, dsize);
    }
    free(in);
    free(out);
    return 0;
}
