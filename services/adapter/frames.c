/* The data path: a frame's instances go to the hop, without an allocation. */
#include "adapter.h"

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

struct frame {
    struct mlt_adapter *adapter;
    int64_t received_ns;
    int64_t adapted_ns; /* 0: not taken yet; one a frame is exact enough */
    uint32_t line;
};

/* 128 bits that no other process and no other instance has. */
static void make_trace_id(struct mlt_adapter *adapter, uint8_t out[MLT_TRACE_ID_BYTES])
{
    const uint64_t low = mlt_mix64(adapter->trace_seed + ++adapter->trace_count);
    memcpy(out, &adapter->trace_prefix, 8);
    memcpy(out + 8, &low, 8);
}

static bool is_mine(const struct mlt_adapter *adapter, uint32_t partition)
{
    return (adapter->plans.mine >> partition & 1) != 0;
}

bool mlt_adapter_speaks(const struct mlt_adapter *adapter, uint32_t partition)
{
    return (adapter->speaks >> partition & 1) != 0;
}

bool mlt_adapter_answers(const struct mlt_adapter *adapter, uint32_t partition)
{
    return mlt_adapter_speaks(adapter, partition) &&
           (adapter->standby == NULL || mlt_standby_in_touch(adapter->standby));
}

bool mlt_adapter_mine(const struct mlt_adapter *adapter, struct mlt_slice token)
{
    return mlt_adapter_answers(
        adapter, token.len > 0 ? mlt_instrument_slot(token) % adapter->partitions : 0);
}

/* Of a partition that another Adapter speaks for only what came by a line may be missing there; how
 * lines stand, and what is listed, is said anew by whoever takes over. */
static bool worth_holding(const struct mlt_native_event *event)
{
    return event->type != MLT_EVENT_STATUS && event->rest_function.len == 0;
}

void mlt_adapter_hand_on(struct mlt_adapter *adapter, struct mlt_native_event *event)
{
    const uint32_t partition = event->instrument.len > 0
                                   ? mlt_instrument_slot(event->instrument) % adapter->partitions
                                   : adapter->home;
    if (!is_mine(adapter, partition)) {
        return; /* what tells of all instruments: exchangeInfo, ticker/24hr */
    }
    const bool held = !mlt_adapter_speaks(adapter, partition);
    if (held && !worth_holding(event)) {
        return;
    }
    make_trace_id(adapter, event->trace_id);
    event->trace_flags = held ? 0 : mlt_trace_begin_native(adapter->trace, event);
    const size_t bytes = mlt_native_encoded_size(event);
    uint8_t *out = NULL;
    const enum mlt_status status = mlt_hop_begin(adapter->sender, partition, bytes, &out);
    if (status != MLT_OK) {
        mlt_counter_add(adapter->meters.not_handed_on, 1);
        mlt_hop_mark_lost(adapter->sender, partition);
        mlt_log(MLT_LOG_ERROR, "not_handed_on", mlt_status_text(status),
                MLT_SL("instrument", event->instrument), MLT_U("bytes", bytes));
        return;
    }
    (void)mlt_native_encode(event, out);
    mlt_hop_end(adapter->sender, partition);
    if (held) {
        return; /* not handed on, as long as the other one lives */
    }
    if (event->trace_flags != 0) {
        mlt_trace_native(adapter->trace, event, mlt_clock_wall_ns());
    }
    if (event->type < MLT_EVENT_TYPE_COUNT) {
        mlt_counter_add(adapter->meters.instances[event->type], 1);
    } else {
        mlt_adapter_unparsed(adapter, event->u.unparsed.reason);
    }
}

static void on_instance(void *ctx, const struct mlt_binance_symbol *symbol, struct mlt_slice stream,
                        struct mlt_native_event *event)
{
    struct frame *frame = ctx;
    struct mlt_adapter *adapter = frame->adapter;
    (void)symbol;
    if (frame->adapted_ns == 0) {
        frame->adapted_ns = mlt_clock_wall_ns();
    }
    struct mlt_topic *topic = mlt_topics_find(&adapter->topics, stream);
    if (topic != NULL) {
        event->route = topic->route;
        if (!topic->seen || topic->watched) {
            mlt_lines_seen(&adapter->lines, topic, frame->line);
        }
    }
    event->received = frame->received_ns;
    event->adapted = frame->adapted_ns;
    mlt_adapter_hand_on(adapter, event);
}

static void on_answer(struct mlt_adapter *adapter, uint32_t line,
                      const struct mlt_binance_frame *frame)
{
    const bool refused = frame->kind == MLT_FRAME_ERROR;
    mlt_counter_add(adapter->meters.frames_answer, 1);
    if (refused) {
        mlt_log(MLT_LOG_WARN, "request_refused", frame->error_text, MLT_U("line", line),
                MLT_I("id", frame->id), MLT_I("code", frame->error_code));
    }
    mlt_adapter_trace_answered(adapter, line, frame->has_id ? frame->id : 0,
                               refused ? frame->error_text : NULL);
    mlt_lines_answer(&adapter->lines, line, frame->has_id, frame->id,
                     refused ? frame->error_text : NULL, mlt_clock_mono_ns());
    mlt_adapter_lines_turn(adapter);
}

void mlt_adapter_frame(struct mlt_adapter *adapter, uint32_t line, char *data, size_t len,
                       int64_t received_ns)
{
    struct frame context = { .adapter = adapter, .received_ns = received_ns, .line = line };
    struct mlt_binance_frame frame;
    mlt_counter_add(adapter->meters.bytes, len);
    const enum mlt_status status =
        mlt_binance_decode_frame(adapter->decoder, data, len, MLT_BINANCE_MS_NS, adapter->symbols,
                                 on_instance, &context, &frame);
    if (status != MLT_OK) {
        /* Ours, not the frame's: no memory. What it held is lost on every partition it may be of.
         */
        mlt_counter_add(adapter->meters.failures, 1);
        for (uint32_t p = 0; p < adapter->partitions; p++) {
            mlt_hop_mark_lost(adapter->sender, p);
        }
        return;
    }
    switch (frame.kind) {
    case MLT_FRAME_EVENTS:
        mlt_counter_add(adapter->meters.frames_data, 1);
        if (context.adapted_ns != 0) { /* it had an instance */
            mlt_histogram_record_ns(adapter->meters.adapt, context.adapted_ns - received_ns);
        }
        break;
    case MLT_FRAME_SERVER_SHUTDOWN:
        mlt_counter_add(adapter->meters.frames_shutdown, 1);
        mlt_log(MLT_LOG_INFO, "server_shutdown", "the exchange announced the end of a line",
                MLT_U("line", line));
        mlt_lines_server_shutdown(&adapter->lines, line, mlt_clock_mono_ns());
        mlt_adapter_lines_turn(adapter);
        break;
    case MLT_FRAME_ACK:
    case MLT_FRAME_ERROR:
        on_answer(adapter, line, &frame);
        break;
    }
    if (adapter->lines.changed) {
        mlt_adapter_status_changed(adapter);
    }
    if (mlt_hop_congested(adapter->sender)) {
        mlt_adapter_hold(adapter);
    } else {
        adapter->forced = false;
    }
}

void mlt_adapter_source(struct mlt_adapter *adapter, const struct mlt_topic_instrument *instrument,
                        bool down, const char *reason)
{
    const int64_t now = mlt_clock_wall_ns();
    struct mlt_native_event event = { .instrument = mlt_slice_of_string(instrument->token),
                                      .type = MLT_EVENT_STATUS,
                                      .received = now,
                                      .adapted = now,
                                      .exchange = MLT_STAMP_UNKNOWN,
                                      .u.status = { .kind = down ? MLT_STATUS_SOURCE_DOWN
                                                                 : MLT_STATUS_SOURCE_UP,
                                                    .reason = mlt_slice_of_string(reason) } };
    mlt_adapter_hand_on(adapter, &event);
}

/* ---- back-pressure
 * -------------------------------------------------------------------------------- */

void mlt_adapter_hold(struct mlt_adapter *adapter)
{
    if (adapter->held || adapter->forced || adapter->draining) {
        return;
    }
    adapter->held = true;
    mlt_counter_add(adapter->meters.holds, 1);
    mlt_lines_paused(&adapter->lines);
    mlt_adapter_pause_lines(adapter, true);
    mlt_timer_start(adapter->hold_timer, MLT_ADAPTER_HOLD_MAX_NS);
}

void mlt_adapter_release(struct mlt_adapter *adapter)
{
    if (!adapter->held) {
        return;
    }
    adapter->held = false;
    mlt_timer_stop(adapter->hold_timer);
    mlt_lines_resumed(&adapter->lines, mlt_clock_mono_ns());
    mlt_adapter_pause_lines(adapter, false);
    mlt_timer_start(adapter->lines_timer, 0); /* what waited for the lines to be read */
}

/* The Dispatcher did not keep up for too long: reading goes on, and what does not fit into the ring
 * is lost and said to be. */
void mlt_adapter_hold_expired(void *ctx)
{
    struct mlt_adapter *adapter = ctx;
    adapter->forced = true;
    mlt_log(MLT_LOG_WARN, "hold_expired", "no room for 2 s: reading goes on, the ring may overrun",
            MLT_I("held_ms", MLT_ADAPTER_HOLD_MAX_NS / MLT_NS_PER_MS));
    mlt_adapter_release(adapter);
}

static void room(void *ctx)
{
    struct mlt_adapter *adapter = ctx;
    atomic_store(&adapter->room_posted, false);
    if (adapter->draining) {
        return;
    }
    adapter->forced = false;
    mlt_adapter_release(adapter);
    mlt_adapter_listing_step(adapter);
}

void mlt_adapter_on_room(void *ctx)
{
    struct mlt_adapter *adapter = ctx;
    if (!atomic_exchange(&adapter->room_posted, true) &&
        mlt_loop_post(adapter->loop, room, adapter) != MLT_OK) {
        atomic_store(&adapter->room_posted, false); /* the hold timer is the way out */
    }
}
