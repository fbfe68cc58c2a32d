#include "mlt_test.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "meltica/bus/bus.h"
#include "mlt_subscriber.h"

#define WORD "--subscriber"
#define LOOK_MS 5
#define RESTS 9 /* times what a look took: who is asked has other work */
#define START_S 20
#define PENDING_COUNT (1 << 21)
#define PENDING_BYTES ((size_t)1 << 30)

/* ---- the child ---- */

struct child {
    struct mlt_subscriber_shared *shared;
    struct mlt_bus *bus;
    struct mlt_arena arena;
    pthread_mutex_t lock; /* the ledger: events and the state of the connection */
    pthread_cond_t hurry; /* monotonic clock: it is no slow one any more, or is told to end */
    struct chaos_ledger ledger;
    bool outage; /* of this thread: as the ledger was told */
    bool drops;  /* of this thread: nats.c drops, and what waited before that is not handled yet */
};

static struct mlt_subscriber_shared *map(int fd)
{
    void *at =
        mmap(NULL, sizeof(struct mlt_subscriber_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

static void on_state(void *ctx, bool connected, const char *reason)
{
    struct child *c = ctx;
    (void)reason;
    (void)pthread_mutex_lock(&c->lock);
    if (connected) {
        chaos_ledger_outage_over(&c->ledger, mlt_clock_wall_ns());
        atomic_fetch_add(&c->shared->connects, 1);
    } else {
        chaos_ledger_outage(&c->ledger, mlt_clock_wall_ns());
        atomic_fetch_add(&c->shared->disconnects, 1);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

static uint64_t holes_of(const struct chaos_ledger *ledger)
{
    uint64_t sum = 0;
    for (unsigned n = 0; n < CHAOS_NAMINGS; n++) {
        sum += ledger->named[n];
    }
    return sum;
}

static void measure(struct mlt_subscriber_shared *s, const struct mlt_event *e, int64_t now_ns)
{
    const uint32_t phase = atomic_load(&s->phase);
    if (phase > 0 && phase < MLT_SUBSCRIBER_PHASES && e->sequence > 0 &&
        e->type != MLT_EVENT_STATUS) {
        mlt_latency_record(&s->latency[phase][MLT_SUBSCRIBER_RECEIVED],
                           now_ns - e->stamps.received - (int64_t)e->throttled_ns);
        mlt_latency_record(&s->latency[phase][MLT_SUBSCRIBER_PUBLISHED],
                           now_ns - e->stamps.published);
    }
}

static void look(struct mlt_subscriber_shared *s, const struct mlt_event *e)
{
    unsigned symbol = 0;
    if (e->type == MLT_EVENT_BOOK && e->u.book.state == MLT_BOOK_LIVE &&
        (e->quality & MLT_QUALITY_STALE) == 0 &&
        chaos_symbol_of(e->instrument, s->symbols, &symbol)) {
        atomic_store(&s->live_received_ns[symbol], e->stamps.received);
    }
}

/* Being slow is what it is for, for as long as it is told to be. */
static void rest(struct child *c, int64_t until_ns)
{
    const struct timespec until = { .tv_sec = until_ns / MLT_NS_PER_S,
                                    .tv_nsec = until_ns % MLT_NS_PER_S };
    int rc = 0;
    (void)pthread_mutex_lock(&c->lock);
    while (rc == 0 && atomic_load(&c->shared->pause_ns) > 0 && !atomic_load(&c->shared->ending)) {
        rc = pthread_cond_timedwait(&c->hurry, &c->lock, &until);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

static void hurry(struct child *c)
{
    (void)pthread_mutex_lock(&c->lock);
    (void)pthread_cond_signal(&c->hurry);
    (void)pthread_mutex_unlock(&c->lock);
}

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct child *c = ctx;
    struct mlt_event event;
    const int64_t now_ns = mlt_clock_wall_ns();
    mlt_arena_reset(&c->arena);
    (void)pthread_mutex_lock(&c->lock);
    if (mlt_event_decode(message->payload, &c->arena, &event) != MLT_OK) {
        c->ledger.foreign++;
    } else {
        measure(c->shared, &event, now_ns);
        chaos_ledger_event(&c->ledger, &event, now_ns);
        look(c->shared, &event);
        atomic_store(&c->shared->holes, holes_of(&c->ledger));
        atomic_store(&c->shared->lost, c->ledger.by_status[MLT_STATUS_LOST]);
    }
    (void)pthread_mutex_unlock(&c->lock);
    atomic_fetch_add(&c->shared->events, 1);
    const int64_t pause_ns = atomic_load(&c->shared->pause_ns);
    if (pause_ns > 0) {
        rest(c, mlt_clock_mono_ns() + pause_ns);
    }
}

/* What nats.c drops is missing when the handler is through with what waited before it. */
static void note_drops(struct child *c, const struct mlt_bus_stats *stats)
{
    (void)pthread_mutex_lock(&c->lock);
    if (stats->slow_consumer_dropped > atomic_load(&c->shared->dropped) && !c->drops) {
        chaos_ledger_outage(&c->ledger, mlt_clock_wall_ns());
        c->drops = true;
    } else if (c->drops && stats->waiting == 0 && atomic_load(&c->shared->pause_ns) == 0) {
        chaos_ledger_outage_over(&c->ledger, mlt_clock_wall_ns());
        c->drops = false;
    }
    (void)pthread_mutex_unlock(&c->lock);
    atomic_store(&c->shared->dropped, stats->slow_consumer_dropped);
}

static void note_outage(struct child *c)
{
    const bool outage = atomic_load(&c->shared->outage);
    (void)pthread_mutex_lock(&c->lock);
    if (outage && !c->outage) {
        chaos_ledger_outage(&c->ledger, mlt_clock_wall_ns());
    } else if (!outage && c->outage) {
        chaos_ledger_outage_over(&c->ledger, mlt_clock_wall_ns());
    }
    c->outage = outage;
    (void)pthread_mutex_unlock(&c->lock);
}

static bool has_all(struct child *c)
{
    static const enum mlt_event_type types[] = { MLT_EVENT_TRADE, MLT_EVENT_AGG_TRADE,
                                                 MLT_EVENT_BOOK_DELTA };
    (void)pthread_mutex_lock(&c->lock);
    bool all = chaos_ledger_awaited(&c->ledger) == 0;
    for (unsigned s = 0; all && s < c->shared->symbols; s++) {
        for (unsigned t = 0; all && t < 3; t++) {
            all = chaos_ledger_reached(&c->ledger, s, types[t], c->shared->heads[s].last[types[t]]);
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
    return all;
}

static void look_after(struct child *c)
{
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(c->bus, &stats);
    note_drops(c, &stats);
    note_outage(c);
    if (atomic_load(&c->shared->pause_ns) == 0) {
        hurry(c);
    }
    const uint32_t version = atomic_load(&c->shared->heads_version);
    if (version != atomic_load(&c->shared->reached_version) && has_all(c)) {
        atomic_store(&c->shared->reached_version, version);
    }
}

static void hand_in(struct child *c)
{
    struct mlt_subscriber_shared *s = c->shared;
    chaos_ledger_end(&c->ledger, s->heads);
    s->silent_holes = c->ledger.silent_holes;
    s->duplicates = c->ledger.duplicates;
    s->foreign = c->ledger.foreign;
    s->books_wrong = chaos_ledger_wrong(&c->ledger);
    s->books_right = chaos_ledger_right(&c->ledger);
    memcpy(s->named, c->ledger.named, sizeof s->named);
    memcpy(s->first_silent, c->ledger.first_silent, sizeof s->first_silent);
    memcpy(s->first_duplicate, c->ledger.first_duplicate, sizeof s->first_duplicate);
    assert_int_equal(c->ledger.failure, MLT_OK);
}

static int follow(int fd)
{
    static struct child child;
    struct child *c = &child;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *subscription = NULL;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    mlt_log_init("subscriber", "", MLT_LOG_ERROR);
    c->shared = map(fd);
    pthread_condattr_t attributes;
    assert_int_equal(pthread_mutex_init(&c->lock, NULL), 0);
    assert_int_equal(pthread_condattr_init(&attributes), 0);
    assert_int_equal(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC), 0);
    assert_int_equal(pthread_cond_init(&c->hurry, &attributes), 0);
    (void)pthread_condattr_destroy(&attributes);
    mlt_arena_init(&c->arena, 65536, 16u << 20);
    chaos_ledger_open(&c->ledger, c->shared->symbols);
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = c->shared->url,
                                             .name = c->shared->name,
                                             .on_state = on_state,
                                             .ctx = c };
    assert_int_equal(mlt_bus_connect(&options, &c->bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(c->bus, START_S * MLT_NS_PER_S), MLT_OK);
    const struct mlt_bus_subscribe_options lane = { .subject = "meltica.data.*",
                                                    .pending_count_max =
                                                        c->shared->pending_count_max,
                                                    .pending_bytes_max = PENDING_BYTES };
    assert_int_equal(mlt_bus_subscribe(c->bus, &lane, on_event, c, &subscription, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(c->bus) >= 0); /* the server has it */
    atomic_store(&c->shared->reached_version, 1);
    while (!atomic_load(&c->shared->ending)) {
        (void)poll(NULL, 0, LOOK_MS);
        look_after(c);
    }
    hurry(c);
    mlt_bus_unsubscribe(subscription);
    look_after(c);
    mlt_bus_destroy(c->bus, 0);
    hand_in(c);
    chaos_ledger_close(&c->ledger);
    mlt_arena_fini(&c->arena);
    (void)pthread_cond_destroy(&c->hurry);
    (void)pthread_mutex_destroy(&c->lock);
    return 0;
}

void mlt_subscriber_main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], WORD) == 0) {
        exit(follow((int)strtol(argv[2], NULL, 10)));
    }
}

/* ---- the parent ---- */

bool mlt_subscriber_wait(bool (*done)(void *ctx), void *ctx, int seconds)
{
    const int64_t end_ns = mlt_clock_mono_ns() + seconds * MLT_NS_PER_S;
    bool is_done = false;
    for (int64_t now_ns = 0; !is_done && now_ns < end_ns;) {
        const int64_t asked_ns = mlt_clock_mono_ns();
        is_done = done(ctx);
        now_ns = mlt_clock_mono_ns();
        const int64_t rest_ms = RESTS * (now_ns - asked_ns) / MLT_NS_PER_MS;
        if (!is_done) {
            (void)poll(NULL, 0, rest_ms < LOOK_MS ? LOOK_MS : rest_ms < 100 ? (int)rest_ms : 100);
        }
    }
    return is_done;
}

bool mlt_subscriber_has_reached(const struct mlt_subscriber *subscriber)
{
    return atomic_load(&subscriber->shared->reached_version) ==
           atomic_load(&subscriber->shared->heads_version);
}

static bool is_there(void *ctx)
{
    return mlt_subscriber_has_reached(ctx);
}

void mlt_subscriber_start(struct mlt_subscriber *subscriber, const char *nats_url, unsigned number,
                          unsigned symbols, int pending_count_max)
{
    char fd[16];
    assert_true(symbols <= CHAOS_SYMBOLS_MAX);
    subscriber->fd = memfd_create("subscriber", 0); /* the child has it, too */
    assert_true(subscriber->fd >= 0);
    assert_int_equal(ftruncate(subscriber->fd, sizeof *subscriber->shared), 0);
    subscriber->shared = map(subscriber->fd);
    struct mlt_subscriber_shared *s = subscriber->shared;
    (void)snprintf(s->url, sizeof s->url, "%s", nats_url);
    (void)snprintf(s->name, sizeof s->name, "subscriber-%u", number);
    s->symbols = symbols;
    s->pending_count_max = pending_count_max > 0 ? pending_count_max : PENDING_COUNT;
    atomic_store(&s->heads_version, 1);
    (void)snprintf(fd, sizeof fd, "%d", subscriber->fd);
    subscriber->pid = fork();
    assert_true(subscriber->pid >= 0);
    if (subscriber->pid == 0) {
        (void)execl("/proc/self/exe", "subscriber", WORD, fd, (char *)NULL);
        _exit(127);
    }
    assert_true(mlt_subscriber_wait(is_there, subscriber, START_S));
}

void mlt_subscriber_signal(const struct mlt_subscriber *subscriber, int signal)
{
    assert_int_equal(kill(subscriber->pid, signal), 0);
}

void mlt_subscriber_tell_heads(struct mlt_subscriber *subscriber, const struct chaos_heads *heads)
{
    memcpy(subscriber->shared->heads, heads, subscriber->shared->symbols * sizeof *heads);
    atomic_fetch_add(&subscriber->shared->heads_version, 1);
}

void mlt_subscriber_end(struct mlt_subscriber *subscriber)
{
    int status = -1;
    atomic_store(&subscriber->shared->ending, true);
    assert_int_equal(waitpid(subscriber->pid, &status, 0), subscriber->pid);
    subscriber->pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void mlt_subscriber_free(struct mlt_subscriber *subscriber)
{
    (void)munmap(subscriber->shared, sizeof *subscriber->shared);
    (void)close(subscriber->fd);
}
