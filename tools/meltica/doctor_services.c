/* What doctor looks at in the services. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "doctor.h"
#include "meltica/base/clock.h"

#define ANSWER_NS (3 * MLT_NS_PER_S)
#define ANSWER_BYTES_MAX (1u << 20)

static const char *why_not(const struct mlt_doctor *d)
{
    return d->bus == NULL ? "NATS is away" : "this user may not ask";
}

/* ---- the five ---- */

struct instances {
    size_t count, ready, untold;
    const struct mlt_inside_service *first, *unready;
    char names[160];
};

static struct instances instances_of(const struct mlt_inside *inside, const char *name)
{
    struct instances found = { 0 };
    for (size_t i = 0; i < inside->count; i++) {
        const struct mlt_inside_service *s = &inside->services[i];
        if (strcmp(s->name, name) != 0) {
            continue;
        }
        const size_t used = strlen(found.names);
        (void)snprintf(found.names + used, sizeof found.names - used, "%s%s", used > 0 ? ", " : "",
                       s->instance[0] != '\0' ? s->instance : s->id);
        found.count++;
        found.ready += s->told && s->ready;
        found.untold += !s->told;
        found.first = found.first == NULL ? s : found.first;
        found.unready = s->told && !s->ready ? s : found.unready;
    }
    return found;
}

static void say_service(struct mlt_doctor *d, const char *name)
{
    char check[48];
    (void)snprintf(check, sizeof check, "service %s", name + sizeof "meltica-" - 1);
    if (!d->asked) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, check, "%s", why_not(d));
        return;
    }
    const struct instances found = instances_of(&d->inside, name);
    if (found.count == 0) {
        mlt_doctor_say(d, MLT_VERDICT_FAIL, check, "nobody answers as %s", name);
        mlt_doctor_advise(d,
                          "start it, or see its log and /readyz when it runs: it must reach this "
                          "NATS server and account");
    } else if (found.unready != NULL) {
        mlt_doctor_say(d, MLT_VERDICT_WARN, check, "%s: %zu of %zu ready; %s lacks: %s",
                       found.names, found.ready, found.count, found.unready->instance,
                       found.unready->missing);
        mlt_doctor_advise(d, "see its log; docs/operations.md says what each word means");
    } else if (found.untold > 0) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, check, "%s, version %s, does not say how it is",
                       found.names, found.first->version);
        mlt_doctor_advise(d, "update it, or see its /readyz");
    } else {
        mlt_doctor_say(d, MLT_VERDICT_OK, check, "%s ready, version %s", found.names,
                       found.first->version);
    }
}

static void say_versions(struct mlt_doctor *d)
{
    char found[300] = "";
    bool agree = true, ours = true;
    for (size_t i = 0; i < d->inside.count; i++) {
        const struct mlt_inside_service *s = &d->inside.services[i];
        const size_t used = strlen(found);
        agree = agree && strcmp(s->version, d->inside.services[0].version) == 0;
        ours = ours && strcmp(s->version, MELTICA_VERSION) == 0;
        (void)snprintf(found + used, sizeof found - used, "%s%s %s", used > 0 ? ", " : "",
                       s->instance[0] != '\0' ? s->instance : s->name, s->version);
    }
    if (!d->asked || d->inside.count == 0) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "versions", "%s",
                       d->asked ? "no service answers" : why_not(d));
    } else if (!agree) {
        mlt_doctor_say(d, MLT_VERDICT_FAIL, "versions", "%s", found);
        mlt_doctor_advise(d, "run one version everywhere: what services say to each other is only "
                             "the same within one");
    } else if (!ours) {
        mlt_doctor_say(d, MLT_VERDICT_WARN, "versions", "all services %s, this tool %s",
                       d->inside.services[0].version, MELTICA_VERSION);
        mlt_doctor_advise(d, "use the tool of the same version");
    } else {
        mlt_doctor_say(d, MLT_VERDICT_OK, "versions", "all services and this tool %s",
                       MELTICA_VERSION);
    }
}

static void say_partitions(struct mlt_doctor *d)
{
    const struct mlt_inside *inside = &d->inside;
    bool agree = true;
    for (size_t i = 1; i < inside->count; i++) {
        agree = agree && inside->services[i].partitions == inside->services[0].partitions;
    }
    if (!d->asked || inside->count == 0) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "partitions", "%s",
                       d->asked ? "no service answers" : why_not(d));
    } else if (!agree) {
        mlt_doctor_say(d, MLT_VERDICT_FAIL, "partitions",
                       "services have different numbers of them");
        mlt_doctor_advise(d, "give every service the same --partitions: instruments are looked for "
                             "where nobody sends them");
    } else {
        mlt_doctor_say(d, MLT_VERDICT_OK, "partitions", "%" PRId64 " everywhere",
                       inside->services[0].partitions);
    }
}

static bool makes_streams(const char *name)
{
    bool makes = false;
    for (size_t i = 0; i < MLT_STORED_COUNT; i++) {
        makes = makes || (!mlt_stored[i].optional && strcmp(mlt_stored[i].maker, name) == 0);
    }
    return makes;
}

/* Of those that make something: whoever is restarted first would decide. */
static void say_replicas(struct mlt_doctor *d)
{
    static const char check[] = "stream replicas";
    int64_t first = MLT_INSIDE_UNKNOWN;
    bool agree = true;
    for (size_t i = 0; i < d->inside.count; i++) {
        const struct mlt_inside_service *s = &d->inside.services[i];
        if (makes_streams(s->name) && s->stream_replicas != MLT_INSIDE_UNKNOWN) {
            agree = agree && (first == MLT_INSIDE_UNKNOWN || first == s->stream_replicas);
            first = s->stream_replicas;
        }
    }
    if (first == MLT_INSIDE_UNKNOWN) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, check, "%s",
                       d->asked ? "no service tells how many it makes" : why_not(d));
    } else if (!agree) {
        mlt_doctor_say(d, MLT_VERDICT_WARN, check, "services would make different numbers of them");
        mlt_doctor_advise(d, "give every service the same --stream-replicas and --provision");
    } else if (first == 0) {
        mlt_doctor_say(d, MLT_VERDICT_OK, check, "yours: provision is external");
    } else {
        mlt_doctor_say(d, MLT_VERDICT_OK, check, "%" PRId64 " of what services make", first);
    }
}

/* The one that is farthest away counts. */
static void say_clocks(struct mlt_doctor *d)
{
    const struct mlt_inside_service *worst = NULL;
    for (size_t i = 0; i < d->inside.count; i++) {
        const struct mlt_inside_service *s = &d->inside.services[i];
        if (s->has_clock && (worst == NULL || llabs(s->clock_ns) - s->half_ns >
                                                  llabs(worst->clock_ns) - worst->half_ns)) {
            worst = s;
        }
    }
    if (worst == NULL) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "clocks of services", "%s",
                       d->asked ? "no service tells its time" : why_not(d));
        return;
    }
    char whose[96];
    (void)snprintf(whose, sizeof whose, "the farthest, %s,", worst->instance);
    mlt_doctor_clock(d, "clocks of services", whose, worst->clock_ns, worst->half_ns, true);
}

void mlt_doctor_ask(struct mlt_doctor *d)
{
    struct mlt_error err = MLT_ERROR_INIT;
    d->asked = d->bus != NULL && !d->denied[MLT_RIGHT_MICRO] && !d->denied[MLT_RIGHT_INBOX];
    if (d->asked && mlt_inside_ask(d->bus, &d->inside, &err) != MLT_OK) {
        d->inside.count = 0; /* that nobody is there is said of each */
    }
}

void mlt_doctor_services(struct mlt_doctor *d)
{
    for (size_t i = 0; i < MLT_INSIDE_NAMES; i++) {
        say_service(d, mlt_inside_names[i]);
    }
    say_versions(d);
    say_partitions(d);
    say_replicas(d);
    say_clocks(d);
}

/* ---- control table ---- */

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(m) ? m->valuestring : "";
}

static void say_table(struct mlt_doctor *d, const cJSON *answer, const struct mlt_error *err)
{
    static const char check[] = "control table";
    const cJSON *total = cJSON_GetObjectItemCaseSensitive(answer, "total");
    if (cJSON_IsNumber(total)) {
        mlt_doctor_say(d, MLT_VERDICT_OK, check,
                       "readable, %d live subscriptions of this principal", total->valueint);
        return;
    }
    if (answer == NULL) {
        mlt_doctor_say(d, MLT_VERDICT_FAIL, check, "%s", err->text);
        mlt_doctor_advise(d, "start meltica-control-bus");
        return;
    }
    mlt_doctor_say(d, MLT_VERDICT_FAIL, check, "refused: %s", text_of(answer, "message"));
    if (err->code == 401 || err->code == 403) {
        mlt_doctor_advise(d, "ask with --as as a principal whose role has the verb list");
    } else {
        mlt_doctor_advise(d, "see JetStream and service dispatcher above");
    }
}

void mlt_doctor_control(struct mlt_doctor *d)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char subject[160];
    if (d->bus == NULL || d->denied[MLT_RIGHT_CONTROL] || d->denied[MLT_RIGHT_INBOX]) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "control table", "%s", why_not(d));
        return;
    }
    (void)snprintf(subject, sizeof subject, "meltica.control.%s%s%slist",
                   d->as != NULL ? "as." : "", d->as != NULL ? d->as : "",
                   d->as != NULL ? "." : "");
    mlt_buf_init(&bytes, ANSWER_BYTES_MAX);
    const enum mlt_status status = mlt_bus_request(
        d->bus, subject, mlt_slice_of_string("{\"limit\":1}"), ANSWER_NS, &bytes, &err);
    cJSON *answer = (status == MLT_OK || status == MLT_E_PROTOCOL) && bytes.len > 0
                        ? cJSON_ParseWithLength((const char *)bytes.data, bytes.len)
                        : NULL;
    say_table(d, answer, &err);
    cJSON_Delete(answer);
    mlt_buf_fini(&bytes);
}
