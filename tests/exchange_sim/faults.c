#include "faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "book.h"
#include "hub.h"
#include "json.h"
#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

#define HELD_BYTES_MAX ((size_t)4 << 20)

/* What its id is called. */
static const char *const id_names[SIM_FAULT_STREAMS] = { "u", "t", "a", "u" };

/* What is remembered of a stream of a symbol. */
struct flow {
    uint64_t frames;     /* so far */
    uint64_t held_line;  /* whose frames wait; 0: none do */
    bool in_order;       /* a delay: what comes meanwhile waits, too */
    unsigned wait;       /* frames until they leave */
    struct mlt_buf held; /* in pieces, as SIM_PIECES has them */
};

struct subject {
    uint64_t snapshots; /* so far */
    struct flow flows[SIM_FAULT_STREAMS];
};

struct dice {
    uint64_t state;
};

static uint64_t roll(struct dice *dice, uint64_t sides)
{
    dice->state += UINT64_C(0x9e3779b97f4a7c15);
    return mlt_mix64(dice->state) % sides;
}

static struct subject *subject_of(struct sim_faults *faults, struct mlt_slice symbol)
{
    struct subject *subject = mlt_map_get(&faults->subjects, symbol);
    if (subject != NULL) {
        return subject;
    }
    subject = calloc(1, sizeof *subject);
    if (subject == NULL || mlt_map_put(&faults->subjects, symbol, subject) != MLT_OK) {
        free(subject);
        return NULL;
    }
    for (unsigned i = 0; i < SIM_FAULT_STREAMS; i++) {
        mlt_buf_init(&subject->flows[i].held, HELD_BYTES_MAX);
    }
    return subject;
}

void sim_faults_end(struct sim_faults *faults)
{
    faults->ended = true;
}

void sim_faults_change(struct sim_faults *faults, const struct sim_faults_options *options)
{
    faults->options = *options;
    faults->options.count_max += options->count_max > 0 ? faults->count - faults->told_count : 0;
    faults->ended = false;
}

static bool at_end(const struct sim_faults *faults)
{
    return faults->ended || faults->count >= SIM_FAULTS_MAX ||
           (faults->options.count_max > 0 &&
            faults->count - faults->told_count >= faults->options.count_max);
}

/* salt: 0 frames of depth, 1 snapshots, from 2 on frames of the other streams. */
static struct dice dice_of(const struct sim_faults *faults, struct mlt_slice symbol, uint64_t n,
                           uint64_t salt)
{
    const uint64_t name = mlt_fnv1a64(MLT_FNV1A64_INIT, symbol);
    return (struct dice){ mlt_mix64(faults->options.seed) ^ mlt_mix64(name + salt) ^ mlt_mix64(n) };
}

/* A kind in [from, to) by weight; SIM_FAULT_COUNT: none has any. */
static enum sim_fault pick(const unsigned weights[SIM_FAULT_COUNT], struct dice *dice,
                           unsigned from, unsigned to)
{
    uint64_t sum = 0;
    for (unsigned i = from; i < to; i++) {
        sum += weights[i];
    }
    if (sum == 0) {
        return SIM_FAULT_COUNT;
    }
    uint64_t at = roll(dice, sum);
    unsigned kind = from;
    while (at >= weights[kind]) {
        at -= weights[kind++];
    }
    return (enum sim_fault)kind;
}

void sim_faults_log(struct sim_faults *faults, const struct sim_fault_entry *entry)
{
    if (faults->count == faults->capacity) {
        const size_t more = faults->capacity > 0 ? faults->capacity * 2 : 256;
        struct sim_fault_entry *moved = realloc(faults->entries, more * sizeof *moved);
        if (moved == NULL) {
            mlt_log(MLT_LOG_ERROR, "faults", "no memory for the log of faults",
                    MLT_U("faults", faults->count));
            return;
        }
        faults->entries = moved;
        faults->capacity = more;
    }
    faults->entries[faults->count] = *entry;
    faults->entries[faults->count++].time_ns = mlt_clock_wall_ns();
    faults->by_kind[entry->kind]++;
    faults->told_count += entry->told;
}

static void name_symbol(struct sim_fault_entry *entry, struct mlt_slice symbol)
{
    (void)snprintf(entry->symbol, sizeof entry->symbol, "%.*s", MLT_SLICE_FMT(symbol));
}

/* Symbol, as REST writes it, of a stream that a script can be about; false: another stream. */
static bool known_stream(struct mlt_slice stream, char out[SIM_NAME_BYTES_MAX],
                         struct mlt_slice *symbol, enum sim_fault_stream *which)
{
    const uint8_t *at = memchr(stream.data, '@', stream.len);
    const size_t len = at != NULL ? (size_t)(at - stream.data) : stream.len;
    if (at == NULL || len >= SIM_NAME_BYTES_MAX) {
        return false;
    }
    const struct mlt_slice rest = mlt_slice_of(at + 1, stream.len - len - 1);
    static const char differences[] = "depth@"; /* how often */
    const bool depth = rest.len >= sizeof differences - 1 &&
                       memcmp(rest.data, differences, sizeof differences - 1) == 0;
    *which = depth ? SIM_FAULT_DEPTH : sim_fault_stream_of(rest);
    if (*which == SIM_FAULT_STREAMS) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        const uint8_t c = stream.data[i];
        out[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    *symbol = mlt_slice_of(out, len);
    return true;
}

/* First and last id of a frame; false: it has none. */
static bool read_ids(enum sim_fault_stream stream, struct mlt_slice data, int64_t *first,
                     int64_t *last)
{
    struct mlt_slice id;
    if (stream == SIM_FAULT_DEPTH) {
        return sim_book_ids(data, first, last) == MLT_OK;
    }
    if (!sim_json_member(data, id_names[stream], &id) || !sim_json_integer(id, last)) {
        return false;
    }
    *first = *last;
    return true;
}

static enum mlt_status add_piece(struct mlt_buf *out, struct mlt_slice payload)
{
    const uint32_t len = (uint32_t)payload.len;
    const enum mlt_status status = mlt_buf_reserve(out, sizeof len + payload.len);
    if (status != MLT_OK) {
        return status;
    }
    memcpy(out->data + out->len, &len, sizeof len);
    memcpy(out->data + out->len + sizeof len, payload.data, payload.len);
    out->len += sizeof len + payload.len;
    return MLT_OK;
}

/* A frame while others of its line wait. Memory that fails is a frame that is lost. */
static enum sim_verdict go_on(struct flow *flow, struct mlt_slice payload, struct mlt_buf *out)
{
    struct mlt_buf *to = flow->in_order ? &flow->held : out;
    bool full = add_piece(to, payload) != MLT_OK;
    flow->wait--;
    if (full || flow->wait == 0) {
        full = mlt_buf_append(out, flow->held.data, flow->held.len) != MLT_OK || full;
        flow->held_line = 0;
        mlt_buf_clear(&flow->held);
    }
    if (full) {
        mlt_log(MLT_LOG_ERROR, "faults", "no room for a frame that waits: it is lost",
                MLT_U("bytes", payload.len));
    }
    return SIM_PIECES;
}

static enum sim_verdict hold(struct flow *flow, const struct sim_outgoing *frame, uint64_t frames,
                             bool in_order)
{
    if (add_piece(&flow->held, frame->payload) != MLT_OK) {
        return SIM_DROP;
    }
    flow->held_line = frame->line;
    flow->in_order = in_order;
    flow->wait = (unsigned)frames;
    return SIM_PIECES; /* none now */
}

/* A sign of the grammar: a number that is another one would be falsify. */
static enum sim_verdict corrupt(struct dice *dice, struct mlt_buf *out)
{
    size_t at = roll(dice, out->len);
    while (memchr("{}[]:", out->data[at], 5) == NULL) {
        at = (at + 1) % out->len;
    }
    out->data[at] = '?';
    return SIM_REPLACE;
}

/* The first digit of a level's quantity that is not 0; NULL: there is none, the level ends. */
static const uint8_t *digit_of(struct mlt_slice level)
{
    struct mlt_slice price, quantity, text;
    size_t position = 0;
    if (!sim_json_next(level, &position, &price) || !sim_json_next(level, &position, &quantity) ||
        !sim_json_plain(quantity, &text)) {
        return NULL;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] >= '1' && text.data[i] <= '9') {
            return &text.data[i];
        }
    }
    return NULL;
}

/* That digit of the n-th level that has one; NULL: there are fewer. *count: how many were seen. */
static const uint8_t *nth_digit(struct mlt_slice data, uint64_t n, uint64_t *count)
{
    static const char *const sides[] = { "b", "a" };
    struct mlt_slice levels, level;
    *count = 0;
    for (unsigned i = 0; i < 2; i++) {
        size_t position = 0;
        while (sim_json_member(data, sides[i], &levels) &&
               sim_json_next(levels, &position, &level)) {
            const uint8_t *digit = digit_of(level);
            if (digit != NULL && (*count)++ == n) {
                return digit;
            }
        }
    }
    return NULL;
}

static enum sim_verdict falsify(struct dice *dice, struct mlt_slice payload, struct mlt_slice data,
                                struct mlt_buf *out)
{
    uint64_t count, seen;
    (void)nth_digit(data, UINT64_MAX, &count);
    if (count == 0) {
        return SIM_PASS; /* levels that end have no quantity */
    }
    const uint8_t *digit = nth_digit(data, roll(dice, count), &seen);
    if (digit == NULL || mlt_buf_append(out, payload.data, payload.len) != MLT_OK) {
        return SIM_DROP;
    }
    out->data[digit - payload.data] = (uint8_t)(*digit == '9' ? '1' : *digit + 1);
    return SIM_REPLACE;
}

static enum sim_verdict make(struct flow *flow, struct dice *dice, const struct sim_outgoing *frame,
                             struct mlt_slice data, struct sim_fault_entry *entry,
                             struct mlt_buf *out)
{
    switch (entry->kind) {
    case SIM_FAULT_DUPLICATE:
        return add_piece(out, frame->payload) == MLT_OK && add_piece(out, frame->payload) == MLT_OK
                   ? SIM_PIECES
                   : SIM_DROP;
    case SIM_FAULT_REORDER:
        entry->extent = 1 + roll(dice, 4);
        return hold(flow, frame, entry->extent, false);
    case SIM_FAULT_DELAY:
        entry->extent = 1 + roll(dice, 20);
        return hold(flow, frame, entry->extent, true);
    case SIM_FAULT_SHORTEN:
        entry->extent = 1 + roll(dice, frame->payload.len - 1);
        return mlt_buf_append(out, frame->payload.data, frame->payload.len - entry->extent) ==
                       MLT_OK
                   ? SIM_REPLACE
                   : SIM_DROP;
    case SIM_FAULT_CORRUPT:
        return mlt_buf_append(out, frame->payload.data, frame->payload.len) == MLT_OK
                   ? corrupt(dice, out)
                   : SIM_DROP;
    case SIM_FAULT_FALSIFY:
        return falsify(dice, frame->payload, data, out);
    case SIM_FAULT_CUT:
        return roll(dice, 2) == 0 ? SIM_CLOSE : SIM_KILL;
    default:
        return SIM_DROP;
    }
}

static enum sim_verdict filter_frame(void *ctx, const struct sim_outgoing *frame,
                                     struct mlt_buf *out)
{
    struct sim_faults *faults = ctx;
    char name[SIM_NAME_BYTES_MAX];
    struct mlt_slice symbol, data;
    enum sim_fault_stream stream;
    if (!known_stream(frame->stream, name, &symbol, &stream)) {
        return SIM_PASS;
    }
    struct subject *subject = subject_of(faults, symbol);
    if (subject == NULL) {
        return SIM_PASS;
    }
    struct flow *flow = &subject->flows[stream];
    const bool depth = stream == SIM_FAULT_DEPTH;
    struct dice dice = dice_of(faults, symbol, ++flow->frames, depth ? 0 : 1 + (uint64_t)stream);
    if (flow->held_line != 0) { /* another line's frames go by */
        return flow->held_line == frame->line ? go_on(flow, frame->payload, out) : SIM_PASS;
    }
    struct sim_fault_entry entry = { .line = frame->line, .stream = stream };
    if (roll(&dice, 1000000) >= (depth ? faults->options.frame_rate : faults->options.flow_rate) ||
        at_end(faults)) {
        return SIM_PASS;
    }
    entry.kind = pick(faults->options.weights[stream], &dice, 0, SIM_FAULT_FRAME_KINDS);
    if (!sim_json_member(frame->payload, "data", &data)) {
        data = frame->payload; /* a raw line */
    }
    if (entry.kind == SIM_FAULT_COUNT || !read_ids(stream, data, &entry.first, &entry.last)) {
        return SIM_PASS;
    }
    const enum sim_verdict verdict = make(flow, &dice, frame, data, &entry, out);
    if (verdict == SIM_PASS) { /* there was nothing to do it to */
        return SIM_PASS;
    }
    entry.bytes = verdict == SIM_REPLACE ? out->len : 0;
    name_symbol(&entry, symbol);
    sim_faults_log(faults, &entry);
    return verdict;
}

/* What waited on a line that is gone is gone. */
static void line_closed(void *ctx, uint64_t line)
{
    struct sim_faults *faults = ctx;
    size_t position = 0;
    const struct mlt_map_entry *entry;
    while ((entry = mlt_map_next(&faults->subjects, &position)) != NULL) {
        struct subject *subject = entry->value;
        for (unsigned i = 0; i < SIM_FAULT_STREAMS; i++) {
            if (subject->flows[i].held_line == line) {
                subject->flows[i].held_line = 0;
                mlt_buf_clear(&subject->flows[i].held);
            }
        }
    }
}

static uint64_t extent_of(enum sim_fault kind, struct dice *dice)
{
    switch (kind) {
    case SIM_FAULT_STALE:
        return 1 + roll(dice, 5000);
    case SIM_FAULT_SLOW:
        return 200 + roll(dice, 2801);
    case SIM_FAULT_BUSY:
    case SIM_FAULT_BANNED:
        return 1 + roll(dice, 2);
    case SIM_FAULT_TRUNCATE:
        return roll(dice, UINT32_MAX);
    case SIM_FAULT_HUGE:
        return SIM_FAULT_HUGE_BYTES + roll(dice, SIM_FAULT_HUGE_BYTES);
    case SIM_FAULT_HTML:
        return roll(dice, 2) == 0 ? 200 : 502;
    default:
        return 0;
    }
}

enum sim_fault sim_faults_snapshot(struct sim_faults *faults, struct mlt_slice symbol,
                                   uint64_t *extent)
{
    struct subject *subject = subject_of(faults, symbol);
    *extent = 0;
    if (subject == NULL) {
        return SIM_FAULT_COUNT;
    }
    struct dice dice = dice_of(faults, symbol, ++subject->snapshots, 1);
    if (roll(&dice, 1000) >= faults->options.snapshot_rate || at_end(faults)) {
        return SIM_FAULT_COUNT;
    }
    const enum sim_fault kind = pick(faults->options.weights[SIM_FAULT_DEPTH], &dice,
                                     SIM_FAULT_FRAME_KINDS, SIM_FAULT_COUNT);
    *extent = extent_of(kind, &dice);
    return kind;
}

uint64_t sim_faults_extent(struct sim_faults *faults, enum sim_fault kind)
{
    struct dice dice = { mlt_mix64(faults->options.seed) ^ mlt_mix64(++faults->told) };
    return extent_of(kind, &dice);
}

enum mlt_status sim_faults_write(const struct sim_faults *faults, size_t from, size_t limit,
                                 struct mlt_buf *out)
{
    enum mlt_status status = mlt_buf_printf(out, "{\"total\":%zu,\"ended\":%s,\"by_kind\":{",
                                            faults->count, at_end(faults) ? "true" : "false");
    for (unsigned i = 0; status == MLT_OK && i < SIM_FAULT_COUNT; i++) {
        status = mlt_buf_printf(out, "%s\"%s\":%llu", i > 0 ? "," : "", sim_fault_names[i],
                                (unsigned long long)faults->by_kind[i]);
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(out, "},\"faults\":[");
    }
    const size_t end =
        from < faults->count && limit < faults->count - from ? from + limit : faults->count;
    for (size_t i = from; status == MLT_OK && i < end; i++) {
        const struct sim_fault_entry *e = &faults->entries[i];
        status =
            mlt_buf_printf(out,
                           "%s{\"number\":%zu,\"time\":\"%lld\",\"symbol\":\"%s\",\"stream\":"
                           "\"%s\",\"kind\":\"%s\",\"line\":%llu,\"first\":%lld,\"last\":%lld,"
                           "\"extent\":%llu,\"bytes\":%llu}",
                           i > from ? "," : "", i, (long long)e->time_ns, e->symbol,
                           sim_fault_stream_names[e->stream], sim_fault_names[e->kind],
                           (unsigned long long)e->line, (long long)e->first, (long long)e->last,
                           (unsigned long long)e->extent, (unsigned long long)e->bytes);
    }
    return status == MLT_OK ? mlt_buf_append_string(out, "]}") : status;
}

void sim_faults_init(struct sim_faults *faults, const struct sim_faults_options *options)
{
    memset(faults, 0, sizeof *faults);
    faults->options = *options;
    mlt_map_init(&faults->subjects, SIM_TOPICS_MAX);
    faults->filter =
        (struct sim_filter){ .frame = filter_frame, .closed = line_closed, .ctx = faults };
}

void sim_faults_fini(struct sim_faults *faults)
{
    size_t position = 0;
    const struct mlt_map_entry *entry;
    while ((entry = mlt_map_next(&faults->subjects, &position)) != NULL) {
        struct subject *subject = entry->value;
        for (unsigned i = 0; i < SIM_FAULT_STREAMS; i++) {
            mlt_buf_fini(&subject->flows[i].held);
        }
        free(subject);
    }
    mlt_map_fini(&faults->subjects);
    free(faults->entries);
}
