/*
 * The Adapter: the only service that knows Binance. Lines and REST calls in, native instances on
 * meltica.int.native.<pp> out, steered by the Dispatcher's plan. services/adapter/README.md has the
 * subjects, options and metrics.
 * Everything here belongs to the loop's thread but for control.c's handlers, which only copy.
 */
#ifndef MELTICA_ADAPTER_ADAPTER_H
#define MELTICA_ADAPTER_ADAPTER_H

#include <pthread.h>
#include <stdatomic.h>

#include "clock_offset.h"
#include "lines.h"
#include "meltica/bus/hop.h"
#include "meltica/http/http.h"
#include "meltica/service/hop_metrics.h"
#include "meltica/service/service.h"
#include "meltica/ws/ws.h"
#include "plans.h"
#include "pool.h"
#include "rest.h"
#include "standby.h"
#include "topics.h"

#define MLT_ADAPTER_MAIL_MAX 128u /* requests that wait for the loop */
#define MLT_ADAPTER_HOLD_MAX_NS INT64_C(2000000000)
#define MLT_ADAPTER_REASON_COUNT 12u
#define MLT_ADAPTER_ASKED_MAX 16u /* requests of commands that wait for their answer */

struct mlt_adapter_config {
    char *ws_url, *rest_url, *ca_file;
    int64_t streams_per_connection;
    bool spare_connection;
    int64_t line_copies;
    int64_t weight_share;
    char *egress; /* "": alone */
    int64_t egress_adapters;
    int64_t clock_interval_ms;
    int64_t listing_interval_ms, silent_after_ms, rest_timeout_ms;
    int64_t ws_silence_ms, ws_connect_timeout_ms;
    int64_t reconnect_base_ms, reconnect_max_ms, rollover_ms;
    int64_t ring_bytes;
    bool hot_standby;
};
#define MLT_ADAPTER_ITEM_COUNT 20
extern const struct mlt_config_item mlt_adapter_items[MLT_ADAPTER_ITEM_COUNT];
enum mlt_status mlt_adapter_check(const void *config, struct mlt_error *err);

struct mlt_adapter;

struct mlt_adapter_connection {
    struct mlt_adapter *adapter;
    uint32_t number;
    struct mlt_ws *ws; /* NULL: none */
};

struct mlt_adapter_call {
    struct mlt_adapter *adapter;
    unsigned flight;
};

/* A request that came on a thread of the bus, waiting for the loop. */
struct mlt_adapter_mail {
    bool fetch; /* else a plan */
    char reply[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    uint8_t *bytes; /* owned */
    size_t len;
};

struct mlt_adapter_meters {
    struct mlt_counter *frames_data, *frames_answer, *frames_shutdown, *bytes;
    struct mlt_counter *instances[MLT_EVENT_TYPE_COUNT];
    struct mlt_counter *unparsed[MLT_ADAPTER_REASON_COUNT + 1]; /* the last one: other words */
    struct mlt_counter *failures, *not_handed_on, *holds, *mail_dropped, *plans_applied,
        *plans_refused, *listings, *fetches;
    struct mlt_counter *rest_ok[MLT_REST_FUNCTION_COUNT];
    struct mlt_gauge *lines_up, *mail_most;
    /* Of shared weight, NULL without. */
    struct mlt_counter *weight_granted, *weight_refused, *weight_away, *weight_conflicts,
        *weight_reserved, *weight_returned;
    struct mlt_gauge *weight_block, *weight_egress, *weight_shared, *weight_adapters;
    /* Of each line, for STATS: state, topics, age in s in one word. */
    _Atomic uint64_t lines[MLT_LINES_MAX];
    struct mlt_histogram *adapt, *rest;
    struct mlt_hop_sender_metrics hop;
    bool line_used[MLT_LINES_MAX]; /* it has series */
};

/* A request to the exchange that a command led to. */
struct mlt_adapter_asked {
    int64_t id; /* 0: free */
    uint32_t line;
    int64_t begin_ns; /* wall */
    struct mlt_trace_context parent;
};

/* While a plan is applied. */
struct mlt_adapter_plan_trace {
    bool active;
    struct mlt_trace_context parent;
    int64_t begin_ns;
    uint32_t wanted;
};

struct mlt_adapter {
    struct mlt_service *service;
    const struct mlt_adapter_config *config;
    struct mlt_loop *loop;
    struct mlt_bus *data, *control;
    struct mlt_metrics *metrics;
    struct mlt_trace *trace; /* NULL: off */
    struct mlt_hop_sender *sender;
    struct mlt_http_client *http;
    struct mlt_timer *lines_timer, *rest_timer, *second_timer, *listing_timer, *hold_timer,
        *status_timer;
    struct mlt_bus_subscription *plan_subscription, *fetch_subscription;

    struct mlt_binance_decoder *decoder;
    struct mlt_binance_symbols *symbols; /* never NULL; empty until exchangeInfo was read */
    int64_t listed_at_ns;                /* wall: completion of the answer in force */
    size_t listing_next;                 /* next symbol to announce */
    uint64_t trace_prefix, trace_seed, trace_count;
    struct mlt_trace_context command; /* span of the last plan that a command changed */
    int64_t command_until_ns;         /* monotonic: then nothing is its doing any more */
    struct mlt_adapter_asked asked[MLT_ADAPTER_ASKED_MAX]; /* ring */
    unsigned asked_next;

    struct mlt_adapter_meters meters;
    struct mlt_plans plans;
    struct mlt_topics topics;
    struct mlt_lines lines;
    uint64_t attempts_held_said; /* counters.attempts_held at the last look */
    int64_t attempts_said_ns;    /* monotonic; 0: never */
    struct mlt_governor governor;
    struct mlt_pool *pool;    /* of the address; NULL: this Adapter is alone */
    int64_t told_block_ns;    /* the refusal of the exchange that others know of; monotonic */
    int64_t weight_again_ns;  /* the ledger could not be reached: no question before; monotonic */
    int64_t crowded_since_ns; /* more Adapters than egress_adapters; 0: not; monotonic */
    bool weight_shared, weight_said, crowded_said;
    struct mlt_rest rest;
    struct mlt_clock_offset clock; /* of the exchange */
    struct mlt_adapter_connection connections[MLT_LINES_MAX];
    struct mlt_adapter_call calls[MLT_REST_FLIGHT_MAX];
    struct mlt_buf status_bytes;

    pthread_mutex_t mail_lock;
    struct mlt_adapter_mail mail[MLT_ADAPTER_MAIL_MAX]; /* ring */
    unsigned mail_first, mail_count;

    uint32_t partitions;
    uint32_t home;   /* the first partition that is ours: of what names no instrument */
    uint64_t speaks; /* bit p: for these; without a hot standby all that are ours, for ever */
    struct mlt_standby *standby; /* NULL: without */
    uint32_t listing_route;
    char line_url[512];
    char plan_reason[48]; /* why the last plan was not applied; "": it was */
    bool mail_posted;     /* under mail_lock */
    bool listed;
    bool listing_doubted; /* the last answer lacked most of what is listed */
    bool trim;            /* give memory back at the next second */
    bool held, forced;    /* reading is stopped; it goes on although there is no room */
    bool draining, drained;
    bool stopped; /* only what lines that are still open refer to is left */
    atomic_bool room_posted;
};

/* ---- frames.c ---- */
bool mlt_adapter_speaks(const struct mlt_adapter *adapter, uint32_t partition);
/* Whether it also knows that no other one does: one that slept may not. */
bool mlt_adapter_answers(const struct mlt_adapter *adapter, uint32_t partition);
/* Whether this Adapter answers for that instrument; "", what names none: the first one does. */
bool mlt_adapter_mine(const struct mlt_adapter *adapter, struct mlt_slice token);
/* Fills what is not the decoder's and hands the instance to the hop; what is another Adapter's goes
 * nowhere. Of a partition that is held what came by a line is kept there, and the rest goes
 * nowhere.
 */
void mlt_adapter_hand_on(struct mlt_adapter *adapter, struct mlt_native_event *event);
void mlt_adapter_frame(struct mlt_adapter *adapter, uint32_t line, char *data, size_t len,
                       int64_t received_ns);
void mlt_adapter_source(struct mlt_adapter *adapter, const struct mlt_topic_instrument *instrument,
                        bool down, const char *reason);
/* Stops reading while the hop is congested; mlt_adapter_release goes on. */
void mlt_adapter_hold(struct mlt_adapter *adapter);
void mlt_adapter_release(struct mlt_adapter *adapter);
/* Callback of the hop, on the bus's thread. */
void mlt_adapter_on_room(void *ctx);
void mlt_adapter_hold_expired(void *ctx);

/* ---- connections.c ---- */
enum mlt_status mlt_adapter_lines_start(struct mlt_adapter *adapter, struct mlt_error *err);
void mlt_adapter_lines_turn(void *ctx); /* and sets its timer */
void mlt_adapter_pause_lines(struct mlt_adapter *adapter, bool paused);
/* The last step of stop: frees the adapter, now or when its last line ends with the loop. */
void mlt_adapter_free(struct mlt_adapter *adapter);

/* ---- calls.c ---- */
enum mlt_status mlt_adapter_rest_start(struct mlt_adapter *adapter, struct mlt_error *err);
void mlt_adapter_rest_turn(void *ctx); /* makes the calls that are due and sets its timer */

/* ---- weight.c ---- */
enum mlt_status mlt_adapter_weight_start(struct mlt_adapter *adapter, struct mlt_error *err);
/* Asks for what the governor needs, says what others should know. After each turn of REST. */
void mlt_adapter_weight_turn(struct mlt_adapter *adapter);
void mlt_adapter_weight_second(struct mlt_adapter *adapter);

/* ---- listing.c ---- */
/* A body of exchangeInfo: symbols change, plans are read again, INSTRUMENT instances follow.
 * asked_ns: monotonic, when it was asked for. */
enum mlt_status mlt_adapter_listing_read(struct mlt_adapter *adapter, struct mlt_slice body,
                                         int64_t asked_ns, int64_t completed_ns,
                                         struct mlt_error *err);
/* It is read soon, not more often than each 10 s; at mlt_adapter_rest_turn. */
void mlt_adapter_listing_again(struct mlt_adapter *adapter);
void mlt_adapter_listing_announce(struct mlt_adapter *adapter); /* all of them, from the first */
void mlt_adapter_listing_step(void *ctx);

/* ---- control.c ---- */
enum mlt_status mlt_adapter_control_start(struct mlt_adapter *adapter, struct mlt_error *err);
void mlt_adapter_control_stop(struct mlt_adapter *adapter);
/* Reads the plans in force with the symbols in force. */
void mlt_adapter_plans_again(struct mlt_adapter *adapter);
void mlt_adapter_status_changed(struct mlt_adapter *adapter); /* soon, once for many changes */
void mlt_adapter_status_publish(void *ctx);

/* ---- meters.c ---- */
void mlt_adapter_meters_make(struct mlt_adapter *adapter);
void mlt_adapter_unparsed(struct mlt_adapter *adapter, struct mlt_slice reason);
void mlt_adapter_rest_failed(struct mlt_adapter *adapter, enum mlt_rest_function function,
                             const char *reason);
/* Mirrors what the loop counts; once a second, on the loop. */
void mlt_adapter_meter_lines(struct mlt_adapter *adapter);
/* The gauges of the exchange's clock; none where nothing is known any more. */
void mlt_adapter_meter_clock(struct mlt_metrics *metrics, const struct mlt_clock_offset *clock,
                             int64_t mono_ns, int64_t wall_ns);
void mlt_adapter_collect(void *state);
void mlt_adapter_stats(void *state, struct mlt_buf *out);

/* ---- traces.c ---- */
/* Before and after a plan is applied. */
void mlt_adapter_trace_plan(struct mlt_adapter *adapter, const Meltica__V1__NativePlan *plan,
                            struct mlt_adapter_plan_trace *t);
void mlt_adapter_trace_planned(struct mlt_adapter *adapter, const Meltica__V1__NativePlan *plan,
                               const struct mlt_adapter_plan_trace *t, enum mlt_status status);
/* A request leaves on a line; its answer is here, and the line has not heard it yet. */
void mlt_adapter_trace_asked(struct mlt_adapter *adapter, uint32_t line);
void mlt_adapter_trace_answered(struct mlt_adapter *adapter, uint32_t line, int64_t id,
                                const char *error);

/* ---- adapter.c ---- */
/* Part of draining: closes the lines, with SOURCE_DOWN where it speaks. */
void mlt_adapter_end_lines(struct mlt_adapter *adapter);
extern const struct mlt_service_spec mlt_adapter_spec;

#endif
