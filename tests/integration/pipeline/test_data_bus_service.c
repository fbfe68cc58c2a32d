/* The real Data Bus: killed under load, with a table that comes late, with its journal and without;
 * and a Conductor of our own where the real one would not do what is asked here. */
#include "flow_peers.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/bus/store.h"
#include "meltica/v1/internal.pb-c.h"

#define RATE 300u
#define SECOND MLT_NS_PER_S

static struct {
    struct server server;
    struct relay relay; /* between it and the Data Bus; no port: there is none */
    struct feeder feeder;
    struct consumer consumer, journal;
    struct process conductor, data_bus;
    struct mlt_bus *bus, *data;
    struct mlt_bus_subscription *sub;
    struct mlt_hop_sender *sender;

} flow;

static void flow_start(bool jetstream, const char *const *arguments)
{
    server_start(&flow.server, jetstream, "");
    feeder_start(&flow.feeder, flow.server.url);
    consumer_start(&flow.consumer, flow.server.url);
    process_start(&flow.data_bus, "meltica-data-bus", flow.server.url, arguments);
}

static int flow_end(void **state)
{
    (void)state;
    process_kill(&flow.conductor);
    process_kill(&flow.data_bus);
    mlt_hop_sender_destroy(flow.sender, 0);
    mlt_bus_unsubscribe(flow.sub);
    mlt_bus_destroy(flow.data, 0);
    mlt_bus_destroy(flow.bus, 0);
    consumer_end(&flow.consumer);
    consumer_end(&flow.journal);
    feeder_end(&flow.feeder);
    if (flow.relay.port != 0) {
        relay_end(&flow.relay);
    }
    server_end(&flow.server);
    memset(&flow, 0, sizeof flow);
    return 0;
}

static void test_a_data_bus_killed_under_load_delivers_every_event(void **state)
{
    (void)state;
    flow_start(true, NULL);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    feeder_run(&flow.feeder, RATE);
    for (unsigned kill = 0; kill < 3; kill++) {
        assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 3000));
        process_kill(&flow.data_bus);
        process_start(&flow.data_bus, "meltica-data-bus", flow.server.url, NULL);
    }
    assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 3000));
    feeder_pause(&flow.feeder);
    consumer_wait(&flow.consumer, &flow.feeder);
    /* What comes twice has the same epoch and sequence; numbers are never made anew. */
    consumer_assert_clean(&flow.consumer);
    assert_int_equal(flow.consumer.epochs, FLOW_INSTRUMENTS);
}

/* ---- a connection that ends ---- */

#define DATA_LINE "PUB meltica.data."

static void flow_start_behind_relay(void)
{
    const char *const arguments[] = { "--journal", "false", NULL };
    server_start(&flow.server, true, "");
    relay_start(&flow.relay, flow.server.port);
    feeder_start(&flow.feeder, flow.server.url);
    consumer_start(&flow.consumer, flow.server.url);
    process_start(&flow.data_bus, "meltica-data-bus", flow.relay.url, arguments);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
}

/* So many events since `before` were handed to the connection and never come anywhere. */
static void cut_after(uint64_t before, uint64_t events)
{
    assert_true(latch_wait(&flow.relay.swallowed, before + events, 20 * SECOND));
    relay_cut(&flow.relay);
    relay_mend(&flow.relay);
}

static void send_rounds(unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
            feeder_send(&flow.feeder, i);
        }
    }
}

/* Nothing comes after it: what was swallowed must come by itself. */
static void test_what_a_dead_connection_swallowed_is_published_again(void **state)
{
    (void)state;
    flow_start_behind_relay();
    send_rounds(50);
    consumer_wait(&flow.consumer, &flow.feeder);
    assert_int_equal(process_metric(&flow.data_bus, "meltica_bus_repeated_total"), 0);
    relay_swallow(&flow.relay, DATA_LINE);
    send_rounds(50);
    cut_after(0, UINT64_C(3) * 50 * FLOW_INSTRUMENTS);
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
    assert_true(process_has_logged(&flow.data_bus, "\"event\":\"published_again\""));
    assert_true(process_metric(&flow.data_bus, "meltica_bus_repeated_total") >=
                UINT64_C(3) * 50 * FLOW_INSTRUMENTS);
    assert_int_equal(process_metric(&flow.data_bus, "meltica_bus_lost_total"), 0);
    /* And goes on where it was. */
    send_rounds(50);
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
}

static void test_connections_that_end_under_load_lose_nothing(void **state)
{
    (void)state;
    flow_start_behind_relay();
    feeder_run(&flow.feeder, RATE);
    assert_true(consumer_wait_epochs(&flow.consumer, FLOW_INSTRUMENTS)); /* all heads are known */
    for (unsigned cut = 0; cut < 5; cut++) {
        assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 2000));
        const uint64_t before = latch_count(&flow.relay.swallowed);
        relay_swallow(&flow.relay, DATA_LINE);
        cut_after(before, 100 * (cut + 1));
    }
    assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 2000));
    feeder_pause(&flow.feeder);
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
    assert_true(process_metric(&flow.data_bus, "meltica_bus_repeated_total") > 0);
}

/* Who takes the partition over is told of what left again as of what was delivered, and numbers
 * nothing of it anew. */
static void test_a_conductor_that_starts_after_a_cut_sends_nothing_twice(void **state)
{
    (void)state;
    flow_start_behind_relay();
    send_rounds(50);
    consumer_wait(&flow.consumer, &flow.feeder);
    relay_swallow(&flow.relay, DATA_LINE);
    send_rounds(20);
    cut_after(0, UINT64_C(3) * 20 * FLOW_INSTRUMENTS);
    send_rounds(1); /* the Data Bus hears the Conductor on its new connection, too */
    consumer_wait(&flow.consumer, &flow.feeder);
    process_kill(&flow.conductor);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    send_rounds(50);
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
    assert_int_equal(flow.consumer.epochs, 2 * FLOW_INSTRUMENTS);
}

/* ---- journal ---- */

static void on_journal(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    struct mlt_slice rest = message->payload, element;
    while (mlt_batch_next(&rest, &element) == MLT_OK) {
        consumer_take(&flow.journal, element);
    }
}

static void test_the_journal_holds_the_same_events_in_order(void **state)
{
    (void)state;
    flow_start(true, NULL);
    consumer_start(&flow.journal, NULL);
    /* The stream is fed by publishing: who listens sees what it stores. */
    flow.bus = server_connect(&flow.server, NULL);
    const struct mlt_bus_subscribe_options options = { .subject = "meltica.journal.*" };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_bus_subscribe(flow.bus, &options, on_journal, NULL, &flow.sub, &err),
                     MLT_OK);
    assert_true(mlt_bus_rtt_ns(flow.bus) >= 0);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
            feeder_send(&flow.feeder, i);
        }
    }
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_wait(&flow.journal, &flow.feeder);
    consumer_assert_clean(&flow.journal);
    assert_int_equal(flow.journal.events, flow.consumer.events);
    assert_int_equal(flow.journal.ignored, 0);
    /* And the stream has acknowledged all of it. */
    assert_int_equal(process_end(&flow.data_bus), 0);
    struct mlt_buf info;
    mlt_buf_init(&info, 1u << 20);
    assert_int_equal(mlt_bus_request(flow.bus, "$JS.API.STREAM.INFO.MELTICA_JOURNAL",
                                     MLT_SLICE_EMPTY, 2 * SECOND, &info, &err),
                     MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&info, '\0'), MLT_OK);
    assert_non_null(strstr((const char *)info.data, "\"last_seq\":"));
    assert_null(strstr((const char *)info.data, "\"last_seq\":0"));
    mlt_buf_fini(&info);
}

static void test_a_journal_that_is_off_or_away_does_not_touch_the_live_lane(void **state)
{
    (void)state;
    const char *const off[] = { "--journal", "false", NULL };
    flow_start(false, off);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        feeder_send(&flow.feeder, i);
    }
    consumer_wait(&flow.consumer, &flow.feeder);
    assert_int_equal(process_end(&flow.data_bus), 0);
    process_start(&flow.data_bus, "meltica-data-bus", flow.server.url, NULL); /* on, no JetStream */
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
            feeder_send(&flow.feeder, i);
        }
    }
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
}

/* ---- table ---- */

static void test_everything_waits_for_the_first_table_and_nothing_is_lost(void **state)
{
    (void)state;
    server_start(&flow.server, true, "");
    feeder_start(&flow.feeder, flow.server.url);
    feeder_set_table(&flow.feeder, 1, flow.feeder.types, true); /* does not answer */
    consumer_start(&flow.consumer, flow.server.url);
    process_start(&flow.data_bus, "meltica-data-bus", flow.server.url, NULL);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        feeder_send(&flow.feeder, i);
    }
    size_t from = 0;
    process_wait_log(&flow.data_bus, "\"event\":\"table_unanswered\"", &from);
    char page[65536];
    assert_int_equal(process_get(&flow.data_bus, "/readyz", page, sizeof page), 503);
    assert_non_null(strstr(page, "no dispatch table yet"));
    assert_int_equal(flow.consumer.events, 0);
    feeder_set_table(&flow.feeder, 1, flow.feeder.types, false); /* and says so */
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
    /* With EPOCH_STARTED and the SYNCING of its book. */
    assert_int_equal(flow.consumer.events, 5 * FLOW_INSTRUMENTS);
}

/* A table is waited for for half a second, and the one who answers is a thread of this test: false
 * where it was too late. */
static bool newer_table_came_in_time(char *page, size_t size)
{
    const int64_t until_ns = mlt_clock_mono_ns() + 20 * SECOND;
    bool counted = false;
    flow_start(true, NULL);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    feeder_send(&flow.feeder, 0);
    assert_true(consumer_wait_events(&flow.consumer, 5));
    /* The new table is not announced: only the event speaks of it. */
    (void)pthread_mutex_lock(&flow.feeder.mutex);
    flow.feeder.revision = 2;
    flow.feeder.types = 1u << MLT_EVENT_TRADE | 1u << MLT_EVENT_KLINE;
    (void)pthread_mutex_unlock(&flow.feeder.mutex);
    feeder_send(&flow.feeder, 0);
    assert_true(consumer_wait_events(&flow.consumer, 7)); /* no BOOK_DELTA any more */
    /* The one that is late leaves nothing to wait for, and may be counted after the others came. */
    do {
        assert_int_equal(process_get(&flow.data_bus, "/metrics", page, size), 200);
        counted = (strstr(page, "\nmeltica_bus_late_total 1\n") != NULL &&
                   strstr(page, "\nmeltica_bus_in_total 8\n") != NULL) ||
                  strstr(page, "\nmeltica_bus_table_timeouts_total 0\n") == NULL;
    } while (!counted && mlt_clock_mono_ns() < until_ns);
    return strstr(page, "\nmeltica_bus_table_timeouts_total 0\n") != NULL;
}

static void test_an_event_of_a_newer_table_waits_for_it_and_routes_that_end_are_late(void **state)
{
    char page[65536];
    (void)state;
    for (unsigned i = 0; !newer_table_came_in_time(page, sizeof page); i++) {
        assert_true(i < 4);
        (void)flow_end(NULL);
    }
    assert_non_null(strstr(page, "\nmeltica_bus_in_total 8\n"));
    assert_non_null(strstr(page, "\nmeltica_bus_validated_total 7\n"));
    assert_non_null(strstr(page, "\nmeltica_bus_out_total 7\n"));
    assert_non_null(strstr(page, "\nmeltica_bus_late_total 1\n"));
    assert_non_null(strstr(page, "\nmeltica_bus_unrouted_total 0\n"));
    assert_non_null(strstr(page, "\nmeltica_bus_table_waits_total 1\n"));
    assert_non_null(strstr(page, "\nmeltica_bus_table_timeouts_total 0\n"));
    /* The route comes back: what was withheld meanwhile is said before the channel goes on. */
    feeder_set_table(&flow.feeder, 3,
                     1u << MLT_EVENT_TRADE | 1u << MLT_EVENT_KLINE | 1u << MLT_EVENT_BOOK_DELTA,
                     false);
    feeder_send(&flow.feeder, 0);
    assert_true(consumer_wait_events(&flow.consumer, 10));
    assert_int_equal(flow.consumer.lost, 1);
    assert_int_equal(flow.consumer.channels[0][MLT_EVENT_BOOK_DELTA].sequence, 3);
}

/* One that slept answers before it learns that another one took over. */
static void test_a_table_of_a_dispatcher_that_was_replaced_is_not_taken(void **state)
{
    (void)state;
    flow_start(true, NULL);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    (void)pthread_mutex_lock(&flow.feeder.mutex);
    flow.feeder.epoch = 9;
    (void)pthread_mutex_unlock(&flow.feeder.mutex);
    feeder_set_table(&flow.feeder, 2, flow.feeder.types, false);
    feeder_send(&flow.feeder, 0);
    assert_true(consumer_wait_events(&flow.consumer, 5));
    /* Not announced: only the events speak of it, each of which is judged by the table before. */
    (void)pthread_mutex_lock(&flow.feeder.mutex);
    flow.feeder.revision = 3;
    flow.feeder.boot++;
    flow.feeder.epoch = 8;
    flow.feeder.types = 1u << MLT_EVENT_TRADE;
    (void)pthread_mutex_unlock(&flow.feeder.mutex);
    feeder_send(&flow.feeder, 0);
    assert_true(consumer_wait_events(&flow.consumer, 8));
    char page[65536];
    assert_true(process_page_until(&flow.data_bus, "meltica_bus_table_timeouts_total 1", page,
                                   sizeof page));
    assert_non_null(strstr(page, "\nmeltica_bus_table_revision 2\n"));
    /* And a claim above it. */
    (void)pthread_mutex_lock(&flow.feeder.mutex);
    flow.feeder.epoch = 10;
    (void)pthread_mutex_unlock(&flow.feeder.mutex);
    feeder_set_table(&flow.feeder, 4, 1u << MLT_EVENT_TRADE | 1u << MLT_EVENT_KLINE, false);
    feeder_send(&flow.feeder, 0);
    assert_true(consumer_wait_events(&flow.consumer, 10));
    assert_true(process_page_until(&flow.data_bus, "meltica_bus_table_revision 4", page,
                                   sizeof page)); /* where its answer was late, with the next one */
}

/* ---- a Conductor of our own ---- */

static void own_conductor(uint64_t epoch)
{
    const struct mlt_bus_options data = { .kind = MLT_BUS_DATA,
                                          .url = flow.server.url,
                                          .name = "conductor" };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_bus_connect(&data, &flow.data, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(flow.data, 10 * SECOND), MLT_OK);
    flow.bus = server_connect(&flow.server, NULL);
    const struct mlt_hop_sender_options options = { .service = "conductor",
                                                    .subject = "meltica.int.out",
                                                    .partitions = FLOW_PARTITIONS,
                                                    .boot = mlt_random64() };
    assert_int_equal(mlt_hop_sender_create(flow.data, &options, &flow.sender, &err), MLT_OK);
    for (uint32_t p = 0; p < FLOW_PARTITIONS; p++) {
        mlt_hop_sender_set_epoch(flow.sender, p, epoch);
    }
}

static void send_out(enum mlt_event_type type, uint64_t epoch, uint64_t sequence)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = mlt_slice_of_string(feeder_token(0));
    e.type = type;
    e.epoch = epoch;
    e.sequence = sequence;
    e.first = e.last = (int64_t)sequence;
    e.route_revision = 1;
    e.stamps.received = e.stamps.conducted = mlt_clock_wall_ns();
    e.stamps.exchange = e.stamps.adapted = e.stamps.dispatched = e.stamps.published =
        MLT_STAMP_UNKNOWN;
    if (type == MLT_EVENT_STATUS) {
        e.u.status.kind = sequence == 0 ? MLT_STATUS_HEADS : MLT_STATUS_EPOCH_STARTED;
        if (sequence == 0) {
            e.u.status.head_count = 1;
            e.u.status.heads[0] = (struct mlt_head){ MLT_EVENT_TRADE, 5, 5 };
        }
    }
    const uint32_t partition = mlt_instrument_slot(e.instrument) % FLOW_PARTITIONS;
    uint8_t *out = NULL;
    assert_int_equal(mlt_hop_begin(flow.sender, partition, mlt_event_encoded_size(&e), &out),
                     MLT_OK);
    (void)mlt_event_encode(&e, out);
    mlt_hop_end(flow.sender, partition);
}

static Meltica__V1__HeadsReply *ask_heads(uint64_t epoch, uint32_t partition,
                                          enum mlt_status *status)
{
    Meltica__V1__HeadsRequest request = MELTICA__V1__HEADS_REQUEST__INIT;
    request.epoch = epoch;
    request.partition = partition;
    uint8_t bytes[64];
    const size_t len = meltica__v1__heads_request__pack(&request, bytes);
    struct mlt_buf answer;
    mlt_buf_init(&answer, 1u << 20);
    struct mlt_error err = MLT_ERROR_INIT;
    *status = mlt_bus_request(flow.bus, "meltica.int.out.heads", mlt_slice_of(bytes, len),
                              5 * SECOND, &answer, &err);
    Meltica__V1__HeadsReply *reply =
        meltica__v1__heads_reply__unpack(NULL, answer.len, answer.data);
    mlt_buf_fini(&answer);
    return reply;
}

static void test_losses_are_said_in_their_place_and_replaced_owners_are_fenced(void **state)
{
    (void)state;
    flow_start(true, NULL);
    own_conductor(10);
    send_out(MLT_EVENT_STATUS, 10, 1);
    send_out(MLT_EVENT_TRADE, 10, 1);
    send_out(MLT_EVENT_TRADE, 10, 2);
    send_out(MLT_EVENT_TRADE, 10, 2);
    send_out(MLT_EVENT_TRADE, 10, 4); /* 3 is missing */
    assert_true(consumer_wait_events(&flow.consumer, 4));
    assert_int_equal(flow.consumer.lost, 1);
    assert_int_equal(flow.consumer.ignored, 0);
    send_out(MLT_EVENT_STATUS, 10, 0); /* HEADS: TRADE stands at 5, which never came */
    send_out(MLT_EVENT_STATUS, 10, 2);
    assert_true(consumer_wait_events(&flow.consumer, 5));
    assert_int_equal(flow.consumer.lost, 2);

    const uint32_t partition =
        mlt_instrument_slot(mlt_slice_of_string(feeder_token(0))) % FLOW_PARTITIONS;
    enum mlt_status status = MLT_OK;
    Meltica__V1__HeadsReply *reply = ask_heads(11, partition, &status);
    assert_int_equal(status, MLT_OK);
    assert_int_equal(reply->n_instruments, 1);
    assert_string_equal(reply->instruments[0]->instrument, feeder_token(0));
    assert_int_equal(reply->instruments[0]->epoch, 10);
    assert_int_equal(reply->instruments[0]->heads[0]->type, MLT_EVENT_TRADE);
    assert_int_equal(reply->instruments[0]->heads[0]->sequence, 5);
    meltica__v1__heads_reply__free_unpacked(reply, NULL);
    send_out(MLT_EVENT_TRADE, 10, 6); /* the replaced one speaks on */
    send_out(MLT_EVENT_STATUS, 11, 1);
    send_out(MLT_EVENT_TRADE, 11, 1);
    assert_true(consumer_wait_events(&flow.consumer, 7));
    assert_int_equal(flow.consumer.channels[0][MLT_EVENT_TRADE].epoch, 11);
    assert_int_equal(flow.consumer.channels[0][MLT_EVENT_TRADE].sequence, 1);

    reply = ask_heads(11, 77, &status); /* no such partition */
    assert_int_equal(status, MLT_E_PROTOCOL);
    meltica__v1__heads_reply__free_unpacked(reply, NULL);
    char page[65536];
    assert_true(
        process_page_until(&flow.data_bus, "meltica_bus_stale_owner_total 1", page, sizeof page));
    assert_non_null(strstr(page, "\nmeltica_bus_lost_total 2\n"));
    assert_non_null(strstr(page, "\nmeltica_bus_lost_events_total 2\n"));
    assert_non_null(strstr(page, "\nmeltica_bus_duplicates_total 1\n"));
}

static void test_bytes_that_are_no_event_are_counted_and_the_rest_flows(void **state)
{
    (void)state;
    flow_start(true, NULL);
    own_conductor(10);
    send_out(MLT_EVENT_STATUS, 10, 1);
    send_out(MLT_EVENT_TRADE, 10, 1);
    const uint32_t partition =
        mlt_instrument_slot(mlt_slice_of_string(feeder_token(0))) % FLOW_PARTITIONS;
    uint8_t *out = NULL;
    assert_int_equal(mlt_hop_begin(flow.sender, partition, 64, &out), MLT_OK);
    memset(out, 0xff, 64);
    mlt_hop_end(flow.sender, partition);
    send_out(MLT_EVENT_TRADE, 10, 2);
    assert_true(consumer_wait_events(&flow.consumer, 3));
    char page[65536];
    assert_true(process_page_until(&flow.data_bus, "meltica_bus_out_total 3", page, sizeof page));
    assert_non_null(
        strstr(page, "\nmeltica_rejected_total{stage=\"data_bus\",reason=\"parse\"} 1\n"));
    assert_int_equal(flow.consumer.lost, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_data_bus_killed_under_load_delivers_every_event, flow_end),
        cmocka_unit_test_teardown(test_what_a_dead_connection_swallowed_is_published_again,
                                  flow_end),
        cmocka_unit_test_teardown(test_connections_that_end_under_load_lose_nothing, flow_end),
        cmocka_unit_test_teardown(test_a_conductor_that_starts_after_a_cut_sends_nothing_twice,
                                  flow_end),
        cmocka_unit_test_teardown(test_the_journal_holds_the_same_events_in_order, flow_end),
        cmocka_unit_test_teardown(test_a_journal_that_is_off_or_away_does_not_touch_the_live_lane,
                                  flow_end),
        cmocka_unit_test_teardown(test_everything_waits_for_the_first_table_and_nothing_is_lost,
                                  flow_end),
        cmocka_unit_test_teardown(
            test_an_event_of_a_newer_table_waits_for_it_and_routes_that_end_are_late, flow_end),
        cmocka_unit_test_teardown(test_a_table_of_a_dispatcher_that_was_replaced_is_not_taken,
                                  flow_end),
        cmocka_unit_test_teardown(
            test_losses_are_said_in_their_place_and_replaced_owners_are_fenced, flow_end),
        cmocka_unit_test_teardown(test_bytes_that_are_no_event_are_counted_and_the_rest_flows,
                                  flow_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
