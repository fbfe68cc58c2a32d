/* The life of a service. The order of its start is the list `steps` at the end of this file. */
#include "internal.h"

#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meltica/base/check.h"
#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

#define EXIT_DRAINED 0
#define EXIT_FAILED 1
#define EXIT_CONFIG 2
#define BUS_DRAIN_NS (1 * MLT_NS_PER_S)
#define TRACE_FLUSH_NS (1 * MLT_NS_PER_S)
/* No event tells that the service's own ready() changed: it is asked, often while something is
 * missing. */
#define TICK_MISSING_NS (100 * MLT_NS_PER_MS)
#define TICK_READY_NS (1 * MLT_NS_PER_S)
#define MICRO_RETRY_FLOOR_NS (100 * MLT_NS_PER_MS)
#define MICRO_RETRY_MAX_NS (5 * MLT_NS_PER_S)
#define IGNORED_BYTES_MAX 1024u

/* ---- end ---- */

/* What the signal handlers of a second signal do once the loop no longer runs. */
static void end_at_once(int signal_number)
{
    (void)signal_number;
    _exit(EXIT_FAILED);
}

/* From here on a signal ends the process without the loop, which has ended. */
static void take_signals_directly(void)
{
    struct sigaction action = { .sa_handler = end_at_once };
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void mlt_service_cut_short(struct mlt_service *service)
{
    if (!atomic_exchange(&service->deadline_passed, true)) {
        mlt_counter_add(service->drain_deadline_count, 1);
        mlt_log(MLT_LOG_WARN, "drain_deadline", "the drain is cut short: something may be lost",
                MLT_I("drain_timeout_ms", service->config.drain_timeout_ms));
    }
}

static void on_drain_deadline(void *ctx)
{
    struct mlt_service *service = ctx;
    mlt_service_cut_short(service);
    mlt_loop_stop(service->loop);
}

static void begin_drain(void *ctx)
{
    struct mlt_service *service = ctx;
    if (service->phase == PHASE_DRAINING) {
        return;
    }
    service->phase = PHASE_DRAINING;
    (void)mlt_service_evaluate(service);
    mlt_log(MLT_LOG_INFO, "draining", "no more work is taken, what is in hand leaves",
            MLT_I("drain_timeout_ms", service->config.drain_timeout_ms));
    const int64_t patience_ns = service->config.drain_timeout_ms * MLT_NS_PER_MS;
    mlt_timer_start(service->drain_timer, patience_ns);
    atomic_store(&service->drain_until_ns, mlt_clock_mono_ns() + patience_ns);
    atomic_store(&service->drain_asked, true);
    if (service->spec->drain != NULL) {
        service->spec->drain(service->state);
    } else {
        mlt_service_drained(service);
    }
}

void mlt_service_drained(struct mlt_service *service)
{
    if (atomic_load(&service->drain_asked) && !atomic_exchange(&service->drained, true)) {
        mlt_loop_stop(service->loop);
    }
}

void mlt_service_fail(struct mlt_service *service, const char *event, const char *text)
{
    mlt_log(MLT_LOG_ERROR, event, text, MLT_S("boot", service->boot_text));
    atomic_store(&service->exit_status, EXIT_FAILED);
    if (mlt_loop_post(service->loop, begin_drain, service) != MLT_OK) {
        mlt_loop_stop(service->loop); /* too busy to drain */
    }
}

static void on_signal(void *ctx, int signal_number)
{
    struct mlt_service *service = ctx;
    mlt_log(MLT_LOG_INFO, "signal",
            signal_number == SIGHUP ? "reserved: nothing is done" : "the service is asked to end",
            MLT_I("number", signal_number));
    if (signal_number == SIGHUP) {
        return;
    }
    if (service->phase == PHASE_DRAINING) {
        mlt_log(MLT_LOG_WARN, "ended_at_once", "a second signal: the drain is not waited for",
                MLT_I("number", signal_number));
        _exit(EXIT_FAILED);
    }
    begin_drain(service);
}

/* ---- micro service ---- */

static const char *micro_name(const struct mlt_service *service)
{
    return service->spec->micro_name != NULL ? service->spec->micro_name : service->program;
}

static void start_micro(void *ctx)
{
    struct mlt_service *service = ctx;
    struct mlt_error err = MLT_ERROR_INIT;
    char partitions[8], replicas[8];
    if (service->micro != NULL || service->phase != PHASE_RUNNING ||
        !mlt_bus_connected(service->buses[BUS_CONTROL].bus)) {
        return; /* a change of the connection brings it here again */
    }
    (void)snprintf(partitions, sizeof partitions, "%" PRId64, service->config.partitions);
    (void)snprintf(replicas, sizeof replicas, "%" PRIu32, mlt_service_provision_replicas(service));
    const struct mlt_micro_pair metadata[] = { { "instance", service->instance },
                                               { "boot", service->boot_text },
                                               { "partitions", partitions },
                                               { "stream_replicas", replicas } };
    const struct mlt_micro_options options = {
        .name = micro_name(service),
        .version = MELTICA_VERSION,
        .description = service->spec->description,
        .metadata = metadata,
        .metadata_count = sizeof metadata / sizeof metadata[0],
        .stats = mlt_service_stats,
        .ctx = service,
    };
    const enum mlt_status status =
        mlt_micro_start(service->buses[BUS_CONTROL].bus, &options, service->endpoints,
                        service->spec->endpoint_count + 1, &service->micro, &err);
    if (status == MLT_OK) {
        mlt_backoff_reset(&service->micro_backoff);
        /* Who reads that it is ready may ask it at once: a round trip later the server knows its
         * subscriptions. Without an answer the connection is lost, and with it readiness. */
        (void)mlt_bus_rtt_ns(service->buses[BUS_CONTROL].bus);
        mlt_log(MLT_LOG_INFO, "micro_registered", "the service answers $SRV",
                MLT_S("name", micro_name(service)));
        return;
    }
    service->micro = NULL;
    const int64_t wait = mlt_backoff_next_ns(&service->micro_backoff);
    mlt_log(MLT_LOG_WARN, "micro_failed", err.text, MLT_S("status", mlt_status_word(status)),
            MLT_I("retry_ms", wait / MLT_NS_PER_MS));
    mlt_timer_start(service->micro_timer, wait);
}

static void make_endpoints(struct mlt_service *service, const char *status_subject)
{
    /* A service whose own endpoint is called status keeps the name for it. */
    bool taken = false;
    for (size_t i = 0; i < service->spec->endpoint_count; i++) {
        taken = taken || strcmp(service->spec->endpoints[i].name, "status") == 0;
    }
    service->endpoints[0] = (struct mlt_micro_endpoint){
        .name = taken ? "service_status" : "status",
        .subject = status_subject,
        .queue = "", /* every instance tells of itself */
        .handler = mlt_service_status_endpoint,
        .ctx = service,
    };
    for (size_t i = 0; i < service->spec->endpoint_count; i++) {
        service->endpoints[i + 1] = service->spec->endpoints[i];
        service->endpoints[i + 1].ctx = service->state;
    }
}

/* ---- connections ---- */

static void on_bus_change(void *ctx)
{
    struct mlt_service *service = ctx;
    if (service->phase == PHASE_RUNNING) {
        start_micro(service);
        (void)mlt_service_evaluate(service);
    }
}

/* A thread of the bus, or ours inside of mlt_bus_connect. */
static void on_bus_state(void *ctx, bool connected, const char *reason)
{
    struct bus_slot *slot = ctx;
    if (!connected && reason != NULL && strcmp(reason, "closed for good") == 0) {
        mlt_service_fail(slot->service, "nats_closed",
                         "NATS closed a connection for good: check credentials and permissions");
        return;
    }
    if (mlt_loop_post(slot->service->loop, on_bus_change, slot->service) != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "loop_full", "a change of the connection is seen with the next tick",
                MLT_B("connected", connected));
    }
}

static void on_tick(void *ctx)
{
    struct mlt_service *service = ctx;
    for (size_t i = 0; i < BUS_COUNT && service->phase == PHASE_RUNNING; i++) {
        mlt_bus_listen_again(service->buses[i].bus, MLT_BUS_LISTEN_AGAIN_NS);
    }
    const bool ready = mlt_service_evaluate(service);
    if (service->phase == PHASE_RUNNING) {
        mlt_timer_start(service->tick_timer, ready ? TICK_READY_NS : TICK_MISSING_NS);
    }
}

void mlt_service_bus_options(const struct mlt_service *service, struct mlt_bus_options *out)
{
    const struct service_config *c = &service->config;
    *out = (struct mlt_bus_options){
        .kind = MLT_BUS_CONTROL,
        .url = c->nats_url,
        .creds_file = c->nats_creds_file,
        .nkey_seed_file = c->nats_nkey_file,
        .user = c->nats_user,
        .password_file = c->nats_password_file,
        .token_file = c->nats_token_file,
        .tls_ca_file = c->tls_ca_file,
        .tls_cert_file = c->tls_cert_file,
        .tls_key_file = c->tls_key_file,
        .inbox_prefix = service->inbox,
    };
}

/* ---- start ---- */

static enum mlt_status step_signals(struct mlt_service *service, struct mlt_error *err)
{
    (void)service;
    return mlt_signals_block() == MLT_OK
               ? MLT_OK
               : mlt_error_set(err, MLT_E_INTERNAL, "the kernel refuses the signal mask");
}

static enum mlt_status step_config(struct mlt_service *service, struct mlt_error *err)
{
    const struct mlt_service_spec *spec = service->spec;
    const size_t count = mlt_service_item_count + spec->item_count;
    service->values = calloc(1, spec->config_bytes > 0 ? spec->config_bytes : 1);
    service->origins = calloc(count, sizeof *service->origins);
    if (service->values == NULL || service->origins == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the configuration");
    }
    service->tables[0] = (struct mlt_config_table){ mlt_service_items, mlt_service_item_count,
                                                    &service->config, service->origins };
    service->tables[1] = (struct mlt_config_table){ spec->items, spec->item_count, service->values,
                                                    service->origins + mlt_service_item_count };
    enum mlt_status status = mlt_config_load(service->tables, 2, service->argc, service->argv,
                                             environ, &service->action, err);
    if (status != MLT_OK || service->action == MLT_CONFIG_PRINT ||
        service->action >= MLT_CONFIG_HEALTHCHECK) {
        return status; /* who looks for a mistake must see the values before they are judged */
    }
    status = mlt_service_check_config(&service->config, err);
    if (status == MLT_OK && spec->check != NULL) {
        status = spec->check(service->values, err);
    }
    if (status == MLT_OK) {
        status = mlt_trace_config_load(environ, service->program, &service->trace_config, err);
    }
    return status;
}

static void add_ignored(void *ctx, const char *variable)
{
    char *names = ctx;
    const size_t len = strlen(names);
    (void)snprintf(names + len, IGNORED_BYTES_MAX - len, "%s%s", len > 0 ? " " : "", variable);
}

static enum mlt_status step_log(struct mlt_service *service, struct mlt_error *err)
{
    char ignored[IGNORED_BYTES_MAX] = "";
    enum mlt_log_level level = MLT_LOG_INFO;
    if (mlt_log_parse_level(service->config.log_level, &level) != MLT_OK) {
        return mlt_error_set(err, MLT_E_INTERNAL, "log_level has a choice that the log lacks");
    }
    if (service->config.instance[0] != '\0') {
        (void)snprintf(service->instance, sizeof service->instance, "%s", service->config.instance);
    } else {
        (void)snprintf(service->instance, sizeof service->instance, "%.40s-%" PRId64, service->name,
                       service->config.replica);
    }
    (void)snprintf(service->client, sizeof service->client, "%s/%s", service->program,
                   service->instance);
    mlt_log_init(service->name, service->instance, level);
    mlt_log(MLT_LOG_INFO, "starting", service->spec->description, MLT_S("version", MELTICA_VERSION),
            MLT_S("boot", service->boot_text));
    mlt_config_ignored(service->tables, 2, environ, add_ignored, ignored);
    if (ignored[0] != '\0') {
        mlt_log(MLT_LOG_INFO, "variables_ignored", "variables that this service does not know",
                MLT_S("names", ignored));
    }
    return MLT_OK;
}

static enum mlt_status step_metrics(struct mlt_service *service, struct mlt_error *err)
{
    return mlt_service_health_init(service) == MLT_OK
               ? MLT_OK
               : mlt_error_set(err, MLT_E_NOMEM, "no memory for the metrics");
}

static enum mlt_status step_traces(struct mlt_service *service, struct mlt_error *err)
{
    const struct mlt_trace_options options = { .instance = service->instance,
                                               .metrics = service->metrics };
    const enum mlt_status status =
        mlt_trace_create(&service->trace_config, &options, &service->trace, err);
    if (service->trace != NULL) {
        mlt_log(MLT_LOG_INFO, "traces", "spans go to a collector",
                MLT_S("endpoint", service->trace_config.shown));
    }
    return status;
}

static enum mlt_status step_loop(struct mlt_service *service, struct mlt_error *err)
{
    enum mlt_status status = mlt_loop_create(&service->loop, err);
    if (status == MLT_OK) {
        status = mlt_loop_on_signal(service->loop, on_signal, service, err);
    }
    if (status == MLT_OK &&
        (mlt_timer_create(service->loop, on_drain_deadline, service, &service->drain_timer) !=
             MLT_OK ||
         mlt_timer_create(service->loop, on_tick, service, &service->tick_timer) != MLT_OK ||
         mlt_timer_create(service->loop, start_micro, service, &service->micro_timer) != MLT_OK)) {
        status = mlt_error_set(err, MLT_E_NOMEM, "no memory for timers");
    }
    return status;
}

static enum mlt_status step_http(struct mlt_service *service, struct mlt_error *err)
{
    uint16_t port = 0;
    const enum mlt_status status = mlt_loop_listen_http(service->loop, service->config.http_host,
                                                        (uint16_t)service->config.http_port,
                                                        mlt_service_http, service, &port, err);
    if (status == MLT_OK) {
        mlt_log(MLT_LOG_INFO, "listening", "HTTP serves /livez, /readyz and /metrics",
                MLT_S("host", service->config.http_host), MLT_U("port", port));
    }
    return status;
}

static enum mlt_status step_buses(struct mlt_service *service, struct mlt_error *err)
{
    for (size_t i = 0; i < BUS_COUNT; i++) {
        struct mlt_bus_options options;
        struct bus_slot *slot = &service->buses[i];
        slot->service = service;
        mlt_service_bus_options(service, &options);
        options.kind = i == BUS_DATA ? MLT_BUS_DATA : MLT_BUS_CONTROL;
        options.name = service->client;
        options.on_state = on_bus_state;
        options.ctx = slot;
        const enum mlt_status status = mlt_bus_connect(&options, &slot->bus, err);
        if (status != MLT_OK) {
            slot->bus = NULL;
            return status;
        }
    }
    return MLT_OK;
}

static enum mlt_status step_service(struct mlt_service *service, struct mlt_error *err)
{
    if (service->spec->start != NULL) {
        const enum mlt_status status =
            service->spec->start(service, service->values, &service->state, err);
        if (status != MLT_OK) {
            return status;
        }
    }
    service->state_made = true;
    return MLT_OK;
}

static enum mlt_status step_micro(struct mlt_service *service, struct mlt_error *err)
{
    char subject[2 * SERVICE_NAME_BYTES_MAX];
    if (service->spec->endpoint_count > SERVICE_ENDPOINTS_MAX) {
        return mlt_error_set(err, MLT_E_LIMIT, "more than %u endpoints", SERVICE_ENDPOINTS_MAX);
    }
    (void)snprintf(subject, sizeof subject, MLT_BUS_PREFIX_INT ".status.%s", service->name);
    service->status_subject = strdup(subject);
    if (service->status_subject == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for endpoints");
    }
    make_endpoints(service, service->status_subject);
    service->phase = PHASE_RUNNING;
    start_micro(service);
    return MLT_OK;
}

static enum mlt_status step_ready(struct mlt_service *service, struct mlt_error *err)
{
    (void)err;
    on_tick(service);
    return MLT_OK;
}

static const struct {
    const char *name;
    enum mlt_status (*run)(struct mlt_service *service, struct mlt_error *err);
} steps[] = {
    { "signals", step_signals },
    { "configuration", step_config },
    { "log", step_log },
    { "metrics", step_metrics },
    { "traces", step_traces },
    { "loop", step_loop },
    { "http", step_http },
    { "nats", step_buses },
    { "service", step_service },
    { "micro", step_micro },
    { "echo", mlt_service_echo_start },
    { "ready", step_ready },
};
#define STEP_COUNT (sizeof steps / sizeof steps[0])

/* ---- actions that end before anything runs ---- */

static void print_ignored(void *ctx, const char *variable)
{
    (void)fprintf(ctx, "# ignored: %s\n", variable);
}

static enum mlt_status act(struct mlt_service *service, struct mlt_error *err)
{
    const struct mlt_service_spec *spec = service->spec;
    switch (service->action) {
    case MLT_CONFIG_PRINT:
        mlt_config_print(service->tables, 2, stdout);
        mlt_config_ignored(service->tables, 2, environ, print_ignored, stdout);
        break;
    case MLT_CONFIG_CHECK:
        (void)printf("configuration is good\n");
        break;
    case MLT_CONFIG_HEALTHCHECK:
        return mlt_service_healthcheck(&service->config, err);
    case MLT_CONFIG_HELP:
        mlt_config_help(service->tables, 2, service->program, spec->description, stdout);
        break;
    case MLT_CONFIG_VERSION:
        (void)printf("%s %s\n", service->program, MELTICA_VERSION);
        break;
    case MLT_CONFIG_DOCS:
        (void)printf("## %s\n\n%s\n\n", service->program, spec->description);
        if (spec->item_count > 0) {
            mlt_config_docs(&service->tables[1], 1, stdout);
        } else {
            (void)printf("No keys of its own.\n");
        }
        (void)printf("\n");
        break;
    case MLT_CONFIG_RUN:
        break;
    }
    return MLT_OK;
}

/* ---- the whole ---- */

static int exit_status_of(enum mlt_status status)
{
    return status == MLT_E_CONFIG ? EXIT_CONFIG : EXIT_FAILED;
}

static int start(struct mlt_service *service)
{
    for (size_t i = 0; i < STEP_COUNT; i++) {
        struct mlt_error err = MLT_ERROR_INIT;
        enum mlt_status status = steps[i].run(service, &err);
        if (status != MLT_OK) {
            mlt_log(MLT_LOG_ERROR, "start_failed", err.text, MLT_S("step", steps[i].name),
                    MLT_S("status", mlt_status_word(status)));
            return exit_status_of(status);
        }
        if (service->action != MLT_CONFIG_RUN) {
            status = act(service, &err);
            if (status == MLT_OK) {
                return EXIT_DRAINED;
            }
            mlt_log(MLT_LOG_ERROR, "healthcheck_failed", err.text,
                    MLT_S("status", mlt_status_word(status)));
            return exit_status_of(status);
        }
    }
    return EXIT_DRAINED;
}

static int run(struct mlt_service *service)
{
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_loop_run(service->loop, &err) != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "loop_failed", err.text, MLT_S("boot", service->boot_text));
        return EXIT_FAILED;
    }
    return atomic_load(&service->exit_status);
}

/* In reverse; each part may be missing. The endpoints' context is the service's state: they end
 * before it does. False: what was in hand could not all leave. */
static bool tear_down(struct mlt_service *service)
{
    mlt_micro_stop_within(service->micro, mlt_service_drain_left_ns(service));
    if (service->state_made && service->spec->stop != NULL) {
        service->spec->stop(service->state);
    }
    const bool drained = !atomic_load(&service->deadline_passed);
    service->state_made = false;
    mlt_service_echo_stop(service);
    for (size_t i = BUS_COUNT; i-- > 0;) {
        mlt_bus_destroy(service->buses[i].bus, BUS_DRAIN_NS);
    }
    mlt_timer_destroy(service->micro_timer);
    mlt_timer_destroy(service->tick_timer);
    mlt_timer_destroy(service->drain_timer);
    mlt_loop_destroy(service->loop);
    mlt_trace_destroy(service->trace, TRACE_FLUSH_NS);
    mlt_trace_config_fini(&service->trace_config);
    mlt_metrics_destroy(service->metrics);
    if (service->tables[0].items != NULL) {
        mlt_config_fini(service->tables, 2);
    }
    free(service->status_subject);
    free(service->origins);
    free(service->values);
    (void)pthread_mutex_destroy(&service->status_lock);
    free(service);
    return drained;
}

static struct mlt_service *service_new(const struct mlt_service_spec *spec, int argc, char **argv)
{
    struct mlt_service *service = calloc(1, sizeof *service);
    if (service == NULL || pthread_mutex_init(&service->status_lock, NULL) != 0) {
        free(service);
        return NULL;
    }
    service->spec = spec;
    service->argc = argc;
    service->argv = argv;
    service->boot = mlt_random64();
    service->started_mono_ns = mlt_clock_mono_ns();
    service->status_word = "starting";
    (void)snprintf(service->missing, sizeof service->missing, "starting");
    atomic_init(&service->drain_asked, false);
    atomic_init(&service->drained, false);
    atomic_init(&service->drain_until_ns, 0);
    atomic_init(&service->exit_status, EXIT_DRAINED);
    atomic_init(&service->deadline_passed, false);
    mlt_backoff_init(&service->micro_backoff, MICRO_RETRY_FLOOR_NS, MICRO_RETRY_FLOOR_NS,
                     MICRO_RETRY_MAX_NS, service->boot);
    (void)snprintf(service->boot_text, sizeof service->boot_text, "%016" PRIx64, service->boot);
    (void)snprintf(service->name, sizeof service->name, "%.40s", spec->name);
    for (char *p = strchr(service->name, '_'); p != NULL; p = strchr(p, '_')) {
        *p = '-';
    }
    (void)snprintf(service->program, sizeof service->program, "meltica-%.40s", service->name);
    /* Its user need not hear what the others are answered; below _INBOX, where services answer. */
    (void)snprintf(service->inbox, sizeof service->inbox, "_INBOX.%.50s", service->program);
    return service;
}

/* glibc keeps what a rare large thing (a 10 MB frame, a listing) needed: freeing one raises the
 * size from which memory goes back to the kernel. Fixed limits keep a service's memory flat. A
 * limit that is refused costs memory, nothing else. */
#define LARGE_BYTES (256 << 10)
#define KEPT_BYTES (1 << 20)
#define ARENAS 2

static void keep_memory_flat(void)
{
    if (mallopt(M_MMAP_THRESHOLD, LARGE_BYTES) != 1 || mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) != 1 ||
        mallopt(M_ARENA_MAX, ARENAS) != 1) {
        mlt_log(MLT_LOG_WARN, "malloc_limits", "the allocator takes no limits",
                MLT_I("large_bytes", LARGE_BYTES));
    }
}

int mlt_service_main(const struct mlt_service_spec *spec, int argc, char **argv)
{
    struct mlt_service *service = service_new(spec, argc, argv);
    if (service == NULL) {
        return EXIT_FAILED;
    }
    mlt_log_init(service->name, "", MLT_LOG_INFO);
    keep_memory_flat();
    int status = start(service);
    const bool started = status == EXIT_DRAINED && service->action == MLT_CONFIG_RUN;
    if (started) {
        status = run(service);
    }
    take_signals_directly();
    const bool drained = tear_down(service);
    status = started && !drained ? EXIT_FAILED : status;
    if (started) {
        mlt_log(MLT_LOG_INFO, "stopped", "the service has ended", MLT_I("status", status));
    }
    return status;
}

/* ---- what the service sees ---- */

struct mlt_loop *mlt_service_loop(struct mlt_service *service)
{
    return service->loop;
}

struct mlt_bus *mlt_service_data_bus(struct mlt_service *service)
{
    return service->buses[BUS_DATA].bus;
}

struct mlt_bus *mlt_service_control_bus(struct mlt_service *service)
{
    return service->buses[BUS_CONTROL].bus;
}

struct mlt_metrics *mlt_service_metrics(struct mlt_service *service)
{
    return service->metrics;
}

struct mlt_trace *mlt_service_trace(struct mlt_service *service)
{
    return service->trace;
}

const char *mlt_service_instance(const struct mlt_service *service)
{
    return service->instance;
}

uint64_t mlt_service_boot(const struct mlt_service *service)
{
    return service->boot;
}

uint32_t mlt_service_partitions(const struct mlt_service *service)
{
    return (uint32_t)service->config.partitions;
}

uint32_t mlt_service_replica(const struct mlt_service *service)
{
    return (uint32_t)service->config.replica;
}

uint32_t mlt_service_replicas(const struct mlt_service *service)
{
    return (uint32_t)service->config.replicas;
}

int64_t mlt_service_drain_left_ns(const struct mlt_service *service)
{
    const int64_t until_ns = atomic_load(&service->drain_until_ns);
    const int64_t left_ns = until_ns != 0 ? until_ns - mlt_clock_mono_ns()
                                          : service->config.drain_timeout_ms * MLT_NS_PER_MS;
    return left_ns > 0 ? left_ns : 0;
}

uint32_t mlt_service_provision_replicas(const struct mlt_service *service)
{
    return strcmp(service->config.provision, "app") == 0
               ? (uint32_t)(service->config.stream_replicas[0] - '0') /* 1|3|5 */
               : 0;
}
