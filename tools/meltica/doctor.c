/* meltica doctor: looks at an installation from outside, and says what to do. */
#include "doctor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "authority.h"
#include "commands.h"
#include "meltica/base/clock.h"
#include "plain.h"

#define JSON_BYTES_MAX (256u << 10)
#define CLOCK_WARN_NS (100 * MLT_NS_PER_MS)
#define CLOCK_FAIL_NS MLT_NS_PER_S

static const char *const words[MLT_VERDICT_COUNT] = { "ok", "warn", "fail", "unknown" };

void mlt_doctor_say(struct mlt_doctor *d, enum mlt_verdict verdict, const char *check,
                    const char *format, ...)
{
    /* The last place is never given up: it would hide that there was no room. */
    struct mlt_finding *f =
        &d->findings[d->count < MLT_DOCTOR_FINDINGS_MAX ? d->count : MLT_DOCTOR_FINDINGS_MAX - 1];
    va_list arguments;
    va_start(arguments, format);
    f->verdict = verdict;
    f->advice[0] = '\0';
    (void)snprintf(f->check, sizeof f->check, "%s", check);
    (void)vsnprintf(f->found, sizeof f->found, format, arguments);
    va_end(arguments);
    mlt_tool_plain(f->found);
    d->count += d->count < MLT_DOCTOR_FINDINGS_MAX;
}

void mlt_doctor_advise(struct mlt_doctor *d, const char *format, ...)
{
    if (d->count == 0) {
        return;
    }
    struct mlt_finding *f = &d->findings[d->count - 1];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(f->advice, sizeof f->advice, format, arguments);
    va_end(arguments);
    mlt_tool_plain(f->advice);
}

void mlt_doctor_clock(struct mlt_doctor *d, const char *check, const char *whose, int64_t offset_ns,
                      int64_t half_ns, bool strict)
{
    /* What is certain of it. */
    const int64_t far = llabs(offset_ns) - half_ns;
    const enum mlt_verdict verdict = far >= CLOCK_FAIL_NS && strict ? MLT_VERDICT_FAIL
                                     : far >= CLOCK_WARN_NS         ? MLT_VERDICT_WARN
                                                                    : MLT_VERDICT_OK;
    mlt_doctor_say(d, verdict, check, "%s is %.3f ms %s this host's (+-%.3f ms)", whose,
                   (double)llabs(offset_ns) / (double)MLT_NS_PER_MS,
                   offset_ns < 0 ? "behind" : "ahead of", (double)half_ns / (double)MLT_NS_PER_MS);
    if (verdict != MLT_VERDICT_OK) {
        mlt_doctor_advise(d, "set both clocks by NTP (chronyc tracking, timedatectl): stamps and "
                             "latencies are wrong by so much");
    }
}

/* ---- all of it ---- */

static void examine(struct mlt_doctor *d)
{
    mlt_doctor_nats(d);
    mlt_doctor_rights(d);
    mlt_doctor_jetstream(d);
    mlt_doctor_ask(d); /* what is configured, too */
    mlt_doctor_stored(d);
    mlt_doctor_services(d);
    mlt_doctor_control(d);
    mlt_doctor_nats_clock(d);
    mlt_doctor_exchange(d);
}

static void count_verdicts(const struct mlt_doctor *d, unsigned counts[MLT_VERDICT_COUNT])
{
    memset(counts, 0, MLT_VERDICT_COUNT * sizeof counts[0]);
    for (size_t i = 0; i < d->count; i++) {
        counts[d->findings[i].verdict]++;
    }
}

static void print_table(const struct mlt_doctor *d)
{
    unsigned counts[MLT_VERDICT_COUNT];
    for (size_t i = 0; i < d->count; i++) {
        const struct mlt_finding *f = &d->findings[i];
        (void)printf("%-8s %-28s %s\n", words[f->verdict], f->check, f->found);
        if (f->advice[0] != '\0') {
            (void)printf("%-8s %-28s -> %s\n", "", "", f->advice);
        }
    }
    count_verdicts(d, counts);
    (void)printf("%zu checks: %u ok, %u warn, %u fail, %u unknown\n", d->count,
                 counts[MLT_VERDICT_OK], counts[MLT_VERDICT_WARN], counts[MLT_VERDICT_FAIL],
                 counts[MLT_VERDICT_UNKNOWN]);
}

static enum mlt_status put_text(struct mlt_buf *out, const char *before, const char *text)
{
    const enum mlt_status status = mlt_buf_append_string(out, before);
    return status == MLT_OK ? mlt_buf_append_json_string(out, mlt_slice_of_string(text)) : status;
}

static enum mlt_status put_json(const struct mlt_doctor *d, struct mlt_buf *out)
{
    unsigned counts[MLT_VERDICT_COUNT];
    char url[512];
    count_verdicts(d, counts);
    mlt_tool_plain_url(d->connection.bus.url, url, sizeof url);
    enum mlt_status status =
        mlt_buf_printf(out, "{\"healthy\":%s", counts[MLT_VERDICT_FAIL] == 0 ? "true" : "false");
    if (status == MLT_OK) {
        status = put_text(out, ",\"version\":", MELTICA_VERSION);
    }
    if (status == MLT_OK) {
        status = put_text(out, ",\"nats_url\":", url);
    }
    for (unsigned v = 0; status == MLT_OK && v < MLT_VERDICT_COUNT; v++) {
        status = mlt_buf_printf(out, ",\"%s\":%u", words[v], counts[v]);
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(out, ",\"checks\":[");
    }
    for (size_t i = 0; status == MLT_OK && i < d->count; i++) {
        const struct mlt_finding *f = &d->findings[i];
        status = put_text(out, i > 0 ? ",{\"check\":" : "{\"check\":", f->check);
        if (status == MLT_OK) {
            status = put_text(out, ",\"state\":", words[f->verdict]);
        }
        if (status == MLT_OK) {
            status = put_text(out, ",\"found\":", f->found);
        }
        if (status == MLT_OK) {
            status = put_text(out, ",\"advice\":", f->advice);
        }
        if (status == MLT_OK) {
            status = mlt_buf_append_string(out, "}");
        }
    }
    return status == MLT_OK ? mlt_buf_append_string(out, "]}\n") : status;
}

static int print(const struct mlt_doctor *d, bool as_json)
{
    unsigned counts[MLT_VERDICT_COUNT];
    bool printed = true;
    if (as_json) {
        struct mlt_buf out;
        mlt_buf_init(&out, JSON_BYTES_MAX);
        printed = put_json(d, &out) == MLT_OK && fwrite(out.data, 1, out.len, stdout) == out.len;
        mlt_buf_fini(&out);
    } else {
        print_table(d);
    }
    count_verdicts(d, counts);
    return fflush(stdout) == 0 && printed && counts[MLT_VERDICT_FAIL] == 0 ? 0 : 1;
}

static int usage(FILE *to, int status)
{
    (void)fprintf(
        to,
        "usage: meltica doctor [--rest-url URL] [--as PRINCIPAL] [--json]\n       %s\n"
        "Looks at an installation and changes nothing: NATS and its version, what this user may "
        "do, JetStream, every\nstream and bucket beside what the services make, the five services "
        "and whether their versions agree, the\ncontrol table, the clocks, and the exchange. Each "
        "check is ok, warn, fail or unknown, and says what to do.\n"
        "  --rest-url URL    REST host of the exchange, as the Adapter has it (MELTICA_REST_URL); "
        "without it the exchange\n                    and its clock stay unknown\n"
        "  --as PRINCIPAL    asks the Control Bus as that principal (docs/control.md)\n"
        "  --json            one JSON object\n"
        "Exit status: 0 no check failed (warn and unknown are none), 1 some did, 2 wrong usage.\n",
        MLT_TOOL_CONNECTION_USAGE);
    return status;
}

static bool read_arguments(struct mlt_doctor *d, bool *as_json, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool wrong = false;
        if (mlt_tool_connection_option(&d->connection, argc, argv, &i, &wrong)) {
            continue;
        }
        const bool value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0) {
            *as_json = true;
        } else if (strcmp(argv[i], "--rest-url") == 0 && value) {
            d->rest_url = argv[++i];
        } else if (strcmp(argv[i], "--as") == 0 && value) {
            d->as = argv[++i];
            wrong = !mlt_principal_valid(d->as);
        } else {
            wrong = true;
        }
        if (wrong) {
            return false;
        }
    }
    return d->rest_url == NULL || strncmp(d->rest_url, "http://", 7) == 0 ||
           strncmp(d->rest_url, "https://", 8) == 0;
}

int mlt_command_doctor(int argc, char **argv)
{
    bool as_json = false;
    if (mlt_tool_help(argc, argv)) {
        return usage(stdout, 0);
    }
    struct mlt_doctor *d = calloc(1, sizeof *d);
    if (d == NULL) {
        (void)fprintf(stderr, "meltica doctor: no memory\n");
        return 1;
    }
    const char *rest_url = getenv("MELTICA_REST_URL");
    mlt_tool_connection_init(&d->connection);
    d->rest_url = rest_url != NULL && rest_url[0] != '\0' ? rest_url : NULL;
    if (!read_arguments(d, &as_json, argc, argv)) {
        free(d);
        return usage(stderr, 2);
    }
    struct mlt_error err = MLT_ERROR_INIT;
    d->bus = mlt_tool_try_connect(&d->connection, "doctor", d->why_away, sizeof d->why_away);
    if (d->bus != NULL && mlt_store_create(d->bus, 0, &d->store, &err) != MLT_OK) {
        (void)fprintf(stderr, "meltica doctor: %s\n", err.text);
    }
    examine(d);
    const int result = print(d, as_json);
    mlt_store_destroy(d->store);
    mlt_bus_destroy(d->bus, 0);
    free(d);
    return result;
}
