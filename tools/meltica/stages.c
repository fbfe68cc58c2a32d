#include "stages.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "meltica/base/clock.h"

/* Cut to whole us; also before 1970. */
static int64_t us_of(int64_t ns)
{
    return ns / MLT_NS_PER_US - (ns % MLT_NS_PER_US < 0);
}

static void add_up(struct mlt_stages *s)
{
    const struct mlt_stage *first = NULL, *before = NULL;
    for (size_t i = 0; i < MLT_STAGES; i++) {
        struct mlt_stage *stage = &s->stages[i];
        if (stage->at_ns == MLT_STAMP_UNKNOWN) {
            continue;
        }
        stage->has_took = before != NULL;
        stage->took_us = before != NULL ? us_of(stage->at_ns) - us_of(before->at_ns) : 0;
        s->sum_us += stage->took_us;
        first = first != NULL ? first : stage;
        before = stage;
    }
    s->total_us = first != NULL ? us_of(before->at_ns) - us_of(first->at_ns) : 0;
}

void mlt_stages_of(const struct mlt_event *event, int64_t consumer_ns, struct mlt_stages *out)
{
    const struct mlt_stamps *at = &event->stamps;
    *out = (struct mlt_stages){
        .type = event->type,
        .key = event->key,
        .epoch = event->epoch,
        .sequence = event->sequence,
        .throttled_ns = event->throttled_ns,
        .sampled = (event->trace_flags & 1) != 0,
        .from_journal = consumer_ns == MLT_STAMP_UNKNOWN,
        .stages = { { .name = "exchange", .at_ns = at->exchange },
                    { .name = "received", .at_ns = at->received },
                    { .name = "adapted", .at_ns = at->adapted },
                    { .name = "dispatched", .at_ns = at->dispatched },
                    { .name = "conducted", .at_ns = at->conducted },
                    { .name = "published", .at_ns = at->published },
                    { .name = "consumer", .at_ns = consumer_ns } },
    };
    (void)snprintf(out->token, sizeof out->token, "%.*s", MLT_SLICE_FMT(event->instrument));
    memcpy(out->trace_id, event->trace_id, sizeof out->trace_id);
    add_up(out);
}

static void hex_of(const struct mlt_stages *s, char out[2 * MLT_TRACE_ID_BYTES + 1])
{
    for (size_t i = 0; i < MLT_TRACE_ID_BYTES; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", s->trace_id[i]);
    }
}

static void time_of(int64_t ns, char out[64])
{
    const int64_t us = us_of(ns);
    const int64_t fraction = (us % 1000000 + 1000000) % 1000000;
    const time_t seconds = (time_t)((us - fraction) / 1000000);
    struct tm tm;
    char day[32] = "?";
    if (gmtime_r(&seconds, &tm) != NULL) {
        (void)strftime(day, sizeof day, "%F %T", &tm);
    }
    (void)snprintf(out, 64, "%s.%06" PRId64, day, fraction);
}

/* ---- table ---- */

static enum mlt_status put_stage(const struct mlt_stage *stage, bool from_journal, int64_t since_us,
                                 struct mlt_buf *out)
{
    char when[64], took[24] = "-";
    if (stage->at_ns == MLT_STAMP_UNKNOWN) {
        return mlt_buf_printf(out, "%-11s not known%s\n", stage->name,
                              from_journal && strcmp(stage->name, "consumer") == 0
                                  ? ": the journal is written before anybody has it"
                                  : "");
    }
    time_of(stage->at_ns, when);
    if (stage->has_took) {
        (void)snprintf(took, sizeof took, "%" PRId64, stage->took_us);
    }
    return mlt_buf_printf(out, "%-11s %-28s %12s %14" PRId64 "%s\n", stage->name, when, took,
                          since_us, stage->took_us < 0 ? "  two clocks that differ" : "");
}

static enum mlt_status put_end(const struct mlt_stages *s, struct mlt_buf *out)
{
    enum mlt_status status = mlt_buf_printf(out, "%-11s %-28s %12" PRId64 " %14" PRId64 "\n", "sum",
                                            "", s->sum_us, s->total_us);
    if (status == MLT_OK && s->throttled_ns > 0) {
        status = mlt_buf_printf(out, "a throttle added %" PRIu64 " us of it\n",
                                s->throttled_ns / (uint64_t)MLT_NS_PER_US);
    }
    return status;
}

enum mlt_status mlt_stages_table(const struct mlt_stages *s, struct mlt_buf *out)
{
    char hex[2 * MLT_TRACE_ID_BYTES + 1];
    int64_t since_us = 0;
    hex_of(s, hex);
    enum mlt_status status = mlt_buf_printf(
        out,
        "%s %s  key %" PRIu64 "  epoch %" PRIu64 "  sequence %" PRIu64 "  (%s)\n"
        "trace id %s, %s\n%-11s %-28s %12s %14s\n",
        s->token, mlt_event_type_word((int)s->type), s->key, s->epoch, s->sequence,
        s->from_journal ? "out of the journal" : "live", hex,
        s->sampled ? "sampled" : "not sampled", "STAGE", "TIME (UTC)", "TOOK us", "SINCE us");
    for (size_t i = 0; status == MLT_OK && i < MLT_STAGES; i++) {
        since_us += s->stages[i].took_us;
        status = put_stage(&s->stages[i], s->from_journal, since_us, out);
    }
    return status == MLT_OK ? put_end(s, out) : status;
}

/* ---- JSON ---- */

static enum mlt_status put_stage_json(const struct mlt_stage *stage, const char *comma,
                                      struct mlt_buf *out)
{
    char at[32] = "null", took[32] = "null";
    if (stage->at_ns != MLT_STAMP_UNKNOWN) {
        (void)snprintf(at, sizeof at, "\"%" PRId64 "\"", stage->at_ns);
    }
    if (stage->has_took) {
        (void)snprintf(took, sizeof took, "%" PRId64, stage->took_us);
    }
    return mlt_buf_printf(out, "%s{\"stage\":\"%s\",\"time_ns\":%s,\"took_us\":%s}", comma,
                          stage->name, at, took);
}

enum mlt_status mlt_stages_json(const struct mlt_stages *s, struct mlt_buf *out)
{
    char hex[2 * MLT_TRACE_ID_BYTES + 1];
    hex_of(s, hex);
    /* A token has no byte that JSON would escape. */
    enum mlt_status status = mlt_buf_printf(
        out,
        "{\"found\":true,\"from\":\"%s\",\"instrument\":\"%s\",\"type\":\"%s\",\"key\":\"%" PRIu64
        "\",\"epoch\":\"%" PRIu64 "\",\"sequence\":\"%" PRIu64
        "\",\"trace_id\":\"%s\",\"sampled\":%s,\"throttled_ns\":\"%" PRIu64 "\",\"stages\":[",
        s->from_journal ? "journal" : "live", s->token, mlt_event_type_word((int)s->type), s->key,
        s->epoch, s->sequence, hex, s->sampled ? "true" : "false", s->throttled_ns);
    for (size_t i = 0; status == MLT_OK && i < MLT_STAGES; i++) {
        status = put_stage_json(&s->stages[i], i > 0 ? "," : "", out);
    }
    return status == MLT_OK
               ? mlt_buf_printf(out, "],\"sum_us\":%" PRId64 ",\"total_us\":%" PRId64 "}\n",
                                s->sum_us, s->total_us)
               : status;
}
