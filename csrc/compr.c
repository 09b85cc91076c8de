/* compr.c: the compressors of fs/jffs2/compr*.c, as formats; those that are only read stand in files of their own. */
#include <stdlib.h>
#include <string.h>

#include <libdeflate.h>
#include <lzo/lzo1x.h>

#include "codec.h"
#include "compr.h"

enum {
    DEFLATE_LEVEL = 9,
    LARGEST_DSIZE = 1 << 20,
    LZO_WORST = JX_MAX_DATA_BYTES + JX_MAX_DATA_BYTES / 16 + 64 + 3, /* lzo1x never makes more of one chunk */
};

/* What compressing takes is much, and a reader never needs it: it is allocated by the first jx_compress. */
struct jx_compressor {
    struct libdeflate_decompressor *inflate;
    lzma_stream lzma; /* all zero: LZMA_STREAM_INIT */
    struct libdeflate_compressor *deflate; /* NULL until then */
    uint8_t *lzo_memory;                   /* LZO1X_999_MEM_COMPRESS bytes; NULL until then */
    uint8_t trial[LZO_WORST];
};

int jx_compressor_new(jx_compressor **out)
{
    jx_compressor *c = calloc(1, sizeof *c);

    *out = NULL;
    if (!c)
        return JX_ENOMEM;
    c->inflate = libdeflate_alloc_decompressor();
    if (!c->inflate || lzo_init() != LZO_E_OK) {
        jx_compressor_free(c);
        return JX_ENOMEM;
    }
    *out = c;
    return JX_OK;
}

void jx_compressor_free(jx_compressor *c)
{
    if (!c)
        return;
    libdeflate_free_compressor(c->deflate);
    libdeflate_free_decompressor(c->inflate);
    lzma_end(&c->lzma);
    free(c->lzo_memory);
    free(c);
}

static int get_ready(jx_compressor *c)
{
    if (!c->deflate)
        c->deflate = libdeflate_alloc_compressor(DEFLATE_LEVEL);
    if (!c->lzo_memory)
        c->lzo_memory = malloc(LZO1X_999_MEM_COMPRESS);
    return c->deflate && c->lzo_memory ? JX_OK : JX_ENOMEM;
}

/* ---- rtime ------------------------------------------------------------------
 * Pairs (byte, run): the byte, then run bytes repeated from the position behind the byte's last occurrence, or from
 * the start where it had none. The run may overlap what it writes. Positions are 16 bits wide, as in the kernel. */

/* Fewer than limit bytes, or 0. */
static uint32_t rtime_compress(const uint8_t *in, uint32_t len, uint8_t *out, uint32_t limit)
{
    uint16_t behind[256] = {0};
    uint32_t at = 0, used = 0;

    while (at < len) {
        uint8_t byte = in[at++];
        uint32_t from = behind[byte], run = 0;

        if (used + 2 >= limit)
            return 0;
        behind[byte] = (uint16_t)at;
        while (run < 255 && at < len && in[at] == in[from]) {
            at++;
            from++;
            run++;
        }
        out[used++] = byte;
        out[used++] = (uint8_t)run;
    }
    return used;
}

static int rtime_decompress(const uint8_t *in, uint32_t csize, uint8_t *out, uint32_t dsize)
{
    uint16_t behind[256] = {0};
    uint32_t at = 0, used = 0;

    while (used < dsize) {
        uint32_t from, run;

        if (csize - at < 2)
            return JX_ECORRUPT;
        from = behind[in[at]];
        out[used++] = in[at];
        behind[in[at]] = (uint16_t)used;
        run = in[at + 1];
        at += 2;
        if (run > dsize - used)
            return JX_ECORRUPT;
        while (run--)
            out[used++] = out[from++];
    }
    return JX_OK;
}

/* ---- zlib and lzo ----------------------------------------------------------- */

/* The kernel (compr_zlib.c) looks at the header, inflates what follows and never checks the adler32; other headers
 * give it no bytes at all. It also takes what came out of a stream that breaks off, which we call corrupt: no
 * writer makes one. */
static int zlib_decompress(jx_compressor *c, const uint8_t *in, uint32_t csize, uint8_t *out, uint32_t dsize)
{
    const unsigned preset_dictionary = 0x20, method = 8, largest_window = 7;

    if (csize <= 2 || (in[1] & preset_dictionary) || (in[0] & 0x0fu) != method || in[0] >> 4 > largest_window ||
        (in[0] << 8 | in[1]) % 31)
        return JX_ECORRUPT;
    return libdeflate_deflate_decompress(c->inflate, in + 2, csize - 2, out, dsize, NULL) == LIBDEFLATE_SUCCESS
        ? JX_OK : JX_ECORRUPT;
}

static int lzo_decompress(const uint8_t *in, uint32_t csize, uint8_t *out, uint32_t dsize)
{
    lzo_uint made = dsize;

    return lzo1x_decompress_safe(in, csize, out, &made, NULL) == LZO_E_OK && made == dsize ? JX_OK : JX_ECORRUPT;
}

/* ---- choice ----------------------------------------------------------------- */

/* One method's bytes into c->trial: fewer than limit, or 0. */
static uint32_t try_method(jx_compressor *c, int compr, const uint8_t *in, uint32_t len, uint32_t limit)
{
    lzo_uint made = 0;

    switch (compr) {
    case JX_COMPR_RTIME:
        made = rtime_compress(in, len, c->trial, limit);
        break;
    case JX_COMPR_ZLIB: /* all the room there is: libdeflate gives up some bytes before the end of it */
        made = libdeflate_zlib_compress(c->deflate, in, len, c->trial, sizeof c->trial);
        break;
    case JX_COMPR_LZO:
        if (lzo1x_999_compress(in, len, c->trial, &made, c->lzo_memory) != LZO_E_OK)
            return 0;
        break;
    }
    return made < limit ? (uint32_t)made : 0;
}

static int all_zero(const uint8_t *p, uint32_t len)
{
    return !p[0] && !memcmp(p, p + 1, len - 1);
}

int jx_compress(jx_compressor *c, uint32_t mask, const void *data, uint32_t len, void *out, uint32_t *csize)
{
    static const int methods[] = {JX_COMPR_RTIME, JX_COMPR_LZO, JX_COMPR_ZLIB}; /* a draw goes to the earlier */
    int best = JX_COMPR_NONE;

    *csize = 0;
    if (len > JX_MAX_DATA_BYTES)
        return JX_EINVAL;
    if (!len)
        return JX_COMPR_NONE;
    if ((mask & JX_USE_ZERO) && all_zero(data, len))
        return JX_COMPR_ZERO;
    if (get_ready(c) != JX_OK)
        return JX_ENOMEM;
    *csize = len;
    memcpy(out, data, len);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        uint32_t made = mask & 1u << methods[i] ? try_method(c, methods[i], data, len, *csize) : 0;

        if (made) {
            best = methods[i];
            *csize = made;
            memcpy(out, c->trial, made);
        }
    }
    return best;
}

int jx_decompress(jx_compressor *c, int compr, const void *data, uint32_t csize, void *out, uint32_t dsize)
{
    if ((compr & 0xff) <= JX_COMPR_ZLIB)
        compr &= 0xff;
    if (dsize > LARGEST_DSIZE)
        return JX_ECORRUPT;
    if (!dsize)
        return JX_OK;
    switch (compr) {
    case JX_COMPR_NONE:
        if (csize != dsize)
            return JX_ECORRUPT;
        memcpy(out, data, dsize);
        return JX_OK;
    case JX_COMPR_ZERO:
        memset(out, 0, dsize);
        return JX_OK;
    case JX_COMPR_RTIME:
        return rtime_decompress(data, csize, out, dsize);
    case JX_COMPR_ZLIB:
        return zlib_decompress(c, data, csize, out, dsize);
    case JX_COMPR_LZO:
        return lzo_decompress(data, csize, out, dsize);
    case JX_COMPR_RUBINMIPS:
    case JX_COMPR_DYNRUBIN:
        return jx_rubin_decompress(compr, data, csize, out, dsize);
    case JX_COMPR_LZMA:
    case JX_COMPR_LZMA_PROPS:
        return jx_lzma_decompress(&c->lzma, compr, data, csize, out, dsize);
    default:
        return JX_EUNKNOWN_COMPR;
    }
}
