/* What one hop costs: two processes and a server between them.
 *   bench_hop URL RATE SECONDS [BYTES]   RATE 0: as fast as the receiver acknowledges
 * Prints latency from mlt_hop_begin to the receiver's on_batch, and elements a second there. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "meltica/base/check.h"
#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"
#include "meltica/bus/hop.h"

#define PARTITIONS 4u
#define SAMPLES_MAX (4u << 20)
#define PACE_NS (100 * MLT_NS_PER_US)

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t elements, losses;
    int64_t first_ns, last_ns;
    size_t sample_count;
    int64_t *samples;
    bool ended;
} tally = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static struct mlt_bus *connect_to(const char *url, const char *name)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL;
    const struct mlt_bus_options options = { .kind = MLT_BUS_DATA, .url = url, .name = name };
    MLT_CHECK(mlt_bus_connect(&options, &bus, &err) == MLT_OK);
    MLT_CHECK(mlt_bus_wait_connected(bus, 5 * MLT_NS_PER_S) == MLT_OK);
    return bus;
}

static void on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct mlt_slice rest = batch->bytes, element;
    const int64_t now = mlt_clock_mono_ns();
    (void)ctx;
    (void)pthread_mutex_lock(&tally.lock);
    tally.losses += batch->lost_before;
    while (mlt_batch_next(&rest, &element) == MLT_OK) {
        int64_t sent = 0;
        memcpy(&sent, element.data, sizeof sent);
        if (sent == 0) {
            tally.ended = true;
            (void)pthread_cond_broadcast(&tally.changed);
            break;
        }
        tally.first_ns = tally.elements == 0 ? now : tally.first_ns;
        tally.last_ns = now;
        tally.elements++;
        if (tally.sample_count < SAMPLES_MAX) {
            tally.samples[tally.sample_count++] = now - sent;
        }
    }
    (void)pthread_mutex_unlock(&tally.lock);
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void receive(const char *url)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_receiver *receiver = NULL;
    struct mlt_hop_receiver_stats stats;
    tally.samples = malloc(SAMPLES_MAX * sizeof *tally.samples);
    MLT_CHECK(tally.samples != NULL);
    struct mlt_bus *bus = connect_to(url, "bench receiver");
    const struct mlt_hop_receiver_options options = { .service = "bench_b",
                                                      .sender_service = "bench_a",
                                                      .subject = "bench.hop",
                                                      .partitions = PARTITIONS,
                                                      .on_batch = on_batch };
    MLT_CHECK(mlt_hop_receiver_create(bus, &options, &receiver, &err) == MLT_OK);
    (void)pthread_mutex_lock(&tally.lock);
    while (!tally.ended) {
        (void)pthread_cond_wait(&tally.changed, &tally.lock);
    }
    (void)pthread_mutex_unlock(&tally.lock);
    mlt_hop_receiver_get_stats(receiver, &stats);
    mlt_hop_receiver_destroy(receiver);
    mlt_bus_destroy(bus, MLT_NS_PER_S);
    qsort(tally.samples, tally.sample_count, sizeof *tally.samples, compare);
    const size_t n = tally.sample_count;
    MLT_CHECK(n > 0);
    printf("received %" PRIu64 " elements in %" PRIu64 " batches, %.0f elements/s, %" PRIu64
           " losses, %" PRIu64 " jumps, CPU %.2f s\n",
           tally.elements, stats.batches,
           (double)tally.elements * 1e9 / (double)(tally.last_ns - tally.first_ns + 1),
           tally.losses, stats.jumps, cpu_seconds());
    static const double shares[] = { 0.5, 0.9, 0.99, 0.999, 1.0 };
    printf("latency us, p50 p90 p99 p99.9 max:");
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        const size_t at = (size_t)(shares[i] * (double)(n - 1));
        printf(" %.0f", (double)tally.samples[at] / 1e3);
    }
    printf("\n");
    free(tally.samples);
}

static void put(struct mlt_hop_sender *sender, uint32_t partition, size_t bytes, int64_t stamp)
{
    uint8_t *out = NULL;
    MLT_CHECK(mlt_hop_begin(sender, partition, bytes, &out) == MLT_OK);
    memset(out, 0x5a, bytes);
    memcpy(out, &stamp, sizeof stamp);
    mlt_hop_end(sender, partition);
}

static void send_paced(struct mlt_hop_sender *sender, uint64_t rate, int64_t seconds, size_t bytes)
{
    const int64_t start = mlt_clock_mono_ns();
    uint64_t sent = 0;
    for (int64_t at = start; at < start + seconds * MLT_NS_PER_S; at += PACE_NS) {
        const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        for (const uint64_t due = (uint64_t)(at - start) * rate / MLT_NS_PER_S; sent < due;
             sent++) {
            put(sender, (uint32_t)(sent % PARTITIONS), bytes, mlt_clock_mono_ns());
        }
    }
}

static void send_flat_out(struct mlt_hop_sender *sender, int64_t seconds, size_t bytes)
{
    const int64_t end = mlt_clock_mono_ns() + seconds * MLT_NS_PER_S;
    int64_t now = 0;
    for (uint64_t sent = 0; (now = mlt_clock_mono_ns()) < end; sent++) {
        put(sender, (uint32_t)(sent % PARTITIONS), bytes, now);
        (void)mlt_hop_wait_room(sender, MLT_NS_PER_S);
    }
}

int main(int argc, char **argv)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_sender *sender = NULL;
    struct mlt_hop_sender_stats stats;
    struct mlt_bus_stats bus_stats;
    if (argc < 4) {
        (void)fprintf(stderr, "usage: bench_hop URL RATE SECONDS [BYTES]\n");
        return 2;
    }
    mlt_log_set_level(MLT_LOG_WARN);
    const uint64_t rate = strtoull(argv[2], NULL, 10);
    const int64_t seconds = strtoll(argv[3], NULL, 10);
    const size_t bytes = argc > 4 ? strtoul(argv[4], NULL, 10) : 120;
    MLT_CHECK(bytes >= 8 && seconds > 0);
    const pid_t pid = fork();
    if (pid == 0) {
        receive(argv[1]);
        return 0;
    }
    struct mlt_bus *bus = connect_to(argv[1], "bench sender");
    const struct mlt_hop_sender_options options = { .service = "bench_a",
                                                    .subject = "bench.hop",
                                                    .partitions = PARTITIONS,
                                                    .boot = mlt_random64() };
    MLT_CHECK(mlt_hop_sender_create(bus, &options, &sender, &err) == MLT_OK);
    if (rate > 0) {
        send_paced(sender, rate, seconds, bytes);
    } else {
        send_flat_out(sender, seconds, bytes);
    }
    put(sender, 0, bytes, 0);
    mlt_hop_sender_get_stats(sender, &stats);
    mlt_bus_get_stats(bus, &bus_stats);
    printf("sent %" PRIu64 " elements in %" PRIu64 " batches and %" PRIu64 " writes, %" PRIu64
           " overrun, blocked %.2f s, CPU %.2f s\n",
           stats.elements, stats.batches, bus_stats.writes, stats.overrun_batches,
           (double)stats.blocked_ns / 1e9, cpu_seconds());
    (void)fflush(stdout);
    int status = 0;
    (void)waitpid(pid, &status, 0);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
    mlt_bus_destroy(bus, MLT_NS_PER_S);
    return status == 0 ? 0 : 1;
}
