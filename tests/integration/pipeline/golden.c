#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "golden.h"
#include "mlt_consumer.h"

bool golden_main_recording(const char *paths[2])
{
    paths[0] = mlt_stack_recording("btcusdt_20240808.gz");
    paths[1] = mlt_stack_recording("btcusdt_20240809.gz");
    return paths[0] != NULL && paths[1] != NULL;
}

void golden_stream_hash(const char *const *paths, unsigned count, char *out)
{
    char command[4096];
    const char *build = getenv("MELTICA_BINARY_DIR");
    int len = snprintf(command, sizeof command, "%s/bin/meltica inspect",
                       build != NULL ? build : "build/dev");
    for (unsigned i = 0; i < count; i++) {
        len += snprintf(command + len, sizeof command - (size_t)len, " '%s'", paths[i]);
    }
    FILE *from = popen(command, "r");
    assert_non_null(from);
    static char report[1u << 20];
    const size_t n = fread(report, 1, sizeof report - 1, from);
    report[n] = '\0';
    assert_int_equal(pclose(from), 0);
    mlt_json_text(report, "stream_hash", out);
    assert_int_equal(strlen(out), 64);
}

void golden_look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx, (void)bytes;
    if (event->type == MLT_EVENT_STATUS && event->u.status.kind == MLT_STATUS_LOST) {
        print_message("LOST: %.*s, epoch %llu, sequence %llu, %d: %llu to %llu\n",
                      MLT_SLICE_FMT(event->u.status.reason), (unsigned long long)event->epoch,
                      (unsigned long long)event->sequence, (int)event->u.status.lost_type,
                      (unsigned long long)event->u.status.first,
                      (unsigned long long)event->u.status.last);
    }
}

void golden_assert_nothing_lost(struct mlt_consumer *consumer)
{
    struct mlt_tally_totals totals;
    const bool all = mlt_consumer_wait_count(consumer, MLT_EVENT_BBO, MAIN_BBO, 60) &&
                     mlt_consumer_wait_count(consumer, MLT_EVENT_TRADE, MAIN_TRADE, 10) &&
                     mlt_consumer_wait_count(consumer, MLT_EVENT_BOOK_DELTA, MAIN_DELTA, 10);
    mlt_consumer_totals(consumer, &totals);
    if (!all || totals.lost != 0 || totals.sequence_holes != 0 || totals.gaps != 0) {
        struct mlt_bus_stats stats;
        mlt_bus_get_stats(consumer->bus, &stats);
        fail_msg("%llu BBO of %u, %llu TRADE of %u, %llu BOOK_DELTA of %u; %llu STATUS LOST, %llu "
                 "sequence holes, %llu gaps; the consumer was disconnected %llu times",
                 (unsigned long long)mlt_consumer_count(consumer, MLT_EVENT_BBO), MAIN_BBO,
                 (unsigned long long)mlt_consumer_count(consumer, MLT_EVENT_TRADE), MAIN_TRADE,
                 (unsigned long long)mlt_consumer_count(consumer, MLT_EVENT_BOOK_DELTA), MAIN_DELTA,
                 (unsigned long long)totals.lost, (unsigned long long)totals.sequence_holes,
                 (unsigned long long)totals.gaps, (unsigned long long)stats.disconnects);
    }
}

void golden_assert_whole(struct mlt_consumer *consumer, const char *const paths[2])
{
    char expected[128], text[128];
    golden_assert_nothing_lost(consumer);
    golden_stream_hash(paths, 2, expected);
    char *report = mlt_consumer_report(consumer);
    mlt_json_text(report, "stream_hash", text);
    assert_string_equal(text, expected);
    free(report);
}
