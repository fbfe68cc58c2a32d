#include "table.h"

#include <stdio.h>

#include "heads.h"

static int64_t now(void *ctx)
{
    (void)ctx;
    return 1;
}

static const struct mlt_clock clock_fixed = { now, now, NULL };

static bool on_publish(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    (void)ctx;
    (void)partition;
    (void)event;
    return true;
}

static void on_await_table(void *ctx, uint64_t revision)
{
    (void)ctx;
    (void)revision;
}

static struct mlt_data_bus_core *new_core(uint32_t partitions)
{
    struct mlt_data_bus_core *core = NULL;
    const struct mlt_data_bus_ports ports = { on_publish, NULL, on_await_table, NULL,
                                              &clock_fixed };
    assert_int_equal(mlt_data_bus_core_create(partitions, &ports, &core), MLT_OK);
    const struct line lines[] = { { MLT_EVENT_TRADE, "*" }, { MLT_EVENT_KLINE, "*" } };
    mlt_data_bus_core_set_table(core, table_of(1, 1, lines, 2));
    return core;
}

static void send_event(struct mlt_data_bus_core *core, const char *token, enum mlt_event_type type,
                       uint64_t epoch, uint64_t sequence, int64_t position, const char *interval)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = mlt_slice_of_string(token);
    e.type = type;
    e.epoch = epoch;
    e.sequence = sequence;
    e.first = position - 1;
    e.last = position;
    e.stamps.received = position;
    if (type == MLT_EVENT_KLINE) {
        e.u.kline.interval = mlt_slice_of_string(interval);
    }
    assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_OK);
}

/* What the hop knows of owners; of tests that say so. */
static uint64_t heard[2];

static enum mlt_status ask(struct mlt_data_bus_core *core, uint32_t partitions, uint64_t epoch,
                           uint32_t partition, uint32_t from, Meltica__V1__HeadsReply **reply)
{
    Meltica__V1__HeadsRequest request = MELTICA__V1__HEADS_REQUEST__INIT;
    request.epoch = epoch;
    request.partition = partition;
    request.from = from;
    uint8_t bytes[64];
    const size_t size = meltica__v1__heads_request__pack(&request, bytes);
    struct mlt_buf answer;
    mlt_buf_init(&answer, 1u << 20);
    const enum mlt_status status =
        mlt_data_bus_heads_answer(core, partitions, heard, mlt_slice_of(bytes, size), &answer);
    if (status == MLT_OK) {
        *reply = meltica__v1__heads_reply__unpack(NULL, answer.len, answer.data);
        assert_non_null(*reply);
    }
    mlt_buf_fini(&answer);
    return status;
}

static void test_the_answer_says_where_each_channel_and_candle_stands(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(1);
    send_event(core, "BTC-USDT", MLT_EVENT_TRADE, 5, 1, 100, "");
    send_event(core, "BTC-USDT", MLT_EVENT_TRADE, 5, 2, 90, ""); /* a late one: 100 stays */
    send_event(core, "BTC-USDT", MLT_EVENT_KLINE, 6, 1, 200, "1m");
    send_event(core, "BTC-USDT", MLT_EVENT_KLINE, 6, 2, 198, "5m");
    send_event(core, "BTC-USDT", MLT_EVENT_STATUS, 6, 1, 777, ""); /* Meltica's own: no position */
    Meltica__V1__HeadsReply *reply = NULL;
    assert_int_equal(ask(core, 1, 9, 0, 0, &reply), MLT_OK);
    assert_int_equal(reply->next, 0);
    assert_int_equal(reply->fence, 9);
    assert_int_equal(reply->n_instruments, 1);
    const Meltica__V1__InstrumentHeads *i = reply->instruments[0];
    assert_string_equal(i->instrument, "BTC-USDT");
    assert_int_equal(i->epoch, 6);
    assert_int_equal(i->n_heads, 3);
    assert_int_equal(i->heads[0]->type, MLT_EVENT_TRADE);
    assert_int_equal(i->heads[0]->sequence, 0); /* rested in epoch 6 */
    assert_int_equal(i->heads[0]->last, 100);
    assert_int_equal(i->heads[1]->type, MLT_EVENT_KLINE);
    assert_int_equal(i->heads[1]->sequence, 2);
    assert_int_equal(i->heads[1]->last, 200);
    assert_int_equal(i->heads[2]->type, MLT_EVENT_STATUS);
    assert_int_equal(i->heads[2]->last, 0);
    assert_int_equal(i->n_candles, 2);
    assert_string_equal(i->candles[0]->interval, "1m");
    assert_int_equal(i->candles[0]->open_time, 199);
    assert_int_equal(i->candles[0]->event_time, 200);
    assert_string_equal(i->candles[1]->interval, "5m");
    assert_int_equal(i->candles[1]->event_time, 198);
    meltica__v1__heads_reply__free_unpacked(reply, NULL);
    mlt_data_bus_core_destroy(core);
}

static void test_what_heads_told_to_be_lost_is_not_asked_for_again(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(1);
    send_event(core, "BTC-USDT", MLT_EVENT_TRADE, 5, 1, 100, "");
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.type = MLT_EVENT_STATUS;
    e.epoch = 5;
    e.u.status.kind = MLT_STATUS_HEADS;
    e.u.status.head_count = 1;
    e.u.status.heads[0] = (struct mlt_head){ MLT_EVENT_TRADE, 3, 102 };
    assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_OK);
    Meltica__V1__HeadsReply *reply = NULL;
    assert_int_equal(ask(core, 1, 9, 0, 0, &reply), MLT_OK);
    assert_int_equal(reply->instruments[0]->heads[0]->sequence, 3);
    assert_int_equal(reply->instruments[0]->heads[0]->last, 102);
    meltica__v1__heads_reply__free_unpacked(reply, NULL);
    mlt_data_bus_core_destroy(core);
}

static void test_asking_fences_and_who_is_below_the_fence_is_told(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(1);
    send_event(core, "BTC-USDT", MLT_EVENT_TRADE, 5, 1, 100, "");
    Meltica__V1__HeadsReply *reply = NULL;
    assert_int_equal(ask(core, 1, 9, 0, 0, &reply), MLT_OK);
    meltica__v1__heads_reply__free_unpacked(reply, NULL);
    send_event(core, "BTC-USDT", MLT_EVENT_TRADE, 5, 2, 101, "");
    struct mlt_data_bus_counts counts;
    mlt_data_bus_core_counts(core, &counts);
    assert_int_equal(counts.stale_owner, 1);
    assert_int_equal(counts.out, 1);
    assert_int_equal(ask(core, 1, 8, 0, 0, &reply), MLT_OK);
    assert_int_equal(reply->fence, 9);
    assert_int_equal(reply->n_instruments, 0);
    meltica__v1__heads_reply__free_unpacked(reply, NULL);
    assert_int_equal(ask(core, 1, 8, 7, 0, &reply), MLT_E_RANGE);
    assert_int_equal(mlt_data_bus_heads_answer(core, 1, heard, MLT_SLICE_LITERAL("\xff"), NULL),
                     MLT_E_PARSE);
    mlt_data_bus_core_destroy(core);
}

/* Of the owner before came nothing but heads: who is below it would not be heard on the hop, and
 * has to learn of it here. */
static void test_an_epoch_that_only_the_hop_knows_fences_too(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(2);
    Meltica__V1__HeadsReply *reply = NULL;
    heard[1] = 20;
    assert_int_equal(ask(core, 2, 9, 1, 0, &reply), MLT_OK);
    assert_int_equal(reply->fence, 20);
    meltica__v1__heads_reply__free_unpacked(reply, NULL);
    assert_int_equal(ask(core, 2, 9, 0, 0, &reply), MLT_OK);
    assert_int_equal(reply->fence, 9);
    meltica__v1__heads_reply__free_unpacked(reply, NULL);
    assert_int_equal(ask(core, 2, 21, 1, 0, &reply), MLT_OK);
    assert_int_equal(reply->fence, 21);
    meltica__v1__heads_reply__free_unpacked(reply, NULL);
    heard[1] = 0;
    mlt_data_bus_core_destroy(core);
}

static void test_many_instruments_come_in_pages_each_once(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(1);
    const unsigned count = 2 * MLT_DATA_BUS_HEADS_PAGE + 3;
    for (unsigned n = 0; n < count; n++) {
        char token[32];
        (void)snprintf(token, sizeof token, "A%u-B", n);
        send_event(core, token, MLT_EVENT_TRADE, 5, 1, 1, "");
    }
    unsigned seen = 0, pages = 0;
    uint32_t from = 0;
    do {
        Meltica__V1__HeadsReply *reply = NULL;
        assert_int_equal(ask(core, 1, 9, 0, from, &reply), MLT_OK);
        for (size_t i = 0; i < reply->n_instruments; i++) {
            char token[32];
            (void)snprintf(token, sizeof token, "A%u-B", seen++);
            assert_string_equal(reply->instruments[i]->instrument, token);
        }
        from = reply->next;
        pages++;
        meltica__v1__heads_reply__free_unpacked(reply, NULL);
    } while (from != 0);
    assert_int_equal(seen, count);
    assert_int_equal(pages, 3);
    mlt_data_bus_core_destroy(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_answer_says_where_each_channel_and_candle_stands),
        cmocka_unit_test(test_what_heads_told_to_be_lost_is_not_asked_for_again),
        cmocka_unit_test(test_asking_fences_and_who_is_below_the_fence_is_told),
        cmocka_unit_test(test_an_epoch_that_only_the_hop_knows_fences_too),
        cmocka_unit_test(test_many_instruments_come_in_pages_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
