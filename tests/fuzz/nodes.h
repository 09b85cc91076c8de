/* nodes.h: the nodes in a piece of image, found and mended whatever their CRCs say. */
#ifndef FUZZ_NODES_H
#define FUZZ_NODES_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_node {
    uint32_t at, len; /* bytes from the start; len: of the node, or what is left of its eraseblock */
    uint16_t nodetype; /* ACCURATE set */
    uint8_t big;
};

/* Where the magic stands, in either byte order, at a multiple of 4; what lies in nodes that are no tree's is found too.
 * Returns how many, at most max. */
uint32_t fuzz_nodes_find(const uint8_t *image, uint32_t len, struct fuzz_node *out, uint32_t max);
/* The CRCs that the node itself has: of header, node, name, data, summary, tag. */
void fuzz_node_mend(uint8_t *image, uint32_t len, const struct fuzz_node *node);
void fuzz_mend_all(uint8_t *image, uint32_t len);

/* A field of a node type; all that JFFS2 and our own marks have. */
struct fuzz_field { uint16_t nodetype; uint8_t at, bytes; const char *name; };
extern const struct fuzz_field fuzz_fields[];
extern const uint32_t fuzz_field_count;
/* The fields of this type; the header's where the type is not known. */
const struct fuzz_field *fuzz_fields_of(uint16_t nodetype, uint32_t *count);
uint32_t fuzz_get(const uint8_t *p, uint32_t bytes, int big);
void fuzz_put(uint8_t *p, uint32_t bytes, int big, uint32_t value);

#endif
