/* oob.h: what stands in the OOB bytes of a page under the software Hamming ECC of Linux. Knows nothing of JFFS2. */
#ifndef JFFS2TX_OOB_H
#define JFFS2TX_OOB_H

#include <stdint.h>

#define JX_HAMMING_BYTES 3u   /* for each step of 256 or 512 bytes */
#define JX_HAMMING_OOB_MAX 128u /* the largest OOB for which Linux has a place for them */

/* Corrects one wrong bit among step bytes (256 or 512); of nothing but 0xFF it is 0xFF (ecc_sw_hamming_calculate). */
void jx_hamming(const uint8_t *data, uint32_t step, uint8_t code[JX_HAMMING_BYTES]);

/* Where in the OOB the index-th ECC byte of a page stands (nand_ooblayout_ecc_sp, nand_ooblayout_ecc_lp_hamming). */
uint32_t jx_hamming_at(uint32_t oob_bytes, uint32_t index);

/* Whether Linux has a place for the ECC bytes of such a page. */
int jx_hamming_fits(uint32_t page_bytes, uint32_t oob_bytes, uint32_t step);

#endif
