/* Bump allocator for the lifetime of one message: allocate many, free all at once. After warm-up a
 * reset arena never calls malloc again. One thread at a time. */
#ifndef MELTICA_BASE_ARENA_H
#define MELTICA_BASE_ARENA_H

#include "meltica/base/status.h"

#include <stddef.h>

struct mlt_arena_block;

struct mlt_arena {
    struct mlt_arena_block *first;
    struct mlt_arena_block *current;
    size_t block_bytes;
    size_t total_bytes; /* allocated from malloc */
    size_t max_bytes;   /* that total_bytes never exceeds */
};

/* Empty arena; grows in blocks of at least block_bytes up to max_bytes in all. */
void mlt_arena_init(struct mlt_arena *arena, size_t block_bytes, size_t max_bytes);
void mlt_arena_fini(struct mlt_arena *arena);

/* 16-byte aligned memory, valid until reset or fini; NULL when max_bytes or memory is exhausted.
 * bytes 0 gives a valid pointer. */
void *mlt_arena_alloc(struct mlt_arena *arena, size_t bytes);

/* Everything handed out becomes invalid; blocks are kept. */
void mlt_arena_reset(struct mlt_arena *arena);

#endif
