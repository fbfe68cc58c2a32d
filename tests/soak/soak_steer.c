#include "mlt_test.h"

#include "soak_steer.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"

#define ANSWER_NS (5 * MLT_NS_PER_S)
#define ANSWER_BYTES_MAX (1u << 20)
#define BODY_BYTES 4096u
#define PATIENCE_NS (30 * MLT_NS_PER_S)      /* how long what is PENDING or 503 is asked again */
#define LAST_PATIENCE_NS (15 * MLT_NS_PER_S) /* the same, at the end of the run */
#define AGAIN_MS 100u
#define LEASE_S 600
#define PAUSE_MS 1500u /* on average 750 between two requests of a consumer */

const char *const soak_verb_names[SOAK_VERBS] = { "subscribe", "unsubscribe", "update", "renew" };

/* What comes and goes; the file's table has the others. */
static const enum mlt_event_type shared_types[] = { MLT_EVENT_TRADE, MLT_EVENT_BBO,
                                                    MLT_EVENT_AGG_TRADE, MLT_EVENT_KLINE };
/* Of private channels: with the terms of it. */
static const struct {
    enum mlt_event_type type;
    const char *terms;
} lane_types[] = {
    { MLT_EVENT_BOOK, "\"throttle_ms\":500" },
    { MLT_EVENT_TICKER, "\"throttle_ms\":2000" },
    { MLT_EVENT_TRADE, "\"filter\":[{\"field\":\"quantity\",\"op\":\"gt\",\"value\":\"0.5\"}]" },
    { MLT_EVENT_BBO, "\"throttle_ms\":250" },
};

static unsigned roll(struct soak_consumer *c, unsigned sides)
{
    return (unsigned)(mlt_mix64_next(&c->dice) % sides);
}

/* False: it is over. through: waits even so. */
static bool pause_for(struct soak_steer *s, unsigned ms, bool through)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&s->lock);
    while ((through || !s->stopping) &&
           pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0) {
    }
    const bool go_on = !s->stopping;
    (void)pthread_mutex_unlock(&s->lock);
    return go_on;
}

/* ---- one request ---- */

struct answer {
    cJSON *json;                   /* NULL: none */
    int code;                      /* of a refusal; 0: none */
    bool confirmed, pending, away; /* pending: it stays; away: 503, or none in time */
    bool carried_out;              /* 404 of one that was repeated */
};

static const char *text_of(const cJSON *object, const char *member)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, member));
    return text != NULL ? text : "";
}

static struct answer ask(struct soak_consumer *c, const char *verb, const char *body)
{
    struct answer a = { 0 };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char subject[64];
    (void)snprintf(subject, sizeof subject, "meltica.control.%s", verb);
    mlt_buf_init(&bytes, ANSWER_BYTES_MAX);
    const enum mlt_status status =
        mlt_bus_request(c->owner->bus, subject, mlt_slice_of_string(body), ANSWER_NS, &bytes, &err);
    a.json = bytes.len > 0 ? cJSON_ParseWithLength((const char *)bytes.data, bytes.len) : NULL;
    mlt_buf_fini(&bytes);
    const char *said = text_of(a.json, "status");
    a.confirmed = status == MLT_OK && strcmp(said, "CONFIRMED") == 0;
    /* FAILED, too, says that it stays: a topic that the exchange did not acknowledge is asked for
     * again by itself. */
    a.pending = status == MLT_OK && (strcmp(said, "PENDING") == 0 || strcmp(said, "FAILED") == 0);
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(a.json, "code");
    a.code = cJSON_IsNumber(code) ? code->valueint : 0;
    a.away = a.json == NULL || a.code == 503;
    return a;
}

static void note_failure(struct soak_steer *s, const char *verb, const char *body,
                         const struct answer *a)
{
    char *text = a->json != NULL ? cJSON_PrintUnformatted(a->json) : NULL;
    if (s->first_failure[0] == '\0' || (s->first_is_refusal && a->code != 502)) {
        s->first_is_refusal = a->code == 502; /* what the exchange does not want says less */
        (void)snprintf(s->first_failure, sizeof s->first_failure, "%s %.160s: %.300s", verb, body,
                       text != NULL ? text : "no answer");
    }
    cJSON_free(text);
}

/* A command that had to take effect. took_ns: from the first request on. */
static void count_command(struct soak_consumer *c, enum soak_verb verb, const char *body,
                          const struct answer *a, int64_t took_ns)
{
    struct soak_steer *s = c->owner;
    (void)pthread_mutex_lock(&s->lock);
    s->commands += s->warm;
    if (a->confirmed) {
        s->done[verb]++;
        if (s->warm) {
            s->in_2s += took_ns <= 2 * MLT_NS_PER_S;
            mlt_latency_record(&s->in_effect, took_ns);
        }
    } else {
        s->failed++;
        s->exchange_refused += a->code == 502;
        note_failure(s, soak_verb_names[verb], body, a);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* Asks, and again while the answer leaves open what came of it (503, none), or is PENDING: with its
 * request id it is carried out once. The body's last brace is added here, with that id. */
static struct answer repeat(struct soak_consumer *c, enum soak_verb verb, char *body, size_t size)
{
    const int64_t begin_ns = mlt_clock_mono_ns();
    const size_t len = strlen(body);
    struct answer a = { 0 };
    (void)snprintf(body + len, size - len, ",\"id\":\"r%" PRIu64 "\"}", ++c->requests);
    int64_t patience_ns = PATIENCE_NS;
    bool again = false, repeated = false;
    do {
        cJSON_Delete(a.json);
        repeated = again;
        a = ask(c, soak_verb_names[verb], body);
        (void)pthread_mutex_lock(&c->owner->lock);
        c->owner->pending += a.pending;
        c->owner->asked_again += a.away;
        patience_ns = c->owner->stopping ? LAST_PATIENCE_NS : PATIENCE_NS;
        (void)pthread_mutex_unlock(&c->owner->lock);
        /* One that is PENDING took its time, one that nobody serves is answered at once. */
        if (a.away) {
            (void)pause_for(c->owner, AGAIN_MS, true);
        }
        /* An update that is PENDING may have ended what it replaces: its caller goes on. */
        again = a.away || (a.pending && verb != SOAK_UPDATE);
    } while (again && mlt_clock_mono_ns() - begin_ns < patience_ns);
    a.carried_out = repeated && a.code == 404; /* by the request before: what it names is gone */
    return a;
}

static struct answer command(struct soak_consumer *c, enum soak_verb verb, char *body, size_t size)
{
    const int64_t begin_ns = mlt_clock_mono_ns();
    struct answer a = repeat(c, verb, body, size);
    a.confirmed = a.confirmed || (verb == SOAK_UNSUBSCRIBE && a.carried_out);
    count_command(c, verb, body, &a, mlt_clock_mono_ns() - begin_ns);
    return a;
}

/* ---- bodies ---- */

static uint64_t every(const struct soak_consumer *c)
{
    const unsigned n = c->owner->watch->symbols;
    return n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

static uint64_t some_symbols(struct soak_consumer *c)
{
    uint64_t mask = 0;
    for (unsigned n = 1 + roll(c, 5); n > 0; n--) {
        mask |= UINT64_C(1) << roll(c, c->owner->watch->symbols);
    }
    return roll(c, 20) == 0 ? every(c) : mask;
}

static void put_instruments(const struct soak_consumer *c, uint64_t mask, char *out, size_t size)
{
    size_t len = 0;
    if (mask == every(c)) {
        (void)snprintf(out, size, "\"*-USDT\"");
        return;
    }
    out[0] = '\0';
    for (unsigned i = 0; i < c->owner->watch->symbols && len < size; i++) {
        if ((mask >> i & 1) != 0) {
            len += (size_t)snprintf(out + len, size - len, "%s\"SYM%04u-USDT\"", len > 0 ? "," : "",
                                    i + 1);
        }
    }
}

/* ---- subscribe ---- */

static void subscribe_lane(struct soak_consumer *c, struct soak_subscription *to)
{
    char body[BODY_BYTES], instruments[BODY_BYTES / 2];
    const unsigned which = roll(c, sizeof lane_types / sizeof lane_types[0]);
    const uint64_t mask = some_symbols(c);
    put_instruments(c, mask, instruments, sizeof instruments);
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"soak-%u\",\"type\":\"%s\",\"instruments\":[%s],%s", c->number,
                   mlt_event_type_word((int)lane_types[which].type), instruments,
                   lane_types[which].terms);
    struct answer a = command(c, SOAK_SUBSCRIBE, body, sizeof body);
    const char *id = text_of(a.json, "subscription");
    for (unsigned i = 0; i < SOAK_SUBSCRIPTIONS_MAX; i++) {
        if (a.confirmed && strcmp(c->held[i].id, id) == 0) {
            cJSON_Delete(a.json); /* the dice gave what is there */
            return;
        }
    }
    if (a.confirmed) {
        *to = (struct soak_subscription){ .type = lane_types[which].type,
                                          .mask = mask,
                                          .lane = true };
        (void)snprintf(to->id, sizeof to->id, "%s", id);
        soak_watch_lane(c->owner->watch, to->id, to->type);
    }
    cJSON_Delete(a.json);
}

static bool held_already(const struct soak_consumer *c, enum mlt_event_type type, uint64_t mask)
{
    for (unsigned i = 0; i < SOAK_SUBSCRIPTIONS_MAX; i++) {
        const struct soak_subscription *s = &c->held[i];
        if (s->id[0] != '\0' && !s->lane && s->type == type && s->mask == mask) {
            return true;
        }
    }
    return false;
}

static void subscribe(struct soak_consumer *c, struct soak_subscription *to)
{
    char body[BODY_BYTES], instruments[BODY_BYTES / 2], lease[32] = "";
    const enum mlt_event_type type = shared_types[roll(c, 4)];
    const uint64_t mask = some_symbols(c);
    const bool leased = roll(c, 4) == 0;
    if (held_already(c, type, mask)) {
        return;
    }
    if (leased) {
        (void)snprintf(lease, sizeof lease, ",\"ttl_s\":%d", LEASE_S);
    }
    put_instruments(c, mask, instruments, sizeof instruments);
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"soak-%u\",\"type\":\"%s\",\"instruments\":[%s]%s", c->number,
                   mlt_event_type_word((int)type), instruments, lease);
    soak_watch_asking(c->owner->watch, type, mask);
    struct answer a = command(c, SOAK_SUBSCRIBE, body, sizeof body);
    if (a.confirmed) {
        soak_watch_in_force(c->owner->watch, type, mask);
        *to = (struct soak_subscription){ .type = type, .mask = mask, .leased = leased };
        (void)snprintf(to->id, sizeof to->id, "%s", text_of(a.json, "subscription"));
    } else {
        soak_watch_refused(c->owner->watch, type, mask);
    }
    cJSON_Delete(a.json);
}

/* ---- what is held ---- */

static void unsubscribe(struct soak_consumer *c, struct soak_subscription *s)
{
    char body[256];
    (void)snprintf(body, sizeof body, "{\"consumer\":\"soak-%u\",\"subscription\":\"%s\"",
                   c->number, s->id);
    if (s->lane) {
        soak_watch_lane_end(c->owner->watch, s->id);
    } else {
        soak_watch_ending(c->owner->watch, s->type, s->mask);
    }
    struct answer a = command(c, SOAK_UNSUBSCRIBE, body, sizeof body);
    if (!s->lane) {
        soak_watch_ended(c->owner->watch, s->type, s->mask, a.confirmed);
    }
    s->id[0] = '\0';
    cJSON_Delete(a.json);
}

/* What an update has begun: the new subscription is there when asking for it says so, and the old
 * one is ended unless it is gone. */
static struct answer finish_update(struct soak_consumer *c, const struct soak_subscription *s,
                                   const char *instruments)
{
    char body[BODY_BYTES];
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"soak-%u\",\"type\":\"%s\",\"instruments\":[%s]", c->number,
                   mlt_event_type_word((int)s->type), instruments);
    struct answer a = repeat(c, SOAK_SUBSCRIBE, body, sizeof body);
    (void)snprintf(body, sizeof body, "{\"consumer\":\"soak-%u\",\"subscription\":\"%s\"",
                   c->number, s->id);
    const struct answer old = repeat(c, SOAK_UNSUBSCRIBE, body, sizeof body);
    a.confirmed = a.confirmed && (old.confirmed || old.code == 404);
    cJSON_Delete(old.json);
    return a;
}

/* Other instruments in the place of these: what both have goes on without a break. */
static void update(struct soak_consumer *c, struct soak_subscription *s)
{
    char body[BODY_BYTES], instruments[BODY_BYTES / 2];
    const uint64_t mask = (s->mask & mlt_mix64_next(&c->dice)) | some_symbols(c);
    if (s->lane || mask == s->mask || held_already(c, s->type, mask)) {
        return;
    }
    const uint64_t begins = mask & ~s->mask, ends = s->mask & ~mask;
    put_instruments(c, mask, instruments, sizeof instruments);
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"soak-%u\",\"subscription\":\"%s\",\"instruments\":[%s]",
                   c->number, s->id, instruments);
    soak_watch_asking(c->owner->watch, s->type, begins);
    soak_watch_ending(c->owner->watch, s->type, ends);
    const int64_t begin_ns = mlt_clock_mono_ns();
    struct answer a = repeat(c, SOAK_UPDATE, body, sizeof body);
    if (a.pending || a.carried_out) {
        cJSON_Delete(a.json);
        a = finish_update(c, s, instruments);
    }
    count_command(c, SOAK_UPDATE, body, &a, mlt_clock_mono_ns() - begin_ns);
    soak_watch_ended(c->owner->watch, s->type, ends, a.confirmed);
    if (a.confirmed) {
        soak_watch_in_force(c->owner->watch, s->type, begins);
        s->mask = mask;
        (void)snprintf(s->id, sizeof s->id, "%s", text_of(a.json, "subscription"));
    } else {
        soak_watch_refused(c->owner->watch, s->type, begins);
        s->mask &= mask;
    }
    cJSON_Delete(a.json);
}

static void renew(struct soak_consumer *c, const struct soak_subscription *s)
{
    char body[256];
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"soak-%u\",\"subscription\":\"%s\",\"ttl_s\":%d", c->number,
                   s->id, LEASE_S);
    struct answer a = command(c, SOAK_RENEW, body, sizeof body);
    cJSON_Delete(a.json);
}

/* ---- what must be refused ---- */

static void be_refused(struct soak_consumer *c)
{
    static const struct {
        const char *verb, *body;
        int code;
    } wrong[] = {
        { "subscribe",
          "{\"consumer\":\"soak\",\"type\":\"TRADE\",\"instruments\":[\"NOSUCH-USDT\"]}", 404 },
        { "subscribe",
          "{\"consumer\":\"soak\",\"type\":\"NOTHING\",\"instruments\":[\"SYM0001-USDT\"]}", 400 },
        { "subscribe", "{\"consumer\":\"soak\",\"type\":\"TRADE\"}", 400 },
        { "subscribe", "{\"consumer\":", 400 },
        { "unsubscribe", "{\"consumer\":\"soak\",\"subscription\":\"0123456789abcdef\"}", 404 },
    };
    const unsigned which = roll(c, sizeof wrong / sizeof wrong[0]);
    struct answer a = ask(c, wrong[which].verb, wrong[which].body);
    const bool right =
        a.code == wrong[which].code && strcmp(text_of(a.json, "status"), "REJECTED") == 0;
    (void)pthread_mutex_lock(&c->owner->lock);
    c->owner->refused_right += right;
    c->owner->refused_wrong += !right;
    if (!right) {
        note_failure(c->owner, wrong[which].verb, wrong[which].body, &a);
    }
    (void)pthread_mutex_unlock(&c->owner->lock);
    cJSON_Delete(a.json);
}

/* ---- the schedule ---- */

static struct soak_subscription *one_held(struct soak_consumer *c)
{
    const unsigned from = roll(c, SOAK_SUBSCRIPTIONS_MAX);
    for (unsigned i = 0; i < SOAK_SUBSCRIPTIONS_MAX; i++) {
        struct soak_subscription *s = &c->held[(from + i) % SOAK_SUBSCRIPTIONS_MAX];
        if (s->id[0] != '\0') {
            return s;
        }
    }
    return NULL;
}

static struct soak_subscription *one_free(struct soak_consumer *c)
{
    for (unsigned i = 0; i < SOAK_SUBSCRIPTIONS_MAX; i++) {
        if (c->held[i].id[0] == '\0') {
            return &c->held[i];
        }
    }
    return NULL;
}

static void act(struct soak_consumer *c)
{
    struct soak_subscription *held = one_held(c), *to = one_free(c);
    const unsigned dice = roll(c, 100);
    if (dice < 5) {
        be_refused(c);
    } else if (held == NULL || (to != NULL && dice < 45)) {
        if (roll(c, 5) == 0) {
            subscribe_lane(c, to);
        } else {
            subscribe(c, to);
        }
    } else if (dice < 75) {
        unsubscribe(c, held);
    } else if (held->leased && dice < 85) {
        renew(c, held);
    } else {
        update(c, held);
    }
}

static void *consume(void *argument)
{
    struct soak_consumer *c = argument;
    while (pause_for(c->owner, roll(c, PAUSE_MS), false)) {
        act(c);
    }
    return NULL;
}

void soak_steer_start(struct soak_steer *steer, struct soak_watch *watch, const char *nats_url,
                      unsigned count, uint64_t seed)
{
    struct soak_steer *s = steer;
    struct mlt_error err = MLT_ERROR_INIT;
    memset(s, 0, sizeof *s);
    s->watch = watch;
    s->count = count;
    assert_int_equal(pthread_mutex_init(&s->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&s->changed, NULL), 0);
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = nats_url,
                                             .name = "soak-steer" };
    assert_int_equal(mlt_bus_connect(&options, &s->bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(s->bus, 10 * MLT_NS_PER_S), MLT_OK);
    for (unsigned i = 0; i < count; i++) {
        struct soak_consumer *c = &s->consumers[i];
        c->owner = s;
        c->number = i + 1;
        c->dice = seed + i;
        assert_int_equal(pthread_create(&c->thread, NULL, consume, c), 0);
    }
}

void soak_steer_warm(struct soak_steer *steer)
{
    (void)pthread_mutex_lock(&steer->lock);
    steer->warm = true;
    (void)pthread_mutex_unlock(&steer->lock);
}

static bool list_is_right(struct soak_consumer *c)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"consumer\":\"soak-%u\"}", c->number);
    struct answer a = ask(c, "list", body);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(a.json, "subscriptions"), *one;
    int held = 0;
    bool right = cJSON_IsArray(list);
    for (unsigned i = 0; i < SOAK_SUBSCRIPTIONS_MAX; i++) {
        bool listed = c->held[i].id[0] == '\0';
        held += !listed;
        cJSON_ArrayForEach(one, list)
        {
            listed = listed || strcmp(text_of(one, "subscription"), c->held[i].id) == 0;
        }
        right = right && listed;
    }
    right = right && cJSON_GetArraySize(list) == held;
    cJSON_Delete(a.json);
    return right;
}

void soak_steer_stop(struct soak_steer *steer)
{
    struct soak_steer *s = steer;
    (void)pthread_mutex_lock(&s->lock);
    s->stopping = true;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->count; i++) {
        (void)pthread_join(s->consumers[i].thread, NULL);
    }
    s->lists_right = true;
    for (unsigned i = 0; i < s->count; i++) {
        s->lists_right = list_is_right(&s->consumers[i]) && s->lists_right;
    }
    mlt_bus_destroy(s->bus, 0);
    s->bus = NULL;
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->changed);
}
