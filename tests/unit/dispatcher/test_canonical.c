#include "mlt_test.h"

#include "canonical.h"

static struct mlt_native_event candle(const char *interval, int64_t open_ns, int64_t event_ns)
{
    struct mlt_native_event n;
    memset(&n, 0, sizeof n);
    n.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    n.type = MLT_EVENT_KLINE;
    n.first = open_ns;
    n.last = event_ns;
    n.u.kline.interval = mlt_slice_of_string(interval);
    n.u.kline.open_time_ns = open_ns;
    return n;
}

static uint64_t key_of(struct mlt_native_event native)
{
    struct mlt_event e;
    assert_int_equal(mlt_canonical_from_native(&native, MLT_SLICE_LITERAL("binance"), 0, 0, &e),
                     MLT_OK);
    return e.key;
}

static void test_key_is_equal_on_a_retry_and_differs_by_interval_and_position(void **state)
{
    (void)state;
    const uint64_t key = key_of(candle("1m", 60, 100));
    assert_true(key == key_of(candle("1m", 60, 100)));
    assert_true(key != key_of(candle("5m", 60, 100)));
    assert_true(key != key_of(candle("1m", 60, 101)));
    assert_true(key != key_of(candle("1m", 61, 100)));
}

static void test_envelope_is_carried_over_and_rest_function_named(void **state)
{
    (void)state;
    struct mlt_native_event n;
    memset(&n, 0, sizeof n);
    n.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    n.type = MLT_EVENT_BOOK_SNAPSHOT;
    n.first = n.last = 7;
    n.route = 3;
    n.received = 100;
    n.exchange = MLT_STAMP_UNKNOWN;
    n.adapted = 110;
    n.rest_function = MLT_SLICE_LITERAL("depth");
    n.u.book_snapshot.last_update_id = 7;
    memcpy(n.trace_id, "0123456789abcdef", 16);
    struct mlt_event e;
    assert_int_equal(mlt_canonical_from_native(&n, MLT_SLICE_LITERAL("binance"), 5, 120, &e),
                     MLT_OK);
    assert_true(mlt_slice_equal_string(e.rest_function, "depth"));
    assert_true(mlt_slice_equal_string(e.exchange, "binance"));
    assert_true(e.first == 7 && e.last == 7 && e.route == 3 && e.route_revision == 5);
    assert_true(e.stamps.received == 100 && e.stamps.adapted == 110 && e.stamps.dispatched == 120);
    assert_true(e.stamps.exchange == MLT_STAMP_UNKNOWN && e.stamps.conducted == MLT_STAMP_UNKNOWN);
    assert_memory_equal(e.trace_id, "0123456789abcdef", 16);
    assert_int_equal(e.u.book_snapshot.last_update_id, 7);
    assert_int_equal(e.sequence, 0);
}

static void test_what_has_no_canonical_type_is_no_event(void **state)
{
    (void)state;
    struct mlt_native_event n;
    memset(&n, 0, sizeof n);
    struct mlt_event e;
    const int types[] = { MLT_EVENT_NONE, MLT_NATIVE_UNPARSED, MLT_EVENT_BOOK };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        n.type = types[i];
        assert_int_equal(mlt_canonical_from_native(&n, MLT_SLICE_EMPTY, 0, 0, &e), MLT_E_UNMAPPED);
    }
}

static void test_source_state_is_carried_over(void **state)
{
    (void)state;
    struct mlt_native_event n;
    memset(&n, 0, sizeof n);
    struct mlt_event e;
    n.type = MLT_EVENT_STATUS;
    n.u.status.kind = MLT_STATUS_SOURCE_DOWN;
    n.u.status.reason = MLT_SLICE_LITERAL("closed");
    assert_int_equal(mlt_canonical_from_native(&n, MLT_SLICE_EMPTY, 0, 0, &e), MLT_OK);
    assert_int_equal(e.u.status.kind, MLT_STATUS_SOURCE_DOWN);
    assert_true(mlt_slice_equal_string(e.u.status.reason, "closed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_is_equal_on_a_retry_and_differs_by_interval_and_position),
        cmocka_unit_test(test_envelope_is_carried_over_and_rest_function_named),
        cmocka_unit_test(test_what_has_no_canonical_type_is_no_event),
        cmocka_unit_test(test_source_state_is_carried_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
