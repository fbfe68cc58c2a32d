/*
 * Spans to a collector, by OTLP/HTTP (protobuf). Whoever makes a span hands it over by value to a
 * bounded queue and goes on; a thread of the exporter's gathers, sends, and tries again as the
 * OTLP specification has it. What is dropped is counted. NULL is a tracer that is off: every
 * function takes it, and an event then costs one comparison.
 *
 * docs/observability.md has the variables, the spans and their attributes.
 */
#ifndef MELTICA_TRACE_TRACE_H
#define MELTICA_TRACE_TRACE_H

#include "meltica/base/error.h"
#include "meltica/rt/metrics.h"
#include "meltica/trace/context.h"

/* ---- configuration: the standard's OTEL_* variables ---- */

#define MLT_TRACE_TEXT_BYTES_MAX 1024u
#define MLT_TRACE_PAIRS_MAX 32u

enum mlt_sampler_kind { MLT_SAMPLER_ON, MLT_SAMPLER_OFF, MLT_SAMPLER_RATIO };

struct mlt_sampler {
    uint64_t below; /* RATIO: of the 2^64 values of a trace id's last 8 bytes, those below */
    enum mlt_sampler_kind kind;
    bool parent_based; /* where somebody upstream has decided, that counts */
    bool all;          /* RATIO 1: 2^64 does not fit in below */
};

struct mlt_trace_pair {
    char *key, *value; /* owned */
};

struct mlt_trace_config {
    bool enabled;
    char endpoint[MLT_TRACE_TEXT_BYTES_MAX]; /* whole URL of the traces */
    char shown[MLT_TRACE_TEXT_BYTES_MAX];   /* the same without what may be a secret: user, query */
    char ca_file[MLT_TRACE_TEXT_BYTES_MAX]; /* PEM; "": the system's */
    char service_name[MLT_TRACE_TEXT_BYTES_MAX];
    struct mlt_trace_pair headers[MLT_TRACE_PAIRS_MAX], resource[MLT_TRACE_PAIRS_MAX];
    size_t header_count, resource_count;
    struct mlt_sampler sampler;
    int64_t timeout_ns;  /* of one attempt */
    int64_t patience_ns; /* of one batch, attempts and the waits between them */
    int64_t gather_ns;   /* the longest that a span waits for others */
    size_t queue_max, batch_max;
};

/* Reads an environ-like vector; an empty variable is as one that is not there. E_CONFIG with the
 * variable, its value and what would be right in err; E_NOMEM. Free with mlt_trace_config_fini,
 * also after a failure. service: the service's name where no variable has one. */
enum mlt_status mlt_trace_config_load(char *const *environment, const char *service,
                                      struct mlt_trace_config *config,
                                      struct mlt_error *err) MLT_MUST_CHECK;
void mlt_trace_config_fini(struct mlt_trace_config *config);

/* What the sampler says of a trace; upstream: somebody before has decided, and flags is what. */
bool mlt_sampler_decide(const struct mlt_sampler *sampler,
                        const uint8_t trace_id[MLT_TRACE_ID_BYTES], bool upstream, uint32_t flags);

/* ---- spans ---- */

#define MLT_SPAN_NAME_BYTES_MAX 64u
#define MLT_SPAN_ATTRIBUTES_MAX 14u
#define MLT_SPAN_TEXT_BYTES_MAX 320u

enum mlt_span_kind { /* as in OTLP */
                     MLT_SPAN_INTERNAL = 1,
                     MLT_SPAN_SERVER,
                     MLT_SPAN_CLIENT,
                     MLT_SPAN_PRODUCER,
                     MLT_SPAN_CONSUMER
};

struct mlt_span_attribute {
    const char *key; /* static */
    int64_t number;
    uint16_t at, len; /* in text */
    bool is_text;
};

/* A value: no ownership, no allocation. */
struct mlt_span {
    struct mlt_trace_context context;
    uint8_t parent[MLT_SPAN_ID_BYTES]; /* all zero: a root */
    struct mlt_trace_context link;     /* span_id all zero: none */
    int64_t start_ns, end_ns;          /* wall time */
    enum mlt_span_kind kind;
    bool failed;
    char name[MLT_SPAN_NAME_BYTES_MAX];
    uint16_t text_len;
    uint8_t attribute_count, attributes_dropped;
    struct mlt_span_attribute attributes[MLT_SPAN_ATTRIBUTES_MAX];
    char text[MLT_SPAN_TEXT_BYTES_MAX];
};

/* Begins a span below parent (NULL or without a trace id: a new trace; without a span id: a root of
 * that trace) with a new id. It is sampled. name is cut. */
void mlt_span_begin(struct mlt_span *span, const char *name, enum mlt_span_kind kind,
                    const struct mlt_trace_context *parent, int64_t start_ns);
/* key: static. What does not fit any more is counted in the span and dropped. */
void mlt_span_text(struct mlt_span *span, const char *key, struct mlt_slice value);
void mlt_span_number(struct mlt_span *span, const char *key, int64_t value);
/* Status ERROR, and the attribute error.type. */
void mlt_span_fail(struct mlt_span *span, struct mlt_slice error);

/* ---- exporter ---- */

struct mlt_trace;

struct mlt_trace_options {
    const char *instance;                /* service.instance.id */
    struct mlt_metrics *metrics;         /* lives longer; NULL: nothing is counted there */
    int64_t retry_base_ns, retry_max_ns; /* 0: 1 s and 5 s */
};

struct mlt_trace_stats {
    uint64_t recorded; /* handed over, taken or not */
    uint64_t exported; /* that the collector took */
    uint64_t queue_full;
    uint64_t rejected; /* by the collector, of batches that it took in part */
    uint64_t refused;  /* batches that it will not take: no use in trying again */
    uint64_t gave_up;  /* patience was over, or the process ended */
    uint64_t requests, retries;
    uint64_t queued; /* now */
};

/* *trace is NULL where config says disabled. Config is copied. E_NOMEM, E_INTERNAL. */
enum mlt_status mlt_trace_create(const struct mlt_trace_config *config,
                                 const struct mlt_trace_options *options, struct mlt_trace **trace,
                                 struct mlt_error *err) MLT_MUST_CHECK;
/* Sends what is queued, for at most flush_ns; the rest is dropped and counted. Nobody records any
 * more. */
void mlt_trace_destroy(struct mlt_trace *trace, int64_t flush_ns);
/* Copies the span into the queue; never waits for anything but a copy of one span by another
 * thread. Any thread. */
void mlt_trace_record(struct mlt_trace *trace, const struct mlt_span *span);
void mlt_trace_get_stats(struct mlt_trace *trace, struct mlt_trace_stats *out); /* NULL: zeros */
/* Mirrors the figures into the metrics. Any thread. */
void mlt_trace_collect(struct mlt_trace *trace);

/* ---- events ---- */

/* Flags of a new trace that begins with this instance (the Adapter): what became no event and
 * SOURCE_DOWN, SOURCE_UP are always sampled. */
uint32_t mlt_trace_begin_native(const struct mlt_trace *trace,
                                const struct mlt_native_event *event);
/* Whether this stage makes a span of the event: as the sampler says of what came with it, always
 * for a STATUS that is a change. */
bool mlt_trace_takes(const struct mlt_trace *trace, const struct mlt_event *event);
/* The span of the Adapter, from the receipt of the last byte. */
void mlt_trace_native(struct mlt_trace *trace, const struct mlt_native_event *event,
                      int64_t end_ns);
/* The span of a later stage, below that of the stage before, where the event passed it. start_ns:
 * when the batch with the event came. */
void mlt_trace_event(struct mlt_trace *trace, enum mlt_trace_stage stage,
                     const struct mlt_event *event, int64_t start_ns, int64_t end_ns);
/* The span of a consumer of meltica.data.>, below the header of the message; without one, or with
 * one that is none, there is no span. */
void mlt_trace_consumed(struct mlt_trace *trace, const struct mlt_event *event,
                        const char *traceparent, int64_t start_ns, int64_t end_ns);
/* What goes out with the event after a stage: its trace, the stage's span, sampled. */
void mlt_trace_event_context(const struct mlt_event *event, enum mlt_trace_stage stage,
                             struct mlt_trace_context *out);

#endif
