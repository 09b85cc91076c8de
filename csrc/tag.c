/* tag.c: the node by which a block of ours is known again. */
#include <string.h>
#include "codec.h"
#include "txn.h"

void jx_tag_encode(int endian, uint8_t out[JX_TAG_BYTES], const struct jx_tag *tag)
{
    jx_encode_header(endian, out, JX_NODE_TAG, JX_TAG_BYTES);
    out[12] = JX_TAG_FORMAT;
    out[13] = tag->role;
    out[14] = tag->strategy;
    out[15] = 0;
    put32(endian, out + 16, tag->txid);
    put32(endian, out + 20, tag->sequence);
    memcpy(out + 24, tag->id, 16);
    put32(endian, out + 40, jx_crc32(0, out + 12, 28));
}

int jx_tag_decode(int endian, const uint8_t *p, uint32_t totlen, struct jx_tag *out)
{
    if (totlen != JX_TAG_BYTES || p[12] != JX_TAG_FORMAT || get32(endian, p + 40) != jx_crc32(0, p + 12, 28))
        return JX_ECORRUPT;
    if (p[13] < JX_TAG_STAGE || p[13] > JX_TAG_SETTLED || p[14] > JX_LIFT)
        return JX_ECORRUPT;
    out->role = p[13];
    out->strategy = p[14];
    out->txid = get32(endian, p + 16);
    out->sequence = get32(endian, p + 20);
    memcpy(out->id, p + 24, 16);
    return JX_OK;
}
