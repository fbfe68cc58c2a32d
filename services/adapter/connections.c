/* The sockets behind lines.h. */
#include "adapter.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

#define COLLECT_NS (200 * MLT_NS_PER_MS)
#define ACK_NS (700 * MLT_NS_PER_MS)
#define TOPIC_RETRY_NS (10 * MLT_NS_PER_S)
#define LINGER_NS (2 * MLT_NS_PER_S)

static void on_open(void *ctx)
{
    struct mlt_adapter_connection *connection = ctx;
    struct mlt_adapter *adapter = connection->adapter;
    mlt_log(MLT_LOG_INFO, "line_up", "line is up", MLT_U("line", connection->number));
    if (adapter->held) {
        mlt_ws_pause(connection->ws, true);
    }
    mlt_lines_opened(&adapter->lines, connection->number, mlt_clock_mono_ns());
    mlt_adapter_lines_turn(adapter);
}

static void on_frame(void *ctx, char *data, size_t len, int64_t received_ns)
{
    struct mlt_adapter_connection *connection = ctx;
    struct mlt_adapter *adapter = connection->adapter;
    const bool awaited = mlt_lines_heard(&adapter->lines, connection->number, mlt_clock_mono_ns());
    mlt_adapter_frame(adapter, connection->number, data, len, received_ns);
    if (awaited) {
        mlt_timer_start(adapter->lines_timer, 0); /* a hand-over goes on */
    }
}

static void on_pong(void *ctx)
{
    struct mlt_adapter_connection *connection = ctx;
    struct mlt_adapter *adapter = connection->adapter;
    if (mlt_lines_pong(&adapter->lines, connection->number, mlt_clock_mono_ns())) {
        mlt_timer_start(adapter->lines_timer, 0); /* a hand-over goes on */
    }
}

static void on_end(void *ctx, enum mlt_ws_end end, unsigned code, const char *text)
{
    struct mlt_adapter_connection *connection = ctx;
    struct mlt_adapter *adapter = connection->adapter;
    connection->ws = NULL;
    if (adapter->stopped) {
        mlt_adapter_free(adapter);
        return;
    }
    mlt_log(end == MLT_WS_BY_US ? MLT_LOG_INFO : MLT_LOG_WARN, "line_down", text,
            MLT_U("line", connection->number), MLT_S("end", mlt_ws_end_word(end)),
            MLT_U("code", code));
    if (end == MLT_WS_CLOSED) { /* a close frame comes behind all that was sent */
        (void)mlt_lines_heard(&adapter->lines, connection->number, mlt_clock_mono_ns());
    }
    mlt_lines_ended(&adapter->lines, connection->number, mlt_ws_end_word(end), mlt_clock_mono_ns());
    if (adapter->lines.cut_covered > 0) {
        mlt_log(adapter->lines.cut_open == 0 ? MLT_LOG_INFO : MLT_LOG_WARN, "line_covered",
                "topics of a line that ended stay up by their other copy",
                MLT_U("line", connection->number), MLT_U("topics", adapter->lines.cut_covered),
                MLT_U("not_covered", adapter->lines.cut_open));
    }
    if (adapter->standby != NULL) {
        mlt_standby_line_ended(adapter->standby);
    }
    mlt_adapter_lines_turn(adapter);
}

static bool port_connect(void *ctx, uint32_t line)
{
    struct mlt_adapter *adapter = ctx;
    struct mlt_adapter_connection *connection = &adapter->connections[line];
    const struct mlt_ws_options options = {
        .url = adapter->line_url,
        .ca_file = adapter->config->ca_file,
        .frame_bytes_max = MLT_BINANCE_FRAME_BYTES_MAX,
        .connect_timeout_ns = adapter->config->ws_connect_timeout_ms * MLT_NS_PER_MS,
        .silence_ns = adapter->config->ws_silence_ms * MLT_NS_PER_MS,
        .on_open = on_open,
        .on_frame = on_frame,
        .on_pong = on_pong,
        .on_end = on_end,
        .ctx = connection,
    };
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_ws_connect(adapter->loop, &options, &connection->ws, &err) != MLT_OK) {
        connection->ws = NULL;
        mlt_log(MLT_LOG_WARN, "line_not_begun", err.text, MLT_U("line", line));
        return false;
    }
    return true;
}

static void port_close(void *ctx, uint32_t line)
{
    struct mlt_adapter *adapter = ctx;
    if (adapter->connections[line].ws != NULL) {
        mlt_ws_close(adapter->connections[line].ws);
    }
}

static bool port_send(void *ctx, uint32_t line, struct mlt_slice text)
{
    struct mlt_adapter *adapter = ctx;
    struct mlt_ws *ws = adapter->connections[line].ws;
    const bool sent = ws != NULL && mlt_ws_send(ws, text) == MLT_OK;
    if (sent) {
        mlt_adapter_trace_asked(adapter, line);
    }
    return sent;
}

static void port_source(void *ctx, const struct mlt_topic_instrument *instrument, bool down,
                        const char *reason)
{
    mlt_adapter_source(ctx, instrument, down, reason);
}

void mlt_adapter_pause_lines(struct mlt_adapter *adapter, bool paused)
{
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        if (adapter->connections[n].ws != NULL && adapter->lines.lines[n].state == MLT_LINE_UP) {
            mlt_ws_pause(adapter->connections[n].ws, paused);
        }
    }
}

void mlt_adapter_free(struct mlt_adapter *adapter)
{
    adapter->stopped = true;
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        if (adapter->connections[n].ws != NULL) {
            return; /* a drain that was cut short */
        }
    }
    free(adapter);
}

static void finish_drain(struct mlt_adapter *adapter)
{
    if (!adapter->drained && mlt_lines_open_count(&adapter->lines) == 0) {
        adapter->drained = true;
        if (adapter->standby != NULL) {
            mlt_standby_lines_ended(adapter->standby);
        } else {
            mlt_service_drained(adapter->service);
        }
    }
}

/* At most once for each window: in a storm each line waits again and again. */
static void say_held(struct mlt_adapter *adapter, int64_t now_ns)
{
    const uint64_t held = adapter->lines.counters.attempts_held;
    const bool news = held != adapter->attempts_held_said;
    adapter->attempts_held_said = held;
    if (!news || (adapter->attempts_said_ns != 0 &&
                  now_ns - adapter->attempts_said_ns < MLT_LINE_ATTEMPTS_WINDOW_NS)) {
        return;
    }
    adapter->attempts_said_ns = now_ns;
    mlt_log(MLT_LOG_WARN, "line_attempts_used_up",
            "connections wait, since the exchange takes so many from an address in 5 minutes: see "
            "by line_down why they end; with an egress each of egress_adapters has its part",
            MLT_U("attempts", adapter->lines.options.attempts),
            MLT_S("egress", adapter->config->egress));
}

void mlt_adapter_lines_turn(void *ctx)
{
    struct mlt_adapter *adapter = ctx;
    if (adapter->draining) {
        finish_drain(adapter);
        return;
    }
    const int64_t now = mlt_clock_mono_ns();
    const int64_t next = mlt_lines_turn(&adapter->lines, now);
    say_held(adapter, now);
    if (next == MLT_LINES_NEVER) {
        mlt_timer_stop(adapter->lines_timer);
    } else {
        mlt_timer_start(adapter->lines_timer, next > now ? next - now : 0);
    }
    if (adapter->lines.changed) {
        mlt_adapter_status_changed(adapter);
    }
}

/* The exchange counts those of an address. Who shares it has an equal part: to ask the others first
 * would make each connection wait for NATS. */
static uint32_t attempts_of(const struct mlt_adapter_config *config)
{
    return config->egress[0] == '\0' ? MLT_LINE_ATTEMPTS_MAX
                                     : MLT_LINE_ATTEMPTS_MAX / (uint32_t)config->egress_adapters;
}

enum mlt_status mlt_adapter_lines_start(struct mlt_adapter *adapter, struct mlt_error *err)
{
    const struct mlt_adapter_config *config = adapter->config;
    const struct mlt_lines_options options = {
        .streams_per_line = (uint32_t)config->streams_per_connection,
        .attempts = attempts_of(config),
        .copies = (uint32_t)config->line_copies,
        .spare = config->spare_connection,
        .collect_ns = COLLECT_NS,
        .ack_ns = ACK_NS,
        .retry_ns = TOPIC_RETRY_NS,
        .rollover_ns = config->rollover_ms * MLT_NS_PER_MS,
        .linger_ns = LINGER_NS,
        .backoff_base_ns = config->reconnect_base_ms * MLT_NS_PER_MS,
        .backoff_max_ns = config->reconnect_max_ms * MLT_NS_PER_MS,
        .seed = mlt_random64(),
    };
    const struct mlt_lines_ports ports = { port_connect, port_close, port_send, port_source,
                                           adapter };
    mlt_lines_init(&adapter->lines, &options, &ports, &adapter->topics);
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        adapter->connections[n] = (struct mlt_adapter_connection){ adapter, n, NULL };
    }
    /* Combined form, so that every payload says which stream it is of. */
    const int len =
        snprintf(adapter->line_url, sizeof adapter->line_url, "%s/stream", config->ws_url);
    if (len < 0 || (size_t)len >= sizeof adapter->line_url) {
        return mlt_error_set(err, MLT_E_CONFIG, "ws_url: too long");
    }
    return MLT_OK;
}
