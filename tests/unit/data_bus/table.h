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

static inline struct mlt_routing *table_of(uint64_t revision, uint64_t boot,
                                           const struct line *lines, size_t count)
{
    Meltica__V1__TableSubscription subscriptions[16];
    Meltica__V1__TableSubscription *pointers[16];
    char *instruments[16];
    assert_true(count <= 16);
    Meltica__V1__Table table = MELTICA__V1__TABLE__INIT;
    table.revision = revision;
    table.boot = boot;
    for (size_t i = 0; i < count; i++) {
        meltica__v1__table_subscription__init(&subscriptions[i]);
        subscriptions[i].type = (Meltica__V1__EventType)lines[i].type;
        instruments[i] = strdup(lines[i].instrument);
        subscriptions[i].instruments = &instruments[i];
        subscriptions[i].n_instruments = 1;
        pointers[i] = &subscriptions[i];
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
    }
    return routing;
}

#endif
