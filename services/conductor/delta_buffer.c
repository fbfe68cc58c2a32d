#include "delta_buffer.h"

#include <stdlib.h>
#include <string.h>

#define NUMBERS_MAX ((size_t)2 * MLT_DELTA_BUFFER_LEVELS_MAX)
#define NUMBERS_KEPT ((size_t)2 * MLT_DELTA_BUFFER_LEVELS_KEPT)

void mlt_delta_buffer_fini(struct mlt_delta_buffer *buffer)
{
    free(buffer->deltas);
    free(buffer->numbers);
    *buffer = (struct mlt_delta_buffer){ 0 };
}

void mlt_delta_buffer_clear(struct mlt_delta_buffer *buffer)
{
    if (buffer->capacity > MLT_DELTA_BUFFER_DELTAS_KEPT || buffer->number_capacity > NUMBERS_KEPT) {
        mlt_delta_buffer_fini(buffer);
    }
    buffer->count = buffer->number_count = 0;
}

static void drop_oldest_half(struct mlt_delta_buffer *buffer)
{
    const size_t drop = buffer->count / 2 > 0 ? buffer->count / 2 : buffer->count;
    const size_t numbers = drop < buffer->count ? buffer->deltas[drop].at : buffer->number_count;
    buffer->count -= drop;
    buffer->number_count -= numbers;
    memmove(buffer->deltas, buffer->deltas + drop, buffer->count * sizeof buffer->deltas[0]);
    memmove(buffer->numbers, buffer->numbers + numbers,
            buffer->number_count * sizeof buffer->numbers[0]);
    for (size_t i = 0; i < buffer->count; i++) {
        buffer->deltas[i].at -= numbers;
    }
}

size_t mlt_delta_buffer_shrink(struct mlt_delta_buffer *buffer, size_t deltas, size_t levels)
{
    const size_t before = buffer->count;
    while (buffer->count > 1 && (buffer->count >= deltas || buffer->number_count > 2 * levels)) {
        drop_oldest_half(buffer);
    }
    return before - buffer->count;
}

/* Capacity of at least `wanted`, by doubling from `start`. NULL: no memory, and old is untouched.
 */
static void *grow(void *old, size_t *capacity, size_t wanted, size_t start, size_t bytes_each)
{
    size_t grown = *capacity > 0 ? *capacity : start;
    while (grown < wanted) {
        grown *= 2;
    }
    if (grown == *capacity) {
        return old;
    }
    void *memory = realloc(old, grown * bytes_each);
    if (memory != NULL) {
        *capacity = grown;
    }
    return memory;
}

static int64_t *put(int64_t *to, const int64_t *from, size_t count)
{
    if (count > 0) {
        memcpy(to, from, count * sizeof *to);
    }
    return to + count;
}

enum mlt_status mlt_delta_buffer_push(struct mlt_delta_buffer *buffer, int64_t first, int64_t last,
                                      const struct mlt_book_delta *delta, size_t *dropped)
{
    const size_t before = buffer->count;
    *dropped = 0;
    if (delta->bids.count > MLT_EVENT_LEVELS_MAX || delta->asks.count > MLT_EVENT_LEVELS_MAX) {
        return MLT_E_TOO_BIG;
    }
    const size_t numbers = 2 * (delta->bids.count + delta->asks.count);
    while (buffer->count == MLT_DELTA_BUFFER_DELTAS_MAX ||
           buffer->number_count + numbers > NUMBERS_MAX) {
        drop_oldest_half(buffer);
    }
    *dropped = before - buffer->count;
    struct mlt_buffered_delta *deltas = grow(buffer->deltas, &buffer->capacity, buffer->count + 1,
                                             MLT_DELTA_BUFFER_DELTAS_KEPT, sizeof *deltas);
    if (deltas == NULL) {
        return MLT_E_NOMEM;
    }
    buffer->deltas = deltas;
    int64_t *column = grow(buffer->numbers, &buffer->number_capacity,
                           buffer->number_count + numbers, NUMBERS_KEPT, sizeof *column);
    if (column == NULL) {
        return MLT_E_NOMEM;
    }
    buffer->numbers = column;
    column += buffer->number_count;
    column = put(column, delta->bids.prices, delta->bids.count);
    column = put(column, delta->bids.quantities, delta->bids.count);
    column = put(column, delta->asks.prices, delta->asks.count);
    (void)put(column, delta->asks.quantities, delta->asks.count);
    buffer->deltas[buffer->count++] =
        (struct mlt_buffered_delta){ first, last, buffer->number_count, (uint32_t)delta->bids.count,
                                     (uint32_t)delta->asks.count };
    buffer->number_count += numbers;
    return MLT_OK;
}

void mlt_delta_buffer_at(const struct mlt_delta_buffer *buffer, size_t i, int32_t price_exponent,
                         int32_t quantity_exponent, struct mlt_levels *bids,
                         struct mlt_levels *asks)
{
    const struct mlt_buffered_delta *d = &buffer->deltas[i];
    const int64_t *column = buffer->numbers + d->at;
    *bids = (struct mlt_levels){ price_exponent, quantity_exponent, d->bid_count, column,
                                 column + d->bid_count };
    column += 2 * (size_t)d->bid_count;
    *asks = (struct mlt_levels){ price_exponent, quantity_exponent, d->ask_count, column,
                                 column + d->ask_count };
}
