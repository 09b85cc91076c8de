/* fields.c: every field of every node of an image x {0, all ones, +1, -1, each bit}, its CRCs mended (but where the field is
 * one of them), and each variant through whatever is given to look at it. */
#include <stdlib.h>
#include <string.h>
#include "fields.h"
#include "fs.h"
#include "nodes.h"

#define NODES_MAX 512u

static uint32_t variant_count(uint32_t bytes) { return 4 + 8 * bytes; }

static uint32_t variant_of(uint32_t old, uint32_t i)
{
    switch (i) {
    case 0: return 0;
    case 1: return 0xffffffff;
    case 2: return old + 1;
    case 3: return old - 1;
    default: return old ^ 1u << (i - 4);
    }
}

struct walk {
    const uint8_t *base;
    uint8_t *image; /* what is changed, prefix included */
    uint32_t len, prefix;
    uint32_t first, step, number; /* of all variants those whose number is first plus a multiple of step */
    fuzz_look look;
    uint64_t done;
};

static void try_field(struct walk *w, const struct fuzz_node *node, uint32_t at, uint32_t bytes, int mend)
{
    if (at + bytes > w->len)
        return;
    uint8_t *image = w->image + w->prefix;
    uint32_t old = fuzz_get(image + at, bytes, node->big);
    for (uint32_t i = 0; i < variant_count(bytes); i++) {
        if (w->number++ % w->step != w->first)
            continue;
        fuzz_put(image + at, bytes, node->big, variant_of(old, i));
        if (mend)
            fuzz_node_mend(image, w->len, node);
        w->look(w->image, w->prefix + w->len);
        w->done++;
        memcpy(w->image, w->base, w->prefix + w->len);
    }
}

static void try_node(struct walk *w, const struct fuzz_node *node)
{
    uint32_t count;
    const struct fuzz_field *fields = fuzz_fields_of(node->nodetype, &count);
    for (uint32_t i = 0; i < count; i++) {
        int is_crc = strstr(fields[i].name, "_crc") != NULL;
        try_field(w, node, node->at + fields[i].at, fields[i].bytes, !is_crc);
    }
}

/* The numbers of a summary's entries and of its marker. */
static void try_entries(struct walk *w, const struct fuzz_node *node)
{
    const uint8_t *p = w->base + w->prefix + node->at;
    uint32_t at = JX_SUMMARY_BYTES, end = node->len - JX_MARKER_BYTES;
    for (uint32_t n = fuzz_get(p + 12, 4, node->big); n && at + 2 <= end; n--) {
        uint16_t type = (uint16_t)fuzz_get(p + at, 2, node->big);
        uint32_t numbers = type == JX_NODE_XREF ? 1 : type == JX_NODE_DIRENT ? 5 : 4, start = at;
        try_field(w, node, node->at + at, 2, 1);
        for (at += 2; numbers; numbers--, at += 4)
            try_field(w, node, node->at + at, 4, 1);
        if (type == JX_NODE_DIRENT) {
            try_field(w, node, node->at + at, 1, 1);
            try_field(w, node, node->at + at + 1, 1, 1);
            try_field(w, node, node->at + at + 2, 1, 1);
            at = start + sizeof(struct jx_media_sum_dirent) + p[start + 22];
        }
    }
    try_field(w, node, node->at + end, 4, 1);
    try_field(w, node, node->at + end + 4, 4, 1);
}

int64_t fuzz_every_field(const uint8_t *input, uint32_t len, uint32_t prefix, uint32_t first, uint32_t step, fuzz_look look)
{
    struct fuzz_node nodes[NODES_MAX];
    struct walk w = {.base = input, .len = len - prefix, .prefix = prefix, .first = first, .step = step, .look = look};
    w.image = malloc(len);
    if (!w.image)
        return JX_ENOMEM;
    memcpy(w.image, input, len);
    uint32_t n = fuzz_nodes_find(input + prefix, w.len, nodes, NODES_MAX);
    for (uint32_t i = 0; i < n; i++) {
        try_node(&w, &nodes[i]);
        if (nodes[i].nodetype == JX_NODE_SUMMARY && nodes[i].len > JX_SUMMARY_BYTES + JX_MARKER_BYTES)
            try_entries(&w, &nodes[i]);
    }
    free(w.image);
    return (int64_t)w.done;
}
