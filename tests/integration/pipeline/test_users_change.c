/*
 * Services beside users of NATS that are older than they are, and the users made anew under them:
 * the way of an upgrade (helm/meltica/UPGRADING.md). What older users lack is taken from what
 * `meltica nats-auth --transition` prints.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "mlt_stack.h"
#include "mlt_test.h"

#define WAIT_NS (60 * MLT_NS_PER_S) /* what is refused is asked for again every 30 s */
#define LOOK_MS 50
#define SERVICES 5u
#define REFUSED "meltica_nats_subscriptions_refused"

static const char *const services[SERVICES] = { "adapter", "dispatcher", "conductor", "data-bus",
                                                "control-bus" };

static struct mlt_stack stack;
static char folder[] = "/tmp/meltica-users.XXXXXX";
static char *old_users, *transition_users, *users;

static const char *in_folder(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* What the tool prints; the caller's to free. */
static char *nats_auth(const char *option)
{
    char command[2048];
    const char *build = getenv("MELTICA_BINARY_DIR");
    int len = snprintf(command, sizeof command, "%s/bin/meltica nats-auth --cost 4 %s",
                       build != NULL ? build : "build/dev", option);
    for (size_t i = 0; i < SERVICES; i++) {
        len += snprintf(command + len, sizeof command - (size_t)len, " --service-user %s=%s",
                        services[i], in_folder(services[i]));
        assert_true((size_t)len < sizeof command);
    }
    FILE *from = popen(command, "re");
    char *text = calloc(1, 65536);
    assert_true(from != NULL && text != NULL);
    assert_true(fread(text, 1, 65535, from) > 1000);
    assert_int_equal(pclose(from), 0);
    return text;
}

/* Where the text has `subject` it is another one, of the same length, that nobody uses. */
static void take_away(char *text, const char *subject)
{
    static const char other[] = "nowhere"; /* for "meltica" */
    unsigned count = 0;
    for (char *at = strstr(text, subject); at != NULL; at = strstr(at, subject)) {
        memcpy(at, other, sizeof other - 1);
        count++;
    }
    assert_true(count > 0);
}

/* ---- what services say ---- */

static bool is_ready(const char *service)
{
    struct mlt_buf page;
    mlt_buf_init(&page, 65536);
    const bool ready = mlt_stack_try_get(&stack, service, "/readyz", &page);
    mlt_buf_fini(&page);
    return ready;
}

static bool all_ready(void)
{
    bool ready = true;
    for (size_t i = 0; i < SERVICES; i++) {
        ready = is_ready(services[i]) && ready;
    }
    return ready;
}

static bool none_refused(void)
{
    uint64_t refused = 0;
    for (size_t i = 0; i < SERVICES; i++) {
        refused += mlt_stack_metric(&stack, services[i], REFUSED, "");
    }
    return refused == 0;
}

static bool conductor_is_deaf(void)
{
    return !is_ready("conductor");
}

static void wait_for(bool (*condition)(void), const char *what)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (!condition()) {
        if (mlt_clock_mono_ns() > deadline) {
            fail_msg("not in time: %s", what);
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
}

/* ---- tests ---- */

static void test_services_of_now_are_ready_beside_users_of_before(void **state)
{
    (void)state;
    mlt_stack_run_services(&stack);
    wait_for(all_ready, "readiness with users of before");
    assert_int_equal(mlt_stack_metric(&stack, "adapter", REFUSED, ""), 1);
    assert_int_equal(mlt_stack_metric(&stack, "conductor", REFUSED, ""), 1);
    assert_int_equal(mlt_stack_metric(&stack, "data-bus", REFUSED, ""), 1);
    assert_int_equal(mlt_stack_metric(&stack, "dispatcher", REFUSED, ""), 1);
    assert_int_equal(mlt_stack_metric(&stack, "control-bus", REFUSED, ""), 0);
}

/* Without a restart, and without having been refused ten times a second meanwhile. */
static void test_new_users_are_used_by_who_is_there(void **state)
{
    (void)state;
    const int64_t begun_ns = mlt_clock_mono_ns();
    mlt_stack_reload_nats(&stack, transition_users);
    wait_for(none_refused, "subscriptions with the new users");
    assert_true(all_ready());
    print_message("%lld ms until nothing is refused\n",
                  (long long)((mlt_clock_mono_ns() - begun_ns) / MLT_NS_PER_MS));
    assert_true(mlt_stack_metric(&stack, "conductor", "meltica_nats_errors_total", "") < 12);
    assert_true(mlt_stack_metric(&stack, "data-bus", "meltica_nats_errors_total", "") < 12);
    assert_true(mlt_stack_metric(&stack, "dispatcher", "meltica_nats_errors_total", "") < 12);
    assert_int_equal(mlt_stack_metric(&stack, "conductor", "meltica_nats_disconnects_total", ""),
                     0);
}

static void test_the_end_of_the_transition_takes_nothing_from_them(void **state)
{
    (void)state;
    mlt_stack_reload_nats(&stack, users);
    for (size_t i = 0; i < SERVICES; i++) { /* each still hears its answers, and asks for them */
        assert_true(is_ready(services[i]));
        assert_int_equal(mlt_stack_terminate(&stack, services[i]), 0);
        mlt_stack_run(&stack, services[i]);
    }
    wait_for(all_ready, "readiness with the users of now");
    assert_true(none_refused());
}

/* What it cannot do without. */
static void test_a_right_that_is_needed_decides_readiness(void **state)
{
    (void)state;
    char *less = nats_auth("");
    take_away(less, "meltica.int.canonical");
    mlt_stack_reload_nats(&stack, less);
    wait_for(conductor_is_deaf, "the Conductor's word that it is deaf");
    assert_int_equal(mlt_stack_metric(&stack, "conductor", REFUSED, ""), 1);
    mlt_stack_reload_nats(&stack, users);
    wait_for(all_ready, "readiness once the right is back");
    free(less);
}

static int begin(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < SERVICES; i++) {
        FILE *to = fopen(in_folder(services[i]), "we");
        assert_non_null(to);
        assert_true(fprintf(to, "pw-%s\n", services[i]) > 0);
        assert_int_equal(fclose(to), 0);
    }
    users = nats_auth("");
    transition_users = nats_auth("--transition");
    old_users = nats_auth("--transition");
    take_away(old_users, "meltica.int.owners");
    take_away(old_users, "meltica-owners.data-bus");
    take_away(old_users, "meltica-owners.dispatcher");
    take_away(old_users, "meltica-weight");
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "100", "--seed", "7" },
        .adapter = { "--egress", "home" },
        .nats_users = old_users,
        .password_folder = folder,
    };
    mlt_stack_start(&stack, &options);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mlt_stack_stop(&stack);
    for (size_t i = 0; i < SERVICES; i++) {
        (void)unlink(in_folder(services[i]));
    }
    free(users);
    free(transition_users);
    free(old_users);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services_of_now_are_ready_beside_users_of_before),
        cmocka_unit_test(test_new_users_are_used_by_who_is_there),
        cmocka_unit_test(test_the_end_of_the_transition_takes_nothing_from_them),
        cmocka_unit_test(test_a_right_that_is_needed_decides_readiness),
    };
    return mlt_stack_verdict(cmocka_run_group_tests_name("users_change", tests, begin, end));
}
