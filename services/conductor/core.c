/* See core.h. One struct instrument an instrument, found by token; a channel is an array place by
 * type. */
#include "core_internal.h"

#include <stdlib.h>

#include "meltica/base/check.h"
#include "meltica/base/hash.h"

/* Where a time alone tells: one this much below the last one is of a clock that was set back, not a
 * repeat. What comes twice is what a sender had no acknowledgement of when it, or who handled it,
 * ended: seconds. A stand-by's ring may reach back for hours, but holds nothing that is judged by a
 * time alone, while the clocks of two hosts differ by less than this. */
#define REPEAT_WINDOW_NS (10 * MLT_NS_PER_S)
#define KEPT_ARENA_BYTES (8u << 10)
#define HEADS_ALL_TURNS 10u

enum mlt_status mlt_conductor_core_create(uint32_t partitions,
                                          const struct mlt_conductor_ports *ports,
                                          struct mlt_conductor_core **core)
{
    if (partitions == 0 || partitions > MLT_SLOT_COUNT) {
        return MLT_E_INVALID;
    }
    struct mlt_conductor_core *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return MLT_E_NOMEM;
    }
    c->ports = *ports;
    c->partitions = partitions;
    c->trace_seed = mlt_random64();
    c->due_ns = c->trades_due_ns = INT64_MAX;
    TAILQ_INIT(&c->kept);
    mlt_arena_init(&c->kept_arena, KEPT_ARENA_BYTES, KEPT_ARENA_BYTES);
    mlt_arena_init(&c->waits_arena, KEPT_ARENA_BYTES, WAITS_ARENA_BYTES_MAX);
    mlt_map_init(&c->map, MLT_CONDUCTOR_INSTRUMENTS_MAX);
    *core = c;
    return MLT_OK;
}

void mlt_conductor_core_destroy(struct mlt_conductor_core *core)
{
    if (core == NULL) {
        return;
    }
    mlt_conductor_books_fini(core);
    mlt_conductor_trades_fini(core);
    struct instrument *i = core->first;
    while (i != NULL) {
        struct instrument *next = i->next;
        mlt_conductor_tiers_fini(i);
        free(i);
        i = next;
    }
    mlt_map_fini(&core->map);
    mlt_arena_fini(&core->kept_arena);
    mlt_arena_fini(&core->waits_arena);
    free(core);
}

void mlt_conductor_core_set_epoch(struct mlt_conductor_core *core, uint32_t slot, uint64_t epoch)
{
    MLT_CHECK(slot < MLT_SLOT_COUNT);
    core->epochs[slot] = epoch;
}

enum mlt_status mlt_conductor_instrument(struct mlt_conductor_core *core, struct mlt_slice token,
                                         struct instrument **out)
{
    *out = mlt_map_get(&core->map, token);
    if (*out != NULL) {
        return MLT_OK;
    }
    if (!mlt_instrument_token_valid(token) || token.len > MLT_INSTRUMENT_BYTES_MAX) {
        return MLT_E_PROTOCOL;
    }
    struct instrument *i = calloc(1, sizeof *i);
    if (i == NULL) {
        return MLT_E_NOMEM;
    }
    memcpy(i->token, token.data, token.len);
    i->token_len = token.len;
    i->slot = mlt_instrument_slot(token);
    const enum mlt_status status = mlt_map_put(&core->map, token, i);
    if (status != MLT_OK) {
        free(i);
        return status;
    }
    if (core->last != NULL) {
        core->last->next = i;
    } else {
        core->first = i;
    }
    core->last = i;
    *out = i;
    return MLT_OK;
}

struct kline_position *mlt_conductor_candles_of(struct instrument *i, struct mlt_slice interval)
{
    for (size_t k = 0; k < i->kline_count; k++) {
        struct kline_position *p = &i->klines[k];
        if (p->interval_len == interval.len &&
            memcmp(p->interval, interval.data, interval.len) == 0) {
            return p;
        }
    }
    if (i->kline_count == KLINE_INTERVALS_MAX || interval.len == 0 ||
        interval.len > INTERVAL_BYTES_MAX) {
        return NULL;
    }
    struct kline_position *p = &i->klines[i->kline_count++];
    memcpy(p->interval, interval.data, interval.len);
    p->interval_len = interval.len;
    p->event_ns = INT64_MIN;
    p->open_ns = INT64_MIN;
    return p;
}

static void seed_channel(struct instrument *i, const struct mlt_head *head)
{
    /* STATUS events of Meltica's own have no source position; 0 says that no other was there. */
    if (head->type != MLT_EVENT_STATUS || head->last != 0) {
        i->channels[head->type].position = head->last;
        i->channels[head->type].has_position = true;
    }
    if (head->type == MLT_EVENT_STATUS && head->last != 0) {
        i->words.floor_ns = head->last;
        i->words.has_floor = true;
    }
    /* What lies below a head was delivered, or given up, by an earlier owner. */
    if (head->type == MLT_EVENT_TRADE) {
        memset(i->trades.seen, 0xff, sizeof i->trades.seen);
    } else if (head->type == MLT_EVENT_AGG_TRADE) {
        memset(i->agg_trades.seen, 0xff, sizeof i->agg_trades.seen);
    }
    if (head->sequence > 0 && i->previous_head_count < MLT_STATUS_HEADS_MAX) {
        i->previous_heads[i->previous_head_count++] = *head;
    }
}

enum mlt_status mlt_conductor_core_seed(struct mlt_conductor_core *core,
                                        const struct mlt_instrument_heads *heads)
{
    struct instrument *i = NULL;
    const enum mlt_status status = mlt_conductor_instrument(core, heads->instrument, &i);
    if (status != MLT_OK) {
        return status;
    }
    if (i->epoch != 0) {
        return MLT_E_EXISTS;
    }
    i->previous_epoch = heads->epoch;
    i->previous_head_count = 0;
    for (size_t h = 0; h < heads->head_count; h++) {
        if (heads->heads[h].type > MLT_EVENT_NONE && heads->heads[h].type < MLT_EVENT_TYPE_COUNT) {
            seed_channel(i, &heads->heads[h]);
        }
    }
    for (size_t c = 0; c < heads->candle_count; c++) {
        struct kline_position *p = mlt_conductor_candles_of(i, heads->candles[c].interval);
        if (p == NULL) {
            return MLT_E_LIMIT;
        }
        p->open_ns = heads->candles[c].open_ns;
        p->event_ns = heads->candles[c].event_ns;
    }
    return MLT_OK;
}

/* Shifts the window so that bit 0 is the new highest id. */
static void window_advance(struct window *window, uint64_t by)
{
    if (by >= TRADE_WINDOW) {
        memset(window->seen, 0, sizeof window->seen);
    } else {
        const size_t words = (size_t)(by / 64), bits = (size_t)(by % 64);
        const size_t count = sizeof window->seen / sizeof window->seen[0];
        for (size_t i = count; i-- > 0;) {
            uint64_t value = i >= words ? window->seen[i - words] << bits : 0;
            if (bits > 0 && i > words) {
                value |= window->seen[i - words - 1] >> (64 - bits);
            }
            window->seen[i] = value;
        }
    }
    window->seen[0] |= 1;
}

enum verdict { NEW, LATE, FILLED, REPEAT, REFUSED };

static enum verdict judge_trade(const struct instrument *i, enum mlt_event_type type,
                                struct channel *channel, struct window *window, int64_t id)
{
    if (!channel->has_position || id > channel->position) {
        window_advance(window, channel->has_position ? (uint64_t)id - (uint64_t)channel->position
                                                     : TRADE_WINDOW);
        channel->position = id;
        channel->has_position = true;
        return NEW;
    }
    const uint64_t below = (uint64_t)channel->position - (uint64_t)id;
    if (below >= TRADE_WINDOW) {
        return mlt_conductor_trade_is_missing(i, type, id) ? LATE : REPEAT;
    }
    const uint64_t bit = UINT64_C(1) << (below % 64);
    if ((window->seen[below / 64] & bit) != 0) {
        return REPEAT;
    }
    window->seen[below / 64] |= bit;
    return LATE;
}

/* What was fetched is taken where it is missing, and nowhere else: it is not of the flow. */
static enum verdict judge_any_trade(struct instrument *i, const struct mlt_event *event,
                                    struct channel *channel, int64_t id)
{
    struct window *window = event->type == MLT_EVENT_TRADE ? &i->trades : &i->agg_trades;
    const bool fetched = event->rest_function.len > 0;
    if (fetched && !mlt_conductor_trade_is_missing(i, event->type, id)) {
        return REPEAT;
    }
    const enum verdict verdict = judge_trade(i, event->type, channel, window, id);
    return fetched && verdict == LATE ? FILLED : verdict;
}

static enum verdict judge_kline(struct instrument *i, struct channel *channel,
                                const struct mlt_event *event)
{
    struct kline_position *p = mlt_conductor_candles_of(i, event->u.kline.interval);
    if (p == NULL) {
        return REFUSED;
    }
    if (event->last < p->event_ns || (event->last == p->event_ns && event->first <= p->open_ns)) {
        return REPEAT;
    }
    p->event_ns = event->last;
    p->open_ns = event->first;
    if (!channel->has_position || event->last > channel->position) {
        channel->position = event->last;
        channel->has_position = true;
    }
    return NEW;
}

/* Below `last`, or at it, by less than a clock is set back. */
static bool just_below(int64_t last, int64_t time)
{
    return time <= last && (uint64_t)last - (uint64_t)time < (uint64_t)REPEAT_WINDOW_NS;
}

/* A completion time of our own making: later is new, and so is one so much earlier that a clock
 * must have been set back. */
static bool timed_repeat(const struct channel *channel, int64_t position)
{
    return channel->has_position && just_below(channel->position, position);
}

/* A stand-by that takes over brings what the one before had brought, by another host's clock and
 * as old as its ring is: the id tells. One that is not above it for longer than a repeat may be
 * old is of an exchange that has set its ids back. A stream's have their own, since an answer of
 * REST may be another instrument's. */
static enum verdict judge_snapshot(struct instrument *i, struct channel *channel,
                                   const struct mlt_event *event, int64_t position)
{
    const int64_t id = event->u.book_snapshot.last_update_id;
    const bool by_id = event->rest_function.len == 0 && id > 0;
    if (by_id && i->snapshot_id > 0) {
        if (id <= i->snapshot_id &&
            (position <= i->snapshot_ns || just_below(position, i->snapshot_ns))) {
            return REPEAT;
        }
    } else if (timed_repeat(channel, position)) {
        return REPEAT;
    }
    if (by_id) {
        i->snapshot_id = id;
        i->snapshot_ns = position;
    }
    channel->position = position;
    channel->has_position = true;
    return NEW;
}

static bool was_told(const struct source_words *words, enum mlt_status_kind kind, int64_t received)
{
    for (size_t n = 0; n < SOURCE_WORDS; n++) {
        if (words->last[n].kind == kind && words->last[n].received_ns == received) {
            return true;
        }
    }
    return false;
}

static void remember_word(struct source_words *words, enum mlt_status_kind kind, int64_t received)
{
    const unsigned place = words->next++ % SOURCE_WORDS;
    const int64_t gone = words->last[place].received_ns;
    if (words->last[place].kind != MLT_STATUS_KIND_NONE &&
        (!words->has_floor || gone > words->floor_ns)) {
        words->floor_ns = gone;
        words->has_floor = true;
    }
    words->last[place].kind = kind;
    words->last[place].received_ns = received;
}

/* A repeat has time and kind of one that was told: an old SOURCE_DOWN that comes again makes no
 * book STALE. What has not, though it is below another one, is by the clock of another Adapter's
 * host, and told: that of who took over must not be missing. Only of what is too long ago to be
 * remembered, or was told by an owner before, the time alone has to tell. */
static enum verdict judge_status(struct instrument *i, struct channel *channel,
                                 const struct mlt_event *event, int64_t position)
{
    struct source_words *words = &i->words;
    const enum mlt_status_kind kind = event->u.status.kind;
    if (was_told(words, kind, position)) {
        return REPEAT;
    }
    if (words->has_floor && position <= words->floor_ns) {
        if (just_below(words->floor_ns, position)) {
            return REPEAT;
        }
        *words = (struct source_words){ .next = 0 };
    }
    remember_word(words, kind, position);
    /* The highest, unless a clock was set back: an owner after this one goes by it alone. */
    if (!timed_repeat(channel, position)) {
        channel->position = position;
        channel->has_position = true;
    }
    return NEW;
}

static enum verdict judge(struct instrument *i, const struct mlt_event *event)
{
    struct channel *channel = &i->channels[event->type];
    const int64_t position = mlt_event_position(event);
    switch (event->type) {
    case MLT_EVENT_TRADE:
    case MLT_EVENT_AGG_TRADE:
        return judge_any_trade(i, event, channel, position);
    case MLT_EVENT_KLINE:
        return judge_kline(i, channel, event);
    case MLT_EVENT_STATUS:
        return judge_status(i, channel, event, position);
    case MLT_EVENT_BOOK_SNAPSHOT:
        return judge_snapshot(i, channel, event, position);
    case MLT_EVENT_INSTRUMENT:
        if (timed_repeat(channel, position)) {
            return REPEAT;
        }
        break;
    default:
        if (channel->has_position && position <= channel->position) {
            return REPEAT;
        }
        break;
    }
    channel->position = position;
    channel->has_position = true;
    return NEW;
}

void mlt_conductor_number(struct mlt_conductor_core *core, struct instrument *i,
                          struct mlt_event *event)
{
    struct channel *channel = &i->channels[event->type];
    event->epoch = i->epoch;
    event->sequence = ++channel->sequence;
    if (event->sequence == 1 || event->last > channel->left) {
        channel->left = event->last;
    }
    channel->moved = true;
    if (channel->after_gap) {
        event->quality |= MLT_QUALITY_AFTER_GAP;
        channel->after_gap = false;
    }
    event->stamps.conducted = core->ports.clock->wall_ns(core->ports.clock->ctx);
    i->last_ns = event->stamps.conducted;
    core->counts.out++;
}

void mlt_conductor_number_and_send(struct mlt_conductor_core *core, struct instrument *i,
                                   struct mlt_event *event)
{
    mlt_conductor_number(core, i, event);
    mlt_conductor_send(core, i, event);
}

bool mlt_conductor_owns(const struct mlt_conductor_core *core, const struct instrument *i)
{
    return core->epochs[i->slot] != 0 && !mlt_conductor_fenced(core, i);
}

bool mlt_conductor_current(const struct mlt_conductor_core *core, const struct instrument *i)
{
    return mlt_conductor_owns(core, i) && i->epoch == core->epochs[i->slot];
}

void mlt_conductor_status(struct mlt_conductor_core *core, const struct instrument *i,
                          enum mlt_status_kind kind, const char *reason, struct mlt_event *event)
{
    memset(event, 0, sizeof *event);
    event->instrument = mlt_slice_of(i->token, i->token_len);
    event->type = MLT_EVENT_STATUS;
    event->stamps.received = core->ports.clock->wall_ns(core->ports.clock->ctx);
    event->stamps.exchange = MLT_STAMP_UNKNOWN;
    event->stamps.adapted = MLT_STAMP_UNKNOWN;
    event->stamps.dispatched = MLT_STAMP_UNKNOWN;
    event->stamps.conducted = event->stamps.received;
    event->stamps.published = MLT_STAMP_UNKNOWN;
    const uint64_t low = mlt_mix64(core->trace_seed + ++core->trace_count);
    memcpy(event->trace_id, &core->trace_seed, 8);
    memcpy(event->trace_id + 8, &low, 8);
    event->u.status.kind = kind;
    event->u.status.reason = mlt_slice_of_string(reason);
    event->key =
        mlt_event_key(event->instrument, event->type, event->stamps.received, (int64_t)kind, 0);
}

/* Of what left: what waits for room was judged, and is not there yet. */
static int64_t head_position(const struct instrument *i, size_t type)
{
    const struct channel *channel = &i->channels[type];
    return mlt_conductor_is_merged((enum mlt_event_type)type) ? channel->left : channel->position;
}

void mlt_conductor_enter_epoch(struct mlt_conductor_core *core, struct instrument *i)
{
    if (i->epoch == core->epochs[i->slot]) {
        return;
    }
    mlt_conductor_books_epoch(core, i);
    mlt_conductor_trades_epoch(i);
    if (i->epoch != 0) { /* ours before: then we know better than what we were seeded with */
        i->previous_epoch = i->epoch;
        i->previous_head_count = 0;
    }
    for (size_t t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        if (i->channels[t].sequence > 0) {
            i->previous_heads[i->previous_head_count++] = (struct mlt_head){
                .type = (enum mlt_event_type)t,
                .sequence = i->channels[t].sequence,
                .last = head_position(i, t),
            };
        }
        i->channels[t].sequence = 0;
    }
    struct mlt_event event;
    mlt_conductor_status(core, i, MLT_STATUS_EPOCH_STARTED, "owner_started", &event);
    event.u.status.previous_epoch = i->previous_epoch;
    event.u.status.head_count = i->previous_head_count;
    memcpy(event.u.status.heads, i->previous_heads, sizeof event.u.status.heads);
    i->epoch = core->epochs[i->slot];
    mlt_conductor_number_and_send(core, i, &event);
}

static bool is_trade(enum mlt_event_type type)
{
    return type == MLT_EVENT_TRADE || type == MLT_EVENT_AGG_TRADE;
}

/* before: its channel as it was. */
static void follow_trades(struct mlt_conductor_core *core, struct instrument *i,
                          struct mlt_event *event, const struct channel *before,
                          enum verdict verdict)
{
    if (verdict == FILLED) {
        core->counts.trades_filled++;
        event->quality |= MLT_QUALITY_BACKFILLED;
    }
    if (verdict == NEW) {
        /* Ids count from 0; one below is none, and what is between it and another is no number. */
        if (before->has_position && before->position >= 0 && event->last - 1 > before->position &&
            (event->quality & MLT_QUALITY_CONTIGUOUS) != 0) {
            mlt_conductor_trades_gap(core, i, event->type, before->position + 1, event->last - 1);
        }
    } else {
        mlt_conductor_trade_came(core, i, event->type, event->last, verdict == FILLED);
    }
}

/* A repeat of a stream's event is as old as its first: one that was received so much later than
 * anything new has an id that the exchange gave out once more, having set its ids back. */
static bool ids_below(struct channel *channel, const struct mlt_event *event)
{
    if ((event->type != MLT_EVENT_BOOK_DELTA && event->type != MLT_EVENT_BBO &&
         !is_trade(event->type)) ||
        event->rest_function.len > 0) {
        return false;
    }
    if (channel->new_ns == 0) { /* nothing new came to this owner */
        channel->new_ns = event->stamps.received;
    }
    return event->stamps.received - channel->new_ns >= REPEAT_WINDOW_NS;
}

enum mlt_status mlt_conductor_core_event(struct mlt_conductor_core *core, struct mlt_event *event)
{
    core->counts.in++;
    struct instrument *i = NULL;
    const enum mlt_status status = mlt_conductor_instrument(core, event->instrument, &i);
    if (status != MLT_OK) {
        core->counts.refused++;
        return status;
    }
    if (!mlt_conductor_owns(core, i)) {
        core->counts.stale_owner++;
        return MLT_E_STALE_OWNER;
    }
    if (mlt_conductor_take_word(core, i, event)) {
        return MLT_OK;
    }
    const struct channel before = i->channels[event->type];
    const enum verdict verdict = judge(i, event);
    if (verdict == REPEAT) {
        core->counts.duplicates++;
        core->counts.ids_below += ids_below(&i->channels[event->type], event);
        if (is_trade(event->type) && event->rest_function.len > 0) {
            mlt_conductor_trade_came(core, i, event->type, event->last, true);
        }
        mlt_conductor_books_again(core, i, event);
        return MLT_OK;
    }
    if (verdict == REFUSED) {
        core->counts.refused++;
        return MLT_E_LIMIT;
    }
    i->channels[event->type].new_ns = event->stamps.received;
    if (verdict == LATE || verdict == FILLED) {
        core->counts.late++;
        event->quality |= MLT_QUALITY_LATE;
    }
    mlt_conductor_enter_epoch(core, i);
    if (is_trade(event->type)) {
        follow_trades(core, i, event, &before, verdict);
    }
    if (event->type == MLT_EVENT_STATUS) { /* what came before the word leaves before it */
        mlt_conductor_release(core, i);
    }
    core->waits_now = false;
    if (mlt_conductor_books_before(core, i, event) && !mlt_conductor_keep(core, i, event)) {
        mlt_conductor_number_and_send(core, i, event);
    } else if (core->waits_now) {
        /* It has not come as far as who takes over is concerned, who may need it. */
        i->channels[event->type].position = before.position;
        i->channels[event->type].has_position = before.has_position;
    }
    mlt_conductor_books_after(core, i, event);
    return MLT_OK;
}

void mlt_conductor_core_lost(struct mlt_conductor_core *core, uint32_t partition,
                             const char *reason)
{
    core->counts.lost_reports++;
    for (struct instrument *i = core->first; i != NULL; i = i->next) {
        if (i->slot % core->partitions != partition || !mlt_conductor_owns(core, i)) {
            continue;
        }
        mlt_conductor_enter_epoch(core, i);
        mlt_conductor_release(core, i);
        struct mlt_event event;
        mlt_conductor_status(core, i, MLT_STATUS_LOST, reason, &event);
        mlt_conductor_number_and_send(core, i, &event);
        for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
            i->channels[t].after_gap = t != MLT_EVENT_STATUS;
        }
        mlt_conductor_books_lost(core, i);
    }
}

/* As far as it left: a BOOK that is being committed has not. */
static bool head_of(const struct instrument *i, size_t type, struct mlt_head *head)
{
    const struct channel *channel = &i->channels[type];
    *head =
        (struct mlt_head){ (enum mlt_event_type)type, channel->sequence, head_position(i, type) };
    if (type == MLT_EVENT_BOOK && i->fused != NULL && i->fused->committing) {
        head->sequence--;
        head->last = i->fused->position_before;
    }
    return head->sequence > 0;
}

void mlt_conductor_core_heads(struct mlt_conductor_core *core, uint64_t slots)
{
    for (struct instrument *i = core->first; i != NULL; i = i->next) {
        if ((slots >> i->slot & 1) == 0 || !mlt_conductor_current(core, i)) {
            continue;
        }
        struct mlt_event event;
        size_t count = 0;
        const bool all = ++i->heads_turns >= HEADS_ALL_TURNS;
        i->heads_turns = all ? 0 : i->heads_turns;
        for (size_t t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
            struct mlt_head head;
            if ((!i->channels[t].moved && !all) || !head_of(i, t, &head)) {
                continue;
            }
            if (count == 0) {
                mlt_conductor_status(core, i, MLT_STATUS_HEADS, "heads", &event);
            }
            i->channels[t].moved = head.sequence < i->channels[t].sequence;
            event.u.status.heads[count++] = head;
        }
        if (count > 0) {
            event.u.status.head_count = count;
            event.epoch = i->epoch;
            mlt_conductor_send(core, i, &event);
        }
    }
}

size_t mlt_conductor_core_heads_of(const struct mlt_conductor_core *core,
                                   struct mlt_slice instrument,
                                   struct mlt_head heads[MLT_STATUS_HEADS_MAX])
{
    const struct instrument *i = mlt_map_get(&core->map, instrument);
    size_t count = 0;
    for (size_t t = 1; i != NULL && t < MLT_EVENT_TYPE_COUNT; t++) {
        if (i->channels[t].sequence > 0) {
            heads[count++] = (struct mlt_head){ (enum mlt_event_type)t, i->channels[t].sequence,
                                                head_position(i, t) };
        }
    }
    return count;
}
