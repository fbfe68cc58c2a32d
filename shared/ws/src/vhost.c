#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define PROTOCOL "meltica-ws"
/* A message up to this size arrives in one piece, if it is in the socket. */
#define RX_BYTES (64u << 10)
/* The platform's bundle. Named, because libwebsockets' own default also trusts what lies in
 * "../share" of the working directory. */
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"
/* No handshake step of libwebsockets' own counting may be longer; ours is the line's deadline. */
#define CONNECT_SECONDS_MAX 60u

/* No pings of our own: they count towards the exchange's message limit and prove nothing that its
 * pings do not. The library's default is one in five minutes. */
static const lws_retry_bo_t no_pings = { .secs_since_valid_ping = 0, .secs_since_valid_hangup = 0 };

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    (void)user;
    if (reason == LWS_CALLBACK_PROTOCOL_DESTROY) {
        struct ws_vhost *vhost = lws_vhost_user(lws_get_vhost(wsi));
        while (vhost->lines != NULL) { /* the loop goes under lines that are still there */
            ws_line_end(vhost->lines, MLT_WS_BY_US, 0, "the loop ends");
            ws_line_finish(vhost->lines);
        }
        free(vhost);
        return 0;
    }
    if (reason == LWS_CALLBACK_CLIENT_CONFIRM_EXTENSION_SUPPORTED) {
        return 1; /* none: no permessage-deflate */
    }
    /* Set for connections only, and from before the first callback. */
    struct mlt_ws *ws = NULL;
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
    case LWS_CALLBACK_CLIENT_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_CHANGE_MODE_POLL_FD:
    case LWS_CALLBACK_WSI_DESTROY:
        ws = lws_get_opaque_user_data(wsi);
        break;
    default:
        break;
    }
    return ws == NULL ? 0 : ws_line_callback(ws, wsi, reason, in, len);
}

static const struct lws_protocols protocols[] = {
    { .name = PROTOCOL, .callback = on_event, .rx_buffer_size = RX_BYTES },
    LWS_PROTOCOL_LIST_TERM,
};

static enum mlt_status make(struct mlt_loop *loop, const char *name, bool tls, const char *ca_file,
                            struct ws_vhost **out, struct mlt_error *err)
{
    struct ws_vhost *vhost = calloc(1, sizeof *vhost);
    if (vhost == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the TLS client");
    }
    const struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options =
            tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS : 0,
        .client_ssl_ca_filepath = tls ? ca_file : NULL,
        .vhost_name = name,
        .protocols = protocols,
        .user = vhost,
        .retry_and_idle_policy = &no_pings,
        .connect_timeout_secs = CONNECT_SECONDS_MAX,
        /* Or the environment's http_proxy decides where lines go. */
        .http_proxy_address = ":0",
    };
    vhost->lws = lws_create_vhost(mlt_loop_lws(loop), &info);
    if (vhost->lws == NULL) {
        free(vhost);
        return mlt_error_set(err, MLT_E_NOMEM, "libwebsockets makes no vhost: see the log");
    }
    *out = vhost;
    return MLT_OK;
}

enum mlt_status ws_vhost_get(struct mlt_loop *loop, bool tls, const char *ca_file,
                             struct ws_vhost **out, struct mlt_error *err)
{
    const char *file = ca_file == NULL || ca_file[0] == 0 ? SYSTEM_CA : ca_file;
    char name[512];
    const int written = tls ? snprintf(name, sizeof name, PROTOCOL "-tls %s", file)
                            : snprintf(name, sizeof name, PROTOCOL "-plain");
    if (written < 0 || (size_t)written >= sizeof name) {
        return mlt_error_set(err, MLT_E_CONFIG, "CA file: the path is too long");
    }
    struct lws_vhost *known = lws_get_vhost_by_name(mlt_loop_lws(loop), name);
    if (known != NULL) {
        *out = lws_vhost_user(known);
        return MLT_OK;
    }
    if (tls && access(file, R_OK) != 0) {
        return mlt_error_set(err, MLT_E_CONFIG, "CA file %s cannot be read", file);
    }
    return make(loop, name, tls, file, out, err);
}
