/*
 * What is left of a book in the snapshot bucket through the real processes: it is there while
 * somebody asks for BOOK, and nobody finds it LIVE when nobody does. Its silence would end it after
 * a minute, which is longer than anything here waits.
 */
#include "mlt_test.h"

#include <stdio.h>

#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "meltica/event/record.h"
#include "mlt_consumer.h"
#include "steer_rig.h"

#define SYMBOL "SYM0001-USDT"
#define OF(consumer, type)                                                                         \
    "{\"consumer\":\"" consumer "\",\"type\":\"" type "\",\"instruments\":[\"" SYMBOL "\"]}"
#define WAIT_S 30

static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}]}";

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_make_file(rig.table_path, table);
    rig.policy_path[0] = '\0';
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "2", "--rate", "200", "--seed", "7",
                      "--start-subscriptions", "0" },
        .table = rig.table_path,
    };
    rig_begin(&rig, &options);
    rig_go(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

/* Both keys are there and in that state (ctx), the checkpoint with its levels where it is LIVE. */
static bool stands(struct rig *r, void *ctx)
{
    const enum mlt_book_state state = *(const enum mlt_book_state *)ctx;
    struct mlt_buf value;
    struct mlt_arena arena;
    struct mlt_snapshot_record record;
    struct mlt_book_checkpoint checkpoint;
    uint64_t revision = 0;
    mlt_buf_init(&value, MLT_BUS_PAYLOAD_BYTES_MAX);
    mlt_arena_init(&arena, 65536, 4u << 20);
    bool right =
        mlt_kv_get(r->store, MLT_SNAPSHOTS_BUCKET, SYMBOL, &value, &revision, NULL) == MLT_OK;
    if (right) {
        assert_int_equal(mlt_snapshot_record_decode(mlt_buf_view(&value), &record), MLT_OK);
        right = record.state == state;
    }
    mlt_buf_clear(&value);
    if (right && mlt_kv_get(r->store, MLT_SNAPSHOTS_BUCKET, SYMBOL ".checkpoint", &value, &revision,
                            NULL) == MLT_OK) {
        assert_int_equal(mlt_book_checkpoint_decode(mlt_buf_view(&value), &arena, &checkpoint),
                         MLT_OK);
        right =
            checkpoint.state == state && (checkpoint.bids.count > 0) == (state == MLT_BOOK_LIVE);
    } else {
        right = false;
    }
    mlt_arena_fini(&arena);
    mlt_buf_fini(&value);
    return right;
}

static void await(enum mlt_book_state state)
{
    if (!rig_until(stands, &rig, &state, WAIT_S)) {
        fail_msg("the book is not %s in the bucket", mlt_book_state_word((int)state));
    }
}

static void test_a_book_ends_with_its_last_subscription_and_begins_with_the_next(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        rig_confirm(&rig, "subscribe", OF("books", "BOOK"), NULL);
        await(MLT_BOOK_LIVE);
        rig_confirm(&rig, "unsubscribe", OF("books", "BOOK"), NULL);
        await(MLT_BOOK_IDLE);
        /* By that word, and not because a snapshot that was still asked for was refused. */
        assert_int_equal(
            mlt_stack_metric(&rig.stack, "dispatcher", "meltica_dispatcher_books_ended_total", ""),
            i + 1);
    }
}

static void test_nor_is_it_left_for_who_follows_deltas_alone(void **state)
{
    (void)state;
    rig_confirm(&rig, "subscribe", OF("deltas", "BOOK_DELTA"), NULL);
    rig_confirm(&rig, "subscribe", OF("books", "BOOK"), NULL);
    await(MLT_BOOK_LIVE);
    rig_confirm(&rig, "unsubscribe", OF("books", "BOOK"), NULL);
    await(MLT_BOOK_IDLE);
    rig_confirm(&rig, "subscribe", OF("books", "BOOK"), NULL);
    await(MLT_BOOK_LIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_book_ends_with_its_last_subscription_and_begins_with_the_next, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(test_nor_is_it_left_for_who_follows_deltas_alone, set_up,
                                        tear_down),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
