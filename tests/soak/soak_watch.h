/*
 * The consumer of the soak: follows the live lane and the private lanes as anybody would, and
 * judges what comes: sequence, exchange ids, digests of an own book, trace id and stamps, how long
 * it took. It is told what is subscribed, so that it knows when something may be missing. Memory
 * is bounded: histograms and counters, one own book an instrument. Any thread.
 */
#ifndef MELTICA_SOAK_WATCH_H
#define MELTICA_SOAK_WATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "follow.h"
#include "latency.h"
#include "meltica/bus/bus.h"
#include "meltica/event/event.h"
#include "storm_truth.h"

#define SOAK_SYMBOLS_MAX 64u
#define SOAK_LANES_MAX 128u
/* Dispatch table: what flows from the beginning, and routes for what is subscribed later. The poll
 * of `depth` comes each so many ms. */
#define SOAK_TABLE(poll_ms)                                                                        \
    "{\"version\":1,\"routes\":["                                                                  \
    "{\"type\":\"TICKER\",\"ws\":\"{symbol}@ticker\"},"                                            \
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                                           \
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"                                              \
    "{\"type\":\"AGG_TRADE\",\"ws\":\"{symbol}@aggTrade\"},"                                       \
    "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_{interval}\",\"intervals\":[\"1m\"]},"            \
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"                                   \
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"                  \
    "\"interval_ms\":" poll_ms "}},"                                                               \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"   \
    "\"subscriptions\":["                                                                          \
    "{\"id\":\"tickers\",\"type\":\"TICKER\",\"instruments\":[\"*\"]},"                            \
    "{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]},"                                \
    "{\"id\":\"snapshots\",\"type\":\"BOOK_SNAPSHOT\",\"instruments\":[\"*\"]}]}"
#define SOAK_KINDS 4u
/* Kinds of latency. */
enum soak_kind { SOAK_FRAME, SOAK_POLL, SOAK_BOOK, SOAK_LANE };
extern const char *const soak_kind_names[SOAK_KINDS];

/* Polls are not missed before so long after the warm-up: books are deepened first, which takes the
 * weight of minutes. */
#define SOAK_POLLS_LATER_NS (300 * MLT_NS_PER_S)

struct soak_channel {
    bool seen;
    uint64_t epoch, sequence, events;
    int64_t last_id, received_ns, came_ns; /* of its last event; came_ns: here, wall clock */
};

/* Who wants a stream on the shared channel. Times of the wall clock, as stamps are; 0: none. */
struct soak_demand {
    unsigned holders, asking, ending; /* subscriptions in force; requests on their way */
    int64_t in_force_ns;              /* without a break since then */
    int64_t asked_ns, asked_mono_ns;  /* of a request whose first event is awaited */
    int64_t ended_ns;                 /* nobody wants it since then */
};

struct soak_instrument {
    struct soak_channel channels[MLT_EVENT_TYPE_COUNT];
    struct soak_demand demands[MLT_EVENT_TYPE_COUNT];
    struct mlt_follow *follow;
    bool live, was_live;
    int64_t live_since_ns, live_ns; /* monotonic; summed up to live_since_ns */
    uint64_t events, gaps, stales, resyncs, polls;
    uint64_t true_books, wrong_books; /* compared with the exchange's own */
    struct storm_book book;           /* the last LIVE one; id 0: none */
};

struct soak_lane {
    char id[64]; /* of the subscription; "": free */
    enum mlt_event_type type;
    struct soak_channel channels[SOAK_SYMBOLS_MAX];
};

struct soak_losses {
    uint64_t sequence_holes, exchange_gaps, lost_notices, epoch_ends_unknown, lane_holes, repeats;
    uint64_t foreign, dropped_here;
    char first[200]; /* what the first of them was; "": none */
};

struct soak_watch {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* after each event */
    /* What else is to be done with an event of the shared channel, under the lock; NULL: nothing.
     */
    void (*look)(void *ctx, const struct mlt_event *event);
    void *ctx;
    struct mlt_bus *bus;
    struct mlt_bus_subscription *shared, *lanes;
    struct mlt_arena arena, lane_arena;
    unsigned symbols;
    struct soak_instrument instruments[SOAK_SYMBOLS_MAX];
    struct soak_lane lane[SOAK_LANES_MAX];
    struct soak_losses losses;
    uint64_t withheld; /* sequences of times when nobody wanted their stream */
    uint64_t events, lane_events, notices, by_type[MLT_EVENT_TYPE_COUNT];
    uint64_t made_inside; /* events whose way began in the Conductor or the Data Bus */
    uint64_t traced, untraced, untraced_by_type[MLT_EVENT_TYPE_COUNT];
    char first_untraced[256]; /* "": none */
    uint64_t source_downs;    /* STATUS: lines of the exchange that ended, by instrument */
    char first_source_down[96];
    uint64_t after_end; /* events that left after their end was confirmed */
    bool warm;          /* durations and shares count from now on */
    int64_t warm_ns;    /* monotonic; since when */
    int64_t warm_wall_ns;
    struct mlt_latency latency, kinds[SOAK_KINDS], first_event;
    uint64_t timed, within_1s;
    int64_t last_event_ns, longest_silence_ns; /* monotonic */
    /* The longest that a stream said nothing while somebody wanted it, and which. */
    int64_t stream_silence_ns;
    char quietest_stream[64];
    enum mlt_status failure; /* of the check itself */
};

/* Connects and listens; SOAK_TABLE is what flows. look and ctx are the caller's to set before, all
 * else is set here. Fails the program (cmocka) where there is no server. */
void soak_watch_start(struct soak_watch *watch, const char *nats_url, unsigned symbols);
/* The same without a connection; what comes is handed in. */
void soak_watch_open(struct soak_watch *watch, unsigned symbols);
/* An event of the shared channel, or of a private one with its subject; under the lock. now_ns:
 * wall clock, when it came. */
void soak_watch_event(struct soak_watch *watch, const struct mlt_event *event, int64_t now_ns);
void soak_watch_lane_event(struct soak_watch *watch, const char *subject,
                           const struct mlt_event *event, int64_t now_ns);
/* Counts the silence up to now too: what ended for good has no next event. */
void soak_watch_last_look(struct soak_watch *watch, int64_t now_ns);
/* Has a last look and listens no more; what was counted stays. */
void soak_watch_end(struct soak_watch *watch);
void soak_watch_free(struct soak_watch *watch);
void soak_watch_warm(struct soak_watch *watch);

/* A shared subscription: before the request, and after its answer. mask: bit per symbol. */
void soak_watch_asking(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask);
void soak_watch_in_force(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask);
/* It did not come to be. */
void soak_watch_refused(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask);
void soak_watch_ending(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask);
void soak_watch_ended(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask,
                      bool confirmed);
void soak_watch_lane(struct soak_watch *watch, const char *id, enum mlt_event_type type);
void soak_watch_lane_end(struct soak_watch *watch, const char *id);

/* Whether every book is LIVE. */
bool soak_watch_live(struct soak_watch *watch);
/* A symbol's last BOOK that nobody took yet; false: none. */
bool soak_watch_take_book(struct soak_watch *watch, unsigned symbol, struct storm_book *to);
uint64_t soak_watch_lost(const struct soak_losses *losses);
/* Share of the time since the warm-up in which the book was LIVE, in millionths. Under the lock. */
uint64_t soak_watch_live_share(const struct soak_instrument *i, int64_t from_ns, int64_t now_ns);

#endif
