#include "mlt_test.h"

#include "chaos_ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"

/* What was under way when the server went, and what is sent until all are connected again. */
#define OUTAGE_BEFORE_NS (1 * MLT_NS_PER_S)
#define OUTAGE_AFTER_NS (5 * MLT_NS_PER_S)

const char *const chaos_naming_names[CHAOS_NAMINGS] = { "lost",     "epoch",   "outage",  "status",
                                                        "snapshot", "missing", "sequence" };

void chaos_ledger_open(struct chaos_ledger *ledger, unsigned symbols)
{
    memset(ledger, 0, sizeof *ledger);
    ledger->symbols = symbols;
    ledger->instruments = calloc(symbols, sizeof *ledger->instruments);
    assert_non_null(ledger->instruments);
    for (unsigned i = 0; i < symbols; i++) {
        assert_int_equal(mlt_follow_create(&ledger->instruments[i].follow), MLT_OK);
    }
}

void chaos_ledger_close(struct chaos_ledger *ledger)
{
    for (unsigned i = 0; i < ledger->symbols; i++) {
        mlt_follow_destroy(ledger->instruments[i].follow);
    }
    free(ledger->instruments);
    ledger->instruments = NULL;
}

bool chaos_symbol_of(struct mlt_slice token, unsigned symbols, unsigned *index)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.*s", MLT_SLICE_FMT(token));
    if (strncmp(text, "SYM", 3) != 0) {
        return false;
    }
    const unsigned long number = strtoul(text + 3, NULL, 10);
    *index = (unsigned)number - 1;
    return number >= 1 && number <= symbols;
}

/* ---- what is wrong ---- */

static void describe(char out[256], const char *what, const struct mlt_event *e,
                     const struct chaos_channel *c)
{
    if (out[0] == '\0') {
        (void)snprintf(out, 256,
                       "%s: %.*s %s, epoch %" PRIu64 ", sequence %" PRIu64 ", ids %" PRId64
                       " to %" PRId64 ", received %" PRId64 "; before it epoch %" PRIu64
                       ", sequence %" PRIu64 ", id %" PRId64,
                       what, MLT_SLICE_FMT(e->instrument), mlt_event_type_word((int)e->type),
                       e->epoch, e->sequence, e->first, e->last, e->stamps.received, c->epoch,
                       c->sequence, c->last_id);
    }
}

/* Of its channel, and STATUS: on stderr, oldest first. */
static void show_recent(struct chaos_ledger *l, const char *what, const struct mlt_event *e)
{
    const struct chaos_instrument *i = l->current;
    if (i == NULL || l->shown++ >= CHAOS_SHOWN) {
        return;
    }
    (void)fprintf(stderr, "chaos: %s: %.*s %s\n", what, (int)e->instrument.len,
                  (const char *)e->instrument.data, mlt_event_type_word((int)e->type));
    const unsigned count = i->recent_count < CHAOS_RECENT ? i->recent_count : CHAOS_RECENT;
    for (unsigned n = i->recent_count - count; n < i->recent_count; n++) {
        const struct chaos_recent *r = &i->recent[n % CHAOS_RECENT];
        if (r->type == e->type || r->type == MLT_EVENT_STATUS) {
            (void)fprintf(stderr,
                          "chaos:   %s kind %d epoch %" PRIu64 " sequence %" PRIu64 " ids %" PRId64
                          " to %" PRId64 " quality %" PRIu32 " received %" PRId64 " came %" PRId64
                          "\n",
                          mlt_event_type_word((int)r->type), r->kind, r->epoch, r->sequence,
                          r->first, r->last, r->quality, r->received_ns, r->came_ns);
        }
    }
}

static void note_recent(struct chaos_instrument *i, const struct mlt_event *e, int64_t now_ns)
{
    const bool status = e->type == MLT_EVENT_STATUS;
    i->recent[i->recent_count++ % CHAOS_RECENT] =
        (struct chaos_recent){ .type = e->type,
                               .kind = status ? (int)e->u.status.kind : 0,
                               .epoch = e->epoch,
                               .sequence = e->sequence,
                               .first = status ? e->u.status.update_first : e->first,
                               .last = status ? e->u.status.update_last : e->last,
                               .received_ns = e->stamps.received,
                               .came_ns = now_ns,
                               .quality = e->quality };
}

static void silent(struct chaos_ledger *l, const char *what, const struct mlt_event *e,
                   const struct chaos_channel *c)
{
    l->silent_holes++;
    describe(l->first_silent, what, e, c);
    show_recent(l, what, e);
}

static void duplicate(struct chaos_ledger *l, const char *what, const struct mlt_event *e,
                      const struct chaos_channel *c)
{
    l->duplicates++;
    describe(l->first_duplicate, what, e, c);
}

static void disorder(struct chaos_ledger *l, const char *what, const struct mlt_event *e,
                     const struct chaos_channel *c)
{
    l->disorders++;
    describe(l->first_disorder, what, e, c);
    show_recent(l, what, e);
}

/* ---- outages ---- */

void chaos_ledger_outage(struct chaos_ledger *ledger, int64_t from_ns)
{
    ledger->outages[ledger->outage_count % CHAOS_OUTAGES_MAX].from_ns = from_ns;
    ledger->outages[ledger->outage_count++ % CHAOS_OUTAGES_MAX].until_ns = 0;
}

void chaos_ledger_outage_over(struct chaos_ledger *ledger, int64_t until_ns)
{
    if (ledger->outage_count > 0) {
        ledger->outages[(ledger->outage_count - 1) % CHAOS_OUTAGES_MAX].until_ns = until_ns;
    }
}

static bool was_away(const struct chaos_ledger *l, int64_t from_ns, int64_t until_ns)
{
    const unsigned kept = l->outage_count < CHAOS_OUTAGES_MAX ? l->outage_count : CHAOS_OUTAGES_MAX;
    for (unsigned i = 0; i < kept; i++) {
        const bool lasts = l->outages[i].until_ns == 0;
        if (until_ns >= l->outages[i].from_ns - OUTAGE_BEFORE_NS &&
            (lasts || from_ns <= l->outages[i].until_ns + OUTAGE_AFTER_NS)) {
            return true;
        }
    }
    return false;
}

/* ---- numbers ---- */

static bool has_contiguous_ids(enum mlt_event_type type)
{
    return type == MLT_EVENT_TRADE || type == MLT_EVENT_AGG_TRADE || type == MLT_EVENT_BOOK_DELTA;
}

/* Those of the others are also missing where nobody has them subscribed for a while. */
static bool is_held_throughout(enum mlt_event_type type)
{
    return type != MLT_EVENT_KLINE && type != MLT_EVENT_TICKER;
}

/* Numbers of the channel are missing before this event. */
static void number_hole(struct chaos_ledger *l, struct chaos_channel *c, const struct mlt_event *e,
                        int64_t now_ns, const char *what)
{
    if (c->lost_said) {
        l->named[CHAOS_BY_LOST]++;
    } else if (was_away(l, c->came_ns, now_ns)) {
        l->named[CHAOS_BY_OUTAGE]++;
    } else {
        silent(l, what, e, c);
    }
}

/* False: a repeat. *jumped: numbers are missing. */
static bool check_number(struct chaos_ledger *l, struct chaos_instrument *i,
                         struct chaos_channel *c, const struct mlt_event *e, int64_t now_ns,
                         bool *jumped)
{
    const uint64_t key = e->key;
    const unsigned slot = (unsigned)(e->sequence % CHAOS_KEYS);
    *jumped = false;
    if (c->seen && (e->epoch < c->epoch || (e->epoch == c->epoch && e->sequence <= c->sequence))) {
        l->repeats++;
        if (c->keys[slot].epoch == e->epoch && c->keys[slot].sequence == e->sequence &&
            c->keys[slot].key != key) {
            duplicate(l, "two events of one number", e, c);
        }
        return false;
    }
    if (c->seen && is_held_throughout(e->type) && e->epoch == c->epoch) {
        *jumped = e->sequence > c->sequence + 1;
        if (*jumped) {
            number_hole(l, c, e, now_ns, "numbers are missing");
        }
    } else if (c->seen && is_held_throughout(e->type)) {
        *jumped = e->sequence > 1;
        /* STATUS opens the epoch and is its own announcement. */
        if (e->type != MLT_EVENT_STATUS && i->epoch < e->epoch &&
            !was_away(l, c->came_ns, now_ns)) {
            silent(l, "an epoch begins that nobody announced", e, c);
        }
        if (*jumped) {
            number_hole(l, c, e, now_ns, "the beginning of an epoch is missing");
        }
    }
    c->keys[slot].epoch = e->epoch;
    c->keys[slot].sequence = e->sequence;
    c->keys[slot].key = key;
    return true;
}

/* ---- ids ---- */

static void add_range(struct chaos_ledger *l, struct chaos_channel *c, int64_t first, int64_t last,
                      bool ended)
{
    if (c->range_count == CHAOS_RANGES_MAX) {
        l->given_up += !c->ranges[0].ended;
        c->range_count--;
        memmove(c->ranges, c->ranges + 1, c->range_count * sizeof c->ranges[0]);
    }
    c->ranges[c->range_count++] = (struct chaos_range){ first, last, ended };
}

static void drop_range(struct chaos_channel *c, unsigned at)
{
    c->range_count--;
    memmove(c->ranges + at, c->ranges + at + 1, (c->range_count - at) * sizeof c->ranges[0]);
}

/* Takes an id out of what is missing; false: it was not. */
static bool fill(struct chaos_ledger *l, struct chaos_channel *c, int64_t id)
{
    for (unsigned i = 0; i < c->range_count; i++) {
        struct chaos_range *r = &c->ranges[i];
        if (id < r->first || id > r->last) {
            continue;
        }
        const int64_t last = r->last;
        const bool ended = r->ended;
        if (r->first == r->last) {
            drop_range(c, i);
        } else if (id == r->first) {
            r->first++;
        } else if (id == r->last) {
            r->last--;
        } else if (c->range_count < CHAOS_RANGES_MAX) {
            r->last = id - 1;
            memmove(c->ranges + i + 2, c->ranges + i + 1,
                    (c->range_count - i - 1) * sizeof c->ranges[0]);
            c->ranges[i + 1] = (struct chaos_range){ id + 1, last, ended };
            c->range_count++;
        } else {
            l->given_up++; /* no room for two: the lower part is forgotten */
            r->first = id + 1;
        }
        return true;
    }
    return false;
}

/* Ids that will not come. */
static void end_ranges(struct chaos_channel *c, int64_t first, int64_t last)
{
    for (unsigned i = 0; i < c->range_count; i++) {
        c->ranges[i].ended =
            c->ranges[i].ended || (c->ranges[i].first >= first && c->ranges[i].last <= last);
    }
}

/* A page of UNFILLABLE may be part of a range: what it names is taken out. */
static void take_out(struct chaos_ledger *l, struct chaos_channel *c, int64_t first, int64_t last)
{
    end_ranges(c, first, last);
    for (unsigned i = 0; i < c->range_count; i++) {
        struct chaos_range *r = &c->ranges[i];
        const struct chaos_range whole = *r;
        if (r->ended || last < r->first || first > r->last) {
            continue;
        }
        r->first = first > whole.first ? whole.first : last + 1;
        r->last = first > whole.first ? first - 1 : whole.last;
        if (first > whole.first && last < whole.last) {
            add_range(l, c, last + 1, whole.last, false);
        }
    }
}

/* What has the missing numbers may be the next ids, although late ones come first, and late ones
 * that are awaited. */
static void check_trade_id(struct chaos_ledger *l, struct chaos_channel *c,
                           const struct mlt_event *e, bool missed)
{
    if (missed) {
        end_ranges(c, INT64_MIN, INT64_MAX);
    }
    const bool jumped = missed || c->unsure;
    c->unsure = jumped && e->last <= c->last_id;
    if (e->last > c->last_id) {
        if (e->first > c->last_id + 1) {
            const bool other_epoch = c->epoch != e->epoch;
            const bool named = jumped || c->gap_said || other_epoch;
            if (jumped) {
                l->named[CHAOS_BY_SEQUENCE]++;
            } else if (named || (e->quality & MLT_QUALITY_AFTER_GAP) != 0) {
                l->named[CHAOS_BY_MISSING]++;
            } else {
                silent(l, "ids are missing", e, c);
            }
            /* What the consumer missed itself does not come again. */
            add_range(l, c, c->last_id + 1, e->first - 1, jumped || other_epoch);
        }
        c->last_id = e->last;
        return;
    }
    if (fill(l, c, e->last)) {
        l->filled++;
        if ((e->quality & MLT_QUALITY_LATE) == 0) {
            disorder(l, "late, and it does not say so", e, c);
        }
    } else if (e->last >= c->first_id && l->given_up == 0) {
        duplicate(l, "an id that has come", e, c);
    }
}

static void check_delta_ids(struct chaos_ledger *l, const struct chaos_instrument *i,
                            struct chaos_channel *c, const struct mlt_event *e, bool jumped)
{
    const enum mlt_book_state state = mlt_follow_state(i->follow); /* before this event */
    if (e->last <= c->last_id) {
        duplicate(l, "update ids that have come", e, c);
        return;
    }
    if (e->first > c->last_id + 1) {
        if (jumped) {
            l->named[CHAOS_BY_SEQUENCE]++;
        } else if (i->snapshot_id >= e->first - 1) {
            l->named[CHAOS_BY_SNAPSHOT]++;
        } else if (c->gap_said || c->epoch != e->epoch || state != MLT_BOOK_LIVE ||
                   e->u.book_delta.digest_version == 0 ||
                   (e->quality & MLT_QUALITY_AFTER_GAP) != 0) {
            l->named[CHAOS_BY_STATUS]++; /* a book that is not LIVE vouches for nothing */
        } else {
            silent(l, "update ids are missing", e, c);
        }
    }
    c->last_id = e->last;
}

/* Its ids are those of the book where its touch moved: they say what is newer, not what is missing.
 */
static void check_quote_id(struct chaos_ledger *l, struct chaos_channel *c,
                           const struct mlt_event *e)
{
    if (c->seen && e->last == c->last_id) {
        duplicate(l, "a quote that has come", e, c);
    } else if (c->seen && e->last < c->last_id) {
        disorder(l, "a quote older than the one before it", e, c);
        return;
    }
    c->last_id = e->last;
}

/* ---- STATUS ---- */

static void say_gap(struct chaos_instrument *i, enum mlt_event_type type)
{
    for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
        i->channels[t].gap_said =
            i->channels[t].gap_said || type == MLT_EVENT_NONE || t == (size_t)type;
    }
}

static void on_lost(struct chaos_instrument *i, const struct mlt_event *e)
{
    const enum mlt_event_type type = e->u.status.lost_type;
    for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
        if (type == MLT_EVENT_NONE || t == (size_t)type) {
            i->channels[t].lost_said = true;
        }
    }
    say_gap(i, type);
}

static void on_heads(struct chaos_ledger *l, struct chaos_instrument *i, const struct mlt_event *e,
                     uint64_t epoch, int64_t now_ns, bool of_epoch)
{
    for (size_t h = 0; h < e->u.status.head_count; h++) {
        const struct mlt_head *head = &e->u.status.heads[h];
        if (head->type <= MLT_EVENT_NONE || head->type >= MLT_EVENT_TYPE_COUNT ||
            !is_held_throughout(head->type)) {
            continue;
        }
        struct chaos_channel *c = &i->channels[head->type];
        if (!c->seen || c->epoch != epoch || head->sequence <= c->sequence) {
            continue;
        }
        if (of_epoch) {
            l->named[CHAOS_BY_EPOCH]++;
        } else {
            number_hole(l, c, e, now_ns, "HEADS says that the last ones are missing");
        }
        c->sequence = head->sequence; /* once */
        c->gap_said = true;
        c->missed = true;
    }
}

static void on_epoch(struct chaos_ledger *l, struct chaos_instrument *i, const struct mlt_event *e,
                     int64_t now_ns)
{
    uint64_t last = 0;
    for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
        last = i->channels[t].epoch > last ? i->channels[t].epoch : last;
        for (unsigned r = 0; r < i->channels[t].range_count; r++) {
            i->channels[t].ranges[r].ended = true; /* those that are missing stay so */
        }
    }
    if (last != 0 && e->epoch > last) {
        if (e->u.status.previous_epoch == last) {
            on_heads(l, i, e, last, now_ns, true);
        } else {
            l->named[CHAOS_BY_EPOCH]++; /* "take it for a loss" */
        }
    }
    i->epoch = e->epoch > i->epoch ? e->epoch : i->epoch;
    say_gap(i, MLT_EVENT_NONE);
}

static void on_status(struct chaos_ledger *l, struct chaos_instrument *i, const struct mlt_event *e,
                      int64_t now_ns)
{
    const struct mlt_status_event *s = &e->u.status;
    const enum mlt_event_type type =
        s->lost_type < MLT_EVENT_TYPE_COUNT ? s->lost_type : MLT_EVENT_NONE;
    /* What was damaged was refused: no service lost it. */
    const bool damaged = s->kind == MLT_STATUS_LOST && mlt_slice_equal_string(s->reason, "refused");
    if (s->kind <= MLT_STATUS_UNFILLABLE && !damaged) {
        l->by_status[s->kind]++;
    }
    switch (s->kind) {
    case MLT_STATUS_EPOCH_STARTED:
        on_epoch(l, i, e, now_ns);
        break;
    case MLT_STATUS_LOST:
        on_lost(i, e);
        break;
    case MLT_STATUS_HEADS:
        on_heads(l, i, e, e->epoch, now_ns, false);
        break;
    case MLT_STATUS_SOURCE_DOWN:
        say_gap(i, MLT_EVENT_NONE);
        break;
    case MLT_STATUS_GAP:
    case MLT_STATUS_STALE:
    case MLT_STATUS_SYNCING:
        say_gap(i, MLT_EVENT_BOOK_DELTA);
        break;
    case MLT_STATUS_MISSING:
        say_gap(i, type);
        break;
    case MLT_STATUS_UNFILLABLE:
        say_gap(i, type);
        take_out(l, &i->channels[type], s->update_first, s->update_last);
        break;
    default:
        break;
    }
}

/* ---- what comes ---- */

static void check_ids(struct chaos_ledger *l, const struct chaos_instrument *i,
                      struct chaos_channel *c, const struct mlt_event *e, bool jumped)
{
    if (!c->seen) {
        c->first_id = e->first;
        c->last_id = e->last;
    } else if (e->type == MLT_EVENT_BOOK_DELTA) {
        check_delta_ids(l, i, c, e, jumped);
    } else {
        check_trade_id(l, c, e, jumped);
    }
}

static void take(struct chaos_ledger *l, struct chaos_instrument *i, const struct mlt_event *e,
                 int64_t now_ns)
{
    struct chaos_channel *c = &i->channels[e->type];
    bool jumped = false;
    if (e->sequence > 0 && !check_number(l, i, c, e, now_ns, &jumped)) {
        return;
    }
    if (e->sequence > 0 && has_contiguous_ids(e->type)) {
        check_ids(l, i, c, e, jumped || c->missed); /* by the next number, or before it by HEADS */
    }
    if (e->sequence > 0 && e->type == MLT_EVENT_BBO) {
        check_quote_id(l, c, e);
    }
    if (e->type == MLT_EVENT_BOOK_SNAPSHOT && e->u.book_snapshot.reset) {
        i->snapshot_id = e->u.book_snapshot.last_update_id;
    }
    if (e->type == MLT_EVENT_STATUS) {
        on_status(l, i, e, now_ns);
    }
    if (e->sequence == 0) {
        l->notices++;
        return;
    }
    c->seen = true;
    c->epoch = e->epoch;
    c->sequence = e->sequence;
    c->events++;
    c->came_ns = now_ns;
    c->published_ns = e->stamps.published;
    c->lost_said = false;
    c->gap_said = false;
    c->missed = false;
    l->events++;
}

void chaos_ledger_event(struct chaos_ledger *ledger, const struct mlt_event *event, int64_t now_ns)
{
    unsigned symbol = 0;
    if (!chaos_symbol_of(event->instrument, ledger->symbols, &symbol)) {
        ledger->foreign++;
        return;
    }
    struct chaos_instrument *i = &ledger->instruments[symbol];
    note_recent(i, event, now_ns);
    ledger->current = i;
    take(ledger, i, event, now_ns);
    ledger->current = NULL;
    const enum mlt_status status = mlt_follow_event(i->follow, event);
    ledger->failure = status != MLT_OK ? status : ledger->failure;
}

/* ---- the end ---- */

bool chaos_ledger_reached(const struct chaos_ledger *ledger, unsigned symbol,
                          enum mlt_event_type type, int64_t id)
{
    const struct chaos_channel *c = &ledger->instruments[symbol].channels[type];
    return c->seen && c->last_id >= id;
}

uint64_t chaos_ledger_awaited(const struct chaos_ledger *ledger)
{
    uint64_t count = 0;
    for (unsigned s = 0; s < ledger->symbols; s++) {
        for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
            const struct chaos_channel *c = &ledger->instruments[s].channels[t];
            for (unsigned r = 0; r < c->range_count; r++) {
                count += c->ranges[r].ended || c->ranges[r].last < c->ranges[r].first ? 0 : 1;
            }
        }
    }
    return count;
}

void chaos_ledger_end(struct chaos_ledger *ledger, const struct chaos_heads *heads)
{
    for (unsigned s = 0; s < ledger->symbols; s++) {
        for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
            const struct chaos_channel *c = &ledger->instruments[s].channels[t];
            char token[32];
            (void)snprintf(token, sizeof token, "SYM%04u-USDT", s + 1);
            struct mlt_event place = { .instrument = mlt_slice_of_string(token),
                                       .type = (enum mlt_event_type)t,
                                       .epoch = c->epoch };
            for (unsigned r = 0; r < c->range_count; r++) {
                place.first = c->ranges[r].first;
                place.last = c->ranges[r].last;
                if (!c->ranges[r].ended && place.last >= place.first) {
                    silent(ledger, "trades that never came", &place, c);
                }
            }
            place.first = place.last = heads[s].last[t];
            if (heads[s].last[t] > 0 &&
                !chaos_ledger_reached(ledger, s, (enum mlt_event_type)t, heads[s].last[t])) {
                silent(ledger, "the end of what the exchange sent never came", &place, c);
            }
        }
    }
}

uint64_t chaos_ledger_wrong(const struct chaos_ledger *ledger)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < ledger->symbols; i++) {
        const struct mlt_follow_counts *c = mlt_follow_get_counts(ledger->instruments[i].follow);
        sum += c->books_wrong + c->digests_wrong + c->crossed;
    }
    return sum;
}

uint64_t chaos_ledger_right(const struct chaos_ledger *ledger)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < ledger->symbols; i++) {
        const struct mlt_follow_counts *c = mlt_follow_get_counts(ledger->instruments[i].follow);
        sum += c->books_right + c->digests_right;
    }
    return sum;
}
