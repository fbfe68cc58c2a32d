#include "mlt_test.h"

#include "steer_check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"

#define ANSWERS_MAX 65536u

/* ---- answers, as anybody sees them on the wire ---- */

static struct {
    pthread_mutex_t lock;
    uint64_t inboxes[ANSWERS_MAX]; /* open addressing, 0: free */
    uint64_t count, twice;
} wire = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_answer(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    static const char head[] = "{\"status\":\"";
    if (message->payload.len < sizeof head - 1 ||
        memcmp(message->payload.data, head, sizeof head - 1) != 0) {
        return; /* not of the Control Bus */
    }
    const uint64_t hash = mlt_fnv1a64(MLT_FNV1A64_INIT, mlt_slice_of_string(message->subject)) | 1;
    (void)pthread_mutex_lock(&wire.lock);
    size_t at = hash % ANSWERS_MAX;
    while (wire.inboxes[at] != 0 && wire.inboxes[at] != hash) {
        at = (at + 1) % ANSWERS_MAX;
    }
    wire.twice += wire.inboxes[at] == hash;
    wire.count += wire.inboxes[at] == 0;
    wire.inboxes[at] = hash;
    (void)pthread_mutex_unlock(&wire.lock);
}

struct mlt_bus_subscription *steer_tap(struct rig *rig)
{
    struct mlt_bus_subscription *tap = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_subscribe_options inboxes = { .subject = "_INBOX.>" };
    memset(wire.inboxes, 0, sizeof wire.inboxes);
    wire.count = wire.twice = 0;
    assert_int_equal(mlt_bus_subscribe(rig->client, &inboxes, on_answer, NULL, &tap, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(rig->client) >= 0);
    return tap;
}

void steer_answers(uint64_t *once, uint64_t *twice)
{
    (void)pthread_mutex_lock(&wire.lock);
    *once = wire.count;
    *twice = wire.twice;
    (void)pthread_mutex_unlock(&wire.lock);
}

/* ---- audit ---- */

static int64_t audited(struct rig *rig, const char *outcomes[], size_t count)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    int64_t sum = 0;
    mlt_buf_init(&bytes, 1u << 20);
    const enum mlt_status status =
        mlt_bus_request(rig->client, "$JS.API.STREAM.INFO.MELTICA_AUDIT",
                        mlt_slice_of_string("{\"subjects_filter\":\"meltica.int.audit.>\"}"),
                        5 * MLT_NS_PER_S, &bytes, &err);
    cJSON *tree = status == MLT_OK && bytes.len > 0
                      ? cJSON_ParseWithLength((const char *)bytes.data, bytes.len)
                      : NULL;
    mlt_buf_fini(&bytes);
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(tree, "state");
    const cJSON *subjects = cJSON_GetObjectItemCaseSensitive(state, "subjects");
    for (size_t i = 0; i < count; i++) {
        char subject[64];
        (void)snprintf(subject, sizeof subject, "meltica.int.audit.%s", outcomes[i]);
        const int n = rig_number(subjects, subject);
        sum += n > 0 ? n : 0;
    }
    sum = state != NULL ? sum : -1;
    cJSON_Delete(tree);
    return sum;
}

int64_t steer_commands_audited(struct rig *rig)
{
    static const char *outcomes[] = { "confirmed", "pending", "failed", "rejected" };
    return audited(rig, outcomes, 4);
}

int64_t steer_leases_audited(struct rig *rig)
{
    static const char *outcomes[] = { "expired" };
    return audited(rig, outcomes, 1);
}

/* ---- one command ---- */

/* What is left of a lease is told by one clock and kept by another. */
static bool same_lease(int64_t a_ns, int64_t b_ns)
{
    return (a_ns == 0) == (b_ns == 0) && llabs(a_ns - b_ns) < MLT_NS_PER_S;
}

bool steer_answer_right(const struct model_command *c, const struct said *s, char *why)
{
    (void)snprintf(why, 200, "must be %d %s, unchanged %d", c->code, c->field, c->unchanged);
    if (c->code != 0) {
        return s->refused && rig_number(s->json, "code") == c->code &&
               strcmp(rig_text(s->json, "field"), c->field) == 0;
    }
    const bool unchanged = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(s->json, "unchanged"));
    const int64_t lease_ns = strtoll(rig_text(s->json, "lease_end_ns"), NULL, 10);
    return !s->refused && strcmp(rig_text(s->json, "status"), "CONFIRMED") == 0 &&
           s->took_ns < RIG_LATE_NS && unchanged == c->unchanged &&
           (c->lease_end_ns == MODEL_LEASE_LEARN || same_lease(c->lease_end_ns, lease_ns));
}

void steer_check_answer(const struct model_command *c, const struct said *s)
{
    char why[200], what[800];
    if (!steer_answer_right(c, s, why)) {
        (void)snprintf(what, sizeof what, "%s %s %s (%s)", c->principal, c->verb, c->body, why);
        rig_fail(s, what);
    }
}

void steer_keep_lease(struct model_command *command, const cJSON *answer)
{
    if (command->code == 0 && command->lease_end_ns == MODEL_LEASE_LEARN) {
        command->lease_end_ns = strtoll(rig_text(answer, "lease_end_ns"), NULL, 10);
    }
}

/* ---- the exchange ---- */

struct settling {
    struct model *model;
    char why[128];
};

static bool settled(struct rig *rig, void *ctx)
{
    struct settling *s = ctx;
    return model_native(s->model, rig, true, s->why, sizeof s->why);
}

void steer_settle(struct model *model, struct rig *rig, int seconds)
{
    struct settling s = { .model = model };
    if (!rig_until(settled, rig, &s, seconds)) {
        fail_msg("the exchange has something else: %s", s.why);
    }
}

unsigned steer_commands(unsigned otherwise)
{
    const char *given = getenv("MELTICA_TEST_COMMANDS");
    return given != NULL ? (unsigned)strtoul(given, NULL, 10) : otherwise;
}
