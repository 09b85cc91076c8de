/* target_codec.c: byte 0 the byte order, then bytes that every decoder gets. What a decoder calls good its encoder writes
 * again, but for what fields do not say. */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "fs.h"

extern const size_t fuzz_image_at;
const size_t fuzz_image_at = 1;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t out[4096 + 512];

static void must_match(const uint8_t *p, const uint8_t *made, uint32_t len)
{
    if (memcmp(p, made, len))
        abort();
}

static void content(int endian, const uint8_t *p, uint32_t len, const struct jx_header *h)
{
    struct jx_inode in;
    struct jx_dirent d;
    struct jx_xattr x;
    struct jx_xref r;
    int plain = h->magic == JX_MAGIC && len == h->totlen;
    if (len >= JX_INODE_BYTES && jx_decode_inode(endian, p, &in) == JX_GOOD && plain && h->nodetype == JX_NODE_INODE &&
        len - JX_INODE_BYTES == in.csize) {
        jx_encode_inode(endian, out, &in, p + JX_INODE_BYTES);
        must_match(p + JX_HEADER_BYTES, out + JX_HEADER_BYTES, 60 - JX_HEADER_BYTES);
    }
    if (len >= JX_DIRENT_BYTES && jx_decode_dirent(endian, p, &d) == JX_GOOD && plain && h->nodetype == JX_NODE_DIRENT &&
        len - JX_DIRENT_BYTES == d.nsize) {
        jx_encode_dirent(endian, out, &d, p + JX_DIRENT_BYTES);
        must_match(p + JX_HEADER_BYTES, out + JX_HEADER_BYTES, 30 - JX_HEADER_BYTES);
    }
    if (len >= JX_XATTR_BYTES && jx_decode_xattr(endian, p, &x) == JX_GOOD && plain && h->nodetype == JX_NODE_XATTR) {
        jx_encode_xattr(endian, out, &x, p + JX_XATTR_BYTES, p + JX_XATTR_BYTES + x.name_len + 1);
        must_match(p + JX_HEADER_BYTES, out + JX_HEADER_BYTES, 24 - JX_HEADER_BYTES);
    }
    if (len >= JX_XREF_BYTES && jx_decode_xref(endian, p, &r) == JX_GOOD && plain && h->nodetype == JX_NODE_XREF) {
        jx_encode_xref(endian, out, &r);
        must_match(p + JX_HEADER_BYTES, out + JX_HEADER_BYTES, JX_XREF_BYTES - JX_HEADER_BYTES);
    }
}

static void summary(int endian, const uint8_t *p, uint32_t len)
{
    struct jx_summary sum;
    struct jx_summary_entry e;
    uint32_t pos = JX_SUMMARY_BYTES, before = pos;
    jx_decode_summary(endian, p, len, &sum);
    while (jx_decode_summary_entry(endian, p, len, &pos, &e) == 1) {
        if (pos - before != jx_summary_entry_size(&e) || pos > len - JX_MARKER_BYTES)
            abort();
        before = pos;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct jx_header h = {0};
    if (len < 1 || len > 4097)
        return 0;
    int endian = data[0] & 1;
    uint32_t n = (uint32_t)len - 1, major, minor;
    uint8_t *p = malloc(n ? n : 1); /* a buffer of its own: what is read beyond it shows */
    if (!p)
        return 0;
    memcpy(p, data + 1, n);
    if (n >= JX_HEADER_BYTES)
        jx_decode_header(endian, p, &h);
    content(endian, p, n, &h);
    summary(endian, p, n);
    jx_decode_dev(endian, p, n, &major, &minor);
    free(p);
    return 0;
}
