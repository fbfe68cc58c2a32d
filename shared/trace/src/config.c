#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "internal.h"
#include "meltica/base/clock.h"

#define DEFAULT_ENDPOINT "http://localhost:4318/v1/traces"
/* The standard's default is every trace; a market has thousands of events a second. */
#define DEFAULT_RATIO 0.001

/* ---- sampler ---- */

static const struct {
    const char *word;
    enum mlt_sampler_kind kind;
    bool parent_based;
} samplers[] = {
    { "always_on", MLT_SAMPLER_ON, false },
    { "always_off", MLT_SAMPLER_OFF, false },
    { "traceidratio", MLT_SAMPLER_RATIO, false },
    { "parentbased_always_on", MLT_SAMPLER_ON, true },
    { "parentbased_always_off", MLT_SAMPLER_OFF, true },
    { "parentbased_traceidratio", MLT_SAMPLER_RATIO, true },
};

static void set_ratio(struct mlt_sampler *sampler, double ratio)
{
    sampler->all = ratio >= 1.0;
    sampler->below = sampler->all ? UINT64_MAX : (uint64_t)(ratio * 0x1p64);
}

static enum mlt_status read_ratio(const char *text, struct mlt_sampler *sampler,
                                  struct mlt_error *err)
{
    char *end = NULL;
    errno = 0;
    const double ratio = text[0] == '\0' ? 1.0 : strtod(text, &end);
    const bool begun = text[0] == '\0' || text[0] == '.' || (text[0] >= '0' && text[0] <= '9');
    if (!begun || (end != NULL && *end != '\0') || !(ratio >= 0.0 && ratio <= 1.0)) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "OTEL_TRACES_SAMPLER_ARG: \"%.64s\" is wrong; use a number from 0 to "
                             "1, the share of traces",
                             text);
    }
    set_ratio(sampler, ratio);
    return MLT_OK;
}

static enum mlt_status read_sampler(char *const *environment, struct mlt_sampler *sampler,
                                    struct mlt_error *err)
{
    const char *word = trace_variable(environment, "OTEL_TRACES_SAMPLER");
    const char *argument = trace_variable(environment, "OTEL_TRACES_SAMPLER_ARG");
    if (word[0] == '\0') {
        *sampler = (struct mlt_sampler){ .kind = MLT_SAMPLER_RATIO, .parent_based = true };
        set_ratio(sampler, DEFAULT_RATIO);
        return argument[0] != '\0' ? read_ratio(argument, sampler, err) : MLT_OK;
    }
    for (size_t i = 0; i < sizeof samplers / sizeof samplers[0]; i++) {
        if (strcmp(word, samplers[i].word) == 0) {
            *sampler = (struct mlt_sampler){ .kind = samplers[i].kind,
                                             .parent_based = samplers[i].parent_based };
            return sampler->kind == MLT_SAMPLER_RATIO ? read_ratio(argument, sampler, err) : MLT_OK;
        }
    }
    return mlt_error_set(err, MLT_E_CONFIG,
                         "OTEL_TRACES_SAMPLER: \"%.64s\" is wrong; use always_on, always_off, "
                         "traceidratio, or one of these behind parentbased_",
                         word);
}

/* As most SDKs do it: the last 8 bytes, which must be random, as one number. */
static uint64_t randomness(const uint8_t trace_id[MLT_TRACE_ID_BYTES])
{
    uint64_t value = 0;
    for (unsigned i = MLT_TRACE_ID_BYTES - 8; i < MLT_TRACE_ID_BYTES; i++) {
        value = value << 8 | trace_id[i];
    }
    return value;
}

bool mlt_sampler_decide(const struct mlt_sampler *sampler,
                        const uint8_t trace_id[MLT_TRACE_ID_BYTES], bool upstream, uint32_t flags)
{
    if (upstream && sampler->parent_based) {
        return (flags & MLT_TRACE_SAMPLED) != 0;
    }
    switch (sampler->kind) {
    case MLT_SAMPLER_ON:
        return true;
    case MLT_SAMPLER_RATIO:
        return sampler->all || randomness(trace_id) < sampler->below;
    default:
        return false;
    }
}

/* ---- the rest ---- */

static enum mlt_status read_switches(char *const *environment, bool *disabled, bool *wanted,
                                     struct mlt_error *err)
{
    const char *off = trace_variable(environment, "OTEL_SDK_DISABLED");
    const char *exporter = trace_variable(environment, "OTEL_TRACES_EXPORTER");
    *disabled = strcasecmp(off, "true") == 0 || strcmp(exporter, "none") == 0;
    *wanted = strcmp(exporter, "otlp") == 0;
    if (off[0] != '\0' && strcasecmp(off, "true") != 0 && strcasecmp(off, "false") != 0) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "OTEL_SDK_DISABLED: \"%.64s\" is wrong; use true or false", off);
    }
    if (exporter[0] != '\0' && !*wanted && strcmp(exporter, "none") != 0) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "OTEL_TRACES_EXPORTER: \"%.64s\" is not known here; use otlp or none",
                             exporter);
    }
    return MLT_OK;
}

/* A variable with one word that is known here. */
static enum mlt_status check_word(char *const *environment, const char *special,
                                  const char *general, const char *word, struct mlt_error *err)
{
    const char *name = NULL;
    const char *text = trace_variable_of(environment, special, general, &name);
    return text[0] == '\0' || strcmp(text, word) == 0
               ? MLT_OK
               : mlt_error_set(err, MLT_E_CONFIG, "%s: \"%.64s\" is not known here; use %s", name,
                               text, word);
}

static enum mlt_status read_numbers(char *const *environment, struct mlt_trace_config *config,
                                    struct mlt_error *err)
{
    int64_t timeout_ms = 0, patience_ms = 0, gather_ms = 0, queue = 0, batch = 0;
    const struct {
        const char *special, *general;
        int64_t min, max, otherwise, *out;
    } numbers[] = {
        { "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT", 1, 600000, 10000,
          &timeout_ms },
        { "OTEL_BSP_EXPORT_TIMEOUT", "", 1, 600000, 30000, &patience_ms },
        { "OTEL_BSP_SCHEDULE_DELAY", "", 1, 600000, 5000, &gather_ms },
        { "OTEL_BSP_MAX_QUEUE_SIZE", "", 1, 65536, 2048, &queue },
        { "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "", 1, 4096, 512, &batch },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const enum mlt_status status =
            trace_whole_number(environment, numbers[i].special, numbers[i].general, numbers[i].min,
                               numbers[i].max, numbers[i].otherwise, numbers[i].out, err);
        if (status != MLT_OK) {
            return status;
        }
    }
    config->timeout_ns = timeout_ms * MLT_NS_PER_MS;
    config->patience_ns = patience_ms * MLT_NS_PER_MS;
    config->gather_ns = gather_ms * MLT_NS_PER_MS;
    config->queue_max = (size_t)queue;
    config->batch_max = (size_t)(batch < queue ? batch : queue);
    return MLT_OK;
}

static enum mlt_status read_certificate(char *const *environment, struct mlt_trace_config *config,
                                        struct mlt_error *err)
{
    const char *name = NULL;
    const char *path = trace_variable_of(environment, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                                         "OTEL_EXPORTER_OTLP_CERTIFICATE", &name);
    const size_t len = strlen(path);
    if (len > 0 && (len >= sizeof config->ca_file || access(path, R_OK) != 0)) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "%s: \"%.200s\" cannot be read; name a PEM file that can", name, path);
    }
    memcpy(config->ca_file, path, len + 1);
    return MLT_OK;
}

static enum mlt_status read_names(char *const *environment, const char *service,
                                  struct mlt_trace_config *config, struct mlt_error *err)
{
    static const char attributes[] = "OTEL_RESOURCE_ATTRIBUTES";
    const char *name = NULL;
    const char *headers = trace_variable_of(environment, "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                                            "OTEL_EXPORTER_OTLP_HEADERS", &name);
    enum mlt_status status =
        trace_pairs(name, headers, true, config->headers, &config->header_count, err);
    if (status == MLT_OK) {
        status = trace_pairs(attributes, trace_variable(environment, attributes), false,
                             config->resource, &config->resource_count, err);
    }
    const char *given = trace_variable(environment, "OTEL_SERVICE_NAME");
    for (size_t i = 0; i < config->resource_count && given[0] == '\0'; i++) {
        given = strcmp(config->resource[i].key, "service.name") == 0 ? config->resource[i].value
                                                                     : given;
    }
    given = given[0] != '\0' ? given : service;
    if (status == MLT_OK && strlen(given) >= sizeof config->service_name) {
        return mlt_error_set(err, MLT_E_CONFIG, "OTEL_SERVICE_NAME: longer than %zu bytes",
                             sizeof config->service_name - 1);
    }
    if (status == MLT_OK) {
        memcpy(config->service_name, given, strlen(given) + 1);
    }
    return status;
}

enum mlt_status mlt_trace_config_load(char *const *environment, const char *service,
                                      struct mlt_trace_config *config, struct mlt_error *err)
{
    bool disabled = false, wanted = false;
    memset(config, 0, sizeof *config);
    enum mlt_status status = read_switches(environment, &disabled, &wanted, err);
    if (status != MLT_OK || disabled) {
        return status;
    }
    status = check_word(environment, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                        "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", err);
    if (status == MLT_OK) {
        status = check_word(environment, "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
                            "OTEL_EXPORTER_OTLP_COMPRESSION", "none", err);
    }
    if (status == MLT_OK) {
        status = trace_endpoint(environment, config->endpoint, err);
    }
    if (status == MLT_OK) {
        status = read_sampler(environment, &config->sampler, err);
    }
    if (status == MLT_OK) {
        status = read_numbers(environment, config, err);
    }
    if (status == MLT_OK) {
        status = read_certificate(environment, config, err);
    }
    if (status == MLT_OK) {
        status = read_names(environment, service, config, err);
    }
    if (status == MLT_OK && config->endpoint[0] == '\0' && wanted) {
        memcpy(config->endpoint, DEFAULT_ENDPOINT, sizeof DEFAULT_ENDPOINT);
    }
    if (status == MLT_OK && config->endpoint[0] != '\0' &&
        !trace_endpoint_shown(config->endpoint, config->shown)) {
        status = mlt_error_set(err, MLT_E_NOMEM, "no memory for the endpoint of traces");
    }
    config->enabled = status == MLT_OK && config->endpoint[0] != '\0';
    return status;
}

static void free_pairs(struct mlt_trace_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
}

void mlt_trace_config_fini(struct mlt_trace_config *config)
{
    free_pairs(config->headers, config->header_count);
    free_pairs(config->resource, config->resource_count);
    config->header_count = config->resource_count = 0;
}
