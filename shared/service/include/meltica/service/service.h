/*
 * The skeleton of all five services: configuration, log, metrics, health, loop, signals, the two
 * NATS connections, micro registration, graceful end. A service adds its pipeline and its own
 * table.
 *
 * Life: STARTING -> READY <-> NOT READY -> DRAINING -> STOPPED. SIGTERM or SIGINT begins DRAINING
 * (readiness false, drain() of the service, at most drain_timeout_ms), a second one ends at once.
 * /livez: the loop turns. /readyz: NATS connected and the service's own conditions (ready()); the
 * body names what is missing. /metrics: Prometheus text. /healthz is /livez.
 */
#ifndef MELTICA_SERVICE_SERVICE_H
#define MELTICA_SERVICE_SERVICE_H

#include "meltica/bus/bus.h"
#include "meltica/rt/config.h"
#include "meltica/rt/loop.h"
#include "meltica/rt/metrics.h"
#include "meltica/trace/trace.h"

struct mlt_service;

struct mlt_service_spec {
    /* "data_bus", at most 40 bytes; wherever it is seen it has dashes: the micro service is
     * meltica-data-bus. */
    const char *name;
    const char *micro_name; /* of the micro service where that must be another; NULL: as above */
    const char *description;
    const struct mlt_config_item *items; /* the service's own */
    size_t item_count;
    size_t config_bytes; /* size of its struct */

    /* Checks what a table cannot (files that parse, combinations); also run by --check-config.
     * NULL: nothing. */
    enum mlt_status (*check)(const void *config, struct mlt_error *err);
    /* Loop thread, once, before the loop runs: builds the pipeline. Both buses exist; NATS may be
     * away. *state is handed to the others. On failure it has cleaned up. */
    enum mlt_status (*start)(struct mlt_service *service, const void *config, void **state,
                             struct mlt_error *err);
    /* Loop thread: stop intake, let what is in hand leave. Calls mlt_service_drained when done (now
     * or later). NULL: nothing to drain. */
    void (*drain)(void *state);
    /* Thread of the loop, which has ended; after drain or its deadline; no endpoint runs any more,
     * the buses still live: free everything. */
    void (*stop)(void *state);
    /* Loop thread. True when the service can do its work; else *reason says what is missing in a
     * word or two. Asked ten times a second while something is missing, once a second else. NULL:
     * always. */
    bool (*ready)(void *state, const char **reason);
    /* Before each render of /metrics and STATS, loop thread or a thread of the bus: mirror counters
     * kept elsewhere. NULL: nothing. */
    void (*collect)(void *state);
    /* After each render of /metrics: appends families of what comes and goes (instruments,
     * subscriptions), whole ones, bounded. Loop thread. NULL: none. */
    enum mlt_status (*families)(void *state, struct mlt_buf *out);
    /* JSON object for `data` of micro STATS, after collect; a thread of the bus. NULL: {}. */
    void (*stats)(void *state, struct mlt_buf *out);
    /* Loop thread: pages of HTTP besides /livez, /healthz, /readyz and /metrics; false: there is
     * none of this path. NULL: no others. */
    bool (*page)(void *state, const char *path, struct mlt_http_answer *answer);
    /* Endpoints besides the ones that every service has ("status": what --json of health says). */
    const struct mlt_micro_endpoint *endpoints; /* ctx is replaced by state; at most 32 */
    size_t endpoint_count;
};

/* The whole main of a service; returns the exit status: 0 drained, 1 failed or the drain was cut
 * short (said in the log), 2 configuration. */
int mlt_service_main(const struct mlt_service_spec *spec, int argc, char **argv);

struct mlt_loop *mlt_service_loop(struct mlt_service *service);
struct mlt_bus *mlt_service_data_bus(struct mlt_service *service);
struct mlt_bus *mlt_service_control_bus(struct mlt_service *service);
struct mlt_metrics *mlt_service_metrics(struct mlt_service *service);
/* Lives until after stop(); NULL where no OTEL_* variable asks for traces. */
struct mlt_trace *mlt_service_trace(struct mlt_service *service);
const char *mlt_service_instance(const struct mlt_service *service); /* "adapter-0" */
uint64_t mlt_service_boot(const struct mlt_service *service);        /* random, never 0 */
uint32_t mlt_service_partitions(const struct mlt_service *service);
uint32_t mlt_service_replica(const struct mlt_service *service);  /* below replicas */
uint32_t mlt_service_replicas(const struct mlt_service *service); /* at least 1 */
/* Of each stream and bucket that is missing; 0: it makes none (provision external). */
uint32_t mlt_service_provision_replicas(const struct mlt_service *service);
/* Options for further connections of the service (credentials and TLS as configured); name must be
 * set by the caller. Strings live as long as the service. */
void mlt_service_bus_options(const struct mlt_service *service, struct mlt_bus_options *out);
/* What is left of drain_timeout_ms, 0 or more; all of it while nothing drains. Any thread. */
int64_t mlt_service_drain_left_ns(const struct mlt_service *service);
/* Something in hand could not leave while drain_timeout_ms lasted: it is said and counted once, and
 * the exit status will be 1. Until stop() returns. Any thread. */
void mlt_service_cut_short(struct mlt_service *service);
/* drain() is done: ends the loop. Any thread; nothing before drain() was called. */
void mlt_service_drained(struct mlt_service *service);
/* Ends the process with status 1 after a drain, for what cannot be mended while running (outbid by
 * another owner). Any thread. */
void mlt_service_fail(struct mlt_service *service, const char *event, const char *text);

/* Items of the skeleton itself, for documentation and tests. */
extern const struct mlt_config_item mlt_service_items[];
extern const size_t mlt_service_item_count;

#endif
