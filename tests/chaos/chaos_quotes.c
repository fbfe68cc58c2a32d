#include "chaos_quotes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void chaos_quotes_take(struct chaos_quotes *quotes, unsigned symbol, const struct mlt_event *event)
{
    if (quotes->of[symbol].count < CHAOS_QUOTES) {
        quotes->of[symbol].waiting[quotes->of[symbol].count++] =
            (struct chaos_quote){ event->last, event->u.bbo };
    }
}

unsigned chaos_quotes_waiting(struct chaos_quotes *quotes, unsigned symbol, struct chaos_quote *to)
{
    const unsigned count = quotes->of[symbol].count;
    memcpy(to, quotes->of[symbol].waiting, count * sizeof *to);
    quotes->of[symbol].count = 0;
    return count;
}

static bool same_number(const cJSON *text, struct mlt_decimal number)
{
    struct mlt_decimal truth;
    const char *value = cJSON_GetStringValue(text);
    return value != NULL && mlt_decimal_parse(mlt_slice_of_string(value), &truth) == MLT_OK &&
           mlt_decimal_compare(truth, number) == 0;
}

/* Its best level. */
static bool same_touch(const cJSON *answer, const char *side, struct mlt_decimal price,
                       struct mlt_decimal quantity)
{
    const cJSON *best = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer, side), 0);
    return same_number(cJSON_GetArrayItem(best, 0), price) &&
           same_number(cJSON_GetArrayItem(best, 1), quantity);
}

void chaos_quotes_compare(struct chaos_quotes *quotes, unsigned symbol,
                          const struct chaos_quote *quote, const cJSON *answer)
{
    const struct mlt_bbo *bbo = &quote->bbo;
    const char *what = NULL;
    quotes->checked++;
    if (!cJSON_IsObject(answer)) {
        quotes->unknown++;
        what = "the exchange has no such book";
    } else if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "exact")) ||
               !same_touch(answer, "bids", bbo->bid_price, bbo->bid_quantity) ||
               !same_touch(answer, "asks", bbo->ask_price, bbo->ask_quantity)) {
        quotes->wrong++;
        what = "it is not the touch of the exchange's book";
    }
    if (what != NULL && quotes->first_wrong[0] == '\0') {
        (void)snprintf(quotes->first_wrong, sizeof quotes->first_wrong,
                       "BBO of SYM%04u-USDT at update id %" PRId64 ": %s", symbol + 1, quote->id,
                       what);
    }
}
