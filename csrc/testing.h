/* testing.h: what only the test build has (JFFS2TX_TESTING=1 for setup_cffi.py, which defines JX_TESTING). Its linker
 * sends every allocation of the core through testing.c (--wrap), so no other file knows of this. A shipped build holds
 * nothing of it. The part between the two marker lines joins the cdef of the Python binding there.
 */
#ifndef JFFS2TX_TESTING_H
#define JFFS2TX_TESTING_H

#include <stdint.h>

/* CDEF BEGIN */

/* ---- allocations that fail: kept for each thread ------------------------------------ */

/* Allocation number n from now (0: the next) fails; from_then_on: so do all after it. UINT64_MAX: none. The count starts
 * anew. */
void jx_testing_fail_alloc(uint64_t n, int from_then_on);
uint64_t jx_testing_allocs(void); /* asked for since then */
int64_t jx_testing_live(void);    /* allocations not freed */

/* ---- the seeded mistakes of mutants.h ------------------------------------------------ */

uint32_t jx_mutant_count(void);
const char *jx_mutant_name(uint32_t number);
const char *jx_mutant_sentence(uint32_t number);
/* Turns one on for the whole process, and the others off; jx_mutant_count(): none. */
void jx_mutant_select(uint32_t number);

/* CDEF END */

#endif
