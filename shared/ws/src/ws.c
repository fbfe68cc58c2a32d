#include <stdlib.h>
#include <string.h>

#include "internal.h"

#include "meltica/base/check.h"
#include "meltica/base/clock.h"

#define FRAME_BYTES_MOST (1u << 30)
#define CONNECT_NS_MOST (60 * MLT_NS_PER_S)

static const char *const end_words[] = {
    [MLT_WS_REFUSED] = "refused", [MLT_WS_CLOSED] = "closed",   [MLT_WS_LOST] = "lost",
    [MLT_WS_SILENT] = "silent",   [MLT_WS_TOO_BIG] = "too_big", [MLT_WS_BY_US] = "by_us",
};

const char *mlt_ws_end_word(enum mlt_ws_end end)
{
    return (size_t)end < sizeof end_words / sizeof end_words[0] ? end_words[end] : "unknown";
}

static enum mlt_status check_options(const struct mlt_ws_options *options, struct mlt_error *err)
{
    MLT_CHECK(options->on_open != NULL && options->on_frame != NULL && options->on_end != NULL);
    if (options->frame_bytes_max == 0 || options->frame_bytes_max > FRAME_BYTES_MOST) {
        return mlt_error_set(err, MLT_E_CONFIG, "largest message: must be 1 byte to 1 GiB");
    }
    if (options->connect_timeout_ns <= 0 || options->connect_timeout_ns > CONNECT_NS_MOST) {
        return mlt_error_set(err, MLT_E_CONFIG, "connect timeout: must be over 0 and at most 60 s");
    }
    return options->silence_ns >= 0
               ? MLT_OK
               : mlt_error_set(err, MLT_E_CONFIG, "silence: must not be negative");
}

enum mlt_status mlt_ws_connect(struct mlt_loop *loop, const struct mlt_ws_options *options,
                               struct mlt_ws **out, struct mlt_error *err)
{
    *out = NULL;
    enum mlt_status status = check_options(options, err);
    if (status != MLT_OK) {
        return status;
    }
    struct mlt_ws *ws = calloc(1, sizeof *ws);
    if (ws == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for a WebSocket line");
    }
    ws->loop = loop;
    ws->context = mlt_loop_lws(loop);
    ws->close_status = LWS_CLOSE_STATUS_NORMAL;
    ws->options = *options;
    ws->options.url = NULL;
    ws->options.ca_file = NULL;
    status = ws_url_parse(options->url, &ws->url, err);
    if (status == MLT_OK) {
        status = ws_vhost_get(loop, ws->url.tls, options->ca_file, &ws->vhost, err);
    }
    if (status != MLT_OK) {
        free(ws);
        return status;
    }
    ws->next = ws->vhost->lines;
    if (ws->next != NULL) {
        ws->next->previous = ws;
    }
    ws->vhost->lines = ws;
    status = ws_line_start(ws, err);
    if (status != MLT_OK) {
        ws_line_free(ws);
        return status;
    }
    *out = ws;
    return MLT_OK;
}

enum mlt_status mlt_ws_send(struct mlt_ws *ws, struct mlt_slice text)
{
    if (ws->state != LINE_UP) {
        return MLT_E_CLOSED;
    }
    if (text.len > SEND_BYTES_MAX) {
        return MLT_E_TOO_BIG;
    }
    if (ws->send_count == SENDS_MAX) {
        return MLT_E_FULL;
    }
    unsigned char *data = malloc(LWS_PRE + text.len);
    if (data == NULL) {
        return MLT_E_NOMEM;
    }
    if (text.len > 0) {
        memcpy(data + LWS_PRE, text.data, text.len);
    }
    const unsigned at = (ws->send_first + ws->send_count) % SENDS_MAX;
    ws->sends[at].data = data;
    ws->sends[at].len = text.len;
    ws->send_count++;
    ws_line_write_soon(ws);
    return MLT_OK;
}

/* Resuming with bytes in hand makes libwebsockets ask for the write callback: that is no ping. */
static void flow(struct mlt_ws *ws, bool on)
{
    ws->asking = true;
    (void)lws_rx_flow_control(ws->wsi, on ? 1 : 0);
    ws->asking = false;
}

void mlt_ws_pause(struct mlt_ws *ws, bool paused)
{
    if (ws->paused == paused || ws->state == LINE_ENDING || ws->state == LINE_OVER) {
        return;
    }
    ws->paused = paused;
    ws->silence_from_mono = mlt_clock_mono_ns();
    if (ws->state == LINE_UP) {
        flow(ws, !paused);
    }
}

void mlt_ws_close(struct mlt_ws *ws)
{
    const enum line_state before = ws->state;
    if (before == LINE_ENDING || before == LINE_OVER) {
        return;
    }
    ws_line_end(ws, MLT_WS_BY_US, 0, "closed by this side");
    if (before == LINE_UP) {
        if (ws->paused) { /* the server's close frame must be read */
            ws->paused = false;
            flow(ws, true);
        }
        ws_line_write_soon(ws);
    } else if (ws->wsi != NULL) {
        lws_wsi_close(ws->wsi, LWS_TO_KILL_ASYNC);
    }
}

void mlt_ws_get_stats(const struct mlt_ws *ws, struct mlt_ws_stats *out)
{
    *out = ws->stats;
    out->last_received_mono_ns = ws_line_last_received_mono(ws, mlt_clock_mono_ns());
}
