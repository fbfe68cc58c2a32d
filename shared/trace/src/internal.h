#ifndef MELTICA_TRACE_SRC_INTERNAL_H
#define MELTICA_TRACE_SRC_INTERNAL_H

#include "meltica/trace/trace.h"

/* ---- config_values.c ---- */

/* The variable's value; "" where it is not there. */
const char *trace_variable(char *const *environment, const char *name);
/* The first of two variables that has a value; *name says which (the first where none has). */
const char *trace_variable_of(char *const *environment, const char *special, const char *general,
                              const char **name);
enum mlt_status trace_whole_number(char *const *environment, const char *special,
                                   const char *general, int64_t min, int64_t max, int64_t otherwise,
                                   int64_t *out, struct mlt_error *err);
/* "key=value,key=value", percent-decoded, appended to pairs; a key that is there already is
 * replaced. header: the key must be one of HTTP. */
enum mlt_status trace_pairs(const char *variable, const char *text, bool header,
                            struct mlt_trace_pair *pairs, size_t *count, struct mlt_error *err);
enum mlt_status trace_pair_set(struct mlt_trace_pair *pairs, size_t *count, const char *key,
                               size_t key_len, const char *value, struct mlt_error *err);
enum mlt_status trace_endpoint(char *const *environment, char out[MLT_TRACE_TEXT_BYTES_MAX],
                               struct mlt_error *err);
/* A good URL without user, password, query and fragment. False: no memory. */
bool trace_endpoint_shown(const char *endpoint, char out[MLT_TRACE_TEXT_BYTES_MAX]);

/* ---- encode.c ---- */

struct trace_encoder;

enum mlt_status trace_encoder_create(const struct mlt_trace_config *config, const char *instance,
                                     struct trace_encoder **encoder) MLT_MUST_CHECK;
void trace_encoder_destroy(struct trace_encoder *encoder);
/* An ExportTraceServiceRequest of at most batch_max spans; the view lives until the next call. */
enum mlt_status trace_encode(struct trace_encoder *encoder, const struct mlt_span *spans,
                             size_t count, struct mlt_slice *out) MLT_MUST_CHECK;
/* How many spans a collector's answer says that it rejected; its words into text. False: it is no
 * answer of OTLP. An empty one is. */
bool trace_decode_answer(struct mlt_slice bytes, uint64_t *rejected, char *text, size_t size);

/* ---- post.c ---- */

struct trace_poster;

enum trace_post_outcome {
    TRACE_POST_TAKEN,
    TRACE_POST_AGAIN,   /* 429, 502, 503, 504, or no answer */
    TRACE_POST_REFUSED, /* any other answer */
};
struct trace_post_result {
    enum trace_post_outcome outcome;
    int code;               /* of HTTP, 0: no answer */
    int64_t retry_after_ns; /* -1: not said */
    struct mlt_slice body;  /* lives until the next call */
    bool too_long;          /* body is the beginning of an answer that is none of OTLP */
    char text[200];         /* what went wrong */
};

/* abort: asked now and then during a call, from its thread. */
enum mlt_status trace_poster_create(const struct mlt_trace_config *config, bool (*abort)(void *ctx),
                                    void *ctx, struct trace_poster **poster,
                                    struct mlt_error *err) MLT_MUST_CHECK;
void trace_poster_destroy(struct trace_poster *poster);
/* Blocks for timeout_ns at most. */
void trace_post(struct trace_poster *poster, struct mlt_slice payload, int64_t timeout_ns,
                struct trace_post_result *result);

/* The sampler of an exporter. */
const struct mlt_sampler *trace_sampler(const struct mlt_trace *trace);

#endif
