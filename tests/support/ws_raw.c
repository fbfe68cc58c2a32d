#include "ws_raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_MS 10000
#define CHUNK_BYTES ((size_t)256 << 10)

struct raw_tls {
    SSL_CTX *ctx;
    SSL *ssl;
};

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void tls_close(struct raw_ws *ws)
{
    if (ws->tls != NULL) {
        SSL_free(ws->tls->ssl);
        SSL_CTX_free(ws->tls->ctx);
        free(ws->tls);
        ws->tls = NULL;
    }
}

static bool tls_open(struct raw_ws *ws, const char *ca)
{
    ws->tls = calloc(1, sizeof *ws->tls);
    if (ws->tls == NULL) {
        return false;
    }
    ws->tls->ctx = SSL_CTX_new(TLS_client_method());
    if (ws->tls->ctx == NULL || SSL_CTX_load_verify_locations(ws->tls->ctx, ca, NULL) != 1) {
        return false;
    }
    SSL_CTX_set_verify(ws->tls->ctx, SSL_VERIFY_PEER, NULL);
    ws->tls->ssl = SSL_new(ws->tls->ctx);
    return ws->tls->ssl != NULL && SSL_set1_host(ws->tls->ssl, "localhost") == 1 &&
           SSL_set_fd(ws->tls->ssl, ws->fd) == 1 && SSL_connect(ws->tls->ssl) == 1;
}

static bool dial(struct raw_ws *ws, int port, const char *ca)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    memset(ws, 0, sizeof *ws);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ws->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ws->fd < 0 ||
        connect(ws->fd, (const struct sockaddr *)(const void *)&address, sizeof address) != 0 ||
        (ca != NULL && !tls_open(ws, ca))) {
        raw_ws_close(ws);
        return false;
    }
    return true;
}

void raw_ws_close(struct raw_ws *ws)
{
    tls_close(ws);
    if (ws->fd >= 0) {
        (void)close(ws->fd);
    }
    free(ws->buffer);
    *ws = (struct raw_ws){ .fd = -1 };
}

static bool send_all(struct raw_ws *ws, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0) {
        const ssize_t n = ws->tls != NULL ? SSL_write(ws->tls->ssl, at, (int)len)
                                          : send(ws->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool wait_readable(struct raw_ws *ws, int64_t until_ms)
{
    if (ws->tls != NULL && SSL_pending(ws->tls->ssl) > 0) {
        return true;
    }
    for (;;) {
        const int64_t left = until_ms - now_ms();
        struct pollfd fd = { .fd = ws->fd, .events = POLLIN };
        const int n = poll(&fd, 1, left > 0 ? (int)left : 0);
        if (n >= 0 || errno != EINTR) {
            return n > 0;
        }
    }
}

/* Receives until `bytes` stand in the buffer. */
static enum raw_result fill(struct raw_ws *ws, size_t bytes, int64_t until_ms)
{
    if (ws->at > 0 && ws->len - ws->at < bytes) {
        memmove(ws->buffer, ws->buffer + ws->at, ws->len - ws->at);
        ws->len -= ws->at;
        ws->at = 0;
    }
    if (ws->capacity < bytes + CHUNK_BYTES) {
        uint8_t *more = realloc(ws->buffer, bytes + CHUNK_BYTES + 1);
        if (more == NULL) {
            return RAW_GONE;
        }
        ws->buffer = more;
        ws->capacity = bytes + CHUNK_BYTES;
    }
    while (ws->len - ws->at < bytes) {
        if (!wait_readable(ws, until_ms)) {
            return RAW_TIMEOUT;
        }
        const size_t room = ws->capacity - ws->len;
        const ssize_t n = ws->tls != NULL ? SSL_read(ws->tls->ssl, ws->buffer + ws->len, (int)room)
                                          : recv(ws->fd, ws->buffer + ws->len, room, 0);
        if (n <= 0) {
            return RAW_GONE;
        }
        ws->len += (size_t)n;
    }
    return RAW_FRAME;
}

/* Reads to the empty line; the head with it goes to out. Returns the status. */
static int read_head(struct raw_ws *ws, char *out, size_t size)
{
    const int64_t until = now_ms() + CONNECT_MS;
    size_t bytes = 4;
    int status = -1;
    for (;;) {
        if (fill(ws, bytes, until) != RAW_FRAME || bytes > size) {
            return -1;
        }
        const uint8_t *start = ws->buffer + ws->at;
        const uint8_t *end = memmem(start, ws->len - ws->at, "\r\n\r\n", 4);
        if (end != NULL) {
            const size_t len = (size_t)(end - start) + 4;
            if (len >= size) {
                return -1;
            }
            memcpy(out, start, len);
            out[len] = '\0';
            ws->at += len;
            return strncmp(out, "HTTP/1.1 ", 9) == 0 &&
                           (status = (int)strtol(out + 9, NULL, 10)) > 0
                       ? status
                       : -1;
        }
        bytes = ws->len - ws->at + 1;
    }
}

int raw_ws_open(struct raw_ws *ws, int port, const char *ca, const char *target)
{
    static const char format[] =
        "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    char head[4096];
    if (!dial(ws, port, ca)) {
        return -1;
    }
    const size_t size = strlen(target) + sizeof format;
    char *request = malloc(size);
    int status = -1;
    if (request != NULL) {
        const int len = snprintf(request, size, format, target);
        status = send_all(ws, request, (size_t)len) ? read_head(ws, head, sizeof head) : -1;
    }
    free(request);
    /* RFC 6455 1.3: the answer to this key */
    if (status == 101 && strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == NULL) {
        status = -1;
    }
    if (status != 101) {
        raw_ws_close(ws);
    }
    return status;
}

bool raw_ws_send(struct raw_ws *ws, unsigned opcode, const void *data, size_t len)
{
    static const uint8_t mask[4] = { 0x12, 0x34, 0x56, 0x78 };
    uint8_t *frame = malloc(len + 14);
    size_t at = 0;
    if (frame == NULL) {
        return false;
    }
    frame[at++] = (uint8_t)(0x80u | opcode);
    if (len < 126) {
        frame[at++] = (uint8_t)(0x80u | len);
    } else {
        const size_t bytes = len < 65536 ? 2 : 8;
        frame[at++] = (uint8_t)(0x80u | (bytes == 2 ? 126u : 127u));
        for (size_t i = bytes; i > 0; i--) {
            frame[at++] = (uint8_t)(len >> (8 * (i - 1)));
        }
    }
    memcpy(frame + at, mask, sizeof mask);
    at += sizeof mask;
    for (size_t i = 0; i < len; i++) {
        frame[at + i] = (uint8_t)(((const uint8_t *)data)[i] ^ mask[i & 3]);
    }
    const bool sent = send_all(ws, frame, at + len);
    free(frame);
    return sent;
}

bool raw_ws_send_text(struct raw_ws *ws, const char *text)
{
    return raw_ws_send(ws, RAW_TEXT, text, strlen(text));
}

enum raw_result raw_ws_receive(struct raw_ws *ws, int timeout_ms, struct raw_frame *frame)
{
    const int64_t until = now_ms() + timeout_ms;
    size_t head = 2;
    enum raw_result result = fill(ws, head, until);
    if (result != RAW_FRAME) {
        return result;
    }
    const uint8_t short_len = ws->buffer[ws->at + 1] & 0x7f;
    uint64_t len = short_len;
    if (short_len >= 126) {
        head = short_len == 126 ? 4 : 10;
        result = fill(ws, head, until);
        if (result != RAW_FRAME) {
            return result;
        }
        len = 0;
        for (size_t i = 2; i < head; i++) {
            len = len << 8 | ws->buffer[ws->at + i];
        }
    }
    result = fill(ws, head + (size_t)len, until);
    if (result != RAW_FRAME) {
        return result;
    }
    const uint8_t *start = ws->buffer + ws->at;
    *frame = (struct raw_frame){ .opcode = start[0] & 0x0fu,
                                 .final = (start[0] & 0x80u) != 0,
                                 .data = start + head,
                                 .len = (size_t)len };
    ws->at += head + (size_t)len;
    return RAW_FRAME;
}

void raw_response_header(const struct raw_response *response, const char *name, char *out,
                         size_t size)
{
    const size_t len = strlen(name);
    out[0] = '\0';
    for (const char *line = strstr(response->head, "\r\n"); line != NULL;
         line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *value = line + len + 1 + strspn(line + len + 1, " ");
            (void)snprintf(out, size, "%.*s", (int)strcspn(value, "\r"), value);
            return;
        }
    }
}

void raw_http_get(int port, const char *ca, const char *target, const char *headers,
                  struct raw_response *response)
{
    char request[4096], length[32];
    struct raw_ws ws;
    memset(response, 0, sizeof *response);
    response->status = -1;
    if (!dial(&ws, port, ca)) {
        return;
    }
    const int len = snprintf(request, sizeof request,
                             "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n",
                             target, headers != NULL ? headers : "");
    if (len > 0 && (size_t)len < sizeof request && send_all(&ws, request, (size_t)len)) {
        response->status = read_head(&ws, response->head, sizeof response->head);
    }
    raw_response_header(response, "content-length", length, sizeof length);
    const size_t body_len = (size_t)strtoull(length, NULL, 10);
    response->body = calloc(1, body_len + 1);
    if (response->status > 0 && response->body != NULL && body_len > 0) {
        if (fill(&ws, body_len, now_ms() + CONNECT_MS) == RAW_FRAME) {
            memcpy(response->body, ws.buffer + ws.at, body_len);
            response->body_len = body_len;
        } else {
            response->status = -1;
        }
    }
    raw_ws_close(&ws);
}

void raw_response_fini(struct raw_response *response)
{
    free(response->body);
    response->body = NULL;
}
