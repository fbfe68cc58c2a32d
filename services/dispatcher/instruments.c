#include "instruments.h"

#include <pthread.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"
#include "meltica/base/map.h"
#include "meltica/bus/stored.h"

#define VALUE_BYTES_MAX 4096u

struct item {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    uint64_t said; /* hash of what the last event said */
    uint8_t *value;
    size_t len;
    bool waiting;
    struct item *next, *next_waiting;
};

struct mlt_instruments {
    struct mlt_bus *control;
    uint32_t provision_replicas;
    pthread_t thread;

    /* Of the thread. */
    struct mlt_store *store;
    bool bucket; /* it is there, as far as we know */

    pthread_mutex_t lock; /* what follows; never held while the bus is called */
    pthread_cond_t wake;  /* monotonic clock */
    bool stop;
    int64_t not_before_ns;
    struct mlt_map map;
    struct item *all, *first_waiting, *last_waiting;
    struct mlt_instruments_stats stats;
};

/* ---- what is heard ---- */

static uint64_t hash_number(uint64_t hash, int64_t number)
{
    return mlt_mix64(hash ^ (uint64_t)number);
}

static uint64_t hash_decimal(uint64_t hash, struct mlt_decimal value)
{
    return hash_number(hash_number(hash, value.mantissa), value.exponent);
}

/* Of the members, lengths included; 0 stands for nothing said. */
static uint64_t hash_of(const struct mlt_instrument *i)
{
    const struct mlt_slice texts[] = { i->native_symbol, i->base, i->quote, i->status };
    uint64_t hash = MLT_FNV1A64_INIT;
    for (size_t n = 0; n < sizeof texts / sizeof texts[0]; n++) {
        hash = hash_number(mlt_fnv1a64(hash, texts[n]), (int64_t)texts[n].len);
    }
    hash = hash_decimal(hash_decimal(hash, i->tick_size), i->lot_size);
    hash = hash_decimal(hash, i->minimum_notional);
    hash = hash_number(hash_number(hash, i->price_exponent), i->quantity_exponent);
    return hash != 0 ? hash : 1;
}

/* With the lock. */
static void put_last(struct mlt_instruments *s, struct item *item)
{
    if (item->waiting) {
        return;
    }
    item->waiting = true;
    item->next_waiting = NULL;
    if (s->last_waiting == NULL) {
        s->first_waiting = item;
    } else {
        s->last_waiting->next_waiting = item;
    }
    s->last_waiting = item;
    s->stats.waiting++;
}

/* With the lock; NULL: no place. */
static struct item *item_of(struct mlt_instruments *s, struct mlt_slice token)
{
    struct item *item = mlt_map_get(&s->map, token);
    if (item != NULL || token.len == 0 || token.len > MLT_INSTRUMENT_BYTES_MAX) {
        return item;
    }
    item = calloc(1, sizeof *item);
    if (item != NULL && mlt_map_put(&s->map, token, item) != MLT_OK) {
        free(item);
        item = NULL;
    }
    if (item != NULL) {
        memcpy(item->token, token.data, token.len);
        item->next = s->all;
        s->all = item;
        s->stats.known++;
    }
    return item;
}

/* With the lock. */
static bool take_value(struct item *item, const struct mlt_event *event)
{
    const size_t len = mlt_event_encoded_size(event);
    uint8_t *value = len <= VALUE_BYTES_MAX ? malloc(len) : NULL;
    if (value == NULL) {
        return false;
    }
    (void)mlt_event_encode(event, value);
    free(item->value);
    item->value = value;
    item->len = len;
    return true;
}

void mlt_instruments_heard(struct mlt_instruments *instruments, const struct mlt_event *event)
{
    struct mlt_instruments *s = instruments;
    const uint64_t said = hash_of(&event->u.instrument);
    (void)pthread_mutex_lock(&s->lock);
    struct item *item = item_of(s, event->instrument);
    if (item == NULL) {
        s->stats.failed++;
    } else if (item->said != said) {
        if (take_value(item, event)) {
            item->said = said;
            put_last(s, item);
            (void)pthread_cond_signal(&s->wake);
        } else {
            s->stats.failed++;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- writing: thread of its own ---- */

static enum mlt_status ensure(struct mlt_instruments *s, struct mlt_error *err)
{
    enum mlt_status status = MLT_OK;
    if (s->store == NULL) {
        status = mlt_store_create(s->control, s->provision_replicas, &s->store, err);
    }
    if (status == MLT_OK && !s->bucket) {
        status = mlt_stored_ensure(s->store, MLT_STORED_INSTRUMENTS, err);
        s->bucket = status == MLT_OK;
    }
    return status;
}

static enum mlt_status write_one(struct mlt_instruments *s, const char *token,
                                 struct mlt_slice value, struct mlt_error *err)
{
    uint64_t revision = 0;
    const enum mlt_status status = ensure(s, err);
    return status == MLT_OK
               ? mlt_kv_put(s->store, MLT_INSTRUMENTS_BUCKET, token, value, &revision, err)
               : status;
}

/* With the lock. What the bucket had may be gone with it. */
static void wait_all(struct mlt_instruments *s)
{
    for (struct item *item = s->all; item != NULL; item = item->next) {
        if (item->value != NULL) {
            put_last(s, item);
        }
    }
    s->not_before_ns = mlt_clock_mono_ns() + MLT_INSTRUMENTS_RETRY_MS * MLT_NS_PER_MS;
}

/* With the lock, which is left meanwhile. */
static void write_next(struct mlt_instruments *s)
{
    struct mlt_error err = MLT_ERROR_INIT;
    uint8_t value[VALUE_BYTES_MAX];
    struct item *item = s->first_waiting;
    const size_t len = item->len;
    memcpy(value, item->value, len);
    s->first_waiting = item->next_waiting;
    s->last_waiting = s->first_waiting == NULL ? NULL : s->last_waiting;
    item->waiting = false;
    s->stats.waiting--;
    (void)pthread_mutex_unlock(&s->lock);
    const enum mlt_status status = write_one(s, item->token, mlt_slice_of(value, len), &err);
    if (status != MLT_OK) {
        s->bucket = false;
        mlt_log(MLT_LOG_DEBUG, "instrument_not_written", err.text, MLT_S("instrument", item->token),
                MLT_S("reason", mlt_status_word(status)));
    }
    (void)pthread_mutex_lock(&s->lock);
    s->stats.written += status == MLT_OK;
    s->stats.failed += status != MLT_OK;
    if (status != MLT_OK) {
        wait_all(s);
    }
}

static void *run(void *argument)
{
    struct mlt_instruments *s = argument;
    (void)pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        if (s->first_waiting == NULL) {
            (void)pthread_cond_wait(&s->wake, &s->lock);
        } else if (s->not_before_ns > mlt_clock_mono_ns()) {
            const struct timespec at = { .tv_sec = (time_t)(s->not_before_ns / MLT_NS_PER_S),
                                         .tv_nsec = (long)(s->not_before_ns % MLT_NS_PER_S) };
            (void)pthread_cond_timedwait(&s->wake, &s->lock, &at);
        } else {
            write_next(s);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- life ---- */

static void free_all(struct mlt_instruments *s)
{
    while (s->all != NULL) {
        struct item *next = s->all->next;
        free(s->all->value);
        free(s->all);
        s->all = next;
    }
    mlt_store_destroy(s->store);
    mlt_map_fini(&s->map);
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

enum mlt_status mlt_instruments_create(struct mlt_bus *control, uint32_t provision_replicas,
                                       struct mlt_instruments **instruments, struct mlt_error *err)
{
    struct mlt_instruments *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the instruments' bucket");
    }
    s->control = control;
    s->provision_replicas = provision_replicas;
    mlt_map_init(&s->map, MLT_INSTRUMENTS_MAX);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&s->lock, NULL);
    if (pthread_create(&s->thread, NULL, run, s) != 0) {
        free_all(s);
        return mlt_error_set(err, MLT_E_INTERNAL, "the instruments' thread does not start");
    }
    *instruments = s;
    return MLT_OK;
}

void mlt_instruments_destroy(struct mlt_instruments *instruments)
{
    if (instruments == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&instruments->lock);
    instruments->stop = true;
    (void)pthread_cond_signal(&instruments->wake);
    (void)pthread_mutex_unlock(&instruments->lock);
    (void)pthread_join(instruments->thread, NULL);
    free_all(instruments);
}

void mlt_instruments_get_stats(struct mlt_instruments *instruments,
                               struct mlt_instruments_stats *out)
{
    (void)pthread_mutex_lock(&instruments->lock);
    *out = instruments->stats;
    (void)pthread_mutex_unlock(&instruments->lock);
}
