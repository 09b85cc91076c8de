/* medium.h: the flash that an input stands for.
 *
 * Byte 0 says what the medium is and who reads it, the rest is its content from the start on, in eraseblocks of 4 KiB.
 *   bits 0-1  0 NOR, 1 NAND (pages of 2048, subpages of 512, 8 free OOB bytes), 2 NOR with ECC (pages of 32), 3 NAND whose
 *             pages (of 512) go whole, without OOB
 *   bit  2    the reader believes summaries
 *   bit  3    the reader takes a block for empty after 1024 erased bytes, not 256
 *   bits 4-5  byte order: 0 found by evidence, 1 little, 2 big, 3 found by evidence, and read on where a
 *             stock reader refuses the mount
 *   bits 6-7  NAND: which blocks have a cleanmarker in the OOB: 0 none, 1 all, 2 the even ones, 3 the odd ones
 */
#ifndef FUZZ_MEDIUM_H
#define FUZZ_MEDIUM_H

#include "flash.h"
#include "jffs2tx.h"

#define FUZZ_ERASE_BYTES 4096u
#define FUZZ_BLOCKS_MAX 8u

struct fuzz_medium {
    jx_flash *flash; /* kept from run to run; not to be closed */
    struct jx_reader reader;
};

/* spare: erased blocks that follow the content. 0 where the input is empty or longer than the blocks there are. */
int fuzz_medium_open(const uint8_t *data, size_t len, uint32_t spare, struct fuzz_medium *out);

#endif
