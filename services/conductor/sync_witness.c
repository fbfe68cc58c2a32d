/* What buffered deltas say of a snapshot: quantities are absolute, so that each level that they set
 * last at or below its id is what it shows there, if it is of the same instrument. Ids and prices
 * of two instruments may be near each other; their quantities do not agree for long. */
#include "sync_internal.h"

/* Levels of a side that are looked at, of the newest deltas: where a snapshot is another
 * instrument's the first few tell. */
#define WITNESSES_MAX 256u

/* As many agree for each that differs, where one may. */
#define MOST_AGREE 4u

struct side {
    const struct mlt_levels *said; /* by the snapshot */
    bool whole;                    /* what it does not show is not there */
    bool bids;
    struct mlt_levels
        later; /* of the delta that ends beyond its id: what it set, when is unknown */
    size_t visited, agreed, differed;
    int64_t prices[WITNESSES_MAX]; /* of levels that were looked at: of the newest word of each */
};

static bool among(const int64_t *prices, size_t count, int64_t price)
{
    for (size_t i = 0; i < count; i++) {
        if (prices[i] == price) {
            return true;
        }
    }
    return false;
}

static bool shows(const struct side *side, int64_t price)
{
    if (side->whole) {
        return true;
    }
    const struct mlt_levels *said = side->said;
    const int64_t worst = said->count > 0 ? said->prices[said->count - 1] : price;
    return said->count > 0 && (side->bids ? price >= worst : price <= worst);
}

/* 0: it is not there. */
static int64_t quantity_at(const struct mlt_levels *said, int64_t price)
{
    for (size_t i = 0; i < said->count; i++) {
        if (said->prices[i] == price) {
            return said->quantities[i];
        }
    }
    return 0;
}

/* Of a delta that ends at or below the id, newer ones having been asked before. What is gone, and
 * is not there, is no evidence: most prices have nothing. */
static void hear(struct side *side, const struct mlt_levels *levels)
{
    for (size_t i = levels->count; i-- > 0 && side->visited < WITNESSES_MAX;) {
        const int64_t price = levels->prices[i];
        if (!shows(side, price) || among(side->prices, side->visited, price) ||
            among(side->later.prices, side->later.count, price)) {
            continue;
        }
        side->prices[side->visited++] = price;
        const int64_t said = quantity_at(side->said, price);
        side->differed += said != levels->quantities[i];
        side->agreed += said == levels->quantities[i] && said > 0;
    }
}

static void view(const struct mlt_sync *sync, size_t i, struct mlt_levels *bids,
                 struct mlt_levels *asks)
{
    mlt_delta_buffer_at(&sync->buffer, i, sync->options.book.price_exponent,
                        sync->options.book.quantity_exponent, bids, asks);
}

bool mlt_sync_contradicted(const struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                           bool *blurred)
{
    const struct mlt_delta_buffer *buffer = &sync->buffer;
    const int64_t id = snapshot->last_update_id;
    const uint32_t asked = snapshot->requested_depth;
    *blurred = false;
    /* Between the last of them and its id anything may have happened. */
    if (buffer->count == 0 || buffer->deltas[buffer->count - 1].last < id ||
        snapshot->bids.quantity_exponent != sync->options.book.quantity_exponent) {
        return false;
    }
    size_t below = buffer->count; /* so many end at or below it */
    while (below > 0 && buffer->deltas[below - 1].last > id) {
        below--;
    }
    struct side bids = { .said = &snapshot->bids, .bids = true },
                asks = { .said = &snapshot->asks };
    bids.whole = snapshot->bids.count < asked;
    asks.whole = snapshot->asks.count < asked;
    const bool across = below < buffer->count && buffer->deltas[below].first <= id;
    if (across) {
        view(sync, below, &bids.later, &asks.later);
    }
    while (below > 0 && (bids.visited < WITNESSES_MAX || asks.visited < WITNESSES_MAX)) {
        struct mlt_levels of_bids, of_asks;
        view(sync, --below, &of_bids, &of_asks);
        hear(&bids, &of_bids);
        hear(&asks, &of_asks);
    }
    const size_t differed = bids.differed + asks.differed, agreed = bids.agreed + asks.agreed;
    /* In the middle of a delta a level may have been another one for a moment, of which that delta
     * need not tell. Another instrument's differ nearly everywhere. */
    *blurred = across && differed > 0;
    return across ? MOST_AGREE * differed > agreed : differed > 0;
}
