#include "analytics.h"

#include <stdlib.h>

#include "meltica/base/clock.h"

__extension__ typedef unsigned __int128 wide;

#define SHORT_STEP_NS (100 * MLT_NS_PER_MS) /* of the 1 s and 10 s windows */
#define LONG_STEP_NS MLT_NS_PER_S           /* of the 60 s window and of the samples of mid */
#define BUCKETS 100u
#define RETURNS 60u
#define PRICE_DIGITS 4u /* decimals beyond the price's */
#define RATIO_DIGITS 6u
#define BPS_DIGITS 4u
#define RETURN_DIGITS 12
#define RETURN_SCALE UINT64_C(1000000000000)
#define RETURN_MAX UINT64_C(1000000000000000000) /* its square times 60 fits in 127 bits */
/* A trade's price times quantity: 2^27 of them in a window still fit. */
#define NOTIONAL_BITS_MAX 100

const uint32_t mlt_analytics_levels[MLT_ANALYTICS_SPANS] = { 1, 5, 20 };
const uint32_t mlt_analytics_bps[MLT_ANALYTICS_SPANS] = { 5, 10, 50 };
const uint32_t mlt_analytics_seconds[MLT_ANALYTICS_SPANS] = { 1, 10, 60 };

struct flow {
    wide notional, bought, sold;
};

/* Trades summed by steps of time, and the sums of up to two windows over the latest steps. */
struct ring {
    int64_t step_ns;
    uint32_t windows[2]; /* in steps; 0: none */
    int64_t now;         /* latest step */
    int64_t start;       /* step in which it began */
    bool started;
    struct flow buckets[BUCKETS], sums[2];
};

/* Squares of the returns of mid from second to second. */
struct returns {
    uint64_t mid2;   /* bid + ask as of now; 0: none */
    int64_t second;  /* of the last sample */
    uint64_t sample; /* bid + ask then */
    uint32_t count;  /* samples, up to RETURNS + 1 */
    wide squares[RETURNS], sum;
};

struct mlt_analytics {
    int32_t price_exponent, quantity_exponent;
    int64_t now_ns;
    struct ring quick, slow;
    struct returns returns;
};

enum mlt_status mlt_analytics_create(int32_t price_exponent, int32_t quantity_exponent,
                                     struct mlt_analytics **out)
{
    struct mlt_analytics *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return MLT_E_NOMEM;
    }
    a->price_exponent = price_exponent;
    a->quantity_exponent = quantity_exponent;
    a->now_ns = MLT_STAMP_UNKNOWN;
    a->quick.step_ns = SHORT_STEP_NS;
    a->quick.windows[0] = (uint32_t)(mlt_analytics_seconds[0] * MLT_NS_PER_S / SHORT_STEP_NS);
    a->quick.windows[1] = (uint32_t)(mlt_analytics_seconds[1] * MLT_NS_PER_S / SHORT_STEP_NS);
    a->slow.step_ns = LONG_STEP_NS;
    a->slow.windows[0] = mlt_analytics_seconds[2];
    *out = a;
    return MLT_OK;
}

void mlt_analytics_destroy(struct mlt_analytics *analytics)
{
    free(analytics);
}

/* ---- rational numbers ---- */

/* num / den to the nearest integer, half to even. den below 2^127. */
static wide divide(wide num, wide den)
{
    const wide quotient = num / den, twice = 2 * (num % den);
    return quotient + (twice > den || (twice == den && (quotient & 1) != 0));
}

/* num / den x 10^exponent with up to `digits` more decimals, fewer where 64 bits or the exponent's
 * limit demand it. num below 2^127, den below 2^107. */
static struct mlt_measure ratio(wide num, wide den, bool negative, int32_t exponent,
                                unsigned digits)
{
    struct mlt_measure measure = { { 0, 0 }, 0 };
    if (den == 0) {
        return measure;
    }
    const wide quotient = num / den, rest = num % den;
    for (int d = (int)digits; d >= 0; d--) {
        wide scale = 1;
        for (int i = 0; i < d; i++) {
            scale *= 10;
        }
        if (exponent - d < MLT_DECIMAL_EXPONENT_MIN || quotient > (wide)INT64_MAX / scale) {
            continue;
        }
        /* quotient x scale is even or not together with the whole: round on the whole. */
        const wide whole = quotient * scale + rest * scale / den;
        const wide twice = 2 * (rest * scale % den);
        const wide value = whole + (twice > den || (twice == den && (whole & 1) != 0));
        if (value <= (wide)INT64_MAX) {
            const int64_t mantissa = (int64_t)value;
            measure.value = (struct mlt_decimal){ negative ? -mantissa : mantissa, exponent - d };
            measure.flags = MLT_MEASURE_PRESENT;
            break;
        }
    }
    return measure;
}

static wide square_root(wide value)
{
    wide root = 0;
    for (int bit = 63; bit >= 0; bit--) {
        const wide tried = root | (wide)1 << bit;
        if (tried * tried <= value) {
            root = tried;
        }
    }
    return root;
}

static int64_t floor_divide(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* ---- trades ---- */

static void add_flow(struct flow *to, const struct flow *what)
{
    to->notional += what->notional;
    to->bought += what->bought;
    to->sold += what->sold;
}

static void remove_flow(struct flow *from, const struct flow *what)
{
    from->notional -= what->notional;
    from->bought -= what->bought;
    from->sold -= what->sold;
}

static struct flow *bucket(struct ring *ring, int64_t step)
{
    const int64_t at = step % (int64_t)BUCKETS;
    return &ring->buckets[at < 0 ? at + (int64_t)BUCKETS : at];
}

static void ring_clear(struct ring *ring)
{
    memset(ring->buckets, 0, sizeof ring->buckets);
    memset(ring->sums, 0, sizeof ring->sums);
}

static void ring_advance(struct ring *ring, int64_t at_ns)
{
    const int64_t step = floor_divide(at_ns, ring->step_ns);
    if (!ring->started) {
        ring->started = true;
        ring->start = ring->now = step;
        return;
    }
    if (step <= ring->now) {
        return;
    }
    if (step - ring->now >= (int64_t)BUCKETS) {
        ring_clear(ring);
        ring->now = step;
        return;
    }
    while (ring->now < step) {
        ring->now++;
        for (int w = 0; w < 2 && ring->windows[w] > 0; w++) {
            remove_flow(&ring->sums[w], bucket(ring, ring->now - (int64_t)ring->windows[w]));
        }
        *bucket(ring, ring->now) = (struct flow){ 0, 0, 0 };
    }
}

static void ring_add(struct ring *ring, int64_t at_ns, const struct flow *what)
{
    const int64_t step = floor_divide(at_ns, ring->step_ns);
    if (step <= ring->now - (int64_t)BUCKETS) {
        return;
    }
    add_flow(bucket(ring, step), what);
    for (int w = 0; w < 2 && ring->windows[w] > 0; w++) {
        if (step > ring->now - (int64_t)ring->windows[w]) {
            add_flow(&ring->sums[w], what);
        }
    }
}

/* False: nothing that came has told the time yet. */
static bool advance(struct mlt_analytics *a, int64_t at_ns)
{
    a->now_ns = at_ns > a->now_ns ? at_ns : a->now_ns;
    if (a->now_ns == MLT_STAMP_UNKNOWN) {
        return false;
    }
    ring_advance(&a->quick, a->now_ns);
    ring_advance(&a->slow, a->now_ns);
    return true;
}

enum mlt_status mlt_analytics_trade(struct mlt_analytics *analytics, const struct mlt_trade *trade)
{
    int64_t price = 0, quantity = 0;
    if (trade->aggressor != MLT_SIDE_BUY && trade->aggressor != MLT_SIDE_SELL) {
        return MLT_E_MISSING;
    }
    enum mlt_status status = mlt_decimal_rescale(trade->price, analytics->price_exponent, &price);
    if (status == MLT_OK) {
        status = mlt_decimal_rescale(trade->quantity, analytics->quantity_exponent, &quantity);
    }
    if (status != MLT_OK) {
        return status;
    }
    const wide notional = price < 0 || quantity < 0 ? 0 : (wide)price * (wide)quantity;
    if (price < 0 || quantity < 0 || notional >> NOTIONAL_BITS_MAX != 0) {
        return MLT_E_RANGE;
    }
    const bool bought = trade->aggressor == MLT_SIDE_BUY;
    const struct flow what = { notional, bought ? (wide)quantity : 0, bought ? 0 : (wide)quantity };
    advance(analytics, trade->trade_time_ns);
    ring_add(&analytics->quick, trade->trade_time_ns, &what);
    ring_add(&analytics->slow, trade->trade_time_ns, &what);
    return MLT_OK;
}

static void ring_restart(struct ring *ring)
{
    ring_clear(ring);
    ring->started = false;
}

void mlt_analytics_restart_trades(struct mlt_analytics *analytics)
{
    ring_restart(&analytics->quick);
    ring_restart(&analytics->slow);
}

static void measure_flow(const struct mlt_analytics *a, const struct ring *ring, int window,
                         struct mlt_measure *vwap, struct mlt_measure *flow)
{
    const struct flow *sum = &ring->sums[window];
    const bool more_bought = sum->bought >= sum->sold;
    *vwap = ratio(sum->notional, sum->bought + sum->sold, false, a->price_exponent, PRICE_DIGITS);
    *flow = ratio(more_bought ? sum->bought - sum->sold : sum->sold - sum->bought,
                  sum->bought + sum->sold, !more_bought, 0, RATIO_DIGITS);
    /* The first step began before the window's events were seen. */
    if (ring->now - ring->start < (int64_t)ring->windows[window]) {
        vwap->flags |= MLT_MEASURE_WARMING;
        flow->flags |= MLT_MEASURE_WARMING;
    }
}

/* ---- volatility ---- */

void mlt_analytics_restart_book(struct mlt_analytics *analytics)
{
    memset(&analytics->returns, 0, sizeof analytics->returns);
}

static void push_sample(struct returns *r, int64_t second)
{
    wide square = 0;
    if (r->count > 0) {
        const uint64_t moved = r->mid2 > r->sample ? r->mid2 - r->sample : r->sample - r->mid2;
        const wide scaled = divide((wide)moved * RETURN_SCALE, r->sample);
        if (scaled > RETURN_MAX) {
            r->count = 0; /* a price a million times another: not a series any more */
            r->sum = 0;
            memset(r->squares, 0, sizeof r->squares);
        } else {
            square = scaled * scaled;
        }
    }
    if (r->count > 0) {
        wide *slot = &r->squares[(uint64_t)second % RETURNS];
        r->sum = r->sum - *slot + square;
        *slot = square;
    }
    r->count += r->count <= RETURNS;
    r->sample = r->mid2;
    r->second = second;
}

/* Takes the samples of all whole seconds before at_ns: mid as it was then. */
static void sample_until(struct returns *r, int64_t at_ns)
{
    const int64_t last = floor_divide(at_ns - 1, LONG_STEP_NS);
    if (r->mid2 == 0 || last <= r->second) {
        return;
    }
    if (last - r->second > (int64_t)RETURNS + 1) {
        /* Nothing moved for longer than the window. */
        r->second = last - (int64_t)RETURNS - 1;
        r->sample = r->mid2;
        r->count = r->count > 0 ? r->count : 1;
    }
    while (r->second < last) {
        push_sample(r, r->second + 1);
    }
}

void mlt_analytics_book(struct mlt_analytics *analytics, const struct mlt_orderbook *book,
                        int64_t at_ns)
{
    struct returns *r = &analytics->returns;
    int64_t bid = 0, ask = 0, quantity = 0;
    if (!advance(analytics, at_ns)) {
        return; /* the next state has a time */
    }
    if (!mlt_orderbook_level(book, MLT_ORDERBOOK_BIDS, 0, &bid, &quantity) ||
        !mlt_orderbook_level(book, MLT_ORDERBOOK_ASKS, 0, &ask, &quantity) || bid == 0) {
        mlt_analytics_restart_book(analytics);
        return;
    }
    if (r->mid2 == 0) {
        r->second = floor_divide(analytics->now_ns - 1, LONG_STEP_NS); /* the next is its first */
    }
    sample_until(r, analytics->now_ns);
    r->mid2 = (uint64_t)bid + (uint64_t)ask;
}

static struct mlt_measure measure_volatility(const struct returns *r)
{
    struct mlt_measure measure = { { 0, -RETURN_DIGITS },
                                   r->count <= RETURNS ? MLT_MEASURE_WARMING : 0 };
    if (r->count > 1) {
        measure.value.mantissa = (int64_t)square_root(r->sum);
        measure.flags |= MLT_MEASURE_PRESENT;
    }
    return measure;
}

/* ---- the book ---- */

struct depth {
    wide levels[MLT_ANALYTICS_SPANS], within[MLT_ANALYTICS_SPANS];
    bool levels_limited[MLT_ANALYTICS_SPANS], within_limited[MLT_ANALYTICS_SPANS];
};

/* True when price is no further than bps[span] from mid. Both sides of the comparison are 20,000
 * times a price: mid is half of mid2. */
static bool within(enum mlt_orderbook_side side, int64_t price, wide mid2, int span)
{
    const wide scaled = (wide)(uint64_t)price * 20000u;
    return side == MLT_ORDERBOOK_BIDS ? scaled >= mid2 * (10000u - mlt_analytics_bps[span])
                                      : scaled <= mid2 * (10000u + mlt_analytics_bps[span]);
}

static void sum_side(const struct mlt_orderbook *book, enum mlt_orderbook_side side, wide mid2,
                     struct depth *out)
{
    const uint32_t most = mlt_analytics_levels[MLT_ANALYTICS_SPANS - 1];
    int64_t price = 0, quantity = 0, bound = 0;
    size_t i = 0;
    *out = (struct depth){ { 0 }, { 0 }, { false }, { false } };
    for (; mlt_orderbook_level(book, side, i, &price, &quantity); i++) {
        bool wanted = i < most;
        for (int s = 0; s < MLT_ANALYTICS_SPANS; s++) {
            out->levels[s] += i < mlt_analytics_levels[s] ? (wide)(uint64_t)quantity : 0;
            if (within(side, price, mid2, s)) {
                out->within[s] += (wide)(uint64_t)quantity;
                wanted = true;
            }
        }
        if (!wanted) {
            break;
        }
    }
    const bool bounded = mlt_orderbook_bound(book, side, &bound);
    for (int s = 0; s < MLT_ANALYTICS_SPANS; s++) {
        out->levels_limited[s] = bounded && i < mlt_analytics_levels[s];
        /* Strictly inside the span, something beyond the bound could still be within it. */
        out->within_limited[s] =
            bounded &&
            (side == MLT_ORDERBOOK_BIDS
                 ? (wide)(uint64_t)bound * 20000u > mid2 * (10000u - mlt_analytics_bps[s])
                 : (wide)(uint64_t)bound * 20000u < mid2 * (10000u + mlt_analytics_bps[s]));
    }
}

static struct mlt_measure sum_measure(const struct mlt_analytics *a, wide sum, bool limited)
{
    struct mlt_measure measure = ratio(sum, 1, false, a->quantity_exponent, 0);
    measure.flags |= limited ? MLT_MEASURE_LIMITED : 0;
    return measure;
}

static struct mlt_measure imbalance(wide bids, wide asks, bool limited)
{
    struct mlt_measure measure =
        ratio(bids > asks ? bids - asks : asks - bids, bids + asks, asks > bids, 0, RATIO_DIGITS);
    measure.flags |= limited ? MLT_MEASURE_LIMITED : 0;
    return measure;
}

static void measure_depth(const struct mlt_analytics *a, const struct mlt_orderbook *book,
                          wide mid2, struct mlt_book_analytics *out)
{
    struct depth bids, asks;
    sum_side(book, MLT_ORDERBOOK_BIDS, mid2, &bids);
    sum_side(book, MLT_ORDERBOOK_ASKS, mid2, &asks);
    for (int s = 0; s < MLT_ANALYTICS_SPANS; s++) {
        out->bid_depth[s] = sum_measure(a, bids.levels[s], bids.levels_limited[s]);
        out->ask_depth[s] = sum_measure(a, asks.levels[s], asks.levels_limited[s]);
        out->imbalance[s] = imbalance(bids.levels[s], asks.levels[s],
                                      bids.levels_limited[s] || asks.levels_limited[s]);
        out->bid_within[s] = sum_measure(a, bids.within[s], bids.within_limited[s]);
        out->ask_within[s] = sum_measure(a, asks.within[s], asks.within_limited[s]);
        out->imbalance_within[s] = imbalance(bids.within[s], asks.within[s],
                                             bids.within_limited[s] || asks.within_limited[s]);
    }
}

void mlt_analytics_measure(struct mlt_analytics *analytics, const struct mlt_orderbook *book,
                           int64_t at_ns, struct mlt_book_analytics *out)
{
    int64_t bid = 0, ask = 0, bid_quantity = 0, ask_quantity = 0;
    memset(out, 0, sizeof *out);
    if (advance(analytics, at_ns)) {
        sample_until(&analytics->returns, analytics->now_ns);
    }
    if (mlt_orderbook_level(book, MLT_ORDERBOOK_BIDS, 0, &bid, &bid_quantity) &&
        mlt_orderbook_level(book, MLT_ORDERBOOK_ASKS, 0, &ask, &ask_quantity) && ask > bid) {
        const wide mid2 = (wide)bid + (wide)ask, apart = (wide)(ask - bid);
        out->mid = ratio(mid2, 2, false, analytics->price_exponent, PRICE_DIGITS);
        out->spread = ratio(apart, 1, false, analytics->price_exponent, 0);
        out->spread_bps = ratio(apart * 20000u, mid2, false, 0, BPS_DIGITS);
        out->microprice = ratio((wide)bid * (wide)ask_quantity + (wide)ask * (wide)bid_quantity,
                                (wide)bid_quantity + (wide)ask_quantity, false,
                                analytics->price_exponent, PRICE_DIGITS);
        measure_depth(analytics, book, mid2, out);
    }
    measure_flow(analytics, &analytics->quick, 0, &out->vwap[0], &out->trade_flow[0]);
    measure_flow(analytics, &analytics->quick, 1, &out->vwap[1], &out->trade_flow[1]);
    measure_flow(analytics, &analytics->slow, 0, &out->vwap[2], &out->trade_flow[2]);
    out->volatility = measure_volatility(&analytics->returns);
}
