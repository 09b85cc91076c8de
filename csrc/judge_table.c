/* judge_table.c: the table from 128-bit keys to words, by open addressing. */
#include <stdlib.h>
#include <string.h>
#include "judge.h"

static struct jx_keyed *slot_of(struct jx_keyed *slots, uint32_t capacity, const uint64_t key[2])
{
    uint32_t i = (uint32_t)key[0] & (capacity - 1);
    while (slots[i].value && (slots[i].key[0] != key[0] || slots[i].key[1] != key[1]))
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static int table_grow(struct jx_table *t)
{
    uint32_t capacity = t->capacity ? t->capacity * 2 : 1024;
    struct jx_keyed *slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return JX_ENOMEM;
    for (uint32_t i = 0; i < t->capacity; i++)
        if (t->slots[i].value)
            *slot_of(slots, capacity, t->slots[i].key) = t->slots[i];
    free(t->slots);
    t->slots = slots;
    t->capacity = capacity;
    return JX_OK;
}

struct jx_keyed *jx_table_get(struct jx_table *t, const uint64_t key[2])
{
    if (2 * t->count >= t->capacity && table_grow(t) != JX_OK)
        return NULL;
    struct jx_keyed *slot = slot_of(t->slots, t->capacity, key);
    if (!slot->value) {
        slot->key[0] = key[0];
        slot->key[1] = key[1];
        t->count++;
    }
    return slot;
}

void jx_table_close(struct jx_table *t)
{
    free(t->slots);
    memset(t, 0, sizeof(*t));
}
