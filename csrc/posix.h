/* posix.h: whole reads and writes. Internal. */
#ifndef JFFS2TX_POSIX_H
#define JFFS2TX_POSIX_H

#include <stddef.h>
#include <stdint.h>

/* All of len bytes at off, however many calls that takes. JX_EIO, and errno says why; of a read errno 0: the file ends
 * before. */
int jx_read_all(int fd, uint8_t *p, size_t len, uint64_t off);
int jx_write_all(int fd, const uint8_t *p, size_t len, uint64_t off);

#endif
