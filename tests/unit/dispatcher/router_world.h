/* A router without a network: what it sends is kept, what it refuses is counted. */
#ifndef MELTICA_TEST_ROUTER_WORLD_H
#define MELTICA_TEST_ROUTER_WORLD_H

#include "support.h"

#include "meltica/v1/internal.pb-c.h"
#include "router.h"

#include <stdio.h>
#include <stdlib.h>

#define PARTITIONS 4u
#define OUT_MAX 4096u
#define NOW_NS INT64_C(1700000000000000000)

struct sent {
    uint32_t partition;
    size_t at, len;
};

static struct world {
    struct mlt_table *table;
    struct mlt_catalogue *catalogue;
    struct mlt_rejector *rejector;
    struct mlt_router *router;
    uint8_t bytes[1u << 20];
    size_t used;
    struct sent sent[OUT_MAX];
    size_t count;
    unsigned open, losses, lost_at, rejected;
    uint32_t lost_partition;
    enum mlt_status refuse_begin;
    int64_t mono_ns;
    unsigned published;
    bool publish_fails;
    char subject[128];
    uint8_t rejection[8192];
    size_t rejection_len;
    int64_t last_stage_ns;
    unsigned listed;
    char listed_token[32], listed_status[32];
} w;

static inline int64_t wall(void *ctx)
{
    (void)ctx;
    return NOW_NS;
}

static inline int64_t mono(void *ctx)
{
    (void)ctx;
    return w.mono_ns;
}

static const struct mlt_clock clock_port = { wall, mono, NULL };

static inline enum mlt_status begin(void *ctx, uint32_t partition, size_t bytes, uint8_t **out)
{
    (void)ctx;
    if (w.refuse_begin != MLT_OK) {
        return w.refuse_begin;
    }
    assert_true(w.open == 0 && w.count < OUT_MAX && w.used + bytes <= sizeof w.bytes);
    w.open = 1;
    w.sent[w.count] = (struct sent){ partition, w.used, bytes };
    *out = w.bytes + w.used;
    w.used += bytes;
    return MLT_OK;
}

static inline void end(void *ctx, uint32_t partition)
{
    (void)ctx;
    assert_true(w.open == 1 && w.sent[w.count].partition == partition);
    w.open = 0;
    w.count++;
}

static inline void lost(void *ctx, uint32_t partition)
{
    (void)ctx;
    w.losses++;
    w.lost_at = (unsigned)w.count;
    w.lost_partition = partition;
}

static inline void rejected(void *ctx, const struct mlt_rejection *rejection)
{
    (void)ctx;
    (void)rejection;
    w.rejected++;
}

static inline void stage(void *ctx, int64_t duration_ns)
{
    (void)ctx;
    w.last_stage_ns = duration_ns;
}

static inline void on_listed(void *ctx, const struct mlt_event *event)
{
    (void)ctx;
    assert_int_equal(event->type, MLT_EVENT_INSTRUMENT);
    w.listed++;
    (void)snprintf(w.listed_token, sizeof w.listed_token, "%.*s", MLT_SLICE_FMT(event->instrument));
    (void)snprintf(w.listed_status, sizeof w.listed_status, "%.*s",
                   MLT_SLICE_FMT(event->u.instrument.status));
}

static inline bool publish(void *ctx, const char *subject, struct mlt_slice payload)
{
    (void)ctx;
    if (w.publish_fails) {
        return false;
    }
    w.published++;
    (void)snprintf(w.subject, sizeof w.subject, "%s", subject);
    assert_true(payload.len <= sizeof w.rejection);
    memcpy(w.rejection, payload.data, payload.len);
    w.rejection_len = payload.len;
    return true;
}

static inline void start(const char *json)
{
    memset(&w, 0, sizeof w);
    w.mono_ns = 1;
    w.table = table_of(json);
    assert_int_equal(mlt_catalogue_create(w.table, 100, &w.catalogue), MLT_OK);
    const struct mlt_reject_ports reject_ports = { publish, NULL, &clock_port };
    assert_int_equal(mlt_rejector_create(&reject_ports, &w.rejector), MLT_OK);
    const struct mlt_router_ports ports = { begin,     end,  lost, rejected,   stage,
                                            on_listed, NULL, NULL, &clock_port };
    assert_int_equal(mlt_router_create(w.table, w.catalogue, w.rejector, PARTITIONS, "binance",
                                       &ports, &w.router),
                     MLT_OK);
}

static inline void stop(void)
{
    mlt_router_destroy(w.router);
    mlt_rejector_destroy(w.rejector);
    mlt_catalogue_destroy(w.catalogue);
    mlt_table_destroy(w.table);
}

static inline struct mlt_native_event instance(int type, const char *token)
{
    struct mlt_native_event n;
    memset(&n, 0, sizeof n);
    n.type = type;
    n.instrument = mlt_slice_of_string(token);
    n.received = NOW_NS - 3000;
    n.adapted = NOW_NS - 2000;
    n.exchange = NOW_NS - 1000000;
    n.first = n.last = 5;
    memcpy(n.trace_id, "0123456789abcdef", sizeof n.trace_id);
    if (type == MLT_EVENT_TRADE) {
        n.u.trade.trade_id = 5;
        n.u.trade.price = decimal_of("61602.01");
        n.u.trade.quantity = decimal_of("0.5");
        n.u.trade.aggressor = MLT_SIDE_BUY;
    } else if (type == MLT_EVENT_KLINE) {
        n.u.kline.interval = MLT_SLICE_LITERAL("1m");
    } else if (type == MLT_EVENT_INSTRUMENT) {
        n.u.instrument.native_symbol = MLT_SLICE_LITERAL("X");
        n.u.instrument.status = MLT_SLICE_LITERAL("TRADING");
    } else if (type == MLT_EVENT_STATUS) {
        n.u.status.kind = MLT_STATUS_SOURCE_DOWN;
        n.u.status.reason = MLT_SLICE_LITERAL("closed");
    }
    return n;
}

static uint8_t batch[1u << 20];
static size_t batch_len;

static inline void add(struct mlt_native_event n)
{
    const size_t bytes = mlt_native_encoded_size(&n);
    assert_true(batch_len + bytes + MLT_ELEMENT_HEADER_BYTES_MAX <= sizeof batch);
    batch_len += mlt_batch_element_header(bytes, batch + batch_len);
    assert_int_equal(mlt_native_encode(&n, batch + batch_len), bytes);
    batch_len += bytes;
}

static inline void add_bytes(const char *bytes, size_t len)
{
    batch_len += mlt_batch_element_header(len, batch + batch_len);
    memcpy(batch + batch_len, bytes, len);
    batch_len += len;
}

static inline void run(bool lost_before)
{
    mlt_router_batch(w.router, 2, mlt_slice_of(batch, batch_len), lost_before);
    batch_len = 0;
}

static inline struct mlt_event sent(size_t i, struct mlt_arena *arena)
{
    struct mlt_event event;
    assert_true(i < w.count);
    assert_int_equal(
        mlt_event_decode(mlt_slice_of(w.bytes + w.sent[i].at, w.sent[i].len), arena, &event),
        MLT_OK);
    return event;
}

static inline struct mlt_router_counts counts(void)
{
    struct mlt_router_counts c;
    mlt_router_counts(w.router, &c);
    return c;
}

static inline Meltica__V1__Rejection *last_rejection(void)
{
    Meltica__V1__Rejection *r = meltica__v1__rejection__unpack(NULL, w.rejection_len, w.rejection);
    assert_non_null(r);
    return r;
}

#endif
