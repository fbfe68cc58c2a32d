/* What others say of traces. The first byte says what the rest is: p a traceparent, a the answer of
 * a collector, else variables OTEL_* (one a line). */
#include <strings.h>

#include "input.h"
#include "internal.h"

#define WORDS_MAX 32u

static void traceparent(struct mlt_slice bytes)
{
    char *text = copy_of(bytes, 0), again[MLT_TRACEPARENT_BYTES];
    struct mlt_trace_context context, second;
    if (mlt_traceparent_parse(text, &context)) {
        MLT_CHECK(mlt_span_id_set(context.span_id) && context.flags <= 0xff);
        mlt_traceparent_format(&context, again);
        MLT_CHECK(strlen(again) == sizeof again - 1);
        MLT_CHECK(mlt_traceparent_parse(again, &second));
        MLT_CHECK(memcmp(context.trace_id, second.trace_id, sizeof context.trace_id) == 0);
        MLT_CHECK(memcmp(context.span_id, second.span_id, sizeof context.span_id) == 0);
        /* Of another version too the text has the ids; its first 52 bytes are what was read. */
        MLT_CHECK(memcmp(text + 2, again + 2, 51) == 0);
    } else {
        MLT_CHECK(!mlt_span_id_set(context.span_id) && context.flags == 0);
    }
    free(text);
}

static void answer(struct mlt_slice bytes)
{
    uint64_t rejected = 0;
    char text[64];
    memset(text, 'x', sizeof text);
    if (trace_decode_answer(bytes, &rejected, text, sizeof text)) {
        MLT_CHECK(memchr(text, 0, sizeof text) != NULL);
    }
}

static void variables(struct mlt_slice bytes)
{
    static struct mlt_trace_config config; /* large */
    char *text = copy_of(bytes, 0), *rest = text, *word;
    char *words[WORDS_MAX + 1] = { NULL };
    size_t count = 0;
    struct mlt_error err = MLT_ERROR_INIT;
    while (count < WORDS_MAX && (word = strsep(&rest, "\n")) != NULL) {
        words[count++] = word;
    }
    const enum mlt_status status = mlt_trace_config_load(words, "meltica-fuzz", &config, &err);
    if (status == MLT_OK) {
        MLT_CHECK(config.header_count <= MLT_TRACE_PAIRS_MAX);
        MLT_CHECK(config.resource_count <= MLT_TRACE_PAIRS_MAX);
        MLT_CHECK(!config.enabled ||
                  (strncasecmp(config.endpoint, "http", 4) == 0 && config.timeout_ns > 0 &&
                   config.batch_max > 0 && config.batch_max <= config.queue_max));
    } else {
        MLT_CHECK(status == MLT_E_CONFIG && err.text[0] != '\0');
    }
    mlt_trace_config_fini(&config);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_slice in = { data, size };
    const unsigned kind = take_byte(&in);
    if (kind == 'p') {
        traceparent(in);
    } else if (kind == 'a') {
        answer(in);
    } else {
        variables(in);
    }
    return 0;
}
