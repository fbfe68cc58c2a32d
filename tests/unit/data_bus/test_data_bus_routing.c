#include "table.h"

#include <stdio.h>

#define TYPES_OF(routing, token) mlt_routing_types(routing, mlt_slice_of_string(token))
#define ALWAYS (MLT_TYPE_BIT(MLT_EVENT_STATUS) | MLT_TYPE_BIT(MLT_EVENT_INSTRUMENT))

static void test_tokens_and_patterns_route_what_they_name_and_nothing_else(void **state)
{
    (void)state;
    const struct line lines[] = {
        { MLT_EVENT_TRADE, "BTC-USDT" },    { MLT_EVENT_BBO, "BTC-USDT" },
        { MLT_EVENT_KLINE, "BTC-*" },       { MLT_EVENT_TICKER, "*-EUR" },
        { MLT_EVENT_AGG_TRADE, "ETH-EUR" },
    };
    struct mlt_routing *routing = table_of(4, 9, lines, 5);
    assert_int_equal(mlt_routing_revision(routing), 4);
    assert_int_equal(mlt_routing_boot(routing), 9);
    assert_int_equal(mlt_routing_ignored(routing), 0);
    assert_int_equal(TYPES_OF(routing, "BTC-USDT"), MLT_TYPE_BIT(MLT_EVENT_TRADE) |
                                                        MLT_TYPE_BIT(MLT_EVENT_BBO) |
                                                        MLT_TYPE_BIT(MLT_EVENT_KLINE) | ALWAYS);
    assert_int_equal(TYPES_OF(routing, "BTC-EUR"),
                     MLT_TYPE_BIT(MLT_EVENT_KLINE) | MLT_TYPE_BIT(MLT_EVENT_TICKER) | ALWAYS);
    assert_int_equal(TYPES_OF(routing, "ETH-EUR"),
                     MLT_TYPE_BIT(MLT_EVENT_AGG_TRADE) | MLT_TYPE_BIT(MLT_EVENT_TICKER) | ALWAYS);
    assert_int_equal(TYPES_OF(routing, "ETH-USDT"), 0);
    assert_int_equal(TYPES_OF(routing, "BTCX-USDT"), 0); /* no prefix of an asset */
    assert_int_equal(TYPES_OF(routing, "BTC"), 0);
    mlt_routing_destroy(routing);
}

static void test_everything_and_books_bring_their_deltas(void **state)
{
    (void)state;
    const struct line lines[] = { { MLT_EVENT_TRADE, "*" }, { MLT_EVENT_BOOK, "BTC-USDT" } };
    struct mlt_routing *routing = table_of(1, 1, lines, 2);
    assert_int_equal(TYPES_OF(routing, "X-Y"), MLT_TYPE_BIT(MLT_EVENT_TRADE) | ALWAYS);
    assert_int_equal(TYPES_OF(routing, "BTC-USDT"),
                     MLT_TYPE_BIT(MLT_EVENT_TRADE) | MLT_TYPE_BIT(MLT_EVENT_BOOK) |
                         MLT_TYPE_BIT(MLT_EVENT_BOOK_DELTA) | ALWAYS);
    mlt_routing_destroy(routing);
}

static void test_snapshot_leaves_to_reset_a_followed_book_or_because_it_is_wanted(void **state)
{
    (void)state;
    static const struct {
        uint32_t types;
        bool reset, leaves, channel;
    } cases[] = {
        { MLT_TYPE_BIT(MLT_EVENT_BOOK_DELTA), false, false, true },
        { MLT_TYPE_BIT(MLT_EVENT_BOOK_DELTA), true, true, true },
        { MLT_TYPE_BIT(MLT_EVENT_BOOK_SNAPSHOT), false, true, true },
        { MLT_TYPE_BIT(MLT_EVENT_BOOK_SNAPSHOT), true, true, true },
        { MLT_TYPE_BIT(MLT_EVENT_TRADE) | ALWAYS, false, false, false },
        { MLT_TYPE_BIT(MLT_EVENT_TRADE) | ALWAYS, true, false, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct mlt_event snapshot = { .type = MLT_EVENT_BOOK_SNAPSHOT,
                                            .u.book_snapshot.reset = cases[i].reset };
        assert_int_equal(mlt_routing_leaves(cases[i].types, &snapshot), cases[i].leaves);
        assert_int_equal(mlt_routing_channel_leaves(cases[i].types, MLT_EVENT_BOOK_SNAPSHOT),
                         cases[i].channel);
    }
    const struct mlt_event delta = { .type = MLT_EVENT_BOOK_DELTA };
    assert_false(mlt_routing_leaves(MLT_TYPE_BIT(MLT_EVENT_BOOK_SNAPSHOT), &delta));
    assert_false(
        mlt_routing_channel_leaves(MLT_TYPE_BIT(MLT_EVENT_BOOK_SNAPSHOT), MLT_EVENT_BOOK_DELTA));
    const struct mlt_event book = { .type = MLT_EVENT_BOOK };
    assert_false(mlt_routing_leaves(MLT_TYPE_BIT(MLT_EVENT_BOOK_DELTA), &book));
}

static void test_what_is_no_pattern_is_left_out_and_the_rest_stands(void **state)
{
    (void)state;
    const struct line lines[] = {
        { MLT_EVENT_TRADE, "B*C" },   { MLT_EVENT_TRADE, "BT*" },
        { MLT_EVENT_TRADE, "*DT" },   { MLT_EVENT_TRADE, "" },
        { MLT_EVENT_TRADE, "**" },    { MLT_EVENT_TRADE, "a b" },
        { MLT_EVENT_NONE, "A-B" },    { (enum mlt_event_type)77, "A-B" },
        { MLT_EVENT_TRADE, "OK-OK" },
    };
    struct mlt_routing *routing = table_of(1, 1, lines, 9);
    assert_int_equal(mlt_routing_ignored(routing), 8);
    assert_int_equal(TYPES_OF(routing, "OK-OK"), MLT_TYPE_BIT(MLT_EVENT_TRADE) | ALWAYS);
    assert_int_equal(TYPES_OF(routing, "BTC-DT"), 0);
    assert_int_equal(TYPES_OF(routing, "A-B"), 0);
    mlt_routing_destroy(routing);
}

/* Subscriptions of one name each, half of them private; of a BOOK also what it implies. */
static struct mlt_routing *table_of_names(size_t count, void (*name)(size_t i, char *out),
                                          enum mlt_event_type (*type)(size_t i))
{
    Meltica__V1__Table table = MELTICA__V1__TABLE__INIT;
    Meltica__V1__TableSubscription *items = calloc(2 * count, sizeof *items);
    Meltica__V1__TableSubscription **list = calloc(2 * count, sizeof *list);
    char(*texts)[24] = calloc(count, sizeof *texts), **names = calloc(count, sizeof *names);
    char desk[] = "desk", id[] = "s1";
    assert_true(items != NULL && list != NULL && texts != NULL && names != NULL);
    for (size_t i = 0; i < count; i++) {
        names[i] = texts[i];
        name(i, names[i]);
        for (size_t half = 0; half < (type(i) == MLT_EVENT_BOOK ? 2u : 1u); half++) {
            Meltica__V1__TableSubscription *s = &items[table.n_subscriptions];
            meltica__v1__table_subscription__init(s);
            s->id = id;
            s->principal = desk;
            s->type =
                half == 0 ? (Meltica__V1__EventType)type(i) : MELTICA__V1__EVENT_TYPE__BOOK_DELTA;
            s->implied = half != 0;
            s->private_lane = i % 2 == 1;
            s->instruments = &names[i];
            s->n_instruments = 1;
            list[table.n_subscriptions++] = s;
        }
    }
    table.subscriptions = list;
    uint8_t *bytes = malloc(meltica__v1__table__get_packed_size(&table));
    assert_non_null(bytes);
    struct mlt_routing *routing = NULL;
    assert_int_equal(
        mlt_routing_decode(mlt_slice_of(bytes, meltica__v1__table__pack(&table, bytes)), &routing),
        MLT_OK);
    free(bytes);
    free(names);
    free(texts);
    free(list);
    free(items);
    return routing;
}

static void nth_pattern(size_t i, char *out)
{
    (void)snprintf(out, 24, i % 4 < 2 ? "A%zu-*" : "*-A%zu", i);
}

static void same_pattern(size_t i, char *out)
{
    (void)i;
    (void)snprintf(out, 24, "*-USDT");
}

static void nth_token(size_t i, char *out)
{
    (void)snprintf(out, 24, "A%zu-USDT", i);
}

static enum mlt_event_type book(size_t i)
{
    (void)i;
    return MLT_EVENT_BOOK;
}

static enum mlt_event_type trade_or_bbo(size_t i)
{
    return i < 4 ? MLT_EVENT_TRADE : MLT_EVENT_BBO;
}

/* A table that is refused is an outage: whatever the Dispatcher admits is taken. */
static void test_all_that_the_dispatcher_admits_is_taken(void **state)
{
    (void)state;
    const uint32_t wanted =
        MLT_TYPE_BIT(MLT_EVENT_BOOK) | MLT_TYPE_BIT(MLT_EVENT_BOOK_DELTA) | ALWAYS;
    struct mlt_routing *routing = table_of_names(MLT_DEMAND_NAMES_MAX, nth_pattern, book);
    assert_int_equal(mlt_routing_ignored(routing), 0);
    for (size_t i = 0; i < MLT_DEMAND_NAMES_MAX; i++) {
        char token[32];
        (void)snprintf(token, sizeof token, i % 4 < 2 ? "A%zu-X" : "X-A%zu", i);
        assert_int_equal(TYPES_OF(routing, token), i % 2 == 0 ? wanted : 0);
        assert_int_equal(mlt_routing_lane_types(routing, mlt_slice_of_string(token)),
                         i % 2 == 1 ? wanted : 0);
    }
    mlt_routing_destroy(routing);
    routing = table_of_names(MLT_DEMAND_NAMES_MAX, nth_token, book);
    assert_int_equal(TYPES_OF(routing, "A32766-USDT"), wanted);
    mlt_routing_destroy(routing);
}

/* However many ask for one pattern, it is one, with the types of all. */
static void test_a_pattern_that_many_ask_for_is_one(void **state)
{
    (void)state;
    const uint32_t wanted = MLT_TYPE_BIT(MLT_EVENT_TRADE) | MLT_TYPE_BIT(MLT_EVENT_BBO) | ALWAYS;
    struct mlt_routing *routing =
        table_of_names(3 * MLT_DEMAND_NAMES_MAX, same_pattern, trade_or_bbo);
    assert_int_equal(TYPES_OF(routing, "BTC-USDT"), wanted);
    assert_int_equal(mlt_routing_lane_types(routing, MLT_SLICE_LITERAL("BTC-USDT")), wanted);
    assert_int_equal(TYPES_OF(routing, "BTC-EUR"), 0);
    mlt_routing_destroy(routing);
}

/* The '-' of a pattern is any that the token has, and "*" covers what has none. */
/* A token has one '-': what has more is covered by "*" alone, and no pattern has more. */
static void test_patterns_cover_by_the_dash_of_a_token(void **state)
{
    (void)state;
    const struct line lines[] = { { MLT_EVENT_TRADE, "A-B-*" },
                                  { MLT_EVENT_BBO, "*-C" },
                                  { MLT_EVENT_TICKER, "A-*" },
                                  { MLT_EVENT_KLINE, "*" } };
    const uint32_t all = MLT_TYPE_BIT(MLT_EVENT_KLINE) | ALWAYS;
    struct mlt_routing *routing = table_of(1, 1, lines, 4);
    assert_int_equal(mlt_routing_ignored(routing), 1);
    assert_int_equal(TYPES_OF(routing, "A-C"),
                     MLT_TYPE_BIT(MLT_EVENT_BBO) | MLT_TYPE_BIT(MLT_EVENT_TICKER) | all);
    assert_int_equal(TYPES_OF(routing, "A-X"), MLT_TYPE_BIT(MLT_EVENT_TICKER) | all);
    assert_int_equal(TYPES_OF(routing, "X-C"), MLT_TYPE_BIT(MLT_EVENT_BBO) | all);
    assert_int_equal(TYPES_OF(routing, "A-B-C"), all);
    assert_int_equal(TYPES_OF(routing, "AC"), all);
    mlt_routing_destroy(routing);
}

static void test_bytes_that_are_no_table_are_refused(void **state)
{
    (void)state;
    struct mlt_routing *routing = NULL;
    assert_int_equal(mlt_routing_decode(MLT_SLICE_LITERAL("\xff\xff\xff"), &routing), MLT_E_PARSE);
    assert_null(routing);
    assert_int_equal(mlt_routing_decode(MLT_SLICE_EMPTY, &routing), MLT_OK); /* an empty message */
    assert_int_equal(mlt_routing_revision(routing), 0);
    assert_int_equal(TYPES_OF(routing, "A-B"), 0);
    mlt_routing_destroy(routing);
}

static void test_lane_whose_owner_or_id_is_no_token_of_a_subject_is_left_out(void **state)
{
    (void)state;
    static const char *const ids[] = { "", "a.b", "a b", "*", ">", "a\n" };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        const struct lane_line lines[] = {
            { MLT_EVENT_TRADE, "A-B", ids[i], 0, NULL, NULL, NULL },
            { MLT_EVENT_TRADE, "A-B", "right", 0, NULL, NULL, NULL },
        };
        struct mlt_routing *routing = table_of_lanes(1, 1, lines, 2);
        assert_int_equal(mlt_routing_ignored(routing), 1);
        assert_string_equal(mlt_routing_lane(routing, 0)->id, "right");
        assert_null(mlt_routing_lane(routing, 1));
        mlt_routing_destroy(routing);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_and_patterns_route_what_they_name_and_nothing_else),
        cmocka_unit_test(test_everything_and_books_bring_their_deltas),
        cmocka_unit_test(test_snapshot_leaves_to_reset_a_followed_book_or_because_it_is_wanted),
        cmocka_unit_test(test_what_is_no_pattern_is_left_out_and_the_rest_stands),
        cmocka_unit_test(test_all_that_the_dispatcher_admits_is_taken),
        cmocka_unit_test(test_a_pattern_that_many_ask_for_is_one),
        cmocka_unit_test(test_patterns_cover_by_the_dash_of_a_token),
        cmocka_unit_test(test_bytes_that_are_no_table_are_refused),
        cmocka_unit_test(test_lane_whose_owner_or_id_is_no_token_of_a_subject_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
