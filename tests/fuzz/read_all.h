/* read_all.h: everything that a reader can ask of an open file system. */
#ifndef FUZZ_READ_ALL_H
#define FUZZ_READ_ALL_H

#include "jffs2tx.h"

/* Calls it all and aborts where an answer contradicts another or leaves its bounds. digest: of the tree, or NULL. */
void fuzz_read_all(jx_fs *fs, uint8_t digest[16]);
/* Opens it as the medium says and reads all; the error of jx_fs_open. */
struct fuzz_medium;
int fuzz_open_and_read(const struct fuzz_medium *m, uint8_t digest[16]);

#endif
