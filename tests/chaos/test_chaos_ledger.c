/*
 * The ledger of ./dev chaos: what it takes for a silent hole, for a duplicate and for a hole that
 * was told of; and how long a book took to be LIVE again.
 */
#include "mlt_test.h"

#include <stdio.h>

#include "chaos_damaged.h"
#include "chaos_quotes.h"
#include "chaos_recovery.h"
#include "meltica/base/clock.h"

#define S MLT_NS_PER_S

static struct chaos_ledger ledger;
static int64_t now_ns;

static int open_ledger(void **state)
{
    (void)state;
    now_ns = 1000 * S;
    chaos_ledger_open(&ledger, 2);
    return 0;
}

static int close_ledger(void **state)
{
    (void)state;
    chaos_ledger_close(&ledger);
    return 0;
}

static void give(const struct mlt_event *event)
{
    struct mlt_event e = *event;
    e.instrument = mlt_slice_of_string("SYM0001-USDT");
    e.epoch = e.epoch > 0 ? e.epoch : 5;
    e.key = e.key != 0 ? e.key : (uint64_t)e.last;
    chaos_ledger_event(&ledger, &e, now_ns);
}

static void trade(uint64_t sequence, int64_t id, uint32_t quality)
{
    give(&(struct mlt_event){ .type = MLT_EVENT_TRADE,
                              .sequence = sequence,
                              .first = id,
                              .last = id,
                              .quality = quality });
}

static void delta(uint64_t sequence, int64_t first, int64_t last)
{
    give(&(struct mlt_event){ .type = MLT_EVENT_BOOK_DELTA,
                              .sequence = sequence,
                              .first = first,
                              .last = last,
                              .u.book_delta.digest_version = 1 });
}

static void quote(uint64_t epoch, uint64_t sequence, int64_t id)
{
    give(&(struct mlt_event){
        .type = MLT_EVENT_BBO, .epoch = epoch, .sequence = sequence, .first = id, .last = id });
}

static void status(const struct mlt_status_event *said, uint64_t epoch, uint64_t sequence)
{
    struct mlt_event e = { .type = MLT_EVENT_STATUS, .epoch = epoch, .sequence = sequence };
    e.u.status = *said;
    give(&e);
}

static void live(uint64_t sequence)
{
    status(&(struct mlt_status_event){ .kind = MLT_STATUS_LIVE }, 5, sequence);
}

static void assert_counts(uint64_t silent, uint64_t duplicates)
{
    if (ledger.silent_holes != silent || ledger.duplicates != duplicates) {
        fail_msg("%d silent (%s), %d duplicates (%s)", (int)ledger.silent_holes,
                 ledger.first_silent, (int)ledger.duplicates, ledger.first_duplicate);
    }
}

static void test_what_follows_is_no_hole(void **state)
{
    (void)state;
    live(1);
    trade(1, 100, 0);
    trade(2, 101, 0);
    delta(1, 7, 9);
    delta(2, 10, 12);
    trade(2, 101, 0); /* the Data Bus was killed: once more, and ignored */
    assert_counts(0, 0);
    assert_int_equal(ledger.repeats, 1);
}

static void test_numbers_that_nobody_names_are_a_silent_hole(void **state)
{
    (void)state;
    trade(1, 100, 0);
    trade(3, 102, 0);
    assert_counts(1, 0);
    assert_non_null(strstr(ledger.first_silent, "numbers are missing: SYM0001-USDT TRADE"));
}

static void test_numbers_that_lost_names_are_not(void **state)
{
    (void)state;
    trade(1, 100, 0);
    status(&(struct mlt_status_event){ .kind = MLT_STATUS_LOST, .lost_type = MLT_EVENT_TRADE }, 5,
           0);
    trade(3, 102, 0);
    assert_counts(0, 0);
    assert_int_equal(ledger.named[CHAOS_BY_LOST], 1);
    trade(5, 104, 0); /* it names no second one */
    assert_counts(1, 0);
}

static void test_numbers_are_lost_only_while_nats_is_away(void **state)
{
    (void)state;
    trade(1, 100, 0);
    chaos_ledger_outage(&ledger, now_ns);
    chaos_ledger_outage_over(&ledger, now_ns + S);
    now_ns += 2 * S;
    trade(4, 103, 0);
    assert_counts(0, 0);
    assert_int_equal(ledger.named[CHAOS_BY_OUTAGE], 1);
    now_ns += 60 * S;
    trade(5, 104, 0);
    trade(7, 106, 0);
    assert_counts(1, 0);
}

/* Those that the consumer missed itself do not come again, however it was told. */
static void test_events_of_an_outage_that_heads_name_are_not_awaited(void **state)
{
    (void)state;
    const struct mlt_status_event heads = { .kind = MLT_STATUS_HEADS,
                                            .head_count = 1,
                                            .heads = { { MLT_EVENT_TRADE, 3, 102 } } };
    trade(1, 100, 0);
    chaos_ledger_outage(&ledger, now_ns);
    chaos_ledger_outage_over(&ledger, now_ns + S);
    now_ns += S;
    status(&heads, 5, 0);
    trade(4, 103, 0);
    assert_int_equal(ledger.named[CHAOS_BY_OUTAGE], 1);
    assert_int_equal(ledger.named[CHAOS_BY_SEQUENCE], 1);
    assert_int_equal(ledger.named[CHAOS_BY_MISSING], 0);
    assert_int_equal(chaos_ledger_awaited(&ledger), 0);
    trade(5, 105, 0); /* it names no second one */
    assert_counts(1, 0);
}

static void test_a_last_event_that_heads_names(void **state)
{
    (void)state;
    const struct mlt_status_event heads = { .kind = MLT_STATUS_HEADS,
                                            .head_count = 1,
                                            .heads = { { MLT_EVENT_TRADE, 2, 101 } } };
    trade(1, 100, 0);
    status(&heads, 5, 0);
    assert_counts(1, 0); /* no outage: it should have come */
    status(&heads, 5, 0);
    assert_counts(1, 0); /* counted once */
}

static void test_an_epoch_has_to_be_announced(void **state)
{
    (void)state;
    trade(1, 100, 0);
    give(&(struct mlt_event){
        .type = MLT_EVENT_TRADE, .epoch = 6, .sequence = 1, .first = 101, .last = 101 });
    assert_counts(1, 0);
    status(&(struct mlt_status_event){ .kind = MLT_STATUS_EPOCH_STARTED,
                                       .previous_epoch = 6,
                                       .head_count = 1,
                                       .heads = { { MLT_EVENT_TRADE, 3, 103 } } },
           7, 1);
    assert_int_equal(ledger.named[CHAOS_BY_EPOCH], 1); /* 2 and 3 of the epoch before */
    give(&(struct mlt_event){
        .type = MLT_EVENT_TRADE, .epoch = 7, .sequence = 1, .first = 104, .last = 104 });
    assert_counts(1, 0);
}

static void test_trades_that_are_missing(void **state)
{
    (void)state;
    trade(1, 100, 0);
    trade(2, 105, 0); /* in sequence, and not said */
    assert_counts(1, 0);
    trade(3, 110, MLT_QUALITY_AFTER_GAP);
    status(&(struct mlt_status_event){ .kind = MLT_STATUS_MISSING,
                                       .lost_type = MLT_EVENT_TRADE,
                                       .update_first = 106,
                                       .update_last = 109 },
           5, 1);
    trade(4, 107, MLT_QUALITY_LATE | MLT_QUALITY_BACKFILLED);
    trade(5, 106, MLT_QUALITY_LATE | MLT_QUALITY_BACKFILLED);
    assert_int_equal(ledger.filled, 2);
    assert_int_equal(chaos_ledger_awaited(&ledger), 2); /* 101 to 104, 108 to 109 */
    status(&(struct mlt_status_event){ .kind = MLT_STATUS_UNFILLABLE,
                                       .lost_type = MLT_EVENT_TRADE,
                                       .update_first = 108,
                                       .update_last = 109 },
           5, 2);
    assert_int_equal(chaos_ledger_awaited(&ledger), 1);
    assert_counts(1, 0);
    const struct chaos_heads heads[2] = { { .last = { [MLT_EVENT_TRADE] = 110 } } };
    chaos_ledger_end(&ledger, heads);
    assert_counts(2, 0); /* 101 to 104 never came */
}

static void test_a_late_trade_has_to_say_so(void **state)
{
    (void)state;
    trade(1, 100, 0);
    trade(2, 103, MLT_QUALITY_AFTER_GAP);
    trade(3, 101, MLT_QUALITY_LATE);
    assert_int_equal(ledger.disorders, 0);
    trade(4, 102, 0);
    assert_int_equal(ledger.disorders, 1);
    assert_non_null(strstr(ledger.first_disorder, "late, and it does not say so: SYM0001-USDT"));
    assert_int_equal(ledger.filled, 2);
    assert_counts(0, 0);
}

/* Their ids jump, and never go back: nor when another owner numbers them. */
static void test_quotes_do_not_go_back(void **state)
{
    (void)state;
    quote(5, 1, 10);
    quote(5, 2, 17);
    quote(5, 2, 17); /* once more: a consumer ignores it */
    assert_counts(0, 0);
    assert_int_equal(ledger.disorders, 0);
    quote(5, 3, 12);
    assert_int_equal(ledger.disorders, 1);
    assert_non_null(strstr(ledger.first_disorder, "a quote older than the one before it"));
    quote(5, 4, 16); /* older than 17 still */
    assert_int_equal(ledger.disorders, 2);
    quote(5, 5, 17);
    assert_counts(0, 1);
    status(&(struct mlt_status_event){ .kind = MLT_STATUS_EPOCH_STARTED, .previous_epoch = 5 }, 6,
           1);
    quote(6, 1, 16);
    assert_int_equal(ledger.disorders, 3);
    quote(6, 2, 18);
    assert_int_equal(ledger.disorders, 3);
    assert_counts(0, 1);
}

/* What an outage took may be the next ids, where late ones come first, and late ones. */
static void test_numbers_that_are_missing_between_late_trades(void **state)
{
    (void)state;
    trade(1, 100, 0);
    trade(2, 105, MLT_QUALITY_AFTER_GAP);
    trade(3, 101, MLT_QUALITY_LATE | MLT_QUALITY_BACKFILLED);
    chaos_ledger_outage(&ledger, now_ns);
    chaos_ledger_outage_over(&ledger, now_ns + S);
    trade(6, 103, MLT_QUALITY_LATE | MLT_QUALITY_BACKFILLED); /* 4 and 5: 102 and 106 */
    trade(7, 107, 0);
    assert_counts(0, 0);
    trade(8, 109, 0); /* that one is another one */
    assert_counts(1, 0);
    const struct chaos_heads heads[2] = { { .last = { [MLT_EVENT_TRADE] = 109 } } };
    trade(9, 108, MLT_QUALITY_LATE | MLT_QUALITY_BACKFILLED);
    chaos_ledger_end(&ledger, heads);
    assert_counts(1, 0);
}

static void test_part_of_a_range_is_unfillable(void **state)
{
    (void)state;
    trade(1, 100, 0);
    trade(2, 111, MLT_QUALITY_AFTER_GAP);
    status(&(struct mlt_status_event){ .kind = MLT_STATUS_UNFILLABLE,
                                       .lost_type = MLT_EVENT_TRADE,
                                       .update_first = 103,
                                       .update_last = 105 },
           5, 1);
    for (int64_t id = 101; id <= 110; id++) {
        if (id < 103 || id > 105) {
            trade((uint64_t)(3 + id - 101), id, MLT_QUALITY_LATE | MLT_QUALITY_BACKFILLED);
        }
    }
    assert_int_equal(chaos_ledger_awaited(&ledger), 0);
    assert_int_equal(ledger.filled, 7);
}

static void test_an_event_in_two_numbers_is_a_duplicate(void **state)
{
    (void)state;
    trade(1, 100, 0);
    trade(2, 101, 0);
    trade(3, 101, 0);
    assert_counts(0, 1);
    delta(1, 7, 9);
    delta(2, 8, 9);
    assert_counts(0, 2);
}

static void test_two_events_of_one_number_are_a_duplicate(void **state)
{
    (void)state;
    trade(1, 100, 0);
    trade(2, 101, 0);
    trade(2, 102, 0);
    assert_counts(0, 1);
    assert_non_null(strstr(ledger.first_duplicate, "two events of one number"));
}

static void test_a_book_that_goes_on_without_its_deltas(void **state)
{
    (void)state;
    live(1);
    delta(1, 1, 9);
    delta(2, 12, 15);
    assert_counts(1, 0);
    status(&(struct mlt_status_event){ .kind = MLT_STATUS_GAP }, 5, 2);
    delta(3, 18, 20);
    assert_counts(1, 0);
    assert_int_equal(ledger.named[CHAOS_BY_STATUS], 1);
    live(3);
    delta(4, 21, 22);
    delta(5, 24, 25);
    assert_counts(2, 0);
    give(&(struct mlt_event){ .type = MLT_EVENT_BOOK_SNAPSHOT,
                              .sequence = 1,
                              .first = 30,
                              .last = 30,
                              .u.book_snapshot = { .last_update_id = 30, .reset = true } });
    delta(6, 29, 33); /* the snapshot has 26 to 28 */
    assert_counts(2, 0);
    assert_int_equal(ledger.named[CHAOS_BY_SNAPSHOT], 1);
    delta(7, 36, 37);
    assert_counts(3, 0);
}

static void test_the_end_has_to_be_reached(void **state)
{
    (void)state;
    trade(1, 100, 0);
    const struct chaos_heads heads[2] = { { .last = { [MLT_EVENT_TRADE] = 101 } } };
    assert_false(chaos_ledger_reached(&ledger, 0, MLT_EVENT_TRADE, 101));
    chaos_ledger_end(&ledger, heads);
    assert_counts(1, 0);
}

static void test_what_is_not_ours(void **state)
{
    (void)state;
    const struct mlt_event e = { .instrument = mlt_slice_of_string("SYM0003-USDT"),
                                 .type = MLT_EVENT_TRADE };
    chaos_ledger_event(&ledger, &e, now_ns);
    assert_int_equal(ledger.foreign, 1);
}

/* ---- recovery ---- */

static void test_a_recovery_is_timed_from_the_end_of_the_last_fault(void **state)
{
    (void)state;
    static struct chaos_recovery r;
    chaos_recovery_open(&r, 2);
    assert_false(chaos_recovery_all_live(&r, 1, 1));
    const struct chaos_fault kill = {
        .kind = CHAOS_KILL_ADAPTER, .symbol = CHAOS_ALL, .begin_ns = 10 * S, .end_ns = 11 * S
    };
    const struct chaos_fault slow = {
        .kind = CHAOS_SLOW, .symbol = 0, .begin_ns = 12 * S, .end_ns = 14 * S, .id = 50
    };
    chaos_recovery_live(&r, 0, 9 * S, 9 * S, 40);  /* before */
    chaos_recovery_live(&r, 0, 12 * S, 9 * S, 41); /* came later, was received before */
    chaos_recovery_fault(&r, &kill);
    chaos_recovery_fault(&r, &slow);
    chaos_recovery_live(&r, 1, 12 * S, 12 * S, 7);
    assert_int_equal(chaos_recovery_judge(&r), 2);
    chaos_recovery_live(&r, 0, 15 * S, 15 * S, 50);
    assert_int_equal(chaos_recovery_judge(&r), 0);
    assert_int_equal(r.took.count, 2);
    assert_int_equal(r.took_by_kind[CHAOS_KILL_ADAPTER].max_ns, 1 * S); /* not 4 */
    assert_int_equal(r.took_by_kind[CHAOS_SLOW].max_ns, 1 * S);
    assert_true(chaos_recovery_all_live(&r, 12 * S, 12 * S));
    assert_false(chaos_recovery_all_live(&r, 13 * S, 12 * S));
    chaos_recovery_close(&r);
}

static void test_what_keeps_every_call_keeps_every_book(void **state)
{
    (void)state;
    static struct chaos_recovery r;
    chaos_recovery_open(&r, 2);
    const struct chaos_fault drop = {
        .kind = CHAOS_DROP, .symbol = 0, .begin_ns = 10 * S, .end_ns = 10 * S, .id = 50
    };
    struct chaos_fault busy = {
        .kind = CHAOS_BUSY, .symbol = 1, .begin_ns = 11 * S, .end_ns = 13 * S, .id = 7
    };
    busy.felt_by_all = true;
    chaos_recovery_fault(&r, &drop);
    chaos_recovery_fault(&r, &busy);
    chaos_recovery_live(&r, 0, 14 * S, 14 * S, 50);
    assert_int_equal(chaos_recovery_judge(&r), 1); /* the book of its own has to get over it */
    assert_int_equal(r.took.max_ns, 1 * S);
    chaos_recovery_close(&r);
}

static void test_a_book_below_the_fault_is_no_recovery(void **state)
{
    (void)state;
    static struct chaos_recovery r;
    chaos_recovery_open(&r, 1);
    const struct chaos_fault drop = {
        .kind = CHAOS_DROP, .begin_ns = 10 * S, .end_ns = 10 * S, .id = 50
    };
    chaos_recovery_fault(&r, &drop);
    chaos_recovery_live(&r, 0, 11 * S, 11 * S, 49);
    assert_int_equal(chaos_recovery_judge(&r), 1);
    chaos_recovery_live(&r, 0, 13 * S, 13 * S, 51);
    assert_int_equal(chaos_recovery_judge(&r), 0);
    assert_int_equal(r.took.max_ns, 3 * S);
    chaos_recovery_close(&r);
}

/* ---- quotes ---- */

static void test_quotes_are_the_touch_of_the_exchanges_book(void **state)
{
    (void)state;
    static struct chaos_quotes q;
    struct chaos_quote waiting[CHAOS_QUOTES];
    memset(&q, 0, sizeof q);
    struct mlt_event e = { .type = MLT_EVENT_BBO, .first = 7, .last = 7 };
    e.u.bbo = (struct mlt_bbo){ { 1010, -2 }, { 5, -1 }, { 1020, -2 }, { 3, 0 } };
    for (unsigned i = 0; i < CHAOS_QUOTES + 1; i++) {
        chaos_quotes_take(&q, 1, &e);
    }
    assert_int_equal(chaos_quotes_waiting(&q, 0, waiting), 0);
    assert_int_equal(chaos_quotes_waiting(&q, 1, waiting), CHAOS_QUOTES); /* no more are kept */
    assert_int_equal(chaos_quotes_waiting(&q, 1, waiting), 0);
    assert_int_equal(waiting[0].id, 7);
    static const struct {
        const char *answer;
        uint64_t wrong, unknown;
    } cases[] = {
        { "{\"exact\":true,\"bids\":[[\"10.10\",\"0.50000000\"],[\"9\",\"1\"]],"
          "\"asks\":[[\"10.2\",\"3\"]]}",
          0, 0 },
        { "{\"exact\":true,\"bids\":[[\"10.11\",\"0.5\"]],\"asks\":[[\"10.2\",\"3\"]]}", 1, 0 },
        { "{\"exact\":true,\"bids\":[[\"10.10\",\"0.6\"]],\"asks\":[[\"10.2\",\"3\"]]}", 1, 0 },
        { "{\"exact\":true,\"bids\":[[\"10.10\",\"0.5\"]],\"asks\":[[\"10.3\",\"3\"]]}", 1, 0 },
        { "{\"exact\":true,\"bids\":[[\"10.10\",\"0.5\"]],\"asks\":[[\"10.2\",\"4\"]]}", 1, 0 },
        { "{\"exact\":true,\"bids\":[],\"asks\":[[\"10.2\",\"3\"]]}", 1, 0 },
        { "{\"exact\":false,\"bids\":[[\"10.10\",\"0.5\"]],\"asks\":[[\"10.2\",\"3\"]]}", 1, 0 },
        { "null", 0, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *answer = cJSON_Parse(cases[i].answer);
        assert_non_null(answer);
        q.wrong = q.unknown = 0;
        q.first_wrong[0] = '\0';
        chaos_quotes_compare(&q, 1, &waiting[0], answer);
        assert_int_equal(q.checked, i + 1);
        assert_int_equal(q.wrong, cases[i].wrong);
        assert_int_equal(q.unknown, cases[i].unknown);
        assert_true((strstr(q.first_wrong, "SYM0002-USDT at update id 7") != NULL) ==
                    (cases[i].wrong + cases[i].unknown > 0));
        cJSON_Delete(answer);
    }
}

/* ---- damaged frames ---- */

static void test_each_damaged_frame_has_its_rejection(void **state)
{
    (void)state;
    struct chaos_damaged d;
    chaos_damaged_open(&d);
    chaos_damaged_frame(&d, 100 * S, 80);
    chaos_damaged_frame(&d, 100 * S, 80);
    chaos_damaged_frame(&d, 101 * S, 33);
    chaos_damaged_frame(&d, 200 * S, 44);
    chaos_damaged_frame(&d, 300 * S, 55);
    chaos_damaged_rejection(&d, 100 * S + 1, 80, 0);
    chaos_damaged_rejection(&d, 100 * S + 2, 80, 3);
    chaos_damaged_rejection(&d, 112 * S, 33, 0); /* too late to be that one's */
    chaos_damaged_rejection(&d, 200 * S, 43, 0); /* of another frame */
    chaos_damaged_excuse(&d, 199 * S, 201 * S);
    chaos_damaged_judge(&d);
    assert_int_equal(d.said, 2);
    assert_int_equal(d.excused, 1);
    assert_int_equal(d.unsaid, 2);
    assert_int_equal(d.first_unsaid_ns, 101 * S);
    assert_int_equal(d.suppressed, 3);
    chaos_damaged_close(&d);
    /* One Rejection is not that of two. */
    chaos_damaged_open(&d);
    chaos_damaged_frame(&d, 100 * S, 80);
    chaos_damaged_frame(&d, 100 * S, 80);
    chaos_damaged_rejection(&d, 100 * S, 80, 0);
    chaos_damaged_judge(&d);
    assert_int_equal(d.said, 1);
    assert_int_equal(d.unsaid, 1);
    chaos_damaged_close(&d);
}

static void test_more_than_is_remembered_is_counted(void **state)
{
    (void)state;
    struct chaos_damaged d;
    chaos_damaged_open(&d);
    for (unsigned i = 0; i < CHAOS_DAMAGED_MAX + 2; i++) {
        chaos_damaged_rejection(&d, S, 80, 0);
    }
    assert_int_equal(d.forgotten, 2);
    assert_int_equal(d.rejection_count, CHAOS_DAMAGED_MAX);
    chaos_damaged_close(&d);
}

#define LEDGER_TEST(test) cmocka_unit_test_setup_teardown(test, open_ledger, close_ledger)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEDGER_TEST(test_what_follows_is_no_hole),
        LEDGER_TEST(test_numbers_that_nobody_names_are_a_silent_hole),
        LEDGER_TEST(test_numbers_that_lost_names_are_not),
        LEDGER_TEST(test_numbers_are_lost_only_while_nats_is_away),
        LEDGER_TEST(test_events_of_an_outage_that_heads_name_are_not_awaited),
        LEDGER_TEST(test_a_last_event_that_heads_names),
        LEDGER_TEST(test_an_epoch_has_to_be_announced),
        LEDGER_TEST(test_trades_that_are_missing),
        LEDGER_TEST(test_a_late_trade_has_to_say_so),
        LEDGER_TEST(test_quotes_do_not_go_back),
        LEDGER_TEST(test_numbers_that_are_missing_between_late_trades),
        LEDGER_TEST(test_part_of_a_range_is_unfillable),
        LEDGER_TEST(test_an_event_in_two_numbers_is_a_duplicate),
        LEDGER_TEST(test_two_events_of_one_number_are_a_duplicate),
        LEDGER_TEST(test_a_book_that_goes_on_without_its_deltas),
        LEDGER_TEST(test_the_end_has_to_be_reached),
        LEDGER_TEST(test_what_is_not_ours),
        cmocka_unit_test(test_a_recovery_is_timed_from_the_end_of_the_last_fault),
        cmocka_unit_test(test_what_keeps_every_call_keeps_every_book),
        cmocka_unit_test(test_a_book_below_the_fault_is_no_recovery),
        cmocka_unit_test(test_quotes_are_the_touch_of_the_exchanges_book),
        cmocka_unit_test(test_each_damaged_frame_has_its_rejection),
        cmocka_unit_test(test_more_than_is_remembered_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
