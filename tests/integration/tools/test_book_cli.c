/* meltica book and meltica verify against a market that the test itself tells, with a bucket of
 * checkpoints beside it: what is right is found right, and each thing that is wrong is found. */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "command.h"
#include "meltica/base/clock.h"
#include "meltica/bus/store.h"
#include "mlt_stack.h"
#include "test_books.h"
#include "verify.h"

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define HERE "--nats-url", stack.nats_url
#define BEAT_NS (2 * MLT_NS_PER_MS)
#define BOOK_EVERY 10u       /* beats */
#define CHECKPOINT_EVERY 50u /* beats */
#define JOINERS 40u

/* One instrument each, told by one thread; what is wrong with it. */
enum { RIGHT, DIGEST, HOLE, LEVEL, GAPS, CHECKPOINT, AWAY, MARKETS };
#define QUIET "QUIET-USDT" /* has a checkpoint, and nothing moves */
static const char *const tokens[MARKETS] = { "RIGHT-USDT", "DIGEST-USDT", "HOLE-USDT",
                                             "LEVEL-USDT", "GAPS-USDT",   "CHECKPOINT-USDT",
                                             "AWAY-USDT" };

static struct mlt_stack stack;
static struct mlt_bus *bus;
static struct mlt_store *store;
static struct market markets[MARKETS];
static pthread_t teller;
static atomic_bool over;

static void publish(unsigned which, struct mlt_event event)
{
    char subject[64];
    uint8_t bytes[16384];
    event.instrument = mlt_slice_of_string(tokens[which]);
    event.stamps.received = mlt_clock_wall_ns();
    const size_t size = mlt_event_encoded_size(&event);
    (void)snprintf(subject, sizeof subject, "meltica.data.%s", tokens[which]);
    if (size > sizeof bytes || mlt_event_encode(&event, bytes) != size ||
        mlt_bus_publish(bus, subject, mlt_slice_of(bytes, size)) != MLT_OK) {
        abort();
    }
}

static void put_checkpoint(unsigned which, const char *token)
{
    char key[64];
    uint8_t bytes[16384];
    uint64_t revision = 0;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_book_checkpoint checkpoint = market_checkpoint(&markets[which], 100);
    checkpoint.instrument = mlt_slice_of_string(token);
    checkpoint.digest ^= which == CHECKPOINT ? 1 : 0;
    const size_t size = mlt_book_checkpoint_encode(&checkpoint, bytes);
    (void)snprintf(key, sizeof key, "%s.checkpoint", token);
    if (mlt_kv_put(store, MLT_VERIFY_BUCKET, key, mlt_slice_of(bytes, size), &revision, &err) !=
        MLT_OK) {
        (void)fprintf(stderr, "checkpoint: %s\n", err.text);
        abort();
    }
}

static void tell(unsigned which, uint64_t beat)
{
    struct market *m = &markets[which];
    const bool now = beat % BOOK_EVERY == 3;
    if (which == AWAY) { /* LIVE for a moment now and then, in which all is right */
        if (beat % CHECKPOINT_EVERY == 0) {
            publish(which, market_snapshot(m, 100));
            publish(which, market_status(m, MLT_STATUS_LIVE, "joined"));
            publish(which, market_delta(m));
            publish(which, market_status(m, MLT_STATUS_GAP, "sequence_gap"));
        }
        return;
    }
    struct mlt_event delta = market_delta(m);
    if (which == GAPS && beat % 100 == 42) {
        /* Missing at the exchange: said, and mended by a snapshot. */
        m->delta_sequence--;
        delta = market_delta(m);
        delta.u.book_delta.digest_version = 0;
        publish(which, delta);
        publish(which, market_status(m, MLT_STATUS_GAP, "sequence_gap"));
        publish(which, market_snapshot(m, 100));
        publish(which, market_status(m, MLT_STATUS_LIVE, "joined"));
        put_checkpoint(which, tokens[which]);
        return;
    }
    delta.u.book_delta.digest ^= which == DIGEST && now ? 1 : 0;
    if (which != HOLE || !now) {
        publish(which, delta);
    }
    if (beat % BOOK_EVERY == 0) {
        struct mlt_event book = market_book(m);
        if (which == LEVEL) {
            m->amounts[2][1]++;
        }
        publish(which, book);
    }
    if (beat % CHECKPOINT_EVERY == 0) {
        put_checkpoint(which, tokens[which]);
    }
}

static void *tell_all(void *arg)
{
    const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    const struct itimerspec every = { { 0, BEAT_NS }, { 0, BEAT_NS } };
    uint64_t beats = 0;
    if (timer < 0 || timerfd_settime(timer, 0, &every, NULL) != 0) {
        abort();
    }
    for (uint64_t beat = 0; !atomic_load(&over); beat++) {
        for (unsigned which = 0; which < MARKETS; which++) {
            tell(which, beat);
        }
        if (read(timer, &beats, sizeof beats) != sizeof beats) {
            abort();
        }
    }
    (void)close(timer);
    return arg;
}

static int set_up(void **state)
{
    (void)state;
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "1",
                                                             "--rate", "1" } };
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_stack_start(&stack, &options);
    const struct mlt_bus_options to = { .kind = MLT_BUS_CONTROL,
                                        .url = stack.nats_url,
                                        .name = "test-book" };
    assert_int_equal(mlt_bus_connect(&to, &bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(bus, 10 * MLT_NS_PER_S), MLT_OK);
    assert_int_equal(mlt_store_create(bus, 1, &store, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_bucket(store, MLT_VERIFY_BUCKET, true, 0, 0, &err), MLT_OK);
    for (unsigned i = 0; i < MARKETS; i++) {
        market_init(&markets[i], 10 + i);
    }
    put_checkpoint(RIGHT, QUIET); /* before the one that tells of it begins */
    assert_int_equal(pthread_create(&teller, NULL, tell_all, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    atomic_store(&over, true);
    assert_int_equal(pthread_join(teller, NULL), 0);
    mlt_store_destroy(store);
    mlt_bus_destroy(bus, 0);
    mlt_stack_stop(&stack);
    return 0;
}

static const cJSON *member(const cJSON *json, const char *name)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(json, name);
    if (m == NULL) {
        fail_msg("no member %s", name);
    }
    return m;
}

static double count(const cJSON *json, const char *name)
{
    return member(json, name)->valuedouble;
}

static cJSON *parse(struct command *c)
{
    cJSON *json = cJSON_Parse(command_out(c));
    if (json == NULL) {
        fail_msg("no JSON: %s%s", command_out(c), command_err(c));
    }
    return json;
}

/* ---- verify ---- */

static struct mlt_verify_result results[JOINERS];

static void *join_late(void *arg)
{
    struct mlt_verify_result *r = arg;
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_verify_options options = {
        .bus = bus, .instrument = tokens[RIGHT], .duration_ns = MLT_NS_PER_S, .stop = -1
    };
    if (mlt_verify(&options, r, &err) != MLT_OK) {
        abort();
    }
    return NULL;
}

static void test_many_late_joiners_all_have_the_book(void **state)
{
    (void)state;
    pthread_t threads[JOINERS];
    for (unsigned i = 0; i < JOINERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, join_late, &results[i]), 0);
    }
    for (unsigned i = 0; i < JOINERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (unsigned i = 0; i < JOINERS; i++) {
        const struct mlt_verify_result *r = &results[i];
        assert_string_equal(r->reason, "");
        assert_true(r->right && r->joined && r->join_ns >= 0);
        assert_true(r->join_ns < MLT_VERIFY_JOIN_NS);
        assert_int_equal(r->counts.digests_wrong + r->counts.books_wrong, 0);
        assert_true(r->counts.digests_right > 20);
        assert_true(r->counts.books_right > 2);
        assert_int_equal(r->counts.update_gaps, 0);
        assert_int_equal(r->state, MLT_BOOK_LIVE);
    }
}

static void test_verify_says_right_and_how_it_knows(void **state)
{
    (void)state;
    struct command json_one, text_one, gaps;
    command_start(&json_one, ARGS("verify", tokens[RIGHT], "--seconds", "1", "--json", HERE), NULL);
    command_start(&text_one, ARGS("verify", tokens[RIGHT], "--seconds", "1", HERE), NULL);
    command_start(&gaps, ARGS("verify", tokens[GAPS], "--seconds", "2", "--json", HERE), NULL);
    assert_int_equal(command_end(&json_one), 0);
    cJSON *json = parse(&json_one);
    assert_true(cJSON_IsTrue(member(json, "right")));
    assert_true(count(json, "digests_right") > 20);
    assert_true(count(json, "checkpoint_reads") >= 1);
    assert_string_equal(member(json, "state")->valuestring, "LIVE");
    cJSON_Delete(json);
    assert_int_equal(command_end(&text_one), 0);
    assert_non_null(strstr(command_out(&text_one), "RIGHT-USDT: right\n"));
    assert_non_null(strstr(command_out(&text_one), " 0 wrong; books: "));
    /* What is missing at the exchange and mended by the Conductor is no fault of the stream. */
    const int status = command_end(&gaps);
    json = parse(&gaps);
    if (status != 0) {
        fail_msg("%s", command_out(&gaps));
    }
    assert_true(count(json, "resets") >= 1);
    assert_int_equal(count(json, "digests_wrong"), 0);
    cJSON_Delete(json);
    command_free(&json_one);
    command_free(&text_one);
    command_free(&gaps);
}

static void test_verify_finds_each_thing_that_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *token, *reason;
        bool compared; /* else that is wrong before a digest or a book has come */
    } cases[] = {
        { "DIGEST-USDT", "BOOK_DELTA at update id", true },
        { "HOLE-USDT", "events are missing by their sequence", false },
        { "LEVEL-USDT", "BOOK at update id", true },
        { "CHECKPOINT-USDT", "checkpoint at update id", false },
    };
    enum { CASES = sizeof cases / sizeof cases[0] };
    struct command commands[CASES];
    const int64_t since = mlt_clock_mono_ns();
    for (unsigned i = 0; i < CASES; i++) {
        command_start(&commands[i],
                      ARGS("verify", cases[i].token, "--seconds", "1", "--json", HERE), NULL);
    }
    for (unsigned i = 0; i < CASES; i++) {
        assert_int_equal(command_end(&commands[i]), 1);
        cJSON *json = parse(&commands[i]);
        assert_true(cJSON_IsFalse(member(json, "right")));
        if (strstr(member(json, "reason")->valuestring, cases[i].reason) == NULL ||
            (cases[i].compared && count(json, "compared") == 0)) {
            fail_msg("%s: %s", cases[i].token, command_out(&commands[i]));
        }
        cJSON_Delete(json);
        command_free(&commands[i]);
    }
    assert_true(mlt_clock_mono_ns() - since < (MLT_TEST_SANITIZED ? 25 : 15) * MLT_NS_PER_S);
}

static void test_verify_says_so_where_nothing_moved(void **state)
{
    (void)state;
    struct command quiet;
    assert_int_equal(command_run(&quiet, ARGS("verify", QUIET, "--seconds", "1", HERE), NULL), 0);
    assert_non_null(strstr(command_out(&quiet), QUIET ": right, but nothing moved in that time"));
    assert_non_null(strstr(command_out(&quiet), "  digests: 1 right, 0 wrong; books: 0 right"));
    command_free(&quiet);
}

/* What was not looked at is neither right nor wrong. */
static void test_verify_says_so_where_nothing_was_compared(void **state)
{
    (void)state;
    struct command nobody, json_one;
    command_start(&nobody, ARGS("verify", "NOBODY-USDT", "--seconds", "1", HERE), NULL);
    command_start(&json_one, ARGS("verify", "NOBODY-USDT", "--seconds", "1", "--json", HERE), NULL);
    assert_int_equal(command_end(&nobody), 3);
    const char *out = command_out(&nobody);
    assert_null(strstr(out, "WRONG"));
    assert_non_null(
        strstr(out, "NOBODY-USDT: nothing compared: no book: no checkpoint NOBODY-USDT"));
    assert_non_null(strstr(out, "it is not listed, or nobody asks for its BOOK"));
    assert_non_null(strstr(out, "meltica sub BOOK NOBODY-USDT"));
    assert_non_null(strstr(out, "  state not told, no book, never joined, "));
    assert_null(strstr(out, "digest 0"));
    assert_null(strstr(out, "-1"));
    assert_int_equal(command_end(&json_one), 3);
    cJSON *json = parse(&json_one);
    assert_true(cJSON_IsFalse(member(json, "right")));
    assert_int_equal(count(json, "compared"), 0);
    cJSON_Delete(json);
    command_free(&nobody);
    command_free(&json_one);
}

static void test_verify_says_so_where_the_book_is_not_live_at_the_end(void **state)
{
    (void)state;
    struct command text_one, json_one;
    command_start(&text_one, ARGS("verify", tokens[AWAY], "--seconds", "1", HERE), NULL);
    command_start(&json_one, ARGS("verify", tokens[AWAY], "--seconds", "1", "--json", HERE), NULL);
    const int status = command_end(&text_one);
    if (status != 3) {
        fail_msg("status %d: %s", status, command_out(&text_one));
    }
    assert_non_null(strstr(command_out(&text_one),
                           "AWAY-USDT: nothing was wrong: the book is not LIVE at the end: GAP\n"));
    assert_int_equal(command_end(&json_one), 3);
    cJSON *json = parse(&json_one);
    assert_true(cJSON_IsFalse(member(json, "right")));
    assert_true(count(json, "compared") > 0);
    assert_int_equal(count(json, "digests_wrong"), 0);
    cJSON_Delete(json);
    command_free(&text_one);
    command_free(&json_one);
}

static void test_verify_finds_a_malformed_checkpoint(void **state)
{
    (void)state;
    struct command c;
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t revision = 0;
    assert_int_equal(mlt_kv_put(store, MLT_VERIFY_BUCKET, "BROKEN-USDT.checkpoint",
                                mlt_slice_of_string("no checkpoint"), &revision, &err),
                     MLT_OK);
    assert_int_equal(command_run(&c, ARGS("verify", "BROKEN-USDT", "--seconds", "1", HERE), NULL),
                     1);
    assert_non_null(strstr(command_out(&c), "BROKEN-USDT: WRONG: the checkpoint is malformed: "));
    command_free(&c);
}

static void test_a_signal_ends_verify_with_a_verdict(void **state)
{
    (void)state;
    struct command book, c;
    /* Something that tells us when a second or so has passed: a book command that ends by itself.
     */
    command_start(&c, ARGS("verify", tokens[RIGHT], "--seconds", "3600", "--json", HERE), NULL);
    assert_int_equal(
        command_run(&book, ARGS("book", tokens[RIGHT], "--json", "--seconds", "3", HERE), NULL), 0);
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(command_end(&c), 0);
    cJSON *json = parse(&c);
    assert_true(cJSON_IsTrue(member(json, "right")));
    assert_true(count(json, "digests_right") > 20);
    cJSON_Delete(json);
    command_free(&c);
    command_free(&book);
}

/* ---- book ---- */

static void test_book_once_is_one_ladder_without_colours(void **state)
{
    (void)state;
    struct command c;
    assert_int_equal(command_run(&c, ARGS("book", tokens[RIGHT], "--once", HERE), NULL), 0);
    const char *out = command_out(&c);
    assert_null(strchr(out, '\x1b'));
    assert_non_null(strstr(out, "RIGHT-USDT  LIVE  update "));
    assert_non_null(strstr(out, "quality: good"));
    unsigned lines = 0;
    for (const char *at = out; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    assert_true(lines >= 20 + 5 && lines <= 40 + 7); /* 20 levels a side at most */
    command_free(&c);
}

static void test_book_json_is_books_only(void **state)
{
    (void)state;
    struct command c;
    assert_int_equal(command_run(&c, ARGS("book", tokens[RIGHT], "--json", "--once", HERE), NULL),
                     0);
    cJSON *json = parse(&c);
    assert_string_equal(member(json, "type")->valuestring, "BOOK");
    assert_string_equal(member(member(json, "book"), "state")->valuestring, "LIVE");
    assert_int_equal(cJSON_GetArraySize(member(member(json, "book"), "bids")), 20);
    cJSON_Delete(json);
    command_free(&c);
}

static void test_book_of_nobody_says_so(void **state)
{
    (void)state;
    struct command c;
    assert_int_equal(command_run(&c, ARGS("book", "NOBODY-USDT", "--seconds", "1", HERE), NULL), 1);
    assert_non_null(strstr(command_err(&c), "no BOOK of NOBODY-USDT came"));
    assert_string_equal(command_out(&c), "");
    command_free(&c);
}

static void test_wrong_options_get_the_usage(void **state)
{
    (void)state;
    const char *const *const calls[] = {
        ARGS("book"),
        ARGS("book", "BTC.USDT"),
        ARGS("book", "A-B", "C-D"),
        ARGS("book", "A-B", "--seconds", "soon"),
        ARGS("verify"),
        ARGS("verify", "A-B", "--once"),
        ARGS("verify", "A B"),
        ARGS("verify", "A-B", "--seconds", "0"),
    };
    struct command c;
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        assert_int_equal(command_run(&c, calls[i], NULL), 2);
        assert_non_null(strstr(command_err(&c), "usage: meltica"));
        assert_string_equal(command_out(&c), "");
        command_free(&c);
    }
}

static void test_the_help_says_how_it_ends(void **state)
{
    (void)state;
    struct command c;
    assert_int_equal(command_run(&c, ARGS("book", "--help"), NULL), 0);
    assert_non_null(strstr(command_out(&c), "until Ctrl-C, or for --seconds; --once: "));
    command_free(&c);
    assert_int_equal(command_run(&c, ARGS("tail", "--help"), NULL), 0);
    assert_non_null(strstr(command_out(&c), "until Ctrl-C, or for --seconds, or until --count"));
    command_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_late_joiners_all_have_the_book),
        cmocka_unit_test(test_verify_says_right_and_how_it_knows),
        cmocka_unit_test(test_verify_finds_each_thing_that_is_wrong),
        cmocka_unit_test(test_verify_says_so_where_nothing_moved),
        cmocka_unit_test(test_verify_says_so_where_nothing_was_compared),
        cmocka_unit_test(test_verify_says_so_where_the_book_is_not_live_at_the_end),
        cmocka_unit_test(test_verify_finds_a_malformed_checkpoint),
        cmocka_unit_test(test_a_signal_ends_verify_with_a_verdict),
        cmocka_unit_test(test_book_once_is_one_ladder_without_colours),
        cmocka_unit_test(test_book_json_is_books_only),
        cmocka_unit_test(test_book_of_nobody_says_so),
        cmocka_unit_test(test_wrong_options_get_the_usage),
        cmocka_unit_test(test_the_help_says_how_it_ends),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, set_up, tear_down));
}
