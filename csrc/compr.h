/* compr.h: methods that are only read: nobody writes them any more, or vendors' kernels alone. Internal. */
#ifndef JFFS2TX_COMPR_H
#define JFFS2TX_COMPR_H

#include <lzma.h>
#include <stdint.h>

/* JX_COMPR_RUBINMIPS and JX_COMPR_DYNRUBIN: exactly dsize bytes. JX_ECORRUPT. */
int jx_rubin_decompress(int compr, const uint8_t *in, uint32_t csize, uint8_t *out, uint32_t dsize);

/* JX_COMPR_LZMA and JX_COMPR_LZMA_PROPS: exactly dsize bytes, at most 1 MiB. stream: all zero at first, lzma_end() after
 * the last call. JX_ECORRUPT, JX_ENOMEM. */
int jx_lzma_decompress(lzma_stream *stream, int compr, const uint8_t *in, uint32_t csize, uint8_t *out, uint32_t dsize);

#endif
