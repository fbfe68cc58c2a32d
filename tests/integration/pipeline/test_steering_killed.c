/*
 * Random commands against the plain reference (steer_model.h) while the Dispatcher, the Control
 * Bus, the Adapter or NATS is killed with -9 and started again at seeded points, each with commands
 * on their way: no subscription is lost and none doubled, each request is answered once, or it is
 * known why it is not, and the same request with the same id asked again gives the one truth. What
 * a refusal says of itself (nothing changed) is held against it. MELTICA_TEST_COMMANDS says how
 * many (60), MELTICA_TEST_SEED repeats a run.
 */
#include "mlt_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "steer_check.h"

#define CALM 2u  /* commands between two strikes, one after the other */
#define BATCH 3u /* commands on their way when it strikes, each of another consumer */
#define STEPS 16u
#define ASK_NS ((MLT_TEST_SANITIZED ? 6 : 3) * MLT_NS_PER_S)
#define SETTLE_S 30

static const char *const victims[] = { "dispatcher", "control-bus", "adapter", "nats" };
enum { DISPATCHER, CONTROL_BUS, ADAPTER, NATS, VICTIMS };

enum outcome { AS_SAID, PENDING, NOTHING, UNKNOWN, OUTCOMES };

struct asker {
    pthread_t thread;
    struct model_command command;
    struct said said;
    enum outcome outcome;
};

static struct rig rig;
static struct model model;
static struct asker askers[BATCH];
static struct {
    uint64_t commands, answered, strikes[VICTIMS], midway, outcomes[OUTCOMES];
} counts;

/* ---- the strike ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pid_t victim;  /* 0: not armed */
    unsigned left; /* messages until it strikes */
    unsigned asking;
    bool struck;
    char at[128]; /* what it struck at */
} strike = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* Answers between the services, acknowledgements of the log and the audit, what Adapters say. */
static void on_step(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    (void)pthread_mutex_lock(&strike.lock);
    const bool armed = strike.victim != 0 && strike.left > 0;
    strike.left -= armed;
    if (armed && strike.left == 0) {
        (void)kill(strike.victim, SIGKILL);
        (void)snprintf(strike.at, sizeof strike.at, "%s", message->subject);
        strike.victim = 0;
        strike.struck = true;
        (void)pthread_cond_broadcast(&strike.changed);
    }
    (void)pthread_mutex_unlock(&strike.lock);
}

static void *ask(void *argument)
{
    struct asker *a = argument;
    a->said = rig_try_as(&rig, a->command.principal, a->command.verb,
                         mlt_slice_of_string(a->command.body), ASK_NS);
    (void)pthread_mutex_lock(&strike.lock);
    strike.asking--;
    (void)pthread_cond_broadcast(&strike.changed);
    (void)pthread_mutex_unlock(&strike.lock);
    return NULL;
}

/* Commands of different consumers do not know of each other. */
static void make_batch(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        bool distinct = false;
        while (!distinct) {
            model_command(&model, &askers[i].command);
            distinct = true;
            for (unsigned k = 0; k < i; k++) {
                distinct = distinct && askers[k].command.consumer != askers[i].command.consumer;
            }
            distinct = distinct || askers[i].command.consumer < 0;
        }
    }
}

/* Asks all at once, and kills at the given step of what comes of it; 0: at once. */
static void ask_and_kill(const char *victim, unsigned step)
{
    (void)pthread_mutex_lock(&strike.lock);
    strike.victim = mlt_stack_pid(&rig.stack, victim);
    strike.left = step;
    strike.asking = BATCH;
    strike.struck = false;
    strike.at[0] = '\0';
    (void)pthread_mutex_unlock(&strike.lock);
    for (unsigned i = 0; i < BATCH; i++) {
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    (void)pthread_mutex_lock(&strike.lock);
    int waited = 0;
    while (step > 0 && !strike.struck && strike.asking > 0 && waited == 0) {
        waited = pthread_cond_timedwait(&strike.changed, &strike.lock, &until);
    }
    strike.victim = 0;
    counts.midway += strike.asking > 0;
    (void)pthread_mutex_unlock(&strike.lock);
    mlt_stack_kill(&rig.stack, victim);
    mlt_stack_run(&rig.stack, victim);
    for (unsigned i = 0; i < BATCH; i++) {
        assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
    }
    assert_int_equal(mlt_bus_wait_connected(rig.client, 20 * MLT_NS_PER_S), MLT_OK);
    rig_wait_ready(&rig);
}

/* ---- what was said ---- */

static bool says(const struct said *said, const char *member, const char *text)
{
    return strstr(rig_text(said->json, member), text) != NULL;
}

static void fail_asker(const struct asker *a, const char *what)
{
    char text[900];
    (void)snprintf(text, sizeof text, "%s: %s %s %s", what, a->command.principal, a->command.verb,
                   a->command.body);
    rig_fail(&a->said, text);
}

static enum outcome classify(const struct asker *a, unsigned victim)
{
    char why[200];
    if (a->said.json == NULL) { /* who could have answered is gone, or the way to it is */
        if (victim != CONTROL_BUS && victim != NATS) {
            fail_asker(a, "not answered");
        }
        return UNKNOWN;
    }
    if (a->said.took_ns >= RIG_LATE_NS && victim != NATS && !MLT_TEST_SANITIZED) {
        fail_asker(a, "answered late");
    }
    if (a->command.code == 0 && says(&a->said, "status", "PENDING")) {
        return PENDING;
    }
    if (rig_number(a->said.json, "code") == 503) {
        return says(&a->said, "message", "nothing changed") ? NOTHING : UNKNOWN;
    }
    if (!steer_answer_right(&a->command, &a->said, why) &&
        !(victim == NATS && a->said.took_ns >= 2 * MLT_NS_PER_S)) {
        fail_asker(a, why);
    }
    return AS_SAID;
}

/* What stands by what was said so far: of an update that is PENDING the old one may stand too. */
static void apply_said(struct asker *a)
{
    struct model_command so_far = a->command;
    if (a->outcome == PENDING && strcmp(a->command.verb, "update") == 0) {
        so_far.ends = so_far.ends && says(&a->said, "replaces", "s");
    }
    if (a->command.code == 0 && (a->outcome == AS_SAID || a->outcome == PENDING)) {
        model_apply(&model, &so_far, a->said.json);
        a->command.ends = a->command.ends && !so_far.ends;
    }
}

static bool matches(struct rig *r, void *ctx)
{
    return model_matches(&model, r, 3, ctx);
}

/* Records of the log that nobody announced are read within a second. */
static void wait_matches(const char *when, const char *victim)
{
    char why[200] = "";
    if (!rig_until(matches, &rig, why, 10)) {
        fail_msg("%s, %s killed at %s: %s", when, victim, strike.at, why);
    }
}

/* The same once more, with the same id, until it is neither PENDING nor refused for want of
 * services that have just come up. */
static void ask_again(struct asker *a)
{
    const int64_t until_ns = mlt_clock_mono_ns() + SETTLE_S * MLT_NS_PER_S;
    bool more = true;
    while (more) {
        cJSON_Delete(a->said.json);
        a->said = rig_ask_as(&rig, a->command.principal, a->command.verb, a->command.body);
        more = (says(&a->said, "status", "PENDING") || rig_number(a->said.json, "code") == 503) &&
               mlt_clock_mono_ns() < until_ns;
    }
}

/* Gets the one truth of a command, and has the model follow it. */
static void resolve(struct asker *a)
{
    const struct model_command *c = &a->command;
    char why[200];
    ask_again(a);
    if (c->code != 0) {
        if (!steer_answer_right(c, &a->said, why)) {
            fail_asker(a, why);
        }
        return;
    }
    /* Carried out before, so that what it named is gone. */
    const bool gone = rig_number(a->said.json, "code") == 404 && a->outcome != NOTHING &&
                      says(&a->said, "field", "subscription") &&
                      strcmp(c->verb, "subscribe") != 0 && strcmp(c->verb, "renew") != 0;
    if (!gone && !says(&a->said, "status", "CONFIRMED")) {
        fail_asker(a, "asked again");
    }
    model_apply(&model, c, gone ? NULL : a->said.json);
}

static void strike_once(unsigned victim)
{
    const unsigned step = (unsigned)(mlt_mix64_next(&model.dice) % STEPS);
    const int64_t before = steer_commands_audited(&rig);
    int64_t answered = 0;
    bool unknown = false;
    make_batch();
    ask_and_kill(victims[victim], step);
    for (unsigned i = 0; i < BATCH; i++) {
        askers[i].outcome = classify(&askers[i], victim);
        unknown = unknown || askers[i].outcome == UNKNOWN;
        answered += askers[i].said.json != NULL;
        counts.outcomes[askers[i].outcome]++;
        apply_said(&askers[i]);
    }
    if (!unknown) {
        wait_matches("as it was said", victims[victim]);
    }
    if (victim != NATS) { /* else the log of the process may have it in its place */
        assert_true(steer_commands_audited(&rig) >= before + answered);
    }
    for (unsigned i = 0; i < BATCH; i++) {
        if (askers[i].outcome != AS_SAID) {
            resolve(&askers[i]);
        }
        cJSON_Delete(askers[i].said.json);
    }
    wait_matches("asked again", victims[victim]);
    steer_settle(&model, &rig, SETTLE_S);
    wait_matches("settled", victims[victim]);
    counts.strikes[victim]++;
    counts.commands += BATCH;
    counts.answered += (uint64_t)answered;
}

/* All is well again: one command, and everything that the model says of it. */
static void one_in_peace(void)
{
    static struct model_command command;
    model_command(&model, &command);
    struct said s = rig_ask_as(&rig, command.principal, command.verb, command.body);
    for (unsigned again = 0; again < RIG_AGAIN_MAX && rig_is_stalled(&s); again++) {
        cJSON_Delete(s.json);
        s = rig_ask_as(&rig, command.principal, command.verb, command.body);
        counts.answered++;
    }
    steer_check_answer(&command, &s);
    if (command.code == 0) {
        model_apply(&model, &command, s.json);
    }
    cJSON_Delete(s.json);
    model_compare(&model, &rig, 3);
    counts.commands++;
    counts.answered++;
}

static void test_kills_lose_and_double_no_subscription(void **state)
{
    (void)state;
    const unsigned count = steer_commands(60);
    uint64_t once = 0, twice = 0;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *steps[2] = { NULL, NULL };
    const struct mlt_bus_subscribe_options subjects[2] = {
        { .subject = "_INBOX.>" }, { .subject = "meltica.int.plan.status" }
    };
    model_init(&model, rig_seed("killed"), false);
    model.wide = true; /* what is not known yet counts against a quota, too */
    rig_start_policed(&rig, "8", "200", "4", "3", MODEL_POLICY_WIDE);
    struct mlt_bus_subscription *tap = steer_tap(&rig);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(
            mlt_bus_subscribe(rig.client, &subjects[i], on_step, NULL, &steps[i], &err), MLT_OK);
    }
    unsigned next = (unsigned)(mlt_mix64_next(&model.dice) % VICTIMS);
    while (counts.commands < count) {
        for (unsigned i = 0; i < CALM; i++) {
            one_in_peace();
        }
        strike_once(next); /* each in its turn, so that a short run has all of them */
        next = (next + 1) % VICTIMS;
    }
    for (unsigned i = 0; i < 2; i++) {
        mlt_bus_unsubscribe(steps[i]);
    }
    mlt_bus_unsubscribe(tap);
    steer_answers(&once, &twice);
    assert_int_equal(twice, 0);
    assert_true(once >= counts.answered);
    print_message(
        "%llu commands, killed: dispatcher %llu, control-bus %llu, adapter %llu, nats "
        "%llu, %llu of them with commands on their way; said %llu, pending %llu, refused "
        "and unchanged %llu, unknown %llu; %zu subscriptions at the end\n",
        (unsigned long long)counts.commands, (unsigned long long)counts.strikes[DISPATCHER],
        (unsigned long long)counts.strikes[CONTROL_BUS],
        (unsigned long long)counts.strikes[ADAPTER], (unsigned long long)counts.strikes[NATS],
        (unsigned long long)counts.midway, (unsigned long long)counts.outcomes[AS_SAID],
        (unsigned long long)counts.outcomes[PENDING], (unsigned long long)counts.outcomes[NOTHING],
        (unsigned long long)counts.outcomes[UNKNOWN], model.count);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kills_lose_and_double_no_subscription),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
