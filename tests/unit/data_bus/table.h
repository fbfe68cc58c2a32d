/* Tables for the tests: one subscription a line, "TYPE INSTRUMENT". */
#ifndef MELTICA_TEST_TABLE_H
#define MELTICA_TEST_TABLE_H

#include "mlt_test.h"

#include <stdlib.h>

#include "meltica/v1/internal.pb-c.h"
#include "routing.h"

struct line {
    enum mlt_event_type type;
    const char *instrument;
};

struct lane_line {
    enum mlt_event_type type;
    const char *instrument;
    const char *lane; /* its id; NULL: shared */
    uint32_t throttle_ms;
    const char *field, *op, *value; /* NULL: no filter */
};

static inline struct mlt_routing *table_of_lanes(uint64_t revision, uint64_t boot,
                                                 const struct lane_line *lines, size_t count)
{
    Meltica__V1__TableSubscription subscriptions[16];
    Meltica__V1__TableSubscription *pointers[16];
    Meltica__V1__Comparison comparisons[16], *filters[16];
    char *instruments[16];
    char principal[] = "desk";
    assert_true(count <= 16);
    Meltica__V1__Table table = MELTICA__V1__TABLE__INIT;
    table.revision = revision;
    table.boot = boot;
    table.log_read = true;
    for (size_t i = 0; i < count; i++) {
        meltica__v1__table_subscription__init(&subscriptions[i]);
        subscriptions[i].type = (Meltica__V1__EventType)lines[i].type;
        instruments[i] = strdup(lines[i].instrument);
        subscriptions[i].instruments = &instruments[i];
        subscriptions[i].n_instruments = 1;
        pointers[i] = &subscriptions[i];
        if (lines[i].lane != NULL) {
            subscriptions[i].private_lane = true;
            subscriptions[i].principal = principal;
            subscriptions[i].id = strdup(lines[i].lane);
            subscriptions[i].throttle_ms = lines[i].throttle_ms;
        }
        if (lines[i].field != NULL) {
            meltica__v1__comparison__init(&comparisons[i]);
            comparisons[i].field = strdup(lines[i].field);
            comparisons[i].op = strdup(lines[i].op);
            comparisons[i].value = strdup(lines[i].value);
            filters[i] = &comparisons[i];
            subscriptions[i].filter = &filters[i];
            subscriptions[i].n_filter = 1;
        }
    }
    table.subscriptions = pointers;
    table.n_subscriptions = count;
    uint8_t *bytes = malloc(meltica__v1__table__get_packed_size(&table) + 1);
    assert_non_null(bytes);
    const size_t size = meltica__v1__table__pack(&table, bytes);
    struct mlt_routing *routing = NULL;
    assert_int_equal(mlt_routing_decode(mlt_slice_of(bytes, size), &routing), MLT_OK);
    free(bytes);
    for (size_t i = 0; i < count; i++) {
        free(instruments[i]);
        if (lines[i].lane != NULL) {
            free(subscriptions[i].id);
        }
        if (lines[i].field != NULL) {
            free(comparisons[i].field);
            free(comparisons[i].op);
            free(comparisons[i].value);
        }
    }
    return routing;
}

static inline struct mlt_routing *table_of(uint64_t revision, uint64_t boot,
                                           const struct line *lines, size_t count)
{
    struct lane_line all[16];
    assert_true(count <= 16);
    memset(all, 0, sizeof all);
    for (size_t i = 0; i < count; i++) {
        all[i].type = lines[i].type;
        all[i].instrument = lines[i].instrument;
    }
    return table_of_lanes(revision, boot, all, count);
}

#endif
