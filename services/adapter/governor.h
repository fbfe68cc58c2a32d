/*
 * The REST budget: what a call weighs, whether it may be made now, and what the exchange's answers
 * say about it. Pure, the clock is an argument (monotonic ns). One thread.
 *
 * An Adapter alone has the whole share of its address. Adapters that have one address in common
 * have a fifth of the share apart, each its part, for which none asks the others, and the rest, the
 * pool, together (ledger.h): of it a block is reserved, and calls take their weight from that. An
 * Adapter that begins does not know what the one before it in its place has used of its part: for a
 * minute only OWN calls take from it, and what they may take is not in the pool a second time.
 */
#ifndef MELTICA_ADAPTER_GOVERNOR_H
#define MELTICA_ADAPTER_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "meltica/rt/backoff.h"

#define MLT_GOVERNOR_LIMIT_DEFAULT 6000u /* REQUEST_WEIGHT a minute, until exchangeInfo says it */
#define MLT_GOVERNOR_OWN_MIN                                                                       \
    64u /* of an Adapter that shares: half of it, 32, is kept for exchangeInfo and time */
#define MLT_GOVERNOR_REFUSAL_MAX_NS (INT64_C(3) * 24 * 3600 * 1000000000) /* the longest ban */
#define MLT_GOVERNOR_BUCKETS                                                                       \
    61u /* of a second each: 60 whole ones lie between the                                         \
            first use of a bucket and the next */

enum mlt_rest_function {
    MLT_REST_EXCHANGE_INFO,
    MLT_REST_DEPTH,
    MLT_REST_TICKER_24HR,
    MLT_REST_HISTORICAL_TRADES,
    MLT_REST_AGG_TRADES,
    MLT_REST_TIME, /* the Adapter's own: no plan and no fetch may name it */
    MLT_REST_FUNCTION_COUNT
};

/* Words as the dispatch table has them: "exchangeInfo", "depth", "ticker/24hr",
 * "historicalTrades", "aggTrades". */
const char *mlt_rest_function_word(enum mlt_rest_function function);
/* MLT_REST_FUNCTION_COUNT when unknown. */
enum mlt_rest_function mlt_rest_function_of(const char *word);
/* Weight of one call. limit: levels of depth (0: the exchange's default, 100). symbols: how many
 * the call names, 0: none, which is all. */
uint32_t mlt_rest_weight(enum mlt_rest_function function, uint32_t limit, uint32_t symbols);

/* What a call is for, the most urgent first: who goes first, and how much of the share is left to
 * those before it. */
enum mlt_weight_class {
    MLT_WEIGHT_OWN,      /* exchangeInfo and time: everything else depends on them */
    MLT_WEIGHT_RESYNC,   /* a book that was LIVE is not */
    MLT_WEIGHT_FIRST,    /* a book that never was */
    MLT_WEIGHT_DEPTH,    /* a deeper one; trades that are missing */
    MLT_WEIGHT_SCHEDULE, /* of the plan */
    MLT_WEIGHT_AUDIT,    /* a LIVE book is compared */
    MLT_WEIGHT_CLASS_COUNT
};
const char *mlt_weight_class_word(enum mlt_weight_class class); /* "resync"; static */
/* Of `amount`, what calls of this class and all before it may use together. Pure. */
uint32_t mlt_weight_ceiling(uint32_t amount, enum mlt_weight_class class);

struct mlt_governor {
    uint32_t limit;                         /* a minute, all users of the address together */
    uint32_t share_percent;                 /* of it that is ours */
    int64_t second;                         /* of the newest bucket */
    uint32_t buckets[MLT_GOVERNOR_BUCKETS]; /* weight spent, by second */
    uint32_t reported;                      /* what the exchange counted last, plus ours since */
    int64_t reported_at_ns;
    bool has_report;
    int64_t blocked_until_ns; /* 429, 418, 403 */
    int64_t held_until_ns;    /* the host does not answer: back-off */
    struct mlt_backoff backoff;
    /* Shared only. */
    uint32_t adapters;     /* that share it at most; 0: it is alone */
    uint32_t surplus;      /* that share it beyond these: their parts are the pool's */
    int64_t wait_until_ns; /* no call before: what others know is being read */
    int64_t open_ns;       /* from then on its own part is for all calls */
    uint32_t pooled[MLT_GOVERNOR_BUCKETS]; /* of blocks; buckets are what is its own then */
    struct mlt_weight_block {
        uint32_t left;
        enum mlt_weight_class class; /* for calls of this class and those before it */
        int64_t second;              /* of the ledger */
        int64_t expires_ns;
    } block;
    bool needs; /* a call found no weight: more should be reserved */
    enum mlt_weight_class need_class;
    uint32_t need_weight;
    int64_t refused_until_ns; /* the pool has nothing for refused_class and those behind it */
    enum mlt_weight_class refused_class;
};

void mlt_governor_init(struct mlt_governor *governor, uint32_t share_percent, uint64_t seed);
/* From exchangeInfo; 0 is ignored. */
void mlt_governor_set_limit(struct mlt_governor *governor, uint32_t limit);

/* 0: the call may be made and is charged. Else the earliest time at which it may be asked again.
 * class: what is used so far leaves the share's ceiling of it (mlt_weight_ceiling). Shared: the
 * same of its own part, or the block has it; else mlt_governor_take_need tells. */
int64_t mlt_governor_admit(struct mlt_governor *governor, uint32_t weight,
                           enum mlt_weight_class class, int64_t now_ns);
/* From now on as one of at most so many Adapters of the address (2 at least). */
void mlt_governor_share_with(struct mlt_governor *governor, uint32_t adapters, int64_t now_ns);
/* No call before then; 0: at once. */
void mlt_governor_wait(struct mlt_governor *governor, int64_t until_ns);
/* So many of them were heard; those above what was said have parts that nobody reckoned with, and
 * the pool is smaller by these. */
void mlt_governor_heard(struct mlt_governor *governor, uint32_t adapters);
/* Weight a minute: of the address that we and those who share with us use; the part of it that is
 * this Adapter's own; what is shared. */
uint32_t mlt_governor_share(const struct mlt_governor *governor);
uint32_t mlt_governor_own(const struct mlt_governor *governor);
uint32_t mlt_governor_pool(const struct mlt_governor *governor);
/* What the call that found no weight needs; false: none did since the last time. */
bool mlt_governor_take_need(struct mlt_governor *governor, enum mlt_weight_class *class,
                            uint32_t *weight);
/* The answer: a block, in the place of the one before; or none for that class until a time. */
void mlt_governor_granted(struct mlt_governor *governor, const struct mlt_weight_block *block);
void mlt_governor_refused(struct mlt_governor *governor, enum mlt_weight_class class,
                          int64_t until_ns);
/* Takes what is left of the block, to be given back: 0, or weight and the ledger's second. Without
 * `all` only when it has expired. */
uint32_t mlt_governor_take_rest(struct mlt_governor *governor, bool all, int64_t now_ns,
                                int64_t *second);
/* The exchange refuses the address until then; never shorter than what is known already. */
void mlt_governor_block(struct mlt_governor *governor, int64_t until_ns);

/* Weight that counts against the share now. */
uint32_t mlt_governor_used(struct mlt_governor *governor, int64_t now_ns);

/* What X-MBX-USED-WEIGHT-1M says; -1: no number. Pure. */
int64_t mlt_governor_weight_of(const char *text);
/* An HTTP answer: its code, Retry-After in s (-1: none), X-MBX-USED-WEIGHT-1M (-1: none). */
void mlt_governor_answered(struct mlt_governor *governor, int code, int64_t retry_after_s,
                           int64_t used_weight, int64_t now_ns);
/* No HTTP answer at all: everything waits, longer each time, until one answers. */
void mlt_governor_unanswered(struct mlt_governor *governor, int64_t now_ns);

#endif
