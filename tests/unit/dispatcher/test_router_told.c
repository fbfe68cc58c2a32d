/* What the Dispatcher tells the Conductor in the flow, and nobody else. */
#include "router_world.h"

/* As the control log has it. */
static void subscribe(struct mlt_live *live, char *id, bool active, int type, char *token)
{
    static uint64_t sequence = 0;
    Meltica__V1__ControlRecord r;
    meltica__v1__control_record__init(&r);
    r.subscription = id;
    r.principal = r.consumer = id;
    r.active = active;
    r.type = (Meltica__V1__EventType)type;
    r.instruments = &token;
    r.n_instruments = active;
    struct mlt_live_item *released = NULL;
    bool changed = false;
    assert_int_equal(mlt_live_apply(live, w.table, &r, ++sequence, &released, &changed), MLT_OK);
    assert_true(changed);
    assert_int_equal(mlt_catalogue_subscribe(w.catalogue, live), MLT_OK);
    mlt_live_release(released);
    mlt_router_ended(w.router);
}

/* It hears of a book only by its deltas, and of this one none comes any more. */
static void test_the_conductor_is_told_of_a_book_that_nobody_asks_for(void **state)
{
    (void)state;
    char a[] = "one", b[] = "two", c[] = "three", token[] = "B-USDT", other[] = "C-USDT";
    struct mlt_live live;
    mlt_live_init(&live);
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"B-USDT\"") TABLE_END);
    subscribe(&live, a, true, MLT_EVENT_BOOK, token);
    subscribe(&live, b, true, MLT_EVENT_BOOK_DELTA, token);
    subscribe(&live, c, true, MLT_EVENT_BOOK_SNAPSHOT, other);
    subscribe(&live, a, false, 0, NULL); /* its deltas go on, and say so */
    subscribe(&live, c, false, 0, NULL); /* that was no book */
    assert_int_equal(w.count, 0);
    subscribe(&live, b, false, 0, NULL);
    assert_int_equal(w.count, 1);
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    const struct mlt_event event = sent(0, &arena);
    assert_int_equal(event.type, MLT_EVENT_STATUS);
    assert_true(mlt_slice_equal_string(event.instrument, "B-USDT"));
    assert_int_equal(event.u.status.kind, MLT_STATUS_IDLE);
    assert_true(mlt_slice_equal_string(event.u.status.reason, "stopped"));
    assert_true(event.sequence == 0 && event.epoch == 0);
    assert_int_equal(w.sent[0].partition,
                     mlt_instrument_slot(MLT_SLICE_LITERAL("B-USDT")) % PARTITIONS);
    assert_int_equal(counts().ended, 1);
    subscribe(&live, a, true, MLT_EVENT_BOOK, token); /* and once for each end */
    assert_int_equal(w.count, 1);
    subscribe(&live, a, false, 0, NULL);
    assert_int_equal(w.count, 2);
    mlt_arena_fini(&arena);
    mlt_live_fini(&live);
    stop();
}

static void add_unparsed(const char *token, const char *topic)
{
    struct mlt_native_event n = instance(MLT_NATIVE_UNPARSED, token);
    n.u.unparsed.reason = MLT_SLICE_LITERAL("precision");
    n.u.unparsed.topic = mlt_slice_of_string(topic);
    n.u.unparsed.original = MLT_SLICE_LITERAL("{}");
    add(n);
}

/* Else what follows it looks as if nothing were missing. */
static void test_a_refused_instance_is_a_loss_in_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *token, *topic;
        enum mlt_event_type lost;
    } cases[] = {
        { "BTC-USDT", "btcusdt@depth@100ms", MLT_EVENT_BOOK_DELTA },
        { "BTC-USDT", "btcusdt@trade", MLT_EVENT_TRADE },
        { "ETH-USDT", "ethusdt@kline_1m", MLT_EVENT_KLINE },
        { "BTC-USDT", "btcusdt@ticker", MLT_EVENT_NONE },   /* not subscribed */
        { "ETH-USDT", "ethusdt@kline_5m", MLT_EVENT_NONE }, /* no such route */
        { "XRP-USDT", "xrpusdt@trade", MLT_EVENT_NONE },
        { "BTC-USDT", "depth", MLT_EVENT_NONE }, /* an answer of REST is asked for again */
        { "BTC-USDT", "", MLT_EVENT_NONE },
        { "", "btcusdt@trade", MLT_EVENT_NONE },
    };
    start(ALL_ROUTES SUBSCRIPTION("a", "BOOK", "\"BTC-USDT\"") "," SUBSCRIPTION(
        "b", "TRADE", "\"BTC-USDT\"") "," SUBSCRIPTION("c", "KLINE", "\"ETH-USDT\"") TABLE_END);
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    unsigned lost = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t before = w.count;
        add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
        add_unparsed(cases[i].token, cases[i].topic);
        add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
        run(false);
        const bool told = cases[i].lost != MLT_EVENT_NONE;
        assert_int_equal(w.count - before, told ? 3 : 2);
        if (told) {
            const struct mlt_event event = sent(before + 1, &arena);
            assert_int_equal(event.type, MLT_EVENT_STATUS);
            assert_true(mlt_slice_equal_string(event.instrument, cases[i].token));
            assert_int_equal(event.u.status.kind, MLT_STATUS_LOST);
            assert_int_equal(event.u.status.lost_type, cases[i].lost);
            assert_true(mlt_slice_equal_string(event.u.status.reason, "refused"));
            lost++;
        }
        assert_int_equal(counts().losses, lost);
        assert_int_equal(counts().rejected, i + 1);
    }
    assert_int_equal(counts().out + counts().rejected, counts().in);
    mlt_arena_fini(&arena);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_instance_is_a_loss_in_its_place),
        cmocka_unit_test(test_the_conductor_is_told_of_a_book_that_nobody_asks_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
