/* The thread that asks the ledger, with the store and the loop in the test's hands. */
#include "mlt_test.h"

#include "store_stub.h"

#include <pthread.h>
#include <stdatomic.h>

#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "pool.h"

#define S MLT_NS_PER_S
#define POOL 1000u

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    mlt_bus_handler_fn handler;
    void *ctx;
    uint8_t bytes[MLT_LEDGER_BYTES_MAX];
    size_t len;
    uint64_t revision; /* 0: there is no key */
    bool away;         /* the store */
    unsigned gets, posts;
} world = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

enum mlt_status __wrap_mlt_bus_subscribe(struct mlt_bus *bus,
                                         const struct mlt_bus_subscribe_options *options,
                                         mlt_bus_handler_fn handler, void *ctx,
                                         struct mlt_bus_subscription **subscription,
                                         struct mlt_error *err);
enum mlt_status __wrap_mlt_kv_get(struct mlt_store *store, const char *bucket, const char *key,
                                  struct mlt_buf *value, uint64_t *revision, struct mlt_error *err);
enum mlt_status __wrap_mlt_kv_update(struct mlt_store *store, const char *bucket, const char *key,
                                     struct mlt_slice value, uint64_t expected, uint64_t *revision,
                                     struct mlt_error *err);
enum mlt_status __wrap_mlt_loop_post(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx);
void __wrap_mlt_loop_unpost(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx);

enum mlt_status __wrap_mlt_bus_subscribe(struct mlt_bus *bus,
                                         const struct mlt_bus_subscribe_options *options,
                                         mlt_bus_handler_fn handler, void *ctx,
                                         struct mlt_bus_subscription **subscription,
                                         struct mlt_error *err)
{
    (void)bus;
    (void)err;
    assert_string_equal(options->subject, "$KV.meltica-weight.office");
    world.handler = handler;
    world.ctx = ctx;
    *subscription = NULL;
    return MLT_OK;
}

static void lock(void)
{
    (void)pthread_mutex_lock(&world.lock);
}

static void unlock(void)
{
    (void)pthread_cond_broadcast(&world.changed);
    (void)pthread_mutex_unlock(&world.lock);
}

enum mlt_status __wrap_mlt_kv_get(struct mlt_store *store, const char *bucket, const char *key,
                                  struct mlt_buf *value, uint64_t *revision, struct mlt_error *err)
{
    (void)store;
    (void)bucket;
    (void)key;
    (void)err;
    enum mlt_status status = MLT_E_NOT_FOUND;
    lock();
    world.gets++;
    if (world.away) {
        status = MLT_E_UNAVAILABLE;
    } else if (world.revision != 0) {
        *revision = world.revision;
        status = mlt_buf_append(value, world.bytes, world.len);
    }
    unlock();
    return status;
}

enum mlt_status __wrap_mlt_kv_update(struct mlt_store *store, const char *bucket, const char *key,
                                     struct mlt_slice value, uint64_t expected, uint64_t *revision,
                                     struct mlt_error *err)
{
    (void)store;
    (void)bucket;
    (void)key;
    (void)err;
    enum mlt_status status = MLT_E_CONFLICT;
    lock();
    if (world.away) {
        status = MLT_E_UNAVAILABLE;
    } else if (expected == world.revision && value.len <= sizeof world.bytes) {
        memcpy(world.bytes, value.data, value.len);
        world.len = value.len;
        *revision = ++world.revision;
        status = MLT_OK;
    }
    unlock();
    return status;
}

enum mlt_status __wrap_mlt_loop_post(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx)
{
    (void)loop;
    (void)fn;
    (void)ctx;
    lock();
    world.posts++;
    unlock();
    return MLT_OK;
}

void __wrap_mlt_loop_unpost(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx)
{
    (void)loop;
    (void)fn;
    (void)ctx;
}

/* ---- the test's side ---- */

static struct mlt_pool *pool;

static void known(void *ctx)
{
    (void)ctx;
}

static void open_pool(void)
{
    const struct mlt_pool_options options = { .egress = "office", .known = known };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_pool_create(&options, &pool, &err), MLT_OK);
}

static int set_up(void **state)
{
    (void)state;
    world.len = 0;
    world.revision = 0;
    world.away = false;
    world.gets = world.posts = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_pool_destroy(pool);
    pool = NULL;
    return 0;
}

/* A ledger of another one, which is refused until then. */
static struct mlt_ledger ledger_of(uint64_t born, int64_t blocked_until_ns)
{
    struct mlt_ledger ledger;
    mlt_ledger_begin(&ledger, born, POOL, false, mlt_clock_wall_ns());
    ledger.blocked_until_ns = blocked_until_ns / MLT_NS_PER_MS * MLT_NS_PER_MS; /* as it is kept */
    return ledger;
}

static void store_ledger(const struct mlt_ledger *ledger, uint64_t revision)
{
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, MLT_LEDGER_BYTES_MAX);
    assert_int_equal(mlt_ledger_encode(ledger, &bytes), MLT_OK);
    lock();
    memcpy(world.bytes, bytes.data, bytes.len);
    world.len = bytes.len;
    world.revision = revision;
    unlock();
    mlt_buf_fini(&bytes);
}

static void hear(const struct mlt_ledger *ledger)
{
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, MLT_LEDGER_BYTES_MAX);
    assert_int_equal(mlt_ledger_encode(ledger, &bytes), MLT_OK);
    const struct mlt_bus_message message = { .subject = "$KV.meltica-weight.office",
                                             .reply = "",
                                             .payload = mlt_buf_view(&bytes) };
    world.handler(world.ctx, &message);
    mlt_buf_fini(&bytes);
}

static void test_a_refusal_that_others_were_given_is_heard_where_it_can_be_true(void **state)
{
    (void)state;
    open_pool();
    const int64_t now = mlt_clock_wall_ns();
    struct mlt_ledger told = ledger_of(9, now + 4 * 24 * 3600 * S);
    hear(&told);
    assert_int_equal(mlt_pool_blocked_until_ns(pool), 0);
    told = ledger_of(9, now + 60 * S);
    hear(&told);
    assert_true(mlt_pool_blocked_until_ns(pool) == told.blocked_until_ns);
}

static void await_read(void)
{
    lock();
    while (!mlt_pool_read(pool)) { /* it is posted when it was */
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    unlock();
}

static void test_a_refusal_that_is_in_the_ledger_is_known_after_the_start(void **state)
{
    (void)state;
    const struct mlt_ledger told = ledger_of(9, mlt_clock_wall_ns() + 60 * S);
    store_ledger(&told, 5);
    world.away = true;
    open_pool();
    lock();
    while (world.gets < 2) { /* it is tried again */
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    assert_false(mlt_pool_read(pool));
    world.away = false;
    unlock();
    await_read();
    assert_true(mlt_pool_blocked_until_ns(pool) == told.blocked_until_ns);
}

static void test_a_ledger_that_is_not_there_refuses_nothing(void **state)
{
    (void)state;
    open_pool();
    await_read();
    assert_int_equal(mlt_pool_blocked_until_ns(pool), 0);
    assert_int_equal(world.revision, 0); /* nor is one written */
}

/* Waits for the answer; bounded by the time of the whole test. */
static struct mlt_pool_answer ask(uint32_t least)
{
    struct mlt_ledger_want want = {
        .boot = 1, .pool = POOL, .class = MLT_WEIGHT_RESYNC, .least = least, .most = least
    };
    struct mlt_pool_answer answer;
    lock();
    unsigned posts = world.posts;
    unlock();
    mlt_pool_ask(pool, &want, 0);
    bool taken = false;
    while (!taken) {
        lock();
        while (world.posts == posts) {
            (void)pthread_cond_wait(&world.changed, &world.lock);
        }
        posts = world.posts;
        unlock();
        taken = mlt_pool_take(pool, &answer); /* else it was posted for something heard */
    }
    return answer;
}

/* The bucket was lost while this Adapter was idle, and one that knew nothing made it again: at the
 * same revision, even. */
static void test_what_was_granted_before_the_ledger_was_lost_is_said_in_the_new_one(void **state)
{
    (void)state;
    open_pool();
    await_read();
    assert_int_equal(ask(300).result.weight, 300);
    assert_false(mlt_pool_lost(pool));
    lock();
    const uint64_t revision = world.revision;
    unlock();
    const struct mlt_ledger other = ledger_of(9, 0);
    store_ledger(&other, revision);
    hear(&other);
    assert_true(mlt_pool_lost(pool));
    lock();
    world.away = true;
    unlock();
    assert_int_equal(ask(0).status, MLT_E_UNAVAILABLE);
    assert_true(mlt_pool_lost(pool)); /* still to be said */
    lock();
    world.away = false;
    unlock();
    const struct mlt_pool_answer answer = ask(0);
    assert_int_equal(answer.status, MLT_OK);
    assert_true(answer.result.foreign);
    assert_int_equal(answer.result.total, 300);
    assert_false(mlt_pool_lost(pool));
    hear(&other); /* it is the known one now */
    assert_false(mlt_pool_lost(pool));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_refusal_that_others_were_given_is_heard_where_it_can_be_true, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_refusal_that_is_in_the_ledger_is_known_after_the_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_ledger_that_is_not_there_refuses_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_what_was_granted_before_the_ledger_was_lost_is_said_in_the_new_one, set_up,
            tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
