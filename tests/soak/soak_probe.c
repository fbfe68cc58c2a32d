#include "mlt_test.h"

#include "soak_probe.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "scrape.h"
#include "soak_steer.h"
#include "verify.h"

#define BOOKS_A_TICK 5u
#define JOIN_FOR_NS (2 * MLT_NS_PER_S)
#define METRICS_BYTES_MAX (8u << 20)

const char *const soak_process_names[SOAK_PROCESSES] = { "adapter",  "dispatcher",  "conductor",
                                                         "data-bus", "control-bus", "nats",
                                                         "exchange" };

/* ---- a line through values ---- */

void soak_series_add(struct soak_series *series, int64_t now_ns, int64_t value)
{
    struct soak_series *s = series;
    if (s->count++ == 0) {
        s->first_ns = now_ns;
        s->first = value;
    }
    /* Relative to the first value, so that nothing is lost to rounding. */
    const double t = (double)(now_ns - s->first_ns) / (3600.0 * MLT_NS_PER_S);
    const double y = (double)(value - s->first);
    s->hours = t;
    s->t += t;
    s->y += y;
    s->tt += t * t;
    s->ty += t * y;
    s->last = value;
    s->max = value > s->max ? value : s->max;
}

double soak_series_mean(const struct soak_series *s)
{
    return s->count > 0 ? (double)s->first + s->y / (double)s->count : 0;
}

double soak_series_slope(const struct soak_series *s)
{
    const double n = (double)s->count, below = n * s->tt - s->t * s->t;
    return s->count >= 3 && below > 0 ? (n * s->ty - s->t * s->y) / below : 0;
}

double soak_series_growth(const struct soak_series *s)
{
    return soak_series_slope(s) * s->hours;
}

bool soak_series_flat(const struct soak_series *s, double allowed)
{
    return soak_series_growth(s) <= allowed;
}

/* ---- processes ---- */

static int64_t open_files(pid_t pid)
{
    char path[64];
    int64_t count = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return -1;
    }
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    return count;
}

static bool look_at_processes(struct soak_probe *p, bool measure)
{
    const int64_t now_ns = mlt_clock_mono_ns();
    bool all = true;
    for (unsigned i = 0; i < SOAK_PROCESSES; i++) {
        struct soak_process *of = &p->processes[i];
        of->gone = of->gone || mlt_stack_gone(p->stack, soak_process_names[i]);
        all = all && !of->gone;
        if (!measure || of->gone) {
            continue;
        }
        const pid_t pid = mlt_stack_pid(p->stack, soak_process_names[i]);
        const int64_t resident = mlt_stack_resident_bytes(p->stack, soak_process_names[i]);
        const int64_t files = open_files(pid);
        if (resident >= 0 && files >= 0) {
            soak_series_add(&of->resident, now_ns, resident);
            soak_series_add(&of->descriptors, now_ns, files);
        }
    }
    return all;
}

/* ---- books ---- */

enum soak_verdict soak_compare_book(struct mlt_stack *stack, struct soak_watch *watch,
                                    unsigned symbol, int64_t *id)
{
    struct storm_book book;
    struct mlt_buf body;
    char target[128];
    if (!soak_watch_take_book(watch, symbol, &book)) {
        return SOAK_NO_BOOK;
    }
    *id = book.id;
    (void)snprintf(target, sizeof target, "/sim/book?symbol=SYM%04uUSDT&limit=%u&id=%" PRId64,
                   symbol + 1, STORM_SHOWN, book.id);
    mlt_buf_init(&body, 1u << 20);
    cJSON *answer = mlt_stack_try_get(stack, "exchange", target, &body)
                        ? cJSON_ParseWithLength((const char *)body.data, body.len)
                        : NULL;
    mlt_buf_fini(&body);
    const bool right = answer != NULL && storm_book_right(&book, answer);
    cJSON_Delete(answer);
    return right ? SOAK_RIGHT : SOAK_WRONG;
}

static void compare_book(struct soak_probe *p, unsigned symbol)
{
    int64_t id = 0;
    const enum soak_verdict verdict = soak_compare_book(p->stack, p->watch, symbol, &id);
    p->true_books += verdict == SOAK_RIGHT;
    p->wrong_books += verdict == SOAK_WRONG;
    if (verdict == SOAK_WRONG && p->first_wrong[0] == '\0') {
        (void)snprintf(p->first_wrong, sizeof p->first_wrong, "SYM%04u-USDT at update id %" PRId64,
                       symbol + 1, id);
    }
    (void)pthread_mutex_lock(&p->watch->lock);
    p->watch->instruments[symbol].true_books += verdict == SOAK_RIGHT;
    p->watch->instruments[symbol].wrong_books += verdict == SOAK_WRONG;
    (void)pthread_mutex_unlock(&p->watch->lock);
}

bool soak_probe_tick(struct soak_probe *probe, bool measure)
{
    for (unsigned i = 0; i < BOOKS_A_TICK; i++) {
        compare_book(probe, probe->next_book);
        probe->next_book = (probe->next_book + 1) % probe->watch->symbols;
    }
    return look_at_processes(probe, measure);
}

/* ---- who comes late ---- */

static bool is_over(const struct soak_joiner *j)
{
    uint64_t count = 0;
    return read(j->stop, &count, sizeof count) == sizeof count;
}

/* As mlt_verify judges, but for holes in a sequence: what comes and goes while it listens has some
 * that are none, and the watch knows which. */
static bool joined_right(const struct mlt_verify_result *r)
{
    const struct mlt_follow_counts *c = &r->counts;
    return r->right ||
           (c->sequence_holes > 0 && r->joined && r->join_ns >= 0 &&
            c->digests_right + c->books_right > 0 && c->update_gaps == 0 &&
            c->digests_wrong + c->books_wrong + c->crossed == 0 && r->foreign + r->dropped == 0);
}

static void *join_again_and_again(void *argument)
{
    struct soak_joiner *j = argument;
    bool over = false;
    while (!over) {
        char instrument[32];
        struct mlt_error err = MLT_ERROR_INIT;
        struct mlt_verify_result result;
        (void)snprintf(instrument, sizeof instrument, "SYM%04u-USDT",
                       (unsigned)(mlt_mix64_next(&j->dice) % j->symbols) + 1);
        const struct mlt_verify_options options = {
            .bus = j->bus, .instrument = instrument, .duration_ns = JOIN_FOR_NS, .stop = j->stop
        };
        const enum mlt_status status = mlt_verify(&options, &result, &err);
        over = is_over(j); /* it was cut short: no verdict */
        const bool right = status == MLT_OK && joined_right(&result);
        if (right) {
            j->right++;
            mlt_latency_record(&j->join, result.join_ns);
        } else if (!over) {
            if (j->wrong++ == 0) {
                (void)snprintf(j->first_wrong, sizeof j->first_wrong, "%s: %s", instrument,
                               status == MLT_OK ? result.reason : mlt_status_text(status));
            }
        }
    }
    return NULL;
}

/* ---- life ---- */

void soak_probe_start(struct soak_probe *probe, struct mlt_stack *stack, struct soak_watch *watch,
                      uint64_t seed)
{
    struct soak_probe *p = probe;
    struct mlt_error err = MLT_ERROR_INIT;
    memset(p, 0, sizeof *p);
    p->stack = stack;
    p->watch = watch;
    for (unsigned i = 0; i < SOAK_PROCESSES; i++) {
        mlt_buf_init(&p->processes[i].before, METRICS_BYTES_MAX);
        mlt_buf_init(&p->processes[i].metrics, METRICS_BYTES_MAX);
    }
    for (unsigned i = 0; i < SOAK_SERVICES; i++) {
        mlt_stack_get(stack, soak_process_names[i], "/metrics", &p->processes[i].before);
    }
    p->joiner.symbols = watch->symbols;
    p->joiner.dice = seed + 1000;
    p->joiner.stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(p->joiner.stop >= 0);
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = stack->nats_url,
                                             .name = "soak-joiner" };
    assert_int_equal(mlt_bus_connect(&options, &p->joiner.bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(p->joiner.bus, 10 * MLT_NS_PER_S), MLT_OK);
    assert_int_equal(pthread_create(&p->joiner.thread, NULL, join_again_and_again, &p->joiner), 0);
}

void soak_probe_end(struct soak_probe *probe)
{
    const uint64_t one = 1;
    assert_int_equal(write(probe->joiner.stop, &one, sizeof one), sizeof one);
    (void)pthread_join(probe->joiner.thread, NULL);
    mlt_bus_destroy(probe->joiner.bus, 0);
    (void)close(probe->joiner.stop);
    for (unsigned i = 0; i < SOAK_SERVICES; i++) {
        struct soak_process *of = &probe->processes[i];
        of->answered = !of->gone && mlt_stack_try_get(probe->stack, soak_process_names[i],
                                                      "/metrics", &of->metrics);
    }
}

void soak_probe_free(struct soak_probe *probe)
{
    for (unsigned i = 0; i < SOAK_PROCESSES; i++) {
        mlt_buf_fini(&probe->processes[i].before);
        mlt_buf_fini(&probe->processes[i].metrics);
    }
}

static const struct soak_process *answered(const struct soak_probe *probe, const char *service)
{
    for (unsigned i = 0; i < SOAK_SERVICES; i++) {
        if (strcmp(soak_process_names[i], service) == 0 && probe->processes[i].answered) {
            return &probe->processes[i];
        }
    }
    return NULL;
}

uint64_t soak_probe_metric(const struct soak_probe *probe, const char *service, const char *metric,
                           const char *label)
{
    const struct soak_process *p = answered(probe, service);
    return p != NULL ? mlt_scrape_sum(mlt_buf_view(&p->metrics), metric, label) : 0;
}

uint64_t soak_probe_grown(const struct soak_probe *probe, const char *service, const char *metric,
                          const char *label)
{
    const struct soak_process *p = answered(probe, service);
    if (p == NULL) {
        return 0;
    }
    const uint64_t before = mlt_scrape_sum(mlt_buf_view(&p->before), metric, label);
    const uint64_t after = mlt_scrape_sum(mlt_buf_view(&p->metrics), metric, label);
    return after > before ? after - before : 0;
}
