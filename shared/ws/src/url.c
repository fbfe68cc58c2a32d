#include <stdio.h>
#include <string.h>

#include "internal.h"

/* Only what can stand in a request line: nothing that could end it or start another header. */
static bool is_clean(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != 0; p++) {
        if (*p <= 0x20 || *p == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool parse_port(const char *text, size_t len, uint16_t *port)
{
    uint32_t value = 0;
    if (len == 0 || len > 5) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *port = (uint16_t)value;
    return value > 0 && value <= UINT16_MAX;
}

static enum mlt_status parse_authority(const char *text, size_t len, struct ws_url *url,
                                       struct mlt_error *err)
{
    const bool bracketed = len > 0 && text[0] == '[';
    const char *host = text + (bracketed ? 1 : 0);
    const char *host_end = memchr(host, bracketed ? ']' : ':', len - (bracketed ? 1 : 0));
    if (bracketed && host_end == NULL) {
        return mlt_error_set(err, MLT_E_CONFIG, "WebSocket URL: ] is missing");
    }
    const char *end = text + len;
    const char *port = host_end == NULL ? end : host_end + (bracketed ? 1 : 0);
    const size_t host_len = (size_t)((host_end == NULL ? end : host_end) - host);
    if (host_len == 0 || host_len > HOST_BYTES_MAX || memchr(text, '@', len) != NULL) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "WebSocket URL: the host must have 1 to %u bytes and no user",
                             HOST_BYTES_MAX);
    }
    if (bracketed && url->tls) {
        /* libwebsockets cuts the name it verifies at the first colon: better a clear refusal. */
        return mlt_error_set(err, MLT_E_CONFIG,
                             "WebSocket URL: wss:// needs a name, not an IPv6 address");
    }
    memcpy(url->host, host, host_len);
    url->host[host_len] = 0;
    url->port = url->tls ? 443 : 80;
    const uint16_t usual = url->port;
    if (port != end &&
        (*port != ':' || !parse_port(port + 1, (size_t)(end - port - 1), &url->port))) {
        return mlt_error_set(err, MLT_E_CONFIG, "WebSocket URL: the port must be 1 to 65535");
    }
    const char *open = bracketed ? "[" : "";
    const char *close = bracketed ? "]" : "";
    if (url->port == usual) {
        (void)snprintf(url->host_header, sizeof url->host_header, "%s%s%s", open, url->host, close);
    } else {
        (void)snprintf(url->host_header, sizeof url->host_header, "%s%s%s:%u", open, url->host,
                       close, url->port);
    }
    return MLT_OK;
}

enum mlt_status ws_url_parse(const char *text, struct ws_url *url, struct mlt_error *err)
{
    *url = (struct ws_url){ 0 };
    if (text == NULL || !is_clean(text)) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "WebSocket URL: empty, or with spaces or control bytes");
    }
    if (strncmp(text, "wss://", 6) == 0) {
        url->tls = true;
        text += 6;
    } else if (strncmp(text, "ws://", 5) == 0) {
        text += 5;
    } else {
        return mlt_error_set(err, MLT_E_CONFIG, "WebSocket URL: must begin with wss:// or ws://");
    }
    const size_t authority_len = strcspn(text, "/?#");
    const enum mlt_status status = parse_authority(text, authority_len, url, err);
    if (status != MLT_OK) {
        return status;
    }
    const char *path = text + authority_len;
    if (strchr(path, '#') != NULL) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "WebSocket URL: a fragment (#) has no meaning here");
    }
    const int written =
        snprintf(url->path, sizeof url->path, "%s%s", path[0] == '/' ? "" : "/", path);
    if (written < 0 || (size_t)written >= sizeof url->path) {
        return mlt_error_set(err, MLT_E_CONFIG, "WebSocket URL: path and query are over %u bytes",
                             PATH_BYTES_MAX);
    }
    return MLT_OK;
}
