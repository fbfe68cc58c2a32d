/* What waits to be asked of the Dispatcher: one request a book, and what two of them become. */
#include "mlt_test.h"

#include "conductor_internal.h"

static struct conductor c;

static int set_up(void **state)
{
    (void)state;
    pthread_condattr_t monotonic;
    memset(&c, 0, sizeof c);
    assert_int_equal(pthread_mutex_init(&c.lock, NULL), 0);
    assert_int_equal(pthread_condattr_init(&monotonic), 0);
    assert_int_equal(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC), 0);
    mlt_conductor_init_books(&c, &monotonic);
    return pthread_condattr_destroy(&monotonic);
}

static int tear_down(void **state)
{
    (void)state;
    mlt_conductor_stop_books(&c);
    return pthread_mutex_destroy(&c.lock);
}

static void ask(const char *instrument, uint32_t depth, enum mlt_sync_need need)
{
    mlt_conductor_on_resync(&c, mlt_slice_of_string(instrument), depth, need);
}

/* Alone in the list of its need. */
static void assert_queued(const char *instrument, uint32_t depth, enum mlt_sync_need need)
{
    size_t count = 0;
    const struct resync_entry *entry = NULL, *found = NULL;
    TAILQ_FOREACH(entry, &c.books.lists[need], link)
    {
        if (entry->token_len == strlen(instrument) &&
            memcmp(entry->token, instrument, entry->token_len) == 0) {
            found = entry;
            count++;
        }
    }
    assert_int_equal(count, 1);
    assert_int_equal(found->depth, depth);
    assert_int_equal(c.books.queued.count, 1);
}

static void test_a_resync_waits_for_no_deeper_snapshot(void **state)
{
    (void)state;
    ask("BTC-USDT", 1000, MLT_SYNC_NEED_DEPTH);
    ask("BTC-USDT", 100, MLT_SYNC_NEED_RESYNC);
    assert_queued("BTC-USDT", 100, MLT_SYNC_NEED_RESYNC);
    ask("BTC-USDT", 1000, MLT_SYNC_NEED_AUDIT);
    assert_queued("BTC-USDT", 100, MLT_SYNC_NEED_RESYNC);
}

static void test_of_two_that_are_not_urgent_the_deeper_one_is_asked_for(void **state)
{
    (void)state;
    ask("BTC-USDT", 1000, MLT_SYNC_NEED_AUDIT);
    ask("BTC-USDT", 500, MLT_SYNC_NEED_DEPTH);
    assert_queued("BTC-USDT", 1000, MLT_SYNC_NEED_DEPTH);
    ask("BTC-USDT", 5000, MLT_SYNC_NEED_AUDIT);
    assert_queued("BTC-USDT", 5000, MLT_SYNC_NEED_DEPTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_resync_waits_for_no_deeper_snapshot, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_of_two_that_are_not_urgent_the_deeper_one_is_asked_for,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
