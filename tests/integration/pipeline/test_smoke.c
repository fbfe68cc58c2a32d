/*
 * The acceptance scenarios, through the real processes:
 *  - a WebSocket ticker frame arrives, and a subscriber gets the canonical event;
 *  - a scheduled REST poll returns an order-book snapshot, and a subscriber gets a canonical event
 * that names the REST function;
 *  - a book asks for a deeper snapshot, and it comes by the same way.
 */
#include "mlt_test.h"

#include <stdio.h>

#include "meltica/base/clock.h"
#include "meltica/v1/internal.pb-c.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

#define AGAIN_MAX 10u
#define DEPTH 4321u /* more levels than there are */
#define ASKED 3u    /* the schedule asks once in a minute */

struct seen {
    bool ticker, snapshot;
    struct mlt_stamps ticker_stamps;
    uint32_t ticker_route, snapshot_route;
    uint64_t ticker_revision;
    bool ticker_traced, ticker_from_rest;
    char instrument[64], function[64], exchange[32];
    struct mlt_decimal last_price, bid, ask;
    size_t bids, asks;
    int64_t snapshot_id;
    bool whole; /* the newest one of that instrument says that there are no more levels */
    unsigned snapshots, snapshots_before; /* of that instrument: now, when one was asked for */
};

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    struct seen *s = ctx;
    (void)bytes;
    if (event->type == MLT_EVENT_BOOK_SNAPSHOT && s->snapshot &&
        mlt_slice_equal(event->instrument, mlt_slice_of_string(s->instrument))) {
        const struct mlt_book_snapshot *snapshot = &event->u.book_snapshot;
        s->snapshots++;
        s->whole = snapshot->requested_depth > snapshot->bids.count &&
                   snapshot->requested_depth > snapshot->asks.count;
    }
    if (event->type == MLT_EVENT_TICKER && !s->ticker) {
        static const uint8_t none[MLT_TRACE_ID_BYTES];
        s->ticker = true;
        s->ticker_stamps = event->stamps;
        s->ticker_route = event->route;
        s->ticker_revision = event->route_revision;
        s->ticker_traced = memcmp(event->trace_id, none, sizeof none) != 0;
        s->ticker_from_rest = event->rest_function.len > 0;
        s->last_price = event->u.ticker.last_price;
        s->bid = event->u.ticker.bid_price;
        s->ask = event->u.ticker.ask_price;
        (void)snprintf(s->exchange, sizeof s->exchange, "%.*s", MLT_SLICE_FMT(event->exchange));
    } else if (event->type == MLT_EVENT_BOOK_SNAPSHOT && !s->snapshot) {
        s->snapshot = true;
        s->snapshot_route = event->route;
        s->bids = event->u.book_snapshot.bids.count;
        s->asks = event->u.book_snapshot.asks.count;
        s->snapshot_id = event->u.book_snapshot.last_update_id;
        (void)snprintf(s->function, sizeof s->function, "%.*s",
                       MLT_SLICE_FMT(event->rest_function));
        (void)snprintf(s->instrument, sizeof s->instrument, "%.*s",
                       MLT_SLICE_FMT(event->instrument));
    }
}

static bool both_seen(void *ctx)
{
    const struct seen *s = ctx;
    return s->ticker && s->snapshot;
}

static bool note_snapshots(void *ctx)
{
    struct seen *s = ctx;
    s->snapshots_before = s->snapshots;
    return true;
}

static bool whole_seen(void *ctx)
{
    return ((const struct seen *)ctx)->whole;
}

static bool another_seen(void *ctx)
{
    const struct seen *s = ctx;
    return s->snapshots > s->snapshots_before;
}

static void ask_for_a_deeper_snapshot(const char *nats_url, char *instrument)
{
    const struct mlt_bus_options options = { .url = nats_url, .name = "test-book" };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL;
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(bus, 10 * MLT_NS_PER_S), MLT_OK);
    uint8_t bytes[128];
    Meltica__V1__ResyncRequest request;
    meltica__v1__resync_request__init(&request);
    request.instrument = instrument;
    request.depth = DEPTH;
    request.priority = MELTICA__V1__PRIORITY__PRIORITY_RESYNC;
    const size_t len = meltica__v1__resync_request__pack(&request, bytes);
    struct mlt_buf answer;
    mlt_buf_init(&answer, 4096);
    bool accepted = false;
    for (unsigned again = 0; again < AGAIN_MAX && !accepted; again++) {
        mlt_buf_clear(&answer);
        assert_int_equal(mlt_bus_request(bus, "meltica.int.resync", mlt_slice_of(bytes, len),
                                         5 * MLT_NS_PER_S, &answer, &err),
                         MLT_OK);
        Meltica__V1__ResyncReply *reply =
            meltica__v1__resync_reply__unpack(NULL, answer.len, answer.data);
        assert_non_null(reply);
        accepted = reply->accepted;
        /* A busy machine may keep an Adapter from answering within a second. */
        assert_string_equal(reply->reason, accepted ? "" : "adapter_silent");
        meltica__v1__resync_reply__free_unpacked(reply, NULL);
    }
    assert_true(accepted);
    mlt_buf_fini(&answer);
    mlt_bus_destroy(bus, 0);
}

static void test_ticker_frame_and_snapshots_reach_a_subscriber(void **state)
{
    (void)state;
    static struct mlt_stack stack;
    static struct mlt_consumer consumer;
    static struct seen seen;
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "3",
                                                             "--rate", "300", "--seed", "7" } };
    consumer.look = look;
    consumer.ctx = &seen;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    assert_true(mlt_consumer_wait(&consumer, both_seen, &seen, 60));

    assert_string_equal(seen.exchange, "binance");
    assert_true(seen.ticker_traced);
    assert_false(seen.ticker_from_rest);
    assert_true(seen.ticker_route > 0 && seen.ticker_revision > 0);
    assert_true(seen.last_price.mantissa > 0);
    assert_true(mlt_decimal_compare(seen.bid, seen.ask) < 0);
    const struct mlt_stamps *s = &seen.ticker_stamps;
    assert_true(s->exchange != MLT_STAMP_UNKNOWN && s->received > 0);
    assert_true(s->received <= s->adapted && s->adapted <= s->dispatched &&
                s->dispatched <= s->conducted && s->conducted <= s->published);

    assert_string_equal(seen.function, "depth");
    assert_true(seen.bids > 0 && seen.asks > 0 && seen.snapshot_id > 0);
    assert_true(seen.snapshot_route > 0 && seen.snapshot_route != seen.ticker_route);
    assert_non_null(strstr(seen.instrument, "-USDT"));

    /* The book asks for all levels itself, once it is LIVE; whoever asks gets one more. */
    assert_true(mlt_consumer_wait(&consumer, whole_seen, &seen, 20));
    for (unsigned i = 0; i < ASKED; i++) {
        (void)mlt_consumer_wait(&consumer, note_snapshots, &seen, 20);
        ask_for_a_deeper_snapshot(stack.nats_url, seen.instrument);
        assert_true(mlt_consumer_wait(&consumer, another_seen, &seen, 20));
    }
    assert_true(mlt_consumer_wait(&consumer, whole_seen, &seen, 0));

    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.gaps + totals.duplicates + totals.sequence_holes + totals.lost, 0);
    /* Every channel begins with the word of its owner. */
    assert_true(mlt_consumer_status_count(&consumer, MLT_STATUS_EPOCH_STARTED) >= 3);
    /* And everybody leaves when told to. */
    static const char *const services[] = { "dispatcher", "control-bus", "data-bus", "conductor",
                                            "adapter" };
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(mlt_stack_terminate(&stack, services[i]), 0);
    }
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticker_frame_and_snapshots_reach_a_subscriber),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
