/*
 * Random commands of 20 consumers against a plain reference (steer_model.h): after each the list is
 * the reference's and the exchange has what it must; every request is answered once and audited.
 * Then the same with services and NATS killed meanwhile. MELTICA_TEST_COMMANDS says how many (400),
 * MELTICA_TEST_SEED repeats a run.
 */
#include "mlt_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "steer_model.h"

#define SETTLE_EACH 8u
#define KILL_EACH 8u
#define ANSWERS_MAX 65536u

static struct rig rig;
static struct model model;

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

/* ---- audit ---- */

static uint64_t audited(const char *outcomes[], size_t count)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    uint64_t sum = 0;
    mlt_buf_init(&bytes, 1u << 20);
    assert_int_equal(
        mlt_bus_request(rig.client, "$JS.API.STREAM.INFO.MELTICA_AUDIT",
                        mlt_slice_of_string("{\"subjects_filter\":\"meltica.int.audit.>\"}"),
                        5 * MLT_NS_PER_S, &bytes, &err),
        MLT_OK);
    cJSON *tree = cJSON_ParseWithLength((const char *)bytes.data, bytes.len);
    mlt_buf_fini(&bytes);
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(tree, "state");
    const cJSON *subjects = cJSON_GetObjectItemCaseSensitive(state, "subjects");
    for (size_t i = 0; i < count; i++) {
        char subject[64];
        (void)snprintf(subject, sizeof subject, "meltica.int.audit.%s", outcomes[i]);
        const int n = rig_number(subjects, subject);
        sum += n > 0 ? (uint64_t)n : 0;
    }
    cJSON_Delete(tree);
    return sum;
}

static uint64_t commands_audited(void)
{
    static const char *outcomes[] = { "confirmed", "pending", "failed", "rejected" };
    return audited(outcomes, 4);
}

static bool leases_audited(struct rig *r, void *ctx)
{
    (void)r;
    static const char *outcomes[] = { "expired" };
    return audited(outcomes, 1) == *(const uint64_t *)ctx;
}

/* ---- one command ---- */

static void check_answer(const struct model_command *c, const struct said *s)
{
    char what[700];
    (void)snprintf(what, sizeof what, "%s %s (must be %d %s, unchanged %d)", c->verb, c->body,
                   c->code, c->field, c->unchanged);
    if (c->code != 0) {
        if (!s->refused || rig_number(s->json, "code") != c->code ||
            strcmp(rig_text(s->json, "field"), c->field) != 0) {
            rig_fail(s, what);
        }
        return;
    }
    const bool unchanged = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(s->json, "unchanged"));
    const int64_t lease_ns = strtoll(rig_text(s->json, "lease_end_ns"), NULL, 10);
    if (s->refused || strcmp(rig_text(s->json, "status"), "CONFIRMED") != 0 ||
        s->took_ns >= 2 * MLT_NS_PER_S || unchanged != c->unchanged ||
        (c->lease_end_ns != MODEL_LEASE_LEARN && c->lease_end_ns != lease_ns)) {
        rig_fail(s, what);
    }
}

static bool settled(struct rig *r, void *ctx)
{
    char *why = ctx;
    return model_native(&model, r, true, why, 128);
}

static void assert_settles(void)
{
    char why[128] = "";
    if (!rig_until(settled, &rig, why, 10)) {
        fail_msg("the exchange has something else: %s", why);
    }
}

static unsigned commands(unsigned otherwise)
{
    const char *given = getenv("MELTICA_TEST_COMMANDS");
    return given != NULL ? (unsigned)strtoul(given, NULL, 10) : otherwise;
}

/* ---- tests ---- */

/* What a repeated command must say of the lease is what it said first. */
static void keep_lease(struct model_command *command, const cJSON *answer)
{
    if (command->code == 0 && command->lease_end_ns == MODEL_LEASE_LEARN) {
        command->lease_end_ns = strtoll(rig_text(answer, "lease_end_ns"), NULL, 10);
    }
}

static void test_the_table_is_the_models(void **state)
{
    (void)state;
    const unsigned count = commands(400);
    uint64_t confirmed = 0, asked = 0;
    struct mlt_bus_subscription *tap = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    static struct model_command command, last;
    model_init(&model, rig_seed("model"), true);
    rig_start_limited(&rig, "8", "200", "4", "3");
    const struct mlt_bus_subscribe_options inboxes = { .subject = "_INBOX.>" };
    assert_int_equal(mlt_bus_subscribe(rig.client, &inboxes, on_answer, NULL, &tap, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(rig.client) >= 0);
    for (unsigned i = 0; i < count; i++) {
        char why[128] = "";
        if (last.can_repeat && rig_random(&model.dice) % 6 == 0) {
            model_repeat(&last, &command);
        } else {
            model_command(&model, &command);
        }
        struct said s = rig_ask(&rig, command.verb, command.body);
        check_answer(&command, &s);
        if (command.code == 0) {
            confirmed++;
            model_apply(&model, &command, s.json);
        }
        keep_lease(&command, s.json);
        cJSON_Delete(s.json);
        last = command;
        model_compare(&model, &rig, 3);
        asked += 2;
        assert_int_equal(commands_audited(), i + 1);
        if (!model_native(&model, &rig, false, why, sizeof why)) {
            fail_msg("after %s %s: %s", command.verb, command.body, why);
        }
        if (i % SETTLE_EACH == 0) {
            assert_settles();
        }
    }
    assert_settles();
    assert_true(mlt_bus_rtt_ns(rig.client) >= 0);
    mlt_bus_unsubscribe(tap);
    assert_int_equal(wire.twice, 0);
    assert_int_equal(wire.count, asked);
    uint64_t expired = model.expired;
    assert_true(rig_until(leases_audited, &rig, &expired, 5));
    print_message("%u commands, %llu confirmed, %zu leases ended, %zu subscriptions at the end\n",
                  count, (unsigned long long)confirmed, model.expired, model.count);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_is_the_models),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
