/* Runs an attempt again and again, each time with another allocation that fails. */
#ifndef MELTICA_TESTS_EXHAUST_H
#define MELTICA_TESTS_EXHAUST_H

#include <stdbool.h>

/* Whether it came to its end; false: it said that it could not. Nothing of it is left. */
typedef bool (*attempt_fn)(void);

/* The n-th allocation fails, for each n that there is, once and then for good: what was begun says
 * so (false) and leaves nothing behind; without a failure it is whole. */
void exhaust(attempt_fn attempt);
/* The same where stdio reads on without a buffer, so that success is right, too: the attempt looks
 * at what it got. */
void exhaust_file(attempt_fn attempt);
/* The same where a library's own allocations fail, too, and it leaves something of its own; that
 * what is ours leaves nothing shows under a sanitizer, where ours alone fail. */
void exhaust_foreign(attempt_fn attempt);

#endif
