#include "mlt_test.h"

#include "soak_watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"

#define ALWAYS 1 /* in_force_ns of what the file's table asks for */

/* What SOAK_TABLE asks for of every instrument. */
static const enum mlt_event_type base_types[] = { MLT_EVENT_TICKER,     MLT_EVENT_BOOK,
                                                  MLT_EVENT_BOOK_DELTA, MLT_EVENT_BOOK_SNAPSHOT,
                                                  MLT_EVENT_INSTRUMENT, MLT_EVENT_STATUS };

const char *const soak_kind_names[SOAK_KINDS] = { "frame", "poll", "book", "lane" };

/* ---- what is wrong ---- */

static void lose(struct soak_watch *w, uint64_t *counter, uint64_t count, const char *what,
                 const struct mlt_event *e, uint64_t before)
{
    *counter += count;
    if (w->losses.first[0] == '\0') {
        (void)snprintf(w->losses.first, sizeof w->losses.first,
                       "%s: %.*s %s, epoch %" PRIu64 ", sequence %" PRIu64 ", ids %" PRId64
                       " to %" PRId64 ", before it %" PRIu64,
                       what, MLT_SLICE_FMT(e->instrument), mlt_event_type_word((int)e->type),
                       e->epoch, e->sequence, e->first, e->last, before);
    }
}

uint64_t soak_watch_lost(const struct soak_losses *l)
{
    return l->sequence_holes + l->exchange_gaps + l->lost_notices + l->epoch_ends_unknown +
           l->lane_holes + l->foreign + l->dropped_here;
}

/* Whether everything since that event had to come. */
static bool unbroken(const struct soak_demand *d, int64_t received_ns)
{
    return d->in_force_ns != 0 && received_ns >= d->in_force_ns;
}

/* `missing` sequences behind the channel's last event. */
static void hole(struct soak_watch *w, const struct soak_demand *d, const struct soak_channel *c,
                 const struct mlt_event *e, uint64_t missing, const char *what)
{
    if (missing > 0 && unbroken(d, c->received_ns)) {
        lose(w, &w->losses.sequence_holes, missing, what, e, c->sequence);
    } else {
        w->withheld += missing;
    }
}

/* ---- a channel ---- */

static bool has_contiguous_ids(enum mlt_event_type type)
{
    return type == MLT_EVENT_TRADE || type == MLT_EVENT_AGG_TRADE || type == MLT_EVENT_BOOK_DELTA;
}

/* False for a repeat. */
static bool check_sequence(struct soak_watch *w, const struct soak_demand *d,
                           const struct soak_channel *c, const struct mlt_event *e)
{
    if (!c->seen) {
        return true;
    }
    if (e->epoch < c->epoch || (e->epoch == c->epoch && e->sequence <= c->sequence)) {
        w->losses.repeats++;
        return false;
    }
    hole(w, d, c, e, e->sequence - (e->epoch == c->epoch ? c->sequence : 0) - 1, "sequence");
    return true;
}

static void check_ids(struct soak_watch *w, const struct soak_demand *d,
                      const struct soak_channel *c, const struct mlt_event *e)
{
    if (c->seen && has_contiguous_ids(e->type) && e->first != c->last_id + 1 &&
        unbroken(d, c->received_ns)) {
        lose(w, &w->losses.exchange_gaps, 1, "exchange ids", e, (uint64_t)c->last_id);
    }
}

static void check_heads(struct soak_watch *w, struct soak_instrument *i, const struct mlt_event *e,
                        uint64_t epoch)
{
    const struct mlt_status_event *s = &e->u.status;
    for (size_t h = 0; h < s->head_count; h++) {
        const enum mlt_event_type type = s->heads[h].type;
        if (type <= MLT_EVENT_NONE || type >= MLT_EVENT_TYPE_COUNT) {
            continue;
        }
        struct soak_channel *c = &i->channels[type];
        if (c->seen && c->epoch == epoch && s->heads[h].sequence > c->sequence) {
            hole(w, &i->demands[type], c, e, s->heads[h].sequence - c->sequence, "head");
            c->sequence = s->heads[h].sequence; /* counted once */
        }
    }
}

/* A new owner names where the one before ended. */
static void end_epoch(struct soak_watch *w, struct soak_instrument *i, const struct mlt_event *e)
{
    uint64_t last = 0;
    for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
        last = i->channels[t].epoch > last ? i->channels[t].epoch : last;
    }
    if (last == 0 || e->epoch <= last) {
        return;
    }
    if (e->u.status.previous_epoch < last) {
        lose(w, &w->losses.epoch_ends_unknown, 1, "end of an epoch", e, last);
    } else {
        check_heads(w, i, e, e->u.status.previous_epoch);
    }
}

/* What nobody had asked for is said too when its channel goes on: that is none of ours. */
static void check_lost(struct soak_watch *w, struct soak_instrument *i, const struct mlt_event *e)
{
    const struct mlt_status_event *s = &e->u.status;
    const bool of_a_type = s->lost_type > MLT_EVENT_NONE && s->lost_type < MLT_EVENT_TYPE_COUNT;
    if (mlt_slice_equal_string(s->reason, "unrouted") && of_a_type &&
        !unbroken(&i->demands[s->lost_type], i->channels[s->lost_type].received_ns)) {
        w->withheld++;
        return;
    }
    char what[64];
    (void)snprintf(what, sizeof what, "LOST %.*s of %s", MLT_SLICE_FMT(s->reason),
                   mlt_event_type_word((int)s->lost_type));
    lose(w, &w->losses.lost_notices, 1, what, e, s->first);
}

/* ---- a book ---- */

static void on_status(struct soak_watch *w, struct soak_instrument *i, const struct mlt_event *e)
{
    switch (e->u.status.kind) {
    case MLT_STATUS_LOST:
        check_lost(w, i, e);
        break;
    case MLT_STATUS_HEADS:
        check_heads(w, i, e, e->epoch);
        break;
    case MLT_STATUS_EPOCH_STARTED:
        end_epoch(w, i, e);
        break;
    case MLT_STATUS_SOURCE_DOWN:
        if (w->source_downs++ == 0) {
            (void)snprintf(w->first_source_down, sizeof w->first_source_down, "%.*s: %.*s",
                           MLT_SLICE_FMT(e->instrument), MLT_SLICE_FMT(e->u.status.reason));
        }
        break;
    case MLT_STATUS_GAP:
        i->gaps++;
        break;
    case MLT_STATUS_STALE:
        i->stales++;
        break;
    case MLT_STATUS_LIVE:
        i->resyncs += i->was_live;
        i->was_live = true;
        break;
    default:
        break;
    }
}

static void follow_book(struct soak_watch *w, struct soak_instrument *i, const struct mlt_event *e)
{
    if (e->type != MLT_EVENT_BOOK_DELTA && e->type != MLT_EVENT_BOOK_SNAPSHOT &&
        e->type != MLT_EVENT_BOOK && e->type != MLT_EVENT_STATUS) {
        return;
    }
    const enum mlt_status status = mlt_follow_event(i->follow, e);
    w->failure = status != MLT_OK ? status : w->failure;
    const bool live = mlt_follow_state(i->follow) == MLT_BOOK_LIVE;
    const int64_t now_ns = mlt_clock_mono_ns();
    if (live != i->live) {
        i->live_ns += i->live ? now_ns - i->live_since_ns : 0;
        i->live_since_ns = now_ns;
        i->live = live;
    }
    if (e->type == MLT_EVENT_BOOK && e->u.book.state == MLT_BOOK_LIVE) {
        storm_book_take(&i->book, e);
    }
}

uint64_t soak_watch_live_share(const struct soak_instrument *i, int64_t from_ns, int64_t now_ns)
{
    const int64_t live_ns = i->live_ns + (i->live ? now_ns - i->live_since_ns : 0);
    return now_ns > from_ns ? (uint64_t)((double)live_ns * 1e6 / (double)(now_ns - from_ns)) : 0;
}

/* ---- trace and time ---- */

/* A STATUS of the Conductor or the Data Bus; a BOOK that stems from nothing that came: it says
 * another state, or that the cache has it now, of the position of the BOOK before. One that goes
 * further has a frame behind it, whatever its stamps say; on a lane it may stand for one that
 * waited. c: its channel. */
static bool made_inside(const struct soak_channel *c, const struct mlt_event *e)
{
    const bool without =
        e->stamps.adapted == MLT_STAMP_UNKNOWN && e->stamps.dispatched == MLT_STAMP_UNKNOWN;
    const bool stands = !c->seen || c->epoch != e->epoch || c->last_id == e->last ||
                        (e->lane_previous > 0 && e->merged > 0);
    return without && (e->type == MLT_EVENT_STATUS || (e->type == MLT_EVENT_BOOK && stands));
}

/* A trace id, and the stamps of every stage that it passed: what Meltica makes itself begins where
 * it is made. */
static bool is_traced(const struct soak_channel *c, const struct mlt_event *e)
{
    static const uint8_t none[MLT_TRACE_ID_BYTES];
    const struct mlt_stamps *s = &e->stamps;
    const bool inside = s->conducted != MLT_STAMP_UNKNOWN && s->published != MLT_STAMP_UNKNOWN;
    const bool before = s->adapted != MLT_STAMP_UNKNOWN && s->dispatched != MLT_STAMP_UNKNOWN;
    return memcmp(e->trace_id, none, sizeof none) != 0 && s->received > 0 && inside &&
           (before || made_inside(c, e));
}

static void count_trace(struct soak_watch *w, const struct soak_channel *c,
                        const struct mlt_event *e)
{
    w->made_inside += made_inside(c, e);
    if (is_traced(c, e)) {
        w->traced++;
        return;
    }
    w->untraced_by_type[e->type]++;
    if (w->untraced++ == 0) {
        const struct mlt_stamps *s = &e->stamps;
        const bool is_book = e->type == MLT_EVENT_BOOK;
        (void)snprintf(w->first_untraced, sizeof w->first_untraced,
                       "%.*s %s%s, sequence %" PRIu64 ", trace %02x%02x.., stamps%s%s%s%s",
                       MLT_SLICE_FMT(e->instrument), mlt_event_type_word((int)e->type),
                       is_book ? mlt_book_state_word((int)e->u.book.state) : "", e->sequence,
                       e->trace_id[0], e->trace_id[1],
                       s->adapted != MLT_STAMP_UNKNOWN ? " adapted" : "",
                       s->dispatched != MLT_STAMP_UNKNOWN ? " dispatched" : "",
                       s->conducted != MLT_STAMP_UNKNOWN ? " conducted" : "",
                       s->published != MLT_STAMP_UNKNOWN ? " published" : "");
    }
}

/* All clocks are this machine's: what took less than nothing says that a stamp, or what a throttle
 * is said to have held, is wrong. */
#define BELOW_ZERO_NS_MAX (100 * MLT_NS_PER_MS)

/* From the frame or the answer of the poll to here, less what a throttle held it. */
static void count_time(struct soak_watch *w, const struct mlt_event *e, int64_t now_ns, bool lane)
{
    const bool of_a_frame = e->stamps.adapted != MLT_STAMP_UNKNOWN;
    if (!w->warm || !of_a_frame || e->type == MLT_EVENT_STATUS || e->type == MLT_EVENT_INSTRUMENT) {
        return;
    }
    const int64_t took_ns = now_ns - e->stamps.received - (int64_t)e->throttled_ns;
    const enum soak_kind kind = lane                        ? SOAK_LANE
                                : e->type == MLT_EVENT_BOOK ? SOAK_BOOK
                                : e->rest_function.len > 0  ? SOAK_POLL
                                                            : SOAK_FRAME;
    mlt_latency_record(&w->latency, took_ns);
    mlt_latency_record(&w->kinds[kind], took_ns);
    w->timed++;
    w->within_1s += took_ns <= MLT_NS_PER_S && took_ns >= -BELOW_ZERO_NS_MAX;
}

static void count_silence(struct soak_watch *w)
{
    const int64_t now_ns = mlt_clock_mono_ns(), silent_ns = now_ns - w->last_event_ns;
    if (w->warm && w->last_event_ns > 0 && silent_ns > w->longest_silence_ns) {
        w->longest_silence_ns = silent_ns;
    }
    w->last_event_ns = now_ns;
}

/* How long a stream was silent that had to flow since its last event, and since it was asked for. A
 * STATUS and an INSTRUMENT come when there is something to say. */
static void count_stream_silence(struct soak_watch *w, unsigned symbol, enum mlt_event_type type,
                                 int64_t now_ns)
{
    const struct soak_channel *c = &w->instruments[symbol].channels[type];
    const struct soak_demand *d = &w->instruments[symbol].demands[type];
    if (!w->warm || d->in_force_ns == 0 || type == MLT_EVENT_STATUS ||
        type == MLT_EVENT_INSTRUMENT) {
        return;
    }
    int64_t since_ns = c->came_ns > d->in_force_ns ? c->came_ns : d->in_force_ns;
    const int64_t from_ns =
        w->warm_wall_ns + (type == MLT_EVENT_BOOK_SNAPSHOT ? SOAK_POLLS_LATER_NS : 0);
    since_ns = since_ns > from_ns ? since_ns : from_ns;
    if (now_ns - since_ns > w->stream_silence_ns) {
        w->stream_silence_ns = now_ns - since_ns;
        (void)snprintf(w->quietest_stream, sizeof w->quietest_stream, "SYM%04u-USDT %s", symbol + 1,
                       mlt_event_type_word((int)type));
    }
}

static void count_demand(struct soak_watch *w, struct soak_demand *d, const struct mlt_event *e)
{
    if (d->asked_ns != 0 && e->stamps.published >= d->asked_ns) {
        mlt_latency_record(&w->first_event, mlt_clock_mono_ns() - d->asked_mono_ns);
        d->asked_ns = 0;
    }
    w->after_end += d->ended_ns != 0 && e->stamps.published > d->ended_ns;
}

/* ---- what comes ---- */

static bool symbol_of(const struct soak_watch *w, struct mlt_slice token, unsigned *index)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.*s", MLT_SLICE_FMT(token));
    if (strncmp(text, "SYM", 3) != 0) {
        return false;
    }
    const unsigned long number = strtoul(text + 3, NULL, 10);
    *index = (unsigned)number - 1;
    return number >= 1 && number <= w->symbols;
}

static void take(struct soak_watch *w, unsigned symbol, const struct mlt_event *e, int64_t now_ns)
{
    struct soak_instrument *i = &w->instruments[symbol];
    struct soak_channel *c = &i->channels[e->type];
    struct soak_demand *d = &i->demands[e->type];
    if (e->type == MLT_EVENT_STATUS) {
        on_status(w, i, e);
    }
    if (e->sequence == 0) {
        w->notices++;
        follow_book(w, i, e);
        return;
    }
    if (!check_sequence(w, d, c, e)) {
        return;
    }
    check_ids(w, d, c, e);
    count_trace(w, c, e);
    count_stream_silence(w, symbol, e->type, now_ns);
    *c = (struct soak_channel){ true,    e->epoch,           e->sequence, c->events + 1,
                                e->last, e->stamps.received, now_ns };
    i->events++;
    i->polls += e->type == MLT_EVENT_BOOK_SNAPSHOT && e->rest_function.len > 0;
    w->events++;
    w->by_type[e->type]++;
    count_time(w, e, now_ns, false);
    count_demand(w, d, e);
    follow_book(w, i, e);
}

void soak_watch_event(struct soak_watch *watch, const struct mlt_event *event, int64_t now_ns)
{
    unsigned symbol = 0;
    if (!symbol_of(watch, event->instrument, &symbol)) {
        watch->losses.foreign++;
        return;
    }
    count_silence(watch);
    take(watch, symbol, event, now_ns);
    if (watch->look != NULL) {
        watch->look(watch->ctx, event);
    }
}

static void on_shared(void *ctx, const struct mlt_bus_message *message)
{
    struct soak_watch *w = ctx;
    const int64_t now_ns = mlt_clock_wall_ns();
    struct mlt_event e;
    (void)pthread_mutex_lock(&w->lock);
    mlt_arena_reset(&w->arena);
    if (mlt_event_decode(message->payload, &w->arena, &e) != MLT_OK) {
        w->losses.foreign++;
    } else {
        soak_watch_event(w, &e, now_ns);
    }
    (void)pthread_cond_broadcast(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
}

/* meltica.lane.<principal>.<subscription>.<instrument> */
static struct soak_lane *lane_of(struct soak_watch *w, const char *subject)
{
    const char *id = strchr(subject + strlen("meltica.lane."), '.');
    const size_t len = id != NULL ? strcspn(id + 1, ".") : 0;
    for (unsigned i = 0; len > 0 && i < SOAK_LANES_MAX; i++) {
        if (strlen(w->lane[i].id) == len && memcmp(w->lane[i].id, id + 1, len) == 0) {
            return &w->lane[i];
        }
    }
    return NULL;
}

static void take_lane(struct soak_watch *w, struct soak_lane *lane, unsigned symbol,
                      const struct mlt_event *e)
{
    struct soak_channel *c = &lane->channels[symbol];
    if (e->type != lane->type) {
        return;
    }
    if (c->seen && e->epoch == c->epoch && e->sequence <= c->sequence) {
        w->losses.repeats++;
        return;
    }
    if (c->seen && e->epoch == c->epoch && e->lane_previous != c->sequence) {
        lose(w, &w->losses.lane_holes, 1, "lane", e, c->sequence);
    }
    *c = (struct soak_channel){
        .seen = true, .epoch = e->epoch, .sequence = e->sequence, .last_id = e->last
    };
}

/* HEADS of a lane say where it stands: that its last event did not come. */
static void check_lane_heads(struct soak_watch *w, struct soak_lane *lane, unsigned symbol,
                             const struct mlt_event *e)
{
    const struct mlt_status_event *s = &e->u.status;
    struct soak_channel *c = &lane->channels[symbol];
    for (size_t h = 0; h < s->head_count; h++) {
        if (s->heads[h].type == lane->type && c->seen && c->epoch == e->epoch &&
            s->heads[h].sequence > c->sequence) {
            lose(w, &w->losses.lane_holes, 1, "lane's head", e, c->sequence);
            c->sequence = s->heads[h].sequence; /* counted once */
        }
    }
}

void soak_watch_lane_event(struct soak_watch *watch, const char *subject,
                           const struct mlt_event *event, int64_t now_ns)
{
    static const struct soak_channel none;
    unsigned symbol = 0;
    if (!symbol_of(watch, event->instrument, &symbol)) {
        watch->losses.foreign++;
        return;
    }
    /* NULL: its answer is not here yet, or it has just ended. */
    struct soak_lane *lane = lane_of(watch, subject);
    if (event->sequence > 0) {
        watch->lane_events++;
        count_trace(watch, lane != NULL ? &lane->channels[symbol] : &none, event);
        count_time(watch, event, now_ns, true);
        if (lane != NULL) {
            take_lane(watch, lane, symbol, event);
        }
    } else if (lane != NULL && event->type == MLT_EVENT_STATUS &&
               event->u.status.kind == MLT_STATUS_HEADS) {
        check_lane_heads(watch, lane, symbol, event);
    }
}

static void on_lane(void *ctx, const struct mlt_bus_message *message)
{
    struct soak_watch *w = ctx;
    const int64_t now_ns = mlt_clock_wall_ns();
    struct mlt_event e;
    (void)pthread_mutex_lock(&w->lock);
    mlt_arena_reset(&w->lane_arena);
    if (mlt_event_decode(message->payload, &w->lane_arena, &e) != MLT_OK) {
        w->losses.foreign++;
    } else {
        soak_watch_lane_event(w, message->subject, &e, now_ns);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

/* ---- life ---- */

void soak_watch_open(struct soak_watch *watch, unsigned symbols)
{
    struct soak_watch *w = watch;
    w->symbols = symbols;
    assert_int_equal(pthread_cond_init(&w->changed, NULL), 0);
    assert_int_equal(pthread_mutex_init(&w->lock, NULL), 0);
    mlt_arena_init(&w->arena, 65536, 16u << 20);
    mlt_arena_init(&w->lane_arena, 65536, 16u << 20);
    for (unsigned i = 0; i < symbols; i++) {
        assert_int_equal(mlt_follow_create(&w->instruments[i].follow), MLT_OK);
        for (size_t t = 0; t < sizeof base_types / sizeof base_types[0]; t++) {
            w->instruments[i].demands[base_types[t]] =
                (struct soak_demand){ .holders = 1, .in_force_ns = ALWAYS };
        }
    }
}

void soak_watch_start(struct soak_watch *watch, const char *nats_url, unsigned symbols)
{
    struct soak_watch *w = watch;
    struct mlt_error err = MLT_ERROR_INIT;
    soak_watch_open(w, symbols);
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = nats_url,
                                             .name = "soak-consumer" };
    assert_int_equal(mlt_bus_connect(&options, &w->bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(w->bus, 10 * MLT_NS_PER_S), MLT_OK);
    struct mlt_bus_subscribe_options subscribe = { .subject = "meltica.data.*",
                                                   .pending_count_max = 1 << 20,
                                                   .pending_bytes_max = 256u << 20 };
    assert_int_equal(mlt_bus_subscribe(w->bus, &subscribe, on_shared, w, &w->shared, &err), MLT_OK);
    subscribe.subject = "meltica.lane.>";
    assert_int_equal(mlt_bus_subscribe(w->bus, &subscribe, on_lane, w, &w->lanes, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(w->bus) >= 0); /* the server has both */
}

void soak_watch_last_look(struct soak_watch *watch, int64_t now_ns)
{
    (void)pthread_mutex_lock(&watch->lock);
    count_silence(watch);
    for (unsigned i = 0; i < watch->symbols; i++) {
        for (int t = MLT_EVENT_NONE + 1; t < MLT_EVENT_TYPE_COUNT; t++) {
            count_stream_silence(watch, i, (enum mlt_event_type)t, now_ns);
        }
    }
    (void)pthread_mutex_unlock(&watch->lock);
}

void soak_watch_end(struct soak_watch *watch)
{
    struct mlt_bus_stats stats;
    soak_watch_last_look(watch, mlt_clock_wall_ns());
    mlt_bus_unsubscribe(watch->shared);
    mlt_bus_unsubscribe(watch->lanes);
    mlt_bus_get_stats(watch->bus, &stats);
    watch->losses.dropped_here = stats.slow_consumer_dropped;
    mlt_bus_destroy(watch->bus, 0);
    watch->bus = NULL;
}

void soak_watch_free(struct soak_watch *watch)
{
    for (unsigned i = 0; i < watch->symbols; i++) {
        mlt_follow_destroy(watch->instruments[i].follow);
    }
    mlt_arena_fini(&watch->arena);
    mlt_arena_fini(&watch->lane_arena);
    (void)pthread_mutex_destroy(&watch->lock);
    (void)pthread_cond_destroy(&watch->changed);
}

bool soak_watch_live(struct soak_watch *watch)
{
    bool all = true;
    (void)pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < watch->symbols; i++) {
        all = all && watch->instruments[i].live;
    }
    (void)pthread_mutex_unlock(&watch->lock);
    return all;
}

bool soak_watch_take_book(struct soak_watch *watch, unsigned symbol, struct storm_book *to)
{
    (void)pthread_mutex_lock(&watch->lock);
    *to = watch->instruments[symbol].book;
    watch->instruments[symbol].book.id = 0;
    (void)pthread_mutex_unlock(&watch->lock);
    return to->id != 0;
}

void soak_watch_warm(struct soak_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    watch->warm = true;
    watch->warm_ns = mlt_clock_mono_ns();
    watch->warm_wall_ns = mlt_clock_wall_ns();
    for (unsigned i = 0; i < watch->symbols; i++) {
        struct soak_instrument *of = &watch->instruments[i];
        of->live_ns = 0;
        of->live_since_ns = watch->warm_ns;
    }
    (void)pthread_mutex_unlock(&watch->lock);
}

/* ---- what is subscribed ---- */

typedef void (*demand_fn)(struct soak_demand *d, int64_t now_ns);

static void each(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask, demand_fn fn)
{
    const int64_t now_ns = mlt_clock_wall_ns();
    (void)pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < watch->symbols; i++) {
        if ((mask >> i & 1) != 0) {
            fn(&watch->instruments[i].demands[type], now_ns);
        }
    }
    (void)pthread_mutex_unlock(&watch->lock);
}

static void asking(struct soak_demand *d, int64_t now_ns)
{
    const bool first = d->holders + d->asking + d->ending == 0;
    d->asking++;
    d->ended_ns = 0;
    if (first) {
        d->asked_ns = now_ns;
        d->asked_mono_ns = mlt_clock_mono_ns();
    }
}

static void in_force(struct soak_demand *d, int64_t now_ns)
{
    d->asking--;
    d->holders++;
    d->in_force_ns = d->in_force_ns != 0 ? d->in_force_ns : now_ns;
}

static void refused(struct soak_demand *d, int64_t now_ns)
{
    (void)now_ns;
    d->asking--;
    d->asked_ns = 0;
}

static void ending(struct soak_demand *d, int64_t now_ns)
{
    (void)now_ns;
    d->holders--;
    d->ending++;
    if (d->holders == 0) {
        d->in_force_ns = 0;
        d->asked_ns = 0; /* it may not come any more */
    }
}

static void ended(struct soak_demand *d, int64_t now_ns)
{
    d->ending--;
    if (d->holders + d->asking + d->ending == 0) {
        d->ended_ns = now_ns;
    }
}

static void ended_somehow(struct soak_demand *d, int64_t now_ns)
{
    (void)now_ns;
    d->ending--;
}

void soak_watch_asking(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask)
{
    each(watch, type, mask, asking);
}

void soak_watch_in_force(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask)
{
    each(watch, type, mask, in_force);
}

void soak_watch_refused(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask)
{
    each(watch, type, mask, refused);
}

void soak_watch_ending(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask)
{
    each(watch, type, mask, ending);
}

void soak_watch_ended(struct soak_watch *watch, enum mlt_event_type type, uint64_t mask,
                      bool confirmed)
{
    each(watch, type, mask, confirmed ? ended : ended_somehow);
}

void soak_watch_lane(struct soak_watch *watch, const char *id, enum mlt_event_type type)
{
    (void)pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < SOAK_LANES_MAX; i++) {
        if (watch->lane[i].id[0] == '\0') {
            watch->lane[i] = (struct soak_lane){ .type = type };
            (void)snprintf(watch->lane[i].id, sizeof watch->lane[i].id, "%s", id);
            break;
        }
    }
    (void)pthread_mutex_unlock(&watch->lock);
}

void soak_watch_lane_end(struct soak_watch *watch, const char *id)
{
    (void)pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < SOAK_LANES_MAX; i++) {
        if (strcmp(watch->lane[i].id, id) == 0) {
            watch->lane[i].id[0] = '\0';
        }
    }
    (void)pthread_mutex_unlock(&watch->lock);
}
