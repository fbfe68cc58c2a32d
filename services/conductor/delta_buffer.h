/* Deltas that wait for a snapshot: copies, in order, bounded. Grows by doubling while it fills;
 * cleared, it keeps a little and frees the rest. One thread at a time. */
#ifndef MELTICA_CONDUCTOR_DELTA_BUFFER_H
#define MELTICA_CONDUCTOR_DELTA_BUFFER_H

#include "meltica/event/event.h"

/* Beyond these the oldest half goes. */
#define MLT_DELTA_BUFFER_DELTAS_MAX 4096u
#define MLT_DELTA_BUFFER_LEVELS_MAX 65536u /* above twice MLT_EVENT_LEVELS_MAX */
/* The same while no snapshot is asked for: 16 and 32 KiB, so that 500 books may have them when the
 * exchange refuses for minutes. A snapshot asked for later is newer than what went. What a request
 * in flight let it grow to stays until it is cleared. */
#define MLT_DELTA_BUFFER_DELTAS_IDLE 512u
#define MLT_DELTA_BUFFER_LEVELS_IDLE 2048u
/* Kept after a clear: 16 KiB and 5 KiB. */
#define MLT_DELTA_BUFFER_DELTAS_KEPT 128u
#define MLT_DELTA_BUFFER_LEVELS_KEPT 1024u

struct mlt_buffered_delta {
    int64_t first, last;
    size_t at; /* of its four columns */
    uint32_t bid_count, ask_count;
};

/* Zero-initialise. */
struct mlt_delta_buffer {
    struct mlt_buffered_delta *deltas;
    int64_t *numbers; /* two a level: bid prices, bid quantities, ask prices, ask quantities */
    size_t count, capacity;
    size_t number_count, number_capacity;
};

void mlt_delta_buffer_fini(struct mlt_delta_buffer *buffer);
void mlt_delta_buffer_clear(struct mlt_delta_buffer *buffer);

/* Copies one to the end; *dropped: how many of the oldest went for it. E_TOO_BIG (more levels than
 * two sides may have), E_NOMEM: then the buffer is as it was. */
enum mlt_status mlt_delta_buffer_push(struct mlt_delta_buffer *buffer, int64_t first, int64_t last,
                                      const struct mlt_book_delta *delta,
                                      size_t *dropped) MLT_MUST_CHECK;

/* Drops the oldest half until no more than that is left, or one; returns how many went. */
size_t mlt_delta_buffer_shrink(struct mlt_delta_buffer *buffer, size_t deltas, size_t levels);

/* Views of the i-th oldest, at the exponents given; valid until the next push or clear. */
void mlt_delta_buffer_at(const struct mlt_delta_buffer *buffer, size_t i, int32_t price_exponent,
                         int32_t quantity_exponent, struct mlt_levels *bids,
                         struct mlt_levels *asks);

#endif
