#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"

#define LOOK_NS (100 * MLT_NS_PER_MS)
#define RESTS 9 /* times what a look took */

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_consumer *c = ctx;
    struct mlt_event event;
    (void)pthread_mutex_lock(&c->lock);
    mlt_arena_reset(&c->arena);
    if (mlt_event_decode(message->payload, &c->arena, &event) != MLT_OK ||
        mlt_tally_event(c->tally, &event) != MLT_OK) {
        c->foreign++;
    } else {
        c->counts[event.type] += event.sequence > 0 ? 1 : 0;
        c->epochs[event.type] = event.epoch;
        if (event.type == MLT_EVENT_STATUS && event.u.status.kind <= MLT_STATUS_UNFILLABLE) {
            c->kinds[event.u.status.kind]++;
        }
        if (c->look != NULL) {
            c->look(c->ctx, &event, message->payload);
        }
    }
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
}

void mlt_consumer_start(struct mlt_consumer *consumer, const char *nats_url)
{
    const struct mlt_bus_options options = { .url = nats_url };
    mlt_consumer_start_as(consumer, &options);
}

void mlt_consumer_start_as(struct mlt_consumer *consumer, const struct mlt_bus_options *as)
{
    struct mlt_consumer *c = consumer;
    assert_int_equal(pthread_mutex_init(&c->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&c->changed, NULL), 0);
    mlt_arena_init(&c->arena, 65536, 16u << 20);
    assert_int_equal(mlt_tally_create(&c->tally), MLT_OK);
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_options options = *as;
    options.kind = MLT_BUS_CONTROL;
    options.name = "test-consumer";
    assert_int_equal(mlt_bus_connect(&options, &c->bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(c->bus, 10 * MLT_NS_PER_S), MLT_OK);
    const struct mlt_bus_subscribe_options subscribe = { .subject = "meltica.data.*",
                                                         .pending_count_max = 1 << 21,
                                                         .pending_bytes_max = 512u << 20 };
    assert_int_equal(mlt_bus_subscribe(c->bus, &subscribe, on_event, c, &c->subscription, &err),
                     MLT_OK);
    /* A round trip: the server has the subscription before anything is published. */
    assert_true(mlt_bus_rtt_ns(c->bus) >= 0);
}

void mlt_consumer_stop(struct mlt_consumer *consumer)
{
    struct mlt_consumer *c = consumer;
    mlt_bus_unsubscribe(c->subscription);
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(c->bus, &stats);
    mlt_bus_destroy(c->bus, 0);
    mlt_tally_destroy(c->tally);
    mlt_arena_fini(&c->arena);
    (void)pthread_mutex_destroy(&c->lock);
    (void)pthread_cond_destroy(&c->changed);
    assert_int_equal(stats.slow_consumer_dropped,
                     0); /* else the test's own verdict is worth nothing */
}

/* Until the next event, or for a while; with the lock. */
static void wait_for_event(struct mlt_consumer *consumer)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_NS;
    until.tv_sec += until.tv_nsec / MLT_NS_PER_S;
    until.tv_nsec %= MLT_NS_PER_S;
    (void)pthread_cond_timedwait(&consumer->changed, &consumer->lock, &until);
}

bool mlt_consumer_wait(struct mlt_consumer *consumer, bool (*done)(void *ctx), void *ctx,
                       int seconds)
{
    const int64_t end = mlt_clock_mono_ns() + seconds * MLT_NS_PER_S;
    (void)pthread_mutex_lock(&consumer->lock);
    bool is_done = false;
    for (int64_t now = 0; !is_done && now < end;) {
        const int64_t asked = mlt_clock_mono_ns();
        is_done = done(ctx);
        now = mlt_clock_mono_ns();
        /* A condition that asks a process costs it something; not with each event again. */
        const int64_t cost = RESTS * (now - asked),
                      rested = now + (cost < LOOK_NS ? cost : LOOK_NS);
        while (!is_done) {
            wait_for_event(consumer);
            if (mlt_clock_mono_ns() >= rested) {
                break;
            }
        }
    }
    (void)pthread_mutex_unlock(&consumer->lock);
    return is_done;
}

struct count_wait {
    struct mlt_consumer *consumer;
    enum mlt_event_type type;
    uint64_t count;
};

static bool count_reached(void *ctx)
{
    const struct count_wait *w = ctx;
    return w->consumer->counts[w->type] >= w->count;
}

bool mlt_consumer_wait_count(struct mlt_consumer *consumer, enum mlt_event_type type,
                             uint64_t count, int seconds)
{
    struct count_wait wait = { consumer, type, count };
    return mlt_consumer_wait(consumer, count_reached, &wait, seconds);
}

uint64_t mlt_consumer_count(struct mlt_consumer *consumer, enum mlt_event_type type)
{
    (void)pthread_mutex_lock(&consumer->lock);
    const uint64_t count = consumer->counts[type];
    (void)pthread_mutex_unlock(&consumer->lock);
    return count;
}

uint64_t mlt_consumer_status_count(struct mlt_consumer *consumer, enum mlt_status_kind kind)
{
    (void)pthread_mutex_lock(&consumer->lock);
    const uint64_t count = consumer->kinds[kind];
    (void)pthread_mutex_unlock(&consumer->lock);
    return count;
}

void mlt_consumer_totals(struct mlt_consumer *consumer, struct mlt_tally_totals *totals)
{
    (void)pthread_mutex_lock(&consumer->lock);
    mlt_tally_totals(consumer->tally, totals);
    (void)pthread_mutex_unlock(&consumer->lock);
}

char *mlt_consumer_report(struct mlt_consumer *consumer)
{
    struct mlt_buf buf;
    mlt_buf_init(&buf, 64u << 20);
    assert_int_equal(mlt_buf_append_byte(&buf, '{'), MLT_OK);
    (void)pthread_mutex_lock(&consumer->lock);
    assert_int_equal(mlt_tally_report(consumer->tally, &buf), MLT_OK);
    (void)pthread_mutex_unlock(&consumer->lock);
    assert_int_equal(mlt_buf_append(&buf, "}", 2), MLT_OK);
    return (char *)buf.data;
}

void mlt_json_text(const char *json, const char *member, char *out)
{
    char needle[64];
    (void)snprintf(needle, sizeof needle, "\"%s\":\"", member);
    const char *at = strstr(json, needle);
    out[0] = '\0';
    if (at != NULL) {
        at += strlen(needle);
        (void)snprintf(out, 128, "%.*s", (int)strcspn(at, "\""), at);
    }
}
