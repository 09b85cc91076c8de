/* run_fields.c: fuzz_every_field over the inputs named, through the target linked with it: read.c as it is, and for what
 * writes each of its actions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
extern const size_t fuzz_image_at;

#define ACTIONS 5
#define INPUT_MAX 65536u

/* The inputs are media; between byte 0 and the image stands what a target adds. */
static int64_t run(const uint8_t *medium, uint32_t len, uint8_t action)
{
    static uint8_t input[INPUT_MAX + 2];
    input[0] = medium[0];
    if (fuzz_image_at == 2)
        input[1] = action;
    memcpy(input + fuzz_image_at, medium + 1, len - 1);
    return fuzz_every_field(input, (uint32_t)fuzz_image_at + len - 1, (uint32_t)fuzz_image_at, 0, 1, LLVMFuzzerTestOneInput);
}

int main(int argc, char **argv)
{
    static uint8_t medium[INPUT_MAX];
    int64_t total = 0;
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        size_t len = f ? fread(medium, 1, sizeof medium, f) : 0;
        if (f)
            fclose(f);
        for (uint8_t action = 0; len > 1 && action < (fuzz_image_at == 2 ? ACTIONS : 1); action++)
            total += run(medium, (uint32_t)len, action);
    }
    printf("%lld variants\n", (long long)total);
    return total ? 0 : 1;
}
