/* compr_rubin.c: the two binary range coders of fs/jffs2/compr_rubin.c, read only.
 *
 * Each of a byte's 8 bits, the lowest first, is coded with its own fixed chance of being set: by a table that is always
 * the same (divider 1043), or by one of 8 bytes in front of the data (divider 256).
 *
 * Which of them a number stands for is not certain. By their names 3 is the fixed table and 5 the one in the data, and so
 * read Linux 2.4 and U-Boot; Linux since 2.6 registers them the other way round, so that what it writes as 3 has its table
 * in the data. A stream tells: a coder ends on its last bit, so only the right table uses up all bits but for those that
 * fill the last byte. Where both do, a table in the data must be the one that a compressor counts from what comes out.
 */
#include "codec.h"
#include "compr.h"

#define HALF 0x8000u /* of the 16-bit registers */
#define REGISTER_BITS 16u
#define TABLE_BYTES 8u
#define FIXED_DIVIDER 1043u
#define DYNAMIC_DIVIDER 256u

struct rubin {
    const uint8_t *in;
    uint32_t bit_count, at; /* bits */
    uint32_t low, range, code;
};

/* Behind the end come zeros; the caller looks at `at`. */
static uint32_t pull_bit(struct rubin *r)
{
    uint32_t at = r->at++;
    return at < r->bit_count ? r->in[at >> 3] >> (7 - (at & 7)) & 1u : 0;
}

/* Until low is below half and low + range above it. Ends: each step shifts a zero into low and doubles the range. */
static void normalize(struct rubin *r)
{
    while (r->low >= HALF || r->low + r->range <= HALF) {
        r->low = (r->low & (HALF - 1)) << 1;
        r->range <<= 1;
        r->code = (r->code & (HALF - 1)) << 1 | pull_bit(r);
    }
}

/* ones: of `divider` cases those in which the bit is set. */
static uint32_t decode_bit(struct rubin *r, uint32_t ones, uint32_t divider)
{
    normalize(r); /* range is at least 2 now */
    uint32_t zeros = (divider - ones) * r->range / divider;
    if (zeros < 1)
        zeros = 1;
    if (zeros >= r->range)
        zeros = r->range - 1;
    if (r->code < r->low + zeros) {
        r->range = zeros;
        return 0;
    }
    r->low += zeros;
    r->range -= zeros;
    return 1;
}

/* Bits that are left over; negative where there were too few. */
static int64_t decode(const uint16_t ones[8], uint32_t divider, const uint8_t *in, uint32_t csize, uint8_t *out,
                      uint32_t dsize)
{
    struct rubin r = {.in = in, .bit_count = csize * 8, .range = 2 * HALF};
    for (uint32_t i = 0; i < REGISTER_BITS; i++)
        r.code = r.code << 1 | pull_bit(&r);
    for (uint32_t n = 0; n < dsize && r.at <= r.bit_count; n++) {
        uint32_t byte = 0;
        for (uint32_t i = 0; i < 8; i++)
            byte |= decode_bit(&r, ones[i], divider) << i;
        out[n] = (uint8_t)byte;
    }
    return (int64_t)r.bit_count - r.at;
}

static int64_t decode_fixed(const uint8_t *in, uint32_t csize, uint8_t *out, uint32_t dsize)
{
    static const uint16_t ones[8] = {277, 249, 290, 267, 229, 341, 212, 241};
    return decode(ones, FIXED_DIVIDER, in, csize, out, dsize);
}

static int64_t decode_dynamic(const uint8_t *in, uint32_t csize, uint8_t *out, uint32_t dsize)
{
    uint16_t ones[8];
    if (csize < TABLE_BYTES)
        return -1;
    for (uint32_t i = 0; i < TABLE_BYTES; i++)
        ones[i] = in[i];
    return decode(ones, DYNAMIC_DIVIDER, in + TABLE_BYTES, csize - TABLE_BYTES, out, dsize);
}

static int is_exact(int64_t left) { return left >= 0 && left < 8; }

/* Whether the table is what jffs2_dynrubin_compress counts for these bytes; its counters of equal bytes are 8 bits wide. */
static int counts_as(const uint8_t table[TABLE_BYTES], const uint8_t *out, uint32_t dsize)
{
    uint8_t equal[256] = {0};
    for (uint32_t i = 0; i < dsize; i++)
        equal[out[i]]++;
    for (uint32_t bit = 0; bit < TABLE_BYTES; bit++) {
        uint32_t ones = 0;
        for (uint32_t byte = 0; byte < 256; byte++)
            ones += byte >> bit & 1 ? equal[byte] : 0;
        ones = ones * DYNAMIC_DIVIDER / dsize;
        if (table[bit] != (ones < 1 ? 1 : ones > 255 ? 255 : ones))
            return 0;
    }
    return 1;
}

int jx_rubin_decompress(int compr, const uint8_t *in, uint32_t csize, uint8_t *out, uint32_t dsize)
{
    int as_linux = compr == JX_COMPR_RUBINMIPS; /* dynamic */
    int64_t dynamic = decode_dynamic(in, csize, out, dsize);
    int is_counted = is_exact(dynamic) && counts_as(in, out, dsize);
    int64_t fixed = decode_fixed(in, csize, out, dsize);
    int is_dynamic = is_exact(dynamic) && is_exact(fixed) ? is_counted
                     : is_exact(dynamic) || is_exact(fixed) ? is_exact(dynamic) : as_linux;
    if (is_dynamic)
        dynamic = decode_dynamic(in, csize, out, dsize);
    return (is_dynamic ? dynamic : fixed) >= 0 ? JX_OK : JX_ECORRUPT;
}
