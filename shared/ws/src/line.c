#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"

#include "meltica/base/clock.h"

/* Room for a message from the start, and what a line keeps after a larger one. */
#define BUFFER_BYTES_MIN (64u << 10)
#define BUFFER_BYTES_KEPT (1u << 20)
#define CLOSE_WAIT_NS MLT_NS_PER_S

static void on_soon(lws_sorted_usec_list_t *entry);
static void on_timer(lws_sorted_usec_list_t *entry);

static void arm(struct mlt_ws *ws, int64_t delay_ns)
{
    const int64_t delay = delay_ns < MLT_NS_PER_MS ? MLT_NS_PER_MS : delay_ns;
    lws_sul_schedule(ws->context, 0, &ws->timer, on_timer, delay / MLT_NS_PER_US);
}

static void soon(struct mlt_ws *ws)
{
    lws_sul_schedule(ws->context, 0, &ws->soon, on_soon, 1);
}

/* Ends the connection without another word; the callbacks that follow come in a later turn. */
static void kill_connection(struct mlt_ws *ws)
{
    if (ws->wsi != NULL) {
        lws_wsi_close(ws->wsi, LWS_TO_KILL_ASYNC);
    }
}

/* ---- end ---- */

void ws_line_end(struct mlt_ws *ws, enum mlt_ws_end end, unsigned code, const char *text)
{
    if (ws->end_known) {
        return;
    }
    ws->end_known = true;
    ws->end = end;
    ws->end_code = code;
    (void)snprintf(ws->end_text, sizeof ws->end_text, "%s", text);
    if (ws->wsi == NULL) {
        ws_lookup_abandon(ws->lookup);
        ws->lookup = NULL;
        ws->state = LINE_OVER;
        soon(ws);
    } else {
        ws->state = LINE_ENDING;
        arm(ws, CLOSE_WAIT_NS);
    }
}

void ws_line_free(struct mlt_ws *ws)
{
    ws_lookup_abandon(ws->lookup);
    lws_sul_cancel(&ws->timer);
    lws_sul_cancel(&ws->soon);
    if (ws->wsi != NULL) {
        lws_set_opaque_user_data(ws->wsi, NULL);
    }
    if (ws->previous != NULL) {
        ws->previous->next = ws->next;
    } else if (ws->vhost->lines == ws) {
        ws->vhost->lines = ws->next;
    }
    if (ws->next != NULL) {
        ws->next->previous = ws->previous;
    }
    for (unsigned i = 0; i < ws->send_count; i++) {
        free(ws->sends[(ws->send_first + i) % SENDS_MAX].data);
    }
    free(ws->buffer);
    free(ws);
}

void ws_line_finish(struct mlt_ws *ws)
{
    ws->state = LINE_OVER;
    ws->options.on_end(ws->options.ctx, ws->end, ws->end_code, ws->end_text);
    ws_line_free(ws);
}

/* ---- connect ---- */

/* Under way with the next address that does not fail at once? */
static bool attempt(struct mlt_ws *ws)
{
    while (ws->address_next < ws->addresses.count) {
        const struct lws_client_connect_info info = {
            .context = ws->context,
            .vhost = ws->vhost->lws,
            .address = ws->addresses.text[ws->address_next],
            .port = ws->url.port,
            .ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT | (ws->url.tls ? LCCSCF_USE_SSL : 0),
            .path = ws->url.path,
            .host = ws->url.host_header, /* also SNI and the name that the certificate must have */
            .alpn = "http/1.1",
            .local_protocol_name = "meltica-ws",
            .opaque_user_data = ws,
            .pwsi = &ws->wsi,
        };
        ws->address_next++;
        ws->reached = false;
        ws->pollout = false;
        ws->in_connect = true;
        const bool started = lws_client_connect_via_info(&info) != NULL;
        ws->in_connect = false;
        if (!started) {
            ws->wsi = NULL;
        } else {
            /* A dead address may take its share of the time, not the others'. */
            const int64_t left = ws->deadline_mono - mlt_clock_mono_ns();
            arm(ws, left / (int64_t)(ws->addresses.count - ws->address_next + 1));
            return true;
        }
    }
    return false;
}

static void on_resolved(void *ctx, const struct ws_addresses *addresses, const char *reason)
{
    struct mlt_ws *ws = ctx;
    ws->lookup = NULL;
    ws->addresses = *addresses;
    ws->state = LINE_CONNECTING;
    if (addresses->count == 0) {
        ws_line_end(ws, MLT_WS_REFUSED, 0, reason);
    } else if (!attempt(ws)) {
        ws_line_end(ws, MLT_WS_REFUSED, 0, "no address accepts a connection");
    }
}

enum mlt_status ws_line_start(struct mlt_ws *ws, struct mlt_error *err)
{
    ws->deadline_mono = mlt_clock_mono_ns() + ws->options.connect_timeout_ns;
    if (ws_address_is_numeric(ws->url.host)) {
        ws->state = LINE_CONNECTING;
        ws->addresses.count = 1;
        (void)snprintf(ws->addresses.text[0], ADDRESS_BYTES, "%.45s", ws->url.host);
        return attempt(ws) ? MLT_OK
                           : mlt_error_set(err, MLT_E_CONNECT, "%s cannot be connected to",
                                           ws->url.host_header);
    }
    ws->state = LINE_RESOLVING;
    const enum mlt_status status =
        ws_lookup_start(ws->loop, ws->url.host, on_resolved, ws, &ws->lookup);
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "no thread for the look-up of %s", ws->url.host);
    }
    arm(ws, ws->options.connect_timeout_ns);
    return MLT_OK;
}

static void connection_gone(struct mlt_ws *ws)
{
    ws->wsi = NULL;
    lws_sul_cancel(&ws->timer);
    if (!ws->end_known) {
        if (ws->state == LINE_CONNECTING) {
            if (!ws->reached && ws->address_next < ws->addresses.count) {
                soon(ws);
                return;
            }
            ws_line_end(ws, MLT_WS_REFUSED, 0,
                        ws->refusal[0] != 0 ? ws->refusal : "no connection in time");
        } else {
            ws_line_end(ws, MLT_WS_LOST, 0, "the connection ended without a close frame");
        }
    }
    ws->state = LINE_OVER;
    soon(ws);
}

static void on_soon(lws_sorted_usec_list_t *entry)
{
    struct mlt_ws *ws = lws_container_of(entry, struct mlt_ws, soon);
    switch (ws->state) {
    case LINE_RESOLVING:
        break;
    case LINE_CONNECTING:
        if (ws->wsi == NULL && !attempt(ws)) {
            ws_line_end(ws, MLT_WS_REFUSED, 0, "no address accepts a connection");
        }
        break;
    case LINE_UP:
    case LINE_ENDING:
        if (ws->wsi != NULL && !ws->pollout) {
            ws->asking = true;
            (void)lws_callback_on_writable(ws->wsi);
            ws->asking = false;
        }
        break;
    case LINE_OVER:
        ws_line_finish(ws);
        break;
    }
}

void ws_line_write_soon(struct mlt_ws *ws)
{
    soon(ws);
}

/* ---- silence ---- */

/* When the kernel last took data for this connection. libwebsockets answers pings without telling
 * anybody, and its own validity counts pongs only; the kernel sees every byte, also those of a
 * message that is not whole yet. */
static int64_t kernel_received_mono(const struct mlt_ws *ws, int64_t now)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (ws->wsi == NULL ||
        getsockopt((int)lws_get_socket_fd(ws->wsi), IPPROTO_TCP, TCP_INFO, &info, &len) != 0) {
        return 0;
    }
    return now - (int64_t)info.tcpi_last_data_recv * MLT_NS_PER_MS;
}

int64_t ws_line_last_received_mono(const struct mlt_ws *ws, int64_t now)
{
    const int64_t kernel = kernel_received_mono(ws, now);
    const int64_t own = ws->stats.last_received_mono_ns;
    return kernel > own ? kernel : own;
}

static void check_silence(struct mlt_ws *ws)
{
    const int64_t now = mlt_clock_mono_ns();
    int64_t since = ws_line_last_received_mono(ws, now);
    if (since < ws->silence_from_mono || ws->paused) {
        since = ws->paused ? now : ws->silence_from_mono;
    }
    const int64_t left = since + ws->options.silence_ns - now;
    if (left > 0) {
        arm(ws, left);
        return;
    }
    char text[TEXT_BYTES];
    (void)snprintf(text, sizeof text, "nothing received for %lld ms",
                   (long long)((now - since) / MLT_NS_PER_MS));
    ws_line_end(ws, MLT_WS_SILENT, 0, text);
    kill_connection(ws);
}

static void on_timer(lws_sorted_usec_list_t *entry)
{
    struct mlt_ws *ws = lws_container_of(entry, struct mlt_ws, timer);
    switch (ws->state) {
    case LINE_RESOLVING:
        ws_line_end(ws, MLT_WS_REFUSED, 0, "the name was not resolved in time");
        break;
    case LINE_CONNECTING:
        if (ws->address_next >= ws->addresses.count) {
            ws_line_end(ws, MLT_WS_REFUSED, 0, "no connection in time");
        }
        kill_connection(ws); /* or on to the next address */
        break;
    case LINE_UP:
        check_silence(ws);
        break;
    case LINE_ENDING:
        kill_connection(ws);
        break;
    case LINE_OVER:
        break;
    }
}

/* ---- receive ---- */

/* One stamp a read: the first piece of a turn comes right after it. */
static void stamp(struct mlt_ws *ws)
{
    const uint64_t turn = mlt_loop_turn(ws->loop);
    if (ws->turn != turn) {
        ws->turn = turn;
        ws->received_ns = mlt_clock_wall_ns();
        ws->stats.last_received_mono_ns = mlt_clock_mono_ns();
    }
}

static bool reserve(struct mlt_ws *ws, size_t bytes)
{
    const size_t need = bytes + MLT_WS_FRAME_PADDING;
    if (need <= ws->capacity) {
        return true;
    }
    const size_t most = ws->options.frame_bytes_max + MLT_WS_FRAME_PADDING;
    size_t capacity = ws->capacity < BUFFER_BYTES_MIN ? BUFFER_BYTES_MIN : ws->capacity;
    while (capacity < need) {
        capacity *= 2;
    }
    if (capacity > most) {
        capacity = most;
    }
    char *buffer = realloc(ws->buffer, capacity);
    if (buffer == NULL) {
        return false;
    }
    ws->buffer = buffer;
    ws->capacity = capacity;
    return true;
}

static void drop_buffer(struct mlt_ws *ws)
{
    free(ws->buffer);
    ws->buffer = NULL;
    ws->capacity = 0;
    ws->have = 0;
}

/* Never by a return value of the receive callback: libwebsockets 4.3.5 then goes on to collect the
 * rest of the frame behind the end of its buffer. The write callback closes instead. */
static void give_up(struct mlt_ws *ws, enum mlt_ws_end end, enum lws_close_status status,
                    const char *text)
{
    ws->close_status = status;
    ws_line_end(ws, end, 0, text);
    drop_buffer(ws);
    ws_line_write_soon(ws);
}

static void receive(struct mlt_ws *ws, const char *piece, size_t len)
{
    if (ws->state != LINE_UP) {
        return; /* closing: the server may not know yet */
    }
    stamp(ws);
    ws->stats.fragments++;
    /* The rest of this WebSocket frame is announced: too big is known before it is here. */
    const size_t rest = lws_remaining_packet_payload(ws->wsi);
    const size_t max = ws->options.frame_bytes_max;
    if (rest > max || len > max - rest || ws->have > max - rest - len) {
        give_up(ws, MLT_WS_TOO_BIG, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "message over the limit");
        return;
    }
    if (!reserve(ws, ws->have + len + rest)) {
        give_up(ws, MLT_WS_LOST, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "no memory for a message");
        return;
    }
    memcpy(ws->buffer + ws->have, piece, len);
    ws->have += len;
    if (!lws_is_final_fragment(ws->wsi)) {
        return;
    }
    memset(ws->buffer + ws->have, 0, MLT_WS_FRAME_PADDING);
    ws->stats.frames++;
    ws->stats.bytes += ws->have;
    const size_t whole = ws->have;
    ws->have = 0;
    ws->options.on_frame(ws->options.ctx, ws->buffer, whole, ws->received_ns);
    if (ws->capacity > BUFFER_BYTES_KEPT) {
        drop_buffer(ws);
    }
}

/* ---- callbacks ---- */

static void opened(struct mlt_ws *ws)
{
    if (ws->state != LINE_CONNECTING) {
        return; /* closed or out of time in the same turn: the kill is on its way */
    }
    ws->state = LINE_UP;
    ws->silence_from_mono = mlt_clock_mono_ns();
    if (ws->options.silence_ns > 0) {
        arm(ws, ws->options.silence_ns);
    } else {
        lws_sul_cancel(&ws->timer);
    }
    if (ws->paused) {
        (void)lws_rx_flow_control(ws->wsi, 0);
    }
    ws->options.on_open(ws->options.ctx);
}

static void refused(struct mlt_ws *ws, const char *text, size_t len)
{
    if (ws->end_known) {
        return;
    }
    const unsigned status = lws_http_client_http_response(ws->wsi);
    const struct mlt_slice said = mlt_slice_of(text, text == NULL ? 0 : strnlen(text, len));
    if (status != 0 && status != 101) {
        (void)snprintf(ws->refusal, sizeof ws->refusal, "HTTP %u instead of 101", status);
        ws_line_end(ws, MLT_WS_REFUSED, status, ws->refusal);
    } else { /* stands unless another address does better */
        (void)snprintf(ws->refusal, sizeof ws->refusal, "%.*s", MLT_SLICE_FMT(said));
    }
}

static void peer_closes(struct mlt_ws *ws, const unsigned char *payload, size_t len)
{
    char text[TEXT_BYTES] = "";
    unsigned code = 0;
    if (len >= 2) {
        code = (unsigned)payload[0] << 8 | payload[1];
        const struct mlt_slice reason = mlt_slice_of(payload + 2, len - 2);
        (void)snprintf(text, sizeof text, "%.*s", MLT_SLICE_FMT(reason));
    }
    ws_line_end(ws, MLT_WS_CLOSED, code, text);
}

/* libwebsockets answers pings itself and calls nobody. What shows is that it asks for the socket to
 * be writable when we did not; and, once the pong is out, that it gives us the write callback that
 * we did not ask for. Our own requests are made only from timers, so that the read in which a ping
 * arrives never has one of ours open; a ping behind a full socket or behind another ping escapes.
 */
static void watch_pollout(struct mlt_ws *ws, struct lws *wsi, const struct lws_pollargs *change)
{
    const bool on = (change->events & LWS_POLLOUT) != 0;
    if (on && !ws->pollout && !ws->asking && ws->state == LINE_UP && !lws_partial_buffered(wsi)) {
        ws->pong_waiting = true;
        ws->stats.pings++;
        stamp(ws);
    }
    ws->pollout = on;
}

static int writable(struct mlt_ws *ws)
{
    if (ws->pong_waiting) {
        ws->pong_waiting = false;
        ws->stats.pongs++;
        if (ws->options.on_pong != NULL && ws->state == LINE_UP) {
            ws->options.on_pong(ws->options.ctx);
        }
    }
    if (ws->state == LINE_ENDING) {
        if (ws->close_begun) {
            return 0; /* a second no would cut the wait for the server's close frame */
        }
        ws->close_begun = true;
        lws_close_reason(ws->wsi, ws->close_status, NULL, 0);
        return -1;
    }
    if (ws->state != LINE_UP || ws->send_count == 0) {
        return 0;
    }
    unsigned char *data = ws->sends[ws->send_first].data;
    const size_t len = ws->sends[ws->send_first].len;
    ws->send_first = (ws->send_first + 1) % SENDS_MAX;
    ws->send_count--;
    const int written = lws_write(ws->wsi, data + LWS_PRE, len, LWS_WRITE_TEXT);
    free(data);
    if (written < 0) {
        return -1;
    }
    if (ws->send_count > 0) {
        ws_line_write_soon(ws);
    }
    return 0;
}

int ws_line_callback(struct mlt_ws *ws, struct lws *wsi, enum lws_callback_reasons reason, void *in,
                     size_t len)
{
    if (ws->in_connect || wsi != ws->wsi) {
        return 0; /* before the connection is ours, its failure is what connect returns */
    }
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        ws->reached = true;
        break;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        opened(ws);
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        refused(ws, in, len);
        break;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        receive(ws, in, len);
        break;
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        stamp(ws);
        break;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        peer_closes(ws, in, len);
        break;
    case LWS_CALLBACK_CHANGE_MODE_POLL_FD:
        watch_pollout(ws, wsi, in);
        break;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return writable(ws);
    case LWS_CALLBACK_WSI_DESTROY:
        connection_gone(ws);
        break;
    default:
        break;
    }
    return 0;
}
