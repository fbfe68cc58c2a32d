/*
 * ./dev bench control-log [--report FILE] [--rounds N]: how long a Dispatcher that starts is not at
 * work because it reads the control log, by the length of the log, with all services, a NATS server
 * and the simulator as processes of this machine; beside it, in the same run, the same log read
 * message by message and in runs. docs/benchmarks.md says how to read it.
 */
#include "mlt_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "meltica/bus/bus.h"
#include "meltica/bus/store.h"
#include "meltica/bus/stored.h"
#include "meltica/bus/stream_reader.h"
#include "meltica/event/event.h"
#include "meltica/v1/internal.pb-c.h"
#include "mlt_stack.h"

#define SUBJECTS "meltica.int.control.>"
#define ROUNDS_MAX 20u
#define PAUSE_NS (MLT_NS_PER_MS / 2)
#define WAIT_NS (30 * MLT_NS_PER_S)
#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}]}"

static const unsigned lengths[] = { 0, 1000, 2500, 5000, 10000 };
#define LENGTHS (sizeof lengths / sizeof lengths[0])

static struct mlt_stack stack;
static struct mlt_bus *client;
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

/* It answers for its table when it has read the log. */
static void await_table(void)
{
    const struct timespec pause = { .tv_nsec = PAUSE_NS };
    const int64_t until_ns = mlt_clock_mono_ns() + WAIT_NS;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    enum mlt_status status = MLT_E_AGAIN;
    mlt_buf_init(&answer, 1u << 20);
    while (status != MLT_OK) {
        assert_true(mlt_clock_mono_ns() < until_ns);
        mlt_buf_clear(&answer);
        status = mlt_bus_request(client, "meltica.int.table", MLT_SLICE_EMPTY, MLT_NS_PER_S,
                                 &answer, &err);
        (void)nanosleep(&pause, NULL);
    }
    mlt_buf_fini(&answer);
}

/* From its start until it is at work. */
static int64_t start_dispatcher(void)
{
    mlt_stack_kill(&stack, "dispatcher");
    const int64_t begin_ns = mlt_clock_mono_ns();
    mlt_stack_run(&stack, "dispatcher");
    await_table();
    return mlt_clock_mono_ns() - begin_ns;
}

/* ---- report ---- */

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t median_ms(int64_t *values, unsigned count)
{
    qsort(values, count, sizeof values[0], compare);
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

static void start(const char *table_path)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "10", "--rate", "1000", "--seed", "7",
                      "--start-subscriptions", "0" },
        .table = table_path,
    };
    mlt_stack_start(&stack, &options);
    const struct mlt_bus_options bus = { .kind = MLT_BUS_CONTROL,
                                         .url = stack.nats_url,
                                         .name = "bench-control-log" };
    assert_int_equal(mlt_bus_connect(&bus, &client, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(client, 5 * MLT_NS_PER_S), MLT_OK);
    assert_int_equal(mlt_store_create(client, 1, &store, &err), MLT_OK);
    mlt_stack_run_services(&stack);
    await_table();
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: ./dev bench control-log [--report FILE] [--rounds 1..%u]\n",
                  ROUNDS_MAX);
    return 2;
}

int main(int argc, char **argv)
{
    unsigned long rounds = 5;
    const char *path = NULL;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--report") == 0) {
            path = argv[i + 1];
        } else if (i + 1 < argc && strcmp(argv[i], "--rounds") == 0) {
            rounds = strtoul(argv[i + 1], NULL, 10);
        } else {
            return usage();
        }
    }
    if (rounds == 0 || rounds > ROUNDS_MAX) {
        return usage();
    }
    FILE *to = path != NULL ? fopen(path, "w") : stdout;
    if (to == NULL) {
        (void)fprintf(stderr, "bench control-log: cannot write %s\n", path);
        return 2;
    }
    char table_path[] = "/tmp/meltica-bench-control.XXXXXX";
    const int fd = mkstemp(table_path);
    assert_true(fd >= 0 && dprintf(fd, "%s", TABLE) > 0 && close(fd) == 0);
    mlt_log_init("bench", "", MLT_LOG_ERROR); /* a person reads this */
    mlt_stack_find_binaries();
    start(table_path);
    run(to, (unsigned)rounds);
    mlt_store_destroy(store);
    mlt_bus_destroy(client, 0);
    mlt_stack_stop(&stack);
    (void)unlink(table_path);
    return fflush(to) != 0 || (to != stdout && fclose(to) != 0) ? 1 : 0;
}
