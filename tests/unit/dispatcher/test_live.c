/* The live half of the table: the union of what is asked for, and what confirms it. */
#include "mlt_test.h"

#include <stdio.h>

#include "catalogue.h"
#include "confirm.h"
#include "meltica/base/clock.h"

#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"                   \
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"}],"                                          \
    "\"subscriptions\":[{\"id\":\"f\",\"type\":\"BBO\",\"instruments\":[\"A-B\"]}]}"

#define TRADE_BIT (UINT32_C(1) << MLT_EVENT_TRADE)
#define BBO_BIT (UINT32_C(1) << MLT_EVENT_BBO)

static struct mlt_table *table;
static struct mlt_catalogue *catalogue;
static struct mlt_live live;
static uint64_t sequence;

static int setup(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_table_parse(mlt_slice_of_string(TABLE), &table, &err), MLT_OK);
    assert_int_equal(mlt_catalogue_create(table, 100, &catalogue), MLT_OK);
    mlt_live_init(&live);
    sequence = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mlt_catalogue_destroy(catalogue);
    mlt_live_fini(&live);
    mlt_table_destroy(table);
    return 0;
}

/* One record as the Dispatcher takes it; true when the union was made anew. */
static bool record(const char *id, bool active, int type, const char *a, const char *b)
{
    Meltica__V1__ControlRecord r;
    meltica__v1__control_record__init(&r);
    char text[4][32];
    (void)snprintf(text[0], 32, "%s", id);
    (void)snprintf(text[1], 32, "desk");
    (void)snprintf(text[2], 32, "%s", a != NULL ? a : "");
    (void)snprintf(text[3], 32, "%s", b != NULL ? b : "");
    char *instruments[] = { text[2], text[3] };
    r.subscription = text[0];
    r.principal = r.consumer = text[1];
    r.active = active;
    r.type = (Meltica__V1__EventType)type;
    r.instruments = instruments;
    r.n_instruments = active ? (b != NULL ? 2 : 1) : 0;
    struct mlt_live_item *released = NULL;
    bool changed = false;
    assert_int_equal(mlt_live_apply(&live, table, &r, ++sequence, &released, &changed), MLT_OK);
    if (changed) {
        assert_int_equal(mlt_catalogue_subscribe(catalogue, &live), MLT_OK);
    }
    mlt_live_release(released);
    return changed;
}

static uint32_t types_of(const char *token)
{
    const struct mlt_catalogue_entry *entry =
        mlt_catalogue_find(catalogue, mlt_slice_of_string(token));
    return entry != NULL ? entry->types : 0;
}

static void test_who_leaves_takes_only_what_nobody_else_asks_for(void **state)
{
    (void)state;
    assert_int_equal(types_of("A-B"), BBO_BIT);
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", "C-D"));
    assert_true(record("two", true, MLT_EVENT_TRADE, "A-B", NULL));
    assert_true(record("wild", true, MLT_EVENT_TRADE, "*-D", NULL));
    assert_int_equal(types_of("A-B"), TRADE_BIT | BBO_BIT);
    assert_int_equal(types_of("X-D"), TRADE_BIT);
    assert_true(record("one", false, 0, NULL, NULL));
    assert_int_equal(types_of("A-B"), TRADE_BIT | BBO_BIT);
    assert_int_equal(types_of("C-D"), TRADE_BIT);
    assert_true(record("wild", false, 0, NULL, NULL));
    assert_int_equal(types_of("C-D"), 0);
    assert_int_equal(types_of("X-D"), 0);
    assert_true(record("two", false, 0, NULL, NULL));
    assert_int_equal(types_of("A-B"), BBO_BIT); /* the file's stays */
    struct mlt_catalogue_counts counts;
    mlt_catalogue_counts(catalogue, &counts);
    assert_int_equal(counts.subscribed, 1);
    assert_int_equal(live.count, 0);
    assert_int_equal(live.patterns, 0);
}

static bool begins(const char *token)
{
    return mlt_catalogue_begins(catalogue, mlt_slice_of_string(token), MLT_EVENT_TRADE);
}

/* The first event of a type since it was subscribed has nothing before it. What was subscribed
 * when the flow began goes on from where it was. */
static void test_a_subscription_made_while_events_flow_begins_once(void **state)
{
    (void)state;
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", NULL));
    assert_false(begins("A-B"));
    mlt_catalogue_begin(catalogue);
    assert_true(record("two", true, MLT_EVENT_TRADE, "A-B", "C-D"));
    assert_false(begins("A-B"));
    assert_true(begins("C-D"));
    assert_false(begins("C-D"));
    assert_true(record("one", false, 0, NULL, NULL));
    assert_true(record("two", false, 0, NULL, NULL));
    assert_true(record("three", true, MLT_EVENT_TRADE, "A-B", NULL));
    assert_true(record("four", true, MLT_EVENT_TRADE, "X-Y", NULL)); /* another one meanwhile */
    assert_true(begins("A-B"));
    assert_false(begins("A-B"));
    assert_true(record("four", false, 0, NULL, NULL));
    assert_false(begins("X-Y"));
    assert_false(begins("no-such"));
}

static void test_the_revision_grows_with_what_changes_and_with_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(mlt_catalogue_revision(catalogue), 100);
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", NULL));
    assert_int_equal(mlt_catalogue_revision(catalogue), 101);
    /* The same demand again, as a renewal is: only the sequence and the lease are new. */
    assert_false(record("one", true, MLT_EVENT_TRADE, "A-B", NULL));
    assert_int_equal(mlt_live_find(&live, "one")->sequence, 2);
    assert_false(record("none", false, 0, NULL, NULL));
    assert_int_equal(mlt_catalogue_revision(catalogue), 101);
    assert_true(record("one", true, MLT_EVENT_BBO, "A-B", NULL));
    assert_int_equal(types_of("A-B"), BBO_BIT);
}

/* ---- leases ---- */

#define S MLT_NS_PER_S
#define NOW                                                                                        \
    INT64_C(1800000000000000000) /* wall, of a moment at which the monotonic clock is 1000 s */
#define HOUR (3600 * S)

static const struct mlt_live_clocks begin = { NOW, 1000 * S };

/* After so long, with the wall clock set ahead by so much since. */
static struct mlt_live_clocks after(int64_t ns, int64_t ahead_ns)
{
    return (struct mlt_live_clocks){ begin.wall_ns + ns + ahead_ns, begin.mono_ns + ns };
}

/* A lease of ttl_ns, written when the writer's clock said time_ns, read now. */
static struct mlt_live_item *lease(const char *id, int64_t time_ns, int64_t ttl_ns, bool old,
                                   struct mlt_live_clocks now)
{
    struct mlt_live_item *item = mlt_live_find(&live, id);
    if (item == NULL) {
        assert_true(record(id, true, MLT_EVENT_TRADE, "A-B", NULL));
        item = mlt_live_find(&live, id);
    }
    Meltica__V1__ControlRecord r;
    meltica__v1__control_record__init(&r);
    r.time = (uint64_t)time_ns;
    r.lease_end = (uint64_t)(time_ns + ttl_ns);
    item->lease_end_ns = (int64_t)r.lease_end; /* as apply does */
    mlt_live_lease(item, &r, old, &now);
    return item;
}

static void test_no_step_of_the_wall_clock_ends_a_lease_or_makes_it_last(void **state)
{
    (void)state;
    struct mlt_live_item *item = lease("leased", NOW, 600 * S, false, begin);
    assert_int_equal(item->lease_end_ns, NOW + 600 * S);
    assert_int_equal(item->lease_over_ns, begin.mono_ns + 600 * S);
    assert_true(record("for-ever", true, MLT_EVENT_TRADE, "E-F", NULL));
    /* Back and ahead again and again, at the end an hour ahead: the times of each clock in turn. */
    for (int i = 1; i <= 10; i++) {
        const struct mlt_live_clocks back = after(i * S, -HOUR), ahead = after(i * S, HOUR);
        mlt_live_tell_leases(&live, &back);
        assert_int_equal(item->lease_end_ns, NOW - HOUR + 600 * S);
        mlt_live_tell_leases(&live, &ahead);
        assert_int_equal(item->lease_end_ns, NOW + HOUR + 600 * S);
    }
    assert_int_equal(item->lease_over_ns, begin.mono_ns + 600 * S);
    assert_int_equal(mlt_live_find(&live, "for-ever")->lease_end_ns, 0);
    assert_ptr_equal(mlt_live_next_lease(&live), item);
}

/* The monotonic clock stands still meanwhile: what was left is left still. */
static void test_a_suspended_machine_leaves_a_lease_what_it_had(void **state)
{
    (void)state;
    struct mlt_live_item *item = lease("leased", NOW, 600 * S, false, begin);
    const struct mlt_live_clocks resumed = after(100 * S, 24 * HOUR);
    mlt_live_tell_leases(&live, &resumed);
    assert_int_equal(item->lease_over_ns, resumed.mono_ns + 500 * S);
    assert_int_equal(item->lease_end_ns, resumed.wall_ns + 500 * S);
}

/* Written before a step, read after it; then one that is of the new time. */
static void test_a_renewal_around_a_step_lasts_what_it_says(void **state)
{
    (void)state;
    for (int64_t step = -HOUR; step <= HOUR; step += 2 * HOUR) {
        (void)lease("leased", NOW, 60 * S, false, begin);
        const struct mlt_live_clocks now = after(30 * S, step);
        mlt_live_tell_leases(&live, &now);
        struct mlt_live_item *item = lease("leased", NOW + 30 * S, 60 * S, false, now);
        assert_int_equal(item->lease_over_ns, now.mono_ns + 60 * S);
        assert_int_equal(item->lease_end_ns, now.wall_ns + 60 * S);
        const struct mlt_live_clocks then = after(50 * S, step);
        item = lease("leased", then.wall_ns, 60 * S, false, then);
        mlt_live_tell_leases(&live, &then); /* the step is seen only now */
        assert_int_equal(item->lease_over_ns, then.mono_ns + 60 * S);
        assert_int_equal(item->lease_end_ns, then.wall_ns + 60 * S);
    }
}

/* An answer says the end that its Control Bus wrote; one that differs by a bit stays as it said. */
static void test_a_little_difference_of_clocks_is_not_told(void **state)
{
    (void)state;
    const struct mlt_live_item *item = lease("leased", NOW - 3 * S, 60 * S, false, begin);
    assert_int_equal(item->lease_end_ns, NOW + 57 * S);
    assert_int_equal(item->lease_over_ns, begin.mono_ns + 60 * S);
}

static void test_a_lease_of_an_old_record_lasts_what_is_left_of_it_and_never_more(void **state)
{
    (void)state;
    const struct mlt_live_item *item = lease("leased", NOW - 100 * S, 600 * S, true, begin);
    assert_int_equal(item->lease_over_ns, begin.mono_ns + 500 * S);
    assert_int_equal(item->lease_end_ns, NOW + 500 * S);
    /* The clock was set back since, from a year ahead. */
    item = lease("leased", NOW + 8760 * HOUR, 600 * S, true, begin);
    assert_int_equal(item->lease_over_ns, begin.mono_ns + 600 * S);
    assert_int_equal(item->lease_end_ns, NOW + 600 * S);
    item = lease("leased", NOW - 700 * S, 600 * S, true, begin);
    assert_int_equal(item->lease_over_ns, begin.mono_ns);
    assert_int_equal(item->lease_end_ns, NOW - 100 * S);
}

static void test_leases_past_the_end_of_the_clock_end_there(void **state)
{
    (void)state;
    struct mlt_live_item *item = lease("leased", NOW, INT64_MAX - NOW, false, begin);
    const struct mlt_live_clocks ahead = after(S, HOUR), lost = { INT64_MIN, 2000 * S };
    mlt_live_tell_leases(&live, &ahead);
    assert_true(item->lease_end_ns == INT64_MAX);
    item->lease_over_ns = INT64_MAX;
    mlt_live_tell_leases(&live, &ahead);
    assert_true(item->lease_end_ns == INT64_MAX && item->lease_over_ns == INT64_MAX);
    mlt_live_tell_leases(&live, &lost);
    assert_int_equal(item->lease_end_ns, 1); /* not none */
    Meltica__V1__ControlRecord r;
    meltica__v1__control_record__init(&r);
    r.time = UINT64_MAX;
    mlt_live_lease(item, &r, true, &begin);
    assert_int_equal(item->lease_over_ns, begin.mono_ns);
}

static void test_what_no_control_bus_writes_changes_nothing(void **state)
{
    (void)state;
    char name[] = "x", bad[] = "A B", good[] = "A-B";
    char *instruments[] = { good };
    struct mlt_live_item *released = NULL;
    bool changed = false;
    Meltica__V1__ControlRecord r;
    meltica__v1__control_record__init(&r);
    r.subscription = r.principal = r.consumer = name;
    r.active = true;
    r.type = MELTICA__V1__EVENT_TYPE__TRADE;
    r.instruments = instruments;
    assert_int_equal(mlt_live_apply(&live, table, &r, 1, &released, &changed), MLT_E_PROTOCOL);
    r.n_instruments = 1;
    r.type = MELTICA__V1__EVENT_TYPE__TICKER; /* no route */
    assert_int_equal(mlt_live_apply(&live, table, &r, 1, &released, &changed), MLT_E_PROTOCOL);
    r.type = (Meltica__V1__EventType)99;
    assert_int_equal(mlt_live_apply(&live, table, &r, 1, &released, &changed), MLT_E_PROTOCOL);
    r.type = MELTICA__V1__EVENT_TYPE__TRADE;
    instruments[0] = bad;
    assert_int_equal(mlt_live_apply(&live, table, &r, 1, &released, &changed), MLT_E_PROTOCOL);
    assert_int_equal(live.count, 0);
    assert_false(changed);
}

/* Whoever finds terms whose hash is another's id (64 bits) must get nothing by it. */
static void test_an_id_is_not_taken_from_its_owner(void **state)
{
    (void)state;
    char id[] = "one", desk[] = "desk", thief[] = "thief", token[] = "C-D";
    char *instruments[] = { token };
    struct mlt_live_item *released = NULL;
    bool changed = false;
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", NULL));
    for (int active = 0; active < 2; active++) {
        for (int who = 0; who < 2; who++) {
            Meltica__V1__ControlRecord r;
            meltica__v1__control_record__init(&r);
            r.subscription = id;
            r.principal = who == 0 ? thief : desk;
            r.consumer = who == 0 ? desk : thief;
            r.type = MELTICA__V1__EVENT_TYPE__TRADE;
            r.instruments = instruments;
            r.n_instruments = 1;
            r.active = active;
            assert_int_equal(mlt_live_apply(&live, table, &r, ++sequence, &released, &changed),
                             MLT_E_PROTOCOL);
            assert_false(changed);
            assert_null(released);
        }
    }
    assert_string_equal(mlt_live_find(&live, "one")->subscription.patterns[0], "A-B");
    assert_int_equal(mlt_live_find(&live, "one")->sequence, 1);
    assert_true(record("one", false, 0, NULL, NULL)); /* its owner may */
}

/* ---- private lanes ---- */

static enum mlt_status lane(const char *id, bool private_lane, const char *pattern)
{
    char name[32], token[32];
    char *instruments[] = { token };
    struct mlt_live_item *released = NULL;
    bool changed = false;
    Meltica__V1__ControlRecord r;
    meltica__v1__control_record__init(&r);
    (void)snprintf(name, sizeof name, "%s", id);
    (void)snprintf(token, sizeof token, "%s", pattern != NULL ? pattern : "");
    r.subscription = r.principal = r.consumer = name;
    r.type = MELTICA__V1__EVENT_TYPE__TRADE;
    r.active = pattern != NULL;
    r.private_lane = private_lane;
    r.instruments = instruments;
    r.n_instruments = pattern != NULL ? 1 : 0;
    enum mlt_status status = mlt_live_apply(&live, table, &r, ++sequence, &released, &changed);
    if (status == MLT_OK && changed) {
        status = mlt_catalogue_follow(catalogue, &live, mlt_live_find(&live, name));
        if (status != MLT_OK) {
            mlt_live_undo(&live, name, released);
            released = NULL;
        }
    }
    mlt_live_release(released);
    return status;
}

static void test_no_more_lanes_than_the_data_bus_holds(void **state)
{
    (void)state;
    char id[32];
    for (unsigned i = 0; i < MLT_LIVE_LANES_MAX; i++) {
        (void)snprintf(id, sizeof id, "lane%u", i);
        assert_int_equal(lane(id, true, "A-B"), MLT_OK);
    }
    assert_int_equal(lane("more", true, "A-B"), MLT_E_LIMIT);
    assert_null(mlt_live_find(&live, "more"));
    assert_int_equal(lane("more", false, "A-B"), MLT_OK); /* the shared one */
    assert_int_equal(lane("more", true, "A-B"), MLT_E_LIMIT);
    assert_int_equal(lane("lane7", true, "C-D"), MLT_OK); /* in its own place */
    assert_int_equal(lane("lane7", false, NULL), MLT_OK);
    assert_int_equal(lane("more", true, "A-B"), MLT_OK);
    assert_int_equal(live.lanes, MLT_LIVE_LANES_MAX);
    assert_int_equal(lane("lane7", true, "A-B"), MLT_E_LIMIT);
}

static void test_no_more_instruments_of_lanes_than_the_data_bus_holds(void **state)
{
    (void)state;
    const struct mlt_instrument instrument = { .status = MLT_SLICE_LITERAL("TRADING") };
    const struct mlt_catalogue_entry *entry = NULL;
    char text[32];
    for (unsigned i = 0; i < 1024; i++) {
        (void)snprintf(text, sizeof text, "C%u-USDT", i);
        assert_int_equal(
            mlt_catalogue_listing(catalogue, mlt_slice_of_string(text), &instrument, &entry),
            MLT_OK);
    }
    assert_int_equal(lane("shared", false, "*-USDT"), MLT_OK);
    for (unsigned i = 0; i < MLT_CATALOGUE_LANE_PLACES_MAX / 1024; i++) {
        (void)snprintf(text, sizeof text, "lane%u", i);
        assert_int_equal(lane(text, true, "*-USDT"), MLT_OK);
    }
    const uint64_t revision = mlt_catalogue_revision(catalogue);
    assert_int_equal(lane("more", true, "A-B"), MLT_E_LIMIT);
    assert_int_equal(lane("more", true, "*-USDT"), MLT_E_LIMIT);
    assert_null(mlt_live_find(&live, "more"));
    assert_int_equal(mlt_catalogue_revision(catalogue), revision);
    assert_int_equal(types_of("A-B"), BBO_BIT);
    assert_int_equal(lane("other", false, "A-B"), MLT_OK); /* shared */
    assert_int_equal(lane("lane3", true, NULL), MLT_OK);
    assert_int_equal(lane("more", true, "A-B"), MLT_OK);
    assert_int_equal(lane("lane3", true, "*-USDT"), MLT_E_LIMIT);
}

static void test_undo_brings_back_what_was(void **state)
{
    (void)state;
    struct mlt_live_item *released = NULL;
    bool changed = false;
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", NULL));
    char name[] = "one", desk[] = "desk", token[] = "C-D";
    char *instruments[] = { token };
    Meltica__V1__ControlRecord r;
    meltica__v1__control_record__init(&r);
    r.subscription = name;
    r.principal = r.consumer = desk;
    r.type = MELTICA__V1__EVENT_TYPE__TRADE;
    r.instruments = instruments;
    r.n_instruments = 1;
    r.active = true;
    assert_int_equal(mlt_live_apply(&live, table, &r, 2, &released, &changed), MLT_OK);
    assert_string_equal(mlt_live_find(&live, "one")->subscription.patterns[0], "C-D");
    mlt_live_undo(&live, "one", released);
    assert_string_equal(mlt_live_find(&live, "one")->subscription.patterns[0], "A-B");
    r.active = false;
    assert_int_equal(mlt_live_apply(&live, table, &r, 3, &released, &changed), MLT_OK);
    assert_null(mlt_live_find(&live, "one"));
    mlt_live_undo(&live, "one", released);
    assert_int_equal(live.count, 1);
    char other[] = "two";
    r.subscription = other;
    r.active = true;
    assert_int_equal(mlt_live_apply(&live, table, &r, 4, &released, &changed), MLT_OK);
    mlt_live_undo(&live, "two", released);
    assert_null(mlt_live_find(&live, "two"));
    assert_int_equal(live.count, 1);
    assert_int_equal(live.patterns, 1);
}

/* ---- confirmation ---- */

static struct mlt_confirm confirm;
static struct mlt_confirm_answer answer;

static uint64_t its_partitions; /* of who is heard; 0: all */
static const char *its_reason = "because";
static uint32_t its_failed;     /* how many it says */
static uint64_t its_dispatcher; /* that its plan is of; 0: it does not say */

static void heard(const char *instance, uint64_t revision, uint32_t pending, const char *token,
                  uint32_t route, const char *state_word)
{
    Meltica__V1__PlanStatus status;
    Meltica__V1__PlanStatus__Topic topic, *topics[] = { &topic };
    uint8_t bytes[512];
    char name[32], instrument[32], word[16], reason[32];
    meltica__v1__plan_status__init(&status);
    meltica__v1__plan_status__topic__init(&topic);
    (void)snprintf(name, sizeof name, "%s", instance);
    (void)snprintf(instrument, sizeof instrument, "%s", token);
    (void)snprintf(word, sizeof word, "%s", state_word);
    (void)snprintf(reason, sizeof reason, "%s", its_reason);
    status.instance = name;
    status.revision = revision;
    status.applied = true;
    status.partitions = its_partitions;
    status.dispatcher = its_dispatcher;
    status.topics_pending = pending;
    status.topics_failed = its_failed;
    topic.instrument = instrument;
    topic.route = route;
    topic.state = word;
    topic.reason = reason;
    status.problems = topics;
    status.n_problems = route > 0 ? 1 : 0;
    const size_t len = meltica__v1__plan_status__pack(&status, bytes);
    Meltica__V1__PlanStatus *copy = meltica__v1__plan_status__unpack(NULL, len, bytes);
    assert_non_null(copy);
    mlt_confirm_heard(&confirm, copy, 0);
}

static enum mlt_live_state judged(int64_t now_ns)
{
    mlt_confirm_judge(&confirm, table, &mlt_live_find(&live, "one")->subscription, 101, now_ns,
                      &answer);
    return answer.state;
}

static void test_confirmed_is_what_every_adapter_has_and_the_exchange_took(void **state)
{
    (void)state;
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", "*-D"));
    assert_int_equal(judged(0), MLT_LIVE_PENDING); /* nobody is there */
    heard("x", 100, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_PENDING); /* an earlier plan */
    heard("x", 101, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    heard("y", 100, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_PENDING); /* another one lags */
    heard("y", 101, 1, "C-D", 1, "PENDING");
    assert_int_equal(judged(0), MLT_LIVE_PENDING);
    assert_int_equal(answer.pending, 1);
    heard("y", 101, 0, "C-D", 1, "SILENT"); /* acknowledged */
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    heard("y", 101, 0, "C-D", 1, "FAILED");
    assert_int_equal(judged(0), MLT_LIVE_FAILED);
    assert_string_equal(answer.problems[0].reason, "because");
    heard("y", 101, 0, "C-D", 2, "FAILED"); /* BBO: not this one's */
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    heard("y", 101, 1, "E-F", 1, "PENDING"); /* nor this instrument */
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    heard("y", 101, 2, "E-F", 1, "PENDING"); /* one more is pending than is told */
    assert_int_equal(judged(0), MLT_LIVE_PENDING);
    assert_int_equal(judged(MLT_ADAPTER_AWAY_NS), MLT_LIVE_PENDING); /* both are gone */
    mlt_confirm_fini(&confirm);
}

static void test_confirmed_is_nothing_while_more_failed_than_is_told(void **state)
{
    (void)state;
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", "*-D"));
    its_failed = 1;
    heard("x", 101, 0, "E-F", 1, "FAILED"); /* another one's, and it is the only one */
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    its_failed = 2;
    heard("x", 101, 0, "E-F", 1, "FAILED"); /* which is the other one? */
    assert_int_equal(judged(0), MLT_LIVE_PENDING);
    heard("x", 101, 0, "C-D", 1, "FAILED");
    assert_int_equal(judged(0), MLT_LIVE_FAILED);
    its_failed = 0;
    mlt_confirm_fini(&confirm);
}

static void test_a_pattern_does_not_fail_by_what_was_taken_off_the_list(void **state)
{
    (void)state;
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", "*-D"));
    its_reason = "unknown_symbol";
    its_failed = 1;
    heard("x", 101, 0, "C-D", 1, "FAILED");
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    assert_int_equal(answer.failed, 0);
    heard("x", 101, 0, "A-B", 1, "FAILED"); /* which it names */
    assert_int_equal(judged(0), MLT_LIVE_FAILED);
    its_reason = "because"; /* a refusal is one also of what a pattern matches */
    heard("x", 101, 0, "C-D", 1, "FAILED");
    assert_int_equal(judged(0), MLT_LIVE_FAILED);
    its_failed = 0;
    mlt_confirm_fini(&confirm);
}

static void test_confirmed_is_nothing_whose_adapter_is_not_there(void **state)
{
    (void)state;
    confirm.partitions = 4;
    const uint32_t partition = mlt_instrument_slot(MLT_SLICE_LITERAL("A-B")) % 4;
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", "A-B"));
    its_partitions = UINT64_C(0xf) & ~(UINT64_C(1) << partition);
    heard("x", 101, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_PENDING);
    assert_string_equal(answer.reason, "the Adapter of some of its instruments is not there");
    its_partitions = UINT64_C(1) << partition;
    heard("y", 101, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    mlt_confirm_fini(&confirm);
    heard("y", 101, 0, "", 0, ""); /* alone: enough for that instrument, not for a pattern */
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", "*-D"));
    assert_int_equal(judged(0), MLT_LIVE_PENDING);
    its_partitions = 0;
    heard("y", 101, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    mlt_confirm_fini(&confirm);
    confirm.partitions = 0;
}

/* The one before counted from a later time: its revision is above ours, and its plan lacks what we
 * were asked for. */
static void test_confirmed_is_nothing_by_another_dispatchers_revision(void **state)
{
    (void)state;
    confirm.boot = 2;
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", "A-B"));
    its_dispatcher = 1;
    heard("x", 900, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_PENDING);
    assert_string_equal(answer.reason, "an Adapter has not taken the plan yet");
    its_dispatcher = 2;
    heard("x", 101, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    heard("y", 101, 0, "", 0, "");
    its_dispatcher = 1;
    heard("y", 102, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_PENDING); /* one of two */
    its_dispatcher = 0;
    heard("y", 101, 0, "", 0, ""); /* it does not know that word */
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    mlt_confirm_fini(&confirm);
    confirm.boot = 0;
}

/* Of two Adapters that have the same plan the one that spoke last for a partition tells of it; what
 * the other one said, for as long as it would count, is of no more use. */
static void test_confirmed_is_by_whoever_speaks_for_a_partition_last(void **state)
{
    (void)state;
    confirm.partitions = 4;
    const uint32_t partition = mlt_instrument_slot(MLT_SLICE_LITERAL("A-B")) % 4;
    assert_true(record("one", true, MLT_EVENT_TRADE, "A-B", "A-B"));
    its_partitions = UINT64_C(0xf);
    heard("x", 100, 1, "A-B", 1, "PENDING");
    assert_int_equal(judged(0), MLT_LIVE_PENDING);
    its_partitions = UINT64_C(1) << partition;
    heard("y", 101, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_PENDING); /* x still tells of the others */
    its_partitions = UINT64_C(0xf) & ~its_partitions;
    heard("y", 101, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_PENDING); /* y tells of those only, and x of none */
    assert_string_equal(answer.reason, "the Adapter of some of its instruments is not there");
    its_partitions = UINT64_C(0xf);
    heard("y", 101, 0, "", 0, "");
    assert_int_equal(judged(0), MLT_LIVE_CONFIRMED);
    heard("x", 100, 0, "", 0, ""); /* it has them back, with an old plan */
    assert_int_equal(judged(0), MLT_LIVE_PENDING);
    assert_string_equal(answer.reason, "an Adapter has not taken the plan yet");
    its_partitions = 0;
    mlt_confirm_fini(&confirm);
    confirm.partitions = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_who_leaves_takes_only_what_nobody_else_asks_for),
        TEST(test_a_subscription_made_while_events_flow_begins_once),
        TEST(test_the_revision_grows_with_what_changes_and_with_nothing_else),
        TEST(test_no_step_of_the_wall_clock_ends_a_lease_or_makes_it_last),
        TEST(test_a_suspended_machine_leaves_a_lease_what_it_had),
        TEST(test_a_renewal_around_a_step_lasts_what_it_says),
        TEST(test_a_little_difference_of_clocks_is_not_told),
        TEST(test_a_lease_of_an_old_record_lasts_what_is_left_of_it_and_never_more),
        TEST(test_leases_past_the_end_of_the_clock_end_there),
        TEST(test_what_no_control_bus_writes_changes_nothing),
        TEST(test_an_id_is_not_taken_from_its_owner),
        TEST(test_no_more_lanes_than_the_data_bus_holds),
        TEST(test_no_more_instruments_of_lanes_than_the_data_bus_holds),
        TEST(test_undo_brings_back_what_was),
        TEST(test_confirmed_is_what_every_adapter_has_and_the_exchange_took),
        TEST(test_confirmed_is_nothing_while_more_failed_than_is_told),
        TEST(test_a_pattern_does_not_fail_by_what_was_taken_off_the_list),
        TEST(test_confirmed_is_nothing_whose_adapter_is_not_there),
        TEST(test_confirmed_is_nothing_by_another_dispatchers_revision),
        TEST(test_confirmed_is_by_whoever_speaks_for_a_partition_last),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
