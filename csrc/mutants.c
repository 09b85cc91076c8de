/* mutants.c: which of the seeded mistakes is on. Empty in a shipped build. */
#include "mutants.h"

#ifdef JX_TESTING
#include <stddef.h>
#include "testing.h"

#define NAME(name, sentence) #name,
#define SENTENCE(name, sentence) sentence,
static const char *const names[] = {JX_MUTANTS(NAME) NULL};
static const char *const sentences[] = {JX_MUTANTS(SENTENCE) NULL};
static uint32_t selected = JX_MUTANT_NONE; /* of the process: set before what is tested, only read in it */

int jx_mutant_is(enum jx_mutant mutant) { return selected == mutant; }
uint32_t jx_mutant_count(void) { return JX_MUTANT_NONE; }
const char *jx_mutant_name(uint32_t number) { return number < JX_MUTANT_NONE ? names[number] : NULL; }
const char *jx_mutant_sentence(uint32_t number) { return number < JX_MUTANT_NONE ? sentences[number] : NULL; }
void jx_mutant_select(uint32_t number) { selected = number; }
#endif
