/* codec.h: bytes of the medium to numbers and back; for the C core only. */
#ifndef JFFS2TX_CODEC_H
#define JFFS2TX_CODEC_H

#include <stdint.h>

#include "jffs2tx.h"
#include "media.h"

/* Up to the next multiple of 4, where a node may start; n < 2^32 - 3. */
#define JX_PAD(n) (((n) + 3u) & ~3u)

static inline uint16_t get16(int endian, const uint8_t *p)
{
    return endian == JX_BIG ? (uint16_t)(p[0] << 8 | p[1]) : (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t get32(int endian, const uint8_t *p)
{
    return endian == JX_BIG
        ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
        : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline void put16(int endian, uint8_t *p, uint16_t value)
{
    p[endian == JX_BIG ? 0 : 1] = (uint8_t)(value >> 8);
    p[endian == JX_BIG ? 1 : 0] = (uint8_t)value;
}

static inline void put32(int endian, uint8_t *p, uint32_t value)
{
    put16(endian, p + (endian == JX_BIG ? 0 : 2), (uint16_t)(value >> 16));
    put16(endian, p + (endian == JX_BIG ? 2 : 0), (uint16_t)value);
}

/* Not of the medium: hashes take their words so on every host. */
static inline uint64_t get_le64(const uint8_t *p)
{
    return (uint64_t)get32(JX_LITTLE, p + 4) << 32 | get32(JX_LITTLE, p);
}

static inline void put_le64(uint8_t *p, uint64_t v)
{
    put32(JX_LITTLE, p, (uint32_t)v);
    put32(JX_LITTLE, p + 4, (uint32_t)(v >> 32));
}

#endif
