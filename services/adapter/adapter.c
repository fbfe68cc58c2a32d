#include "adapter.h"

#include <malloc.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

#define FLUSH_NS MLT_NS_PER_S
#define FIRST_STATUS_NS (100 * MLT_NS_PER_MS) /* a Dispatcher that waits sees it soon */

static void on_second(void *ctx)
{
    struct mlt_adapter *adapter = ctx;
    const int64_t now = mlt_clock_mono_ns();
    if (mlt_topics_watch(&adapter->topics,
                         now - adapter->config->silent_after_ms * MLT_NS_PER_MS)) {
        mlt_log(MLT_LOG_INFO, "topics_silent", "topics were acknowledged and send nothing",
                MLT_I("silent_after_ms", adapter->config->silent_after_ms));
    }
    const size_t mute = mlt_topics_find_mute(
        &adapter->topics, now - adapter->config->silent_after_ms * MLT_NS_PER_MS);
    if (mute > 0) {
        mlt_log(MLT_LOG_WARN, "copies_mute",
                "topics come by one of their two lines only: they are subscribed once more on the "
                "other one",
                MLT_U("topics", mute));
    }
    if (mlt_lines_remind(&adapter->lines, adapter->config->silent_after_ms * MLT_NS_PER_MS, now)) {
        mlt_adapter_lines_turn(adapter);
    }
    if (adapter->trim) {
        adapter->trim = false;
        (void)malloc_trim(0);
    }
    mlt_adapter_listing_step(adapter);
    mlt_adapter_status_publish(adapter);
    mlt_adapter_weight_second(adapter);
    mlt_adapter_meter_lines(adapter);
    mlt_timer_start(adapter->second_timer, MLT_NS_PER_S);
}

static enum mlt_status make_timers(struct mlt_adapter *adapter)
{
    const struct {
        struct mlt_timer **timer;
        void (*fn)(void *ctx);
    } timers[] = {
        { &adapter->lines_timer, mlt_adapter_lines_turn },
        { &adapter->rest_timer, mlt_adapter_rest_turn },
        { &adapter->second_timer, on_second },
        { &adapter->listing_timer, mlt_adapter_listing_step },
        { &adapter->hold_timer, mlt_adapter_hold_expired },
        { &adapter->status_timer, mlt_adapter_status_publish },
    };
    enum mlt_status status = MLT_OK;
    for (size_t i = 0; i < sizeof timers / sizeof timers[0] && status == MLT_OK; i++) {
        status = mlt_timer_create(adapter->loop, timers[i].fn, adapter, timers[i].timer);
    }
    return status;
}

static void stop_timers(struct mlt_adapter *adapter)
{
    struct mlt_timer *const timers[] = { adapter->lines_timer,  adapter->rest_timer,
                                         adapter->second_timer, adapter->listing_timer,
                                         adapter->hold_timer,   adapter->status_timer };
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        if (timers[i] != NULL) {
            mlt_timer_stop(timers[i]);
        }
    }
}

static void destroy_timers(struct mlt_adapter *adapter)
{
    mlt_timer_destroy(adapter->lines_timer);
    mlt_timer_destroy(adapter->rest_timer);
    mlt_timer_destroy(adapter->second_timer);
    mlt_timer_destroy(adapter->listing_timer);
    mlt_timer_destroy(adapter->hold_timer);
    mlt_timer_destroy(adapter->status_timer);
}

static enum mlt_status make_sender(struct mlt_adapter *adapter, struct mlt_error *err)
{
    const struct mlt_hop_sender_options options = {
        .service = "adapter",
        .subject = "meltica.int.native",
        .partitions = adapter->partitions,
        .boot = mlt_service_boot(adapter->service),
        .ring_bytes = (size_t)adapter->config->ring_bytes,
        .partition_mask = adapter->plans.mine,
        .held_mask = adapter->plans.mine & ~adapter->speaks,
    };
    const enum mlt_status status =
        mlt_hop_sender_create(adapter->data, &options, &adapter->sender, err);
    if (status != MLT_OK) {
        return status;
    }
    mlt_hop_on_room(adapter->sender, mlt_adapter_on_room, adapter);
    /* Whatever came between the last process's end and this one's first element is lost. */
    for (uint32_t p = 0; p < adapter->partitions; p++) {
        if (mlt_adapter_speaks(adapter, p)) {
            mlt_hop_mark_lost(adapter->sender, p);
        }
    }
    return MLT_OK;
}

/* Replica i of N has the partitions p with p mod N = i. With a hot standby each has all, and speaks
 * for none before it has claimed it. */
static enum mlt_status share_partitions(struct mlt_adapter *adapter, struct mlt_error *err)
{
    const uint32_t replicas = mlt_service_replicas(adapter->service);
    adapter->home = mlt_service_replica(adapter->service);
    adapter->plans.mine = 0;
    if (adapter->config->hot_standby && replicas > 1) {
        adapter->home = 0;
        adapter->plans.mine = UINT64_MAX >> (MLT_SLOT_COUNT - adapter->partitions);
        return MLT_OK;
    }
    if (adapter->config->hot_standby) {
        mlt_log(MLT_LOG_WARN, "no_standby",
                "hot_standby is of no use to one Adapter: begin two, with --replicas 2",
                MLT_U("replicas", replicas));
    }
    for (uint32_t p = adapter->home; p < adapter->partitions; p += replicas) {
        adapter->plans.mine |= UINT64_C(1) << p;
    }
    adapter->speaks = adapter->plans.mine;
    return adapter->plans.mine != 0
               ? MLT_OK
               : mlt_error_set(err, MLT_E_CONFIG,
                               "more replicas than partitions: this one has nothing to bring");
}

static enum mlt_status make_pipeline(struct mlt_adapter *adapter, struct mlt_error *err)
{
    mlt_plans_init(&adapter->plans, adapter->partitions);
    mlt_topics_init(&adapter->topics, adapter->partitions);
    enum mlt_status status = mlt_binance_decoder_create(&adapter->decoder);
    if (status == MLT_OK) {
        status = mlt_binance_symbols_parse(MLT_SLICE_LITERAL("{\"symbols\":[]}"), &adapter->symbols,
                                           NULL, NULL, err);
    }
    if (status == MLT_OK) {
        status = make_timers(adapter);
    }
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "adapter: no memory to start");
    }
    status = share_partitions(adapter, err);
    if (status == MLT_OK) {
        status = make_sender(adapter, err);
    }
    if (status == MLT_OK) {
        status = mlt_adapter_lines_start(adapter, err);
    }
    if (status == MLT_OK) {
        status = mlt_adapter_rest_start(adapter, err);
    }
    if (status == MLT_OK) {
        status = mlt_adapter_control_start(adapter, err);
    }
    return status == MLT_OK && adapter->speaks == 0 ? mlt_standby_start(adapter, err) : status;
}

static void stop(void *state)
{
    struct mlt_adapter *adapter = state;
    adapter->draining = true;
    mlt_standby_destroy(adapter->standby);
    mlt_adapter_control_stop(adapter);
    mlt_pool_destroy(adapter->pool);
    mlt_http_client_destroy(adapter->http);
    if (adapter->sender != NULL) {
        mlt_hop_sender_destroy(adapter->sender, FLUSH_NS);
    }
    destroy_timers(adapter);
    mlt_lines_fini(&adapter->lines);
    mlt_rest_fini(&adapter->rest);
    mlt_topics_fini(&adapter->topics);
    mlt_plans_fini(&adapter->plans);
    mlt_binance_symbols_destroy(adapter->symbols);
    mlt_binance_decoder_destroy(adapter->decoder);
    mlt_buf_fini(&adapter->status_bytes);
    (void)pthread_mutex_destroy(&adapter->mail_lock);
    mlt_adapter_free(adapter);
}

static enum mlt_status start(struct mlt_service *service, const void *config, void **state,
                             struct mlt_error *err)
{
    struct mlt_adapter *adapter = calloc(1, sizeof *adapter);
    if (adapter == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "adapter: no memory to start");
    }
    adapter->service = service;
    adapter->config = config;
    adapter->loop = mlt_service_loop(service);
    adapter->data = mlt_service_data_bus(service);
    adapter->control = mlt_service_control_bus(service);
    adapter->metrics = mlt_service_metrics(service);
    adapter->trace = mlt_service_trace(service);
    adapter->partitions = mlt_service_partitions(service);
    adapter->trace_prefix = mlt_random64();
    adapter->trace_seed = mlt_random64();
    (void)pthread_mutex_init(&adapter->mail_lock, NULL);
    mlt_adapter_meters_make(adapter);
    const enum mlt_status status = make_pipeline(adapter, err);
    if (status != MLT_OK) {
        stop(adapter);
        return status;
    }
    *state = adapter;
    mlt_adapter_lines_turn(adapter);
    mlt_adapter_rest_turn(adapter);
    mlt_timer_start(adapter->second_timer, FIRST_STATUS_NS);
    return MLT_OK;
}

void mlt_adapter_end_lines(struct mlt_adapter *adapter)
{
    mlt_lines_stop(&adapter->lines);
    mlt_adapter_lines_turn(adapter); /* says drained when nothing is open */
}

static void drain(void *state)
{
    struct mlt_adapter *adapter = state;
    if (adapter->draining) {
        return;
    }
    if (adapter->held) { /* a line that is not read does not close */
        mlt_adapter_release(adapter);
    }
    adapter->draining = true;
    stop_timers(adapter);
    mlt_adapter_control_stop(adapter);
    if (adapter->standby != NULL) {
        mlt_standby_drain(adapter->standby);
    } else {
        mlt_adapter_end_lines(adapter);
    }
}

static bool ready(void *state, const char **reason)
{
    const struct mlt_adapter *adapter = state;
    if (!adapter->listed) {
        *reason = "exchangeInfo not read yet";
    } else if (adapter->standby != NULL) {
        *reason = mlt_standby_lacks(adapter->standby);
    }
    return *reason == NULL;
}

const struct mlt_service_spec mlt_adapter_spec = {
    .name = "adapter",
    .description = "Binance market data in, native instances out",
    .items = mlt_adapter_items,
    .item_count = MLT_ADAPTER_ITEM_COUNT,
    .config_bytes = sizeof(struct mlt_adapter_config),
    .check = mlt_adapter_check,
    .start = start,
    .drain = drain,
    .stop = stop,
    .ready = ready,
    .collect = mlt_adapter_collect,
    .stats = mlt_adapter_stats,
};
