/* target_read.c: an image, opened and read by all that reads. */
#include "medium.h"
#include "read_all.h"

extern const size_t fuzz_image_at;
const size_t fuzz_image_at = 1;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_medium m;
    if (fuzz_medium_open(data, len, 0, &m))
        fuzz_open_and_read(&m, NULL);
    return 0;
}
