/*
 * The file store of JetStream is full while all services run: by its limit, and by its disk. Every
 * command gets a refusal that says so, nothing that was acknowledged is lost, no lease ends, and
 * data keeps flowing; when there is room again all goes on by itself, no service is started again.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "mlt_consumer.h"
#include "mlt_disk.h"
#include "steer_rig.h"

#define FILLER "FILLER"
#define FILLER_BYTES 65536u
#define FILLINGS_MAX 8192u
#define REST_MAX 90
#define SMALL_DISK "size=8m"
#define LARGE_DISK "size=256m"

static char leased[] = "leased"; /* a consumer with a lease */
static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"
    "\"interval_ms\":60000}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"
    "\"subscriptions\":[{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]}]}";

#define SERVICES 5u
static const char *const services[SERVICES] = { "dispatcher", "control-bus", "data-bus",
                                                "conductor", "adapter" };
static struct rig rig;
static struct mlt_consumer consumer;
static uint64_t trades, live, unflagged; /* under the consumer's lock: BOOKs LIVE; of those, kept */
static struct mlt_store *streams;        /* one that makes what is missing */
static char acknowledged[64];            /* subscription of consumer a */
static char disk[128];                   /* mounted; "": none */

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx, (void)bytes;
    trades += event->type == MLT_EVENT_TRADE;
    if (event->type == MLT_EVENT_BOOK && event->u.book.state == MLT_BOOK_LIVE) {
        live++;
        unflagged += (event->quality & MLT_QUALITY_CACHE_UNAVAILABLE) == 0;
    }
}

struct flow {
    uint64_t trades, live, unflagged;
};

static bool has_flowed(void *ctx)
{
    const struct flow *wanted = ctx;
    return trades >= wanted->trades && live >= wanted->live && unflagged >= wanted->unflagged;
}

static void wait_flow(uint64_t more, bool kept)
{
    (void)pthread_mutex_lock(&consumer.lock);
    struct flow wanted = { trades + more, live + more, unflagged + (kept ? more : 0) };
    (void)pthread_mutex_unlock(&consumer.lock);
    assert_true(mlt_consumer_wait(&consumer, has_flowed, &wanted, 30));
}

/* ---- the filler ---- */

/* Appends until it is refused, as any other user of the same server might; large messages, then
 * such that have room where those have none. */
static void fill(void)
{
    static char payload[FILLER_BYTES];
    static const size_t sizes[] = { FILLER_BYTES, 4096, 256 };
    struct mlt_error err = MLT_ERROR_INIT;
    unsigned count = 0;
    memset(payload, 'x', sizeof payload);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        enum mlt_status status = MLT_OK;
        while (status == MLT_OK && count < FILLINGS_MAX) {
            uint64_t sequence = 0;
            bool duplicate = false;
            status =
                mlt_stream_append(streams, "filler.a", NULL, NULL, mlt_slice_of(payload, sizes[i]),
                                  &sequence, &duplicate, &err);
            count += status == MLT_OK;
        }
    }
    print_message("    refused after %u messages: %s\n", count, err.text);
    assert_true(count > 0 && count < FILLINGS_MAX);
}

static void ask(const char *subject, const char *body)
{
    struct mlt_buf answer;
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_init(&answer, 1u << 16);
    assert_int_equal(mlt_bus_request(rig.client, subject, mlt_slice_of_string(body),
                                     5 * MLT_NS_PER_S, &answer, &err),
                     MLT_OK);
    mlt_buf_fini(&answer);
}

static void make_room(void)
{
    ask("$JS.API.STREAM.DELETE." FILLER, "");
}

/* For one large message. */
static void make_some_room(void)
{
    ask("$JS.API.STREAM.MSG.DELETE." FILLER, "{\"seq\":1}");
}

/* ---- commands ---- */

static bool says_store_unavailable(const struct said *s, const char *with)
{
    const char *message = rig_text(s->json, "message");
    return s->refused && rig_number(s->json, "code") == 503 && s->took_ns < RIG_LATE_NS &&
           strstr(message, "table store unavailable, nothing changed") != NULL &&
           strstr(message, with) != NULL;
}

static void refuse(const char *verb, const char *body, const char *with)
{
    struct said s = rig_ask(&rig, verb, body);
    if (!says_store_unavailable(&s, with)) {
        rig_fail(&s, verb);
    }
    cJSON_Delete(s.json);
}

static const char more[] =
    "{\"consumer\":\"a\",\"type\":\"BBO\",\"instruments\":[\"SYM0002-USDT\"],\"id\":\"more\"}";

static void refuse_all(const char *with)
{
    char body[192];
    refuse("subscribe", more, with);
    (void)snprintf(body, sizeof body, "{\"consumer\":\"a\",\"subscription\":\"%s\"}", acknowledged);
    refuse("unsubscribe", body, with);
    (void)snprintf(body, sizeof body, "{\"consumer\":\"a\",\"subscription\":\"%s\",\"ttl_s\":600}",
                   acknowledged);
    refuse("renew", body, with);
    assert_int_equal(rig_listed(&rig, "a"), 1);
}

/* The last block of the log may have room where the disk has none: commands until one is refused;
 * how many were acknowledged. */
static int take_the_rest(void)
{
    int taken = 0;
    bool refused = false;
    while (!refused && taken < REST_MAX) {
        char body[160];
        (void)snprintf(body, sizeof body,
                       "{\"consumer\":\"rest\",\"type\":\"BBO\",\"instruments\":[\"SYM0001-USDT\"],"
                       "\"throttle_ms\":%d}",
                       100 + taken);
        struct said s = rig_ask(&rig, "subscribe", body);
        refused = s.refused;
        taken += !refused;
        if (refused && !says_store_unavailable(&s, "")) {
            rig_fail(&s, body);
        }
        cJSON_Delete(s.json);
    }
    print_message("    %d more commands were taken\n", taken);
    assert_true(refused);
    assert_int_equal(rig_listed(&rig, "rest"), taken);
    return taken;
}

/* Commands are taken again: by itself, as soon as there is room. */
static bool is_taken(struct rig *r, void *ctx)
{
    struct said s = rig_try(r, "subscribe", mlt_slice_of_string(more));
    const bool taken = !s.refused && strcmp(rig_text(s.json, "status"), "CONFIRMED") == 0;
    cJSON_Delete(s.json);
    (void)ctx;
    return taken;
}

static void assert_all_is_well(void)
{
    assert_true(rig_until(is_taken, &rig, NULL, 30));
    assert_true(rig_until(rig_lists_nothing, &rig, leased, 30)); /* what waited for its end */
    assert_int_equal(rig_listed(&rig, "a"), 2);
    wait_flow(20, true);
    for (unsigned i = 0; i < SERVICES; i++) {
        assert_false(mlt_stack_gone(&rig.stack, services[i]));
    }
    /* All of it is what the next Dispatcher reads. */
    mlt_stack_kill(&rig.stack, "dispatcher");
    mlt_stack_run(&rig.stack, "dispatcher");
    rig_wait_ready(&rig);
    assert_int_equal(rig_listed(&rig, "a"), 2);
}

/* ---- the stack ---- */

/* Streams that are there are used as they are: the audit's own limit would reserve all there is. */
static void make_streams(void)
{
    static const struct mlt_stream_spec audit = { .name = MLT_STREAM_AUDIT,
                                                  .subjects = { "meltica.int.audit.*", NULL },
                                                  .max_bytes = 1 << 20 };
    static const struct mlt_stream_spec filler = { .name = FILLER,
                                                   .subjects = { "filler.*", NULL } };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL;
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = rig.stack.nats_url,
                                             .name = "filler" };
    struct mlt_store *store = NULL;
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(bus, 10 * MLT_NS_PER_S), MLT_OK);
    assert_int_equal(mlt_store_create(bus, 1, &store, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_stream(store, &audit, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_stream(store, &filler, &err), MLT_OK);
    mlt_store_destroy(store);
    mlt_bus_destroy(bus, 0);
}

static void begin(const char *limits)
{
    memset(&rig, 0, sizeof rig);
    memset(&consumer, 0, sizeof consumer);
    trades = live = unflagged = 0;
    disk[0] = '\0';
    rig_make_file(rig.table_path, table);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "600", "--seed", "23",
                      "--start-subscriptions", "0" },
        .table = rig.table_path,
        .jetstream_limits = limits,
    };
    rig_begin(&rig, &options);
}

static void go(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    make_streams();
    consumer.look = look;
    mlt_consumer_start(&consumer, rig.stack.nats_url);
    rig_go(&rig);
    assert_int_equal(mlt_store_create(rig.client, 1, &streams, &err), MLT_OK);
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}",
                acknowledged);
    wait_flow(20, true);
}

/* Shortly before it is full, so that it ends while it is. */
static void lease(void)
{
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"leased\",\"type\":\"BBO\",\"instruments\":[\"SYM0003-USDT\"],"
                "\"ttl_s\":6}",
                NULL);
}

static void end(void)
{
    mlt_store_destroy(streams);
    for (unsigned i = 0; i < SERVICES; i++) {
        assert_int_equal(mlt_stack_terminate(&rig.stack, services[i]), 0);
    }
    mlt_consumer_stop(&consumer);
    if (disk[0] != '\0') {
        (void)mlt_stack_terminate(&rig.stack, "nats"); /* 1, as it does */
        mlt_disk_unmount(disk);
    }
    rig_stop(&rig);
}

/* ---- the tests ---- */

static void test_store_full_by_its_limit_nothing_is_lost_and_data_flows(void **state)
{
    (void)state;
    struct mlt_tally_totals before, after;
    begin("max_memory_store: 2GB, max_file_store: 16MB");
    go();
    fill(); /* all but what is left at once, however slow the disk is: the lease is short */
    make_some_room();
    lease();
    mlt_consumer_totals(&consumer, &before);
    fill();
    refuse_all("it is full");
    wait_flow(50, true); /* records of books are in memory: none is flagged */
    assert_true(rig_until(rig_lease_is_over, &rig, leased, 20));
    wait_flow(20, true);
    assert_int_equal(rig_listed(&rig, "leased"), 1); /* the log cannot say that it ended */
    mlt_consumer_totals(&consumer, &after);
    assert_int_equal(after.sequence_holes, before.sequence_holes);
    assert_int_equal(after.gaps, before.gaps);
    assert_int_equal(after.duplicates, before.duplicates);
    assert_int_equal(after.lost, before.lost);
    assert_int_equal(mlt_stack_metric(&rig.stack, "control-bus", "meltica_control_not_stored_total",
                                      "reason=\"full\""),
                     3);
    assert_true(mlt_stack_metric(&rig.stack, "control-bus", "meltica_control_audit_failed_total",
                                 "") >= 3); /* MelticaAuditFailed */
    make_room();
    assert_all_is_well();
    end();
}

/* nats-server then refuses, or switches JetStream off until it is started again. */
static void test_disk_full_nothing_is_lost_and_data_flows(void **state)
{
    (void)state;
    begin(NULL);
    (void)snprintf(disk, sizeof disk, "%s/store-1", rig.stack.folder);
    mlt_stack_kill(&rig.stack, "nats"); /* what it has so far is of no use to anybody */
    (void)mkdir(disk, 0700);
    mlt_disk_mount(disk, SMALL_DISK);
    mlt_stack_run(&rig.stack, "nats");
    go();
    lease();
    fill();
    const int taken = take_the_rest();
    wait_flow(50, false);
    assert_int_equal(rig_listed(&rig, "a"), 1);
    assert_true(
        mlt_stack_metric(&rig.stack, "control-bus", "meltica_control_not_stored_total", "") >= 1);
    mlt_disk_resize(disk, LARGE_DISK);
    mlt_stack_kill(&rig.stack, "nats");
    mlt_stack_run(&rig.stack, "nats");
    assert_int_equal(mlt_bus_wait_connected(rig.client, 20 * MLT_NS_PER_S), MLT_OK);
    assert_all_is_well();
    assert_int_equal(rig_listed(&rig, "rest"), taken); /* as the next Dispatcher read it */
    end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_full_by_its_limit_nothing_is_lost_and_data_flows),
    };
    const struct CMUnitTest of_disks[] = {
        cmocka_unit_test(test_disk_full_nothing_is_lost_and_data_flows),
    };
    if (argc > 1 && strcmp(argv[1], "disk") == 0) {
        return mlt_disk_allowed() ? mlt_stack_verdict(cmocka_run_group_tests(of_disks, NULL, NULL))
                                  : MLT_DISK_SKIPPED;
    }
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
