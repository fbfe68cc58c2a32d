/*
 * The Adapter between a simulated exchange and a real nats-server, with this test in the
 * Dispatcher's place: it sends the plan and takes the native batches. Processes have free ports and
 * end by their id with rig_stop, or with the test should it die.
 */
#ifndef MELTICA_TEST_ADAPTER_RIG_H
#define MELTICA_TEST_ADAPTER_RIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "http_stub.h"
#include "meltica/base/buf.h"
#include "meltica/bus/hop.h"
#include "meltica/v1/internal.pb-c.h"

#define RIG_ARGUMENTS_MAX 24u
#define RIG_PARTITIONS 4u
#define RIG_WAIT_NS INT64_C(20000000000)

struct rig_process {
    pid_t pid;
    int said;
    pthread_t reader;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char port[16];
    bool ended;
    char words[8192]; /* last output */
    size_t words_len;
};

/* What the receiver saw. */
struct rig_seen {
    uint64_t by_type[MLT_EVENT_TYPE_COUNT], unparsed;
    uint64_t batches, lost_before, malformed;
    uint64_t order_faults; /* positions that do not follow each other */
    int64_t last_bbo, last_trade, last_delta;
    uint64_t trade_holes; /* ids that never came, twins allowed */
    int64_t highest_trade;
    uint64_t sources_down, sources_up, snapshots_scheduled, tickers_rest;
    uint64_t missing; /* instances without route, stamps or trace id where they must have them */
    uint32_t depth, deepest; /* as asked for: of the last snapshot, of any */
    int64_t snapshot_at[64]; /* monotonic times of the first snapshots */
    size_t snapshot_levels;
    char unparsed_reason[32], source_reason[32];
};

struct rig {
    struct rig_process nats, exchange, adapter;
    char nats_url[64], rest_url[64],
        ws_url[64]; /* rest_url: kept where it is set before the start */
    struct mlt_bus *data, *control;
    struct mlt_hop_receiver *receiver;
    struct mlt_bus_subscription *statuses;
    struct mlt_arena arena;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct rig_seen seen;
    uint64_t status_count;  /* PlanStatus heard */
    int64_t stall_until_ns; /* the receiver stands still until then (monotonic) */
};

/* A REST host of the test's own: script answers each request, on a thread. */
struct rig_stub {
    struct http_stub http;
    char port[16], headers[256], body[4096];
    /* Fills status, extra headers ("Retry-After: 2\r\n") and body. */
    void (*script)(void *ctx, const char *path, int *status, char *headers, char *body,
                   size_t size);
    void *ctx;
};
void rig_stub_start(struct rig_stub *stub);
void rig_stub_stop(struct rig_stub *stub);

/* Options of the simulator and of the Adapter (besides the addresses), NULL-terminated. */
void rig_start(struct rig *rig, const char *const *exchange, const char *const *adapter);
void rig_stop(struct rig *rig);
/* The exchange dies and comes back on the same port. */
void rig_restart_exchange(struct rig *rig, const char *const *exchange);
/* The NATS server dies and comes back on the same port. */
void rig_restart_nats(struct rig *rig);
/* The process stands still (SIGSTOP) when it returns; only an end by rig_stop is left to it. */
void rig_freeze(struct rig_process *process);
/* Waits until the process has said the text; it must be among its last words. */
void rig_await_words(struct rig_process *process, const char *text);
/* Waits for a PlanStatus that comes after the call. */
void rig_await_status(struct rig *rig);
/* SIGTERM; the exit status. */
int rig_end_adapter(struct rig *rig);

struct rig_route {
    uint32_t route;
    const char *topic, *function;
    uint32_t interval_ms, limit;
};
/* The plan of every partition with the instruments on all routes; repeated until it is applied. */
void rig_plan(struct rig *rig, uint64_t revision, const struct rig_route *routes, size_t count,
              const char *const *instruments, size_t instrument_count);
/* One part as it is; the answer. Caller frees. */
Meltica__V1__PlanStatus *rig_plan_part(struct rig *rig, Meltica__V1__NativePlan *plan);
/* meltica.int.fetch; the reason, "" when accepted. Static storage. */
const char *rig_fetch(struct rig *rig, const char *function, const char *instrument,
                      uint32_t limit);

/* The same, as of a priority; rig_fetch's is that of depth. */
const char *rig_fetch_as(struct rig *rig, const char *function, const char *instrument,
                         uint32_t limit, Meltica__V1__Priority priority);

/* Waits until test(seen) holds; fails with the processes' last words otherwise. */
void rig_wait(struct rig *rig, bool (*test)(const struct rig_seen *seen, uint64_t value),
              uint64_t value, const char *what);
struct rig_seen rig_seen(struct rig *rig);

/* Body of GET on 127.0.0.1:port. */
void rig_get(const char *port, const char *path, struct mlt_buf *body, int *status);
/* Sum of the metric's series whose labels contain label. */
uint64_t rig_metric(struct rig *rig, const char *name, const char *label);

#endif
