#include "mlt_test.h"

#include "chaos_consumer.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/v1/internal.pb-c.h"

#define ANSWER_NS (3 * MLT_NS_PER_S)
#define ANSWER_BYTES_MAX (1u << 20)
#define AGAIN_MS 100
/* From the end of a fault until its damaged frames have to be said again. */
#define EXCUSED_NS (3 * MLT_NS_PER_S)
#define EXCUSED_NATS_NS (6 * MLT_NS_PER_S)

const enum mlt_event_type chaos_held_types[CHAOS_CONSUMERS] = { MLT_EVENT_TRADE,
                                                                MLT_EVENT_AGG_TRADE,
                                                                MLT_EVENT_BBO };

/* ---- what comes ---- */

static void see_book(struct chaos_group *g, const struct mlt_event *e, int64_t now_ns)
{
    unsigned symbol = 0;
    if (e->type != MLT_EVENT_BOOK || e->u.book.state != MLT_BOOK_LIVE ||
        (e->quality & MLT_QUALITY_STALE) != 0 ||
        !chaos_symbol_of(e->instrument, g->symbols, &symbol)) {
        return;
    }
    chaos_recovery_live(&g->recovery, symbol, now_ns, e->stamps.received, e->u.book.last_update_id);
    if (g->books[symbol].count == CHAOS_BOOKS) {
        g->result->books_skipped++;
        return;
    }
    storm_book_take(&g->books[symbol].waiting[g->books[symbol].count++], e);
}

static void see_quote(struct chaos_group *g, const struct mlt_event *e)
{
    unsigned symbol = 0;
    if (e->type == MLT_EVENT_BBO && chaos_symbol_of(e->instrument, g->symbols, &symbol)) {
        chaos_quotes_take(&g->quotes, symbol, e);
    }
}

static void on_rejection(void *ctx, const struct mlt_bus_message *message)
{
    struct chaos_consumer *c = ctx;
    Meltica__V1__Rejection *rejection =
        meltica__v1__rejection__unpack(NULL, message->payload.len, message->payload.data);
    (void)pthread_mutex_lock(&c->lock);
    if (rejection == NULL) {
        c->ledger.foreign++;
    } else {
        chaos_damaged_rejection(&c->group->damaged, (int64_t)rejection->received,
                                rejection->original_bytes, rejection->suppressed);
    }
    (void)pthread_mutex_unlock(&c->lock);
    if (rejection != NULL) {
        meltica__v1__rejection__free_unpacked(rejection, NULL);
    }
}

/* Of the symbol that comes and goes (chaos.c): nobody keeps account of it. */
static bool of_visitor(const struct mlt_event *event)
{
    return mlt_slice_starts_with(event->instrument, MLT_SLICE_LITERAL("=E5=B8=81"));
}

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct chaos_consumer *c = ctx;
    const int64_t now_ns = mlt_clock_wall_ns();
    struct mlt_event e;
    (void)pthread_mutex_lock(&c->lock);
    mlt_arena_reset(&c->arena);
    if (mlt_event_decode(message->payload, &c->arena, &e) != MLT_OK) {
        c->ledger.foreign++;
    } else if (!of_visitor(&e)) {
        chaos_ledger_event(&c->ledger, &e, now_ns);
        if (c->number == 0) {
            see_book(c->group, &e, now_ns);
            see_quote(c->group, &e);
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- life ---- */

static void start_one(struct chaos_consumer *c, const char *nats_url)
{
    struct mlt_error err = MLT_ERROR_INIT;
    char name[32];
    (void)snprintf(name, sizeof name, "chaos-%u", c->number + 1);
    assert_int_equal(pthread_mutex_init(&c->lock, NULL), 0);
    mlt_arena_init(&c->arena, 65536, 16u << 20);
    chaos_ledger_open(&c->ledger, c->group->symbols);
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = nats_url,
                                             .name = name };
    assert_int_equal(mlt_bus_connect(&options, &c->bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(c->bus, 10 * MLT_NS_PER_S), MLT_OK);
    const struct mlt_bus_subscribe_options all = { .subject = "meltica.data.*",
                                                   .pending_count_max = 1 << 20,
                                                   .pending_bytes_max = 256u << 20 };
    assert_int_equal(mlt_bus_subscribe(c->bus, &all, on_event, c, &c->subscription, &err), MLT_OK);
    if (c->number == 0) {
        const struct mlt_bus_subscribe_options refused = { .subject = "meltica.int.rejected.>" };
        assert_int_equal(
            mlt_bus_subscribe(c->bus, &refused, on_rejection, c, &c->group->rejections, &err),
            MLT_OK);
    }
    assert_true(mlt_bus_rtt_ns(c->bus) >= 0); /* the server has it */
}

void chaos_group_start(struct chaos_group *group, struct mlt_stack *stack, unsigned symbols,
                       struct chaos_result *result)
{
    struct chaos_group *g = group;
    memset(g, 0, sizeof *g);
    g->stack = stack;
    g->symbols = symbols;
    g->result = result;
    g->books = calloc(symbols, sizeof *g->books);
    assert_non_null(g->books);
    chaos_recovery_open(&g->recovery, symbols);
    result->recovery = &g->recovery;
    result->quotes = &g->quotes;
    chaos_damaged_open(&g->damaged);
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        g->consumers[i].group = g;
        g->consumers[i].number = i;
        result->ledgers[i] = &g->consumers[i].ledger;
        start_one(&g->consumers[i], stack->nats_url);
    }
}

void chaos_group_end(struct chaos_group *group, const struct chaos_heads *heads)
{
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        struct chaos_consumer *c = &group->consumers[i];
        struct mlt_bus_stats stats;
        mlt_bus_unsubscribe(c->subscription);
        if (i == 0) {
            mlt_bus_unsubscribe(group->rejections);
        }
        mlt_bus_get_stats(c->bus, &stats);
        group->result->dropped_here += stats.slow_consumer_dropped;
        mlt_bus_destroy(c->bus, 0);
        c->bus = NULL;
        if (heads != NULL) {
            chaos_ledger_end(&c->ledger, heads);
        }
    }
    chaos_damaged_judge(&group->damaged);
}

void chaos_group_free(struct chaos_group *group)
{
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        chaos_ledger_close(&group->consumers[i].ledger);
        mlt_arena_fini(&group->consumers[i].arena);
        (void)pthread_mutex_destroy(&group->consumers[i].lock);
    }
    chaos_recovery_close(&group->recovery);
    chaos_damaged_close(&group->damaged);
    free(group->books);
}

/* ---- subscriptions ---- */

static cJSON *ask(struct chaos_consumer *c, const char *subject, const char *body)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, ANSWER_BYTES_MAX);
    cJSON *answer = mlt_bus_request(c->bus, subject, mlt_slice_of_string(body), ANSWER_NS, &bytes,
                                    &err) == MLT_OK
                        ? cJSON_ParseWithLength((const char *)bytes.data, bytes.len)
                        : NULL;
    mlt_buf_fini(&bytes);
    return answer;
}

static const char *text_of(const cJSON *object, const char *member)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, member));
    return text != NULL ? text : "";
}

bool chaos_group_subscribe(struct chaos_group *group, int seconds)
{
    const int64_t until_ns = mlt_clock_mono_ns() + seconds * MLT_NS_PER_S;
    bool all = true;
    for (unsigned i = 0; all && i < CHAOS_CONSUMERS; i++) {
        struct chaos_consumer *c = &group->consumers[i];
        char body[256];
        (void)snprintf(body, sizeof body,
                       "{\"consumer\":\"chaos-%u\",\"type\":\"%s\",\"instruments\":[\"*-USDT\"],"
                       "\"id\":\"chaos-%u\"}",
                       i + 1, mlt_event_type_word((int)chaos_held_types[i]), i + 1);
        while (c->id[0] == '\0' && mlt_clock_mono_ns() < until_ns) {
            cJSON *answer = ask(c, "meltica.control.subscribe", body);
            if (strcmp(text_of(answer, "status"), "CONFIRMED") == 0) {
                (void)snprintf(c->id, sizeof c->id, "%s", text_of(answer, "subscription"));
            } else {
                (void)poll(NULL, 0, AGAIN_MS);
            }
            cJSON_Delete(answer);
        }
        all = c->id[0] != '\0';
        group->result->subscriptions += all;
    }
    return all;
}

static void lose(struct chaos_group *g, const char *what, const struct chaos_consumer *c,
                 unsigned symbol)
{
    g->result->lost_subscriptions++;
    if (g->result->first_lost_subscription[0] == '\0') {
        (void)snprintf(g->result->first_lost_subscription,
                       sizeof g->result->first_lost_subscription, "chaos-%u %s %s%s%04u",
                       c->number + 1, mlt_event_type_word((int)chaos_held_types[c->number]), what,
                       symbol > 0 ? " SYM" : " of ", symbol);
    }
}

static bool is_listed(struct chaos_consumer *c)
{
    char body[64];
    bool listed = false;
    const cJSON *one;
    (void)snprintf(body, sizeof body, "{\"consumer\":\"chaos-%u\"}", c->number + 1);
    for (unsigned tries = 0; tries < 3 && !listed; tries++) {
        cJSON *answer = ask(c, "meltica.control.list", body);
        cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(answer, "subscriptions"))
        {
            listed = listed || strcmp(text_of(one, "subscription"), c->id) == 0;
        }
        cJSON_Delete(answer);
    }
    return listed;
}

void chaos_group_count_lost(struct chaos_group *group, int64_t since_ns)
{
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        struct chaos_consumer *c = &group->consumers[i];
        if (!is_listed(c)) {
            lose(group, "is not listed", c, 0);
        }
        (void)pthread_mutex_lock(&c->lock);
        for (unsigned s = 0; s < group->symbols; s++) {
            const struct chaos_channel *of =
                &c->ledger.instruments[s].channels[chaos_held_types[i]];
            if (!of->seen || of->came_ns < since_ns) {
                lose(group, "is silent", c, s + 1);
            }
        }
        (void)pthread_mutex_unlock(&c->lock);
    }
}

/* ---- books ---- */

static void compare_one(struct chaos_result *to, unsigned symbol, const struct storm_book *book,
                        const cJSON *answer)
{
    to->books_checked++;
    if (!cJSON_IsObject(answer)) { /* the market has not come as far, mostly */
        if (to->books_unknown++ == 0 && to->first_wrong[0] == '\0') {
            (void)snprintf(to->first_wrong, sizeof to->first_wrong,
                           "SYM%04u-USDT at update id %" PRId64 ": the exchange has no such book",
                           symbol + 1, book->id);
        }
    } else if (!storm_book_right(book, answer) && to->books_wrong++ == 0) {
        (void)snprintf(to->first_wrong, sizeof to->first_wrong,
                       "SYM%04u-USDT at update id %" PRId64 " is not the exchange's own",
                       symbol + 1, book->id);
    }
}

/* One question for all that waits of a symbol: its books, then its quotes. */
static void compare_symbol(struct chaos_group *g, unsigned symbol)
{
    static struct storm_book books[CHAOS_BOOKS];
    struct chaos_quote quotes[CHAOS_QUOTES];
    char target[2048];
    struct mlt_buf body;
    (void)pthread_mutex_lock(&g->consumers[0].lock);
    const unsigned count = g->books[symbol].count;
    memcpy(books, g->books[symbol].waiting, count * sizeof books[0]);
    g->books[symbol].count = 0;
    const unsigned quoted = chaos_quotes_waiting(&g->quotes, symbol, quotes);
    (void)pthread_mutex_unlock(&g->consumers[0].lock);
    size_t len =
        (size_t)snprintf(target, sizeof target,
                         "/sim/books?symbol=SYM%04uUSDT&limit=%u&ids=", symbol + 1, STORM_SHOWN);
    for (unsigned i = 0; i < count + quoted; i++) {
        len += (size_t)snprintf(target + len, sizeof target - len, "%s%" PRId64, i > 0 ? "," : "",
                                i < count ? books[i].id : quotes[i - count].id);
    }
    if (count + quoted == 0) {
        return;
    }
    mlt_buf_init(&body, 4u << 20);
    cJSON *answers = mlt_stack_try_get(g->stack, "exchange", target, &body)
                         ? cJSON_ParseWithLength((const char *)body.data, body.len)
                         : NULL;
    mlt_buf_fini(&body);
    if (!cJSON_IsArray(answers)) { /* the simulator was too slow to answer: nobody was asked */
        g->result->books_skipped += count;
        cJSON_Delete(answers);
        return;
    }
    const cJSON *answer = answers->child;
    for (unsigned i = 0; i < count; i++, answer = answer != NULL ? answer->next : NULL) {
        compare_one(g->result, symbol, &books[i], answer);
    }
    for (unsigned i = 0; i < quoted; i++, answer = answer != NULL ? answer->next : NULL) {
        chaos_quotes_compare(&g->quotes, symbol, &quotes[i], answer);
    }
    cJSON_Delete(answers);
}

void chaos_group_compare(struct chaos_group *group)
{
    for (unsigned i = 0; i < group->symbols; i++) {
        compare_symbol(group, i);
    }
}

/* ---- faults ---- */

/* Of what was damaged then nobody may be left to say it, or nobody had it. */
static void excuse_meanwhile(struct chaos_group *g, const struct chaos_fault *fault)
{
    if (fault->kind == CHAOS_CUT) {
        chaos_damaged_excuse(&g->damaged, fault->begin_ns - MLT_NS_PER_S,
                             fault->begin_ns + MLT_NS_PER_S);
    } else if (fault->kind < CHAOS_SCRIPT_KINDS && fault->kind != CHAOS_LISTING) {
        const int64_t after_ns = fault->kind == CHAOS_KILL_NATS ? EXCUSED_NATS_NS : EXCUSED_NS;
        chaos_damaged_excuse(&g->damaged, fault->begin_ns - MLT_NS_PER_S, fault->end_ns + after_ns);
    }
}

void chaos_group_fault(struct chaos_group *group, const struct chaos_fault *fault)
{
    (void)pthread_mutex_lock(&group->consumers[0].lock);
    chaos_recovery_fault(&group->recovery, fault);
    excuse_meanwhile(group, fault);
    (void)pthread_mutex_unlock(&group->consumers[0].lock);
}

void chaos_group_damaged(struct chaos_group *group, int64_t time_ns, uint64_t bytes)
{
    (void)pthread_mutex_lock(&group->consumers[0].lock);
    chaos_damaged_frame(&group->damaged, time_ns, bytes);
    (void)pthread_mutex_unlock(&group->consumers[0].lock);
}

unsigned chaos_group_judge(struct chaos_group *group)
{
    (void)pthread_mutex_lock(&group->consumers[0].lock);
    const unsigned left = chaos_recovery_judge(&group->recovery);
    (void)pthread_mutex_unlock(&group->consumers[0].lock);
    return left;
}

bool chaos_group_live(struct chaos_group *group, int64_t came_ns, int64_t received_ns)
{
    (void)pthread_mutex_lock(&group->consumers[0].lock);
    const bool live = chaos_recovery_all_live(&group->recovery, came_ns, received_ns);
    (void)pthread_mutex_unlock(&group->consumers[0].lock);
    return live;
}

uint64_t chaos_group_told(struct chaos_group *group, enum mlt_status_kind kind)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        (void)pthread_mutex_lock(&group->consumers[i].lock);
        sum += group->consumers[i].ledger.by_status[kind];
        (void)pthread_mutex_unlock(&group->consumers[i].lock);
    }
    return sum;
}

void chaos_group_outage(struct chaos_group *group, int64_t at_ns, bool over)
{
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        (void)pthread_mutex_lock(&group->consumers[i].lock);
        if (over) {
            chaos_ledger_outage_over(&group->consumers[i].ledger, at_ns);
        } else {
            chaos_ledger_outage(&group->consumers[i].ledger, at_ns);
        }
        (void)pthread_mutex_unlock(&group->consumers[i].lock);
    }
}

bool chaos_group_caught_up(struct chaos_group *group, const struct chaos_heads *heads)
{
    bool all = true;
    for (unsigned i = 0; all && i < CHAOS_CONSUMERS; i++) {
        struct chaos_consumer *c = &group->consumers[i];
        (void)pthread_mutex_lock(&c->lock);
        for (unsigned s = 0; all && s < group->symbols; s++) {
            for (int t = 1; all && t < MLT_EVENT_TYPE_COUNT; t++) {
                all = heads[s].last[t] <= 0 ||
                      chaos_ledger_reached(&c->ledger, s, (enum mlt_event_type)t, heads[s].last[t]);
            }
        }
        all = all && chaos_ledger_awaited(&c->ledger) == 0;
        (void)pthread_mutex_unlock(&c->lock);
    }
    return all;
}

bool chaos_read_heads(struct mlt_stack *stack, unsigned symbols, struct chaos_heads *heads)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 1u << 20);
    cJSON *page = mlt_stack_try_get(stack, "exchange", "/sim/heads", &body)
                      ? cJSON_ParseWithLength((const char *)body.data, body.len)
                      : NULL;
    mlt_buf_fini(&body);
    const bool read = cJSON_GetArraySize(page) >= (int)symbols;
    for (unsigned i = 0; read && i < symbols; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "SYM%04uUSDT", i + 1);
        const cJSON *of = cJSON_GetObjectItemCaseSensitive(page, name);
        static const struct {
            enum mlt_event_type type;
            const char *member;
        } members[] = { { MLT_EVENT_TRADE, "trade" },
                        { MLT_EVENT_AGG_TRADE, "aggTrade" },
                        { MLT_EVENT_BOOK_DELTA, "depth" } };
        for (unsigned m = 0; m < 3; m++) {
            const cJSON *id = cJSON_GetObjectItemCaseSensitive(of, members[m].member);
            heads[i].last[members[m].type] = cJSON_IsNumber(id) ? (int64_t)id->valuedouble : 0;
        }
    }
    cJSON_Delete(page);
    return read;
}
