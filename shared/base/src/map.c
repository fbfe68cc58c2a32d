/* Linear probing with backward-shift removal: no tombstones, so lookups stay short for ever. */
#include "meltica/base/map.h"

#include <stdlib.h>

#include "meltica/base/hash.h"

#define CAPACITY_MIN 64u

void mlt_map_init(struct mlt_map *map, size_t count_max)
{
    *map = (struct mlt_map){ .count_max = count_max };
}

void mlt_map_fini(struct mlt_map *map)
{
    for (size_t i = 0; i < map->capacity; i++) {
        free(map->entries[i].key);
    }
    free(map->entries);
    *map = (struct mlt_map){ .count_max = map->count_max };
}

static uint64_t hash_of(struct mlt_slice key)
{
    return mlt_mix64(mlt_fnv1a64(MLT_FNV1A64_INIT, key));
}

/* Index of the key, or of the free place where it belongs. Needs capacity > count. */
static size_t find(const struct mlt_map *map, struct mlt_slice key, uint64_t hash)
{
    const size_t mask = map->capacity - 1;
    size_t i = (size_t)hash & mask;
    while (map->entries[i].key != NULL) {
        const struct mlt_map_entry *entry = &map->entries[i];
        if (entry->hash == hash && entry->key_len == key.len &&
            memcmp(entry->key, key.data, key.len) == 0) {
            break;
        }
        i = (i + 1) & mask;
    }
    return i;
}

void *mlt_map_get(const struct mlt_map *map, struct mlt_slice key)
{
    if (map->count == 0 || key.len == 0) {
        return NULL;
    }
    const struct mlt_map_entry *entry = &map->entries[find(map, key, hash_of(key))];
    return entry->key != NULL ? entry->value : NULL;
}

static enum mlt_status grow(struct mlt_map *map)
{
    const size_t capacity = map->capacity == 0 ? CAPACITY_MIN : map->capacity * 2;
    struct mlt_map_entry *entries = calloc(capacity, sizeof *entries);
    if (entries == NULL) {
        return MLT_E_NOMEM;
    }
    struct mlt_map bigger = *map;
    bigger.entries = entries;
    bigger.capacity = capacity;
    for (size_t i = 0; i < map->capacity; i++) {
        const struct mlt_map_entry *entry = &map->entries[i];
        if (entry->key != NULL) {
            entries[find(&bigger, mlt_slice_of(entry->key, entry->key_len), entry->hash)] = *entry;
        }
    }
    free(map->entries);
    *map = bigger;
    return MLT_OK;
}

enum mlt_status mlt_map_put(struct mlt_map *map, struct mlt_slice key, void *value)
{
    if (key.len == 0) {
        return MLT_E_INVALID;
    }
    if (map->capacity == 0 || map->count * 2 >= map->capacity) {
        const enum mlt_status status = grow(map);
        if (status != MLT_OK) {
            return status;
        }
    }
    const uint64_t hash = hash_of(key);
    struct mlt_map_entry *entry = &map->entries[find(map, key, hash)];
    if (entry->key != NULL) {
        entry->value = value;
        return MLT_OK;
    }
    if (map->count >= map->count_max) {
        return MLT_E_LIMIT;
    }
    uint8_t *copy = malloc(key.len);
    if (copy == NULL) {
        return MLT_E_NOMEM;
    }
    memcpy(copy, key.data, key.len);
    *entry =
        (struct mlt_map_entry){ .key = copy, .key_len = key.len, .hash = hash, .value = value };
    map->count++;
    return MLT_OK;
}

void *mlt_map_remove(struct mlt_map *map, struct mlt_slice key)
{
    if (map->count == 0 || key.len == 0) {
        return NULL;
    }
    size_t hole = find(map, key, hash_of(key));
    if (map->entries[hole].key == NULL) {
        return NULL;
    }
    void *value = map->entries[hole].value;
    free(map->entries[hole].key);
    const size_t mask = map->capacity - 1;
    for (size_t i = (hole + 1) & mask; map->entries[i].key != NULL; i = (i + 1) & mask) {
        const size_t home = (size_t)map->entries[i].hash & mask;
        /* Move back only what does not sit between its home and the hole. */
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->entries[hole] = map->entries[i];
            hole = i;
        }
    }
    map->entries[hole] = (struct mlt_map_entry){ 0 };
    map->count--;
    return value;
}

const struct mlt_map_entry *mlt_map_next(const struct mlt_map *map, size_t *position)
{
    while (*position < map->capacity) {
        const struct mlt_map_entry *entry = &map->entries[(*position)++];
        if (entry->key != NULL) {
            return entry;
        }
    }
    return NULL;
}
