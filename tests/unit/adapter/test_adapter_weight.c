/* Weight that several Adapters share: the ledger, reservations of it by compare-and-set on a store
 * of the test's, and the governor that lives on them. Time is the test's. */
#include "mlt_test.h"

#include <pthread.h>

#include "meltica/base/clock.h"
#include "reserve.h"
#include "rest.h"

#define S MLT_NS_PER_S
#define T0 (INT64_C(1700000000) * S)
#define POOL 1000u

/* ---- ledger ---- */

static struct mlt_ledger ledger;

static void set_up_ledger(void)
{
    mlt_ledger_begin(&ledger, 7, POOL, false, T0);
}

static struct mlt_ledger_want want_of(uint64_t boot, enum mlt_weight_class class, uint32_t least,
                                      uint32_t most)
{
    struct mlt_ledger_want want = {
        .boot = boot, .pool = POOL, .class = class, .least = least, .most = most
    };
    want.waiting[class] = most;
    return want;
}

static uint32_t reserve_at(const struct mlt_ledger_want *want, int64_t now)
{
    int64_t second = 0;
    return mlt_ledger_reserve(&ledger, want, now, &second);
}

static uint32_t reserve_of(uint64_t boot, enum mlt_weight_class class, uint32_t least,
                           uint32_t most, int64_t now)
{
    const struct mlt_ledger_want want = want_of(boot, class, least, most);
    return reserve_at(&want, now);
}

/* A grant is used up to USE_S later: what was granted in any 60 s and so much before is the pool at
 * most. */
static void test_no_minute_holds_more_than_the_pool_whenever_grants_are_used(void **state)
{
    (void)state;
    static uint32_t granted[400];
    set_up_ledger();
    uint32_t all = 0;
    for (int64_t s = 0; s < 400; s++) {
        for (uint64_t boot = 1; boot <= 3; boot++) {
            granted[s] += reserve_of(boot, MLT_WEIGHT_RESYNC, 5, 40, T0 + s * S + (int64_t)boot);
        }
        all += granted[s];
    }
    for (int64_t from = 0; from < 400 - 62; from++) {
        uint32_t sum = 0;
        for (int64_t s = from; s <= from + 62; s++) {
            sum += granted[s];
        }
        assert_true(sum <= POOL);
    }
    assert_true(all > 6 * POOL - POOL / 4); /* and nearly all of it is granted: 400 s in 63 each */
}

static void test_each_class_leaves_the_pool_to_those_before_it(void **state)
{
    (void)state;
    static const uint32_t most[MLT_WEIGHT_CLASS_COUNT] = { 1000, 1000, 900, 800, 800, 600 };
    for (unsigned class = 0; class < MLT_WEIGHT_CLASS_COUNT; class ++) {
        set_up_ledger();
        uint32_t sum = 0, got = 0;
        while ((got = reserve_of(1, (enum mlt_weight_class) class, 50, 50, T0)) > 0) {
            sum += got;
        }
        assert_int_equal(sum, most[class]);
    }
}

/* An Adapter with nothing but audits must not take what another's resyncs wait for. */
static void test_what_waits_elsewhere_in_a_higher_class_is_left_to_it(void **state)
{
    (void)state;
    set_up_ledger();
    assert_int_equal(reserve_of(1, MLT_WEIGHT_RESYNC, 1000, 1000, T0), 1000);
    const struct mlt_ledger_want resyncs = want_of(1, MLT_WEIGHT_RESYNC, 5, 400);
    assert_int_equal(reserve_at(&resyncs, T0 + 61 * S), 0);
    const int64_t free_at = T0 + (int64_t)MLT_LEDGER_SECONDS * S; /* the pool is free again */
    assert_int_equal(reserve_of(2, MLT_WEIGHT_DEPTH, 50, 1000, free_at), 400); /* of 800 */
    assert_int_equal(reserve_of(2, MLT_WEIGHT_DEPTH, 50, 1000, free_at), 0);
    assert_int_equal(reserve_of(1, MLT_WEIGHT_RESYNC, 5, 400, free_at), 400);
    assert_int_equal(reserve_of(2, MLT_WEIGHT_RESYNC, 5, 400, free_at), 200);
}

/* It died with its need: it is heard for some seconds, not for ever. */
static void test_whoever_is_silent_waits_for_nothing(void **state)
{
    (void)state;
    set_up_ledger();
    struct mlt_ledger_want dies = want_of(1, MLT_WEIGHT_RESYNC, 5, 5);
    dies.waiting[MLT_WEIGHT_RESYNC] = 5000;
    assert_int_equal(reserve_at(&dies, T0 + 70 * S), 5);
    assert_int_equal(reserve_of(2, MLT_WEIGHT_AUDIT, 5, 5, T0 + 71 * S), 0);
    assert_int_equal(reserve_of(2, MLT_WEIGHT_AUDIT, 5, 5, T0 + (71 + MLT_LEDGER_HEARD_S) * S), 5);
}

static void test_those_of_one_class_share_by_what_they_wait_for(void **state)
{
    (void)state;
    set_up_ledger();
    struct mlt_ledger_want one = want_of(1, MLT_WEIGHT_FIRST, 5, 5), two = one;
    one.waiting[MLT_WEIGHT_FIRST] = 3005;
    assert_int_equal(reserve_at(&one, T0), 5); /* 3,000 wait on */
    two.boot = 2;
    two.most = two.waiting[MLT_WEIGHT_FIRST] = 1000;
    assert_int_equal(reserve_at(&two, T0), 895 / 4); /* of 895 that are left a quarter */
}

static void test_what_is_given_back_is_free_again(void **state)
{
    (void)state;
    int64_t second = 0;
    set_up_ledger();
    struct mlt_ledger_want want = want_of(1, MLT_WEIGHT_RESYNC, 1000, 1000);
    assert_int_equal(mlt_ledger_reserve(&ledger, &want, T0, &second), 1000);
    assert_int_equal(reserve_of(2, MLT_WEIGHT_RESYNC, 5, 5, T0 + S), 0);
    want = want_of(1, MLT_WEIGHT_RESYNC, 0, 0);
    want.returned = 300;
    want.returned_second = second;
    assert_int_equal(reserve_at(&want, T0 + 3 * S), 0);
    assert_int_equal(mlt_ledger_total(&ledger, T0 + 3 * S), 700);
    /* One that is out of the minute gives nothing back. */
    assert_int_equal(mlt_ledger_total(&ledger, T0 + 63 * S), 0);
    assert_int_equal(reserve_of(2, MLT_WEIGHT_RESYNC, 5, 5, T0 + 63 * S), 5);
    assert_int_equal(reserve_at(&want, T0 + 63 * S), 0);
    assert_int_equal(mlt_ledger_total(&ledger, T0 + 63 * S), 5);
}

static void test_a_call_heavier_than_the_pool_is_granted_alone(void **state)
{
    (void)state;
    set_up_ledger();
    assert_int_equal(reserve_of(1, MLT_WEIGHT_FIRST, 5, 5, T0), 5);
    assert_int_equal(reserve_of(1, MLT_WEIGHT_FIRST, 2000, 2000, T0 + S), 0);
    assert_int_equal(reserve_of(1, MLT_WEIGHT_FIRST, 2000, 2000, T0 + 63 * S), 2000);
    assert_int_equal(reserve_of(1, MLT_WEIGHT_RESYNC, 5, 5, T0 + 125 * S), 0);
}

static void test_a_refusal_of_the_exchange_holds_for_all(void **state)
{
    (void)state;
    set_up_ledger();
    struct mlt_ledger_want told = want_of(1, MLT_WEIGHT_AUDIT, 0, 0);
    told.blocked_until_ns = T0 + 30 * S;
    (void)reserve_at(&told, T0);
    assert_int_equal(reserve_of(2, MLT_WEIGHT_RESYNC, 5, 5, T0 + 30 * S - 1), 0);
    told.blocked_until_ns = T0 + 30 * S - 1; /* never shorter */
    (void)reserve_at(&told, T0 + 30 * S - 1);
    assert_true(ledger.blocked_until_ns == T0 + 30 * S);
    assert_int_equal(reserve_of(2, MLT_WEIGHT_RESYNC, 5, 5, T0 + 30 * S), 5);
}

/* Written by a wrong clock, or by hand: it would hold for years. */
static void test_a_refusal_longer_than_any_ban_is_dropped(void **state)
{
    (void)state;
    const int64_t longest = T0 + 3 * 24 * 3600 * S;
    set_up_ledger();
    ledger.blocked_until_ns = longest + 60 * S;
    assert_int_equal(reserve_of(2, MLT_WEIGHT_RESYNC, 5, 5, T0), 5);
    assert_int_equal(ledger.blocked_until_ns, 0);
    ledger.blocked_until_ns = longest;
    assert_int_equal(reserve_of(2, MLT_WEIGHT_RESYNC, 5, 5, T0), 0);
    assert_true(ledger.blocked_until_ns == longest);
}

static void test_clocks_that_differ_let_nothing_out_of_the_minute_early(void **state)
{
    (void)state;
    set_up_ledger();
    assert_int_equal(reserve_of(1, MLT_WEIGHT_RESYNC, 1000, 1000, T0 + 2 * S), 1000);
    /* A clock that is behind grants nothing more, nor loses what is there. */
    assert_int_equal(reserve_of(2, MLT_WEIGHT_RESYNC, 5, 5, T0), 0);
    assert_int_equal(mlt_ledger_total(&ledger, T0), 1000);
    /* One that is far ahead wrote it: it would be full for an hour. It is for a minute. */
    mlt_ledger_begin(&ledger, 7, POOL, false, T0 + 3600 * S);
    assert_int_equal(reserve_of(1, MLT_WEIGHT_RESYNC, 5, 5, T0), 0);
    assert_int_equal(reserve_of(1, MLT_WEIGHT_RESYNC, 5, 5, T0 + 62 * S), 0);
    assert_int_equal(reserve_of(1, MLT_WEIGHT_RESYNC, 5, 5, T0 + 63 * S), 5);
}

static void test_a_ledger_is_read_as_it_was_written(void **state)
{
    (void)state;
    set_up_ledger();
    for (int64_t s = 0; s < 100; s++) {
        (void)reserve_of((uint64_t)(s % 20 + 1), MLT_WEIGHT_FIRST, 5, 5 + (uint32_t)s % 7,
                         T0 + s * S);
    }
    struct mlt_ledger_want told = want_of(1, MLT_WEIGHT_AUDIT, 0, 0);
    told.blocked_until_ns = T0 + 3000 * S;
    (void)reserve_at(&told, T0 + 100 * S);
    struct mlt_buf bytes;
    struct mlt_ledger read;
    mlt_buf_init(&bytes, MLT_LEDGER_BYTES_MAX);
    assert_int_equal(mlt_ledger_encode(&ledger, &bytes), MLT_OK);
    assert_int_equal(mlt_ledger_decode(mlt_buf_view(&bytes), &read), MLT_OK);
    assert_true(read.born == 7 && read.second == ledger.second);
    assert_memory_equal(read.granted, ledger.granted, sizeof read.granted);
    assert_true(read.blocked_until_ns == ledger.blocked_until_ns);
    /* Who was heard lately, and nobody else. */
    assert_int_equal(read.holders[0].boot != 0 && read.holders[3].boot != 0, true);
    assert_int_equal(read.holders[4].boot, 0);
    unsigned refused = 0;
    for (size_t len = 0; len < bytes.len; len++) { /* one that is cut forgets no grant */
        if (mlt_ledger_decode(mlt_slice_of(bytes.data, len), &read) == MLT_OK) {
            assert_memory_equal(read.granted, ledger.granted, sizeof read.granted);
        } else {
            refused++;
        }
    }
    assert_true(refused > MLT_LEDGER_SECONDS);
    mlt_buf_fini(&bytes);
}

/* Its window would begin before 1970, where seconds have no place of their own. */
static void test_a_ledger_of_the_first_minute_of_1970_is_none(void **state)
{
    (void)state;
    struct mlt_ledger read;
    for (int64_t s = 1; s <= (int64_t)MLT_LEDGER_SECONDS; s++) {
        struct mlt_buf bytes;
        mlt_buf_init(&bytes, MLT_LEDGER_BYTES_MAX);
        mlt_ledger_begin(&ledger, 7, 2400, true, s * S);
        assert_int_equal(mlt_ledger_encode(&ledger, &bytes), MLT_OK);
        const bool is = s == (int64_t)MLT_LEDGER_SECONDS;
        assert_int_equal(mlt_ledger_decode(mlt_buf_view(&bytes), &read), is ? MLT_OK : MLT_E_PARSE);
        mlt_buf_fini(&bytes);
    }
    assert_memory_equal(read.granted, ledger.granted, sizeof read.granted);
}

/* ---- reservations on a store ---- */

struct fake_store {
    pthread_mutex_t lock;
    uint8_t bytes[MLT_LEDGER_BYTES_MAX];
    size_t len;
    uint64_t revision;     /* 0: there is no key */
    enum mlt_status fails; /* of updates; OK: none */
    bool written_all_the_same;
    uint64_t lost; /* revisions of the buckets before */
};

static enum mlt_status fake_get(void *ctx, struct mlt_buf *value, uint64_t *revision,
                                struct mlt_error *err)
{
    struct fake_store *store = ctx;
    (void)err;
    (void)pthread_mutex_lock(&store->lock);
    enum mlt_status status = MLT_E_NOT_FOUND;
    if (store->revision != 0) {
        *revision = store->revision;
        status = mlt_buf_append(value, store->bytes, store->len);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

static enum mlt_status fake_update(void *ctx, struct mlt_slice value, uint64_t expected,
                                   uint64_t *revision, struct mlt_error *err)
{
    struct fake_store *store = ctx;
    (void)err;
    (void)pthread_mutex_lock(&store->lock);
    enum mlt_status status = store->fails;
    if (status == MLT_OK || store->written_all_the_same) {
        if (expected != store->revision) {
            status = MLT_E_CONFLICT;
        } else {
            assert_true(value.len <= sizeof store->bytes);
            memcpy(store->bytes, value.data, value.len);
            store->len = value.len;
            store->revision += store->revision == 0 ? store->lost + 1 : 1;
            *revision = store->revision;
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

static struct fake_store fake = { .lock = PTHREAD_MUTEX_INITIALIZER };
static _Atomic int64_t time_ns;

static int64_t test_time(void *ctx)
{
    (void)ctx;
    return time_ns;
}
static const struct mlt_clock test_clock = { test_time, test_time, NULL };

static void open_holder(struct mlt_reserve *holder, uint64_t seed)
{
    const struct mlt_reserve_store store = { fake_get, fake_update, &fake };
    mlt_reserve_init(holder, &store, &test_clock, seed);
}

/* As a bucket that is made again: its revisions are above all before. */
static void lose_store(void)
{
    fake.lost += fake.revision + 1000;
    fake.revision = 0;
}

static int set_up_store(void **state)
{
    (void)state;
    fake.revision = 0;
    fake.len = 0;
    fake.fails = MLT_OK;
    fake.written_all_the_same = false;
    fake.lost = 0;
    time_ns = T0;
    return 0;
}

static struct mlt_reserve_result result;

static enum mlt_status reserve_by(struct mlt_reserve *holder, uint64_t boot, uint32_t least,
                                  uint32_t most)
{
    const struct mlt_ledger_want want = want_of(boot, MLT_WEIGHT_RESYNC, least, most);
    struct mlt_error err = MLT_ERROR_INIT;
    return mlt_reserve(holder, &want, 0, &result, &err);
}

static void test_two_holders_see_each_others_grants(void **state)
{
    (void)state;
    struct mlt_reserve one, two;
    open_holder(&one, 1);
    open_holder(&two, 2);
    assert_int_equal(reserve_by(&one, 1, 600, 600), MLT_OK);
    assert_int_equal(result.weight, 600);
    assert_true(result.began && result.expires_ns == T0 + (int64_t)MLT_LEDGER_USE_S * S);
    assert_int_equal(reserve_by(&two, 2, 5, 600), MLT_OK);
    assert_int_equal(result.weight, 400);
    assert_int_equal(result.total, 1000);
    assert_int_equal(result.heard, 2);
    assert_false(result.began);
    /* The first one does not know yet: its write is refused, and it reads. */
    assert_int_equal(reserve_by(&one, 1, 5, 5), MLT_OK);
    assert_int_equal(result.weight, 0);
    assert_int_equal(result.conflicts, 1);
}

/* ---- races: many threads, one store ---- */

#define RACERS 4u
#define ROUNDS 400u

struct racer {
    pthread_t thread;
    struct mlt_reserve holder;
    uint64_t boot;
    uint64_t granted;
    bool failed;
};

static void *race(void *argument)
{
    struct racer *racer = argument;
    for (unsigned i = 0; i < ROUNDS && !racer->failed; i++) {
        const struct mlt_ledger_want want = want_of(racer->boot, MLT_WEIGHT_RESYNC, 1, 3);
        struct mlt_reserve_result got;
        struct mlt_error err = MLT_ERROR_INIT;
        enum mlt_status status = MLT_E_CONFLICT;
        while (status == MLT_E_CONFLICT) { /* all of its tries: others were faster each time */
            status = mlt_reserve(&racer->holder, &want, 0, &got, &err);
        }
        racer->failed = status != MLT_OK;
        racer->granted += got.weight;
    }
    return NULL;
}

static void test_racing_holders_never_get_more_than_the_pool_together(void **state)
{
    (void)state;
    static struct racer racers[RACERS];
    memset(racers, 0, sizeof racers);
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i].boot = i + 1;
        open_holder(&racers[i].holder, i + 1);
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    uint64_t granted = 0;
    for (unsigned i = 0; i < RACERS; i++) {
        assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
        assert_false(racers[i].failed);
        granted += racers[i].granted;
    }
    assert_int_equal(granted, POOL); /* all of it, and not one more */
}

static void test_a_write_that_is_not_answered_may_have_been_made_and_counts(void **state)
{
    (void)state;
    struct mlt_reserve one;
    open_holder(&one, 1);
    assert_int_equal(reserve_by(&one, 1, 5, 5), MLT_OK);
    fake.fails = MLT_E_TIMEOUT;
    fake.written_all_the_same = true;
    assert_int_equal(reserve_by(&one, 1, 900, 900), MLT_E_TIMEOUT);
    assert_int_equal(result.weight, 0); /* not to be used */
    fake.fails = MLT_OK;
    assert_int_equal(reserve_by(&one, 1, 5, 200), MLT_OK);
    assert_int_equal(result.weight, 95);
}

static void test_a_holder_that_dies_leaves_its_grant_counted(void **state)
{
    (void)state;
    struct mlt_reserve dies, next;
    open_holder(&dies, 1);
    assert_int_equal(reserve_by(&dies, 1, 1000, 1000), MLT_OK);
    open_holder(&next, 2); /* it is started again, with another boot */
    time_ns = T0 + 62 * S;
    assert_int_equal(reserve_by(&next, 2, 5, 5), MLT_OK);
    assert_int_equal(result.weight, 0);
    time_ns = T0 + 63 * S;
    assert_int_equal(reserve_by(&next, 2, 1000, 1000), MLT_OK);
    assert_int_equal(result.weight, 1000);
}

static void test_a_ledger_that_is_lost_begins_full_where_somebody_knew_it(void **state)
{
    (void)state;
    struct mlt_reserve one, two;
    open_holder(&one, 1);
    open_holder(&two, 2);
    assert_int_equal(reserve_by(&one, 1, 700, 700), MLT_OK);
    assert_int_equal(reserve_by(&two, 2, 5, 5), MLT_OK);
    lose_store();
    assert_int_equal(reserve_by(&two, 2, 5, 5), MLT_OK);
    assert_true(result.began);
    assert_int_equal(result.weight, 0);
    time_ns = T0 + 63 * S;
    assert_int_equal(reserve_by(&one, 1, 5, 5), MLT_OK);
    assert_int_equal(result.weight, 5);
}

/* One that knew nothing of it made the new one. */
static void test_what_one_was_granted_counts_in_the_ledger_of_another(void **state)
{
    (void)state;
    struct mlt_reserve one, two;
    open_holder(&one, 1);
    assert_int_equal(reserve_by(&one, 1, 700, 700), MLT_OK);
    lose_store();
    open_holder(&two, 2);
    assert_int_equal(reserve_by(&two, 2, 200, 200), MLT_OK);
    assert_int_equal(result.weight, 200);
    assert_int_equal(reserve_by(&one, 1, 5, 1000), MLT_OK);
    assert_true(result.foreign);
    assert_int_equal(result.weight, 100);
    assert_int_equal(result.total, 1000);
    assert_int_equal(reserve_by(&one, 1, 5, 5), MLT_OK); /* once */
    assert_false(result.foreign);
    assert_int_equal(result.total, 1000);
}

static void test_what_is_no_ledger_is_replaced_by_a_full_one(void **state)
{
    (void)state;
    struct mlt_reserve one;
    memcpy(fake.bytes, "no", 2);
    fake.len = 2;
    fake.revision = 9;
    open_holder(&one, 1);
    assert_int_equal(reserve_by(&one, 1, 5, 5), MLT_OK);
    assert_int_equal(result.weight, 0);
    assert_int_equal(fake.revision, 10);
    time_ns = T0 + 63 * S;
    assert_int_equal(reserve_by(&one, 1, 5, 5), MLT_OK);
    assert_int_equal(result.weight, 5);
}

/* ---- the governor of one of them ---- */

static struct mlt_governor governor;

static void set_up_governor(void)
{
    mlt_governor_init(&governor, 50, 1); /* share 3,000 */
    mlt_governor_share_with(&governor, 2, T0 - (int64_t)MLT_GOVERNOR_BUCKETS * S);
}

static void test_own_parts_and_pool_are_the_share(void **state)
{
    (void)state;
    set_up_governor();
    assert_int_equal(mlt_governor_own(&governor), 300);
    assert_int_equal(mlt_governor_pool(&governor), 3000 - 2 * 300 - 2 * 32);
    for (uint32_t adapters = 2; adapters <= 16; adapters++) {
        mlt_governor_share_with(&governor, adapters, T0);
        const uint32_t own = mlt_governor_own(&governor), kept = own / 2 < 32 ? own / 2 : 32;
        assert_int_equal(mlt_governor_pool(&governor) + adapters * (own + kept), 3000);
        assert_true(own > 27); /* exchangeInfo and time, without NATS */
    }
}

static void test_parts_of_more_adapters_than_were_said_are_the_pools(void **state)
{
    (void)state;
    set_up_governor();
    mlt_governor_heard(&governor, 2);
    assert_int_equal(mlt_governor_pool(&governor), 3000 - 2 * 332);
    mlt_governor_heard(&governor, 5);
    assert_int_equal(mlt_governor_own(&governor), 300);
    assert_int_equal(mlt_governor_pool(&governor), 3000 - 5 * 332);
    mlt_governor_heard(&governor, 16); /* their parts are more than the share */
    assert_int_equal(mlt_governor_pool(&governor), 0);
    mlt_governor_heard(&governor, 1);
    assert_int_equal(mlt_governor_pool(&governor), 3000 - 2 * 332);
}

static int64_t admit(enum mlt_weight_class class, uint32_t weight, int64_t now)
{
    return mlt_governor_admit(&governor, weight, class, now);
}

static uint32_t spend(enum mlt_weight_class class, int64_t now)
{
    uint32_t spent = 0;
    while (admit(class, 1, now) == 0) {
        spent++;
    }
    return spent;
}

static void test_without_the_pool_an_adapter_keeps_to_its_own_part(void **state)
{
    (void)state;
    set_up_governor();
    assert_int_equal(spend(MLT_WEIGHT_RESYNC, T0) + spend(MLT_WEIGHT_RESYNC, T0 + 30 * S), 268);
    enum mlt_weight_class class = MLT_WEIGHT_AUDIT;
    uint32_t weight = 0;
    assert_true(mlt_governor_take_need(&governor, &class, &weight));
    assert_true(class == MLT_WEIGHT_RESYNC && weight == 1);
    assert_false(mlt_governor_take_need(&governor, &class, &weight)); /* once */
    assert_int_equal(spend(MLT_WEIGHT_OWN, T0 + 60 * S), 32);         /* what is kept for them */
    assert_int_equal(admit(MLT_WEIGHT_RESYNC, 230, T0 + 61 * S), 0);  /* a minute later again */
}

/* It may be started again within the minute: what the one before used of the same part is unknown.
 * The two of them use no more than the part and what the pool lacks. */
static void test_one_that_begins_takes_little_of_its_own_part_for_a_minute(void **state)
{
    (void)state;
    mlt_governor_init(&governor, 50, 1);
    mlt_governor_share_with(&governor, 2, T0);
    assert_int_equal(spend(MLT_WEIGHT_RESYNC, T0), 0);
    assert_int_equal(spend(MLT_WEIGHT_OWN, T0), 32);
    assert_int_equal(spend(MLT_WEIGHT_RESYNC, T0 + 61 * S - 1), 0);
    assert_int_equal(spend(MLT_WEIGHT_RESYNC, T0 + 61 * S), 268);
}

static void test_a_block_is_for_its_class_and_those_before_and_for_a_while(void **state)
{
    (void)state;
    set_up_governor();
    const struct mlt_weight_block block = { 500, MLT_WEIGHT_FIRST, 77, T0 + 2 * S };
    int64_t second = 0;
    assert_int_equal(spend(MLT_WEIGHT_RESYNC, T0), 268); /* its own is spent */
    mlt_governor_granted(&governor, &block);
    assert_true(admit(MLT_WEIGHT_DEPTH, 5, T0) > T0);
    assert_int_equal(admit(MLT_WEIGHT_FIRST, 200, T0), 0);
    assert_int_equal(admit(MLT_WEIGHT_RESYNC, 100, T0), 0);
    assert_true(admit(MLT_WEIGHT_FIRST, 201, T0) > T0); /* 200 are left */
    assert_int_equal(mlt_governor_used(&governor, T0), 268 + 300);
    assert_int_equal(mlt_governor_take_rest(&governor, false, T0 + 2 * S - 1, &second), 0);
    assert_true(admit(MLT_WEIGHT_RESYNC, 5, T0 + 2 * S) > T0); /* too late */
    assert_int_equal(mlt_governor_take_rest(&governor, false, T0 + 2 * S, &second), 200);
    assert_int_equal(second, 77);
    assert_int_equal(mlt_governor_take_rest(&governor, true, T0 + 2 * S, &second), 0);
}

static void test_a_refused_class_is_not_asked_for_again_before_its_time(void **state)
{
    (void)state;
    enum mlt_weight_class class;
    uint32_t weight = 0;
    set_up_governor();
    assert_int_equal(spend(MLT_WEIGHT_RESYNC, T0), 268);
    mlt_governor_refused(&governor, MLT_WEIGHT_DEPTH, T0 + S);
    assert_int_equal(admit(MLT_WEIGHT_DEPTH, 5, T0), T0 + S);
    assert_int_equal(admit(MLT_WEIGHT_AUDIT, 5, T0), T0 + S);
    assert_false(mlt_governor_take_need(&governor, &class, &weight));
    assert_true(admit(MLT_WEIGHT_FIRST, 5, T0) > T0); /* that one may be asked for */
    assert_true(mlt_governor_take_need(&governor, &class, &weight));
    assert_int_equal(class, MLT_WEIGHT_FIRST);
}

/* Somebody uses the address who keeps no ledger. */
static void test_what_the_exchange_counts_is_above_a_block(void **state)
{
    (void)state;
    set_up_governor();
    const struct mlt_weight_block block = { 500, MLT_WEIGHT_RESYNC, 77, T0 + 2 * S };
    mlt_governor_granted(&governor, &block);
    mlt_governor_answered(&governor, 200, -1, 2990, T0);
    assert_int_equal(admit(MLT_WEIGHT_RESYNC, 5, T0), 0);
    assert_true(admit(MLT_WEIGHT_RESYNC, 20, T0) > T0);
    mlt_governor_answered(&governor, 200, -1, 100, T0);
    assert_int_equal(admit(MLT_WEIGHT_RESYNC, 20, T0), 0);
}

static void test_what_waits_is_weighed_by_class(void **state)
{
    (void)state;
    static struct mlt_rest rest;
    uint32_t weights[MLT_WEIGHT_CLASS_COUNT];
    set_up_governor();
    mlt_rest_init(&rest, 4, &governor, 1);
    const struct mlt_rest_asked asked[] = {
        { MLT_REST_DEPTH, "A-USDT", 100, 0, 0, MLT_WEIGHT_RESYNC },
        { MLT_REST_DEPTH, "B-USDT", 1000, 0, 0, MLT_WEIGHT_DEPTH },
        { MLT_REST_DEPTH, "C-USDT", 5000, 0, 0, MLT_WEIGHT_AUDIT },
    };
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        assert_int_equal(mlt_rest_demand(&rest, &asked[i], T0), MLT_OK);
    }
    assert_int_equal(mlt_rest_schedule(&rest, MLT_REST_EXCHANGE_INFO, 3600 * S, T0), MLT_OK);
    assert_int_equal(mlt_rest_schedule(&rest, MLT_REST_TIME, 10 * S, T0), MLT_OK);
    mlt_rest_weights(&rest, T0, weights);
    assert_int_equal(weights[MLT_WEIGHT_OWN], 21);
    assert_int_equal(weights[MLT_WEIGHT_RESYNC], 5);
    assert_int_equal(weights[MLT_WEIGHT_FIRST], 0);
    assert_int_equal(weights[MLT_WEIGHT_DEPTH], 50);
    assert_int_equal(weights[MLT_WEIGHT_SCHEDULE], 0);
    assert_int_equal(weights[MLT_WEIGHT_AUDIT], 250);
    mlt_rest_fini(&rest);
}

#define STORE(name) cmocka_unit_test_setup(name, set_up_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_minute_holds_more_than_the_pool_whenever_grants_are_used),
        cmocka_unit_test(test_each_class_leaves_the_pool_to_those_before_it),
        cmocka_unit_test(test_what_waits_elsewhere_in_a_higher_class_is_left_to_it),
        cmocka_unit_test(test_whoever_is_silent_waits_for_nothing),
        cmocka_unit_test(test_those_of_one_class_share_by_what_they_wait_for),
        cmocka_unit_test(test_what_is_given_back_is_free_again),
        cmocka_unit_test(test_a_call_heavier_than_the_pool_is_granted_alone),
        cmocka_unit_test(test_a_refusal_of_the_exchange_holds_for_all),
        cmocka_unit_test(test_a_refusal_longer_than_any_ban_is_dropped),
        cmocka_unit_test(test_clocks_that_differ_let_nothing_out_of_the_minute_early),
        cmocka_unit_test(test_a_ledger_is_read_as_it_was_written),
        cmocka_unit_test(test_a_ledger_of_the_first_minute_of_1970_is_none),
        STORE(test_two_holders_see_each_others_grants),
        STORE(test_racing_holders_never_get_more_than_the_pool_together),
        STORE(test_a_write_that_is_not_answered_may_have_been_made_and_counts),
        STORE(test_a_holder_that_dies_leaves_its_grant_counted),
        STORE(test_a_ledger_that_is_lost_begins_full_where_somebody_knew_it),
        STORE(test_what_one_was_granted_counts_in_the_ledger_of_another),
        STORE(test_what_is_no_ledger_is_replaced_by_a_full_one),
        cmocka_unit_test(test_own_parts_and_pool_are_the_share),
        cmocka_unit_test(test_parts_of_more_adapters_than_were_said_are_the_pools),
        cmocka_unit_test(test_without_the_pool_an_adapter_keeps_to_its_own_part),
        cmocka_unit_test(test_one_that_begins_takes_little_of_its_own_part_for_a_minute),
        cmocka_unit_test(test_a_block_is_for_its_class_and_those_before_and_for_a_while),
        cmocka_unit_test(test_a_refused_class_is_not_asked_for_again_before_its_time),
        cmocka_unit_test(test_what_the_exchange_counts_is_above_a_block),
        cmocka_unit_test(test_what_waits_is_weighed_by_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
