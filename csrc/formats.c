/* formats.c: what formats start with, and where their headers say how long they are. Magic numbers of fewer than four bytes
 * are left out: they are found by chance. */
#include <string.h>
#include "formats.h"
#include "codec.h"

enum length { UNSAID, LE32, BE32, LE64, BE64 };

struct format {
    uint16_t at; /* of the magic number */
    uint8_t magic_len;
    const char *magic;
    uint8_t length;   /* enum length */
    uint8_t length_at;
    uint8_t header;   /* bytes that the length leaves out */
};

static const struct format formats[] = {
    {0, 4, "hsqs", LE64, 40, 0},             /* squashfs 4 */
    {0, 4, "sqsh", BE64, 40, 0},
    {0, 4, "qshs", UNSAID, 0, 0},            /* squashfs of vendors */
    {0, 4, "shsq", UNSAID, 0, 0},
    {0, 4, "UBI#", UNSAID, 0, 0},
    {0, 4, "\x31\x18\x10\x06", UNSAID, 0, 0}, /* UBIFS */
    {0, 4, "\x06\x10\x18\x31", UNSAID, 0, 0},
    {0, 4, "\x27\x05\x19\x56", BE32, 12, 64}, /* uImage */
    {0, 4, "\xd0\x0d\xfe\xed", BE32, 4, 0},   /* FIT, device tree */
    {0, 4, "HDR0", LE32, 4, 0},              /* TRX */
    {0, 4, "\x45\x3d\xcd\x28", LE32, 4, 0},   /* cramfs */
    {0, 4, "\x28\xcd\x3d\x45", BE32, 4, 0},
    {0, 8, "-rom1fs-", BE32, 8, 0},
    {0, 4, "\x7f" "ELF", UNSAID, 0, 0},
    {0, 6, "\xfd" "7zXZ\0", UNSAID, 0, 0},
    {0, 4, "\x28\xb5\x2f\xfd", UNSAID, 0, 0}, /* zstd */
    {0, 4, "\x04\x22\x4d\x18", UNSAID, 0, 0}, /* lz4 */
    {0, 4, "PK\x03\x04", UNSAID, 0, 0},
    {0, 8, "ANDROID!", UNSAID, 0, 0},
    {1024, 4, "\xe2\xe1\xf5\xe0", UNSAID, 0, 0}, /* EROFS */
};

static uint64_t said(const struct format *f, const uint8_t *p)
{
    const uint8_t *at = p + f->length_at;
    switch (f->length) {
    case LE32: return (uint64_t)get32(JX_LITTLE, at) + f->header;
    case BE32: return (uint64_t)get32(JX_BIG, at) + f->header;
    case LE64: return get32(JX_LITTLE, at) | (uint64_t)get32(JX_LITTLE, at + 4) << 32;
    case BE64: return get32(JX_BIG, at + 4) | (uint64_t)get32(JX_BIG, at) << 32;
    default: return 0;
    }
}

/* ext2's magic number has two bytes: the first block in front of it is zero as well, and its version is one that exists. */
static int is_ext(const uint8_t *p, uint32_t len)
{
    static const uint8_t zero[64];
    return len >= 1200 && p[1080] == 0x53 && p[1081] == 0xef && !memcmp(p, zero, sizeof(zero)) &&
           get32(JX_LITTLE, p + 1024 + 76) <= 1;
}

int jx_format_at(const uint8_t *p, uint32_t len, uint64_t *bytes)
{
    *bytes = 0;
    for (uint32_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        const struct format *f = &formats[i];
        if (len < f->at + 64u || memcmp(p + f->at, f->magic, f->magic_len) != 0)
            continue;
        *bytes = said(f, p);
        return 1;
    }
    return is_ext(p, len);
}
