/*
 * Memory that runs out while what a service has on NATS, of HTTP and of traces is made: each
 * allocation of ours fails once, and once that one and all behind it. Whoever asked is told, with
 * words, and has nothing; what was made before goes on. Leaks show under a sanitizer. As
 * test_allocation_setup, with a real server.
 */
#include "server.h"

#include <stdio.h>

#include "exhaust.h"
#include "lane_flow.h"
#include "meltica/bus/hop.h"
#include "meltica/bus/kv_writer.h"
#include "meltica/bus/store.h"
#include "meltica/http/http.h"
#include "meltica/rt/loop.h"
#include "meltica/trace/trace.h"
#include "pool.h"

static struct server server;
static struct mlt_bus *data, *control;
static struct mlt_outbox *outbox;
static struct mlt_store *store;
static struct mlt_loop *loop;
static struct mlt_trace_config trace_config; /* large */

/* True: whole. What failed has words. */
static bool said(enum mlt_status status, const struct mlt_error *err)
{
    if (status != MLT_OK && (err->text[0] == '\0' || status != MLT_E_NOMEM)) {
        fail_msg("%s: %s", mlt_status_word(status), err->text);
    }
    return status == MLT_OK;
}

/* ---- hops ---- */

static bool make_sender(void)
{
    const struct mlt_hop_sender_options options = {
        .service = "adapter", .subject = "meltica.int.native", .partitions = 4, .boot = 7
    };
    struct mlt_hop_sender *sender = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_hop_sender_create(data, &options, &sender, &err), &err);
    assert_true(whole == (sender != NULL));
    mlt_hop_sender_destroy(sender, 0);
    return whole;
}

static void on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    (void)ctx, (void)batch;
}

static bool make_receiver(void)
{
    const struct mlt_hop_receiver_options options = { .service = "dispatcher",
                                                      .sender_service = "adapter",
                                                      .subject = "meltica.int.native",
                                                      .partitions = 4,
                                                      .on_batch = on_batch };
    struct mlt_hop_receiver *receiver = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_hop_receiver_create(data, &options, &receiver, &err), &err);
    assert_true(whole == (receiver != NULL));
    mlt_hop_receiver_destroy(receiver);
    return whole;
}

static bool make_outbox(void)
{
    const struct mlt_outbox_options options = { .bytes = 0 };
    struct mlt_outbox *made = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_outbox_create(data, &options, &made, &err), &err);
    assert_true(whole == (made != NULL));
    mlt_outbox_destroy(made);
    return whole;
}

static void test_hops(void **state)
{
    (void)state;
    exhaust(make_outbox);
    exhaust(make_sender);
    exhaust(make_receiver);
}

/* ---- JetStream ---- */

static bool make_journal(void)
{
    const struct mlt_journal_options options = { .bus = { .url = server.url, .name = "test" },
                                                 .provision_replicas = 1,
                                                 .partitions = 4 };
    struct mlt_journal *journal = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_journal_create(&options, &journal, &err), &err);
    assert_true(whole == (journal != NULL));
    mlt_journal_destroy(journal, 0);
    return whole;
}

static void on_answer(void *ctx, const struct mlt_kv_answer *answer)
{
    (void)ctx, (void)answer;
}

static bool make_writer(void)
{
    const struct mlt_kv_writer_options options = { .bucket = "b", .on_answer = on_answer };
    struct mlt_kv_writer *writer = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_kv_writer_create(data, &options, &writer, &err), &err);
    assert_true(whole == (writer != NULL));
    mlt_kv_writer_destroy(writer);
    return whole;
}

static void on_outbid(void *ctx, uint32_t slot, uint64_t epoch)
{
    (void)ctx, (void)slot, (void)epoch;
}

static bool make_claims(void)
{
    const struct mlt_claims_options options = {
        .service = "test", .instance = "test-0", .boot = 7, .slots = 1, .on_outbid = on_outbid
    };
    uint64_t epochs[MLT_SLOT_COUNT];
    struct mlt_claims *claims = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_claims_create(store, &options, epochs, &claims, &err), &err);
    assert_true(whole == (claims != NULL));
    assert_true(!whole || epochs[0] > 0);
    mlt_claims_destroy(claims);
    return whole;
}

static void known(void *ctx)
{
    (void)ctx;
}

static bool make_pool(void)
{
    const struct mlt_pool_options options = {
        .control = control, .provision_replicas = 1, .egress = "home", .loop = loop, .known = known
    };
    struct mlt_pool *pool = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_pool_create(&options, &pool, &err), &err);
    assert_true(whole == (pool != NULL));
    mlt_pool_destroy(pool);
    return whole;
}

static void test_what_is_stored(void **state)
{
    (void)state;
    /* A line of the log, or the version of the server, may be what there is no memory for. */
    exhaust_file(make_journal);
    exhaust_file(make_claims);
    exhaust(make_writer);
    exhaust(make_pool);
}

/* ---- threads of their own ---- */

static bool make_lanes(void)
{
    struct mlt_lane_flow *flow = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_lane_flow_create(outbox, NULL, &flow, &err), &err);
    assert_true(whole == (flow != NULL));
    mlt_lane_flow_destroy(flow);
    return whole;
}

static bool make_client(void)
{
    const struct mlt_http_options options = {
        .loop = loop, .timeout_ns = MLT_NS_PER_S, .body_bytes_max = 4096, .connections_max = 2
    };
    struct mlt_http_client *client = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_http_client_create(&options, &client, &err), &err);
    assert_true(whole == (client != NULL));
    mlt_http_client_destroy(client);
    return whole;
}

static bool make_trace(void)
{
    const struct mlt_trace_options options = { .instance = "test-0" };
    struct mlt_trace *trace = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_trace_create(&trace_config, &options, &trace, &err), &err);
    assert_true(whole == (trace != NULL));
    mlt_trace_destroy(trace, 0);
    return whole;
}

static void test_lanes_http_and_traces(void **state)
{
    (void)state;
    exhaust(make_lanes);
    exhaust(make_client);
    exhaust(make_trace);
}

/* ---- set-up ---- */

static int begin(void **state)
{
    char endpoint[] = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1";
    char resource[] = "OTEL_RESOURCE_ATTRIBUTES=a=b";
    char *const environment[] = { endpoint, resource, NULL };
    struct mlt_error err = MLT_ERROR_INIT;
    (void)state;
    server_start(&server, true, "");
    data = server_connect_data(&server);
    control = server_connect(&server, NULL);
    const struct mlt_outbox_options options = { .bytes = 0 };
    assert_int_equal(mlt_outbox_create(data, &options, &outbox, &err), MLT_OK);
    assert_int_equal(mlt_store_create(control, 1, &store, &err), MLT_OK);
    assert_int_equal(mlt_loop_create(&loop, &err), MLT_OK);
    assert_int_equal(mlt_trace_config_load(environment, "test", &trace_config, &err), MLT_OK);
    assert_true(trace_config.enabled);
    return 0;
}

/* What lived beside them all lives. */
static int end(void **state)
{
    (void)state;
    assert_true(mlt_bus_connected(data) && mlt_bus_connected(control));
    mlt_trace_config_fini(&trace_config);
    mlt_loop_destroy(loop);
    mlt_store_destroy(store);
    mlt_outbox_destroy(outbox);
    mlt_bus_destroy(control, 0);
    mlt_bus_destroy(data, 0);
    server_end(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hops),
        cmocka_unit_test(test_what_is_stored),
        cmocka_unit_test(test_lanes_http_and_traces),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
