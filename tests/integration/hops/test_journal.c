#include "server.h"

#include <cjson/cJSON.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "meltica/base/clock.h"
#include "meltica/bus/store.h"

#define PARTITIONS 4u
#define EVENTS 100000u
#define EVENT_BYTES 100u
#define APPEND_NS_MAX (50 * MLT_NS_PER_MS)
/* Appends that waited for longer: whoever has the lock may have lost the processor, but not again
 * and again. */
#define SLOW_MAX 10u
#define PATIENCE_NS (15 * MLT_NS_PER_S)

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

/* ---- what is appended: partition and number within it, padded ---- */

struct writer {
    struct mlt_journal *journal;
    uint64_t next[PARTITIONS];
    uint64_t appended, refused;
    unsigned slow;
    int64_t worst_ns;
};

static long waits_of_this_thread(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_nvcsw;
}

static void append(struct writer *w, uint32_t partition, size_t bytes)
{
    static uint8_t event[512 << 10];
    memset(event, 0x5a, bytes);
    memcpy(event, &partition, sizeof partition);
    memcpy(event + 4, &w->next[partition], sizeof w->next[partition]);
    w->next[partition]++;
    w->appended++;
    const long waits = waits_of_this_thread();
    const int64_t begin = mlt_clock_mono_ns();
    const bool taken = mlt_journal_append(w->journal, partition, mlt_slice_of(event, bytes));
    const int64_t took = mlt_clock_mono_ns() - begin;
    w->refused += !taken;
    /* A busy machine takes the processor away for as long as it likes: only who waited counts. */
    if (waits_of_this_thread() != waits) {
        w->worst_ns = took > w->worst_ns ? took : w->worst_ns;
        w->slow += took > APPEND_NS_MAX;
    }
}

static void writer_open(struct writer *w, const char *url, size_t queue_bytes,
                        uint32_t provision_replicas)
{
    *w = (struct writer){ 0 };
    const struct mlt_journal_options options = { .bus = { .url = url, .name = "test" },
                                                 .provision_replicas = provision_replicas,
                                                 .partitions = PARTITIONS,
                                                 .queue_bytes = queue_bytes };
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_journal_create(&options, &w->journal, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
}

static struct mlt_journal_stats stats_of(const struct writer *w)
{
    struct mlt_journal_stats stats;
    mlt_journal_get_stats(w->journal, &stats);
    return stats;
}

/* ---- what is in the stream ---- */

struct reader {
    struct mlt_bus *bus;
    uint64_t last[PARTITIONS]; /* number + 1 of the last event seen */
    uint64_t events, missing, batches, largest;
};

static uint64_t stream_number(struct mlt_bus *bus, const char *key)
{
    struct mlt_buf answer;
    mlt_buf_init(&answer, 65536);
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_bus_request(bus, "$JS.API.STREAM.INFO." MLT_JOURNAL_STREAM, MLT_SLICE_EMPTY,
                        5 * MLT_NS_PER_S, &answer, &err) != MLT_OK ||
        mlt_buf_append_byte(&answer, 0) != MLT_OK) {
        fail_msg("%s", err.text);
    }
    cJSON *json = cJSON_Parse((const char *)answer.data);
    const cJSON *value = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "state"), key);
    assert_true(cJSON_IsNumber(value));
    const uint64_t number = (uint64_t)value->valuedouble;
    cJSON_Delete(json);
    mlt_buf_fini(&answer);
    return number;
}

static void read_batch(struct reader *r, struct mlt_slice batch)
{
    struct mlt_slice event;
    uint32_t partition = PARTITIONS;
    uint32_t of_batch = PARTITIONS;
    uint64_t number = 0;
    r->batches++;
    r->largest = batch.len > r->largest ? batch.len : r->largest;
    while (mlt_batch_next(&batch, &event) == MLT_OK) {
        assert_true(event.len >= 12);
        memcpy(&partition, event.data, sizeof partition);
        memcpy(&number, event.data + 4, sizeof number);
        assert_true(partition < PARTITIONS);
        assert_true(of_batch == PARTITIONS || of_batch == partition);
        of_batch = partition;
        if (number < r->last[partition]) {
            fail_msg("partition %u: event %llu after %llu", partition, (unsigned long long)number,
                     (unsigned long long)r->last[partition] - 1);
        }
        r->missing += number - r->last[partition];
        r->last[partition] = number + 1;
        r->events++;
    }
    assert_int_equal(batch.len, 0);
}

/* The whole stream, in order, by direct gets. */
static void read_stream(struct reader *r)
{
    struct mlt_buf answer;
    mlt_buf_init(&answer, MLT_BUS_PAYLOAD_BYTES_MAX);
    const uint64_t last = stream_number(r->bus, "last_seq");
    for (uint64_t i = stream_number(r->bus, "first_seq"); i <= last; i++) {
        char body[64];
        (void)snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)i);
        struct mlt_error err = MLT_ERROR_INIT;
        mlt_buf_clear(&answer);
        if (mlt_bus_request(r->bus, "$JS.API.DIRECT.GET." MLT_JOURNAL_STREAM,
                            mlt_slice_of_string(body), 5 * MLT_NS_PER_S, &answer, &err) != MLT_OK) {
            fail_msg("%s", err.text);
        }
        read_batch(r, mlt_buf_view(&answer));
    }
    mlt_buf_fini(&answer);
}

/* Appends without pause until done says so. */
static void append_until(struct writer *w, bool (*done)(const struct writer *w))
{
    const int64_t deadline = mlt_clock_mono_ns() + PATIENCE_NS;
    /* Asked seldom: the lock that a question waits for would be no news. */
    while (w->appended % 256 != 0 || !done(w)) {
        if (mlt_clock_mono_ns() > deadline) {
            const struct mlt_journal_stats s = stats_of(w);
            fail_msg("not in time: events %llu dropped %llu failed %llu in flight %llu",
                     (unsigned long long)s.events, (unsigned long long)s.dropped_events,
                     (unsigned long long)s.failed_batches, (unsigned long long)s.in_flight);
        }
        append(w, (uint32_t)(w->appended % PARTITIONS), EVENT_BYTES);
        (void)sched_yield();
    }
}

/* Until one of this partition is taken. */
static void append_one(struct writer *w, uint32_t partition)
{
    const int64_t deadline = mlt_clock_mono_ns() + PATIENCE_NS;
    uint64_t refused = 0;
    do {
        assert_true(mlt_clock_mono_ns() < deadline);
        refused = w->refused;
        append(w, partition, EVENT_BYTES);
        (void)sched_yield();
    } while (w->refused != refused);
}

static uint64_t mark; /* for the conditions below */

/* Also long enough that the stream was looked for in vain, which takes a second of its own. */
static bool has_holes(const struct writer *w)
{
    static int64_t away_at;
    const struct mlt_journal_stats s = stats_of(w);
    away_at = s.available ? INT64_MAX : away_at == INT64_MAX ? mlt_clock_mono_ns() : away_at;
    return w->refused > 1000 && s.failed_batches > 0 && !s.available &&
           mlt_clock_mono_ns() - away_at > 1500 * MLT_NS_PER_MS;
}

static bool has_been_away(const struct writer *w)
{
    return stats_of(w).failed_batches > 0; /* it may have been made again by now */
}

static bool flows_again(const struct writer *w)
{
    return stats_of(w).events > mark;
}

/* Until every event that was appended is either acknowledged or counted as dropped: never both, and
 * never neither. */
static void settle(const struct writer *w)
{
    const int64_t deadline = mlt_clock_mono_ns() + PATIENCE_NS;
    struct mlt_journal_stats s = stats_of(w);
    while (s.events + s.dropped_events != w->appended) {
        if (mlt_clock_mono_ns() > deadline) {
            fail_msg("%llu acknowledged and %llu dropped are not %llu",
                     (unsigned long long)s.events, (unsigned long long)s.dropped_events,
                     (unsigned long long)w->appended);
        }
        (void)sched_yield();
        s = stats_of(w);
    }
    assert_int_equal(s.in_flight, 0);
    assert_true(s.dropped_events >= w->refused);
}

/* ---- tests ---- */

static void test_all_events_are_in_the_stream_in_order(void **state)
{
    (void)state;
    struct writer w;
    struct reader r = { .bus = server_connect(&server, NULL) };
    writer_open(&w, server.url, 64u << 20, 1);
    const int64_t begin = mlt_clock_mono_ns();
    for (uint32_t i = 0; i < EVENTS; i++) {
        append(&w, i % PARTITIONS, EVENT_BYTES + i % 7);
    }
    append(&w, 0, 300u << 10); /* one that is larger than a batch goes alone */
    const int64_t appended = mlt_clock_mono_ns();
    mlt_journal_destroy(w.journal, PATIENCE_NS);
    print_message("appended in %lld us, journalled in %lld us, longest wait %lld us\n",
                  (long long)(appended - begin) / 1000,
                  (long long)(mlt_clock_mono_ns() - begin) / 1000, (long long)w.worst_ns / 1000);
    assert_int_equal(w.refused, 0);
    read_stream(&r);
    assert_int_equal(r.events, EVENTS + 1);
    assert_int_equal(r.missing, 0);
    assert_true(r.batches < EVENTS / 100);
    assert_in_range(r.largest, 300u << 10, (300u << 10) + 16);
    assert_true(w.slow < SLOW_MAX);
    mlt_bus_destroy(r.bus, 0);
}

static void test_stopped_server_makes_counted_holes_and_blocks_nobody(void **state)
{
    (void)state;
    server_restart(&server); /* an empty stream: it was in memory */
    struct writer w;
    struct reader r = { .bus = server_connect(&server, NULL) };
    writer_open(&w, server.url, 8u << 20, 1); /* more than may be in flight */
    mark = 100;
    append_until(&w, flows_again);
    server_pause(&server);
    append_until(&w, has_holes);
    server_resume(&server);
    mark = stats_of(&w).events + 1000;
    append_until(&w, flows_again);
    settle(&w);
    const struct mlt_journal_stats s = stats_of(&w);
    mlt_journal_destroy(w.journal, PATIENCE_NS);
    print_message("longest wait %lld us, %llu of %llu refused\n", (long long)w.worst_ns / 1000,
                  (unsigned long long)w.refused, (unsigned long long)w.appended);
    assert_true(w.slow < SLOW_MAX);
    read_stream(&r);
    /* What timed out may be in the stream all the same: the count of holes is never too low. */
    assert_true(r.events >= s.events);
    assert_true(r.events <= w.appended - w.refused);
    assert_true(s.failed_batches > 0);
    assert_true(s.dropped_events > w.refused);
    mlt_bus_destroy(r.bus, 0);
}

static void test_journal_comes_back_after_a_restart_of_the_server(void **state)
{
    (void)state;
    struct writer w;
    writer_open(&w, server.url, 0, 1);
    mark = 0;
    append_until(&w, flows_again);
    server_restart(&server);
    mark = stats_of(&w).events + 1000;
    append_until(&w, flows_again);
    struct reader r = { .bus = server_connect(&server, NULL) };
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        append_one(&w, p);
    }
    settle(&w);
    mlt_journal_destroy(w.journal, PATIENCE_NS);
    read_stream(&r);
    assert_true(r.events >= 1000);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        assert_int_equal(r.last[p], w.next[p]); /* up to the very last */
    }
    assert_true(w.slow < SLOW_MAX);
    mlt_bus_destroy(r.bus, 0);
}

static void test_stream_removed_under_it_is_made_again(void **state)
{
    (void)state;
    struct writer w;
    struct mlt_buf answer;
    mlt_buf_init(&answer, 65536);
    struct reader r = { .bus = server_connect(&server, NULL) };
    writer_open(&w, server.url, 0, 1);
    mark = 0;
    append_until(&w, flows_again);
    assert_int_equal(mlt_bus_request(r.bus, "$JS.API.STREAM.DELETE." MLT_JOURNAL_STREAM,
                                     MLT_SLICE_EMPTY, 5 * MLT_NS_PER_S, &answer, NULL),
                     MLT_OK);
    append_until(&w, has_been_away);
    mark = stats_of(&w).events + 1000;
    append_until(&w, flows_again);
    settle(&w);
    const struct mlt_journal_stats s = stats_of(&w);
    assert_true(s.failed_batches > 0);
    assert_true(s.dropped_events > 0);
    assert_true(s.available);
    mlt_journal_destroy(w.journal, PATIENCE_NS);
    read_stream(&r);
    assert_true(r.events >= 1000);
    assert_true(w.slow < SLOW_MAX);
    mlt_buf_fini(&answer);
    mlt_bus_destroy(r.bus, 0);
}

static void test_external_mode_waits_for_the_operator(void **state)
{
    (void)state;
    server_restart(&server);
    struct writer w;
    struct mlt_buf answer;
    mlt_buf_init(&answer, 65536);
    struct reader r = { .bus = server_connect(&server, NULL) };
    writer_open(&w, server.url, 4096, 0);
    for (int i = 0; i < 1000; i++) {
        append(&w, 1, EVENT_BYTES);
    }
    assert_true(w.refused > 900); /* 4 KiB hold some forty of them */
    assert_int_equal(stats_of(&w).dropped_events, w.refused);
    assert_false(stats_of(&w).available);
    static const char create[] =
        "{\"name\":\"" MLT_JOURNAL_STREAM "\",\"subjects\":[\"" MLT_JOURNAL_SUBJECT
        ".>\"],\"storage\":\"memory\",\"retention\":\"limits\","
        "\"allow_direct\":true}";
    assert_int_equal(mlt_bus_request(r.bus, "$JS.API.STREAM.CREATE." MLT_JOURNAL_STREAM,
                                     mlt_slice_of_string(create), 5 * MLT_NS_PER_S, &answer, NULL),
                     MLT_OK);
    mlt_journal_destroy(w.journal,
                        PATIENCE_NS); /* what waited goes out as soon as there is a place */
    read_stream(&r);
    assert_int_equal(r.events, w.appended - w.refused);
    assert_int_equal(r.missing, 0); /* the newest were dropped */
    mlt_buf_fini(&answer);
    mlt_bus_destroy(r.bus, 0);
}

static void test_destroy_ends_in_time_without_a_server(void **state)
{
    (void)state;
    struct writer w;
    server_stop(&server);
    writer_open(&w, server.url, 1u << 20, 1);
    for (int i = 0; i < 20000; i++) {
        append(&w, 2, EVENT_BYTES);
    }
    const struct mlt_journal_stats s = stats_of(&w);
    assert_int_equal(s.events, 0);
    assert_int_equal(s.dropped_events, w.refused);
    assert_true(w.refused > 0);
    assert_false(mlt_journal_append(w.journal, PARTITIONS, MLT_SLICE_LITERAL("x")));
    const int64_t begin = mlt_clock_mono_ns();
    mlt_journal_destroy(w.journal, 300 * MLT_NS_PER_MS);
    assert_in_range(mlt_clock_mono_ns() - begin, 300 * MLT_NS_PER_MS, PATIENCE_NS);
    mlt_journal_destroy(NULL, 0);
    server_restart(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_events_are_in_the_stream_in_order),
        cmocka_unit_test(test_stopped_server_makes_counted_holes_and_blocks_nobody),
        cmocka_unit_test(test_journal_comes_back_after_a_restart_of_the_server),
        cmocka_unit_test(test_stream_removed_under_it_is_made_again),
        cmocka_unit_test(test_external_mode_waits_for_the_operator),
        cmocka_unit_test(test_destroy_ends_in_time_without_a_server),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
