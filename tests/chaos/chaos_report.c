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

static void put_faults(struct report *r)
{
    const struct chaos_recovery *f = r->result->recovery;
    put(r->json, "faults", (double)f->faults);
    cJSON *kinds = cJSON_AddObjectToObject(r->json, "faults_by_kind");
    bool each = true;
    for (unsigned k = 0; k < CHAOS_KINDS; k++) {
        put(kinds, chaos_kind_names[k], (double)f->by_kind[k]);
        each = each && (k >= CHAOS_SCRIPT_KINDS || f->by_kind[k] > 0);
    }
    check(r, "faults_made",
          f->faults > 0 &&
              (each || r->result->plan->only != 0 || r->result->plan->seconds < EVERY_KIND_S),
          "%" PRIu64 " faults, %" PRIu64 " of them kills", f->faults, r->result->kills);
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

static void put_ledgers(struct report *r)
{
    const struct chaos_result *c = r->result;
    uint64_t events = 0, silent = 0, duplicates = 0, repeats = 0, foreign = 0, given_up = 0;
    uint64_t named[CHAOS_NAMINGS] = { 0 }, statuses[MLT_STATUS_UNFILLABLE + 1] = { 0 };
    uint64_t filled = 0, least = UINT64_MAX;
    const char *first_silent = "", *first_duplicate = "";
    bool failed = false;
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        const struct chaos_ledger *l = c->ledgers[i];
        events += l->events;
        least = l->events < least ? l->events : least;
        silent += l->silent_holes;
        duplicates += l->duplicates;
        repeats += l->repeats;
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
    check(r, "no_silent_hole", silent == 0 && given_up == 0 && least > 0,
          "%" PRIu64 " silent in %" PRIu64 " events of three consumers %s", silent, events,
          first_silent);
    check(r, "no_duplicate", duplicates == 0, "%" PRIu64 " %s", duplicates, first_duplicate);
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
          c->weight_peak > 0 && c->weight_peak <= (int64_t)c->plan->weight_limit &&
              c->rest_refused == 0,
          "at most %" PRId64 " of %u in a minute, %" PRId64 " refused", c->weight_peak,
          c->plan->weight_limit, c->rest_refused);
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
                  "holes, %.0f duplicates, %.0f lost subscriptions, recovery p99 %.0f ms.\n\n",
                  member(json, "began")->valuestring, member(json, "seed")->valuestring,
                  member(json, "commit")->valuestring,
                  cJSON_IsTrue(member(json, "passed")) ? "Passed" : "**Failed**",
                  number(json, "faults"), number(json, "seconds"), number(json, "wrong_live_books"),
                  number(json, "silent_holes"), number(json, "duplicates"),
                  number(json, "lost_subscriptions"), number(recovery, "p99"));
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
