/* Listings and plans for the tests of the Adapter's cores. */
#ifndef MELTICA_TEST_PLAN_MAKER_H
#define MELTICA_TEST_PLAN_MAKER_H

#include <stdio.h>
#include <stdlib.h>

#include "binance.h"
#include "meltica/base/buf.h"
#include "meltica/v1/internal.pb-c.h"

#define PLAN_ROUTES_MAX 4

/* count symbols C000USDT...; the last one in BREAK; then one whose base is not ASCII. */
static inline struct mlt_binance_symbols *make_symbols(unsigned count)
{
    struct mlt_buf text;
    mlt_buf_init(&text, 1u << 20);
    assert_int_equal(mlt_buf_append_string(&text, "{\"symbols\":["), MLT_OK);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(
            mlt_buf_printf(&text,
                           "{\"symbol\":\"C%03uUSDT\",\"status\":\"%s\",\"baseAsset\":\"C%03u\","
                           "\"quoteAsset\":\"USDT\"},",
                           i, i + 1 == count ? "BREAK" : "TRADING", i),
            MLT_OK);
    }
    assert_int_equal(
        mlt_buf_append_string(&text, "{\"symbol\":\"\xe5\xb8\x81USDT\",\"status\":\"TRADING\","
                                     "\"baseAsset\":\"\xe5\xb8\x81\",\"quoteAsset\":\"USDT\"}]}"),
        MLT_OK);
    struct mlt_binance_symbols *symbols = NULL;
    assert_int_equal(mlt_binance_symbols_parse(mlt_buf_view(&text), &symbols, NULL, NULL, NULL),
                     MLT_OK);
    mlt_buf_fini(&text);
    return symbols;
}

struct plan {
    Meltica__V1__NativePlan message;
    Meltica__V1__PlanRoute routes[PLAN_ROUTES_MAX];
    Meltica__V1__PlanRoute *route_pointers[PLAN_ROUTES_MAX];
    char tokens[PLAN_ROUTES_MAX][1024][24];
    char *token_pointers[PLAN_ROUTES_MAX][1024];
};

static inline struct plan *make_plan(uint32_t partition, uint64_t revision, uint64_t boot)
{
    struct plan *plan = calloc(1, sizeof *plan);
    assert_non_null(plan);
    meltica__v1__native_plan__init(&plan->message);
    plan->message.partition = partition;
    plan->message.revision = revision;
    plan->message.boot = boot;
    plan->message.routes = plan->route_pointers;
    return plan;
}

/* Instruments C<first>-USDT ... */
static inline Meltica__V1__PlanRoute *add_route(struct plan *plan, uint32_t number,
                                                const char *topic, unsigned first, unsigned count)
{
    const size_t n = plan->message.n_routes++;
    Meltica__V1__PlanRoute *route = &plan->routes[n];
    meltica__v1__plan_route__init(route);
    plan->route_pointers[n] = route;
    route->route = number;
    static char topics[PLAN_ROUTES_MAX][64];
    (void)snprintf(topics[n], sizeof topics[n], "%s", topic);
    route->ws_topic = topics[n];
    route->instruments = plan->token_pointers[n];
    route->n_instruments = count;
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(plan->tokens[n][i], sizeof plan->tokens[n][i], "C%03u-USDT", first + i);
        plan->token_pointers[n][i] = plan->tokens[n][i];
    }
    return route;
}

#endif
