/*
 * Private lanes through the real processes: what comes on one is the shared channel under its
 * filter, event by event; whoever leaves first takes nothing from the other; a throttle leaves
 * out only what it counts; a killed Data Bus shows.
 */
#include "mlt_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "steer_rig.h"

#define DATA_MARK "meltica.data.mark"
#define LANE_MARK "meltica.lane.mark"
#define EVENTS_MAX 20000u
#define SYMBOL "SYM0001-USDT"

struct one {
    enum mlt_event_type type;
    uint64_t epoch, sequence, previous;
    uint32_t merged;
    int64_t published_ns;
    struct mlt_decimal price, quantity;
    enum mlt_side aggressor;
};

struct list {
    struct one *events;
    size_t count;
};

static struct rig rig;
static struct mlt_consumer shared;
static struct mlt_bus_subscription *lanes;
static struct {
    struct list trades, lane_trades, lane_buys, quotes, lane_quotes;
} live, seen; /* live: under shared.lock; seen: a copy of it, of the test */
static char trade_lane[160], buy_lane[160], quote_lane[160];
static uint64_t lane_lost, lane_others; /* STATUS LOST; what no lane carries */
static uint64_t marks;                  /* of the test's own, on the subscription of the lanes */
static bool opening; /* a lane whose name its answer tells: its first events may overtake that */

static void add(struct list *list, const struct mlt_event *e)
{
    if (list->count < EVENTS_MAX && e->sequence > 0) {
        struct one *s = &list->events[list->count++];
        *s = (struct one){ .type = e->type,
                           .epoch = e->epoch,
                           .sequence = e->sequence,
                           .previous = e->lane_previous,
                           .merged = e->merged,
                           .published_ns = e->stamps.published };
        if (e->type == MLT_EVENT_TRADE) {
            s->price = e->u.trade.price;
            s->quantity = e->u.trade.quantity;
            s->aggressor = e->u.trade.aggressor;
        }
    }
}

static void look(void *ctx, const struct mlt_event *e, struct mlt_slice bytes)
{
    (void)ctx, (void)bytes;
    if (!mlt_slice_equal_string(e->instrument, SYMBOL)) {
        return;
    }
    if (e->type == MLT_EVENT_TRADE) {
        add(&live.trades, e);
    } else if (e->type == MLT_EVENT_BBO) {
        add(&live.quotes, e);
    }
}

static void on_lane(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    struct mlt_arena arena;
    struct mlt_event e;
    mlt_arena_init(&arena, 4096, 1u << 20);
    (void)pthread_mutex_lock(&shared.lock);
    if (strcmp(message->subject, LANE_MARK) == 0) {
        marks++;
    } else if (mlt_event_decode(message->payload, &arena, &e) == MLT_OK) {
        if (e.type == MLT_EVENT_TRADE && strcmp(message->subject, trade_lane) == 0) {
            add(&live.lane_trades, &e);
        } else if (e.type == MLT_EVENT_TRADE && strcmp(message->subject, buy_lane) == 0) {
            add(&live.lane_buys, &e);
        } else if (e.type == MLT_EVENT_BBO && strcmp(message->subject, quote_lane) == 0) {
            add(&live.lane_quotes, &e);
        } else if (e.type == MLT_EVENT_STATUS) {
            lane_lost += e.u.status.kind == MLT_STATUS_LOST;
        } else {
            lane_others += e.type != MLT_EVENT_INSTRUMENT && !opening;
        }
    }
    (void)pthread_cond_broadcast(&shared.changed);
    (void)pthread_mutex_unlock(&shared.lock);
    mlt_arena_fini(&arena);
}

struct more {
    const struct list *list;
    size_t count;
};

static bool has(void *ctx)
{
    const struct more *m = ctx;
    return m->list->count >= m->count;
}

static void copy(const struct list *from, struct list *to)
{
    memcpy(to->events, from->events, from->count * sizeof *to->events);
    to->count = from->count;
}

/* What came until now, to be looked at without the lock. */
static void see(void)
{
    (void)pthread_mutex_lock(&shared.lock);
    copy(&live.trades, &seen.trades);
    copy(&live.lane_trades, &seen.lane_trades);
    copy(&live.lane_buys, &seen.lane_buys);
    copy(&live.quotes, &seen.quotes);
    copy(&live.lane_quotes, &seen.lane_quotes);
    (void)pthread_mutex_unlock(&shared.lock);
}

static bool has_grown(void *ctx)
{
    const uint64_t *const *pair = ctx;
    return *pair[0] > *pair[1];
}

/* Until all that the server had for a subscription has been taken: what is published to it now
 * comes behind that, and its count grows. */
static void take_all(struct mlt_bus *bus, const char *subject, const uint64_t *count)
{
    (void)pthread_mutex_lock(&shared.lock);
    const uint64_t before = *count;
    (void)pthread_mutex_unlock(&shared.lock);
    const uint64_t *pair[] = { count, &before };
    assert_int_equal(mlt_bus_publish(bus, subject, mlt_slice_of_string("no event")), MLT_OK);
    assert_true(mlt_consumer_wait(&shared, has_grown, pair, 30));
}

static void await_more(const struct list *list, size_t more)
{
    (void)pthread_mutex_lock(&shared.lock);
    struct more m = { list, list->count + more };
    (void)pthread_mutex_unlock(&shared.lock);
    assert_true(mlt_consumer_wait(&shared, has, &m, 30));
}

static void subject_of(const struct said *said, char *out)
{
    const cJSON *channels = cJSON_GetObjectItemCaseSensitive(said->json, "channels");
    const char *text = cJSON_GetStringValue(cJSON_GetArrayItem(channels, 0));
    assert_non_null(text);
    assert_non_null(strstr(text, "meltica.lane.local.s"));
    (void)pthread_mutex_lock(&shared.lock);
    (void)snprintf(out, 160, "%s", text);
    (void)pthread_mutex_unlock(&shared.lock);
}

/* Confirmed; its subscription in id, its subject in subject. */
static void open_lane(const char *body, char *id, char *subject)
{
    (void)pthread_mutex_lock(&shared.lock);
    opening = true;
    (void)pthread_mutex_unlock(&shared.lock);
    struct said s = rig_settle(&rig, "subscribe", body);
    if (s.refused || strcmp(rig_text(s.json, "status"), "CONFIRMED") != 0) {
        rig_fail(&s, body);
    }
    assert_string_equal(rig_text(s.json, "channel"), "private");
    (void)snprintf(id, 64, "%s", rig_text(s.json, "subscription"));
    subject_of(&s, subject);
    (void)pthread_mutex_lock(&shared.lock);
    opening = false;
    (void)pthread_mutex_unlock(&shared.lock);
    cJSON_Delete(s.json);
}

static void end_lane(const char *consumer, const char *id)
{
    char body[160];
    (void)snprintf(body, sizeof body, "{\"consumer\":\"%s\",\"subscription\":\"%s\"}", consumer,
                   id);
    rig_confirm(&rig, "unsubscribe", body, NULL);
}

/* notional >= limit, both with exponents of their own, by 128-bit integers */
static bool passes(const struct one *s, struct mlt_decimal limit)
{
    __extension__ typedef __int128 wide;
    wide notional = (wide)s->price.mantissa * s->quantity.mantissa, wanted = limit.mantissa;
    int32_t exponent = s->price.exponent + s->quantity.exponent;
    for (; exponent > limit.exponent; exponent--) {
        notional *= 10;
    }
    for (; exponent < limit.exponent; exponent++) {
        wanted *= 10;
    }
    return notional >= wanted;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The middle of the first notionals, rounded down to a whole number. */
static struct mlt_decimal middle(void)
{
    int64_t values[60];
    see();
    for (size_t i = 0; i < 60; i++) {
        struct mlt_decimal n;
        assert_int_equal(
            mlt_decimal_multiply(seen.trades.events[i].price, seen.trades.events[i].quantity, &n),
            MLT_OK);
        for (; n.exponent < 0; n.exponent++) {
            n.mantissa /= 10;
        }
        values[i] = n.mantissa;
    }
    qsort(values, 60, sizeof values[0], by_value);
    return (struct mlt_decimal){ values[30], 0 };
}

/* Each names the one before; the first one of an epoch names none, or what came before `from`. */
static void assert_chain(const struct list *list, size_t from)
{
    for (size_t i = from + 1; i < list->count; i++) {
        const struct one *s = &list->events[i];
        if (s->epoch == s[-1].epoch) {
            assert_int_equal(s->previous, s[-1].sequence);
        }
    }
}

/* From the lane's first event to its last: what passes of the shared channel, and nothing else. */
static void assert_is_the_shared_one_filtered(size_t from, size_t to, struct mlt_decimal limit)
{
    size_t t = 0;
    while (seen.trades.events[t].sequence != seen.lane_trades.events[from].sequence) {
        t++;
        assert_true(t < seen.trades.count);
    }
    for (size_t i = from; i < to; i++, t++) {
        while (t < seen.trades.count && !passes(&seen.trades.events[t], limit)) {
            t++;
        }
        assert_true(t < seen.trades.count);
        const struct one *a = &seen.trades.events[t], *b = &seen.lane_trades.events[i];
        assert_int_equal(a->sequence, b->sequence);
        assert_int_equal(a->price.mantissa, b->price.mantissa);
        assert_int_equal(a->quantity.mantissa, b->quantity.mantissa);
        assert_true(passes(b, limit));
    }
}

static void test_a_lane_is_the_shared_channel_under_its_filter(void **state)
{
    (void)state;
    char id[64], body[320], again[64];
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"all\",\"type\":\"TRADE\",\"instruments\":[\"" SYMBOL "\"]}", NULL);
    await_more(&live.trades, 60);
    const struct mlt_decimal limit = middle();
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"large\",\"type\":\"TRADE\",\"instruments\":[\"" SYMBOL "\"],"
                   "\"filter\":[{\"field\":\"notional\",\"op\":\"ge\",\"value\":\"%lld\"}]}",
                   (long long)limit.mantissa);
    open_lane(body, id, trade_lane);
    struct said said = rig_ask(&rig, "subscribe", body); /* the same once more */
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(said.json, "unchanged")));
    (void)snprintf(again, sizeof again, "%s", rig_text(said.json, "subscription"));
    assert_string_equal(again, id);
    cJSON_Delete(said.json);
    await_more(&live.lane_trades, 60);
    take_all(rig.client, LANE_MARK, &marks);
    take_all(shared.bus, DATA_MARK, &shared.foreign); /* so that all that the lane had is there */
    see();
    const size_t both = seen.lane_trades.count - 30;
    assert_is_the_shared_one_filtered(0, both, limit);
    assert_chain(&seen.lane_trades, 0);

    /* The shared one leaves first: the lane goes on, and nothing is on the shared channel. */
    rig_confirm(&rig, "unsubscribe",
                "{\"consumer\":\"all\",\"type\":\"TRADE\",\"instruments\":[\"" SYMBOL "\"]}", NULL);
    take_all(shared.bus, DATA_MARK, &shared.foreign);
    see();
    const size_t at_the_end = seen.trades.count;
    await_more(&live.lane_trades, 60);
    see();
    assert_int_equal(seen.trades.count, at_the_end);
    assert_chain(&seen.lane_trades, 0);
    for (size_t i = 0; i < seen.lane_trades.count; i++) {
        assert_true(passes(&seen.lane_trades.events[i], limit));
    }
    assert_int_equal(lane_lost, 0);

    /* The shared one is back, and the lane leaves first. */
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"all\",\"type\":\"TRADE\",\"instruments\":[\"" SYMBOL "\"]}", NULL);
    await_more(&live.trades, 30);
    end_lane("large", id);
    take_all(rig.client, LANE_MARK, &marks);
    see();
    const size_t lane_end = seen.lane_trades.count, shared_then = seen.trades.count;
    await_more(&live.trades, 60);
    see();
    assert_int_equal(lane_others, 0);
    assert_int_equal(seen.lane_trades.count, lane_end);
    for (size_t i = shared_then - 20; i < seen.trades.count; i++) {
        assert_int_equal(seen.trades.events[i].sequence, seen.trades.events[i - 1].sequence + 1);
    }
}

/* The shared trades between the lane's first and last that were bought are those of the lane. */
static void assert_all_that_was_bought(size_t from)
{
    const struct list *buys = &seen.lane_buys;
    const uint64_t last = seen.trades.events[seen.trades.count - 1].sequence;
    size_t t = 0, i = from;
    while (seen.trades.events[t].sequence < buys->events[from].sequence) {
        t++;
        assert_true(t < seen.trades.count);
    }
    for (; t < seen.trades.count; t++) {
        if (seen.trades.events[t].aggressor == MLT_SIDE_BUY && i < buys->count) {
            assert_int_equal(buys->events[i].sequence, seen.trades.events[t].sequence);
            assert_int_equal(buys->events[i++].aggressor, MLT_SIDE_BUY);
        }
    }
    assert_true(i == buys->count || buys->events[i].sequence > last);
    assert_true(i > from + 20);
}

/* Of two lanes with filters of their own either leaves first, and the other has what it had. */
static void test_a_filter_of_one_narrows_nobody_elses(void **state)
{
    (void)state;
    static const char large[] =
        "{\"consumer\":\"large\",\"type\":\"TRADE\",\"instruments\":[\"" SYMBOL "\"],"
        "\"filter\":[{\"field\":\"notional\",\"op\":\"ge\",\"value\":\"0.000001\"}]}";
    static const char buys[] =
        "{\"consumer\":\"buys\",\"type\":\"TRADE\",\"instruments\":[\"" SYMBOL "\"],"
        "\"filter\":[{\"field\":\"aggressor\",\"op\":\"eq\",\"value\":\"BUY\"}]}";
    char large_id[64], buys_id[64];
    for (unsigned round = 0; round < 2; round++) {
        see();
        const size_t from = seen.lane_buys.count, large_from = seen.lane_trades.count;
        open_lane(large, large_id, trade_lane);
        open_lane(buys, buys_id, buy_lane);
        await_more(&live.lane_buys, 30);
        await_more(&live.lane_trades, 30);
        end_lane(round == 0 ? "large" : "buys", round == 0 ? large_id : buys_id);
        await_more(round == 0 ? &live.lane_buys : &live.lane_trades, 30);
        await_more(&live.trades, 30);
        end_lane(round == 0 ? "buys" : "large", round == 0 ? buys_id : large_id);
        see();
        assert_all_that_was_bought(from);
        assert_chain(&seen.lane_buys, from);
        assert_chain(&seen.lane_trades, large_from);
    }
}

static void test_a_throttle_leaves_out_only_what_it_counts(void **state)
{
    (void)state;
    char id[64], none[64];
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"all\",\"type\":\"BBO\",\"instruments\":[\"" SYMBOL "\"]}", none);
    open_lane("{\"consumer\":\"slow\",\"type\":\"BBO\",\"instruments\":[\"" SYMBOL "\"],"
              "\"throttle_ms\":150}",
              id, quote_lane);
    await_more(&live.lane_quotes, 15);
    see();
    uint64_t merged = 0;
    for (size_t i = 1; i < seen.lane_quotes.count; i++) {
        const struct one *s = &seen.lane_quotes.events[i];
        assert_int_equal(s->sequence - s[-1].sequence, s->merged + 1);
        assert_true(s->published_ns - s[-1].published_ns >= 149 * MLT_NS_PER_MS);
        merged += s->merged;
    }
    assert_true(merged > seen.lane_quotes.count);
    assert_chain(&seen.lane_quotes, 0);

    /* A Data Bus that is replaced does not know what was on the lane before: it says so. */
    see();
    const size_t before = seen.lane_quotes.count;
    mlt_stack_kill(&rig.stack, "data-bus");
    mlt_stack_run(&rig.stack, "data-bus");
    await_more(&live.lane_quotes, 10);
    see();
    size_t begins = 0;
    for (size_t i = before; i < seen.lane_quotes.count; i++) {
        begins += seen.lane_quotes.events[i].previous == 0;
    }
    assert_in_range(begins, 1, 1);
    end_lane("slow", id);
    rig_confirm(&rig, "unsubscribe",
                "{\"consumer\":\"all\",\"type\":\"BBO\",\"instruments\":[\"" SYMBOL "\"]}", NULL);
}

static void test_what_no_lane_can_be_is_refused(void **state)
{
    (void)state;
#define DEMAND(type, more)                                                                         \
    "{\"consumer\":\"x\",\"type\":\"" type "\",\"instruments\":[\"" SYMBOL "\"]," more "}"
    static const struct {
        const char *body;
        const char *field;
    } wrong[] = {
        { DEMAND("TRADE", "\"throttle_ms\":100"), "throttle_ms" },
        { DEMAND("BBO", "\"throttle_ms\":100,\"channel\":\"shared\""), "channel" },
        { DEMAND("BBO", "\"filter\":[{\"field\":\"mid\",\"op\":\"ge\",\"value\":\"1\"}]"),
          "filter.mid" },
        { DEMAND("TRADE", "\"filter\":[{\"field\":\"price\",\"op\":\"ge\",\"value\":1}]"),
          "filter[0]" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct said s = rig_ask(&rig, "subscribe", wrong[i].body);
        if (!s.refused || rig_number(s.json, "code") != 400 ||
            strcmp(rig_text(s.json, "field"), wrong[i].field) != 0) {
            rig_fail(&s, wrong[i].body);
        }
        cJSON_Delete(s.json);
    }
    struct said s = rig_ask(&rig, "list", "");
    assert_int_equal(rig_number(s.json, "total"), 1); /* of the first test: the shared trades */
    cJSON_Delete(s.json);
}

static int begin(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct list *lists[] = { &live.trades,      &live.lane_trades, &live.lane_buys,
                             &live.quotes,      &live.lane_quotes, &seen.trades,
                             &seen.lane_trades, &seen.lane_buys,   &seen.quotes,
                             &seen.lane_quotes };
    for (size_t i = 0; i < 10; i++) {
        lists[i]->events = calloc(EVENTS_MAX, sizeof *lists[i]->events);
        assert_non_null(lists[i]->events);
    }
    const struct mlt_bus_subscribe_options options = { .subject = "meltica.lane.>" };
    rig_start(&rig, "2", "400");
    shared.look = look;
    mlt_consumer_start(&shared, rig.stack.nats_url);
    assert_int_equal(mlt_bus_subscribe(rig.client, &options, on_lane, NULL, &lanes, &err), MLT_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mlt_bus_unsubscribe(lanes);
    mlt_consumer_stop(&shared);
    rig_stop(&rig);
    free(live.trades.events);
    free(live.lane_trades.events);
    free(live.lane_buys.events);
    free(seen.lane_buys.events);
    free(live.quotes.events);
    free(live.lane_quotes.events);
    free(seen.trades.events);
    free(seen.lane_trades.events);
    free(seen.quotes.events);
    free(seen.lane_quotes.events);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lane_is_the_shared_channel_under_its_filter),
        cmocka_unit_test(test_a_filter_of_one_narrows_nobody_elses),
        cmocka_unit_test(test_what_no_lane_can_be_is_refused),
        cmocka_unit_test(test_a_throttle_leaves_out_only_what_it_counts),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, begin, end));
}
