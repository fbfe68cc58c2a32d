/*
 * Which REST call is made next: what the plan schedules, spread evenly over its interval, and what
 * was asked for on demand. The class of a call (governor.h) decides which is first, then the time
 * of asking; whoever waits long rises. One call at a time for a (function, instrument). Pure: the
 * clock is an argument. One thread.
 */
#ifndef MELTICA_ADAPTER_REST_H
#define MELTICA_ADAPTER_REST_H

#include "binance.h"
#include "governor.h"
#include "meltica/base/map.h"
#include "meltica/v1/internal.pb-c.h"

#define MLT_REST_ENTRIES_MAX 65536u
#define MLT_REST_DEMAND_MAX 1024u
#define MLT_REST_DEMAND_KEPT                                                                       \
    128u                            /* places of these that only RESYNC takes; so many more, FIRST \
                                     */
#define MLT_REST_DEPTH_DEFAULT 100u /* levels where no limit is named */
#define MLT_REST_DEPTH_MAX 5000u    /* levels; the exchange answers a larger limit with so many */
#define MLT_REST_FLIGHT_MAX 8u      /* calls at once */
#define MLT_REST_TRIES_MAX 4u       /* of a call on demand */
#define MLT_REST_UNKNOWN_MAX 32u    /* routes with functions that are not known */
#define MLT_REST_RISE_NS (300 * INT64_C(1000000000)) /* who waits so long rises by a class */
#define MLT_REST_NEVER INT64_MAX

struct mlt_rest_call {
    enum mlt_rest_function function;
    char token[MLT_INSTRUMENT_BYTES_MAX + 1]; /* "": none */
    uint32_t limit, route;
    int64_t from; /* first id of trades; else 0 */
    bool demand;
    enum mlt_weight_class class;
    uint32_t tries; /* of this call, this one included */
};

struct mlt_rest_entry { /* of the schedule */
    struct mlt_rest_call call;
    uint64_t wanted_by; /* bit p: the plan of partition p */
    uint64_t pass;
    int64_t interval_ns, phase_ns;
    int64_t start_ns, due_ns;
    uint64_t rounds;
    uint32_t failures; /* in a row, of those that are tried again */
};

struct mlt_rest_demand {
    struct mlt_rest_call call;
    int64_t asked_ns, not_before_ns;
};

/* What somebody wants now. */
struct mlt_rest_asked {
    enum mlt_rest_function function;
    const char *token; /* "": none */
    uint32_t limit;    /* levels, 0: the default; trades */
    int64_t from;      /* trades: the first id */
    uint32_t route;
    enum mlt_weight_class class;
};

struct mlt_rest_unknown {
    uint32_t route, partition;
};

struct mlt_rest {
    uint32_t partitions;
    struct mlt_rest_unknown unknown[MLT_REST_UNKNOWN_MAX];
    size_t unknown_count;
    uint64_t held;                   /* bit p: another Adapter makes the calls of partition p */
    struct mlt_rest_entry **entries; /* count */
    size_t count, capacity;
    struct mlt_map by_call; /* function and token to the entry: plans name thousands */
    uint64_t pass, made;
    struct mlt_rest_demand demands[MLT_REST_DEMAND_MAX]; /* in order of asking */
    size_t demand_count, demand_most;                    /* now, and the most so far */
    struct mlt_rest_call flight[MLT_REST_FLIGHT_MAX];
    bool in_flight[MLT_REST_FLIGHT_MAX];
    struct mlt_governor *governor;
    struct mlt_backoff backoff; /* of calls on demand that failed */
};

void mlt_rest_init(struct mlt_rest *rest, uint32_t partitions, struct mlt_governor *governor,
                   uint64_t seed);
void mlt_rest_fini(struct mlt_rest *rest);

/* Makes the schedule of plan->partition what the plan says; what stays keeps its time, and by an
 * expanding part (internal.proto) everything stays. Routes whose
 * function is not known are skipped and listed in rest->unknown. E_RANGE, E_LIMIT, E_NOMEM. */
enum mlt_status mlt_rest_apply(struct mlt_rest *rest, const Meltica__V1__NativePlan *plan,
                               int64_t now_ns) MLT_MUST_CHECK;
/* An entry that no plan makes (exchangeInfo of the Adapter itself): partition bit 63 is its owner.
 */
enum mlt_status mlt_rest_schedule(struct mlt_rest *rest, enum mlt_rest_function function,
                                  int64_t interval_ns, int64_t first_ns) MLT_MUST_CHECK;

/* Whether it gives trades by id: mlt_rest_demand then needs from and limit. */
static inline bool mlt_rest_by_id(enum mlt_rest_function function)
{
    return function == MLT_REST_HISTORICAL_TRADES || function == MLT_REST_AGG_TRADES;
}

/* A call of the schedule that is not made for an instrument is due at at_ns, where it was not
 * sooner.
 */
void mlt_rest_soon(struct mlt_rest *rest, enum mlt_rest_function function, int64_t at_ns);
/* Bit p: the schedule of partition p rests, since another Adapter makes it. What is not held any
 * more begins as if it were new. */
void mlt_rest_hold(struct mlt_rest *rest, uint64_t partitions, int64_t now_ns);

/* A call as soon as the budget allows. One of the same function, token and from that waits already
 * is enough where its limit and its class are as high, and becomes this one where they are not
 * higher; else both wait. One that flies is not, since it may be
 * older than the need: this one waits behind it. While a call waits for the budget those of lower
 * classes wait too: light ones would take, one by one, what a heavy one waits for. exchangeInfo and
 * time alone do not. E_FULL: no place, of which lower classes have fewer; E_TOO_BIG: token;
 * E_RANGE: trades without an id to begin with, or none or more than MLT_TRADES_PAGE_MAX of them. */
enum mlt_status mlt_rest_demand(struct mlt_rest *rest, const struct mlt_rest_asked *asked,
                                int64_t now_ns) MLT_MUST_CHECK;

/* The next call, charged and in flight: its number in *flight, to be given back with mlt_rest_done.
 * E_EMPTY: none now; *next_ns is when to ask again (MLT_REST_NEVER: after an event). */
enum mlt_status mlt_rest_next(struct mlt_rest *rest, int64_t now_ns, unsigned *flight,
                              int64_t *next_ns) MLT_MUST_CHECK;
const struct mlt_rest_call *mlt_rest_flight(const struct mlt_rest *rest, unsigned flight);

/* Calls on demand that wait, by class as asked for. */
void mlt_rest_waiting(const struct mlt_rest *rest, uint32_t counts[MLT_WEIGHT_CLASS_COUNT]);
/* Weight of the calls, on demand and of the schedule, that would be made now if there were enough,
 * by the class that they count as. */
void mlt_rest_weights(const struct mlt_rest *rest, int64_t now_ns,
                      uint32_t weights[MLT_WEIGHT_CLASS_COUNT]);

enum mlt_rest_outcome {
    MLT_REST_DONE,   /* answered */
    MLT_REST_RETRY,  /* no usable answer: the same again, later */
    MLT_REST_REFUSED /* answered with no: the next round of the schedule, nothing on demand */
};
/* True when a call on demand is given up here. */
bool mlt_rest_done(struct mlt_rest *rest, unsigned flight, enum mlt_rest_outcome outcome,
                   int64_t now_ns);

#endif
