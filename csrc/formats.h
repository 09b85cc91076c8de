/* formats.h: other formats that are found in flash, by the superblock or header that they start with. */
#ifndef JFFS2TX_FORMATS_H
#define JFFS2TX_FORMATS_H

#include <stdint.h>

#define JX_FORMAT_HEAD_BYTES 2048u /* that a caller should have of a format's start */

/* 1 where p starts with a known format, len bytes of it are there; *bytes: its length as its header says, 0: it does not. */
int jx_format_at(const uint8_t *p, uint32_t len, uint64_t *bytes);

#endif
