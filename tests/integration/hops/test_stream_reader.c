#include "server.h"

#include <inttypes.h>
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/bus/stream_reader.h"

#define RECORDS 1000u

static struct server server;
static struct mlt_bus *bus;
static struct mlt_store *store;

static void open_store(bool jetstream)
{
    server_start(&server, jetstream, "");
    bus = server_connect(&server, NULL);
    assert_int_equal(mlt_store_create(bus, 1, &store, NULL), MLT_OK);
}

static int close_store(void **state)
{
    (void)state;
    mlt_store_destroy(store);
    mlt_bus_destroy(bus, 0);
    server_end(&server);
    return 0;
}

static void make_stream(void)
{
    const struct mlt_stream_spec spec = { .name = "LOG",
                                          .subjects = { "log.*", NULL },
                                          .max_msgs_per_subject = 5 };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_store_ensure_stream(store, &spec, &err), MLT_OK);
}

static void append(unsigned subject, struct mlt_slice payload)
{
    char name[32];
    uint64_t sequence = 0;
    bool duplicate = false;
    struct mlt_error err = MLT_ERROR_INIT;
    (void)snprintf(name, sizeof name, "log.%u", subject);
    assert_int_equal(
        mlt_stream_append(store, name, NULL, NULL, payload, &sequence, &duplicate, &err), MLT_OK);
}

static void append_number(unsigned subject, unsigned number)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%u of %u", number, subject);
    append(subject, mlt_slice_of_string(text));
}

static void ask(const char *subject, const char *body)
{
    struct mlt_buf answer;
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_init(&answer, 4096);
    assert_int_equal(
        mlt_bus_request(bus, subject, mlt_slice_of_string(body), 10 * MLT_NS_PER_S, &answer, &err),
        MLT_OK);
    mlt_buf_fini(&answer);
}

static struct mlt_stream_reader *open_reader(void)
{
    struct mlt_stream_reader *reader = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_stream_reader_create(store, "LOG", "log.>", &reader, &err), MLT_OK);
    return reader;
}

/* Each message as the reader gives it is the one that a single request for it brings. */
static unsigned assert_as_single(struct mlt_stream_reader *reader)
{
    uint64_t given = 0, alone = 0;
    struct mlt_buf got, wanted;
    struct mlt_error err = MLT_ERROR_INIT;
    enum mlt_status status = MLT_OK;
    mlt_buf_init(&got, 1u << 20);
    mlt_buf_init(&wanted, 1u << 20);
    for (unsigned n = 0;; n++) {
        mlt_buf_clear(&got);
        mlt_buf_clear(&wanted);
        status = mlt_stream_reader_next(reader, given + 1, &got, &given, &err);
        assert_int_equal(mlt_stream_next(store, "LOG", "log.>", alone + 1, &wanted, &alone, &err),
                         status);
        if (status != MLT_OK) {
            assert_int_equal(status, MLT_E_NOT_FOUND);
            mlt_buf_fini(&got);
            mlt_buf_fini(&wanted);
            return n;
        }
        assert_int_equal(given, alone);
        assert_int_equal(got.len, wanted.len);
        assert_memory_equal(got.data, wanted.data, got.len);
    }
}

/* How many come behind a sequence. */
static unsigned read_on(struct mlt_stream_reader *reader, uint64_t sequence)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf got;
    unsigned n = 0;
    mlt_buf_init(&got, 1u << 20);
    while (mlt_stream_reader_next(reader, sequence + 1, &got, &sequence, &err) == MLT_OK) {
        mlt_buf_clear(&got);
        n++;
    }
    mlt_buf_fini(&got);
    return n;
}

static void test_all_is_given_in_order_in_a_few_requests(void **state)
{
    (void)state;
    open_store(true);
    make_stream();
    for (unsigned i = 0; i < RECORDS; i++) {
        append_number(i % 300, i);
    }
    struct mlt_stream_reader *reader = open_reader();
    assert_int_equal(assert_as_single(reader), RECORDS);
    assert_true(mlt_stream_reader_stats(reader).singles < 16);
    assert_true(mlt_stream_reader_stats(reader).runs < RECORDS / 64 + 8);
    mlt_stream_reader_destroy(reader);

    /* Some are no more: deleted, or more of a subject than are kept. */
    ask("$JS.API.STREAM.MSG.DELETE.LOG", "{\"seq\":5}");
    for (unsigned i = 0; i < 200; i++) {
        char body[32];
        (void)snprintf(body, sizeof body, "{\"seq\":%u}", 500 + i);
        ask("$JS.API.STREAM.MSG.DELETE.LOG", body);
        append_number(7, i);
    }
    reader = open_reader();
    /* 608 was of log.7, of which there were four: 5 came in their place, and 199 are deleted. */
    assert_int_equal(assert_as_single(reader), RECORDS - 1 - 199 - 4 + 5);
    mlt_stream_reader_destroy(reader);
}

/* Runs bring next to nothing where one sequence of ten has a message. */
static void test_a_log_with_more_holes_than_messages_is_read_one_by_one(void **state)
{
    (void)state;
    open_store(true);
    make_stream();
    for (unsigned i = 1; i <= RECORDS; i++) {
        char body[32];
        append_number(i, i);
        (void)snprintf(body, sizeof body, "{\"seq\":%u}", i);
        if (i % 10 != 0) {
            ask("$JS.API.STREAM.MSG.DELETE.LOG", body);
        }
    }
    struct mlt_stream_reader *reader = open_reader();
    assert_int_equal(assert_as_single(reader), RECORDS / 10);
    assert_in_range(mlt_stream_reader_stats(reader).runs, 1, 5);
    /* Behind it none is missing. */
    for (unsigned i = 1; i <= RECORDS; i++) {
        append_number(i % 300, i);
    }
    assert_int_equal(read_on(reader, RECORDS), RECORDS);
    assert_in_range(mlt_stream_reader_stats(reader).runs, RECORDS / 64, RECORDS / 64 + 12);
    mlt_stream_reader_destroy(reader);
}

/* Of 100 records the reader has given those up to `until`. */
static struct mlt_stream_reader *open_and_read(uint64_t until, struct mlt_buf *got,
                                               uint64_t *sequence)
{
    struct mlt_error err = MLT_ERROR_INIT;
    open_store(true);
    make_stream();
    for (unsigned i = 0; i < 100; i++) {
        append_number(i, 1);
    }
    struct mlt_stream_reader *reader = open_reader();
    mlt_buf_init(got, 4096);
    *sequence = 0;
    while (*sequence < until) {
        assert_int_equal(mlt_stream_reader_next(reader, *sequence + 1, got, sequence, &err),
                         MLT_OK);
    }
    return reader;
}

static void test_who_follows_the_end_asks_for_one_at_a_time(void **state)
{
    (void)state;
    open_store(true);
    make_stream();
    struct mlt_stream_reader *reader = open_reader();
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf got;
    uint64_t sequence = 0;
    mlt_buf_init(&got, 64);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(mlt_stream_reader_next(reader, sequence + 1, &got, &sequence, &err),
                         MLT_E_NOT_FOUND);
        append_number(i, i);
        mlt_buf_clear(&got);
        assert_int_equal(mlt_stream_reader_next(reader, sequence + 1, &got, &sequence, &err),
                         MLT_OK);
        assert_int_equal(sequence, i + 1);
    }
    assert_int_equal(mlt_stream_reader_stats(reader).runs, 0);
    assert_int_equal(mlt_stream_reader_stats(reader).singles, 40);
    mlt_buf_fini(&got);
    mlt_stream_reader_destroy(reader);
}

/* A log that was lost and made anew is read from its start, and nothing is given of the old one. */
static void test_another_place_is_asked_for_anew(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf got;
    uint64_t sequence = 0;
    struct mlt_stream_reader *reader = open_and_read(30, &got, &sequence);
    ask("$JS.API.STREAM.DELETE.LOG", "");
    make_stream();
    append_number(3, 2);
    mlt_buf_clear(&got);
    assert_int_equal(mlt_stream_reader_next(reader, 1, &got, &sequence, &err), MLT_OK);
    assert_int_equal(sequence, 1);
    assert_int_equal(got.len, strlen("2 of 3"));
    assert_memory_equal(got.data, "2 of 3", got.len);
    mlt_buf_fini(&got);
    mlt_stream_reader_destroy(reader);
}

/* More bytes than a run may hold. */
static void test_large_messages_come_all(void **state)
{
    (void)state;
    open_store(true);
    make_stream();
    uint8_t *bytes = malloc(900u << 10);
    assert_non_null(bytes);
    for (unsigned i = 0; i < 40; i++) {
        memset(bytes, (int)i, 900u << 10);
        append(i, mlt_slice_of(bytes, 900u << 10));
    }
    free(bytes);
    struct mlt_stream_reader *reader = open_reader();
    assert_int_equal(assert_as_single(reader), 40);
    assert_true(mlt_stream_reader_stats(reader).runs > 6); /* 4 MiB each, and not 64 messages */
    mlt_stream_reader_destroy(reader);
}

static void test_without_a_server_it_says_so(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf got;
    uint64_t sequence = 0;
    enum mlt_status status = MLT_OK;
    struct mlt_stream_reader *reader = open_and_read(6, &got, &sequence);
    server_end(&server);
    while (status == MLT_OK) { /* what it holds first */
        status = mlt_stream_reader_next(reader, sequence + 1, &got, &sequence, &err);
    }
    assert_true(sequence < 100);
    assert_int_equal(status, MLT_E_UNAVAILABLE);
    mlt_buf_fini(&got);
    mlt_stream_reader_destroy(reader);
    mlt_store_destroy(store);
    mlt_bus_destroy(bus, 0);
}

/* ---- what answers is behind, lies, or says nothing ---- */

enum lie { BEHIND, UNHEARD, LOWER, GARBAGE, MUTE, LIES };

static struct {
    uint64_t last;             /* all up to it are there */
    atomic_uint asked[256];    /* how often, by sequence */
    enum lie of_sequence[256]; /* the first time */
    bool lies[256];
} liar;

/* text: of the sequence; NULL: none, but a status. */
static void answer(natsConnection *nc, const char *to, uint64_t sequence, const char *text,
                   const char *status)
{
    natsMsg *reply = NULL;
    char payload[32];
    (void)snprintf(payload, sizeof payload, "%" PRIu64, sequence);
    assert_int_equal(natsMsg_Create(&reply, to, NULL, text != NULL ? payload : "",
                                    text != NULL ? (int)strlen(payload) : 0),
                     NATS_OK);
    if (text != NULL) {
        assert_int_equal(natsMsgHeader_Set(reply, "Nats-Stream", "LOG"), NATS_OK);
        assert_int_equal(natsMsgHeader_Set(reply, "Nats-Subject", "log.a"), NATS_OK);
        assert_int_equal(natsMsgHeader_Set(reply, "Nats-Sequence", text), NATS_OK);
        assert_int_equal(natsMsgHeader_Set(reply, "Nats-Time-Stamp", "2026-01-01T00:00:00Z"),
                         NATS_OK);
    } else {
        assert_int_equal(natsMsgHeader_Set(reply, "Status", status), NATS_OK);
    }
    assert_int_equal(natsConnection_PublishMsg(nc, reply), NATS_OK);
    natsMsg_Destroy(reply);
}

static void on_liar(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
    char body[256];
    (void)sub, (void)closure;
    (void)snprintf(body, sizeof body, "%.*s", natsMsg_GetDataLength(msg), natsMsg_GetData(msg));
    const char *at = strstr(body, "\"seq\":");
    assert_non_null(at);
    const uint64_t sequence = strtoull(at + 6, NULL, 10);
    const char *to = natsMsg_GetReply(msg);
    const bool there = sequence <= liar.last;
    if (strstr(natsMsg_GetSubject(msg), ".DIRECT.GET.") == NULL) { /* the leader */
        assert_int_equal(
            natsConnection_PublishString(
                nc, to,
                there ? "{\"message\":{\"subject\":\"log.a\",\"seq\":8,\"data\":\"eA==\"}}"
                      : "{\"error\":{\"code\":404,\"err_code\":10037,\"description\":\"x\"}}"),
            NATS_OK);
    } else {
        char text[32];
        const bool lies =
            there && liar.lies[sequence] && atomic_fetch_add(&liar.asked[sequence], 1) == 0;
        const enum lie lie = lies ? liar.of_sequence[sequence] : LIES;
        (void)snprintf(text, sizeof text, "%" PRIu64, lie == LOWER ? sequence - 1 : sequence);
        const bool absent = !there || lie == BEHIND || lie == UNHEARD;
        if (lie != MUTE) {
            answer(nc, to, sequence,
                   absent           ? NULL
                   : lie == GARBAGE ? "7x"
                                    : text,
                   lie == UNHEARD ? "503" : "404");
        }
    }
    natsMsg_Destroy(msg);
}

static void test_what_one_answer_lacks_is_asked_for_again_and_nothing_is_passed_over(void **state)
{
    (void)state;
    natsConnection *connection = NULL;
    natsSubscription *sub = NULL;
    open_store(false);
    memset(&liar, 0, sizeof liar);
    liar.last = 200;
    for (uint64_t i = 20; i < 200; i += 10) {
        liar.lies[i] = true;
        liar.of_sequence[i] = (enum lie)(i / 10 % MUTE);
    }
    liar.lies[150] = true;
    liar.of_sequence[150] = MUTE; /* of a run: a quarter of a second */
    assert_int_equal(natsConnection_ConnectTo(&connection, server.url), NATS_OK);
    assert_int_equal(natsConnection_Subscribe(&sub, connection, "$JS.API.>", on_liar, NULL),
                     NATS_OK);
    assert_int_equal(natsConnection_Flush(connection), NATS_OK);
    struct mlt_stream_reader *reader = open_reader();
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf got;
    uint64_t sequence = 0;
    unsigned refused = 0;
    mlt_buf_init(&got, 64);
    for (uint64_t i = 1; i <= liar.last;) {
        mlt_buf_clear(&got);
        if (mlt_stream_reader_next(reader, i, &got, &sequence, &err) != MLT_OK) {
            refused++; /* a single answer that lies is refused as it is without runs */
            assert_true(refused < 40);
            continue;
        }
        assert_int_equal(sequence, i);
        assert_int_equal(mlt_buf_append_byte(&got, 0), MLT_OK);
        assert_int_equal(strtoull((const char *)got.data, NULL, 10), i);
        i++;
    }
    assert_int_equal(mlt_stream_reader_next(reader, liar.last + 1, &got, &sequence, &err),
                     MLT_E_NOT_FOUND);
    assert_true(mlt_stream_reader_stats(reader).runs > 4);
    mlt_buf_fini(&got);
    mlt_stream_reader_destroy(reader);
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(connection);
}

static void test_names_that_are_none_are_refused(void **state)
{
    (void)state;
    struct mlt_stream_reader *reader = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    open_store(false);
    assert_int_equal(mlt_stream_reader_create(store, "a.b", "log.>", &reader, &err), MLT_E_INVALID);
    assert_int_equal(mlt_stream_reader_create(store, "LOG", "log..a", &reader, &err),
                     MLT_E_INVALID);
    assert_null(reader);
    mlt_stream_reader_destroy(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, close_store)
    const struct CMUnitTest tests[] = {
        TEST(test_all_is_given_in_order_in_a_few_requests),
        TEST(test_a_log_with_more_holes_than_messages_is_read_one_by_one),
        TEST(test_who_follows_the_end_asks_for_one_at_a_time),
        TEST(test_another_place_is_asked_for_anew),
        TEST(test_large_messages_come_all),
        cmocka_unit_test(test_without_a_server_it_says_so),
        TEST(test_what_one_answer_lacks_is_asked_for_again_and_nothing_is_passed_over),
        TEST(test_names_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
