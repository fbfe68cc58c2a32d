#include "mlt_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "meltica/base/clock.h"
#include "quota.h"

static const struct mlt_role role = {
    .name = "trader", .subscriptions = 3, .streams = 10, .wildcard_matches = 5
};
static char desk[] = "desk", a[] = "a", b[] = "b", s1[] = "s1", s2[] = "s2", btc[] = "BTC-USDT",
            usdt[] = "*-USDT", eur[] = "*-EUR";
static char *wild[] = { usdt, btc }, *plain[] = { btc }, *wild_eur[] = { eur };
static Meltica__V1__TableSubscription live[3];
static Meltica__V1__TableSubscription *lives[] = { &live[0], &live[1], &live[2] };
static struct mlt_control_refusal refusal;

/* a holds *-USDT and BTC-USDT; b holds *-EUR; the file has BTC-USDT. */
static Meltica__V1__Table make_table(size_t subscriptions)
{
    Meltica__V1__Table table;
    meltica__v1__table__init(&table);
    for (size_t i = 0; i < 3; i++) {
        meltica__v1__table_subscription__init(&live[i]);
        live[i].consumer = desk;
    }
    live[0].id = s1;
    live[0].principal = a;
    live[0].instruments = wild;
    live[0].n_instruments = 2;
    live[1].id = s2;
    live[1].principal = b;
    live[1].instruments = wild_eur;
    live[1].n_instruments = 1;
    live[2].instruments = plain;
    live[2].n_instruments = 1;
    live[2].consumer = (char *)(uintptr_t)protobuf_c_empty_string;
    table.n_subscriptions = subscriptions;
    table.subscriptions = lives;
    return table;
}

static enum mlt_status ask(struct mlt_quota *q, unsigned ticket, const Meltica__V1__Table *table,
                           const char *subscription, int64_t streams, int64_t matches)
{
    static char *patterns[] = { usdt };
    static const uint32_t covered[] = { 4 };
    const struct mlt_quota_question question = { .role = &role,
                                                 .principal = "a",
                                                 .subscription = subscription,
                                                 .size = { streams, matches },
                                                 .table = table,
                                                 .patterns = patterns,
                                                 .matches = covered,
                                                 .pattern_count = 1 };
    memset(&refusal, 0, sizeof refusal);
    return mlt_quota_grant(q, ticket, &question, &refusal);
}

static void test_what_is_live_counts(void **state)
{
    (void)state;
    struct mlt_quota *q = NULL;
    unsigned ticket = 0;
    char *patterns[4];
    size_t count = 0;
    Meltica__V1__Table table = make_table(3);
    assert_int_equal(mlt_quota_create(&q), MLT_OK);
    assert_int_equal(mlt_quota_patterns(&table, "a", patterns, 4, &count), MLT_OK);
    assert_int_equal(count, 1);
    assert_string_equal(patterns[0], "*-USDT");
    assert_int_equal(mlt_quota_patterns(&table, "a", patterns, 0, &count), MLT_E_FULL);
    assert_int_equal(mlt_quota_enter(q, "a", &ticket), MLT_OK);
    /* 4 by *-USDT and BTC-USDT: 5 of 10 streams, 4 of 5 matches. */
    assert_int_equal(ask(q, ticket, &table, "n1", 6, 0), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 429);
    assert_string_equal(refusal.field, "instruments");
    assert_int_equal(ask(q, ticket, &table, "n1", 2, 2), MLT_E_PROTOCOL);
    assert_non_null(strstr(refusal.message, "4 instruments by patterns"));
    assert_int_equal(ask(q, ticket, &table, "n1", 5, 1), MLT_OK);
    mlt_quota_leave(q, ticket, MLT_QUOTA_NOTHING, 0);
    /* What is renewed or replaced is not counted twice. */
    assert_int_equal(mlt_quota_enter(q, "a", &ticket), MLT_OK);
    assert_int_equal(ask(q, ticket, &table, "s1", 10, 5), MLT_OK);
    mlt_quota_leave(q, ticket, MLT_QUOTA_NOTHING, 0);
    mlt_quota_destroy(q);
}

static void test_a_limit_of_nothing_is_a_denial(void **state)
{
    (void)state;
    static const struct mlt_role viewer = { .name = "viewer" };
    struct mlt_quota *q = NULL;
    unsigned ticket = 0;
    Meltica__V1__Table table = make_table(0);
    const struct mlt_quota_question question = {
        .role = &viewer, .principal = "a", .subscription = "n", .size = { 1, 0 }, .table = &table
    };
    assert_int_equal(mlt_quota_create(&q), MLT_OK);
    assert_int_equal(mlt_quota_enter(q, "a", &ticket), MLT_OK);
    assert_int_equal(mlt_quota_grant(q, ticket, &question, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 403);
    mlt_quota_destroy(q);
}

static void test_what_is_on_its_way_counts(void **state)
{
    (void)state;
    struct mlt_quota *q = NULL;
    unsigned first = 0, second = 0, third = 0;
    Meltica__V1__Table none = make_table(0);
    assert_int_equal(mlt_quota_create(&q), MLT_OK);
    assert_int_equal(mlt_quota_enter(q, "a", &first), MLT_OK);
    assert_int_equal(mlt_quota_enter(q, "a", &second), MLT_OK);
    assert_int_equal(ask(q, first, &none, "n1", 8, 0), MLT_OK);
    assert_int_equal(ask(q, second, &none, "n2", 8, 0), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 429);
    /* The first ended, but the table of the second is from before. */
    mlt_quota_leave(q, first, MLT_QUOTA_APPLIED, 0);
    assert_int_equal(ask(q, second, &none, "n2", 8, 0), MLT_E_PROTOCOL);
    mlt_quota_leave(q, second, MLT_QUOTA_NOTHING, 0);
    /* Who comes later has a table that says it, or that it is gone. */
    assert_int_equal(mlt_quota_enter(q, "a", &third), MLT_OK);
    assert_int_equal(ask(q, third, &none, "n3", 8, 0), MLT_OK);
    /* Another principal's are its own. */
    mlt_quota_leave(q, third, MLT_QUOTA_STORED, mlt_clock_mono_ns());
    assert_int_equal(mlt_quota_enter(q, "a", &first), MLT_OK);
    assert_int_equal(ask(q, first, &none, "n4", 8, 0), MLT_E_PROTOCOL);
    mlt_quota_forget(q, "a", "n3");
    assert_int_equal(ask(q, first, &none, "n4", 8, 0), MLT_OK);
    mlt_quota_leave(q, first, MLT_QUOTA_NOTHING, 0);
    /* What came to nothing holds nothing. */
    assert_int_equal(mlt_quota_enter(q, "a", &first), MLT_OK);
    assert_int_equal(ask(q, first, &none, "n5", 10, 0), MLT_OK);
    mlt_quota_destroy(q);
}

static void test_it_is_bounded(void **state)
{
    (void)state;
    struct mlt_quota *q = NULL;
    unsigned ticket = 0;
    assert_int_equal(mlt_quota_create(&q), MLT_OK);
    for (unsigned i = 0; i < MLT_QUOTA_ENTRIES_MAX; i++) {
        assert_int_equal(mlt_quota_enter(q, "a", &ticket), MLT_OK);
    }
    unsigned more = 0;
    assert_int_equal(mlt_quota_enter(q, "a", &more), MLT_E_FULL);
    mlt_quota_leave(q, ticket, MLT_QUOTA_NOTHING, 0);
    assert_int_equal(mlt_quota_enter(q, "a", &more), MLT_OK);
    mlt_quota_destroy(q);
}

/* ---- many at once ---- */

#define THREADS 8
#define ROUNDS 400

struct crowd {
    struct mlt_quota *q;
    pthread_barrier_t begin, judged;
    atomic_int granted;
};

static struct crowd crowd;

static void *take_part(void *ctx)
{
    const unsigned index = *(const unsigned *)ctx;
    char id[16];
    (void)snprintf(id, sizeof id, "t%u", index);
    for (int round = 0; round < ROUNDS; round++) {
        unsigned ticket = 0;
        Meltica__V1__Table none;
        meltica__v1__table__init(&none);
        struct mlt_control_refusal said;
        const struct mlt_quota_question question = {
            .role = &role, .principal = "a", .subscription = id, .size = { 1, 0 }, .table = &none
        };
        const bool entered = mlt_quota_enter(crowd.q, "a", &ticket) == MLT_OK;
        (void)pthread_barrier_wait(&crowd.begin);
        const bool granted =
            entered && mlt_quota_grant(crowd.q, ticket, &question, &said) == MLT_OK;
        atomic_fetch_add(&crowd.granted, granted);
        (void)pthread_barrier_wait(&crowd.judged);
        if (index == 0 && atomic_exchange(&crowd.granted, 0) != role.subscriptions) {
            atomic_store(&crowd.granted, -1000000);
        }
        mlt_quota_leave(crowd.q, ticket, MLT_QUOTA_NOTHING, 0);
        (void)pthread_barrier_wait(&crowd.begin);
    }
    return NULL;
}

static void test_of_many_at_once_so_many_are_granted_as_fit(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    unsigned index[THREADS];
    assert_int_equal(mlt_quota_create(&crowd.q), MLT_OK);
    assert_int_equal(pthread_barrier_init(&crowd.begin, NULL, THREADS), 0);
    assert_int_equal(pthread_barrier_init(&crowd.judged, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        index[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, take_part, &index[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&crowd.granted), 0);
    (void)pthread_barrier_destroy(&crowd.begin);
    (void)pthread_barrier_destroy(&crowd.judged);
    mlt_quota_destroy(crowd.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_live_counts),
        cmocka_unit_test(test_a_limit_of_nothing_is_a_denial),
        cmocka_unit_test(test_what_is_on_its_way_counts),
        cmocka_unit_test(test_it_is_bounded),
        cmocka_unit_test(test_of_many_at_once_so_many_are_granted_as_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
