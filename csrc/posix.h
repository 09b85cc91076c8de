/* posix.h: whole writes. Internal. */
#ifndef JFFS2TX_POSIX_H
#define JFFS2TX_POSIX_H

#include <stddef.h>
#include <stdint.h>

/* All of len bytes at off, however many calls that takes. JX_EIO. */
int jx_write_all(int fd, const uint8_t *p, size_t len, uint64_t off);

#endif
