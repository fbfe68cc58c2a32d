#include "mlt_test.h"

#include "plan_maker.h"
#include "plans.h"
#include "topics.h"

static struct mlt_topics topics;
static struct mlt_binance_symbols *symbols;

static int set_up(void **state)
{
    (void)state;
    mlt_topics_init(&topics, 4);
    symbols = make_symbols(10);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_topics_fini(&topics);
    mlt_binance_symbols_destroy(symbols);
    return 0;
}

static void apply(struct plan *plan)
{
    assert_int_equal(mlt_topics_apply(&topics, &plan->message, symbols), MLT_OK);
}

static struct mlt_topic *named(const char *name)
{
    return mlt_topics_find(&topics, mlt_slice_of_string(name));
}

static void test_template_expanded(void **state)
{
    (void)state;
    char out[32];
    bool has = false;
    assert_int_equal(mlt_topic_expand("{symbol}@depth@100ms", "btcusdt", out, sizeof out, &has),
                     MLT_OK);
    assert_string_equal(out, "btcusdt@depth@100ms");
    assert_true(has);
    assert_int_equal(mlt_topic_expand("!miniTicker@arr", "x", out, sizeof out, &has), MLT_OK);
    assert_string_equal(out, "!miniTicker@arr");
    assert_false(has);
    assert_int_equal(mlt_topic_expand("{symbol}{symbol}", "x", out, sizeof out, &has),
                     MLT_E_INVALID);
    assert_int_equal(mlt_topic_expand("{base}@trade", "x", out, sizeof out, &has), MLT_E_INVALID);
    assert_int_equal(mlt_topic_expand("{symbol}@aVeryLongStreamNameThatDoesNotFit", "btcusdt", out,
                                      sizeof out, &has),
                     MLT_E_TOO_BIG);
}

static void test_plan_part_replaces_its_partition_only(void **state)
{
    (void)state;
    struct plan *first = make_plan(0, 1, 7), *other = make_plan(1, 1, 7);
    (void)add_route(first, 3, "{symbol}@trade", 0, 3);
    (void)add_route(other, 3, "{symbol}@trade", 5, 2);
    apply(first);
    apply(other);
    assert_int_equal(topics.count, 5);
    const struct mlt_topic *kept = named("c001usdt@trade");
    assert_non_null(kept);
    assert_int_equal(kept->route, 3);
    assert_string_equal(kept->instrument->token, "C001-USDT");
    apply(first); /* again: nothing changes */
    assert_int_equal(topics.count, 5);
    assert_ptr_equal(named("c001usdt@trade"), kept);

    struct plan *smaller = make_plan(0, 2, 7);
    (void)add_route(smaller, 4, "{symbol}@trade", 1, 1);
    apply(smaller);
    assert_int_equal(topics.count, 3);
    assert_null(named("c000usdt@trade"));
    assert_non_null(named("c005usdt@trade"));
    assert_int_equal(named("c001usdt@trade")->route, 4);
    free(first);
    free(other);
    free(smaller);
}

static void test_topic_on_a_line_outlives_its_plan(void **state)
{
    (void)state;
    struct plan *plan = make_plan(2, 1, 7), *empty = make_plan(2, 2, 7);
    (void)add_route(plan, 1, "{symbol}@bookTicker", 0, 1);
    apply(plan);
    named("c000usdt@bookTicker")->seats[0].state = MLT_SEAT_ON;
    apply(empty);
    struct mlt_topic *topic = named("c000usdt@bookTicker");
    assert_non_null(topic);
    assert_false(mlt_topic_wanted(topic));
    topic->seats[0].state = MLT_SEAT_OFF;
    mlt_topics_sweep(&topics);
    assert_null(named("c000usdt@bookTicker"));
    free(plan);
    free(empty);
}

static void test_expanding_part_ends_nothing(void **state)
{
    (void)state;
    struct plan *full = make_plan(0, 1, 7), *part = make_plan(0, 2, 8);
    (void)add_route(full, 1, "{symbol}@trade", 0, 3);
    apply(full);
    part->message.expanding = true;
    (void)add_route(part, 2, "{symbol}@trade", 2, 2); /* the restarted Dispatcher knows these */
    apply(part);
    assert_int_equal(topics.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(mlt_topic_wanted(topics.items[i]));
    }
    assert_int_equal(named("c000usdt@trade")->route, 1);
    assert_int_equal(named("c002usdt@trade")->route, 2);
    apply(part); /* as often as it comes, also for another reason: a new listing */
    assert_int_equal(topics.count, 4);

    part->message.revision = 3;
    part->message.expanding = false;
    apply(part);
    assert_int_equal(topics.count, 2);
    assert_null(named("c000usdt@trade"));
    assert_non_null(named("c003usdt@trade"));
    free(part);
    free(full);
}

static void test_expanding_part_keeps_no_topic_of_a_symbol_that_was_not_listed(void **state)
{
    (void)state;
    struct plan *part = make_plan(0, 1, 7);
    part->message.expanding = true;
    (void)add_route(part, 1, "{symbol}@trade", 12, 1);
    apply(part);
    assert_int_equal(topics.count, 1);
    assert_true(topics.items[0]->unlisted);
    mlt_binance_symbols_destroy(symbols);
    symbols = make_symbols(20);
    apply(part);
    assert_int_equal(topics.count, 1);
    assert_non_null(named("c012usdt@trade"));
    free(part);
}

static void test_two_routes_share_one_stream(void **state)
{
    (void)state;
    struct plan *plan = make_plan(0, 1, 7);
    (void)add_route(plan, 5, "{symbol}@depth@100ms", 0, 2);
    (void)add_route(plan, 9, "{symbol}@depth@100ms", 1, 2);
    apply(plan);
    assert_int_equal(topics.count, 3);
    assert_int_equal(named("c001usdt@depth@100ms")->route, 5);
    assert_int_equal(named("c002usdt@depth@100ms")->route, 9);
    free(plan);
}

static void test_unknown_symbol_fails_until_it_is_listed(void **state)
{
    (void)state;
    struct plan *plan = make_plan(0, 1, 7);
    (void)add_route(plan, 1, "{symbol}@trade", 12, 1);
    apply(plan);
    uint32_t counts[MLT_TOPIC_STATE_COUNT];
    mlt_topics_counts(&topics, UINT64_MAX, counts);
    assert_int_equal(counts[MLT_TOPIC_FAILED], 1);
    assert_string_equal(topics.items[0]->reason, "unknown_symbol");
    assert_string_equal(topics.items[0]->instrument->token, "C012-USDT");
    assert_null(named("c012usdt@trade"));

    mlt_binance_symbols_destroy(symbols);
    symbols = make_symbols(20);
    apply(plan);
    assert_int_equal(topics.count, 1);
    assert_non_null(named("c012usdt@trade"));
    mlt_topics_counts(&topics, UINT64_MAX, counts);
    assert_int_equal(counts[MLT_TOPIC_PENDING], 1);
    free(plan);
}

static void test_name_of_a_symbol_that_is_not_ascii(void **state)
{
    (void)state;
    struct plan *plan = make_plan(0, 1, 7);
    Meltica__V1__PlanRoute *route = add_route(plan, 1, "{symbol}@trade", 0, 1);
    char token[] = "=E5=B8=81-USDT";
    route->instruments[0] = token;
    apply(plan);
    assert_non_null(named("\xe5\xb8\x81usdt@trade"));
    free(plan);
}

static void test_symbol_in_break_is_marked(void **state)
{
    (void)state;
    struct plan *plan = make_plan(0, 1, 7);
    (void)add_route(plan, 1, "{symbol}@trade", 8, 2);
    apply(plan);
    assert_false(named("c008usdt@trade")->halted);
    assert_true(named("c009usdt@trade")->halted);
    free(plan);
}

static void test_silence_is_seen_after_the_limit(void **state)
{
    (void)state;
    struct plan *plan = make_plan(0, 1, 7);
    (void)add_route(plan, 1, "{symbol}@trade", 0, 2);
    apply(plan);
    for (size_t i = 0; i < 2; i++) {
        topics.items[i]->seats[0].state = MLT_SEAT_ON;
        topics.items[i]->acked_at_ns = 100;
        (void)mlt_topic_set(topics.items[i], MLT_TOPIC_LIVE, NULL);
    }
    topics.items[0]->seen = true;
    assert_false(mlt_topics_watch(&topics, 100));
    assert_true(mlt_topics_watch(&topics, 101));
    assert_int_equal(topics.items[0]->state, MLT_TOPIC_LIVE);
    assert_int_equal(topics.items[1]->state, MLT_TOPIC_SILENT);
    assert_false(mlt_topics_watch(&topics, 200));
    free(plan);
}

/* ---- plans ---- */

static enum mlt_status offer(struct mlt_plans *plans, const struct plan *plan, bool *new_boot)
{
    uint8_t bytes[4096];
    const size_t len = meltica__v1__native_plan__get_packed_size(&plan->message);
    assert_true(len <= sizeof bytes);
    (void)meltica__v1__native_plan__pack(&plan->message, bytes);
    Meltica__V1__NativePlan *read = NULL;
    enum mlt_status status = mlt_plans_read(plans, mlt_slice_of(bytes, len), &read, new_boot);
    if (status == MLT_OK) {
        status = mlt_plans_keep(plans, read, mlt_slice_of(bytes, len));
        mlt_plan_free(read);
    }
    return status;
}

static void test_what_failed_is_told_before_what_is_silent(void **state)
{
    (void)state;
    struct plan *plan = make_plan(0, 1, 7), *other = make_plan(1, 1, 7);
    struct mlt_topic *told[4];
    (void)add_route(plan, 1, "{symbol}@trade", 0, 6);
    apply(plan);
    (void)add_route(other, 1, "{symbol}@bookTicker", 0, 1);
    apply(other);
    for (size_t i = 0; i < topics.count; i++) {
        (void)mlt_topic_set(topics.items[i], MLT_TOPIC_SILENT, "no_message");
    }
    (void)mlt_topic_set(named("c000usdt@trade"), MLT_TOPIC_LIVE, NULL);
    (void)mlt_topic_set(named("c004usdt@trade"), MLT_TOPIC_PENDING, NULL);
    (void)mlt_topic_set(named("c005usdt@trade"), MLT_TOPIC_FAILED, "refused");
    (void)mlt_topic_set(named("c000usdt@bookTicker"), MLT_TOPIC_FAILED, "refused");
    assert_int_equal(mlt_topics_problems(&topics, 1, told, 3), 3);
    assert_ptr_equal(told[0], named("c005usdt@trade"));
    assert_ptr_equal(told[1], named("c004usdt@trade"));
    assert_int_equal(told[2]->state, MLT_TOPIC_SILENT);
    assert_int_equal(mlt_topics_problems(&topics, 1, told, 1), 1);
    assert_ptr_equal(told[0], named("c005usdt@trade"));
    assert_int_equal(mlt_topics_problems(&topics, 2, told, 4), 1);
    assert_ptr_equal(told[0], named("c000usdt@bookTicker"));
    assert_int_equal(mlt_topics_problems(&topics, 4, told, 4), 0);
    free(plan);
    free(other);
}

static void test_lower_revision_of_the_same_boot_is_refused(void **state)
{
    (void)state;
    struct mlt_plans plans;
    mlt_plans_init(&plans, 2);
    struct plan *plan = make_plan(0, 5, 7);
    (void)add_route(plan, 1, "{symbol}@trade", 0, 2);
    bool new_boot = false;
    uint64_t of = 0;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_OK);
    assert_true(new_boot);
    assert_int_equal(mlt_plans_revision(&plans, UINT64_MAX, &of), 0); /* partition 1 has none */
    assert_int_equal(of, 0);
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_OK);
    assert_false(new_boot);
    plan->message.revision = 4;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_E_CONFLICT);
    plan->message.boot = 8; /* another Dispatcher counts anew */
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_OK);
    assert_true(new_boot);
    plan->message.partition = 1;
    plan->message.revision = 9;
    plan->message.boot = 7; /* its own part is of one, the other part of another one */
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_OK);
    assert_int_equal(mlt_plans_revision(&plans, UINT64_MAX, &of), 0);
    assert_int_equal(of, 0);
    plan->message.boot = 8;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_OK);
    assert_int_equal(mlt_plans_revision(&plans, UINT64_MAX, &of), 4);
    assert_int_equal(of, 8);
    plan->message.partition = 2;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_E_RANGE);
    Meltica__V1__NativePlan *kept = mlt_plans_of(&plans, 0);
    assert_non_null(kept);
    assert_int_equal(kept->n_routes, 1);
    assert_string_equal(kept->routes[0]->instruments[1], "C001-USDT");
    mlt_plan_free(kept);
    Meltica__V1__NativePlan *none = NULL;
    assert_int_equal(mlt_plans_read(&plans, MLT_SLICE_LITERAL("\x0a\xff"), &none, &new_boot),
                     MLT_E_PARSE);
    mlt_plans_fini(&plans);
    free(plan);
}

/* One that slept and was replaced meanwhile does not know it yet. */
static void test_a_dispatcher_with_a_lower_claim_is_refused(void **state)
{
    (void)state;
    struct mlt_plans plans;
    bool new_boot = false;
    mlt_plans_init(&plans, 2);
    struct plan *plan = make_plan(0, 5, 7);
    plan->message.epoch = 100;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_OK);
    plan->message.boot = 8;
    plan->message.epoch = 101;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_OK);
    plan->message.boot = 7;
    plan->message.epoch = 100;
    plan->message.revision = 6;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_E_CONFLICT);
    plan->message.partition = 1; /* of which the other one has said nothing yet */
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_E_CONFLICT);
    assert_null(mlt_plans_of(&plans, 1));
    plan->message.boot = 9; /* alone, and claims nothing */
    plan->message.epoch = 0;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_OK);
    plan->message.boot = 7; /* still replaced */
    plan->message.epoch = 100;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_E_CONFLICT);
    mlt_plans_fini(&plans);
    free(plan);
}

static void test_parts_of_other_adapters_are_not_taken(void **state)
{
    (void)state;
    struct mlt_plans plans;
    bool new_boot = false;
    mlt_plans_init(&plans, 4);
    plans.mine = 0xa; /* 1 and 3 */
    uint64_t of = 0;
    struct plan *plan = make_plan(1, 5, 7);
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_OK);
    assert_int_equal(mlt_plans_revision(&plans, UINT64_MAX, &of), 0); /* 3 has none */
    plan->message.partition = 3;
    plan->message.revision = 6;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_OK);
    assert_int_equal(mlt_plans_revision(&plans, UINT64_MAX, &of), 5); /* whatever 0 and 2 have */
    plan->message.partition = 2;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_E_NOT_FOUND);
    assert_null(mlt_plans_of(&plans, 2));
    plan->message.partition = 4;
    assert_int_equal(offer(&plans, plan, &new_boot), MLT_E_RANGE);
    mlt_plans_fini(&plans);
    free(plan);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_template_expanded),
        TEST(test_plan_part_replaces_its_partition_only),
        TEST(test_topic_on_a_line_outlives_its_plan),
        TEST(test_expanding_part_ends_nothing),
        TEST(test_expanding_part_keeps_no_topic_of_a_symbol_that_was_not_listed),
        TEST(test_two_routes_share_one_stream),
        TEST(test_unknown_symbol_fails_until_it_is_listed),
        TEST(test_name_of_a_symbol_that_is_not_ascii),
        TEST(test_symbol_in_break_is_marked),
        TEST(test_silence_is_seen_after_the_limit),
        TEST(test_what_failed_is_told_before_what_is_silent),
        TEST(test_lower_revision_of_the_same_boot_is_refused),
        TEST(test_a_dispatcher_with_a_lower_claim_is_refused),
        TEST(test_parts_of_other_adapters_are_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
