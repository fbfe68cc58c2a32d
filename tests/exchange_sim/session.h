/* The callback of libwebsockets: a session is one connection, which speaks HTTP until it becomes a
 * line. */
#ifndef SIM_SESSION_H
#define SIM_SESSION_H

#include <libwebsockets.h>

#include "http.h"

#define SIM_PROTOCOL "sim"

struct sim_session {
    struct sim_line *line;    /* WebSocket */
    struct sim_answer answer; /* HTTP */
    size_t sent;              /* of its body */
    bool counted;             /* this connection was admitted by the limits */
};

int sim_session_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                         size_t len);

/* session_http.c */
int sim_session_http(struct sim_server *server, struct lws *wsi, struct sim_session *session);
/* An answer that was to be late is due. */
int sim_session_http_timer(struct lws *wsi, struct sim_session *session);
int sim_session_http_writable(struct lws *wsi, struct sim_session *session);
/* Path and arguments of the request; text views point into `storage`. */
struct sim_query {
    char path[SIM_PATH_BYTES_MAX];
    char storage[20000];
    struct sim_argument arguments[SIM_ARGUMENTS_MAX];
    size_t argument_count;
};
/* False when it is longer than any of Binance's. */
bool sim_session_query(struct lws *wsi, struct sim_query *query);

#endif
