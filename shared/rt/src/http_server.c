/* A small HTTP/1.1 server for health and metrics: GET and HEAD, one request at a time a connection.
 * It reads and writes its sockets itself and leaves only the waiting to libwebsockets, whose own
 * HTTP role loses track of pipelined requests. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "http_request.h"
#include "internal.h"

#include "meltica/base/check.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"

#define CONNECTIONS_MAX 64u
#define STANDING_MAX 56u     /* of them; the others are for who asks, and for what fits at once */
#define IDLE_SECONDS 5       /* for a whole request, for each step of an answer, and between them */
#define HEAD_BYTES_MAX 8192u /* request line and headers; 431 beyond */
#define PIECE_BYTES_MAX (64u << 10) /* one write of a body */
#define ANSWER_HEAD_BYTES_MAX 1536u
#define MORE_HEADERS_BYTES_MAX 1024u /* of the handler */
#define KERNEL_BUFFER_BYTES                                                                        \
    (128 << 10) /* else the kernel takes megabytes for a peer that does not read */
#define ACCEPTS_PER_TURN 16u
#define ACCEPT_PAUSE_NS (100 * MLT_NS_PER_MS)
#define LISTEN_BACKLOG 64

struct http_server {
    struct mlt_loop *loop;
    mlt_http_handler_fn handler;
    void *ctx;
    struct lws *listener;
    struct mlt_timer *pause; /* out of descriptors: no accepting for a while */
    unsigned connections;
    struct http_connection *places[CONNECTIONS_MAX]; /* NULL: free */
    bool crowded;                                    /* said in the log */
};

enum http_state {
    HTTP_READING,
    HTTP_SENDING, /* nothing is read meanwhile: a peer that does not read cannot pile up requests */
    HTTP_LINGERING /* answered and shut: what still comes is dropped, so that no reset overtakes the
                      answer */
};

struct http_connection {
    struct http_server *server;
    struct http_connection **place; /* NULL: given up */
    struct lws *wsi;
    int fd;
    enum http_state state;
    int64_t waits_since_ns; /* for a request, for the peer to read on, or for its end; monotonic */
    bool standing;          /* sending, and the kernel did not take the whole answer at once */
    bool close_after;
    bool evicted; /* about to be closed: it says no more, and its time is not set again */
    char in[HEAD_BYTES_MAX + 1];
    size_t in_len;
    char head[ANSWER_HEAD_BYTES_MAX];
    size_t head_len;
    struct mlt_buf body;
    size_t sent; /* of head and body together */
};

/* ---- answers ---- */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        { 200, "OK" },
        { 304, "Not Modified" },
        { 400, "Bad Request" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 503, "Service Unavailable" },
        { 505, "HTTP Version Not Supported" },
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Other";
}

/* What the body is; a 304 has none, and tells nothing of the one that it stands for. */
static void describe_body(struct http_connection *c, const struct mlt_http_answer *answer,
                          char out[256])
{
    out[0] = '\0';
    if (answer->status == 304) {
        mlt_buf_clear(&c->body);
    } else {
        (void)snprintf(out, 256, "Content-Type: %.128s\r\nContent-Length: %zu\r\n",
                       answer->content_type, c->body.len);
    }
}

static void begin_answer(struct http_connection *c, const struct mlt_http_answer *answer,
                         bool head_only)
{
    char body[256];
    const int status = answer->status >= 200 && answer->status <= 599 ? answer->status : 500;
    describe_body(c, answer, body);
    const int n = snprintf(
        c->head, sizeof c->head,
        "HTTP/1.1 %d %s\r\n%sCache-Control: %.128s\r\n%s%.*sConnection: %s\r\n\r\n", status,
        reason_of(status), body, answer->cache_control, status == 405 ? "Allow: GET, HEAD\r\n" : "",
        (int)MORE_HEADERS_BYTES_MAX, answer->headers != NULL ? answer->headers : "",
        c->close_after ? "close" : "keep-alive");
    MLT_CHECK(n > 0 && (size_t)n < sizeof c->head);
    c->head_len = (size_t)n;
    c->sent = 0;
    if (head_only) {
        mlt_buf_clear(&c->body); /* its length stands in the head */
    }
    c->state = HTTP_SENDING;
    (void)lws_rx_flow_control(c->wsi, 0);
    lws_callback_on_writable(c->wsi);
}

static struct mlt_http_answer blank_answer(struct http_connection *c, int status)
{
    mlt_buf_clear(&c->body);
    return (struct mlt_http_answer){ .status = status,
                                     .content_type = "text/plain; charset=utf-8",
                                     .body = &c->body,
                                     .cache_control = "no-store",
                                     .if_none_match = "" };
}

static void refuse(struct http_connection *c, int status)
{
    const struct mlt_http_answer answer = blank_answer(c, status);
    /* Without the words the status alone still says it. */
    (void)!mlt_buf_printf(&c->body, "%d %s\n", status, reason_of(status));
    c->close_after = true;
    begin_answer(c, &answer, false);
}

/* Answers the request that stands at the front of what was read, if it is whole. */
static void next_request(struct http_connection *c)
{
    /* Empty lines before a request are allowed (RFC 9112, 2.2). */
    size_t skip = 0;
    while (skip < c->in_len && (c->in[skip] == '\r' || c->in[skip] == '\n')) {
        skip++;
    }
    const size_t len = mlt_rt_http_head_length(c->in + skip, c->in_len - skip);
    if (len == 0) {
        if (c->in_len == HEAD_BYTES_MAX) {
            refuse(c, 431);
        }
        return;
    }
    struct http_request request;
    mlt_rt_http_read(&request, c->in + skip, len);
    c->in_len -= skip + len;
    memmove(c->in, c->in + skip + len, c->in_len);
    c->close_after = !request.keep_alive;
    if (request.refuse != 0) {
        refuse(c, request.refuse);
        return;
    }
    struct mlt_http_answer answer = blank_answer(c, 200);
    answer.if_none_match = request.if_none_match;
    c->server->handler(c->server->ctx, request.path, request.query, &answer);
    if (answer.headers != NULL && strlen(answer.headers) > MORE_HEADERS_BYTES_MAX) {
        answer = blank_answer(c, 500); /* half a line of them would be another one */
    }
    begin_answer(c, &answer, request.head_only);
}

/* ---- connections ---- */

/* Its place is somebody else's from here on. */
static void leave_place(struct http_connection *c)
{
    struct http_server *server = c->server;
    if (c->place != NULL) {
        *c->place = NULL;
        c->place = NULL;
        server->connections--;
    }
    server->crowded = server->crowded && server->connections > CONNECTIONS_MAX / 2;
}

static void evict(struct http_connection *c)
{
    if (!c->server->crowded) {
        c->server->crowded = true;
        mlt_log(MLT_LOG_WARN, "http_crowded",
                "the connections for health and metrics are taken: those that have waited longest "
                "for their peers make room",
                MLT_U("connections", c->server->connections));
    }
    leave_place(c);
    mlt_buf_fini(&c->body);
    c->evicted = true;
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

/* Peers that ask and do not read, however many, leave places to those that do: of too many the one
 * goes that has read nothing for longest. It may be this one. */
static void stand(struct http_connection *c)
{
    struct http_server *server = c->server;
    struct http_connection *slowest = NULL;
    unsigned standing = 0;
    c->standing = true;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct http_connection *other = server->places[i];
        if (other != NULL && other->standing) {
            standing++;
            if (slowest == NULL || other->waits_since_ns < slowest->waits_since_ns) {
                slowest = other;
            }
        }
    }
    if (standing > STANDING_MAX) {
        evict(slowest);
    }
}

static int on_readable(struct http_connection *c)
{
    if (mlt_rt_stopping(c->server->loop) || c->state == HTTP_SENDING) {
        return 0;
    }
    if (c->evicted) {
        return -1;
    }
    if (c->state == HTTP_LINGERING) {
        c->in_len = 0;
    }
    const ssize_t n = recv(c->fd, c->in + c->in_len, HEAD_BYTES_MAX - c->in_len, MSG_DONTWAIT);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    if (n == 0) {
        return -1; /* the peer is done; what it asked is answered, half a request is not one */
    }
    if (c->state == HTTP_READING) {
        c->in_len += (size_t)n;
        next_request(c);
    }
    return 0;
}

/* The next piece of head and body; -1 when the peer is gone. */
static ssize_t send_piece(struct http_connection *c)
{
    struct iovec parts[2];
    size_t count = 0;
    if (c->sent < c->head_len) {
        parts[count].iov_base = c->head + c->sent;
        parts[count++].iov_len = c->head_len - c->sent;
    }
    const size_t body_sent = c->sent > c->head_len ? c->sent - c->head_len : 0;
    const size_t left = c->body.len - body_sent;
    if (left > 0) {
        parts[count].iov_base = c->body.data + body_sent;
        parts[count++].iov_len = left < PIECE_BYTES_MAX ? left : PIECE_BYTES_MAX;
    }
    const struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
    const ssize_t n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

static int on_writable(struct http_connection *c)
{
    if (c->evicted) {
        return -1;
    }
    if (c->state != HTTP_SENDING) {
        return 0;
    }
    if (mlt_rt_stopping(c->server->loop)) {
        lws_callback_on_writable(c->wsi); /* in the next run, if there is one */
        return 0;
    }
    const ssize_t n = send_piece(c);
    if (n < 0) {
        return -1;
    }
    if (n > 0) {
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, IDLE_SECONDS);
        c->waits_since_ns = mlt_clock_mono_ns();
    }
    c->sent += (size_t)n;
    if (c->sent < c->head_len + c->body.len) {
        lws_callback_on_writable(c->wsi);
        if (!c->standing) {
            stand(c);
        }
        return 0;
    }
    c->standing = false;
    mlt_buf_fini(&c->body); /* a large answer must not stay with an idle connection */
    (void)lws_rx_flow_control(c->wsi, 1);
    if (c->close_after) {
        c->state = HTTP_LINGERING;
        return shutdown(c->fd, SHUT_WR) == 0 ? 0 : -1;
    }
    c->state = HTTP_READING;
    next_request(c); /* pipelined */
    return 0;
}

static void connection_free(struct http_connection *c)
{
    leave_place(c);
    mlt_buf_fini(&c->body);
    free(c);
}

/* Who says nothing, or half a request, keeps nobody out that does: the one that has waited longest
 * goes. NULL: all are being answered. */
static struct http_connection **find_place(struct http_server *server)
{
    struct http_connection **idlest = NULL;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct http_connection **place = &server->places[i];
        if (*place == NULL) {
            return place;
        }
        if ((*place)->state != HTTP_SENDING &&
            (idlest == NULL || (*place)->waits_since_ns < (*idlest)->waits_since_ns)) {
            idlest = place;
        }
    }
    return idlest;
}

int mlt_rt_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                         size_t len)
{
    (void)user;
    (void)in;
    (void)len;
    switch (reason) {
    case LWS_CALLBACK_RAW_RX_FILE:
        return on_readable(lws_get_opaque_user_data(wsi));
    case LWS_CALLBACK_RAW_WRITEABLE_FILE:
        return on_writable(lws_get_opaque_user_data(wsi));
    case LWS_CALLBACK_RAW_CLOSE_FILE:
        connection_free(lws_get_opaque_user_data(wsi)); /* libwebsockets closes the descriptor */
        return 0;
    default:
        return 0;
    }
}

/* Takes fd in any case; who has the place leaves it. */
static void add_connection(struct http_server *server, struct http_connection **place, int fd)
{
    const int buffer_bytes = KERNEL_BUFFER_BYTES;
    struct http_connection *c = NULL;
    if (*place != NULL) {
        evict(*place);
    }
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes) == 0) {
        c = calloc(1, sizeof *c);
    }
    if (c == NULL) {
        (void)close(fd);
        mlt_log(MLT_LOG_WARN, "http_refused", "a connection for health or metrics is refused",
                MLT_U("connections", server->connections));
        return;
    }
    c->server = server;
    c->fd = fd;
    c->waits_since_ns = mlt_clock_mono_ns();
    mlt_buf_init(&c->body, MLT_LOOP_ANSWER_BYTES_MAX);
    *place = c;
    c->place = place;
    server->connections++;
    c->wsi = mlt_rt_adopt(server->loop, fd, MLT_RT_HTTP_PROTOCOL, c);
    if (c->wsi == NULL) {
        connection_free(c);
        (void)close(fd);
        return;
    }
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, IDLE_SECONDS);
}

/* ---- listener ---- */

static void on_pause_over(void *ctx)
{
    struct http_server *server = ctx;
    (void)lws_rx_flow_control(server->listener, 1);
}

static void accept_some(struct http_server *server)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct http_connection **place = find_place(server);
        if (place == NULL) {
            return; /* in the next turn some are answered, or stand and make room */
        }
        const int fd = accept4((int)lws_get_socket_fd(server->listener), NULL, NULL,
                               SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            add_connection(server, place, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            mlt_log(MLT_LOG_WARN, "http_no_descriptors",
                    "cannot accept connections for health and metrics", MLT_I("errno", errno));
            (void)lws_rx_flow_control(server->listener, 0);
            mlt_timer_start(server->pause, ACCEPT_PAUSE_NS);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

int mlt_rt_listener_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                             void *in, size_t len)
{
    (void)user;
    (void)in;
    (void)len;
    if (reason == LWS_CALLBACK_RAW_RX_FILE) {
        struct http_server *server = lws_get_opaque_user_data(wsi);
        if (!mlt_rt_stopping(server->loop)) {
            accept_some(server);
        }
    }
    return 0;
}

static int open_listener(const struct addrinfo *address)
{
    const int on = 1;
    const int off = 0;
    const int fd =
        socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (address->ai_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0) {
        return fd;
    }
    const int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

/* "" means all addresses: IPv6 first, whose socket then serves IPv4 too. */
static int open_first(const struct addrinfo *list, bool all)
{
    int fd = -1;
    for (int pass = all ? 0 : 1; pass < 2 && fd < 0; pass++) {
        for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
            if (pass == 1 || a->ai_family == AF_INET6) {
                fd = open_listener(a);
            }
        }
    }
    return fd;
}

static enum mlt_status bind_listener(const char *host, uint16_t port, int *fd, uint16_t *bound_port,
                                     struct mlt_error *err)
{
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                    .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    const bool all = host[0] == '\0';
    const int failed = getaddrinfo(all ? NULL : host, service, &hints, &list);
    if (failed != 0) {
        return mlt_error_set_foreign(err, MLT_E_CONFIG, "getaddrinfo", failed,
                                     "no address to listen on for host \"%s\": %s", host,
                                     gai_strerror(failed));
    }
    *fd = open_first(list, all);
    const int error = errno;
    freeaddrinfo(list);
    if (*fd < 0) {
        return mlt_error_set_foreign(err, MLT_E_IO, "errno", error,
                                     "cannot listen on \"%s\" port %u: %s", host, port,
                                     strerror(error));
    }
    struct sockaddr_storage bound = { 0 };
    socklen_t bound_len = sizeof bound;
    if (getsockname(*fd, (struct sockaddr *)&bound, &bound_len) != 0) {
        (void)close(*fd);
        return mlt_error_set_foreign(err, MLT_E_IO, "errno", errno, "getsockname: %s",
                                     strerror(errno));
    }
    *bound_port =
        ntohs(bound.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&bound)->sin6_port
                                          : ((const struct sockaddr_in *)&bound)->sin_port);
    return MLT_OK;
}

enum mlt_status mlt_loop_listen_http(struct mlt_loop *loop, const char *host, uint16_t port,
                                     mlt_http_handler_fn handler, void *ctx, uint16_t *bound_port,
                                     struct mlt_error *err)
{
    MLT_DCHECK(pthread_equal(loop->owner, pthread_self()));
    if (loop->http != NULL) {
        return mlt_error_set(err, MLT_E_EXISTS, "the loop has an HTTP listener already");
    }
    int fd = -1;
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the HTTP server");
    }
    server->loop = loop;
    server->handler = handler;
    server->ctx = ctx;
    enum mlt_status status = bind_listener(host, port, &fd, bound_port, err);
    if (status == MLT_OK &&
        mlt_timer_create(loop, on_pause_over, server, &server->pause) != MLT_OK) {
        status = mlt_error_set(err, MLT_E_NOMEM, "no memory for the HTTP server");
    }
    if (status == MLT_OK) {
        server->listener = mlt_rt_adopt(loop, fd, MLT_RT_LISTENER_PROTOCOL, server);
        if (server->listener == NULL) {
            status = mlt_error_set(err, MLT_E_NOMEM, "the loop cannot take the HTTP listener");
        }
    }
    if (status != MLT_OK) {
        if (fd >= 0) {
            (void)close(fd);
        }
        mlt_rt_http_stop(server);
        mlt_rt_http_free(server);
        return status;
    }
    loop->http = server;
    return MLT_OK;
}

void mlt_rt_http_stop(struct http_server *server)
{
    if (server != NULL) {
        mlt_timer_destroy(server->pause);
        server->pause = NULL;
    }
}

void mlt_rt_http_free(struct http_server *server)
{
    free(server);
}
