/* The Control Bus beside a real Dispatcher: what a plain request gets. */
#include "dispatcher_rig.h"

#include <signal.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "meltica/base/clock.h"

#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"TICKER\",\"ws\":\"{symbol}@ticker\"},"                 \
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"discard\":[{\"reason\":\"zero\"}]},"          \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"   \
    "\"subscriptions\":[{\"id\":\"mine\",\"type\":\"TRADE\",\"instruments\":[\"BTC-USDT\"]}]}"

/* An answer is due within a second (how soon it comes is measured by `bench control`); here one
 * that waits for what is not there is a fault, on a machine that may be busy with other things. */
#define LATE_NS (5 * MLT_NS_PER_S)

static struct rig rig;

struct answer {
    enum mlt_status status;
    struct mlt_error err;
    cJSON *json;
    int64_t took_ns;
};

static struct answer ask(const char *subject, const char *body)
{
    struct answer a = { .err = MLT_ERROR_INIT };
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, 1u << 20);
    const int64_t begin_ns = mlt_clock_mono_ns();
    a.status = mlt_bus_request(rig.control, subject, mlt_slice_of_string(body), 2 * LATE_NS, &bytes,
                               &a.err);
    a.took_ns = mlt_clock_mono_ns() - begin_ns;
    a.json = bytes.len > 0 ? cJSON_ParseWithLength((const char *)bytes.data, bytes.len) : NULL;
    if (a.json == NULL) {
        fail_msg("%s: %s; %.*s", subject, a.err.text, (int)bytes.len,
                 bytes.data != NULL ? (const char *)bytes.data : "");
    }
    mlt_buf_fini(&bytes);
    return a;
}

/* Until it is no refusal: the Dispatcher has less than half a second for its table. */
static struct answer ask_until_served(const char *subject, const char *body)
{
    const int64_t deadline_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    struct answer a = ask(subject, body);
    while (a.status != MLT_OK && mlt_clock_mono_ns() < deadline_ns) {
        cJSON_Delete(a.json);
        a = ask(subject, body);
    }
    return a;
}

static const cJSON *at(const cJSON *object, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    if (member == NULL) {
        fail_msg("no member %s", name);
    }
    return member;
}

static const char *text_at(const cJSON *object, const char *name)
{
    assert_true(cJSON_IsString(at(object, name)));
    return at(object, name)->valuestring;
}

static bool has_a_plan(struct rig *r, const void *ctx)
{
    (void)ctx;
    return r->plan_count >= RIG_PARTITIONS;
}

static int start(void **state)
{
    (void)state;
    rig_start(&rig, true, TABLE);
    rig_run_dispatcher(&rig);
    rig_run_control_bus(&rig);
    assert_true(rig_wait(&rig, has_a_plan, NULL));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rig_end(&rig);
    return 0;
}

static void test_describe_says_what_the_dispatcher_has(void **state)
{
    (void)state;
    struct answer a = ask_until_served("meltica.control.describe", "");
    assert_int_equal(a.status, MLT_OK);
    assert_string_equal(text_at(a.json, "status"), "OK");
    const cJSON *trade = cJSON_GetArrayItem(at(a.json, "types"), 1);
    assert_string_equal(text_at(trade, "type"), "TRADE");
    const cJSON *route = cJSON_GetArrayItem(at(trade, "routes"), 0);
    assert_int_equal(at(route, "route")->valueint, 2);
    assert_string_equal(text_at(route, "topic"), "{symbol}@trade");
    assert_string_equal(cJSON_GetArrayItem(at(route, "policies"), 0)->valuestring, "discard:zero");
    const cJSON *subscription = cJSON_GetArrayItem(at(a.json, "subscriptions"), 0);
    assert_string_equal(text_at(subscription, "id"), "mine");
    assert_int_equal(at(at(a.json, "instruments"), "subscribed")->valueint, 1);
    cJSON_Delete(a.json);
}

/* Of a service in the answer to `status`. */
static bool is_there(const cJSON *status, const char *service)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, at(status, "services"))
    {
        if (strcmp(text_at(one, "name"), service) == 0) {
            return strcmp(text_at(one, "state"), "UP") == 0;
        }
    }
    return false;
}

/* All who are there have been heard: each has a tenth of a second, the table less than half of one.
 */
static bool shows_all(const cJSON *status)
{
    return cJSON_GetArraySize(at(status, "adapters")) > 0 &&
           strcmp(text_at(at(status, "dispatcher"), "state"), "UP") == 0 &&
           is_there(status, "meltica-dispatcher");
}

static void test_status_says_who_is_there(void **state)
{
    (void)state;
    const uint64_t revision = rig.plan_log[0]->revision;
    /* The status came when an answer shows it. */
    const int64_t deadline_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    struct answer a;
    for (;;) {
        rig_say_status(&rig, rig.adapter_boot, revision);
        (void)mlt_bus_rtt_ns(rig.control);
        a = ask("meltica.control.status", "{}");
        if (shows_all(a.json) || mlt_clock_mono_ns() > deadline_ns) {
            break;
        }
        cJSON_Delete(a.json);
    }
    assert_int_equal(a.status, MLT_OK);
    /* No Conductor and no Data Bus in this test. */
    assert_string_equal(text_at(a.json, "status"), "DEGRADED");
    assert_string_equal(text_at(at(a.json, "dispatcher"), "state"), "UP");
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)revision);
    assert_string_equal(text_at(at(a.json, "dispatcher"), "revision"), text);
    const cJSON *adapter = cJSON_GetArrayItem(at(a.json, "adapters"), 0);
    assert_string_equal(text_at(adapter, "instance"), "adapter-0");
    assert_true(cJSON_IsTrue(at(adapter, "current")));
    assert_int_equal(at(at(adapter, "topics"), "live")->valueint, 3);
    const cJSON *services = at(a.json, "services");
    assert_int_equal(cJSON_GetArraySize(services), 4);
    for (int i = 0; i < 4; i++) {
        const cJSON *service = cJSON_GetArrayItem(services, i);
        const bool there = strcmp(text_at(service, "name"), "meltica-dispatcher") == 0;
        assert_string_equal(text_at(service, "state"), there ? "UP" : "AWAY");
    }
    assert_true(a.took_ns < LATE_NS);
    cJSON_Delete(a.json);
}

static void test_what_is_wrong_is_refused_in_body_and_headers(void **state)
{
    (void)state;
    struct answer a = ask("meltica.control.status", "{\"verbose\":1}");
    assert_int_equal(a.status, MLT_E_PROTOCOL);
    assert_non_null(strstr(a.err.text, "\"verbose\" is unknown"));
    assert_string_equal(text_at(a.json, "status"), "REJECTED");
    assert_int_equal(at(a.json, "code")->valueint, 400);
    assert_string_equal(text_at(a.json, "field"), "verbose");
    cJSON_Delete(a.json);
    a = ask("meltica.control.describe", "{not json");
    assert_int_equal(a.status, MLT_E_PROTOCOL);
    assert_int_equal(at(a.json, "code")->valueint, 400);
    cJSON_Delete(a.json);
}

static void test_micro_service_is_meltica_control(void **state)
{
    (void)state;
    struct answer a = ask("$SRV.INFO.meltica-control", "");
    assert_int_equal(a.status, MLT_OK);
    assert_string_equal(text_at(a.json, "name"), "meltica-control");
    bool status = false, describe = false;
    const cJSON *endpoint;
    cJSON_ArrayForEach(endpoint, at(a.json, "endpoints"))
    {
        status = status || strcmp(text_at(endpoint, "subject"), "meltica.control.status") == 0;
        describe =
            describe || strcmp(text_at(endpoint, "subject"), "meltica.control.describe") == 0;
    }
    assert_true(status && describe);
    cJSON_Delete(a.json);
}

static void assert_in_time(const struct answer *a)
{
    print_message("    answered after %lld ms\n", (long long)(a->took_ns / MLT_NS_PER_MS));
    assert_true(a->took_ns < LATE_NS);
}

/* Last: it ends the Dispatcher. */
static void test_without_the_dispatcher_the_answer_is_503_and_does_not_wait_for_it(void **state)
{
    (void)state;
    assert_int_equal(process_end(&rig.dispatcher, SIGKILL), 128 + SIGKILL);
    struct answer a = ask("meltica.control.describe", "");
    assert_int_equal(a.status, MLT_E_PROTOCOL);
    assert_int_equal(at(a.json, "code")->valueint, 503);
    assert_non_null(strstr(text_at(a.json, "message"), "Dispatcher does not answer"));
    assert_in_time(&a);
    cJSON_Delete(a.json);
    a = ask("meltica.control.status", "");
    assert_int_equal(a.status, MLT_OK);
    assert_string_equal(text_at(a.json, "status"), "DEGRADED");
    assert_string_equal(text_at(at(a.json, "dispatcher"), "state"), "AWAY");
    assert_in_time(&a);
    cJSON_Delete(a.json);
    rig_run_dispatcher(&rig);
    a = ask_until_served("meltica.control.describe", "");
    assert_int_equal(a.status, MLT_OK);
    cJSON_Delete(a.json);
    assert_int_equal(process_end(&rig.control_bus, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_describe_says_what_the_dispatcher_has),
        cmocka_unit_test(test_status_says_who_is_there),
        cmocka_unit_test(test_what_is_wrong_is_refused_in_body_and_headers),
        cmocka_unit_test(test_micro_service_is_meltica_control),
        cmocka_unit_test(test_without_the_dispatcher_the_answer_is_503_and_does_not_wait_for_it),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
