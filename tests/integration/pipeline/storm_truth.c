#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "storm_truth.h"

#define BATCH 64u

void storm_truth_open(struct storm_truth *truth, struct mlt_consumer *consumer,
                      struct mlt_stack *stack, unsigned symbols)
{
    memset(truth, 0, sizeof *truth);
    truth->consumer = consumer;
    truth->stack = stack;
    truth->symbols = symbols;
    truth->of = calloc(symbols, sizeof *truth->of);
    assert_non_null(truth->of);
    for (unsigned i = 0; i < symbols; i++) {
        truth->of[i].pending = calloc(STORM_PENDING, sizeof *truth->of[i].pending);
        assert_non_null(truth->of[i].pending);
    }
}

void storm_truth_close(struct storm_truth *truth)
{
    for (unsigned i = 0; i < truth->symbols; i++) {
        free(truth->of[i].pending);
        free(truth->of[i].moments);
    }
    free(truth->of);
}

bool storm_symbol_of(const struct storm_truth *truth, struct mlt_slice token, unsigned *index)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.*s", MLT_SLICE_FMT(token));
    if (strncmp(text, "SYM", 3) != 0) {
        return false;
    }
    const unsigned long number = strtoul(text + 3, NULL, 10);
    *index = (unsigned)number - 1;
    return number >= 1 && number <= truth->symbols;
}

static void add_moment(struct storm_symbol *s, int64_t id)
{
    if (s->moment_count == s->moment_capacity) {
        s->moment_capacity = s->moment_capacity > 0 ? 2 * s->moment_capacity : 1024;
        s->moments = realloc(s->moments, s->moment_capacity * sizeof *s->moments);
        assert_non_null(s->moments);
    }
    s->moments[s->moment_count++] = (struct storm_moment){ mlt_clock_wall_ns(), id };
}

void storm_book_take(struct storm_book *to, const struct mlt_event *event)
{
    const struct mlt_book *book = &event->u.book;
    const struct mlt_levels *sides[2] = { &book->bids, &book->asks };
    to->id = book->last_update_id;
    to->limited = (event->quality & MLT_QUALITY_DEPTH_LIMITED) != 0;
    to->price_exponent = book->bids.price_exponent;
    to->quantity_exponent = book->bids.quantity_exponent;
    for (unsigned i = 0; i < 2; i++) {
        to->count[i] = sides[i]->count < STORM_SHOWN ? sides[i]->count : STORM_SHOWN;
        memcpy(to->prices[i], sides[i]->prices, to->count[i] * sizeof(int64_t));
        memcpy(to->quantities[i], sides[i]->quantities, to->count[i] * sizeof(int64_t));
    }
}

static void keep(struct storm_truth *truth, struct storm_symbol *s, const struct mlt_event *event)
{
    if (s->waiting == STORM_PENDING) {
        truth->overrun++;
        return;
    }
    storm_book_take(&s->pending[(s->head + s->waiting) % STORM_PENDING], event);
    s->waiting++;
    truth->waiting++;
}

void storm_truth_see(struct storm_truth *truth, const struct mlt_event *event)
{
    unsigned index = 0;
    if (event->type != MLT_EVENT_BOOK || !storm_symbol_of(truth, event->instrument, &index)) {
        return;
    }
    const struct mlt_book *book = &event->u.book;
    if (book->state == MLT_BOOK_LIVE) {
        truth->live++;
        add_moment(&truth->of[index], book->last_update_id);
        keep(truth, &truth->of[index], event);
        return;
    }
    truth->other++;
    truth->shown_when_unsure +=
        book->state != MLT_BOOK_STALE && book->bids.count + book->asks.count > 0;
}

static bool same_number(const cJSON *text, int64_t mantissa, int32_t exponent)
{
    struct mlt_decimal truth;
    const char *value = cJSON_GetStringValue(text);
    return value != NULL && mlt_decimal_parse(mlt_slice_of_string(value), &truth) == MLT_OK &&
           mlt_decimal_compare(truth, (struct mlt_decimal){ mantissa, exponent }) == 0;
}

static bool same_side(const cJSON *levels, const struct storm_book *book, unsigned side)
{
    const size_t true_count = (size_t)cJSON_GetArraySize(levels);
    if (book->count[side] > true_count || (!book->limited && book->count[side] < true_count)) {
        return false;
    }
    const cJSON *level = levels->child;
    for (size_t i = 0; i < book->count[side]; i++, level = level->next) {
        if (!same_number(cJSON_GetArrayItem(level, 0), book->prices[side][i],
                         book->price_exponent) ||
            !same_number(cJSON_GetArrayItem(level, 1), book->quantities[side][i],
                         book->quantity_exponent)) {
            return false;
        }
    }
    return true;
}

bool storm_book_right(const struct storm_book *book, const cJSON *answer)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "exact")) &&
           same_side(cJSON_GetObjectItemCaseSensitive(answer, "bids"), book, 0) &&
           same_side(cJSON_GetObjectItemCaseSensitive(answer, "asks"), book, 1);
}

static void compare(struct storm_truth *truth, unsigned symbol, const struct storm_book *book,
                    const cJSON *answer)
{
    truth->checked++;
    if (!cJSON_IsObject(answer)) {
        truth->unknown++;
        return;
    }
    if (storm_book_right(book, answer)) {
        return;
    }
    if (truth->wrong++ == 0) {
        (void)snprintf(truth->first_wrong, sizeof truth->first_wrong,
                       "SYM%04uUSDT at update id %lld: %zu bids from %lld, %zu asks from %lld",
                       symbol + 1, (long long)book->id, book->count[0],
                       (long long)(book->count[0] > 0 ? book->prices[0][0] : 0), book->count[1],
                       (long long)(book->count[1] > 0 ? book->prices[1][0] : 0));
    }
}

/* Up to BATCH of what waits of a symbol; how many. */
static size_t take(struct storm_truth *truth, unsigned symbol, struct storm_book *to)
{
    struct storm_symbol *s = &truth->of[symbol];
    (void)pthread_mutex_lock(&truth->consumer->lock);
    const size_t count = s->waiting < BATCH ? s->waiting : BATCH;
    for (size_t i = 0; i < count; i++) {
        to[i] = s->pending[(s->head + i) % STORM_PENDING];
    }
    s->head = (s->head + count) % STORM_PENDING;
    s->waiting -= count;
    truth->waiting -= count;
    (void)pthread_mutex_unlock(&truth->consumer->lock);
    return count;
}

static void check_batch(struct storm_truth *truth, unsigned symbol, const struct storm_book *books,
                        size_t count)
{
    char target[2048];
    struct mlt_buf body;
    size_t len =
        (size_t)snprintf(target, sizeof target,
                         "/sim/books?symbol=SYM%04uUSDT&limit=%u&ids=", symbol + 1, STORM_SHOWN);
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(target + len, sizeof target - len, "%s%lld", i > 0 ? "," : "",
                                (long long)books[i].id);
        assert_true(len < sizeof target);
    }
    mlt_buf_init(&body, 4u << 20);
    mlt_stack_get(truth->stack, "exchange", target, &body);
    cJSON *answers = cJSON_ParseWithLength((const char *)body.data, body.len);
    assert_int_equal(cJSON_GetArraySize(answers), count);
    const cJSON *answer = answers->child;
    for (size_t i = 0; i < count; i++, answer = answer->next) {
        compare(truth, symbol, &books[i], answer);
    }
    cJSON_Delete(answers);
    mlt_buf_fini(&body);
}

void storm_truth_check(struct storm_truth *truth)
{
    static struct storm_book books[BATCH];
    for (unsigned i = 0; i < truth->symbols; i++) {
        size_t count;
        while ((count = take(truth, i, books)) > 0) {
            check_batch(truth, i, books, count);
        }
    }
}

int64_t storm_live_at(struct storm_truth *truth, unsigned symbol, int64_t id, int64_t time_ns)
{
    int64_t at = -1;
    (void)pthread_mutex_lock(&truth->consumer->lock);
    const struct storm_symbol *s = &truth->of[symbol];
    for (size_t i = 0; at < 0 && i < s->moment_count; i++) {
        if (s->moments[i].id >= id && s->moments[i].time_ns >= time_ns) {
            at = s->moments[i].time_ns;
        }
    }
    (void)pthread_mutex_unlock(&truth->consumer->lock);
    return at;
}
