#include "governor.h"

#include <string.h>

#include "meltica/base/clock.h"

#define RETRY_AFTER_429_S INT64_C(60)  /* where the answer names none: a whole window */
#define RETRY_AFTER_418_S INT64_C(120) /* the shortest ban */
#define RETRY_AFTER_403_S INT64_C(60)
#define RETRY_AFTER_MIN_S INT64_C(1) /* also for 0: a refusal is never answered at once */
#define RETRY_AFTER_MAX_S (MLT_GOVERNOR_REFUSAL_MAX_NS / MLT_NS_PER_S)
#define REPORT_LIFE_NS (60 * MLT_NS_PER_S)
#define OWN_PERCENT 20u /* of a share that is shared */
#define OWN_KEPT                                                                                   \
    (MLT_GOVERNOR_OWN_MIN / 2) /* of that, for OWN calls: exchangeInfo, and time every 10 s */
#define HOLD_BASE_NS (500 * MLT_NS_PER_MS)
#define HOLD_MAX_NS (30 * MLT_NS_PER_S)
#define HOLD_FLOOR_NS (200 * MLT_NS_PER_MS)

static const char *const words[MLT_REST_FUNCTION_COUNT] = {
    "exchangeInfo", "depth", "ticker/24hr", "historicalTrades", "aggTrades", "time",
};

static const char *const class_words[MLT_WEIGHT_CLASS_COUNT] = { "own",   "resync",   "first",
                                                                 "depth", "schedule", "audit" };
static const uint8_t class_percent[MLT_WEIGHT_CLASS_COUNT] = { 100, 100, 90, 80, 80, 60 };

const char *mlt_weight_class_word(enum mlt_weight_class class)
{
    return (unsigned)class < MLT_WEIGHT_CLASS_COUNT ? class_words[class] : "";
}

uint32_t mlt_weight_ceiling(uint32_t amount, enum mlt_weight_class class)
{
    return (uint32_t)((uint64_t)amount * class_percent[class] / 100);
}

const char *mlt_rest_function_word(enum mlt_rest_function function)
{
    return (unsigned)function < MLT_REST_FUNCTION_COUNT ? words[function] : "";
}

enum mlt_rest_function mlt_rest_function_of(const char *word)
{
    for (int i = 0; i < MLT_REST_FUNCTION_COUNT; i++) {
        if (i != MLT_REST_TIME && strcmp(words[i], word) == 0) {
            return (enum mlt_rest_function)i;
        }
    }
    return MLT_REST_FUNCTION_COUNT;
}

uint32_t mlt_rest_weight(enum mlt_rest_function function, uint32_t limit, uint32_t symbols)
{
    switch (function) {
    case MLT_REST_DEPTH:
        return limit <= 100 ? 5 : limit <= 500 ? 25 : limit <= 1000 ? 50 : 250;
    case MLT_REST_TICKER_24HR:
        return symbols >= 1 && symbols <= 20 ? 2 : symbols >= 1 && symbols <= 100 ? 40 : 80;
    case MLT_REST_HISTORICAL_TRADES:
        return 25;
    case MLT_REST_AGG_TRADES:
        return 4;
    case MLT_REST_TIME:
        return 1;
    case MLT_REST_EXCHANGE_INFO:
    default:
        return 20;
    }
}

void mlt_governor_init(struct mlt_governor *governor, uint32_t share_percent, uint64_t seed)
{
    *governor = (struct mlt_governor){ .limit = MLT_GOVERNOR_LIMIT_DEFAULT,
                                       .share_percent = share_percent };
    mlt_backoff_init(&governor->backoff, HOLD_FLOOR_NS, HOLD_BASE_NS, HOLD_MAX_NS, seed);
}

void mlt_governor_set_limit(struct mlt_governor *governor, uint32_t limit)
{
    if (limit > 0) {
        governor->limit = limit;
    }
}

void mlt_governor_share_with(struct mlt_governor *governor, uint32_t adapters, int64_t now_ns)
{
    governor->adapters = adapters;
    governor->open_ns = now_ns + (int64_t)MLT_GOVERNOR_BUCKETS * MLT_NS_PER_S;
}

uint32_t mlt_governor_share(const struct mlt_governor *governor)
{
    return (uint32_t)((uint64_t)governor->limit * governor->share_percent / 100);
}

uint32_t mlt_governor_own(const struct mlt_governor *governor)
{
    const uint32_t share = mlt_governor_share(governor);
    return governor->adapters == 0
               ? share
               : (uint32_t)((uint64_t)share * OWN_PERCENT / 100 / governor->adapters);
}

/* Of its own part, for OWN calls. */
static uint32_t kept(const struct mlt_governor *governor)
{
    const uint32_t half = mlt_governor_own(governor) / 2;
    return half < OWN_KEPT ? half : OWN_KEPT;
}

uint32_t mlt_governor_pool(const struct mlt_governor *governor)
{
    const uint32_t share = mlt_governor_share(governor);
    if (governor->adapters == 0) {
        return 0;
    }
    const uint64_t parts = (uint64_t)(governor->adapters + governor->surplus) *
                           (mlt_governor_own(governor) + kept(governor));
    return parts < share ? share - (uint32_t)parts : 0;
}

void mlt_governor_wait(struct mlt_governor *governor, int64_t until_ns)
{
    governor->wait_until_ns = until_ns;
}

void mlt_governor_heard(struct mlt_governor *governor, uint32_t adapters)
{
    governor->surplus = adapters > governor->adapters ? adapters - governor->adapters : 0;
}

/* Buckets that fell out of the last minute are emptied. */
static void advance(struct mlt_governor *governor, int64_t now_ns)
{
    const int64_t second = now_ns / MLT_NS_PER_S;
    int64_t steps = second - governor->second;
    if (steps > (int64_t)MLT_GOVERNOR_BUCKETS) {
        steps = MLT_GOVERNOR_BUCKETS;
    }
    for (int64_t i = 0; i < steps; i++) {
        governor->buckets[(uint64_t)(second - i) % MLT_GOVERNOR_BUCKETS] = 0;
        governor->pooled[(uint64_t)(second - i) % MLT_GOVERNOR_BUCKETS] = 0;
    }
    if (second > governor->second) {
        governor->second = second;
    }
}

static uint32_t sum(const uint32_t buckets[MLT_GOVERNOR_BUCKETS])
{
    uint32_t spent = 0;
    for (unsigned i = 0; i < MLT_GOVERNOR_BUCKETS; i++) {
        spent += buckets[i];
    }
    return spent;
}

static uint32_t reported(const struct mlt_governor *governor, int64_t now_ns)
{
    return governor->has_report && now_ns - governor->reported_at_ns < REPORT_LIFE_NS
               ? governor->reported
               : 0;
}

uint32_t mlt_governor_used(struct mlt_governor *governor, int64_t now_ns)
{
    advance(governor, now_ns);
    const uint32_t spent = sum(governor->buckets) + sum(governor->pooled);
    const uint32_t said = reported(governor, now_ns);
    /* The exchange's minute may be another than ours, and others may share the address: the greater
     * one counts. */
    return said > spent ? said : spent;
}

static bool fits(uint32_t used, uint32_t weight, uint32_t amount, enum mlt_weight_class class)
{
    return (uint64_t)used + weight <= mlt_weight_ceiling(amount, class);
}

static void charge(struct mlt_governor *governor, uint32_t buckets[MLT_GOVERNOR_BUCKETS],
                   uint32_t weight)
{
    buckets[(uint64_t)governor->second % MLT_GOVERNOR_BUCKETS] += weight;
    governor->reported += weight;
}

static int64_t next_second(int64_t now_ns)
{
    return (now_ns / MLT_NS_PER_S + 1) * MLT_NS_PER_S;
}

/* Of its own part. */
static bool fits_own(const struct mlt_governor *governor, uint32_t weight,
                     enum mlt_weight_class class, int64_t now_ns)
{
    const uint32_t own = mlt_governor_own(governor), for_own = kept(governor);
    const uint32_t used = sum(governor->buckets);
    if (class == MLT_WEIGHT_OWN) {
        return fits(used, weight, now_ns < governor->open_ns ? for_own : own, class);
    }
    return now_ns >= governor->open_ns && fits(used + for_own, weight, own, class);
}

/* What the exchange says of the address is the last word, also where the ledger has weight left. */
static int64_t admit_shared(struct mlt_governor *governor, uint32_t weight,
                            enum mlt_weight_class class, int64_t now_ns)
{
    struct mlt_weight_block *block = &governor->block;
    const uint32_t said = reported(governor, now_ns);
    if (said > 0 && !fits(said, weight, mlt_governor_share(governor), class)) {
        return next_second(now_ns);
    }
    if (block->left >= weight && class <= block->class && now_ns < block->expires_ns) {
        block->left -= weight;
        charge(governor, governor->pooled, weight);
        return 0;
    }
    if (fits_own(governor, weight, class, now_ns)) {
        charge(governor, governor->buckets, weight);
        return 0;
    }
    if (now_ns < governor->refused_until_ns && class >= governor->refused_class) {
        return governor->refused_until_ns;
    }
    if (!governor->needs) {
        governor->needs = true;
        governor->need_class = class;
        governor->need_weight = weight;
    }
    return next_second(now_ns);
}

bool mlt_governor_take_need(struct mlt_governor *governor, enum mlt_weight_class *class,
                            uint32_t *weight)
{
    const bool needs = governor->needs;
    governor->needs = false;
    *class = governor->need_class;
    *weight = governor->need_weight;
    return needs;
}

void mlt_governor_granted(struct mlt_governor *governor, const struct mlt_weight_block *block)
{
    governor->block = *block;
    governor->refused_until_ns = 0;
    governor->needs = false; /* asked for since, and here now */
}

void mlt_governor_refused(struct mlt_governor *governor, enum mlt_weight_class class,
                          int64_t until_ns)
{
    governor->needs = false;
    governor->refused_class = class;
    governor->refused_until_ns = until_ns;
}

uint32_t mlt_governor_take_rest(struct mlt_governor *governor, bool all, int64_t now_ns,
                                int64_t *second)
{
    const uint32_t left = all || now_ns >= governor->block.expires_ns ? governor->block.left : 0;
    *second = governor->block.second;
    governor->block.left -= left;
    return left;
}

int64_t mlt_governor_admit(struct mlt_governor *governor, uint32_t weight,
                           enum mlt_weight_class class, int64_t now_ns)
{
    const int64_t closed_until = governor->blocked_until_ns > governor->held_until_ns
                                     ? governor->blocked_until_ns
                                     : governor->held_until_ns;
    if (now_ns < closed_until) {
        return closed_until;
    }
    if (now_ns < governor->wait_until_ns) {
        return governor->wait_until_ns;
    }
    const uint32_t used = mlt_governor_used(governor, now_ns);
    if (governor->adapters > 0) {
        return admit_shared(governor, weight, class, now_ns);
    }
    /* A call that is heavier than the whole share is made when nothing else was. */
    if (used > 0 && !fits(used, weight, mlt_governor_share(governor), class)) {
        return next_second(now_ns);
    }
    charge(governor, governor->buckets, weight);
    return 0;
}

int64_t mlt_governor_weight_of(const char *text)
{
    int64_t value = 0;
    if (*text == '\0') {
        return -1;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (*text - '0');
        if (value > UINT32_MAX) {
            value = UINT32_MAX; /* as good as any that is too many */
        }
    }
    return *text == '\0' ? value : -1;
}

void mlt_governor_block(struct mlt_governor *governor, int64_t until_ns)
{
    if (until_ns > governor->blocked_until_ns) {
        governor->blocked_until_ns = until_ns;
    }
}

static void block(struct mlt_governor *governor, int64_t seconds, int64_t now_ns)
{
    if (seconds > RETRY_AFTER_MAX_S) {
        seconds = RETRY_AFTER_MAX_S;
    } else if (seconds < RETRY_AFTER_MIN_S) {
        seconds = RETRY_AFTER_MIN_S;
    }
    mlt_governor_block(governor, now_ns + seconds * MLT_NS_PER_S);
}

void mlt_governor_answered(struct mlt_governor *governor, int code, int64_t retry_after_s,
                           int64_t used_weight, int64_t now_ns)
{
    if (used_weight >= 0) {
        governor->reported = used_weight > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)used_weight;
        governor->reported_at_ns = now_ns;
        governor->has_report = true;
    }
    if (code == 429) {
        block(governor, retry_after_s >= 0 ? retry_after_s : RETRY_AFTER_429_S, now_ns);
    } else if (code == 418) {
        block(governor, retry_after_s >= 0 ? retry_after_s : RETRY_AFTER_418_S, now_ns);
    } else if (code == 403) {
        block(governor, retry_after_s >= 0 ? retry_after_s : RETRY_AFTER_403_S, now_ns);
    } else if (code >= 500) {
        mlt_governor_unanswered(governor, now_ns);
        return;
    }
    mlt_backoff_reset(&governor->backoff);
    governor->held_until_ns = 0;
}

void mlt_governor_unanswered(struct mlt_governor *governor, int64_t now_ns)
{
    /* Several calls that fail together are one failure. */
    if (now_ns >= governor->held_until_ns) {
        governor->held_until_ns = now_ns + mlt_backoff_next_ns(&governor->backoff);
    }
}
