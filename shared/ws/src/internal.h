/* What the files of shared/ws share. Loop thread only, but for the lookup's own thread. */
#ifndef MELTICA_WS_SRC_INTERNAL_H
#define MELTICA_WS_SRC_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <libwebsockets.h>

#include "meltica/ws/ws.h"

#define HOST_BYTES_MAX 127u  /* libwebsockets compares no longer name with the certificate */
#define PATH_BYTES_MAX 2048u /* path and query; its header table holds 4 KiB in all */
#define ADDRESSES_MAX 8u     /* of one name, tried in turn */
#define ADDRESS_BYTES 46u    /* INET6_ADDRSTRLEN */
#define SENDS_MAX 16u
#define SEND_BYTES_MAX (64u << 10)
#define TEXT_BYTES 128u

/* ---- url.c ---- */

struct ws_url {
    bool tls;
    uint16_t port;
    char host[HOST_BYTES_MAX + 1];        /* without brackets */
    char host_header[HOST_BYTES_MAX + 9]; /* as the Host header wants it */
    char path[PATH_BYTES_MAX + 1]; /* path and query, byte for byte; "/" when there is none */
};

/* E_CONFIG says what is wrong with it. */
enum mlt_status ws_url_parse(const char *text, struct ws_url *url, struct mlt_error *err);

/* ---- resolve.c ---- */

struct ws_addresses {
    unsigned count;
    char text[ADDRESSES_MAX][ADDRESS_BYTES];
};
struct ws_lookup;
/* On the loop's thread. reason is "" when there are addresses. */
typedef void (*ws_lookup_fn)(void *ctx, const struct ws_addresses *addresses, const char *reason);

/* Looks host up on a thread of its own, because getaddrinfo may block for many seconds and this
 * loop answers pings. done is called once, unless the lookup is abandoned first. E_NOMEM. */
enum mlt_status ws_lookup_start(struct mlt_loop *loop, const char *host, ws_lookup_fn done,
                                void *ctx, struct ws_lookup **lookup);
/* done will not be called. Before the loop goes. */
void ws_lookup_abandon(struct ws_lookup *lookup);
/* True for "127.0.0.1" and "::1": no lookup needed. */
bool ws_address_is_numeric(const char *host);

/* ---- vhost.c ---- */

/* The client side of one CA file (or of plain lines) on one loop; lives as long as the loop. */
struct ws_vhost {
    struct lws_vhost *lws;
    struct mlt_ws *lines; /* all that were connected and not yet freed */
};

/* The vhost for lines of that kind, made on first use. E_CONFIG (CA file), E_NOMEM. */
enum mlt_status ws_vhost_get(struct mlt_loop *loop, bool tls, const char *ca_file,
                             struct ws_vhost **vhost, struct mlt_error *err);

/* ---- line.c ---- */

enum line_state {
    LINE_RESOLVING,
    LINE_CONNECTING,
    LINE_UP,
    LINE_ENDING, /* the reason is known, the connection is on its way out */
    LINE_OVER    /* nothing but on_end left */
};

struct mlt_ws {
    struct mlt_ws *next, *previous; /* of the vhost */
    struct ws_vhost *vhost;
    struct mlt_loop *loop;
    struct lws_context *context;
    struct lws *wsi; /* NULL when there is no connection */
    enum line_state state;
    struct mlt_ws_options options; /* url and ca_file are NULL: not needed any more */
    struct ws_url url;

    struct ws_lookup *lookup;
    struct ws_addresses addresses;
    unsigned address_next;
    bool reached;             /* this attempt got as far as HTTP: another address would not help */
    bool in_connect;          /* libwebsockets may call back before it returns */
    int64_t deadline_mono;    /* of the connecting, whole */
    char refusal[TEXT_BYTES]; /* what went wrong with the last attempt */

    lws_sorted_usec_list_t timer; /* connect deadline, silence, end of the closing, by state */
    lws_sorted_usec_list_t soon;  /* next turn: next address, write or on_end, by state */

    /* Message in hand. */
    char *buffer;
    size_t capacity, have;
    uint64_t turn; /* loop turn to which received_ns belongs */
    int64_t received_ns;

    struct {
        unsigned char *data; /* LWS_PRE bytes before the text */
        size_t len;
    } sends[SENDS_MAX];
    unsigned send_first, send_count;

    bool pollout;      /* libwebsockets waits for the socket to take bytes */
    bool asking;       /* inside our own request for that */
    bool pong_waiting; /* a ping came and its pong is not out yet */
    bool paused;
    int64_t silence_from_mono; /* silence before this does not count: up, resumed */

    bool end_known;
    enum mlt_ws_end end;
    unsigned end_code;
    char end_text[TEXT_BYTES];
    enum lws_close_status close_status; /* what our close frame says */
    bool close_begun;

    struct mlt_ws_stats stats;
};

/* Takes the line to its first attempt. E_CONNECT: refused at once, no callback comes. */
enum mlt_status ws_line_start(struct mlt_ws *ws, struct mlt_error *err);
/* Ends a line for a reason; the first one stands. */
void ws_line_end(struct mlt_ws *ws, enum mlt_ws_end end, unsigned code, const char *text);
/* Asks for the write callback in the next turn. */
void ws_line_write_soon(struct mlt_ws *ws);
/* Monotonic time of the last byte of any kind; now is the monotonic time. */
int64_t ws_line_last_received_mono(const struct mlt_ws *ws, int64_t now);
/* on_end and free, now. */
void ws_line_finish(struct mlt_ws *ws);
void ws_line_free(struct mlt_ws *ws);

/* Callbacks of libwebsockets for one line. Not 0: close the connection. */
int ws_line_callback(struct mlt_ws *ws, struct lws *wsi, enum lws_callback_reasons reason, void *in,
                     size_t len);

#endif
