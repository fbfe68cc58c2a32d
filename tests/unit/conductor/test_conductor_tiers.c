/* What merges for want of room, in which order, and that the newest always leaves: the delivery
 * tiers of docs/wire-format.md. */
#include <stdlib.h>

#include "books_expect.h"

static void take(struct mlt_event *e, int64_t first, int64_t last)
{
    e->first = first;
    e->last = last;
    e->stamps.received = f.now_ns;
    e->key = mlt_event_key(e->instrument, e->type, first, last, 0);
    e->trace_id[0] = (uint8_t)last;
    fixture_send(&f, e);
}

static void send_bbo(int64_t id)
{
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BBO);
    e.u.bbo.bid_price = (struct mlt_decimal){ 1000 + id, -2 };
    take(&e, id, id);
}

static void send_ticker(int64_t at)
{
    struct mlt_event e = fixture_event(&f, MLT_EVENT_TICKER);
    e.u.ticker.last_price = (struct mlt_decimal){ 1000 + at, -2 };
    take(&e, at, at);
}

static void send_candle(const char *interval, int64_t open, int64_t at, bool closed)
{
    struct mlt_event e = fixture_event(&f, MLT_EVENT_KLINE);
    e.u.kline.interval = mlt_slice_of_string(interval);
    e.u.kline.close = (struct mlt_decimal){ 1000 + at, -2 };
    e.u.kline.closed = closed;
    take(&e, open, at);
}

static void send_trade(int64_t id)
{
    struct mlt_event e = fixture_event(&f, MLT_EVENT_TRADE);
    e.u.trade.trade_id = id;
    take(&e, id, id);
}

/* A core that has sent the first events of its channels: EPOCH_STARTED, BBO 10, TICKER 10. */
static void begin(void)
{
    fixture_open(&f, &fixture_books, false);
    send_bbo(10);
    send_ticker(10);
    assert_int_equal(f.count, 3);
    fixture_forget(&f);
}

static void room(enum mlt_conductor_room how)
{
    f.room = how;
    mlt_conductor_core_room(f.core);
}

/* The n-th that came out is the state at `last`, stands for `merged` others since `first`, and has
 * that number. */
static const struct mlt_event *expect_merged(size_t n, enum mlt_event_type type, uint64_t sequence,
                                             int64_t first, int64_t last, uint32_t merged)
{
    expect(n, type);
    const struct mlt_event *e = &f.out[n];
    assert_int_equal(e->sequence, sequence);
    assert_int_equal(e->first, first);
    assert_int_equal(e->last, last);
    assert_int_equal(e->merged, merged);
    assert_int_equal((e->quality & MLT_QUALITY_CONFLATED) != 0, merged > 0);
    assert_true(e->key == mlt_event_key(e->instrument, type, first, last, 0));
    assert_int_equal(e->trace_id[0], (uint8_t)last); /* of the newest, as all else */
    return e;
}

static void test_books_merge_first_then_quotes_and_all_else_leaves(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    fixture_delta(&f, 11, 11); /* a BOOK at once, and its window begins */
    send_bbo(1);
    send_ticker(1);
    send_candle("1m", 60, 61, false);
    fixture_forget(&f);
    /* Books wait, quotes do not. */
    room(MLT_ROOM_NOT_FOR_BOOKS);
    fixture_delta(&f, 12, 12);
    fixture_run(&f, f.now_ns + 200 * MLT_NS_PER_MS);
    send_bbo(2);
    send_ticker(2);
    send_candle("1m", 60, 62, false);
    assert_int_equal(f.count, 4);
    expect(0, MLT_EVENT_BOOK_DELTA);
    (void)expect_merged(1, MLT_EVENT_BBO, 2, 2, 2, 0);
    (void)expect_merged(2, MLT_EVENT_TICKER, 2, 2, 2, 0);
    expect(3, MLT_EVENT_KLINE);
    assert_int_equal(fixture_counts(&f).kept, 0);
    /* Quotes wait as well; trades and deltas do not. */
    fixture_forget(&f);
    room(MLT_ROOM_NOT_FOR_QUOTES);
    for (int64_t id = 3; id <= 5; id++) {
        send_bbo(id);
        send_ticker(id);
        send_candle("1m", 60, 60 + id, false);
        send_trade(id);
        fixture_delta(&f, 10 + id, 10 + id);
    }
    assert_int_equal(f.count, 6);
    for (size_t n = 0; n < 6; n += 2) {
        expect(n, MLT_EVENT_TRADE);
        expect(n + 1, MLT_EVENT_BOOK_DELTA);
    }
    assert_int_equal(fixture_counts(&f).kept, 3);
    /* In the other order it ends: quotes have room before books have it. */
    fixture_forget(&f);
    room(MLT_ROOM_NOT_FOR_BOOKS);
    assert_int_equal(f.count, 3);
    (void)expect_merged(0, MLT_EVENT_BBO, 3, 3, 5, 2);
    (void)expect_merged(1, MLT_EVENT_TICKER, 3, 3, 5, 2);
    expect(2, MLT_EVENT_KLINE);
    assert_int_equal(f.out[2].sequence, 3);
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(f.count, 4);
    (void)expect_book(3, MLT_BOOK_LIVE, 12, 15);
    const struct mlt_conductor_counts counts = fixture_counts(&f);
    assert_int_equal(counts.merged[MLT_EVENT_BBO], 2);
    assert_int_equal(counts.merged[MLT_EVENT_TICKER], 2);
    assert_int_equal(counts.merged[MLT_EVENT_KLINE], 2);
    assert_int_equal(counts.conflated, 1);
    assert_int_equal(counts.kept, 0);
    fixture_close(&f);
}

static void test_the_newest_covers_what_it_replaced_and_has_the_next_number(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    for (int64_t id = 20; id <= 60; id += 10) {
        f.now_ns += 10 * MLT_NS_PER_MS;
        send_bbo(id);
    }
    assert_int_equal(f.count, 0);
    const int64_t newest_ns = f.now_ns;
    f.now_ns += 10 * MLT_NS_PER_MS;
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(f.count, 1);
    const struct mlt_event *e = expect_merged(0, MLT_EVENT_BBO, 2, 20, 60, 4);
    assert_int_equal(e->u.bbo.bid_price.mantissa, 1060);
    assert_int_equal(e->stamps.received, newest_ns);
    assert_int_equal(e->stamps.conducted, f.now_ns);
    assert_int_equal(e->throttled_ns, 0); /* no window: it is late */
    room(MLT_ROOM_FOR_ALL);               /* once */
    send_bbo(70);
    assert_int_equal(f.count, 2);
    (void)expect_merged(1, MLT_EVENT_BBO, 3, 70, 70, 0);
    fixture_close(&f);
}

static void test_one_that_finds_room_leaves_for_those_that_wait(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_bbo(20);
    send_bbo(21);
    send_ticker(20);
    f.room = MLT_ROOM_FOR_ALL; /* and nobody has told yet */
    send_bbo(22);
    send_bbo(23);
    assert_int_equal(f.count, 2);
    (void)expect_merged(0, MLT_EVENT_BBO, 2, 20, 22, 2);
    (void)expect_merged(1, MLT_EVENT_BBO, 3, 23, 23, 0);
    mlt_conductor_core_room(f.core);
    assert_int_equal(f.count, 3); /* and no BBO again */
    (void)expect_merged(2, MLT_EVENT_TICKER, 2, 20, 20, 0);
    assert_int_equal(fixture_counts(&f).merged[MLT_EVENT_BBO], 2);
    fixture_close(&f);
}

static void test_no_more_leaves_than_there_is_room_for(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_ticker(20);
    send_bbo(20);
    send_ticker(21);
    f.full_at = 1;
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(f.count, 1); /* what waits for longest */
    (void)expect_merged(0, MLT_EVENT_TICKER, 2, 20, 21, 1);
    send_bbo(21);
    assert_int_equal(f.count, 1);
    f.full_at = 0;
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(f.count, 2);
    (void)expect_merged(1, MLT_EVENT_BBO, 2, 20, 21, 1);
    fixture_close(&f);
}

static void test_repeats_of_what_waits_are_repeats(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_bbo(21);
    send_bbo(20);
    send_bbo(21);
    assert_int_equal(fixture_counts(&f).duplicates, 2);
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(f.count, 1);
    (void)expect_merged(0, MLT_EVENT_BBO, 2, 21, 21, 0);
    fixture_close(&f);
}

static void expect_candle(size_t n, const char *interval, int64_t open, int64_t at, bool closed,
                          uint32_t merged)
{
    expect(n, MLT_EVENT_KLINE);
    const struct mlt_event *e = &f.out[n];
    assert_true(mlt_slice_equal_string(e->u.kline.interval, interval));
    assert_int_equal(e->sequence, n + 1);
    assert_int_equal(e->first, open);
    assert_int_equal(e->last, at);
    assert_int_equal(e->u.kline.close.mantissa, 1000 + at);
    assert_int_equal(e->u.kline.closed, closed);
    assert_int_equal(e->merged, merged);
}

/* A candle that closes is never merged away, nor does one candle replace another one. */
static void test_candles_merge_while_they_are_open_each_by_itself(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_candle("1m", 60, 61, false);
    send_candle("5m", 0, 62, false);
    send_candle("1m", 60, 63, false);
    assert_int_equal(f.count, 0);
    send_candle("1m", 60, 119, true); /* leaves at once, for its updates too */
    assert_int_equal(f.count, 1);
    expect_candle(0, "1m", 60, 119, true, 2);
    send_candle("1m", 120, 121, false);
    send_candle("1m", 120, 179, false); /* and nobody says that it closes */
    send_candle("1m", 180, 181, false);
    assert_int_equal(f.count, 2);
    expect_candle(1, "1m", 120, 179, false, 1);
    send_candle("1m", 240, 299, true);
    assert_int_equal(f.count, 4);
    expect_candle(2, "1m", 180, 181, false, 0);
    expect_candle(3, "1m", 240, 299, true, 0);
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(f.count, 5);
    expect_candle(4, "5m", 0, 62, false, 0);
    assert_int_equal(fixture_counts(&f).merged[MLT_EVENT_KLINE], 3);
    fixture_close(&f);
}

static void test_what_waits_leaves_once_a_second_without_room(void **state)
{
    (void)state;
    begin();
    fixture_delta(&f, 10, 10);
    fixture_snapshot(&f, 10);
    fixture_run(&f, f.now_ns + 200 * MLT_NS_PER_MS);
    fixture_forget(&f);
    room(MLT_ROOM_NOT_FOR_QUOTES);
    const int64_t start = f.now_ns;
    size_t bbos = 0, books = 0, deltas = 0;
    uint32_t merged = 0;
    for (int64_t id = 11; id < 511; id++) { /* 5 s */
        fixture_delta(&f, id, id);
        send_bbo(id);
        fixture_run(&f, start + (id - 10) * 10 * MLT_NS_PER_MS);
    }
    for (size_t n = 0; n < f.count; n++) {
        bbos += f.out[n].type == MLT_EVENT_BBO;
        books += f.out[n].type == MLT_EVENT_BOOK;
        deltas += f.out[n].type == MLT_EVENT_BOOK_DELTA;
        merged += f.out[n].type == MLT_EVENT_BBO ? f.out[n].merged + 1 : 0;
    }
    assert_int_equal(deltas, 500);
    assert_in_range(bbos, 4, 5);
    assert_in_range(books, 4, 6);
    fixture_forget(&f);
    room(MLT_ROOM_FOR_ALL);
    for (size_t n = 0; n < f.count; n++) {
        merged += f.out[n].type == MLT_EVENT_BBO ? f.out[n].merged + 1 : 0;
    }
    assert_int_equal(merged, 500);
    fixture_close(&f);
}

static void test_a_word_of_the_source_comes_after_what_was_before_it(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_bbo(20);
    send_bbo(21);
    send_candle("1m", 60, 61, false);
    fixture_status(&f, MLT_STATUS_SOURCE_DOWN);
    assert_int_equal(f.count, 3);
    (void)expect_merged(0, MLT_EVENT_BBO, 2, 20, 21, 1);
    expect(1, MLT_EVENT_KLINE);
    expect(2, MLT_EVENT_STATUS);
    fixture_close(&f);
}

static void test_a_loss_is_said_after_what_waited_and_before_what_follows(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_bbo(20);
    mlt_conductor_core_lost(f.core, mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4, "hop_overrun");
    send_bbo(30);
    send_bbo(31);
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(f.count, 3);
    assert_int_equal(expect_merged(0, MLT_EVENT_BBO, 2, 20, 20, 0)->quality, 0);
    expect(1, MLT_EVENT_STATUS);
    assert_int_equal(f.out[1].u.status.kind, MLT_STATUS_LOST);
    const struct mlt_event *e = expect_merged(2, MLT_EVENT_BBO, 3, 30, 31, 1);
    assert_int_equal(e->quality, MLT_QUALITY_AFTER_GAP | MLT_QUALITY_CONFLATED);
    fixture_close(&f);
}

static void test_what_was_refused_is_said_between_what_waited_and_what_follows(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_bbo(20);
    fixture_refuse(&f, MLT_EVENT_BBO);
    assert_int_equal(f.count, 2);
    assert_int_equal(expect_merged(0, MLT_EVENT_BBO, 2, 20, 20, 0)->quality, 0);
    assert_int_equal(f.out[1].u.status.kind, MLT_STATUS_LOST);
    fixture_refuse(&f, MLT_EVENT_BBO); /* said: the next one has the mark */
    assert_int_equal(f.count, 2);
    send_bbo(30);
    fixture_refuse(&f, MLT_EVENT_BBO);
    assert_int_equal(f.count, 4);
    assert_int_equal(expect_merged(2, MLT_EVENT_BBO, 3, 30, 30, 0)->quality, MLT_QUALITY_AFTER_GAP);
    assert_int_equal(f.out[3].u.status.kind, MLT_STATUS_LOST);
    send_bbo(40);
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(expect_merged(4, MLT_EVENT_BBO, 4, 40, 40, 0)->quality, MLT_QUALITY_AFTER_GAP);
    fixture_close(&f);
}

static void test_at_the_end_what_waits_leaves_and_nothing_waits_any_more(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_bbo(20);
    send_bbo(21);
    assert_int_equal(mlt_conductor_core_drain(f.core), 0);
    assert_int_equal(f.count, 1);
    (void)expect_merged(0, MLT_EVENT_BBO, 2, 20, 21, 1);
    send_bbo(22);
    assert_int_equal(f.count, 2);
    assert_int_equal(mlt_conductor_core_due_ns(f.core), INT64_MAX);
    fixture_close(&f);
}

static const struct mlt_head *head_of(const struct mlt_event *e, enum mlt_event_type type)
{
    for (size_t h = 0; h < e->u.status.head_count; h++) {
        if (e->u.status.heads[h].type == type) {
            return &e->u.status.heads[h];
        }
    }
    return NULL;
}

static void test_heads_name_what_left_and_not_what_waits(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_bbo(20);
    send_candle("1m", 60, 61, false); /* the first of its channel */
    mlt_conductor_core_heads(f.core, UINT64_MAX);
    assert_int_equal(f.count, 1);
    const struct mlt_head *bbo = head_of(&f.out[0], MLT_EVENT_BBO);
    assert_non_null(bbo);
    assert_int_equal(bbo->sequence, 1);
    assert_int_equal(bbo->last, 10);
    assert_null(head_of(&f.out[0], MLT_EVENT_KLINE));
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
    assert_int_equal(mlt_conductor_core_heads_of(f.core, FIXTURE_INSTRUMENT, heads), 3);
    assert_int_equal(heads[1].type, MLT_EVENT_BBO);
    assert_int_equal(heads[1].last, 10);
    room(MLT_ROOM_FOR_ALL);
    fixture_forget(&f);
    mlt_conductor_core_heads(f.core, UINT64_MAX);
    assert_int_equal(f.count, 1);
    assert_int_equal(head_of(&f.out[0], MLT_EVENT_BBO)->sequence, 2);
    assert_int_equal(head_of(&f.out[0], MLT_EVENT_BBO)->last, 20);
    assert_int_equal(head_of(&f.out[0], MLT_EVENT_KLINE)->last, 61);
    fixture_close(&f);
}

static void test_what_waits_leaves_in_the_next_epoch_of_its_owner(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_bbo(20);
    fixture_epoch(&f, 8);
    send_trade(1);
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(f.count, 3);
    expect(0, MLT_EVENT_STATUS);
    assert_int_equal(f.out[0].u.status.kind, MLT_STATUS_EPOCH_STARTED);
    assert_int_equal(head_of(&f.out[0], MLT_EVENT_BBO)->last, 10); /* the last that left */
    expect(1, MLT_EVENT_TRADE);
    assert_int_equal(expect_merged(2, MLT_EVENT_BBO, 1, 20, 20, 0)->epoch, 8);
    fixture_close(&f);
}

static void test_what_waited_for_an_owner_of_before_does_not_leave(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_bbo(20);
    fixture_epoch(&f, 0);
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(f.count, 0);
    assert_int_equal(fixture_counts(&f).kept_dropped, 1);
    assert_int_equal(fixture_counts(&f).kept, 0);
    assert_int_equal(mlt_conductor_core_due_ns(f.core), INT64_MAX);
    fixture_close(&f);
}

/* ---- allocations ---- */

static size_t allocations;
static bool refused; /* there is no memory */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return refused ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return refused ? NULL : __real_realloc(memory, size);
}

static size_t emitted;

static void count_emitted(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    (void)ctx;
    (void)partition;
    (void)event;
    emitted++;
}

/* One place an instrument and type, whatever comes, and no allocation once it is there. */
static void test_what_waits_has_one_place_and_no_more_memory(void **state)
{
    (void)state;
    begin();
    mlt_conductor_core_destroy(f.core);
    const struct mlt_conductor_ports ports = {
        .emit = count_emitted, .room = fixture_room, .ctx = &f, .clock = &f.clock
    };
    assert_int_equal(mlt_conductor_core_create(4, &ports, &f.core), MLT_OK);
    fixture_epoch(&f, 7);
    size_t before = 0;
    emitted = 0;
    for (int64_t id = 1; id <= 10000; id++) {
        f.room = id % 100 == 0 ? MLT_ROOM_FOR_ALL : MLT_ROOM_NOT_FOR_QUOTES;
        send_bbo(id);
        send_ticker(id);
        send_candle("1m", 0, id, false);
        mlt_conductor_core_room(f.core);
        if (id == 100) { /* each has left for the first time */
            assert_true(allocations > 0);
            before = allocations;
        }
    }
    assert_int_equal(allocations, before);
    assert_int_equal(emitted, 1 + 3 * 100); /* EPOCH_STARTED */
    assert_int_equal(fixture_counts(&f).merged[MLT_EVENT_BBO], 9900);
    fixture_close(&f);
}

static void test_without_memory_a_quote_leaves_rather_than_never(void **state)
{
    (void)state;
    begin();
    room(MLT_ROOM_NOT_FOR_QUOTES);
    send_ticker(20); /* has a place */
    refused = true;
    send_bbo(20);
    send_bbo(21);
    send_ticker(21);
    refused = false;
    assert_int_equal(f.count, 2);
    (void)expect_merged(0, MLT_EVENT_BBO, 2, 20, 20, 0);
    (void)expect_merged(1, MLT_EVENT_BBO, 3, 21, 21, 0);
    room(MLT_ROOM_FOR_ALL);
    assert_int_equal(f.count, 3);
    (void)expect_merged(2, MLT_EVENT_TICKER, 2, 20, 21, 1);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_books_merge_first_then_quotes_and_all_else_leaves),
        cmocka_unit_test(test_the_newest_covers_what_it_replaced_and_has_the_next_number),
        cmocka_unit_test(test_one_that_finds_room_leaves_for_those_that_wait),
        cmocka_unit_test(test_no_more_leaves_than_there_is_room_for),
        cmocka_unit_test(test_repeats_of_what_waits_are_repeats),
        cmocka_unit_test(test_candles_merge_while_they_are_open_each_by_itself),
        cmocka_unit_test(test_what_waits_leaves_once_a_second_without_room),
        cmocka_unit_test(test_a_word_of_the_source_comes_after_what_was_before_it),
        cmocka_unit_test(test_a_loss_is_said_after_what_waited_and_before_what_follows),
        cmocka_unit_test(test_what_was_refused_is_said_between_what_waited_and_what_follows),
        cmocka_unit_test(test_at_the_end_what_waits_leaves_and_nothing_waits_any_more),
        cmocka_unit_test(test_heads_name_what_left_and_not_what_waits),
        cmocka_unit_test(test_what_waits_leaves_in_the_next_epoch_of_its_owner),
        cmocka_unit_test(test_what_waited_for_an_owner_of_before_does_not_leave),
        cmocka_unit_test(test_what_waits_has_one_place_and_no_more_memory),
        cmocka_unit_test(test_without_memory_a_quote_leaves_rather_than_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
