/* The standard's variables: what they mean, and what is said of a wrong one; the samplers. */
#include <stdio.h>

#include "mlt_test.h"

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/unconst.h"
#include "meltica/trace/trace.h"

#define MS MLT_NS_PER_MS

static struct mlt_trace_config config;
static struct mlt_error err;

static enum mlt_status load(const char *const *variables)
{
    err = (struct mlt_error)MLT_ERROR_INIT;
    mlt_trace_config_fini(&config);
    return mlt_trace_config_load(mlt_unconst(variables), "meltica-adapter", &config, &err);
}
#define LOAD(...) load((const char *const[]){ __VA_ARGS__, NULL })

static void nothing_is_sent_unless_asked_for(void **state)
{
    (void)state;
    assert_int_equal(LOAD("PATH=/bin"), MLT_OK);
    assert_false(config.enabled);
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT="), MLT_OK);
    assert_false(config.enabled);
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_SDK_DISABLED=True"),
                     MLT_OK);
    assert_false(config.enabled);
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_TRACES_EXPORTER=none"),
                     MLT_OK);
    assert_false(config.enabled);
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(LOAD("OTEL_TRACES_EXPORTER=otlp"), MLT_OK);
    assert_true(config.enabled);
    assert_string_equal(config.endpoint, "http://localhost:4318/v1/traces");
    assert_string_equal(config.service_name, "meltica-adapter");
    assert_int_equal(config.timeout_ns, 10000 * MS);
    assert_int_equal(config.patience_ns, 30000 * MS);
    assert_int_equal(config.gather_ns, 5000 * MS);
    assert_int_equal(config.queue_max, 2048);
    assert_int_equal(config.batch_max, 512);
    assert_int_equal(config.sampler.kind, MLT_SAMPLER_RATIO);
    assert_true(config.sampler.parent_based);
    assert_in_range(config.sampler.below, (uint64_t)(0.000999 * 0x1p64),
                    (uint64_t)(0.001001 * 0x1p64));
}

static void endpoints(void **state)
{
    (void)state;
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=https://c.example/base//"), MLT_OK);
    assert_string_equal(config.endpoint, "https://c.example/base/v1/traces");
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1",
                          "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://d:2/x/"),
                     MLT_OK);
    assert_string_equal(config.endpoint, "http://d:2/x/"); /* as it is */
}

static void the_path_is_longer_and_the_query_stays_behind_it(void **state)
{
    (void)state;
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=http://h:4318/x/?token=a/b&c=/"), MLT_OK);
    assert_string_equal(config.endpoint, "http://h:4318/x/v1/traces?token=a/b&c=/");
    assert_string_equal(config.shown, "http://h:4318/x/v1/traces");
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=http://h:4318?token=a"), MLT_OK);
    assert_string_equal(config.endpoint, "http://h:4318/v1/traces?token=a");
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=http://h/#part"), MLT_OK);
    assert_string_equal(config.endpoint, "http://h/v1/traces#part");
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://h:4318/?token=a"), MLT_OK);
    assert_string_equal(config.endpoint, "http://h:4318/?token=a"); /* as it is */
    /* What does not fit is refused, not cut. */
    char variable[MLT_TRACE_TEXT_BYTES_MAX + 64] = "OTEL_EXPORTER_OTLP_ENDPOINT=http://h?";
    const size_t begin = strlen("OTEL_EXPORTER_OTLP_ENDPOINT=");
    const size_t most = MLT_TRACE_TEXT_BYTES_MAX - sizeof "/v1/traces";
    memset(variable + strlen(variable), 'q', begin + most - strlen(variable));
    assert_int_equal(LOAD(variable), MLT_OK);
    assert_int_equal(strlen(config.endpoint), MLT_TRACE_TEXT_BYTES_MAX - 1);
    variable[begin + most] = 'q';
    assert_int_equal(LOAD(variable), MLT_E_CONFIG);
    assert_non_null(strstr(err.text, "OTEL_EXPORTER_OTLP_ENDPOINT"));
}

/* The log has the endpoint, and so has the error where it is wrong. */
static void what_may_be_a_secret_is_not_shown(void **state)
{
    (void)state;
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=http://bob:s3cret@c.example:4318/base"),
                     MLT_OK);
    assert_string_equal(config.endpoint, "http://bob:s3cret@c.example:4318/base/v1/traces");
    assert_string_equal(config.shown, "http://c.example:4318/base/v1/traces");
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://d/x?token=s3cret#s3cret"),
                     MLT_OK);
    assert_string_equal(config.shown, "https://d/x");
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=htp://bob:s3cret@c.example:4318"),
                     MLT_E_CONFIG);
    assert_null(strstr(err.text, "s3cret"));
    assert_non_null(strstr(err.text, "OTEL_EXPORTER_OTLP_ENDPOINT"));
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=htp://c.example"), MLT_E_CONFIG);
    assert_non_null(strstr(err.text, "htp://c.example"));
}

static void names_and_numbers(void **state)
{
    (void)state;
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1",
                          "OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic%20abc, x-scope = a%2Cb",
                          "OTEL_RESOURCE_ATTRIBUTES=env=test,service.name=other,env=prod",
                          "OTEL_EXPORTER_OTLP_TIMEOUT=1", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=250",
                          "OTEL_BSP_MAX_QUEUE_SIZE=10", "OTEL_BSP_SCHEDULE_DELAY=20"),
                     MLT_OK);
    assert_int_equal(config.header_count, 2);
    assert_string_equal(config.headers[0].value, "Basic abc");
    assert_string_equal(config.headers[1].key, "x-scope");
    assert_string_equal(config.headers[1].value, "a,b");
    assert_int_equal(config.resource_count, 2);
    assert_string_equal(config.resource[0].value, "prod");
    assert_string_equal(config.service_name, "other");
    assert_int_equal(config.timeout_ns, 250 * MS);
    assert_int_equal(config.batch_max, 10); /* not above the queue */
    assert_int_equal(config.gather_ns, 20 * MS);
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1", "OTEL_SERVICE_NAME=mine",
                          "OTEL_RESOURCE_ATTRIBUTES=service.name=other"),
                     MLT_OK);
    assert_string_equal(config.service_name, "mine");
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1",
                          "OTEL_EXPORTER_OTLP_HEADERS=a=general",
                          "OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=special"),
                     MLT_OK);
    assert_string_equal(config.headers[0].value, "special");
}

/* Each is refused, whether or not anything is sent, with the variable's name and what to use. */
static void wrong_values_are_named(void **state)
{
    static const struct {
        const char *variable, *says;
    } wrong[] = {
        { "OTEL_SDK_DISABLED=yes", "OTEL_SDK_DISABLED: \"yes\" is wrong; use true or false" },
        { "OTEL_TRACES_EXPORTER=zipkin", "OTEL_TRACES_EXPORTER: \"zipkin\"" },
        { "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_PROTOCOL: \"grpc\"" },
        { "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json", "use http/protobuf" },
        { "OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_COMPRESSION: \"gzip\"" },
        { "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT: " },
        { "OTEL_EXPORTER_OTLP_ENDPOINT=ftp://c", "use a URL such as http://collector:4318" },
        { "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: " },
        { "OTEL_EXPORTER_OTLP_TIMEOUT=0", "a whole number from 1 to 600000" },
        { "OTEL_EXPORTER_OTLP_TIMEOUT=10s", "OTEL_EXPORTER_OTLP_TIMEOUT: \"10s\"" },
        { "OTEL_EXPORTER_OTLP_TIMEOUT=-1", "OTEL_EXPORTER_OTLP_TIMEOUT: \"-1\"" },
        { "OTEL_EXPORTER_OTLP_TIMEOUT=99999999999999999999", "OTEL_EXPORTER_OTLP_TIMEOUT: " },
        { "OTEL_EXPORTER_OTLP_HEADERS=a", "OTEL_EXPORTER_OTLP_HEADERS: item 1 is wrong" },
        { "OTEL_EXPORTER_OTLP_HEADERS=a=b,c=%0d%0ax: y", "item 2 is wrong" },
        { "OTEL_EXPORTER_OTLP_HEADERS=a b=c", "item 1 is wrong" },
        { "OTEL_EXPORTER_OTLP_HEADERS=a=%4", "item 1 is wrong" },
        { "OTEL_EXPORTER_OTLP_CERTIFICATE=/nowhere/ca.pem", "cannot be read" },
        { "OTEL_RESOURCE_ATTRIBUTES=a=b,,c=d", "OTEL_RESOURCE_ATTRIBUTES: item 2 is wrong" },
        { "OTEL_TRACES_SAMPLER=sometimes", "OTEL_TRACES_SAMPLER: \"sometimes\" is wrong" },
        { "OTEL_TRACES_SAMPLER_ARG=1.5", "OTEL_TRACES_SAMPLER_ARG: \"1.5\" is wrong" },
        { "OTEL_TRACES_SAMPLER_ARG=-0.1", "the share of traces" },
        { "OTEL_TRACES_SAMPLER_ARG=nan", "OTEL_TRACES_SAMPLER_ARG: \"nan\"" },
        { "OTEL_TRACES_SAMPLER_ARG=0.1%", "OTEL_TRACES_SAMPLER_ARG: \"0.1%\"" },
        { "OTEL_BSP_MAX_QUEUE_SIZE=0", "OTEL_BSP_MAX_QUEUE_SIZE: \"0\"" },
        { "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=x", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: \"x\"" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(LOAD(wrong[i].variable), MLT_E_CONFIG);
        assert_non_null(strstr(err.text, wrong[i].says));
        assert_false(config.enabled);
    }
    /* A secret is not repeated. */
    assert_int_equal(LOAD("OTEL_EXPORTER_OTLP_HEADERS=authorization Bearer=s3cret"), MLT_E_CONFIG);
    assert_null(strstr(err.text, "s3cret"));
}

/* ---- samplers ---- */

static void id_with(uint64_t random, uint8_t id[MLT_TRACE_ID_BYTES])
{
    memset(id, 0xee, MLT_TRACE_ID_BYTES);
    for (unsigned i = 0; i < 8; i++) {
        id[8 + i] = (uint8_t)(random >> (56 - 8 * i));
    }
}

static struct mlt_sampler sampler_of(const char *word, const char *argument)
{
    char first[64], second[64];
    (void)snprintf(first, sizeof first, "OTEL_TRACES_SAMPLER=%s", word);
    (void)snprintf(second, sizeof second, "OTEL_TRACES_SAMPLER_ARG=%s", argument);
    assert_int_equal(LOAD(first, second), MLT_OK);
    return config.sampler;
}

static void constant_samplers(void **state)
{
    uint8_t id[MLT_TRACE_ID_BYTES];
    (void)state;
    id_with(UINT64_MAX, id);
    const struct mlt_sampler on = sampler_of("always_on", "0"), off = sampler_of("always_off", "");
    assert_true(mlt_sampler_decide(&on, id, true, 0));
    assert_false(mlt_sampler_decide(&off, id, true, MLT_TRACE_SAMPLED));
    const struct mlt_sampler both[] = { sampler_of("parentbased_always_on", ""),
                                        sampler_of("parentbased_always_off", ""),
                                        sampler_of("parentbased_traceidratio", "0.5") };
    for (size_t i = 0; i < 3; i++) { /* who came before has decided */
        assert_true(mlt_sampler_decide(&both[i], id, true, MLT_TRACE_SAMPLED));
        assert_false(mlt_sampler_decide(&both[i], id, true, 0));
    }
    assert_true(mlt_sampler_decide(&both[0], id, false, 0));
    assert_false(mlt_sampler_decide(&both[1], id, false, MLT_TRACE_SAMPLED));
    assert_false(mlt_sampler_decide(&both[2], id, false, MLT_TRACE_SAMPLED));
}

/* The last 8 bytes as a number are below the share of 2^64: the bounds to the bit. */
static void ratio_bounds(void **state)
{
    static const struct {
        const char *ratio;
        uint64_t below;
    } bounds[] = { { "0.5", UINT64_C(1) << 63 },
                   { "0.25", UINT64_C(1) << 62 },
                   { ".125", UINT64_C(1) << 61 },
                   { "1e-3", UINT64_C(18446744073709552) } };
    uint8_t id[MLT_TRACE_ID_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        const struct mlt_sampler s = sampler_of("traceidratio", bounds[i].ratio);
        id_with(bounds[i].below - 1, id);
        assert_true(mlt_sampler_decide(&s, id, true, 0)); /* not by what came before */
        id_with(bounds[i].below, id);
        assert_false(mlt_sampler_decide(&s, id, true, MLT_TRACE_SAMPLED));
    }
    const struct mlt_sampler none = sampler_of("traceidratio", "0"),
                             all = sampler_of("traceidratio", "1"),
                             unsaid = sampler_of("traceidratio", "");
    id_with(0, id);
    assert_false(mlt_sampler_decide(&none, id, false, 0));
    id_with(UINT64_MAX, id);
    assert_true(mlt_sampler_decide(&all, id, false, 0));
    assert_true(mlt_sampler_decide(&unsaid, id, false, 0));
}

/* What the specification requires: deterministic; a larger share takes all that a smaller one
 * takes; and it is the share. */
static void ratio_is_what_it_says(void **state)
{
    static const char *const ratios[] = { "0.001", "0.01", "0.1", "0.3", "0.9" };
    static const double shares[] = { 0.001, 0.01, 0.1, 0.3, 0.9 };
    struct mlt_sampler samplers[5];
    unsigned taken[5] = { 0 };
    uint8_t id[MLT_TRACE_ID_BYTES];
    (void)state;
    for (size_t i = 0; i < 5; i++) {
        samplers[i] = sampler_of("traceidratio", ratios[i]);
    }
    for (uint64_t n = 0; n < 100000; n++) {
        id_with(mlt_mix64(n), id);
        bool before = false;
        for (size_t i = 0; i < 5; i++) {
            const bool is = mlt_sampler_decide(&samplers[i], id, false, 0);
            assert_true(is || !before);
            assert_int_equal(is, mlt_sampler_decide(&samplers[i], id, false, 0));
            taken[i] += is;
            before = is;
        }
    }
    for (size_t i = 0; i < 5; i++) { /* five standard deviations */
        const double expected = 100000 * shares[i],
                     room = 5 * 316.3 * (shares[i] < 0.01 ? 0.04 : 0.5);
        assert_in_range((unsigned)taken[i], (unsigned)(expected - room),
                        (unsigned)(expected + room));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sent_unless_asked_for),
        cmocka_unit_test(defaults),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(the_path_is_longer_and_the_query_stays_behind_it),
        cmocka_unit_test(what_may_be_a_secret_is_not_shown),
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(wrong_values_are_named),
        cmocka_unit_test(constant_samplers),
        cmocka_unit_test(ratio_bounds),
        cmocka_unit_test(ratio_is_what_it_says),
    };
    const int result = cmocka_run_group_tests(tests, NULL, NULL);
    mlt_trace_config_fini(&config);
    return result;
}
