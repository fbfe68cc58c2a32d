#include "chaos_report.h"

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

#define CONNECT_ATTEMPTS_MAX 300
#define RATE_PART 0.8    /* of the frames that were asked for: at times there is no line */
#define EVERY_KIND_S 120 /* a run as long as this kills each process */
/* How long a run is, for each kind of the plan that was asked for, in which each came once; and of
 * the script, at so many faults a minute, so that one that did not come is one that does not. */
#define KIND_S INT64_C(7)
#define SCRIPT_KIND_S INT64_C(60)
#define SCRIPT_KIND_FAULTS 90
/* A run as long as this has so many faults a minute, of all kinds together. */
#define MANY_S 1800
#define MANY_A_MINUTE 100
/* Of damaged frames that are judged: a line that the Adapter itself replaces takes some along. */
#define UNSAID_ONE_OF 50

struct report {
    const struct chaos_result *result;
    cJSON *json, *checks;
    bool passed;
};

static void put(cJSON *to, const char *name, double value)
{
    (void)cJSON_AddNumberToObject(to, name, value);
}

static void put_text(cJSON *to, const char *name, const char *text)
{
    (void)cJSON_AddStringToObject(to, name, text);
}

/* ms with three decimals */
static double ms(int64_t ns)
{
    return round((double)ns / 1000) / 1000;
}

static void check(struct report *r, const char *name, bool pass, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void check(struct report *r, const char *name, bool pass, const char *format, ...)
{
    char text[640];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cJSON *one = cJSON_CreateObject();
    put_text(one, "check", name);
    (void)cJSON_AddBoolToObject(one, "pass", pass);
    put_text(one, "measured", text);
    (void)cJSON_AddItemToArray(r->checks, one);
    r->passed = r->passed && pass;
}

/* ---- parts ---- */

static void put_run(struct report *r)
{
    const struct chaos_result *c = r->result;
    char date[32], seed[24];
    struct tm utc;
    const time_t began = (time_t)(c->began_wall_ns / MLT_NS_PER_S);
    (void)gmtime_r(&began, &utc);
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    (void)snprintf(seed, sizeof seed, "%" PRIu64, c->plan->seed);
    put_text(r->json, "version", MELTICA_VERSION);
    put_text(r->json, "commit", long_run_commit());
    put_text(r->json, "began", date);
    put_text(r->json, "seed", seed);
    put(r->json, "seconds", round(c->seconds * 10) / 10);
    cJSON *plan = cJSON_AddObjectToObject(r->json, "plan");
    put(plan, "seconds", (double)c->plan->seconds);
    put(plan, "symbols", c->plan->symbols);
    put(plan, "rate", c->plan->rate);
    put(plan, "replicas", c->plan->replicas);
    put(plan, "faults_per_minute", c->plan->faults_per_minute);
    put(plan, "weight_limit", c->plan->weight_limit);
    put(plan, "recovery_ms", c->plan->recovery_ms);
    cJSON *machine = cJSON_AddObjectToObject(r->json, "machine");
    put(machine, "cores", (double)sysconf(_SC_NPROCESSORS_ONLN));
    put(machine, "load_before", round(c->load_before * 100) / 100);
    put(machine, "load_after", round(c->load_after * 100) / 100);
    check(r, "whole_duration", !c->interrupted && c->seconds >= (double)c->plan->seconds,
          "%.1f of %" PRId64 " s", c->seconds, c->plan->seconds);
}

const char *const chaos_flow_names[CHAOS_FLOWS] = { "trade", "aggTrade", "bookTicker" };

static const uint64_t plan_kinds = (UINT64_C(1) << CHAOS_SCRIPT_KINDS) - 1;

bool chaos_plan_has(const struct chaos_plan *plan, enum chaos_kind kind)
{
    const bool of_plan = kind < CHAOS_SCRIPT_KINDS;
    const uint64_t only = plan->only & (of_plan ? plan_kinds : ~plan_kinds);
    return (of_plan || plan->faults_per_minute > 0) && (only == 0 || (only >> kind & 1) != 0);
}

bool chaos_kind_of_flow(enum chaos_kind kind)
{
    return kind >= CHAOS_SCRIPT_KINDS && kind < CHAOS_STALE && kind != CHAOS_CUT;
}

/* Whether it was long enough for every kind of the plan, or of the script, that was asked for. */
static bool long_enough(const struct chaos_plan *plan, bool script)
{
    int64_t kinds = 0;
    for (unsigned k = script ? CHAOS_SCRIPT_KINDS : 0;
         k < (script ? CHAOS_KINDS : CHAOS_SCRIPT_KINDS); k++) {
        kinds += chaos_plan_has(plan, (enum chaos_kind)k);
    }
    return script ? plan->seconds >= SCRIPT_KIND_S * kinds &&
                        plan->seconds * plan->faults_per_minute >=
                            SCRIPT_KIND_S * SCRIPT_KIND_FAULTS * kinds
                  : plan->seconds >= KIND_S * kinds;
}

static void note_missing(char to[256], const char *kind, const char *stream)
{
    const size_t len = strlen(to);
    (void)snprintf(to + len, 256 - len, "%s%s%s%s", len > 0 ? ", " : "; none of ", kind,
                   stream != NULL ? "@" : "", stream != NULL ? stream : "");
}

/* Kinds that were asked for, and should have come in that time, and did not. */
static void find_missing(const struct chaos_result *c, char missing[256])
{
    const bool plan = long_enough(c->plan, false), script = long_enough(c->plan, true);
    for (unsigned k = 0; k < CHAOS_KINDS; k++) {
        const enum chaos_kind kind = (enum chaos_kind)k;
        if (!chaos_plan_has(c->plan, kind) || !(k < CHAOS_SCRIPT_KINDS ? plan : script)) {
            continue;
        }
        if (c->recovery->by_kind[k] == 0) {
            note_missing(missing, chaos_kind_names[k], NULL);
        }
        for (unsigned f = 0; f < CHAOS_FLOWS && chaos_kind_of_flow(kind); f++) {
            if (c->flow_faults[f][k] == 0) {
                note_missing(missing, chaos_kind_names[k], chaos_flow_names[f]);
            }
        }
    }
}

static void put_faults(struct report *r)
{
    const struct chaos_result *c = r->result;
    const struct chaos_recovery *f = c->recovery;
    char missing[256] = "";
    uint64_t faults = f->faults;
    cJSON *kinds = cJSON_AddObjectToObject(r->json, "faults_by_kind");
    cJSON *streams = cJSON_AddObjectToObject(r->json, "faults_by_stream");
    for (unsigned s = 0; s < CHAOS_FLOWS; s++) {
        cJSON *of = cJSON_AddObjectToObject(streams, chaos_flow_names[s]);
        for (unsigned k = CHAOS_SCRIPT_KINDS; k < CHAOS_KINDS; k++) {
            faults += c->flow_faults[s][k];
            if (chaos_kind_of_flow((enum chaos_kind)k)) {
                put(of, chaos_kind_names[k], (double)c->flow_faults[s][k]);
            }
        }
    }
    for (unsigned k = 0; k < CHAOS_KINDS; k++) {
        uint64_t sum = f->by_kind[k];
        for (unsigned s = 0; s < CHAOS_FLOWS; s++) {
            sum += c->flow_faults[s][k];
        }
        put(kinds, chaos_kind_names[k], (double)sum);
    }
    put(r->json, "faults", (double)faults);
    find_missing(c, missing);
    const bool many = c->plan->only == 0 && c->plan->seconds >= MANY_S;
    const uint64_t least = many ? (uint64_t)c->plan->seconds * MANY_A_MINUTE / 60 : 1;
    check(r, "faults_made", faults >= least && missing[0] == '\0',
          "%" PRIu64 " faults of at least %" PRIu64 ", %" PRIu64 " of them kills%s", faults, least,
          c->kills, missing);
}

static void put_quotes(struct report *r)
{
    const struct chaos_quotes *q = r->result->quotes;
    cJSON *to = cJSON_AddObjectToObject(r->json, "quotes");
    put(to, "compared_with_exchange", (double)q->checked);
    put(to, "wrong_by_exchange", (double)q->wrong);
    put(to, "unknown_to_exchange", (double)q->unknown);
    put_text(to, "first_wrong", q->first_wrong);
    check(r, "no_wrong_quote", q->wrong == 0 && q->unknown == 0 && q->checked > 0,
          "%" PRIu64 " wrong of %" PRIu64 " compared with the exchange's own %s", q->wrong,
          q->checked, q->first_wrong);
}

static void put_damaged(struct report *r)
{
    const struct chaos_damaged *d = r->result->damaged;
    if (d == NULL) {
        return;
    }
    const uint64_t judged = d->said + d->unsaid;
    const uint64_t unsaid = d->unsaid > d->suppressed ? d->unsaid - d->suppressed : 0;
    cJSON *to = cJSON_AddObjectToObject(r->json, "damaged_frames");
    put(to, "rejected", (double)d->said);
    put(to, "unsaid", (double)d->unsaid);
    put(to, "excused", (double)d->excused);
    put(to, "rejections", (double)d->rejection_count);
    put(to, "rejections_suppressed", (double)d->suppressed);
    char first[64] = "";
    if (d->unsaid > 0) {
        (void)snprintf(first, sizeof first, "; first without at %" PRId64, d->first_unsaid_ns);
    }
    check(r, "damaged_are_rejected", unsaid * UNSAID_ONE_OF <= judged && d->forgotten == 0,
          "%" PRIu64 " of %" PRIu64 " damaged frames refused in the open, beside %" PRIu64
          " while who says it was killed, or their line ended%s",
          d->said, judged, d->excused, first);
}

static void put_books(struct report *r)
{
    const struct chaos_result *c = r->result;
    uint64_t wrong = c->books_wrong, digests = 0;
    const char *first = c->first_wrong;
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        wrong += chaos_ledger_wrong(c->ledgers[i]);
        digests += chaos_ledger_right(c->ledgers[i]);
        for (unsigned s = 0; s < c->ledgers[i]->symbols && first[0] == '\0'; s++) {
            first = mlt_follow_wrong(c->ledgers[i]->instruments[s].follow);
        }
    }
    put(r->json, "wrong_live_books", (double)wrong);
    cJSON *to = cJSON_AddObjectToObject(r->json, "books");
    put(to, "compared_with_exchange", (double)c->books_checked);
    put(to, "wrong_by_exchange", (double)c->books_wrong);
    put(to, "not_compared", (double)c->books_skipped);
    put(to, "unknown_to_exchange", (double)c->books_unknown);
    put(to, "right_by_digest", (double)digests);
    put_text(to, "first_wrong", first);
    check(r, "no_wrong_book", wrong == 0 && c->books_checked > 0 && c->books_unknown == 0,
          "%" PRIu64 " wrong; %" PRIu64 " compared with the exchange's own, %" PRIu64
          " right by digest %s",
          wrong, c->books_checked, digests, first);
}

static const char repeats_are[] =
    "Events that came once more with the (epoch, sequence) and the key that they had, as after a "
    "kill of the Data Bus, which sends again what nobody acknowledged: a consumer ignores what is "
    "not above the last number, so they are no duplicates.";

static void put_ledgers(struct report *r)
{
    const struct chaos_result *c = r->result;
    uint64_t events = 0, silent = 0, duplicates = 0, repeats = 0, foreign = 0, given_up = 0;
    uint64_t named[CHAOS_NAMINGS] = { 0 }, statuses[MLT_STATUS_UNFILLABLE + 1] = { 0 };
    uint64_t filled = 0, least = UINT64_MAX;
    uint64_t disorders = 0;
    const char *first_silent = "", *first_duplicate = "", *first_disorder = "";
    bool failed = false;
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        const struct chaos_ledger *l = c->ledgers[i];
        events += l->events;
        least = l->events < least ? l->events : least;
        silent += l->silent_holes;
        duplicates += l->duplicates;
        repeats += l->repeats;
        disorders += l->disorders;
        foreign += l->foreign;
        filled += l->filled;
        given_up += l->given_up;
        failed = failed || l->failure != MLT_OK;
        for (unsigned n = 0; n < CHAOS_NAMINGS; n++) {
            named[n] += l->named[n];
        }
        for (unsigned k = 1; k <= MLT_STATUS_UNFILLABLE; k++) {
            statuses[k] += l->by_status[k];
        }
        first_silent = first_silent[0] == '\0' ? l->first_silent : first_silent;
        first_duplicate = first_duplicate[0] == '\0' ? l->first_duplicate : first_duplicate;
        first_disorder = first_disorder[0] == '\0' ? l->first_disorder : first_disorder;
    }
    put(r->json, "events", (double)events);
    put(r->json, "silent_holes", (double)silent);
    put_text(r->json, "first_silent_hole", first_silent);
    cJSON *to = cJSON_AddObjectToObject(r->json, "named_holes");
    for (unsigned n = 0; n < CHAOS_NAMINGS; n++) {
        put(to, chaos_naming_names[n], (double)named[n]);
    }
    to = cJSON_AddObjectToObject(r->json, "statuses");
    for (int k = 1; k <= MLT_STATUS_UNFILLABLE; k++) {
        put(to, mlt_status_kind_word(k), (double)statuses[k]);
    }
    put(r->json, "trades_filled_in", (double)filled);
    put(r->json, "duplicates", (double)duplicates);
    put_text(r->json, "first_duplicate", first_duplicate);
    put(r->json, "repeats", (double)repeats);
    put_text(r->json, "repeats_are", repeats_are);
    put(r->json, "disorders", (double)disorders);
    put_text(r->json, "first_disorder", first_disorder);
    check(r, "no_silent_hole", silent == 0 && given_up == 0 && least > 0,
          "%" PRIu64 " silent in %" PRIu64 " events of three consumers, %" PRIu64
          " missing ranges not followed to their end %s",
          silent, events, given_up, first_silent);
    check(r, "no_duplicate", duplicates == 0, "%" PRIu64 ", beside %" PRIu64 " repeats %s",
          duplicates, repeats, first_duplicate);
    check(r, "no_disorder", disorders == 0, "%" PRIu64 " %s", disorders, first_disorder);
    check(r, "consumers_kept_up", c->dropped_here == 0 && foreign == 0 && !failed,
          "%" PRIu64 " dropped here, %" PRIu64 " foreign", c->dropped_here, foreign);
}

static void put_recovery(struct report *r)
{
    const struct chaos_result *c = r->result;
    const struct mlt_latency *took = &c->recovery->took;
    cJSON *to = cJSON_AddObjectToObject(r->json, "recovery_ms");
    put(to, "p50", ms(mlt_latency_at(took, 500)));
    put(to, "p99", ms(mlt_latency_at(took, 990)));
    put(to, "max", ms(took->max_ns));
    put(to, "count", (double)took->count);
    put(to, "unrecovered", (double)(c->unrecovered + c->recovery->forgotten));
    put_text(to, "slowest", c->recovery->slowest);
    cJSON *kinds = cJSON_AddObjectToObject(to, "by_kind");
    for (unsigned k = 0; k < CHAOS_KINDS; k++) {
        const struct mlt_latency *l = &c->recovery->took_by_kind[k];
        if (l->count > 0) {
            cJSON *one = cJSON_AddObjectToObject(kinds, chaos_kind_names[k]);
            put(one, "p50", ms(mlt_latency_at(l, 500)));
            put(one, "max", ms(l->max_ns));
            put(one, "count", (double)l->count);
        }
    }
    cJSON *noticed = cJSON_AddObjectToObject(r->json, "noticed_ms");
    for (unsigned k = 0; k < CHAOS_SCRIPT_KINDS; k++) {
        const struct mlt_latency *l = &c->noticed[k];
        if (l->count > 0) {
            cJSON *one = cJSON_AddObjectToObject(noticed, chaos_kind_names[k]);
            put(one, "p50", ms(mlt_latency_at(l, 500)));
            put(one, "max", ms(l->max_ns));
            put(one, "count", (double)l->count);
        }
    }
    check(r, "recovered", c->unrecovered == 0 && c->recovery->forgotten == 0 && took->count > 0,
          "%" PRIu64 " faults recovered from, %u not", took->count, c->unrecovered);
    check(r, "recovery_in_time",
          mlt_latency_at(took, 990) <= (int64_t)c->plan->recovery_ms * MLT_NS_PER_MS,
          "p99 %.0f ms of %u, p50 %.0f, max %.0f (%s)", ms(mlt_latency_at(took, 990)),
          c->plan->recovery_ms, ms(mlt_latency_at(took, 500)), ms(took->max_ns),
          c->recovery->slowest);
}

static void put_exchange(struct report *r)
{
    const struct chaos_result *c = r->result;
    put(r->json, "subscriptions", (double)c->subscriptions);
    put(r->json, "lost_subscriptions", (double)c->lost_subscriptions);
    put_text(r->json, "first_lost_subscription", c->first_lost_subscription);
    cJSON *commands = cJSON_AddObjectToObject(r->json, "commands");
    put(commands, "confirmed", (double)c->commands);
    put(commands, "refused_by_exchange", (double)c->commands_refused);
    put(commands, "failed", (double)c->commands_failed);
    put_text(commands, "first_failed", c->first_failed_command);
    const double per_second = c->seconds > 0 ? (double)c->frames / c->seconds : 0;
    cJSON *exchange = cJSON_AddObjectToObject(r->json, "exchange");
    put(exchange, "frames", (double)c->frames);
    put(exchange, "frames_per_second", round(per_second));
    put(exchange, "frames_sent", (double)c->frames_sent);
    put(exchange, "line_life_seconds", CHAOS_LINE_LIFE_S);
    put(exchange, "rollovers", (double)c->rollovers);
    put(r->json, "connect_attempts_max_5min", (double)c->connect_attempts);
    put(r->json, "connect_refused", (double)c->connect_refused);
    put(r->json, "weight_max", (double)c->weight_peak);
    put(r->json, "weight_budget", (double)c->weight_budget);
    put(r->json, "rest_refused", (double)c->rest_refused);
    check(r, "under_load", per_second >= RATE_PART * c->plan->rate && c->frames_sent > 0,
          "%.0f frames a second of %u, %" PRId64 " of %" PRId64 " sent on lines", per_second,
          c->plan->rate, c->frames_sent, c->frames);
    check(r, "rolled_over",
          c->rollovers > 0 || c->plan->only != 0 || c->plan->seconds < EVERY_KIND_S,
          "%" PRIu64 " lines replaced at their day's end, which comes each %d s", c->rollovers,
          CHAOS_LINE_LIFE_S);
    check(r, "no_lost_subscription", c->lost_subscriptions == 0 && c->subscriptions > 0,
          "%" PRIu64 " of %" PRIu64 " %s", c->lost_subscriptions, c->subscriptions,
          c->first_lost_subscription);
    check(r, "commands_carried_out", c->commands_failed == 0 && c->commands > 0,
          "%" PRIu64 " confirmed, %" PRIu64 " failed %.300s", c->commands, c->commands_failed,
          c->first_failed_command);
    check(r, "no_connect_storm",
          c->connect_attempts > 0 && c->connect_attempts <= CONNECT_ATTEMPTS_MAX &&
              c->connect_refused == 0,
          "at most %" PRId64 " of %d in 5 minutes, %" PRId64 " refused", c->connect_attempts,
          CONNECT_ATTEMPTS_MAX, c->connect_refused);
    check(r, "within_weight",
          c->weight_peak > 0 && c->weight_peak <= c->weight_budget &&
              c->weight_peak <= (int64_t)c->plan->weight_limit && c->rest_refused == 0,
          "at most %" PRId64 " in a minute, of the budget's %" PRId64
          " and the exchange's %u; %" PRId64 " refused",
          c->weight_peak, c->weight_budget, c->plan->weight_limit, c->rest_refused);
}

static void put_ends(struct report *r)
{
    const struct chaos_result *c = r->result;
    cJSON *to = cJSON_AddObjectToObject(r->json, "ends");
    put(to, "ended_unasked", (double)c->ended_unasked);
    put(to, "bad_exit_status", (double)c->bad_exits);
    put_text(to, "first", c->first_bad_end);
    put(to, "error_lines", (double)c->error_lines);
    put_text(to, "first_error_line", c->first_error);
    check(r, "no_crash", c->ended_unasked == 0 && c->bad_exits == 0,
          "%" PRIu64 " ended unasked, %" PRIu64 " with another status than 0 %s", c->ended_unasked,
          c->bad_exits, c->first_bad_end);
    cJSON *takeovers = cJSON_AddObjectToObject(r->json, "adapter_takeovers");
    put(takeovers, "covered", (double)c->takeovers_covered);
    put(takeovers, "told", (double)c->takeovers_told);
    check(r, "covered_is_silent", c->takeovers_lost == 0,
          "%" PRIu64 " partitions taken from killed Adapters, %" PRIu64
          " of them covered; LOST of those that were: %" PRIu64,
          c->takeovers_covered + c->takeovers_told, c->takeovers_covered, c->takeovers_lost);
    check(r, "owners_came_back", c->not_home == 0, "%" PRIu64 " replicas without their own",
          c->not_home);
}

cJSON *chaos_report_make(const struct chaos_result *result, bool *passed)
{
    struct report r = { .result = result,
                        .json = cJSON_CreateObject(),
                        .checks = cJSON_CreateArray(),
                        .passed = true };
    put_run(&r);
    put_faults(&r);
    put_books(&r);
    put_quotes(&r);
    put_damaged(&r);
    put_ledgers(&r);
    put_recovery(&r);
    put_exchange(&r);
    put_ends(&r);
    (void)cJSON_AddItemToObject(r.json, "checks", r.checks);
    (void)cJSON_AddBoolToObject(r.json, "passed", r.passed);
    *passed = r.passed;
    return r.json;
}

/* ---- files ---- */

static const cJSON *member(const cJSON *of, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(of, name);
}

static double number(const cJSON *of, const char *name)
{
    return member(of, name)->valuedouble;
}

static void say_checks(const cJSON *json)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, member(json, "checks"))
    {
        (void)printf("%-4s  %-22s %s\n", cJSON_IsTrue(member(one, "pass")) ? "ok" : "FAIL",
                     member(one, "check")->valuestring, member(one, "measured")->valuestring);
    }
}

/* What of them befell trades and quotes. */
static void write_streams(FILE *to, const cJSON *json)
{
    const cJSON *of, *one, *streams = member(json, "faults_by_stream");
    (void)fprintf(to, "\n## Of them, frames of trades and quotes\n\n| stream | kind | number |"
                      "\n|---|---|---|\n");
    cJSON_ArrayForEach(of, streams)
    {
        cJSON_ArrayForEach(one, of)
        {
            (void)fprintf(to, "| %s | %s | %.0f |\n", of->string, one->string, one->valuedouble);
        }
    }
}

static bool write_markdown(const char *path, const cJSON *json)
{
    FILE *to = fopen(path, "w");
    const cJSON *one, *recovery = member(json, "recovery_ms"), *kinds = member(recovery, "by_kind");
    if (to == NULL) {
        return false;
    }
    (void)fprintf(to,
                  "# Chaos of %s\n\nGenerated by `./dev chaos --seed %s` at commit %s; "
                  "docs/chaos.md says what "
                  "the fields mean.\n\n%s: %.0f faults in %.0f s, %.0f wrong books, %.0f silent "
                  "holes, %.0f duplicates, %.0f lost subscriptions, recovery p99 %.0f ms.\n\n"
                  "Beside the duplicates: %.0f repeats. %s\n\n",
                  member(json, "began")->valuestring, member(json, "seed")->valuestring,
                  member(json, "commit")->valuestring,
                  cJSON_IsTrue(member(json, "passed")) ? "Passed" : "**Failed**",
                  number(json, "faults"), number(json, "seconds"), number(json, "wrong_live_books"),
                  number(json, "silent_holes"), number(json, "duplicates"),
                  number(json, "lost_subscriptions"), number(recovery, "p99"),
                  number(json, "repeats"), member(json, "repeats_are")->valuestring);
    (void)fprintf(to, "## Checks\n\n| check | | measured |\n|---|---|---|\n");
    cJSON_ArrayForEach(one, member(json, "checks"))
    {
        (void)fprintf(to, "| `%s` | %s | %s |\n", member(one, "check")->valuestring,
                      cJSON_IsTrue(member(one, "pass")) ? "ok" : "**FAIL**",
                      member(one, "measured")->valuestring);
    }
    (void)fprintf(to, "\n## Faults\n\n| kind | number | noticed max ms | recovery p50 ms | max ms |"
                      "\n|---|---|---|---|---|\n");
    cJSON_ArrayForEach(one, member(json, "faults_by_kind"))
    {
        const cJSON *took = member(kinds, one->string);
        const cJSON *noticed = member(member(json, "noticed_ms"), one->string);
        char since[24] = "";
        if (noticed != NULL) {
            (void)snprintf(since, sizeof since, "%.0f", number(noticed, "max"));
        }
        (void)fprintf(to, "| %s | %.0f | %s | %.0f | %.0f |\n", one->string, one->valuedouble,
                      since, took != NULL ? number(took, "p50") : 0,
                      took != NULL ? number(took, "max") : 0);
    }
    write_streams(to, json);
    return fclose(to) == 0;
}

static bool write_files(const char *path, const cJSON *json)
{
    char beside[1024];
    const size_t len = strlen(path);
    const bool ends = len > 5 && strcmp(path + len - 5, ".json") == 0;
    (void)snprintf(beside, sizeof beside, "%.*s.md", (int)(ends ? len - 5 : len), path);
    char *text = cJSON_Print(json);
    FILE *to = text != NULL ? fopen(path, "w") : NULL;
    bool written = to != NULL && fprintf(to, "%s\n", text) > 0;
    written = to != NULL && fclose(to) == 0 && written;
    cJSON_free(text);
    written = written && write_markdown(beside, json);
    (void)printf("%s: %s, %s\n", written ? "written" : "cannot be written", path, beside);
    return written;
}

int chaos_report(const struct chaos_result *result)
{
    bool passed = false;
    cJSON *json = chaos_report_make(result, &passed);
    say_checks(json);
    const bool written = write_files(result->plan->report, json);
    cJSON_Delete(json);
    return !written ? 2 : passed ? 0 : 1;
}
