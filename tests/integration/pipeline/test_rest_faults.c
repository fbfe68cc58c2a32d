/*
 * What REST can do to books, through the real processes, one kind at a time: some frames are lost,
 * so that books need snapshots, and the next snapshots are refused (429, 418), fail (500), are
 * pages (200, 502), late, cut short, or huge. Until a whole one comes the books say that they are
 * not right, and deltas go on; then they are LIVE; and no BOOK that says LIVE is wrong.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "steer_rig.h"
#include "storm_truth.h"

#define SYMBOLS 4u
#define PATIENCE_S 60
#define RETRY_AFTER_S 2
#define LOGGED 200u

static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"
    "\"interval_ms\":600000}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":600000}}],"
    "\"subscriptions\":[{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]}]}";

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct storm_truth truth;
static char table_path[64];
/* Of each book, since the kind began; under the consumer's lock. */
static struct {
    bool unsure[SYMBOLS];     /* said GAP, and not LIVE since */
    uint64_t gaps, meanwhile; /* STATUS GAP; deltas of books that were not LIVE */
    uint64_t unmarked;        /* BOOKs that are not LIVE and do not say QUALITY_STALE */
} seen;

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    unsigned symbol = 0;
    (void)bytes;
    storm_truth_see(ctx, event);
    if (!storm_symbol_of(&truth, event->instrument, &symbol)) {
        return;
    }
    if (event->type == MLT_EVENT_STATUS && event->u.status.kind == MLT_STATUS_GAP) {
        seen.unsure[symbol] = true;
        seen.gaps++;
    } else if (event->type == MLT_EVENT_STATUS && event->u.status.kind == MLT_STATUS_LIVE) {
        seen.unsure[symbol] = false;
    } else if (event->type == MLT_EVENT_BOOK_DELTA) {
        seen.meanwhile += seen.unsure[symbol];
    } else if (event->type == MLT_EVENT_BOOK && event->u.book.state != MLT_BOOK_LIVE) {
        seen.unmarked += (event->quality & MLT_QUALITY_STALE) == 0;
    }
}

static void tell(const char *target)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 1u << 16);
    mlt_stack_get(&stack, "exchange", target, &body);
    mlt_buf_fini(&body);
}

static cJSON *faults_from(unsigned from)
{
    char target[96];
    struct mlt_buf body;
    (void)snprintf(target, sizeof target, "/sim/faults?from=%u&limit=%u", from, LOGGED);
    mlt_buf_init(&body, 4u << 20);
    mlt_stack_get(&stack, "exchange", target, &body);
    cJSON *page = cJSON_ParseWithLength((const char *)body.data, body.len);
    mlt_buf_fini(&body);
    assert_non_null(page);
    return page;
}

static unsigned faults_logged(void)
{
    cJSON *page = faults_from(0);
    const int total = rig_number(page, "total");
    cJSON_Delete(page);
    assert_true(total >= 0);
    return (unsigned)total;
}

/* From a fault to the first LIVE BOOK at or beyond its ids; -1: none so far. */
static int64_t time_to_live(const cJSON *fault)
{
    unsigned symbol = 0;
    const int64_t time_ns = strtoll(rig_text(fault, "time"), NULL, 10);
    const cJSON *last = cJSON_GetObjectItemCaseSensitive(fault, "last");
    assert_true(cJSON_IsNumber(last));
    assert_true(storm_symbol_of(&truth, mlt_slice_of_string(rig_text(fault, "symbol")), &symbol));
    const int64_t at = storm_live_at(&truth, symbol, (int64_t)last->valuedouble, time_ns);
    return at < 0 ? -1 : at - time_ns;
}

struct kind {
    const char *word;   /* of the simulator */
    const char *extent; /* "": its own */
    unsigned count;     /* answers that meet it */
    int64_t least_ms;   /* so long somebody waits at least */
};

/* What came of the faults from a number on. */
struct came {
    unsigned drops, answers, open; /* open: not LIVE yet */
    int64_t longest_ns;            /* of a frame that was lost, to LIVE */
};

static struct came count_came(const struct kind *kind, unsigned from)
{
    struct came c = { 0, 0, 0, 0 };
    cJSON *page = faults_from(from);
    const cJSON *fault = NULL;
    cJSON_ArrayForEach(fault, cJSON_GetObjectItemCaseSensitive(page, "faults"))
    {
        const int64_t took_ns = time_to_live(fault);
        const bool drop = strcmp(rig_text(fault, "kind"), "drop") == 0;
        c.drops += drop;
        c.answers += strcmp(rig_text(fault, "kind"), kind->word) == 0;
        c.open += took_ns < 0;
        c.longest_ns = drop && took_ns > c.longest_ns ? took_ns : c.longest_ns;
    }
    cJSON_Delete(page);
    return c;
}

static bool more_books(void *ctx)
{
    const uint64_t *wanted = ctx;
    return truth.live + truth.other >= *wanted;
}

/* Checks all that is said LIVE meanwhile. */
static struct came await(const struct kind *kind, unsigned from)
{
    const int64_t until_ns = mlt_clock_mono_ns() + PATIENCE_S * MLT_NS_PER_S;
    struct came c = { 0, 0, 0, 0 };
    do {
        (void)pthread_mutex_lock(&consumer.lock);
        uint64_t wanted = truth.live + truth.other + SYMBOLS;
        (void)pthread_mutex_unlock(&consumer.lock);
        (void)mlt_consumer_wait(&consumer, more_books, &wanted, 1);
        storm_truth_check(&truth);
        c = count_came(kind, from);
    } while ((c.drops < SYMBOLS || c.answers < kind->count || c.open > 0) &&
             mlt_clock_mono_ns() < until_ns);
    return c;
}

static void befall(const struct kind *kind)
{
    char target[160];
    const unsigned from = faults_logged();
    (void)pthread_mutex_lock(&consumer.lock);
    memset(&seen, 0, sizeof seen);
    (void)pthread_mutex_unlock(&consumer.lock);
    (void)snprintf(target, sizeof target, "/sim/answers?function=depth&kind=%s&count=%u%s%s",
                   kind->word, kind->count, kind->extent[0] != '\0' ? "&extent=" : "",
                   kind->extent);
    tell(target);
    (void)snprintf(target, sizeof target, "/sim/script?faults=drop&rate=1000000&count=%u", SYMBOLS);
    tell(target);
    const struct came c = await(kind, from);
    (void)pthread_mutex_lock(&consumer.lock);
    const uint64_t gaps = seen.gaps, meanwhile = seen.meanwhile, unmarked = seen.unmarked;
    const struct storm_truth so_far = truth;
    (void)pthread_mutex_unlock(&consumer.lock);
    print_message("    %s %s: %u frames lost, %u answers, LIVE after %lld ms at most; %llu deltas "
                  "meanwhile\n",
                  kind->word, kind->extent, c.drops, c.answers,
                  (long long)(c.longest_ns / MLT_NS_PER_MS), (unsigned long long)meanwhile);
    assert_int_equal(c.open, 0);
    assert_int_equal(c.drops, SYMBOLS);
    assert_int_equal(c.answers, kind->count);
    assert_true(c.longest_ns >= kind->least_ms * MLT_NS_PER_MS);
    assert_true(gaps > 0); /* before */
    assert_int_equal(unmarked, 0);
    assert_true(meanwhile > 0 || kind->least_ms == 0); /* what is soon over may fall between two */
    assert_string_equal(so_far.first_wrong, "");
    assert_int_equal(so_far.wrong + so_far.unknown + so_far.overrun + so_far.shown_when_unsure, 0);
}

static bool all_live(void *ctx)
{
    bool all = true;
    (void)ctx;
    for (unsigned i = 0; i < SYMBOLS; i++) {
        all = all && truth.of[i].moment_count > 0;
    }
    return all;
}

static int set_up(void **state)
{
    (void)state;
    rig_make_file(table_path, table);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--levels", "300", "--seed", "19", "--symbols", "4", "--rate",
                      "400", "--weight-limit", "24000", "--faults", "drop", "--fault-rate", "0",
                      "--fault-snapshot-rate", "0" },
        .table = table_path,
    };
    storm_truth_open(&truth, &consumer, &stack, SYMBOLS);
    consumer.look = look;
    consumer.ctx = &truth;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    assert_true(mlt_consumer_wait(&consumer, all_live, NULL, PATIENCE_S));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    storm_truth_close(&truth);
    (void)unlink(table_path);
    return 0;
}

static uint64_t failures(const char *reason)
{
    return mlt_stack_metric(&stack, "adapter", "meltica_adapter_rest_failures_total", reason);
}

/* Nothing is asked before Retry-After is over. */
static void test_rest_429_and_418_no_book_is_wrong_and_all_are_live_after(void **state)
{
    static const struct kind busy = { "busy", "2", 1, 900 * RETRY_AFTER_S };
    static const struct kind banned = { "banned", "2", 1, 900 * RETRY_AFTER_S };
    (void)state;
    befall(&busy);
    befall(&banned);
}

static void test_rest_5xx_and_pages_no_book_is_wrong_and_all_are_live_after(void **state)
{
    static const struct kind kinds[] = { { "fail", "", 2, 0 },
                                         { "html", "502", 2, 0 },
                                         { "html", "200", 2, 0 } };
    (void)state;
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        befall(&kinds[i]);
    }
    assert_true(failures("reason=\"http_5xx\"") >= 4);
}

static void test_rest_slow_and_truncated_no_book_is_wrong_and_all_are_live_after(void **state)
{
    /* A body that is cut short as its head says (even), or before (odd), somewhere in it. */
    static const struct kind kinds[] = { { "slow", "3000", 1, 2900 },
                                         { "truncate", "1000", 2, 0 },
                                         { "truncate", "1001", 2, 0 },
                                         { "huge", "", 1, 0 } };
    (void)state;
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        befall(&kinds[i]);
    }
    assert_true(failures("reason=\"too_big\"") >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rest_429_and_418_no_book_is_wrong_and_all_are_live_after),
        cmocka_unit_test(test_rest_5xx_and_pages_no_book_is_wrong_and_all_are_live_after),
        cmocka_unit_test(test_rest_slow_and_truncated_no_book_is_wrong_and_all_are_live_after),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, set_up, tear_down));
}
