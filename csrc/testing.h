/* testing.h: what only the test build has (JFFS2TX_TESTING=1 for setup_cffi.py, which defines JX_TESTING). Its linker
 * sends every allocation of the core through testing.c (--wrap), so no other file knows of this. A shipped build holds
 * nothing of it. The part between the two marker lines joins the cdef of the Python binding there.
 */
#ifndef JFFS2TX_TESTING_H
#define JFFS2TX_TESTING_H

#include <stdint.h>

/* CDEF BEGIN */

/* All of this is kept for each thread. */

/* Allocation number n from now (0: the next) fails; from_then_on: so do all after it. UINT64_MAX: none. The count starts
 * anew. */
void jx_testing_fail_alloc(uint64_t n, int from_then_on);
uint64_t jx_testing_allocs(void); /* asked for since then */
int64_t jx_testing_live(void);    /* allocations not freed */

/* CDEF END */

#endif
