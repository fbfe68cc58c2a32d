/* KV meltica-instruments as the Dispatcher keeps it. The test is the Adapter. */
#include "dispatcher_rig.h"

#include <signal.h>
#include <stdio.h>

#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"

#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"                   \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"   \
    "\"subscriptions\":[{\"id\":\"t\",\"type\":\"TRADE\",\"instruments\":[\"BTC-USDT\"]}]}"

static struct rig rig;
static struct mlt_store *store;

static void list(const char *token, const char *status)
{
    struct mlt_native_event n = rig_instance(MLT_EVENT_INSTRUMENT, token, 0);
    n.u.instrument.status = mlt_slice_of_string(status);
    n.u.instrument.native_symbol = MLT_SLICE_LITERAL("NATIVE");
    n.u.instrument.tick_size = (struct mlt_decimal){ 1, -2 };
    n.u.instrument.lot_size = (struct mlt_decimal){ 1, -5 };
    rig_send(&rig, &n);
}

/* Revision of the key once its status is that; fails after RIG_WAIT_NS. */
static uint64_t await_status(const char *token, const char *status)
{
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_arena arena;
    struct mlt_buf value;
    mlt_arena_init(&arena, 4096, 1u << 20);
    mlt_buf_init(&value, 4096);
    uint64_t revision = 0;
    bool found = false;
    while (!found && mlt_clock_mono_ns() < until_ns) {
        struct mlt_event event;
        mlt_buf_clear(&value);
        mlt_arena_reset(&arena);
        found =
            mlt_kv_get(store, "meltica-instruments", token, &value, &revision, &err) == MLT_OK &&
            mlt_event_decode(mlt_buf_view(&value), &arena, &event) == MLT_OK &&
            mlt_slice_equal_string(event.u.instrument.status, status);
        if (found) {
            assert_int_equal(event.type, MLT_EVENT_INSTRUMENT);
            assert_true(mlt_slice_equal_string(event.instrument, token));
            assert_true(mlt_slice_equal_string(event.u.instrument.native_symbol, "NATIVE"));
            assert_int_equal(event.u.instrument.tick_size.mantissa, 1);
            assert_int_equal(event.u.instrument.tick_size.exponent, -2);
            assert_int_equal(event.u.instrument.lot_size.exponent, -5);
            assert_int_equal(event.u.instrument.price_exponent, -8);
            assert_int_equal(event.u.instrument.quantity_exponent, -8);
        }
    }
    mlt_buf_fini(&value);
    mlt_arena_fini(&arena);
    if (!found) {
        fail_msg("%s is not %s: %s", token, status, err.text);
    }
    return revision;
}

static int start(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    rig_start(&rig, true, TABLE);
    rig_run_dispatcher(&rig);
    assert_int_equal(mlt_store_create(rig.control, 0, &store, &err), MLT_OK);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mlt_store_destroy(store);
    rig_end(&rig);
    return 0;
}

static void test_listing_is_a_key_an_instrument_and_only_changes_are_written(void **state)
{
    (void)state;
    list("BTC-USDT", "TRADING");
    list("ETH-EUR", "BREAK"); /* nobody subscribes to it */
    const uint64_t first = await_status("BTC-USDT", "TRADING");
    (void)await_status("ETH-EUR", "BREAK");
    list("BTC-USDT", "TRADING"); /* the next poll says the same */
    list("ETH-EUR", "TRADING");
    (void)await_status("ETH-EUR", "TRADING");
    assert_int_equal(await_status("BTC-USDT", "TRADING"), first);
    list("BTC-USDT", "HALT");
    assert_true(await_status("BTC-USDT", "HALT") > first);
    /* A record can be read before the Dispatcher hears that it is there, and counts it. */
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    int64_t written;
    do {
        written =
            rig_metric(&rig, "meltica_dispatcher_instruments_stored_total{outcome=\"written\"}");
    } while (written < 4 && mlt_clock_mono_ns() < until_ns);
    assert_int_equal(written, 4);
}

static void test_bucket_that_was_lost_is_made_again_with_everything(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    mlt_buf_init(&answer, 65536);
    assert_int_equal(mlt_bus_request(rig.control, "$JS.API.STREAM.DELETE.KV_meltica-instruments",
                                     MLT_SLICE_EMPTY, 5 * MLT_NS_PER_S, &answer, &err),
                     MLT_OK);
    mlt_buf_fini(&answer);
    list("ETH-EUR", "HALT");
    (void)await_status("ETH-EUR", "HALT");
    (void)await_status("BTC-USDT", "HALT");
    assert_true(
        rig_metric(&rig, "meltica_dispatcher_instruments_stored_total{outcome=\"failed\"}") >= 1);
}

static void test_dispatcher_that_begins_anew_writes_what_it_hears(void **state)
{
    (void)state;
    assert_int_equal(process_end(&rig.dispatcher, SIGTERM), 0);
    rig_run_dispatcher(&rig);
    list("BTC-USDT", "BREAK");
    (void)await_status("BTC-USDT", "BREAK");
    (void)await_status("ETH-EUR", "HALT"); /* stays */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listing_is_a_key_an_instrument_and_only_changes_are_written),
        cmocka_unit_test(test_bucket_that_was_lost_is_made_again_with_everything),
        cmocka_unit_test(test_dispatcher_that_begins_anew_writes_what_it_hears),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
