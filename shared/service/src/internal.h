/* What service.c, health.c, healthcheck.c and items.c share. Loop thread, but for what says
 * otherwise. */
#ifndef MELTICA_SERVICE_SRC_INTERNAL_H
#define MELTICA_SERVICE_SRC_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "meltica/rt/backoff.h"
#include "meltica/service/service.h"
#include "meltica/trace/trace.h"

#define SERVICE_NAME_BYTES_MAX 64u
#define SERVICE_REASON_BYTES_MAX 256u
#define SERVICE_ENDPOINTS_MAX 32u /* of a spec */
#define SERVICE_STATUS_BYTES_MAX 4096u
#define SERVICE_PATIENCE_MS_MAX 600000

struct service_config {
    char *nats_url, *nats_creds_file, *nats_nkey_file, *nats_user, *nats_password_file,
        *nats_token_file, *tls_ca_file, *tls_cert_file, *tls_key_file;
    char *instance, *provision, *stream_replicas, *http_host, *log_level;
    int64_t replica, replicas, partitions, http_port, drain_timeout_ms;
};

/* Checks what the table of items cannot. */
enum mlt_status mlt_service_check_config(const struct service_config *config,
                                         struct mlt_error *err) MLT_MUST_CHECK;

/* Asks /readyz of the service that listens where config says. E_CONFIG when that cannot be known;
 * any other failure: it is not ready, or not there. Main thread, before anything runs. */
enum mlt_status mlt_service_healthcheck(const struct service_config *config,
                                        struct mlt_error *err) MLT_MUST_CHECK;

enum bus_place { BUS_DATA, BUS_CONTROL, BUS_COUNT };

/* One of the two connections with its mirror in the metrics. */
struct bus_slot {
    struct mlt_service *service;
    struct mlt_bus *bus;
    struct mlt_gauge *connected;
    struct mlt_counter *reconnects, *disconnects, *attempts_failed, *published, *published_bytes,
        *received, *received_bytes, *dropped, *refused, *errors;
    struct mlt_gauge *unwritten, *waiting, *waiting_bytes, *waiting_max, *subscriptions_refused;
    /* A message to ourselves, one a second: what the way to the server and back takes. */
    struct mlt_histogram *echo;
    struct mlt_bus_subscription *echo_sub;
    char echo_subject[2 * SERVICE_NAME_BYTES_MAX];
};

enum service_phase { PHASE_STARTING, PHASE_RUNNING, PHASE_DRAINING };

/* One a process, in order of what belongs together.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct mlt_service {
    const struct mlt_service_spec *spec;
    char name[SERVICE_NAME_BYTES_MAX];           /* of the spec, with dashes: "data-bus" */
    char program[SERVICE_NAME_BYTES_MAX];        /* "meltica-data-bus" */
    char instance[SERVICE_NAME_BYTES_MAX];       /* "data-bus-0" */
    char client[2 * SERVICE_NAME_BYTES_MAX + 2]; /* "meltica-data-bus/data-bus-0" */
    char inbox[SERVICE_NAME_BYTES_MAX + 8];      /* "_INBOX.meltica-data-bus" */
    char boot_text[17];                          /* 16 hexadecimal digits */
    uint64_t boot;
    int64_t started_mono_ns;
    int argc;
    char **argv;

    struct service_config config;
    void *values; /* the spec's configuration */
    enum mlt_config_origin *origins;
    struct mlt_config_table tables[2];
    enum mlt_config_action action;

    struct mlt_loop *loop;
    struct mlt_metrics *metrics;
    struct mlt_trace_config trace_config;
    struct mlt_trace *trace; /* NULL: off */
    struct bus_slot buses[BUS_COUNT];
    void *state;
    bool state_made;

    enum service_phase phase;
    atomic_bool drain_asked, drained;
    atomic_llong drain_until_ns; /* monotonic; 0: nothing drains */
    atomic_int exit_status;
    atomic_bool deadline_passed;
    struct mlt_timer *drain_timer, *tick_timer, *micro_timer, *echo_timer;
    struct mlt_backoff micro_backoff;
    struct mlt_micro *micro;
    char *status_subject;
    struct mlt_micro_endpoint endpoints[SERVICE_ENDPOINTS_MAX + 1];

    struct mlt_gauge *ready_gauge;
    struct mlt_counter *drain_deadline_count, *replies_refused_count;
    bool ready;
    char missing[SERVICE_REASON_BYTES_MAX]; /* "" when ready */
    /* What the endpoint `status` answers, from a thread of the bus. */
    pthread_mutex_t status_lock;
    bool status_ready;
    char status_missing[SERVICE_REASON_BYTES_MAX];
    const char *status_word;
};

/* health.c */
enum mlt_status mlt_service_health_init(struct mlt_service *service) MLT_MUST_CHECK;
/* Asks what readiness depends on, says a change in the log, returns it. */
bool mlt_service_evaluate(struct mlt_service *service);
void mlt_service_http(void *ctx, const char *path, const char *query,
                      struct mlt_http_answer *answer);
/* echo.c: begins when both connections exist; ends before they do. */
enum mlt_status mlt_service_echo_start(struct mlt_service *service,
                                       struct mlt_error *err) MLT_MUST_CHECK;
void mlt_service_echo_stop(struct mlt_service *service);
/* Handler of the endpoint `status`. A thread of the bus. */
void mlt_service_status_endpoint(void *ctx, const struct mlt_bus_message *request,
                                 struct mlt_micro_request *to);
/* What micro STATS carries as data. A thread of the bus. */
void mlt_service_stats(void *ctx, struct mlt_buf *out);

#endif
