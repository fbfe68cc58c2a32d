#include "router.h"

#include <stdlib.h>

#include "canonical.h"
#include "meltica/base/check.h"

#define ARENA_BLOCK_BYTES (64u << 10)
#define EXCHANGE_BYTES_MAX 31u

struct mlt_router {
    const struct mlt_table *table;
    struct mlt_catalogue *catalogue;
    struct mlt_rejector *rejector;
    uint32_t partitions;
    char exchange[EXCHANGE_BYTES_MAX + 1];
    struct mlt_slice exchange_view;
    struct mlt_router_ports ports;
    struct mlt_arena arena;
    struct mlt_router_counts counts;
};

enum mlt_status mlt_router_create(const struct mlt_table *table, struct mlt_catalogue *catalogue,
                                  struct mlt_rejector *rejector, uint32_t partitions,
                                  const char *exchange, const struct mlt_router_ports *ports,
                                  struct mlt_router **router)
{
    const size_t exchange_len = strlen(exchange);
    if (partitions == 0 || partitions > MLT_SLOT_COUNT || exchange_len > EXCHANGE_BYTES_MAX) {
        return MLT_E_INVALID;
    }
    struct mlt_router *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return MLT_E_NOMEM;
    }
    r->table = table;
    r->catalogue = catalogue;
    r->rejector = rejector;
    r->partitions = partitions;
    memcpy(r->exchange, exchange, exchange_len + 1);
    r->exchange_view = mlt_slice_of(r->exchange, exchange_len);
    r->ports = *ports;
    mlt_arena_init(&r->arena, ARENA_BLOCK_BYTES, MLT_ROUTER_ARENA_BYTES_MAX);
    *router = r;
    return MLT_OK;
}

void mlt_router_destroy(struct mlt_router *router)
{
    if (router == NULL) {
        return;
    }
    mlt_arena_fini(&router->arena);
    free(router);
}

/* ---- refusals ---- */

static void refuse(struct mlt_router *r, const struct mlt_rejection *rejection)
{
    r->counts.rejected++;
    if (mlt_reject(r->rejector, rejection)) {
        r->ports.rejected(r->ports.ctx, rejection);
    }
}

/* What no instance could be made of: the bytes themselves are the original. */
static void refuse_bytes(struct mlt_router *r, const char *reason, struct mlt_slice bytes)
{
    const struct mlt_rejection rejection = {
        .stage = "dispatcher",
        .reason = mlt_slice_of_string(reason),
        .original = bytes,
        .original_bytes = bytes.len < UINT32_MAX ? (uint32_t)bytes.len : UINT32_MAX,
        .received = r->ports.clock->wall_ns(r->ports.clock->ctx),
    };
    refuse(r, &rejection);
}

static void refuse_instance(struct mlt_router *r, const char *reason,
                            const struct mlt_native_event *native, struct mlt_slice element)
{
    const struct mlt_rejection rejection = {
        .stage = "dispatcher",
        .reason = mlt_slice_of_string(reason),
        .instrument = native->instrument,
        .topic = native->rest_function.len > 0
                     ? native->rest_function
                     : mlt_slice_of_string(mlt_event_type_word((int)native->type)),
        .original = element,
        .original_bytes = (uint32_t)element.len,
        .received = native->received,
        .trace_id = native->trace_id,
    };
    refuse(r, &rejection);
}

static void refuse_unparsed(struct mlt_router *r, const struct mlt_native_event *native)
{
    const struct mlt_rejection rejection = {
        .stage = "adapter",
        .reason = native->u.unparsed.reason,
        .instrument = native->instrument,
        .topic = native->u.unparsed.topic,
        .original = native->u.unparsed.original,
        .original_bytes = native->u.unparsed.original_bytes,
        .received = native->received,
        .trace_id = native->trace_id,
    };
    refuse(r, &rejection);
}

/* ---- words of our own ---- */

static enum mlt_status send(struct mlt_router *r, const struct mlt_catalogue_entry *to,
                            const struct mlt_event *event);

/* For the Conductor alone, in its place in the flow. */
static enum mlt_status tell(struct mlt_router *r, const struct mlt_catalogue_entry *entry,
                            enum mlt_status_kind kind, const char *reason,
                            enum mlt_event_type lost_type)
{
    const struct mlt_slice token = mlt_slice_of_string(entry->token);
    const int64_t now_ns = r->ports.clock->wall_ns(r->ports.clock->ctx);
    const struct mlt_event event = {
        .instrument = token,
        .type = MLT_EVENT_STATUS,
        .route_revision = mlt_catalogue_revision(r->catalogue),
        .exchange = r->exchange_view,
        .stamps = { now_ns, MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN, now_ns, MLT_STAMP_UNKNOWN,
                    MLT_STAMP_UNKNOWN },
        .u.status = { .kind = kind, .reason = mlt_slice_of_string(reason), .lost_type = lost_type },
    };
    return send(r, entry, &event);
}

/* An instance that becomes no event is a loss of its channel where that is subscribed: else what
 * follows would look as if nothing were missing, and a book of which every delta is refused would
 * be LIVE. */
static void tell_lost(struct mlt_router *r, const struct mlt_catalogue_entry *entry, int type)
{
    if (entry == NULL || type <= MLT_EVENT_NONE || type >= MLT_EVENT_TYPE_COUNT ||
        type == MLT_EVENT_STATUS || (entry->types & UINT32_C(1) << type) == 0) {
        return;
    }
    if (tell(r, entry, MLT_STATUS_LOST, MLT_LOST_REFUSED, (enum mlt_event_type)type) == MLT_OK) {
        r->counts.losses++;
    } else {
        r->ports.lost(r->ports.ctx, entry->slot % r->partitions);
    }
}

/* Of which type a stream's name is: what is behind {symbol} tells. NONE also for REST functions,
 * whose answers are asked for again. */
static enum mlt_event_type type_of_topic(const struct mlt_table *table, struct mlt_slice topic)
{
    static const char symbol[] = "{symbol}";
    const uint8_t *at = topic.len > 0 ? memchr(topic.data, '@', topic.len) : NULL;
    if (at == NULL) {
        return MLT_EVENT_NONE;
    }
    const struct mlt_slice rest = mlt_slice_of(at, topic.len - (size_t)(at - topic.data));
    for (size_t i = 0; i < table->route_count; i++) {
        const char *name = table->routes[i].ws_topic;
        if (strncmp(name, symbol, sizeof symbol - 1) == 0 &&
            mlt_slice_equal_string(rest, name + sizeof symbol - 1)) {
            return table->routes[i].type;
        }
    }
    return MLT_EVENT_NONE;
}

/* ---- routing ---- */

static void tell_listed(const struct mlt_router *r, const struct mlt_native_event *native)
{
    struct mlt_event event;
    if (r->ports.listed != NULL &&
        mlt_canonical_from_native(native, r->exchange_view, mlt_catalogue_revision(r->catalogue),
                                  r->ports.clock->wall_ns(r->ports.clock->ctx), &event) == MLT_OK) {
        r->ports.listed(r->ports.ctx, &event);
    }
}

enum decision { DECISION_DROP, DECISION_SEND };

struct routed {
    const struct mlt_catalogue_entry *entry;
    const struct mlt_route *route; /* NULL for STATUS, which follows whatever is subscribed */
};

static bool is_unmapped(const struct mlt_router *r, int type)
{
    return type <= MLT_EVENT_NONE || type >= MLT_EVENT_TYPE_COUNT ||
           (type != MLT_EVENT_STATUS && r->table->first_of_type[type] == NULL);
}

static bool is_subscribed(const struct mlt_native_event *native, const struct routed *to)
{
    /* Listings and source states belong to an instrument, whatever of it is subscribed. */
    if (native->type == MLT_EVENT_INSTRUMENT || native->type == MLT_EVENT_STATUS) {
        return to->entry->types != 0;
    }
    uint32_t wanted = UINT32_C(1) << native->type;
    if (native->type == MLT_EVENT_BOOK_SNAPSHOT) {
        wanted |= UINT32_C(1) << MLT_EVENT_BOOK_DELTA; /* what follows deltas needs a book */
    }
    return to->route != NULL && (to->entry->types & wanted) != 0;
}

static enum decision decide(struct mlt_router *r, const struct mlt_native_event *native,
                            struct mlt_slice element, struct routed *to)
{
    if (native->type == MLT_EVENT_INSTRUMENT) {
        const enum mlt_status status = mlt_catalogue_listing(r->catalogue, native->instrument,
                                                             &native->u.instrument, &to->entry);
        if (status != MLT_OK) {
            refuse_instance(r, mlt_status_word(status), native, element);
            return DECISION_DROP;
        }
        tell_listed(r, native);
    } else {
        to->entry = mlt_catalogue_find(r->catalogue, native->instrument);
    }
    if (is_unmapped(r, native->type)) {
        refuse_instance(r, "unmapped", native, element);
        return DECISION_DROP;
    }
    to->route = mlt_table_route(r->table, (enum mlt_event_type)native->type,
                                native->type == MLT_EVENT_KLINE ? native->u.kline.interval
                                                                : MLT_SLICE_EMPTY);
    if (to->entry == NULL || !is_subscribed(native, to)) {
        r->counts.unsubscribed++;
        return DECISION_DROP;
    }
    return DECISION_SEND;
}

static bool pass_policies(struct mlt_router *r, const struct routed *to, struct mlt_event *event)
{
    if (to->route == NULL) {
        return true;
    }
    const struct mlt_policy_outcome outcome = mlt_policy_apply(to->route, event, to->entry->halted);
    r->counts.enrich_failed += outcome.enrich_failed;
    if (outcome.verdict == MLT_VERDICT_DISCARDED) {
        r->counts.discarded[outcome.discard]++;
    } else if (outcome.verdict == MLT_VERDICT_FILTERED) {
        r->counts.filtered[event->type]++;
    }
    return outcome.verdict == MLT_VERDICT_PASS;
}

/* Every id of a trade comes to the Conductor, or is missing: no policy takes any, but for those
 * that are no trades. Not so with the first one of a subscription, nor with what was fetched. */
static bool is_contiguous(struct mlt_router *r, const struct routed *to,
                          const struct mlt_event *event)
{
    if ((event->type != MLT_EVENT_TRADE && event->type != MLT_EVENT_AGG_TRADE) ||
        event->rest_function.len > 0 || to->route == NULL) {
        return false;
    }
    const bool begins = (to->entry->fresh & UINT32_C(1) << event->type) != 0 &&
                        mlt_catalogue_begins(r->catalogue, event->instrument, event->type);
    return !begins && to->route->filter_count == 0 &&
           (to->route->discards & ~(UINT32_C(1) << MLT_DISCARD_ZERO)) == 0;
}

/* The Conductor numbers only what somebody subscribed to, so that nothing that stays inside looks
 * like a hole outside; of the book's types it is told here. */
static void mark_wanted(const struct routed *to, struct mlt_event *event)
{
    if (event->type != MLT_EVENT_BOOK_DELTA && event->type != MLT_EVENT_BOOK_SNAPSHOT) {
        return;
    }
    if ((to->entry->types & UINT32_C(1) << MLT_EVENT_BOOK) != 0) {
        event->quality |= MLT_QUALITY_WANTS_BOOK;
    }
    if ((to->entry->types & UINT32_C(1) << MLT_EVENT_BOOK_SNAPSHOT) != 0) {
        event->quality |= MLT_QUALITY_WANTS_SNAPSHOT;
    }
}

static enum mlt_status send(struct mlt_router *r, const struct mlt_catalogue_entry *to,
                            const struct mlt_event *event)
{
    const uint32_t partition = to->slot % r->partitions;
    const size_t bytes = mlt_event_encoded_size(event);
    uint8_t *place;
    const enum mlt_status status = r->ports.begin(r->ports.ctx, partition, bytes, &place);
    if (status != MLT_OK) {
        return status;
    }
    MLT_CHECK(mlt_event_encode(event, place) == bytes);
    r->ports.end(r->ports.ctx, partition);
    return MLT_OK;
}

static void dispatch(struct mlt_router *r, struct mlt_slice element)
{
    struct mlt_native_event native;
    struct mlt_event event;
    struct routed to = { NULL, NULL };
    mlt_arena_reset(&r->arena);
    enum mlt_status status = mlt_native_decode(element, &r->arena, &native);
    if (status != MLT_OK) {
        refuse_bytes(r, mlt_status_word(status), element);
        return;
    }
    if (native.type == MLT_NATIVE_UNPARSED) {
        refuse_unparsed(r, &native);
        tell_lost(r, mlt_catalogue_find(r->catalogue, native.instrument),
                  (int)type_of_topic(r->table, native.u.unparsed.topic));
        return;
    }
    if (decide(r, &native, element, &to) != DECISION_SEND) {
        return;
    }
    const int64_t now_ns = r->ports.clock->wall_ns(r->ports.clock->ctx);
    native.route = to.route != NULL ? to.route->number : 0;
    status = mlt_canonical_from_native(&native, r->exchange_view,
                                       mlt_catalogue_revision(r->catalogue), now_ns, &event);
    if (status == MLT_OK) {
        if (!pass_policies(r, &to, &event)) {
            return;
        }
        mark_wanted(&to, &event);
        event.quality |= is_contiguous(r, &to, &event) ? MLT_QUALITY_CONTIGUOUS : 0;
        status = send(r, to.entry, &event);
    }
    if (status != MLT_OK) {
        refuse_instance(r, mlt_status_word(status), &native, element);
        if (native.rest_function.len == 0) {
            tell_lost(r, to.entry, native.type);
        }
        return;
    }
    r->counts.out++;
    if (r->ports.stage != NULL) {
        r->ports.stage(r->ports.ctx, mlt_span_ns(native.adapted, now_ns));
    }
    if (r->ports.sent != NULL) {
        r->ports.sent(r->ports.ctx, &event);
    }
}

void mlt_router_batch(struct mlt_router *router, uint32_t partition, struct mlt_slice batch,
                      bool lost_before)
{
    struct mlt_slice rest = batch, element;
    enum mlt_status status;
    mlt_catalogue_begin(router->catalogue);
    if (lost_before) {
        router->counts.lost++;
        router->ports.lost(router->ports.ctx, partition);
    }
    while ((status = mlt_batch_next(&rest, &element)) == MLT_OK) {
        router->counts.in++;
        dispatch(router, element);
    }
    if (status != MLT_E_EMPTY) {
        /* How many elements the rest held is not known: it counts as a loss. */
        refuse_bytes(router, mlt_status_word(status), rest);
        router->counts.lost++;
        router->ports.lost(router->ports.ctx, partition);
    }
}

void mlt_router_ended(struct mlt_router *router)
{
    const uint32_t book = UINT32_C(1) << MLT_EVENT_BOOK | UINT32_C(1) << MLT_EVENT_BOOK_DELTA;
    for (const struct mlt_catalogue_entry *e = mlt_catalogue_first(router->catalogue); e != NULL;
         e = e->next) {
        if ((e->before & book) != 0 && (e->types & book) == 0) {
            /* Where it cannot leave the Conductor finds out when it asks for a snapshot. */
            router->counts.ended +=
                tell(router, e, MLT_STATUS_IDLE, "stopped", MLT_EVENT_NONE) == MLT_OK;
        }
    }
}

void mlt_router_counts(const struct mlt_router *router, struct mlt_router_counts *out)
{
    *out = router->counts;
}
