/*
 * Memory that runs out where a test wants it: the n-th allocation of this process from now on
 * fails, once, or that one and all after it. In plain builds it is every allocation, those of
 * libraries too, since malloc and its kin are this program's own; what is alive is counted, so that
 * a leak shows. Under a sanitizer, whose own malloc must stay, it is what the objects of the
 * program allocate themselves (the linker wraps their calls), and the sanitizer tells of leaks. So
 * it is with ALLOC_FAIL_OURS, too, where libraries with threads of their own are beside:
 * allocations of other threads than the caller's succeed always.
 */
#ifndef MELTICA_TESTS_ALLOC_FAIL_H
#define MELTICA_TESTS_ALLOC_FAIL_H

#include <stdbool.h>
#include <stddef.h>

/* nth from 1; all: and those after it. */
void alloc_fail_arm(size_t nth, bool all);
/* Allocations succeed again. True when one was refused. */
bool alloc_fail_disarm(void);
/* Allocations that were not freed; 0 where the sanitizer counts them. */
long alloc_fail_alive(void);

#endif
