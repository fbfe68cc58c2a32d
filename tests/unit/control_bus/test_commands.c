/* Commands with the bus, the log and the clocks in the test's hands: what is written and answered
 * where clocks differ, the log fails in between, or somebody else writes meanwhile. */
#include "mlt_test.h"

#include "store_stub.h"

#include <stdio.h>

#include "commands.h"
#include "log_end.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"

#define S MLT_NS_PER_S
#define WALL (INT64_C(1800000000) * S) /* of this host */
#define MONO (1000 * S)
#define APPENDS_MAX 8u

/* ---- the bus, the log and the clocks ---- */

static struct {
    Meltica__V1__Table table;
    unsigned tables;                   /* times that it was asked for */
    char matched[256];                 /* names that it was asked for with, the last time */
    char only[64];                     /* and the one subscription */
    uint32_t wait_ms;                  /* that the Dispatcher was asked to wait, last */
    const char *outcomes[APPENDS_MAX]; /* of its answers, in order; NULL: CONFIRMED */
    unsigned asked;
    enum mlt_status appends[APPENDS_MAX]; /* what comes of each, in order */
    Meltica__V1__ControlRecord *logged[APPENDS_MAX];
    bool duplicates[APPENDS_MAX]; /* the log has its request id */
    bool expects[APPENDS_MAX];
    uint64_t expected[APPENDS_MAX];
    unsigned append_count;
    struct {
        uint64_t sequence;
        bool active;
    } kept[4]; /* records of the subscription that the log has */
    unsigned kept_count;
} world;

int64_t __wrap_mlt_clock_wall_ns(void);
int64_t __wrap_mlt_clock_mono_ns(void);
enum mlt_status __wrap_mlt_log_end_create(struct mlt_store *store, struct mlt_log_end **end,
                                          struct mlt_error *err);
void __wrap_mlt_log_end_destroy(struct mlt_log_end *end);
void __wrap_mlt_log_end_stored(struct mlt_log_end *end, uint64_t sequence);
uint64_t __wrap_mlt_log_end_get(struct mlt_log_end *end);
enum mlt_status __wrap_mlt_stream_append(struct mlt_store *store, const char *subject,
                                         const char *message_id, const uint64_t *expected,
                                         struct mlt_slice payload, uint64_t *sequence,
                                         bool *duplicate, struct mlt_error *err);
enum mlt_status __wrap_mlt_stream_next_current(struct mlt_store *store, const char *stream,
                                               const char *subject, uint64_t from,
                                               struct mlt_buf *payload, uint64_t *sequence,
                                               struct mlt_error *err);
enum mlt_status __wrap_mlt_bus_request(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload, int64_t timeout_ns,
                                       struct mlt_buf *answer, struct mlt_error *err);

int64_t __wrap_mlt_clock_wall_ns(void)
{
    return WALL;
}

int64_t __wrap_mlt_clock_mono_ns(void)
{
    return MONO;
}

enum mlt_status __wrap_mlt_log_end_create(struct mlt_store *store, struct mlt_log_end **end,
                                          struct mlt_error *err)
{
    (void)store;
    (void)err;
    *end = NULL;
    return MLT_OK;
}

void __wrap_mlt_log_end_destroy(struct mlt_log_end *end)
{
    (void)end;
}

void __wrap_mlt_log_end_stored(struct mlt_log_end *end, uint64_t sequence)
{
    (void)end;
    (void)sequence;
}

uint64_t __wrap_mlt_log_end_get(struct mlt_log_end *end)
{
    (void)end;
    return 0;
}

enum mlt_status __wrap_mlt_stream_append(struct mlt_store *store, const char *subject,
                                         const char *message_id, const uint64_t *expected,
                                         struct mlt_slice payload, uint64_t *sequence,
                                         bool *duplicate, struct mlt_error *err)
{
    (void)store;
    (void)message_id;
    *duplicate = false;
    *sequence = 1;
    if (strncmp(subject, "meltica.int.control.", 20) != 0) { /* the audit */
        return MLT_OK;
    }
    const unsigned n = world.append_count++;
    assert_true(n < APPENDS_MAX);
    world.logged[n] = meltica__v1__control_record__unpack(NULL, payload.len, payload.data);
    assert_non_null(world.logged[n]);
    world.expects[n] = expected != NULL;
    world.expected[n] = expected != NULL ? *expected : 0;
    *sequence = 100 + n;
    *duplicate = world.duplicates[n];
    return world.appends[n] == MLT_OK
               ? MLT_OK
               : mlt_error_set(err, world.appends[n], "append %u: as the test says", n);
}

static void put(const ProtobufCMessage *message, struct mlt_buf *out)
{
    const size_t bytes = protobuf_c_message_get_packed_size(message);
    assert_int_equal(mlt_buf_reserve(out, bytes + 1), MLT_OK);
    out->len += protobuf_c_message_pack(message, out->data + out->len);
}

enum mlt_status __wrap_mlt_stream_next_current(struct mlt_store *store, const char *stream,
                                               const char *subject, uint64_t from,
                                               struct mlt_buf *payload, uint64_t *sequence,
                                               struct mlt_error *err)
{
    (void)store;
    assert_string_equal(stream, MLT_STREAM_CONTROL);
    assert_string_equal(subject, "meltica.int.control.local.s1");
    for (unsigned i = 0; i < world.kept_count; i++) {
        if (world.kept[i].sequence >= from) {
            Meltica__V1__ControlRecord record;
            meltica__v1__control_record__init(&record);
            record.active = world.kept[i].active;
            put(&record.base, payload);
            *sequence = world.kept[i].sequence;
            return MLT_OK;
        }
    }
    return mlt_error_set(err, MLT_E_NOT_FOUND, "no more");
}

enum mlt_status __wrap_mlt_bus_request(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload, int64_t timeout_ns,
                                       struct mlt_buf *answer, struct mlt_error *err)
{
    (void)bus;
    (void)timeout_ns;
    (void)err;
    if (strcmp(subject, "meltica.int.table") == 0) {
        Meltica__V1__TableRequest *request =
            meltica__v1__table_request__unpack(NULL, payload.len, payload.data);
        assert_non_null(request);
        world.tables++;
        world.matched[0] = '\0';
        (void)snprintf(world.only, sizeof world.only, "%s", request->subscription);
        for (size_t i = 0; i < request->n_match; i++) {
            const size_t len = strlen(world.matched);
            (void)snprintf(world.matched + len, sizeof world.matched - len, "%s ",
                           request->match[i]);
        }
        meltica__v1__table_request__free_unpacked(request, NULL);
        put(&world.table.base, answer);
        return MLT_OK;
    }
    assert_string_equal(subject, "meltica.int.apply.00");
    Meltica__V1__ApplyRequest *request =
        meltica__v1__apply_request__unpack(NULL, payload.len, payload.data);
    assert_non_null(request);
    world.wait_ms = request->wait_ms;
    meltica__v1__apply_request__free_unpacked(request, NULL);
    assert_true(world.asked < APPENDS_MAX);
    const char *outcome = world.outcomes[world.asked++];
    char word[32], reason[] = "the exchange refused a topic";
    (void)snprintf(word, sizeof word, "%s", outcome != NULL ? outcome : "CONFIRMED");
    Meltica__V1__ApplyReply reply;
    meltica__v1__apply_reply__init(&reply);
    reply.outcome = word;
    reply.reason = reason;
    put(&reply.base, answer);
    return MLT_OK;
}

/* ---- who may do what ---- */

static struct mlt_authority authority; /* nobody has a role, unless a test says so */
static struct mlt_role role;
static struct mlt_policy policy = { .role_count = 1, .roles = &role, .has_default = true };

struct mlt_policy_held *__wrap_mlt_policy_file_hold(struct mlt_policy_file *file,
                                                    const struct mlt_policy **out);
void __wrap_mlt_policy_file_release(struct mlt_policy_file *file, struct mlt_policy_held *held);

struct mlt_policy_held *__wrap_mlt_policy_file_hold(struct mlt_policy_file *file,
                                                    const struct mlt_policy **out)
{
    (void)file;
    *out = &policy;
    return NULL;
}

void __wrap_mlt_policy_file_release(struct mlt_policy_file *file, struct mlt_policy_held *held)
{
    (void)file;
    (void)held;
}

/* ---- a table with one subscription of consumer "desk" ---- */

static struct mlt_commands *commands;
static Meltica__V1__TableRoute route;
static Meltica__V1__TableSubscription live;
static struct mlt_control_refusal refusal;
static struct mlt_buf answer;
static char there[] = "s1", local[] = "local", desk[] = "desk", confirmed[] = "CONFIRMED",
            token[] = "A-B";

static int setup(void **state)
{
    static Meltica__V1__TableRoute *routes[] = { &route };
    static Meltica__V1__TableSubscription *lives[] = { &live };
    static char *instruments[] = { token };
    static uint32_t matches[2];
    (void)state;
    const struct mlt_commands_options options = {
        .provision_replicas = 1, .instance = "test", .limits = { 10, 10 }, .authority = &authority
    };
    struct mlt_error err = MLT_ERROR_INIT;
    memset(&world, 0, sizeof world);
    authority = (struct mlt_authority){ .required = false };
    meltica__v1__table__init(&world.table);
    meltica__v1__table_route__init(&route);
    meltica__v1__table_subscription__init(&live);
    route.type = live.type = MELTICA__V1__EVENT_TYPE__TRADE;
    live.id = there;
    live.principal = local;
    live.consumer = desk;
    live.state = confirmed;
    live.instruments = instruments;
    live.n_instruments = 1;
    live.log_sequence = 7;
    world.table.routes = routes;
    world.table.n_routes = 1;
    world.table.subscriptions = lives;
    world.table.n_subscriptions = 1;
    matches[0] = matches[1] = 1;
    world.table.matches = matches;
    world.table.n_matches = 2;
    world.table.instruments_listed = 2;
    world.table.listing_heard = world.table.log_read = true;
    mlt_buf_init(&answer, 1u << 20);
    return mlt_commands_create(NULL, &options, &commands, &err) == MLT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < world.append_count; i++) {
        meltica__v1__control_record__free_unpacked(world.logged[i], NULL);
    }
    mlt_buf_fini(&answer);
    mlt_commands_destroy(commands);
    return 0;
}

/* After it waited for a worker for so long. */
static enum mlt_status run_after(enum mlt_verb verb, const char *request, int64_t waited_ns)
{
    mlt_buf_clear(&answer);
    return mlt_commands_run(commands, verb, "meltica.control.x", mlt_slice_of_string(request),
                            MONO - waited_ns, "", &answer, &refusal);
}

static enum mlt_status run(enum mlt_verb verb, const char *request)
{
    return run_after(verb, request, 0);
}

#define UPDATE "{\"consumer\":\"desk\",\"subscription\":\"s1\",\"instruments\":[\"A-B\",\"C-D\"]}"

static void expect_refusal(int code, const char *a, const char *b)
{
    assert_int_equal(refusal.code, code);
    if (strstr(refusal.message, a) == NULL || strstr(refusal.message, b) == NULL) {
        fail_msg("%s", refusal.message);
    }
}

/* ---- leases ---- */

/* What is left of a lease does not change by whose clock says it. */
static void test_an_update_keeps_what_is_left_of_the_lease(void **state)
{
    (void)state;
    for (int64_t ahead = -7200 * S; ahead <= 7200 * S; ahead += 7200 * S) { /* the Dispatcher's */
        const unsigned first = world.append_count;
        world.table.now = (uint64_t)(WALL + ahead);
        live.lease_end = (uint64_t)(WALL + ahead + 600 * S);
        assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_OK);
        assert_int_equal(world.append_count, first + 2);
        assert_true(world.logged[first]->lease_end == (uint64_t)(WALL + 600 * S));
        assert_true(world.logged[first]->time == (uint64_t)WALL);
    }
}

static void test_an_update_of_what_has_no_lease_gives_none(void **state)
{
    (void)state;
    world.table.now = (uint64_t)(WALL + 7200 * S);
    assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_OK);
    assert_true(world.logged[0]->lease_end == 0);
}

/* A Dispatcher of an earlier release, and one whose lease lasts longer than clocks do. */
static void test_a_lease_that_cannot_be_reckoned_is_taken_as_it_is(void **state)
{
    (void)state;
    live.lease_end = (uint64_t)(WALL + 600 * S);
    assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_OK);
    assert_true(world.logged[0]->lease_end == live.lease_end);
    live.lease_end = (uint64_t)INT64_MAX;
    world.table.now = 1;
    assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_OK);
    assert_true(world.logged[2]->lease_end == (uint64_t)INT64_MAX);
}

/* ---- room, and whose an id is ---- */

/* Its own lane needs a place while the old subscription stands. */
static void test_an_update_to_a_private_channel_needs_a_place(void **state)
{
    (void)state;
    static const char to_private[] = "{\"consumer\":\"desk\",\"subscription\":\"s1\","
                                     "\"instruments\":[\"A-B\"],\"channel\":\"private\"}";
    static Meltica__V1__TableSubscription others;
    Meltica__V1__TableSubscription *all[MLT_COMMAND_LANES_MAX + 1];
    char id[] = "s2", elsewhere[] = "elsewhere";
    others = live;
    others.id = id;
    others.principal = others.consumer = elsewhere;
    others.private_lane = true;
    all[0] = &live;
    for (size_t i = 1; i <= MLT_COMMAND_LANES_MAX; i++) {
        all[i] = &others;
    }
    world.table.subscriptions = all;
    world.table.n_subscriptions = MLT_COMMAND_LANES_MAX + 1;
    assert_int_equal(run(MLT_VERB_UPDATE, to_private), MLT_E_PROTOCOL);
    expect_refusal(429, "private channels", "no more fit");
    assert_int_equal(world.append_count, 0);
    assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_OK); /* a shared one */
    world.table.n_subscriptions--;
    assert_int_equal(run(MLT_VERB_UPDATE, to_private), MLT_OK);
    assert_true(world.logged[2]->private_lane);
}

static void test_the_id_of_another_subscription_is_not_written(void **state)
{
    (void)state;
    static const char asked[] =
        "{\"consumer\":\"new\",\"type\":\"TRADE\",\"instruments\":[\"A-B\"]}";
    assert_int_equal(run(MLT_VERB_SUBSCRIBE, asked), MLT_OK);
    live.id = world.logged[0]->subscription; /* of consumer "desk" */
    assert_int_equal(run(MLT_VERB_SUBSCRIBE, asked), MLT_E_PROTOCOL);
    expect_refusal(409, live.id, "nothing changed");
    assert_int_equal(world.append_count, 1);
}

static void test_the_id_of_another_subscription_is_not_taken_by_an_update(void **state)
{
    (void)state;
    char elsewhere[] = "elsewhere";
    Meltica__V1__TableSubscription other = live, *all[] = { &live, &other };
    assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_OK);
    other.id = world.logged[0]->subscription; /* of the new demand */
    other.principal = other.consumer = elsewhere;
    world.table.subscriptions = all;
    world.table.n_subscriptions = 2;
    assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_E_PROTOCOL);
    expect_refusal(409, other.id, "nothing changed");
    assert_int_equal(world.append_count, 2);
}

/* ---- what the Dispatcher is asked ---- */

static void test_each_name_is_asked_for_once_and_only_where_it_is_new(void **state)
{
    (void)state;
    assert_int_equal(run(MLT_VERB_SUBSCRIBE,
                         "{\"consumer\":\"new\",\"type\":\"TRADE\",\"instruments\":"
                         "[\"C-*\",\"A-B\",\"C-*\",\"A-B\"]}"),
                     MLT_OK);
    assert_string_equal(world.matched, "A-B C-* ");
    assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_OK);
    assert_string_equal(world.matched, "A-B C-D ");
    assert_int_equal(run(MLT_VERB_UNSUBSCRIBE, "{\"consumer\":\"desk\",\"type\":\"TRADE\","
                                               "\"instruments\":[\"C-*\",\"A-*\"]}"),
                     MLT_E_PROTOCOL); /* there is no such one, which the table says anyway */
    assert_int_equal(refusal.code, 404);
    assert_int_equal(world.tables, 3);
    assert_string_equal(world.matched, "");
}

/* However much is subscribed, it can be ended: the table need not fit in a message for that. */
static void test_who_ends_or_renews_asks_for_one_subscription(void **state)
{
    (void)state;
    static const char by_names[] = "{\"consumer\":\"desk\",\"type\":\"TRADE\","
                                   "\"instruments\":[\"A-B\"]}";
    assert_int_equal(run(MLT_VERB_UNSUBSCRIBE, "{\"consumer\":\"desk\",\"subscription\":\"s1\"}"),
                     MLT_OK);
    assert_string_equal(world.only, "s1");
    assert_int_equal(run(MLT_VERB_RENEW, "{\"consumer\":\"desk\",\"subscription\":\"s1\","
                                         "\"ttl_s\":60}"),
                     MLT_OK);
    assert_string_equal(world.only, "s1");
    assert_int_equal(run(MLT_VERB_SUBSCRIBE, by_names), MLT_OK);
    assert_string_equal(world.only, "");
    live.id = world.logged[2]->subscription;
    assert_int_equal(run(MLT_VERB_UNSUBSCRIBE, by_names), MLT_OK);
    assert_string_equal(world.only, live.id);
    assert_int_equal(run(MLT_VERB_LIST, "{}"), MLT_OK);
    assert_string_equal(world.only, "");
}

static void test_what_is_refused_anyway_asks_for_nothing(void **state)
{
    (void)state;
    static const struct {
        enum mlt_verb verb;
        int code;
        const char *field, *request;
    } cases[] = {
        { MLT_VERB_SUBSCRIBE, 429, "instruments",
          "{\"consumer\":\"desk\",\"type\":\"TRADE\",\"instruments\":[\"A-*\",\"B-*\",\"C-*\","
          "\"D-*\",\"E-*\",\"F-*\",\"G-*\",\"H-*\",\"I-*\",\"J-*\",\"K-*\"]}" },
        { MLT_VERB_UPDATE, 429, "instruments",
          "{\"consumer\":\"desk\",\"subscription\":\"s1\",\"instruments\":[\"A-*\",\"B-*\","
          "\"C-*\",\"D-*\",\"E-*\",\"F-*\",\"G-*\",\"H-*\",\"I-*\",\"J-*\",\"K-*\"]}" },
        { MLT_VERB_SUBSCRIBE, 400, "throttle_ms",
          "{\"consumer\":\"desk\",\"type\":\"TRADE\",\"instruments\":[\"A-*\"],"
          "\"throttle_ms\":5}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(run(cases[i].verb, cases[i].request), MLT_E_PROTOCOL);
        assert_int_equal(refusal.code, cases[i].code);
        assert_string_equal(refusal.field, cases[i].field);
    }
    assert_int_equal(world.tables, 0);
    assert_int_equal(world.append_count, 0);
}

/* The patterns that the principal has already are asked for by themselves, and what the demand
 * holds is what the first answer said. */
static void test_a_quota_is_judged_by_both_answers(void **state)
{
    (void)state;
    static const char asked[] = "{\"consumer\":\"new\",\"type\":\"TRADE\",\"instruments\":"
                                "[\"D-*\",\"D-*\",\"C-*\"]}";
    static char held[] = "*-B";
    static char *holds[] = { held };
    authority.file = (struct mlt_policy_file *)&policy; /* any */
    role = (struct mlt_role){ .verbs = UINT32_MAX,
                              .types = UINT32_MAX,
                              .any_instrument = true,
                              .subscriptions = 9,
                              .streams = 11,
                              .wildcard_matches = 11 };
    live.instruments = holds;
    world.table.matches[0] = 3; /* of C-*, then of *-B */
    world.table.matches[1] = 6; /* of D-* */
    assert_int_equal(run(MLT_VERB_SUBSCRIBE, asked), MLT_E_PROTOCOL);
    expect_refusal(429, "holds 3", "asks for 9 more");
    assert_int_equal(world.tables, 2);
    assert_string_equal(world.matched, "*-B ");
    role.streams = role.wildcard_matches = 12;
    assert_int_equal(run(MLT_VERB_SUBSCRIBE, asked), MLT_OK);
}

/* ---- time ---- */

/* Of the two seconds in which an answer is promised, what is over is over. */
static void test_what_a_command_waited_is_part_of_its_time(void **state)
{
    (void)state;
    static const char asked[] = "{\"consumer\":\"desk\",\"subscription\":\"s1\"}";
    assert_int_equal(run(MLT_VERB_UNSUBSCRIBE, asked), MLT_OK);
    const uint32_t whole_ms = world.wait_ms;
    assert_true(whole_ms > 1500);
    assert_int_equal(run_after(MLT_VERB_UNSUBSCRIBE, asked, 3 * S / 2), MLT_OK);
    assert_int_equal(world.wait_ms, whole_ms - 1500);
    assert_int_equal(mlt_buf_append_byte(&answer, 0), MLT_OK);
    assert_non_null(strstr((const char *)answer.data, "\"took_ms\":1500"));
    assert_int_equal(run_after(MLT_VERB_UNSUBSCRIBE, asked, 2 * S), MLT_OK);
    assert_int_equal(world.wait_ms, 0); /* said at once: what came of it so far */
}

/* ---- a log that fails in between ---- */

static void test_an_update_whose_old_one_stays_says_that_both_are_in_force(void **state)
{
    (void)state;
    static const struct {
        enum mlt_status status;
        const char *text;
    } why[] = { { MLT_E_UNAVAILABLE, "unavailable" },
                { MLT_E_LIMIT, "full" },
                { MLT_E_TIMEOUT, "did not acknowledge" } };
    for (unsigned i = 0; i < 3; i++) {
        const unsigned first = world.append_count;
        world.appends[first + 1] = why[i].status;
        assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_E_PROTOCOL);
        assert_true(world.logged[first]->active);
        assert_false(world.logged[first + 1]->active);
        assert_string_equal(world.logged[first + 1]->subscription, "s1");
        expect_refusal(503, why[i].text, world.logged[first]->subscription);
        expect_refusal(503, "in force", "repeat the update");
        assert_null(strstr(refusal.message, "nothing changed"));
    }
}

static void test_a_refused_one_that_cannot_be_taken_back_is_told_to_stand(void **state)
{
    (void)state;
    world.outcomes[0] = "FAILED";
    world.appends[1] = MLT_E_UNAVAILABLE;
    assert_int_equal(run(MLT_VERB_SUBSCRIBE,
                         "{\"consumer\":\"new\",\"type\":\"TRADE\",\"instruments\":[\"A-B\"]}"),
                     MLT_E_PROTOCOL);
    assert_string_equal(world.logged[1]->verb, "rollback");
    expect_refusal(503, "stands as FAILED", world.logged[0]->subscription);
    assert_null(strstr(refusal.message, "nothing changed"));
}

/* The first one of a command, on the other hand, changed nothing. */
static void test_a_command_that_is_not_logged_changed_nothing(void **state)
{
    (void)state;
    world.appends[0] = MLT_E_UNAVAILABLE;
    assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_E_PROTOCOL);
    expect_refusal(503, "nothing changed", "");
    assert_int_equal(world.append_count, 1);
    world.appends[1] = MLT_E_LIMIT;
    assert_int_equal(run(MLT_VERB_UNSUBSCRIBE, "{\"consumer\":\"desk\",\"subscription\":\"s1\"}"),
                     MLT_E_PROTOCOL);
    expect_refusal(503, "nothing changed", "full");
}

/* ---- others write meanwhile ---- */

#define RENEW "{\"consumer\":\"desk\",\"subscription\":\"s1\",\"ttl_s\":60}"

static void keep(uint64_t sequence, bool active)
{
    world.kept[world.kept_count].sequence = sequence;
    world.kept[world.kept_count++].active = active;
}

static void test_a_renewal_does_not_bring_back_what_was_ended(void **state)
{
    (void)state;
    world.appends[0] = MLT_E_CONFLICT;
    keep(7, true);
    keep(9, false); /* somebody else's unsubscribe, which the table does not have yet */
    assert_int_equal(run(MLT_VERB_RENEW, RENEW), MLT_E_PROTOCOL);
    assert_true(world.expects[0] && world.expected[0] == 7);
    assert_int_equal(world.append_count, 1);
    expect_refusal(404, "ended meanwhile", "s1");
}

static void test_a_renewal_goes_on_from_another_one(void **state)
{
    (void)state;
    world.appends[0] = MLT_E_CONFLICT;
    keep(7, true);
    keep(9, true);
    assert_int_equal(run(MLT_VERB_RENEW, RENEW), MLT_OK);
    assert_int_equal(world.append_count, 2);
    assert_true(world.expects[1] && world.expected[1] == 9);
    assert_true(world.logged[1]->active);
}

/* The log was lost, and what is live is not in the new one yet. */
static void test_a_renewal_of_what_the_log_does_not_have(void **state)
{
    (void)state;
    world.appends[0] = MLT_E_CONFLICT;
    assert_int_equal(run(MLT_VERB_RENEW, RENEW), MLT_OK);
    assert_true(world.expects[1] && world.expected[1] == 0);
}

static void test_a_renewal_among_many_gives_up(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        world.appends[i] = MLT_E_CONFLICT;
    }
    keep(7, true);
    assert_int_equal(run(MLT_VERB_RENEW, RENEW), MLT_E_PROTOCOL);
    assert_int_equal(world.append_count, 3);
    expect_refusal(503, "nothing changed", "ask again");
}

static void test_what_another_one_has_asked_for_since_is_not_taken_back(void **state)
{
    (void)state;
    world.outcomes[0] = "FAILED";
    world.appends[1] = MLT_E_CONFLICT;
    assert_int_equal(run(MLT_VERB_SUBSCRIBE,
                         "{\"consumer\":\"new\",\"type\":\"TRADE\",\"instruments\":[\"A-B\"]}"),
                     MLT_E_PROTOCOL);
    assert_int_equal(world.append_count, 2);
    assert_true(world.expects[1] && world.expected[1] == 100); /* its own record */
    expect_refusal(502, "refused a topic", "another command");
}

#define UNSUBSCRIBE "{\"consumer\":\"desk\",\"subscription\":\"s1\",\"id\":\"once\"}"

/* It did change something, and no "id" is at fault. */
static void expect_superseded(const char *a, const char *b)
{
    expect_refusal(409, a, b);
    assert_string_equal(refusal.field, "");
    assert_null(strstr(refusal.message, "nothing changed"));
    assert_null(strstr(refusal.message, "\"id\""));
}

static void test_what_was_ended_meanwhile_is_to_be_asked_for_again(void **state)
{
    (void)state;
    world.outcomes[0] = "SUPERSEDED";
    assert_int_equal(run(MLT_VERB_SUBSCRIBE,
                         "{\"consumer\":\"new\",\"type\":\"TRADE\",\"instruments\":[\"A-B\"]}"),
                     MLT_E_PROTOCOL);
    expect_superseded(world.logged[0]->subscription, "meanwhile: ask again");
    world.outcomes[1] = "SUPERSEDED";
    assert_int_equal(run(MLT_VERB_RENEW, RENEW), MLT_E_PROTOCOL);
    expect_superseded("s1", "meanwhile: ask again");
    world.outcomes[2] = "SUPERSEDED"; /* of an update the new one; the old one stands */
    assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_E_PROTOCOL);
    expect_superseded(world.logged[2]->subscription, "meanwhile: ask again");
    assert_int_equal(world.append_count, 3);
}

static void test_an_end_that_another_command_undid_says_that_it_stands(void **state)
{
    (void)state;
    world.outcomes[0] = "SUPERSEDED";
    assert_int_equal(run(MLT_VERB_UNSUBSCRIBE, UNSUBSCRIBE), MLT_E_PROTOCOL);
    expect_superseded("s1 was ended", "it stands");
}

static void test_an_update_whose_old_one_is_asked_for_again_tells_of_the_new_one(void **state)
{
    (void)state;
    char stands[64];
    world.outcomes[1] = "SUPERSEDED";
    assert_int_equal(run(MLT_VERB_UPDATE, UPDATE), MLT_E_PROTOCOL);
    assert_int_equal(world.append_count, 2);
    (void)snprintf(stands, sizeof stands, "%s is in force", world.logged[0]->subscription);
    expect_superseded(stands, "s1, which it replaces, was ended, and another command");
}

/* Its record is one of before, and what that did is over: this command did nothing. */
static void test_an_id_whose_effect_was_replaced_is_at_fault(void **state)
{
    (void)state;
    world.outcomes[0] = "SUPERSEDED";
    world.duplicates[0] = true;
    keep(100, false);
    assert_int_equal(run(MLT_VERB_UNSUBSCRIBE, UNSUBSCRIBE), MLT_E_PROTOCOL);
    expect_refusal(409, "use another \"id\"", "nothing changed");
    assert_string_equal(refusal.field, "id");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_update_keeps_what_is_left_of_the_lease),
        TEST(test_an_update_to_a_private_channel_needs_a_place),
        TEST(test_the_id_of_another_subscription_is_not_written),
        TEST(test_the_id_of_another_subscription_is_not_taken_by_an_update),
        TEST(test_each_name_is_asked_for_once_and_only_where_it_is_new),
        TEST(test_who_ends_or_renews_asks_for_one_subscription),
        TEST(test_what_is_refused_anyway_asks_for_nothing),
        TEST(test_a_quota_is_judged_by_both_answers),
        TEST(test_what_a_command_waited_is_part_of_its_time),
        TEST(test_an_update_whose_old_one_stays_says_that_both_are_in_force),
        TEST(test_a_refused_one_that_cannot_be_taken_back_is_told_to_stand),
        TEST(test_a_command_that_is_not_logged_changed_nothing),
        TEST(test_a_renewal_does_not_bring_back_what_was_ended),
        TEST(test_a_renewal_goes_on_from_another_one),
        TEST(test_a_renewal_of_what_the_log_does_not_have),
        TEST(test_a_renewal_among_many_gives_up),
        TEST(test_what_another_one_has_asked_for_since_is_not_taken_back),
        TEST(test_what_was_ended_meanwhile_is_to_be_asked_for_again),
        TEST(test_an_end_that_another_command_undid_says_that_it_stands),
        TEST(test_an_update_whose_old_one_is_asked_for_again_tells_of_the_new_one),
        TEST(test_an_id_whose_effect_was_replaced_is_at_fault),
        TEST(test_an_update_of_what_has_no_lease_gives_none),
        TEST(test_a_lease_that_cannot_be_reckoned_is_taken_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
