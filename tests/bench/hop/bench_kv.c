/* What a compare-and-set put costs (kv_writer.h).
 *   bench_kv URL RATE SECONDS [KEYS] [BYTES]   RATE puts/s over all keys; 0: as fast as answered
 * One put in flight a key, each with the revision of the one before, as the Snapshot Cache does. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meltica/base/check.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "meltica/bus/kv_writer.h"
#include "meltica/bus/store.h"

#define BUCKET "bench-kv"
#define SAMPLES_MAX (4u << 20)
#define KEYS_MAX 4096u

struct key {
    char name[16];
    uint64_t revision;
    bool out;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t written, refused, out;
    size_t sample_count;
    int64_t *samples;
} tally = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void on_answer(void *ctx, const struct mlt_kv_answer *answer)
{
    struct key *key = answer->about;
    (void)ctx;
    (void)pthread_mutex_lock(&tally.lock);
    key->out = false;
    tally.out--;
    if (answer->outcome == MLT_KV_WRITTEN) {
        key->revision = answer->revision;
        tally.written++;
        if (tally.sample_count < SAMPLES_MAX) {
            tally.samples[tally.sample_count++] = answer->duration_ns;
        }
    } else {
        tally.refused++;
    }
    (void)pthread_cond_signal(&tally.changed);
    (void)pthread_mutex_unlock(&tally.lock);
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* What so many of a thousand puts took at most. */
static double us_at(size_t per_mille)
{
    const size_t at = (tally.sample_count - 1) * per_mille / 1000;
    return (double)tally.samples[at] / 1e3;
}

/* The lock is held; waits for the key's answer. */
static void put(struct mlt_kv_writer *writer, struct key *key, struct mlt_slice value)
{
    while (key->out) {
        (void)pthread_cond_wait(&tally.changed, &tally.lock);
    }
    key->out = true;
    tally.out++;
    const uint64_t revision = key->revision;
    (void)pthread_mutex_unlock(&tally.lock);
    MLT_CHECK(mlt_kv_writer_put(writer, key->name, value, revision, key) == MLT_OK);
    (void)pthread_mutex_lock(&tally.lock);
}

static void run(struct mlt_kv_writer *writer, struct key *keys, size_t key_count,
                struct mlt_slice value, uint64_t rate, int64_t seconds)
{
    const int64_t begin = mlt_clock_mono_ns(), end = begin + seconds * MLT_NS_PER_S;
    int64_t now = begin;
    (void)pthread_mutex_lock(&tally.lock);
    for (uint64_t i = 0; now < end; i++, now = mlt_clock_mono_ns()) {
        const int64_t due = rate > 0 ? begin + (int64_t)(i * (uint64_t)MLT_NS_PER_S / rate) : now;
        if (due > now) {
            (void)pthread_mutex_unlock(&tally.lock);
            const struct timespec at = { .tv_sec = due / MLT_NS_PER_S,
                                         .tv_nsec = due % MLT_NS_PER_S };
            (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
            (void)pthread_mutex_lock(&tally.lock);
        }
        put(writer, &keys[i % key_count], value);
    }
    while (tally.out > 0) {
        (void)pthread_cond_wait(&tally.changed, &tally.lock);
    }
    (void)pthread_mutex_unlock(&tally.lock);
    const double took = (double)(mlt_clock_mono_ns() - begin) / 1e9;
    qsort(tally.samples, tally.sample_count, sizeof *tally.samples, compare);
    MLT_CHECK(tally.sample_count > 0);
    (void)printf("%.0f puts/s, %" PRIu64 " refused; us p50 %.0f p99 %.0f p99.9 %.0f max %.0f\n",
                 (double)tally.written / took, tally.refused, us_at(500), us_at(990), us_at(999),
                 us_at(1000));
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        (void)fprintf(stderr, "usage: bench_kv URL RATE SECONDS [KEYS] [BYTES]\n");
        return 2;
    }
    const uint64_t rate = strtoull(argv[2], NULL, 10);
    const int64_t seconds = strtoll(argv[3], NULL, 10);
    const size_t key_count = argc > 4 ? strtoull(argv[4], NULL, 10) : 500;
    const size_t bytes = argc > 5 ? strtoull(argv[5], NULL, 10) : 3072;
    MLT_CHECK(key_count >= 1 && key_count <= KEYS_MAX && bytes <= MLT_BUS_PAYLOAD_BYTES_MAX);
    struct key *keys = calloc(key_count, sizeof *keys);
    uint8_t *value = calloc(1, bytes + 1);
    tally.samples = calloc(SAMPLES_MAX, sizeof *tally.samples);
    MLT_CHECK(keys != NULL && value != NULL && tally.samples != NULL);

    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL, *data = NULL;
    struct mlt_store *store = NULL;
    struct mlt_kv_writer *writer = NULL;
    struct mlt_bus_options bus_options = { .kind = MLT_BUS_CONTROL,
                                           .url = argv[1],
                                           .name = "bench-kv" };
    const struct mlt_kv_writer_options options = {
        .bucket = BUCKET, .on_answer = on_answer, .in_flight_max = KEYS_MAX, .bytes_max = 256u << 20
    };
    MLT_CHECK(mlt_bus_connect(&bus_options, &bus, &err) == MLT_OK);
    MLT_CHECK(mlt_bus_wait_connected(bus, 5 * MLT_NS_PER_S) == MLT_OK);
    bus_options.kind = MLT_BUS_DATA;
    MLT_CHECK(mlt_bus_connect(&bus_options, &data, &err) == MLT_OK);
    MLT_CHECK(mlt_bus_wait_connected(data, 5 * MLT_NS_PER_S) == MLT_OK);
    MLT_CHECK(mlt_store_create(bus, 1, &store, &err) == MLT_OK);
    MLT_CHECK(mlt_store_ensure_bucket(store, BUCKET, true, 0, 0, &err) == MLT_OK);
    MLT_CHECK(mlt_kv_writer_create(data, &options, &writer, &err) == MLT_OK);
    const int64_t run_id = mlt_clock_wall_ns() / MLT_NS_PER_S; /* keys of its own */
    for (size_t i = 0; i < key_count; i++) {
        (void)snprintf(keys[i].name, sizeof keys[i].name, "%x.%zx", (unsigned)run_id, i);
    }
    run(writer, keys, key_count, mlt_slice_of(value, bytes), rate, seconds);
    mlt_kv_writer_destroy(writer);
    mlt_store_destroy(store);
    mlt_bus_destroy(data, 0);
    mlt_bus_destroy(bus, 0);
    free(tally.samples);
    free(value);
    free(keys);
    return 0;
}
