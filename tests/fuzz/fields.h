/* fields.h: see fields.c. */
#ifndef FUZZ_FIELDS_H
#define FUZZ_FIELDS_H

#include <stddef.h>
#include <stdint.h>

typedef int (*fuzz_look)(const uint8_t *data, size_t len);

/* Of an input whose image starts at prefix the variants number first, first + step, first + 2 * step and so on. How many
 * that were. */
int64_t fuzz_every_field(const uint8_t *input, uint32_t len, uint32_t prefix, uint32_t first, uint32_t step, fuzz_look look);

#endif
