/* The Conductor's trades: their ids follow each other, so what is between two is missing. It is
 * asked for, and what comes of it goes out marked BACKFILLED; what will not come is told by STATUS
 * UNFILLABLE. See trades.h and core_internal.h. */
#include <stdlib.h>

#include "core_internal.h"

struct gaps {
    struct mlt_conductor_core *core;
    struct instrument *instrument;
    struct mlt_trades trades;
    struct gaps *next; /* of the core's list */
};

static enum mlt_event_type type_of(enum mlt_trades_kind kind)
{
    return kind == MLT_TRADES_SINGLE ? MLT_EVENT_TRADE : MLT_EVENT_AGG_TRADE;
}

static enum mlt_trades_kind kind_of(enum mlt_event_type type)
{
    return type == MLT_EVENT_TRADE ? MLT_TRADES_SINGLE : MLT_TRADES_AGGREGATE;
}

/* ---- ports ---- */

static void say(struct gaps *g, enum mlt_status_kind kind, const char *reason,
                enum mlt_event_type type, int64_t first, int64_t last)
{
    struct mlt_event event;
    mlt_conductor_status(g->core, g->instrument, kind, reason, &event);
    event.u.status.lost_type = type;
    event.u.status.update_first = first;
    event.u.status.update_last = last;
    mlt_conductor_number_and_send(g->core, g->instrument, &event);
}

static void on_missing(void *ctx, enum mlt_trades_kind kind, int64_t first, int64_t last)
{
    say(ctx, MLT_STATUS_MISSING, "id_gap", type_of(kind), first, last);
}

static void on_lost(void *ctx, enum mlt_trades_kind kind, int64_t first, int64_t last,
                    enum mlt_trades_loss why)
{
    struct gaps *g = ctx;
    g->core->counts.trades_unfillable[why] += (uint64_t)last - (uint64_t)first + 1;
    say(g, MLT_STATUS_UNFILLABLE, mlt_trades_loss_word(why), type_of(kind), first, last);
}

static void on_request(void *ctx, enum mlt_trades_kind kind, int64_t first, int64_t last)
{
    struct gaps *g = ctx;
    g->core->counts.trades_requests++;
    g->core->ports.backfill(g->core->ports.ctx,
                            mlt_slice_of(g->instrument->token, g->instrument->token_len),
                            type_of(kind), first, last);
}

/* ---- gaps ---- */

static struct gaps *gaps_of(struct mlt_conductor_core *core, struct instrument *i)
{
    if (i->gaps != NULL || core->ports.backfill == NULL) {
        return i->gaps;
    }
    struct gaps *g = calloc(1, sizeof *g);
    if (g != NULL) {
        const struct mlt_trades_ports ports = { on_request, on_missing, on_lost, g };
        g->core = core;
        g->instrument = i;
        mlt_trades_init(&g->trades, &core->trades, &ports);
        g->next = core->gaps;
        core->gaps = i->gaps = g;
    }
    return g;
}

static void settle_due(struct mlt_conductor_core *core, const struct gaps *g)
{
    const int64_t due = mlt_trades_due_ns(&g->trades);
    core->trades_due_ns = due < core->trades_due_ns ? due : core->trades_due_ns;
}

void mlt_conductor_trades_gap(struct mlt_conductor_core *core, struct instrument *i,
                              enum mlt_event_type type, int64_t first, int64_t last)
{
    i->channels[type].after_gap = true;
    core->counts.trades_gaps++;
    core->counts.trades_missing += (uint64_t)last - (uint64_t)first + 1;
    struct gaps *g = gaps_of(core, i);
    if (g != NULL) {
        mlt_trades_gap(&g->trades, kind_of(type), first, last, mlt_conductor_mono_ns(core));
        settle_due(core, g);
    } else { /* nobody fetches them, or there is no memory to know them by */
        struct gaps passing = { .core = core, .instrument = i };
        on_lost(&passing, kind_of(type), first, last, MLT_TRADES_REFUSED);
    }
}

bool mlt_conductor_trade_is_missing(const struct instrument *i, enum mlt_event_type type,
                                    int64_t id)
{
    return i->gaps != NULL && mlt_trades_is_missing(&i->gaps->trades, kind_of(type), id);
}

void mlt_conductor_trade_came(struct mlt_conductor_core *core, struct instrument *i,
                              enum mlt_event_type type, int64_t id, bool fetched)
{
    if (i->gaps != NULL && mlt_conductor_current(core, i)) {
        mlt_trades_came(&i->gaps->trades, kind_of(type), id, fetched);
        settle_due(core, i->gaps);
    }
}

void mlt_conductor_trades_epoch(struct instrument *i)
{
    if (i->gaps != NULL) {
        mlt_trades_forget(&i->gaps->trades);
    }
}

/* ---- answers and time ---- */

void mlt_conductor_core_backfill_answered(struct mlt_conductor_core *core,
                                          struct mlt_slice instrument, enum mlt_event_type type,
                                          int64_t first, enum mlt_trades_answer answer)
{
    struct instrument *i = mlt_map_get(&core->map, instrument);
    if (i != NULL && i->gaps != NULL && mlt_conductor_current(core, i)) {
        mlt_trades_answered(&i->gaps->trades, kind_of(type), first, answer,
                            mlt_conductor_mono_ns(core));
        settle_due(core, i->gaps);
    }
}

void mlt_conductor_trades_tick(struct mlt_conductor_core *core)
{
    if (core->trades_due_ns == INT64_MAX) {
        return;
    }
    const int64_t now = mlt_conductor_mono_ns(core);
    if (now < core->trades_due_ns) {
        return;
    }
    core->trades_due_ns = INT64_MAX;
    for (struct gaps *g = core->gaps; g != NULL; g = g->next) {
        if (!mlt_conductor_current(core, g->instrument)) {
            mlt_trades_forget(&g->trades); /* somebody else's, or of an epoch that is over */
        } else if (now >= mlt_trades_due_ns(&g->trades)) {
            mlt_trades_tick(&g->trades, now);
        }
        settle_due(core, g);
    }
}

void mlt_conductor_trades_fini(struct mlt_conductor_core *core)
{
    while (core->gaps != NULL) {
        struct gaps *next = core->gaps->next;
        free(core->gaps);
        core->gaps = next;
    }
}

void mlt_conductor_core_trades(struct mlt_conductor_core *core,
                               const struct mlt_trades_options *options)
{
    core->trades = *options;
}
