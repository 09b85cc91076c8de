/* tag.c: the node that identifies a block of ours. */
#include <string.h>
#include "codec.h"
#include "txn.h"

#define ID_AT 24u
#define SIZE_AT 40u
#define OFFSET_AT 44u

static uint32_t crc_at(uint8_t format) { return JX_TAG_BYTES_OF(format) - 4; }

static uint32_t crc_of(const uint8_t *p, uint8_t format) { return jx_crc32(0, p + JX_HEADER_BYTES, crc_at(format) - JX_HEADER_BYTES); }

void jx_tag_encode(int endian, uint8_t out[JX_TAG_BYTES], const struct jx_tag *tag, uint32_t size_bytes, uint32_t offset)
{
    jx_encode_header(endian, out, JX_NODE_TAG, JX_TAG_BYTES);
    out[12] = JX_TAG_FORMAT;
    out[13] = tag->role;
    out[14] = tag->strategy;
    out[15] = 0;
    put32(endian, out + 16, tag->txid);
    put32(endian, out + 20, tag->sequence);
    memcpy(out + ID_AT, tag->id, sizeof(tag->id));
    put32(endian, out + SIZE_AT, size_bytes);
    put32(endian, out + OFFSET_AT, offset);
    put32(endian, out + crc_at(JX_TAG_FORMAT), crc_of(out, JX_TAG_FORMAT));
}

static int is_whole(int endian, const uint8_t *p, uint32_t totlen)
{
    if (totlen != JX_TAG_1_BYTES && totlen != JX_TAG_BYTES)
        return 0;
    uint8_t format = p[12];
    return format >= 1 && format <= JX_TAG_FORMAT && totlen == JX_TAG_BYTES_OF(format) &&
           get32(endian, p + crc_at(format)) == crc_of(p, format);
}

int jx_tag_decode(int endian, const uint8_t *p, uint32_t totlen, struct jx_tag *out)
{
    if (!is_whole(endian, p, totlen))
        return JX_ECORRUPT;
    if (p[13] < JX_TAG_STAGE || p[13] > JX_TAG_SETTLED || p[14] > JX_LIFT)
        return JX_ECORRUPT;
    out->format = p[12];
    out->role = p[13];
    out->strategy = p[14];
    out->txid = get32(endian, p + 16);
    out->sequence = get32(endian, p + 20);
    memcpy(out->id, p + ID_AT, sizeof(out->id));
    out->size_bytes = out->format == 1 ? 0 : get32(endian, p + SIZE_AT);
    out->offset = out->format == 1 ? JX_NONE : get32(endian, p + OFFSET_AT);
    return JX_OK;
}

void jx_tag_move(int endian, uint8_t *p, uint32_t offset)
{
    struct jx_tag tag;
    int is_tag = get16(endian, p + 2) == JX_NODE_TAG && jx_tag_decode(endian, p, get32(endian, p + 4), &tag) == JX_OK;
    if (is_tag && tag.format == JX_TAG_FORMAT)
        jx_tag_encode(endian, p, &tag, tag.size_bytes, offset);
}
