#include "session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "meltica/base/clock.h"

/* Few unsent bytes in the kernel: what a line is ahead of its client stays small. */
#define UNSENT_BYTES_MAX (128 << 10)

/* '+' in a URL arrives as a blank; stream names have no blanks and kline zones have a '+'. */
static void restore_plus(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)(text[i] == ' ' ? '+' : text[i]);
    }
}

struct wanted {
    bool combined, micros;
    struct mlt_slice names;
};

/* /ws, /ws/<name>[/<name>…], /stream, /stream?streams=<name>/<name>…; false: another path. */
static bool read_wanted(struct sim_query *query, struct wanted *wanted)
{
    memset(wanted, 0, sizeof *wanted);
    for (size_t i = 0; i < query->argument_count; i++) {
        const struct sim_argument *argument = &query->arguments[i];
        if (mlt_slice_equal_string(argument->name, "streams")) {
            wanted->names = argument->value;
        } else if (mlt_slice_equal_string(argument->name, "timeUnit")) {
            wanted->micros = mlt_slice_equal_string(argument->value, "MICROSECOND") ||
                             mlt_slice_equal_string(argument->value, "microsecond");
            if (!wanted->micros && !mlt_slice_equal_string(argument->value, "MILLISECOND") &&
                !mlt_slice_equal_string(argument->value, "millisecond")) {
                return false;
            }
        }
    }
    if (strcmp(query->path, "/stream") == 0 || strcmp(query->path, "/stream/") == 0) {
        wanted->combined = true;
        restore_plus(query->storage, sizeof query->storage);
        return true;
    }
    if (strncmp(query->path, "/ws", 3) != 0 || (query->path[3] != '\0' && query->path[3] != '/')) {
        return false;
    }
    restore_plus(query->path, strlen(query->path));
    wanted->names = query->path[3] == '/' ? mlt_slice_of_string(query->path + 4) : MLT_SLICE_EMPTY;
    return true;
}

/* Written here because the library would answer an upgrade in HTTP/1.0. */
static int refuse_upgrade(struct lws *wsi, unsigned status)
{
    uint8_t buffer[LWS_PRE + 256];
    char *text = (char *)buffer + LWS_PRE;
    const int len = snprintf(text, 256,
                             "HTTP/1.1 %u Refused\r\nConnection: close\r\nContent-Length: "
                             "0\r\n%s\r\n",
                             status, status == 429 ? "Retry-After: 300\r\n" : "");
    (void)lws_write(wsi, buffer + LWS_PRE, (size_t)len, LWS_WRITE_HTTP);
    return -1;
}

/* Refuses before the upgrade, while a status can still be given. Returns what libwebsockets wants:
 * 0 go on, -1 hang up. */
static int confirm_upgrade(struct sim_server *server, struct lws *wsi)
{
    static struct sim_query query;
    struct wanted wanted;
    char address[SIM_ADDRESS_BYTES_MAX] = "";
    unsigned status = 0;
    if (!sim_session_query(wsi, &query)) {
        status = 414;
    } else if (!read_wanted(&query, &wanted)) {
        status = 404;
    } else if (sim_control_check_path(wanted.names, server->hub.streams_max) != MLT_OK) {
        status = 400;
    } else {
        (void)lws_get_peer_simple(wsi, address, sizeof address);
        status = sim_limits_connect(&server->limits, address, mlt_clock_wall_ns()) ? 0 : 429;
    }
    return status == 0 ? 0 : refuse_upgrade(wsi, status);
}

static int established(struct sim_server *server, struct lws *wsi, struct sim_session *session)
{
    static struct sim_query query;
    struct wanted wanted;
    if (!sim_session_query(wsi, &query) || !read_wanted(&query, &wanted)) {
        return -1;
    }
    session->line = sim_hub_open(&server->hub, wsi, mlt_clock_mono_ns());
    if (session->line == NULL) {
        return -1;
    }
    const int unsent = UNSENT_BYTES_MAX, on = 1;
    const int fd = lws_get_socket_fd(wsi);
    /* Only tuning: a socket without them works. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    session->line->combined = wanted.combined;
    session->line->micros = wanted.micros;
    if (sim_control_subscribe_path(&server->hub, session->line, wanted.names) != MLT_OK) {
        sim_line_finish(&server->hub, session->line, 1008, "Invalid stream");
    }
    if (wanted.names.len > 0) {
        sim_server_control_seen(server);
    }
    return 0;
}

static void closed(struct sim_server *server, struct sim_session *session)
{
    if (session->line != NULL) {
        sim_hub_close(&server->hub, session->line);
        session->line = NULL;
        sim_server_pump(server); /* the market may have waited for this line */
    }
}

static bool count_message(struct sim_server *server, struct sim_line *line)
{
    server->hub.messages_received++;
    if (!sim_line_count_message(line, server->options->messages_per_second, mlt_clock_mono_ns())) {
        sim_line_finish(&server->hub, line, 1008, "Too many requests");
        return false;
    }
    return true;
}

static void received(struct sim_server *server, struct lws *wsi, struct sim_line *line,
                     struct mlt_slice part)
{
    if (line->closing) {
        return;
    }
    if (mlt_buf_append(&line->in, part.data, part.len) != MLT_OK) {
        sim_line_finish(&server->hub, line, 1009, "Message too large");
        return;
    }
    if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) > 0) {
        return;
    }
    if (count_message(server, line)) {
        sim_control_handle(&server->hub, line, mlt_buf_view(&line->in), &server->control_faults,
                           &server->scratch);
        sim_server_control_seen(server);
    }
    mlt_buf_clear(&line->in);
}

/* A pong counts as a message, and keeps the line alive only as the echo of a ping. */
static void pong(struct sim_server *server, struct sim_line *line, struct mlt_slice payload)
{
    if (!line->closing && count_message(server, line) &&
        mlt_slice_equal_string(payload, line->ping_text)) {
        line->ping_unanswered_ns = 0;
    }
}

/* Everything that waits in one piece: the frames are framed already, and LWS_WRITE_HTTP is what
 * libwebsockets sends untouched. What the kernel does not take, it keeps and sends before it calls
 * again. */
static int writable(struct sim_server *server, struct lws *wsi, struct sim_line *line)
{
    if (line->killed) {
        return -1;
    }
    if (line->frozen) {
        return 0;
    }
    if (mlt_clock_mono_ns() < line->stalled_until_ns) {
        return 0; /* it stays armed, and is woken then */
    }
    if (line->out.len > 0) {
        if (lws_write(wsi, line->out.data, line->out.len, LWS_WRITE_HTTP) < 0) {
            return -1;
        }
        const bool closing = line->closing;
        sim_line_drained(&server->hub, line, mlt_clock_mono_ns());
        if (closing) {
            (void)lws_callback_on_writable(wsi);
        } else {
            sim_server_pump(server);
        }
        return 0;
    }
    if (line->closing) {
        lws_close_reason(wsi, (enum lws_close_status)line->close_code,
                         (unsigned char *)(uintptr_t)line->close_text, strlen(line->close_text));
        return -1;
    }
    line->armed = false;
    return 0;
}

/* The timer and the signals, both file descriptors that poll as files. */
static void readable_file(struct sim_server *server, struct lws *wsi)
{
    const int fd = lws_get_socket_fd(wsi);
    uint8_t unused[256];
    (void)!read(fd, unused, sizeof unused);
    if (fd == server->signal_fd) {
        server->stop = true;
        lws_cancel_service(server->context);
    } else {
        sim_server_timer(server);
    }
}

static int line_callback(struct sim_server *server, struct lws *wsi,
                         enum lws_callback_reasons reason, struct sim_session *session,
                         struct mlt_slice in)
{
    if (session == NULL) {
        return 0;
    }
    if (reason == LWS_CALLBACK_ESTABLISHED) {
        return established(server, wsi, session);
    }
    if (session->line == NULL) {
        return 0;
    }
    switch (reason) {
    case LWS_CALLBACK_RECEIVE:
        received(server, wsi, session->line, in);
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        pong(server, session->line, in);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return writable(server, wsi, session->line);
    default: /* CLOSED, WS_SERVER_DROP_PROTOCOL */
        closed(server, session);
        return 0;
    }
}

int sim_session_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                         size_t len)
{
    struct sim_session *session = user;
    struct lws_context *context = wsi != NULL ? lws_get_context(wsi) : NULL;
    struct sim_server *server = context != NULL ? lws_context_user(context) : NULL;
    if (server == NULL) {
        return 0;
    }
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_RECEIVE_PONG:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
        return line_callback(server, wsi, reason, session, mlt_slice_of(in, len));
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(server, wsi);
    case LWS_CALLBACK_HTTP:
        return sim_session_http(server, wsi, session);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return sim_session_http_writable(wsi, session);
    case LWS_CALLBACK_TIMER:
        return session != NULL && session->line == NULL ? sim_session_http_timer(wsi, session) : 0;
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        if (session != NULL) {
            mlt_buf_fini(&session->answer.body);
        }
        return 0;
    case LWS_CALLBACK_RAW_RX_FILE:
        readable_file(server, wsi);
        return 0;
    case LWS_CALLBACK_GET_THREAD_ID:
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, len);
    }
}
