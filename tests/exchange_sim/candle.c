/* Candle arithmetic that both markets share. */
#include <time.h>

#include "market.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)

const char *const sim_interval_names[SIM_INTERVAL_COUNT] = { "1s", "1m", "3m", "5m", "15m", "30m",
                                                             "1h", "2h", "4h", "6h", "8h",  "12h",
                                                             "1d", "3d", "1w", "1M" };

static const int64_t lengths_us[SIM_INTERVAL_COUNT] = {
    SECOND_US,
    60 * SECOND_US,
    180 * SECOND_US,
    300 * SECOND_US,
    900 * SECOND_US,
    1800 * SECOND_US,
    3600 * SECOND_US,
    7200 * SECOND_US,
    14400 * SECOND_US,
    21600 * SECOND_US,
    28800 * SECOND_US,
    43200 * SECOND_US,
    DAY_US,
    3 * DAY_US,
    7 * DAY_US,
    0,
};

int sim_interval_find(struct mlt_slice name)
{
    for (int i = 0; i < SIM_INTERVAL_COUNT; i++) {
        if (mlt_slice_equal_string(name, sim_interval_names[i])) {
            return i;
        }
    }
    return -1;
}

static void month_bounds(int64_t time_us, int64_t *open_us, int64_t *next_us)
{
    const time_t seconds = (time_t)(time_us / SECOND_US);
    struct tm first = { 0 };
    (void)gmtime_r(&seconds, &first);
    first.tm_mday = 1;
    first.tm_hour = first.tm_min = first.tm_sec = 0;
    struct tm next = first;
    next.tm_mon++;
    *open_us = (int64_t)timegm(&first) * SECOND_US;
    *next_us = (int64_t)timegm(&next) * SECOND_US;
}

void sim_interval_bounds(int interval, int64_t time_us, int64_t *open_us, int64_t *next_us)
{
    const int64_t length = lengths_us[interval];
    if (length == 0) {
        month_bounds(time_us, open_us, next_us);
        return;
    }
    /* 1970-01-01 was a Thursday; weeks begin on Monday. */
    const int64_t shift = length == 7 * DAY_US ? 3 * DAY_US : 0;
    *open_us = (time_us + shift) / length * length - shift;
    *next_us = *open_us + length;
}

void sim_candle_begin(struct sim_candle *candle, int interval, int64_t time_us, int64_t close_e8)
{
    int64_t next_us = 0;
    *candle = (struct sim_candle){ .first_id = -1, .last_id = -1 };
    sim_interval_bounds(interval, time_us, &candle->open_us, &next_us);
    candle->close_us = next_us - 1;
    candle->open_e8 = candle->high_e8 = candle->low_e8 = candle->close_e8 = close_e8;
}

void sim_candle_add(struct sim_candle *candle, const struct sim_trade *trade)
{
    const sim_int128 quote = (sim_int128)trade->price_e8 * trade->quantity_e8;
    if (candle->count++ == 0) {
        candle->open_e8 = candle->high_e8 = candle->low_e8 = trade->price_e8;
        candle->first_id = trade->id;
    }
    candle->high_e8 = trade->price_e8 > candle->high_e8 ? trade->price_e8 : candle->high_e8;
    candle->low_e8 = trade->price_e8 < candle->low_e8 ? trade->price_e8 : candle->low_e8;
    candle->close_e8 = trade->price_e8;
    candle->last_id = trade->id;
    candle->volume_e8 += trade->quantity_e8;
    candle->quote_e16 += quote;
    if (!trade->buyer_is_maker) { /* the taker bought */
        candle->taker_volume_e8 += trade->quantity_e8;
        candle->taker_quote_e16 += quote;
    }
}
