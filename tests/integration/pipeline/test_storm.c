/*
 * A storm of faults over a synthetic market, through the real processes: frames that are dropped,
 * doubled, out of order, late, cut short or no JSON any more, lines that are cut, snapshots that
 * are stale, slow, refused, cut short, huge, another symbol's, or a page of something in between.
 * No BOOK that says LIVE is wrong, each fault is recovered from, and the weight that the exchange
 * grants is not exceeded.
 */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "storm_truth.h"

#define PAGE 2000u

struct storm {
    const char *symbols, *rate, *speed, *seconds; /* seconds: of the market; "0": for ever */
    const char *faults, *spec, *frame_rate, *snapshot_rate, *weight_limit;
    int patience_s;    /* until the last fault was made, and the market's end */
    unsigned recorded; /* the first symbols: their events are kept for analytics_check.py */
};

/* Many faults in a short time: an exchange that grants four times the weight, or the books would
 * wait for the next minute. */
static const struct storm short_storm = {
    .symbols = "24",
    .rate = "1500",
    .speed = "1",
    .seconds = "0",
    .faults = "240",
    .spec = "drop:6,duplicate:4,reorder:4,delay:4,cut:1,shorten:4,corrupt:4,stale:3,slow:3,fail:3,"
            "busy:2,truncate:3,banned:2,huge:2,html:3,wrong_symbol:4",
    .frame_rate = "40000",
    .snapshot_rate = "200",
    .weight_limit = "24000",
    .patience_s = 60,
    .recorded = 6,
};
/* One hour of market time with what the exchange really grants. A cut line is 200 books at once. */
static const struct storm long_storm = {
    .symbols = "200",
    .rate = "500",
    .speed = "12",
    .seconds = "3600",
    .faults = "2200",
    .spec = "drop:120,duplicate:80,reorder:80,delay:80,cut:1,shorten:40,corrupt:40,stale:3,slow:3,"
            "fail:3,busy:2,truncate:3,banned:1,huge:1,html:2,wrong_symbol:3",
    .frame_rate = "5000",
    .snapshot_rate = "200",
    .weight_limit = "6000",
    .patience_s = 1200,
    .recorded = 12,
};

static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"
    "\"interval_ms\":60000}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":300000}}],"
    "\"subscriptions\":["
    "{\"id\":\"trades\",\"type\":\"TRADE\",\"instruments\":[\"*\"]},"
    "{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]}]}";

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct storm_truth truth;
static FILE *record; /* or NULL: encoded events as an EventBatch */
static unsigned recorded_symbols;

static void write_event(struct mlt_slice bytes)
{
    uint8_t head[12] = { 0x0a };
    size_t len = 1, left = bytes.len;
    do {
        head[len++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
        left >>= 7;
    } while (left > 0);
    assert_int_equal(fwrite(head, 1, len, record), len);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, record), bytes.len);
}

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    unsigned symbol = 0;
    storm_truth_see(ctx, event);
    if (record != NULL && storm_symbol_of(&truth, event->instrument, &symbol) &&
        symbol < recorded_symbols) {
        write_event(bytes);
    }
}

/* ---- the simulator's script ---- */

struct fault_row {
    unsigned faults, recovered;
    int64_t *times_ns; /* to LIVE, of those recovered */
};

static cJSON *get_faults(unsigned from, unsigned limit)
{
    char target[96];
    struct mlt_buf body;
    (void)snprintf(target, sizeof target, "/sim/faults?from=%u&limit=%u", from, limit);
    mlt_buf_init(&body, 16u << 20);
    mlt_stack_get(&stack, "exchange", target, &body);
    cJSON *page = cJSON_ParseWithLength((const char *)body.data, body.len);
    assert_non_null(page);
    mlt_buf_fini(&body);
    return page;
}

static const char *text_member(const cJSON *json, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
    assert_non_null(text);
    return text;
}

static int64_t number_member(const cJSON *json, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, key);
    assert_true(cJSON_IsNumber(value));
    return (int64_t)value->valuedouble; /* below 2^53 */
}

static bool script_ended(void)
{
    cJSON *page = get_faults(0, 0);
    const bool ended = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(page, "ended"));
    cJSON_Delete(page);
    return ended;
}

/* Whether its book was LIVE again, at or beyond the update ids of the fault. */
static int64_t time_to_live(const cJSON *fault)
{
    unsigned symbol = 0;
    const int64_t time_ns = strtoll(text_member(fault, "time"), NULL, 10);
    assert_true(
        storm_symbol_of(&truth, mlt_slice_of_string(text_member(fault, "symbol")), &symbol));
    const int64_t at = storm_live_at(&truth, symbol, number_member(fault, "last"), time_ns);
    return at < 0 ? -1 : at - time_ns;
}

/* ---- waiting ---- */

static bool much_waits(void *ctx)
{
    const struct storm_truth *t = ctx;
    return t->waiting >= 10u * t->symbols;
}

/* All books checked, again and again, until what is asked for is so. */
static bool check_until(bool (*done)(void), int seconds)
{
    const int64_t end = mlt_clock_mono_ns() + seconds * MLT_NS_PER_S;
    bool is_done = false;
    while (!is_done && mlt_clock_mono_ns() < end) {
        (void)mlt_consumer_wait(&consumer, much_waits, &truth, 1);
        storm_truth_check(&truth);
        is_done = done();
    }
    return is_done;
}

static bool all_recovered(void)
{
    bool all = true;
    for (unsigned from = 0; all; from += PAGE) {
        cJSON *page = get_faults(from, PAGE);
        const cJSON *faults = cJSON_GetObjectItemCaseSensitive(page, "faults");
        const cJSON *fault;
        cJSON_ArrayForEach(fault, faults)
        {
            all = all && time_to_live(fault) >= 0;
        }
        const bool last = cJSON_GetArraySize(faults) < (int)PAGE;
        cJSON_Delete(page);
        if (last) {
            break;
        }
    }
    return all;
}

static bool all_live(void)
{
    bool all = true;
    for (unsigned s = 0; all && s < truth.symbols; s++) {
        all = storm_live_at(&truth, s, 0, 0) >= 0;
    }
    return all;
}

/* Not before every book was LIVE: of an instrument of which nothing is known, another one's
 * snapshot is believed (services/conductor/sync.h). */
static void begin_script(const struct storm *storm)
{
    char target[512];
    struct mlt_buf body;
    (void)snprintf(target, sizeof target, "/sim/script?faults=%s&rate=%s&snapshot-rate=%s&count=%s",
                   storm->spec, storm->frame_rate, storm->snapshot_rate, storm->faults);
    mlt_buf_init(&body, 1u << 16);
    mlt_stack_get(&stack, "exchange", target, &body);
    mlt_buf_fini(&body);
}

static bool market_ended(void)
{
    return mlt_stack_exchange_status(&stack, "finished") == 1;
}

/* ---- the verdict ---- */

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void print_row(const char *kind, struct fault_row *row)
{
    qsort(row->times_ns, row->recovered, sizeof row->times_ns[0], by_size);
    const double median =
        row->recovered > 0 ? (double)row->times_ns[row->recovered / 2] / MLT_NS_PER_MS : 0;
    const double most =
        row->recovered > 0 ? (double)row->times_ns[row->recovered - 1] / MLT_NS_PER_MS : 0;
    (void)printf("%-12s %7u %10u %12.1f %12.1f\n", kind, row->faults, row->recovered, median, most);
}

static void add_fault(struct fault_row *row, const cJSON *fault)
{
    const int64_t ns = time_to_live(fault);
    if (row->faults++ % 1024 == 0) {
        row->times_ns = realloc(row->times_ns, (row->faults + 1024) * sizeof row->times_ns[0]);
        assert_non_null(row->times_ns);
    }
    if (ns >= 0) {
        row->times_ns[row->recovered++] = ns;
    }
}

/* The table of faults and recoveries; how many were not recovered from. */
static unsigned print_table(void)
{
    static const char *const kinds[] = { "drop",   "duplicate", "reorder", "delay",
                                         "cut",    "shorten",   "corrupt", "stale",
                                         "slow",   "fail",      "busy",    "truncate",
                                         "banned", "huge",      "html",    "wrong_symbol" };
    struct fault_row all = { 0 };
    unsigned lost = 0, kinds_seen = 0;
    (void)printf("%-12s %7s %10s %12s %12s\n", "fault", "number", "recovered", "median ms",
                 "max ms");
    for (unsigned k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct fault_row row = { 0 };
        bool last = false;
        for (unsigned from = 0; !last; from += PAGE) {
            cJSON *page = get_faults(from, PAGE);
            const cJSON *faults = cJSON_GetObjectItemCaseSensitive(page, "faults"), *fault;
            cJSON_ArrayForEach(fault, faults)
            {
                if (strcmp(text_member(fault, "kind"), kinds[k]) == 0) {
                    add_fault(&row, fault);
                    add_fault(&all, fault);
                }
            }
            last = cJSON_GetArraySize(faults) < (int)PAGE;
            cJSON_Delete(page);
        }
        print_row(kinds[k], &row);
        lost += row.faults - row.recovered;
        kinds_seen += row.faults > 0;
        free(row.times_ns);
    }
    print_row("all", &all);
    assert_int_equal(kinds_seen, sizeof kinds / sizeof kinds[0]);
    free(all.times_ns);
    return lost;
}

/* Each frame that was damaged is a Rejection by name; what is rejected besides are answers of REST
 * that were cut short, or pages. A line that is cut may take one with it. */
static void assert_damaged_are_rejected(void)
{
    cJSON *page = get_faults(0, 0);
    const cJSON *by_kind = cJSON_GetObjectItemCaseSensitive(page, "by_kind");
    const int64_t frames = number_member(by_kind, "shorten") + number_member(by_kind, "corrupt");
    const int64_t answers = number_member(by_kind, "truncate") + number_member(by_kind, "html");
    const int64_t cuts = number_member(by_kind, "cut");
    cJSON_Delete(page);
    const uint64_t rejected =
        mlt_stack_metric(&stack, "dispatcher", "meltica_rejected_total", "reason=\"parse\"");
    (void)printf("%lld frames damaged, %llu rejections\n", (long long)frames,
                 (unsigned long long)rejected);
    assert_true((int64_t)rejected + cuts >= frames && (int64_t)rejected <= frames + answers);
}

static void assert_verdict(const struct storm *storm)
{
    const unsigned lost = print_table();
    (void)pthread_mutex_lock(&consumer.lock);
    const struct storm_truth seen = truth; /* what is counted; it goes on */
    (void)pthread_mutex_unlock(&consumer.lock);
    const int64_t peak = mlt_stack_exchange_status(&stack, "rest_weight_peak");
    (void)printf("%llu BOOKs LIVE, %llu checked level by level: %llu wrong, %llu not known to the "
                 "exchange; %llu not LIVE; REST weight at most %lld in a minute\n",
                 (unsigned long long)seen.live, (unsigned long long)seen.checked,
                 (unsigned long long)seen.wrong, (unsigned long long)seen.unknown,
                 (unsigned long long)seen.other, (long long)peak);
    (void)fflush(stdout);
    assert_string_equal(seen.first_wrong, "");
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.unknown, 0);
    assert_int_equal(seen.overrun, 0);
    assert_int_equal(seen.shown_when_unsure, 0);
    assert_true(seen.checked >= 20u * seen.symbols && seen.other > 0);
    assert_int_equal(lost, 0);
    assert_int_equal(mlt_stack_exchange_status(&stack, "rest_refused"), 0);
    assert_damaged_are_rejected();
    assert_true(peak > 0 && peak <= strtoll(storm->weight_limit, NULL, 10));
    cJSON *page = get_faults(0, 0);
    assert_true(number_member(page, "total") >= strtoll(storm->faults, NULL, 10));
    cJSON_Delete(page);
}

static void write_table(char *path)
{
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, table, sizeof table - 1), sizeof table - 1);
    assert_int_equal(close(fd), 0);
}

static void test_no_fault_makes_a_wrong_book(void **state)
{
    (void)state;
    const char *which = getenv("MELTICA_TEST_STORM");
    const struct storm *storm =
        which != NULL && strcmp(which, "long") == 0 ? &long_storm : &short_storm;
    char path[] = "/tmp/meltica-storm-table.XXXXXX";
    write_table(path);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--levels", "300", "--seed", "17", "--symbols", storm->symbols,
                      "--weight-limit", storm->weight_limit, "--rate", storm->rate, "--speed",
                      storm->speed, "--seconds", storm->seconds },
        .table = path,
    };
    const char *events = getenv("MELTICA_STORM_EVENTS");
    if (events != NULL && storm->recorded > 0) {
        record = fopen(events, "wb");
        assert_non_null(record);
        recorded_symbols = storm->recorded;
    }
    storm_truth_open(&truth, &consumer, &stack, (unsigned)strtoul(storm->symbols, NULL, 10));
    consumer.look = look;
    consumer.ctx = &truth;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);

    assert_true(check_until(all_live, storm->patience_s));
    begin_script(storm);
    assert_true(check_until(script_ended, storm->patience_s));
    if (strcmp(storm->seconds, "0") != 0) {
        assert_true(check_until(market_ended, storm->patience_s));
    }
    const bool recovered = check_until(all_recovered, 60);
    storm_truth_check(&truth);
    assert_verdict(storm);
    assert_true(recovered);

    static const char *const services[] = { "dispatcher", "control-bus", "data-bus", "conductor",
                                            "adapter" };
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(mlt_stack_terminate(&stack, services[i]), 0);
    }
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    storm_truth_close(&truth);
    if (record != NULL) {
        assert_int_equal(fclose(record), 0);
    }
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_fault_makes_a_wrong_book),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
