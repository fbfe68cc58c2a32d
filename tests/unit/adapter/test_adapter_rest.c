#include "mlt_test.h"

#include "meltica/base/clock.h"
#include "plan_maker.h"
#include "rest.h"

#define S MLT_NS_PER_S
#define T0 (1000 * S)

/* ---- comparisons of our own code (the linker gives us its calls) ---- */

static size_t comparisons;
int __real_strcmp(const char *a, const char *b);
int __real_memcmp(const void *a, const void *b, size_t len);
int __real_bcmp(const void *a, const void *b, size_t len);
int __wrap_strcmp(const char *a, const char *b);
int __wrap_memcmp(const void *a, const void *b, size_t len);
int __wrap_bcmp(const void *a, const void *b, size_t len);

int __wrap_strcmp(const char *a, const char *b)
{
    comparisons++;
    return __real_strcmp(a, b);
}

int __wrap_memcmp(const void *a, const void *b, size_t len)
{
    comparisons++;
    return __real_memcmp(a, b, len);
}

int __wrap_bcmp(const void *a, const void *b, size_t len) /* what clang makes of memcmp == 0 */
{
    comparisons++;
    return __real_bcmp(a, b, len);
}

static struct mlt_governor governor;
static struct mlt_rest rest;

static int set_up(void **state)
{
    (void)state;
    mlt_governor_init(&governor, 50, 1);
    mlt_rest_init(&rest, 4, &governor, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_rest_fini(&rest);
    return 0;
}

/* ---- schedule ---- */

static void apply_depth(unsigned count, uint32_t interval_ms, uint32_t limit, int64_t now)
{
    struct plan *plan = make_plan(0, 1, 7);
    Meltica__V1__PlanRoute *route = add_route(plan, 6, "", 0, count);
    char function[] = "depth";
    route->rest_function = function;
    route->rest_interval_ms = interval_ms;
    route->rest_limit = limit;
    assert_int_equal(mlt_rest_apply(&rest, &plan->message, now), MLT_OK);
    assert_int_equal(rest.unknown_count, 0);
    free(plan);
}

static void test_calls_are_spread_over_the_interval(void **state)
{
    (void)state;
    mlt_governor_set_limit(&governor, 1000000);
    apply_depth(100, 60000, 100, T0);
    static unsigned per_second[240];
    int64_t now = T0;
    while (now < T0 + 240 * S) {
        unsigned flight = 0;
        int64_t next = 0;
        if (mlt_rest_next(&rest, now, &flight, &next) == MLT_OK) {
            per_second[(now - T0) / S]++;
            (void)mlt_rest_done(&rest, flight, MLT_REST_DONE, now);
            continue;
        }
        assert_true(next > now);
        now = next;
    }
    unsigned first = 0, minute = 0, highest = 0;
    for (unsigned s = 0; s < 240; s++) {
        first += s < 5 ? per_second[s] : 0;
        minute += s >= 120 && s < 180 ? per_second[s] : 0;
        highest = s >= 60 && per_second[s] > highest ? per_second[s] : highest;
    }
    assert_int_equal(first, 100);  /* the first round soon */
    assert_int_equal(minute, 100); /* then each once a minute */
    assert_in_range(highest, 1, 4);
}

static void test_plan_again_keeps_the_times(void **state)
{
    (void)state;
    apply_depth(10, 10000, 100, T0);
    int64_t due[10];
    for (unsigned i = 0; i < 10; i++) {
        due[i] = rest.entries[i]->due_ns;
    }
    apply_depth(10, 10000, 500, T0 + 3 * S);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(rest.entries[i]->due_ns, due[i]);
        assert_int_equal(rest.entries[i]->call.limit, 500);
    }
    apply_depth(4, 10000, 500, T0 + 4 * S);
    assert_int_equal(rest.count, 4);
    apply_depth(0, 10000, 500, T0 + 4 * S);
    assert_int_equal(rest.count, 0);
}

static void test_expanding_part_ends_no_call(void **state)
{
    (void)state;
    apply_depth(10, 10000, 100, T0);
    struct plan *part = make_plan(0, 2, 8);
    part->message.expanding = true;
    assert_int_equal(mlt_rest_apply(&rest, &part->message, T0), MLT_OK);
    assert_int_equal(rest.count, 10);
    part->message.expanding = false;
    assert_int_equal(mlt_rest_apply(&rest, &part->message, T0), MLT_OK);
    assert_int_equal(rest.count, 0);
    free(part);
}

static void test_first_of_two_routes_names_their_call(void **state)
{
    (void)state;
    struct plan *plan = make_plan(0, 1, 7);
    char function[] = "depth";
    for (unsigned r = 0; r < 2; r++) {
        Meltica__V1__PlanRoute *route = add_route(plan, 5 + r, "", 0, 2);
        route->rest_function = function;
        route->rest_interval_ms = 1000 + 1000 * r;
        route->rest_limit = 100 + 400 * r;
    }
    assert_int_equal(mlt_rest_apply(&rest, &plan->message, T0), MLT_OK);
    assert_int_equal(rest.count, 2);
    assert_int_equal(rest.entries[1]->call.route, 5);
    assert_int_equal(rest.entries[1]->call.limit, 100);
    assert_int_equal(rest.entries[1]->interval_ns, S);
    const int64_t due = rest.entries[1]->due_ns;
    assert_int_equal(mlt_rest_apply(&rest, &plan->message, T0 + S), MLT_OK);
    assert_int_equal(rest.entries[1]->due_ns, due);
    free(plan);
}

#define MANY 5000u

/* Every instrument of an exchange twice: the work grows with the plan, not with its square. */
static void test_large_plan_costs_a_few_comparisons_an_entry(void **state)
{
    (void)state;
    static char tokens[MANY][24];
    static char *pointers[MANY];
    static const char *const functions[] = { "depth", "ticker/24hr" };
    struct plan *plan = make_plan(0, 1, 7);
    char texts[2][24];
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(tokens[i], sizeof tokens[i], "C%04u-USDT", i);
        pointers[i] = tokens[i];
    }
    for (unsigned r = 0; r < 2; r++) {
        Meltica__V1__PlanRoute *route = add_route(plan, 1 + r, "", 0, 0);
        (void)snprintf(texts[r], sizeof texts[r], "%s", functions[r]);
        route->rest_function = texts[r];
        route->rest_interval_ms = 60000;
        route->instruments = pointers;
        route->n_instruments = MANY;
    }
    comparisons = 0;
    for (unsigned again = 0; again < 2; again++) {
        assert_int_equal(mlt_rest_apply(&rest, &plan->message, T0 + again), MLT_OK);
        assert_int_equal(rest.count, 2 * MANY);
    }
    plan->routes[0].n_instruments = 1; /* most of one function goes */
    assert_int_equal(mlt_rest_apply(&rest, &plan->message, T0 + 2), MLT_OK);
    assert_int_equal(rest.count, MANY + 1);
    assert_in_range(comparisons, 1, 10 * (2 * MANY));
    free(plan);
}

static void test_end_of_an_entry_leaves_the_others_findable(void **state)
{
    (void)state;
    apply_depth(100, 10000, 100, T0);
    apply_depth(50, 10000, 100, T0);
    const uint64_t made = rest.made;
    apply_depth(50, 10000, 100, T0); /* all of them are known */
    assert_int_equal(rest.made, made);
    apply_depth(51, 10000, 100, T0); /* what ended begins anew */
    assert_int_equal(rest.made, made + 1);
    assert_int_equal(rest.count, 51);
}

static void test_token_longer_than_an_instruments_is_refused(void **state)
{
    (void)state;
    char token[MLT_INSTRUMENT_BYTES_MAX + 2];
    memset(token, 'A', sizeof token);
    token[sizeof token - 1] = '\0';
    struct plan *plan = make_plan(0, 1, 7);
    Meltica__V1__PlanRoute *route = add_route(plan, 6, "", 0, 1);
    char function[] = "depth";
    route->rest_function = function;
    route->rest_interval_ms = 1000;
    route->instruments[0] = token;
    assert_int_equal(mlt_rest_apply(&rest, &plan->message, T0), MLT_E_TOO_BIG);
    token[sizeof token - 2] = '\0';
    assert_int_equal(mlt_rest_apply(&rest, &plan->message, T0), MLT_OK);
    assert_string_equal(rest.entries[0]->call.token, token);
    free(plan);
}

static void test_unknown_function_is_listed_until_the_plan_drops_it(void **state)
{
    (void)state;
    struct plan *plan = make_plan(2, 1, 7);
    Meltica__V1__PlanRoute *route = add_route(plan, 8, "", 0, 1);
    char function[] = "bananas";
    route->rest_function = function;
    route->rest_interval_ms = 1000;
    assert_int_equal(mlt_rest_apply(&rest, &plan->message, T0), MLT_OK);
    assert_int_equal(mlt_rest_apply(&rest, &plan->message, T0), MLT_OK);
    assert_int_equal(rest.unknown_count, 1);
    assert_int_equal(rest.unknown[0].route, 8);
    assert_int_equal(rest.count, 0);
    plan->message.n_routes = 0;
    assert_int_equal(mlt_rest_apply(&rest, &plan->message, T0), MLT_OK);
    assert_int_equal(rest.unknown_count, 0);
    free(plan);
}

static unsigned take(int64_t now)
{
    unsigned flight = 99;
    int64_t next = 0;
    assert_int_equal(mlt_rest_next(&rest, now, &flight, &next), MLT_OK);
    return flight;
}

static void ask(const char *token, uint32_t limit, enum mlt_weight_class class, int64_t now)
{
    const struct mlt_rest_asked asked = { MLT_REST_DEPTH, token, limit, 0, 9, class };
    assert_int_equal(mlt_rest_demand(&rest, &asked, now), MLT_OK);
}

static void test_demand_goes_first_and_once(void **state)
{
    (void)state;
    apply_depth(2, 1000, 100, T0);
    ask("C001-USDT", 500, MLT_WEIGHT_DEPTH, T0);
    ask("C001-USDT", 1000, MLT_WEIGHT_DEPTH, T0);
    const unsigned flight = take(T0 + 2 * S);
    const struct mlt_rest_call *call = mlt_rest_flight(&rest, flight);
    assert_true(call->demand);
    assert_int_equal(call->limit, 1000);
    assert_string_equal(call->token, "C001-USDT");
    /* The schedule's call for the same book waits for it. */
    assert_string_equal(mlt_rest_flight(&rest, take(T0 + 2 * S))->token, "C000-USDT");
    unsigned none = 0;
    int64_t next = 0;
    assert_int_equal(mlt_rest_next(&rest, T0 + 2 * S, &none, &next), MLT_E_EMPTY);
    assert_false(mlt_rest_done(&rest, flight, MLT_REST_DONE, T0 + 2 * S));
    assert_string_equal(mlt_rest_flight(&rest, take(T0 + 2 * S))->token, "C001-USDT");
}

static void test_demand_is_tried_again_and_given_up(void **state)
{
    (void)state;
    ask("C001-USDT", 100, MLT_WEIGHT_DEPTH, T0);
    int64_t now = T0;
    for (unsigned i = 1; i <= MLT_REST_TRIES_MAX; i++) {
        const unsigned flight = take(now);
        assert_int_equal(mlt_rest_flight(&rest, flight)->tries, i);
        assert_int_equal(mlt_rest_done(&rest, flight, MLT_REST_RETRY, now),
                         i == MLT_REST_TRIES_MAX);
        now += 20 * S;
    }
    ask("C001-USDT", 100, MLT_WEIGHT_DEPTH, now);
    assert_true(mlt_rest_done(&rest, take(now), MLT_REST_REFUSED, now));
    assert_int_equal(rest.demand_count, 0);
}

static void fill_queue(char letter, unsigned count, enum mlt_weight_class class)
{
    char token[24];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(token, sizeof token, "%c%u-USDT", letter, i);
        ask(token, 100, class, T0);
    }
}

static enum mlt_status ask_one_more(enum mlt_weight_class class)
{
    const struct mlt_rest_asked beyond = { MLT_REST_DEPTH, "BEYOND-USDT", 100, 0, 0, class };
    return mlt_rest_demand(&rest, &beyond, T0);
}

static void test_demand_queue_is_bounded_and_keeps_places_for_what_is_urgent(void **state)
{
    (void)state;
    fill_queue('D', MLT_REST_DEMAND_MAX - 2 * MLT_REST_DEMAND_KEPT, MLT_WEIGHT_DEPTH);
    assert_int_equal(ask_one_more(MLT_WEIGHT_DEPTH), MLT_E_FULL);
    assert_int_equal(ask_one_more(MLT_WEIGHT_AUDIT), MLT_E_FULL);
    ask("D5-USDT", 500, MLT_WEIGHT_DEPTH, T0); /* it waits already */
    fill_queue('F', MLT_REST_DEMAND_KEPT, MLT_WEIGHT_FIRST);
    assert_int_equal(ask_one_more(MLT_WEIGHT_FIRST), MLT_E_FULL);
    fill_queue('R', MLT_REST_DEMAND_KEPT, MLT_WEIGHT_RESYNC);
    assert_int_equal(ask_one_more(MLT_WEIGHT_RESYNC), MLT_E_FULL);
    assert_int_equal(rest.demand_count, MLT_REST_DEMAND_MAX);
    uint32_t counts[MLT_WEIGHT_CLASS_COUNT];
    mlt_rest_waiting(&rest, counts);
    assert_int_equal(counts[MLT_WEIGHT_RESYNC], MLT_REST_DEMAND_KEPT);
    assert_int_equal(counts[MLT_WEIGHT_FIRST], MLT_REST_DEMAND_KEPT);
    assert_int_equal(counts[MLT_WEIGHT_DEPTH], MLT_REST_DEMAND_MAX - 2 * MLT_REST_DEMAND_KEPT);
    assert_int_equal(counts[MLT_WEIGHT_AUDIT], 0);
}

static void expect_flight(unsigned flight, const char *token, uint32_t limit,
                          enum mlt_weight_class class)
{
    const struct mlt_rest_call *call = mlt_rest_flight(&rest, flight);
    assert_string_equal(call->token, token);
    assert_int_equal(call->limit, limit);
    assert_int_equal(call->class, class);
}

static void test_trades_by_id_are_calls_of_their_own(void **state)
{
    (void)state;
    struct mlt_rest_asked trades = {
        MLT_REST_HISTORICAL_TRADES, "A-USDT", 10, 500, 3, MLT_WEIGHT_DEPTH
    };
    assert_int_equal(mlt_rest_demand(&rest, &trades, T0), MLT_OK);
    assert_int_equal(mlt_rest_demand(&rest, &trades, T0), MLT_OK); /* it waits already */
    trades.from = 900;
    assert_int_equal(mlt_rest_demand(&rest, &trades, T0), MLT_OK);
    trades.function = MLT_REST_AGG_TRADES;
    assert_int_equal(mlt_rest_demand(&rest, &trades, T0), MLT_OK);
    assert_int_equal(rest.demand_count, 3);
    const unsigned first = take(T0);
    assert_int_equal(mlt_rest_flight(&rest, first)->from, 500);
    assert_int_equal(mlt_rest_flight(&rest, first)->limit, 10);
    /* One at a time for (function, instrument). */
    assert_int_equal(mlt_rest_flight(&rest, take(T0))->function, MLT_REST_AGG_TRADES);
    unsigned none = 0;
    int64_t next = 0;
    assert_int_equal(mlt_rest_next(&rest, T0, &none, &next), MLT_E_EMPTY);
    /* 25 and 4 of the budget. */
    assert_int_equal(mlt_governor_used(rest.governor, T0), 29);
    (void)mlt_rest_done(&rest, first, MLT_REST_DONE, T0);
    assert_int_equal(mlt_rest_flight(&rest, take(T0))->from, 900);

    struct mlt_rest_asked wrong = trades;
    wrong.limit = 0;
    assert_int_equal(mlt_rest_demand(&rest, &wrong, T0), MLT_E_RANGE);
    wrong.limit = MLT_TRADES_PAGE_MAX + 1;
    assert_int_equal(mlt_rest_demand(&rest, &wrong, T0), MLT_E_RANGE);
    wrong.limit = 1;
    wrong.from = -1;
    assert_int_equal(mlt_rest_demand(&rest, &wrong, T0), MLT_E_RANGE);
}

static void test_class_goes_before_the_time_of_asking(void **state)
{
    (void)state;
    apply_depth(1, 1000, 100, T0);
    ask("AUDIT-USDT", 100, MLT_WEIGHT_AUDIT, T0);
    ask("DEPTH-USDT", 1000, MLT_WEIGHT_DEPTH, T0 + 1);
    ask("FIRST-USDT", 100, MLT_WEIGHT_FIRST, T0 + 2);
    ask("R1-USDT", 100, MLT_WEIGHT_RESYNC, T0 + 3);
    ask("R2-USDT", 100, MLT_WEIGHT_RESYNC, T0 + 4);
    const int64_t now = T0 + 2 * S; /* the schedule is due */
    expect_flight(take(now), "R1-USDT", 100, MLT_WEIGHT_RESYNC);
    expect_flight(take(now), "R2-USDT", 100, MLT_WEIGHT_RESYNC);
    expect_flight(take(now), "FIRST-USDT", 100, MLT_WEIGHT_FIRST);
    expect_flight(take(now), "DEPTH-USDT", 1000, MLT_WEIGHT_DEPTH);
    assert_string_equal(mlt_rest_flight(&rest, take(now))->token, "C000-USDT");
    expect_flight(take(now), "AUDIT-USDT", 100, MLT_WEIGHT_AUDIT);
}

static void expect_nothing(int64_t now)
{
    unsigned none = 0;
    int64_t next = 0;
    assert_int_equal(mlt_rest_next(&rest, now, &none, &next), MLT_E_EMPTY);
}

/* Share 3,000. */
static void test_each_class_leaves_weight_to_those_before_it(void **state)
{
    (void)state;
    static const uint32_t most[MLT_WEIGHT_CLASS_COUNT] = { 3000, 3000, 2700, 2400, 2400, 1800 };
    for (unsigned class = 0; class < MLT_WEIGHT_CLASS_COUNT; class ++) {
        mlt_governor_init(&governor, 50, 1);
        uint32_t used = 0;
        while (mlt_governor_admit(&governor, 50, (enum mlt_weight_class) class, T0) == 0) {
            used += 50;
        }
        assert_int_equal(used, most[class]);
    }
}

/* A light call of a lower class would take what the heavy one before it waits for. */
static void test_lower_classes_wait_while_a_higher_one_does(void **state)
{
    (void)state;
    assert_int_equal(mlt_governor_admit(&governor, 2500, MLT_WEIGHT_RESYNC, T0), 0);
    ask("A-USDT", 5000, MLT_WEIGHT_FIRST, T0); /* 250: above what FIRST may use */
    ask("B-USDT", 100, MLT_WEIGHT_FIRST, T0);  /* 5: would fit */
    ask("C-USDT", 100, MLT_WEIGHT_AUDIT, T0);
    expect_nothing(T0);
    ask("D-USDT", 5000, MLT_WEIGHT_RESYNC, T0);
    expect_flight(take(T0), "D-USDT", 5000, MLT_WEIGHT_RESYNC);
    expect_nothing(T0);
}

static void test_whoever_waits_long_rises(void **state)
{
    (void)state;
    ask("OLD-USDT", 100, MLT_WEIGHT_AUDIT, T0);
    const int64_t before = T0 + 4 * MLT_REST_RISE_NS - 1, after = before + 1;
    ask("FIRST-USDT", 100, MLT_WEIGHT_FIRST, before);
    expect_flight(take(before), "OLD-USDT", 100, MLT_WEIGHT_AUDIT); /* as FIRST, asked before */
    ask("OLD2-USDT", 100, MLT_WEIGHT_AUDIT, T0);
    ask("R-USDT", 100, MLT_WEIGHT_RESYNC, after);
    expect_flight(take(after), "OLD2-USDT", 100, MLT_WEIGHT_AUDIT);
    expect_flight(take(after), "R-USDT", 100, MLT_WEIGHT_RESYNC);
    expect_flight(take(after), "FIRST-USDT", 100, MLT_WEIGHT_FIRST);
}

static void test_schedule_that_is_overdue_rises_too(void **state)
{
    (void)state;
    apply_depth(1, 3600000, 100, T0);
    const int64_t now = rest.entries[0]->due_ns + 2 * MLT_REST_RISE_NS;
    ask("DEPTH-USDT", 100, MLT_WEIGHT_DEPTH, now);
    assert_string_equal(mlt_rest_flight(&rest, take(now))->token, "C000-USDT");
    expect_flight(take(now), "DEPTH-USDT", 100, MLT_WEIGHT_DEPTH);
}

/* Among demands that come and come it would never be its turn. */
static void test_schedule_that_has_risen_goes_before_younger_demands(void **state)
{
    (void)state;
    apply_depth(1, 3600000, 100, T0);
    const int64_t due = rest.entries[0]->due_ns, now = due + 4 * MLT_REST_RISE_NS;
    ask("OLD-USDT", 100, MLT_WEIGHT_RESYNC, due - 1);
    ask("YOUNG-USDT", 100, MLT_WEIGHT_RESYNC, due + 1);
    expect_flight(take(now), "OLD-USDT", 100, MLT_WEIGHT_RESYNC);
    assert_string_equal(mlt_rest_flight(&rest, take(now))->token, "C000-USDT");
    expect_flight(take(now), "YOUNG-USDT", 100, MLT_WEIGHT_RESYNC);
}

static void test_waiting_call_is_enough_for_less_and_becomes_more(void **state)
{
    (void)state;
    ask("A-USDT", 100, MLT_WEIGHT_DEPTH, T0);
    ask("B-USDT", 100, MLT_WEIGHT_DEPTH, T0);
    ask("B-USDT", 500, MLT_WEIGHT_RESYNC, T0);
    ask("A-USDT", 1000, MLT_WEIGHT_DEPTH, T0);
    ask("B-USDT", 100, MLT_WEIGHT_DEPTH, T0); /* neither goes down */
    assert_int_equal(rest.demand_count, 2);
    expect_flight(take(T0), "B-USDT", 500, MLT_WEIGHT_RESYNC);
    expect_flight(take(T0), "A-USDT", 1000, MLT_WEIGHT_DEPTH);
}

/* Else a book that drops while it waits to be deepened would need ten times the weight. */
static void test_light_call_in_haste_does_not_become_a_heavy_one(void **state)
{
    (void)state;
    ask("A-USDT", 1000, MLT_WEIGHT_DEPTH, T0);
    ask("A-USDT", 100, MLT_WEIGHT_RESYNC, T0);
    ask("A-USDT", 500, MLT_WEIGHT_AUDIT, T0); /* the first one is enough for it */
    ask("A-USDT", 100, MLT_WEIGHT_RESYNC, T0);
    assert_int_equal(rest.demand_count, 2);
    const unsigned light = take(T0);
    expect_flight(light, "A-USDT", 100, MLT_WEIGHT_RESYNC);
    expect_nothing(T0); /* one at a time */
    (void)mlt_rest_done(&rest, light, MLT_REST_DONE, T0);
    expect_flight(take(T0), "A-USDT", 1000, MLT_WEIGHT_DEPTH);
}

static void test_no_limit_is_the_default_and_too_large_a_one_the_largest(void **state)
{
    (void)state;
    ask("A-USDT", 0, MLT_WEIGHT_DEPTH, T0);
    ask("A-USDT", 50, MLT_WEIGHT_DEPTH, T0);
    ask("B-USDT", 9999, MLT_WEIGHT_DEPTH, T0);
    expect_flight(take(T0), "A-USDT", MLT_REST_DEPTH_DEFAULT, MLT_WEIGHT_DEPTH);
    expect_flight(take(T0), "B-USDT", MLT_REST_DEPTH_MAX, MLT_WEIGHT_DEPTH);
}

static void test_flight_does_not_swallow_a_deeper_request(void **state)
{
    (void)state;
    ask("A-USDT", 100, MLT_WEIGHT_DEPTH, T0);
    const unsigned first = take(T0);
    ask("A-USDT", 1000, MLT_WEIGHT_RESYNC, T0);
    unsigned none = 0;
    int64_t next = 0;
    assert_int_equal(mlt_rest_next(&rest, T0, &none, &next), MLT_E_EMPTY); /* one at a time */
    expect_flight(first, "A-USDT", 100, MLT_WEIGHT_DEPTH);
    assert_false(mlt_rest_done(&rest, first, MLT_REST_DONE, T0 + S));
    expect_flight(take(T0 + S), "A-USDT", 1000, MLT_WEIGHT_RESYNC);
}

static void test_failed_flight_joins_the_one_that_waits(void **state)
{
    (void)state;
    ask("A-USDT", 1000, MLT_WEIGHT_RESYNC, T0);
    const unsigned first = take(T0);
    ask("A-USDT", 100, MLT_WEIGHT_DEPTH, T0);
    assert_false(mlt_rest_done(&rest, first, MLT_REST_RETRY, T0));
    assert_int_equal(rest.demand_count, 1);
    expect_flight(take(T0 + S), "A-USDT", 1000, MLT_WEIGHT_RESYNC);
    assert_int_equal(rest.demand_count, 0);
}

/* Share 3,000: 2,400 for what is not urgent. */
static void test_share_is_kept_for_urgent_calls(void **state)
{
    (void)state;
    apply_depth(1, 1000, 100, T0);
    assert_int_equal(mlt_governor_admit(&governor, 2300, MLT_WEIGHT_RESYNC, T0), 0);
    ask("A-USDT", 5000, MLT_WEIGHT_DEPTH, T0);
    unsigned none = 0;
    int64_t next = 0;
    /* Neither it nor, before it, the schedule's lighter call. */
    assert_int_equal(mlt_rest_next(&rest, T0 + 2 * S, &none, &next), MLT_E_EMPTY);
    assert_true(next > T0 + 2 * S && next <= T0 + 3 * S);
    ask("B-USDT", 5000, MLT_WEIGHT_RESYNC, T0 + 2 * S);
    expect_flight(take(T0 + 2 * S), "B-USDT", 5000, MLT_WEIGHT_RESYNC);
    ask("C-USDT", 5000, MLT_WEIGHT_RESYNC, T0 + 2 * S);
    ask("D-USDT", 1000, MLT_WEIGHT_RESYNC, T0 + 2 * S); /* would fit; what came first goes first */
    expect_flight(take(T0 + 2 * S), "C-USDT", 5000, MLT_WEIGHT_RESYNC);
    assert_int_equal(mlt_governor_used(&governor, T0 + 2 * S), 2800);
    expect_flight(take(T0 + 2 * S), "D-USDT", 1000, MLT_WEIGHT_RESYNC);
    ask("E-USDT", 5000, MLT_WEIGHT_RESYNC, T0 + 2 * S);
    assert_int_equal(mlt_rest_next(&rest, T0 + 2 * S, &none, &next), MLT_E_EMPTY);
    /* The first spending is a minute ago. */
    expect_flight(take(T0 + 61 * S), "E-USDT", 5000, MLT_WEIGHT_RESYNC);
    expect_flight(take(T0 + 61 * S), "A-USDT", 5000, MLT_WEIGHT_DEPTH);
    assert_string_equal(mlt_rest_flight(&rest, take(T0 + 61 * S))->token, "C000-USDT");
}

static void test_listing_does_not_wait_for_calls_on_demand(void **state)
{
    (void)state;
    assert_int_equal(mlt_rest_schedule(&rest, MLT_REST_EXCHANGE_INFO, 3600 * S, T0), MLT_OK);
    assert_int_equal(mlt_governor_admit(&governor, 2300, MLT_WEIGHT_RESYNC, T0), 0);
    ask("A-USDT", 5000, MLT_WEIGHT_DEPTH, T0);
    assert_int_equal(mlt_rest_flight(&rest, take(T0))->function, MLT_REST_EXCHANGE_INFO);
}

/* The clock of a ledger depends on it. */
static void test_time_goes_before_a_resync_and_waits_for_none(void **state)
{
    (void)state;
    assert_int_equal(mlt_rest_schedule(&rest, MLT_REST_TIME, 10 * S, T0), MLT_OK);
    ask("A-USDT", 100, MLT_WEIGHT_RESYNC, T0);
    assert_int_equal(mlt_rest_flight(&rest, take(T0))->function, MLT_REST_TIME);
    assert_int_equal(mlt_governor_admit(&governor, 2990, MLT_WEIGHT_RESYNC, T0), 0);
    ask("B-USDT", 5000, MLT_WEIGHT_RESYNC, T0); /* after A, which takes 5 */
    expect_flight(take(T0), "A-USDT", 100, MLT_WEIGHT_RESYNC);
    expect_nothing(T0);
}

static void test_failed_round_comes_again_before_its_interval(void **state)
{
    (void)state;
    apply_depth(1, 3600000, 100, T0);
    const unsigned flight = take(T0);
    (void)mlt_rest_done(&rest, flight, MLT_REST_RETRY, T0);
    assert_true(rest.entries[0]->due_ns <= T0 + 10 * S);
    (void)mlt_rest_done(&rest, take(T0 + 10 * S), MLT_REST_REFUSED, T0 + 10 * S);
    assert_true(rest.entries[0]->due_ns >= T0 + 3600 * S);
}

/* What brings nothing again and again costs less and less, until it brings something. */
static void test_round_that_fails_in_a_row_waits_longer(void **state)
{
    (void)state;
    int64_t now = T0;
    apply_depth(1, 3600000, 100, now);
    for (unsigned i = 0; i < 40; i++) {
        (void)mlt_rest_done(&rest, take(now), MLT_REST_RETRY, now);
        assert_true(rest.entries[0]->due_ns <= now + (i == 0 ? S : 10 * S));
        now = rest.entries[0]->due_ns;
    }
    assert_true(now - T0 > 100 * S); /* 5 s at the mean; 1 s at most would make 40 */
    (void)mlt_rest_done(&rest, take(now), MLT_REST_DONE, now);
    now = rest.entries[0]->due_ns;
    (void)mlt_rest_done(&rest, take(now), MLT_REST_RETRY, now);
    assert_true(rest.entries[0]->due_ns <= now + S);
}

static void test_listing_stays_without_a_plan(void **state)
{
    (void)state;
    assert_int_equal(mlt_rest_schedule(&rest, MLT_REST_EXCHANGE_INFO, 3600 * S, T0), MLT_OK);
    apply_depth(1, 1000, 100, T0);
    apply_depth(0, 1000, 100, T0);
    assert_int_equal(rest.count, 1);
    const unsigned flight = take(T0);
    assert_int_equal(mlt_rest_flight(&rest, flight)->function, MLT_REST_EXCHANGE_INFO);
    assert_int_equal(rest.entries[0]->due_ns, T0 + 3600 * S);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_calls_are_spread_over_the_interval),
        TEST(test_plan_again_keeps_the_times),
        TEST(test_expanding_part_ends_no_call),
        TEST(test_first_of_two_routes_names_their_call),
        TEST(test_large_plan_costs_a_few_comparisons_an_entry),
        TEST(test_end_of_an_entry_leaves_the_others_findable),
        TEST(test_token_longer_than_an_instruments_is_refused),
        TEST(test_unknown_function_is_listed_until_the_plan_drops_it),
        TEST(test_demand_goes_first_and_once),
        TEST(test_demand_is_tried_again_and_given_up),
        TEST(test_demand_queue_is_bounded_and_keeps_places_for_what_is_urgent),
        TEST(test_trades_by_id_are_calls_of_their_own),
        TEST(test_class_goes_before_the_time_of_asking),
        TEST(test_each_class_leaves_weight_to_those_before_it),
        TEST(test_lower_classes_wait_while_a_higher_one_does),
        TEST(test_whoever_waits_long_rises),
        TEST(test_schedule_that_is_overdue_rises_too),
        TEST(test_schedule_that_has_risen_goes_before_younger_demands),
        TEST(test_waiting_call_is_enough_for_less_and_becomes_more),
        TEST(test_light_call_in_haste_does_not_become_a_heavy_one),
        TEST(test_no_limit_is_the_default_and_too_large_a_one_the_largest),
        TEST(test_flight_does_not_swallow_a_deeper_request),
        TEST(test_failed_flight_joins_the_one_that_waits),
        TEST(test_share_is_kept_for_urgent_calls),
        TEST(test_listing_does_not_wait_for_calls_on_demand),
        TEST(test_time_goes_before_a_resync_and_waits_for_none),
        TEST(test_failed_round_comes_again_before_its_interval),
        TEST(test_round_that_fails_in_a_row_waits_longer),
        TEST(test_listing_stays_without_a_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
