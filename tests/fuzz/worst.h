/* worst.h: media that cost a reader as much as a maker of images can think of. */
#ifndef FUZZ_WORST_H
#define FUZZ_WORST_H

#include <stdint.h>
#include "jffs2tx.h"

/* An image under way; nodes follow each other and never leave their eraseblock. */
struct worst {
    uint8_t *bytes;
    uint32_t len, room, erase_bytes;
    uint32_t version; /* of the last node */
};

struct worst_family {
    const char *name;
    const char *what;
    uint32_t n;           /* of the smallest of the three images; the others have twice and four times as many */
    uint32_t erase_bytes;
    void (*make)(struct worst *w, uint32_t n);
};
extern const struct worst_family worst_families[];
extern const uint32_t worst_family_count;

#endif
