/* What an Adapter asks of the ledger of its address, and what it does with the answers: with the
 * ledger's thread and the time in the test's hands. */
#include "mlt_test.h"

#include <stdio.h>

#include "adapter.h"
#include "meltica/base/clock.h"

#define S MLT_NS_PER_S
#define STEP_NS (100 * MLT_NS_PER_MS)
#define T0 (1000 * S)

/* ---- the ports of weight.c (the linker gives us its calls) ---- */

static struct {
    int64_t now_ns;
    struct mlt_pool_options options;
    bool asked, answered;
    struct mlt_ledger_want want; /* the last question */
    unsigned questions;
    struct mlt_pool_answer answer;
    int64_t blocked_until_ns; /* as others wrote; the exchange's clock */
    uint32_t heard;           /* Adapters, in answers */
    bool lost, read;          /* the ledger */
    bool clock_unknown;       /* the exchange's */
} world;

int64_t __wrap_mlt_clock_mono_ns(void);
int64_t __wrap_mlt_clock_wall_ns(void);
bool __wrap_mlt_clock_offset_get(const struct mlt_clock_offset *clock, int64_t mono_ns,
                                 int64_t wall_ns, struct mlt_clock_estimate *out);
uint64_t __wrap_mlt_service_boot(const struct mlt_service *service);
uint32_t __wrap_mlt_service_provision_replicas(const struct mlt_service *service);
void __wrap_mlt_adapter_rest_turn(void *ctx);
enum mlt_status __wrap_mlt_pool_create(const struct mlt_pool_options *options,
                                       struct mlt_pool **pool, struct mlt_error *err);
bool __wrap_mlt_pool_idle(struct mlt_pool *pool);
void __wrap_mlt_pool_ask(struct mlt_pool *pool, const struct mlt_ledger_want *want,
                         int64_t offset_ns);
bool __wrap_mlt_pool_take(struct mlt_pool *pool, struct mlt_pool_answer *answer);
int64_t __wrap_mlt_pool_blocked_until_ns(struct mlt_pool *pool);
bool __wrap_mlt_pool_lost(struct mlt_pool *pool);
bool __wrap_mlt_pool_read(struct mlt_pool *pool);

bool __wrap_mlt_pool_read(struct mlt_pool *pool)
{
    (void)pool;
    return world.read;
}

bool __wrap_mlt_pool_lost(struct mlt_pool *pool)
{
    (void)pool;
    return world.lost;
}

int64_t __wrap_mlt_clock_mono_ns(void)
{
    return world.now_ns;
}

int64_t __wrap_mlt_clock_wall_ns(void)
{
    return world.now_ns;
}

bool __wrap_mlt_clock_offset_get(const struct mlt_clock_offset *clock, int64_t mono_ns,
                                 int64_t wall_ns, struct mlt_clock_estimate *out)
{
    (void)clock;
    (void)mono_ns;
    (void)wall_ns;
    *out = (struct mlt_clock_estimate){ .offset_ns = 0 };
    return !world.clock_unknown;
}

uint64_t __wrap_mlt_service_boot(const struct mlt_service *service)
{
    (void)service;
    return 7;
}

uint32_t __wrap_mlt_service_provision_replicas(const struct mlt_service *service)
{
    (void)service;
    return 1;
}

void __wrap_mlt_adapter_rest_turn(void *ctx)
{
    mlt_adapter_weight_turn(ctx); /* as calls.c does in the end */
}

enum mlt_status __wrap_mlt_pool_create(const struct mlt_pool_options *options,
                                       struct mlt_pool **pool, struct mlt_error *err)
{
    (void)err;
    world.options = *options;
    *pool = (struct mlt_pool *)&world; /* never looked into */
    return MLT_OK;
}

bool __wrap_mlt_pool_idle(struct mlt_pool *pool)
{
    (void)pool;
    return !world.asked && !world.answered;
}

void __wrap_mlt_pool_ask(struct mlt_pool *pool, const struct mlt_ledger_want *want,
                         int64_t offset_ns)
{
    (void)pool;
    (void)offset_ns;
    world.want = *want;
    world.asked = true;
    world.lost = false;
    world.questions++;
}

bool __wrap_mlt_pool_take(struct mlt_pool *pool, struct mlt_pool_answer *answer)
{
    (void)pool;
    const bool answered = world.answered;
    *answer = world.answer;
    world.answered = false;
    return answered;
}

int64_t __wrap_mlt_pool_blocked_until_ns(struct mlt_pool *pool)
{
    (void)pool;
    return world.blocked_until_ns;
}

/* ---- the Adapter ---- */

static char egress[] = "office";
static struct mlt_adapter_config config = { .egress = egress, .egress_adapters = 2 };
static struct mlt_adapter the_adapter, *const adapter = &the_adapter;

static int set_up(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    memset(&world, 0, sizeof world);
    world.now_ns = T0;
    memset(adapter, 0, sizeof *adapter);
    adapter->config = &config;
    assert_int_equal(mlt_metrics_create(&adapter->metrics), MLT_OK);
    mlt_governor_init(&adapter->governor, 50, 1);
    mlt_rest_init(&adapter->rest, 4, &adapter->governor, 1);
    assert_int_equal(mlt_adapter_weight_start(adapter, &err), MLT_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_rest_fini(&adapter->rest);
    mlt_metrics_destroy(adapter->metrics);
    return 0;
}

static void read_ledger(void)
{
    world.read = true;
    world.options.known(world.options.ctx);
}

/* Each question of these steps is answered with that at once, as the pool's thread posts it. */
static void run(int64_t duration_ns, enum mlt_status status)
{
    const int64_t end_ns = world.now_ns + duration_ns;
    for (unsigned turns = 0; world.now_ns < end_ns; world.now_ns += STEP_NS) {
        mlt_adapter_weight_turn(adapter);
        while (world.asked) {
            assert_true(++turns < 10000);
            world.answer = (struct mlt_pool_answer){ .want = world.want,
                                                     .status = status,
                                                     .err = MLT_ERROR_INIT,
                                                     .result = { .heard = world.heard } };
            world.asked = false;
            world.answered = true;
            world.options.known(world.options.ctx);
        }
        if (world.now_ns % S == 0) {
            mlt_adapter_weight_second(adapter);
        }
    }
}

/* Nobody is told of the refusal while JetStream is away, and it is tried again: a second later. */
static void test_a_refusal_that_cannot_be_told_is_told_once_a_second(void **state)
{
    (void)state;
    mlt_governor_answered(&adapter->governor, 429, 60, -1, world.now_ns);
    run(10 * S, MLT_E_UNAVAILABLE);
    assert_in_range(world.questions, 9, 11);
    assert_true(world.want.blocked_until_ns == T0 + 60 * S);
    world.questions = 0;
    run(10 * S, MLT_OK); /* then once */
    assert_int_equal(world.questions, 1);
    assert_true(world.want.blocked_until_ns == T0 + 60 * S);
}

static void test_nor_is_a_need_asked_for_more_often(void **state)
{
    (void)state;
    read_ledger();
    const struct mlt_rest_asked asked = { MLT_REST_DEPTH, "A-USDT", 100, 0, 0, MLT_WEIGHT_RESYNC };
    unsigned flight = 0;
    int64_t next_ns = 0;
    assert_int_equal(mlt_rest_demand(&adapter->rest, &asked, world.now_ns), MLT_OK);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(mlt_rest_next(&adapter->rest, world.now_ns, &flight, &next_ns),
                         MLT_E_EMPTY);
        run(STEP_NS, MLT_E_TIMEOUT);
    }
    assert_in_range(world.questions, 9, 11);
}

/* A need that is refused each second, for so long. */
static void run_in_need(int64_t duration_ns)
{
    const struct mlt_rest_asked asked = { MLT_REST_DEPTH, "A-USDT", 100, 0, 0, MLT_WEIGHT_RESYNC };
    const int64_t end_ns = world.now_ns + duration_ns;
    assert_int_equal(mlt_rest_demand(&adapter->rest, &asked, world.now_ns), MLT_OK);
    while (world.now_ns < end_ns) {
        unsigned flight = 0;
        int64_t next_ns = 0;
        assert_int_equal(mlt_rest_next(&adapter->rest, world.now_ns, &flight, &next_ns),
                         MLT_E_EMPTY);
        run(STEP_NS, MLT_OK);
    }
}

static void test_more_adapters_than_were_said_are_told_once_and_taken_off_the_pool(void **state)
{
    (void)state;
    read_ledger();
    world.heard = 2;
    run_in_need(2 * S);
    assert_int_equal(world.want.pool, 2336);
    world.heard = 3; /* one was started again, and the one before is heard for 3 s more */
    run_in_need(4 * S);
    assert_int_equal(world.want.pool, 2336 - 332);
    assert_int_equal(mlt_gauge_get(adapter->meters.weight_adapters), 3);
    assert_false(adapter->crowded_said);
    run_in_need(3 * S);
    assert_true(adapter->crowded_said);
    world.heard = 2;
    run_in_need(3 * S);
    assert_int_equal(world.want.pool, 2336);
    assert_false(adapter->crowded_said);
}

/* Nothing is needed, and the new ledger must be told all the same: what was granted counts. */
static void test_a_ledger_that_was_lost_is_asked_by_an_adapter_that_is_idle(void **state)
{
    (void)state;
    run(3 * S, MLT_OK);
    assert_int_equal(world.questions, 1); /* whether it is there */
    world.lost = true;
    world.options.known(world.options.ctx);
    assert_int_equal(world.questions, 2);
    assert_int_equal(world.want.least, 0);
    run(3 * S, MLT_OK);
    assert_int_equal(world.questions, 2);
}

static enum mlt_status next_call(int64_t *next_ns)
{
    unsigned flight = 0;
    return mlt_rest_next(&adapter->rest, world.now_ns, &flight, next_ns);
}

/* Each call into a ban makes it longer. */
static void test_an_adapter_that_starts_reads_before_its_first_call(void **state)
{
    (void)state;
    int64_t next_ns = 0;
    assert_int_equal(
        mlt_rest_schedule(&adapter->rest, MLT_REST_EXCHANGE_INFO, 3600 * S, world.now_ns), MLT_OK);
    assert_int_equal(next_call(&next_ns), MLT_E_EMPTY);
    world.clock_unknown = true; /* the time would be the second call */
    world.blocked_until_ns = T0 + 60 * S;
    read_ledger();
    assert_int_equal(next_call(&next_ns), MLT_E_EMPTY);
    assert_true(next_ns == T0 + 60 * S);
    world.now_ns = next_ns;
    assert_int_equal(next_call(&next_ns), MLT_OK);
}

static void test_the_first_call_waits_for_the_ledger_for_so_long(void **state)
{
    (void)state;
    int64_t next_ns = 0;
    assert_int_equal(
        mlt_rest_schedule(&adapter->rest, MLT_REST_EXCHANGE_INFO, 3600 * S, world.now_ns), MLT_OK);
    run(2 * S, MLT_E_UNAVAILABLE);
    assert_int_equal(next_call(&next_ns), MLT_E_EMPTY);
    assert_true(next_ns == T0 + 3 * S);
    world.now_ns = next_ns;
    assert_int_equal(next_call(&next_ns), MLT_OK);
}

/* ---- configuration ---- */

static enum mlt_status check(int64_t share, int64_t adapters, const char *name,
                             struct mlt_error *err)
{
    static char ws[] = "wss://a", rest[] = "https://a", none[] = "";
    char text[MLT_EGRESS_BYTES_MAX + 1];
    (void)snprintf(text, sizeof text, "%s", name);
    const struct mlt_adapter_config c = { .ws_url = ws,
                                          .rest_url = rest,
                                          .ca_file = none,
                                          .weight_share = share,
                                          .egress = text,
                                          .egress_adapters = adapters };
    return mlt_adapter_check(&c, err);
}

/* It would start, and never read the listing. */
static void test_a_part_that_exchangeinfo_does_not_fit_in_is_refused(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(check(50, 9, "office", &err), MLT_OK);        /* 66 each */
    assert_int_equal(check(50, 10, "office", &err), MLT_E_CONFIG); /* 60 */
    assert_non_null(strstr(err.text, "egress_adapters: 10 Adapters"));
    assert_int_equal(check(90, 16, "office", &err), MLT_OK);
    assert_int_equal(check(10, 2, "office", &err), MLT_E_CONFIG);
    assert_int_equal(check(10, 2, "", &err), MLT_OK); /* alone */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_refusal_that_cannot_be_told_is_told_once_a_second),
        TEST(test_nor_is_a_need_asked_for_more_often),
        TEST(test_a_ledger_that_was_lost_is_asked_by_an_adapter_that_is_idle),
        TEST(test_an_adapter_that_starts_reads_before_its_first_call),
        TEST(test_the_first_call_waits_for_the_ledger_for_so_long),
        TEST(test_a_part_that_exchangeinfo_does_not_fit_in_is_refused),
        TEST(test_more_adapters_than_were_said_are_told_once_and_taken_off_the_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
