#include "mlt_test.h"

#include "steer_rig.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"

#define ROUTES                                                                                     \
    "{\"version\":1,\"routes\":[{\"type\":\"TICKER\",\"ws\":\"{symbol}@ticker\"},"                 \
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                                           \
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"                                              \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}]}"
#define ANSWER_NS (5 * MLT_NS_PER_S)
#define ANSWER_BYTES_MAX (1u << 20)
#define LOOK_MS 5

const char *rig_text(const cJSON *object, const char *member)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, member);
    return cJSON_IsString(m) ? m->valuestring : "";
}

int rig_number(const cJSON *object, const char *member)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, member);
    return cJSON_IsNumber(m) ? m->valueint : -1;
}

void rig_fail(const struct said *said, const char *what)
{
    char *text = said->json != NULL ? cJSON_PrintUnformatted(said->json) : NULL;
    fail_msg("%s: %s", what, text != NULL ? text : "no answer");
}

struct said rig_try_as(struct rig *rig, const char *principal, const char *verb,
                       struct mlt_slice body, int64_t wait_ns)
{
    struct said s = { 0 };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char subject[128];
    const bool named = principal[0] != '\0';
    (void)snprintf(subject, sizeof subject, "meltica.control.%s%s%s%s", named ? "as." : "",
                   principal, named ? "." : "", verb);
    mlt_buf_init(&bytes, ANSWER_BYTES_MAX);
    const int64_t begin_ns = mlt_clock_mono_ns();
    const enum mlt_status status =
        mlt_bus_request(rig->client, subject, body, wait_ns, &bytes, &err);
    s.took_ns = mlt_clock_mono_ns() - begin_ns;
    s.refused = status == MLT_E_PROTOCOL;
    s.unavailable = status == MLT_E_UNAVAILABLE;
    s.json = bytes.len > 0 ? cJSON_ParseWithLength((const char *)bytes.data, bytes.len) : NULL;
    mlt_buf_fini(&bytes);
    return s;
}

struct said rig_try(struct rig *rig, const char *verb, struct mlt_slice body)
{
    return rig_try_as(rig, "", verb, body, ANSWER_NS);
}

bool rig_is_stalled(const struct said *said)
{
    return rig_number(said->json, "code") == 503 &&
           mlt_stack_is_stalled(mlt_slice_of_string(rig_text(said->json, "message")));
}

struct said rig_ask_as(struct rig *rig, const char *principal, const char *verb, const char *body)
{
    const int64_t until_ns = mlt_clock_mono_ns() + 10 * MLT_NS_PER_S;
    struct said s;
    bool again = false;
    do { /* one that was just started listens before it serves; nobody there is said at once */
        s = rig_try_as(rig, principal, verb, mlt_slice_of_string(body), ANSWER_NS);
        const bool stalled = s.json != NULL && strcmp(verb, "list") == 0 && rig_is_stalled(&s);
        again = mlt_clock_mono_ns() < until_ns && (stalled || (s.json == NULL && s.unavailable));
        if (again && stalled) {
            rig->lists_again++;
            cJSON_Delete(s.json);
        }
    } while (again);
    if (s.json == NULL) {
        fail_msg("%s %s: no answer", verb, body);
    }
    return s;
}

struct said rig_ask(struct rig *rig, const char *verb, const char *body)
{
    return rig_ask_as(rig, "", verb, body);
}

static bool is_open(const struct said *s)
{
    return strcmp(rig_text(s->json, "status"), "PENDING") == 0 || rig_is_stalled(s);
}

struct said rig_settle(struct rig *rig, const char *verb, const char *body)
{
    struct said s = rig_ask(rig, verb, body);
    for (unsigned again = 0; again < RIG_AGAIN_MAX && is_open(&s); again++) {
        cJSON_Delete(s.json);
        s = rig_ask(rig, verb, body);
        s.again = true;
    }
    return s;
}

void rig_confirm(struct rig *rig, const char *verb, const char *body, char *id)
{
    struct said s = rig_settle(rig, verb, body);
    const bool ended =
        s.again && strcmp(verb, "unsubscribe") == 0 && rig_number(s.json, "code") == 404;
    if (!ended && (s.refused || strcmp(rig_text(s.json, "status"), "CONFIRMED") != 0)) {
        rig_fail(&s, body);
    }
    if (id != NULL) {
        (void)snprintf(id, 64, "%s", rig_text(s.json, "subscription"));
    }
    cJSON_Delete(s.json);
}

int rig_listed(struct rig *rig, const char *consumer)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"consumer\":\"%s\"}", consumer);
    struct said s = rig_ask(rig, "list", body);
    const int total = rig_number(s.json, "total");
    cJSON_Delete(s.json);
    return total;
}

bool rig_lease_is_over(struct rig *rig, void *ctx)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"consumer\":\"%s\"}", (const char *)ctx);
    struct said s = rig_ask(rig, "list", body);
    const cJSON *one =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(s.json, "subscriptions"), 0);
    const bool over = one == NULL || rig_number(one, "lease_left_s") == 0;
    cJSON_Delete(s.json);
    return over;
}

bool rig_lists_nothing(struct rig *rig, void *ctx)
{
    return rig_listed(rig, ctx) == 0;
}

cJSON *rig_exchange(struct rig *rig, const cJSON **streams)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 16u << 20);
    mlt_stack_get(&rig->stack, "exchange", "/sim/status", &body);
    cJSON *tree = cJSON_ParseWithLength((const char *)body.data, body.len);
    mlt_buf_fini(&body);
    assert_non_null(tree);
    *streams = cJSON_GetObjectItemCaseSensitive(tree, "streams");
    return tree;
}

/* NULL: no answer. */
static cJSON *stream_info(struct rig *rig, const char *stream)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char subject[96];
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s", stream);
    mlt_buf_init(&bytes, ANSWER_BYTES_MAX);
    const enum mlt_status status =
        mlt_bus_request(rig->client, subject, MLT_SLICE_EMPTY, ANSWER_NS, &bytes, &err);
    cJSON *tree = status == MLT_OK && bytes.len > 0
                      ? cJSON_ParseWithLength((const char *)bytes.data, bytes.len)
                      : NULL;
    mlt_buf_fini(&bytes);
    return tree;
}

bool rig_stream(struct rig *rig, const char *stream, uint64_t *last, uint64_t *held)
{
    cJSON *tree = stream_info(rig, stream);
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(tree, "state");
    const bool there = state != NULL;
    if (there) {
        *last = (uint64_t)rig_number(state, "last_seq");
        *held = (uint64_t)rig_number(state, "messages");
    }
    cJSON_Delete(tree);
    return there;
}

bool rig_leader(struct rig *rig, const char *stream, char *name, size_t size)
{
    cJSON *tree = stream_info(rig, stream);
    const char *leader = rig_text(cJSON_GetObjectItemCaseSensitive(tree, "cluster"), "leader");
    const bool known = leader[0] != '\0';
    (void)snprintf(name, size, "%s", leader);
    cJSON_Delete(tree);
    return known;
}

uint64_t rig_seed(const char *what)
{
    const char *given = getenv("MELTICA_TEST_SEED");
    const uint64_t seed =
        given != NULL ? strtoull(given, NULL, 10) : (uint64_t)mlt_clock_wall_ns() % 1000000;
    print_message("%s: MELTICA_TEST_SEED=%llu\n", what, (unsigned long long)seed);
    return seed;
}

bool rig_until(bool (*done)(struct rig *rig, void *ctx), struct rig *rig, void *ctx, int seconds)
{
    const int64_t until_ns = mlt_clock_mono_ns() + seconds * MLT_NS_PER_S;
    bool is = done(rig, ctx);
    while (!is && mlt_clock_mono_ns() < until_ns) {
        (void)poll(NULL, 0, LOOK_MS); /* what is asked has other work */
        is = done(rig, ctx);
    }
    return is;
}

static bool is_ready(struct rig *rig, void *ctx)
{
    (void)ctx;
    struct said s = rig_try(rig, "status", MLT_SLICE_EMPTY);
    const cJSON *dispatcher = cJSON_GetObjectItemCaseSensitive(s.json, "dispatcher");
    const cJSON *adapters = cJSON_GetObjectItemCaseSensitive(s.json, "adapters");
    const cJSON *adapter = cJSON_GetArrayItem(adapters, 0);
    bool ready = rig_number(dispatcher, "instruments_listed") > 0 &&
                 cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(dispatcher, "listing_complete"));
    bool current = false;
    for (; adapter != NULL && !current; adapter = adapter->next) {
        current = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(adapter, "current"));
    }
    cJSON_Delete(s.json);
    if (ready && current) {
        struct said list = rig_try(rig, "list", MLT_SLICE_EMPTY);
        ready = list.json != NULL && !list.refused;
        cJSON_Delete(list.json);
    }
    return ready && current;
}

void rig_wait_ready(struct rig *rig)
{
    assert_true(rig_until(is_ready, rig, NULL, 30));
}

void rig_start(struct rig *rig, const char *symbols, const char *rate)
{
    rig_start_limited(rig, symbols, rate, "100", "200");
}

void rig_start_limited(struct rig *rig, const char *symbols, const char *rate,
                       const char *subscriptions, const char *instruments)
{
    rig_start_policed(rig, symbols, rate, subscriptions, instruments, NULL);
}

void rig_make_file(char path[64], const char *text)
{
    (void)snprintf(path, 64, "/tmp/meltica-steering.XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "%s", text) > 0);
    assert_int_equal(close(fd), 0);
}

void rig_begin(struct rig *rig, const struct mlt_stack_options *options)
{
    mlt_stack_start(&rig->stack, options);
}

void rig_go(struct rig *rig)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_options bus = { .kind = MLT_BUS_CONTROL,
                                         .url = rig->stack.nats_url,
                                         .name = "test" };
    assert_int_equal(mlt_bus_connect(&bus, &rig->client, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(rig->client, 5 * MLT_NS_PER_S), MLT_OK);
    assert_int_equal(mlt_store_create(rig->client, 0, &rig->store, &err), MLT_OK);
    mlt_stack_run_services(&rig->stack);
    rig_wait_ready(rig);
}

void rig_start_policed(struct rig *rig, const char *symbols, const char *rate,
                       const char *subscriptions, const char *instruments, const char *policy)
{
    rig_make_file(rig->table_path, ROUTES);
    rig->policy_path[0] = '\0';
    if (policy != NULL) {
        rig_make_file(rig->policy_path, policy);
    }
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", symbols, "--rate", rate, "--seed", "7",
                      "--start-subscriptions", "0" },
        .table = rig->table_path,
        .control_bus = { "--max-subscriptions", subscriptions, "--max-instruments", instruments,
                         policy != NULL ? "--policy" : NULL, rig->policy_path },
    };
    rig_begin(rig, &options);
    rig_go(rig);
}

void rig_stop(struct rig *rig)
{
    mlt_store_destroy(rig->store);
    mlt_bus_destroy(rig->client, 0);
    mlt_stack_stop(&rig->stack);
    if (rig->table_path[0] != '\0') {
        (void)unlink(rig->table_path);
    }
    if (rig->policy_path[0] != '\0') {
        (void)unlink(rig->policy_path);
    }
}
