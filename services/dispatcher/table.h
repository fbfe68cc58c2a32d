/*
 * The dispatch table as dispatch.json gives it (docs/dispatch-table.md): which canonical type comes
 * from which native topic or REST function, under which policies, and the static subscriptions.
 * Immutable once parsed. Pure; any thread.
 */
#ifndef MELTICA_DISPATCHER_TABLE_H
#define MELTICA_DISPATCHER_TABLE_H

#include "meltica/base/error.h"
#include "meltica/event/demand.h"
#include "meltica/event/filter.h"
#include "meltica/event/pattern.h"

#define MLT_TABLE_FILE_BYTES_MAX                                                                   \
    (256u << 10)                    /* so that a Table message is below the bus's maximum */
#define MLT_TABLE_ROUTES_MAX 64u    /* after intervals are expanded */
#define MLT_TABLE_INTERVALS_MAX 20u /* of one KLINE route */
#define MLT_TABLE_FILTERS_MAX 16u   /* of one route */
#define MLT_TABLE_SUBSCRIPTIONS_MAX 1024u
#define MLT_TABLE_PATTERNS_MAX MLT_DEMAND_FILE_NAMES_MAX /* over all subscriptions */
#define MLT_TABLE_TOPIC_BYTES_MAX 63u
#define MLT_TABLE_FUNCTION_BYTES_MAX 31u
#define MLT_TABLE_INTERVAL_BYTES_MAX 15u
#define MLT_TABLE_TEXT_BYTES_MAX 63u /* a subscription's id */
#define MLT_TABLE_POLICY_BYTES_MAX 160u
#define MLT_TABLE_REST_INTERVAL_MS_MIN 1000
#define MLT_TABLE_REST_INTERVAL_MS_MAX 86400000
#define MLT_TABLE_REST_LIMIT_MAX 5000
#define MLT_TABLE_AGE_MS_MAX 3600000

/* What `discard` can name. Closed set. */
enum mlt_discard {
    MLT_DISCARD_ZERO,        /* TRADE, AGG_TRADE: price or quantity is zero */
    MLT_DISCARD_CROSSED,     /* BBO: both sides there and bid >= ask */
    MLT_DISCARD_STALE,       /* exchange stamp more than max_age_ms before received */
    MLT_DISCARD_NOT_TRADING, /* listing status known and not TRADING */
    MLT_DISCARD_COUNT
};
const char *mlt_discard_word(enum mlt_discard discard); /* static */

struct mlt_route {
    uint32_t number; /* from 1, in the order of the file */
    enum mlt_event_type type;
    char ws_topic[MLT_TABLE_TOPIC_BYTES_MAX + 1];         /* template with {symbol}; "" none */
    char rest_function[MLT_TABLE_FUNCTION_BYTES_MAX + 1]; /* "" none */
    uint32_t rest_interval_ms;                            /* 0: on demand only */
    uint32_t rest_limit;                                  /* 0: the function's default */
    char interval[MLT_TABLE_INTERVAL_BYTES_MAX + 1];      /* KLINE only, else "" */
    uint32_t discards;                                    /* bit per enum mlt_discard */
    int64_t stale_after_ns;
    bool enrich_notional;
    size_t filter_count; /* all of them must hold */
    struct mlt_filter filters[MLT_TABLE_FILTERS_MAX];
    const struct mlt_route *next_of_type; /* the next interval of KLINE; else NULL */
};

struct mlt_subscription {
    char id[MLT_TABLE_TEXT_BYTES_MAX + 1];
    enum mlt_event_type type;
    size_t pattern_count;
    char **patterns; /* TOKEN, BASE-*, *-QUOTE or * */
};

struct mlt_table {
    size_t route_count;
    struct mlt_route routes[MLT_TABLE_ROUTES_MAX];
    const struct mlt_route *first_of_type[MLT_EVENT_TYPE_COUNT]; /* NULL: the type is unmapped */
    size_t subscription_count;
    struct mlt_subscription *subscriptions;
};

/* Parses and checks a whole table. E_CONFIG with the JSON path, what is wrong and what would be
 * right in err; E_NOMEM. *out is the caller's to destroy. */
enum mlt_status mlt_table_parse(struct mlt_slice json, struct mlt_table **out,
                                struct mlt_error *err) MLT_MUST_CHECK;
/* As parse, of a file; its name goes before the text of err. E_CONFIG also for an unreadable file.
 */
enum mlt_status mlt_table_load(const char *path, struct mlt_table **out,
                               struct mlt_error *err) MLT_MUST_CHECK;
void mlt_table_destroy(struct mlt_table *table); /* NULL is fine */

/* Route of an instance; interval matters for KLINE only. NULL: none. */
const struct mlt_route *mlt_table_route(const struct mlt_table *table, enum mlt_event_type type,
                                        struct mlt_slice interval);

/* Types that leave where this one is subscribed, bit per enum mlt_event_type: itself, and for BOOK
 * also BOOK_DELTA, from which it is followed. */
uint32_t mlt_table_types_of(enum mlt_event_type type);
/* Types that this one is made of, which must have routes: itself, or for BOOK, which is derived,
 * BOOK_DELTA and, fetched on demand, BOOK_SNAPSHOT. */
uint32_t mlt_table_sources_of(enum mlt_event_type type);

/* Policies of a route as words for people ("discard:crossed", "filter:price ge 0.01",
 * "enrich:notional"), the i-th one; false after the last. out has MLT_TABLE_POLICY_BYTES_MAX. */
bool mlt_table_policy_text(const struct mlt_route *route, size_t i, char *out, size_t size);

/* What the message of the table takes at most of a subscription of the file, or of a live one
 * without what only those have; and of all routes and subscriptions of the file. */
size_t mlt_subscription_bytes(const struct mlt_subscription *subscription);
size_t mlt_table_bytes(const struct mlt_table *table);

#endif
