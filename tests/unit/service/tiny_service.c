/* A service for the tests of the skeleton: its options make it behave well or badly. */
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "meltica/service/service.h"

struct config {
    char *gate_file, *start, *stop;
    int64_t drain_ms;
};

struct state {
    const struct config *config;
    struct mlt_service *service;
    struct mlt_timer *timer;
    struct mlt_counter *collected;
};

static const struct mlt_config_item items[] = {
    { "gate_file", MLT_CONFIG_STRING, offsetof(struct config, gate_file), "", 0, 0, NULL, "", false,
      "Ready only while this file exists." },
    { "start", MLT_CONFIG_CHOICE, offsetof(struct config, start), "well", 0, 0,
      "well|config|fail|unchecked", "", false, "How the start goes." },
    { "stop", MLT_CONFIG_CHOICE, offsetof(struct config, stop), "well", 0, 0, "well|never", "",
      false, "How the stop goes." },
    { "drain_ms", MLT_CONFIG_INT, offsetof(struct config, drain_ms), "0", -1, 60000, NULL, "ms",
      false, "How long the drain takes; -1 is for ever." },
};

static enum mlt_status check(const void *config, struct mlt_error *err)
{
    const struct config *c = config;
    return strcmp(c->start, "unchecked") != 0
               ? MLT_OK
               : mlt_error_set(err, MLT_E_CONFIG, "start: unchecked does not go; use well");
}

static void on_drained(void *ctx)
{
    struct state *state = ctx;
    mlt_service_drained(state->service);
}

static enum mlt_status start(struct mlt_service *service, const void *config, void **out,
                             struct mlt_error *err)
{
    const struct config *c = config;
    if (strcmp(c->start, "well") != 0) {
        return mlt_error_set(err, strcmp(c->start, "config") == 0 ? MLT_E_CONFIG : MLT_E_IO,
                             "the start goes badly");
    }
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL ||
        mlt_timer_create(mlt_service_loop(service), on_drained, state, &state->timer) != MLT_OK) {
        free(state);
        return mlt_error_set(err, MLT_E_NOMEM, "no memory");
    }
    state->config = c;
    state->service = service;
    state->collected = mlt_metrics_counter(mlt_service_metrics(service),
                                           "meltica_tiny_collected_total", "Collects", NULL);
    mlt_log(MLT_LOG_INFO, "tiny_started", "start",
            MLT_S("instance_name", mlt_service_instance(service)),
            MLT_U("partition_count", mlt_service_partitions(service)),
            MLT_U("provision_replicas", mlt_service_provision_replicas(service)),
            MLT_B("boot_is_set", mlt_service_boot(service) != 0),
            MLT_B("buses", mlt_service_data_bus(service) != NULL &&
                               mlt_service_control_bus(service) != NULL));
    *out = state;
    return MLT_OK;
}

static void drain(void *ctx)
{
    struct state *state = ctx;
    mlt_log(MLT_LOG_INFO, "tiny_drain", "drain", MLT_I("drain_ms", state->config->drain_ms));
    if (state->config->drain_ms == 0) {
        mlt_service_drained(state->service);
    } else if (state->config->drain_ms > 0) {
        mlt_timer_start(state->timer, state->config->drain_ms * MLT_NS_PER_MS);
    }
}

static void stop(void *ctx)
{
    struct state *state = ctx;
    mlt_log(MLT_LOG_INFO, "tiny_stop", "stop", MLT_S("how", state->config->stop));
    if (strcmp(state->config->stop, "never") == 0) {
        sem_t never;
        (void)sem_init(&never, 0, 0);
        while (sem_wait(&never) != 0) {
        }
    }
    mlt_timer_destroy(state->timer);
    free(state);
}

static bool ready(void *ctx, const char **reason)
{
    const struct state *state = ctx;
    *reason = "gate";
    return state->config->gate_file[0] == '\0' || access(state->config->gate_file, F_OK) == 0;
}

static void collect(void *ctx)
{
    struct state *state = ctx;
    mlt_counter_add(state->collected, 1);
}

static void stats(void *ctx, struct mlt_buf *out)
{
    const struct state *state = ctx;
    (void)!mlt_buf_printf(out, "{\"collected\":%llu}",
                          (unsigned long long)mlt_counter_get(state->collected));
}

static void on_fail(void *ctx, const struct mlt_bus_message *request, struct mlt_micro_request *to)
{
    struct state *state = ctx;
    (void)request;
    (void)!mlt_micro_respond(to, MLT_SLICE_LITERAL("failing"), 0, NULL);
    mlt_service_fail(state->service, "tiny_outbid", "another one owns it");
}

static const struct mlt_micro_endpoint endpoints[] = {
    { .name = "fail", .subject = "meltica.test.tiny.fail", .handler = on_fail },
};

int main(int argc, char **argv)
{
    const struct mlt_service_spec spec = {
        .name = "tiny_one",
        .description = "a service for tests",
        .items = items,
        .item_count = sizeof items / sizeof items[0],
        .config_bytes = sizeof(struct config),
        .check = check,
        .start = start,
        .drain = drain,
        .stop = stop,
        .ready = ready,
        .collect = collect,
        .stats = stats,
        .endpoints = endpoints,
        .endpoint_count = 1,
    };
    return mlt_service_main(&spec, argc, argv);
}
