/* posix.c: whole reads and writes. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <unistd.h>
#include "jffs2tx.h"
#include "posix.h"

int jx_read_all(int fd, uint8_t *p, size_t len, uint64_t off)
{
    while (len) {
        errno = 0;
        ssize_t done = pread(fd, p, len, (off_t)off);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return JX_EIO;
        p += done;
        off += (uint64_t)done;
        len -= (size_t)done;
    }
    return JX_OK;
}

int jx_write_all(int fd, const uint8_t *p, size_t len, uint64_t off)
{
    while (len) {
        errno = ENOSPC; /* a write of no bytes says nothing else */
        ssize_t done = pwrite(fd, p, len, (off_t)off);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return JX_EIO;
        p += done;
        off += (uint64_t)done;
        len -= (size_t)done;
    }
    return JX_OK;
}
