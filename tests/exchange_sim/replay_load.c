/* Reading a recording: frames in order, streams, symbols, snapshots, exchangeInfo. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "replay_internal.h"

#define FRAMES_MAX UINT32_MAX

bool replay_grow(void **items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity) {
        return true;
    }
    const size_t more = *capacity > 0 ? *capacity * 2 : 16;
    void *moved = realloc(*items, more * item_bytes);
    if (moved == NULL) {
        return false;
    }
    *items = moved;
    *capacity = more;
    return true;
}

static bool add_index(struct replay_indexes *indexes, size_t frame)
{
    void *at = indexes->at;
    const bool room = replay_grow(&at, indexes->count, &indexes->capacity, sizeof *indexes->at);
    indexes->at = at;
    if (room) {
        indexes->at[indexes->count++] = (uint32_t)frame;
    }
    return room;
}

enum mlt_status replay_symbol_of(struct replay *replay, struct mlt_slice name, size_t *symbol)
{
    const uintptr_t known = (uintptr_t)mlt_map_get(&replay->by_name, name);
    if (known != 0) {
        *symbol = known - 1;
        return MLT_OK;
    }
    void *items = replay->symbols;
    const bool room = replay_grow(&items, replay->symbol_count, &replay->symbol_capacity,
                                  sizeof *replay->symbols);
    replay->symbols = items;
    char *copy = room ? malloc(name.len + 1) : NULL;
    if (copy == NULL) {
        return MLT_E_NOMEM;
    }
    memcpy(copy, name.data, name.len);
    copy[name.len] = '\0';
    *symbol = replay->symbol_count;
    const enum mlt_status status =
        mlt_map_put(&replay->by_name, name, (void *)(uintptr_t)(*symbol + 1));
    if (status != MLT_OK) {
        free(copy);
        return status;
    }
    struct replay_symbol *made = &replay->symbols[replay->symbol_count++];
    memset(made, 0, sizeof *made);
    made->name = copy;
    made->name_len = name.len;
    made->depth_stream = made->ticker_stream = -1;
    for (int i = 0; i < SIM_INTERVAL_COUNT; i++) {
        made->kline_streams[i] = -1;
    }
    sim_book_init(&made->live.book);
    sim_book_init(&made->past.book);
    return MLT_OK;
}

void replay_symbol_fini(struct replay_symbol *symbol)
{
    free(symbol->name);
    free(symbol->snapshots);
    free(symbol->trades.items);
    free(symbol->trades.frames.at);
    free(symbol->aggregates.items);
    free(symbol->aggregates.frames.at);
    sim_book_fini(&symbol->live.book);
    sim_book_fini(&symbol->past.book);
}

static const struct {
    const char *suffix; /* a trailing '*' stands for anything */
    enum replay_kind kind;
    const char *time_keys; /* members that hold times */
} kinds[] = {
    { "depth", REPLAY_DEPTH, "E" },           { "depth@100ms", REPLAY_DEPTH, "E" },
    { "bookTicker", REPLAY_BOOK_TICKER, "" }, { "trade", REPLAY_TRADE, "ET" },
    { "aggTrade", REPLAY_AGG_TRADE, "ET" },   { "kline_*", REPLAY_KLINE, "EtT" },
    { "ticker*", REPLAY_OTHER, "EOC" },       { "miniTicker*", REPLAY_OTHER, "E" },
    { "arr", REPLAY_OTHER, "EOC" },           { "avgPrice", REPLAY_OTHER, "ET" },
    { "blockTrade", REPLAY_OTHER, "ET" },     { "referencePrice", REPLAY_OTHER, "t" },
};

static bool matches(struct mlt_slice text, const char *pattern)
{
    const size_t len = strlen(pattern);
    if (pattern[len - 1] == '*') {
        return text.len >= len - 1 && memcmp(text.data, pattern, len - 1) == 0;
    }
    return mlt_slice_equal_string(text, pattern);
}

static void classify(struct replay_stream *stream, struct mlt_slice suffix)
{
    stream->kind = REPLAY_OTHER;
    stream->time_keys = "";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (matches(suffix, kinds[i].suffix)) {
            stream->kind = kinds[i].kind;
            stream->time_keys = kinds[i].time_keys;
            break;
        }
    }
    if (stream->kind == REPLAY_KLINE) {
        stream->interval =
            sim_interval_find(mlt_slice_of(suffix.data + 6, suffix.len - 6)); /* "kline_" */
        if (stream->interval < 0) {
            stream->kind = REPLAY_OTHER;
        }
    }
}

/* "btcusdt" -> BTCUSDT; bytes beyond ASCII stay. */
static enum mlt_status symbol_of_stream(struct replay *replay, struct mlt_slice lower,
                                        size_t *symbol)
{
    uint8_t upper[SIM_NAME_BYTES_MAX];
    for (size_t i = 0; i < lower.len; i++) {
        const uint8_t c = lower.data[i];
        upper[i] = c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c;
    }
    return replay_symbol_of(replay, mlt_slice_of(upper, lower.len), symbol);
}

static void link_stream(struct replay *replay, const struct replay_stream *stream, int64_t id)
{
    struct replay_symbol *symbol = &replay->symbols[stream->symbol];
    if (stream->kind == REPLAY_DEPTH) {
        /* Both speeds tell the same book; the faster one tells it at more ids. */
        if (symbol->depth_stream < 0 || strstr(stream->topic->name, "@100ms") != NULL) {
            symbol->depth_stream = id;
        }
    } else if (stream->kind == REPLAY_BOOK_TICKER) {
        symbol->ticker_stream = id;
    } else if (stream->kind == REPLAY_KLINE) {
        symbol->kline_streams[stream->interval] = id;
    }
}

static enum mlt_status stream_of(struct replay *replay, struct mlt_slice name, size_t *id)
{
    struct sim_topic *topic = NULL;
    enum mlt_status status = sim_hub_topic(replay->market.hub, name, &topic);
    if (status != MLT_OK || topic->market_id >= 0) {
        *id = topic != NULL ? (size_t)topic->market_id : 0;
        return status;
    }
    void *items = replay->streams;
    const bool room = replay_grow(&items, replay->stream_count, &replay->stream_capacity,
                                  sizeof *replay->streams);
    replay->streams = items;
    if (!room) {
        return MLT_E_NOMEM;
    }
    struct replay_stream *stream = &replay->streams[replay->stream_count];
    memset(stream, 0, sizeof *stream);
    stream->topic = topic;
    const uint8_t *at = memchr(name.data, '@', name.len);
    const size_t symbol_len = (size_t)(at - name.data);
    classify(stream, mlt_slice_of(at + 1, name.len - symbol_len - 1));
    if (name.data[0] != '!') {
        status = symbol_of_stream(replay, mlt_slice_of(name.data, symbol_len), &stream->symbol);
        if (status == MLT_OK) {
            link_stream(replay, stream, (int64_t)replay->stream_count);
        }
    }
    if (status == MLT_OK) {
        *id = replay->stream_count++;
        topic->market_id = (int64_t)*id;
    }
    return status;
}

/* Name and payload of a combined frame; the usual spelling fast, any other by parsing. */
static bool split_frame(struct mlt_slice json, struct mlt_slice *name, struct mlt_slice *inner)
{
    const struct mlt_slice head = MLT_SLICE_LITERAL("{\"stream\":\""),
                           middle = MLT_SLICE_LITERAL("\",\"data\":");
    if (json.len > head.len && mlt_slice_starts_with(json, head) &&
        json.data[json.len - 1] == '}') {
        const uint8_t *start = json.data + head.len;
        const uint8_t *quote = memchr(start, '"', json.len - head.len);
        const size_t left = quote != NULL ? json.len - (size_t)(quote - json.data) : 0;
        if (left > middle.len + 1 && mlt_slice_starts_with(mlt_slice_of(quote, left), middle)) {
            *name = mlt_slice_of(start, (size_t)(quote - start));
            *inner = mlt_slice_of(quote + middle.len, left - middle.len - 1);
            return true;
        }
    }
    size_t unused = 0;
    struct mlt_slice value;
    return sim_json_valid(json, &unused) && sim_json_member(json, "stream", &value) &&
           sim_json_plain(value, name) && sim_json_member(json, "data", inner);
}

static enum mlt_status add_frame(struct replay *replay, const struct mlt_record *record)
{
    struct mlt_slice name, inner;
    size_t stream = 0;
    if (!split_frame(record->json, &name, &inner) || !sim_name_valid(name) ||
        record->json.len > UINT32_MAX) {
        replay->market.skipped++;
        return MLT_OK;
    }
    enum mlt_status status = stream_of(replay, name, &stream);
    if (status != MLT_OK) {
        return status;
    }
    void *items = replay->frames;
    const bool room =
        replay->frame_count < FRAMES_MAX &&
        replay_grow(&items, replay->frame_count, &replay->frame_capacity, sizeof *replay->frames);
    replay->frames = items;
    if (!room) {
        return MLT_E_NOMEM;
    }
    replay->frames[replay->frame_count++] =
        (struct replay_frame){ .json = record->json.data,
                               .len = (uint32_t)record->json.len,
                               .inner_at = (uint32_t)(inner.data - record->json.data),
                               .inner_len = (uint32_t)inner.len,
                               .stream = (uint32_t)stream,
                               .at_ns = record->received_ns };
    return MLT_OK;
}

static bool add_snapshot(struct replay_symbol *symbol, struct mlt_slice json)
{
    struct mlt_slice *more =
        realloc(symbol->snapshots, (symbol->snapshot_count + 1) * sizeof *more);
    if (more == NULL) {
        return false;
    }
    symbol->snapshots = more;
    symbol->snapshots[symbol->snapshot_count++] = json;
    return true;
}

static enum mlt_status add_listing(struct replay *replay, struct mlt_slice json)
{
    struct mlt_slice symbols, object, name;
    if (!sim_json_member(json, "symbols", &symbols)) {
        return MLT_OK;
    }
    size_t position = 0;
    while (sim_json_next(symbols, &position, &object)) {
        size_t symbol = 0;
        if (!sim_json_member(object, "symbol", &name) || !sim_json_plain(name, &name)) {
            continue;
        }
        const enum mlt_status status = replay_symbol_of(replay, name, &symbol);
        if (status != MLT_OK) {
            return status;
        }
        replay->symbols[symbol].listing = object;
    }
    return MLT_OK;
}

/* Value of a query parameter in a recorded URL. */
static bool url_parameter(struct mlt_slice url, const char *name, struct mlt_slice *value)
{
    const size_t len = strlen(name);
    const uint8_t *at = url.len > 0 ? memmem(url.data, url.len, name, len) : NULL;
    if (at == NULL) {
        return false;
    }
    at += len;
    const size_t left = url.len - (size_t)(at - url.data);
    const uint8_t *end = memchr(at, '&', left);
    *value = mlt_slice_of(at, end != NULL ? (size_t)(end - at) : left);
    return value->len > 0;
}

/* A bare depth body names no symbol: it belongs to the one whose diffs span its id. */
static size_t symbol_of_snapshot(const struct replay *replay, struct mlt_slice json)
{
    struct mlt_slice value;
    int64_t id = 0, first = 0, last = 0, unused = 0;
    if (!sim_json_member(json, "lastUpdateId", &value) || !sim_json_integer(value, &id)) {
        return replay->symbol_count;
    }
    for (size_t i = 0; i < replay->symbol_count; i++) {
        if (replay->symbols[i].depth_stream < 0) {
            continue;
        }
        const struct replay_indexes *at = &replay->streams[replay->symbols[i].depth_stream].frames;
        if (at->count > 0 &&
            sim_book_ids(replay_inner(&replay->frames[at->at[0]]), &first, &unused) == MLT_OK &&
            sim_book_ids(replay_inner(&replay->frames[at->at[at->count - 1]]), &unused, &last) ==
                MLT_OK &&
            id >= first - 1 && id <= last) {
            return i;
        }
    }
    return replay->symbol_count;
}

struct rest_records {
    struct mlt_record *items;
    size_t count, capacity;
};

static enum mlt_status add_rest(struct replay *replay, const struct mlt_record *record)
{
    struct mlt_slice name;
    size_t unused = 0, symbol = replay->symbol_count;
    if (!sim_json_valid(record->json, &unused)) {
        replay->market.skipped++;
        return MLT_OK;
    }
    if (record->url.len == 0) {
        symbol = symbol_of_snapshot(replay, record->json);
    } else if (memmem(record->url.data, record->url.len, "/exchangeInfo", 13) != NULL) {
        return add_listing(replay, record->json);
    } else if (memmem(record->url.data, record->url.len, "/depth", 6) != NULL &&
               url_parameter(record->url, "symbol=", &name)) {
        const enum mlt_status status = replay_symbol_of(replay, name, &symbol);
        if (status != MLT_OK) {
            return status;
        }
    }
    if (symbol >= replay->symbol_count) {
        replay->market.skipped++;
        return MLT_OK;
    }
    return add_snapshot(&replay->symbols[symbol], record->json) ? MLT_OK : MLT_E_NOMEM;
}

static enum mlt_status read_file(struct replay *replay, struct mlt_recording *file,
                                 struct rest_records *rest, struct mlt_error *err)
{
    struct mlt_record record;
    int64_t latest_ns = 0;
    enum mlt_status status;
    while ((status = mlt_recording_next(file, &record, err)) != MLT_E_EMPTY) {
        if (status == MLT_E_PARSE) {
            replay->market.skipped++;
            continue;
        }
        if (status != MLT_OK) {
            return status;
        }
        if (record.kind == MLT_RECORD_FRAME) {
            latest_ns = record.received_ns > latest_ns ? record.received_ns : latest_ns;
            record.received_ns = latest_ns;
            status = add_frame(replay, &record);
        } else {
            void *items = rest->items;
            const bool room =
                replay_grow(&items, rest->count, &rest->capacity, sizeof *rest->items);
            rest->items = items;
            status = room ? MLT_OK : MLT_E_NOMEM;
            if (room) {
                rest->items[rest->count++] = record;
            }
        }
        if (status != MLT_OK) {
            return mlt_error_set(err, status, "%s: %s", file->path, mlt_status_text(status));
        }
    }
    return MLT_OK;
}

/* Files are connections: each keeps its order, the earliest head goes first. */
static enum mlt_status merge(struct replay *replay, const size_t *starts, size_t file_count)
{
    size_t heads[SIM_REPLAY_FILES_MAX] = { 0 };
    bool ordered = true;
    for (size_t i = 1; i < replay->frame_count; i++) {
        ordered = ordered && replay->frames[i].at_ns >= replay->frames[i - 1].at_ns;
    }
    if (ordered) {
        return MLT_OK;
    }
    struct replay_frame *merged = calloc(replay->frame_count, sizeof *merged);
    if (merged == NULL) {
        return MLT_E_NOMEM;
    }
    memcpy(heads, starts, file_count * sizeof heads[0]);
    for (size_t out = 0; out < replay->frame_count; out++) {
        size_t best = file_count;
        for (size_t f = 0; f < file_count; f++) {
            if (heads[f] < starts[f + 1] &&
                (best == file_count ||
                 replay->frames[heads[f]].at_ns < replay->frames[heads[best]].at_ns)) {
                best = f;
            }
        }
        merged[out] = replay->frames[heads[best]++];
    }
    free(replay->frames);
    replay->frames = merged;
    replay->frame_capacity = replay->frame_count;
    return MLT_OK;
}

static enum mlt_status add_trade(struct replay_trades *trades, size_t frame, struct mlt_slice json,
                                 bool aggregate)
{
    struct sim_trade trade;
    if (!replay_read_trade(json, aggregate, &trade)) {
        return MLT_OK;
    }
    void *items = trades->items;
    const bool room = replay_grow(&items, trades->count, &trades->capacity, sizeof *trades->items);
    trades->items = items;
    if (!room || !add_index(&trades->frames, frame)) {
        return MLT_E_NOMEM;
    }
    trades->items[trades->count++] = trade;
    return MLT_OK;
}

static enum mlt_status index_frames(struct replay *replay)
{
    for (size_t i = 0; i < replay->frame_count; i++) {
        const struct replay_frame *frame = &replay->frames[i];
        struct replay_stream *stream = &replay->streams[frame->stream];
        if (!add_index(&stream->frames, i)) {
            return MLT_E_NOMEM;
        }
        enum mlt_status status = MLT_OK;
        if (stream->kind == REPLAY_TRADE) {
            status =
                add_trade(&replay->symbols[stream->symbol].trades, i, replay_inner(frame), false);
        } else if (stream->kind == REPLAY_AGG_TRADE) {
            status = add_trade(&replay->symbols[stream->symbol].aggregates, i, replay_inner(frame),
                               true);
        }
        if (status != MLT_OK) {
            return status;
        }
    }
    return MLT_OK;
}

enum mlt_status replay_load(struct replay *replay, const struct sim_replay_options *options,
                            struct mlt_error *err)
{
    struct rest_records rest = { 0 };
    size_t starts[SIM_REPLAY_FILES_MAX + 1] = { 0 };
    enum mlt_status status = MLT_OK;
    if (options->path_count > SIM_REPLAY_FILES_MAX) {
        return mlt_error_set(err, MLT_E_LIMIT, "more than %d recordings", SIM_REPLAY_FILES_MAX);
    }
    for (size_t i = 0; status == MLT_OK && i < options->path_count; i++) {
        status = mlt_recording_open(&replay->files[i], options->paths[i], err);
        if (status == MLT_OK) {
            replay->file_count++;
            status = read_file(replay, &replay->files[i], &rest, err);
        }
        starts[i + 1] = replay->frame_count;
    }
    if (status == MLT_OK) {
        status = merge(replay, starts, options->path_count);
    }
    if (status == MLT_OK) {
        status = index_frames(replay);
    }
    for (size_t i = 0; status == MLT_OK && i < rest.count; i++) {
        status = add_rest(replay, &rest.items[i]);
    }
    free(rest.items);
    if (status == MLT_OK && replay->frame_count == 0) {
        return mlt_error_set(err, MLT_E_EMPTY, "the recordings hold no frame of a named stream");
    }
    if (status != MLT_OK && (err == NULL || err->status == MLT_OK)) {
        return mlt_error_set(err, status, "recordings: %s", mlt_status_text(status));
    }
    return status;
}
