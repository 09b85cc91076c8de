/* target_lzma.c: target_decompress.c for vendors' LZMA. */
#include "jffs2tx.h"
#define FUZZ_METHODS JX_COMPR_LZMA, JX_COMPR_LZMA_PROPS
#include "target_decompress.c"
