/*
 * WebSocket client lines on the loop of shared/rt (libwebsockets). Loop thread only. A line
 * connects once and ends once: reconnecting, back-off and subscriptions are its owner's.
 */
#ifndef MELTICA_WS_WS_H
#define MELTICA_WS_WS_H

#include <stdbool.h>
#include <stdint.h>

#include "meltica/base/error.h"
#include "meltica/base/slice.h"
#include "meltica/rt/loop.h"

#define MLT_WS_FRAME_PADDING 16u /* readable and writable bytes after a frame (yyjson in situ) */

struct mlt_ws;

enum mlt_ws_end {
    MLT_WS_REFUSED, /* never came up: DNS, TCP, TLS or HTTP said no */
    MLT_WS_CLOSED,  /* the server closed (code, if it gave one) */
    MLT_WS_LOST,    /* TCP ended without a close frame */
    MLT_WS_SILENT,  /* no bytes at all, pings included, for silence_ns */
    MLT_WS_TOO_BIG, /* a frame over frame_bytes_max: the line is closed with 1009 */
    MLT_WS_BY_US    /* mlt_ws_close */
};

struct mlt_ws_options {
    const char *url; /* ws://host[:port]/path?query or wss://; plain only where the URL says so */
    const char *ca_file;        /* PEM; NULL or "": the system's */
    size_t frame_bytes_max;     /* whole message, reassembled: 1 byte to 1 GiB */
    int64_t connect_timeout_ns; /* from mlt_ws_connect to on_open, at most 60 s */
    int64_t silence_ns; /* nothing received (data or ping) for so long ends the line; 0: never */

    void (*on_open)(void *ctx);
    /* A whole text or binary message. Bytes are valid and may be overwritten during the call, and
     * MLT_WS_FRAME_PADDING zero bytes follow them. received_ns: wall time at which its last byte
     * was read. */
    void (*on_frame)(void *ctx, char *data, size_t len, int64_t received_ns);
    /* NULL, or told that the answer to a ping has left (it counts towards the exchange's limit of
     * messages). A ping that comes before the loop has turned after the last one's pong is answered
     * but not counted. */
    void (*on_pong)(void *ctx);
    /* Exactly once for each line for which connect returned OK, also after mlt_ws_close; never
     * inside a call of this API. The line is freed after it returns. code is what a close frame
     * said (CLOSED) or the HTTP status that was not 101 (REFUSED), 0 otherwise; text is for people.
     */
    void (*on_end)(void *ctx, enum mlt_ws_end end, unsigned code, const char *text);
    void *ctx;
};

/* Begins to connect. Strings are copied. Names are looked up on a thread of their own, and every
 * address of one is tried. TLS is verified (chain and host name). Redirects, proxies of the
 * environment and compression are not used. Pings are answered from the read path, whatever
 * on_frame's owner does. E_CONFIG (bad URL, bad limits, CA file), E_NOMEM, E_CONNECT; on failure
 * there is no line and no on_end. */
enum mlt_status mlt_ws_connect(struct mlt_loop *loop, const struct mlt_ws_options *options,
                               struct mlt_ws **ws, struct mlt_error *err) MLT_MUST_CHECK;
/* Sends one text message (copied; at most 16 waiting, 64 KiB each), from on_open on. E_FULL,
 * E_TOO_BIG, E_NOMEM, E_CLOSED. */
enum mlt_status mlt_ws_send(struct mlt_ws *ws, struct mlt_slice text) MLT_MUST_CHECK;
/* Stops or resumes reading: back-pressure. Pings are not answered and silence is not counted while
 * paused, so the caller bounds the pause. */
void mlt_ws_pause(struct mlt_ws *ws, bool paused);
/* Ends the line soon (close frame 1000 if up, and at most 1 s for the server's); no frame comes any
 * more, on_end follows. */
void mlt_ws_close(struct mlt_ws *ws);

struct mlt_ws_stats {
    uint64_t frames, bytes, pings, pongs, fragments; /* fragments: pieces that made up the frames */
    int64_t last_received_mono_ns; /* any byte, to a few milliseconds; 0: nothing yet */
};
void mlt_ws_get_stats(const struct mlt_ws *ws, struct mlt_ws_stats *out);

const char *mlt_ws_end_word(enum mlt_ws_end end);

#endif
