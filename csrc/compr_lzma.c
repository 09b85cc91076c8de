/* compr_lzma.c: LZMA as vendors' kernels have it, read only.
 *
 * Number 8 (OpenWrt and what comes of it) is a bare LZMA1 stream: lc, lp and pb are 0, no properties, no end mark. Number
 * 0x15 (an early patch for Linux and mkfs.jffs2) has the 5 bytes of LZMA's properties in front of it. Others have used the
 * numbers as they pleased, so what does not end exactly with the data is tried the other way, and with xz's defaults.
 * The dictionary need not be larger than what comes out, whatever is said of it.
 */
#include <string.h>
#include "codec.h"
#include "compr.h"

#define PROPERTIES_BYTES 5u /* lc, lp and pb in one byte, then 32 bits of dictionary */
#define ALONE_BYTES 13u     /* the header of a .lzma file: properties, then 64 bits of size */
#define DICTIONARY_MIN_BYTES 4096u

enum { PROPERTIES_IN_FRONT = -1 };
/* (pb * 5 + lp) * 9 + lc */
enum { BARE_OPENWRT = 0, BARE_XZ = (2 * 5 + 0) * 9 + 3 };

enum outcome { FAILED, FILLED, EXACT }; /* FILLED: all bytes came out, but the stream did not end with the data */

static int decode(lzma_stream *s, int properties, const uint8_t *in, uint32_t csize, uint8_t *out, uint32_t dsize,
                  enum outcome *outcome)
{
    uint8_t header[ALONE_BYTES] = {(uint8_t)properties};
    uint32_t dictionary = DICTIONARY_MIN_BYTES;
    *outcome = FAILED;
    if (properties == PROPERTIES_IN_FRONT) {
        if (csize < PROPERTIES_BYTES)
            return JX_OK;
        header[0] = in[0];
        in += PROPERTIES_BYTES;
        csize -= PROPERTIES_BYTES;
    }
    while (dictionary < dsize)
        dictionary *= 2;
    put32(JX_LITTLE, header + 1, dictionary);
    put32(JX_LITTLE, header + PROPERTIES_BYTES, dsize);
    lzma_ret ret = lzma_alone_decoder(s, UINT64_MAX);
    s->next_in = header;
    s->avail_in = ALONE_BYTES;
    s->next_out = out;
    s->avail_out = dsize;
    if (ret == LZMA_OK)
        ret = lzma_code(s, LZMA_RUN);
    if (ret == LZMA_OK) {
        s->next_in = in;
        s->avail_in = csize;
        ret = lzma_code(s, LZMA_FINISH);
    }
    if (ret == LZMA_STREAM_END && !s->avail_out && !s->avail_in)
        *outcome = EXACT;
    else if (!s->avail_out)
        *outcome = FILLED;
    return ret == LZMA_MEM_ERROR ? JX_ENOMEM : JX_OK;
}

int jx_lzma_decompress(lzma_stream *stream, int compr, const uint8_t *in, uint32_t csize, uint8_t *out, uint32_t dsize)
{
    const int bare_first[] = {BARE_OPENWRT, PROPERTIES_IN_FRONT, BARE_XZ};
    const int properties_first[] = {PROPERTIES_IN_FRONT, BARE_OPENWRT, BARE_XZ};
    const int *ways = compr == JX_COMPR_LZMA ? bare_first : properties_first;
    enum outcome outcome;
    for (int i = 0; i < 3; i++) {
        int err = decode(stream, ways[i], in, csize, out, dsize, &outcome);
        if (err || outcome == EXACT)
            return err;
    }
    int err = decode(stream, ways[0], in, csize, out, dsize, &outcome); /* vendors' readers look no further either */
    return err ? err : outcome == FILLED ? JX_OK : JX_ECORRUPT;
}
