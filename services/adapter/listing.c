/* exchangeInfo: what is listed, and the INSTRUMENT instances that say so. */
#include "adapter.h"

#include "meltica/base/clock.h"
#include "meltica/base/log.h"

#define STEP_MAX 256u /* instances between two looks at the hop and at the sockets */
#define STEP_PAUSE_NS (2 * MLT_NS_PER_MS)
#define AGAIN_NS (10 * MLT_NS_PER_S) /* no sooner after another one */
#define DELISTED "DELISTED"          /* status of ours, for what exchangeInfo no longer has */

static void announce(struct mlt_adapter *adapter, const struct mlt_binance_symbol *symbol,
                     const char *status, int64_t adapted_ns)
{
    struct mlt_native_event event = {
        .instrument = mlt_slice_of_string(symbol->token),
        .type = MLT_EVENT_INSTRUMENT,
        .route = adapter->listing_route,
        .received = adapter->listed_at_ns,
        .adapted = adapted_ns,
        .exchange = MLT_STAMP_UNKNOWN,
        .rest_function = mlt_slice_of_string(mlt_rest_function_word(MLT_REST_EXCHANGE_INFO)),
        .u.instrument = { .native_symbol = mlt_slice_of_string(symbol->native),
                          .base = mlt_slice_of_string(symbol->base),
                          .quote = mlt_slice_of_string(symbol->quote),
                          .status = mlt_slice_of_string(status),
                          .tick_size = symbol->tick_size,
                          .lot_size = symbol->lot_size,
                          .minimum_notional = symbol->minimum_notional,
                          .price_exponent = symbol->price_exponent,
                          .quantity_exponent = symbol->quantity_exponent }
    };
    mlt_adapter_hand_on(adapter, &event);
}

void mlt_adapter_listing_step(void *ctx)
{
    struct mlt_adapter *adapter = ctx;
    const size_t count = mlt_binance_symbols_count(adapter->symbols);
    const int64_t now = mlt_clock_wall_ns();
    for (unsigned i = 0; i < STEP_MAX && adapter->listing_next < count; i++) {
        if (mlt_hop_congested(adapter->sender)) {
            break; /* room, or the next second, goes on */
        }
        const struct mlt_binance_symbol *symbol =
            mlt_binance_symbols_at(adapter->symbols, adapter->listing_next);
        announce(adapter, symbol, symbol->status, now);
        adapter->listing_next++;
    }
    if (adapter->listing_next < count && !mlt_hop_congested(adapter->sender)) {
        mlt_timer_start(adapter->listing_timer, STEP_PAUSE_NS);
    }
}

void mlt_adapter_listing_announce(struct mlt_adapter *adapter)
{
    adapter->listing_next = 0;
    if (adapter->listed) {
        mlt_timer_start(adapter->listing_timer, 0);
    }
}

/* Symbols of `before` that `after` does not have; told: as INSTRUMENT. */
static size_t count_gone(struct mlt_adapter *adapter, const struct mlt_binance_symbols *before,
                         const struct mlt_binance_symbols *after, bool tell)
{
    const int64_t now = mlt_clock_wall_ns();
    size_t gone = 0;
    for (size_t i = 0; i < mlt_binance_symbols_count(before); i++) {
        const struct mlt_binance_symbol *symbol = mlt_binance_symbols_at(before, i);
        if (mlt_binance_symbol_by_token(after, mlt_slice_of_string(symbol->token)) != NULL) {
            continue;
        }
        gone++;
        if (tell) {
            announce(adapter, symbol, DELISTED, now);
        }
    }
    return gone;
}

/* An exchange does not take half of what it lists off at once; an answer that is not whole does. It
 * has to be said twice, and nothing at all is never believed. */
static bool plausible(struct mlt_adapter *adapter, const struct mlt_binance_symbols *symbols)
{
    const size_t before = mlt_binance_symbols_count(adapter->symbols);
    const size_t gone = count_gone(adapter, adapter->symbols, symbols, false);
    const size_t count = mlt_binance_symbols_count(symbols);
    const bool odd = gone > before / 2 || count == 0;
    const bool again = adapter->listing_doubted && count > 0;
    adapter->listing_doubted = odd;
    return !odd || again;
}

void mlt_adapter_listing_again(struct mlt_adapter *adapter)
{
    const int64_t now = mlt_clock_mono_ns();
    const int64_t allowed = adapter->topics.listing_ns + AGAIN_NS;
    mlt_rest_soon(&adapter->rest, MLT_REST_EXCHANGE_INFO, allowed > now ? allowed : now);
}

enum mlt_status mlt_adapter_listing_read(struct mlt_adapter *adapter, struct mlt_slice body,
                                         int64_t asked_ns, int64_t completed_ns,
                                         struct mlt_error *err)
{
    struct mlt_binance_symbols *symbols = NULL;
    uint32_t skipped = 0, weight_limit = 0;
    const enum mlt_status status =
        mlt_binance_symbols_parse(body, &symbols, &skipped, &weight_limit, err);
    adapter->trim = true; /* the document was large and is gone */
    if (status != MLT_OK) {
        return status;
    }
    if (!plausible(adapter, symbols)) {
        const size_t count = mlt_binance_symbols_count(symbols);
        mlt_binance_symbols_destroy(symbols);
        return mlt_error_set(err, MLT_E_AGAIN,
                             "exchangeInfo: %zu symbols, and most of the %zu before are gone",
                             count, mlt_binance_symbols_count(adapter->symbols));
    }
    adapter->listed_at_ns = completed_ns; /* what is told now is newer than what was told before */
    const size_t gone = count_gone(adapter, adapter->symbols, symbols, true);
    adapter->listing_doubted = false;
    /* No frame is in hand here, and topics keep names of their own: nothing looks at the old ones.
     */
    mlt_binance_symbols_destroy(adapter->symbols);
    adapter->symbols = symbols;
    adapter->topics.listing_ns = asked_ns;
    adapter->listed = true;
    mlt_governor_set_limit(&adapter->governor, weight_limit);
    mlt_counter_add(adapter->meters.listings, 1);
    mlt_log(MLT_LOG_INFO, "listing_read", "exchangeInfo was read",
            MLT_U("symbols", mlt_binance_symbols_count(symbols)), MLT_U("skipped", skipped),
            MLT_U("delisted", gone), MLT_U("weight_limit", weight_limit));
    mlt_adapter_plans_again(adapter);
    mlt_adapter_listing_announce(adapter);
    return MLT_OK;
}
