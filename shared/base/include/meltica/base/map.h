/* Map from byte strings to pointers: open addressing, keys copied, grows by doubling, never
 * shrinks. Lookups never allocate. One writer at a time; the caller locks. */
#ifndef MELTICA_BASE_MAP_H
#define MELTICA_BASE_MAP_H

#include "meltica/base/slice.h"
#include "meltica/base/status.h"

struct mlt_map_entry {
    uint8_t *key; /* NULL: free */
    size_t key_len;
    uint64_t hash;
    void *value;
};

struct mlt_map {
    struct mlt_map_entry *entries;
    size_t capacity; /* power of two, or 0 */
    size_t count;
    size_t count_max; /* named limit: put gives E_LIMIT beyond it */
};

void mlt_map_init(struct mlt_map *map, size_t count_max);
/* Frees keys and table; values are the caller's (walk them first). */
void mlt_map_fini(struct mlt_map *map);
/* NULL when absent. */
void *mlt_map_get(const struct mlt_map *map, struct mlt_slice key);
/* Adds, or replaces the value of an existing key. E_LIMIT, E_NOMEM; unchanged on failure. */
enum mlt_status mlt_map_put(struct mlt_map *map, struct mlt_slice key, void *value) MLT_MUST_CHECK;
/* Takes the key out and returns its value; NULL when absent. */
void *mlt_map_remove(struct mlt_map *map, struct mlt_slice key);
/* Walk: *position starts at 0; returns the next entry or NULL. No put or remove meanwhile. */
const struct mlt_map_entry *mlt_map_next(const struct mlt_map *map, size_t *position);

#endif
