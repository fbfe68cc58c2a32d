/* Shared by the tests of the Dispatcher's pure parts: tables from JSON, native instances, a clock.
 */
#ifndef MELTICA_TESTS_DISPATCHER_SUPPORT_H
#define MELTICA_TESTS_DISPATCHER_SUPPORT_H

#include "mlt_test.h"

#include "catalogue.h"
#include "table.h"

#define ALL_ROUTES                                                                                 \
    "{\"version\":1,\"routes\":["                                                                  \
    "{\"type\":\"TICKER\",\"ws\":\"{symbol}@ticker\"},"                                            \
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                                           \
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"                                              \
    "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_1m\"},"                                           \
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"                                   \
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100}},"                \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}"     \
    "],\"subscriptions\":["
#define SUBSCRIPTION(id, type, instruments)                                                        \
    "{\"id\":\"" id "\",\"type\":\"" type "\",\"instruments\":[" instruments "]}"
#define TABLE_END "]}"

static inline struct mlt_table *table_of(const char *json)
{
    struct mlt_table *table = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_table_parse(mlt_slice_of_string(json), &table, &err) != MLT_OK) {
        fail_msg("refused: %s", err.text);
    }
    return table;
}

static inline struct mlt_decimal decimal_of(const char *text)
{
    struct mlt_decimal value = { 0, 0 };
    assert_int_equal(mlt_decimal_parse(mlt_slice_of_string(text), &value), MLT_OK);
    return value;
}

#define TYPE_BIT(type) (1u << MLT_EVENT_##type)

#endif
