/* txn_set.c: the commit set: nodes that must appear at once. */
#include <stdlib.h>
#include <string.h>
#include "guard.h"
#include "txn.h"

int jx_set_add(struct jx_set *set, const uint8_t *node, uint32_t len, const struct jx_summary_entry *entry)
{
    if (set->count == set->capacity) {
        uint32_t capacity = set->capacity ? set->capacity * 2 : 16;
        struct jx_change *changes = realloc(set->changes, capacity * sizeof(*changes));
        if (!changes)
            return JX_ENOMEM;
        set->changes = changes;
        set->capacity = capacity;
    }
    struct jx_change *c = &set->changes[set->count];
    c->bytes = malloc(len);
    if (!c->bytes)
        return JX_ENOMEM;
    memcpy(c->bytes, node, len);
    c->len = len;
    c->entry = *entry;
    c->name = (const char *)c->bytes + JX_DIRENT_BYTES;
    set->count++;
    set->bytes += jx_pad4(len);
    set->summary_bytes += jx_summary_entry_size(entry);
    return JX_OK;
}

int jx_set_guard(int endian, struct jx_set *set)
{
    uint8_t node[JX_GUARD_BYTES];
    struct jx_summary_entry entry;
    uint32_t len = set->count ? jx_encode_guard(endian, node, &set->changes[set->count - 1].entry, &entry) : 0;
    return len ? jx_set_add(set, node, len, &entry) : JX_OK;
}

void jx_set_free(struct jx_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        free(set->changes[i].bytes);
    free(set->changes);
    memset(set, 0, sizeof(*set));
}

void jx_set_bytes(const struct jx_set *set, uint8_t *out)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct jx_change *c = &set->changes[i];
        memcpy(out, c->bytes, c->len);
        memset(out + c->len, 0xff, jx_pad4(c->len) - c->len);
        out += jx_pad4(c->len);
    }
}
