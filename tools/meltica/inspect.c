/*
 * meltica inspect: recorded frames through the pure cores of Adapter, Dispatcher and Conductor and
 * through the wire codec into a consumer's check, all in this process. No network: what it reports
 * is what the cores do.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binance.h"
#include "canonical.h"
#include "commands.h"
#include "connection.h"
#include "core.h"
#include "listing.h"
#include "meltica/base/map.h"
#include "tally.h"

#define LINE_BYTES_MAX (MLT_BINANCE_FRAME_BYTES_MAX + 64u)
#define FRAME_PADDING 8u
#define REPORT_BYTES_MAX (64u << 20)
#define ARENA_BYTES_MAX (16u << 20)

struct inspect {
    struct mlt_binance_symbols *symbols;
    struct mlt_binance_decoder *decoder;
    struct mlt_conductor_core *conductor;
    struct mlt_tally *tally;
    struct mlt_arena arena;
    struct mlt_buf scratch, encoded, json;
    struct mlt_map rejected; /* reason -> uint64_t * */
    struct mlt_clock clock;  /* wall and monotonic alike: now_ns */
    int64_t now_ns;          /* receive time of the record in hand: the clock of this run */
    uint64_t frames, rest_answers, answers, unreadable;
    bool print_events;
    FILE *record;           /* NULL: not asked for */
    enum mlt_status status; /* first failure of ours */
};

static int64_t now(void *ctx)
{
    const struct inspect *in = ctx;
    return in->now_ns;
}

static void fail(struct inspect *in, enum mlt_status status)
{
    if (in->status == MLT_OK) {
        in->status = status;
    }
}

/* Consumer: what left the Conductor, decoded from its bytes. */
static void on_numbered(void *ctx, uint32_t partition, const struct mlt_event *numbered)
{
    struct inspect *in = ctx;
    (void)partition;
    const size_t size = mlt_event_encoded_size(numbered);
    mlt_buf_clear(&in->encoded);
    mlt_arena_reset(&in->arena);
    struct mlt_event event;
    enum mlt_status status = mlt_buf_reserve(&in->encoded, size);
    if (status == MLT_OK) {
        in->encoded.len = mlt_event_encode(numbered, in->encoded.data);
        status = mlt_event_decode(mlt_buf_view(&in->encoded), &in->arena, &event);
    }
    if (status == MLT_OK) {
        status = mlt_tally_event(in->tally, &event);
    }
    if (status == MLT_OK && in->record != NULL) {
        uint8_t header[MLT_ELEMENT_HEADER_BYTES_MAX];
        const size_t n = mlt_batch_element_header(size, header);
        if (fwrite(header, 1, n, in->record) != n ||
            fwrite(in->encoded.data, 1, size, in->record) != size) {
            status = MLT_E_IO;
        }
    }
    if (status == MLT_OK && in->print_events) {
        mlt_buf_clear(&in->json);
        status = mlt_event_to_json(&event, &in->json);
        if (status == MLT_OK && (fwrite(in->json.data, 1, in->json.len, stdout) != in->json.len ||
                                 putchar('\n') == EOF)) {
            status = MLT_E_IO;
        }
    }
    if (status != MLT_OK) {
        fail(in, status);
    }
}

static void count_rejected(struct inspect *in, struct mlt_slice reason)
{
    uint64_t *count = mlt_map_get(&in->rejected, reason);
    if (count == NULL) {
        count = calloc(1, sizeof *count);
        if (count == NULL || mlt_map_put(&in->rejected, reason, count) != MLT_OK) {
            free(count);
            fail(in, MLT_E_NOMEM);
            return;
        }
    }
    (*count)++;
}

static void on_native(void *ctx, const struct mlt_binance_symbol *symbol, struct mlt_slice stream,
                      struct mlt_native_event *native)
{
    struct inspect *in = ctx;
    (void)symbol;
    (void)stream;
    native->received = in->now_ns;
    native->adapted = in->now_ns;
    if (native->type == MLT_NATIVE_UNPARSED) {
        count_rejected(in, native->u.unparsed.reason);
        return;
    }
    struct mlt_event event;
    enum mlt_status status =
        mlt_canonical_from_native(native, MLT_SLICE_LITERAL("binance"), 0, in->now_ns, &event);
    if (status == MLT_OK) {
        status = mlt_conductor_core_event(in->conductor, &event);
    }
    if (status != MLT_OK) {
        fail(in, status);
    }
}

/* The decoder writes into what it reads and wants padding behind it. */
static char *writable(struct inspect *in, struct mlt_slice text)
{
    mlt_buf_clear(&in->scratch);
    if (mlt_buf_reserve(&in->scratch, text.len + FRAME_PADDING) != MLT_OK) {
        return NULL;
    }
    memcpy(in->scratch.data, text.data, text.len);
    memset(in->scratch.data + text.len, 0, FRAME_PADDING);
    return (char *)in->scratch.data;
}

static struct mlt_slice query_symbol(struct mlt_slice url)
{
    static const char needle[] = "symbol=";
    const uint8_t *at = url.len > 0 ? memmem(url.data, url.len, needle, sizeof needle - 1) : NULL;
    if (at == NULL) {
        return MLT_SLICE_EMPTY;
    }
    at += sizeof needle - 1;
    const size_t left = url.len - (size_t)(at - url.data);
    const uint8_t *end = memchr(at, '&', left);
    return mlt_slice_of(at, end != NULL ? (size_t)(end - at) : left);
}

static void take_rest(struct inspect *in, const struct mlt_record *record)
{
    if (record->url.len > 0 && memmem(record->url.data, record->url.len, "/depth", 6) == NULL) {
        return; /* exchangeInfo was read before */
    }
    const struct mlt_slice name = query_symbol(record->url);
    const struct mlt_binance_symbol *symbol = NULL;
    if (name.len > 0) {
        symbol = mlt_binance_symbol_by_native(in->symbols, name);
    } else if (mlt_binance_symbols_count(in->symbols) == 1) {
        symbol = mlt_binance_symbols_at(in->symbols, 0); /* a bare body does not name its symbol */
    }
    char *body = symbol != NULL ? writable(in, record->json) : NULL;
    if (body == NULL) {
        count_rejected(in, MLT_SLICE_LITERAL("unknown_symbol"));
        return;
    }
    in->rest_answers++;
    struct mlt_error err = MLT_ERROR_INIT;
    const enum mlt_status status = mlt_binance_decode_depth(
        in->decoder, symbol, body, record->json.len, record->received_ns, on_native, in, &err);
    if (status == MLT_E_PROTOCOL) {
        count_rejected(in, MLT_SLICE_LITERAL("exchange_error"));
    } else if (status != MLT_OK && status != MLT_E_PARSE) { /* which on_native has counted */
        fail(in, status);
    }
}

static void take_frame(struct inspect *in, const struct mlt_record *record)
{
    in->frames++;
    char *json =
        record->json.len <= MLT_BINANCE_FRAME_BYTES_MAX ? writable(in, record->json) : NULL;
    if (json == NULL) {
        count_rejected(in, MLT_SLICE_LITERAL("too_big"));
        return;
    }
    struct mlt_binance_frame frame;
    const enum mlt_status status = mlt_binance_decode_frame(
        in->decoder, json, record->json.len, MLT_BINANCE_MS_NS, in->symbols, on_native, in, &frame);
    if (status != MLT_OK) {
        fail(in, status);
    } else if (frame.kind != MLT_FRAME_EVENTS) {
        in->answers++;
    }
}

static void take_recording(struct inspect *in, struct mlt_recording *recording)
{
    struct mlt_record record;
    struct mlt_error err = MLT_ERROR_INIT;
    enum mlt_status status;
    while (in->status == MLT_OK &&
           (status = mlt_recording_next(recording, &record, &err)) != MLT_E_EMPTY) {
        if (status != MLT_OK) {
            in->unreadable++;
            (void)fprintf(stderr, "meltica inspect: %s\n", err.text);
            continue;
        }
        in->now_ns = record.received_ns;
        if (record.kind == MLT_RECORD_REST) {
            take_rest(in, &record);
        } else {
            take_frame(in, &record);
        }
    }
}

/* The recording's own exchangeInfo, or a listing made from its frames. */
static enum mlt_status load_symbols(struct inspect *in, struct mlt_recording *recordings,
                                    size_t count, struct mlt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct mlt_record record;
        enum mlt_status status;
        while ((status = mlt_recording_next(&recordings[i], &record, NULL)) == MLT_OK ||
               status == MLT_E_PARSE) {
            if (status == MLT_OK && record.kind == MLT_RECORD_REST && record.url.len > 0 &&
                memmem(record.url.data, record.url.len, "exchangeInfo", 12) != NULL) {
                recordings[i].offset = recordings[i].line = 0;
                return mlt_binance_symbols_parse(record.json, &in->symbols, NULL, NULL, err);
            }
        }
        recordings[i].offset = recordings[i].line = 0;
    }
    struct mlt_buf listing;
    mlt_buf_init(&listing, 8u << 20);
    enum mlt_status status = mlt_listing_from_recordings(recordings, count, &listing);
    if (status == MLT_OK) {
        status = mlt_binance_symbols_parse(mlt_buf_view(&listing), &in->symbols, NULL, NULL, err);
    }
    mlt_buf_fini(&listing);
    return status;
}

static enum mlt_status write_report(struct inspect *in, FILE *to)
{
    struct mlt_conductor_counts counts;
    mlt_conductor_core_counts(in->conductor, &counts);
    mlt_buf_clear(&in->json);
    enum mlt_status status = mlt_buf_printf(
        &in->json,
        "{\"frames_in\":%" PRIu64 ",\"rest_in\":%" PRIu64 ",\"answers_in\":%" PRIu64
        ",\"unreadable_lines\":%" PRIu64 ",\"instruments_listed\":%zu,\"repeats_dropped\":%" PRIu64
        ",\"late\":%" PRIu64 ",\"rejected\":{",
        in->frames, in->rest_answers, in->answers, in->unreadable,
        mlt_binance_symbols_count(in->symbols), counts.duplicates, counts.late);
    size_t position = 0;
    const struct mlt_map_entry *entry;
    const char *comma = "";
    while (status == MLT_OK && (entry = mlt_map_next(&in->rejected, &position)) != NULL) {
        status = mlt_buf_printf(&in->json, "%s\"%.*s\":%" PRIu64, comma, (int)entry->key_len,
                                (const char *)entry->key, *(const uint64_t *)entry->value);
        comma = ",";
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(&in->json, "},");
    }
    if (status == MLT_OK) {
        status = mlt_tally_report(in->tally, &in->json);
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(&in->json, "}\n");
    }
    if (status == MLT_OK && fwrite(in->json.data, 1, in->json.len, to) != in->json.len) {
        status = MLT_E_IO;
    }
    return status;
}

static enum mlt_status report_to(struct inspect *in, const char *path)
{
    FILE *to = path != NULL ? fopen(path, "w") : stdout;
    if (to == NULL) {
        return MLT_E_IO;
    }
    enum mlt_status status = write_report(in, to);
    if ((path != NULL ? fclose(to) : fflush(to)) != 0 && status == MLT_OK) {
        status = MLT_E_IO;
    }
    return status;
}

static enum mlt_status inspect_init(struct inspect *in)
{
    mlt_arena_init(&in->arena, 256u << 10, ARENA_BYTES_MAX);
    mlt_buf_init(&in->scratch, LINE_BYTES_MAX);
    mlt_buf_init(&in->encoded, LINE_BYTES_MAX);
    mlt_buf_init(&in->json, REPORT_BYTES_MAX);
    mlt_map_init(&in->rejected, 64);
    in->clock = (struct mlt_clock){ now, now, in };
    const struct mlt_conductor_ports ports = { .emit = on_numbered,
                                               .ctx = in,
                                               .clock = &in->clock };
    enum mlt_status status = mlt_binance_decoder_create(&in->decoder);
    if (status == MLT_OK) {
        status = mlt_tally_create(&in->tally);
    }
    if (status == MLT_OK) {
        status = mlt_conductor_core_create(1, &ports, &in->conductor);
    }
    for (uint32_t s = 0; status == MLT_OK && s < MLT_SLOT_COUNT; s++) {
        mlt_conductor_core_set_epoch(in->conductor, s, 1);
    }
    return status;
}

static void inspect_fini(struct inspect *in)
{
    size_t position = 0;
    const struct mlt_map_entry *entry;
    while ((entry = mlt_map_next(&in->rejected, &position)) != NULL) {
        free(entry->value);
    }
    mlt_map_fini(&in->rejected);
    mlt_conductor_core_destroy(in->conductor);
    mlt_tally_destroy(in->tally);
    mlt_binance_decoder_destroy(in->decoder);
    mlt_binance_symbols_destroy(in->symbols);
    mlt_buf_fini(&in->json);
    mlt_buf_fini(&in->encoded);
    mlt_buf_fini(&in->scratch);
    mlt_arena_fini(&in->arena);
}

/* 0 only when every frame became an event or a counted refusal and nothing is missing in between.
 */
static int verdict(const struct inspect *in)
{
    struct mlt_tally_totals totals;
    mlt_tally_totals(in->tally, &totals);
    if (in->unreadable + totals.gaps + totals.duplicates + totals.sequence_holes > 0) {
        (void)fprintf(stderr,
                      "meltica inspect: %" PRIu64 " unreadable lines, %" PRIu64
                      " gaps in exchange ids, "
                      "%" PRIu64 " duplicates, %" PRIu64 " sequence holes\n",
                      in->unreadable, totals.gaps, totals.duplicates, totals.sequence_holes);
        return 1;
    }
    return 0;
}

static int run(struct inspect *in, char **paths, size_t count, const char *report)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_recording *recordings = calloc(count, sizeof *recordings);
    size_t opened = 0;
    enum mlt_status status = recordings != NULL ? inspect_init(in) : MLT_E_NOMEM;
    while (status == MLT_OK && opened < count) {
        status = mlt_recording_open(&recordings[opened], paths[opened], &err);
        opened += status == MLT_OK ? 1 : 0;
    }
    if (status == MLT_OK) {
        status = load_symbols(in, recordings, count, &err);
    }
    for (size_t i = 0; status == MLT_OK && i < count; i++) {
        take_recording(in, &recordings[i]);
        status = in->status;
    }
    if (status == MLT_OK && (!in->print_events || report != NULL)) {
        status = report_to(in, report);
    }
    for (size_t i = 0; i < opened; i++) {
        mlt_recording_close(&recordings[i]);
    }
    free(recordings);
    if (status != MLT_OK) {
        (void)fprintf(stderr, "meltica inspect: %s\n",
                      err.text[0] != '\0' ? err.text : mlt_status_text(status));
        return 1;
    }
    return verdict(in);
}

static int usage(FILE *to, int status)
{
    (void)fprintf(to, "usage: meltica inspect [--report FILE] [--events] [--record FILE] "
                      "RECORDING...\n");
    return status;
}

int mlt_command_inspect(int argc, char **argv)
{
    struct inspect in = { 0 };
    const char *report = NULL, *record = NULL;
    int first = 1;
    if (mlt_tool_help(argc, argv)) {
        return usage(stdout, 0);
    }
    while (first < argc && strncmp(argv[first], "--", 2) == 0) {
        if (strcmp(argv[first], "--events") == 0) {
            in.print_events = true;
            first++;
        } else if (strcmp(argv[first], "--report") == 0 && first + 1 < argc) {
            report = argv[first + 1];
            first += 2;
        } else if (strcmp(argv[first], "--record") == 0 && first + 1 < argc) {
            record = argv[first + 1];
            first += 2;
        } else {
            break;
        }
    }
    if (first >= argc || strncmp(argv[first], "--", 2) == 0) {
        return usage(stderr, 2);
    }
    if (record != NULL && (in.record = fopen(record, "wb")) == NULL) {
        (void)fprintf(stderr, "meltica inspect: cannot write %s\n", record);
        return 1;
    }
    int result = run(&in, argv + first, (size_t)(argc - first), report);
    if (in.record != NULL && fclose(in.record) != 0) {
        (void)fprintf(stderr, "meltica inspect: cannot write %s\n", record);
        result = 1;
    }
    inspect_fini(&in);
    return result;
}
