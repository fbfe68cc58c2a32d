/* See core.h. One struct instrument an instrument, found by token; a channel is an array place by
 * type. */
#include "core.h"

#include <stdlib.h>

#include "meltica/base/check.h"
#include "meltica/base/hash.h"
#include "meltica/base/map.h"

#define RETIRED_MAX 8u /* tables replaced within MLT_DATA_BUS_LATE_NS that are remembered */

struct channel {
    uint64_t epoch;
    uint64_t sequence;  /* last seen */
    uint64_t delivered; /* last that consumers got, or were told to be lost */
    int64_t position;
    bool known;
    bool lost_before;     /* first seen in the middle of an epoch, after a loss: 0..sequence - 1 */
    const char *withheld; /* why sequences above delivered were seen and not delivered */
};

struct instrument {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    size_t token_len;
    uint32_t partition;
    uint64_t epoch; /* newest seen */
    struct channel channels[MLT_EVENT_TYPE_COUNT];
    struct mlt_delivered_candle *candles; /* MLT_DATA_BUS_CANDLES_MAX, made with the first one */
    size_t candle_count;
    uint32_t types, lane_types; /* routed, by the table of that generation */
    uint64_t generation;
};

struct partition {
    uint64_t fence;
    const char *lost_reason; /* of the last loss, NULL: none */
    struct instrument **instruments;
    size_t count, capacity;
};

struct retired {
    struct mlt_routing *routing;
    int64_t ended_mono_ns;
};

struct mlt_data_bus_core {
    struct mlt_data_bus_ports ports;
    uint32_t partition_count;
    struct partition partitions[MLT_SLOT_COUNT];
    struct mlt_map map;
    struct mlt_routing *routing;
    uint64_t generation;        /* of the table; 0: none yet */
    uint64_t revision_given_up; /* waited for in vain with this table */
    struct retired retired[RETIRED_MAX];
    size_t retired_count;
    struct mlt_data_bus_counts counts;
    uint64_t trace_seed, trace_count;
};

static int64_t mono_now(const struct mlt_data_bus_core *core)
{
    return core->ports.clock->mono_ns(core->ports.clock->ctx);
}

enum mlt_status mlt_data_bus_core_create(uint32_t partitions,
                                         const struct mlt_data_bus_ports *ports,
                                         struct mlt_data_bus_core **core)
{
    if (partitions == 0 || partitions > MLT_SLOT_COUNT) {
        return MLT_E_INVALID;
    }
    struct mlt_data_bus_core *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return MLT_E_NOMEM;
    }
    c->ports = *ports;
    c->partition_count = partitions;
    c->trace_seed = mlt_random64();
    mlt_map_init(&c->map, MLT_DATA_BUS_INSTRUMENTS_MAX);
    *core = c;
    return MLT_OK;
}

void mlt_data_bus_core_destroy(struct mlt_data_bus_core *core)
{
    if (core == NULL) {
        return;
    }
    for (uint32_t p = 0; p < core->partition_count; p++) {
        for (size_t n = 0; n < core->partitions[p].count; n++) {
            free(core->partitions[p].instruments[n]->candles);
            free(core->partitions[p].instruments[n]);
        }
        free(core->partitions[p].instruments);
    }
    for (size_t n = 0; n < core->retired_count; n++) {
        mlt_routing_destroy(core->retired[n].routing);
    }
    mlt_routing_destroy(core->routing);
    mlt_map_fini(&core->map);
    free(core);
}

/* ---- table ---- */

static void forget_retired(struct mlt_data_bus_core *core, int64_t now)
{
    size_t kept = 0;
    for (size_t n = 0; n < core->retired_count; n++) {
        if (now - core->retired[n].ended_mono_ns < MLT_DATA_BUS_LATE_NS) {
            core->retired[kept++] = core->retired[n];
        } else {
            mlt_routing_destroy(core->retired[n].routing);
        }
    }
    core->retired_count = kept;
}

void mlt_data_bus_core_set_table(struct mlt_data_bus_core *core, struct mlt_routing *routing)
{
    const int64_t now = mono_now(core);
    forget_retired(core, now);
    if (core->routing != NULL) {
        if (core->retired_count == RETIRED_MAX) {
            mlt_routing_destroy(core->retired[0].routing);
            core->retired_count--;
            memmove(&core->retired[0], &core->retired[1],
                    core->retired_count * sizeof core->retired[0]);
        }
        core->retired[core->retired_count++] =
            (struct retired){ .routing = core->routing, .ended_mono_ns = now };
    }
    core->routing = routing;
    core->generation++;
    core->revision_given_up = 0;
}

const struct mlt_routing *mlt_data_bus_core_table(const struct mlt_data_bus_core *core)
{
    return core->routing;
}

static struct mlt_slice token_of(const struct instrument *i)
{
    return mlt_slice_of(i->token, i->token_len);
}

static uint32_t types_of(const struct mlt_data_bus_core *core, struct instrument *i)
{
    if (i->generation != core->generation) {
        i->types = mlt_routing_types(core->routing, token_of(i));
        i->lane_types = mlt_routing_lane_types(core->routing, token_of(i));
        i->generation = core->generation;
    }
    return i->types;
}

/* Routed by a table that was replaced a moment ago: it was under way when its route ended. */
static bool was_routed(struct mlt_data_bus_core *core, const struct instrument *i,
                       const struct mlt_event *event)
{
    forget_retired(core, mono_now(core));
    for (size_t n = 0; n < core->retired_count; n++) {
        const struct mlt_routing *before = core->retired[n].routing;
        if (mlt_routing_leaves(mlt_routing_types(before, token_of(i)), event) ||
            mlt_routing_leaves(mlt_routing_lane_types(before, token_of(i)), event)) {
            return true;
        }
    }
    return false;
}

static void await_revision(struct mlt_data_bus_core *core, uint64_t revision)
{
    if (revision <= mlt_routing_revision(core->routing) || revision <= core->revision_given_up) {
        return;
    }
    core->counts.table_waits++;
    const uint64_t generation = core->generation;
    core->ports.await_table(core->ports.ctx, revision);
    /* Another table may be one of a Dispatcher that began again with lower revisions. */
    if (core->generation == generation || mlt_routing_revision(core->routing) < revision) {
        core->counts.table_timeouts++;
        core->revision_given_up = revision;
    }
}

enum way { NOWHERE, TO_LANES, TO_ALL };

/* Counts the event as in and as what became of it; where it may go. */
static enum way validate(struct mlt_data_bus_core *core, struct instrument *i,
                         const struct mlt_event *event)
{
    core->counts.in++;
    await_revision(core, event->route_revision);
    if (mlt_routing_leaves(types_of(core, i), event)) {
        core->counts.validated++;
        return TO_ALL;
    }
    if (mlt_routing_leaves(i->lane_types, event)) {
        core->counts.private_only++;
        return TO_LANES;
    }
    if (was_routed(core, i, event)) {
        core->counts.late++;
    } else {
        core->counts.unrouted++;
    }
    return NOWHERE;
}

/* ---- instruments ---- */

static enum mlt_status add_to_partition(struct mlt_data_bus_core *core, struct instrument *i)
{
    struct partition *p = &core->partitions[i->partition];
    if (p->count == p->capacity) {
        const size_t capacity = p->capacity == 0 ? 64 : p->capacity * 2;
        struct instrument **more = realloc(p->instruments, capacity * sizeof(struct instrument *));
        if (more == NULL) {
            return MLT_E_NOMEM;
        }
        p->instruments = more;
        p->capacity = capacity;
    }
    const enum mlt_status status = mlt_map_put(&core->map, token_of(i), i);
    if (status == MLT_OK) {
        p->instruments[p->count++] = i;
    }
    return status;
}

static enum mlt_status instrument_of(struct mlt_data_bus_core *core, struct mlt_slice token,
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
    i->partition = mlt_instrument_slot(token) % core->partition_count;
    const enum mlt_status status = add_to_partition(core, i);
    if (status != MLT_OK) {
        free(i);
        return status;
    }
    *out = i;
    return MLT_OK;
}

static struct mlt_delivered_candle *candle_of(struct instrument *i, struct mlt_slice interval)
{
    for (size_t n = 0; n < i->candle_count; n++) {
        struct mlt_delivered_candle *c = &i->candles[n];
        if (c->interval_len == interval.len &&
            memcmp(c->interval, interval.data, interval.len) == 0) {
            return c;
        }
    }
    if (i->candle_count == MLT_DATA_BUS_CANDLES_MAX || interval.len == 0 ||
        interval.len > MLT_DATA_BUS_INTERVAL_BYTES_MAX) {
        return NULL;
    }
    if (i->candles == NULL) {
        i->candles = calloc(MLT_DATA_BUS_CANDLES_MAX, sizeof *i->candles);
        if (i->candles == NULL) {
            return NULL;
        }
    }
    struct mlt_delivered_candle *c = &i->candles[i->candle_count++];
    memcpy(c->interval, interval.data, interval.len);
    c->interval_len = interval.len;
    return c;
}

static void advance_candle(struct instrument *i, const struct mlt_event *event)
{
    /* NULL: an interval too many is refused by the Conductor; without memory a failover may repeat.
     */
    struct mlt_delivered_candle *candle = candle_of(i, event->u.kline.interval);
    if (candle != NULL) {
        candle->open_ns = event->first;
        candle->event_ns = event->last;
    }
}

/* Where the channel stands as a source position: what a new owner must not send again. */
static void advance_position(struct instrument *i, struct channel *channel,
                             const struct mlt_event *event)
{
    const int64_t position = mlt_event_position(event);
    const bool higher = !channel->known || position > channel->position;
    switch (event->type) {
    case MLT_EVENT_STATUS:
        /* Only what came from the exchange's line has one. */
        if (event->u.status.kind == MLT_STATUS_SOURCE_DOWN ||
            event->u.status.kind == MLT_STATUS_SOURCE_UP) {
            channel->position = position;
        }
        break;
    case MLT_EVENT_KLINE: /* intervals are not in step */
        advance_candle(i, event);
        channel->position = higher ? position : channel->position;
        break;
    case MLT_EVENT_TRADE:
    case MLT_EVENT_AGG_TRADE: /* a late one is lower */
        channel->position = higher ? position : channel->position;
        break;
    default:
        channel->position = position;
        break;
    }
}

/* ---- notices ---- */

static void deliver_private(struct mlt_data_bus_core *core, struct mlt_event *event)
{
    event->stamps.published = core->ports.clock->wall_ns(core->ports.clock->ctx);
    event->quality &= ~(uint32_t)MLT_QUALITY_INSIDE;
    if (core->ports.lane != NULL) {
        core->ports.lane(core->ports.ctx, event);
    }
}

static bool deliver(struct mlt_data_bus_core *core, const struct instrument *i,
                    struct mlt_event *event)
{
    event->stamps.published = core->ports.clock->wall_ns(core->ports.clock->ctx);
    event->quality &= ~(uint32_t)MLT_QUALITY_INSIDE;
    const bool ok = core->ports.publish(core->ports.ctx, i->partition, event);
    if (ok && event->type == MLT_EVENT_STATUS && event->u.status.kind == MLT_STATUS_LOST &&
        !mlt_slice_equal_string(event->u.status.reason, MLT_LOST_REFUSED)) {
        core->counts.lost++; /* what was refused is counted, and alerted, as a Rejection */
    }
    if (core->ports.lane != NULL) { /* each is a way of its own */
        core->ports.lane(core->ports.ctx, event);
    }
    return ok;
}

static bool deliver_lost(struct mlt_data_bus_core *core, const struct instrument *i, enum way way,
                         uint64_t epoch, enum mlt_event_type type, uint64_t first, uint64_t last,
                         const char *reason)
{
    struct mlt_event event;
    memset(&event, 0, sizeof event);
    event.instrument = token_of(i);
    event.type = MLT_EVENT_STATUS;
    event.epoch = epoch;
    event.stamps.received = core->ports.clock->wall_ns(core->ports.clock->ctx);
    event.stamps.exchange = MLT_STAMP_UNKNOWN;
    event.stamps.adapted = MLT_STAMP_UNKNOWN;
    event.stamps.dispatched = MLT_STAMP_UNKNOWN;
    event.stamps.conducted = MLT_STAMP_UNKNOWN;
    event.key = mlt_event_key(event.instrument, event.type, (int64_t)first, (int64_t)last,
                              (int64_t)(mlt_mix64(epoch) + (uint64_t)type));
    const uint64_t low = mlt_mix64(core->trace_seed + ++core->trace_count);
    memcpy(event.trace_id, &core->trace_seed, 8);
    memcpy(event.trace_id + 8, &low, 8);
    event.u.status.kind = MLT_STATUS_LOST;
    event.u.status.lost_type = type;
    event.u.status.first = first;
    event.u.status.last = last;
    event.u.status.reason = mlt_slice_of_string(reason);
    if (way == TO_LANES) {
        deliver_private(core, &event);
        return true;
    }
    const bool ok = deliver(core, i, &event);
    if (ok && first > 0) {
        core->counts.lost_events += last - first + 1;
    }
    return ok;
}

static const char *loss_reason(const struct mlt_data_bus_core *core, const struct instrument *i)
{
    const char *reason = core->partitions[i->partition].lost_reason;
    return reason != NULL ? reason : "sequence_gap";
}

/* Brings the channel to the epoch of what comes now. */
static void enter_epoch(struct mlt_data_bus_core *core, const struct instrument *i,
                        struct channel *channel, uint64_t epoch, uint64_t sequence)
{
    if (channel->known && channel->epoch == epoch) {
        return;
    }
    if (channel->known) {
        channel->sequence = 0; /* a new epoch counts from 1, and we are here from its beginning */
        channel->delivered = 0;
    } else {
        /* We began in the middle of it: what lies before was delivered by the process before us,
         * unless the hop says otherwise. */
        channel->sequence = sequence - 1;
        channel->lost_before = sequence > 1 && core->partitions[i->partition].lost_reason != NULL;
        channel->delivered = channel->lost_before ? 0 : sequence - 1;
    }
    channel->withheld = NULL;
    channel->known = true;
    channel->epoch = epoch;
}

/* Says what is missing up to and including `last`. True when something was. */
static bool say_missing(struct mlt_data_bus_core *core, const struct instrument *i,
                        enum mlt_event_type type, struct channel *channel, uint64_t last)
{
    if (channel->delivered >= last) {
        return false;
    }
    const bool jumped = channel->sequence < last;
    const char *reason =
        jumped || channel->withheld == NULL ? loss_reason(core, i) : channel->withheld;
    const uint64_t first = channel->lost_before ? 0 : channel->delivered + 1;
    if (deliver_lost(core, i, TO_ALL, channel->epoch, type, first, last, reason)) {
        channel->delivered = last;
        channel->lost_before = false;
        channel->withheld = NULL;
    }
    return true;
}

/* An event that only lanes ask for, after what is missing before it. */
static void say_private(struct mlt_data_bus_core *core, const struct instrument *i,
                        const struct channel *channel, struct mlt_event *event)
{
    const uint64_t before = event->sequence - 1;
    if (channel->sequence < before) {
        (void)deliver_lost(core, i, TO_LANES, channel->epoch, event->type, channel->sequence + 1,
                           before, loss_reason(core, i));
        event->quality |= MLT_QUALITY_AFTER_GAP;
    }
    deliver_private(core, event);
}

/* ---- events ---- */

static enum mlt_status on_numbered(struct mlt_data_bus_core *core, struct instrument *i,
                                   struct mlt_event *event)
{
    struct channel *channel = &i->channels[event->type];
    if (channel->known && channel->epoch == event->epoch && event->sequence <= channel->sequence) {
        core->counts.duplicates++;
        return MLT_OK;
    }
    const enum way way = validate(core, i, event);
    advance_position(i, channel, event);
    enter_epoch(core, i, channel, event->epoch, event->sequence);
    if (way == TO_ALL) {
        if (say_missing(core, i, event->type, channel, event->sequence - 1)) {
            event->quality |= MLT_QUALITY_AFTER_GAP;
        }
        if (deliver(core, i, event)) {
            core->counts.out++;
            channel->delivered = event->sequence;
        } else {
            core->counts.undelivered++;
            channel->withheld = "undelivered";
        }
    } else {
        if (way == TO_LANES) {
            say_private(core, i, channel, event);
        }
        channel->withheld = "unrouted";
    }
    channel->sequence = event->sequence;
    return MLT_OK;
}

/* What a head tells about a channel; the sequence that consumers know of, 0: none. */
static uint64_t check_head(struct mlt_data_bus_core *core, struct instrument *i, uint64_t epoch,
                           const struct mlt_head *head)
{
    struct channel *channel = &i->channels[head->type];
    if (head->sequence == 0) {
        return 0;
    }
    const bool moved =
        !channel->known || channel->epoch != epoch || head->sequence > channel->sequence;
    const bool leaves = mlt_routing_channel_leaves(types_of(core, i), head->type);
    enter_epoch(core, i, channel, epoch, head->sequence + 1);
    if (moved) {
        channel->position = head->last;
        if (leaves) {
            (void)say_missing(core, i, head->type, channel, head->sequence);
        } else {
            if (mlt_routing_channel_leaves(i->lane_types, head->type) &&
                channel->sequence < head->sequence) {
                (void)deliver_lost(core, i, TO_LANES, epoch, head->type, channel->sequence + 1,
                                   head->sequence, loss_reason(core, i));
            }
            channel->withheld = "unrouted";
        }
        channel->sequence = head->sequence;
    }
    if (!leaves) {
        return 0;
    }
    return channel->delivered < head->sequence ? channel->delivered : head->sequence;
}

/* HEADS: where the Conductor stands. A head above what came is a lost last event. Heads go on only
 * as far as consumers were served: they must not look for what was never meant for them. */
static enum mlt_status on_notice(struct mlt_data_bus_core *core, struct instrument *i,
                                 struct mlt_event *event)
{
    struct mlt_status_event *status = &event->u.status;
    if (event->type == MLT_EVENT_STATUS && status->kind == MLT_STATUS_HEADS) {
        size_t kept = 0;
        for (size_t h = 0; h < status->head_count; h++) {
            struct mlt_head head = status->heads[h];
            if (head.type <= MLT_EVENT_NONE || head.type >= MLT_EVENT_TYPE_COUNT) {
                continue;
            }
            head.sequence = check_head(core, i, event->epoch, &head);
            if (head.sequence > 0) {
                status->heads[kept++] = head;
            }
        }
        status->head_count = kept;
        if (kept == 0) {
            if (mlt_routing_channel_leaves(i->lane_types, MLT_EVENT_STATUS)) {
                deliver_private(core, event); /* which has heads of its own */
            }
            return MLT_OK;
        }
    }
    const enum way way = validate(core, i, event);
    if (way == TO_LANES) {
        deliver_private(core, event);
    } else if (way == TO_ALL) {
        if (deliver(core, i, event)) {
            core->counts.out++;
        } else {
            core->counts.undelivered++;
        }
    }
    return MLT_OK;
}

enum mlt_status mlt_data_bus_core_event(struct mlt_data_bus_core *core, struct mlt_event *event)
{
    if (core->routing == NULL) {
        return MLT_E_AGAIN;
    }
    struct instrument *i = NULL;
    const enum mlt_status status = instrument_of(core, event->instrument, &i);
    if (status != MLT_OK) {
        core->counts.refused++;
        return status;
    }
    if (event->epoch < core->partitions[i->partition].fence || event->epoch < i->epoch) {
        core->counts.stale_owner++;
        return MLT_OK;
    }
    i->epoch = event->epoch;
    return event->sequence > 0 ? on_numbered(core, i, event) : on_notice(core, i, event);
}

void mlt_data_bus_core_lost(struct mlt_data_bus_core *core, uint32_t partition, const char *reason)
{
    MLT_CHECK(partition < core->partition_count && core->routing != NULL);
    struct partition *p = &core->partitions[partition];
    p->lost_reason = reason;
    if (strcmp(reason, "hop_overrun") == 0) {
        return;
    }
    for (size_t n = 0; n < p->count; n++) {
        struct instrument *i = p->instruments[n];
        if (mlt_routing_channel_leaves(types_of(core, i), MLT_EVENT_STATUS)) {
            (void)deliver_lost(core, i, TO_ALL, i->epoch, MLT_EVENT_NONE, 0, 0, reason);
        } else if (mlt_routing_channel_leaves(i->lane_types, MLT_EVENT_STATUS)) {
            (void)deliver_lost(core, i, TO_LANES, i->epoch, MLT_EVENT_NONE, 0, 0, reason);
        }
    }
}

uint64_t mlt_data_bus_core_fence(struct mlt_data_bus_core *core, uint32_t partition, uint64_t epoch)
{
    MLT_CHECK(partition < core->partition_count);
    struct partition *p = &core->partitions[partition];
    if (epoch > p->fence) {
        p->fence = epoch;
    }
    return p->fence;
}

bool mlt_data_bus_core_delivered(const struct mlt_data_bus_core *core, uint32_t partition, size_t n,
                                 struct mlt_delivered *out)
{
    MLT_CHECK(partition < core->partition_count);
    const struct partition *p = &core->partitions[partition];
    if (n >= p->count) {
        return false;
    }
    const struct instrument *i = p->instruments[n];
    memset(out, 0, sizeof *out);
    out->instrument = token_of(i);
    out->epoch = i->epoch;
    for (size_t t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        const struct channel *channel = &i->channels[t];
        if (channel->known) {
            out->heads[out->head_count++] = (struct mlt_head){
                .type = (enum mlt_event_type)t,
                .sequence = channel->epoch == i->epoch ? channel->delivered : 0,
                .last = channel->position,
            };
        }
    }
    out->candle_count = i->candle_count;
    out->candles = i->candles;
    return true;
}

void mlt_data_bus_core_counts(const struct mlt_data_bus_core *core, struct mlt_data_bus_counts *out)
{
    *out = core->counts;
}
