#include "server.h"

#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"

#define ALL UINT64_MAX

static struct server server;

static int set_up(void **state)
{
    (void)state;
    server_start(&server, true, "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    server_end(&server);
    return 0;
}

/* One Conductor, as far as claims are concerned. */
struct instance {
    struct mlt_bus *bus;
    struct mlt_store *store;
    struct mlt_claims *claims;
    uint64_t epochs[MLT_SLOT_COUNT];
    pthread_mutex_t mutex;
    uint64_t by[MLT_SLOT_COUNT]; /* epochs that outbid ours */
    unsigned twice;
    struct latch outbid;
};

static void on_outbid(void *ctx, uint32_t slot, uint64_t epoch)
{
    struct instance *i = ctx;
    (void)pthread_mutex_lock(&i->mutex);
    i->twice += i->by[slot] != 0;
    i->by[slot] = epoch;
    (void)pthread_mutex_unlock(&i->mutex);
    latch_add(&i->outbid, 1);
}

static void instance_connect(struct instance *i, const char *url)
{
    *i = (struct instance){ 0 };
    (void)pthread_mutex_init(&i->mutex, NULL);
    latch_init(&i->outbid);
    i->bus = url_connect(url, NULL);
    assert_int_equal(mlt_store_create(i->bus, 1, &i->store, NULL), MLT_OK);
}

static void instance_claim(struct instance *i, const char *service, uint64_t boot, uint64_t slots)
{
    const struct mlt_claims_options options = { .service = service,
                                                .instance = "test-0",
                                                .boot = boot,
                                                .slots = slots,
                                                .on_outbid = on_outbid,
                                                .ctx = i };
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_claims_create(i->store, &options, i->epochs, &i->claims, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
}

static void instance_end(struct instance *i)
{
    mlt_claims_destroy(i->claims);
    mlt_store_destroy(i->store);
    mlt_bus_destroy(i->bus, 0);
}

static void assert_outbid_by(struct instance *i, const struct instance *by, uint64_t slots)
{
    (void)pthread_mutex_lock(&i->mutex);
    for (int s = 0; s < MLT_SLOT_COUNT; s++) {
        const bool expected = (slots >> s & 1) != 0;
        assert_true(i->by[s] == (expected ? by->epochs[s] : 0));
        assert_true(!expected || by->epochs[s] > i->epochs[s]);
    }
    assert_int_equal(i->twice, 0);
    (void)pthread_mutex_unlock(&i->mutex);
}

static void test_second_claim_of_all_slots_outbids_the_first_once_each(void **state)
{
    (void)state;
    struct instance first, second;
    const uint64_t before = (uint64_t)mlt_clock_wall_ns();
    instance_connect(&first, server.url);
    instance_connect(&second, server.url);
    instance_claim(&first, "conductor", 11, ALL);
    const int64_t begin = mlt_clock_mono_ns();
    instance_claim(&second, "conductor", 12, ALL);
    print_message("64 claims in %lld us\n", (long long)(mlt_clock_mono_ns() - begin) / 1000);
    assert_true(latch_wait(&first.outbid, 64, 10 * MLT_NS_PER_S));
    assert_outbid_by(&first, &second, ALL);
    for (int s = 0; s < MLT_SLOT_COUNT; s++) {
        assert_true(first.epochs[s] >= before); /* the bucket begins at the time of its creation */
    }
    /* The first again, as a restart would: its own old claims are no news to it. */
    mlt_claims_destroy(first.claims);
    instance_claim(&first, "conductor", 13, ALL);
    assert_true(latch_wait(&second.outbid, 64, 10 * MLT_NS_PER_S));
    assert_outbid_by(&second, &first, ALL);
    assert_false(latch_wait(&first.outbid, 65, 0));
    instance_end(&first);
    instance_end(&second);
}

static void test_other_slots_and_other_services_are_no_business_of_ours(void **state)
{
    (void)state;
    struct instance ours, others, service;
    instance_connect(&ours, server.url);
    instance_connect(&others, server.url);
    instance_connect(&service, server.url);
    instance_claim(&ours, "shared", 21, UINT64_C(0x00000000ffffffff));
    instance_claim(&others, "shared", 22, UINT64_C(0xffffffff80000000)); /* slot 31 is both's */
    instance_claim(&service, "else", 23, ALL);
    assert_true(latch_wait(&ours.outbid, 1, 10 * MLT_NS_PER_S));
    assert_outbid_by(&ours, &others, UINT64_C(1) << 31);
    assert_int_equal(others.epochs[0], 0);
    assert_false(latch_wait(&others.outbid, 1, 0));
    instance_end(&ours);
    instance_end(&others);
    instance_end(&service);
}

static void test_claims_made_during_an_outage_are_found_after_it(void **state)
{
    (void)state;
    struct relay relay;
    struct instance away, here;
    relay_start(&relay, server.port);
    instance_connect(&away, relay.url);
    instance_connect(&here, server.url);
    instance_claim(&away, "outage", 31, ALL);
    relay_cut(&relay);
    instance_claim(&here, "outage", 32, UINT64_C(0x8000000000000001));
    assert_false(latch_wait(&away.outbid, 1, 0));
    relay_mend(&relay);
    assert_true(latch_wait(&away.outbid, 2, 10 * MLT_NS_PER_S));
    assert_outbid_by(&away, &here, UINT64_C(0x8000000000000001));
    instance_end(&away);
    instance_end(&here);
    relay_end(&relay);
}

static void test_epochs_grow_although_the_memory_bucket_was_lost(void **state)
{
    (void)state;
    struct instance before, after;
    instance_connect(&before, server.url);
    instance_claim(&before, "lost", 41, ALL);
    server_restart(&server);
    instance_connect(&after, server.url);
    assert_int_equal(mlt_bus_wait_connected(before.bus, 10 * MLT_NS_PER_S), MLT_OK);
    instance_claim(&after, "lost", 42, ALL);
    for (int s = 0; s < MLT_SLOT_COUNT; s++) {
        assert_true(after.epochs[s] > before.epochs[s]);
    }
    assert_true(latch_wait(&before.outbid, 64, 10 * MLT_NS_PER_S));
    assert_outbid_by(&before, &after, ALL);
    instance_end(&before);
    instance_end(&after);
}

/* As a cluster makes it again when all its servers had ended, or an operator without the time. */
static void test_epochs_grow_although_the_bucket_was_emptied(void **state)
{
    (void)state;
    static const uint64_t firsts[] = { UINT64_C(1700000000000000000), 0 };
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        struct instance before, after;
        struct mlt_error err = MLT_ERROR_INIT;
        server_restart(&server); /* the memory bucket is gone */
        instance_connect(&before, server.url);
        instance_connect(&after, server.url);
        const uint64_t now = (uint64_t)mlt_clock_wall_ns();
        assert_int_equal(
            mlt_store_ensure_bucket(before.store, "meltica-owners", true, 0, firsts[i], &err),
            MLT_OK);
        instance_claim(&before, "conductor", 31, 3);
        assert_true(before.epochs[0] >= now && before.epochs[1] > before.epochs[0]);
        instance_claim(&after, "conductor", 32, 1); /* not empty any more: it goes on from there */
        assert_true(after.epochs[0] == before.epochs[1] + 1);
        instance_end(&before);
        instance_end(&after);
    }
}

static void test_without_jetstream_it_is_unavailable(void **state)
{
    (void)state;
    struct instance i;
    struct server plain;
    server_start(&plain, false, "");
    instance_connect(&i, plain.url);
    const struct mlt_claims_options options = {
        .service = "s", .instance = "i", .boot = 1, .slots = ALL, .on_outbid = on_outbid, .ctx = &i
    };
    struct mlt_error err = MLT_ERROR_INIT;
    const int64_t begin = mlt_clock_mono_ns();
    assert_int_equal(mlt_claims_create(i.store, &options, i.epochs, &i.claims, &err),
                     MLT_E_UNAVAILABLE);
    assert_true(mlt_clock_mono_ns() - begin < 5 * MLT_NS_PER_S); /* once, not for each slot */
    assert_int_equal(err.status, MLT_E_UNAVAILABLE);
    assert_null(i.claims);
    struct mlt_claims_options bad = options;
    bad.service = "a.b";
    assert_int_equal(mlt_claims_create(i.store, &bad, i.epochs, &i.claims, &err), MLT_E_INVALID);
    bad = options;
    bad.slots = 0;
    assert_int_equal(mlt_claims_create(i.store, &bad, i.epochs, &i.claims, &err), MLT_E_INVALID);
    instance_end(&i);
    server_end(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_claim_of_all_slots_outbids_the_first_once_each),
        cmocka_unit_test(test_other_slots_and_other_services_are_no_business_of_ours),
        cmocka_unit_test(test_claims_made_during_an_outage_are_found_after_it),
        cmocka_unit_test(test_epochs_grow_although_the_memory_bucket_was_lost),
        cmocka_unit_test(test_epochs_grow_although_the_bucket_was_emptied),
        cmocka_unit_test(test_without_jetstream_it_is_unavailable),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
