/*
 * ./dev bench control-log [--report FILE] [--rounds N]: how long a Dispatcher that starts is not at
 * work because it reads the control log, by the length of the log, with all services, a NATS server
 * and the simulator as processes of this machine; beside it, in the same run, the same log read
 * message by message and in runs. docs/benchmarks.md says how to read it.
 */
#include "mlt_test.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/bus/store.h"
#include "meltica/bus/stored.h"
#include "meltica/bus/stream_reader.h"
#include "meltica/event/event.h"
#include "meltica/v1/internal.pb-c.h"
#include "stack_bench.h"

#define SUBJECTS "meltica.int.control.>"
#define ROUNDS_MAX 20u
#define WAIT_NS (30 * MLT_NS_PER_S)
#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}]}"

static const unsigned lengths[] = { 0, 1000, 2500, 5000, 10000 };
#define LENGTHS (sizeof lengths / sizeof lengths[0])

static struct stack_bench bench = {
    .name = "control-log", .option = "--rounds", .number = 5, .most = ROUNDS_MAX, .table = TABLE
};
static struct mlt_store *store;

/* ---- the log ---- */

/* A subscription that begins, and one that ends: what a steered day leaves behind. */
static void append(unsigned number)
{
    struct mlt_error err = MLT_ERROR_INIT;
    Meltica__V1__ControlRecord record;
    struct mlt_buf bytes;
    uint64_t sequence = 0;
    bool duplicate = false;
    char id[32], subject[64], request[32], who[] = "bench", instrument[] = "SYM0001-USDT",
                                           begins[] = "subscribe", ends[] = "unsubscribe";
    char *instruments[] = { instrument };
    (void)snprintf(id, sizeof id, "bench%07u", number / 2);
    (void)snprintf(request, sizeof request, "request%07u", number);
    (void)snprintf(subject, sizeof subject, "meltica.int.control.bench.%s", id);
    meltica__v1__control_record__init(&record);
    record.subscription = id;
    record.principal = record.consumer = who;
    record.request = request;
    record.time = (uint64_t)mlt_clock_wall_ns();
    record.active = number % 2 == 0;
    record.verb = record.active ? begins : ends;
    if (record.active) {
        record.type = (Meltica__V1__EventType)MLT_EVENT_BBO;
        record.instruments = instruments;
        record.n_instruments = 1;
    }
    mlt_buf_init(&bytes, 4096);
    assert_int_equal(mlt_buf_reserve(&bytes, meltica__v1__control_record__get_packed_size(&record)),
                     MLT_OK);
    bytes.len = meltica__v1__control_record__pack(&record, bytes.data);
    assert_int_equal(mlt_stream_append(store, subject, request, NULL, mlt_buf_view(&bytes),
                                       &sequence, &duplicate, &err),
                     MLT_OK);
    mlt_buf_fini(&bytes);
}

/* How long all of it takes; `reader` NULL: message by message. */
static int64_t read_all(struct mlt_stream_reader *reader, unsigned records)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf payload;
    uint64_t next = 1;
    unsigned count = 0;
    enum mlt_status status = MLT_OK;
    mlt_buf_init(&payload, 65536);
    const int64_t begin_ns = mlt_clock_mono_ns();
    while (status == MLT_OK) {
        uint64_t sequence = 0;
        mlt_buf_clear(&payload);
        status = reader != NULL ? mlt_stream_reader_next(reader, next, &payload, &sequence, &err)
                                : mlt_stream_next_current(store, MLT_STREAM_CONTROL, SUBJECTS, next,
                                                          &payload, &sequence, &err);
        next = sequence + 1;
        count += status == MLT_OK;
    }
    const int64_t took_ns = mlt_clock_mono_ns() - begin_ns;
    mlt_buf_fini(&payload);
    assert_int_equal(status, MLT_E_NOT_FOUND);
    assert_int_equal(count, records);
    return took_ns;
}

static int64_t read_in_runs(unsigned records)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_stream_reader *reader = NULL;
    assert_int_equal(mlt_stream_reader_create(store, MLT_STREAM_CONTROL, SUBJECTS, &reader, &err),
                     MLT_OK);
    const int64_t took_ns = read_all(reader, records);
    mlt_stream_reader_destroy(reader);
    return took_ns;
}

/* ---- the Dispatcher ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t count; /* how often a Dispatcher said that its table is another one */
} told = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void on_changed(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx, (void)message;
    (void)pthread_mutex_lock(&told.lock);
    told.count++;
    (void)pthread_cond_broadcast(&told.changed);
    (void)pthread_mutex_unlock(&told.lock);
}

static uint64_t await_told(uint64_t above)
{
    const int64_t until_ns = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = until_ns / MLT_NS_PER_S,
                                    .tv_nsec = until_ns % MLT_NS_PER_S };
    int rc = 0;
    (void)pthread_mutex_lock(&told.lock);
    while (told.count <= above && rc == 0) {
        rc = pthread_cond_clockwait(&told.changed, &told.lock, CLOCK_MONOTONIC, &until);
    }
    const uint64_t count = told.count;
    (void)pthread_mutex_unlock(&told.lock);
    assert_int_equal(rc, 0);
    return count;
}

static bool has_table(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    mlt_buf_init(&answer, 1u << 20);
    const bool has = mlt_bus_request(bench.client, "meltica.int.table", MLT_SLICE_EMPTY,
                                     MLT_NS_PER_S, &answer, &err) == MLT_OK;
    mlt_buf_fini(&answer);
    return has;
}

/* It answers for its table when it has read the log, and says so. */
static void await_table(void)
{
    for (uint64_t seen = 0; !has_table();) {
        seen = await_told(seen);
    }
}

/* From its start until it is at work. */
static int64_t start_dispatcher(void)
{
    mlt_stack_kill(&bench.stack, "dispatcher");
    const int64_t begin_ns = mlt_clock_mono_ns();
    mlt_stack_run(&bench.stack, "dispatcher");
    await_table();
    return mlt_clock_mono_ns() - begin_ns;
}

/* ---- report ---- */

static int64_t median_ms(int64_t *values, unsigned count)
{
    qsort(values, count, sizeof values[0], stack_bench_compare);
    return (values[count / 2] + MLT_NS_PER_MS / 2) / MLT_NS_PER_MS;
}

static void run(FILE *to, unsigned rounds)
{
    unsigned written = 0;
    (void)fprintf(stderr, "%-10s%14s%10s%14s   (ms, medians of %u)\n", "records", "one by one",
                  "in runs", "dispatcher", rounds);
    (void)fprintf(to, "{\"rounds\":%u,\"lengths\":[", rounds);
    for (size_t i = 0; i < LENGTHS; i++) {
        int64_t singles[ROUNDS_MAX], runs[ROUNDS_MAX], starts[ROUNDS_MAX];
        for (; written < lengths[i]; written++) {
            append(written);
        }
        for (unsigned r = 0; r < rounds; r++) {
            singles[r] = read_all(NULL, written);
            runs[r] = read_in_runs(written);
            starts[r] = start_dispatcher();
        }
        const int64_t single_ms = median_ms(singles, rounds), run_ms = median_ms(runs, rounds),
                      start_ms = median_ms(starts, rounds);
        (void)fprintf(stderr, "%-10u%14" PRId64 "%10" PRId64 "%14" PRId64 "\n", written, single_ms,
                      run_ms, start_ms);
        (void)fprintf(to,
                      "%s{\"records\":%u,\"one_by_one_ms\":%" PRId64 ",\"in_runs_ms\":%" PRId64
                      ",\"dispatcher_ms\":%" PRId64 "}",
                      i > 0 ? "," : "", written, single_ms, run_ms, start_ms);
    }
    (void)fprintf(to, "]}\n");
}

int main(int argc, char **argv)
{
    static const char *const exchange[] = {
        "--synthetic",           "--symbols", "10", "--rate", "1000", "--seed", "7",
        "--start-subscriptions", "0",         NULL
    };
    struct mlt_error err = MLT_ERROR_INIT;
    const int status = stack_bench_start(&bench, argc, argv, exchange);
    if (status != 0) {
        return status;
    }
    const struct mlt_bus_subscribe_options changes = { .subject = "meltica.int.table.changed" };
    struct mlt_bus_subscription *changed_sub = NULL;
    assert_int_equal(
        mlt_bus_subscribe(bench.client, &changes, on_changed, NULL, &changed_sub, &err), MLT_OK);
    assert_int_equal(mlt_store_create(bench.client, 1, &store, &err), MLT_OK);
    mlt_stack_run_services(&bench.stack);
    await_table();
    run(bench.to, (unsigned)bench.number);
    mlt_store_destroy(store);
    mlt_bus_unsubscribe(changed_sub);
    return stack_bench_end(&bench, 0);
}
