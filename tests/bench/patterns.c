/*
 * ./dev bench patterns [--rounds N]: what a command costs the Dispatcher under the lock that the
 * flow needs, by how many instruments are listed: to count what 1,000 patterns cover, beside the
 * plain way in the same run (each pattern compared with each instrument), and to join 1,000
 * patterns of a subscription to what is subscribed. Rounds of all interleave; medians are told.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "live.h"
#include "meltica/base/check.h"
#include "meltica/base/clock.h"
#include "meltica/v1/internal.pb-c.h"

#define PATTERNS 1000u
#define LISTED_MAX 16000u
#define ROUNDS_MAX 101u
#define TEXT_BYTES 24u

static const unsigned sizes[] = { 1000, 4000, LISTED_MAX };
#define SIZES (sizeof sizes / sizeof sizes[0])

static char tokens[LISTED_MAX][TEXT_BYTES], patterns[PATTERNS][TEXT_BYTES];
static uint64_t sum; /* so that nothing is left out */

struct times {
    int64_t lookup[ROUNDS_MAX], walk[ROUNDS_MAX], join[ROUNDS_MAX];
};

static struct mlt_table *make_table(void)
{
    struct mlt_table *table = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    MLT_CHECK(
        mlt_table_parse(MLT_SLICE_LITERAL("{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":"
                                          "\"{symbol}@trade\"}],\"subscriptions\":[]}"),
                        &table, &err) == MLT_OK);
    return table;
}

static struct mlt_catalogue *make_catalogue(const struct mlt_table *table, unsigned listed)
{
    struct mlt_catalogue *catalogue = NULL;
    MLT_CHECK(mlt_catalogue_create(table, 1, &catalogue) == MLT_OK);
    const struct mlt_instrument instrument = { .status = MLT_SLICE_LITERAL("TRADING"),
                                               .price_exponent = -2,
                                               .quantity_exponent = -5 };
    for (unsigned i = 0; i < listed; i++) {
        const struct mlt_catalogue_entry *entry = NULL;
        MLT_CHECK(mlt_catalogue_listing(catalogue, mlt_slice_of_string(tokens[i]), &instrument,
                                        &entry) == MLT_OK);
    }
    return catalogue;
}

static void subscribe(const struct mlt_table *table, struct mlt_live *live)
{
    char id[] = "s1", who[] = "desk", *names[PATTERNS];
    struct mlt_live_item *released = NULL;
    bool changed = false;
    Meltica__V1__ControlRecord record;
    meltica__v1__control_record__init(&record);
    for (unsigned i = 0; i < PATTERNS; i++) {
        names[i] = patterns[i];
    }
    record.subscription = id;
    record.principal = record.consumer = who;
    record.type = MELTICA__V1__EVENT_TYPE__TRADE;
    record.active = true;
    record.instruments = names;
    record.n_instruments = PATTERNS;
    MLT_CHECK(mlt_live_apply(live, table, &record, 1, &released, &changed) == MLT_OK);
}

static int64_t time_lookup(const struct mlt_catalogue *catalogue)
{
    const int64_t begin = mlt_clock_mono_ns();
    for (unsigned i = 0; i < PATTERNS; i++) {
        sum += mlt_catalogue_matches(catalogue, mlt_slice_of_string(patterns[i]));
    }
    return mlt_clock_mono_ns() - begin;
}

static int64_t time_walk(unsigned listed)
{
    const int64_t begin = mlt_clock_mono_ns();
    for (unsigned i = 0; i < PATTERNS; i++) {
        const struct mlt_slice pattern = mlt_slice_of_string(patterns[i]);
        for (unsigned n = 0; n < listed; n++) {
            sum += mlt_pattern_match(pattern, mlt_slice_of_string(tokens[n]));
        }
    }
    return mlt_clock_mono_ns() - begin;
}

static int64_t time_join(struct mlt_catalogue *catalogue, const struct mlt_live *live)
{
    const int64_t begin = mlt_clock_mono_ns();
    MLT_CHECK(mlt_catalogue_follow(catalogue, live, live->items[0]) == MLT_OK);
    return mlt_clock_mono_ns() - begin;
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median_us(int64_t *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
    return (double)values[count / 2] / 1e3;
}

int main(int argc, char **argv)
{
    static struct times times[SIZES];
    unsigned rounds = 21;
    if (argc == 3 && strcmp(argv[1], "--rounds") == 0) {
        rounds = (unsigned)strtoul(argv[2], NULL, 10);
    } else if (argc != 1) {
        rounds = 0;
    }
    if (rounds == 0 || rounds > ROUNDS_MAX) {
        (void)fprintf(stderr, "usage: bench patterns [--rounds N], 1 to %u\n", ROUNDS_MAX);
        return 2;
    }
    for (unsigned i = 0; i < LISTED_MAX; i++) {
        (void)snprintf(tokens[i], TEXT_BYTES, "A%u-B%u", i, i % 40);
    }
    for (unsigned i = 0; i < PATTERNS; i++) {
        (void)snprintf(patterns[i], TEXT_BYTES, i % 2 == 0 ? "A%u-*" : "*-B%u", i);
    }
    struct mlt_table *table = make_table();
    struct mlt_catalogue *catalogues[SIZES];
    struct mlt_live live;
    mlt_live_init(&live);
    subscribe(table, &live);
    for (size_t s = 0; s < SIZES; s++) {
        catalogues[s] = make_catalogue(table, sizes[s]);
    }
    for (unsigned r = 0; r < rounds; r++) {
        for (size_t s = 0; s < SIZES; s++) {
            times[s].lookup[r] = time_lookup(catalogues[s]);
            times[s].walk[r] = time_walk(sizes[s]);
            times[s].join[r] = time_join(catalogues[s], &live);
        }
    }
    (void)printf("%u patterns, medians of %u rounds, us\n"
                 "  listed   looked up   compared with each   joined\n",
                 PATTERNS, rounds);
    for (size_t s = 0; s < SIZES; s++) {
        (void)printf("%8u %11.0f %20.0f %8.0f\n", sizes[s], median_us(times[s].lookup, rounds),
                     median_us(times[s].walk, rounds), median_us(times[s].join, rounds));
        mlt_catalogue_destroy(catalogues[s]);
    }
    mlt_live_fini(&live);
    mlt_table_destroy(table);
    return sum > 0 ? 0 : 1;
}
