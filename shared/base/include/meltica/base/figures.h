/*
 * Sums of structures that are nothing but unsigned figures of 8 bytes: the counts of several cores
 * of one process, told as one. Who calls it asserts that size and kind are so.
 */
#ifndef MELTICA_BASE_FIGURES_H
#define MELTICA_BASE_FIGURES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Adds each figure of `of` to that in the same place of `to`; bytes: of both, a multiple of 8. They
 * may have any alignment and must not overlap. */
static inline void mlt_figures_add(void *to, const void *of, size_t bytes)
{
    uint8_t *sum = (uint8_t *)to;
    const uint8_t *more = (const uint8_t *)of;
    for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
        uint64_t a, b;
        memcpy(&a, sum + at, sizeof a);
        memcpy(&b, more + at, sizeof b);
        a += b;
        memcpy(sum + at, &a, sizeof a);
    }
}

#endif
