#include "synthetic.h"

#include <stdlib.h>
#include <string.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "synthetic_internal.h"

#define SLOT_NS (INT64_C(100) * MLT_NS_PER_MS) /* each symbol has one slot in this time */
#define CHANGES_TOTAL_MAX ((uint64_t)2 << 20)
#define CHANGES_MIN 4096u
#define CHANGES_PER_ACTION_MAX 3u
#define STEPS_PER_PUMP 50000u

/* Frames a second over trade, bookTicker and depth@100ms at that many actions: see synthetic_act.
 * Depth events are bounded by ten a second and symbol. */
static double frames_per_second(double actions, double symbols)
{
    const double x = actions / (10 * symbols);
    return actions * (0.25 * 1.15 + 0.75) + 10 * symbols * (1 - 1 / (1 + x + x * x / 2));
}

static uint64_t actions_for(unsigned rate, unsigned symbols)
{
    double low = 0, high = rate;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        if (frames_per_second(middle, symbols) < rate) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (uint64_t)(low * 1000) + 1;
}

/* Rings as long as the budget allows, never shorter than a 1000 ms depth event may be. */
static int64_t change_capacity(const struct synthetic *market)
{
    const uint64_t symbols = market->market.symbol_count;
    const uint64_t needed =
        CHANGES_PER_ACTION_MAX * (market->actions_per_1000s / 1000 / symbols * 2 + CHANGES_MIN / 4);
    uint64_t capacity = CHANGES_MIN;
    while (capacity < needed || capacity * 2 * symbols <= CHANGES_TOTAL_MAX) {
        capacity *= 2;
    }
    return (int64_t)capacity;
}

static int64_t action_ns(const struct synthetic *market)
{
    return (int64_t)((sim_int128)market->actions * 1000000000000 /
                     (sim_int128)market->actions_per_1000s);
}

static int64_t slot_ns(const struct synthetic *market)
{
    return (int64_t)(((sim_int128)market->slots + 1) * SLOT_NS /
                     (sim_int128)market->market.symbol_count);
}

static void run_slot(struct synthetic *market)
{
    const uint64_t count = market->market.symbol_count;
    struct synthetic_symbol *symbol = &market->symbols[market->slots % count];
    const uint64_t turn = market->slots / count;
    market->slots++;
    if (symbol->halted) {
        return;
    }
    synthetic_send_depth(market, symbol, true);
    synthetic_send_partial(market, symbol, true);
    if (turn % 10 != 9) {
        return;
    }
    synthetic_send_depth(market, symbol, false);
    synthetic_send_partial(market, symbol, false);
    synthetic_send_tickers(market, symbol);
    synthetic_send_kline(market, symbol, 0, false);
    for (int i = 1; turn % 20 == 19 && i < SIM_INTERVAL_COUNT; i++) {
        synthetic_send_kline(market, symbol, i, false);
    }
}

static void run_second(struct synthetic *market)
{
    market->second_ns += MLT_NS_PER_S;
    synthetic_roll_candles(market);
    synthetic_send_array(market);
}

/* Depth events of what has not been told, so that the streams end at the book's last id. */
static void finish(struct synthetic *market)
{
    for (size_t i = 0; i < market->market.symbol_count; i++) {
        synthetic_send_depth(market, &market->symbols[i], true);
        synthetic_send_depth(market, &market->symbols[i], false);
    }
    market->market.finished = true;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The next thing: a whole second before a slot before an action of the same moment. */
static void step(struct synthetic *market, int64_t at_ns)
{
    market->now_us = market->start_us + at_ns / 1000;
    if (at_ns == market->second_ns) {
        run_second(market);
    } else if (at_ns == slot_ns(market)) {
        run_slot(market);
    } else {
        market->actions++;
        synthetic_act(market);
    }
}

static int64_t pump(struct sim_market *base, int64_t now_ns)
{
    struct synthetic *market = (struct synthetic *)base;
    const bool flat_out = !(base->speed > 0);
    const int64_t end_ns =
        market->options->seconds > 0 ? market->options->seconds * MLT_NS_PER_S : INT64_MAX;
    if (market->begun_ns == 0 || base->finished || (flat_out && base->hub->line_count == 0)) {
        return INT64_MAX;
    }
    for (unsigned n = 0; sim_hub_has_room(base->hub); n++) {
        const int64_t at_ns =
            earlier(earlier(market->second_ns, slot_ns(market)), action_ns(market));
        if (at_ns > end_ns) {
            finish(market);
            return INT64_MAX;
        }
        if (sim_hub_done(base->hub)) {
            base->finished = true;
            return INT64_MAX;
        }
        if (!flat_out) {
            const int64_t due_ns = market->begun_ns + (int64_t)((double)at_ns / base->speed);
            if (due_ns > now_ns) {
                return due_ns;
            }
        }
        if (n >= STEPS_PER_PUMP) { /* let the loop turn */
            return now_ns;
        }
        step(market, at_ns);
    }
    return INT64_MAX;
}

static void begin(struct sim_market *base, int64_t now_ns)
{
    struct synthetic *market = (struct synthetic *)base;
    market->begun_ns = market->begun_ns == 0 ? now_ns : market->begun_ns;
}

static void destroy(struct sim_market *base)
{
    struct synthetic *market = (struct synthetic *)base;
    for (size_t i = 0; market->symbols != NULL && i < base->symbol_count; i++) {
        synthetic_close_symbol(&market->symbols[i]);
    }
    sim_book_fini(&market->past);
    mlt_buf_fini(&market->frame);
    free(market->sorted);
    free(market->symbols);
    free(market);
}

static const struct sim_market_ops ops = {
    .destroy = destroy,
    .attach = synthetic_attach,
    .begin = begin,
    .pump = pump,
    .find = synthetic_find,
    .symbol = synthetic_describe,
    .halt = synthetic_halt,
    .listing = synthetic_listing,
    .book = synthetic_book,
    .book_at = synthetic_book_at,
    .top = synthetic_top,
    .trade_count = synthetic_trade_count,
    .trade = synthetic_trade,
    .candles = synthetic_candles,
    .day = synthetic_day,
};

static void set_clock(struct synthetic *market)
{
    market->start_us = market->options->clock_start_ms > 0 ? market->options->clock_start_ms * 1000
                                                           : sim_options_wall_us(market->options);
    market->now_us = market->start_us;
    market->second_ns = (1000000 - market->start_us % 1000000) * 1000;
    for (int i = 0; i < SIM_INTERVAL_COUNT; i++) {
        int64_t open_us = 0;
        sim_interval_bounds(i, market->start_us, &open_us, &market->next_open_us[i]);
    }
}

struct sim_market *sim_synthetic_create(struct sim_hub *hub, const struct sim_options *options,
                                        struct mlt_error *err)
{
    struct synthetic *market = calloc(1, sizeof *market);
    enum mlt_status status = MLT_E_NOMEM;
    if (market != NULL) {
        market->market = (struct sim_market){ .ops = &ops,
                                              .hub = hub,
                                              .mode = "synthetic",
                                              .symbol_count = options->symbols,
                                              .speed = options->speed };
        market->options = options;
        market->dice = mlt_mix64(options->seed);
        market->actions_per_1000s = actions_for(options->rate, options->symbols);
        market->change_mask = change_capacity(market) - 1;
        sim_book_init(&market->past);
        mlt_buf_init(&market->frame, SIM_OUT_BYTES_MAX);
        set_clock(market);
        market->symbols = calloc(options->symbols, sizeof *market->symbols);
        status = market->symbols != NULL ? MLT_OK : MLT_E_NOMEM;
    }
    for (size_t i = 0; status == MLT_OK && i < options->symbols; i++) {
        status = synthetic_open_symbol(market, i);
    }
    if (status != MLT_OK) {
        (void)mlt_error_set(err, status, "synthetic market: %s", mlt_status_text(status));
        if (market != NULL) {
            destroy(&market->market);
        }
        return NULL;
    }
    return &market->market;
}
