#include "meltica/base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#define ALIGNMENT 16u

struct mlt_arena_block {
    struct mlt_arena_block *next;
    size_t size; /* of bytes */
    size_t used;
    alignas(ALIGNMENT) unsigned char bytes[];
};

void mlt_arena_init(struct mlt_arena *arena, size_t block_bytes, size_t max_bytes)
{
    *arena = (struct mlt_arena){ .block_bytes = block_bytes, .max_bytes = max_bytes };
}

void mlt_arena_fini(struct mlt_arena *arena)
{
    struct mlt_arena_block *block = arena->first;
    while (block != NULL) {
        struct mlt_arena_block *next = block->next;
        free(block);
        block = next;
    }
    mlt_arena_init(arena, arena->block_bytes, arena->max_bytes);
}

static struct mlt_arena_block *add_block(struct mlt_arena *arena, size_t bytes)
{
    const size_t left = arena->max_bytes - arena->total_bytes;
    if (bytes > left) {
        return NULL;
    }
    /* The last block before the ceiling is smaller than the others rather than refused. */
    size_t size = bytes > arena->block_bytes ? bytes : arena->block_bytes;
    if (size > left) {
        size = left;
    }
    struct mlt_arena_block *block = malloc(sizeof *block + size);
    if (block == NULL) {
        return NULL;
    }
    *block = (struct mlt_arena_block){ .size = size };
    arena->total_bytes += size;
    struct mlt_arena_block **link = &arena->first;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = block;
    return block;
}

void *mlt_arena_alloc(struct mlt_arena *arena, size_t bytes)
{
    /* The second bound keeps the rounding and the block header from wrapping around. */
    if (bytes > arena->max_bytes || bytes > PTRDIFF_MAX - sizeof(struct mlt_arena_block)) {
        return NULL;
    }
    const size_t need =
        bytes == 0 ? ALIGNMENT : (bytes + (ALIGNMENT - 1)) & ~(size_t)(ALIGNMENT - 1);
    struct mlt_arena_block *block = arena->current != NULL ? arena->current : arena->first;
    while (block != NULL && block->size - block->used < need) {
        block = block->next;
    }
    if (block == NULL) {
        block = add_block(arena, need);
        if (block == NULL) {
            return NULL;
        }
    }
    arena->current = block;
    void *memory = block->bytes + block->used;
    block->used += need;
    return memory;
}

void mlt_arena_reset(struct mlt_arena *arena)
{
    for (struct mlt_arena_block *block = arena->first; block != NULL; block = block->next) {
        block->used = 0;
    }
    arena->current = arena->first;
}
