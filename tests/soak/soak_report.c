#include "soak_errors.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "long_run.h"
#include "meltica/base/clock.h"

/* What a check allows. docs/soak.md has them too. */
#define SILENCE_MS_MAX 2000
/* Of one stream: so long, and as long again as 200 frames of an instrument take on average. */
#define STREAM_SILENCE_S_MAX 30
#define STREAM_SILENCE_FRAMES 200
#define POLLS_BEGIN_S 120
#define COMMAND_EACH_S 10 /* of a consumer that asks about each second */
#define SAMPLED_SHARE 0.9 /* of the time measured, between the first value and the last */
#define WITHIN_1S_MIN 0.99
#define IN_EFFECT_2S_MIN 0.95
#define LIVE_SHARE_MIN 0.99
#define GROWTH_SHARE_MAX 0.05
#define GROWTH_BYTES_MAX (4.0 * 1024 * 1024)
#define GROWTH_FILES_MAX 4.0
#define JUDGED_HOURS_MIN (600.0 / 3600) /* less than ten minutes after the start still warm up */

struct report {
    const struct soak_run *run;
    cJSON *json, *checks;
    bool passed;
    double hours, measured_s; /* in all; since the warm-up */
};

/* ---- numbers ---- */

/* ms with three decimals */
static double ms(int64_t ns)
{
    return round((double)ns / 1000) / 1000;
}

static double rounded(double value, double parts)
{
    return round(value * parts) / parts;
}

static double share(uint64_t part, uint64_t of)
{
    return of > 0 ? (double)part / (double)of : 0;
}

static void put(cJSON *to, const char *name, double value)
{
    (void)cJSON_AddNumberToObject(to, name, value);
}

static void put_latency(cJSON *to, const struct mlt_latency *l)
{
    put(to, "p50", ms(mlt_latency_at(l, 500)));
    put(to, "p95", ms(mlt_latency_at(l, 950)));
    put(to, "p99", ms(mlt_latency_at(l, 990)));
    put(to, "max", ms(l->max_ns));
    put(to, "count", (double)l->count);
}

/* ---- checks ---- */

static void check(struct report *r, const char *name, bool pass, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void check(struct report *r, const char *name, bool pass, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cJSON *one = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(one, "check", name);
    (void)cJSON_AddBoolToObject(one, "pass", pass);
    (void)cJSON_AddStringToObject(one, "measured", text);
    (void)cJSON_AddItemToArray(r->checks, one);
    r->passed = r->passed && pass;
    (void)printf("%-4s  %-28s %s\n", pass ? "ok" : "FAIL", name, text);
}

/* ---- parts ---- */

static void put_run(struct report *r)
{
    const struct soak_run *run = r->run;
    char date[32];
    struct tm utc;
    const time_t began = (time_t)(run->began_wall_ns / MLT_NS_PER_S);
    (void)gmtime_r(&began, &utc);
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    const int64_t took_ns = run->ended_ns - run->began_ns;
    r->hours = (double)took_ns / (3600.0 * MLT_NS_PER_S);
    r->measured_s =
        run->watch->warm ? (double)(run->ended_ns - run->watch->warm_ns) / MLT_NS_PER_S : 0;
    (void)cJSON_AddStringToObject(r->json, "version", MELTICA_VERSION);
    (void)cJSON_AddStringToObject(r->json, "commit", long_run_commit());
    (void)cJSON_AddStringToObject(r->json, "began", date);
    put(r->json, "hours", rounded(r->hours, 1e6));
    cJSON *plan = cJSON_AddObjectToObject(r->json, "plan");
    put(plan, "seconds", (double)run->plan->seconds);
    put(plan, "warm_up_seconds", (double)run->plan->warm_up_s);
    put(plan, "symbols", run->plan->symbols);
    put(plan, "rate", run->plan->rate);
    put(plan, "consumers", run->plan->consumers);
    char seed[24];
    (void)snprintf(seed, sizeof seed, "%" PRIu64, run->plan->seed);
    (void)cJSON_AddStringToObject(plan, "seed", seed);
    put(plan, "line_life_seconds", (double)run->plan->line_life_s);
    put(plan, "day_scale", rounded(86400.0 / (double)run->plan->line_life_s, 1e3));
    cJSON *machine = cJSON_AddObjectToObject(r->json, "machine");
    put(machine, "cores", (double)sysconf(_SC_NPROCESSORS_ONLN));
    put(machine, "load_before", rounded(run->load_before, 100));
    put(machine, "load_after", rounded(run->load_after, 100));
    check(r, "whole_duration", !run->interrupted && took_ns >= run->plan->seconds * MLT_NS_PER_S,
          "%.1f of %" PRId64 " s", (double)took_ns / MLT_NS_PER_S, run->plan->seconds);
}

static void put_events(struct report *r)
{
    const struct soak_watch *w = r->run->watch;
    put(r->json, "events", (double)(w->events + w->lane_events));
    put(r->json, "events_per_s",
        rounded((double)(w->events + w->lane_events) / (r->hours * 3600), 10));
    cJSON *types = cJSON_AddObjectToObject(r->json, "events_by_type");
    for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        put(types, mlt_event_type_word(t), (double)w->by_type[t]);
    }
    put(r->json, "lane_events", (double)w->lane_events);
    put(r->json, "notices", (double)w->notices);
    put(r->json, "longest_silence_ms", ms(w->longest_silence_ns));
    put(r->json, "longest_stream_silence_ms", ms(w->stream_silence_ns));
    (void)cJSON_AddStringToObject(r->json, "quietest_stream", w->quietest_stream);
    check(r, "uninterrupted_flow",
          w->events > 0 && w->longest_silence_ns <= SILENCE_MS_MAX * MLT_NS_PER_MS,
          "%" PRIu64 " events, at most %.0f ms between two", w->events + w->lane_events,
          ms(w->longest_silence_ns));
    const struct soak_plan *plan = r->run->plan;
    const int64_t allowed_s = STREAM_SILENCE_S_MAX + STREAM_SILENCE_FRAMES *
                                                         (int64_t)plan->symbols /
                                                         (plan->rate > 0 ? plan->rate : 1);
    check(r, "streams_flow", w->stream_silence_ns <= allowed_s * MLT_NS_PER_S,
          "at most %.1f s between two events of a stream in force, %s; %" PRId64 " allowed",
          (double)w->stream_silence_ns / MLT_NS_PER_S, w->quietest_stream, allowed_s);
}

static void put_losses(struct report *r)
{
    const struct soak_losses *l = &r->run->watch->losses;
    const uint64_t lost = soak_watch_lost(l);
    put(r->json, "lost", (double)lost);
    cJSON *to = cJSON_AddObjectToObject(r->json, "losses");
    put(to, "sequence_holes", (double)l->sequence_holes);
    put(to, "exchange_gaps", (double)l->exchange_gaps);
    put(to, "lost_notices", (double)l->lost_notices);
    put(to, "epoch_ends_unknown", (double)l->epoch_ends_unknown);
    put(to, "lane_holes", (double)l->lane_holes);
    put(to, "foreign", (double)l->foreign);
    put(to, "dropped_here", (double)l->dropped_here);
    (void)cJSON_AddStringToObject(to, "first", l->first);
    put(r->json, "source_downs", (double)r->run->watch->source_downs);
    (void)cJSON_AddStringToObject(r->json, "first_source_down", r->run->watch->first_source_down);
    put(r->json, "repeats", (double)l->repeats);
    put(r->json, "withheld", (double)r->run->watch->withheld);
    check(r, "nothing_lost", lost == 0, "%" PRIu64 " lost%s%s", lost, lost > 0 ? "; first: " : "",
          l->first);
    check(r, "nothing_repeated", l->repeats == 0, "%" PRIu64 " repeats", l->repeats);
}

static void put_errors(struct report *r)
{
    struct soak_error_counts c;
    cJSON *to = soak_errors(r->run, &c);
    const uint64_t all = c.lines + c.metrics + c.unmeasured + c.ends;
    put(r->json, "unhandled_errors", (double)all);
    (void)cJSON_AddItemToObject(r->json, "errors", to);
    check(r, "no_unhandled_errors", all == 0,
          "%" PRIu64 " log lines, %" PRIu64 " in metrics, %" PRIu64
          " metrics that nobody has, %" PRIu64 " ends",
          c.lines, c.metrics, c.unmeasured, c.ends);
}

static void put_traces(struct report *r)
{
    const struct soak_watch *w = r->run->watch;
    const uint64_t all = w->traced + w->untraced;
    put(r->json, "trace_coverage", share(w->traced, all));
    put(r->json, "made_inside", (double)w->made_inside);
    cJSON *to = cJSON_AddObjectToObject(r->json, "untraced_by_type");
    for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        if (w->untraced_by_type[t] > 0) {
            put(to, mlt_event_type_word(t), (double)w->untraced_by_type[t]);
        }
    }
    (void)cJSON_AddStringToObject(r->json, "first_untraced", w->first_untraced);
    check(r, "every_event_traced", all > 0 && w->untraced == 0, "%" PRIu64 " of %" PRIu64 " %s",
          w->traced, all, w->first_untraced);
}

static void put_latencies(struct report *r)
{
    const struct soak_watch *w = r->run->watch;
    cJSON *to = cJSON_AddObjectToObject(r->json, "latency_ms");
    put_latency(to, &w->latency);
    put(to, "negative", (double)w->latency.negative);
    for (unsigned k = 0; k < SOAK_KINDS; k++) {
        put_latency(cJSON_AddObjectToObject(to, soak_kind_names[k]), &w->kinds[k]);
    }
    const double within = share(w->within_1s, w->timed);
    put(r->json, "within_1s", within);
    check(r, "within_1s", w->timed > 0 && within >= WITHIN_1S_MIN,
          "%.4f %% of %" PRIu64 ", p99 %.3f ms", within * 100, w->timed,
          ms(mlt_latency_at(&w->latency, 990)));
}

static void put_control(struct report *r)
{
    const struct soak_steer *s = r->run->steer;
    const struct soak_watch *w = r->run->watch;
    const double in_2s = share(s->in_2s, s->commands);
    cJSON *to = cJSON_AddObjectToObject(r->json, "control_ms");
    put_latency(to, &s->in_effect);
    put_latency(cJSON_AddObjectToObject(to, "first_event"), &w->first_event);
    to = cJSON_AddObjectToObject(r->json, "control");
    for (unsigned v = 0; v < SOAK_VERBS; v++) {
        put(to, soak_verb_names[v], (double)s->done[v]);
    }
    put(to, "pending", (double)s->pending);
    put(to, "asked_again", (double)s->asked_again);
    put(to, "failed", (double)s->failed);
    put(to, "in_effect_within_2s", in_2s);
    put(to, "refused_as_expected", (double)s->refused_right);
    put(to, "refused_otherwise", (double)s->refused_wrong);
    put(to, "events_after_end", (double)w->after_end);
    (void)cJSON_AddBoolToObject(to, "lists_right", s->lists_right);
    (void)cJSON_AddStringToObject(to, "first_failure", s->first_failure);
    const uint64_t least = (uint64_t)(r->measured_s * r->run->plan->consumers / COMMAND_EACH_S);
    check(r, "control_within_2s",
          s->commands > 0 && s->commands >= least && in_2s >= IN_EFFECT_2S_MIN,
          "%.2f %% of %" PRIu64 " (at least %" PRIu64 " expected), p95 %.0f ms", in_2s * 100,
          s->commands, least, ms(mlt_latency_at(&s->in_effect, 950)));
    check(r, "control_answers", s->failed == 0 && s->refused_wrong == 0,
          "%" PRIu64 " failed, %" PRIu64 " refused as they must, %" PRIu64 " otherwise %s",
          s->failed, s->refused_right, s->refused_wrong, s->first_failure);
    check(r, "nothing_after_unsubscribe", w->after_end == 0, "%" PRIu64 " events", w->after_end);
    check(r, "subscriptions_as_asked", s->lists_right, "%s",
          s->lists_right ? "each list is what its consumer holds" : "a list differs");
}

static void put_series(cJSON *to, const struct soak_series *s, const char *slope)
{
    put(to, "first", (double)s->first);
    put(to, "last", (double)s->last);
    put(to, "max", (double)s->max);
    put(to, "mean", round(soak_series_mean(s)));
    put(to, "samples", (double)s->count);
    put(to, slope, rounded(soak_series_slope(s), 100));
    put(to, "growth", rounded(soak_series_growth(s), 100));
}

static void put_processes(struct report *r)
{
    cJSON *memory = cJSON_AddObjectToObject(r->json, "memory_bytes");
    cJSON *files = cJSON_AddObjectToObject(r->json, "descriptors");
    char worst[96] = "", worst_files[96] = "";
    const bool judged = r->measured_s >= JUDGED_HOURS_MIN * 3600;
    bool flat = true, flat_files = true;
    double most = 0, most_files = 0;
    for (unsigned i = 0; i < SOAK_PROCESSES; i++) {
        const struct soak_process *p = &r->run->probe->processes[i];
        put_series(cJSON_AddObjectToObject(memory, soak_process_names[i]), &p->resident,
                   "slope_bytes_per_hour");
        put_series(cJSON_AddObjectToObject(files, soak_process_names[i]), &p->descriptors,
                   "slope_per_hour");
        if (i >= SOAK_SERVICES) {
            continue;
        }
        const double allowed =
            fmax(GROWTH_BYTES_MAX, GROWTH_SHARE_MAX * soak_series_mean(&p->resident));
        const double grown = soak_series_growth(&p->resident);
        const double grown_files = soak_series_growth(&p->descriptors);
        const bool sampled = p->resident.hours * 3600 >= SAMPLED_SHARE * r->measured_s;
        flat = flat && sampled && soak_series_flat(&p->resident, allowed);
        flat_files = flat_files && sampled && soak_series_flat(&p->descriptors, GROWTH_FILES_MAX);
        if (judged && !sampled) { /* what was not looked at is not flat */
            most = most_files = INFINITY;
            (void)snprintf(worst, sizeof worst, "%s was measured for %.0f s only",
                           soak_process_names[i], p->resident.hours * 3600);
            (void)snprintf(worst_files, sizeof worst_files, "%s", worst);
            continue;
        }
        if (worst[0] == '\0' || grown > most) {
            most = grown;
            (void)snprintf(worst, sizeof worst, "%s grew by %.1f MiB of %.1f allowed",
                           soak_process_names[i], grown / 1048576, allowed / 1048576);
        }
        if (worst_files[0] == '\0' || grown_files > most_files) {
            most_files = grown_files;
            (void)snprintf(worst_files, sizeof worst_files, "%s grew by %.2f",
                           soak_process_names[i], grown_files);
        }
    }
    (void)cJSON_AddBoolToObject(r->json, "slopes_judged", judged);
    check(r, "flat_memory", flat || !judged, "%s%s", judged ? "" : "too short to judge; ", worst);
    check(r, "flat_descriptors", flat_files || !judged, "%s%s",
          judged ? "" : "too short to judge; ", worst_files);
}

static void put_instruments(struct report *r)
{
    const struct soak_watch *w = r->run->watch;
    cJSON *to = cJSON_AddObjectToObject(r->json, "instruments");
    uint64_t digests = 0, wrong = 0, gaps = 0, least = 1000000;
    for (unsigned n = 0; n < w->symbols; n++) {
        const struct soak_instrument *i = &w->instruments[n];
        const struct mlt_follow_counts *c = mlt_follow_get_counts(i->follow);
        const uint64_t live = soak_watch_live_share(i, w->warm_ns, r->run->ended_ns);
        char token[32];
        (void)snprintf(token, sizeof token, "SYM%04u-USDT", n + 1);
        cJSON *one = cJSON_AddObjectToObject(to, token);
        put(one, "events", (double)i->events);
        put(one, "live_share", (double)live / 1e6);
        put(one, "gaps", (double)i->gaps);
        put(one, "stales", (double)i->stales);
        put(one, "resyncs", (double)i->resyncs);
        put(one, "polls", (double)i->polls);
        put(one, "digests_right", (double)(c->digests_right + c->books_right));
        put(one, "digests_wrong", (double)(c->digests_wrong + c->books_wrong));
        put(one, "audits_right", (double)i->true_books);
        put(one, "audits_wrong", (double)i->wrong_books);
        digests += c->digests_right + c->books_right;
        wrong += c->digests_wrong + c->books_wrong + c->crossed;
        gaps += i->gaps;
        least = live < least ? live : least;
    }
    put(r->json, "least_live_share", (double)least / 1e6);
    put(r->json, "book_gaps", (double)gaps);
    check(r, "books_live", (double)least >= LIVE_SHARE_MIN * 1e6,
          "at least %.3f %% of the time, %" PRIu64 " gaps", (double)least / 1e4, gaps);
    check(r, "digests_right", digests > 0 && wrong == 0 && w->failure == MLT_OK,
          "%" PRIu64 " right, %" PRIu64 " wrong", digests, wrong);
}

static void put_audits(struct report *r)
{
    const struct soak_probe *p = r->run->probe;
    cJSON *to = cJSON_AddObjectToObject(r->json, "audits");
    const uint64_t inside = soak_probe_metric(p, "conductor", "meltica_conductor_book_audits_total",
                                              "outcome=\"right\"");
    put(to, "exchange_right", (double)p->true_books);
    put(to, "exchange_wrong", (double)p->wrong_books);
    put(to, "conductor_right", (double)inside);
    put(to, "conductor_wrong",
        (double)soak_probe_metric(p, "conductor", "meltica_conductor_book_audits_total",
                                  "outcome=\"wrong\""));
    check(r, "books_true", p->true_books > 0 && p->wrong_books == 0,
          "%" PRIu64 " as the exchange has them, %" PRIu64 " not %s", p->true_books, p->wrong_books,
          p->first_wrong);
    to = cJSON_AddObjectToObject(r->json, "late_joins");
    put(to, "right", (double)p->joiner.right);
    put(to, "wrong", (double)p->joiner.wrong);
    put_latency(cJSON_AddObjectToObject(to, "join_ms"), &p->joiner.join);
    (void)cJSON_AddStringToObject(to, "first_wrong", p->joiner.first_wrong);
    check(r, "late_joins", p->joiner.right > 0 && p->joiner.wrong == 0,
          "%" PRIu64 " right, %" PRIu64 " wrong %s", p->joiner.right, p->joiner.wrong,
          p->joiner.first_wrong);
}

static void put_exchange(struct report *r)
{
    const struct soak_run *run = r->run;
    const uint64_t rollovers =
        soak_probe_metric(run->probe, "adapter", "meltica_adapter_line_rollovers_total", "");
    const uint64_t polls =
        soak_probe_grown(run->probe, "adapter", "meltica_adapter_rest_answers_total", "depth");
    const uint64_t expected =
        (uint64_t)((run->ended_ns - run->began_ns) / (run->plan->line_life_s * MLT_NS_PER_S));
    cJSON *to = cJSON_AddObjectToObject(r->json, "exchange");
    put(to, "frames_sent", (double)run->frames_sent);
    put(to, "rollovers", (double)rollovers);
    put(to, "lines_ended",
        (double)soak_probe_metric(run->probe, "adapter", "meltica_adapter_line_ended_total", ""));
    put(to, "rest_polls", (double)polls);
    put(to, "rest_refused", (double)run->rest_refused);
    put(to, "rest_weight_peak", (double)run->weight_peak);
    uint64_t least_polls = UINT64_MAX;
    for (unsigned i = 0; i < run->watch->symbols; i++) {
        const uint64_t of = run->watch->instruments[i].polls;
        least_polls = of < least_polls ? of : least_polls;
    }
    /* Half of what the schedule has: a call may wait for its weight. At the beginning that of the
     * first snapshots of all books is used up. */
    const double polled_s = r->hours * 3600 - POLLS_BEGIN_S;
    const uint64_t polls_expected =
        polled_s > 0 ? (uint64_t)(polled_s / (double)run->plan->poll_s / 2) : 0;
    const uint64_t downs = run->watch->source_downs;
    check(r, "rollovers", rollovers >= expected && downs == 0,
          "%" PRIu64 " lines replaced, at least %" PRIu64 " expected; %" PRIu64
          " times an instrument's source was down %s",
          rollovers, expected, downs, run->watch->first_source_down);
    check(r, "rest_polls",
          polls >= run->plan->symbols && least_polls >= polls_expected && run->rest_refused == 0,
          "%" PRIu64 " answers, at least %" PRIu64 " an instrument (%" PRIu64 " expected), %" PRId64
          " refused, at most %" PRId64 " weight in a minute",
          polls, least_polls, polls_expected, run->rest_refused, run->weight_peak);
}

/* ---- files ---- */

static bool write_text(const char *path, const char *text)
{
    FILE *to = fopen(path, "w");
    if (to == NULL) {
        return false;
    }
    const bool all = fputs(text, to) >= 0;
    return fclose(to) == 0 && all;
}

static double number(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

static void md_latency(FILE *to, const char *what, const cJSON *l)
{
    (void)fprintf(to, "| %s | %.3f | %.3f | %.3f | %.3f | %.0f |\n", what, number(l, "p50"),
                  number(l, "p95"), number(l, "p99"), number(l, "max"), number(l, "count"));
}

static void md_times(FILE *to, const cJSON *json)
{
    const cJSON *latency = cJSON_GetObjectItemCaseSensitive(json, "latency_ms");
    const cJSON *control = cJSON_GetObjectItemCaseSensitive(json, "control_ms");
    (void)fprintf(to, "\n## Times (ms)\n\n| | p50 | p95 | p99 | max | number |\n"
                      "|---|---|---|---|---|---|\n");
    md_latency(to, "exchange's frame or poll → consumer", latency);
    for (unsigned k = 0; k < SOAK_KINDS; k++) {
        char what[32];
        (void)snprintf(what, sizeof what, "of these: %s", soak_kind_names[k]);
        md_latency(to, what, cJSON_GetObjectItemCaseSensitive(latency, soak_kind_names[k]));
    }
    md_latency(to, "command → in effect", control);
    md_latency(to, "command → first event",
               cJSON_GetObjectItemCaseSensitive(control, "first_event"));
    md_latency(to, "late join → right book",
               cJSON_GetObjectItemCaseSensitive(
                   cJSON_GetObjectItemCaseSensitive(json, "late_joins"), "join_ms"));
}

static void md_processes(FILE *to, const cJSON *json)
{
    const cJSON *memory = cJSON_GetObjectItemCaseSensitive(json, "memory_bytes");
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(json, "descriptors"), *one;
    (void)fprintf(to, "\n## Processes, after the warm-up\n\n| process | resident MiB: first | last "
                      "| most | slope, KiB/h | open files: first | last | most | slope, 1/h |\n"
                      "|---|---|---|---|---|---|---|---|---|\n");
    cJSON_ArrayForEach(one, memory)
    {
        const cJSON *f = cJSON_GetObjectItemCaseSensitive(files, one->string);
        (void)fprintf(to, "| %s | %.1f | %.1f | %.1f | %.1f | %.0f | %.0f | %.0f | %.2f |\n",
                      one->string, number(one, "first") / 1048576, number(one, "last") / 1048576,
                      number(one, "max") / 1048576, number(one, "slope_bytes_per_hour") / 1024,
                      number(f, "first"), number(f, "last"), number(f, "max"),
                      number(f, "slope_per_hour"));
    }
}

static void md_instruments(FILE *to, const cJSON *json)
{
    const cJSON *one;
    (void)fprintf(to, "\n## Instruments\n\n| instrument | events | LIVE, %% of the time | gaps | "
                      "resyncs | polls | digests right | wrong | audits right | wrong |\n"
                      "|---|---|---|---|---|---|---|---|---|---|\n");
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(json, "instruments"))
    {
        (void)fprintf(to, "| %s | %.0f | %.3f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f |\n",
                      one->string, number(one, "events"), number(one, "live_share") * 100,
                      number(one, "gaps"), number(one, "resyncs"), number(one, "polls"),
                      number(one, "digests_right"), number(one, "digests_wrong"),
                      number(one, "audits_right"), number(one, "audits_wrong"));
    }
}

static bool write_markdown(const char *path, const cJSON *json)
{
    FILE *to = fopen(path, "w");
    if (to == NULL) {
        return false;
    }
    const cJSON *plan = cJSON_GetObjectItemCaseSensitive(json, "plan"), *one;
    (void)fprintf(
        to,
        "# Soak of %s\n\nGenerated by `./dev soak`; docs/soak.md says what the fields mean.\n\n"
        "%s: %.4f h, %.0f events (%.0f a second), %.0f lost, %.0f unhandled errors, "
        "trace coverage %.6f. %.0f instruments, seed %s.\n\n",
        cJSON_GetObjectItemCaseSensitive(json, "began")->valuestring,
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "passed")) ? "Passed" : "**Failed**",
        number(json, "hours"), number(json, "events"), number(json, "events_per_s"),
        number(json, "lost"), number(json, "unhandled_errors"), number(json, "trace_coverage"),
        number(plan, "symbols"), cJSON_GetObjectItemCaseSensitive(plan, "seed")->valuestring);
    (void)fprintf(to, "## Checks\n\n| check | | measured |\n|---|---|---|\n");
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(json, "checks"))
    {
        (void)fprintf(
            to, "| `%s` | %s | %s |\n", cJSON_GetObjectItemCaseSensitive(one, "check")->valuestring,
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(one, "pass")) ? "ok" : "**FAIL**",
            cJSON_GetObjectItemCaseSensitive(one, "measured")->valuestring);
    }
    md_times(to, json);
    md_processes(to, json);
    md_instruments(to, json);
    return fclose(to) == 0;
}

static bool write_files(const struct report *r)
{
    const char *path = r->run->plan->report;
    char beside[1024];
    const size_t len = strlen(path);
    const bool ends = len > 5 && strcmp(path + len - 5, ".json") == 0;
    (void)snprintf(beside, sizeof beside, "%.*s.md", (int)(ends ? len - 5 : len), path);
    char *text = cJSON_Print(r->json);
    const bool written = text != NULL && write_text(path, text) && write_markdown(beside, r->json);
    cJSON_free(text);
    (void)printf("%s: %s, %s\n", written ? "written" : "cannot be written", path, beside);
    return written;
}

int soak_report(const struct soak_run *run)
{
    struct report r = {
        .run = run, .json = cJSON_CreateObject(), .checks = cJSON_CreateArray(), .passed = true
    };
    put_run(&r);
    put_events(&r);
    put_losses(&r);
    put_errors(&r);
    put_traces(&r);
    put_latencies(&r);
    put_control(&r);
    put_audits(&r);
    put_exchange(&r);
    put_processes(&r);
    put_instruments(&r);
    (void)cJSON_AddItemToObject(r.json, "checks", r.checks);
    (void)cJSON_AddBoolToObject(r.json, "passed", r.passed);
    const bool written = write_files(&r);
    cJSON_Delete(r.json);
    return !written ? 2 : r.passed ? 0 : 1;
}
