#include "quota.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"

/* The Dispatcher reads what nobody announced to it once a second; then some. */
#define STORED_NS (5 * MLT_NS_PER_S)

struct entry {
    bool used, granted;
    uint64_t entered, ended; /* 0: still on its way */
    int64_t stored_until_ns; /* 0: the table has it */
    char principal[MLT_COMMAND_NAME_BYTES_MAX + 1];
    char subscription[MLT_COMMAND_NAME_BYTES_MAX + 1];
    struct mlt_quota_size size;
};

struct mlt_quota {
    pthread_mutex_t lock;
    uint64_t clock;
    struct entry entries[MLT_QUOTA_ENTRIES_MAX];
};

enum mlt_status mlt_quota_create(struct mlt_quota **quota)
{
    struct mlt_quota *q = calloc(1, sizeof *q);
    if (q == NULL) {
        return MLT_E_NOMEM;
    }
    (void)pthread_mutex_init(&q->lock, NULL);
    *quota = q;
    return MLT_OK;
}

void mlt_quota_destroy(struct mlt_quota *quota)
{
    if (quota != NULL) {
        (void)pthread_mutex_destroy(&quota->lock);
        free(quota);
    }
}

/* With the lock: frees what every command on its way has in its table. */
static void sweep(struct mlt_quota *q, int64_t now_ns)
{
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < MLT_QUOTA_ENTRIES_MAX; i++) {
        const struct entry *e = &q->entries[i];
        if (e->used && e->ended == 0 && e->entered < oldest) {
            oldest = e->entered;
        }
    }
    for (size_t i = 0; i < MLT_QUOTA_ENTRIES_MAX; i++) {
        struct entry *e = &q->entries[i];
        if (e->used && e->ended != 0 && e->ended < oldest && now_ns >= e->stored_until_ns) {
            e->used = false;
        }
    }
}

enum mlt_status mlt_quota_enter(struct mlt_quota *quota, const char *principal, unsigned *ticket)
{
    enum mlt_status status = MLT_E_FULL;
    (void)pthread_mutex_lock(&quota->lock);
    sweep(quota, mlt_clock_mono_ns());
    for (unsigned i = 0; status != MLT_OK && i < MLT_QUOTA_ENTRIES_MAX; i++) {
        struct entry *e = &quota->entries[i];
        if (!e->used) {
            *e = (struct entry){ .used = true, .entered = ++quota->clock };
            (void)snprintf(e->principal, sizeof e->principal, "%s", principal);
            *ticket = i;
            status = MLT_OK;
        }
    }
    (void)pthread_mutex_unlock(&quota->lock);
    return status;
}

/* ---- counting ---- */

static bool is_live_of(const Meltica__V1__TableSubscription *s, const char *principal)
{
    return !s->implied && s->consumer[0] != '\0' && strcmp(s->principal, principal) == 0;
}

static bool wild(const char *instrument)
{
    return strchr(instrument, '*') != NULL;
}

enum mlt_status mlt_quota_patterns(const Meltica__V1__Table *table, const char *principal,
                                   char **out, size_t max, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < table->n_subscriptions; i++) {
        const Meltica__V1__TableSubscription *s = table->subscriptions[i];
        for (size_t k = 0; is_live_of(s, principal) && k < s->n_instruments; k++) {
            size_t at = 0;
            while (at < *count && strcmp(out[at], s->instruments[k]) != 0) {
                at++;
            }
            if (!wild(s->instruments[k]) || at < *count) {
                continue;
            }
            if (*count == max) {
                return MLT_E_FULL;
            }
            out[(*count)++] = s->instruments[k];
        }
    }
    return MLT_OK;
}

static int64_t matches_of(const struct mlt_quota_question *question, const char *pattern)
{
    for (size_t i = 0; i < question->pattern_count; i++) {
        if (strcmp(question->patterns[i], pattern) == 0) {
            return question->matches[i];
        }
    }
    return 1;
}

static void add_live(const struct mlt_quota_question *question,
                     const Meltica__V1__TableSubscription *s, struct mlt_quota_size *sum)
{
    for (size_t i = 0; i < s->n_instruments; i++) {
        const bool pattern = wild(s->instruments[i]);
        const int64_t count = pattern ? matches_of(question, s->instruments[i]) : 1;
        sum->streams += count;
        sum->wildcard_matches += pattern ? count : 0;
    }
}

/* What becomes of it is not a further one. */
static bool counts(const struct mlt_quota_question *question, const char *subscription)
{
    return strcmp(subscription, question->subscription) != 0 &&
           (question->replaced == NULL || strcmp(subscription, question->replaced) != 0);
}

/* Whether one of the first entries is a grant for that subscription. A grant knows its size, which
 * the table says only with the patterns that it was asked for. */
static bool granted(const struct mlt_quota *q, size_t first, const char *subscription)
{
    for (size_t i = 0; i < first; i++) {
        const struct entry *e = &q->entries[i];
        if (e->used && e->granted && strcmp(e->subscription, subscription) == 0) {
            return true;
        }
    }
    return false;
}

/* With the lock. */
static int64_t sum_up(const struct mlt_quota *q, const struct mlt_quota_question *question,
                      struct mlt_quota_size *sum)
{
    int64_t subscriptions = 0;
    for (size_t i = 0; i < question->table->n_subscriptions; i++) {
        const Meltica__V1__TableSubscription *s = question->table->subscriptions[i];
        if (is_live_of(s, question->principal) && counts(question, s->id) &&
            !granted(q, MLT_QUOTA_ENTRIES_MAX, s->id)) {
            add_live(question, s, sum);
            subscriptions++;
        }
    }
    for (size_t i = 0; i < MLT_QUOTA_ENTRIES_MAX; i++) {
        const struct entry *e = &q->entries[i];
        if (e->used && e->granted && strcmp(e->principal, question->principal) == 0 &&
            counts(question, e->subscription) && !granted(q, i, e->subscription)) {
            sum->streams += e->size.streams;
            sum->wildcard_matches += e->size.wildcard_matches;
            subscriptions++;
        }
    }
    return subscriptions;
}

static enum mlt_status refuse(const struct mlt_quota_question *question, const char *field,
                              const char *what, int64_t held, int64_t more, int64_t limit,
                              struct mlt_control_refusal *refusal)
{
    if (limit == 0) {
        return mlt_control_refuse(refusal, 403, field,
                                  "%s has the role %s, which may hold no %s: ask who keeps the "
                                  "policy file for a role that may",
                                  question->principal, question->role->name, what);
    }
    return mlt_control_refuse(refusal, 429, field,
                              "%s holds %" PRId64 " %s and asks for %" PRId64 " more, its role %s "
                              "may hold %" PRId64 ": unsubscribe from something first",
                              question->principal, held, what, more, question->role->name, limit);
}

static enum mlt_status judge(const struct mlt_quota *q, const struct mlt_quota_question *question,
                             struct mlt_control_refusal *refusal)
{
    const struct mlt_role *role = question->role;
    const struct mlt_quota_size *more = &question->size;
    struct mlt_quota_size sum = { 0, 0 };
    const int64_t subscriptions = sum_up(q, question, &sum);
    if (subscriptions + 1 > role->subscriptions) {
        return refuse(question, "", "live subscriptions", subscriptions, 1, role->subscriptions,
                      refusal);
    }
    if (more->wildcard_matches > 0 &&
        sum.wildcard_matches + more->wildcard_matches > role->wildcard_matches) {
        return refuse(question, "instruments", "instruments by patterns", sum.wildcard_matches,
                      more->wildcard_matches, role->wildcard_matches, refusal);
    }
    return sum.streams + more->streams > role->streams
               ? refuse(question, "instruments", "instruments", sum.streams, more->streams,
                        role->streams, refusal)
               : MLT_OK;
}

enum mlt_status mlt_quota_grant(struct mlt_quota *quota, unsigned ticket,
                                const struct mlt_quota_question *question,
                                struct mlt_control_refusal *refusal)
{
    (void)pthread_mutex_lock(&quota->lock);
    const enum mlt_status status = judge(quota, question, refusal);
    if (status == MLT_OK) {
        struct entry *e = &quota->entries[ticket];
        e->granted = true;
        e->size = question->size;
        (void)snprintf(e->subscription, sizeof e->subscription, "%s", question->subscription);
    }
    (void)pthread_mutex_unlock(&quota->lock);
    return status;
}

void mlt_quota_leave(struct mlt_quota *quota, unsigned ticket, enum mlt_quota_end end,
                     int64_t now_ns)
{
    (void)pthread_mutex_lock(&quota->lock);
    struct entry *e = &quota->entries[ticket];
    e->ended = ++quota->clock;
    e->used = e->granted && end != MLT_QUOTA_NOTHING;
    e->stored_until_ns = end == MLT_QUOTA_STORED ? now_ns + STORED_NS : 0;
    sweep(quota, now_ns);
    (void)pthread_mutex_unlock(&quota->lock);
}

void mlt_quota_forget(struct mlt_quota *quota, const char *principal, const char *subscription)
{
    (void)pthread_mutex_lock(&quota->lock);
    for (size_t i = 0; i < MLT_QUOTA_ENTRIES_MAX; i++) {
        struct entry *e = &quota->entries[i];
        if (e->used && e->ended != 0 && strcmp(e->principal, principal) == 0 &&
            strcmp(e->subscription, subscription) == 0) {
            e->used = false;
        }
    }
    (void)pthread_mutex_unlock(&quota->lock);
}
