#include "server.h"

#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/bus/store.h"
#include "meltica/bus/stored.h"

/* Within 1 s, and what a busy machine adds; two waits of 1 s in a row would be too much. */
#define FAST_NS (1800 * MLT_NS_PER_MS)
#define BIG UINT64_C(1785000000123456789)

static struct server server;
static struct mlt_bus *bus;
static struct mlt_store *store;

static int set_up(void **state)
{
    (void)state;
    server_start(&server, true, "");
    bus = server_connect(&server, NULL);
    return mlt_store_create(bus, 1, &store, NULL) == MLT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_store_destroy(store);
    mlt_bus_destroy(bus, 0);
    server_end(&server);
    return 0;
}

static struct mlt_slice text(const char *s)
{
    return mlt_slice_of_string(s);
}

/* Answer of the JetStream API as a string. */
static const char *api(struct mlt_bus *on, const char *subject, const char *body)
{
    static char out[16384];
    struct mlt_buf answer;
    mlt_buf_init(&answer, sizeof out - 1);
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_bus_request(on, subject, text(body), 10 * MLT_NS_PER_S, &answer, &err) != MLT_OK) {
        fail_msg("%s: %s", subject, err.text);
    }
    (void)snprintf(out, sizeof out, "%.*s", MLT_SLICE_FMT(mlt_buf_view(&answer)));
    mlt_buf_fini(&answer);
    return out;
}

static void assert_has(const char *haystack, const char *needle)
{
    if (strstr(haystack, needle) == NULL) {
        fail_msg("'%s' is not in: %s", needle, haystack);
    }
}

/* ---- streams ---- */

static void test_stream_is_created_as_asked(void **state)
{
    (void)state;
    const struct mlt_stream_spec spec = { .name = "CREATED",
                                          .subjects = { "created.*", "made.>", NULL },
                                          .memory = true,
                                          .max_bytes = 1 << 20,
                                          .max_age_ns = 60 * MLT_NS_PER_S,
                                          .max_msgs = 17,
                                          .first_sequence = BIG };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_store_ensure_stream(store, &spec, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_stream(store, &spec, &err), MLT_OK);
    const char *info = api(bus, "$JS.API.STREAM.INFO.CREATED", "");
    assert_has(info, "\"subjects\":[\"created.*\",\"made.\\u003e\"]");
    assert_has(info, "\"storage\":\"memory\"");
    assert_has(info, "\"discard\":\"old\"");
    assert_has(info, "\"max_bytes\":1048576");
    assert_has(info, "\"max_age\":60000000000");
    assert_has(info, "\"max_msgs\":17");
    assert_has(info, "\"first_seq\":1785000000123456789");
}

static void append_to(const char *subject, const char *id, const char *text, uint64_t sequence,
                      bool duplicate)
{
    uint64_t got = 0;
    bool was = false;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(
        mlt_stream_append(store, subject, id, NULL, mlt_slice_of_string(text), &got, &was, &err),
        MLT_OK);
    assert_int_equal(got, sequence);
    assert_int_equal(was, duplicate);
}

static void test_stream_is_appended_to_once_an_id_and_read_in_order(void **state)
{
    (void)state;
    const struct mlt_stream_spec spec = { .name = "LOG",
                                          .subjects = { "log.*", NULL },
                                          .max_msgs_per_subject = 2,
                                          .duplicates_ns = 60 * MLT_NS_PER_S };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf payload;
    uint64_t sequence = 0;
    bool duplicate = false;
    mlt_buf_init(&payload, 64);
    assert_int_equal(mlt_stream_next(store, "LOG", "log.>", 1, &payload, &sequence, &err),
                     MLT_E_UNAVAILABLE);
    assert_int_equal(mlt_stream_append(store, "log.a", NULL, NULL, mlt_slice_of_string("x"),
                                       &sequence, &duplicate, &err),
                     MLT_E_UNAVAILABLE);
    assert_int_equal(mlt_store_ensure_stream(store, &spec, &err), MLT_OK);
    assert_has(api(bus, "$JS.API.STREAM.INFO.LOG", ""), "\"max_msgs_per_subject\":2");
    append_to("log.a", "one", "a1", 1, false);
    append_to("log.b", "two", "b1", 2, false);
    append_to("log.b", "one", "b2", 1, true); /* the id is the first one's */
    append_to("log.a", NULL, "a2", 3, false);
    append_to("log.a", NULL, "a3", 4, false);
    /* Only while the subject's last is the one that is known. */
    uint64_t known = 3;
    assert_int_equal(mlt_stream_append(store, "log.a", NULL, &known, mlt_slice_of_string("no"),
                                       &sequence, &duplicate, &err),
                     MLT_E_CONFLICT);
    known = 4;
    assert_int_equal(mlt_stream_append(store, "log.a", NULL, &known, mlt_slice_of_string("a4"),
                                       &sequence, &duplicate, &err),
                     MLT_OK);
    /* Two of a subject are kept: b1, a3, a4. */
    static const struct {
        const char *text;
        uint64_t sequence;
    } kept[] = { { "b1", 2 }, { "a3", 4 }, { "a4", 5 } };
    sequence = 0;
    for (size_t i = 0; i < 3; i++) {
        mlt_buf_clear(&payload);
        assert_int_equal(
            mlt_stream_next(store, "LOG", "log.>", sequence + 1, &payload, &sequence, &err),
            MLT_OK);
        assert_int_equal(sequence, kept[i].sequence);
        assert_int_equal(payload.len, 2);
        assert_memory_equal(payload.data, kept[i].text, 2);
    }
    assert_int_equal(
        mlt_stream_next(store, "LOG", "log.>", sequence + 1, &payload, &sequence, &err),
        MLT_E_NOT_FOUND);
    mlt_buf_fini(&payload);
}

static void test_stream_that_exists_is_bound_and_never_changed(void **state)
{
    (void)state;
    (void)api(
        bus, "$JS.API.STREAM.CREATE.OWNED",
        "{\"name\":\"OWNED\",\"subjects\":[\"owned.>\"],\"storage\":\"file\","
        "\"retention\":\"limits\",\"max_age\":5000000000,\"description\":\"the operator's\"}");
    const struct mlt_stream_spec spec = { .name = "OWNED",
                                          .subjects = { "owned.*", NULL },
                                          .memory = true,
                                          .max_age_ns = 60 * MLT_NS_PER_S };
    assert_int_equal(mlt_store_ensure_stream(store, &spec, NULL), MLT_OK);
    const char *info = api(bus, "$JS.API.STREAM.INFO.OWNED", "");
    assert_has(info, "\"storage\":\"file\"");
    assert_has(info, "\"max_age\":5000000000");
    assert_has(info, "the operator's");
}

static void test_stream_that_misses_our_subject_is_a_configuration_error(void **state)
{
    (void)state;
    (void)api(bus, "$JS.API.STREAM.CREATE.NARROW",
              "{\"name\":\"NARROW\",\"subjects\":[\"narrow.a\"],\"storage\":\"memory\","
              "\"retention\":\"limits\"}");
    const struct mlt_stream_spec spec = { .name = "NARROW", .subjects = { "narrow.*", NULL } };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_store_ensure_stream(store, &spec, &err), MLT_E_CONFIG);
    assert_has(err.text, "narrow.*");
    const struct mlt_stream_spec overlap = { .name = "OTHER", .subjects = { "narrow.>", NULL } };
    assert_int_equal(mlt_store_ensure_stream(store, &overlap, &err), MLT_E_CONFIG);
    assert_has(err.text, "another stream captures");
}

static void test_stream_external_mode_never_creates_and_says_what_to_create(void **state)
{
    (void)state;
    struct mlt_store *external = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_store_create(bus, 0, &external, &err), MLT_OK);
    const struct mlt_stream_spec spec = { .name = "ABSENT",
                                          .subjects = { "absent.*", NULL },
                                          .memory = true,
                                          .max_age_ns = 900 * MLT_NS_PER_S };
    assert_int_equal(mlt_store_ensure_stream(external, &spec, &err), MLT_E_NOT_FOUND);
    assert_has(err.text, "nats stream add ABSENT --subjects 'absent.*' --storage memory");
    assert_has(err.text, "--max-age 900s");
    assert_int_equal(mlt_store_ensure_bucket(external, "absent", true, 0, 7, &err),
                     MLT_E_NOT_FOUND);
    assert_has(err.text, "KV_absent");
    assert_has(err.text, "--first-sequence");
    assert_has(api(bus, "$JS.API.STREAM.INFO.ABSENT", ""), "\"err_code\":10059");
    assert_int_equal(mlt_store_ensure_stream(store, &spec, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_stream(external, &spec, &err), MLT_OK);
    mlt_store_destroy(external);
}

/* ---- key-value ---- */

static void assert_value(const char *bucket, const char *key, const char *value, uint64_t revision)
{
    struct mlt_buf got;
    mlt_buf_init(&got, 4096);
    uint64_t at = 0;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_kv_get(store, bucket, key, &got, &at, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
    assert_true(mlt_slice_equal_string(mlt_buf_view(&got), value));
    assert_int_equal(at, revision);
    mlt_buf_fini(&got);
}

static void test_kv_revisions_begin_at_the_first_sequence_and_grow(void **state)
{
    (void)state;
    uint64_t revision = 0;
    assert_int_equal(mlt_store_ensure_bucket(store, "big", true, 0, BIG, NULL), MLT_OK);
    assert_int_equal(mlt_kv_put(store, "big", "a.b/c=d_e-f", text("one"), &revision, NULL), MLT_OK);
    assert_true(revision == BIG);
    assert_int_equal(mlt_kv_put(store, "big", "a.b/c=d_e-f", text("two"), &revision, NULL), MLT_OK);
    assert_true(revision == BIG + 1);
    assert_value("big", "a.b/c=d_e-f", "two", BIG + 1);
    assert_int_equal(
        mlt_kv_update(store, "big", "a.b/c=d_e-f", text(""), revision, &revision, NULL), MLT_OK);
    assert_value("big", "a.b/c=d_e-f", "", BIG + 2);
}

static void test_kv_update_of_another_revision_is_a_conflict(void **state)
{
    (void)state;
    uint64_t first = 0, second = 0, other = 0;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_store_ensure_bucket(store, "cas", true, 0, 0, NULL), MLT_OK);
    assert_int_equal(mlt_kv_update(store, "cas", "k", text("1"), 0, &first, &err), MLT_OK);
    assert_int_equal(mlt_kv_update(store, "cas", "k", text("x"), 0, &other, &err), MLT_E_CONFLICT);
    assert_int_equal(err.code, 10071);
    assert_int_equal(mlt_kv_update(store, "cas", "k", text("2"), first, &second, &err), MLT_OK);
    assert_true(second > first);
    assert_int_equal(mlt_kv_update(store, "cas", "k", text("x"), first, &other, &err),
                     MLT_E_CONFLICT);
    assert_int_equal(other, 0);
    assert_value("cas", "k", "2", second);
}

static void test_kv_deleted_key_is_not_found_and_can_be_created_again(void **state)
{
    (void)state;
    uint64_t revision = 0;
    char out[4096];
    struct mlt_buf got;
    mlt_buf_init(&got, 64);
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_store_ensure_bucket(store, "del", true, 0, 0, NULL), MLT_OK);
    assert_int_equal(mlt_kv_get(store, "del", "k", &got, &revision, &err), MLT_E_NOT_FOUND);
    assert_int_equal(mlt_kv_put(store, "del", "k", text("1"), &revision, NULL), MLT_OK);
    raw_client(&server,
               "SUB in 1\r\nHPUB $KV.del.k in 31 31\r\nNATS/1.0\r\nKV-Operation: DEL\r\n\r\n\r\n",
               "\"seq\":2", 1, out, sizeof out);
    assert_int_equal(mlt_kv_get(store, "del", "k", &got, &revision, &err), MLT_E_NOT_FOUND);
    assert_has(err.text, "deleted");
    assert_int_equal(mlt_kv_update(store, "del", "k", text("3"), 0, &revision, &err), MLT_OK);
    assert_int_equal(revision, 3);
    assert_value("del", "k", "3", 3);
    mlt_buf_fini(&got);
}

static void test_kv_bad_names_and_sizes_are_refused_before_they_are_sent(void **state)
{
    (void)state;
    static const char *const keys[] = { "",     ".a",       "a.",    "a..b", "a b", "a*",   "a.>",
                                        "_kvx", "\xc3\xa9", "a\x80", "a\nb", "$a",  "a\\b", NULL };
    uint64_t revision = 0;
    struct mlt_buf got;
    mlt_buf_init(&got, 4);
    assert_int_equal(mlt_store_ensure_bucket(store, "names", true, 0, 0, NULL), MLT_OK);
    for (int i = 0; keys[i] != NULL; i++) {
        assert_int_equal(mlt_kv_put(store, "names", keys[i], text("v"), &revision, NULL),
                         MLT_E_INVALID);
        assert_int_equal(mlt_kv_get(store, "names", keys[i], &got, &revision, NULL), MLT_E_INVALID);
    }
    assert_int_equal(mlt_kv_put(store, "na.mes", "k", text("v"), &revision, NULL), MLT_E_INVALID);
    assert_int_equal(mlt_store_ensure_bucket(store, "\xc3\xa9", true, 0, 0, NULL), MLT_E_INVALID);
    char key[400];
    memset(key, 'k', sizeof key);
    key[sizeof key - 1] = '\0';
    assert_int_equal(mlt_kv_put(store, "names", key, text("v"), &revision, NULL), MLT_E_TOO_BIG);
    const struct mlt_slice huge = { (const uint8_t *)key, MLT_BUS_PAYLOAD_BYTES_MAX + 1 };
    assert_int_equal(mlt_kv_put(store, "names", "k", huge, &revision, NULL), MLT_E_TOO_BIG);
    assert_int_equal(mlt_kv_put(store, "names", "k", text("12345"), &revision, NULL), MLT_OK);
    assert_int_equal(mlt_kv_get(store, "names", "k", &got, &revision, NULL), MLT_E_TOO_BIG);
    mlt_buf_fini(&got);
}

static void test_kv_missing_bucket_is_not_found(void **state)
{
    (void)state;
    uint64_t revision = 0;
    struct mlt_buf got;
    mlt_buf_init(&got, 64);
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_kv_put(store, "nowhere", "k", text("v"), &revision, &err),
                     MLT_E_NOT_FOUND);
    assert_has(err.text, "KV_nowhere");
    assert_int_equal(mlt_kv_get(store, "nowhere", "k", &got, &revision, &err), MLT_E_NOT_FOUND);
    assert_has(err.text, "KV_nowhere");
    mlt_buf_fini(&got);
}

static void test_kv_bucket_that_exists_keeps_its_configuration(void **state)
{
    (void)state;
    (void)api(bus, "$JS.API.STREAM.CREATE.KV_mine",
              "{\"name\":\"KV_mine\",\"subjects\":[\"$KV.mine.>\"],\"storage\":\"memory\","
              "\"retention\":\"limits\",\"max_msgs_per_subject\":5,\"max_age\":9000000000}");
    uint64_t revision = 0;
    assert_int_equal(mlt_store_ensure_bucket(store, "mine", true, 0, BIG, NULL), MLT_OK);
    assert_int_equal(mlt_kv_put(store, "mine", "k", text("v"), &revision, NULL), MLT_OK);
    assert_int_equal(revision, 1);
    assert_value("mine", "k", "v", 1); /* without allow_direct too */
    const char *info = api(bus, "$JS.API.STREAM.INFO.KV_mine", "");
    assert_has(info, "\"max_msgs_per_subject\":5");
    assert_has(info, "\"max_age\":9000000000");
    (void)api(bus, "$JS.API.STREAM.CREATE.KV_log",
              "{\"name\":\"KV_log\",\"subjects\":[\"$KV.log.>\"],\"storage\":\"memory\","
              "\"retention\":\"limits\"}");
    assert_int_equal(mlt_store_ensure_bucket(store, "log", true, 0, 0, NULL), MLT_E_CONFIG);
}

/* ---- JetStream away ---- */

struct attempt {
    enum mlt_status stream, put, update, get;
    int64_t slowest_ns;
    struct mlt_error err; /* of the put */
};

static void took(struct attempt *a, int64_t *since)
{
    const int64_t now = mlt_clock_mono_ns();
    a->slowest_ns = now - *since > a->slowest_ns ? now - *since : a->slowest_ns;
    *since = mlt_clock_mono_ns();
}

static void attempt_all(struct mlt_store *on, struct attempt *a)
{
    const struct mlt_stream_spec spec = { .name = "AWAY", .subjects = { "away.*", NULL } };
    uint64_t revision = 0;
    struct mlt_buf got;
    mlt_buf_init(&got, 64);
    a->slowest_ns = 0;
    int64_t since = mlt_clock_mono_ns();
    a->stream = mlt_store_ensure_stream(on, &spec, NULL);
    took(a, &since);
    a->put = mlt_kv_put(on, "away", "k", text("v"), &revision, &a->err);
    took(a, &since);
    a->update = mlt_kv_update(on, "away", "k", text("v"), 0, &revision, NULL);
    took(a, &since);
    a->get = mlt_kv_get(on, "away", "k", &got, &revision, NULL);
    took(a, &since);
    mlt_buf_fini(&got);
}

/* Stands in for a newer server, which has a second code for a conflict. */
static void on_put(void *ctx, const struct mlt_bus_message *message)
{
    assert_int_equal(
        mlt_bus_reply(ctx, message->reply,
                      text("{\"error\":{\"code\":400,\"err_code\":10164,\"description\":"
                           "\"wrong last sequence\"}}"),
                      0, NULL),
        MLT_OK);
}

static void test_jetstream_disabled_is_unavailable_at_once(void **state)
{
    (void)state;
    struct server plain;
    server_start(&plain, false, "");
    struct mlt_bus *b = server_connect(&plain, NULL);
    struct mlt_store *s = NULL;
    assert_int_equal(mlt_store_create(b, 1, &s, NULL), MLT_OK);
    struct attempt a = { .err = MLT_ERROR_INIT };
    bool at_once = false;
    for (unsigned i = 0; i < 3 && !at_once; i++) {
        attempt_all(s, &a);
        assert_int_equal(a.stream, MLT_E_UNAVAILABLE);
        assert_int_equal(a.put, MLT_E_UNAVAILABLE);
        assert_int_equal(a.update, MLT_E_UNAVAILABLE);
        assert_int_equal(a.get, MLT_E_UNAVAILABLE);
        at_once = a.slowest_ns < 900 * MLT_NS_PER_MS; /* none waits its second */
    }
    assert_true(at_once);
    assert_int_equal(mlt_store_ensure_bucket(s, "away", true, 0, 0, NULL), MLT_E_UNAVAILABLE);
    assert_has(a.err.text, "-js");

    struct mlt_bus_subscription *sub = NULL;
    const struct mlt_bus_subscribe_options options = { .subject = "$KV.away.k" };
    assert_int_equal(mlt_bus_subscribe(b, &options, on_put, b, &sub, NULL), MLT_OK);
    uint64_t revision = 0;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_kv_update(s, "away", "k", text("v"), 3, &revision, &err), MLT_E_CONFLICT);
    assert_int_equal(err.code, 10164);
    mlt_bus_unsubscribe(sub);

    server_stop(&plain);
    const int64_t begin = mlt_clock_mono_ns();
    attempt_all(s, &a);
    assert_int_equal(a.put, MLT_E_UNAVAILABLE);
    assert_int_equal(a.get, MLT_E_UNAVAILABLE);
    assert_int_equal(a.stream, MLT_E_UNAVAILABLE);
    assert_true(mlt_clock_mono_ns() - begin < 4 * FAST_NS);
    mlt_store_destroy(s);
    mlt_bus_destroy(b, 0);
    server_end(&plain);
}

/* Each time; on a busy machine the time may be another process's, but not each time. */
static void test_jetstream_that_hangs_is_unavailable_within_a_second(void **state)
{
    bool fast = false;
    (void)state;
    for (unsigned i = 0; i < 3 && !fast; i++) {
        struct attempt a;
        server_pause(&server);
        attempt_all(store, &a);
        server_resume(&server);
        assert_int_equal(a.stream, MLT_E_UNAVAILABLE);
        assert_int_equal(a.get, MLT_E_UNAVAILABLE);
        /* A write may have been done: that is another answer. */
        assert_int_equal(a.put, MLT_E_TIMEOUT);
        assert_int_equal(a.update, MLT_E_TIMEOUT);
        fast = a.slowest_ns < FAST_NS;
    }
    assert_true(fast);
}

/* The server has room, the account has not. */
static void test_a_full_account_is_a_limit_by_name(void **state)
{
    (void)state;
    static char payload[32768];
    const struct mlt_stream_spec spec = { .name = "SHARE", .subjects = { "share.*", NULL } };
    struct server shared;
    struct mlt_store *s = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    enum mlt_status status = MLT_OK;
    server_start(&shared, true,
                 "accounts { TENANT { jetstream { max_file: 524288 }, users: [ { user: tenant } ] "
                 "} }");
    struct mlt_bus *b = server_connect(&shared, "tenant");
    assert_int_equal(mlt_store_create(b, 1, &s, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_stream(s, &spec, &err), MLT_OK);
    for (unsigned i = 0; status == MLT_OK && i < 100; i++) {
        uint64_t sequence = 0;
        bool duplicate = false;
        status = mlt_stream_append(s, "share.a", NULL, NULL, mlt_slice_of(payload, sizeof payload),
                                   &sequence, &duplicate, &err);
    }
    assert_int_equal(status, MLT_E_LIMIT);
    assert_has(err.text, "the account's limits");
    mlt_store_destroy(s);
    mlt_bus_destroy(b, 0);
    server_end(&shared);
}

static void test_missing_permission_is_unauthorized(void **state)
{
    (void)state;
    struct server guarded;
    server_start(&guarded, true,
                 "authorization { users: [ { user: reader, permissions: { publish: { deny: "
                 "[\"$JS.API.STREAM.INFO.AWAY\", \"$KV.>\", "
                 "\"$JS.API.STREAM.MSG.GET.>\"] } } } ] }");
    struct mlt_bus *b = server_connect(&guarded, "reader");
    struct mlt_store *s = NULL;
    assert_int_equal(mlt_store_create(b, 1, &s, NULL), MLT_OK);
    struct attempt a;
    attempt_all(s, &a);
    assert_int_equal(a.stream, MLT_E_AUTH);
    assert_int_equal(a.put, MLT_E_AUTH);
    assert_int_equal(a.update, MLT_E_AUTH);
    assert_int_equal(a.get, MLT_E_AUTH);
    assert_has(a.err.text, "$KV.away.k");
    assert_has(a.err.text, "permission");
    mlt_store_destroy(s);
    mlt_bus_destroy(b, 0);
    server_end(&guarded);
}

/* A JetStream that is none: streams without a configuration, a message from before the one that was
 * asked for. */
static void on_api(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
    static const char nothing[] = "{\"type\":\"io.nats.jetstream.api.v1.stream_info_response\"}";
    const char *subject = natsMsg_GetSubject(msg);
    natsMsg *reply = NULL;
    (void)sub, (void)closure;
    if (strstr(subject, ".DIRECT.GET.") != NULL) {
        assert_int_equal(natsMsg_Create(&reply, natsMsg_GetReply(msg), NULL, "x", 1), NATS_OK);
        assert_int_equal(natsMsgHeader_Set(reply, "Nats-Stream", "S"), NATS_OK);
        assert_int_equal(natsMsgHeader_Set(reply, "Nats-Subject", "s.a"), NATS_OK);
        assert_int_equal(natsMsgHeader_Set(reply, "Nats-Sequence", "3"), NATS_OK);
        assert_int_equal(natsMsgHeader_Set(reply, "Nats-Time-Stamp", "2026-01-01T00:00:00Z"),
                         NATS_OK);
        assert_int_equal(natsConnection_PublishMsg(nc, reply), NATS_OK);
        natsMsg_Destroy(reply);
    } else {
        assert_int_equal(natsConnection_PublishString(nc, natsMsg_GetReply(msg), nothing), NATS_OK);
    }
    natsMsg_Destroy(msg);
}

static void test_a_jetstream_that_lies_is_not_believed(void **state)
{
    (void)state;
    struct server plain;
    natsConnection *liar = NULL;
    natsSubscription *sub = NULL;
    server_start(&plain, false, "");
    assert_int_equal(natsConnection_ConnectTo(&liar, plain.url), NATS_OK);
    assert_int_equal(natsConnection_Subscribe(&sub, liar, "$JS.API.>", on_api, NULL), NATS_OK);
    assert_int_equal(natsConnection_Flush(liar), NATS_OK);
    struct mlt_bus *b = server_connect(&plain, NULL);
    struct mlt_store *s = NULL;
    assert_int_equal(mlt_store_create(b, 1, &s, NULL), MLT_OK);
    const struct mlt_stream_spec there = { .name = "S", .subjects = { "s.*", NULL } };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_store_ensure_stream(s, &there, &err), MLT_E_PROTOCOL);
    assert_has(err.text, "S");
    struct mlt_stored_report report;
    assert_int_equal(mlt_stored_inspect(s, MLT_STORED_AUDIT, 0, &report, &err), MLT_E_PROTOCOL);
    struct mlt_buf bytes;
    uint64_t sequence = 0;
    mlt_buf_init(&bytes, 64);
    assert_int_equal(mlt_stream_next(s, "S", "s.*", 3, &bytes, &sequence, &err), MLT_OK);
    assert_int_equal(sequence, 3);
    assert_int_equal(mlt_stream_next(s, "S", "s.*", 4, &bytes, &sequence, &err), MLT_E_PROTOCOL);
    mlt_buf_fini(&bytes);
    mlt_store_destroy(s);
    mlt_bus_destroy(b, 0);
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(liar);
    server_end(&plain);
}

/* A cluster whose nearest replica is behind: direct reads find nothing until the leader was asked
 * so many times. */
static struct {
    unsigned direct, leader; /* asked */
    unsigned behind;         /* direct reads that find nothing */
    const char *leader_says;
    bool empty; /* and so is every direct read */
} replica;

static void on_replica(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
    natsMsg *reply = NULL;
    const char *to = natsMsg_GetReply(msg);
    (void)sub, (void)closure;
    if (strstr(natsMsg_GetSubject(msg), ".DIRECT.GET.") == NULL) {
        replica.leader++;
        assert_int_equal(natsConnection_PublishString(nc, to, replica.leader_says), NATS_OK);
    } else {
        const bool found = ++replica.direct > replica.behind && !replica.empty;
        assert_int_equal(natsMsg_Create(&reply, to, NULL, found ? "x" : "", found ? 1 : 0),
                         NATS_OK);
        if (found) {
            assert_int_equal(natsMsgHeader_Set(reply, "Nats-Stream", "S"), NATS_OK);
            assert_int_equal(natsMsgHeader_Set(reply, "Nats-Subject", "s.a"), NATS_OK);
            assert_int_equal(natsMsgHeader_Set(reply, "Nats-Sequence", "8"), NATS_OK);
            assert_int_equal(natsMsgHeader_Set(reply, "Nats-Time-Stamp", "2026-01-01T00:00:00Z"),
                             NATS_OK);
        } else {
            assert_int_equal(natsMsgHeader_Set(reply, "Status", "404"), NATS_OK);
        }
        assert_int_equal(natsConnection_PublishMsg(nc, reply), NATS_OK);
        natsMsg_Destroy(reply);
    }
    natsMsg_Destroy(msg);
}

#define LEADER_HAS_IT "{\"message\":{\"subject\":\"s.a\",\"seq\":8,\"data\":\"eA==\"}}"
#define LEADER_LACKS_IT                                                                            \
    "{\"error\":{\"code\":404,\"err_code\": 10037,\"description\":\"no message\"}}"
#define NO_LEADER "{\"error\":{\"code\":503,\"err_code\":10008,\"description\":\"x\"}}"

static enum mlt_status read_replica(struct mlt_store *s, unsigned behind, bool empty,
                                    const char *leader_says)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf got;
    uint64_t sequence = 0;
    replica.direct = replica.leader = 0;
    replica.behind = behind;
    replica.empty = empty;
    replica.leader_says = leader_says;
    mlt_buf_init(&got, 64);
    const enum mlt_status status = mlt_stream_next_current(s, "S", "s.*", 8, &got, &sequence, &err);
    assert_true(status != MLT_OK || (sequence == 8 && got.len == 1));
    mlt_buf_fini(&got);
    return status;
}

static void test_a_replica_that_is_behind_is_not_the_end(void **state)
{
    (void)state;
    struct server plain;
    natsConnection *cluster = NULL;
    natsSubscription *sub = NULL;
    server_start(&plain, false, "");
    assert_int_equal(natsConnection_ConnectTo(&cluster, plain.url), NATS_OK);
    assert_int_equal(natsConnection_Subscribe(&sub, cluster, "$JS.API.>", on_replica, NULL),
                     NATS_OK);
    assert_int_equal(natsConnection_Flush(cluster), NATS_OK);
    struct mlt_bus *b = server_connect(&plain, NULL);
    struct mlt_store *s = NULL;
    assert_int_equal(mlt_store_create(b, 1, &s, NULL), MLT_OK);
    assert_int_equal(read_replica(s, 0, false, LEADER_HAS_IT), MLT_OK);
    assert_int_equal(replica.leader, 0);
    assert_int_equal(read_replica(s, 2, false, LEADER_HAS_IT), MLT_OK);
    assert_int_equal(replica.direct, 3);
    assert_int_equal(read_replica(s, 0, true, LEADER_LACKS_IT), MLT_E_NOT_FOUND);
    assert_int_equal(replica.leader, 1);
    assert_int_equal(read_replica(s, 1, false, NO_LEADER), MLT_E_UNAVAILABLE);
    /* Neither of these says that there is nothing. */
    assert_int_equal(read_replica(s, 1, false, "{\"error\":{\"err_code\":100370}}"),
                     MLT_E_PROTOCOL);
    assert_int_equal(read_replica(s, 1, false, "{\"error\":{\"err_code\":99999999999}}"),
                     MLT_E_PROTOCOL);
    assert_int_equal(read_replica(s, 1, false, "{\"a\":\"\\\"message\\\":\"}"), MLT_E_PROTOCOL);
    assert_int_equal(read_replica(s, 1, false, "{\"stream\":\"S\",\"seq\":8}"), MLT_E_PROTOCOL);
    assert_int_equal(read_replica(s, UINT32_MAX, false, LEADER_HAS_IT),
                     MLT_E_UNAVAILABLE); /* for ever */
    mlt_store_destroy(s);
    mlt_bus_destroy(b, 0);
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(cluster);
    server_end(&plain);
}

static void *append_one(void *arg)
{
    enum mlt_status *status = arg;
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t sequence = 0;
    bool duplicate = false;
    *status =
        mlt_stream_append(store, "mute.a", NULL, NULL, text("x"), &sequence, &duplicate, &err);
    return NULL;
}

static void on_mute(void *ctx, const struct mlt_bus_message *message)
{
    (void)message;
    latch_add(ctx, 1);
}

/* What was handed over may be stored, by a server of a cluster that lives on. */
static void test_an_append_whose_connection_ends_may_be_stored(void **state)
{
    (void)state;
    struct latch taken;
    struct mlt_bus_subscription *sub = NULL;
    const struct mlt_bus_subscribe_options options = { .subject = "mute.*" };
    enum mlt_status status = MLT_OK;
    pthread_t thread;
    latch_init(&taken);
    assert_int_equal(mlt_bus_subscribe(bus, &options, on_mute, &taken, &sub, NULL), MLT_OK);
    assert_int_equal(pthread_create(&thread, NULL, append_one, &status), 0);
    assert_true(latch_wait(&taken, 1, 5 * MLT_NS_PER_S));
    server_restart(&server);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(status, MLT_E_TIMEOUT);
    mlt_bus_unsubscribe(sub);
    assert_int_equal(mlt_bus_wait_connected(bus, 5 * MLT_NS_PER_S), MLT_OK);
    append_one(&status); /* nobody takes it: it is stored nowhere */
    assert_int_equal(status, MLT_E_UNAVAILABLE);
}

/* A server alone keeps one replica of everything. */
static void test_replicas_want_a_cluster_and_what_exists_keeps_its_own(void **state)
{
    (void)state;
    struct mlt_store *three = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_stored_report report;
    assert_int_equal(mlt_store_create(bus, 3, &three, NULL), MLT_OK);
    assert_int_equal(mlt_stored_ensure(three, MLT_STORED_REJECTED, &err), MLT_E_CONFIG);
    assert_has(err.text, "stream_replicas");
    assert_int_equal(mlt_stored_inspect(three, MLT_STORED_REJECTED, 3, &report, &err),
                     MLT_E_NOT_FOUND);
    assert_has(report.command, "--replicas 3");
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_REJECTED, &err), MLT_OK);
    assert_int_equal(mlt_stored_ensure(three, MLT_STORED_REJECTED, &err), MLT_OK);
    assert_int_equal(mlt_stored_inspect(three, MLT_STORED_REJECTED, 3, &report, &err), MLT_OK);
    assert_has(report.differs, "num_replicas is 1, not 3");
    assert_has(report.options, "--replicas 3");
    assert_int_equal(mlt_stored_inspect(three, MLT_STORED_REJECTED, 0, &report, &err), MLT_OK);
    assert_string_equal(report.differs, "");
    mlt_store_destroy(three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_is_created_as_asked),
        cmocka_unit_test(test_stream_is_appended_to_once_an_id_and_read_in_order),
        cmocka_unit_test(test_stream_that_exists_is_bound_and_never_changed),
        cmocka_unit_test(test_stream_that_misses_our_subject_is_a_configuration_error),
        cmocka_unit_test(test_stream_external_mode_never_creates_and_says_what_to_create),
        cmocka_unit_test(test_kv_revisions_begin_at_the_first_sequence_and_grow),
        cmocka_unit_test(test_kv_update_of_another_revision_is_a_conflict),
        cmocka_unit_test(test_kv_deleted_key_is_not_found_and_can_be_created_again),
        cmocka_unit_test(test_kv_bad_names_and_sizes_are_refused_before_they_are_sent),
        cmocka_unit_test(test_kv_missing_bucket_is_not_found),
        cmocka_unit_test(test_kv_bucket_that_exists_keeps_its_configuration),
        cmocka_unit_test(test_jetstream_disabled_is_unavailable_at_once),
        cmocka_unit_test(test_jetstream_that_hangs_is_unavailable_within_a_second),
        cmocka_unit_test(test_a_full_account_is_a_limit_by_name),
        cmocka_unit_test(test_missing_permission_is_unauthorized),
        cmocka_unit_test(test_a_jetstream_that_lies_is_not_believed),
        cmocka_unit_test(test_a_replica_that_is_behind_is_not_the_end),
        cmocka_unit_test(test_an_append_whose_connection_ends_may_be_stored),
        cmocka_unit_test(test_replicas_want_a_cluster_and_what_exists_keeps_its_own),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
