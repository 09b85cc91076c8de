/* oob.c: the software Hamming ECC of Linux, and where its bytes stand. */
#include "oob.h"

static uint32_t parity(uint32_t x)
{
    x ^= x >> 16;
    x ^= x >> 8;
    x ^= x >> 4;
    return 0x6996u >> (x & 15) & 1;
}

/* Rows: for each bit of a byte's number the parity of all bytes that have it (odd bits of row) and that have it not
 * (even bits); columns: the same for the number of a bit in its byte. All of it is kept inverted. */
void jx_hamming(const uint8_t *data, uint32_t step, uint8_t code[JX_HAMMING_BYTES])
{
    static const uint8_t having[3] = { 0xaa, 0xcc, 0xf0 };
    uint32_t all = 0, with = 0, without = 0, row = 0, column = 0;
    for (uint32_t i = 0; i < step; i++) {
        all ^= data[i];
        if (parity(data[i])) {
            with ^= i;
            without ^= ~i;
        }
    }
    for (uint32_t bit = 0; 1u << bit < step; bit++)
        row |= (with >> bit & 1) << (2 * bit + 1) | (without >> bit & 1) << 2 * bit;
    for (uint32_t bit = 0; bit < 3; bit++)
        column |= parity(all & having[bit]) << (2 * bit + 1) | parity(all & ~having[bit] & 0xff) << 2 * bit;
    code[0] = (uint8_t)~(row >> 8);
    code[1] = (uint8_t)~row;
    code[2] = (uint8_t)~(column << 2 | row >> 16);
}

uint32_t jx_hamming_at(uint32_t oob_bytes, uint32_t index)
{
    if (oob_bytes == 16) /* around byte 5, which marks bad blocks */
        return index < 4 ? index : index + 2;
    return (oob_bytes == 64 ? 40 : 80) + index;
}

int jx_hamming_fits(uint32_t page_bytes, uint32_t oob_bytes, uint32_t step)
{
    if (step != 256 && step != 512)
        return 0;
    uint32_t total = page_bytes / step * JX_HAMMING_BYTES;
    switch (oob_bytes) {
    case 16: return step == 256 && total == 6;
    case 64:
    case 128: return total && jx_hamming_at(oob_bytes, total - 1) < oob_bytes;
    default: return 0;
    }
}
