/*
 * Random commands of 20 consumers against a plain reference (steer_model.h): after each the list is
 * the reference's and the exchange has what it must; every request is answered once and audited.
 * MELTICA_TEST_COMMANDS says how many (400), MELTICA_TEST_SEED repeats a run.
 */
#include "meltica/base/hash.h"
#include "mlt_test.h"

#include <stdio.h>

#include "steer_check.h"

#define SETTLE_EACH 8u

static struct rig rig;
static struct model model;

/* One may end between the two looks: then once more. */
static bool leases_audited(struct rig *r, void *ctx)
{
    (void)ctx;
    model_compare(&model, r, 3);
    return steer_leases_audited(r) == (int64_t)model.expired;
}

static void test_the_table_is_the_models(void **state)
{
    (void)state;
    const unsigned count = steer_commands(400);
    uint64_t confirmed = 0, denied = 0, over = 0, asked = 0, once = 0, twice = 0, stalled = 0;
    static struct model_command command, last;
    model_init(&model, rig_seed("model"), true);
    rig_start_policed(&rig, "8", "200", "4", "3", MODEL_POLICY);
    struct mlt_bus_subscription *tap = steer_tap(&rig);
    for (unsigned i = 0; i < count; i++) {
        char why[128] = "";
        if (last.can_repeat && mlt_mix64_next(&model.dice) % 6 == 0) {
            model_repeat(&last, &command);
        } else {
            model_command(&model, &command);
        }
        struct said s = rig_ask_as(&rig, command.principal, command.verb, command.body);
        for (unsigned again = 0; again < RIG_AGAIN_MAX && rig_is_stalled(&s); again++, stalled++) {
            cJSON_Delete(s.json);
            s = rig_ask_as(&rig, command.principal, command.verb, command.body);
        }
        steer_check_answer(&command, &s);
        denied += command.code == 403;
        over += command.code == 429;
        if (command.code == 0) {
            confirmed++;
            model_apply(&model, &command, s.json);
        }
        steer_keep_lease(&command, s.json);
        cJSON_Delete(s.json);
        last = command;
        model_compare(&model, &rig, 3);
        asked += 2;
        assert_int_equal(steer_commands_audited(&rig), i + 1 + stalled);
        if (!model_native(&model, &rig, false, why, sizeof why)) {
            fail_msg("after %s %s: %s", command.verb, command.body, why);
        }
        if (i % SETTLE_EACH == 0) {
            steer_settle(&model, &rig, 10);
        }
    }
    steer_settle(&model, &rig, 10);
    assert_true(mlt_bus_rtt_ns(rig.client) >= 0);
    mlt_bus_unsubscribe(tap);
    steer_answers(&once, &twice);
    assert_int_equal(twice, 0);
    assert_int_equal(once, asked + stalled + rig.lists_again);
    assert_true(rig_until(leases_audited, &rig, NULL, 10));
    print_message("%u commands, %llu confirmed, %llu denied, %llu over a limit, %zu leases ended, "
                  "%zu subscriptions at the end\n",
                  count, (unsigned long long)confirmed, (unsigned long long)denied,
                  (unsigned long long)over, model.expired, model.count);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_is_the_models),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
