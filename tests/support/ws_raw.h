/*
 * A small WebSocket and HTTP client for tests: blocking, with deadlines, over plain sockets or TLS,
 * sharing no code with what is tested. It answers nothing by itself, so that a test decides about
 * pongs. One thread at a time.
 */
#ifndef MELTICA_TEST_WS_RAW_H
#define MELTICA_TEST_WS_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct raw_tls; /* opaque */

struct raw_ws {
    int fd; /* -1: not open */
    struct raw_tls *tls;
    uint8_t *buffer; /* received bytes at [at, len) */
    size_t at, len, capacity;
};

enum raw_opcode { RAW_TEXT = 1, RAW_BINARY = 2, RAW_CLOSE = 8, RAW_PING = 9, RAW_PONG = 10 };

enum raw_result {
    RAW_FRAME,
    RAW_TIMEOUT, /* nothing came in time */
    RAW_GONE     /* the connection ended without (further) frame */
};

struct raw_frame {
    unsigned opcode;
    bool final;
    const uint8_t *data; /* valid until the next call; followed by a byte that is not part of it */
    size_t len;
};

/* Connects to 127.0.0.1 and upgrades. ca: file with the CA certificate for TLS (the host is checked
 * as "localhost"), or NULL. Returns the HTTP status (101: open) or -1 when nothing answered. */
int raw_ws_open(struct raw_ws *ws, int port, const char *ca, const char *target);
void raw_ws_close(struct raw_ws *ws);

/* One masked frame. False when the connection is gone. */
bool raw_ws_send(struct raw_ws *ws, unsigned opcode, const void *data, size_t len);
bool raw_ws_send_text(struct raw_ws *ws, const char *text);

enum raw_result raw_ws_receive(struct raw_ws *ws, int timeout_ms, struct raw_frame *frame);

struct raw_response {
    int status; /* -1: nothing came */
    char head[4096];
    char *body; /* NUL-terminated; free with raw_response_fini */
    size_t body_len;
};

/* GET on a connection of its own. headers: NULL, or lines that each end in \r\n. */
void raw_http_get(int port, const char *ca, const char *target, const char *headers,
                  struct raw_response *response);
void raw_response_fini(struct raw_response *response);
/* Value of a header (any case) as text; empty when absent. */
void raw_response_header(const struct raw_response *response, const char *name, char *out,
                         size_t size);

#endif
