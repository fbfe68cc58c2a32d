#include "book_tape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "binance.h"
#include "meltica/recording/recording.h"

#define PADDING 8

static const char listing[] =
    "{\"symbols\":[{\"symbol\":\"BTCUSDT\",\"status\":\"TRADING\",\"baseAsset\":\"BTC\","
    "\"quoteAsset\":\"USDT\",\"baseAssetPrecision\":8,\"quoteAssetPrecision\":8,\"filters\":[]}]}";

struct loader {
    struct tape *tape;
    size_t capacity;
    int64_t received;
    uint32_t depth; /* asked for by the REST call in hand */
    bool failed;
    struct mlt_binance_symbols *symbols;
    struct mlt_binance_decoder *decoder;
};

const char *tape_captures(void)
{
    const char *folder = getenv("MELTICA_CAPTURES");
    return folder != NULL && access(folder, R_OK) == 0 ? folder : NULL;
}

static struct mlt_levels copy_levels(struct loader *l, const struct mlt_levels *from)
{
    struct mlt_levels to = *from;
    int64_t *columns = malloc((2 * from->count + 1) * sizeof *columns);
    if (columns == NULL) {
        l->failed = true;
        to.count = 0;
        return to;
    }
    if (from->count > 0) {
        memcpy(columns, from->prices, from->count * sizeof *columns);
        memcpy(columns + from->count, from->quantities, from->count * sizeof *columns);
    }
    to.prices = columns;
    to.quantities = columns + from->count;
    return to;
}

static unsigned symbol_of(struct loader *l, struct mlt_slice token)
{
    struct tape *tape = l->tape;
    for (unsigned i = 0; i < tape->symbol_count; i++) {
        if (mlt_slice_equal_string(token, tape->tokens[i])) {
            return i;
        }
    }
    if (tape->symbol_count == TAPE_SYMBOLS_MAX) {
        l->failed = true;
        return 0;
    }
    (void)snprintf(tape->tokens[tape->symbol_count], sizeof tape->tokens[0], "%.*s",
                   MLT_SLICE_FMT(token));
    return tape->symbol_count++;
}

/* Room for one entry more. */
static bool make_room(struct loader *l)
{
    struct tape *tape = l->tape;
    if (tape->count == l->capacity) {
        const size_t capacity = l->capacity > 0 ? 2 * l->capacity : 1024;
        struct tape_entry *grown = realloc(tape->entries, capacity * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        tape->entries = grown;
        l->capacity = capacity;
    }
    return true;
}

static void on_emit(void *ctx, const struct mlt_binance_symbol *symbol, struct mlt_slice stream,
                    struct mlt_native_event *event)
{
    struct loader *l = ctx;
    struct tape *tape = l->tape;
    (void)stream;
    struct tape_entry entry = { .received = l->received,
                                .exchange = event->exchange,
                                .first = event->first,
                                .last = event->last };
    if (symbol == NULL || event->type == MLT_NATIVE_UNPARSED || !make_room(l)) {
        l->failed = true;
        return;
    }
    switch (event->type) {
    case MLT_EVENT_BOOK_DELTA:
        entry.u.delta.bids = copy_levels(l, &event->u.book_delta.bids);
        entry.u.delta.asks = copy_levels(l, &event->u.book_delta.asks);
        tape->changes += entry.u.delta.bids.count + entry.u.delta.asks.count;
        break;
    case MLT_EVENT_BOOK_SNAPSHOT:
        entry.u.snapshot = event->u.book_snapshot;
        entry.u.snapshot.bids = copy_levels(l, &event->u.book_snapshot.bids);
        entry.u.snapshot.asks = copy_levels(l, &event->u.book_snapshot.asks);
        entry.u.snapshot.requested_depth = l->depth;
        break;
    case MLT_EVENT_BBO:
        entry.u.bbo = event->u.bbo;
        break;
    case MLT_EVENT_TRADE:
        entry.u.trade = event->u.trade;
        break;
    default:
        return;
    }
    entry.type = (enum mlt_event_type)event->type;
    entry.symbol = symbol_of(l, mlt_slice_of_string(symbol->token));
    tape->entries[tape->count++] = entry;
}

/* The value of a parameter in a REST URL; empty when it is not there. */
static struct mlt_slice parameter(struct mlt_slice url, const char *name)
{
    const size_t len = strlen(name);
    for (size_t i = 0; i + len < url.len; i++) {
        if (memcmp(url.data + i, name, len) == 0) {
            const uint8_t *start = url.data + i + len;
            size_t n = 0;
            while (start + n < url.data + url.len && start[n] != '&') {
                n++;
            }
            return mlt_slice_of(start, n);
        }
    }
    return MLT_SLICE_EMPTY;
}

static uint32_t number(struct mlt_slice text)
{
    uint32_t value = 0;
    for (size_t i = 0; i < text.len && i < 6; i++) {
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    return value;
}

static bool load_record(struct loader *l, const struct mlt_record *record)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_binance_frame frame;
    if (record->kind == MLT_RECORD_REST &&
        memmem(record->json.data, record->json.len, "\"lastUpdateId\"", 14) == NULL) {
        return true;
    }
    char *copy = calloc(1, record->json.len + PADDING);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, record->json.data, record->json.len);
    l->received = record->received_ns;
    enum mlt_status status;
    if (record->kind == MLT_RECORD_REST) {
        const struct mlt_slice native =
            record->url.len > 0 ? parameter(record->url, "symbol=") : MLT_SLICE_LITERAL("BTCUSDT");
        const struct mlt_binance_symbol *symbol = mlt_binance_symbol_by_native(l->symbols, native);
        l->depth = record->url.len > 0 ? number(parameter(record->url, "limit=")) : 1000;
        status = symbol == NULL
                     ? MLT_E_NOT_FOUND
                     : mlt_binance_decode_depth(l->decoder, symbol, copy, record->json.len,
                                                record->received_ns, on_emit, l, &err);
    } else {
        status = mlt_binance_decode_frame(l->decoder, copy, record->json.len, MLT_BINANCE_MS_NS,
                                          l->symbols, on_emit, l, &frame);
    }
    free(copy);
    return status == MLT_OK && !l->failed;
}

static bool load_file(struct loader *l, const char *name)
{
    char path[512];
    struct mlt_recording recording;
    struct mlt_record record;
    struct mlt_error err = MLT_ERROR_INIT;
    (void)snprintf(path, sizeof path, "%s/%s", tape_captures(), name);
    if (mlt_recording_open(&recording, path, &err) != MLT_OK) {
        (void)fprintf(stderr, "%s: %s\n", path, err.text);
        return false;
    }
    enum mlt_status status;
    bool ok = true;
    while (ok && (status = mlt_recording_next(&recording, &record, &err)) == MLT_OK) {
        ok = load_record(l, &record);
    }
    ok = ok && status == MLT_E_EMPTY;
    if (!ok) {
        (void)fprintf(stderr, "%s:%zu: cannot be used\n", path, record.line);
    }
    mlt_recording_close(&recording);
    return ok;
}

/* The symbols of a recording's own exchangeInfo: its first REST record, or a bare body. */
static bool load_symbols(struct loader *l, const char *name)
{
    char path[512];
    struct mlt_recording recording;
    struct mlt_record record;
    struct mlt_error err = MLT_ERROR_INIT;
    (void)snprintf(path, sizeof path, "%s/%s", tape_captures(), name);
    if (mlt_recording_open(&recording, path, &err) != MLT_OK) {
        return false;
    }
    const bool ok = mlt_recording_next(&recording, &record, &err) == MLT_OK &&
                    mlt_binance_symbols_parse(record.json, &l->symbols, NULL, NULL, &err) == MLT_OK;
    mlt_recording_close(&recording);
    return ok;
}

static bool finish(struct loader *l, bool ok)
{
    mlt_binance_decoder_destroy(l->decoder);
    mlt_binance_symbols_destroy(l->symbols);
    if (!ok) {
        tape_free(l->tape);
    }
    return ok;
}

bool tape_load_btc(struct tape *tape)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct loader l = { .tape = tape };
    memset(tape, 0, sizeof *tape);
    return finish(&l, mlt_binance_symbols_parse(mlt_slice_of_string(listing), &l.symbols, NULL,
                                                NULL, &err) == MLT_OK &&
                          mlt_binance_decoder_create(&l.decoder) == MLT_OK &&
                          load_file(&l, "btcusdt_20240808.gz") &&
                          load_file(&l, "btcusdt_20240809.gz"));
}

static int by_time(const void *a, const void *b)
{
    const struct tape_entry *x = a, *y = b;
    if (x->received != y->received) {
        return x->received < y->received ? -1 : 1;
    }
    return x->last < y->last ? -1 : x->last > y->last;
}

bool tape_load_cryptofeed(struct tape *tape)
{
    struct loader l = { .tape = tape };
    memset(tape, 0, sizeof *tape);
    if (!finish(&l, load_symbols(&l, "cryptofeed/BINANCE.0.zst") &&
                        mlt_binance_decoder_create(&l.decoder) == MLT_OK &&
                        load_file(&l, "cryptofeed/BINANCE.http.0.0") &&
                        load_file(&l, "cryptofeed/BINANCE.ws.1.0"))) {
        return false;
    }
    qsort(tape->entries, tape->count, sizeof tape->entries[0], by_time);
    return true;
}

/* prices and quantities of a side are one block. */
static void free_levels(const struct mlt_levels *levels)
{
    free((void *)(uintptr_t)levels->prices);
}

void tape_free(struct tape *tape)
{
    for (size_t i = 0; i < tape->count; i++) {
        const struct tape_entry *e = &tape->entries[i];
        if (e->type == MLT_EVENT_BOOK_DELTA) {
            free_levels(&e->u.delta.bids);
            free_levels(&e->u.delta.asks);
        } else if (e->type == MLT_EVENT_BOOK_SNAPSHOT) {
            free_levels(&e->u.snapshot.bids);
            free_levels(&e->u.snapshot.asks);
        }
    }
    free(tape->entries);
    memset(tape, 0, sizeof *tape);
}
