/*
 * Trades that are missed: the Adapter is killed while the market goes on, so that nobody heard the
 * trades of that time. Their ids tell, the exchange's REST has them, and in the end each id came
 * once, as the exchange has it; or STATUS names it as one that will not come.
 */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

#define CHANNELS_MAX 8u /* an instrument's trades, or its aggregates */
#define IDS_MAX 4096
#define NEEDED 25 /* events of a channel before, and after */

struct heard {
    bool came, backfilled, named; /* named: UNFILLABLE */
    unsigned times;
    struct mlt_decimal price, quantity;
    int64_t time_ns;
    enum mlt_side aggressor;
};

struct channel {
    char instrument[32];
    enum mlt_event_type type;
    int64_t first, highest;
    uint64_t live; /* events that are not backfilled */
    struct heard ids[IDS_MAX];
};

static struct seen {
    size_t count;
    struct channel channels[CHANNELS_MAX];
    uint64_t needed; /* live events of each channel */
    uint64_t missing, unfillable, backfilled, unmarked, outside, too_early;
} seen;
static struct mlt_stack stack;
static struct mlt_consumer consumer;

static struct channel *channel_of(struct seen *s, struct mlt_slice instrument,
                                  enum mlt_event_type type, int64_t id)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->channels[i].type == type &&
            mlt_slice_equal_string(instrument, s->channels[i].instrument)) {
            return &s->channels[i];
        }
    }
    if (s->count == CHANNELS_MAX || id < 0) {
        return NULL;
    }
    struct channel *c = &s->channels[s->count++];
    (void)snprintf(c->instrument, sizeof c->instrument, "%.*s", MLT_SLICE_FMT(instrument));
    c->type = type;
    c->first = c->highest = id;
    return c;
}

static struct heard *heard_of(struct seen *s, struct channel *c, int64_t id)
{
    if (c == NULL || id < c->first || id - c->first >= IDS_MAX) {
        s->outside++;
        return NULL;
    }
    return &c->ids[id - c->first];
}

static void look_trade(struct seen *s, const struct mlt_event *event)
{
    struct channel *c = channel_of(s, event->instrument, event->type, event->last);
    struct heard *h = heard_of(s, c, event->last);
    if (h == NULL) {
        return;
    }
    const bool backfilled = (event->quality & MLT_QUALITY_BACKFILLED) != 0;
    h->came = true;
    h->times++;
    h->backfilled = backfilled;
    s->backfilled += backfilled;
    /* Marked exactly where it was fetched, and then younger ones came before. */
    s->unmarked += backfilled != (event->rest_function.len > 0) ||
                   (backfilled && (event->quality & MLT_QUALITY_LATE) == 0);
    if (!backfilled) {
        c->live++;
        /* The first one after a gap says so. */
        s->unmarked +=
            event->last > c->highest + 1 && (event->quality & MLT_QUALITY_AFTER_GAP) == 0;
        c->highest = event->last > c->highest ? event->last : c->highest;
    }
    if (event->type == MLT_EVENT_TRADE) {
        const struct mlt_trade *t = &event->u.trade;
        h->price = t->price;
        h->quantity = t->quantity;
        h->time_ns = t->trade_time_ns;
        h->aggressor = t->aggressor;
    } else {
        const struct mlt_agg_trade *t = &event->u.agg_trade;
        h->price = t->price;
        h->quantity = t->quantity;
        h->time_ns = t->trade_time_ns;
        h->aggressor = t->aggressor;
    }
}

static void look_status(struct seen *s, const struct mlt_event *event)
{
    const struct mlt_status_event *status = &event->u.status;
    if (status->kind != MLT_STATUS_MISSING && status->kind != MLT_STATUS_UNFILLABLE) {
        return;
    }
    struct channel *c = channel_of(s, event->instrument, status->lost_type, -1);
    for (int64_t id = status->update_first; id <= status->update_last; id++) {
        struct heard *h = heard_of(s, c, id);
        if (status->kind == MLT_STATUS_MISSING) {
            s->missing++;
            s->too_early += h != NULL && h->came;
        } else if (h != NULL) {
            s->unfillable++;
            s->too_early += h->came || h->named;
            h->named = true;
        }
    }
}

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)bytes;
    if (event->type == MLT_EVENT_TRADE || event->type == MLT_EVENT_AGG_TRADE) {
        look_trade(ctx, event);
    } else if (event->type == MLT_EVENT_STATUS) {
        look_status(ctx, event);
    }
}

static bool enough(void *ctx)
{
    const struct seen *s = ctx;
    bool all = s->count == 4; /* two instruments */
    for (size_t i = 0; i < s->count; i++) {
        all = all && s->channels[i].live >= s->needed;
    }
    return all;
}

/* No id between the first and the highest is unaccounted for. */
static bool complete(void *ctx)
{
    const struct seen *s = ctx;
    for (size_t i = 0; i < s->count; i++) {
        const struct channel *c = &s->channels[i];
        for (int64_t id = c->first; id <= c->highest; id++) {
            if (!c->ids[id - c->first].came && !c->ids[id - c->first].named) {
                return false;
            }
        }
    }
    return true;
}

static void start(const char *table)
{
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "2",
                                                             "--rate", "120", "--seed", "11" },
                                               .table = table };
    memset(&seen, 0, sizeof seen);
    memset(&consumer, 0, sizeof consumer);
    consumer.look = look;
    consumer.ctx = &seen;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    seen.needed = NEEDED;
    assert_true(mlt_consumer_wait(&consumer, enough, &seen, 60));
}

static bool grow(void *ctx)
{
    struct seen *s = ctx;
    uint64_t most = 0;
    for (size_t i = 0; i < s->count; i++) {
        most = s->channels[i].live > most ? s->channels[i].live : most;
    }
    s->needed = most + NEEDED;
    return true;
}

static void lose_some(void)
{
    mlt_stack_kill(&stack, "adapter");
    mlt_stack_run(&stack, "adapter");
    (void)mlt_consumer_wait(&consumer, grow, &seen, 1);
    assert_true(mlt_consumer_wait(&consumer, enough, &seen, 60));
    assert_true(mlt_consumer_wait(&consumer, complete, &seen, 60));
}

static void stop(void)
{
    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.duplicates + totals.sequence_holes, 0);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

static struct mlt_decimal decimal_of(const cJSON *of, const char *member)
{
    struct mlt_decimal value = { 0, 0 };
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(of, member);
    assert_true(cJSON_IsString(text));
    assert_int_equal(mlt_decimal_parse(mlt_slice_of_string(text->valuestring), &value), MLT_OK);
    return value;
}

static int64_t whole_of(const cJSON *of, const char *member)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(of, member);
    assert_true(cJSON_IsNumber(number));
    return (int64_t)number->valuedouble; /* below 2^53 */
}

static void compare_trade(const struct channel *c, const cJSON *t, int64_t id)
{
    const bool single = c->type == MLT_EVENT_TRADE;
    const struct heard *h = &c->ids[id - c->first];
    assert_int_equal(h->times, 1);
    assert_int_equal(mlt_decimal_compare(h->price, decimal_of(t, single ? "price" : "p")), 0);
    assert_int_equal(mlt_decimal_compare(h->quantity, decimal_of(t, single ? "qty" : "q")), 0);
    assert_int_equal(h->time_ns, whole_of(t, single ? "time" : "T") * MLT_NS_PER_MS);
    assert_int_equal(h->aggressor == MLT_SIDE_SELL, cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
                                                        t, single ? "isBuyerMaker" : "m")));
}

/* Every event of the channel beside what the exchange itself says of that id, which keeps the
 * newest 1,024; how many of the ids from *from on were. */
static unsigned compare(const struct channel *c, int64_t *from)
{
    const bool single = c->type == MLT_EVENT_TRADE;
    char path[128], symbol[32] = "";
    size_t len = 0;
    for (const char *p = c->instrument; *p != '\0'; p++) {
        symbol[len] = *p;
        len += *p != '-';
    }
    symbol[len] = '\0';
    unsigned compared = 0;
    *from = c->highest - 899 > c->first ? c->highest - 899 : c->first;
    (void)snprintf(path, sizeof path, "/api/v3/%s?symbol=%s&limit=1000&fromId=%lld",
                   single ? "historicalTrades" : "aggTrades", symbol, (long long)*from);
    struct mlt_buf body;
    mlt_buf_init(&body, 1u << 20);
    mlt_stack_get(&stack, "exchange", path, &body);
    cJSON *array = cJSON_ParseWithLength((const char *)body.data, body.len);
    assert_true(cJSON_IsArray(array));
    for (const cJSON *t = array->child; t != NULL; t = t->next) {
        const int64_t id = whole_of(t, single ? "id" : "a");
        if (id <= c->highest && c->ids[id - c->first].came) {
            compare_trade(c, t, id);
            compared++;
        }
    }
    cJSON_Delete(array);
    mlt_buf_fini(&body);
    return compared;
}

static void test_what_nobody_heard_is_fetched_and_marked(void **state)
{
    (void)state;
    start(NULL);
    lose_some();
    lose_some();
    (void)pthread_mutex_lock(&consumer.lock);
    static struct seen now; /* as it is now; more comes */
    now = seen;
    (void)pthread_mutex_unlock(&consumer.lock);
    assert_int_equal(now.outside, 0);
    assert_int_equal(now.unmarked, 0);
    assert_int_equal(now.too_early, 0);
    assert_int_equal(now.unfillable, 0);
    assert_true(now.backfilled > 0);
    assert_int_equal(now.missing, now.backfilled);
    for (size_t i = 0; i < now.count; i++) {
        const struct channel *c = &now.channels[i];
        int64_t from = 0;
        const unsigned compared = compare(c, &from);
        assert_int_equal(compared, c->highest - from + 1);
        for (int64_t id = c->first; id <= c->highest; id++) {
            assert_int_equal(c->ids[id - c->first].times, 1);
        }
    }
    assert_int_equal(
        mlt_stack_metric(&stack, "conductor", "meltica_conductor_trades_backfilled_total", ""),
        now.backfilled);
    stop();
}

static void write_table(char *path, size_t size)
{
    static const char text[] =
        "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"
        "{\"type\":\"AGG_TRADE\",\"ws\":\"{symbol}@aggTrade\"},"
        "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"
        "\"subscriptions\":[{\"id\":\"t\",\"type\":\"TRADE\",\"instruments\":[\"*\"]},"
        "{\"id\":\"a\",\"type\":\"AGG_TRADE\",\"instruments\":[\"*\"]}]}";
    (void)snprintf(path, size, "/tmp/meltica-trades-%d.json", (int)getpid());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, sizeof text - 1, file), sizeof text - 1);
    assert_int_equal(fclose(file), 0);
}

/* A table whose routes of trades name no REST function. */
static void test_what_cannot_be_fetched_is_named(void **state)
{
    (void)state;
    char table[64];
    write_table(table, sizeof table);
    start(table);
    lose_some();
    (void)pthread_mutex_lock(&consumer.lock);
    static struct seen now;
    now = seen;
    (void)pthread_mutex_unlock(&consumer.lock);
    assert_int_equal(now.outside + now.unmarked + now.too_early + now.backfilled, 0);
    assert_true(now.unfillable > 0);
    assert_int_equal(now.unfillable, now.missing);
    assert_int_equal(mlt_stack_metric(&stack, "conductor",
                                      "meltica_conductor_trades_unfillable_total",
                                      "reason=\"refused\""),
                     now.unfillable);
    stop();
    assert_int_equal(remove(table), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_nobody_heard_is_fetched_and_marked),
        cmocka_unit_test(test_what_cannot_be_fetched_is_named),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
