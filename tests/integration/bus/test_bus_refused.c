/*
 * Subscriptions that the server refuses to a user: a nats-server whose users change while it runs,
 * as an operator changes them, by its configuration and SIGHUP.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/bus/bus.h"
#include "mlt_test.h"
#include "nats_fixture.h"

#define WAIT_NS (15 * MLT_NS_PER_S)
#define AGAIN_NS (100 * MLT_NS_PER_MS)
#define LOOK_MS 10
#define PUBLISHES 100 /* each is a line in the log of the server, which nobody reads here */

static const enum mlt_bus_kind kinds[] = { MLT_BUS_DATA, MLT_BUS_CONTROL };

static struct nats_server server;
static char password_file[128];
static struct mlt_bus *bus, *all; /* of the user concerned, and of one that may everything */

/* Users of the server: that one may publish and listen to these, and to answers at `inbox`. */
static void write_users(char *out, size_t size, const char *subjects, const char *inbox)
{
    (void)snprintf(out, size,
                   "authorization { users: [\n"
                   "{ user: all, password: pw }\n"
                   "{ user: some, password: pw, permissions: {\n"
                   "  publish: { allow: [ %s ] }, subscribe: { allow: [ %s, \"%s\" ] } } }\n"
                   "] }\n",
                   subjects, subjects, inbox);
}

static void begin(const char *subjects, const char *inbox, enum mlt_bus_kind kind)
{
    struct mlt_error err = MLT_ERROR_INIT;
    char users[512];
    write_users(users, sizeof users, subjects, inbox);
    nats_server_init(&server, users);
    (void)snprintf(password_file, sizeof password_file, "%s/password", server.dir);
    FILE *file = fopen(password_file, "we");
    assert_non_null(file);
    assert_true(fputs("pw\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    struct mlt_bus_options options = {
        .kind = kind, .url = server.url, .user = "some", .password_file = password_file
    };
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_OK);
    options.kind = MLT_BUS_CONTROL;
    options.user = "all";
    assert_int_equal(mlt_bus_connect(&options, &all, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(bus, WAIT_NS), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(all, WAIT_NS), MLT_OK);
}

static void end(void)
{
    mlt_bus_destroy(bus, MLT_NS_PER_S);
    mlt_bus_destroy(all, MLT_NS_PER_S);
    (void)unlink(password_file);
    nats_server_fini(&server);
}

static void change_rights(const char *subjects, const char *inbox)
{
    char users[512];
    write_users(users, sizeof users, subjects, inbox);
    nats_server_reload(&server, users);
}

static struct mlt_bus_subscription *listen_to(const char *subject, bool optional,
                                              mlt_bus_handler_fn handler, void *ctx)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *sub = NULL;
    const struct mlt_bus_subscribe_options options = { .subject = subject, .optional = optional };
    assert_int_equal(mlt_bus_subscribe(bus, &options, handler, ctx, &sub, &err), MLT_OK);
    return sub;
}

static void count(void *ctx, const struct mlt_bus_message *message)
{
    (void)message;
    atomic_fetch_add((atomic_uint *)ctx, 1);
}

static bool is_deaf(void)
{
    char said[256];
    return mlt_bus_deaf(bus, said, sizeof said);
}

static bool is_well(void)
{
    return !is_deaf();
}

/* As a service does it, only more often. */
static void wait_for(bool (*condition)(void), const char *what)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (!condition()) {
        if (mlt_clock_mono_ns() > deadline) {
            fail_msg("not in time: %s", what);
        }
        mlt_bus_listen_again(bus, AGAIN_NS);
        (void)poll(NULL, 0, LOOK_MS);
    }
}

static void say(const char *subject)
{
    assert_int_equal(mlt_bus_publish(all, subject, MLT_SLICE_EMPTY), MLT_OK);
}

static void expect_count(atomic_uint *counted, unsigned expected)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (atomic_load(counted) < expected && mlt_clock_mono_ns() < deadline) {
        (void)poll(NULL, 0, LOOK_MS);
    }
    assert_int_equal(atomic_load(counted), expected);
}

static struct mlt_bus_stats stats_now(void)
{
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(bus, &stats);
    return stats;
}

static bool publishes_are_refused(void)
{
    return stats_now().errors >= PUBLISHES + 1;
}

/* ---- tests ---- */

/* What is refused behind it does not hide it. */
static void test_a_refused_publish_does_not_hide_a_refused_subscription(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        atomic_uint heard = 0;
        char said[256];
        begin("\"a\"", "_INBOX.>", kinds[k]);
        struct mlt_bus_subscription *a = listen_to("a", false, count, &heard);
        struct mlt_bus_subscription *b = listen_to("b", false, count, &heard);
        for (unsigned i = 0; i < PUBLISHES; i++) {
            assert_int_equal(
                mlt_bus_publish_wait(bus, "c", MLT_SLICE_EMPTY, mlt_clock_mono_ns() + WAIT_NS),
                MLT_OK);
        }
        const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
        while (!publishes_are_refused() && mlt_clock_mono_ns() < deadline) {
            (void)poll(NULL, 0, LOOK_MS);
        }
        assert_true(publishes_are_refused());
        assert_true(mlt_bus_deaf(bus, said, sizeof said));
        assert_string_equal(said, "Permissions Violation for Subscription to \"b\"");
        assert_int_equal(stats_now().subscriptions_refused, 1);
        assert_true(mlt_bus_subscription_refused(b));
        assert_false(mlt_bus_subscription_refused(a));
        say("a");
        expect_count(&heard, 1);
        mlt_bus_unsubscribe(b); /* then nothing is missing */
        assert_false(is_deaf());
        mlt_bus_unsubscribe(a);
        end();
    }
}

static bool optional_is_refused(void)
{
    return stats_now().subscriptions_refused == 1;
}

static void test_who_does_without_one_is_not_deaf(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        atomic_uint heard = 0;
        begin("\"a\"", "_INBOX.>", kinds[k]);
        struct mlt_bus_subscription *b = listen_to("b", true, count, &heard);
        wait_for(optional_is_refused, "refusal of what is optional");
        assert_true(mlt_bus_subscription_refused(b));
        assert_false(is_deaf());
        mlt_bus_unsubscribe(b);
        end();
    }
}

/* Rights come, go and come again, and the connection stays. */
static void test_rights_that_come_later_are_used(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        atomic_uint heard_a = 0, heard_b = 0;
        begin("\"a\"", "_INBOX.>", kinds[k]);
        struct mlt_bus_subscription *a = listen_to("a", false, count, &heard_a);
        struct mlt_bus_subscription *b = listen_to("b", false, count, &heard_b);
        wait_for(is_deaf, "refusal");
        say("b");
        for (unsigned turn = 1; turn <= 2; turn++) {
            change_rights("\"a\", \"b\"", "_INBOX.>");
            wait_for(is_well, "rights that were given");
            assert_int_equal(stats_now().listened_again, turn);
            assert_int_equal(stats_now().subscriptions_refused, 0);
            assert_false(mlt_bus_subscription_refused(b));
            say("b");
            say("a");
            expect_count(&heard_b, turn); /* once each, and not what was said before */
            expect_count(&heard_a, turn);
            change_rights("\"a\"", "_INBOX.>"); /* the server takes it away by itself */
            wait_for(is_deaf, "rights that were taken away");
        }
        assert_int_equal(stats_now().reconnects, 0);
        assert_int_equal(stats_now().disconnects, 0);
        mlt_bus_unsubscribe(a);
        mlt_bus_unsubscribe(b);
        end();
    }
}

static void answer(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    assert_int_equal(mlt_bus_reply(all, message->reply, message->payload, 0, NULL), MLT_OK);
}

static bool is_answered(void)
{
    struct mlt_buf text;
    mlt_buf_init(&text, 64);
    const enum mlt_status status =
        mlt_bus_request(bus, "a", mlt_slice_of_string("?"), 200 * MLT_NS_PER_MS, &text, NULL);
    mlt_buf_fini(&text);
    return status == MLT_OK;
}

/* nats.c hears answers by a subscription of its own, which it begins once for a connection. */
static void test_answers_come_once_they_may(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct mlt_error err = MLT_ERROR_INIT;
        struct mlt_bus_subscription *sub = NULL;
        const struct mlt_bus_subscribe_options options = { .subject = "a" };
        begin("\"a\"", "elsewhere.>", kinds[k]);
        assert_int_equal(mlt_bus_subscribe(all, &options, answer, NULL, &sub, &err), MLT_OK);
        assert_true(mlt_bus_rtt_ns(all) > 0); /* it is there before it is asked */
        assert_false(is_answered());
        wait_for(is_deaf, "the refusal of answers");
        change_rights("\"a\"", "_INBOX.>");
        wait_for(is_answered, "an answer");
        assert_false(is_deaf());
        assert_true(stats_now().reconnects >= 1);
        mlt_bus_unsubscribe(sub);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_publish_does_not_hide_a_refused_subscription),
        cmocka_unit_test(test_who_does_without_one_is_not_deaf),
        cmocka_unit_test(test_rights_that_come_later_are_used),
        cmocka_unit_test(test_answers_come_once_they_may),
    };
    return cmocka_run_group_tests_name("bus_refused", tests, NULL, NULL);
}
