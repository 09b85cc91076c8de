/* flash_hash.c: 128 bits that tell one medium's content from another, fast. Not for
 * adversaries. Eight 64-bit lanes, each a chain of xor, multiply and rotate; every step is
 * a bijection of its lane, so content that differs in one lane never hashes alike.
 * Hashes of eraseblocks are kept until the block changes.
 */
#include <stdlib.h>
#include <string.h>
#include "codec.h"
#include "flash_memory.h"

#define LANES 8u
#define STRIPE (LANES * 8u)

static const uint64_t odd_a = 0x9e3779b97f4a7c15u, odd_b = 0xc2b2ae3d27d4eb4fu;

static inline uint64_t rotl(uint64_t x, unsigned n) { return x << n | x >> (64 - n); }

/* The finalizer of SplitMix64: a bijection in which each bit depends on each. */
uint64_t jx_hash_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline void stripe(uint64_t lane[LANES], const uint8_t *p)
{
    for (unsigned i = 0; i < LANES; i++)
        lane[i] = rotl((lane[i] ^ get_le64(p + 8 * i)) * odd_a, 29);
}

void jx_hash_bytes(const uint8_t *p, size_t len, uint64_t seed, uint64_t out[2])
{
    uint64_t lane[LANES];
    size_t left = len;
    for (unsigned i = 0; i < LANES; i++)
        lane[i] = jx_hash_mix(seed + (i + 1) * odd_b);
    for (; left >= STRIPE; left -= STRIPE, p += STRIPE)
        stripe(lane, p);
    if (left) {
        uint8_t tail[STRIPE] = { 0 };
        memcpy(tail, p, left);
        stripe(lane, tail);
    }
    out[0] = jx_hash_mix(seed ^ len);
    out[1] = jx_hash_mix(out[0] ^ odd_b);
    for (unsigned i = 0; i < LANES; i++) {
        out[0] = jx_hash_mix(rotl(out[0], 13) * odd_b + lane[i]);
        out[1] = jx_hash_mix(rotl(out[1], 41) * odd_a ^ lane[i] * odd_b);
    }
}

static void hash_block(const uint8_t *bytes, const uint8_t *oob, const struct jx_geometry *g, int bad, uint64_t out[2])
{
    uint64_t oob_hash[2] = { 0, 0 };
    if (oob)
        jx_hash_bytes(oob, jx_oob_per_block(g), 1, oob_hash);
    jx_hash_bytes(bytes, g->erase_size_bytes, bad ? 2 : 3, out);
    out[0] = jx_hash_mix(out[0] + rotl(oob_hash[0], 17));
    out[1] = jx_hash_mix(out[1] + rotl(oob_hash[1], 17));
}

static void add_block(uint64_t total[2], const uint64_t hash[2])
{
    total[0] = jx_hash_mix(rotl(total[0], 23) * odd_a + hash[0]);
    total[1] = jx_hash_mix(rotl(total[1], 37) * odd_b + hash[1]);
}

void jx_memory_hash(struct jx_memory *m, uint64_t out[2])
{
    const struct jx_geometry *g = &m->geo;
    out[0] = out[1] = 0;
    for (uint32_t b = 0; b < jx_block_count(g); b++) {
        uint32_t off = b * g->erase_size_bytes;
        if (!(m->flags[b] & JX_HASHED)) {
            const uint8_t *oob = m->now.oob ? jx_oob_at(&m->now, g, off) : NULL;
            hash_block(m->now.bytes + off, oob, g, m->now.bad[b], m->block_hash[b]);
            m->flags[b] |= JX_HASHED;
        }
        add_block(out, m->block_hash[b]);
    }
}

/* One eraseblock of a device that is not in memory; buf holds it and its OOB. */
static int hash_by_reading(jx_flash *f, uint32_t off, uint8_t *buf, uint64_t out[2])
{
    const struct jx_geometry *g = &f->geo;
    uint8_t *oob = g->oob_avail_bytes ? buf + g->erase_size_bytes : NULL;
    int bad = jx_flash_is_bad(f, off);
    if (bad < 0)
        return bad;
    int err = jx_flash_read_forgiving(f, off, buf, g->erase_size_bytes);
    for (uint32_t i = 0; !err && oob && i < jx_pages_per_block(g); i++)
        err = jx_flash_oob_read(f, off + i * g->write_size_bytes, oob + i * g->oob_avail_bytes, g->oob_avail_bytes);
    if (!err)
        hash_block(buf, oob, g, bad, out);
    return err;
}

static int hash_device(jx_flash *f, uint64_t out[2])
{
    uint8_t *buf = malloc(f->geo.erase_size_bytes + (size_t)jx_oob_per_block(&f->geo));
    int err = buf ? JX_OK : JX_ENOMEM;
    out[0] = out[1] = 0;
    for (uint32_t b = 0; !err && b < jx_block_count(&f->geo); b++) {
        uint64_t hash[2];
        err = hash_by_reading(f, b * f->geo.erase_size_bytes, buf, hash);
        if (!err)
            add_block(out, hash);
    }
    free(buf);
    return err;
}

int jx_flash_hash(jx_flash *f, uint8_t out[16])
{
    struct jx_memory *m = jx_memory_of(f);
    uint64_t hash[2];
    int err = JX_OK;
    if (m)
        jx_memory_hash(m, hash);
    else
        err = hash_device(f, hash);
    for (unsigned i = 0; !err && i < 2; i++)
        put_le64(out + 8 * i, hash[i]);
    return err;
}
