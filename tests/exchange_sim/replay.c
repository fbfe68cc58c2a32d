#include "replay.h"

#include <stdlib.h>
#include <string.h>

#include "meltica/base/clock.h"
#include "replay_internal.h"

#define SYMBOLS_MAX ((size_t)1 << 16)
#define FRAMES_PER_PUMP 100000u /* when nobody takes them: keep turning the loop */

struct mlt_slice replay_inner(const struct replay_frame *frame)
{
    return mlt_slice_of(frame->json + frame->inner_at, frame->inner_len);
}

size_t replay_passed(const struct replay *replay, const struct replay_indexes *indexes)
{
    size_t low = 0, high = indexes->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (indexes->at[middle] < replay->cursor) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Recorded times are milliseconds: each documented time member gets three digits more. */
static bool append_micros(struct mlt_buf *out, struct mlt_slice json, const char *keys)
{
    mlt_buf_clear(out);
    if (mlt_buf_reserve(out, json.len + 64) != MLT_OK) {
        return false;
    }
    size_t copied = 0;
    for (size_t i = 0; i + 4 < json.len; i++) {
        if (json.data[i] != '"' || json.data[i + 2] != '"' || json.data[i + 3] != ':' ||
            strchr(keys, json.data[i + 1]) == NULL) {
            continue;
        }
        size_t end = i + 4;
        while (end < json.len && json.data[end] >= '0' && json.data[end] <= '9') {
            end++;
        }
        if (end == i + 4) {
            continue;
        }
        if (mlt_buf_append(out, json.data + copied, end - copied) != MLT_OK ||
            mlt_buf_append(out, "000", 3) != MLT_OK) {
            return false;
        }
        copied = end;
        i = end - 1;
    }
    return mlt_buf_append(out, json.data + copied, json.len - copied) == MLT_OK;
}

static void emit(struct replay *replay, const struct replay_frame *recorded)
{
    struct sim_hub *hub = replay->market.hub;
    const struct replay_stream *stream = &replay->streams[recorded->stream];
    struct sim_topic *topic = stream->topic;
    const struct sim_frame frame = { mlt_slice_of(recorded->json, recorded->len),
                                     replay_inner(recorded) };
    if (topic->micros_count == 0) {
        sim_hub_emit(hub, topic, &frame, SIM_UNIT_ANY);
        return;
    }
    sim_hub_emit(hub, topic, &frame, SIM_UNIT_MS);
    if (append_micros(&replay->micros, frame.combined, stream->time_keys)) {
        const size_t more = replay->micros.len - frame.combined.len;
        const struct sim_frame scaled = {
            mlt_buf_view(&replay->micros),
            mlt_slice_of(replay->micros.data + recorded->inner_at, recorded->inner_len + more),
        };
        sim_hub_emit(hub, topic, &scaled, SIM_UNIT_US);
    }
}

static int64_t due_ns(const struct replay *replay, size_t frame)
{
    const int64_t recorded = replay->frames[frame].at_ns - replay->frames[0].at_ns;
    return replay->begun_ns + (int64_t)((double)recorded / replay->market.speed);
}

/* At the end of the recording. Returns whether there is more. */
static bool wrap(struct replay *replay, int64_t now_ns)
{
    if (!replay->wrap || sim_hub_done(replay->market.hub)) {
        replay->market.finished = true;
        return false;
    }
    replay->cursor = 0;
    replay->begun_ns = now_ns;
    replay->market.passes++;
    return true;
}

static int64_t pump(struct sim_market *market, int64_t now_ns)
{
    struct replay *replay = (struct replay *)market;
    struct sim_hub *hub = market->hub;
    const bool flat_out = !(market->speed > 0);
    if (replay->begun_ns == 0 || market->finished) {
        return INT64_MAX;
    }
    for (unsigned n = 0; sim_hub_has_room(hub); n++) {
        if (sim_hub_done(hub)) {
            market->finished = true;
            return INT64_MAX;
        }
        if (replay->cursor == replay->frame_count && !wrap(replay, now_ns)) {
            return INT64_MAX;
        }
        if (flat_out && hub->line_count == 0) {
            return INT64_MAX; /* "as fast as the client reads" needs one */
        }
        if (flat_out ? n >= FRAMES_PER_PUMP : due_ns(replay, replay->cursor) > now_ns) {
            return flat_out ? now_ns : due_ns(replay, replay->cursor);
        }
        emit(replay, &replay->frames[replay->cursor++]);
        market->frames_passed++;
    }
    return INT64_MAX;
}

static void begin(struct sim_market *market, int64_t now_ns)
{
    struct replay *replay = (struct replay *)market;
    replay->begun_ns = replay->begun_ns == 0 ? now_ns : replay->begun_ns;
}

/* The streams of the recording got their numbers while it was read. */
static int64_t attach(struct sim_market *market, struct sim_topic *topic)
{
    (void)market;
    (void)topic;
    return -1;
}

static void destroy(struct sim_market *market)
{
    struct replay *replay = (struct replay *)market;
    for (size_t i = 0; i < replay->symbol_count; i++) {
        replay_symbol_fini(&replay->symbols[i]);
    }
    for (size_t i = 0; i < replay->stream_count; i++) {
        free(replay->streams[i].frames.at);
    }
    for (size_t i = 0; i < replay->file_count; i++) {
        mlt_recording_close(&replay->files[i]);
    }
    mlt_map_fini(&replay->by_name);
    mlt_buf_fini(&replay->micros);
    free(replay->symbols);
    free(replay->streams);
    free(replay->frames);
    free(replay);
}

const struct sim_market_ops replay_ops = {
    .destroy = destroy,
    .attach = attach,
    .begin = begin,
    .pump = pump,
    .find = replay_find,
    .symbol = replay_describe,
    .listing = replay_listing,
    .book = replay_book,
    .book_at = replay_book_at,
    .top = replay_top,
    .trade_count = replay_trade_count,
    .trade = replay_trade,
    .candles = replay_candles,
    .day = replay_day,
};

struct sim_market *sim_replay_create(struct sim_hub *hub, const struct sim_replay_options *options,
                                     struct mlt_error *err)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL) {
        (void)mlt_error_set(err, MLT_E_NOMEM, "%s", mlt_status_text(MLT_E_NOMEM));
        return NULL;
    }
    replay->market.ops = &replay_ops;
    replay->market.hub = hub;
    replay->market.mode = "replay";
    replay->market.speed = options->speed;
    replay->wrap = options->wrap;
    mlt_map_init(&replay->by_name, SYMBOLS_MAX);
    mlt_buf_init(&replay->micros, SIM_OUT_BYTES_MAX);
    if (replay_load(replay, options, err) != MLT_OK) {
        destroy(&replay->market);
        return NULL;
    }
    replay->market.symbol_count = replay->symbol_count;
    replay->market.stream_count = replay->stream_count;
    replay->market.frames_total = replay->frame_count;
    return &replay->market;
}
